#include "connect/handout.h"

#include <stdlib.h>
#include <string.h>

struct handout {
    LIST_ENTRY(handout) all;
    struct desk *desk; /* NULL: there is no desk any more */
    handout_cb *cb;    /* NULL: cancelled */
    void *ctx;
};

void handout_retract(const struct desk *d, const json_t *ice)
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
        handout_retract(d, ice);
}

/* Each is a credential in the store: whoever says hello and goes, again and again, gets no more of them than this. */
static bool may_have(struct desk *d, const struct desk_ice *request)
{
    uint64_t user = map_hash(&d->tenants, request->user, strlen(request->user)),
             tenant = map_hash(&d->tenants, request->tenant, strlen(request->tenant));

    return rate_shared_take(&d->handed[(user ^ tenant << 1) % DESK_HANDED_SLOTS], 1, DESK_HANDED_PER_S, DESK_HANDED_BURST_MS,
                            d->now.ms);
}

enum rpc_error handout_ask(struct handout **out, struct desk *d, const struct desk_ice *request, handout_cb *cb, void *ctx)
{
    bool may = may_have(d, request);
    struct handout *h = may ? calloc(1, sizeof(*h)) : NULL;

    *out = h;
    if (!h)
        return may ? RPC_UNAVAILABLE : RPC_LIMIT;
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
