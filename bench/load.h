/*
 * Purpose:  a load on a TURN server, bounded in time and count, and what it has shown.
 * Owner:    one thread, which load_run keeps until the load is over.
 * Lifetime: one call.
 * Callers:  programs/turnpike-bench.
 * RFC:      8656.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/addr.h"
#include "bench/meter.h"

enum {
    LOAD_SESSIONS_MAX = 60000, /* descriptors of one process, and ports of one client address */
    LOAD_DURATION_MAX_S = 3600,
    LOAD_SIZE_MIN = 24,   /* bytes: our own head in the payload */
    LOAD_SIZE_MAX = 1400, /* bytes: more would be fragmented, which is another measurement */
    LOAD_TEXT_MAX = 256,
};

enum load_mode { LOAD_UP, LOAD_DOWN, LOAD_RELAY_RELAY, LOAD_ALLOCATE, LOAD_BINDING };

struct load_credential {
    const char *user;
    const char *password;
};

struct load_config {
    enum load_mode mode;
    struct addr server;
    struct addr client_ip; /* ADDR_NONE: what the route says */
    struct addr peer_ip;   /* for up and down */
    const struct load_credential
        *credentials;    /* each new client takes the next; LOAD_ALLOCATE ends when all are used, if there is more than one */
    size_t ncredentials; /* 0: with LOAD_BINDING only */
    bool tcp;
    bool send_method;
    unsigned sessions;
    double rate;   /* packets a second of a session; allocate and binding: requests a second in all, 0: as fast as answers come */
    unsigned size; /* bytes of a payload */
    unsigned duration_s; /* that packets flow */
    pid_t server_pid;    /* 0: its CPU time is not measured */
    FILE *progress;      /* NULL: silent */
};

struct load_result {
    struct meter meter;   /* packets; or requests and answers */
    double seconds;       /* that were measured */
    uint64_t cpu_ns;      /* of the server */
    unsigned sessions;    /* that were set up */
    double setup_seconds; /* for all of them */
};

/* 0, or a negative ERR_* with a text that names cause and cure. */
int load_run(const struct load_config *config, struct load_result *out, char text[static LOAD_TEXT_MAX]);
/* Packets that were sent and never came. */
uint64_t load_lost(const struct load_result *r);

#endif
