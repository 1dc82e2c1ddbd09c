#include "auth/redisshares.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/rediskeys.h"
#include "base/err.h"

enum {
    KEY_MAX = REDISKEYS_OWNER_MAX + 256,
    NUMBER_MAX = 24,
};

struct redisshares {
    const char *prefix, *node;
    uint64_t base; /* of the numbers */
    unsigned workers;
    struct redis **redis; /* by worker */
};

struct question {
    struct auth_quota_ticket ticket; /* first, as auth.h wants it */
    struct redis_call *call;
    char owner[];
};

/*
 * KEYS: the set of nodes, this node's share. ARGV: node, count, number, TTL, limit. 1: granted. What others hold is added up each time, so that
 * it is right whoever else has come or gone. A later word of this node, which came first on another connection, has counted this one, too, and stands.
 */
static const char ASK[] = "local sum = tonumber(ARGV[2])\n"
                          "for _, node in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
                          "  if node ~= ARGV[1] then\n"
                          "    local other = redis.call('GET', KEYS[1] .. ':' .. node)\n"
                          "    if other then\n"
                          "      sum = sum + (tonumber(other:match('^%d+')) or 0)\n"
                          "    else\n"
                          "      redis.call('SREM', KEYS[1], node)\n"
                          "    end\n"
                          "  end\n"
                          "end\n"
                          "if sum > tonumber(ARGV[5]) then return 0 end\n"
                          "local number = (redis.call('GET', KEYS[2]) or ''):match('^%d+ (%d+)$')\n"
                          "if (tonumber(number) or 0) > tonumber(ARGV[3]) then return 1 end\n"
                          "redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])\n"
                          "redis.call('SADD', KEYS[1], ARGV[1])\n"
                          "redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"
                          "return 1\n";

/*
 * ARGV: node, count, number, TTL, mode. "keep": questions are pending, one of which may have been granted already, so the share may grow but not
 * shrink. "set": it is as it is told, unless a later word has come first. A share of 0 stays for its TTL, so that a question that comes late is
 * known to be late. "end": the node goes.
 */
static const char TELL[] = "if ARGV[5] == 'end' then\n"
                           "  redis.call('SREM', KEYS[1], ARGV[1])\n"
                           "  return redis.call('DEL', KEYS[2])\n"
                           "end\n"
                           "local have, number, text = 0, 0, '0'\n"
                           "local share = redis.call('GET', KEYS[2])\n"
                           "if share then\n"
                           "  local h, n = share:match('^(%d+) (%d+)$')\n"
                           "  have, number, text = tonumber(h) or 0, tonumber(n) or 0, n or '0'\n"
                           "end\n"
                           "local value = ARGV[2] .. ' ' .. ARGV[3]\n"
                           "if ARGV[5] == 'keep' then\n"
                           "  value = string.format('%d', math.max(have, tonumber(ARGV[2]))) .. ' ' .. text\n"
                           "elseif number > tonumber(ARGV[3]) then\n"
                           "  return 0\n"
                           "end\n"
                           "redis.call('SET', KEYS[2], value, 'PX', ARGV[4])\n"
                           "redis.call('SADD', KEYS[1], ARGV[1])\n"
                           "redis.call('PEXPIRE', KEYS[1], ARGV[4])\n"
                           "return 1\n";

/* ---- Keys and commands. ---- */

static bool make_key(const struct redisshares *s, char key[static KEY_MAX], const char *owner)
{
    char written[REDISKEYS_OWNER_MAX];

    return rediskeys_owner(written, sizeof(written), owner) &&
           (size_t)snprintf(key, KEY_MAX, "%squota:{%s}", s->prefix, written) < KEY_MAX;
}

static int run(const struct redisshares *s, struct redis *redis, const char *script, const char *owner, uint64_t count,
               uint64_t number, const char *last, unsigned deadline_ms, redis_cb *cb, void *ctx, struct redis_call **call)
{
    char nodes[KEY_MAX], share[KEY_MAX + 80], texts[3][NUMBER_MAX];
    struct redis_arg argv[] = {{"EVAL", 4},   {script, strlen(script)},   {"2", 1},      {nodes, 0},
                               {share, 0},    {s->node, strlen(s->node)}, {texts[0], 0}, {texts[1], 0},
                               {texts[2], 0}, {last, strlen(last)}};

    if (!make_key(s, nodes, owner))
        return ERR_NOSPC;
    snprintf(share, sizeof(share), "%s:%s", nodes, s->node);
    snprintf(texts[0], NUMBER_MAX, "%" PRIu64, count);
    snprintf(texts[1], NUMBER_MAX, "%" PRIu64, s->base + number);
    snprintf(texts[2], NUMBER_MAX, "%d", REDISSHARES_TTL_MS);
    argv[3].len = strlen(nodes);
    argv[4].len = strlen(share);
    for (size_t i = 0; i < 3; i++)
        argv[6 + i].len = strlen(texts[i]);
    return redis_command(redis, nodes, strlen(nodes), argv, sizeof(argv) / sizeof(argv[0]), deadline_ms, cb, ctx, call);
}

/* ---- Asking. ---- */

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct question *q = ctx;
    bool refused = !err && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;

    auth_quota_answer(&q->ticket, refused ? AUTH_QUOTA_USER : AUTH_QUOTA_OK);
    free(q);
}

enum auth_quota_result redisshares_ask(struct redisshares *s, unsigned worker, const struct auth_share *share,
                                       const struct auth_grant *grant, struct auth_quota_ticket **ticket)
{
    struct redis *redis = worker < s->workers ? s->redis[worker] : NULL;
    size_t len = strlen(share->owner);
    struct question *q;
    char limit[NUMBER_MAX];

    if (!redis || !redis_health(redis)->ready)
        return AUTH_QUOTA_OK;
    q = calloc(1, sizeof(*q) + len + 1);
    if (!q)
        return AUTH_QUOTA_OK;
    memcpy(q->owner, share->owner, len);
    q->ticket.owner = q->owner;
    snprintf(limit, sizeof(limit), "%lu", (unsigned long)grant->limit);
    if (run(s, redis, ASK, q->owner, grant->count, grant->number, limit, REDISSHARES_DEADLINE_MS, on_answer, q, &q->call)) {
        free(q);
        return AUTH_QUOTA_OK;
    }
    *ticket = &q->ticket;
    return AUTH_QUOTA_PENDING;
}

void redisshares_cancel(struct redisshares *s, struct auth_quota_ticket *ticket)
{
    struct question *q = (struct question *)(void *)ticket;

    (void)s;
    redis_cancel(&q->call);
    free(q);
}

/* ---- Telling. ---- */

int redisshares_tell(struct redisshares *s, struct redis *redis, const char *owner, const struct auth_held *held, bool last,
                     redis_cb *cb, void *ctx)
{
    return run(s, redis, TELL, owner, held->count, held->number,
               last            ? "end"
               : held->pending ? "keep"
                               : "set",
               REDISSHARES_TELL_MS, cb, ctx, NULL);
}

/* ---- Life. ---- */

int redisshares_new(struct redisshares **out, const char *prefix, const char *node, unsigned workers, int64_t since)
{
    enum { PER_S = 1000000 }; /* more than a node can count in a second */
    struct redisshares *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->redis = calloc(workers, sizeof(struct redis *));
    if (!s->redis) {
        free(s);
        return ERR_NOMEM;
    }
    s->prefix = prefix;
    s->node = node;
    s->workers = workers;
    s->base = (uint64_t)since * PER_S;
    *out = s;
    return 0;
}

void redisshares_free(struct redisshares **s)
{
    if (!*s)
        return;
    free((*s)->redis);
    free(*s);
    *s = NULL;
}

void redisshares_attach(struct redisshares *s, unsigned worker, struct redis *redis)
{
    s->redis[worker] = redis;
}

void redisshares_detach(struct redisshares *s, unsigned worker)
{
    s->redis[worker] = NULL;
}
