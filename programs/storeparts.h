/*
 * Purpose:  what the operations of programs/storeops share: the open store, its failures as answers, tokens as JSON, pages.
 * Owner:    as programs/storeops.h says.
 * Lifetime: as programs/storeops.h says.
 * Callers:  programs/store*.
 * RFC:      none.
 */
#ifndef PROGRAMS_STOREPARTS_H
#define PROGRAMS_STOREPARTS_H

#include "admin/call.h"
#include "auth/fleet.h"
#include "auth/redisnodes.h"
#include "auth/tokenstore.h"

enum { STOREPARTS_ICE_NODES = 2 }; /* of a list: browsers warn from the fifth URL on, and a client tries them all */
#define STOREPARTS_TTL_MAX_S  (INT64_C(100) * 366 * 86400) /* seconds: beyond that is never */
#define STOREPARTS_NUMBER_MAX ((INT64_C(1) << 53) - 1)     /* what every reader of JSON takes as it is */

struct storeops {
    struct tokenstore store;
    struct redisnodes *nodes; /* NULL: there is no fleet */
    char *prefix, *realm, *node;
    char separator;
    struct auth *auth;
    struct sqlsource *source;
    json_t *stun, *turn; /* URIs of this relay: arrays */
};

/* ---- storeops.c ---- */

/* A store's error as a problem; `what` it was about. */
void storeops_failed(const char *why, int err, const char *what, struct admin_answer *a);
/* The same for s->store. */
void storeops_store_failed(const struct storeops *s, int err, const char *what, struct admin_answer *a);
/* A page that is gathered ends here: who asked is still there to be answered, and others wait for the store. */
bool storeops_late(const struct admin_request *r);

/* ---- storejson.c ---- */

/* All of it but the keys; the caller's. NULL: no memory. */
json_t *storejson_token(const struct token *t, int64_t now);
/* What an ETag is made of: the same but for what the time alone changes. */
json_t *storejson_version(const struct token *t, int64_t now);
json_t *storejson_used(const struct auth_used *used);
/* Into what there is already; null where it is empty, or 0. */
void storejson_text(json_t *object, const char *key, const char *text);
void storejson_number(json_t *object, const char *key, int64_t n);
/* Entries between blanks as an array, and back; false, with an answer: not an array of entries that the relay reads. */
json_t *storejson_peers(const char *peers);
bool storejson_read_peers(const struct admin_request *r, const char *key, char *out, size_t cap, struct admin_answer *a);

/* ---- storetokens.c ---- */

/* What is asked for: all of `t` but id and keys. The owner falls back on `owner` (NULL: it is needed), the end on `ttl` seconds from now (0: never). False: with an
 * answer. */
bool storetokens_read(const struct storeops *s, const struct admin_request *r, struct token *t, const char *owner, int64_t ttl,
                      struct admin_answer *a);

/* ---- storeusers.c ---- */

/* As auth_opaque_string of the name in the path; false, with an answer. */
bool storeusers_name(const struct admin_request *r, char *out, size_t cap, struct admin_answer *a);

/* ---- storelists.c ---- */

typedef int storelists_fn(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t),
                          void *ctx, size_t *bad);
/* A page of what `list` gives, by owner and label if asked. */
void storelists_page(struct storeops *s, const struct admin_request *r, struct admin_answer *a, storelists_fn *list,
                     const char *what);

/* ---- storefleet.c ---- */

/* Where clients are sent: the least loaded nodes of the fleet, or this relay; the caller's. ERR_NOENT: to none now. */
int storefleet_uris(struct storeops *s, json_t **stun, json_t **turn);

/* ---- The operations. ---- */

typedef void storeops_fn(struct storeops *s, const struct admin_request *r, struct admin_answer *a);
storeops_fn storetokens_list, storetokens_issue, storetokens_get, storetokens_revoke;
storeops_fn storeusers_list, storeusers_get, storeusers_put, storeusers_remove;
storeops_fn storecredentials_ice, storecredentials_rest, storecredentials_revoke;
storeops_fn storeusage_list;
storeops_fn storerules_get_peers, storerules_put_peers, storerules_get_quota, storerules_put_quota;
storeops_fn storefleet_nodes, storefleet_drain, storefleet_end;

#endif
