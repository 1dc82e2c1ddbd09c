/*
 * Purpose:  the user parts whose time-limited names have been revoked, and of each the time before which the names expire.
 * Owner:    any thread; a lock is held for one look-up or one change.
 * Lifetime: revoked_new to revoked_free.
 * Callers:  auth/roster, auth/redisrefuse.
 * RFC:      none.
 */
#ifndef AUTH_REVOKED_H
#define AUTH_REVOKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct revoked;

/* At most `max` user parts are kept, those that reach furthest; 0: all. ERR_NOMEM. */
int revoked_new(struct revoked **out, size_t max, char separator);
void revoked_free(struct revoked **r);
/* Names of this user part that expire before this time are revoked; what reaches further stays. `*news` is set if that was not known.
 * ERR_NOMEM, ERR_NOSPC (all that are kept reach further): all is as it was. */
int revoked_add(struct revoked *r, const char *user, int64_t before, bool *news);
/* Is it a time-limited name that has been revoked? */
bool revoked_has(struct revoked *r, const char *name);
/* Forgets what has no name left that has not expired by now. */
void revoked_sweep(struct revoked *r, int64_t now);
size_t revoked_count(struct revoked *r);

#endif
