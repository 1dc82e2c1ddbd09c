/*
 * Purpose:  retransmission, and a TURN client against a server that is played here, with a clock that is an argument.
 * RFC:      8489 sections 6.2, 9.2; 8656.
 */
#include "base/err.h"
#include "stun/client.h"
#include "tests/unit/tap.h"

static struct stun_mac *mac; /* made by main, before the first test */
static const uint8_t txid[STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const char both_features[] = "obMatJos2wAAD0123456789";
static const char algorithms_feature[] = "obMatJos2gAAB0123456789";
static const struct turn_params to_end = {.with_lifetime = true}; /* lifetime 0 */
static const uint8_t sha256_first[] = {0, 2, 0, 0, 0, 1, 0, 0};
static const uint8_t md5_first[] = {0, 1, 0, 0, 0, 2, 0, 0};

static struct addr addr_of(const char *text)
{
    struct addr a = {0};
    if (addr_parse(&a, text))
        printf("# %s is no address\n", text);
    return a;
}

/* ---- transactions ---- */

/* Runs the schedule to its end, a millisecond a step: the times of sending, and when it gave up. */
static size_t run(struct stun_txn *t, uint64_t start, uint64_t at[16], uint64_t *end)
{
    size_t n = 0;
    for (uint64_t now = start; now < start + 100000; now++) {
        enum stun_txn_step action = stun_txn_step(t, now);
        if (action == STUN_TXN_SEND && n < 16)
            at[n++] = now - start;
        if (action == STUN_TXN_TIMEOUT) {
            *end = now - start;
            return n;
        }
    }
    *end = 0;
    return n;
}

static void schedule(void)
{
    static const uint64_t want[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    struct stun_txn t;
    uint64_t at[16], end;
    stun_txn_start(&t, STUN_RTO_MS, false, 1000);
    CHECK_INT(run(&t, 1000, at, &end), 7);
    for (size_t i = 0; i < 7; i++)
        CHECK_INT(at[i], want[i]);
    CHECK_INT(end, 39500);
    CHECK_INT(stun_txn_step(&t, UINT64_MAX), STUN_TXN_TIMEOUT); /* and stays so */
}

static void schedule_quick(void)
{
    struct stun_txn t;
    uint64_t at[16], end;
    stun_txn_start(&t, 50, false, 7);
    CHECK_INT(run(&t, 7, at, &end), 7);
    CHECK_INT(at[6], 3150);
    CHECK_INT(end, 3950);
}

static void schedule_reliable(void)
{
    struct stun_txn t;
    uint64_t at[16], end;
    stun_txn_start(&t, STUN_RTO_MS, true, 0);
    CHECK_INT(run(&t, 0, at, &end), 1);
    CHECK_INT(at[0], 0);
    CHECK_INT(end, 39500);
}

/* A process that slept sends once, and goes on from there. */
static void schedule_late(void)
{
    struct stun_txn t;
    stun_txn_start(&t, STUN_RTO_MS, false, 0);
    CHECK_INT(stun_txn_step(&t, 0), STUN_TXN_SEND);
    CHECK_INT(t.due_ms, 500);
    CHECK_INT(stun_txn_step(&t, 20000), STUN_TXN_SEND);
    CHECK_INT(stun_txn_step(&t, 20000), STUN_TXN_WAIT);
    CHECK_INT(t.due_ms, 21000);
}

static void match(void)
{
    uint8_t b[64], other[STUN_TXID_LEN];
    struct stun_out o;
    struct stun_msg m;
    struct stun_txn t, t2;
    stun_txn_start(&t, STUN_RTO_MS, false, 0);
    stun_txn_start(&t2, STUN_RTO_MS, false, 0);
    CHECK(memcmp(t.txid, t2.txid, STUN_TXID_LEN) != 0);
    for (int class = 0; class < 4; class ++) {
        for (int byte = 0; byte < STUN_TXID_LEN; byte++) {
            memcpy(other, t.txid, sizeof(other));
            other[byte] ^= 1;
            stun_begin(&o, b, sizeof(b), (enum stun_class) class, STUN_BINDING, other);
            CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
            CHECK(!stun_txn_matches(&t, &m));
        }
        stun_begin(&o, b, sizeof(b), (enum stun_class) class, STUN_BINDING, t.txid);
        CHECK_INT(stun_decode(&m, b, (size_t)stun_end(&o)), 0);
        CHECK_INT(stun_txn_matches(&t, &m), class >= STUN_SUCCESS);
    }
}

/* ---- the server's side ---- */

struct answer {
    uint8_t buf[1024];
    struct stun_out o;
};

static void begin(struct answer *a, enum stun_class class, uint16_t method)
{
    stun_begin(&a->o, a->buf, sizeof(a->buf), class, method, txid);
}

static struct turn_answer got; /* what the last one said */

static enum turn_outcome deliver(struct turn_client *c, struct answer *a)
{
    struct stun_msg m;
    if (stun_decode(&m, a->buf, (size_t)stun_end(&a->o)))
        return (enum turn_outcome)99;
    return turn_read(c, &m, &got);
}

static enum turn_outcome challenge(struct turn_client *c, int code, const char *realm, const char *nonce, const uint8_t *list,
                                   size_t n)
{
    struct answer a;
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    stun_put_error(&a.o, code);
    if (realm)
        stun_put(&a.o, STUN_ATTR_REALM, realm, strlen(realm));
    if (nonce)
        stun_put(&a.o, STUN_ATTR_NONCE, nonce, strlen(nonce));
    if (list)
        stun_put(&a.o, STUN_ATTR_PASSWORD_ALGORITHMS, list, n);
    return deliver(c, &a);
}

static void sign(struct answer *a, const struct turn_client *c)
{
    if (c->algorithm)
        stun_put_sha256(&a->o, mac, c->key, c->key_len);
    else
        stun_put_sha1(&a->o, mac, c->key, c->key_len);
}

static bool text_is(const struct stun_msg *m, uint16_t type, const char *want)
{
    const struct stun_attr *a = stun_find(m, type);
    return a && a->len == strlen(want) && memcmp(a->value, want, a->len) == 0;
}

static struct turn_client client(unsigned flags)
{
    struct turn_client c;
    turn_client_init(&c, "user", "pass", mac);
    c.flags = flags;
    return c;
}

/* ---- credentials ---- */

static void first_request(void)
{
    uint8_t b[256], octet;
    struct stun_msg m;
    struct turn_client c = client(0);
    int n = turn_request(&c, b, sizeof(b), STUN_ALLOCATE, txid, &(struct turn_params){0});
    CHECK_INT(stun_decode(&m, b, (size_t)n), 0);
    CHECK_INT(m.method, STUN_ALLOCATE);
    CHECK_INT(m.class, STUN_REQUEST);
    CHECK_INT(m.nattrs, 1);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_REQUESTED_TRANSPORT, 4, &octet), 0);
    CHECK_INT(octet, 17);
}

static void implicit_md5(void)
{
    uint8_t b[256], key[STUN_MD5_KEY_LEN];
    struct stun_msg m;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    CHECK_INT(challenge(&c, 401, "realm", both_features, sha256_first, 8), TURN_RETRY);
    CHECK_INT(got.code, 401);
    int n = turn_request(&c, b, sizeof(b), STUN_ALLOCATE, txid, &(struct turn_params){0});
    CHECK_INT(stun_decode(&m, b, (size_t)n), 0);
    CHECK(text_is(&m, STUN_ATTR_USERNAME, "user") && text_is(&m, STUN_ATTR_REALM, "realm"));
    CHECK(text_is(&m, STUN_ATTR_NONCE, both_features));
    CHECK(!stun_find(&m, STUN_ATTR_PASSWORD_ALGORITHM) && !stun_find(&m, STUN_ATTR_PASSWORD_ALGORITHMS));
    CHECK_INT(stun_key_md5("user", "realm", "pass", key), 0);
    CHECK_INT(stun_check_sha1(mac, &m, key, sizeof(key)), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), ERR_NOENT);
}

static void explicit_sha256(void)
{
    uint8_t b[256], key[STUN_SHA256_KEY_LEN];
    struct stun_msg m;
    struct turn_client c = client(0);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
    int n = turn_request(&c, b, sizeof(b), STUN_REFRESH, txid, &to_end);
    CHECK_INT(stun_decode(&m, b, (size_t)n), 0);
    const struct stun_attr *list = stun_find(&m, STUN_ATTR_PASSWORD_ALGORITHMS);
    const struct stun_attr *chosen = stun_find(&m, STUN_ATTR_PASSWORD_ALGORITHM);
    CHECK(list && list->len == 8 && chosen && chosen->len == 4);
    CHECK_MEM(list->value, sha256_first, 8); /* as it came (C20) */
    CHECK_MEM(chosen->value, sha256_first, 4);
    CHECK_INT(stun_key_sha256("user", "realm", "pass", key), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), 0);
    CHECK_INT(stun_check_sha1(mac, &m, key, sizeof(key)), ERR_NOENT);
}

/* Explicit MD5: the old key, but MESSAGE-INTEGRITY-SHA256. */
static void explicit_md5(void)
{
    uint8_t b[256], key[STUN_MD5_KEY_LEN];
    struct stun_msg m;
    struct turn_client c = client(0);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, md5_first, 8), TURN_RETRY);
    int n = turn_request(&c, b, sizeof(b), STUN_REFRESH, txid, &to_end);
    CHECK_INT(stun_decode(&m, b, (size_t)n), 0);
    CHECK_INT(stun_key_md5("user", "realm", "pass", key), 0);
    CHECK_INT(stun_check_sha256(mac, &m, key, sizeof(key)), 0);
}

static void unknown_algorithms(void)
{
    static const uint8_t padded[] = {0, 9, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 2, 0, 0}, none[] = {0, 9, 0, 0},
                         cut[] = {0, 9, 0, 9, 0, 2, 0, 0};
    struct turn_client c = client(0);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, none, sizeof(none)), TURN_BOGUS);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, cut, sizeof(cut)), TURN_BOGUS);
    CHECK(!c.challenged);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, padded, sizeof(padded)), TURN_RETRY);
    CHECK_INT(c.algorithm, STUN_ALG_SHA256);
}

/* Somebody between took the list out, but cannot alter the nonce. */
static void bid_down(void)
{
    struct turn_client c = client(0);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, NULL, 0), TURN_BOGUS);
    CHECK(!c.challenged);
    CHECK_INT(challenge(&c, 401, "realm", "obMatJos2AAAA0123", sha256_first, 8), TURN_RETRY);
    CHECK_INT(c.algorithm, 0);
    struct turn_client old = client(0);
    CHECK_INT(challenge(&old, 401, "realm", "a nonce without cookie", NULL, 0), TURN_RETRY);
    CHECK_INT(old.algorithm, 0);
}

static void userhash(void)
{
    for (int i = 0; i < 2; i++) {
        uint8_t b[256], hash[STUN_USERHASH_LEN];
        struct stun_msg m;
        struct turn_client c = client(TURN_CLIENT_USERHASH);
        CHECK_INT(challenge(&c, 401, "realm", i ? both_features : algorithms_feature, sha256_first, 8), TURN_RETRY);
        int n = turn_request(&c, b, sizeof(b), STUN_REFRESH, txid, &to_end);
        CHECK_INT(stun_decode(&m, b, (size_t)n), 0);
        const struct stun_attr *a = stun_find(&m, STUN_ATTR_USERHASH);
        CHECK_INT(a != NULL, i);
        CHECK_INT(stun_find(&m, STUN_ATTR_USERNAME) == NULL, i);
        CHECK_INT(stun_userhash("user", "realm", hash), 0);
        CHECK(!a || memcmp(a->value, hash, sizeof(hash)) == 0);
    }
}

static void bad_challenges(void)
{
    char long_text[STUN_REALM_MAX + 2];
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = 0;
    CHECK_INT(challenge(&c, 401, NULL, "nonce", NULL, 0), TURN_BOGUS);
    CHECK_INT(challenge(&c, 401, "realm", NULL, NULL, 0), TURN_BOGUS);
    CHECK_INT(challenge(&c, 401, long_text, "nonce", NULL, 0), TURN_BOGUS);
    CHECK_INT(challenge(&c, 401, "realm", long_text, NULL, 0), TURN_BOGUS);
    struct answer a;
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    stun_put_error(&a.o, 401);
    stun_put(&a.o, STUN_ATTR_REALM, "re\0lm", 5); /* the key would be of another realm than the answer names */
    stun_put(&a.o, STUN_ATTR_NONCE, "nonce", 5);
    CHECK_INT(deliver(&c, &a), TURN_BOGUS);
    CHECK(!c.challenged);
}

static void wrong_password(void)
{
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    CHECK_INT(challenge(&c, 401, "realm", "one", NULL, 0), TURN_RETRY);
    CHECK_INT(challenge(&c, 401, "realm", "two", NULL, 0), TURN_FAILED);
    CHECK_INT(got.code, 401);
    CHECK_INT(challenge(&c, 401, "another realm", "two", NULL, 0), TURN_RETRY);
    CHECK_STR(c.realm, "another realm");
    CHECK_INT(challenge(&c, 401, "another place", "two", NULL, 0), TURN_RETRY);
    CHECK_STR(c.realm, "another place");
}

static void stale_nonce(void)
{
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    CHECK_INT(challenge(&c, 401, "realm", "one", NULL, 0), TURN_RETRY);
    CHECK_INT(challenge(&c, 438, "realm", "two", NULL, 0), TURN_RETRY);
    CHECK_INT(c.nonce_len, 3);
    CHECK_MEM(c.nonce, "two", 3);
    CHECK_INT(challenge(&c, 438, NULL, "three", NULL, 0), TURN_RETRY);
    CHECK_STR(c.realm, "realm");
    CHECK_INT(challenge(&c, 438, "realm", "four", NULL, 0), TURN_FAILED); /* no loop without an end */
    CHECK_INT(got.code, 438);
}

/* ---- answers ---- */

static void success(void)
{
    struct answer a;
    struct turn_client c = client(0);
    struct addr v4 = addr_of("192.0.2.1:50000"), v6 = addr_of("[2001:db8::1]:50001"), mapped = addr_of("198.51.100.1:7");
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
    begin(&a, STUN_SUCCESS, STUN_ALLOCATE);
    stun_put_xor_addr(&a.o, STUN_ATTR_XOR_RELAYED_ADDRESS, &v4);
    stun_put_xor_addr(&a.o, STUN_ATTR_XOR_RELAYED_ADDRESS, &v6);
    stun_put_xor_addr(&a.o, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    stun_put_u32(&a.o, STUN_ATTR_LIFETIME, 777);
    stun_put(&a.o, STUN_ATTR_RESERVATION_TOKEN, "12345678", 8);
    sign(&a, &c);
    CHECK_INT(deliver(&c, &a), TURN_SUCCESS);
    CHECK_INT(got.code, 0);
    CHECK(addr_equal(&got.relayed[0], &v4) && addr_equal(&got.relayed[1], &v6) && addr_equal(&got.mapped, &mapped));
    CHECK_INT(got.lifetime_s, 777);
    CHECK(got.has_token);
    CHECK_MEM(got.token, "12345678", 8);
    begin(&a, STUN_SUCCESS, STUN_REFRESH);
    stun_put_u32(&a.o, STUN_ATTR_LIFETIME, 600);
    sign(&a, &c);
    CHECK_INT(deliver(&c, &a), TURN_SUCCESS);
    CHECK_INT(got.lifetime_s, 600);
    CHECK(!got.relayed[0].family && !got.relayed[1].family && !got.has_token);
    begin(&a, STUN_SUCCESS, STUN_ALLOCATE);
    stun_put_xor_addr(&a.o, STUN_ATTR_XOR_RELAYED_ADDRESS, &v6);
    sign(&a, &c);
    CHECK_INT(deliver(&c, &a), TURN_SUCCESS);
    CHECK(!got.relayed[0].family && addr_equal(&got.relayed[1], &v6));
}

static void forged(void)
{
    for (int i = 0; i < 3; i++) {
        struct answer a;
        struct turn_client c = client(0), other = client(0);
        other.password = "other";
        CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
        CHECK_INT(challenge(&other, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
        begin(&a, STUN_SUCCESS, STUN_REFRESH);
        stun_put_u32(&a.o, STUN_ATTR_LIFETIME, 600);
        if (i == 1)
            sign(&a, &other);
        if (i == 2)
            stun_put_sha1(&a.o, mac, c.key, c.key_len); /* the weaker one is not enough */
        CHECK_INT(deliver(&c, &a), TURN_BOGUS);
        CHECK_INT(got.lifetime_s, 0);
        begin(&a, STUN_ERROR, STUN_REFRESH);
        stun_put_error(&a.o, 437);
        sign(&a, &other);
        CHECK_INT(deliver(&c, &a), TURN_BOGUS);
    }
}

static void errors(void)
{
    struct answer a;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    CHECK_INT(challenge(&c, 401, "realm", "nonce", NULL, 0), TURN_RETRY);
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    stun_put_error(&a.o, 486);
    sign(&a, &c);
    CHECK_INT(deliver(&c, &a), TURN_FAILED);
    CHECK_INT(got.code, 486);
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    stun_put_error(&a.o, 400); /* refused before the server knew who asks: unsigned */
    CHECK_INT(deliver(&c, &a), TURN_FAILED);
    CHECK_INT(got.code, 400);
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    CHECK_INT(deliver(&c, &a), TURN_BOGUS);
}

static void alternate(void)
{
    struct answer a;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    struct addr other = addr_of("192.0.2.9:3478");
    CHECK_INT(challenge(&c, 401, "realm", "nonce", NULL, 0), TURN_RETRY);
    begin(&a, STUN_ERROR, STUN_ALLOCATE);
    stun_put_error(&a.o, 300);
    stun_put_addr(&a.o, STUN_ATTR_ALTERNATE_SERVER, &other);
    sign(&a, &c);
    CHECK_INT(deliver(&c, &a), TURN_FAILED);
    CHECK_INT(got.code, 300);
    CHECK(addr_equal(&got.alternate, &other));
}

static void binding(void)
{
    uint8_t b[64];
    struct answer a;
    struct stun_msg m;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    struct addr mapped = addr_of("198.51.100.1:7");
    CHECK_INT(challenge(&c, 401, "realm", "nonce", NULL, 0), TURN_RETRY);
    CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_BINDING, txid, &(struct turn_params){0})), 0);
    CHECK_INT(m.method, STUN_BINDING);
    CHECK_INT(m.nattrs, 0);
    begin(&a, STUN_SUCCESS, STUN_BINDING);
    stun_put_xor_addr(&a.o, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    CHECK_INT(deliver(&c, &a), TURN_SUCCESS); /* nobody signs it */
    CHECK(addr_equal(&got.mapped, &mapped));
}

/* ---- requests ---- */

static void allocate_options(void)
{
    uint8_t b[512], octet;
    uint32_t lifetime;
    struct stun_msg m;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    struct turn_params all = {.transport = 6,
                              .with_lifetime = true,
                              .lifetime_s = 0,
                              .family = ADDR_V6,
                              .additional_family = ADDR_V4,
                              .even_port = true,
                              .reserve_next = true,
                              .dont_fragment = true,
                              .token = (const uint8_t *)"87654321"};
    CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_ALLOCATE, txid, &all)), 0);
    CHECK_INT(m.nattrs, 7);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_REQUESTED_TRANSPORT, 4, &octet), 0);
    CHECK_INT(octet, 6);
    CHECK_INT(stun_get_u32(&m, STUN_ATTR_LIFETIME, &lifetime), 0);
    CHECK_INT(lifetime, 0);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4, &octet), 0);
    CHECK_INT(octet, 2);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 4, &octet), 0);
    CHECK_INT(octet, 1);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_EVEN_PORT, 1, &octet), 0);
    CHECK_INT(octet, 0x80);
    CHECK_INT(stun_find(&m, STUN_ATTR_DONT_FRAGMENT)->len, 0);
    CHECK(text_is(&m, STUN_ATTR_RESERVATION_TOKEN, "87654321"));
    all.reserve_next = false;
    CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_ALLOCATE, txid, &all)), 0);
    CHECK_INT(stun_get_u8(&m, STUN_ATTR_EVEN_PORT, 1, &octet), 0);
    CHECK_INT(octet, 0);
}

static void peers(void)
{
    uint8_t b[512];
    uint16_t number;
    size_t at = 0;
    struct stun_msg m;
    struct stun_attr a;
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    struct addr p[2] = {addr_of("192.0.2.1:9"), addr_of("192.0.2.2:9")}, a2;
    struct turn_params both = {.peers = p, .npeers = 2}, bind = {.peers = p + 1, .npeers = 1, .channel = 0x4001};
    CHECK_INT(challenge(&c, 401, "realm", "nonce", NULL, 0), TURN_RETRY);
    CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_CREATE_PERMISSION, txid, &both)), 0);
    CHECK_INT(m.method, STUN_CREATE_PERMISSION);
    for (size_t i = 0; i < 2; i++) {
        CHECK(stun_next(&m, STUN_ATTR_XOR_PEER_ADDRESS, &at, &a));
        CHECK_INT(stun_attr_xor_addr(&m, &a, &a2), 0);
        CHECK(addr_equal(&a2, &p[i]));
    }
    CHECK_INT(stun_check_sha1(mac, &m, c.key, c.key_len), 0);
    CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_CHANNEL_BIND, txid, &bind)), 0);
    CHECK_INT(m.method, STUN_CHANNEL_BIND);
    CHECK_INT(stun_get_channel(&m, &number), 0);
    CHECK_INT(number, 0x4001);
    CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &a2), 0);
    CHECK(addr_equal(&a2, &p[1]));
    CHECK_INT(stun_check_sha1(mac, &m, c.key, c.key_len), 0);
}

static void send_indication(void)
{
    uint8_t b[512];
    struct stun_msg m;
    struct addr peer = addr_of("192.0.2.1:9"), a;
    CHECK_INT(stun_decode(&m, b, (size_t)turn_send_indication(b, sizeof(b), txid, &peer, "hello", 5)), 0);
    CHECK_INT(m.method, STUN_SEND);
    CHECK_INT(m.class, STUN_INDICATION);
    CHECK_INT(m.nattrs, 2);
    CHECK(text_is(&m, STUN_ATTR_DATA, "hello"));
    CHECK_INT(stun_get_xor_addr(&m, STUN_ATTR_XOR_PEER_ADDRESS, &a), 0);
    CHECK(addr_equal(&a, &peer));
    CHECK_INT(turn_send_indication(b, 20, txid, &peer, "hello", 5), ERR_NOSPC);
}

/* A load generator measures the whole way of a new client again and again. */
static void challenged_anew(void)
{
    uint8_t b[256];
    struct stun_msg m;
    struct turn_client c = client(0);
    for (int i = 0; i < 5; i++) {
        struct answer a;
        CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
        begin(&a, STUN_SUCCESS, STUN_ALLOCATE);
        sign(&a, &c);
        CHECK_INT(deliver(&c, &a), TURN_SUCCESS);
        c.challenged = false;
        CHECK_INT(stun_decode(&m, b, (size_t)turn_request(&c, b, sizeof(b), STUN_ALLOCATE, txid, &(struct turn_params){0})), 0);
        CHECK_INT(m.nattrs, 1);
        begin(&a, STUN_SUCCESS, STUN_ALLOCATE); /* nobody may answer an unsigned request with success */
        sign(&a, &c);
        CHECK_INT(deliver(&c, &a), TURN_BOGUS);
    }
    struct turn_client nobody = {.mac = mac};
    CHECK_INT(challenge(&nobody, 401, "realm", "nonce", NULL, 0), TURN_FAILED);
}

static void no_room(void)
{
    uint8_t b[512];
    struct turn_client c = client(0);
    CHECK_INT(challenge(&c, 401, "realm", algorithms_feature, sha256_first, 8), TURN_RETRY);
    int n = turn_request(&c, b, sizeof(b), STUN_REFRESH, txid, &to_end);
    CHECK(n > 0);
    for (int cap = 0; cap < n; cap++)
        CHECK_INT(turn_request(&c, b, (size_t)cap, STUN_REFRESH, txid, &to_end), ERR_NOSPC);
}

static void wiped(void)
{
    static const uint8_t zeros[STUN_KEY_MAX];
    struct turn_client c = client(TURN_CLIENT_PLAIN_MD5);
    CHECK_INT(challenge(&c, 401, "realm", "nonce", NULL, 0), TURN_RETRY);
    turn_client_deinit(&c);
    CHECK_MEM(c.key, zeros, sizeof(zeros));
    CHECK_INT(c.key_len, 0);
}

static const struct tap_test tests[] = {
    {"retransmissions at 0, 500, 1500, 3500, 7500, 15500, 31500 ms, the end at 39500", schedule},
    {"a shorter RTO shortens all", schedule_quick},
    {"reliable transports send once", schedule_reliable},
    {"a late call makes no burst", schedule_late},
    {"an answer is matched by its transaction id", match},
    {"the first Allocate is plain", first_request},
    {"401, and implicit MD5", implicit_md5},
    {"401, and SHA-256 when it is offered first", explicit_sha256},
    {"401, and MD5 when it is offered first", explicit_md5},
    {"unknown algorithms and their parameters are passed over", unknown_algorithms},
    {"a bid-down is not answered", bid_down},
    {"USERHASH where the nonce allows it", userhash},
    {"challenges without realm or nonce, or too long, are ignored", bad_challenges},
    {"a second 401 in the same realm is final", wrong_password},
    {"438 gives a new nonce, a few times", stale_nonce},
    {"the values of a success", success},
    {"an answer that is not signed as it must be is ignored", forged},
    {"error codes", errors},
    {"300 names another server", alternate},
    {"Binding", binding},
    {"the options of Allocate", allocate_options},
    {"CreatePermission and ChannelBind", peers},
    {"the Send indication", send_indication},
    {"a client that is new again", challenged_anew},
    {"a buffer that is too small", no_room},
    {"the key is wiped", wiped},
};

int main(void)
{
    if (stun_mac_new(&mac)) {
        printf("Bail out! no crypto\n");
        return 1;
    }
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    stun_mac_free(&mac);
    return rc;
}
