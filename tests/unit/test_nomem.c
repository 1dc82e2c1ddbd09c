/* F13: the n-th allocation of memory fails, for each n. The request fails, the server lives, and nothing is left behind. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

/* The linker puts these in front of the C library's (--wrap in Makefile.am). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

static long left = -1; /* allocations until one fails; negative: none does */
static bool full;      /* nothing that is there can grow */

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return full || fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static int digests = -1; /* until none works any more, as when OpenSSL gets no memory; negative: all do */

int __real_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine);
int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine);

int __wrap_EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, ENGINE *engine)
{
    if (digests == 0)
        return 0;
    digests -= digests > 0;
    return __real_EVP_DigestInit_ex(ctx, md, engine);
}

static struct fakenet net;
static struct client alice, carol, bob;

static void many_peers(struct client *c)
{
    char peer[32];

    for (uint16_t i = 0; i < 10; i++) { /* both arrays grow twice */
        snprintf(peer, sizeof(peer), "5.6.7.%u:9", i + 1U);
        client_bind(c, (uint16_t)(0x4000 + i), peer);
        client_say(c, peer, "x", 1);
    }
}

/* Everything that takes memory while it runs. The answers may be anything. */
static void call(void)
{
    client_greet(&alice);
    client_begin_allocate(&alice);
    stun_put_u32(&alice.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
    client_finish_allocate(&alice);
    many_peers(&alice);

    client_greet(&bob);
    client_begin_allocate(&bob);
    stun_put(&bob.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    client_ask(&bob);
    fake_answer(&net, AUTH_OK, "x", 0);
    client_answer(&bob);
    const struct stun_attr *token = stun_find(&bob.answer, STUN_ATTR_RESERVATION_TOKEN);

    client_greet(&carol); /* on the other worker, first for her credentials and then for the port */
    client_begin_allocate(&carol);
    if (token)
        stun_put(&carol.o, STUN_ATTR_RESERVATION_TOKEN, token->value, token->len);
    client_ask(&carol);
    client_permit(&carol, "5.6.7.8");
    while (fake_answer(&net, AUTH_OK, "x", 0) || fake_run(&net))
        ;
    while (fake_take_client(&net, &carol.path))
        ;
}

static bool still_lives(unsigned worker)
{
    static struct client c;

    client_init(&c, &net, worker, "11.9.9.9:4000", TRANSPORT_UDP);
    return client_allocate(&c) == 0 && client_permit(&c, "5.6.7.8") == 0 && client_refresh(&c, 0) == 0;
}

static void each(void)
{
    long n = 0;

    for (;; n++) {
        fake_up(&net, &(struct fake_options){.workers = 2, .relays = {"9.9.9.9", "2a09::9"}, .async = true, .usage = true});
        client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
        client_init(&bob, &net, 0, "11.2.2.2:4000", TRANSPORT_TCP);
        client_init(&carol, &net, 1, "11.3.3.3:4000", TRANSPORT_TCP);
        carol.user = bob.user = "carol";
        carol.password = bob.password = "x";
        left = n;
        call();
        bool failed = left < 0;
        left = -1;
        if (!failed)
            break;
        fake_pass(&net, PARKED_LIFETIME_S * 1000ULL);
        CHECK(still_lives(0) && still_lives(1));
        turn_stream_closed(fake_shard(&net, 0), &bob.path);
        turn_stream_closed(fake_shard(&net, 1), &carol.path);
        fake_pass(&net, 3600000);
        CHECK_INT(fake_in_use(&net), 0);
        CHECK_INT(fake_down(&net), 0);
    }
    CHECK(n > 30);
    CHECK_INT(fake_down(&net), 0);
}

static bool is_reached(struct client *c, const char *peer, int channel)
{
    if (channel)
        client_channel(c, (uint16_t)channel, "x", 1, 0);
    else
        client_say(c, peer, "x", 1);
    return client_sent(c, peer, "x", 1);
}

/* What is refused for want of memory has left nothing: no first peers of many, and no channel without its permission. */
static void nothing_of_it(void)
{
    static const char *const PEERS[] = {"5.6.7.1:9", "5.6.7.2:9", "5.6.7.3:9", "5.6.7.4:9"};
    enum { N = sizeof(PEERS) / sizeof(PEERS[0]) };

    fake_up(&net, &(struct fake_options){0});
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    CHECK_INT(client_allocate(&alice), 0);
    for (int refused = 1; refused >= 0; refused--) {
        client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
        for (int i = 0; i < N; i++) {
            struct addr peer = fake_addr(PEERS[i]);
            stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        }
        client_put_identity(&alice);
        client_put_integrity(&alice);
        full = refused;
        int code = client_send(&alice);
        full = false;
        CHECK_INT(code, refused ? 508 : 0);
        for (int i = 0; i < N; i++)
            CHECK_INT(is_reached(&alice, PEERS[i], 0), !refused);
    }
    for (int refused = 1; refused >= 0; refused--) {
        client_begin(&alice, STUN_REQUEST, STUN_CHANNEL_BIND);
        stun_put_u32(&alice.o, STUN_ATTR_CHANNEL_NUMBER, 0x4000U << 16);
        struct addr peer = fake_addr("5.6.7.5:9");
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        client_put_identity(&alice);
        client_put_integrity(&alice);
        full = refused;
        int code = client_send(&alice);
        full = false;
        CHECK_INT(code, refused ? 508 : 0);
        CHECK_INT(is_reached(&alice, "5.6.7.5:9", 0x4000), !refused);
    }
    CHECK_INT(fake_down(&net), 0);
}

/* And while it starts. */
static void at_start(void)
{
    struct shard s;
    int err;
    long n = 0;

    fake_up(&net, &(struct fake_options){0});
    do {
        struct shard_config c = {.worker = 0,
                                 .workers = 1,
                                 .auth = net.auth,
                                 .ports = net.ports,
                                 .nonce_key = &net.nonce_key,
                                 .policy = net.policy,
                                 .net = &net.ops,
                                 .net_ctx = &net.worker[0],
                                 .counters = &net.worker[0].counters,
                                 .now = net.now};
        left = n++;
        err = shard_init(&s, &c);
        left = -1;
        CHECK(err == 0 || err == ERR_NOMEM);
    } while (err);
    shard_deinit(&s);
    CHECK(n > 5);
    CHECK_INT(fake_down(&net), 0);
}

/* A policy takes memory for each entry. */
static void a_policy(void)
{
    const char *allowed[] = {"10.0.0.1-10.255.255.254", "10.0.0.0/8:5060"};
    struct addr host = fake_addr("5.5.5.5");
    struct policy_config c = {.allowed = allowed, .nallowed = 2, .host = &host, .nhost = 1, .listeners = &host, .nlisteners = 1};
    int err;
    long n = 0;

    do {
        struct policy *p = NULL;

        left = n++;
        err = policy_new(&p, &c, NULL);
        left = -1;
        CHECK(err == 0 || err == ERR_NOMEM);
        CHECK(err == 0 || !p);
        policy_unref(&p);
    } while (err);
    CHECK(n > 3);
}

/* OpenSSL without memory: the nonce or the integrity can't be checked. That is no wrong password. */
static void no_digest(void)
{
    enum { OF_THE_NONCE = 2 };

    fake_up(&net, &(struct fake_options){0});
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    CHECK_INT(client_greet(&alice), 401);
    for (int i = 0; i < 2 * THROTTLE_FAILURES; i++) {
        client_begin_allocate(&alice);
        client_put_identity(&alice);
        client_put_integrity(&alice);
        digests = i % 2 ? OF_THE_NONCE : 0;
        int code = client_send(&alice);
        digests = -1;
        CHECK_INT(code, 500);
    }
    digests = 0;
    CHECK_INT(client_greet(&alice), NO_ANSWER);
    digests = -1;
    CHECK_INT(fake_count(&net, DROP_NO_MEMORY), 1);
    CHECK_INT(fake_count(&net, DROP_THROTTLED), 0);
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    digests = 2 * OF_THE_NONCE; /* and none for the answer's own integrity */
    CHECK_INT(client_send(&alice), NO_ANSWER);
    digests = -1;
    CHECK_INT(fake_count(&net, DROP_CLIENT_SEND), 1);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(fake_down(&net), 0);
}

static const struct tap_test TESTS[] = {
    {"F13 any allocation of memory may fail while requests are served", each},
    {"C57 F13 what is refused for want of memory leaves nothing behind", nothing_of_it},
    {"F13 any allocation of memory may fail while a shard starts", at_start},
    {"F13 any allocation of memory may fail while a policy is made", a_policy},
    {"F13 what cannot be checked is 500, and no wrong password", no_digest},
};

TAP_MAIN(TESTS)
