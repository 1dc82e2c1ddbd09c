/*
 * Purpose:  the credentials of the embedded store, in memory: workers look them up here, and never see the store itself.
 * Owner:    one thread changes it (the control thread); all workers ask. A lock is held for one look-up or one change, in one of many parts.
 * Lifetime: roster_new to roster_free. Keys are wiped.
 * Callers:  auth/sqlsource.
 * RFC:      8489 sections 9.2.2 and 14.4.
 */
#ifndef AUTH_ROSTER_H
#define AUTH_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "auth/token.h"

struct roster;

/* `realm` is copied and prepared already. ERR_NOMEM. */
int roster_new(struct roster **out, const char *realm, char separator);
void roster_free(struct roster **r);

/* ---- Workers. ---- */

/* As `check` of struct auth_source; never pending. */
enum auth_status roster_check(struct roster *r, const struct auth_request *request, struct auth_answer *answer);
/* As `refuses` of struct auth_source: is it a time-limited name that has been revoked? */
bool roster_refuses(struct roster *r, const char *name);

/* ---- The one who changes. ---- */

/* This is in the store, whole and not revoked. `*ended` is set if there was one of this name with another password, or that was for more: what that has
 * started is to end.
 * ERR_NOMEM, ERR_CRYPTO: all is as it was. */
int roster_put(struct roster *r, const struct token *t, bool *ended);
/* There is none of this name, or not any more. True: there was. */
bool roster_remove(struct roster *r, const char *name);
/* Time-limited names of this user part that expire before this time are revoked. `*news` is set if that was not known. ERR_NOMEM. */
int roster_mark(struct roster *r, const char *user, int64_t before, bool *news);
/* What has been put since roster_begin is all that there is: the others are removed, and `gone` is told their names. */
void roster_begin(struct roster *r);
void roster_end(struct roster *r, void (*gone)(void *ctx, const char *name), void *ctx);
/* Forgets what has expired by now. */
void roster_sweep(struct roster *r, int64_t now);
/* Credentials and revoked user parts. */
size_t roster_count(const struct roster *r);

#endif
