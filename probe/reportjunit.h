/*
 * Purpose:  a report as JUnit XML, which build servers and monitoring read: a test case for each rule.
 * Owner:    the calling thread.
 * Lifetime: one call; nothing is kept.
 * Callers:  programs/turnpike-probe, units.
 * RFC:      none; there is no standard, so it has what all readers know: testsuites, testsuite, testcase, failure, skipped, system-out.
 */
#ifndef PROBE_REPORTJUNIT_H
#define PROBE_REPORTJUNIT_H

#include <stdbool.h>
#include <stdio.h>

#include "probe/report.h"

/* With `strict` a warning is a failure; else it passes, and its output tells. Well-formed whatever the report's texts hold. */
void reportjunit_print(const struct report *r, bool strict, FILE *f);

#endif
