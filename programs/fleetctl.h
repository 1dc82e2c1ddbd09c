/*
 * Purpose:  turnpikectl's commands about a fleet: its nodes, draining, and lists of ICE servers.
 * Owner:    one thread that may wait.
 * Lifetime: one call each.
 * Callers:  programs/turnpikectl.c.
 * RFC:      none (RTCConfiguration.iceServers of the W3C's WebRTC).
 */
#ifndef PROGRAMS_FLEETCTL_H
#define PROGRAMS_FLEETCTL_H

#include "auth/tokenstore.h"
#include "programs/config.h"

enum {
    FLEETCTL_ICE_NODES = 2, /* of a list: browsers warn from the fifth URL on, and a client tries them all */
    FLEETCTL_TTL_S = 86400, /* of its token */
    FLEETCTL_WHY_MAX = 320,
};

struct fleetctl {
    const struct config *config;
    struct tokenstore *store;
    const char *node;  /* NULL: the configuration's */
    const char *owner; /* of the token; NULL: "ice" */
    int64_t expires_at;
    int64_t now;
    bool off, json;
    char why[FLEETCTL_WHY_MAX]; /* what failed, and why */
};

/* 0, or an error with `why`; what is asked for is printed. */
int fleetctl_nodes(struct fleetctl *f);
int fleetctl_drain(struct fleetctl *f);
int fleetctl_ice_servers(struct fleetctl *f);

#endif
