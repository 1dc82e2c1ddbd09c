#include "relay/input.h"

#include "base/err.h"
#include "relay/alloc.h"
#include "relay/forward.h"
#include "relay/turn.h"
#include "stun/channel.h"
#include "stun/msg.h"

void input_datagram(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos)
{
    switch (len ? stun_classify(buf[0]) : STUN_KIND_OTHER) {
    case STUN_KIND_CHANNEL:
        forward_channel_data(s, from, buf, len, tos);
        break;
    case STUN_KIND_MESSAGE:
        turn_input(s, from, buf, len, tos);
        break;
    case STUN_KIND_DTLS:
    case STUN_KIND_OTHER:
        count(s->counters, DROP_NOT_STUN);
        break;
    }
}

/* A stranger's frames are requests: no more is gathered for one (S20). */
static int message_len(struct shard *s, const struct path *from, const uint8_t *buf, size_t len)
{
    int n = stun_frame_len(buf, len);

    return n > REQUEST_MAX && !alloc_find(s, from) ? ERR_MSGSIZE : n;
}

int input_frame_len(struct shard *s, const struct path *from, const uint8_t *buf, size_t len)
{
    switch (len ? stun_classify(buf[0]) : STUN_KIND_MESSAGE) {
    case STUN_KIND_CHANNEL: /* "GET " looks like a channel, too: there must be an allocation first */
        return alloc_find(s, from) ? channel_frame_len(buf, len) : ERR_NOT_STUN;
    case STUN_KIND_MESSAGE:
        return len < 4 ? 0 : message_len(s, from, buf, len);
    case STUN_KIND_DTLS:
    case STUN_KIND_OTHER:
        break;
    }
    return ERR_NOT_STUN;
}

int input_frame(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos)
{
    if (stun_classify(buf[0]) == STUN_KIND_MESSAGE)
        return turn_input(s, from, buf, len, tos);
    forward_channel_data(s, from, buf, len, tos);
    return 0;
}
