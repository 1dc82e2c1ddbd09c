#include "bridge/mediaparts.h"

#include <string.h>

#include "base/err.h"

enum {
    STEP_MS = 20, /* between an event's packets, RFC 4733 section 2.5.1.2: as voice */
    STEP_UNITS = FLOW_CLOCK_HZ / 1000 * STEP_MS,
    STEPS = 5,      /* 100 ms a key */
    PAUSE_MS = 70,  /* between two keys: what exchanges need to tell them apart */
    END_COPIES = 3, /* section 2.5.1.4 */
    VOLUME = 10,    /* -10 dBm0 */
};

static void again_in(struct media *m, int ms)
{
    struct timeval tv = {.tv_usec = ms * 1000};
    evtimer_add(&m->keys.timer, &tv);
}

static void send_step(struct media *m, bool end)
{
    struct media_keys *k = &m->keys;
    struct rtp p = {.type = m->pbx.types[SDP_EVENT], .marker = k->step == 0, .timestamp = k->timestamp};
    struct rtp_event e = {.event = (uint8_t)rtp_digit_event(k->waiting[0]),
                          .end = end,
                          .volume = VOLUME,
                          .duration = (uint16_t)((k->step + 1) * STEP_UNITS)};
    uint8_t buf[RTP_HEADER_LEN + RTP_EVENT_LEN];

    flow_insert(&m->pbx.out, &p, k->step > 0, media_now_ns());
    k->timestamp = p.timestamp;
    rtp_header(buf, &p);
    rtp_event_encode(buf + RTP_HEADER_LEN, &e);
    if (leg_send(m->leg, buf, sizeof(buf)) == 0)
        flow_sent(&m->pbx.out, RTP_EVENT_LEN);
}

/* A step of the key that is pressed; behind its last one a pause. */
static void on_step(evutil_socket_t fd, short what, void *ctx)
{
    struct media *m = ctx;
    struct media_keys *k = &m->keys;
    bool end = k->step == STEPS - 1;
    (void)fd;
    (void)what;

    if (k->n == 0 || m->pbx.types[SDP_EVENT] == SDP_NO_TYPE) {
        k->n = 0;
        k->pressed = false;
        return;
    }
    k->pressed = true;
    for (unsigned i = 0; i < (end ? END_COPIES : 1U); i++)
        send_step(m, end);
    k->step++;
    if (!end) {
        again_in(m, STEP_MS);
        return;
    }
    memmove(k->waiting, k->waiting + 1, --k->n);
    k->step = 0;
    k->pressed = false;
    again_in(m, PAUSE_MS);
}

int media_dtmf(struct media *m, const char *digits)
{
    struct media_keys *k = &m->keys;
    size_t n = strlen(digits);

    if (m->pbx.types[SDP_EVENT] == SDP_NO_TYPE)
        return ERR_NOTSUP;
    for (size_t i = 0; i < n; i++) {
        if (rtp_digit_event(digits[i]) < 0)
            return ERR_INVAL;
    }
    if (n == 0)
        return ERR_INVAL;
    if (n > MEDIA_DIGITS_MAX - k->n)
        return ERR_NOSPC;
    memcpy(k->waiting + k->n, digits, n);
    k->n += (unsigned)n;
    if (!evtimer_pending(&k->timer, NULL))
        again_in(m, 0);
    return 0;
}

void media_keys_init(struct media *m)
{
    evtimer_assign(&m->keys.timer, m->hub->config.base, on_step, m);
}

void media_keys_stop(struct media *m)
{
    event_del(&m->keys.timer);
}
