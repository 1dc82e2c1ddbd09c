#include "auth/redismarks.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/rediskeys.h"
#include "auth/secret.h"
#include "base/err.h"

enum { KEY_MAX = STUN_USERNAME_MAX + 128 };

struct name {
    struct name *next;
    char text[];
};

struct redismarks {
    struct redis *redis;
    const char *prefix;
    char separator;
    struct auth_live live;
    struct name *waiting;
    struct question {
        struct redismarks *marks;
        struct redis_call *call; /* NULL: free */
        struct name *name;
    } questions[REDISMARKS_PAGE];
};

/* What a revocation names: the user part of a time-limited name, else all of it. `*kind` is that of its marker. */
static struct secret_name revocable(const char *name, char separator, const char **kind)
{
    struct secret_name parts;

    *kind = REDISKEYS_REVOKED_NAMES;
    if (!secret_parse_name(&parts, name, separator)) {
        parts = (struct secret_name){.user = name, .user_len = strlen(name)};
        *kind = REDISKEYS_REVOKED;
    }
    return parts;
}

bool redismarks_key(char *out, size_t cap, const char *prefix, char separator, const char *name)
{
    const char *kind;
    struct secret_name parts = revocable(name, separator, &kind);

    return (size_t)snprintf(out, cap, "%s%s:{%.*s}", prefix, kind, (int)parts.user_len, parts.user) < cap;
}

bool redismarks_read(const redisReply *reply, char separator, const char *name, int64_t *before)
{
    struct secret_name parts;

    *before = 0;
    if (reply->type != REDIS_REPLY_STRING)
        return false;
    if (!secret_parse_name(&parts, name, separator))
        return true;
    *before = strtoll(reply->str, NULL, 10);
    return parts.expires_at < *before;
}

static void ask(struct redismarks *m);

static void push(struct redismarks *m, struct name *n)
{
    n->next = m->waiting;
    m->waiting = n;
}

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct question *q = ctx;
    struct redismarks *m = q->marks;
    struct name *n = q->name;
    struct auth_revocation r = {0};
    const char *kind;
    struct secret_name parts = revocable(n->text, m->separator, &kind);

    q->call = NULL;
    q->name = NULL;
    if (err && redis_health(m->redis)->ready) {
        push(m, n); /* once more; without a connection all begins anew when there is one */
    } else {
        if (!err && redismarks_read(reply, m->separator, n->text, &r.expires_before)) {
            memcpy(r.name, parts.user, parts.user_len);
            m->live.revoke(m->live.ctx, &r);
        }
        free(n);
    }
    ask(m);
}

static void ask(struct redismarks *m)
{
    char key[KEY_MAX];

    for (int i = 0; i < REDISMARKS_PAGE && m->waiting; i++) {
        struct question *q = &m->questions[i];
        struct name *n = m->waiting;

        if (q->call)
            continue;
        m->waiting = n->next;
        if (redismarks_key(key, sizeof(key), m->prefix, m->separator, n->text)) {
            struct redis_arg argv[] = {{"GET", 3}, {key, strlen(key)}};

            *q = (struct question){.marks = m, .name = n};
            if (redis_command(m->redis, key, strlen(key), argv, 2, REDISMARKS_DEADLINE_MS, on_answer, q, &q->call) == 0)
                continue;
        }
        q->name = NULL;
        free(n);
    }
}

int redismarks_new(struct redismarks **out, struct redis *redis, const char *prefix, char separator, const struct auth_live *live)
{
    struct redismarks *m = calloc(1, sizeof(*m));

    *out = m;
    if (!m)
        return ERR_NOMEM;
    m->redis = redis;
    m->prefix = prefix;
    m->separator = separator;
    m->live = *live;
    return 0;
}

static void forget_all(struct redismarks *m)
{
    struct name *n;

    while ((n = m->waiting)) {
        m->waiting = n->next;
        free(n);
    }
    for (int i = 0; i < REDISMARKS_PAGE; i++) {
        redis_cancel(&m->questions[i].call);
        free(m->questions[i].name);
        m->questions[i].name = NULL;
    }
}

void redismarks_free(struct redismarks **m)
{
    if (!*m)
        return;
    forget_all(*m);
    free(*m);
    *m = NULL;
}

/* Without memory for a name it is not asked for now, but when it logs in or refreshes. */
static void add(void *visitor, const char *name)
{
    size_t len = strlen(name);
    struct name *n = malloc(sizeof(*n) + len + 1);

    if (!n)
        return;
    memcpy(n->text, name, len + 1);
    push(visitor, n);
}

void redismarks_check(struct redismarks *m)
{
    forget_all(m);
    m->live.each(m->live.ctx, add, m);
    ask(m);
}
