/*
 * Purpose:  GET /metrics on a port of its own: a few connections at a time, each for one request and a short while.
 * Owner:    the program's one thread.
 * Lifetime: scrape_new to scrape_free.
 * Callers:  programs/bridgemetrics.
 * RFC:      9110, 9112, as far as connect/http has them.
 */
#ifndef PROGRAMS_SCRAPE_H
#define PROGRAMS_SCRAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct event_base;
struct scrape;

enum { SCRAPE_CONNECTIONS_MAX = 16 }; /* more wait in the kernel: nobody has more than one or two collectors */

/* All metrics as text, malloc'ed, with its length; NULL: there was no memory. */
typedef char *scrape_cb(void *ctx, bool openmetrics, size_t *len);

/* A port of 0 takes a free one. ERR_NOMEM, a negated errno. */
int scrape_new(struct scrape **out, struct event_base *base, const struct addr *listen, scrape_cb *cb, void *ctx);
/* NULL-safe; nulls the pointer. */
void scrape_free(struct scrape **s);
struct addr scrape_address(const struct scrape *s);

#endif
