#include "bridge/pump.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"

enum {
    PASSES_MAX = 16, /* dispatches in a row: then the loop's other events have their turn */
    POLLS_MIN = 8,   /* descriptors that a new pump has room for */
    YOUNG_MS = 5000, /* in which sockets come and go: each pass looks whether a number still means the same one. Later, when */
    CHECK_MS = 100,  /* packets flow, it is looked so often: a look for each packet would cost more than the rest of the pass */
};

/* A descriptor that the loop watches for the context. */
struct watch {
    struct event event;
    int fd;
    short what; /* EV_READ, EV_WRITE */
    ino_t ino;  /* of what the descriptor was when it was added: a number that was closed is soon another socket's, and */
    dev_t dev;  /* the kernel has then forgotten what the loop believes to watch */
    bool used;  /* the last query has named it */
    struct watch *next;
};

struct pump {
    struct event_base *base;
    GMainContext *context;
    GPollFD *polls;
    int npolls, room;
    struct watch *watches;
    struct event timer;            /* the next pass: when a source's time has come, or at once when a descriptor is ready */
    uint64_t began_ms, checked_ms; /* the last look at what the numbers mean */
    bool checks;                   /* this pass looks */
    bool busy;                     /* a source runs: freeing waits until it has returned */
    bool doomed;                   /* freed while busy */
};

/* ---- What the loop watches. ---- */

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct pump *p = ctx;

    (void)fd;
    (void)what;
    /* One pass for all descriptors that are ready at the same time. */
    event_active(&p->timer, EV_TIMEOUT, 1);
}

static void unwatch(struct watch *w)
{
    event_del(&w->event);
    free(w);
}

/* Whether the number still means the socket that was added. */
static bool same(const struct watch *w)
{
    struct stat st;

    return fstat(w->fd, &st) == 0 && st.st_ino == w->ino && st.st_dev == w->dev;
}

static int watch(struct pump *p, int fd, short what)
{
    struct watch *w;
    struct stat st;

    for (w = p->watches; w && w->fd != fd; w = w->next)
        ;
    if (w && w->what == what && (!p->checks || same(w))) {
        w->used = true;
        return 0;
    }
    if (fstat(fd, &st))
        return 0; /* closed under its source, which will notice or not: nothing can be watched */
    if (w) {
        event_del(&w->event);
    } else {
        w = calloc(1, sizeof(*w));
        if (!w)
            return ERR_NOMEM;
        w->next = p->watches;
        p->watches = w;
    }
    w->fd = fd;
    w->what = what;
    w->ino = st.st_ino;
    w->dev = st.st_dev;
    w->used = true;
    event_assign(&w->event, p->base, fd, (short)(what | EV_PERSIST), on_ready, p);
    return event_add(&w->event, NULL) ? ERR_NOMEM : 0;
}

static short events_of(const GPollFD *poll)
{
    short what = 0;

    if (poll->events & G_IO_IN)
        what |= EV_READ;
    if (poll->events & G_IO_OUT)
        what |= EV_WRITE;
    return what;
}

/* Makes the watched descriptors those of the last query. A source may name one twice: once for each direction. */
static int watch_all(struct pump *p)
{
    struct watch **at = &p->watches, *w;
    int err = 0;

    for (w = p->watches; w; w = w->next)
        w->used = false;
    for (int i = 0; i < p->npolls && !err; i++) {
        short what = 0;
        bool before = false;
        for (int j = 0; j < p->npolls; j++) {
            if (p->polls[j].fd != p->polls[i].fd)
                continue;
            what |= events_of(&p->polls[j]);
            before |= j < i;
        }
        if (what && !before)
            err = watch(p, p->polls[i].fd, what);
    }
    while ((w = *at) != NULL) {
        if (w->used) {
            at = &w->next;
        } else {
            *at = w->next;
            unwatch(w);
        }
    }
    return err;
}

/* ---- A pass. ---- */

/* The context's descriptors, and in how many ms it wants to run (-1: not for a time). */
static int query(struct pump *p, int priority, int *timeout)
{
    while ((p->npolls = g_main_context_query(p->context, priority, timeout, p->polls, p->room)) > p->room) {
        GPollFD *more = reallocarray(p->polls, (size_t)p->npolls * 2, sizeof(*more));
        if (!more) {
            p->npolls = p->room;
            return ERR_NOMEM;
        }
        p->polls = more;
        p->room = p->npolls * 2;
    }
    return 0;
}

/* One iteration, as g_main_context_iteration() does it, but without a wait. False: nothing was ready, and `timeout` says when something will be. */
static bool iterate(struct pump *p, int *timeout, int *err)
{
    int priority;

    g_main_context_prepare(p->context, &priority);
    *err = query(p, priority, timeout);
    if (p->npolls)
        g_poll(p->polls, (guint)p->npolls, 0);
    if (!g_main_context_check(p->context, priority, p->polls, p->npolls))
        return false;
    g_main_context_dispatch(p->context);
    return true;
}

static void release(struct pump *p)
{
    struct watch *w;

    while ((w = p->watches) != NULL) {
        p->watches = w->next;
        unwatch(w);
    }
    event_del(&p->timer);
    g_main_context_unref(p->context);
    free(p->polls);
    free(p);
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Watches what the last query has named. The next pass comes in `timeout` ms, or sooner where this one has not looked at what the numbers mean. */
static int follow(struct pump *p, int *timeout)
{
    uint64_t now = now_ms(), since = now - p->checked_ms;
    int left, err;

    p->checks = since >= CHECK_MS || now - p->began_ms < YOUNG_MS;
    err = watch_all(p);
    if (p->checks) {
        p->checked_ms = now;
        return err;
    }
    left = CHECK_MS - (int)since;
    if (*timeout < 0 || *timeout > left)
        *timeout = left;
    return err;
}

static void run(evutil_socket_t fd, short what, void *ctx)
{
    enum { RETRY_MS = 100 }; /* without memory for what to watch, the context is looked at by time */
    struct pump *p = ctx;
    int timeout = 0, err = 0, passes = 0;
    bool more;

    (void)fd;
    (void)what;
    if (!g_main_context_acquire(p->context))
        return; /* cannot be: nobody else has it */
    p->busy = true;
    while ((more = iterate(p, &timeout, &err)) && !p->doomed && ++passes < PASSES_MAX)
        ;
    p->busy = false;
    g_main_context_release(p->context);
    if (p->doomed) {
        release(p);
        return;
    }
    /* Only a query behind which nothing has run tells all descriptors, and those that still are. */
    if (more)
        timeout = 0;
    else if (!err)
        err = follow(p, &timeout);
    if (err && (timeout < 0 || timeout > RETRY_MS))
        timeout = RETRY_MS;
    if (timeout < 0)
        event_del(&p->timer);
    else
        event_add(&p->timer, &(struct timeval){.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000L});
}

int pump_new(struct pump **out, struct event_base *base)
{
    struct pump *p = calloc(1, sizeof(*p));

    *out = NULL;
    if (!p)
        return ERR_NOMEM;
    p->base = base;
    p->began_ms = now_ms();
    p->polls = calloc(POLLS_MIN, sizeof(*p->polls));
    p->room = POLLS_MIN;
    /* Ownerless: between two passes nobody has the context, and what is attached to it then must still wake us by its descriptor. */
    p->context = g_main_context_new_with_flags(G_MAIN_CONTEXT_FLAGS_OWNERLESS_POLLING);
    event_assign(&p->timer, base, -1, 0, run, p);
    if (!p->polls || event_add(&p->timer, &(struct timeval){0})) {
        release(p);
        return ERR_NOMEM;
    }
    *out = p;
    return 0;
}

struct _GMainContext *pump_context(const struct pump *p)
{
    return p->context;
}

void pump_free(struct pump **p)
{
    struct pump *pump = *p;

    *p = NULL;
    if (!pump)
        return;
    pump->doomed = true;
    if (!pump->busy)
        release(pump);
}
