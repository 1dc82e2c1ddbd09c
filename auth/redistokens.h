/*
 * Purpose:  tokens in Redis: each call of the store runs an event loop of its own until it is answered or its time is up.
 * Owner:    one thread that may wait.
 * Lifetime: redistokens_open to tokenstore_close; the store does not move meanwhile.
 * Callers:  programs/turnpikectl.
 * RFC:      none.
 */
#ifndef AUTH_REDISTOKENS_H
#define AUTH_REDISTOKENS_H

#include "auth/redisurl.h"
#include "auth/tokenstore.h"

enum {
    REDISTOKENS_DEADLINE_MS = 5000, /* of each command, the time to connect included: somebody sits before it */
};

/* `prefix` is copied. ERR_NOMEM, ERR_NOSPC (it is too long). It connects with the first call. */
int redistokens_open(struct tokenstore *out, const struct redis_target *target, const char *prefix);

#endif
