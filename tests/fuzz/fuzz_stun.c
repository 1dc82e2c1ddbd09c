/*
 * Purpose:  one datagram into the decoder, all that reads a decoded message, and back through the encoder.
 * Owner:    one process.
 * Lifetime: static.
 * Callers:  libFuzzer, or tests/fuzz/replay.c.
 * RFC:      8489, 8656.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "stun/integrity.h"
#include "stun/msg.h"
#include "stun/nonce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stun_mac *mac;
static const uint8_t key[STUN_MD5_KEY_LEN] = "0123456789abcde";

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Each reader answers 0, or one of the two errors that its header promises; which one is for the tests to say. */
static void read_values(const struct stun_msg *m)
{
    static const uint16_t known[] = {STUN_ATTR_USERNAME, STUN_ATTR_LIFETIME};
    uint16_t unknown[4], channel;
    uint32_t u;
    uint8_t octet;
    int code;
    for (size_t i = 0; i < m->nattrs; i++) {
        const struct stun_attr *a = &m->attrs[i];
        struct stun_attr same;
        struct addr addr;
        size_t at = 0;
        require(a->value >= m->buf && a->value + a->len <= m->buf + m->len);
        require(stun_find(m, a->type) == a);
        if (a->type != STUN_ATTR_FINGERPRINT && a->type != STUN_ATTR_MESSAGE_INTEGRITY_SHA256)
            require(stun_next(m, a->type, &at, &same) && same.value == a->value);
        while (stun_next(m, a->type, &at, &same))
            require(same.type == a->type && same.value + same.len <= m->buf + m->len);
        int err = stun_attr_xor_addr(m, a, &addr);
        require(err == ERR_MALFORMED || (err == 0 && (addr.family == ADDR_V4 || addr.family == ADDR_V6)));
        err = stun_get_u32(m, a->type, &u);
        require(err == 0 || err == ERR_MALFORMED);
        err = stun_get_u8(m, a->type, 4, &octet);
        require(err == 0 || err == ERR_MALFORMED);
    }
    int err = stun_get_error(m, &code);
    require(err || (code >= 300 && code <= 699));
    err = stun_get_channel(m, &channel);
    require(err == 0 || err == ERR_MALFORMED || err == ERR_NOENT);
    require(stun_unknown(m, known, 2, unknown, 4) <= m->nattrs);
}

static void check_integrity(const struct stun_msg *m)
{
    struct nonce_key k = {.secret = {1}};
    struct addr source = {.family = ADDR_V4, .port = 1};
    const struct stun_attr *nonce = stun_find(m, STUN_ATTR_NONCE);
    int err = stun_check_sha1(mac, m, key, sizeof(key));
    require(err == 0 || err == ERR_NOENT || err == ERR_INTEGRITY);
    err = stun_check_sha256(mac, m, key, sizeof(key));
    require(err == 0 || err == ERR_NOENT || err == ERR_INTEGRITY);
    if (nonce) {
        err = nonce_check(&k, mac, &source, 0, NONCE_PASSWORD_ALGORITHMS, 1000, nonce->value, nonce->len);
        require(err == ERR_INTEGRITY || err == ERR_STALE || err == 0);
    }
}

/* What was decoded, encoded again, decodes to the same. */
static void encode_again(const struct stun_msg *m)
{
    static uint8_t buf[1 << 17];
    struct stun_out o;
    struct stun_msg again;
    size_t n = 0;
    stun_begin(&o, buf, sizeof(buf), m->class, m->method, m->txid);
    for (size_t i = 0; i < m->nattrs; i++) {
        if (m->attrs[i].type == STUN_ATTR_FINGERPRINT)
            stun_put_fingerprint(&o);
        else
            stun_put(&o, m->attrs[i].type, m->attrs[i].value, m->attrs[i].len);
    }
    require(stun_end(&o) > 0);
    require(stun_decode(&again, buf, (size_t)stun_end(&o)) == 0);
    require(again.nattrs == m->nattrs && again.class == m->class && again.method == m->method);
    for (; n < m->nattrs; n++) {
        const struct stun_attr *a = &m->attrs[n], *b = &again.attrs[n];
        require(a->type == b->type && a->len == b->len);
        require(a->type == STUN_ATTR_FINGERPRINT || memcmp(a->value, b->value, a->len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stun_msg m;
    if (!mac && stun_mac_new(&mac))
        abort();
    int frame = stun_frame_len(data, size);
    require(frame == ERR_NOT_STUN || (frame == 0 && size < 4) || (frame >= STUN_HEADER_LEN && frame % 4 == 0));
    if (stun_decode(&m, data, size))
        return 0;
    require((size_t)frame == size);
    read_values(&m);
    check_integrity(&m);
    encode_again(&m);
    return 0;
}
