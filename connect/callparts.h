/*
 * Purpose:  a call and its legs, as the files of calls know them; nobody else includes it.
 * Owner:    the connect thread.
 * Lifetime: that of a call.
 * Callers:  connect/call, callpass.
 * RFC:      docs/connect-protocol.md, "Calls".
 */
#ifndef CONNECT_CALLPARTS_H
#define CONNECT_CALLPARTS_H

#include "connect/call.h"

enum call_state {
    CALL_FORKED,  /* it rings at all phones of a user, and none has taken it */
    CALL_OFFERED, /* there are a phone and a bridge, and an offer */
    CALL_RINGING,
    CALL_ANSWERED,
};

/* One side of a call. */
struct leg {
    LIST_ENTRY(leg) of_session, of_call;
    struct call *call;
    struct session *session;
    uint64_t stats_ms; /* when its last call.stats went on; 0: never */
    unsigned nrelayed; /* relayed addresses that it has named */
};

struct call {
    struct map_node by_id; /* first */
    struct desk *desk;
    char id[DESK_ID_MAX];
    enum call_state state;
    struct leg *bridge, *phone; /* phone NULL: forked */
    LIST_HEAD(, leg) legs;      /* the bridge's, and the phone's or the forked phones' */
    uint64_t started_ms, answered_ms;
    char from[DESK_TEXT_MAX + 1], name[DESK_TEXT_MAX + 1]; /* of a bridge's call: who calls */
};

/* ---- call.c ---- */

/* `silent`: who has ended it himself; NULL: nobody. Frees the call. */
void call_end(struct call *c, enum desk_reason reason, const char *text, const char *by, const struct leg *silent);

/* ---- callpass.c: what one side says to the other ---- */

/* The other side; NULL: there is none yet, or several. */
struct leg *call_peer(const struct leg *l);
/* A phone's call.start, to the bridge. RPC_LIMIT: that would be too much for it. RPC_UNAVAILABLE: no memory. */
enum rpc_error call_pass_first(const struct call *c, const json_t *params);
/* As it is. RPC_OK; RPC_LIMIT, when it is too long for a message; any other limit (RPC_LIMIT), and no memory (RPC_UNAVAILABLE), end the call, which would wait
 * for ever for what was not said: neither the call nor `from` may be used after an error. */
enum rpc_error call_pass(const struct leg *from, const char *method, json_t *params);

#endif
