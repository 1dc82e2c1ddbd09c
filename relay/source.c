#include "relay/request.h"

/* ---- Sources that have shown no valid credential: one bucket by IPv4 address or IPv6 /64 (S19). ---- */

static struct source *source_of(struct shard *s, const struct addr *a)
{
    size_t len = a->family == ADDR_V6 ? 8 : 4;

    return &s->sources[map_hash(&s->allocs, a->ip, len) % SOURCES_BUCKETS];
}

bool source_allow(struct shard *s, const struct addr *a)
{
    struct source *source = source_of(s, a);
    uint64_t per_s = s->settings.unauthenticated_rate;

    if (!per_s || source->trusted_until_ms > s->now.ms)
        return true;
    if (source->rate.per_s != per_s)
        rate_init(&source->rate, per_s, per_s * 5, s->now.ms);
    if (rate_take(&source->rate, 1, s->now.ms))
        return true;
    count(s->counters, DROP_UNAUTHENTICATED_RATE);
    return false;
}

void source_trust(struct shard *s, const struct addr *source)
{
    source_of(s, source)->trusted_until_ms = s->now.ms + SOURCE_TRUST_S * 1000ULL;
}
