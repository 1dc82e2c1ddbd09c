/*
 * Purpose:  two ends of a call at the same relay: their allocations, their channels to each other, and the first packets between them.
 * Owner:    the thread of the run.
 * Lifetime: from the first allocation's step to the end of its rule.
 * Callers:  probe/stream, probe/size, probe/wide, probe/idle, probe/meet, probe/far, probe/probe.
 * RFC:      8656.
 */
#ifndef PROBE_PAIR_H
#define PROBE_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "probe/end.h"
#include "probe/way.h"

struct direct;
struct trial;

enum {
    PAIR_HEAD = 20, /* bytes of what each payload begins with */
    PAIR_QUICK_RTO_MS = 100,
    PAIR_ECHO_EVERY = 5, /* packets of a far end's stream: one of so many comes back, for the delay */
    PAIR_CALL_MAX = 64,  /* bytes of a call's id and its NUL */
};

/* What a payload is sent for: a late one is not taken for another's. */
enum pair_kind { PAIR_HELLO, PAIR_STREAM, PAIR_SIZE, PAIR_IDLE, PAIR_WIDE, PAIR_ECHO };

/* What a payload that arrives has to say. */
struct pair_packet {
    enum pair_kind kind;
    unsigned from; /* the end that has sent it */
    uint32_t sequence;
    uint64_t sent_us;
    size_t len;
};

struct pair {
    struct trial *trial;
    struct end *end[2];
    const char *user, *password; /* NULL: not known yet */
    struct addr relayed[2];
    struct turn_params params[2]; /* of their requests */
    unsigned pending;             /* requests that the step waits for, or how often it has tried */
    bool far;                     /* the second end is another probe's: end[1] is NULL */
    char call[PAIR_CALL_MAX];     /* at the connect service, with the far end; "": none */
    bool meeting;                 /* the far end is looked for */
    struct direct *direct;        /* to the far end, past the relay; NULL: not tried */
    uint32_t far_packets;         /* that the far end's stream has */
    struct way far_way;           /* which of them have come */
    bool heard[2];                /* by this end, of the other */
    unsigned largest[2];          /* bytes of an IP packet that has come to this end */
    unsigned silence, knocks;     /* which length of silence is tried, and how often its end has been knocked at */
    /* The step that runs: how a request of an end's went, and what an end has heard. */
    void (*done)(struct trial *t, unsigned which, const struct end_result *r);
    void (*heard_packet)(struct trial *t, unsigned by, const struct pair_packet *packet);
};

/* NULL-safe; nulls the pointer. */
void pair_free(struct pair **p);
/* Two ends to be. NULL: no memory, which the trial has been told. */
struct pair *pair_new(struct trial *t);
/* The caller's credentials, those that the connect service hands out, as a softphone has them, or, where no rule leads to one, the token itself. */
void pair_choose_credentials(struct trial *t);
/* An end and its Allocate; `done` hears how it went. */
void pair_allocate(struct trial *t, unsigned which);
/* Its answer: false, and the trial has failed: it is refused, or names no relayed address. */
bool pair_take_relayed(struct trial *t, unsigned which, const struct end_result *r);
/* The ends' channels to each other, of both ends at once; `pending` counts down what `done` has not heard of. */
void pair_bind_channels(struct pair *p);
/* True: a request was answered as it should be. False, and the trial has failed. */
bool pair_went_well(struct trial *t, const struct end_result *r);
/* Takes a packet of the far end's stream, and sends some of them back: one that has begun while we still say hello counts, too. */
void pair_take_stream(struct pair *p, const struct pair_packet *packet);
/* A payload of `len` bytes (PAIR_HEAD at least) from one end to the other. False: it could not be sent now. */
bool pair_send(struct pair *p, unsigned from, enum pair_kind kind, uint32_t sequence, size_t len);
/* The head of a payload, into `out`; for whoever sends it another way. */
void pair_head(uint8_t out[static PAIR_HEAD], enum pair_kind kind, unsigned from, uint32_t sequence);
/* A monotonic clock in microseconds, for delays. */
uint64_t pair_now_us(void);

#endif
