#include "stun/nonce.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"
#include "stun/names.h"

/*
 * "obMatJos2" | 4: features | 8: second of issue, hex | 24: MAC over features, second, source and transport
 * The first 13 characters are the nonce cookie of RFC 8489 section 9.2.
 */
enum {
    COOKIE_LEN = 9,
    FEATURES_AT = COOKIE_LEN,
    TIME_AT = FEATURES_AT + 4,
    MAC_AT = TIME_AT + 8,
    MAC_BYTES = 18,
};
_Static_assert(MAC_AT + MAC_BYTES / 3 * 4 == NONCE_LEN, "the parts add up");

static const char cookie[COOKIE_LEN + 1] = "obMatJos2";

void nonce_key_init(struct nonce_key *k)
{
    random_bytes(k->secret, sizeof(k->secret));
}

static int make(const struct nonce_key *k, struct stun_mac *mac, const struct addr *source, uint8_t transport, uint32_t features,
                uint32_t second, uint8_t out[static NONCE_LEN])
{
    uint8_t f[3] = {(uint8_t)(features >> 16), (uint8_t)(features >> 8), (uint8_t)features};
    uint8_t t[4] = {(uint8_t)(second >> 24), (uint8_t)(second >> 16), (uint8_t)(second >> 8), (uint8_t)second};
    uint8_t in[sizeof(f) + sizeof(t) + 4 + sizeof(source->ip)], digest[STUN_SHA256_KEY_LEN];
    char text[MAC_BYTES / 3 * 4 + 1];

    memcpy(in, f, sizeof(f));
    memcpy(in + 3, t, sizeof(t));
    in[7] = source->family;
    in[8] = (uint8_t)(source->port >> 8);
    in[9] = (uint8_t)source->port;
    in[10] = transport;
    memcpy(in + 11, source->ip, sizeof(source->ip));
    int err = stun_hmac_sha256(mac, k->secret, sizeof(k->secret), in, sizeof(in), digest);
    if (err)
        return err;

    memcpy(out, cookie, COOKIE_LEN);
    base64_encode(text, f, sizeof(f));
    memcpy(out + FEATURES_AT, text, 4);
    hex_encode(text, t, sizeof(t));
    memcpy(out + TIME_AT, text, 8);
    base64_encode(text, digest, MAC_BYTES);
    memcpy(out + MAC_AT, text, NONCE_LEN - MAC_AT);
    OPENSSL_cleanse(digest, sizeof(digest));
    return 0;
}

int nonce_make(const struct nonce_key *k, struct stun_mac *mac, const struct addr *source, uint8_t transport, uint32_t features,
               uint64_t now_ms, uint8_t out[static NONCE_LEN])
{
    return make(k, mac, source, transport, features, (uint32_t)(now_ms / 1000), out);
}

/* Lower-case hex as nonce_make writes it; false for anything else. */
static bool read_second(const uint8_t *text, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t c = text[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

int nonce_check(const struct nonce_key *k, struct stun_mac *mac, const struct addr *source, uint8_t transport, uint32_t features,
                uint64_t now_ms, const uint8_t *nonce, size_t len)
{
    uint8_t want[NONCE_LEN];
    uint32_t second;
    if (len != NONCE_LEN || memcmp(nonce, cookie, COOKIE_LEN) != 0 || !read_second(nonce + TIME_AT, &second))
        return ERR_INTEGRITY;
    int err = make(k, mac, source, transport, features, second, want);
    if (err)
        return err;
    if (CRYPTO_memcmp(want, nonce, NONCE_LEN) != 0)
        return ERR_INTEGRITY;
    /* A second in the future cannot be ours either, unless the clock was set anew: the difference wraps, and it counts as old. */
    return (uint32_t)(now_ms / 1000) - second > NONCE_LIFETIME_S ? ERR_STALE : 0;
}
