/*
 * Purpose:  bounds-checked, sticky-error cursors over bytes in network order.
 * Owner:    the thread that holds the cursor; nothing is shared.
 * Lifetime: a cursor borrows its buffer and owns nothing.
 * Callers:  stun/, base/ring, tests.
 * RFC:      none (network byte order, RFC 1700).
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Reading. After the first overrun every read gives 0 (or NULL) and `err` stays ERR_TRUNCATED: check once, at the end. */
struct wire {
    const uint8_t *p;
    const uint8_t *end;
    int err;
};

struct wire wire_over(const uint8_t *buf, size_t len);
size_t wire_left(const struct wire *w);
uint8_t wire_u8(struct wire *w);
uint16_t wire_u16(struct wire *w);
uint32_t wire_u32(struct wire *w);
uint64_t wire_u64(struct wire *w);
/* Borrow the next n bytes; NULL (and a sticky error) if there are fewer. */
const uint8_t *wire_bytes(struct wire *w, size_t n);

/* Writing. After the first overrun nothing more is written and `err` stays ERR_NOSPC. */
struct wire_out {
    uint8_t *buf;
    size_t len; /* bytes written so far */
    size_t cap;
    int err;
};

struct wire_out wire_into(uint8_t *buf, size_t cap);
void wire_put_u8(struct wire_out *w, uint8_t v);
void wire_put_u16(struct wire_out *w, uint16_t v);
void wire_put_u32(struct wire_out *w, uint32_t v);
void wire_put_u64(struct wire_out *w, uint64_t v);
void wire_put(struct wire_out *w, const void *bytes, size_t n);
void wire_put_zeros(struct wire_out *w, size_t n);
/* Overwrite two bytes that were written before, at offset `at`. */
void wire_patch_u16(struct wire_out *w, size_t at, uint16_t v);

#endif
