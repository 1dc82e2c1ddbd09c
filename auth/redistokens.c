#include "auth/redistokens.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisask.h"
#include "auth/redisevents.h"
#include "auth/rediskeys.h"
#include "auth/redissums.h"
#include "base/err.h"

enum {
    PREFIX_MAX = REDISSUMS_PREFIX_MAX,
    KEY_MAX = PREFIX_MAX + STUN_USERNAME_MAX + 32,
};

struct redistokens {
    struct redisask ask;
    char prefix[PREFIX_MAX];
};

static int fail(struct redistokens *r, int err, const char *text)
{
    return redisask_fail(&r->ask, err, text);
}

/* ---- Keys. An id that is too long was never issued, and gets no key that could be another's. ---- */

static int key_of(struct redistokens *r, char key[static KEY_MAX], const char *kind, const char *id)
{
    key[0] = '\0'; /* it is put into a command that is not sent then */
    if (strlen(id) > TOKEN_TEXT_MAX || (size_t)snprintf(key, KEY_MAX, "%s%s:{%s}", r->prefix, kind, id) >= KEY_MAX)
        return fail(r, ERR_NOENT, "no such token");
    return 0;
}

static void list_key(const struct redistokens *r, char key[static KEY_MAX], const char *name)
{
    snprintf(key, KEY_MAX, "%s%s", r->prefix, name);
}

/* ---- Issue. ---- */

/* KEYS: the record. ARGV: when it ends, or 0, then its fields and values. In one step: a record whose end was lost would never go. */
static const char RECORD[] = "redis.call('HSET', KEYS[1], unpack(ARGV, 2))\n"
                             "if ARGV[1] ~= '0' then redis.call('EXPIREAT', KEYS[1], ARGV[1]) end\n"
                             "return 1\n";

/* The index first: an id without a record is swept away by the next list, a record without an index would never be seen. */
static int issue(struct tokenstore *s, const struct token *t)
{
    struct redistokens *r = s->self;
    struct redisask_command index = {0}, record = {0};
    struct token_field fields[TOKEN_FIELDS_MAX];
    struct token_text text;
    char key[KEY_MAX], tokens[KEY_MAX], score[REDISASK_NUMBER_MAX], end[REDISASK_NUMBER_MAX];
    size_t n = token_write(t, &text, fields);
    int err = key_of(r, key, "token", t->id);

    list_key(r, tokens, "tokens");
    redisask_text(&index, "ZADD");
    redisask_text(&index, tokens);
    redisask_text(&index, t->expires_at ? redisask_number(score, t->expires_at) : "+inf");
    redisask_text(&index, t->id);
    redisask_script(&record, RECORD, "1");
    redisask_text(&record, key);
    redisask_text(&record, redisask_number(end, t->expires_at ? t->expires_at + TOKENSTORE_KEEP_S : 0));
    for (size_t i = 0; i < n; i++) {
        redisask_text(&record, fields[i].name);
        redisask_add(&record, fields[i].value, fields[i].len);
    }
    if (!err)
        err = redisask_run(&r->ask, &index);
    if (!err)
        err = redisask_run(&r->ask, &record);
    explicit_bzero(&text, sizeof(text));
    return err;
}

/* ---- Get and list. ---- */

struct record {
    const char *id;
    struct token *token;
};

static int read_record(struct redisask *q, const redisReply *reply, void *out)
{
    const struct record *record = out;
    struct token_field fields[TOKEN_FIELDS_MAX];
    const char *why = "too many fields";
    size_t n = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 || reply->elements / 2 > TOKEN_FIELDS_MAX)
        return redisask_fail(q, ERR_MALFORMED, why);
    if (!reply->elements)
        return redisask_fail(q, ERR_NOENT, "no such token");
    for (; n < reply->elements / 2; n++) {
        const redisReply *name = reply->element[2 * n], *value = reply->element[2 * n + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return redisask_fail(q, ERR_MALFORMED, "not a hash of texts");
        fields[n] = (struct token_field){name->str, value->str, value->len};
    }
    return token_read(record->token, record->id, fields, n, &why) ? redisask_fail(q, ERR_MALFORMED, why) : 0;
}

static int get(struct tokenstore *s, const char *id, struct token *out)
{
    struct redistokens *r = s->self;
    struct record record = {id, out};
    struct redisask_command c = {.read = read_record, .out = &record};
    char key[KEY_MAX];
    int err = key_of(r, key, "token", id);

    redisask_text(&c, "HGETALL");
    redisask_text(&c, key);
    return err ? err : redisask_run(&r->ask, &c);
}

struct ids {
    size_t n;
    char (*id)[TOKEN_TEXT_MAX + 1];
};

static int read_ids(struct redisask *q, const redisReply *reply, void *out)
{
    struct ids *ids = out;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > TOKENSTORE_PAGE)
        return redisask_fail(q, ERR_MALFORMED, "the list of tokens is no list");
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *id = reply->element[i];

        if (id->type == REDIS_REPLY_STRING && id->len && id->len <= TOKEN_TEXT_MAX && !memchr(id->str, '\0', id->len))
            memcpy(ids->id[ids->n++], id->str, id->len + 1);
    }
    return 0;
}

/* What has expired a day ago is not in the list any more, nor is what has no record. */
static int sweep(struct redistokens *r, const char *list, const char *member, int64_t until)
{
    struct redisask_command c = {0};
    char before[REDISASK_NUMBER_MAX];

    redisask_text(&c, member ? "ZREM" : "ZREMRANGEBYSCORE");
    redisask_text(&c, list);
    redisask_text(&c, member ? member : "-inf");
    if (!member)
        redisask_text(&c, redisask_number(before, until));
    return redisask_run(&r->ask, &c);
}

static int list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                size_t *bad)
{
    struct redistokens *r = s->self;
    struct ids ids = {.id = calloc(TOKENSTORE_PAGE, sizeof(*ids.id))};
    struct redisask_command c = {.read = read_ids, .out = &ids};
    char tokens[KEY_MAX], first[REDISASK_NUMBER_MAX], page[REDISASK_NUMBER_MAX];
    struct token token;
    bool more = true;
    int err;

    if (!ids.id)
        return fail(r, ERR_NOMEM, "no memory");
    list_key(r, tokens, "tokens");
    err = sweep(r, tokens, NULL, now - TOKENSTORE_KEEP_S);
    redisask_text(&c, "ZRANGEBYSCORE");
    redisask_text(&c, tokens);
    redisask_text(&c, "-inf");
    redisask_text(&c, "+inf");
    redisask_text(&c, "LIMIT");
    redisask_text(&c, redisask_number(first, (int64_t)offset));
    redisask_text(&c, redisask_number(page, TOKENSTORE_PAGE));
    if (!err)
        err = redisask_run(&r->ask, &c);
    for (size_t i = 0; i < ids.n && !err && more; i++) {
        err = get(s, ids.id[i], &token);
        if (!err)
            more = visit(ctx, &token);
        else if (err == ERR_NOENT)
            err = sweep(r, tokens, ids.id[i], 0);
        else if (err == ERR_MALFORMED)
            err = 0, ++*bad;
        token_wipe(&token);
    }
    free(ids.id);
    return err;
}

/* ---- Revoke: the marker first, for those who look it up; then the word to all who listen. ---- */

static int tell(struct redistokens *r, const char *name, const char *before)
{
    struct redisask_command c = {0};
    char events[KEY_MAX], keep[REDISASK_NUMBER_MAX];

    list_key(r, events, "events");
    redisask_text(&c, "XADD");
    redisask_text(&c, events);
    redisask_text(&c, "MAXLEN");
    redisask_text(&c, "~");
    redisask_text(&c, redisask_number(keep, REDISEVENTS_KEEP));
    redisask_text(&c, "*");
    redisask_text(&c, "kind");
    redisask_text(&c, "revoke");
    redisask_text(&c, "name");
    redisask_text(&c, name);
    if (before) {
        redisask_text(&c, "before");
        redisask_text(&c, before);
    }
    return redisask_run(&r->ask, &c);
}

static int revoke(struct tokenstore *s, const char *id, int64_t now)
{
    struct redistokens *r = s->self;
    struct redisask_command c = {0};
    struct token token = {0};
    char key[KEY_MAX], marker[KEY_MAX], when[REDISASK_NUMBER_MAX], life[REDISASK_NUMBER_MAX];
    int err = get(s, id, &token);

    token_wipe(&token);
    if (!err)
        err = key_of(r, key, "token", id);
    if (!err)
        err = key_of(r, marker, "revoked", id);
    if (err)
        return err;
    redisask_script(&c, REDISKEYS_MARK, "2");
    redisask_text(&c, key);
    redisask_text(&c, marker);
    redisask_text(&c, redisask_number(when, now));
    redisask_text(&c, redisask_number(life, TOKENSTORE_MARK_S));
    err = redisask_run(&r->ask, &c);
    return err ? err : tell(r, id, NULL);
}

/*
 * KEYS: the marker. ARGV: what it is to say, and now. In one step, so that of two revocations at the same moment the one that reaches further
 * stays. Returns what it says.
 */
static const char MARK_USER[] = "local before = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) or 0, tonumber(ARGV[1]))\n"
                                "redis.call('SET', KEYS[1], string.format('%d', before), 'EX', math.max(before - ARGV[2], 1))\n"
                                "return string.format('%d', before)\n";

static int read_before(struct redisask *q, const redisReply *reply, void *out)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len > TOKEN_NUMBER_MAX)
        return redisask_fail(q, ERR_MALFORMED, "a marker that is no time");
    memcpy(out, reply->str, reply->len + 1);
    return 0;
}

static int revoke_user(struct tokenstore *s, const char *user, int64_t before, int64_t now)
{
    struct redistokens *r = s->self;
    char marker[KEY_MAX], wanted[REDISASK_NUMBER_MAX], at[REDISASK_NUMBER_MAX], marked[REDISASK_NUMBER_MAX];
    struct redisask_command c = {.read = read_before, .out = marked};
    int err = key_of(r, marker, "revoked", user);

    redisask_script(&c, MARK_USER, "1");
    redisask_text(&c, marker);
    redisask_text(&c, redisask_number(wanted, before));
    redisask_text(&c, redisask_number(at, now));
    if (!err)
        err = redisask_run(&r->ask, &c);
    return err ? err : tell(r, user, marked);
}

/* ---- Usage. ---- */

static int usage(struct tokenstore *s, const struct tokenstore_period *period,
                 bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    struct redistokens *r = s->self;

    return redissums_read(&r->ask, r->prefix, period, visit, ctx);
}

static int owners(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    struct redistokens *r = s->self;

    return redissums_owners(&r->ask, r->prefix, now, visit, ctx);
}

static int used(struct tokenstore *s, const struct token *t, struct auth_used *out)
{
    struct redistokens *r = s->self;

    return redissums_used(&r->ask, r->prefix, t, out);
}

/* ---- Life. ---- */

static void end(struct tokenstore *s)
{
    struct redistokens *r = s->self;

    redisask_close(&r->ask);
    free(r);
}

static const struct tokenstore_ops OPS = {.issue = issue,
                                          .get = get,
                                          .list = list,
                                          .revoke = revoke,
                                          .revoke_user = revoke_user,
                                          .usage = usage,
                                          .used = used,
                                          .owners = owners,
                                          .close = end};

int redistokens_open(struct tokenstore *out, const struct redis_target *target, const char *prefix)
{
    struct redistokens *r = calloc(1, sizeof(*r));
    int err;

    *out = (struct tokenstore){0};
    if (!r)
        return ERR_NOMEM;
    *out = (struct tokenstore){.ops = &OPS, .self = r};
    err = redisask_open(&r->ask, target, REDISTOKENS_DEADLINE_MS, out->why, sizeof(out->why));
    if (!err && (size_t)snprintf(r->prefix, sizeof(r->prefix), "%s", prefix) >= sizeof(r->prefix))
        err = ERR_NOSPC;
    if (err)
        tokenstore_close(out);
    return err;
}
