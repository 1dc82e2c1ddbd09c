#include "auth/redisrules.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { LIMITS_MAX = 2 * REDISASK_NUMBER_MAX }; /* bytes of both numbers */

void redisrules_peers_key(char key[static REDISRULES_KEY_MAX], const char *prefix)
{
    snprintf(key, REDISRULES_KEY_MAX, "%speers", prefix);
}

void redisrules_quotas_key(char key[static REDISRULES_KEY_MAX], const char *prefix)
{
    snprintf(key, REDISRULES_KEY_MAX, "%squotas", prefix);
}

/* ---- Peers. ---- */

/* What is not there is none. */
static bool read_text(const redisReply *r, char out[static TOKENSTORE_PEERS_MAX + 1])
{
    out[0] = '\0';
    if (r->type == REDIS_REPLY_NIL)
        return true;
    if (r->type != REDIS_REPLY_STRING || r->len > TOKENSTORE_PEERS_MAX || memchr(r->str, '\0', r->len))
        return false;
    memcpy(out, r->str, r->len + 1);
    return true;
}

int redisrules_read_peers(const redisReply *reply, struct tokenstore_peers *out)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !read_text(reply->element[0], out->allow) ||
        !read_text(reply->element[1], out->deny))
        return ERR_MALFORMED;
    return 0;
}

static int take_peers(struct redisask *q, const redisReply *reply, void *out)
{
    return redisrules_read_peers(reply, out) ? redisask_fail(q, ERR_MALFORMED, "not a hash of two texts") : 0;
}

int redisrules_peers(struct redisask *q, const char *prefix, struct tokenstore_peers *out)
{
    struct redisask_command c = {.read = take_peers, .out = out};
    char key[REDISRULES_KEY_MAX];

    redisrules_peers_key(key, prefix);
    redisask_text(&c, "HMGET");
    redisask_text(&c, key);
    redisask_text(&c, REDISRULES_ALLOW);
    redisask_text(&c, REDISRULES_DENY);
    return redisask_run(q, &c);
}

int redisrules_put_peers(struct redisask *q, const char *prefix, const struct tokenstore_peers *peers)
{
    struct redisask_command c = {0};
    char key[REDISRULES_KEY_MAX];
    int err;

    redisrules_peers_key(key, prefix);
    redisask_text(&c, "HSET");
    redisask_text(&c, key);
    redisask_text(&c, REDISRULES_ALLOW);
    redisask_text(&c, peers->allow);
    redisask_text(&c, REDISRULES_DENY);
    redisask_text(&c, peers->deny);
    err = redisask_run(q, &c);
    return err ? err : redisask_tell(q, prefix, "policy", NULL, NULL);
}

/* ---- Limits of owners. ---- */

int redisrules_read_limits(const redisReply *value, struct auth_limits *out)
{
    unsigned long long allocations, bps;
    int end = 0;

    *out = (struct auth_limits){0};
    if (value->type != REDIS_REPLY_STRING || value->len >= LIMITS_MAX || strspn(value->str, "0123456789 ") != value->len ||
        sscanf(value->str, "%19llu %19llu%n", &allocations, &bps, &end) != 2 || (size_t)end != value->len ||
        allocations > UINT32_MAX || bps > INT64_MAX)
        return ERR_MALFORMED;
    *out = (struct auth_limits){.allocations = (uint32_t)allocations, .bps = bps};
    return 0;
}

static int take_limits(struct redisask *q, const redisReply *reply, void *out)
{
    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    return redisrules_read_limits(reply, out) ? redisask_fail(q, ERR_MALFORMED, "the owner's limits are no numbers") : 0;
}

int redisrules_quota(struct redisask *q, const char *prefix, const char *owner, struct auth_limits *out)
{
    struct redisask_command c = {.read = take_limits, .out = out};
    char key[REDISRULES_KEY_MAX];

    redisrules_quotas_key(key, prefix);
    redisask_text(&c, "HGET");
    redisask_text(&c, key);
    redisask_text(&c, owner);
    return redisask_run(q, &c);
}

/* KEYS: the hash. ARGV: the owner, his limits ("": none), how many owners may have some. Returns 0: there are as many. */
static const char PUT[] =
    "if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) return 1 end\n"
    "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then"
    " return 0 end\n"
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])\n"
    "return 1\n";

static int take_put(struct redisask *q, const redisReply *reply, void *out)
{
    (void)out;
    if (reply->type != REDIS_REPLY_INTEGER)
        return redisask_fail(q, ERR_MALFORMED, "a script that answers no number");
    return reply->integer ? 0 : redisask_fail(q, ERR_NOSPC, TOKENSTORE_QUOTAS_FULL);
}

int redisrules_put_quota(struct redisask *q, const char *prefix, const char *owner, const struct auth_limits *limits)
{
    struct redisask_command c = {.read = take_put};
    char key[REDISRULES_KEY_MAX], text[LIMITS_MAX] = "", most[REDISASK_NUMBER_MAX];
    int err;

    if (limits->allocations || limits->bps)
        snprintf(text, sizeof(text), "%lu %llu", (unsigned long)limits->allocations, (unsigned long long)limits->bps);
    redisrules_quotas_key(key, prefix);
    redisask_script(&c, PUT, "1");
    redisask_text(&c, key);
    redisask_text(&c, owner);
    redisask_text(&c, text);
    redisask_text(&c, redisask_number(most, TOKENSTORE_QUOTAS_MAX));
    err = redisask_run(q, &c);
    return err ? err : redisask_tell(q, prefix, "quota", owner, NULL);
}
