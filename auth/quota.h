/*
 * Purpose:  how many allocations a user, a source address and all together hold now; the tables behind auth_quota_*.
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
};

/* ERR_NOMEM. */
int quota_new(struct quota **out, const struct quota_limits *limits);
void quota_free(struct quota **q);
/* As auth_quota_take and auth_quota_give. */
enum auth_quota_result quota_take(struct quota *q, const char *owner, const struct addr *source);
void quota_give(struct quota *q, const char *owner, const struct addr *source);
uint64_t quota_total(const struct quota *q);
/* Entries that the tables hold now: nothing is left of what was given back. */
size_t quota_entries(struct quota *q);

#endif
