/*
 * Purpose:  what the files of bridge/sip share.
 * Owner:    as sip.h.
 * Lifetime: as sip.h; a call's struct outlives its owner's interest until sofia-sip is done with its handle.
 * Callers:  bridge/sip, bridge/sipcall.
 * RFC:      3261.
 */
#ifndef BRIDGE_SIPPARTS_H
#define BRIDGE_SIPPARTS_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "bridge/sip.h"

/* What a handle of sofia-sip belongs to: the first member of a line and of a call. */
struct sip_peg {
    enum { SIP_PEG_LINE, SIP_PEG_CALL } kind;
};
#define NUA_MAGIC_T  struct sip
#define NUA_HMAGIC_T struct sip_peg
#include <sofia-sip/nua.h>
#include <sofia-sip/nua_tag.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_tag.h>

enum {
    SIP_URI_MAX = 600,
    SIP_SOURCES_MAX = 8,    /* addresses of one PBX that calls are taken from */
    SIP_NO_CHALLENGE = 904, /* sofia-sip's status when the same password would be refused once more */
    SIP_CHALLENGES_MAX = 2, /* in a row: one, and one for a nonce that has grown old meanwhile */
};

struct sip_registration {
    struct sip_peg peg;
    struct sip *sip;
    unsigned index;
    char *user, *auth_user, *password; /* password NULL: a trunk */
    nua_handle_t *nh;
    bool registered, told; /* told: the owner knows at least one outcome */
    unsigned failures, challenges;
    struct event retry;
    char why[SIP_TEXT_MAX]; /* the last failure that was told */
};

struct sip_call {
    struct sip_peg peg;
    struct sip *sip;
    LIST_ENTRY(sip_call) link;
    nua_handle_t *nh;
    void *ctx;
    unsigned line;
    unsigned challenges;
    bool incoming;
    bool answered;               /* a 200 came or went */
    bool confirmed;              /* the owner was told of it */
    bool offering;               /* our INVITE with an offer is under way */
    bool asked;                  /* a request of theirs waits for sip_answer */
    bool dead;                   /* the owner is done with it, or was told that it is over */
    bool offerless;              /* their INVITE had no offer: their ACK has the answer */
    nua_saved_event_t update[1]; /* their UPDATE that waits for sip_answer; NULL inside: an INVITE */
    struct event ring;           /* nobody answers */
    struct event again;          /* our offer has crossed one of theirs: time to make it again */
    char *sdp;                   /* our last description that holds: what a refresh is answered with */
    char *offer;                 /* of a re-INVITE of ours that is unanswered */
};

struct sip {
    struct sip_config config;
    struct sip_events events;
    void *ctx;
    struct pump *pump;
    struct su_root_s *root;
    nua_t *nua;
    struct addr address;
    char registrar[SIP_URI_MAX], domain[SIP_URI_MAX]; /* "sip:host:port;transport=udp"; "host" */
    char pbx[SIP_URI_MAX];                            /* the registrar as it was given, for people */
    struct sip_registration *lines;
    unsigned nlines;
    struct addr sources[SIP_SOURCES_MAX]; /* of the PBX */
    unsigned nsources, next_source;
    LIST_HEAD(, sip_call) calls;
    bool silent; /* sip_free: no events any more */
    bool down;   /* nua has shut down */
};

/* Answers a challenge with the line's password, if there is one and it was not refused. False: there is no use. */
bool sipparts_authenticate(struct sip *s, unsigned line, unsigned *challenges, nua_handle_t *nh, const sip_t *sip);
/* Where the event's message came from. False: from nowhere; sofia-sip has made it, because no answer came. */
bool sipparts_source(const struct sip *s, struct addr *out);
/* "sip:USER@DOMAIN"; `user` as it is. */
void sipparts_uri(const struct sip *s, char out[static SIP_URI_MAX], const char *user);

/* sipcall.c: an event on a call's handle, or an INVITE on a new one. */
void sipcall_event(struct sip_call *call, nua_event_t event, int status, const char *phrase, const sip_t *sip);
void sipcall_invited(struct sip *s, nua_handle_t *nh, const sip_t *sip);
/* Frees it, and its handle. */
void sipcall_release(struct sip_call *call);

#endif
