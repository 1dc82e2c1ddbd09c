/*
 * Purpose:  the STUN and TURN servers that the connect service hands out, as media want them.
 * Owner:    any thread; no state.
 * Lifetime: no state.
 * Callers:  bridge/bridge.
 * RFC:      7064, 7065 (URIs); docs/connect-protocol.md, `ice.servers`.
 */
#ifndef BRIDGE_ICELIST_H
#define BRIDGE_ICELIST_H

#include <jansson.h>

#include "bridge/calls.h"
#include "bridge/media.h"

struct icelist {
    struct media_server server[MEDIA_SERVERS_MAX];
    size_t n;
    unsigned ttl_s;              /* 0: they are good for ever */
    char relay[CALLS_RELAY_MAX]; /* "HOST:PORT" of the first TURN server; "": none */
    size_t turn;                 /* which one that is */
};
/* What can't be used is left out: turns: (libnice has none), what is too long, what is too much. ERR_MALFORMED where there is no list at all. */
int icelist_read(struct icelist *out, const json_t *ice);

#endif
