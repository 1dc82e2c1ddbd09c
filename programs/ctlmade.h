/*
 * Purpose:  what tokens and users have in common on turnpikectl's command line: the options that make one, and how one is shown.
 * Owner:    the program's only thread.
 * Lifetime: no state.
 * Callers:  programs/ctltokens.c, programs/ctlusers.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTLMADE_H
#define PROGRAMS_CTLMADE_H

#include "programs/ctl.h"

/* What the options say, into a body that may hold more. CTL_*, after saying why. */
int ctlmade_read(const struct ctl *c, json_t *body);
/* One of them, with a password if it has one; releases it. */
void ctlmade_show(const struct ctl *c, json_t *made);

#endif
