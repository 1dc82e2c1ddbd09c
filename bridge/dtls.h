/*
 * Purpose:  the DTLS handshake that gives a call its SRTP keys: we are the client (a=setup:active), the other side shows the certificate of its fingerprint.
 * Owner:    the bridge's one thread. No I/O: datagrams in, datagrams out by a callback.
 * Lifetime: a certificate outlives its handshakes; dtls_new to dtls_free.
 * Callers:  bridge/media.
 * RFC:      6347 (DTLS 1.2), 5763, 5764, 8122, 8842.
 */
#ifndef BRIDGE_DTLS_H
#define BRIDGE_DTLS_H

#include <stddef.h>
#include <stdint.h>

#include "bridge/sdp.h"
#include "bridge/secure.h"

enum {
    DTLS_FINGERPRINT_MAX = 112, /* "sha-256 " and 32 bytes as AA:BB */
    DTLS_MTU = 1200,            /* bytes of a datagram of ours with IP and UDP head: what passes a TURN server and most tunnels */
};

struct dtls_cert;
struct dtls;

/* An ECDSA P-256 key and a certificate of its own signature. ERR_NOMEM, ERR_CRYPTO. */
int dtls_cert_new(struct dtls_cert **out);
void dtls_cert_free(struct dtls_cert **cert);
/* "sha-256 AA:BB:...", as SDP has it. */
const char *dtls_cert_fingerprint(const struct dtls_cert *cert);

enum dtls_state {
    DTLS_NEW,
    DTLS_SHAKING,
    DTLS_UP,     /* dtls_keys has them */
    DTLS_CLOSED, /* the other side has said close_notify */
    DTLS_FAILED, /* a wrong certificate, no profile in common, no answer */
};
/* A datagram that goes out. Called from within the functions below; must not call any of them. */
typedef void dtls_send_cb(void *ctx, const uint8_t *data, size_t len);

/* Borrows the certificate, copies the fingerprint. ERR_NOMEM. */
int dtls_new(struct dtls **out, struct dtls_cert *cert, const struct sdp_fingerprint *peer, dtls_send_cb *send, void *ctx);
void dtls_free(struct dtls **d);

/* Sends the first flight. Once the path is there; again it does nothing. */
void dtls_start(struct dtls *d);
/* A datagram whose first byte is 20 to 63 (RFC 7983). */
void dtls_input(struct dtls *d, const uint8_t *data, size_t len);
/* Milliseconds until dtls_timeout is due, negative: never. Ask again after each of the calls here. */
int dtls_due_ms(const struct dtls *d);
void dtls_timeout(struct dtls *d);
enum dtls_state dtls_state(const struct dtls *d);
/* ERR_NOTCONN: not up; ERR_CRYPTO. Wipe them after use. */
int dtls_keys(struct dtls *d, struct secure_keys *out);

#endif
