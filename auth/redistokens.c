#include "auth/redistokens.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redisask.h"
#include "auth/rediskeys.h"
#include "auth/redisrules.h"
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

/* How a credential came to its name. Both are records of the same sort under the same key, and so no look-up asks twice; a user's says that it is one. */
enum kind { KIND_TOKEN, KIND_USER };
#define KIND_FIELD   "kind"
#define KIND_IS_USER "user"
#define UNTOLD_FIELD "untold" /* of a user: he has other keys, and not all know yet */

static const char *const INDEXES[] = {[KIND_TOKEN] = "tokens", [KIND_USER] = "users"},
                         *const NONE[] = {[KIND_TOKEN] = "no such token", [KIND_USER] = "no such user"};

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

/* ---- Make. ---- */

/* KEYS: the record. ARGV: when it ends, or 0, then its fields and values. In one step: a record whose end was lost would never go. */
static const char RECORD[] = "redis.call('HSET', KEYS[1], unpack(ARGV, 2))\n"
                             "if ARGV[1] ~= '0' then redis.call('EXPIREAT', KEYS[1], ARGV[1]) end\n"
                             "return 1\n";

/* Room for a record's words. */
struct written {
    struct token_field fields[TOKEN_FIELDS_MAX];
    struct token_text text;
    char end[REDISASK_NUMBER_MAX];
};

/* When it ends, then its fields and values. */
static void write_record(struct redisask_command *c, struct written *w, const struct token *t)
{
    size_t n = token_write(t, &w->text, w->fields);

    redisask_text(c, redisask_number(w->end, t->expires_at ? t->expires_at + TOKENSTORE_KEEP_S : 0));
    for (size_t i = 0; i < n; i++) {
        redisask_text(c, w->fields[i].name);
        redisask_add(c, w->fields[i].value, w->fields[i].len);
    }
}

/* The index first: a name without a record is swept away by the next list, a record without an index would never be seen. `fresh`: its place is not
 * changed, if it has one. */
static int list_one(struct redistokens *r, enum kind kind, const struct token *t, bool fresh)
{
    struct redisask_command c = {0};
    char index[KEY_MAX], score[REDISASK_NUMBER_MAX];

    list_key(r, index, INDEXES[kind]);
    redisask_text(&c, "ZADD");
    redisask_text(&c, index);
    if (fresh)
        redisask_text(&c, "NX");
    redisask_text(&c, t->expires_at ? redisask_number(score, t->expires_at) : "+inf");
    redisask_text(&c, t->id);
    return redisask_run(&r->ask, &c);
}

static int issue(struct tokenstore *s, const struct token *t)
{
    struct redistokens *r = s->self;
    struct redisask_command record = {0};
    struct written w;
    char key[KEY_MAX];
    int err = key_of(r, key, "token", t->id);

    redisask_script(&record, RECORD, "1");
    redisask_text(&record, key);
    write_record(&record, &w, t);
    if (!err)
        err = list_one(r, KIND_TOKEN, t, false);
    if (!err)
        err = redisask_run(&r->ask, &record);
    explicit_bzero(&w, sizeof(w));
    return err;
}

/* ---- Get and list. ---- */

struct record {
    const char *id;
    enum kind kind; /* that is asked for */
    struct token *token;
};

static int read_record(struct redisask *q, const redisReply *reply, void *out)
{
    const struct record *record = out;
    struct token_field fields[TOKEN_FIELDS_MAX];
    const char *why = "too many fields";
    enum kind kind = KIND_TOKEN;
    size_t n = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 || reply->elements / 2 > TOKEN_FIELDS_MAX)
        return redisask_fail(q, ERR_MALFORMED, why);
    for (; n < reply->elements / 2; n++) {
        const redisReply *name = reply->element[2 * n], *value = reply->element[2 * n + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return redisask_fail(q, ERR_MALFORMED, "not a hash of texts");
        fields[n] = (struct token_field){name->str, value->str, value->len};
        if (strcmp(name->str, KIND_FIELD) == 0 && strcmp(value->str, KIND_IS_USER) == 0)
            kind = KIND_USER;
    }
    if (!n || kind != record->kind)
        return redisask_fail(q, ERR_NOENT, NONE[record->kind]);
    return token_read(record->token, record->id, fields, n, &why) ? redisask_fail(q, ERR_MALFORMED, why) : 0;
}

static int get_kind(struct redistokens *r, enum kind kind, const char *id, struct token *out)
{
    struct record record = {id, kind, out};
    struct redisask_command c = {.read = read_record, .out = &record};
    char key[KEY_MAX];
    int err = key_of(r, key, "token", id);

    redisask_text(&c, "HGETALL");
    redisask_text(&c, key);
    return err ? err : redisask_run(&r->ask, &c);
}

static int get(struct tokenstore *s, const char *id, struct token *out)
{
    return get_kind(s->self, KIND_TOKEN, id, out);
}

static int get_user(struct tokenstore *s, const char *name, struct token *out)
{
    return get_kind(s->self, KIND_USER, name, out);
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
static int sweep(struct redistokens *r, enum kind kind, const char *member, int64_t until)
{
    struct redisask_command c = {0};
    char index[KEY_MAX], before[REDISASK_NUMBER_MAX];

    list_key(r, index, INDEXES[kind]);
    redisask_text(&c, member ? "ZREM" : "ZREMRANGEBYSCORE");
    redisask_text(&c, index);
    redisask_text(&c, member ? member : "-inf");
    if (!member)
        redisask_text(&c, redisask_number(before, until));
    return redisask_run(&r->ask, &c);
}

static int list_kind(struct redistokens *r, enum kind kind, int64_t now, size_t offset,
                     bool (*visit)(void *ctx, const struct token *t), void *ctx, size_t *bad)
{
    struct ids ids = {.id = calloc(TOKENSTORE_PAGE, sizeof(*ids.id))};
    struct redisask_command c = {.read = read_ids, .out = &ids};
    char index[KEY_MAX], first[REDISASK_NUMBER_MAX], page[REDISASK_NUMBER_MAX];
    struct token token;
    bool more = true;
    int err;

    if (!ids.id)
        return fail(r, ERR_NOMEM, "no memory");
    list_key(r, index, INDEXES[kind]);
    err = sweep(r, kind, NULL, now - TOKENSTORE_KEEP_S);
    redisask_text(&c, "ZRANGEBYSCORE");
    redisask_text(&c, index);
    redisask_text(&c, "-inf");
    redisask_text(&c, "+inf");
    redisask_text(&c, "LIMIT");
    redisask_text(&c, redisask_number(first, (int64_t)offset));
    redisask_text(&c, redisask_number(page, TOKENSTORE_PAGE));
    if (!err)
        err = redisask_run(&r->ask, &c);
    for (size_t i = 0; i < ids.n && !err && more; i++) {
        err = get_kind(r, kind, ids.id[i], &token);
        if (!err)
            more = visit(ctx, &token);
        else if (err == ERR_NOENT)
            err = sweep(r, kind, ids.id[i], 0);
        else if (err == ERR_MALFORMED)
            err = 0, ++*bad;
        token_wipe(&token);
    }
    free(ids.id);
    return err;
}

static int list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                size_t *bad)
{
    return list_kind(s->self, KIND_TOKEN, now, offset, visit, ctx, bad);
}

static int list_users(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                      size_t *bad)
{
    return list_kind(s->self, KIND_USER, now, offset, visit, ctx, bad);
}

/* ---- Revoke: the marker first, for those who look it up; then the word to all who listen. ---- */

static const char REVOKE[] = "revoke", CHANGE[] = "change"; /* kinds of events */

static int tell(struct redistokens *r, const char *kind, const char *name, const char *before)
{
    return redisask_tell(&r->ask, r->prefix, kind, name, before);
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
        err = key_of(r, marker, REDISKEYS_REVOKED, id);
    if (err)
        return err;
    redisask_script(&c, REDISKEYS_MARK, "2");
    redisask_text(&c, key);
    redisask_text(&c, marker);
    redisask_text(&c, redisask_number(when, now));
    redisask_text(&c, redisask_number(life, TOKENSTORE_MARK_S));
    err = redisask_run(&r->ask, &c);
    return err ? err : tell(r, REVOKE, id, NULL);
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
    int err = key_of(r, marker, REDISKEYS_REVOKED_NAMES, user);

    redisask_script(&c, MARK_USER, "1");
    redisask_text(&c, marker);
    redisask_text(&c, redisask_number(wanted, before));
    redisask_text(&c, redisask_number(at, now));
    if (!err)
        err = redisask_run(&r->ask, &c);
    return err ? err : tell(r, REVOKE, user, marked);
}

/* ---- Users. ---- */

/*
 * KEYS: the record, its marker. ARGV: 1 if there must be one already, 0 if there must be none; when it ends, or 0; its fields and values. Returns 0: it
 * is not as it must be; 1: it is kept; 2: and it has other keys than the one before. The marker is that of one who was removed, or has used up what
 * he had. That he has other keys stays in the record until it has been told.
 */
static const char USER[] = "local old = redis.call('HMGET', KEYS[1], '" KIND_FIELD "', 'sha256', '" UNTOLD_FIELD "')\n"
                           "if ARGV[1] == '1' and old[1] ~= '" KIND_IS_USER
                           "' or ARGV[1] == '0' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end\n"
                           "redis.call('DEL', KEYS[1], KEYS[2])\n"
                           "redis.call('HSET', KEYS[1], '" KIND_FIELD "', '" KIND_IS_USER "', unpack(ARGV, 3))\n"
                           "if ARGV[2] ~= '0' then redis.call('EXPIREAT', KEYS[1], ARGV[2]) end\n"
                           "if ARGV[1] ~= '1' or not old[3] and redis.call('HGET', KEYS[1], 'sha256') == old[2] then return 1 end\n"
                           "redis.call('HSET', KEYS[1], '" UNTOLD_FIELD "', '1')\n"
                           "return 2\n";

/* KEYS as above. ARGV: now, the marker's TTL. Returns 0: there is no such user; 2: nor is there one, but one that
 * was removed a while ago, and not all may know. */
static const char REMOVE[] = "if redis.call('HGET', KEYS[1], '" KIND_FIELD "') ~= '" KIND_IS_USER "' then\n"
                             "  return 2 * redis.call('EXISTS', KEYS[2])\n"
                             "end\n"
                             "redis.call('DEL', KEYS[1])\n"
                             "redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])\n"
                             "return 1\n";

static int read_result(struct redisask *q, const redisReply *reply, void *out)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return redisask_fail(q, ERR_MALFORMED, "a script that answers no number");
    *(long long *)out = reply->integer;
    return 0;
}

static int user_script(struct redistokens *r, struct redisask_command *c, const char *script, const char *name,
                       char keys[static 2][KEY_MAX])
{
    int err = key_of(r, keys[0], "token", name);

    if (!err)
        err = key_of(r, keys[1], REDISKEYS_REVOKED, name);
    redisask_script(c, script, "2");
    redisask_text(c, keys[0]);
    redisask_text(c, keys[1]);
    return err;
}

/* `*result` as the script's. Whether there is such a user is known only then: so his place in the list is not touched before. */
static int keep_user(struct redistokens *r, const struct token *t, bool replace, long long *result)
{
    struct redisask_command c = {.read = read_result, .out = result};
    char keys[2][KEY_MAX];
    struct written w;
    int err = user_script(r, &c, USER, t->id, keys);

    redisask_text(&c, replace ? "1" : "0");
    write_record(&c, &w, t);
    if (!err)
        err = list_one(r, KIND_USER, t, true);
    if (!err)
        err = redisask_run(&r->ask, &c);
    explicit_bzero(&w, sizeof(w));
    if (!err && *result)
        err = list_one(r, KIND_USER, t, false);
    return err;
}

/* Somebody may have asked for the name, and been told that there is no such user. */
static int add_user(struct tokenstore *s, const struct token *t)
{
    struct redistokens *r = s->self;
    long long result = 0;
    int err = keep_user(r, t, false, &result);

    if (!err && !result)
        return fail(r, ERR_EXIST, "there is one of this name already; remove it first");
    return err ? err : tell(r, CHANGE, t->id, NULL);
}

/* If that fails it is told once more with his next change: he logs in again then. */
static void set_told(struct redistokens *r, const char *name)
{
    struct redisask_command c = {0};
    char key[KEY_MAX];

    if (key_of(r, key, "token", name))
        return;
    redisask_text(&c, "HDEL");
    redisask_text(&c, key);
    redisask_text(&c, UNTOLD_FIELD);
    (void)redisask_run(&r->ask, &c);
}

static int put_user(struct tokenstore *s, const struct token *t, int64_t now)
{
    struct redistokens *r = s->self;
    long long result = 0;
    int err = keep_user(r, t, true, &result);

    (void)now; /* the stream has times of its own */
    if (!err && !result)
        return fail(r, ERR_NOENT, NONE[KIND_USER]);
    if (!err)
        err = tell(r, result == 2 ? REVOKE : CHANGE, t->id, NULL);
    if (!err && result == 2)
        set_told(r, t->id);
    return err;
}

/* The marker is for who does not hear the word: it outlives what an allocation lives without a look-up. */
static int remove_user(struct tokenstore *s, const char *name, int64_t now)
{
    struct redistokens *r = s->self;
    long long result = 0;
    struct redisask_command c = {.read = read_result, .out = &result};
    char keys[2][KEY_MAX], when[REDISASK_NUMBER_MAX], life[REDISASK_NUMBER_MAX];
    int err = user_script(r, &c, REMOVE, name, keys);

    redisask_text(&c, redisask_number(when, now));
    redisask_text(&c, redisask_number(life, TOKENSTORE_USER_MARK_S));
    if (!err)
        err = redisask_run(&r->ask, &c);
    if (!err && result)
        err = tell(r, REVOKE, name, NULL);
    if (!err && result != 1)
        return fail(r, ERR_NOENT, NONE[KIND_USER]);
    return err ? err : sweep(r, KIND_USER, name, 0);
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

/* ---- Rules. ---- */

static int get_peers(struct tokenstore *s, struct tokenstore_peers *out)
{
    struct redistokens *r = s->self;

    return redisrules_peers(&r->ask, r->prefix, out);
}

static int put_peers(struct tokenstore *s, const struct tokenstore_peers *peers, int64_t now)
{
    struct redistokens *r = s->self;

    (void)now; /* the stream has times of its own */
    return redisrules_put_peers(&r->ask, r->prefix, peers);
}

static int get_quota(struct tokenstore *s, const char *owner, struct auth_limits *out)
{
    struct redistokens *r = s->self;

    return redisrules_quota(&r->ask, r->prefix, owner, out);
}

static int put_quota(struct tokenstore *s, const char *owner, const struct auth_limits *limits, int64_t now)
{
    struct redistokens *r = s->self;

    (void)now; /* as above */
    return redisrules_put_quota(&r->ask, r->prefix, owner, limits);
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
                                          .add_user = add_user,
                                          .put_user = put_user,
                                          .get_user = get_user,
                                          .list_users = list_users,
                                          .remove_user = remove_user,
                                          .get_peers = get_peers,
                                          .put_peers = put_peers,
                                          .get_quota = get_quota,
                                          .put_quota = put_quota,
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
