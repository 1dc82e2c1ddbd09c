#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "connect/params.h"
#include "connect/probes.h"
#include "programs/planeparts.h"

static const struct timeval NEWS_EVERY = {.tv_usec = 250000}; /* while one goes on: who watches sees each rule */

static struct probes *probes_of(const struct plane *p)
{
    return rendezvous_probes(p->config.rendezvous);
}

/* ---- What has come of them. ---- */

static void on_news(evutil_socket_t fd, short what, void *ctx)
{
    struct plane *p = ctx;
    bool running;
    json_t *news = probes_news(probes_of(p), &running), *one;
    size_t i;

    (void)fd, (void)what;
    json_array_foreach(news, i, one)
    {
        if (strcmp(params_text(one, "what"), "done") == 0)
            LOG(LOG_INFO, "probe_done", LOG_STR("probe", params_text(one, "id")), LOG_STR("bridge", params_text(one, "bridge")),
                LOG_STR("state", params_text(one, "state")), LOG_STR("verdict", params_text(one, "verdict")),
                LOG_STR("error", params_text(one, "error")));
        admin_tell(p->admin, "probe", json_incref(one));
    }
    json_decref(news);
    if (running)
        event_add(&p->probed, &NEWS_EVERY);
}

int planeprobes_open(struct plane *p)
{
    return event_assign(&p->probed, p->config.base, -1, 0, on_news, p) ? ERR_NOMEM : 0;
}

void planeprobes_close(struct plane *p)
{
    if (event_initialized(&p->probed))
        event_del(&p->probed);
}

/* ---- The list, and one of them. ---- */

void planeprobes_list(void *ctx, struct admin_call *call)
{
    struct probes *probes = probes_of(ctx);

    admin_answer_page(&call->request, probes ? probes_list(probes) : json_array(), &call->answer);
    admin_done(&call);
}

/* Its report is kept as text. NULL: there is none. */
static json_t *probe_json(struct probes *probes, const char *id)
{
    json_t *o = probes ? probes_get(probes, id) : NULL;
    const char *text = json_string_value(json_object_get(o, "report"));

    if (text)
        json_object_set_new(o, "report", json_loads(text, 0, NULL));
    return o;
}

void planeprobes_get(void *ctx, struct admin_call *call)
{
    json_t *o = probe_json(probes_of(ctx), call->request.id);

    if (o)
        admin_answer_json(&call->answer, 200, o);
    else
        admin_answer_problem(&call->answer, 404,
                             "there is no such check: the newest of each bridge and %d more are kept, until this process ends",
                             PROBES_KEPT);
    admin_done(&call);
}

/* ---- A new one. ---- */

static bool is_connected(const json_t *bridge)
{
    return json_is_true(json_object_get(bridge, "connected"));
}

/* The one that is named. NULL: it is answered. */
static const json_t *named(const json_t *bridges, const char *id, struct admin_answer *a)
{
    const json_t *bridge, *found = NULL;
    size_t i;

    json_array_foreach(bridges, i, bridge)
    {
        if (strcmp(params_text(bridge, "id"), id) == 0)
            found = bridge;
    }
    if (!found)
        admin_answer_problem(a, 404, "bridge: there is none with this id: GET /api/v1/bridges lists those that there are");
    else if (!is_connected(found))
        admin_answer_problem(a, 409, "this bridge has lost its connection: try again when it is back");
    return found && is_connected(found) ? found : NULL;
}

/* The only one that is connected. NULL: it is answered, and those to choose from are in the answer, as far as it has room. */
static const json_t *only(const json_t *bridges, struct admin_answer *a)
{
    const json_t *bridge, *found = NULL;
    char ids[ADMIN_DETAIL_MAX / 2] = "";
    size_t i, n = 0, len = 0;

    json_array_foreach(bridges, i, bridge)
    {
        if (!is_connected(bridge))
            continue;
        found = bridge;
        n++;
        if (len + PROBES_ID_MAX + 2 < sizeof(ids))
            len += (size_t)snprintf(ids + len, sizeof(ids) - len, "%s%s", len ? ", " : "", params_text(bridge, "id"));
    }
    if (!n)
        admin_answer_problem(a, 409,
                             "no bridge is connected: start turnpike-bridge; if it runs, its log (event=not_connected) says why");
    else if (n > 1)
        admin_answer_problem(a, 422, "bridge: %zu are connected, one of them is to be named: %s", n, ids);
    return n == 1 ? found : NULL;
}

static void begin(struct plane *p, const json_t *bridge, bool quick, struct admin_answer *a)
{
    const struct probes_config config = {params_text(bridge, "id"), params_text(bridge, "tenant"), params_text(bridge, "name"),
                                         quick};
    struct probes *probes = probes_of(p);
    struct now now = clock_now();
    char id[PROBES_ID_MAX];
    int err = probes_begin(id, probes, &config, &now);

    if (err == ERR_EXIST)
        admin_answer_problem(a, 409, "this bridge checks its rules already: wait until it has done");
    else if (err)
        admin_answer_problem(a, 503, "no memory");
    if (err)
        return;
    admin_tell(p->admin, "probe",
               json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:n,s:n}", "what", "started", "id", id, "bridge", config.bridge, "state",
                         "running", "done", 0, "of", 0, "verdict", "error"));
    event_add(&p->probed, &NEWS_EVERY);
    if (rendezvous_probe(p->config.rendezvous, id)) /* nobody has heard of it yet */
        probes_gone(probes, config.bridge, "no memory", &now);
    admin_answer_json(a, 202, probe_json(probes, id));
}

void planeprobes_start(void *ctx, struct admin_call *call)
{
    struct plane *p = ctx;
    struct admin_answer *a = &call->answer;
    const struct admin_request *r = &call->request;
    const json_t *bridge = NULL;
    json_t *bridges = NULL;
    const char *id;
    bool quick;

    if (!admin_only(r, "bridge quick", a) || !admin_text(r, "bridge", PROBES_ID_MAX - 1, &id, a) ||
        !admin_flag(r, "quick", false, &quick, a))
        goto out;
    if (!probes_of(p)) {
        admin_answer_problem(a, 503,
                             "there is no connect service: set connect-listen in turnpiked's configuration, and start it anew");
        goto out;
    }
    bridges = rendezvous_bridges(p->config.rendezvous, NULL);
    bridge = id ? named(bridges, id, a) : only(bridges, a);
    if (bridge)
        begin(p, bridge, quick, a);
out:
    json_decref(bridges);
    admin_done(&call);
}
