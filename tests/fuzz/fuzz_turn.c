/*
 * Purpose:  a client's and its peers' bytes into a whole shard on the fake network, from the first datagram on.
 * Owner:    one process; each input starts anew and must leave nothing behind.
 * Lifetime: static.
 * Callers:  libFuzzer, or tests/fuzz/replay.c.
 * RFC:      8489, 8656.
 *
 * An input is a list of steps: what to do (1 byte), with what (1 byte), a length (2 bytes) and so many bytes.
 *   0  a datagram from the client's UDP address, as it is
 *   1  a request by the known user: the method is chosen, the bytes are its attributes, what proves the user is added
 *   2  a datagram from a peer
 *   3  bytes on the client's stream, cut into frames
 *   4  time goes on, by as many seconds as are said
 *   5  as 1, on the stream
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/input.h"
#include "relay/turn.h"
#include "tests/unit/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 64 };

static struct fakenet net;
static struct client udp, tcp;

static const char *const PEERS[] = {"5.6.7.8:9", "5.6.7.8:10", "[2a05::8]:9", "10.0.0.1:9", "9.9.9.9:50000", "[2a09::9]:50000"};
static const uint16_t METHODS[] = {STUN_ALLOCATE, STUN_REFRESH, STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool allowed(const struct addr *peer)
{
    return policy_flow(net.policy, net.ports, peer, POLICY_UDP);
}

/* Whatever was sent: well-formed and to whom it may go. */
static void judge(void)
{
    for (struct fake_sent *s = net.sent; s; s = s->next) {
        struct stun_msg m;
        struct channel_data frame;
        const struct stun_attr *a;

        if (s->taken)
            continue;
        s->taken = true;
        if (s->to_peer) {
            require(allowed(&s->peer));
            continue;
        }
        require(memcmp(&s->path, &udp.path, PATH_KEY_LEN) == 0 || memcmp(&s->path, &tcp.path, PATH_KEY_LEN) == 0);
        if (stun_classify(s->data[0]) == STUN_KIND_CHANNEL) {
            require(channel_decode(&frame, s->data, s->len) == 0 && s->len == (size_t)CHANNEL_HEADER_LEN + frame.len);
            continue;
        }
        require(stun_decode(&m, s->data, s->len) == 0 && m.class != STUN_REQUEST);
        require(m.class == STUN_INDICATION || s->len < 548);
        a = stun_find(&m, STUN_ATTR_NONCE);
        if (a && a->len <= sizeof(udp.nonce)) {
            struct client *c = s->path.transport == TRANSPORT_UDP ? &udp : &tcp;

            memcpy(c->nonce, a->value, a->len);
            c->nonce_len = a->len;
        }
    }
}

static void signed_request(struct client *c, uint16_t method, const uint8_t *attributes, size_t len)
{
    static const uint8_t ZEROS[4];

    client_begin(c, STUN_REQUEST, method);
    if (len + 256 > sizeof(c->request))
        return;
    wire_put(&c->o.w, attributes, len);
    wire_put(&c->o.w, ZEROS, (4 - len % 4) % 4);
    c->sign = len % 3 ? SIGN_SHA1 : SIGN_SHA256;
    client_put_identity(c);
    client_put_integrity(c);
    if (stun_end(&c->o) > 0)
        client_raw(c, c->request, c->o.w.len, 0);
}

static void stream(const uint8_t *bytes, size_t len)
{
    while (len) {
        int frame = input_frame_len(fake_shard(&net, 0), &tcp.path, bytes, len < 4 ? len : 4);

        if (frame < 0 || ((size_t)frame <= len && frame && client_raw(&tcp, bytes, (size_t)frame, 0) < 0)) {
            turn_stream_closed(fake_shard(&net, 0), &tcp.path);
            return;
        }
        if (!frame || (size_t)frame > len)
            return;
        bytes += frame;
        len -= (size_t)frame;
    }
}

/* To whatever relayed address lives. */
static void from_peer(const char *peer, const uint8_t *bytes, size_t len)
{
    struct relay_socket *s = net.sockets;

    while (s && !s->started)
        s = s->next;
    if (s)
        fake_from_peer(&net, &s->local, peer, bytes, len, 0);
}

static void step(uint8_t what, uint8_t with, const uint8_t *bytes, size_t len)
{
    switch (what % 6) {
    case 0:
        client_raw(&udp, bytes, len, with);
        break;
    case 1:
        signed_request(&udp, METHODS[with % 4], bytes, len);
        break;
    case 2:
        from_peer(PEERS[with % (sizeof(PEERS) / sizeof(PEERS[0]))], bytes, len);
        break;
    case 3:
        stream(bytes, len);
        break;
    case 4:
        fake_pass(&net, with * 1000ULL);
        break;
    case 5:
        signed_request(&tcp, METHODS[with % 4], bytes, len);
        break;
    }
    judge();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_up(&net, &(struct fake_options){.relays = {"9.9.9.9", "2a09::9"}, .port_min = 50000, .port_max = 50007});
    client_init(&udp, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&tcp, &net, 0, "11.1.1.1:4000", TRANSPORT_TCP);
    require(client_greet(&udp) == STUN_E_UNAUTHENTICATED && client_greet(&tcp) == STUN_E_UNAUTHENTICATED);
    for (int steps = 0; size >= 4 && steps < STEPS_MAX; steps++) {
        size_t len = (size_t)(data[2] << 8 | data[3]);

        if (len > size - 4)
            len = size - 4;
        step(data[0], data[1], data + 4, len);
        data += 4 + len;
        size -= 4 + len;
    }
    require(fake_down(&net) == 0);
    return 0;
}
