#include "auth/quota.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/map.h"

enum {
    STRIPES = AUTH_QUOTA_PARTS, /* locks a table: more than workers that are likely to allocate at the same moment */
    STRIPE_SLOTS = 16,
    V6_PREFIX = 8, /* bytes: one subscriber has a /64 */
};

struct entry {
    struct map_node node;
    /* Of a user; unused of a source. */
    struct auth_bandwidth bandwidth;
    uint64_t number;  /* of its last change */
    uint32_t own;     /* the last limit that a credential of his had, while he holds anything; 0: none had one */
    uint32_t given;   /* the owner's own limit; 0: none */
    uint32_t pending; /* of `count`: the fleet has not said yes yet */

    uint32_t count;
    uint32_t len;
    uint8_t key[]; /* and a NUL */
};

/* What an owner may, whether he holds anything or not. */
struct limited {
    struct map_node node;
    struct limited *next; /* of those that are taken back together */
    struct auth_limits limits;
    unsigned round;
    char owner[];
};

struct stripe {
    pthread_mutex_t lock;
    struct map map;
    struct map limited; /* of users */
};

struct table {
    _Atomic uint32_t limit;
    struct stripe stripe[STRIPES];
};

struct quota {
    _Atomic uint32_t total_limit;
    _Atomic uint64_t bps_limit;
    _Atomic uint64_t total, bps;
    _Atomic uint64_t bps_share; /* as it was wanted last */
    _Atomic uint64_t number;    /* of changes of users */
    bool asks;
    unsigned round; /* of owners' limits; the control thread's */
    struct table users;
    struct table sources;
};

struct key {
    const void *bytes;
    size_t len;
};

/* An IPv4 address (also one that a dual-stack socket shows as mapped), or the /64 of an IPv6 address. */
static struct key source_key(const struct addr *source)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

    if (source->family != ADDR_V6)
        return (struct key){source->ip, 4};
    if (memcmp(source->ip, mapped, sizeof(mapped)) == 0)
        return (struct key){source->ip + sizeof(mapped), 4};
    return (struct key){source->ip, V6_PREFIX};
}

static struct key owner_key(const char *owner)
{
    return (struct key){owner, strlen(owner)};
}

static struct stripe *stripe_of(struct table *t, struct key k, uint64_t *hash)
{
    /* Seeds never change, so no lock is needed; the map uses the hash's low bits, the choice of the stripe its high ones. */
    *hash = map_hash(&t->stripe[0].map, k.bytes, k.len);
    return &t->stripe[(*hash >> 32) % STRIPES];
}

static struct entry *find(const struct map *m, uint64_t hash, struct key k)
{
    for (struct map_node *n = map_first(m, hash); n; n = map_next(n)) {
        struct entry *e = (struct entry *)(void *)n; /* the node is the first member */
        if (e->len == k.len && (k.len == 0 || memcmp(e->key, k.bytes, k.len) == 0))
            return e;
    }
    return NULL;
}

static int table_init(struct table *t, uint32_t limit)
{
    t->limit = limit;
    for (size_t i = 0; i < STRIPES; i++) {
        int err = map_init(&t->stripe[i].map, STRIPE_SLOTS);
        if (!err)
            err = map_init(&t->stripe[i].limited, STRIPE_SLOTS);
        if (err)
            return err;
        pthread_mutex_init(&t->stripe[i].lock, NULL); /* cannot fail with default attributes */
    }
    return 0;
}

static void free_entry(struct map_node *n, void *ctx)
{
    (void)ctx;
    free(n);
}

static void table_deinit(struct table *t)
{
    for (size_t i = 0; i < STRIPES && t->stripe[i].map.slots; i++) {
        map_each(&t->stripe[i].map, free_entry, NULL);
        map_deinit(&t->stripe[i].map);
        if (!t->stripe[i].limited.slots)
            return;
        map_each(&t->stripe[i].limited, free_entry, NULL);
        map_deinit(&t->stripe[i].limited);
        pthread_mutex_destroy(&t->stripe[i].lock);
    }
}

/* ---- Owners with limits of their own. ---- */

static struct limited *find_limited(const struct stripe *s, uint64_t hash, const char *owner)
{
    struct map_node *n = map_first(&s->limited, hash);

    while (n && strcmp(((struct limited *)(void *)n)->owner, owner) != 0)
        n = map_next(n);
    return (struct limited *)(void *)n;
}

/* Under the stripe's lock. */
static void apply(struct entry *e, const struct limited *l)
{
    e->given = l ? l->limits.allocations : 0;
    atomic_store_explicit(&e->bandwidth.bps, l ? l->limits.bps : 0, memory_order_relaxed);
}

int quota_limit_owner(struct quota *q, const char *owner, const struct auth_limits *limits)
{
    struct key k = owner_key(owner);
    uint64_t hash;
    struct stripe *s = stripe_of(&q->users, k, &hash);
    struct limited *l, *gone = NULL;
    struct entry *e;
    int err = 0;

    pthread_mutex_lock(&s->lock);
    l = find_limited(s, hash, owner);
    if (!limits->allocations && !limits->bps) {
        gone = l;
        if (l)
            map_remove(&s->limited, &l->node);
        l = NULL;
    } else if (!l) {
        l = calloc(1, sizeof(*l) + k.len + 1);
        if (!l) {
            err = ERR_NOMEM;
            goto out;
        }
        memcpy(l->owner, owner, k.len);
        map_insert(&s->limited, &l->node, hash);
    }
    if (l) {
        l->limits = *limits;
        l->round = q->round;
    }
    e = find(&s->map, hash, k);
    if (e)
        apply(e, l);
out:
    pthread_mutex_unlock(&s->lock);
    free(gone);
    return err;
}

void quota_owners_begin(struct quota *q)
{
    q->round++;
}

struct search {
    unsigned round;
    struct limited *found;
};

static void find_old(struct map_node *n, void *ctx)
{
    struct limited *l = (struct limited *)(void *)n;
    struct search *search = ctx;

    if (l->round == search->round)
        return;
    l->next = search->found;
    search->found = l;
}

/* Nobody else changes what is found here. */
void quota_owners_end(struct quota *q)
{
    struct search search = {.round = q->round};

    for (size_t i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&q->users.stripe[i].lock);
        map_each(&q->users.stripe[i].limited, find_old, &search);
        pthread_mutex_unlock(&q->users.stripe[i].lock);
    }
    for (struct limited *l = search.found, *next; l; l = next) {
        next = l->next;
        (void)quota_limit_owner(q, l->owner, &(struct auth_limits){0}); /* needs no memory */
    }
}

/* ---- Counting. ---- */

/* What a change means for an entry, under its lock. */
typedef void change(struct quota *q, struct entry *e, struct auth_grant *grant);

/* 0, ERR_DENIED at the limit, ERR_NOMEM. */
static int table_take(struct quota *q, struct table *t, struct key k, uint32_t limit, change *taken, struct auth_grant *grant)
{
    uint64_t hash;
    struct stripe *s = stripe_of(t, k, &hash);
    int err = 0;

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(&s->map, hash, k);
    if (!e) {
        e = calloc(1, sizeof(*e) + k.len + 1);
        if (!e) {
            err = ERR_NOMEM;
            goto out;
        }
        e->len = (uint32_t)k.len;
        if (k.len)
            memcpy(e->key, k.bytes, k.len);
        map_insert(&s->map, &e->node, hash);
        if (s->limited.count)
            apply(e, find_limited(s, hash, (const char *)e->key));
    }
    limit = limit_smaller32(limit, e->given);
    if (e->count && limit && e->count >= limit) {
        err = ERR_DENIED;
        goto out;
    }
    e->count++;
    if (taken)
        taken(q, e, grant);
out:
    pthread_mutex_unlock(&s->lock);
    return err;
}

static void table_give(struct quota *q, struct table *t, struct key k, change *given, struct auth_grant *grant)
{
    uint64_t hash;
    struct stripe *s = stripe_of(t, k, &hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(&s->map, hash, k);
    assert(e && e->count > 0); /* given back once too often */
    e->count--;
    if (given)
        given(q, e, grant);
    if (e->count == 0) {
        map_remove(&s->map, &e->node);
        free(e);
    }
    pthread_mutex_unlock(&s->lock);
}

int quota_new(struct quota **out, const struct quota_limits *limits)
{
    struct quota *q = calloc(1, sizeof(*q));

    *out = NULL;
    if (!q)
        return ERR_NOMEM;
    q->total_limit = limits->total;
    q->bps_limit = limits->bps;
    int err = table_init(&q->users, limits->user);
    if (!err)
        err = table_init(&q->sources, limits->source);
    if (err) {
        quota_free(&q);
        return err;
    }
    *out = q;
    return 0;
}

void quota_free(struct quota **q)
{
    if (!*q)
        return;
    table_deinit(&(*q)->users);
    table_deinit(&(*q)->sources);
    free(*q);
    *q = NULL;
}

void quota_limit(struct quota *q, const struct quota_limits *limits)
{
    q->users.limit = limits->user;
    q->sources.limit = limits->source;
    q->total_limit = limits->total;
    q->bps_limit = limits->bps;
}

/* Adds `n` to what is counted, unless that would pass the limit (0: none). */
static bool add(_Atomic uint64_t *counted, uint64_t n, uint64_t limit)
{
    uint64_t before = atomic_load_explicit(counted, memory_order_relaxed);

    do {
        if (limit && (n > limit || before > limit - n))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(counted, &before, before + n, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static uint64_t next_number(struct quota *q)
{
    return atomic_fetch_add_explicit(&q->number, 1, memory_order_relaxed) + 1;
}

static uint32_t limit_of(const struct quota *q, const struct entry *e)
{
    return limit_smaller32(limit_smaller32(q->users.limit, e->given), e->own);
}

static void user_taken(struct quota *q, struct entry *e, struct auth_grant *grant)
{
    if (grant->limit) /* what others of his credentials hold is still to be told */
        e->own = grant->limit;
    grant->limit = limit_smaller32(limit_smaller32(q->users.limit, e->given), grant->limit);
    e->pending += q->asks && grant->limit;
    e->number = next_number(q);
    grant->bandwidth = &e->bandwidth;
    grant->count = e->count;
    grant->number = e->number;
}

static void user_given(struct quota *q, struct entry *e, struct auth_grant *grant)
{
    e->number = next_number(q);
    grant->limit = limit_of(q, e);
}

/* What was pending and did not even come to be asked. */
static void user_undone(struct quota *q, struct entry *e, struct auth_grant *grant)
{
    e->pending -= q->asks && grant->limit;
    user_given(q, e, grant);
}

enum auth_quota_result quota_take(struct quota *q, const struct auth_share *share, const struct auth_limits *own,
                                  struct auth_grant *grant)
{
    enum auth_quota_result result;
    int err;

    *grant = (struct auth_grant){.limit = own->allocations};
    err = table_take(q, &q->users, owner_key(share->owner), limit_smaller32(q->users.limit, own->allocations), user_taken, grant);
    if (err)
        return err == ERR_NOMEM ? AUTH_QUOTA_NOMEM : AUTH_QUOTA_USER;
    err = table_take(q, &q->sources, source_key(share->source), q->sources.limit, NULL, NULL);
    if (err) {
        result = err == ERR_NOMEM ? AUTH_QUOTA_NOMEM : AUTH_QUOTA_SOURCE;
        goto undo_user;
    }
    result = AUTH_QUOTA_TOTAL;
    if (!add(&q->total, 1, q->total_limit))
        goto undo_source;
    result = AUTH_QUOTA_CAPACITY;
    atomic_store_explicit(&q->bps_share, share->bps, memory_order_relaxed);
    if (!add(&q->bps, share->bps, q->bps_limit))
        goto undo_total;
    return AUTH_QUOTA_OK;
undo_total:
    atomic_fetch_sub_explicit(&q->total, 1, memory_order_relaxed);
undo_source:
    table_give(q, &q->sources, source_key(share->source), NULL, NULL);
undo_user:
    table_give(q, &q->users, owner_key(share->owner), user_undone, grant);
    return result;
}

bool quota_give(struct quota *q, const struct auth_share *share)
{
    struct auth_grant grant;

    table_give(q, &q->sources, source_key(share->source), NULL, NULL);
    table_give(q, &q->users, owner_key(share->owner), user_given, &grant);
    atomic_fetch_sub_explicit(&q->bps, share->bps, memory_order_relaxed);
    atomic_fetch_sub_explicit(&q->total, 1, memory_order_relaxed);
    return grant.limit != 0;
}

/* ---- For a fleet. ---- */

void quota_ask(struct quota *q)
{
    q->asks = true;
}

void quota_settle(struct quota *q, const char *owner)
{
    struct key k = owner_key(owner);
    uint64_t hash;
    struct stripe *s = stripe_of(&q->users, k, &hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(&s->map, hash, k);
    assert(e && e->pending > 0);
    e->pending--;
    pthread_mutex_unlock(&s->lock);
}

void quota_held(struct quota *q, const char *owner, struct auth_held *out)
{
    struct key k = owner_key(owner);
    uint64_t hash;
    struct stripe *s = stripe_of(&q->users, k, &hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(&s->map, hash, k);
    if (e)
        *out = (struct auth_held){e->count - e->pending, e->pending, e->number};
    else
        *out = (struct auth_held){.number = next_number(q)};
    pthread_mutex_unlock(&s->lock);
}

struct visit {
    const struct quota *quota;
    void (*visit)(void *ctx, const char *owner);
    void *ctx;
};

static void visit_entry(struct map_node *n, void *ctx)
{
    const struct entry *e = (struct entry *)(void *)n;
    const struct visit *v = ctx;

    if (limit_of(v->quota, e))
        v->visit(v->ctx, (const char *)e->key);
}

void quota_each(struct quota *q, unsigned part, void (*visit)(void *ctx, const char *owner), void *ctx)
{
    struct stripe *s = &q->users.stripe[part];

    pthread_mutex_lock(&s->lock);
    map_each(&s->map, visit_entry, &(struct visit){q, visit, ctx});
    pthread_mutex_unlock(&s->lock);
}

void quota_load(const struct quota *q, struct auth_load *out)
{
    *out = (struct auth_load){.total = quota_total(q),
                              .total_limit = q->total_limit,
                              .bps = atomic_load_explicit(&q->bps, memory_order_relaxed),
                              .bps_limit = q->bps_limit,
                              .bps_share = atomic_load_explicit(&q->bps_share, memory_order_relaxed)};
}

uint64_t quota_total(const struct quota *q)
{
    return atomic_load_explicit(&q->total, memory_order_relaxed);
}

static size_t table_entries(struct table *t)
{
    size_t n = 0;

    for (size_t i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&t->stripe[i].lock);
        n += t->stripe[i].map.count;
        pthread_mutex_unlock(&t->stripe[i].lock);
    }
    return n;
}

size_t quota_entries(struct quota *q)
{
    return table_entries(&q->users) + table_entries(&q->sources);
}
