#include <config.h> /* the build's; not programs/config.h */

#include <string.h>

#include "admin/metric.h"
#include "base/clock.h"
#include "programs/planeparts.h"

enum { NS_PER_MS = 1000000 };

/* ---- How busy the workers are: their CPU time between two looks, of which nothing is asked of them. ---- */

void planemetrics_look(struct plane *p)
{
    uint64_t now_ms = clock_now().ms, past_ns = (now_ms - p->busy_ms) * NS_PER_MS;

    if (now_ms == p->busy_ms)
        return;
    for (unsigned i = 0; i < relay_workers(p->config.relay); i++) {
        uint64_t ns = relay_busy_ns(p->config.relay, i), more = ns > p->busy[i].ns ? ns - p->busy[i].ns : 0;

        p->busy[i].ratio = more < past_ns ? (double)more / (double)past_ns : 1;
        p->busy[i].ns = ns;
    }
    p->busy_ms = now_ms;
}

/* ---- Families. ---- */

static void certificates(struct metric_writer *w, const struct plane *p)
{
    int64_t now = clock_now().wall;

    if (!p->certificate_until && !p->connect_until)
        return;
    metric_family(w, "certificate_expiry_seconds", METRIC_GAUGE,
                  "How long the certificate is good for, from now; negative: no more.");
    if (p->certificate_until)
        metric_value(w, METRIC_LABELS({"certificate", "admin"}), (double)(p->certificate_until - now));
    if (p->connect_until)
        metric_value(w, METRIC_LABELS({"certificate", "connect"}), (double)(p->connect_until - now));
}

static void server(struct metric_writer *w, const struct plane *p)
{
    json_t *reasons = planestatus_reasons(p);
    char number[16];

    metric_family(w, "build_info", METRIC_GAUGE, "Always 1: the version is a label.");
    metric_value(w, METRIC_LABELS({"version", PACKAGE_VERSION}), 1);
    metric_family(w, "start_time_seconds", METRIC_GAUGE, "When this process started, in seconds since 1970.");
    metric_value(w, NULL, (double)p->started);
    metric_family(w, "ready", METRIC_GAUGE, "1: /readyz says that all is well.");
    metric_value(w, NULL, json_array_size(reasons) == 0);
    json_decref(reasons);
    metric_family(w, "draining", METRIC_GAUGE, "1: this node takes no new allocations, on request.");
    metric_value(w, NULL, auth_draining(credentials_auth(p->config.credentials)));
    metric_family(w, "nodes", METRIC_GAUGE, "Nodes of the fleet that live, with this one.");
    metric_count(w, NULL, credentials_nodes(p->config.credentials));
    if (credentials_redis(p->config.credentials)) {
        metric_family(w, "redis_up", METRIC_GAUGE, "1: Redis can be asked for credentials.");
        metric_value(w, NULL, !credentials_why_not(p->config.credentials));
    }
    certificates(w, p);
    metric_family(w, "admin_refusals", METRIC_COUNTER,
                  "Requests to the admin plane without a good token (401), or by one whose role may not (403).");
    metric_count(w, METRIC_LABELS({"status", "401"}), admin_refusals(p->admin, false));
    metric_count(w, METRIC_LABELS({"status", "403"}), admin_refusals(p->admin, true));
    metric_family(w, "worker_busy_ratio", METRIC_GAUGE, "Share of a core that a worker used in the last second.");
    for (unsigned i = 0; i < relay_workers(p->config.relay); i++) {
        snprintf(number, sizeof(number), "%u", i);
        metric_value(w, METRIC_LABELS({"worker", number}), p->busy[i].ratio);
    }
}

static void allocations(struct metric_writer *w, const struct plane *p)
{
    static const char *const TRANSPORTS[] = {"udp", "tcp"}, *const FAMILIES[] = {"ipv4", "ipv6"};
    const struct relay *r = p->config.relay;
    struct auth_load load;

    auth_quota_load(credentials_auth(p->config.credentials), &load);
    metric_family(w, "allocations_limit", METRIC_GAUGE,
                  "Allocations that may live at the same time (total-quota); 0: as many as there are ports.");
    metric_count(w, NULL, load.total_limit);
    metric_family(w, "allocations_active", METRIC_GAUGE, "Allocations that live, by their client's transport and family.");
    for (unsigned t = 0; t < COUNT_TRANSPORTS; t++)
        for (unsigned f = 0; f < COUNT_FAMILIES; f++)
            metric_count(w, METRIC_LABELS({"transport", TRANSPORTS[t]}, {"family", FAMILIES[f]}),
                         relay_count(r, count_active(t, f)));
    metric_family(w, "allocate_results", METRIC_COUNTER, "Allocate requests, by success or error code.");
    for (unsigned i = 0; i < COUNT_CODES; i++)
        metric_count(w, METRIC_LABELS({"result", count_code_name(i)}), relay_count(r, (enum counter)(COUNT_BY_CODE + i)));
    metric_family(w, "requests", METRIC_COUNTER, "STUN and TURN requests that were answered.");
    for (int m = 0; m < COUNT_METHODS; m++)
        for (int i = 0; i < COUNT_RESULTS; i++)
            metric_count(w,
                         METRIC_LABELS({"method", count_method_name((enum count_method)m)},
                                       {"result", count_result_name((enum count_result)i)}),
                         relay_count(r, count_request((enum count_method)m, (enum count_result)i)));
}

/* Both directions of one sort. */
static void relayed(struct metric_writer *w, const struct relay *r, enum counter up, enum counter down)
{
    for (int path = 0; path < COUNT_PATHS; path++) {
        const char *name = count_path_name((enum count_path)path);

        metric_count(w, METRIC_LABELS({"direction", "up"}, {"path", name}), relay_relayed(r, (enum count_path)path, up));
        metric_count(w, METRIC_LABELS({"direction", "down"}, {"path", name}), relay_relayed(r, (enum count_path)path, down));
    }
}

static void traffic(struct metric_writer *w, const struct relay *r)
{
    metric_family(w, "relay_bytes", METRIC_COUNTER, "Payload relayed, from clients (up) and to them (down).");
    relayed(w, r, COUNT_BYTES_UP, COUNT_BYTES_DOWN);
    metric_family(w, "relay_packets", METRIC_COUNTER, "Packets relayed, from clients (up) and to them (down).");
    relayed(w, r, COUNT_PACKETS_UP, COUNT_PACKETS_DOWN);
    metric_family(w, "drops", METRIC_COUNTER, "Packets, requests and connections that were dropped, by reason.");
    for (enum counter i = DROP_NOT_STUN; i < COUNTERS_N; i++)
        metric_count(w, METRIC_LABELS({"reason", count_name(i) + strlen("drop_")}), relay_count(r, i));
}

static void histogram(struct metric_writer *w, const struct relay *r, const struct count_histogram *h)
{
    uint64_t count[(int)COUNT_AUTH_TIMES > (int)COUNT_SESSION_TIMES ? COUNT_AUTH_TIMES + 1 : COUNT_SESSION_TIMES + 1];
    double sum = relay_histogram(r, h, count);

    metric_histogram(w, NULL, h->bound, count, h->n, sum);
}

static void credentials(struct metric_writer *w, const struct relay *r)
{
    metric_family(w, "auth_failures", METRIC_COUNTER, "Requests whose credentials were not accepted, by reason.");
    for (int i = 0; i < COUNT_FAILURES; i++)
        metric_count(w, METRIC_LABELS({"reason", count_failure_name((enum count_failure)i)}),
                     relay_count(r, count_failure((enum count_failure)i)));
    metric_family(w, "auth_seconds", METRIC_HISTOGRAM, "How long requests waited for their credentials to be looked up.");
    histogram(w, r, &COUNT_OF_AUTH);
    metric_family(w, "session_seconds", METRIC_HISTOGRAM, "How long allocations lived, those that have ended.");
    histogram(w, r, &COUNT_OF_SESSION);
}

static void rendezvous(struct metric_writer *w, const struct rendezvous *r)
{
    struct connect_counts n;

    rendezvous_read(r, &n);
    metric_family(w, "connect_connections", METRIC_GAUGE, "Connections to the connect service and the softphone page.");
    metric_count(w, NULL, n.connections);
    metric_family(w, "connect_clients", METRIC_GAUGE, "Phones and bridges that have said hello to the connect service.");
    metric_count(w, METRIC_LABELS({"role", "phone"}), n.desk.phones);
    metric_count(w, METRIC_LABELS({"role", "bridge"}), n.desk.bridges);
    metric_family(w, "connect_calls", METRIC_GAUGE, "Calls between phones and bridges, ringing or answered.");
    metric_count(w, NULL, n.desk.calls);
    metric_family(w, "connect_calls_ended", METRIC_COUNTER, "Calls between phones and bridges that have ended, by reason.");
    for (int i = 0; i < DESK_REASONS; i++)
        metric_count(w, METRIC_LABELS({"reason", desk_reason_name((enum desk_reason)i)}), n.desk.ended[i]);
    metric_family(w, "connect_refusals", METRIC_COUNTER,
                  "Connections, requests and hellos that the connect service has refused, by reason.");
    for (int i = 0; i < CONNECT_REFUSALS; i++)
        metric_count(w, METRIC_LABELS({"reason", connect_refusal_name((enum connect_refusal)i)}), n.refused[i]);
    metric_count(w, METRIC_LABELS({"reason", "hello"}), n.desk.refused);
}

void planemetrics_get(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    struct metric_writer *w;
    bool open = call->request.accept && strstr(call->request.accept, "application/openmetrics-text");

    if (metric_open(&w, open)) {
        admin_answer_problem(&call->answer, 503, "no memory");
        admin_done(&call);
        return;
    }
    server(w, p);
    allocations(w, p);
    traffic(w, p->config.relay);
    credentials(w, p->config.relay);
    rendezvous(w, p->config.rendezvous);
    call->answer.status = 200;
    call->answer.text_type = metric_type_name(open);
    call->answer.text = metric_close(&w, &call->answer.text_len);
    if (!call->answer.text)
        admin_answer_problem(&call->answer, 503, "no memory");
    admin_done(&call);
}
