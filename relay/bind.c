/* What opens the way to a peer: CreatePermission, ChannelBind, and the Send indication that uses it. */
#include <string.h>

#include "base/err.h"
#include "relay/forward.h"
#include "relay/request.h"
#include "stun/channel.h"

enum { PEERS_MAX = ALLOC_PERMISSIONS_MAX /* of one CreatePermission: more could not be installed */ };

static void deny(const struct request *r, struct alloc *a, const struct addr *peer)
{
    char why[128];

    r->s->net->event(r->s->net_ctx, &(struct relay_event_info){
                                        .event = EVENT_PEER_DENIED,
                                        .path = r->from,
                                        .alloc = a,
                                        .user = a->user->name,
                                        .peer = peer,
                                        .detail = policy_explain(alloc_judges(r->s, a), peer, POLICY_UDP, why, sizeof(why))});
    request_refuse(r, STUN_E_FORBIDDEN, "the peer policy denies this peer");
}

static void answer(const struct request *r)
{
    uint8_t buf[ANSWER_MAX];
    struct stun_out o;

    request_success(r, &o, buf);
    request_count(r, RESULT_SUCCESS, 0);
    request_send(r, &o);
}

/* C57: all peers are judged before one is installed. */
enum verdict bind_on_create_permission(struct request *r)
{
    struct alloc *a = request_alloc(r);
    struct addr peers[PEERS_MAX];
    bool all_ports[PEERS_MAX];
    struct stun_attr attr;
    size_t n = 0, at = 0;

    if (!a)
        return VERDICT_DONE;
    while (stun_next(r->msg, STUN_ATTR_XOR_PEER_ADDRESS, &at, &attr)) {
        if (n == PEERS_MAX || stun_attr_xor_addr(r->msg, &attr, &peers[n])) {
            request_refuse(r, STUN_E_BAD_REQUEST, "XOR-PEER-ADDRESS is malformed, or there are too many");
            return VERDICT_DONE;
        }
        n++;
    }
    if (!n) {
        request_refuse(r, STUN_E_BAD_REQUEST, "XOR-PEER-ADDRESS is missing");
        return VERDICT_DONE;
    }
    for (size_t i = 0; i < n; i++) {
        if (!policy_permission(alloc_judges(r->s, a), &peers[i], POLICY_UDP, &all_ports[i])) {
            deny(r, a, &peers[i]); /* 403 wins over 443 */
            return VERDICT_DONE;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!alloc_leg(a, peers[i].family)->socket) {
            request_refuse(r, STUN_E_PEER_FAMILY_MISMATCH, "the allocation has no address of the peer's family");
            return VERDICT_DONE;
        }
    }
    if (alloc_reserve_permissions(r->s, a, peers, n)) {
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, "too many permissions, or no memory");
        return VERDICT_DONE;
    }
    for (size_t i = 0; i < n; i++)
        alloc_permit(r->s, a, &peers[i], all_ports[i]);
    answer(r);
    return VERDICT_DONE;
}

enum verdict bind_on_channel_bind(struct request *r)
{
    struct alloc *a = request_alloc(r);
    uint16_t number, max = r->s->settings.strict_channel_range ? CHANNEL_MAX_STRICT : CHANNEL_MAX;
    struct addr peer;
    bool all_ports;
    int err;

    if (!a)
        return VERDICT_DONE;
    if (stun_get_channel(r->msg, &number) || stun_get_xor_addr(r->msg, STUN_ATTR_XOR_PEER_ADDRESS, &peer)) {
        request_refuse(r, STUN_E_BAD_REQUEST, "CHANNEL-NUMBER or XOR-PEER-ADDRESS is missing or malformed");
        return VERDICT_DONE;
    }
    if (number < CHANNEL_MIN || number > max) {
        request_refuse(r, STUN_E_BAD_REQUEST, "the channel number is out of range"); /* C64 */
        return VERDICT_DONE;
    }
    policy_permission(alloc_judges(r->s, a), &peer, POLICY_UDP, &all_ports);
    if (!policy_flow(alloc_judges(r->s, a), &peer, POLICY_UDP)) {
        deny(r, a, &peer);
        return VERDICT_DONE;
    }
    if (!alloc_leg(a, peer.family)->socket) {
        request_refuse(r, STUN_E_PEER_FAMILY_MISMATCH, "the allocation has no address of the peer's family"); /* C66 */
        return VERDICT_DONE;
    }
    if (alloc_reserve_permissions(r->s, a, &peer, 1)) { /* before the channel, which would stay without it */
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, "too many permissions, or no memory");
        return VERDICT_DONE;
    }
    err = alloc_bind(r->s, a, number, &peer);
    if (err == ERR_EXIST) {
        request_refuse(r, STUN_E_BAD_REQUEST, "the channel has another peer, or the peer another channel"); /* C65 */
        return VERDICT_DONE;
    }
    if (err) {
        request_refuse(r, STUN_E_INSUFFICIENT_CAPACITY, "too many channels, or no memory");
        return VERDICT_DONE;
    }
    alloc_permit(r->s, a, &peer, all_ports);
    answer(r);
    return VERDICT_DONE;
}

/* C60. An indication has no answer: what is wrong with it is counted. */
void bind_on_send(struct shard *s, const struct path *from, const struct stun_msg *msg, uint8_t *raw, uint8_t tos)
{
    const struct stun_attr *data = stun_find(msg, STUN_ATTR_DATA);
    struct alloc *a = alloc_find(s, from);
    struct addr peer;

    if (!a)
        count(s->counters, DROP_NO_ALLOCATION);
    else if (!data || stun_get_xor_addr(msg, STUN_ATTR_XOR_PEER_ADDRESS, &peer))
        count(s->counters, DROP_MALFORMED);
    else
        forward_send(s, a, &peer, raw + (data->value - msg->buf), data->len, tos, stun_find(msg, STUN_ATTR_DONT_FRAGMENT) != NULL);
}
