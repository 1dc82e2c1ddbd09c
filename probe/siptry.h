/*
 * Purpose:  does a host that rules lead to answer SIP, which none of them names? Tried beside a rule's steps.
 * Owner:    the thread of the run.
 * Lifetime: from the step that begins it to the end of its rule; borrows the trial.
 * Callers:  probe/probe.
 * RFC:      3261 sections 11 (OPTIONS) and 18.
 */
#ifndef PROBE_SIPTRY_H
#define PROBE_SIPTRY_H

struct siptry;

/* NULL-safe; nulls the pointer. */
void siptry_free(struct siptry **s);

#endif
