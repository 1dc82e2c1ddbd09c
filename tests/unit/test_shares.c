/* Allocations whose quota the fleet is asked about, and clients that are sent to another node. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, again;

static void up(const struct fake_options *o)
{
    struct fake_options with = *o;

    with.fleet = true;
    fake_up(&net, &with);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&again, &net, 0, "11.1.1.1:4002", TRANSPORT_TCP);
    client_greet(&alice);
    client_greet(&again);
}

static void allowed(void)
{
    static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256};

    UP(.auth = {.user_quota = 2});
    for (size_t i = 0; i < 2; i++) {
        alice.sign = SIGNS[i];
        CHECK_INT(client_allocate(&alice), NO_ANSWER);
        CHECK_INT(net.asks->limit, 2);
        CHECK_INT(net.asks->count, 1);
        CHECK_STR(net.asks->owner, "alice");
        CHECK_INT(auth_quota_total(net.auth), 1); /* counted while it waits */
        CHECK(fake_decide(&net, AUTH_QUOTA_OK));
        CHECK_INT(client_answer(&alice), 0);
        CHECK_INT(alice.signed_with, SIGNS[i] == SIGN_SHA1 ? 1 : 256);
        CHECK(client_quiet(&alice));
        CHECK_INT(client_refresh(&alice, 600), 0); /* nothing but an Allocate asks */
        CHECK_INT(net.ended, i);
        CHECK_INT(client_refresh(&alice, 0), 0);
        CHECK_INT(net.ended, i + 1);
    }
    CHECK_INT(net.asked, 2);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void refused(void)
{
    UP(.auth = {.user_quota = 2});
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    CHECK(fake_decide(&net, AUTH_QUOTA_USER));
    CHECK_INT(client_answer(&alice), 486);
    CHECK_INT(alice.signed_with, 1);
    CHECK_INT(fake_count(&net, REFUSED_USER_QUOTA), 1);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(client_allocate(&alice), NO_ANSWER); /* and may try again */
    CHECK(fake_decide(&net, AUTH_QUOTA_OK));
    CHECK_INT(client_answer(&alice), 0);
    DOWN();
}

/* Those that wait are counted: no more than the limit are asked about at the same time. */
static void all_at_once(void)
{
    UP(.auth = {.user_quota = 2});
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    CHECK_INT(client_allocate(&again), NO_ANSWER);
    CHECK_INT(net.asks->next->count, 2);
    alice.path.client.port = 4009;
    alice.nonce_len = 0;
    CHECK_INT(client_allocate(&alice), 486);
    CHECK(fake_decide(&net, AUTH_QUOTA_OK));
    CHECK(fake_decide(&net, AUTH_QUOTA_USER));
    CHECK_INT(client_answer(&again), 486);
    CHECK_INT(auth_quota_total(net.auth), 1);
    DOWN();
}

/* Who has no limit is not asked about; and if nobody can be asked, the limit here decides. */
static void not_asked(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(net.asked + net.ended, 0);
    DOWN();
    UP(.auth = {.user_quota = 1});
    net.no_fleet = true;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&again), 486);
    CHECK_INT(net.asked, 1);
    DOWN();
}

/* What is given back is what was taken, though a reload has changed the bandwidth in between. */
static void other_bandwidth(void)
{
    struct auth_load load;

    UP(.auth = {.user_quota = 2, .bps_capacity = 1000}, .settings = {.max_bps = 300});
    for (uint64_t bps = 200; bps <= 400; bps += 200) {
        fake_shard(&net, 0)->settings.max_bps = 300;
        CHECK_INT(client_allocate(&alice), NO_ANSWER);
        auth_quota_load(net.auth, &load);
        CHECK_INT(load.bps, 300);
        fake_shard(&net, 0)->settings.max_bps = bps;
        CHECK(fake_decide(&net, AUTH_QUOTA_USER));
        CHECK_INT(client_answer(&alice), 486);
        auth_quota_load(net.auth, &load);
        CHECK_INT(load.bps, 0);
    }
    DOWN();
}

static void retransmission(void)
{
    UP(.auth = {.user_quota = 2});
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    for (int i = 0; i < 5; i++) {
        client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
        stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
        CHECK_INT(client_ask(&alice), NO_ANSWER);
    }
    CHECK_INT(net.asked, 1);
    CHECK(fake_decide(&net, AUTH_QUOTA_OK));
    CHECK_INT(client_answer(&alice), 0);
    CHECK(client_quiet(&alice));
    DOWN();
}

/* What follows waits behind it, and finds what it has made. */
static void in_order(void)
{
    uint8_t allocate[STUN_TXID_LEN], permit[STUN_TXID_LEN];

    UP(.auth = {.user_quota = 2});
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    memcpy(allocate, alice.txid, sizeof(allocate));
    CHECK_INT(client_permit(&alice, "5.6.7.8"), NO_ANSWER);
    memcpy(permit, alice.txid, sizeof(permit));
    CHECK(fake_decide(&net, AUTH_QUOTA_OK));
    memcpy(alice.txid, allocate, sizeof(allocate));
    CHECK_INT(client_answer(&alice), 0);
    memcpy(alice.txid, permit, sizeof(permit));
    CHECK_INT(client_answer(&alice), 0);
    DOWN();
}

static void gone(void)
{
    UP(.auth = {.user_quota = 2});
    CHECK_INT(client_allocate(&again), NO_ANSWER);
    turn_stream_closed(fake_shard(&net, 0), &again.path);
    CHECK_INT(net.cancelled, 1);
    CHECK_INT(fake_asks(&net), 0);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    fake_pass(&net, PARKED_LIFETIME_S * 1000ULL); /* a fleet that never answers */
    CHECK_INT(net.cancelled, 2);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK(client_quiet(&alice));
    CHECK_INT(client_allocate(&alice), NO_ANSWER); /* one that waits at the end */
    DOWN();
}

/* There is no room for one more that waits: its question is taken back. */
static void full(void)
{
    UP(.auth = {.user_quota = PARKED_MAX + 10});
    for (unsigned i = 0; i < PARKED_MAX + 2; i++) {
        alice.path.client.port = (uint16_t)(1000 + i);
        CHECK_INT(client_greet(&alice), 401);
        CHECK_INT(client_allocate(&alice), NO_ANSWER);
    }
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 2);
    CHECK_INT(fake_asks(&net), PARKED_MAX);
    CHECK_INT(auth_quota_total(net.auth), PARKED_MAX);
    DOWN();
}

/* First the credentials, then the quota, then the port that another worker keeps: three waits, one answer. */
static void three_waits(void)
{
    static struct client carol, other;
    const struct stun_attr *token;

    UP(.workers = 2, .async = true, .auth = {.user_quota = 2});
    client_init(&carol, &net, 0, "11.3.3.3:4000", TRANSPORT_UDP);
    client_init(&other, &net, 1, "11.3.3.3:4001", TRANSPORT_UDP);
    carol.user = other.user = "carol";
    carol.password = other.password = "x";
    client_greet(&carol);
    client_greet(&other);
    client_begin_allocate(&carol);
    stun_put(&carol.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    CHECK_INT(client_ask(&carol), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_OK, "x", 0));
    CHECK_INT(client_answer(&carol), NO_ANSWER);
    CHECK(fake_decide(&net, AUTH_QUOTA_OK));
    CHECK_INT(client_answer(&carol), 0);
    token = stun_find(&carol.answer, STUN_ATTR_RESERVATION_TOKEN);
    CHECK(token);
    for (int i = 0; i < 2; i++) { /* at first the fleet says no: the token stays good */
        client_begin_allocate(&other);
        stun_put(&other.o, STUN_ATTR_RESERVATION_TOKEN, token->value, token->len);
        CHECK_INT(client_ask(&other), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", 0));
        CHECK_INT(net.asks->count, 2);
        CHECK(fake_decide(&net, i ? AUTH_QUOTA_OK : AUTH_QUOTA_USER));
        CHECK_INT(fake_run(&net), 2 * i);
        CHECK_INT(client_answer(&other), i ? 0 : 486);
    }
    CHECK_INT(auth_quota_total(net.auth), 2);
    CHECK_INT(net.asked, 3);
    DOWN();
}

/* ---- Elsewhere. ---- */

static bool named(const struct client *c, const char *want)
{
    struct addr have, to = fake_addr(want);

    return c->signed_with && stun_get_addr(&c->answer, STUN_ATTR_ALTERNATE_SERVER, &have) == 0 && addr_equal(&have, &to);
}

static void drains(void)
{
    static struct client v6;

    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_allocate(&alice), 0);
    net.draining = true;
    client_init(&v6, &net, 0, "[2a01::1]:4000", TRANSPORT_UDP);
    client_greet(&v6);
    CHECK_INT(client_allocate(&v6), 508); /* nobody else */
    CHECK_INT(client_allocate(&again), 508);
    CHECK_INT(fake_count(&net, REFUSED_DRAINING), 2);
    net.elsewhere[0][0] = fake_addr("7.7.7.8:3478");
    net.elsewhere[0][1] = fake_addr("7.7.7.8:3479");
    net.elsewhere[1][0] = fake_addr("[2a07::8]:3478");
    CHECK_INT(client_allocate(&v6), 300);
    CHECK(named(&v6, "[2a07::8]:3478"));
    CHECK_INT(client_allocate(&again), 300);
    CHECK(named(&again, "7.7.7.8:3479"));
    again.sign = SIGN_SHA256;
    CHECK_INT(client_allocate(&again), 300);
    CHECK(named(&again, "7.7.7.8:3479"));
    CHECK_INT(fake_count(&net, COUNT_REDIRECTED), 3);
    again.password = "wrong";
    again.sign = SIGN_SHA1;
    CHECK_INT(client_allocate(&again), 401); /* C34: a stranger is told nothing */
    CHECK(!stun_find(&again.answer, STUN_ATTR_ALTERNATE_SERVER));
    CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    net.draining = false;
    again.password = "sesame";
    CHECK_INT(client_allocate(&again), 0);
    DOWN();
}

/* Whatever the fleet says, or where there is none. */
static void drains_by_itself(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    auth_drain(net.auth, true);
    CHECK(auth_draining(net.auth));
    CHECK_INT(client_allocate(&again), 508);
    CHECK_INT(client_refresh(&alice, 600), 0);
    net.draining = true;
    auth_drain(net.auth, false);
    CHECK_INT(client_allocate(&again), 508);
    net.draining = false;
    CHECK_INT(client_allocate(&again), 0);
    DOWN();
}

/* What has been reserved before can't be had on another node. */
static void reserved(void)
{
    uint8_t token[STUN_RESERVATION_TOKEN_LEN];
    const struct stun_attr *a;

    UP(0);
    client_begin_allocate(&alice);
    stun_put(&alice.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
    CHECK_INT(client_ask(&alice), 0);
    a = stun_find(&alice.answer, STUN_ATTR_RESERVATION_TOKEN);
    CHECK(a);
    memcpy(token, a->value, sizeof(token));
    net.draining = true;
    net.elsewhere[0][1] = fake_addr("7.7.7.8:3478");
    client_begin_allocate(&again);
    stun_put(&again.o, STUN_ATTR_RESERVATION_TOKEN, token, sizeof(token));
    CHECK_INT(client_ask(&again), 0);
    DOWN();
}

static void is_full(void)
{
    UP(.auth = {.total_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&again), 508);
    net.elsewhere[0][1] = fake_addr("7.7.7.8:3478");
    CHECK_INT(client_allocate(&again), 300);
    CHECK(named(&again, "7.7.7.8:3478"));
    CHECK_INT(fake_count(&net, REFUSED_TOTAL_QUOTA), 2);
    DOWN();
    UP(.auth = {.bps_capacity = 1000}, .settings = {.max_bps = 800});
    net.elsewhere[0][1] = fake_addr("7.7.7.8:3478");
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&again), 300);
    CHECK_INT(fake_count(&net, REFUSED_CAPACITY), 1);
    DOWN();
    UP(.auth = {.user_quota = 1, .source_quota = 1});
    net.elsewhere[0][1] = fake_addr("7.7.7.8:3478");
    net.no_fleet = true;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&again), 486); /* the user's own limit is everywhere the same */
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C48 an owner with a limit is asked about in the fleet, and allowed", allowed},
    {"C48 the fleet says that he has as many as he may: 486", refused},
    {"C48 what waits for the fleet is counted", all_at_once},
    {"C48 without a limit, or without a fleet to ask, nobody waits", not_asked},
    {"C48 an Allocate that the fleet refuses gives back the bandwidth that it took", other_bandwidth},
    {"C36 a retransmission joins the Allocate that waits for the fleet", retransmission},
    {"C39 later requests of a 5-tuple wait behind it", in_order},
    {"S10 who is gone while the fleet is asked leaves nothing behind", gone},
    {"S20 Allocates that wait for the fleet are bounded", full},
    {"C52 credentials, quota and reservation: each may take its time", three_waits},
    {"C34 F20 a node that drains names another one, and goes on with what it has", drains},
    {"F20 a node that is to drain by itself does, until it is told otherwise", drains_by_itself},
    {"F20 a reservation is redeemed where it was made", reserved},
    {"C34 a node that is full names another one", is_full},
};

TAP_MAIN(TESTS)
