#include "bridge/ice.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <glib.h>
#include <nice/agent.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "bridge/leg.h"
#include "bridge/pump.h"

enum {
    COMPONENT = 1, /* the only one: RTCP goes with RTP */
    /* What a closing agent asks of a relay that doesn't answer: three times within 2 s over UDP, and as long over TCP; libnice's own 40 s are too long to keep
     * sockets for. */
    CLOSE_ASKS = 3,
    CLOSE_FIRST_MS = 500,
    CLOSE_TCP_MS = 2000,
};

struct ice {
    NiceAgent *agent;
    struct pump *pump;
    guint stream;
    gchar *ufrag, *pwd;
    bool selected;
    struct ice_config config;
    const struct ice_events *events;
    void *ctx;
    struct event end; /* closing only */
    struct ice *next; /* in the yard */
};

/* ---- what libnice tells ---- */
static void on_candidate(NiceAgent *agent, NiceCandidate *candidate, gpointer ctx)
{
    struct ice *ice = ctx;
    gchar *text = nice_agent_generate_local_candidate_sdp(agent, candidate);
    if (text)
        ice->events->candidate(ice->ctx, ice, g_str_has_prefix(text, "a=") ? text + 2 : text);
    g_free(text);
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer ctx)
{
    struct ice *ice = ctx;
    (void)agent;
    (void)stream;
    ice->events->candidate(ice->ctx, ice, NULL);
}

static void name_type(char out[static 8], NiceCandidateType type)
{
    static const char *const names[] = {[NICE_CANDIDATE_TYPE_HOST] = "host",
                                        [NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE] = "srflx",
                                        [NICE_CANDIDATE_TYPE_PEER_REFLEXIVE] = "prflx",
                                        [NICE_CANDIDATE_TYPE_RELAYED] = "relay"};
    memset(out, 0, 8);
    if ((size_t)type < sizeof(names) / sizeof(names[0]))
        memcpy(out, names[type], strlen(names[type]));
}

static void on_selected(NiceAgent *agent, guint stream, guint component, NiceCandidate *local, NiceCandidate *remote, gpointer ctx)
{
    struct ice *ice = ctx;
    struct media_path path;
    (void)agent;
    (void)stream;
    (void)component;
    name_type(path.local, local->type);
    name_type(path.remote, remote->type);
    ice->selected = true;
    ice->events->selected(ice->ctx, ice, &path);
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer ctx)
{
    struct ice *ice = ctx;
    (void)agent;
    (void)stream;
    (void)component;
    if (state == NICE_COMPONENT_STATE_FAILED)
        ice->events->failed(ice->ctx, ice);
}

static void on_packet(NiceAgent *agent, guint stream, guint component, guint len, gchar *buf, gpointer ctx)
{
    struct ice *ice = ctx;
    (void)agent;
    (void)stream;
    (void)component;
    ice->events->packet(ice->ctx, (uint8_t *)buf, len);
}

/* What still comes while the agent closes. */
static void on_late(NiceAgent *agent, guint stream, guint component, guint len, gchar *buf, gpointer ctx)
{
    (void)agent;
    (void)stream;
    (void)component;
    (void)len;
    (void)buf;
    (void)ctx;
}

/* ---- begin ---- */
static int add_ips(struct ice *ice)
{
    for (size_t i = 0; i < ice->config.nips; i++) {
        char text[ADDR_TEXT_MAX];
        NiceAddress a;
        nice_address_init(&a);
        if (!nice_address_set_from_string(&a, addr_ip_text(&ice->config.ips[i], text)) ||
            !nice_agent_add_local_address(ice->agent, &a))
            return ERR_IO;
    }
    return 0;
}

static void connect_signals(struct ice *ice)
{
    g_signal_connect(ice->agent, "new-candidate-full", G_CALLBACK(on_candidate), ice);
    g_signal_connect(ice->agent, "candidate-gathering-done", G_CALLBACK(on_gathered), ice);
    g_signal_connect(ice->agent, "new-selected-pair-full", G_CALLBACK(on_selected), ice);
    g_signal_connect(ice->agent, "component-state-changed", G_CALLBACK(on_state), ice);
}

int ice_new(struct ice **out, const struct ice_config *config, const struct ice_events *events, void *ctx)
{
    struct ice *ice = NULL;
    int err = ERR_NOSPC;

    if (config->yard->n >= ICE_CLOSING_MAX)
        goto out;
    err = ERR_NOMEM;
    ice = calloc(1, sizeof(*ice));
    if (!ice)
        goto out;
    ice->config = *config;
    ice->events = events;
    ice->ctx = ctx;
    err = pump_new(&ice->pump, config->base);
    if (err)
        goto out;
    err = ERR_IO;
    /* Regular nomination is the controlling side's, which is the browser; libnice wants to know all the same. */
    ice->agent = nice_agent_new_full(pump_context(ice->pump), NICE_COMPATIBILITY_RFC5245,
                                     NICE_AGENT_OPTION_REGULAR_NOMINATION | NICE_AGENT_OPTION_ICE_TRICKLE |
                                         NICE_AGENT_OPTION_CONSENT_FRESHNESS);
    if (!ice->agent)
        goto out;
    g_object_set(ice->agent, "controlling-mode", FALSE, "upnp", FALSE, "ice-tcp", FALSE, "force-relay",
                 (gboolean)config->force_relay, NULL);
    err = add_ips(ice);
    if (err)
        goto out;
    err = ERR_IO;
    connect_signals(ice);
    ice->stream = nice_agent_add_stream(ice->agent, COMPONENT);
    if (!ice->stream || !nice_agent_get_local_credentials(ice->agent, ice->stream, &ice->ufrag, &ice->pwd) ||
        !nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, pump_context(ice->pump), on_packet, ice))
        goto out;
    nice_agent_set_stream_tos(ice->agent, ice->stream, LEG_TOS);
    err = 0;
out:
    if (err)
        ice_close(&ice);
    *out = ice;
    return err;
}

/* ---- end ---- */
static void destroy(struct ice *ice)
{
    if (ice->agent)
        g_object_unref(ice->agent);
    pump_free(&ice->pump);
    g_free(ice->ufrag);
    g_free(ice->pwd);
    free(ice);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
    struct ice *ice = ctx, **at = &ice->config.yard->closing;
    (void)fd;
    (void)what;
    event_del(&ice->end);
    while (*at != ice)
        at = &(*at)->next;
    *at = ice->next;
    ice->config.yard->n--;
    destroy(ice);
}

/* The agent's sockets live until here: what libnice has begun, it must end, or its task keeps the agent for ever. */
static void on_closed(GObject *agent, GAsyncResult *result, gpointer ctx)
{
    struct ice *ice = ctx;
    (void)agent;
    (void)result;
    /* Not from within libnice's own call. */
    event_active(&ice->end, EV_TIMEOUT, 1);
}

void ice_close(struct ice **slot)
{
    struct ice *ice = *slot;

    *slot = NULL;
    if (!ice)
        return;
    if (!ice->stream) {
        destroy(ice);
        return;
    }
    g_signal_handlers_disconnect_by_data(ice->agent, ice);
    /* With nobody to take them, libnice leaves datagrams in their sockets, and the loop turns for as long as there are some. */
    nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, pump_context(ice->pump), on_late, NULL);
    ice->next = ice->config.yard->closing;
    ice->config.yard->closing = ice;
    ice->config.yard->n++;
    evtimer_assign(&ice->end, ice->config.base, on_end, ice);
    g_object_set(ice->agent, "stun-max-retransmissions", (guint)CLOSE_ASKS, "stun-initial-timeout", (guint)CLOSE_FIRST_MS,
                 "stun-reliable-timeout", (guint)CLOSE_TCP_MS, NULL);
    /* The end is told in the context that is the thread's default now, and GLib's own is one that nobody runs. */
    g_main_context_push_thread_default(pump_context(ice->pump));
    nice_agent_close_async(ice->agent, on_closed, ice);
    g_main_context_pop_thread_default(pump_context(ice->pump));
}

void ice_yard_clear(struct ice_yard *yard)
{
    while (yard->closing) {
        struct ice *ice = yard->closing;
        yard->closing = ice->next;
        event_del(&ice->end);
        destroy(ice);
    }
    yard->n = 0;
}

/* ---- the other side ---- */
const char *ice_ufrag(const struct ice *ice)
{
    return ice->ufrag;
}

const char *ice_pwd(const struct ice *ice)
{
    return ice->pwd;
}

int ice_remote(struct ice *ice, const char *ufrag, const char *pwd)
{
    return nice_agent_set_remote_credentials(ice->agent, ice->stream, ufrag, pwd) ? 0 : ERR_INVAL;
}

int ice_remote_candidate(struct ice *ice, const char *candidate)
{
    char line[SDP_CANDIDATE_MAX + 2];
    NiceCandidate *c;
    GSList *list;
    int n, err = 0;

    /* A name of mDNS is for the browser's own network, which we aren't in. */
    if (strstr(candidate, ".local ") || strlen(candidate) + 3 > sizeof(line))
        return 0;
    g_snprintf(line, sizeof(line), "a=%s", candidate);
    c = nice_agent_parse_remote_candidate_sdp(ice->agent, ice->stream, line);
    if (!c)
        return strstr(candidate, " tcptype ") ? 0 : ERR_MALFORMED;
    if (c->component_id == COMPONENT && c->transport == NICE_CANDIDATE_TRANSPORT_UDP) {
        list = g_slist_append(NULL, c);
        n = nice_agent_set_remote_candidates(ice->agent, ice->stream, COMPONENT, list);
        g_slist_free(list);
        err = n < 0 ? ERR_NOSPC : 0;
    }
    nice_candidate_free(c);
    return err;
}

void ice_remote_done(struct ice *ice)
{
    nice_agent_peer_candidate_gathering_done(ice->agent, ice->stream);
}

/* ---- our side ---- */
static void use_server(struct ice *ice, const struct server *s)
{
    char ip[ADDR_TEXT_MAX];
    addr_ip_text(&s->addr, ip);
    if (s->kind == SERVER_STUN)
        g_object_set(ice->agent, "stun-server", ip, "stun-server-port", (guint)s->addr.port, NULL);
    else
        nice_agent_set_relay_info(ice->agent, ice->stream, COMPONENT, ip, s->addr.port, s->username, s->password,
                                  s->kind == SERVER_TURN_TCP ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP);
}

int ice_gather(struct ice *ice, const struct servers *servers)
{
    const struct server *s;
    for (size_t i = 0; (s = servers_at(servers, i)) != NULL; i++)
        use_server(ice, s);
    return nice_agent_gather_candidates(ice->agent, ice->stream) ? 0 : ERR_IO;
}

int ice_send(struct ice *ice, const uint8_t *buf, size_t len)
{
    if (!ice->selected)
        return ERR_NOTCONN;
    return nice_agent_send(ice->agent, ice->stream, COMPONENT, (guint)len, (const gchar *)buf) == (gint)len ? 0 : ERR_AGAIN;
}
