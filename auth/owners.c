#include "auth/owners.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/map.h"

enum { SLOTS = 64 };

struct owner {
    struct map_node by_name;
    STAILQ_ENTRY(owner) link;
    char *name;
};
STAILQ_HEAD(owner_list, owner);

struct owners {
    pthread_mutex_t lock;
    bool open;
    struct map by_name;
    struct owner_list now, later;
};

int owners_new(struct owners **out)
{
    struct owners *o = calloc(1, sizeof(*o));

    *out = NULL;
    if (!o || map_init(&o->by_name, SLOTS)) {
        free(o);
        return ERR_NOMEM;
    }
    pthread_mutex_init(&o->lock, NULL);
    STAILQ_INIT(&o->now);
    STAILQ_INIT(&o->later);
    *out = o;
    return 0;
}

void owners_free(struct owners **o)
{
    if (!*o)
        return;
    owners_open(*o, false);
    map_deinit(&(*o)->by_name);
    pthread_mutex_destroy(&(*o)->lock);
    free(*o);
    *o = NULL;
}

void owners_open(struct owners *o, bool open)
{
    char *name;

    pthread_mutex_lock(&o->lock);
    o->open = open;
    pthread_mutex_unlock(&o->lock);
    if (open)
        return;
    owners_due(o);
    while ((name = owners_take(o)))
        free(name);
}

static bool has(const struct owners *o, const char *name, uint64_t hash)
{
    struct map_node *n = map_first(&o->by_name, hash);

    while (n && strcmp(((struct owner *)(void *)n)->name, name) != 0)
        n = map_next(n);
    return n != NULL;
}

bool owners_add(struct owners *o, const char *name, bool later)
{
    uint64_t hash = map_hash(&o->by_name, name, strlen(name)); /* the seed never changes */
    struct owner *owner = NULL;
    bool first = false;

    pthread_mutex_lock(&o->lock);
    if (o->open && !has(o, name, hash) && (owner = calloc(1, sizeof(*owner))) && (owner->name = strdup(name))) {
        map_insert(&o->by_name, &owner->by_name, hash);
        first = !later && STAILQ_EMPTY(&o->now);
        if (later)
            STAILQ_INSERT_TAIL(&o->later, owner, link);
        else
            STAILQ_INSERT_TAIL(&o->now, owner, link);
        owner = NULL;
    }
    pthread_mutex_unlock(&o->lock);
    free(owner);
    return first;
}

void owners_due(struct owners *o)
{
    pthread_mutex_lock(&o->lock);
    STAILQ_CONCAT(&o->now, &o->later);
    pthread_mutex_unlock(&o->lock);
}

char *owners_take(struct owners *o)
{
    struct owner *owner;
    char *name = NULL;

    pthread_mutex_lock(&o->lock);
    owner = STAILQ_FIRST(&o->now);
    if (owner) {
        STAILQ_REMOVE_HEAD(&o->now, link);
        map_remove(&o->by_name, &owner->by_name);
        name = owner->name;
    }
    pthread_mutex_unlock(&o->lock);
    free(owner);
    return name;
}
