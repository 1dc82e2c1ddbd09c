/* rtp: headers with and without what is left out, padding, events. */
#include "bridge/rtp.h"

#include "base/err.h"
#include "tests/unit/tap.h"

static const uint8_t plain[] = {0x80, 0x88, 0x12, 0x34, 0xDE, 0xAD, 0xBE, 0xEF, 0x01, 0x02, 0x03, 0x04, 'a', 'b', 'c'};

static void reads(void)
{
    struct rtp p;
    CHECK_INT(rtp_decode(&p, plain, sizeof(plain)), 0);
    CHECK(p.marker);
    CHECK_INT(p.type, 8);
    CHECK_INT(p.seq, 0x1234);
    CHECK_INT(p.timestamp, 0xDEADBEEF);
    CHECK_INT(p.ssrc, 0x01020304);
    CHECK(p.payload == plain + RTP_HEADER_LEN);
    CHECK_INT(p.len, 3);
    for (size_t n = 0; n < RTP_HEADER_LEN; n++)
        CHECK_INT(rtp_decode(&p, plain, n), ERR_TRUNCATED);
    CHECK_INT(rtp_decode(&p, plain, RTP_HEADER_LEN), 0);
    CHECK_INT(p.len, 0);
}

static void version(void)
{
    uint8_t buf[sizeof(plain)];
    struct rtp p;
    memcpy(buf, plain, sizeof(buf));
    for (unsigned v = 0; v < 4; v++) {
        buf[0] = (uint8_t)(v << 6);
        CHECK_INT(rtp_decode(&p, buf, sizeof(buf)), v == 2 ? 0 : ERR_MALFORMED);
    }
}

static void strips(void)
{
    /* two CSRCs, an extension of one word, a payload of two bytes with two of padding */
    static const uint8_t full[] = {0xB2, 0x00, 0, 1, 0,    0,    0, 2, 0,    0,    0, 3, 9,   9,   9, 9,
                                   8,    8,    8, 8, 0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0, 'h', 'i', 0, 2};
    uint8_t buf[sizeof(full)];
    struct rtp p;
    memcpy(buf, full, sizeof(buf));
    CHECK_INT(rtp_decode(&p, buf, sizeof(buf)), 0);
    CHECK_INT(p.len, 2);
    CHECK_MEM(p.payload, "hi", 2);
    for (size_t n = 0; n < 28; n++)
        CHECK_INT(rtp_decode(&p, buf, n), ERR_TRUNCATED);
    buf[sizeof(buf) - 1] = 4;
    CHECK_INT(rtp_decode(&p, buf, sizeof(buf)), 0);
    CHECK_INT(p.len, 0);
    buf[sizeof(buf) - 1] = 5;
    CHECK_INT(rtp_decode(&p, buf, sizeof(buf)), ERR_MALFORMED);
    buf[sizeof(buf) - 1] = 0;
    CHECK_INT(rtp_decode(&p, buf, sizeof(buf)), ERR_MALFORMED);
    CHECK_INT(rtp_decode(&p, buf, 28), ERR_MALFORMED); /* padding of nothing */
}

static void writes(void)
{
    struct rtp p;
    uint8_t out[RTP_HEADER_LEN];
    CHECK_INT(rtp_decode(&p, plain, sizeof(plain)), 0);
    rtp_header(out, &p);
    CHECK_MEM(out, plain, sizeof(out));
}

static void told_apart(void)
{
    uint8_t buf[2] = {0x80, 0};
    for (unsigned type = 0; type < 256; type++) {
        buf[1] = (uint8_t)type;
        CHECK_INT(rtp_is_rtcp(buf, 2), type >= 192 && type <= 223);
    }
    buf[1] = 200;
    CHECK(!rtp_is_rtcp(buf, 1));
}

static void events(void)
{
    static const uint8_t end[] = {11, 0x8A, 0x03, 0x20};
    struct rtp_event e;
    uint8_t out[RTP_EVENT_LEN];
    CHECK_INT(rtp_event_decode(&e, end, sizeof(end)), 0);
    CHECK_INT(e.event, 11);
    CHECK(e.end);
    CHECK_INT(e.volume, 10);
    CHECK_INT(e.duration, 800);
    rtp_event_encode(out, &e);
    CHECK_MEM(out, end, sizeof(out));
    CHECK_INT(rtp_event_decode(&e, end, 3), ERR_TRUNCATED);
    for (int i = 0; i < RTP_EVENT_DIGITS; i++)
        CHECK_INT(rtp_digit_event(rtp_event_digit((uint8_t)i)), i);
    CHECK_INT(rtp_event_digit(16), 0);
    CHECK_INT(rtp_digit_event('d'), 15);
    CHECK_INT(rtp_digit_event('e'), -1);
    CHECK_INT(rtp_digit_event('\0'), -1);
}

static const struct tap_test tests[] = {
    {"a packet is read, and one that is cut is not", reads},
    {"version 2 alone is RTP", version},
    {"CSRCs, extension and padding are left out, and no longer than the packet", strips},
    {"a header is written as it was read", writes},
    {"RTP and RTCP on one port are told apart by the packet type (RFC 5761)", told_apart},
    {"events and digits (RFC 4733)", events},
};

TAP_MAIN(tests)
