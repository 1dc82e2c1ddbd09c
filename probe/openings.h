/*
 * Purpose:  what a firewall has to let through for the rules to hold: one opening each, with the addresses that a name has now.
 * Owner:    the calling thread.
 * Lifetime: plain values; an opening borrows from the rules and the hosts that it was made of.
 * Callers:  probe/generate, programs/turnpike-probe, units.
 * RFC:      none.
 */
#ifndef PROBE_OPENINGS_H
#define PROBE_OPENINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "probe/probe.h"
#include "probe/rules.h"

enum {
    OPENINGS_MAX = RULES_MAX * 2 + 1,        /* of a relay's host: each rule, over TCP too, and the relayed ports */
    OPENINGS_ADDRESSES_MAX = 16,             /* of one name: more than anybody gives a service */
    OPENINGS_PREFIX_MAX = ADDR_TEXT_MAX + 4, /* bytes of "2001:db8::/32" and its NUL */
    OPENINGS_ERROR_MAX = 512,                /* bytes of an error's text and its NUL */
};

/* Whose firewall: the one of the UC server, the one of a browser, or the one of the host where relay, connect service and web app run. */
enum openings_side { OPENINGS_OFFICE, OPENINGS_BROWSER, OPENINGS_RELAY, OPENINGS_SIDES };

struct opening {
    unsigned rule;       /* its number; 0: it belongs to no rule */
    const char *to;      /* the name or IP that was given; "": this host */
    const char *service; /* "connect", "app", "relay", "host" */
    enum rules_protocol protocol;
    uint16_t port, last;                         /* a range, or twice the same */
    const char *text;                            /* for people; whoever wrote the rules' file chose it */
    struct addr address[OPENINGS_ADDRESSES_MAX]; /* IPv4 before IPv6, each once; port 0 */
    size_t n;                                    /* 0: this host */
};

struct openings_config {
    const struct rules *rules;
    enum openings_side side;
    struct probe_host host[RULES_HOST]; /* by enum rules_target; for the relay's own side the ports alone count */
    const char *from;                   /* "10.20.0.3", "10.20.0.0/16": who may begin; NULL: anybody behind the firewall */
    bool peers_outside;                 /* the relay's own side: peers reach relayed addresses without a TURN client of their own */
    uint16_t min_port, max_port;        /* the relayed ports */
    /* Writes the addresses of a name to `out`, `max` at most; their number, or a negated error. NULL: as this host resolves it. */
    int (*resolve)(const char *name, struct addr *out, size_t max);
};

/* In the order of the rules. */
struct openings {
    enum openings_side side;
    char from[OPENINGS_PREFIX_MAX]; /* "10.20.0.3", "10.20.0.0/16"; "": anybody */
    enum addr_family from_family;   /* then all addresses are of it, too; else ADDR_NONE */
    size_t n;
    struct opening item[OPENINGS_MAX];
};

/* ERR_CONFIG: a role has no host, a name is none or has no address, `from` is no prefix or of another family, or no rule is about this side; `error` says
 * which and what to do. */
int openings_make(struct openings *out, const struct openings_config *config, char error[static OPENINGS_ERROR_MAX]);

/* "office", "browser", "relay": as a user writes it; false: it is none of them. */
bool openings_side(const char *word, enum openings_side *out);
const char *openings_side_name(enum openings_side side);
/* Has any of them an address of this family? An opening of this host itself has both. */
bool openings_family(const struct openings *o, enum addr_family family);

#endif
