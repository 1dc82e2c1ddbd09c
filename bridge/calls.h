/*
 * Purpose:  the calls of the bridge: each joins a phone (by the connect service), the PBX (by SIP) and the media between the two.
 * Owner:    the bridge's one thread. Knows no socket and no loop: its three ends are a table of functions.
 * Lifetime: calls_new to calls_free. A call lives from its first message to its end, and until the next calls_reap.
 * Callers:  bridge/bridge (with real ends), units (with fakes).
 * RFC:      3264 section 8.4 (hold), 3960 (early media); docs/connect-protocol.md is the contract.
 */
#ifndef BRIDGE_CALLS_H
#define BRIDGE_CALLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "bridge/media.h"
#include "bridge/sip.h"
#include "connect/client.h"

struct calls;

enum {
    CALLS_RELAY_MAX = 256, /* bytes of a relay's name */
    CALLS_CONNECT_S = 8,   /* until media must be connected: whoever calls hears within 10 s which rule is missing */
    CALLS_GONE_MS = 1000,  /* for the service to say why a call has ended that it does not list any more */
    CALLS_RESTART_S = 30,  /* for a path that was lost: as long as a session may be away */
    CALLS_SETUP_BOUNDS = 8,
    CALLS_TICKS_S = 10, /* what 200 calls tell each second goes out in ten parts */
};

/* What the calls do at their three ends: the functions of those headers, with the handles that they get. */
struct call_ends {
    struct connect_client *client;
    int (*request)(struct connect_client *c, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx);
    int (*notify)(struct connect_client *c, const char *method, json_t *params);

    struct media_hub *hub;
    int (*media_new)(struct media **out, struct media_hub *hub, const struct media_events *events, void *ctx);
    void (*media_free)(struct media **m);
    int (*media_offer)(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], char text[static MEDIA_TEXT_MAX]);
    int (*media_candidate)(struct media *m, const char *candidate);
    int (*media_pbx_offer)(struct media *m, bool hold, char sdp[static MEDIA_SDP_MAX]);
    int (*media_pbx_answer)(struct media *m, const char *sdp, char text[static MEDIA_TEXT_MAX]);
    int (*media_pbx_offered)(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], bool *held,
                             char text[static MEDIA_TEXT_MAX]);
    int (*media_dtmf)(struct media *m, const char *digits);
    void (*media_read)(const struct media *m, struct media_stats *out);

    struct sip *sip;
    int (*sip_invite)(struct sip_call **out, struct sip *s, unsigned line, const char *to, const char *sdp, const char *call_id,
                      void *call_ctx);
    void (*sip_set_ctx)(struct sip_call *call, void *call_ctx);
    int (*sip_ring)(struct sip_call *call);
    int (*sip_answer)(struct sip_call *call, const char *sdp);
    int (*sip_refuse)(struct sip_call *call);
    int (*sip_reinvite)(struct sip_call *call, const char *sdp);
    int (*sip_info_digit)(struct sip_call *call, char digit);
    void (*sip_hangup)(struct sip_call *call, int status);

    struct now (*now)(void);
    /* Something has ended, or a line's registration was answered: calls_reap is to be called soon, from the loop. */
    void (*wake)(void *ctx);
    /* Is the call of this id another's on the same connection? Then it is none that was lost. */
    bool (*is_others)(void *ctx, const char *id);
    void *ctx;
};

struct calls_config {
    const struct sip_line *lines; /* borrowed */
    unsigned nlines;
    const char *version;          /* of the program, to be told; borrowed */
    unsigned ring_s;              /* a call of the PBX's that no phone accepts */
    const struct call_ends *ends; /* borrowed; the handles may be filled in later, before the first event */
};
/* ERR_NOMEM. */
int calls_new(struct calls **out, const struct calls_config *config);
/* Without a word to anybody: calls_end comes before it. After the ends that might call back. */
void calls_free(struct calls **calls);

/* What sip_new is given, with the calls as its context. */
const struct sip_events *calls_sip_events(void);
/* A notification of the connect service. */
void calls_message(struct calls *calls, const char *method, const json_t *params);
/* A text of these params; "" where there is none. Borrowed. */
const char *calls_text(const json_t *params, const char *key);
/* The session at the connect service is over, and whatever it knew of our calls. `why` is for the log. */
void calls_lost(struct calls *calls, const char *why);
/* Whether it hears us now: statistics are told to nobody else. */
void calls_set_connected(struct calls *calls, bool connected);
/* The session goes on with these calls, as `hello` lists them. Ours that is not there has ended; what had waited at the service says why, in a moment. */
void calls_resumed(struct calls *calls, const json_t *list);
/* Ends all calls, at both ends; no more begin. */
void calls_end(struct calls *calls, const char *reason);
/* CALLS_TICKS_S times a second: limits; statistics of each call once a second, a part of the calls at each tick. */
void calls_tick(struct calls *calls);
void calls_reap(struct calls *calls);
/* Once a second, while connected: tells how the bridge is (bridge.status), if that has changed or figures are due. */
void calls_tell_status(struct calls *calls);
/* Whoever listens from now on has not heard of it. */
void calls_forget_status(struct calls *calls);

/* "relay.example:3478", for messages about the firewall. */
void calls_set_relay(struct calls *calls, const char *relay);

enum calls_state { CALLS_RINGING, CALLS_CONNECTING, CALLS_TALKING, CALLS_STATES };
enum calls_leg { CALLS_BROWSER, CALLS_PBX, CALLS_LEGS };
enum calls_part { CALLS_ICE, CALLS_DTLS, CALLS_AUDIO, CALLS_PARTS };
extern const char *const CALLS_STATE_NAMES[CALLS_STATES], *const CALLS_LEG_NAMES[CALLS_LEGS], *const CALLS_PART_NAMES[CALLS_PARTS];
extern const double CALLS_BOUNDS[CALLS_SETUP_BOUNDS]; /* seconds, of `setup` */

struct calls_counts {
    uint64_t now[CALLS_STATES];
    uint64_t from_phone, from_pbx; /* calls that began */
    uint64_t answered;
    uint64_t lost[CALLS_LEGS];     /* RTP packets that should have come in, of all calls */
    uint64_t received[CALLS_LEGS]; /* and those that did */
    double jitter_s[CALLS_LEGS];   /* the worst of the calls that live */
    uint64_t setup[CALLS_PARTS][CALLS_SETUP_BOUNDS + 1];
    double setup_sum[CALLS_PARTS];
};
void calls_read(const struct calls *calls, struct calls_counts *out);
/* How many calls have ended for the n-th reason, and its name; NULL: there is no such. */
const char *calls_ended(const struct calls *calls, unsigned n, uint64_t *count);
/* Whether the line is registered; `*why` (borrowed) is "" or why not. */
bool calls_line(const struct calls *calls, unsigned line, const char **why);
/* Whether each line's first registration was answered, well or not. */
bool calls_lines_answered(const struct calls *calls);

#endif
