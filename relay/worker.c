#include "relay/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/slice.h"
#include "relay/alloc.h"
#include "relay/forward.h"
#include "relay/stream.h"
#include "relay/turn.h"
#include "relay/udp.h"

void worker_time(struct worker *w)
{
    if (w->timed)
        return;
    w->shard.now = clock_now();
    w->timed = true;
}

/* ---- From other threads. ---- */

static void wake(struct worker *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof(one));

    (void)n; /* the counter is full only if a wake-up is pending */
}

void worker_post(struct worker *w, struct letter *letter)
{
    pthread_mutex_lock(&w->mailbox_lock);
    letter->next = w->mailbox;
    w->mailbox = letter;
    pthread_mutex_unlock(&w->mailbox_lock);
    wake(w);
}

/* In the order in which they were posted. */
static struct letter *take_letters(struct worker *w)
{
    struct letter *newest, *oldest = NULL, *next;

    pthread_mutex_lock(&w->mailbox_lock);
    newest = w->mailbox;
    w->mailbox = NULL;
    pthread_mutex_unlock(&w->mailbox_lock);
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    return oldest;
}

static void free_letter(struct letter *l)
{
    if (l->kind == LETTER_MAIL && l->mail.kind == MAIL_REDEEMED && l->mail.fd >= 0)
        close(l->mail.fd); /* nobody has read it */
    policy_unref(&l->policy);
    if (l->query)
        l->query->back(l->query);
    free(l);
}

/* ---- What auth/ asks of the worker. ---- */

static void each_user(void *ctx, void (*visit)(void *visitor, const char *name), void *visitor)
{
    struct worker *w = ctx;

    user_each(&w->shard, visit, visitor);
}

static void end_revoked(void *ctx, const struct auth_revocation *revocation)
{
    struct worker *w = ctx;

    worker_time(w);
    auth_forget(w->shard.auth, w->index, revocation);
    if (!revocation->only_changed)
        turn_revoke(&w->shard, revocation);
}

/* What an allocation is for is in the log from now on, and in the line of its end. */
static void name_call(struct worker *w, const struct letter *l)
{
    struct alloc *a = alloc_by_port(&w->shard, l->space, l->port);

    if (!a || strcmp(a->user->name, l->user) != 0 || strcmp(a->call, l->call) == 0)
        return;
    memcpy(a->call, l->call, sizeof(a->call));
    worker_time(w);
    if (rate_take(&w->log_allocations, 1, w->shard.now.ms))
        LOG(LOG_INFO, "allocation_call", LOG_STR("call", a->call), LOG_STR("user", a->user->name),
            LOG_ADDR("client", &a->path.client), LOG_INT("port", l->port), LOG_INT("worker", w->index));
    else
        w->log_suppressed++;
}

static void read_letters(struct worker *w)
{
    struct letter *l = take_letters(w), *next;

    for (; l; l = next) {
        next = l->next;
        switch (l->kind) {
        case LETTER_MAIL:
            turn_mail(&w->shard, &l->mail);
            l->mail.fd = -1; /* the shard's now */
            break;
        case LETTER_SETTINGS:
            w->shard.settings = l->settings;
            shard_set_policy(&w->shard, l->policy);
            l->policy = NULL;
            break;
        case LETTER_REVOCATION:
            end_revoked(w, &l->revocation);
            break;
        case LETTER_RECHECK:
            auth_recheck(w->shard.auth, w->index);
            break;
        case LETTER_QUERY:
            *w->queries_end = l->query;
            w->queries_end = &l->query->next;
            l->query->next = NULL;
            l->query = NULL;
            break;
        case LETTER_END:
            w->ending = l->reason;
            w->end_at = 0;
            break;
        case LETTER_CALL:
            name_call(w, l);
            break;
        }
        free_letter(l);
    }
}

static struct query *take_query(struct worker *w)
{
    struct query *q = w->queries;

    if (q)
        w->queries = q->next;
    if (!w->queries)
        w->queries_end = &w->queries;
    return q;
}

/* A part of what is asked, so that packets are served in between. */
static void answer_queries(struct worker *w)
{
    size_t most = QUERY_PASS_MAX;

    while (w->queries && query_step(&w->shard, w->queries, &most)) {
        struct query *q = take_query(w);

        q->back(q);
    }
    if (w->queries)
        wake(w); /* the rest in the next pass */
}

static void end_some(struct worker *w)
{
    if (w->ending && !alloc_end_some(&w->shard, &w->end_at, END_PASS_MAX, w->ending))
        w->ending = NULL;
    if (w->ending)
        wake(w);
}

static void read_rings(struct worker *w)
{
    for (unsigned from = 0; from < w->count; from++) {
        struct splice *sp;
        size_t len;
        int n = 0;

        if (from == w->index)
            continue;
        while (n++ < RING_PASS_MAX && (sp = ring_peek(w->rings[from], &len))) {
            count(w->shard.counters, COUNT_SPLICE_IN);
            forward_spliced(&w->shard, sp, splice_payload(sp));
            ring_release(w->rings[from]);
        }
        if (n > RING_PASS_MAX)
            wake(w); /* the rest in the next pass */
    }
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;
    uint64_t n;
    ssize_t got = read(fd, &n, sizeof(n));

    (void)what;
    (void)got;
    worker_time(w);
    read_rings(w);
    read_letters(w);
    answer_queries(w);
    end_some(w);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct worker *w = ctx;

    (void)fd;
    (void)what;
    worker_time(w);
    atomic_store_explicit(&w->ticked_ms, w->shard.now.ms, memory_order_relaxed);
    shard_tick(&w->shard);
}

/* ---- What the shard asks of the network, as far as it isn't a socket. ---- */

static int post(void *net, unsigned worker, const struct mail *mail)
{
    struct worker *w = net;
    struct letter *l = calloc(1, sizeof(*l));

    if (!l)
        return ERR_NOMEM;
    l->kind = LETTER_MAIL;
    l->mail = *mail;
    worker_post(&w->all[worker], l);
    return 0;
}

static void *splice_reserve(void *net, unsigned worker, size_t len)
{
    struct worker *w = net;

    return ring_reserve(w->all[worker].rings[w->index], len);
}

static void splice_commit(void *net, unsigned worker)
{
    struct worker *w = net;

    ring_commit(w->all[worker].rings[w->index]);
    w->dirty[worker] = true;
}

static void set_clock(void *net)
{
    worker_time(net);
}

static void log_allocation(const struct worker *w, const struct relay_event_info *e)
{
    const struct shard *s = &w->shard;
    const struct alloc *a = e->alloc;
    struct addr v4 = a->legs[0].socket ? alloc_relayed(s, &a->legs[0]) : (struct addr){0};
    struct addr v6 = a->legs[1].socket ? alloc_relayed(s, &a->legs[1]) : (struct addr){0};

    if (e->event == EVENT_ALLOCATION_CREATED)
        LOG(LOG_INFO, "allocation_created", LOG_STR("user", a->user->name), LOG_ADDR("client", &a->path.client),
            LOG_STR("transport", a->path.transport == TRANSPORT_UDP ? "udp" : "tcp"), LOG_ADDR("relayed", &v4),
            LOG_ADDR("relayed6", &v6), LOG_INT("worker", w->index));
    else
        LOG(LOG_INFO, "allocation_deleted", LOG_STR("user", a->user->name), LOG_ADDR("client", &a->path.client),
            LOG_STR("reason", e->detail), LOG_STR("call", a->call), LOG_ADDR("relayed", &v4), LOG_ADDR("relayed6", &v6),
            LOG_INT("seconds", (s->now.ms - a->created_ms) / 1000), LOG_INT("packets_up", a->packets_up),
            LOG_INT("bytes_up", a->bytes_up), LOG_INT("packets_down", a->packets_down), LOG_INT("bytes_down", a->bytes_down),
            LOG_INT("worker", w->index));
}

static void tell_suppressed(struct worker *w)
{
    if (w->log_suppressed)
        LOG(LOG_WARNING, "events_suppressed", LOG_INT("count", w->log_suppressed), LOG_INT("worker", w->index));
    w->log_suppressed = 0;
}

static void on_event(void *net, const struct relay_event_info *e)
{
    struct worker *w = net;
    struct rate *rate = &w->log_rate;

    feeder_tell(&w->feeder, &w->shard, e);
    if (e->event == EVENT_ALLOCATION_REFRESHED || e->event == EVENT_AUTH_FAILED || e->event == EVENT_QUOTA_REFUSED)
        return; /* nothing for the log, which has the request's refusal */
    if (!log_enabled(e->event == EVENT_THROTTLED ? LOG_WARNING : LOG_INFO))
        return; /* what nobody reads takes no other event's place */
    if (e->event == EVENT_ALLOCATION_CREATED || e->event == EVENT_ALLOCATION_DELETED)
        rate = &w->log_allocations;
    if (!rate_take(rate, 1, w->shard.now.ms)) {
        w->log_suppressed++;
        return;
    }
    tell_suppressed(w);
    switch (e->event) {
    case EVENT_ALLOCATION_CREATED:
    case EVENT_ALLOCATION_DELETED:
        log_allocation(w, e);
        break;
    case EVENT_ALLOCATION_REFRESHED:
    case EVENT_AUTH_FAILED:
    case EVENT_QUOTA_REFUSED:
        break;
    case EVENT_REQUEST_REFUSED:
        LOG(LOG_INFO, "request_refused", LOG_STR("method", e->method), LOG_INT("code", e->code), LOG_STR("reason", e->detail),
            LOG_STR("user", e->user ? e->user : ""), LOG_ADDR("client", &e->path->client));
        break;
    case EVENT_THROTTLED:
        LOG(LOG_WARNING, "credentials_throttled", LOG_STR("user", e->user ? e->user : ""), LOG_ADDR("client", &e->path->client),
            LOG_INT("seconds", THROTTLE_SILENCE_S));
        break;
    case EVENT_PEER_DENIED:
        LOG(LOG_INFO, "peer_denied", LOG_ADDR("peer", e->peer), LOG_STR("entry", e->detail), LOG_STR("user", e->user),
            LOG_ADDR("client", &e->path->client));
        break;
    }
}

void worker_accept_rests(struct worker *w, int err)
{
    count(&w->counters, DROP_STREAMS_DESCRIPTORS);
    if (w->accept_told_ms && w->shard.now.ms - w->accept_told_ms < ACCEPT_LOG_S * 1000ULL)
        return;
    w->accept_told_ms = w->shard.now.ms;
    LOG(LOG_WARNING, "accept_rests", LOG_ERR("error", err), LOG_STR("effect", "new TCP connections wait"),
        LOG_STR("cure", "raise the limit of descriptors (with systemd LimitNOFILE=)"), LOG_INT("worker", w->index));
}

static int client_send(void *net, const struct path *to, const uint8_t *data, size_t len, uint8_t tos)
{
    if (to->transport == TRANSPORT_UDP)
        return udp_client_send(net, to, data, len, tos);
    return stream_client_send(net, to, data, len);
}

static const struct net_ops NET = {
    .relay_open = udp_relay_open,
    .relay_start = udp_relay_start,
    .relay_close = udp_relay_close,
    .relay_detach = udp_relay_detach,
    .relay_adopt = udp_relay_adopt,
    .relay_send = udp_relay_send,
    .client_send = client_send,
    .clock = set_clock,
    .post = post,
    .splice_reserve = splice_reserve,
    .splice_commit = splice_commit,
    .event = on_event,
    .can_dont_fragment = true,
};

/* ---- Life. ---- */

/* One pass: wait for sockets, serve them, then send what they have gathered and wake the workers that were spliced to. */
static void *run(void *ctx)
{
    struct worker *w = ctx;
    int err = slice_short();

    if (err)
        LOG(LOG_DEBUG, "slice_not_taken", LOG_INT("worker", w->index), LOG_ERR("reason", err));
    while (!atomic_load(&w->stopping)) {
        w->timed = false;
        event_base_loop(w->base, EVLOOP_ONCE);
        udp_flush(w->udp);
        for (unsigned i = 0; i < w->count; i++) {
            if (w->dirty[i]) {
                w->dirty[i] = false;
                wake(&w->all[i]);
            }
        }
        feeder_wake(&w->feeder);
    }
    return NULL;
}

int worker_init(struct worker *w, const struct shard_config *config, struct worker *all, unsigned count)
{
    struct shard_config c = *config;
    struct timeval tick = {.tv_usec = TICK_MS * 1000};
    int err = ERR_NOMEM;

    w->index = c.worker;
    w->count = count;
    w->all = all;
    w->queries_end = &w->queries;
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->base = event_base_new();
    w->rings = calloc(count, sizeof(*w->rings));
    w->dirty = calloc(count, sizeof(*w->dirty));
    pthread_mutex_init(&w->mailbox_lock, NULL);
    rate_init(&w->log_rate, EVENTS_LOGGED_PER_S, EVENTS_LOGGED_PER_S * 4, c.now.ms);
    rate_init(&w->log_allocations, EVENTS_LOGGED_PER_S, EVENTS_LOGGED_PER_S * 4, c.now.ms);
    if (w->wake_fd < 0 || !w->base || !w->rings || !w->dirty)
        goto out;
    for (unsigned from = 0; from < count; from++)
        if (from != w->index && (err = ring_new(&w->rings[from], RING_BYTES)))
            goto out;
    c.net = &NET;
    c.net_ctx = w;
    c.counters = &w->counters;
    err = shard_init(&w->shard, &c);
    if (!err)
        err = auth_attach(c.auth, w->index, w->base, &(struct auth_live){each_user, end_revoked, w});
    if (!err)
        err = udp_new(&w->udp, w);
    if (!err)
        err = streams_new(&w->streams, w);
    if (err)
        goto out;
    if (event_assign(&w->wake, w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w) || event_add(&w->wake, NULL) ||
        event_assign(&w->tick, w->base, -1, EV_PERSIST, on_tick, w) || event_add(&w->tick, &tick))
        err = ERR_IO;
out:
    return err;
}

int worker_feed(struct worker *w, int fd)
{
    return feeder_open(&w->feeder, fd, w->shard.now.ms);
}

void worker_deinit(struct worker *w)
{
    struct letter *l, *next;

    if (!w->all)
        return;
    if (w->streams)
        streams_free(&w->streams);
    if (w->shard.policy) {
        struct auth *auth = w->shard.auth;

        shard_deinit(&w->shard);
        tell_suppressed(w);
        auth_detach(auth, w->index);
    }
    if (w->udp)
        udp_free(&w->udp);
    for (l = take_letters(w); l; l = next) {
        next = l->next;
        free_letter(l);
    }
    for (struct query *q; (q = take_query(w));)
        q->back(q);
    for (unsigned i = 0; w->rings && i < w->count; i++)
        ring_free(&w->rings[i]);
    free(w->rings);
    free(w->dirty);
    feeder_close(&w->feeder);
    if (w->base) {
        if (event_initialized(&w->wake))
            event_del(&w->wake);
        if (event_initialized(&w->tick))
            event_del(&w->tick);
        event_base_free(w->base);
    }
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->mailbox_lock);
}

int worker_start(struct worker *w)
{
    sigset_t all, before;
    int err;

    atomic_store(&w->ticked_ms, clock_now().ms); /* it has until now */
    sigfillset(&all);                            /* signals are the control thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->started = !err;
    return -err;
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->stopping, true);
    wake(w);
}

void worker_join(struct worker *w)
{
    if (w->started)
        pthread_join(w->thread, NULL);
    w->started = false;
}
