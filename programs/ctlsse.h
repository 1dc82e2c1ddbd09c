/*
 * Purpose:  a reader of server-sent events: bytes as they come, events as they are whole.
 * Owner:    one thread.
 * Lifetime: ctlsse_new to ctlsse_free, one connection.
 * Callers:  programs/ctlhttp.c, tests/unit/test_ctlsse.c.
 * RFC:      none (WHATWG HTML, server-sent events).
 */
#ifndef PROGRAMS_CTLSSE_H
#define PROGRAMS_CTLSSE_H

#include <stdbool.h>
#include <stddef.h>

#include "programs/ctlhttp.h"

enum {
    CTLSSE_LINE_MAX = 65536, /* bytes: an event is one line of JSON, some hundred bytes; what is longer is left out */
};

struct ctlsse;

/* `last` becomes the id of each event. Both are borrowed. ERR_NOMEM. */
int ctlsse_new(struct ctlsse **out, char last[static CTLHTTP_ID_MAX + 1], ctlhttp_event_fn *fn, void *ctx);
/* NULL-safe; nulls the pointer. */
void ctlsse_free(struct ctlsse **s);
/* False: the callback has had enough. */
bool ctlsse_feed(struct ctlsse *s, const char *data, size_t n);

#endif
