/*
 * Purpose:  the rendezvous itself: who is there (sessions, tenants, presence), who calls whom (calls), and the messages between them.
 * Owner:    the connect thread. Knows no socket: links in, links out, time is an argument.
 * Lifetime: desk_new to desk_free; every seat is closed before.
 * Callers:  connect/connect (with real links), units (with fakes).
 * RFC:      JSON-RPC 2.0; docs/connect-protocol.md is the contract.
 */
#ifndef CONNECT_DESK_H
#define CONNECT_DESK_H

#include <jansson.h>

#include "auth/auth.h"
#include "base/addr.h"
#include "base/clock.h"
#include "connect/link.h"

struct desk;
struct probes;
struct desk_seat; /* a connection, before and after its hello */

/* ICE servers for a user, {"iceServers":[…],"ttl":…}, made elsewhere (the store may take seconds): with 0 exactly one callback, on the connect thread,
 * never from within the call, and maybe after desk_free; with an error none. NULL: they can't be had now. The object is borrowed. */
typedef void desk_ice_cb(void *ctx, json_t *ice);
struct desk_ice {
    const char *user, *tenant; /* borrowed for the call */
    int64_t expires_at;        /* of whoever asks, wall clock: what is handed out must not live longer; 0: never */
};
struct desk_host {
    int (*ice)(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx);
    /* Whoever was given these (borrowed) has been revoked: they are to end, too. NULL: they are left to their time. */
    void (*retract)(void *host, const json_t *ice);
    /* A side of this call relays at this address, as it says itself; `ice`: what it was given last (borrowed; NULL: nothing). NULL: nobody wants to know. */
    void (*relayed)(void *host, const char *call, const struct addr *relayed, const json_t *ice);
    void *host;
};
struct desk_config {
    struct auth *auth;
    unsigned worker; /* which asker the connect thread is to `auth` */
    struct desk_host host;
};
/* ERR_NOMEM, ERR_CRYPTO. */
int desk_new(struct desk **out, const struct desk_config *config, const struct now *now);
/* NULL-safe; nulls the pointer. */
void desk_free(struct desk **d);

/* A client has connected. `link` is copied. NULL: as many as there may be, or no memory. */
struct desk_seat *desk_open(struct desk *d, const struct link *link, const struct addr *source, const struct now *now);
/* One text message of it. */
void desk_text(struct desk_seat *seat, const char *text, size_t len, const struct now *now);
/* The connection is gone; the seat with it. The session may be resumed. */
void desk_closed(struct desk_seat *seat, const struct now *now);
/* About once a second: hellos that don't come, sessions that don't come back, credentials that are over. */
void desk_tick(struct desk *d, const struct now *now);
/* A run of the probe has begun (probes_begin): its bridge is asked. */
void desk_probe(struct desk *d, const char *id, const struct now *now);
/* What `revoke` of struct auth_live is to do: what was remembered is forgotten (auth_forget), and its sessions end, if anything ends. */
void desk_revoke(struct desk *d, const struct auth_revocation *revocation, const struct now *now);
/* What `each` of struct auth_live is to do: the names of the credentials of all sessions. */
void desk_each(struct desk *d, void (*visit)(void *visitor, const char *name), void *visitor);
/* The server stops: calls end with `shutdown`, links close with 1001. */
void desk_stop(struct desk *d, const struct now *now);

/* Why a call ends: the reasons of docs/connect-protocol.md. */
enum desk_reason {
    DESK_HANGUP,
    DESK_BUSY,
    DESK_DECLINED,
    DESK_NO_ANSWER,
    DESK_UNKNOWN_NUMBER,
    DESK_CANCELLED,
    DESK_ELSEWHERE,
    DESK_PBX_DOWN,
    DESK_PBX_ERROR,
    DESK_MEDIA_FAILED,
    DESK_MEDIA_LOST,
    DESK_PHONE_LOST,
    DESK_BRIDGE_LOST,
    DESK_TOKEN_ENDED,
    DESK_LIMIT,
    DESK_SHUTDOWN,
    DESK_REASONS
};
/* "no_answer". */
const char *desk_reason_name(enum desk_reason reason);

/* For metrics and the admin plane; written by the connect thread, read by any. */
struct desk_counts {
    uint64_t phones, bridges, calls; /* now */
    uint64_t hellos, refused, resumed, started, answered;
    uint64_t ended[DESK_REASONS];
};
void desk_read(const struct desk *d, struct desk_counts *out);
/* The bridges that have said hello, of this tenant (NULL: of all), as connect/board has them; the caller's, NULL: no memory. Any thread. */
json_t *desk_bridges(const struct desk *d, const char *tenant);
/* The runs of the probe at bridges. Any thread. */
struct probes *desk_probes(const struct desk *d);

#endif
