/*
 * Purpose:  a bounded ring of byte records from one thread to one other thread; no lock, no allocation after init.
 * Owner:    one producer and one consumer thread.
 * Lifetime: from ring_new to ring_free, which both threads must have stopped using.
 * Callers:  relay/worker, one ring for each ordered pair of workers.
 * RFC:      none.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* `bytes` is rounded up to a power of two. A record takes its length rounded up to 8 and 8 more; one that takes more than half of
 * the ring is never accepted, so that each other one fits again once the consumer has caught up. ERR_NOMEM. */
int ring_new(struct ring **out, size_t bytes);
void ring_free(struct ring **r);

/* Producer: room for a record of `len` bytes, contiguous and 8-aligned, or NULL when the ring is full. The record is visible to the
 * consumer after ring_commit. At most one record is being written at a time. */
void *ring_reserve(struct ring *r, size_t len);
void ring_commit(struct ring *r);

/* Consumer: the oldest record, or NULL when there is none. Valid until ring_release. */
void *ring_peek(struct ring *r, size_t *len);
void ring_release(struct ring *r);

#endif
