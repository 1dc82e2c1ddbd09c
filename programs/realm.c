#include "programs/realm.h"

#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/log.h"

struct lists {
    struct conf_list allowed, denied;
};

struct realm {
    struct redisrealm *options;
    struct realm_config config;
    uint64_t max_bps;
    struct lists lists;             /* the last ones that could be read */
    const char **allowed, **denied; /* those of the configuration, and these */
};

static void free_list(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    free(l->item);
    *l = (struct conf_list){0};
}

static void free_lists(struct lists *l)
{
    free_list(&l->allowed);
    free_list(&l->denied);
}

static int copy(struct conf_list *out, const char *const *entries, size_t n)
{
    int err = 0;

    for (size_t i = 0; i < n && !err; i++)
        err = conf_list_add(out, entries[i]);
    return err;
}

/* All entries of both are judged by their prefixes: their order does not count. */
static int merge(const char ***merged, const char *const **entries, size_t *n, const struct conf_list *more)
{
    if (!more->n)
        return 0;
    free(*merged);
    *merged = calloc(*n + more->n, sizeof(**merged));
    if (!*merged)
        return ERR_NOMEM;
    for (size_t i = 0; i < *n; i++)
        (*merged)[i] = (*entries)[i];
    for (size_t i = 0; i < more->n; i++)
        (*merged)[*n + i] = more->item[i];
    *entries = *merged;
    *n += more->n;
    return 0;
}

int realm_narrow(struct realm *r, struct relay_config *rc)
{
    int err;

    if (!r)
        return 0;
    rc->settings.max_bps = limit_smaller(rc->settings.max_bps, r->max_bps);
    err = merge(&r->allowed, &rc->allowed, &rc->nallowed, &r->lists.allowed);
    return err ? err : merge(&r->denied, &rc->denied, &rc->ndenied, &r->lists.denied);
}

/* What can't be read leaves the old lists in force, as a reload does (F17); the limits hold all the same. */
static void renew(struct realm *r, struct lists *fresh)
{
    struct lists old = r->lists;
    char text[RELAY_TEXT_MAX] = "";
    int err;

    r->lists = *fresh;
    err = r->config.renew(r->config.ctx, text);
    if (!err) {
        free_lists(&old);
        return;
    }
    LOG(LOG_ERROR, "realm_peers_refused", LOG_STR("reason", text[0] ? text : err_str(err)));
    free_lists(fresh);
    r->lists = old;
    if (r->config.renew(r->config.ctx, text))
        LOG(LOG_ERROR, "realm_options_refused", LOG_STR("reason", text));
}

static void on_options(void *ctx, const struct redisrealm_options *o, const char *unread)
{
    struct realm *r = ctx;
    struct lists fresh = {0};

    if (unread)
        LOG(LOG_ERROR, "realm_option_refused", LOG_STR("reason", unread));
    if (copy(&fresh.allowed, o->allowed, o->nallowed) || copy(&fresh.denied, o->denied, o->ndenied)) {
        LOG(LOG_ERROR, "realm_options_refused", LOG_ERR("reason", ERR_NOMEM));
        free_lists(&fresh);
        return;
    }
    r->max_bps = o->max_bps;
    renew(r, &fresh);
    auth_limit_realm(r->config.auth, o->user_quota, o->total_quota);
    LOG(LOG_INFO, "realm_options", LOG_STR("realm", auth_realm(r->config.auth)), LOG_INT("max_bps", r->max_bps),
        LOG_INT("user_quota", o->user_quota), LOG_INT("total_quota", o->total_quota), LOG_INT("allowed_peers", r->lists.allowed.n),
        LOG_INT("denied_peers", r->lists.denied.n));
}

int realm_start(struct realm **out, const struct realm_config *config)
{
    struct realm *r = calloc(1, sizeof(*r));
    int err = ERR_NOMEM;

    *out = NULL;
    if (r) {
        r->config = *config;
        r->config.target = NULL;
        err = redisrealm_new(&r->options, config->base, config->target, auth_realm(config->auth), on_options, r);
    }
    if (err)
        realm_free(&r);
    *out = r;
    return err;
}

void realm_free(struct realm **rp)
{
    struct realm *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    redisrealm_free(&r->options);
    free_lists(&r->lists);
    free(r->allowed);
    free(r->denied);
    free(r);
}

void realm_look(struct realm *r)
{
    if (r)
        redisrealm_look(r->options);
}
