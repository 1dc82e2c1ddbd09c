/* What is counted of requests, credentials, allocations and packets, for the metrics. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
}

#define PEER "5.6.7.8:9"

static uint64_t requests(enum count_method method, enum count_result result)
{
    return fake_count(&net, count_request(method, result));
}

static uint64_t failures(enum count_failure why)
{
    return fake_count(&net, count_failure(why));
}

static uint64_t relayed(enum count_path path, enum counter which)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < net.workers; i++)
        n += count_slot(&net.worker[i].counters, count_relayed(path, which));
    return n;
}

/* The bucket that holds something; -1: none or several do. */
static int bucket(const struct count_histogram *h)
{
    int found = -1, n = 0;

    for (size_t i = 0; i <= h->n; i++)
        if (fake_count(&net, (enum counter)(h->first + i))) {
            found = (int)i;
            n++;
        }
    return n == 1 ? found : -1;
}

static uint64_t sum_ms(const struct count_histogram *h)
{
    return fake_count(&net, (enum counter)(h->first + h->n + 1));
}

static void by_method(void)
{
    UP(0);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(client_allocate(&alice), 0); /* greets first */
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK_INT(client_permit(&alice, "10.0.0.1:9"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&alice, 0x3000, PEER), 400);
    CHECK_INT(client_refresh(&alice, 600), 0);
    client_begin(&bob, STUN_REQUEST, STUN_REFRESH);
    CHECK_INT(client_send(&bob), 401);
    CHECK_INT(requests(METHOD_BINDING, RESULT_SUCCESS), 1);
    CHECK_INT(requests(METHOD_ALLOCATE, RESULT_SUCCESS), 1);
    CHECK_INT(requests(METHOD_ALLOCATE, RESULT_CHALLENGE), 1);
    CHECK_INT(requests(METHOD_CREATE_PERMISSION, RESULT_SUCCESS), 1);
    CHECK_INT(requests(METHOD_CREATE_PERMISSION, RESULT_ERROR), 1);
    CHECK_INT(requests(METHOD_CHANNEL_BIND, RESULT_SUCCESS), 1);
    CHECK_INT(requests(METHOD_CHANNEL_BIND, RESULT_ERROR), 1);
    CHECK_INT(requests(METHOD_REFRESH, RESULT_SUCCESS), 1);
    CHECK_INT(requests(METHOD_REFRESH, RESULT_CHALLENGE), 1);
    for (enum count_method m = 0; m < COUNT_METHODS; m++)
        CHECK_INT(requests(m, RESULT_ERROR), m == METHOD_CREATE_PERMISSION || m == METHOD_CHANNEL_BIND);
    CHECK_INT(fake_count(&net, COUNT_SUCCESSES), 5);
    CHECK_INT(fake_count(&net, COUNT_CHALLENGES), 2);
    CHECK_INT(fake_count(&net, COUNT_ERRORS), 2);
    DOWN();
}

static uint64_t allocates(int code)
{
    return fake_count(&net, count_code(code));
}

static void by_code(void)
{
    UP(.auth = {.user_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK_INT(client_permit(&alice, "10.0.0.1:9"), 403);
    alice.path.client.port++;
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(client_allocate(&alice), 486);
    client_begin(&alice, STUN_REQUEST, STUN_ALLOCATE);
    CHECK_INT(client_ask(&alice), 400);
    CHECK_INT(allocates(0), 1);
    CHECK_INT(allocates(401), 2);
    CHECK_INT(allocates(486), 1);
    CHECK_INT(allocates(400), 1);
    CHECK_INT(allocates(403), 0);
    CHECK_INT(allocates(508), 0);
    CHECK_STR(count_code_name((unsigned)(count_code(0) - COUNT_BY_CODE)), "success");
    CHECK_STR(count_code_name((unsigned)(count_code(508) - COUNT_BY_CODE)), "508");
    CHECK_STR(count_code_name((unsigned)(count_code(599) - COUNT_BY_CODE)), "other");
    CHECK_INT(count_code(599) - COUNT_BY_CODE, COUNT_CODES - 1);
    DOWN();
}

static void active(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    client_init(&bob, &net, 0, "[2a01::1]:4000", TRANSPORT_TCP);
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_UDP, false)), 1);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_TCP, true)), 1);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_TCP, false)), 0);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_UDP, true)), 0);
    fake_clock(&net, 60000);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_UDP, false)), 0);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_TCP, true)), 1);
    CHECK_INT(bucket(&COUNT_OF_SESSION), 3); /* more than 30 s, at most 60 */
    CHECK_INT(sum_ms(&COUNT_OF_SESSION), 60000);
    DOWN();
}

static void refused_is_none(void)
{
    UP(.auth = {.total_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_UDP, false)) + fake_count(&net, count_active(TRANSPORT_TCP, false)), 1);
    net.fail_open = ERR_MFILE;
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(fake_count(&net, count_active(TRANSPORT_UDP, false)) + fake_count(&net, count_active(TRANSPORT_TCP, false)), 0);
    CHECK_INT(bucket(&COUNT_OF_SESSION), 0);
    DOWN();
}

static int try(struct client *c, const char *user, const char *password)
{
    c->user = user;
    c->password = password;
    client_begin_allocate(c);
    return client_ask(c);
}

static void auth_failures(void)
{
    UP(.secrets = {"north"});
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(failures(FAILURE_UNKNOWN_USER), 0); /* who has shown nothing has not failed */
    CHECK_INT(try(&alice, "alice", "wrong"), 401);
    CHECK_INT(failures(FAILURE_WRONG_PASSWORD), 1);
    CHECK_INT(try(&alice, "nobody", "wrong"), 401);
    CHECK_INT(failures(FAILURE_UNKNOWN_USER), 1);
    client_be_rest(&alice, "1700000000:carol", "north");
    CHECK_INT(try(&alice, alice.user, alice.password), 401);
    CHECK_INT(failures(FAILURE_EXPIRED), 1);
    snprintf(alice.realm, sizeof(alice.realm), "example.com");
    CHECK_INT(try(&alice, "alice", "sesame"), 401);
    CHECK_INT(failures(FAILURE_REALM), 1);
    snprintf(alice.realm, sizeof(alice.realm), "%s", net.realm);
    CHECK_INT(try(&alice, "\xff", "sesame"), 401);
    CHECK_INT(failures(FAILURE_UNREADABLE), 1);
    fake_clock(&net, 4000000); /* its nonce is stale */
    CHECK_INT(try(&alice, "alice", "sesame"), 438);
    CHECK_INT(failures(FAILURE_WRONG_PASSWORD) + failures(FAILURE_UNKNOWN_USER) + failures(FAILURE_EXPIRED), 3);
    CHECK_INT(client_greet(&bob), 401);
    for (int i = 0; i < THROTTLE_FAILURES; i++)
        CHECK_INT(try(&bob, "bob", "wrong"), 401);
    CHECK_INT(failures(FAILURE_THROTTLED), 0);
    CHECK_INT(try(&bob, "bob", "swordfish"), NO_ANSWER);
    CHECK_INT(failures(FAILURE_THROTTLED), 1);
    CHECK_INT(fake_count(&net, DROP_THROTTLED), 1);
    DOWN();
}

static void auth_waits(void)
{
    UP(.async = true);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(bucket(&COUNT_OF_AUTH), 0); /* at once */
    CHECK_INT(sum_ms(&COUNT_OF_AUTH), 0);
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(try(&alice, "carol", "x"), NO_ANSWER);
    fake_clock(&net, 200);
    CHECK(fake_answer(&net, AUTH_UNAVAILABLE, NULL, 0));
    CHECK_INT(client_answer(&alice), 500);
    CHECK_INT(failures(FAILURE_UNAVAILABLE), 1);
    CHECK_INT(fake_count(&net, (enum counter)(COUNT_AUTH_HISTOGRAM + 7)), 1); /* more than 100 ms, at most 250 */
    CHECK_INT(sum_ms(&COUNT_OF_AUTH), 200);
    CHECK_INT(try(&alice, "carol", "x"), NO_ANSWER);
    fake_clock(&net, 20000);
    CHECK(fake_answer(&net, AUTH_OK, "x", 0));
    CHECK_INT(fake_count(&net, (enum counter)(COUNT_AUTH_HISTOGRAM + COUNT_AUTH_TIMES)), 1); /* more than all bounds */
    CHECK_INT(sum_ms(&COUNT_OF_AUTH), 20200);
    DOWN();
}

/* A packet is counted for one path, and for both together by the name that it always had. */
static void by_path(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        char to_bob[ADDR_TEXT_MAX];

        UP(.workers = workers);
        client_init(&bob, &net, workers - 1, "11.2.2.2:4000", TRANSPORT_UDP);
        client_be_bob(&bob);
        CHECK_INT(client_allocate(&alice), 0);
        CHECK_INT(client_allocate(&bob), 0);
        CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
        CHECK_INT(client_bind(&alice, 0x4001, addr_text(&bob.relayed[0], to_bob)), 0);
        CHECK_INT(client_permit(&bob, addr_text(&alice.relayed[0], to_bob)), 0);
        client_channel(&alice, 0x4000, "four", 4, 0);
        client_channel(&alice, 0x4001, "seventy", 7, 0);
        client_channel(&alice, 0x4001, "seventy", 7, 0);
        fake_run(&net);
        fake_from_peer(&net, &alice.relayed[0], PEER, "12", 2, 0);
        CHECK_INT(relayed(PATH_USER, COUNT_PACKETS_UP), 1);
        CHECK_INT(relayed(PATH_USER, COUNT_BYTES_UP), 4);
        CHECK_INT(relayed(PATH_USER, COUNT_PACKETS_DOWN), 1);
        CHECK_INT(relayed(PATH_USER, COUNT_BYTES_DOWN), 2);
        CHECK_INT(relayed(PATH_SPLICE, COUNT_PACKETS_UP), 2);
        CHECK_INT(relayed(PATH_SPLICE, COUNT_BYTES_UP), 14);
        CHECK_INT(relayed(PATH_SPLICE, COUNT_PACKETS_DOWN), 2);
        CHECK_INT(relayed(PATH_SPLICE, COUNT_BYTES_DOWN), 14);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 3);
        CHECK_INT(fake_count(&net, COUNT_BYTES_UP), 18);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_DOWN), 3);
        CHECK_INT(fake_count(&net, COUNT_BYTES_DOWN), 16);
        DOWN();
    }
}

static void names(void)
{
    CHECK_STR(count_name(COUNT_PACKETS_UP), "packets_up");
    for (enum count_method m = 0; m < COUNT_METHODS; m++)
        CHECK(count_method_name(m)[0]);
    for (enum count_result r = 0; r < COUNT_RESULTS; r++)
        CHECK(count_result_name(r)[0]);
    for (enum count_failure f = 0; f < COUNT_FAILURES; f++)
        CHECK(count_failure_name(f)[0]);
    for (unsigned i = 0; i < COUNT_CODES; i++)
        CHECK(count_code_name(i)[0]);
    CHECK_STR(count_path_name(PATH_SPLICE), "splice");
    for (size_t i = 1; i < COUNT_OF_AUTH.n; i++)
        CHECK(COUNT_OF_AUTH.bound[i] > COUNT_OF_AUTH.bound[i - 1]);
    for (size_t i = 1; i < COUNT_OF_SESSION.n; i++)
        CHECK(COUNT_OF_SESSION.bound[i] > COUNT_OF_SESSION.bound[i - 1]);
}

static const struct tap_test TESTS[] = {
    {"requests are counted by method and result", by_method},
    {"Allocates are counted by what they came to", by_code},
    {"what lives is counted by transport and family, and how long it has lived", active},
    {"what was refused never lived", refused_is_none},
    {"failures of credentials are counted by their reason, and a stale nonce is none", auth_failures},
    {"the wait for credentials is counted, none as none", auth_waits},
    {"packets and bytes are counted by path", by_path},
    {"everything has a name, and bounds ascend", names},
};

TAP_MAIN(TESTS)
