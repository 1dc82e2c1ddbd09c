/*
 * Purpose:  what a source knows of a credential that has keys, as the answer to who asks for it.
 * Owner:    any thread; stateless.
 * Lifetime: what is known is borrowed for the call.
 * Callers:  auth/redissource, auth/roster.
 * RFC:      8489 section 9.2.2.
 */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include "auth/auth.h"

struct answer_keys {
    const char *name, *owner, *label, *peers; /* each as long as struct auth_answer has room for */
    const uint8_t *md5, *sha256;              /* sha256 NULL: there is none */
    int64_t not_before, expires_at;           /* wall clock, seconds; 0: none */
    struct auth_limits limits;
    bool is_token;
};

/* AUTH_OK; AUTH_UNKNOWN: it has no key of this algorithm, or is not valid now, and the answer is as it was. */
enum auth_status answer_keys(struct auth_answer *answer, const struct answer_keys *known, enum stun_password_algorithm algorithm,
                             int64_t wall);

#endif
