/* turnpikectl status, allocations, kick: what a relay does now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/show.h"

/* ---- Status. ---- */

static void show_addresses(const char *name, const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *a = json_array_get(array, i);
        const char *transport = json_string_value(json_object_get(a, "transport")),
                   *address = json_string_value(json_object_get(a, "address")),
                   *advertised = json_string_value(json_object_get(a, "advertised"));
        char text[256];

        snprintf(text, sizeof(text), "%s%s%s", transport ? transport : "", transport ? " " : "", address ? address : "");
        if (json_is_integer(json_object_get(a, "port")))
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " port %lld",
                     (long long)json_integer_value(json_object_get(a, "port")));
        if (advertised && address && strcmp(advertised, address) != 0)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " (as %s)", advertised);
        show_line(i ? "" : name, text);
    }
}

static void show_traffic(const json_t *traffic)
{
    const char *path;
    json_t *sums;

    json_object_foreach((json_t *)(uintptr_t)traffic, path, sums)
    {
        char *cell[4], name[32], text[256];
        static const char *const KEYS[] = {"bytes_up", "packets_up", "bytes_down", "packets_down"};

        for (size_t i = 0; i < 4; i++)
            cell[i] = show_text(json_object_get(sums, KEYS[i]), SHOW_SHORT, "0");
        snprintf(text, sizeof(text), "%s bytes in %s packets up, %s bytes in %s packets down", cell[0], cell[1], cell[2], cell[3]);
        snprintf(name, sizeof(name), "%s traffic", path);
        show_line(name, text);
        for (size_t i = 0; i < 4; i++)
            free(cell[i]);
    }
}

static void show_health(const json_t *s)
{
    const json_t *reasons = json_object_get(s, "reasons");

    show_line("state", json_is_true(json_object_get(s, "draining")) ? "draining"
                       : json_is_true(json_object_get(s, "ready"))  ? "ready"
                                                                    : "not ready");
    for (size_t i = 0; i < json_array_size(reasons); i++) {
        const char *reason = json_string_value(json_array_get(reasons, i));

        show_line(i ? "" : "because", reason ? reason : "");
    }
}

static void status_lines(const json_t *s)
{
    static const struct show_column HEAD[] = {{"version", "version", SHOW_TEXT, NULL},
                                              {"node", "node", SHOW_TEXT, NULL},
                                              {"process", "pid", SHOW_TEXT, NULL},
                                              {"up", "uptime_s", SHOW_SPAN, NULL},
                                              {NULL, NULL, SHOW_TEXT, NULL}},
                                    MIDDLE[] = {{"drains until", "drain_deadline_at", SHOW_TIME, NULL},
                                                {"realm", "realm", SHOW_TEXT, NULL},
                                                {"store", "store.kind", SHOW_TEXT, NULL},
                                                {"certificate to", "certificate.expires_at", SHOW_TIME, NULL},
                                                {"workers", "workers", SHOW_TEXT, NULL},
                                                {"offload", "offload.mode", SHOW_TEXT, NULL},
                                                {"log level", "log_level", SHOW_TEXT, NULL},
                                                {NULL, NULL, SHOW_TEXT, NULL}},
                                    TAIL[] = {{"urls", "urls", SHOW_TEXT, NULL},
                                              {"allocations", "allocations.active", SHOW_TEXT, NULL},
                                              {"of at most", "allocations.limit", SHOW_TEXT, NULL},
                                              {"created", "allocations.created", SHOW_TEXT, NULL},
                                              {"refused", "allocations.refused", SHOW_TEXT, NULL},
                                              {"dropped", "drops", SHOW_TEXT, NULL},
                                              {"auth failures", "auth_failures", SHOW_TEXT, NULL},
                                              {"nodes", "nodes", SHOW_TEXT, NULL},
                                              {NULL, NULL, SHOW_TEXT, NULL}};

    show_lines(s, HEAD);
    show_health(s);
    show_lines(s, MIDDLE);
    show_addresses("listeners", json_object_get(s, "listeners"));
    show_addresses("relays", json_object_get(s, "relays"));
    show_lines(s, TAIL);
    show_traffic(json_object_get(s, "traffic"));
}

static int show_status(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_STATUS};
    json_t *s;
    int status = ctl_ask(c, &q, &s);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, s);
        return CTL_OK;
    }
    status_lines(s);
    json_decref(s);
    return CTL_OK;
}

int ctlrelay_status(struct ctl *c)
{
    return ctl_watch(c, show_status);
}

/* ---- Allocations. ---- */

static json_t *filter_of(const struct ctl *c)
{
    json_t *query = json_object();

    ctl_put_text(query, "user", c->options->user);
    ctl_put_text(query, "client", c->options->client);
    ctl_put_text(query, "peer", c->options->peer);
    ctl_put_text(query, "transport", c->options->transport);
    return query;
}

static int show_all(struct ctl *c)
{
    static const struct show_column COLUMNS[] = {{"ID", "id", SHOW_TEXT, NULL},
                                                 {"USER", "user", SHOW_TEXT, NULL},
                                                 {"CLIENT", "client", SHOW_TEXT, NULL},
                                                 {"OVER", "transport", SHOW_TEXT, NULL},
                                                 {"RELAYED", "relayed", SHOW_TEXT, NULL},
                                                 {"AGE", "age_s", SHOW_SPAN, NULL},
                                                 {"ENDS IN", "expires_in_s", SHOW_SPAN, NULL},
                                                 {"BIT/S UP", "bps_up", SHOW_SHORT, NULL},
                                                 {"BIT/S DOWN", "bps_down", SHOW_SHORT, NULL},
                                                 {"BYTES UP", "bytes_up", SHOW_SHORT, NULL},
                                                 {"BYTES DOWN", "bytes_down", SHOW_SHORT, NULL},
                                                 {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *items;
    int status = ctl_list(c, ADMIN_ALLOCATIONS_LIST, filter_of(c), &items);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, COLUMNS, "There are no allocations.");
    json_decref(items);
    return CTL_OK;
}

static void lines_of_one(const json_t *a)
{
    static const struct show_column LINES[] = {{"id", "id", SHOW_TEXT, NULL},
                                               {"user", "user", SHOW_TEXT, NULL},
                                               {"owner", "owner", SHOW_TEXT, NULL},
                                               {"client", "client", SHOW_TEXT, NULL},
                                               {"server", "server", SHOW_TEXT, NULL},
                                               {"over", "transport", SHOW_TEXT, NULL},
                                               {"relayed", "relayed", SHOW_TEXT, NULL},
                                               {"worker", "worker", SHOW_TEXT, NULL},
                                               {"created", "created_at", SHOW_TIME, NULL},
                                               {"ends in", "expires_in_s", SHOW_SPAN, NULL},
                                               {"packets up", "packets_up", SHOW_TEXT, NULL},
                                               {"packets down", "packets_down", SHOW_TEXT, NULL},
                                               {"bytes up", "bytes_up", SHOW_TEXT, NULL},
                                               {"bytes down", "bytes_down", SHOW_TEXT, NULL},
                                               {"bit/s up", "bps_up", SHOW_SHORT, NULL},
                                               {"bit/s down", "bps_down", SHOW_SHORT, NULL},
                                               {NULL, NULL, SHOW_TEXT, NULL}},
                                    PERMISSIONS[] = {{"PERMISSION", "peer", SHOW_TEXT, NULL},
                                                     {"ENDS IN", "expires_in_s", SHOW_SPAN, NULL},
                                                     {NULL, NULL, SHOW_TEXT, NULL}},
                                    CHANNELS[] = {{"CHANNEL", "number", SHOW_TEXT, NULL},
                                                  {"PEER", "peer", SHOW_TEXT, NULL},
                                                  {"ENDS IN", "expires_in_s", SHOW_SPAN, NULL},
                                                  {NULL, NULL, SHOW_TEXT, NULL}};

    show_lines(a, LINES);
    putchar('\n');
    show_table(json_object_get(a, "permissions"), PERMISSIONS, "No permissions.");
    putchar('\n');
    show_table(json_object_get(a, "channels"), CHANNELS, "No channels.");
}

static int show_one(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_ALLOCATION_GET, .id = c->argument};
    json_t *a;
    int status = ctl_ask(c, &q, &a);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, a);
        return CTL_OK;
    }
    lines_of_one(a);
    json_decref(a);
    return CTL_OK;
}

int ctlrelay_allocations(struct ctl *c)
{
    return ctl_watch(c, c->argument ? show_one : show_all);
}

/* ---- Kick. ---- */

static int close_one(struct ctl *c, const char *id)
{
    const struct ctl_question q = {.operation = ADMIN_ALLOCATION_DELETE, .id = id};

    return ctl_ask(c, &q, NULL);
}

/* All of a user's. One that has gone meanwhile is closed as well. */
static int close_all(struct ctl *c, json_t *closed)
{
    json_t *items;
    int status = ctl_list(c, ADMIN_ALLOCATIONS_LIST, filter_of(c), &items);

    for (size_t i = 0; i < json_array_size(items) && !status; i++) {
        json_t *id = json_object_get(json_array_get(items, i), "id");
        const struct ctl_question q = {.operation = ADMIN_ALLOCATION_DELETE, .id = json_string_value(id)};
        struct ctl_answer a;

        status = ctl_send(c, &q, &a);
        if (!status && a.status >= 300 && a.status != 404)
            status = ctl_refused(&a);
        else if (!status)
            json_array_append(closed, id);
    }
    json_decref(items);
    if (!status && !json_array_size(closed))
        status = ctl_complain(CTL_NOT_FOUND, "%s has no allocations here", c->options->user);
    return status;
}

int ctlrelay_kick(struct ctl *c)
{
    json_t *closed = json_array();
    int status;

    if (!c->argument == !c->options->user) {
        json_decref(closed);
        return ctl_complain(CTL_USAGE, "kick: the ID of an allocation is needed, or --user NAME for all of a user's");
    }
    if (!c->argument)
        status = close_all(c, closed);
    else if ((status = close_one(c, c->argument)) == CTL_OK)
        json_array_append_new(closed, json_string(c->argument));
    if (status) {
        json_decref(closed);
    } else if (c->options->json) {
        ctl_json(c, closed);
    } else {
        printf("%zu closed.\n", json_array_size(closed));
        json_decref(closed);
    }
    return status;
}
