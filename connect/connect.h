/*
 * Purpose:  the connect service in turnpiked: the port, its thread, and the softphone page.
 * Owner:    the control thread calls; inside runs a thread of its own, the connect thread.
 * Lifetime: connect_new to connect_free.
 * Callers:  programs/ (rendezvous).
 * RFC:      6455 (WebSocket), 9112 (HTTP), 8446 (TLS).
 */
#ifndef CONNECT_CONNECT_H
#define CONNECT_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/addr.h"
#include "connect/desk.h"

struct connect;
struct event_base;

enum { CONNECT_TEXT_MAX = 512 };

struct connect_config {
    struct addr listen;      /* of the service; ADDR_NONE: off; port 0: a free one */
    struct addr app_listen;  /* of the softphone page; ADDR_NONE: off; the same as `listen`: one port serves both */
    const char *cert, *pkey; /* files, PEM; NULL: no TLS, and only on loopback */
    const char
        *url; /* what the page is told of the service, such as "wss://connect.example/connect"; NULL: made of the addresses */
    const char *stun; /* what /check is told of the relay, such as "stun:192.0.2.1:3478"; NULL: nothing. No reload changes it */
    const char *const *origins; /* of pages, beside its own, that may use the service */
    size_t norigins;
    struct auth *auth; /* borrowed; `asker` is this service's place among those who ask (auth_attach) */
    unsigned asker;
    struct desk_host host;
    /* What the host needs on the connect thread's base, before it is asked for the first time, and after the last; each may be NULL. Both are called
     * while that thread does not run. After `detach` no callback comes any more: what is pending is answered with NULL before. */
    int (*attach)(void *host, struct event_base *base);
    void (*detach)(void *host);
};

/*
 * Binds and serves. ERR_CONFIG (beyond loopback without TLS; certificate and key can't be read or don't fit), ERR_ADDRINUSE and others of
 * bind(2), ERR_NOMEM; `text` tells the cause and the cure.
 */
int connect_new(struct connect **out, const struct connect_config *config, char text[static CONNECT_TEXT_MAX]);
/* Calls end, clients are told (1001), within a second. NULL-safe; nulls the pointer. */
void connect_free(struct connect **c);
/* Would connect_reload take it? Reads certificate and key. The addresses of `config` are those in use. ERR_CONFIG, ERR_NOMEM. NULL-safe. */
int connect_check(const struct connect *c, const struct connect_config *config, char text[static CONNECT_TEXT_MAX]);
/* Reads certificate and key again, and takes the new origins and URL; what is wrong leaves the old ones in force. ERR_CONFIG, ERR_NOMEM. NULL-safe. */
int connect_reload(struct connect *c, const struct connect_config *config, char text[static CONNECT_TEXT_MAX]);
/* The addresses in use; ADDR_NONE: none. */
struct addr connect_address(const struct connect *c, bool app);
/* A credential was revoked: its sessions end. Any thread. ERR_NOMEM. NULL-safe. */
int connect_revoke(struct connect *c, const struct auth_revocation *revocation);
/* News of revocations may have been lost: everybody is asked about. Any thread. ERR_NOMEM. NULL-safe. */
int connect_recheck(struct connect *c);

/* Why connections and requests were refused before the desk saw them. */
enum connect_refusal {
    CONNECT_FULL,    /* as many connections as there may be, and none of a stranger that could make room */
    CONNECT_SOURCE,  /* one source has too many without a hello */
    CONNECT_TURN,    /* spoke TURN, which this port does not serve */
    CONNECT_CLASS,   /* spoke nothing that is known here, or no TLS where there is some */
    CONNECT_TLS,     /* the handshake failed */
    CONNECT_LATE,    /* no request in time */
    CONNECT_REQUEST, /* no good request, or for what is not there */
    CONNECT_ORIGIN,  /* a page of another origin */
    CONNECT_FRAME,   /* frames or messages that are not allowed */
    CONNECT_SLOW,    /* did not read, or did not answer pings */
    CONNECT_REFUSALS
};
const char *connect_refusal_name(enum connect_refusal refusal);
struct connect_counts {
    uint64_t connections; /* now */
    uint64_t refused[CONNECT_REFUSALS];
    struct desk_counts desk;
};
/* Any thread. NULL-safe: zeros. */
void connect_read(const struct connect *c, struct connect_counts *out);

/* As desk_bridges. Any thread. NULL-safe: an empty list. */
json_t *connect_bridges(const struct connect *c, const char *tenant);

/* As desk_probes. Any thread. NULL-safe: NULL. */
struct probes *connect_probes(const struct connect *c);
/* The bridge of this run, which probes_begin has made, is to be asked. Any thread. ERR_NOMEM. */
int connect_probe(struct connect *c, const char *id);

#endif
