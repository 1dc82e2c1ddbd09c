/*
 * Purpose:  what the files of connect/dial share.
 * Owner:    as dial.h.
 * Lifetime: as dial.h.
 * Callers:  connect/dial, connect/dialtls, connect/dialframe.
 * RFC:      6455.
 */
#ifndef CONNECT_DIALPARTS_H
#define CONNECT_DIALPARTS_H

#include <stdbool.h>

#include "connect/dial.h"

struct evbuffer;
struct ssl_st;
struct dialframe;

/* Why it has failed; `error` is what the bufferevent says (0: nothing). False: nothing that TLS knows of. */
bool dialparts_tls_why(struct ssl_st *ssl, unsigned long error, char *out, size_t cap);

/* ---- dialframe: an open WebSocket's frames, between two buffers. ---- */

struct dialframe_events {
    void (*text)(void *ctx, const char *text, size_t len); /* may call dialframe_stop */
};
/* `in` and `out` are borrowed. ERR_NOMEM. */
int dialframe_new(struct dialframe **out, struct evbuffer *in, struct evbuffer *to, const struct dialframe_events *events,
                  void *ctx);
/* Not from within `text`. NULL-safe; nulls the pointer. */
void dialframe_free(struct dialframe **f);
/* From within `text`: no further one comes. */
void dialframe_stop(struct dialframe *f);
/* Reads what is there; answers pings. ERR_MALFORMED: no WebSocket, or too large a message; ERR_NOTCONN: the other side has closed, with `*code` (0: none). */
int dialframe_read(struct dialframe *f, unsigned *code);
int dialframe_send(struct dialframe *f, const char *text, size_t len);
int dialframe_ping(struct dialframe *f);
void dialframe_close(struct dialframe *f);

#endif
