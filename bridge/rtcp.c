#include "bridge/rtcp.h"

#include <string.h>

#include "base/err.h"

enum {
    VERSION = 2,
    PADDING = 0x20, /* bit of the first byte */
    COUNT = 0x1F,
    SENDER_LEN = 20,    /* bytes of sender information in an SR */
    SDES_CNAME = 1,     /* section 6.5.1 */
    DROPOUT_MAX = 3000, /* a jump ahead that is loss; a longer one is a new run, appendix A.1 */
    MISORDER_MAX = 100, /* packets late */
    SEQ_MOD = 1 << 16,
    LOST_MAX = 0x7FFFFF, /* of the 24 bits of a block */
    JITTER_GAIN = 16,    /* appendix A.8 */
    RTT_MAX_S = 60,      /* what is longer is a clock that has jumped, or a lie */
};

static const uint64_t ntp_epoch_s = 2208988800U; /* 1900 to 1970, RFC 5905 figure 4 */

static void read_sender(struct wire *w, struct rtcp *out)
{
    out->ntp = wire_u64(w);
    out->timestamp = wire_u32(w);
    out->packets = wire_u32(w);
    out->octets = wire_u32(w);
}

/* The part of one packet behind its first four bytes. */
static int read_body(struct rtcp *out, unsigned count, struct wire *body)
{
    bool report = out->type == RTCP_SR || out->type == RTCP_RR;
    if (report || ((out->type == RTCP_SDES || out->type == RTCP_BYE) && count > 0))
        out->ssrc = wire_u32(body);
    if (out->type == RTCP_SR)
        read_sender(body, out);
    if (report) {
        out->nblocks = count;
        out->blocks = wire_bytes(body, (size_t)count * RTCP_BLOCK_LEN);
    }
    return body->err ? ERR_MALFORMED : 0;
}

int rtcp_next(struct wire *w, struct rtcp *out)
{
    uint8_t first;
    size_t len;
    const uint8_t *bytes;
    struct wire body;
    int err;

    *out = (struct rtcp){0};
    if (wire_left(w) == 0)
        return w->err;
    first = wire_u8(w);
    out->type = wire_u8(w);
    len = 4 * (size_t)wire_u16(w);
    bytes = wire_bytes(w, len);
    if (w->err)
        return w->err;
    if (first >> 6 != VERSION || ((first & PADDING) && (len == 0 || bytes[len - 1] == 0 || bytes[len - 1] > len)))
        return ERR_MALFORMED;
    body = wire_over(bytes, first & PADDING ? len - bytes[len - 1] : len);
    err = read_body(out, first & COUNT, &body);
    return err ? err : 1;
}

struct rtcp_block rtcp_block_at(const struct rtcp *r, unsigned n)
{
    struct wire w = wire_over(r->blocks + (size_t)n * RTCP_BLOCK_LEN, RTCP_BLOCK_LEN);
    struct rtcp_block b = {.ssrc = wire_u32(&w)};
    uint32_t lost = wire_u32(&w);
    b.fraction = (uint8_t)(lost >> 24);
    lost &= 0xFFFFFF;
    b.lost = (int32_t)lost - (lost > LOST_MAX ? 0x1000000 : 0);
    b.highest = wire_u32(&w);
    b.jitter = wire_u32(&w);
    b.lsr = wire_u32(&w);
    b.dlsr = wire_u32(&w);
    return b;
}

/* A packet's first four bytes; the length is patched by `end`. */
static size_t begin(struct wire_out *w, uint8_t count, uint8_t type)
{
    size_t at = w->len;
    wire_put_u8(w, (uint8_t)(VERSION << 6 | count));
    wire_put_u8(w, type);
    wire_put_u16(w, 0);
    return at;
}

static void end(struct wire_out *w, size_t at)
{
    wire_put_zeros(w, (4 - w->len % 4) % 4);
    wire_patch_u16(w, at + 2, (uint16_t)((w->len - at) / 4 - 1));
}

static void put_block(struct wire_out *w, const struct rtcp_block *b)
{
    wire_put_u32(w, b->ssrc);
    wire_put_u32(w, (uint32_t)b->fraction << 24 | ((uint32_t)b->lost & 0xFFFFFF));
    wire_put_u32(w, b->highest);
    wire_put_u32(w, b->jitter);
    wire_put_u32(w, b->lsr);
    wire_put_u32(w, b->dlsr);
}

size_t rtcp_report(uint8_t out[static RTCP_REPORT_MAX], const struct rtcp_report *r)
{
    struct wire_out w = wire_into(out, RTCP_REPORT_MAX);
    size_t name = strnlen(r->cname, RTCP_CNAME_MAX), at = begin(&w, r->block ? 1 : 0, r->sender ? RTCP_SR : RTCP_RR);

    wire_put_u32(&w, r->ssrc);
    if (r->sender) {
        wire_put_u64(&w, r->ntp);
        wire_put_u32(&w, r->timestamp);
        wire_put_u32(&w, r->packets);
        wire_put_u32(&w, r->octets);
    }
    if (r->block)
        put_block(&w, r->block);
    end(&w, at);

    at = begin(&w, 1, RTCP_SDES);
    wire_put_u32(&w, r->ssrc);
    wire_put_u8(&w, SDES_CNAME);
    wire_put_u8(&w, (uint8_t)name);
    wire_put(&w, r->cname, name);
    wire_put_u8(&w, 0); /* ends the list of items */
    end(&w, at);

    if (r->bye) {
        at = begin(&w, 1, RTCP_BYE);
        wire_put_u32(&w, r->ssrc);
        end(&w, at);
    }
    return w.len;
}

/* ---- a source ---- */
static void start(struct rtcp_source *s, uint32_t ssrc, uint16_t seq)
{
    s->lost_before = rtcp_source_lost(s);
    s->started = true;
    s->timed = false;
    if (s->ssrc != ssrc)
        s->lsr = 0;
    s->ssrc = ssrc;
    s->max_seq = seq;
    s->base = seq;
    s->bad = SEQ_MOD + 1;
    s->cycles = s->received = s->expected_prior = s->received_prior = 0;
}

/* Appendix A.1, without probation: what comes here was let in by address or key. False: the packet is of no run that we know. */
static bool update_seq(struct rtcp_source *s, uint16_t seq)
{
    uint16_t ahead = (uint16_t)(seq - s->max_seq);
    if (ahead < DROPOUT_MAX) {
        if (seq < s->max_seq)
            s->cycles += SEQ_MOD;
        s->max_seq = seq;
        return true;
    }
    if (ahead <= SEQ_MOD - MISORDER_MAX) {
        if (seq != s->bad) {
            s->bad = (seq + 1U) % SEQ_MOD;
            return false;
        }
        /* Two in a row: the other side has begun anew without telling. */
        start(s, s->ssrc, seq);
    }
    return true;
}

void rtcp_source_packet(struct rtcp_source *s, uint32_t ssrc, uint16_t seq, uint32_t timestamp, uint32_t arrival, bool timed)
{
    uint32_t transit = arrival - timestamp;
    int32_t d;

    if (!s->started || s->ssrc != ssrc)
        start(s, ssrc, seq);
    else if (!update_seq(s, seq))
        return;
    s->received++;
    if (!timed)
        return;
    d = (int32_t)(transit - s->transit);
    if (s->timed)
        s->jitter += ((d < 0 ? -(double)d : (double)d) - s->jitter) / JITTER_GAIN;
    s->transit = transit;
    s->timed = true;
}

void rtcp_source_sr(struct rtcp_source *s, const struct rtcp *sr, uint64_t ntp_now)
{
    if (!s->started || sr->ssrc != s->ssrc)
        return;
    s->lsr = (uint32_t)(sr->ntp >> 16);
    s->sr_ntp = ntp_now;
}

static uint32_t expected(const struct rtcp_source *s)
{
    return s->started ? s->cycles + s->max_seq - s->base + 1 : 0;
}

bool rtcp_source_block(struct rtcp_source *s, uint64_t ntp_now, struct rtcp_block *out)
{
    uint32_t now = expected(s), expected_interval = now - s->expected_prior, received_interval = s->received - s->received_prior;
    int64_t lost = (int64_t)now - s->received;

    if (!s->started)
        return false;
    *out = (struct rtcp_block){.ssrc = s->ssrc, .highest = s->cycles + s->max_seq, .jitter = (uint32_t)s->jitter, .lsr = s->lsr};
    if (received_interval < expected_interval)
        out->fraction = (uint8_t)(((uint64_t)(expected_interval - received_interval) << 8) / expected_interval);
    out->lost = (int32_t)(lost > LOST_MAX ? LOST_MAX : lost < -LOST_MAX ? -LOST_MAX : lost);
    if (s->lsr)
        out->dlsr = (uint32_t)((ntp_now - s->sr_ntp) >> 16);
    s->expected_prior = now;
    s->received_prior = s->received;
    return true;
}

uint64_t rtcp_source_lost(const struct rtcp_source *s)
{
    uint32_t now = expected(s);
    return s->lost_before + (now > s->received ? now - s->received : 0);
}

double rtcp_rtt(const struct rtcp_block *b, uint64_t ntp_now)
{
    int32_t units = (int32_t)((uint32_t)(ntp_now >> 16) - b->lsr - b->dlsr);
    if (!b->lsr || units < 0 || units > RTT_MAX_S * 65536)
        return -1;
    return units / 65536.0;
}

uint64_t rtcp_ntp(uint64_t unix_ns)
{
    uint64_t s = unix_ns / 1000000000, ns = unix_ns % 1000000000;
    return (s + ntp_epoch_s) << 32 | ((ns << 32) / 1000000000);
}
