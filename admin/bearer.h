/*
 * Purpose:  bearer tokens of the admin plane: who has one, what it may do, until when. Hashes only; read again when the file changes.
 * Owner:    the serving thread.
 * Lifetime: bearer_new to bearer_free.
 * Callers:  admin/http.
 * RFC:      6750 (bearer tokens).
 */
#ifndef ADMIN_BEARER_H
#define ADMIN_BEARER_H

#include <stdint.h>

enum bearer_role {
    BEARER_READ = 1 << 0,        /* look */
    BEARER_CREDENTIALS = 1 << 1, /* make, show and end credentials */
    BEARER_ADMIN = 1 << 2,       /* everything */
    BEARER_ALL = BEARER_READ | BEARER_CREDENTIALS | BEARER_ADMIN,
};

enum {
    BEARER_NAME_MAX = 64,
    BEARER_TOKENS_MAX = 256, /* scripts and people, some with two while one is replaced */
    BEARER_TEXT_MAX = 512,
};

struct bearer {
    char name[BEARER_NAME_MAX + 1];
    unsigned roles;     /* of enum bearer_role */
    int64_t expires_at; /* wall clock; 0: never */
};

struct bearers;

/*
 * The file has a line for each: NAME ROLES EXPIRES SHA256, with blanks between; roles with commas; expiry in seconds since 1970, or 0;
 * the hash of the token in hex; `#` begins a comment. It need not be there. A file that can't be read leaves what was read before in
 * force, and is logged once. ERR_NOMEM. `path` is copied.
 */
int bearers_new(struct bearers **out, const char *path);
void bearers_free(struct bearers **b);
/* Who has this token? ERR_NOENT: nobody. ERR_STALE: it has expired. */
int bearers_find(struct bearers *b, const char *token, int64_t wall, struct bearer *out);

/* "read,admin" to bits; 0: not one of these. */
unsigned bearer_roles(const char *text);
/* And back; static. */
const char *bearer_roles_text(unsigned roles);

#endif
