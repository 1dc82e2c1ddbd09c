/*
 * Purpose:  what the files of media share: the hub, a call's two sides, and who does what.
 * Owner:    the bridge's one thread.
 * Lifetime: see bridge/media.h.
 * Callers:  bridge/media*.c.
 * RFC:      see bridge/media.h.
 */
#ifndef BRIDGE_MEDIAPARTS_H
#define BRIDGE_MEDIAPARTS_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/rate.h"
#include "bridge/dtls.h"
#include "bridge/flow.h"
#include "bridge/ice.h"
#include "bridge/leg.h"
#include "bridge/media.h"
#include "bridge/rtcp.h"
#include "bridge/rtp.h"
#include "bridge/sdp.h"
#include "bridge/secure.h"
#include "bridge/servers.h"

enum {
    MS_NS = 1000000,
    MEDIA_TICK_MS = 250,     /* the hub looks at all calls */
    MEDIA_CONNECT_MS = 9000, /* from an offer to a path; beyond it the call says that there is none */
    MEDIA_SILENCE_MS = 2500, /* without a packet of a browser that sends 50 a second; consent itself takes 10 s to go */
    MEDIA_REPORT_MS = 5000,  /* between RTCP reports, RFC 3550 section 6.2 */
    MEDIA_DIGITS_MAX = 32,   /* that wait */
    MEDIA_PATH_COST = 2,     /* tokens, of one a second: a new path, which is an agent with ten sockets, every 2 s */
    MEDIA_PATHS_BURST = 4,   /* and so many at once: a browser that changes its network restarts ICE once or twice */
    MEDIA_TYPES = RTP_TYPE_MAX + 1,
};

struct media_hub {
    struct media_hub_config config;
    struct addr ips[MEDIA_IPS_MAX];
    struct dtls_cert *cert;
    struct servers *servers;
    struct ice_yard yard;
    struct secure *kept; /* nobody's: while there is one, libsrtp's NSS stays loaded (media_hub_new) */
    struct event tick;
    struct media *calls;
    unsigned ncalls;
    uint64_t ntp_offset_ns; /* from the boot clock to 1970, as it was when the hub began: it never steps */
};

/* One of a call's two ends. */
struct media_side {
    uint8_t types[SDP_CODECS];    /* payload types that it takes, SDP_NO_TYPE */
    uint8_t codecs[MEDIA_TYPES];  /* what comes from it: payload type to enum sdp_codec; SDP_CODECS: unknown */
    bool open;                    /* it wants to hear something */
    struct flow out;              /* what it is sent */
    struct rtcp_source in;        /* what comes from it */
    struct media_leg_stats count; /* packets and bytes alone; the rest is worked out when it is asked for */
    double rtt_s;                 /* negative: not known */
    uint64_t report_ns;           /* when the next report is due */
    bool heard, forwarded;        /* a packet has come from it; one of it has gone on */
};

/* What is to be told, later, from the loop. */
struct media_note {
    struct media_note *next;
    enum { NOTE_CANDIDATE, NOTE_NO_MORE, NOTE_STATE, NOTE_DIGIT } kind;
    enum media_state state;
    struct media_path path;
    char digit;
    char candidate[SDP_CANDIDATE_MAX];
};

/* RFC 4733 events that we send to the PBX. */
struct media_keys {
    char waiting[MEDIA_DIGITS_MAX];
    unsigned n;
    bool pressed;  /* an event is being sent: voice waits */
    unsigned step; /* packets of it that went out */
    uint32_t timestamp;
    struct event timer;
};

struct media {
    struct media_hub *hub;
    struct media *next;
    struct media_events events;
    void *ctx;
    enum media_state state;
    struct media_path path;
    struct media_note *notes, **last; /* the last one's `next` */
    struct event deliver;
    bool telling, doomed; /* something is being told; the call was freed meanwhile */

    struct rate paths; /* new ones: MEDIA_PATH_COST each */
    struct ice *ice;   /* that carries media, or will */
    struct ice *fresh; /* of a restart, until it has a pair */
    bool waits_for_servers;
    bool consent; /* `ice` may be sent on */
    struct dtls *dtls;
    struct event dtls_timer;
    struct secure *secure;
    struct sdp offer; /* of the browser; nsections 0: none yet */

    struct leg *leg;
    struct sdp pbx_sdp; /* the PBX's last; nsections 0: none yet */
    bool we_hold;
    struct media_keys keys;
    bool event_seen; /* an event has come from the PBX, with this timestamp */
    uint32_t event_timestamp;

    struct media_side browser, pbx;
    uint64_t session_id;
    unsigned browser_version, pbx_version;
    uint64_t offered_ns, heard_ns;                     /* the last offer that began a path; the browser's last packet */
    uint64_t began_ns, selected_ns, keys_ns, audio_ns; /* 0: not yet */
};

/* media.c */
uint64_t media_now_ns(void);
void media_tell_state(struct media *m, enum media_state state);
void media_tell_digit(struct media *m, char digit);
/* A new agent for a new user fragment: the first, or a restart's. */
int media_begin_path(struct media *m, const struct sdp *offer);
/* DTLS anew, before the first path and when the browser's certificate is another. */
int media_begin_keys(struct media *m, const struct sdp_fingerprint *peer);
void media_gather(struct media *m);
void media_look(struct media *m, uint64_t now_ns);

/* mediapath.c */
void media_from_browser(struct media *m, uint8_t *buf, size_t len);
void media_from_pbx(struct media *m, uint8_t *buf, size_t len);
/* What comes from a side: these types, besides those that it takes. */
void media_know_types(struct media_side *side, const uint8_t types[static SDP_CODECS]);

/* mediareport.c */
void media_reports(struct media *m, uint64_t now_ns);
void media_bye(struct media *m);
void media_rtcp(struct media *m, struct media_side *side, const uint8_t *buf, size_t len);
/* Under the keys, to the browser: needs SECURE_TRAILER_MAX bytes of room. */
void media_send_rtcp_browser(struct media *m, uint8_t *buf, size_t len);

/* mediadtmf.c */
void media_keys_init(struct media *m);
void media_keys_stop(struct media *m);

#endif
