/*
 * Purpose:  the sockets of one call towards the PBX: RTP on an even port, RTCP one above; symmetric, and deaf to strangers.
 * Owner:    the bridge's one thread; what comes is told from the loop.
 * Lifetime: leg_new to leg_free.
 * Callers:  bridge/media.
 * RFC:      3550 section 11 (ports), 4961 (symmetric), 5761 (one port for both).
 */
#ifndef BRIDGE_LEG_H
#define BRIDGE_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct event_base;
struct leg;

enum {
    LEG_PACKET_MAX = 1500, /* bytes; a telephone's are 172 */
    LEG_ROOM = 160,        /* writable bytes behind a packet that is told: SRTP's trailer */
    LEG_BATCH = 16,        /* packets that are read at a time, then others have a turn */
    LEG_TOS = 0xB8,        /* expedited forwarding, RFC 3246, as telephones mark voice */
};

/* A packet from where the PBX's description says it may come. Writable, with LEG_ROOM bytes behind it, until the call returns. Must not free the leg. */
typedef void leg_packet_cb(void *ctx, uint8_t *buf, size_t len);

/* On the first free pair of ports of the range, from a random place on. ERR_NOSPC: none is free; ERR_NOMEM, negated errnos. */
int leg_new(struct leg **out, struct event_base *base, const struct addr *ip, uint16_t min, uint16_t max, leg_packet_cb *cb,
            void *ctx);
void leg_free(struct leg **leg);
/* The address of RTP, for our descriptions. */
struct addr leg_address(const struct leg *leg);
/* Where the PBX is, as its description says. ADDR_NONE: nowhere; nothing is sent or taken. Whoever sends first from that IP has the port; a description that
 * says the same again changes nothing. `mux`: RTCP goes with RTP. */
void leg_aim(struct leg *leg, const struct addr *rtp, const struct addr *rtcp, bool mux);
/* ERR_NOTCONN: nowhere to go, ERR_AGAIN: the kernel has no room; negated errnos. */
int leg_send(struct leg *leg, const uint8_t *buf, size_t len);
int leg_send_rtcp(struct leg *leg, const uint8_t *buf, size_t len);
/* Packets of strangers that were thrown away. */
uint64_t leg_strangers(const struct leg *leg);

#endif
