#include "auth/sqltokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sqlrules.h"
#include "auth/sqlsums.h"
#include "base/err.h"

struct sqltokens {
    struct tokenstore *store; /* for its reason */
    struct sql *db;           /* NULL: not opened yet */
    char dir[];
};

/* How a credential came to its name. */
enum kind { KIND_TOKEN, KIND_USER };

static const char NO_TOKEN[] = "no such token", NO_USER[] = "no such user";

static int fail(struct sqltokens *t, int err, const char *text)
{
    snprintf(t->store->why, sizeof(t->store->why), "%s", text);
    return err;
}

/* The store's reason is the connection's. */
static int told(struct sqltokens *t, int err)
{
    return err < 0 ? fail(t, err, sql_why(t->db)) : err;
}

static int ready(struct sqltokens *t, bool create)
{
    char why[SQL_WHY_MAX];
    int64_t version;
    int err;

    if (t->db && sql_version(t->db, &version) == ERR_STALE)
        sql_close(&t->db); /* another file has taken its place: a backup that was put back */
    err = t->db ? 0 : sql_open(&t->db, t->dir, create, SQL_SITTING_MS, why);
    t->store->why[0] = '\0';
    return err ? fail(t, err, why) : 0;
}

static int64_t ends(const struct token *t)
{
    return t->expires_at ? t->expires_at : INT64_MAX;
}

/* ---- Rows. ---- */

int sqltokens_read(struct sqlite3_stmt *row, struct token *out)
{
    int64_t scope = sql_int(row, 6), end = sql_int(row, 11);
    const char *why;
    bool fine;

    *out = (struct token){.scope = scope < 0 || scope > UINT8_MAX ? 0 : (unsigned)scope,
                          .issued_at = sql_int(row, 9),
                          .not_before = sql_int(row, 10),
                          .expires_at = end == INT64_MAX ? 0 : end,
                          .revoked_at = sql_int(row, 12),
                          .max_allocations = sql_int(row, 13),
                          .max_bps = sql_int(row, 14),
                          .max_bytes = sql_int(row, 15)};
    fine = sql_text(row, 0, out->id, sizeof(out->id)) && sql_text(row, 1, out->owner, sizeof(out->owner)) &&
           sql_text(row, 2, out->label, sizeof(out->label)) && sql_text(row, 3, out->tenant, sizeof(out->tenant)) &&
           sql_text(row, 4, out->realm, sizeof(out->realm)) && sql_text(row, 5, out->peers, sizeof(out->peers)) &&
           sql_bytes(row, 7, out->md5, sizeof(out->md5)) && sql_bytes(row, 8, out->sha256, sizeof(out->sha256)) &&
           token_check(out, &why) == 0;
    if (fine)
        return 0;
    token_wipe(out);
    return ERR_MALFORMED;
}

int sqltokens_note(struct sql *db, enum sqltokens_change about, const char *what, int64_t now)
{
    return sql_run(db, NULL, "INSERT INTO change (at, about, what) VALUES (?, ?, ?)",
                   SQL_VALUES(SQL_INT(now), SQL_INT(about), SQL_TEXT(what)));
}

static int insert(struct sql *db, const struct token *t, enum kind kind)
{
    return sql_run(
        db, NULL, "INSERT INTO credential (kind, " SQLTOKENS_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        SQL_VALUES(SQL_INT(kind), SQL_TEXT(t->id), SQL_TEXT(t->owner), SQL_TEXT(t->label), SQL_TEXT(t->tenant), SQL_TEXT(t->realm),
                   SQL_TEXT(t->peers), SQL_INT(t->scope), SQL_BYTES(t->md5, sizeof(t->md5)),
                   SQL_BYTES(t->sha256, sizeof(t->sha256)), SQL_INT(t->issued_at), SQL_INT(t->not_before), SQL_INT(ends(t)),
                   SQL_INT(t->revoked_at), SQL_INT(t->max_allocations), SQL_INT(t->max_bps), SQL_INT(t->max_bytes)));
}

/* ---- Making. ---- */

static int add(struct tokenstore *s, const struct token *t, enum kind kind)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, true);

    if (err)
        return err;
    err = sql_begin(tokens->db, true);
    if (!err) {
        err = insert(tokens->db, t, kind);
        if (!err)
            err = sqlsums_forget(tokens->db, t->id); /* a user of this name may have been removed */
        if (!err)
            err = sqltokens_note(tokens->db, SQLTOKENS_CREDENTIAL, t->id, t->issued_at);
        err = sql_finish(tokens->db, err);
    }
    return err == ERR_EXIST ? fail(tokens, err, "there is one of this name already; remove it first") : told(tokens, err);
}

static int issue(struct tokenstore *s, const struct token *t)
{
    return add(s, t, KIND_TOKEN);
}

static int add_user(struct tokenstore *s, const struct token *t)
{
    return add(s, t, KIND_USER);
}

/* ---- Get and list. ---- */

static int get_kind(struct tokenstore *s, enum kind kind, const char *id, struct token *out, const char *none)
{
    struct sqltokens *tokens = s->self;
    struct sqlite3_stmt *rows = NULL;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? fail(tokens, err, none) : err;
    err = told(tokens, sql_start(tokens->db, &rows, "SELECT " SQLTOKENS_COLUMNS " FROM credential WHERE name = ? AND kind = ?",
                                 SQL_VALUES(SQL_TEXT(id), SQL_INT(kind))));
    if (!err && (err = told(tokens, sql_next(tokens->db, rows))) == 0)
        err = fail(tokens, ERR_NOENT, none);
    else if (err == 1 && (err = sqltokens_read(rows, out)))
        fail(tokens, err, "the record is no token");
    sql_end(&rows);
    return err;
}

static int get(struct tokenstore *s, const char *id, struct token *out)
{
    return get_kind(s, KIND_TOKEN, id, out, NO_TOKEN);
}

static int get_user(struct tokenstore *s, const char *name, struct token *out)
{
    return get_kind(s, KIND_USER, name, out, NO_USER);
}

/* What has ended a day ago is left out whether it has been swept or not: so the offset of a page means the same for all pages. */
static int list_kind(struct tokenstore *s, enum kind kind, int64_t now, size_t offset,
                     bool (*visit)(void *ctx, const struct token *t), void *ctx, size_t *bad)
{
    struct sqltokens *tokens = s->self;
    struct sqlite3_stmt *rows = NULL;
    struct token token;
    bool more = true;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    err = sql_start(tokens->db, &rows,
                    "SELECT " SQLTOKENS_COLUMNS " FROM credential WHERE kind = ? AND ends > ? ORDER BY ends, name LIMIT ? OFFSET ?",
                    SQL_VALUES(SQL_INT(kind), SQL_INT(now - TOKENSTORE_KEEP_S), SQL_INT(TOKENSTORE_PAGE), SQL_INT(offset)));
    while (!err && more && (err = sql_next(tokens->db, rows)) == 1) {
        err = 0;
        if (sqltokens_read(rows, &token))
            ++*bad;
        else
            more = visit(ctx, &token);
        token_wipe(&token);
    }
    sql_end(&rows);
    return told(tokens, err);
}

static int list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                size_t *bad)
{
    return list_kind(s, KIND_TOKEN, now, offset, visit, ctx, bad);
}

static int list_users(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                      size_t *bad)
{
    return list_kind(s, KIND_USER, now, offset, visit, ctx, bad);
}

/* ---- Revoke. ---- */

/* A statement that changes one credential, and the word of it. */
static int change(struct tokenstore *s, const char *name, int64_t now, const char *text, const struct sql_value *values, size_t n,
                  const char *none)
{
    struct sqltokens *tokens = s->self;
    int64_t changed = 0;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? fail(tokens, err, none) : err;
    err = sql_begin(tokens->db, true);
    if (!err) {
        err = sql_run(tokens->db, &changed, text, values, n);
        if (!err && changed)
            err = sqltokens_note(tokens->db, SQLTOKENS_CREDENTIAL, name, now);
        err = sql_finish(tokens->db, err);
    }
    return err || changed ? told(tokens, err) : fail(tokens, ERR_NOENT, none);
}

static int revoke(struct tokenstore *s, const char *id, int64_t now)
{
    return change(
        s, id, now,
        "UPDATE credential SET revoked_at = CASE revoked_at WHEN 0 THEN ? ELSE revoked_at END WHERE name = ? AND kind = ?",
        SQL_VALUES(SQL_INT(now), SQL_TEXT(id), SQL_INT(KIND_TOKEN)), NO_TOKEN);
}

int sqltokens_exhaust(struct sql *db, const char *name, int64_t now, uint64_t *used)
{
    struct auth_used sums;
    int64_t changed = 0;
    int err = sql_run(db, &changed,
                      "UPDATE credential SET revoked_at = ? WHERE name = ? AND revoked_at = 0 AND max_bytes > 0 AND max_bytes <="
                      " (SELECT bytes_up + bytes_down FROM usage_token WHERE usage_token.name = credential.name)",
                      SQL_VALUES(SQL_INT(now), SQL_TEXT(name)));

    *used = 0;
    if (!err && changed)
        err = sqltokens_note(db, SQLTOKENS_CREDENTIAL, name, now);
    if (!err && changed && (err = sqlsums_used(db, name, &sums)) == 0)
        *used = sums.n[AUTH_USED_BYTES_UP] + sums.n[AUTH_USED_BYTES_DOWN];
    return err;
}

static int remove_user(struct tokenstore *s, const char *name, int64_t now)
{
    return change(s, name, now, "DELETE FROM credential WHERE name = ? AND kind = ?",
                  SQL_VALUES(SQL_TEXT(name), SQL_INT(KIND_USER)), NO_USER);
}

static int put_user(struct tokenstore *s, const struct token *t, int64_t now)
{
    return change(s, t->id, now,
                  "UPDATE credential SET owner = ?, label = ?, tenant = ?, realm = ?, peers = ?, scope = ?, md5 = ?, sha256 = ?,"
                  " issued_at = ?, not_before = ?, ends = ?, revoked_at = ?, max_allocations = ?, max_bps = ?, max_bytes = ?"
                  " WHERE name = ? AND kind = ?",
                  SQL_VALUES(SQL_TEXT(t->owner), SQL_TEXT(t->label), SQL_TEXT(t->tenant), SQL_TEXT(t->realm), SQL_TEXT(t->peers),
                             SQL_INT(t->scope), SQL_BYTES(t->md5, sizeof(t->md5)), SQL_BYTES(t->sha256, sizeof(t->sha256)),
                             SQL_INT(t->issued_at), SQL_INT(t->not_before), SQL_INT(ends(t)), SQL_INT(t->revoked_at),
                             SQL_INT(t->max_allocations), SQL_INT(t->max_bps), SQL_INT(t->max_bytes), SQL_TEXT(t->id),
                             SQL_INT(KIND_USER)),
                  NO_USER);
}

static int revoke_user(struct tokenstore *s, const char *user, int64_t before, int64_t now)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, true); /* the secret is turnpiked's, so there may be no store yet */

    if (err)
        return err;
    err = sql_begin(tokens->db, true);
    if (!err) {
        err = sql_run(
            tokens->db, NULL,
            "INSERT INTO mark (user, before) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET before = max(before, excluded.before)",
            SQL_VALUES(SQL_TEXT(user), SQL_INT(before)));
        if (!err)
            err = sqltokens_note(tokens->db, SQLTOKENS_MARK, user, now);
        err = sql_finish(tokens->db, err);
    }
    return told(tokens, err);
}

/* ---- Usage. ---- */

static int usage(struct tokenstore *s, const struct tokenstore_period *period,
                 bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    return told(tokens, sqlsums_read(tokens->db, period, visit, ctx));
}

static int owners(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, false);

    (void)now; /* the sweep of turnpiked drops those whose usage is not kept any more */
    if (err)
        return err == ERR_NOENT ? 0 : err;
    return told(tokens, sqlsums_owners(tokens->db, visit, ctx));
}

static int used(struct tokenstore *s, const struct token *t, struct auth_used *out)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    return told(tokens, sqlsums_used(tokens->db, t->id, out));
}

/* ---- Rules. ---- */

static int get_peers(struct tokenstore *s, struct tokenstore_peers *out)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    return told(tokens, sqlrules_peers(tokens->db, out));
}

static int put_peers(struct tokenstore *s, const struct tokenstore_peers *peers, int64_t now)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, true);

    if (err)
        return err;
    err = sql_begin(tokens->db, true);
    if (!err)
        err = sql_finish(tokens->db, sqlrules_put_peers(tokens->db, peers, now));
    return told(tokens, err);
}

static int get_quota(struct tokenstore *s, const char *owner, struct auth_limits *out)
{
    struct sqltokens *tokens = s->self;
    int err = ready(tokens, false);

    if (err)
        return err == ERR_NOENT ? 0 : err;
    return told(tokens, sqlrules_quota(tokens->db, owner, out));
}

static int put_quota(struct tokenstore *s, const char *owner, const struct auth_limits *limits, int64_t now)
{
    struct sqltokens *tokens = s->self;
    bool full = false;
    int err = ready(tokens, true);

    if (err)
        return err;
    err = sql_begin(tokens->db, true);
    if (!err)
        err = sql_finish(tokens->db, sqlrules_put_quota(tokens->db, owner, limits, now, &full));
    return full ? fail(tokens, ERR_NOSPC, TOKENSTORE_QUOTAS_FULL) : told(tokens, err);
}

/* ---- Sweep. ---- */

int sqltokens_sweep(struct sql *db, int64_t now, bool *more)
{
    const struct {
        const char *text;
        int64_t before;
    } OLD[] = {
        {"DELETE FROM credential WHERE name IN (SELECT name FROM credential WHERE kind IN (0, 1) AND ends <= ? LIMIT ?)",
         now - TOKENSTORE_KEEP_S},
        {"DELETE FROM credential WHERE name IN (SELECT name FROM credential WHERE revoked_at != 0 AND revoked_at <= ? LIMIT ?)",
         now - TOKENSTORE_MARK_S},
        {"DELETE FROM mark WHERE user IN (SELECT user FROM mark WHERE before <= ? LIMIT ?)", now},
        {"DELETE FROM change WHERE seq IN (SELECT seq FROM change WHERE at <= ? AND seq < (SELECT max(seq) FROM change)"
         " ORDER BY seq LIMIT ?)",
         now - SQLTOKENS_CHANGE_S},
    };
    int64_t changed;
    int err = sql_begin(db, true);

    *more = false;
    if (err)
        return err;
    for (size_t i = 0; i < sizeof(OLD) / sizeof(OLD[0]) && !err; i++) {
        err = sql_run(db, &changed, OLD[i].text, SQL_VALUES(SQL_INT(OLD[i].before), SQL_INT(SQLTOKENS_SWEEP)));
        *more = *more || (!err && changed == SQLTOKENS_SWEEP);
    }
    return sql_finish(db, err);
}

/* ---- Life. ---- */

static void end(struct tokenstore *s)
{
    struct sqltokens *tokens = s->self;

    sql_close(&tokens->db);
    free(tokens);
}

static const struct tokenstore_ops OPS = {.issue = issue,
                                          .get = get,
                                          .list = list,
                                          .revoke = revoke,
                                          .revoke_user = revoke_user,
                                          .usage = usage,
                                          .used = used,
                                          .owners = owners,
                                          .add_user = add_user,
                                          .put_user = put_user,
                                          .get_user = get_user,
                                          .list_users = list_users,
                                          .remove_user = remove_user,
                                          .get_peers = get_peers,
                                          .put_peers = put_peers,
                                          .get_quota = get_quota,
                                          .put_quota = put_quota,
                                          .close = end};

int sqltokens_open(struct tokenstore *out, const char *dir)
{
    struct sqltokens *t = calloc(1, sizeof(*t) + strlen(dir) + 1);

    *out = (struct tokenstore){0};
    if (!t)
        return ERR_NOMEM;
    memcpy(t->dir, dir, strlen(dir));
    t->store = out;
    *out = (struct tokenstore){.ops = &OPS, .self = t};
    return 0;
}
