/*
 * Purpose:  whether what a program has written to standard output has arrived.
 * Owner:    the program's only thread, at its end.
 * Lifetime: no state.
 * Callers:  programs/turnpiked.c, turnpike-bridge.c, turnpike-probe.c, probegenerate.c, turnpike-bench.c, turnpikectl.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_OUTPUT_H
#define PROGRAMS_OUTPUT_H

/* 0, or ERR_IO, which has been told on standard error in the program's name: a full disk must not end as a success. */
int output_flush(const char *program);

#endif
