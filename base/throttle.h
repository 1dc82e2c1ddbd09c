/*
 * Purpose:  brute force (S15): a user and a source address that have failed together too often are not answered for a while. The pair
 *           counts, so that nobody can lock a victim out from elsewhere, and no source can try one user's passwords quickly.
 * Owner:    shared by whoever serves strangers, without a lock: an attacker who changes ports reaches all workers.
 * Lifetime: throttle_new to throttle_free, around the life of those.
 * Callers:  relay/authenticate asks and tells, and relay/relay owns one for all workers; connect/desk has its own.
 * RFC:      none.
 */
#ifndef BASE_THROTTLE_H
#define BASE_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    THROTTLE_FAILURES = 10,   /* of a pair within THROTTLE_WINDOW_S: more than a person's slips, nothing for a guesser */
    THROTTLE_WINDOW_S = 60,   /* in which failures count together, */
    THROTTLE_SILENCE_S = 60,  /* and for how long a pair that has used them up is not answered */
    THROTTLE_BUCKETS = 16384, /* of THROTTLE_WAYS pairs: 512 KB, whatever strangers send */
    THROTTLE_WAYS = 4,
};

struct throttle;

/* ERR_NOMEM. */
int throttle_new(struct throttle **out);
void throttle_free(struct throttle **t);
/* The number that a pair goes by: `user` is a user's part of a name, or a USERHASH; IPv6 sources count by /64. */
uint64_t throttle_pair(const struct throttle *t, const void *user, size_t len, const struct addr *source);
/* Is this pair not to be answered now? */
bool throttle_silent(const struct throttle *t, uint64_t pair, uint64_t now_ms);
/* A wrong or unknown credential. True when it is the one that silences the pair. */
bool throttle_failure(struct throttle *t, uint64_t pair, uint64_t now_ms);

#endif
