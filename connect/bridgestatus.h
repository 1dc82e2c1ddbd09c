/*
 * Purpose:  what a bridge tells of itself and its calls: judged member by member, and made anew of what is known.
 * Owner:    any thread; stateless.
 * Lifetime: what it makes is the caller's.
 * Callers:  connect/desk.
 * RFC:      docs/connect-protocol.md, "bridge.status".
 */
#ifndef CONNECT_BRIDGESTATUS_H
#define CONNECT_BRIDGESTATUS_H

#include "connect/rpc.h"

enum {
    BRIDGESTATUS_CALLS_MAX = 200,   /* calls in one status: as many as a bridge is measured with; they fit into a message */
    BRIDGESTATUS_TEXT_MAX = 255,    /* bytes of a reason */
    BRIDGESTATUS_VERSION_MAX = 32,  /* bytes of a version */
    BRIDGESTATUS_LINES_MAX = 65536, /* lines at the PBX, and calls: a bridge has far fewer, and a number is no text */
};

/* `*out`: its text in JSON, malloc'ed, of at most a message's size, with known members alone. RPC_PARAMS: `wrong` (static) names a member that is missing or not as it
 * should be; RPC_UNAVAILABLE: no memory. `params` may be NULL. */
enum rpc_error bridgestatus_read(char **out, const json_t *params, const char **wrong);

#endif
