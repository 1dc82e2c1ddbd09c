/*
 * Purpose:  a question about the allocations of one worker, answered there in steps, so that no packet waits for it.
 * Owner:    whoever has it: the control thread, or the worker that it has been handed to.
 * Lifetime: the asker's; nothing in it points into the worker.
 * Callers:  relay/relayask asks, relay/worker hands it here.
 * RFC:      none.
 */
#ifndef RELAY_QUERY_H
#define RELAY_QUERY_H

#include <stdatomic.h>

#include "relay/question.h"
#include "relay/shard.h"

enum {
    QUERY_PASS_MAX =
        256, /* allocations and slots of their table in one pass of the worker, for all questions together: some 0.1 ms */
};

enum query_kind { QUERY_LIST, QUERY_SHOW, QUERY_CLOSE };

struct query {
    struct query *next;   /* in the queue where it waits */
    atomic_bool given_up; /* by the asker: nothing more is to be done for it */
    enum query_kind kind;
    struct relay_filter filter; /* of QUERY_LIST; its user is NULL or `user` */
    char user[STUN_USERNAME_MAX + 1];
    uint64_t id; /* of the other two */
    uint64_t at; /* where to go on in the worker's table (map_walk); 0: at its begin */
    bool full;   /* there is one more behind the `limit` that were found: it stands at `at` */
    size_t n, limit;
    struct relay_allocation *found;       /* room for `limit` */
    struct relay_permission *permissions; /* of QUERY_SHOW: room for ALLOC_PERMISSIONS_MAX, */
    struct relay_channel *channels;       /* and for ALLOC_CHANNELS_MAX */
    /* Gives it back, on the worker's thread. It is the asker's then. */
    void (*back)(struct query *q);
};

/* Goes on with it for `*most` allocations and slots, which count down. True: this worker has no more to say. */
bool query_step(struct shard *s, struct query *q, size_t *most);

#endif
