#include "programs/storethread.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "auth/redisask.h"
#include "base/clock.h"
#include "base/err.h"
#include "programs/storeops.h"

struct job {
    struct admin_call *call; /* NULL: none */
    storethread_after *after;
    void *ctx;
};

/* In the order in which they came. */
struct queue {
    struct job job[STORETHREAD_WAITING_MAX];
    size_t begin, n;
};

struct storethread {
    struct storeops *ops;
    storethread_done *give_back;
    pthread_t thread;
    bool started;
    atomic_bool stops;    /* for what is under way: not of the lock, which is not held then */
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t more;
    struct queue asked, answered;
    size_t out; /* in either queue, or under way: so there is always room in `answered` */
    bool ends;
    int done_fd; /* not of the lock: it is written behind it */
    struct event done;
};

static void put(struct queue *q, const struct job *job)
{
    q->job[(q->begin + q->n++) % STORETHREAD_WAITING_MAX] = *job;
}

static struct job take(struct queue *q)
{
    struct job job = q->job[q->begin];

    if (!q->n)
        return (struct job){0};
    q->begin = (q->begin + 1) % STORETHREAD_WAITING_MAX;
    q->n--;
    return job;
}

static void *run(void *ctx)
{
    struct storethread *t = ctx;
    struct job job;

    redisask_ends(&t->stops);
    pthread_mutex_lock(&t->lock);
    while (!t->ends) {
        job = take(&t->asked);
        if (!job.call) {
            pthread_cond_wait(&t->more, &t->lock);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        if (clock_now().ms < job.call->request.deadline_ms)
            storeops_run(t->ops, &job.call->request, &job.call->answer);
        else /* nobody would get what was made */
            admin_answer_problem(&job.call->answer, 503, "the store took too long with what was asked before; nothing was done");
        pthread_mutex_lock(&t->lock);
        put(&t->answered, &job);
        eventfd_write(t->done_fd, 1);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static struct job take_answered(struct storethread *t)
{
    struct job job;

    pthread_mutex_lock(&t->lock);
    job = take(&t->answered);
    t->out -= job.call != NULL;
    pthread_mutex_unlock(&t->lock);
    return job;
}

static void finish(const struct storethread *t, struct job *job)
{
    if (job->after && job->call->answer.status < 400)
        job->after(job->ctx, &job->call->answer);
    t->give_back(&job->call);
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
    struct storethread *t = ctx;
    struct job job;
    eventfd_t n;

    (void)what;
    eventfd_read(fd, &n);
    while ((job = take_answered(t)).call)
        finish(t, &job);
}

void storethread_call(struct storethread *t, struct admin_call *call, storethread_after *after, void *ctx)
{
    bool room;

    pthread_mutex_lock(&t->lock);
    room = t->out < STORETHREAD_WAITING_MAX;
    if (room) {
        put(&t->asked, &(struct job){call, after, ctx});
        t->out++;
        pthread_cond_signal(&t->more);
    }
    pthread_mutex_unlock(&t->lock);
    if (room)
        return;
    admin_answer_problem(&call->answer, 503, "%d requests wait for the store already: it is slow or away; see /readyz",
                         STORETHREAD_WAITING_MAX);
    t->give_back(&call);
}

int storethread_new(struct storethread **out, struct event_base *base, struct storeops *ops, storethread_done *done)
{
    struct storethread *t = calloc(1, sizeof(*t));
    sigset_t all, before;
    int err = 0;

    *out = t;
    if (!t)
        return ERR_NOMEM;
    t->ops = ops;
    t->give_back = done;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->more, NULL);
    t->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->done_fd < 0)
        err = -errno;
    else if (event_assign(&t->done, base, t->done_fd, EV_READ | EV_PERSIST, on_done, t) || event_add(&t->done, NULL))
        err = ERR_NOMEM;
    if (!err) {
        sigfillset(&all); /* signals are the control thread's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        err = -pthread_create(&t->thread, NULL, run, t);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        t->started = !err;
    }
    if (err)
        storethread_free(out);
    return err;
}

void storethread_free(struct storethread **tp)
{
    struct storethread *t = *tp;
    struct job job;

    *tp = NULL;
    if (!t)
        return;
    atomic_store(&t->stops, true);
    pthread_mutex_lock(&t->lock);
    t->ends = true;
    pthread_cond_signal(&t->more);
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        pthread_join(t->thread, NULL);
    while ((job = take(&t->answered)).call)
        finish(t, &job);
    while ((job = take(&t->asked)).call) {
        admin_answer_problem(&job.call->answer, 503, "the server ends");
        finish(t, &job);
    }
    if (event_initialized(&t->done))
        event_del(&t->done);
    if (t->done_fd >= 0)
        close(t->done_fd);
    pthread_cond_destroy(&t->more);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
