/*
 * Purpose:  one TURN client of a load: its socket, its allocation, its channel or permission; set up, refreshed, ended.
 * Owner:    one thread.
 * Lifetime: session_open to session_close.
 * Callers:  bench/load.
 * RFC:      8656.
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "stun/client.h"

enum {
    SESSION_FRAME_MAX = 65535 + STUN_HEADER_LEN, /* bytes of one frame on a stream */
    SESSION_CHANNEL = 0x4000,                    /* one peer, one channel */
    SESSION_REFRESH_S = 200,                     /* before the 300 s of a permission are over */
};

/* How far a session is. */
enum session_state {
    SESSION_IDLE,
    SESSION_ALLOCATING,
    SESSION_ALLOCATED, /* waits for its peer's address */
    SESSION_BINDING,
    SESSION_READY,
    SESSION_REFRESHING, /* ready, with a request under way */
    SESSION_ENDING,
    SESSION_ENDED,
    SESSION_FAILED,
};

struct session_config {
    struct addr server;
    struct addr client_ip; /* ADDR_NONE: any */
    bool tcp;
    bool send_method;   /* Send and Data instead of a channel */
    bool no_allocation; /* Binding only */
    uint8_t family;     /* of the relayed address; 0: the server's default */
    const char *user;
    const char *password;
    struct stun_mac *mac;
};

struct session {
    const struct session_config *config;
    int fd;
    enum session_state state;
    int error; /* SESSION_FAILED: the error code, or a negative ERR_* */
    struct turn_client turn;
    struct stun_txn txn;
    enum stun_method method; /* of the transaction */
    bool busy;               /* a transaction is under way */
    bool bind_again;         /* a refresh does the channel after the allocation */
    uint64_t refresh_ms;
    struct addr relayed;
    struct addr peer;
    uint8_t *in; /* a stream's bytes that are no whole frame yet */
    size_t in_len, in_cap;
    uint8_t *out; /* a frame that the kernel has taken in part */
    size_t out_len;
};

/* ERR_IO and other negated errnos of socket calls. */
int session_open(struct session *s, const struct session_config *config);
void session_close(struct session *s);

void session_allocate(struct session *s, uint64_t now_ms);
void session_bind(struct session *s, const struct addr *peer, uint64_t now_ms);
void session_binding(struct session *s, uint64_t now_ms);
void session_end(struct session *s, uint64_t now_ms);
/* Retransmissions, time-outs, refreshes. Call every few milliseconds while it is busy, now and then while it isn't. */
void session_tick(struct session *s, uint64_t now_ms);

/* Sends one payload to the peer; there are 4 bytes of room before it. False: the kernel would not take it now, or the session has failed. */
bool session_send(struct session *s, uint8_t *payload, size_t len);

/* Called for each payload that arrives from the peer. */
typedef void session_data_cb(void *ctx, struct session *s, const uint8_t *payload, size_t len);
/* Reads what is there. */
void session_receive(struct session *s, uint64_t now_ms, session_data_cb *on_data, void *ctx);

#endif
