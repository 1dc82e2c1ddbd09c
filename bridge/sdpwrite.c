#include "bridge/sdp.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Text that is written; after the first overrun nothing more is. */
struct text {
    char *buf;
    size_t len, cap;
    int err;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n;
    if (t->err)
        return;
    va_start(args, format);
    n = vsnprintf(t->buf + t->len, t->cap - t->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= t->cap - t->len)
        t->err = ERR_NOSPC;
    else
        t->len += (size_t)n;
}

static const char *const directions[] = {"inactive", "sendonly", "recvonly", "sendrecv"};

/* The codecs in the order in which we want them. */
static void in_order(enum sdp_codec out[static SDP_CODECS], const struct sdp_text *d)
{
    out[0] = d->pcmu_first ? SDP_PCMU : SDP_PCMA;
    out[1] = d->pcmu_first ? SDP_PCMA : SDP_PCMU;
    out[2] = SDP_CN;
    out[3] = SDP_EVENT;
}

static void put_types(struct text *t, const struct sdp_text *d)
{
    enum sdp_codec order[SDP_CODECS];
    in_order(order, d);
    for (unsigned i = 0; i < SDP_CODECS; i++) {
        if (d->types[order[i]] != SDP_NO_TYPE)
            put(t, " %u", d->types[order[i]]);
    }
    put(t, "\r\n");
}

static void put_maps(struct text *t, const struct sdp_text *d)
{
    static const char *const names[SDP_CODECS] = {
        [SDP_PCMU] = "PCMU/8000", [SDP_PCMA] = "PCMA/8000", [SDP_EVENT] = "telephone-event/8000", [SDP_CN] = "CN/8000"};
    enum sdp_codec order[SDP_CODECS];
    in_order(order, d);
    for (unsigned i = 0; i < SDP_CODECS; i++) {
        uint8_t type = d->types[order[i]];
        if (type == SDP_NO_TYPE)
            continue;
        put(t, "a=rtpmap:%u %s\r\n", type, names[order[i]]);
        if (order[i] == SDP_EVENT)
            put(t, "a=fmtp:%u 0-15\r\n", type);
    }
    put(t, "a=ptime:%d\r\na=%s\r\n", SDP_PTIME_MS, directions[d->direction & SDP_SENDRECV]);
}

static void put_head(struct text *t, const struct sdp_text *d, const char *family, const char *ip)
{
    put(t, "v=0\r\no=- %" PRIu64 " %u IN %s %s\r\ns=-\r\n", d->id, d->version, family, ip);
}

/* A section that we have no use for: refused, with its mid, outside of every group (RFC 8843 section 7.3.3). */
static void put_refused(struct text *t, const struct sdp_section *s)
{
    put(t, "m=%s 0 %s %s\r\n", s->kind, s->proto, s->format);
    if (*s->mid)
        put(t, "a=mid:%s\r\n", s->mid);
}

static void put_browser_audio(struct text *t, const struct sdp_browser *b, const struct sdp_section *s)
{
    /* Port and address come by ICE; these say that they aren't known (RFC 8840 section 4.1.1). */
    put(t, "m=audio 9 %s", s->proto);
    put_types(t, &b->text);
    put(t, "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n");
    if (*s->mid)
        put(t, "a=mid:%s\r\n", s->mid);
    put(t, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\n", b->ufrag, b->pwd);
    put(t, "a=fingerprint:%s\r\na=setup:active\r\na=rtcp-mux\r\n", b->fingerprint);
    /* Without a stream's name a page gets a track that belongs to no stream. An a=ssrc would have to be the real one: none is said. */
    if (b->text.direction & SDP_SEND)
        put(t, "a=msid:turnpike audio\r\n");
    put_maps(t, &b->text);
}

int sdp_write_browser(char *out, size_t cap, const struct sdp_browser *b)
{
    struct text t = {.buf = out, .cap = cap};
    const struct sdp *offer = b->offer;

    put_head(&t, &b->text, "IP4", "0.0.0.0");
    put(&t, "t=0 0\r\n");
    if (offer->bundled)
        put(&t, "a=group:BUNDLE %s\r\n", offer->sections[offer->audio].mid);
    for (unsigned i = 0; i < offer->nsections; i++) {
        if ((int)i == offer->audio)
            put_browser_audio(&t, b, &offer->sections[i]);
        else
            put_refused(&t, &offer->sections[i]);
    }
    return t.err ? t.err : (int)t.len;
}

int sdp_write_pbx(char *out, size_t cap, const struct sdp_pbx *p)
{
    struct text t = {.buf = out, .cap = cap};
    const struct sdp *offer = p->offer;
    const char *family = p->rtp.family == ADDR_V6 ? "IP6" : "IP4";
    unsigned n = offer ? offer->nsections : 1, audio = offer ? (unsigned)offer->audio : 0;
    char ip[ADDR_TEXT_MAX];

    addr_ip_text(&p->rtp, ip);
    put_head(&t, &p->text, family, ip);
    put(&t, "c=IN %s %s\r\nt=0 0\r\n", family, ip);
    for (unsigned i = 0; i < n; i++) {
        if (i != audio) {
            put_refused(&t, &offer->sections[i]);
            continue;
        }
        put(&t, "m=audio %u %s", p->rtp.port, offer ? offer->sections[i].proto : "RTP/AVP");
        put_types(&t, &p->text);
        if (offer && *offer->sections[i].mid)
            put(&t, "a=mid:%s\r\n", offer->sections[i].mid);
        if (offer && offer->mux)
            put(&t, "a=rtcp-mux\r\n");
        put_maps(&t, &p->text);
    }
    return t.err ? t.err : (int)t.len;
}
