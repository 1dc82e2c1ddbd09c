/*
 * Purpose:  allocations with their relayed addresses, permissions and channels.
 * Owner:    the worker whose shard holds them. An allocation lives on the worker that its 5-tuple reaches.
 * Lifetime: alloc_new to alloc_free; whoever wants to remember one keeps its 5-tuple, not its pointer.
 * Callers:  relay/turn and its request files, relay/forward, relay/shard.
 * RFC:      8656 sections 5, 7, 8, 9, 12.
 */
#ifndef RELAY_ALLOC_H
#define RELAY_ALLOC_H

#include "relay/claim.h"
#include "relay/user.h"

enum {
    ALLOC_CALL_MAX = 24, /* bytes of a call's id, with the NUL */
    ALLOC_INLINE = 2,    /* permissions and channels inside the object: a call has one peer, seldom two */
};

struct permission {
    struct addr ip; /* port 0 */
    uint64_t expires_ms;
    uint32_t policy; /* generation of the policy that granted it */
    bool all_ports;  /* that policy allows every port of it: packets need no further question */
};

struct channel {
    uint16_t number;
    int16_t own;         /* the relay address of ours that the peer's IP is, or -1 */
    bool own_advertised; /* the peer was named by its advertised address */
    struct addr peer;
    uint64_t expires_ms;
    uint32_t policy; /* generation of the policy that allowed the flow */
};

/* One relayed transport address: IPv4 and IPv6 have one each at most. */
struct leg {
    struct relay_socket *socket; /* NULL: none of this family */
    uint16_t relay;              /* index of the relay address */
    uint16_t port;
    uint64_t expires_ms;
};

/* How fast an allocation is, for people: taken of the counters about once a second. */
struct pace {
    uint64_t since_ms;             /* where the second that runs now began, */
    uint64_t bytes_up, bytes_down; /* and what had been counted then */
    uint64_t bps_up, bps_down;     /* of the second before: bits a second of payload */
};

struct alloc {
    struct map_node by_tuple;
    struct timer timer;
    struct path path;
    uint8_t txid[STUN_TXID_LEN]; /* of the Allocate that made it: a retransmission gets the same answer (C36, C38) */
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    bool has_token;                 /* that answer carries a RESERVATION-TOKEN */
    int failed_family_code;         /* that answer carries ADDRESS-ERROR-CODE (0: it doesn't) */
    enum addr_family failed_family; /* for this family */
    struct leg legs[2];             /* [0] IPv4, [1] IPv6 */
    struct rate up, down;           /* bytes a second */
    struct user *user;
    struct policy *peers; /* the credential's own; NULL: none */
    struct alloc *next_of_user, **prev_of_user;
    struct auth_bandwidth *bandwidth; /* its owner's, of all his allocations */
    uint64_t user_bps;                /* the smaller one of the credential's and the owner's own limit of that; 0: none */
    uint64_t reserved_bps;            /* set aside of the server's capacity */
    uint64_t created_ms;
    uint64_t packets_up, packets_down, bytes_up, bytes_down;
    struct auth_used told; /* of that, what its user's account knows */
    struct pace pace;
    uint32_t permissions_cap, channels_cap;
    uint32_t npermissions, nchannels;
    uint32_t last_permission, last_channel; /* where the last look-up ended: the next one starts there */
    struct permission *permissions;
    struct channel *channels;
    struct permission permissions_inline[ALLOC_INLINE];
    struct channel channels_inline[ALLOC_INLINE];
    char call[ALLOC_CALL_MAX]; /* what it is for, as the connect service has heard, for the log; "": nobody has said */
};

/* Takes a packet out of the allocation's and its owner's buckets, at the bandwidth in force (a reload may change it). False: counted, and
 * to be dropped. */
bool alloc_take_up(const struct shard *s, struct alloc *a, size_t len);
bool alloc_take_down(const struct shard *s, struct alloc *a, size_t len);
/* What an allocation of this credential may carry, in bits a second and direction: what it sets aside of the capacity; 0: no limit. */
uint64_t alloc_bps(const struct shard *s, const struct auth_answer *who);
/* A new allocation without a relayed address, in the table of 5-tuples. The caller has checked that the 5-tuple is free, and has taken
 * its share of the quotas, with so many bits a second and the owner's bandwidth: alloc_free gives it back. ERR_NOMEM;
 * ERR_CONFIG: the credential's own peers can't be read. */
int alloc_new(struct alloc **out, struct shard *s, const struct path *path, const struct auth_answer *who, uint64_t bps,
              struct auth_bandwidth *bandwidth);
/* The same in all that is told of it, and, but for chance, no other's of any server; 18 digits. */
uint64_t alloc_id(const struct shard *s, const struct alloc *a);
/* The worker of an allocation of this id, if there is such a worker. */
unsigned alloc_id_worker(uint64_t id);
/* Closes sockets, frees ports, gives the quota back. `reason` goes to the log. */
void alloc_free(struct shard *s, struct alloc **a, const char *reason);
/* What has expired is not found, and ends here. */
struct alloc *alloc_find(struct shard *s, const struct path *path);
/* By relayed port; NULL when nothing of this worker lives there, or what did has expired. */
struct alloc *alloc_by_port(struct shard *s, unsigned space, uint16_t port);

static inline struct alloc *alloc_of_node(struct map_node *n)
{
    return (struct alloc *)(void *)((char *)n - offsetof(struct alloc, by_tuple));
}
static inline struct leg *alloc_leg(struct alloc *a, uint8_t family)
{
    return &a->legs[family == ADDR_V6];
}
/* Who judges its peers. */
static inline struct policy_judges alloc_judges(const struct shard *s, const struct alloc *a)
{
    return (struct policy_judges){.server = s->policy, .own = a->peers, .ports = s->ports};
}
/* The relayed address that clients are told (or, for the splice, that sockets are bound to). */
struct addr alloc_relayed(const struct shard *s, const struct leg *leg);
struct addr alloc_relayed_local(const struct shard *s, const struct leg *leg);

/* ---- Relayed ports. ---- */

/* Makes a claimed port the allocation's, live from now on, and nulls the claim. ERR_*: the claim is still the caller's. */
int alloc_add_leg(struct shard *s, struct alloc *a, struct claimed *c, uint64_t expires_ms);
/* Ends one family's relayed address with its permissions and channels; the last one ends the allocation (and nulls the pointer). */
void alloc_drop_leg(struct shard *s, struct alloc **a, enum addr_family family, const char *reason);
/* New expiry of a family; re-arms the timer. */
void alloc_set_expiry(struct shard *s, struct alloc *a, enum addr_family family, uint64_t expires_ms);

/* ---- Permissions and channels. Live ones only are found. ---- */

struct permission *alloc_permission(const struct shard *s, struct alloc *a, const struct addr *peer);
/* Makes room for all of these peers, before the first is permitted: it is all or nothing (C57). ERR_NOSPC, ERR_NOMEM. */
int alloc_reserve_permissions(const struct shard *s, struct alloc *a, const struct addr *peers, size_t n);
/* Installs or refreshes one that there is room for: 300 s from now. */
void alloc_permit(struct shard *s, struct alloc *a, const struct addr *peer, bool all_ports);

struct channel *alloc_channel(const struct shard *s, struct alloc *a, uint16_t number);
struct channel *alloc_channel_of(const struct shard *s, struct alloc *a, const struct addr *peer);
/* Binds or refreshes for 600 s. ERR_EXIST: the number has another peer or the peer another number (C65); ERR_NOSPC, ERR_NOMEM. */
int alloc_bind(struct shard *s, struct alloc *a, uint16_t number, const struct addr *peer);

/* For shard_tick and shard_deinit, and for the worker. */
/* Tells the accounts of their users what the next USAGE_TICK_MAX allocations have used, and looks how fast these are. */
void alloc_tell_some(struct shard *s);
/* Ends the next `most` allocations (or empty slots of the table) behind `*at`, which is 0 at first. False: that was all. */
bool alloc_end_some(struct shard *s, uint64_t *at, size_t most, const char *reason);
void alloc_on_timer(struct shard *s, struct timer *t);
void alloc_free_all(struct shard *s);

#endif
