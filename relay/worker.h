/*
 * Purpose:  one worker thread: event loop, clock, mailbox, rings to the other workers; what relay/udp and relay/stream hang on.
 * Owner:    its own thread; other threads only post letters and write to the rings that lead here.
 * Lifetime: worker_init to worker_deinit, around the life of the thread.
 * Callers:  relay/relay starts and ends it; relay/udp and relay/stream use it. Private to relay/.
 * RFC:      none.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/ring.h"
#include "relay/alloc.h"
#include "relay/feeder.h"
#include "relay/query.h"
#include "relay/shard.h"

enum {
    RING_BYTES = 1 << 20, /* of each ordered pair of workers: 20 ms of 250 Mbit/s; more queued would be late anyway */
    RING_PASS_MAX = 256,  /* records taken from one ring in a pass, so that no ring starves a socket */
    TICK_MS = 250,        /* a wheel's tick */
    END_PASS_MAX = 64,    /* allocations ended in a pass, when all do: their sockets are closed, some 0.5 ms */
    ACCEPT_LOG_S = 60,    /* between two lines that tell that accept rests: whoever connects can cause it */
    EVENTS_LOGGED_PER_S =
        50, /* lines a second of allocations, and as many of strangers, by worker; the rest is counted (habit 11) */
};

struct udp;
struct streams;

/* What is posted to a worker: a mail of another worker; from the control thread new settings, a revocation, the word that some may have been missed,
 * a question, or the end of all allocations; from the connect thread what an allocation is for. */
struct letter {
    struct letter *next;
    enum { LETTER_MAIL, LETTER_SETTINGS, LETTER_REVOCATION, LETTER_RECHECK, LETTER_QUERY, LETTER_END, LETTER_CALL } kind;
    struct mail mail;
    struct relay_settings settings;
    struct policy *policy;
    struct auth_revocation revocation;
    struct query *query;
    const char *reason; /* of LETTER_END; static */
    unsigned space;     /* of LETTER_CALL, as the following: where it relays, whose it must be */
    uint16_t port;
    char user[STUN_USERNAME_MAX + 1], call[ALLOC_CALL_MAX];
};

struct worker {
    struct shard shard;
    unsigned index, count;
    struct worker *all; /* the array of `count` workers that this one is in */
    struct counters counters;
    pthread_t thread;
    bool started;
    struct event_base *base;
    struct event tick;
    struct event wake;
    int wake_fd;
    atomic_bool stopping;
    bool timed; /* this pass has asked the clock */
    _Atomic uint64_t ticked_ms;
    bool told_hang; /* the control thread's */

    pthread_mutex_t mailbox_lock;
    struct letter *mailbox; /* newest first */

    struct ring **rings; /* [from]: what other workers splice to here */
    bool *dirty;         /* [to]: written to in this pass, to be woken at its end */

    struct udp *udp;
    struct streams *streams;
    uint64_t accept_told_ms; /* 0: not yet */
    struct feeder feeder;

    struct query *queries, **queries_end; /* oldest first; each goes on in the next pass where this one ends */

    const char *ending; /* the reason why all allocations end, as many a pass as may; NULL: they do not */
    uint64_t end_at;

    struct rate log_rate, log_allocations;
    uint64_t log_suppressed;
};

/* ERR_NOMEM, ERR_IO. The shard is up when it returns; sockets are added by relay/udp and relay/stream. */
int worker_init(struct worker *w, const struct shard_config *config, struct worker *all, unsigned count);
void worker_deinit(struct worker *w);
/* From now on it tells what happens to its allocations, and writes to `wake_fd` after each pass that has told something. Before worker_start.
 * ERR_NOMEM. */
int worker_feed(struct worker *w, int wake_fd);
int worker_start(struct worker *w);
/* Asks it to end; from any thread. */
void worker_stop(struct worker *w);
void worker_join(struct worker *w);
/* From any thread; takes the letter over. */
void worker_post(struct worker *w, struct letter *letter);
/* There is nothing to take a connection with (F9): counted, and told at a bounded rate. */
void worker_accept_rests(struct worker *w, int err);
/* The first call of a pass asks the clocks: every callback calls it first. */
void worker_time(struct worker *w);

#endif
