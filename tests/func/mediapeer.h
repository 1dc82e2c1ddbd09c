/*
 * Purpose:  a browser's end of a call, for tests: it offers, is the controlling ICE agent, waits in DTLS, and speaks SRTP.
 * Owner:    one thread.
 * Lifetime: peer_new to peer_free.
 * Callers:  tests/func/mediadrive, tests/bench/callers.
 * RFC:      8445, 5763, 5764, 3711, 4733.
 */
#ifndef TESTS_FUNC_MEDIAPEER_H
#define TESTS_FUNC_MEDIAPEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct peer;

enum { PEER_SDP_MAX = 8192, PEER_PCMU = 0, PEER_PCMA = 8, PEER_EVENT = 126, PEER_CN = 13, PEER_FRAME = 160 };

struct peer_config {
    struct event_base *base;
    const char *ip;      /* to gather on */
    const char *turn_ip; /* NULL: none */
    unsigned turn_port;
    const char *user, *password;
    bool force_relay;
    const char *profiles; /* of SRTP, as OpenSSL names them */
};
struct peer_events {
    void (*candidate)(void *ctx, const char *candidate); /* NULL: no more */
    void (*selected)(void *ctx, const char *local, const char *remote);
    void (*rtp)(void *ctx, const uint8_t *buf, size_t len);
    void (*rtcp)(void *ctx, const uint8_t *buf, size_t len);
};

struct peer *peer_new(const struct peer_config *config, const struct peer_events *events, void *ctx);
void peer_free(struct peer **slot);
/* A new agent: an ICE restart, whose offer comes next. */
void peer_restart(struct peer *p);
/* `wrong`: the fingerprint is another's. `direction`: "sendrecv" and so on. */
void peer_offer(struct peer *p, bool wrong, const char *direction, char out[static PEER_SDP_MAX]);
bool peer_answer(struct peer *p, const char *sdp);
void peer_candidate(struct peer *p, const char *candidate);
bool peer_is_up(const struct peer *p);
/* A packet of plain RTP or RTCP, 1400 bytes at most. False: it could not go. */
bool peer_send(struct peer *p, const uint8_t *rtp, size_t len);
bool peer_send_rtcp(struct peer *p, const uint8_t *rtcp, size_t len);
/* What went out last, once more, byte for byte. */
bool peer_replay(struct peer *p);
/* Protects without sending: for measurements. */
bool peer_protect(struct peer *p, uint8_t *buf, size_t *len);

#endif
