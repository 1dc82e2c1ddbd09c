#include "probe/reportprometheus.h"

#include <string.h>

#include "base/utf8.h"

/* ---- Labels. ---- */

static void label(FILE *f, const char *name, const char *value)
{
    char text[RULES_HOST_MAX];

    snprintf(text, sizeof(text), "%s", value);
    utf8_mend(text);
    fprintf(f, "%s=\"", name);
    for (const char *p = text; *p; p++) {
        if (*p == '\\' || *p == '"')
            fputc('\\', f);
        if (*p == '\n')
            fputs("\\n", f);
        else
            fputc(*p, f);
    }
    fputc('"', f);
}

static void write_labels(FILE *f, const struct report_line *l)
{
    const struct rule *rule = l->rule;

    fprintf(f, "rule=\"%u\",", rule->number);
    label(f, "from", rules_source_place(rule->source));
    fputc(',', f);
    label(f, "to", rule->target == RULES_HOST ? rule->host : rules_target_name(rule->target));
}

/* ---- What is measured of a rule; negative: nothing. ---- */

static double positive(double value)
{
    return value > 0 ? value : -1;
}

static double ok(const struct report_line *l)
{
    return l->verdict == REPORT_PASS || l->verdict == REPORT_WARN;
}

static double warns(const struct report_line *l)
{
    return l->verdict == REPORT_WARN;
}

static double connect_time(const struct report_line *l)
{
    return positive(l->measures.connect_us / 1e6);
}

static double open_time(const struct report_line *l)
{
    return positive(l->measures.open_us / 1e6);
}

static double rtt(const struct report_line *l)
{
    return positive(l->measures.rtt_us / 1e6);
}

static double jitter(const struct report_line *l)
{
    return l->measures.received ? l->measures.jitter_us / 1e6 : -1;
}

static double loss(const struct report_line *l)
{
    return l->measures.sent ? report_loss(&l->measures) / 100 : -1;
}

static double reordered(const struct report_line *l)
{
    return l->measures.received ? (double)l->measures.reordered / l->measures.received : -1;
}

static double mtu(const struct report_line *l)
{
    return positive(l->measures.mtu);
}

static double udp_idle(const struct report_line *l)
{
    return positive(l->measures.udp_idle_s);
}

static const struct {
    const char *name, *help;
    double (*value)(const struct report_line *l);
} METRICS[] = {
    {"turnpike_probe_rule_ok", "Whether the rule holds: 1, also with a warning; 0 it fails.", ok},
    {"turnpike_probe_rule_warns", "Whether the rule holds with a warning.", warns},
    {"turnpike_probe_connect_seconds", "Until the connection was there, or the first answer.", connect_time},
    {"turnpike_probe_open_seconds", "Until the WebSocket was open, or the page there.", open_time},
    {"turnpike_probe_rtt_seconds", "There and back from relayed address to relayed address, the median.", rtt},
    {"turnpike_probe_jitter_seconds", "Jitter of packets from relayed address to relayed address (RFC 3550).", jitter},
    {"turnpike_probe_loss_ratio", "Packets lost from relayed address to relayed address, 0 to 1.", loss},
    {"turnpike_probe_reordered_ratio", "Packets that came out of order, of those that came, 0 to 1.", reordered},
    {"turnpike_probe_mtu_bytes", "The largest IP packet that passes to the relay.", mtu},
    {"turnpike_probe_udp_idle_seconds", "How long an idle UDP mapping lives at least.", udp_idle},
};

static void write_head(FILE *f, const char *name, const char *help)
{
    fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* Of the run as a whole: both roles of a host may stand in one folder of the textfile collector, which takes no sample twice. */
static void write_gauge(FILE *f, const struct report *r, const char *name, const char *help, double value)
{
    write_head(f, name, help);
    fprintf(f, "%s{from=\"%s\"} %.15g\n", name, rules_source_place(r->role), value);
}

/* ---- Words: a sample of 1 with the word as its label. ---- */

static void write_nats(FILE *f, const struct report *r)
{
    write_head(f, "turnpike_probe_nat", "1 with what is known of the NAT: its mapping, and its filter (RFC 5780).");
    for (size_t i = 0; i < r->n; i++) {
        const struct report_line *l = &r->line[i];

        if (l->verdict == REPORT_SKIP || (!l->measures.nat && !l->measures.nat_filter))
            continue;
        fputs("turnpike_probe_nat{", f);
        write_labels(f, l);
        fprintf(f, ",mapping=\"%s\",filter=\"%s\"} 1\n", report_nat_name(l->measures.nat), report_nat_name(l->measures.nat_filter));
    }
}

static void write_codes(FILE *f, const struct report *r)
{
    write_head(f, "turnpike_probe_rule_code",
               "1 with the code of what is wrong, for a rule that fails or warns, and the stage that found it.");
    for (size_t i = 0; i < r->n; i++) {
        const struct report_line *l = &r->line[i];

        if (l->verdict == REPORT_SKIP || l->code == CODE_NONE)
            continue;
        fputs("turnpike_probe_rule_code{", f);
        write_labels(f, l);
        fprintf(f, ",stage=\"%s\",code=\"%s\"} 1\n", report_stage_name(l->stage), codes_name(l->code));
    }
}

void reportprometheus_print(const struct report *r, FILE *f)
{
    for (size_t k = 0; k < sizeof(METRICS) / sizeof(METRICS[0]); k++) {
        write_head(f, METRICS[k].name, METRICS[k].help);
        for (size_t i = 0; i < r->n; i++) {
            const struct report_line *l = &r->line[i];
            double value = METRICS[k].value(l);

            if (l->verdict == REPORT_SKIP || value < 0)
                continue;
            fprintf(f, "%s{", METRICS[k].name);
            write_labels(f, l);
            fprintf(f, "} %.9g\n", value);
        }
    }
    write_codes(f, r);
    write_nats(f, r);
    write_gauge(f, r, "turnpike_probe_run_seconds", "How long the run took.", r->took_ms / 1e3);
    write_gauge(f, r, "turnpike_probe_run_timestamp_seconds", "When the run began, since 1970.", (double)r->began);
}
