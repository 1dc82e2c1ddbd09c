#include "programs/rendezvous.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "programs/iceservers.h"

struct rendezvous {
    struct credentials *credentials;
    struct relay *relay;
    struct iceservers *iceservers;
    struct connect *connect;
};

_Static_assert((int)CONNECT_TEXT_MAX <= (int)RELAY_TEXT_MAX, "connect/ writes its reasons there");

/* What a reload may change, and the addresses. */
static struct connect_config connect_config_of(const struct config *c)
{
    return (struct connect_config){.listen = c->connect_listen,
                                   .app_listen = c->app_listen,
                                   .cert = c->cert,
                                   .pkey = c->pkey,
                                   .url = c->connect_url,
                                   .origins = (const char *const *)c->connect_origin.item,
                                   .norigins = c->connect_origin.n};
}

/* ---- What the service asks, and is told. ---- */

static int attach(void *host, struct event_base *base)
{
    const struct rendezvous *r = host;

    return iceservers_attach(r->iceservers, base);
}

static void detach(void *host)
{
    const struct rendezvous *r = host;

    iceservers_detach(r->iceservers);
}

static int ice(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx)
{
    const struct rendezvous *r = host;

    return iceservers_ice(r->iceservers, request, cb, ctx);
}

static void retract(void *host, const json_t *servers)
{
    const struct rendezvous *r = host;

    iceservers_retract(r->iceservers, servers);
}

/* The relay's log is to name the call, if that relays here. It is for people alone: with no memory the line is missing. */
static void relayed(void *host, const char *call, const struct addr *address, const json_t *servers)
{
    const struct rendezvous *r = host;
    const char *name = iceservers_name(servers);

    if (name)
        relay_name_call(r->relay, address, name, call);
}

static int revoke(void *ctx, const struct auth_revocation *revocation)
{
    struct rendezvous *r = ctx;

    return connect_revoke(r->connect, revocation);
}

static int recheck(void *ctx)
{
    struct rendezvous *r = ctx;

    return connect_recheck(r->connect);
}

/* The first of them; NULL: none. */
static const char *stun_of(const json_t *uris)
{
    const json_t *uri;
    size_t i;

    json_array_foreach(uris, i, uri)
    {
        if (strncmp(json_string_value(uri), "stun:", strlen("stun:")) == 0)
            return json_string_value(uri);
    }
    return NULL;
}

static int start(struct rendezvous *r, struct connect_config *cc, const struct config *c, const json_t *uris, char *text)
{
    struct storeops *ops = NULL;
    int err = credentials_store(r->credentials, c, uris, &ops);

    if (!err)
        err = iceservers_new(&r->iceservers, &ops);
    if (err)
        return err;
    cc->auth = credentials_auth(r->credentials);
    cc->asker = CREDENTIALS_ASKERS_MAX - 1; /* behind the workers */
    cc->host = (struct desk_host){.ice = ice, .retract = retract, .relayed = relayed, .host = r};
    cc->stun = stun_of(uris);
    cc->attach = attach;
    cc->detach = detach;
    err = connect_new(&r->connect, cc, text);
    if (!err)
        credentials_also(r->credentials, &(struct credentials_ends){revoke, recheck, r});
    return err;
}

/* ---- Life. ---- */

int rendezvous_new(struct rendezvous **out, const struct config *c, struct credentials *credentials, struct relay *relay,
                   const json_t *uris, char text[static RELAY_TEXT_MAX])
{
    struct connect_config cc = connect_config_of(c);
    struct rendezvous *r;
    struct addr listen, app;
    int err;

    *out = NULL;
    if (cc.listen.family == ADDR_NONE && cc.app_listen.family == ADDR_NONE)
        return 0;
    r = calloc(1, sizeof(*r));
    text[0] = '\0';
    if (r)
        *r = (struct rendezvous){.credentials = credentials, .relay = relay};
    err = r ? start(r, &cc, c, uris, text) : ERR_NOMEM;
    if (err) {
        if (!text[0])
            snprintf(text, RELAY_TEXT_MAX, "the connect service can't start: %s", err_str(err));
        rendezvous_free(&r);
        return err;
    }
    listen = connect_address(r->connect, false);
    app = connect_address(r->connect, true);
    LOG(LOG_INFO, "connect_listening", LOG_ADDR("address", &listen), LOG_ADDR("app", &app), LOG_STR("tls", c->cert ? "yes" : "no"));
    *out = r;
    return 0;
}

void rendezvous_free(struct rendezvous **r)
{
    if (!*r)
        return;
    credentials_also((*r)->credentials, &(struct credentials_ends){0});
    connect_free(&(*r)->connect);
    iceservers_free(&(*r)->iceservers);
    free(*r);
    *r = NULL;
}

int rendezvous_check(const struct rendezvous *r, const struct config *c, char text[static RELAY_TEXT_MAX])
{
    struct connect_config cc = connect_config_of(c);

    return r ? connect_check(r->connect, &cc, text) : 0;
}

int rendezvous_reload(struct rendezvous *r, const struct config *c, char text[static RELAY_TEXT_MAX])
{
    struct connect_config cc = connect_config_of(c);

    return r ? connect_reload(r->connect, &cc, text) : 0;
}

struct addr rendezvous_address(const struct rendezvous *r, bool app)
{
    return connect_address(r ? r->connect : NULL, app);
}

void rendezvous_read(const struct rendezvous *r, struct connect_counts *out)
{
    connect_read(r ? r->connect : NULL, out);
}

json_t *rendezvous_bridges(const struct rendezvous *r, const char *tenant)
{
    return connect_bridges(r ? r->connect : NULL, tenant);
}

/* Where the page alone is served, no bridge can come. */
struct probes *rendezvous_probes(const struct rendezvous *r)
{
    return rendezvous_address(r, false).family == ADDR_NONE ? NULL : connect_probes(r->connect);
}

int rendezvous_probe(const struct rendezvous *r, const char *id)
{
    return connect_probe(r->connect, id);
}
