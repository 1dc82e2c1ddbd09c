#include "programs/ctlmade.h"

#include <stdio.h>

#include "programs/show.h"

int ctlmade_read(const struct ctl *c, json_t *body)
{
    const struct options *o = c->options;
    const struct {
        const char *key, *option, *text;
    } sizes[] = {{"max_allocations", "max-allocations", o->max_allocations},
                 {"max_bps", "max-bps", o->max_bps},
                 {"max_bytes", "max-bytes", o->max_bytes}};
    int status = CTL_OK;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !status; i++)
        status = ctl_put_size(body, sizes[i].key, sizes[i].option, sizes[i].text);
    if (!status)
        status = ctl_put_span(c, body, "ttl", "expires", o->expires);
    if (!status)
        status = ctl_put_span(c, body, "not_before", "not-before", o->not_before);
    if (status)
        return status;
    ctl_put_text(body, "owner", o->owner);
    ctl_put_text(body, "label", o->label);
    ctl_put_text(body, "tenant", o->tenant);
    ctl_put_text(body, "scope", o->scope);
    ctl_put_text(body, "realm", o->realm);
    if (o->peers.n)
        ctl_put_list(body, "peers", &o->peers);
    return CTL_OK;
}

void ctlmade_show(const struct ctl *c, json_t *made)
{
    static const struct show_column LINES[] = {{"id", "id", SHOW_TEXT, NULL},
                                               {"state", "state", SHOW_TEXT, NULL},
                                               {"owner", "owner", SHOW_TEXT, NULL},
                                               {"label", "label", SHOW_TEXT, NULL},
                                               {"tenant", "tenant", SHOW_TEXT, NULL},
                                               {"realm", "realm", SHOW_TEXT, NULL},
                                               {"scope", "scope", SHOW_TEXT, NULL},
                                               {"issued", "issued_at", SHOW_TIME, NULL},
                                               {"not before", "not_before", SHOW_TIME, NULL},
                                               {"expires", "expires_at", SHOW_TIME, "never"},
                                               {"revoked", "revoked_at", SHOW_TIME, NULL},
                                               {"max allocations", "max_allocations", SHOW_TEXT, NULL},
                                               {"max bps", "max_bps", SHOW_TEXT, NULL},
                                               {"max bytes", "max_bytes", SHOW_TEXT, NULL},
                                               {"allowed peers", "peers", SHOW_TEXT, NULL},
                                               {"password", "password", SHOW_TEXT, NULL},
                                               {NULL, NULL, SHOW_TEXT, NULL}},
                                    USED[] = {{"bytes up", "bytes_up", SHOW_TEXT, NULL},
                                              {"bytes down", "bytes_down", SHOW_TEXT, NULL},
                                              {"packets up", "packets_up", SHOW_TEXT, NULL},
                                              {"packets down", "packets_down", SHOW_TEXT, NULL},
                                              {"allocations", "allocations", SHOW_TEXT, NULL},
                                              {"seconds", "seconds", SHOW_TEXT, NULL},
                                              {NULL, NULL, SHOW_TEXT, NULL}};
    const json_t *usage = json_object_get(made, "usage");

    if (c->options->json) {
        ctl_json(c, made);
        return;
    }
    show_lines(made, LINES);
    if (json_integer_value(json_object_get(usage, "allocations")))
        show_lines(usage, USED);
    if (json_object_get(made, "password"))
        puts("\nThe id is the user name. The password is not kept anywhere, and not shown again.");
    json_decref(made);
}
