/*
 * Purpose:  what Redis sends, cut into replies by hiredis' reader, with limits on everything that a server could make large.
 * Owner:    one connection's thread.
 * Lifetime: redisreply_new to redisreply_free; a reply belongs to the caller.
 * Callers:  auth/redisconn.
 * RFC:      none (RESP 2).
 */
#ifndef AUTH_REDISREPLY_H
#define AUTH_REDISREPLY_H

#include <stddef.h>

struct redisReply;

enum {
    REDIS_REPLY_BYTES_MAX = 1 << 20, /* of all strings of one reply: a page of tokens or events is far below */
    REDIS_REPLY_ITEMS_MAX = 1 << 16, /* elements of one reply, at every depth; hiredis refuses more than 8 arrays in each other */
    REDIS_REPLY_CHUNK = 16384,       /* bytes that a caller feeds at once, at most */
};

struct redisreply_reader;

int redisreply_new(struct redisreply_reader **out); /* ERR_NOMEM */
void redisreply_free(struct redisreply_reader **r);
/* ERR_MALFORMED: what came breaks the protocol or a limit (redisreply_why says which), and nothing can be read any more. */
int redisreply_feed(struct redisreply_reader *r, const void *data, size_t len);
/* 1: `*reply` is the caller's, who frees it with redisreply_done; 0: more bytes are needed; ERR_MALFORMED as above. */
int redisreply_next(struct redisreply_reader *r, struct redisReply **reply);
void redisreply_done(struct redisReply *reply);
const char *redisreply_why(const struct redisreply_reader *r); /* static text */

#endif
