/*
 * Purpose:  what a bridge's probe has found: judged member by member, and made anew of what is known.
 * Owner:    any thread; stateless.
 * Lifetime: what it makes is the caller's.
 * Callers:  connect/deskprobe.
 * RFC:      docs/connect-protocol.md, "probe.done"; docs/probe-report.schema.json.
 */
#ifndef CONNECT_PROBEREPORT_H
#define CONNECT_PROBEREPORT_H

#include "connect/rpc.h"

enum {
    PROBEREPORT_RULES_MAX = 64,   /* as many as a file of rules may have */
    PROBEREPORT_TEXT_MAX = 512,   /* bytes of evidence, a cure, or a line to add */
    PROBEREPORT_NAME_MAX = 253,   /* bytes of a host's name (RFC 1035 section 2.3.4), or of a rule's own words */
    PROBEREPORT_WORD_MAX = 32,    /* bytes of a code */
    PROBEREPORT_ADDRESS_MAX = 63, /* bytes of an address with its port */
};

struct probereport {
    char *text;          /* in JSON, malloc'ed, with known members alone: null is what was not measured */
    const char *verdict; /* "PASS": the heaviest of its rules, also in `text`; static */
    unsigned rules;
};

/* RPC_PARAMS: `wrong` (static) names a member that is missing or not as it should be; RPC_UNAVAILABLE: no memory. On errors `out` is zeroed. `from` may be NULL. */
enum rpc_error probereport_read(struct probereport *out, const json_t *from, const char **wrong);

#endif
