#include "relay/source.h"

static uint64_t hash_of(const struct shard *s, const struct addr *a)
{
    return map_hash(&s->allocs, a->ip, a->family == ADDR_V6 ? 8 : 4);
}

size_t source_bucket(const struct shard *s, const struct addr *a)
{
    return hash_of(s, a) % SOURCES_BUCKETS;
}

/* The kernel spreads a source's ports over all workers, so each has its part of what the source may have in all. */
static uint64_t rate_of(const struct shard *s)
{
    uint64_t per_s = s->settings.unauthenticated_rate;

    return per_s && per_s < s->workers ? 1 : per_s / s->workers;
}

bool source_allow(struct shard *s, const struct addr *a)
{
    uint64_t hash = hash_of(s, a), per_s = rate_of(s);
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
