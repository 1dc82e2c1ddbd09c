/*
 * Purpose:  a hello: is the token good, is it for that, which session is it to be; then ICE servers, and the answer.
 * Owner:    the connect thread.
 * Lifetime: from the request to its answer, or the end of its connection.
 * Callers:  connect/desk.
 * RFC:      8489 section 9.2.2 (keys); docs/connect-protocol.md.
 */
#ifndef CONNECT_HELLO_H
#define CONNECT_HELLO_H

#include "connect/deskparts.h"

/* RPC_OK: it answers itself, now or later. Else the caller answers; `detail` is static. */
enum rpc_error hello_begin(struct desk_seat *seat, const struct rpc_message *m, const char **detail);
/* Silence. */
void hello_cancel(struct desk_seat *seat);
/* Refuses those whose credential was good a moment ago. */
void hello_revoke(struct desk *d, const struct auth_revocation *revocation);

#endif
