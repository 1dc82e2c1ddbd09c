/*
 * Purpose:  one ICE agent: candidates, checks, the selected pair, datagrams over it. libnice behind a narrow door.
 * Owner:    the bridge's one thread; an agent has a GMainContext of its own, pumped on the event base.
 * Lifetime: ice_new to ice_close; closing goes on by itself until the relay has been told, at most until ice_yard_clear.
 * Callers:  bridge/media.
 * RFC:      8445, 8838 (trickle), 7675 (consent), 8839.
 */
#ifndef BRIDGE_ICE_H
#define BRIDGE_ICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "bridge/media.h"
#include "bridge/sdp.h"
#include "bridge/servers.h"

struct event_base;
struct ice;

enum {
    ICE_CLOSING_MAX = 512
}; /* agents that are closing, when no new one is made: with as many that live some 10000 descriptors */

/* Agents that are closing: the last word to the relay, that an allocation is over, takes a round trip. */
struct ice_yard {
    struct ice *closing;
    unsigned n;
};
void ice_yard_clear(struct ice_yard *yard);

struct ice_config {
    struct event_base *base;
    struct ice_yard *yard; /* outlives the agent */
    bool force_relay;
    const struct addr *ips; /* addresses to gather on; none: all */
    size_t nips;
};
/* From the loop, or from within ice_gather; from within libnice either way: they may close another agent, never the one that tells. */
struct ice_events {
    void (*candidate)(void *ctx, const struct ice *ice, const char *candidate); /* NULL: no more */
    /* A pair is selected, the first or another one. */
    void (*selected)(void *ctx, const struct ice *ice, const struct media_path *path);
    /* No pair works, or consent has gone. */
    void (*failed)(void *ctx, const struct ice *ice);
    void (*packet)(void *ctx, uint8_t *buf, size_t len); /* writable until it returns */
};

/* Copies the configuration. ERR_NOMEM, ERR_IO, ERR_NOSPC (too many are closing). */
int ice_new(struct ice **out, const struct ice_config *config, const struct ice_events *events, void *ctx);
/* Nothing is told any more; nulls. */
void ice_close(struct ice **slot);
const char *ice_ufrag(const struct ice *ice);
const char *ice_pwd(const struct ice *ice);
/* ERR_INVAL. */
int ice_remote(struct ice *ice, const char *ufrag, const char *pwd);
/* "candidate:..." of the other side. ERR_MALFORMED, ERR_NOSPC: more than there may be; a name, or TCP, is left out: 0. */
int ice_remote_candidate(struct ice *ice, const char *candidate);
void ice_remote_done(struct ice *ice);
/* Host candidates come at once, the others as servers answer. ERR_IO: there is no address to gather on. */
int ice_gather(struct ice *ice, const struct servers *servers);
/* ERR_NOTCONN: no pair is selected; ERR_AGAIN. */
int ice_send(struct ice *ice, const uint8_t *buf, size_t len);

#endif
