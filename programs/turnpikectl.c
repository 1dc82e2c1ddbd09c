/* turnpikectl: asks a relay by its admin plane, or where none runs its store. */
#include <config.h> /* the build's; not programs/config.h */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "programs/ctl.h"
#include "programs/ctlverbs.h"
#include "programs/output.h"

static const char DEFAULT_FILE[] = "/etc/turnpike/turnpiked.conf", DEFAULT_SOCKET[] = "/run/turnpike/admin.sock";

enum need {
    NEEDS_RELAY, /* or what stands for it where none runs: the store */
    NEEDS_CONFIG,
    NEEDS_NOTHING,
};

static const struct {
    enum need need;
    int (*run)(struct ctl *c);
} RUN[CTL_VERBS] = {
    [CTL_STATUS] = {NEEDS_RELAY, ctlrelay_status},
    [CTL_ALLOCATIONS] = {NEEDS_RELAY, ctlrelay_allocations},
    [CTL_KICK] = {NEEDS_RELAY, ctlrelay_kick},
    [CTL_TOKEN_ISSUE] = {NEEDS_RELAY, ctltokens_issue},
    [CTL_TOKEN_LIST] = {NEEDS_RELAY, ctltokens_list},
    [CTL_TOKEN_SHOW] = {NEEDS_RELAY, ctltokens_show},
    [CTL_TOKEN_REVOKE] = {NEEDS_RELAY, ctltokens_revoke},
    [CTL_USER_ADD] = {NEEDS_RELAY, ctlusers_add},
    [CTL_USER_SET] = {NEEDS_RELAY, ctlusers_set},
    [CTL_USER_LIST] = {NEEDS_RELAY, ctlusers_list},
    [CTL_USER_SHOW] = {NEEDS_RELAY, ctlusers_show},
    [CTL_USER_REMOVE] = {NEEDS_RELAY, ctlusers_remove},
    [CTL_USER_REVOKE] = {NEEDS_RELAY, ctlusers_revoke},
    [CTL_CREDENTIALS] = {NEEDS_RELAY, ctlusage_credentials},
    [CTL_ICE_SERVERS] = {NEEDS_RELAY, ctlusage_ice_servers},
    [CTL_USAGE_SHOW] = {NEEDS_RELAY, ctlusage_show},
    [CTL_PEERS_SHOW] = {NEEDS_RELAY, ctlrules_peers},
    [CTL_PEERS_TEST] = {NEEDS_RELAY, ctlrules_test},
    [CTL_PEERS_SET] = {NEEDS_RELAY, ctlrules_set},
    [CTL_QUOTA_SHOW] = {NEEDS_RELAY, ctlrules_quota},
    [CTL_QUOTA_SET] = {NEEDS_RELAY, ctlrules_set_quota},
    [CTL_NODES] = {NEEDS_RELAY, ctlserver_nodes},
    [CTL_BRIDGE_STATUS] = {NEEDS_RELAY, ctlbridge_status},
    [CTL_BRIDGE_CHECK] = {NEEDS_RELAY, ctlprobe_check},
    [CTL_DRAIN] = {NEEDS_RELAY, ctlserver_drain},
    [CTL_RELOAD] = {NEEDS_RELAY, ctlserver_reload},
    [CTL_LOG_LEVEL] = {NEEDS_RELAY, ctlserver_log_level},
    [CTL_CONFIG_CHECK] = {NEEDS_RELAY, ctlserver_check},
    [CTL_CONFIG_SHOW] = {NEEDS_RELAY, ctlserver_config},
    [CTL_EVENTS] = {NEEDS_RELAY, ctlevents_follow},
    [CTL_ADMIN_TOKEN_ISSUE] = {NEEDS_CONFIG, ctladmin_issue},
    [CTL_ADMIN_TOKEN_LIST] = {NEEDS_CONFIG, ctladmin_list},
    [CTL_ADMIN_TOKEN_REVOKE] = {NEEDS_CONFIG, ctladmin_revoke},
    [CTL_IMPORT_COTURN] = {NEEDS_NOTHING, ctlimport_coturn},
};

/* ---- Run. ---- */

/* The file holds secrets: a member of the socket's group may not read it. */
static bool is_locked(const struct options *o)
{
    return access(o->config_file ? o->config_file : DEFAULT_FILE, R_OK) && errno == EACCES;
}

/* Not where a relay is named, nor for a file that is judged here. */
static bool wants_config(enum ctl_verb verb, const struct options *o, const char *argument)
{
    if (RUN[verb].need != NEEDS_RELAY)
        return RUN[verb].need == NEEDS_CONFIG;
    return o->offline || !(o->url || o->socket || (verb == CTL_CONFIG_CHECK && argument));
}

static int read_config(const struct options *o, struct config **config)
{
    char program[] = "turnpikectl", option[] = "--config", *file = o->config_file ? strdup(o->config_file) : NULL;
    char *argv[] = {program, option, file, NULL};
    struct conf_error e;
    int err = config_load(config, file ? 3 : 1, argv, environ, &e);

    free(file);
    return err ? ctl_complain(is_locked(o) ? CTL_REFUSED : CTL_USAGE, "%s", e.text) : CTL_OK;
}

/* Of the configuration, what there is. Whoever may not read it, or has broken it, can still ask the relay that runs, where it listens by default. */
static int find_config(struct ctl *c, enum ctl_verb verb, struct config **config)
{
    const struct options *o = c->options;
    bool can_do_without = RUN[verb].need == NEEDS_RELAY && !o->config_file && !o->offline;
    int status;

    if (!wants_config(verb, o, c->argument) || (can_do_without && is_locked(o)))
        return CTL_OK;
    status = read_config(o, config);
    c->config = *config;
    c->config_file = *config ? (*config)->config_file : DEFAULT_FILE;
    if (status && can_do_without)
        return ctl_complain(CTL_OK, "the configuration is left alone: a relay is asked on %s", DEFAULT_SOCKET);
    return status;
}

static int run(enum ctl_verb verb, const struct options *o, const char *argument)
{
    struct ctl c = {.options = o, .argument = argument, .now = (int64_t)time(NULL), .socket = o->socket};
    struct config *config = NULL;
    int status = find_config(&c, verb, &config);

    if (status)
        return status;
    if (!c.socket && !o->url)
        c.socket = config && config->admin_socket ? config->admin_socket : DEFAULT_SOCKET;
    umask(077);               /* what is made here holds keys */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    status = RUN[verb].run(&c);
    ctl_close(&c);
    if (config)
        config_wipe_secrets(config);
    config_free(&config);
    return status;
}

/* ---- In. ---- */

static const struct ctlverb *find_verb(const char *noun, const char *verb)
{
    for (size_t i = 0; i < CTL_VERBS; i++) {
        const struct ctlverb *v = &CTLVERBS[i];

        if (strcmp(v->noun, noun) == 0 && (!v->verb || (verb ? strcmp(v->verb, verb) == 0 : v->silent)))
            return v;
    }
    return NULL;
}

static int complain_words(const struct ctlverb *v, const char *word, const char *what)
{
    return ctl_complain(CTL_USAGE, "%s%s%s: %s %s", v->noun, v->verb ? " " : "", v->verb ? v->verb : "", word, what);
}

/* Options that go with each other, whatever the command. */
static int check_options(const struct options *o)
{
    if (o->url && (o->socket || o->offline))
        return ctl_complain(CTL_USAGE, "--url, --socket, --offline: one of them says whom to ask");
    if (o->socket && o->offline)
        return ctl_complain(CTL_USAGE, "--socket or --offline, not both");
    if (!o->url && (o->token_file || o->cacert))
        return ctl_complain(CTL_USAGE, "--token-file and --cacert go with --url; the socket asks for no token");
    return CTL_OK;
}

/* What stands before and behind the options: noun, verb if it has one, and argument. */
static int dispatch(const struct options *o, int n, char *const words[])
{
    const struct ctlverb *v = n >= 1 ? find_verb(words[0], n >= 2 ? words[1] : NULL) : NULL;
    int own = !v || (v->verb && n >= 2) ? 2 : 1;
    enum ctl_verb verb;
    const char *stray;

    if (n == 0) {
        ctlverbs_help(stderr);
        return CTL_USAGE;
    }
    if (!v)
        return ctl_complain(CTL_USAGE, "%s%s%s: there is no such command; see --help", words[0], n > 1 ? " " : "",
                            n > 1 ? words[1] : "");
    if (n == own && v->argument && v->argument[0] != '[')
        return complain_words(v, v->argument, "is missing");
    if (n > own + (v->argument != NULL))
        return complain_words(v, words[n - 1], "is one word too many");
    verb = (enum ctl_verb)(v - CTLVERBS);
    stray = ctloptions_stray(o, verb);
    if (stray)
        return ctl_complain(CTL_USAGE, "--%s does not go with %s%s%s; see --help", stray, v->noun, v->verb ? " " : "",
                            v->verb ? v->verb : "");
    return run(verb, o, n > own ? words[own] : NULL);
}

static int act(int argc, char **argv)
{
    struct options o;
    int first, status;

    if (!ctloptions_read(&o, argc, argv, &first))
        return CTL_USAGE;
    if (o.help) {
        ctlverbs_help(stdout);
        return CTL_OK;
    }
    if (o.version) {
        printf("turnpikectl %s\n", PACKAGE_VERSION);
        return CTL_OK;
    }
    status = check_options(&o);
    return status ? status : dispatch(&o, argc - first, argv + first);
}

int main(int argc, char **argv)
{
    int status = act(argc, argv);

    if (!status && output_flush("turnpikectl"))
        status = CTL_FAULT;
    return status;
}
