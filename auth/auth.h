/*
 * Purpose:  the one question that the relay asks: "which key has this user, and what may he do?"
 * Owner:    a `struct auth` is shared by the workers, which ask it under their locks; a reload replaces its sources. Tickets belong to the asking worker.
 * Lifetime: auth_new to auth_free, around the life of the workers.
 * Callers:  relay/turn asks, programs/ builds; auth.h is all that relay/ sees of auth/.
 * RFC:      8489 section 9.2, 8656 section 5; shared secrets: draft-uberti-behave-turn-rest-00.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/rate.h"
#include "stun/names.h"

struct auth;
struct auth_ticket;
struct event_base;
struct stun_mac;

enum auth_status {
    AUTH_OK,
    AUTH_UNKNOWN,     /* no such user, or its credential has expired: 401 */
    AUTH_UNAVAILABLE, /* the source cannot answer now: 500 */
    AUTH_PENDING,     /* only from auth_check: the callback will bring the answer */
};

/* What a credential is for: bits, which TOKEN_TURN and its like are too. */
enum auth_scope {
    AUTH_SCOPE_TURN = 1 << 0,   /* a relay */
    AUTH_SCOPE_PHONE = 1 << 1,  /* the connect service, as a phone, */
    AUTH_SCOPE_BRIDGE = 1 << 2, /* or as a bridge to an office */
    AUTH_SCOPE_ANY = AUTH_SCOPE_TURN | AUTH_SCOPE_PHONE | AUTH_SCOPE_BRIDGE,
};

struct auth_request {
    const char *user;        /* NUL-terminated, prepared (OpaqueString); NULL when the client sent USERHASH */
    const uint8_t *userhash; /* STUN_USERHASH_LEN bytes, or NULL */
    enum stun_password_algorithm algorithm;
    int64_t wall; /* seconds since 1970 */
    struct stun_mac *mac;
    unsigned worker; /* who asks: a worker's index, or that of whoever else has attached himself */
    unsigned scope;  /* one of these it must be for, else it is AUTH_UNKNOWN; 0: AUTH_SCOPE_TURN */
};

/* What a credential may use; 0: no limit of its own. */
struct auth_limits {
    uint32_t allocations; /* of its owner, at the same time */
    uint64_t bps;         /* bits a second of its owner, each direction */
    uint64_t bytes;       /* relayed in all, both directions; enforced by whoever keeps the usage */
};

enum {
    AUTH_KEYS_MAX = 8,     /* candidate keys of one answer, and so shared secrets that are valid at once */
    AUTH_PEERS_MAX = 2047, /* bytes of a credential's own peers */
    AUTH_LABEL_MAX = 255,  /* bytes of a label */
    AUTH_TENANT_MAX = 255, /* bytes of a tenant */
};

/*
 * With several shared secrets one name has several passwords, and only the integrity of the request tells which one the client has:
 * the asker tries each key (in constant time each) and keeps the one that fits. A fixed user has one key, and is tried with keys of
 * nobody up to auth_tries. Wipe it after use.
 */
struct auth_answer {
    enum auth_status status;
    size_t nkeys;   /* 1 to AUTH_KEYS_MAX with AUTH_OK, otherwise 0 */
    size_t key_len; /* of each key: 16 or 32, as the request's algorithm wants */
    uint8_t keys[AUTH_KEYS_MAX][STUN_KEY_MAX];
    int64_t expires_at;               /* wall clock, seconds; 0: never. No lifetime reaches beyond it (C50) */
    char name[STUN_USERNAME_MAX + 1]; /* the full user name; compared by 441 (C33) */
    /* The user part: quotas, usage and throttling go by it. "" for a bare expiry: those count together. */
    char owner[STUN_USERNAME_MAX + 1];
    struct auth_limits limits; /* the smaller of these and the configuration's are in force */
    /* What may be its peers, of what may be anybody's: entries between blanks, for relay/policy to read. "": no limit of its own. */
    char peers[AUTH_PEERS_MAX + 1];
    char label[AUTH_LABEL_MAX + 1];   /* what it is for: usage is kept by owner and label; "": none */
    char tenant[AUTH_TENANT_MAX + 1]; /* whose phones and bridges may know of each other; "": a tenant like any other */
    unsigned scope;                   /* all that it is for */
    bool is_token;                    /* usage is kept by its name, too: time-limited names are too many for that */
};

typedef void auth_cb(void *ctx, const struct auth_answer *answer);

/*
 * Ask. Either the answer is known at once: it is stored in `answer`, its status is returned, and the callback is never called. Or
 * AUTH_PENDING is returned: `*ticket` is set and the callback is called exactly once, later, on this thread, never from within this
 * call; when it runs, the ticket is gone (forget it, don't cancel it), and the answer is borrowed for the call. With any other
 * status `*ticket` is NULL. The request is copied as far as it is needed; its `mac` is used within the call only. Expired
 * credentials are AUTH_UNKNOWN.
 */
enum auth_status auth_check(struct auth *a, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                            struct auth_ticket **ticket);
/* Silence for ever; NULL-safe; nulls the ticket. */
void auth_cancel(struct auth_ticket **ticket);
/* With how many keys at least a request is to be tried, whoever its user is and whether there is one: the work must not tell (S14). */
size_t auth_tries(const struct auth *a);

/* What is refused from now on, and ends. */
struct auth_revocation {
    char name[STUN_USERNAME_MAX + 1]; /* of one credential; or a user part, whose */
    int64_t expires_before; /* time-limited names are revoked that expire before this time (0: it is a credential's name) */
    bool only_changed;      /* nothing ends: what is remembered of it is not true any more */
};
/* Does it end what this user name has started? */
bool auth_revokes(const struct auth *a, const struct auth_revocation *revocation, const char *name);

/* What a source may ask of the worker that it lives on, on its thread. */
struct auth_live {
    /* The names of those who have allocations; `visit` must not come back to the worker. */
    void (*each)(void *ctx, void (*visit)(void *visitor, const char *name), void *visitor);
    /* As relay_revoke, on this worker. */
    void (*revoke)(void *ctx, const struct auth_revocation *revocation);
    void *ctx;
};
/* Every asker, before its first question and after its last: what a source needs on that asker's event loop. `live` is copied. Each
 * source's error, or ERR_NOMEM; then auth_detach is still to be called. */
int auth_attach(struct auth *a, unsigned worker, struct event_base *base, const struct auth_live *live);
void auth_detach(struct auth *a, unsigned worker);
/* By each worker, before it ends what has been revoked: no answer from memory. */
void auth_forget(struct auth *a, unsigned worker, const struct auth_revocation *revocation);
/* By each worker, when news of revocations may have been lost: everybody who is live is asked about. */
void auth_recheck(struct auth *a, unsigned worker);

/* What every source of credentials can do (C19). */
bool auth_can_sha256(const struct auth *a);
bool auth_can_userhash(const struct auth *a);
const char *auth_realm(const struct auth *a);
/* Is it a time-limited name whose time is over? */
bool auth_is_over(const struct auth *a, const char *name, int64_t wall);
/* The part of a name by which throttling goes, whether there is such a user or not: the user part of a shared-secret name, else all of it. */
const char *auth_user_part(const struct auth *a, const char *name, size_t *len);

/*
 * Prepare a user name or password by the OpaqueString profile of PRECIS. `in` need not be NUL-terminated; `out` gets a NUL.
 * ERR_INVAL: not UTF-8, empty, or a character that the profile forbids; ERR_NOSPC. RFC 8265 section 4.2.
 */
int auth_opaque_string(char *out, size_t cap, const char *in, size_t len);

/* ---- Quotas: allocations by user (owner), by source address and in all, and bandwidth in all; shared by all workers. ---- */
enum auth_quota_result {
    AUTH_QUOTA_OK,
    AUTH_QUOTA_USER,
    AUTH_QUOTA_SOURCE,
    AUTH_QUOTA_TOTAL,
    AUTH_QUOTA_CAPACITY,
    AUTH_QUOTA_NOMEM,
    AUTH_QUOTA_PENDING /* only from auth_quota_ask: the callback will bring the answer */
};
/* What one allocation counts for; the same is given back. */
struct auth_share {
    const char *owner;
    const struct addr *source;
    uint64_t bps; /* set aside of the server's capacity; 0: none */
};
/* What all allocations of one owner share, for the data path. */
struct auth_bandwidth {
    struct rate_shared up, down;
    _Atomic uint64_t bps; /* the owner's own limit, each direction, as it is now; 0: none. An allocation takes it when it begins */
};
/* What has been counted. */
struct auth_grant {
    struct auth_bandwidth *bandwidth; /* the owner's, borrowed until the share is given back */
    uint32_t limit;                   /* of the owner's allocations, on all nodes together; 0: none */
    uint32_t count;                   /* of them, on this node, with this one */
    uint64_t number;                  /* of this change among all that this process has seen: the later one knows better */
};
/* Takes a share from each quota, or from none; `own` are the credential's limits. What is taken is to be asked for by auth_quota_ask, at once.
 * Not for the data path: takes a lock. */
enum auth_quota_result auth_quota_take(struct auth *a, const struct auth_share *share, const struct auth_limits *own,
                                       struct auth_grant *grant);
/* No question about it is pending any more. */
void auth_quota_give(struct auth *a, const struct auth_share *share);
/* Allocations that are counted now. */
uint64_t auth_quota_total(const struct auth *a);

/* ---- Usage: what credentials have used, told by the workers, for whoever keeps it (auth/usage.h). ---- */
enum auth_usage {
    AUTH_USED_BYTES_UP, /* payload that was relayed, as the counters of the relay have it */
    AUTH_USED_BYTES_DOWN,
    AUTH_USED_PACKETS_UP,
    AUTH_USED_PACKETS_DOWN,
    AUTH_USED_ALLOCATIONS, /* begun */
    AUTH_USED_MS,          /* that allocations lived, in all */
    AUTH_USED_N
};
struct auth_used {
    uint64_t n[AUTH_USED_N];
};
struct auth_account;
/* An account of this credential, which the asking worker alone adds to. NULL without an error: nobody keeps usage. ERR_NOMEM. */
int auth_account_open(struct auth_account **out, struct auth *a, const struct auth_answer *who);
/* What was used since the last call. Takes no lock and allocates nothing. NULL-safe, as below. */
void auth_account_add(struct auth_account *account, const struct auth_used *more);
/* Nothing more will come. Nulls the pointer: whoever keeps the usage frees the account. */
void auth_account_close(struct auth_account **account);

/* ---- The fleet: other nodes beside this one. Where there is none, or it can't be asked, each node goes by what it counts itself: a limit that
 * is a little too wide for a while is better than a service that needs Redis for every call. ---- */
typedef void auth_quota_cb(void *ctx, enum auth_quota_result result);
struct auth_quota_ticket;
/*
 * May the owner have what was just taken for him, with what he holds on other nodes? AUTH_QUOTA_OK at once when he has no limit, or when nobody
 * can be asked. Or AUTH_QUOTA_PENDING: `*ticket` is set, and the callback brings AUTH_QUOTA_OK or AUTH_QUOTA_USER exactly once, later, on this
 * thread; when it runs, the ticket is gone. The share stays counted meanwhile, and after each answer it is the caller's to give back.
 */
enum auth_quota_result auth_quota_ask(struct auth *a, unsigned worker, const struct auth_share *share,
                                      const struct auth_grant *grant, auth_quota_cb *cb, void *ctx,
                                      struct auth_quota_ticket **ticket);
/* Silence for ever; NULL-safe; nulls the ticket. */
void auth_quota_cancel(struct auth_quota_ticket **ticket);
/* This node, by itself, is to take nothing new, or may again, whatever the fleet says. Control thread. */
void auth_drain(struct auth *a, bool draining);
/* As auth_drain has said. */
bool auth_drains(const struct auth *a);
/* Is this node to take nothing new, by its own or the fleet's word? Any thread. */
bool auth_draining(const struct auth *a);
/* Another node with room for a client of this family and transport. Any thread. */
bool auth_elsewhere(const struct auth *a, enum addr_family family, bool stream, struct addr *out);

/* ---- Building (programs/ only). ---- */
struct auth_config {
    const char *realm;
    char separator;        /* rest-api-separator */
    uint32_t user_quota;   /* allocations; 0: no limit */
    uint32_t source_quota; /* by IPv4 address or IPv6 /64 */
    uint32_t total_quota;
    uint64_t bps_capacity; /* bits a second that all allocations together may set aside; 0: no limit */
};
/* ERR_NOMEM, ERR_INVAL (realm too long or not preparable). */
int auth_new(struct auth **out, const struct auth_config *config);
void auth_free(struct auth **a);
/* `secret` is a password, or "0x" and 32 hex digits: the MD5 key. Both are copied (the password as keys only, C32). Before the
 * workers start. ERR_INVAL (name or password can't be prepared), ERR_NOSPC (name too long), ERR_EXIST, ERR_NOMEM, ERR_CRYPTO. */
int auth_add_user(struct auth *a, const char *name, const char *secret);
/* ERR_INVAL (empty), ERR_NOSPC (more than AUTH_KEYS_MAX), ERR_EXIST, ERR_NOMEM. */
int auth_add_secret(struct auth *a, const char *secret);
/* From now on usage is kept there; before the workers start. `usage` belongs to `a` from now on. */
struct usage;
void auth_keep_usage(struct auth *a, struct usage *usage);
/* A reload, while workers ask: the fixed users, shared secrets and limits of `fresh` take the place of those of `a`; what is counted, the
 * realm and other sources stay. Frees and nulls `fresh`. */
void auth_replace(struct auth *a, struct auth **fresh);

/* The realm's own quotas beside the configuration's, from the next Allocate on: the smaller of each is in force; 0: none. Control thread. */
void auth_limit_realm(struct auth *a, uint32_t user_quota, uint32_t total_quota);

/*
 * An owner's own limits of allocations and bits a second, whichever credentials he has, beside all others, from the next Allocate on: the smallest is
 * in force; 0: none. Control thread. ERR_NOMEM: he has those of before.
 */
int auth_limit_owner(struct auth *a, const char *owner, const struct auth_limits *limits);
/* Owners whose limits have been told since auth_owners_begin are all that have some: the others' are taken back. */
void auth_owners_begin(struct auth *a);
void auth_owners_end(struct auth *a);

/* A source of credentials behind the question. Sources are asked in the order in which they were added, until one does not say
 * AUTH_UNKNOWN; one that can say AUTH_PENDING comes last. Fixed users and shared secrets are sources that auth_new brings along. */
struct auth_source {
    const char *name; /* for logs and metrics */
    bool can_sha256;
    bool can_userhash;
    enum auth_status (*check)(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket);
    void (*cancel)(void *self, struct auth_ticket *ticket);
    void (*free)(void *self); /* may be NULL, as those below may */
    int (*attach)(void *self, unsigned worker, struct event_base *base, const struct auth_live *live);
    void (*detach)(void *self, unsigned worker); /* also after an attach that failed, or never was */
    void (*forget)(void *self, unsigned worker, const struct auth_revocation *revocation);
    void (*recheck)(void *self, unsigned worker);
    /* Has this name been revoked, whichever source vouches for it at once? Any worker's thread. */
    bool (*refuses)(void *self, const char *name);
    void *self;
};
/* The first member of whatever a source allocates for a pending question. */
struct auth_ticket {
    const struct auth_source *source;
};
/* ERR_NOMEM. The source is copied; auth_free calls its `free`. */
int auth_add_source(struct auth *a, const struct auth_source *source);

/* The first member of whatever a fleet allocates for a pending question; auth_quota_ask fills it in. */
struct auth_quota_ticket {
    struct auth *auth;
    auth_quota_cb *cb;
    void *ctx;
    const char *owner; /* the fleet's copy */
};
/* What stands behind the questions above. */
struct auth_fleet {
    /* AUTH_QUOTA_OK, or AUTH_QUOTA_PENDING with a ticket whose owner is set. */
    enum auth_quota_result (*ask)(void *self, unsigned worker, const struct auth_share *share, const struct auth_grant *grant,
                                  struct auth_quota_ticket **ticket);
    void (*cancel)(void *self, struct auth_quota_ticket *ticket);
    void (*ended)(void *self, const char *owner); /* an owner with a limit holds less than before; any thread */
    bool (*draining)(void *self);
    bool (*elsewhere)(void *self, enum addr_family family, bool stream, struct addr *out);
    void *self;
};
/* Before the workers start. Copied; what is behind it outlives the workers. */
void auth_set_fleet(struct auth *a, const struct auth_fleet *fleet);
/* By the fleet, instead of calling the callback itself: the ticket is the fleet's to free afterwards. */
void auth_quota_answer(struct auth_quota_ticket *ticket, enum auth_quota_result result);
/* What an owner holds on this node; for a fleet to tell. */
struct auth_held {
    uint32_t count;   /* allocations that nobody has to be asked about any more */
    uint32_t pending; /* those that are asked about now */
    uint64_t number;  /* as in struct auth_grant */
};
void auth_quota_held(struct auth *a, const char *owner, struct auth_held *out);
/* Visits the owners who have a limit, a part of them at a time; `visit` must not come back to the quotas. */
enum { AUTH_QUOTA_PARTS = 16 };
void auth_quota_each(struct auth *a, unsigned part, void (*visit)(void *ctx, const char *owner), void *ctx);
/* How full this node is; limits of 0: none. */
struct auth_load {
    uint64_t total, total_limit;
    uint64_t bps, bps_limit;
    uint64_t bps_share; /* what one allocation was to set aside, the last time */
};
void auth_quota_load(const struct auth *a, struct auth_load *out);

#endif
