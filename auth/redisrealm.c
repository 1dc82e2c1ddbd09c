#include "auth/redisrealm.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "stun/names.h"

enum { KEY_MAX = STUN_REALM_MAX + 64, BITS_PER_BYTE = 8 };

enum option { OPTION_MAX_BPS, OPTION_USER_QUOTA, OPTION_TOTAL_QUOTA, OPTION_ALLOWED, OPTION_DENIED, OPTIONS };

static const struct {
    const char *name, *command;
    uint64_t max; /* 0: a set of peers */
} TABLE[OPTIONS] = {
    [OPTION_MAX_BPS] = {"max-bps", "GET", INT64_MAX / BITS_PER_BYTE},
    [OPTION_USER_QUOTA] = {"user-quota", "GET", UINT32_MAX},
    [OPTION_TOTAL_QUOTA] = {"total-quota", "GET", UINT32_MAX},
    [OPTION_ALLOWED] = {"allowed-peer-ip", "SMEMBERS", 0},
    [OPTION_DENIED] = {"denied-peer-ip", "SMEMBERS", 0},
};

/* What a key holds: a number, or some entries. */
struct value {
    uint64_t number;
    char **peers; /* sorted: the server gives them in any order */
    size_t npeers;
};

struct redisrealm {
    struct redis *redis;
    struct event timer;
    redisrealm_cb *changed;
    void *ctx;
    char realm[STUN_REALM_MAX + 1];
    struct look {
        struct redisrealm *realm;
        struct redis_call *call;
        struct value value, seen; /* in force; and as it comes in */
        bool unread;              /* what came in can't be read: what is in force stays */
    } looks[OPTIONS];
    unsigned waits; /* for so many answers */
    bool failed;    /* one of them did not come */
    char unread[REDISREALM_TEXT_MAX], told_unread[REDISREALM_TEXT_MAX];
};

/* ---- Values. ---- */

static void drop(struct value *v)
{
    for (size_t i = 0; i < v->npeers; i++)
        free(v->peers[i]);
    free(v->peers);
    *v = (struct value){0};
}

static bool same(const struct value *a, const struct value *b)
{
    if (a->number != b->number || a->npeers != b->npeers)
        return false;
    for (size_t i = 0; i < a->npeers; i++)
        if (strcmp(a->peers[i], b->peers[i]) != 0)
            return false;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first thing that can't be read is told. */
__attribute__((format(printf, 3, 4))) static int refuse(struct redisrealm *r, enum option o, const char *format, ...)
{
    char why[REDISREALM_TEXT_MAX / 2];
    va_list ap;

    va_start(ap, format);
    vsnprintf(why, sizeof(why), format, ap);
    va_end(ap);
    if (!r->unread[0])
        snprintf(r->unread, sizeof(r->unread), "turn/realm/%.64s/%s: %s", r->realm, TABLE[o].name, why);
    return ERR_MALFORMED;
}

static int read_number(struct redisrealm *r, enum option o, const redisReply *reply, struct value *out)
{
    uint64_t n = 0;

    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
        return refuse(r, o, "a number is expected");
    for (size_t i = 0; i < reply->len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)reply->str[i] - '0';

        if (digit > 9 || n > (TABLE[o].max - digit) / 10)
            return refuse(r, o, "'%.64s' is no number, or too large", reply->str);
        n = n * 10 + digit;
    }
    out->number = n;
    return 0;
}

static int read_peers(struct redisrealm *r, enum option o, const redisReply *reply, struct value *out)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return refuse(r, o, "a set is expected");
    if (reply->elements > REDISREALM_PEERS_MAX)
        return refuse(r, o, "more than %d entries", REDISREALM_PEERS_MAX);
    out->peers = reply->elements ? calloc(reply->elements, sizeof(*out->peers)) : NULL;
    if (reply->elements && !out->peers)
        return ERR_NOMEM;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *e = reply->element[i];

        if (e->type != REDIS_REPLY_STRING || memchr(e->str, '\0', e->len))
            return refuse(r, o, "an entry is no text");
        out->peers[i] = strndup(e->str, REDISREALM_PEER_MAX);
        if (!out->peers[i])
            return ERR_NOMEM;
        out->npeers++;
    }
    if (out->peers)
        qsort(out->peers, out->npeers, sizeof(*out->peers), by_text);
    return 0;
}

static int read_value(struct redisrealm *r, enum option o, const redisReply *reply, struct value *out)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return refuse(r, o, "%.100s", reply->str);
    return TABLE[o].max ? read_number(r, o, reply, out) : read_peers(r, o, reply, out);
}

/* ---- A look: all keys at once. ---- */

static void arm(struct redisrealm *r)
{
    struct timeval tv = {.tv_sec = REDISREALM_PERIOD_MS / 1000, .tv_usec = REDISREALM_PERIOD_MS % 1000 * 1000L};

    evtimer_add(&r->timer, &tv);
}

static const char *const *entries(const struct value *v)
{
    return (const char *const *)v->peers;
}

static void tell(struct redisrealm *r)
{
    const struct value *allowed = &r->looks[OPTION_ALLOWED].value, *denied = &r->looks[OPTION_DENIED].value;

    memcpy(r->told_unread, r->unread, sizeof(r->unread));
    r->changed(r->ctx,
               &(struct redisrealm_options){.max_bps = r->looks[OPTION_MAX_BPS].value.number * BITS_PER_BYTE,
                                            .user_quota = (uint32_t)r->looks[OPTION_USER_QUOTA].value.number,
                                            .total_quota = (uint32_t)r->looks[OPTION_TOTAL_QUOTA].value.number,
                                            .allowed = entries(allowed),
                                            .nallowed = allowed->npeers,
                                            .denied = entries(denied),
                                            .ndenied = denied->npeers},
               r->unread[0] ? r->unread : NULL);
}

static void take(struct redisrealm *r)
{
    bool changed = strcmp(r->unread, r->told_unread) != 0;

    for (int i = 0; i < OPTIONS; i++) {
        struct look *l = &r->looks[i];

        if (l->unread)
            continue;
        changed = changed || !same(&l->value, &l->seen);
        drop(&l->value);
        l->value = l->seen;
        l->seen = (struct value){0};
    }
    if (changed)
        tell(r);
}

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct look *l = ctx;
    struct redisrealm *r = l->realm;

    l->call = NULL;
    if (!err)
        err = read_value(r, (enum option)(l - r->looks), reply, &l->seen);
    l->unread = err == ERR_MALFORMED;
    r->failed = r->failed || (err && !l->unread);
    if (--r->waits)
        return;
    if (!r->failed)
        take(r);
    arm(r);
}

static void look(struct redisrealm *r)
{
    r->failed = false;
    r->unread[0] = '\0';
    for (int i = 0; i < OPTIONS; i++) {
        struct look *l = &r->looks[i];
        char key[KEY_MAX];
        int len = snprintf(key, sizeof(key), "turn/realm/%s/%s", r->realm, TABLE[i].name);
        struct redis_arg argv[] = {{TABLE[i].command, strlen(TABLE[i].command)}, {key, (size_t)len}};

        drop(&l->seen);
        if (redis_command(r->redis, key, (size_t)len, argv, 2, REDISREALM_DEADLINE_MS, on_answer, l, &l->call))
            r->failed = true;
        else
            r->waits++;
    }
    if (!r->waits)
        arm(r);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    look(ctx);
}

void redisrealm_look(struct redisrealm *r)
{
    for (int i = 0; i < OPTIONS; i++) /* what is under way may be older than the word */
        redis_cancel(&r->looks[i].call);
    r->waits = 0;
    evtimer_del(&r->timer);
    look(r);
}

int redisrealm_new(struct redisrealm **out, struct event_base *base, const struct redis_target *target, const char *realm,
                   redisrealm_cb *changed, void *ctx)
{
    struct redisrealm *r = calloc(1, sizeof(*r));
    int err = 0;

    *out = NULL;
    if (!r)
        return ERR_NOMEM;
    r->changed = changed;
    r->ctx = ctx;
    for (int i = 0; i < OPTIONS; i++)
        r->looks[i].realm = r;
    if ((size_t)snprintf(r->realm, sizeof(r->realm), "%s", realm) >= sizeof(r->realm))
        err = ERR_NOSPC;
    if (!err)
        err = redis_new(&r->redis, base, target, NULL, NULL);
    if (err) {
        free(r);
        return err;
    }
    evtimer_assign(&r->timer, base, on_timer, r);
    look(r);
    *out = r;
    return 0;
}

void redisrealm_free(struct redisrealm **rp)
{
    struct redisrealm *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    redis_free(&r->redis);
    evtimer_del(&r->timer);
    for (int i = 0; i < OPTIONS; i++) {
        drop(&r->looks[i].value);
        drop(&r->looks[i].seen);
    }
    free(r);
}
