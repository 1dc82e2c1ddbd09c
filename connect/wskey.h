/*
 * Purpose:  what a server answers to the key of a client's handshake (Sec-WebSocket-Accept), for both ends.
 * Owner:    any thread; stateless.
 * Lifetime: none.
 * Callers:  connect/http, connect/dialhead.
 * RFC:      6455 section 1.3.
 */
#ifndef CONNECT_WSKEY_H
#define CONNECT_WSKEY_H

#include <stddef.h>

enum {
    WSKEY_LEN = 24,    /* base64 of 16 bytes */
    WSKEY_ACCEPT = 28, /* base64 of a SHA-1 */
};

/* ERR_INVAL: a key of another length; ERR_CRYPTO. */
int wskey_accept(char out[static WSKEY_ACCEPT + 1], const char *key, size_t len);

#endif
