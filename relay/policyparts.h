/*
 * Purpose:  what relay/policy.c and relay/policytext.c know of a policy.
 * Owner:    whoever makes it; immutable then.
 * Lifetime: that of the policy.
 * Callers:  those two. Private to them.
 * RFC:      none.
 */
#ifndef RELAY_POLICYPARTS_H
#define RELAY_POLICYPARTS_H

#include <stdatomic.h>

#include "relay/policy.h"

enum { POLICY_TEXT_MAX = 160 /* bytes of an entry's text and its NUL: two IPv6 addresses, ports and protocol are far shorter */ };

/* One prefix, for IPv4 as for IPv6. Kept sorted so that the first entry that matches decides. */
struct entry {
    struct addr ip; /* host bits are zero */
    uint8_t bits;
    uint8_t protocol; /* enum policy_protocol */
    bool allow;
    uint8_t source; /* enum policy_source; a credential's own are POLICY_CONFIGURATION */
    uint16_t port_min;
    uint16_t port_max;
    bool first;    /* of the prefixes that were written as one, */
    uint32_t text; /* whose text has this index; of a server's */
};

/* What was written, of a server's. */
struct written {
    char *text;
    bool met; /* while it is made: there is a first one */
};

struct policy {
    _Atomic unsigned refs;
    uint32_t generation;
    struct entry *entries;
    size_t n, cap;
    struct written *texts;
    size_t ntexts, texts_cap;
    struct addr *listeners;
    size_t nlisteners;
    struct addr *host;
    size_t nhost;
    char *own; /* of a credential's: the text that it was made of. What no entry holds is denied then, and allowed otherwise */
};

/* Adds the prefixes of an entry, with the last of `texts` as their text. ERR_NOMEM; ERR_CONFIG: it can't be read. */
int policy_add_text(struct policy *p, const char *text, bool allow, enum policy_source source);

#endif
