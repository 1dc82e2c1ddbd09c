#include "tests/bench/voices.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/wire.h"
#include "bench/meter.h"
#include "bridge/rtp.h"

enum {
    FRAME_MS = 20,      /* of a packet: 50 a second */
    FRAME = 160,        /* bytes of G.711, and samples */
    PCMA = 8,           /* payload type, RFC 3551 */
    SILENCE = 0xD5,     /* of A-law: what the rest of a payload is filled with */
    MAGIC = 0x54504C44, /* begins each payload */
    HEAD = 24,          /* bytes of a payload that mean something */
    MS_NS = 1000000,
    LINE_MAX_BYTES = 64,
};

struct voice {
    bool up;
    struct rtp rtp;
    struct flow out, in; /* `out` counts what was sent, `in` what has come of the other end's */
};

struct voices {
    struct event_base *base;
    unsigned n, up;
    voices_send_cb *send;
    void *ctx;
    struct voice *voice;
    struct event *timer, *orders;
    uint64_t due_ns; /* the next millisecond's turn */
    unsigned turn;   /* of FRAME_MS */
    bool counts;
    struct meter meter;
    char line[LINE_MAX_BYTES];
    size_t len;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- out ---- */
static void speak(struct voices *v, unsigned call)
{
    struct voice *o = &v->voice[call];
    uint8_t buf[RTP_HEADER_LEN + FRAME + VOICES_ROOM];
    struct wire_out w = wire_into(buf + RTP_HEADER_LEN, HEAD);

    rtp_header(buf, &o->rtp);
    o->rtp.seq++;
    o->rtp.timestamp += FRAME;
    memset(buf + RTP_HEADER_LEN, SILENCE, FRAME);
    wire_put_u32(&w, MAGIC);
    wire_put_u32(&w, call);
    wire_put_u32(&w, v->counts);
    wire_put_u32(&w, o->out.sent);
    wire_put_u64(&w, now_ns());
    if (!v->send(v->ctx, call, buf, RTP_HEADER_LEN + FRAME)) {
        v->meter.unsent += v->counts;
        return;
    }
    if (v->counts) {
        o->out.sent++;
        v->meter.sent++;
    }
}

/* Each millisecond some of the calls, so that they come as calls do: at any time, not all at once. */
static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
    struct voices *v = ctx;
    uint64_t now = now_ns();
    (void)fd;
    (void)what;
    if (now - v->due_ns >
        (uint64_t)FRAME_MS * MS_NS) /* what a process that had no processor has missed is not made up for in one burst */
        v->due_ns = now;
    for (; v->due_ns <= now; v->due_ns += MS_NS, v->turn = (v->turn + 1) % FRAME_MS) {
        for (unsigned i = v->turn; i < v->n; i += FRAME_MS) {
            if (v->voice[i].up)
                speak(v, i);
        }
    }
}

/* ---- in ---- */
void voices_heard(struct voices *v, unsigned call, const uint8_t *packet, size_t len)
{
    uint64_t now = now_ns(), sent;
    struct rtp rtp;
    struct wire w;
    uint32_t magic, of, counted, number;
    enum flow_verdict verdict;

    if (rtp_decode(&rtp, packet, len))
        return;
    w = wire_over(rtp.payload, rtp.len);
    magic = wire_u32(&w);
    of = wire_u32(&w);
    counted = wire_u32(&w);
    number = wire_u32(&w);
    sent = wire_u64(&w);
    if (w.err || magic != MAGIC || rtp.len != FRAME) {
        v->meter.foreign++;
        return;
    }
    if (of != call) {
        v->meter.crosstalk++;
        return;
    }
    if (!counted)
        return;
    verdict = flow_receive(&v->voice[call].in, number);
    if (verdict == FLOW_DUPLICATE) {
        v->meter.duplicates++;
        return;
    }
    v->meter.received++;
    v->meter.reordered += verdict == FLOW_REORDERED;
    histogram_add(&v->meter.delay, now > sent ? now - sent : 0);
}

/* ---- orders ---- */
void voices_say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text ? text : "{}");
    fflush(stdout);
    free(text);
    json_decref(line);
}

/* Of each call, what it has sent and what has come: the other end knows the other half. */
static json_t *report(const struct voices *v)
{
    const struct meter *m = &v->meter;
    json_t *sent = json_array(), *received = json_array();
    for (unsigned i = 0; i < v->n; i++) {
        json_array_append_new(sent, json_integer(v->voice[i].out.sent));
        json_array_append_new(received, json_integer(v->voice[i].in.received));
    }
    return json_pack("{s:s,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:{s:f,s:f,s:f,s:f}}", "event", "report", "sent", sent, "received", received,
                     "unsent", (json_int_t)m->unsent, "duplicates", (json_int_t)m->duplicates, "reordered",
                     (json_int_t)m->reordered, "crosstalk", (json_int_t)m->crosstalk, "foreign", (json_int_t)m->foreign, "delay_ms",
                     "p50", (double)histogram_quantile(&m->delay, 500) / MS_NS, "p99",
                     (double)histogram_quantile(&m->delay, 990) / MS_NS, "p999", (double)histogram_quantile(&m->delay, 999) / MS_NS,
                     "max", (double)m->delay.max_ns / MS_NS);
}

static void obey(struct voices *v, const char *line)
{
    if (strcmp(line, "go") == 0)
        v->counts = true;
    else if (strcmp(line, "stop") == 0)
        v->counts = false;
    else if (strcmp(line, "report") == 0)
        voices_say(report(v));
}

static void on_orders(evutil_socket_t fd, short what, void *ctx)
{
    struct voices *v = ctx;
    ssize_t n = read(fd, v->line + v->len, sizeof(v->line) - 1 - v->len);
    char *end;
    (void)what;
    if (n <= 0) {
        event_base_loopbreak(v->base);
        return;
    }
    v->len += (size_t)n;
    v->line[v->len] = '\0';
    while ((end = strchr(v->line, '\n')) != NULL) {
        *end = '\0';
        obey(v, v->line);
        v->len -= (size_t)(end + 1 - v->line);
        memmove(v->line, end + 1, v->len + 1);
    }
}

/* ---- begin and end ---- */
struct voices *voices_new(struct event_base *base, unsigned calls, voices_send_cb *send, void *ctx)
{
    static const struct timeval interval = {.tv_usec = 1000};
    struct voices *v = calloc(1, sizeof(*v));
    if (!v || !(v->voice = calloc(calls, sizeof(*v->voice))))
        abort();
    v->base = base;
    v->n = calls;
    v->send = send;
    v->ctx = ctx;
    v->due_ns = now_ns();
    for (unsigned i = 0; i < calls; i++)
        v->voice[i].rtp = (struct rtp){.type = PCMA, .ssrc = 0x1000 + i};
    v->timer = event_new(base, -1, EV_PERSIST, on_turn, v);
    v->orders = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_orders, v);
    if (!v->timer || !v->orders || event_add(v->timer, &interval) || event_add(v->orders, NULL))
        abort();
    return v;
}

void voices_free(struct voices **slot)
{
    struct voices *v = *slot;
    if (!v)
        return;
    event_free(v->timer);
    event_free(v->orders);
    free(v->voice);
    free(v);
    *slot = NULL;
}

void voices_up(struct voices *v, unsigned call, bool up)
{
    v->up += (unsigned)up - (unsigned)v->voice[call].up;
    v->voice[call].up = up;
}

unsigned voices_are_up(const struct voices *v)
{
    return v->up;
}
