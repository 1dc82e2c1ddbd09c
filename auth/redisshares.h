/*
 * Purpose:  what owners with a limit hold on this node, kept in Redis beside what they hold on others: asked before each Allocate, told after each end.
 * Owner:    made by the control thread; each worker asks over its own client of Redis, the control thread tells over its own.
 * Lifetime: redisshares_new to redisshares_free, around the life of the workers.
 * Callers:  auth/redisfleet, auth/redissource.
 * RFC:      none.
 */
#ifndef AUTH_REDISSHARES_H
#define AUTH_REDISSHARES_H

#include "auth/auth.h"
#include "auth/redis.h"

enum {
    REDISSHARES_TTL_MS = 5000, /* a dead node's share counts for so long: as its record (REDISFLEET_TTL_MS) */
    REDISSHARES_DEADLINE_MS =
        1000, /* of a question: beyond it the local limit alone decides, before the client asks again for the second time */
    REDISSHARES_TELL_MS = 2000, /* of what is told */
};

/*
 * The share of a node is `<prefix>quota:{<owner>}:<node>`, "COUNT NUMBER" with a TTL; the set `<prefix>quota:{<owner>}` names the nodes that have one. A
 * script adds up the others' shares and sets this node's, or refuses: Redis runs one at a time, so two Allocates at the same moment on two nodes can't
 * both get the last place. NUMBER orders what this node says on several connections. The owner is written as rediskeys_owner does.
 */
struct redisshares;

/* `prefix` and `node` are borrowed. `since` (wall clock, seconds) makes the numbers of this process higher than those of the one before. ERR_NOMEM. */
int redisshares_new(struct redisshares **out, const char *prefix, const char *node, unsigned workers, int64_t since);
void redisshares_free(struct redisshares **s);
/* By each worker, before its first question and after its last. */
void redisshares_attach(struct redisshares *s, unsigned worker, struct redis *redis);
void redisshares_detach(struct redisshares *s, unsigned worker);

/* As struct auth_fleet's. */
enum auth_quota_result redisshares_ask(struct redisshares *s, unsigned worker, const struct auth_share *share,
                                       const struct auth_grant *grant, struct auth_quota_ticket **ticket);
void redisshares_cancel(struct redisshares *s, struct auth_quota_ticket *ticket);
/* Says what an owner holds here now, over `redis`; `last`: that this node has no share any more. Errors as redis_command. */
int redisshares_tell(struct redisshares *s, struct redis *redis, const char *owner, const struct auth_held *held, bool last,
                     redis_cb *cb, void *ctx);

#endif
