#include "auth/redissentinel.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redis.h"
#include "auth/rediscluster.h"
#include "auth/redisparts.h"
#include "base/err.h"

struct redissentinel {
    struct redisconn_config how;
    struct redissentinel_events events;
    void *ctx;
    struct redisconn *conn;
    struct redis_sent question, subscription;
    struct event timer; /* the next round */
    size_t at;          /* the sentinel that is asked, or listened to */
    size_t tried;       /* in this round */
    unsigned failures;  /* rounds in which none could say */
    bool asking;        /* until one has answered */
};

static long long port_of(const char *text, size_t len)
{
    long long port = 0;

    if (len == 0 || len > 5)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        port = port * 10 + (text[i] - '0');
    }
    return port;
}

int redissentinel_answer(struct redis_host *out, const struct redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        return ERR_NOENT;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING || reply->element[0]->len == 0)
        return ERR_MALFORMED;
    return rediscluster_host(out, reply->element[0]->str, reply->element[0]->len,
                             port_of(reply->element[1]->str, reply->element[1]->len));
}

/* "<master> <old ip> <old port> <new ip> <new port>" */
int redissentinel_switch(struct redis_host *out, const struct redisReply *message, const char *master)
{
    const char *word[5], *p, *end;
    size_t len[5];

    if (message->type != REDIS_REPLY_ARRAY || message->elements != 3 || message->element[2]->type != REDIS_REPLY_STRING)
        return ERR_MALFORMED;
    p = message->element[2]->str;
    end = p + message->element[2]->len;
    for (int i = 0; i < 5; i++) {
        const char *blank = p < end ? memchr(p, ' ', (size_t)(end - p)) : NULL;
        if ((blank == NULL) != (i == 4))
            return ERR_MALFORMED;
        word[i] = p;
        len[i] = (size_t)((blank ? blank : end) - p);
        p = blank ? blank + 1 : end;
    }
    if (len[0] != strlen(master) || memcmp(word[0], master, len[0]) != 0)
        return ERR_NOENT;
    return len[3] ? rediscluster_host(out, word[3], len[3], port_of(word[4], len[4])) : ERR_MALFORMED;
}

static void next(struct redissentinel *s);

/* This one could not say. */
static void pass_on(struct redissentinel *s, const char *reason)
{
    const struct redis_target *t = s->how.target;
    char text[REDIS_REASON_MAX], host[REDIS_REASON_MAX / 2];
    bool asked = s->asking;

    redisconn_free(&s->conn);
    s->asking = true;
    if (!asked) {
        /* It was only listened to. */
        redisparts_delay(&s->timer, s->failures++, s->how.target->backoff_max_ms);
        return;
    }
    if (++s->tried < t->nhosts) {
        next(s);
        return;
    }
    redisurl_host_text(&t->hosts[s->at], host, sizeof(host));
    snprintf(text, sizeof(text), "sentinel %s: %s", host, reason);
    s->tried = 0;
    redisparts_delay(&s->timer, s->failures++, s->how.target->backoff_max_ms);
    s->events.failed(s->ctx, text);
}

static void on_answer(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    struct redissentinel *s = (struct redissentinel *)(void *)((char *)sent - offsetof(struct redissentinel, question));
    struct redis_host host;

    if (err)
        return; /* the connection's end follows */
    err = redissentinel_answer(&host, reply);
    if (err) {
        pass_on(s, err == ERR_NOENT ? "knows no such master" : "an answer that makes no sense");
        return;
    }
    s->asking = false;
    s->tried = 0;
    s->failures = 0;
    s->events.master(s->ctx, &host);
}

static void on_subscribed(struct redis_sent *sent, int err, const struct redisReply *reply)
{
    (void)sent; /* without it the loss of the connection to the master still makes us ask */
    (void)err;
    (void)reply;
}

static void on_push(void *ctx, const struct redisReply *message)
{
    struct redissentinel *s = ctx;
    struct redis_host host;

    if (redissentinel_switch(&host, message, s->how.target->master) == 0)
        s->events.master(s->ctx, &host);
}

static int send_words(struct redissentinel *s, struct redis_sent *sent, const struct redis_arg *argv, size_t argc)
{
    char *wire;
    size_t len;
    int err = redisconn_format(&wire, &len, argv, argc);

    if (!err)
        err = redisconn_send(s->conn, wire, len, sent);
    free(wire);
    return err;
}

static void on_ready(void *ctx)
{
    struct redissentinel *s = ctx;
    const char *master = s->how.target->master;
    int err;

    s->question.done = on_answer;
    s->subscription.done = on_subscribed;
    err = send_words(s, &s->question,
                     (struct redis_arg[]){REDIS_WORD("SENTINEL"), REDIS_WORD("get-master-addr-by-name"), REDIS_WORD(master)}, 3);
    if (!err)
        err = send_words(s, &s->subscription, (struct redis_arg[]){REDIS_WORD("SUBSCRIBE"), REDIS_WORD("+switch-master")}, 2);
    if (err)
        pass_on(s, "no memory");
}

static void on_down(void *ctx, const char *reason, bool broken)
{
    (void)broken;
    pass_on(ctx, reason);
}

/* Asks the sentinel behind the last one. */
static void next(struct redissentinel *s)
{
    static const struct redisconn_events EVENTS = {on_ready, on_down, on_push};
    struct redisconn_config how = s->how;

    s->at = (s->at + 1) % s->how.target->nhosts;
    how.host = &s->how.target->hosts[s->at];
    how.role = REDISCONN_SENTINEL;
    how.attempt = s->failures;
    if (redisconn_new(&s->conn, &how, &EVENTS, s))
        redisparts_delay(&s->timer, s->failures++, s->how.target->backoff_max_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    next(ctx);
}

void redissentinel_ask(struct redissentinel *s)
{
    if (s->asking)
        return;
    redisconn_free(&s->conn);
    s->asking = true;
    s->tried = 0;
    next(s);
}

int redissentinel_new(struct redissentinel **out, const struct redisconn_config *how, const struct redissentinel_events *events,
                      void *ctx)
{
    struct redissentinel *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->how = *how;
    s->events = *events;
    s->ctx = ctx;
    s->at = how->target->nhosts - 1;
    s->asking = true;
    evtimer_assign(&s->timer, how->base, on_timer, s);
    next(s);
    *out = s;
    return 0;
}

void redissentinel_free(struct redissentinel **s)
{
    if (!*s)
        return;
    redisconn_free(&(*s)->conn);
    event_del(&(*s)->timer);
    free(*s);
    *s = NULL;
}
