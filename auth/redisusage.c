#include "auth/redisusage.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/ledger.h"
#include "auth/redisevents.h"
#include "auth/rediskeys.h"
#include "auth/tokenstore.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"

enum {
    PREFIX_MAX = 64,
    BOOT_BYTES = 8,
    KEY_MAX = PREFIX_MAX + REDISKEYS_OWNER_MAX + TOKEN_TEXT_MAX + 32,
    NUMBERS_MAX = (AUTH_USED_N + 1) * (TOKEN_NUMBER_MAX + 1),
    ARGS_MAX = 16 + 4 * LEDGER_LINES_MAX,
};
/* An owner of tokens is no longer than a token's text; others have no lines of tokens. */
_Static_assert((4 + LEDGER_LINES_MAX) * (PREFIX_MAX + 3 * TOKEN_TEXT_MAX + TOKEN_TEXT_MAX + 32) +
                       LEDGER_LINES_MAX * (TOKEN_TEXT_MAX + 2 * NUMBERS_MAX) + 4096 <
                   REDIS_COMMAND_MAX,
               "a flush fits into a command");

/*
 * KEYS: all time, hour, day, sequence, then one for each token. ARGV: the sequence, the TTLs of sequence, hour, day (and all time) and token,
 * labels at most, labels here; for each label its text, numbers in the order of enum auth_usage, and peak; for each token its numbers. Returns what each token has
 * relayed in all.
 * A key of another type ends it before anything has changed.
 */
static const char FLUSH[] =
    "local names = {'bytes_up', 'bytes_down', 'packets_up', 'packets_down', 'allocations', 'ms', 'peak'}\n"
    "local labels = tonumber(ARGV[7])\n"
    "local function add(key, suffix, numbers)\n"
    "  local i = 0\n"
    "  for n in string.gmatch(numbers, '%d+') do\n"
    "    i = i + 1\n"
    "    if names[i] ~= 'peak' then\n"
    "      redis.pcall('HINCRBY', key, names[i] .. suffix, n)\n"
    "    elseif tonumber(n) > (tonumber(redis.call('HGET', key, 'peak' .. suffix) or -1) or -1) then\n"
    "      redis.call('HSET', key, 'peak' .. suffix, n)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local function label_of(key, label)\n"
    "  local suffix = ':' .. label\n"
    "  if redis.call('HLEN', key) < #names * ARGV[6] or redis.call('HEXISTS', key, 'ms' .. suffix) == 1 then\n"
    "    return suffix\n"
    "  end\n"
    "  return ':'\n"
    "end\n"
    "for k = 1, #KEYS do\n"
    "  if k ~= 4 then redis.call('HLEN', KEYS[k]) end\n"
    "end\n"
    "local fresh = tonumber(redis.call('GET', KEYS[4]) or 0) < tonumber(ARGV[1])\n"
    "if fresh then\n"
    "  redis.call('SET', KEYS[4], ARGV[1], 'EX', ARGV[2])\n"
    "  for l = 1, labels do\n"
    "    for k = 1, 3 do\n"
    "      add(KEYS[k], label_of(KEYS[k], ARGV[6 + 2 * l]), ARGV[7 + 2 * l])\n"
    "    end\n"
    "  end\n"
    "  redis.call('EXPIRE', KEYS[1], ARGV[4])\n"
    "  redis.call('EXPIRE', KEYS[2], ARGV[3])\n"
    "  redis.call('EXPIRE', KEYS[3], ARGV[4])\n"
    "end\n"
    "local totals = {}\n"
    "for k = 5, #KEYS do\n"
    "  if fresh then\n"
    "    add(KEYS[k], '', ARGV[3 + 2 * labels + k])\n"
    "    redis.call('EXPIRE', KEYS[k], ARGV[5])\n"
    "  end\n"
    "  local used = redis.call('HMGET', KEYS[k], 'bytes_up', 'bytes_down')\n"
    "  totals[k - 4] = (tonumber(used[1] or 0) or 0) + (tonumber(used[2] or 0) or 0)\n"
    "end\n"
    "return totals\n";

/* KEYS: an index by time. ARGV: for how long it names what is past. By the server's clock: one node's that goes wrong would empty it for all. */
static const char TRIM[] = "return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1] - ARGV[1])\n";

/* A flush under way: the index of owners, and the sums. */
struct flight {
    struct redisusage *u;
    const struct ledger_flush *flush; /* NULL: none */
    unsigned waits;                   /* for so many answers */
    bool failed;
};

/* A token that is being revoked, or was a moment ago. */
struct ending {
    struct ending *next;
    struct redisusage *u;
    struct redis_call *call;
    uint64_t used, max_bytes;
    uint64_t until_ms;
    char id[TOKEN_TEXT_MAX + 1];
};

/* A command that is being put together. */
struct command {
    size_t argc, used;
    bool full;
    struct redis_arg argv[ARGS_MAX];
    char room[REDIS_COMMAND_MAX];
};

struct redisusage {
    struct event_base *base;
    struct redis *redis;
    struct usage *usage;
    struct ledger *ledger;
    struct event tick;
    struct redisusage_events events;
    void *ctx;
    bool troubled;
    uint64_t trim_ms; /* when the indexes are trimmed next */
    char prefix[PREFIX_MAX];
    char boot[2 * BOOT_BYTES + 1];
    struct flight flights[REDISUSAGE_FLIGHTS];
    unsigned refused; /* flights in a row, in this round */
    struct ending *endings;
    size_t nendings;
    struct command command;
};

/* ---- Keys. ---- */

bool redisusage_key(char *out, size_t cap, const char *prefix, const char *owner, const char *suffix)
{
    char written[REDISKEYS_OWNER_MAX];

    return rediskeys_owner(written, sizeof(written), owner) &&
           (size_t)snprintf(out, cap, "%susage:{%s}%s%s", prefix, written, suffix ? ":" : "", suffix ? suffix : "") < cap;
}

void redisusage_stamp(char out[static REDISUSAGE_STAMP_MAX], int64_t wall, bool hour)
{
    time_t when = (time_t)wall;
    struct tm tm = {0};

    gmtime_r(&when, &tm);
    if (!strftime(out, REDISUSAGE_STAMP_MAX, hour ? "%Y%m%d%H" : "%Y%m%d", &tm))
        out[0] = '\0';
}

/* ---- Commands. ---- */

static void put_bytes(struct command *c, const void *data, size_t len)
{
    if (c->argc == ARGS_MAX)
        c->full = true;
    else
        c->argv[c->argc++] = (struct redis_arg){data, len};
}

static void put(struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct command *c, const char *format, ...)
{
    size_t left = sizeof(c->room) - c->used;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(c->room + c->used, left, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= left) {
        c->full = true;
        return;
    }
    put_bytes(c, c->room + c->used, (size_t)n);
    c->used += (size_t)n + 1;
}

static void put_key(struct command *c, const char *prefix, const char *owner, const char *suffix)
{
    char key[KEY_MAX];

    if (redisusage_key(key, sizeof(key), prefix, owner, suffix))
        put(c, "%s", key);
    else
        c->full = true;
}

/* `peak` NULL: it is not kept. */
static void put_used(struct command *c, const struct auth_used *used, const uint64_t *peak)
{
    char numbers[NUMBERS_MAX + 1];
    size_t n = 0;

    for (int i = 0; i < AUTH_USED_N; i++)
        n += (size_t)snprintf(numbers + n, sizeof(numbers) - n, "%s%llu", i ? " " : "", (unsigned long long)used->n[i]);
    if (peak)
        snprintf(numbers + n, sizeof(numbers) - n, " %llu", (unsigned long long)*peak);
    put(c, "%s", numbers);
}

static struct command *begin_command(struct redisusage *u, const char *name)
{
    struct command *c = &u->command;

    c->argc = c->used = 0;
    c->full = false;
    put(c, "%s", name);
    return c;
}

/* `key` is the argument that it goes by. */
static int send_command(struct redisusage *u, size_t key, redis_cb *cb, void *ctx, struct redis_call **call)
{
    const struct command *c = &u->command;

    if (c->full)
        return ERR_NOSPC;
    return redis_command(u->redis, c->argv[key].data, c->argv[key].len, c->argv, c->argc, REDISUSAGE_DEADLINE_MS, cb, ctx, call);
}

/* ---- Revoking what has used all that it may: the marker, then the word to all who listen; as tokenstore_revoke. ---- */

static void end_ending(struct ending *e)
{
    struct ending **at = &e->u->endings;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->u->nendings--;
    redis_cancel(&e->call);
    free(e);
}

static void forget_endings(struct redisusage *u, uint64_t now_ms)
{
    for (struct ending *e = u->endings, *next; e; e = next) {
        next = e->next;
        if (!e->call && e->until_ms <= now_ms)
            end_ending(e);
    }
}

/* What fails is begun anew when the token's next bytes come. */
static void on_told(void *ctx, int err, const redisReply *reply)
{
    struct ending *e = ctx;

    e->call = NULL;
    if (err || reply->type == REDIS_REPLY_ERROR)
        end_ending(e);
}

static void on_marked(void *ctx, int err, const redisReply *reply)
{
    struct ending *e = ctx;
    struct redisusage *u = e->u;
    struct command *c;

    e->call = NULL;
    if (err || reply->type == REDIS_REPLY_ERROR) {
        end_ending(e);
        return;
    }
    u->events.exhausted(u->ctx, e->id, e->used, e->max_bytes);
    c = begin_command(u, "XADD");
    put(c, "%sevents", u->prefix);
    put(c, "MAXLEN");
    put(c, "~");
    put(c, "%d", REDISEVENTS_KEEP);
    put(c, "*");
    put(c, "kind");
    put(c, "revoke");
    put(c, "name");
    put(c, "%s", e->id);
    if (send_command(u, 1, on_told, e, &e->call))
        end_ending(e);
}

static void revoke(struct redisusage *u, const struct ledger_line *token, uint64_t used)
{
    struct ending *e;
    struct command *c;

    for (e = u->endings; e; e = e->next)
        if (strcmp(e->id, token->text) == 0)
            return;
    e = u->nendings < REDISUSAGE_ENDINGS_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return;
    e->u = u;
    e->used = used;
    e->max_bytes = token->max_bytes;
    e->until_ms = clock_now().ms + REDISUSAGE_QUIET_MS;
    snprintf(e->id, sizeof(e->id), "%s", token->text);
    e->next = u->endings;
    u->endings = e;
    u->nendings++;
    c = begin_command(u, "EVAL");
    put_bytes(c, REDISKEYS_MARK, strlen(REDISKEYS_MARK));
    put(c, "2");
    put(c, "%stoken:{%s}", u->prefix, e->id);
    put(c, "%s" REDISKEYS_REVOKED ":{%s}", u->prefix, e->id);
    put(c, "%lld", (long long)clock_now().wall);
    put(c, "%d", TOKENSTORE_MARK_S);
    if (send_command(u, 3, on_marked, e, &e->call))
        end_ending(e);
}

/* ---- Flushing. ---- */

static void trouble(struct redisusage *u, const char *reason)
{
    bool troubled = reason[0] != '\0';

    if (u->troubled != troubled)
        u->events.trouble(u->ctx, reason);
    u->troubled = troubled;
}

static void pump(struct redisusage *u);

static void land(struct flight *f)
{
    const struct ledger_flush *flush = f->flush;

    f->flush = NULL;
    f->u->refused = f->failed ? f->u->refused + 1 : 0;
    if (f->failed)
        ledger_again(f->u->ledger, flush);
    else
        ledger_done(f->u->ledger, flush);
}

static void answered(struct flight *f, int err, const redisReply *reply)
{
    struct redisusage *u = f->u;
    const struct redis_health *h = redis_health(u->redis);

    if (err)
        trouble(u, h->reason[0] ? h->reason : err_str(err));
    else if (reply->type == REDIS_REPLY_ERROR)
        trouble(u, reply->str);
    f->failed = f->failed || err || reply->type == REDIS_REPLY_ERROR;
    if (--f->waits)
        return;
    if (!f->failed)
        trouble(u, "");
    land(f);
    pump(u);
}

static void on_listed(void *ctx, int err, const redisReply *reply)
{
    answered(ctx, err, reply);
}

static void on_counted(void *ctx, int err, const redisReply *reply)
{
    struct flight *f = ctx;
    const struct ledger_flush *flush = f->flush;

    for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements && i < flush->ntokens; i++) {
        const redisReply *total = reply->element[i];
        const struct ledger_line *token = &flush->tokens[i];

        if (token->max_bytes && total->type == REDIS_REPLY_INTEGER && total->integer > 0 &&
            (uint64_t)total->integer >= token->max_bytes)
            revoke(f->u, token, (uint64_t)total->integer);
    }
    answered(f, err, reply);
}

/* An owner who is listed and has used nothing is no harm; one who is not listed would never be seen. */
static void list_owner(struct redisusage *u, struct flight *f)
{
    struct command *c = begin_command(u, "ZADD");

    put(c, "%sowners", u->prefix);
    put(c, "%lld", (long long)f->flush->wall);
    put_bytes(c, f->flush->owner, strlen(f->flush->owner));
    if (send_command(u, 1, on_listed, f, NULL))
        f->failed = true;
    else
        f->waits++;
}

static void put_keys(struct command *c, const struct redisusage *u, const struct ledger_flush *flush)
{
    char suffix[TOKEN_TEXT_MAX + 16];

    put(c, "%zu", 4 + flush->ntokens);
    put_key(c, u->prefix, flush->owner, NULL);
    redisusage_stamp(suffix, flush->wall, true);
    put_key(c, u->prefix, flush->owner, suffix);
    redisusage_stamp(suffix, flush->wall, false);
    put_key(c, u->prefix, flush->owner, suffix);
    snprintf(suffix, sizeof(suffix), "seq:%s", u->boot);
    put_key(c, u->prefix, flush->owner, suffix);
    for (size_t i = 0; i < flush->ntokens; i++) {
        snprintf(suffix, sizeof(suffix), "token:%s", flush->tokens[i].text);
        put_key(c, u->prefix, flush->owner, suffix);
    }
}

static void count_used(struct redisusage *u, struct flight *f)
{
    const struct ledger_flush *flush = f->flush;
    struct command *c = begin_command(u, "EVAL");

    put_bytes(c, FLUSH, sizeof(FLUSH) - 1);
    put_keys(c, u, flush);
    put(c, "%llu", (unsigned long long)flush->sequence);
    put(c, "%d", REDISUSAGE_SEQUENCE_S);
    put(c, "%d", TOKENSTORE_HOURS_S);
    put(c, "%d", TOKENSTORE_DAYS_S);
    put(c, "%d", TOKENSTORE_DAYS_S);
    put(c, "%d", TOKENSTORE_LABELS_MAX);
    put(c, "%zu", flush->nlabels);
    for (size_t i = 0; i < flush->nlabels; i++) {
        put_bytes(c, flush->labels[i].text, strlen(flush->labels[i].text));
        put_used(c, &flush->labels[i].used, &flush->labels[i].peak);
    }
    for (size_t i = 0; i < flush->ntokens; i++)
        put_used(c, &flush->tokens[i].used, NULL);
    if (send_command(u, 3, on_counted, f, NULL))
        f->failed = true;
    else
        f->waits++;
}

static struct flight *free_flight(struct redisusage *u)
{
    for (size_t i = 0; i < REDISUSAGE_FLIGHTS; i++)
        if (!u->flights[i].flush)
            return &u->flights[i];
    return NULL;
}

/* A store that refuses so many in a row (no memory, a disk that fails, no right) refuses the others, too: they wait for the next round. One
 * owner's key that is not what it should be, or one node of a Cluster, is not enough for that. */
static bool may_send(const struct redisusage *u)
{
    return redis_health(u->redis)->ready && u->refused < REDISUSAGE_FLIGHTS;
}

static void pump(struct redisusage *u)
{
    int64_t wall = clock_now().wall;
    struct flight *f;

    while (may_send(u) && (f = free_flight(u))) {
        *f = (struct flight){.u = u, .flush = ledger_next(u->ledger, wall)};
        if (!f->flush)
            return;
        list_owner(u, f);
        count_used(u, f);
        if (!f->waits)
            land(f);
    }
}

static void flush_all(struct redisusage *u)
{
    usage_collect(u->usage, ledger_add, u->ledger);
    ledger_begin(u->ledger);
    u->refused = 0;
    pump(u);
}

/* ---- The indexes: who has used nothing for so long has no sums any more, and an expired token no record. ---- */

static void on_trimmed(void *ctx, int err, const redisReply *reply)
{
    (void)ctx, (void)err, (void)reply; /* an hour later is as well */
}

static void trim(struct redisusage *u, const char *index, int keep_s)
{
    struct command *c = begin_command(u, "EVAL");

    put_bytes(c, TRIM, sizeof(TRIM) - 1);
    put(c, "1");
    put(c, "%s%s", u->prefix, index);
    put(c, "%d", keep_s);
    (void)send_command(u, 3, on_trimmed, u, NULL);
}

static void trim_indexes(struct redisusage *u, uint64_t now_ms)
{
    if (now_ms < u->trim_ms || !redis_health(u->redis)->ready)
        return;
    u->trim_ms = now_ms + REDISUSAGE_TRIM_MS;
    trim(u, "owners", TOKENSTORE_DAYS_S);
    trim(u, "tokens", TOKENSTORE_KEEP_S);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct redisusage *u = ctx;
    uint64_t now_ms = clock_now().ms;

    (void)fd, (void)what;
    forget_endings(u, now_ms);
    trim_indexes(u, now_ms);
    flush_all(u);
}

/* ---- Life. ---- */

static void on_health(void *ctx, const struct redis_health *h)
{
    struct redisusage *u = ctx;

    if (h->ready)
        trouble(u, "");
    else if (h->reconnects)
        trouble(u, h->reason);
}

int redisusage_new(struct redisusage **out, const struct redisusage_config *config)
{
    struct redisusage *u = calloc(1, sizeof(*u));
    struct timeval period = {.tv_sec = REDISUSAGE_PERIOD_MS / 1000, .tv_usec = REDISUSAGE_PERIOD_MS % 1000 * 1000};
    uint8_t boot[BOOT_BYTES];
    int err = u ? ledger_new(&u->ledger) : ERR_NOMEM;

    *out = NULL;
    if (!u)
        return err;
    u->base = config->base;
    u->usage = config->usage;
    u->events = config->events;
    u->ctx = config->ctx;
    random_bytes(boot, sizeof(boot));
    hex_encode(u->boot, boot, sizeof(boot));
    if (!err && (size_t)snprintf(u->prefix, sizeof(u->prefix), "%s", config->prefix) >= sizeof(u->prefix))
        err = ERR_NOSPC;
    if (!err)
        err = redis_new(&u->redis, u->base, config->target, on_health, u);
    if (!err && (event_assign(&u->tick, u->base, -1, EV_PERSIST, on_tick, u) || evtimer_add(&u->tick, &period)))
        err = ERR_NOMEM;
    if (err)
        redisusage_free(&u);
    *out = u;
    return err;
}

bool redisusage_finish(struct redisusage *u)
{
    uint64_t until_ms = clock_now().ms + REDISUSAGE_FINISH_MS;
    struct timeval soon = {.tv_usec = 10000}; /* so that each pass of the loop ends */

    flush_all(u);
    evtimer_add(&u->tick, &soon);
    while (!ledger_empty(u->ledger) && clock_now().ms < until_ms)
        if (event_base_loop(u->base, EVLOOP_ONCE))
            break;
    return ledger_empty(u->ledger);
}

void redisusage_free(struct redisusage **u)
{
    if (!*u)
        return;
    for (struct ending *e = (*u)->endings, *next; e; e = next) {
        next = e->next;
        redis_cancel(&e->call);
        free(e);
    }
    redis_free(&(*u)->redis);
    if (event_initialized(&(*u)->tick))
        evtimer_del(&(*u)->tick);
    ledger_free(&(*u)->ledger);
    free(*u);
    *u = NULL;
}
