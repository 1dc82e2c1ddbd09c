#include "auth/redistokens.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/owners.h"
#include "auth/redis.h"
#include "auth/redisevents.h"
#include "auth/rediskeys.h"
#include "auth/redisusage.h"
#include "base/err.h"

enum {
    PREFIX_MAX = 64,
    KEY_MAX = PREFIX_MAX + STUN_USERNAME_MAX + 32,
    USAGE_KEY_MAX = PREFIX_MAX + 3 * STUN_USERNAME_MAX + TOKEN_TEXT_MAX + 32,
    ARGS_MAX = 5 + 2 * TOKEN_FIELDS_MAX,
};

struct redistokens {
    struct tokenstore *store; /* for its reason */
    struct event_base *base;
    struct redis *redis;
    char prefix[PREFIX_MAX];
};

/* One command, from here until its answer has been read. */
struct command {
    struct redistokens *r;
    size_t argc;
    bool is_script;
    struct redis_arg argv[ARGS_MAX];
    int (*read)(struct command *c, const redisReply *reply);
    void *out;
    int err;
    bool done;
};

static int fail(struct redistokens *r, int err, const char *text)
{
    snprintf(r->store->why, sizeof(r->store->why), "%s", text);
    return err;
}

static void add(struct command *c, const void *data, size_t len)
{
    c->argv[c->argc++] = (struct redis_arg){data, len};
}

static void add_text(struct command *c, const char *text)
{
    add(c, text, strlen(text));
}

static void add_script(struct command *c, const char *script, const char *nkeys)
{
    c->is_script = true;
    add_text(c, "EVAL");
    add_text(c, script);
    add_text(c, nkeys);
}

static void on_answer(void *ctx, int err, const redisReply *reply)
{
    struct command *c = ctx;
    const struct redis_health *h = redis_health(c->r->redis);

    if (err)
        c->err = fail(c->r, err, h->reason[0] ? h->reason : err_str(err));
    else if (reply->type == REDIS_REPLY_ERROR)
        c->err = fail(c->r, ERR_DENIED, reply->str);
    else
        c->err = c->read ? c->read(c, reply) : 0;
    c->done = true;
    event_base_loopbreak(c->r->base);
}

/* Sends it and waits. It goes by its first key: after the name, or after a script and the number of its keys. */
static int run(struct redistokens *r, struct command *c)
{
    const struct redis_arg *key = &c->argv[c->is_script ? 3 : 1];
    int err;

    c->r = r;
    r->store->why[0] = '\0';
    err = redis_command(r->redis, key->data, key->len, c->argv, c->argc, REDISTOKENS_DEADLINE_MS, on_answer, c, NULL);
    if (err)
        return fail(r, err, err_str(err));
    while (!c->done)
        if (event_base_dispatch(r->base) < 0)
            return fail(r, ERR_IO, "the event loop has failed");
    return c->err;
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

static const char *number(char out[static TOKEN_NUMBER_MAX + 2], int64_t n)
{
    snprintf(out, TOKEN_NUMBER_MAX + 2, "%lld", (long long)n);
    return out;
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
    struct command index = {0}, record = {0};
    struct token_field fields[TOKEN_FIELDS_MAX];
    struct token_text text;
    char key[KEY_MAX], tokens[KEY_MAX], score[TOKEN_NUMBER_MAX + 2], end[TOKEN_NUMBER_MAX + 2];
    size_t n = token_write(t, &text, fields);
    int err = key_of(r, key, "token", t->id);

    list_key(r, tokens, "tokens");
    add_text(&index, "ZADD");
    add_text(&index, tokens);
    add_text(&index, t->expires_at ? number(score, t->expires_at) : "+inf");
    add_text(&index, t->id);
    add_script(&record, RECORD, "1");
    add_text(&record, key);
    add_text(&record, number(end, t->expires_at ? t->expires_at + TOKENSTORE_KEEP_S : 0));
    for (size_t i = 0; i < n; i++) {
        add_text(&record, fields[i].name);
        add(&record, fields[i].value, fields[i].len);
    }
    if (!err)
        err = run(r, &index);
    if (!err)
        err = run(r, &record);
    explicit_bzero(&text, sizeof(text));
    return err;
}

/* ---- Get and list. ---- */

struct record {
    const char *id;
    struct token *token;
};

static int read_record(struct command *c, const redisReply *reply)
{
    const struct record *record = c->out;
    struct token_field fields[TOKEN_FIELDS_MAX];
    const char *why = "too many fields";
    size_t n = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 || reply->elements / 2 > TOKEN_FIELDS_MAX)
        return fail(c->r, ERR_MALFORMED, why);
    if (!reply->elements)
        return fail(c->r, ERR_NOENT, "no such token");
    for (; n < reply->elements / 2; n++) {
        const redisReply *name = reply->element[2 * n], *value = reply->element[2 * n + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return fail(c->r, ERR_MALFORMED, "not a hash of texts");
        fields[n] = (struct token_field){name->str, value->str, value->len};
    }
    return token_read(record->token, record->id, fields, n, &why) ? fail(c->r, ERR_MALFORMED, why) : 0;
}

static int get(struct tokenstore *s, const char *id, struct token *out)
{
    struct redistokens *r = s->self;
    struct record record = {id, out};
    struct command c = {.read = read_record, .out = &record};
    char key[KEY_MAX];
    int err = key_of(r, key, "token", id);

    add_text(&c, "HGETALL");
    add_text(&c, key);
    return err ? err : run(r, &c);
}

struct ids {
    size_t n;
    char (*id)[TOKEN_TEXT_MAX + 1];
};

static int read_ids(struct command *c, const redisReply *reply)
{
    struct ids *ids = c->out;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > TOKENSTORE_PAGE)
        return fail(c->r, ERR_MALFORMED, "the list of tokens is no list");
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *id = reply->element[i];

        if (id->type == REDIS_REPLY_STRING && id->len && id->len <= TOKEN_TEXT_MAX && !memchr(id->str, '\0', id->len))
            memcpy(ids->id[ids->n++], id->str, id->len + 1);
    }
    return 0;
}

/* What has expired a day ago is not in the list any more, nor is what has no record; nor an owner who has used nothing for a year. */
static int sweep(struct redistokens *r, const char *list, const char *member, int64_t until)
{
    struct command c = {0};
    char before[TOKEN_NUMBER_MAX + 2];

    add_text(&c, member ? "ZREM" : "ZREMRANGEBYSCORE");
    add_text(&c, list);
    add_text(&c, member ? member : "-inf");
    if (!member)
        add_text(&c, number(before, until));
    return run(r, &c);
}

static int list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                size_t *bad)
{
    struct redistokens *r = s->self;
    struct ids ids = {.id = calloc(TOKENSTORE_PAGE, sizeof(*ids.id))};
    struct command c = {.read = read_ids, .out = &ids};
    char tokens[KEY_MAX], first[TOKEN_NUMBER_MAX + 2], page[TOKEN_NUMBER_MAX + 2];
    struct token token;
    bool more = true;
    int err;

    if (!ids.id)
        return fail(r, ERR_NOMEM, "no memory");
    list_key(r, tokens, "tokens");
    err = sweep(r, tokens, NULL, now - TOKENSTORE_KEEP_S);
    add_text(&c, "ZRANGEBYSCORE");
    add_text(&c, tokens);
    add_text(&c, "-inf");
    add_text(&c, "+inf");
    add_text(&c, "LIMIT");
    add_text(&c, number(first, (int64_t)offset));
    add_text(&c, number(page, TOKENSTORE_PAGE));
    if (!err)
        err = run(r, &c);
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
    struct command c = {0};
    char events[KEY_MAX], keep[TOKEN_NUMBER_MAX + 2];

    list_key(r, events, "events");
    add_text(&c, "XADD");
    add_text(&c, events);
    add_text(&c, "MAXLEN");
    add_text(&c, "~");
    add_text(&c, number(keep, REDISEVENTS_KEEP));
    add_text(&c, "*");
    add_text(&c, "kind");
    add_text(&c, "revoke");
    add_text(&c, "name");
    add_text(&c, name);
    if (before) {
        add_text(&c, "before");
        add_text(&c, before);
    }
    return run(r, &c);
}

static int revoke(struct tokenstore *s, const char *id, int64_t now)
{
    struct redistokens *r = s->self;
    struct command c = {0};
    struct token token = {0};
    char key[KEY_MAX], marker[KEY_MAX], when[TOKEN_NUMBER_MAX + 2], life[TOKEN_NUMBER_MAX + 2];
    int err = get(s, id, &token);

    token_wipe(&token);
    if (!err)
        err = key_of(r, key, "token", id);
    if (!err)
        err = key_of(r, marker, "revoked", id);
    if (err)
        return err;
    add_script(&c, REDISKEYS_MARK, "2");
    add_text(&c, key);
    add_text(&c, marker);
    add_text(&c, number(when, now));
    add_text(&c, number(life, TOKENSTORE_MARK_S));
    err = run(r, &c);
    return err ? err : tell(r, id, NULL);
}

/*
 * KEYS: the marker. ARGV: what it is to say, and now. In one step, so that of two revocations at the same moment the one that reaches further
 * stays. Returns what it says.
 */
static const char MARK_USER[] = "local before = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) or 0, tonumber(ARGV[1]))\n"
                                "redis.call('SET', KEYS[1], string.format('%d', before), 'EX', math.max(before - ARGV[2], 1))\n"
                                "return string.format('%d', before)\n";

static int read_before(struct command *c, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len > TOKEN_NUMBER_MAX)
        return fail(c->r, ERR_MALFORMED, "a marker that is no time");
    memcpy(c->out, reply->str, reply->len + 1);
    return 0;
}

static int revoke_user(struct tokenstore *s, const char *user, int64_t before, int64_t now)
{
    struct redistokens *r = s->self;
    char marker[KEY_MAX], wanted[TOKEN_NUMBER_MAX + 2], at[TOKEN_NUMBER_MAX + 2], marked[TOKEN_NUMBER_MAX + 2];
    struct command c = {.read = read_before, .out = marked};
    int err = key_of(r, marker, "revoked", user);

    add_script(&c, MARK_USER, "1");
    add_text(&c, marker);
    add_text(&c, number(wanted, before));
    add_text(&c, number(at, now));
    if (!err)
        err = run(r, &c);
    return err ? err : tell(r, user, marked);
}

/* ---- Usage. ---- */

/* A line for each label of one hash of usage. */
struct labels {
    size_t n;
    struct label {
        const char *text; /* borrowed from the reply */
        struct auth_used used;
    } * label;
};

/* Of "bytes_up:desk" the counter, and what stands behind it; AUTH_USED_N: no counter. */
static enum auth_usage counter_of(const char *field, const char **label)
{
    const char *colon = strchr(field, ':');
    size_t len = colon ? (size_t)(colon - field) : strlen(field);

    *label = colon ? colon + 1 : NULL;
    for (unsigned i = 0; i < AUTH_USED_N; i++)
        if (strlen(usage_name(i)) == len && memcmp(usage_name(i), field, len) == 0)
            return i;
    return AUTH_USED_N;
}

/* The fields of one label stand beside each other as a rule. */
static struct label *label_of(struct labels *l, const char *text)
{
    for (size_t i = l->n; i > 0; i--)
        if (strcmp(l->label[i - 1].text, text) == 0)
            return &l->label[i - 1];
    l->label[l->n] = (struct label){.text = text};
    return &l->label[l->n++];
}

struct reading {
    struct tokenstore_usage usage;
    bool (*visit)(void *ctx, const struct tokenstore_usage *u);
    void *ctx;
    bool more;
};

static bool is_pairs(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2)
        return false;
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return true;
}

static int read_usage(struct command *c, const redisReply *reply)
{
    struct reading *reading = c->out;
    struct labels l = {.label = calloc(reply->elements / 2 + 1, sizeof(*l.label))};
    const char *label;

    if (!l.label)
        return fail(c->r, ERR_NOMEM, "no memory");
    if (!is_pairs(reply)) {
        free(l.label);
        return fail(c->r, ERR_MALFORMED, "not a hash of usage");
    }
    for (size_t i = 0; i < reply->elements; i += 2) {
        enum auth_usage which = counter_of(reply->element[i]->str, &label);

        if (which != AUTH_USED_N && label)
            label_of(&l, label)->used.n[which] = strtoull(reply->element[i + 1]->str, NULL, 10);
    }
    for (size_t i = 0; i < l.n && reading->more; i++) {
        reading->usage.label = l.label[i].text;
        reading->usage.used = l.label[i].used;
        reading->more = reading->visit(reading->ctx, &reading->usage);
    }
    free(l.label);
    return 0;
}

static int read_hash(struct redistokens *r, struct reading *reading, const char *suffix)
{
    struct command c = {.read = read_usage, .out = reading};
    char key[USAGE_KEY_MAX];

    if (!redisusage_key(key, sizeof(key), r->prefix, reading->usage.owner, suffix))
        return 0; /* nobody could have used it */
    add_text(&c, "HGETALL");
    add_text(&c, key);
    return run(r, &c);
}

static int read_owner(struct redistokens *r, struct reading *reading, const struct tokenstore_period *p)
{
    int64_t step = p->span == TOKENSTORE_HOUR ? TOKENSTORE_HOUR_S : TOKENSTORE_DAY_S;
    char stamp[REDISUSAGE_STAMP_MAX];
    int err = 0;

    if (p->span == TOKENSTORE_ALL)
        return read_hash(r, reading, NULL);
    for (int64_t t = p->since - p->since % step; t < p->until && reading->more && !err; t += step) {
        reading->usage.from = t;
        redisusage_stamp(stamp, t, p->span == TOKENSTORE_HOUR);
        err = read_hash(r, reading, stamp);
    }
    return err;
}

/* The owners that have been listed, and where the rest begins. */
struct scan {
    char cursor[TOKEN_NUMBER_MAX + 2]; /* "0": at the end */
    struct owners *owners;             /* each once: a scan of a list that grows meanwhile may meet one twice */
};

static int read_owners(struct command *c, const redisReply *reply)
{
    struct scan *scan = c->out;
    const redisReply *list = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 ? reply->element[1] : NULL;

    if (!list || !is_pairs(list) || reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof(scan->cursor))
        return fail(c->r, ERR_MALFORMED, "the list of owners is no list");
    memcpy(scan->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    for (size_t i = 0; i < list->elements; i += 2)
        if (list->element[i]->len <= STUN_USERNAME_MAX)
            (void)owners_add(scan->owners, list->element[i]->str, false);
    return 0;
}

/* By cursor, not by rank: an owner whose last use changes meanwhile neither is left out nor pushes another one out. */
static int list_owners(struct redistokens *r, const char *key, struct owners *owners)
{
    struct scan scan = {.cursor = "0", .owners = owners};
    char cursor[sizeof(scan.cursor)], page[TOKEN_NUMBER_MAX + 2];
    int err;

    do {
        struct command c = {.read = read_owners, .out = &scan};

        memcpy(cursor, scan.cursor, sizeof(cursor));
        add_text(&c, "ZSCAN");
        add_text(&c, key);
        add_text(&c, cursor);
        add_text(&c, "COUNT");
        add_text(&c, number(page, TOKENSTORE_PAGE));
        err = run(r, &c);
    } while (!err && strcmp(scan.cursor, "0") != 0);
    return err;
}

/* All of them first: the store is not asked about one while it tells the next. The caller frees them, whatever happens. */
static int find_owners(struct redistokens *r, int64_t now, struct owners **out)
{
    char key[KEY_MAX];
    int err;

    if (owners_new(out))
        return fail(r, ERR_NOMEM, "no memory");
    owners_open(*out, true);
    list_key(r, key, "owners");
    err = sweep(r, key, NULL, now - TOKENSTORE_DAYS_S);
    return err ? err : list_owners(r, key, *out);
}

static int usage(struct tokenstore *s, const struct tokenstore_period *period,
                 bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    struct redistokens *r = s->self;
    struct reading reading = {.usage.owner = period->owner, .visit = visit, .ctx = ctx, .more = true};
    struct owners *owners;
    char *name;
    int err;

    if (period->owner)
        return read_owner(r, &reading, period);
    err = find_owners(r, period->until, &owners);
    while (!err && reading.more && (name = owners_take(owners))) {
        reading.usage.owner = name;
        err = read_owner(r, &reading, period);
        free(name);
    }
    owners_free(&owners);
    return err;
}

static int visit_owners(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    struct owners *owners;
    bool more = true;
    char *name;
    int err = find_owners(s->self, now, &owners);

    while (!err && more && (name = owners_take(owners))) {
        more = visit(ctx, name);
        free(name);
    }
    owners_free(&owners);
    return err;
}

static int read_used(struct command *c, const redisReply *reply)
{
    struct auth_used *used = c->out;
    const char *label;

    if (!is_pairs(reply))
        return fail(c->r, ERR_MALFORMED, "not a hash of usage");
    for (size_t i = 0; i < reply->elements; i += 2) {
        enum auth_usage which = counter_of(reply->element[i]->str, &label);

        if (which != AUTH_USED_N)
            used->n[which] = strtoull(reply->element[i + 1]->str, NULL, 10);
    }
    return 0;
}

static int used_by(struct tokenstore *s, const struct token *t, struct auth_used *out)
{
    struct redistokens *r = s->self;
    struct command c = {.read = read_used, .out = out};
    char key[USAGE_KEY_MAX], suffix[TOKEN_TEXT_MAX + 16];

    snprintf(suffix, sizeof(suffix), "token:%s", t->id);
    if (!redisusage_key(key, sizeof(key), r->prefix, t->owner, suffix))
        return 0;
    add_text(&c, "HGETALL");
    add_text(&c, key);
    return run(r, &c);
}

/* ---- Life. ---- */

static void end(struct tokenstore *s)
{
    struct redistokens *r = s->self;

    redis_free(&r->redis);
    if (r->base)
        event_base_free(r->base);
    free(r);
}

static const struct tokenstore_ops OPS = {.issue = issue,
                                          .get = get,
                                          .list = list,
                                          .revoke = revoke,
                                          .revoke_user = revoke_user,
                                          .usage = usage,
                                          .used = used_by,
                                          .owners = visit_owners,
                                          .close = end};

int redistokens_open(struct tokenstore *out, const struct redis_target *target, const char *prefix)
{
    struct redistokens *r = calloc(1, sizeof(*r));
    int err = ERR_NOMEM;

    *out = (struct tokenstore){0};
    if (!r)
        return ERR_NOMEM;
    *out = (struct tokenstore){.ops = &OPS, .self = r};
    r->store = out;
    r->base = event_base_new();
    if ((size_t)snprintf(r->prefix, sizeof(r->prefix), "%s", prefix) >= sizeof(r->prefix))
        err = ERR_NOSPC;
    else if (r->base)
        err = redis_new(&r->redis, r->base, target, NULL, NULL);
    if (err)
        tokenstore_close(out);
    return err;
}
