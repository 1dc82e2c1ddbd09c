/* turnpikectl nodes, drain, reload, log-level, config: the relays themselves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "programs/ctl.h"
#include "programs/show.h"

enum { TEXT_MAX = 65536 }; /* bytes of a configuration that is sent to be checked: what a request may have */

/* ---- The fleet. ---- */

static int show_nodes(struct ctl *c)
{
    static const struct show_column COLUMNS[] = {{"ID", "id", SHOW_TEXT, NULL},
                                                 {"STATE", "state", SHOW_TEXT, NULL},
                                                 {"ALLOCATIONS", "allocations", SHOW_NUMBER, NULL},
                                                 {"CAPACITY", "capacity", SHOW_NUMBER, "-"},
                                                 {"LOAD", "load", SHOW_SHARE, "-"},
                                                 {"VERSION", "version", SHOW_TEXT, NULL},
                                                 {"STARTED", "started_at", SHOW_TIME, NULL},
                                                 {"ADDRESSES", "addresses", SHOW_TEXT, NULL},
                                                 {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *items;
    int status = ctl_list(c, ADMIN_NODES, NULL, &items);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, COLUMNS, "No node is alive.");
    json_decref(items);
    return CTL_OK;
}

int ctlserver_nodes(struct ctl *c)
{
    return ctl_watch(c, show_nodes);
}

static void tell_drain(const json_t *answer)
{
    const char *node = json_string_value(json_object_get(answer, "node"));
    char until[SHOW_TIME_MAX];

    show_time(until, json_integer_value(json_object_get(answer, "deadline_at")), "");
    if (!json_is_true(json_object_get(answer, "draining")))
        printf("%s takes new allocations again.\n", node);
    else if (until[0])
        printf("%s drains: new allocations are sent to other nodes, and those that still live at %s end.\n", node, until);
    else
        printf("%s drains: new allocations are sent to other nodes, those that live go on.\n", node);
}

int ctlserver_drain(struct ctl *c)
{
    const struct options *o = c->options;
    struct ctl_question q = {.operation = o->off ? ADMIN_DRAIN_END : ADMIN_DRAIN};
    json_t *fields = json_object(), *answer;
    int status = CTL_OK;

    if (o->off && o->deadline)
        status = ctl_complain(CTL_USAGE, "drain: --off or --deadline, not both");
    if (!status)
        status = ctl_put_span(c, fields, "deadline_s", "deadline", o->deadline);
    if (status) {
        json_decref(fields);
        return status;
    }
    ctl_put_text(fields, "node", o->node);
    if (o->off)
        q.query = fields;
    else
        q.body = fields;
    status = ctl_ask(c, &q, &answer);
    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, answer);
        return CTL_OK;
    }
    tell_drain(answer);
    json_decref(answer);
    return CTL_OK;
}

/* ---- A relay that goes on. ---- */

int ctlserver_reload(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_RELOAD, .body = json_object()};
    char *keys;
    json_t *answer;
    int status = ctl_ask(c, &q, &answer);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, answer);
        return CTL_OK;
    }
    puts("The configuration is in force.");
    keys = show_text(json_object_get(answer, "needs_restart"), SHOW_TEXT, "");
    if (keys && keys[0])
        printf("These keys have changed, too, and need a restart: %s\n", keys);
    free(keys);
    json_decref(answer);
    return CTL_OK;
}

/* Without an argument it is shown. */
int ctlserver_log_level(struct ctl *c)
{
    struct ctl_question q = {.operation = c->argument ? ADMIN_LOG_LEVEL : ADMIN_STATUS};
    const char *level;
    json_t *answer;
    int status;

    if (c->argument)
        q.body = json_pack("{s:s}", "level", c->argument);
    status = ctl_ask(c, &q, &answer);
    if (status)
        return status;
    level = json_string_value(json_object_get(answer, c->argument ? "level" : "log_level"));
    if (c->options->json)
        ctl_json(c, json_pack("{s:s?}", "level", level));
    else
        puts(level ? level : "");
    json_decref(answer);
    return CTL_OK;
}

/* ---- Its configuration. ---- */

int ctlserver_config(struct ctl *c)
{
    static const struct show_column COLUMNS[] = {{"KEY", "id", SHOW_TEXT, NULL},
                                                 {"VALUE", "value", SHOW_TEXT, NULL},
                                                 {"SOURCE", "source", SHOW_TEXT, NULL},
                                                 {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *items;
    int status = ctl_list(c, ADMIN_CONFIG_GET, NULL, &items);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, COLUMNS, "There are no keys.");
    json_decref(items);
    return CTL_OK;
}

/* The judgement: {"valid","error","warnings"}; released. An invalid configuration is an error of usage. */
static int tell_judgement(const struct ctl *c, json_t *judged)
{
    const json_t *warnings = json_object_get(judged, "warnings");
    const char *error = json_string_value(json_object_get(judged, "error"));
    bool valid = json_is_true(json_object_get(judged, "valid"));

    if (c->options->json) {
        ctl_json(c, judged);
        return valid ? CTL_OK : CTL_USAGE;
    }
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "turnpikectl: warning: %s\n", json_string_value(json_array_get(warnings, i)));
    if (valid)
        puts("The configuration is fine.");
    else
        ctl_complain(CTL_USAGE, "%s", error ? error : "the configuration is not valid");
    json_decref(judged);
    return valid ? CTL_OK : CTL_USAGE;
}

/* By the same reader, here: a file may include others, which nobody who asks from elsewhere may name. */
static int check_here(const struct ctl *c, const char *file)
{
    char program[] = "turnpiked", option[] = "--config", *name = strdup(file);
    char *argv[] = {program, option, name, NULL};
    struct config *config = NULL;
    struct conf_error e = {0};
    int err = name ? config_load(&config, 3, argv, environ, &e) : ERR_NOMEM;
    json_t *judged = json_pack("{s:b,s:s?,s:[]}", "valid", !err, "error", err ? e.text : NULL, "warnings");

    for (size_t i = 0; config && i < config->warnings.n; i++)
        json_array_append_new(json_object_get(judged, "warnings"), json_string(config->warnings.item[i]));
    config_free(&config);
    free(name);
    return tell_judgement(c, judged);
}

static int read_text(const char *file, json_t **out)
{
    char *text = malloc(TEXT_MAX);
    FILE *f = fopen(file, "re");
    size_t n = f && text ? fread(text, 1, TEXT_MAX, f) : 0;
    int status = CTL_OK;

    *out = NULL;
    if (!f || !text || ferror(f))
        status = ctl_complain(CTL_USAGE, "%s: %s", file, strerror(errno));
    else if (n == TEXT_MAX || !(*out = json_stringn(text, n)))
        status = ctl_complain(CTL_USAGE, "%s: a text in UTF-8 of less than %d bytes is expected", file, TEXT_MAX);
    if (f)
        fclose(f);
    if (text)
        explicit_bzero(text, TEXT_MAX); /* secrets, perhaps */
    free(text);
    return status;
}

/* FILE is judged here, unless a relay elsewhere is asked; without it, the relay's own is judged by the relay, if it runs. */
int ctlserver_check(struct ctl *c)
{
    struct ctl_question q = {.operation = ADMIN_CONFIG_CHECK, .may_be_away = c->config_file};
    struct ctl_answer a;
    json_t *text;
    int status;

    if (c->argument && !c->options->url)
        return check_here(c, c->argument);
    if (c->options->offline)
        return check_here(c, c->config_file);
    q.body = json_object();
    if (c->argument) {
        status = read_text(c->argument, &text);
        if (status) {
            json_decref(q.body);
            return status;
        }
        json_object_set_new(q.body, "text", text);
    }
    status = ctl_send(c, &q, &a);
    if (status)
        return status;
    if (!a.status)
        return check_here(c, c->config_file);
    return a.status >= 300 ? ctl_refused(&a) : tell_judgement(c, a.body);
}
