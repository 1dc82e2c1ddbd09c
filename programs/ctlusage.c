/* turnpikectl usage, credentials, ice-servers: what was used, and what an application hands to a client. */
#include <stdio.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/show.h"
#include "programs/words.h"

/* ---- Usage. ---- */

/* A time that is over, as seconds since 1970. */
static int put_past(const struct ctl *c, json_t *query, const char *key, const char *text)
{
    int64_t t;

    if (!text)
        return CTL_OK;
    if (!c->options->by || words_time(&t, text, c->now))
        return ctl_complain(CTL_USAGE, "--%s=%s: 8h or 7d (ago), or @ and seconds since 1970 is expected, and --by", key, text);
    if (text[0] != '@')
        t = 2 * c->now - t;
    json_object_set_new(query, key, json_sprintf("%lld", (long long)t));
    return CTL_OK;
}

static int query_of(const struct ctl *c, json_t *query)
{
    const struct options *o = c->options;
    int status = CTL_OK;

    if (o->by && strcmp(o->by, "hour") != 0 && strcmp(o->by, "day") != 0)
        status = ctl_complain(CTL_USAGE, "--by=%s: hour or day is expected", o->by);
    if (!status)
        status = put_past(c, query, "since", o->since);
    if (!status)
        status = put_past(c, query, "until", o->until);
    ctl_put_text(query, "owner", o->owner);
    ctl_put_text(query, "label", o->label);
    ctl_put_text(query, "by", o->by);
    return status;
}

#define USED                                                                                                                       \
    {"ALLOCATIONS", "allocations", SHOW_NUMBER, NULL}, {"PEAK", "peak", SHOW_NUMBER, "-"},                                         \
        {"SECONDS", "seconds", SHOW_NUMBER, NULL}, {"PACKETS UP", "packets_up", SHOW_NUMBER, NULL},                                \
        {"PACKETS DOWN", "packets_down", SHOW_NUMBER, NULL}, {"BYTES UP", "bytes_up", SHOW_NUMBER, NULL},                          \
        {"BYTES DOWN", "bytes_down", SHOW_NUMBER, NULL},                                                                           \
    {                                                                                                                              \
        NULL, NULL, SHOW_TEXT, NULL                                                                                                \
    }

static int show_usage(struct ctl *c)
{
    static const struct show_column ALL[] = {{"OWNER", "owner", SHOW_TEXT, NULL}, {"LABEL", "label", SHOW_TEXT, NULL}, USED},
                                    BY_TIME[] = {{"OWNER", "owner", SHOW_TEXT, NULL},
                                                 {"LABEL", "label", SHOW_TEXT, NULL},
                                                 {"FROM", "from", SHOW_TIME, NULL},
                                                 USED};
    json_t *query = json_object(), *items;
    int status = query_of(c, query);

    if (status) {
        json_decref(query);
        return status;
    }
    status = ctl_list(c, ADMIN_USAGE, query, &items);
    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, c->options->by ? BY_TIME : ALL, "Nothing has been used.");
    json_decref(items);
    return CTL_OK;
}

int ctlusage_show(struct ctl *c)
{
    return ctl_watch(c, show_usage);
}

/* ---- Credentials, in the shapes that applications know. ---- */

/* null would be the default, which ends. */
static int put_ttl(const struct ctl *c, json_t *object)
{
    const char *text = c->options->ttl;

    if (text && strcmp(text, "never") == 0)
        return ctl_complain(CTL_USAGE, "--ttl=never: these credentials end: token issue makes one that does not");
    return ctl_put_span(c, object, "ttl", "ttl", text);
}

int ctlusage_credentials(struct ctl *c)
{
    static const struct show_column LINES[] = {{"username", "username", SHOW_TEXT, NULL},
                                               {"password", "password", SHOW_TEXT, NULL},
                                               {"seconds", "ttl", SHOW_TEXT, NULL},
                                               {"uris", "uris", SHOW_TEXT, NULL},
                                               {NULL, NULL, SHOW_TEXT, NULL}};
    struct ctl_question q = {.operation = ADMIN_TURN_REST, .query = json_pack("{s:s}", "service", "turn")};
    json_t *span = json_object(), *made;
    int status = put_ttl(c, span);

    ctl_put_text(q.query, "username", c->argument);
    if (json_is_integer(json_object_get(span, "ttl")))
        json_object_set_new(q.query, "ttl", json_sprintf("%lld", (long long)json_integer_value(json_object_get(span, "ttl"))));
    json_decref(span);
    if (status) {
        json_decref(q.query);
        return status;
    }
    status = ctl_ask(c, &q, &made);
    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, made);
        return CTL_OK;
    }
    show_lines(made, LINES);
    json_decref(made);
    return CTL_OK;
}

int ctlusage_ice_servers(struct ctl *c)
{
    struct ctl_question q = {.operation = ADMIN_ICE_SERVERS, .body = json_object()};
    int status = put_ttl(c, q.body);
    json_t *made;

    ctl_put_text(q.body, "owner", c->options->owner);
    ctl_put_text(q.body, "label", c->options->label);
    if (status) {
        json_decref(q.body);
        return status;
    }
    status = ctl_ask(c, &q, &made);
    if (!status)
        ctl_json(c, made); /* for a program in any case */
    return status;
}
