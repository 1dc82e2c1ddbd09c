/*
 * Purpose:  counters of one worker.
 * Owner:    written by the worker's thread only (relaxed), read by anyone.
 * Lifetime: that of the worker.
 * Callers:  relay/ counts; relay/relay reads.
 * RFC:      none.
 */
#ifndef RELAY_COUNT_H
#define RELAY_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

/* Name in logs (and later metrics) beside the number. Refusals and drops by reason come last. */
#define COUNTERS(X)                                                                                                                \
    X(COUNT_REQUESTS, "requests")                                                                                                  \
    X(COUNT_SUCCESSES, "successes")                                                                                                \
    X(COUNT_ERRORS, "errors")                                                                                                      \
    X(COUNT_CHALLENGES, "challenges")                                                                                              \
    X(COUNT_ALLOCATIONS_CREATED, "allocations_created")                                                                            \
    X(COUNT_ALLOCATIONS_DELETED, "allocations_deleted")                                                                            \
    X(COUNT_ALLOCATIONS_REVOKED, "allocations_revoked")                                                                            \
    X(COUNT_ALLOCATIONS_CLOSED, "allocations_closed")                                                                              \
    X(COUNT_PACKETS_UP, "packets_up")                                                                                              \
    X(COUNT_BYTES_UP, "bytes_up")                                                                                                  \
    X(COUNT_PACKETS_DOWN, "packets_down")                                                                                          \
    X(COUNT_BYTES_DOWN, "bytes_down")                                                                                              \
    X(COUNT_SPLICE_LOCAL, "splice_local")                                                                                          \
    X(COUNT_SPLICE_OUT, "splice_out")                                                                                              \
    X(COUNT_SPLICE_IN, "splice_in")                                                                                                \
    X(REFUSED_USER_QUOTA, "refused_user_quota")                                                                                    \
    X(REFUSED_SOURCE_QUOTA, "refused_source_quota")                                                                                \
    X(REFUSED_TOTAL_QUOTA, "refused_total_quota")                                                                                  \
    X(REFUSED_CAPACITY, "refused_capacity")                                                                                        \
    X(REFUSED_NO_ADDRESS, "refused_no_address")                                                                                    \
    X(REFUSED_NO_MEMORY, "refused_no_memory")                                                                                      \
    X(REFUSED_MEMORY_SHORT, "refused_memory_short")                                                                                \
    X(REFUSED_DRAINING, "refused_draining")                                                                                        \
    X(COUNT_REDIRECTED, "redirected")                                                                                              \
    X(DROP_NOT_STUN, "drop_not_stun")                                                                                              \
    X(DROP_MALFORMED, "drop_malformed")                                                                                            \
    X(DROP_METHOD, "drop_method")                                                                                                  \
    X(DROP_NO_ALLOCATION, "drop_no_allocation")                                                                                    \
    X(DROP_NO_CHANNEL, "drop_no_channel")                                                                                          \
    X(DROP_NO_PERMISSION, "drop_no_permission")                                                                                    \
    X(DROP_POLICY, "drop_policy")                                                                                                  \
    X(DROP_FAMILY, "drop_family")                                                                                                  \
    X(DROP_BANDWIDTH, "drop_bandwidth")                                                                                            \
    X(DROP_BANDWIDTH_USER, "drop_bandwidth_user")                                                                                  \
    X(DROP_UNAUTHENTICATED_RATE, "drop_unauthenticated_rate")                                                                      \
    X(DROP_THROTTLED, "drop_throttled")                                                                                            \
    X(DROP_PARKED_FULL, "drop_parked_full")                                                                                        \
    X(DROP_PARKED_TIMEOUT, "drop_parked_timeout")                                                                                  \
    X(DROP_PARKED_CLOSED, "drop_parked_closed")                                                                                    \
    X(DROP_RETRANSMISSION, "drop_retransmission")                                                                                  \
    X(DROP_RING_FULL, "drop_ring_full")                                                                                            \
    X(DROP_FEED_FULL, "drop_feed_full")                                                                                            \
    X(DROP_PEER_SEND, "drop_peer_send")                                                                                            \
    X(DROP_CLIENT_SEND, "drop_client_send")                                                                                        \
    X(DROP_STREAMS, "drop_streams")                                                                                                \
    X(DROP_STREAMS_SOURCE, "drop_streams_source")                                                                                  \
    X(DROP_STREAMS_DESCRIPTORS, "drop_streams_descriptors")                                                                        \
    X(DROP_STREAM_SILENT, "drop_stream_silent")                                                                                    \
    X(DROP_STREAM_LONG, "drop_stream_long")                                                                                        \
    X(DROP_STREAM_STRANGER, "drop_stream_stranger")                                                                                \
    X(DROP_STREAM_SLOW, "drop_stream_slow")                                                                                        \
    X(DROP_STREAM_FULL, "drop_stream_full")                                                                                        \
    X(DROP_TRUNCATED, "drop_truncated")                                                                                            \
    X(DROP_NO_MEMORY, "drop_no_memory")

enum counter {
#define X(id, name) id,
    COUNTERS(X)
#undef X
        COUNTERS_N
};

struct counters {
    _Atomic uint64_t v[COUNTERS_N];
};

static inline void count_add(struct counters *c, enum counter which, uint64_t n)
{
    atomic_store_explicit(&c->v[which], atomic_load_explicit(&c->v[which], memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void count(struct counters *c, enum counter which)
{
    count_add(c, which, 1);
}

static inline uint64_t count_read(const struct counters *c, enum counter which)
{
    return atomic_load_explicit(&c->v[which], memory_order_relaxed);
}

/* "packets_up"; never NULL. */
const char *count_name(enum counter which);

#endif
