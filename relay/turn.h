/*
 * Purpose:  STUN messages from clients: decode, find the method, authenticate, hand to its handler, answer.
 * Owner:    the worker whose shard it is.
 * Lifetime: datagrams are borrowed for the call; what has to wait is copied.
 * Callers:  relay/input, relay/worker (mail, revocation), unit tests, fuzz targets.
 * RFC:      8489 section 6.3, 8656 sections 5 to 12.
 */
#ifndef RELAY_TURN_H
#define RELAY_TURN_H

#include "relay/shard.h"

/* One STUN message. ERR_NOT_STUN or ERR_MALFORMED when it isn't one: a stream that carries such has to be closed. `buf` has HEADROOM
 * before and TAILROOM behind. */
int turn_input(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos);
/* For auth_quota_ask: what the fleet has said. `ctx` is the parked request. */
void turn_on_quota(void *ctx, enum auth_quota_result result);
/* A message from another worker. */
void turn_mail(struct shard *s, const struct mail *mail);
/* Ends every allocation of what has been revoked; a request of it that waits is asked about again. auth_forget comes first. */
void turn_revoke(struct shard *s, const struct auth_revocation *revocation);
/* A client's stream has ended: its allocation and its waiting requests end with it. */
void turn_stream_closed(struct shard *s, const struct path *path);
/* A parked request has waited for PARKED_LIFETIME_S. */
void turn_timeout(struct shard *s, struct timer *t);

#endif
