/* The first step with the other end: two probes find each other at the connect service, as a phone and a bridge do, and tell their relayed addresses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "probe/direct.h"
#include "probe/hold.h"
#include "probe/mark.h"
#include "probe/pair.h"
#include "probe/trial.h"
#include "probe/way.h"

enum {
    SLOW_MS = 150000, /* that the other end may take: it holds its WebSocket idle for 65 s before */
    QUICK_MS = 20000,
    LOOK_MS = 1000,  /* between two looks for it */
    HELLO_MS = 100,  /* between two first packets */
    HELLOS = 60,     /* before the way to it counts as shut */
    LAST_HELLOS = 5, /* after we have heard it: it has not heard us yet, perhaps */
    WHY_MAX = 220,   /* bytes of what the other end has said, and its NUL */
};

struct meet {
    uint64_t deadline_ms;
    bool asked; /* the service has not answered call.start yet */
    bool found; /* the other end's relayed address is known */
    unsigned hellos;
    char why[WHY_MAX]; /* how the last call has ended; "": there was none */
};

/* ---- Descriptions. ---- */

static json_t *describe(const struct trial *t)
{
    char lines[DIRECT_TEXT_MAX];

    return mark_write(&(struct mark){.packets = trial_ms(t, WAY_SLOW_PACKETS, WAY_QUICK_PACKETS), .relayed = t->pair->relayed[0]},
                      direct_lines(t->pair->direct, lines));
}

/* False: it is no probe's. */
static bool understand(struct pair *p, const json_t *params)
{
    struct mark mark;

    if (!mark_read(&mark, params) || *mark.failed)
        return false;
    p->relayed[1] = mark.relayed;
    p->far_packets = mark.packets;
    direct_begin(p->direct, json_string_value(json_object_get(params, "sdp")));
    return true;
}

/* ---- Packets. ---- */

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    t->pair->heard[by] = true;
    pair_take_stream(t->pair, packet);
}

static void say_hello(struct trial *t)
{
    struct meet *m = t->state;
    struct pair *p = t->pair;
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

    if (p->heard[0] && m->hellos < HELLOS - LAST_HELLOS)
        m->hellos = HELLOS - LAST_HELLOS;
    if (m->hellos++ == HELLOS) {
        if (p->heard[0])
            trial_pass(t);
        else
            trial_fail(t, CODE_RELAY_PAIR_FAILED, "nothing comes from the other end's %s to our %s", addr_text(&p->relayed[1], a),
                       addr_text(&p->relayed[0], b));
        return;
    }
    (void)pair_send(p, 0, PAIR_HELLO, 0, PAIR_HEAD);
    trial_wait(t, HELLO_MS);
}

static void on_bound(struct trial *t, unsigned which, const struct end_result *r)
{
    (void)which;
    if (!pair_went_well(t, r))
        return;
    t->pair->heard_packet = on_packet;
    say_hello(t);
}

static void bind_to(struct trial *t)
{
    struct meet *m = t->state;
    struct pair *p = t->pair;

    m->found = true;
    p->done = on_bound;
    p->params[0] = (struct turn_params){.peers = &p->relayed[1], .npeers = 1, .channel = END_CHANNEL};
    end_request(p->end[0], STUN_CHANNEL_BIND, &p->params[0]);
}

/* ---- The call at the service. ---- */

static void keep_call(struct pair *p, const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "call"));

    snprintf(p->call, sizeof(p->call), "%s", id ? id : "");
}

/* A call that nobody has answered goes with its caller. */
__attribute__((format(printf, 2, 3))) static void missing(struct trial *t, const char *format, ...)
{
    char why[WHY_MAX];
    va_list args;

    if (t->pair->far && *t->pair->call && t->probe->config->role == RULES_BROWSER)
        hold_hang_up(t->probe->held, t->pair->call, "cancelled", NULL);
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    trial_warn(t, CODE_OTHER_END_MISSING, "the other end was not met: %s", why);
    t->pair->far = false; /* nothing is to be streamed */
    trial_pass(t);
}

/* The trial outlives its steps, so it may be late. */
static void on_started(void *ctx, const json_t *result, const json_t *error)
{
    struct trial *t = ctx;
    struct meet *m = t->state;

    (void)error; /* no bridge is there yet, say: we ask again */
    if (!t->pair || !t->pair->meeting)
        return;
    m->asked = false;
    if (result)
        keep_call(t->pair, result);
}

/* The browser's end calls, the server's answers. */
static void seek(struct trial *t)
{
    struct meet *m = t->state;
    struct pair *p = t->pair;
    struct hold *held = t->probe->held;
    const json_t *call = hold_call(held);

    if (*hold_failed(held)) {
        missing(t, "it says: %s", hold_failed(held));
    } else if (t->probe->config->role == RULES_BROWSER) {
        if (!m->asked && !*p->call)
            m->asked = hold_ask(held, "call.start", json_pack("{s:s,s:o}", "to", "probe", "sdp", describe(t)), on_started, t) == 0;
    } else if (call && understand(p, call)) {
        keep_call(p, call);
        if (hold_say(held, "call.answer", json_pack("{s:s,s:o}", "call", p->call, "sdp", describe(t))) == 0)
            bind_to(t);
    }
}

/* Our call is over. Some ends come by themselves, others mean that the next call would end likewise. */
static void on_ended(struct trial *t, const json_t *params)
{
    static const char *const PASSING[] = {"busy",       "no_answer",   "cancelled", "elsewhere",
                                          "phone_lost", "bridge_lost", "limit",     "shutdown"};
    struct meet *m = t->state;
    const char *reason = json_string_value(json_object_get(params, "reason"));
    char text[MARK_FAILED_MAX];
    bool passing = false;

    for (size_t i = 0; reason && i < sizeof(PASSING) / sizeof(PASSING[0]); i++)
        passing |= strcmp(reason, PASSING[i]) == 0;
    t->pair->call[0] = '\0';
    snprintf(m->why, sizeof(m->why), "it has hung up: %s", hold_ending(params, text));
    if (m->found || !passing)
        missing(t, "%s", m->why);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    struct trial *t = ctx;
    struct meet *m = t->state;
    struct pair *p = t->pair;
    const char *id = json_string_value(json_object_get(params, "call"));

    if (t->settled || !id)
        return;
    if (strcmp(method, "call.incoming") == 0 && !m->found)
        seek(t); /* it may have ended by the next look */
    else if (strcmp(id, p->call) != 0)
        return;
    else if (strcmp(method, "call.ended") == 0)
        on_ended(t, params);
    else if (strcmp(method, "call.answer") == 0 && !m->found && understand(p, params))
        bind_to(t);
}

/* ---- The step. ---- */

static void on_allocated(struct trial *t, unsigned which, const struct end_result *r)
{
    const struct meet *m = t->state;
    int err;

    if (!pair_take_relayed(t, which, r))
        return;
    if (!t->probe->config->relay_only && (err = direct_new(&t->pair->direct, t, t->pair->end[0], &r->answer.mapped)))
        trial_note(t, "UDP past the relay not tried (%s)", err_str(err));
    hold_listen(t->probe->held, on_message, t);
    t->pair->meeting = true;
    seek(t);
    if (!m->found)
        trial_wait(t, LOOK_MS);
}

/* Until the WebSocket's rule has signed in. */
static void begin_when_held(struct trial *t)
{
    const struct probe *p = t->probe;

    if (p->held) {
        pair_free(&t->pair);
        if (!pair_new(t))
            return;
        t->pair->far = true;
        t->pair->done = on_allocated;
        pair_choose_credentials(t);
        pair_allocate(t, 0);
    } else if (trial_awaits(p, RULES_WEBSOCKET)) {
        trial_wait(t, LOOK_MS);
    } else {
        missing(t, "the connect service could not be used");
    }
}

static void late(struct trial *t)
{
    struct meet *m = t->state;

    if (!t->pair || !t->pair->far) {
        begin_when_held(t);
    } else if (m->found) {
        say_hello(t);
    } else if (clock_now().ms >= m->deadline_ms) {
        missing(t, "%s", *m->why ? m->why : "no call has come about at the connect service");
    } else {
        seek(t);
        if (!m->found)
            trial_wait(t, LOOK_MS);
    }
}

static void begin(struct trial *t)
{
    struct meet *m;

    if (!t->probe->config->both || t->probe->meets) {
        trial_pass(t);
        return;
    }
    t->probe->meets = t;
    t->state = m = calloc(1, sizeof(*m));
    if (!m) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    m->deadline_ms = clock_now().ms + trial_ms(t, SLOW_MS, QUICK_MS);
    begin_when_held(t);
}

static void end(struct trial *t)
{
    if (t->pair)
        t->pair->meeting = false;
    if (t->probe->held)
        hold_listen(t->probe->held, NULL, NULL);
    free(t->state);
}

const struct step MEET_STEP = {REPORT_PAIR, RULES_TURN | TRIAL_ANSWER, begin, late, end};
