/*
 * Purpose:  keeps usage in the embedded store: what was used, once a second, in one transaction with the end of who has used all.
 * Owner:    the control thread, on its event base.
 * Lifetime: sqlusage_new to sqlusage_free, within the life of the `struct usage`.
 * Callers:  programs/.
 * RFC:      none.
 */
#ifndef AUTH_SQLUSAGE_H
#define AUTH_SQLUSAGE_H

#include "auth/usage.h"
#include "base/clock.h"

/*
 * Nothing is counted twice: a transaction is in the store or has never been. One that fails (a full disk, another's lock) is repeated a second
 * later. What can be lost: what a process that was killed had not written, a second or two; and what a store that is away for so long that
 * LEDGER_WAITING_MAX lines wait does not hear of. As long as nobody has made a store, nothing is kept, and this makes none.
 *
 * It has a connection of its own: so auth/sqlsource sees what has been revoked here as it sees anybody else's changes.
 */
enum {
    SQLUSAGE_PERIOD_MS = 1000,
    SQLUSAGE_BUDGET_MS =
        200, /* of each period, for transactions that begin: the control thread has other work. The rest goes first next time */
    SQLUSAGE_FINISH_MS = 700,   /* for the last transactions when the process ends, which has two seconds in all */
    SQLUSAGE_SWEEP_MS = 60000,  /* between two times that what is old is deleted; what is left over follows a second later */
    SQLUSAGE_FLUSHES_MAX = 256, /* of one transaction: others wait for its end */
    SQLUSAGE_LINES_MAX = 1024,  /* likewise: some ten thousand rows, tens of milliseconds */
};

struct event_base;
struct sqlusage;

struct sqlusage_events {
    /* A credential has used all that it may, and has been revoked. The texts are borrowed. */
    void (*exhausted)(void *ctx, const char *name, uint64_t used, uint64_t max_bytes);
    /* Once when the store cannot be written any more, with the reason; with "" when all is well again. */
    void (*trouble)(void *ctx, const char *reason);
};

struct sqlusage_config {
    struct event_base *base;
    const char *dir; /* copied */
    struct usage *usage;
    struct sqlusage_events events;
    void *ctx;
};

/* ERR_NOMEM. */
int sqlusage_new(struct sqlusage **out, const struct sqlusage_config *config);
/* What its timer does once a second. */
void sqlusage_flush(struct sqlusage *u, struct now now);
/* After the workers: collects and writes the rest, for SQLUSAGE_FINISH_MS at most. False: not all of it has been kept. */
bool sqlusage_finish(struct sqlusage *u);
/* NULL-safe; nulls the pointer. */
void sqlusage_free(struct sqlusage **u);

#endif
