/*
 * Purpose:  usage on its way into a store: summed by owner, label and token, cut into flushes that are repeated until the store has them.
 * Owner:    the control thread.
 * Lifetime: ledger_new to ledger_free; a flush from ledger_next to ledger_done or ledger_again.
 * Callers:  auth/redisusage and other keepers of usage.
 * RFC:      none.
 */
#ifndef AUTH_LEDGER_H
#define AUTH_LEDGER_H

#include "auth/auth.h"
#include "auth/usage.h"

enum {
    LEDGER_LINES_MAX = 32, /* labels, and tokens, of one flush: it fits into a command of Redis, whatever their length */
    LEDGER_WAITING_MAX =
        200000, /* lines that wait for a store that is away or refuses them, in flushes or not: some 40 MB, and twice that if
                   each has an owner of its own; what is new beyond that is lost, and counted */
};

struct ledger;

struct ledger_line {
    const char *text; /* the label, or the token's id */
    uint64_t max_bytes;
    struct auth_used used;
    uint64_t peak; /* the most allocations that its owner held on this node meanwhile, looked at once a second */
};

/*
 * What one owner has used, not sent yet or not known to have come. Its sequence is larger than that of every flush that was made before,
 * and one owner's flushes follow each other: so a store that keeps the last sequence of each owner counts no flush twice.
 */
struct ledger_flush {
    const char *owner;
    uint64_t sequence;
    int64_t wall; /* seconds since 1970: the hour and day that it counts for, also when it is repeated later */
    size_t nlabels, ntokens;
    const struct ledger_line *labels, *tokens; /* LEDGER_LINES_MAX of each at most: the same usage, seen from two sides */
};

/* ERR_NOMEM. */
int ledger_new(struct ledger **out);
/* What was not flushed is lost. NULL-safe. */
void ledger_free(struct ledger **l);
/* Adds to what is to be flushed; a usage_visit. ERR_NOMEM: nothing was added. */
int ledger_add(void *ledger, const struct usage_who *who, const struct auth_used *more);
/* From now on, and until all has been handed out once, ledger_next has something: once a second. */
void ledger_begin(struct ledger *l);
/* The next flush to be sent, the same as before for what was repeated; NULL: none in this round, or no memory. */
const struct ledger_flush *ledger_next(struct ledger *l, int64_t wall);
/* The store has it. */
void ledger_done(struct ledger *l, const struct ledger_flush *f);
/* Nobody knows: the same again in the next round. What is used meanwhile waits for the flush behind it. */
void ledger_again(struct ledger *l, const struct ledger_flush *f);
/* Has everything been flushed? */
bool ledger_empty(const struct ledger *l);
/* Lines that were lost because too many waited. */
uint64_t ledger_lost(const struct ledger *l);

#endif
