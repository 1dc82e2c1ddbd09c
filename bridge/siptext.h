/*
 * Purpose:  the texts of SIP that are ours to read and write: reasons, numbers, digits, names.
 * Owner:    any thread; no state.
 * Lifetime: results are static, or the caller's.
 * Callers:  bridge/sip, bridge/sipcall.
 * RFC:      3261 sections 21 and 25.1, 6086 (INFO).
 */
#ifndef BRIDGE_SIPTEXT_H
#define BRIDGE_SIPTEXT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SIPTEXT_USER_MAX = 196, /* bytes of a user part with each of 64 characters escaped, and its NUL */
    SIPTEXT_NAME_MAX = 65,  /* bytes of a caller's name, and its NUL */
};

/* The connect protocol's reason for a final answer. `local`: no answer came, sofia-sip has made the status up. */
const char *siptext_reason(int status, bool local);
/* The status line's text for a status of ours. */
const char *siptext_phrase(int status);
/* A number or name as a user part: what RFC 3261 does not let stand there is escaped. ERR_INVAL: empty, or longer than 64 bytes. */
int siptext_user(char out[static SIPTEXT_USER_MAX], const char *text);
/* A display name without its quotes, cut to what fits, well-formed UTF-8. */
void siptext_name(char out[static SIPTEXT_NAME_MAX], const char *display);
/* The digit in the body of an INFO of that type: application/dtmf-relay ("Signal=5") or application/dtmf ("5"). 0: none. */
char siptext_digit(const char *type, const char *body, size_t len);
/* Whether this may be written into a header field as it is. */
bool siptext_token(const char *text);

#endif
