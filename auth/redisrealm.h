/*
 * Purpose:  coturn's options of our realm in Redis: limits, and lists of peers; read every few seconds, and each change is told.
 * Owner:    the control thread, on its event base.
 * Lifetime: redisrealm_new to redisrealm_free.
 * Callers:  programs/.
 * RFC:      none; coturn's schema of keys.
 */
#ifndef AUTH_REDISREALM_H
#define AUTH_REDISREALM_H

#include <stddef.h>
#include <stdint.h>

#include "auth/redis.h"
#include "auth/redisurl.h"

enum {
    REDISREALM_PERIOD_MS = 5000,   /* a change that nobody has told is seen within this time */
    REDISREALM_DEADLINE_MS = 2000, /* of a look; what could not be read then stays as it was */
    REDISREALM_PEERS_MAX = 1024,   /* entries of a list; each packet that has to be judged may walk them all */
    REDISREALM_PEER_MAX = 200,     /* bytes of an entry that are kept: more than any that can be read */
    REDISREALM_TEXT_MAX = 256,
};

/* As they are now; borrowed for the call. */
struct redisrealm_options {
    uint64_t max_bps; /* bits a second of an allocation; coturn's number is bytes. 0: no limit, as below */
    uint32_t user_quota, total_quota;
    const char *const *allowed, *const *denied; /* entries as they stand there: who uses them has to read them */
    size_t nallowed, ndenied;
};

struct redisrealm;

/* After each change; at first nothing is set. `unread` is a sentence about what can't be read, and so stays as it was; or NULL. */
typedef void redisrealm_cb(void *ctx, const struct redisrealm_options *options, const char *unread);
/* `target` and `realm` are copied. ERR_NOMEM, ERR_NOSPC (the realm is too long). */
int redisrealm_new(struct redisrealm **out, struct event_base *base, const struct redis_target *target, const char *realm,
                   redisrealm_cb *changed, void *ctx);
void redisrealm_free(struct redisrealm **r);
/* Somebody says that they have changed: looks at once. */
void redisrealm_look(struct redisrealm *r);

#endif
