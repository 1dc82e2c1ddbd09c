/*
 * Purpose:  the connection to the connect service, as the rule of the WebSocket has left it, for the rule of the relay to reach the other end by.
 * Owner:    the thread of the run.
 * Lifetime: from the step of the WebSocket to the end of the run.
 * Callers:  probe/meet, probe/far, probe/probe.
 * RFC:      docs/connect-protocol.md.
 */
#ifndef PROBE_HOLD_H
#define PROBE_HOLD_H

#include <jansson.h>

struct connect_client;
struct hold;

/* A notification of the service; `params` are borrowed. */
typedef void hold_message(void *ctx, const char *method, const json_t *params);

/* From now on, in place of an earlier one; NULL: nobody listens. */
void hold_listen(struct hold *h, hold_message *message, void *ctx);
/* The last call.incoming, since before anybody listened; borrowed. NULL: there was none. */
const json_t *hold_call(const struct hold *h);
/* Borrowed. */
struct connect_client *hold_client(const struct hold *h);
/* NULL-safe; nulls the pointer. */
void hold_free(struct hold **h);

#endif
