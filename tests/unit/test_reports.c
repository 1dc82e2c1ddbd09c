/* What a run of the probe has found, as other programs read it: JUnit and Prometheus. */
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "probe/reportjunit.h"
#include "probe/reportprometheus.h"

static struct report report;

/* A rule that passes, one that fails, one that warns and one that was skipped. */
static void make_report(void)
{
    report = (struct report){.role = RULES_SERVER, .began = 1764140000, .took_ms = 39600, .n = 4};
    report.line[0] = (struct report_line){.rule = &rules_five()->item[0],
                                          .port = 443,
                                          .verdict = REPORT_PASS,
                                          .stage = REPORT_QUALITY,
                                          .evidence = "TLS 1.3, WebSocket 101 in 41 ms",
                                          .measures = {.connect_us = 12000, .open_us = 41000}};
    report.line[1] = (struct report_line){.rule = &rules_five()->item[3],
                                          .port = 3478,
                                          .verdict = REPORT_FAIL,
                                          .stage = REPORT_REACH,
                                          .code = CODE_UDP_TIMEOUT,
                                          .evidence = "no answer to 7 requests in 39.5 s",
                                          .add = "allow out udp office -> 203.0.113.10:3478"};
    report.line[2] = (struct report_line){.rule = &rules_five()->item[3],
                                          .port = 3478,
                                          .verdict = REPORT_WARN,
                                          .stage = REPORT_QUALITY,
                                          .code = CODE_UDP_IDLE_SHORT,
                                          .evidence = "20 s",
                                          .measures = {.connect_us = 500,
                                                       .sent = 1000,
                                                       .received = 950,
                                                       .reordered = 19,
                                                       .rtt_us = 30500,
                                                       .jitter_us = 250,
                                                       .mtu = 1500,
                                                       .udp_idle_s = 20,
                                                       .nat = REPORT_NAT_ENDPOINT,
                                                       .nat_filter = REPORT_NAT_ADDRESS_PORT}};
    report.line[3] =
        (struct report_line){.rule = &rules_five()->item[0], .verdict = REPORT_SKIP, .evidence = "no host"}; /* and no port */
}

/* Malloc'ed. */
static char *written(bool junit, bool strict)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (f && junit)
        reportjunit_print(&report, strict, f);
    else if (f)
        reportprometheus_print(&report, f);
    if (!f || fclose(f))
        exit(99);
    return text;
}

static void check_junit(bool strict, const char *want)
{
    char *text = written(true, strict);
    bool same = strcmp(text, want) == 0;

    if (!same)
        printf("# %s\n", text);
    free(text);
    CHECK(same);
}

static bool holds(const char *part, bool junit, bool strict)
{
    char *text = written(junit, strict);
    bool there = strstr(text, part);

    free(text);
    return there;
}

static void junit(void)
{
    make_report();
    check_junit(
        false,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuites name=\"turnpike-probe\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"39.600\">\n"
        "  <testsuite name=\"firewall rules: office\" timestamp=\"2025-11-26T06:53:20\" tests=\"4\" failures=\"1\" errors=\"0\""
        " skipped=\"1\" time=\"39.600\">\n"
        "    <testcase name=\"rule 1: office -&#62; connect tcp/443\" classname=\"turnpike-probe.office\" time=\"0.041\">\n"
        "      <system-out>TLS 1.3, WebSocket 101 in 41 ms</system-out>\n"
        "    </testcase>\n"
        "    <testcase name=\"rule 4: office -&#62; relay udp/3478\" classname=\"turnpike-probe.office\" time=\"0.000\">\n"
        "      <failure type=\"udp_timeout\" message=\"nothing answers by UDP: a firewall drops it\">"
        "udp_timeout at the stage 'reach'\n"
        "no answer to 7 requests in 39.5 s\n"
        "to do: open the rule in each firewall on the way\n"
        "add: allow out udp office -&#62; 203.0.113.10:3478</failure>\n"
        "    </testcase>\n"
        "    <testcase name=\"rule 4: office -&#62; relay udp/3478\" classname=\"turnpike-probe.office\" time=\"0.001\">\n"
        "      <system-out>warning: udp_idle_short at the stage 'quality'\n"
        "20 s\n"
        "to do: let UDP live for 30 s at least in the firewall&#39;s state table</system-out>\n"
        "    </testcase>\n"
        "    <testcase name=\"rule 1: office -&#62; connect tcp/443\" classname=\"turnpike-probe.office\" time=\"0.000\">\n"
        "      <skipped message=\"no host\"/>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n");
    CHECK(holds("failures=\"2\"", true, true));
    CHECK(holds("<failure type=\"udp_idle_short\"", true, true));
}

/* An element's and an attribute's text: nothing of it is markup, and no character is one that XML forbids. */
static void hostile(void)
{
    static const char TEXT[] = "\"/></failure><x a='1'>&amp;]]>\n\r\t\x01\x1b\x7f\xff\xc3 \xef\xbf\xbf \xc3\xa9";
    static const char SAFE[] = "&#34;/&#62;&#60;/failure&#62;&#60;x a=&#39;1&#39;&#62;&#38;amp;]]&#62;&#10;?&#9;????? ? \xc3\xa9";

    make_report();
    for (size_t i = 0; i < report.n; i++)
        memcpy(report.line[i].evidence, TEXT, sizeof(TEXT));
    memcpy(report.line[1].add, TEXT, sizeof(TEXT));
    for (int strict = 0; strict < 2; strict++) {
        char *text = written(true, strict), *p = text;
        size_t n = 0;

        for (; (p = strstr(p, SAFE)); p++)
            n++;
        CHECK(!strpbrk(text, "\x01\x1b\x7f\xff") && !strstr(text, "<x"));
        free(text);
        CHECK_INT(n, 5);
    }
}

static void prometheus(void)
{
    static const char *const LINES[] = {
        "# TYPE turnpike_probe_rule_ok gauge\n"
        "turnpike_probe_rule_ok{rule=\"1\",from=\"office\",to=\"connect\"} 1\n"
        "turnpike_probe_rule_ok{rule=\"4\",from=\"office\",to=\"relay\"} 0\n"
        "turnpike_probe_rule_ok{rule=\"4\",from=\"office\",to=\"relay\"} 1\n#",
        "turnpike_probe_rule_warns{rule=\"4\",from=\"office\",to=\"relay\"} 1\n",
        "turnpike_probe_connect_seconds{rule=\"1\",from=\"office\",to=\"connect\"} 0.012\n",
        "turnpike_probe_open_seconds{rule=\"1\",from=\"office\",to=\"connect\"} 0.041\n",
        "# TYPE turnpike_probe_rtt_seconds gauge\nturnpike_probe_rtt_seconds{rule=\"4\",from=\"office\",to=\"relay\"} 0.0305\n#",
        "# TYPE turnpike_probe_jitter_seconds gauge\nturnpike_probe_jitter_seconds{rule=\"4\",from=\"office\",to=\"relay\"} "
        "0.00025\n#",
        "# TYPE turnpike_probe_loss_ratio gauge\nturnpike_probe_loss_ratio{rule=\"4\",from=\"office\",to=\"relay\"} 0.05\n#",
        "turnpike_probe_reordered_ratio{rule=\"4\",from=\"office\",to=\"relay\"} 0.02\n",
        "turnpike_probe_mtu_bytes{rule=\"4\",from=\"office\",to=\"relay\"} 1500\n",
        "turnpike_probe_udp_idle_seconds{rule=\"4\",from=\"office\",to=\"relay\"} 20\n",
        "# TYPE turnpike_probe_rule_code gauge\n"
        "turnpike_probe_rule_code{rule=\"4\",from=\"office\",to=\"relay\",stage=\"reach\",code=\"udp_timeout\"} 1\n"
        "turnpike_probe_rule_code{rule=\"4\",from=\"office\",to=\"relay\",stage=\"quality\",code=\"udp_idle_short\"} 1\n#",
        "# TYPE turnpike_probe_nat gauge\n"
        "turnpike_probe_nat{rule=\"4\",from=\"office\",to=\"relay\",mapping=\"endpoint_independent\","
        "filter=\"address_and_port_dependent\"} 1\n#",
        "turnpike_probe_run_seconds{from=\"office\"} 39.6\n",
        "turnpike_probe_run_timestamp_seconds{from=\"office\"} 1764140000\n"};
    static struct rule odd;

    make_report();
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        if (!holds(LINES[i], false, false))
            printf("# %s\n", LINES[i]);
        CHECK(holds(LINES[i], false, false));
    }
    odd = rules_five()->item[0];
    odd.target = RULES_HOST;
    memcpy(odd.host, "a\"b\\c\nd\xff", 9); /* a file can't hold this */
    report.line[0].rule = &odd;
    CHECK(holds("turnpike_probe_rule_ok{rule=\"1\",from=\"office\",to=\"a\\\"b\\\\c\\nd?\"} 1\n", false, false));
}

static const struct tap_test TESTS[] = {
    {"JUnit: a case for each rule; a warning fails if it is strict", junit},
    {"JUnit: texts are never markup", hostile},
    {"Prometheus: gauges for each rule, of what was measured", prometheus},
};

TAP_MAIN(TESTS)
