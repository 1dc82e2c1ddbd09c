#include "auth/sqlusage.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "auth/ledger.h"
#include "auth/sqlsums.h"
#include "auth/sqltokens.h"
#include "base/err.h"

/* Who has used all, told once the transaction is in the store. */
struct ending {
    const struct ledger_line *token;
    uint64_t used;
};

/* What goes into one transaction. */
struct batch {
    size_t nflushes, nlines, nendings;
    const struct ledger_flush *flushes[SQLUSAGE_FLUSHES_MAX];
    struct ending endings[SQLUSAGE_LINES_MAX];
};

struct sqlusage {
    struct usage *usage;
    struct ledger *ledger;
    struct sql *db;  /* NULL: not open */
    bool had_store;  /* there was one: if it has gone, what is used waits for another */
    bool in_trouble; /* as was told */
    uint64_t sweep_ms;
    struct event tick;
    struct sqlusage_events events;
    void *ctx;
    struct batch batch;
    char dir[];
};

/* ---- One transaction. ---- */

/* As many as may go together; false: there are none. */
static bool take_batch(struct sqlusage *u, int64_t wall)
{
    struct batch *b = &u->batch;
    const struct ledger_flush *f;

    b->nflushes = b->nlines = b->nendings = 0;
    while (b->nflushes < SQLUSAGE_FLUSHES_MAX && b->nlines + 2 * LEDGER_LINES_MAX <= SQLUSAGE_LINES_MAX &&
           (f = ledger_next(u->ledger, wall))) {
        b->flushes[b->nflushes++] = f;
        b->nlines += f->nlabels + f->ntokens;
    }
    return b->nflushes > 0;
}

static int end_exhausted(struct sqlusage *u, const struct ledger_flush *f, int64_t now)
{
    struct batch *b = &u->batch;
    uint64_t used = 0;
    int err = 0;

    for (size_t i = 0; i < f->ntokens && !err; i++) {
        if (!f->tokens[i].max_bytes)
            continue;
        err = sqltokens_exhaust(u->db, f->tokens[i].text, now, &used);
        if (!err && used)
            b->endings[b->nendings++] = (struct ending){&f->tokens[i], used};
    }
    return err;
}

static int write_batch(struct sqlusage *u, int64_t now)
{
    struct batch *b = &u->batch;
    int err = sql_begin(u->db, true);

    if (err)
        return err;
    for (size_t i = 0; i < b->nflushes && !err; i++) {
        err = sqlsums_add(u->db, b->flushes[i]);
        if (!err)
            err = end_exhausted(u, b->flushes[i], now);
    }
    return sql_finish(u->db, err);
}

static void end_batch(struct sqlusage *u, int err)
{
    const struct batch *b = &u->batch;

    for (size_t i = 0; i < b->nendings && !err; i++)
        u->events.exhausted(u->ctx, b->endings[i].token->text, b->endings[i].used, b->endings[i].token->max_bytes);
    for (size_t i = 0; i < b->nflushes; i++) {
        if (err)
            ledger_again(u->ledger, b->flushes[i]);
        else
            ledger_done(u->ledger, b->flushes[i]);
    }
}

static int write_all(struct sqlusage *u, int64_t wall, uint64_t until_ms)
{
    int err = 0;

    while (!err && take_batch(u, wall)) {
        err = write_batch(u, wall);
        end_batch(u, err);
        if (clock_now().ms >= until_ms)
            break;
    }
    return err;
}

/* ---- Once a second. ---- */

/* Open, and the file of that name. */
static int ready(struct sqlusage *u, char why[static SQL_WHY_MAX])
{
    int64_t version;
    int err = u->db ? sql_version(u->db, &version) : 0;

    if (err == ERR_STALE)
        sql_close(&u->db);
    else if (err)
        memcpy(why, sql_why(u->db), SQL_WHY_MAX);
    if (!u->db)
        err = sql_open(&u->db, u->dir, false, SQL_PATIENCE_MS, why);
    u->had_store = u->had_store || u->db;
    return err;
}

static int drop(void *ctx, const struct usage_who *who, const struct auth_used *more)
{
    (void)ctx, (void)who, (void)more;
    return 0;
}

static void sweep(struct sqlusage *u, struct now now)
{
    bool more = false;

    if (now.ms < u->sweep_ms)
        return;
    (void)sqlsums_sweep(u->db, now.wall, &more); /* what cannot be deleted now is tried again */
    u->sweep_ms = now.ms + (more ? SQLUSAGE_PERIOD_MS : SQLUSAGE_SWEEP_MS);
}

static void tell_trouble(struct sqlusage *u, const char *reason)
{
    bool in_trouble = reason[0] != '\0';

    if (u->in_trouble != in_trouble)
        u->events.trouble(u->ctx, reason);
    u->in_trouble = in_trouble;
}

static int flush(struct sqlusage *u, struct now now, uint64_t until_ms)
{
    char why[SQL_WHY_MAX] = "";
    int err = ready(u, why);

    if (err == ERR_NOENT && !u->had_store) {
        usage_collect(u->usage, drop, NULL);
        return 0;
    }
    usage_collect(u->usage, ledger_add, u->ledger);
    ledger_begin(u->ledger);
    if (!err && (err = write_all(u, now.wall, until_ms)))
        memcpy(why, sql_why(u->db), SQL_WHY_MAX);
    tell_trouble(u, err ? why : "");
    return err;
}

void sqlusage_flush(struct sqlusage *u, struct now now)
{
    if (!flush(u, now, clock_now().ms + SQLUSAGE_BUDGET_MS) && u->db)
        sweep(u, now);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    sqlusage_flush(ctx, clock_now());
}

/* ---- Life. ---- */

int sqlusage_new(struct sqlusage **out, const struct sqlusage_config *config)
{
    size_t len = strlen(config->dir);
    struct sqlusage *u = calloc(1, sizeof(*u) + len + 1);
    struct timeval period = {.tv_sec = SQLUSAGE_PERIOD_MS / 1000, .tv_usec = SQLUSAGE_PERIOD_MS % 1000 * 1000};
    int err = u ? ledger_new(&u->ledger) : ERR_NOMEM;

    *out = NULL;
    if (!u)
        return err;
    memcpy(u->dir, config->dir, len);
    u->usage = config->usage;
    u->events = config->events;
    u->ctx = config->ctx;
    if (!err && (event_assign(&u->tick, config->base, -1, EV_PERSIST, on_tick, u) || evtimer_add(&u->tick, &period)))
        err = ERR_NOMEM;
    if (err)
        sqlusage_free(&u);
    *out = u;
    return err;
}

/* Another's lock may end meanwhile: each try waits for SQL_PATIENCE_MS. */
bool sqlusage_finish(struct sqlusage *u)
{
    struct now now = clock_now();
    uint64_t until_ms = now.ms + SQLUSAGE_FINISH_MS;

    while (flush(u, now, until_ms) == ERR_AGAIN && clock_now().ms < until_ms)
        ;
    return ledger_empty(u->ledger);
}

void sqlusage_free(struct sqlusage **u)
{
    if (!*u)
        return;
    if (event_initialized(&(*u)->tick))
        evtimer_del(&(*u)->tick);
    ledger_free(&(*u)->ledger);
    sql_close(&(*u)->db);
    free(*u);
    *u = NULL;
}
