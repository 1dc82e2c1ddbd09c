/*
 * Purpose:  what a run of the probe has found: for each rule a verdict, the stage, a code, evidence, the line to add, and measures.
 * Owner:    the thread of the run.
 * Lifetime: plain values: filled by probe_run, read afterwards; `rule` borrows from the rules of the run.
 * Callers:  probe/, programs/turnpike-probe.
 * RFC:      none.
 */
#ifndef PROBE_REPORT_H
#define PROBE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "probe/codes.h"
#include "probe/rules.h"

enum {
    REPORT_EVIDENCE_MAX = 320, /* bytes of what was seen, and its NUL: a line on a wide terminal */
    REPORT_ADD_MAX = 384,      /* bytes of a line to add, and its NUL: a name and what stands around it */
};

/* In their order: the first that fails is reported. */
enum report_stage {
    REPORT_NAME,     /* the name has an address */
    REPORT_REACH,    /* a connection, or an answer */
    REPORT_PROTOCOL, /* TLS, HTTP, WebSocket, STUN, unchanged */
    REPORT_AUTH,     /* token or TURN credentials */
    REPORT_RELAY,    /* relayed addresses, and permissions for them */
    REPORT_PAIR,     /* one relayed address reaches another */
    REPORT_QUALITY,  /* loss, delay, MTU, idle time-outs */
    REPORT_STAGES,
};

/* In the order of their weight. */
enum report_verdict { REPORT_SKIP, REPORT_PASS, REPORT_WARN, REPORT_FAIL, REPORT_VERDICTS };

/* RFC 5780 section 4: whether a mapping, or a filter, is the same for all destinations, for each address, or for each address and port. */
enum report_nat {
    REPORT_NAT_UNKNOWN,
    REPORT_NAT_NONE,
    REPORT_NAT_ENDPOINT,
    REPORT_NAT_ADDRESS,
    REPORT_NAT_ADDRESS_PORT,
    REPORT_NATS
};

/* 0 or ADDR_NONE: not measured. */
struct report_measures {
    uint32_t connect_us; /* until the connection was there, or the first answer */
    uint32_t open_us;    /* until the WebSocket or the page was */
    unsigned idle_s;     /* that the WebSocket was held */
    struct addr mapped;  /* server-reflexive */
    struct addr relayed; /* of the first allocation */
    uint32_t sent;       /* packets of the pair, both ways */
    uint32_t received;   /* of those, each once */
    uint32_t reordered;  /* of those */
    uint32_t rtt_us;     /* there and back over both relayed addresses: the median */
    uint32_t jitter_us;  /* RFC 3550 section 6.4.1 */
    unsigned mtu;        /* bytes of an IP packet to the relay */
    unsigned udp_idle_s; /* that an idle mapping lives at least */
    enum report_nat nat; /* the mapping */
    enum report_nat nat_filter;
};

struct report_line {
    const struct rule *rule;
    char host[RULES_HOST_MAX]; /* as it was given; "": it was not */
    uint16_t port;
    struct addr address; /* what was tried last; ADDR_NONE: never as far as that */
    enum report_verdict verdict;
    enum report_stage stage;            /* that failed or warned; of a rule that passes, the last one */
    enum code code;                     /* CODE_NONE unless WARN or FAIL */
    char evidence[REPORT_EVIDENCE_MAX]; /* what was seen, in words: no secrets, no control characters */
    char add[REPORT_ADD_MAX];           /* "allow out udp office -> 203.0.113.10:3478"; "": no rule is the cure */
    struct report_measures measures;
};

struct report {
    enum rules_source role; /* from whose place */
    bool quick;
    int64_t began; /* wall clock, seconds since 1970 */
    uint32_t took_ms;
    size_t n;
    struct report_line line[RULES_MAX]; /* in the order of the rules; those of the other role are not in it */
};

/* "name", "reach", ... */
const char *report_stage_name(enum report_stage stage);
/* "SKIP", "PASS", "WARN", "FAIL". */
const char *report_verdict_name(enum report_verdict verdict);
/* "none", "endpoint_independent", "address_dependent", "address_and_port_dependent"; "" for REPORT_NAT_UNKNOWN. */
const char *report_nat_name(enum report_nat nat);
/* The heaviest verdict; REPORT_SKIP when nothing was tried. */
enum report_verdict report_worst(const struct report *r);
/* Lost packets of the pair in per cent; 0 when none were sent. */
double report_loss(const struct report_measures *m);
/* Writes the line that opens the rule, with the address that was tried, else the name. Returns `out`. */
const char *report_rule_line(const struct report_line *l, char out[static REPORT_ADD_MAX]);
/* The same for a rule and one host of those that stand for its destination: for generators. */
const char *report_allow(const struct rule *rule, const char *host, uint16_t port, char out[static REPORT_ADD_MAX]);

#endif
