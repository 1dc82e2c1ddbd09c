/*
 * Purpose:  a token: a credential with an id, limits and an end of its own; made, checked, and carried as fields of text.
 * Owner:    any thread; a plain value.
 * Lifetime: a value; it holds keys: token_wipe when it is no longer needed. The password is nowhere but with whom it was issued to.
 * Callers:  auth/ (stores and sources), programs/turnpikectl.
 * RFC:      8489 section 9.2.2 (keys).
 */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stun/names.h"

enum {
    TOKEN_ID_LEN =
        25, /* 't' and 144 random bits in base64url: never a time-limited name, which begins or ends with digits behind ':' */
    TOKEN_PASSWORD_LEN = 32, /* 192 random bits in base64url */
    TOKEN_TEXT_MAX = 255,    /* bytes of owner, label, tenant and of an id that was made elsewhere */
    TOKEN_PEERS_MAX = 2047,  /* bytes of all allowed peers: some forty entries */
    TOKEN_FIELDS_MAX = 32,   /* of a record: those below, and room for newer ones, which are left alone */
    TOKEN_NUMBER_MAX = 20,   /* digits of a 64-bit number */
};

enum token_scope {
    TOKEN_TURN = 1 << 0,
    TOKEN_PHONE = 1 << 1,
    TOKEN_BRIDGE = 1 << 2,
};

struct token {
    char id[TOKEN_TEXT_MAX + 1]; /* the user name on the wire */
    char owner[TOKEN_TEXT_MAX + 1];
    char label[TOKEN_TEXT_MAX + 1];
    char tenant[TOKEN_TEXT_MAX + 1];
    char realm[STUN_REALM_MAX + 1];
    unsigned scope; /* of enum token_scope */
    uint8_t md5[STUN_MD5_KEY_LEN];
    uint8_t sha256[STUN_SHA256_KEY_LEN];
    int64_t issued_at, not_before, expires_at, revoked_at; /* wall clock, seconds; 0: none */
    int64_t max_allocations;                               /* of the owner at the same time; 0: no limit of its own, as below */
    int64_t max_bps;                                       /* bits a second of the owner, each direction */
    int64_t max_bytes;                                     /* relayed in all, both directions */
    char peers[TOKEN_PEERS_MAX + 1]; /* entries as of allowed-peer-ip, between blanks; "": no limit of its own */
};

/* A new id, password and keys for a token whose other members are set. ERR_INVAL (with the reason), ERR_CRYPTO. */
int token_issue(struct token *t, char password[static TOKEN_PASSWORD_LEN + 1], const char **why);
/* A new password. */
void token_password(char password[static TOKEN_PASSWORD_LEN + 1]);
/* The keys of its id, its realm and this password, which is prepared (OpaqueString) already. ERR_CRYPTO. */
int token_derive(struct token *t, const char *password, const char **why);
/* Is everything in it as it may be? ERR_INVAL, and a static text that names the field. */
int token_check(const struct token *t, const char **why);
/* May it be used in this realm? For what, and when, is the asker's matter. */
bool token_serves(const struct token *t, const char *realm);
void token_wipe(struct token *t);

/* ---- As fields of text: `id` is not among them, it is the record's key. ---- */
struct token_field {
    const char *name; /* NUL-terminated */
    const char *value;
    size_t len;
};
/* Room for the texts that token_write makes. */
struct token_text {
    char numbers[8][TOKEN_NUMBER_MAX + 1];
    char md5[2 * STUN_MD5_KEY_LEN + 1], sha256[2 * STUN_SHA256_KEY_LEN + 1];
    char scope[32];
};
/*
 * owner, label, tenant, realm, peers: text. scope: "turn", "phone", "bridge", between commas. md5, sha256: lower-case hex. issued_at,
 * not_before, expires_at, revoked_at, max_allocations, max_bps, max_bytes: decimal. What is empty or 0 is left out. Returns how many.
 * The fields borrow from both.
 */
size_t token_write(const struct token *t, struct token_text *text, struct token_field fields[static TOKEN_FIELDS_MAX]);
/* The other way round. Nothing is believed: ERR_MALFORMED, and a static text that names the field (S23). Unknown fields are skipped. */
int token_read(struct token *t, const char *id, const struct token_field *fields, size_t n, const char **why);

/* "turn,phone" to bits. ERR_INVAL. And back; `out` needs 32 bytes. */
int token_scope_read(unsigned *scope, const char *text);
void token_scope_write(unsigned scope, char out[static 32]);

#endif
