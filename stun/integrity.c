#include "stun/integrity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum {
    BLOCK = 64, /* of SHA-1 and SHA-256 */
    SHA1_LEN = 20,
    SHA256_LEN = 32,
    ATTR_HEADER_LEN = 4,
    LENGTH_AT = 2,
};

/* Fetching an algorithm takes OpenSSL longer than a digest does: done once. A context keeps its state block between messages. */
struct hasher {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
    size_t len;
};

struct stun_mac {
    struct hasher sha1;
    struct hasher sha256;
};

struct piece {
    const void *data;
    size_t len;
};

static int hasher_init(struct hasher *h, const char *name, size_t len)
{
    h->md = EVP_MD_fetch(NULL, name, NULL);
    h->ctx = EVP_MD_CTX_new();
    h->len = len;
    if (!h->ctx)
        return ERR_NOMEM;
    return h->md ? 0 : ERR_CRYPTO;
}

static void hasher_deinit(struct hasher *h)
{
    EVP_MD_CTX_free(h->ctx);
    EVP_MD_free(h->md);
}

int stun_mac_new(struct stun_mac **out)
{
    struct stun_mac *mac = calloc(1, sizeof(*mac));
    if (!mac)
        return ERR_NOMEM;
    int err = hasher_init(&mac->sha1, "SHA1", SHA1_LEN);
    if (!err)
        err = hasher_init(&mac->sha256, "SHA256", SHA256_LEN);
    if (err) {
        stun_mac_free(&mac);
        return err;
    }
    *out = mac;
    return 0;
}

void stun_mac_free(struct stun_mac **mac)
{
    if (!mac || !*mac)
        return;
    hasher_deinit(&(*mac)->sha1);
    hasher_deinit(&(*mac)->sha256);
    free(*mac);
    *mac = NULL;
}

static bool digest(struct hasher *h, const struct piece *pieces, size_t n, uint8_t *out)
{
    bool ok = EVP_DigestInit_ex(h->ctx, h->md, NULL);
    for (size_t i = 0; i < n && ok; i++)
        ok = pieces[i].len == 0 || EVP_DigestUpdate(h->ctx, pieces[i].data, pieces[i].len);
    return ok && EVP_DigestFinal_ex(h->ctx, out, NULL);
}

/* RFC 2104, over a head and a tail, so that the header of a message can be replaced. */
static int hmac(struct hasher *h, const void *key, size_t key_len, struct piece head, struct piece tail, uint8_t *out)
{
    uint8_t pad[BLOCK] = {0}, inner[SHA256_LEN];
    int err = ERR_CRYPTO;
    if (key_len > BLOCK) {
        if (!digest(h, &(struct piece){key, key_len}, 1, pad))
            goto out;
    } else if (key_len) {
        memcpy(pad, key, key_len);
    }
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    if (!digest(h, (struct piece[]){{pad, BLOCK}, head, tail}, 3, inner))
        goto out;
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    if (!digest(h, (struct piece[]){{pad, BLOCK}, {inner, h->len}}, 2, out))
        goto out;
    err = 0;
out:
    OPENSSL_cleanse(pad, sizeof(pad));
    OPENSSL_cleanse(inner, sizeof(inner));
    return err;
}

int stun_hmac_sha1(struct stun_mac *mac, const void *key, size_t key_len, const void *data, size_t len, uint8_t out[static 20])
{
    return hmac(&mac->sha1, key, key_len, (struct piece){data, len}, (struct piece){NULL, 0}, out);
}

int stun_hmac_sha256(struct stun_mac *mac, const void *key, size_t key_len, const void *data, size_t len, uint8_t out[static 32])
{
    return hmac(&mac->sha256, key, key_len, (struct piece){data, len}, (struct piece){NULL, 0}, out);
}

/* The HMAC of the first `len` bytes of a message, its length field telling of an integrity attribute right behind them (C24). */
static int message_hmac(struct hasher *h, const uint8_t *key, size_t key_len, const uint8_t *buf, size_t len, uint8_t *out)
{
    uint8_t head[STUN_HEADER_LEN];
    size_t body = len - STUN_HEADER_LEN + ATTR_HEADER_LEN + h->len;
    memcpy(head, buf, sizeof(head));
    head[LENGTH_AT] = (uint8_t)(body >> 8);
    head[LENGTH_AT + 1] = (uint8_t)body;
    return hmac(h, key, key_len, (struct piece){head, sizeof(head)}, (struct piece){buf + sizeof(head), len - sizeof(head)}, out);
}

static int check(struct hasher *h, uint16_t type, const struct stun_msg *m, const uint8_t *key, size_t key_len)
{
    uint8_t want[SHA256_LEN];
    const struct stun_attr *a = stun_find(m, type);
    if (!a)
        return ERR_NOENT;
    if (a->len != h->len)
        return ERR_INTEGRITY;
    int err = message_hmac(h, key, key_len, m->buf, (size_t)(a->value - m->buf) - ATTR_HEADER_LEN, want);
    if (!err && CRYPTO_memcmp(want, a->value, h->len) != 0)
        err = ERR_INTEGRITY;
    OPENSSL_cleanse(want, sizeof(want));
    return err;
}

int stun_check_sha1(struct stun_mac *mac, const struct stun_msg *m, const uint8_t *key, size_t key_len)
{
    return check(&mac->sha1, STUN_ATTR_MESSAGE_INTEGRITY, m, key, key_len);
}

int stun_check_sha256(struct stun_mac *mac, const struct stun_msg *m, const uint8_t *key, size_t key_len)
{
    return check(&mac->sha256, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, m, key, key_len);
}

static void put(struct stun_out *o, struct hasher *h, uint16_t type, const uint8_t *key, size_t key_len)
{
    uint8_t value[SHA256_LEN];
    if (o->w.err)
        return;
    int err = message_hmac(h, key, key_len, o->w.buf, o->w.len, value);
    if (err)
        o->w.err = err;
    else
        stun_put(o, type, value, h->len);
}

void stun_put_sha1(struct stun_out *o, struct stun_mac *mac, const uint8_t *key, size_t key_len)
{
    put(o, &mac->sha1, STUN_ATTR_MESSAGE_INTEGRITY, key, key_len);
}

void stun_put_sha256(struct stun_out *o, struct stun_mac *mac, const uint8_t *key, size_t key_len)
{
    put(o, &mac->sha256, STUN_ATTR_MESSAGE_INTEGRITY_SHA256, key, key_len);
}

/* ---- FINGERPRINT ---- */

/* Slicing by 4: crc_table[k][b] is the CRC of byte b and k zero bytes behind it. */
static uint32_t crc_table[4][256];

__attribute__((constructor)) static void crc_init(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int i = 0; i < 8; i++)
            c = c & 1 ? c >> 1 ^ 0xEDB88320 : c >> 1;
        crc_table[0][b] = c;
    }
    for (int k = 1; k < 4; k++)
        for (uint32_t b = 0; b < 256; b++)
            crc_table[k][b] = crc_table[k - 1][b] >> 8 ^ crc_table[0][crc_table[k - 1][b] & 0xFF];
}

uint32_t stun_crc32(const uint8_t *data, size_t len)
{
    uint32_t c = 0xFFFFFFFF;
    for (; len >= 4; data += 4, len -= 4) {
        c ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        c = crc_table[3][c & 0xFF] ^ crc_table[2][c >> 8 & 0xFF] ^ crc_table[1][c >> 16 & 0xFF] ^ crc_table[0][c >> 24];
    }
    for (; len > 0; data++, len--)
        c = c >> 8 ^ crc_table[0][(c ^ *data) & 0xFF];
    return ~c;
}

void stun_put_fingerprint(struct stun_out *o)
{
    /* The CRC covers a length that counts FINGERPRINT already: put it with any value, then with the right one. */
    size_t at = o->w.len;
    stun_put_u32(o, STUN_ATTR_FINGERPRINT, 0);
    if (o->w.err)
        return;
    uint32_t v = stun_crc32(o->w.buf, at) ^ STUN_FINGERPRINT_XOR;
    wire_patch_u16(&o->w, at + 4, (uint16_t)(v >> 16));
    wire_patch_u16(&o->w, at + 6, (uint16_t)v);
}

/* ---- Long-term keys ---- */

static pthread_once_t md_once = PTHREAD_ONCE_INIT;
static EVP_MD *md_md5, *md_sha256; /* kept until the process ends */

static void md_init(void)
{
    md_md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* The digest of strings joined by colons; `n` is at most 3. */
static int digest_joined(EVP_MD *const *md, const char *const *parts, size_t n, uint8_t *out)
{
    struct piece pieces[5];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (i)
            pieces[used++] = (struct piece){":", 1};
        pieces[used++] = (struct piece){parts[i], strlen(parts[i])};
    }
    pthread_once(&md_once, md_init);
    struct hasher h = {.md = *md, .ctx = EVP_MD_CTX_new()};
    int err = h.md && h.ctx && digest(&h, pieces, used, out) ? 0 : ERR_CRYPTO;
    EVP_MD_CTX_free(h.ctx);
    return err;
}

int stun_key_md5(const char *user, const char *realm, const char *password, uint8_t out[static STUN_MD5_KEY_LEN])
{
    return digest_joined(&md_md5, (const char *const[]){user, realm, password}, 3, out);
}

int stun_key_sha256(const char *user, const char *realm, const char *password, uint8_t out[static STUN_SHA256_KEY_LEN])
{
    return digest_joined(&md_sha256, (const char *const[]){user, realm, password}, 3, out);
}

int stun_userhash(const char *user, const char *realm, uint8_t out[static STUN_USERHASH_LEN])
{
    return digest_joined(&md_sha256, (const char *const[]){user, realm}, 2, out);
}
