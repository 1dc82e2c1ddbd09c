/*
 * Purpose:  bytes as one ChannelData datagram, and as a stream of ChannelData and STUN frames.
 * Owner:    one process.
 * Lifetime: static.
 * Callers:  libFuzzer, or tests/fuzz/replay.c.
 * RFC:      8656 sections 12.4 to 12.6, 7983.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "stun/channel.h"
#include "stun/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void datagram(const uint8_t *data, size_t size)
{
    struct channel_data c;
    uint8_t header[CHANNEL_HEADER_LEN];
    int err = channel_decode(&c, data, size);
    require(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED);
    if (err)
        return;
    require(c.data == data + CHANNEL_HEADER_LEN && (size_t)(c.data - data) + c.len <= size);
    require(c.number >= CHANNEL_MIN && c.number <= CHANNEL_MAX);
    require(stun_classify(data[0]) == STUN_KIND_CHANNEL);
    channel_header(header, c.number, c.len);
    require(memcmp(header, data, sizeof(header)) == 0);
}

/* As a reader of a stream does it: take a whole frame, or wait for more, or give up. */
static void stream(const uint8_t *data, size_t size)
{
    while (size > 0) {
        struct channel_data c;
        struct stun_msg m;
        bool channel = stun_classify(data[0]) == STUN_KIND_CHANNEL;
        int n = channel ? channel_frame_len(data, size) : stun_frame_len(data, size);
        require(n >= 0 || (channel ? size >= 4 && n == ERR_MALFORMED : n == ERR_NOT_STUN));
        if (n <= 0 || (size_t)n > size)
            return;
        require(n >= 4 && n % 4 == 0);
        if (channel)
            require(channel_decode(&c, data, (size_t)n) == 0 && n - c.len >= 4 && n - c.len < 8);
        else
            (void)stun_decode(&m, data, (size_t)n);
        data += n;
        size -= (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    datagram(data, size);
    stream(data, size);
    return 0;
}
