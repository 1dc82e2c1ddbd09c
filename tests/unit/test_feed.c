/* News for the control thread: of allocations all, of what strangers can cause at a bounded rate, each with its reason. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay/alloc.h"
#include "relay/feeder.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;
static struct feeder feeder;

static void on_event(void *ctx, const struct relay_event_info *e)
{
    (void)ctx;
    feeder_tell(&feeder, fake_shard(&net, 0), e);
}

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
    net.ops.event = on_event;
    feeder_close(&feeder);
    feeder = (struct feeder){0};
    if (feeder_open(&feeder, -1, net.now.ms))
        abort();
}

#define PEER "5.6.7.8:9"

/* The oldest piece of news, or NULL; valid until the next call. */
static const struct feed_news *news(void)
{
    static _Alignas(struct feed_news) uint8_t copy[4096];
    size_t len;
    void *n = ring_peek(feeder.ring, &len);

    if (!n || len > sizeof(copy))
        return NULL;
    memcpy(copy, n, len);
    ring_release(feeder.ring);
    return (const struct feed_news *)(const void *)copy;
}

static bool is(const struct feed_news *n, enum feed_kind kind, const char *user, const char *reason)
{
    if (n && n->kind == kind && strcmp(n->user, user) == 0 && strcmp(feed_reason(n), reason) == 0)
        return true;
    printf("# %d %s %s\n", n ? (int)n->kind : -1, n ? n->user : "", n ? feed_reason(n) : "");
    return false;
}

static void life(void)
{
    const struct feed_news *n;
    uint64_t id;

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    n = news();
    CHECK(is(n, FEED_CREATED, "alice", ""));
    CHECK(addr_equal(&n->client, &alice.path.client) && addr_equal(&n->server, &alice.path.server));
    id = n->id;
    CHECK(id == alloc_id(fake_shard(&net, 0), alloc_find(fake_shard(&net, 0), &alice.path)));
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK(!news());
    client_say(&alice, PEER, "four", 4);
    CHECK_INT(client_refresh(&alice, 700), 0);
    n = news();
    CHECK(is(n, FEED_REFRESHED, "alice", "") && n->lifetime_s == 700 && n->id == id && n->bytes_up == 4);
    fake_pass(&net, 700000);
    n = news();
    CHECK(is(n, FEED_DELETED, "alice", "expired") && n->id == id && n->packets_up == 1);
    CHECK(!news());
    DOWN();
}

static int try(struct client *c, const char *user, const char *password)
{
    c->user = user;
    c->password = password;
    client_begin_allocate(c);
    return client_ask(c);
}

/* A name that nobody has is not told: it may be a password in the wrong field. */
static void failures(void)
{
    const struct feed_news *n;

    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    CHECK(!news());
    CHECK_INT(try(&alice, "nobody", "wrong"), 401);
    n = news();
    CHECK(is(n, FEED_AUTH_FAILED, "", "unknown_user") && n->id == 0);
    CHECK(addr_equal(&n->client, &alice.path.client));
    for (int i = 0; i < THROTTLE_FAILURES; i++) {
        CHECK_INT(try(&alice, "alice", "wrong"), 401);
        CHECK(is(news(), FEED_AUTH_FAILED, "alice", "wrong_password"));
    }
    CHECK(is(news(), FEED_THROTTLED, "alice", ""));
    CHECK_INT(try(&alice, "alice", "sesame"), NO_ANSWER);
    CHECK(!news()); /* that it is silenced is known */
    DOWN();
}

static void refusals(void)
{
    const struct feed_news *n;
    struct addr peer = fake_addr("10.0.0.1:9");

    UP(.auth = {.user_quota = 1});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK(is(news(), FEED_CREATED, "alice", ""));
    CHECK_INT(client_bind(&alice, 0x4000, "10.0.0.1:9"), 403);
    n = news();
    CHECK(is(n, FEED_PEER_DENIED, "alice", "denied-peer-ip=10.0.0.0/8 (built in)"));
    CHECK(addr_equal(&n->peer, &peer) && n->id);
    alice.path.client.port++;
    alice.nonce_len = 0;
    CHECK_INT(client_allocate(&alice), 486);
    CHECK(is(news(), FEED_QUOTA_REFUSED, "alice", "user-quota"));
    CHECK(!news());
    DOWN();
}

/* Fifty a second of each kind; none of them takes another's place, and what lives is always told. */
static void bounded(void)
{
    unsigned failed = 0, denied = 0, created = 0;
    const struct feed_news *n;

    UP(0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_greet(&alice), 401);
    for (int i = 0; i < 3 * FEED_PER_S; i++) {
        char name[32];

        snprintf(name, sizeof(name), "nobody%d", i);
        CHECK_INT(try(&alice, name, "wrong"), 401);
    }
    for (int i = 0; i < 2 * FEED_PER_S; i++)
        CHECK_INT(client_permit(&bob, "10.0.0.1"), 403);
    while ((n = news())) {
        failed += n->kind == FEED_AUTH_FAILED;
        denied += n->kind == FEED_PEER_DENIED;
        created += n->kind == FEED_CREATED;
    }
    CHECK_INT(failed, FEED_PER_S);
    CHECK_INT(denied, FEED_PER_S);
    CHECK_INT(created, 1);
    CHECK_INT(fake_count(&net, COUNT_NEWS_SUPPRESSED), 3 * FEED_PER_S);
    fake_clock(&net, 1000);
    CHECK_INT(try(&alice, "nobody", "wrong"), 401);
    CHECK(is(news(), FEED_AUTH_FAILED, "", "unknown_user"));
    DOWN();
}

static void overrun(void)
{
    uint64_t value;

    UP(0);
    feeder.fd = eventfd(0, EFD_NONBLOCK);
    feeder_wake(&feeder);
    CHECK(read(feeder.fd, &value, sizeof(value)) < 0);
    CHECK_INT(client_allocate(&alice), 0);
    for (int i = 0; i < 3000; i++)
        CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK(fake_count(&net, DROP_FEED_FULL) > 0);
    feeder_wake(&feeder);
    feeder_wake(&feeder);
    CHECK(read(feeder.fd, &value, sizeof(value)) == sizeof(value) && value == 1);
    close(feeder.fd);
    feeder_close(&feeder);
    CHECK_INT(client_refresh(&alice, 0), 0); /* nobody listens */
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"an allocation's life is told, with the reason of its end", life},
    {"failures of credentials are told with their reason, and no name that nobody has", failures},
    {"a denied peer and a refused quota are told with what decides", refusals},
    {"what strangers can cause is told at a bounded rate, each kind for itself", bounded},
    {"a feed that nobody reads loses news, and waits for nobody", overrun},
};

TAP_MAIN(TESTS)
