/*
 * Purpose:  the message codec, integrity, nonces and channel framing, each line of the conformance list that they carry.
 * RFC:      8489, 8656, 5769 (vectors), 7983.
 */
#include <openssl/crypto.h>

#include "base/err.h"
#include "base/wire.h"
#include "stun/channel.h"
#include "stun/integrity.h"
#include "stun/msg.h"
#include "stun/names.h"
#include "stun/nonce.h"
#include "tests/unit/tap.h"
#include "tests/unit/vectors.h"

static struct stun_mac *mac; /* made by main, before the first test */
static const uint8_t txid[STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const uint8_t key[STUN_MD5_KEY_LEN] = "0123456789abcde";

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* The raw attribute, for what the encoder would never write. */
static size_t raw_attr(uint8_t *p, uint16_t type, size_t len, uint8_t fill)
{
    put16(p, type);
    put16(p + 2, len);
    memset(p + 4, fill, (len + 3) & ~(size_t)3);
    return 4 + ((len + 3) & ~(size_t)3);
}

static size_t raw_header(uint8_t *p, uint16_t type, size_t body)
{
    static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};
    put16(p, type);
    put16(p + 2, body);
    memcpy(p + 4, cookie, 4);
    memcpy(p + 8, txid, STUN_TXID_LEN);
    return STUN_HEADER_LEN;
}

static void remake_fingerprint(uint8_t *msg, size_t len)
{
    uint32_t v = stun_crc32(msg, len - 8) ^ 0x5354554e;
    put16(msg + len - 4, v >> 16);
    put16(msg + len - 2, v & 0xFFFF);
}

static struct addr addr_of(const char *text)
{
    struct addr a = {0};
    if (addr_parse(&a, text))
        printf("# %s is no address\n", text);
    return a;
}

/* ---- vectors ---- */

static void short_term(const char *name, const char *mapped)
{
    struct vector v;
    struct stun_msg m;
    CHECK(vector_load(&v, name));
    CHECK_INT(stun_decode(&m, v.msg, v.len), 0);
    CHECK_INT(m.method, STUN_BINDING);
    CHECK_INT(m.class, mapped ? STUN_SUCCESS : STUN_REQUEST);
    CHECK(stun_find(&m, STUN_ATTR_FINGERPRINT) != NULL);
    CHECK_INT(stun_check_sha1(mac, &m, (const uint8_t *)v.password, strlen(v.password)), 0);
    CHECK_INT(stun_check_sha1(mac, &m, (const uint8_t *)v.password, strlen(v.password) - 1), ERR_INTEGRITY);
    CHECK_INT(stun_check_sha256(mac, &m, (const uint8_t *)v.password, strlen(v.password)), ERR_NOENT);
    if (mapped) {
        struct addr got, want = addr_of(mapped);
        CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_MAPPED_ADDRESS, &got), 0);
        CHECK(addr_equal(&got, &want));
    }
}

static void vector_request(void)
{
    short_term("rfc5769-2.1-request", NULL);
}

static void vector_ipv4(void)
{
    short_term("rfc5769-2.2-response-ipv4", "192.0.2.1:32853");
}

static void vector_ipv6(void)
{
    short_term("rfc5769-2.3-response-ipv6", "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

static void vector_long_term(void)
{
    struct vector v;
    struct stun_msg m;
    uint8_t k[STUN_MD5_KEY_LEN], want[STUN_MD5_KEY_LEN];
    CHECK(vector_load(&v, "rfc5769-2.4-long-term"));
    CHECK_INT(stun_decode(&m, v.msg, v.len), 0);
    CHECK_INT(stun_key_md5(v.username, v.realm, v.password, k), 0);
    CHECK_INT(hex_decode(want, sizeof(want), v.key_hex), 0);
    CHECK_MEM(k, want, sizeof(want));
    CHECK_INT(stun_check_sha1(mac, &m, k, sizeof(k)), 0);
    k[15] ^= 1;
    CHECK_INT(stun_check_sha1(mac, &m, k, sizeof(k)), ERR_INTEGRITY);
}

static void vector_sha256(void)
{
    struct vector v;
    struct stun_msg m;
    uint8_t k[STUN_SHA256_KEY_LEN], want[STUN_SHA256_KEY_LEN];
    CHECK(vector_load(&v, "rfc8489-b.1-erratum-6268"));
    CHECK_INT(stun_decode(&m, v.msg, v.len), 0);
    CHECK_INT(stun_key_sha256(v.username, v.realm, v.password, k), 0);
    CHECK_INT(hex_decode(want, sizeof(want), v.key_hex), 0);
    CHECK_MEM(k, want, sizeof(want));
    CHECK_INT(stun_check_sha256(mac, &m, k, sizeof(k)), 0);
    CHECK_INT(stun_check_sha1(mac, &m, k, sizeof(k)), ERR_NOENT);
    const struct stun_attr *nonce = stun_find(&m, STUN_ATTR_NONCE);
    CHECK(nonce && nonce->len == strlen(v.nonce));
    CHECK_MEM(nonce->value, v.nonce, nonce->len);
}

static void vector_published(void)
{
    struct vector v;
    struct stun_msg m;
    CHECK(vector_load(&v, "rfc8489-b.1-as-published"));
    CHECK_INT(stun_decode(&m, v.msg, v.len), ERR_TRUNCATED);
}

static bool refused(const struct vector *v, const uint8_t *msg)
{
    struct stun_msg m;
    return stun_decode(&m, msg, v->len) != 0 || stun_check_sha1(mac, &m, (const uint8_t *)v->password, strlen(v->password)) != 0;
}

/* With the fingerprint as it was, and with one that fits: then the HMAC stands alone. */
static void bit_flips(void)
{
    struct vector v;
    struct stun_msg m;
    CHECK(vector_load(&v, "rfc5769-2.1-request"));
    CHECK_INT(stun_decode(&m, v.msg, v.len), 0);
    size_t end = (size_t)(stun_find(&m, STUN_ATTR_MESSAGE_INTEGRITY)->value - v.msg) + 20;
    for (size_t bit = 0; bit < 8 * end; bit++) {
        uint8_t flipped[VECTOR_MAX];
        memcpy(flipped, v.msg, v.len);
        flipped[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(refused(&v, flipped));
        remake_fingerprint(flipped, v.len);
        CHECK(refused(&v, flipped));
    }
}

/* ---- framing ---- */

static void c1_header(void)
{
    uint8_t b[64];
    struct stun_msg m;
    size_t n = raw_header(b, 0x0001, 8);
    n += raw_attr(b + n, STUN_ATTR_SOFTWARE, 4, 'x');
    CHECK_INT(stun_decode(&m, b, n), 0);
    for (size_t i = 0; i < STUN_HEADER_LEN; i++)
        CHECK_INT(stun_decode(&m, b, i), ERR_TRUNCATED);
    for (size_t i = STUN_HEADER_LEN; i < n; i++)
        CHECK_INT(stun_decode(&m, b, i), ERR_TRUNCATED);
    CHECK_INT(stun_decode(&m, b, n + 1), ERR_MALFORMED);
    CHECK_INT(stun_decode(&m, b, n + 4), ERR_MALFORMED);
    for (int top = 1; top < 4; top++) {
        b[0] = (uint8_t)(top << 6);
        CHECK_INT(stun_decode(&m, b, n), ERR_NOT_STUN);
        CHECK_INT(stun_frame_len(b, n), ERR_NOT_STUN);
    }
    b[0] = 0;
    for (size_t bit = 0; bit < 32; bit++) {
        b[4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(stun_decode(&m, b, n), ERR_NOT_STUN);
        b[4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t odd = 1; odd < 4; odd++) {
        put16(b + 2, 8 + odd);
        CHECK_INT(stun_decode(&m, b, n + odd), ERR_NOT_STUN);
        CHECK_INT(stun_frame_len(b, n), ERR_NOT_STUN);
    }
}

static void c1_stream(void)
{
    uint8_t b[STUN_HEADER_LEN];
    raw_header(b, 0x0003, 0xFFFC);
    for (size_t i = 0; i < 4; i++)
        CHECK_INT(stun_frame_len(b, i), 0);
    CHECK_INT(stun_frame_len(b, 4), 20 + 0xFFFC);
    put16(b + 2, 0);
    CHECK_INT(stun_frame_len(b, 20), 20);
}

/* The buffer ends where the message does, on the heap, so that a sanitizer sees one byte too much. */
static void c3_overrun(void)
{
    for (size_t len = 1; len <= 0xFFFF; len = len < 64 ? len + 1 : len * 2 + 1) {
        uint8_t *b = malloc(32);
        struct stun_msg m;
        struct stun_attr a;
        size_t at = 0;
        raw_header(b, 0x0001, 12);
        raw_attr(b + 20, STUN_ATTR_SOFTWARE, 0, 0);
        raw_attr(b + 24, STUN_ATTR_USERNAME, 4, 'x');
        put16(b + 26, len);
        int err = stun_decode(&m, b, 32);
        bool more = err ? false : stun_next(&m, STUN_ATTR_USERNAME, &at, &a);
        free(b);
        CHECK_INT(err, len <= 4 ? 0 : ERR_MALFORMED);
        CHECK_INT(more, len <= 4);
    }
}

static void c3_values(void)
{
    static const uint16_t sizes[] = {0, 1, 2, 3, 5, 7, 9, 19, 21, 255};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t b[STUN_HEADER_LEN + 4 * (4 + 256)];
        struct stun_msg m;
        struct addr a;
        uint32_t u;
        uint16_t number;
        uint8_t octet;
        int code;
        size_t n = raw_header(b, 0x0001, 0);
        n += raw_attr(b + n, STUN_ATTR_XOR_PEER_ADDRESS, sizes[i], 1);
        n += raw_attr(b + n, STUN_ATTR_LIFETIME, sizes[i], 1);
        n += raw_attr(b + n, STUN_ATTR_CHANNEL_NUMBER, sizes[i], 1);
        n += raw_attr(b + n, STUN_ATTR_ERROR_CODE, sizes[i], 4);
        put16(b + 2, n - STUN_HEADER_LEN);
        CHECK_INT(stun_decode(&m, b, n), 0);
        CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &a), ERR_MALFORMED);
        CHECK_INT(stun_get_u32(&m, STUN_ATTR_LIFETIME, &u), ERR_MALFORMED);
        CHECK_INT(stun_get_u8(&m, STUN_ATTR_LIFETIME, 4, &octet), ERR_MALFORMED);
        CHECK_INT(stun_get_channel(&m, &number), ERR_MALFORMED);
        CHECK_INT(stun_get_error(&m, &code), sizes[i] < 4 ? ERR_MALFORMED : 0);
    }
}

static void c3_families(void)
{
    for (unsigned family = 0; family < 256; family++) {
        uint8_t b[64];
        struct stun_msg m;
        struct addr a;
        for (size_t len = 8; len <= 20; len += 12) {
            size_t n = raw_header(b, 0x0001, 4 + len);
            n += raw_attr(b + n, STUN_ATTR_XOR_PEER_ADDRESS, len, 0);
            b[25] = (uint8_t)family;
            CHECK_INT(stun_decode(&m, b, n), 0);
            bool good = (family == 1 && len == 8) || (family == 2 && len == 20);
            CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &a), good ? 0 : ERR_MALFORMED);
        }
    }
}

static void c4_padding_sent(void)
{
    for (size_t len = 0; len < 9; len++) {
        uint8_t b[64];
        struct stun_out o;
        memset(b, 0xFF, sizeof(b));
        stun_begin(&o, b, sizeof(b), STUN_SUCCESS, STUN_BINDING, txid);
        stun_put(&o, STUN_ATTR_SOFTWARE, "abcdefgh", len);
        CHECK_INT(stun_end(&o), 24 + (int)((len + 3) / 4 * 4));
        CHECK_INT(b[3], stun_end(&o) - 20);
        CHECK_INT(b[23], (int)len);
        for (size_t i = 24 + len; i < (size_t)stun_end(&o); i++)
            CHECK_INT(b[i], 0);
    }
}

static void c4_padding_received(void)
{
    uint8_t b[64];
    struct stun_msg m;
    size_t n = raw_header(b, 0x0001, 8);
    n += raw_attr(b + n, STUN_ATTR_SOFTWARE, 1, 0xEE);
    CHECK_INT(stun_decode(&m, b, n), 0);
    CHECK_INT(stun_find(&m, STUN_ATTR_SOFTWARE)->len, 1);
}

static void c5_duplicates(void)
{
    uint8_t b[64];
    struct stun_out o;
    struct stun_msg m;
    uint32_t v = 0;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 1);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 2);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 3);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    CHECK_INT(m.nattrs, 1);
    CHECK_INT(stun_get_u32(&m, STUN_ATTR_LIFETIME, &v), 0);
    CHECK_INT(v, 1);
}

/* More attributes than the table holds: many of one type are one entry, too many types are refused. */
static void c5_many(void)
{
    uint8_t b[STUN_HEADER_LEN + 4 * 4096];
    struct stun_msg m;
    size_t n = raw_header(b, 0x0001, 4 * 4096);
    for (size_t i = 0; i < 4096; i++)
        n += raw_attr(b + n, (uint16_t)(0x9000 + i % STUN_ATTRS_MAX), 0, 0);
    CHECK_INT(stun_decode(&m, b, n), 0);
    CHECK_INT(m.nattrs, STUN_ATTRS_MAX);
    put16(b + STUN_HEADER_LEN + 4 * 4095, 0xA000);
    CHECK_INT(stun_decode(&m, b, n), ERR_MALFORMED);
}

static void c6_after_integrity(void)
{
    uint8_t b[256];
    struct stun_out o;
    struct stun_msg m;
    struct stun_attr a;
    size_t at = 0;
    struct addr peer = addr_of("192.0.2.1:9");
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_CREATE_PERMISSION, txid);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    stun_put_sha1(&o, mac, key, sizeof(key));
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 1);
    stun_put_sha256(&o, mac, key, sizeof(key));
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 1);
    stun_put_sha1(&o, mac, key, sizeof(key));
    stun_put_fingerprint(&o);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    CHECK_INT(m.nattrs, 4);
    CHECK(stun_find(&m, STUN_ATTR_LIFETIME) == NULL);
    CHECK(stun_find(&m, STUN_ATTR_FINGERPRINT) != NULL);
    CHECK_INT(stun_check_sha1(mac, &m, key, sizeof(key)), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), 0);
    CHECK(stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &at, &a));
    CHECK(!stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &at, &a));
    CHECK(!stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &at, &a));
}

static void c6_sha1_after_sha256(void)
{
    uint8_t b[256];
    struct stun_out o;
    struct stun_msg m;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_sha256(&o, mac, key, sizeof(key));
    stun_put_sha1(&o, mac, key, sizeof(key));
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), 0);
    CHECK_INT(stun_check_sha1(mac, &m, key, sizeof(key)), ERR_NOENT);
}

static void c8_unknown(void)
{
    static const uint16_t known[] = {STUN_ATTR_LIFETIME};
    uint8_t b[128];
    uint16_t out[2];
    struct stun_msg m;
    size_t n = raw_header(b, 0x0003, 0);
    n += raw_attr(b + n, STUN_ATTR_LIFETIME, 4, 0);
    n += raw_attr(b + n, 0x7FFF, 0, 0);
    n += raw_attr(b + n, 0x8000, 4, 0);
    n += raw_attr(b + n, 0x0000, 2, 0);
    n += raw_attr(b + n, 0x7F00, 2, 0);
    put16(b + 2, n - STUN_HEADER_LEN);
    CHECK_INT(stun_decode(&m, b, n), 0);
    CHECK_INT(stun_unknown(&m, known, 1, out, 2), 3);
    CHECK_INT(out[0], 0x7FFF);
    CHECK_INT(out[1], 0x0000);
}

static void c9_fingerprint(void)
{
    uint8_t b[64];
    struct stun_out o;
    struct stun_msg m;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_BINDING, txid);
    stun_put(&o, STUN_ATTR_SOFTWARE, "abc", 3);
    stun_put_fingerprint(&o);
    size_t n = (size_t)stun_end(&o);
    CHECK_INT(n, 20 + 8 + 8);
    CHECK_INT(stun_decode(&m, b, n), 0);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* Another type is no fingerprint, and another length may swallow it. */
        CHECK(stun_decode(&m, b, n) != 0 || !stun_find(&m, STUN_ATTR_FINGERPRINT));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    stun_put(&o, STUN_ATTR_SOFTWARE, "", 0);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), ERR_FINGERPRINT);
}

static void c9_two_fingerprints(void)
{
    uint8_t b[64];
    struct stun_out o;
    struct stun_msg m;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_BINDING, txid);
    stun_put_fingerprint(&o);
    stun_put_fingerprint(&o);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), ERR_FINGERPRINT);
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_BINDING, txid);
    stun_put(&o, STUN_ATTR_FINGERPRINT, "", 0);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), ERR_FINGERPRINT);
}

/* The CRC is right, over what stands before the attribute and the header's length as it is: only the place or the length is wrong. */
static void c9_place(void)
{
    static const struct {
        size_t len;  /* of the value */
        size_t more; /* bytes of another attribute behind it */
        int want;
    } cases[] = {{4, 0, 0}, {4, 4, ERR_FINGERPRINT}, {4, 8, ERR_FINGERPRINT}, {5, 0, ERR_FINGERPRINT}, {8, 0, ERR_FINGERPRINT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t b[64] = {0};
        struct stun_msg m;
        size_t len = cases[i].len, at = raw_header(b, 0x0001, 4 + (len + 3) / 4 * 4 + cases[i].more);
        size_t n = at + raw_attr(b + at, STUN_ATTR_FINGERPRINT, len, 0);
        if (cases[i].more)
            n += raw_attr(b + n, STUN_ATTR_SOFTWARE, cases[i].more - 4, 'x');
        uint32_t crc = stun_crc32(b, at) ^ 0x5354554e;
        put16(b + at + 4, crc >> 16);
        put16(b + at + 6, crc & 0xFFFF);
        CHECK_INT(stun_decode(&m, b, n), cases[i].want);
    }
}

static void c9_crc(void)
{
    CHECK_INT(stun_crc32((const uint8_t *)"123456789", 9), 0xCBF43926);
    CHECK_INT(stun_crc32((const uint8_t *)"", 0), 0);
}

static void c12_errors(void)
{
    static const int codes[] = {300, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 500, 508, 699};
    uint8_t b[256];
    struct stun_out o;
    struct stun_msg m;
    int code;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        CHECK(strlen(stun_reason(codes[i])) <= STUN_PHRASE_MAX && stun_reason(codes[i])[0]);
        CHECK_INT(strcmp(stun_reason(codes[i]), "Error") == 0, codes[i] == 699);
        stun_begin(&o, b, sizeof(b), STUN_ERROR, STUN_ALLOCATE, txid);
        stun_put_error(&o, codes[i]);
        CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
        CHECK_INT(m.class, STUN_ERROR);
        CHECK_INT(stun_get_error(&m, &code), 0);
        CHECK_INT(code, codes[i]);
        CHECK_INT(stun_find(&m, STUN_ATTR_ERROR_CODE)->len, 4 + (int)strlen(stun_reason(code)));
    }
}

static void c12_error_range(void)
{
    uint8_t b[64];
    struct stun_out o;
    struct stun_msg m;
    int code;
    stun_begin(&o, b, sizeof(b), STUN_ERROR, STUN_ALLOCATE, txid);
    stun_put_error(&o, 299);
    CHECK_INT(stun_end(&o), ERR_RANGE);
    stun_begin(&o, b, sizeof(b), STUN_ERROR, STUN_ALLOCATE, txid);
    stun_put_error(&o, 700);
    CHECK_INT(stun_end(&o), ERR_RANGE);
    for (int class = 0; class < 8; class ++) {
        for (int number = 0; number < 256; number++) {
            size_t n = raw_header(b, 0x0113, 8);
            n += raw_attr(b + n, STUN_ATTR_ERROR_CODE, 4, 0);
            b[26] = (uint8_t)(0xF8 | class); /* 21 reserved bits are ignored */
            b[27] = (uint8_t)number;
            CHECK_INT(stun_decode(&m, b, n), 0);
            bool good = class >= 3 && class <= 6 && number <= 99;
            CHECK_INT(stun_get_error(&m, &code), good ? 0 : ERR_MALFORMED);
            CHECK(!good || code == class * 100 + number);
        }
    }
}

static void c12_address_error(void)
{
    static const uint8_t want[] = {0x80, 0x01, 0, 32, 2, 0, 4, 40};
    uint8_t b[64];
    struct stun_out o;
    stun_begin(&o, b, sizeof(b), STUN_SUCCESS, STUN_ALLOCATE, txid);
    stun_put_address_error(&o, ADDR_V6, STUN_E_FAMILY_NOT_SUPPORTED);
    CHECK_INT(stun_end(&o), 20 + 4 + 32);
    CHECK_MEM(b + 20, want, sizeof(want));
}

static void c14_no_cookie(void)
{
    /* A Binding request of RFC 3489: 16 bytes of transaction id where the cookie stands now. */
    uint8_t b[STUN_HEADER_LEN] = {0, 1, 0, 0, 9, 9, 9, 9};
    struct stun_msg m;
    CHECK_INT(stun_decode(&m, b, sizeof(b)), ERR_NOT_STUN);
}

static void c15_classify(void)
{
    for (int i = 0; i < 256; i++) {
        enum stun_kind want = i <= 3               ? STUN_KIND_MESSAGE
                              : i >= 20 && i <= 63 ? STUN_KIND_DTLS
                              : i >= 64 && i < 128 ? STUN_KIND_CHANNEL
                                                   : STUN_KIND_OTHER;
        CHECK_INT(stun_classify((uint8_t)i), want);
    }
}

/* RFC 8489 figure 3, and all that the encoder can say. */
static void types(void)
{
    uint8_t b[STUN_HEADER_LEN];
    struct stun_out o;
    struct stun_msg m;
    for (unsigned method = 0; method < 0x1000; method++) {
        for (int class = 0; class < 4; class ++) {
            stun_begin(&o, b, sizeof(b), (enum stun_class) class, (uint16_t)method, txid);
            CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
            CHECK_INT(m.method, method);
            CHECK_INT(m.class, class);
            CHECK_MEM(m.txid, txid, STUN_TXID_LEN);
        }
    }
    stun_begin(&o, b, sizeof(b), STUN_ERROR, STUN_CHANNEL_BIND, txid);
    CHECK_INT(b[0] << 8 | b[1], 0x0119);
    CHECK_STR(stun_method_name(STUN_CHANNEL_BIND), "ChannelBind");
    CHECK_STR(stun_method_name(2), "?");
}

/* ---- nonces ---- */

enum { SOME_MS = 86400000 };

static void c18_source(void)
{
    struct nonce_key k, other;
    nonce_key_init(&k);
    nonce_key_init(&other);
    struct addr a = addr_of("192.0.2.1:1024"), port = addr_of("192.0.2.1:1025"), ip = addr_of("192.0.2.2:1024"),
                v6 = addr_of("[c000:201::]:1024");
    uint8_t n[NONCE_LEN], n2[NONCE_LEN];
    uint32_t f = NONCE_PASSWORD_ALGORITHMS;
    CHECK_INT(nonce_make(&k, mac, &a, 0, f, SOME_MS, n), 0);
    CHECK_INT(nonce_check(&k, mac, &a, 0, f, SOME_MS, n, NONCE_LEN), 0);
    CHECK_INT(nonce_check(&k, mac, &port, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_check(&k, mac, &ip, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_check(&k, mac, &v6, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_check(&k, mac, &a, 1, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY); /* another transport */
    CHECK_INT(nonce_check(&other, mac, &a, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_make(&k, mac, &port, 0, f, SOME_MS, n2), 0);
    CHECK(memcmp(n, n2, NONCE_LEN) != 0);
}

static void c18_lifetime(void)
{
    struct nonce_key k;
    struct addr a = addr_of("192.0.2.1:1024");
    uint8_t n[NONCE_LEN];
    uint64_t life = (uint64_t)NONCE_LIFETIME_S * 1000;
    nonce_key_init(&k);
    CHECK(NONCE_LIFETIME_S <= 3600);
    CHECK_INT(nonce_make(&k, mac, &a, 0, 0, SOME_MS, n), 0);
    CHECK_INT(nonce_check(&k, mac, &a, 0, 0, SOME_MS + life, n, NONCE_LEN), 0);
    CHECK_INT(nonce_check(&k, mac, &a, 0, 0, SOME_MS + life + 1000, n, NONCE_LEN), ERR_STALE);
    CHECK_INT(nonce_check(&k, mac, &a, 0, 0, SOME_MS - 1000, n, NONCE_LEN), ERR_STALE);
}

static void c19_cookie(void)
{
    struct nonce_key k;
    struct addr a = addr_of("192.0.2.1:1024");
    uint8_t n[NONCE_LEN];
    nonce_key_init(&k);
    CHECK_INT(nonce_make(&k, mac, &a, 0, NONCE_PASSWORD_ALGORITHMS, SOME_MS, n), 0);
    CHECK_MEM(n, "obMatJos2gAAB", 13);
    CHECK_INT(nonce_make(&k, mac, &a, 0, NONCE_PASSWORD_ALGORITHMS | NONCE_USERNAME_ANONYMITY, SOME_MS, n), 0);
    CHECK_MEM(n, "obMatJos2wAAD", 13);
    CHECK_INT(nonce_make(&k, mac, &a, 0, 0, SOME_MS, n), 0);
    CHECK_MEM(n, "obMatJos2AAAA", 13);
    for (size_t i = 0; i < NONCE_LEN; i++)
        CHECK(n[i] > ' ' && n[i] < 127 && n[i] != '"' && n[i] != '\\');
}

/* Both readings of the 24 bits: bit 0 first, and bit 0 last. */
static void c19_both_orders(void)
{
    for (int i = 0; i < 2; i++) {
        uint32_t f = i ? NONCE_USERNAME_ANONYMITY : NONCE_PASSWORD_ALGORITHMS;
        CHECK_INT(f >> (23 - i) & 1, 1);
        CHECK_INT(f >> i & 1, 1);
        CHECK_INT(__builtin_popcount(f), 2);
    }
}

static void c21_altered(void)
{
    struct nonce_key k;
    struct addr a = addr_of("192.0.2.1:1024");
    uint8_t n[NONCE_LEN + 1];
    uint32_t f = NONCE_PASSWORD_ALGORITHMS;
    nonce_key_init(&k);
    CHECK_INT(nonce_make(&k, mac, &a, 0, f, SOME_MS, n), 0);
    for (size_t bit = 0; bit < 8 * NONCE_LEN; bit++) {
        n[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(nonce_check(&k, mac, &a, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
        n[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(n + 9, "AAAA", 4); /* a bid-down: the list of algorithms hidden */
    CHECK_INT(nonce_check(&k, mac, &a, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_check(&k, mac, &a, 0, 0, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    CHECK_INT(nonce_make(&k, mac, &a, 0, 0, SOME_MS, n), 0);
    CHECK_INT(nonce_check(&k, mac, &a, 0, f, SOME_MS, n, NONCE_LEN), ERR_INTEGRITY);
    n[NONCE_LEN] = 'A';
    for (size_t len = 0; len <= NONCE_LEN + 1; len++)
        CHECK_INT(nonce_check(&k, mac, &a, 0, 0, SOME_MS, n, len), len == NONCE_LEN ? 0 : ERR_INTEGRITY);
}

/* ---- integrity ---- */

/*
 * An integrity attribute of `len` bytes whose value is right but for that: the HMAC over a length field that tells of `told` bytes, and
 * behind the end of the message what was cut off. `want` is the right length.
 */
static void cut_integrity(uint16_t type, size_t len, size_t told, size_t want)
{
    uint8_t b[128] = {0}, h[64] = {0};
    struct stun_out o;
    struct stun_msg m;
    bool sha1 = type == STUN_ATTR_MESSAGE_INTEGRITY;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 600);
    put16(b + 2, 8 + 4 + told);
    CHECK_INT(sha1 ? stun_hmac_sha1(mac, key, sizeof(key), b, 28, h) : stun_hmac_sha256(mac, key, sizeof(key), b, 28, h), 0);
    stun_put(&o, type, h, len);
    memcpy(b + 32, h, sizeof(h));
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    int got = sha1 ? stun_check_sha1(mac, &m, key, sizeof(key)) : stun_check_sha256(mac, &m, key, sizeof(key));
    CHECK_INT(got, len == want && told == want ? 0 : ERR_INTEGRITY);
}

static void c23_exact_length(void)
{
    for (size_t len = 0; len <= 40; len++) {
        cut_integrity(STUN_ATTR_MESSAGE_INTEGRITY_SHA256, len, len, 32);
        cut_integrity(STUN_ATTR_MESSAGE_INTEGRITY_SHA256, len, 32, 32);
    }
}

static void c23_sha1_length(void)
{
    for (size_t len = 0; len <= 40; len++) {
        cut_integrity(STUN_ATTR_MESSAGE_INTEGRITY, len, len, 20);
        cut_integrity(STUN_ATTR_MESSAGE_INTEGRITY, len, 20, 20);
    }
}

static void c24_length_field(void)
{
    uint8_t b[256], by_hand[256], h[20];
    struct stun_out o;
    struct stun_msg m;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_u32(&o, STUN_ATTR_LIFETIME, 600);
    memcpy(by_hand, b, 28);
    put16(by_hand + 2, 8 + 24); /* ends at MESSAGE-INTEGRITY, whatever follows */
    CHECK_INT(stun_hmac_sha1(mac, key, sizeof(key), by_hand, 28, h), 0);
    stun_put_sha1(&o, mac, key, sizeof(key));
    CHECK_MEM(b + 32, h, 20);
    stun_put_sha256(&o, mac, key, sizeof(key));
    stun_put_fingerprint(&o);
    CHECK_INT(b[3], 8 + 24 + 36 + 8);
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    CHECK_INT(stun_check_sha1(mac, &m, key, sizeof(key)), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), 0);
    CHECK_MEM(b + 2, ((const uint8_t[]){0, 8 + 24 + 36 + 8}), 2); /* checking leaves the message as it is */
}

static void c25_md5_key(void)
{
    uint8_t k[STUN_MD5_KEY_LEN], want[STUN_MD5_KEY_LEN];
    CHECK_INT(hex_decode(want, sizeof(want), "8493fbc53ba582fb4c044c456bdc40eb"), 0);
    CHECK_INT(stun_key_md5("user", "realm", "pass", k), 0);
    CHECK_MEM(k, want, sizeof(want));
}

static void c26_userhash(void)
{
    struct vector v;
    struct stun_msg m;
    uint8_t h[STUN_USERHASH_LEN];
    CHECK(vector_load(&v, "rfc8489-b.1-erratum-6268"));
    CHECK_INT(stun_decode(&m, v.msg, v.len), 0);
    CHECK_INT(stun_userhash(v.username, v.realm, h), 0);
    const struct stun_attr *a = stun_find(&m, STUN_ATTR_USERHASH);
    CHECK(a && a->len == sizeof(h));
    CHECK_MEM(a->value, h, sizeof(h));
}

/* RFC 2202 cases 1, 2 and 6 (a key longer than a block), RFC 4231 cases 2 and 6. */
static void hmacs(void)
{
    uint8_t k[131], h[32], want[32];
    static const char long_text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    memset(k, 0x0b, 20);
    CHECK_INT(stun_hmac_sha1(mac, k, 20, "Hi There", 8, h), 0);
    CHECK_INT(hex_decode(want, 20, "b617318655057264e28bc0b6fb378c8ef146be00"), 0);
    CHECK_MEM(h, want, 20);
    CHECK_INT(stun_hmac_sha1(mac, "Jefe", 4, "what do ya want for nothing?", 28, h), 0);
    CHECK_INT(hex_decode(want, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), 0);
    CHECK_MEM(h, want, 20);
    memset(k, 0xaa, sizeof(k));
    CHECK_INT(stun_hmac_sha1(mac, k, 80, long_text, 54, h), 0);
    CHECK_INT(hex_decode(want, 20, "aa4ae5e15272d00e95705637ce8a3b55ed402112"), 0);
    CHECK_MEM(h, want, 20);
    CHECK_INT(stun_hmac_sha256(mac, "Jefe", 4, "what do ya want for nothing?", 28, h), 0);
    CHECK_INT(hex_decode(want, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"), 0);
    CHECK_MEM(h, want, 32);
    CHECK_INT(stun_hmac_sha256(mac, k, 131, long_text, 54, h), 0);
    CHECK_INT(hex_decode(want, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"), 0);
    CHECK_MEM(h, want, 32);
}

/* ---- encoding ---- */

static void addresses(void)
{
    static const char *const texts[] = {"192.0.2.1:32853", "255.255.255.255:65535", "[2001:db8::1]:1", "[::]:0"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t b[128];
        struct stun_out o;
        struct stun_msg m;
        struct addr a = addr_of(texts[i]), got;
        stun_begin(&o, b, sizeof(b), STUN_SUCCESS, STUN_ALLOCATE, txid);
        stun_put_addr(&o, STUN_ATTR_ALTERNATE_SERVER, &a);
        stun_put_xor_addr(&o, STUN_ATTR_XOR_RELAYED_ADDRESS, &a);
        CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
        CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_RELAYED_ADDRESS, &got), 0);
        CHECK(addr_equal(&got, &a));
        const struct stun_attr *plain = stun_find(&m, STUN_ATTR_ALTERNATE_SERVER);
        CHECK_INT(stun_get_addr(&m, STUN_ATTR_ALTERNATE_SERVER, &got), 0);
        CHECK(addr_equal(&got, &a));
        CHECK_INT(stun_get_addr(&m, STUN_ATTR_MAPPED_ADDRESS, &got), ERR_NOENT);
        CHECK_INT(plain->value[2] << 8 | plain->value[3], a.port);
        CHECK_MEM(plain->value + 4, a.ip, addr_ip_len(&a));
        CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &got), ERR_NOENT);
    }
    uint8_t b[64];
    struct stun_out o;
    struct addr none = {0};
    stun_begin(&o, b, sizeof(b), STUN_SUCCESS, STUN_ALLOCATE, txid);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_RELAYED_ADDRESS, &none);
    CHECK_INT(stun_end(&o), ERR_AFNOSUPPORT);
}

static void lists(void)
{
    static const uint8_t want[] = {0x00, 0x0A, 0, 2, 0x7F, 0xFF, 0, 0, 0x80, 0x02, 0, 8, 0, 2, 0, 0, 0, 1, 0, 0};
    static const uint16_t unknown[] = {0x7FFF}, algorithms[] = {STUN_ALG_SHA256, STUN_ALG_MD5};
    uint8_t b[64];
    struct stun_out o;
    stun_begin(&o, b, sizeof(b), STUN_ERROR, STUN_ALLOCATE, txid);
    stun_put_unknown(&o, unknown, 1);
    stun_put_algorithms(&o, algorithms, 2);
    CHECK_INT(stun_end(&o), 20 + (int)sizeof(want));
    CHECK_MEM(b + 20, want, sizeof(want));
}

/* Whatever the room, the encoder stays inside it and says so; what it said before stays a whole message. */
static void full_buffer(void)
{
    struct addr a = addr_of("[2001:db8::1]:1");
    uint8_t whole[512];
    int full = 0;
    for (size_t cap = sizeof(whole); cap-- > 0;) {
        uint8_t *b = malloc(cap + 1);
        struct stun_out o;
        b[cap] = 0xA5;
        stun_begin(&o, b, cap, STUN_SUCCESS, STUN_ALLOCATE, txid);
        stun_put_xor_addr(&o, STUN_ATTR_XOR_RELAYED_ADDRESS, &a);
        stun_put_error(&o, 401);
        stun_put(&o, STUN_ATTR_SOFTWARE, "abcde", 5);
        stun_put_sha1(&o, mac, key, sizeof(key));
        stun_put_sha256(&o, mac, key, sizeof(key));
        stun_put_fingerprint(&o);
        int n = stun_end(&o);
        bool clean = b[cap] == 0xA5;
        free(b);
        full = n > full ? n : full;
        CHECK(clean);
        CHECK_INT(n, cap >= (size_t)full ? full : ERR_NOSPC);
    }
    CHECK(full > 100);
}

static void too_long(void)
{
    static uint8_t b[1 << 17], zeros[1 << 16];
    struct stun_out o;
    stun_begin(&o, b, sizeof(b), STUN_INDICATION, STUN_SEND, txid);
    stun_put(&o, STUN_ATTR_DATA, zeros, 0x10000);
    CHECK_INT(stun_end(&o), ERR_NOSPC);
    stun_begin(&o, b, sizeof(b), STUN_INDICATION, STUN_SEND, txid);
    stun_put(&o, STUN_ATTR_DATA, zeros, 0xFFF0);
    CHECK(stun_end(&o) > 0);
    stun_put(&o, STUN_ATTR_DATA, zeros, 0x10);
    CHECK_INT(stun_end(&o), ERR_NOSPC);
}

static void repeated(void)
{
    uint8_t b[256];
    struct stun_out o;
    struct stun_msg m;
    struct stun_attr at;
    size_t pos = 0;
    stun_begin(&o, b, sizeof(b), STUN_REQUEST, STUN_CREATE_PERMISSION, txid);
    for (int i = 1; i <= 3; i++) {
        struct addr a = addr_of("192.0.2.1:0");
        a.port = (uint16_t)i;
        stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, &a);
        stun_put_u32(&o, STUN_ATTR_LIFETIME, 1);
    }
    CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
    for (int i = 1; i <= 3; i++) {
        struct addr a;
        CHECK(stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &pos, &at));
        CHECK_INT(stun_attr_xor_addr(&m, &at, &a), 0);
        CHECK_INT(a.port, i);
    }
    CHECK(!stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &pos, &at));
}

static void wrap_data(void)
{
    static const char *const peers[] = {"192.0.2.1:32853", "[2001:db8::1]:1"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t len = 0; len < 9; len++) {
            uint8_t room[STUN_DATA_HEADROOM + 16];
            struct stun_msg m;
            struct addr peer = addr_of(peers[i]), got;
            size_t n = 0;
            memset(room, 0x77, sizeof(room));
            uint8_t *start = stun_wrap_data(room + STUN_DATA_HEADROOM, len, &peer, txid, &n);
            CHECK(start >= room && start + n <= room + sizeof(room));
            CHECK_INT(stun_decode(&m, start, n), 0);
            CHECK_INT(m.method, STUN_DATA);
            CHECK_INT(m.class, STUN_INDICATION);
            CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &got), 0);
            CHECK(addr_equal(&got, &peer));
            const struct stun_attr *data = stun_find(&m, STUN_ATTR_DATA);
            CHECK(data && data->len == len && data->value == room + STUN_DATA_HEADROOM);
            for (const uint8_t *p = data->value + len; p < start + n; p++)
                CHECK_INT(*p, 0);
            CHECK_INT(room[STUN_DATA_HEADROOM + ((len + 3) & ~(size_t)3)], 0x77);
        }
    }
}

static void wrap_data_limits(void)
{
    static uint8_t room[STUN_DATA_HEADROOM + 0x10010];
    struct addr v4 = addr_of("192.0.2.1:1"), v6 = addr_of("[2001:db8::1]:1"), none = {0};
    size_t n = 0;
    CHECK(stun_wrap_data(room + STUN_DATA_HEADROOM, 65507, &v4, txid, &n) != NULL); /* the longest of UDP over IPv4 */
    CHECK_INT(n, 20 + 12 + 4 + 65508);
    CHECK(stun_wrap_data(room + STUN_DATA_HEADROOM, 65504, &v6, txid, &n) != NULL);
    CHECK(stun_wrap_data(room + STUN_DATA_HEADROOM, 65527, &v6, txid, &n) == NULL);
    CHECK(stun_wrap_data(room + STUN_DATA_HEADROOM, 1, &none, txid, &n) == NULL);
}

static void s4_alignment(void)
{
    struct vector v;
    CHECK(vector_load(&v, "rfc5769-2.3-response-ipv6"));
    for (size_t shift = 0; shift < 8; shift++) {
        _Alignas(8) uint8_t b[VECTOR_MAX + 8];
        struct stun_msg m;
        struct addr a, want = addr_of("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
        struct channel_data c;
        memcpy(b + shift, v.msg, v.len);
        CHECK_INT(stun_decode(&m, b + shift, v.len), 0);
        CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_MAPPED_ADDRESS, &a), 0);
        CHECK(addr_equal(&a, &want));
        CHECK_INT(stun_check_sha1(mac, &m, (const uint8_t *)v.password, strlen(v.password)), 0);
        channel_header(b + shift, 0x4001, 2);
        CHECK_INT(channel_decode(&c, b + shift, 6), 0);
        CHECK_INT(c.number, 0x4001);
    }
}

/* ---- channels ---- */

static void c63_empty_channel_data(void)
{
    uint8_t b[4];
    struct channel_data c;
    channel_header(b, 0x4000, 0);
    CHECK_INT(channel_decode(&c, b, 4), 0);
    CHECK_INT(c.len, 0);
    CHECK_INT(c.number, 0x4000);
    CHECK_INT(channel_frame_len(b, 4), 4);
}

static void c64_numbers(void)
{
    for (unsigned number = 0; number <= 0xFFFF; number++) {
        uint8_t b[4];
        struct channel_data c;
        bool good = number >= 0x4000 && number <= 0x7FFF;
        channel_header(b, (uint16_t)number, 0);
        CHECK_INT(channel_decode(&c, b, 4), good ? 0 : ERR_MALFORMED);
        CHECK_INT(channel_frame_len(b, 4), good ? 4 : ERR_MALFORMED);
        CHECK(!good || c.number == number);
    }
}

static void c67_short(void)
{
    uint8_t b[16] = {0};
    struct channel_data c;
    channel_header(b, 0x4001, 5);
    for (size_t n = 0; n < 9; n++)
        CHECK_INT(channel_decode(&c, b, n), ERR_TRUNCATED);
    CHECK_INT(channel_decode(&c, b, 9), 0);
    channel_header(b, 0x4001, 0xFFFF);
    CHECK_INT(channel_decode(&c, b, sizeof(b)), ERR_TRUNCATED);
}

static void c68_padding(void)
{
    for (uint16_t len = 0; len < 9; len++) {
        uint8_t b[32] = {0};
        struct channel_data c;
        channel_header(b, 0x7FFF, len);
        int frame = 4 + (len + 3) / 4 * 4;
        for (size_t have = 0; have < 4; have++)
            CHECK_INT(channel_frame_len(b, have), 0);
        CHECK_INT(channel_frame_len(b, 4), frame);
        CHECK_INT(channel_decode(&c, b, (size_t)frame), 0); /* on UDP padding is accepted */
        CHECK_INT(c.len, len);
        CHECK(c.data == b + 4);
    }
    uint8_t longest[4];
    channel_header(longest, 0x4000, 0xFFFF);
    CHECK_INT(channel_frame_len(longest, 4), 4 + 0x10000);
}

static const struct tap_test tests[] = {
    {"vector RFC 5769 2.1", vector_request},
    {"vector RFC 5769 2.2", vector_ipv4},
    {"vector RFC 5769 2.3", vector_ipv6},
    {"vector RFC 5769 2.4", vector_long_term},
    {"vector RFC 8489 B.1, erratum 6268", vector_sha256},
    {"vector RFC 8489 B.1 as published is dropped", vector_published},
    {"every bit before MESSAGE-INTEGRITY's end counts", bit_flips},
    {"C1 zero bits, cookie and length", c1_header},
    {"C1 length of a message on a stream", c1_stream},
    {"C3 an attribute that overruns", c3_overrun},
    {"C3 values of a wrong length", c3_values},
    {"C3 address families and their lengths", c3_families},
    {"C4 padding is sent as zero", c4_padding_sent},
    {"C4 padding is ignored when received", c4_padding_received},
    {"C5 the first of duplicates wins", c5_duplicates},
    {"C5 thousands of attributes, and too many types", c5_many},
    {"C6 what stands behind the integrity is ignored", c6_after_integrity},
    {"C6 MESSAGE-INTEGRITY behind MESSAGE-INTEGRITY-SHA256 is ignored", c6_sha1_after_sha256},
    {"C8 unknown types are listed", c8_unknown},
    {"C9 FINGERPRINT is last and right", c9_fingerprint},
    {"C9 a second FINGERPRINT, or an empty one", c9_two_fingerprints},
    {"C9 a right CRC in the wrong place or of the wrong length", c9_place},
    {"C9 CRC-32 check value", c9_crc},
    {"C12 error codes and phrases", c12_errors},
    {"C12 class 3 to 6, number 0 to 99", c12_error_range},
    {"C12 ADDRESS-ERROR-CODE", c12_address_error},
    {"C14 a request of RFC 3489 is no STUN", c14_no_cookie},
    {"C15 the first byte", c15_classify},
    {"all methods and classes there and back", types},
    {"C18 a nonce belongs to one source and one key", c18_source},
    {"C18 a nonce expires within the hour", c18_lifetime},
    {"C19 the nonce cookie", c19_cookie},
    {"C19 feature bits under both readings", c19_both_orders},
    {"C21 an altered nonce is not ours", c21_altered},
    {"C23 MESSAGE-INTEGRITY-SHA256 is exactly 32 bytes", c23_exact_length},
    {"C23 MESSAGE-INTEGRITY is exactly 20 bytes", c23_sha1_length},
    {"C24 the HMAC's length field ends at its attribute", c24_length_field},
    {"C25 the MD5 key", c25_md5_key},
    {"C26 the value of USERHASH", c26_userhash},
    {"HMAC of RFC 2202 and RFC 4231", hmacs},
    {"addresses there and back", addresses},
    {"UNKNOWN-ATTRIBUTES and PASSWORD-ALGORITHMS", lists},
    {"a full buffer is an error, never an overrun", full_buffer},
    {"a message of more than 16 bits of length", too_long},
    {"repeated attributes are walked", repeated},
    {"a Data indication around a payload in place", wrap_data},
    {"a Data indication that would be too long", wrap_data_limits},
    {"S4 any alignment", s4_alignment},
    {"C63 empty ChannelData", c63_empty_channel_data},
    {"C64 channel numbers", c64_numbers},
    {"C67 ChannelData shorter than its length", c67_short},
    {"C68 padding of ChannelData", c68_padding},
};

int main(void)
{
    if (stun_mac_new(&mac)) {
        printf("Bail out! no crypto\n");
        return 1;
    }
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    stun_mac_free(&mac);
    stun_mac_free(&mac);
    return rc;
}
