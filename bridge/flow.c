#include "bridge/flow.h"

#include "base/random.h"

enum {
    AHEAD_MAX = 3000, /* numbers that a source may jump: RFC 3550 appendix A.1; beyond that SRTP would lose count */
    BEHIND_MAX = 100,
};

void flow_init(struct flow *f, uint64_t now_ns)
{
    *f = (struct flow){.at_ns = now_ns};
    random_bytes(&f->ssrc, sizeof(f->ssrc));
    random_bytes(&f->seq, sizeof(f->seq));
    random_bytes(&f->timestamp, sizeof(f->timestamp));
    f->seq &= 0x7FFF; /* RFC 3711 section 3.3.1: a first number that wraps at once, and is lost, costs the index */
}

uint32_t flow_timestamp(const struct flow *f, uint64_t now_ns)
{
    return f->timestamp + (uint32_t)((now_ns - f->at_ns) / (1000000000 / FLOW_CLOCK_HZ));
}

static int distance(uint16_t a, uint16_t b)
{
    uint16_t ahead = (uint16_t)(a - b);
    return ahead < 0x8000 ? ahead : ahead - 0x10000;
}

void flow_feed(struct flow *f, struct rtp *p, uint64_t now_ns)
{
    int ahead = distance((uint16_t)(p->seq + f->seq_shift), f->seq);

    if (!f->fed || f->source != p->ssrc || ahead > AHEAD_MAX || ahead < -BEHIND_MAX) {
        f->fed = true;
        f->source = p->ssrc;
        f->seq_shift = (uint16_t)(f->seq + 1 - p->seq);
        f->time_shift = flow_timestamp(f, now_ns) - p->timestamp;
        p->marker = true;
        ahead = 1;
    }
    p->seq = (uint16_t)(p->seq + f->seq_shift);
    p->timestamp += f->time_shift;
    p->ssrc = f->ssrc;
    if (ahead > 0) {
        f->seq = p->seq;
        f->timestamp = p->timestamp;
        f->at_ns = now_ns;
    }
}

void flow_skip(struct flow *f, const struct rtp *p)
{
    /* One that comes late leaves its gap. */
    if (f->fed && f->source == p->ssrc && distance((uint16_t)(p->seq + f->seq_shift), f->seq) > 0)
        f->seq_shift--;
}

void flow_insert(struct flow *f, struct rtp *p, bool timed, uint64_t now_ns)
{
    p->seq = ++f->seq;
    p->ssrc = f->ssrc;
    f->seq_shift++;
    if (timed)
        return;
    p->timestamp = flow_timestamp(f, now_ns);
    f->timestamp = p->timestamp;
    f->at_ns = now_ns;
}

void flow_sent(struct flow *f, size_t payload_len)
{
    f->packets++;
    f->octets += (uint32_t)payload_len;
}
