#include "auth/redisnodes.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisask.h"
#include "auth/redisfleet.h"
#include "base/err.h"

enum { KEY_MAX = REDISFLEET_PREFIX_MAX + FLEET_ID_MAX + 16 };

struct redisnodes {
    const char *prefix;
    struct redisask ask;
    char why[256];
};

typedef int read_fn(struct redisask *q, const redisReply *reply, void *out);

/* The second word is the key. */
static int ask(struct redisnodes *r, read_fn *read, void *out, const char *const *words, size_t n)
{
    struct redisask_command c = {.read = read, .out = out};

    for (size_t i = 0; i < n; i++)
        redisask_text(&c, words[i]);
    return redisask_run(&r->ask, &c);
}

#define ASK(r, read, out, ...)                                                                                                     \
    ask((r), (read), (out), (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* ---- List. ---- */

struct ids {
    size_t n;
    char id[FLEET_NODES_MAX][FLEET_ID_MAX + 1];
};

static int read_ids(struct redisask *q, const redisReply *reply, void *out)
{
    struct ids *ids = out;

    if (reply->type != REDIS_REPLY_ARRAY)
        return redisask_fail(q, ERR_MALFORMED, "the list of nodes is no list");
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

static int read_record(struct redisask *q, const redisReply *reply, void *out)
{
    struct record *record = out;

    (void)q;
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
        return redisask_fail(&r->ask, ERR_NOMEM, err_str(ERR_NOMEM));
    snprintf(key, sizeof(key), "%snodes", r->prefix);
    err = ASK(r, read_ids, ids, "ZRANGE", key, "0", "-1");
    for (size_t i = 0; i < ids->n && !err; i++) {
        struct record record = {.id = ids->id[i], .node = &nodes[*n]};

        snprintf(key, sizeof(key), "%snode:{%s}", r->prefix, ids->id[i]);
        err = ASK(r, read_record, &record, "HGETALL", key);
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
    char key[KEY_MAX], life[16];
    int err;

    if (!fleet_id_ok(id))
        return redisask_fail(&r->ask, ERR_INVAL, "no id of a node: letters, digits, '.', '_' and '-', at most 64 of them");
    snprintf(key, sizeof(key), "%sdrain:{%s}", r->prefix, id);
    snprintf(life, sizeof(life), "%d", REDISFLEET_DRAIN_S);
    err = on ? ASK(r, NULL, NULL, "SET", key, "1", "EX", life) : ASK(r, NULL, NULL, "DEL", key);
    if (err)
        return err;
    return redisask_tell(&r->ask, r->prefix, "drain", id, NULL);
}

/* ---- Life. ---- */

int redisnodes_open(struct redisnodes **out, const struct redis_target *target, const char *prefix)
{
    struct redisnodes *r = calloc(1, sizeof(*r));
    int err;

    *out = NULL;
    if (!r)
        return ERR_NOMEM;
    r->prefix = prefix;
    err = redisask_open(&r->ask, target, REDISNODES_DEADLINE_MS, r->why, sizeof(r->why));
    if (err)
        redisnodes_close(&r);
    *out = r;
    return err;
}

void redisnodes_close(struct redisnodes **r)
{
    if (!*r)
        return;
    redisask_close(&(*r)->ask);
    free(*r);
    *r = NULL;
}

const char *redisnodes_why(const struct redisnodes *r)
{
    return r->why;
}
