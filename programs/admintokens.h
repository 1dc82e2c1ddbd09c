/*
 * Purpose:  the file of the admin plane's bearer tokens, for who makes and ends them: their hashes only, written whole or not at all.
 * Owner:    one thread; a lock on the directory keeps other processes out while one changes it.
 * Lifetime: admintokens_open to admintokens_close.
 * Callers:  programs/ctladmin.c. admin/bearer.c reads it in turnpiked.
 * RFC:      6750 (bearer tokens).
 */
#ifndef PROGRAMS_ADMINTOKENS_H
#define PROGRAMS_ADMINTOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADMINTOKENS_NAME_MAX = 64,  /* bytes */
    ADMINTOKENS_MAX = 256,      /* of a file, as admin/bearer reads it */
    ADMINTOKENS_TOKEN_LEN = 47, /* "tpa_" and 256 random bits in base64url */
    ADMINTOKENS_ROLES_LEN = 24, /* "read,credentials,admin" and its NUL */
    ADMINTOKENS_HASH_LEN = 64,  /* SHA-256 in hex */
    ADMINTOKENS_LINE_MAX = 511, /* bytes */
};

struct admintoken {
    char name[ADMINTOKENS_NAME_MAX + 1];
    char roles[ADMINTOKENS_ROLES_LEN];
    int64_t expires_at; /* wall clock; 0: never */
    char hash[ADMINTOKENS_HASH_LEN + 1];
};

struct admintokens;

/*
 * DIR/admin-tokens, which need not be there. `change`: the lock is taken, and waited for. ERR_NOMEM, ERR_MALFORMED (a line that is none:
 * its number in `*line`), ERR_NOSPC (too many), or a negated errno; ERR_NOENT is the directory's.
 */
int admintokens_open(struct admintokens **out, const char *dir, bool change, unsigned *line);
/* NULL-safe; nulls the pointer. */
void admintokens_close(struct admintokens **t);

size_t admintokens_count(const struct admintokens *t);
const struct admintoken *admintokens_nth(const struct admintokens *t, size_t i);

/* Letters, digits, '.', '_' and '-'. */
bool admintokens_name_ok(const char *name);
/* "admin,read" in the order of the roles, each once. ERR_INVAL. */
int admintokens_roles(char out[static ADMINTOKENS_ROLES_LEN], const char *text);

/* A new one, whose text is nowhere but in `token`. Name and roles have been judged. ERR_EXIST, ERR_NOSPC, ERR_CRYPTO. On the disk is nothing yet. */
int admintokens_add(struct admintokens *t, const char *name, const char *roles, int64_t expires_at,
                    char token[static ADMINTOKENS_TOKEN_LEN + 1]);
/* ERR_NOENT. */
int admintokens_remove(struct admintokens *t, const char *name);
/* A new file takes the place of the old one, mode 0600, its owner the directory's. A negated errno. */
int admintokens_save(const struct admintokens *t);

#endif
