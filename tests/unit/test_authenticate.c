/* RFC 8489 section 9.2.4 through relay/: who gets 400, 401, 438 or an answer that is signed, and what it may cost to find out. */
#include <stdlib.h>

#include "base/err.h"
#include "stun/integrity.h"
#include "stun/nonce.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, mallory;

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&mallory, &net, 0, "11.6.6.6:6666", TRANSPORT_UDP);
}

static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256, SIGN_MD5};

/* Is the last answer a challenge: unsigned, with REALM, NONCE and PASSWORD-ALGORITHMS? */
static bool challenge(const struct client *c)
{
    const struct stun_attr *realm = stun_find(&c->answer, STUN_ATTR_REALM), *nonce = stun_find(&c->answer, STUN_ATTR_NONCE);
    const struct stun_attr *algorithms = stun_find(&c->answer, STUN_ATTR_PASSWORD_ALGORITHMS);

    return !c->signed_with && realm && realm->len == 11 && !memcmp(realm->value, "example.org", 11) && nonce && algorithms &&
           algorithms->len == 8 && !memcmp(algorithms->value, "\0\2\0\0\0\1\0\0", 8) && c->answer.nattrs == 4;
}

static void c16(void)
{
    static const uint16_t METHODS[] = {STUN_ALLOCATE, STUN_REFRESH, STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND};

    UP(0);
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++) {
        client_begin(&alice, STUN_REQUEST, METHODS[i]);
        CHECK_INT(client_send(&alice), 401);
        CHECK(challenge(&alice));
        client_begin(&alice, STUN_REQUEST, METHODS[i]);
        client_put_identity(&alice);
        CHECK_INT(client_send(&alice), 401);
        CHECK(challenge(&alice));
    }
    CHECK_INT(fake_count(&net, COUNT_CHALLENGES), 8);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void c17(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (int missing = 0; missing < 3; missing++) {
        for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
            alice.sign = SIGNS[i];
            client_begin_allocate(&alice);
            if (missing != 0)
                stun_put(&alice.o, STUN_ATTR_USERNAME, "alice", 5);
            if (missing != 1)
                stun_put(&alice.o, STUN_ATTR_REALM, alice.realm, strlen(alice.realm));
            if (missing != 2)
                stun_put(&alice.o, STUN_ATTR_NONCE, alice.nonce, alice.nonce_len);
            client_put_integrity(&alice);
            CHECK_INT(client_send(&alice), 400);
            CHECK_INT(alice.signed_with, 0);
            CHECK_INT(alice.answer.nattrs, 1); /* ERROR-CODE alone */
        }
    }
    DOWN();
}

static void c18(void)
{
    static const struct {
        const char *address;
        enum transport transport;
    } SOURCES[] = {
        {"11.1.1.1:4000", TRANSPORT_UDP},  {"11.1.1.1:4001", TRANSPORT_UDP},  {"11.1.1.2:4000", TRANSPORT_UDP},
        {"[2a11::1]:4000", TRANSPORT_UDP}, {"[2a11::2]:4000", TRANSPORT_TCP}, {"[2a11::2]:4000", TRANSPORT_UDP},
    };
    enum { N = sizeof(SOURCES) / sizeof(SOURCES[0]) };
    uint8_t nonces[N][STUN_NONCE_MAX];
    size_t len = 0;

    UP(0);
    for (int i = 0; i < N; i++) {
        client_init(&alice, &net, 0, SOURCES[i].address, SOURCES[i].transport);
        CHECK_INT(client_greet(&alice), 401);
        len = alice.nonce_len;
        memcpy(nonces[i], alice.nonce, len);
        for (int j = 0; j < i; j++)
            CHECK(memcmp(nonces[i], nonces[j], len) != 0);
    }
    for (int i = 0; i < N - 1; i++) { /* none is good for another source, or over another transport */
        memcpy(alice.nonce, nonces[i], len);
        client_begin_allocate(&alice);
        CHECK_INT(client_ask(&alice), 438);
    }
    client_begin_allocate(&alice); /* the 438 has brought one that is */
    CHECK_INT(client_ask(&alice), 0);
    DOWN();
}

static void c19(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    CHECK(alice.nonce_len <= 127);
    CHECK_MEM(alice.nonce, "obMatJos2wAAD", 13); /* both features, each under both bit orders */
    UP(.md5_user = true);
    CHECK_INT(client_greet(&alice), 401);
    CHECK_MEM(alice.nonce, "obMatJos2QAAC", 13);
    CHECK(!stun_find(&alice.answer, STUN_ATTR_PASSWORD_ALGORITHMS));
    CHECK_INT(client_allocate(&alice), 0);
    UP(.secrets = {"a shared secret"});
    CHECK_INT(client_greet(&alice), 401);
    CHECK_MEM(alice.nonce, "obMatJos2gAAB", 13);
    CHECK(stun_find(&alice.answer, STUN_ATTR_PASSWORD_ALGORITHMS));
    alice.userhash = true;
    CHECK_INT(client_allocate(&alice), 401);
    alice.userhash = false;
    CHECK_INT(client_allocate(&alice), 0);
    DOWN();
}

static void c20(void)
{
    static const struct {
        const char *list;
        size_t list_len;
        const char *choice;
        size_t choice_len;
        int code;
    } CASES[] = {
        {"\0\2\0\0\0\1\0\0", 8, "\0\2\0\0", 4, 0},
        {"\0\2\0\0\0\1\0\0", 8, NULL, 0, 400},
        {NULL, 0, "\0\2\0\0", 4, 400},
        {"\0\1\0\0\0\2\0\0", 8, "\0\2\0\0", 4, 400}, /* another order */
        {"\0\2\0\0", 4, "\0\2\0\0", 4, 400},         /* bidding down, and up */
        {"\0\1\0\0", 4, "\0\1\0\0", 4, 400},
        {"\0\2\0\0\0\1\0\0\0\3\0\0", 12, "\0\2\0\0", 4, 400},
        {"\0\2\0\0\0\1\0\1", 8, "\0\2\0\0", 4, 400},
        {"\0\2\0\0\0\1\0\0", 8, "\0\3\0\0", 4, 400}, /* not in the list */
        {"\0\2\0\0\0\1\0\0", 8, "\0\0\0\0", 4, 400},
        {"\0\2\0\0\0\1\0\0", 8, "\1\2\0\0", 4, 400},
        {"\0\2\0\0\0\1\0\0", 8, "\0\2\0\4", 4, 400},
        {"\0\2\0\0\0\1\0\0", 8, "\0\2\1\0", 4, 400},
        {"\0\2\0\0\0\1\0\0", 8, "\0\2", 2, 400},
        {"", 0, "", 0, 400},
    };

    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        alice.sign = SIGN_SHA1; /* its identity carries no algorithms */
        client_begin_allocate(&alice);
        client_put_identity(&alice);
        if (CASES[i].list)
            stun_put(&alice.o, STUN_ATTR_PASSWORD_ALGORITHMS, CASES[i].list, CASES[i].list_len);
        if (CASES[i].choice)
            stun_put(&alice.o, STUN_ATTR_PASSWORD_ALGORITHM, CASES[i].choice, CASES[i].choice_len);
        alice.sign = SIGN_SHA256;
        client_put_integrity(&alice);
        CHECK_INT(client_send(&alice), CASES[i].code);
        CHECK(CASES[i].code == 0 || !alice.signed_with);
    }
    CHECK_INT(client_refresh(&alice, 0), 0);
    alice.sign = SIGN_SHA1; /* neither: MD5, also with MESSAGE-INTEGRITY-SHA256 over that key */
    client_begin_allocate(&alice);
    client_put_identity(&alice);
    {
        uint8_t key[STUN_KEY_MAX];
        size_t len = client_key(&alice, key);

        stun_put_sha256(&alice.o, net.mac, key, len);
    }
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(alice.signed_with, 1);
    DOWN();
}

static void c20_not_offered(void)
{
    /* Where SHA-256 is not offered the two attributes mean nothing: the nonce says so. */
    UP(.md5_user = true);
    CHECK_INT(client_greet(&alice), 401);
    alice.sign = SIGN_MD5;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(alice.signed_with, 1);
    DOWN();
}

static void c21(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < alice.nonce_len; i++) { /* the feature bits, and every other character */
        uint8_t good = alice.nonce[i];

        alice.nonce[i] = good == 'A' ? 'B' : 'A';
        client_begin_allocate(&alice);
        CHECK_INT(client_ask(&alice), 438);
        CHECK(challenge(&alice)); /* and the new nonce has been taken over */
    }
    CHECK_INT(client_allocate(&alice), 0);
    DOWN();
}

static void c22(void)
{
    uint8_t md5[STUN_MD5_KEY_LEN], sha256[STUN_SHA256_KEY_LEN];
    static const uint8_t wrong[STUN_MD5_KEY_LEN];

    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    stun_key_md5("alice", alice.realm, "sesame", md5);
    stun_key_sha256("alice", alice.realm, "sesame", sha256);
    client_begin_allocate(&alice); /* a good MESSAGE-INTEGRITY does not save a wrong -SHA256 */
    alice.sign = SIGN_SHA1;
    client_put_identity(&alice);
    stun_put_sha1(&alice.o, net.mac, md5, sizeof(md5));
    stun_put_sha256(&alice.o, net.mac, wrong, sizeof(wrong));
    CHECK_INT(client_send(&alice), 401);
    CHECK(challenge(&alice));
    client_begin_allocate(&alice); /* nor does a wrong one spoil a good -SHA256 */
    alice.sign = SIGN_SHA256;
    client_put_identity(&alice);
    stun_put_sha1(&alice.o, net.mac, wrong, sizeof(wrong));
    stun_put_sha256(&alice.o, net.mac, sha256, sizeof(sha256));
    CHECK_INT(client_send(&alice), 0);
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        alice.password = "wrong";
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        CHECK_INT(client_ask(&alice), 401);
        CHECK(challenge(&alice));
        alice.password = "sesame";
        CHECK_INT(client_refresh(&alice, 600), 0);
    }
    DOWN();
}

/* Cuts the integrity attribute at the end of the request down to `len` bytes. */
static void truncate_integrity(struct client *c, size_t full, size_t len)
{
    size_t at = c->o.w.len - full - 4;

    c->request[at + 2] = 0;
    c->request[at + 3] = (uint8_t)len;
    c->o.w.len = at + 4 + ((len + 3) & ~(size_t)3);
    c->request[2] = (uint8_t)((c->o.w.len - STUN_HEADER_LEN) >> 8);
    c->request[3] = (uint8_t)(c->o.w.len - STUN_HEADER_LEN);
}

static void c23(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t len = 0; len <= 32; len += 4) { /* RFC 8489 allows 16 to 32 in general, but not here */
        alice.sign = SIGN_SHA256;
        client_begin_allocate(&alice);
        client_put_identity(&alice);
        client_put_integrity(&alice);
        truncate_integrity(&alice, 32, len);
        CHECK_INT(client_send(&alice), len == 32 ? 0 : 401);
    }
    CHECK_INT(client_refresh(&alice, 0), 0);
    fake_clock(&net, THROTTLE_WINDOW_S * 1000); /* or S15 has its say */
    for (size_t len = 0; len <= 20; len += 4) {
        alice.sign = SIGN_SHA1;
        client_begin_allocate(&alice);
        client_put_identity(&alice);
        client_put_integrity(&alice);
        truncate_integrity(&alice, 20, len);
        CHECK_INT(client_send(&alice), len == 20 ? 0 : 401);
    }
    DOWN();
}

static void c24(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        client_begin_allocate(&alice); /* FINGERPRINT makes the header's length larger than what was signed */
        client_put_identity(&alice);
        client_put_integrity(&alice);
        stun_put_fingerprint(&alice.o);
        CHECK_INT(client_send(&alice), 0);
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    DOWN();
}

/* C27, S14: the same bytes for a user who does not exist and for a wrong password. */
static void c27(void)
{
    static uint8_t first[CLIENT_ANSWER_MAX];
    size_t len = 0;

    UP(0);
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        CHECK_INT(client_greet(&alice), 401);
        alice.password = "wrong";
        client_begin_allocate(&alice);
        CHECK_INT(client_ask(&alice), 401);
        memcpy(first, alice.answer_bytes, len = alice.answer_len);
        alice.user = "nobody";
        client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
        stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
        CHECK_INT(client_ask(&alice), 401);
        CHECK_INT(alice.answer_len, len);
        CHECK_MEM(alice.answer_bytes, first, len);
        alice.user = "alice";
    }
    DOWN();
}

static void c28(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    fake_clock(&net, NONCE_LIFETIME_S * 1000ULL);
    client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
    CHECK_INT(client_ask(&alice), 437); /* the allocation has expired, but the nonce is good */
    client_init(&alice, &net, 0, "11.1.1.1:4001", TRANSPORT_UDP);
    CHECK_INT(client_allocate(&alice), 0);
    fake_clock(&net, NONCE_LIFETIME_S * 1000ULL + 1000);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    CHECK_INT(client_ask(&alice), 438);
    CHECK(challenge(&alice));
    CHECK(NONCE_LIFETIME_S <= 3600);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 437); /* the new nonce is good */
    DOWN();
}

static void c29(void)
{
    static const int WITH[] = {1, 256, 256};

    UP(0);
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        CHECK_INT(client_allocate(&alice), 0);
        CHECK_INT(alice.signed_with, WITH[i]);
        CHECK_INT(client_allocate(&alice), 437);
        CHECK_INT(alice.signed_with, WITH[i]);
        CHECK_INT(client_permit(&alice, "10.0.0.1"), 403);
        CHECK_INT(alice.signed_with, WITH[i]);
        CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
        CHECK_INT(alice.signed_with, WITH[i]);
        CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
        CHECK_INT(alice.signed_with, WITH[i]);
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        stun_put_u32(&alice.o, 0x0777, 0);
        CHECK_INT(client_ask(&alice), 420);
        CHECK_INT(alice.signed_with, WITH[i]);
        CHECK_INT(client_refresh(&alice, 0), 0);
        CHECK_INT(alice.signed_with, WITH[i]);
    }
    DOWN();
}

static void c30(void)
{
    UP(.async = true);
    net.async_status = AUTH_UNKNOWN;
    alice.user = "carol"; /* no fixed user: the last source would be asked */
    for (size_t i = 0; i < 100; i++) {
        client_begin_allocate(&alice);
        memset(alice.nonce, 'A' + (int)(i % 26), sizeof(alice.nonce));
        alice.nonce_len = i + 1;
        CHECK_INT(client_ask(&alice), 438);
    }
    CHECK_INT(client_greet(&mallory), 401);
    memcpy(alice.nonce, mallory.nonce, mallory.nonce_len); /* another source's */
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), 438);
    CHECK_INT(net.lookups, 0);
    fake_clock(&net, NONCE_LIFETIME_S * 1000ULL + 1000); /* too old */
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), 438);
    CHECK_INT(net.lookups, 0);
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), 401);
    CHECK_INT(net.lookups, 1);
    DOWN();
}

/* C31, S7: names that cannot be a user's. */
static void c31(void)
{
    static const struct {
        const char *name;
        size_t len;
    } ODD[] = {
        {"", 0},        {"%s%n%s%n", 8}, {"al\r\nice", 7},    {"alice\0", 6},   {"alice\0bob", 9}, {" alice", 6},
        {"\"alice", 6}, {"'; --", 5},    {"\xff\xfe", 2},     {"alice\xc3", 6}, {"\xc0\x80", 2},   {"\xed\xa0\x80", 3},
        {"\n", 1},      {"a\x7f", 2},    {"\xe2\x80\xae", 3}, {"{\"a\":1}", 7}, {"*", 1},
    };
    char huge[65000];

    UP(.async = true);
    net.async_status = AUTH_UNKNOWN;
    memset(huge, 'x', sizeof(huge));
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(ODD) / sizeof(ODD[0]) + 3; i++) {
        static const size_t LENGTHS[] = {764, 1024, sizeof(huge)};
        bool odd = i < sizeof(ODD) / sizeof(ODD[0]);
        const char *name = odd ? ODD[i].name : huge;
        size_t len = odd ? ODD[i].len : LENGTHS[i - sizeof(ODD) / sizeof(ODD[0])];

        client_begin_allocate(&alice);
        stun_put(&alice.o, STUN_ATTR_USERNAME, name, len);
        stun_put(&alice.o, STUN_ATTR_REALM, alice.realm, strlen(alice.realm));
        stun_put(&alice.o, STUN_ATTR_NONCE, alice.nonce, alice.nonce_len);
        client_put_integrity(&alice);
        CHECK_INT(client_send(&alice), 401);
        CHECK(challenge(&alice));
    }
    client_begin_allocate(&alice); /* 763 are allowed: it is looked up */
    stun_put(&alice.o, STUN_ATTR_USERNAME, huge, STUN_USERNAME_MAX);
    stun_put(&alice.o, STUN_ATTR_REALM, alice.realm, strlen(alice.realm));
    stun_put(&alice.o, STUN_ATTR_NONCE, alice.nonce, alice.nonce_len);
    client_put_integrity(&alice);
    net.lookups = 0;
    CHECK_INT(client_send(&alice), 401);
    CHECK_INT(net.lookups, 1);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void s7_realm(void)
{
    static const struct {
        const char *realm;
        size_t len;
    } ODD[] = {{"", 0}, {"example.or", 10}, {"example.org\0", 12}, {"%s%n", 4}, {"example.org\r\n", 13}, {"EXAMPLE.ORG", 11}};

    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(ODD) / sizeof(ODD[0]); i++) {
        client_begin_allocate(&alice);
        stun_put(&alice.o, STUN_ATTR_USERNAME, "alice", 5);
        stun_put(&alice.o, STUN_ATTR_REALM, ODD[i].realm, ODD[i].len);
        stun_put(&alice.o, STUN_ATTR_NONCE, alice.nonce, alice.nonce_len);
        client_put_integrity(&alice);
        CHECK_INT(client_send(&alice), 401);
        CHECK(challenge(&alice));
    }
    DOWN();
}

static void c26(void)
{
    UP(0);
    alice.userhash = true;
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        CHECK_INT(client_allocate(&alice), 0);
        alice.password = "wrong";
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        CHECK_INT(client_ask(&alice), 401);
        alice.password = "sesame";
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    alice.sign = SIGN_SHA1;
    for (size_t len = 0; len <= STUN_USERHASH_LEN + 4; len++) {
        uint8_t hash[STUN_USERHASH_LEN + 4] = {0};

        stun_userhash("alice", alice.realm, hash);
        client_begin_allocate(&alice);
        stun_put(&alice.o, STUN_ATTR_USERHASH, hash, len);
        stun_put(&alice.o, STUN_ATTR_REALM, alice.realm, strlen(alice.realm));
        stun_put(&alice.o, STUN_ATTR_NONCE, alice.nonce, alice.nonce_len);
        client_put_integrity(&alice);
        CHECK_INT(client_send(&alice), len == STUN_USERHASH_LEN ? 0 : 401);
    }
    DOWN();
}

/* One name, several secrets: the integrity tells which, and the answer is signed with the same. */
static void secrets(void)
{
    UP(.secrets = {"the new one", "the old one"});
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        alice.sign = SIGNS[i];
        client_be_rest(&alice, "1800000100:alice", "the old one");
        CHECK_INT(client_allocate(&alice), 0);
        CHECK_INT(alice.lifetime, 100); /* C50 */
        CHECK(alice.signed_with);
        client_be_rest(&alice, "1800000100:alice", "another one");
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        CHECK_INT(client_ask(&alice), 401);
        client_be_rest(&alice, "1800000100:alice", "the new one");
        CHECK_INT(client_refresh(&alice, 0), 0);
        client_be_rest(&alice, "1800000000:alice", "the new one"); /* has just ended */
        CHECK_INT(client_allocate(&alice), 401);
    }
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* What is counted, and what the operator is told. */
static void told(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(net.events[EVENT_REQUEST_REFUSED], 0); /* the first request of every client is challenged */
    CHECK_INT(fake_count(&net, COUNT_CHALLENGES), 1);
    CHECK_INT(fake_count(&net, COUNT_ERRORS), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 437);
    CHECK_INT(net.events[EVENT_REQUEST_REFUSED], 1);
    CHECK_INT(net.last_code, 437);
    CHECK_STR(net.last_method, "CreatePermission");
    CHECK_STR(net.last_user, "alice");
    CHECK(net.last_detail[0]);
    CHECK_INT(fake_count(&net, COUNT_ERRORS), 1);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put_u32(&alice.o, 0x0777, 0);
    CHECK_INT(client_send(&alice), 420);
    CHECK_INT(net.events[EVENT_REQUEST_REFUSED], 2);
    CHECK_INT(net.last_code, 420);
    CHECK_STR(net.last_user, "");
    CHECK_INT(fake_count(&net, COUNT_ERRORS), 2);
    alice.password = "wrong";
    CHECK_INT(client_refresh(&alice, 0), 401);
    CHECK_INT(net.events[EVENT_REQUEST_REFUSED], 3);
    CHECK_INT(net.last_code, 401);
    CHECK_INT(fake_count(&net, COUNT_CHALLENGES), 2);
    CHECK_INT(fake_count(&net, COUNT_SUCCESSES), 0);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(fake_count(&net, COUNT_SUCCESSES), 1);
    alice.password = "sesame";
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(net.events[EVENT_ALLOCATION_CREATED], 1);
    CHECK_STR(net.last_user, "alice");
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK_INT(fake_count(&net, COUNT_SUCCESSES), 5);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_STR(net.last_detail, "refreshed with 0");
    CHECK_INT(fake_count(&net, COUNT_REQUESTS), 10);
    DOWN();
}

static void unavailable(void)
{
    UP(.async = true);
    net.async_status = AUTH_UNAVAILABLE;
    alice.user = "carol";
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), 500);
    CHECK_INT(alice.signed_with, 0);
    CHECK_INT(alice.answer.nattrs, 1);
    alice.user = "alice"; /* a fixed user does not mind */
    CHECK_INT(client_allocate(&alice), 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C16 without MESSAGE-INTEGRITY: 401 with REALM, NONCE and PASSWORD-ALGORITHMS, unsigned", c16},
    {"C17 integrity without user name, realm or nonce: 400, unsigned, without REALM and NONCE", c17},
    {"C18 no nonce is good for two sources", c18},
    {"C19 the nonce cookie says what every source of credentials can do", c19},
    {"C20 the password algorithms must be those that were offered", c20},
    {"C20 where SHA-256 is not offered the algorithm attributes mean nothing", c20_not_offered},
    {"C21 an altered nonce, feature bits included, is 438", c21},
    {"C22 MESSAGE-INTEGRITY-SHA256 alone decides where it is present", c22},
    {"C23 a truncated MESSAGE-INTEGRITY-SHA256 is refused", c23},
    {"C24 the HMAC covers a length that ends at its attribute", c24},
    {"C26 USERHASH stands for the user name", c26},
    {"C27 S14 unknown user and wrong password get the same 401", c27},
    {"C28 an expired nonce is 438 with a good one", c28},
    {"C29 authenticated answers are signed, errors too", c29},
    {"C30 a forged nonce costs no look-up", c30},
    {"C31 S7 odd, empty and overlong user names are 401", c31},
    {"S7 another realm is 401", s7_realm},
    {"C22 C50 several shared secrets for one name", secrets},
    {"requests and refusals are counted and told", told},
    {"a source of credentials that cannot answer is 500", unavailable},
};

TAP_MAIN(TESTS)
