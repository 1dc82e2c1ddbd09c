#include "base/ring.h"

#include "base/err.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    RING_MIN = 64,
    LINE = 64,  /* bytes of a cache line: what one thread writes stays off the other's lines */
    HEADER = 8, /* the length before a record, and the record's alignment */
};
#define WRAP UINT64_MAX /* instead of a length: the rest of the buffer is skipped */

/* Positions count bytes since the start and never wrap (2^64); masked, they are offsets. */
struct ring {
    _Alignas(LINE) _Atomic uint64_t head; /* written by the producer: the end of what is committed */
    uint64_t tail_seen;                   /* the producer's copy of tail */
    uint64_t reserved;                    /* head once the record being written is committed */

    _Alignas(LINE) _Atomic uint64_t tail; /* written by the consumer: the end of what is released */
    uint64_t head_seen;                   /* the consumer's copy of head */
    uint64_t peeked;                      /* tail once the record being read is released */

    _Alignas(LINE) uint64_t mask;
    uint8_t *buf;
};

int ring_new(struct ring **out, size_t bytes)
{
    struct ring *r;
    size_t n = RING_MIN;

    while (n < bytes) {
        if (n > SIZE_MAX / 4)
            return ERR_NOMEM;
        n *= 2;
    }
    r = aligned_alloc(LINE, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    *r = (struct ring){.mask = n - 1};
    r->buf = aligned_alloc(LINE, n);
    if (!r->buf) {
        free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return 0;
}

void ring_free(struct ring **r)
{
    if (!*r)
        return;
    free((*r)->buf);
    free(*r);
    *r = NULL;
}

static uint64_t *header_at(struct ring *r, uint64_t pos)
{
    return (void *)(r->buf + (pos & r->mask)); /* 8-aligned: every record is a multiple of 8 long */
}

void *ring_reserve(struct ring *r, size_t len)
{
    uint64_t size = r->mask + 1;
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed); /* our own */
    uint64_t to_end = size - (head & r->mask);
    uint64_t need, skip;

    if (len > size / 2 - HEADER)
        return NULL;
    need = HEADER + ((len + 7) & ~(uint64_t)7);
    skip = need > to_end ? to_end : 0;
    if (head + skip + need - r->tail_seen > size) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head + skip + need - r->tail_seen > size)
            return NULL;
    }
    if (skip)
        *header_at(r, head) = WRAP; /* there is room for it: to_end is a multiple of 8, never 0 */
    *header_at(r, head + skip) = len;
    r->reserved = head + skip + need;
    return header_at(r, head + skip) + 1;
}

void ring_commit(struct ring *r)
{
    assert(r->reserved > atomic_load_explicit(&r->head, memory_order_relaxed));
    atomic_store_explicit(&r->head, r->reserved, memory_order_release);
}

void *ring_peek(struct ring *r, size_t *len)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed); /* our own */
    uint64_t *header;

    if (tail == r->head_seen) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail == r->head_seen)
            return NULL;
    }
    header = header_at(r, tail);
    if (*header == WRAP) { /* committed together with the record behind it */
        tail += r->mask + 1 - (tail & r->mask);
        header = header_at(r, tail);
    }
    *len = *header;
    r->peeked = tail + HEADER + ((*header + 7) & ~(uint64_t)7);
    return header + 1;
}

void ring_release(struct ring *r)
{
    assert(r->peeked > atomic_load_explicit(&r->tail, memory_order_relaxed));
    atomic_store_explicit(&r->tail, r->peeked, memory_order_release);
}
