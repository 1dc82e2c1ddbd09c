/*
 * Purpose:  one command of Redis at a time, for those who may wait: built word by word, sent, answered or timed out before the call returns.
 * Owner:    one thread that may wait; each has an event loop of its own.
 * Lifetime: redisask_open to redisask_close.
 * Callers:  auth/redisnodes, auth/redistokens and what belongs to it.
 * RFC:      none.
 */
#ifndef AUTH_REDISASK_H
#define AUTH_REDISASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "auth/redis.h"
#include "auth/token.h"

enum {
    REDISASK_ARGS_MAX = 8 + 2 * TOKEN_FIELDS_MAX, /* words of a command: a script, its keys and a token's fields */
    REDISASK_LOOK_MS = 100,                       /* between two looks whether anybody still waits */
    REDISASK_NUMBER_MAX = TOKEN_NUMBER_MAX + 2,   /* bytes of a number, its sign and a NUL */
};

struct redisask {
    struct event_base *base;
    struct redis *redis;
    unsigned deadline_ms; /* of each command, the time to connect included */
    char *why;            /* where it is told why a command failed, in a sentence; never a secret */
    size_t cap;
};

/* One command; zeroed is an empty one. The words are borrowed until it has run. */
struct redisask_command {
    size_t argc;
    bool is_script;
    struct redis_arg argv[REDISASK_ARGS_MAX];
    /* What the answer, which is no error, means: 0, or an error that it has told by redisask_fail. NULL: any answer is fine. */
    int (*read)(struct redisask *q, const struct redisReply *reply, void *out);
    void *out;
};

/* `why` is borrowed. ERR_NOMEM. It connects with the first command. */
int redisask_open(struct redisask *q, const struct redis_target *target, unsigned deadline_ms, char *why, size_t cap);
/* Also of one that was zeroed. */
void redisask_close(struct redisask *q);

void redisask_add(struct redisask_command *c, const void *data, size_t len);
void redisask_text(struct redisask_command *c, const char *text);
/* First of all; its keys follow, then its arguments. */
void redisask_script(struct redisask_command *c, const char *script, const char *nkeys);
/* A number's text, in `out`. */
const char *redisask_number(char out[static REDISASK_NUMBER_MAX], long long n);

/* For the calling thread: once `flag` (borrowed) is true, no command takes longer than REDISASK_LOOK_MS, and ends with ERR_CANCELLED: whoever stops does not
 * wait for a server that does not answer. */
void redisask_ends(const atomic_bool *flag);
/* 0; ERR_TIMEDOUT, ERR_NOTCONN, ERR_IO; ERR_DENIED: the server says no; ERR_NOSPC, ERR_NOMEM; or what was read. */
int redisask_run(struct redisask *q, struct redisask_command *c);
/* A word in the fleet's stream of events (auth/redisevents.h): a kind, and what it is about, and until when names of a user part are revoked; each of
 * these two may be NULL. As redisask_run. */
int redisask_tell(struct redisask *q, const char *prefix, const char *kind, const char *name, const char *before);
/* Tells why, and returns the error. */
int redisask_fail(struct redisask *q, int err, const char *why);

#endif
