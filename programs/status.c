#include "programs/status.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "auth/redisstatus.h"
#include "base/err.h"
#include "base/log.h"

struct status {
    struct redisstatus *redis;
    struct relay *relay;
    struct event feed;
};

static void on_health(void *ctx, const struct redis_health *h)
{
    struct status *s = ctx;

    if (h->ready)
        LOG(LOG_INFO, "status_ready", LOG_INT("lost", redisstatus_lost(s->redis)));
    else if (h->reconnects) /* before that, it is the first attempt that is under way */
        LOG(LOG_WARNING, "status_unavailable", LOG_STR("reason", h->reason));
}

static void on_news(void *ctx, const struct feed_news *n)
{
    struct status *s = ctx;
    const struct redisstatus_allocation a = {
        .user = n->user, .id = n->id, .stream = n->stream, .server = &n->server, .client = &n->client};

    switch (n->kind) {
    case FEED_CREATED:
        redisstatus_lives(s->redis, &a, false, n->lifetime_s);
        break;
    case FEED_REFRESHED:
        redisstatus_lives(s->redis, &a, true, n->lifetime_s);
        break;
    case FEED_DELETED:
        redisstatus_ended(s->redis, &a, &(struct redisstatus_traffic){n->packets_up, n->bytes_up, n->packets_down, n->bytes_down});
        break;
    }
}

static void on_feed(evutil_socket_t fd, short what, void *ctx)
{
    struct status *s = ctx;

    (void)fd, (void)what;
    relay_read(s->relay, on_news, s);
}

int status_start(struct status **out, struct event_base *base, const struct redis_target *target, const char *realm,
                 struct relay *relay)
{
    struct status *s = calloc(1, sizeof(*s));
    int err;

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->relay = relay;
    err = redisstatus_new(&s->redis, base, target, realm, on_health, s);
    if (!err && (event_assign(&s->feed, base, relay_feed(relay), EV_READ | EV_PERSIST, on_feed, s) || event_add(&s->feed, NULL)))
        err = ERR_NOMEM;
    if (err)
        status_free(&s);
    *out = s;
    return err;
}

void status_free(struct status **sp)
{
    struct status *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    if (event_initialized(&s->feed))
        event_del(&s->feed);
    redisstatus_free(&s->redis);
    free(s);
}
