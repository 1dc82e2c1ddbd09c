/*
 * Purpose:  JSON-RPC 2.0 as the connect service speaks it: requests and notifications in, results, errors and notifications out.
 * Owner:    any thread; stateless.
 * Lifetime: a struct rpc_message from rpc_read to rpc_clear; texts are the caller's to free.
 * Callers:  connect/desk and what stands behind it.
 * RFC:      8259; JSON-RPC 2.0; docs/connect-protocol.md.
 */
#ifndef CONNECT_RPC_H
#define CONNECT_RPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "connect/link.h"

enum {
    RPC_TEXT_MAX = LINK_MESSAGE_MAX,
    RPC_DEPTH_MAX = 16,  /* of objects and arrays in each other: a parser that calls itself is bounded before it starts */
    RPC_ID_MAX = 64,     /* bytes of an id */
    RPC_METHOD_MAX = 64, /* bytes of a method's name */
};

/* In the order of docs/connect-protocol.md. */
enum rpc_error {
    RPC_OK,
    RPC_PARSE,
    RPC_REQUEST,
    RPC_METHOD,
    RPC_PARAMS,
    RPC_UNAUTHORIZED,
    RPC_FORBIDDEN,
    RPC_UNAVAILABLE,
    RPC_NO_SESSION,
    RPC_NO_BRIDGE,
    RPC_NO_PHONE,
    RPC_NO_CALL,
    RPC_STATE,
    RPC_LIMIT,
    RPC_ERRORS
};
/* The stable word: "unauthorized". Never NULL. */
const char *rpc_reason(enum rpc_error error);

struct rpc_message {
    json_t *root;       /* what the others borrow from; NULL: nothing was read */
    json_t *id;         /* NULL: a notification, or an id that is none */
    const char *method; /* not empty */
    json_t *params;     /* an object; NULL: none was sent */
};

/* Reads one message. RPC_OK; else RPC_PARSE or RPC_REQUEST, with what is wrong in `why` (static), and the id in `out` if there is a good one. What is in `out` is
 * the caller's to clear in each case. */
enum rpc_error rpc_read(struct rpc_message *out, const char *text, size_t len, const char **why);
void rpc_clear(struct rpc_message *m);

/* Each makes one message, NUL-terminated, whose length is in `len`; NULL: no memory. `result` and `params` are taken over, also when they are NULL for want of
 * memory; a NULL id becomes null. */
char *rpc_result(size_t *len, const json_t *id, json_t *result);
char *rpc_notification(size_t *len, const char *method, json_t *params);
/* `detail`: what the message says behind the error's own words, for people; NULL: nothing. */
char *rpc_failure(size_t *len, const json_t *id, enum rpc_error error, const char *detail);

#endif
