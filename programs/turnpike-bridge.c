/* turnpike-bridge: options and wiring. Reads the configuration, builds the bridge, serves until SIGTERM. */
#include <config.h> /* the build's; not programs/config.h */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "bridge/bridge.h"
#include "programs/bridgeconfig.h"
#include "programs/bridgemetrics.h"
#include "programs/bridgeprobe.h"
#include "programs/output.h"
#include "programs/process.h"

enum { STATUS_OK = 0, STATUS_FAULT = 1, STATUS_CONFIG = 2 };

enum { FAREWELL_MS = 500 }; /* for BYE and its answer, at the end */

struct program {
    struct bridgeconfig *config;
    struct event_base *base;
    struct event ends[2];
    struct bridge *bridge;
    struct bridgemetrics *metrics; /* NULL: none */
    struct bridgeprobe *probe;
    bool ready, stopping;
};

static int fail(int status, const char *text)
{
    fprintf(stderr, "turnpike-bridge: %s\n", text);
    return status;
}

/* How it ends when telling was all that was asked for. */
static int told(void)
{
    return output_flush("turnpike-bridge") ? STATUS_FAULT : STATUS_OK;
}

/* ---- What the start tells. ---- */

static void add_address(json_t *root, const char *key, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    json_object_set_new(root, key, json_pack("{s:s,s:i}", "address", addr_ip_text(a, text), "port", (int)a->port));
}

static json_t *ready_json(const struct program *p)
{
    struct addr sip = bridge_sip_address(p->bridge), rtp = bridge_rtp_ip(p->bridge);
    json_t *root = json_object(), *lines = json_array();
    const char *why;

    for (unsigned i = 0; i < p->config->nlines; i++) {
        bool ok = calls_line(bridge_calls(p->bridge), i, &why);

        json_array_append_new(lines, json_pack("{s:s,s:b,s:s}", "line", p->config->lines[i].user, "registered", ok, "reason", why));
    }
    json_object_set_new(root, "pid", json_integer(getpid()));
    json_object_set_new(root, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(root, "lines", lines);
    add_address(root, "sip", &sip);
    add_address(root, "rtp", &rtp);
    if (p->metrics) {
        struct addr metrics = bridgemetrics_address(p->metrics);

        add_address(root, "metrics", &metrics);
    }
    return root;
}

static void on_ready(void *ctx)
{
    struct program *p = ctx;

    LOG(LOG_INFO, "ready", LOG_INT("lines", p->config->nlines));
    if (p->config->ready_file)
        p->ready = process_write_ready(p->config->ready_file, ready_json(p)) == 0;
}

/* ---- Serving. ---- */

static bool on_message(void *ctx, const char *method, const json_t *params)
{
    struct program *p = ctx;

    return p->probe && bridgeprobe_message(p->probe, method, params);
}

static bool has_call(void *ctx, const char *id)
{
    const struct program *p = ctx;

    return p->probe && bridgeprobe_has_call(p->probe, id);
}

static void on_lost(void *ctx)
{
    const struct program *p = ctx;

    if (p->probe)
        bridgeprobe_lost(p->probe);
}

/* The second signal does not wait. */
static void on_end(evutil_socket_t number, short what, void *ctx)
{
    struct program *p = ctx;

    (void)what;
    LOG(LOG_INFO, "stopping", LOG_STR("signal", strsignal((int)number)));
    if (p->stopping || !p->bridge || bridge_stop(p->bridge) == 0)
        event_base_loopbreak(p->base);
    else
        event_base_loopexit(p->base, &(struct timeval){.tv_usec = FAREWELL_MS * 1000});
    p->stopping = true;
}

static int open_loop(struct program *p)
{
    p->base = event_base_new();
    if (!p->base)
        return ERR_NOMEM;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    if (evsignal_assign(&p->ends[0], p->base, SIGTERM, on_end, p) || evsignal_assign(&p->ends[1], p->base, SIGINT, on_end, p) ||
        evsignal_add(&p->ends[0], NULL) || evsignal_add(&p->ends[1], NULL))
        return ERR_NOMEM;
    return 0;
}

static void close_loop(struct program *p)
{
    if (!p->base)
        return;
    for (int i = 0; i < 2; i++)
        if (event_initialized(&p->ends[i]))
            evsignal_del(&p->ends[i]);
    event_base_free(p->base);
}

static struct bridge_config bridge_config_of(struct program *p)
{
    const struct bridgeconfig *c = p->config;

    return (struct bridge_config){.base = p->base,
                                  .connect_url = c->connect_url,
                                  .connect_ca = c->connect_ca,
                                  .connect_proxy = c->connect_proxy,
                                  .name = c->name,
                                  .username = c->username,
                                  .password = c->password,
                                  .force_relay = c->force_relay,
                                  .ice_ips = c->ice_ip.item,
                                  .nice_ips = c->ice_ip.n,
                                  .rtp_ip = c->rtp_ip,
                                  .rtp_min = c->rtp_min,
                                  .rtp_max = c->rtp_max,
                                  .registrar = c->sip_registrar,
                                  .domain = c->sip_domain,
                                  .tcp = c->sip_transport == BRIDGECONFIG_TCP,
                                  .sip_listen = c->sip_listen,
                                  .lines = c->lines,
                                  .nlines = c->nlines,
                                  .ring_s = (unsigned)c->ring_seconds,
                                  .version = PACKAGE_VERSION,
                                  .ready = on_ready,
                                  .message = on_message,
                                  .has_call = has_call,
                                  .lost = on_lost,
                                  .ctx = p};
}

static int open_all(struct program *p, char text[static BRIDGE_TEXT_MAX])
{
    const struct bridgeconfig *c = p->config;
    int err = open_loop(p);

    if (!err) {
        struct bridge_config bc = bridge_config_of(p);

        err = bridge_new(&p->bridge, &bc, text);
    }
    if (!err)
        err = bridgeprobe_new(&p->probe, p->base, c, p->bridge);
    if (!err && c->metrics_listen.family != ADDR_NONE) {
        err = bridgemetrics_new(&p->metrics, p->base, &c->metrics_listen, p->bridge, c->lines, c->nlines);
        if (err)
            snprintf(text, BRIDGE_TEXT_MAX, "metrics-listen: %s", err_str(err));
    }
    return err;
}

/* Look-ups that the probe or the bridge has cancelled are freed from the loop. */
static void let_go(struct program *p)
{
    if (p->base)
        event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static int serve(struct program *p)
{
    char text[BRIDGE_TEXT_MAX] = "";
    struct bridgeconfig *c = p->config;
    int err = open_all(p, text);

    if (err) {
        LOG(LOG_ERROR, "start_failed", LOG_STR("reason", text[0] ? text : err_str(err)));
    } else {
        process_warn(&c->warnings);
        LOG(LOG_INFO, "serving", LOG_STR("version", PACKAGE_VERSION), LOG_INT("lines", c->nlines));
        event_base_dispatch(p->base);
    }
    bridgemetrics_free(&p->metrics);
    bridgeprobe_free(&p->probe);
    let_go(p); /* while all that the bridge has is there yet */
    bridge_free(&p->bridge);
    let_go(p);
    close_loop(p);
    if (p->ready)
        unlink(c->ready_file);
    return err == ERR_CONFIG || err == ERR_INVAL ? STATUS_CONFIG : err ? STATUS_FAULT : STATUS_OK;
}

static int check_only(const struct program *p)
{
    for (size_t i = 0; i < p->config->warnings.n; i++)
        fprintf(stderr, "turnpike-bridge: warning: %s\n", p->config->warnings.item[i]);
    printf("turnpike-bridge: the configuration is fine\n");
    return told();
}

static int start(struct program *p)
{
    struct log_config lc = {.level = (enum log_level)p->config->log_level,
                            .format = (enum log_format)p->config->log_format,
                            .file = p->config->log_file};
    char text[BRIDGE_TEXT_MAX];
    int status;

    if (p->config->check_config)
        return check_only(p);
    process_limits();
    if (process_start_log(&lc, text, sizeof(text)))
        return fail(STATUS_CONFIG, text);
    status = serve(p);
    log_stop();
    return status;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct conf_error e;
    int status;

    if (bridgeconfig_load(&p.config, argc, argv, environ, &e))
        return fail(STATUS_CONFIG, e.text);
    if (p.config->help) {
        bridgeconfig_help(stdout);
        status = told();
    } else if (p.config->version) {
        printf("turnpike-bridge %s\n", PACKAGE_VERSION);
        status = told();
    } else {
        status = start(&p);
    }
    bridgeconfig_free(&p.config);
    return status;
}
