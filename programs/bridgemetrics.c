#include <config.h> /* the build's; not programs/config.h */

#include "programs/bridgemetrics.h"

#include <stdlib.h>

#include "admin/metric.h"
#include "base/clock.h"
#include "base/err.h"
#include "programs/scrape.h"

struct bridgemetrics {
    struct scrape *scrape;
    const struct bridge *bridge;
    const struct sip_line *lines;
    unsigned nlines;
    int64_t started;
};

/* ---- Families. ---- */

static void about_process(struct metric_writer *w, const struct bridgemetrics *m)
{
    metric_family(w, "bridge_build_info", METRIC_GAUGE, "Always 1: the version is a label.");
    metric_value(w, METRIC_LABELS({"version", PACKAGE_VERSION}), 1);
    metric_family(w, "bridge_start_time_seconds", METRIC_GAUGE, "When this process started, in seconds since 1970.");
    metric_value(w, NULL, (double)m->started);
    metric_family(w, "bridge_connected", METRIC_GAUGE, "1: connected to the connect service.");
    metric_value(w, NULL, bridge_connected(m->bridge));
}

static void about_lines(struct metric_writer *w, const struct bridgemetrics *m)
{
    const char *why;

    metric_family(w, "bridge_registered", METRIC_GAUGE,
                  "1: the line is registered at the PBX, or is a trunk that needs no registration.");
    for (unsigned i = 0; i < m->nlines; i++)
        metric_value(w, METRIC_LABELS({"line", m->lines[i].user}), calls_line(bridge_calls(m->bridge), i, &why));
}

static void about_calls(struct metric_writer *w, const struct bridgemetrics *m, const struct calls_counts *c)
{
    const char *reason;
    uint64_t n;

    metric_family(w, "bridge_calls", METRIC_GAUGE, "Calls now, by how far they are.");
    for (unsigned i = 0; i < CALLS_STATES; i++)
        metric_count(w, METRIC_LABELS({"state", CALLS_STATE_NAMES[i]}), c->now[i]);
    metric_family(w, "bridge_calls_started", METRIC_COUNTER, "Calls that began, by who called.");
    metric_count(w, METRIC_LABELS({"from", "phone"}), c->from_phone);
    metric_count(w, METRIC_LABELS({"from", "pbx"}), c->from_pbx);
    metric_family(w, "bridge_calls_answered", METRIC_COUNTER, "Calls that were answered.");
    metric_count(w, NULL, c->answered);
    metric_family(w, "bridge_calls_ended", METRIC_COUNTER, "Calls that have ended, by reason.");
    for (unsigned i = 0; (reason = calls_ended(bridge_calls(m->bridge), i, &n)); i++)
        metric_count(w, METRIC_LABELS({"reason", reason}), n);
    metric_family(w, "bridge_call_setup_seconds", METRIC_HISTOGRAM,
                  "From the browser's offer to a path (ice) and to its keys (dtls); from the answer to packets both ways (audio).");
    for (unsigned i = 0; i < CALLS_PARTS; i++)
        metric_histogram(w, METRIC_LABELS({"part", CALLS_PART_NAMES[i]}), CALLS_BOUNDS, c->setup[i], CALLS_SETUP_BOUNDS,
                         c->setup_sum[i]);
}

static void about_media(struct metric_writer *w, const struct calls_counts *c)
{
    metric_family(w, "bridge_rtp_packets", METRIC_COUNTER, "RTP packets that came, by the side that sent them.");
    for (unsigned i = 0; i < CALLS_LEGS; i++)
        metric_count(w, METRIC_LABELS({"leg", CALLS_LEG_NAMES[i]}), c->received[i]);
    metric_family(w, "bridge_rtp_lost", METRIC_COUNTER, "RTP packets that should have come and did not.");
    for (unsigned i = 0; i < CALLS_LEGS; i++)
        metric_count(w, METRIC_LABELS({"leg", CALLS_LEG_NAMES[i]}), c->lost[i]);
    metric_family(w, "bridge_rtp_jitter_seconds", METRIC_GAUGE, "Jitter of what comes, of the call that has most of it.");
    for (unsigned i = 0; i < CALLS_LEGS; i++)
        metric_value(w, METRIC_LABELS({"leg", CALLS_LEG_NAMES[i]}), c->jitter_s[i]);
}

static char *all(void *ctx, bool open, size_t *len)
{
    const struct bridgemetrics *m = ctx;
    struct metric_writer *w;
    struct calls_counts counts;

    if (metric_open(&w, open))
        return NULL;
    calls_read(bridge_calls(m->bridge), &counts);
    about_process(w, m);
    about_lines(w, m);
    about_calls(w, m, &counts);
    about_media(w, &counts);
    return metric_close(&w, len);
}

int bridgemetrics_new(struct bridgemetrics **out, struct event_base *base, const struct addr *listen, const struct bridge *bridge,
                      const struct sip_line *lines, unsigned nlines)
{
    struct bridgemetrics *m = calloc(1, sizeof(*m));
    int err;

    if (!m)
        return ERR_NOMEM;
    m->bridge = bridge;
    m->lines = lines;
    m->nlines = nlines;
    m->started = clock_now().wall;
    err = scrape_new(&m->scrape, base, listen, all, m);
    if (err)
        bridgemetrics_free(&m);
    else
        *out = m;
    return err;
}

void bridgemetrics_free(struct bridgemetrics **m)
{
    if (!*m)
        return;
    scrape_free(&(*m)->scrape);
    free(*m);
    *m = NULL;
}

struct addr bridgemetrics_address(const struct bridgemetrics *m)
{
    return scrape_address(m->scrape);
}
