/* Requests that wait for credentials: order, retransmissions, limits, and who is gone when the answer comes. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client carol, alice;

static void up(const struct fake_options *o)
{
    struct fake_options with = *o;

    with.async = true;
    fake_up(&net, &with);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&carol, &net, 0, "11.3.3.3:4000", TRANSPORT_UDP);
    carol.user = "carol"; /* known to the asynchronous source alone */
    carol.password = "x";
    client_greet(&carol);
}

#define OK() CHECK(fake_answer(&net, AUTH_OK, "x", 0))

/* The answer to an earlier request. */
static int answer_to(struct client *c, const uint8_t txid[static STUN_TXID_LEN])
{
    uint8_t last[STUN_TXID_LEN];
    int code;

    memcpy(last, c->txid, sizeof(last));
    memcpy(c->txid, txid, sizeof(last));
    code = client_answer(c);
    memcpy(c->txid, last, sizeof(last));
    return code;
}

static void waits(void)
{
    static const enum client_sign SIGNS[] = {SIGN_SHA1, SIGN_SHA256, SIGN_MD5};

    UP(0);
    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        carol.sign = SIGNS[i];
        CHECK_INT(client_allocate(&carol), NO_ANSWER);
        CHECK_INT(fake_questions(&net), 1);
        OK();
        CHECK_INT(client_answer(&carol), 0);
        CHECK_INT(carol.signed_with, SIGNS[i] == SIGN_SHA1 ? 1 : 256);
        CHECK_INT(client_refresh(&carol, 0), NO_ANSWER);
        OK();
        CHECK_INT(client_answer(&carol), 0);
        CHECK(client_quiet(&carol));
    }
    CHECK_INT(net.lookups, 6);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void refused(void)
{
    UP(0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_UNKNOWN, NULL, 0));
    CHECK_INT(client_answer(&carol), 401);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_OK, "another", 0));
    CHECK_INT(client_answer(&carol), 401);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_UNAVAILABLE, NULL, 0));
    CHECK_INT(client_answer(&carol), 500);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

static void retransmission(void)
{
    UP(0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    for (int i = 0; i < 20; i++) {
        client_again(&carol, STUN_REQUEST, STUN_ALLOCATE);
        stun_put_u32(&carol.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
        CHECK_INT(client_ask(&carol), NO_ANSWER);
    }
    CHECK_INT(net.lookups, 1);
    CHECK_INT(fake_count(&net, DROP_RETRANSMISSION), 20);
    OK();
    CHECK_INT(client_answer(&carol), 0);
    CHECK(client_quiet(&carol)); /* one answer for all */
    CHECK_INT(fake_questions(&net), 0);
    DOWN();
}

/* What follows is asked when it is its turn, and finds what the one before has made. */
static void in_order(void)
{
    uint8_t allocate[STUN_TXID_LEN], permit[STUN_TXID_LEN], bind[STUN_TXID_LEN];

    UP(0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    memcpy(allocate, carol.txid, sizeof(allocate));
    CHECK_INT(client_permit(&carol, "5.6.7.8"), NO_ANSWER);
    memcpy(permit, carol.txid, sizeof(permit));
    CHECK_INT(client_bind(&carol, 0x4000, "5.6.7.9:9"), NO_ANSWER);
    memcpy(bind, carol.txid, sizeof(bind));
    CHECK_INT(client_refresh(&carol, 700), NO_ANSWER);
    for (int i = 0; i < 3; i++) { /* retransmissions of those that stand behind join, too */
        client_again(&carol, STUN_REQUEST, STUN_REFRESH);
        stun_put_u32(&carol.o, STUN_ATTR_LIFETIME, 700);
        CHECK_INT(client_ask(&carol), NO_ANSWER);
    }
    CHECK_INT(fake_questions(&net), 1);
    OK();
    CHECK_INT(answer_to(&carol, allocate), 0);
    CHECK(client_quiet(&carol));
    CHECK_INT(fake_questions(&net), 1);
    OK();
    CHECK_INT(answer_to(&carol, permit), 0);
    OK();
    CHECK_INT(answer_to(&carol, bind), 0);
    OK();
    CHECK_INT(client_answer(&carol), 0);
    CHECK_INT(carol.lifetime, 700);
    CHECK(client_quiet(&carol));
    CHECK_INT(net.lookups, 4);
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    DOWN();
}

/* A known user's request behind one that waits keeps its place; one that can be answered at once does not make the rest stop. */
static void at_once_behind(void)
{
    uint8_t first[STUN_TXID_LEN], second[STUN_TXID_LEN];

    UP(0);
    alice.path = carol.path;
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    memcpy(first, carol.txid, sizeof(first));
    CHECK_INT(client_allocate(&alice), NO_ANSWER);
    memcpy(second, alice.txid, sizeof(second));
    CHECK_INT(client_refresh(&carol, 600), NO_ANSWER);
    CHECK(fake_answer(&net, AUTH_UNKNOWN, NULL, 0));
    CHECK_INT(answer_to(&carol, first), 401);
    CHECK_INT(answer_to(&alice, second), 0);
    CHECK_INT(fake_questions(&net), 1); /* carol's Refresh */
    OK();
    CHECK_INT(client_answer(&carol), 441);
    CHECK(client_quiet(&carol));
    DOWN();
}

/* Other 5-tuples don't wait; Binding and data of this one don't either. */
static void others(void)
{
    UP(0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&carol, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&carol), 0);
    CHECK_INT(fake_questions(&net), 1);
    OK();
    DOWN();
}

static void stream_closed(void)
{
    UP(0);
    carol.path.transport = TRANSPORT_TCP;
    CHECK_INT(client_greet(&carol), 401);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK_INT(client_permit(&carol, "5.6.7.8"), NO_ANSWER);
    turn_stream_closed(fake_shard(&net, 0), &carol.path);
    CHECK_INT(net.cancelled, 1);
    CHECK_INT(fake_questions(&net), 0);
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    CHECK_INT(fake_count(&net, DROP_PARKED_CLOSED), 2);
    CHECK(client_quiet(&carol));
    DOWN();
}

static void time_out(void)
{
    UP(0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    fake_pass(&net, PARKED_LIFETIME_S * 1000ULL - 1);
    CHECK_INT(net.cancelled, 0);
    CHECK_INT(client_allocate(&carol), NO_ANSWER); /* another transaction: behind it */
    fake_pass(&net, 1);
    CHECK_INT(net.cancelled, 1);
    CHECK(client_quiet(&carol));
    CHECK_INT(net.lookups, 2); /* the one behind is asked now */
    CHECK_INT(fake_questions(&net), 1);
    OK();
    CHECK_INT(client_answer(&carol), 0);
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    CHECK_INT(client_refresh(&carol, 600), NO_ANSWER);
    CHECK_INT(fake_count(&net, DROP_PARKED_TIMEOUT), 1);
    fake_pass(&net, 3600000); /* an hour of suspend */
    CHECK_INT(net.cancelled, 2);
    CHECK_INT(fake_count(&net, DROP_PARKED_TIMEOUT), 2);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* Those that wait when the server ends. */
static void at_the_end(void)
{
    UP(0);
    for (uint16_t i = 0; i < 10; i++) {
        carol.path.client.port = (uint16_t)(5000 + i);
        CHECK_INT(client_greet(&carol), 401);
        for (int j = 0; j < 5; j++)
            CHECK_INT(client_allocate(&carol), NO_ANSWER);
    }
    CHECK_INT(fake_questions(&net), 10);
    DOWN();
}

static void tuple_limit(void)
{
    unsigned answers = 0;

    UP(0);
    for (int i = 0; i < PARKED_TUPLE_MAX + 5; i++)
        CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 5);
    CHECK_INT(fake_shard(&net, 0)->nparked, PARKED_TUPLE_MAX);
    while (fake_answer(&net, AUTH_UNKNOWN, NULL, 0))
        answers++;
    CHECK_INT(answers, PARKED_TUPLE_MAX);
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    net.violations = 0;
    while (fake_take_client(&net, &carol.path))
        answers--;
    CHECK_INT(answers, 0);
    DOWN();
}

/* Over a stream nobody sends again: each request has an answer, the one for which there is no room at once. */
static void stream_answered(void)
{
    static uint8_t large[REQUEST_MAX];
    unsigned answers = 0;

    UP(0);
    carol.path.transport = TRANSPORT_TCP;
    CHECK_INT(client_greet(&carol), 401);
    for (int i = 0; i < PARKED_TUPLE_MAX + 2; i++)
        CHECK_INT(client_permit(&carol, "5.6.7.8"), i < PARKED_TUPLE_MAX ? NO_ANSWER : 500);
    CHECK_INT(carol.signed_with, 0); /* nobody has looked at its credentials */
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 2);
    net.violations = 0;
    while (fake_answer(&net, AUTH_UNKNOWN, NULL, 0))
        ;
    while (fake_take_client(&net, &carol.path))
        answers++;
    CHECK_INT(answers, PARKED_TUPLE_MAX);
    fake_clock(&net, THROTTLE_SILENCE_S * 1000);
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    OK();
    CHECK_INT(client_answer(&carol), 0);
    client_begin(&carol, STUN_REQUEST, STUN_REFRESH);
    stun_put(&carol.o, 0x8777, large, sizeof(large));
    CHECK_INT(client_ask(&carol), 500); /* too long to be kept, though this stream may carry it */
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 3);
    DOWN();
}

/* A request that is too long to be kept is not asked for. */
static void size_limit(void)
{
    UP(0);
    for (size_t len = REQUEST_MAX - 300; len < REQUEST_MAX + 100; len += 4) {
        size_t total;

        fake_clock(&net, THROTTLE_WINDOW_S * 1000 / (THROTTLE_FAILURES - 1)); /* slowly enough for S15 */
        client_begin_allocate(&carol);
        stun_put(&carol.o, 0x8777, carol.answer_bytes, len);
        client_put_identity(&carol);
        client_put_integrity(&carol);
        total = carol.o.w.len;
        CHECK_INT(client_send(&carol), NO_ANSWER);
        CHECK_INT(fake_questions(&net), total <= REQUEST_MAX);
        if (total <= REQUEST_MAX) {
            CHECK(fake_answer(&net, AUTH_UNKNOWN, NULL, 0));
            CHECK_INT(client_answer(&carol), 401);
        }
    }
    DOWN();
}

/* All places taken by those who wait: a user who is known at once is served all the same. */
static void full(void)
{
    UP(0);
    for (unsigned i = 0; i < PARKED_MAX + 3; i++) {
        carol.path.client.port = (uint16_t)(1000 + i);
        CHECK_INT(client_greet(&carol), 401);
        CHECK_INT(client_allocate(&carol), NO_ANSWER);
    }
    CHECK_INT(fake_count(&net, DROP_PARKED_FULL), 3);
    CHECK_INT(fake_shard(&net, 0)->nparked, PARKED_MAX);
    CHECK_INT(fake_questions(&net), PARKED_MAX);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK(fake_answer(&net, AUTH_UNKNOWN, NULL, 0)); /* one place is free again */
    CHECK_INT(client_allocate(&carol), NO_ANSWER);
    CHECK_INT(fake_questions(&net), PARKED_MAX);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"a request waits for its credentials and is answered then", waits},
    {"a request that has waited can be refused", refused},
    {"C36 a retransmission joins the request that waits", retransmission},
    {"C39 later requests of a 5-tuple wait in order", in_order},
    {"a request behind another one keeps its place", at_once_behind},
    {"nobody else waits", others},
    {"a stream that closes takes its question back", stream_closed},
    {"a question ends after 40 s, and the next one is asked", time_out},
    {"questions end with the server", at_the_end},
    {"S20 requests that wait are bounded by 5-tuple", tuple_limit},
    {"C39 over a stream a request that can't wait is 500", stream_answered},
    {"S20 requests that wait are bounded in size", size_limit},
    {"S20 requests that wait are bounded in all, and others are served", full},
};

TAP_MAIN(TESTS)
