/*
 * Purpose:  what two probes write into the description of a call, where telephones have SDP: that it is theirs, and their relayed addresses.
 * Owner:    any thread; no state.
 * Lifetime: plain values; nothing is borrowed.
 * Callers:  probe/meet, probe/hold, probe/regret, programs/bridgeprobe.
 * RFC:      8866 (attributes), 8839 section 5.1 (a candidate).
 */
#ifndef PROBE_MARK_H
#define PROBE_MARK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/addr.h"

enum { MARK_FAILED_MAX = 128 }; /* bytes of a reason, and its NUL */

struct mark {
    unsigned packets;             /* of the stream that is sent: 1 to WAY_SLOW_PACKETS */
    struct addr relayed;          /* where to */
    char failed[MARK_FAILED_MAX]; /* this end can't, and why, as one line of text; the other members are 0 then. "": it can */
};

/* A description, which ends with these lines ("": none); NULL: no memory. */
json_t *mark_write(const struct mark *m, const char *lines);
/* Is a call with these params a probe's? It may be malformed for all that. */
bool mark_is(const json_t *params);
/* False: it is no probe's, or malformed. */
bool mark_read(struct mark *out, const json_t *params);
/* What somebody else has written, as one line of text: no control characters, no half characters. Returns `out`. */
const char *mark_clean(char out[static MARK_FAILED_MAX], const char *text, size_t len);

#endif
