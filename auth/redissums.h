/*
 * Purpose:  sums of usage in Redis, read: auth/redisusage.h says how they are kept.
 * Owner:    one thread that may wait.
 * Lifetime: as the connection's.
 * Callers:  auth/redistokens.
 * RFC:      none.
 */
#ifndef AUTH_REDISSUMS_H
#define AUTH_REDISSUMS_H

#include "auth/redisask.h"
#include "auth/tokenstore.h"

enum { REDISSUMS_PREFIX_MAX = 64 };

/* All of these: as `usage`, `owners` and `used` of struct tokenstore_ops; errors as redisask_run, and ERR_MALFORMED. */
int redissums_read(struct redisask *q, const char *prefix, const struct tokenstore_period *period,
                   bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx);
int redissums_owners(struct redisask *q, const char *prefix, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx);
int redissums_used(struct redisask *q, const char *prefix, const struct token *t, struct auth_used *out);

#endif
