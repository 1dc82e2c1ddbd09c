/*
 * Purpose:  what each credential has used since it was last asked: accounts that workers add to, and one collector empties.
 * Owner:    an account's counters belong to one worker, which publishes them; the list and what was collected to the control thread.
 * Lifetime: usage_new to usage_free, inside a `struct auth`. An account lives until it is closed and collected.
 * Callers:  auth/auth.c for the workers; auth/redisusage and other keepers of usage collect.
 * RFC:      none.
 */
#ifndef AUTH_USAGE_H
#define AUTH_USAGE_H

#include "auth/auth.h"

struct usage;

/* ERR_NOMEM. */
int usage_new(struct usage **out);
/* After the workers and the collector. What has not been collected is lost. NULL-safe. */
void usage_free(struct usage **u);

/* As auth_account_open, auth_account_add and auth_account_close; any worker, without a lock. */
int usage_open(struct auth_account **out, struct usage *u, const struct auth_answer *who);
void usage_add(struct auth_account *account, const struct auth_used *more);
void usage_close(struct auth_account **account);

/* "bytes_up"; never NULL. */
const char *usage_name(enum auth_usage which);

/* Whose it is. Borrowed for the call. */
struct usage_who {
    const char *owner;
    const char *label;
    const char *token;  /* its id; NULL: no token */
    uint64_t max_bytes; /* of the token; 0: no limit */
    uint32_t held;      /* allocations of the owner on this node now; 0: none any more, or nobody counts */
};
/* 0: kept. Anything else: not now, it comes again with what is used until then. */
typedef int usage_visit(void *ctx, const struct usage_who *who, const struct auth_used *more);
/* What every account has used since the last time: nothing is told twice, and nothing is left out. One thread. */
void usage_collect(struct usage *u, usage_visit *visit, void *ctx);
/* Who knows what an owner holds now; before the first collection. */
void usage_count(struct usage *u, uint32_t (*held)(void *ctx, const char *owner), void *ctx);
/* Accounts that there are, as of the last collection. */
size_t usage_accounts(const struct usage *u);

#endif
