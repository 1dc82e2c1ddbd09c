#include "stun/msg.h"

#include <string.h>

#include "base/err.h"
#include "stun/integrity.h"

enum {
    ATTR_HEADER_LEN = 4,
    LENGTH_AT = 2, /* where the header has its length */
    COOKIE_AT = 4,
    TXID_AT = 8,
    FAMILY_V4 = 0x01, /* section 14.1 */
    FAMILY_V6 = 0x02,
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

static bool is_integrity(uint16_t type)
{
    return type == STUN_ATTR_MESSAGE_INTEGRITY || type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256;
}

/*
 *    0                   1
 *    2  3  4 5 6 7 8 9 0 1 2 3 4 5      RFC 8489 figure 3: the class bits stand
 *   +--+--+-+-+-+-+-+-+-+-+-+-+-+-+     between the bits of the method.
 *   |M |M |M|M|M|C|M|M|M|C|M|M|M|M|
 *   |11|10|9|8|7|1|6|5|4|0|3|2|1|0|
 *   +--+--+-+-+-+-+-+-+-+-+-+-+-+-+
 */
static uint16_t type_method(uint16_t type)
{
    return (uint16_t)((type & 0x000F) | (type & 0x00E0) >> 1 | (type & 0x3E00) >> 2);
}

static enum stun_class type_class(uint16_t type)
{
    return (enum stun_class)((type & 0x0010) >> 4 | (type & 0x0100) >> 7);
}

static uint16_t type_of(enum stun_class class, uint16_t method)
{
    unsigned c = (unsigned)class, m = method;
    return (uint16_t)((m & 0x000F) | (m & 0x0070) << 1 | (m & 0x0F80) << 2 | (c & 1) << 4 | (c & 2) << 7);
}

/* ---- Decoding ---- */

/* The attribute at offset `at`, which is a multiple of 4 and below m->len: as m->len is one too, its 4-byte header and padding fit. */
static int attr_at(const struct stun_msg *m, size_t at, struct stun_attr *out)
{
    const uint8_t *p = m->buf + at;
    out->type = load16(p);
    out->len = load16(p + 2);
    out->value = p + ATTR_HEADER_LEN;
    return m->len - at - ATTR_HEADER_LEN < out->len ? ERR_MALFORMED : 0;
}

static size_t attr_end(const struct stun_msg *m, const struct stun_attr *a)
{
    return (size_t)(a->value - m->buf) + padded(a->len);
}

/* RFC 8489 section 14.7: last, 4 bytes, and the CRC-32 of all before it. The header's length counts it, as it must. */
static int check_fingerprint(const struct stun_msg *m, const struct stun_attr *a)
{
    if (a->len != 4 || attr_end(m, a) != m->len)
        return ERR_FINGERPRINT;
    uint32_t crc = stun_crc32(m->buf, m->len - ATTR_HEADER_LEN - 4);
    return load32(a->value) == (crc ^ STUN_FINGERPRINT_XOR) ? 0 : ERR_FINGERPRINT;
}

/* What `seen` says is a filter only: one bit for types that fall together. */
static int keep_attr(struct stun_msg *m, const struct stun_attr *a, uint64_t *seen)
{
    uint64_t bit = (uint64_t)1 << ((a->type ^ a->type >> 9) & 63);
    if ((*seen & bit) && stun_find(m, a->type))
        return 0; /* the first one wins (C5) */
    if (m->nattrs == STUN_ATTRS_MAX)
        return ERR_MALFORMED;
    *seen |= bit;
    m->attrs[m->nattrs++] = *a;
    return 0;
}

static int decode_attrs(struct stun_msg *m)
{
    uint64_t seen = 0;
    bool sha1 = false, sha256 = false;
    struct stun_attr a;
    for (size_t at = STUN_HEADER_LEN; at < m->len; at = attr_end(m, &a)) {
        int err = attr_at(m, at, &a);
        if (err)
            return err;
        if (a.type == STUN_ATTR_FINGERPRINT) {
            err = check_fingerprint(m, &a);
            if (err)
                return err;
        } else if (sha256 || (sha1 && a.type != STUN_ATTR_MESSAGE_INTEGRITY_SHA256)) {
            continue; /* behind the integrity: nobody vouches for it (C6) */
        }
        err = keep_attr(m, &a, &seen);
        if (err)
            return err;
        sha1 = sha1 || a.type == STUN_ATTR_MESSAGE_INTEGRITY;
        sha256 = sha256 || a.type == STUN_ATTR_MESSAGE_INTEGRITY_SHA256;
    }
    return 0;
}

int stun_decode(struct stun_msg *m, const uint8_t *buf, size_t len)
{
    m->nattrs = 0;
    if (len < STUN_HEADER_LEN)
        return ERR_TRUNCATED;
    uint16_t type = load16(buf), body = load16(buf + LENGTH_AT);
    if (type & 0xC000 || body % 4 != 0 || load32(buf + COOKIE_AT) != STUN_COOKIE)
        return ERR_NOT_STUN;
    if (len - STUN_HEADER_LEN < body)
        return ERR_TRUNCATED;
    if (len - STUN_HEADER_LEN > body)
        return ERR_MALFORMED;
    m->buf = buf;
    m->len = len;
    m->method = type_method(type);
    m->class = type_class(type);
    m->txid = buf + TXID_AT;
    return decode_attrs(m);
}

int stun_frame_len(const uint8_t *buf, size_t len)
{
    if (len < 4)
        return 0;
    uint16_t body = load16(buf + LENGTH_AT);
    if (buf[0] & 0xC0 || body % 4 != 0)
        return ERR_NOT_STUN;
    return STUN_HEADER_LEN + body;
}

const struct stun_attr *stun_find(const struct stun_msg *m, uint16_t type)
{
    for (size_t i = 0; i < m->nattrs; i++)
        if (m->attrs[i].type == type)
            return &m->attrs[i];
    return NULL;
}

static bool is_known(uint16_t type, const uint16_t *known, size_t nknown)
{
    for (size_t i = 0; i < nknown; i++)
        if (known[i] == type)
            return true;
    return false;
}

size_t stun_unknown(const struct stun_msg *m, const uint16_t *known, size_t nknown, uint16_t *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < m->nattrs; i++) {
        uint16_t type = m->attrs[i].type;
        if (type >= 0x8000 || is_known(type, known, nknown))
            continue;
        if (n < cap)
            out[n] = type;
        n++;
    }
    return n;
}

/* The attribute of a type, of exactly `len` bytes. */
static int find_len(const struct stun_msg *m, uint16_t type, size_t len, const uint8_t **value)
{
    const struct stun_attr *a = stun_find(m, type);
    if (!a)
        return ERR_NOENT;
    if (a->len != len)
        return ERR_MALFORMED;
    *value = a->value;
    return 0;
}

int stun_get_u32(const struct stun_msg *m, uint16_t type, uint32_t *out)
{
    const uint8_t *v;
    int err = find_len(m, type, 4, &v);
    if (!err)
        *out = load32(v);
    return err;
}

int stun_get_u8(const struct stun_msg *m, uint16_t type, size_t len, uint8_t *out)
{
    const uint8_t *v;
    if (len == 0)
        return ERR_INVAL;
    int err = find_len(m, type, len, &v);
    if (!err)
        *out = v[0];
    return err;
}

int stun_get_channel(const struct stun_msg *m, uint16_t *out)
{
    const uint8_t *v;
    int err = find_len(m, STUN_ATTR_CHANNEL_NUMBER, 4, &v);
    if (!err)
        *out = load16(v);
    return err;
}

static const uint8_t no_mask[4 + STUN_TXID_LEN]; /* plain addresses are xored with zeros */

/* The bytes that addresses are xored with are the cookie and the transaction id, side by side in the header (section 14.2). */
static void xor_ip(uint8_t *out, const uint8_t *in, size_t n, const uint8_t *mask)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] ^ mask[i];
}

static int get_addr(const struct stun_attr *a, const uint8_t *mask, struct addr *out)
{
    const uint8_t *v = a->value;
    *out = (struct addr){0};
    if (a->len == 8 && v[1] == FAMILY_V4)
        out->family = ADDR_V4;
    else if (a->len == 20 && v[1] == FAMILY_V6)
        out->family = ADDR_V6;
    else
        return ERR_MALFORMED;
    out->port = (uint16_t)(load16(v + 2) ^ load16(mask));
    xor_ip(out->ip, v + 4, a->len - 4u, mask);
    return 0;
}

int stun_attr_xor_addr(const struct stun_msg *m, const struct stun_attr *a, struct addr *out)
{
    return get_addr(a, m->buf + COOKIE_AT, out);
}

int stun_get_xor_addr(const struct stun_msg *m, uint16_t type, struct addr *out)
{
    const struct stun_attr *a = stun_find(m, type);
    return a ? stun_attr_xor_addr(m, a, out) : ERR_NOENT;
}

int stun_get_addr(const struct stun_msg *m, uint16_t type, struct addr *out)
{
    const struct stun_attr *a = stun_find(m, type);
    return a ? get_addr(a, no_mask, out) : ERR_NOENT;
}

int stun_get_error(const struct stun_msg *m, int *code)
{
    const struct stun_attr *a = stun_find(m, STUN_ATTR_ERROR_CODE);
    if (!a)
        return ERR_NOENT;
    if (a->len < 4)
        return ERR_MALFORMED;
    int class = a->value[2] & 7, number = a->value[3];
    if (class < 3 || class > 6 || number > 99)
        return ERR_MALFORMED;
    *code = class * 100 + number;
    return 0;
}

bool stun_next(const struct stun_msg *m, uint16_t type, size_t *at, struct stun_attr *out)
{
    struct stun_attr a;
    for (size_t next = *at ? *at : STUN_HEADER_LEN; next < m->len; next = attr_end(m, &a)) {
        if (attr_at(m, next, &a) || (is_integrity(a.type) && a.type != type))
            break;
        if (a.type == type) {
            *at = attr_end(m, &a);
            *out = a;
            return true;
        }
    }
    *at = m->len;
    return false;
}

/* ---- Encoding ---- */

void stun_begin(struct stun_out *o, uint8_t *buf, size_t cap, enum stun_class class, uint16_t method, const uint8_t *txid)
{
    memcpy(o->txid, txid, STUN_TXID_LEN);
    o->w = wire_into(buf, cap);
    wire_put_u16(&o->w, type_of(class, method));
    wire_put_u16(&o->w, 0);
    wire_put_u32(&o->w, STUN_COOKIE);
    wire_put(&o->w, o->txid, STUN_TXID_LEN);
}

/* A length of more than 16 bits cannot pass put_end. */
static void put_header(struct stun_out *o, uint16_t type, size_t len)
{
    wire_put_u16(&o->w, type);
    wire_put_u16(&o->w, (uint16_t)len);
}

/* Pads with zeros (C4) and makes the header's length right. */
static void put_end(struct stun_out *o)
{
    wire_put_zeros(&o->w, padded(o->w.len) - o->w.len);
    if (o->w.err)
        return;
    if (o->w.len - STUN_HEADER_LEN > UINT16_MAX) {
        o->w.err = ERR_NOSPC;
        return;
    }
    wire_patch_u16(&o->w, LENGTH_AT, (uint16_t)(o->w.len - STUN_HEADER_LEN));
}

void stun_put(struct stun_out *o, uint16_t type, const void *value, size_t len)
{
    put_header(o, type, len);
    if (len)
        wire_put(&o->w, value, len);
    put_end(o);
}

void stun_put_u32(struct stun_out *o, uint16_t type, uint32_t v)
{
    put_header(o, type, 4);
    wire_put_u32(&o->w, v);
    put_end(o);
}

static void put_addr(struct stun_out *o, uint16_t type, const struct addr *a, const uint8_t *mask)
{
    size_t n = a->family == ADDR_V4 ? 4 : a->family == ADDR_V6 ? 16 : 0;
    uint8_t ip[16];
    if (n == 0) {
        o->w.err = o->w.err ? o->w.err : ERR_AFNOSUPPORT;
        return;
    }
    xor_ip(ip, a->ip, n, mask);
    put_header(o, type, 4 + n);
    wire_put_u8(&o->w, 0);
    wire_put_u8(&o->w, a->family == ADDR_V4 ? FAMILY_V4 : FAMILY_V6);
    wire_put_u16(&o->w, (uint16_t)(a->port ^ (mask[0] << 8 | mask[1])));
    wire_put(&o->w, ip, n);
    put_end(o);
}

void stun_put_xor_addr(struct stun_out *o, uint16_t type, const struct addr *a)
{
    uint8_t mask[4 + STUN_TXID_LEN] = {STUN_COOKIE >> 24, STUN_COOKIE >> 16 & 0xFF, STUN_COOKIE >> 8 & 0xFF, STUN_COOKIE & 0xFF};
    memcpy(mask + 4, o->txid, STUN_TXID_LEN);
    put_addr(o, type, a, mask);
}

void stun_put_addr(struct stun_out *o, uint16_t type, const struct addr *a)
{
    put_addr(o, type, a, no_mask);
}

static void put_error(struct stun_out *o, uint16_t type, uint8_t first, int code)
{
    const char *reason = stun_reason(code);
    size_t n = strlen(reason);
    if (code < 300 || code > 699) {
        o->w.err = o->w.err ? o->w.err : ERR_RANGE;
        return;
    }
    put_header(o, type, 4 + n);
    wire_put_u8(&o->w, first);
    wire_put_u8(&o->w, 0);
    wire_put_u8(&o->w, (uint8_t)(code / 100));
    wire_put_u8(&o->w, (uint8_t)(code % 100));
    wire_put(&o->w, reason, n);
    put_end(o);
}

void stun_put_error(struct stun_out *o, int code)
{
    put_error(o, STUN_ATTR_ERROR_CODE, 0, code);
}

void stun_put_address_error(struct stun_out *o, enum addr_family family, int code)
{
    put_error(o, STUN_ATTR_ADDRESS_ERROR_CODE, family == ADDR_V6 ? FAMILY_V6 : FAMILY_V4, code);
}

void stun_put_unknown(struct stun_out *o, const uint16_t *types, size_t n)
{
    put_header(o, STUN_ATTR_UNKNOWN_ATTRIBUTES, 2 * n);
    for (size_t i = 0; i < n; i++)
        wire_put_u16(&o->w, types[i]);
    put_end(o);
}

void stun_put_algorithms(struct stun_out *o, const uint16_t *algorithms, size_t n)
{
    put_header(o, STUN_ATTR_PASSWORD_ALGORITHMS, 4 * n);
    for (size_t i = 0; i < n; i++) {
        wire_put_u16(&o->w, algorithms[i]);
        wire_put_u16(&o->w, 0); /* no parameters */
    }
    put_end(o);
}

int stun_end(const struct stun_out *o)
{
    return o->w.err ? o->w.err : (int)o->w.len;
}

uint8_t *stun_wrap_data(uint8_t *payload, size_t payload_len, const struct addr *peer, const uint8_t *txid, size_t *len)
{
    size_t addr_len = ATTR_HEADER_LEN + (peer->family == ADDR_V6 ? 20u : 8u);
    size_t head = STUN_HEADER_LEN + addr_len + ATTR_HEADER_LEN;
    size_t total = head + padded(payload_len);
    if (payload_len > UINT16_MAX || total - STUN_HEADER_LEN > UINT16_MAX)
        return NULL;

    struct stun_out o;
    uint8_t *start = payload - head;
    stun_begin(&o, start, head, STUN_INDICATION, STUN_DATA, txid);
    stun_put_xor_addr(&o, STUN_ATTR_XOR_PEER_ADDRESS, peer);
    put_header(&o, STUN_ATTR_DATA, payload_len);
    if (o.w.err)
        return NULL;
    memset(payload + payload_len, 0, total - head - payload_len);
    store16(start + LENGTH_AT, (uint16_t)(total - STUN_HEADER_LEN));
    *len = total;
    return start;
}
