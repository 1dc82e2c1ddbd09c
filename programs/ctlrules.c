/* turnpikectl peers, quota: where the relay may send, and how much an owner may have. */
#include <stdio.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/show.h"

/* ---- Peers. ---- */

static void show_policy(const struct ctl *c, json_t *policy)
{
    static const struct show_column COLUMNS[] = {{"ENTRY", "entry", SHOW_TEXT, NULL},
                                                 {"ACTION", "action", SHOW_TEXT, NULL},
                                                 {"SOURCE", "source", SHOW_TEXT, NULL},
                                                 {NULL, NULL, SHOW_TEXT, NULL}};

    if (c->options->json) {
        ctl_json(c, policy);
        return;
    }
    show_table(json_object_get(policy, "items"), COLUMNS, "There are no entries.");
    json_decref(policy);
}

int ctlrules_peers(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_PEERS_GET};
    json_t *policy;
    int status = ctl_ask(c, &q, &policy);

    if (!status)
        show_policy(c, policy);
    return status;
}

/* What is stored is told, not what is in force: that follows within a second. */
static void show_stored(const struct ctl *c, json_t *policy)
{
    static const struct show_column LINES[] = {
        {"allowed", "allow", SHOW_TEXT, NULL}, {"denied", "deny", SHOW_TEXT, NULL}, {NULL, NULL, SHOW_TEXT, NULL}};

    if (c->options->json) {
        ctl_json(c, policy);
        return;
    }
    puts("These entries are stored, beside the configuration's, and in force within a second:");
    show_lines(policy, LINES);
    json_decref(policy);
}

/* Both lists are replaced: what is not named is gone. */
int ctlrules_set(struct ctl *c)
{
    const struct options *o = c->options;
    struct ctl_question q = {.operation = ADMIN_PEERS_PUT};
    json_t *policy;
    int status;

    if (o->clear == (o->allow.n || o->deny.n))
        return ctl_complain(CTL_USAGE,
                            "peers set: all stored entries are replaced by those of --allow and --deny; --clear is for none");
    q.body = json_object();
    ctl_put_list(q.body, "allow", &o->allow);
    ctl_put_list(q.body, "deny", &o->deny);
    status = ctl_ask(c, &q, &policy);
    if (!status)
        show_stored(c, policy);
    return status;
}

int ctlrules_test(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_PEERS_TEST, .body = json_pack("{s:s}", "peer", c->argument)};
    const char *entry;
    json_t *judged;
    int status = ctl_ask(c, &q, &judged);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, judged);
        return CTL_OK;
    }
    entry = json_string_value(json_object_get(judged, "entry"));
    printf("%s is %s%s%s\n", c->argument, json_is_true(json_object_get(judged, "allowed")) ? "allowed" : "denied",
           entry ? ": " : "", entry ? entry : "");
    json_decref(judged);
    return CTL_OK;
}

/* ---- Quotas. ---- */

static void show_quota(const struct ctl *c, json_t *quota)
{
    static const struct show_column LINES[] = {{"owner", "owner", SHOW_TEXT, NULL},
                                               {"max allocations", "max_allocations", SHOW_TEXT, "none"},
                                               {"max bps", "max_bps", SHOW_TEXT, "none"},
                                               {"allocations", "allocations", SHOW_TEXT, NULL},
                                               {NULL, NULL, SHOW_TEXT, NULL}};

    if (c->options->json) {
        ctl_json(c, quota);
        return;
    }
    show_lines(quota, LINES);
    json_decref(quota);
}

int ctlrules_quota(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_QUOTA_GET, .id = c->argument};
    json_t *quota;
    int status = ctl_ask(c, &q, &quota);

    if (!status)
        show_quota(c, quota);
    return status;
}

/* What is not named stays as it is, and as it is now: two at once do not undo each other. */
int ctlrules_set_quota(struct ctl *c)
{
    const struct options *o = c->options;
    const struct ctl_question get = {.operation = ADMIN_QUOTA_GET, .id = c->argument};
    struct ctl_question put = {.operation = ADMIN_QUOTA_PUT, .id = c->argument};
    struct ctl_answer before;
    json_t *quota;
    int status;

    if (!o->max_allocations && !o->max_bps)
        return ctl_complain(CTL_USAGE, "quota set: --max-allocations or --max-bps is needed; none takes a limit away");
    status = ctl_send(c, &get, &before);
    if (!status && before.status >= 300 && before.status != 404)
        return ctl_refused(&before);
    if (status)
        return status;
    put.body = json_object();
    json_object_set(put.body, "max_allocations", json_object_get(before.body, "max_allocations"));
    json_object_set(put.body, "max_bps", json_object_get(before.body, "max_bps"));
    json_decref(before.body);
    put.if_match = before.etag[0] ? before.etag : NULL;
    status = ctl_put_size(put.body, "max_allocations", "max-allocations", o->max_allocations);
    if (!status)
        status = ctl_put_size(put.body, "max_bps", "max-bps", o->max_bps);
    if (status) {
        json_decref(put.body);
        return status;
    }
    status = ctl_ask(c, &put, &quota);
    if (!status)
        show_quota(c, quota);
    return status;
}
