#include "auth/redisask.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "auth/redisevents.h"
#include "base/err.h"

enum { STREAM_MAX = 128 }; /* bytes of the stream's name */

/* One command's wait. */
struct wait {
    struct redisask *q;
    const struct redisask_command *command;
    struct redis_call *call;
    int err;
    bool over;
};

int redisask_open(struct redisask *q, const struct redis_target *target, unsigned deadline_ms, char *why, size_t cap)
{
    *q = (struct redisask){.base = event_base_new(), .deadline_ms = deadline_ms, .why = why, .cap = cap};
    return q->base ? redis_new(&q->redis, q->base, target, NULL, NULL) : ERR_NOMEM;
}

void redisask_close(struct redisask *q)
{
    redis_free(&q->redis);
    if (q->base)
        event_base_free(q->base);
    *q = (struct redisask){0};
}

int redisask_fail(struct redisask *q, int err, const char *why)
{
    snprintf(q->why, q->cap, "%s", why);
    return err;
}

/* ---- Words. ---- */

void redisask_add(struct redisask_command *c, const void *data, size_t len)
{
    assert(c->argc < REDISASK_ARGS_MAX);
    c->argv[c->argc++] = (struct redis_arg){data, len};
}

void redisask_text(struct redisask_command *c, const char *text)
{
    redisask_add(c, text, strlen(text));
}

void redisask_script(struct redisask_command *c, const char *script, const char *nkeys)
{
    c->is_script = true;
    redisask_text(c, "EVAL");
    redisask_text(c, script);
    redisask_text(c, nkeys);
}

const char *redisask_number(char out[static REDISASK_NUMBER_MAX], long long n)
{
    snprintf(out, REDISASK_NUMBER_MAX, "%lld", n);
    return out;
}

/* ---- Sending, and waiting. ---- */

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct wait *w = ctx;
    const char *reason = redis_health(w->q->redis)->reason;

    if (err)
        w->err = redisask_fail(w->q, err, reason[0] ? reason : err_str(err));
    else if (reply->type == REDIS_REPLY_ERROR)
        w->err = redisask_fail(w->q, ERR_DENIED, reply->str);
    else if (w->command->read)
        w->err = w->command->read(w->q, reply, w->command->out);
    w->over = true;
    event_base_loopbreak(w->q->base);
}

static _Thread_local const atomic_bool *ends; /* NULL: nobody stops this thread */

void redisask_ends(const atomic_bool *flag)
{
    ends = flag;
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
    struct wait *w = ctx;

    (void)fd, (void)what;
    if (w->over || !atomic_load(ends))
        return;
    redis_cancel(&w->call);
    w->err = redisask_fail(w->q, ERR_CANCELLED, "the server ends");
    w->over = true;
    event_base_loopbreak(w->q->base);
}

static int wait_for(struct wait *w)
{
    struct event look;
    int err = 0;

    event_assign(&look, w->q->base, -1, EV_PERSIST, on_look, w);
    if (ends)
        evtimer_add(&look, &(struct timeval){.tv_usec = REDISASK_LOOK_MS * 1000});
    while (!w->over && !err)
        if (event_base_dispatch(w->q->base) < 0)
            err = redisask_fail(w->q, ERR_IO, "the event loop has failed");
    event_del(&look);
    return err ? err : w->err;
}

/* It goes by its first key: after the name, or after a script and the number of its keys. */
int redisask_run(struct redisask *q, struct redisask_command *c)
{
    const struct redis_arg *key = &c->argv[c->is_script ? 3 : 1];
    struct wait w = {.q = q, .command = c};
    int err;

    q->why[0] = '\0';
    event_base_loop(q->base, EVLOOP_NONBLOCK); /* nobody has looked since the last command: the server may have hung up */
    err = redis_command(q->redis, key->data, key->len, c->argv, c->argc, q->deadline_ms, on_answer, &w, &w.call);
    return err ? redisask_fail(q, err, err_str(err)) : wait_for(&w);
}

int redisask_tell(struct redisask *q, const char *prefix, const char *kind, const char *name, const char *before)
{
    struct redisask_command c = {0};
    char events[STREAM_MAX], keep[REDISASK_NUMBER_MAX];

    snprintf(events, sizeof(events), "%sevents", prefix);
    redisask_text(&c, "XADD");
    redisask_text(&c, events);
    redisask_text(&c, "MAXLEN");
    redisask_text(&c, "~");
    redisask_text(&c, redisask_number(keep, REDISEVENTS_KEEP));
    redisask_text(&c, "*");
    redisask_text(&c, "kind");
    redisask_text(&c, kind);
    if (name) {
        redisask_text(&c, "name");
        redisask_text(&c, name);
    }
    if (before) {
        redisask_text(&c, "before");
        redisask_text(&c, before);
    }
    return redisask_run(q, &c);
}
