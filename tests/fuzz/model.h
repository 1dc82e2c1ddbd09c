/*
 * Purpose:  what a relay may do, told from outside: from the requests that clients sent and the answers that they got, not from its tables.
 * Owner:    one fuzz target.
 * Lifetime: model_up to model_down; one model at a time.
 * Callers:  tests/fuzz/fuzz_turn.c.
 * RFC:      8656 sections 3.2, 7 to 12.
 *
 * Every step ends with model_judge, which reads what was sent since the last one, in order. A success changes what the model knows; each
 * packet must be one that was put on its way, along a relayed address, permission or channel that lives at that moment. What broke
 * ends the process, with the line that says what must hold.
 */
#ifndef TESTS_FUZZ_MODEL_H
#define TESTS_FUZZ_MODEL_H

#include "relay/alloc.h"
#include "tests/unit/client.h"

enum {
    PARTIES = 6,    /* clients: both users and one who is looked up elsewhere, UDP and TCP, IPv4 and IPv6, on two workers */
    HOLDS_MAX = 128 /* reservations that are remembered: more than an input has steps */
};

struct model_leg {
    bool open; /* until its expiry has passed and the timers have run */
    struct addr relayed, local;
    uint64_t expires_ms;
};

struct model_permission {
    struct addr ip;
    uint64_t expires_ms;
};

struct model_channel {
    uint16_t number;
    struct addr peer;
    uint64_t expires_ms;
};

struct party {
    struct client c;
    char user[16];                             /* of its allocation */
    uint8_t txid[STUN_TXID_LEN];               /* that made it */
    uint8_t token[STUN_RESERVATION_TOKEN_LEN]; /* the last one that it was given */
    struct model_leg legs[2];
    size_t npermissions, nchannels;
    struct model_permission permissions[ALLOC_PERMISSIONS_MAX];
    struct model_channel channels[ALLOC_CHANNELS_MAX];
};

struct hold {
    bool open;
    bool tried; /* somebody has asked for it: it may be gone before its time */
    struct addr relayed, local;
    uint64_t expires_ms;
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    char user[16];
};

struct asked;
struct in_air;
struct model {
    struct fakenet *net;
    struct party party[PARTIES];
    struct hold holds[HOLDS_MAX];
    struct asked *asked;      /* newest first */
    struct in_air *in_air;    /* oldest first */
    struct fake_sent *judged; /* the last one that has been */
    uint64_t ticked_ms;       /* when the timers ran last */
    uint64_t answers, up, down, down_bytes;
    bool may_end;   /* in this step timers ran, or a stream closed */
    bool disturbed; /* faults or limits are on: what may pass need not */
    bool odd;       /* this step's request has attributes of anybody's making */
    bool calm;      /* before this step nothing was on its way between workers, and it is not held back */
};

void model_up(struct model *m, struct fakenet *f);
/* Whatever is left of the model's own; the network ends first. */
void model_down(struct model *m);
/* Before each step. */
void model_begin(struct model *m, bool held_back);
/* After each step. */
void model_judge(struct model *m);

/* What party `i` sends, whole: one datagram, or bytes of its stream, of which the last frame may be short and is then lost. `original`
 * (NULL: none) is the request as it was signed; the bytes are known to carry that signature and its contents unchanged. */
void model_send(struct model *m, unsigned i, const uint8_t *bytes, size_t len, const uint8_t *original, size_t original_len);
/* What a peer sends to a relayed address, by either of its names. */
void model_peer(struct model *m, const struct addr *relayed, const struct addr *peer, const uint8_t *bytes, size_t len);
void model_close(struct model *m, unsigned i);
/* Both clocks; with `tick` the timers, too. */
void model_pass(struct model *m, uint64_t ms, bool tick);

bool model_alive(const struct model *m, const struct party *p);
/* Party `i` sends the n-th last request of party `of` as it was sent then, if there is one. */
void model_again(struct model *m, unsigned i, unsigned of, unsigned n);

#endif
