/*
 * Purpose:  what coturn's options of our realm in Redis mean here: quotas, bandwidth and peers beside those of the configuration.
 * Owner:    the control thread.
 * Lifetime: realm_start to realm_free, within the life of what it borrows.
 * Callers:  programs/credentials.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_REALM_H
#define PROGRAMS_REALM_H

#include "auth/redisrealm.h"
#include "programs/peers.h"
#include "relay/relay.h"

struct realm;

struct realm_config {
    struct event_base *base;
    const struct redis_target *target; /* copied */
    struct auth *auth;                 /* its quotas are narrowed; borrowed */
    struct peers *peers;               /* told its lists of peers, and so renewed; borrowed */
};

/* ERR_NOMEM, ERR_NOSPC. */
int realm_start(struct realm **out, const struct realm_config *config);
/* NULL-safe; nulls the pointer. */
void realm_free(struct realm **r);
/* Somebody says that the options have changed. NULL-safe, as the next one. */
void realm_look(struct realm *r);
/* The smaller limit. */
void realm_narrow(const struct realm *r, struct relay_config *rc);

#endif
