/*
 * Purpose:  what one worker knows: its tables, its timers, its random numbers, and the shared things it reads.
 * Owner:    one worker thread. Nothing here is touched by any other.
 * Lifetime: shard_init to shard_deinit, within the worker's life.
 * Callers:  relay/turn, relay/alloc, relay/forward, relay/worker; unit tests.
 * RFC:      none.
 */
#ifndef RELAY_SHARD_H
#define RELAY_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "base/rate.h"
#include "base/throttle.h"
#include "base/wheel.h"
#include "relay/alternate.h"
#include "relay/count.h"
#include "relay/memory.h"
#include "relay/net.h"
#include "relay/offload.h"
#include "relay/policy.h"
#include "relay/ports.h"
#include "stun/nonce.h"

/* Every limit and lifetime of the relay, with its unit and reason. */
enum {
    LIFETIME_DEFAULT_S = 600,    /* RFC 8656 section 3.2 */
    PERMISSION_LIFETIME_S = 300, /* RFC 8656 section 9 */
    CHANNEL_LIFETIME_S = 600,    /* RFC 8656 section 12 */
    RESERVATION_LIFETIME_S = 30, /* RFC 8656 section 7.2: "at least 30 seconds" */
    ALLOC_PERMISSIONS_MAX = 256, /* by allocation; an ICE agent has tens of candidates at most (S21) */
    ALLOC_CHANNELS_MAX = 256,    /* by allocation; a channel stands for one peer, as above (S21) */
    RESERVATIONS_USER_MAX = 64,  /* of those, by user: a client redeems at once, so a few are open at a time (S21) */
    RESERVATIONS_MAX = 1024,     /* by worker; each holds a port and a descriptor for half a minute */
    PARKED_MAX = 4096,         /* requests that wait, by worker: a burst of set-ups, 27 MB at worst: 2.4 KB and the answer's 4.2 */
    PARKED_TUPLE_MAX = 8,      /* of those, by 5-tuple: a client sends a few requests at once, not many */
    PARKED_LIFETIME_S = 40,    /* s; a client's own transaction ends after 39.5 s (RFC 8489 section 6.2.1) */
    REQUEST_MAX = 2048,        /* bytes of a request that is parked; requests are far smaller (C11) */
    SOURCES_BUCKETS = 4096,    /* by worker: token buckets for unauthenticated answers, by keyed hash of the source */
    SOURCE_TRUST_S = 600,      /* a source with a valid credential is not limited for a default lifetime */
    BANDWIDTH_PACKET_MIN = 28, /* bytes that a packet costs at least: its headers, so that empty ones are not free (S21) */
    USAGE_TICK_MAX = 1024,     /* allocations whose usage is told in one tick, some 0.1 ms; 10,000 of a worker take 2.5 s */
    PORT_TRIES_RANDOM = 32,    /* random ports tried before the range is walked */
    PORT_BIND_FAILURES_MAX = 64, /* ports that other programs hold, met in one walk, before 508 */
    HEADROOM = 128,              /* bytes before a payload: a Data indication's head fits (STUN_DATA_HEADROOM), and a frame's */
    TAILROOM = 8,                /* bytes after a payload: padding */
    DATAGRAM_MAX = 65535,        /* bytes of one UDP datagram or stream frame */
};

/* Settings that a reload may change; one copy a worker. */
struct relay_settings {
    uint32_t max_lifetime_s;
    uint64_t max_bps;              /* bits a second of an allocation, each direction; 0: no limit */
    uint64_t user_max_bps;         /* of all allocations of one user */
    uint32_t unauthenticated_rate; /* answers a second to a source without a valid credential; 0: no limit */
    bool strict_channel_range;
    char software[STUN_PHRASE_MAX + 1]; /* SOFTWARE; empty: none */
};

struct source {
    struct rate rate;
    uint64_t trusted; /* hash of the source that has shown a credential, */
    uint64_t trusted_until_ms;
};

struct shard {
    /* Shared and read-only, or safe for all threads. */
    unsigned worker;
    unsigned workers;
    struct auth *auth;
    struct ports *ports;
    const struct nonce_key *nonce_key;
    struct throttle *throttle;
    const struct memory *memory;         /* NULL: nobody looks */
    const struct alternates *alternates; /* NULL: none */

    /* Own. */
    struct policy *policy;
    struct relay_settings settings;
    const struct net_ops *net;
    void *net_ctx;
    const struct offload_ops *offload; /* NULL: none */
    void *offload_ctx;
    struct now now; /* set by the worker once a batch; nobody in here asks a clock */
    struct stun_mac *mac;
    struct random random;
    struct counters *counters;
    struct map allocs;       /* by 5-tuple */
    size_t told_at;          /* where alloc_tell_some goes on */
    struct alloc ***by_port; /* [space][port], rows made when first used */
    struct map users;        /* by name: relay/user */
    struct map reservations; /* by token */
    struct map parked;       /* by 5-tuple: relay/park */
    size_t nparked;
    struct parked *spare; /* relay/park */
    uint64_t next_ticket;
    struct wheel wheel;
    struct source *sources;
};

struct shard_config {
    unsigned worker;
    unsigned workers;
    struct auth *auth;
    struct ports *ports;
    const struct nonce_key *nonce_key;
    struct throttle *throttle;
    const struct memory *memory;
    const struct alternates *alternates;
    struct policy *policy; /* a reference is taken */
    struct relay_settings settings;
    const struct net_ops *net;
    void *net_ctx;
    struct counters *counters;
    struct now now;
};

/* ERR_NOMEM, ERR_CRYPTO. */
int shard_init(struct shard *s, const struct shard_config *config);
/* Closes every allocation and forgets every request. */
void shard_deinit(struct shard *s);
/* Fires what is due: expired allocations, reservations, parked requests; and tells usage. Call a few times a second, with s->now set. */
void shard_tick(struct shard *s);
/* A new policy: takes over the caller's reference. What was decided under the old one is asked again at the next packet. */
void shard_set_policy(struct shard *s, struct policy *policy);

/* What a wheel timer belongs to. */
enum timer_kind { TIMER_ALLOC, TIMER_RESERVATION, TIMER_PARKED };
struct timer {
    struct wheel_timer wheel;
    enum timer_kind kind;
};

#endif
