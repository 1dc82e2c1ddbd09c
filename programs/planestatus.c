#include <config.h> /* the build's; not programs/config.h */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/fleet.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/planeparts.h"

enum {
    DEADLINE_MAX_S = 30 * 86400, /* of a drain: a month */
};

static const struct config *config_of(const struct plane *p)
{
    return p->config.host.config(p->config.host.ctx);
}

/* ---- Ready? ---- */

static void add_reason(json_t *reasons, const char *what, const char *why)
{
    json_array_append_new(reasons, json_sprintf("%s: %s", what, why));
}

json_t *planestatus_reasons(const struct plane *p)
{
    json_t *reasons = json_array();
    const char *why = credentials_why_not(p->config.credentials);
    int64_t now = clock_now().wall;

    if (why)
        add_reason(reasons, credentials_redis(p->config.credentials) ? "redis" : "store", why);
    if (relay_hung(p->config.relay))
        add_reason(reasons, "workers", "at least one hangs, and the calls on it with it");
    if (relay_memory_short(p->config.relay))
        add_reason(reasons, "memory", "it is nearly used up, new allocations are refused");
    if (p->certificate_until && p->certificate_until <= now)
        add_reason(reasons, "certificate", "it has expired: put a new one in place, and reload");
    if (p->connect_until && p->connect_until <= now)
        add_reason(reasons, "connect certificate", "it has expired: put a new one in place, and reload");
    if (auth_draining(credentials_auth(p->config.credentials)))
        add_reason(reasons, "draining", "new allocations are sent elsewhere, on request");
    return reasons;
}

void planestatus_ready(void *ctx, struct admin_call *call)
{
    json_t *reasons = planestatus_reasons(ctx);
    bool ready = json_array_size(reasons) == 0;

    admin_answer_json(&call->answer, ready ? 200 : 503, json_pack("{s:b,s:o}", "ready", ready, "reasons", reasons));
    call->answer.text_type = "application/json"; /* no problem, whatever its status */
    admin_done(&call);
}

/* ---- Status. ---- */

static json_t *listeners_json(const struct relay *r)
{
    struct relay_listener listeners[RELAY_LISTENERS_MAX * 2];
    size_t n = relay_listeners(r, listeners);
    json_t *list = json_array();
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:i}", "transport", listeners[i].transport, "address",
                                              addr_ip_text(&listeners[i].addr, text), "port", (int)listeners[i].addr.port));
    return list;
}

static json_t *relays_json(const struct relay *r)
{
    const struct ports *p = relay_ports(r);
    json_t *list = json_array();
    char local[ADDR_TEXT_MAX], advertised[ADDR_TEXT_MAX];

    for (size_t i = 0; i < ports_count(p); i++) {
        const struct relay_address *a = ports_address(p, (unsigned)i);

        json_array_append_new(list, json_pack("{s:s,s:s}", "address", addr_ip_text(&a->local, local), "advertised",
                                              addr_ip_text(&a->advertised, advertised)));
    }
    return list;
}

static json_int_t total(const struct relay *r, enum counter first, enum counter last)
{
    uint64_t n = 0;

    for (enum counter i = first; i <= last; i++)
        n += relay_count(r, i);
    return (json_int_t)n;
}

static json_t *traffic_json(const struct relay *r)
{
    json_t *paths = json_object();

    for (int i = 0; i < COUNT_PATHS; i++) {
        enum count_path path = (enum count_path)i;

        json_object_set_new(paths, count_path_name(path),
                            json_pack("{s:I,s:I,s:I,s:I}", "packets_up", (json_int_t)relay_relayed(r, path, COUNT_PACKETS_UP),
                                      "bytes_up", (json_int_t)relay_relayed(r, path, COUNT_BYTES_UP), "packets_down",
                                      (json_int_t)relay_relayed(r, path, COUNT_PACKETS_DOWN), "bytes_down",
                                      (json_int_t)relay_relayed(r, path, COUNT_BYTES_DOWN)));
    }
    return paths;
}

static json_t *number_or_null(int64_t n)
{
    return n ? json_integer(n) : json_null();
}

static json_t *allocations_json(const struct plane *p)
{
    struct auth_load load;

    auth_quota_load(credentials_auth(p->config.credentials), &load);
    return json_pack("{s:I,s:o,s:I,s:I,s:I}", "active", (json_int_t)load.total, "limit", number_or_null((int64_t)load.total_limit),
                     "created", (json_int_t)relay_count(p->config.relay, COUNT_ALLOCATIONS_CREATED), "deleted",
                     (json_int_t)relay_count(p->config.relay, COUNT_ALLOCATIONS_DELETED), "refused",
                     total(p->config.relay, REFUSED_USER_QUOTA, REFUSED_DRAINING));
}

static json_t *store_json(const struct plane *p)
{
    const char *why = credentials_why_not(p->config.credentials);

    return json_pack("{s:s,s:b,s:s?}", "kind", credentials_redis(p->config.credentials) ? "redis" : "embedded", "ready", !why,
                     "reason", why);
}

/* The connect service; null: there is none. */
static json_t *connect_json(const struct plane *p)
{
    struct addr a = rendezvous_address(p->config.rendezvous, false), app = rendezvous_address(p->config.rendezvous, true);
    struct connect_counts n;
    char where[ADDR_TEXT_MAX], page[ADDR_TEXT_MAX];

    if (!p->config.rendezvous)
        return json_null();
    rendezvous_read(p->config.rendezvous, &n);
    return json_pack("{s:s?,s:s?,s:I,s:I,s:I,s:I,s:o}", "listen", a.family == ADDR_NONE ? NULL : addr_text(&a, where), "app_listen",
                     app.family == ADDR_NONE ? NULL : addr_text(&app, page), "connections", (json_int_t)n.connections, "phones",
                     (json_int_t)n.desk.phones, "bridges", (json_int_t)n.desk.bridges, "calls", (json_int_t)n.desk.calls,
                     "certificate",
                     p->connect_until ? json_pack("{s:I}", "expires_at", (json_int_t)p->connect_until) : json_null());
}

/* Who asks, and what he may do: a page then offers nothing else. */
static json_t *caller_json(const struct admin_request *r)
{
    json_t *roles = json_array();

    for (const char *t = r->roles; *t; t += strcspn(t, ","), t += *t == ',')
        json_array_append_new(roles, json_stringn(t, strcspn(t, ",")));
    return json_pack("{s:s,s:o}", "name", r->caller, "roles", roles);
}

void planestatus_get(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    const struct config *c = config_of(p);
    json_t *reasons = planestatus_reasons(p), *body;
    struct now now = clock_now();

    body = json_pack("{s:s,s:s,s:i,s:I,s:I,s:I,s:s,s:b,s:o}", "version", PACKAGE_VERSION, "node", c->node_id, "pid", (int)getpid(),
                     "started_at", (json_int_t)p->started, "uptime_s", (json_int_t)(now.wall - p->started), "now_ms",
                     (json_int_t)now.ms, "realm", auth_realm(credentials_auth(p->config.credentials)), "ready",
                     json_array_size(reasons) == 0, "reasons", reasons);
    json_object_update_new(
        body, json_pack("{s:b,s:o,s:I,s:s,s:{s:s},s:o,s:o,s:b}", "draining", auth_draining(credentials_auth(p->config.credentials)),
                        "drain_deadline_at", number_or_null(p->drain_deadline), "workers",
                        (json_int_t)relay_workers(p->config.relay), "log_level", log_level_name((enum log_level)c->log_level),
                        "offload", "mode", "off", "store", store_json(p), "certificate",
                        p->certificate_until ? json_pack("{s:I}", "expires_at", (json_int_t)p->certificate_until) : json_null(),
                        "memory_short", relay_memory_short(p->config.relay)));
    json_object_set_new(body, "caller", caller_json(&call->request));
    json_object_set_new(body, "connect", connect_json(p));
    json_object_update_new(body, json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I}", "listeners", listeners_json(p->config.relay),
                                           "relays", relays_json(p->config.relay), "urls", p->config.host.uris(p->config.host.ctx),
                                           "allocations", allocations_json(p), "traffic", traffic_json(p->config.relay), "drops",
                                           total(p->config.relay, DROP_NOT_STUN, COUNTERS_N - 1), "auth_failures",
                                           total(p->config.relay, COUNT_AUTH_FAILURES, COUNT_AUTH_FAILURES + COUNT_FAILURES - 1),
                                           "nodes", (json_int_t)credentials_nodes(p->config.credentials)));
    admin_answer_json(&call->answer, 200, body);
    admin_done(&call);
}

/* ---- Nodes and draining. Where there is a Redis, all of them are told by it. ---- */

void planestatus_nodes(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    bool draining = auth_draining(credentials_auth(p->config.credentials));
    const struct ports *ports = relay_ports(p->config.relay);
    struct auth_load load;
    uint64_t capacity;

    if (credentials_redis(p->config.credentials)) {
        storethread_call(p->store, call, NULL, NULL);
        return;
    }
    auth_quota_load(credentials_auth(p->config.credentials), &load);
    capacity = (uint64_t)(ports_max(ports) - ports_min(ports) + 1) * ports_spaces(ports);
    if (load.total_limit && load.total_limit < capacity)
        capacity = load.total_limit;
    admin_answer_page(&call->request,
                      json_pack("[{s:s,s:s,s:s,s:I,s:f,s:I,s:I,s:o}]", "id", config_of(p)->node_id, "state",
                                draining                 ? "draining"
                                : load.total >= capacity ? "full"
                                                         : "serving",
                                "version", PACKAGE_VERSION, "started_at", (json_int_t)p->started, "load",
                                (double)load.total / (double)(capacity ? capacity : 1), "capacity", (json_int_t)capacity,
                                "allocations", (json_int_t)load.total, "addresses", p->config.host.uris(p->config.host.ctx)),
                      &call->answer);
    admin_done(&call);
}

static void tell_drain(const struct plane *p, bool on)
{
    LOG(LOG_WARNING, on ? "draining" : "drain_ended", LOG_STR("node", config_of(p)->node_id),
        LOG_INT("deadline", p->drain_deadline));
    admin_tell(p->admin, "drain", json_pack("{s:s,s:b}", "node", config_of(p)->node_id, "draining", on));
}

/* Is it about this node? Then *node is its id. False: it is answered. */
static bool which(const struct plane *p, struct admin_call *call, const char **node, bool *own)
{
    if (!admin_text(&call->request, "node", FLEET_ID_MAX, node, &call->answer))
        return false;
    *own = !*node || strcmp(*node, config_of(p)->node_id) == 0;
    *node = config_of(p)->node_id;
    return true;
}

void planestatus_drain(void *ctx, struct admin_call *call)
{
    struct plane *p = ctx;
    const char *node;
    int64_t seconds;
    bool own;

    if (!admin_only(&call->request, "deadline_s node", &call->answer) ||
        !admin_number(&call->request, "deadline_s", 0, DEADLINE_MAX_S, -1, &seconds, &call->answer) ||
        !which(p, call, &node, &own)) {
        admin_done(&call);
        return;
    }
    if (!own) {
        storethread_call(p->store, call, NULL, NULL);
        return;
    }
    p->drain_deadline = seconds < 0 ? 0 : call->request.now + seconds;
    p->drain_until_ms = clock_now().ms + (uint64_t)(seconds < 0 ? 0 : seconds) * 1000;
    credentials_drain(p->config.credentials, true);
    tell_drain(p, true);
    admin_answer_json(&call->answer, 202,
                      json_pack("{s:s,s:b,s:o}", "node", node, "draining", 1, "deadline_at", number_or_null(p->drain_deadline)));
    admin_done(&call);
}

void planestatus_end_drain(void *ctx, struct admin_call *call)
{
    struct plane *p = ctx;
    const char *node;
    bool own, was;

    if (!which(p, call, &node, &own)) {
        admin_done(&call);
        return;
    }
    if (own) {
        was = auth_drains(credentials_auth(p->config.credentials));
        p->drain_deadline = 0;
        credentials_drain(p->config.credentials, false);
        if (was)
            tell_drain(p, false);
    }
    if (!own || credentials_redis(p->config.credentials)) { /* somebody may have wished it there, too */
        storethread_call(p->store, call, NULL, NULL);
        return;
    }
    admin_answer_json(&call->answer, 200, json_pack("{s:s,s:b}", "node", node, "draining", 0));
    admin_done(&call);
}

/* A fault that begins or ends is told once. */
static void look_at(struct plane *p, bool *was, bool is, const char *what, const char *reason)
{
    if (*was == is)
        return;
    *was = is;
    admin_tell(p->admin, "fault", json_pack("{s:s+,s:s}", "what", what, is ? "" : "_over", "reason", is ? reason : ""));
}

void planestatus_look(struct plane *p)
{
    int64_t now = clock_now().wall;

    look_at(p, &p->told_hung, relay_hung(p->config.relay) > 0, "worker_hangs",
            "a worker does not answer, and the calls on it stand still");
    look_at(p, &p->told_memory, relay_memory_short(p->config.relay), "memory_short", "new allocations are refused");
    look_at(p, &p->told_certificate, p->certificate_until && p->certificate_until <= now, "certificate_expired",
            "clients refuse it");
    if (!p->drain_deadline || clock_now().ms < p->drain_until_ms)
        return;
    if (relay_end_all(p->config.relay, "the deadline of the drain has passed"))
        return; /* no memory: again in a second */
    LOG(LOG_WARNING, "drain_deadline", LOG_STR("effect", "what still lived was closed"));
    p->drain_deadline = 0;
}
