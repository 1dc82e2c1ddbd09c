/*
 * Purpose:  news of allocations from the workers to the control thread: a bounded ring each, so that no worker waits; what finds no room is lost.
 * Owner:    each ring is written by its worker and read by the control thread.
 * Lifetime: that of the relay.
 * Callers:  relay/worker tells, relay/relay reads for programs/.
 * RFC:      none.
 */
#ifndef RELAY_FEED_H
#define RELAY_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    FEED_BYTES = 1 << 18, /* of each worker: some thousand news, a burst of set-ups between two passes of the control thread */
    FEED_PASS_MAX = 256,  /* news read of one worker in a pass of the control thread */
};

enum feed_kind { FEED_CREATED, FEED_REFRESHED, FEED_DELETED };

/* One piece of news; borrowed for the call. */
struct feed_news {
    enum feed_kind kind;
    bool stream;         /* the client came by TCP */
    uint32_t lifetime_s; /* as granted, of the address that lives longest; not with FEED_DELETED */
    uint64_t id;         /* the same in all news of an allocation, and, but for chance, in no other's of any server; 18 digits */
    struct addr client, server;
    uint64_t packets_up, bytes_up, packets_down, bytes_down; /* payloads, so far */
    char user[];                                             /* the credential's name, NUL-terminated */
};

typedef void feed_cb(void *ctx, const struct feed_news *news);

#endif
