/* turnpikectl bridge check: the firewall's rules of a bridge's place, proved by the bridge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "probe/codes.h"
#include "programs/ctl.h"
#include "programs/show.h"

enum {
    LOOK_MS = 500,        /* between two looks at how far it is */
    RULE_WIDTH = 30,      /* columns of a rule's name, as turnpike-probe's table has them, */
    DESTINATION_MAX = 31, /* and bytes of where it leads to, with the NUL */
};

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ---- What it has found, as turnpike-probe shows it. ---- */

static void put_text(const json_t *object, const char *key)
{
    char *text = show_text(json_object_get(object, key), SHOW_TEXT, "");

    fputs(text ? text : "", stdout);
    free(text);
}

static const char *place_of(const json_t *rule)
{
    return strcmp(show_member(rule, "source"), "server") == 0 ? "office" : "browser";
}

static void print_name(const json_t *rule)
{
    char destination[DESTINATION_MAX], *text;
    json_t *name;

    snprintf(destination, sizeof(destination), "%s", show_member(rule, "destination"));
    utf8_mend(destination); /* it may have been cut within a character */
    name = json_sprintf("%s -> %s %s/%lld", place_of(rule), destination, show_member(rule, "protocol"), number_of(rule, "port"));
    text = show_text(name, SHOW_TEXT, "");
    printf("%-*s", RULE_WIDTH, text ? text : "");
    free(text);
    json_decref(name);
}

/* What the code says, if this program knows it: the bridge may be a newer one. */
static void print_code(const json_t *rule)
{
    for (int i = CODE_NONE + 1; i < CODE_N; i++)
        if (strcmp(codes_name((enum code)i), show_member(rule, "code")) == 0)
            printf(": %s", codes_text((enum code)i));
}

static void print_rule(const json_t *rule)
{
    const char *cure = json_is_string(json_object_get(rule, "add")) ? "add" : "cure";

    printf("%s %4lld  ", show_member(rule, "verdict"), number_of(rule, "number"));
    print_name(rule);
    fputs("  ", stdout);
    put_text(rule, "evidence");
    putchar('\n');
    if (!json_is_string(json_object_get(rule, "code")))
        return;
    fputs("           ", stdout);
    put_text(rule, "stage");
    fputs(": ", stdout);
    put_text(rule, "code");
    print_code(rule);
    printf("\n           %s: ", cure);
    put_text(rule, cure);
    putchar('\n');
}

static int verdicts(const json_t *rules, const char *verdict)
{
    int n = 0;

    for (size_t i = 0; i < json_array_size(rules); i++)
        n += strcmp(show_member(json_array_get(rules, i), "verdict"), verdict) == 0;
    return n;
}

static void print_report(const json_t *report)
{
    const json_t *rules = json_object_get(report, "rules");
    long long ms = number_of(report, "took_ms");

    for (size_t i = 0; i < json_array_size(rules); i++)
        print_rule(json_array_get(rules, i));
    printf("%zu rules at the bridge in %lld.%lld s: %d pass, %d warn, %d fail, %d not tried.%s\n", json_array_size(rules),
           ms / 1000, ms % 1000 / 100, verdicts(rules, "PASS"), verdicts(rules, "WARN"), verdicts(rules, "FAIL"),
           verdicts(rules, "SKIP"),
           json_is_true(json_object_get(report, "quick")) ? " Quick: short waits, and no idle time-outs." : "");
}

/* ---- The run. ---- */

static bool is_running(const json_t *probe)
{
    return strcmp(show_member(probe, "state"), "running") == 0;
}

static void show_progress(const json_t *probe)
{
    if (!isatty(STDERR_FILENO))
        return;
    if (!is_running(probe))
        fputs("\r                        \r", stderr);
    else if (number_of(probe, "of"))
        fprintf(stderr, "\r%lld of %lld rules ", number_of(probe, "done"), number_of(probe, "of"));
}

static int look(struct ctl *c, json_t **probe)
{
    char id[32];
    const struct ctl_question q = {.operation = ADMIN_PROBE_GET, .id = id};

    snprintf(id, sizeof(id), "%s", show_member(*probe, "id"));
    json_decref(*probe);
    return ctl_ask(c, &q, probe);
}

static int status_of(const json_t *probe)
{
    const char *verdict = show_member(probe, "verdict");

    if (strcmp(show_member(probe, "state"), "failed") == 0)
        return ctl_complain(CTL_FAULT, "bridge check: %s", show_member(probe, "error"));
    if (strcmp(verdict, "SKIP") == 0)
        return ctl_complain(CTL_FAULT, "bridge check: no rule could be tried");
    return strcmp(verdict, "FAIL") == 0 ? CTL_RULE_FAILS : CTL_OK;
}

int ctlprobe_check(struct ctl *c)
{
    struct ctl_question q = {.operation = ADMIN_PROBE_START, .body = json_object()};
    json_t *probe;
    int status;

    ctl_put_text(q.body, "bridge", c->options->bridge);
    json_object_set_new(q.body, "quick", json_boolean(c->options->quick));
    status = ctl_ask(c, &q, &probe);
    while (!status && is_running(probe)) {
        show_progress(probe);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
        status = look(c, &probe);
    }
    if (status)
        return status;
    show_progress(probe);
    status = status_of(probe);
    if (c->options->json)
        ctl_json(c, json_incref(probe));
    else if (json_is_object(json_object_get(probe, "report")))
        print_report(json_object_get(probe, "report"));
    json_decref(probe);
    return status;
}
