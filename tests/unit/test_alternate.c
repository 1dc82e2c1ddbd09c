/* NAT behaviour discovery: which listener answers for which, and what it says (C80). */
#include "relay/alternate.h"
#include "stun/msg.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice;
static struct alternates all;

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    fake_shard(&net, 0)->alternates = &all;
}

/* "7.7.7.7:3478", or "10.0.0.7:3478=7.7.7.7:3478": bound=told. */
static void listen_on(size_t n, const char *const texts[])
{
    all = (struct alternates){.n = n};
    for (size_t i = 0; i < n; i++) {
        char bound[64], *equals;

        snprintf(bound, sizeof(bound), "%s", texts[i]);
        equals = strchr(bound, '=');
        if (equals)
            *equals = '\0';
        all.listener[i] = (struct alternate){fake_addr(bound), fake_addr(equals ? equals + 1 : bound)};
    }
    alternate_connect(&all);
}

#define LISTEN_ON(...)                                                                                                             \
    listen_on(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *), (const char *const[]){__VA_ARGS__})

/* The way that a request to this listener takes. */
static void go_to(size_t listener)
{
    alice.path.server = all.listener[listener].bound;
    alice.path.io = (uint32_t)listener;
}

/* Who answers there: its number; -1: nobody stands in for it. */
static int way(size_t listener, uint32_t change)
{
    struct path path = {.transport = TRANSPORT_UDP, .io = (uint32_t)listener};
    uint32_t io;

    return alternate_find(&all, &path, change, &io) ? (int)io : -1;
}

/* Asks one listener and takes the answer from another; what client.c finds wrong with it is a violation. */
static int ask(size_t to, uint32_t change, size_t from)
{
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    if (change)
        stun_put_u32(&alice.o, STUN_ATTR_CHANGE_REQUEST, change);
    go_to(to);
    client_raw(&alice, alice.request, (size_t)stun_end(&alice.o), 0);
    go_to(from);
    return client_answer(&alice);
}

static bool tells(uint16_t type, const struct addr *a)
{
    struct addr told;

    return stun_get_addr(&alice.answer, type, &told) == 0 && addr_equal(&told, a);
}

/* ---- The table. ---- */

static void ways(void)
{
    LISTEN_ON("7.7.7.7:3478", "[2a07::7]:3478", "7.7.7.8:3478", "7.7.7.7:3479", "7.7.7.8:3479");
    CHECK_INT(way(0, 0), 0);
    CHECK_INT(way(0, STUN_CHANGE_IP), 2);
    CHECK_INT(way(0, STUN_CHANGE_PORT), 3);
    CHECK_INT(way(0, STUN_CHANGE_BOTH), 4);
    CHECK_INT(way(4, STUN_CHANGE_IP), 3);
    CHECK_INT(way(4, STUN_CHANGE_PORT), 2);
    CHECK_INT(way(4, STUN_CHANGE_BOTH), 0);
    CHECK_INT(way(4, 0xFFFFFFF9), 4); /* bits that mean nothing */
    CHECK_INT(way(1, 0), -1);
    CHECK_INT(way(5, 0), -1);
    LISTEN_ON("7.7.7.7:1", "7.7.7.8:1", "7.7.7.9:1", "7.7.7.7:2", "7.7.7.8:2", "7.7.7.9:2"); /* in a ring */
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(way(i, STUN_CHANGE_IP), (int)(i + 1) % 3);
        CHECK_INT(way(i, STUN_CHANGE_BOTH), 3 + (int)(i + 1) % 3);
    }
}

static void no_ways(void)
{
    struct path stream = {.transport = TRANSPORT_TCP};
    uint32_t io;

    LISTEN_ON("7.7.7.7:3478", "7.7.7.7:3479"); /* one address */
    CHECK_INT(way(0, 0), -1);
    LISTEN_ON("7.7.7.7:3478", "7.7.7.8:3478"); /* one port */
    CHECK_INT(way(0, 0), -1);
    LISTEN_ON("7.7.7.7:3478", "7.7.7.8:3478", "7.7.7.7:3479"); /* not all of both */
    CHECK_INT(way(0, 0), -1);
    LISTEN_ON("0.0.0.0:1", "7.7.7.8:1", "0.0.0.0:2", "7.7.7.8:2");
    CHECK_INT(way(0, 0), -1);
    CHECK_INT(way(1, 0), -1);
    LISTEN_ON("127.0.0.1:1", "7.7.7.8:1", "127.0.0.1:2", "7.7.7.8:2");
    CHECK_INT(way(1, 0), -1);
    LISTEN_ON("[fe80::1]:1", "[2a07::7]:1", "[fe80::1]:2", "[2a07::7]:2");
    CHECK_INT(way(0, 0), -1);
    CHECK_INT(way(1, 0), -1);
    LISTEN_ON("10.0.0.7:1=7.7.7.7:1", "10.0.0.8:1=7.7.7.7:1", "10.0.0.7:2=7.7.7.7:2", "10.0.0.8:2=7.7.7.7:2"); /* one name */
    CHECK_INT(way(0, 0), -1);
    LISTEN_ON("7.7.7.7:1", "7.7.7.8:1", "7.7.7.7:2", "7.7.7.8:2");
    CHECK_INT(way(0, 0), 0);
    CHECK(!alternate_find(&all, &stream, 0, &io)); /* a stream's number is another one */
    CHECK(!alternate_find(NULL, &(struct path){.transport = TRANSPORT_UDP}, 0, &io));
}

/* ---- Answers. ---- */

static void answers(void)
{
    static const uint32_t CHANGES[] = {0, STUN_CHANGE_IP, STUN_CHANGE_PORT, STUN_CHANGE_BOTH};

    UP(0);
    LISTEN_ON("10.0.0.7:3478=7.7.7.7:3478", "7.7.7.8:3478", "10.0.0.7:3479=7.7.7.7:3479", "7.7.7.8:3479");
    for (size_t to = 0; to < all.n; to++) {
        for (size_t i = 0; i < sizeof(CHANGES) / sizeof(CHANGES[0]); i++) {
            size_t from = (size_t)way(to, CHANGES[i]);

            CHECK_INT(ask(to, CHANGES[i], from), 0);
            CHECK(tells(STUN_ATTR_MAPPED_ADDRESS, &alice.path.client));
            CHECK(tells(STUN_ATTR_RESPONSE_ORIGIN, &all.listener[from].told));
            CHECK(tells(STUN_ATTR_OTHER_ADDRESS, &all.listener[way(to, STUN_CHANGE_BOTH)].told));
        }
    }
    CHECK_INT(fake_untaken(&net), 0);
    DOWN();
}

static void refusals(void)
{
    static const uint16_t OTHERS[] = {0x0026, 0x0027}; /* PADDING, RESPONSE-PORT */
    const struct stun_attr *a;

    UP(0);
    LISTEN_ON("7.7.7.7:3478", "7.7.7.8:3478", "7.7.7.7:3479", "7.7.7.8:3479", "[2a07::7]:3478");
    for (size_t i = 0; i < 2; i++) {
        client_begin(&alice, STUN_REQUEST, STUN_BINDING);
        stun_put_u32(&alice.o, STUN_ATTR_CHANGE_REQUEST, STUN_CHANGE_IP);
        stun_put_u32(&alice.o, OTHERS[i], 0);
        go_to(0);
        CHECK_INT(client_send(&alice), 420);
        a = stun_find(&alice.answer, STUN_ATTR_UNKNOWN_ATTRIBUTES);
        CHECK(a && a->len == 2 && a->value[1] == OTHERS[i]);
    }
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put(&alice.o, STUN_ATTR_CHANGE_REQUEST, "\0\0\0\6\0\0\0", 8);
    CHECK_INT(client_send(&alice), 400);
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice); /* it is for a Binding alone */
    stun_put_u32(&alice.o, STUN_ATTR_CHANGE_REQUEST, 0);
    CHECK_INT(client_ask(&alice), 420);
    CHECK_INT(ask(4, STUN_CHANGE_IP, 4), 420); /* no second address of this family */
    CHECK_INT(ask(4, 0, 4), 0);
    CHECK_INT(alice.answer.nattrs, 1);
    all.n = 0;
    CHECK_INT(ask(0, STUN_CHANGE_PORT, 0), 420);
    CHECK_INT(ask(0, 0, 0), 0);
    CHECK_INT(alice.answer.nattrs, 1);
    DOWN();
}

/* An answer from elsewhere is one answer to its source's account, no longer than from here. */
static void s19(void)
{
    size_t len;
    int n = 0;

    UP(.settings = {.unauthenticated_rate = 10});
    LISTEN_ON("7.7.7.7:3478", "7.7.7.8:3478", "7.7.7.7:3479", "7.7.7.8:3479");
    CHECK_INT(ask(0, 0, 0), 0);
    len = alice.answer_len;
    CHECK((len + 28) * 1000 / (STUN_HEADER_LEN + 28) <= 2000); /* IP packets; RFC 5780's addresses are what it has more than 1.6 */
    CHECK_INT(ask(0, STUN_CHANGE_BOTH, 3), 0);
    CHECK_INT(alice.answer_len, len);
    for (int i = 0; i < 200; i++)
        n += ask(0, STUN_CHANGE_BOTH, 3) == 0;
    CHECK(n >= 8 && n < 100);
    CHECK(fake_count(&net, DROP_UNAUTHENTICATED_RATE) >= 100);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put(&alice.o, STUN_ATTR_CHANGE_REQUEST, "", 0);
    go_to(0);
    CHECK_INT(client_send(&alice), NO_ANSWER);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C80 each flag of CHANGE-REQUEST leads to one listener", ways},
    {"C80 nobody answers for a listener without a second address and a second port", no_ways},
    {"C80 answers leave from there, and tell both addresses as clients know them", answers},
    {"C80 where there is nothing to change to CHANGE-REQUEST is 420, malformed 400, and RESPONSE-PORT always 420", refusals},
    {"S19 an answer from elsewhere is as long, and counts as any other", s19},
};

TAP_MAIN(TESTS)
