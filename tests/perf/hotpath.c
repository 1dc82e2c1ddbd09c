/*
 * Purpose:  relays packets of one kind over a network that does nothing, so that callgrind can count the instructions of ours.
 * Owner:    one process.
 * Lifetime: static.
 * Callers:  tests/perf/instructions.py.
 * RFC:      none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/forward.h"
#include "relay/input.h"
#include "tests/unit/client.h"

enum {
    PACKETS = 1000,
    PAYLOAD = 160, /* bytes; 20 ms of G.711. Nothing of ours walks them */
};

static struct fakenet net;
static struct client alice, bob;
static unsigned sent;
static uint8_t room[HEADROOM + CHANNEL_HEADER_LEN + PAYLOAD + TAILROOM];
static uint8_t *const frame = room + HEADROOM;

static int to_peer(void *ctx, struct relay_socket *s, const struct addr *peer, const uint8_t *data, size_t len, uint8_t tos,
                   bool df)
{
    (void)ctx, (void)s, (void)peer, (void)data, (void)tos, (void)df;
    sent += len == PAYLOAD;
    return 0;
}

static int to_client(void *ctx, const struct path *to, const uint8_t *data, size_t len, uint8_t tos)
{
    (void)ctx, (void)to, (void)data, (void)tos;
    sent += len == CHANNEL_HEADER_LEN + PAYLOAD;
    return 0;
}

static void from_alice(uint16_t number)
{
    channel_header(frame, number, PAYLOAD);
    input_datagram(fake_shard(&net, 0), &alice.path, frame, CHANNEL_HEADER_LEN + PAYLOAD, 0);
}

/* ChannelData to a peer. */
static void up(void)
{
    from_alice(0x4000);
}

/* A peer's datagram, to the client by its channel. */
static void down(void)
{
    static const struct addr peer = {.family = ADDR_V4, .port = 9, .ip = {5, 6, 7, 8}};

    forward_from_peer(fake_shard(&net, 0), 0, alice.relayed[0].port, &peer, frame + CHANNEL_HEADER_LEN, PAYLOAD, 0);
}

/* ChannelData to another client of the same worker, by its channel. */
static void splice(void)
{
    from_alice(0x4001);
}

static const struct {
    const char *name;
    void (*run)(void);
} KINDS[] = {{"up", up}, {"down", down}, {"splice", splice}};

/* callgrind collects while this runs. */
void measured(void (*run)(void));
__attribute__((noinline)) void measured(void (*run)(void))
{
    for (int i = 0; i < PACKETS; i++)
        run();
}

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "hotpath: %s\n", what);
        exit(1);
    }
}

static void set_up(void)
{
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

    fake_up(&net, &(struct fake_options){0});
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&bob, &net, 0, "11.1.1.2:4000", TRANSPORT_UDP);
    client_be_bob(&bob);
    need(client_allocate(&alice) == 0 && client_allocate(&bob) == 0, "Allocate");
    addr_text(&alice.relayed[0], a);
    addr_text(&bob.relayed[0], b);
    need(client_bind(&alice, 0x4000, "5.6.7.8:9") == 0 && client_bind(&alice, 0x4001, b) == 0 && client_bind(&bob, 0x4000, a) == 0,
         "ChannelBind");
    net.ops.relay_send = to_peer;
    net.ops.client_send = to_client;
}

int main(int argc, char **argv)
{
    size_t kind = 0;

    while (kind < sizeof(KINDS) / sizeof(KINDS[0]) && (argc != 2 || strcmp(argv[1], KINDS[kind].name) != 0))
        kind++;
    if (kind == sizeof(KINDS) / sizeof(KINDS[0])) {
        fprintf(stderr, "usage: hotpath up|down|splice\n");
        return 2;
    }
    set_up();
    KINDS[kind].run(); /* the first one finds its channel, the others start where it did */
    measured(KINDS[kind].run);
    need(sent == PACKETS + 1, "a packet did not arrive");
    printf("%d packets\n", PACKETS);
    return fake_down(&net) != 0;
}
