/*
 * Purpose:  turnpikectl's commands as words: how each is called, what it names, what it is for.
 * Owner:    one thread.
 * Lifetime: static.
 * Callers:  programs/turnpikectl.c, tests/unit/test_docs.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTLVERBS_H
#define PROGRAMS_CTLVERBS_H

#include <stdbool.h>
#include <stdio.h>

#include "programs/ctloptions.h"

struct ctlverb {
    const char *noun, *verb; /* verb NULL: the noun says all */
    bool silent;             /* the verb may be left out */
    const char *argument;    /* what is named, in brackets when it may be left out; NULL: nothing */
    const char *help;
};

/* Indexed by enum ctl_verb. */
extern const struct ctlverb CTLVERBS[CTL_VERBS];

/* What --help prints. */
void ctlverbs_help(FILE *out);

#endif
