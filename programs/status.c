#include "programs/status.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "auth/redisstatus.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { FINISH_MS = 300, PASS_MS = 10 }; /* of the two seconds in which the process ends; and so often it looks whether it is done */

struct status {
    struct redisstatus *redis;
    struct relay *relay;
    struct event_base *base;
    struct event pass;
    uint64_t news; /* read so far */
};

static void on_health(void *ctx, const struct redis_health *h)
{
    struct status *s = ctx;

    if (h->ready)
        LOG(LOG_INFO, "status_ready", LOG_INT("lost", redisstatus_lost(s->redis)));
    else if (h->reconnects) /* before that, it is the first attempt that is under way */
        LOG(LOG_WARNING, "status_unavailable", LOG_STR("reason", h->reason));
}

void status_news(struct status *s, const struct feed_news *n)
{
    const struct redisstatus_allocation a = {
        .user = n->user, .id = n->id, .stream = n->stream, .server = &n->server, .client = &n->client};

    s->news++;
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
    case FEED_AUTH_FAILED: /* coturn tells nothing of these */
    case FEED_THROTTLED:
    case FEED_PEER_DENIED:
    case FEED_QUOTA_REFUSED:
    case FEED_KINDS:
        break;
    }
}

static void on_rest(void *ctx, const struct feed_news *n)
{
    status_news(ctx, n);
}

/* There is nothing to do: so that each pass of the loop ends. */
static void on_pass(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
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
    s->base = base;
    err = redisstatus_new(&s->redis, base, target, realm, on_health, s);
    if (!err && event_assign(&s->pass, base, -1, EV_PERSIST, on_pass, s))
        err = ERR_NOMEM;
    if (err)
        status_free(&s);
    *out = s;
    return err;
}

static bool read_some(struct status *s)
{
    uint64_t before = s->news;

    relay_read(s->relay, on_rest, s);
    return s->news != before;
}

/* What Redis owes is waited for before more is read: all ends at once would be more than may be pending. */
void status_finish(struct status *s)
{
    const struct redis_health *h = redisstatus_health(s->redis);
    uint64_t until_ms = clock_now().ms + FINISH_MS;
    bool done = false;

    evtimer_add(&s->pass, &(struct timeval){.tv_usec = PASS_MS * 1000});
    while (!done && h->ready && clock_now().ms < until_ms) {
        done = h->pending == 0 && !read_some(s);
        if (!done && event_base_loop(s->base, EVLOOP_ONCE))
            break;
    }
    if (!done && (h->pending || read_some(s)))
        LOG(LOG_WARNING, "status_lost", LOG_STR("reason", h->ready ? "Redis could not be told before the end" : h->reason));
}

void status_free(struct status **sp)
{
    struct status *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    if (event_initialized(&s->pass))
        evtimer_del(&s->pass);
    redisstatus_free(&s->redis);
    free(s);
}
