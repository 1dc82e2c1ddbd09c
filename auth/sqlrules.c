#include "auth/sqlrules.h"

#include "auth/sqltokens.h"
#include "base/err.h"

/* ---- Peers. ---- */

int sqlrules_peers(struct sql *db, struct tokenstore_peers *out)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows, "SELECT action, entries FROM peers", NULL, 0);

    *out = (struct tokenstore_peers){0};
    while (!err && (err = sql_next(db, rows)) == 1) {
        char *entries = sql_int(rows, 0) == SQLRULES_ALLOW ? out->allow : out->deny;

        err = sql_text(rows, 1, entries, sizeof(out->allow)) ? 0 : ERR_MALFORMED;
    }
    sql_end(&rows);
    return err;
}

static int put_entries(struct sql *db, enum sqlrules_action action, const char *entries)
{
    return sql_run(
        db, NULL, "INSERT INTO peers (action, entries) VALUES (?, ?) ON CONFLICT (action) DO UPDATE SET entries = excluded.entries",
        SQL_VALUES(SQL_INT(action), SQL_TEXT(entries)));
}

int sqlrules_put_peers(struct sql *db, const struct tokenstore_peers *peers, int64_t now)
{
    int err = put_entries(db, SQLRULES_ALLOW, peers->allow);

    if (!err)
        err = put_entries(db, SQLRULES_DENY, peers->deny);
    return err ? err : sqltokens_note(db, SQLTOKENS_PEERS, "", now);
}

/* ---- Limits of owners. ---- */

/* What is no number of ours is none. */
static struct auth_limits limits_of(struct sqlite3_stmt *row, int column)
{
    int64_t allocations = sql_int(row, column), bps = sql_int(row, column + 1);

    return (struct auth_limits){.allocations = allocations > 0 && allocations <= UINT32_MAX ? (uint32_t)allocations : 0,
                                .bps = bps > 0 ? (uint64_t)bps : 0};
}

int sqlrules_quota(struct sql *db, const char *owner, struct auth_limits *out)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows, "SELECT allocations, bps FROM quota WHERE owner = ?", SQL_VALUES(SQL_TEXT(owner)));

    *out = (struct auth_limits){0};
    if (!err && (err = sql_next(db, rows)) == 1) {
        *out = limits_of(rows, 0);
        err = 0;
    }
    sql_end(&rows);
    return err;
}

int sqlrules_quotas(struct sql *db, int (*visit)(void *ctx, const char *owner, const struct auth_limits *limits), void *ctx)
{
    char owner[STUN_USERNAME_MAX + 1];
    struct auth_limits limits;
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows, "SELECT owner, allocations, bps FROM quota", NULL, 0);

    while (!err && (err = sql_next(db, rows)) == 1) {
        limits = limits_of(rows, 1);
        err = sql_text(rows, 0, owner, sizeof(owner)) ? visit(ctx, owner, &limits) : 0;
    }
    sql_end(&rows);
    return err;
}

int sqlrules_put_quota(struct sql *db, const char *owner, const struct auth_limits *limits, int64_t now, bool *full)
{
    int64_t changed = 1;
    int err;

    if (limits->allocations || limits->bps)
        err = sql_run(
            db, &changed,
            "INSERT INTO quota (owner, allocations, bps) SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM quota) < ?4"
            " OR EXISTS (SELECT 1 FROM quota WHERE owner = ?1)"
            " ON CONFLICT (owner) DO UPDATE SET allocations = excluded.allocations, bps = excluded.bps",
            SQL_VALUES(SQL_TEXT(owner), SQL_INT(limits->allocations), SQL_INT(limits->bps), SQL_INT(TOKENSTORE_QUOTAS_MAX)));
    else
        err = sql_run(db, NULL, "DELETE FROM quota WHERE owner = ?", SQL_VALUES(SQL_TEXT(owner)));
    *full = !err && !changed;
    if (!err && !changed)
        err = ERR_NOSPC;
    return err ? err : sqltokens_note(db, SQLTOKENS_QUOTA, owner, now);
}
