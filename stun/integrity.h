/*
 * Purpose:  MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT, USERHASH and the long-term keys.
 * Owner:    a `struct stun_mac` belongs to one thread (it keeps OpenSSL contexts warm); the rest is stateless.
 * Lifetime: stun_mac_new to stun_mac_free.
 * Callers:  relay/turn, auth/, stun/nonce, stun/client.
 * RFC:      8489 sections 9.2.2, 14.4 to 14.7; 8656 section 5.
 */
#ifndef STUN_INTEGRITY_H
#define STUN_INTEGRITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stun/msg.h"

struct stun_mac;
int stun_mac_new(struct stun_mac **out); /* ERR_NOMEM, ERR_CRYPTO */
void stun_mac_free(struct stun_mac **mac);

/* HMAC over a buffer; `out` takes 20 or 32 bytes. ERR_CRYPTO. */
int stun_hmac_sha1(struct stun_mac *mac, const void *key, size_t key_len, const void *data, size_t len, uint8_t out[static 20]);
int stun_hmac_sha256(struct stun_mac *mac, const void *key, size_t key_len, const void *data, size_t len, uint8_t out[static 32]);

/*
 * Verify the integrity of a decoded message, in constant time, with the header's length taken as if it ended at that attribute (C24).
 * ERR_NOENT: the attribute is not there; ERR_INTEGRITY: it is wrong, or not exactly 20 (SHA-1) or 32 (SHA-256, C23) bytes long.
 */
int stun_check_sha1(struct stun_mac *mac, const struct stun_msg *m, const uint8_t *key, size_t key_len);
int stun_check_sha256(struct stun_mac *mac, const struct stun_msg *m, const uint8_t *key, size_t key_len);

/* Append to a message being built. Errors are sticky in the builder. */
void stun_put_sha1(struct stun_out *o, struct stun_mac *mac, const uint8_t *key, size_t key_len);
void stun_put_sha256(struct stun_out *o, struct stun_mac *mac, const uint8_t *key, size_t key_len);
void stun_put_fingerprint(struct stun_out *o);

/* CRC-32 of ITU V.42 (RFC 8489 section 14.7), without the xor. */
uint32_t stun_crc32(const uint8_t *data, size_t len);

/* Long-term keys: MD5(user ":" realm ":" password) and SHA-256 of the same. Strings are prepared already (OpaqueString). ERR_CRYPTO. */
int stun_key_md5(const char *user, const char *realm, const char *password, uint8_t out[static STUN_MD5_KEY_LEN]);
int stun_key_sha256(const char *user, const char *realm, const char *password, uint8_t out[static STUN_SHA256_KEY_LEN]);
int stun_userhash(const char *user, const char *realm, uint8_t out[static STUN_USERHASH_LEN]);

#endif
