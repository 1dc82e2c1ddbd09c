#include "probe/report.h"

#include <stdio.h>
#include <string.h>

const char *report_stage_name(enum report_stage stage)
{
    static const char *const NAMES[REPORT_STAGES] = {
        [REPORT_NAME] = "name",   [REPORT_REACH] = "reach", [REPORT_PROTOCOL] = "protocol", [REPORT_AUTH] = "auth",
        [REPORT_RELAY] = "relay", [REPORT_PAIR] = "pair",   [REPORT_QUALITY] = "quality"};

    return NAMES[stage];
}

const char *report_verdict_name(enum report_verdict verdict)
{
    static const char *const NAMES[REPORT_VERDICTS] = {
        [REPORT_SKIP] = "SKIP", [REPORT_PASS] = "PASS", [REPORT_WARN] = "WARN", [REPORT_FAIL] = "FAIL"};

    return NAMES[verdict];
}

const char *report_nat_name(enum report_nat nat)
{
    static const char *const NAMES[REPORT_NATS] = {[REPORT_NAT_UNKNOWN] = "",
                                                   [REPORT_NAT_NONE] = "none",
                                                   [REPORT_NAT_ENDPOINT] = "endpoint_independent",
                                                   [REPORT_NAT_ADDRESS] = "address_dependent",
                                                   [REPORT_NAT_ADDRESS_PORT] = "address_and_port_dependent"};

    return NAMES[nat];
}

enum report_verdict report_worst(const struct report *r)
{
    enum report_verdict worst = REPORT_SKIP;

    for (size_t i = 0; i < r->n; i++) {
        if (r->line[i].verdict > worst)
            worst = r->line[i].verdict;
    }
    return worst;
}

double report_loss(const struct report_measures *m)
{
    return m->sent ? 100.0 * (double)(m->sent - m->received) / (double)m->sent : 0;
}

const char *report_allow(const struct rule *rule, const char *host, uint16_t port, char out[static REPORT_ADD_MAX])
{
    bool v6 = strchr(host, ':') != NULL;

    snprintf(out, REPORT_ADD_MAX, "allow out %s %s -> %s%s%s:%u", rules_protocol_name(rule->protocol),
             rules_source_place(rule->source), v6 ? "[" : "", host, v6 ? "]" : "", (unsigned)port);
    return out;
}

const char *report_rule_line(const struct report_line *l, char out[static REPORT_ADD_MAX])
{
    char ip[ADDR_TEXT_MAX];

    if (!l->address.family)
        return report_allow(l->rule, l->host, l->port, out);
    return report_allow(l->rule, addr_ip_text(&l->address, ip), l->address.port, out);
}
