/*
 * Purpose:  one rule on its way through the stages: what the steps of it share, and how a step says that it is done.
 * Owner:    the thread of the run.
 * Lifetime: from probe_new to probe_free.
 * Callers:  the steps: name, siptry, reach, line, hold, binding, nat, pair, stream, size, wide, idle, meet, far, regret; direct; probe, which walks the table of them.
 * RFC:      none.
 */
#ifndef PROBE_TRIAL_H
#define PROBE_TRIAL_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "connect/dialurl.h"
#include "probe/fault.h"
#include "probe/probe.h"

enum { TRIAL_ANSWER = 1 << 16 }; /* beside enum rules_check: a trial that does nothing but answer the other end */

struct evdns_base;
struct hold;
struct siptry;
struct ssl_ctx_st;
struct stun_mac;
struct trial;

/* What all trials of a run share. */
struct probe {
    const struct probe_config *config;
    struct event_base *base;
    struct evdns_base *dns;
    struct ssl_ctx_st *tls;
    struct stun_mac *mac;
    struct dialurl proxy; /* `config->proxy` gives it */
    struct report *report;
    struct trial *trials; /* one for each line of the report */
    size_t running;
    bool begun; /* each trial that is not skipped is in a step */
    uint64_t began_ms;
    struct event over; /* all are finished: `done` is called from the loop */
    probe_done *done;
    void *done_ctx;
    struct hold *held;             /* the way to the other end; NULL: not yet, or never */
    struct trial *meets;           /* whose rule has taken it; NULL: none yet */
    bool signed_in;                /* the connect service has taken the token */
    char *ice_user, *ice_password; /* that it has handed out for the relay; NULL: none */
    bool clock_known;              /* a service has told the time */
    int64_t clock_ahead_s;         /* its clock before ours */
};

struct trial {
    struct probe *probe;
    struct report_line *line;
    unsigned checks;        /* what is tried of the rule's: without credentials no TURN */
    const char *reach_host; /* what TCP connects to: the destination, or the proxy before it */
    uint16_t reach_port;
    bool private_answer;         /* of a name; `address` has it */
    int fd;                      /* connected by `reach`, for the next step; -1 */
    char altered[FAULT_WHY_MAX]; /* how the relay's answers have been changed; "": they have not */
    struct addr other;           /* the relay's second address and port; ADDR_NONE: it tells none */
    struct pair *pair;           /* from the first allocation on */
    struct siptry *siptry;       /* SIP is tried beside the steps; NULL: not here */

    size_t step;          /* in the table of steps */
    bool settled;         /* it has said how it went */
    bool over;            /* no further step, but to tell the other end */
    bool told;            /* that end knows how it went */
    bool finished;        /* its line in the report is complete */
    struct event advance; /* goes on, from the loop */
    struct event timer;   /* for the step's `late` */
    void *state;          /* the step's own, which its `end` frees */
};

/* Exactly one of these ends a step; from then on the step's callbacks are of no account. They return at once: the next step begins from the loop. */
void trial_pass(struct trial *t);
__attribute__((format(printf, 3, 4))) void trial_fail(struct trial *t, enum code code, const char *format, ...);
/* As trial_fail, for a step that can't begin: no memory, no descriptor, no route. */
void trial_broken(struct trial *t, int err);
/* Something to be noted that is no failure; the first one is the rule's code. The step goes on. */
__attribute__((format(printf, 3, 4))) void trial_warn(struct trial *t, enum code code, const char *format, ...);
/* As trial_warn, with CODE_OPEN_TOO_WIDE of the stage quality, whichever step runs. A rule that has failed keeps its code, and has the words. */
__attribute__((format(printf, 2, 3))) void trial_too_wide(struct trial *t, const char *format, ...);
/* Adds words to what a rule that passes has shown. */
__attribute__((format(printf, 2, 3))) void trial_note(struct trial *t, const char *format, ...);
/* The step's `late` is called after this time, in place of an earlier one. */
void trial_wait(struct trial *t, unsigned ms);
/* Is a rule under way yet whose check is one of these? Others may wait for what it finds out. */
bool trial_awaits(const struct probe *p, unsigned checks);
/* Where a rule leads to. False: whoever started the run has not said so. */
bool trial_destination(const struct probe_config *c, const struct rule *r, char host[static RULES_HOST_MAX], uint16_t *port);
/* `slow` or, in a quick run, `quick`. */
unsigned trial_ms(const struct trial *t, unsigned slow, unsigned quick);

/* One way to go on: `begin` starts it, `late` hears that the time is up, `end` frees what is left of it, however it went. */
struct step {
    enum report_stage stage; /* REPORT_STAGES: none, it can't fail */
    unsigned checks;         /* it is for rules that have one of these */
    void (*begin)(struct trial *t);
    void (*late)(struct trial *t); /* NULL: it sets no time */
    void (*end)(struct trial *t);  /* NULL: it holds nothing */
};

extern const struct step NAME_STEP, REACH_STEP, LINE_STEP, HOLD_STEP, BINDING_STEP, NAT_STEP, UNALTERED_STEP, ALLOCATE_STEP,
    BIND_STEP, PAIR_STEP, STREAM_STEP, SIZE_STEP, WIDE_STEP, IDLE_STEP, MEET_STEP, FAR_STEP, SIPTRY_STEP, SIPTRY_END_STEP,
    REGRET_STEP;

#endif
