/* What strangers learn from answers and what these cost: no byte of memory, no version, no flood (S6, S18, S19). */
#include <malloc.h>
#include <stdlib.h>

#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice;

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
}

/* S18: no answer carries a SOFTWARE, or a digit of our version, unless it is configured. */
static void s18(void)
{
    static const int METHODS[] = {STUN_BINDING, STUN_ALLOCATE, STUN_REFRESH, STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND};

    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++) {
        for (int authenticated = 0; authenticated < 2; authenticated++) {
            client_begin(&alice, STUN_REQUEST, (uint16_t)METHODS[i]);
            CHECK(METHODS[i] != STUN_BINDING && authenticated ? client_ask(&alice) >= 0 : client_send(&alice) >= 0);
            CHECK(!stun_find(&alice.answer, STUN_ATTR_SOFTWARE));
            CHECK(!memmem(alice.answer_bytes, alice.answer_len, "urnpike", 7));
        }
    }
    DOWN();
}

/* ---- What strangers cost (S19). ---- */

/* In thousandths, so that no floating point comes in; IP and UDP headers counted on both sides. */
static unsigned amplification(size_t answer, size_t request, bool v6)
{
    size_t head = v6 ? 48 : 28;

    return (unsigned)((answer + head) * 1000 / (request + head));
}

static void s19_size(void)
{
    static const char *const CLIENTS[] = {"11.1.1.1:4000", "[2a11::1]:4000"};

    UP(.auth = {.realm = "turn.conference.example.org"});
    for (int v6 = 0; v6 < 2; v6++) {
        client_init(&alice, &net, 0, CLIENTS[v6], TRANSPORT_UDP);
        client_begin(&alice, STUN_REQUEST, STUN_BINDING);
        CHECK_INT(client_send(&alice), 0);
        CHECK(amplification(alice.answer_len, alice.o.w.len, v6) <= 1600);
        CHECK_INT(client_greet(&alice), 401);
        CHECK(amplification(alice.answer_len, alice.o.w.len, v6) <= 3600);
        CHECK(client_quiet(&alice));
    }
    DOWN();
}

static int answers_in_a_row(struct client *c, int tries, bool by_allocate)
{
    int n = 0;

    for (int i = 0; i < tries; i++) {
        if (by_allocate)
            client_begin_allocate(c);
        else
            client_begin(c, STUN_REQUEST, STUN_BINDING);
        n += client_send(c) != NO_ANSWER;
    }
    return n;
}

static void s19_rate(void)
{
    int first;

    UP(.settings = {.unauthenticated_rate = 10});
    first = answers_in_a_row(&alice, 200, true);
    CHECK(first >= 10 && first <= 100);
    CHECK_INT(answers_in_a_row(&alice, 20, false), 0);
    client_init(&alice, &net, 0, "11.1.1.1:999", TRANSPORT_UDP); /* another port is the same source */
    CHECK_INT(answers_in_a_row(&alice, 20, false), 0);
    CHECK(fake_count(&net, DROP_UNAUTHENTICATED_RATE) >= 40);
    fake_clock(&net, 1000);
    CHECK_INT(answers_in_a_row(&alice, 200, false), 10);
    client_init(&alice, &net, 0, "11.1.1.2:4000", TRANSPORT_UDP);
    CHECK_INT(answers_in_a_row(&alice, 5, false), 5);
    client_init(&alice, &net, 0, "[2a11:0:0:1::1]:4000", TRANSPORT_UDP); /* a /64 is one source */
    CHECK_INT(answers_in_a_row(&alice, 200, true), first);
    client_init(&alice, &net, 0, "[2a11:0:0:1:ffff::1]:4000", TRANSPORT_UDP);
    CHECK_INT(answers_in_a_row(&alice, 20, true), 0);
    client_init(&alice, &net, 0, "[2a11:0:0:2::1]:4000", TRANSPORT_UDP);
    CHECK_INT(answers_in_a_row(&alice, 5, true), 5);
    CHECK_INT(fake_in_use(&net), 0); /* no state */
    DOWN();
}

static void s19_refusals(void)
{
    int refusals = 0;

    /* 400 and 438 to strangers are unauthenticated answers, too. */
    UP(.settings = {.unauthenticated_rate = 10});
    for (int i = 0; i < 200; i++) {
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        client_put_integrity(&alice);
        refusals += client_send(&alice) == 400;
    }
    CHECK(refusals >= 10 && refusals <= 100);
    fake_clock(&net, 100000);
    refusals = 0;
    alice.nonce_len = 16;
    for (int i = 0; i < 200; i++) {
        client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
        refusals += client_ask(&alice) == 438;
        alice.nonce_len = 16;
    }
    CHECK(refusals >= 10 && refusals <= 100);
    fake_clock(&net, 100000);
    refusals = 0;
    for (int i = 0; i < 200; i++) {
        client_begin(&alice, STUN_REQUEST, STUN_BINDING);
        stun_put_u32(&alice.o, 0x0777, 0);
        refusals += client_send(&alice) == 420;
    }
    CHECK(refusals >= 10 && refusals <= 100);
    DOWN();
}

/* A name a look-up: what a stranger with a nonce makes up reaches the store no more often than he would be answered. */
static void s19_lookups(void)
{
    int answered = 0;
    char name[32];

    UP(.async = true, .settings = {.unauthenticated_rate = 10});
    CHECK_INT(client_greet(&alice), 401);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "nobody%d", i);
        alice.user = name;
        client_begin_allocate(&alice);
        CHECK_INT(client_ask(&alice), NO_ANSWER);
        if (fake_answer(&net, AUTH_UNKNOWN, NULL, 0))
            answered += client_answer(&alice) == 401;
    }
    CHECK_INT(net.lookups, 49); /* five seconds' worth, and one has greeted */
    CHECK_INT(answered, 49);    /* which is paid for the answer, too */
    fake_clock(&net, 1000);
    alice.user = "carol";
    alice.password = "x";
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_OK, "x", 0));
    CHECK_INT(client_answer(&alice), 0);
    for (int i = 0; i < 100; i++) { /* who has shown a credential is not limited */
        CHECK_INT(client_refresh(&alice, 600), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", 0));
        CHECK_INT(client_answer(&alice), 0);
    }
    DOWN();
}

/* A source's ports are spread over the workers. */
static void s19_workers(void)
{
    int first = 0;

    UP(.workers = 2, .settings = {.unauthenticated_rate = 10});
    for (unsigned i = 0; i < 2; i++) {
        client_init(&alice, &net, i, "11.1.1.1:4000", TRANSPORT_UDP);
        first += answers_in_a_row(&alice, 100, false);
    }
    CHECK_INT(first, 50);
    fake_clock(&net, 1000);
    for (unsigned i = 0; i < 2; i++) {
        client_init(&alice, &net, i, "11.1.1.1:4000", TRANSPORT_UDP);
        CHECK_INT(answers_in_a_row(&alice, 100, false), 5);
    }
    fake_shard(&net, 0)->settings.unauthenticated_rate = 1; /* less than one each: no worker is mute */
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    CHECK_INT(answers_in_a_row(&alice, 100, false), 5);
    DOWN();
}

static void s19_trusted(void)
{
    UP(.settings = {.unauthenticated_rate = 10});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(answers_in_a_row(&alice, 300, false), 300);
    fake_clock(&net, SOURCE_TRUST_S * 1000ULL); /* which does not last for ever */
    CHECK(answers_in_a_row(&alice, 300, false) < 100);
    DOWN();
}

/* ---- S6: no byte that nobody has written leaves. ---- */

static void __attribute__((noinline)) poison_stack(uint8_t with)
{
    volatile uint8_t mud[65536];

    for (size_t i = 0; i < sizeof(mud); i++)
        mud[i] = with;
}

/* Every kind of message that we send, with the same random parts; all bytes of them in one buffer. */
static size_t every_answer(uint8_t poison, uint8_t *out, size_t cap)
{
    static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256, SIGN_MD5};
    struct client *c = malloc(sizeof(*c));
    size_t n = 0;

    mallopt(M_PERTURB, poison);
    fake_up(&net, &(struct fake_options){.relays = {"9.9.9.9", "2a09::9"}, .port_min = 50000, .port_max = 50000});
    net.poison = poison;
    for (size_t i = 0; c && i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        client_init(c, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
        c->next_txid = 77;
        c->sign = SIGNS[i];
        poison_stack(poison);
        client_greet(c);
        client_begin_allocate(c);
        stun_put_u32(&c->o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
        poison_stack(poison);
        client_finish_allocate(c);
        poison_stack(poison);
        client_permit(c, "10.0.0.1");
        poison_stack(poison);
        client_permit(c, "5.6.7.8");
        client_bind(c, 0x4000, "5.6.7.9:9");
        client_bind(c, 0x4001, "[2a05::9]:9");
        client_permit(c, "2a05::8");
        client_begin(c, STUN_REQUEST, STUN_REFRESH);
        stun_put_u32(&c->o, 0x0777, 0);
        client_ask(c);
        client_begin(c, STUN_REQUEST, STUN_BINDING);
        stun_put_fingerprint(&c->o);
        poison_stack(poison);
        client_send(c);
        for (size_t len = 0; len < 9; len++) {
            fake_from_peer(&net, &c->relayed[0], "5.6.7.8:9", "12345678", len, 0);
            fake_from_peer(&net, &c->relayed[0], "5.6.7.9:9", "12345678", len, 0);
            fake_from_peer(&net, &c->relayed[1], "[2a05::9]:9", "12345678", len, 0);
            fake_from_peer(&net, &c->relayed[1], "[2a05::8]:9", "12345678", len, 0);
        }
        while (fake_take_client(&net, &c->path))
            ;
        client_refresh(c, 0);
    }
    for (struct fake_sent *s = net.sent; s; s = s->next) {
        if (s->data[0] == 0 && s->data[1] == 0x17) { /* a Data indication: its transaction id is random, */
            memset(s->data + 8, 0, STUN_TXID_LEN);
            if (s->data[25] == ADDR_V6) /* and xored into the end of an IPv6 address */
                memset(s->data + 32, 0, STUN_TXID_LEN);
        }
        if (n + s->len > cap)
            abort();
        memcpy(out + n, s->data, s->len);
        n += s->len;
    }
    mallopt(M_PERTURB, 0);
    free(c);
    return n;
}

static void s6(void)
{
    enum { CAP = 1 << 16 };
    static uint8_t one[CAP], other[CAP];
    size_t n = every_answer(0xAA, one, sizeof(one)), m;

    CHECK_INT(fake_down(&net), 0);
    m = every_answer(0x55, other, sizeof(other));
    CHECK(n > 3000 && n == m);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(one[i], other[i]);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"S6 no uninitialised byte in any answer", s6},
    {"S18 no answer tells a version", s18},
    {"S19 amplification of Binding and 401 on IP packets", s19_size},
    {"S19 unauthenticated answers are capped by source", s19_rate},
    {"S19 refusals of strangers are capped, too", s19_refusals},
    {"S19 look-ups for strangers are capped by source", s19_lookups},
    {"S19 all workers together keep to the cap", s19_workers},
    {"S19 a source with a valid credential is not capped", s19_trusted},
};

TAP_MAIN(TESTS)
