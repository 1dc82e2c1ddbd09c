/*
 * Purpose:  what turnpikectl tells of usage: asked of the store, and written to standard output as lines or as JSON.
 * Owner:    the program's only thread.
 * Lifetime: one call.
 * Callers:  programs/turnpikectl.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_SHOWUSAGE_H
#define PROGRAMS_SHOWUSAGE_H

#include <jansson.h>

#include "auth/tokenstore.h"

struct showusage_query {
    struct tokenstore_period period;
    const char *label; /* NULL: each */
    bool json;
};

/* "hour" or "day" in `by`, or NULL: of all time. `since` 0: of the last day by the hour, of the last 30 days by the day; never further back
 * than it is kept. ERR_INVAL. */
int showusage_period(struct tokenstore_period *out, const char *owner, const char *by, int64_t since, int64_t now);
/* The store's errors; with JSON nothing is written then. */
int showusage(struct tokenstore *s, const struct showusage_query *q);
/* One token's, behind what is shown of it; nothing when it has not been used. */
void showusage_lines(const struct auth_used *used);
void showusage_add(json_t *object, const struct auth_used *used);

#endif
