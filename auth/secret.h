/*
 * Purpose:  shared secrets and the time-limited user names that go with them.
 * Owner:    read-only once it is in a `struct auth` that workers ask; a reload makes a new one.
 * Lifetime: secret_new to secret_free, inside a `struct auth`. The bytes of the secrets are wiped.
 * Callers:  auth/auth.c; the name parser also: connect/ (hand-out), fuzz targets.
 * RFC:      draft-uberti-behave-turn-rest-00.
 */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"

enum {
    SECRET_EXPIRY_MIN = 1000000000, /* seconds since 1970: a smaller number is an extension, not a time */
    SECRET_PASSWORD_LEN = 28,       /* base64 of an HMAC-SHA1 */
};

struct secret;

/* `realm` is copied and prepared already. ERR_NOMEM. */
int secret_new(struct secret **out, const char *realm, char separator);
void secret_free(struct secret **s);
/* As auth_add_secret. */
int secret_add(struct secret *s, const char *text);
size_t secret_count(const struct secret *s);
/* As `check` of struct auth_source; never pending. */
enum auth_status secret_check(struct secret *s, const struct auth_request *request, struct auth_answer *answer);

/* The work of secret_check without its answer, where another source has answered already (S14). */
void secret_spend(const struct secret *s, const struct auth_request *request);

/* The parts of a time-limited name; `user` borrows the name. */
struct secret_name {
    int64_t expires_at; /* INT64_MAX when the number is larger */
    const char *user;
    size_t user_len; /* 0 for a bare expiry */
};
/*
 * The three forms, in this order: `expiry:user` (the number ends at the first separator), `user:expiry` (it begins after the last
 * one), a bare `expiry`. False: not a shared-secret name.
 */
bool secret_parse_name(struct secret_name *out, const char *name, char separator);
/* As auth_revokes. */
bool secret_revokes(const struct auth_revocation *revocation, const char *name, char separator);
/* base64(HMAC-SHA1(secret, name)). ERR_CRYPTO. */
int secret_password(struct stun_mac *mac, const char *secret, size_t secret_len, const char *name,
                    char out[static SECRET_PASSWORD_LEN + 1]);

#endif
