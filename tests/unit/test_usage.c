/* Usage: what a credential has used is told exactly, in time, once, and by nobody else. */
#include "auth/usage.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "relay/turn.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, again, bob;

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&again, &net, 0, "11.1.1.1:4001", TRANSPORT_TCP);
    client_init(&bob, &net, 0, "11.2.2.2:4000", TRANSPORT_UDP);
    client_be_bob(&bob);
}

#define UP_USAGE(...) UP(__VA_ARGS__, .usage = true)

#define PEER "5.6.7.8:9"

/* What was collected of one owner; the last one's label and token. */
struct got {
    const char *owner;
    struct auth_used used;
    unsigned visits;
    char label[AUTH_LABEL_MAX + 1], token[STUN_USERNAME_MAX + 1];
    uint64_t max_bytes;
    uint32_t held;
    int refuse;
};

static int take(void *ctx, const struct usage_who *who, const struct auth_used *more)
{
    struct got *g = ctx;

    if (g->refuse)
        return g->refuse;
    if (strcmp(who->owner, g->owner) != 0)
        return 0;
    g->visits++;
    for (int i = 0; i < AUTH_USED_N; i++)
        g->used.n[i] += more->n[i];
    snprintf(g->label, sizeof(g->label), "%s", who->label);
    snprintf(g->token, sizeof(g->token), "%s", who->token ? who->token : "");
    g->max_bytes = who->max_bytes;
    g->held = who->held;
    return 0;
}

static struct got collect(const char *owner)
{
    struct got g = {.owner = owner};

    usage_collect(net.usage, take, &g);
    return g;
}

#define CHECK_USED(g, bytes_up, bytes_down, packets_up, packets_down, allocations)                                                 \
    do {                                                                                                                           \
        CHECK_INT((g).used.n[AUTH_USED_BYTES_UP], bytes_up);                                                                       \
        CHECK_INT((g).used.n[AUTH_USED_BYTES_DOWN], bytes_down);                                                                   \
        CHECK_INT((g).used.n[AUTH_USED_PACKETS_UP], packets_up);                                                                   \
        CHECK_INT((g).used.n[AUTH_USED_PACKETS_DOWN], packets_down);                                                               \
        CHECK_INT((g).used.n[AUTH_USED_ALLOCATIONS], allocations);                                                                 \
    } while (0)

static void by_tick(void)
{
    struct got g;

    UP_USAGE(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&again), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    for (int i = 0; i < 3; i++)
        client_channel(&alice, 0x4000, "hello", 5, 0);
    fake_from_peer(&net, &alice.relayed[0], PEER, "hi", 2, 0);
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.9:9", "nobody asked", 12, 0);
    CHECK_INT(collect("alice").visits, 0); /* only a tick tells */
    fake_pass(&net, 250);
    g = collect("alice");
    CHECK_USED(g, 15, 2, 3, 1, 2);
    CHECK_INT(g.visits, 1); /* one account of both allocations */
    CHECK_INT(g.held, 2);
    CHECK_INT(g.used.n[AUTH_USED_MS], 500);
    CHECK_STR(g.label, "");
    CHECK_STR(g.token, "");
    client_channel(&alice, 0x4000, "x", 1, 0);
    fake_pass(&net, 250);
    g = collect("alice");
    CHECK_USED(g, 1, 0, 1, 0, 0);
    CHECK_INT(g.used.n[AUTH_USED_MS], 500);
    CHECK_INT(collect("alice").visits, 0);
    DOWN();
}

static void by_end(void)
{
    struct got g;

    UP_USAGE(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    client_channel(&alice, 0x4000, "hello", 5, 0);
    fake_clock(&net, 7);
    CHECK_INT(client_refresh(&alice, 0), 0);
    g = collect("alice");
    CHECK_USED(g, 5, 0, 1, 0, 1);
    CHECK_INT(g.used.n[AUTH_USED_MS], 7);
    CHECK_INT(usage_accounts(net.usage), 0);
    CHECK_INT(client_allocate(&alice), 0); /* a new account of the same name */
    CHECK_INT(client_allocate(&bob), 0);
    fake_pass(&net, 3600000);
    g = collect("alice");
    CHECK_USED(g, 0, 0, 0, 0, 1);
    CHECK_INT(usage_accounts(net.usage), 0);
    DOWN();
}

/* What was refused has used nothing. */
static void refused(void)
{
    UP_USAGE(0);
    net.fail_start = ERR_NOMEM;
    CHECK_INT(client_allocate(&alice), 508);
    CHECK_INT(collect("alice").visits, 0);
    CHECK_INT(usage_accounts(net.usage), 0);
    DOWN();
}

static void of_a_token(void)
{
    struct got g;

    UP_USAGE(.async = true);
    alice.user = "t1";
    alice.password = "x";
    net.async_label = "reception";
    net.async_bytes = 1000;
    client_greet(&alice);
    client_begin_allocate(&alice);
    client_ask(&alice);
    CHECK(fake_answer(&net, AUTH_OK, "x", 0));
    fake_pass(&net, 250);
    g = collect("acme");
    CHECK_USED(g, 0, 0, 0, 0, 1);
    CHECK_STR(g.label, "reception");
    CHECK_STR(g.token, "t1");
    CHECK_INT(g.max_bytes, 1000);
    while (fake_take_client(&net, &alice.path))
        ;
    DOWN();
}

/* The collector that can't take it now gets it again, also of an account that has been closed. */
static void comes_again(void)
{
    struct got refusing = {.refuse = ERR_NOMEM}, g;
    char to_alice[64], to_bob[64];

    UP_USAGE(.workers = 2);
    client_init(&bob, &net, 1, "11.2.2.2:4000", TRANSPORT_TCP);
    client_be_bob(&bob);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    snprintf(to_alice, sizeof(to_alice), "9.9.9.9:%u", alice.relayed[0].port);
    snprintf(to_bob, sizeof(to_bob), "9.9.9.9:%u", bob.relayed[0].port);
    CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
    CHECK_INT(client_bind(&bob, 0x4000, to_alice), 0);
    client_channel(&alice, 0x4000, "hello", 5, 0);
    fake_run(&net);
    CHECK(client_got(&bob, to_alice, 0x4000, "hello", 5));
    fake_pass(&net, 250);
    usage_collect(net.usage, take, &refusing);
    client_channel(&alice, 0x4000, "you", 3, 0);
    fake_run(&net);
    CHECK(client_got(&bob, to_alice, 0x4000, "you", 3));
    CHECK_INT(client_refresh(&bob, 0), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    usage_collect(net.usage, take, &refusing);
    CHECK_INT(usage_accounts(net.usage), 2);
    g = (struct got){.owner = "alice"};
    usage_collect(net.usage, take, &g);
    CHECK_USED(g, 8, 0, 2, 0, 1);
    CHECK_INT(usage_accounts(net.usage), 0);
    DOWN();
}

static void both_sides(void)
{
    struct got g;
    char to_alice[64], to_bob[64];

    UP_USAGE(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    snprintf(to_alice, sizeof(to_alice), "9.9.9.9:%u", alice.relayed[0].port);
    snprintf(to_bob, sizeof(to_bob), "9.9.9.9:%u", bob.relayed[0].port);
    CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
    CHECK_INT(client_bind(&bob, 0x4000, to_alice), 0);
    client_channel(&alice, 0x4000, "hello", 5, 0);
    CHECK(client_got(&bob, to_alice, 0x4000, "hello", 5));
    CHECK_INT(client_refresh(&alice, 0), 0);
    fake_pass(&net, 250);
    g = collect("bob");
    CHECK_USED(g, 0, 5, 0, 1, 1);
    DOWN();
}

/* A tick tells so many and no more; the next ones the rest, and nobody is left out. */
static void many(void)
{
    enum { MANY = 2 * USAGE_TICK_MAX + 10 };
    uint64_t told;
    struct got g;

    UP_USAGE(0);
    for (int i = 0; i < MANY; i++) {
        alice.path.client.port = (uint16_t)(1024 + i);
        alice.nonce_len = 0;
        CHECK_INT(client_allocate(&alice), 0);
    }
    fake_pass(&net, 250);
    told = collect("alice").used.n[AUTH_USED_ALLOCATIONS];
    CHECK(told >= USAGE_TICK_MAX && told < USAGE_TICK_MAX + 50); /* the rest of a slot */
    fake_pass(&net, 250);
    fake_pass(&net, 250);
    g = collect("alice");
    CHECK_INT(told + g.used.n[AUTH_USED_ALLOCATIONS], MANY);
    DOWN();
}

/* Without a keeper there are no accounts. */
static void nobody_keeps(void)
{
    up(&(struct fake_options){0});
    CHECK_INT(client_allocate(&alice), 0);
    fake_pass(&net, 250);
    CHECK(fake_shard(&net, 0)->users.count == 1);
    DOWN();
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *work(void *arg)
{
    struct usage *u = arg;
    struct auth_answer who = {.owner = "carol"};
    struct auth_account *a;

    for (int i = 0; i < ROUNDS; i++) {
        if (usage_open(&a, u, &who))
            abort();
        for (int j = 0; j < 3; j++)
            usage_add(a, &(struct auth_used){{[AUTH_USED_BYTES_UP] = 1}});
        usage_close(&a);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];
    struct usage *u;
    struct got g = {.owner = "carol"};

    CHECK_INT(usage_new(&u), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&t[i], NULL, work, u), 0);
    for (int i = 0; i < ROUNDS; i++)
        usage_collect(u, take, &g);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    usage_collect(u, take, &g);
    CHECK_INT(g.used.n[AUTH_USED_BYTES_UP], 3 * THREADS * ROUNDS);
    CHECK_INT(usage_accounts(u), 0);
    usage_free(&u);
}

static const struct tap_test TESTS[] = {
    {"usage: what allocations carry is told by the tick, once, by owner", by_tick},
    {"usage: an allocation's end is told at once, and its account goes when it was collected", by_end},
    {"usage: what was refused has used nothing", refused},
    {"usage: a token's label, id and limit come along", of_a_token},
    {"usage: what the collector can't take now comes again, also of what has ended", comes_again},
    {"usage: a splice counts on both sides", both_sides},
    {"usage: a tick tells a bounded number of allocations, and the next ones the rest", many},
    {"usage: without a keeper there are no accounts", nobody_keeps},
    {"usage: workers open, add and close while the collector collects; the sum is exact", threads},
};

TAP_MAIN(TESTS)
