#include "connect/tenant.h"

#include <stdlib.h>
#include <string.h>

#include "connect/session.h"

static struct tenant *of_node(struct map_node *n)
{
    return (struct tenant *)(void *)n; /* the node is the first member */
}

/* ---- Who is there. ---- */

unsigned tenant_bridges(const struct tenant *t)
{
    const struct session *s;
    unsigned n = 0;

    LIST_FOREACH(s, &t->sessions, of_tenant)
    n += s->role == DESK_BRIDGE && s->seat;
    return n;
}

struct session *tenant_bridge(const struct tenant *t)
{
    struct session *s, *best = NULL;

    LIST_FOREACH(s, &t->sessions, of_tenant)
    if (s->role == DESK_BRIDGE && s->seat && (!best || s->ncalls < best->ncalls))
        best = s;
    return best;
}

struct session *tenant_phone(const struct tenant *t, const struct session *after, const char *user)
{
    struct session *s = after ? LIST_NEXT(after, of_tenant) : LIST_FIRST(&t->sessions);

    while (s && (s->role != DESK_PHONE || !s->seat || strcmp(s->user, user) != 0))
        s = LIST_NEXT(s, of_tenant);
    return s;
}

/* ---- Telling. ---- */

/* As long as all of it could get in JSON; what doesn't fit is a number. */
static json_t *phones_of(const struct tenant *t, unsigned *more)
{
    enum { ENTRY_BYTES = 48 };
    const struct session *s;
    json_t *list = json_array();
    size_t bytes = 0;

    *more = 0;
    LIST_FOREACH(s, &t->sessions, of_tenant)
    {
        if (s->role != DESK_PHONE || !s->seat)
            continue;
        bytes += ENTRY_BYTES + 2 * (strlen(s->user) + strlen(s->name));
        if (bytes > TENANT_LIST_BYTES)
            ++*more;
        else
            json_array_append_new(list, json_pack("{s:s,s:s,s:b}", "user", s->user, "name", s->name, "busy", s->ncalls > 0));
    }
    return list;
}

static void tell_one(struct session *s, unsigned bridges, json_t *phones, unsigned more)
{
    if (s->role == DESK_BRIDGE)
        session_notify(s, "presence", json_pack("{s:i,s:O,s:i}", "bridges", (int)bridges, "phones", phones, "more", (int)more));
    else if (bridges != s->told_bridges)
        session_notify(s, "presence", json_pack("{s:i}", "bridges", (int)bridges));
    s->told_bridges = bridges;
}

static void tell(struct tenant *t)
{
    unsigned bridges = tenant_bridges(t), more = 0;
    json_t *phones = bridges ? phones_of(t, &more) : NULL;
    struct session *s;

    LIST_FOREACH(s, &t->sessions, of_tenant)
    if (s->seat) /* who is away learns what there is when he is back */
        tell_one(s, bridges, phones, more);
    json_decref(phones);
    t->told_ms = t->desk->now.ms;
}

void tenant_changed(struct tenant *t)
{
    if (!t->changed)
        LIST_INSERT_HEAD(&t->desk->changed, t, of_changed);
    t->changed = true;
}

static void unchanged(struct tenant *t)
{
    if (t->changed)
        LIST_REMOVE(t, of_changed);
    t->changed = false;
}

void tenant_tell(struct desk *d)
{
    for (struct tenant *t = LIST_FIRST(&d->changed), *next; t; t = next) {
        next = LIST_NEXT(t, of_changed);
        if (t->told_ms && d->now.ms < t->told_ms + TENANT_TELL_MS)
            continue;
        unchanged(t);
        tell(t);
    }
}

/* ---- Life. ---- */

struct tenant *tenant_find(const struct desk *d, const char *name)
{
    struct map_node *n = map_first(&d->tenants, map_hash(&d->tenants, name, strlen(name)));

    while (n && strcmp(of_node(n)->name, name) != 0)
        n = map_next(n);
    return n ? of_node(n) : NULL;
}

struct tenant *tenant_hold(struct desk *d, const char *name)
{
    size_t len = strlen(name);
    struct tenant *t = tenant_find(d, name);

    if (!t) {
        t = calloc(1, sizeof(*t) + len + 1);
        if (!t)
            return NULL;
        t->desk = d;
        LIST_INIT(&t->sessions);
        memcpy(t->name, name, len);
        map_insert(&d->tenants, &t->by_name, map_hash(&d->tenants, name, len));
    }
    t->holds++;
    return t;
}

void tenant_release(struct tenant **t)
{
    struct tenant *held = *t;

    *t = NULL;
    if (!held)
        return;
    held->holds--;
    tenant_drop(held);
}

void tenant_drop(struct tenant *t)
{
    if (t->holds || !LIST_EMPTY(&t->sessions))
        return;
    unchanged(t);
    map_remove(&t->desk->tenants, &t->by_name);
    free(t);
}
