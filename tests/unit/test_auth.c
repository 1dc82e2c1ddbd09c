#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/fixed.h"
#include "auth/secret.h"
#include "auth/store.h"
#include "base/err.h"
#include "base/map.h"
#include "base/random.h"
#include "stun/integrity.h"
#include "tests/unit/tap.h"

enum { WALL = 1780000000, LATER = 1790000000 };

static struct stun_mac *mac;
static struct auth_answer answer;
static struct auth_ticket *ticket;

static struct auth *new_auth(const struct auth_config *config)
{
    struct auth *a = NULL;
    struct auth_config c = config ? *config : (struct auth_config){0};

    if (!c.realm)
        c.realm = "realm";
    if (!mac && stun_mac_new(&mac))
        abort();
    if (auth_new(&a, &c))
        abort();
    return a;
}

static enum auth_status ask(struct auth *a, const char *user, enum stun_password_algorithm algorithm)
{
    memset(&answer, 0xEE, sizeof(answer));
    struct auth_request r = {.user = user, .algorithm = algorithm, .wall = WALL, .mac = mac};
    return auth_check(a, &r, &answer, NULL, NULL, &ticket);
}

static enum auth_status ask_hash(struct auth *a, const uint8_t *hash, enum stun_password_algorithm algorithm)
{
    memset(&answer, 0xEE, sizeof(answer));
    struct auth_request r = {.userhash = hash, .algorithm = algorithm, .wall = WALL, .mac = mac};
    return auth_check(a, &r, &answer, NULL, NULL, &ticket);
}

static bool key_is(const uint8_t *key, size_t n, const char *hex)
{
    uint8_t want[STUN_KEY_MAX];
    return hex_decode(want, n, hex) == 0 && memcmp(key, want, n) == 0;
}

/* ---- fixed users ---- */

static void md5_key(void)
{
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK_INT(ask(a, "user", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(answer.status, AUTH_OK);
    CHECK_INT(answer.nkeys, 1);
    CHECK_INT(answer.key_len, 16);
    CHECK(key_is(answer.keys[0], 16, "8493fbc53ba582fb4c044c456bdc40eb"));
    CHECK_INT(answer.expires_at, 0);
    CHECK_STR(answer.name, "user");
    CHECK_STR(answer.owner, "user");
    CHECK(ticket == NULL);
    auth_free(&a);
    CHECK(a == NULL);
    auth_free(&a);
}

static void sha256_key(void)
{
    uint8_t want[STUN_SHA256_KEY_LEN];
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK(auth_can_sha256(a));
    CHECK_INT(ask(a, "user", STUN_ALG_SHA256), AUTH_OK);
    CHECK_INT(answer.key_len, 32);
    CHECK_INT(stun_key_sha256("user", "realm", "pass", want), 0);
    CHECK_MEM(answer.keys[0], want, 32);
    auth_free(&a);
}

static void md5_only_user(void)
{
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_user(a, "full", "pass"), 0);
    CHECK(auth_can_sha256(a));
    CHECK_INT(auth_add_user(a, "user", "0x8493FBC53ba582fb4c044c456bdc40eb"), 0);
    CHECK(!auth_can_sha256(a));
    CHECK(auth_can_userhash(a));
    CHECK_INT(ask(a, "user", STUN_ALG_MD5), AUTH_OK);
    CHECK(key_is(answer.keys[0], 16, "8493fbc53ba582fb4c044c456bdc40eb"));
    CHECK_INT(ask(a, "user", STUN_ALG_SHA256), AUTH_UNKNOWN);
    CHECK_INT(answer.nkeys, 0);
    /* What only looks like a key is a password. */
    CHECK_INT(auth_add_user(a, "short", "0x8493"), 0);
    CHECK_INT(ask(a, "short", STUN_ALG_SHA256), AUTH_OK);
    auth_free(&a);
}

static void userhash_by_index(void)
{
    uint8_t hash[STUN_USERHASH_LEN];
    struct auth *a = new_auth(NULL);
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        CHECK_INT(auth_add_user(a, name, "0x00112233445566778899aabbccddeeff"), 0);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        CHECK_INT(stun_userhash(name, "realm", hash), 0);
        CHECK_INT(ask_hash(a, hash, STUN_ALG_MD5), AUTH_OK);
        CHECK_STR(answer.name, name);
        CHECK_STR(answer.owner, name);
    }
    hash[31] ^= 1;
    CHECK_INT(ask_hash(a, hash, STUN_ALG_MD5), AUTH_UNKNOWN);
    CHECK_INT(ask_hash(a, NULL, STUN_ALG_MD5), AUTH_UNKNOWN);
    auth_free(&a);
}

static void names_at_the_limit(void)
{
    char name[STUN_USERNAME_MAX + 2], out[STUN_USERNAME_MAX + 1];
    struct auth *a = new_auth(NULL);
    memset(name, 'n', sizeof(name));
    name[STUN_USERNAME_MAX + 1] = '\0';
    CHECK_INT(auth_opaque_string(out, sizeof(out), name, STUN_USERNAME_MAX + 1), ERR_NOSPC);
    CHECK_INT(auth_add_user(a, name, "pass"), ERR_NOSPC);
    name[STUN_USERNAME_MAX] = '\0';
    CHECK_INT(auth_opaque_string(out, sizeof(out), name, STUN_USERNAME_MAX), 0);
    CHECK_STR(out, name);
    CHECK_INT(auth_add_user(a, name, "pass"), 0);
    CHECK_INT(ask(a, name, STUN_ALG_MD5), AUTH_OK);
    CHECK_STR(answer.name, name);
    /* 381 letters of two bytes each: 762; one more is 764. */
    char two[STUN_USERNAME_MAX + 2];
    for (size_t i = 0; i + 1 < sizeof(two); i += 2)
        memcpy(two + i, "\xC3\xBC", 2);
    CHECK_INT(auth_opaque_string(out, sizeof(out), two, 762), 0);
    CHECK_INT(auth_opaque_string(out, sizeof(out), two, 764), ERR_NOSPC);
    auth_free(&a);
}

static void bad_users(void)
{
    struct auth *a = new_auth(NULL);
    char password[1100];
    memset(password, 'p', sizeof(password) - 1);
    password[sizeof(password) - 1] = '\0';
    CHECK_INT(auth_add_user(a, "", "pass"), ERR_INVAL);
    CHECK_INT(auth_add_user(a, "user", ""), ERR_INVAL);
    CHECK_INT(auth_add_user(a, "us\ter", "pass"), ERR_INVAL);
    CHECK_INT(auth_add_user(a, "user", "p\xFFss"), ERR_INVAL);
    CHECK_INT(auth_add_user(a, "user", password), ERR_INVAL);
    CHECK_INT(ask(a, "user", STUN_ALG_MD5), AUTH_UNKNOWN);
    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK_INT(auth_add_user(a, "user", "other"), ERR_EXIST);
    /* The same name in another normal form is the same name. */
    CHECK_INT(auth_add_user(a, "J\xC3\xBCrgen", "pass"), 0);
    CHECK_INT(auth_add_user(a, "Ju\xCC\x88rgen", "pass"), ERR_EXIST);
    auth_free(&a);
}

/* Looks at the whole block, what lies behind the last member included. */
static bool block_has(const void *block, const char *needle)
{
    return memmem(block, malloc_usable_size((void *)(uintptr_t)block), needle, strlen(needle)) != NULL;
}

static void password_is_not_kept(void)
{
    static const char password[] = "correct-horse-battery-staple";
    struct fixed *f = NULL;
    size_t users = 0;
    CHECK_INT(fixed_new(&f, "realm"), 0);
    CHECK_INT(fixed_add(f, "somebody", password), 0);
    CHECK(!block_has(f, password));
    /* `struct fixed` begins with the index by name, whose nodes begin the users' objects. */
    const struct map *names = (const void *)f;
    for (size_t i = 0; i <= names->mask; i++) {
        for (const struct map_node *n = names->slots[i]; n; n = n->next) {
            users++;
            CHECK(block_has(n, "somebody"));
            CHECK(!block_has(n, password));
            CHECK(!block_has(n, "correct"));
        }
    }
    CHECK_INT(users, 1);
    fixed_free(&f);
    CHECK(f == NULL);
}

/* ---- shared secrets ---- */

static void name_forms(void)
{
    static const struct {
        const char *name;
        char separator;
        bool ok;
        int64_t expires_at;
        const char *user;
    } table[] = {
        {"1790000000:alice", ':', true, 1790000000, "alice"},
        {"alice:1790000000", ':', true, 1790000000, "alice"},
        {"1790000000", ':', true, 1790000000, ""},
        {"4711:1790000000", ':', true, 1790000000, "4711"}, /* an extension, then a time */
        {"1790000000:4711", ':', true, 1790000000, "4711"},
        {"1790000000:1790000001", ':', true, 1790000000, "1790000001"},
        {"1790000000:a:b", ':', true, 1790000000, "a:b"},
        {"a:b:1790000000", ':', true, 1790000000, "a:b"},
        {"1790000000:", ':', true, 1790000000, ""},
        {":1790000000", ':', true, 1790000000, ""},
        {"1000000000:x", ':', true, 1000000000, "x"},
        {"999999999:x", ':', false, 0, ""},
        {"999999999", ':', false, 0, ""},
        {"01790000000:x", ':', true, 1790000000, "x"},
        {"99999999999999999999:x", ':', true, INT64_MAX, "x"},
        {"9223372036854775807:x", ':', true, INT64_MAX, "x"},
        {"9223372036854775799:x", ':', true, 9223372036854775799, "x"},
        {"alice", ':', false, 0, ""},
        {"alice:bob", ':', false, 0, ""},
        {"a:1790000000:b", ':', false, 0, ""}, /* neither first nor last */
        {" 1790000000:x", ':', false, 0, ""},
        {"+1790000000:x", ':', false, 0, ""},
        {"1790000000x:x", ':', false, 0, ""},
        {"", ':', false, 0, ""},
        {":", ':', false, 0, ""},
        {"1790000000_alice", '_', true, 1790000000, "alice"},
        {"1790000000:alice", '_', false, 0, ""},
        {"1790000000|alice", '|', true, 1790000000, "alice"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct secret_name n;
        printf("# %s\n", table[i].name);
        CHECK(secret_parse_name(&n, table[i].name, table[i].separator) == table[i].ok);
        if (!table[i].ok)
            continue;
        CHECK_INT(n.expires_at, table[i].expires_at);
        CHECK_INT(n.user_len, strlen(table[i].user));
        CHECK_MEM(n.user, table[i].user, n.user_len);
    }
}

/* Known answer from another implementation: base64 of OpenSSL's HMAC-SHA1 with key "north". */
static void secret_known_answer(void)
{
    char password[SECRET_PASSWORD_LEN + 1];
    uint8_t want[STUN_MD5_KEY_LEN];
    struct auth *a = new_auth(NULL);
    CHECK_INT(secret_password(mac, "north", 5, "1790000000:alice", password), 0);
    CHECK_STR(password, "bkNQAGOiGcDMDatOUuHbbdAqDKY=");
    CHECK_INT(auth_add_secret(a, "north"), 0);
    CHECK_INT(ask(a, "1790000000:alice", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(stun_key_md5("1790000000:alice", "realm", password, want), 0);
    CHECK_INT(answer.nkeys, 1);
    CHECK_MEM(answer.keys[0], want, 16);
    CHECK_STR(answer.name, "1790000000:alice");
    CHECK_STR(answer.owner, "alice");
    CHECK_INT(answer.expires_at, LATER);
    CHECK_INT(ask(a, "1790000000", STUN_ALG_MD5), AUTH_OK);
    CHECK_STR(answer.owner, "");
    auth_free(&a);
}

static void several_secrets(void)
{
    static const char *secrets[] = {"north", "east", "south", "west", "up", "down", "in", "out"};
    uint8_t want[STUN_SHA256_KEY_LEN];
    char password[SECRET_PASSWORD_LEN + 1];
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_secret(a, ""), ERR_INVAL);
    for (size_t i = 0; i < AUTH_KEYS_MAX; i++)
        CHECK_INT(auth_add_secret(a, secrets[i]), 0);
    CHECK_INT(auth_add_secret(a, "north"), ERR_EXIST);
    CHECK_INT(auth_add_secret(a, "ninth"), ERR_NOSPC);
    CHECK_INT(ask(a, "4711:1790000000", STUN_ALG_SHA256), AUTH_OK);
    CHECK_INT(answer.nkeys, AUTH_KEYS_MAX);
    CHECK_INT(answer.key_len, 32);
    CHECK_STR(answer.owner, "4711");
    for (size_t i = 0; i < AUTH_KEYS_MAX; i++) {
        CHECK_INT(secret_password(mac, secrets[i], strlen(secrets[i]), "4711:1790000000", password), 0);
        CHECK_INT(stun_key_sha256("4711:1790000000", "realm", password, want), 0);
        CHECK_MEM(answer.keys[i], want, 32);
    }
    auth_free(&a);
}

static void secret_expiry(void)
{
    struct auth *a = new_auth(NULL);
    char name[64];
    CHECK_INT(ask(a, "1790000000:alice", STUN_ALG_MD5), AUTH_UNKNOWN); /* no secret yet */
    CHECK_INT(auth_add_secret(a, "north"), 0);
    snprintf(name, sizeof(name), "%d:alice", WALL + 1);
    CHECK_INT(ask(a, name, STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(answer.expires_at, WALL + 1);
    snprintf(name, sizeof(name), "%d:alice", WALL); /* the moment itself is too late: no lifetime is left */
    CHECK_INT(ask(a, name, STUN_ALG_MD5), AUTH_UNKNOWN);
    CHECK_INT(answer.nkeys, 0);
    snprintf(name, sizeof(name), "%d", WALL - 1);
    CHECK_INT(ask(a, name, STUN_ALG_MD5), AUTH_UNKNOWN);
    CHECK_INT(ask(a, "alice", STUN_ALG_MD5), AUTH_UNKNOWN);
    auth_free(&a);
}

static void users_and_secrets(void)
{
    uint8_t hash[STUN_USERHASH_LEN];
    struct auth *a = new_auth(&(struct auth_config){.separator = '_'});
    CHECK(auth_can_userhash(a));
    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK_INT(auth_add_secret(a, "north"), 0);
    CHECK(!auth_can_userhash(a));
    CHECK(auth_can_sha256(a));
    CHECK_INT(ask(a, "user", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(answer.expires_at, 0);
    CHECK_INT(ask(a, "1790000000_alice", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(answer.expires_at, LATER);
    CHECK_INT(ask(a, "1790000000:alice", STUN_ALG_MD5), AUTH_UNKNOWN);
    CHECK_INT(stun_userhash("1790000000_alice", "realm", hash), 0);
    CHECK_INT(ask_hash(a, hash, STUN_ALG_MD5), AUTH_UNKNOWN);
    auth_free(&a);
}

static void fixed_user_wins(void)
{
    uint8_t want[STUN_MD5_KEY_LEN];
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_secret(a, "north"), 0);
    CHECK_INT(auth_add_user(a, "1790000000:alice", "pass"), 0);
    CHECK_INT(auth_add_user(a, "1000000001", "pass"), 0); /* long expired, were it a time */
    CHECK_INT(ask(a, "1790000000:alice", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(answer.nkeys, 1);
    CHECK_INT(answer.expires_at, 0);
    CHECK_STR(answer.owner, "1790000000:alice");
    CHECK_INT(stun_key_md5("1790000000:alice", "realm", "pass", want), 0);
    CHECK_MEM(answer.keys[0], want, 16);
    CHECK_INT(ask(a, "1000000001", STUN_ALG_MD5), AUTH_OK);
    auth_free(&a);
}

/* ---- a source that answers later ---- */

struct late_ticket {
    struct auth_ticket base;
    auth_cb *cb;
    void *ctx;
    char user[64];
    int64_t expires_at;
};

struct late {
    struct late_ticket *pending; /* one is enough for the test */
    int asked, cancelled, freed;
};

static enum auth_status late_check(void *self, const struct auth_request *request, struct auth_answer *a, auth_cb *cb, void *ctx,
                                   struct auth_ticket **t)
{
    struct late *l = self;
    (void)a;
    l->asked++;
    if (strcmp(request->user, "down") == 0)
        return AUTH_UNAVAILABLE;
    l->pending = calloc(1, sizeof(*l->pending));
    l->pending->cb = cb;
    l->pending->ctx = ctx;
    l->pending->expires_at = request->wall + 60;
    snprintf(l->pending->user, sizeof(l->pending->user), "%s", request->user);
    *t = &l->pending->base;
    return AUTH_PENDING;
}

static void late_cancel(void *self, struct auth_ticket *t)
{
    struct late *l = self;
    l->cancelled++;
    free(t);
    l->pending = NULL;
}

static void late_free(void *self)
{
    ((struct late *)self)->freed++;
}

/* What the source's connection would do when the reply comes in. */
static void late_deliver(struct late *l)
{
    struct late_ticket *t = l->pending;
    if (!t)
        return;
    l->pending = NULL;
    struct auth_answer a = {.status = AUTH_OK, .nkeys = 1, .key_len = 16, .expires_at = t->expires_at};
    snprintf(a.name, sizeof(a.name), "%s", t->user);
    auth_cb *cb = t->cb;
    void *ctx = t->ctx;
    free(t);
    cb(ctx, &a);
}

struct got {
    int calls;
    struct auth_answer answer;
};

static void on_answer(void *ctx, const struct auth_answer *a)
{
    struct got *g = ctx;
    g->calls++;
    g->answer = *a;
}

static void scopes(void)
{
    struct auth *a = new_auth(NULL);
    struct auth_request r = {.user = "user", .algorithm = STUN_ALG_MD5, .wall = WALL, .mac = mac, .scope = AUTH_SCOPE_PHONE};

    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK_INT(auth_add_secret(a, "secret"), 0);
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_UNKNOWN);
    r.user = "1900000000:alice";
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_UNKNOWN);
    r.scope = AUTH_SCOPE_ANY;
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_OK);
    CHECK_INT(answer.scope, AUTH_SCOPE_TURN);
    CHECK_STR(answer.tenant, "");
    auth_free(&a);
}

static void pending_source(void)
{
    struct late l = {0};
    struct got g = {0};
    struct auth *a = new_auth(NULL);
    struct auth_source late = {.name = "late", .check = late_check, .cancel = late_cancel, .free = late_free, .self = &l};
    CHECK_INT(auth_add_user(a, "user", "pass"), 0);
    CHECK(auth_can_sha256(a) && auth_can_userhash(a));
    CHECK_INT(auth_add_source(a, &late), 0);
    CHECK(!auth_can_sha256(a) && !auth_can_userhash(a));

    struct auth_request r = {.user = "token", .algorithm = STUN_ALG_MD5, .wall = WALL, .mac = mac};
    ticket = NULL;
    CHECK_INT(auth_check(a, &r, &answer, on_answer, &g, &ticket), AUTH_PENDING);
    CHECK(ticket != NULL);
    CHECK_INT(answer.status, AUTH_PENDING);
    CHECK_INT(g.calls, 0);
    late_deliver(&l);
    late_deliver(&l);
    CHECK_INT(g.calls, 1);
    CHECK_INT(g.answer.status, AUTH_OK);
    CHECK_STR(g.answer.name, "token");
    CHECK_INT(g.answer.expires_at, WALL + 60);

    CHECK_INT(auth_check(a, &r, &answer, on_answer, &g, &ticket), AUTH_PENDING);
    auth_cancel(&ticket);
    CHECK(ticket == NULL);
    auth_cancel(&ticket);
    late_deliver(&l);
    CHECK_INT(l.cancelled, 1);
    CHECK_INT(g.calls, 1);

    /* Who is known at once isn't asked for elsewhere; a source that can't answer is no "unknown". */
    r.user = "user";
    CHECK_INT(auth_check(a, &r, &answer, on_answer, &g, &ticket), AUTH_OK);
    CHECK(ticket == NULL);
    CHECK_INT(l.asked, 2);
    r.user = "down";
    struct late next = {0};
    late.self = &next;
    CHECK_INT(auth_add_source(a, &late), 0);
    CHECK_INT(auth_check(a, &r, &answer, on_answer, &g, &ticket), AUTH_UNAVAILABLE);
    CHECK_INT(answer.nkeys, 0);
    CHECK_INT(next.asked, 0);
    CHECK_INT(g.calls, 1);
    auth_free(&a);
    CHECK_INT(l.freed, 1);
}

static void bad_realm(void)
{
    struct auth *a;
    char realm[STUN_REALM_MAX + 2];
    memset(realm, 'r', sizeof(realm) - 1);
    realm[sizeof(realm) - 1] = '\0';
    CHECK_INT(auth_new(&a, &(struct auth_config){.realm = realm}), ERR_INVAL);
    CHECK(a == NULL);
    CHECK_INT(auth_new(&a, &(struct auth_config){.realm = ""}), ERR_INVAL);
    realm[STUN_REALM_MAX] = '\0';
    CHECK_INT(auth_new(&a, &(struct auth_config){.realm = realm}), 0);
    CHECK_STR(auth_realm(a), realm);
    auth_free(&a);
}

/* ---- OpaqueString ---- */

static void opaque_string(void)
{
    static const struct {
        const char *in;
        int err;
        const char *out;
    } table[] = {
        /* RFC 8265 section 4.3, table 5 */
        {"correct horse battery staple", 0, "correct horse battery staple"},
        {"Correct Horse Battery Staple", 0, "Correct Horse Battery Staple"},
        {"\xCF\x80\xC3\x9F\xC3\xA5", 0, "\xCF\x80\xC3\x9F\xC3\xA5"},
        {"Jack of \xE2\x99\xA6s", 0, "Jack of \xE2\x99\xA6s"},
        {"foo\xE1\x9A\x80"
         "bar",
         0, "foo bar"}, /* OGHAM SPACE MARK */
        {"", ERR_INVAL, ""},
        {"my cat is a \x09"
         "by",
         ERR_INVAL, ""},
        /* RFC 8489 appendix B.1: its user name is one in Katakana */
        {"\xE3\x83\x9E\xE3\x83\x88\xE3\x83\xAA\xE3\x83\x83\xE3\x82\xAF\xE3\x82\xB9", 0,
         "\xE3\x83\x9E\xE3\x83\x88\xE3\x83\xAA\xE3\x83\x83\xE3\x82\xAF\xE3\x82\xB9"},
        {"The\xC2\xADM\xC2\xAAtr\xE2\x85\xA8", ERR_INVAL, ""}, /* RFC 5769's password: SOFT HYPHEN is ignorable in PRECIS */
        {"TheM\xC2\xAAtr\xE2\x85\xA8", 0, "TheM\xC2\xAAtr\xE2\x85\xA8"}, /* NFC, not NFKC */
        {"a\xC2\xA0z", 0, "a z"},
        {"a\xE3\x80\x80z", 0, "a z"},
        {"u\xCC\x88", 0, "\xC3\xBC"},
        {"\xE1\x84\x80\xE1\x85\xA1", 0, "\xEA\xB0\x80"}, /* jamo that compose */
        {"\xE1\x84\x80", ERR_INVAL, ""},                 /* jamo that don't */
        {"\xEF\xBC\xA1", 0, "\xEF\xBC\xA1"},             /* full width stays */
        {"a\x7F", ERR_INVAL, ""},
        {"a\xC2\x85", ERR_INVAL, ""},         /* C1 control */
        {"a\xE2\x80\xA8", ERR_INVAL, ""},     /* line separator */
        {"a\xE2\x80\x8E", ERR_INVAL, ""},     /* left-to-right mark */
        {"a\xEE\x80\x80", ERR_INVAL, ""},     /* private use */
        {"a\xEF\xBF\xBF", ERR_INVAL, ""},     /* noncharacter */
        {"a\xF0\xAF\xBF\xBD", ERR_INVAL, ""}, /* unassigned */
        {"a\xD9\x80", ERR_INVAL, ""},         /* tatweel, an exception */
        {"\xFF", ERR_INVAL, ""},
        {"\xC0\x80", ERR_INVAL, ""},     /* overlong NUL */
        {"\xED\xA0\x80", ERR_INVAL, ""}, /* surrogate */
        {"\xC3", ERR_INVAL, ""},
        {"l\xC2\xB7l", 0, "l\xC2\xB7l"}, /* middle dot in its context, and out of it */
        {"a\xC2\xB7l", ERR_INVAL, ""},
        {"\xC2\xB7", ERR_INVAL, ""},
        {"\xCD\xB5\xCE\xB1", 0, "\xCD\xB5\xCE\xB1"}, /* keraia */
        {"\xCD\xB5", ERR_INVAL, ""},
        {"\xD7\x90\xD7\xB3", 0, "\xD7\x90\xD7\xB3"}, /* geresh */
        {"a\xD7\xB3", ERR_INVAL, ""},
        {"\xE3\x82\xA2\xE3\x83\xBB", 0, "\xE3\x82\xA2\xE3\x83\xBB"}, /* Katakana middle dot */
        {"a\xE3\x83\xBB", ERR_INVAL, ""},
        {"\xD9\xA0\xD9\xA1", 0, "\xD9\xA0\xD9\xA1"}, /* Arabic-Indic digits, one set and both */
        {"\xD9\xA0\xDB\xB0", ERR_INVAL, ""},
        {"\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8D", 0, "\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8D"}, /* ZWJ after a virama */
        {"a\xE2\x80\x8D", ERR_INVAL, ""},
        {"\xD8\xA8\xE2\x80\x8C\xD8\xA8", 0, "\xD8\xA8\xE2\x80\x8C\xD8\xA8"}, /* ZWNJ between joining letters */
        {"\xD8\xA8\xE2\x80\x8C", ERR_INVAL, ""},
        {"\xD8\xA7\xE2\x80\x8C\xD8\xA8", ERR_INVAL, ""}, /* alef doesn't join to the left */
    };
    char out[256];
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        printf("# case %zu\n", i);
        memset(out, 'x', sizeof(out));
        CHECK_INT(auth_opaque_string(out, sizeof(out), table[i].in, strlen(table[i].in)), table[i].err);
        if (!table[i].err)
            CHECK_STR(out, table[i].out);
    }
    CHECK_INT(auth_opaque_string(out, sizeof(out), "a\0b", 3), ERR_INVAL);
    CHECK_INT(auth_opaque_string(out, 4, "abcd", 4), ERR_NOSPC);
    CHECK_INT(auth_opaque_string(out, 5, "abcd", 4), 0);
    CHECK_INT(auth_opaque_string(out, 2, "\xC3\xBC", 2), ERR_NOSPC);
    CHECK_INT(auth_opaque_string(out, 3, "\xC3\xBC", 2), 0);
}

/* ---- the embedded store ---- */

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char file[64];

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static void store_generates_once(void)
{
    struct store *s = NULL;
    const char *password = NULL, *again = NULL;
    char kept[STORE_PASSWORD_LEN + 1];
    char nested[64];
    struct stat st;
    bool generated = false;
    snprintf(nested, sizeof(nested), "%s/state", dir);
    CHECK_INT(store_open(&s, nested, NULL), 0);
    CHECK_INT(store_count(s), 0);
    CHECK(stat(store_path(s), &st) != 0); /* opening writes nothing */
    CHECK_INT(store_user(s, "turnpike", &password, &generated), 0);
    CHECK(generated);
    CHECK_INT(strlen(password), STORE_PASSWORD_LEN);
    CHECK_INT(strspn(password, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), STORE_PASSWORD_LEN);
    strcpy(kept, password);
    CHECK_INT(store_user(s, "turnpike", &again, &generated), 0);
    CHECK(!generated);
    CHECK_STR(again, kept);
    CHECK_INT(store_user(s, "second", &again, NULL), 0);
    CHECK(strcmp(again, kept) != 0);
    CHECK_INT(stat(store_path(s), &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK_INT(stat(nested, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0700);
    store_free(&s);
    CHECK(s == NULL);

    /* After a restart. */
    CHECK_INT(store_open(&s, nested, NULL), 0);
    CHECK_INT(store_count(s), 2);
    CHECK_INT(store_user(s, "turnpike", &password, &generated), 0);
    CHECK(!generated);
    CHECK_STR(password, kept);
    struct auth *a = new_auth(NULL);
    CHECK_INT(auth_add_user(a, "second", "from-the-file"), 0);
    CHECK_INT(store_load(s, a), 0);
    uint8_t want[STUN_MD5_KEY_LEN];
    CHECK_INT(ask(a, "turnpike", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(stun_key_md5("turnpike", "realm", kept, want), 0);
    CHECK_MEM(answer.keys[0], want, 16);
    CHECK_INT(ask(a, "second", STUN_ALG_MD5), AUTH_OK);
    CHECK_INT(stun_key_md5("second", "realm", "from-the-file", want), 0);
    CHECK_MEM(answer.keys[0], want, 16);
    auth_free(&a);
    CHECK_INT(unlink(store_path(s)), 0);
    CHECK_INT(rmdir(nested), 0); /* no temporary file is left */
    store_free(&s);
}

static void store_bad_names(void)
{
    struct store *s = NULL;
    const char *password;
    char name[STUN_USERNAME_MAX + 2];
    CHECK_INT(store_open(&s, dir, NULL), 0);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CHECK_INT(store_user(s, "", &password, NULL), ERR_INVAL);
    CHECK_INT(store_user(s, "a:b", &password, NULL), ERR_INVAL);
    CHECK_INT(store_user(s, "a\nuser=b", &password, NULL), ERR_INVAL);
    CHECK_INT(store_user(s, name, &password, NULL), ERR_INVAL);
    CHECK(password == NULL);
    store_free(&s);
}

static void store_bad_files(void)
{
    static const struct {
        const char *text;
        int err;
        unsigned line;
    } table[] = {
        {"", 0, 0},
        {"# only a comment\n\nuser=a:b", 0, 0},
        {"user=a:b:c\n", 0, 0}, /* a password may hold a colon */
        {"user=a:b\nuser=a\n", ERR_MALFORMED, 2},
        {"user=:b\n", ERR_MALFORMED, 1},
        {"user=a:\n", ERR_MALFORMED, 1},
        {"password=x\n", ERR_MALFORMED, 1},
        {"user=a:b\r\nx", ERR_MALFORMED, 2},
    };
    struct store *s = NULL;
    unsigned line;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        write_file(table[i].text);
        CHECK_INT(store_open(&s, dir, &line), table[i].err);
        CHECK_INT(line, table[i].line);
        CHECK((s == NULL) == (table[i].err != 0));
        store_free(&s);
    }
    unlink(file);
}

static void store_unwritable(void)
{
    struct store *s = NULL;
    const char *password;
    char inside[128];
    write_file("# a file, where a directory should be\n");
    snprintf(inside, sizeof(inside), "%s/credentials", dir);
    CHECK_INT(store_open(&s, inside, NULL), -ENOTDIR);
    unlink(file);
    snprintf(inside, sizeof(inside), "%s/no/such", dir);
    CHECK_INT(store_open(&s, inside, NULL), 0);
    CHECK_INT(store_user(s, "a", &password, NULL), ERR_NOENT); /* only the last directory is made */
    CHECK_INT(store_count(s), 0);
    store_free(&s);
    /* The last step fails: nothing is left behind, and the password that isn't kept isn't handed out. */
    CHECK_INT(store_open(&s, dir, NULL), 0);
    CHECK_INT(mkdir(file, 0700), 0);
    CHECK_INT(store_user(s, "a", &password, NULL), -EISDIR);
    CHECK(password == NULL);
    CHECK_INT(rmdir(file), 0);
    CHECK_INT(rmdir(dir), 0);
    CHECK_INT(mkdir(dir, 0700), 0);
    store_free(&s);
    if (geteuid() != 0) { /* root may read and write everywhere */
        write_file("user=a:b\n");
        chmod(file, 0);
        CHECK_INT(store_open(&s, dir, NULL), ERR_ACCES);
        unlink(file);
        chmod(dir, 0500);
        CHECK_INT(store_open(&s, dir, NULL), 0);
        CHECK_INT(store_user(s, "a", &password, NULL), ERR_ACCES);
        store_free(&s);
        chmod(dir, 0700);
    }
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"C25 the MD5 key of user:realm:pass", md5_key},
        {"the SHA-256 key of a fixed user", sha256_key},
        {"C19 a user known by his MD5 key alone takes SHA-256 from the offer", md5_only_user},
        {"C26 USERHASH finds the user", userhash_by_index},
        {"C31 a name of 763 bytes, and one more", names_at_the_limit},
        {"C31 what can't be prepared is refused, and so is a name twice", bad_users},
        {"C31 OpaqueString", opaque_string},
        {"C32 no byte of the password stays", password_is_not_kept},
        {"a realm that can't be one", bad_realm},
        {"shared-secret names in three forms", name_forms},
        {"a shared-secret password, known answer", secret_known_answer},
        {"several secrets give several keys", several_secrets},
        {"C50 the expiry of a shared-secret name", secret_expiry},
        {"users and secrets side by side", users_and_secrets},
        {"a fixed user wins over a secret-looking name", fixed_user_wins},
        {"users and shared secrets of the configuration are for the relay alone", scopes},
        {"a pending answer comes once, a cancelled one never", pending_source},
        {"the store generates a password once", store_generates_once},
        {"the store refuses names that would break its file", store_bad_names},
        {"the store reads its file line by line", store_bad_files},
        {"the store says why it can't write", store_unwritable},
    };
    if (!mkdtemp(dir))
        return 99;
    snprintf(file, sizeof(file), "%s/credentials", dir);
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    stun_mac_free(&mac);
    rmdir(dir);
    return rc;
}
