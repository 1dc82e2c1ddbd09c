#include "bridge/rtp.h"

#include <string.h>

#include "base/err.h"
#include "base/wire.h"

enum {
    VERSION = 2,    /* in the two highest bits */
    PADDING = 0x20, /* bits of the first byte */
    EXTENSION = 0x10,
    CSRC_COUNT = 0x0F,
    MARKER = 0x80,    /* of the second */
    RTCP_FIRST = 192, /* packet types of RTCP, RFC 5761 section 4 */
    RTCP_LAST = 223,
    EVENT_END = 0x80, /* of an event's second byte */
    EVENT_VOLUME = 0x3F,
};

static const char digits[] = "0123456789*#ABCD";
_Static_assert(sizeof(digits) - 1 == RTP_EVENT_DIGITS, "one digit an event");

bool rtp_is_rtcp(const uint8_t *buf, size_t len)
{
    return len >= 2 && buf[1] >= RTCP_FIRST && buf[1] <= RTCP_LAST;
}

int rtp_decode(struct rtp *out, const uint8_t *buf, size_t len)
{
    struct wire w = wire_over(buf, len);
    uint8_t first = wire_u8(&w), second = wire_u8(&w);
    size_t padding = 0;

    *out = (struct rtp){.marker = second & MARKER, .type = second & RTP_TYPE_MAX};
    out->seq = wire_u16(&w);
    out->timestamp = wire_u32(&w);
    out->ssrc = wire_u32(&w);
    (void)wire_bytes(&w, 4 * (size_t)(first & CSRC_COUNT));
    if (first & EXTENSION) {
        (void)wire_u16(&w);
        (void)wire_bytes(&w, 4 * (size_t)wire_u16(&w));
    }
    if (w.err)
        return w.err;
    if (first >> 6 != VERSION)
        return ERR_MALFORMED;
    out->len = wire_left(&w);
    out->payload = wire_bytes(&w, out->len);
    if (first & PADDING) {
        /* The last byte counts itself. */
        padding = out->len ? out->payload[out->len - 1] : 0;
        if (padding == 0 || padding > out->len)
            return ERR_MALFORMED;
    }
    out->len -= padding;
    return 0;
}

void rtp_header(uint8_t out[static RTP_HEADER_LEN], const struct rtp *p)
{
    struct wire_out w = wire_into(out, RTP_HEADER_LEN);
    wire_put_u8(&w, VERSION << 6);
    wire_put_u8(&w, (uint8_t)((p->marker ? MARKER : 0) | (p->type & RTP_TYPE_MAX)));
    wire_put_u16(&w, p->seq);
    wire_put_u32(&w, p->timestamp);
    wire_put_u32(&w, p->ssrc);
}

int rtp_event_decode(struct rtp_event *out, const uint8_t *payload, size_t len)
{
    struct wire w = wire_over(payload, len);
    uint8_t flags;

    out->event = wire_u8(&w);
    flags = wire_u8(&w);
    out->end = flags & EVENT_END;
    out->volume = flags & EVENT_VOLUME;
    out->duration = wire_u16(&w);
    return w.err;
}

void rtp_event_encode(uint8_t out[static RTP_EVENT_LEN], const struct rtp_event *e)
{
    struct wire_out w = wire_into(out, RTP_EVENT_LEN);
    wire_put_u8(&w, e->event);
    wire_put_u8(&w, (uint8_t)((e->end ? EVENT_END : 0) | (e->volume & EVENT_VOLUME)));
    wire_put_u16(&w, e->duration);
}

char rtp_event_digit(uint8_t event)
{
    return (char)(event < RTP_EVENT_DIGITS ? digits[event] : 0);
}

int rtp_digit_event(char digit)
{
    char upper = (char)(digit >= 'a' && digit <= 'd' ? digit - 'a' + 'A' : digit);
    const char *p = digit ? strchr(digits, upper) : NULL;
    return p ? (int)(p - digits) : -1;
}
