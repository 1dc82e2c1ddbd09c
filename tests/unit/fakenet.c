#include "tests/unit/fakenet.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/usage.h"
#include "base/err.h"
#include "relay/alloc.h"
#include "relay/forward.h"
#include "relay/input.h"
#include "relay/turn.h"

static void *need(void *p)
{
    if (!p)
        abort();
    return p;
}

/* Zeros. A test that lets an allocation fail (test_nomem.c) means the server's: asked again, this one succeeds. */
static void *room_for(size_t n)
{
    void *p = calloc(1, n);

    if (!p)
        p = calloc(1, n);
    return need(p);
}

struct addr fake_addr(const char *text)
{
    struct addr a;

    if (addr_parse(&a, text) && addr_parse_ip(&a, text)) {
        fprintf(stderr, "no address: %s\n", text);
        abort();
    }
    return a;
}

/* ---- Relay sockets. ---- */

static int relay_open(void *net, const struct addr *local, struct relay_socket **out)
{
    struct fake_worker *w = net;
    struct fakenet *f = w->net;

    f->opens++;
    if (f->fail_open && f->fail_open_after-- <= 0)
        return f->fail_open;
    if (f->busy_port == local->port)
        return ERR_ADDRINUSE;
    for (struct relay_socket *s = f->sockets; s; s = s->next)
        if (addr_equal(&s->local, local))
            return ERR_ADDRINUSE;
    struct relay_socket *s = room_for(sizeof(*s));
    s->worker = w->index;
    s->local = *local;
    s->fd = f->next_fd++;
    s->next = f->sockets;
    f->sockets = s;
    *out = s;
    return 0;
}

static int relay_start(void *net, struct relay_socket *s, unsigned relay, uint16_t port)
{
    struct fake_worker *w = net;

    if (w->net->fail_start)
        return w->net->fail_start;
    assert(s->worker == w->index && !s->detached);
    s->started = true;
    s->relay = relay;
    s->port = port;
    return 0;
}

static void forget_socket(struct fakenet *f, struct relay_socket *s)
{
    struct relay_socket **at = &f->sockets;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s);
}

static void relay_close(void *net, struct relay_socket **s)
{
    struct fake_worker *w = net;

    if (*s) {
        bool advertised;
        int i = ports_find(w->net->ports, &(*s)->local, &advertised);

        assert((*s)->worker == w->index && !(*s)->detached);
        /* No other worker may find it any more. */
        assert(i >= 0 && ports_owner(w->net->ports, ports_address(w->net->ports, (unsigned)i)->space, (*s)->local.port) < 0);
        forget_socket(w->net, *s);
    }
    *s = NULL;
}

static int relay_detach(void *net, struct relay_socket **s)
{
    struct fake_worker *w = net;
    int fd = (*s)->fd;

    assert((*s)->worker == w->index);
    (*s)->detached = true;
    *s = NULL;
    return fd;
}

static int relay_adopt(void *net, int fd, struct relay_socket **out)
{
    struct fake_worker *w = net;
    struct relay_socket *s = w->net->sockets;

    while (s && !(s->detached && s->fd == fd))
        s = s->next;
    need(s);
    if (w->net->fail_adopt) {
        forget_socket(w->net, s);
        return w->net->fail_adopt;
    }
    s->detached = false;
    s->worker = w->index;
    *out = s;
    return 0;
}

/* ---- Sending: all of it is kept. ---- */

static struct fake_sent *keep(struct fake_worker *w, const uint8_t *data, size_t len, uint8_t tos)
{
    struct fake_sent *s = room_for(sizeof(*s));

    s->worker = w->index;
    s->tos = tos;
    s->len = len;
    s->data = room_for(len + 1);
    if (len)
        memcpy(s->data, data, len);
    *w->net->sent_end = s;
    w->net->sent_end = &s->next;
    return s;
}

static int relay_send(void *net, struct relay_socket *s, const struct addr *peer, const uint8_t *data, size_t len, uint8_t tos,
                      bool df)
{
    struct fake_worker *w = net;

    if (w->net->fail_peer_send)
        return w->net->fail_peer_send;
    assert(s->worker == w->index && s->started);
    struct fake_sent *sent = keep(w, data, len, tos);
    sent->to_peer = true;
    sent->local = s->local;
    sent->peer = *peer;
    sent->df = df;
    return 0;
}

static int client_send(void *net, const struct path *to, const uint8_t *data, size_t len, uint8_t tos)
{
    struct fake_worker *w = net;

    if (w->net->fail_client_send)
        return w->net->fail_client_send;
    keep(w, data, len, tos)->path = *to;
    return 0;
}

/* ---- Between workers. ---- */

static int post(void *net, unsigned worker, const struct mail *mail)
{
    struct fake_worker *w = net;
    struct fake_letter *l, **at = &w->net->letters;

    if (w->net->fail_post)
        return w->net->fail_post;
    l = room_for(sizeof(*l));
    l->to = worker;
    l->mail = *mail;
    while (*at)
        at = &(*at)->next;
    *at = l;
    return 0;
}

static void *splice_reserve(void *net, unsigned worker, size_t len)
{
    struct fake_worker *w = net;
    struct fake_record *r, **at = &w->net->records;

    if (w->net->ring_full)
        return NULL;
    r = room_for(sizeof(*r));
    r->to = worker;
    r->len = len;
    r->bytes = room_for(len);
    memset(r->bytes, w->net->poison, len);
    while (*at)
        at = &(*at)->next;
    *at = r;
    return r->bytes;
}

static void splice_commit(void *net, unsigned worker)
{
    struct fake_worker *w = net;
    struct fake_record *r = w->net->records;

    while (r->next)
        r = r->next;
    assert(r->to == worker);
    r->committed = true;
}

static void on_event(void *net, const struct relay_event_info *e)
{
    struct fake_worker *w = net;

    w->net->events[e->event]++;
    w->net->last_code = e->code;
    w->net->last_lifetime_s = e->lifetime_s;
    w->net->last_age_ms = e->alloc ? w->shard.now.ms - e->alloc->created_ms : 0;
    snprintf(w->net->last_method, sizeof(w->net->last_method), "%s", e->method ? e->method : "");
    snprintf(w->net->last_detail, sizeof(w->net->last_detail), "%s", e->detail ? e->detail : "");
    snprintf(w->net->last_user, sizeof(w->net->last_user), "%s", e->user ? e->user : "");
}

int fake_run_some(struct fakenet *f, int most)
{
    int n = 0;

    while (n < most && (f->letters || f->records)) {
        struct fake_letter *l = f->letters;
        struct fake_record *r = f->records;

        n++;
        if (l) {
            f->letters = l->next;
            turn_mail(&f->worker[l->to].shard, &l->mail);
            free(l);
            continue;
        }
        f->records = r->next;
        if (r->committed) {
            struct splice *sp = r->bytes;

            assert(r->len == splice_size(sp->len));
            count(&f->worker[r->to].counters, COUNT_SPLICE_IN);
            forward_spliced(&f->worker[r->to].shard, sp, splice_payload(sp));
        }
        free(r->bytes);
        free(r);
    }
    return n;
}

int fake_run(struct fakenet *f)
{
    return fake_run_some(f, INT_MAX);
}

/* ---- The asynchronous source. ---- */

/* What is known about any user of this password. */
static void fill_answer(const struct fakenet *f, struct auth_answer *a, const char *user, enum stun_password_algorithm algorithm,
                        const char *password)
{
    a->nkeys = 1;
    snprintf(a->name, sizeof(a->name), "%s", user);
    snprintf(a->owner, sizeof(a->owner), "%s", f->async_label ? "acme" : user);
    snprintf(a->label, sizeof(a->label), "%s", f->async_label ? f->async_label : "");
    a->is_token = f->async_label != NULL;
    a->limits.bytes = f->async_bytes;
    a->limits.bps = f->async_bps;
    snprintf(a->peers, sizeof(a->peers), "%s", f->async_peers ? f->async_peers : "");
    if (algorithm == STUN_ALG_SHA256) {
        a->key_len = STUN_SHA256_KEY_LEN;
        stun_key_sha256(user, f->realm, password, a->keys[0]);
    } else {
        a->key_len = STUN_MD5_KEY_LEN;
        stun_key_md5(user, f->realm, password, a->keys[0]);
    }
}

static enum auth_status async_check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb,
                                    void *ctx, struct auth_ticket **ticket)
{
    struct fakenet *f = self;
    struct fake_question *q, **at = &f->questions;

    f->lookups++;
    if (f->async_status == AUTH_OK && request->user) {
        answer->expires_at = 0;
        fill_answer(f, answer, request->user, request->algorithm, "x");
    }
    if (f->async_status != AUTH_PENDING)
        return f->async_status;
    q = room_for(sizeof(*q));
    q->cb = cb;
    q->ctx = ctx;
    q->algorithm = request->algorithm;
    snprintf(q->user, sizeof(q->user), "%s", request->user ? request->user : "");
    while (*at)
        at = &(*at)->next;
    *at = q;
    *ticket = &q->ticket;
    return AUTH_PENDING;
}

static void async_cancel(void *self, struct auth_ticket *ticket)
{
    struct fakenet *f = self;
    struct fake_question **at = &f->questions, *q;

    while (*at && &(*at)->ticket != ticket)
        at = &(*at)->next;
    q = need(*at);
    *at = q->next;
    f->cancelled++;
    free(q);
}

bool fake_answer(struct fakenet *f, enum auth_status status, const char *password, int64_t expires_at)
{
    struct fake_question *q = f->questions;
    struct auth_answer a = {.status = status, .expires_at = expires_at};

    if (!q)
        return false;
    f->questions = q->next;
    if (status == AUTH_OK)
        fill_answer(f, &a, q->user, q->algorithm, password);
    q->cb(q->ctx, &a);
    free(q);
    return true;
}

unsigned fake_questions(const struct fakenet *f)
{
    unsigned n = 0;
    for (const struct fake_question *q = f->questions; q; q = q->next)
        n++;
    return n;
}

/* ---- The fleet. ---- */

static enum auth_quota_result fleet_ask(void *self, unsigned worker, const struct auth_share *share, const struct auth_grant *grant,
                                        struct auth_quota_ticket **ticket)
{
    struct fakenet *f = self;
    struct fake_ask *q, **at = &f->asks;

    assert(worker < f->workers);
    f->asked++;
    if (f->no_fleet)
        return AUTH_QUOTA_OK;
    q = room_for(sizeof(*q));
    q->count = grant->count;
    q->limit = grant->limit;
    snprintf(q->owner, sizeof(q->owner), "%s", share->owner);
    q->ticket.owner = q->owner;
    while (*at)
        at = &(*at)->next;
    *at = q;
    *ticket = &q->ticket;
    return AUTH_QUOTA_PENDING;
}

static void fleet_cancel(void *self, struct auth_quota_ticket *ticket)
{
    struct fakenet *f = self;
    struct fake_ask **at = &f->asks, *q;

    while (*at && &(*at)->ticket != ticket)
        at = &(*at)->next;
    q = need(*at);
    *at = q->next;
    f->cancelled++;
    free(q);
}

static void fleet_ended(void *self, const char *owner)
{
    struct fakenet *f = self;

    (void)owner;
    f->ended++;
}

static bool fleet_draining(void *self)
{
    const struct fakenet *f = self;

    return f->draining;
}

static bool fleet_elsewhere(void *self, enum addr_family family, bool stream, struct addr *out)
{
    const struct fakenet *f = self;

    *out = f->elsewhere[family == ADDR_V6][stream];
    return out->family != ADDR_NONE;
}

bool fake_decide(struct fakenet *f, enum auth_quota_result result)
{
    struct fake_ask *q = f->asks;

    if (!q)
        return false;
    f->asks = q->next;
    auth_quota_answer(&q->ticket, result);
    free(q);
    return true;
}

unsigned fake_asks(const struct fakenet *f)
{
    unsigned n = 0;
    for (const struct fake_ask *q = f->asks; q; q = q->next)
        n++;
    return n;
}

/* ---- Life. ---- */

static void keep_clock(void *net)
{
    (void)net; /* fake_clock sets it */
}

static const struct net_ops OPS = {
    .relay_open = relay_open,
    .relay_start = relay_start,
    .relay_close = relay_close,
    .relay_detach = relay_detach,
    .relay_adopt = relay_adopt,
    .relay_send = relay_send,
    .client_send = client_send,
    .clock = keep_clock,
    .post = post,
    .splice_reserve = splice_reserve,
    .splice_commit = splice_commit,
    .event = on_event,
    .can_dont_fragment = true,
};

static void ok(int err, const char *what)
{
    if (err) {
        fprintf(stderr, "%s: %s\n", what, err_str(err));
        abort();
    }
}

/* This host's addresses are those that it relays from, under both names. */
struct policy *fake_policy(const struct fakenet *f, const struct policy_config *entries)
{
    struct policy_config c = *entries;
    struct addr host[2 * FAKE_RELAYS];
    struct policy *p;

    c.host = host;
    c.nhost = 2 * ports_count(f->ports);
    for (size_t i = 0; i < c.nhost; i++) {
        const struct relay_address *r = ports_address(f->ports, (unsigned)(i / 2));

        host[i] = i % 2 ? r->advertised : r->local;
    }
    ok(policy_new(&p, &c, NULL), "policy_new");
    return p;
}

static void up_ports(struct fakenet *f, const struct fake_options *o)
{
    struct relay_address relays[FAKE_RELAYS] = {{.local = fake_addr("9.9.9.9"), .advertised = fake_addr("9.9.9.9")}};
    size_t n = 1;

    for (size_t i = 0; i < FAKE_RELAYS && o->relays[i]; i++) {
        char local[64], *equals;

        snprintf(local, sizeof(local), "%s", o->relays[i]);
        equals = strchr(local, '=');
        if (equals)
            *equals = '\0';
        relays[i].local = fake_addr(local);
        relays[i].advertised = fake_addr(equals ? equals + 1 : local);
        n = i + 1;
    }
    ok(ports_new(&f->ports, relays, n, o->port_min ? o->port_min : 49152, o->port_max ? o->port_max : 65535), "ports_new");
    f->policy = fake_policy(f, &o->policy);
}

static void up_auth(struct fakenet *f, const struct fake_options *o)
{
    struct auth_config c = o->auth;

    if (!c.realm)
        c.realm = "example.org";
    ok(auth_new(&f->auth, &c), "auth_new");
    snprintf(f->realm, sizeof(f->realm), "%s", c.realm);
    if (o->usage) {
        ok(usage_new(&f->usage), "usage_new");
        auth_keep_usage(f->auth, f->usage);
    }
    ok(auth_add_user(f->auth, "alice", "sesame"), "alice");
    ok(auth_add_user(f->auth, "bob", "swordfish"), "bob");
    if (o->md5_user)
        ok(auth_add_user(f->auth, "old", "0x8493fbc53ba582fb4c044c456bdc40eb"), "old");
    for (int i = 0; i < 2 && o->secrets[i]; i++)
        ok(auth_add_secret(f->auth, o->secrets[i]), "secret");
    if (o->fleet)
        auth_set_fleet(f->auth, &(struct auth_fleet){.ask = fleet_ask,
                                                     .cancel = fleet_cancel,
                                                     .ended = fleet_ended,
                                                     .draining = fleet_draining,
                                                     .elsewhere = fleet_elsewhere,
                                                     .self = f});
    if (o->async)
        ok(auth_add_source(f->auth, &(struct auth_source){.name = "fake",
                                                          .can_sha256 = true,
                                                          .can_userhash = true,
                                                          .check = async_check,
                                                          .cancel = async_cancel,
                                                          .self = f}),
           "fake source");
}

void fake_up(struct fakenet *f, const struct fake_options *o)
{
    struct shard_config c;

    if (f->workers)
        fake_down(f);
    *f = (struct fakenet){.workers = o->workers ? o->workers : 1, .now = {FAKE_MS, FAKE_WALL}, .ops = OPS, .next_fd = 100};
    f->sent_end = &f->sent;
    f->async_status = AUTH_PENDING;
    f->ops.can_dont_fragment = !o->no_dont_fragment;
    for (size_t i = 0; i < sizeof(f->nonce_key.secret); i++)
        f->nonce_key.secret[i] = (uint8_t)(i * 7 + 1);
    ok(stun_mac_new(&f->mac), "stun_mac_new");
    ok(throttle_new(&f->throttle), "throttle_new");
    up_ports(f, o);
    up_auth(f, o);
    for (unsigned i = 0; i < f->workers; i++) {
        struct fake_worker *w = &f->worker[i];

        w->net = f;
        w->index = i;
        c = (struct shard_config){.worker = i,
                                  .workers = f->workers,
                                  .auth = f->auth,
                                  .ports = f->ports,
                                  .nonce_key = &f->nonce_key,
                                  .throttle = f->throttle,
                                  .policy = f->policy,
                                  .settings = o->settings,
                                  .net = &f->ops,
                                  .net_ctx = w,
                                  .counters = &w->counters,
                                  .now = f->now};
        if (!c.settings.max_lifetime_s)
            c.settings.max_lifetime_s = 3600;
        ok(shard_init(&w->shard, &c), "shard_init");
        w->up = true;
    }
}

int fake_in_use(const struct fakenet *f)
{
    int n = (int)ports_in_use(f->ports) + (int)auth_quota_total(f->auth);

    for (const struct relay_socket *s = f->sockets; s; s = s->next)
        n++;
    return n;
}

int fake_down(struct fakenet *f)
{
    int left;

    if (!f->workers)
        return 0;
    fake_run(f);
    for (unsigned i = 0; i < f->workers; i++)
        if (f->worker[i].up)
            shard_deinit(&f->worker[i].shard);
    left = fake_in_use(f) + (int)fake_questions(f) + (int)fake_asks(f) + (int)f->violations;
    if (left)
        printf("# left behind: ports and sockets and quotas %d, questions %u, violations %u\n", fake_in_use(f),
               fake_questions(f) + fake_asks(f), f->violations);
    while (f->questions)
        async_cancel(f, &f->questions->ticket);
    while (f->asks)
        fleet_cancel(f, &f->asks->ticket);
    while (f->sockets)
        forget_socket(f, f->sockets);
    for (struct fake_sent *s = f->sent, *next; s; s = next) {
        next = s->next;
        free(s->data);
        free(s);
    }
    ports_free(&f->ports);
    throttle_free(&f->throttle);
    auth_free(&f->auth);
    policy_unref(&f->policy);
    stun_mac_free(&f->mac);
    f->workers = 0;
    return left;
}

struct shard *fake_shard(struct fakenet *f, unsigned worker)
{
    return &f->worker[worker].shard;
}

void fake_clock(struct fakenet *f, uint64_t ms)
{
    f->now.ms += ms;
    f->now.wall = FAKE_WALL + (int64_t)((f->now.ms - FAKE_MS) / 1000);
    for (unsigned i = 0; i < f->workers; i++)
        f->worker[i].shard.now = f->now;
}

void fake_pass(struct fakenet *f, uint64_t ms)
{
    fake_clock(f, ms);
    for (unsigned i = 0; i < f->workers; i++)
        shard_tick(&f->worker[i].shard);
}

uint64_t fake_count(const struct fakenet *f, enum counter which)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < f->workers; i++)
        n += count_read(&f->worker[i].counters, which);
    return n;
}

/* ---- What a test does. ---- */

struct fake_sent *fake_take_peer(struct fakenet *f)
{
    struct fake_sent *s = f->sent;

    while (s && (s->taken || !s->to_peer))
        s = s->next;
    if (s)
        s->taken = true;
    return s;
}

struct fake_sent *fake_take_client(struct fakenet *f, const struct path *path)
{
    struct fake_sent *s = f->sent;

    while (s && (s->taken || s->to_peer || memcmp(&s->path, path, PATH_KEY_LEN) != 0))
        s = s->next;
    if (s)
        s->taken = true;
    return s;
}

unsigned fake_untaken(const struct fakenet *f)
{
    unsigned n = 0;
    for (const struct fake_sent *s = f->sent; s; s = s->next)
        n += !s->taken;
    return n;
}

/* A copy with exactly the room that relay/shard.h promises, so that a sanitizer sees the first byte beyond it. */
static uint8_t *roomy(const struct fakenet *f, const void *data, size_t len)
{
    uint8_t *room = room_for(HEADROOM + len + TAILROOM);

    memset(room, f->poison, HEADROOM + len + TAILROOM);
    if (len)
        memcpy(room + HEADROOM, data, len);
    return room;
}

bool fake_from_peer(struct fakenet *f, const struct addr *relayed, const char *peer, const void *data, size_t len, uint8_t tos)
{
    struct addr local = *relayed, from = fake_addr(peer);
    struct relay_socket *s = f->sockets;
    uint8_t *room;
    bool advertised;
    int i = ports_find(f->ports, relayed, &advertised);

    if (i >= 0)
        local = addr_with_port(&ports_address(f->ports, (unsigned)i)->local, relayed->port);
    while (s && !(s->started && addr_equal(&s->local, &local)))
        s = s->next;
    if (!s)
        return false;
    room = roomy(f, data, len);
    forward_from_peer(&f->worker[s->worker].shard, s->relay, s->port, &from, room + HEADROOM, len, tos);
    free(room);
    return true;
}

int fake_from_client(struct fakenet *f, unsigned worker, const struct path *path, const void *data, size_t len, uint8_t tos)
{
    struct shard *s = &f->worker[worker].shard;
    uint8_t *room = roomy(f, data, len);
    int err = 0;

    if (path->transport == TRANSPORT_UDP) {
        input_datagram(s, path, room + HEADROOM, len, tos);
    } else {
        err = input_frame_len(s, path, room + HEADROOM, len);
        if (err > 0 && (size_t)err <= len)
            err = input_frame(s, path, room + HEADROOM, len, tos);
    }
    free(room);
    return err;
}
