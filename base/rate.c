#include "base/rate.h"

enum { MICRO = 1000000, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

/* Ten trillion tokens (a second): beyond any line, and small enough that no product below leaves 64 bits. */
static const uint64_t limit = 10000000000000;

void rate_init(struct rate *r, uint64_t per_s, uint64_t burst, uint64_t now_ms)
{
    if (per_s > limit)
        per_s = limit;
    if (burst > limit)
        burst = limit;
    *r = (struct rate){.per_s = per_s, .burst = burst, .micro = burst * MICRO, .last_ms = now_ms};
}

static void refill(struct rate *r, uint64_t now_ms)
{
    uint64_t per_ms = r->per_s * 1000; /* millionths of a token a millisecond */
    uint64_t missing = r->burst * MICRO - r->micro;
    uint64_t elapsed = now_ms - r->last_ms;

    r->last_ms = now_ms;
    if (elapsed > missing / per_ms) /* also after a pause so long that the product would overflow */
        r->micro += missing;
    else
        r->micro += elapsed * per_ms;
}

bool rate_take(struct rate *r, uint64_t n, uint64_t now_ms)
{
    if (!r->per_s)
        return true;
    if (now_ms > r->last_ms)
        refill(r, now_ms);
    if (n > r->burst || n * MICRO > r->micro)
        return false;
    r->micro -= n * MICRO;
    return true;
}

bool rate_shared_take(struct rate_shared *r, uint32_t n, uint64_t per_s, uint64_t full_ms, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS, full_ns = full_ms * NS_PER_MS, cost_ns = (uint64_t)n * NS_PER_S / per_s;
    uint64_t paid = atomic_load_explicit(&r->paid_ns, memory_order_relaxed), next;

    do {
        next = paid > now_ns ? paid : now_ns;
        if (next > now_ns + full_ns) /* a slower rate was in force */
            next = now_ns + full_ns;
        next += cost_ns;
        if (next > now_ns + full_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&r->paid_ns, &paid, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}
