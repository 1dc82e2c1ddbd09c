/*
 * Purpose:  a worker's end of the feed: what happens there becomes news.
 * Owner:    the worker's thread; the control thread reads the ring.
 * Lifetime: feeder_open to feeder_close, within that of the worker.
 * Callers:  relay/worker.
 * RFC:      none.
 */
#ifndef RELAY_FEEDER_H
#define RELAY_FEEDER_H

#include "base/ring.h"
#include "relay/feed.h"
#include "relay/shard.h"

/* Zeroed: nobody listens. */
struct feeder {
    struct ring *ring;
    int fd;   /* wakes the control thread; the relay's */
    bool fed; /* since the last feeder_wake */
    struct rate rates[FEED_KINDS];
};

/* ERR_NOMEM. */
int feeder_open(struct feeder *f, int fd, uint64_t now_ms);
void feeder_close(struct feeder *f);
/* One event of this worker's shard: written to the ring, or counted when it finds no room, or strangers cause too many. */
void feeder_tell(struct feeder *f, const struct shard *s, const struct relay_event_info *e);
/* At the end of a pass. */
void feeder_wake(struct feeder *f);

#endif
