/*
 * Purpose:  what a source knows of a credential that has keys, as the answer to who asks for it.
 * Owner:    any thread; stateless.
 * Lifetime: what is known is borrowed for the call.
 * Callers:  auth/auth.c, auth/redissource, auth/roster.
 * RFC:      8489 section 9.2.2.
 */
#ifndef AUTH_ANSWER_H
#define AUTH_ANSWER_H

#include "auth/auth.h"

struct answer_keys {
    const char *name, *owner, *label, *peers, *tenant; /* each as long as struct auth_answer has room for */
    const uint8_t *md5, *sha256;                       /* sha256 NULL: there is none */
    int64_t not_before, expires_at;                    /* wall clock, seconds; 0: none */
    struct auth_limits limits;
    unsigned scope; /* of enum auth_scope */
    bool is_token;
};

/* Of the request its algorithm, its time and its scope count. AUTH_OK; AUTH_UNKNOWN: it has no key of this algorithm, is not valid now, or is not for that,
 * and the answer is as it was. */
enum auth_status answer_keys(struct auth_answer *answer, const struct answer_keys *known, const struct auth_request *request);
/* What is asked for, of enum auth_scope: never 0. */
unsigned answer_scope(const struct auth_request *request);

#endif
