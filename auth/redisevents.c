#include "auth/redisevents.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

enum {
    STREAM_MAX = 128, /* bytes of the stream's name */
    ID_MAX = 48,      /* bytes of an event's id: two 64-bit numbers */
    PAUSE_MS = 50,    /* before the next question, when one was not answered */
};

struct redisevents {
    struct redis *redis;
    struct redis_call *call;
    struct event pause;
    struct redisevents_ops ops;
    void *ctx;
    char stream[STREAM_MAX];
    char last[ID_MAX]; /* seen; "": it is not known yet where the stream ended at the beginning, */
    struct id {
        uint64_t ms, number;
    } end; /* and there */
};

static void ask(struct redisevents *e);

static void ask_later(struct redisevents *e)
{
    struct timeval pause = {.tv_usec = PAUSE_MS * 1000};

    evtimer_add(&e->pause, &pause);
}

/* ---- Reading. ---- */

/* An id is digits, '-' and digits; anything else would be sent back to the server. */
static bool take_id(struct redisevents *e, const redisReply *id)
{
    if (id->type != REDIS_REPLY_STRING || id->len == 0 || id->len >= ID_MAX || strspn(id->str, "0123456789-") != id->len)
        return false;
    memcpy(e->last, id->str, id->len + 1);
    return true;
}

static struct id id_of(const char *text)
{
    char *rest;
    struct id id = {.ms = strtoull(text, &rest, 10)};

    if (*rest == '-')
        id.number = strtoull(rest + 1, NULL, 10);
    return id;
}

/* Had the event that was taken last happened before we began? */
static bool is_old(const struct redisevents *e)
{
    struct id id = id_of(e->last);

    return id.ms < e->end.ms || (id.ms == e->end.ms && id.number <= e->end.number);
}

/* "revoke" with `name`, and `before` when the name is a user part; "change" with `name`; or another kind. */
static void take_event(struct redisevents *e, const redisReply *fields)
{
    struct auth_revocation r = {0};
    const char *kind = "";

    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return;
        if (strcmp(name->str, "kind") == 0)
            kind = value->str;
        else if (strcmp(name->str, "name") == 0 && value->len < sizeof(r.name) && !memchr(value->str, '\0', value->len))
            memcpy(r.name, value->str, value->len + 1);
        else if (strcmp(name->str, "before") == 0)
            r.expires_before = strtoll(value->str, NULL, 10);
    }
    if (is_old(e) && (strcmp(kind, "revoke") != 0 || r.expires_before <= clock_now().wall))
        return; /* what is asked for at the start knows it, or no name of the user part is valid any more */
    r.only_changed = strcmp(kind, "change") == 0;
    if (strcmp(kind, "revoke") != 0 && !r.only_changed)
        e->ops.told(e->ctx, kind);
    else if ((r.name[0] || r.expires_before > 0) && r.expires_before >= 0)
        e->ops.revoked(e->ctx, &r);
}

/* Entries are pairs of an id and a list of fields. False: no such thing. */
static bool take_entries(struct redisevents *e, const redisReply *entries)
{
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *entry = entries->element[i];

        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 || !take_id(e, entry->element[0]))
            return false;
        if (entry->element[1]->type == REDIS_REPLY_ARRAY)
            take_event(e, entry->element[1]);
    }
    return true;
}

static void on_events(void *ctx, int err, const redisReply *reply)
{
    struct redisevents *e = ctx;
    bool fine = false;

    e->call = NULL;
    if (!err && reply->type == REDIS_REPLY_NIL)
        fine = true; /* nothing has happened */
    else if (!err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 && reply->element[0]->type == REDIS_REPLY_ARRAY &&
             reply->element[0]->elements == 2 && reply->element[0]->element[1]->type == REDIS_REPLY_ARRAY)
        fine = take_entries(e, reply->element[0]->element[1]);
    if (fine)
        ask(e);
    else
        ask_later(e);
}

static void begin(struct redisevents *e)
{
    e->end = id_of(e->last);
    memcpy(e->last, "0-0", sizeof("0-0"));
    e->ops.begun(e->ctx);
    ask(e);
}

static void on_last(void *ctx, int err, const redisReply *reply)
{
    struct redisevents *e = ctx;
    bool fine = false;

    e->call = NULL;
    if (!err && reply->type == REDIS_REPLY_ARRAY)
        fine = reply->elements == 0 || (reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements == 2 &&
                                        take_id(e, reply->element[0]->element[0]));
    if (fine)
        begin(e);
    else
        ask_later(e);
}

/* ---- Asking: where the stream ends; then for all that it has, and for what comes behind the last one seen. ---- */

static struct redis_arg arg(const char *text)
{
    return (struct redis_arg){text, strlen(text)};
}

static void ask(struct redisevents *e)
{
    char block[16], page[16];
    int err;

    snprintf(block, sizeof(block), "%d", REDISEVENTS_BLOCK_MS);
    snprintf(page, sizeof(page), "%d", REDISEVENTS_PAGE);
    if (e->last[0]) {
        struct redis_arg argv[] = {arg("XREAD"), arg("COUNT"),   arg(page),      arg("BLOCK"),
                                   arg(block),   arg("STREAMS"), arg(e->stream), arg(e->last)};

        err = redis_command(e->redis, e->stream, strlen(e->stream), argv, sizeof(argv) / sizeof(argv[0]),
                            REDISEVENTS_SILENCE_MS * 2, on_events, e, &e->call);
    } else {
        struct redis_arg argv[] = {arg("XREVRANGE"), arg(e->stream), arg("+"), arg("-"), arg("COUNT"), arg("1")};

        err = redis_command(e->redis, e->stream, strlen(e->stream), argv, sizeof(argv) / sizeof(argv[0]),
                            REDISEVENTS_SILENCE_MS * 2, on_last, e, &e->call);
    }
    if (err)
        ask_later(e);
}

static void on_pause(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    ask(ctx);
}

int redisevents_new(struct redisevents **out, struct event_base *base, const struct redis_target *target, const char *prefix,
                    const struct redisevents_ops *ops, void *ctx)
{
    struct redisevents *e = calloc(1, sizeof(*e));
    struct redis_target t = *target;
    int err = 0;

    *out = NULL;
    if (!e)
        return ERR_NOMEM;
    e->ops = *ops;
    e->ctx = ctx;
    t.silence_timeout_ms = REDISEVENTS_SILENCE_MS;
    t.connect_timeout_ms = REDISEVENTS_CONNECT_MS;
    t.backoff_max_ms = REDISEVENTS_BACKOFF_MS;
    if ((size_t)snprintf(e->stream, sizeof(e->stream), "%sevents", prefix) >= sizeof(e->stream))
        err = ERR_NOSPC;
    if (!err)
        err = redis_new(&e->redis, base, &t, ops->health, ctx);
    explicit_bzero(&t, sizeof(t));
    if (err) {
        free(e);
        return err;
    }
    evtimer_assign(&e->pause, base, on_pause, e);
    ask(e);
    *out = e;
    return 0;
}

void redisevents_free(struct redisevents **e)
{
    if (!*e)
        return;
    redis_free(&(*e)->redis);
    evtimer_del(&(*e)->pause);
    free(*e);
    *e = NULL;
}
