/*
 * Purpose:  what turnpikectl's commands share: what was asked for, and how the program ends.
 * Owner:    the program's only thread.
 * Lifetime: the program's.
 * Callers:  programs/turnpikectl.c and the files of its commands.
 * RFC:      none.
 */
#ifndef PROGRAMS_CTL_H
#define PROGRAMS_CTL_H

#include "auth/tokenstore.h"
#include "programs/config.h"
#include "programs/ctloptions.h"

/* As turnpikectl(8) has them. */
enum ctl_status {
    CTL_OK = 0,
    CTL_FAULT = 1,
    CTL_USAGE = 2,     /* the command or the configuration is wrong */
    CTL_NOT_FOUND = 3, /* what was named is not there */
    CTL_REFUSED = 4,   /* who asks may not */
    CTL_CONFLICT = 5,  /* it is there already, or is not as it was */
};

struct ctl {
    const struct options *options;
    const char *argument; /* ID, NAME or FILE; NULL: none */
    int64_t now;
    const struct config *config; /* NULL: it is not needed */
    struct tokenstore *store;    /* NULL: it is not needed */
};

/* How the program ends with a fault: cause, and what to do about it. Returns `status`. */
int ctl_complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Commands that ask nobody. ---- */
int ctlimport_coturn(struct ctl *c);
int ctladmin_issue(struct ctl *c);
int ctladmin_list(struct ctl *c);
int ctladmin_revoke(struct ctl *c);

#endif
