/*
 * Purpose:  a report as Prometheus reads it: gauges for each rule, for the textfile collector or a gateway.
 * Owner:    the calling thread.
 * Lifetime: one call; nothing is kept.
 * Callers:  programs/turnpike-probe, units.
 * RFC:      none; Prometheus text format 0.0.4.
 */
#ifndef PROBE_REPORTPROMETHEUS_H
#define PROBE_REPORTPROMETHEUS_H

#include <stdio.h>

#include "probe/report.h"

/* A rule that was skipped has no sample; neither has what was not measured. */
void reportprometheus_print(const struct report *r, FILE *f);

#endif
