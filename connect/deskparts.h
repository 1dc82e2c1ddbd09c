/*
 * Purpose:  what the files of the desk know of each other; nobody else includes it.
 * Owner:    the connect thread.
 * Lifetime: that of the struct desk.
 * Callers:  connect/desk, hello, handout, session, tenant, call, deskprobe; connect/probes (ids).
 * RFC:      docs/connect-protocol.md.
 */
#ifndef CONNECT_DESKPARTS_H
#define CONNECT_DESKPARTS_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/rate.h"
#include "base/throttle.h"
#include "connect/desk.h"
#include "connect/rpc.h"
#include "stun/names.h"

enum {
    DESK_ID_MAX = 24,      /* bytes of a session's or a call's id, with the NUL */
    DESK_SECRET_MAX = 33,  /* 128 random bits in hex, with the NUL */
    DESK_NAME_MAX = 64,    /* bytes of a session's name */
    DESK_TEXT_MAX = 255,   /* bytes of a user, a caller, a tenant: as tokens have them */
    DESK_HANDED_PER_S = 1, /* ICE servers handed out to one user, */
    DESK_HANDED_BURST_MS =
        120000,               /* and how many at once, as the time that they take: his 32 sessions, lost and new again, twice */
    DESK_HANDED_SLOTS = 4096, /* of users, by a keyed hash: 32 KB, however many there are */
    DESK_LATER_MAX = 8,       /* requests for ICE servers that wait at the same time: one is enough */
};
_Static_assert((int)DESK_TEXT_MAX == (int)AUTH_TENANT_MAX, "a token's tenant is a tenant");

enum desk_role { DESK_PHONE, DESK_BRIDGE };

/* What is counted, for desk_read. */
enum desk_count {
    COUNT_PHONES, /* in the order of enum desk_role */
    COUNT_BRIDGES,
    COUNT_CALLS,
    COUNT_HELLOS,
    COUNT_REFUSED,
    COUNT_RESUMED,
    COUNT_STARTED,
    COUNT_ANSWERED,
    COUNT_ENDED, /* the first of DESK_REASONS */
    COUNTS = COUNT_ENDED + DESK_REASONS
};

struct board;
struct board_entry;
struct call;
struct handout;
struct hello;
struct leg;
struct probes;
struct session;
struct tenant;

struct desk_seat {
    LIST_ENTRY(desk_seat) all;
    struct desk *desk;
    struct link link;
    struct addr source;
    uint64_t opened_ms;
    struct rate rate;        /* of its messages */
    struct hello *hello;     /* under way; NULL: none */
    struct session *session; /* NULL: before hello, or behind the end */
    struct handout *handout; /* under way for `later`; NULL: none */
    json_t *later;           /* the ids of requests that it will answer */
    bool closed;             /* by us: what still comes is not read */
};

struct desk {
    struct desk_config config;
    struct now now; /* as the caller has said last */
    struct throttle *throttle;
    struct stun_mac *mac;
    LIST_HEAD(, desk_seat) seats;
    size_t nseats;
    struct map sessions, calls;  /* by id */
    struct map tenants;          /* by name */
    struct board *board;         /* the bridges, for other threads */
    struct probes *probes;       /* what they were asked to check, likewise */
    LIST_HEAD(, tenant) changed; /* whose members are to be told */
    LIST_HEAD(, handout) handouts;
    struct rate_shared handed[DESK_HANDED_SLOTS];
    struct rate log_rate;
    uint64_t unlogged; /* lines that log_rate has held back since it was told */
    bool stopping;
    _Atomic uint64_t counts[COUNTS];
};

struct held; /* a message that waits for its session to come back */

struct session {
    struct map_node by_id; /* first */
    LIST_ENTRY(session) of_tenant;
    struct desk *desk;
    struct tenant *tenant;
    enum desk_role role;
    char id[DESK_ID_MAX], secret[DESK_SECRET_MAX];
    char name[DESK_NAME_MAX + 1];
    char user[STUN_USERNAME_MAX + 1], credential[STUN_USERNAME_MAX + 1];
    int64_t expires_at;        /* of its credential, wall clock; 0: never */
    struct desk_seat *seat;    /* NULL: away */
    uint64_t away_ms;          /* since when */
    struct board_entry *entry; /* a bridge's; NULL: a phone's */
    STAILQ_HEAD(, held) held;
    size_t held_bytes;
    struct rate passed;    /* bytes of what it says to others */
    bool lost;             /* a message could not be kept or sent: it must not come back */
    LIST_HEAD(, leg) legs; /* its calls */
    unsigned ncalls;
    unsigned told_bridges;    /* a phone: how many it believes to be there */
    json_t *ice, *ice_before; /* what was handed out, and what before; NULL: nothing */
    uint64_t ice_ms;          /* when */
};

/* ---- desk.c ---- */

void desk_count(struct desk *d, enum desk_count what, int n);
/* Lines that clients cause are bounded; those that are not written are counted. */
bool desk_may_log(struct desk *d);
/* A new id: the letter and 64 random bits in hex. */
void desk_id(char out[static DESK_ID_MAX], char letter);
const char *desk_role_name(enum desk_role role);
/* Answers a request. Takes `result` over. */
void desk_answer(struct desk_seat *seat, const json_t *id, json_t *result);
void desk_refuse(struct desk_seat *seat, const json_t *id, enum rpc_error error, const char *detail);
/* The connection ends; whatever session it had is behind its end already, or goes on without it. */
void desk_close(struct desk_seat *seat, enum link_code code, const char *why);

#endif
