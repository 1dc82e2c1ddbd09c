#include "connect/probereport.h"

#include <stdint.h>
#include <string.h>

#include "connect/jsontext.h"
#include "connect/params.h"

#define NUMBER_MAX (INT64_C(1) << 53) /* what every reader of JSON has */
#define SOURCES    "server browser"
#define WORD       "abcdefghijklmnopqrstuvwxyz0123456789_" /* codes become more with time: their form is judged, and no list of them */
#define ADDRESS    "0123456789abcdef.:[]"

static const char *const VERDICTS[] = {"SKIP", "PASS", "WARN", "FAIL"}; /* the lightest first */
#define VERDICT_WORDS "SKIP PASS WARN FAIL"

#define NO_MORE                                                                                                                    \
    {                                                                                                                              \
        NULL, PARAMS_TEXT, false, 0, 0, NULL                                                                                       \
    }
static const struct params_member REPORT[] = {{"role", PARAMS_WORD, true, 0, 0, SOURCES},
                                              {"quick", PARAMS_FLAG, true, 0, 0, NULL},
                                              {"began_at", PARAMS_CHARS, true, 20, 20, "0123456789-:TZ"},
                                              {"took_ms", PARAMS_WHOLE, true, 0, NUMBER_MAX, NULL},
                                              {"verdict", PARAMS_WORD, true, 0, 0, VERDICT_WORDS},
                                              {"rules", PARAMS_ARRAY, true, 0, PROBEREPORT_RULES_MAX, NULL},
                                              NO_MORE};
static const struct params_member RULE[] = {{"number", PARAMS_WHOLE, true, 1, 9999, NULL},
                                            {"text", PARAMS_LINE, true, 0, PROBEREPORT_NAME_MAX, NULL},
                                            {"source", PARAMS_WORD, true, 0, 0, SOURCES},
                                            {"destination", PARAMS_LINE, true, 1, PROBEREPORT_NAME_MAX, NULL},
                                            {"protocol", PARAMS_WORD, true, 0, 0, "tcp udp"},
                                            {"port", PARAMS_WHOLE, true, 1, 65535, NULL},
                                            {"host", PARAMS_LINE, false, 1, PROBEREPORT_NAME_MAX, NULL},
                                            {"address", PARAMS_CHARS, false, 1, PROBEREPORT_ADDRESS_MAX, ADDRESS},
                                            {"verdict", PARAMS_WORD, true, 0, 0, VERDICT_WORDS},
                                            {"stage", PARAMS_CHARS, false, 1, PROBEREPORT_WORD_MAX, WORD},
                                            {"code", PARAMS_CHARS, false, 1, PROBEREPORT_WORD_MAX, WORD},
                                            {"evidence", PARAMS_LINE, true, 0, PROBEREPORT_TEXT_MAX, NULL},
                                            {"cure", PARAMS_LINE, false, 1, PROBEREPORT_TEXT_MAX, NULL},
                                            {"add", PARAMS_LINE, false, 1, PROBEREPORT_TEXT_MAX, NULL},
                                            {"measures", PARAMS_OBJECT, true, 0, 0, NULL},
                                            NO_MORE};
static const struct params_member MEASURES[] = {{"connect_ms", PARAMS_NUMBER, false, 0, NUMBER_MAX, NULL},
                                                {"open_ms", PARAMS_NUMBER, false, 0, NUMBER_MAX, NULL},
                                                {"idle_s", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                                {"mapped", PARAMS_CHARS, false, 1, PROBEREPORT_ADDRESS_MAX, ADDRESS},
                                                {"relayed", PARAMS_CHARS, false, 1, PROBEREPORT_ADDRESS_MAX, ADDRESS},
                                                {"stream", PARAMS_OBJECT, false, 0, 0, NULL},
                                                {"mtu", PARAMS_WHOLE, false, 0, 65535, NULL},
                                                {"udp_idle_s", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                                {"nat", PARAMS_CHARS, false, 1, PROBEREPORT_WORD_MAX, WORD},
                                                {"nat_filter", PARAMS_CHARS, false, 1, PROBEREPORT_WORD_MAX, WORD},
                                                NO_MORE};
static const struct params_member STREAM[] = {{"sent", PARAMS_WHOLE, true, 1, NUMBER_MAX, NULL},
                                              {"received", PARAMS_WHOLE, true, 0, NUMBER_MAX, NULL},
                                              {"loss_percent", PARAMS_NUMBER, true, 0, 100, NULL},
                                              {"reordered", PARAMS_WHOLE, true, 0, NUMBER_MAX, NULL},
                                              {"rtt_ms", PARAMS_NUMBER, false, 0, NUMBER_MAX, NULL},
                                              {"jitter_ms", PARAMS_NUMBER, false, 0, NUMBER_MAX, NULL},
                                              NO_MORE};

/* What members say, of `from`, and null for what is not there. NULL: `*wrong` names one; or no memory, and it names none. */
static json_t *made(const json_t *from, const struct params_member *members, const char **wrong)
{
    json_t *to = json_object();
    int failed = 0;

    for (const struct params_member *m = members; m->name; m++) {
        json_t *value = json_object_get(from, m->name);

        if (value && !json_is_null(value))
            failed |= json_object_set(to, m->name, value);
    }
    *wrong = failed ? NULL : params_check(to, members);
    for (const struct params_member *m = members; m->name; m++)
        if (!json_object_get(to, m->name))
            failed |= json_object_set_new(to, m->name, json_null());
    if (!failed && !*wrong)
        return to;
    json_decref(to);
    return NULL;
}

/* Puts an object of an object in anew, unless it is null. False: as `made`. */
static bool remake(json_t *of, const char *name, const struct params_member *members, const char **wrong)
{
    json_t *anew, *old = json_object_get(of, name);

    if (json_is_null(old))
        return true;
    anew = made(old, members, wrong);
    return anew && !json_object_set_new(of, name, anew);
}

/* Who reads a verdict relies on its code, and on there being none where all is well. */
static bool has_reason(const json_t *rule)
{
    const char *verdict = params_text(rule, "verdict");
    bool heavy = strcmp(verdict, "WARN") == 0 || strcmp(verdict, "FAIL") == 0;

    return json_is_string(json_object_get(rule, "code")) == heavy;
}

static json_t *rule_of(const json_t *from, const char **wrong)
{
    json_t *rule = made(from, RULE, wrong), *measures;

    if (!rule)
        return NULL;
    if (!has_reason(rule))
        *wrong = "code";
    else if (remake(rule, "measures", MEASURES, wrong) && (measures = json_object_get(rule, "measures")) &&
             remake(measures, "stream", STREAM, wrong))
        return rule;
    json_decref(rule);
    return NULL;
}

/* False: as `made`. */
static bool read_rules(json_t *to, const json_t *from, const char **wrong)
{
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *entry = json_array_get(from, i);
        json_t *rule;

        *wrong = json_is_object(entry) ? NULL : "rules";
        rule = *wrong ? NULL : rule_of(entry, wrong);
        if (!rule || json_array_append_new(to, rule))
            return false;
    }
    return true;
}

/* Whatever the bridge makes of its rules: a lamp that is green beside a rule that fails would be believed. */
static const char *heaviest_of(const json_t *rules)
{
    size_t heaviest = 0;

    for (size_t i = 0; i < json_array_size(rules); i++)
        for (size_t v = heaviest + 1; v < sizeof(VERDICTS) / sizeof(VERDICTS[0]); v++)
            if (strcmp(VERDICTS[v], params_text(json_array_get(rules, i), "verdict")) == 0)
                heaviest = v;
    return VERDICTS[heaviest];
}

enum rpc_error probereport_read(struct probereport *out, const json_t *from, const char **wrong)
{
    json_t *report = made(from, REPORT, wrong), *rules = json_array();

    *out = (struct probereport){0};
    if (report && read_rules(rules, json_object_get(report, "rules"), wrong) && !json_object_set(report, "rules", rules) &&
        !json_object_set_new(report, "verdict", json_string(heaviest_of(rules))))
        *out = (struct probereport){jsontext_of(report, NULL), heaviest_of(rules), (unsigned)json_array_size(rules)};
    json_decref(report);
    json_decref(rules);
    if (out->text)
        return RPC_OK;
    *out = (struct probereport){0};
    return *wrong ? RPC_PARAMS : RPC_UNAVAILABLE;
}
