/*
 * Purpose:  turnpike-bridge's metrics: GET /metrics on a port of its own.
 * Owner:    the program's one thread.
 * Lifetime: bridgemetrics_new to bridgemetrics_free, within that of the bridge.
 * Callers:  programs/turnpike-bridge.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_BRIDGEMETRICS_H
#define PROGRAMS_BRIDGEMETRICS_H

#include <stdint.h>

#include "base/addr.h"
#include "bridge/bridge.h"

struct bridgemetrics;
struct event_base;

/* A port of 0 takes a free one. ERR_NOMEM, a negated errno. */
int bridgemetrics_new(struct bridgemetrics **out, struct event_base *base, const struct addr *listen, const struct bridge *bridge,
                      const struct sip_line *lines, unsigned nlines);
/* NULL-safe; nulls the pointer. */
void bridgemetrics_free(struct bridgemetrics **m);
struct addr bridgemetrics_address(const struct bridgemetrics *m);

#endif
