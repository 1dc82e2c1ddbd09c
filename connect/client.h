/*
 * Purpose:  a client of the connect service: one WebSocket over TLS that comes back by itself, JSON-RPC over it.
 * Owner:    the thread of its event base; the process ignores SIGPIPE.
 * Lifetime: connect_client_new to connect_client_free.
 * Callers:  bridge/, probe/.
 * RFC:      6455, 9110 section 9.3.6 (CONNECT by a proxy), JSON-RPC 2.0; docs/connect-protocol.md.
 */
#ifndef CONNECT_CLIENT_H
#define CONNECT_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct connect_client;
struct evdns_base;
struct event_base;

enum { CONNECT_CLIENT_TEXT_MAX = 256 };

struct connect_client_config {
    struct event_base *base;
    struct evdns_base *dns;          /* borrowed; NULL: one of its own, of the system's name servers */
    const char *url;                 /* "wss://connect.example/connect"; "ws://" on loopback only */
    const char *ca_file;             /* PEM; NULL: the system's authorities */
    const char *proxy;               /* "http://proxy:3128"; NULL: none */
    const char *role;                /* "bridge", "phone" */
    const char *name;                /* may be NULL */
    const char *username, *password; /* of the token; copied, wiped at the end */
};
/* Typed, context last, never from within a call of the functions below. */
struct connect_client_events {
    /* `hello` was answered: its result (borrowed). `resumed`: the session of before, with its calls. */
    void (*up)(void *ctx, const json_t *hello, bool resumed);
    /* The connection is gone, or could not be had: why, in a sentence with the cure where there is one. It is tried again: 0.5 s to 10 s, jittered.
     * `lost`: the session was not resumed in time, its calls are over. */
    void (*down)(void *ctx, const char *why, bool lost);
    /* A notification or request of the service (requests have an `id`: there are none in v1). Borrowed. */
    void (*message)(void *ctx, const char *method, const json_t *params);
};
/* result or error (one of them NULL), borrowed; both NULL: the connection went before the answer. Not called after connect_client_free. */
typedef void connect_client_cb(void *ctx, const json_t *result, const json_t *error);

/* Copies everything. ERR_INVAL (URL, proxy, authorities; `text` says what), ERR_NOMEM. The first connection is tried at once, from the loop. */
int connect_client_new(struct connect_client **out, const struct connect_client_config *config,
                       const struct connect_client_events *events, void *ctx, char text[static CONNECT_CLIENT_TEXT_MAX]);
/* `params` is taken over (also on error; NULL: none). ERR_NOTCONN (not `up`), ERR_NOMEM, ERR_NOSPC (1000 wait, or too much is unsent), ERR_MSGSIZE. */
int connect_client_request(struct connect_client *c, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx);
/* As above. While the connection is lost but may be resumed, notifications wait (bounded), in order; those of a session that is lost are dropped. */
int connect_client_notify(struct connect_client *c, const char *method, json_t *params);
/* Within `down`: it was the service's own no to the token, for which no other connection helps. */
bool connect_client_is_refused(const struct connect_client *c);
/* Says `bye` if it can. May be called from within a callback. NULL-safe; nulls the pointer; no callback afterwards. */
void connect_client_free(struct connect_client **c);

#endif
