/*
 * Purpose:  one call, from the bridge's side: what each end's event does in each state.
 * Owner:    as calls.h; the fields belong to bridge/call*.
 * Lifetime: call_add to calls_reap; a call that is over stays until nobody will call back for it.
 * Callers:  bridge/calls, which hands it what belongs to it.
 * RFC:      see calls.h.
 */
#ifndef BRIDGE_CALL_H
#define BRIDGE_CALL_H

#include "bridge/calls.h"

enum { MS_PER_S = 1000 };
enum { CALL_ID_MAX = 65, CALL_NAME_MAX = 65, CALL_TEXT_MAX = 512, CALL_REASONS = 16, CALL_MID_MAX = 32 };

/*
 *  the phone calls:  DIALLING ──▶ ALERTING ──────────────────▶ TALKING ──▶ OVER
 *  the PBX calls:    ASKING ──▶ RINGING ──▶ JOINING ──▶ CONFIRMING ──▶ TALKING ──▶ OVER
 * Every state may go to OVER. JOINING: a phone has accepted, and the PBX gets its answer once the media have a path.
 */
enum call_state {
    CALL_DIALLING = 1, /* INVITE sent */
    CALL_ALERTING = 2, /* the PBX rings */
    CALL_ASKING = 4,   /* call.start sent */
    CALL_RINGING = 8,  /* phones ring */
    CALL_JOINING = 16,
    CALL_CONFIRMING = 32, /* 200 sent, its ACK not here */
    CALL_TALKING = 64,
    CALL_OVER = 128,
};

/* Types of candidates that one side has. */
struct call_types {
    bool host, srflx, prflx, relay;
};

struct call {
    struct calls *calls;
    struct call *next, **prev;
    enum call_state state;
    char id[CALL_ID_MAX]; /* the service's; "": not known yet */
    bool from_pbx;
    uint64_t phase_ms, second; /* each call's seconds begin elsewhere; the last that was looked at */
    uint64_t
        lost[CALLS_LEGS]; /* the most that its media ever counted: what comes late takes some back, and a counter never falls */
    bool asked;           /* call.start has not been answered: this call can't go yet */
    unsigned line;
    char user[CALL_NAME_MAX], number[CALL_NAME_MAX]; /* at the phone's end, and at the PBX's */

    struct sip_call *sip; /* NULL: not yet, or no more */
    struct media *media;
    char *pbx_sdp; /* the offer of the PBX's INVITE; from JOINING on our answer to it; NULL: it made none */
    char mid[CALL_MID_MAX];
    bool rang, joined; /* the phone knows that it rings; media had a path once */
    bool early;        /* the PBX's description came before its answer */
    bool audible;      /* both ways, and told */
    bool phone_holds, pbx_holds;
    bool told_hold, reoffering; /* what our last offer to the PBX said, and whether it is unanswered */
    struct call_types ours, theirs;

    int64_t began_at; /* wall clock */
    uint64_t began_ms, signalled_ms, offered_ms, relays_ms,
        answered_ms;                                 /* 0: not yet; `relays`: each side knows the other's relay candidate */
    uint64_t due_ms, connect_due_ms, restart_due_ms; /* 0: no limit */
    uint64_t gone_due_ms;                            /* the service has it no more; 0: it has */
};

/* A line, and how its registration stands. */
struct call_line {
    bool registered, answered;
    char why[SIP_TEXT_MAX];
};

/* How the lines stand together. */
enum call_pbx {
    CALL_PBX_TRYING, /* not all are answered, and none has failed */
    CALL_PBX_REGISTERED,
    CALL_PBX_FAILING, /* one at least is not registered */
};

struct calls {
    struct calls_config config;
    const struct call_ends *ends;
    struct call *first;
    struct call_line *lines;
    enum call_pbx pbx;
    int64_t since, pbx_since; /* wall clock: of the calls, and of the lines' state */
    json_t *told;             /* the status as it was told last, without figures; NULL: not yet, to whoever listens now */
    uint64_t told_ms;
    bool connected, stopped; /* the service hears us; no more calls begin */
    uint64_t serial;         /* calls that ever began */
    char relay[CALLS_RELAY_MAX];
    struct calls_counts counts;
    uint64_t ended[CALL_REASONS];
};

/* ---- calls.c ---- */

/* A call in this state, at the head of the list; NULL: no memory. */
struct call *call_add(struct calls *calls, enum call_state state, bool from_pbx);
void call_count_setup(struct calls *calls, enum calls_part part, double seconds);
enum calls_state calls_state_of(const struct call *c);
/* What its media have lost so far; more than once a second is of no use. */
void call_count_lost(struct call *c);
/* With what its media have seen. */
void call_count_end(struct call *c, const char *reason);

/* ---- call.c: what begins a call, and what happens to it ---- */

/* call.incoming: a phone calls. */
void call_from_phone(struct calls *calls, const json_t *params);
/* An INVITE has come. */
void call_from_pbx(struct calls *calls, struct sip_call *sip, unsigned line, const char *from, const char *name, const char *sdp);
/* A message about this call. */
void call_message(struct call *c, const char *method, const json_t *params);

void call_sip_ringing(struct call *c, const char *sdp);
void call_sip_answered(struct call *c, const char *sdp);
void call_sip_reoffered(struct call *c, const char *sdp);
void call_sip_reanswered(struct call *c, const char *sdp);
void call_sip_crossed(struct call *c);
void call_sip_digit(struct call *c, char digit);
void call_sip_ended(struct call *c, const struct sip_end *end);

/* Limits that have passed, and statistics. */
void call_tick(struct call *c, uint64_t now_ms);
/* Ends it at both ends. `text` may be NULL; `by` is for the log. */
void call_end(struct call *c, const char *reason, const char *text, const char *by);
/* The same, where the connect service knows it already. */
void call_close(struct call *c, const char *reason, const char *text, const char *by);

/* ---- callmedia.c: what the media tell ---- */

extern const struct media_events CALL_MEDIA_EVENTS;
/* A notification of this call; `more` (may be NULL) is taken over. */
void call_tell(struct call *c, const char *method, json_t *more);
void call_tell_stats(struct call *c);
/* The call's media, where there are none; ends the call and returns an error where there can't be. */
int call_open_media(struct call *c);
/* What is known of the candidates of both sides has grown. */
void call_note_relays(struct call *c);
/* Answers the phone's offer, the first or a later one; ends the call and returns an error where it can't be. */
int call_answer_phone(struct call *c, const char *sdp);
/* The media have a path for the first time, in a state that waits for it (call.c). */
void call_joined(struct call *c);

/* ---- callfault.c: why media have no path, in words ---- */

void call_note_candidate(struct call_types *types, const char *candidate);
/* Those that stand in a description. */
void call_note_candidates(struct call_types *types, const char *sdp);
void call_fault_text(const struct call *c, char out[static CALL_TEXT_MAX]);

#endif
