/* turnpike-probe: proves the rules of a firewall. Options and output; the work is in probe/. */
#include <config.h> /* the build's */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/err.h"
#include "probe/probe.h"
#include "probe/reportjson.h"
#include "probe/reportjunit.h"
#include "probe/reportprometheus.h"
#include "probe/reporttable.h"
#include "programs/output.h"
#include "programs/probegenerate.h"

enum { STATUS_PASS = 0, STATUS_WARN = 1, STATUS_FAIL = 2, STATUS_USAGE = 3 };

enum {
    SECRET_MAX = 2048, /* bytes of a password or token and its NUL */
    IDLE_MAX_S = 3600,
    WATCH_MAX_S = 86400,
};

/* One way to write a result; ERR_IO or 0. */
struct output {
    const char *name;
    int (*print)(const struct report *r, bool strict);
};

struct options {
    struct probe_config probe;
    struct probegenerate generate;
    const struct output *output;
    bool role_given, strict;
    unsigned watch_s;   /* between two runs; 0: there is one */
    struct rules rules; /* of --rules */
    char host[RULES_HOST][RULES_HOST_MAX];
    char password[SECRET_MAX], token[SECRET_MAX];
};

static const char HELP[] =
    "Usage: turnpike-probe --role browser|server [--relay HOST[:PORT]] [--connect HOST[:PORT]] [--app HOST[:PORT]] [OPTION...]\n"
    "Proves the firewall rules of a role from this host: which hold, which do not, why, and the line to add.\n\n"
    "  --role browser|server  whose rules: of the browser's host, or of the UC server's\n"
    "  --relay HOST[:PORT]    the TURN server        } rules for what is\n"
    "  --connect HOST[:PORT]  the connect service    } not given here\n"
    "  --app HOST[:PORT]      the web app            } are skipped\n"
    "  --user NAME            for the relay, with the password in TURNPIKE_PROBE_PASSWORD, or\n"
    "  --password-file FILE   in the first line of a file, or\n"
    "  --password PASSWORD    here, where every user of this machine may have read it\n"
    "  --token-file FILE      a token with the scope phone, as NAME:PASSWORD in the first line: signs in at the connect\n"
    "                         service, which hands out what the relay wants if no --user is given; or one with the\n"
    "                         scope turn, for the relay itself; else in TURNPIKE_PROBE_TOKEN, or\n"
    "  --token NAME:PASSWORD  here, likewise\n"
    "  --rules FILE           other rules than the five: see ucconnect.rules\n"
    "  --only N               the rule with this number alone\n"
    "  --both                 also against the other end: the bridge of the browser's tenant, or another probe at the same\n"
    "                         time, in a tenant without a bridge; the browser's token has the scope phone, the other's bridge\n"
    "  --quick                short waits, and no idle time-outs\n"
    "  --idle SECONDS         how long WebSocket and UDP are left idle (65 and 30)\n"
    "  --ca FILE              the authorities that TLS trusts, as PEM (the system's)\n"
    "  --proxy URL            http://HOST:PORT, for what goes by TCP\n"
    "  --dns IP[:PORT]        ask this name server (the system's)\n"
    "  -o table|json|junit|prometheus  how the result is written\n"
    "  --watch SECONDS        again and again with this pause; the table only when something has changed\n"
    "  --strict               a warning is exit status 1\n"
    "  --help, --version\n\n"
    "Or it writes the rules for a firewall, from the same rules and hosts, and tries nothing:\n\n"
    "  --generate nftables|iptables|windows|text\n"
    "  --side office|browser|relay  whose firewall: the UC server's, a browser's, or that of the relay's own host\n"
    "  --at gateway|host      a firewall that forwards (the default), or the host that begins\n"
    "  --from IP[/BITS]       only this host or network begins\n"
    "  --peers-outside[=MIN-MAX]  relayed ports of the relay, too: for peers without a TURN client (49152-65535)\n\n"
    "Exit status: 0 all rules hold; 1 there are warnings, with --strict; 2 a rule does not hold; 3 usage or configuration.\n";

/* ---- Ways to write a result. ---- */

static int print_table(const struct report *r, bool strict)
{
    (void)strict; /* that is the exit status's business */
    reporttable_print(r, stdout);
    return 0;
}

static int print_json(const struct report *r, bool strict)
{
    json_t *json = reportjson_of(r);
    int err = 0;

    (void)strict;
    if (!json || json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) || putchar('\n') == EOF)
        err = ERR_IO;
    json_decref(json);
    return err;
}

static int print_junit(const struct report *r, bool strict)
{
    reportjunit_print(r, strict, stdout);
    return 0;
}

static int print_prometheus(const struct report *r, bool strict)
{
    (void)strict;
    reportprometheus_print(r, stdout);
    return 0;
}

static const struct output OUTPUTS[] = {
    {"table", print_table}, {"json", print_json}, {"junit", print_junit}, {"prometheus", print_prometheus}};

/* ---- Options. ---- */

enum {
    O_ROLE = 256,
    O_RELAY,
    O_CONNECT,
    O_APP,
    O_USER,
    O_PASSWORD,
    O_PASSWORD_FILE,
    O_TOKEN,
    O_TOKEN_FILE,
    O_RULES,
    O_ONLY,
    O_BOTH,
    O_QUICK,
    O_IDLE,
    O_CA,
    O_PROXY,
    O_DNS,
    O_WATCH,
    O_STRICT,
    O_HELP,
    O_VERSION,
};

static const struct option LONG[] = {{"role", 1, NULL, O_ROLE},
                                     {"relay", 1, NULL, O_RELAY},
                                     {"connect", 1, NULL, O_CONNECT},
                                     {"app", 1, NULL, O_APP},
                                     {"user", 1, NULL, O_USER},
                                     {"password", 1, NULL, O_PASSWORD},
                                     {"password-file", 1, NULL, O_PASSWORD_FILE},
                                     {"token", 1, NULL, O_TOKEN},
                                     {"token-file", 1, NULL, O_TOKEN_FILE},
                                     {"rules", 1, NULL, O_RULES},
                                     {"only", 1, NULL, O_ONLY},
                                     {"both", 0, NULL, O_BOTH},
                                     {"quick", 0, NULL, O_QUICK},
                                     {"idle", 1, NULL, O_IDLE},
                                     {"ca", 1, NULL, O_CA},
                                     {"proxy", 1, NULL, O_PROXY},
                                     {"dns", 1, NULL, O_DNS},
                                     {"output", 1, NULL, 'o'},
                                     {"watch", 1, NULL, O_WATCH},
                                     {"strict", 0, NULL, O_STRICT},
                                     {"generate", 1, NULL, PROBEGENERATE_FORMAT},
                                     {"side", 1, NULL, PROBEGENERATE_SIDE},
                                     {"at", 1, NULL, PROBEGENERATE_AT},
                                     {"from", 1, NULL, PROBEGENERATE_FROM},
                                     {"peers-outside", 2, NULL, PROBEGENERATE_PEERS_OUTSIDE},
                                     {"help", 0, NULL, O_HELP},
                                     {"version", 0, NULL, O_VERSION},
                                     {NULL, 0, NULL, 0}};

static int usage(const char *text)
{
    fprintf(stderr, "turnpike-probe: %s (--help tells the options)\n", text);
    return STATUS_USAGE;
}

static bool read_number(const char *text, unsigned max, unsigned *out)
{
    char *end;
    unsigned long n = strspn(text, "0123456789") ? strtoul(text, &end, 10) : 0;

    *out = (unsigned)n;
    return n >= 1 && n <= max && *end == '\0';
}

/* "HOST", "HOST:PORT", "[IPv6]:PORT" or an IPv6 address alone. */
static bool read_host(struct options *o, enum rules_target target, const char *text)
{
    struct probe_host *h = &o->probe.host[target];
    char *name = o->host[target], *colon;
    unsigned port = 0;
    struct addr a;

    if (addr_parse(&a, text) == 0) {
        char ip[ADDR_TEXT_MAX];

        snprintf(name, RULES_HOST_MAX, "%s", addr_ip_text(&a, ip));
        port = a.port;
        if (!port)
            return false;
    } else {
        if (snprintf(name, RULES_HOST_MAX, "%s", text) >= RULES_HOST_MAX)
            return false;
        colon = addr_parse_ip(&a, text) ? strchr(name, ':') : NULL;
        if (colon && !read_number(colon + 1, UINT16_MAX, &port))
            return false;
        if (colon)
            *colon = '\0';
    }
    *h = (struct probe_host){.name = name, .port = (uint16_t)port};
    return rules_is_host(name);
}

static bool read_first_line(const char *path, char out[static SECRET_MAX])
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, SECRET_MAX, f);

    if (f)
        fclose(f);
    out[ok ? strcspn(out, "\r\n") : 0] = '\0';
    return *out;
}

/* What stands in the arguments is overwritten: nobody reads it there from now on. */
static bool take_secret(char *value, char out[static SECRET_MAX])
{
    int n = snprintf(out, SECRET_MAX, "%s", value);

    memset(value, '*', strlen(value));
    return n > 0 && n < SECRET_MAX;
}

static bool read_role(struct options *o, const char *text)
{
    o->role_given = true;
    for (int role = 0; role < RULES_SOURCES; role++) {
        o->probe.role = (enum rules_source)role;
        if (strcmp(text, rules_source_name(o->probe.role)) == 0)
            return true;
    }
    return false;
}

static bool read_output(struct options *o, const char *text)
{
    for (size_t i = 0; i < sizeof(OUTPUTS) / sizeof(OUTPUTS[0]); i++) {
        if (strcmp(text, OUTPUTS[i].name) == 0) {
            o->output = &OUTPUTS[i];
            return true;
        }
    }
    return false;
}

/* One option's value; false when it can't be read. */
static bool take(struct options *o, int which, char *value)
{
    switch (which) {
    case O_ROLE:
        return read_role(o, value);
    case O_RELAY:
        return read_host(o, RULES_RELAY, value);
    case O_CONNECT:
        return read_host(o, RULES_CONNECT, value);
    case O_APP:
        return read_host(o, RULES_APP, value);
    case O_USER:
        o->probe.user = value;
        return *value;
    case O_PASSWORD:
        return take_secret(value, o->password);
    case O_PASSWORD_FILE:
        return read_first_line(value, o->password);
    case O_TOKEN:
        return take_secret(value, o->token);
    case O_TOKEN_FILE:
        return read_first_line(value, o->token);
    case O_ONLY:
        return read_number(value, RULES_NUMBER_MAX, &o->probe.only);
    case O_IDLE:
        return read_number(value, IDLE_MAX_S, &o->probe.idle_s);
    case O_WATCH:
        return read_number(value, WATCH_MAX_S, &o->watch_s);
    case O_BOTH:
        return o->probe.both = true;
    case O_QUICK:
        return o->probe.quick = true;
    case O_STRICT:
        return o->strict = true;
    case O_CA:
        o->probe.ca_file = value;
        return true;
    case O_PROXY:
        o->probe.proxy = value;
        return true;
    case O_DNS:
        o->probe.dns = value;
        return true;
    case 'o':
        return read_output(o, value);
    }
    return probegenerate_take(&o->generate, which, value);
}

/* The last colon divides: a time-limited name has one itself. */
static bool split_token(struct options *o)
{
    char *colon = strrchr(o->token, ':');

    if (!colon || colon == o->token || !colon[1])
        return false;
    *colon = '\0';
    o->probe.token_user = o->token;
    o->probe.token_password = colon + 1;
    return true;
}

/* STATUS_PASS to go on, or an exit status. */
static int complete(struct options *o)
{
    const struct probe_host *h = o->probe.host;

    if (o->generate.wanted)
        return o->probe.only ? usage("--only tries one rule: --generate writes all of --rules") : STATUS_PASS;
    if (o->generate.side_given || o->generate.from || o->generate.ports_given)
        return usage("--side, --from and --peers-outside are for --generate");
    if (!o->role_given)
        return usage("--role browser or --role server is needed: whose rules are they?");
    if (!h[RULES_RELAY].name && !h[RULES_CONNECT].name && !h[RULES_APP].name && !o->rules.n)
        return usage("--relay, --connect or --app is needed: where do the rules lead to?");
    if (o->probe.user && !*o->password)
        return usage("the password of --user is needed: --password-file FILE, or TURNPIKE_PROBE_PASSWORD");
    if (*o->token && !split_token(o))
        return usage("a token is NAME:PASSWORD");
    if (o->probe.both && (!*o->token || !h[RULES_RELAY].name || !h[RULES_CONNECT].name))
        return usage("--both needs --relay, --connect and a token: the ends meet at the connect service");
    if (o->watch_s && o->output->print != print_table && o->output->print != print_json)
        return usage("--watch goes with -o table or json: the others are one document");
    o->probe.password = o->password;
    return STATUS_PASS;
}

static void read_environment(const char *name, char out[static SECRET_MAX])
{
    const char *value = getenv(name);

    if (value && strlen(value) < SECRET_MAX)
        memcpy(out, value, strlen(value) + 1);
}

/* STATUS_PASS to go on, -1 when all is done, or an exit status. */
static int read_options(struct options *o, int argc, char **argv)
{
    char error[RULES_ERROR_MAX];
    int which, index = 0;

    o->probe.rules = rules_five();
    o->output = OUTPUTS;
    read_environment("TURNPIKE_PROBE_PASSWORD", o->password);
    read_environment("TURNPIKE_PROBE_TOKEN", o->token);
    while (index = -1, (which = getopt_long(argc, argv, "o:", LONG, &index)) != -1) {
        if (which == O_HELP || which == O_VERSION) {
            if (which == O_HELP)
                fputs(HELP, stdout);
            else
                printf("turnpike-probe %s\n", PACKAGE_VERSION);
            return -1;
        }
        if (which == '?')
            return STATUS_USAGE;
        if (which == O_RULES) {
            if (rules_read(&o->rules, optarg, error)) {
                fprintf(stderr, "turnpike-probe: %s\n", error);
                return STATUS_USAGE;
            }
            o->probe.rules = &o->rules;
        } else if (!take(o, which, optarg)) {
            fprintf(stderr, "turnpike-probe: %s%s can't be read: %s (--help tells the options)\n", index < 0 ? "-" : "--",
                    index < 0 ? "o" : LONG[index].name, which == O_PASSWORD || which == O_TOKEN || !optarg ? "" : optarg);
            return STATUS_USAGE;
        }
    }
    return optind == argc ? complete(o) : usage("an argument that is no option");
}

/* ---- The run. ---- */

static void show_progress(void *ctx, const struct report *r, size_t done)
{
    (void)ctx;
    fprintf(stderr, "\r%zu of %zu rules ", done, r->n);
    if (done == r->n)
        fputs("\r                        \r", stderr);
}

static int print(const struct options *o, const struct report *r)
{
    int err = o->output->print(r, o->strict);

    if (output_flush("turnpike-probe"))
        return ERR_IO;
    if (err)
        fputs("turnpike-probe: no memory for the result\n", stderr);
    return err;
}

static int status_of(const struct options *o, const struct report *r)
{
    switch (report_worst(r)) {
    case REPORT_FAIL:
        return STATUS_FAIL;
    case REPORT_WARN:
        return o->strict ? STATUS_WARN : STATUS_PASS;
    case REPORT_PASS:
        return STATUS_PASS;
    case REPORT_SKIP:
    case REPORT_VERDICTS:
        break;
    }
    return usage("no rule could be tried: name their hosts");
}

/* Do other rules hold than before, or fail for another reason? */
static bool has_changed(const struct report *r, const struct report *before)
{
    bool changed = r->n != before->n;

    for (size_t i = 0; i < r->n && !changed; i++)
        changed = r->line[i].verdict != before->line[i].verdict || r->line[i].code != before->line[i].code;
    return changed;
}

/* What a signal ends a watch with. */
static volatile sig_atomic_t last = STATUS_USAGE;

static void on_end(int number)
{
    (void)number;
    _exit((int)last);
}

static void show_time(time_t wall)
{
    char text[sizeof("2026-01-01 00:00:00 ")];
    struct tm tm;

    if (localtime_r(&wall, &tm) && strftime(text, sizeof(text), "%F %T", &tm))
        printf("%s\n", text);
}

/* One run: what has come of it, told if it is to be. `before`: NULL, or that one before. */
static int once(struct options *o, struct report *r, const struct report *before)
{
    char error[PROBE_ERROR_MAX];
    int err = probe_run(&o->probe, r, error);

    if (err == ERR_CANCELLED && o->watch_s)
        exit((int)last);
    if (err) {
        fprintf(stderr, "turnpike-probe: %s\n", error);
        return STATUS_USAGE;
    }
    last = status_of(o, r); /* before it is told: who reads that may end us at once */
    if (before && o->output->print == print_table && !has_changed(r, before))
        return last;
    if (o->watch_s && o->output->print == print_table)
        show_time((time_t)r->began);
    return print(o, r) ? STATUS_USAGE : last;
}

static int run(struct options *o)
{
    static struct report reports[2]; /* too large for a stack */
    int status;

    signal(SIGPIPE, SIG_IGN);
    if (o->generate.wanted)
        return probegenerate_run(&o->generate, o->probe.rules, o->probe.host) ? STATUS_USAGE : STATUS_PASS;
    if (isatty(STDERR_FILENO))
        o->probe.progress = show_progress;
    if (o->watch_s) {
        signal(SIGINT, on_end);
        signal(SIGTERM, on_end);
    }
    status = once(o, &reports[0], NULL);
    for (unsigned n = 1; o->watch_s && status != STATUS_USAGE; n++) {
        sleep(o->watch_s);
        status = once(o, &reports[n % 2], &reports[(n - 1) % 2]);
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct options o;
    int status = read_options(&o, argc, argv);

    if (!status)
        status = run(&o);
    explicit_bzero(&o, sizeof(o));
    if (status < 0)
        status = output_flush("turnpike-probe") ? STATUS_USAGE : STATUS_PASS;
    return status;
}
