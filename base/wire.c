#include "base/wire.h"

#include "base/err.h"

#include <string.h>

struct wire wire_over(const uint8_t *buf, size_t len)
{
    /* A NULL buffer is an empty one: no arithmetic on NULL. */
    return (struct wire){.p = buf, .end = buf && len ? buf + len : buf};
}

size_t wire_left(const struct wire *w)
{
    return w->err || w->p == w->end ? 0 : (size_t)(w->end - w->p);
}

const uint8_t *wire_bytes(struct wire *w, size_t n)
{
    const uint8_t *p = w->p;
    if (w->err)
        return NULL;
    if (n > wire_left(w)) {
        w->err = ERR_TRUNCATED;
        return NULL;
    }
    if (n)
        w->p += n;
    return p;
}

uint8_t wire_u8(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 1);
    return p ? p[0] : 0;
}

uint16_t wire_u16(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 2);
    return (uint16_t)(p ? p[0] << 8 | p[1] : 0); /* cast as a whole: with UBSan gcc warns about the ?: otherwise */
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t wire_u32(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 4);
    return p ? u32_at(p) : 0;
}

uint64_t wire_u64(struct wire *w)
{
    const uint8_t *p = wire_bytes(w, 8);
    return p ? (uint64_t)u32_at(p) << 32 | u32_at(p + 4) : 0;
}

struct wire_out wire_into(uint8_t *buf, size_t cap)
{
    return (struct wire_out){.buf = buf, .cap = buf ? cap : 0};
}

/* Room for n bytes, or NULL and the sticky error. */
static uint8_t *claim(struct wire_out *w, size_t n)
{
    uint8_t *p;
    if (w->err)
        return NULL;
    if (n > w->cap - w->len) {
        w->err = ERR_NOSPC;
        return NULL;
    }
    if (!n)
        return NULL;
    p = w->buf + w->len;
    w->len += n;
    return p;
}

void wire_put(struct wire_out *w, const void *bytes, size_t n)
{
    uint8_t *p = claim(w, n);
    if (p)
        memcpy(p, bytes, n);
}

void wire_put_zeros(struct wire_out *w, size_t n)
{
    uint8_t *p = claim(w, n);
    if (p)
        memset(p, 0, n);
}

void wire_put_u8(struct wire_out *w, uint8_t v)
{
    wire_put(w, &v, 1);
}

void wire_put_u16(struct wire_out *w, uint16_t v)
{
    const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    wire_put(w, b, sizeof(b));
}

void wire_put_u32(struct wire_out *w, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    wire_put(w, b, sizeof(b));
}

void wire_put_u64(struct wire_out *w, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    wire_put(w, b, sizeof(b));
}

void wire_patch_u16(struct wire_out *w, size_t at, uint16_t v)
{
    if (w->err)
        return;
    if (at > w->len || w->len - at < 2) {
        w->err = ERR_NOSPC;
        return;
    }
    w->buf[at] = (uint8_t)(v >> 8);
    w->buf[at + 1] = (uint8_t)v;
}
