#include "auth/fixed.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"
#include "base/random.h"
#include "stun/integrity.h"

enum {
    FIXED_SLOTS = 64,
    PASSWORD_MAX = 1023, /* bytes, prepared; no protocol limit, a bound for the stack */
};

struct user {
    struct map_node by_name;
    struct map_node by_hash;
    uint8_t userhash[STUN_USERHASH_LEN];
    uint8_t md5[STUN_MD5_KEY_LEN];
    uint8_t sha256[STUN_SHA256_KEY_LEN];
    bool has_sha256;
    char name[]; /* NUL-terminated, prepared */
};

struct fixed {
    struct map names;
    struct map hashes; /* by USERHASH (C26) */
    bool can_sha256;
    char *realm;
};

#define USER_OF(node, member) ((struct user *)(void *)((char *)(node)-offsetof(struct user, member)))

static struct user *by_name(const struct fixed *f, const char *name)
{
    struct map_node *n = map_first(&f->names, map_hash(&f->names, name, strlen(name)));

    while (n && strcmp(USER_OF(n, by_name)->name, name) != 0)
        n = map_next(n);
    return n ? USER_OF(n, by_name) : NULL;
}

static struct user *by_hash(const struct fixed *f, const uint8_t *userhash)
{
    struct map_node *n = map_first(&f->hashes, map_hash(&f->hashes, userhash, STUN_USERHASH_LEN));

    while (n && memcmp(USER_OF(n, by_hash)->userhash, userhash, STUN_USERHASH_LEN) != 0)
        n = map_next(n);
    return n ? USER_OF(n, by_hash) : NULL;
}

int fixed_new(struct fixed **out, const char *realm)
{
    struct fixed *f = calloc(1, sizeof(*f));
    int err = ERR_NOMEM;

    *out = NULL;
    if (!f)
        return ERR_NOMEM;
    f->can_sha256 = true;
    f->realm = strdup(realm);
    if (!f->realm)
        goto fail;
    err = map_init(&f->names, FIXED_SLOTS);
    if (!err)
        err = map_init(&f->hashes, FIXED_SLOTS);
    if (err)
        goto fail;
    *out = f;
    return 0;
fail:
    fixed_free(&f);
    return err;
}

static void free_user(struct user *u)
{
    explicit_bzero(u, sizeof(*u));
    free(u);
}

static void visit_free(struct map_node *n, void *ctx)
{
    (void)ctx;
    free_user(USER_OF(n, by_name));
}

void fixed_free(struct fixed **f)
{
    if (!*f)
        return;
    if ((*f)->names.slots)
        map_each(&(*f)->names, visit_free, NULL);
    map_deinit(&(*f)->names);
    map_deinit(&(*f)->hashes);
    free((*f)->realm);
    free(*f);
    *f = NULL;
}

/* Fills both keys from a password, or the MD5 key from "0x" and its digits. */
static int derive(struct user *u, const char *realm, const char *secret)
{
    char password[PASSWORD_MAX + 1];
    int err;

    if (strncmp(secret, "0x", 2) == 0 && hex_decode(u->md5, sizeof(u->md5), secret + 2) == 0)
        return 0;
    err = auth_opaque_string(password, sizeof(password), secret, strlen(secret));
    if (err == ERR_NOSPC)
        err = ERR_INVAL; /* the caller's ERR_NOSPC is the name's */
    if (!err)
        err = stun_key_md5(u->name, realm, password, u->md5);
    if (!err)
        err = stun_key_sha256(u->name, realm, password, u->sha256);
    u->has_sha256 = !err;
    explicit_bzero(password, sizeof(password));
    return err;
}

int fixed_add(struct fixed *f, const char *name, const char *secret)
{
    char prepared[STUN_USERNAME_MAX + 1];
    struct user *u = NULL;
    size_t size;
    int err = auth_opaque_string(prepared, sizeof(prepared), name, strlen(name));

    if (err)
        return err;
    if (by_name(f, prepared))
        return ERR_EXIST;
    size = strlen(prepared) + 1;
    u = calloc(1, sizeof(*u) + size);
    if (!u)
        return ERR_NOMEM;
    memcpy(u->name, prepared, size);
    err = derive(u, f->realm, secret);
    if (!err)
        err = stun_userhash(u->name, f->realm, u->userhash);
    if (err) {
        free_user(u);
        return err;
    }
    map_insert(&f->names, &u->by_name, map_hash(&f->names, u->name, strlen(u->name)));
    map_insert(&f->hashes, &u->by_hash, map_hash(&f->hashes, u->userhash, sizeof(u->userhash)));
    f->can_sha256 = f->can_sha256 && u->has_sha256;
    return 0;
}

bool fixed_can_sha256(const struct fixed *f)
{
    return f->can_sha256;
}

enum auth_status fixed_check(struct fixed *f, const struct auth_request *request, struct auth_answer *answer)
{
    bool sha256 = request->algorithm == STUN_ALG_SHA256;
    const struct user *u = request->user ? by_name(f, request->user) : request->userhash ? by_hash(f, request->userhash) : NULL;

    if (!u || (sha256 && !u->has_sha256))
        return AUTH_UNKNOWN;
    answer->nkeys = 1;
    answer->key_len = sha256 ? STUN_SHA256_KEY_LEN : STUN_MD5_KEY_LEN;
    memcpy(answer->keys[0], sha256 ? u->sha256 : u->md5, answer->key_len);
    answer->expires_at = 0;
    memcpy(answer->name, u->name, strlen(u->name) + 1); /* fixed_add has bounded it */
    memcpy(answer->owner, u->name, strlen(u->name) + 1);
    return AUTH_OK;
}
