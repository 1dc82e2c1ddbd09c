/*
 * Purpose:  SRTP and SRTCP of one call, both ways, under the keys of its DTLS handshake.
 * Owner:    the bridge's one thread.
 * Lifetime: secure_new to secure_free.
 * Callers:  bridge/media.
 * RFC:      3711, 7714 (AEAD), 5764 section 4.
 */
#ifndef BRIDGE_SECURE_H
#define BRIDGE_SECURE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SECURE_KEY_MAX = 30,      /* bytes of a master key with its salt: 16 + 14 */
    SECURE_TRAILER_MAX = 148, /* room behind a packet that is to be protected: tag, MKI and SRTCP index, libsrtp's own bound */
    SECURE_WINDOW = 1024,     /* packets of replay protection: a jump of the path reorders more than the 128 that are usual */
    SECURE_SOURCES_MAX = 16,  /* SSRCs of the other side in one call: each costs memory and a place in a list */
};

enum secure_profile { SECURE_AES_CM_SHA1_80, SECURE_AEAD_AES_128_GCM };
/* A salt stands right behind its key. */
struct secure_keys {
    enum secure_profile profile;
    uint8_t local[SECURE_KEY_MAX], remote[SECURE_KEY_MAX];
};
/* Bytes of a key without and of its salt. */
size_t secure_key_len(enum secure_profile profile);
size_t secure_salt_len(enum secure_profile profile);

struct secure;
/* Copies the keys. ERR_NOMEM, ERR_CRYPTO. */
int secure_new(struct secure **out, const struct secure_keys *keys);
void secure_free(struct secure **s);

/* In place; `*len` becomes the new length. Before a packet is protected there must be SECURE_TRAILER_MAX bytes of room behind it.
 * ERR_TRUNCATED, ERR_INTEGRITY, ERR_STALE (a replay, or too old), ERR_NOSPC (a source too many), ERR_CRYPTO. */
int secure_protect(struct secure *s, uint8_t *buf, size_t *len);
int secure_protect_rtcp(struct secure *s, uint8_t *buf, size_t *len);
int secure_unprotect(struct secure *s, uint8_t *buf, size_t *len);
int secure_unprotect_rtcp(struct secure *s, uint8_t *buf, size_t *len);

#endif
