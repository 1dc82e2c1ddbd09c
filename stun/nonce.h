/*
 * Purpose:  stateless nonces with the nonce cookie: made and judged by every worker from one server key.
 * Owner:    any thread; the key is read-only after nonce_key_init. The MAC contexts are the caller's.
 * Lifetime: a nonce lives NONCE_LIFETIME_S.
 * Callers:  relay/turn.
 * RFC:      8489 section 9.2 (cookie, security features), 9.2.4 (438).
 */
#ifndef STUN_NONCE_H
#define STUN_NONCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stun/integrity.h"

enum {
    NONCE_LIFETIME_S = 1800, /* "expires within the hour" (RFC 8656 section 5); half of it, so that a clock step does not pass it */
    NONCE_LEN = 9 + 4 + 8 + 24, /* cookie, features, time in hex, MAC of 18 bytes in base64 */
};

/* Security features (24 bits). Both bit orders are in use in the field, so a feature is set under both readings. */
enum nonce_features {
    NONCE_PASSWORD_ALGORITHMS = 0x800001,
    NONCE_USERNAME_ANONYMITY = 0x400002,
};

struct nonce_key {
    uint8_t secret[32];
};
void nonce_key_init(struct nonce_key *k); /* random */

/* `source` is the client's address and port, `transport` the caller's number of UDP, TCP, ...: never the same nonce to two of them (C18).
 * No NUL is written. */
int nonce_make(const struct nonce_key *k, struct stun_mac *mac, const struct addr *source, uint8_t transport, uint32_t features,
               uint64_t now_ms, uint8_t out[static NONCE_LEN]);
/* 0; ERR_STALE: ours, but too old; ERR_INTEGRITY: not ours, another source's, or altered (C21, C30). `features` must be those in force. */
int nonce_check(const struct nonce_key *k, struct stun_mac *mac, const struct addr *source, uint8_t transport, uint32_t features,
                uint64_t now_ms, const uint8_t *nonce, size_t len);

#endif
