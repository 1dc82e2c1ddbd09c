#include "probe/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/wire.h"
#include "probe/direct.h"
#include "probe/trial.h"

enum {
    MAGIC = 0x54505230,      /* of a payload */
    HELLO_MS = 100,          /* between two first packets */
    HELLOS = 20,             /* before the way between them counts as shut */
    LOOK_MS = 200,           /* between two looks whether another rule has found out what we need */
    EXPIRY_MIN = 1000000000, /* a smaller number in a name is no time: an extension, say */
};

uint64_t pair_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- Payloads. ---- */

static void write_head(uint8_t out[static PAIR_HEAD], const struct pair_packet *packet)
{
    struct wire_out w = wire_into(out, PAIR_HEAD);

    wire_put_u32(&w, MAGIC);
    wire_put_u16(&w, (uint16_t)packet->kind);
    wire_put_u16(&w, (uint16_t)packet->from);
    wire_put_u32(&w, packet->sequence);
    wire_put_u64(&w, packet->sent_us);
}

void pair_head(uint8_t out[static PAIR_HEAD], enum pair_kind kind, unsigned from, uint32_t sequence)
{
    write_head(out, &(struct pair_packet){.kind = kind, .from = from, .sequence = sequence, .sent_us = pair_now_us()});
}

/* To the far end we are the second one, as it is to us. */
bool pair_send(struct pair *p, unsigned from, enum pair_kind kind, uint32_t sequence, size_t len)
{
    uint8_t buf[END_ROOM + END_PAYLOAD_MAX] = {0};

    pair_head(buf + END_ROOM, kind, p->far ? 1 : from, sequence);
    return end_send(p->end[from], buf + END_ROOM, len);
}

static void send_back(struct pair *p, const struct pair_packet *packet)
{
    uint8_t buf[END_ROOM + PAIR_HEAD];
    struct pair_packet back = *packet;

    back.kind = PAIR_ECHO;
    write_head(buf + END_ROOM, &back);
    (void)end_send(p->end[0], buf + END_ROOM, PAIR_HEAD);
}

void pair_take_stream(struct pair *p, const struct pair_packet *packet)
{
    int64_t transit_us = (int64_t)(pair_now_us() - packet->sent_us); /* by two clocks */

    if (packet->kind == PAIR_STREAM && way_take(&p->far_way, packet->sequence, p->far_packets, transit_us) &&
        packet->sequence % PAIR_ECHO_EVERY == 0)
        send_back(p, packet);
}

/* The ends outlive a step that has failed, and what comes late is not for the last steps. */
static bool is_awaited(const struct trial *t)
{
    return !t->settled && t->line->verdict != REPORT_FAIL;
}

static void on_data(void *ctx, struct end *e, const uint8_t *data, size_t len)
{
    struct pair *p = ctx;
    struct wire w = wire_over(data, len);
    uint32_t magic = wire_u32(&w);
    struct pair_packet packet = {.kind = (enum pair_kind)wire_u16(&w), .from = wire_u16(&w)};
    unsigned by = e != p->end[0];

    packet.sequence = wire_u32(&w);
    packet.sent_us = wire_u64(&w);
    packet.len = len;
    if (!w.err && magic == MAGIC && packet.from == !by && p->heard_packet && is_awaited(p->trial))
        p->heard_packet(p->trial, by, &packet);
}

static void on_done(void *ctx, struct end *e, const struct end_result *r)
{
    struct pair *p = ctx;

    if (is_awaited(p->trial))
        p->done(p->trial, e != p->end[0], r);
}

void pair_free(struct pair **p)
{
    struct pair *pair = *p;

    *p = NULL;
    if (!pair)
        return;
    direct_free(&pair->direct);
    end_free(&pair->end[0]);
    end_free(&pair->end[1]);
    free(pair);
}

/* A token is for the connect service wherever a rule leads to one: no relay is shown it then, which may be somebody else's. */
static bool is_services_token(const struct probe_config *c)
{
    char host[RULES_HOST_MAX];
    uint16_t port;

    if (c->host[RULES_CONNECT].name)
        return true;
    for (size_t i = 0; i < c->rules->n; i++) {
        const struct rule *r = &c->rules->item[i];

        if (r->source == c->role && (r->checks & RULES_WEBSOCKET) && trial_destination(c, r, host, &port))
            return true;
    }
    return false;
}

void pair_choose_credentials(struct trial *t)
{
    const struct probe *p = t->probe;
    const struct probe_config *c = p->config;
    struct pair *pair = t->pair;

    if (c->user) {
        pair->user = c->user;
        pair->password = c->password;
    } else if (p->ice_user) {
        pair->user = p->ice_user;
        pair->password = p->ice_password;
    } else if (!is_services_token(c)) {
        pair->user = c->token_user;
        pair->password = c->token_password;
    }
}

struct pair *pair_new(struct trial *t)
{
    t->pair = calloc(1, sizeof(*t->pair));
    if (!t->pair) {
        trial_broken(t, ERR_NOMEM);
        return NULL;
    }
    t->pair->trial = t;
    return t->pair;
}

/* ---- What a relay refuses. ---- */

/* When a time-limited name ends: "EXPIRY:user", "user:EXPIRY" or "EXPIRY"; 0: it is none. */
static int64_t expiry_of(const char *user)
{
    const char *last = strrchr(user, ':'), *part = user;
    char *end;
    long long n;

    for (int i = 0; i < 2 && part; i++) {
        n = strspn(part, "0123456789") ? strtoll(part, &end, 10) : 0;
        if (n >= EXPIRY_MIN && (*end == '\0' || (*end == ':' && i == 0)))
            return n;
        part = last ? last + 1 : NULL;
    }
    return 0;
}

/* The credentials are refused. A name that is good until a time is good or not by whose clock? */
static void refused_credentials(struct trial *t)
{
    const struct probe *p = t->probe;
    int64_t expiry = expiry_of(t->pair->user), now = clock_now().wall, there = now + p->clock_ahead_s;

    if (!expiry)
        trial_fail(t, CODE_TURN_401, "401: the relay does not know this name with this password");
    else if (!p->clock_known && trial_awaits(p, RULES_WEBSOCKET | RULES_HTTP))
        trial_wait(t, LOOK_MS);
    else if (expiry <= now && expiry <= there)
        trial_fail(t, CODE_TURN_401, "401: the name was good until %lld s ago", (long long)(there - expiry));
    else if (expiry <= there)
        trial_fail(t, CODE_TURN_CLOCK_SKEW,
                   "401: the name is good for %lld s by this host's clock, but the service's is %lld s ahead",
                   (long long)(expiry - now), (long long)p->clock_ahead_s);
    else
        trial_fail(t, CODE_TURN_401, "401: the relay does not know this time-limited name with this password");
}

static void refused(struct trial *t, const struct end_result *r)
{
    static const struct {
        int error;
        enum code code;
        const char *text;
    } REASONS[] = {
        {STUN_E_FORBIDDEN, CODE_TURN_403_PEER_DENIED, "its peer rules deny its own relayed address"},
        {STUN_E_ALLOCATION_QUOTA, CODE_TURN_486_QUOTA, "the user has all his allocations; the probe needs two"},
        {STUN_E_INSUFFICIENT_CAPACITY, CODE_TURN_REFUSED, "it is full, or has no relayed address of this family"},
    };

    char text[ADDR_TEXT_MAX];

    if (r->answer.code == STUN_E_UNAUTHENTICATED || r->answer.code == STUN_E_WRONG_CREDENTIALS) {
        refused_credentials(t);
        return;
    }
    if (r->answer.code == STUN_E_TRY_ALTERNATE) {
        trial_fail(t, CODE_TURN_REFUSED, "the relay sends us to another one: %s", addr_text(&r->answer.alternate, text));
        return;
    }
    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++) {
        if (REASONS[i].error == r->answer.code) {
            trial_fail(t, REASONS[i].code, "the relay answers %d: %s", r->answer.code, REASONS[i].text);
            return;
        }
    }
    trial_fail(t, CODE_TURN_REFUSED, "the relay answers %d %s", r->answer.code, stun_reason(r->answer.code));
}

bool pair_went_well(struct trial *t, const struct end_result *r)
{
    switch (r->how) {
    case END_ANSWERED:
        return true;
    case END_REFUSED:
        refused(t, r);
        break;
    case END_SILENT:
        trial_fail(t, CODE_UDP_TIMEOUT, "the relay answers Binding, but not this: %u requests in %u s", r->sends,
                   (unsigned)(r->took_ms / 1000));
        break;
    case END_ALTERED:
        trial_fail(t, CODE_STUN_ALTERED, "%s", r->why);
        break;
    case END_FAULT:
        trial_fail(t, r->code, "%s", r->why);
        break;
    }
    return false;
}

/* ---- The first end: may we relay? ---- */

void pair_allocate(struct trial *t, unsigned which)
{
    static const struct end_events EVENTS = {on_done, on_data};
    const struct end_config config = {.base = t->probe->base,
                                      .server = &t->line->address,
                                      .mac = t->probe->mac,
                                      .user = t->pair->user,
                                      .password = t->pair->password,
                                      .rto_ms = trial_ms(t, STUN_RTO_MS, PAIR_QUICK_RTO_MS)};
    struct pair *p = t->pair;
    int err = end_open(&p->end[which], &config, &EVENTS, p);

    if (err)
        trial_broken(t, err);
    else
        end_request(p->end[which], STUN_ALLOCATE, &p->params[which]);
}

bool pair_take_relayed(struct trial *t, unsigned which, const struct end_result *r)
{
    struct addr *relayed = &t->pair->relayed[which];

    if (!pair_went_well(t, r))
        return false;
    *relayed = r->answer.relayed[r->answer.relayed[0].family ? 0 : 1];
    if (!relayed->family)
        trial_fail(t, CODE_TURN_REFUSED, "the relay's answer to Allocate names no relayed address");
    return relayed->family;
}

static void on_first(struct trial *t, unsigned which, const struct end_result *r)
{
    if (!pair_take_relayed(t, which, r))
        return;
    t->line->measures.relayed = t->pair->relayed[which];
    trial_pass(t);
}

/* Looks whether what it needs is known; the second time on, if it has been refused, what time it is elsewhere. */
static void look(struct trial *t)
{
    const struct probe *p = t->probe;

    if (t->pair->user) {
        refused_credentials(t);
        return;
    }
    if (!p->config->user && !p->signed_in && trial_awaits(p, RULES_WEBSOCKET)) {
        trial_wait(t, LOOK_MS);
        return;
    }
    pair_choose_credentials(t);
    if (t->pair->user) {
        pair_allocate(t, 0);
        return;
    }
    if (p->config->both)
        trial_warn(t, CODE_OTHER_END_MISSING,
                   "the other end was not met: the connect service has handed out no credentials for the relay");
    else
        trial_note(t, "relaying not tried: the connect service has handed out no credentials");
    t->checks = RULES_STUN;
    trial_pass(t);
}

static void begin_allocate(struct trial *t)
{
    if (!pair_new(t))
        return;
    t->pair->done = on_first;
    look(t);
}

const struct step ALLOCATE_STEP = {REPORT_AUTH, RULES_TURN, begin_allocate, look, NULL};

/* ---- The second end, and their channels to each other. ---- */

void pair_bind_channels(struct pair *p)
{
    p->pending = 2;
    for (unsigned i = 0; i < 2; i++) {
        p->params[i] = (struct turn_params){.peers = &p->relayed[!i], .npeers = 1, .channel = END_CHANNEL};
        end_request(p->end[i], STUN_CHANNEL_BIND, &p->params[i]);
    }
}

static void on_bound(struct trial *t, unsigned which, const struct end_result *r)
{
    (void)which;
    if (pair_went_well(t, r) && --t->pair->pending == 0)
        trial_pass(t);
}

static void on_second(struct trial *t, unsigned which, const struct end_result *r)
{
    struct pair *p = t->pair;

    if (!pair_take_relayed(t, which, r))
        return;
    p->done = on_bound;
    pair_bind_channels(p);
}

static void begin_bind(struct trial *t)
{
    t->pair->done = on_second;
    pair_allocate(t, 1);
}

const struct step BIND_STEP = {REPORT_RELAY, RULES_TURN, begin_bind, NULL, NULL};

/* ---- The first packets between them. ---- */

static void on_hello(struct trial *t, unsigned by, const struct pair_packet *packet)
{
    struct pair *p = t->pair;
    char text[ADDR_TEXT_MAX];

    (void)packet;
    p->heard[by] = true;
    if (!p->heard[0] || !p->heard[1])
        return;
    trial_note(t, "relayed by %s", addr_ip_text(&p->relayed[0], text));
    trial_pass(t);
}

/* Neither, or one of them, in vain. */
static void say_hello(struct trial *t)
{
    struct pair *p = t->pair;
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
    bool neither = !p->heard[0] && !p->heard[1];
    unsigned from = p->heard[0] ? 0 : 1;

    if (p->pending++ == HELLOS) {
        trial_fail(t, CODE_RELAY_PAIR_FAILED, "%s %s %s is lost, though both are allowed", addr_text(&p->relayed[from], a),
                   neither ? "and" : "to", addr_text(&p->relayed[!from], b));
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        (void)pair_send(p, i, PAIR_HELLO, 0, PAIR_HEAD);
    trial_wait(t, HELLO_MS);
}

static void begin_pair(struct trial *t)
{
    t->pair->pending = 0;
    t->pair->heard_packet = on_hello;
    say_hello(t);
}

const struct step PAIR_STEP = {REPORT_PAIR, RULES_TURN, begin_pair, say_hello, NULL};
