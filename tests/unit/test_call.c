/* call: preconditions and what operations read; metric: both formats. */
#include "admin/call.h"

#include <stdlib.h>

#include "admin/metric.h"
#include "tests/unit/tap.h"

static struct admin_answer answer;

static void etags(void)
{
    json_t *body = json_pack("{s:i,s:s}", "b", 1, "a", "x"), *same = json_pack("{s:s,s:i}", "a", "x", "b", 1),
           *other = json_pack("{s:i}", "b", 2);
    char etag[ADMIN_ETAG_MAX], again[ADMIN_ETAG_MAX], list[3 * ADMIN_ETAG_MAX];
    struct admin_request r = {.if_match = NULL};

    admin_etag(etag, body);
    admin_etag(again, same);
    CHECK_STR(etag, again);
    CHECK(admin_matches(&r, NULL, &answer));
    r.if_match = "*";
    CHECK(admin_matches(&r, body, &answer));
    CHECK(!admin_matches(&r, NULL, &answer));
    CHECK_INT(answer.status, 412);
    r.if_match = etag;
    CHECK(admin_matches(&r, body, &answer));
    CHECK(!admin_matches(&r, other, &answer));
    snprintf(list, sizeof(list), "\"x\" , %s\t,W/%s", etag, etag);
    r.if_match = list;
    CHECK(admin_matches(&r, body, &answer));
    snprintf(list, sizeof(list), "W/%s,, \"x\"", etag);
    CHECK(!admin_matches(&r, body, &answer));
    r.if_match = "";
    CHECK(!admin_matches(&r, body, &answer));
    json_decref(body);
    json_decref(same);
    json_decref(other);
    admin_answer_clear(&answer);
}

static void members(void)
{
    struct admin_request r = {
        .query = json_pack("{s:s,s:s,s:s,s:s}", "limit", "10", "bad", "10x", "yes", "true", "from", "query"),
        .body = json_pack("{s:i,s:s,s:b,s:f,s:s,s:n}", "n", 7, "text", "12", "flag", 1, "real", 1.5, "from", "body", "none")};
    const char *text;
    int64_t n;
    bool flag;

    CHECK(admin_text(&r, "text", 2, &text, &answer));
    CHECK_STR(text, "12");
    CHECK(!admin_text(&r, "text", 1, &text, &answer));
    CHECK_INT(answer.status, 400);
    CHECK(strstr(answer.detail, "text: "));
    CHECK(!admin_text(&r, "n", 9, &text, &answer));
    CHECK(admin_text(&r, "none", 9, &text, &answer) && !text);
    CHECK(admin_text(&r, "from", 9, &text, &answer));
    CHECK_STR(text, "query");
    CHECK(admin_number(&r, "n", 1, 7, 0, &n, &answer) && n == 7);
    CHECK(!admin_number(&r, "n", 8, 9, 0, &n, &answer));
    CHECK(!admin_number(&r, "n", 1, 6, 0, &n, &answer));
    CHECK(!admin_number(&r, "text", 0, 99, 0, &n, &answer)); /* in a body a number is a number */
    CHECK(!admin_number(&r, "real", 0, 99, 0, &n, &answer));
    CHECK(admin_number(&r, "limit", 1, 100, 0, &n, &answer) && n == 10);
    CHECK(!admin_number(&r, "bad", 1, 100, 0, &n, &answer));
    CHECK(admin_number(&r, "absent", 1, 100, -1, &n, &answer) && n == -1);
    CHECK(admin_flag(&r, "yes", false, &flag, &answer) && flag);
    CHECK(admin_flag(&r, "flag", false, &flag, &answer) && flag);
    CHECK(!admin_flag(&r, "n", false, &flag, &answer));
    CHECK(admin_only(&r, "n text flag real from none", &answer));
    CHECK(!admin_only(&r, "n text flag real from non nonee", &answer));
    CHECK(strstr(answer.detail, "none"));
    json_decref(r.query);
    json_decref(r.body);
}

/* What was cut, or came from outside, must still be JSON. */
static void details(void)
{
    char text[ADMIN_DETAIL_MAX + 8];
    json_t *json;

    memset(text, 'x', sizeof(text));
    memcpy(text + ADMIN_DETAIL_MAX - 2, "\xC3\xBC", 3); /* cut in its middle */
    admin_answer_problem(&answer, 400, "%s", text);
    json = json_string(answer.detail);
    CHECK(json);
    json_decref(json);
    admin_answer_problem(&answer, 400, "name %s: \xF0\x9F\x98\x80", "\xFF\x80");
    CHECK_STR(answer.detail, "name ??: \xF0\x9F\x98\x80");
}

static char *written(bool openmetrics)
{
    static const double BOUNDS[] = {0.5, 2};
    struct metric_writer *w;
    size_t len;

    if (metric_open(&w, openmetrics))
        return NULL;
    metric_family(w, "bytes", METRIC_COUNTER, "Bytes.");
    metric_count(w, METRIC_LABELS({"path", "a\"b\\c\nd"}, {"dir", "up"}), UINT64_MAX);
    metric_family(w, "up", METRIC_GAUGE, "Is it?");
    metric_value(w, NULL, 0.1);
    metric_value(w, METRIC_LABELS({"a", "b"}), 1760012346);
    metric_family(w, "seconds", METRIC_HISTOGRAM, "Time.");
    metric_histogram(w, NULL, BOUNDS, (const uint64_t[]){1, 2, 4}, 2, 9.5);
    return metric_close(&w, &len);
}

static void metrics(void)
{
    char *text = written(false), *open = written(true);

    CHECK(text && open);
    CHECK_STR(text,
              "# HELP turnpike_bytes_total Bytes.\n# TYPE turnpike_bytes_total counter\n"
              "turnpike_bytes_total{path=\"a\\\"b\\\\c\\nd\",dir=\"up\"} 18446744073709551615\n"
              "# HELP turnpike_up Is it?\n# TYPE turnpike_up gauge\nturnpike_up 0.1\n"
              "turnpike_up{a=\"b\"} 1760012346\n"
              "# HELP turnpike_seconds Time.\n# TYPE turnpike_seconds histogram\n"
              "turnpike_seconds_bucket{le=\"0.5\"} 1\nturnpike_seconds_bucket{le=\"2\"} 3\nturnpike_seconds_bucket{le=\"+Inf\"} 7\n"
              "turnpike_seconds_sum 9.5\nturnpike_seconds_count 7\n");
    CHECK(strstr(open, "# TYPE turnpike_bytes counter\nturnpike_bytes_total{"));
    CHECK(strstr(open, "le=\"2.0\"} 3\n"));
    CHECK_STR(open + strlen(open) - 6, "# EOF\n");
    free(text);
    free(open);
}

static const struct tap_test TESTS[] = {
    {"a change goes on only if what there is has the ETag that was seen", etags},
    {"S7 a problem's detail is UTF-8, whatever was cut or came from outside", details},
    {"members of query and body are read within their limits, and unknown ones are named", members},
    {"S7 metrics in both formats, with label values escaped", metrics},
};

TAP_MAIN(TESTS)
