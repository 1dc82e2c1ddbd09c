/* EVEN-PORT and RESERVATION-TOKEN through relay/, also from one worker to another. */
#include <limits.h>
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, again, bob; /* `again` is alice from elsewhere */

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
    client_init(&again, &net, o->workers > 1 ? 1 : 0, "11.1.1.2:4000", TRANSPORT_TCP);
}

static uint8_t token[STUN_RESERVATION_TOKEN_LEN];

/* Allocate with EVEN-PORT. The token is kept. */
static int even(struct client *c, bool reserve)
{
    int code;
    const struct stun_attr *a;

    if (!c->nonce_len)
        client_greet(c);
    client_begin_allocate(c);
    stun_put(&c->o, STUN_ATTR_EVEN_PORT, reserve ? "\x80" : "\x7f", 1);
    code = client_finish_allocate(c);
    a = stun_find(&c->answer, STUN_ATTR_RESERVATION_TOKEN);
    if (a && a->len == sizeof(token))
        memcpy(token, a->value, sizeof(token));
    return code;
}

static bool has_token(const struct client *c)
{
    return stun_find(&c->answer, STUN_ATTR_RESERVATION_TOKEN) != NULL;
}

static void begin_redeem(struct client *c)
{
    if (!c->nonce_len)
        client_greet(c);
    client_begin_allocate(c);
    stun_put(&c->o, STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
}

static int redeem(struct client *c)
{
    begin_redeem(c);
    return client_finish_allocate(c);
}

static void c43(void)
{
    static const struct {
        uint16_t type;
        size_t len;
    } EXCLUDED[] = {{STUN_ATTR_EVEN_PORT, 1}, {STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 4}, {STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 4}};

    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(even(&alice, true), 0);
    for (size_t i = 0; i < sizeof(EXCLUDED) / sizeof(EXCLUDED[0]); i++) {
        begin_redeem(&again);
        stun_put(&again.o, EXCLUDED[i].type, i == 1 ? "\1\0\0\0" : "\2\0\0\0", EXCLUDED[i].len);
        CHECK_INT(client_ask(&again), 400);
    }
    for (size_t len = 0; len < 12; len++) {
        client_begin_allocate(&again);
        stun_put(&again.o, STUN_ATTR_RESERVATION_TOKEN, "\0\0\0\0\0\0\0\0\0\0\0\0", len);
        CHECK_INT(client_ask(&again), len == 8 ? 508 : 400);
    }
    for (size_t i = 0; i < sizeof(token); i++) { /* a bit of it wrong */
        token[i] ^= 1;
        CHECK_INT(redeem(&again), 508);
        CHECK(again.signed_with);
        token[i] ^= 1;
    }
    CHECK_INT(redeem(&bob), 508); /* another user's */
    CHECK_INT(redeem(&again), 0);
    CHECK_INT(redeem(&alice), 437);
    CHECK_INT(client_refresh(&again, 0), 0);
    CHECK_INT(redeem(&again), 508); /* used */
    DOWN();
}

static void c46(void)
{
    UP(0);
    for (int i = 0; i < 50; i++) { /* R=0: an even port, and nothing is reserved */
        CHECK_INT(even(&alice, false), 0);
        CHECK_INT(alice.relayed[0].port % 2, 0);
        CHECK(!has_token(&alice));
        CHECK_INT(ports_in_use(net.ports), 1);
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    CHECK_INT(even(&alice, true), 0);
    CHECK(has_token(&alice));
    CHECK_INT(alice.relayed[0].port % 2, 0);
    CHECK_INT(ports_in_use(net.ports), 2);
    CHECK_INT(redeem(&again), 0);
    CHECK_INT(again.relayed[0].port, alice.relayed[0].port + 1);
    CHECK(!has_token(&again));
    CHECK_INT(ports_in_use(net.ports), 2);
    client_greet(&bob);
    client_begin_allocate(&bob);
    stun_put(&bob.o, STUN_ATTR_EVEN_PORT, "\x80\0", 2);
    CHECK_INT(client_ask(&bob), 400);
    DOWN();
}

static void c46_with_family(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_greet(&alice), 401);
    for (int r = 1; r >= 0; r--) {
        client_begin_allocate(&alice);
        stun_put(&alice.o, STUN_ATTR_EVEN_PORT, r ? "\x80" : "", 1);
        stun_put_u32(&alice.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
        CHECK_INT(client_finish_allocate(&alice), r ? 400 : 0);
    }
    CHECK_INT(alice.relayed[0].port % 2, 0);
    client_begin_allocate(&bob);
    client_greet(&bob);
    client_begin_allocate(&bob);
    stun_put(&bob.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    stun_put_u32(&bob.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2U << 24);
    CHECK_INT(client_finish_allocate(&bob), 0);
    CHECK_INT(bob.relayed[0].family, ADDR_V6);
    CHECK_INT(bob.relayed[0].port % 2, 0);
    CHECK(has_token(&bob));
    DOWN();
}

/* On a server without IPv4 a token stands for an IPv6 port: none is asked, and none is missing. */
static void token_of_ipv6(void)
{
    UP(.relays = {"2a09::9"});
    client_greet(&alice);
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2U << 24);
    CHECK_INT(client_finish_allocate(&alice), 0);
    const struct stun_attr *a = stun_find(&alice.answer, STUN_ATTR_RESERVATION_TOKEN);
    CHECK(a && a->len == sizeof(token));
    memcpy(token, a->value, sizeof(token));
    CHECK_INT(redeem(&again), 0);
    CHECK_INT(again.relayed[0].family, ADDR_V6);
    CHECK_INT(again.relayed[0].port, alice.relayed[0].port + 1);
    DOWN();
}

/* Where only one even port of many is left, it is found: chance does not do it. */
static void last_even_port(void)
{
    UP(.port_min = 50000, .port_max = 50399);
    for (uint16_t i = 0; i < 201; i++) {
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        CHECK_INT(even(&alice, false), i < 200 ? 0 : 508);
    }
    DOWN();
}

/* The answer to a retransmission carries the same token. */
static void c36_token(void)
{
    static uint8_t bytes[CLIENT_ANSWER_MAX];
    size_t len;

    UP(0);
    CHECK_INT(even(&alice, true), 0);
    memcpy(bytes, alice.answer_bytes, len = alice.answer_len);
    client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
    stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    stun_put(&alice.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    CHECK_INT(client_finish_allocate(&alice), 0);
    CHECK_INT(alice.answer_len, len);
    CHECK_MEM(alice.answer_bytes, bytes, len);
    CHECK_INT(ports_in_use(net.ports), 2);
    DOWN();
}

static void c46_thirty_seconds(void)
{
    UP(0);
    CHECK_INT(even(&alice, true), 0);
    fake_pass(&net, 30000 - 1);
    CHECK_INT(ports_in_use(net.ports), 2);
    CHECK_INT(redeem(&again), 0);
    CHECK_INT(client_refresh(&again, 0), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(client_refresh(&alice, 0), 0); /* the reservation outlives its allocation */
    CHECK_INT(ports_in_use(net.ports), 1);
    fake_pass(&net, 29999);
    CHECK_INT(ports_in_use(net.ports), 1);
    fake_pass(&net, 1 + WHEEL_TICK_MS);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(redeem(&again), 508);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* A suspend: the token has expired, though no timer has fired yet. */
static void c43_expired_on_use(void)
{
    UP(0);
    CHECK_INT(even(&alice, true), 0);
    fake_clock(&net, 30000);
    CHECK_INT(redeem(&again), 508);
    fake_pass(&net, 1000);
    CHECK_INT(ports_in_use(net.ports), 1);
    DOWN();
}

/* Where the range ends: pairs are found whole, and a single even port at the end is no pair. */
static void range_ends(void)
{
    static const struct {
        uint16_t min, max;
        int evens, pairs;
    } CASES[] = {{50000, 50000, 1, 0}, {50001, 50001, 0, 0}, {50000, 50001, 1, 1}, {50001, 50002, 1, 0}, {50001, 50003, 1, 1},
                 {50000, 50002, 2, 1}, {65534, 65535, 1, 1}, {65535, 65535, 0, 0}, {65533, 65534, 1, 0}, {50000, 50007, 4, 4}};

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        for (int reserve = 0; reserve < 2; reserve++) {
            int n = 0;

            UP(.port_min = CASES[i].min, .port_max = CASES[i].max);
            for (uint16_t j = 0; j < 8; j++) {
                alice.path.client.port = (uint16_t)(4000 + j);
                alice.nonce_len = 0;
                int code = even(&alice, reserve);
                CHECK(code == 0 || code == 508);
                n += code == 0;
                CHECK(code || (alice.relayed[0].port % 2 == 0 && alice.relayed[0].port >= CASES[i].min &&
                               alice.relayed[0].port <= CASES[i].max));
            }
            CHECK_INT(n, reserve ? CASES[i].pairs : CASES[i].evens);
            CHECK_INT(ports_in_use(net.ports), reserve ? 2 * n : n);
        }
    }
    DOWN();
}

/* S10: the first of a pair is given back when the second can't be had. */
static void s10_pairs(void)
{
    UP(.port_min = 50000, .port_max = 50003);
    net.busy_port = 50001;
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(alice.relayed[0].port, 50002);
    CHECK_INT(even(&bob, true), 508);
    CHECK_INT(ports_in_use(net.ports), 2);
    CHECK_INT(even(&bob, false), 0);
    CHECK_INT(bob.relayed[0].port, 50000);
    DOWN();
    UP(.port_min = 50000, .port_max = 50003); /* the second bind fails for want of descriptors */
    net.fail_open = ERR_MFILE;
    net.fail_open_after = 1;
    CHECK_INT(even(&alice, true), 508);
    CHECK_INT(fake_in_use(&net), 0);
    net.fail_open = 0;
    net.fail_start = ERR_IO; /* the allocation comes to nothing, and so its reservation */
    CHECK_INT(even(&alice, true), 508);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* How many of `n` clients of as many users as `by_user` says get a reservation, and keep nothing else. */
static unsigned reserve_many(unsigned n, unsigned by_user)
{
    char name[64];
    unsigned got = 0;

    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "1800009999:user%u", i / by_user);
        client_be_rest(&alice, name, "a secret");
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        if (even(&alice, true) == 0 && client_refresh(&alice, 0) == 0)
            got++;
    }
    return got;
}

static void reservations_bounded(void)
{
    UP(.secrets = {"a secret"});
    CHECK_INT(reserve_many(RESERVATIONS_USER_MAX + 5, UINT_MAX), RESERVATIONS_USER_MAX);
    CHECK_INT(fake_in_use(&net), RESERVATIONS_USER_MAX * 2); /* a port and a socket each */
    DOWN();
    UP(.secrets = {"a secret"});
    CHECK_INT(reserve_many(RESERVATIONS_MAX + 5, RESERVATIONS_USER_MAX), RESERVATIONS_MAX);
    CHECK_INT(fake_in_use(&net), RESERVATIONS_MAX * 2);
    DOWN();
}

/* ---- From another worker. ---- */

static void c52(void)
{
    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER); /* the mail is on its way */
    CHECK(client_quiet(&again));
    CHECK_INT(fake_run(&net), 2);
    CHECK_INT(client_answer(&again), 0);
    CHECK_INT(again.signed_with, 1);
    CHECK_INT(ports_owner(net.ports, 0, (uint16_t)(alice.relayed[0].port + 1)), 1);
    CHECK_INT(ports_owner(net.ports, 0, alice.relayed[0].port), 0);
    CHECK_INT(client_permit(&again, "5.6.7.8"), 0);
    again.relayed[0] = addr_with_port(&alice.relayed[0], (uint16_t)(alice.relayed[0].port + 1));
    CHECK(fake_from_peer(&net, &again.relayed[0], "5.6.7.8:9", "x", 1, 0));
    CHECK(client_got(&again, "5.6.7.8:9", 0, "x", 1));
    CHECK_INT(client_refresh(&again, 0), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* The port lies on the relay address of him who reserved it. */
static void c52_address(void)
{
    UP(.workers = 2, .relays = {"9.9.9.9", "9.9.9.10"});
    alice.path.server = fake_addr("9.9.9.10:3478");
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER);
    fake_run(&net);
    CHECK_INT(client_answer(&again), 0);
    CHECK_INT(ports_owner(net.ports, 1, (uint16_t)(alice.relayed[0].port + 1)), 1);
    CHECK_INT(client_permit(&again, "5.6.7.8"), 0);
    again.relayed[0] = addr_with_port(&alice.relayed[0], (uint16_t)(alice.relayed[0].port + 1));
    CHECK(fake_from_peer(&net, &again.relayed[0], "5.6.7.8:9", "x", 1, 0));
    CHECK(client_got(&again, "5.6.7.8:9", 0, "x", 1));
    DOWN();
}

static void c52_refused(void)
{
    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    again.user = "bob";
    again.password = "swordfish";
    CHECK_INT(redeem(&again), NO_ANSWER);
    fake_run(&net);
    CHECK_INT(client_answer(&again), 508);
    CHECK(again.signed_with);
    again.user = "alice";
    again.password = "sesame";
    token[7] ^= 1;
    CHECK_INT(redeem(&again), NO_ANSWER);
    fake_run(&net);
    CHECK_INT(client_answer(&again), 508);
    token[7] ^= 1;
    token[0] = 77; /* a worker that isn't */
    CHECK_INT(redeem(&again), 508);
    token[0] = 0;
    net.fail_adopt = ERR_NOMEM;
    CHECK_INT(redeem(&again), NO_ANSWER);
    fake_run(&net);
    CHECK_INT(client_answer(&again), 508);
    CHECK_INT(ports_in_use(net.ports), 1);
    DOWN();
}

/* A retransmission while the mail is under way joins; what the client sends meanwhile is answered after it, in order. */
static void c52_waiting(void)
{
    uint8_t first[STUN_TXID_LEN];

    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER);
    memcpy(first, again.txid, sizeof(first));
    client_again(&again, STUN_REQUEST, STUN_ALLOCATE);
    stun_put_u32(&again.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    stun_put(&again.o, STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
    CHECK_INT(client_ask(&again), NO_ANSWER);
    CHECK_INT(client_permit(&again, "5.6.7.8"), NO_ANSWER);
    fake_run(&net);
    uint8_t last[STUN_TXID_LEN];
    memcpy(last, again.txid, sizeof(last));
    memcpy(again.txid, first, sizeof(first));
    CHECK_INT(client_answer(&again), 0);
    memcpy(again.txid, last, sizeof(last));
    CHECK_INT(client_answer(&again), 0);
    CHECK_INT(again.answer.method, STUN_CREATE_PERMISSION);
    CHECK(client_quiet(&again));
    DOWN();
}

/* The asker is gone when the socket comes: it is closed, and the port is free. */
static void c52_gone(void)
{
    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER);
    turn_stream_closed(fake_shard(&net, 1), &again.path);
    fake_run(&net);
    CHECK(client_quiet(&again));
    CHECK_INT(ports_in_use(net.ports), 1);
    CHECK_INT(auth_quota_total(net.auth), 1);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER);
    fake_pass(&net, PARKED_LIFETIME_S * 1000ULL); /* and when it comes too late */
    fake_run(&net);
    CHECK(client_quiet(&again));
    CHECK_INT(ports_in_use(net.ports), 1);
    DOWN();
}

static void c52_quota(void)
{
    UP(.workers = 2, .auth = {.user_quota = 1});
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), 486);
    CHECK_INT(ports_in_use(net.ports), 2); /* refused before the token was used: it stays good */
    DOWN();
    UP(.workers = 2, .auth = {.user_quota = 2});
    CHECK_INT(even(&alice, true), 0);
    CHECK_INT(redeem(&again), NO_ANSWER);
    CHECK_INT(auth_quota_total(net.auth), 2); /* who waits has been counted, so that nobody overtakes him */
    alice.path.client.port++;
    alice.nonce_len = 0;
    CHECK_INT(even(&alice, false), 486);
    fake_run(&net);
    CHECK_INT(client_answer(&again), 0);
    DOWN();
    UP(.workers = 2, .auth = {.user_quota = 2});
    CHECK_INT(redeem(&again), NO_ANSWER); /* a token of the time before */
    fake_run(&net);
    CHECK_INT(client_answer(&again), 508);
    CHECK_INT(auth_quota_total(net.auth), 0);
    DOWN();
    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    net.fail_post = ERR_NOMEM;
    CHECK_INT(redeem(&again), 508);
    net.fail_post = 0;
    DOWN();
}

/* The answer finds no room in the mailbox; what comes back is closed, or, when not even that can be had again, forgotten. */
static void f10_lost(void)
{
    for (int adopt = 0; adopt < 2; adopt++) {
        UP(.workers = 2);
        CHECK_INT(even(&alice, true), 0);
        CHECK_INT(redeem(&again), NO_ANSWER);
        net.fail_post = ERR_NOMEM;
        net.fail_adopt = adopt ? ERR_NOMEM : 0;
        fake_run(&net);
        CHECK_INT(ports_in_use(net.ports), 1);
        net.fail_post = net.fail_adopt = 0;
        DOWN();
    }
}

/* Whoever has waited is answered with the key that fitted, by the algorithm of the request. */
static void c52_signed(void)
{
    static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256, SIGN_MD5};

    UP(.workers = 2, .secrets = {"the new one", "the old one"});
    client_be_rest(&alice, "1800009999:alice", "the old one");
    client_be_rest(&again, "1800009999:alice", "the old one");
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        again.sign = SIGNS[i];
        CHECK_INT(even(&alice, true), 0);
        CHECK_INT(redeem(&again), NO_ANSWER);
        fake_run(&net);
        CHECK_INT(client_answer(&again), 0);
        CHECK_INT(again.signed_with, SIGNS[i] == SIGN_SHA1 ? 1 : 256);
        CHECK_INT(client_refresh(&again, 0), 0);
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 0);
    CHECK_INT(fake_shard(&net, 1)->nparked, 0);
    DOWN();
}

/* First for his credentials, then for the port; and the credential may end while he waits. */
static void c52_async(void)
{
    for (int expires = 0; expires < 2; expires++) {
        UP(.workers = 2, .async = true);
        alice.user = again.user = "carol";
        alice.password = again.password = "x";
        CHECK_INT(even(&alice, true), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", 0));
        CHECK_INT(client_answer(&alice), 0);
        const struct stun_attr *a = stun_find(&alice.answer, STUN_ATTR_RESERVATION_TOKEN);
        CHECK(a && a->len == sizeof(token));
        memcpy(token, a->value, sizeof(token));
        CHECK_INT(redeem(&again), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", FAKE_WALL + 10));
        CHECK(client_quiet(&again));
        CHECK_INT(fake_shard(&net, 1)->nparked, 1);
        fake_clock(&net, expires ? 10000 : 9000);
        fake_run(&net);
        CHECK_INT(client_answer(&again), expires ? 401 : 0);
        CHECK(expires || again.lifetime == 1);
        CHECK_INT(fake_shard(&net, 1)->nparked, 0);
        CHECK_INT(ports_in_use(net.ports), expires ? 1 : 2);
        CHECK(client_quiet(&again));
    }
    DOWN();
}

/* One that can't wait asks no other worker: the port would be given up for nobody. */
static void c52_no_room(void)
{
    UP(.workers = 2);
    again.path.transport = TRANSPORT_UDP;
    CHECK_INT(even(&alice, true), 0);
    client_greet(&again);
    fake_shard(&net, 1)->nparked += PARKED_MAX;
    CHECK_INT(redeem(&again), NO_ANSWER);
    CHECK_INT(fake_run(&net), 0);
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 1);
    CHECK_INT(ports_in_use(net.ports), 2);
    fake_shard(&net, 1)->nparked -= PARKED_MAX;
    CHECK_INT(redeem(&again), NO_ANSWER);
    CHECK_INT(fake_run(&net), 2);
    CHECK_INT(client_answer(&again), 0);
    CHECK_INT(ports_in_use(net.ports), 2);
    DOWN();
}

/* What can't be posted is refused at once, and nothing of it waits. */
static void c52_no_post(void)
{
    UP(.workers = 2);
    CHECK_INT(even(&alice, true), 0);
    net.fail_post = ERR_NOSPC;
    CHECK_INT(redeem(&again), 508);
    CHECK_INT(fake_shard(&net, 1)->nparked, 0);
    CHECK_INT(auth_quota_total(net.auth), 1);
    net.fail_post = 0;
    CHECK_INT(redeem(&again), NO_ANSWER);
    CHECK_INT(fake_run(&net), 2);
    CHECK_INT(client_answer(&again), 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C36 a retransmission gets the same token", c36_token},
    {"C43 RESERVATION-TOKEN with what it excludes is 400, a bad, foreign or used one 508", c43},
    {"C43 a token has expired when its time is over, fired or not", c43_expired_on_use},
    {"C46 EVEN-PORT with and without the next port", c46},
    {"C46 EVEN-PORT and families", c46_with_family},
    {"C43 a token of an IPv6 port on a server without IPv4", token_of_ipv6},
    {"C46 the last even port is found", last_even_port},
    {"C46 a reservation lives 30 s", c46_thirty_seconds},
    {"C46 S10 EVEN-PORT at the ends of the range", range_ends},
    {"S10 half a pair is given back", s10_pairs},
    {"S21 reservations are bounded", reservations_bounded},
    {"C52 a token is redeemed from another 5-tuple, transport and worker", c52},
    {"C29 C52 who has waited for a port is answered with his key", c52_signed},
    {"C50 C52 credentials that wait, and end meanwhile", c52_async},
    {"C52 a token keeps its relay address", c52_address},
    {"C52 another worker refuses a token", c52_refused},
    {"C52 what comes while a token is being redeemed waits in order", c52_waiting},
    {"C52 S10 nobody waits for the port any more", c52_gone},
    {"C52 S10 a redeemed port is given back at the quota", c52_quota},
    {"F10 S10 a port whose mail is lost is free again", f10_lost},
    {"C52 a token is shown to the other worker by a request that can wait, and by no other", c52_no_room},
    {"C52 a worker that can't be asked is 508", c52_no_post},
};

TAP_MAIN(TESTS)
