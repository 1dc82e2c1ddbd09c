/*
 * Purpose:  the two clocks. Library code never asks them: time is an argument.
 * Owner:    any thread.
 * Lifetime: no state.
 * Callers:  the edges (relay/worker, programs/), which pass `struct now` inwards.
 * RFC:      none.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct now {
    uint64_t ms;  /* CLOCK_BOOTTIME in milliseconds: lifetimes; goes on during suspend, never steps */
    int64_t wall; /* wall clock, seconds since 1970: expiry of credentials */
};

struct now clock_now(void);

#endif
