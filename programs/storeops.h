/*
 * Purpose:  what the admin plane is asked that the store answers: tokens, users, credentials, usage, rules for peers,
 *           limits of owners, the nodes of a fleet.
 * Owner:    one thread that may wait: a thread of turnpiked's, or turnpikectl where no daemon runs.
 * Lifetime: storeops_new to storeops_free.
 * Callers:  programs/.
 * RFC:      none (draft-uberti-behave-turn-rest-00 for one shape of credentials, the W3C's RTCConfiguration for the other).
 */
#ifndef PROGRAMS_STOREOPS_H
#define PROGRAMS_STOREOPS_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/call.h"
#include "auth/redisurl.h"

struct auth;
struct sqlsource;
struct storeops;

struct storeops_config {
    const struct redis_target *redis; /* copied; NULL: the embedded store, */
    const char *state_dir;            /* which lies here. These are copied too: */
    const char *prefix;               /* of the keys in Redis */
    const char *realm;                /* of what is issued */
    const char *node;                 /* this one's id in the fleet */
    char separator;                   /* rest-api-separator */
    struct auth *auth;                /* whose owners' allocations are counted, borrowed; NULL: no relay runs here */
    struct sqlsource *source;         /* that serves from the embedded store, borrowed; NULL: none in this process */
    const char *const *uris; /* "stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp": where clients reach this relay; none: */
    size_t nuris;            /* it does not run, or nobody knows */
};

/* Nothing is opened before it is needed. ERR_NOMEM, ERR_NOSPC (the prefix is too long). */
int storeops_new(struct storeops **out, const struct storeops_config *config);
/* NULL-safe; nulls the pointer. */
void storeops_free(struct storeops **s);
/* Is this one of those that storeops_run answers? */
bool storeops_serves(enum admin_operation operation);
/* Answers, whatever happens; it may take REDISTOKENS_DEADLINE_MS for each thing that Redis is asked. */
void storeops_run(struct storeops *s, const struct admin_request *r, struct admin_answer *a);
/* A rule for peers as lists have it; the caller's. NULL: no memory. */
json_t *storeops_peer(const char *source, const char *action, const char *entry);

#endif
