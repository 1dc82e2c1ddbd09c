/*
 * Purpose:  a phone or a bridge behind its hello: it outlives its connection by half a minute, and what it is told meanwhile is kept for it.
 * Owner:    the connect thread.
 * Lifetime: session_new to session_end.
 * Callers:  connect/desk, hello, tenant, call, deskprobe.
 * RFC:      docs/connect-protocol.md.
 */
#ifndef CONNECT_SESSION_H
#define CONNECT_SESSION_H

#include "connect/deskparts.h"

enum {
    SESSION_RESUME_S = 30, /* that it lives without a connection */
    SESSION_PASSED_MAX =
        131072, /* bytes that are kept for it meanwhile of what others say: beyond that the call with the most ends, */
    SESSION_HELD_MAX = 196608, /* and with the ends of calls: together with the answer to its hello they fit into LINK_QUEUE_MAX */
    SESSION_PASSED_PER_S = 32768,  /* bytes that a phone says to others: a description has 10 KiB, its candidates as many again; */
    SESSION_PASSED_BURST = 131072, /* so that one phone alone can't fill the queue of a bridge */
    SESSION_USER_MAX =
        32, /* of one user at the same time: a page that is loaded again and again leaves each behind for half a minute */
    SESSION_PHONE_CALLS = 4,     /* at the same time, */
    SESSION_BRIDGE_CALLS = 1000, /* and of a bridge */
    SESSION_BRIDGE_PER_S = 2000, /* messages of a bridge: the statistics of each call, once a second, and as many others; */
    SESSION_BRIDGE_BURST = 6000, /* and how many of them at once */
};

struct session_config {
    enum desk_role role;
    const char *name, *user, *tenant, *credential; /* copied */
    int64_t expires_at;                            /* wall clock, seconds; 0: never */
};

/* Without a connection yet. RPC_LIMIT: this user has too many; RPC_UNAVAILABLE: no memory. */
enum rpc_error session_new(struct session **out, struct desk *d, const struct session_config *config);
/* Would session_new have room for one more of this user's? */
bool session_may_begin(const struct desk *d, const struct session_config *config);
/* The one of this id; NULL: there is none. */
struct session *session_find(const struct desk *d, const char *id);
/* The one of this id and secret, if it may be gone on with by whoever this is; its credential is the newer one from now on. NULL: there is none. */
struct session *session_resume(struct desk *d, const struct session_config *config, const char *id, const char *secret);
/* This is its connection from now on; one that it had is closed. What was kept for it is sent by session_flush, when the hello has been answered. */
void session_attach(struct session *s, struct desk_seat *seat);
void session_flush(struct session *s);
/* Its connection is gone, and nobody tells the connection. */
void session_detach(struct session *s);
/* It is over: its calls end with this reason, its connection with this code. Nulls the pointer. */
void session_end(struct session **s, enum desk_reason reason, enum link_code code);

/* Now, or when it comes back. `params` is taken over. */
void session_notify(struct session *s, const char *method, json_t *params);
/* What another client says, as a text, of the leg `of`: now, or when it comes back. ERR_NOSPC: so much waits for it that its own end would be near. ERR_NOMEM. */
int session_pass(struct session *s, const void *of, const char *text, size_t len);
/* Bytes of a leg that wait for it to come back; and that they need not any more. */
size_t session_held(const struct session *s, const void *of);
void session_forget(struct session *s, const void *of);
/* May it have one more call? */
bool session_has_room(const struct session *s);
/* The log's line of it, `why` may be NULL. */
void session_log(const struct session *s, const char *event, const char *why);

/* Those that are over: away for too long, their credential's time is over, or they have lost a message. */
void session_sweep(struct desk *d);
/* Ends those of a revoked credential. */
void session_revoke(struct desk *d, const struct auth_revocation *revocation);

#endif
