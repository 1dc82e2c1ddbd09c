#include "auth/redisnodes.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redis.h"
#include "auth/redisevents.h"
#include "auth/redisfleet.h"
#include "base/err.h"

enum { KEY_MAX = REDISFLEET_PREFIX_MAX + FLEET_ID_MAX + 16 };

struct redisnodes {
    const char *prefix;
    struct event_base *base;
    struct redis *redis;
    char why[256];
};

/* One command's wait. */
struct wait {
    struct redisnodes *nodes;
    int (*read)(struct redisnodes *r, const redisReply *reply, void *out); /* NULL: any answer but an error is fine */
    void *out;
    int err;
    bool over;
};

static int fail(struct redisnodes *r, int err, const char *why)
{
    snprintf(r->why, sizeof(r->why), "%s", why);
    return err;
}

static void on_reply(void *ctx, int err, const redisReply *reply)
{
    struct wait *w = ctx;
    const char *reason = redis_health(w->nodes->redis)->reason;

    w->over = true;
    if (err)
        w->err = fail(w->nodes, err, *reason ? reason : err_str(err));
    else if (reply->type == REDIS_REPLY_ERROR)
        w->err = fail(w->nodes, ERR_DENIED, reply->str);
    else if (w->read)
        w->err = w->read(w->nodes, reply, w->out);
}

/* The second word is the key. */
static int ask(struct redisnodes *r, struct wait *w, const char *const *words, size_t n)
{
    enum { WORDS_MAX = 12 };
    struct redis_arg argv[WORDS_MAX];
    int err;

    w->nodes = r;
    for (size_t i = 0; i < n; i++)
        argv[i] = (struct redis_arg){words[i], strlen(words[i])};
    err = redis_command(r->redis, argv[1].data, argv[1].len, argv, n, REDISNODES_DEADLINE_MS, on_reply, w, NULL);
    if (err)
        return fail(r, err, err_str(err));
    while (!w->over)
        if (event_base_loop(r->base, EVLOOP_ONCE) < 0)
            return fail(r, ERR_IO, "the event loop has failed");
    return w->err;
}

#define ASK(r, w, ...)                                                                                                             \
    ask((r), (w), (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* ---- List. ---- */

struct ids {
    size_t n;
    char id[FLEET_NODES_MAX][FLEET_ID_MAX + 1];
};

static int read_ids(struct redisnodes *r, const redisReply *reply, void *out)
{
    struct ids *ids = out;

    if (reply->type != REDIS_REPLY_ARRAY)
        return fail(r, ERR_MALFORMED, "the list of nodes is no list");
    for (size_t i = 0; i < reply->elements && ids->n < FLEET_NODES_MAX; i++) {
        const redisReply *id = reply->element[i];

        if (id->type == REDIS_REPLY_STRING && strlen(id->str) == id->len && fleet_id_ok(id->str))
            memcpy(ids->id[ids->n++], id->str, id->len + 1);
    }
    return 0;
}

struct record {
    const char *id;
    struct fleet_node *node;
    bool alive;
};

static int read_record(struct redisnodes *r, const redisReply *reply, void *out)
{
    struct record *record = out;

    (void)r;
    record->alive = redisfleet_read(record->node, record->id, reply) == 0; /* none any more: it is dead */
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct fleet_node *)a)->id, ((const struct fleet_node *)b)->id);
}

int redisnodes_list(struct redisnodes *r, struct fleet_node nodes[static FLEET_NODES_MAX], size_t *n)
{
    struct ids *ids = calloc(1, sizeof(*ids));
    char key[KEY_MAX];
    int err;

    *n = 0;
    if (!ids)
        return fail(r, ERR_NOMEM, err_str(ERR_NOMEM));
    snprintf(key, sizeof(key), "%snodes", r->prefix);
    err = ASK(r, &((struct wait){.read = read_ids, .out = ids}), "ZRANGE", key, "0", "-1");
    for (size_t i = 0; i < ids->n && !err; i++) {
        struct record record = {.id = ids->id[i], .node = &nodes[*n]};

        snprintf(key, sizeof(key), "%snode:{%s}", r->prefix, ids->id[i]);
        err = ASK(r, &((struct wait){.read = read_record, .out = &record}), "HGETALL", key);
        *n += !err && record.alive;
    }
    if (*n)
        qsort(nodes, *n, sizeof(*nodes), compare);
    free(ids);
    return err;
}

/* ---- Drain: the wish first, for those who look it up; then the word to all who listen. ---- */

int redisnodes_drain(struct redisnodes *r, const char *id, bool on)
{
    char key[KEY_MAX], events[KEY_MAX], life[16], keep[16];
    int err;

    if (!fleet_id_ok(id))
        return fail(r, ERR_INVAL, "no id of a node: letters, digits, '.', '_' and '-', at most 64 of them");
    snprintf(key, sizeof(key), "%sdrain:{%s}", r->prefix, id);
    snprintf(events, sizeof(events), "%sevents", r->prefix);
    snprintf(life, sizeof(life), "%d", REDISFLEET_DRAIN_S);
    snprintf(keep, sizeof(keep), "%d", REDISEVENTS_KEEP);
    err = on ? ASK(r, &((struct wait){0}), "SET", key, "1", "EX", life) : ASK(r, &((struct wait){0}), "DEL", key);
    if (err)
        return err;
    return ASK(r, &((struct wait){0}), "XADD", events, "MAXLEN", "~", keep, "*", "kind", "drain", "name", id);
}

/* ---- Life. ---- */

int redisnodes_open(struct redisnodes **out, const struct redis_target *target, const char *prefix)
{
    struct redisnodes *r = calloc(1, sizeof(*r));
    int err = ERR_NOMEM;

    *out = NULL;
    if (!r)
        return ERR_NOMEM;
    r->prefix = prefix;
    r->base = event_base_new();
    if (r->base)
        err = redis_new(&r->redis, r->base, target, NULL, NULL);
    if (err)
        redisnodes_close(&r);
    *out = r;
    return err;
}

void redisnodes_close(struct redisnodes **r)
{
    if (!*r)
        return;
    redis_free(&(*r)->redis);
    if ((*r)->base)
        event_base_free((*r)->base);
    free(*r);
    *r = NULL;
}

const char *redisnodes_why(const struct redisnodes *r)
{
    return r->why;
}
