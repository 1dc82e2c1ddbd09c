/*
 * Purpose:  two ends of a call at the same relay: their allocations, their channels to each other, and the first packets between them.
 * Owner:    the thread of the run.
 * Lifetime: from the first allocation's step to the end of its rule.
 * Callers:  probe/stream, probe/size, probe/wide, probe/idle, probe/probe.
 * RFC:      8656.
 */
#ifndef PROBE_PAIR_H
#define PROBE_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "probe/end.h"

struct trial;

enum {
    PAIR_HEAD = 20, /* bytes of what each payload begins with */
    PAIR_QUICK_RTO_MS = 100,
};

/* What a payload is sent for: a late one is not taken for another's. */
enum pair_kind { PAIR_HELLO, PAIR_STREAM, PAIR_SIZE, PAIR_IDLE, PAIR_WIDE };

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
    unsigned pending;             /* requests that the step waits for */
    bool heard[2];                /* by this end, of the other */
    unsigned largest[2];          /* bytes of an IP packet that has come to this end */
    unsigned silence, knocks;     /* which length of silence is tried, and how often its end has been knocked at */
    /* The step that runs: how a request of an end's went, and what an end has heard. */
    void (*done)(struct trial *t, unsigned which, const struct end_result *r);
    void (*heard_packet)(struct trial *t, unsigned by, const struct pair_packet *packet);
};

/* NULL-safe; nulls the pointer. */
void pair_free(struct pair **p);
/* A payload of `len` bytes (PAIR_HEAD at least) from one end to the other. False: it could not be sent now. */
bool pair_send(struct pair *p, unsigned from, enum pair_kind kind, uint32_t sequence, size_t len);
/* The head of a payload, into `out`; for whoever sends it another way. */
void pair_head(uint8_t out[static PAIR_HEAD], enum pair_kind kind, unsigned from, uint32_t sequence);
/* A monotonic clock in microseconds, for delays. */
uint64_t pair_now_us(void);

#endif
