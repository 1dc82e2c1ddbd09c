/*
 * Purpose:  a GMainContext that runs on a libevent loop: for libraries that know GLib's loop only (libnice, sofia-sip).
 * Owner:    the bridge's one thread.
 * Lifetime: pump_new to pump_free; the event base is borrowed for as long.
 * Callers:  bridge/ice (a context for each call), bridge/sip.
 * RFC:      none.
 */
#ifndef BRIDGE_PUMP_H
#define BRIDGE_PUMP_H

struct _GMainContext;
struct event_base;
struct pump;

/* A context of its own, on which nobody else may iterate. Its sources run from the loop alone, never from within a call here. What is attached to it (or
 * destroyed) at any time, inside or outside of its own sources, is seen by itself. ERR_NOMEM. */
int pump_new(struct pump **out, struct event_base *base);
/* The context (GMainContext), borrowed: whoever keeps it takes a reference. Once the pump is gone, nothing runs on it any more. */
struct _GMainContext *pump_context(const struct pump *p);
/* May be called from within one of its own sources; others that are ready at the same time may then still run, unless they are destroyed first. NULL-safe. */
void pump_free(struct pump **p);

#endif
