/* turnpikectl user: names with a password that live until they are removed. */
#include <stdio.h>
#include <string.h>

#include "programs/ctl.h"
#include "programs/ctlmade.h"
#include "programs/show.h"
#include "programs/words.h"

enum { PASSWORD_MAX = 1023 }; /* bytes, as for user= in the configuration */

/* The first line, as users type it. */
static int put_password(struct ctl *c, json_t *body)
{
    char line[PASSWORD_MAX + 2];
    int status = CTL_OK;

    if (!c->options->password_stdin)
        return CTL_OK;
    if (!fgets(line, sizeof(line), stdin))
        return ctl_complain(CTL_USAGE, "--password-stdin: there is no line on standard input");
    line[strcspn(line, "\n")] = '\0';
    if (json_object_set_new(body, "password", json_string(line)))
        status = ctl_complain(CTL_USAGE,
                              "--password-stdin: a password in UTF-8 without control characters, of at most %d bytes, is expected",
                              PASSWORD_MAX);
    explicit_bzero(line, sizeof(line));
    return status;
}

/* What there is of that name; a user that is not there is an answer, too. */
static int get(struct ctl *c, struct ctl_answer *a)
{
    const struct ctl_question q = {.operation = ADMIN_USER_GET, .id = c->argument};
    int status = ctl_send(c, &q, a);

    return !status && a->status >= 300 && a->status != 404 ? ctl_refused(a) : status;
}

/* Takes `body` over. */
static int put(struct ctl *c, json_t *body, const char *if_match)
{
    const struct ctl_question q = {.operation = ADMIN_USER_PUT, .id = c->argument, .body = body, .if_match = if_match};
    json_t *user;
    int status = ctlmade_read(c, body);

    if (!status)
        status = put_password(c, body);
    if (status) {
        json_decref(body);
        return status;
    }
    status = ctl_ask(c, &q, &user);
    if (!status)
        ctlmade_show(c, user);
    return status;
}

int ctlusers_add(struct ctl *c)
{
    struct ctl_answer a;
    int status = get(c, &a);

    if (status)
        return status;
    json_decref(a.body);
    if (a.status != 404)
        return ctl_complain(CTL_CONFLICT, "%s: there is one of that name already: user set changes it", c->argument);
    return put(c, json_object(), NULL);
}

/* Seconds from now; what is over, or is not set, is left out. */
static void keep_time(const struct ctl *c, json_t *body, const char *key, const json_t *at)
{
    int64_t left = json_integer_value(at) - c->now;

    if (left > 0)
        json_object_set_new(body, key, json_integer(left));
}

int ctlusers_set(struct ctl *c)
{
    static const char *const KEPT[] = {"owner",           "label",   "tenant",    "scope", "realm",
                                       "max_allocations", "max_bps", "max_bytes", "peers"};
    struct ctl_answer a;
    json_t *body;
    int status = get(c, &a);

    if (status)
        return status;
    if (a.status == 404)
        return ctl_refused(&a);
    if (json_integer_value(json_object_get(a.body, "expires_at")) && !c->options->expires &&
        json_integer_value(json_object_get(a.body, "expires_at")) <= c->now) {
        json_decref(a.body);
        return ctl_complain(CTL_CONFLICT, "%s: it has expired: give it another end (--expires)", c->argument);
    }
    body = json_object();
    for (size_t i = 0; i < sizeof(KEPT) / sizeof(KEPT[0]); i++)
        json_object_set(body, KEPT[i], json_object_get(a.body, KEPT[i]));
    keep_time(c, body, "ttl", json_object_get(a.body, "expires_at"));
    keep_time(c, body, "not_before", json_object_get(a.body, "not_before"));
    json_decref(a.body);
    return put(c, body, a.etag[0] ? a.etag : NULL);
}

int ctlusers_list(struct ctl *c)
{
    static const struct show_column COLUMNS[] = {
        {"NAME", "id", SHOW_TEXT, NULL},     {"STATE", "state", SHOW_TEXT, NULL}, {"EXPIRES", "expires_at", SHOW_TIME, "never"},
        {"OWNER", "owner", SHOW_TEXT, NULL}, {"LABEL", "label", SHOW_TEXT, NULL}, {NULL, NULL, SHOW_TEXT, NULL}};
    json_t *items;
    int status = ctl_list(c, ADMIN_USERS_LIST, NULL, &items);

    if (status)
        return status;
    if (c->options->json) {
        ctl_json(c, items);
        return CTL_OK;
    }
    show_table(items, COLUMNS, "There are no users.");
    json_decref(items);
    return CTL_OK;
}

int ctlusers_show(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_USER_GET, .id = c->argument};
    json_t *user;
    int status = ctl_ask(c, &q, &user);

    if (!status)
        ctlmade_show(c, user);
    return status;
}

int ctlusers_remove(struct ctl *c)
{
    const struct ctl_question q = {.operation = ADMIN_USER_DELETE, .id = c->argument};
    int status = ctl_ask(c, &q, NULL);

    if (status)
        return status;
    if (c->options->json)
        ctl_json(c, json_pack("{s:s}", "id", c->argument));
    else
        printf("%s is removed: it is refused from now on, and its allocations end.\n", c->argument);
    return CTL_OK;
}

int ctlusers_revoke(struct ctl *c)
{
    struct ctl_question q = {.operation = ADMIN_USER_REVOKE, .id = c->argument, .body = json_object()};
    char text[SHOW_TIME_MAX];
    int64_t before = 0;
    json_t *revoked;
    int status;

    if (c->options->before && (words_time(&before, c->options->before, c->now) || before <= c->now)) {
        json_decref(q.body);
        return ctl_complain(CTL_USAGE, "--before=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected, in the future",
                            c->options->before);
    }
    if (before)
        json_object_set_new(q.body, "before", json_integer(before));
    status = ctl_ask(c, &q, &revoked);
    if (status)
        return status;
    show_time(text, json_integer_value(json_object_get(revoked, "before")), "");
    if (c->options->json) {
        ctl_json(c, revoked);
        return CTL_OK;
    }
    printf("Names of %s that expire before %s are refused from now on, and their allocations end.\n", c->argument, text);
    json_decref(revoked);
    return CTL_OK;
}
