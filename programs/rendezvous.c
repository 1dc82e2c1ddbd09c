#include "programs/rendezvous.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

struct rendezvous {
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

/* They can't be had yet. */
static int no_ice(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx)
{
    (void)host, (void)request, (void)cb, (void)ctx;
    return ERR_AGAIN;
}

int rendezvous_new(struct rendezvous **out, const struct config *c, struct credentials *credentials,
                   char text[static RELAY_TEXT_MAX])
{
    struct connect_config cc = connect_config_of(c);
    struct rendezvous *r;
    struct addr listen, app;
    int err;

    *out = NULL;
    if (cc.listen.family == ADDR_NONE && cc.app_listen.family == ADDR_NONE)
        return 0;
    cc.auth = credentials_auth(credentials);
    cc.asker = PORTS_WORKERS_MAX; /* behind the workers */
    cc.host.ice = no_ice;
    r = calloc(1, sizeof(*r));
    text[0] = '\0';
    err = r ? connect_new(&r->connect, &cc, text) : ERR_NOMEM;
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
    connect_free(&(*r)->connect);
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
