#include "stun/channel.h"

#include "base/err.h"

int channel_decode(struct channel_data *out, const uint8_t *buf, size_t len)
{
    if (len < CHANNEL_HEADER_LEN)
        return ERR_TRUNCATED;
    uint16_t number = (uint16_t)(buf[0] << 8 | buf[1]);
    uint16_t n = (uint16_t)(buf[2] << 8 | buf[3]);
    if (number < CHANNEL_MIN || number > CHANNEL_MAX)
        return ERR_MALFORMED;
    if (len - CHANNEL_HEADER_LEN < n)
        return ERR_TRUNCATED;
    out->number = number;
    out->len = n;
    out->data = buf + CHANNEL_HEADER_LEN;
    return 0;
}

int channel_frame_len(const uint8_t *buf, size_t len)
{
    if (len < CHANNEL_HEADER_LEN)
        return 0;
    if (buf[0] < CHANNEL_MIN >> 8 || buf[0] > CHANNEL_MAX >> 8)
        return ERR_MALFORMED;
    /* "the ChannelData message MUST be padded to a multiple of four bytes ... not reflected in the length field", section 12.5 */
    return CHANNEL_HEADER_LEN + (((buf[2] << 8 | buf[3]) + 3) & ~3);
}

void channel_header(uint8_t out[static CHANNEL_HEADER_LEN], uint16_t number, uint16_t len)
{
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
}
