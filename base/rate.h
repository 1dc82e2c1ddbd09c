/*
 * Purpose:  token buckets: one for a single thread, one that threads share.
 * Owner:    one thread a `struct rate`; a `struct rate_shared` is any thread's.
 * Lifetime: a plain value.
 * Callers:  relay/forward (bits per second), relay/turn (answers per second).
 * RFC:      none (the algorithm of RFC 2697 with one rate).
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero means "no limit". */
struct rate {
    uint64_t per_s; /* tokens a second; 0: no limit */
    uint64_t burst; /* tokens the bucket holds */
    uint64_t micro; /* tokens in the bucket, in millionths */
    uint64_t last_ms;
};

void rate_init(struct rate *r, uint64_t per_s, uint64_t burst, uint64_t now_ms);
/* Takes n tokens; false (and takes none) if there are fewer. */
bool rate_take(struct rate *r, uint64_t n, uint64_t now_ms);

/*
 * The same for several threads, in one atomic word: the time at which all that was taken is paid for (the generic cell rate algorithm of
 * ITU-T I.371). All zero is a full bucket. The caller brings the rate, so that a new one is in force at once.
 */
struct rate_shared {
    _Atomic uint64_t paid_ns;
};
/* Takes n tokens (4 billion at most) at `per_s` (not 0) from a bucket that holds `full_ms` milliseconds' worth; false (and takes none) if
 * there are fewer. */
bool rate_shared_take(struct rate_shared *r, uint32_t n, uint64_t per_s, uint64_t full_ms, uint64_t now_ms);

#endif
