/*
 * Purpose:  relayed ports on their way from free to an allocation's: chosen, claimed for this worker and bound.
 * Owner:    the worker. A claim lies on the stack, in a reservation or in a request that waits.
 * Lifetime: claim_open to claim_close, or until an allocation or a reservation takes it over.
 * Callers:  relay/allocate, relay/alloc, relay/reserve, relay/turn.
 * RFC:      8656 section 7.2 (which port is wanted).
 */
#ifndef RELAY_CLAIM_H
#define RELAY_CLAIM_H

#include "relay/shard.h"

/* How a port is wanted. */
enum port_wish { PORT_ANY, PORT_EVEN, PORT_EVEN_AND_NEXT };
/* A port that is claimed and bound, and belongs to nobody yet. */
struct claimed {
    struct relay_socket *socket;
    unsigned relay;
    uint16_t port;
};
/* A relay address of this family for this client: -1 when the server has none. */
int claim_pick_relay(const struct shard *s, const struct path *path, enum addr_family family);
/* Opens a random free port (C49). With PORT_EVEN_AND_NEXT `next` holds the port above, too. ERR_NOSPC: none free; ERR_MFILE, ERR_NOMEM. */
int claim_open(struct shard *s, unsigned relay, enum port_wish wish, struct claimed *out, struct claimed *next);
void claim_close(struct shard *s, struct claimed *c);

#endif
