/*
 * Purpose:  what a database has said about user names, for a while: good names for longer than bad ones, and neither pushes out the other.
 * Owner:    one worker thread.
 * Lifetime: cache_new to cache_free; keys are wiped.
 * Callers:  auth/redissource.
 * RFC:      none.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "auth/auth.h"

enum {
    CACHE_KEYS_MAX = 16384,  /* names with keys, by worker: 5 MB; more are asked for again */
    CACHE_OTHERS_MAX = 4096, /* all other names, by worker: a flood of them costs 1 MB and evicts no name with keys */
    CACHE_KEYS_MS = 30000,   /* a revocation is told at once; this is for one that was lost */
    CACHE_SECRET_MS = 30000, /* as long, so that a call's set-up asks once */
    CACHE_UNKNOWN_MS = 5000, /* a user who was made just now is known soon */
    CACHE_GRACE_MS = 600000, /* beyond that, while the database can't be asked: a default lifetime (RFC 8656 section 3.2) */
    CACHE_MD5_LEN = 16,      /* RFC 8489 section 9.2.2 */
    CACHE_SHA256_LEN = 32,
};

enum credential_kind {
    CREDENTIAL_UNKNOWN, /* there is no such user */
    CREDENTIAL_KEYS,
    CREDENTIAL_SECRET, /* none of its own: a time-limited name, to be judged by the shared secrets */
};

struct credential {
    enum credential_kind kind;
    bool has_sha256;
    uint8_t md5[CACHE_MD5_LEN];
    uint8_t sha256[CACHE_SHA256_LEN];
    int64_t not_before, expires_at; /* wall clock, seconds; 0: none */
    struct auth_limits limits;
    unsigned scope; /* of enum auth_scope */
    bool is_token;
    const char *owner;          /* with CREDENTIAL_KEYS; borrowed until the next call, */
    const char *peers;          /* and this too; NULL: none */
    const char *label, *tenant; /* likewise */
};

enum cache_state {
    CACHE_NONE,
    CACHE_FRESH,
    CACHE_STALE, /* only for as long as nobody can be asked */
};

struct cache;

/* ERR_NOMEM. */
int cache_new(struct cache **out);
void cache_free(struct cache **c);
enum cache_state cache_get(struct cache *c, const char *name, uint64_t now_ms, struct credential *out);
/* In place of what was there; the oldest of its sort makes room. Without memory nothing is kept. */
void cache_put(struct cache *c, const char *name, const struct credential *credential, uint64_t now_ms);
void cache_forget(struct cache *c, const char *name);
/* All names for which `match` is true. */
void cache_forget_if(struct cache *c, bool (*match)(void *ctx, const char *name), void *ctx);
size_t cache_count(const struct cache *c);

#endif
