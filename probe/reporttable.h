/*
 * Purpose:  a report as a table for people.
 * Owner:    any thread; no state.
 * Lifetime: none.
 * Callers:  programs/turnpike-probe.
 * RFC:      none.
 */
#ifndef PROBE_REPORTTABLE_H
#define PROBE_REPORTTABLE_H

#include <stdio.h>

#include "probe/report.h"

/* A line a rule; below one that fails, or warns, where and why, and what to do. */
void reporttable_print(const struct report *r, FILE *out);

#endif
