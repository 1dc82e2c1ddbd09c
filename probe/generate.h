/*
 * Purpose:  writes what firewalls have to let through, as these read it: nftables, iptables, Windows, or a table for people.
 * Owner:    the calling thread.
 * Lifetime: one call; nothing is kept.
 * Callers:  programs/turnpike-probe, units.
 * RFC:      none.
 */
#ifndef PROBE_GENERATE_H
#define PROBE_GENERATE_H

#include <stdbool.h>
#include <stdio.h>

#include "probe/openings.h"

enum generate_format { GENERATE_NFTABLES, GENERATE_IPTABLES, GENERATE_WINDOWS, GENERATE_TEXT, GENERATE_FORMATS };
/* Where the lines are to be loaded: on a firewall that forwards, or on the host itself that begins. The relay's own side is always a host's. */
enum generate_place { GENERATE_GATEWAY, GENERATE_HOST, GENERATE_PLACES };

/* "nftables", "iptables", "windows", "text"; false: it is none of them. */
bool generate_format(const char *word, enum generate_format *out);
/* "gateway", "host"; likewise. */
bool generate_place(const char *word, enum generate_place *out);
/* Whole and ready to load. Texts of the rules stand in comments only, in one line, without control characters; so does a name. Windows has a firewall of the host only.
 * What `f` can't take the caller sees by ferror. */
void generate_write(FILE *f, enum generate_format format, const struct openings *openings, enum generate_place place);

#endif
