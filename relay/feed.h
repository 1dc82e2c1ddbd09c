/*
 * Purpose:  news of allocations and refusals, from the workers to the control thread: a bounded ring each, so that no worker waits; what finds no
 *           room is lost.
 * Owner:    each ring is written by its worker and read by the control thread.
 * Lifetime: that of the relay.
 * Callers:  relay/feeder tells, relay/relay reads for programs/.
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
    FEED_PER_S = 50,      /* of each kind that strangers can cause, by worker; the rest is counted (news_suppressed) */
};

enum feed_kind {
    FEED_CREATED,
    FEED_REFRESHED,
    FEED_DELETED,
    /* From here on at a bounded rate. */
    FEED_AUTH_FAILED,
    FEED_THROTTLED, /* a user and a source are not answered for a while (S15) */
    FEED_PEER_DENIED,
    FEED_QUOTA_REFUSED,
    FEED_KINDS
};

/* One piece of news; borrowed for the call. What does not belong to its kind is zero. */
struct feed_news {
    enum feed_kind kind;
    bool stream;         /* the client came by TCP */
    uint32_t lifetime_s; /* as granted, of the address that lives longest; not with FEED_DELETED */
    uint64_t
        id; /* the same in all news of an allocation, and, but for chance, in no other's of any server; 18 digits. 0: of none */
    struct addr client, server;
    struct addr peer;                                        /* of FEED_PEER_DENIED */
    uint64_t packets_up, bytes_up, packets_down, bytes_down; /* of an allocation: payloads, so far */
    uint32_t reason_at;
    char user
        []; /* the credential's name, or with FEED_QUOTA_REFUSED its owner's; "": none that is known. Then the reason. Each has its NUL */
};

/* Why it was deleted; count_failure_name; the entry that denies the peer; the limit: "user-quota". "": none. */
static inline const char *feed_reason(const struct feed_news *news)
{
    return news->user + news->reason_at;
}

typedef void feed_cb(void *ctx, const struct feed_news *news);

#endif
