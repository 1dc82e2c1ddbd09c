/*
 * Purpose:  the rules for peers and the limits of owners in Redis, for a node that serves by them: looked at when they are said to have changed, when
 *           there is a connection again, and now and then.
 * Owner:    the control thread, on its event base.
 * Lifetime: redislook_new to redislook_free.
 * Callers:  programs/.
 * RFC:      none.
 */
#ifndef AUTH_REDISLOOK_H
#define AUTH_REDISLOOK_H

#include "auth/redis.h"
#include "auth/redisurl.h"
#include "auth/tokenstore.h"

enum {
    REDISLOOK_PERIOD_MS = 5000,   /* a change that nobody has told is seen within this time */
    REDISLOOK_DEADLINE_MS = 2000, /* of each command; what could not be read then stays as it was */
};

struct redislook;

/* All on this thread. */
struct redislook_ops {
    /* After each change; at first there are none. Borrowed. */
    void (*peers)(void *ctx, const struct tokenstore_peers *peers);
    /* All owners with limits: between the two others, which are told once for each time that all could be read. */
    void (*begin)(void *ctx);
    void (*quota)(void *ctx, const char *owner, const struct auth_limits *limits);
    void (*end)(void *ctx);
    /* Once for each text: what can't be read, and so stays as it was. */
    void (*unread)(void *ctx, const char *why);
};
/* `target` and `prefix` are copied. ERR_NOMEM, ERR_NOSPC (the prefix is too long). */
int redislook_new(struct redislook **out, struct event_base *base, const struct redis_target *target, const char *prefix,
                  const struct redislook_ops *ops, void *ctx);
void redislook_free(struct redislook **l);
/* Somebody says that something has changed: looks at once. NULL-safe. */
void redislook_now(struct redislook *l);

#endif
