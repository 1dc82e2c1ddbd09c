/*
 * Purpose:  the SIP user agent towards the PBX: lines that are registered, calls in and out. sofia-sip behind a narrow door.
 * Owner:    the bridge's one thread; sofia-sip's root is pumped on its event base (bridge/pump).
 * Lifetime: sip_new to sip_free.
 * Callers:  bridge/call; bridge/bridge builds.
 * RFC:      3261, 3264, 3311, 4028 (session timers), 8760 as far as sofia-sip has it.
 */
#ifndef BRIDGE_SIP_H
#define BRIDGE_SIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct event_base;
struct sip;
struct sip_call;

enum { SIP_LINES_MAX = 256, SIP_TEXT_MAX = 256 };

struct sip_line {
    const char *user;      /* the extension: sip:USER@DOMAIN */
    const char *auth_user; /* NULL: as user */
    const char *password;  /* NULL: no REGISTER, calls are taken from the PBX's address alone (a trunk) */
    const char *phone;     /* the user of the connect service that rings, and who calls from it; NULL: nobody */
};
struct sip_config {
    struct event_base *base;
    struct addr local;     /* address and port to bind; port 0: a free one */
    bool tcp;              /* to the PBX by TCP; else UDP */
    const char *registrar; /* "pbx.example:5060": host, or host:port */
    const char *domain;    /* NULL: the registrar's host */
    const struct sip_line *lines;
    unsigned nlines;
    unsigned expires_s; /* of registrations: 300 */
    unsigned ring_s;    /* an outgoing call that nobody answers: 60 */
};
/* Why a call ended, as docs/connect-protocol.md names it. */
struct sip_end {
    const char *reason; /* "busy", "declined", "no_answer", "unknown_number", "cancelled", "pbx_down", "pbx_error", "hangup" */
    int status;         /* SIP status, 0: none */
    char text[SIP_TEXT_MAX];
};
/* Never from within a call of the functions below. */
struct sip_events {
    void (*registered)(void *ctx, unsigned line, bool ok, const char *why);
    /* A call for a line; `sdp` NULL: an INVITE without one (we offer in the 200). Answer it by sip_ring, sip_answer or sip_hangup. */
    void (*invited)(void *ctx, struct sip_call *call, unsigned line, const char *from, const char *name, const char *sdp);
    void (*ringing)(void *ctx, void *call_ctx, const char *sdp /* early media, or NULL */);
    void (*answered)(void *ctx, void *call_ctx, const char *sdp);   /* 200 came, or the ACK of our 200 */
    void (*reoffered)(void *ctx, void *call_ctx, const char *sdp);  /* re-INVITE: answer it by sip_answer */
    void (*reanswered)(void *ctx, void *call_ctx, const char *sdp); /* to sip_reinvite; NULL: refused, the old holds */
    void (*crossed)(void *ctx, void *call_ctx); /* instead: one of theirs was under way, and the time has come to offer again */
    void (*digit)(void *ctx, void *call_ctx, char digit);                /* by INFO (application/dtmf-relay) */
    void (*ended)(void *ctx, void *call_ctx, const struct sip_end *end); /* the last of a call: the handle is gone */
};

/*
 * Copies everything. ERR_INVAL (the registrar; a line without password, whose registrar is no IP address), ERR_ADDRINUSE, ERR_NOMEM; `text`
 * tells the cause and the cure.
 */
int sip_new(struct sip **out, const struct sip_config *config, const struct sip_events *events, void *ctx,
            char text[static SIP_TEXT_MAX]);
/* Un-registers and ends calls, silently; waits 0.6 s at most for the PBX. Not from within an event. NULL-safe. */
void sip_free(struct sip **s);
struct addr sip_address(const struct sip *s);

/* To `to` (a user part) from a line. ERR_NOTCONN (no registration), ERR_INVAL (no user part), ERR_NOMEM. */
int sip_invite(struct sip_call **out, struct sip *s, unsigned line, const char *to, const char *sdp,
               const char *call_id /* of ours, for logs */, void *call_ctx);
void sip_set_ctx(struct sip_call *call, void *call_ctx);
/* 180 to a call that came in. ERR_INVAL: it didn't, or is answered. */
int sip_ring(struct sip_call *call);
/* 200 to what `invited` or `reoffered` brought. An INVITE within a call that has no SDP is answered by itself, with what was sent last. ERR_INVAL
 * (nothing waits for it), ERR_NOMEM. */
int sip_answer(struct sip_call *call, const char *sdp);
/* To `reoffered`, instead of an answer: what was agreed on before holds. ERR_INVAL: nothing is asked. */
int sip_refuse(struct sip_call *call);
/* Our offer within the call; `reanswered` or `crossed` follows. ERR_AGAIN: not answered yet, or an offer of either side is under way. ERR_NOMEM. */
int sip_reinvite(struct sip_call *call, const char *sdp);
/* ERR_NOTCONN: not answered yet. */
int sip_info_digit(struct sip_call *call, char digit);
/* BYE, CANCEL or the final answer that fits; `status` for a call that isn't answered (486, 480, 603, 500). `ended` does not follow; the handle is gone. */
void sip_hangup(struct sip_call *call, int status);

#endif
