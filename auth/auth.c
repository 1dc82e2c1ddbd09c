#include "auth/auth.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/answer.h"
#include "auth/fixed.h"
#include "auth/quota.h"
#include "auth/secret.h"
#include "auth/usage.h"
#include "base/err.h"
#include "base/limit.h"

enum {
    SOURCE_FIXED, /* first: fixed users win over everything */
    SOURCE_SECRET,
};

enum {
    LOCKS = 16,        /* as quota.c has; two workers that share one only wait for each other, and seldom */
    LINES_BYTES = 128, /* between two locks: no cache line holds parts of both */
};

/* A question holds its worker's own lock, which no other question touches; a reload holds all. The data path holds none. */
union lock {
    pthread_mutex_t mutex;
    uint8_t apart[LINES_BYTES];
};

struct auth {
    union lock locks[LOCKS];
    char separator; /* rest-api-separator */
    char realm[STUN_REALM_MAX + 1];
    struct fixed *fixed;
    struct secret *secret;
    struct quota *quota;
    struct quota_limits configured, of_realm; /* the smaller of each is in force; the control thread's */
    struct usage *usage;                      /* NULL: nobody keeps it */
    struct auth_source *sources;              /* grows only before the workers start: tickets point into it */
    size_t nsources;
    struct auth_fleet fleet;              /* all NULL: none */
    atomic_bool draining;                 /* by itself */
    atomic_bool can_sha256, can_userhash; /* of all sources */
    atomic_size_t tries;
};

/* What the configuration has is for the relay alone: nobody registers as a phone or a bridge with it. */
static bool for_relay(const struct auth_request *request)
{
    return answer_scope(request) & AUTH_SCOPE_TURN;
}

static enum auth_status check_fixed(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb,
                                    void *ctx, struct auth_ticket **ticket)
{
    (void)cb, (void)ctx, (void)ticket;
    return for_relay(request) ? fixed_check(self, request, answer) : AUTH_UNKNOWN;
}

static enum auth_status check_secret(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb,
                                     void *ctx, struct auth_ticket **ticket)
{
    (void)cb, (void)ctx, (void)ticket;
    return for_relay(request) ? secret_check(self, request, answer) : AUTH_UNKNOWN;
}

static void cancel_nothing(void *self, struct auth_ticket *ticket)
{
    (void)self, (void)ticket;
}

static void free_fixed(void *self)
{
    struct fixed *f = self;
    fixed_free(&f);
}

static void free_secret(void *self)
{
    struct secret *s = self;
    secret_free(&s);
}

/* What all sources can do, and how many secrets there are, is read without the lock. */
static void note_features(struct auth *a)
{
    bool sha256 = true, userhash = true;

    for (size_t i = 0; i < a->nsources; i++) {
        sha256 = sha256 && a->sources[i].can_sha256;
        userhash = userhash && a->sources[i].can_userhash;
    }
    atomic_store(&a->can_sha256, sha256);
    atomic_store(&a->can_userhash, userhash);
    atomic_store(&a->tries, a->secret && secret_count(a->secret) ? secret_count(a->secret) : 1);
}

/* As auth_add_source. On an error the source stays the caller's. */
int auth_add_source(struct auth *a, const struct auth_source *source)
{
    struct auth_source *grown = reallocarray(a->sources, a->nsources + 1, sizeof(*grown));

    if (!grown)
        return ERR_NOMEM;
    a->sources = grown;
    a->sources[a->nsources++] = *source;
    note_features(a);
    return 0;
}

static int add_users(struct auth *a)
{
    int err = fixed_new(&a->fixed, a->realm);

    if (err)
        return err;
    err = auth_add_source(a, &(struct auth_source){.name = "fixed",
                                                   .can_sha256 = true,
                                                   .can_userhash = true,
                                                   .check = check_fixed,
                                                   .cancel = cancel_nothing,
                                                   .free = free_fixed,
                                                   .self = a->fixed});
    if (err)
        fixed_free(&a->fixed);
    return err;
}

static int add_secrets(struct auth *a)
{
    int err = secret_new(&a->secret, a->realm, a->separator);

    if (err)
        return err;
    err = auth_add_source(a, &(struct auth_source){.name = "secret",
                                                   .can_sha256 = true,
                                                   .can_userhash = true, /* until there is a secret */
                                                   .check = check_secret,
                                                   .cancel = cancel_nothing,
                                                   .free = free_secret,
                                                   .self = a->secret});
    if (err)
        secret_free(&a->secret);
    return err;
}

int auth_new(struct auth **out, const struct auth_config *config)
{
    struct auth *a = calloc(1, sizeof(*a));
    int err;

    *out = NULL;
    if (!a)
        return ERR_NOMEM;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&a->locks[i].mutex, NULL); /* cannot fail with default attributes */
    a->separator = config->separator ? config->separator : ':';
    err = auth_opaque_string(a->realm, sizeof(a->realm), config->realm, strlen(config->realm));
    if (err == ERR_NOSPC)
        err = ERR_INVAL;
    if (!err)
        err = add_users(a);
    if (!err)
        err = add_secrets(a);
    a->configured = (struct quota_limits){
        .user = config->user_quota, .source = config->source_quota, .total = config->total_quota, .bps = config->bps_capacity};
    if (!err)
        err = quota_new(&a->quota, &a->configured);
    if (err)
        auth_free(&a);
    *out = a;
    return err;
}

void auth_free(struct auth **a)
{
    if (!*a)
        return;
    for (size_t i = 0; i < (*a)->nsources; i++)
        if ((*a)->sources[i].free)
            (*a)->sources[i].free((*a)->sources[i].self);
    free((*a)->sources);
    quota_free(&(*a)->quota);
    usage_free(&(*a)->usage);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&(*a)->locks[i].mutex);
    free(*a);
    *a = NULL;
}

const char *auth_user_part(const struct auth *a, const char *name, size_t *len)
{
    struct secret_name parts;

    if (secret_parse_name(&parts, name, a->separator)) {
        *len = parts.user_len;
        return parts.user;
    }
    *len = strlen(name);
    return name;
}

bool auth_is_over(const struct auth *a, const char *name, int64_t wall)
{
    struct secret_name parts;

    return secret_parse_name(&parts, name, a->separator) && parts.expires_at <= wall;
}

bool auth_revokes(const struct auth *a, const struct auth_revocation *revocation, const char *name)
{
    return secret_revokes(revocation, name, a->separator);
}

int auth_add_user(struct auth *a, const char *name, const char *secret)
{
    int err = fixed_add(a->fixed, name, secret);

    a->sources[SOURCE_FIXED].can_sha256 = fixed_can_sha256(a->fixed);
    note_features(a);
    return err;
}

int auth_add_secret(struct auth *a, const char *secret)
{
    int err = secret_add(a->secret, secret);

    a->sources[SOURCE_SECRET].can_userhash = secret_count(a->secret) == 0;
    note_features(a);
    return err;
}

/* A shared secret vouches for every name that it has signed; that one of them has been revoked is known elsewhere. */
static bool refused(const struct auth *a, const char *name)
{
    bool found = false;

    for (size_t i = 0; i < a->nsources && !found; i++)
        found = a->sources[i].refuses && a->sources[i].refuses(a->sources[i].self, name);
    return found;
}

enum auth_status auth_check(struct auth *a, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                            struct auth_ticket **ticket)
{
    pthread_mutex_t *lock = &a->locks[request->worker % LOCKS].mutex;
    enum auth_status status = AUTH_UNKNOWN;

    *ticket = NULL;
    answer->limits = (struct auth_limits){0};
    answer->peers[0] = '\0';
    answer->label[0] = '\0';
    answer->tenant[0] = '\0';
    answer->scope = AUTH_SCOPE_TURN; /* a source that knows of none knows users of the relay */
    answer->is_token = false;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < a->nsources && status == AUTH_UNKNOWN; i++) {
        const struct auth_source *s = &a->sources[i];
        status = s->check(s->self, request, answer, cb, ctx, ticket);
        if (status == AUTH_PENDING)
            (*ticket)->source = s;
        if (i == SOURCE_FIXED && status == AUTH_OK)
            secret_spend(a->secret, request);
    }
    if (status == AUTH_OK && refused(a, answer->name))
        status = AUTH_UNKNOWN;
    pthread_mutex_unlock(lock);
    if (status != AUTH_OK)
        answer->nkeys = 0;
    answer->status = status;
    return status;
}

int auth_attach(struct auth *a, unsigned worker, struct event_base *base, const struct auth_live *live)
{
    int err = 0;

    for (size_t i = 0; i < a->nsources && !err; i++)
        if (a->sources[i].attach)
            err = a->sources[i].attach(a->sources[i].self, worker, base, live);
    return err;
}

void auth_detach(struct auth *a, unsigned worker)
{
    for (size_t i = 0; i < a->nsources; i++)
        if (a->sources[i].detach)
            a->sources[i].detach(a->sources[i].self, worker);
}

void auth_forget(struct auth *a, unsigned worker, const struct auth_revocation *revocation)
{
    for (size_t i = 0; i < a->nsources; i++)
        if (a->sources[i].forget)
            a->sources[i].forget(a->sources[i].self, worker, revocation);
}

void auth_recheck(struct auth *a, unsigned worker)
{
    for (size_t i = 0; i < a->nsources; i++)
        if (a->sources[i].recheck)
            a->sources[i].recheck(a->sources[i].self, worker);
}

void auth_cancel(struct auth_ticket **ticket)
{
    if (!*ticket)
        return;
    (*ticket)->source->cancel((*ticket)->source->self, *ticket);
    *ticket = NULL;
}

bool auth_can_sha256(const struct auth *a)
{
    return atomic_load(&a->can_sha256);
}

bool auth_can_userhash(const struct auth *a)
{
    return atomic_load(&a->can_userhash);
}

size_t auth_tries(const struct auth *a)
{
    return atomic_load(&a->tries);
}

static void swap_source(struct auth_source *a, struct auth_source *b)
{
    struct auth_source t = *a;

    *a = *b;
    *b = t;
}

static void limit(struct auth *a)
{
    struct quota_limits limits = a->configured;

    limits.user = limit_smaller32(limits.user, a->of_realm.user);
    limits.total = limit_smaller32(limits.total, a->of_realm.total);
    quota_limit(a->quota, &limits);
}

void auth_limit_realm(struct auth *a, uint32_t user_quota, uint32_t total_quota)
{
    a->of_realm = (struct quota_limits){.user = user_quota, .total = total_quota};
    limit(a);
}

int auth_limit_owner(struct auth *a, const char *owner, const struct auth_limits *limits)
{
    return quota_limit_owner(a->quota, owner, limits);
}

void auth_owners_begin(struct auth *a)
{
    quota_owners_begin(a->quota);
}

void auth_owners_end(struct auth *a)
{
    quota_owners_end(a->quota);
}

void auth_replace(struct auth *a, struct auth **fresh)
{
    struct fixed *f = a->fixed;
    struct secret *s = a->secret;

    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_lock(&a->locks[i].mutex);
    swap_source(&a->sources[SOURCE_FIXED], &(*fresh)->sources[SOURCE_FIXED]);
    swap_source(&a->sources[SOURCE_SECRET], &(*fresh)->sources[SOURCE_SECRET]);
    a->fixed = (*fresh)->fixed;
    a->secret = (*fresh)->secret;
    (*fresh)->fixed = f;
    (*fresh)->secret = s;
    note_features(a);
    a->configured = (*fresh)->configured;
    limit(a);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_unlock(&a->locks[i].mutex);
    auth_free(fresh);
}

const char *auth_realm(const struct auth *a)
{
    return a->realm;
}

enum auth_quota_result auth_quota_take(struct auth *a, const struct auth_share *share, const struct auth_limits *own,
                                       struct auth_grant *grant)
{
    return quota_take(a->quota, share, own, grant);
}

void auth_quota_give(struct auth *a, const struct auth_share *share)
{
    bool limited = quota_give(a->quota, share);

    if (limited && a->fleet.ended)
        a->fleet.ended(a->fleet.self, share->owner);
}

uint64_t auth_quota_total(const struct auth *a)
{
    return quota_total(a->quota);
}

static uint32_t held_by(void *ctx, const char *owner)
{
    const struct auth *a = ctx;
    struct auth_held held;

    quota_held(a->quota, owner, &held);
    return held.count;
}

void auth_keep_usage(struct auth *a, struct usage *usage)
{
    a->usage = usage;
    usage_count(usage, held_by, a);
}

int auth_account_open(struct auth_account **out, struct auth *a, const struct auth_answer *who)
{
    *out = NULL;
    return a->usage ? usage_open(out, a->usage, who) : 0;
}

void auth_account_add(struct auth_account *account, const struct auth_used *more)
{
    if (account)
        usage_add(account, more);
}

void auth_account_close(struct auth_account **account)
{
    if (*account)
        usage_close(account);
}

/* ---- The fleet. ---- */

void auth_set_fleet(struct auth *a, const struct auth_fleet *fleet)
{
    a->fleet = *fleet;
    quota_ask(a->quota);
}

enum auth_quota_result auth_quota_ask(struct auth *a, unsigned worker, const struct auth_share *share,
                                      const struct auth_grant *grant, auth_quota_cb *cb, void *ctx,
                                      struct auth_quota_ticket **ticket)
{
    enum auth_quota_result result;

    *ticket = NULL;
    if (!grant->limit || !a->fleet.ask)
        return AUTH_QUOTA_OK;
    result = a->fleet.ask(a->fleet.self, worker, share, grant, ticket);
    if (result == AUTH_QUOTA_PENDING) {
        (*ticket)->auth = a;
        (*ticket)->cb = cb;
        (*ticket)->ctx = ctx;
    } else {
        quota_settle(a->quota, share->owner);
    }
    return result;
}

void auth_quota_cancel(struct auth_quota_ticket **ticket)
{
    struct auth_quota_ticket *t = *ticket;

    *ticket = NULL;
    if (!t)
        return;
    quota_settle(t->auth->quota, t->owner);
    t->auth->fleet.cancel(t->auth->fleet.self, t);
}

void auth_quota_answer(struct auth_quota_ticket *ticket, enum auth_quota_result result)
{
    quota_settle(ticket->auth->quota, ticket->owner);
    ticket->cb(ticket->ctx, result);
}

void auth_drain(struct auth *a, bool draining)
{
    atomic_store_explicit(&a->draining, draining, memory_order_relaxed);
}

bool auth_drains(const struct auth *a)
{
    return atomic_load_explicit(&a->draining, memory_order_relaxed);
}

bool auth_draining(const struct auth *a)
{
    return auth_drains(a) || (a->fleet.draining && a->fleet.draining(a->fleet.self));
}

bool auth_elsewhere(const struct auth *a, enum addr_family family, bool stream, struct addr *out)
{
    return a->fleet.elsewhere && a->fleet.elsewhere(a->fleet.self, family, stream, out);
}

void auth_quota_held(struct auth *a, const char *owner, struct auth_held *out)
{
    quota_held(a->quota, owner, out);
}

void auth_quota_each(struct auth *a, unsigned part, void (*visit)(void *ctx, const char *owner), void *ctx)
{
    quota_each(a->quota, part, visit, ctx);
}

void auth_quota_load(const struct auth *a, struct auth_load *out)
{
    quota_load(a->quota, out);
}
