/*
 * Purpose:  reservations: the port above an even one, kept for whoever shows its token (EVEN-PORT with R=1, RESERVATION-TOKEN).
 * Owner:    the worker that made it; other workers' requests redeem it by mail (relay/turn).
 * Lifetime: reserve_keep to reserve_redeem, or 30 s.
 * Callers:  relay/allocate, relay/turn, relay/shard.
 * RFC:      8656 sections 5 and 7.2.
 */
#ifndef RELAY_RESERVE_H
#define RELAY_RESERVE_H

#include "relay/claim.h"

/* Keeps a claimed port for its token's holder; nulls the claim. ERR_NOSPC, ERR_NOMEM: the claim is still the caller's. */
int reserve_keep(struct shard *s, struct claimed *c, const char *user, uint8_t token[static STUN_RESERVATION_TOKEN_LEN]);
/* The worker that a token names; it may be nonsense from a stranger: -1. */
int reserve_worker(const struct shard *s, const uint8_t token[static STUN_RESERVATION_TOKEN_LEN]);
/* Takes the port behind a token of this worker out of the reservations. ERR_NOENT: unknown, expired, used, or another user's. */
int reserve_redeem(struct shard *s, const uint8_t token[static STUN_RESERVATION_TOKEN_LEN], const char *user, struct claimed *out);

/* For shard_tick and shard_deinit. */
void reserve_on_timer(struct shard *s, struct timer *t);
void reserve_free_all(struct shard *s);

#endif
