/*
 * Purpose:  the media of calls: SRTP over ICE on the browser's side, plain RTP on the PBX's side, forwarded both ways without transcoding.
 * Owner:    the bridge's one thread.
 * Lifetime: media_hub around all calls; media_new to media_free by call.
 * Callers:  bridge/call.
 * RFC:      8445, 8838 (trickle), 7675 (consent), 5763, 5764 (DTLS-SRTP), 3550, 3711, 4733, 8843 (BUNDLE), 5761, 3551.
 *
 * Where the two legs have not agreed on one of the two laws of G.711, bytes are mapped one for one. A browser is given comfort noise (CN) and keys (telephone-event)
 * only where the PBX is known to have them: with the one it stops sending in silence, and keys of the other would be lost, while a page without it says them by
 * call.dtmf, which finds a way to every PBX. An ICE restart is a new agent with the servers of now; the old path carries on until the
 * new one is there.
 */
#ifndef BRIDGE_MEDIA_H
#define BRIDGE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct event_base;
struct media_hub;
struct media;

enum {
    MEDIA_CALLS_MAX = 256, /* 200 at once is what is measured; the rest is for those that are ending */
    MEDIA_SERVERS_MAX = 8, /* libnice takes no more */
    MEDIA_IPS_MAX = 16,
    MEDIA_SDP_MAX = 16384, /* bytes of a description, either way */
    MEDIA_TEXT_MAX = 256,
};

/* A STUN or TURN server as the connect service's `ice` names it: parsed "turn:host:port?transport=udp". */
struct media_server {
    char uri[256], username[256], password[256];
};
struct media_hub_config {
    struct event_base *base;
    struct addr rtp_ip;         /* towards the PBX; the address that SDP names */
    uint16_t rtp_min, rtp_max;  /* even ports of this range, RTCP one above unless rtcp-mux */
    bool force_relay;           /* no host and srflx candidates */
    const struct addr *ice_ips; /* addresses to gather on, MEDIA_IPS_MAX at most; none: all. Copied */
    size_t nice_ips;            /* how many */
};
/* One ECDSA certificate for all calls of the process. ERR_NOMEM, ERR_CRYPTO, ERR_INVAL. Every call is freed before media_hub_free. */
int media_hub_new(struct media_hub **out, const struct media_hub_config *config);
void media_hub_free(struct media_hub **slot);
/* For calls that begin (or restart ICE) from now on. Copied; names are resolved in the loop, and calls that begin meanwhile gather once they are. ERR_INVAL. */
int media_hub_servers(struct media_hub *hub, const struct media_server *servers, size_t n);

enum media_state {
    MEDIA_NEW,
    MEDIA_CHECKING,  /* from the first offer on */
    MEDIA_CONNECTED, /* a pair is selected and the keys are there; told again when the path changes */
    MEDIA_RECONNECTING, /* consent has gone, or nothing comes from a browser that sends: time for an ICE restart. Ends by itself if packets come again */
    MEDIA_FAILED, /* no path within 9 s, or a wrong certificate; a new offer begins anew */
};
struct media_path {
    char local[8], remote[8]; /* "host", "srflx", "prflx", "relay"; "" not yet */
};
struct media_leg_stats {
    uint64_t packets_in, bytes_in, packets_out, bytes_out;
    uint64_t lost;   /* of what should have come in, RFC 3550 appendix A.3 */
    double jitter_s; /* of what comes in */
    double rtt_s;    /* from the other side's report blocks; negative: not known yet */
};
struct media_stats {
    struct media_leg_stats browser, pbx;
    double ice_s, dtls_s,
        audio_s; /* from media_offer to: selected pair, keys, first packet both ways forwarded; negative: not yet */
    struct media_path path;
};
/* Never from within a call of the functions below; any of them may be called from there, media_free too. A NULL is not told. */
struct media_events {
    void (*candidate)(void *ctx, const char *candidate); /* "candidate:…" without "a="; NULL: no more */
    void (*state)(void *ctx, enum media_state state, const struct media_path *path);
    void (*digit)(void *ctx, char digit); /* an RFC 4733 event has come from the PBX, once each */
};

/* ERR_NOSPC (as many calls as there may be, or no free port), ERR_NOMEM, negated errnos. `events` is copied. */
int media_new(struct media **out, struct media_hub *hub, const struct media_events *events, void *ctx);
void media_free(struct media **slot);

/* The browser's offer: the first, or a later one (hold, ICE restart); `answer` gets the SDP (setup:active, PCMA/PCMU/telephone-event as offered, one BUNDLE, rtcp-mux). ERR_MALFORMED
 * or ERR_NOTSUP with the reason in `text` (no audio, no common codec, no fingerprint, no rtcp-mux); ERR_NOMEM, ERR_NOSPC, ERR_IO. After the first two all is as before. */
int media_offer(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], char text[static MEDIA_TEXT_MAX]);
/* One of the browser's candidates, with or without "a="; NULL: no more. `.local` names are left out. ERR_NOTCONN: before the offer; ERR_MALFORMED, ERR_NOSPC. */
int media_candidate(struct media *m, const char *candidate);

/* Towards the PBX. An offer of ours (PCMA first unless the browser has none); the PBX's answer to it, early media's too. `hold`: a=sendonly. */
int media_pbx_offer(struct media *m, bool hold, char sdp[static MEDIA_SDP_MAX]);
int media_pbx_answer(struct media *m, const char *sdp, char text[static MEDIA_TEXT_MAX]);
/* An offer of the PBX's (the call's first, or a re-INVITE), and our answer. `*held`: the PBX holds (sendonly, inactive or c=0). May come before the browser's offer. */
int media_pbx_offered(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], bool *held,
                      char text[static MEDIA_TEXT_MAX]);

/* RFC 4733 events into the PBX's leg, 100 ms each, 70 ms apart; "0123456789*#ABCD". Bounded: 32 wait. ERR_NOTSUP: the PBX has no telephone-event; ERR_INVAL, ERR_NOSPC. */
int media_dtmf(struct media *m, const char *digits);
void media_read(const struct media *m, struct media_stats *out);

#endif
