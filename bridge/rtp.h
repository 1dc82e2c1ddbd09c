/*
 * Purpose:  RTP packets: read, headers of our own in front of a payload that stays where it is, and RFC 4733 events.
 * Owner:    any thread; no state.
 * Lifetime: what is decoded borrows its buffer.
 * Callers:  bridge/media and what lies below it.
 * RFC:      3550 section 5.1, 8285 (header extensions are left out), 5761 section 4, 4733 section 2.3.
 */
#ifndef BRIDGE_RTP_H
#define BRIDGE_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RTP_HEADER_LEN = 12,    /* bytes, without CSRCs and extension */
    RTP_TYPE_MAX = 127,     /* 7 bits */
    RTP_COMFORT_NOISE = 13, /* RFC 3551 table 4: the only payload type that needs no rtpmap in a telephone's audio */
    RTP_EVENT_LEN = 4,      /* bytes of an event's payload, RFC 4733 section 2.3 */
    RTP_EVENT_DIGITS = 16,  /* events 0 to 15 are the keys of a telephone, section 3.2 */
};

struct rtp {
    bool marker;
    uint8_t type;
    uint16_t seq;
    uint32_t timestamp;
    uint32_t ssrc;
    const uint8_t *payload; /* borrowed; at least RTP_HEADER_LEN bytes stand before it */
    size_t len;             /* without padding */
};

/* RFC 5761 section 4: whether the datagram is RTCP; the rest of what RFC 7983 leaves to SRTP is RTP. */
bool rtp_is_rtcp(const uint8_t *buf, size_t len);
/* CSRCs, extension and padding are checked and left out. ERR_TRUNCATED, ERR_MALFORMED. */
int rtp_decode(struct rtp *out, const uint8_t *buf, size_t len);
/* A header without CSRCs and extension. */
void rtp_header(uint8_t out[static RTP_HEADER_LEN], const struct rtp *p);

struct rtp_event {
    uint8_t event;
    bool end;
    uint8_t volume;    /* -dBm0, 0 to 63 */
    uint16_t duration; /* in timestamp units */
};
/* Of the first event of a payload. ERR_TRUNCATED. */
int rtp_event_decode(struct rtp_event *out, const uint8_t *payload, size_t len);
void rtp_event_encode(uint8_t out[static RTP_EVENT_LEN], const struct rtp_event *e);
/* "0123456789*#ABCD"; 0 for any other event. */
char rtp_event_digit(uint8_t event);
/* The event of a digit, `abcd` too; negative: none. */
int rtp_digit_event(char digit);

#endif
