#include "auth/redislook.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisrules.h"
#include "base/err.h"

enum { PREFIX_MAX = 64, CURSOR_MAX = 24, UNREAD_MAX = 128 };

struct redislook {
    struct redis *redis;
    struct event timer;
    struct redislook_ops ops;
    void *ctx;
    char prefix[PREFIX_MAX];
    struct redis_call *peers_call, *quotas_call; /* NULL: not asked now */
    bool ready;
    bool bad;                                                 /* an owner's limits could not be read in this round */
    char cursor[CURSOR_MAX];                                  /* of the next step */
    struct tokenstore_peers peers, seen;                      /* in force, and as they come in */
    char unread_peers[UNREAD_MAX], unread_quotas[UNREAD_MAX]; /* as was told last; "": all could be read */
};

static void arm(struct redislook *l)
{
    struct timeval tv = {.tv_sec = REDISLOOK_PERIOD_MS / 1000, .tv_usec = REDISLOOK_PERIOD_MS % 1000 * 1000L};

    if (!l->peers_call && !l->quotas_call)
        evtimer_add(&l->timer, &tv);
}

static void refuse(struct redislook *l, char unread[static UNREAD_MAX], const char *key, const char *why)
{
    char text[UNREAD_MAX];

    snprintf(text, sizeof(text), "%s%s: %s", l->prefix, key, why);
    if (strcmp(text, unread) == 0)
        return;
    memcpy(unread, text, sizeof(text));
    l->ops.unread(l->ctx, text);
}

/* ---- Peers. ---- */

static void on_peers(void *ctx, int err, const redisReply *reply)
{
    struct redislook *l = ctx;

    l->peers_call = NULL;
    if (!err && redisrules_read_peers(reply, &l->seen)) {
        refuse(l, l->unread_peers, "peers", reply->type == REDIS_REPLY_ERROR ? reply->str : "not a hash of two texts");
    } else if (!err) {
        l->unread_peers[0] = '\0';
        if (strcmp(l->seen.allow, l->peers.allow) != 0 || strcmp(l->seen.deny, l->peers.deny) != 0) {
            l->peers = l->seen;
            l->ops.peers(l->ctx, &l->peers);
        }
    }
    arm(l);
}

static void ask_peers(struct redislook *l)
{
    char key[REDISRULES_KEY_MAX];

    redisrules_peers_key(key, l->prefix);
    struct redis_arg argv[] = {{"HMGET", 5},
                               {key, strlen(key)},
                               {REDISRULES_ALLOW, sizeof(REDISRULES_ALLOW) - 1},
                               {REDISRULES_DENY, sizeof(REDISRULES_DENY) - 1}};

    if (redis_command(l->redis, key, strlen(key), argv, 4, REDISLOOK_DEADLINE_MS, on_peers, l, &l->peers_call))
        l->peers_call = NULL;
}

/* ---- Limits of owners, step by step. ---- */

static void ask_quotas(struct redislook *l);

static void take_quotas(struct redislook *l, const redisReply *list)
{
    struct auth_limits limits;

    for (size_t i = 0; i + 1 < list->elements; i += 2) {
        const redisReply *owner = list->element[i];

        if (owner->type != REDIS_REPLY_STRING || owner->len > STUN_USERNAME_MAX || memchr(owner->str, '\0', owner->len))
            continue;
        if (redisrules_read_limits(list->element[i + 1], &limits))
            l->bad = true, refuse(l, l->unread_quotas, "quotas", "the limits of an owner are no numbers");
        else
            l->ops.quota(l->ctx, owner->str, &limits);
    }
}

static void on_quotas(void *ctx, int err, const redisReply *reply)
{
    struct redislook *l = ctx;
    const redisReply *list = !err && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 ? reply->element[1] : NULL;
    const redisReply *cursor = list ? reply->element[0] : NULL;

    l->quotas_call = NULL;
    if (!err && (!list || list->type != REDIS_REPLY_ARRAY || cursor->type != REDIS_REPLY_STRING || cursor->len >= CURSOR_MAX)) {
        refuse(l, l->unread_quotas, "quotas", reply->type == REDIS_REPLY_ERROR ? reply->str : "not a hash");
    } else if (!err) {
        take_quotas(l, list);
        memcpy(l->cursor, cursor->str, cursor->len + 1);
        if (strcmp(l->cursor, "0") != 0)
            ask_quotas(l);
        else if (!l->bad) { /* else one whose limits can't be read keeps those that he has */
            l->unread_quotas[0] = '\0';
            l->ops.end(l->ctx);
        }
    }
    arm(l);
}

static void ask_quotas(struct redislook *l)
{
    char key[REDISRULES_KEY_MAX], cursor[CURSOR_MAX], page[16];

    redisrules_quotas_key(key, l->prefix);
    memcpy(cursor, l->cursor, sizeof(cursor));
    snprintf(page, sizeof(page), "%d", REDISRULES_SCAN);
    struct redis_arg argv[] = {{"HSCAN", 5}, {key, strlen(key)}, {cursor, strlen(cursor)}, {"COUNT", 5}, {page, strlen(page)}};

    if (redis_command(l->redis, key, strlen(key), argv, 5, REDISLOOK_DEADLINE_MS, on_quotas, l, &l->quotas_call))
        l->quotas_call = NULL;
}

/* ---- When. ---- */

/* What is under way may be older than the word. */
void redislook_now(struct redislook *l)
{
    if (!l)
        return;
    redis_cancel(&l->peers_call);
    redis_cancel(&l->quotas_call);
    evtimer_del(&l->timer);
    memcpy(l->cursor, "0", sizeof("0"));
    l->bad = false;
    l->ops.begin(l->ctx);
    ask_peers(l);
    ask_quotas(l);
    arm(l);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    redislook_now(ctx);
}

static void on_health(void *ctx, const struct redis_health *h)
{
    struct redislook *l = ctx;
    bool again = h->ready && !l->ready && h->reconnects; /* at first it has been asked already */

    l->ready = h->ready;
    if (again)
        redislook_now(l);
}

int redislook_new(struct redislook **out, struct event_base *base, const struct redis_target *target, const char *prefix,
                  const struct redislook_ops *ops, void *ctx)
{
    struct redislook *l = calloc(1, sizeof(*l));
    int err = 0;

    *out = NULL;
    if (!l)
        return ERR_NOMEM;
    l->ops = *ops;
    l->ctx = ctx;
    if ((size_t)snprintf(l->prefix, sizeof(l->prefix), "%s", prefix) >= sizeof(l->prefix))
        err = ERR_NOSPC;
    evtimer_assign(&l->timer, base, on_timer, l);
    if (!err)
        err = redis_new(&l->redis, base, target, on_health, l);
    if (err) {
        free(l);
        return err;
    }
    redislook_now(l);
    *out = l;
    return 0;
}

void redislook_free(struct redislook **lp)
{
    struct redislook *l = *lp;

    *lp = NULL;
    if (!l)
        return;
    redis_free(&l->redis);
    evtimer_del(&l->timer);
    free(l);
}
