#include "connect/handout.h"

#include <stdlib.h>

struct handout {
    LIST_ENTRY(handout) all;
    struct desk *desk; /* NULL: there is no desk any more */
    handout_cb *cb;    /* NULL: cancelled */
    void *ctx;
};

static void retract(const struct desk *d, const json_t *ice)
{
    if (ice && d->config.host.retract)
        d->config.host.retract(d->config.host.host, ice);
}

static void on_ice(void *ctx, json_t *ice)
{
    struct handout *h = ctx;
    struct desk *d = h->desk;
    handout_cb *cb = h->cb;
    void *cb_ctx = h->ctx;

    if (d)
        LIST_REMOVE(h, all);
    free(h);
    if (cb)
        cb(cb_ctx, ice);
    else if (d)
        retract(d, ice);
}

enum rpc_error handout_ask(struct handout **out, struct desk *d, const struct desk_ice *request, handout_cb *cb, void *ctx)
{
    struct handout *h = calloc(1, sizeof(*h));

    *out = h;
    if (!h)
        return RPC_UNAVAILABLE;
    *h = (struct handout){.desk = d, .cb = cb, .ctx = ctx};
    LIST_INSERT_HEAD(&d->handouts, h, all);
    if (d->config.host.ice(d->config.host.host, request, on_ice, h) == 0)
        return RPC_OK;
    LIST_REMOVE(h, all);
    free(h);
    *out = NULL;
    return RPC_UNAVAILABLE;
}

void handout_cancel(struct handout **h)
{
    if (*h)
        (*h)->cb = NULL;
    *h = NULL;
}

void handout_leave_all(struct desk *d)
{
    struct handout *h;

    while ((h = LIST_FIRST(&d->handouts))) {
        LIST_REMOVE(h, all);
        h->desk = NULL;
        h->cb = NULL;
    }
}

void handout_keep(struct session *s, json_t *ice)
{
    json_decref(s->ice_before);
    s->ice_before = s->ice;
    s->ice = json_incref(ice);
    s->ice_ms = s->desk->now.ms;
}

json_t *handout_young(const struct session *s)
{
    json_int_t ttl = json_integer_value(json_object_get(s->ice, "ttl")), old = (json_int_t)((s->desk->now.ms - s->ice_ms) / 1000);
    json_t *ice;

    if (!s->ice || old * 2 >= ttl)
        return NULL;
    ice = json_copy(s->ice);
    json_object_set_new(ice, "ttl", json_integer(ttl - old));
    return ice;
}
