/*
 * Purpose:  TLS towards Redis: who may answer, for which name, with which certificate of ours.
 * Owner:    one client's thread.
 * Lifetime: the context from redistls_new to SSL_CTX_free; a session belongs to its bufferevent.
 * Callers:  auth/redisnode, auth/redisconn.
 * RFC:      6125 (the server's name).
 */
#ifndef AUTH_REDISTLS_H
#define AUTH_REDISTLS_H

#include <stdbool.h>
#include <stddef.h>

struct redis_target;
struct ssl_ctx_st;
struct ssl_st;

/* Reads the files that the target names. ERR_CONFIG with a static reason, ERR_NOMEM. */
int redistls_new(struct ssl_ctx_st **out, const struct redis_target *target, const char **why);
/* A client's session that takes only a server whose certificate is for `name` (a domain name or an IP). NULL: no memory. */
struct ssl_st *redistls_session(struct ssl_ctx_st *ctx, const char *name);
/* Why a session has failed; `error` is what the bufferevent says (0: nothing). False: nothing that TLS knows of. */
bool redistls_why(struct ssl_st *ssl, unsigned long error, char *out, size_t cap);

#endif
