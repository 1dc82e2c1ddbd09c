#include "auth/redisstatus.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "stun/names.h"

enum { KEY_MAX = STUN_REALM_MAX + STUN_USERNAME_MAX + 96, TEXT_MAX = 2 * ADDR_TEXT_MAX + 128 };

struct redisstatus {
    struct redis *redis;
    uint64_t lost;
    char realm[STUN_REALM_MAX + 1];
};

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct redisstatus *s = ctx;

    if (err || reply->type == REDIS_REPLY_ERROR)
        s->lost++;
}

static struct redis_arg arg(const char *text)
{
    return (struct redis_arg){text, strlen(text)};
}

static void order(struct redisstatus *s, const char *key, const struct redis_arg *argv, size_t argc)
{
    if (redis_command(s->redis, key, strlen(key), argv, argc, REDISSTATUS_DEADLINE_MS, on_answer, s, NULL))
        s->lost++;
}

/* By the key, so that on a Cluster what is published comes in the order in which it happened. */
static void publish(struct redisstatus *s, const char *key, const char *text)
{
    order(s, key, (struct redis_arg[]){arg("PUBLISH"), arg(key), arg(text)}, 3);
}

static void key_of(const struct redisstatus *s, const struct redisstatus_allocation *a, const char *last, char out[static KEY_MAX])
{
    snprintf(out, KEY_MAX, "turn/realm/%s/user/%s/allocation/%018" PRIu64 "/%s", s->realm, a->user, a->id, last);
}

void redisstatus_lives(struct redisstatus *s, const struct redisstatus_allocation *a, bool refreshed, uint32_t lifetime_s)
{
    char key[KEY_MAX], text[TEXT_MAX], life[16], local[ADDR_TEXT_MAX], remote[ADDR_TEXT_MAX];

    key_of(s, a, "status", key);
    snprintf(text, sizeof(text), "%s lifetime=%" PRIu32 ", type=%s, local=%s, remote=%s, ssl=NONE, cipher=NONE",
             refreshed ? "refreshed" : "new", lifetime_s, a->stream ? "TCP" : "UDP", addr_text(a->server, local),
             addr_text(a->client, remote));
    snprintf(life, sizeof(life), "%" PRIu64, (uint64_t)lifetime_s + REDISSTATUS_MARGIN_S);
    order(s, key, (struct redis_arg[]){arg("SET"), arg(key), arg(text), arg("EX"), arg(life)}, 5);
    publish(s, key, text);
}

static void publish_traffic(struct redisstatus *s, const struct redisstatus_allocation *a, const char *last,
                            const struct redisstatus_traffic *t)
{
    char key[KEY_MAX], text[TEXT_MAX];

    key_of(s, a, last, key);
    snprintf(text, sizeof(text), "rcvp=%" PRIu64 ", rcvb=%" PRIu64 ", sentp=%" PRIu64 ", sentb=%" PRIu64, t->packets_up,
             t->bytes_up, t->packets_down, t->bytes_down);
    publish(s, key, text);
}

void redisstatus_ended(struct redisstatus *s, const struct redisstatus_allocation *a, const struct redisstatus_traffic *t)
{
    /* What came from the client went to the peer. */
    const struct redisstatus_traffic peer = {t->packets_down, t->bytes_down, t->packets_up, t->bytes_up};
    char key[KEY_MAX];

    publish_traffic(s, a, "traffic", t);
    publish_traffic(s, a, "traffic/peer", &peer);
    key_of(s, a, "status", key);
    order(s, key, (struct redis_arg[]){arg("DEL"), arg(key)}, 2);
    publish(s, key, "deleted");
    publish_traffic(s, a, "total_traffic", t);
    publish_traffic(s, a, "total_traffic/peer", &peer);
}

uint64_t redisstatus_lost(const struct redisstatus *s)
{
    return s->lost;
}

const struct redis_health *redisstatus_health(const struct redisstatus *s)
{
    return redis_health(s->redis);
}

int redisstatus_new(struct redisstatus **out, struct event_base *base, const struct redis_target *target, const char *realm,
                    redis_health_cb *health, void *ctx)
{
    struct redisstatus *s = calloc(1, sizeof(*s));
    int err = 0;

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    if ((size_t)snprintf(s->realm, sizeof(s->realm), "%s", realm) >= sizeof(s->realm))
        err = ERR_NOSPC;
    if (!err)
        err = redis_new(&s->redis, base, target, health, ctx);
    if (err) {
        free(s);
        return err;
    }
    *out = s;
    return 0;
}

void redisstatus_free(struct redisstatus **s)
{
    if (!*s)
        return;
    redis_free(&(*s)->redis);
    free(*s);
    *s = NULL;
}
