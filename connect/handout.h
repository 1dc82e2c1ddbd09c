/*
 * Purpose:  ICE servers for a session: asked of the host, which may take its time, and given again while they are young.
 * Owner:    the connect thread.
 * Lifetime: a question from handout_ask to its answer or handout_cancel; after desk_free an answer goes nowhere.
 * Callers:  connect/desk, hello.
 * RFC:      W3C webrtc, RTCConfiguration; docs/connect-protocol.md.
 */
#ifndef CONNECT_HANDOUT_H
#define CONNECT_HANDOUT_H

#include "connect/deskparts.h"

/* `ice` is borrowed; NULL: they can't be had now. Called once, never from within handout_ask. */
typedef void handout_cb(void *ctx, json_t *ice);

/* RPC_LIMIT: this user has been given too many; RPC_UNAVAILABLE: no memory, or the host has no room. */
enum rpc_error handout_ask(struct handout **out, struct desk *d, const struct desk_ice *request, handout_cb *cb, void *ctx);
/* Silence for ever; what comes is retracted. NULL-safe; nulls the pointer. */
void handout_cancel(struct handout **h);
/* The desk ends: answers that are under way go nowhere. */
void handout_leave_all(struct desk *d);
/* Nobody will use them. NULL-safe. */
void handout_retract(const struct desk *d, const json_t *ice);
/* They are the session's from now on. */
void handout_keep(struct session *s, json_t *ice);
/* Those that the session has, with the `ttl` that is left, if that is more than half of it; the caller's. NULL: others are to be asked for. */
json_t *handout_young(const struct session *s);

#endif
