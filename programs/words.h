/*
 * Purpose:  times and sizes as people write them on turnpikectl's command line.
 * Owner:    any thread; no state.
 * Lifetime: no state.
 * Callers:  programs/turnpikectl.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_WORDS_H
#define PROGRAMS_WORDS_H

#include <stdint.h>

/* 90s, 30m, 8h or 7d from `now`, or @ and seconds since 1970. ERR_INVAL. */
int words_time(int64_t *out, const char *text, int64_t now);
/* A number with k, M or G behind it, by thousands. ERR_INVAL. */
int words_size(int64_t *out, const char *text);

#endif
