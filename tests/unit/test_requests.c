/* STUN messages at the door of relay/: framing, Binding, and what is dropped. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/input.h"
#include "stun/integrity.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice;

static void up(const struct fake_options *o)
{
    fake_up(&net, o);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
}

/* A Binding request by hand, with a body of zeros. */
static size_t binding(uint8_t *out, size_t body)
{
    static const uint8_t HEAD[] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 'b', 'y', ' ', 'h', 'a', 'n', 'd', ' ', '0', '0', '0', '1'};

    memset(out, 0, sizeof(HEAD) + body);
    memcpy(out, HEAD, sizeof(HEAD));
    out[2] = (uint8_t)(body >> 8);
    out[3] = (uint8_t)body;
    memcpy(alice.txid, out + 8, sizeof(alice.txid));
    return sizeof(HEAD) + body;
}

static int raw(const void *bytes, size_t len)
{
    client_raw(&alice, bytes, len, 0);
    return client_answer(&alice);
}

/* ---- Framing. ---- */

static void c1(void)
{
    uint8_t m[64];
    size_t len;

    UP(0);
    len = binding(m, 0);
    CHECK_INT(raw(m, len), 0);
    for (int bit = 0x40; bit <= 0x80; bit <<= 1) { /* the two top bits */
        len = binding(m, 0);
        m[0] = (uint8_t)bit;
        CHECK_INT(raw(m, len), NO_ANSWER);
    }
    for (size_t i = 4; i < 8; i++) { /* the cookie */
        len = binding(m, 0);
        m[i] ^= 1;
        CHECK_INT(raw(m, len), NO_ANSWER);
    }
    len = binding(m, 0); /* a length that is no multiple of 4 */
    m[3] = 2;
    CHECK_INT(raw(m, len + 2), NO_ANSWER);
    len = binding(m, 0); /* a length beyond the datagram, and one that leaves bytes behind it */
    m[3] = 4;
    CHECK_INT(raw(m, len), NO_ANSWER);
    len = binding(m, 0);
    CHECK_INT(raw(m, len + 4), NO_ANSWER);
    len = binding(m, 0);
    for (size_t n = 0; n < len; n++)
        CHECK_INT(raw(m, n), NO_ANSWER);
    DOWN();
}

static void c2(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    for (unsigned method = 0; method < 0x1000; method++) {
        bool known =
            method == STUN_ALLOCATE || method == STUN_REFRESH || method == STUN_CREATE_PERMISSION || method == STUN_CHANNEL_BIND;

        client_begin(&alice, STUN_REQUEST, (uint16_t)method);
        CHECK_INT(client_send(&alice), method == STUN_BINDING ? 0 : known ? 401 : NO_ANSWER);
        for (int class = STUN_INDICATION; class <= STUN_ERROR; class ++) {
            client_begin(&alice, (enum stun_class) class, (uint16_t)method);
            CHECK_INT(client_send(&alice), NO_ANSWER);
        }
    }
    /* But the five requests, and Send, which is dropped for want of an allocation. From method 0x100 on the first byte is above 3. */
    CHECK_INT(fake_count(&net, DROP_METHOD), 4 * 0x100 - 6);
    CHECK_INT(fake_count(&net, DROP_NOT_STUN), 4 * 0xf00);
    DOWN();
}

static void c3(void)
{
    uint8_t m[64];
    size_t len;

    UP(0);
    for (unsigned claimed = 0; claimed <= 0xffff; claimed++) { /* an attribute in a body of 12 bytes, of any length */
        len = binding(m, 12);
        memcpy(m + 20, (uint8_t[]){0x80, 0x22, (uint8_t)(claimed >> 8), (uint8_t)claimed}, 4);
        m[24] = m[28] = 0x80; /* what stands in it is an attribute that may be ignored, too */
        CHECK_INT(raw(m, len), claimed <= 8 ? 0 : NO_ANSWER);
    }
    len = binding(m, 4); /* a header of an attribute, and nothing behind it */
    memcpy(m + 20, (uint8_t[]){0x80, 0x22, 0, 1}, 4);
    CHECK_INT(raw(m, len), NO_ANSWER);
    DOWN();
}

/* Attributes at every alignment of the datagram in memory: UBSan sees a load that minds. */
static void s4(void)
{
    uint8_t *buf = malloc(1024);

    UP(0);
    CHECK(buf);
    CHECK_INT(client_allocate(&alice), 0);
    for (size_t shift = 0; shift < 8; shift++) {
        struct addr peer = fake_addr("5.6.7.8:9");
        int len;

        client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
        stun_put(&alice.o, 0x8000 + 77, "odd", shift % 4);
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        client_put_identity(&alice);
        client_put_integrity(&alice);
        stun_put_fingerprint(&alice.o);
        len = stun_end(&alice.o);
        CHECK(len > 0);
        memcpy(buf + HEADROOM + shift, alice.request, (size_t)len);
        input_datagram(fake_shard(&net, 0), &alice.path, buf + HEADROOM + shift, (size_t)len, 0);
        CHECK_INT(client_answer(&alice), 0);
    }
    free(buf);
    DOWN();
}

static void c4(void)
{
    uint8_t m[64];
    size_t len;

    /* Ignored when received; what we send is held against it in every answer of every test (client.c). */
    UP(.settings = {.software = "odd length"});
    len = binding(m, 8);
    memcpy(m + 20, (uint8_t[]){0x80, 0x22, 0, 1, 'x', 0x20, 0xff, 0x20}, 8);
    CHECK_INT(raw(m, len), 0);
    CHECK_INT(stun_find(&alice.answer, STUN_ATTR_SOFTWARE)->len, 10);
    DOWN();
}

static void c5(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 900);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 0);
    CHECK_INT(client_ask(&alice), 0);
    CHECK_INT(alice.lifetime, 900);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    stun_put(&alice.o, STUN_ATTR_USERNAME, "nobody", 6);
    CHECK_INT(client_ask(&alice), 401);
    DOWN();
}

static void c6(void)
{
    UP(0);
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    stun_put_u32(&alice.o, 0x0777, 1); /* comprehension-required and unknown, but nobody vouches for it */
    CHECK_INT(client_send(&alice), 0);
    client_begin(&alice, STUN_REQUEST,
                 STUN_REFRESH); /* MESSAGE-INTEGRITY-SHA256 behind MESSAGE-INTEGRITY counts; what follows doesn't */
    alice.sign = SIGN_SHA256;
    client_put_identity(&alice);
    stun_put_sha1(&alice.o, net.mac, (const uint8_t *)"wrong", 5);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 0);
    client_put_integrity(&alice);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 0);
    stun_put_fingerprint(&alice.o);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(alice.lifetime, 600);
    CHECK(stun_find(&alice.answer, STUN_ATTR_FINGERPRINT));
    DOWN();
}

/* S8: what stands behind the integrity has no effect, in each request that takes it. */
static void s8(void)
{
    struct addr peer = fake_addr("5.6.7.8:9"), other = fake_addr("5.6.7.9:9");

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    stun_put_u32(&alice.o, STUN_ATTR_LIFETIME, 0);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(alice.lifetime, 600);
    client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &other);
    CHECK_INT(client_send(&alice), 0);
    client_say(&alice, "5.6.7.9:9", "x", 1);
    CHECK(!fake_take_peer(&net));
    client_say(&alice, "5.6.7.8:9", "y", 1);
    CHECK(client_sent(&alice, "5.6.7.8:9", "y", 1));
    client_begin(&alice, STUN_REQUEST, STUN_CREATE_PERMISSION);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &other);
    CHECK_INT(client_send(&alice), 400);
    DOWN();
}

static void c7(void)
{
    UP(0);
    client_begin_allocate(&alice);
    stun_put_u32(&alice.o, 0x0777, 1);
    CHECK_INT(client_send(&alice), 401);
    client_begin_allocate(&alice);
    stun_put_u32(&alice.o, 0x0777, 1);
    CHECK_INT(client_ask(&alice), 420);
    CHECK(alice.signed_with);
    DOWN();
}

static void c8(void)
{
    const struct stun_attr *a;

    UP(0);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put_u32(&alice.o, 0x0002, 1);
    stun_put_u32(&alice.o, 0x8777, 1);
    stun_put_u32(&alice.o, 0x7fff, 1);
    stun_put_u32(&alice.o, 0x0777, 1);
    CHECK_INT(client_send(&alice), 420);
    a = stun_find(&alice.answer, STUN_ATTR_UNKNOWN_ATTRIBUTES);
    CHECK(a && a->len == 6);
    CHECK_MEM(a->value, "\x00\x02\x7f\xff\x07\x77", 6);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    for (uint16_t type = 0x8000; type < 0x8020; type++)
        stun_put_u32(&alice.o, (uint16_t)(type + 0x300), 1);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    for (int known = 0; known < 2; known++) {
        struct addr peer = fake_addr("5.6.7.8:9");

        client_begin(&alice, STUN_INDICATION, STUN_SEND);
        stun_put_xor_addr(&alice.o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
        stun_put(&alice.o, STUN_ATTR_DATA, "x", 1);
        stun_put_u32(&alice.o, known ? 0x8777 : 0x0777, 1);
        CHECK_INT(client_send(&alice), NO_ANSWER);
        CHECK_INT(fake_untaken(&net), known);
    }
    DOWN();
}

static void c9(void)
{
    UP(0);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put_fingerprint(&alice.o);
    CHECK_INT(client_send(&alice), 0);
    CHECK(stun_find(&alice.answer, STUN_ATTR_FINGERPRINT)); /* decoding has checked its value */
    CHECK_INT(alice.answer_bytes[3], alice.answer_len - STUN_HEADER_LEN);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&alice), 0);
    CHECK(!stun_find(&alice.answer, STUN_ATTR_FINGERPRINT));
    for (int bit = 0; bit < 32; bit++) {
        client_begin(&alice, STUN_REQUEST, STUN_BINDING);
        stun_put_fingerprint(&alice.o);
        alice.request[24 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(client_send(&alice), NO_ANSWER);
    }
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    stun_put_fingerprint(&alice.o);
    stun_put_u32(&alice.o, 0x8777, 1);
    CHECK_INT(client_send(&alice), NO_ANSWER);
    DOWN();
}

static void c10(void)
{
    static const char *const CLIENTS[] = {"11.1.1.1:4000", "11.1.1.1:1", "255.1.2.3:65535", "[2a11::1]:4000",
                                          "[2a11:ffff::fffe]:65535"};

    UP(0);
    for (size_t i = 0; i < sizeof(CLIENTS) / sizeof(CLIENTS[0]); i++) {
        struct addr mapped, expected = fake_addr(CLIENTS[i]);

        client_init(&alice, &net, 0, CLIENTS[i], i % 2 ? TRANSPORT_TCP : TRANSPORT_UDP);
        alice.path.server.port = (uint16_t)(3478 + i); /* client.c sees that the answer leaves from there */
        client_begin(&alice, STUN_REQUEST, STUN_BINDING);
        CHECK_INT(client_send(&alice), 0);
        CHECK_INT(stun_get_xor_addr(&alice.answer, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped), 0);
        CHECK(addr_equal(&mapped, &expected));
        CHECK_INT(alice.answer.nattrs, 1);
        CHECK_INT(alice.signed_with, 0);
    }
    DOWN();
}

/* The longest answers: every attribute that we ever send, and a SOFTWARE as long as it may be (client.c looks at each length). */
/* Two links may have the same link-local address: with the same port, too, they are two clients. */
static void c10_scopes(void)
{
    static struct client there;

    UP(0);
    client_init(&alice, &net, 0, "[fe80::77]:4000", TRANSPORT_UDP);
    client_init(&there, &net, 0, "[fe80::77]:4000", TRANSPORT_UDP);
    alice.path.scope = 2;
    there.path.scope = 3;
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_allocate(&there), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(client_refresh(&there, 600), 0);
    DOWN();
}

static void c11(void)
{
    uint16_t type = 0x4000;

    UP(.relays = {"9.9.9.9", "2a09::9"},
       .settings = {.software = "a name of a software that is as long as anybody would ever want"});
    alice.sign = SIGN_SHA256;
    CHECK_INT(client_allocate(&alice), 0);
    client_init(&alice, &net, 0, "[2a11::1]:4000", TRANSPORT_UDP);
    alice.sign = SIGN_SHA256;
    CHECK_INT(client_greet(&alice), 401);
    client_begin_allocate(&alice);
    stun_put_u32(&alice.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
    client_put_identity(&alice);
    client_put_integrity(&alice);
    stun_put_fingerprint(&alice.o);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(alice.signed_with, 256);
    client_begin(&alice, STUN_REQUEST, STUN_REFRESH);
    for (int i = 0; i < 50; i++) /* with realm, nonce and so on these are all that a message may have */
        stun_put(&alice.o, type++, NULL, 0);
    CHECK_INT(client_ask(&alice), 420);
    DOWN();
}

static void c12(void)
{
    UP(0);
    for (int code = 300; code < 700; code++) {
        const char *phrase = stun_reason(code);

        CHECK(phrase && phrase[0] && strlen(phrase) < 128);
    }
    CHECK_INT(client_greet(&alice), 401); /* client.c looks at the code and phrase of each answer */
    DOWN();
}

static void c13(void)
{
    const struct stun_attr *a;

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK(!stun_find(&alice.answer, STUN_ATTR_SOFTWARE));
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&alice), 0);
    CHECK(!stun_find(&alice.answer, STUN_ATTR_SOFTWARE));
    fake_shard(&net, 0)->settings.software[0] = 'T';
    CHECK_INT(client_refresh(&alice, 600), 0);
    a = stun_find(&alice.answer, STUN_ATTR_SOFTWARE);
    CHECK(a && a->len == 1 && a->value[0] == 'T');
    DOWN();
}

static void c14(void)
{
    uint8_t m[32];
    size_t len;

    UP(0);
    len = binding(m, 0); /* RFC 3489: the cookie's bytes belong to the transaction id */
    memcpy(m + 4, "\x01\x02\x03\x04", 4);
    CHECK_INT(raw(m, len), NO_ANSWER);
    CHECK_INT(fake_count(&net, DROP_NOT_STUN), 1);
    client_init(&alice, &net, 0, "11.1.1.1:4001", TRANSPORT_TCP);
    CHECK(client_raw(&alice, m, len, 0) < 0);
    DOWN();
}

static void c15(void)
{
    uint8_t m[64];
    size_t len;

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    for (unsigned first = 0; first < 256; first++) {
        uint64_t not_stun = fake_count(&net, DROP_NOT_STUN),
                 other = fake_count(&net, DROP_MALFORMED) + fake_count(&net, DROP_METHOD) + fake_count(&net, DROP_NO_CHANNEL) +
                         fake_count(&net, COUNT_REQUESTS);
        bool message = first <= 3, channel = first >= 64 && first <= 127;

        len = binding(m, 0);
        m[0] = (uint8_t)first;
        CHECK_INT(raw(m, len), first == 0 ? 0 : NO_ANSWER);
        CHECK_INT(fake_count(&net, DROP_NOT_STUN) - not_stun, !message && !channel);
        CHECK_INT(fake_count(&net, DROP_MALFORMED) + fake_count(&net, DROP_METHOD) + fake_count(&net, DROP_NO_CHANNEL) +
                      fake_count(&net, COUNT_REQUESTS) - other,
                  message || channel);
    }
    DOWN();
}

/* ---- Streams. ---- */

static void c39(void)
{
    static const char *const STRANGERS[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\x04xxxxxxxx", "\xff\xff\xff\xff",
                                            "SSH-2.0-"};
    struct shard *s;
    uint8_t m[64];
    size_t len;

    UP(0);
    s = fake_shard(&net, 0);
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_TCP);
    for (size_t i = 0; i < sizeof(STRANGERS) / sizeof(STRANGERS[0]); i++)
        CHECK(client_raw(&alice, STRANGERS[i], strlen(STRANGERS[i]), 0) < 0);
    CHECK(client_channel(&alice, 0x4000, "data", 4, 0) < 0);
    len = binding(m, 8);
    for (size_t n = 0; n < 4; n++) /* one byte a segment: wait for the header */
        CHECK_INT(input_frame_len(s, &alice.path, m, n), 0);
    CHECK_INT(input_frame_len(s, &alice.path, m, 4), len);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4001, "5.6.7.8:9"), 0);
    for (size_t n = 1; n < 4; n++)
        CHECK_INT(input_frame_len(s, &alice.path, (const uint8_t *)"\x40\x01\x00\x05", n), 0);
    CHECK_INT(input_frame_len(s, &alice.path, (const uint8_t *)"\x40\x01\x00\x05", 4), 12);
    CHECK_INT(client_channel(&alice, 0x4001, "12345", 5, 0), 0);
    CHECK(client_sent(&alice, "5.6.7.8:9", "12345", 5));
    CHECK(client_raw(&alice, STRANGERS[1], 5, 0) < 0); /* still no TLS in here */
    m[4] ^= 1;
    CHECK(client_raw(&alice, m, len, 0) < 0);
    DOWN();
}

static void c83(void)
{
    struct addr mapped;

    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    client_begin(&alice, STUN_REQUEST, STUN_BINDING);
    CHECK_INT(client_send(&alice), 0);
    CHECK_INT(stun_get_xor_addr(&alice.answer, STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped), 0);
    CHECK(addr_equal(&mapped, &alice.path.client));
    CHECK_INT(client_refresh(&alice, 600), 0);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"C1 top bits, cookie and length must be right", c1},
    {"C2 unknown methods and classes that are illegal for a method are dropped", c2},
    {"C3 an attribute that overruns is refused", c3},
    {"C4 padding is sent as zero and ignored when received", c4},
    {"C5 of duplicate attributes the first wins", c5},
    {"C6 behind an integrity only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT count", c6},
    {"C7 unauthenticated and unknown attribute is 401", c7},
    {"C8 unknown attributes: 420 with each type, an indication is dropped, from 0x8000 ignored", c8},
    {"C9 a wrong FINGERPRINT is dropped, a right one is answered with one", c9},
    {"C10 Binding tells the observed source and answers from where it was asked", c10},
    {"C10 link-local clients on two links are two, whatever their address", c10_scopes},
    {"C11 the longest answers are below 548 bytes", c11},
    {"C12 error codes and phrases are in range", c12},
    {"C13 SOFTWARE is sent as configured only", c13},
    {"C14 a request without the cookie gets no answer", c14},
    {"C15 the first byte decides: STUN, channel, or dropped", c15},
    {"C39 a stream carries STUN only until there is an allocation", c39},
    {"C83 Binding works on an allocation's 5-tuple", c83},
    {"S4 attributes at every alignment", s4},
    {"S8 attributes behind the integrity have no effect", s8},
};

TAP_MAIN(TESTS)
