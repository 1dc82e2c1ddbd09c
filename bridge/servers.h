/*
 * Purpose:  the STUN and TURN servers that calls are given: parsed, their names resolved.
 * Owner:    the bridge's one thread.
 * Lifetime: servers_new to servers_free.
 * Callers:  bridge/media.
 * RFC:      7064 and 7065 (URIs).
 */
#ifndef BRIDGE_SERVERS_H
#define BRIDGE_SERVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "bridge/media.h"

struct event_base;
struct servers;

enum server_kind { SERVER_STUN, SERVER_TURN_UDP, SERVER_TURN_TCP };
struct server {
    enum server_kind kind;
    struct addr addr;
    char username[sizeof(((struct media_server *)0)->username)], password[sizeof(((struct media_server *)0)->password)];
};

/* ERR_NOMEM. */
int servers_new(struct servers **out, struct event_base *base);
/* No callback any more. What was looked up lets go of its memory from the loop, which has to run once more. */
void servers_free(struct servers **s);
/* Replaces what there was. A `turns:` or a transport that we don't have is left out. ERR_INVAL: one that can't be read, or one too many; then nothing has
 * changed. `ready` is called from the loop once all names are resolved or given up, unless none was open when this returns. A name that there was before keeps its address
 * until it has another one; one that is not answered is asked for again every 10 s. */
int servers_set(struct servers *s, const struct media_server *list, size_t n, void (*ready)(void *ctx), void *ctx);
/* False while names are being resolved that have no address yet. */
bool servers_ready(const struct servers *s);
/* The n-th that has an address; NULL: no further one. */
const struct server *servers_at(const struct servers *s, size_t n);

#endif
