/*
 * Purpose:  turnpikectl's commands: their words, what each needs, and what does it.
 * Owner:    one thread.
 * Lifetime: static.
 * Callers:  programs/turnpikectl.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTLVERBS_H
#define PROGRAMS_CTLVERBS_H

#include "programs/ctl.h"

enum ctl_need {
    NEEDS_RELAY, /* or what stands for it where none runs: the store */
    NEEDS_CONFIG,
    NEEDS_NOTHING,
};

struct ctlverb {
    const char *noun, *verb; /* verb NULL: the noun says all */
    bool silent;             /* the verb may be left out */
    const char *argument;    /* what is named, in brackets when it may be left out; NULL: nothing */
    enum ctl_need need;
    int (*run)(struct ctl *c);
    const char *help;
};

/* Indexed by enum ctl_verb. */
extern const struct ctlverb CTLVERBS[CTL_VERBS];

/* What --help prints. */
void ctlverbs_help(FILE *out);

#endif
