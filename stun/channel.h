/*
 * Purpose:  ChannelData framing.
 * Owner:    any thread; no state.
 * Lifetime: a decoded frame borrows the buffer.
 * Callers:  relay/forward, relay/stream, stun/client, bench/.
 * RFC:      8656 section 12.4 to 12.6.
 */
#ifndef STUN_CHANNEL_H
#define STUN_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHANNEL_HEADER_LEN = 4,
    CHANNEL_MIN = 0x4000,
    CHANNEL_MAX_STRICT = 0x4FFF, /* RFC 8656 section 12 */
    CHANNEL_MAX = 0x7FFF,        /* RFC 5766 section 11: its clients choose from all of it (C64) */
};

struct channel_data {
    uint16_t number;
    uint16_t len;        /* of the payload */
    const uint8_t *data; /* borrowed */
};

/* ERR_TRUNCATED when the buffer is shorter than the frame says (C67, S13); what stands behind is padding, ignored (C68). */
int channel_decode(struct channel_data *out, const uint8_t *buf, size_t len);
/* For streams: bytes of the frame with its padding to 4; 0 when fewer than 4 bytes are there. */
int channel_frame_len(const uint8_t *buf, size_t len);
/* Writes the 4-byte header. */
void channel_header(uint8_t out[static CHANNEL_HEADER_LEN], uint16_t number, uint16_t len);

#endif
