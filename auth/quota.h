/*
 * Purpose:  what a user, a source address and all together hold now; the tables behind auth_quota_*.
 * Owner:    all workers: each stripe has its own lock, the total is atomic.
 * Lifetime: quota_new to quota_free, inside a `struct auth`. An entry lives while its count is above zero.
 * Callers:  auth/auth.c.
 * RFC:      8656 section 7.2 (486); limits by source are ours.
 */
#ifndef AUTH_QUOTA_H
#define AUTH_QUOTA_H

#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"

struct quota;

struct quota_limits { /* 0: no limit */
    uint32_t user;
    uint32_t source;
    uint32_t total;
    uint64_t bps; /* set aside by all together */
};

/* ERR_NOMEM. */
int quota_new(struct quota **out, const struct quota_limits *limits);
void quota_free(struct quota **q);
/* Other limits, from the next take on; who holds more keeps it. Any thread. */
void quota_limit(struct quota *q, const struct quota_limits *limits);
/* As auth_quota_take and auth_quota_give. Giving back tells whether the owner has a limit. */
enum auth_quota_result quota_take(struct quota *q, const struct auth_share *share, const struct auth_limits *own,
                                  struct auth_grant *grant);
bool quota_give(struct quota *q, const struct auth_share *share);
uint64_t quota_total(const struct quota *q);

/* As auth_limit_owner, auth_owners_begin and auth_owners_end. One thread. */
int quota_limit_owner(struct quota *q, const char *owner, const struct auth_limits *limits);
void quota_owners_begin(struct quota *q);
void quota_owners_end(struct quota *q);

/* From now on what is taken from a limit is pending until quota_settle. Before the workers start. */
void quota_ask(struct quota *q);
void quota_settle(struct quota *q, const char *owner);
/* As auth_quota_held, auth_quota_each and auth_quota_load. */
void quota_held(struct quota *q, const char *owner, struct auth_held *out);
void quota_each(struct quota *q, unsigned part, void (*visit)(void *ctx, const char *owner), void *ctx);
void quota_load(const struct quota *q, struct auth_load *out);
/* Entries that the tables hold now: nothing is left of what was given back. */
size_t quota_entries(struct quota *q);

#endif
