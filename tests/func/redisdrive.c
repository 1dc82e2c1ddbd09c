/*
 * Drives the client of Redis by lines of JSON, for the functional tests: a line in is an order, a line out is what has happened.
 *   {"new": URL, "connect_ms": N, "silence_ms": N}   {"free": true}   {"stats": ID}
 *   {"id": ID, "argv": [...], "key": TEXT, "deadline": MS, "free": true}   {"cancel": ID}
 *   {"id": ID, "repeat": N, "argv": ...}: N of them at once; one line out when all are answered
 */
#include "auth/redis.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

enum { ARGS_MAX = 300, CALLS_MAX = 10000, BEAT_MS = 5 };

static struct event_base *base;
static struct redis *client;
static struct redis_call *calls[CALLS_MAX];
static uint64_t beat_ms, stall_ms; /* the longest time in which the loop did not come round, though it had a processor */
static uint64_t queued_ms;         /* that this thread has waited for one, at the last beat */
static uint64_t beats;
static int waits = -1; /* what the kernel tells of that; open all the time: our descriptors are counted */

struct burst {
    long long id;
    json_int_t left, errors, ok;
};

struct order {
    struct order *next; /* all of them, until the end: a cancelled one is never told of */
    struct burst *burst;
    long long id;
    bool end; /* frees the client from within its callback */
};

static struct order *orders;

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(line);
}

/* Bytes as text, each as the character of its number. */
static json_t *bytes(const char *p, size_t len)
{
    char *text = malloc(2 * len + 1);
    size_t n = 0;
    json_t *out;

    for (size_t i = 0; text && i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x80) {
            text[n++] = (char)c;
        } else {
            text[n++] = (char)(0xc0 | c >> 6);
            text[n++] = (char)(0x80 | (c & 0x3f));
        }
    }
    out = text ? json_stringn(text, n) : NULL;
    free(text);
    return out;
}

static json_t *value(const struct redisReply *r)
{
    json_t *list;

    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        return json_integer(r->integer);
    case REDIS_REPLY_NIL:
        return json_null();
    case REDIS_REPLY_ERROR:
        return json_pack("{s:o}", "error", bytes(r->str, r->len));
    case REDIS_REPLY_ARRAY:
        list = json_array();
        for (size_t i = 0; i < r->elements; i++)
            json_array_append_new(list, value(r->element[i]));
        return list;
    default:
        return bytes(r->str, r->len);
    }
}

static void on_reply(void *ctx, int err, const struct redisReply *reply)
{
    struct order *o = ctx;
    struct burst *b = o->burst;

    if (!b && o->id >= 0 && o->id < CALLS_MAX)
        calls[o->id] = NULL;
    if (!b) {
        say(json_pack("{s:I,s:s,s:o}", "id", (json_int_t)o->id, "err", err ? err_str(err) : "", "reply",
                      reply ? value(reply) : json_null()));
    } else {
        if (err || reply->type == REDIS_REPLY_ERROR)
            b->errors++;
        else
            b->ok++;
        if (--b->left == 0) {
            say(json_pack("{s:I,s:I,s:I}", "id", (json_int_t)b->id, "ok", b->ok, "errors", b->errors));
            free(b);
        }
    }
    if (o->end)
        redis_free(&client);
}

static json_t *health_of(const struct redis_health *h)
{
    return json_pack("{s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "ready", h->ready, "reason", h->reason, "commands",
                     (json_int_t)h->commands, "timeouts", (json_int_t)h->timeouts, "reconnects", (json_int_t)h->reconnects,
                     "refused", (json_int_t)h->refused, "broken", (json_int_t)h->broken, "pending", (json_int_t)h->pending);
}

static void on_health(void *ctx, const struct redis_health *h)
{
    (void)ctx;
    say(json_pack("{s:o}", "health", health_of(h)));
}

static void start(json_t *order, const char *url)
{
    struct redis_target target;
    const char *why = "";
    int err = redisurl_parse(&target, url, &why);
    json_t *ms;

    if (!err) {
        if ((ms = json_object_get(order, "connect_ms")) != NULL)
            target.connect_timeout_ms = (unsigned)json_integer_value(ms);
        if ((ms = json_object_get(order, "silence_ms")) != NULL)
            target.silence_timeout_ms = (unsigned)json_integer_value(ms);
        err = redis_new(&client, base, &target, on_health, NULL);
    }
    say(json_pack("{s:s,s:s}", "new", err ? err_str(err) : "", "why", why));
}

/* A string as its characters' numbers: the opposite of bytes(). Returns the length. */
static size_t unpack(char *out, const char *utf8, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (c >= 0xc0 && i + 1 < len)
            out[n++] = (char)((c & 3) << 6 | ((unsigned char)utf8[++i] & 0x3f));
        else
            out[n++] = (char)c;
    }
    return n;
}

static void command(json_t *order, long long id)
{
    static char room[1 << 20];
    struct redis_arg argv[ARGS_MAX];
    json_t *list = json_object_get(order, "argv"), *text, *key = json_object_get(order, "key");
    size_t argc = json_array_size(list), used = 0, i;
    json_int_t repeat = json_integer_value(json_object_get(order, "repeat"));
    struct burst *b = repeat ? calloc(1, sizeof(*b)) : NULL;

    if (argc > ARGS_MAX)
        argc = ARGS_MAX;
    json_array_foreach(list, i, text)
    {
        if (i == argc || used + json_string_length(text) > sizeof(room))
            break;
        argv[i] = (struct redis_arg){room + used, unpack(room + used, json_string_value(text), json_string_length(text))};
        used += argv[i].len;
    }
    if (b) {
        b->id = id;
        b->left = repeat;
    }
    for (json_int_t n = 0; n < (b ? repeat : 1); n++) {
        struct order *o = calloc(1, sizeof(*o));
        struct redis_call **call = b || id < 0 || id >= CALLS_MAX ? NULL : &calls[id];
        int err;
        if (!o)
            abort();
        o->next = orders;
        orders = o;
        o->burst = b;
        o->id = id;
        o->end = json_is_true(json_object_get(order, "free"));
        err = redis_command(client, json_string_value(key), json_string_length(key), argv, argc,
                            (unsigned)json_integer_value(json_object_get(order, "deadline")), on_reply, o, call);
        if (err)
            say(json_pack("{s:I,s:s}", "id", (json_int_t)id, "refused", err_str(err)));
    }
}

static void stats(json_int_t id)
{
    json_t *line = client ? health_of(redis_health(client)) : json_object();
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    json_object_set_new(line, "id", json_integer(id));
    json_object_set_new(line, "stall_ms", json_integer((json_int_t)stall_ms));
    json_object_set_new(line, "beats", json_integer((json_int_t)beats));
    json_object_set_new(
        line, "cpu_ms",
        json_integer((use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000));
    stall_ms = 0;
    say(line);
}

static void obey(json_t *order)
{
    json_t *v;

    if ((v = json_object_get(order, "new")) != NULL)
        start(order, json_string_value(v));
    else if ((v = json_object_get(order, "cancel")) != NULL)
        redis_cancel(&calls[json_integer_value(v) % CALLS_MAX]);
    else if ((v = json_object_get(order, "stats")) != NULL)
        stats(json_integer_value(v));
    else if ((v = json_object_get(order, "id")) != NULL && client)
        command(order, json_integer_value(v));
    else
        redis_free(&client);
}

static void on_line(struct bufferevent *bev, void *ctx)
{
    char *line;

    (void)ctx;
    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF)) != NULL) {
        json_t *order = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (order)
            obey(order);
        json_decref(order);
        free(line);
    }
}

static void on_end(struct bufferevent *bev, short what, void *ctx)
{
    (void)bev;
    (void)what;
    (void)ctx;
    event_base_loopbreak(base);
}

/* The resolver's complaints; what comes of them is in the health. */
static void no_log(int severity, const char *text)
{
    (void)severity;
    (void)text;
}

/* A busy machine's work, not ours. 0 where the kernel does not tell. */
static uint64_t waited_ms(void)
{
    unsigned long long ran, waited;
    char text[64];
    ssize_t n = waits < 0 ? -1 : pread(waits, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited / 1000000 : 0;
}

static void on_beat(evutil_socket_t fd, short what, void *ctx)
{
    uint64_t now = clock_now().ms, waited = waited_ms(), late = now - beat_ms, queued = waited - queued_ms;

    (void)fd;
    (void)what;
    (void)ctx;
    if (beat_ms && late > queued && late - queued > stall_ms)
        stall_ms = late - queued;
    beat_ms = now;
    queued_ms = waited;
    beats++;
}

int main(void)
{
    const struct timeval BEAT = {.tv_usec = BEAT_MS * 1000};
    struct bufferevent *in;
    struct event *beat;

    setvbuf(stdout, NULL, _IOLBF, 0);
    event_set_log_callback(no_log);
    signal(SIGPIPE, SIG_IGN);
    waits = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    base = event_base_new();
    if (!base)
        return 1;
    in = bufferevent_socket_new(base, STDIN_FILENO, 0);
    beat = event_new(base, -1, EV_PERSIST, on_beat, NULL);
    if (!in || !beat || evutil_make_socket_nonblocking(STDIN_FILENO))
        return 1;
    event_add(beat, &BEAT);
    bufferevent_setcb(in, on_line, NULL, on_end, NULL);
    bufferevent_enable(in, EV_READ);
    event_base_dispatch(base);
    redis_free(&client);
    while (orders) {
        struct order *o = orders;
        orders = o->next;
        free(o);
    }
    event_free(beat);
    bufferevent_free(in);
    event_base_free(base);
    if (waits >= 0)
        close(waits);
    return 0;
}
