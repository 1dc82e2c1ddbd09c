/* The first step of quality: a call's packets, both ways over the pair, for some seconds. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "probe/pair.h"
#include "probe/trial.h"
#include "probe/way.h"

enum { DRAIN_MS = 2000 }; /* that the last packets may take: up and down by satellite, with a queue on the way */

struct stream {
    struct event tick;
    unsigned packets, sent; /* each way */
    uint64_t began_us;
    struct way way[2]; /* by the end that hears */
    uint32_t delay_us[2 * WAY_SLOW_PACKETS];
    size_t ndelays;
};

static void judge(struct trial *t);

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    struct stream *s = t->state;
    int64_t transit = (int64_t)(pair_now_us() - packet->sent_us);

    if (packet->kind == PAIR_STREAM && way_take(&s->way[by], packet->sequence, s->packets, transit))
        s->delay_us[s->ndelays++] = (uint32_t)transit; /* each number is taken once, so there is room */
    if (s->way[0].received == s->packets && s->way[1].received == s->packets)
        judge(t); /* there is nothing more to wait for */
}

/* A late timer sends what is due at once. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct trial *t = ctx;
    struct stream *s = t->state;
    uint64_t due = (pair_now_us() - s->began_us) / (WAY_INTERVAL_MS * 1000) + 1;

    (void)fd;
    (void)what;
    for (; s->sent < due && s->sent < s->packets; s->sent++) {
        for (unsigned from = 0; from < 2; from++)
            (void)pair_send(t->pair, from, PAIR_STREAM, s->sent, WAY_PAYLOAD);
    }
    if (s->sent == s->packets) {
        event_del(&s->tick);
        trial_wait(t, DRAIN_MS);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static void judge(struct trial *t)
{
    struct stream *s = t->state;
    struct report_measures *m = &t->line->measures;
    const struct way *a = &s->way[0], *b = &s->way[1];

    m->sent = 2 * s->sent;
    m->received = a->received + b->received;
    m->reordered = a->reordered + b->reordered;
    m->jitter_us = (uint32_t)(a->jitter_us > b->jitter_us ? a->jitter_us : b->jitter_us);
    qsort(s->delay_us, s->ndelays, sizeof(s->delay_us[0]), by_value);
    m->rtt_us = s->ndelays ? s->delay_us[s->ndelays / 2] : 0;
    if (report_loss(m) > WAY_LOSS_HIGH) {
        trial_fail(t, CODE_LOSS_HIGH, "%.1f %% of %u packets are lost over the relay; RTT %.1f ms, jitter %.1f ms", report_loss(m),
                   m->sent, m->rtt_us / 1e3, m->jitter_us / 1e3);
        return;
    }
    trial_note(t, "loss %.1f %%, RTT %.1f ms, jitter %.1f ms", report_loss(m), m->rtt_us / 1e3, m->jitter_us / 1e3);
    trial_pass(t);
}

static void begin(struct trial *t)
{
    const struct timeval interval = {.tv_usec = WAY_INTERVAL_MS * 1000};
    struct stream *s = calloc(1, sizeof(*s));

    t->state = s;
    if (!s) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    s->packets = trial_ms(t, WAY_SLOW_PACKETS, WAY_QUICK_PACKETS);
    s->began_us = pair_now_us();
    t->pair->heard_packet = on_packet;
    event_assign(&s->tick, t->probe->base, -1, EV_PERSIST, on_tick, t);
    event_add(&s->tick, &interval);
}

static void end(struct trial *t)
{
    struct stream *s = t->state;

    t->pair->heard_packet = NULL;
    if (s)
        event_del(&s->tick);
    free(s);
}

const struct step STREAM_STEP = {REPORT_QUALITY, RULES_TURN, begin, judge, end};
