#include "bridge/mediaparts.h"

#include <string.h>

#include "base/err.h"
#include "bridge/law.h"

/* One packet on its way through: where it lies, and what it became. */
struct passage {
    struct rtp rtp;
    enum sdp_codec codec;
    uint8_t *start; /* of the packet that goes out, in the buffer of the one that came in */
    size_t len;
};

void media_know_types(struct media_side *side, const uint8_t types[static SDP_CODECS])
{
    for (unsigned i = 0; i < SDP_CODECS; i++) {
        if (types[i] < MEDIA_TYPES)
            side->codecs[types[i]] = (uint8_t)i;
    }
}

static uint32_t arrival(uint64_t now_ns)
{
    return (uint32_t)(now_ns / (1000000000 / FLOW_CLOCK_HZ));
}

/* What has come: read and counted. False: not RTP. A type that was not agreed on is SDP_CODECS, and goes nowhere. */
static bool take(struct media_side *from, uint8_t *buf, size_t len, uint64_t now_ns, struct passage *p)
{
    if (rtp_decode(&p->rtp, buf, len))
        return false;
    p->codec = from->codecs[p->rtp.type];
    rtcp_source_packet(&from->in, p->rtp.ssrc, p->rtp.seq, p->rtp.timestamp, arrival(now_ns),
                       p->codec != SDP_EVENT && p->codec != SDP_CODECS);
    from->heard = true;
    from->count.packets_in++;
    from->count.bytes_in += p->rtp.len;
    return true;
}

/* The payload type at the other side; the samples are mapped to the other law where it has that one alone. */
static uint8_t map_type(const struct media_side *to, struct passage *p, uint8_t *payload)
{
    uint8_t type = p->codec < SDP_CODECS ? to->types[p->codec] : SDP_NO_TYPE;
    if (type != SDP_NO_TYPE)
        return type;
    if (p->codec == SDP_PCMA && to->types[SDP_PCMU] != SDP_NO_TYPE) {
        law_from_a_to_mu(payload, p->rtp.len);
        return to->types[SDP_PCMU];
    }
    if (p->codec == SDP_PCMU && to->types[SDP_PCMA] != SDP_NO_TYPE) {
        law_from_mu_to_a(payload, p->rtp.len);
        return to->types[SDP_PCMA];
    }
    return SDP_NO_TYPE;
}

/* Makes what was taken a packet of ours, in place: the payload stays where it is, the new head ends where it begins. False: the other side has no use for it. */
static bool turn(struct media_side *to, uint8_t *buf, struct passage *p, bool silenced, uint64_t now_ns)
{
    uint8_t *payload = buf + (p->rtp.payload - buf);
    uint8_t type = to->open && !silenced ? map_type(to, p, payload) : SDP_NO_TYPE;

    if (type == SDP_NO_TYPE) {
        flow_skip(&to->out, &p->rtp);
        return false;
    }
    p->rtp.type = type;
    flow_feed(&to->out, &p->rtp, now_ns);
    p->start = payload - RTP_HEADER_LEN;
    p->len = RTP_HEADER_LEN + p->rtp.len;
    rtp_header(p->start, &p->rtp);
    return true;
}

static void went_out(struct media *m, struct media_side *from, struct media_side *to, const struct passage *p, uint64_t now_ns)
{
    flow_sent(&to->out, p->rtp.len);
    to->count.bytes_out += p->rtp.len;
    from->forwarded = true;
    if (!m->audio_ns && m->browser.forwarded && m->pbx.forwarded)
        m->audio_ns = now_ns;
}

/* False: nothing that the browser has sent. */
static bool browser_rtp(struct media *m, uint8_t *buf, size_t len, uint64_t now_ns)
{
    struct passage p;
    if (secure_unprotect(m->secure, buf, &len))
        return false;
    if (!take(&m->browser, buf, len, now_ns, &p))
        return true;
    if (turn(&m->pbx, buf, &p, m->keys.pressed, now_ns) && leg_send(m->leg, p.start, p.len) == 0)
        went_out(m, &m->browser, &m->pbx, &p, now_ns);
    return true;
}

void media_from_browser(struct media *m, uint8_t *buf, size_t len)
{
    uint64_t now = media_now_ns();
    if (!m->secure)
        return;
    if (rtp_is_rtcp(buf, len)) {
        if (secure_unprotect_rtcp(m->secure, buf, &len))
            return;
        media_rtcp(m, &m->browser, buf, len);
    } else if (!browser_rtp(m, buf, len, now)) {
        return;
    }
    m->heard_ns = now;
    /* The path was silent, and isn't any more. */
    if (m->state == MEDIA_RECONNECTING && m->consent)
        media_tell_state(m, MEDIA_CONNECTED);
}

/* An event is told when it begins, once: each of its packets has the timestamp of the begin. */
static void note_event(struct media *m, const struct rtp *rtp)
{
    struct rtp_event e;
    if (rtp_event_decode(&e, rtp->payload, rtp->len) || !rtp_event_digit(e.event))
        return;
    if (m->event_seen && (int32_t)(rtp->timestamp - m->event_timestamp) <= 0)
        return;
    m->event_seen = true;
    m->event_timestamp = rtp->timestamp;
    media_tell_digit(m, rtp_event_digit(e.event));
}

static void pbx_rtp(struct media *m, uint8_t *buf, size_t len, uint64_t now_ns)
{
    struct passage p;
    uint32_t before = m->pbx.in.ssrc;

    if (!take(&m->pbx, buf, len, now_ns, &p))
        return;
    if (p.rtp.ssrc != before)
        m->event_seen = false; /* another source has other timestamps */
    if (p.codec == SDP_EVENT)
        note_event(m, &p.rtp);
    if (!m->secure || !m->consent || !turn(&m->browser, buf, &p, false, now_ns))
        return;
    if (secure_protect(m->secure, p.start, &p.len) == 0 && ice_send(m->ice, p.start, p.len) == 0)
        went_out(m, &m->pbx, &m->browser, &p, now_ns);
}

void media_from_pbx(struct media *m, uint8_t *buf, size_t len)
{
    if (rtp_is_rtcp(buf, len))
        media_rtcp(m, &m->pbx, buf, len);
    else
        pbx_rtp(m, buf, len, media_now_ns());
}
