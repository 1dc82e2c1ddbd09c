/*
 * Purpose:  one WebSocket that we open: name, proxy, TLS, handshake, whole text messages, signs of life.
 * Owner:    the thread of its event base; the process ignores SIGPIPE.
 * Lifetime: dial_new to dial_free; what `config` points to is borrowed for as long.
 * Callers:  connect/client; probe/ has its authorities and sessions from here.
 * RFC:      6455, 9110 section 9.3.6 (CONNECT), 6125 (the server's name).
 */
#ifndef CONNECT_DIAL_H
#define CONNECT_DIAL_H

#include <stddef.h>

#include "connect/dialurl.h"
#include "connect/link.h"

struct dial;
struct event_base;
struct evdns_base;
struct ssl_ctx_st;
struct ssl_st;

enum {
    DIAL_MESSAGE_MAX = LINK_MESSAGE_MAX,
    DIAL_QUEUE_MAX = LINK_QUEUE_MAX, /* the service's limits are ours */
    DIAL_WHY_MAX = 256,              /* bytes of a reason and its NUL */
};

struct dial_config {
    struct event_base *base;
    struct evdns_base *dns;
    struct ssl_ctx_st *tls; /* of dial_tls; NULL for ws:// */
    const struct dialurl *url;
    const struct dialurl *proxy; /* NULL: none */
    const char *subprotocol;
    unsigned attempt; /* which of a name's addresses, counted round */
};

/* None from within a call of the functions below; each may call dial_free. */
struct dial_events {
    void (*up)(void *ctx);
    void (*text)(void *ctx, const char *text, size_t len); /* borrowed */
    /* Over, once: a sentence with the cure where there is one, without secrets, and the close code of the server (0: none). */
    void (*down)(void *ctx, const char *why, unsigned code);
};

/* Connects in the next pass of the loop. ERR_NOMEM. */
int dial_new(struct dial **out, const struct dial_config *config, const struct dial_events *events, void *ctx);
/* ERR_NOTCONN before `up`, ERR_MSGSIZE, ERR_NOSPC (DIAL_QUEUE_MAX), ERR_NOMEM. Copied. */
int dial_send(struct dial *d, const char *text, size_t len);
/* Silent. If it is open, what waits and a close frame go out as far as the socket takes them at once. NULL-safe; nulls the pointer. */
void dial_free(struct dial **d);

/* Checks who answers: against `ca_file` (PEM) or the system's authorities (NULL), and for the name that is dialled. ERR_INVAL (the file), ERR_NOMEM. */
int dial_tls(struct ssl_ctx_st **out, const char *ca_file);
/* A session that takes only a server whose certificate is for `host` (a domain name or an IP). NULL: no memory. */
struct ssl_st *dial_session(struct ssl_ctx_st *ctx, const char *host);

#endif
