#include "auth/sqlsums.h"

#include "base/err.h"

/* In the order of enum auth_usage. */
#define COUNTERS "bytes_up, bytes_down, packets_up, packets_down, allocations, ms"
#define ADD_UP                                                                                                                     \
    "bytes_up = bytes_up + excluded.bytes_up, bytes_down = bytes_down + excluded.bytes_down,"                                      \
    " packets_up = packets_up + excluded.packets_up, packets_down = packets_down + excluded.packets_down,"                         \
    " allocations = allocations + excluded.allocations, ms = ms + excluded.ms"
#define USED(u)                                                                                                                    \
    SQL_INT((u)->n[AUTH_USED_BYTES_UP]), SQL_INT((u)->n[AUTH_USED_BYTES_DOWN]), SQL_INT((u)->n[AUTH_USED_PACKETS_UP]),             \
        SQL_INT((u)->n[AUTH_USED_PACKETS_DOWN]), SQL_INT((u)->n[AUTH_USED_ALLOCATIONS]), SQL_INT((u)->n[AUTH_USED_MS])
_Static_assert(AUTH_USED_N == 6, "as those say");

static const int64_t STEPS[] = {[TOKENSTORE_ALL] = 0, [TOKENSTORE_HOUR] = TOKENSTORE_HOUR_S, [TOKENSTORE_DAY] = TOKENSTORE_DAY_S};

/* When the hour or day begins that this lies in; 0: in all. */
static int64_t begin_of(enum tokenstore_span span, int64_t wall)
{
    return STEPS[span] ? wall - wall % STEPS[span] : 0;
}

/* ---- Adding. ---- */

/* A label that is new to an owner who has as many as are kept counts under none. */
static int label_of(struct sql *db, const char **label, const struct ledger_flush *f, const struct ledger_line *line)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows,
                        "SELECT EXISTS (SELECT 1 FROM usage WHERE owner = ?1 AND span = 0 AND start = 0 AND label = ?2)"
                        " OR (SELECT count(*) FROM usage WHERE owner = ?1 AND span = 0) < ?3",
                        SQL_VALUES(SQL_TEXT(f->owner), SQL_TEXT(line->text), SQL_INT(TOKENSTORE_LABELS_MAX)));

    if (!err && (err = sql_next(db, rows)) == 1) {
        *label = sql_int(rows, 0) ? line->text : "";
        err = 0;
    }
    sql_end(&rows);
    return err;
}
_Static_assert(TOKENSTORE_ALL == 0, "as the statement says");

static int add_label(struct sql *db, const struct ledger_flush *f, const struct ledger_line *line)
{
    const char *label = "";
    int err = label_of(db, &label, f, line);

    for (int span = TOKENSTORE_ALL; span <= TOKENSTORE_DAY && !err; span++)
        err = sql_run(db, NULL,
                      "INSERT INTO usage (owner, span, start, label, " COUNTERS ", peak) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                      " ON CONFLICT (owner, span, start, label) DO UPDATE SET peak = max(peak, excluded.peak), " ADD_UP,
                      SQL_VALUES(SQL_TEXT(f->owner), SQL_INT(span), SQL_INT(begin_of((enum tokenstore_span)span, f->wall)),
                                 SQL_TEXT(label), USED(&line->used), SQL_INT(line->peak)));
    return err;
}

static int add_token(struct sql *db, const struct ledger_flush *f, const struct ledger_line *line)
{
    return sql_run(db, NULL,
                   "INSERT INTO usage_token (name, day, " COUNTERS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                   " ON CONFLICT (name) DO UPDATE SET day = excluded.day, " ADD_UP,
                   SQL_VALUES(SQL_TEXT(line->text), SQL_INT(begin_of(TOKENSTORE_DAY, f->wall)), USED(&line->used)));
}

int sqlsums_add(struct sql *db, const struct ledger_flush *f)
{
    int err =
        sql_run(db, NULL, "INSERT INTO usage_owner (owner, day) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET day = excluded.day",
                SQL_VALUES(SQL_TEXT(f->owner), SQL_INT(begin_of(TOKENSTORE_DAY, f->wall))));

    for (size_t i = 0; i < f->nlabels && !err; i++)
        err = add_label(db, f, &f->labels[i]);
    for (size_t i = 0; i < f->ntokens && !err; i++)
        err = add_token(db, f, &f->tokens[i]);
    return err;
}

int sqlsums_forget(struct sql *db, const char *name)
{
    return sql_run(db, NULL, "DELETE FROM usage_token WHERE name = ?", SQL_VALUES(SQL_TEXT(name)));
}

/* ---- Reading. ---- */

static void read_used(struct sqlite3_stmt *row, int column, struct auth_used *out)
{
    for (int i = 0; i < AUTH_USED_N; i++)
        out->n[i] = (uint64_t)sql_int(row, column + i);
}

/* False: that is enough. What is no text of ours is passed over. */
static bool read_row(struct sqlite3_stmt *row, bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    char owner[STUN_USERNAME_MAX + 1], label[AUTH_LABEL_MAX + 1];
    struct tokenstore_usage u = {.owner = owner, .label = label, .from = sql_int(row, 1)};

    if (!sql_text(row, 0, owner, sizeof(owner)) || !sql_text(row, 2, label, sizeof(label)))
        return true;
    read_used(row, 3, &u.used);
    u.peak = (uint64_t)sql_int(row, 3 + AUTH_USED_N);
    return visit(ctx, &u);
}

int sqlsums_read(struct sql *db, const struct tokenstore_period *p, bool (*visit)(void *ctx, const struct tokenstore_usage *u),
                 void *ctx)
{
    static const char SUMS[] = "SELECT owner, start, label, " COUNTERS ", peak FROM usage"
                               " WHERE span = ?1 AND start >= ?2 AND start < ?3 AND owner = ?4 ORDER BY start, label";
    bool in_all = p->span == TOKENSTORE_ALL, more = true;
    const struct sql_value values[] = {SQL_INT(p->span), SQL_INT(in_all ? 0 : begin_of(p->span, p->since)),
                                       SQL_INT(in_all ? 1 : p->until), SQL_TEXT(p->owner)};
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows, SUMS, values, sizeof(values) / sizeof(values[0]));

    while (!err && more && (err = sql_next(db, rows)) == 1) {
        err = 0;
        more = read_row(rows, visit, ctx);
    }
    sql_end(&rows);
    return err;
}

int sqlsums_owners(struct sql *db, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    char owner[STUN_USERNAME_MAX + 1];
    struct sqlite3_stmt *rows;
    bool more = true;
    int err = sql_start(db, &rows, "SELECT owner FROM usage_owner", NULL, 0);

    while (!err && more && (err = sql_next(db, rows)) == 1) {
        err = 0;
        more = !sql_text(rows, 0, owner, sizeof(owner)) || visit(ctx, owner);
    }
    sql_end(&rows);
    return err;
}

int sqlsums_used(struct sql *db, const char *name, struct auth_used *out)
{
    struct sqlite3_stmt *rows;
    int err = sql_start(db, &rows, "SELECT " COUNTERS " FROM usage_token WHERE name = ?", SQL_VALUES(SQL_TEXT(name)));

    *out = (struct auth_used){0};
    if (!err && (err = sql_next(db, rows)) == 1) {
        read_used(rows, 0, out);
        err = 0;
    }
    sql_end(&rows);
    return err;
}

/* ---- Sweep. ---- */

/* An owner's sums of all time go all together, when the owner has used nothing for as long as days are kept; a token's likewise. */
int sqlsums_sweep(struct sql *db, int64_t now, bool *more)
{
    const struct {
        const char *text;
        int64_t before;
    } OLD[] = {
        {"DELETE FROM usage WHERE (owner, span, start, label) IN (SELECT owner, span, start, label FROM usage"
         " WHERE span = 1 AND start < ? LIMIT ?)",
         begin_of(TOKENSTORE_HOUR, now - TOKENSTORE_HOURS_S)},
        {"DELETE FROM usage WHERE (owner, span, start, label) IN (SELECT owner, span, start, label FROM usage"
         " WHERE span = 2 AND start < ? LIMIT ?)",
         begin_of(TOKENSTORE_DAY, now - TOKENSTORE_DAYS_S)},
        {"DELETE FROM usage_token WHERE name IN (SELECT name FROM usage_token WHERE day < ? LIMIT ?)",
         begin_of(TOKENSTORE_DAY, now - TOKENSTORE_DAYS_S)},
        {"DELETE FROM usage WHERE (owner, span, start, label) IN (SELECT owner, span, start, label FROM usage"
         " WHERE span = 0 AND owner IN (SELECT owner FROM usage_owner WHERE day < ?) LIMIT ?)",
         begin_of(TOKENSTORE_DAY, now - TOKENSTORE_DAYS_S)},
        {"DELETE FROM usage_owner WHERE owner IN (SELECT owner FROM usage_owner AS o WHERE day < ?"
         " AND NOT EXISTS (SELECT 1 FROM usage WHERE owner = o.owner AND span = 0) LIMIT ?)",
         begin_of(TOKENSTORE_DAY, now - TOKENSTORE_DAYS_S)},
    };
    int64_t changed;
    int err = sql_begin(db, true);

    *more = false;
    if (err)
        return err;
    for (size_t i = 0; i < sizeof(OLD) / sizeof(OLD[0]) && !err; i++) {
        err = sql_run(db, &changed, OLD[i].text, SQL_VALUES(SQL_INT(OLD[i].before), SQL_INT(SQLSUMS_SWEEP)));
        *more = *more || (!err && changed == SQLSUMS_SWEEP);
    }
    return sql_finish(db, err);
}
_Static_assert(TOKENSTORE_HOUR == 1 && TOKENSTORE_DAY == 2, "as the statements say");
