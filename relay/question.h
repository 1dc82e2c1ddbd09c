/*
 * Purpose:  what the control thread may ask about the allocations that live, and what it hears.
 * Owner:    plain values; what an answer points to is borrowed for the call.
 * Lifetime: that of the relay.
 * Callers:  relay/relayask, relay/query; programs/ by relay/relay.h.
 * RFC:      none.
 */
#ifndef RELAY_QUESTION_H
#define RELAY_QUESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "stun/names.h"

enum {
    RELAY_PAGE_MAX = 1000, /* allocations of an answer: some 1.3 MB */
    RELAY_CURSOR_MAX = 24, /* bytes of a cursor with its NUL */
    RELAY_OPEN_MAX =
        256, /* questions that have not come back: those of a worker that hangs wait in its mailbox, with room for their answers */
    RELAY_PATIENCE_MS = 1000, /* for an answer: a worker's pass takes milliseconds, so one that is silent for so long hangs */
};

/* Which allocations; all zero: each. */
struct relay_filter {
    const char *user;    /* the full name of the credential */
    struct addr client;  /* IP, port 0 */
    struct addr peer;    /* IP, port 0, that a permission or channel is open to */
    unsigned transports; /* 1 << TRANSPORT_UDP, 1 << TRANSPORT_TCP; 0: both */
};

struct relay_allocation {
    uint64_t id; /* as in relay/feed.h */
    unsigned worker;
    bool stream; /* the client came by TCP */
    struct addr client, server;
    struct addr relayed[2]; /* as advertised: [0] IPv4, [1] IPv6; ADDR_NONE: none */
    int64_t created_at;     /* wall clock, seconds */
    uint32_t age_s;
    uint32_t expires_in_s;                                   /* of the address that lives longest */
    uint64_t packets_up, bytes_up, packets_down, bytes_down; /* payloads, so far */
    uint64_t bps_up, bps_down;                               /* of them, in about the last second */
    uint32_t npermissions, nchannels;                        /* that live */
    char user[STUN_USERNAME_MAX + 1];                        /* the credential's name */
    char owner[STUN_USERNAME_MAX + 1];
};

struct relay_permission {
    struct addr peer; /* port 0 */
    uint32_t expires_in_s;
};

struct relay_channel {
    uint16_t number;
    struct addr peer;
    uint32_t expires_in_s;
};

/* Of relay_list: a page. Of relay_show: one allocation, with its permissions and channels. Of relay_close: the one that was closed, as it was. */
struct relay_answer {
    int err; /* 0; ERR_NOENT: none of this id; ERR_TIMEDOUT: a worker did not answer; ERR_NOMEM; ERR_CANCELLED: the relay ends */
    const struct relay_allocation *items;
    size_t n;
    const char *next; /* the cursor of the next page; NULL: that was all */
    const struct relay_permission *permissions;
    const struct relay_channel *channels;
};

typedef void relay_answer_cb(void *ctx, const struct relay_answer *answer);

#endif
