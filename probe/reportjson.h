/*
 * Purpose:  a report as JSON for programs.
 * Owner:    any thread; no state.
 * Lifetime: none.
 * Callers:  programs/turnpike-probe, programs/bridgeprobe.
 * RFC:      8259.
 */
#ifndef PROBE_REPORTJSON_H
#define PROBE_REPORTJSON_H

#include <jansson.h>

#include "probe/report.h"

/* A new reference; NULL: no memory. What was not measured, or does not apply, is null. */
json_t *reportjson_of(const struct report *r);

#endif
