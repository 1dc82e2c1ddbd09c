/*
 * Purpose:  one value of a configuration key, from text to its field in the caller's struct.
 * Owner:    one thread.
 * Lifetime: no state.
 * Callers:  base/conf.c only.
 * RFC:      none.
 */
#ifndef BASE_CONFSET_H
#define BASE_CONFSET_H

#include "base/conf.h"

/* Whether the key's field has the size that its type writes; an invariant of the caller's table. */
bool confset_fits(const struct conf_key *k);
/* 0, ERR_NOMEM, or another ERR_* with what is expected in `expected`; then nothing has changed. */
int confset(const struct conf_key *k, void *target, const char *value, char *expected, size_t cap);

#endif
