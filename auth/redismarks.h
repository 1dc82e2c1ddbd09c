/*
 * Purpose:  asks Redis which of those who are live on a worker have been revoked: what an event would have told, had it not been lost.
 * Owner:    one worker thread.
 * Lifetime: redismarks_new to redismarks_free, within that of its client of Redis.
 * Callers:  auth/redissource.
 * RFC:      none.
 */
#ifndef AUTH_REDISMARKS_H
#define AUTH_REDISMARKS_H

#include "auth/auth.h"
#include "auth/redis.h"

enum {
    REDISMARKS_PAGE = 64,          /* questions at a time: logins go on beside them */
    REDISMARKS_DEADLINE_MS = 2000, /* of each; what is not answered is asked again */
};

struct redismarks;

/* `prefix` is borrowed, `live` copied. ERR_NOMEM. */
int redismarks_new(struct redismarks **out, struct redis *redis, const char *prefix, char separator, const struct auth_live *live);
void redismarks_free(struct redismarks **m);
/* Asks for everybody who is live now; a run that is under way begins anew. */
void redismarks_check(struct redismarks *m);

/* The key of the marker of a user name: its user part's, if it is a time-limited one. False: it does not fit. */
bool redismarks_key(char *out, size_t cap, const char *prefix, char separator, const char *name);
/* What a marker's value says of this name. `before` is set when it is a time-limited one, and 0 otherwise. False: it is not revoked. */
struct redisReply;
bool redismarks_read(const struct redisReply *reply, char separator, const char *name, int64_t *before);

#endif
