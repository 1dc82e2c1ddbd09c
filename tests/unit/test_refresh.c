/* Refresh through relay/, and how allocations end (RFC 8656 section 8). */
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

static void c33(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    bob.path = alice.path;
    CHECK_INT(client_greet(&bob), 401);
    CHECK_INT(client_refresh(&bob, 0), 441);
    CHECK_INT(client_permit(&bob, "5.6.7.8"), 441);
    CHECK_INT(client_bind(&bob, 0x4000, "5.6.7.8:9"), 441);
    CHECK(bob.signed_with);
    CHECK_INT(allocations(), 1);
    CHECK_INT(client_refresh(&alice, 600), 0);
    DOWN();
}

static void c37(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    client_again(&alice, STUN_REQUEST, STUN_REFRESH);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 0);
    CHECK_INT(client_ask(&alice), 437);
    DOWN();
}

static void c54(void)
{
    struct addr dead;

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    dead = alice.relayed[0];
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(client_get_u32(&alice, STUN_ATTR_LIFETIME, 77), 0);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK(!fake_from_peer(&net, &dead, "5.6.7.8:9", "x", 1, 0));
    client_channel(&alice, 0x4000, "x", 1, 0);
    CHECK(!fake_take_peer(&net));
    CHECK_INT(client_allocate(&alice), 0); /* nothing of the old one is left in the new one */
    client_channel(&alice, 0x4000, "x", 1, 0);
    client_say(&alice, "5.6.7.8:9", "x", 1);
    CHECK(!fake_take_peer(&net));
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH); /* no LIFETIME: the default */
    CHECK_INT(client_ask(&alice), 0);
    CHECK_INT(alice.lifetime, 600);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    stun_put(&alice.o, STUN_ATTR_LIFETIME, "\0\0\0", 3);
    CHECK_INT(client_ask(&alice), 400);
    CHECK_INT(allocations(), 1);
    DOWN();
}

static int refresh_family(struct client *c, uint32_t lifetime, uint32_t family)
{
    client_begin(c, STUN_REQUEST, STUN_REFRESH);
    stun_put_u32(&c->o, STUN_ATTR_LIFETIME, lifetime);
    stun_put_u32(&c->o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, family);
    return client_ask(c);
}

static void c55(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(refresh_family(&alice, 600, CLIENT_V6), 443);
    CHECK_INT(refresh_family(&alice, 0, CLIENT_V6), 443);
    CHECK_INT(refresh_family(&alice, 600, 0), 443);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    stun_put(&alice.o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, "\1\0", 2);
    CHECK_INT(client_ask(&alice), 400);
    CHECK_INT(refresh_family(&alice, 600, CLIENT_V4), 0);
    CHECK_INT(refresh_family(&alice, 0, CLIENT_V4), 0);
    CHECK_INT(fake_in_use(&net), 0);

    for (uint32_t gone = CLIENT_V4; gone <= CLIENT_V6; gone += CLIENT_V4) { /* one family of two goes */
        bool v6 = gone == CLIENT_V6;

        CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
        CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
        CHECK_INT(client_bind(&alice, 0x4001, "[2a05::8]:9"), 0);
        CHECK_INT(refresh_family(&alice, 0, gone), 0);
        CHECK_INT(ports_in_use(net.ports), 1);
        CHECK_INT(allocations(), 1);
        CHECK_INT(fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:9", "x", 1, 0), v6);
        CHECK_INT(fake_from_peer(&net, &alice.relayed[1], "[2a05::8]:9", "x", 1, 0), !v6);
        CHECK(client_got(&alice, v6 ? "5.6.7.8:9" : "[2a05::8]:9", v6 ? 0x4000 : 0x4001, "x", 1));
        client_channel(&alice, v6 ? 0x4001 : 0x4000, "x", 1, 0);
        CHECK(!fake_take_peer(&net));
        CHECK_INT(client_permit(&alice, v6 ? "2a05::8" : "5.6.7.8"), 443);
        CHECK_INT(refresh_family(&alice, 600, gone), 443);
        CHECK_INT(client_refresh(&alice, 0), 0);
        CHECK_INT(fake_in_use(&net), 0);
    }
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0); /* each has an end of its own */
    CHECK_INT(refresh_family(&alice, 1800, CLIENT_V6), 0);
    fake_pass(&net, 600000);
    CHECK_INT(ports_in_use(net.ports), 1);
    CHECK(fake_from_peer(&net, &alice.relayed[1], "[2a05::8]:9", "x", 1, 0));
    fake_pass(&net, 1200000);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* What is told is how long anything of the allocation lives: one address may go, or get another end, and the other stays. */
static void told(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    for (uint32_t gone = CLIENT_V4; gone <= CLIENT_V6; gone += CLIENT_V4) {
        CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
        CHECK_INT(net.last_lifetime_s, 600);
        CHECK_INT(refresh_family(&alice, 1800, CLIENT_V6 + CLIENT_V4 - gone), 0);
        CHECK_INT(net.last_lifetime_s, 1800);
        fake_pass(&net, 100000);
        CHECK_INT(refresh_family(&alice, 600, gone), 0);
        CHECK_INT(net.last_lifetime_s, 1700);
        CHECK_INT(refresh_family(&alice, 0, gone), 0);
        CHECK_INT(net.last_lifetime_s, 1700);
        CHECK_INT(net.events[EVENT_ALLOCATION_DELETED], gone / CLIENT_V4 - 1);
        CHECK_INT(client_refresh(&alice, 600), 0);
        CHECK_INT(net.last_lifetime_s, 600);
        CHECK_INT(client_refresh(&alice, 0), 0);
        CHECK_INT(net.events[EVENT_ALLOCATION_DELETED], gone / CLIENT_V4);
    }
    DOWN();
}

/* To the second, and on use: no timer has to fire first. */
static void lifetime(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_allocate_for(&bob, 700), 0);
    fake_clock(&net, 599999);
    client_again(&alice, STUN_REQUEST, STUN_ALLOCATE);
    CHECK_INT(client_refresh(&alice, 600), 0);
    fake_clock(&net, 599999);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    fake_clock(&net, 1);
    CHECK(fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:9", "x", 1, 0)); /* its socket is still open */
    CHECK_INT(fake_count(&net, DROP_NO_ALLOCATION), 1);
    client_channel(&alice, 0x4000, "x", 1, 0);
    client_say(&alice, "5.6.7.8:9", "x", 1);
    CHECK(!fake_take_peer(&net));
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 437);
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:9", "x", 1, 0);
    CHECK(client_quiet(&alice));
    CHECK_INT(client_allocate(&alice), 0);
    fake_pass(&net, 250);
    CHECK_INT(allocations(), 1);
    CHECK_INT(net.events[EVENT_ALLOCATION_DELETED], 2);
    DOWN();
}

/* A Refresh can shorten a life, too; and the timer alone ends it. */
static void shortened(void)
{
    UP(0);
    CHECK_INT(client_allocate_for(&alice, 3600), 0);
    fake_pass(&net, 1000);
    CHECK_INT(client_refresh(&alice, 600), 0);
    fake_pass(&net, 599999);
    CHECK_INT(allocations(), 1);
    fake_pass(&net, WHEEL_TICK_MS);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_STR(net.last_detail, "expired");
    CHECK_INT(net.last_age_ms, 600999 + WHEEL_TICK_MS);
    DOWN();
}

static unsigned binds, ends;

static void offload_bind(void *self, const struct alloc *a, const struct channel *c)
{
    binds += self == &net && a && c;
}

static void offload_end(void *self, const struct alloc *a)
{
    ends += self == &net && a;
}

/* A faster data path is told what is bound, and that it ends before the port is free. */
static void offload(void)
{
    static const struct offload_ops OPS = {.bind = offload_bind, .end = offload_end};

    UP(0);
    binds = ends = 0;
    fake_shard(&net, 0)->offload = &OPS;
    fake_shard(&net, 0)->offload_ctx = &net;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:10"), 400);
    CHECK_INT(binds, 2);
    CHECK_INT(ends, 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(ends, 1);
    DOWN();
}

static void set_wall_clock(int64_t by_s)
{
    fake_clock(&net, 0);
    for (unsigned i = 0; i < net.workers; i++)
        fake_shard(&net, i)->now.wall += by_s;
}

/* F22: who sets the wall clock moves the end of credentials, and of nothing that lives. */
static void clock_set(void)
{
    enum { HOUR = 3600 };
    static struct client eve, late;

    UP(.secrets = {"s"}, .settings = {.max_lifetime_s = HOUR});
    client_init(&eve, &net, 0, "11.3.3.3:4000", TRANSPORT_UDP);
    client_be_rest(&eve, "1800001800:eve", "s"); /* in half an hour */
    client_init(&late, &net, 0, "11.4.4.4:4000", TRANSPORT_UDP);
    client_be_rest(&late, "1799998200:late", "s"); /* half an hour ago */
    CHECK_INT(client_allocate_for(&alice, 600), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    CHECK_INT(client_allocate_for(&eve, HOUR), 0);
    CHECK_INT(eve.lifetime, HOUR / 2); /* up to the end of the credential, by the clock as it was */
    CHECK_INT(client_allocate(&late), 401);
    for (int hours = -1; hours <= 1; hours += 2) {
        set_wall_clock(hours * HOUR);
        shard_tick(fake_shard(&net, 0));
        CHECK_INT(allocations(), 2);
        client_say(&alice, "5.6.7.8:9", "x", 1);
        CHECK(client_sent(&alice, "5.6.7.8:9", "x", 1));
        CHECK_INT(client_refresh(&alice, 600), 0);
        CHECK_INT(alice.lifetime, 600);
        CHECK_INT(client_refresh(&eve, HOUR / 2), hours < 0 ? 0 : 401);
        CHECK_INT(client_allocate(&late), hours < 0 ? 0 : 401);
        if (hours < 0)
            CHECK_INT(client_refresh(&late, 0), 0);
    }
    fake_pass(&net, 599000);
    CHECK_INT(allocations(), 2);
    fake_pass(&net, 1000);
    CHECK_INT(allocations(), 1);
    fake_pass(&net, (HOUR / 2 - 600) * 1000ULL);
    CHECK_INT(allocations(), 0);
    DOWN();
}

/* F23: an hour of suspend is one pass, and everything has ended in it. */
static void suspend(void)
{
    UP(0);
    for (uint16_t i = 0; i < 1000; i++) {
        alice.path.client.port = (uint16_t)(4000 + i);
        alice.nonce_len = 0;
        CHECK_INT(client_allocate_for(&alice, 600 + i), 0);
    }
    CHECK_INT(allocations(), 1000);
    fake_pass(&net, 3600000);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(net.events[EVENT_ALLOCATION_DELETED], 1000);
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_DELETED), 1000);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C33 another user on an existing allocation is 441", c33},
    {"C37 Refresh 0 retransmitted is 437", c37},
    {"C54 Refresh 0 ends everything at once, no LIFETIME means 600", c54},
    {"C55 Refresh by family", c55},
    {"a Refresh of one family is told with the longest life that is left", told},
    {"an allocation ends to the millisecond, on use", lifetime},
    {"C50 a Refresh shortens a life", shortened},
    {"a faster data path is told what is bound and what ends", offload},
    {"F22 a wall clock that is set ends credentials, not allocations", clock_set},
    {"F23 an hour of suspend is one pass", suspend},
};

TAP_MAIN(TESTS)
