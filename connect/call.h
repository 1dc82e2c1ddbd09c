/*
 * Purpose:  calls between a phone and a bridge: who may say what in which state, and how they end.
 * Owner:    the connect thread.
 * Lifetime: from call.start to the call.ended.
 * Callers:  connect/desk, session, hello.
 * RFC:      docs/connect-protocol.md, "Calls".
 */
#ifndef CONNECT_CALL_H
#define CONNECT_CALL_H

#include "connect/deskparts.h"

enum {
    CALL_UNANSWERED_S = 300, /* that a call may ring: longer than RFC 3261's timer C, with which a PBX gives up before */
    LEG_RELAYED_MAX = 16,    /* relayed addresses of one leg that are told of: two or three, and again after each ICE restart */
    CALL_STATS_MS = 1000,    /* between two call.stats of one leg that are passed on */
    CALL_SDP_MAX = 32768,    /* bytes of a description: three times what a browser with many addresses makes */
};

/* A request: makes a call, and its `result` is the caller's. RPC_OK, or why not; `detail` (static, or borrowed from a table) may say more. */
enum rpc_error call_start(struct session *s, const json_t *params, json_t **result, const char **detail);
/* Any other method of calls: judged, and passed on. Likewise. */
enum rpc_error call_message(struct session *s, const char *method, json_t *params, const char **detail);

/* Ends all calls of a session, which is told, too. */
void call_end_all(struct session *s, enum desk_reason reason);
/* [{"call":…,"state":…}]; NULL: no memory. */
json_t *call_list(const struct session *s);
/* What rings at a phone is told once more: it may have been said into a connection that was dead. */
void call_ring_again(struct session *s);
/* Ends those that nobody answers. */
void call_sweep(struct desk *d);

#endif
