#include "bridge/bridge.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "bridge/icelist.h"
#include "bridge/route.h"
#include "connect/client.h"

enum {
    TICK_US = 1000000 / CALLS_TICKS_S,
    EXPIRES_S = 300,  /* of registrations */
    ASK_AGAIN_S = 10, /* for ICE servers that could not be had */
};

struct bridge {
    struct bridge_config config;
    struct addr rtp_ip;
    struct call_ends ends;
    struct calls *calls;
    struct connect_client *client;
    struct media_hub *hub;
    struct sip *sip;
    struct event ticks, wakes, asks;
    unsigned nticks;
    bool connected, ready, stopped;
    uint64_t connected_ms;  /* since when */
    struct icelist servers; /* the newest */
};

/* ---- ICE servers: with the hello, and again before their credentials end. ---- */

static void ask_later(struct bridge *b, unsigned s)
{
    evtimer_add(&b->asks, &(struct timeval){.tv_sec = s});
}

static int take_servers(struct bridge *b, const json_t *ice)
{
    struct icelist servers;
    int err = icelist_read(&servers, ice);

    if (!err)
        err = media_hub_servers(b->hub, servers.server, servers.n);
    if (!err) {
        calls_set_relay(b->calls, servers.relay);
        b->servers = servers;
        LOG(LOG_INFO, "ice_servers", LOG_INT("count", servers.n), LOG_STR("relay", servers.relay), LOG_INT("ttl", servers.ttl_s));
    } else {
        LOG(LOG_WARNING, "ice_servers_failed", LOG_ERR("reason", err));
    }
    if (err)
        ask_later(b, ASK_AGAIN_S);
    else if (servers.ttl_s)
        ask_later(b, servers.ttl_s / 2 > ASK_AGAIN_S ? servers.ttl_s / 2 : ASK_AGAIN_S);
    explicit_bzero(&servers, sizeof(servers));
    return err;
}

static void on_servers(void *ctx, const json_t *result, const json_t *error)
{
    struct bridge *b = ctx;

    if (result) {
        take_servers(b, result);
        return;
    }
    if (error)
        LOG(LOG_WARNING, "ice_servers_failed", LOG_STR("reason", json_string_value(json_object_get(error, "message"))));
    ask_later(b, ASK_AGAIN_S);
}

static void on_ask(evutil_socket_t fd, short what, void *ctx)
{
    struct bridge *b = ctx;

    (void)fd, (void)what;
    if (connect_client_request(b->client, "ice.servers", json_object(), on_servers, b))
        ask_later(b, ASK_AGAIN_S);
}

/* ---- The connect service. ---- */

static void session_lost(struct bridge *b, const char *why)
{
    calls_lost(b->calls, why);
    if (b->config.lost)
        b->config.lost(b->config.ctx);
}

static void on_up(void *ctx, const json_t *hello, bool resumed)
{
    struct bridge *b = ctx;

    LOG(LOG_INFO, "connected", LOG_STR("session", calls_text(hello, "session")), LOG_STR("tenant", calls_text(hello, "tenant")),
        LOG_INT("resumed", resumed));
    b->connected = true;
    b->connected_ms = clock_now().ms;
    calls_set_connected(b->calls, true);
    if (!resumed)
        session_lost(b, "the session was not resumed");
    else
        calls_resumed(b->calls, json_object_get(hello, "calls"));
    calls_forget_status(b->calls);
    evtimer_del(&b->asks);
    take_servers(b, json_object_get(hello, "ice"));
    event_active(&b->wakes, EV_TIMEOUT, 0);
}

static void on_down(void *ctx, const char *why, bool lost)
{
    struct bridge *b = ctx;

    LOG(LOG_WARNING, "not_connected", LOG_STR("reason", why), LOG_INT("lost", lost));
    b->connected = false;
    calls_set_connected(b->calls, false);
    if (lost)
        session_lost(b, why);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    struct bridge *b = ctx;

    if (b->stopped || (b->config.message && b->config.message(b->config.ctx, method, params)))
        return;
    calls_message(b->calls, method, params);
}

static bool is_others(void *ctx, const char *id)
{
    const struct bridge *b = ctx;

    return b->config.has_call && b->config.has_call(b->config.ctx, id);
}

/* ---- The loop. ---- */

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct bridge *b = ctx;

    (void)fd, (void)what;
    calls_tick(b->calls);
    if (++b->nticks % CALLS_TICKS_S == 0 && b->connected && !b->stopped)
        calls_tell_status(b->calls);
}

static void wake(void *ctx)
{
    struct bridge *b = ctx;

    event_active(&b->wakes, EV_TIMEOUT, 0);
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct bridge *b = ctx;

    (void)fd, (void)what;
    calls_reap(b->calls);
    if (b->ready || !b->connected || !calls_lines_answered(b->calls))
        return;
    b->ready = true;
    if (b->config.ready)
        b->config.ready(b->config.ctx);
}

/* ---- Start and stop. ---- */

static const struct call_ends REAL = {
    .request = connect_client_request,
    .notify = connect_client_notify,
    .media_new = media_new,
    .media_free = media_free,
    .media_offer = media_offer,
    .media_candidate = media_candidate,
    .media_pbx_offer = media_pbx_offer,
    .media_pbx_answer = media_pbx_answer,
    .media_pbx_offered = media_pbx_offered,
    .media_dtmf = media_dtmf,
    .media_read = media_read,
    .sip_invite = sip_invite,
    .sip_set_ctx = sip_set_ctx,
    .sip_ring = sip_ring,
    .sip_answer = sip_answer,
    .sip_refuse = sip_refuse,
    .sip_reinvite = sip_reinvite,
    .sip_info_digit = sip_info_digit,
    .sip_hangup = sip_hangup,
    .now = clock_now,
    .wake = wake,
    .is_others = is_others,
};

static int open_calls(struct bridge *b)
{
    b->ends = REAL;
    b->ends.ctx = b;
    if (event_assign(&b->ticks, b->config.base, -1, EV_PERSIST, on_tick, b) ||
        event_assign(&b->wakes, b->config.base, -1, 0, on_wake, b) || event_assign(&b->asks, b->config.base, -1, 0, on_ask, b) ||
        evtimer_add(&b->ticks, &(struct timeval){.tv_usec = TICK_US}))
        return ERR_NOMEM;
    return calls_new(&b->calls, &(struct calls_config){.lines = b->config.lines,
                                                       .nlines = b->config.nlines,
                                                       .version = b->config.version,
                                                       .ring_s = b->config.ring_s,
                                                       .ends = &b->ends});
}

/* What is not this host's would be found out by each call alone. */
static int check_own(const char *key, const struct addr *ip, char text[static BRIDGE_TEXT_MAX])
{
    char ip_text[ADDR_TEXT_MAX];
    int err = ip->family == ADDR_NONE ? 0 : route_own(ip);

    if (!err)
        return 0;
    snprintf(text, BRIDGE_TEXT_MAX, "%s=%s is no address of this host: %s", key, addr_ip_text(ip, ip_text), err_str(err));
    return ERR_CONFIG;
}

static int open_media(struct bridge *b, const struct addr *local, char text[static BRIDGE_TEXT_MAX])
{
    int err = check_own("rtp-ip", &b->config.rtp_ip, text);

    for (size_t i = 0; i < b->config.nice_ips && !err; i++)
        err = check_own("ice-ip", &b->config.ice_ips[i], text);
    if (err)
        return err;
    b->rtp_ip = b->config.rtp_ip.family == ADDR_NONE ? *local : b->config.rtp_ip;
    err = media_hub_new(&b->hub, &(struct media_hub_config){.base = b->config.base,
                                                            .rtp_ip = b->rtp_ip,
                                                            .rtp_min = b->config.rtp_min,
                                                            .rtp_max = b->config.rtp_max,
                                                            .force_relay = b->config.force_relay,
                                                            .ice_ips = b->config.ice_ips,
                                                            .nice_ips = b->config.nice_ips});
    if (err)
        snprintf(text, BRIDGE_TEXT_MAX, "media can't be opened: %s", err_str(err));
    b->ends.hub = b->hub;
    return err;
}

static int open_sip(struct bridge *b, const struct addr *local, char text[static BRIDGE_TEXT_MAX])
{
    char why[SIP_TEXT_MAX] = "";
    int err = sip_new(&b->sip,
                      &(struct sip_config){.base = b->config.base,
                                           .local = b->config.sip_listen.family == ADDR_NONE ? *local : b->config.sip_listen,
                                           .tcp = b->config.tcp,
                                           .registrar = b->config.registrar,
                                           .domain = b->config.domain,
                                           .lines = b->config.lines,
                                           .nlines = b->config.nlines,
                                           .expires_s = EXPIRES_S,
                                           .ring_s = b->config.ring_s},
                      calls_sip_events(), b->calls, why);

    if (err)
        snprintf(text, BRIDGE_TEXT_MAX, "SIP can't be opened: %s", why[0] ? why : err_str(err));
    b->ends.sip = b->sip;
    return err;
}

static int open_client(struct bridge *b, char text[static BRIDGE_TEXT_MAX])
{
    static const struct connect_client_events events = {.up = on_up, .down = on_down, .message = on_message};
    char why[CONNECT_CLIENT_TEXT_MAX] = "";
    int err = connect_client_new(&b->client,
                                 &(struct connect_client_config){.base = b->config.base,
                                                                 .url = b->config.connect_url,
                                                                 .ca_file = b->config.connect_ca,
                                                                 .proxy = b->config.connect_proxy,
                                                                 .role = "bridge",
                                                                 .name = b->config.name,
                                                                 .username = b->config.username,
                                                                 .password = b->config.password},
                                 &events, b, why);

    if (err)
        snprintf(text, BRIDGE_TEXT_MAX, "connect-url: %s", why[0] ? why : err_str(err));
    b->ends.client = b->client;
    return err;
}

/* The address that the PBX is reached from, where it is needed. */
static int find_local(const struct bridge_config *config, struct addr *local, char text[static BRIDGE_TEXT_MAX])
{
    int err;

    *local = (struct addr){0};
    if (config->rtp_ip.family != ADDR_NONE && config->sip_listen.family != ADDR_NONE)
        return 0;
    err = route_from(local, config->registrar);
    if (err)
        snprintf(text, BRIDGE_TEXT_MAX, "sip-registrar %.200s: %s", config->registrar,
                 err == ERR_NOENT   ? "there is no host of this name"
                 : err == ERR_INVAL ? "write HOST or HOST:PORT"
                                    : err_str(err));
    return err;
}

int bridge_new(struct bridge **out, const struct bridge_config *config, char text[static BRIDGE_TEXT_MAX])
{
    struct bridge *b = calloc(1, sizeof(*b));
    struct addr local;
    int err = b ? find_local(config, &local, text) : ERR_NOMEM;

    if (b)
        b->config = *config;
    if (!err)
        err = open_calls(b);
    if (!err)
        err = open_media(b, &local, text);
    if (!err)
        err = open_sip(b, &local, text);
    if (!err)
        err = open_client(b, text);
    if (err)
        bridge_free(&b);
    else
        *out = b;
    return err;
}

uint64_t bridge_stop(struct bridge *b)
{
    struct calls_counts counts;

    calls_read(b->calls, &counts);
    b->stopped = true;
    calls_end(b->calls, "shutdown");
    return counts.now[CALLS_RINGING] + counts.now[CALLS_CONNECTING] + counts.now[CALLS_TALKING];
}

void bridge_free(struct bridge **b)
{
    if (!*b)
        return;
    connect_client_free(&(*b)->client);
    if ((*b)->calls)
        calls_lost((*b)->calls, "stopped"); /* no handle is left that SIP frees */
    sip_free(&(*b)->sip);
    calls_free(&(*b)->calls); /* its media before their hub */
    media_hub_free(&(*b)->hub);
    if (event_initialized(&(*b)->ticks)) {
        event_del(&(*b)->ticks);
        event_del(&(*b)->wakes);
        event_del(&(*b)->asks);
    }
    explicit_bzero(&(*b)->servers, sizeof((*b)->servers));
    free(*b);
    *b = NULL;
}

const struct calls *bridge_calls(const struct bridge *b)
{
    return b->calls;
}

bool bridge_connected(const struct bridge *b)
{
    return b->connected;
}

unsigned bridge_connected_s(const struct bridge *b)
{
    return b->connected ? (unsigned)((clock_now().ms - b->connected_ms) / 1000) : 0;
}

bool bridge_relay(const struct bridge *b, struct bridge_relay *out)
{
    const struct media_server *server = &b->servers.server[b->servers.turn];

    *out = (struct bridge_relay){b->servers.relay, server->username, server->password};
    return b->servers.relay[0] != '\0';
}

int bridge_notify(struct bridge *b, const char *method, json_t *params)
{
    return connect_client_notify(b->client, method, params);
}

struct addr bridge_sip_address(const struct bridge *b)
{
    return sip_address(b->sip);
}

struct addr bridge_rtp_ip(const struct bridge *b)
{
    return b->rtp_ip;
}
