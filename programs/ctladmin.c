/* turnpikectl admin-token: who may use the admin plane over TCP, as STATE-DIR/admin-tokens says. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/admintokens.h"
#include "programs/ctl.h"
#include "programs/show.h"
#include "programs/words.h"

static const char NAMES[] = "letters, digits, '.', '_' and '-' are expected, at most 64";

static int failed(const struct ctl *c, int err, unsigned line)
{
    const char *dir = c->config->state_dir;

    if (err == ERR_MALFORMED)
        return ctl_complain(CTL_USAGE, "%s/admin-tokens:%u: NAME ROLES EXPIRES SHA256 is expected: mend or remove the line", dir,
                            line);
    if (err == ERR_NOENT)
        return ctl_complain(
            CTL_FAULT, "%s: there is no such directory: it is turnpiked's state-dir (start it once, or name it by --config)", dir);
    if (err == ERR_ACCES)
        return ctl_complain(CTL_REFUSED, "%s/admin-tokens: %s: be root, or the user that turnpiked runs as", dir, err_str(err));
    return ctl_complain(CTL_FAULT, "%s/admin-tokens: %s", dir, err_str(err));
}

static int open_file(struct ctl *c, struct admintokens **t, bool change)
{
    unsigned line;
    int err = admintokens_open(t, c->config->state_dir, change, &line);

    return err ? failed(c, err, line) : CTL_OK;
}

static const char *state_of(const struct admintoken *t, int64_t now)
{
    return t->expires_at && t->expires_at <= now ? "expired" : "valid";
}

static json_t *json_of(const struct admintoken *t, int64_t now)
{
    json_t *object = json_pack("{s:s,s:s,s:s}", "name", t->name, "roles", t->roles, "state", state_of(t, now));

    json_object_set_new(object, "expires_at", t->expires_at ? json_integer(t->expires_at) : json_null());
    return object;
}

/* What is shown this once. */
static void show_issued(const struct ctl *c, const struct admintoken *t, const char *token)
{
    char expires[SHOW_TIME_MAX];
    json_t *object;

    if (c->options->json) {
        object = json_of(t, c->now);
        json_object_set_new(object, "token", json_string(token));
        ctl_json(c, object);
        return;
    }
    show_time(expires, t->expires_at, "never");
    show_line("name", t->name);
    show_line("roles", t->roles);
    show_line("expires", expires);
    show_line("token", token);
    puts("\nSend it as Authorization: Bearer TOKEN. It is not kept anywhere, and not shown again.");
}

int ctladmin_issue(struct ctl *c)
{
    char roles[ADMINTOKENS_ROLES_LEN], token[ADMINTOKENS_TOKEN_LEN + 1] = "";
    const struct options *o = c->options;
    struct admintokens *t = NULL;
    int64_t expires_at = 0;
    int err, status;

    if (!admintokens_name_ok(c->argument))
        return ctl_complain(CTL_USAGE, "admin-token issue: %s", NAMES);
    if (!o->role || admintokens_roles(roles, o->role))
        return ctl_complain(CTL_USAGE,
                            "admin-token issue: --role read, credentials or admin is needed, with commas between several");
    if (o->expires && (words_time(&expires_at, o->expires, c->now) || expires_at <= c->now))
        return ctl_complain(CTL_USAGE, "--expires=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected, in the future",
                            o->expires);
    status = open_file(c, &t, true);
    if (status)
        return status;
    err = admintokens_add(t, c->argument, roles, expires_at, token);
    if (!err)
        err = admintokens_save(t);
    if (!err)
        show_issued(c, admintokens_nth(t, admintokens_count(t) - 1), token);
    else if (err == ERR_EXIST)
        status =
            ctl_complain(CTL_CONFLICT, "%s: there is one of that name already: revoke it, or choose another name", c->argument);
    else
        status = failed(c, err, 0);
    explicit_bzero(token, sizeof(token));
    admintokens_close(&t);
    return status;
}

static void list_lines(const struct ctl *c, const struct admintokens *t)
{
    const struct admintoken *a;
    char expires[SHOW_TIME_MAX];

    puts(admintokens_count(t) ? "NAME                  STATE    EXPIRES               ROLES"
                              : "There are no tokens of the admin plane.");
    for (size_t i = 0; (a = admintokens_nth(t, i)); i++) {
        show_time(expires, a->expires_at, "never");
        printf("%-20s  %-7s  %-20s  %s\n", a->name, state_of(a, c->now), expires, a->roles);
    }
}

int ctladmin_list(struct ctl *c)
{
    const struct admintoken *a;
    struct admintokens *t;
    int status = open_file(c, &t, false);
    json_t *array;

    if (status)
        return status;
    if (c->options->json) {
        array = json_array();
        for (size_t i = 0; (a = admintokens_nth(t, i)); i++)
            json_array_append_new(array, json_of(a, c->now));
        ctl_json(c, array);
    } else {
        list_lines(c, t);
    }
    admintokens_close(&t);
    return CTL_OK;
}

int ctladmin_revoke(struct ctl *c)
{
    struct admintokens *t;
    int err, status = open_file(c, &t, true);

    if (status)
        return status;
    err = admintokens_remove(t, c->argument);
    if (err == ERR_NOENT)
        status = ctl_complain(CTL_NOT_FOUND, "%s: there is no such token of the admin plane", c->argument);
    else if ((err = admintokens_save(t)))
        status = failed(c, err, 0);
    else if (c->options->json)
        ctl_json(c, json_pack("{s:s}", "name", c->argument));
    else
        printf("%s is revoked: it is refused from now on.\n", c->argument);
    admintokens_close(&t);
    return status;
}
