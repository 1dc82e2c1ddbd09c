#include "programs/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "auth/redisevents.h"
#include "auth/redislook.h"
#include "auth/redissource.h"
#include "auth/redisusage.h"
#include "auth/sqlsource.h"
#include "auth/sqlusage.h"
#include "auth/store.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/node.h"
#include "programs/peers.h"
#include "programs/realm.h"
#include "programs/status.h"

/* The user that is made when nobody has configured one. */
static const char GENERATED_USER[] = "turnpike";

struct credentials {
    struct auth *auth;
    struct relay *relay; /* NULL: not started */
    struct store *store;
    struct sqlsource *embedded;  /* NULL: there is a Redis */
    const char *user, *password; /* generated here; borrowed from configuration and store, NULL: none */
    bool has_redis;              /* as at the start, whatever a reload says */
    struct redis_target redis;
    char *redis_prefix;
    struct node *node; /* NULL: no Redis, and so no fleet */
    struct redisevents *events;
    struct usage *usage;                /* auth's */
    struct redisusage *kept_usage;      /* NULL: there is no Redis, */
    struct sqlusage *usage_in_embedded; /* or NULL: there is one */
    bool events_lost;                   /* since the connection was lost nobody has asked what was missed */
    struct realm *realm;
    bool has_statsdb;
    struct redis_target statsdb;
    struct status *status;
    struct peers *peers;
    struct redislook *look; /* NULL: there is no Redis */
    credentials_tell_fn *tell;
    void *tell_ctx;
    struct credentials_ends also;
    char why_not[REDIS_REASON_MAX]; /* the store can't be asked now; "": it can */
};

static void say(const struct credentials *cr, const char *type, json_t *data)
{
    if (cr->tell)
        cr->tell(cr->tell_ctx, type, data);
    else
        json_decref(data);
}

static void tell_fault(const struct credentials *cr, const char *what, const char *reason)
{
    say(cr, "fault", json_pack("{s:s,s:s}", "what", what, "reason", reason ? reason : ""));
}

/* ---- Redis. ---- */

static void on_redis_health(void *ctx, const struct redis_health *h)
{
    if (h->ready)
        LOG(LOG_INFO, "redis_ready", LOG_INT("worker", (intptr_t)ctx));
    else if (h->reconnects) /* before that, it is the first attempt that is under way */
        LOG(LOG_WARNING, "redis_unavailable", LOG_STR("reason", h->reason), LOG_INT("worker", (intptr_t)ctx));
}

static int add_redis(struct credentials *cr, const struct config *c)
{
    const char *why;
    int err = c->redis_statsdb ? redisurl_parse(&cr->statsdb, c->redis_statsdb, &why) : 0;

    cr->has_statsdb = c->redis_statsdb && !err;
    if (err || !c->redis)
        return err;
    cr->redis_prefix = strdup(c->redis_prefix);
    if (!cr->redis_prefix)
        return ERR_NOMEM;
    err = redisurl_parse(&cr->redis, c->redis, &why);
    if (err)
        return err;
    err = node_new(&cr->node, cr->auth, c, &cr->redis);
    if (err)
        return err;
    return redissource_add(cr->auth, &(struct redissource_config){.target = &cr->redis,
                                                                  .prefix = cr->redis_prefix,
                                                                  .separator = c->rest_api_separator,
                                                                  .workers = CREDENTIALS_ASKERS_MAX,
                                                                  .shares = node_shares(cr->node),
                                                                  .health = on_redis_health});
}

static void on_revoked(void *ctx, const struct auth_revocation *revocation)
{
    struct credentials *cr = ctx;
    int err = relay_revoke(cr->relay, revocation), also = cr->also.revoke ? cr->also.revoke(cr->also.ctx, revocation) : 0;

    err = err ? err : also;
    if (err)
        LOG(LOG_ERROR, "revocation_failed", LOG_STR("user", revocation->name), LOG_ERR("reason", err));
    else if (revocation->only_changed)
        LOG(LOG_INFO, "credential_changed", LOG_STR("user", revocation->name));
    else
        LOG(LOG_INFO, "credential_revoked", LOG_STR("user", revocation->name), LOG_INT("before", revocation->expires_before));
    if (!err && !revocation->only_changed)
        say(cr, "revocation",
            json_pack("{s:s,s:o}", "user", revocation->name, "before",
                      revocation->expires_before ? json_integer(revocation->expires_before) : json_null()));
}

/* False: it is to be tried again. */
static bool recheck(struct credentials *cr)
{
    int err = relay_recheck(cr->relay), also = cr->also.recheck ? cr->also.recheck(cr->also.ctx) : 0;

    return !err && !also;
}

static void on_events_begun(void *ctx)
{
    struct credentials *cr = ctx;

    cr->events_lost = !recheck(cr);
}

static void on_told(void *ctx, const char *kind)
{
    struct credentials *cr = ctx;

    if (strcmp(kind, "policy") == 0)
        realm_look(cr->realm);
    if (strcmp(kind, "policy") == 0 || strcmp(kind, "quota") == 0)
        redislook_now(cr->look);
    else if (strcmp(kind, "drain") == 0)
        node_look(cr->node);
}

/* What was told while nobody listened is read afterwards; but it may be gone: trimmed, or lost by a failover. */
static void on_events_health(void *ctx, const struct redis_health *h)
{
    struct credentials *cr = ctx;
    bool was_ready = !cr->why_not[0];

    snprintf(cr->why_not, sizeof(cr->why_not), "%s", h->ready ? "" : h->reason[0] ? h->reason : "it is being connected to");
    if (h->ready != was_ready && (h->ready || h->reconnects))
        tell_fault(cr, h->ready ? "redis_ready" : "redis", cr->why_not);
    if (!h->ready && h->reconnects) {
        cr->events_lost = true;
        LOG(LOG_WARNING, "revocations_unavailable", LOG_STR("reason", h->reason));
    } else if (h->ready && cr->events_lost) {
        cr->events_lost = !recheck(cr);
        LOG(LOG_INFO, "revocations_ready", LOG_STR("prefix", cr->redis_prefix));
    }
}

/* ---- Stored rules, and limits of owners. ---- */

static void on_peers(void *ctx, const struct tokenstore_peers *peers)
{
    struct credentials *cr = ctx;

    if (peers_set_texts(cr->peers, PEERS_STORED, peers->allow, peers->deny) == 0)
        LOG(LOG_INFO, "stored_peers", LOG_STR("allow", peers->allow), LOG_STR("deny", peers->deny));
}

static void on_quotas_begin(void *ctx)
{
    struct credentials *cr = ctx;

    auth_owners_begin(cr->auth);
}

static void on_quota(void *ctx, const char *owner, const struct auth_limits *limits)
{
    struct credentials *cr = ctx;
    int err = auth_limit_owner(cr->auth, owner, limits);

    if (err)
        LOG(LOG_ERROR, "quota_refused", LOG_STR("owner", owner), LOG_ERR("reason", err));
}

static void on_quotas_end(void *ctx)
{
    struct credentials *cr = ctx;

    auth_owners_end(cr->auth);
}

static void on_rules_unread(void *ctx, const char *why)
{
    (void)ctx;
    LOG(LOG_ERROR, "stored_rules_refused", LOG_STR("reason", why));
}

/* ---- Usage. ---- */

static void on_exhausted(void *ctx, const char *token, uint64_t used, uint64_t max_bytes)
{
    say(ctx, "quota", json_pack("{s:s,s:s,s:I}", "user", token, "limit", "max_bytes", "bytes", (json_int_t)used));
    LOG(LOG_INFO, "credential_exhausted", LOG_STR("user", token), LOG_INT("bytes", used), LOG_INT("max_bytes", max_bytes));
}

static void on_usage_trouble(void *ctx, const char *reason)
{
    struct credentials *cr = ctx;

    if (reason[0])
        LOG(LOG_WARNING, "usage_unavailable", LOG_STR("reason", reason),
            LOG_STR("effect", "usage is kept here until it can be told"));
    else
        LOG(LOG_INFO, "usage_ready", LOG_STR("store", cr->has_redis ? "redis" : "embedded"));
}

/* Before the workers start: from then on they tell what is used. */
static int add_usage(struct credentials *cr)
{
    int err = usage_new(&cr->usage);

    if (cr->usage)
        auth_keep_usage(cr->auth, cr->usage);
    return err;
}

static int start_usage(struct credentials *cr, struct event_base *base)
{
    if (!cr->has_redis)
        return sqlusage_new(&cr->usage_in_embedded, &(struct sqlusage_config){.base = base,
                                                                              .dir = sqlsource_dir(cr->embedded),
                                                                              .usage = cr->usage,
                                                                              .events = {on_exhausted, on_usage_trouble},
                                                                              .ctx = cr});
    return redisusage_new(&cr->kept_usage, &(struct redisusage_config){.base = base,
                                                                       .target = &cr->redis,
                                                                       .prefix = cr->redis_prefix,
                                                                       .usage = cr->usage,
                                                                       .events = {on_exhausted, on_usage_trouble},
                                                                       .ctx = cr});
}

static void stop_usage(struct credentials *cr)
{
    if ((cr->kept_usage && !redisusage_finish(cr->kept_usage)) ||
        (cr->usage_in_embedded && !sqlusage_finish(cr->usage_in_embedded)))
        LOG(LOG_WARNING, "usage_lost", LOG_STR("reason", "the store could not be told before the end"));
    redisusage_free(&cr->kept_usage);
    sqlusage_free(&cr->usage_in_embedded);
}

/* ---- The embedded store, where there is no Redis. ---- */

static int add_embedded(struct credentials *cr, const struct config *c, char text[static RELAY_TEXT_MAX])
{
    char why[SQL_WHY_MAX];
    int err;

    if (c->redis)
        return 0;
    err = sqlsource_add(&cr->embedded, cr->auth, &(struct sqlsource_config){c->state_dir, c->rest_api_separator}, why);
    if (err)
        snprintf(text, RELAY_TEXT_MAX, "%s", why);
    else /* the relay is made with them */
        err = peers_set_texts(cr->peers, PEERS_STORED, sqlsource_peers(cr->embedded)->allow, sqlsource_peers(cr->embedded)->deny);
    return err;
}

static void on_embedded_health(void *ctx, const char *why)
{
    struct credentials *cr = ctx;

    snprintf(cr->why_not, sizeof(cr->why_not), "%s", why ? why : "");
    tell_fault(cr, why ? "store" : "store_ready", why);
    if (why)
        LOG(LOG_WARNING, "store_unavailable", LOG_STR("reason", why));
    else
        LOG(LOG_INFO, "store_ready", LOG_INT("credentials", sqlsource_count(cr->embedded)));
}

/* ---- The configuration's own, and the store of what was generated. ---- */

/* Where there are no credentials, or only a user name, the store's are used, which are generated when first needed. */
int credentials_read(struct credentials *cr, const struct config *c, struct auth **out, char text[static RELAY_TEXT_MAX])
{
    const char *user = c->generate_user ? c->generate_user : !c->users.n && !c->secrets.n && !cr->has_redis ? GENERATED_USER : NULL;
    struct conf_error e;
    unsigned line;
    int err = config_auth(c, out, &e);

    if (err) {
        snprintf(text, RELAY_TEXT_MAX, "%s", e.text);
        return err;
    }
    store_free(&cr->store);
    cr->user = cr->password = NULL;
    err = store_open(&cr->store, c->state_dir, &line);
    if (!err && user) {
        err = store_user(cr->store, user, &cr->password, NULL);
        cr->user = user;
    }
    if (!err)
        err = store_load(cr->store, *out);
    if (err) {
        snprintf(text, RELAY_TEXT_MAX,
                 "%s/credentials: %s (the credential store: set state-dir to a directory that can be written)", c->state_dir,
                 err_str(err));
        auth_free(out);
    }
    return err;
}

bool credentials_generated(const struct credentials *cr, struct credentials_shown *out)
{
    if (!cr->user)
        return false;
    *out = (struct credentials_shown){cr->user, cr->password, store_path(cr->store)};
    return true;
}

/* The text was wiped at the start; what had been read from it is compared. */
static bool is_other(bool had, const struct redis_target *at_start, const char *url)
{
    struct redis_target now;
    const char *why;
    bool other = had != (url != NULL);

    if (had && url) {
        other = redisurl_parse(&now, url, &why) || !redisurl_equal(&now, at_start);
        explicit_bzero(&now, sizeof(now));
    }
    return other;
}

bool credentials_other_redis(const struct credentials *cr, const struct config *c)
{
    return is_other(cr->has_redis, &cr->redis, c->redis);
}

bool credentials_other_statsdb(const struct credentials *cr, const struct config *c)
{
    return is_other(cr->has_statsdb, &cr->statsdb, c->redis_statsdb);
}

/* ---- Life. ---- */

int credentials_new(struct credentials **out, const struct config *c, char text[static RELAY_TEXT_MAX])
{
    struct credentials *cr = calloc(1, sizeof(*cr));
    int err = ERR_NOMEM;

    *out = NULL;
    snprintf(text, RELAY_TEXT_MAX, "%s", err_str(err));
    if (!cr)
        return err;
    cr->has_redis = c->redis != NULL;
    err = peers_new(&cr->peers);
    if (!err)
        err = credentials_read(cr, c, &cr->auth, text);
    if (!err && (err = add_redis(cr, c)))
        snprintf(text, RELAY_TEXT_MAX, "redis: %s", err_str(err));
    if (!err && (err = add_usage(cr)))
        snprintf(text, RELAY_TEXT_MAX, "usage: %s", err_str(err));
    if (!err)
        err = add_embedded(cr, c, text);
    if (err)
        credentials_free(&cr);
    *out = cr;
    return err;
}

int credentials_start(struct credentials *cr, struct event_base *base, struct relay *relay)
{
    int err = 0;

    cr->relay = relay;
    if (cr->has_statsdb)
        err = status_start(&cr->status, base, &cr->statsdb, auth_realm(cr->auth), relay);
    if (!err && cr->embedded)
        err = sqlsource_follow(cr->embedded, base,
                               &(struct sqlsource_events){on_revoked, on_embedded_health, on_peers, on_rules_unread, cr});
    if (!err)
        err = start_usage(cr, base);
    if (err || !cr->has_redis)
        return err;
    err = node_start(cr->node, base, relay);
    if (err)
        return err;
    err = realm_start(&cr->realm, &(struct realm_config){.base = base, .target = &cr->redis, .auth = cr->auth, .peers = cr->peers});
    snprintf(cr->why_not, sizeof(cr->why_not), "it is being connected to");
    if (!err)
        err = redislook_new(&cr->look, base, &cr->redis, cr->redis_prefix,
                            &(struct redislook_ops){on_peers, on_quotas_begin, on_quota, on_quotas_end, on_rules_unread}, cr);
    if (!err)
        err = redisevents_new(&cr->events, base, &cr->redis, cr->redis_prefix,
                              &(struct redisevents_ops){on_revoked, on_events_begun, on_told, on_events_health}, cr);
    return err;
}

void credentials_stop(struct credentials *cr)
{
    node_stop(cr->node);
    redisevents_free(&cr->events);
    redislook_free(&cr->look);
    realm_free(&cr->realm);
    stop_usage(cr);
    if (cr->status)
        status_finish(cr->status);
    status_free(&cr->status);
    sqlsource_stop(cr->embedded);
    cr->relay = NULL;
}

void credentials_free(struct credentials **cr)
{
    if (!*cr)
        return;
    credentials_stop(*cr);
    auth_free(&(*cr)->auth);
    node_free(&(*cr)->node);
    store_free(&(*cr)->store);
    peers_free(&(*cr)->peers);
    free((*cr)->redis_prefix);
    explicit_bzero(&(*cr)->redis, sizeof((*cr)->redis));
    explicit_bzero(&(*cr)->statsdb, sizeof((*cr)->statsdb));
    free(*cr);
    *cr = NULL;
}

void credentials_watch(struct credentials *cr, int (*renew)(void *ctx, char text[static RELAY_TEXT_MAX]), void *ctx)
{
    peers_watch(cr->peers, renew, ctx);
}

void credentials_complete(const struct credentials *cr, struct relay_config *rc)
{
    realm_narrow(cr->realm, rc);
    peers_add(cr->peers, rc);
}

void credentials_news(struct credentials *cr, const struct feed_news *news)
{
    if (cr->status)
        status_news(cr->status, news);
}

struct auth *credentials_auth(const struct credentials *cr)
{
    return cr->auth;
}

const struct redis_target *credentials_redis(const struct credentials *cr)
{
    return cr->has_redis ? &cr->redis : NULL;
}

const char *credentials_why_not(const struct credentials *cr)
{
    return cr->why_not[0] ? cr->why_not : NULL;
}

void credentials_drain(struct credentials *cr, bool draining)
{
    auth_drain(cr->auth, draining);
    if (cr->node)
        node_look(cr->node);
}

static const char **texts_of(const json_t *array)
{
    const char **texts = calloc(json_array_size(array) + 1, sizeof(*texts));

    for (size_t i = 0; texts && i < json_array_size(array); i++)
        texts[i] = json_string_value(json_array_get(array, i));
    return texts;
}

int credentials_store(struct credentials *cr, const struct config *c, const json_t *uris, struct storeops **out)
{
    const char **texts = texts_of(uris);
    int err = texts ? storeops_new(out, &(struct storeops_config){.redis = credentials_redis(cr),
                                                                  .state_dir = c->state_dir,
                                                                  .prefix = c->redis_prefix,
                                                                  .realm = c->realm,
                                                                  .node = c->node_id,
                                                                  .separator = c->rest_api_separator,
                                                                  .auth = cr->auth,
                                                                  .source = cr->embedded,
                                                                  .uris = texts,
                                                                  .nuris = json_array_size(uris)})
                    : ERR_NOMEM;

    free(texts);
    return err;
}

void credentials_also(struct credentials *cr, const struct credentials_ends *also)
{
    cr->also = *also;
}

size_t credentials_nodes(const struct credentials *cr)
{
    return node_others(cr->node) + 1;
}

void credentials_tell(struct credentials *cr, credentials_tell_fn *tell, void *ctx)
{
    cr->tell = tell;
    cr->tell_ctx = ctx;
    if (cr->node)
        node_tell(cr->node, tell, ctx);
}
