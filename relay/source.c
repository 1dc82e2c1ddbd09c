/* Sources that have shown no valid credential: a token bucket for each, by IPv4 address or IPv6 /64 (S19). The buckets are found by a keyed
 * hash, and sources that meet in one share it; trust is not shared, it carries the rest of the hash. */
#include "relay/request.h"

static uint64_t hash_of(const struct shard *s, const struct addr *a)
{
    return map_hash(&s->allocs, a->ip, a->family == ADDR_V6 ? 8 : 4);
}

bool source_allow(struct shard *s, const struct addr *a)
{
    uint64_t hash = hash_of(s, a), per_s = s->settings.unauthenticated_rate;
    struct source *source = &s->sources[hash % SOURCES_BUCKETS];

    if (!per_s || (source->trusted == hash && source->trusted_until_ms > s->now.ms))
        return true;
    if (source->rate.per_s != per_s)
        rate_init(&source->rate, per_s, per_s * 5, s->now.ms);
    if (rate_take(&source->rate, 1, s->now.ms))
        return true;
    count(s->counters, DROP_UNAUTHENTICATED_RATE);
    return false;
}

void source_trust(struct shard *s, const struct addr *a)
{
    uint64_t hash = hash_of(s, a);
    struct source *source = &s->sources[hash % SOURCES_BUCKETS];

    source->trusted = hash;
    source->trusted_until_ms = s->now.ms + SOURCE_TRUST_S * 1000ULL;
}
