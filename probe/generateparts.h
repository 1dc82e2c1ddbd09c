/*
 * Purpose:  what the formats of generated rules share.
 * Owner:    the calling thread.
 * Lifetime: one call.
 * Callers:  probe/generate*.c.
 * RFC:      none.
 */
#ifndef PROBE_GENERATEPARTS_H
#define PROBE_GENERATEPARTS_H

#include "probe/generate.h"

/* A firewall's own words for the way that packets take. */
enum generate_way { GENERATE_FORWARD, GENERATE_OUTPUT, GENERATE_INPUT, GENERATE_WAYS };

enum generate_way generate_way(const struct openings *openings, enum generate_place place);
/* What it is for, in a sentence. */
const char *generate_purpose(const struct openings *openings);
/* That, and what else is dropped, in lines that begin with '#'. */
void generate_head(FILE *f, const struct openings *openings, enum generate_way way);
/* What somebody else has chosen, in one line: control characters (C0, C1, line and paragraph separators) become '?'; with `ascii` everything beyond does. */
void generate_words(FILE *f, const char *words, bool ascii);
/* "# 4: The media server ...", and which name has the addresses, at the column `indent`. */
void generate_comment(FILE *f, const struct opening *o, unsigned indent, bool ascii);
/* The addresses of one family with `between` between them; how many. With f NULL they are counted only. */
size_t generate_addresses(FILE *f, const struct opening *o, enum addr_family family, const char *between);

void generate_nftables(FILE *f, const struct openings *openings, enum generate_way way);
void generate_iptables(FILE *f, const struct openings *openings, enum generate_way way);
void generate_windows(FILE *f, const struct openings *openings, enum generate_way way);
void generate_text(FILE *f, const struct openings *openings, enum generate_way way);

#endif
