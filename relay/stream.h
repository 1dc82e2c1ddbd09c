/*
 * Purpose:  TCP clients of a worker: accept, cut into frames, queue what goes back.
 * Owner:    the worker's thread. SO_REUSEPORT gives each worker its own listening socket, so the accepter is the owner.
 * Lifetime: streams_new to streams_free.
 * Callers:  relay/worker; relay/relay adds the listeners. TLS docks here: a bufferevent with a filter instead of a plain one.
 * RFC:      8656 sections 3.1 and 12.5, 8489 section 6.2.2.
 */
#ifndef RELAY_STREAM_H
#define RELAY_STREAM_H

#include "relay/worker.h"

enum {
    STREAMS_MAX = 16384,          /* connections of one worker; each costs a descriptor and a few KB */
    STREAMS_STRANGERS_MAX = 1024, /* of those, without an allocation, by source: an office that reconnects */
    STREAM_PASS_FRAMES = 64,      /* of one stream, before others are served: as many as datagrams of a listener */
    STREAM_QUEUE_MAX = 256 << 10, /* bytes that wait for a slow reader; then packets are dropped: old media is useless */
    STREAM_FIRST_S = 10,          /* until the first whole frame: whoever connects has something to say */
    STREAM_FRAME_S = 30,        /* that one frame may take: 64 KB at the pace of a modem; who sends a byte now and then is closed */
    STREAM_IDLE_S = 60,         /* a stream without an allocation that says nothing is closed */
    STREAM_STRANGER_S = 120,    /* without an allocation, whatever it says: a stranger must not hold a place for ever */
    STREAM_UNHEARD_S = 20,      /* what we sent and nobody acknowledged: the client has vanished (F24) */
    STREAM_KEEPALIVE_S = 60,    /* of silence, before the kernel asks whether the client still lives, */
    STREAM_KEEPALIVE_TRIES = 3, /* so often, */
    STREAM_KEEPALIVE_STEP_S = 10, /* one after the other */
    STREAM_BACKLOG = 1024,        /* connections that the kernel holds for accept */
    STREAM_ACCEPT_BATCH = 32,     /* accepts in a pass */
    STREAM_ACCEPT_PAUSE_MS = 100, /* with no descriptor free, accept rests this long instead of spinning */
};

int streams_new(struct streams **out, struct worker *w);
/* Ends every stream and its allocation. */
void streams_free(struct streams **s);
/* Takes the bound, listening descriptor over, also on error. */
int streams_listen(struct streams *s, int fd);
/* A bound, listening, non-blocking TCP socket. Returns the descriptor or a negated errno. */
int stream_socket(const struct addr *bind_to);

/* Of relay/net.h: one whole frame; padding to 4 is added here (C68). */
int stream_client_send(void *net, const struct path *to, const uint8_t *data, size_t len);

#endif
