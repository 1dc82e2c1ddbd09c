/*
 * Purpose:  the admin plane: REST, metrics, events and the dashboard, on a Unix socket and, if wanted, on TCP.
 * Owner:    the control thread, on its event base; no thread of its own.
 * Lifetime: admin_new to admin_free. Calls that operations hold when it ends are answered into the void: give them back before.
 * Callers:  programs/turnpiked.
 * RFC:      9110, 9112 (HTTP), 6750 (bearer tokens), 9457 (problems).
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stddef.h>

#include "admin/call.h"
#include "base/addr.h"

struct admin;
struct event_base;

/* Every limit of the admin plane, with its unit and reason (S22, F26). */
enum {
    ADMIN_CONNECTIONS_MAX = 128,    /* of each socket: 50 pollers, dashboards, and room */
    ADMIN_CONNECTIONS_SOURCE = 64,  /* of those, by source address */
    ADMIN_CONNECTION_BYTES = 32768, /* memory of a connection: bounds its headers, and what waits to be sent */
    ADMIN_BODY_MAX = 65536,         /* bytes of a body: a peer policy of a thousand entries */
    ADMIN_DISCARD_MAX =
        1048576,              /* bytes of one that is too large, and is read to its end all the same, so that the refusal arrives */
    ADMIN_REQUEST_MS = 10000, /* for the head of a connection's first request, and as much for each body */
    ADMIN_IDLE_S = 30,        /* for the head of each further request, the silence before it included; and to take an answer */
    ADMIN_DEADLINE_MS = 8000, /* for an operation: Redis has 5 s, a worker 1 s */
    ADMIN_BEAT_MS = 15000,    /* between two signs of life to a reader of events: proxies give up after 30 to 60 s */
    ADMIN_REPLAYS_MAX = 256,  /* answers that are kept for a repetition with the same Idempotency-Key, */
    ADMIN_REPLAY_MS = 600000, /* for so long: some hold a password */
    ADMIN_TEXT_MAX = 512,
};

struct admin_config {
    struct event_base *base;
    const char *socket_path; /* NULL: none */
    struct addr listen;      /* ADDR_NONE: no TCP; port 0: a free one */
    const char *cert, *pkey; /* files, PEM; NULL: no TLS, and only on loopback */
    const char *tokens_path; /* file of bearer tokens; admin/bearer.h */
    const char *const *origins;
    size_t norigins;
    admin_operation_fn *const *operations; /* ADMIN_OPERATIONS_N; borrowed, as ctx */
    void *ctx;
};

/*
 * Binds and serves. On error `text` tells the cause and the cure: ERR_CONFIG (beyond loopback without TLS; certificate and key can't be
 * read or don't fit), ERR_ADDRINUSE and others of bind(2), ERR_NOMEM. A Unix socket that can't be had is an error of its own: ERR_EXIST
 * (somebody serves there) or its errno, with everything else up; then `*out` is set.
 */
int admin_new(struct admin **out, const struct admin_config *config, char text[static ADMIN_TEXT_MAX]);
void admin_free(struct admin **a);
/* Reads certificate and key again, and takes the new origins; what is wrong leaves the old ones in force. ERR_CONFIG, ERR_NOMEM. */
int admin_reload(struct admin *a, const struct admin_config *config, char text[static ADMIN_TEXT_MAX]);
/* The TCP address in use; ADDR_NONE: none. */
struct addr admin_address(const struct admin *a);
/* Something has happened: `data` (an object, taken over) goes to those who watch; admin/event.h has the types. NULL-safe. */
void admin_tell(struct admin *a, const char *type, json_t *data);

/* Requests without a token that is good (401), or by somebody known who may not do that (403). */
uint64_t admin_refusals(const struct admin *a, bool known);

#endif
