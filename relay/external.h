/*
 * Purpose:  what clients know an address of this host by (`external-ip`), and which addresses have a twin (RFC 5780) by that.
 * Owner:    nobody; functions of their arguments.
 * Lifetime: none.
 * Callers:  relay/relay, programs/config, programs/node.
 * RFC:      5780 section 6.
 */
#ifndef RELAY_EXTERNAL_H
#define RELAY_EXTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "relay/alternate.h"
#include "relay/relay.h"

/* The public side that is given for this address, else the one for all of its family, else itself; with its own port. */
struct addr external_find(const struct relay_external *list, size_t n, const struct addr *local);
/* A listener as clients know it. */
struct alternate external_alternate(const struct relay_external *list, size_t n, const struct addr *listen);
/* Is another one of these addresses a twin of number `i`? */
bool external_has_twin(const struct relay_external *list, size_t n, const struct addr *listen, size_t nlisten, size_t i);

#endif
