/* Two clients of this server who relay to each other (C83): on one worker and across two, over UDP and streams, under local and
 * advertised names. Both sides' permissions and limits hold, and both sides count. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/alloc.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;
static char to_alice[64], to_bob[64]; /* their relayed addresses, as text */

static const char *text_of(char *out, const char *ip, const struct addr *relayed)
{
    snprintf(out, 64, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, relayed->port);
    return out;
}

/* Both have an allocation: bob on the last worker. */
static bool up(const struct fake_options *o, enum transport at, enum transport bt)
{
    char ip[ADDR_TEXT_MAX];

    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", at);
    client_init(&bob, &net, net.workers - 1, "11.2.2.2:4000", bt);
    client_be_bob(&bob);
    if (client_allocate(&alice) || client_allocate(&bob))
        return false;
    text_of(to_alice, addr_ip_text(&alice.relayed[0], ip), &alice.relayed[0]);
    text_of(to_bob, addr_ip_text(&bob.relayed[0], ip), &bob.relayed[0]);
    return true;
}

#define UP_UDP(...) CHECK(up(&(struct fake_options){__VA_ARGS__}, TRANSPORT_UDP, TRANSPORT_UDP))

/* What alice sends to bob arrives, and nothing of it at anybody else's. */
static bool crosses(struct client *from, uint16_t out, const char *to, struct client *at, uint16_t in, const char *as,
                    const char *data)
{
    size_t len = strlen(data);
    bool got;

    if (out)
        client_channel(from, out, data, len, 0xb8);
    else
        client_say(from, to, data, len);
    fake_run(&net);
    got = client_got(at, as, in, data, len);
    return got && fake_untaken(&net) == 0;
}

static bool both_ways(const char *peer_of_alice, const char *peer_of_bob)
{
    static const char *const DATA[] = {"", "x", "four", "odd length",
                                       "a payload of some length, so that a header in front of it has to move"};

    for (size_t i = 0; i < sizeof(DATA) / sizeof(DATA[0]); i++) /* Send to Data */
        if (!crosses(&alice, 0, peer_of_alice, &bob, 0, peer_of_bob, DATA[i]) ||
            !crosses(&bob, 0, peer_of_bob, &alice, 0, peer_of_alice, DATA[i]))
            return false;
    if (client_bind(&alice, 0x4000, peer_of_alice)) /* one side with a channel: channel to Data, Send to channel */
        return false;
    for (size_t i = 0; i < sizeof(DATA) / sizeof(DATA[0]); i++)
        if (!crosses(&alice, 0x4000, NULL, &bob, 0, peer_of_bob, DATA[i]) ||
            !crosses(&bob, 0, peer_of_bob, &alice, 0x4000, peer_of_alice, DATA[i]))
            return false;
    if (client_bind(&bob, 0x5000, peer_of_bob)) /* both */
        return false;
    for (size_t i = 0; i < sizeof(DATA) / sizeof(DATA[0]); i++)
        if (!crosses(&alice, 0x4000, NULL, &bob, 0x5000, peer_of_bob, DATA[i]) ||
            !crosses(&bob, 0x5000, NULL, &alice, 0x4000, peer_of_alice, DATA[i]))
            return false;
    return true;
}

static bool permit_both(const char *peer_of_alice, const char *peer_of_bob)
{
    return client_permit(&alice, peer_of_alice) == 0 && client_permit(&bob, peer_of_bob) == 0;
}

static void paths(unsigned workers)
{
    for (int a = 0; a < 2; a++) {
        for (int b = 0; b < 2; b++) {
            CHECK(up(&(struct fake_options){.workers = workers}, a ? TRANSPORT_TCP : TRANSPORT_UDP,
                     b ? TRANSPORT_TCP : TRANSPORT_UDP));
            CHECK(permit_both(to_bob, to_alice));
            CHECK(both_ways(to_bob, to_alice));
            CHECK_INT(fake_count(&net, COUNT_SPLICE_LOCAL), workers == 1 ? 30 : 0);
            CHECK_INT(fake_count(&net, COUNT_SPLICE_OUT), workers == 1 ? 0 : 30);
            CHECK_INT(fake_count(&net, COUNT_SPLICE_IN), workers == 1 ? 0 : 30);
        }
    }
    DOWN();
}

static void one_worker(void)
{
    paths(1);
}

static void two_workers(void)
{
    paths(2);
}

static void took_part(void)
{
    UP_UDP(.workers = 2);
    CHECK(permit_both(to_bob, to_alice));
    CHECK_INT(ports_owner(net.ports, 0, alice.relayed[0].port), 0);
    CHECK_INT(ports_owner(net.ports, 0, bob.relayed[0].port), 1);
    client_say(&alice, to_bob, "x", 1);
    CHECK_INT(fake_untaken(&net), 0); /* the owner has not looked into its ring yet */
    CHECK_INT(count_read(&net.worker[0].counters, COUNT_SPLICE_OUT), 1);
    CHECK_INT(fake_run(&net), 1);
    CHECK_INT(count_read(&net.worker[1].counters, COUNT_SPLICE_IN), 1);
    struct fake_sent *s = fake_take_client(&net, &bob.path);
    CHECK(s && s->worker == 1);
    DOWN();
}

static void ipv6(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct client *both[2] = {&alice, &bob};
        char ip[ADDR_TEXT_MAX];

        fake_up(&net, &(struct fake_options){.workers = workers, .relays = {"9.9.9.9", "2a09::9"}});
        client_init(&alice, &net, 0, "[2a11::1]:4000", TRANSPORT_UDP);
        client_init(&bob, &net, workers - 1, "[2a11::2]:4000", TRANSPORT_TCP);
        for (int i = 0; i < 2; i++) {
            CHECK_INT(client_greet(both[i]), 401);
            client_begin_allocate(both[i]);
            stun_put_u32(&both[i]->o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, 2U << 24);
            CHECK_INT(client_finish_allocate(both[i]), 0);
            text_of(i ? to_bob : to_alice, addr_ip_text(&both[i]->relayed[0], ip), &both[i]->relayed[0]);
        }
        CHECK(permit_both(to_bob, to_alice));
        CHECK(both_ways(to_bob, to_alice));
    }
    DOWN();
}

/* 1:1 NAT: whoever names the other by the local or the advertised address sees him under the same kind of name; mixed works, too. */
static void names(void)
{
    static const char *const IPS[] = {"10.0.0.9", "9.9.9.9"};

    for (unsigned workers = 1; workers <= 2; workers++) {
        for (int a = 0; a < 2; a++) {
            for (int b = 0; b < 2; b++) {
                UP_UDP(.workers = workers, .relays = {"10.0.0.9=9.9.9.9"});
                CHECK_INT(alice.relayed[0].ip[0], 9);
                text_of(to_bob, IPS[a], &bob.relayed[0]);
                text_of(to_alice, IPS[b], &alice.relayed[0]);
                CHECK(permit_both(to_bob, to_alice));
                CHECK(both_ways(to_bob, to_alice));
            }
        }
    }
    DOWN();
}

/* A permission for both names: the one that mirrors the sender's choice goes first. */
static void mirror(void)
{
    char local[64], advertised[64];

    UP_UDP(.workers = 2, .relays = {"10.0.0.9=9.9.9.9"});
    CHECK(permit_both("9.9.9.9", "9.9.9.9"));
    CHECK(permit_both("10.0.0.9", "10.0.0.9"));
    text_of(local, "10.0.0.9", &bob.relayed[0]);
    text_of(advertised, "9.9.9.9", &bob.relayed[0]);
    text_of(to_alice, "10.0.0.9", &alice.relayed[0]);
    CHECK(crosses(&alice, 0, local, &bob, 0, to_alice, "x"));
    text_of(to_alice, "9.9.9.9", &alice.relayed[0]);
    CHECK(crosses(&alice, 0, advertised, &bob, 0, to_alice, "x"));
    CHECK_INT(client_bind(&alice, 0x4001, advertised), 0);
    CHECK(crosses(&alice, 0x4001, NULL, &bob, 0, to_alice, "x"));
    text_of(to_alice, "10.0.0.9", &alice.relayed[0]);
    CHECK_INT(client_bind(&alice, 0x4000, local), 0);
    CHECK(crosses(&alice, 0x4000, NULL, &bob, 0, to_alice, "x"));
    DOWN();
}

static void both_permissions(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        UP_UDP(.workers = workers);
        client_say(&alice, to_bob, "x", 1); /* nobody's */
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 0);
        CHECK_INT(client_permit(&bob, to_alice), 0);
        client_say(&alice, to_bob, "x", 1); /* the receiver's alone */
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 0);
        client_say(&bob, to_alice, "x", 1); /* the sender's alone */
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 1);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_DOWN), 0);
        CHECK_INT(fake_count(&net, DROP_NO_PERMISSION), 3);
        CHECK_INT(client_permit(&alice, to_bob), 0);
        CHECK(crosses(&alice, 0, to_bob, &bob, 0, to_alice, "x"));
        fake_clock(&net, 300000); /* both have expired; a channel of the sender's is no permission of the receiver's */
        CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
        client_channel(&alice, 0x4000, "x", 1, 0);
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
    }
    DOWN();
}

static void both_count(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        UP_UDP(.workers = workers);
        CHECK(permit_both(to_bob, to_alice));
        for (int i = 0; i < 5; i++)
            CHECK(crosses(&alice, 0, to_bob, &bob, 0, to_alice, "seven b"));
        CHECK_INT(count_read(&net.worker[0].counters, COUNT_PACKETS_UP), 5);
        CHECK_INT(count_read(&net.worker[0].counters, COUNT_BYTES_UP), 35);
        CHECK_INT(count_read(&net.worker[workers - 1].counters, COUNT_PACKETS_DOWN), 5);
        CHECK_INT(count_read(&net.worker[workers - 1].counters, COUNT_BYTES_DOWN), 35);
        CHECK_INT(fake_count(&net, COUNT_PACKETS_UP) + fake_count(&net, COUNT_PACKETS_DOWN), 10);
        struct alloc *a = alloc_find(fake_shard(&net, 0), &alice.path), *b = alloc_find(fake_shard(&net, workers - 1), &bob.path);
        CHECK(a && a->packets_up == 5 && a->bytes_up == 35 && a->packets_down == 0);
        CHECK(b && b->packets_down == 5 && b->bytes_down == 35 && b->packets_up == 0);
    }
    DOWN();
}

/* The bandwidth of each side limits. */
static void both_limits(void)
{
    static uint8_t kilo[1000];
    int n = 0;

    UP_UDP(.workers = 2, .settings = {.max_bps = 800000});
    CHECK(permit_both(to_bob, to_alice));
    for (int i = 0; i < 120; i++)
        client_say(&alice, to_bob, kilo, sizeof(kilo));
    fake_run(&net);
    while (fake_take_client(&net, &bob.path))
        n++;
    CHECK_INT(n, 100);
    fake_clock(&net, 1000);
    fake_shard(&net, 1)->now.ms -= 1000; /* bob's bucket has not filled: his side limits now */
    for (int i = 0; i < 5; i++)
        client_say(&alice, to_bob, kilo, sizeof(kilo));
    fake_run(&net);
    CHECK(!fake_take_client(&net, &bob.path));
    CHECK_INT(count_read(&net.worker[1].counters, DROP_BANDWIDTH), 5);
    DOWN();
}

static void dead_port(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        UP_UDP(.workers = workers);
        CHECK(permit_both(to_bob, to_alice));
        CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
        CHECK(crosses(&alice, 0x4000, NULL, &bob, 0, to_alice, "x"));
        client_channel(&alice, 0x4000, "late", 4, 0); /* on its way when bob ends */
        if (workers == 1)
            CHECK(client_got(&bob, to_alice, 0, "late", 4));
        CHECK_INT(client_refresh(&bob, 0), 0);
        fake_run(&net);
        client_channel(&alice, 0x4000, "x", 1, 0);
        client_say(&alice, to_bob, "x", 1);
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0); /* not to the wire either: our own address is denied but for live ports */
        CHECK_INT(fake_count(&net, DROP_NO_ALLOCATION), workers - 1);
        CHECK_INT(fake_count(&net, DROP_POLICY), 2);
    }
    DOWN();
}

/* The port lives again, with somebody who has given alice no permission. */
static void reborn_port(void)
{
    UP_UDP(.workers = 2, .port_min = 50000, .port_max = 50001);
    CHECK(permit_both(to_bob, to_alice));
    CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
    CHECK_INT(client_refresh(&bob, 0), 0);
    CHECK_INT(client_allocate(&bob), 0);
    client_channel(&alice, 0x4000, "x", 1, 0);
    fake_run(&net);
    CHECK_INT(fake_untaken(&net), 0);
    CHECK_INT(count_read(&net.worker[1].counters, DROP_NO_PERMISSION), 1);
    CHECK_INT(client_permit(&bob, to_alice), 0);
    CHECK(crosses(&alice, 0x4000, NULL, &bob, 0, to_alice, "x"));
    DOWN();
}

static void ring_full(void)
{
    UP_UDP(.workers = 2);
    CHECK(permit_both(to_bob, to_alice));
    net.ring_full = true;
    for (int i = 0; i < 3; i++)
        client_say(&alice, to_bob, "x", 1);
    CHECK_INT(fake_run(&net), 0);
    CHECK_INT(fake_count(&net, DROP_RING_FULL), 3);
    CHECK_INT(fake_count(&net, COUNT_SPLICE_OUT), 0);
    net.ring_full = false;
    CHECK(crosses(&alice, 0, to_bob, &bob, 0, to_alice, "x"));
    DOWN();
}

/* To one's own relayed address. */
static void to_oneself(void)
{
    UP_UDP(0);
    CHECK_INT(client_permit(&alice, to_alice), 0);
    CHECK(crosses(&alice, 0, to_alice, &alice, 0, to_alice, "x"));
    CHECK_INT(client_bind(&alice, 0x4000, to_alice), 0);
    CHECK(crosses(&alice, 0x4000, NULL, &alice, 0x4000, to_alice, "echo"));
    DOWN();
}

/* DSCP and ECN cross, too. */
static void tos(void)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct fake_sent *s;

        UP_UDP(.workers = workers);
        CHECK(permit_both(to_bob, to_alice));
        CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
        client_channel(&alice, 0x4000, "x", 1, 0xb9);
        fake_run(&net);
        s = fake_take_client(&net, &bob.path);
        CHECK(s && s->tos == 0xb9);
    }
    DOWN();
}

/* The longest frame of a stream, to a side that can take it in a channel and to one that cannot in an indication. */
static void longest(void)
{
    static uint8_t longest_frame[65535];

    for (unsigned workers = 1; workers <= 2; workers++) {
        CHECK(up(&(struct fake_options){.workers = workers}, TRANSPORT_TCP, TRANSPORT_TCP));
        CHECK(permit_both(to_bob, to_alice));
        CHECK_INT(client_bind(&alice, 0x4000, to_bob), 0);
        client_channel(&alice, 0x4000, longest_frame, sizeof(longest_frame), 0);
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
        CHECK_INT(fake_count(&net, DROP_TRUNCATED), 1);
        CHECK_INT(client_bind(&bob, 0x4000, to_alice), 0);
        client_channel(&alice, 0x4000, longest_frame, sizeof(longest_frame), 0);
        fake_run(&net);
        CHECK(client_got(&bob, to_alice, 0x4000, longest_frame, sizeof(longest_frame)));
    }
    DOWN();
}

/* Two relay addresses: the one that the peer's name is counts, not the sender's. */
static void two_addresses(void)
{
    UP_UDP(.workers = 2, .relays = {"9.9.9.9", "9.9.9.10"}, .port_min = 50000, .port_max = 50001);
    bob.path.server = fake_addr("9.9.9.10:3478");
    bob.nonce_len = 0;
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(bob.relayed[0].ip[3], 10);
    text_of(to_bob, "9.9.9.10", &bob.relayed[0]);
    CHECK(permit_both(to_bob, to_alice));
    CHECK(both_ways(to_bob, to_alice));
    DOWN();
}

/* A credential with peers of its own reaches, and is reached by, the relayed addresses that it lists. */
static void own_peers(void)
{
    static struct client carol;
    char to_carol[64], peers[64], ip[ADDR_TEXT_MAX];

    for (unsigned workers = 1; workers <= 2; workers++) {
        UP_UDP(.workers = workers, .async = true);
        snprintf(peers, sizeof(peers), "%.32s/udp", to_alice);
        net.async_status = AUTH_OK;
        net.async_peers = peers;
        client_init(&carol, &net, 0, "11.3.3.3:4000", TRANSPORT_UDP);
        carol.user = "carol";
        carol.password = "x";
        CHECK_INT(client_allocate(&carol), 0);
        text_of(to_carol, addr_ip_text(&carol.relayed[0], ip), &carol.relayed[0]);
        CHECK_INT(client_bind(&carol, 0x4001, to_bob), 403);
        CHECK_INT(client_bind(&carol, 0x4000, to_alice), 0);
        CHECK(permit_both(to_carol, to_carol));
        CHECK(crosses(&carol, 0x4000, NULL, &alice, 0, to_carol, "x"));
        CHECK(crosses(&alice, 0, to_carol, &carol, 0x4000, to_alice, "x"));
        CHECK_INT(fake_count(&net, DROP_POLICY), 0);
        client_say(&bob, to_carol, "x", 1); /* the permission is for the address, and so for bob's port, too */
        client_say(&carol, to_bob, "x", 1);
        fake_run(&net);
        CHECK_INT(fake_untaken(&net), 0);
        CHECK_INT(fake_count(&net, DROP_POLICY), 2);
    }
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C83 splice: one worker, UDP and streams, channels and indications", one_worker},
    {"C83 splice: two workers, UDP and streams, channels and indications", two_workers},
    {"C83 splice: both workers take part", took_part},
    {"C83 splice: IPv6", ipv6},
    {"C83 splice: local and advertised names", names},
    {"C83 splice: the receiver sees the sender as he was named himself", mirror},
    {"C83 C59 splice: the permissions of both sides are asked", both_permissions},
    {"C83 splice: both sides count", both_count},
    {"C83 S21 splice: the bandwidth of both sides limits", both_limits},
    {"C54 C83 splice: a dead port gets nothing", dead_port},
    {"C83 splice: a port that lives again is another allocation", reborn_port},
    {"C83 splice: a full ring drops and counts", ring_full},
    {"C83 splice: to one's own relayed address", to_oneself},
    {"C69 C83 splice: DSCP and ECN", tos},
    {"C83 splice: the longest frames", longest},
    {"C83 splice: two relay addresses", two_addresses},
    {"C83 splice: a credential's own peers, on both sides", own_peers},
};

TAP_MAIN(TESTS)
