/* The configuration engine: sources and their weight, types, errors with their place. */
#include "base/conf.h"

#include "base/err.h"
#include "tests/unit/tap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum xdp { XDP_OFF, XDP_AUTO, XDP_NATIVE };

struct config {
    char *file, *realm, *separator, *cert, *pkey, *public_ip, *admin_cert;
    struct conf_list ips, users, peers;
    uint64_t lifetime, bps;
    uint16_t port;
    bool strict, help;
    enum xdp xdp;
    unsigned sum, customs;
};

static const char *const xdp_names[] = {"off", "auto", "native", NULL};

static int check_ip(const char *value, char *expected, size_t cap)
{
    if (strspn(value, "0123456789.") == strlen(value))
        return 0;
    snprintf(expected, cap, "an IP address");
    return ERR_INVAL;
}

static int set_sum(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;
    uint64_t v;
    if (conf_read_uint(&v, value, 0, 1000)) {
        snprintf(expected, cap, "a small number");
        return ERR_INVAL;
    }
    c->sum += (unsigned)v;
    c->customs++;
    return 0;
}

static const struct conf_key keys[] = {
    {"config", CONF_STRING, CONF_FIELD(struct config, file), .preset = "/nowhere/turnpike.conf", .help = "the file"},
    {"help", CONF_BOOL, CONF_FIELD(struct config, help), .flags = CONF_OPTION_ONLY, .help = "this text"},
    {"realm", CONF_STRING, CONF_FIELD(struct config, realm), .preset = "example.org", .help = "the realm"},
    {"rest-api-separator", CONF_STRING, CONF_FIELD(struct config, separator), .flags = CONF_MAY_BE_EMPTY, .preset = ":"},
    {"listening-ip", CONF_LIST, CONF_FIELD(struct config, ips), .check = check_ip, .help = "an address"},
    {"listening-port", CONF_PORT, CONF_FIELD(struct config, port), .preset = "3478", .alias = "TURN_PORT", .help = "the port"},
    {"max-lifetime", CONF_UINT, CONF_FIELD(struct config, lifetime), .min = 600, .max = 86400, .preset = "3600"},
    {"max-bps", CONF_BPS, CONF_FIELD(struct config, bps), .max = 100000000000},
    {"strict-channel-range", CONF_BOOL, CONF_FIELD(struct config, strict)},
    {"xdp", CONF_CHOICE, CONF_FIELD(struct config, xdp), .choices = xdp_names, .preset = "off", .help = "fast path"},
    {"user", CONF_LIST, CONF_FIELD(struct config, users), .flags = CONF_SECRET, .help = "NAME:PASSWORD"},
    {"denied-peer-ip", CONF_LIST, CONF_FIELD(struct config, peers), .preset = "10.0.0.0/8\n127.0.0.0/8"},
    {"cert", CONF_STRING, CONF_FIELD(struct config, cert), .needs = "pkey"},
    {"pkey", CONF_STRING, CONF_FIELD(struct config, pkey)},
    {"admin-cert", CONF_STRING, CONF_FIELD(struct config, admin_cert), .preset = "admin.pem", .needs = "pkey"},
    {"sum", CONF_CUSTOM, .set = set_sum, .flags = CONF_REPEAT},
    {"external-ip", CONF_STRING, CONF_FIELD(struct config, public_ip), .check = check_ip, .alias = "EXTERNAL_IP_ADDRESS"},
};

static const struct conf_table table = {keys, sizeof(keys) / sizeof(keys[0]), "TURNPIKE_"};

/* One run of the engine; everything from file text, arguments and environment. */
static struct conf *c;
static struct config got;
static struct conf_error e;

static void start(void)
{
    conf_free(&c);
    conf_release(&table, &got);
    memset(&got, 0, sizeof(got));
    memset(&e, 0, sizeof(e));
    if (conf_new(&c, &table))
        abort();
}

static int from_text(const char *text)
{
    return conf_buffer(c, "t.conf", text, strlen(text), &e);
}

static int from_args(const char *const *args)
{
    char *argv[16] = {(char[]){"turnpiked"}};
    int argc = 1, err;
    for (; args[argc - 1]; argc++)
        argv[argc] = strdup(args[argc - 1]);
    err = conf_options(c, argc, argv, NULL, &e);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return err;
}

static int from_env(const char *const *vars)
{
    char *envp[16] = {0};
    int n = 0, err;
    for (; vars[n]; n++)
        envp[n] = strdup(vars[n]);
    err = conf_environment(c, envp, &e);
    for (int i = 0; i < n; i++)
        free(envp[i]);
    return err;
}

#define ARGS(...) from_args((const char *const[]){__VA_ARGS__, NULL})
#define ENV(...)  from_env((const char *const[]){__VA_ARGS__, NULL})

static int apply(void)
{
    return conf_apply(c, &got, &e);
}

/* The file's text gives this error, when it is read or when it is applied. */
static bool text_fails(const char *text, const char *want)
{
    int err;
    start();
    err = from_text(text);
    if (!err)
        err = apply();
    if (err == ERR_CONFIG && strcmp(e.text, want) == 0)
        return true;
    printf("# %d \"%s\", not \"%s\"\n", err, e.text, want);
    return false;
}

static bool args_fail(const char *const *args, const char *want)
{
    int err;
    start();
    err = from_args(args);
    if (!err)
        err = apply();
    if (err == ERR_CONFIG && strcmp(e.text, want) == 0)
        return true;
    printf("# %d \"%s\", not \"%s\"\n", err, e.text, want);
    return false;
}

#define ARGS_FAIL(want, ...) args_fail((const char *const[]){__VA_ARGS__, NULL}, want)

static void test_presets(void)
{
    start();
    CHECK_INT(apply(), 0);
    CHECK_STR(got.realm, "example.org");
    CHECK_INT(got.port, 3478);
    CHECK_INT(got.lifetime, 3600);
    CHECK_INT(got.xdp, XDP_OFF);
    CHECK(got.cert == NULL);
    CHECK_INT(got.ips.n, 0);
    CHECK_INT(got.peers.n, 2);
    CHECK_STR(got.peers.item[1], "127.0.0.0/8");
    CHECK_INT(conf_source(c, "realm"), CONF_FROM_PRESET);
    CHECK_STR(conf_origin(c, "realm"), "default");
    CHECK_INT(conf_source(c, "cert"), CONF_FROM_NOWHERE);
    CHECK(conf_text(c, "cert") == NULL);
    CHECK(conf_text(c, "no-such-key") == NULL);
}

static void test_file_types(void)
{
    start();
    CHECK_INT(from_text("\xef\xbb\xbf# a comment\r\n"
                        "\n"
                        "   # one more\n"
                        "  realm \t=  north of here \r\n"
                        "listening-ip=192.0.2.1\n"
                        "listening-ip=192.0.2.2\n"
                        "listening-port=0\n"
                        "max-lifetime=600\n"
                        "max-bps=20M\n"
                        "strict-channel-range=Yes\n"
                        "xdp=native\n"
                        "user=alice:pa=ss#word\n"
                        "user=\" bob: # \"\n"
                        "rest-api-separator=\n"
                        "sum=3\nsum=4\n"
                        "denied-peer-ip=192.0.2.0/24"), /* no newline at the end */
              0);
    CHECK_INT(apply(), 0);
    CHECK_STR(got.realm, "north of here");
    CHECK_INT(got.ips.n, 2);
    CHECK_STR(got.ips.item[0], "192.0.2.1");
    CHECK_STR(got.ips.item[1], "192.0.2.2");
    CHECK_INT(got.port, 0);
    CHECK_INT(got.lifetime, 600);
    CHECK_INT(got.bps, 20000000);
    CHECK(got.strict);
    CHECK_INT(got.xdp, XDP_NATIVE);
    CHECK_STR(got.users.item[0], "alice:pa=ss#word");
    CHECK_STR(got.users.item[1], " bob: # ");
    CHECK_STR(got.separator, "");
    CHECK_INT(got.sum, 7);
    CHECK_INT(got.customs, 2);
    CHECK_INT(got.peers.n, 1); /* a file's list replaces the preset's */
    CHECK_STR(conf_origin(c, "realm"), "t.conf:4");
}

static void test_weight(void)
{
    start();
    CHECK_INT(from_text("realm=file\nlistening-port=1\nmax-lifetime=1000\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2\n"), 0);
    CHECK_INT(ENV("TURNPIKE_REALM=env", "TURN_PORT=2", "TURNPIKE_LISTENING_IP=192.0.2.3\n192.0.2.4\n\n192.0.2.5\n", "PATH=/bin",
                  "TURNPIKE_MAX_LIFETIME=  2000 ", "TURNPIKE_XDP=", "TURNPIKE_REALM=again"),
              0);
    CHECK_INT(ARGS("--realm=option", "--listening-ip", "192.0.2.9", "--strict-channel-range", "--xdp", "auto", "--help"), 0);
    CHECK_INT(apply(), 0);
    CHECK_STR(got.realm, "option");
    CHECK_INT(got.port, 2); /* an alias weighs more than the file */
    CHECK_INT(got.lifetime, 2000);
    CHECK_INT(got.ips.n, 1); /* an option replaces the whole list */
    CHECK_STR(got.ips.item[0], "192.0.2.9");
    CHECK(got.strict && got.help);
    CHECK_INT(got.xdp, XDP_AUTO);
    CHECK_INT(conf_source(c, "realm"), CONF_FROM_OPTION);
    CHECK_STR(conf_origin(c, "realm"), "--realm");
    CHECK_STR(conf_origin(c, "max-lifetime"), "TURNPIKE_MAX_LIFETIME");
    CHECK(conf_warning(c, 0) == NULL);

    start();
    CHECK_INT(ENV("TURN_PORT=2", "TURNPIKE_LISTENING_PORT=3", "TURNPIKE_LISTENING_IP=192.0.2.3\n192.0.2.4\n"), 0);
    CHECK_INT(apply(), 0);
    CHECK_INT(got.port, 3); /* and less than our own variable */
    CHECK_INT(got.ips.n, 2);
    CHECK_STR(conf_text(c, "listening-ip"), "192.0.2.3");
}

static void test_file_errors(void)
{
    CHECK(text_fails("realm=a\n\nlistning-port=1\n", "t.conf:3: listning-port: unknown key; did you mean listening-port?"));
    CHECK(text_fails("ream=a\n", "t.conf:1: ream: unknown key; did you mean realm?"));
    CHECK(text_fails("raelm=a\n", "t.conf:1: raelm: unknown key; did you mean realm?"));
    CHECK(text_fails("erlam=a\n", "t.conf:1: erlam: unknown key; did you mean realm?")); /* two swaps, not four letters */
    CHECK(text_fails("a-name-much-longer-than-any-key-that-this-server-or-another-one-might-have-in-its-table-of-keys=a\n",
                     "t.conf:1: a-name-much-longer-than-any-key-that-this-server-or-another-one-: unknown key"));
    CHECK(text_fails("something-else=s3cret\n", "t.conf:1: something-else: unknown key"));
    CHECK(text_fails("listening-port=banana\n", "t.conf:1: listening-port=banana: expected is a port from 0 to 65535"));
    CHECK(text_fails("realm=a\nlistening-port=1\nrealm=b\n", "t.conf:3: realm=b: given twice, first at t.conf:1"));
    CHECK(text_fails("realm=\n", "t.conf:1: realm=: a value is expected"));
    CHECK(text_fails("realm=a # mine\n", "t.conf:1: realm: a comment needs a line of its own (or the value needs double quotes)"));
    CHECK(text_fails("realm= # mine\n", "t.conf:1: realm: a comment needs a line of its own (or the value needs double quotes)"));
    CHECK(text_fails("realm=\"a\n", "t.conf:1: realm: a closing quote at the end is expected"));
    CHECK(text_fails("realm=\"\n", "t.conf:1: realm: a closing quote at the end is expected"));
    CHECK(text_fails("strict-channel-range\n",
                     "t.conf:1: strict-channel-range: key=value is expected; write strict-channel-range=yes"));
    CHECK(text_fails("relm\n", "t.conf:1: relm: key=value is expected (nearest key: realm)"));
    CHECK(text_fails("hunter2-and-the-rest\n", "t.conf:1: key=value is expected")); /* may be a piece of a secret */
    CHECK(text_fails("=x\n", "t.conf:1: : unknown key"));
    CHECK(text_fails("realm=a\x01z\n", "t.conf:1: realm=a?z: no control character is expected"));
    CHECK(text_fails("help=yes\n", "t.conf:1: help is an option only"));
    CHECK(text_fails("include=other.conf\n", "t.conf:1: include=other.conf: only a file can include another"));
    CHECK(text_fails("cert=c.pem\n", "t.conf:1: cert needs pkey as well"));
    CHECK(text_fails("xdp=fast\n", "t.conf:1: xdp=fast: expected is one of off, auto, native"));
    CHECK(text_fails("strict-channel-range=maybe\n", "t.conf:1: strict-channel-range=maybe: expected is yes or no"));
    CHECK(text_fails("max-lifetime=599\n", "t.conf:1: max-lifetime=599: expected is a number from 600 to 86400"));
    CHECK(text_fails("max-lifetime=86401\n", "t.conf:1: max-lifetime=86401: expected is a number from 600 to 86400"));
    CHECK(text_fails("max-bps=20 M\n", "t.conf:1: max-bps=20 M: expected is bits per second such as 500k, 20M or 1G, from 0 to "
                                       "100000000000"));
    CHECK(text_fails("max-bps=101G\n", "t.conf:1: max-bps=101G: expected is bits per second such as 500k, 20M or 1G, from 0 to "
                                       "100000000000"));
    CHECK(text_fails("listening-ip=192.0.2.1\nlistening-ip=host\n", "t.conf:2: listening-ip=host: expected is an IP address"));
    CHECK(text_fails("sum=1\nsum=2000\n", "t.conf:2: sum=2000: expected is a small number"));
    CHECK(got.realm == NULL && got.peers.item == NULL && got.peers.n == 0); /* released */
}

static void test_file_bytes(void)
{
    static const char nul[] = "realm=a\nxdp=\0off\n";
    char text[5000];

    start();
    CHECK_INT(conf_buffer(c, "t.conf", nul, sizeof(nul) - 1, &e), ERR_CONFIG);
    CHECK_STR(e.text, "t.conf:2: no NUL byte is expected");
    start();
    memset(text, 'a', sizeof(text));
    memcpy(text, "\nrealm=", 7);
    CHECK_INT(conf_buffer(c, "t.conf", text, 1 + 4096, &e), ERR_CONFIG);
    CHECK_STR(e.text, "t.conf:2: a line of at most 4095 bytes is expected");
    start();
    CHECK_INT(conf_buffer(c, "t.conf", text, 1 + 4095, &e), 0);
    CHECK_INT(conf_buffer(c, "t.conf", NULL, 0, &e), 0);
    /* An error stays one line within its room, whatever the value. */
    start();
    memcpy(text, "\nxdp=aa", 7);
    CHECK_INT(conf_buffer(c, "t.conf", text, 4000, &e), 0);
    CHECK_INT(apply(), ERR_CONFIG);
    CHECK(strstr(e.text, "expected is one of off"));
}

static void test_secrets(void)
{
    CHECK(ARGS_FAIL(
        "--user: refused, because everybody on this machine can read a process's arguments; set it as TURNPIKE_USER in the "
        "environment or as user= in the file",
        "--user=alice:hunter2"));
    CHECK(ARGS_FAIL(
        "--user: refused, because everybody on this machine can read a process's arguments; set it as TURNPIKE_USER in the "
        "environment or as user= in the file",
        "--user", "alice:hunter2"));
    CHECK(text_fails("user=hunter2\x01\n", "t.conf:1: user=...: no control character is expected"));
    start();
    CHECK_INT(ENV("TURNPIKE_USER=alice:hunter2\nbob:hunter3"), 0);
    CHECK_INT(apply(), 0);
    CHECK_INT(got.users.n, 2);
    CHECK_STR(got.users.item[1], "bob:hunter3");
}

static void test_options(void)
{
    char *argv[] = {(char[]){"ctl"}, (char[]){"--realm=a"}, (char[]){"users"}, (char[]){"--xdp"}, NULL};
    char *dashes[] = {(char[]){"ctl"}, (char[]){"--realm"}, (char[]){"-a"}, (char[]){"--"}, (char[]){"--xdp"}, NULL};
    int first = 0;

    CHECK(ARGS_FAIL("--relm: unknown option; did you mean --realm?", "--relm=s3cret"));
    CHECK(ARGS_FAIL("--something-else: unknown option", "--something-else"));
    CHECK(ARGS_FAIL("--realm: a value is expected", "--realm"));
    CHECK(ARGS_FAIL("--realm: a value is expected", "--realm", "--xdp=off"));
    CHECK(ARGS_FAIL("--realm=: a value is expected", "--realm="));
    CHECK(ARGS_FAIL("--realm=b: given twice, first at --realm", "--realm=a", "--realm=b"));
    CHECK(ARGS_FAIL("--listening-port=-1: expected is a port from 0 to 65535", "--listening-port", "-1"));
    CHECK(ARGS_FAIL("-p: unknown option; options begin with two dashes", "-p", "1"));
    CHECK(ARGS_FAIL("extra: unexpected argument", "--help", "extra"));
    start();
    CHECK_INT(ARGS("--listening-ip=192.0.2.1", "--listening-ip=192.0.2.2", "--strict-channel-range=no"), 0);
    CHECK_INT(apply(), 0);
    CHECK_INT(got.ips.n, 2);
    CHECK(!got.strict);
    start();
    CHECK_INT(conf_options(c, 4, argv, &first, &e), 0);
    CHECK_INT(first, 2);
    start();
    CHECK_INT(conf_options(c, 5, dashes, &first, &e), 0);
    CHECK_INT(first, 4);
    CHECK_STR(conf_text(c, "realm"), "-a");
}

static void test_environment(void)
{
    start();
    CHECK_INT(ENV("TURNPIKE_LISTENING_PORT=banana"), 0);
    CHECK_INT(apply(), ERR_CONFIG);
    CHECK_STR(e.text, "TURNPIKE_LISTENING_PORT=banana: expected is a port from 0 to 65535");
    start();
    CHECK_INT(ENV("TURNPIKE_REALM=a\nb"), ERR_CONFIG); /* a newline separates values only where there may be several */
    CHECK_STR(e.text, "TURNPIKE_REALM=a?b: no control character is expected");
    /* What an orchestrator injects for a service of our name is no reason not to start. */
    start();
    CHECK_INT(ENV("TURNPIKE_SERVICE_HOST=10.0.0.1", "TURNPIKE_RELM=a", "TURNPIKE_HELP=yes", "turnpike_realm=b", "NOTHING"), 0);
    CHECK_STR(conf_warning(c, 0), "TURNPIKE_SERVICE_HOST: no such key; left alone");
    CHECK_STR(conf_warning(c, 1), "TURNPIKE_RELM: no such key (nearest: realm); left alone");
    CHECK(strstr(conf_warning(c, 2), "TURNPIKE_HELP: no such key"));
    CHECK(conf_warning(c, 3) == NULL);
    CHECK_STR(conf_text(c, "realm"), "example.org");
}

static void test_alias(void)
{
    start();
    CHECK_INT(from_text("listening-port=7\n"), 0);
    CHECK_INT(ENV("TURN_PORT=tcp://10.0.0.1:3478", "EXTERNAL_IP_ADDRESS=not an address"), 0);
    CHECK_INT(apply(), 0);
    CHECK_INT(got.port, 7);
    CHECK(got.public_ip == NULL);
    CHECK_STR(conf_warning(c, 0), "TURN_PORT=tcp://10.0.0.1:3478: expected is a port from 0 to 65535; left alone");
    CHECK_STR(conf_warning(c, 1), "EXTERNAL_IP_ADDRESS=not an address: expected is an IP address; left alone");
    CHECK_INT(conf_source(c, "listening-port"), CONF_FROM_FILE);
    start();
    CHECK_INT(ENV("EXTERNAL_IP_ADDRESS=192.0.2.1\n192.0.2.2"), 0); /* one value only */
    CHECK(conf_warning(c, 0) != NULL);
    CHECK_INT(apply(), 0);
    CHECK(got.public_ip == NULL);
}

static void test_put(void)
{
    start();
    CHECK_INT(conf_put(c, CONF_FROM_ALIAS, "user", "alice:pw", "TURN_USERNAME", &e), 0);
    CHECK_INT(conf_put(c, CONF_FROM_ALIAS, "user", "bob:pw", "TURN_USERNAME", &e), 0);
    CHECK_INT(conf_put(c, CONF_FROM_ALIAS, "user", "", "TURN_USERNAME", &e), 0);
    CHECK_STR(conf_warning(c, 0), "TURN_USERNAME=...: a value is expected; left alone");
    CHECK_INT(conf_put(c, CONF_FROM_FILE, "nothing", "x", "here", &e), ERR_CONFIG);
    CHECK_STR(e.text, "here: unknown key nothing");
    CHECK_INT(apply(), 0);
    CHECK_INT(got.users.n, 2);
}

static void test_required(void)
{
    struct {
        char *realm;
    } t = {0};
    static const struct conf_key k[] = {{"realm", CONF_STRING, .size = sizeof(char *), .flags = CONF_REQUIRED}};
    static const struct conf_table one = {k, 1, NULL};
    struct conf *conf = NULL;
    char *envp[] = {(char[]){"TURNPIKE_REALM=a"}, (char[]){"realm=b"}, (char[]){"REALM=c"}, NULL};
    int err;

    CHECK_INT(conf_new(&conf, &one), 0);
    err = conf_environment(conf, envp, &e); /* no prefix: no environment */
    if (!err)
        err = conf_apply(conf, &t, &e);
    conf_free(&conf);
    CHECK_INT(err, ERR_CONFIG);
    CHECK_STR(e.text, "realm: a value is expected, but there is none");
}

/* ---- Files ---- */

static char dir[] = "/tmp/turnpike-conf.XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static bool file_fails(const char *name, const char *want)
{
    size_t n = strlen(dir) + 1;
    start();
    if (conf_file(c, in_dir(name), &e) == ERR_CONFIG && strncmp(e.text, dir, n - 1) == 0 &&
        strncmp(e.text + n, want, strlen(want)) == 0)
        return true;
    printf("# \"%s\", not \"%s\"\n", e.text, want);
    return false;
}

static void test_include(void)
{
    char want[256], name[16], text[32];

    CHECK_INT(mkdir(in_dir("conf.d"), 0700), 0);
    put_file("main.conf", "realm=a\ninclude=conf.d/more.conf\nlistening-port=9\n");
    put_file("conf.d/more.conf", "include = \"users.conf\"\nxdp=auto\n"); /* relative to the including file */
    put_file("conf.d/users.conf", "user=alice:pw\n");
    start();
    CHECK_INT(conf_file(c, in_dir("main.conf"), &e), 0);
    CHECK_INT(apply(), 0);
    CHECK_INT(got.users.n, 1);
    CHECK_INT(got.xdp, XDP_AUTO);
    CHECK_INT(got.port, 9);
    CHECK_STR(conf_origin(c, "xdp"), in_dir("conf.d/more.conf:2"));

    put_file("conf.d/users.conf", "realm=b\n");
    snprintf(want, sizeof(want), "conf.d/users.conf:1: realm=b: given twice, first at %s", in_dir("main.conf:1"));
    CHECK(file_fails("main.conf", want));
    put_file("conf.d/users.conf", "include=../main.conf\n");
    CHECK(file_fails("main.conf", "conf.d/users.conf:1: "));
    CHECK(strstr(e.text, "/conf.d/../main.conf: includes itself"));
    put_file("conf.d/users.conf", "include=\n");
    CHECK(file_fails("main.conf", "conf.d/users.conf:1: include=: a file is expected"));
    put_file("conf.d/users.conf", "include=missing.conf\n");
    CHECK(file_fails("main.conf", "conf.d/users.conf:1: "));
    CHECK(strstr(e.text, "/conf.d/missing.conf: cannot be opened: No such file or directory"));

    for (int i = 1; i <= 9; i++) {
        snprintf(name, sizeof(name), "deep%d", i);
        snprintf(text, sizeof(text), i < 9 ? "include=deep%d\n" : "# the end %d\n", i + 1);
        put_file(name, text);
    }
    CHECK(file_fails("deep1", "deep8:1: "));
    CHECK(strstr(e.text, "/deep9: included more than 8 deep"));
    start();
    CHECK_INT(conf_file(c, in_dir("deep2"), &e), 0);

    CHECK(file_fails("conf.d", "conf.d: cannot be read: Is a directory"));
    start();
    CHECK_INT(conf_file(c, "/dev/zero", &e), ERR_CONFIG);
    CHECK_STR(e.text, "/dev/zero: cannot be read: File too large");
}

static int load(const char *arg, char *const *envp)
{
    char *argv[] = {(char[]){"turnpiked"}, strdup(arg), NULL};
    int err;
    start();
    err = conf_load(c, 2, argv, envp, "config", NULL, &e);
    free(argv[1]);
    return err;
}

static void test_load(void)
{
    char arg[160];
    char *envp[] = {(char[]){"TURNPIKE_XDP=native"}, NULL};

    put_file("main.conf", "realm=loaded\nxdp=auto\nlistening-port=9\n");
    snprintf(arg, sizeof(arg), "--config=%s", in_dir("main.conf"));
    CHECK_INT(load(arg, envp), 0);
    CHECK_INT(apply(), 0);
    CHECK_STR(got.realm, "loaded");
    CHECK_INT(got.xdp, XDP_NATIVE);
    CHECK_INT(load("--listening-port=8", envp), 0);                       /* the preset's file may be missing */
    CHECK_INT(load("--config=/nowhere/turnpike.conf", envp), ERR_CONFIG); /* one that was named may not */
    CHECK_STR(e.text, "/nowhere/turnpike.conf: cannot be opened: No such file or directory");
    CHECK_INT(load("--nothing", envp), ERR_CONFIG);
}

/* ---- Readers and help ---- */

static void test_readers(void)
{
    uint64_t v = 1;
    bool b = false;
    static const char *const bad_bps[] = {
        "", "k", "1.5M", "-1", "1 k", "1kk", "1m", "1g", "1T", "0x10", "1000000000000000000000000"};

    CHECK_INT(conf_read_uint(&v, "18446744073709551615", 0, 0), 0);
    CHECK(v == UINT64_MAX);
    CHECK_INT(conf_read_uint(&v, "18446744073709551616", 0, 0), ERR_RANGE);
    CHECK_INT(conf_read_uint(&v, "4", 5, 0), ERR_RANGE);
    CHECK_INT(conf_read_uint(&v, "+5", 0, 0), ERR_INVAL);
    CHECK_INT(conf_read_uint(&v, "5 ", 0, 0), ERR_INVAL);
    CHECK_INT(conf_read_uint(&v, "", 0, 0), ERR_INVAL);
    CHECK_INT(conf_read_bps(&v, "0"), 0);
    CHECK_INT(v, 0);
    CHECK_INT(conf_read_bps(&v, "64k"), 0);
    CHECK_INT(v, 64000);
    CHECK_INT(conf_read_bps(&v, "10G"), 0);
    CHECK_INT(v, 10000000000);
    CHECK_INT(conf_read_bps(&v, "18446744073709552k"), ERR_RANGE);
    for (size_t i = 0; i < sizeof(bad_bps) / sizeof(bad_bps[0]); i++)
        CHECK_INT(conf_read_bps(&v, bad_bps[i]), ERR_INVAL);
    CHECK_INT(conf_read_bool(&b, "ON"), 0);
    CHECK(b);
    CHECK_INT(conf_read_bool(&b, "false"), 0);
    CHECK(!b);
    CHECK_INT(conf_read_bool(&b, ""), ERR_INVAL);
}

static void test_help(void)
{
    char text[8192] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");
    CHECK(f != NULL);
    conf_help(&table, f);
    fclose(f);
    CHECK(strstr(text, "  --listening-port=PORT              the port (default 3478)\n"));
    CHECK(strstr(text, "  --xdp=off|auto|native              fast path (default off)\n"));
    CHECK(strstr(text, "  --help                             this text\n"));
    CHECK(strstr(text, "  --listening-ip=TEXT                an address (may repeat)\n"));
    CHECK(strstr(text, "  TURNPIKE_USER                      NAME:PASSWORD (may repeat)\n"));
}

static const struct tap_test tests[] = {
    {"conf: defaults", test_presets},
    {"conf: every type from a file", test_file_types},
    {"conf: option over environment over alias over file over default", test_weight},
    {"conf: errors of a file say where and what", test_file_errors},
    {"conf: NUL bytes and long lines", test_file_bytes},
    {"conf: a secret is no option and in no error", test_secrets},
    {"conf: options", test_options},
    {"conf: environment", test_environment},
    {"conf: an alias that cannot be read is left alone", test_alias},
    {"conf: values from the caller", test_put},
    {"conf: a key that is required", test_required},
    {"conf: includes, circles, depth", test_include},
    {"conf: all sources in one call", test_load},
    {"conf: readers", test_readers},
    {"conf: help", test_help},
};

int main(void)
{
    int failed;
    if (!mkdtemp(dir))
        return 99;
    failed = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    conf_free(&c);
    conf_release(&table, &got);
    for (int i = 1; i <= 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "deep%d", i);
        unlink(in_dir(name));
    }
    unlink(in_dir("conf.d/users.conf"));
    unlink(in_dir("conf.d/more.conf"));
    unlink(in_dir("main.conf"));
    rmdir(in_dir("conf.d"));
    rmdir(dir);
    return failed;
}
