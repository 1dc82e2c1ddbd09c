/*
 * Purpose:  what a reload can't change: it keeps its value until the next start.
 * Owner:    the control thread.
 * Lifetime: no state.
 * Callers:  programs/turnpiked.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_KEEP_H
#define PROGRAMS_KEEP_H

#include "programs/config.h"
#include "programs/credentials.h"

enum { KEEP_KEYS = 19 };

/* Which of those keys differ: bits by their number. */
unsigned keep_changed(const struct credentials *cr, const struct config *old, const struct config *new);
/* The name of one; NULL: there is none of that number. */
const char *keep_key(unsigned i);
/* Puts the old values of these keys into `new`, and the new ones into `old`, which is to be thrown away; a second call undoes it. The realm above
 * all: keys are derived from it. What was given as a URL of a store stays where it is: the store that is open goes on. */
void keep_swap(struct config *old, struct config *new, unsigned changed);

#endif
