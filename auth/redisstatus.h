/*
 * Purpose:  tells in Redis what becomes of allocations, in coturn's keys and texts, for programs that listen to those.
 * Owner:    the control thread, on its event base.
 * Lifetime: redisstatus_new to redisstatus_free.
 * Callers:  programs/.
 * RFC:      none; coturn 4.6.1's schema of status events.
 */
#ifndef AUTH_REDISSTATUS_H
#define AUTH_REDISSTATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/redis.h"
#include "auth/redisurl.h"

struct addr;

enum {
    REDISSTATUS_DEADLINE_MS = 2000, /* of a command; later it would be no news */
    REDISSTATUS_MARGIN_S = 60,      /* a key outlives its allocation's lifetime by so much, where nobody could delete it */
};

struct redisstatus_allocation {
    const char *user;
    uint64_t id; /* below 10^18 */
    bool stream;
    const struct addr *server, *client;
};
struct redisstatus_traffic {
    uint64_t packets_up, bytes_up, packets_down, bytes_down;
};

struct redisstatus;

/* `target` and `realm` are copied. `health` as in redis_new. ERR_NOMEM, ERR_NOSPC (the realm is too long). */
int redisstatus_new(struct redisstatus **out, struct event_base *base, const struct redis_target *target, const char *realm,
                    redis_health_cb *health, void *ctx);
void redisstatus_free(struct redisstatus **s);

/*
 * Sets and publishes turn/realm/R/user/U/allocation/ID/status: "new lifetime=600, type=UDP, local=..., remote=..., ssl=NONE, cipher=NONE".
 * What Redis does not take in time is lost, and counted.
 */
void redisstatus_lives(struct redisstatus *s, const struct redisstatus_allocation *a, bool refreshed, uint32_t lifetime_s);
/* Deletes the key, and publishes "deleted" and the traffic, four times, under .../traffic, .../total_traffic and their /peer. */
void redisstatus_ended(struct redisstatus *s, const struct redisstatus_allocation *a, const struct redisstatus_traffic *t);
/* Commands that Redis has not taken. */
uint64_t redisstatus_lost(const struct redisstatus *s);
/* Of its connection: `pending` is what Redis has not answered yet. */
const struct redis_health *redisstatus_health(const struct redisstatus *s);

#endif
