/*
 * Purpose:  a connection to the connect service, for the rule of the relay to reach the other end by: as the rule of the WebSocket has left it, or a bridge's own.
 * Owner:    the thread of the run.
 * Lifetime: from the step of the WebSocket to the end of the run; a bridge's from hold_borrow to hold_free, around a run.
 * Callers:  probe/meet, probe/far, probe/regret, probe/probe, programs/bridgeprobe.
 * RFC:      docs/connect-protocol.md.
 */
#ifndef PROBE_HOLD_H
#define PROBE_HOLD_H

#include <jansson.h>

#include "connect/client.h"
#include "probe/mark.h"

struct hold;

/* A notification of the service; `params` are borrowed. */
typedef void hold_message(void *ctx, const char *method, const json_t *params);
/* As connect_client_notify. */
typedef int hold_notify(void *ctx, const char *method, json_t *params);

/* A connection that somebody else has, on which the call `incoming` (borrowed for this call) has come: `notify` says what is to be said, until hold_free. ERR_NOMEM. */
int hold_borrow(struct hold **out, hold_notify *notify, void *ctx, const json_t *incoming);
/* What has come by it. */
void hold_take(struct hold *h, const char *method, const json_t *params);
/* NULL-safe; nulls the pointer. */
void hold_free(struct hold **h);

/* From now on, in place of an earlier one; NULL: nobody listens. */
void hold_listen(struct hold *h, hold_message *message, void *ctx);
/* The last call.incoming, since before anybody listened; borrowed. NULL: there was none, or it has ended. */
const json_t *hold_call(const struct hold *h);
/* Why the other end can't, as it has said itself; borrowed. "": it has not said so. */
const char *hold_failed(const struct hold *h);
/* As connect_client_notify. */
int hold_say(struct hold *h, const char *method, json_t *params);
/* As connect_client_request; ERR_NOTCONN on a connection that is somebody else's. */
int hold_ask(struct hold *h, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx);
/* call.hangup with a reason of docs/connect-protocol.md and a text, which may be NULL. Nothing is said for a borrowed connection's call that has ended. */
void hold_hang_up(struct hold *h, const char *call, const char *reason, const char *text);
/* How a call has ended, by the params of its call.ended: the text, or else the reason. Returns `out`. */
const char *hold_ending(const json_t *params, char out[static MARK_FAILED_MAX]);

#endif
