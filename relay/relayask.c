/* Questions about what lives: the control thread's side. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "relay/alloc.h"
#include "relay/relayparts.h"

/* The query is the worker's while it is out; the rest is ours all the time. */
struct relay_question {
    struct query query;
    struct relay *relay;
    struct relay_question *next, **prev; /* of those that are to be answered, oldest first */
    unsigned worker;                     /* who has it, or had it last */
    uint64_t due_ms;
    relay_answer_cb *cb; /* NULL: nobody waits any more, it is freed when it comes back */
    void *ctx;
};

static struct relay_question *of_query(struct query *q)
{
    return (struct relay_question *)(void *)q; /* its first member */
}

static void free_question(struct relay_question *p)
{
    if (p->relay)
        p->relay->questions.open--;
    free(p->query.found);
    free(p->query.permissions);
    free(p->query.channels);
    free(p);
}

/* ---- On the worker's thread. ---- */

static void put_into_box(struct query *q)
{
    struct questions *qs = &of_query(q)->relay->questions;
    uint64_t one = 1;
    ssize_t n;

    pthread_mutex_lock(&qs->lock);
    q->next = qs->box;
    qs->box = q;
    pthread_mutex_unlock(&qs->lock);
    n = write(qs->fd, &one, sizeof(one));
    (void)n; /* the counter is full only if a wake-up is pending */
}

/* ---- Answers. ---- */

static void unlink_question(struct relay_question *p)
{
    struct questions *qs = &p->relay->questions;

    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
    else
        qs->end = p->prev;
}

/* Nobody is asked to wait any longer; the question itself stays until it comes back. */
static void tell(struct relay_question *p, const struct relay_answer *answer)
{
    relay_answer_cb *cb = p->cb;

    assert(cb); /* as all that are in the list */
    unlink_question(p);
    p->cb = NULL;
    atomic_store_explicit(&p->query.given_up, true, memory_order_relaxed);
    cb(p->ctx, answer);
}

static void tell_error(struct relay_question *p, int err)
{
    tell(p, &(struct relay_answer){.err = err});
}

/* Only what waits is in the list, and all have the same patience: the oldest is the next to lose it. */
static void watch_oldest(struct questions *qs)
{
    uint64_t now_ms = clock_now().ms;
    struct timeval left = {0};

    if (!qs->oldest) {
        evtimer_del(&qs->late);
        return;
    }
    if (qs->oldest->due_ms > now_ms) {
        left.tv_sec = (time_t)((qs->oldest->due_ms - now_ms) / 1000);
        left.tv_usec = (suseconds_t)((qs->oldest->due_ms - now_ms) % 1000 * 1000);
    }
    evtimer_add(&qs->late, &left);
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
    struct relay *r = ctx;

    (void)fd, (void)what;
    while (r->questions.oldest && r->questions.oldest->due_ms <= clock_now().ms)
        tell_error(r->questions.oldest, ERR_TIMEDOUT);
    watch_oldest(&r->questions);
}

/* To the worker that it names. ERR_NOMEM. */
static int hand_over(struct relay_question *p)
{
    struct letter *l = calloc(1, sizeof(*l));

    if (!l)
        return ERR_NOMEM;
    l->kind = LETTER_QUERY;
    l->query = &p->query;
    worker_post(&p->relay->workers[p->worker], l);
    return 0;
}

static void answer(struct relay_question *p)
{
    struct query *q = &p->query;
    char cursor[RELAY_CURSOR_MAX];

    snprintf(cursor, sizeof(cursor), "%u.%" PRIx64, p->worker, q->at);
    tell(p, &(struct relay_answer){.err = q->kind != QUERY_LIST && !q->n ? ERR_NOENT : 0,
                                   .items = q->found,
                                   .n = q->n,
                                   .next = q->full ? cursor : NULL,
                                   .permissions = q->permissions,
                                   .channels = q->channels});
}

/* It has come back: the next worker goes on with a page that has room, else it is answered. */
static void go_on(struct relay_question *p)
{
    struct query *q = &p->query;
    int err;

    if (p->cb && q->kind == QUERY_LIST && !q->full && p->worker + 1 < p->relay->nworkers) {
        p->worker++;
        q->at = 0;
        err = hand_over(p);
        if (!err)
            return;
        tell_error(p, err);
    }
    if (p->cb)
        answer(p);
    free_question(p);
}

/* In the order in which they came back. */
static struct query *take_box(struct questions *qs)
{
    struct query *newest, *oldest = NULL, *next;

    pthread_mutex_lock(&qs->lock);
    newest = qs->box;
    qs->box = NULL;
    pthread_mutex_unlock(&qs->lock);
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    return oldest;
}

static void on_come(evutil_socket_t fd, short what, void *ctx)
{
    struct relay *r = ctx;
    uint64_t n;
    ssize_t got = read(fd, &n, sizeof(n));
    struct query *next;

    (void)what, (void)got;
    for (struct query *q = take_box(&r->questions); q; q = next) {
        next = q->next;
        go_on(of_query(q));
    }
    watch_oldest(&r->questions);
}

/* ---- Asking. ---- */

static int new_question(struct relay_question **out, struct relay *r, enum query_kind kind, size_t limit)
{
    struct relay_question *p = r->questions.base ? calloc(1, sizeof(*p)) : NULL;
    struct query *q = p ? &p->query : NULL;

    *out = NULL;
    if (!r->questions.base)
        return ERR_NOTCONN;
    if (r->questions.open >= RELAY_OPEN_MAX) {
        free(p);
        return ERR_AGAIN;
    }
    if (!p)
        return ERR_NOMEM;
    q->kind = kind;
    q->limit = limit < RELAY_PAGE_MAX ? limit : RELAY_PAGE_MAX;
    q->back = put_into_box;
    q->found = calloc(q->limit, sizeof(*q->found));
    if (kind == QUERY_SHOW) {
        q->permissions = calloc(ALLOC_PERMISSIONS_MAX, sizeof(*q->permissions));
        q->channels = calloc(ALLOC_CHANNELS_MAX, sizeof(*q->channels));
    }
    if (!q->found || (kind == QUERY_SHOW && (!q->permissions || !q->channels))) {
        free_question(p);
        return ERR_NOMEM;
    }
    p->relay = r;
    r->questions.open++;
    *out = p;
    return 0;
}

/* On an error it is gone, and `*p` is NULL. */
static int ask(struct relay_question **p, relay_answer_cb *cb, void *ctx)
{
    struct questions *qs = &(*p)->relay->questions;
    int err = hand_over(*p);

    if (err) {
        free_question(*p);
        *p = NULL;
        return err;
    }
    (*p)->cb = cb;
    (*p)->ctx = ctx;
    (*p)->due_ms = clock_now().ms + RELAY_PATIENCE_MS;
    (*p)->prev = qs->end;
    *qs->end = *p;
    qs->end = &(*p)->next;
    if (qs->oldest == *p)
        watch_oldest(qs);
    return 0;
}

/* "worker.place", as answer() writes it. */
static bool read_cursor(const char *text, unsigned workers, unsigned *worker, uint64_t *at)
{
    char again[RELAY_CURSOR_MAX];
    char *end;
    unsigned long w = strtoul(text, &end, 10);

    if (*end != '.' || w >= workers)
        return false;
    *worker = (unsigned)w;
    *at = strtoull(end + 1, NULL, 16);
    snprintf(again, sizeof(again), "%u.%" PRIx64, *worker, *at);
    return strcmp(text, again) == 0;
}

int relay_list(struct relay *r, const struct relay_filter *filter, const char *cursor, size_t limit, relay_answer_cb *cb, void *ctx,
               struct relay_question **out)
{
    unsigned worker = 0;
    uint64_t at = 0;
    int err;

    *out = NULL;
    if (!limit || (cursor && !read_cursor(cursor, r->nworkers, &worker, &at)))
        return ERR_INVAL;
    if (filter->user && strlen(filter->user) > STUN_USERNAME_MAX)
        return ERR_INVAL;
    err = new_question(out, r, QUERY_LIST, limit);
    if (err)
        return err;
    (*out)->worker = worker;
    (*out)->query.at = at;
    (*out)->query.filter = *filter;
    if (filter->user) {
        snprintf((*out)->query.user, sizeof((*out)->query.user), "%s", filter->user);
        (*out)->query.filter.user = (*out)->query.user;
    }
    return ask(out, cb, ctx);
}

static int ask_about(struct relay *r, enum query_kind kind, uint64_t id, relay_answer_cb *cb, void *ctx,
                     struct relay_question **out)
{
    int err = new_question(out, r, kind, 1);

    if (err)
        return err;
    (*out)->query.id = id;
    (*out)->worker = alloc_id_worker(id) < r->nworkers ? alloc_id_worker(id) : 0; /* who has none of it says so */
    return ask(out, cb, ctx);
}

int relay_show(struct relay *r, uint64_t id, relay_answer_cb *cb, void *ctx, struct relay_question **out)
{
    return ask_about(r, QUERY_SHOW, id, cb, ctx, out);
}

int relay_close(struct relay *r, uint64_t id, relay_answer_cb *cb, void *ctx, struct relay_question **out)
{
    return ask_about(r, QUERY_CLOSE, id, cb, ctx, out);
}

void relay_forget(struct relay_question **question)
{
    struct relay_question *p = *question;

    *question = NULL;
    if (!p)
        return;
    unlink_question(p);
    p->cb = NULL;
    atomic_store_explicit(&p->query.given_up, true, memory_order_relaxed);
}

/* ---- Life. ---- */

void relay_init_questions(struct relay *r)
{
    struct questions *qs = &r->questions;

    qs->end = &qs->oldest;
    qs->fd = -1;
    pthread_mutex_init(&qs->lock, NULL); /* cannot fail with default attributes */
}

int relay_answer_on(struct relay *r, struct event_base *base)
{
    struct questions *qs = &r->questions;

    qs->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (qs->fd < 0)
        return -errno;
    if (event_assign(&qs->come, base, qs->fd, EV_READ | EV_PERSIST, on_come, r) || evtimer_assign(&qs->late, base, on_late, r) ||
        event_add(&qs->come, NULL))
        return ERR_NOMEM;
    qs->base = base;
    return 0;
}

void relay_answer_off(struct relay *r)
{
    struct questions *qs = &r->questions;

    if (qs->base) {
        event_del(&qs->come);
        evtimer_del(&qs->late);
    }
    qs->base = NULL;
    while (qs->oldest)
        tell_error(qs->oldest, ERR_CANCELLED);
}

void relay_deinit_questions(struct relay *r)
{
    struct questions *qs = &r->questions;
    struct query *next;

    relay_answer_off(r);
    for (struct query *q = take_box(qs); q; q = next) {
        next = q->next;
        free_question(of_query(q));
    }
    if (qs->fd >= 0)
        close(qs->fd);
    pthread_mutex_destroy(&qs->lock);
}
