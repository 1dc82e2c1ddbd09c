#include "auth/redis.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/rediscluster.h"
#include "auth/redisparts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"

static struct timeval ms_time(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L};
}

/* Half of it certain, half of it chance: clients that lost the same server do not come back in step. */
void redisparts_delay(struct event *timer, unsigned failures, unsigned max_ms)
{
    unsigned ms = REDIS_BACKOFF_MIN_MS, chance;
    struct timeval tv;

    while (failures-- && ms < max_ms)
        ms *= 2;
    if (ms > max_ms)
        ms = max_ms;
    random_bytes(&chance, sizeof(chance));
    tv = ms_time(ms / 2 + chance % (ms / 2 + 1));
    evtimer_add(timer, &tv);
}

/* ---- Calls. ---- */

static struct redis_calls *list_of(struct redis_call *c)
{
    switch (c->state) {
    case CALL_WAITING:
        return &c->r->waiting;
    case CALL_SENT:
        return &c->r->sent;
    case CALL_OVER:
        break;
    }
    return &c->r->over;
}

static void enter(struct redis_call *c, enum call_state state)
{
    c->state = state;
    TAILQ_INSERT_TAIL(list_of(c), c, link);
}

static void move(struct redis_call *c, enum call_state state)
{
    TAILQ_REMOVE(list_of(c), c, link);
    enter(c, state);
}

static void free_wire(struct redis_call *c)
{
    if (c->wire)
        explicit_bzero(c->wire, c->len); /* keys and tokens */
    free(c->wire);
    c->wire = NULL;
}

static void free_call(struct redis_call *c)
{
    TAILQ_REMOVE(list_of(c), c, link);
    c->r->health.pending--;
    event_del(&c->timer);
    free_wire(c);
    free(c);
}

/* Its callback comes from the loop, soon. */
static void finish(struct redis_call *c, int err)
{
    c->err = err;
    move(c, CALL_OVER);
    event_del(&c->timer);
    event_active(&c->timer, EV_TIMEOUT, 1);
}

/* The deadline, or the end of a call that is over. */
static void on_call_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct redis_call *c = ctx;
    redis_cb *cb = c->cb;
    void *cb_ctx = c->ctx;
    int err = c->state == CALL_OVER ? c->err : ERR_TIMEDOUT;

    (void)fd;
    (void)what;
    if (err == ERR_TIMEDOUT)
        c->r->health.timeouts++;
    if (c->state == CALL_SENT)
        c->silent = true; /* its answer still comes, in its turn */
    else
        free_call(c);
    cb(cb_ctx, err, NULL);
}

/* ---- Sending. ---- */

static void on_sent(struct redis_sent *sent, int err, const struct redisReply *reply);
static void on_asking(struct redis_sent *sent, int err, const struct redisReply *reply);

static void send_now(struct redis_call *c, struct node *n)
{
    static const char ASKING[] = "*1\r\n$6\r\nASKING\r\n";
    int err = 0;

    if (c->node) { /* ASK has sent us here */
        c->asking.done = on_asking;
        err = redisconn_send(n->conn, ASKING, sizeof(ASKING) - 1, &c->asking);
    }
    c->sent.done = on_sent;
    if (!err)
        err = redisconn_send(n->conn, c->wire, c->len, &c->sent);
    if (err) {
        /* An ASKING that stands alone would point to a call that is gone. */
        redisnode_leave(n, "no memory");
        finish(c, err);
        return;
    }
    c->node = n;
    move(c, CALL_SENT);
}

static bool try(struct redis_call *c, uint64_t now)
{
    struct node *n = c->not_before_ms <= now ? redisnode_for(c->r, c) : NULL;

    if (!n || !n->ready)
        return false;
    send_now(c, n);
    return true;
}

static void arm_kick(struct redis *r)
{
    struct timeval tv = ms_time(REDIS_RETRY_MS);

    if (!event_pending(&r->kick, EV_TIMEOUT, NULL))
        evtimer_add(&r->kick, &tv);
}

void redisparts_flush(struct redis *r)
{
    uint64_t now = clock_now().ms;
    struct redis_call *c = TAILQ_FIRST(&r->waiting), *last = TAILQ_LAST(&r->waiting, redis_calls);

    while (c) {
        struct redis_call *next = c == last ? NULL : TAILQ_NEXT(c, link);
        if (!try(c, now) && c->not_before_ms > now)
            arm_kick(r);
        c = next;
    }
}

static void on_kick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    redisparts_flush(ctx);
}

/* ---- Answers. ---- */

/* The server has not carried it out: again, to `n` after an ASK, else where it belongs by then. */
static void again(struct redis_call *c, struct node *n, bool at_once)
{
    c->node = n;
    if (at_once) {
        move(c, CALL_WAITING);
        (void)try(c, c->not_before_ms);
        return;
    }
    c->not_before_ms = clock_now().ms + REDIS_RETRY_MS;
    move(c, CALL_WAITING);
    arm_kick(c->r);
}

static struct node *named(struct node *from, struct redis_host *host)
{
    struct node *n;

    if (!*host->name)
        memcpy(host->name, from->host.name, sizeof(host->name));
    n = redisnode_find(from->r, host, true);
    if (n && !n->conn && !event_pending(&n->timer, EV_TIMEOUT, NULL))
        redisnode_connect(n);
    return n;
}

/* True: the error is followed, and the caller hears of it later. */
static bool follow(struct redis_call *c, struct node *n, const struct redisReply *reply)
{
    bool cluster = c->r->target.kind == REDIS_CLUSTER;
    struct redis_host host;
    unsigned slot;
    struct node *to;

    switch (rediscluster_error(reply, &slot, &host)) {
    case REDISCLUSTER_NONE:
        return false;
    case REDISCLUSTER_MOVED:
        to = cluster && c->moves++ < REDIS_MOVES_MAX ? named(n, &host) : NULL;
        if (!to)
            return false;
        to->wanted = true;
        redisslots_set(c->r, slot, slot, to);
        redisslots_refresh(c->r);
        c->slot = (int)slot;
        again(c, NULL, true);
        return true;
    case REDISCLUSTER_ASK:
        to = cluster && c->moves++ < REDIS_MOVES_MAX ? named(n, &host) : NULL;
        if (to)
            again(c, to, true);
        return to != NULL;
    case REDISCLUSTER_DOWN:
        if (!cluster)
            return false;
        redisslots_refresh(c->r);
        again(c, NULL, false);
        return true;
    case REDISCLUSTER_WAIT:
        again(c, NULL, false);
        return true;
    case REDISCLUSTER_LEAVE:
        again(c, NULL, false);
        redisnode_leave(n, reply->str[0] == 'R'   ? "does not write: it is a replica (READONLY)"
                           : reply->str[0] == 'L' ? "is loading its data (LOADING)"
                                                  : "is a replica, or has lost its master");
        return true;
    }
    return false;
}

static void on_asking(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    (void)sent; /* the answer to what follows tells all */
    (void)err;
    (void)reply;
}

static void on_sent(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    struct redis_call *c = (struct redis_call *)(void *)sent;
    struct node *n = c->node;
    redis_cb *cb = c->cb;
    void *ctx = c->ctx;
    bool silent = c->silent;

    c->node = NULL;
    if (err) {
        if (silent)
            free_call(c);
        else
            finish(c, ERR_NOTCONN);
        return;
    }
    if (!silent && reply->type == REDIS_REPLY_ERROR && follow(c, n, reply)) {
        redisnode_answered(n, false);
        return;
    }
    free_call(c);
    redisnode_answered(n, true);
    if (!silent)
        cb(ctx, 0, reply);
}

int redis_command(struct redis *r, const void *key, size_t key_len, const struct redis_arg *argv, size_t argc, unsigned deadline_ms,
                  redis_cb *cb, void *ctx, struct redis_call **call)
{
    bool full = r->health.pending >= REDIS_PENDING_MAX;
    struct timeval tv = ms_time(deadline_ms);
    struct redis_call *c = calloc(1, sizeof(*c));
    int err = c ? 0 : ERR_NOMEM;

    if (call)
        *call = NULL;
    if (!err && !full)
        err = redisconn_format(&c->wire, &c->len, argv, argc);
    if (err) {
        free(c);
        return err;
    }
    c->r = r;
    c->cb = cb;
    c->ctx = ctx;
    c->slot = key && r->target.kind == REDIS_CLUSTER ? (int)rediscluster_slot(key, key_len) : -1;
    evtimer_assign(&c->timer, r->base, on_call_timer, c);
    enter(c, CALL_WAITING);
    r->health.pending++;
    if (full) {
        r->health.refused++;
        finish(c, ERR_NOSPC);
    } else if (evtimer_add(&c->timer, &tv)) {
        free_call(c);
        return ERR_NOMEM;
    } else {
        r->health.commands++;
        (void)try(c, 0);
    }
    if (call)
        *call = c;
    return 0;
}

void redis_cancel(struct redis_call **call)
{
    struct redis_call *c = *call;

    *call = NULL;
    if (!c)
        return;
    if (c->state == CALL_SENT) {
        event_del(&c->timer);
        c->silent = true;
    } else {
        free_call(c);
    }
}

/* ---- Health. ---- */

static void on_report(evutil_socket_t fd, short what, void *ctx)
{
    struct redis *r = ctx;

    (void)fd;
    (void)what;
    if (r->health_cb)
        r->health_cb(r->ctx, &r->health);
}

/* Why a Cluster is not ready; NULL when it is. */
static const char *cluster_reason(const struct redis *r)
{
    const char *reason = "connecting";

    for (size_t i = 0; i < REDIS_NODES_MAX; i++) {
        const struct node *n = r->nodes[i];
        if (n && !n->gone && !n->ready && (n->wanted || !r->have_table))
            reason = n->reason;
    }
    if (!r->have_table || strcmp(reason, "connecting") != 0)
        return reason;
    return memchr(r->slots, 0, REDIS_SLOTS) ? "some of the Cluster's slots have no master" : NULL;
}

void redisparts_judge(struct redis *r)
{
    const char *reason;
    bool ready, same;

    if (r->target.kind == REDIS_CLUSTER) {
        reason = cluster_reason(r);
        ready = !reason;
    } else {
        ready = r->nodes[0] && r->nodes[0]->ready;
        reason = ready || !r->nodes[0] ? "" : r->nodes[0]->reason;
    }
    if (!reason)
        reason = "";
    same = ready == r->health.ready && strcmp(reason, r->health.reason) == 0;
    if (same)
        return;
    if (ready != r->health.ready)
        r->health.since_ms = clock_now().ms;
    r->health.ready = ready;
    snprintf(r->health.reason, sizeof(r->health.reason), "%s", reason);
    event_active(&r->report, EV_TIMEOUT, 1);
}

const struct redis_health *redis_health(const struct redis *r)
{
    return &r->health;
}

/* ---- The client. ---- */

int redis_new(struct redis **out, struct event_base *base, const struct redis_target *target, redis_health_cb *cb, void *ctx)
{
    struct redis *r = calloc(1, sizeof(*r));
    int err;

    *out = NULL;
    if (!r)
        return ERR_NOMEM;
    if (!*target->path && target->nhosts == 0) {
        free(r);
        return ERR_INVAL;
    }
    r->base = base;
    r->target = *target;
    if (!r->target.connect_timeout_ms)
        r->target.connect_timeout_ms = REDIS_CONNECT_MS;
    if (!r->target.silence_timeout_ms)
        r->target.silence_timeout_ms = REDIS_SILENCE_MS;
    r->health_cb = cb;
    r->ctx = ctx;
    r->health.since_ms = clock_now().ms;
    TAILQ_INIT(&r->waiting);
    TAILQ_INIT(&r->sent);
    TAILQ_INIT(&r->over);
    evtimer_assign(&r->report, base, on_report, r);
    evtimer_assign(&r->kick, base, on_kick, r);
    err = redisnode_start(r);
    if (err) {
        redis_free(&r);
        return err;
    }
    redisparts_judge(r);
    *out = r;
    return 0;
}

static void free_calls(struct redis_calls *calls)
{
    struct redis_call *c = TAILQ_FIRST(calls), *next;

    for (; c; c = next) {
        next = TAILQ_NEXT(c, link);
        free_call(c);
    }
}

void redis_free(struct redis **r)
{
    struct redis *client = *r;

    *r = NULL;
    if (!client)
        return;
    redisnode_stop(client);
    redisslots_stop(client);
    free_calls(&client->waiting);
    free_calls(&client->sent);
    free_calls(&client->over);
    event_del(&client->report);
    event_del(&client->kick);
    SSL_CTX_free(client->tls);
    explicit_bzero(&client->target, sizeof(client->target));
    free(client);
}
