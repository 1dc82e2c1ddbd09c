#include <config.h> /* the build's; not programs/config.h */

#include <string.h>

#include "admin/metric.h"
#include "programs/planeparts.h"

static uint64_t total(const struct relay *r, enum counter which)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < relay_workers(r); i++)
        n += count_read(relay_counters(r, i), which);
    return n;
}

static void drops(struct metric_writer *w, const struct relay *r)
{
    metric_family(w, "drops", METRIC_COUNTER, "Packets, requests and connections that were dropped, by reason.");
    for (enum counter i = DROP_NOT_STUN; i < COUNTERS_N; i++)
        metric_count(w, METRIC_LABELS({"reason", count_name(i) + strlen("drop_")}), total(r, i));
}

static void server(struct metric_writer *w, const struct plane *p)
{
    metric_family(w, "build_info", METRIC_GAUGE, "Always 1: the version is a label.");
    metric_value(w, METRIC_LABELS({"version", PACKAGE_VERSION}), 1);
    metric_family(w, "redis_up", METRIC_GAUGE, "1: credentials can be looked up in their store.");
    metric_value(w, NULL, credentials_why_not(p->config.credentials) ? 0 : 1);
}

void planemetrics_get(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    struct metric_writer *w;
    bool open = call->request.accept && strstr(call->request.accept, "application/openmetrics-text");

    if (metric_open(&w, open)) {
        admin_answer_problem(&call->answer, 503, "no memory");
    } else {
        server(w, p);
        drops(w, p->config.relay);
        call->answer.status = 200;
        call->answer.text_type = metric_type_name(open);
        call->answer.text = metric_close(&w, &call->answer.text_len);
    }
    admin_done(&call);
}
