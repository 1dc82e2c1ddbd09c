/* Allocate through relay/, in the order of RFC 8656 section 7.2. */
#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
}

static unsigned allocations(void)
{
    return (unsigned)auth_quota_total(net.auth);
}

static void c36(void)
{
    struct addr first;
    size_t len;
    static uint8_t bytes[CLIENT_ANSWER_MAX];

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    first = alice.relayed[0];
    memcpy(bytes, alice.answer_bytes, len = alice.answer_len);
    for (int i = 0; i < 3; i++) {
        client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
        stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
        CHECK_INT(client_finish_allocate(&alice), 0);
        CHECK(addr_equal(&first, &alice.relayed[0]));
        CHECK_INT(alice.answer_len, len);
        CHECK_MEM(alice.answer_bytes, bytes, len);
    }
    CHECK_INT(allocations(), 1);
    CHECK_INT(ports_in_use(net.ports), 1);
    CHECK_INT(client_allocate(&alice), 437);
    CHECK_INT(client_refresh(&alice, 600), 0); /* the first one is as it was */
    DOWN();
}

/* The same transaction id by another user is no retransmission. */
static void c36_other_user(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    bob.path = alice.path;
    CHECK_INT(client_greet(&bob), 401);
    memcpy(bob.txid, alice.txid, sizeof(bob.txid));
    client_again(&bob, STUN_REQUEST, STUN_ALLOCATE);
    stun_put_u32(&bob.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    CHECK_INT(client_ask(&bob), 437);
    DOWN();
}

/* C38: the answer is built again from the allocation, with what is left of its life; nothing else remembers a transaction. */
static void c38(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    fake_clock(&net, 100000);
    client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
    stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    CHECK_INT(client_finish_allocate(&alice), 0);
    CHECK_INT(alice.lifetime, 500);
    CHECK_INT(alice.relayed[1].family, ADDR_V6);
    for (int i = 0; i < 2; i++) { /* idempotent by themselves */
        struct addr peer = fake_addr("5.6.7.8:9");

        client_again(&alice, STUN_REQUEST, STUN_CHANNEL_BIND);
        stun_put_u32(&alice.o, STUN_ATTR_CHANNEL_NUMBER, 0x4000U << 16);
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        CHECK_INT(client_ask(&alice), 0);
    }
    DOWN();
}

static void c40(void)
{
    UP(.relays = {"9.9.9.9"}, .auth = {.user_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_ALLOCATE); /* 437 comes before what is wrong besides */
    CHECK_INT(client_ask(&alice), 437);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, CLIENT_V6), 437);
    alice.path.transport = TRANSPORT_TCP; /* another 5-tuple, and another nonce */
    alice.nonce_len = 0;
    alice.user = "bob";
    alice.password = "swordfish";
    CHECK_INT(client_allocate(&alice), 0);
    alice.path.server.port++;
    CHECK_INT(client_allocate(&alice), 486);
    DOWN();
}

/* C41, S17: all 256 transports. */
static void c41(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    client_begin(&alice, STUN_REQUEST, STUN_ALLOCATE);
    CHECK_INT(client_ask(&alice), 400);
    for (size_t len = 0; len <= 8; len++) {
        client_begin(&alice, STUN_REQUEST, STUN_ALLOCATE);
        stun_put(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, "\x11\0\0\0\0\0\0\0", len);
        if (len != 4)
            CHECK_INT(client_ask(&alice), 400);
    }
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        client_begin(&alice, STUN_REQUEST, STUN_ALLOCATE);
        stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, protocol << 24 | 0x00ffffff /* reserved bits are ignored */);
        CHECK_INT(client_ask(&alice), protocol == 17 ? 0 : 442);
        if (protocol == 17)
            CHECK_INT(client_refresh(&alice, 0), 0);
    }
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void c42(void)
{
    const struct stun_attr *a;

    UP(.no_dont_fragment = true);
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
    CHECK_INT(client_ask(&alice), 420);
    a = stun_find(&alice.answer, STUN_ATTR_UNKNOWN_ATTRIBUTES);
    CHECK(a && a->len == 2 && a->value[0] == 0 && a->value[1] == STUN_ATTR_DONT_FRAGMENT);
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
    CHECK_INT(client_ask(&alice), 0);
    DOWN();
}

static void c44(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_greet(&alice), 401);
    for (uint32_t family = CLIENT_V4; family <= CLIENT_V6; family += CLIENT_V4) {
        client_begin_allocate(&alice);
        stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, family);
        stun_put_u32(&alice.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6);
        CHECK_INT(client_ask(&alice), 400);
    }
    DOWN();
}

static void c45(void)
{
    UP(0);
    for (uint32_t family = 0; family < 256; family++) {
        CHECK_INT(client_allocate_with(&alice, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, family << 24), family == 1 ? 0 : 440);
        if (family == 1)
            CHECK_INT(client_refresh(&alice, 0), 0);
    }
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, "\1\0", 2);
    CHECK_INT(client_ask(&alice), 400);
    UP(.relays = {"2a09::9"});
    CHECK_INT(client_allocate(&alice), 440);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, CLIENT_V4), 440);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK_INT(alice.relayed[0].family, ADDR_V6);
    UP(.relays = {"9.9.9.9", "2a09::9"});
    client_init(&alice, &net, 0, "[2a11::1]:4000", TRANSPORT_UDP);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(alice.relayed[0].family, ADDR_V4); /* none asked means IPv4, over IPv6, too */
    CHECK_INT(fake_in_use(&net), 3);
    DOWN();
}

/* RFC 8656 section 7.2: the family (440) is judged before the quota (486). */
static void c45_before_quota(void)
{
    UP(.auth = {.user_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    alice.path.client.port++;
    alice.nonce_len = 0;
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, CLIENT_V6), 440);
    CHECK_INT(client_allocate(&alice), 486);
    DOWN();
}

static void c47(void)
{
    const struct stun_attr *a;

    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V4), 400);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 0), 400);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 3U << 24), 400);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK(alice.relayed[0].family == ADDR_V4 && alice.relayed[1].family == ADDR_V6);
    CHECK(!stun_find(&alice.answer, STUN_ATTR_ADDRESS_ERROR_CODE));
    CHECK_INT(ports_in_use(net.ports), 2);
    CHECK_INT(allocations(), 1);
    UP(0); /* no IPv6 here */
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK(alice.relayed[0].family == ADDR_V4 && alice.relayed[1].family == ADDR_NONE);
    a = stun_find(&alice.answer, STUN_ATTR_ADDRESS_ERROR_CODE);
    CHECK(a && a->len > 4 && a->value[0] == 2 && a->value[1] == 0 && a->value[2] == 4 && a->value[3] == 40);
    UP(.relays = {"2a09::9"}); /* nor IPv4 here */
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK(alice.relayed[0].family == ADDR_V6 && alice.relayed[1].family == ADDR_NONE);
    a = stun_find(&alice.answer, STUN_ATTR_ADDRESS_ERROR_CODE);
    CHECK(a && a->value[0] == 1 && a->value[2] == 4 && a->value[3] == 40);
    UP(.relays = {"9.9.9.9", "2a09::9"}); /* ports of the second family run out */
    net.fail_open = ERR_MFILE;
    net.fail_open_after = 1;
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    a = stun_find(&alice.answer, STUN_ATTR_ADDRESS_ERROR_CODE);
    CHECK(a && a->value[0] == 2 && a->value[2] == 5 && a->value[3] == 8);
    CHECK_INT(client_refresh(&alice, 0), 0);
    net.fail_open_after = 0; /* both */
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 508);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void c48(void)
{
    UP(.auth = {.user_quota = 2});
    for (uint16_t i = 0; i < 4; i++) {
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        CHECK_INT(client_allocate(&alice), i < 2 ? 0 : 486);
    }
    CHECK(alice.signed_with);
    CHECK_INT(fake_count(&net, REFUSED_USER_QUOTA), 2);
    CHECK_INT(client_allocate(&bob), 0);
    alice.path.client.port = 4000;
    alice.nonce_len = 0;
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(client_refresh(&alice, 0), 0);
    alice.path.client.port = 4002;
    alice.nonce_len = 0;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(ports_in_use(net.ports), 3);
    DOWN();
}

static void c48_others(void)
{
    UP(.auth = {.source_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    bob.path.client = alice.path.client;
    bob.path.client.port++;
    CHECK_INT(client_allocate(&bob), 486);
    CHECK_INT(fake_count(&net, REFUSED_SOURCE_QUOTA), 1);
    UP(.auth = {.total_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(fake_count(&net, REFUSED_TOTAL_QUOTA), 1);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(client_allocate(&bob), 0);
    DOWN();
}

static void c49(void)
{
    unsigned low = 65535, high = 0, same = 0;
    uint16_t last = 0;

    UP(0);
    for (int i = 0; i < 400; i++) {
        CHECK_INT(client_allocate(&alice), 0);
        if (alice.relayed[0].port < low)
            low = alice.relayed[0].port;
        if (alice.relayed[0].port > high)
            high = alice.relayed[0].port;
        same += alice.relayed[0].port - 3 <= last && last <= alice.relayed[0].port + 3;
        last = alice.relayed[0].port;
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    CHECK(low >= 49152 && low < 51000 && high > 63000); /* 400 draws miss an eighth of the range once in 10^23 */
    CHECK(same < 20);
    UP(.port_min = 1024, .port_max = 1026);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(client_allocate(&alice), 0);
        CHECK(alice.relayed[0].port >= 1024 && alice.relayed[0].port <= 1026);
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    DOWN();
}

static void c50(void)
{
    static const struct {
        uint32_t wanted, granted;
    } CASES[] = {{0, 600}, {1, 600}, {599, 600}, {600, 600}, {601, 601}, {3600, 3600}, {3601, 3600}, {UINT32_MAX, 3600}};

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(alice.lifetime, 600);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        CHECK_INT(client_refresh(&alice, 0), 0);
        CHECK_INT(client_allocate_for(&alice, CASES[i].wanted), 0);
        CHECK_INT(alice.lifetime, CASES[i].granted);
        if (!CASES[i].wanted)
            continue;
        CHECK_INT(client_refresh(&alice, CASES[i].wanted), 0);
        CHECK_INT(alice.lifetime, CASES[i].granted);
    }
    CHECK_INT(client_refresh(&alice, 0), 0);
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_LIFETIME, "\0\0\2", 3);
    CHECK_INT(client_ask(&alice), 400);
    UP(.settings = {.max_lifetime_s = 60}); /* never below 600 */
    CHECK_INT(client_allocate_for(&alice, 3600), 0);
    CHECK_INT(alice.lifetime, 600);
    DOWN();
}

/* The credential's own end wins over the 600. */
static void c50_expiry(void)
{
    static const struct {
        int64_t left;
        uint32_t wanted, granted;
    } CASES[] = {{100, 600, 100}, {1, 600, 1}, {700, 900, 700}, {700, 650, 650}, {5000, 9999, 3600}};

    UP(.async = true);
    alice.user = "carol";
    alice.password = "x";
    CHECK_INT(client_greet(&alice), 401);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        CHECK_INT(client_allocate_for(&alice, CASES[i].wanted), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", FAKE_WALL + CASES[i].left));
        CHECK_INT(client_answer(&alice), 0);
        CHECK_INT(alice.lifetime, CASES[i].granted);
        CHECK_INT(client_refresh(&alice, CASES[i].wanted), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", FAKE_WALL + CASES[i].left));
        CHECK_INT(client_answer(&alice), 0);
        CHECK_INT(alice.lifetime, CASES[i].granted);
        CHECK_INT(client_refresh(&alice, 0), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", FAKE_WALL + CASES[i].left));
        CHECK_INT(client_answer(&alice), 0);
    }
    CHECK_INT(client_allocate_for(&alice, 600), NO_ANSWER); /* over since it was looked up */
    CHECK(fake_answer(&net, AUTH_OK, "x", FAKE_WALL));
    CHECK_INT(client_answer(&alice), 401);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void c51(void)
{
    struct addr mapped;

    UP(.relays = {"10.0.0.9=9.9.9.9"});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(alice.answer.nattrs, 4); /* and the integrity */
    CHECK_INT(stun_get_xor_addr(&alice.answer, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped), 0);
    CHECK(addr_equal(&mapped, &alice.path.client));
    CHECK_INT(alice.lifetime, 600);
    mapped = addr_with_port(&alice.relayed[0], 0);
    CHECK(addr_equal(&mapped, &(struct addr){.family = ADDR_V4, .ip = {9, 9, 9, 9}})); /* the advertised one */
    CHECK_INT(net.sockets->local.ip[0], 10);                                           /* the bound one */
    CHECK_INT(net.sockets->local.port, alice.relayed[0].port);
    DOWN();
}

/* Two local addresses behind one public one: no port is told to two clients. */
static void shared_public_address(void)
{
    UP(.relays = {"10.0.0.1=9.9.9.9", "10.0.0.2=9.9.9.9"}, .port_min = 50000, .port_max = 50001);
    alice.path.server = fake_addr("10.0.0.1:3478");
    bob.path.server = fake_addr("10.0.0.2:3478");
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK(!addr_equal(&alice.relayed[0], &bob.relayed[0]));
    CHECK_INT(net.sockets->local.ip[3], 2);
    CHECK_INT(net.sockets->next->local.ip[3], 1);
    bob.path.client.port++;
    bob.nonce_len = 0;
    CHECK_INT(client_allocate(&bob), 508);
    DOWN();
}

/* The relay address is that which the client has come to, where it is one. */
static void own_address_first(void)
{
    UP(.relays = {"127.0.0.1", "9.9.9.9", "7.7.7.7"});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(alice.relayed[0].ip[0], 7);
    bob.path.server = fake_addr("7.7.7.8:3478");
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(bob.relayed[0].ip[0], 9); /* not the loopback address, unless there is nothing else */
    DOWN();
}

/* Ports that other programs hold are met now and then; a client does not make us try thousands. */
static void busy_ports(void)
{
    UP(0);
    net.fail_open = ERR_ADDRINUSE;
    CHECK_INT(client_allocate(&alice), 508);
    CHECK(net.opens > PORT_TRIES_RANDOM && net.opens <= PORT_TRIES_RANDOM + PORT_BIND_FAILURES_MAX);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void exhaustion(void)
{
    UP(.port_min = 50000, .port_max = 50099);
    net.busy_port = 50050; /* another program's */
    for (uint16_t i = 0; i < 102; i++) {
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        CHECK_INT(client_allocate(&alice), i < 99 ? 0 : 508);
    }
    CHECK(alice.signed_with);
    CHECK_INT(allocations(), 99);
    CHECK_INT(fake_count(&net, REFUSED_NO_ADDRESS), 3);
    alice.path.client.port = 4033;
    alice.nonce_len = 0;
    client_greet(&alice);
    CHECK_INT(client_refresh(&alice, 0), 0);
    alice.path.client.port = 4101;
    alice.nonce_len = 0;
    CHECK_INT(client_allocate(&alice), 0); /* the first free port is found */
    net.fail_open = ERR_MFILE;             /* F9 */
    CHECK_INT(client_allocate(&bob), 508);
    net.fail_open = 0;
    CHECK_INT(client_refresh(&alice, 0), 0);
    net.fail_start = ERR_IO;
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(allocations(), 98);
    net.fail_start = 0;
    CHECK_INT(client_allocate(&bob), 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C36 a retransmitted Allocate gets the same success, a new one 437", c36},
    {"C36 the same transaction id by another user is 437", c36_other_user},
    {"C38 the answer to a retransmission is built again", c38},
    {"C40 a 5-tuple in use is 437, before everything else", c40},
    {"C41 S17 REQUESTED-TRANSPORT missing or malformed is 400, all but UDP 442", c41},
    {"C42 DONT-FRAGMENT that can't be honoured is 420", c42},
    {"C44 both family attributes together are 400", c44},
    {"C45 a family that is unsupported or unknown is 440, none asked means IPv4", c45},
    {"C45 440 comes before 486", c45_before_quota},
    {"C47 two families: both, one with ADDRESS-ERROR-CODE, or none", c47},
    {"C48 quota by user is 486", c48},
    {"C48 quotas by source and in all", c48_others},
    {"C49 relayed ports are random and in their range", c49},
    {"C50 lifetimes between 600 and the maximum", c50},
    {"C50 a lifetime ends with its credential", c50_expiry},
    {"C51 what a success tells", c51},
    {"two relay addresses behind one public address", shared_public_address},
    {"the relayed address is the one that the client has come to", own_address_first},
    {"F10 the search for a port is bounded", busy_ports},
    {"F9 F10 ports or descriptors run out: 508, and it recovers", exhaustion},
};

TAP_MAIN(TESTS)
