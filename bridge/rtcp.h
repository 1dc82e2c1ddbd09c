/*
 * Purpose:  RTCP: compound packets read and written, and what a receiver knows of a source: loss, jitter, round trip.
 * Owner:    any thread; a struct rtcp_source is its holder's.
 * Lifetime: what is decoded borrows its buffer.
 * Callers:  bridge/media.
 * RFC:      3550 sections 6.4 to 6.6, appendices A.1, A.3, A.8; 5506 (a compound packet may begin with anything).
 */
#ifndef BRIDGE_RTCP_H
#define BRIDGE_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

enum {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_BLOCK_LEN = 24,   /* bytes of a report block, section 6.4.1 */
    RTCP_CNAME_MAX = 32,   /* bytes of ours */
    RTCP_REPORT_MAX = 128, /* bytes of what rtcp_report writes: SR with a block 52, SDES 46 at most, BYE 8 */
};

struct rtcp {
    uint8_t type;
    uint32_t ssrc; /* of the sender: SR, RR; of the first source: SDES, BYE */
    uint64_t ntp;  /* SR: its time stamp, and what was sent until then */
    uint32_t timestamp, packets, octets;
    const uint8_t *blocks; /* SR, RR: `nblocks` report blocks, borrowed */
    unsigned nblocks;
};
struct rtcp_block {
    uint32_t ssrc;
    uint8_t fraction; /* lost since the last report, of 256 */
    int32_t lost;     /* in all, 24 bits; duplicates can make it negative */
    uint32_t highest; /* sequence number with its cycles */
    uint32_t jitter;  /* timestamp units */
    uint32_t lsr;     /* middle of the NTP stamp of the last SR; 0: none */
    uint32_t dlsr;    /* 1/65536 s since it came */
};

/* The next packet of a compound one: 1, 0 at the end, ERR_TRUNCATED or ERR_MALFORMED. Types that aren't named above are told with their type alone. */
int rtcp_next(struct wire *w, struct rtcp *out);
struct rtcp_block rtcp_block_at(const struct rtcp *r, unsigned n);

/* What goes out in one compound packet. */
struct rtcp_report {
    uint32_t ssrc;
    bool sender; /* SR with the four numbers below, else RR */
    uint64_t ntp;
    uint32_t timestamp, packets, octets;
    const struct rtcp_block *block; /* NULL: none */
    const char *cname;
    bool bye;
};
/* Returns the length. A longer CNAME is cut. */
size_t rtcp_report(uint8_t out[static RTCP_REPORT_MAX], const struct rtcp_report *r);

/* What has come from one source. All zero: nothing yet. */
struct rtcp_source {
    bool started, timed; /* a packet has come; one whose transit time is known */
    uint32_t ssrc;
    uint16_t max_seq;
    uint32_t cycles, base, bad;              /* appendix A.1 */
    uint32_t received;                       /* since `base` */
    uint32_t expected_prior, received_prior; /* at the last report */
    uint64_t lost_before;                    /* of sources and runs that were before this one */
    uint32_t transit;
    double jitter; /* timestamp units */
    uint32_t lsr;  /* of its last SR, and when it came */
    uint64_t sr_ntp;
};
/* A packet of the source. `arrival`: any clock, in timestamp units. `timed` false: it says nothing of jitter (an event keeps the timestamp of its begin). */
void rtcp_source_packet(struct rtcp_source *s, uint32_t ssrc, uint16_t seq, uint32_t timestamp, uint32_t arrival, bool timed);
void rtcp_source_sr(struct rtcp_source *s, const struct rtcp *sr, uint64_t ntp_now);
/* A block for the next report, which begins a new interval. False: nothing has come. */
bool rtcp_source_block(struct rtcp_source *s, uint64_t ntp_now, struct rtcp_block *out);
/* Lost in all; late duplicates don't make it less than 0. */
uint64_t rtcp_source_lost(const struct rtcp_source *s);

/* Seconds there and back, of a block about what we send (section 6.4.1); negative: it doesn't tell. */
double rtcp_rtt(const struct rtcp_block *b, uint64_t ntp_now);
/* An NTP time stamp of nanoseconds since 1970. */
uint64_t rtcp_ntp(uint64_t unix_ns);

#endif
