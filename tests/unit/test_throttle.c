/* Brute force (S15): a user and a source that fail together too often fall silent; nobody else does. */
#include <stdlib.h>

#include "base/throttle.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice;

enum { SECOND = 1000 };

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    CHECK_INT(client_greet(&alice), 401);
}

static int try(struct client *c, const char *password)
{
    c->password = password;
    client_begin_allocate(c);
    return client_ask(c);
}

/* How many of so many wrong passwords are answered. */
static int guesses(struct client *c, int n)
{
    const char *right = c->password;
    int answered = 0;

    for (int i = 0; i < n; i++)
        answered += try(c, "wrong") == 401;
    c->password = right;
    return answered;
}

static void at(struct client *c, unsigned worker, const char *address)
{
    client_init(c, &net, worker, address, TRANSPORT_UDP);
    CHECK_INT(client_greet(c), 401);
}

static void silence(void)
{
    struct client other;

    UP(.workers = 2);
    CHECK_INT(guesses(&alice, THROTTLE_FAILURES + 5), THROTTLE_FAILURES);
    CHECK_INT(fake_count(&net, DROP_THROTTLED), 5);
    CHECK_INT(net.events[EVENT_THROTTLED], 1);
    CHECK_STR(net.last_user, "alice");
    CHECK_INT(try(&alice, alice.password), NO_ANSWER); /* or it would tell which guess was right */
    at(&other, 1, "11.1.1.1:4001");                    /* another port is the same source, and reaches another worker */
    CHECK_INT(try(&other, other.password), NO_ANSWER);
    at(&other, 0, "11.1.1.2:4000");
    CHECK_INT(try(&other, other.password), 0); /* no victim is locked out from elsewhere */
    CHECK_INT(client_refresh(&other, 0), 0);
    at(&other, 0, "11.1.1.1:4002");
    client_be_bob(&other);
    CHECK_INT(try(&other, other.password), 0); /* nor another user of the same house */
    CHECK_INT(client_refresh(&other, 0), 0);
    fake_clock(&net, (THROTTLE_SILENCE_S - 1) * SECOND);
    CHECK_INT(try(&alice, alice.password), NO_ANSWER);
    fake_clock(&net, SECOND);
    CHECK_INT(try(&alice, alice.password), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    DOWN();
}

static void slow(void)
{
    UP(0);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(guesses(&alice, THROTTLE_FAILURES - 1), THROTTLE_FAILURES - 1);
        fake_clock(&net, THROTTLE_WINDOW_S * SECOND);
    }
    CHECK_INT(try(&alice, alice.password), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    DOWN();
}

static void unknown_user(void)
{
    UP(0);
    alice.user = "nobody";
    CHECK_INT(guesses(&alice, THROTTLE_FAILURES + 5), THROTTLE_FAILURES);
    alice.userhash = true; /* a name and its hash are two */
    CHECK_INT(guesses(&alice, THROTTLE_FAILURES + 5), THROTTLE_FAILURES);
    CHECK_INT(net.events[EVENT_THROTTLED], 2);
    CHECK_STR(net.last_user, ""); /* what a stranger has made up is not told */
    DOWN();
}

static void expiry_names(void)
{
    static const char *const NAMES[] = {"1900000001:eve", "1900000002:eve", "eve:1900000003"};
    int answered = 0;

    UP(.secrets = {"a secret"});
    for (int i = 0; i < 30; i++) {
        alice.user = NAMES[i % 3];
        answered += try(&alice, "wrong") == 401;
    }
    CHECK_INT(answered, THROTTLE_FAILURES);
    DOWN();
}

static void ipv6(void)
{
    UP(0);
    at(&alice, 0, "[2a11:0:0:1::1]:4000");
    CHECK_INT(guesses(&alice, THROTTLE_FAILURES), THROTTLE_FAILURES);
    at(&alice, 0, "[2a11:0:0:1:ffff::2]:4000");
    CHECK_INT(try(&alice, alice.password), NO_ANSWER);
    at(&alice, 0, "[2a11:0:0:2::1]:4000");
    CHECK_INT(try(&alice, alice.password), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    DOWN();
}

/* A nonce that is not ours ends a request before anything is looked up, remembered or counted against its user. */
static void forged_nonce(void)
{
    size_t len;

    UP(.async = true);
    len = alice.nonce_len;
    alice.user = "carol";
    for (int i = 0; i < 1000; i++) {
        alice.nonce[len - 1] ^= (uint8_t)(1 + i % 255);
        alice.nonce_len = len;
        client_begin_allocate(&alice);
        CHECK_INT(client_ask(&alice), 438);
    }
    CHECK_INT(net.lookups, 0);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(fake_count(&net, DROP_THROTTLED), 0);
    DOWN();
}

/* Workers read the clock once a pass: one whose pass began before the second in which another silenced the pair. */
static void skew(void)
{
    struct throttle *t;
    struct addr a;
    uint64_t pair;

    CHECK_INT(throttle_new(&t), 0);
    CHECK_INT(addr_parse_ip(&a, "11.1.1.1"), 0);
    pair = throttle_pair(t, "alice", 5, &a);
    for (int i = 0; i < THROTTLE_FAILURES - 1; i++)
        CHECK(!throttle_failure(t, pair, i % 2 ? 5999 : 6000)); /* they count together, */
    CHECK(throttle_failure(t, pair, 5999));
    CHECK(throttle_silent(t, pair, 4999)); /* and neither a look */
    CHECK(!throttle_failure(t, pair, 4999));
    CHECK(throttle_silent(t, pair, 6000)); /* nor a failure lifts the silence */
    CHECK(!throttle_silent(t, pair, (5 + THROTTLE_SILENCE_S) * (uint64_t)SECOND));
    throttle_free(&t);
}

/* The table is as large as it is: a flood of made-up pairs neither grows it nor frees who is silenced. */
static void flood(void)
{
    struct throttle *t;
    struct addr a;
    uint64_t pair;
    int silenced = 0;

    CHECK_INT(throttle_new(&t), 0);
    CHECK_INT(addr_parse_ip(&a, "11.1.1.1"), 0);
    pair = throttle_pair(t, "alice", 5, &a);
    for (int i = 0; i < THROTTLE_FAILURES; i++)
        CHECK_INT(throttle_failure(t, pair, 5000), i == THROTTLE_FAILURES - 1);
    for (uint32_t i = 0; i < 8 * THROTTLE_BUCKETS * THROTTLE_WAYS; i++)
        throttle_failure(t, throttle_pair(t, &i, sizeof(i), &a), 5000 + i / 100);
    CHECK(throttle_silent(t, pair, 64000));
    CHECK(!throttle_silent(t, pair, 65000));
    for (uint32_t i = 0; i < THROTTLE_BUCKETS; i++)
        silenced += throttle_silent(t, throttle_pair(t, &i, sizeof(i), &a), 10000);
    CHECK_INT(silenced, 0);
    throttle_free(&t);
}

/* One guess from each of many ports, all of them before the first is looked up; the last one is right. */
static void guesses_that_wait(void)
{
    enum { PORTS = 3 * THROTTLE_FAILURES };
    static struct client c[PORTS];
    int answered = 0;

    UP(.async = true);
    for (unsigned i = 0; i < PORTS; i++) {
        client_init(&c[i], &net, 0, "11.3.3.3:5000", TRANSPORT_UDP);
        c[i].path.client.port = (uint16_t)(5000 + i);
        CHECK_INT(client_greet(&c[i]), 401);
        c[i].user = "carol";
        CHECK_INT(try(&c[i], i < PORTS - 1 ? "wrong" : "x"), NO_ANSWER);
    }
    CHECK_INT(fake_questions(&net), PORTS);
    while (fake_answer(&net, AUTH_OK, "x", 0))
        ;
    for (int i = 0; i < PORTS; i++)
        answered += client_answer(&c[i]) == 401;
    CHECK_INT(answered, THROTTLE_FAILURES);
    CHECK_INT(fake_count(&net, DROP_THROTTLED), PORTS - THROTTLE_FAILURES);
    CHECK_INT(fake_in_use(&net), 0); /* not even the right one is served */
    CHECK_INT(fake_shard(&net, 0)->nparked, 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"S15 after ten failures a user and a source are not answered for a minute; others are", silence},
    {"S15 failures count within a minute", slow},
    {"S14 S15 a user who does not exist is throttled alike", unknown_user},
    {"S15 another expiry is the same user", expiry_names},
    {"S15 an IPv6 /64 is one source", ipv6},
    {"S15 a forged nonce costs no look-up and no memory", forged_nonce},
    {"S15 guesses that wait for a look-up side by side are counted, too", guesses_that_wait},
    {"S15 a worker whose clock is a second behind does not lift the silence", skew},
    {"S15 a flood of pairs does not free a silenced one", flood},
};

TAP_MAIN(TESTS)
