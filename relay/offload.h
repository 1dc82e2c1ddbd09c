/*
 * Purpose:  where a faster data path docks: it is told what user space has decided, and may carry packets from then on.
 * Owner:    one table a process; calls come from the worker that owns the allocation.
 * Lifetime: that of the relay. User space stays the truth: with no offload (NULL in the shard) everything works.
 * Callers:  relay/alloc.
 * RFC:      8656 section 12 (channels).
 */
#ifndef RELAY_OFFLOAD_H
#define RELAY_OFFLOAD_H

struct alloc;
struct channel;

struct offload_ops {
    /* A channel was bound or refreshed, or its permission was. */
    void (*bind)(void *self, const struct alloc *a, const struct channel *c);
    /* The allocation ends, or may no longer relay: nothing of it may pass after this returns. */
    void (*end)(void *self, const struct alloc *a);
};

#endif
