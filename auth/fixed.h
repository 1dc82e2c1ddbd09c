/*
 * Purpose:  fixed users: a table of names and derived keys; no password is kept (C32).
 * Owner:    read-only once it is in a `struct auth` that workers ask; a reload makes a new one.
 * Lifetime: fixed_new to fixed_free, inside a `struct auth`. The keys are wiped.
 * Callers:  auth/auth.c.
 * RFC:      8489 sections 9.2.2 and 14.4.
 */
#ifndef AUTH_FIXED_H
#define AUTH_FIXED_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"

struct fixed;

/* `realm` is copied and prepared already. ERR_NOMEM. */
int fixed_new(struct fixed **out, const char *realm);
void fixed_free(struct fixed **f);
/* As auth_add_user. */
int fixed_add(struct fixed *f, const char *name, const char *secret);
/* False once a user is known by his MD5 key alone (C19). */
bool fixed_can_sha256(const struct fixed *f);
/* As `check` of struct auth_source; never pending. */
enum auth_status fixed_check(struct fixed *f, const struct auth_request *request, struct auth_answer *answer);

#endif
