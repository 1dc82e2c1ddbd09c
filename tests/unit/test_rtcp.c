/* rtcp: compound packets, and the numbers of RFC 3550's appendix. */
#include "bridge/rtcp.h"

#include "base/err.h"
#include "tests/unit/tap.h"

static void round_trip(void)
{
    static const struct rtcp_block block = {
        .ssrc = 7, .fraction = 64, .lost = -3, .highest = 0x10005, .jitter = 9, .lsr = 1, .dlsr = 2};
    struct rtcp_report report = {.ssrc = 5,
                                 .sender = true,
                                 .ntp = 0x0102030405060708,
                                 .timestamp = 160,
                                 .packets = 2,
                                 .octets = 320,
                                 .block = &block,
                                 .cname = "turnpike",
                                 .bye = true};
    uint8_t buf[RTCP_REPORT_MAX];
    size_t len = rtcp_report(buf, &report);
    struct wire w = wire_over(buf, len);
    struct rtcp r;
    struct rtcp_block b;

    CHECK_INT(len % 4, 0);
    CHECK_INT(rtcp_next(&w, &r), 1);
    CHECK_INT(r.type, RTCP_SR);
    CHECK_INT(r.ssrc, 5);
    CHECK(r.ntp == report.ntp);
    CHECK_INT(r.timestamp, 160);
    CHECK_INT(r.packets, 2);
    CHECK_INT(r.octets, 320);
    CHECK_INT(r.nblocks, 1);
    b = rtcp_block_at(&r, 0);
    CHECK_INT(b.ssrc, 7);
    CHECK_INT(b.fraction, 64);
    CHECK_INT(b.lost, -3);
    CHECK_INT(b.highest, 0x10005);
    CHECK_INT(b.jitter, 9);
    CHECK_INT(b.lsr, 1);
    CHECK_INT(b.dlsr, 2);
    CHECK_INT(rtcp_next(&w, &r), 1);
    CHECK_INT(r.type, RTCP_SDES);
    CHECK_INT(r.ssrc, 5);
    CHECK_INT(rtcp_next(&w, &r), 1);
    CHECK_INT(r.type, RTCP_BYE);
    CHECK_INT(rtcp_next(&w, &r), 0);

    report.sender = report.bye = false;
    report.block = NULL;
    report.cname = "a name that is so long that no report has room for it";
    len = rtcp_report(buf, &report);
    w = wire_over(buf, len);
    CHECK_INT(rtcp_next(&w, &r), 1);
    CHECK_INT(r.type, RTCP_RR);
    CHECK_INT(r.nblocks, 0);
    CHECK_INT(rtcp_next(&w, &r), 1);
    CHECK_INT(rtcp_next(&w, &r), 0);
}

static void refuses(void)
{
    static const struct {
        uint8_t bytes[12];
        size_t len;
        int err;
    } cases[] = {
        {{0x80, 201, 0}, 3, ERR_TRUNCATED},
        {{0x80, 201, 0, 2, 0, 0, 0, 1}, 8, ERR_TRUNCATED},
        {{0x40, 201, 0, 1, 0, 0, 0, 1}, 8, ERR_MALFORMED},
        {{0x80, 201, 0, 0}, 4, ERR_MALFORMED},              /* no room for its SSRC */
        {{0x81, 201, 0, 1, 0, 0, 0, 1}, 8, ERR_MALFORMED},  /* a block that isn't there */
        {{0x80, 200, 0, 1, 0, 0, 0, 1}, 8, ERR_MALFORMED},  /* no sender information */
        {{0xA0, 201, 0, 1, 0, 0, 0, 5}, 8, ERR_MALFORMED},  /* more padding than bytes */
        {{0xA0, 201, 0, 1, 0, 0, 0, 0}, 8, ERR_MALFORMED},  /* padding of nothing */
        {{0xA0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4}, 12, 1}, /* four bytes of padding */
        {{0x80, 207, 0, 1, 0, 0, 0, 1}, 8, 1},              /* a type that we don't know */
        {{0x80, 203, 0, 0}, 4, 1},                          /* BYE of nobody */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire w = wire_over(cases[i].bytes, cases[i].len);
        struct rtcp r;
        CHECK_INT(rtcp_next(&w, &r), cases[i].err);
    }
}

static void loss(void)
{
    struct rtcp_source s = {0};
    struct rtcp_block b;
    CHECK(!rtcp_source_block(&s, 0, &b));
    for (unsigned i = 0; i < 10; i++) {
        if (i != 3 && i != 4)
            rtcp_source_packet(&s, 1, (uint16_t)(65530 + i), 160 * i, 160 * i, true);
    }
    CHECK(rtcp_source_block(&s, 0, &b));
    CHECK_INT(b.lost, 2);
    CHECK_INT(b.fraction, 2 * 256 / 10);
    CHECK_INT(b.highest, 65536 + 3);
    CHECK_INT(rtcp_source_lost(&s), 2);
    rtcp_source_packet(&s, 1, 65533, 0, 0, false); /* one was only late */
    rtcp_source_packet(&s, 1, 4, 0, 0, false);
    CHECK(rtcp_source_block(&s, 0, &b));
    CHECK_INT(b.lost, 1);
    CHECK_INT(b.fraction, 0);
    rtcp_source_packet(&s, 1, 4, 0, 0, false); /* duplicates */
    rtcp_source_packet(&s, 1, 4, 0, 0, false);
    CHECK(rtcp_source_block(&s, 0, &b));
    CHECK_INT(b.lost, -1);
    CHECK_INT(rtcp_source_lost(&s), 0);
}

static void new_run(void)
{
    struct rtcp_source s = {0};
    struct rtcp_block b;
    rtcp_source_packet(&s, 1, 100, 0, 0, true);
    rtcp_source_packet(&s, 1, 102, 0, 0, true);
    rtcp_source_packet(&s, 1, 30000, 0, 0, true); /* alone it is a stray */
    CHECK_INT(rtcp_source_lost(&s), 1);
    rtcp_source_packet(&s, 1, 30001, 0, 0, true);
    rtcp_source_packet(&s, 1, 30003, 0, 0, true);
    CHECK_INT(rtcp_source_lost(&s), 2);
    rtcp_source_packet(&s, 2, 5, 0, 0, true); /* another source: what was lost stays lost */
    CHECK_INT(rtcp_source_lost(&s), 2);
    CHECK(rtcp_source_block(&s, 0, &b));
    CHECK_INT(b.ssrc, 2);
    CHECK_INT(b.lost, 0);
}

static void jitter(void)
{
    struct rtcp_source s = {0};
    /* every other packet is 16 units late: the mean deviation goes towards 16 */
    for (unsigned i = 0; i < 200; i++)
        rtcp_source_packet(&s, 1, (uint16_t)i, 160 * i, 160 * i + (i % 2 ? 16 : 0), true);
    CHECK(s.jitter > 15.9 && s.jitter < 16.1);
    rtcp_source_packet(&s, 1, 200, 0, 999999, false); /* an event's says nothing */
    CHECK(s.jitter > 15.9 && s.jitter < 16.1);
    rtcp_source_packet(&s, 1, 201, 160 * 201, 160 * 201 + 16, true);
    CHECK(s.jitter > 14.9);
}

static void rtt(void)
{
    struct rtcp_source s = {0};
    struct rtcp sr = {.ssrc = 1, .ntp = rtcp_ntp(1000000000)};
    struct rtcp_block b;
    uint64_t heard = rtcp_ntp(1500000000);
    rtcp_source_packet(&s, 1, 1, 0, 0, true);
    rtcp_source_sr(&s, &(struct rtcp){.ssrc = 9, .ntp = sr.ntp}, heard);
    CHECK_INT(s.lsr, 0);
    rtcp_source_sr(&s, &sr, heard);
    CHECK(rtcp_source_block(&s, rtcp_ntp(2500000000), &b));
    CHECK_INT(b.lsr, (uint32_t)(sr.ntp >> 16));
    CHECK_INT(b.dlsr, 65536);
    /* the other side sent its report at 1 s of its clock, ours was answered 1 s later: 0.25 s are the way */
    CHECK(rtcp_rtt(&b, rtcp_ntp(2250000000)) > 0.2499 && rtcp_rtt(&b, rtcp_ntp(2250000000)) < 0.2501);
    CHECK(rtcp_rtt(&b, rtcp_ntp(1750000000)) < 0);
    CHECK(rtcp_rtt(&b, rtcp_ntp(90000000000)) < 0);
    b.lsr = 0;
    CHECK(rtcp_rtt(&b, heard) < 0);
    CHECK_INT(rtcp_ntp(0) >> 32, 2208988800);
}

static const struct tap_test tests[] = {
    {"what is written is read: SR, RR, SDES, BYE", round_trip},
    {"what breaks the format is refused, and what is not known is passed over", refuses},
    {"loss is counted across the wrap, late packets and duplicates (A.3)", loss},
    {"a stray is no loss, and a new run or source begins anew (A.1)", new_run},
    {"jitter is the mean deviation of the transit time (A.8)", jitter},
    {"the round trip is what reports leave of the time between them (6.4.1)", rtt},
};

TAP_MAIN(tests)
