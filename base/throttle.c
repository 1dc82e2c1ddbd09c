#include "base/throttle.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"
#include "base/random.h"

/*
 * A pair is one atomic word: 32 bits of its hash, the second in which it began to count (or fell silent), and its failures. The bucket is chosen
 * by other bits of that keyed hash, so that nobody can aim at a victim's pair.
 */
struct throttle {
    uint64_t seed[2];
    _Atomic uint64_t pairs[THROTTLE_BUCKETS][THROTTLE_WAYS]; /* 0: free */
};

enum {
    USER_MAX = 512,          /* bytes; STUN_USERNAME_MAX and STUN_USERHASH_LEN are less */
    SECONDS_MASK = 0xFFFFFF, /* half a year; a pair that stays untouched for so long and meets its own second is no harm */
    SKEW_MAX_S = 60,         /* a worker's clock stands still for a pass, and another's may be ahead of it by so much */
};

static uint64_t word(uint64_t pair, uint64_t second, unsigned failures)
{
    return pair >> 32 << 32 | (second & SECONDS_MASK) << 8 | failures;
}

static unsigned failures_of(uint64_t w)
{
    return (unsigned)(w & 0xFF);
}

/* One that another worker has made a moment later than this pass began is new, not half a year old. */
static uint64_t age_of(uint64_t w, uint64_t second)
{
    uint64_t age = (second - (w >> 8)) & SECONDS_MASK;

    return age > SECONDS_MASK - SKEW_MAX_S ? 0 : age;
}

static bool over(uint64_t w, uint64_t second)
{
    return age_of(w, second) >= (failures_of(w) < THROTTLE_FAILURES ? THROTTLE_WINDOW_S : THROTTLE_SILENCE_S);
}

static bool is_of(uint64_t w, uint64_t pair)
{
    return w && w >> 32 == pair >> 32;
}

int throttle_new(struct throttle **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return ERR_NOMEM;
    random_bytes((*out)->seed, sizeof((*out)->seed));
    return 0;
}

void throttle_free(struct throttle **t)
{
    if (*t)
        explicit_bzero((*t)->seed, sizeof((*t)->seed));
    free(*t);
    *t = NULL;
}

uint64_t throttle_pair(const struct throttle *t, const void *user, size_t len, const struct addr *source)
{
    uint8_t key[8 + USER_MAX] = {0};
    size_t n = source->family == ADDR_V6 ? 8 : 4;

    if (len > USER_MAX)
        len = USER_MAX;
    memcpy(key, source->ip, n);
    memcpy(key + n, user, len);
    return map_sip(t->seed, key, n + len);
}

bool throttle_silent(const struct throttle *t, uint64_t pair, uint64_t now_ms)
{
    const _Atomic uint64_t *bucket = t->pairs[pair % THROTTLE_BUCKETS];

    for (int i = 0; i < THROTTLE_WAYS; i++) {
        uint64_t w = atomic_load_explicit(&bucket[i], memory_order_relaxed);

        if (is_of(w, pair))
            return failures_of(w) >= THROTTLE_FAILURES && !over(w, now_ms / 1000);
    }
    return false;
}

/* The pair's own place; else a free one or one whose time is over; else that of the pair with the fewest failures: guesses at many names
 * push each other out, and not those who are silenced. */
static int place(const uint64_t ways[static THROTTLE_WAYS], uint64_t pair, uint64_t second)
{
    int best = 0;

    for (int i = 0; i < THROTTLE_WAYS; i++)
        if (is_of(ways[i], pair))
            return i;
    for (int i = 0; i < THROTTLE_WAYS; i++) {
        if (!ways[i] || over(ways[i], second))
            return i;
        if (failures_of(ways[i]) < failures_of(ways[best]))
            best = i;
    }
    return best;
}

bool throttle_failure(struct throttle *t, uint64_t pair, uint64_t now_ms)
{
    _Atomic uint64_t *bucket = t->pairs[pair % THROTTLE_BUCKETS];
    uint64_t second = now_ms / 1000;

    for (;;) {
        uint64_t ways[THROTTLE_WAYS], begun;
        unsigned failures = 1;
        int i;

        for (i = 0; i < THROTTLE_WAYS; i++)
            ways[i] = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        i = place(ways, pair, second);
        begun = second;
        if (is_of(ways[i], pair) && !over(ways[i], second)) {
            if (failures_of(ways[i]) == THROTTLE_FAILURES)
                return false;
            failures = failures_of(ways[i]) + 1;
            if (failures < THROTTLE_FAILURES)
                begun = ways[i] >> 8;
        }
        if (atomic_compare_exchange_weak_explicit(&bucket[i], &ways[i], word(pair, begun, failures), memory_order_relaxed,
                                                  memory_order_relaxed))
            return failures == THROTTLE_FAILURES;
    }
}
