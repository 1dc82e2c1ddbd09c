#include "relay/feeder.h"

#include <string.h>
#include <unistd.h>

#include "relay/alloc.h"

int feeder_open(struct feeder *f, int fd, uint64_t now_ms)
{
    f->fd = fd;
    for (int i = 0; i < FEED_KINDS; i++)
        rate_init(&f->rates[i], FEED_PER_S, FEED_PER_S, now_ms);
    return ring_new(&f->ring, FEED_BYTES);
}

void feeder_close(struct feeder *f)
{
    ring_free(&f->ring);
}

void feeder_wake(struct feeder *f)
{
    uint64_t one = 1;
    ssize_t n;

    if (!f->fed)
        return;
    f->fed = false;
    n = write(f->fd, &one, sizeof(one));
    (void)n; /* the counter is full only if a wake-up is pending */
}

/* False: it is no news. */
static bool kind_of(enum relay_event event, enum feed_kind *out)
{
    switch (event) {
    case EVENT_ALLOCATION_CREATED:
        *out = FEED_CREATED;
        return true;
    case EVENT_ALLOCATION_REFRESHED:
        *out = FEED_REFRESHED;
        return true;
    case EVENT_ALLOCATION_DELETED:
        *out = FEED_DELETED;
        return true;
    case EVENT_AUTH_FAILED:
        *out = FEED_AUTH_FAILED;
        return true;
    case EVENT_THROTTLED:
        *out = FEED_THROTTLED;
        return true;
    case EVENT_PEER_DENIED:
        *out = FEED_PEER_DENIED;
        return true;
    case EVENT_QUOTA_REFUSED:
        *out = FEED_QUOTA_REFUSED;
        return true;
    case EVENT_REQUEST_REFUSED:
        break;
    }
    return false;
}

static void fill(struct feed_news *n, const struct shard *s, enum feed_kind kind, const struct relay_event_info *e)
{
    const struct alloc *a = e->alloc;

    *n = (struct feed_news){.kind = kind,
                            .stream = e->path->transport != TRANSPORT_UDP,
                            .lifetime_s = e->lifetime_s,
                            .client = e->path->client,
                            .server = e->path->server};
    if (e->peer)
        n->peer = *e->peer;
    if (a) {
        n->id = alloc_id(s, a);
        n->packets_up = a->packets_up;
        n->bytes_up = a->bytes_up;
        n->packets_down = a->packets_down;
        n->bytes_down = a->bytes_down;
    }
}

void feeder_tell(struct feeder *f, const struct shard *s, const struct relay_event_info *e)
{
    const char *user = e->user ? e->user : "", *reason = e->detail ? e->detail : "";
    size_t user_size = strlen(user) + 1, reason_size = strlen(reason) + 1;
    struct feed_news *n;
    enum feed_kind kind;

    if (!f->ring || !kind_of(e->event, &kind))
        return;
    if (kind >= FEED_AUTH_FAILED && !rate_take(&f->rates[kind], 1, s->now.ms)) {
        count(s->counters, COUNT_NEWS_SUPPRESSED);
        return;
    }
    n = ring_reserve(f->ring, sizeof(*n) + user_size + reason_size);
    if (!n) {
        count(s->counters, DROP_FEED_FULL);
        return;
    }
    fill(n, s, kind, e);
    n->reason_at = (uint32_t)user_size;
    memcpy(n->user, user, user_size);
    memcpy(n->user + user_size, reason, reason_size);
    ring_commit(f->ring);
    f->fed = true;
}
