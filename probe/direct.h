/*
 * Purpose:  packets straight between the two ends, past the relay, as ICE would send them: what arrives passes though no rule names it.
 * Owner:    the thread of the run.
 * Lifetime: direct_new to direct_free; borrows the trial.
 * Callers:  probe/meet, probe/pair, units.
 * RFC:      8445 section 5.1.1 (host and server-reflexive candidates).
 */
#ifndef PROBE_DIRECT_H
#define PROBE_DIRECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct direct;
struct end;
struct trial;

enum {
    DIRECT_NONCE = 8,      /* bytes that tell an end's packets from a stranger's */
    DIRECT_TARGETS = 4,    /* addresses of the other end: it can't send us elsewhere in masses */
    DIRECT_TEXT_MAX = 256, /* bytes of lines for a description, and their NUL */
};

/* Where the other end says that it can be reached. */
struct direct_targets {
    uint8_t nonce[DIRECT_NONCE]; /* that it wants to see in packets */
    struct addr at[DIRECT_TARGETS];
    unsigned index[DIRECT_TARGETS]; /* which of the other end's addresses that is, as it counts them */
    size_t n;
};

/* From a description, what a packet may be sent to from a host whose own address is `own`; none of an older probe's. */
void direct_read(struct direct_targets *out, const char *sdp, const struct addr *own);

/* Listens at the port that `beside` uses with the relay, which sees it as `mapped`. ERR_NOMEM, or a negated errno of the socket calls. */
int direct_new(struct direct **out, struct trial *t, const struct end *beside, const struct addr *mapped);
/* What the other end must know; returns `out`. `d` may be NULL: nothing. */
const char *direct_lines(const struct direct *d, char out[static DIRECT_TEXT_MAX]);
/* The other end's description: some packets go to it, once. `d` may be NULL. */
void direct_begin(struct direct *d, const char *sdp);
/* NULL-safe; nulls the pointer. */
void direct_free(struct direct **d);

#endif
