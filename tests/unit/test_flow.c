/* flow: one stream of ours, whatever feeds it; law: a byte for a byte. */
#include "bridge/flow.h"

#include "bridge/law.h"
#include "tests/unit/tap.h"

enum { MS = 1000000 };

static struct flow f;

static struct rtp packet(uint32_t ssrc, uint16_t seq, uint32_t timestamp)
{
    return (struct rtp){.ssrc = ssrc, .seq = seq, .timestamp = timestamp, .type = 8};
}

static void goes_on(void)
{
    struct rtp p = packet(1, 65535, 1000), first;
    flow_init(&f, 0);
    flow_feed(&f, &p, 20 * MS);
    first = p;
    CHECK(p.marker);
    CHECK_INT(p.ssrc, f.ssrc);
    p = packet(1, 0, 1160);
    flow_feed(&f, &p, 40 * MS);
    CHECK(!p.marker);
    CHECK_INT(p.seq, (uint16_t)(first.seq + 1));
    CHECK_INT(p.timestamp, first.timestamp + 160);
    p = packet(1, 2, 1480); /* one is lost, then comes late */
    flow_feed(&f, &p, 80 * MS);
    CHECK_INT(p.seq, (uint16_t)(first.seq + 3));
    p = packet(1, 1, 1320);
    flow_feed(&f, &p, 81 * MS);
    CHECK_INT(p.seq, (uint16_t)(first.seq + 2));
    CHECK_INT(p.timestamp, first.timestamp + 320);
    CHECK_INT(f.seq, (uint16_t)(first.seq + 3));
}

static void new_source(void)
{
    struct rtp p = packet(1, 10, 1000), last;
    flow_init(&f, 0);
    flow_feed(&f, &p, 0);
    last = p;
    p = packet(2, 12, 77); /* 100 ms later another source speaks, with numbers that would fit */
    flow_feed(&f, &p, 100 * MS);
    CHECK(p.marker);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 1));
    CHECK_INT(p.timestamp, last.timestamp + 800);
    CHECK_INT(p.ssrc, last.ssrc);
    last = p;
    p = packet(2, 50000, 5); /* the same begins anew: SRTP would lose count of a jump */
    flow_feed(&f, &p, 120 * MS);
    CHECK(p.marker);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 1));
    last = p;
    p = packet(2, 49000, 5);
    flow_feed(&f, &p, 140 * MS);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 1));
}

static void leaves_out(void)
{
    struct rtp p = packet(1, 10, 1000), last;
    flow_init(&f, 0);
    flow_skip(&f, &p); /* nothing has been fed yet */
    flow_feed(&f, &p, 0);
    last = p;
    p = packet(1, 11, 1160);
    flow_skip(&f, &p);
    p = packet(1, 12, 1320);
    flow_feed(&f, &p, 40 * MS);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 1));
    CHECK_INT(p.timestamp, last.timestamp + 320);
    p = packet(1, 11, 1160); /* once more, late: no number is given twice */
    flow_skip(&f, &p);
    p = packet(1, 13, 1480);
    flow_feed(&f, &p, 60 * MS);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 2));
}

static void inserts(void)
{
    struct rtp p = packet(1, 10, 1000), last, key = {.type = 101};
    flow_init(&f, 0);
    flow_feed(&f, &p, 0);
    last = p;
    flow_insert(&f, &key, false, 30 * MS);
    CHECK_INT(key.seq, (uint16_t)(last.seq + 1));
    CHECK_INT(key.timestamp, last.timestamp + 240);
    CHECK_INT(key.ssrc, last.ssrc);
    flow_insert(&f, &key, true, 50 * MS);
    CHECK_INT(key.seq, (uint16_t)(last.seq + 2));
    CHECK_INT(key.timestamp, last.timestamp + 240);
    p = packet(1, 11, 1160);
    flow_feed(&f, &p, 60 * MS);
    CHECK_INT(p.seq, (uint16_t)(last.seq + 3));
    CHECK_INT(p.timestamp, last.timestamp + 160);
}

static void laws(void)
{
    /* ITU-T G.191's values: silence, both ends, and some between */
    static const uint8_t a[] = {0xD5, 0x55, 0xAA, 0x2A, 0x80, 0x00, 0x85}, mu[] = {0xFE, 0x7E, 0x80, 0x00, 0xA9, 0x29, 0xAE};
    uint8_t all[256], samples[sizeof(a)];
    unsigned same = 0;
    memcpy(samples, a, sizeof(a));
    law_from_a_to_mu(samples, sizeof(samples));
    CHECK_MEM(samples, mu, sizeof(mu));
    for (unsigned i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)i;
    law_from_a_to_mu(all, sizeof(all));
    law_from_mu_to_a(all, sizeof(all));
    for (unsigned i = 0; i < sizeof(all); i++) {
        CHECK_INT(all[i] & 0x80, i & 0x80);
        same += all[i] == i;
    }
    CHECK(same >= 240); /* mu-law has fewer steps where it is quiet */
}

static const struct tap_test tests[] = {
    {"numbers and timestamps of a source go on, reordered ones too", goes_on},
    {"another source, or a jump, goes on where the last one ended", new_source},
    {"what is left out leaves no gap", leaves_out},
    {"a packet of our own stands between those of the source", inserts},
    {"A-law and mu-law map a byte for a byte", laws},
};

TAP_MAIN(tests)
