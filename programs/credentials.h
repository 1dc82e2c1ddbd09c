/*
 * Purpose:  the wiring of turnpiked's credentials: which sources the configuration names, and what the control thread does for them.
 * Owner:    the control thread; the sources behind the `struct auth` belong to whom auth.h says.
 * Lifetime: credentials_new to credentials_free; the relay that asks is stopped and freed before.
 * Callers:  programs/turnpiked.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_CREDENTIALS_H
#define PROGRAMS_CREDENTIALS_H

#include <jansson.h>

#include "auth/auth.h"
#include "auth/redisurl.h"
#include "programs/config.h"
#include "programs/peers.h"
#include "programs/storeops.h"
#include "relay/ports.h"
#include "relay/relay.h"

struct credentials;
struct event_base;

/* Who asks on a loop of his own: the workers, and behind them the connect thread. */
enum { CREDENTIALS_ASKERS_MAX = PORTS_WORKERS_MAX + 1 };

/* All sources that `c` names. On error `text` tells what failed, with the cure where there is one. ERR_CONFIG, ERR_NOMEM, or the store's. */
int credentials_new(struct credentials **out, const struct config *c, char text[static RELAY_TEXT_MAX]);
/* NULL-safe; nulls the pointer. */
void credentials_free(struct credentials **cr);
/* Borrowed: what the relay asks. */
struct auth *credentials_auth(const struct credentials *cr);

/* Who gives the relay its settings and peers anew, through credentials_complete, as relay_reload; to be told before the start. */
void credentials_watch(struct credentials *cr, int (*renew)(void *ctx, char text[static RELAY_TEXT_MAX]), void *ctx);
/* From now on what is revoked elsewhere ends here, what the realm's options say holds, and allocations are told of. Both are borrowed until credentials_stop.
 * ERR_NOMEM, ERR_NOSPC. */
int credentials_start(struct credentials *cr, struct event_base *base, struct relay *relay);
/* News of an allocation, for whoever wants to be told of them as coturn does. */
void credentials_news(struct credentials *cr, const struct feed_news *news);
/* What a relay has to know beside its configuration: the realm's smaller limit, and the peers of the realm and of the store. What `rc` points to then is
 * borrowed until those change. */
void credentials_complete(const struct credentials *cr, struct relay_config *rc);
void credentials_stop(struct credentials *cr);

/* The fixed users, shared secrets and limits of a new configuration, for auth_replace. Errors as credentials_new. */
int credentials_read(struct credentials *cr, const struct config *c, struct auth **out, char text[static RELAY_TEXT_MAX]);

/* Does a new configuration name another store than the one of the start, which goes on? */
bool credentials_other_redis(const struct credentials *cr, const struct config *c);
bool credentials_other_statsdb(const struct credentials *cr, const struct config *c);

/* The Redis that holds them; NULL: the embedded store does. Borrowed. */
const struct redis_target *credentials_redis(const struct credentials *cr);
/* Why credentials can't be looked up, or revocations not be heard; NULL: they can. Borrowed until the next pass of the loop. */
const char *credentials_why_not(const struct credentials *cr);
/* This node alone is to take nothing new, or may again: the fleet is told. */
void credentials_drain(struct credentials *cr, bool draining);
/* Nodes of the fleet that live, with this one. */
size_t credentials_nodes(const struct credentials *cr);
/* Whom to tell what happens to credentials, store and fleet, as admin_tell; NULL: nobody. */
typedef void credentials_tell_fn(void *ctx, const char *type, json_t *data);
void credentials_tell(struct credentials *cr, credentials_tell_fn *tell, void *ctx);

/* What can be asked of the store; storeops_free it. `uris` (borrowed): where clients reach this relay, an array of texts. As storeops_new. */
int credentials_store(struct credentials *cr, const struct config *c, const json_t *uris, struct storeops **out);
/* Who ends, beside the relay, what has been revoked, and asks again when news of that may have been lost: as relay_revoke and relay_recheck. All NULL: nobody. */
struct credentials_ends {
    int (*revoke)(void *ctx, const struct auth_revocation *revocation);
    int (*recheck)(void *ctx);
    void *ctx;
};
void credentials_also(struct credentials *cr, const struct credentials_ends *also);

/* A credential that was generated here, to be shown once; false: there is none. The texts are borrowed until the next call above. */
struct credentials_shown {
    const char *user, *password;
    const char *path; /* of the file that keeps it */
};
bool credentials_generated(const struct credentials *cr, struct credentials_shown *out);

#endif
