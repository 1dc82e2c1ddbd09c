#include "auth/redissource.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/answer.h"
#include "auth/cache.h"
#include "auth/redismarks.h"
#include "auth/redisrefuse.h"
#include "auth/redisshares.h"
#include "auth/secret.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/random.h"
#include "stun/integrity.h"

_Static_assert(sizeof(((struct auth_answer *)0)->peers) >= sizeof(((struct token *)0)->peers),
               "an answer has room for a token's peers");
_Static_assert((int)TOKEN_TEXT_MAX <= (int)AUTH_LABEL_MAX && (int)TOKEN_TEXT_MAX <= (int)AUTH_TENANT_MAX, "a token's texts fit");
_Static_assert((int)TOKEN_TURN == (int)AUTH_SCOPE_TURN && (int)TOKEN_PHONE == (int)AUTH_SCOPE_PHONE &&
                   (int)TOKEN_BRIDGE == (int)AUTH_SCOPE_BRIDGE,
               "what a token is for is what is asked for");

enum {
    KEY_MAX = REDISSOURCE_PREFIX_MAX + STUN_REALM_MAX + STUN_USERNAME_MAX + 64,
    LOOKUP_SLOTS = 64,
    AGAIN_MAX = 3, /* how often a look-up starts anew because its name was revoked under it */
};

struct redissource;

/* What one worker has. */
struct seat {
    struct redissource *source;
    struct redis *redis;
    struct redismarks *marks;
    bool ready; /* as the health said last */
    struct cache *cache;
    struct stun_mac *mac;
    struct map lookups;     /* by name */
    struct secret *secrets; /* as they were last read; NULL: never */
    uint64_t secrets_ms;    /* when that was */
};

struct redissource {
    struct redis_target target;
    char prefix[REDISSOURCE_PREFIX_MAX];
    char *realm;
    char separator;
    redis_health_cb *health;
    unsigned workers;
    struct redisshares *shares;
    struct seat *seats;
};

struct question {
    struct auth_ticket ticket; /* first, as auth.h wants it */
    struct question *next, **prev;
    auth_cb *cb;
    void *ctx;
    struct auth_request request; /* what it borrows is gone */
};

/* What a look-up asks, all at once. */
enum part { PART_TOKEN, PART_KEY, PART_REVOKED, PART_SECRETS, PARTS };

/* One name that is being looked up, for everybody who asks for it meanwhile. */
struct lookup {
    struct map_node by_name;
    struct seat *seat;
    struct question *questions;
    struct part_call {
        struct lookup *lookup;
        struct redis_call *call;
    } parts[PARTS];
    unsigned waits; /* for so many parts */
    bool again;     /* the name was revoked meanwhile: what has come may be older than that */
    unsigned times;
    bool failed, revoked;
    struct credential token, key;
    struct secret *secrets;
    int64_t revoked_before;
    char owner[STUN_USERNAME_MAX + 1];
    char *peers; /* of the token, or what was kept of them; NULL: none */
    char label[AUTH_LABEL_MAX + 1], tenant[AUTH_TENANT_MAX + 1];
    char name[];
};

/* ---- What has been found out about a name, to an answer. ---- */

static enum auth_status answer_of(struct seat *seat, const struct credential *c, const struct auth_request *asked,
                                  struct auth_answer *answer)
{
    struct auth_request request = *asked; /* whose own `mac` is another thread's, or none */

    request.mac = seat->mac;
    switch (c->kind) {
    case CREDENTIAL_UNKNOWN:
        break;
    case CREDENTIAL_KEYS:
        return answer_keys(answer,
                           &(struct answer_keys){.name = asked->user,
                                                 .owner = c->owner,
                                                 .label = c->label,
                                                 .peers = c->peers ? c->peers : "",
                                                 .tenant = c->tenant ? c->tenant : "",
                                                 .md5 = c->md5,
                                                 .sha256 = c->has_sha256 ? c->sha256 : NULL,
                                                 .not_before = c->not_before,
                                                 .expires_at = c->expires_at,
                                                 .limits = c->limits,
                                                 .scope = c->scope,
                                                 .is_token = c->is_token},
                           &request);
    case CREDENTIAL_SECRET:
        if (seat->secrets && (answer_scope(&request) & AUTH_SCOPE_TURN))
            return secret_check(seat->secrets, &request, answer);
        break;
    }
    return AUTH_UNKNOWN;
}

static void answer_question(struct lookup *l, const struct credential *c)
{
    struct question *q = l->questions;
    struct auth_answer answer = {.status = AUTH_UNAVAILABLE};

    l->questions = q->next;
    if (q->next)
        q->next->prev = &l->questions;
    q->request.user = l->name;
    if (c)
        answer.status = answer_of(l->seat, c, &q->request, &answer);
    q->cb(q->ctx, &answer);
    explicit_bzero(&answer, sizeof(answer));
    free(q);
}

/* ---- Look-ups. ---- */

static struct lookup *of_node(struct map_node *n)
{
    return (struct lookup *)(void *)n; /* the node is the first member */
}

static struct lookup *find(const struct seat *seat, const char *name)
{
    struct map_node *n = map_first(&seat->lookups, map_hash(&seat->lookups, name, strlen(name)));

    while (n && strcmp(of_node(n)->name, name) != 0)
        n = map_next(n);
    return n ? of_node(n) : NULL;
}

static void free_lookup(struct lookup *l)
{
    for (int i = 0; i < PARTS; i++)
        redis_cancel(&l->parts[i].call);
    for (struct question *q = l->questions, *next; q; q = next) {
        next = q->next;
        free(q);
    }
    secret_free(&l->secrets);
    free(l->peers);
    explicit_bzero(l, sizeof(*l));
    free(l);
}

static void judge(const struct lookup *l, struct credential *out)
{
    struct secret_name parts;

    if (!l->revoked && l->token.kind == CREDENTIAL_KEYS)
        *out = l->token;
    else if (!l->revoked && l->key.kind == CREDENTIAL_KEYS)
        *out = l->key;
    else if (!l->revoked && secret_parse_name(&parts, l->name, l->seat->source->separator))
        *out = (struct credential){.kind = CREDENTIAL_SECRET};
    else
        *out = (struct credential){.kind = CREDENTIAL_UNKNOWN};
}

static int keep_peers(struct lookup *l, const char *peers)
{
    free(l->peers);
    l->peers = peers && peers[0] ? strdup(peers) : NULL;
    return peers && peers[0] && !l->peers ? ERR_NOMEM : 0;
}

/* Everything has come, or time is up. */
static void finish(struct lookup *l)
{
    struct seat *seat = l->seat;
    struct credential found = {.kind = CREDENTIAL_UNKNOWN};
    uint64_t now_ms = clock_now().ms;
    bool known = true;

    map_remove(&seat->lookups, &l->by_name);
    if (l->failed) { /* what was known before serves for a while */
        known = cache_get(seat->cache, l->name, now_ms, &found) != CACHE_NONE;
        if (known && found.kind == CREDENTIAL_KEYS) { /* a callback may change the cache, */
            snprintf(l->owner, sizeof(l->owner), "%s", found.owner);
            snprintf(l->label, sizeof(l->label), "%s", found.label);
            snprintf(l->tenant, sizeof(l->tenant), "%s", found.tenant);
            found.owner = l->owner;
            known = keep_peers(l, found.peers) == 0; /* without them it would reach more than it may */
            found.peers = l->peers;
            found.label = l->label;
            found.tenant = l->tenant;
        }
    } else { /* but not what this look-up holds itself */
        judge(l, &found);
        cache_put(seat->cache, l->name, &found, now_ms);
    }
    while (l->questions)
        answer_question(l, known ? &found : NULL);
    explicit_bzero(&found, sizeof(found));
    free_lookup(l);
}

/* coturn's set of shared secrets. */
static int read_secrets(const struct redissource *source, const redisReply *r, struct secret **out)
{
    int err = r->type == REDIS_REPLY_ARRAY ? secret_new(out, source->realm, source->separator) : ERR_MALFORMED;

    for (size_t i = 0; i < r->elements && !err; i++) {
        if (r->element[i]->type != REDIS_REPLY_STRING)
            err = ERR_MALFORMED;
        else if (r->element[i]->len)
            err = secret_add(*out, r->element[i]->str);
        if (err == ERR_NOSPC || err == ERR_EXIST) /* more than can be tried; a NUL inside makes two alike */
            err = 0;
    }
    return err;
}

static int use_token(struct lookup *l, const struct token *t)
{
    if (keep_peers(l, t->peers))
        return ERR_NOMEM;
    l->token = (struct credential){
        .kind = CREDENTIAL_KEYS,
        .has_sha256 = true,
        .not_before = t->not_before,
        .expires_at = t->expires_at,
        .limits = {.allocations = (uint32_t)t->max_allocations, .bps = (uint64_t)t->max_bps, .bytes = (uint64_t)t->max_bytes},
        .scope = t->scope,
        .is_token = true,
        .owner = l->owner,
        .peers = l->peers,
        .label = l->label,
        .tenant = l->tenant};
    memcpy(l->token.md5, t->md5, sizeof(l->token.md5));
    memcpy(l->token.sha256, t->sha256, sizeof(l->token.sha256));
    memcpy(l->owner, t->owner, sizeof(t->owner));
    memcpy(l->label, t->label, sizeof(t->label));
    memcpy(l->tenant, t->tenant, sizeof(t->tenant));
    return 0;
}

static int read_token(struct lookup *l, const redisReply *r)
{
    struct token_field fields[TOKEN_FIELDS_MAX];
    struct token token;
    const char *why;
    size_t n = 0;
    int err;

    if (r->type != REDIS_REPLY_ARRAY || r->elements % 2 || r->elements / 2 > TOKEN_FIELDS_MAX)
        return ERR_MALFORMED;
    if (!r->elements)
        return 0; /* no such token */
    for (; n < r->elements / 2; n++) {
        const redisReply *name = r->element[2 * n], *value = r->element[2 * n + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return ERR_MALFORMED;
        fields[n] = (struct token_field){name->str, value->str, value->len};
    }
    err = token_read(&token, l->name, fields, n, &why);
    if (!err && token_serves(&token, l->seat->source->realm))
        err = use_token(l, &token);
    token_wipe(&token);
    return err;
}

static int read_key(struct lookup *l, const redisReply *r)
{
    if (r->type == REDIS_REPLY_NIL)
        return 0;
    if (r->type != REDIS_REPLY_STRING || hex_decode(l->key.md5, sizeof(l->key.md5), r->str))
        return ERR_MALFORMED;
    l->key.kind = CREDENTIAL_KEYS;
    l->key.scope = AUTH_SCOPE_TURN;
    l->key.owner = l->name;
    l->key.label = l->key.tenant = "";
    return 0;
}

static int read_revoked(struct lookup *l, const redisReply *r)
{
    if (r->type != REDIS_REPLY_NIL && r->type != REDIS_REPLY_STRING)
        return ERR_MALFORMED;
    l->revoked = redismarks_read(r, l->seat->source->separator, l->name, &l->revoked_before);
    return 0;
}

static int read_part(struct lookup *l, enum part part, const redisReply *r)
{
    switch (part) {
    case PART_TOKEN:
        return read_token(l, r);
    case PART_KEY:
        return read_key(l, r);
    case PART_REVOKED:
        return read_revoked(l, r);
    case PART_SECRETS:
        return read_secrets(l->seat->source, r, &l->secrets);
    case PARTS:
        break;
    }
    return ERR_INVAL;
}

static void start(struct lookup *l);

static void on_part(void *ctx, int err, const redisReply *reply)
{
    struct part_call *call = ctx;
    struct lookup *l = call->lookup;

    call->call = NULL;
    if (err || reply->type == REDIS_REPLY_ERROR || read_part(l, (enum part)(call - l->parts), reply))
        l->failed = true;
    if (--l->waits)
        return;
    if (l->secrets && !l->failed) {
        secret_free(&l->seat->secrets);
        l->seat->secrets = l->secrets;
        l->seat->secrets_ms = clock_now().ms;
        l->secrets = NULL;
    }
    if (l->again && ++l->times <= AGAIN_MAX)
        start(l);
    if (l->waits)
        return;
    l->failed = l->failed || l->again;
    finish(l);
}

static void ask(struct lookup *l, enum part part, const char *command, const char *key)
{
    struct redis_arg argv[] = {{command, strlen(command)}, {key, strlen(key)}};

    l->parts[part] = (struct part_call){.lookup = l};
    if (redis_command(l->seat->redis, key, strlen(key), argv, 2, REDISSOURCE_DEADLINE_MS, on_part, &l->parts[part],
                      &l->parts[part].call))
        l->failed = true;
    else
        l->waits++;
}

/* Asks for everything; l->waits stays 0 only without memory. */
static void start(struct lookup *l)
{
    const struct redissource *s = l->seat->source;
    struct secret_name parts;
    char key[KEY_MAX];

    l->again = l->failed = l->revoked = false;
    l->revoked_before = 0;
    l->token.kind = l->key.kind = CREDENTIAL_UNKNOWN;
    snprintf(key, sizeof(key), "%stoken:{%s}", s->prefix, l->name);
    ask(l, PART_TOKEN, "HGETALL", key);
    snprintf(key, sizeof(key), "turn/realm/%s/user/%s/key", s->realm, l->name);
    ask(l, PART_KEY, "GET", key);
    if (redismarks_key(key, sizeof(key), s->prefix, s->separator, l->name))
        ask(l, PART_REVOKED, "GET", key);
    if (!secret_parse_name(&parts, l->name, s->separator) ||
        (l->seat->secrets && clock_now().ms < l->seat->secrets_ms + REDISSOURCE_SECRETS_MS))
        return;
    snprintf(key, sizeof(key), "turn/realm/%s/secret", s->realm);
    ask(l, PART_SECRETS, "SMEMBERS", key);
}

static int new_lookup(struct lookup **out, struct seat *seat, const char *name)
{
    size_t len = strlen(name);
    struct lookup *l = calloc(1, sizeof(*l) + len + 1);

    *out = l;
    if (!l)
        return ERR_NOMEM;
    l->seat = seat;
    memcpy(l->name, name, len);
    map_insert(&seat->lookups, &l->by_name, map_hash(&seat->lookups, name, len));
    start(l);
    if (l->waits)
        return 0;
    map_remove(&seat->lookups, &l->by_name);
    free_lookup(l);
    *out = NULL;
    return ERR_NOMEM;
}

/* ---- The source. ---- */

static enum auth_status check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket)
{
    struct seat *seat = &((struct redissource *)self)->seats[request->worker];
    struct credential known;
    enum cache_state state;
    struct lookup *l;
    struct question *q;

    if (!request->user) /* a hash can't be turned back into a name */
        return AUTH_UNKNOWN;
    state = cache_get(seat->cache, request->user, clock_now().ms, &known);
    if (state == CACHE_FRESH || (state == CACHE_STALE && !redis_health(seat->redis)->ready))
        return answer_of(seat, &known, request, answer);
    l = find(seat, request->user);
    q = calloc(1, sizeof(*q));
    if (!q || (!l && new_lookup(&l, seat, request->user))) {
        free(q);
        return AUTH_UNAVAILABLE;
    }
    q->cb = cb;
    q->ctx = ctx;
    q->request = *request;
    q->next = l->questions;
    q->prev = &l->questions;
    if (q->next)
        q->next->prev = &q->next;
    l->questions = q;
    *ticket = &q->ticket;
    return AUTH_PENDING;
}

/* The look-up goes on: its answer is good for the next one who asks. */
static void cancel(void *self, struct auth_ticket *ticket)
{
    struct question *q = (struct question *)(void *)ticket;

    (void)self;
    *q->prev = q->next;
    if (q->next)
        q->next->prev = q->prev;
    free(q);
}

struct match {
    const struct redissource *source;
    const struct auth_revocation *revocation;
};

static bool is_revoked(void *ctx, const char *name)
{
    const struct match *m = ctx;

    return secret_revokes(m->revocation, name, m->source->separator);
}

static void ask_again(struct map_node *n, void *ctx)
{
    struct lookup *l = of_node(n);

    if (is_revoked(ctx, l->name))
        l->again = true;
}

static void forget(void *self, unsigned worker, const struct auth_revocation *revocation)
{
    struct redissource *s = self;
    struct match match = {s, revocation};

    if (worker >= s->workers || !s->seats[worker].cache)
        return;
    cache_forget_if(s->seats[worker].cache, is_revoked, &match);
    map_each(&s->seats[worker].lookups, ask_again, &match);
}

static void recheck(void *self, unsigned worker)
{
    struct redissource *s = self;

    if (worker < s->workers && s->seats[worker].marks)
        redismarks_check(s->seats[worker].marks);
}

static void on_health(void *ctx, const struct redis_health *h)
{
    struct seat *seat = ctx;

    if (h->ready && !seat->ready) /* an event may have been lost: by a failover, or because it was trimmed */
        redismarks_check(seat->marks);
    seat->ready = h->ready;
    if (seat->source->health)
        seat->source->health((void *)(seat - seat->source->seats), h);
}

static int attach(void *self, unsigned worker, struct event_base *base, const struct auth_live *live)
{
    struct redissource *s = self;
    struct seat *seat = &s->seats[worker];
    int err;

    assert(worker < s->workers);
    seat->source = s;
    err = cache_new(&seat->cache);
    if (!err)
        err = stun_mac_new(&seat->mac);
    if (!err)
        err = map_init(&seat->lookups, LOOKUP_SLOTS);
    if (!err)
        err = redis_new(&seat->redis, base, &s->target, on_health, seat);
    if (!err)
        err = redismarks_new(&seat->marks, seat->redis, s->prefix, s->separator, live);
    if (!err && s->shares)
        redisshares_attach(s->shares, worker, seat->redis);
    return err;
}

static void free_lookup_node(struct map_node *n, void *ctx)
{
    struct seat *seat = ctx;

    map_remove(&seat->lookups, n);
    free_lookup(of_node(n));
}

static void detach(void *self, unsigned worker)
{
    struct redissource *s = self;
    struct seat *seat = &s->seats[worker];

    if (worker >= s->workers)
        return;
    if (seat->lookups.slots) {
        map_each(&seat->lookups, free_lookup_node, seat);
        map_deinit(&seat->lookups);
    }
    redismarks_free(&seat->marks);
    if (s->shares)
        redisshares_detach(s->shares, worker);
    redis_free(&seat->redis);
    cache_free(&seat->cache);
    secret_free(&seat->secrets);
    stun_mac_free(&seat->mac);
}

static void free_source(void *self)
{
    struct redissource *s = self;

    for (unsigned i = 0; s->seats && i < s->workers; i++)
        detach(s, i);
    free(s->seats);
    free(s->realm);
    explicit_bzero(&s->target, sizeof(s->target));
    free(s);
}

int redissource_add(struct auth *a, const struct redissource_config *config)
{
    struct redissource *s = calloc(1, sizeof(*s));
    int err = ERR_NOMEM;

    if (!s)
        return ERR_NOMEM;
    s->target = *config->target;
    s->target.backoff_max_ms = REDISSOURCE_BACKOFF_MS;
    s->separator = config->separator;
    s->workers = config->workers;
    s->health = config->health;
    s->shares = config->shares;
    s->realm = strdup(auth_realm(a));
    s->seats = calloc(s->workers, sizeof(*s->seats));
    if ((size_t)snprintf(s->prefix, sizeof(s->prefix), "%s", config->prefix) >= sizeof(s->prefix))
        err = ERR_NOSPC;
    else if (s->realm && s->seats && redisrefuse_add(a, s->separator) == 0) /* the one that can be pending comes last */
        err = auth_add_source(a, &(struct auth_source){.name = "redis",
                                                       .check = check,
                                                       .cancel = cancel,
                                                       .free = free_source,
                                                       .attach = attach,
                                                       .detach = detach,
                                                       .forget = forget,
                                                       .recheck = recheck,
                                                       .self = s});
    if (err)
        free_source(s);
    return err;
}
