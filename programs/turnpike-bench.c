/* turnpike-bench: a load on a TURN server and what it shows. Options and output; the work is in bench/. */
#include <config.h> /* the build's */

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "bench/load.h"
#include "programs/output.h"
#include "stun/names.h"

enum { STATUS_OK = 0, STATUS_FAULT = 1, STATUS_USAGE = 2 };

static const char *const MODES[] = {"up", "down", "relay-relay", "allocate", "binding"};

static const double LOSS_VOID = 0.01;         /* per cent: a figure from a run with more loss says nothing */
static const uint64_t CPU_VOID_NS = 20000000; /* a figure from less CPU time is noise */

struct options {
    struct load_config load;
    double max_loss; /* per cent; negative: any */
    bool json;
    struct load_credential one; /* of --user */
    char password[256];
    struct load_credential *many; /* of --credentials, in `text`; NULL: not given */
    size_t nmany;
    char *text;
};

static const char HELP[] =
    "Usage: turnpike-bench MODE --server IP[:PORT] [OPTION...]\n"
    "Puts a bounded load on a TURN server and tells loss, delay and cost.\n\n"
    "Modes:\n"
    "  up           client to peer              down     peer to client\n"
    "  relay-relay  client to client, both by relayed addresses of the server\n"
    "  allocate     challenge + Allocate        binding  STUN Binding\n\n"
    "  --server IP[:PORT]     the server (port 3478)\n"
    "  --user NAME            and the password in TURNPIKE_BENCH_PASSWORD, or\n"
    "  --password-file FILE   in the first line of a file, or\n"
    "  --password PASSWORD    here, where every user of this machine can read it\n"
    "  --credentials FILE     instead: a name, a blank and a password in each line; each new client takes the next,\n"
    "                         and allocate ends when each has had its turn\n"
    "  --sessions N           clients (default 100)\n"
    "  --rate R               packets a second of each (default 50)\n"
    "  --total-rate R         packets (or requests) a second of all together; requests default to as many as are answered\n"
    "  --size BYTES           of a payload, 24 to 1400 (default 172: 20 ms of G.711 in RTP)\n"
    "  --duration S           that packets flow, up to 3600 (default 10)\n"
    "  --peer-ip IP           this host's address for the peers; up and down need it\n"
    "  --client-ip IP         this host's address for the clients\n"
    "  --transport udp|tcp    from the clients to the server (default udp)\n"
    "  --method channel|send  ChannelData, or Send and Data (default channel)\n"
    "  --pid PID              of the server on this machine: its CPU time by packet\n"
    "  --max-loss PERCENT     exit status 1 above this loss, and for any duplicate or cross-talk\n"
    "  --json                 the result as JSON\n"
    "  --help, --version\n\n"
    "Exit status: 0 done; 1 the load failed, nothing came back, or more was lost than allowed; 2 usage.\n";

static int usage(const char *text, const char *value)
{
    fprintf(stderr, "turnpike-bench: %s%s%s (--help tells the options)\n", text, value ? ": " : "", value ? value : "");
    return STATUS_USAGE;
}

/* ---- Options. ---- */

static bool read_number(const char *text, double min, double max, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= min && *out <= max;
}

static bool read_server(const char *text, struct addr *out)
{
    if (addr_parse(out, text) == 0)
        return true;
    if (addr_parse_ip(out, text))
        return false;
    out->port = STUN_PORT;
    return true;
}

static bool read_password_file(const char *path, char *out, size_t cap)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, (int)cap, f);

    if (f)
        fclose(f);
    out[strcspn(out, "\r\n")] = '\0';
    return ok && out[0];
}

static void free_credentials(struct options *o)
{
    free(o->many);
    free(o->text);
    o->many = NULL;
    o->text = NULL;
    o->nmany = 0;
}

/* A name, a blank and a password in each line. */
static bool read_credentials(struct options *o, const char *path)
{
    FILE *f = fopen(path, "re");
    size_t cap = 0;
    ssize_t len;
    char *rest;

    free_credentials(o);
    if (!f)
        return false;
    len = getdelim(&o->text, &cap, '\0', f); /* all of it */
    fclose(f);
    for (char *line = len > 0 ? strtok_r(o->text, "\r\n", &rest) : NULL; line; line = strtok_r(NULL, "\r\n", &rest)) {
        struct load_credential *grown = reallocarray(o->many, o->nmany + 1, sizeof(*grown));
        char *blank = strchr(line, ' ');

        if (grown)
            o->many = grown;
        if (!grown || !blank || blank == line || !blank[1])
            return false;
        *blank = '\0';
        o->many[o->nmany++] = (struct load_credential){line, blank + 1};
    }
    return o->nmany > 0;
}

static bool read_choice(const char *text, const char *no, const char *yes, bool *out)
{
    *out = strcmp(text, yes) == 0;
    return *out || strcmp(text, no) == 0;
}

enum {
    O_SERVER = 256,
    O_USER,
    O_PASSWORD,
    O_PASSWORD_FILE,
    O_CREDENTIALS,
    O_SESSIONS,
    O_RATE,
    O_TOTAL,
    O_SIZE,
    O_DURATION,
    O_PEER,
    O_CLIENT,
    O_TRANSPORT,
    O_METHOD,
    O_PID,
    O_MAX_LOSS,
    O_JSON,
    O_HELP,
    O_VERSION
};

static const struct option LONG[] = {{"server", 1, NULL, O_SERVER},
                                     {"user", 1, NULL, O_USER},
                                     {"password", 1, NULL, O_PASSWORD},
                                     {"password-file", 1, NULL, O_PASSWORD_FILE},
                                     {"credentials", 1, NULL, O_CREDENTIALS},
                                     {"sessions", 1, NULL, O_SESSIONS},
                                     {"rate", 1, NULL, O_RATE},
                                     {"total-rate", 1, NULL, O_TOTAL},
                                     {"size", 1, NULL, O_SIZE},
                                     {"duration", 1, NULL, O_DURATION},
                                     {"peer-ip", 1, NULL, O_PEER},
                                     {"client-ip", 1, NULL, O_CLIENT},
                                     {"transport", 1, NULL, O_TRANSPORT},
                                     {"method", 1, NULL, O_METHOD},
                                     {"pid", 1, NULL, O_PID},
                                     {"max-loss", 1, NULL, O_MAX_LOSS},
                                     {"json", 0, NULL, O_JSON},
                                     {"help", 0, NULL, O_HELP},
                                     {"version", 0, NULL, O_VERSION},
                                     {NULL, 0, NULL, 0}};

/* One option's value; false when it can't be read. */
static bool take(struct options *o, int which, char *value, double *rate, double *total)
{
    double number = 0;

    switch (which) {
    case O_SERVER:
        return read_server(value, &o->load.server);
    case O_USER:
        o->one.user = value;
        return value[0] != '\0';
    case O_PASSWORD:
        snprintf(o->password, sizeof(o->password), "%s", value);
        memset(value, '*', strlen(value)); /* at least from now on */
        return true;
    case O_PASSWORD_FILE:
        return read_password_file(value, o->password, sizeof(o->password));
    case O_CREDENTIALS:
        return read_credentials(o, value);
    case O_RATE:
        return read_number(value, 0.01, 1e6, rate);
    case O_TOTAL:
        return read_number(value, 0.01, 1e7, total);
    case O_PEER:
        return addr_parse_ip(&o->load.peer_ip, value) == 0;
    case O_CLIENT:
        return addr_parse_ip(&o->load.client_ip, value) == 0;
    case O_TRANSPORT:
        return read_choice(value, "udp", "tcp", &o->load.tcp);
    case O_METHOD:
        return read_choice(value, "channel", "send", &o->load.send_method);
    case O_MAX_LOSS:
        return read_number(value, 0, 100, &o->max_loss);
    case O_JSON:
        o->json = true;
        return true;
    case O_SESSIONS:
        if (!read_number(value, 1, LOAD_SESSIONS_MAX, &number))
            return false;
        o->load.sessions = (unsigned)number;
        return true;
    case O_SIZE:
        if (!read_number(value, LOAD_SIZE_MIN, LOAD_SIZE_MAX, &number))
            return false;
        o->load.size = (unsigned)number;
        return true;
    case O_DURATION:
        if (!read_number(value, 1, LOAD_DURATION_MAX_S, &number))
            return false;
        o->load.duration_s = (unsigned)number;
        return true;
    case O_PID:
        if (!read_number(value, 1, 1 << 22, &number))
            return false;
        o->load.server_pid = (pid_t)number;
        return true;
    }
    return false;
}

/* STATUS_OK to go on, -1 when all is done, or an exit status. */
static int read_options(struct options *o, int argc, char **argv)
{
    double rate = 50, total = 0;
    int which, index = 0;

    o->load = (struct load_config){.sessions = 100, .size = 172, .duration_s = 10};
    o->max_loss = -1;
    if (getenv("TURNPIKE_BENCH_PASSWORD"))
        snprintf(o->password, sizeof(o->password), "%s", getenv("TURNPIKE_BENCH_PASSWORD"));
    while ((which = getopt_long(argc, argv, "", LONG, &index)) != -1) {
        if (which == O_HELP || which == O_VERSION) {
            if (which == O_HELP)
                fputs(HELP, stdout);
            else
                printf("turnpike-bench %s\n", PACKAGE_VERSION);
            return -1;
        }
        if (which == '?')
            return STATUS_USAGE;
        if (!take(o, which, optarg, &rate, &total)) {
            fprintf(stderr, "turnpike-bench: --%s can't be read or is out of range: %s (--help tells the options)\n",
                    LONG[index].name, which == O_PASSWORD ? "" : optarg);
            return STATUS_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage("one MODE is needed: up, down, relay-relay, allocate or binding", NULL);
    for (o->load.mode = 0; o->load.mode <= LOAD_BINDING && strcmp(argv[optind], MODES[o->load.mode]) != 0; o->load.mode++)
        ;
    if (o->load.mode > LOAD_BINDING)
        return usage("unknown mode", argv[optind]);
    if (!o->load.server.family)
        return usage("--server is needed", NULL);
    if (o->load.mode <= LOAD_DOWN && !o->load.peer_ip.family)
        return usage("--peer-ip is needed: an address of this host that the server can reach, and whose peers it allows", NULL);
    if (o->load.mode != LOAD_BINDING && !o->many && (!o->one.user || !o->password[0]))
        return usage("--user and a password (TURNPIKE_BENCH_PASSWORD), or --credentials, are needed", NULL);
    o->one.password = o->password;
    o->load.credentials = o->many ? o->many : &o->one;
    o->load.ncredentials = o->many ? o->nmany : o->one.user ? 1 : 0;
    o->load.rate = o->load.mode <= LOAD_RELAY_RELAY ? (total > 0 ? total / o->load.sessions : rate) : total;
    o->load.progress = isatty(STDERR_FILENO) ? stderr : NULL;
    return STATUS_OK;
}

/* ---- The result. ---- */

static double loss_percent(const struct load_result *r)
{
    return r->meter.sent ? 100.0 * (double)load_lost(r) / (double)r->meter.sent : 0;
}

/* Why the cost is no figure; NULL: it is one. */
static const char *why_void(const struct load_result *r)
{
    if (!r->meter.received)
        return "nothing was received";
    return r->cpu_ns < CPU_VOID_NS ? "less than 20 ms of server CPU" : loss_percent(r) > LOSS_VOID ? "loss above 0.01 %" : NULL;
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void print_text(const struct options *o, const struct load_result *r)
{
    const struct histogram *d = &r->meter.delay;
    const char *what = o->load.mode <= LOAD_RELAY_RELAY ? "packets" : "requests";

    printf("mode            %s, %u sessions\n", MODES[o->load.mode], o->load.sessions);
    printf("rate            %.0f %s/s over %.1f s\n", r->seconds > 0 ? (double)r->meter.sent / r->seconds : 0, what, r->seconds);
    printf("sent            %llu (%llu more that this machine could not send)\n", (unsigned long long)r->meter.sent,
           (unsigned long long)r->meter.unsent);
    printf("received        %llu\n", (unsigned long long)r->meter.received);
    printf("lost            %llu (%.4f %%)\n", (unsigned long long)load_lost(r), loss_percent(r));
    printf("duplicates      %llu, cross-talk %llu, reordered %llu, foreign %llu\n", (unsigned long long)r->meter.duplicates,
           (unsigned long long)r->meter.crosstalk, (unsigned long long)r->meter.reordered, (unsigned long long)r->meter.foreign);
    printf("delay           p50 %.0f us, p90 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n", us(histogram_quantile(d, 500)),
           us(histogram_quantile(d, 900)), us(histogram_quantile(d, 990)), us(histogram_quantile(d, 999)), us(d->max_ns));
    if (o->load.server_pid && why_void(r))
        printf("server CPU      void: %s\n", why_void(r));
    else if (o->load.server_pid)
        printf("server CPU      %.2f us a %.*s\n", us(r->cpu_ns) / (double)r->meter.received, (int)strlen(what) - 1, what);
}

static void print_json(const struct options *o, const struct load_result *r)
{
    const struct histogram *d = &r->meter.delay;
    json_t *root = json_pack("{s:s,s:i,s:f,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:I,s:I}", "mode", MODES[o->load.mode], "sessions",
                             (int)o->load.sessions, "seconds", r->seconds, "sent", (json_int_t)r->meter.sent, "unsent",
                             (json_int_t)r->meter.unsent, "received", (json_int_t)r->meter.received, "lost",
                             (json_int_t)load_lost(r), "loss_percent", loss_percent(r), "duplicates",
                             (json_int_t)r->meter.duplicates, "crosstalk", (json_int_t)r->meter.crosstalk, "reordered",
                             (json_int_t)r->meter.reordered, "foreign", (json_int_t)r->meter.foreign);
    json_t *delay = json_pack("{s:f,s:f,s:f,s:f,s:f}", "p50", us(histogram_quantile(d, 500)), "p90", us(histogram_quantile(d, 900)),
                              "p99", us(histogram_quantile(d, 990)), "p999", us(histogram_quantile(d, 999)), "max", us(d->max_ns));

    json_object_set_new(root, "rate", json_real(r->seconds > 0 ? (double)r->meter.sent / r->seconds : 0));
    json_object_set_new(root, "setup_seconds", json_real(r->setup_seconds));
    json_object_set_new(root, "delay_us", delay);
    if (o->load.server_pid) {
        json_object_set_new(root, "cpu_seconds", json_real((double)r->cpu_ns / 1e9));
        json_object_set_new(root, "cpu_us_each", why_void(r) ? json_null() : json_real(us(r->cpu_ns) / (double)r->meter.received));
        json_object_set_new(root, "void", why_void(r) ? json_string(why_void(r)) : json_null());
    }
    json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct load_result result;
    char text[LOAD_TEXT_MAX];
    int status = read_options(&o, argc, argv);

    if (!status && load_run(&o.load, &result, text)) {
        fprintf(stderr, "turnpike-bench: %s\n", text);
        status = STATUS_FAULT;
    }
    free_credentials(&o);
    if (status > 0)
        return status;
    if (!status && o.json)
        print_json(&o, &result);
    else if (!status)
        print_text(&o, &result);
    if (output_flush("turnpike-bench"))
        return STATUS_FAULT;
    if (status)
        return STATUS_OK;
    if (!result.meter.received) {
        fprintf(stderr, "turnpike-bench: nothing was received (is the server there, and not behind a firewall?)\n");
        return STATUS_FAULT;
    }
    if (o.max_loss >= 0 && (loss_percent(&result) > o.max_loss || result.meter.duplicates || result.meter.crosstalk))
        return STATUS_FAULT;
    return STATUS_OK;
}
