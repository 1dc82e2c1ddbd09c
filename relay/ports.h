/*
 * Purpose:  our relay addresses, and who owns which relayed port: one table of atomic bytes for each.
 * Owner:    shared by all workers. A byte is written by the worker that claims the port, read by anyone.
 * Lifetime: ports_new before the workers start, ports_free after they ended.
 * Callers:  relay/alloc (claims), relay/forward (splice), relay/policy (own live relayed addresses), relay/relay (builds).
 * RFC:      8656 sections 5 and 7.2 (the range); 8656 section 11 does not know the splice.
 */
#ifndef RELAY_PORTS_H
#define RELAY_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    PORTS_ADDRESSES_MAX = 64, /* relay addresses of one server; each costs 64 KiB of port table */
    PORTS_WORKERS_MAX = 64,   /* owners fit in seven bits of a byte */
};

/* One address that relayed transport addresses lie on. Ports are zero. */
struct relay_address {
    struct addr local;      /* what sockets are bound to */
    struct addr advertised; /* what clients are told: `local`, or the public side of a 1:1 NAT (external-ip) */
    unsigned space;         /* index of the port table; addresses that share `advertised` share the table */
};

struct ports;

/* The `space` fields are filled in. ERR_NOMEM; ERR_NOSPC: more than PORTS_ADDRESSES_MAX; ERR_INVAL: families of a pair differ, or min > max. */
int ports_new(struct ports **out, const struct relay_address *addresses, size_t n, uint16_t min, uint16_t max);
void ports_free(struct ports **p);

size_t ports_count(const struct ports *p);
size_t ports_spaces(const struct ports *p);
const struct relay_address *ports_address(const struct ports *p, unsigned index);
uint16_t ports_min(const struct ports *p);
uint16_t ports_max(const struct ports *p);

/* The relay address whose local or advertised IP is that of `peer`: its index, or -1. `*advertised` says under which of the two names. */
int ports_find(const struct ports *p, const struct addr *peer, bool *advertised);

/* The worker that owns a live relayed address, or -1. */
int ports_owner(const struct ports *p, unsigned space, uint16_t port);

/* free -> claimed: nobody else can take it; it is not live yet. False when it was taken. */
bool ports_claim(struct ports *p, unsigned space, uint16_t port, unsigned worker);
/* claimed -> live. Before the success answer leaves. */
void ports_publish(struct ports *p, unsigned space, uint16_t port, unsigned worker);
/* live -> claimed: no longer reachable, still ours. */
void ports_retract(struct ports *p, unsigned space, uint16_t port, unsigned worker);
/* -> free. After the socket was closed. */
void ports_release(struct ports *p, unsigned space, uint16_t port);
/* Ports that are not free, over all spaces; for tests and metrics (walks the tables). */
size_t ports_in_use(const struct ports *p);

#endif
