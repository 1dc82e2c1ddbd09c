/*
 * Purpose:  requests that wait for an answer from elsewhere (credentials, the fleet, another worker), in order for each 5-tuple.
 * Owner:    the worker whose shard it is.
 * Lifetime: bounded in number, size and time (PARKED_* in relay/shard.h).
 * Callers:  relay/turn only.
 * RFC:      8489 section 6.3.1 (a retransmission joins the request that is being worked on).
 */
#ifndef RELAY_PARK_H
#define RELAY_PARK_H

#include "relay/shard.h"

/* One waiting request with its own copy of the datagram, which has room around it. The head of a queue waits for credentials (`auth`),
 * for what the fleet says of a quota (`quota`) or for a mail (`ticket`); those behind wait for the head. */
struct parked {
    struct parked *next;
    struct timer timer;
    struct shard *shard;
    struct path path;
    struct auth_ticket *auth;
    struct auth_quota_ticket *quota;
    uint64_t pair;                    /* struct request's */
    uint64_t ticket;                  /* 0: none */
    struct auth_answer *who;          /* with one of the last two: the answer that it has been authenticated with, */
    size_t key;                       /* the key that fits, */
    bool sign_sha256;                 /* how it is to be answered, */
    struct auth_bandwidth *bandwidth; /* and the share that is counted for it; NULL: none */
    uint64_t bps;                     /* of that share */
    size_t len;
    uint8_t room[HEADROOM + REQUEST_MAX + TAILROOM];
};

static inline uint8_t *park_datagram(struct parked *p)
{
    return p->room + HEADROOM;
}
static inline uint64_t park_waited_ms(const struct parked *p)
{
    return p->shard->now.ms + PARKED_LIFETIME_S * 1000ULL - p->timer.wheel.due_ms;
}
static inline bool park_waits(const struct parked *p)
{
    return p->auth || p->quota || p->ticket;
}

/* A spare object: the context for a question that may have to wait. Asking again gives the same one, until park_behind uses it. There
 * is one even when PARKED_MAX are waiting: whoever can be answered at once is. NULL: no memory. */
struct parked *park_spare(struct shard *s);
/* Copies a request behind what waits for its 5-tuple (often nothing: then it is the head), using the spare. NULL: it can't wait. */
struct parked *park_behind(struct shard *s, const struct path *from, const uint8_t *buf, size_t len);
/* Does a request with this transaction id wait for this 5-tuple? */
bool park_has(const struct shard *s, const struct path *from, const uint8_t *txid);
/* The head of a 5-tuple's queue, or NULL. */
struct parked *park_head(const struct shard *s, const struct path *from);
/* The one that waits for this mail, or NULL. */
struct parked *park_by_ticket(const struct shard *s, uint64_t ticket);
/* Calls `visit` with the head of each queue; it may end requests of that queue, and no other. */
void park_each_head(struct shard *s, void (*visit)(struct parked *head, void *ctx), void *ctx);
/* Nothing is known any more about who asks: the answer is wiped, the share given back, and what it waited for will not find it. */
void park_forget_answer(struct shard *s, struct parked *p);
/* Ends one: out of its queue, its question cancelled, its share given back, wiped and freed. */
void park_end(struct shard *s, struct parked **p);
/* Ends all of a 5-tuple, whose stream is gone. */
void park_forget(struct shard *s, const struct path *from);
/* Ends all. */
void park_free_all(struct shard *s);

static inline struct parked *park_of_timer(struct timer *t)
{
    return (struct parked *)(void *)((char *)t - offsetof(struct parked, timer));
}

#endif
