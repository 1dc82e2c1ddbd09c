/*
 * Purpose:  the fleet's event stream in Redis: revocations and news, read from the last one seen on, so that a lost connection loses none.
 * Owner:    the control thread, on its event base.
 * Lifetime: redisevents_new to redisevents_free.
 * Callers:  programs/.
 * RFC:      none.
 */
#ifndef AUTH_REDISEVENTS_H
#define AUTH_REDISEVENTS_H

#include "auth/auth.h"
#include "auth/redis.h"
#include "auth/redisurl.h"

enum {
    /* A revocation is to end calls within a second, also after the connection was cut: so it must be noticed sooner that nobody speaks. */
    REDISEVENTS_BLOCK_MS = 300,   /* how long the server waits for an event before it says that there is none */
    REDISEVENTS_SILENCE_MS = 700, /* without that word the connection is given up */
    REDISEVENTS_CONNECT_MS = 400,
    REDISEVENTS_BACKOFF_MS = 200, /* at most, between two tries to connect */
    REDISEVENTS_PAGE = 256,       /* events by answer */
    REDISEVENTS_KEEP = 100000,    /* events that the stream keeps, about: a day's of a large fleet */
};

struct redisevents;

/* All on this thread. */
struct redisevents_ops {
    void (*revoked)(void *ctx, const struct auth_revocation *revocation); /* or changed */
    /* Once, when it is known where the stream ends; everything behind that is told. Of what the stream has from before, only user parts are
     * whose names can still be valid: what else is revoked is found by its look-up, or, by whoever is live now, by asking for markers. */
    void (*begun)(void *ctx);
    void (*told)(void *ctx, const char *kind); /* something else has happened: "policy"; or what newer nodes tell each other */
    redis_health_cb *health;                   /* as in redis_new */
};
/* ERR_NOMEM, ERR_NOSPC (the prefix is too long). */
int redisevents_new(struct redisevents **out, struct event_base *base, const struct redis_target *target, const char *prefix,
                    const struct redisevents_ops *ops, void *ctx);
void redisevents_free(struct redisevents **e);

#endif
