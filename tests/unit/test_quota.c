/* Quotas: what a user, a source and all together may hold, and what is left when it is given back (C48, S21). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/quota.h"
#include "base/addr.h"
#include "stun/integrity.h"
#include "tests/unit/tap.h"

static struct quota *q;
static struct auth_grant grant;
static const struct auth_limits none;

static struct addr source(const char *text)
{
    struct addr a = {0};

    if (addr_parse_ip(&a, text))
        abort();
    return a;
}

#define UP(...)               CHECK_INT(quota_new(&q, &(struct quota_limits){__VA_ARGS__}), 0)
#define TAKE(owner, from)     quota_take(q, &(struct auth_share){owner, from, 0}, &none, &grant)
#define GIVE(owner, from)     quota_give(q, &(struct auth_share){owner, from, 0})
#define TAKE_BPS(from, bps)   quota_take(q, &(struct auth_share){"a", from, bps}, &none, &grant)
#define GIVE_BPS(from, bps)   quota_give(q, &(struct auth_share){"a", from, bps})
#define TAKE_OWN(owner, x, n) quota_take(q, &(struct auth_share){owner, x, 0}, &(struct auth_limits){.allocations = n}, &grant)
#define DOWN()                                                                                                                     \
    do {                                                                                                                           \
        CHECK_INT(quota_total(q), 0);                                                                                              \
        CHECK_INT(quota_entries(q), 0);                                                                                            \
        quota_free(&q);                                                                                                            \
        CHECK(q == NULL);                                                                                                          \
    } while (0)

static void by_user(void)
{
    struct addr x = source("192.0.2.1"), y = source("192.0.2.2"), z = source("192.0.2.3");

    UP(.user = 2);
    CHECK_INT(TAKE("alice", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("alice", &y), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("alice", &z), AUTH_QUOTA_USER);
    CHECK_INT(quota_total(q), 2);
    CHECK_INT(TAKE("bob", &z), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("", &z), AUTH_QUOTA_OK); /* bare expiries count together */
    CHECK_INT(TAKE("", &z), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("", &z), AUTH_QUOTA_USER);
    GIVE("alice", &x);
    CHECK_INT(TAKE("alice", &z), AUTH_QUOTA_OK);
    CHECK_INT(quota_total(q), 5);
    GIVE("alice", &y);
    GIVE("alice", &z);
    GIVE("bob", &z);
    GIVE("", &z);
    GIVE("", &z);
    DOWN();
}

/* A credential's own limit can only narrow what the configuration grants. */
static void own_limit(void)
{
    struct addr x = source("192.0.2.1");

    UP(.user = 2);
    CHECK_INT(TAKE_OWN("alice", &x, 1), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("alice", &x, 1), AUTH_QUOTA_USER);
    CHECK_INT(TAKE_OWN("bob", &x, 3), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("bob", &x, 3), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("bob", &x, 3), AUTH_QUOTA_USER);
    GIVE("alice", &x);
    GIVE("bob", &x);
    GIVE("bob", &x);
    DOWN();
    UP(.user = 0);
    CHECK_INT(TAKE_OWN("alice", &x, 1), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("alice", &x, 1), AUTH_QUOTA_USER);
    GIVE("alice", &x);
    DOWN();
}

static void by_source(void)
{
    struct addr v4 = source("192.0.2.1"), mapped = source("::ffff:192.0.2.1"), other = source("::ffff:192.0.2.2");
    struct addr low = source("2001:db8:1:2::1"), high = source("2001:db8:1:2:ffff::1"), next = source("2001:db8:1:3::1");

    UP(.source = 1);
    v4.port = 5;
    CHECK_INT(TAKE("a", &v4), AUTH_QUOTA_OK);
    v4.port = 6;
    CHECK_INT(TAKE("b", &v4), AUTH_QUOTA_SOURCE);
    CHECK_INT(TAKE("b", &mapped), AUTH_QUOTA_SOURCE);
    CHECK_INT(TAKE("b", &other), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("c", &low), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("c", &high), AUTH_QUOTA_SOURCE);
    CHECK_INT(TAKE("c", &next), AUTH_QUOTA_OK);
    CHECK_INT(quota_total(q), 4);
    GIVE("a", &v4);
    CHECK_INT(TAKE("b", &mapped), AUTH_QUOTA_OK);
    GIVE("b", &mapped);
    GIVE("b", &other);
    GIVE("c", &low);
    GIVE("c", &next);
    DOWN();
}

static void in_all(void)
{
    struct addr x = source("192.0.2.1");

    UP(.total = 2);
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("b", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("c", &x), AUTH_QUOTA_TOTAL);
    CHECK_INT(quota_total(q), 2);
    CHECK_INT(quota_entries(q), 3); /* two users, one source: nothing of the refused one */
    GIVE("b", &x);
    GIVE("a", &x);
    DOWN();
}

static void capacity(void)
{
    struct addr x = source("192.0.2.1");

    UP(.bps = 1000, .source = 3);
    CHECK_INT(TAKE_BPS(&x, 600), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_BPS(&x, 401), AUTH_QUOTA_CAPACITY);
    CHECK_INT(TAKE_BPS(&x, UINT64_MAX), AUTH_QUOTA_CAPACITY);
    CHECK_INT(TAKE_BPS(&x, 400), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_BPS(&x, 1), AUTH_QUOTA_CAPACITY);
    CHECK_INT(quota_total(q), 2);
    GIVE_BPS(&x, 400);
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK); /* one that sets nothing aside */
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_BPS(&x, 400), AUTH_QUOTA_SOURCE);
    GIVE("a", &x);
    CHECK_INT(TAKE_BPS(&x, 400), AUTH_QUOTA_OK); /* the refused one has set nothing aside */
    GIVE("a", &x);
    GIVE_BPS(&x, 600);
    GIVE_BPS(&x, 400);
    DOWN();
}

static void refusal_takes_nothing(void)
{
    struct addr x = source("192.0.2.1");

    UP(.source = 1);
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    for (int i = 0; i < 100; i++)
        CHECK_INT(TAKE("b", &x), AUTH_QUOTA_SOURCE);
    CHECK_INT(quota_entries(q), 2);
    GIVE("a", &x);
    DOWN();
}

/* One bucket by user, whatever the source. */
static void one_bandwidth(void)
{
    struct addr x = source("192.0.2.1"), y = source("192.0.2.2");
    struct auth_bandwidth *first;

    UP(.user = 0);
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    first = grant.bandwidth;
    CHECK(rate_shared_take(&first->up, 100, 100, 1000, 5000));
    CHECK_INT(TAKE("a", &y), AUTH_QUOTA_OK);
    CHECK(grant.bandwidth == first);
    CHECK_INT(TAKE("b", &y), AUTH_QUOTA_OK);
    CHECK(grant.bandwidth != first);
    GIVE("a", &x);
    CHECK(!rate_shared_take(&first->up, 1, 100, 1000, 5000)); /* still the one of the user's other allocation */
    GIVE("a", &y);
    GIVE("b", &y);
    DOWN();
}

/* A reload: who holds more keeps it. */
static void new_limits(void)
{
    struct addr x = source("192.0.2.1");
    struct auth *a = NULL, *fresh = NULL;

    CHECK_INT(auth_new(&a, &(struct auth_config){.realm = "r", .user_quota = 2}), 0);
    for (int i = 0; i < 2; i++)
        CHECK_INT(auth_quota_take(a, &(struct auth_share){"a", &x, 7}, &none, &grant), AUTH_QUOTA_OK);
    CHECK_INT(
        auth_new(&fresh,
                 &(struct auth_config){.realm = "r", .user_quota = 1, .source_quota = 3, .total_quota = 4, .bps_capacity = 20}),
        0);
    auth_replace(a, &fresh);
    CHECK_INT(auth_quota_total(a), 2);
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"a", &x, 6}, &none, &grant), AUTH_QUOTA_USER);
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"b", &x, 7}, &none, &grant), AUTH_QUOTA_CAPACITY);
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"b", &x, 6}, &none, &grant), AUTH_QUOTA_OK);
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"c", &x, 0}, &none, &grant), AUTH_QUOTA_SOURCE);
    x = source("192.0.2.2");
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"c", &x, 0}, &none, &grant), AUTH_QUOTA_OK);
    CHECK_INT(auth_quota_take(a, &(struct auth_share){"d", &x, 0}, &none, &grant), AUTH_QUOTA_TOTAL);
    auth_free(&a);
}

static unsigned seen;

static void see(void *ctx, const char *owner)
{
    seen += strcmp(owner, ctx) == 0;
}

static unsigned limited(const char *owner)
{
    char name[16];

    snprintf(name, sizeof(name), "%s", owner);
    seen = 0;
    for (unsigned i = 0; i < AUTH_QUOTA_PARTS; i++)
        quota_each(q, i, see, name);
    return seen;
}

/* What a fleet is told: what is settled, what is pending, and which of two words is the later one. */
static void for_a_fleet(void)
{
    struct addr x = source("192.0.2.1");
    struct auth_held held;
    uint64_t number;

    UP(.source = 4);
    quota_ask(q);
    CHECK_INT(TAKE("free", &x), AUTH_QUOTA_OK);
    CHECK_INT(grant.limit, 0);
    CHECK_INT(limited("free"), 0);
    CHECK(!quota_give(q, &(struct auth_share){"free", &x, 0}));
    CHECK_INT(TAKE_OWN("a", &x, 5), AUTH_QUOTA_OK);
    CHECK_INT(grant.limit, 5);
    CHECK_INT(grant.count, 1);
    number = grant.number;
    CHECK_INT(TAKE_OWN("a", &x, 5), AUTH_QUOTA_OK);
    CHECK_INT(grant.count, 2);
    CHECK(grant.number > number);
    CHECK_INT(limited("a"), 1);
    quota_held(q, "a", &held);
    CHECK_INT(held.count, 0);
    CHECK_INT(held.pending, 2);
    quota_settle(q, "a");
    quota_held(q, "a", &held);
    CHECK_INT(held.count, 1);
    CHECK_INT(held.pending, 1);
    CHECK(held.number == grant.number);
    CHECK_INT(TAKE_OWN("b", &x, 5), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("b", &x, 5), AUTH_QUOTA_OK);
    CHECK_INT(TAKE_OWN("b", &x, 5), AUTH_QUOTA_SOURCE); /* what was refused is not pending either */
    quota_held(q, "b", &held);
    CHECK_INT(held.pending, 2);
    for (int i = 0; i < 2; i++) {
        quota_settle(q, "b");
        CHECK(quota_give(q, &(struct auth_share){"b", &x, 0}));
    }
    quota_settle(q, "a");
    CHECK(quota_give(q, &(struct auth_share){"a", &x, 0}));
    CHECK(quota_give(q, &(struct auth_share){"a", &x, 0}));
    quota_held(q, "a", &held);
    CHECK_INT(held.count + held.pending, 0);
    CHECK(held.number > grant.number);
    DOWN();
}

/* An owner may have a token with a limit and one without: he is told of until nothing of him is left. */
static void limited_and_not(void)
{
    struct addr x = source("192.0.2.1");
    struct auth_held held;

    UP(0);
    quota_ask(q);
    CHECK_INT(TAKE_OWN("a", &x, 10), AUTH_QUOTA_OK);
    quota_settle(q, "a");
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    CHECK_INT(grant.limit, 0); /* nobody is asked about it */
    CHECK_INT(limited("a"), 1);
    quota_held(q, "a", &held);
    CHECK_INT(held.count, 2);
    CHECK_INT(held.pending, 0);
    CHECK(quota_give(q, &(struct auth_share){"a", &x, 0}));
    CHECK(quota_give(q, &(struct auth_share){"a", &x, 0}));
    CHECK_INT(TAKE("a", &x), AUTH_QUOTA_OK);
    CHECK_INT(limited("a"), 0);
    CHECK(!quota_give(q, &(struct auth_share){"a", &x, 0}));
    DOWN();
}

enum { THREADS = 4, ROUNDS = 5000 };
static _Atomic int over;

static void *churn(void *arg)
{
    int id = (int)(intptr_t)arg;
    char owner[16];
    struct addr x = {.family = ADDR_V4, .ip = {192, 0, 2, 0}};
    struct auth_share share = {owner, &x, 5};
    struct auth_grant mine;

    for (int i = 0; i < ROUNDS; i++) {
        snprintf(owner, sizeof(owner), "u%d", (i + id) % 7);
        x.ip[3] = (uint8_t)(i % 5);
        if (quota_take(q, &share, &none, &mine) != AUTH_QUOTA_OK)
            continue;
        if (quota_total(q) > 3)
            over++;
        quota_give(q, &share);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];

    UP(.user = 1, .source = 2, .total = 3, .bps = 15);
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&t[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    CHECK_INT(over, 0);
    CHECK_INT(TAKE_BPS(&(struct addr){.family = ADDR_V4}, 15), AUTH_QUOTA_OK); /* nothing is set aside any more */
    GIVE_BPS(&(struct addr){.family = ADDR_V4}, 15);
    DOWN();
}

/* ---- Questions of several workers while a reload replaces whom they ask for. ---- */

enum { RELOADS = 500 };
static atomic_bool reloaded;

struct asker {
    struct auth *auth;
    unsigned worker;
    uint64_t asked, unknown; /* what was answered with a user's keys, and what was not */
};

static void *ask_on(void *arg)
{
    struct asker *me = arg;
    struct stun_mac *mac = NULL;
    struct auth_answer answer;
    struct auth_ticket *ticket;

    if (stun_mac_new(&mac))
        return NULL;
    do {
        struct auth_request question = {.user = "alice", .wall = 1800000000, .mac = mac, .worker = me->worker};

        me->asked++;
        me->unknown += auth_check(me->auth, &question, &answer, NULL, NULL, &ticket) != AUTH_OK || answer.nkeys != 1;
    } while (!atomic_load(&reloaded));
    stun_mac_free(&mac);
    return NULL;
}

static void questions_and_reloads(void)
{
    static const struct auth_config CONFIG = {.realm = "r"};
    struct asker askers[THREADS];
    pthread_t thread[THREADS];
    struct auth *a = NULL, *fresh = NULL;
    uint64_t asked = 0, unknown = 0;
    int err = 0;

    CHECK_INT(auth_new(&a, &CONFIG), 0);
    CHECK_INT(auth_add_user(a, "alice", "old"), 0);
    atomic_store(&reloaded, false);
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.auth = a, .worker = i};
        CHECK_INT(pthread_create(&thread[i], NULL, ask_on, &askers[i]), 0);
    }
    for (int i = 0; i < RELOADS && !err; i++) {
        err = auth_new(&fresh, &CONFIG);
        if (!err)
            err = auth_add_user(fresh, "alice", "new");
        if (!err)
            auth_replace(a, &fresh);
    }
    atomic_store(&reloaded, true);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        asked += askers[i].asked;
        unknown += askers[i].unknown;
    }
    CHECK_INT(err, 0);
    CHECK(asked > 0);
    CHECK_INT(unknown, 0);
    auth_free(&a);
}

static void limit(const char *owner, uint32_t allocations, uint64_t bps)
{
    CHECK_INT(quota_limit_owner(q, owner, &(struct auth_limits){.allocations = allocations, .bps = bps}), 0);
}

static void of_owner(void)
{
    struct addr x = source("192.0.2.1");

    UP(.user = 3);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    limit("acme", 2, 1000); /* with the next one */
    CHECK_INT(atomic_load(&grant.bandwidth->bps), 1000);
    CHECK_INT(TAKE("other", &x), AUTH_QUOTA_OK);
    CHECK_INT(grant.limit, 3);
    CHECK_INT(atomic_load(&grant.bandwidth->bps), 0);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    CHECK_INT(grant.limit, 2);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_USER);
    CHECK_INT(TAKE_OWN("acme", &x, 9), AUTH_QUOTA_USER); /* a credential's own limit is no way around it */
    limit("acme", 9, 0);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK); /* nor it around the configuration's */
    CHECK_INT(grant.limit, 3);
    CHECK_INT(atomic_load(&grant.bandwidth->bps), 0);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_USER);
    GIVE("acme", &x);
    GIVE("acme", &x);
    GIVE("acme", &x);
    limit("acme", 1, 7); /* while he holds nothing */
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    CHECK_INT(atomic_load(&grant.bandwidth->bps), 7);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_USER);
    limit("acme", 0, 0);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    GIVE("acme", &x);
    GIVE("acme", &x);
    GIVE("other", &x);
    DOWN();
}

static size_t visited;

static void count_owner(void *ctx, const char *owner)
{
    (void)ctx;
    visited += strcmp(owner, "acme") == 0;
}

static void owners_rounds(void)
{
    struct addr x = source("192.0.2.1");

    UP(.user = 0);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    limit("acme", 1, 0);
    limit("gone", 1, 0);
    for (unsigned i = 0; i < AUTH_QUOTA_PARTS; i++)
        quota_each(q, i, count_owner, NULL);
    CHECK_INT(visited, 1); /* a fleet is told of him from now on */
    quota_owners_begin(q);
    limit("acme", 2, 0);
    quota_owners_end(q);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("acme", &x), AUTH_QUOTA_USER);
    CHECK_INT(TAKE("gone", &x), AUTH_QUOTA_OK);
    CHECK_INT(TAKE("gone", &x), AUTH_QUOTA_OK);
    GIVE("acme", &x);
    GIVE("acme", &x);
    GIVE("gone", &x);
    CHECK(!GIVE("gone", &x)); /* he has no limit any more */
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C48 quota by user", by_user},
    {"C48 a credential's own limit narrows the quota", own_limit},
    {"S21 quota by source", by_source},
    {"S21 quota in all", in_all},
    {"S21 bandwidth that all together may set aside", capacity},
    {"a refusal takes nothing", refusal_takes_nothing},
    {"S21 one bandwidth by user", one_bandwidth},
    {"what a fleet is told of an owner's allocations", for_a_fleet},
    {"C48 a token without a limit does not hide what its owner holds by another", limited_and_not},
    {"new limits are in force at once, and take nothing away", new_limits},
    {"F18 workers ask while reloads replace the users: no question misses them", questions_and_reloads},
    {"quotas from several threads come back to zero", threads},
    {"S21 an owner's own limit holds for whatever credential, beside the configuration's, from the next one on", of_owner},
    {"owners' limits that are not told again are taken back", owners_rounds},
};

TAP_MAIN(TESTS)
