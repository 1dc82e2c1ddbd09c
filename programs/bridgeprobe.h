/*
 * Purpose:  the bridge proves the firewall's rules: those of its own place, when the connect service asks (probe.start), and as the other end of a probe that calls it.
 * Owner:    the thread of the event base, which media of calls are on, too: nothing here waits.
 * Lifetime: bridgeprobe_new to bridgeprobe_free, within that of the bridge; borrows what it is given.
 * Callers:  programs/turnpike-bridge.c.
 * RFC:      docs/connect-protocol.md, `probe.start`; probe/mark.h for the calls.
 */
#ifndef PROGRAMS_BRIDGEPROBE_H
#define PROGRAMS_BRIDGEPROBE_H

#include <jansson.h>
#include <stdbool.h>

#include "bridge/bridge.h"
#include "programs/bridgeconfig.h"

struct bridgeprobe;

/* ERR_INVAL (the URL or the authorities of the connect service), ERR_NOMEM. */
int bridgeprobe_new(struct bridgeprobe **out, struct event_base *base, const struct bridgeconfig *config, struct bridge *bridge);
/* Ends what goes on, and tells who waits for it. NULL-safe; nulls the pointer. */
void bridgeprobe_free(struct bridgeprobe **p);
/* A notification of the connect service; true: it was for a probe. */
bool bridgeprobe_message(struct bridgeprobe *p, const char *method, const json_t *params);
/* Is the call of this id a probe's? */
bool bridgeprobe_has_call(const struct bridgeprobe *p, const char *id);
/* The session at the connect service is over: what goes on ends, and nobody is left to be told. */
void bridgeprobe_lost(struct bridgeprobe *p);

#endif
