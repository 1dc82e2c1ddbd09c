/* turnpiked: options and wiring. Reads the configuration, builds auth and relay, serves until SIGTERM, reloads on SIGHUP. */
#include <config.h> /* the build's; not programs/config.h */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/config.h"
#include "programs/credentials.h"
#include "programs/keep.h"
#include "programs/output.h"
#include "programs/plane.h"
#include "programs/process.h"
#include "programs/rendezvous.h"
#include "relay/relay.h"

enum { STATUS_OK = 0, STATUS_FAULT = 1, STATUS_CONFIG = 2 };

struct server {
    int argc; /* as given, for a reload */
    char **argv;
    struct event_base *base; /* of this thread, the control thread */
    struct event ends[2], reloads, looks, news;
    struct config *config;
    struct credentials *credentials;
    struct relay *relay;
    struct rendezvous *rendezvous; /* NULL: there is no connect service */
    struct plane *plane;
    char *ready_file; /* as written at the start, whatever a reload says; NULL: none */
};

static int fail(int status, const char *text)
{
    fprintf(stderr, "turnpiked: %s\n", text);
    return status;
}

/* How it ends when telling was all that was asked for. */
static int told(void)
{
    return output_flush("turnpiked") ? STATUS_FAULT : STATUS_OK;
}

/* ---- From the configuration to the rooms. ---- */

static struct relay_config relay_config_of(const struct config *c, struct auth *auth)
{
    struct relay_config rc = {.listen = c->listening_ip.item,
                              .nlisten = c->listening_ip.n,
                              .port = c->listening_port,
                              .alt_port = c->alt_listening_port,
                              .relay = c->relay_ip.item,
                              .nrelay = c->relay_ip.n,
                              .external = c->external_ip.item,
                              .nexternal = c->external_ip.n,
                              .min_port = c->min_port,
                              .max_port = c->max_port,
                              .workers = (unsigned)c->workers,
                              .allowed = (const char *const *)c->allowed_peer_ip.item,
                              .nallowed = c->allowed_peer_ip.n,
                              .denied = (const char *const *)c->denied_peer_ip.item,
                              .ndenied = c->denied_peer_ip.n,
                              .auth = auth,
                              .feed = true};

    rc.settings = (struct relay_settings){.max_lifetime_s = (uint32_t)c->max_lifetime,
                                          .max_bps = c->max_bps,
                                          .user_max_bps = c->user_max_bps,
                                          .unauthenticated_rate = (uint32_t)c->unauthenticated_rate,
                                          .strict_channel_range = c->strict_channel_range};
    snprintf(rc.settings.software, sizeof(rc.settings.software), "%s", c->software);
    return rc;
}

/* ---- What the start tells. ---- */

/* The address that clients reach us by: the first advertised one, but an IPv4 one if there is any. */
static struct addr public_address(const struct server *s)
{
    const struct ports *p = relay_ports(s->relay);
    struct addr best = ports_address(p, 0)->advertised;

    for (size_t i = 0; i < ports_count(p) && best.family != ADDR_V4; i++)
        if (ports_address(p, (unsigned)i)->advertised.family == ADDR_V4)
            best = ports_address(p, (unsigned)i)->advertised;
    return best;
}

static uint16_t port_in_use(const struct server *s)
{
    struct relay_listener listeners[RELAY_LISTENERS_MAX * 2];

    return relay_listeners(s->relay, listeners) ? listeners[0].addr.port : 0;
}

/* Writes "stun:192.0.2.1:3478" or "turn:...?transport=udp". */
static void uri(const struct server *s, const char *scheme, const char *transport, char *text, size_t cap)
{
    struct addr a = public_address(s);
    char where[ADDR_TEXT_MAX];

    a.port = port_in_use(s);
    snprintf(text, cap, "%s:%s%s%s", scheme, addr_text(&a, where), transport ? "?transport=" : "", transport ? transport : "");
}

/* For the UC server's STUN & TURN page. A password stands here only if it was generated here; configured ones are never shown. */
static void print_settings(const struct server *s, const struct credentials_shown *shown)
{
    char stun[128], udp[128], tcp[128];

    uri(s, "stun", NULL, stun, sizeof(stun));
    uri(s, "turn", "udp", udp, sizeof(udp));
    uri(s, "turn", "tcp", tcp, sizeof(tcp));
    printf("\nPaste into the UC server's STUN & TURN settings:\n\n"
           "  STUN URI   %s\n"
           "  TURN URI   %s\n"
           "             %s\n"
           "  User name  %s\n"
           "  Password   %s\n\n"
           "(kept in %s)\n\n",
           stun, udp, tcp, shown->user, shown->password, shown->path);
    fflush(stdout);
}

static void set_address(json_t *root, const char *name, struct addr a)
{
    char text[ADDR_TEXT_MAX];

    if (a.family != ADDR_NONE)
        json_object_set_new(root, name, json_pack("{s:s,s:i}", "address", addr_ip_text(&a, text), "port", (int)a.port));
}

static json_t *ready_json(const struct server *s)
{
    struct relay_listener listeners[RELAY_LISTENERS_MAX * 2];
    size_t n = relay_listeners(s->relay, listeners);
    const struct ports *p = relay_ports(s->relay);
    json_t *root = json_object(), *list = json_array(), *relays = json_array();
    char text[128];

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:i}", "transport", listeners[i].transport, "address",
                                              addr_ip_text(&listeners[i].addr, text), "port", (int)listeners[i].addr.port));
    for (size_t i = 0; i < ports_count(p); i++) {
        const struct relay_address *a = ports_address(p, (unsigned)i);
        char advertised[ADDR_TEXT_MAX];

        json_array_append_new(relays, json_pack("{s:s,s:s}", "address", addr_ip_text(&a->local, text), "advertised",
                                                addr_ip_text(&a->advertised, advertised)));
    }
    json_object_set_new(root, "pid", json_integer(getpid()));
    json_object_set_new(root, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(root, "realm", json_string(auth_realm(credentials_auth(s->credentials))));
    json_object_set_new(root, "workers", json_integer(relay_workers(s->relay)));
    json_object_set_new(root, "listeners", list);
    json_object_set_new(root, "relays", relays);
    set_address(root, "admin", plane_address(s->plane));
    set_address(root, "connect", rendezvous_address(s->rendezvous, false));
    set_address(root, "app", rendezvous_address(s->rendezvous, true));
    uri(s, "stun", NULL, text, sizeof(text));
    json_object_set_new(root, "stun", json_string(text));
    uri(s, "turn", "udp", text, sizeof(text));
    json_object_set_new(root, "turn", json_string(text));
    return root;
}

static void log_start_lines(const struct server *s)
{
    struct relay_listener listeners[RELAY_LISTENERS_MAX * 2];
    size_t n = relay_listeners(s->relay, listeners);

    for (size_t i = 0; i < n; i++)
        LOG(LOG_INFO, "listening", LOG_STR("transport", listeners[i].transport), LOG_ADDR("address", &listeners[i].addr));
    LOG(LOG_INFO, "serving", LOG_STR("version", PACKAGE_VERSION), LOG_STR("realm", auth_realm(credentials_auth(s->credentials))),
        LOG_INT("workers", relay_workers(s->relay)));
}

/* ---- Serving. ---- */

static struct log_config log_config_of(const struct config *c)
{
    return (struct log_config){
        .level = (enum log_level)c->log_level, .format = (enum log_format)c->log_format, .file = c->log_file};
}

/* What stands beside the configuration has changed. */
static int renew(void *ctx, char text[static RELAY_TEXT_MAX])
{
    struct server *s = ctx;
    struct relay_config rc = relay_config_of(s->config, credentials_auth(s->credentials));

    credentials_complete(s->credentials, &rc);
    return relay_reload(s->relay, &rc, text);
}

/* All or nothing: what can't be read leaves the old settings in force (F17). What can fail for another reason than memory comes first. */
static int take(struct server *s, struct config *c, struct auth **auth, char text[static RELAY_TEXT_MAX])
{
    struct log_config lc = log_config_of(c), old_lc = log_config_of(s->config);
    struct relay_config rc = relay_config_of(c, credentials_auth(s->credentials));
    int err = credentials_read(s->credentials, c, auth, text);

    credentials_complete(s->credentials, &rc);
    if (!err)
        err = relay_check(&rc, text);
    if (!err)
        err = rendezvous_check(s->rendezvous, c, text);
    if (!err && (err = log_reconfigure(&lc)))
        snprintf(text, RELAY_TEXT_MAX, "log-file %s can't be opened: %s", c->log_file, err_str(err));
    if (err)
        return err;
    err = plane_reload(s->plane, c, text);
    if (!err)
        err = rendezvous_reload(s->rendezvous, c, text);
    if (!err)
        err = relay_reload(s->relay, &rc, text);
    if (err)
        log_reconfigure(&old_lc);
    return err;
}

static void tell_kept(unsigned changed, struct conf_list *keys)
{
    const char *key;

    for (unsigned i = 0; (key = keep_key(i)); i++) {
        if (!(changed & 1U << i))
            continue;
        LOG(LOG_WARNING, "reload_needs_restart", LOG_STR("key", key));
        if (keys)
            conf_list_add(keys, key); /* without memory it is in the log alone */
    }
}

/* `keys` (may be NULL) gets what can't be changed without a restart. */
static int reload(void *ctx, struct conf_list *keys, char text[static RELAY_TEXT_MAX])
{
    struct server *s = ctx;
    struct config *c = NULL;
    struct auth *auth = NULL;
    struct conf_error e;
    unsigned changed = 0;
    int err = config_load(&c, s->argc, s->argv, environ, &e);

    text[0] = '\0';
    if (err) {
        snprintf(text, RELAY_TEXT_MAX, "%s", e.text);
    } else {
        changed = keep_changed(s->credentials, s->config, c);
        keep_swap(s->config, c, changed);
        err = take(s, c, &auth, text);
    }
    if (err) {
        LOG(LOG_ERROR, "reload_refused", LOG_STR("reason", text[0] ? text : err_str(err)));
        if (c)
            keep_swap(s->config, c, changed);
        auth_free(&auth);
        config_free(&c);
        return err;
    }
    tell_kept(changed, keys);
    auth_replace(credentials_auth(s->credentials), &auth);
    config_wipe_secrets(c);
    config_free(&s->config);
    s->config = c;
    process_warn(&c->warnings);
    LOG(LOG_INFO, "reloaded", LOG_STR("file", c->config_file));
    return 0;
}

/* ---- What the admin plane asks of the program. ---- */

static const struct config *config_in_force(void *ctx)
{
    const struct server *s = ctx;

    return s->config;
}

static int check_config(void *ctx, const char *conf, struct conf_list *warnings, char text[static RELAY_TEXT_MAX])
{
    struct server *s = ctx;
    struct config *c = NULL;
    struct conf_error e;
    int err = conf ? config_read(&c, conf, &e) : config_load(&c, s->argc, s->argv, environ, &e);

    if (err) {
        snprintf(text, RELAY_TEXT_MAX, "%s", e.text);
        return err;
    }
    struct relay_config rc = relay_config_of(c, NULL);
    err = relay_check(&rc, text);
    for (size_t i = 0; i < c->warnings.n && !err; i++)
        err = conf_list_add(warnings, c->warnings.item[i]);
    config_free(&c);
    return err;
}

static int set_log_level(void *ctx, unsigned level)
{
    struct server *s = ctx;
    struct log_config lc = log_config_of(s->config);
    int err;

    lc.level = (enum log_level)level;
    err = log_reconfigure(&lc);
    if (!err)
        s->config->log_level = level;
    return err;
}

static json_t *uris(void *ctx)
{
    const struct server *s = ctx;
    char text[128];
    json_t *list = json_array();

    uri(s, "stun", NULL, text, sizeof(text));
    json_array_append_new(list, json_string(text));
    uri(s, "turn", "udp", text, sizeof(text));
    json_array_append_new(list, json_string(text));
    uri(s, "turn", "tcp", text, sizeof(text));
    json_array_append_new(list, json_string(text));
    return list;
}

static int start_rendezvous(struct server *s, char text[static RELAY_TEXT_MAX])
{
    json_t *where = uris(s);
    int err = rendezvous_new(&s->rendezvous, s->config, s->credentials, s->relay, where, text);

    json_decref(where);
    return err;
}

static int start_plane(struct server *s, char text[static RELAY_TEXT_MAX])
{
    return plane_new(&s->plane,
                     &(struct plane_config){.base = s->base,
                                            .relay = s->relay,
                                            .credentials = s->credentials,
                                            .rendezvous = s->rendezvous,
                                            .host = {.config = config_in_force,
                                                     .reload = reload,
                                                     .check = check_config,
                                                     .log_level = set_log_level,
                                                     .uris = uris,
                                                     .ctx = s}},
                     text);
}

static void on_end(evutil_socket_t number, short what, void *ctx)
{
    struct server *s = ctx;

    (void)what;
    LOG(LOG_INFO, "stopping", LOG_STR("signal", strsignal((int)number)));
    event_base_loopbreak(s->base);
}

static void on_reload(evutil_socket_t number, short what, void *ctx)
{
    char text[RELAY_TEXT_MAX];

    (void)number, (void)what;
    reload(ctx, NULL, text);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
    struct server *s = ctx;

    (void)fd, (void)what;
    relay_look(s->relay);
}

static void on_news(void *ctx, const struct feed_news *news)
{
    struct server *s = ctx;

    credentials_news(s->credentials, news);
    plane_news(s->plane, news);
}

static void on_feed(evutil_socket_t fd, short what, void *ctx)
{
    struct server *s = ctx;

    (void)fd, (void)what;
    relay_read(s->relay, on_news, s);
}

/* What the control thread does between start and end, it does from here. */
static int open_loop(struct server *s)
{
    s->base = event_base_new();
    if (!s->base)
        return ERR_NOMEM;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    if (evsignal_assign(&s->ends[0], s->base, SIGTERM, on_end, s) || evsignal_assign(&s->ends[1], s->base, SIGINT, on_end, s) ||
        evsignal_assign(&s->reloads, s->base, SIGHUP, on_reload, s) ||
        event_assign(&s->looks, s->base, -1, EV_PERSIST, on_look, s) || evsignal_add(&s->ends[0], NULL) ||
        evsignal_add(&s->ends[1], NULL) || evsignal_add(&s->reloads, NULL))
        return ERR_NOMEM;
    return 0;
}

static void close_loop(struct server *s)
{
    if (!s->base)
        return;
    if (event_initialized(&s->reloads)) {
        evsignal_del(&s->ends[0]);
        evsignal_del(&s->ends[1]);
        evsignal_del(&s->reloads);
        evtimer_del(&s->looks);
    }
    event_base_free(s->base);
    s->base = NULL;
}

static int serve(struct server *s)
{
    struct relay_config rc = relay_config_of(s->config, credentials_auth(s->credentials));
    struct credentials_shown shown;
    char text[RELAY_TEXT_MAX];
    int err;

    process_limits();
    err = open_loop(s);
    if (err) {
        LOG(LOG_ERROR, "start_failed", LOG_ERR("reason", err));
        return STATUS_FAULT;
    }
    credentials_complete(s->credentials, &rc);
    err = relay_new(&s->relay, &rc, text);
    if (err) {
        LOG(LOG_ERROR, "start_failed", LOG_STR("reason", text));
        return err == ERR_CONFIG ? STATUS_CONFIG : STATUS_FAULT;
    }
    err = relay_start(s->relay);
    credentials_watch(s->credentials, renew, s);
    if (!err)
        err = credentials_start(s->credentials, s->base, s->relay);
    if (!err && ((err = start_rendezvous(s, text)) || (err = start_plane(s, text))))
        LOG(LOG_ERROR, "start_failed", LOG_STR("reason", text));
    if (!err) {
        process_warn(&s->config->warnings);
        log_start_lines(s);
        if (credentials_generated(s->credentials, &shown))
            print_settings(s, &shown);
        if (s->config->ready_file && (err = process_write_ready(s->config->ready_file, ready_json(s))) == 0)
            s->ready_file = strdup(s->config->ready_file);
    }
    if (!err) {
        event_assign(&s->news, s->base, relay_feed(s->relay), EV_READ | EV_PERSIST, on_feed, s);
        event_add(&s->news, NULL);
        relay_look(s->relay);
        evtimer_add(&s->looks, &(struct timeval){.tv_sec = MEMORY_LOOK_S});
        event_base_dispatch(s->base);
    }
    plane_free(&s->plane);
    rendezvous_free(&s->rendezvous);
    if (event_initialized(&s->news))
        event_del(&s->news);
    relay_stop(s->relay);
    if (s->ready_file)
        unlink(s->ready_file);
    free(s->ready_file);
    return err == ERR_CONFIG ? STATUS_CONFIG : err ? STATUS_FAULT : STATUS_OK;
}

static int check_only(struct server *s)
{
    struct auth *auth;
    struct conf_error e;
    char text[RELAY_TEXT_MAX];
    int err = config_auth(s->config, &auth, &e);

    if (err)
        return fail(STATUS_CONFIG, e.text);
    struct relay_config rc = relay_config_of(s->config, auth);
    err = relay_check(&rc, text);
    auth_free(&auth);
    if (err)
        return fail(STATUS_CONFIG, text);
    for (size_t i = 0; i < s->config->warnings.n; i++)
        fprintf(stderr, "turnpiked: warning: %s\n", s->config->warnings.item[i]);
    printf("turnpiked: the configuration is fine\n");
    return told();
}

static int start(struct server *s)
{
    struct log_config lc = log_config_of(s->config);
    char text[RELAY_TEXT_MAX];
    int status, err;

    if (s->config->check_config)
        return check_only(s);
    err = credentials_new(&s->credentials, s->config, text);
    if (err)
        return fail(err == ERR_CONFIG ? STATUS_CONFIG : STATUS_FAULT, text);
    config_wipe_secrets(s->config);
    if (process_start_log(&lc, text, sizeof(text)))
        return fail(STATUS_CONFIG, text);
    status = serve(s);
    credentials_stop(s->credentials);
    relay_free(&s->relay);
    close_loop(s);
    log_stop();
    return status;
}

int main(int argc, char **argv)
{
    struct server s = {.argc = argc, .argv = argv};
    struct conf_error e;
    int status;

    if (config_load(&s.config, argc, argv, environ, &e))
        return fail(STATUS_CONFIG, e.text);
    if (s.config->help) {
        config_help(stdout);
        status = told();
    } else if (s.config->version) {
        printf("turnpiked %s\n", PACKAGE_VERSION);
        status = told();
    } else {
        status = start(&s);
    }
    credentials_free(&s.credentials);
    config_free(&s.config);
    return status;
}
