/*
 * Purpose:  Redis as a source of credentials: tokens, and coturn's users and shared secrets, asked from each worker's own event loop.
 * Owner:    made by the control thread; everything behind a worker's seat belongs to that worker.
 * Lifetime: redissource_add to auth_free.
 * Callers:  programs/.
 * RFC:      none; coturn's schema of keys.
 */
#ifndef AUTH_REDISSOURCE_H
#define AUTH_REDISSOURCE_H

#include "auth/auth.h"
#include "auth/redis.h"
#include "auth/redisurl.h"

enum {
    REDISSOURCE_DEADLINE_MS = 2000, /* a client asks four times within 3.5 s (RFC 8489 section 6.2.1) and would give up later */
    REDISSOURCE_BACKOFF_MS = 1000,  /* between two tries to connect, at most: less than a look-up waits */
    REDISSOURCE_SECRETS_MS = 10000, /* a shared secret that is new or has gone is noticed within this time */
    REDISSOURCE_PREFIX_MAX = 64,    /* bytes before our own keys */
};

struct redisshares;
struct redissource_config {
    const struct redis_target *target; /* copied */
    const char *prefix;                /* of our own keys: "tp:"; copied */
    char separator;
    unsigned workers;
    struct redisshares *shares; /* may ask over the workers' connections; borrowed, NULL: none */
    redis_health_cb *health;    /* on the worker's thread; `ctx` is its number, as a pointer-sized integer */
};

/* ERR_NOMEM, ERR_NOSPC (the prefix is too long). */
int redissource_add(struct auth *a, const struct redissource_config *config);

#endif
