#include "programs/plane.h"

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/planeparts.h"

static admin_operation_fn ask_store;

static admin_operation_fn *const OPERATIONS[ADMIN_OPERATIONS_N] = {
    [ADMIN_READY] = planestatus_ready,
    [ADMIN_METRICS] = planemetrics_get,
    [ADMIN_STATUS] = planestatus_get,
    [ADMIN_ALLOCATIONS_LIST] = planeallocations_list,
    [ADMIN_ALLOCATION_GET] = planeallocations_get,
    [ADMIN_ALLOCATION_DELETE] = planeallocations_delete,
    [ADMIN_USERS_LIST] = ask_store,
    [ADMIN_USER_GET] = ask_store,
    [ADMIN_USER_PUT] = ask_store,
    [ADMIN_USER_DELETE] = ask_store,
    [ADMIN_TOKENS_LIST] = ask_store,
    [ADMIN_TOKEN_ISSUE] = ask_store,
    [ADMIN_TOKEN_GET] = ask_store,
    [ADMIN_TOKEN_REVOKE] = ask_store,
    [ADMIN_ICE_SERVERS] = ask_store,
    [ADMIN_TURN_REST] = ask_store,
    [ADMIN_USER_REVOKE] = ask_store,
    [ADMIN_USAGE] = ask_store,
    [ADMIN_PEERS_GET] = planepeers_ask,
    [ADMIN_PEERS_PUT] = planepeers_ask,
    [ADMIN_PEERS_TEST] = planepeers_test,
    [ADMIN_QUOTA_GET] = ask_store,
    [ADMIN_QUOTA_PUT] = ask_store,
    [ADMIN_NODES] = planestatus_nodes,
    [ADMIN_BRIDGES] = planebridges_list,
    [ADMIN_PROBE_START] = planeprobes_start,
    [ADMIN_PROBES_LIST] = planeprobes_list,
    [ADMIN_PROBE_GET] = planeprobes_get,
    [ADMIN_DRAIN] = planestatus_drain,
    [ADMIN_DRAIN_END] = planestatus_end_drain,
    [ADMIN_CONFIG_GET] = planeconfig_get,
    [ADMIN_CONFIG_CHECK] = planeconfig_check,
    [ADMIN_RELOAD] = planeconfig_reload,
    [ADMIN_LOG_LEVEL] = planeconfig_log_level,
};

static void ask_store(void *ctx, struct admin_call *call)
{
    struct plane *p = ctx;

    storethread_call(p->store, call, NULL, NULL);
}

/* ---- The certificate. ---- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;

    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* When the first of the chain ends; 0: there is none. */
static int64_t certificate_until(const char *path)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    X509 *x = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    int64_t until = x ? seconds_of(X509_get0_notAfter(x)) : 0;

    X509_free(x);
    if (file)
        fclose(file);
    ERR_clear_error();
    return until;
}

/* ---- Life. ---- */

static struct admin_config admin_config_of(const struct plane *p, const struct config *c, const char *tokens_path)
{
    return (struct admin_config){.base = p->config.base,
                                 .socket_path = c->admin_socket,
                                 .listen = c->admin_listen,
                                 .cert = c->admin_cert,
                                 .pkey = c->admin_pkey,
                                 .tokens_path = tokens_path,
                                 .origins = (const char *const *)c->admin_origin.item,
                                 .norigins = c->admin_origin.n,
                                 .operations = OPERATIONS,
                                 .ctx = (void *)(uintptr_t)p};
}

static int start_store(struct plane *p, const struct config *c)
{
    json_t *uris = p->config.host.uris(p->config.host.ctx);
    int err = credentials_store(p->config.credentials, c, uris, &p->ops);

    json_decref(uris);
    return err ? err : storethread_new(&p->store, p->config.base, p->ops, admin_done);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    planestatus_look(ctx);
    planemetrics_look(ctx);
}

static void on_happened(void *ctx, const char *type, json_t *data)
{
    const struct plane *p = ctx;

    admin_tell(p->admin, type, data);
}

static int start_admin(struct plane *p, const struct config *c, char *text)
{
    char tokens_path[4096], why[ADMIN_TEXT_MAX] = "";
    struct admin_config ac = admin_config_of(p, c, tokens_path);
    struct addr tcp;
    int err;

    if ((size_t)snprintf(tokens_path, sizeof(tokens_path), "%s/admin-tokens", c->state_dir) >= sizeof(tokens_path))
        return ERR_NOSPC;
    err = admin_new(&p->admin, &ac, why);
    if (err && p->admin) /* it serves on TCP, or not at all: no reason not to relay */
        LOG(LOG_WARNING, "admin_socket_unavailable", LOG_STR("reason", why));
    else if (err)
        snprintf(text, RELAY_TEXT_MAX, "%s", why);
    tcp = p->admin ? admin_address(p->admin) : (struct addr){0};
    if (!err || tcp.family != ADDR_NONE)
        LOG(LOG_INFO, "admin_listening", LOG_STR("socket", err ? "" : c->admin_socket), LOG_ADDR("address", &tcp));
    return p->admin ? 0 : err;
}

int plane_new(struct plane **out, const struct plane_config *config, char text[static RELAY_TEXT_MAX])
{
    struct plane *p = calloc(1, sizeof(*p));
    const struct config *c = config->host.config(config->host.ctx);
    int err = p ? 0 : ERR_NOMEM;

    *out = NULL;
    text[0] = '\0';
    if (!err) {
        p->config = *config;
        p->started = clock_now().wall;
        p->certificate_until = certificate_until(c->admin_cert);
        p->connect_until = config->rendezvous ? certificate_until(c->cert) : 0;
        err = start_store(p, c);
    }
    if (!err)
        err = relay_answer_on(config->relay, config->base);
    if (!err)
        err = start_admin(p, c, text);
    if (!err &&
        (event_assign(&p->look, config->base, -1, EV_PERSIST, on_look, p) || event_add(&p->look, &(struct timeval){.tv_sec = 1})))
        err = ERR_NOMEM;
    if (!err)
        err = planeprobes_open(p);
    if (!err)
        credentials_tell(config->credentials, on_happened, p);
    if (err && !text[0])
        snprintf(text, RELAY_TEXT_MAX, "the admin plane can't start: %s", err_str(err));
    if (err)
        plane_free(&p);
    *out = p;
    return err;
}

void plane_free(struct plane **pp)
{
    struct plane *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    credentials_tell(p->config.credentials, NULL, NULL);
    planeprobes_close(p);
    if (event_initialized(&p->look))
        event_del(&p->look);
    relay_answer_off(p->config.relay);
    storethread_free(&p->store);
    storeops_free(&p->ops);
    admin_free(&p->admin);
    free(p);
}

int plane_reload(struct plane *p, const struct config *c, char text[static RELAY_TEXT_MAX])
{
    char why[ADMIN_TEXT_MAX] = "";
    struct admin_config ac;
    int err;

    if (!p)
        return 0;
    ac = admin_config_of(p, c, NULL);
    err = admin_reload(p->admin, &ac, why);
    if (err)
        snprintf(text, RELAY_TEXT_MAX, "%s", why);
    else
        p->certificate_until = certificate_until(c->admin_cert);
    if (!err && p->config.rendezvous)
        p->connect_until = certificate_until(c->cert);
    return err;
}

struct addr plane_address(const struct plane *p)
{
    return p ? admin_address(p->admin) : (struct addr){0};
}
