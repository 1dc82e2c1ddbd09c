/*
 * Purpose:  two limits of the same thing, each of which may be none.
 * Owner:    any thread.
 * Lifetime: no state.
 * Callers:  auth/, relay/, programs/.
 * RFC:      none.
 */
#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include <stdint.h>

/* The one that is in force; 0: no limit. */
static inline uint64_t limit_smaller(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}
static inline uint32_t limit_smaller32(uint32_t a, uint32_t b)
{
    return (uint32_t)limit_smaller(a, b);
}

#endif
