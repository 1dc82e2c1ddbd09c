/* What relay/ does at its edges: payloads of any size, bandwidth, sends that fail, and what is left after everything (S10). */
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

#define PEER  "5.6.7.8:9"
#define PEER6 "[2a05::8]:9"

static uint8_t bytes[65536];

/* A datagram may be so long that no Data indication can hold it: dropped and counted. */
static void long_payloads(void)
{
    static const size_t LENGTHS[] = {65400, 65499, 65500, 65507, 65508, 65516, 65519, 65520, 65523, 65524, 65527, 65528, 65535};

    UP(.relays = {"9.9.9.9", "2a09::9"});
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31);
    alice.path.transport = TRANSPORT_TCP;
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK_INT(client_permit(&alice, PEER6), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.9:9"), 0);
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        size_t len = LENGTHS[i], padded = (len + 3) & ~(size_t)3;
        uint64_t dropped = fake_count(&net, DROP_TRUNCATED);
        bool fits4 = padded + 16 <= 65535, fits6 = padded + 28 <= 65535;

        fake_from_peer(&net, &alice.relayed[0], PEER, bytes, len, 0);
        CHECK_INT(client_got(&alice, PEER, 0, bytes, len), fits4);
        fake_from_peer(&net, &alice.relayed[1], PEER6, bytes, len, 0);
        CHECK_INT(client_got(&alice, PEER6, 0, bytes, len), fits6);
        CHECK_INT(fake_count(&net, DROP_TRUNCATED) - dropped, !fits4 + !fits6);
        fake_from_peer(&net, &alice.relayed[0], "5.6.7.9:9", bytes, len, 0);
        CHECK(client_got(&alice, "5.6.7.9:9", 0x4000, bytes, len));
        client_channel(&alice, 0x4000, bytes, len, 0);
        CHECK(client_sent(&alice, "5.6.7.9:9", bytes, len));
    }
    DOWN();
}

/* How many kilobytes the client gets through at once. */
static unsigned drain_up(struct client *c)
{
    unsigned n = 0;

    while (n < 1000) {
        client_channel(c, 0x4000, bytes, 1000, 0);
        if (!client_sent(c, PEER, bytes, 1000))
            break;
        n++;
    }
    return n;
}

/* Bits a second by user: what all of his allocations on all workers share, each direction for itself. */
static void user_bandwidth(void)
{
    struct client second;

    UP(.workers = 2, .settings = {.max_bps = 1600000, .user_max_bps = 800000});
    client_init(&second, &net, 1, "11.1.1.1:4001", TRANSPORT_UDP);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&second), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&second, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&bob, 0x4000, PEER), 0);
    fake_clock(&net, 2000);
    client_channel(&second, 0x4000, bytes, 1000, 0);
    CHECK(client_sent(&second, PEER, bytes, 1000));
    CHECK_INT(drain_up(&alice), 99);
    CHECK_INT(drain_up(&second), 0);
    CHECK_INT(drain_up(&bob), 100);
    fake_from_peer(&net, &second.relayed[0], PEER, bytes, 1000, 0); /* down is another bucket */
    CHECK(client_got(&second, PEER, 0x4000, bytes, 1000));
    CHECK_INT(fake_count(&net, DROP_BANDWIDTH_USER), 3);
    CHECK_INT(fake_count(&net, DROP_BANDWIDTH), 0);
    fake_clock(&net, 10);
    CHECK_INT(drain_up(&second), 1);
    fake_shard(&net, 1)->settings.user_max_bps = 0; /* a reload */
    CHECK_INT(drain_up(&second), 198);              /* what its own bucket still holds */
    CHECK_INT(fake_count(&net, DROP_BANDWIDTH), 1);
    DOWN();
}

/* A credential's own limit, where it is the lower one: of its packets, and of what it sets aside. */
static void own_bandwidth(void)
{
    struct client second;
    unsigned in;

    UP(.async = true, .settings = {.max_bps = 1600000, .user_max_bps = 1600000}, .auth = {.bps_capacity = 2000000});
    net.async_status = AUTH_OK;
    net.async_bps = 800000;
    client_init(&second, &net, 0, "11.1.1.1:4001", TRANSPORT_UDP);
    alice.user = second.user = "carol";
    alice.password = second.password = "x";
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(client_allocate(&second), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    fake_clock(&net, 2000);
    CHECK_INT(drain_up(&alice), 100);
    for (in = 0; in < 1000; in++) {
        fake_from_peer(&net, &alice.relayed[0], PEER, bytes, 1000, 0);
        if (!client_got(&alice, PEER, 0x4000, bytes, 1000))
            break;
    }
    CHECK_INT(in, 100);
    CHECK_INT(fake_count(&net, DROP_BANDWIDTH_USER), 2);
    DOWN();
}

/* What is set aside comes back; who lives keeps his share. */
static void capacity(void)
{
    UP(.settings = {.max_bps = 600}, .auth = {.bps_capacity = 1000});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK_INT(fake_count(&net, REFUSED_CAPACITY), 1);
    fake_shard(&net, 0)->settings.max_bps = 400; /* a reload */
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    fake_shard(&net, 0)->settings.max_bps = 601;
    CHECK_INT(client_allocate(&alice), 508);
    fake_shard(&net, 0)->settings.max_bps = 600;
    CHECK_INT(client_allocate(&alice), 0);
    DOWN();
}

/* Nothing is relayed for free, in no direction, and by no bucket. */
static void bandwidth_of_small_packets(void)
{
    static const struct relay_settings SETTINGS[] = {{.max_bps = 800000}, {.user_max_bps = 800000}};
    unsigned out, in, many = 100000 / BANDWIDTH_PACKET_MIN; /* in a second's worth */

    for (size_t i = 0; i < sizeof(SETTINGS) / sizeof(SETTINGS[0]); i++) {
        for (size_t len = 0; len <= BANDWIDTH_PACKET_MIN; len += 7) {
            UP(.settings = SETTINGS[i]);
            CHECK_INT(client_allocate(&alice), 0);
            CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
            for (out = 0; out <= many; out++) {
                client_channel(&alice, 0x4000, bytes, len, 0);
                if (!client_sent(&alice, PEER, bytes, len))
                    break;
            }
            CHECK_INT(out, many);
            for (in = 0; in <= many; in++) {
                fake_from_peer(&net, &alice.relayed[0], PEER, bytes, len, 0);
                if (!client_got(&alice, PEER, 0x4000, bytes, len))
                    break;
            }
            CHECK_INT(in, many);
            DOWN();
        }
    }
}

/* Bits a second by allocation, each direction for itself. */
static void bandwidth(void)
{
    unsigned out, in;

    UP(.settings = {.max_bps = 800000});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&bob, 0x4000, PEER), 0);
    fake_clock(&net, 2000);
    for (out = 0; out < 1000; out++) {
        client_channel(&alice, 0x4000, bytes, 1000, 0);
        if (!client_sent(&alice, PEER, bytes, 1000))
            break;
    }
    CHECK_INT(out, 100); /* a second's worth at once */
    for (in = 0; in < 1000; in++) {
        fake_from_peer(&net, &alice.relayed[0], PEER, bytes, 1000, 0);
        if (!client_got(&alice, PEER, 0x4000, bytes, 1000))
            break;
    }
    CHECK_INT(in, 100);
    CHECK_INT(fake_count(&net, DROP_BANDWIDTH), 2);
    CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 100);
    CHECK_INT(fake_count(&net, COUNT_PACKETS_DOWN), 100);
    client_channel(&bob, 0x4000, bytes, 1000, 0); /* nobody else pays for it */
    CHECK(client_sent(&bob, PEER, bytes, 1000));
    client_say(&alice, PEER, bytes, 1000);
    CHECK(!fake_take_peer(&net));
    fake_clock(&net, 10);
    client_say(&alice, PEER, bytes, 1000);
    CHECK(client_sent(&alice, PEER, bytes, 1000));
    client_say(&alice, PEER, bytes, 1000);
    CHECK(!fake_take_peer(&net));
    fake_shard(&net, 0)->settings.max_bps = 1600000; /* a reload */
    CHECK_INT(drain_up(&alice), 200);
    UP(.settings = {.max_bps = 8000}); /* a low limit is no limit to the size of a packet */
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    client_channel(&alice, 0x4000, bytes, 65000, 0);
    CHECK(client_sent(&alice, PEER, bytes, 65000));
    client_channel(&alice, 0x4000, bytes, 1000, 0);
    CHECK(!fake_take_peer(&net));
    DOWN();
}

/* F11: a send that fails is counted, and nothing else happens. */
static void sends_fail(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    net.fail_peer_send = ERR_AGAIN;
    client_channel(&alice, 0x4000, "x", 1, 0);
    CHECK_INT(fake_count(&net, DROP_PEER_SEND), 1);
    net.fail_client_send = ERR_AGAIN;
    fake_from_peer(&net, &alice.relayed[0], PEER, "x", 1, 0);
    CHECK_INT(fake_count(&net, DROP_CLIENT_SEND), 1);
    CHECK_INT(client_refresh(&alice, 600), NO_ANSWER);
    CHECK_INT(fake_count(&net, DROP_CLIENT_SEND), 2);
    net.fail_peer_send = net.fail_client_send = 0;
    client_channel(&alice, 0x4000, "x", 1, 0);
    CHECK(client_sent(&alice, PEER, "x", 1));
    fake_from_peer(&net, &alice.relayed[0], PEER, "x", 1, 0);
    CHECK(client_got(&alice, PEER, 0x4000, "x", 1));
    DOWN();
}

/* A stream that closes takes its allocation with it, at once. */
static void stream_closed(void)
{
    UP(0);
    alice.path.transport = TRANSPORT_TCP;
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_allocate(&bob), 0);
    turn_stream_closed(fake_shard(&net, 0), &alice.path);
    CHECK_INT(fake_in_use(&net), 3); /* bob's */
    CHECK_STR(net.last_detail, "stream closed");
    CHECK(!fake_from_peer(&net, &alice.relayed[0], PEER, "x", 1, 0));
    turn_stream_closed(fake_shard(&net, 0), &alice.path);
    CHECK_INT(client_refresh(&bob, 0), 0);
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* S10: every way for an allocation to end, and every way not to begin, gives everything back. */
static void s10(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"}, .port_min = 50000, .port_max = 50003, .auth = {.user_quota = 3});
    for (unsigned i = 0; i < 400; i++) {
        struct client *c = i % 2 ? &alice : &bob;

        c->path.client.port = (uint16_t)(4000 + i % 7);
        c->path.transport = i % 5 ? TRANSPORT_UDP : TRANSPORT_TCP;
        net.fail_start = i % 11 == 3 ? ERR_IO : 0;
        net.fail_open = i % 13 == 3 ? ERR_MFILE : 0;
        net.fail_open_after = (int)(i % 2);
        client_greet(c);
        client_begin_allocate(c);
        if (i % 3 == 0)
            stun_put(&c->o, STUN_ATTR_EVEN_PORT, i % 2 ? "\x80" : "", 1);
        else
            stun_put_u32(&c->o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
        client_finish_allocate(c);
        client_bind(c, 0x4000, PEER);
        if (i % 4 == 0)
            client_refresh(c, 0);
        if (i % 5 == 0)
            turn_stream_closed(fake_shard(&net, 0), &c->path);
        fake_pass(&net, i % 17 == 0 ? 700000 : 1000);
    }
    CHECK(fake_in_use(&net) > 0);
    CHECK(fake_count(&net, COUNT_ALLOCATIONS_CREATED) > 100);
    fake_pass(&net, 3700000);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_CREATED), fake_count(&net, COUNT_ALLOCATIONS_DELETED));
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"a payload that no Data indication can hold is dropped", long_payloads},
    {"S21 max-bps of an allocation, each direction for itself", bandwidth},
    {"S21 an empty packet costs as much as its headers", bandwidth_of_small_packets},
    {"S21 a credential's own bandwidth, where it is the lower one", own_bandwidth},
    {"S21 user-max-bps: one bandwidth for all allocations of a user, on all workers", user_bandwidth},
    {"S21 bps-capacity: 508 when nothing is left to set aside", capacity},
    {"F11 a send that fails is counted, and nobody is disconnected", sends_fail},
    {"a stream that closes takes its allocation with it", stream_closed},
    {"S10 ports and quotas are back at zero after everything", s10},
};

TAP_MAIN(TESTS)
