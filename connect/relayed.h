/*
 * Purpose:  relayed addresses in what the sides of a call tell each other: candidates, alone or in a description.
 * Owner:    any thread; stateless.
 * Lifetime: none.
 * Callers:  connect/call.
 * RFC:      8839 section 5.1 (candidate-attribute).
 */
#ifndef CONNECT_RELAYED_H
#define CONNECT_RELAYED_H

#include <stdbool.h>

#include "base/addr.h"

/* "candidate:1 1 udp 41885439 192.0.2.1 49152 typ relay ...", without "a=". False: it is of another type, over TCP, or none. */
bool relayed_read(struct addr *out, const char *candidate);
/* The same of each line of a description that has one. */
void relayed_each(const char *sdp, void (*found)(void *ctx, const struct addr *relayed), void *ctx);

#endif
