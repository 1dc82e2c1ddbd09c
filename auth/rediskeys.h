/*
 * Purpose:  what is written in Redis in the same way by several of us: an owner in a key, and the marks of what is revoked.
 * Owner:    any thread; stateless.
 * Lifetime: none.
 * Callers:  auth/redismarks, auth/redisshares, auth/redistokens, auth/redisusage.
 * RFC:      none.
 */
#ifndef AUTH_REDISKEYS_H
#define AUTH_REDISKEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "stun/names.h"

enum {
    REDISKEYS_OWNER_MAX = 3 * STUN_USERNAME_MAX + 4, /* bytes of an owner as it is written, and a NUL */
};

/*
 * Kinds of markers: of a token or a user, and of the time-limited names of a user part. A user may have the name of a user part: neither of the two is
 * revoked, or comes back, with the other.
 */
#define REDISKEYS_REVOKED       "revoked"
#define REDISKEYS_REVOKED_NAMES "revoked-names"

/*
 * Marks a token as revoked, in one step. KEYS: the token, its marker. ARGV: now, the marker's TTL if the token has no end. A record that has
 * expired meanwhile is not made anew.
 */
extern const char REDISKEYS_MARK[];

/* For between the braces of a hash tag: %, { and } are written as %25, %7B and %7D, and the owner without a name as "%". False: it does not fit. */
bool rediskeys_owner(char *out, size_t cap, const char *owner);

#endif
