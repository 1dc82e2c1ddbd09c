/*
 * Purpose:  a token bucket.
 * Owner:    one thread a bucket.
 * Lifetime: a plain value.
 * Callers:  relay/forward (bits per second), relay/turn (answers per second).
 * RFC:      none (the algorithm of RFC 2697 with one rate).
 */
#ifndef BASE_RATE_H
#define BASE_RATE_H

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

#endif
