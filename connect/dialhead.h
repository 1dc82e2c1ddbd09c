/*
 * Purpose:  what a client writes before a WebSocket is open, and the head of the answer to it.
 * Owner:    any thread; no state.
 * Lifetime: none.
 * Callers:  connect/dial, probe/line.
 * RFC:      9110 section 9.3.6 (CONNECT), 9112 (HTTP/1.1), 6455 section 4.1 (opening handshake).
 */
#ifndef CONNECT_DIALHEAD_H
#define CONNECT_DIALHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "connect/dialurl.h"

enum {
    DIAL_HEAD_MAX = 8192,   /* bytes of an answer's head: some hundred in practice */
    DIAL_KEY_MAX = 25,      /* base64 of 16 bytes, and its NUL */
    DIAL_ACCEPT_MAX = 29,   /* base64 of a SHA-1, and its NUL */
    DIAL_REQUEST_MAX = 2048 /* bytes of what we write, and its NUL: host and path twice, and fixed text */
};

#define DIALHEAD_PROTOCOL "turnpike.connect.v1" /* the subprotocol: docs/connect-protocol.md */

/* A fresh Sec-WebSocket-Key. */
void dialhead_key(char out[static DIAL_KEY_MAX]);
/* What the server makes of it. ERR_CRYPTO. */
int dialhead_accept(char out[static DIAL_ACCEPT_MAX], const char *key);
/* Both return the length. */
size_t dialhead_connect(char out[static DIAL_REQUEST_MAX], const struct dialurl *url);
size_t dialhead_upgrade(char out[static DIAL_REQUEST_MAX], const struct dialurl *url, const char *key, const char *subprotocol);

/* The bytes of the head at the beginning of `text`, its empty line included; 0: not all there; ERR_MSGSIZE beyond DIAL_HEAD_MAX. */
int dialhead_len(const char *text, size_t len);
/* The status of a whole head; ERR_MALFORMED if it is no HTTP/1. */
int dialhead_status(const char *head, size_t len);
/* The value of a field that stands there once, without blanks around it, and its length; NULL else. Borrows `head`. */
const char *dialhead_field(const char *head, size_t len, const char *name, size_t *n);
/* Whether a head with status 101 opens our WebSocket. NULL, or what is wrong. */
const char *dialhead_wrong(const char *head, size_t len, const char *accept, const char *subprotocol);

#endif
