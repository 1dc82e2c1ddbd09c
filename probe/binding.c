/* The second and third step of what goes by UDP: an answer of the relay's, and that it has come as it was sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "probe/end.h"
#include "probe/tcp.h"
#include "probe/trial.h"

enum {
    QUICK_RTO_MS = 100, /* seven sends in 7.9 s, where RFC 8489 takes 39.5 s */
    TCP_SLOW_MS = 4000, /* for the same port by TCP, when UDP is silent */
    TCP_QUICK_MS = 2000,
};

struct binding {
    struct trial *trial;
    struct end *end;
    struct tcp *tcp;
    char silent[FAULT_WHY_MAX]; /* what UDP has shown */
};

/* UDP is silent: does the host answer at all? */
static void on_tcp(void *ctx, enum code code, int fd, const char *why)
{
    struct binding *b = ctx;
    unsigned port = b->trial->line->port;

    (void)why;
    if (code == CODE_NONE)
        b->trial->fd = fd;
    if (code == CODE_NONE)
        trial_fail(b->trial, CODE_UDP_TIMEOUT, "%s; tcp/%u answers: UDP is filtered", b->silent, port);
    else if (code == CODE_TCP_RST) /* which a firewall may have said */
        trial_fail(b->trial, CODE_UDP_TIMEOUT, "%s; tcp/%u is refused", b->silent, port);
    else
        trial_fail(b->trial, CODE_UDP_TIMEOUT, "%s; tcp/%u does not answer either", b->silent, port);
}

static void try_tcp(struct binding *b, const struct end_result *r)
{
    struct trial *t = b->trial;

    snprintf(b->silent, sizeof(b->silent), "no answer to %u requests in %u.%u s", r->sends, (unsigned)(r->took_ms / 1000),
             (unsigned)(r->took_ms % 1000 / 100));
    if (tcp_open(&b->tcp, t->probe->base, &t->line->address, trial_ms(t, TCP_SLOW_MS, TCP_QUICK_MS), on_tcp, b))
        trial_fail(t, CODE_UDP_TIMEOUT, "%s", b->silent);
}

static void on_done(void *ctx, struct end *e, const struct end_result *r)
{
    struct binding *b = ctx;
    struct trial *t = b->trial;
    struct report_measures *m = &t->line->measures;
    struct addr local = end_local(e);
    char text[ADDR_TEXT_MAX];

    switch (r->how) {
    case END_ANSWERED:
        m->connect_us = (uint32_t)r->took_ms * 1000;
        m->mapped = r->answer.mapped;
        t->other = r->answer.other;
        if (m->mapped.family)
            m->nat = addr_equal(&local, &m->mapped) ? REPORT_NAT_NONE : REPORT_NAT_UNKNOWN;
        trial_note(t, "answered in %u ms", (unsigned)r->took_ms);
        if (m->mapped.family)
            trial_note(t, "seen as %s", addr_text(&m->mapped, text));
        trial_pass(t);
        break;
    case END_ALTERED: /* it has been reached; the next step says what is wrong */
        snprintf(t->altered, sizeof(t->altered), "%s", r->why);
        trial_pass(t);
        break;
    case END_REFUSED:
        trial_fail(t, CODE_TURN_REFUSED, "Binding is answered with %d %s", r->answer.code, stun_reason(r->answer.code));
        break;
    case END_SILENT:
        try_tcp(b, r);
        break;
    case END_FAULT:
        trial_fail(t, r->code, "%s", r->why);
        break;
    }
}

static void begin(struct trial *t)
{
    static const struct turn_params PLAIN = {0};
    static const struct end_events EVENTS = {on_done, NULL};
    const struct end_config config = {.base = t->probe->base,
                                      .server = &t->line->address,
                                      .mac = t->probe->mac,
                                      .rto_ms = trial_ms(t, STUN_RTO_MS, QUICK_RTO_MS)};
    struct binding *b = calloc(1, sizeof(*b));
    int err = b ? end_open(&b->end, &config, &EVENTS, b) : ERR_NOMEM;

    t->state = b;
    if (err) {
        trial_broken(t, err);
        return;
    }
    b->trial = t;
    end_request(b->end, STUN_BINDING, &PLAIN);
}

static void end(struct trial *t)
{
    struct binding *b = t->state;

    if (b) {
        end_free(&b->end);
        tcp_free(&b->tcp);
    }
    free(b);
}

/* An address that a router's helper has written anew is of no use to the other end. */
static void judge(struct trial *t)
{
    if (*t->altered)
        trial_fail(t, CODE_STUN_ALTERED, "%s", t->altered);
    else
        trial_pass(t);
}

const struct step BINDING_STEP = {REPORT_REACH, RULES_STUN | RULES_TURN, begin, NULL, end};
const struct step UNALTERED_STEP = {REPORT_PROTOCOL, RULES_STUN | RULES_TURN, judge, NULL, NULL};
