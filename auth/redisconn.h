/*
 * Purpose:  one connection to one server of Redis: connect, TLS, log in, send, and hand each answer to whom it belongs, in order.
 * Owner:    the thread of its event base.
 * Lifetime: redisconn_new to redisconn_free; `host`, `target`, `tls` and `dns` are borrowed for as long.
 * Callers:  auth/redisnode (commands), auth/redissentinel (where the master is).
 * RFC:      none (RESP 2).
 */
#ifndef AUTH_REDISCONN_H
#define AUTH_REDISCONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct evdns_base;
struct redis_arg;
struct redis_host;
struct redis_target;
struct redisReply;
struct ssl_ctx_st;

enum {
    REDIS_REASON_MAX = 160,    /* bytes of a reason and its NUL */
    REDIS_COMMAND_MAX = 65536, /* bytes of a command on the wire: a token is below 4 KiB */
};

struct redisconn;

/* Something that was sent and waits for its answer; part of what the sender keeps until `done`. */
struct redis_sent {
    struct redis_sent *next;
    /* Exactly once, except after redisconn_free: 0 and the reply, which is borrowed, or ERR_NOTCONN. It may free the connection. */
    void (*done)(struct redis_sent *sent, int err, const struct redisReply *reply);
};

enum redisconn_role {
    REDISCONN_DATA,     /* log in, SELECT, PING */
    REDISCONN_MASTER,   /* the same, and ROLE must say that it is a master */
    REDISCONN_SENTINEL, /* log in as `sentinel_user`, PING */
};

struct redisconn_config {
    struct event_base *base;
    struct evdns_base *dns; /* may be NULL when `host` is an IP or a unix socket */
    struct ssl_ctx_st *tls; /* NULL: none */
    const struct redis_target *target;
    const struct redis_host *host; /* NULL: target->path */
    enum redisconn_role role;
    unsigned attempt; /* which of a name's addresses, counted round */
};

struct redisconn_events {
    void (*ready)(void *ctx); /* logged in: redisconn_send may be called from now on */
    /* Over, with a reason without secrets; what was sent has had its `done`. Once; free it here or later. `broken`: the answer was no Redis protocol, or too large. */
    void (*down)(void *ctx, const char *reason, bool broken);
    void (*push)(void *ctx, const struct redisReply *reply); /* a message of a subscription; may be NULL */
};

/* Connects in the next pass of the loop: no event comes from within this call. ERR_NOMEM. */
int redisconn_new(struct redisconn **out, const struct redisconn_config *config, const struct redisconn_events *events, void *ctx);
/* Silent: what was sent is forgotten. May be called from any of its callbacks. NULL-safe. */
void redisconn_free(struct redisconn **c);
/* Ends it: `down` with this reason, from within. */
void redisconn_close(struct redisconn *c, const char *reason);
/* Sends a formatted command, which is copied. Only between `ready` and `down`. ERR_NOMEM. */
int redisconn_send(struct redisconn *c, const char *wire, size_t len, struct redis_sent *sent);
size_t redisconn_unanswered(const struct redisconn *c);

/* A command's bytes, by malloc; the length of each argument counts, whatever bytes it holds (S23). ERR_NOMEM, ERR_INVAL (none, or beyond REDIS_COMMAND_MAX). */
int redisconn_format(char **wire, size_t *len, const struct redis_arg *argv, size_t argc);

#endif
