#include "auth/roster.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/answer.h"
#include "auth/revoked.h"
#include "base/err.h"
#include "base/map.h"
#include "stun/integrity.h"

enum {
    PARTS = 256, /* locks a table: when one of 100,000 names grows, a worker waits for some hundred of them to be moved */
    PART_SLOTS = 16,
};

struct entry {
    struct map_node by_name, by_hash;
    struct entry *next; /* of those that have been removed together */
    unsigned round;
    uint8_t userhash[STUN_USERHASH_LEN];
    uint8_t md5[STUN_MD5_KEY_LEN];
    uint8_t sha256[STUN_SHA256_KEY_LEN];
    int64_t not_before, expires_at;
    struct auth_limits limits;
    unsigned scope;
    const char *owner, *label, *peers, *tenant; /* behind the name, in this order */
    char name[];
};
_Static_assert(sizeof(((struct auth_answer *)0)->peers) >= sizeof(((struct token *)0)->peers),
               "an answer has room for a token's peers");
_Static_assert((int)TOKEN_TEXT_MAX <= (int)AUTH_LABEL_MAX && (int)TOKEN_TEXT_MAX <= (int)AUTH_TENANT_MAX, "a token's texts fit");

struct part {
    pthread_mutex_t lock;
    struct map map;
};

struct roster {
    char *realm;
    unsigned round;
    struct part names[PARTS], hashes[PARTS]; /* of struct entry; an entry is in both, or under way between */
    struct revoked *revoked;
};

#define ENTRY_OF(node, member) ((struct entry *)(void *)((char *)(node)-offsetof(struct entry, member)))

/* ---- Parts. ---- */

static struct part *part_of(struct part table[static PARTS], const void *key, size_t len, uint64_t *hash)
{
    /* Seeds never change, so no lock is needed; the map uses the hash's low bits, the choice of the part its high ones. */
    *hash = map_hash(&table[0].map, key, len);
    return &table[(*hash >> 32) % PARTS];
}

static int part_init(struct part *p)
{
    int err = map_init(&p->map, PART_SLOTS);

    if (!err)
        pthread_mutex_init(&p->lock, NULL); /* cannot fail with default attributes */
    return err;
}

static void part_deinit(struct part *p)
{
    if (p->map.slots)
        pthread_mutex_destroy(&p->lock);
    map_deinit(&p->map);
}

static struct entry *by_name(const struct part *p, uint64_t hash, const char *name)
{
    struct map_node *n = map_first(&p->map, hash);

    while (n && strcmp(ENTRY_OF(n, by_name)->name, name) != 0)
        n = map_next(n);
    return n ? ENTRY_OF(n, by_name) : NULL;
}

static struct entry *by_hash(const struct part *p, uint64_t hash, const uint8_t *userhash)
{
    struct map_node *n = map_first(&p->map, hash);

    while (n && memcmp(ENTRY_OF(n, by_hash)->userhash, userhash, STUN_USERHASH_LEN) != 0)
        n = map_next(n);
    return n ? ENTRY_OF(n, by_hash) : NULL;
}

/* ---- Asking. ---- */

/* roster_put has got the texts out of a struct token, which is no larger than an answer. */
static enum auth_status answer_of(const struct entry *e, const struct auth_request *request, struct auth_answer *answer)
{
    if (!e)
        return AUTH_UNKNOWN;
    return answer_keys(answer,
                       &(struct answer_keys){.name = e->name,
                                             .owner = e->owner,
                                             .label = e->label,
                                             .peers = e->peers,
                                             .tenant = e->tenant,
                                             .md5 = e->md5,
                                             .sha256 = e->sha256,
                                             .not_before = e->not_before,
                                             .expires_at = e->expires_at,
                                             .limits = e->limits,
                                             .scope = e->scope,
                                             .is_token = true},
                       request);
}

enum auth_status roster_check(struct roster *r, const struct auth_request *request, struct auth_answer *answer)
{
    const void *key = request->user ? (const void *)request->user : request->userhash;
    enum auth_status status;
    struct part *p;
    uint64_t hash;

    if (!key)
        return AUTH_UNKNOWN;
    p = request->user ? part_of(r->names, key, strlen(request->user), &hash) : part_of(r->hashes, key, STUN_USERHASH_LEN, &hash);
    pthread_mutex_lock(&p->lock);
    status = answer_of(request->user ? by_name(p, hash, request->user) : by_hash(p, hash, request->userhash), request, answer);
    pthread_mutex_unlock(&p->lock);
    return status;
}

bool roster_refuses(struct roster *r, const char *name)
{
    return revoked_has(r->revoked, name);
}

/* ---- Changing. ---- */

static void free_entry(struct entry *e)
{
    explicit_bzero(e, sizeof(*e));
    free(e);
}

static int new_entry(struct entry **out, const struct roster *r, const struct token *t)
{
    size_t len = strlen(t->id) + 1, owner_len = strlen(t->owner) + 1, label_len = strlen(t->label) + 1,
           peers_len = strlen(t->peers) + 1, tenant_len = strlen(t->tenant) + 1;
    struct entry *e = calloc(1, sizeof(*e) + len + owner_len + label_len + peers_len + tenant_len);
    int err;

    *out = NULL;
    if (!e)
        return ERR_NOMEM;
    e->round = r->round;
    memcpy(e->md5, t->md5, sizeof(e->md5));
    memcpy(e->sha256, t->sha256, sizeof(e->sha256));
    e->not_before = t->not_before;
    e->expires_at = t->expires_at;
    e->limits = (struct auth_limits){
        .allocations = (uint32_t)t->max_allocations, .bps = (uint64_t)t->max_bps, .bytes = (uint64_t)t->max_bytes};
    e->scope = t->scope;
    memcpy(e->name, t->id, len);
    e->owner = memcpy(e->name + len, t->owner, owner_len);
    e->label = memcpy(e->name + len + owner_len, t->label, label_len);
    e->peers = memcpy(e->name + len + owner_len + label_len, t->peers, peers_len);
    e->tenant = memcpy(e->name + len + owner_len + label_len + peers_len, t->tenant, tenant_len);
    err = stun_userhash(e->name, r->realm, e->userhash);
    if (err) {
        free_entry(e);
        return err;
    }
    *out = e;
    return 0;
}

/* The one in place of the other; one of them may be NULL. It may be found by its hash a moment longer or later than by its name. */
static void exchange(struct roster *r, struct entry *old, struct entry *new)
{
    const struct entry *e = new ? new : old;
    struct part *p;
    uint64_t hash;

    assert(e);
    p = part_of(r->names, e->name, strlen(e->name), &hash);
    pthread_mutex_lock(&p->lock);
    if (old)
        map_remove(&p->map, &old->by_name);
    if (new)
        map_insert(&p->map, &new->by_name, hash);
    pthread_mutex_unlock(&p->lock);
    p = part_of(r->hashes, e->userhash, STUN_USERHASH_LEN, &hash);
    pthread_mutex_lock(&p->lock);
    if (old)
        map_remove(&p->map, &old->by_hash);
    if (new)
        map_insert(&p->map, &new->by_hash, hash);
    pthread_mutex_unlock(&p->lock);
}

/* Nobody else changes anything, so this one looks without a lock. */
static struct entry *find(struct roster *r, const char *name)
{
    uint64_t hash;
    const struct part *p = part_of(r->names, name, strlen(name), &hash);

    return by_name(p, hash, name);
}

int roster_put(struct roster *r, const struct token *t, bool *ended)
{
    struct entry *old = find(r, t->id), *new;
    int err = new_entry(&new, r, t);

    *ended = false;
    if (err)
        return err;
    exchange(r, old, new);
    if (old) {
        *ended = memcmp(old->sha256, new->sha256, sizeof(old->sha256)) != 0 || (old->scope & ~new->scope);
        free_entry(old);
    }
    return 0;
}

bool roster_remove(struct roster *r, const char *name)
{
    struct entry *old = find(r, name);

    if (!old)
        return false;
    exchange(r, old, NULL);
    free_entry(old);
    return true;
}

int roster_mark(struct roster *r, const char *user, int64_t before, bool *news)
{
    return revoked_add(r->revoked, user, before, news);
}

/* ---- All of them. ---- */

/* Which entries are to go: those of an earlier round, or those that have expired. */
struct search {
    unsigned round; /* 0: any */
    int64_t now;    /* 0: none has expired */
    struct entry *found;
};

static void find_old(struct map_node *n, void *ctx)
{
    struct search *s = ctx;
    struct entry *e = ENTRY_OF(n, by_name);

    if ((s->round && e->round != s->round) || (s->now && e->expires_at && e->expires_at <= s->now)) {
        e->next = s->found;
        s->found = e;
    }
}

static void remove_found(struct roster *r, struct search *s, void (*gone)(void *ctx, const char *name), void *ctx)
{
    struct entry *next;

    for (size_t i = 0; i < PARTS; i++)
        map_each(&r->names[i].map, find_old, s); /* reads only */
    for (struct entry *e = s->found; e; e = next) {
        next = e->next;
        exchange(r, e, NULL);
        if (gone)
            gone(ctx, e->name);
        free_entry(e);
    }
}

void roster_begin(struct roster *r)
{
    if (++r->round == 0) /* that is no round */
        r->round = 1;
}

void roster_end(struct roster *r, void (*gone)(void *ctx, const char *name), void *ctx)
{
    remove_found(r, &(struct search){.round = r->round}, gone, ctx);
}

void roster_sweep(struct roster *r, int64_t now)
{
    remove_found(r, &(struct search){.now = now}, NULL, NULL);
    revoked_sweep(r->revoked, now);
}

size_t roster_count(const struct roster *r)
{
    size_t n = revoked_count(r->revoked);

    for (size_t i = 0; i < PARTS; i++)
        n += r->names[i].map.count;
    return n;
}

/* ---- Life. ---- */

static int init(struct roster *r, const char *realm, char separator)
{
    int err = revoked_new(&r->revoked, 0, separator);

    for (size_t i = 0; i < PARTS && !err; i++) {
        err = part_init(&r->names[i]);
        if (!err)
            err = part_init(&r->hashes[i]);
    }
    r->round = 1;
    r->realm = strdup(realm);
    return err || r->realm ? err : ERR_NOMEM;
}

int roster_new(struct roster **out, const char *realm, char separator)
{
    struct roster *r = calloc(1, sizeof(*r));
    int err = ERR_NOMEM;

    if (r)
        err = init(r, realm, separator);
    if (err)
        roster_free(&r);
    *out = r;
    return err;
}

static void visit_free(struct map_node *n, void *ctx)
{
    (void)ctx;
    free_entry(ENTRY_OF(n, by_name));
}

void roster_free(struct roster **r)
{
    if (!*r)
        return;
    for (size_t i = 0; i < PARTS; i++) {
        if ((*r)->names[i].map.slots)
            map_each(&(*r)->names[i].map, visit_free, NULL);
        part_deinit(&(*r)->names[i]);
        part_deinit(&(*r)->hashes[i]);
    }
    revoked_free(&(*r)->revoked);
    free((*r)->realm);
    free(*r);
    *r = NULL;
}
