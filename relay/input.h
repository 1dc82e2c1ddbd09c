/*
 * Purpose:  the first look at what a client sent: STUN or ChannelData, and where a frame of a stream ends.
 * Owner:    the worker whose shard it is.
 * Lifetime: bytes are borrowed for the call.
 * Callers:  relay/udp, relay/stream.
 * RFC:      7983, 8656 section 12.5 (framing on streams).
 */
#ifndef RELAY_INPUT_H
#define RELAY_INPUT_H

#include "relay/shard.h"

/* One datagram, with HEADROOM before and TAILROOM behind. What is neither STUN nor ChannelData is dropped (C15). */
void input_datagram(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos);

/* How long the frame is that starts with these bytes: 0, not known yet (more bytes are needed); negative: close the stream (C39). Padding
 * of ChannelData is included. */
int input_frame_len(struct shard *s, const struct path *from, const uint8_t *buf, size_t len);
/* One whole frame of a stream. Negative: close the stream. */
int input_frame(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos);

#endif
