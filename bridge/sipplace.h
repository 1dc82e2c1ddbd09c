/*
 * Purpose:  where the PBX is, as the configuration says it: HOST, HOST:PORT, an IPv6 address with or without brackets.
 * Owner:    any thread; no state.
 * Lifetime: no state.
 * Callers:  bridge/sip, bridge/route, programs/bridgeconfig.
 * RFC:      3261 section 25.1 (hostport).
 */
#ifndef BRIDGE_SIPPLACE_H
#define BRIDGE_SIPPLACE_H

#include "base/addr.h"

enum { SIPPLACE_MAX = 256 }; /* bytes of a host, and of all of it, with NUL */

struct sipplace {
    char host[SIPPLACE_MAX];   /* as the name service wants it: an IPv6 address without brackets */
    char domain[SIPPLACE_MAX]; /* as a URI wants it: with brackets */
    char all[SIPPLACE_MAX];    /* the same with the port, where one was given */
    struct addr ip;            /* port 0; ADDR_NONE: a name */
};

/* ERR_INVAL: neither a name nor an address, or a port that is none. */
int sipplace_read(struct sipplace *out, const char *text);

#endif
