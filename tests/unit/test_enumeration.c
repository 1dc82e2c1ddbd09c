/* S14: who asks for names learns nothing of them: not from the bytes of an answer, and not from the work that it takes, which is counted. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/sqlsource.h"
#include "auth/sqltokens.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

/* The linker puts these in front of OpenSSL's (--wrap in Makefile.am): every HMAC and key derivation goes through them. */
int __real_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine);
int __real_EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t n);
int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine);
int __wrap_EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t n);

/* What has been hashed, by algorithm. */
static struct work {
    unsigned digests[3];
    size_t bytes[3];
} work;

static int algorithm(const EVP_MD *md)
{
    return EVP_MD_is_a(md, "MD5") ? 0 : EVP_MD_is_a(md, "SHA1") ? 1 : 2;
}

int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine)
{
    work.digests[algorithm(md)]++;
    return __real_EVP_DigestInit_ex(ctx, md, engine);
}

int __wrap_EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t n)
{
    work.bytes[algorithm(EVP_MD_CTX_get0_md(ctx))] += n;
    return __real_EVP_DigestUpdate(ctx, data, n);
}

static struct fakenet net;

static const char SECRET[] = "the first secret";
static const char *const FIXED[] = {"user who lives", "1900000001:eve"}; /* the second one could be a shared secret's */

/* Names of one length: what is hashed counts to the byte. */
static const char *const NAMES[] = {
    "user who lives",                   /* fixed, */
    "1900000001:eve", "no user at all", /* unknown, */
    "1900000002:eve",                   /* a shared secret's, where there is one, */
    "1900000003:bob", "1000000001:eve", /* one that has expired, */
    "user in a file", "user gone away", /* the embedded store's, where there is one: one who lives, one who was revoked, */
    "1900000004:tom",                   /* and one whose time-limited names were */
};
enum { NAMES_N = sizeof(NAMES) / sizeof(NAMES[0]) };

static const char *const PLACES[] = {"11.1.1.1:4001", "11.1.1.2:4001", "11.1.1.3:4001", "11.1.1.4:4001", "11.1.1.5:4001",
                                     "11.1.1.6:4001", "11.1.1.7:4001", "11.1.1.8:4001", "11.1.1.9:4001"};
_Static_assert(sizeof(PLACES) / sizeof(PLACES[0]) == NAMES_N, "one for each");

struct found {
    struct work work;
    size_t len;
    uint8_t bytes[CLIENT_ANSWER_MAX];
};

/* One request with a wrong password. The nonce in the answer is the source's own: out of the comparison. */
static int guess(struct client *c, const char *place, const char *name, enum client_sign sign, bool userhash, struct found *f)
{
    const struct stun_attr *nonce;
    int code;

    client_init(c, &net, 0, place, TRANSPORT_UDP);
    client_greet(c);
    c->user = name;
    c->password = "wrong";
    c->sign = sign;
    c->userhash = userhash;
    c->next_txid = 77;
    client_begin_allocate(c);
    client_put_identity(c);
    client_put_integrity(c);
    work = (struct work){0};
    code = client_send(c);
    f->work = work;
    f->len = c->answer_len;
    memcpy(f->bytes, c->answer_bytes, c->answer_len);
    nonce = stun_find(&c->answer, STUN_ATTR_NONCE);
    if (nonce)
        memset(f->bytes + (nonce->value - c->answer_bytes), 0, nonce->len);
    memset(f->bytes + c->answer_len - 8, 0, 8); /* nor is the FINGERPRINT over it, or the tail of what has none */
    return code;
}

/* ---- The embedded store. ---- */

static char dir[] = "/tmp/turnpike-test-XXXXXX";

static int keep(struct tokenstore *s, const char *name)
{
    struct token t = {.realm = "example.org", .scope = TOKEN_TURN, .issued_at = 1};
    const char *why;

    strcpy(t.id, name);
    strcpy(t.owner, name);
    return token_derive(&t, "right", &why) ? -1 : tokenstore_issue(s, &t);
}

static void remove_store(void)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/turnpike.db", dir);
    unlink(path);
}

/* What a case that failed has left behind goes first. */
static int add_store(void)
{
    struct sqlsource *source;
    struct tokenstore s;
    char why[SQL_WHY_MAX];
    int err;

    remove_store();
    err = sqltokens_open(&s, dir);
    err = err ? err : keep(&s, "user in a file");
    err = err ? err : keep(&s, "user gone away");
    err = err ? err : tokenstore_revoke(&s, "user gone away", FAKE_WALL);
    err = err ? err : tokenstore_revoke_user(&s, "tom", 2000000000, FAKE_WALL);
    tokenstore_close(&s);
    return err ? err : sqlsource_add(&source, net.auth, &(struct sqlsource_config){dir, ':'}, why);
}

static void all_alike(const struct fake_options *o, bool userhash, bool embedded)
{
    static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256, SIGN_MD5};
    static struct client c;
    struct found first, next;

    fake_up(&net, o);
    for (size_t i = 0; i < sizeof(FIXED) / sizeof(FIXED[0]); i++)
        CHECK_INT(auth_add_user(net.auth, FIXED[i], "right"), 0);
    CHECK_INT(embedded ? add_store() : 0, 0);
    for (size_t s = 0; s < sizeof(SIGNS) / sizeof(SIGNS[0]); s++) {
        CHECK_INT(guess(&c, PLACES[0], NAMES[0], SIGNS[s], userhash, &first), 401);
        CHECK(first.work.digests[1] + first.work.digests[2] >= 4); /* the nonce and one integrity at least */
        for (size_t i = 1; i < NAMES_N; i++) {
            CHECK_INT(guess(&c, PLACES[i], NAMES[i], SIGNS[s], userhash, &next), 401);
            CHECK_INT(next.len, first.len);
            CHECK_MEM(next.bytes, first.bytes, first.len);
            for (int a = 0; a < 3; a++) {
                CHECK_INT(next.work.digests[a], first.work.digests[a]);
                CHECK_INT(next.work.bytes[a], first.work.bytes[a]);
            }
        }
    }
    CHECK_INT(fake_down(&net), 0);
}

static void fixed_users(void)
{
    all_alike(&(struct fake_options){0}, false, false);
}

static void by_hash(void)
{
    all_alike(&(struct fake_options){0}, true, false);
}

static void one_secret(void)
{
    all_alike(&(struct fake_options){.secrets = {SECRET}}, false, false);
}

static void two_secrets(void)
{
    all_alike(&(struct fake_options){.secrets = {SECRET, "and a second one of another length"}}, false, false);
}

static void store(void)
{
    all_alike(&(struct fake_options){0}, false, true);
}

static void store_by_hash(void)
{
    all_alike(&(struct fake_options){0}, true, true);
}

static void store_and_secret(void)
{
    all_alike(&(struct fake_options){.secrets = {SECRET}}, false, true);
}

/* Whether the store is asked at all: its user is let in. */
static void stored_user(void)
{
    static struct client c;

    fake_up(&net, &(struct fake_options){0});
    CHECK_INT(add_store(), 0);
    client_init(&c, &net, 0, PLACES[0], TRANSPORT_UDP);
    c.user = "user in a file";
    c.password = "right";
    CHECK_INT(client_allocate(&c), 0);
    CHECK_INT(client_refresh(&c, 0), 0);
    c.user = "user gone away";
    CHECK_INT(client_allocate(&c), 401);
    CHECK_INT(fake_down(&net), 0);
}

/* The keys that an expired name would have are worked out; they must not let it in. */
static void expired(void)
{
    static struct client c;

    fake_up(&net, &(struct fake_options){.secrets = {SECRET}});
    client_init(&c, &net, 0, PLACES[0], TRANSPORT_UDP);
    client_be_rest(&c, "1000000001:eve", SECRET);
    CHECK_INT(client_allocate(&c), 401);
    client_be_rest(&c, "no user at all", SECRET);
    CHECK_INT(client_allocate(&c), 401);
    client_be_rest(&c, "1900000001:eve", SECRET);
    CHECK_INT(client_allocate(&c), 0);
    CHECK_INT(client_refresh(&c, 0), 0);
    CHECK_INT(fake_down(&net), 0);
}

static const struct tap_test TESTS[] = {
    {"S14 known or unknown: the same bytes for the same work", fixed_users},
    {"S14 known or unknown by USERHASH: the same bytes for the same work", by_hash},
    {"S14 fixed, shared-secret, expired or unknown: the same bytes for the same work", one_secret},
    {"S14 with two shared secrets: the same bytes for the same work", two_secrets},
    {"S14 in the embedded store, revoked or unknown: the same bytes for the same work", store},
    {"S14 in the embedded store by USERHASH: the same bytes for the same work", store_by_hash},
    {"S14 in the embedded store beside a shared secret, revoked or unknown: the same bytes for the same work", store_and_secret},
    {"S14 who is in the embedded store and has the password is let in, who was revoked is not", stored_user},
    {"S14 the work that is spent on an expired name does not let it in", expired},
};

int main(void)
{
    int status;

    if (!mkdtemp(dir))
        return 99;
    status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    remove_store();
    rmdir(dir);
    return status;
}
