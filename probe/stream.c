/* The first step of quality: a call's packets, both ways over the pair, for some seconds. */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "probe/pair.h"
#include "probe/trial.h"

enum {
    INTERVAL_MS = 20,   /* a telephone's */
    PAYLOAD = 172,      /* bytes of 20 ms of G.711 in RTP */
    SLOW_PACKETS = 500, /* each way: ten seconds */
    QUICK_PACKETS = 150,
    DRAIN_MS = 500, /* that the last packets may take */
    LOSS_HIGH = 2,  /* per cent: beyond, G.711 with concealment is heard to suffer */
};

/* One way of the stream. */
struct way {
    uint32_t received, highest, reordered;
    int64_t transit_us; /* of the last packet */
    double jitter_us;   /* RFC 3550 section 6.4.1 */
    uint8_t seen[(SLOW_PACKETS + 7) / 8];
};

struct stream {
    struct event tick;
    unsigned packets, sent; /* each way */
    uint64_t began_us;
    struct way way[2]; /* by the end that hears */
    uint32_t delay_us[2 * SLOW_PACKETS];
    size_t ndelays;
};

static void take_delay(struct stream *s, struct way *w, uint64_t sent_us)
{
    int64_t transit = (int64_t)(pair_now_us() - sent_us), d = transit - w->transit_us;

    if (w->received > 1)
        w->jitter_us += ((double)(d < 0 ? -d : d) - w->jitter_us) / 16;
    w->transit_us = transit;
    s->delay_us[s->ndelays++] = (uint32_t)transit; /* each number is taken once, so there is room */
}

static void on_packet(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    struct stream *s = t->state;
    struct way *w = &s->way[by];
    uint32_t n = packet->sequence;

    if (packet->kind != PAIR_STREAM || n >= s->packets || (w->seen[n / 8] & 1U << n % 8))
        return;
    w->seen[n / 8] |= (uint8_t)(1U << n % 8);
    w->received++;
    if (n < w->highest)
        w->reordered++;
    else
        w->highest = n;
    take_delay(s, w, packet->sent_us);
}

/* A late timer sends what is due at once. */
static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct trial *t = ctx;
    struct stream *s = t->state;
    uint64_t due = (pair_now_us() - s->began_us) / (INTERVAL_MS * 1000) + 1;

    (void)fd;
    (void)what;
    for (; s->sent < due && s->sent < s->packets; s->sent++) {
        for (unsigned from = 0; from < 2; from++)
            (void)pair_send(t->pair, from, PAIR_STREAM, s->sent, PAYLOAD);
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
    if (report_loss(m) > LOSS_HIGH) {
        trial_fail(t, CODE_LOSS_HIGH, "%.1f %% of %u packets are lost over the relay; RTT %.1f ms, jitter %.1f ms", report_loss(m),
                   m->sent, m->rtt_us / 1e3, m->jitter_us / 1e3);
        return;
    }
    trial_note(t, "loss %.1f %%, RTT %.1f ms, jitter %.1f ms", report_loss(m), m->rtt_us / 1e3, m->jitter_us / 1e3);
    trial_pass(t);
}

static void begin(struct trial *t)
{
    const struct timeval interval = {.tv_usec = INTERVAL_MS * 1000};
    struct stream *s = calloc(1, sizeof(*s));

    t->state = s;
    if (!s) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    s->packets = trial_ms(t, SLOW_PACKETS, QUICK_PACKETS);
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
