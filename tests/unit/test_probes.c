/* Checks of the firewall's rules at bridges: what bridges say of them, judged, kept, and told. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "connect/probes.h"
#include "connect/session.h"
#include "tests/unit/deskfake.h"

enum { ALICE, OFFICE, OTHER };

static const char MEASURES[] =
    "{'connect_ms':1.5,'open_ms':null,'idle_s':null,'mapped':'192.0.2.1:4','relayed':'[2001:db8::1]:50000','stream':"
    "{'sent':10,'received':9,'loss_percent':10.0,'reordered':0,'rtt_ms':null,'jitter_ms':0.25},'mtu':1500,"
    "'udp_idle_s':null,'nat':'none','nat_filter':'address_and_port_dependent'}";
static const char FAILS[] =
    "'verdict':'FAIL','stage':'reach','code':'udp_timeout','evidence':'none','cure':'open it','add':'allow out udp x'";
static const char HOLDS[] = "'verdict':'PASS','stage':'reach','code':null,'evidence':'all','cure':null,'add':null";

/* A rule with these members, in JSON with ' for "; good until the next call. */
static const char *rule_of(const char *number, const char *verdict, const char *measures)
{
    static char text[2048];

    snprintf(text, sizeof(text),
             "{'number':%s,'text':'media','source':'server','destination':'relay','protocol':'udp','port':3478,'host':null,'"
             "address':null,%s,"
             "'measures':%s}",
             number, verdict, measures);
    return text;
}

static const char *report_of(const char *verdict, const char *rules, const char *more)
{
    static char text[8192];

    snprintf(text, sizeof(text),
             "{'role':'server','quick':true,'began_at':'2026-01-01T00:00:00Z','took_ms':1234,'verdict':%s,'rules':[%s]%s}", verdict,
             rules, more);
    return text;
}

/* ---- The report. ---- */

static void made_anew(void)
{
    json_t *from = fake_json(report_of("'FAIL'", rule_of("4", FAILS, MEASURES), ",'beyond':{'a':[]}")), *got, *want;
    json_t *rule = json_array_get(json_object_get(from, "rules"), 0);
    struct probereport read;
    const char *wrong;

    json_object_set_new(rule, "secret", json_string("x"));
    json_object_set_new(json_object_get(rule, "measures"), "secret", json_string("x"));
    json_object_del(json_object_get(rule, "measures"), "open_ms");
    json_object_del(rule, "host");
    CHECK_INT(probereport_read(&read, from, &wrong), RPC_OK);
    CHECK_STR(read.verdict, "FAIL");
    CHECK_INT(read.rules, 1);
    got = json_loads(read.text, 0, NULL);
    want = fake_json(report_of("'FAIL'", rule_of("4", FAILS, MEASURES), ""));
    CHECK(json_equal(got, want)); /* what nobody here knows is left out, and what is missing is null */
    json_decref(from);
    json_decref(got);
    json_decref(want);
    free(read.text);
}

/* What is wrong with it; "" nothing. */
static const char *wrong_in(const char *text)
{
    json_t *report = fake_json(text);
    struct probereport read;
    const char *wrong = NULL;
    enum rpc_error error = probereport_read(&read, report, &wrong);

    json_decref(report);
    free(read.text);
    return error == RPC_OK ? "" : wrong ? wrong : "?";
}

static void judged(void)
{
    static const char STREAM[] = "{'stream':{'sent':1,'received':1,'loss_percent':101,'reordered':0}}";
    static const struct {
        const char *verdict, *number, *says, *measures, *more, *wrong;
    } CASES[] = {
        {"'FAIL'", "4", FAILS, MEASURES, "", ""},
        {"'PASS'", "1", HOLDS, "{}", "", ""},
        {"'WELL'", "4", FAILS, MEASURES, "", "verdict"},
        {"7", "4", FAILS, MEASURES, "", "verdict"},
        {"'PASS'", "0", HOLDS, MEASURES, "", "number"},
        {"'PASS'", "10000", HOLDS, MEASURES, "", "number"},
        {"'PASS'", "'4'", HOLDS, MEASURES, "", "number"},
        {"'PASS'", "4", "'verdict':'PASS','code':'udp_timeout','evidence':''", MEASURES, "", "code"},
        {"'FAIL'", "4", "'verdict':'FAIL','code':null,'evidence':''", MEASURES, "", "code"},
        {"'FAIL'", "4", "'verdict':'FAIL','code':'<b>','evidence':''", MEASURES, "", "code"},
        {"'PASS'", "4", "'verdict':'PASS'", MEASURES, "", "evidence"},
        {"'PASS'", "4", "'verdict':'PASS','evidence':'a\\u001bb'", MEASURES, "", "evidence"},
        {"'FAIL'", "4", "'verdict':'FAIL','code':'x','evidence':'','add':'a\\nb'", MEASURES, "", "add"},
        {"'PASS'", "4", HOLDS, "null", "", "measures"},
        {"'PASS'", "4", HOLDS, "{'mapped':'host.example:1'}", "", "mapped"},
        {"'PASS'", "4", HOLDS, "{'mtu':1e9}", "", "mtu"},
        {"'PASS'", "4", HOLDS, "{'connect_ms':-1}", "", "connect_ms"},
        {"'PASS'", "4", HOLDS, "{'stream':[]}", "", "stream"},
        {"'PASS'", "4", HOLDS, "{'stream':{'sent':1}}", "", "received"},
        {"'PASS'", "4", HOLDS, STREAM, "", "loss_percent"},
        {"'PASS'", "4", HOLDS, "{}", ",'took_ms':-1", "took_ms"},
        {"'PASS'", "4", HOLDS, "{}", ",'began_at':'yesterday, or so xx'", "began_at"},
        {"'PASS'", "4", HOLDS, "{}", ",'rules':[7]", "rules"},
        {"'PASS'", "4", HOLDS, "{}", ",'rules':null", "rules"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s %s %s\n", CASES[i].says, CASES[i].measures, CASES[i].more);
        CHECK_STR(wrong_in(report_of(CASES[i].verdict, rule_of(CASES[i].number, CASES[i].says, CASES[i].measures), CASES[i].more)),
                  CASES[i].wrong);
    }
    CHECK_STR(wrong_in("{}"), "role");
}

static void heaviest(void)
{
    static const char WARNS[] = "'verdict':'WARN','stage':'reach','code':'mtu_low','evidence':''",
                      SKIPS[] = "'verdict':'SKIP','evidence':''";
    static const struct {
        const char *told, *one, *other, *verdict;
    } CASES[] = {
        {"'PASS'", HOLDS, FAILS, "FAIL"}, {"'PASS'", FAILS, WARNS, "FAIL"}, {"'FAIL'", WARNS, HOLDS, "WARN"},
        {"'FAIL'", SKIPS, HOLDS, "PASS"}, {"'FAIL'", SKIPS, SKIPS, "SKIP"}, {"'PASS'", NULL, NULL, "SKIP"},
    };
    char rules[2 * 2048 + 1];
    struct probereport read;
    const char *wrong;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        json_t *from, *got;
        size_t n = 0;

        if (CASES[i].one)
            n = (size_t)snprintf(rules, sizeof(rules), "%s,", rule_of("1", CASES[i].one, "{}"));
        snprintf(rules + n, sizeof(rules) - n, "%s", CASES[i].other ? rule_of("4", CASES[i].other, "{}") : "");
        from = fake_json(report_of(CASES[i].told, rules, ""));
        CHECK_INT(probereport_read(&read, from, &wrong), RPC_OK);
        CHECK_STR(read.verdict, CASES[i].verdict);
        got = json_loads(read.text, 0, NULL);
        CHECK_STR(json_string_value(json_object_get(got, "verdict")), CASES[i].verdict);
        json_decref(from);
        json_decref(got);
        free(read.text);
    }
}

static void bounded(void)
{
    json_t *report = fake_json(report_of("'PASS'", rule_of("1", HOLDS, "{}"), "")), *rules = json_object_get(report, "rules");
    json_t *rule = json_array_get(rules, 0);
    char text[PROBEREPORT_TEXT_MAX + 2];
    struct probereport read;
    const char *wrong;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_object_set_new(rule, "evidence", json_string(text));
    CHECK_INT(probereport_read(&read, report, &wrong), RPC_PARAMS);
    CHECK_STR(wrong, "evidence");
    json_object_set_new(rule, "evidence", json_string(""));
    while (json_array_size(rules) < PROBEREPORT_RULES_MAX)
        json_array_append(rules, rule);
    CHECK_INT(probereport_read(&read, report, &wrong), RPC_OK);
    CHECK_INT(read.rules, PROBEREPORT_RULES_MAX);
    free(read.text);
    json_array_append(rules, rule);
    CHECK_INT(probereport_read(&read, report, &wrong), RPC_PARAMS);
    CHECK_STR(wrong, "rules");
    CHECK(!read.text);
    json_decref(report);
}

static void no_memory(void)
{
    json_t *report = fake_json(report_of("'FAIL'", rule_of("4", FAILS, MEASURES), ""));
    struct probereport read = {0}, whole;
    const char *wrong;
    enum rpc_error error = RPC_UNAVAILABLE;

    CHECK(fake_up()); /* with it, jansson's memory can end */
    CHECK_INT(probereport_read(&whole, report, &wrong), RPC_OK);

    for (long n = 0; error; n++) {
        fake_json_left = n;
        error = probereport_read(&read, report, &wrong);
        fake_json_left = -1;
        CHECK(error == RPC_OK || (error == RPC_UNAVAILABLE && !read.text));
    }
    CHECK_STR(read.text, whole.text);
    free(read.text);
    free(whole.text);
    json_decref(report);
}

/* ---- At the desk. ---- */

static char id[PROBES_ID_MAX];

/* The session of the n-th bridge; good until the next call. */
static const char *bridge_of(size_t n)
{
    static char text[64];
    json_t *list = desk_bridges(fake_desk, NULL);

    snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(json_array_get(list, n), "id")));
    json_decref(list);
    return text;
}

static int begin(const char *bridge, bool quick)
{
    int err = probes_begin(id, desk_probes(fake_desk), &(struct probes_config){bridge, "north", "office", quick}, &fake_now);

    if (!err)
        desk_probe(fake_desk, id, &fake_now);
    return err;
}

/* A member of the check, as text; "" it is null. Good until the next call. */
static const char *is(const char *of, const char *key)
{
    static char text[1024];
    json_t *o = probes_get(desk_probes(fake_desk), of);
    const json_t *value = json_object_get(o, key);

    if (json_is_integer(value))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, sizeof(text), "%s", json_is_string(value) ? json_string_value(value) : "");
    json_decref(o);
    return text;
}

/* What has been told since, as "progress 1/2, done 2/2 PASS". */
static const char *news(void)
{
    static char text[1024];
    bool running;
    json_t *list = probes_news(desk_probes(fake_desk), &running), *one;
    size_t i, n = 0;

    text[0] = '\0';
    json_array_foreach(list, i, one)
    {
        const char *verdict = json_string_value(json_object_get(one, "verdict"));

        n +=
            (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %d/%d %s", n ? ", " : "",
                             json_string_value(json_object_get(one, "what")), (int)json_integer_value(json_object_get(one, "done")),
                             (int)json_integer_value(json_object_get(one, "of")), verdict ? verdict : "-");
    }
    json_decref(list);
    snprintf(text + n, sizeof(text) - n, "%s", running ? " ..." : "");
    return text;
}

static void up(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
}

static void progress(int i, const char *of, const char *counts)
{
    fake_say(i, "{'jsonrpc':'2.0','id':9,'method':'probe.progress','params':{'probe':'%s',%s}}", of, counts);
}

static void done(int i, const char *of, const char *what)
{
    fake_say(i, "{'jsonrpc':'2.0','id':9,'method':'probe.done','params':{'probe':'%s',%s}}", of, what);
}

static void from_start_to_report(void)
{
    char report[8300];

    up();
    CHECK_INT(begin(bridge_of(0), true), 0);
    CHECK(fake_hears_at_last(OFFICE, "'method':'probe.start'"));
    CHECK_STR(fake_member("probe"), id);
    CHECK(json_is_true(fake_member_json("quick")));
    CHECK_STR(is(id, "state"), "running");
    CHECK_STR(is(id, "ended"), "");
    CHECK_STR(news(), " ...");
    progress(OFFICE, id, "'done':1,'of':2");
    CHECK(fake_hears_at_last(OFFICE, "'id':9,'result':{}"));
    CHECK_STR(news(), "progress 1/2 - ...");
    CHECK_STR(news(), " ..."); /* it is told once */
    snprintf(report, sizeof(report), "'report':%s", report_of("'FAIL'", rule_of("4", FAILS, MEASURES), ""));
    done(OFFICE, id, report);
    CHECK(fake_hears_at_last(OFFICE, "'id':9,'result':{}"));
    CHECK_STR(news(), "done 1/1 FAIL");
    CHECK_STR(news(), "");
    CHECK_STR(is(id, "state"), "done");
    CHECK_STR(is(id, "verdict"), "FAIL");
    CHECK(strstr(is(id, "report"), "udp_timeout"));
    CHECK(*is(id, "ended"));
    done(OFFICE, id, report);
    CHECK(fake_hears_at_last(OFFICE, "'reason':'state'")); /* once is enough */
}

static void refused(void)
{
    static const struct {
        const char *method, *params, *wrong;
    } CASES[] = {
        {"probe.progress", "'done':1", "of"},
        {"probe.progress", "'done':3,'of':2", "done"},
        {"probe.progress", "'done':-1,'of':2", "done"},
        {"probe.progress", "'done':1,'of':65", "of"},
    };

    up();
    CHECK_INT(begin(bridge_of(0), true), 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s %s\n", CASES[i].method, CASES[i].params);
        fake_say(OFFICE, "{'jsonrpc':'2.0','id':9,'method':'%s','params':{'probe':'%s',%s}}", CASES[i].method, id, CASES[i].params);
        CHECK(fake_hears_at_last(OFFICE, CASES[i].wrong));
        CHECK_STR(is(id, "state"), "running");
    }
    CHECK_STR(news(), " ...");
    progress(OFFICE, "p0123456789abcdef", "'done':1,'of':2");
    CHECK(fake_hears_at_last(OFFICE, "'reason':'params'"));
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    done(OTHER, id, "'error':'it is not mine'");
    CHECK(fake_hears_at_last(OTHER, "'reason':'params'"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    done(ALICE, id, "'error':'I am none'");
    CHECK(fake_hears_at_last(ALICE, "'reason':'method'"));
    progress(ALICE, id, "'done':1,'of':2");
    CHECK(fake_hears_at_last(ALICE, "'reason':'method'"));
    CHECK_STR(is(id, "state"), "running");
    done(OFFICE, id, "'error':'no relay was handed out'");
    CHECK_STR(is(id, "error"), "no relay was handed out");
    CHECK_STR(is(id, "state"), "failed");
}

static void unreadable(void)
{
    static const struct {
        const char *says, *wrong;
    } CASES[] = {
        {"'report':7", "report"},   {"'report':{}", "role"},
        {"'quick':true", "report"}, {"'report':{},'error':'both'", "report"},
        {"'error':''", "error"},    {"'error':'a\\u0007b'", "error"},
    };
    char why[64];

    up();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s\n", CASES[i].says);
        CHECK_INT(begin(bridge_of(0), true), 0);
        CHECK_STR(news(), " ...");
        done(OFFICE, id, CASES[i].says);
        CHECK(fake_hears_at_last(OFFICE, CASES[i].wrong));
        CHECK_STR(news(), "done 0/0 -");
        snprintf(why, sizeof(why), "the bridge's report can't be read (%s)", CASES[i].wrong);
        CHECK_STR(is(id, "state"), "failed");
        CHECK(strstr(is(id, "error"), why));
    }
}

static void one_a_bridge(void)
{
    char first[PROBES_ID_MAX];

    up();
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    CHECK_INT(begin(bridge_of(0), true), 0);
    memcpy(first, id, sizeof(first));
    CHECK_INT(begin(bridge_of(0), true), ERR_EXIST);
    CHECK_INT(begin(bridge_of(1), true), 0); /* another one has its own */
    done(OFFICE, first, "'error':'x'");
    CHECK_INT(begin(bridge_of(0), false), 0);
    CHECK(strcmp(first, id) != 0);
}

static void silent(void)
{
    char slow[PROBES_ID_MAX];

    up();
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    CHECK_INT(begin(bridge_of(1), false), 0);
    memcpy(slow, id, sizeof(slow));
    CHECK_INT(begin(bridge_of(0), true), 0);
    fake_after(PROBES_SILENT_QUICK_MS - 1);
    progress(OFFICE, id, "'done':1,'of':2");
    fake_after(PROBES_SILENT_QUICK_MS - 1);
    CHECK_STR(is(id, "state"), "running");
    CHECK_STR(news(), "progress 1/2 - ...");
    progress(OFFICE, id, "'done':1,'of':2"); /* nothing new, */
    progress(OFFICE, id, "'done':0,'of':2"); /* nor is what was there before */
    progress(OFFICE, id, "'done':1,'of':3");
    CHECK_STR(news(), " ...");
    fake_after(1);
    CHECK_STR(is(id, "state"), "failed");
    CHECK(strstr(is(id, "error"), "nothing for 60 s"));
    CHECK_STR(is(slow, "state"), "running");
    fake_after(PROBES_SILENT_MS);
    CHECK(strstr(is(slow, "error"), "nothing for 240 s"));
    progress(OFFICE, id, "'done':2,'of':2");
    CHECK(fake_hears_at_last(OFFICE, "'reason':'state'"));
}

static void endless(void)
{
    enum { STEP_MS = PROBES_SILENT_MS - 1, STEPS = PROBES_WHOLE_MS / STEP_MS };
    char counts[32];

    up();
    CHECK_INT(begin(bridge_of(0), false), 0);
    for (int i = 1; i <= STEPS; i++) {
        fake_after(STEP_MS);
        snprintf(counts, sizeof(counts), "'done':%d,'of':64", i);
        progress(OFFICE, id, counts);
    }
    fake_after(PROBES_WHOLE_MS - STEPS * STEP_MS - 1);
    CHECK_STR(is(id, "state"), "running");
    fake_after(1);
    CHECK_STR(is(id, "state"), "failed");
    CHECK(strstr(is(id, "error"), "no end in 30 minutes"));
}

static void gone(void)
{
    up();
    CHECK_INT(begin(bridge_of(0), false), 0);
    fake_gone(OFFICE);
    fake_after(1000);
    CHECK_STR(is(id, "state"), "running"); /* it may come back */
    fake_after(SESSION_RESUME_S * 1000);
    CHECK_STR(is(id, "state"), "failed");
    CHECK(strstr(is(id, "error"), "bridge_lost"));
    CHECK_STR(news(), "done 0/0 -");
    CHECK_INT(begin("s0123456789abcdef", false), 0); /* its session has ended a moment ago */
    CHECK(strstr(is(id, "error"), "gone"));
    CHECK(fake_hello(OTHER, "office", "bridge"));
    CHECK_INT(begin(bridge_of(0), false), 0);
    fake_say(OTHER, "{'jsonrpc':'2.0','method':'bye'}");
    CHECK(strstr(is(id, "error"), "hangup"));
}

/* One of the n-th bridge. */
static void begin_at(size_t n, char copy[static PROBES_ID_MAX])
{
    CHECK_INT(begin(bridge_of(n), false), 0);
    memcpy(copy, id, PROBES_ID_MAX);
}

/* One more of the first bridge, which comes to no end. */
static void fail_one(void)
{
    CHECK_INT(begin(bridge_of(0), true), 0);
    done(OFFICE, id, "'error':'x'");
}

static void kept(void)
{
    char other[PROBES_ID_MAX], runs[PROBES_ID_MAX], proven[PROBES_ID_MAX], failed[PROBES_ID_MAX], report[8300];
    json_t *list;

    up();
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    snprintf(report, sizeof(report), "'report':%s", report_of("'FAIL'", rule_of("4", FAILS, MEASURES), ""));
    begin_at(1, other);
    done(OTHER, other, report);
    begin_at(1, runs);
    begin_at(0, proven);
    done(OFFICE, proven, report);
    fail_one();
    memcpy(failed, id, sizeof(failed));
    for (int i = 0; i < PROBES_KEPT + 1; i++)
        fail_one();
    CHECK_INT(begin(bridge_of(0), true), 0);
    CHECK_STR(is(failed, "state"), "failed"); /* nobody has been told so yet */
    news();
    done(OFFICE, id, "'error':'x'");
    CHECK_INT(begin(bridge_of(0), true), 0);
    CHECK_STR(is(failed, "state"), "");
    CHECK_STR(is(other, "state"), "done"); /* older, and the newest of its bridge */
    CHECK_STR(is(runs, "state"), "running");
    CHECK_STR(is(proven, "state"), "done");
    list = probes_list(desk_probes(fake_desk));
    CHECK_INT(json_array_size(list), PROBES_KEPT + 5);                                /* the last failure, and what goes on here */
    CHECK_STR(json_string_value(json_object_get(json_array_get(list, 0), "id")), id); /* the newest first */
    CHECK(!json_object_get(json_array_get(list, 0), "report"));
    json_decref(list);
}

static void kept_of_the_gone(void)
{
    char other[PROBES_ID_MAX], first[PROBES_ID_MAX];

    up();
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    begin_at(1, other);
    done(OTHER, other, "'error':'x'");
    begin_at(0, first);
    fake_say(OTHER, "{'jsonrpc':'2.0','method':'bye'}");
    done(OFFICE, first, "'error':'x'");
    for (int i = 0; i < PROBES_KEPT; i++)
        fail_one();
    news();
    CHECK_INT(begin(bridge_of(0), true), 0);
    CHECK_STR(is(other, "state"), "");
    CHECK_STR(is(first, "state"), "failed");
}

static const struct tap_test TESTS[] = {
    {"a report is made anew of the members that are known; what is missing is null", made_anew},
    {"S20 each member of a report that is missing, wrong or holds control characters refuses it, by name", judged},
    {"the verdict is the heaviest of the rules, whatever the report says", heaviest},
    {"S20 64 rules fit into a report, and one more, or a text that is too long, is refused", bounded},
    {"a report is read whole, or not at all, wherever memory runs out", no_memory},
    {"a bridge is asked, tells how far it is, and then what it has found; each is told once", from_start_to_report},
    {"S20 what is malformed, of another bridge, of nobody or a phone's is refused, and changes nothing", refused},
    {"S20 a report that can't be read is refused, and its check has failed with what is wrong in it", unreadable},
    {"one check at a time at a bridge", one_a_bridge},
    {"a bridge that says nothing new for 60 s, or 240 s, has failed", silent},
    {"a bridge that gets on, and on, has failed behind 30 minutes", endless},
    {"a check ends with its bridge's session, and not with a connection that comes back", gone},
    {"the newest of each bridge are kept, and 32 more, the newest first; none that goes on or was not told is thrown away", kept},
    {"the newest of a bridge that is gone is one of the 32", kept_of_the_gone},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
