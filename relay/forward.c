#include "relay/forward.h"

#include <string.h>

#include "stun/channel.h"
#include "stun/msg.h"

static void count_packet(struct shard *s, enum count_path path, enum counter packets, enum counter bytes, size_t len)
{
    count(s->counters, count_relayed(path, packets));
    count_add(s->counters, count_relayed(path, bytes), len);
}

/* What A sends to one of our relayed addresses is handed to that allocation's owner as if it had arrived on its relay socket from A's
 * relayed address. False when nobody lives there. */
static bool splice(struct shard *s, const struct leg *leg, unsigned relay, bool advertised, uint16_t port, uint8_t *data,
                   size_t len, uint8_t tos)
{
    unsigned space = ports_address(s->ports, relay)->space;
    int owner = ports_owner(s->ports, space, port);
    struct splice sp = {.from = {alloc_relayed_local(s, leg), alloc_relayed(s, leg)},
                        .len = (uint32_t)len,
                        .port = port,
                        .space = (uint8_t)space,
                        .tos = tos,
                        .advertised = advertised};
    struct splice *record;

    if (owner < 0)
        return false;
    count_packet(s, PATH_SPLICE, COUNT_PACKETS_UP, COUNT_BYTES_UP, len);
    if ((unsigned)owner == s->worker) {
        count(s->counters, COUNT_SPLICE_LOCAL);
        forward_spliced(s, &sp, data);
    } else if ((record = s->net->splice_reserve(s->net_ctx, (unsigned)owner, splice_size(len)))) {
        *record = sp;
        memcpy(splice_payload(record), data, len);
        s->net->splice_commit(s->net_ctx, (unsigned)owner);
        count(s->counters, COUNT_SPLICE_OUT);
    } else {
        count(s->counters, DROP_RING_FULL);
    }
    return true;
}

/* The last step up: A's limits and counters, then the splice or the wire. */
static void to_peer(struct shard *s, struct alloc *a, int own, bool advertised, const struct addr *peer, uint8_t *data, size_t len,
                    uint8_t tos, bool df)
{
    struct leg *leg = alloc_leg(a, peer->family);

    if (!leg->socket) {
        count(s->counters, DROP_FAMILY);
    } else if (alloc_take_up(s, a, len)) {
        a->packets_up++;
        a->bytes_up += len;
        if (own >= 0 && splice(s, leg, (unsigned)own, advertised, peer->port, data, len, tos))
            return;
        count_packet(s, PATH_USER, COUNT_PACKETS_UP, COUNT_BYTES_UP, len);
        /* Our own IP, but no live relayed address: only what the operator has opened (a PBX on this very host). */
        if (own >= 0 && !policy_flow(alloc_judges(s, a), peer, POLICY_UDP))
            count(s->counters, DROP_POLICY);
        else if (s->net->relay_send(s->net_ctx, leg->socket, peer, data, len, tos, df) < 0)
            count(s->counters, DROP_PEER_SEND);
    }
}

void forward_channel_data(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos)
{
    struct channel_data frame;
    struct alloc *a;
    struct channel *c;

    if (channel_decode(&frame, buf, len)) {
        count(s->counters, DROP_MALFORMED);
    } else if (!(a = alloc_find(s, from))) {
        count(s->counters, DROP_NO_ALLOCATION);
    } else if (!(c = alloc_channel(s, a, frame.number))) {
        count(s->counters, DROP_NO_CHANNEL);
    } else if (c->own < 0 && c->policy != policy_generation(s->policy) && !policy_flow(alloc_judges(s, a), &c->peer, POLICY_UDP)) {
        count(s->counters, DROP_POLICY);
    } else {
        c->policy = policy_generation(s->policy);
        to_peer(s, a, c->own, c->own_advertised, &c->peer, buf + CHANNEL_HEADER_LEN, frame.len, tos, false);
    }
}

/* The live permission for this peer, if the policy in force allows the flow. Counts why not. */
static bool permitted(struct shard *s, struct alloc *a, const struct addr *peer)
{
    struct permission *p = alloc_permission(s, a, peer);

    if (!p) {
        count(s->counters, DROP_NO_PERMISSION);
        return false;
    }
    if (p->policy != policy_generation(s->policy)) {
        p->all_ports = false;
        policy_permission(alloc_judges(s, a), peer, POLICY_UDP, &p->all_ports);
        p->policy = policy_generation(s->policy);
    }
    if (!p->all_ports && !policy_flow(alloc_judges(s, a), peer, POLICY_UDP)) {
        count(s->counters, DROP_POLICY);
        return false;
    }
    return true;
}

void forward_send(struct shard *s, struct alloc *a, const struct addr *peer, uint8_t *data, size_t len, uint8_t tos, bool df)
{
    bool advertised = false;
    int own = ports_find(s->ports, peer, &advertised);

    if (permitted(s, a, peer))
        to_peer(s, a, own, advertised, peer, data, len, tos, df);
}

/* The last step down: B's limits and counters, then the channel if there is one (C61), else a Data indication. False: it goes no further. In line
 * in both callers, for a call costs more than what it counts. */
static inline __attribute__((always_inline)) bool to_client(struct shard *s, struct alloc *a, const struct addr *peer,
                                                            uint8_t *data, size_t len, uint8_t tos)
{
    struct channel *c;
    uint8_t *start = data - CHANNEL_HEADER_LEN;
    size_t total = len + CHANNEL_HEADER_LEN;
    uint32_t txid[3];

    if (!alloc_take_down(s, a, len))
        return false;
    if ((c = alloc_channel_of(s, a, peer))) {
        channel_header(start, c->number, (uint16_t)len);
    } else {
        for (int i = 0; i < 3; i++)
            txid[i] = random_u32(&s->random);
        start = stun_wrap_data(data, len, peer, (const uint8_t *)txid, &total);
        if (!start) { /* so long that no Data indication can hold it */
            count(s->counters, DROP_TRUNCATED);
            return false;
        }
    }
    a->packets_down++;
    a->bytes_down += len;
    if (s->net->client_send(s->net_ctx, &a->path, start, total, tos) < 0)
        count(s->counters, DROP_CLIENT_SEND);
    return true;
}

void forward_from_peer(struct shard *s, unsigned relay, uint16_t port, const struct addr *peer, uint8_t *data, size_t len,
                       uint8_t tos)
{
    struct alloc *a = alloc_by_port(s, ports_address(s->ports, relay)->space, port);

    if (!a)
        count(s->counters, DROP_NO_ALLOCATION);
    else if (permitted(s, a, peer) && to_client(s, a, peer, data, len, tos))
        count_packet(s, PATH_USER, COUNT_PACKETS_DOWN, COUNT_BYTES_DOWN, len);
}

void forward_spliced(struct shard *s, const struct splice *sp, uint8_t *data)
{
    struct alloc *a = alloc_by_port(s, sp->space, sp->port);
    /* The sender's two names are one address: the owner's client may know either. The one that mirrors the sender's choice goes first. */
    const struct addr *from = &sp->from[sp->advertised], *other = &sp->from[!sp->advertised];

    if (!a) {
        count(s->counters, DROP_NO_ALLOCATION);
        return;
    }
    if (!alloc_permission(s, a, from)) {
        if (!alloc_permission(s, a, other)) {
            count(s->counters, DROP_NO_PERMISSION);
            return;
        }
        from = other;
    }
    if (a->peers && !policy_flow(alloc_judges(s, a), from, POLICY_UDP)) { /* the server's own policy allows what lives */
        count(s->counters, DROP_POLICY);
        return;
    }
    if (to_client(s, a, from, data, sp->len, sp->tos))
        count_packet(s, PATH_SPLICE, COUNT_PACKETS_DOWN, COUNT_BYTES_DOWN, sp->len);
}
