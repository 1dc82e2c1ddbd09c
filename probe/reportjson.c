#include "probe/reportjson.h"

#include <time.h>

enum { TIME_MAX = 32 }; /* bytes of RFC 3339, and the NUL */

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *address_or_null(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return a->family ? json_string(addr_text(a, text)) : json_null();
}

static json_t *number_or_null(uint64_t n)
{
    return n ? json_integer((json_int_t)n) : json_null();
}

static json_t *ms_or_null(uint32_t us)
{
    return us ? json_real(us / 1e3) : json_null();
}

static json_t *measures_of(const struct report_measures *m)
{
    json_t *stream = m->sent ? json_pack("{s:i,s:i,s:f,s:i,s:o,s:o}", "sent", (int)m->sent, "received", (int)m->received,
                                         "loss_percent", report_loss(m), "reordered", (int)m->reordered, "rtt_ms",
                                         ms_or_null(m->rtt_us), "jitter_ms", ms_or_null(m->jitter_us))
                             : json_null();

    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "connect_ms", ms_or_null(m->connect_us), "open_ms",
                     ms_or_null(m->open_us), "idle_s", number_or_null(m->idle_s), "mapped", address_or_null(&m->mapped), "relayed",
                     address_or_null(&m->relayed), "stream", stream, "mtu", number_or_null(m->mtu), "udp_idle_s",
                     number_or_null(m->udp_idle_s), "nat", text_or_null(report_nat_name(m->nat)), "nat_filter",
                     text_or_null(report_nat_name(m->nat_filter)));
}

static json_t *rule_of(const struct report_line *l)
{
    const struct rule *r = l->rule;
    json_t *o =
        json_pack("{s:i,s:s,s:s,s:s,s:s,s:i}", "number", (int)r->number, "text", r->text, "source", rules_source_name(r->source),
                  "destination", r->target == RULES_HOST ? r->host : rules_target_name(r->target), "protocol",
                  rules_protocol_name(r->protocol), "port", (int)(l->port ? l->port : r->port));

    json_object_set_new(o, "host", text_or_null(l->host));
    json_object_set_new(o, "address", address_or_null(&l->address));
    json_object_set_new(o, "verdict", json_string(report_verdict_name(l->verdict)));
    json_object_set_new(o, "stage", l->verdict == REPORT_SKIP ? json_null() : json_string(report_stage_name(l->stage)));
    json_object_set_new(o, "code", text_or_null(codes_name(l->code)));
    json_object_set_new(o, "evidence", json_string(l->evidence));
    json_object_set_new(o, "cure", l->code ? json_string(codes_cure(l->code)) : json_null());
    json_object_set_new(o, "add", text_or_null(l->add));
    json_object_set_new(o, "measures", measures_of(&l->measures));
    return o;
}

json_t *reportjson_of(const struct report *r)
{
    json_t *rules = json_array();
    time_t began = r->began;
    char text[TIME_MAX];
    struct tm tm;

    gmtime_r(&began, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(rules, rule_of(&r->line[i]));
    return json_pack("{s:s,s:b,s:s,s:i,s:s,s:o}", "role", rules_source_name(r->role), "quick", r->quick, "began_at", text,
                     "took_ms", (int)r->took_ms, "verdict", report_verdict_name(report_worst(r)), "rules", rules);
}
