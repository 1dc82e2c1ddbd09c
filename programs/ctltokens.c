/* turnpikectl token: credentials with an id and an end of their own. */
#include <stdio.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/ctlmade.h"
#include "programs/show.h"

int ctltokens_issue(struct ctl *c)
{
    struct ctl_question q = {.operation = ADMIN_TOKEN_ISSUE, .body = json_pack("{s:n}", "ttl")};
    json_t *made;
    int status = ctlmade_read(c, q.body);

    if (!status && !c->options->owner)
        status = ctl_complain(CTL_USAGE, "token issue: --owner NAME is needed: quotas and usage count for it");
    if (status) {
        json_decref(q.body);
        return status;
    }
    status = ctl_ask(c, &q, &made);
    if (!status)
        ctlmade_show(c, made);
    return status;
}

int ctltokens_list(struct ctl *c)
{
    static const struct show_column COLUMNS[] = {
        {"ID", "id", SHOW_TEXT, NULL},       {"STATE", "state", SHOW_TEXT, NULL}, {"EXPIRES", "expires_at", SHOW_TIME, "never"},
        {"OWNER", "owner", SHOW_TEXT, NULL}, {"LABEL", "label", SHOW_TEXT, NULL}, {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *query = json_object(), *items;
    int status;

    ctl_put_text(query, "owner", c->options->owner);
    ctl_put_text(query, "label", c->options->label);
    status = ctl_list(c, ADMIN_TOKENS_LIST, query, &items);
    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, COLUMNS, "There are no tokens.");
    json_decref(items);
    return CTL_OK;
}

int ctltokens_show(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_TOKEN_GET, .id = c->argument};
    json_t *token;
    int status = ctl_ask(c, &q, &token);

    if (!status)
        ctlmade_show(c, token);
    return status;
}

int ctltokens_revoke(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_TOKEN_REVOKE, .id = c->argument};
    int status = ctl_ask(c, &q, NULL);

    if (status)
        return status;
    if (c->options->json)
        ctl_json(c, json_pack("{s:s,s:s}", "id", c->argument, "state", "revoked"));
    else
        printf("%s is revoked: it is refused from now on, and its allocations end.\n", c->argument);
    return CTL_OK;
}
