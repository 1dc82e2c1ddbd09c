/*
 * Purpose:  what goes out on one leg as one RTP stream: its own SSRC, sequence numbers and timestamps that go on, whatever sources feed it.
 * Owner:    the bridge's one thread.
 * Lifetime: a plain value.
 * Callers:  bridge/media.
 * RFC:      3550 sections 5.1 and 7.1 (a translator that hides its sources).
 */
#ifndef BRIDGE_FLOW_H
#define BRIDGE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge/rtp.h"

enum { FLOW_CLOCK_HZ = 8000 }; /* of everything that telephones send */

struct flow {
    uint32_t ssrc; /* ours */
    bool fed;      /* `source` is what the last packet came from */
    uint32_t source;
    uint16_t seq_shift; /* what is added to the source's numbers */
    uint32_t time_shift;
    uint16_t seq; /* the newest that went out */
    uint32_t timestamp;
    uint64_t at_ns;
    uint32_t packets, octets; /* for sender reports */
};

/* A random SSRC, first number and timestamp. */
void flow_init(struct flow *f, uint64_t now_ns);
/* Makes a packet of a source one of ours. A new source, or a jump in its numbers, goes on where the last ended, with a marker. */
void flow_feed(struct flow *f, struct rtp *p, uint64_t now_ns);
/* A packet of the source that isn't sent: the next one closes the gap. */
void flow_skip(struct flow *f, const struct rtp *p);
/* A packet of our own between those of the source: number, SSRC, and unless it has one (`timed`) the timestamp of now. */
void flow_insert(struct flow *f, struct rtp *p, bool timed, uint64_t now_ns);
/* Counts what has gone out. */
void flow_sent(struct flow *f, size_t payload_len);
/* The timestamp that belongs to a time. */
uint32_t flow_timestamp(const struct flow *f, uint64_t now_ns);

#endif
