/*
 * Purpose:  this node in the fleet: registers by a heart-beat, knows the other nodes, learns when it is to drain, and tells what its owners hold.
 * Owner:    the control thread; the workers call what struct auth_fleet has.
 * Lifetime: redisfleet_add before the workers start; started and stopped with the control thread's loop; freed after the workers have ended.
 * Callers:  programs/.
 * RFC:      8489 section 10 (ALTERNATE-SERVER).
 */
#ifndef AUTH_REDISFLEET_H
#define AUTH_REDISFLEET_H

#include "auth/auth.h"
#include "auth/fleet.h"
#include "auth/redis.h"
#include "auth/redisurl.h"

enum {
    REDISFLEET_BEAT_MS = 1000,
    REDISFLEET_DEADLINE_MS = 900, /* of each command of a beat: before the next one */
    REDISFLEET_TTL_MS = 5000,     /* a node that is silent for so long is dead */
    REDISFLEET_INDEX_S = 60,      /* and for so long is not listed any more */
    REDISFLEET_DRAIN_S = 604800,  /* a wish to drain that no node renews ends after a week */
    REDISFLEET_TICK_MS = 100,     /* all shares are told again within 16 ticks, three times in their TTL */
    REDISFLEET_TELL_MAX = 256,    /* shares that are told at the same time */
    REDISFLEET_GOODBYE_MS = 500,  /* what a clean stop waits for, at most */
    REDISFLEET_PREFIX_MAX = 64,
};

enum redisfleet_event {
    REDISFLEET_READY,
    REDISFLEET_UNAVAILABLE, /* the text is the reason */
    REDISFLEET_DRAINING,
    REDISFLEET_DRAIN_ENDED,
    REDISFLEET_NODE_UP, /* the text is its id, as below */
    REDISFLEET_NODE_DOWN,
    REDISFLEET_ID_TAKEN, /* another process says that it is this node: their quotas don't add up */
    REDISFLEET_REFUSED,  /* Redis does not carry out a command; the text is its answer */
};

struct redisfleet_config {
    const struct redis_target *target; /* copied, as what is below */
    const char *prefix;
    const char *id;
    unsigned workers;
    int64_t started;                                    /* wall clock, seconds */
    void (*sample)(void *ctx, struct fleet_node *self); /* addresses, version, capacity, load, used and full, as they are now */
    void (*event)(void *ctx, enum redisfleet_event event, const char *text);
    void *ctx;
};

struct redisfleet;
struct redisshares;

/* The fleet of `a` from now on. ERR_NOMEM, ERR_NOSPC (the prefix is too long), ERR_INVAL (the id), or of eventfd(2). */
int redisfleet_add(struct redisfleet **out, struct auth *a, const struct redisfleet_config *config);
/* For the workers' connections. */
struct redisshares *redisfleet_shares(const struct redisfleet *f);
/* ERR_NOMEM. */
int redisfleet_start(struct redisfleet *f, struct event_base *base);
/* After the workers have ended. Takes the node and its shares out of Redis at once, if that can be done within REDISFLEET_GOODBYE_MS. NULL-safe. */
void redisfleet_stop(struct redisfleet *f);
void redisfleet_free(struct redisfleet **f);
/* Other nodes that live, as they were read last. */
size_t redisfleet_others(const struct redisfleet *f);
/* A beat at once: somebody has said something about this node. */
void redisfleet_beat(struct redisfleet *f);

/* A node's record. ERR_MALFORMED: it is none, or there is none any more. */
struct redisReply;
int redisfleet_read(struct fleet_node *out, const char *id, const struct redisReply *r);

#endif
