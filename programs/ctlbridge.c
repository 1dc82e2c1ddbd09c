/* turnpikectl bridge status: the media bridges, and the calls that they join. */
#include <stdio.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/show.h"

/* ---- As rows. ---- */

/* A copy of one of its numbers that say since when, as how long that is. */
static void set_age(const struct ctl *c, json_t *row, const char *key, const json_t *since)
{
    int64_t age = c->now - json_integer_value(since);

    if (json_is_integer(since))
        json_object_set_new(row, key, json_integer(age < 0 ? 0 : age));
}

static const char *name_of(const json_t *bridge)
{
    const char *name = show_member(bridge, "name");

    return name[0] ? name : show_member(bridge, "user");
}

static json_t *pbx_of(const json_t *status)
{
    const json_t *pbx = json_object_get(status, "pbx");
    const char *reason = show_member(pbx, "reason");

    if (!pbx)
        return json_null();
    return json_sprintf("%s %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT "%s%s", show_member(pbx, "state"),
                        json_integer_value(json_object_get(pbx, "registered")), json_integer_value(json_object_get(pbx, "lines")),
                        reason[0] ? ": " : "", reason);
}

static json_t *bridge_row(const struct ctl *c, json_t *bridge)
{
    const json_t *status = json_object_get(bridge, "status");
    json_t *row = json_copy(bridge);

    json_object_set_new(row, "name", json_string(name_of(bridge)));
    json_object_set_new(row, "pbx", pbx_of(status));
    if (json_is_true(json_object_get(bridge, "connected")))
        set_age(c, row, "connected_s", json_object_get(bridge, "connected_at"));
    set_age(c, row, "pbx_s", json_object_get(json_object_get(status, "pbx"), "since"));
    set_age(c, row, "up_s", json_object_get(status, "since"));
    set_age(c, row, "told_s", json_object_get(bridge, "status_at"));
    return row;
}

static json_t *call_row(const struct ctl *c, const json_t *bridge, json_t *call)
{
    const char *path = show_member(call, "path");
    json_t *row = json_copy(call);

    json_object_set_new(row, "bridge", json_string(name_of(bridge)));
    set_age(c, row, "age_s", json_object_get(call, "since"));
    if (path[0])
        json_object_set_new(row, "path",
                            json_sprintf("%s (%s, %s)", path, show_member(call, "local"), show_member(call, "remote")));
    return row;
}

static json_t *calls_of(const struct ctl *c, const json_t *bridges)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < json_array_size(bridges); i++) {
        const json_t *bridge = json_array_get(bridges, i), *calls = json_object_get(json_object_get(bridge, "status"), "calls");

        for (size_t k = 0; k < json_array_size(calls); k++)
            json_array_append_new(rows, call_row(c, bridge, json_array_get(calls, k)));
    }
    return rows;
}

/* ---- For people. ---- */

static void show_bridges(const struct ctl *c, const json_t *bridges)
{
    static const struct show_column BRIDGES[] = {{"BRIDGE", "name", SHOW_TEXT, NULL},
                                                 {"TENANT", "tenant", SHOW_TEXT, NULL},
                                                 {"SESSION", "id", SHOW_TEXT, NULL},
                                                 {"CLIENT", "client", SHOW_TEXT, NULL},
                                                 {"CONNECTED", "connected_s", SHOW_SPAN, "lost"},
                                                 {"VERSION", "status.version", SHOW_TEXT, "-"},
                                                 {"UP", "up_s", SHOW_SPAN, "-"},
                                                 {"CALLS", "status.calls_now", SHOW_NUMBER, "-"},
                                                 {"OF", "status.calls_max", SHOW_NUMBER, "-"},
                                                 {"TOLD", "told_s", SHOW_SPAN, "never"},
                                                 {"FOR", "pbx_s", SHOW_SPAN, "-"},
                                                 {"PBX", "pbx", SHOW_TEXT, "-"},
                                                 {NULL, NULL, SHOW_TEXT, NULL}},
                                    CALLS[] = {{"CALL", "call", SHOW_TEXT, NULL},
                                               {"BRIDGE", "bridge", SHOW_TEXT, NULL},
                                               {"FROM", "from", SHOW_TEXT, NULL},
                                               {"AGE", "age_s", SHOW_SPAN, NULL},
                                               {"STATE", "state", SHOW_TEXT, NULL},
                                               {"PATH", "path", SHOW_TEXT, "-"},
                                               {"RECEIVED", "received", SHOW_NUMBER, "-"},
                                               {"LOST", "lost", SHOW_NUMBER, "-"},
                                               {"RTT MS", "rtt_ms", SHOW_NUMBER, "-"},
                                               {"JITTER MS", "jitter_ms", SHOW_NUMBER, "-"},
                                               {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *rows = json_array(), *calls = calls_of(c, bridges);

    for (size_t i = 0; i < json_array_size(bridges); i++)
        json_array_append_new(rows, bridge_row(c, json_array_get(bridges, i)));
    show_table(rows, BRIDGES, "");
    putchar('\n');
    show_table(calls, CALLS, "There are no calls.");
    json_decref(rows);
    json_decref(calls);
}

/* Nobody is there: why, and what to do about it. */
static int tell_none(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_STATUS};
    json_t *s;
    int status = ctl_ask(c, &q, &s);

    if (status)
        return status;
    if (!json_is_string(json_object_get(json_object_get(s, "connect"), "listen")))
        puts("There is no connect service: set connect-listen in turnpiked's configuration, and start it anew.");
    else if (c->options->tenant)
        printf("No bridge of the tenant %s is connected: does its token have this --tenant? Its log says why it is not here.\n",
               c->options->tenant);
    else
        puts("No bridge is connected: start turnpike-bridge with the connect-url of this relay and a token of scope bridge; if it "
             "runs, "
             "its log (event=not_connected) says why it is not here.");
    json_decref(s);
    return CTL_OK;
}

static int show_status(struct ctl *c)
{
    json_t *query = json_object(), *items;
    int status;

    ctl_put_text(query, "tenant", c->options->tenant);
    status = ctl_list(c, ADMIN_BRIDGES, query, &items);
    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    if (json_array_size(items))
        show_bridges(c, items);
    else
        status = tell_none(c);
    json_decref(items);
    return status;
}

int ctlbridge_status(struct ctl *c)
{
    return ctl_watch(c, show_status);
}
