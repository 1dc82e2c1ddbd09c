#include "auth/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"

enum { SLOTS = 1024 };

struct entry {
    struct map_node by_name;
    struct entry *newer, *older;
    uint64_t until_ms;
    struct credential credential;
    char name[]; /* the owner's, the peers, the label and the tenant follow it */
};

/* The entries of one sort, by their last use. */
struct sort {
    struct entry *newest, *oldest;
    size_t n, max;
};

struct cache {
    struct map map;
    struct sort keys, others;
};

static struct entry *of_node(struct map_node *n)
{
    return (struct entry *)(void *)n; /* the node is the first member */
}

static struct sort *sort_of(struct cache *c, const struct entry *e)
{
    return e->credential.kind == CREDENTIAL_KEYS ? &c->keys : &c->others;
}

static void unlink_entry(struct sort *s, struct entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
    s->n--;
}

static void link_newest(struct sort *s, struct entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
    s->n++;
}

static void end(struct cache *c, struct entry *e)
{
    unlink_entry(sort_of(c, e), e);
    map_remove(&c->map, &e->by_name);
    explicit_bzero(e, sizeof(*e));
    free(e);
}

static struct entry *find(const struct cache *c, const char *name)
{
    struct map_node *n = map_first(&c->map, map_hash(&c->map, name, strlen(name)));

    while (n && strcmp(of_node(n)->name, name) != 0)
        n = map_next(n);
    return n ? of_node(n) : NULL;
}

int cache_new(struct cache **out)
{
    struct cache *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (!c || map_init(&c->map, SLOTS)) {
        free(c);
        return ERR_NOMEM;
    }
    c->keys.max = CACHE_KEYS_MAX;
    c->others.max = CACHE_OTHERS_MAX;
    *out = c;
    return 0;
}

void cache_free(struct cache **c)
{
    if (!*c)
        return;
    while ((*c)->keys.oldest)
        end(*c, (*c)->keys.oldest);
    while ((*c)->others.oldest)
        end(*c, (*c)->others.oldest);
    map_deinit(&(*c)->map);
    free(*c);
    *c = NULL;
}

enum cache_state cache_get(struct cache *c, const char *name, uint64_t now_ms, struct credential *out)
{
    struct entry *e = find(c, name);

    if (e && now_ms >= e->until_ms + (e->credential.kind == CREDENTIAL_UNKNOWN ? 0 : CACHE_GRACE_MS)) {
        end(c, e);
        e = NULL;
    }
    if (!e)
        return CACHE_NONE;
    unlink_entry(sort_of(c, e), e);
    link_newest(sort_of(c, e), e);
    *out = e->credential;
    return now_ms < e->until_ms ? CACHE_FRESH : CACHE_STALE;
}

void cache_put(struct cache *c, const char *name, const struct credential *credential, uint64_t now_ms)
{
    static const unsigned LIFE_MS[] = {
        [CREDENTIAL_UNKNOWN] = CACHE_UNKNOWN_MS, [CREDENTIAL_KEYS] = CACHE_KEYS_MS, [CREDENTIAL_SECRET] = CACHE_SECRET_MS};
    const char *owner = credential->kind == CREDENTIAL_KEYS ? credential->owner : "";
    const char *peers = credential->kind == CREDENTIAL_KEYS && credential->peers ? credential->peers : "";
    const char *label = credential->kind == CREDENTIAL_KEYS && credential->label ? credential->label : "";
    const char *tenant = credential->kind == CREDENTIAL_KEYS && credential->tenant ? credential->tenant : "";
    size_t len = strlen(name) + 1, owner_len = strlen(owner) + 1, peers_len = strlen(peers) + 1, label_len = strlen(label) + 1,
           tenant_len = strlen(tenant) + 1;
    struct entry *e;
    struct sort *s;

    cache_forget(c, name);
    e = calloc(1, sizeof(*e) + len + owner_len + peers_len + label_len + tenant_len);
    if (!e)
        return;
    e->credential = *credential;
    e->until_ms = now_ms + LIFE_MS[credential->kind];
    memcpy(e->name, name, len);
    e->credential.owner = memcpy(e->name + len, owner, owner_len);
    e->credential.peers = memcpy(e->name + len + owner_len, peers, peers_len);
    e->credential.label = memcpy(e->name + len + owner_len + peers_len, label, label_len);
    e->credential.tenant = memcpy(e->name + len + owner_len + peers_len + label_len, tenant, tenant_len);
    s = sort_of(c, e);
    if (s->n == s->max)
        end(c, s->oldest);
    link_newest(s, e);
    map_insert(&c->map, &e->by_name, map_hash(&c->map, name, len - 1));
}

void cache_forget(struct cache *c, const char *name)
{
    struct entry *e = find(c, name);

    if (e)
        end(c, e);
}

static void forget_some(struct cache *c, struct sort *s, bool (*match)(void *ctx, const char *name), void *ctx)
{
    for (struct entry *e = s->oldest, *next; e; e = next) {
        next = e->newer;
        if (match(ctx, e->name))
            end(c, e);
    }
}

void cache_forget_if(struct cache *c, bool (*match)(void *ctx, const char *name), void *ctx)
{
    forget_some(c, &c->keys, match, ctx);
    forget_some(c, &c->others, match, ctx);
}

size_t cache_count(const struct cache *c)
{
    return c->keys.n + c->others.n;
}
