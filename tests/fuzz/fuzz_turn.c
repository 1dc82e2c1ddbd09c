/*
 * Purpose:  clients' and peers' bytes into two whole shards on the fake network, while time goes on and things fail; a model watches.
 * Owner:    one process; each input starts anew and must leave nothing behind.
 * Lifetime: static.
 * Callers:  libFuzzer, or tests/fuzz/replay.c.
 * RFC:      8489, 8656.
 *
 * An input is a list of steps: what to do (5 bits) and which party does it (3 bits above them), with what (1 byte), a length (2 bytes) and
 * so many bytes; STEPS below tells what each step makes of them. A selector is a byte that names a peer: one of PEERS, or, with its top
 * bit, a relayed address of another party (the last one that it had): bit 0 the family, bits 1 to 3 the party, bit 6 the address as bound.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tests/fuzz/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 96, FLIPS_MAX = 16, TRAILER_MAX = 256 };

static struct fakenet net;
static struct model model;
static struct addr relayed[PARTIES][2]; /* the last one of each family, alive or not */
static bool held_back;                  /* mail and records between the workers wait */
static struct {
    uint8_t flips[FLIPS_MAX], trailer[TRAILER_MAX];
    size_t nflips, ntrailer;
} spoil; /* what happens to the next signed request on its way */

struct step {
    unsigned party;
    uint8_t with;
    const uint8_t *bytes;
    size_t len;
};

static const char *const PEERS[] = {"5.6.7.8:9",     "5.6.7.8:10",      "[2a05::8]:9", "10.0.0.1:9",
                                    "9.9.9.9:50000", "[2a09::9]:50000", "5.7.8.9:9",   "[2a06::9]:9"};
static const uint16_t METHODS[] = {STUN_ALLOCATE, STUN_REFRESH, STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND};

static struct addr selected(uint8_t selector)
{
    unsigned party = (selector >> 1 & 7) % PARTIES, family = selector & 1;
    struct addr a = relayed[party][family];

    if (!(selector & 0x80) || !a.family)
        return fake_addr(PEERS[selector % (sizeof(PEERS) / sizeof(PEERS[0]))]);
    if (selector & 0x40 && !family)
        a = addr_with_port(&ports_address(net.ports, 0)->local, a.port);
    return a;
}

static uint8_t byte(const struct step *s, size_t i)
{
    return i < s->len ? s->bytes[i] : 0;
}

/* ---- Requests. ---- */

/* Signs what has been built, spoils it as was said, and sends it. */
static void ask(unsigned party)
{
    struct client *c = &model.party[party].c;
    uint8_t spoilt[2048];
    size_t len;
    int signed_len;
    bool genuine = strcmp(c->password, "guessed") != 0;

    client_put_identity(c);
    client_put_integrity(c);
    signed_len = stun_end(&c->o);
    if (signed_len < 0 || (size_t)signed_len + TRAILER_MAX > sizeof(spoilt))
        return;
    len = (size_t)signed_len;
    memcpy(spoilt, c->request, len);
    memcpy(spoilt + len, spoil.trailer, spoil.ntrailer); /* S8: attributes behind the integrity count for nothing */
    len += spoil.ntrailer;
    spoilt[2] = (uint8_t)((len - STUN_HEADER_LEN) >> 8);
    spoilt[3] = (uint8_t)(len - STUN_HEADER_LEN);
    for (size_t i = 0; i + 1 < spoil.nflips; i += 2) {
        size_t at = spoil.flips[i] * 4U % (unsigned)signed_len + (spoil.flips[i + 1] & 3U);

        if (at != 2 && at != 3) /* another length is another message */
            spoilt[at] ^= spoil.flips[i + 1] & 0xFC;
    }
    genuine = genuine && memcmp(spoilt, c->request, 2) == 0 && memcmp(spoilt + 4, c->request + 4, (size_t)signed_len - 4) == 0;
    spoil.nflips = spoil.ntrailer = 0;
    model_send(&model, party, spoilt, len, genuine ? c->request : NULL, (size_t)signed_len);
}

static struct client *begin(const struct step *s, enum stun_class class, uint16_t method)
{
    struct client *c = &model.party[s->party].c;

    client_begin(c, class, method);
    return c;
}

static void raw(const struct step *s)
{
    model_send(&model, s->party, s->bytes, s->len, NULL, 0);
}

static void signed_request(const struct step *s)
{
    static const uint8_t ZEROS[4];
    struct client *c = begin(s, STUN_REQUEST, METHODS[s->with % 4]);

    if (s->len > 1500)
        return;
    model.odd = true;
    wire_put(&c->o.w, s->bytes, s->len);
    wire_put(&c->o.w, ZEROS, (4 - s->len % 4) % 4);
    ask(s->party);
}

static void greet(const struct step *s)
{
    struct client *c = begin(s, STUN_REQUEST, s->with & 1 ? STUN_BINDING : STUN_ALLOCATE);

    model_send(&model, s->party, c->request, (size_t)stun_end(&c->o), NULL, 0);
}

static void allocate(const struct step *s)
{
    struct client *c = begin(s, STUN_REQUEST, STUN_ALLOCATE);
    const uint8_t *token = model.party[byte(s, 0) % PARTIES].token;
    uint8_t even = s->with & 2 ? 0x80 : 0;

    stun_put_u32(&c->o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    if (s->with & 1)
        stun_put(&c->o, STUN_ATTR_EVEN_PORT, &even, 1);
    if (s->with & 4)
        stun_put_u32(&c->o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, (uint32_t)ADDR_V6 << 24);
    if (s->with & 8)
        stun_put_u32(&c->o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, (uint32_t)(s->with & 16 ? ADDR_V4 : ADDR_V6) << 24);
    if (s->with & 32)
        stun_put(&c->o, STUN_ATTR_RESERVATION_TOKEN, token, STUN_RESERVATION_TOKEN_LEN);
    if (s->with & 64)
        stun_put_u32(&c->o, STUN_ATTR_LIFETIME, byte(s, 1) * 60U);
    ask(s->party);
}

static void refresh(const struct step *s)
{
    static const uint32_t LIFETIMES[] = {0, 600, 3600, 1};
    struct client *c = begin(s, STUN_REQUEST, STUN_REFRESH);

    stun_put_u32(&c->o, STUN_ATTR_LIFETIME, LIFETIMES[s->with & 3]);
    if (s->with & 4)
        stun_put_u32(&c->o, STUN_ATTR_REQUESTED_ADDRESS_FAMILY, (uint32_t)(s->with & 8 ? ADDR_V6 : ADDR_V4) << 24);
    ask(s->party);
}

static void create_permission(const struct step *s)
{
    struct client *c = begin(s, STUN_REQUEST, STUN_CREATE_PERMISSION);
    struct addr peer = selected(s->with);

    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    for (size_t i = 0; i < s->len && i < 32; i++) {
        peer = selected(s->bytes[i]);
        stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    }
    ask(s->party);
}

static void channel_bind(const struct step *s)
{
    struct client *c = begin(s, STUN_REQUEST, STUN_CHANNEL_BIND);
    struct addr peer = selected(s->with);

    stun_put_u32(&c->o, STUN_ATTR_CHANNEL_NUMBER, (0x4000U + byte(s, 0)) << 16);
    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    ask(s->party);
}

/* An earlier request of this party, or of another one's, once more. */
static void again(const struct step *s)
{
    model_again(&model, s->party, s->with & 8 ? (s->with >> 4) % PARTIES : s->party, s->with & 7);
}

/* Flips are pairs: which word, then which of its bytes (2 bits) and which bits (6). */
static void spoil_next(const struct step *s)
{
    if (s->with & 1) {
        spoil.ntrailer = s->len < TRAILER_MAX ? s->len & ~(size_t)3 : 0;
        memcpy(spoil.trailer, s->bytes, spoil.ntrailer);
    } else {
        spoil.nflips = s->len < FLIPS_MAX ? s->len : FLIPS_MAX;
        memcpy(spoil.flips, s->bytes, spoil.nflips);
    }
}

/* Whose requests this party's are from now on. */
static void become(const struct step *s)
{
    static const char *const USERS[][2] = {{"alice", "sesame"}, {"bob", "swordfish"}, {"carol", "lookedup"}, {"alice", "guessed"}};
    struct client *c = &model.party[s->party].c;

    c->user = USERS[s->with & 3][0];
    c->password = USERS[s->with & 3][1];
    c->userhash = s->with & 4;
    c->sign = (s->with >> 3) % 3;
}

/* ---- Data. ---- */

static void send_indication(const struct step *s)
{
    struct client *c = begin(s, STUN_INDICATION, STUN_SEND);
    struct addr peer = selected(s->with);

    stun_put_xor_addr(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer);
    stun_put(&c->o, STUN_ATTR_DATA, s->bytes, s->len);
    if (stun_end(&c->o) > 0)
        model_send(&model, s->party, c->request, c->o.w.len, NULL, 0);
}

static void channel_data(const struct step *s)
{
    struct client *c = &model.party[s->party].c;
    size_t padded = c->path.transport == TRANSPORT_TCP ? (s->len + 3) & ~(size_t)3 : s->len;

    memset(c->request, 0, CHANNEL_HEADER_LEN + padded);
    channel_header(c->request, (uint16_t)(0x4000 + s->with), (uint16_t)s->len);
    memcpy(c->request + CHANNEL_HEADER_LEN, s->bytes, s->len);
    model_send(&model, s->party, c->request, CHANNEL_HEADER_LEN + padded, NULL, 0);
}

static void from_peer(const struct step *s)
{
    struct addr peer = selected(s->with), to = relayed[s->party][peer.family == ADDR_V6];

    if (to.family)
        model_peer(&model, &to, &peer, s->bytes, s->len);
}

static void close_stream(const struct step *s)
{
    if (model.party[s->party].c.path.transport == TRANSPORT_TCP)
        model_close(&model, s->party);
}

/* ---- The world. ---- */

static void seconds(const struct step *s)
{
    model_pass(&model, s->with * 1000ULL, true);
}

static void leap(const struct step *s)
{
    static const uint64_t LEAPS_MS[] = {0, 250, 29750, 30000, 40000, 299750, 300000, 600000, 1800250, 3600000};

    model_pass(&model, LEAPS_MS[(s->with & 0x7F) % (sizeof(LEAPS_MS) / sizeof(LEAPS_MS[0]))], !(s->with & 0x80));
}

static void answer(const struct step *s)
{
    static const enum auth_status STATUS[] = {AUTH_OK, AUTH_UNKNOWN, AUTH_UNAVAILABLE, AUTH_OK};

    fake_answer(&net, STATUS[s->with & 3], "lookedup", s->with & 4 ? net.now.wall + byte(s, 0) * 10 : 0);
}

static void reload(const struct step *s)
{
    static const char *const DENIED[] = {"5.6.0.0/16", "2a05::/32"};
    static const char *const ALLOWED[] = {"10.0.0.0/24", "5.6.7.8:9"};
    static const struct policy_config POLICIES[] = {{0},
                                                    {.denied = DENIED, .ndenied = 2},
                                                    {.allowed = ALLOWED, .nallowed = 1},
                                                    {.allowed = ALLOWED, .nallowed = 2, .denied = DENIED, .ndenied = 1}};

    for (unsigned i = 0; i < net.workers; i++)
        if (s->with & 4U << i)
            shard_set_policy(fake_shard(&net, i), fake_policy(&net, &POLICIES[s->with & 3]));
}

static void faults(const struct step *s)
{
    net.ring_full = s->with & 1;
    net.fail_peer_send = s->with & 2 ? -1 : 0;
    net.fail_open = s->with & 4 ? ERR_ADDRINUSE : 0;
    net.fail_start = s->with & 8 ? ERR_NOMEM : 0;
    net.fail_adopt = s->with & 16 ? ERR_NOMEM : 0;
    net.fail_post = s->with & 32 ? ERR_NOSPC : 0;
    for (unsigned i = 0; i < net.workers; i++) {
        fake_shard(&net, i)->settings.max_bps = s->with & 64 ? 8000 : 0;
        fake_shard(&net, i)->settings.unauthenticated_rate = s->with & 128 ? 1 : 0;
    }
    model.disturbed = s->with & 0x7F;
}

static void hold_back(const struct step *s)
{
    held_back = s->with & 0x80;
    fake_run_some(&net, s->with & 0x7F);
}

static void (*const STEPS[])(const struct step *s) = {
    raw,            /* 0: the bytes, as they are */
    signed_request, /* 1: with: the method; the bytes are its attributes, what proves the user is added */
    from_peer,      /* 2: with: a selector; to the party's relayed address, or where its last one was */
    greet,          /* 3: without credentials; with: 0 Allocate, 1 Binding */
    seconds,        /* 4: with: so many */
    leap,           /* 5: with: which of LEAPS_MS; 0x80: the clocks alone */
    allocate, /* 6: with: 1 EVEN-PORT, 2 its R, 4 both families, 8 IPv6 (16: IPv4) by name, 32 the token of party byte 0, 64 byte 1 minutes */
    refresh,           /* 7: with: which of LIFETIMES; 4: of IPv4 alone, 12: IPv6 */
    create_permission, /* 8: with, and each byte: a selector */
    channel_bind,      /* 9: with: a selector; byte 0: the channel, from 0x4000 */
    send_indication,   /* 10: with: a selector; the bytes are the payload */
    channel_data,      /* 11: with: the channel, from 0x4000; the bytes are the payload */
    again,             /* 12: with: 0 to 7 how many requests ago; 8: of party (with >> 4) */
    spoil_next,        /* 13: what happens to the next signed request: 0 the bytes are flips, 1 they stand behind the signature */
    become,            /* 14: with: user (2 bits), 4 by USERHASH, 8 and 16 the algorithm */
    answer,            /* 15: to the oldest question; with: status, 4: expires in 10 times byte 0 seconds */
    reload,            /* 16: with: policy (2 bits), 4 and 8: of which workers */
    faults,            /* 17: with: which, until the next of these */
    hold_back,         /* 18: with: so many letters and records are delivered; 0x80: none by themselves from now on */
    close_stream,      /* 19 */
};

static void step(uint8_t what, uint8_t with, const uint8_t *bytes, size_t len)
{
    struct step s = {(unsigned)(what >> 5) % PARTIES, with, bytes, len};

    /* Ports that the server chooses, and so whatever follows from them, are the same for the same input. */
    for (unsigned i = 0; i < net.workers; i++) {
        struct random *r = &fake_shard(&net, i)->random;

        for (size_t k = 0; k < sizeof(r->buf); k++)
            r->buf[k] = (uint8_t)((k + 1) * 157 + model.answers * 31 + (k >> 3));
        r->used = 0;
    }
    model_begin(&model, held_back);
    STEPS[(what & 0x1F) % (sizeof(STEPS) / sizeof(STEPS[0]))](&s);
    if (!held_back)
        fake_run(&net);
    model_judge(&model);
    for (unsigned i = 0; i < PARTIES; i++)
        for (int k = 0; k < 2; k++)
            if (model.party[i].legs[k].open)
                relayed[i][k] = model.party[i].legs[k].relayed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_up(&net, &(struct fake_options){.workers = 2,
                                         .relays = {"10.0.0.9=9.9.9.9", "2a09::9"},
                                         .port_min = 50000,
                                         .port_max = 50007,
                                         .auth = {.user_quota = 3, .total_quota = 5},
                                         .async = true});
    model_up(&model, &net);
    for (unsigned i = 0; i < PARTIES; i++)
        step((uint8_t)(i << 5 | 3), 0, NULL, 0);
    for (int steps = 0; size >= 4 && steps < STEPS_MAX; steps++) {
        size_t len = (size_t)(data[2] << 8 | data[3]);

        if (len > size - 4)
            len = size - 4;
        step(data[0], data[1], data + 4, len);
        data += 4 + len;
        size -= 4 + len;
    }
    net.fail_adopt = net.fail_start = net.fail_post = 0;
    if (fake_down(&net))
        abort();
    model_down(&model);
    memset(relayed, 0, sizeof(relayed));
    memset(&spoil, 0, sizeof(spoil));
    held_back = false;
    return 0;
}
