#include "bridge/mediaparts.h"

#include <string.h>

#include "base/random.h"

static const char cname[] = "turnpike-bridge";

static uint64_t ntp(const struct media *m, uint64_t now_ns)
{
    return rtcp_ntp(now_ns + m->hub->ntp_offset_ns);
}

/* ---- in ---- */
void media_rtcp(struct media *m, struct media_side *side, const uint8_t *buf, size_t len)
{
    uint64_t now = ntp(m, media_now_ns());
    struct wire w = wire_over(buf, len);
    struct rtcp r;

    while (rtcp_next(&w, &r) == 1) {
        if (r.type == RTCP_SR)
            rtcp_source_sr(&side->in, &r, now);
        for (unsigned i = 0; i < r.nblocks; i++) {
            struct rtcp_block b = rtcp_block_at(&r, i);
            double rtt = b.ssrc == side->out.ssrc ? rtcp_rtt(&b, now) : -1;
            if (rtt >= 0)
                side->rtt_s = rtt;
        }
    }
}

/* ---- out ---- */
static size_t write_report(struct media *m, struct media_side *side, uint64_t now_ns, bool bye, uint8_t out[static RTCP_REPORT_MAX])
{
    struct rtcp_block block;
    struct rtcp_report r = {
        .ssrc = side->out.ssrc,
        .sender = side->out.packets > 0,
        .ntp = ntp(m, now_ns),
        .timestamp = flow_timestamp(&side->out, now_ns),
        .packets = side->out.packets,
        .octets = side->out.octets,
        .cname = cname,
        .bye = bye,
    };
    if (rtcp_source_block(&side->in, r.ntp, &block))
        r.block = &block;
    return rtcp_report(out, &r);
}

void media_send_rtcp_browser(struct media *m, uint8_t *buf, size_t len)
{
    /* What doesn't go out is made up for by the next report. */
    if (m->secure && m->consent && secure_protect_rtcp(m->secure, buf, &len) == 0)
        (void)ice_send(m->ice, buf, len);
}

static void report(struct media *m, struct media_side *side, uint64_t now_ns, bool bye)
{
    uint8_t buf[RTCP_REPORT_MAX + SECURE_TRAILER_MAX];
    size_t len = write_report(m, side, now_ns, bye, buf);
    if (side == &m->browser)
        media_send_rtcp_browser(m, buf, len);
    else
        (void)leg_send_rtcp(m->leg, buf, len);
}

/* RFC 3550 section 6.3.1: anything from half to one and a half times the interval, so that calls don't report in step. */
static uint64_t some_time(void)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    return (MEDIA_REPORT_MS / 2 + random % MEDIA_REPORT_MS) * (uint64_t)MS_NS;
}

void media_reports(struct media *m, uint64_t now_ns)
{
    struct media_side *sides[] = {&m->browser, &m->pbx};
    for (unsigned i = 0; i < 2; i++) {
        struct media_side *side = sides[i];
        if (!side->heard && side->out.packets == 0)
            continue;
        if (side->report_ns && now_ns >= side->report_ns)
            report(m, side, now_ns, false);
        if (!side->report_ns || now_ns >= side->report_ns)
            side->report_ns = now_ns + some_time();
    }
}

void media_bye(struct media *m)
{
    uint64_t now = media_now_ns();
    if (m->browser.out.packets)
        report(m, &m->browser, now, true);
    if (m->pbx.out.packets)
        report(m, &m->pbx, now, true);
}
