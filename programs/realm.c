#include "programs/realm.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limit.h"
#include "base/log.h"

struct realm {
    struct redisrealm *options;
    struct realm_config config;
    uint64_t max_bps;
};

void realm_narrow(const struct realm *r, struct relay_config *rc)
{
    if (r)
        rc->settings.max_bps = limit_smaller(rc->settings.max_bps, r->max_bps);
}

static void on_options(void *ctx, const struct redisrealm_options *o, const char *unread)
{
    struct realm *r = ctx;

    if (unread)
        LOG(LOG_ERROR, "realm_option_refused", LOG_STR("reason", unread));
    r->max_bps = o->max_bps; /* the relay gets it with the peers */
    (void)peers_set(r->config.peers, PEERS_REALM, &(struct peers_list){o->allowed, o->denied, o->nallowed, o->ndenied});
    auth_limit_realm(r->config.auth, o->user_quota, o->total_quota);
    LOG(LOG_INFO, "realm_options", LOG_STR("realm", auth_realm(r->config.auth)), LOG_INT("max_bps", r->max_bps),
        LOG_INT("user_quota", o->user_quota), LOG_INT("total_quota", o->total_quota), LOG_INT("allowed_peers", o->nallowed),
        LOG_INT("denied_peers", o->ndenied));
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
    free(r);
}

void realm_look(struct realm *r)
{
    if (r)
        redisrealm_look(r->options);
}
