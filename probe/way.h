/*
 * Purpose:  one way of a stream of numbered packets, as who hears it counts them: each once, in order or not, and how evenly they come.
 * Owner:    one thread.
 * Lifetime: a plain value, zero at first.
 * Callers:  probe/stream, probe/far.
 * RFC:      3550 section 6.4.1 (jitter).
 */
#ifndef PROBE_WAY_H
#define PROBE_WAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WAY_INTERVAL_MS = 20,   /* between two packets: a telephone's */
    WAY_PAYLOAD = 172,      /* bytes of 20 ms of G.711 in RTP */
    WAY_SLOW_PACKETS = 500, /* ten seconds */
    WAY_QUICK_PACKETS = 150,
    WAY_LOSS_HIGH = 2, /* per cent: beyond, G.711 with concealment is heard to suffer */
};

struct way {
    uint32_t received, highest, reordered;
    int64_t transit_us; /* of the last packet */
    double jitter_us;
    uint8_t seen[(WAY_SLOW_PACKETS + 7) / 8];
};

/* A packet with a number below `packets`. `transit_us`: by two clocks it may be anything, as long as both go evenly. False: it has been here before, or is
 * none of the stream. */
bool way_take(struct way *w, uint32_t sequence, uint32_t packets, int64_t transit_us);

#endif
