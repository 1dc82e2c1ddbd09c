/*
 * Purpose:  which of this host's addresses the PBX is reached from.
 * Owner:    any thread; may wait for the name service.
 * Lifetime: no state.
 * Callers:  bridge/bridge.
 * RFC:      none.
 */
#ifndef BRIDGE_ROUTE_H
#define BRIDGE_ROUTE_H

#include "base/addr.h"

/* `registrar` as bridge/sipplace reads it. The address has port 0. ERR_INVAL (it can't be read), ERR_NOENT (no such name), or a negated errno (no route to it). */
int route_from(struct addr *out, const char *registrar);
/* Whether it is an address of this host: else a negated errno, EADDRNOTAVAIL first of all. */
int route_own(const struct addr *ip);

#endif
