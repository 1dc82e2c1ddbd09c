/* Permissions, channels and data through relay/: what passes between a client and its peers, and what doesn't. */
#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
}

#define PEER "5.6.7.8:9"

/* Does a datagram from this peer reach the client, and how many bytes does the client's Send bring to it? */
static bool comes_in(struct client *c, const char *peer)
{
    fake_from_peer(&net, &c->relayed[0], peer, "in", 2, 0);
    return client_got(c, peer, 0, "in", 2);
}

static bool goes_out(struct client *c, const char *peer)
{
    client_say(c, peer, "out", 3);
    return client_sent(c, peer, "out", 3);
}

static bool channel_out(struct client *c, uint16_t number, const char *peer)
{
    client_channel(c, number, "chan", 4, 0);
    return client_sent(c, peer, "chan", 4);
}

static void c53(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(client_refresh(&alice, 600), 437);
    CHECK_INT(client_refresh(&alice, 0), 437);
    CHECK_INT(client_permit(&alice, PEER), 437);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 437);
    CHECK(!goes_out(&alice, PEER));
    CHECK(!channel_out(&alice, 0x4000, PEER));
    CHECK_INT(fake_count(&net, DROP_NO_ALLOCATION), 2);
    CHECK_INT(fake_untaken(&net), 0);
    DOWN();
}

/* Each part of the 5-tuple counts. */
static void c53_tuple(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    for (int part = 0; part < 5; part++) {
        struct path path = alice.path;

        alice.path.client.port = (uint16_t)(path.client.port + (part == 0));
        alice.path.client.ip[3] = (uint8_t)(path.client.ip[3] + (part == 1));
        alice.path.server.port = (uint16_t)(path.server.port + (part == 2));
        alice.path.server.ip[3] = (uint8_t)(path.server.ip[3] + (part == 3));
        alice.path.transport = part == 4 ? TRANSPORT_TCP : TRANSPORT_UDP;
        CHECK_INT(client_greet(&alice), 401);
        CHECK_INT(client_refresh(&alice, 600), 437);
        alice.path = path;
    }
    CHECK_INT(client_greet(&alice), 401);
    CHECK_INT(client_refresh(&alice, 600), 0);
    DOWN();
}

static void c56(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.9:9"), 0);
    for (int s = 0; s < 590; s += 10) { /* busy in all directions */
        bool permitted = s < 300;

        CHECK_INT(goes_out(&alice, PEER), permitted);
        CHECK_INT(comes_in(&alice, PEER), permitted);
        CHECK(channel_out(&alice, 0x4000, "5.6.7.9:9"));
        fake_from_peer(&net, &alice.relayed[0], "5.6.7.9:9", "in", 2, 0);
        CHECK_INT(client_got(&alice, "5.6.7.9:9", 0x4000, "in", 2), permitted);
        fake_pass(&net, 10000);
    }
    fake_pass(&net, 10000);
    CHECK(!channel_out(&alice, 0x4000, "5.6.7.9:9"));
    CHECK_INT(fake_in_use(&net), 0);
    DOWN();
}

/* CreatePermission with these peers; NULL ends them. */
static int permit_all(struct client *c, const char *const *peers)
{
    client_begin(c, STUN_REQUEST, STUN_CREATE_PERMISSION);
    for (; *peers; peers++) {
        struct addr a = **peers ? fake_addr(*peers) : (struct addr){0};

        if (**peers)
            stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &a);
        else
            stun_put(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, "\0\1\0", 3);
    }
    return client_ask(c);
}

#define PERMIT(...) permit_all(&alice, (const char *const[]){__VA_ARGS__, NULL})

static void c57(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(permit_all(&alice, (const char *const[]){NULL}), 400);
    CHECK_INT(PERMIT("5.6.7.1", ""), 400);
    CHECK_INT(PERMIT("", "5.6.7.1"), 400);
    CHECK_INT(PERMIT("5.6.7.1", "2a05::8"), 443);
    CHECK_INT(PERMIT("5.6.7.1", "10.0.0.1"), 403);
    CHECK_INT(PERMIT("10.0.0.1", "5.6.7.1"), 403);
    CHECK_INT(PERMIT("2a05::8", "10.0.0.1"), 403); /* 403 wins over 443, */
    CHECK_INT(PERMIT("fe80::1"), 403);
    CHECK_INT(PERMIT("10.0.0.1", ""), 400); /* and 400 over both */
    CHECK(!goes_out(&alice, "5.6.7.1:9"));
    CHECK(!comes_in(&alice, "5.6.7.1:9"));
    CHECK_INT(PERMIT("5.6.7.1", "5.6.7.2", "5.6.7.3", "5.6.7.1"), 0);
    CHECK(goes_out(&alice, "5.6.7.1:9"));
    CHECK(goes_out(&alice, "5.6.7.2:9"));
    CHECK(goes_out(&alice, "5.6.7.3:9"));
    DOWN();
}

/* As many peers in one request as an allocation can permit; with one more none is installed. */
static void c57_many(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    for (unsigned n = ALLOC_PERMISSIONS_MAX + 1; n >= ALLOC_PERMISSIONS_MAX; n--) {
        client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
        for (unsigned i = 0; i < n; i++)
            stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS,
                              &(struct addr){.family = ADDR_V4, .ip = {5, 7, (uint8_t)(i / 200), (uint8_t)(i % 200)}});
        CHECK_INT(client_ask(&alice), n > ALLOC_PERMISSIONS_MAX ? 400 : 0);
        CHECK_INT(goes_out(&alice, "5.7.0.0:9"), n <= ALLOC_PERMISSIONS_MAX);
    }
    DOWN();
}

static void c58(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK(goes_out(&alice, "5.6.7.8:1")); /* any port of it */
    CHECK(goes_out(&alice, "5.6.7.8:65535"));
    CHECK(comes_in(&alice, "5.6.7.8:1"));
    CHECK(!goes_out(&alice, "5.6.7.9:9"));
    CHECK(!comes_in(&alice, "5.6.7.9:9"));
    fake_clock(&net, 299999);
    CHECK(goes_out(&alice, PEER));
    CHECK(comes_in(&alice, PEER));
    fake_clock(&net, 1);
    CHECK(!goes_out(&alice, PEER));
    CHECK(!comes_in(&alice, PEER));
    CHECK_INT(client_permit(&alice, PEER), 0);
    fake_clock(&net, 200000);
    CHECK_INT(client_permit(&alice, PEER), 0); /* 300 s from here */
    CHECK_INT(client_refresh(&alice, 600), 0);
    fake_clock(&net, 299999);
    CHECK(goes_out(&alice, PEER));
    CHECK(comes_in(&alice, PEER));
    fake_clock(&net, 1);
    CHECK(!goes_out(&alice, PEER));
    CHECK(!comes_in(&alice, PEER));
    DOWN();
}

static void c59(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_permit(&bob, PEER), 0); /* somebody else's permission */
    CHECK(!comes_in(&alice, PEER));
    CHECK_INT(fake_count(&net, DROP_NO_PERMISSION), 1);
    CHECK(comes_in(&bob, PEER));
    CHECK_INT(fake_untaken(&net), 0);
    CHECK_INT(fake_count(&net, COUNT_PACKETS_DOWN), 1);
    CHECK_INT(fake_count(&net, COUNT_BYTES_DOWN), 2);
    DOWN();
}

static void c60(void)
{
    struct addr peer = fake_addr(PEER);

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK(!goes_out(&alice, PEER)); /* no permission: dropped, and none has come of it */
    CHECK(!comes_in(&alice, PEER));
    CHECK_INT(client_permit(&alice, PEER), 0);
    client_begin(&alice, STUN_INDICATION, STUN_SEND);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    CHECK_INT(client_send(&alice), NO_ANSWER);
    client_begin(&alice, STUN_INDICATION, STUN_SEND);
    stun_put(&alice.o, STUN_ATTR_DATA, "x", 1);
    CHECK_INT(client_send(&alice), NO_ANSWER);
    client_begin(&alice, STUN_INDICATION, STUN_SEND);
    stun_put(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, "\0\1\0\0\0\0", 6);
    stun_put(&alice.o, STUN_ATTR_DATA, "x", 1);
    CHECK_INT(client_send(&alice), NO_ANSWER);
    CHECK_INT(fake_count(&net, DROP_MALFORMED), 3);
    CHECK_INT(fake_untaken(&net), 0);
    client_say(&alice, PEER, "", 0);
    CHECK(client_sent(&alice, PEER, "", 0));
    for (size_t len = 1; len < 9; len++) {
        client_say(&alice, PEER, "12345678", len);
        CHECK(client_sent(&alice, PEER, "12345678", len));
    }
    CHECK_INT(fake_count(&net, COUNT_PACKETS_UP), 9);
    CHECK_INT(fake_count(&net, COUNT_BYTES_UP), 36);
    DOWN();
}

/* Each Data indication is a transaction of its own, that nobody can foresee. */
static void transaction_ids(void)
{
    uint8_t ids[8][STUN_TXID_LEN];

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_permit(&alice, PEER), 0);
    for (int i = 0; i < 8; i++) {
        struct fake_sent *s;

        fake_from_peer(&net, &alice.relayed[0], PEER, "x", 1, 0);
        s = fake_take_client(&net, &alice.path);
        CHECK(s && s->len > STUN_HEADER_LEN);
        memcpy(ids[i], s->data + 8, STUN_TXID_LEN);
        for (int j = 0; j < i; j++)
            for (int word = 0; word < 3; word++)
                CHECK(memcmp(ids[i] + 4 * word, ids[j] + 4 * word, 4) != 0);
    }
    DOWN();
}

static void c61(void)
{
    UP(.relays = {"9.9.9.9", "2a09::9"});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    for (size_t len = 0; len < 9; len++) {
        fake_from_peer(&net, &alice.relayed[0], PEER, "12345678", len, 0);
        CHECK(client_got(&alice, PEER, 0x4000, "12345678", len));
        fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:10", "12345678", len, 0); /* another port: permitted, but not bound */
        CHECK(client_got(&alice, "5.6.7.8:10", 0, "12345678", len));
    }
    DOWN();
}

static void c63(void)
{
    UP(0);
    for (int tcp = 0; tcp < 2; tcp++) {
        alice.path.transport = tcp ? TRANSPORT_TCP : TRANSPORT_UDP;
        alice.nonce_len = 0;
        CHECK_INT(client_allocate(&alice), 0);
        CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
        client_channel(&alice, 0x4000, "", 0, 0);
        CHECK(client_sent(&alice, PEER, "", 0));
        fake_from_peer(&net, &alice.relayed[0], PEER, "", 0, 0);
        CHECK(client_got(&alice, PEER, 0x4000, "", 0));
    }
    DOWN();
}

static void c64(void)
{
    static const struct {
        uint16_t number;
        bool wide, strict;
    } CASES[] = {
        {0, 0, 0},      {0x3fff, 0, 0}, {0x4000, true, true}, {0x4fff, true, true}, {0x5000, true, false}, {0x7fff, true, false},
        {0x8000, 0, 0}, {0xffff, 0, 0}};

    for (int strict = 0; strict < 2; strict++) {
        UP(.settings = {.strict_channel_range = strict});
        CHECK_INT(client_allocate(&alice), 0);
        for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
            char peer[32];
            bool fits = strict ? CASES[i].strict : CASES[i].wide;

            snprintf(peer, sizeof(peer), "5.6.7.%zu:9", i + 1);
            CHECK_INT(client_bind(&alice, CASES[i].number, peer), fits ? 0 : 400);
            CHECK_INT(channel_out(&alice, CASES[i].number, peer), fits);
        }
    }
    client_begin(&alice, STUN_REQUEST, STUN_CHANNEL_BIND); /* reserved bits are ignored; a missing one is not */
    stun_put_u32(&alice.o, STUN_ATTR_CHANNEL_NUMBER, 0x4001ffff);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &(struct addr){.family = ADDR_V4, .port = 9, .ip = {5, 5, 5, 5}});
    CHECK_INT(client_ask(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_CHANNEL_BIND);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &(struct addr){.family = ADDR_V4, .port = 9, .ip = {5, 5, 5, 5}});
    CHECK_INT(client_ask(&alice), 400);
    client_begin(&alice, STUN_REQUEST, STUN_CHANNEL_BIND);
    stun_put_u32(&alice.o, STUN_ATTR_CHANNEL_NUMBER, 0x4001U << 16);
    CHECK_INT(client_ask(&alice), 400);
    DOWN();
}

static void c65(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:10"), 400);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.9:9"), 400);
    CHECK_INT(client_bind(&alice, 0x4001, PEER), 400);
    CHECK_INT(client_bind(&alice, 0x4001, "5.6.7.8:10"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:10"), 400); /* both are bound, but not to each other */
    CHECK(channel_out(&alice, 0x4000, PEER));
    CHECK(channel_out(&alice, 0x4001, "5.6.7.8:10"));
    DOWN();
}

static void c65_lifetime(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 3600), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    fake_clock(&net, 299999);
    CHECK(goes_out(&alice, PEER)); /* the permission has 300 s, */
    fake_clock(&net, 1);
    CHECK(!goes_out(&alice, PEER));
    fake_from_peer(&net, &alice.relayed[0], PEER, "in", 2, 0);
    CHECK(!client_got(&alice, PEER, 0x4000, "in", 2));
    fake_clock(&net, 299999);
    CHECK(channel_out(&alice, 0x4000, PEER)); /* the channel 600 */
    CHECK_INT(client_bind(&alice, 0x4001, PEER), 400);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0); /* the same again */
    fake_from_peer(&net, &alice.relayed[0], PEER, "in", 2, 0);
    CHECK(client_got(&alice, PEER, 0x4000, "in", 2));
    fake_clock(&net, 300000);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0); /* again: the permission, too */
    fake_clock(&net, 299999);
    CHECK(goes_out(&alice, PEER));
    fake_clock(&net, 300000);
    CHECK(channel_out(&alice, 0x4000, PEER));
    fake_clock(&net, 1);
    CHECK(!channel_out(&alice, 0x4000, PEER));
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK(comes_in(&alice, PEER));                   /* as a Data indication */
    CHECK_INT(client_bind(&alice, 0x4001, PEER), 0); /* number and peer are free for others again */
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.9:9"), 0);
    CHECK(channel_out(&alice, 0x4000, "5.6.7.9:9"));
    DOWN();
}

/* A permission that a channel has made does not shorten, and a CreatePermission does not lengthen a channel. */
static void c65_apart(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 3600), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    for (int i = 0; i < 3; i++) {
        fake_clock(&net, 200000);
        CHECK_INT(client_permit(&alice, PEER), 0);
    }
    CHECK(!channel_out(&alice, 0x4000, PEER));
    CHECK(goes_out(&alice, PEER));
    DOWN();
}

static void c66(void)
{
    UP(.relays = {"9.9.9.9"});
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "[2a05::8]:9"), 443);
    CHECK_INT(client_bind(&alice, 0x4000, "10.0.0.1:9"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "[fe80::1]:9"), 403);
    CHECK(!channel_out(&alice, 0x4000, "10.0.0.1:9"));
    CHECK_INT(net.events[EVENT_PEER_DENIED], 2);
    CHECK_STR(net.last_user, "alice");
    DOWN();
}

/* C66, S21: permissions and channels of an allocation are bounded, and what has expired makes room. */
static void s21_channels(void)
{
    char peer[32];

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 3600), 0);
    for (unsigned i = 0; i < ALLOC_CHANNELS_MAX + 3; i++) {
        snprintf(peer, sizeof(peer), "5.6.7.8:%u", 1000 + i);
        CHECK_INT(client_bind(&alice, (uint16_t)(0x4000 + i), peer), i < ALLOC_CHANNELS_MAX ? 0 : 508);
    }
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:1000"), 0); /* what is there can be refreshed, */
    for (unsigned i = 0; i < ALLOC_CHANNELS_MAX; i++) {        /* and works */
        snprintf(peer, sizeof(peer), "5.6.7.8:%u", 1000 + i);
        CHECK(channel_out(&alice, (uint16_t)(0x4000 + i), peer));
        snprintf(peer, sizeof(peer), "5.6.7.8:%u", 1000 + i * 7 % ALLOC_CHANNELS_MAX);
        fake_from_peer(&net, &alice.relayed[0], peer, "in", 2, 0);
        CHECK(client_got(&alice, peer, (uint16_t)(0x4000 + i * 7 % ALLOC_CHANNELS_MAX), "in", 2));
    }
    fake_clock(&net, 599000);
    CHECK_INT(client_bind(&alice, 0x4001, "5.6.7.8:1001"), 0);
    fake_clock(&net, 1000);
    for (unsigned i = 0; i < ALLOC_CHANNELS_MAX; i++) {
        snprintf(peer, sizeof(peer), "5.6.7.8:%u", 5000 + i);
        CHECK_INT(client_bind(&alice, (uint16_t)(0x5000 + i), peer), i < ALLOC_CHANNELS_MAX - 1 ? 0 : 508);
    }
    CHECK(channel_out(&alice, 0x4001, "5.6.7.8:1001"));
    DOWN();
}

static void s21_permissions(void)
{
    char peer[32];

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_refresh(&alice, 3600), 0);
    for (unsigned i = 0; i < ALLOC_PERMISSIONS_MAX + 3; i++) {
        snprintf(peer, sizeof(peer), "5.6.%u.%u", i / 200, i % 200);
        CHECK_INT(client_permit(&alice, peer), i < ALLOC_PERMISSIONS_MAX ? 0 : 508);
    }
    CHECK_INT(client_bind(&alice, 0x4000, "5.7.7.7:9"), 508);
    CHECK(!channel_out(&alice, 0x4000, "5.7.7.7:9"));
    CHECK_INT(client_permit(&alice, "5.6.0.0"), 0);
    for (unsigned i = 0; i < ALLOC_PERMISSIONS_MAX; i++) {
        snprintf(peer, sizeof(peer), "5.6.%u.%u:9", i / 200, i % 200);
        CHECK(comes_in(&alice, peer));
    }
    fake_clock(&net, 299000);
    CHECK_INT(client_permit(&alice, "5.6.0.1"), 0);
    fake_clock(&net, 1000);
    CHECK_INT(PERMIT("5.7.0.1", "5.7.0.2", "5.6.0.1"), 0);
    CHECK(goes_out(&alice, "5.6.0.1:9"));
    CHECK(goes_out(&alice, "5.7.0.1:9"));
    CHECK(goes_out(&alice, "5.7.0.2:9"));
    CHECK(!goes_out(&alice, "5.6.0.5:9"));
    DOWN();
}

/* One request cannot install half of its peers (C57) when the room ends in between. */
static void s21_all_or_nothing(void)
{
    char peer[32];

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    for (unsigned i = 0; i < ALLOC_PERMISSIONS_MAX - 1; i++) {
        snprintf(peer, sizeof(peer), "5.6.%u.%u", i / 200, i % 200);
        CHECK_INT(client_permit(&alice, peer), 0);
    }
    CHECK_INT(PERMIT("5.7.0.1", "5.7.0.2"), 508);
    CHECK(!goes_out(&alice, "5.7.0.1:9"));
    CHECK_INT(PERMIT("5.7.0.1", "5.7.0.1", "5.6.0.0"), 0); /* one peer twice is one peer */
    CHECK(goes_out(&alice, "5.7.0.1:9"));
    DOWN();
}

/* C67, S13. */
static void c67(void)
{
    uint8_t frame[64] = {0x40, 0x00};

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    for (unsigned said = 0; said < 64; said++) {
        for (size_t there = 0; there < 32; there++) {
            bool whole = there >= 4 && said <= there - 4;

            frame[2] = 0;
            frame[3] = (uint8_t)said;
            client_raw(&alice, frame, there, 0);
            CHECK_INT(fake_untaken(&net), whole);
            CHECK(!whole || client_sent(&alice, PEER, frame + 4, said));
        }
    }
    frame[2] = 35510 >> 8; /* S13 */
    frame[3] = 35510 & 0xff;
    client_raw(&alice, frame, 24, 0);
    CHECK_INT(fake_untaken(&net), 0);
    client_channel(&alice, 0x4001, "x", 1, 0);
    CHECK_INT(fake_count(&net, DROP_NO_CHANNEL), 1);
    CHECK_INT(fake_untaken(&net), 0);
    DOWN();
}

static void c68(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    client_raw(&alice,
               "\x40\x00\x00\x05"
               "12345\xff\xff\xff",
               12, 0); /* padding on UDP is accepted, and not relayed */
    CHECK(client_sent(&alice, PEER, "12345", 5));
    client_init(&alice, &net, 0, "11.1.1.1:4001", TRANSPORT_TCP);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_raw(&alice,
                         "\x40\x00\x00\x05"
                         "12345\xff\xff\xff",
                         12, 0),
              0);
    CHECK(client_sent(&alice, PEER, "12345", 5));
    DOWN();
}

static void c69(void)
{
    struct fake_sent *s;
    struct addr peer = fake_addr(PEER);

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.9"), 0);
    for (unsigned tos = 0; tos < 256; tos++) {
        client_channel(&alice, 0x4000, "x", 1, (uint8_t)tos);
        CHECK((s = fake_take_peer(&net)) && s->tos == tos && !s->df);
        client_begin(&alice, STUN_INDICATION, STUN_SEND);
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        stun_put(&alice.o, STUN_ATTR_DATA, "x", 1);
        client_raw(&alice, alice.request, alice.o.w.len, (uint8_t)tos);
        CHECK((s = fake_take_peer(&net)) && s->tos == tos && !s->df);
        fake_from_peer(&net, &alice.relayed[0], PEER, "x", 1, (uint8_t)tos);
        CHECK((s = fake_take_client(&net, &alice.path)) && s->tos == tos);
        fake_from_peer(&net, &alice.relayed[0], "5.6.7.9:9", "x", 1, (uint8_t)tos);
        CHECK((s = fake_take_client(&net, &alice.path)) && s->tos == tos);
    }
    DOWN();
}

static void c70(void)
{
    struct addr peer = fake_addr(PEER);
    struct fake_sent *s;

    for (int can = 0; can < 2; can++) {
        UP(.no_dont_fragment = !can);
        CHECK_INT(client_allocate(&alice), 0);
        CHECK_INT(client_permit(&alice, PEER), 0);
        client_begin(&alice, STUN_INDICATION, STUN_SEND);
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        stun_put(&alice.o, STUN_ATTR_DONT_FRAGMENT, NULL, 0);
        stun_put(&alice.o, STUN_ATTR_DATA, "x", 1);
        CHECK_INT(client_send(&alice), NO_ANSWER);
        s = fake_take_peer(&net);
        CHECK_INT(s != NULL, can); /* an attribute that is not understood drops an indication */
        CHECK(!s || s->df);
        CHECK(goes_out(&alice, PEER));
    }
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C53 without an allocation: requests 437, data dropped", c53},
    {"C53 each part of the 5-tuple counts", c53_tuple},
    {"C56 data refresh nothing", c56},
    {"C57 CreatePermission: 400, 403, 443, and all or none", c57},
    {"C57 S21 peers of one CreatePermission are bounded", c57_many},
    {"C58 a permission is by IP and lives 300 s to the millisecond", c58},
    {"C59 a peer without permission is dropped", c59},
    {"C60 Send needs peer, data and permission; empty data is legal", c60},
    {"transaction ids of Data indications differ", transaction_ids},
    {"C61 a bound channel is used towards the client", c61},
    {"C63 empty ChannelData is an empty datagram", c63},
    {"C64 channel numbers, in the wide and in the strict range", c64},
    {"C65 a channel has one peer, and a peer one channel", c65},
    {"C65 a channel lives 600 s and makes a permission of 300 s", c65_lifetime},
    {"C65 a permission does not refresh a channel", c65_apart},
    {"C66 ChannelBind: wrong family 443, denied 403", c66},
    {"C66 S21 channels of an allocation are bounded: 508", s21_channels},
    {"S21 permissions of an allocation are bounded: 508", s21_permissions},
    {"C57 S21 at the limit of permissions it is all or none, too", s21_all_or_nothing},
    {"C67 S13 ChannelData shorter than it says, or on an unbound channel, relays nothing", c67},
    {"C68 padding is outside of Length", c68},
    {"C69 DSCP and ECN go through", c69},
    {"C70 DONT-FRAGMENT of Send sets DF", c70},
};

TAP_MAIN(TESTS)
