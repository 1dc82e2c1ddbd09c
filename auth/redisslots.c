#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "auth/rediscluster.h"
#include "auth/redisparts.h"
#include "base/clock.h"
#include "base/err.h"

_Static_assert(REDIS_NODES_MAX < UINT8_MAX, "an index and 1 fits a slot");

/* ---- Reading the table. ---- */

struct reading {
    struct redis *r;
    const struct node *from;
};

static void ignore(void *ctx, unsigned first, unsigned last, const struct redis_host *host)
{
    (void)ctx;
    (void)first;
    (void)last;
    (void)host;
}

void redisslots_set(struct redis *r, unsigned first, unsigned last, const struct node *n)
{
    uint8_t index = 0;

    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        if (r->nodes[i] == n)
            index = (uint8_t)(i + 1);
    }
    memset(r->slots + first, index, last - first + 1);
}

static void on_range(void *ctx, unsigned first, unsigned last, const struct redis_host *host)
{
    struct reading *reading = ctx;
    struct redis_host where = *host;
    struct node *n;

    if (!*where.name)
        memcpy(where.name, reading->from->host.name, sizeof(where.name));
    n = redisnode_find(reading->r, &where, true);
    if (!n)
        return; /* more masters than there is room for: these slots stay without one, and the health says so */
    n->wanted = true;
    redisslots_set(reading->r, first, last, n);
}

/* False: it made no sense, and everything is as before. */
static bool adopt(struct redis *r, struct node *from, const struct redisReply *reply)
{
    struct reading reading = {r, from};

    if (rediscluster_slots(reply, ignore, NULL) || reply->elements == 0)
        return false;
    memset(r->slots, 0, REDIS_SLOTS);
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        if (r->nodes[i])
            r->nodes[i]->wanted = false;
    }
    (void)rediscluster_slots(reply, on_range, &reading);
    r->have_table = true;
    r->want_table = false;
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        struct node *n = r->nodes[i];
        if (n && n->wanted && !n->conn && !event_pending(&n->timer, EV_TIMEOUT, NULL))
            redisnode_connect(n);
        else if (n && !n->wanted && !n->gone)
            redisnode_drop(n);
    }
    return true;
}

static void on_table(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    struct node *n = (struct node *)(void *)((char *)sent - offsetof(struct node, table));
    struct redis *r = n->r;

    n->asked = false;
    if (err)
        return; /* the connection's end follows, which asks again */
    if (n->leaving) {
        redisnode_answered(n, false);
    } else if (adopt(r, n, reply)) {
        redisparts_flush(r);
        redisparts_judge(r);
    } else {
        redisnode_leave(n, "is not part of a Cluster, or knows none of its slots");
    }
}

/* ---- Asking for it. ---- */

static struct node *to_ask(struct redis *r)
{
    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        struct node *n = r->nodes[r->turn++ % REDIS_NODES_MAX];
        if (n && n->ready && !n->asked)
            return n;
    }
    return NULL;
}

/* Nobody is there to be asked: start from the configuration again. */
static void seed(struct redis *r)
{
    for (size_t i = 0; i < r->target.nhosts; i++) {
        struct node *n = redisnode_find(r, &r->target.hosts[i], true);
        if (n && !n->conn && !event_pending(&n->timer, EV_TIMEOUT, NULL))
            redisnode_connect(n);
    }
}

static void ask(struct redis *r)
{
    static const char COMMAND[] = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
    unsigned ms = r->target.backoff_max_ms < REDIS_REFRESH_MS ? r->target.backoff_max_ms : REDIS_REFRESH_MS;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};
    struct node *n = to_ask(r);

    /* If this one does not answer, another is asked. */
    evtimer_add(&r->refresh, &tv);
    r->asked_ms = clock_now().ms;
    if (!n) {
        seed(r);
        return;
    }
    n->table.done = on_table;
    n->asked = redisconn_send(n->conn, COMMAND, sizeof(COMMAND) - 1, &n->table) == 0;
}

static void on_refresh(evutil_socket_t fd, short what, void *ctx)
{
    struct redis *r = ctx;

    (void)fd;
    (void)what;
    if (r->want_table || !r->health.ready)
        ask(r);
}

void redisslots_refresh(struct redis *r)
{
    r->want_table = true;
    if (event_pending(&r->refresh, EV_TIMEOUT, NULL))
        return;
    ask(r);
}

void redisslots_node_ready(struct redis *r)
{
    /* The first that is there tells where the others are. */
    if (!r->have_table)
        ask(r);
}

int redisslots_start(struct redis *r)
{
    r->slots = calloc(1, REDIS_SLOTS);
    if (!r->slots)
        return ERR_NOMEM;
    evtimer_assign(&r->refresh, r->base, on_refresh, r);
    redisslots_refresh(r);
    return 0;
}

void redisslots_stop(struct redis *r)
{
    if (!r->slots)
        return;
    event_del(&r->refresh);
    free(r->slots);
    r->slots = NULL;
}
