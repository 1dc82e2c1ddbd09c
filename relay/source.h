/*
 * Purpose:  sources that have shown no valid credential: a token bucket for each, by IPv4 address or IPv6 /64 (S19). The buckets are found by
 *           a keyed hash, and sources that meet in one share it; trust is not shared, it carries the rest of the hash.
 * Owner:    the worker.
 * Lifetime: the shard's table of fixed size.
 * Callers:  relay/request, relay/turn, relay/authenticate.
 * RFC:      none.
 */
#ifndef RELAY_SOURCE_H
#define RELAY_SOURCE_H

#include "relay/shard.h"

/* The bucket of this source, below SOURCES_BUCKETS. */
size_t source_bucket(const struct shard *s, const struct addr *a);
/* Whether one more answer may go to this source, or a look-up be made for it; takes it from its bucket. */
bool source_allow(struct shard *s, const struct addr *a);
/* It has shown a valid credential: not limited for SOURCE_TRUST_S. */
void source_trust(struct shard *s, const struct addr *a);

#endif
