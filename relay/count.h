/*
 * Purpose:  counters of one worker.
 * Owner:    written by the worker's thread only (relaxed), read by anyone.
 * Lifetime: that of the worker.
 * Callers:  relay/ counts; relay/relaylook reads, and programs/ by it.
 * RFC:      none.
 */
#ifndef RELAY_COUNT_H
#define RELAY_COUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name in logs and metrics beside the number. Refusals and drops by reason come last. */
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
    X(COUNT_SPLICED_PACKETS_UP, "spliced_packets_up")                                                                              \
    X(COUNT_SPLICED_BYTES_UP, "spliced_bytes_up")                                                                                  \
    X(COUNT_SPLICED_PACKETS_DOWN, "spliced_packets_down")                                                                          \
    X(COUNT_SPLICED_BYTES_DOWN, "spliced_bytes_down")                                                                              \
    X(COUNT_NEWS_SUPPRESSED, "news_suppressed")                                                                                    \
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

/* What a request came to. Drops are counted by their reason alone. */
enum count_method { METHOD_BINDING, METHOD_ALLOCATE, METHOD_REFRESH, METHOD_CREATE_PERMISSION, METHOD_CHANNEL_BIND, COUNT_METHODS };
enum count_result { RESULT_SUCCESS, RESULT_CHALLENGE, RESULT_ERROR, COUNT_RESULTS };

/* Why a request that showed a credential was not believed. A nonce that has become stale is no failure. */
enum count_failure {
    FAILURE_UNKNOWN_USER,
    FAILURE_WRONG_PASSWORD,
    FAILURE_EXPIRED, /* a time-limited name whose time is over */
    FAILURE_REALM,
    FAILURE_UNREADABLE,
    FAILURE_THROTTLED,
    FAILURE_UNAVAILABLE, /* the source of credentials could not say */
    COUNT_FAILURES
};

/* Which way a packet went: by a socket, or from one relayed address of ours to another. */
enum count_path { PATH_USER, PATH_SPLICE, COUNT_PATHS };

enum {
    COUNT_CODES = 15,         /* of an Allocate: success, each error code, any other one */
    COUNT_TRANSPORTS = 2,     /* enum transport */
    COUNT_FAMILIES = 2,       /* IPv4, IPv6 */
    COUNT_AUTH_TIMES = 13,    /* bounds of a histogram, */
    COUNT_SESSION_TIMES = 12, /* in count.c */
};

/* Behind the COUNTERS_N with a name of their own stand tables, and then histograms: how many were in each bucket, more than all bounds, and the sum in
 * milliseconds. */
enum counter {
#define X(id, name) id,
    COUNTERS(X)
#undef X
        COUNTERS_N,
    COUNT_BY_METHOD = COUNTERS_N, /* [method][result] */
    COUNT_BY_CODE = COUNT_BY_METHOD + COUNT_METHODS * COUNT_RESULTS,
    COUNT_ACTIVE = COUNT_BY_CODE + COUNT_CODES, /* [transport][family of the client]: goes up and down */
    COUNT_AUTH_FAILURES = COUNT_ACTIVE + COUNT_TRANSPORTS * COUNT_FAMILIES,
    COUNT_AUTH_HISTOGRAM = COUNT_AUTH_FAILURES + COUNT_FAILURES,
    COUNT_SESSION_HISTOGRAM = COUNT_AUTH_HISTOGRAM + COUNT_AUTH_TIMES + 2,
    COUNTERS_ALL = COUNT_SESSION_HISTOGRAM + COUNT_SESSION_TIMES + 2
};

struct counters {
    _Atomic uint64_t v[COUNTERS_ALL];
};

static inline void count_add(struct counters *c, enum counter which, uint64_t n)
{
    atomic_store_explicit(&c->v[which], atomic_load_explicit(&c->v[which], memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void count(struct counters *c, enum counter which)
{
    count_add(c, which, 1);
}

/* Where an entry of a table is counted. */
static inline enum counter count_request(enum count_method method, enum count_result result)
{
    return (enum counter)(COUNT_BY_METHOD + (int)method * COUNT_RESULTS + (int)result);
}
static inline enum counter count_failure(enum count_failure why)
{
    return (enum counter)(COUNT_AUTH_FAILURES + (int)why);
}
static inline enum counter count_active(unsigned transport, bool ipv6)
{
    return (enum counter)(COUNT_ACTIVE + transport * COUNT_FAMILIES + ipv6);
}
/* An error code; 0: success. */
enum counter count_code(int code);

/* Where one of the four from COUNT_PACKETS_UP to COUNT_BYTES_DOWN is counted for one path. */
static inline enum counter count_relayed(enum count_path path, enum counter which)
{
    return path == PATH_USER ? which : (enum counter)(which - COUNT_PACKETS_UP + COUNT_SPLICED_PACKETS_UP);
}

/* One slot: of those four, the path that goes by sockets. */
static inline uint64_t count_slot(const struct counters *c, enum counter which)
{
    return atomic_load_explicit(&c->v[which], memory_order_relaxed);
}
/* As its name says: of those four, both paths. */
static inline uint64_t count_read(const struct counters *c, enum counter which)
{
    bool relayed = which >= COUNT_PACKETS_UP && which <= COUNT_BYTES_DOWN;

    return count_slot(c, which) + (relayed ? count_slot(c, count_relayed(PATH_SPLICE, which)) : 0);
}

struct count_histogram {
    enum counter first;
    const double *bound; /* seconds, ascending */
    size_t n;
};
extern const struct count_histogram COUNT_OF_AUTH;    /* how long requests with credentials were parked for the answer */
extern const struct count_histogram COUNT_OF_SESSION; /* how long allocations lived */
void count_time(struct counters *c, const struct count_histogram *h, uint64_t ms);

/* Names for logs and metrics; never NULL. "packets_up"; "create_permission"; "challenge"; "486", "success", "other"; "wrong_password"; "splice". */
const char *count_name(enum counter which);
const char *count_method_name(enum count_method method);
const char *count_result_name(enum count_result result);
const char *count_code_name(unsigned i); /* the i-th behind COUNT_BY_CODE */
const char *count_failure_name(enum count_failure why);
const char *count_path_name(enum count_path path);

#endif
