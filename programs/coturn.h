/*
 * Purpose:  reads a turnserver.conf of coturn's and writes ours, and says of each line that it could not carry over why, and what to do instead.
 * Owner:    one thread.
 * Lifetime: one call; what it reads holds secrets and is wiped.
 * Callers:  programs/ctlimport.c, tests/unit/test_coturn.c.
 * RFC:      none (turnserver.conf of coturn 4.6).
 */
#ifndef PROGRAMS_COTURN_H
#define PROGRAMS_COTURN_H

#include <stddef.h>
#include <stdio.h>

/* What becomes of a key of coturn's. */
enum coturn_how {
    COTURN_COPY,    /* the same value */
    COTURN_BITS,    /* coturn counts bytes, we bits */
    COTURN_THREADS, /* 0 is one thread there, one a core here */
    COTURN_LOG,     /* a file, unless it names something else */
    COTURN_SET,     /* a switch: when it is on, ours gets `value` */
    COTURN_SWITCH,  /* a switch that has nothing to answer it; off, it asks for nothing */
    COTURN_NONE,    /* a value that has nothing to answer it */
};

struct coturn_key {
    const char *name;
    enum coturn_how how;
    const char *ours;  /* our key; NULL: it has the same name */
    const char *value; /* COTURN_SET */
    const char *why;   /* what to tell of it; NULL: nothing, it is carried over as it is */
};

/* coturn's keys; the last one has no name. */
const struct coturn_key *coturn_keys(void);

/*
 * `name` stands before the numbers of lines on `notes`. What is written to `out` passes `turnpiked --check-config`. ERR_IO: `in` can't be
 * read to its end; ERR_NOMEM; ERR_CONFIG: what is left is still none, with the reason on `notes`.
 */
int coturn_import(FILE *in, const char *name, FILE *out, FILE *notes);

#endif
