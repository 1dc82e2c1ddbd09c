/*
 * Purpose:  what relay/relay.c and its sisters know of a relay.
 * Owner:    the control thread; the workers own what lies behind `workers`.
 * Lifetime: that of the relay.
 * Callers:  relay/relay*.c. Private to them.
 * RFC:      none.
 */
#ifndef RELAY_RELAYPARTS_H
#define RELAY_RELAYPARTS_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

#include "relay/relay.h"
#include "relay/worker.h"

/* Questions on their way. Each is with a worker, or in the box, until it comes back. */
struct questions {
    struct event_base *base;              /* NULL: nobody asks */
    struct relay_question *oldest, **end; /* those that are to be answered */
    struct event come, late;
    int fd; /* wakes the loop; -1: none */
    pthread_mutex_t lock;
    struct query *box; /* come back, newest first */
    size_t open;       /* that have not come back for good */
};

struct relay {
    struct ports *ports;
    struct nonce_key nonce_key;
    struct throttle *throttle;
    struct memory *memory;
    struct policy *policy; /* in force; our own reference */
    struct worker *workers;
    unsigned nworkers;
    int feed_fd;                             /* -1: no feed */
    struct addr listen[RELAY_LISTENERS_MAX]; /* with the port in use */
    size_t nlisten, nprimary;                /* all of them; those before the ones on the second port */
    struct alternates alternates;
    struct questions questions;
    uint64_t looked_ms; /* the last time; */
    unsigned nhung;     /* what it has found */
};

/* Of relay/relayask.c. The workers are gone before the second. */
void relay_init_questions(struct relay *r);
void relay_deinit_questions(struct relay *r);

#endif
