/*
 * Purpose:  refuses the time-limited names that were revoked in Redis, under the configuration's own shared secrets too, and without asking.
 * Owner:    made by the control thread; any worker tells it and asks it.
 * Lifetime: redisrefuse_add to auth_free.
 * Callers:  auth/redissource.
 * RFC:      none.
 */
#ifndef AUTH_REDISREFUSE_H
#define AUTH_REDISREFUSE_H

#include "auth/auth.h"
#include "auth/redisevents.h"

enum {
    /* User parts: there is room for what the stream of events can tell a node that starts; 10 MB with names of usual lengths. */
    REDISREFUSE_MAX = REDISEVENTS_KEEP,
};

/*
 * It knows what workers have been told, and so also what the stream still had when this node began. A name whose revocation had left the stream
 * by then (it keeps REDISEVENTS_KEEP events), or reached less far than REDISREFUSE_MAX others, is served until its marker is found: when it is
 * live while the connection to Redis comes back. ERR_NOMEM.
 */
int redisrefuse_add(struct auth *a, char separator);

#endif
