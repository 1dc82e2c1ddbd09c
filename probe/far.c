/* The second step with the other end: a call's packets to it and from it, and what each end tells the other that it has received. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "probe/hold.h"
#include "probe/mark.h"
#include "probe/pair.h"
#include "probe/trial.h"
#include "probe/way.h"

enum {
    DRAIN_MS = 1500, /* that the last packets may take: the other end has begun a little later, perhaps */
    TELL_MS = 10000, /* that the other end's figures may take */
    ECHOES_MAX = WAY_SLOW_PACKETS / PAIR_ECHO_EVERY,
};

struct far {
    struct event tick;
    uint32_t packets, sent;
    uint64_t began_us;
    uint32_t rtt_us[ECHOES_MAX];
    size_t nrtts;
    bool told;         /* it our figures */
    bool knows;        /* we know the other end's */
    uint32_t received; /* by it */
};

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    struct far *f = t->state;
    int64_t transit = (int64_t)(pair_now_us() - packet->sent_us);

    (void)by;
    if (packet->kind == PAIR_ECHO && f->nrtts < ECHOES_MAX && transit >= 0 && transit < UINT32_MAX)
        f->rtt_us[f->nrtts++] = (uint32_t)transit;
    else
        pair_take_stream(t->pair, packet);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static double percent(uint32_t received, uint32_t sent)
{
    return received < sent ? 100.0 * (sent - received) / sent : 0;
}

static void judge(struct trial *t)
{
    struct far *f = t->state;
    struct report_measures *m = &t->line->measures;
    double there = percent(f->received, f->packets), back = percent(t->pair->far_way.received, t->pair->far_packets);

    qsort(f->rtt_us, f->nrtts, sizeof(f->rtt_us[0]), by_value);
    m->sent = f->packets + t->pair->far_packets;
    m->received = (f->received < f->packets ? f->received : f->packets) + t->pair->far_way.received;
    m->reordered = t->pair->far_way.reordered;
    m->jitter_us = (uint32_t)t->pair->far_way.jitter_us;
    m->rtt_us = f->nrtts ? f->rtt_us[f->nrtts / 2] : 0;
    if (there > WAY_LOSS_HIGH || back > WAY_LOSS_HIGH) {
        trial_fail(t, CODE_LOSS_HIGH,
                   "%.1f %% of the packets to the other end are lost, and %.1f %% from it; RTT %.1f ms, jitter %.1f ms", there,
                   back, m->rtt_us / 1e3, m->jitter_us / 1e3);
        return;
    }
    trial_note(t, "to the other end loss %.1f %%, from it %.1f %%, RTT %.1f ms, jitter %.1f ms", there, back, m->rtt_us / 1e3,
               m->jitter_us / 1e3);
    trial_pass(t);
}

static void judge_if_known(struct trial *t)
{
    const struct far *f = t->state;

    if (f->told && f->knows)
        judge(t);
}

static void gone(struct trial *t, const char *why)
{
    trial_warn(t, CODE_OTHER_END_MISSING, "the other end has gone before it has told what it has received%s%s", *why ? ": " : "",
               why);
    trial_pass(t);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    struct trial *t = ctx;
    struct far *f = t->state;
    const char *id = json_string_value(json_object_get(params, "call"));
    json_int_t received = json_integer_value(json_object_get(params, "received"));
    char text[MARK_FAILED_MAX];

    if (t->settled || !id || strcmp(id, t->pair->call) != 0 || f->knows)
        return;
    if (strcmp(method, "call.ended") == 0) {
        gone(t, hold_ending(params, text));
    } else if (strcmp(method, "call.stats") == 0) {
        f->knows = true;
        f->received = received > 0 && received < f->packets ? (uint32_t)received : received > 0 ? f->packets : 0;
        judge_if_known(t);
    }
}

static void tell(struct trial *t)
{
    struct far *f = t->state;
    json_int_t received = t->pair->far_way.received, lost = t->pair->far_packets - t->pair->far_way.received;

    f->told = true;
    trial_wait(t, TELL_MS);
    (void)hold_say(t->probe->held, "call.stats",
                   json_pack("{s:s,s:I,s:I}", "call", t->pair->call, "received", received, "lost", lost));
    judge_if_known(t);
}

static void late(struct trial *t)
{
    const struct far *f = t->state;

    if (f->told)
        gone(t, "");
    else
        tell(t);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct trial *t = ctx;
    struct far *f = t->state;
    uint64_t due = (pair_now_us() - f->began_us) / (WAY_INTERVAL_MS * 1000) + 1;

    (void)fd;
    (void)what;
    for (; f->sent < due && f->sent < f->packets; f->sent++)
        (void)pair_send(t->pair, 0, PAIR_STREAM, f->sent, WAY_PAYLOAD);
    if (f->sent == f->packets) {
        event_del(&f->tick);
        trial_wait(t, DRAIN_MS);
    }
}

static void begin(struct trial *t)
{
    const struct timeval interval = {.tv_usec = WAY_INTERVAL_MS * 1000};
    struct far *f;

    if (!t->pair || !t->pair->far || !*t->pair->call || !t->pair->heard[0]) { /* nobody was met */
        trial_pass(t);
        return;
    }
    t->state = f = calloc(1, sizeof(*f));
    if (!f) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    f->packets = trial_ms(t, WAY_SLOW_PACKETS, WAY_QUICK_PACKETS);
    f->began_us = pair_now_us();
    t->pair->heard_packet = on_packet;
    hold_listen(t->probe->held, on_message, t);
    event_assign(&f->tick, t->probe->base, -1, EV_PERSIST, on_tick, t);
    event_add(&f->tick, &interval);
}

/* Whoever is done ends the call: what he has to tell has gone before. */
static void end(struct trial *t)
{
    struct far *f = t->state;

    if (!f)
        return;
    event_del(&f->tick);
    hold_listen(t->probe->held, NULL, NULL);
    hold_hang_up(t->probe->held, t->pair->call, "hangup", NULL);
    t->told = true;
    free(f);
}

const struct step FAR_STEP = {REPORT_QUALITY, RULES_TURN | TRIAL_ANSWER, begin, late, end};
