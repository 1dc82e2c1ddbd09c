/* Revocation: what a credential has started ends with it, and nothing else does. */
#include <stdlib.h>

#include "relay/alloc.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, again, bob;

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
    client_init(&again, &net, 0, "11.1.1.1:4001", TRANSPORT_TCP);
}

#define PEER "5.6.7.8:9"

static void revoke(const char *name, int64_t expires_before)
{
    struct auth_revocation r = {.expires_before = expires_before};

    snprintf(r.name, sizeof(r.name), "%s", name);
    for (unsigned i = 0; i < net.workers; i++)
        turn_revoke(fake_shard(&net, i), &r);
}

/* Does its relayed address still take what comes? */
static bool lives(struct client *c)
{
    fake_from_peer(&net, &c->relayed[0], PEER, "x", 1, 0);
    return client_got(c, PEER, 0x4000, "x", 1);
}

static void by_name(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_allocate(&again), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&again, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&bob, 0x4000, PEER), 0);
    CHECK_INT(fake_shard(&net, 0)->users.count, 2);
    revoke("ali", 0);
    revoke("alice2", 0);
    revoke("alice", 1); /* the user part of time-limited names, and she has none */
    CHECK(lives(&alice) && lives(&again) && lives(&bob));
    revoke("alice", 0);
    CHECK(!lives(&alice) && !lives(&again) && lives(&bob));
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_REVOKED), 2);
    CHECK_INT(auth_quota_total(net.auth), 1);
    CHECK_INT(ports_in_use(net.ports), 1);
    CHECK_INT(fake_shard(&net, 0)->users.count, 1);
    CHECK_INT(client_refresh(&alice, 600), 437);
    CHECK_INT(client_allocate(&alice), 0); /* whether she may is the store's matter */
    DOWN();
}

/* One that has ended by itself in between is not met again. */
static void some_ended(void)
{
    UP(0);
    for (uint16_t i = 0; i < 5; i++) {
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        CHECK_INT(client_allocate(&alice), 0);
    }
    for (uint16_t i = 0; i < 5; i += 2) { /* the first, one in the middle, the last */
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        client_greet(&alice);
        CHECK_INT(client_refresh(&alice, 0), 0);
    }
    revoke("alice", 0);
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_REVOKED), 2);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(fake_shard(&net, 0)->users.count, 0);
    revoke("alice", 0);
    DOWN();
}

static void by_user_part(void)
{
    static const char *const NAMES[] = {"1900000000:carol", "1900000001:carol", "carol:1900000000", "1900000000:caro",
                                        "1900000000"};
    struct client c[5];

    UP(.secrets = {"north"});
    for (size_t i = 0; i < 5; i++) {
        client_init(&c[i], &net, 0, "11.3.3.3:5000", TRANSPORT_UDP);
        c[i].path.client.port = (uint16_t)(5000 + i);
        client_be_rest(&c[i], NAMES[i], "north");
        CHECK_INT(client_allocate(&c[i]), 0);
        CHECK_INT(client_bind(&c[i], 0x4000, PEER), 0);
    }
    CHECK_INT(client_allocate(&bob), 0);
    revoke("carol", 1900000000);
    for (size_t i = 0; i < 5; i++)
        CHECK(lives(&c[i]));
    revoke("carol", 1900000001);
    CHECK(!lives(&c[0]) && lives(&c[1]) && !lives(&c[2]) && lives(&c[3]) && lives(&c[4]));
    revoke("", INT64_MAX); /* bare expiries */
    CHECK(lives(&c[1]) && lives(&c[3]) && !lives(&c[4]));
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_REVOKED), 3);
    DOWN();
}

/* A request that has shown its credential, and waits for a port of another worker: it is asked about again. */
static void waits_for_port(void)
{
    static const enum auth_status ANSWERS[] = {AUTH_UNKNOWN, AUTH_OK};

    for (size_t i = 0; i < sizeof(ANSWERS) / sizeof(ANSWERS[0]); i++) {
        UP(.workers = 2, .async = true);
        client_init(&again, &net, 1, "11.1.1.1:4001", TRANSPORT_TCP);
        alice.user = again.user = "carol";
        alice.password = again.password = "x";
        client_greet(&alice);
        client_begin_allocate(&alice);
        stun_put(&alice.o, STUN_ATTR_EVEN_PORT, "\x80", 1);
        CHECK_INT(client_ask(&alice), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", 0));
        CHECK_INT(client_answer(&alice), 0);
        const struct stun_attr *token = stun_find(&alice.answer, STUN_ATTR_RESERVATION_TOKEN);
        client_greet(&again);
        client_begin_allocate(&again);
        stun_put(&again.o, STUN_ATTR_RESERVATION_TOKEN, token->value, token->len);
        CHECK_INT(client_ask(&again), NO_ANSWER);
        CHECK(fake_answer(&net, AUTH_OK, "x", 0));
        revoke("carol2", 0);
        CHECK_INT(fake_questions(&net), 0);
        revoke("carol", 0);
        CHECK_INT(fake_questions(&net), 1);
        fake_run(&net); /* the port that was asked for before finds nobody */
        CHECK(client_quiet(&again));
        CHECK_INT(fake_in_use(&net), 0);
        CHECK(fake_answer(&net, ANSWERS[i], "x", 0)); /* to the name as it is now: it may have been issued anew */
        fake_run(&net);
        CHECK_INT(client_answer(&again), ANSWERS[i] == AUTH_OK ? 508 : 401);
        CHECK_INT(fake_shard(&net, 1)->nparked, 0);
        CHECK_INT(fake_in_use(&net), 0);
        DOWN();
    }
}

/* And one that waits for what the fleet says. */
static void waits_for_fleet(void)
{
    UP(.fleet = true, .async = true, .auth = {.user_quota = 2});
    alice.user = "carol";
    alice.password = "x";
    client_greet(&alice);
    client_begin_allocate(&alice);
    CHECK_INT(client_ask(&alice), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_OK, "x", 0));
    CHECK_INT(fake_asks(&net), 1);
    CHECK_INT(client_refresh(&alice, 600), NO_ANSWER); /* behind it */
    revoke("carol", 0);
    CHECK_INT(fake_asks(&net), 0);
    CHECK_INT(auth_quota_total(net.auth), 0);
    net.violations = 0;
    while (fake_answer(&net, AUTH_UNKNOWN, NULL, 0))
        ;
    CHECK_INT(client_answer(&alice), ODD_ANSWER); /* the Allocate's, */
    CHECK_INT(client_answer(&alice), 401);        /* and then that of the Refresh */
    net.violations = 0;
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"a revoked name's allocations end at once, all of them, and no other's", by_name},
    {"what has ended by itself is not revoked", some_ended},
    {"a user part's time-limited names are revoked up to an expiry", by_user_part},
    {"a request that waits for a port with a revoked credential is asked about again", waits_for_port},
    {"a request that waits for the fleet with a revoked credential is asked about again", waits_for_fleet},
};

TAP_MAIN(TESTS)
