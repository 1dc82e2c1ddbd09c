/*
 * Purpose:  turnpike-probe --generate: what it is told, and the rules of a firewall that it writes.
 * Owner:    the program's one thread.
 * Lifetime: one run; `from` borrows from the arguments.
 * Callers:  programs/turnpike-probe.
 * RFC:      none.
 */
#ifndef PROGRAMS_PROBEGENERATE_H
#define PROGRAMS_PROBEGENERATE_H

#include <stdbool.h>

#include "probe/generate.h"

struct probegenerate {
    bool wanted, side_given, ports_given;
    enum generate_format format;
    enum generate_place place;
    enum openings_side side;
    const char *from;
    uint16_t min_port, max_port;
};

/* Its options, behind those of the program. */
enum { PROBEGENERATE_FORMAT = 512, PROBEGENERATE_SIDE, PROBEGENERATE_AT, PROBEGENERATE_FROM, PROBEGENERATE_PEERS_OUTSIDE };

/* One option's value (NULL: without one); false when it can't be read. */
bool probegenerate_take(struct probegenerate *g, int option, const char *value);
/* Writes to standard output. 0; ERR_CONFIG or ERR_IO, and why on standard error. */
int probegenerate_run(const struct probegenerate *g, const struct rules *rules, const struct probe_host host[static RULES_HOST]);

#endif
