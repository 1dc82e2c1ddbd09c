/* turnpikectl: makes, shows, lists and revokes tokens and users in the store that turnpiked reads. */
#include <config.h> /* the build's; not programs/config.h */

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/redistokens.h"
#include "auth/sqltokens.h"
#include "auth/tokenstore.h"
#include "base/err.h"
#include "programs/config.h"
#include "programs/ctl.h"
#include "programs/ctloptions.h"
#include "programs/fleetctl.h"
#include "programs/show.h"
#include "programs/showusage.h"
#include "programs/words.h"
#include "relay/policy.h"

enum {
    USER_REVOKE_S = 86400, /* names of a user part are revoked that expire within a day: longer ones are rarely handed out */
    PASSWORD_MAX = 1023,   /* bytes, as for user= in the configuration */
};

static const char USAGE[] =
    "Usage: turnpikectl [--config FILE] token issue --owner NAME [OPTION...]   make a token; its password is shown once\n"
    "       turnpikectl [--config FILE] token list [--owner NAME]              those who live, by expiry\n"
    "       turnpikectl [--config FILE] token show ID                          with what it has used\n"
    "       turnpikectl [--config FILE] token revoke ID                        refuse it, and end its calls everywhere\n"
    "       turnpikectl [--config FILE] user revoke NAME [--before TIME]       the same for time-limited names of a user\n"
    "       turnpikectl [--config FILE] user add NAME [OPTION...]              a name and password that live until removed\n"
    "       turnpikectl [--config FILE] user list\n"
    "       turnpikectl [--config FILE] user remove NAME                       refuse it, and end its calls everywhere\n"
    "       turnpikectl [--config FILE] usage [--owner NAME] [--label TEXT] [--by hour|day] [--since TIME]\n"
    "       turnpikectl [--config FILE] nodes                                  of the fleet: state, load, addresses\n"
    "       turnpikectl [--config FILE] drain [--node ID] [--off]              a node takes no new allocations, or does again\n"
    "       turnpikectl [--config FILE] ice-servers [--ttl TIME] [--owner NAME]   a token and the least loaded nodes\n"
    "       turnpikectl [--config FILE] admin-token issue NAME --role ROLES [--expires TIME]   a bearer token of the admin plane\n"
    "       turnpikectl [--config FILE] admin-token list\n"
    "       turnpikectl [--config FILE] admin-token revoke NAME                refuse it\n"
    "       turnpikectl import-coturn FILE                                     a turnserver.conf as ours; what is lost, on "
    "standard error\n"
    "       turnpikectl --help | --version\n"
    "\n"
    "  --config FILE          turnpiked's configuration: it names the store and the realm\n"
    "  --json                 machine-readable output\n"
    "\n"
    "Options of token issue and user add:\n"
    "  --owner NAME           who pays: quotas, bandwidth and usage count for all of an owner together (user add: NAME)\n"
    "  --password-stdin       user add: its password is the first line of standard input (one is made, and shown once)\n"
    "  --label TEXT           what it is for\n"
    "  --tenant TEXT          which tenant it belongs to\n"
    "  --scope LIST           turn, phone, bridge, with commas between (turn)\n"
    "  --realm REALM          another than the configuration's\n"
    "  --expires TIME         when it ends (never)\n"
    "  --not-before TIME      when it begins (at once)\n"
    "  --max-allocations N    of its owner at the same time\n"
    "  --max-bps N            bits a second of its owner, each direction; k, M, G\n"
    "  --max-bytes N          bytes in all; k, M, G\n"
    "  --allow-peer ENTRY     a peer that it may reach, as allowed-peer-ip; may repeat (all that the server allows)\n"
    "\n"
    "TIME is 90s, 30m, 8h or 7d from now (--since: ago), or @ and seconds since 1970.\n";

static int store_failed(const struct tokenstore *s, int err, const char *what)
{
    return ctl_complain(CTL_FAULT, "%s: %s%s%s", what, s->why[0] ? s->why : err_str(err),
                        err == ERR_TIMEDOUT || err == ERR_NOTCONN ? " (is the store that redis= names up, and reachable from here?)"
                                                                  : "",
                        err == ERR_DENIED ? " (what may this user of Redis do? see ACL in turnpiked.conf(5))" : "");
}

/* ---- Reading options. ---- */

static int copy(char *out, size_t cap, const char *text, const char *option)
{
    if (!text)
        return 0;
    if ((size_t)snprintf(out, cap, "%s", text) >= cap)
        return ctl_complain(CTL_USAGE, "--%s: at most %zu bytes", option, cap - 1);
    return 0;
}

/* What turnpiked could not read, nobody could use. */
static int check_peers(const char *peers)
{
    struct policy *own = NULL;
    const char *bad;
    int err = policy_own(&own, peers, &bad);

    policy_unref(&own);
    if (err == ERR_CONFIG)
        return ctl_complain(CTL_USAGE,
                            "--allow-peer=%.*s: an address, CIDR or range is expected, with ports if wanted: 10.1.2.0/24, "
                            "10.1.2.3-10.1.2.9, 10.1.2.3:5060-5070/udp, [2001:db8::/32]:5060/udp",
                            (int)strcspn(bad, " "), bad);
    return err ? ctl_complain(CTL_FAULT, "%s", err_str(err)) : 0;
}

static int fill_token(struct token *t, const struct options *o, const char *realm, int64_t now)
{
    const struct {
        const char *option, *text;
        int64_t *out;
    } sizes[] = {{"max-allocations", o->max_allocations, &t->max_allocations},
                 {"max-bps", o->max_bps, &t->max_bps},
                 {"max-bytes", o->max_bytes, &t->max_bytes}},
      times[] = {{"expires", o->expires, &t->expires_at}, {"not-before", o->not_before, &t->not_before}};
    int status;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (sizes[i].text && words_size(sizes[i].out, sizes[i].text))
            return ctl_complain(CTL_USAGE, "--%s=%s: a number is expected, with k, M or G behind it if wanted", sizes[i].option,
                                sizes[i].text);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (times[i].text && words_time(times[i].out, times[i].text, now))
            return ctl_complain(CTL_USAGE, "--%s=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected", times[i].option,
                                times[i].text);
    if (t->expires_at && t->expires_at <= now)
        return ctl_complain(CTL_USAGE, "--expires=%s: that is over already", o->expires);
    if (token_scope_read(&t->scope, o->scope ? o->scope : "turn"))
        return ctl_complain(CTL_USAGE, "--scope=%s: turn, phone and bridge are expected, with commas between", o->scope);
    t->issued_at = now;
    status = copy(t->owner, sizeof(t->owner), o->owner ? o->owner : t->id, "owner");
    if (!status)
        status = copy(t->label, sizeof(t->label), o->label, "label");
    if (!status)
        status = copy(t->tenant, sizeof(t->tenant), o->tenant, "tenant");
    if (!status)
        status = copy(t->realm, sizeof(t->realm), o->realm ? o->realm : realm, "realm");
    if (!status)
        status = copy(t->peers, sizeof(t->peers), o->peers, "allow-peer");
    if (!status)
        status = check_peers(t->peers);
    return status;
}

/* ---- Commands. ---- */

static int issue(struct ctl *c)
{
    struct token t = {0};
    char password[TOKEN_PASSWORD_LEN + 1] = "";
    const char *why;
    int err, status = fill_token(&t, c->options, c->config->realm, c->now);

    if (status)
        return status;
    if (!c->options->owner)
        return ctl_complain(CTL_USAGE, "token issue: --owner NAME is needed: quotas and usage count for it");
    if (token_issue(&t, password, &why))
        return ctl_complain(CTL_USAGE, "token issue: %s", why);
    err = tokenstore_issue(c->store, &t);
    if (err)
        status = store_failed(c->store, err, "token issue");
    else
        show_made(&t, c->now, password, c->options->json);
    explicit_bzero(password, sizeof(password));
    token_wipe(&t);
    return status;
}

/* The first line, as users type it, prepared. */
static int read_password(char out[static PASSWORD_MAX + 1])
{
    char line[PASSWORD_MAX + 2];
    int status = CTL_OK;

    if (!fgets(line, sizeof(line), stdin))
        return ctl_complain(CTL_USAGE, "user add: there is no line on standard input");
    line[strcspn(line, "\n")] = '\0';
    if (auth_opaque_string(out, PASSWORD_MAX + 1, line, strlen(line)))
        status = ctl_complain(
            CTL_USAGE, "user add: a password in UTF-8 without control characters, of at most %d bytes, is expected", PASSWORD_MAX);
    explicit_bzero(line, sizeof(line));
    return status;
}

static int keep_user(struct ctl *c, struct token *t, const char *password, bool given)
{
    const char *why;
    int err;

    if (token_derive(t, password, &why))
        return ctl_complain(CTL_FAULT, "user add: %s", why);
    if (token_check(t, &why))
        return ctl_complain(CTL_USAGE, "user add: %s", why);
    err = tokenstore_add_user(c->store, t);
    if (err)
        return store_failed(c->store, err, "user add");
    show_made(t, c->now, given ? "" : password, c->options->json);
    return CTL_OK;
}

static int add_user(struct ctl *c)
{
    struct token t = {0};
    char password[PASSWORD_MAX + 1] = "";
    int status;

    if (auth_opaque_string(t.id, sizeof(t.id), c->argument, strlen(c->argument)))
        return ctl_complain(CTL_USAGE, "user add: a name in UTF-8 without control characters, of at most %d bytes, is expected",
                            TOKEN_TEXT_MAX);
    status = fill_token(&t, c->options, c->config->realm, c->now);
    if (!status && c->options->password_stdin)
        status = read_password(password);
    else if (!status)
        token_password(password);
    if (!status)
        status = keep_user(c, &t, password, c->options->password_stdin);
    explicit_bzero(password, sizeof(password));
    token_wipe(&t);
    return status;
}

static int remove_user(struct ctl *c)
{
    int err = tokenstore_remove_user(c->store, c->argument, c->now);

    if (err)
        return store_failed(c->store, err, c->argument);
    if (c->options->json)
        show_json(json_pack("{s:s}", "user", c->argument));
    else
        printf("%s is removed: it is refused from now on, and its allocations end.\n", c->argument);
    return CTL_OK;
}

static int show(struct ctl *c)
{
    struct auth_used used;
    struct token t = {0};
    int status = CTL_OK, err = tokenstore_get(c->store, c->argument, &t);

    if (!err)
        err = tokenstore_used(c->store, &t, &used);
    if (err) {
        status = store_failed(c->store, err, c->argument);
    } else if (c->options->json) {
        json_t *root = show_token_json(&t);

        showusage_add(root, &used);
        show_json(root);
    } else {
        show_token(&t, c->now);
        showusage_lines(&used);
    }
    token_wipe(&t);
    return status;
}

struct listing {
    const struct ctl *command;
    json_t *array; /* NULL: lines */
    size_t seen, shown;
};

static bool list_one(void *ctx, const struct token *t)
{
    struct listing *l = ctx;
    const char *owner = l->command->options->owner;
    char expires[32];

    l->seen++;
    if (owner && strcmp(owner, t->owner) != 0)
        return true;
    if (l->array) {
        json_array_append_new(l->array, show_token_json(t));
    } else {
        show_time(expires, t->expires_at, "never");
        if (!l->shown)
            printf("%-*s  %-8s  %-20s  %-20s  %s\n", TOKEN_ID_LEN, "ID", "STATE", "EXPIRES", "OWNER", "LABEL");
        printf("%-*s  %-8s  %-20s  %-20s  %s\n", TOKEN_ID_LEN, t->id, show_state(t, l->command->now), expires, t->owner, t->label);
    }
    l->shown++;
    return true;
}

typedef int list_fn(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                    size_t *bad);

static int list(struct ctl *c, list_fn *page, const char *what)
{
    struct listing l = {.command = c, .array = c->options->json ? json_array() : NULL};
    size_t bad = 0, all_bad = 0, offset = 0, before;
    int err;

    do { /* page by page; a page that is not full is the last */
        before = l.seen;
        err = page(c->store, c->now, offset, list_one, &l, &bad);
        all_bad += bad;
        offset += l.seen - before + bad;
    } while (!err && l.seen - before + bad == TOKENSTORE_PAGE);
    if (l.array && !err)
        show_json(l.array);
    else
        json_decref(l.array);
    if (err)
        return store_failed(c->store, err, what);
    if (!l.array && !l.shown)
        printf("There are no %s.\n", what);
    if (all_bad)
        return ctl_complain(CTL_FAULT, "%s: %zu records are none, and left out", what, all_bad);
    return CTL_OK;
}

static int list_tokens(struct ctl *c)
{
    return list(c, tokenstore_list, "tokens");
}

static int list_users(struct ctl *c)
{
    return list(c, tokenstore_list_users, "users");
}

static int revoke_token(struct ctl *c)
{
    int err = tokenstore_revoke(c->store, c->argument, c->now);

    if (err)
        return store_failed(c->store, err, c->argument);
    if (c->options->json)
        show_json(json_pack("{s:s,s:I}", "id", c->argument, "revoked_at", (json_int_t)c->now));
    else
        printf("%s is revoked: it is refused from now on, and its allocations end.\n", c->argument);
    return CTL_OK;
}

static int revoke_user(struct ctl *c)
{
    int64_t before = c->now + USER_REVOKE_S;
    char text[32];
    int err;

    if (c->options->before && (words_time(&before, c->options->before, c->now) || before <= c->now))
        return ctl_complain(CTL_USAGE, "--before=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected, in the future",
                            c->options->before);
    err = tokenstore_revoke_user(c->store, c->argument, before, c->now);
    if (err)
        return store_failed(c->store, err, c->argument);
    show_time(text, before, "");
    if (c->options->json)
        show_json(json_pack("{s:s,s:I}", "user", c->argument, "before", (json_int_t)before));
    else
        printf("Names of %s that expire before %s are refused from now on, and their allocations end.\n", c->argument, text);
    return CTL_OK;
}

static int usage(struct ctl *c)
{
    const struct options *o = c->options;
    struct showusage_query query = {.label = o->label, .json = o->json};
    int64_t since = 0;
    int err;

    if (o->since && (!o->by || words_time(&since, o->since, c->now)))
        return ctl_complain(CTL_USAGE, "--since=%s: 8h or 7d (ago), or @ and seconds since 1970 is expected, and --by", o->since);
    if (o->since && o->since[0] != '@')
        since = 2 * c->now - since;
    if (showusage_period(&query.period, o->owner, o->by, since, c->now))
        return ctl_complain(CTL_USAGE, "--by=%s: hour or day is expected", o->by);
    err = showusage(c->store, &query);
    return err ? store_failed(c->store, err, "usage") : CTL_OK;
}

static int fleet(struct ctl *c, int (*run)(struct fleetctl *f))
{
    const struct options *o = c->options;
    struct fleetctl f = {.config = c->config,
                         .store = c->store,
                         .node = o->node,
                         .owner = o->owner,
                         .expires_at = c->now + FLEETCTL_TTL_S,
                         .now = c->now,
                         .off = o->off,
                         .json = o->json};

    if (o->ttl && (words_time(&f.expires_at, o->ttl, c->now) || f.expires_at <= c->now))
        return ctl_complain(CTL_USAGE, "--ttl=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected, in the future",
                            o->ttl);
    return run(&f) ? ctl_complain(CTL_FAULT, "%s", f.why) : CTL_OK;
}

static int nodes(struct ctl *c)
{
    return fleet(c, fleetctl_nodes);
}

static int drain(struct ctl *c)
{
    return fleet(c, fleetctl_drain);
}

static int ice_servers(struct ctl *c)
{
    return fleet(c, fleetctl_ice_servers);
}

enum need { NEEDS_NOTHING, NEEDS_CONFIG, NEEDS_STORE };

static const struct verb {
    const char *noun, *verb; /* verb NULL: the noun says all */
    const char *argument;    /* what has to be named; NULL: nothing */
    enum need need;
    int (*run)(struct ctl *c);
} VERBS[] = {
    [CTL_TOKEN_ISSUE] = {"token", "issue", NULL, NEEDS_STORE, issue},
    [CTL_TOKEN_LIST] = {"token", "list", NULL, NEEDS_STORE, list_tokens},
    [CTL_TOKEN_SHOW] = {"token", "show", "ID", NEEDS_STORE, show},
    [CTL_TOKEN_REVOKE] = {"token", "revoke", "ID", NEEDS_STORE, revoke_token},
    [CTL_USER_REVOKE] = {"user", "revoke", "NAME", NEEDS_STORE, revoke_user},
    [CTL_USER_ADD] = {"user", "add", "NAME", NEEDS_STORE, add_user},
    [CTL_USER_LIST] = {"user", "list", NULL, NEEDS_STORE, list_users},
    [CTL_USER_REMOVE] = {"user", "remove", "NAME", NEEDS_STORE, remove_user},
    [CTL_USAGE_SHOW] = {"usage", NULL, NULL, NEEDS_STORE, usage},
    [CTL_NODES] = {"nodes", NULL, NULL, NEEDS_STORE, nodes},
    [CTL_DRAIN] = {"drain", NULL, NULL, NEEDS_STORE, drain},
    [CTL_ICE_SERVERS] = {"ice-servers", NULL, NULL, NEEDS_STORE, ice_servers},
    [CTL_ADMIN_TOKEN_ISSUE] = {"admin-token", "issue", "NAME", NEEDS_CONFIG, ctladmin_issue},
    [CTL_ADMIN_TOKEN_LIST] = {"admin-token", "list", NULL, NEEDS_CONFIG, ctladmin_list},
    [CTL_ADMIN_TOKEN_REVOKE] = {"admin-token", "revoke", "NAME", NEEDS_CONFIG, ctladmin_revoke},
    [CTL_IMPORT_COTURN] = {"import-coturn", NULL, "FILE", NEEDS_NOTHING, ctlimport_coturn},
};

static const struct verb *find_verb(const char *noun, const char *verb)
{
    for (size_t i = 0; i < sizeof(VERBS) / sizeof(VERBS[0]); i++)
        if (strcmp(VERBS[i].noun, noun) == 0 && (!VERBS[i].verb || (verb && strcmp(VERBS[i].verb, verb) == 0)))
            return &VERBS[i];
    return NULL;
}

/* ---- The store, as turnpiked's configuration names it. ---- */

static int open_store(struct tokenstore *store, const struct config *c)
{
    struct redis_target target;
    const char *why;
    int err;

    if (!c->redis) {
        err = sqltokens_open(store, c->state_dir);
        return err ? ctl_complain(CTL_FAULT, "%s: %s", c->state_dir, err_str(err)) : 0;
    }
    if (redisurl_parse(&target, c->redis, &why))
        return ctl_complain(CTL_USAGE, "redis=...: %s", why);
    err = redistokens_open(store, &target, c->redis_prefix);
    explicit_bzero(&target, sizeof(target));
    return err ? ctl_complain(CTL_FAULT, "redis: %s", err_str(err)) : 0;
}

static int run_on_store(const struct verb *v, struct ctl *c)
{
    struct tokenstore store = {0};
    int status = open_store(&store, c->config);

    c->store = &store;
    if (!status)
        status = v->run(c);
    tokenstore_close(&store);
    return status;
}

static int run(const struct verb *v, const struct options *o, const char *argument)
{
    char program[] = "turnpikectl", option[] = "--config";
    char *argv[] = {program, option, o->config_file, NULL};
    struct ctl c = {.options = o, .argument = argument, .now = (int64_t)time(NULL)};
    struct config *config = NULL;
    struct conf_error e;
    int status;

    if (v->need == NEEDS_NOTHING)
        return v->run(&c);
    if (config_load(&config, o->config_file ? 3 : 1, argv, environ, &e))
        return ctl_complain(CTL_USAGE, "%s", e.text);
    umask(077);               /* what is made here holds keys */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    c.config = config;
    status = v->need == NEEDS_STORE ? run_on_store(v, &c) : v->run(&c);
    config_wipe_secrets(config);
    config_free(&config);
    return status;
}

/* ---- In. ---- */

/* What stands before and behind the options: noun, verb if it has one, and argument. */
static int dispatch(const struct options *o, int n, char *const words[])
{
    const struct verb *v = n >= 1 ? find_verb(words[0], n >= 2 ? words[1] : NULL) : NULL;
    int own = v && !v->verb ? 1 : 2, wanted = own + (v && v->argument);
    const char *stray;

    if (n == 0) {
        fputs(USAGE, stderr);
        return CTL_USAGE;
    }
    if (!v)
        return ctl_complain(CTL_USAGE, "%s%s%s: there is no such command; see --help", words[0], n > 1 ? " " : "",
                            n > 1 ? words[1] : "");
    if (n < wanted)
        return ctl_complain(CTL_USAGE, "%s%s%s: %s is missing", v->noun, v->verb ? " " : "", v->verb ? v->verb : "", v->argument);
    if (n > wanted)
        return ctl_complain(CTL_USAGE, "%s: %s is one word too many", v->noun, words[wanted]);
    stray = ctloptions_stray(o, (enum ctl_verb)(v - VERBS));
    if (stray)
        return ctl_complain(CTL_USAGE, "--%s does not go with %s%s%s; see --help", stray, v->noun, v->verb ? " " : "",
                            v->verb ? v->verb : "");
    return run(v, o, v->argument ? words[own] : NULL);
}

int main(int argc, char **argv)
{
    struct options o;
    int first;

    if (!ctloptions_read(&o, argc, argv, &first))
        return CTL_USAGE;
    if (o.help) {
        fputs(USAGE, stdout);
        return CTL_OK;
    }
    if (o.version) {
        printf("turnpikectl %s\n", PACKAGE_VERSION);
        return CTL_OK;
    }
    return dispatch(&o, argc - first, argv + first);
}
