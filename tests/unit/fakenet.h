/*
 * Purpose:  a scripted network for relay/: one or two shards in one thread, what they send is kept, the clock is a number.
 * Owner:    one test program; one `struct fakenet` is up at a time.
 * Lifetime: fake_up to fake_down. fake_up ends first what a test that failed has left behind.
 * Callers:  tests/unit/test_*.c of relay/, tests/fuzz/fuzz_turn.c.
 * RFC:      none.
 */
#ifndef TESTS_UNIT_FAKENET_H
#define TESTS_UNIT_FAKENET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "relay/shard.h"

enum {
    FAKE_WORKERS = 2,
    FAKE_RELAYS = 4,
    FAKE_MS = 1000000,      /* where the fake clock starts, */
    FAKE_WALL = 1800000000, /* and the fake wall clock */
    FAKE_EVENTS = EVENT_THROTTLED + 1,
};

/* One datagram or frame that was sent, oldest first. */
struct fake_sent {
    struct fake_sent *next;
    bool taken;
    bool to_peer;
    unsigned worker;
    struct path path;  /* to a client */
    struct addr local; /* to a peer: the relay socket that it left from, */
    struct addr peer;  /* and where to */
    uint8_t tos;
    bool df;
    size_t len;
    uint8_t *data;
};

/* A socket, open or with its descriptor on the way from one worker to another. */
struct relay_socket {
    struct relay_socket *next;
    unsigned worker;
    struct addr local;
    bool started, detached;
    unsigned relay;
    uint16_t port;
    int fd;
};

struct fake_letter {
    struct fake_letter *next;
    unsigned to;
    struct mail mail;
};

struct fake_record {
    struct fake_record *next;
    unsigned to;
    bool committed;
    size_t len;
    void *bytes;
};

/* A question that the asynchronous source has been asked and has not answered. */
struct fake_question {
    struct auth_ticket ticket; /* first, as auth.h wants it */
    struct fake_question *next;
    auth_cb *cb;
    void *ctx;
    enum stun_password_algorithm algorithm;
    char user[STUN_USERNAME_MAX + 1];
};

/* A question to the fleet that has not been answered. */
struct fake_ask {
    struct auth_quota_ticket ticket; /* first, as auth.h wants it */
    struct fake_ask *next;
    uint32_t count, limit;
    char owner[STUN_USERNAME_MAX + 1];
};

struct fakenet;
struct fake_worker {
    struct fakenet *net;
    unsigned index;
    bool up;
    struct shard shard;
    struct counters counters;
};

/* All zero: one worker, relay address 9.9.9.9, all ports, two users, no limits. */
struct fake_options {
    unsigned workers;
    const char *relays[FAKE_RELAYS]; /* "9.9.9.9", or "10.0.0.9=9.9.9.9": local=advertised */
    uint16_t port_min, port_max;
    struct auth_config auth;
    struct relay_settings settings;
    struct policy_config policy;
    bool md5_user;          /* a third user, "old", is known by his MD5 key alone: SHA-256 can't be offered */
    const char *secrets[2]; /* shared secrets: USERHASH can't be offered */
    bool async;             /* a source that is asked last and answers when fake_answer says so */
    bool usage;             /* somebody keeps it */
    bool no_dont_fragment;  /* the network can't */
    bool fleet;             /* other nodes, which are asked about quotas and answer when fake_decide says so */
};

struct fakenet {
    unsigned workers;
    struct fake_worker worker[FAKE_WORKERS];
    struct now now;
    struct net_ops ops;
    struct auth *auth;
    struct usage *usage; /* auth's; NULL: nobody keeps it */
    struct ports *ports;
    struct policy *policy;
    struct nonce_key nonce_key;
    struct throttle *throttle;
    struct stun_mac *mac; /* the clients' */
    char realm[STUN_REALM_MAX + 1];

    struct fake_sent *sent, **sent_end;
    struct relay_socket *sockets;
    int next_fd;
    struct fake_letter *letters;
    struct fake_record *records;
    struct fake_question *questions;

    struct fake_ask *asks;
    bool no_fleet;         /* nobody can be asked at the moment */
    unsigned asked, ended; /* questions to the fleet; owners with a limit who hold less */
    bool draining;
    struct addr elsewhere[2][2]; /* [IPv6][stream]: another node; ADDR_NONE: none */

    unsigned lookups;              /* questions that the asynchronous source was asked */
    unsigned cancelled;            /* of those, taken back */
    enum auth_status async_status; /* what it says at once; AUTH_PENDING as a rule. AUTH_OK: that the password is "x" */
    const char *async_peers;       /* with AUTH_OK, then or later: the credential's own; NULL: none */
    const char *async_label;       /* whoever it says yes to is a token of this label, whose owner is "acme"; NULL: a user */
    uint64_t async_bytes;          /* and may relay so many */
    uint64_t async_bps;            /* bits a second of it */
    unsigned events[FAKE_EVENTS];
    char last_detail[128], last_method[32], last_user[STUN_USERNAME_MAX + 1]; /* of the last event */
    int last_code;
    uint32_t last_lifetime_s;
    uint64_t last_age_ms; /* of its allocation */
    unsigned opens;       /* binds that were tried */
    unsigned violations;  /* what no answer may ever be; found by the test's client */
    uint8_t poison;       /* what unwritten bytes around a datagram hold */

    /* Faults. */
    int fail_open;       /* an error for each bind, or 0 */
    uint16_t busy_port;  /* a port that another program holds, or 0 */
    int fail_open_after; /* with fail_open: so many binds succeed first */
    int fail_start, fail_detach, fail_adopt, fail_peer_send, fail_client_send, fail_post;
    bool ring_full;
};

void fake_up(struct fakenet *f, const struct fake_options *o);
/* Ends everything. What is left of ports, sockets, quotas and unanswered questions, and violations: 0 if the test may pass (S10). */
int fake_down(struct fakenet *f);
/* Is all given back that allocations held? While the net is up. */
int fake_in_use(const struct fakenet *f);

struct shard *fake_shard(struct fakenet *f, unsigned worker);
/* Both clocks go on, and each shard's timers fire once. */
void fake_pass(struct fakenet *f, uint64_t ms);
/* The clocks alone: what is checked on use must not need a timer. */
void fake_clock(struct fakenet *f, uint64_t ms);
/* Delivers mail and spliced records until there are none. Returns how many. */
int fake_run(struct fakenet *f);
/* The same, but no more than so many. */
int fake_run_some(struct fakenet *f, int most);
/* A policy for a reload: fake_up's, with these entries. */
struct policy *fake_policy(const struct fakenet *f, const struct policy_config *entries);
/* Sum over the workers. */
uint64_t fake_count(const struct fakenet *f, enum counter which);

/* The oldest datagram to a peer that nobody has taken; NULL: none. Valid until fake_down. */
struct fake_sent *fake_take_peer(struct fakenet *f);
/* The oldest one to this client. */
struct fake_sent *fake_take_client(struct fakenet *f, const struct path *path);
/* Datagrams that nobody has taken. */
unsigned fake_untaken(const struct fakenet *f);
/* A datagram from a peer to a relayed address, as clients know it. False: nobody listens there. */
bool fake_from_peer(struct fakenet *f, const struct addr *relayed, const char *peer, const void *data, size_t len, uint8_t tos);
/* A client's datagram, or one frame of its stream, in a buffer of exactly this size and its room. Negative: the stream is to be closed. */
int fake_from_client(struct fakenet *f, unsigned worker, const struct path *path, const void *data, size_t len, uint8_t tos);

/* Answers the oldest question of the asynchronous source: with AUTH_OK for this password and expiry. False: there is none. */
bool fake_answer(struct fakenet *f, enum auth_status status, const char *password, int64_t expires_at);
unsigned fake_questions(const struct fakenet *f);
/* Answers the oldest question to the fleet. False: there is none. */
bool fake_decide(struct fakenet *f, enum auth_quota_result result);
unsigned fake_asks(const struct fakenet *f);

/* What a test program with a `net` and its own up() begins and ends a case with: UP(.workers = 2), or UP(0). */
#define UP(...) up(&(struct fake_options){__VA_ARGS__})
#define DOWN()  CHECK_INT(fake_down(&net), 0)

struct addr fake_addr(const char *text); /* "1.2.3.4:5", "[::1]:5", or an IP without port */

#endif
