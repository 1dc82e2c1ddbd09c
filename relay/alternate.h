/*
 * Purpose:  which listener answers in another one's place, so that a client can find out what the NAT before it does (CHANGE-REQUEST).
 * Owner:    filled before the workers start, read by all of them.
 * Lifetime: that of the relay; a plain value.
 * Callers:  relay/relay fills it, relay/turn asks; relay/external looks for twins.
 * RFC:      5780 sections 6.1 and 7.2 to 7.4.
 */
#ifndef RELAY_ALTERNATE_H
#define RELAY_ALTERNATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/net.h"

enum {
    ALTERNATES_MAX = 64, /* UDP listeners of one server, as many as it may have */
    ALTERNATE_WAYS = 4,  /* the same address or another one, the same port or the other one */
};

/* One UDP listener. */
struct alternate {
    struct addr bound; /* port and IP of its socket */
    struct addr told;  /* what clients know it by: `bound`, or the public side of a 1:1 NAT */
};

struct alternates {
    size_t n;                                    /* 0: nobody answers for anybody */
    struct alternate listener[ALTERNATES_MAX];   /* by the number that each worker has its socket under (struct path's `io`) */
    uint8_t way[ALTERNATES_MAX][ALTERNATE_WAYS]; /* the listener that answers instead, or ALTERNATE_NONE */
};

/* Can they stand in for each other, their ports aside? Two addresses of a family that clients know by two names, and of one kind: loopback answers nobody outside. */
bool alternate_twins(const struct alternate *a, const struct alternate *b);
/* Finds the ways between the listeners, of which there are `n`. One answers for another only if it has all three of its ways. */
void alternate_connect(struct alternates *t);
/* Who answers what came by `from`, with these flags (enum stun_change; other bits are ignored)? `*io` is its number. NULL: nobody answers for that listener, it alone is there. */
const struct alternate *alternate_find(const struct alternates *t, const struct path *from, uint32_t change, uint32_t *io);

#endif
