#include "auth/revoked.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "base/err.h"
#include "base/map.h"

enum {
    SLOTS = 16,
    HEAP_FIRST = 16, /* entries at first; then twice as many each time */
};

struct entry {
    struct map_node by_user;
    size_t place; /* in the heap */
    int64_t before;
    size_t len;
    char user[];
};

/* The heap has the entry that is over soonest in front, so that a change never looks at all of them under the lock. */
struct revoked {
    pthread_mutex_t lock;
    char separator;
    size_t max; /* 0: none */
    struct map by_user;
    struct entry **heap;
    size_t room;
};

static struct entry *of_node(struct map_node *n)
{
    return (struct entry *)(void *)n; /* the node is the first member */
}

static struct entry *find(const struct revoked *r, uint64_t hash, const char *user, size_t len)
{
    struct map_node *n = map_first(&r->by_user, hash);

    while (n && (of_node(n)->len != len || memcmp(of_node(n)->user, user, len) != 0))
        n = map_next(n);
    return n ? of_node(n) : NULL;
}

/* ---- The heap; its size is the map's count. ---- */

static void put(struct revoked *r, struct entry *e, size_t place)
{
    r->heap[place] = e;
    e->place = place;
}

static void rise(struct revoked *r, struct entry *e)
{
    size_t at = e->place;

    for (; at && e->before < r->heap[(at - 1) / 2]->before; at = (at - 1) / 2)
        put(r, r->heap[(at - 1) / 2], at);
    put(r, e, at);
}

static void sink(struct revoked *r, struct entry *e, size_t n)
{
    size_t at = e->place;

    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && r->heap[child + 1]->before < r->heap[child]->before)
            child++;
        if (e->before <= r->heap[child]->before)
            break;
        put(r, r->heap[child], at);
    }
    put(r, e, at);
}

static int grow(struct revoked *r)
{
    size_t room = r->room ? 2 * r->room : HEAP_FIRST;
    struct entry **heap;

    if (r->by_user.count < r->room)
        return 0;
    heap = reallocarray(r->heap, room, sizeof(struct entry *));
    if (!heap)
        return ERR_NOMEM;
    r->heap = heap;
    r->room = room;
    return 0;
}

static void remove_first(struct revoked *r)
{
    struct entry *first = r->heap[0], *last = r->heap[r->by_user.count - 1];

    map_remove(&r->by_user, &first->by_user);
    if (first != last) {
        last->place = 0;
        sink(r, last, r->by_user.count);
    }
    free(first);
}

/* ---- Changing and asking. ---- */

static int insert(struct revoked *r, struct entry *e, uint64_t hash)
{
    int err = grow(r);

    if (!err && r->max && r->by_user.count == r->max) {
        if (e->before <= r->heap[0]->before)
            err = ERR_NOSPC;
        else
            remove_first(r);
    }
    if (err)
        return err;
    put(r, e, r->by_user.count);
    rise(r, e);
    map_insert(&r->by_user, &e->by_user, hash);
    return 0;
}

int revoked_add(struct revoked *r, const char *user, int64_t before, bool *news)
{
    size_t len = strlen(user);
    uint64_t hash = map_hash(&r->by_user, user, len); /* the seed never changes */
    struct entry *e, *new = calloc(1, sizeof(*new) + len + 1);
    int err = 0;

    pthread_mutex_lock(&r->lock);
    e = find(r, hash, user, len);
    *news = !e || before > e->before;
    if (e && *news) {
        e->before = before;
        sink(r, e, r->by_user.count);
    } else if (!e && !new) {
        err = ERR_NOMEM;
    } else if (!e) {
        new->before = before;
        new->len = len;
        memcpy(new->user, user, len);
        err = insert(r, new, hash);
        if (!err)
            new = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    free(new);
    return err;
}

bool revoked_has(struct revoked *r, const char *name)
{
    struct secret_name parts;
    const struct entry *e;
    uint64_t hash;
    bool found;

    if (!secret_parse_name(&parts, name, r->separator))
        return false;
    hash = map_hash(&r->by_user, parts.user, parts.user_len);
    pthread_mutex_lock(&r->lock);
    e = find(r, hash, parts.user, parts.user_len);
    found = e && parts.expires_at < e->before;
    pthread_mutex_unlock(&r->lock);
    return found;
}

void revoked_sweep(struct revoked *r, int64_t now)
{
    pthread_mutex_lock(&r->lock);
    while (r->by_user.count && r->heap[0]->before <= now)
        remove_first(r);
    pthread_mutex_unlock(&r->lock);
}

size_t revoked_count(struct revoked *r)
{
    size_t n;

    pthread_mutex_lock(&r->lock);
    n = r->by_user.count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- Life. ---- */

int revoked_new(struct revoked **out, size_t max, char separator)
{
    struct revoked *r = calloc(1, sizeof(*r));

    *out = NULL;
    if (!r || map_init(&r->by_user, SLOTS)) {
        free(r);
        return ERR_NOMEM;
    }
    pthread_mutex_init(&r->lock, NULL); /* cannot fail with default attributes */
    r->max = max;
    r->separator = separator;
    *out = r;
    return 0;
}

void revoked_free(struct revoked **r)
{
    if (!*r)
        return;
    while ((*r)->by_user.count)
        remove_first(*r);
    map_deinit(&(*r)->by_user);
    pthread_mutex_destroy(&(*r)->lock);
    free((*r)->heap);
    free(*r);
    *r = NULL;
}
