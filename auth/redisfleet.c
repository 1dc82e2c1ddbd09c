#include "auth/redisfleet.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "auth/owners.h"
#include "auth/redisshares.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"

enum {
    KEY_MAX = REDISFLEET_PREFIX_MAX + FLEET_ID_MAX + 16,
    BOOT_BYTES = 8,
};
_Static_assert((int)REDISSHARES_TTL_MS == (int)REDISFLEET_TTL_MS, "a dead node gives back what it held when its heart-beat ends");
_Static_assert(3 * AUTH_QUOTA_PARTS * REDISFLEET_TICK_MS < (int)REDISSHARES_TTL_MS, "two rounds of telling may be lost");

/* A node that is being read, and what it said last. */
struct peer {
    struct redisfleet *fleet;
    bool alive;
    uint64_t known_ms; /* when it was read last: one whose part of a Cluster is away says nothing of the others */
    char id[FLEET_ID_MAX + 1];
    struct fleet_node node;
};

struct redisfleet {
    struct redis_target target;
    char prefix[REDISFLEET_PREFIX_MAX];
    char id[FLEET_ID_MAX + 1];
    char boot[2 * BOOT_BYTES + 1]; /* this process, among those that say that they are this node */
    struct auth *auth;
    struct redisshares *shares;
    struct fleet *fleet;
    struct redisfleet_config config; /* its callbacks; the rest is above */
    int64_t started;

    struct event_base *base; /* NULL: not started */
    struct redis *redis;
    struct event beat, tick, wake;
    int wake_fd;
    unsigned part;   /* of the owners, to be told in the next tick */
    bool ready;      /* as the health said last */
    bool draining;   /* as Redis said last */
    bool registered; /* this process' record has been there */
    bool taken;      /* and then another's: told once */
    bool refused;    /* told once */
    struct redis_call *beating, *listing;
    unsigned reading; /* peers that are being read */
    struct peer peers[FLEET_NODES_MAX];
    size_t npeers, npublished;

    struct owners *owners; /* whose shares are to be told */
    unsigned telling;      /* shares that are being told */
    bool last;             /* the node goes */
};

static void tell_event(struct redisfleet *f, enum redisfleet_event event, const char *text)
{
    f->config.event(f->config.ctx, event, text);
}

/* An error of Redis, told once: the next beat would only repeat it. */
static void tell_refusal(struct redisfleet *f, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR || f->refused)
        return;
    f->refused = true;
    tell_event(f, REDISFLEET_REFUSED, reply->str);
}

static struct redis_arg word(const char *text)
{
    return (struct redis_arg){text, strlen(text)};
}

static void make_key(const struct redisfleet *f, char key[static KEY_MAX], const char *kind, const char *id)
{
    snprintf(key, KEY_MAX, id ? "%s%s:{%s}" : "%s%s", f->prefix, kind, id);
}

/* ---- Telling. ---- */

static void tell_some(struct redisfleet *f);

static void on_told(void *ctx, int err, const redisReply *reply)
{
    struct redisfleet *f = ctx;

    f->telling--;
    if (!err)
        tell_refusal(f, reply);
    tell_some(f);
}

static void tell_some(struct redisfleet *f)
{
    struct auth_held held;
    char *owner;

    while (f->ready && f->telling < REDISFLEET_TELL_MAX && (owner = owners_take(f->owners))) {
        auth_quota_held(f->auth, owner, &held);
        if (redisshares_tell(f->shares, f->redis, owner, &held, f->last, on_told, f) == 0)
            f->telling++;
        if (held.pending && !f->last) /* what is asked about now may change it */
            owners_add(f->owners, owner, true);
        free(owner);
    }
}

static void visit_owner(void *ctx, const char *owner)
{
    struct redisfleet *f = ctx;

    owners_add(f->owners, owner, false);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct redisfleet *f = ctx;

    (void)fd, (void)what;
    owners_due(f->owners);
    auth_quota_each(f->auth, f->part, visit_owner, f);
    f->part = (f->part + 1) % AUTH_QUOTA_PARTS;
    tell_some(f);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    uint64_t n;
    ssize_t got = read(fd, &n, sizeof(n));

    (void)what, (void)got;
    tell_some(ctx);
}

/* ---- The beat. ---- */

/* KEYS: the node's record, the wish to drain. ARGV: TTL of both, then the record's fields and values. Whose record was there, and is there a wish? */
static const char BEAT[] = "local was = redis.call('HGET', KEYS[1], 'boot') or ''\n"
                           "local drains = redis.call('EXPIRE', KEYS[2], ARGV[2])\n"
                           "redis.call('HSET', KEYS[1], unpack(ARGV, 3))\n"
                           "if drains == 1 then redis.call('HSET', KEYS[1], 'draining', 1) end\n"
                           "redis.call('PEXPIRE', KEYS[1], ARGV[1])\n"
                           "return {was, drains}\n";

/* KEYS: the list of nodes. ARGV: this one, how long a silent one stays in it, and how many are wanted. By the server's clock: it is one for all. */
static const char LIST[] = "local now = tonumber(redis.call('TIME')[1])\n"
                           "redis.call('ZADD', KEYS[1], now, ARGV[1])\n"
                           "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])\n"
                           "return redis.call('ZREVRANGE', KEYS[1], 0, ARGV[3] - 1)\n";

static void set_draining(struct redisfleet *f, bool draining)
{
    if (draining == f->draining)
        return;
    f->draining = draining;
    fleet_drain(f->fleet, draining);
    tell_event(f, draining ? REDISFLEET_DRAINING : REDISFLEET_DRAIN_ENDED, f->id);
}

static void on_beaten(void *ctx, int err, const redisReply *reply)
{
    struct redisfleet *f = ctx;

    f->beating = NULL;
    if (err)
        return; /* what was said last stands */
    tell_refusal(f, reply);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_INTEGER)
        return;
    if (f->registered && !f->taken && reply->element[0]->len && strcmp(reply->element[0]->str, f->boot) != 0) {
        f->taken = true;
        tell_event(f, REDISFLEET_ID_TAKEN, f->id);
    }
    f->registered = true;
    set_draining(f, reply->element[1]->integer == 1);
}

static int send_beat(struct redisfleet *f)
{
    struct fleet_node self = {.started = f->started, .draining = auth_drains(f->auth)};
    struct fleet_field fields[FLEET_FIELDS_MAX];
    struct fleet_text text;
    struct redis_arg argv[7 + 2 * (FLEET_FIELDS_MAX + 1)];
    char node[KEY_MAX], drain[KEY_MAX], ttl[16], drain_ttl[16];
    size_t n, argc = 0;

    f->config.sample(f->config.ctx, &self);
    n = fleet_write(&self, &text, fields);
    make_key(f, node, "node", f->id);
    make_key(f, drain, "drain", f->id);
    snprintf(ttl, sizeof(ttl), "%d", REDISFLEET_TTL_MS);
    snprintf(drain_ttl, sizeof(drain_ttl), "%d", REDISFLEET_DRAIN_S);
    argv[argc++] = word("EVAL");
    argv[argc++] = word(BEAT);
    argv[argc++] = word("2");
    argv[argc++] = word(node);
    argv[argc++] = word(drain);
    argv[argc++] = word(ttl);
    argv[argc++] = word(drain_ttl);
    argv[argc++] = word("boot");
    argv[argc++] = word(f->boot);
    for (size_t i = 0; i < n; i++) {
        argv[argc++] = word(fields[i].name);
        argv[argc++] = (struct redis_arg){fields[i].value, fields[i].len};
    }
    return redis_command(f->redis, node, strlen(node), argv, argc, REDISFLEET_DEADLINE_MS, on_beaten, f, &f->beating);
}

/* ---- The others. ---- */

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct fleet_node *)a)->id, ((const struct fleet_node *)b)->id);
}

/* Does it live, as far as anybody knows? */
static bool is_known(const struct peer *p, uint64_t now_ms)
{
    return p->alive && now_ms <= p->known_ms + REDISFLEET_TTL_MS;
}

static size_t count_known(const struct redisfleet *f, uint64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < f->npeers; i++)
        n += is_known(&f->peers[i], now_ms);
    return n;
}

static void publish(struct redisfleet *f)
{
    struct fleet_node *nodes = calloc(FLEET_NODES_MAX, sizeof(*nodes));
    uint64_t now_ms = clock_now().ms;
    size_t n = 0;

    for (size_t i = 0; nodes && i < f->npeers; i++)
        if (is_known(&f->peers[i], now_ms))
            nodes[n++] = f->peers[i].node;
    if (n)
        qsort(nodes, n, sizeof(*nodes), compare_ids);
    fleet_publish(f->fleet, nodes, n);
    f->npublished = n;
    free(nodes);
}

size_t redisfleet_others(const struct redisfleet *f)
{
    return f->npublished;
}

int redisfleet_read(struct fleet_node *out, const char *id, const redisReply *r)
{
    struct fleet_field fields[FLEET_FIELDS_MAX];
    size_t n = 0;

    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2 || r->elements / 2 > FLEET_FIELDS_MAX)
        return ERR_MALFORMED;
    for (; n < r->elements / 2; n++) {
        const redisReply *name = r->element[2 * n], *value = r->element[2 * n + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return ERR_MALFORMED;
        fields[n] = (struct fleet_field){name->str, value->str, value->len};
    }
    return fleet_read(out, id, fields, n);
}

static void on_node(void *ctx, int err, const redisReply *reply)
{
    struct peer *p = ctx;
    struct redisfleet *f = p->fleet;
    struct fleet_node node;
    bool alive;

    if (!err) {
        alive = redisfleet_read(&node, p->id, reply) == 0;
        if (alive)
            p->node = node;
        if (alive != p->alive)
            tell_event(f, alive ? REDISFLEET_NODE_UP : REDISFLEET_NODE_DOWN, p->id);
        p->alive = alive;
        p->known_ms = clock_now().ms;
    }
    if (--f->reading == 0)
        publish(f);
}

static bool listed(const redisReply *ids, const char *id)
{
    for (size_t i = 0; i < ids->elements; i++)
        if (ids->element[i]->type == REDIS_REPLY_STRING && strcmp(ids->element[i]->str, id) == 0)
            return true;
    return false;
}

static bool has_peer(const struct redisfleet *f, const char *id)
{
    for (size_t i = 0; i < f->npeers; i++)
        if (strcmp(f->peers[i].id, id) == 0)
            return true;
    return false;
}

/* The peers are those of the list: what is not there any more has gone, what is new is to be read. Nothing is being read meanwhile. */
static void take_list(struct redisfleet *f, const redisReply *ids)
{
    for (size_t i = 0; i < f->npeers; i++) {
        struct peer *p = &f->peers[i];

        if (listed(ids, p->id))
            continue;
        if (p->alive)
            tell_event(f, REDISFLEET_NODE_DOWN, p->id);
        *p = f->peers[--f->npeers];
        i--;
    }
    for (size_t i = 0; i < ids->elements && f->npeers < FLEET_NODES_MAX; i++) {
        const redisReply *id = ids->element[i];
        struct peer *p = &f->peers[f->npeers];

        if (id->type != REDIS_REPLY_STRING || strlen(id->str) != id->len || !fleet_id_ok(id->str) || strcmp(id->str, f->id) == 0 ||
            has_peer(f, id->str))
            continue;
        *p = (struct peer){.fleet = f};
        memcpy(p->id, id->str, id->len + 1);
        f->npeers++;
    }
}

static void read_peers(struct redisfleet *f)
{
    char key[KEY_MAX];

    for (size_t i = 0; i < f->npeers; i++) {
        struct peer *p = &f->peers[i];
        struct redis_arg argv[] = {word("HGETALL"), {key, 0}};

        make_key(f, key, "node", p->id);
        argv[1].len = strlen(key);
        if (redis_command(f->redis, key, strlen(key), argv, 2, REDISFLEET_DEADLINE_MS, on_node, p, NULL) == 0)
            f->reading++;
    }
    if (!f->reading)
        publish(f);
}

static void on_listed(void *ctx, int err, const redisReply *reply)
{
    struct redisfleet *f = ctx;

    f->listing = NULL;
    if (err)
        return;
    tell_refusal(f, reply);
    if (reply->type != REDIS_REPLY_ARRAY || f->reading)
        return;
    take_list(f, reply);
    read_peers(f);
}

static int send_list(struct redisfleet *f)
{
    struct redis_arg argv[] = {word("EVAL"), word(LIST), word("1"), {0}, word(f->id), {0}, {0}};
    char nodes[KEY_MAX], keep[16], most[16];

    make_key(f, nodes, "nodes", NULL);
    snprintf(keep, sizeof(keep), "%d", REDISFLEET_INDEX_S);
    snprintf(most, sizeof(most), "%d", FLEET_NODES_MAX + 1);
    argv[3] = word(nodes);
    argv[5] = word(keep);
    argv[6] = word(most);
    return redis_command(f->redis, nodes, strlen(nodes), argv, sizeof(argv) / sizeof(argv[0]), REDISFLEET_DEADLINE_MS, on_listed, f,
                         &f->listing);
}

void redisfleet_beat(struct redisfleet *f)
{
    if (!f->base || !f->ready || f->last)
        return;
    if (!f->beating)
        (void)send_beat(f);
    if (!f->listing && !f->reading)
        (void)send_list(f);
}

static void on_beat(evutil_socket_t fd, short what, void *ctx)
{
    struct redisfleet *f = ctx;

    (void)fd, (void)what;
    if (count_known(f, clock_now().ms) < f->npublished) /* nobody knows any more whether those live */
        publish(f);
    redisfleet_beat(f);
}

static void on_health(void *ctx, const struct redis_health *h)
{
    struct redisfleet *f = ctx;
    bool was = f->ready;

    f->ready = h->ready;
    if (h->ready != was)
        owners_open(f->owners, h->ready);
    if (h->ready && !was) { /* what ended meanwhile is not known any more, what lives is told at once */
        f->refused = false;
        for (unsigned i = 0; i < AUTH_QUOTA_PARTS; i++)
            auth_quota_each(f->auth, i, visit_owner, f);
        tell_some(f);
        redisfleet_beat(f);
        tell_event(f, REDISFLEET_READY, f->id);
    } else if (!h->ready && h->reconnects) {
        tell_event(f, REDISFLEET_UNAVAILABLE, h->reason);
    }
}

/* ---- What the workers ask. ---- */

static enum auth_quota_result ask(void *self, unsigned worker, const struct auth_share *share, const struct auth_grant *grant,
                                  struct auth_quota_ticket **ticket)
{
    const struct redisfleet *f = self;

    return redisshares_ask(f->shares, worker, share, grant, ticket);
}

static void cancel(void *self, struct auth_quota_ticket *ticket)
{
    const struct redisfleet *f = self;

    redisshares_cancel(f->shares, ticket);
}

static void ended(void *self, const char *owner)
{
    struct redisfleet *f = self;
    uint64_t one = 1;
    ssize_t n;

    if (!owners_add(f->owners, owner, false))
        return;
    n = write(f->wake_fd, &one, sizeof(one));
    (void)n; /* the counter is full only if a wake-up is pending */
}

static bool draining(void *self)
{
    const struct redisfleet *f = self;

    return fleet_draining(f->fleet);
}

static bool elsewhere(void *self, enum addr_family family, bool stream, struct addr *out)
{
    const struct redisfleet *f = self;

    return fleet_elsewhere(f->fleet, family, stream, out);
}

/* ---- Life. ---- */

struct redisshares *redisfleet_shares(const struct redisfleet *f)
{
    return f->shares;
}

int redisfleet_add(struct redisfleet **out, struct auth *a, const struct redisfleet_config *config)
{
    struct redisfleet *f = calloc(1, sizeof(*f));
    uint8_t boot[BOOT_BYTES];
    int err = 0;

    *out = NULL;
    if (!f)
        return ERR_NOMEM;
    f->auth = a;
    f->target = *config->target;
    f->config = *config;
    f->started = config->started;
    random_bytes(boot, sizeof(boot));
    hex_encode(f->boot, boot, sizeof(boot));
    f->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (f->wake_fd < 0)
        err = -errno;
    else if (!fleet_id_ok(config->id))
        err = ERR_INVAL;
    else if ((size_t)snprintf(f->prefix, sizeof(f->prefix), "%s", config->prefix) >= sizeof(f->prefix))
        err = ERR_NOSPC;
    if (!err) {
        memcpy(f->id, config->id, strlen(config->id) + 1);
        err = owners_new(&f->owners);
    }
    if (!err)
        err = fleet_new(&f->fleet);
    if (!err)
        err = redisshares_new(&f->shares, f->prefix, f->id, config->workers, config->started);
    if (err) {
        redisfleet_free(&f);
        return err;
    }
    auth_set_fleet(a, &(struct auth_fleet){
                          .ask = ask, .cancel = cancel, .ended = ended, .draining = draining, .elsewhere = elsewhere, .self = f});
    *out = f;
    return 0;
}

int redisfleet_start(struct redisfleet *f, struct event_base *base)
{
    struct timeval beat = {.tv_sec = REDISFLEET_BEAT_MS / 1000}, tick = {.tv_usec = REDISFLEET_TICK_MS * 1000};
    int err = redis_new(&f->redis, base, &f->target, on_health, f);

    if (err)
        return err;
    f->base = base;
    event_assign(&f->beat, base, -1, EV_PERSIST, on_beat, f);
    event_assign(&f->tick, base, -1, EV_PERSIST, on_tick, f);
    event_assign(&f->wake, base, f->wake_fd, EV_READ | EV_PERSIST, on_wake, f);
    return event_add(&f->beat, &beat) || event_add(&f->tick, &tick) || event_add(&f->wake, NULL) ? ERR_NOMEM : 0;
}

/* What is said last, and waited for. */
static void on_gone(void *ctx, int err, const redisReply *reply)
{
    struct redisfleet *f = ctx;

    (void)err, (void)reply;
    f->telling--;
}

static void say_goodbye(struct redisfleet *f)
{
    char node[KEY_MAX], nodes[KEY_MAX];
    struct redis_arg del[] = {word("DEL"), {node, 0}}, rem[] = {word("ZREM"), {nodes, 0}, word(f->id)};
    uint64_t until = clock_now().ms + REDISFLEET_GOODBYE_MS;

    make_key(f, node, "node", f->id);
    make_key(f, nodes, "nodes", NULL);
    del[1].len = strlen(node);
    rem[1].len = strlen(nodes);
    f->last = true;
    redis_cancel(&f->beating); /* what was sent comes before what is sent now */
    f->telling += redis_command(f->redis, node, strlen(node), del, 2, REDISFLEET_GOODBYE_MS, on_gone, f, NULL) == 0;
    f->telling += redis_command(f->redis, nodes, strlen(nodes), rem, 3, REDISFLEET_GOODBYE_MS, on_gone, f, NULL) == 0;
    tell_some(f);
    event_add(&f->tick, &(struct timeval){.tv_usec = REDISFLEET_TICK_MS * 1000}); /* so that the loop comes back */
    while (f->telling && f->ready && clock_now().ms < until)
        if (event_base_loop(f->base, EVLOOP_ONCE) < 0)
            break;
}

void redisfleet_stop(struct redisfleet *f)
{
    if (!f || !f->base)
        return;
    event_del(&f->beat);
    if (f->ready)
        say_goodbye(f);
    event_del(&f->tick);
    event_del(&f->wake);
    owners_open(f->owners, false);
    redis_free(&f->redis);
    f->base = NULL;
}

void redisfleet_free(struct redisfleet **fp)
{
    struct redisfleet *f = *fp;

    *fp = NULL;
    if (!f)
        return;
    redisfleet_stop(f);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    owners_free(&f->owners);
    redisshares_free(&f->shares);
    fleet_free(&f->fleet);
    explicit_bzero(&f->target, sizeof(f->target));
    free(f);
}
