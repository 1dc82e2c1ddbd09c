#include "relay/shard.h"

#include <stdlib.h>

#include "base/err.h"
#include "relay/alloc.h"
#include "relay/park.h"
#include "relay/reserve.h"
#include "relay/turn.h"

int shard_init(struct shard *s, const struct shard_config *c)
{
    int err;

    *s = (struct shard){.worker = c->worker,
                        .workers = c->workers,
                        .auth = c->auth,
                        .ports = c->ports,
                        .nonce_key = c->nonce_key,
                        .throttle = c->throttle,
                        .memory = c->memory,
                        .alternates = c->alternates,
                        .settings = c->settings,
                        .net = c->net,
                        .net_ctx = c->net_ctx,
                        .counters = c->counters,
                        .now = c->now,
                        .next_ticket = 1};
    s->policy = policy_ref(c->policy);
    random_init(&s->random);
    wheel_init(&s->wheel, c->now.ms);
    err = stun_mac_new(&s->mac);
    if (!err)
        err = map_init(&s->allocs, 1024);
    if (!err)
        err = map_init(&s->users, 64);
    if (!err)
        err = map_init(&s->reservations, 16);
    if (!err)
        err = map_init(&s->parked, 64);
    s->by_port = calloc(ports_spaces(c->ports) + 1, sizeof(*s->by_port));
    s->sources = calloc(SOURCES_BUCKETS, sizeof(*s->sources));
    if (!err && (!s->by_port || !s->sources))
        err = ERR_NOMEM;
    if (err)
        shard_deinit(s);
    return err;
}

void shard_deinit(struct shard *s)
{
    if (s->parked.slots)
        park_free_all(s);
    if (s->allocs.slots)
        alloc_free_all(s);
    if (s->reservations.slots)
        reserve_free_all(s);
    for (size_t i = 0; s->by_port && i < ports_spaces(s->ports); i++)
        free(s->by_port[i]);
    free(s->by_port);
    free(s->sources);
    map_deinit(&s->allocs);
    map_deinit(&s->users);
    map_deinit(&s->reservations);
    map_deinit(&s->parked);
    stun_mac_free(&s->mac);
    policy_unref(&s->policy);
}

static void on_timer(struct wheel_timer *w, void *ctx)
{
    struct timer *t = (struct timer *)(void *)((char *)w - offsetof(struct timer, wheel));

    switch (t->kind) {
    case TIMER_ALLOC:
        alloc_on_timer(ctx, t);
        break;
    case TIMER_RESERVATION:
        reserve_on_timer(ctx, t);
        break;
    case TIMER_PARKED:
        turn_timeout(ctx, t);
        break;
    }
}

void shard_tick(struct shard *s)
{
    wheel_advance(&s->wheel, s->now.ms, on_timer, s);
    alloc_tell_some(s);
}

void shard_set_policy(struct shard *s, struct policy *policy)
{
    policy_unref(&s->policy);
    s->policy = policy;
}
