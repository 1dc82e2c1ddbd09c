#include "auth/redissums.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/owners.h"
#include "auth/redisusage.h"
#include "base/err.h"

enum {
    LIST_MAX = REDISSUMS_PREFIX_MAX + 16,
    KEY_MAX = REDISSUMS_PREFIX_MAX + 3 * STUN_USERNAME_MAX + TOKEN_TEXT_MAX + 32,
};

/* A line for each label of one hash of usage. */
struct labels {
    size_t n;
    struct label {
        const char *text; /* borrowed from the reply */
        struct auth_used used;
        uint64_t peak;
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
    const char *prefix;
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

static int read_usage(struct redisask *q, const redisReply *reply, void *out)
{
    struct reading *reading = out;
    struct labels l = {.label = calloc(reply->elements / 2 + 1, sizeof(*l.label))};
    const char *label;

    if (!l.label)
        return redisask_fail(q, ERR_NOMEM, "no memory");
    if (!is_pairs(reply)) {
        free(l.label);
        return redisask_fail(q, ERR_MALFORMED, "not a hash of usage");
    }
    for (size_t i = 0; i < reply->elements; i += 2) {
        enum auth_usage which = counter_of(reply->element[i]->str, &label);

        if (which != AUTH_USED_N && label)
            label_of(&l, label)->used.n[which] = strtoull(reply->element[i + 1]->str, NULL, 10);
        else if (label && strncmp(reply->element[i]->str, REDISUSAGE_PEAK, sizeof(REDISUSAGE_PEAK) - 1) == 0)
            label_of(&l, label)->peak = strtoull(reply->element[i + 1]->str, NULL, 10);
    }
    for (size_t i = 0; i < l.n && reading->more; i++) {
        reading->usage.label = l.label[i].text;
        reading->usage.used = l.label[i].used;
        reading->usage.peak = l.label[i].peak;
        reading->more = reading->visit(reading->ctx, &reading->usage);
    }
    free(l.label);
    return 0;
}

static int read_hash(struct redisask *q, struct reading *reading, const char *suffix)
{
    struct redisask_command c = {.read = read_usage, .out = reading};
    char key[KEY_MAX];

    if (!redisusage_key(key, sizeof(key), reading->prefix, reading->usage.owner, suffix))
        return 0; /* nobody could have used it */
    redisask_text(&c, "HGETALL");
    redisask_text(&c, key);
    return redisask_run(q, &c);
}

/* The owners that have been listed, and where the rest begins. */
struct scan {
    char cursor[REDISASK_NUMBER_MAX]; /* "0": at the end */
    struct owners *owners;            /* each once: a scan of a list that grows meanwhile may meet one twice */
};

static int read_owners(struct redisask *q, const redisReply *reply, void *out)
{
    struct scan *scan = out;
    const redisReply *list = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 ? reply->element[1] : NULL;

    if (!list || !is_pairs(list) || reply->element[0]->type != REDIS_REPLY_STRING || reply->element[0]->len >= sizeof(scan->cursor))
        return redisask_fail(q, ERR_MALFORMED, "the list of owners is no list");
    memcpy(scan->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    for (size_t i = 0; i < list->elements; i += 2)
        if (list->element[i]->len <= STUN_USERNAME_MAX)
            (void)owners_add(scan->owners, list->element[i]->str, false);
    return 0;
}

/* By cursor, not by rank: an owner whose last use changes meanwhile neither is left out nor pushes another one out. */
static int list_owners(struct redisask *q, const char *key, struct owners *owners)
{
    struct scan scan = {.cursor = "0", .owners = owners};
    char cursor[sizeof(scan.cursor)], page[REDISASK_NUMBER_MAX];
    int err;

    do {
        struct redisask_command c = {.read = read_owners, .out = &scan};

        memcpy(cursor, scan.cursor, sizeof(cursor));
        redisask_text(&c, "ZSCAN");
        redisask_text(&c, key);
        redisask_text(&c, cursor);
        redisask_text(&c, "COUNT");
        redisask_text(&c, redisask_number(page, TOKENSTORE_PAGE));
        err = redisask_run(q, &c);
    } while (!err && strcmp(scan.cursor, "0") != 0);
    return err;
}

/* Who has used nothing for a year is in the list no more. */
static int sweep(struct redisask *q, const char *key, int64_t until)
{
    struct redisask_command c = {0};
    char before[REDISASK_NUMBER_MAX];

    redisask_text(&c, "ZREMRANGEBYSCORE");
    redisask_text(&c, key);
    redisask_text(&c, "-inf");
    redisask_text(&c, redisask_number(before, until));
    return redisask_run(q, &c);
}

/* All of them first: the store is not asked about one while it tells the next. The caller frees them, whatever happens. */
static int find_owners(struct redisask *q, const char *prefix, int64_t now, struct owners **out)
{
    char key[LIST_MAX];
    int err;

    if (owners_new(out))
        return redisask_fail(q, ERR_NOMEM, "no memory");
    owners_open(*out, true);
    snprintf(key, sizeof(key), "%sowners", prefix);
    err = sweep(q, key, now - TOKENSTORE_DAYS_S);
    return err ? err : list_owners(q, key, *out);
}

int redissums_read(struct redisask *q, const char *prefix, const struct tokenstore_period *period,
                   bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx)
{
    struct reading reading = {.prefix = prefix, .usage.owner = period->owner, .visit = visit, .ctx = ctx, .more = true};
    int64_t step = period->span == TOKENSTORE_HOUR ? TOKENSTORE_HOUR_S : TOKENSTORE_DAY_S;
    char stamp[REDISUSAGE_STAMP_MAX];
    int err = 0;

    if (period->span == TOKENSTORE_ALL)
        return read_hash(q, &reading, NULL);
    for (int64_t t = period->since - period->since % step; t < period->until && reading.more && !err; t += step) {
        reading.usage.from = t;
        redisusage_stamp(stamp, t, period->span == TOKENSTORE_HOUR);
        err = read_hash(q, &reading, stamp);
    }
    return err;
}

int redissums_owners(struct redisask *q, const char *prefix, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx)
{
    struct owners *owners;
    bool more = true;
    char *name;
    int err = find_owners(q, prefix, now, &owners);

    while (!err && more && (name = owners_take(owners))) {
        more = visit(ctx, name);
        free(name);
    }
    owners_free(&owners);
    return err;
}

static int read_used(struct redisask *q, const redisReply *reply, void *out)
{
    struct auth_used *used = out;
    const char *label;

    if (!is_pairs(reply))
        return redisask_fail(q, ERR_MALFORMED, "not a hash of usage");
    for (size_t i = 0; i < reply->elements; i += 2) {
        enum auth_usage which = counter_of(reply->element[i]->str, &label);

        if (which != AUTH_USED_N)
            used->n[which] = strtoull(reply->element[i + 1]->str, NULL, 10);
    }
    return 0;
}

int redissums_used(struct redisask *q, const char *prefix, const struct token *t, struct auth_used *out)
{
    struct redisask_command c = {.read = read_used, .out = out};
    char key[KEY_MAX], suffix[TOKEN_TEXT_MAX + 16];

    snprintf(suffix, sizeof(suffix), "token:%s", t->id);
    if (!redisusage_key(key, sizeof(key), prefix, t->owner, suffix))
        return 0;
    redisask_text(&c, "HGETALL");
    redisask_text(&c, key);
    return redisask_run(q, &c);
}
