/*
 * Purpose:  rules for peers and limits of owners in Redis: their keys and texts, read and written by those who may wait.
 * Owner:    one thread that may wait; what reads a reply: any.
 * Lifetime: as the connection's.
 * Callers:  auth/redistokens; auth/redislook reads the same replies.
 * RFC:      none.
 */
#ifndef AUTH_REDISRULES_H
#define AUTH_REDISRULES_H

#include "auth/redisask.h"
#include "auth/tokenstore.h"

/*
 * Keys:
 *   PREFIX peers   hash: allow, deny: entries between blanks
 *   PREFIX quotas  hash: OWNER: "ALLOCATIONS BPS", decimal; 0: no limit
 * Each change is told in the stream of events: "policy", and "quota" with the owner's name.
 */
enum {
    REDISRULES_KEY_MAX = 128, /* bytes of a key */
    REDISRULES_SCAN = 500,    /* owners by answer, about */
};
/* What a look asks for: HMGET of both fields; and one step of HSCAN. */
#define REDISRULES_ALLOW "allow"
#define REDISRULES_DENY  "deny"

void redisrules_peers_key(char key[static REDISRULES_KEY_MAX], const char *prefix);
void redisrules_quotas_key(char key[static REDISRULES_KEY_MAX], const char *prefix);

/* The answer to HMGET. ERR_MALFORMED: no texts of ours. */
int redisrules_read_peers(const struct redisReply *reply, struct tokenstore_peers *out);
/* A value of the hash. ERR_MALFORMED. */
int redisrules_read_limits(const struct redisReply *value, struct auth_limits *out);

/* All of these: as their namesakes of struct tokenstore_ops; errors as redisask_run, and ERR_MALFORMED. */
int redisrules_peers(struct redisask *q, const char *prefix, struct tokenstore_peers *out);
int redisrules_put_peers(struct redisask *q, const char *prefix, const struct tokenstore_peers *peers);
int redisrules_quota(struct redisask *q, const char *prefix, const char *owner, struct auth_limits *out);
int redisrules_put_quota(struct redisask *q, const char *prefix, const char *owner, const struct auth_limits *limits);

#endif
