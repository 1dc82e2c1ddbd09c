/*
 * Purpose:  what a Cluster says about itself: the slot of a key, the table of slots, MOVED and ASK.
 * Owner:    any thread; there is no state.
 * Lifetime: none; nothing is kept.
 * Callers:  auth/redis, auth/redisnode.
 * RFC:      none (Redis Cluster specification).
 */
#ifndef AUTH_REDISCLUSTER_H
#define AUTH_REDISCLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/redisurl.h"

struct redisReply;

enum { REDIS_SLOTS = 16384 };

unsigned rediscluster_slot(const void *key, size_t len);

/* One range of CLUSTER SLOTS: `first` to `last`, served by `host` (name "": the node that was asked). */
typedef void rediscluster_range(void *ctx, unsigned first, unsigned last, const struct redis_host *host);
/* Redis 3 to 7. Calls `range` for each; ERR_MALFORMED at the first that makes no sense. */
int rediscluster_slots(const struct redisReply *reply, rediscluster_range *range, void *ctx);

enum rediscluster_error {
    REDISCLUSTER_NONE,  /* the caller's business */
    REDISCLUSTER_MOVED, /* slot and host say where it lives now */
    REDISCLUSTER_ASK,   /* this once it is there */
    REDISCLUSTER_DOWN,  /* CLUSTERDOWN: no master for it now */
    REDISCLUSTER_WAIT,  /* TRYAGAIN: a slot is on its way */
    REDISCLUSTER_LEAVE, /* READONLY, LOADING, MASTERDOWN, UNBLOCKED: this server is not the one, or not yet */
};
/* What an error reply asks for. `host` (name "": the node that answered) and `slot` are set for MOVED and ASK. */
enum rediscluster_error rediscluster_error(const struct redisReply *reply, unsigned *slot, struct redis_host *host);
/* A reply's text as a host's name: ERR_MALFORMED unless it is a name or an IP of sensible length. */
int rediscluster_host(struct redis_host *out, const char *name, size_t len, long long port);

#endif
