/*
 * Purpose:  the data path: client to peer, peer to client, and the splice between two relayed addresses of ours.
 * Owner:    the worker whose shard it is. Takes no lock, allocates nothing, logs nothing, asks no clock.
 * Lifetime: packets are borrowed for the call.
 * Callers:  relay/input and relay/bind (from clients), relay/worker (from relay sockets and from other workers).
 * RFC:      8656 sections 11.2, 11.3, 12.4 to 12.6, 13 to 15.
 */
#ifndef RELAY_FORWARD_H
#define RELAY_FORWARD_H

#include "relay/alloc.h"

/* A record of the ring between two workers: this head, HEADROOM bytes, the payload, TAILROOM bytes. */
struct splice {
    struct addr from[2]; /* the sender's relayed address: [0] as bound, [1] as advertised */
    uint32_t len;        /* of the payload */
    uint16_t port;       /* the owner's relayed port, */
    uint8_t space;       /* in this port table */
    uint8_t tos;
    bool advertised; /* the sender named the owner by its advertised address: it sees the sender under that name, too */
};

/* ChannelData from a client. `buf` has HEADROOM bytes before and TAILROOM behind, which may be overwritten. */
void forward_channel_data(struct shard *s, const struct path *from, uint8_t *buf, size_t len, uint8_t tos);
/* The payload of a Send indication of this allocation. Room around it as above. */
void forward_send(struct shard *s, struct alloc *a, const struct addr *peer, uint8_t *data, size_t len, uint8_t tos, bool df);
/* A datagram that arrived on a relayed address. Room around it as above. */
void forward_from_peer(struct shard *s, unsigned relay, uint16_t port, const struct addr *peer, uint8_t *data, size_t len,
                       uint8_t tos);
/* What another allocation (of any worker) sent to a relayed address of this worker. Room around the payload as above. */
void forward_spliced(struct shard *s, const struct splice *sp, uint8_t *data);

/* Bytes of a ring record for a payload, and where the payload stands in it. */
static inline size_t splice_size(size_t len)
{
    return sizeof(struct splice) + HEADROOM + len + TAILROOM;
}
static inline uint8_t *splice_payload(struct splice *sp)
{
    return (uint8_t *)(sp + 1) + HEADROOM;
}

#endif
