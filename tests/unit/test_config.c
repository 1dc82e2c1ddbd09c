#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "programs/config.h"
#include "programs/keys.h"
#include "stun/integrity.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char file[64];
static struct config *cfg;
static struct conf_error error;

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

/* Loads a file's text with one option (or NULL) and up to three variables (or NULL). */
static int load(const char *text, const char *option, const char *v1, const char *v2, const char *v3)
{
    char name[] = "turnpiked", with[80], opt[512], e1[1200], e2[256], e3[256];
    char *argv[4] = {name, with, opt, NULL}, *envp[4] = {NULL};
    int argc = option ? 3 : 2, n = 0;

    config_free(&cfg);
    write_file(text ? text : "");
    snprintf(with, sizeof(with), "--config=%s", file);
    snprintf(opt, sizeof(opt), "%s", option ? option : "");
    argv[argc] = NULL;
    snprintf(e1, sizeof(e1), "%s", v1 ? v1 : "");
    snprintf(e2, sizeof(e2), "%s", v2 ? v2 : "");
    snprintf(e3, sizeof(e3), "%s", v3 ? v3 : "");
    if (v1)
        envp[n++] = e1;
    if (v2)
        envp[n++] = e2;
    if (v3)
        envp[n++] = e3;
    int err = config_load(&cfg, argc, argv, envp, &error);
    if (err)
        printf("# %s\n", error.text);
    return err;
}

static int load_file(const char *text)
{
    return load(text, NULL, NULL, NULL, NULL);
}

static bool says(const char *part)
{
    return strstr(error.text, part) != NULL;
}

static size_t warnings_with(const char *part)
{
    size_t n = 0;
    for (size_t i = 0; i < cfg->warnings.n; i++)
        n += strstr(cfg->warnings.item[i], part) != NULL;
    return n;
}

/* ---- one key at a time ---- */

static const struct {
    const char *key;
    const char *good[6];
    const char *bad[8];
} VALUES[] = {
    {"listening-ip", {"192.0.2.1", "::", "2001:db8::1", "0.0.0.0"}, {"", "192.0.2.256", "host.example", "192.0.2.1:3478"}},
    {"listening-port", {"0", "1", "3478", "65535"}, {"", "65536", "-1", "3478/udp", "http"}},
    {"alt-listening-port", {"0", "3479"}, {"", "65536", "x", "3478"}},
    {"tls-listening-port", {"0", "5349"}, {"", "65536", "x"}},
    {"relay-ip", {"192.0.2.1", "2001:db8::1"}, {"", "0.0.0.0", "::", "eth0"}},
    {"external-ip",
     {"203.0.113.9", "203.0.113.9/10.0.0.5", "2001:db8::1/fd00::1"},
     {"", "203.0.113.9/", "/10.0.0.5", "203.0.113.9/fd00::1", "0.0.0.0", "203.0.113.9/0.0.0.0", "203.0.113.9/10.0.0.5/24"}},
    {"min-port", {"1024", "49152", "65535"}, {"", "1023", "0", "65536", "x"}},
    {"max-port", {"49152", "65535"}, {"", "49151", "1023", "65536"}},
    {"realm", {"example.com", "\xC3\xBC.example"}, {"", "a\x01", "\xFF"}},
    {"unauthenticated-rate", {"0", "200", "1000000000"}, {"", "-1", "1000000001", "many"}},
    {"user", {"a:b", "a:0x8493fbc53ba582fb4c044c456bdc40eb", "a:b:c"}, {"", "a", "a:", ":b", "a:\xFF", "\xFF:b"}},
    {"static-auth-secret", {"north", "a b"}, {""}},
    {"rest-api-separator", {":", "_", "|", "#"}, {"", "::", "7", "\xC2\xA7"}},
    {"redis",
     {"redis://127.0.0.1", "rediss://u:p@h:1/2", "redis+sentinel://a,b/m", "ip=127.0.0.1 dbname=0"},
     {"", "http://127.0.0.1", "redis://h/x", "127.0.0.1"}},
    {"redis-prefix", {"tp:", "x"}, {"", "0123456789012345678901234567890123456789012345678901234567890123"}},
    {"node-id",
     {"relay-1", "a.b_C"},
     {"", "a b", "a{b}", "a:1", "01234567890123456789012345678901234567890123456789012345678901234"}},
    {"redis-statsdb", {"ip=127.0.0.1", "redis://127.0.0.1"}, {"", "127.0.0.1", "port=x"}},
    {"state-dir", {"/tmp", "state"}, {""}},
    {"denied-peer-ip", {"10.0.0.0/8", "10.0.0.1-10.0.0.9:1-2/tcp"}, {"", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "host"}},
    {"allowed-peer-ip", {"10.1.2.3:5060/udp", "[2001:db8::/32]:5060"}, {"", "10.1.2.3:0-70000", "10.1.2.3:5060/sctp"}},
    {"max-lifetime", {"600", "3600", "1"}, {"", "0", "2147483648", "1h"}},
    {"user-quota", {"0", "10", "4294967295"}, {"", "4294967296", "-1"}},
    {"source-quota", {"0", "10"}, {"", "4294967296", "x"}},
    {"total-quota", {"0", "10"}, {"", "4294967296", "x"}},
    {"max-bps", {"0", "500k", "20M", "1G", "64000"}, {"", "-1", "20m", "20MB", "k"}},
    {"user-max-bps", {"0", "500k", "20M"}, {"", "-1", "20MB"}},
    {"bps-capacity", {"0"}, {"", "-1", "1M"}}, /* without max-bps */
    {"workers", {"0", "1", "64"}, {"", "65", "-1", "all"}},
    {"cert", {"a.pem\npkey=b.pem"}, {"", "a.pem"}},
    {"pkey", {"b.pem\ncert=a.pem"}, {"", "b.pem"}},
    {"connect-listen", {"192.0.2.1:443\ncert=a.pem\npkey=b.pem", "[::1]:443"}, {"", "443", "192.0.2.1", "::443", "host:443"}},
    {"connect-origin", {"https://app.example.com", "http://localhost:8080"}, {"", "app.example.com", "https://", "https://a/b"}},
    {"app-listen", {"127.0.0.1:443\nconnect-listen=127.0.0.1:444"}, {"", "443", "127.0.0.1:443"}},
    {"connect-url",
     {"wss://connect.example/connect", "ws://127.0.0.1:80/connect", "wss://[2001:db8::1]:443/a/b"},
     {"", "https://a/b", "wss://a", "wss:///a", "wss://a/b?c", "wss://a/\"", "wss://a b/c", "wss://a;b/c"}},
    {"admin-socket", {"/run/x.sock"}, {""}},
    {"admin-listen", {"127.0.0.1:9000"}, {"", "9000"}},
    {"admin-cert", {"a.pem\nadmin-pkey=b.pem"}, {"", "a.pem"}},
    {"admin-pkey", {"b.pem\nadmin-cert=a.pem"}, {"", "b.pem"}},
    {"admin-origin", {"https://app.example.com"}, {"", "app.example.com"}},
    {"xdp", {"off", "auto", "native", "generic"}, {"", "on", "Native"}},
    {"xdp-interface", {"eth0"}, {""}},
    {"strict-channel-range", {"yes", "no", "on", "off", "1", "0"}, {"", "maybe", "2"}},
    {"software", {"", "Turnpike", "\xC3\xBC"}, {"\x01", "\xFF"}},
    {"log-level", {"error", "warning", "info", "debug"}, {"", "loud"}},
    {"log-format", {"logfmt", "json"}, {"", "xml"}},
    {"log-file", {"/tmp/x.log"}, {""}},
};

static void every_key_is_tested(void)
{
    const struct conf_table *t = keys_table();
    for (size_t i = 0; i < t->n; i++) {
        bool found = t->keys[i].flags & CONF_OPTION_ONLY;
        for (size_t k = 0; k < sizeof(VALUES) / sizeof(VALUES[0]); k++)
            found = found || strcmp(VALUES[k].key, t->keys[i].name) == 0;
        if (!found)
            printf("# %s\n", t->keys[i].name);
        CHECK(found);
    }
}

static void good_and_bad_values(void)
{
    char line[256], want[128];
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        for (size_t k = 0; k < 6 && VALUES[i].good[k]; k++) {
            snprintf(line, sizeof(line), "%s=%s\n", VALUES[i].key, VALUES[i].good[k]);
            printf("# good: %s", line);
            CHECK_INT(load_file(line), 0);
        }
        for (size_t k = 0; k < 8 && VALUES[i].bad[k]; k++) {
            snprintf(line, sizeof(line), "# a line\n%s=%s\n", VALUES[i].key, VALUES[i].bad[k]);
            printf("# bad: %s=%s\n", VALUES[i].key, VALUES[i].bad[k]);
            CHECK_INT(load_file(line), ERR_CONFIG);
            CHECK(cfg == NULL);
            CHECK(says(VALUES[i].key));
            snprintf(want, sizeof(want), "%s:2: ", file);
            CHECK(says(want) || strncmp(error.text, "user: a: ", 9) == 0); /* a password's own error names the user */
        }
    }
}

static void too_long(void)
{
    char line[2000];
    int n = snprintf(line, sizeof(line), "software=");
    memset(line + n, 's', 127);
    line[n + 127] = '\0';
    CHECK_INT(load_file(line), 0);
    CHECK_INT(strlen(cfg->software), 127);
    line[n + 127] = 's';
    line[n + 128] = '\0';
    CHECK_INT(load_file(line), ERR_CONFIG);
    n = snprintf(line, sizeof(line), "realm=");
    memset(line + n, 'r', 764);
    line[n + 763] = '\0';
    CHECK_INT(load_file(line), 0);
    line[n + 763] = 'r';
    line[n + 764] = '\0';
    CHECK_INT(load_file(line), ERR_CONFIG);
    n = snprintf(line, sizeof(line), "user=");
    memset(line + n, 'u', 764);
    strcpy(line + n + 764, ":pass");
    CHECK_INT(load_file(line), ERR_CONFIG);
    CHECK(says("at most 763 bytes"));
}

static void defaults(void)
{
    char host[256] = "";
    CHECK_INT(load_file(""), 0);
    CHECK_INT(cfg->listening_ip.n, 0);
    CHECK_INT(cfg->listening_port, 3478);
    CHECK_INT(cfg->tls_listening_port, 5349);
    CHECK_INT(cfg->relay_ip.n, 0);
    CHECK_INT(cfg->external_ip.n, 0);
    CHECK_INT(cfg->min_port, 49152);
    CHECK_INT(cfg->max_port, 65535);
    gethostname(host, sizeof(host) - 1);
    CHECK_STR(cfg->realm, host);
    CHECK_INT(cfg->unauthenticated_rate, 200);
    CHECK_INT(cfg->users.n, 0);
    CHECK_INT(cfg->secrets.n, 0);
    CHECK_INT(cfg->rest_api_separator, ':');
    CHECK(cfg->generate_user == NULL);
    CHECK_STR(cfg->state_dir, "/var/lib/turnpike");
    CHECK_INT(cfg->max_lifetime, 3600);
    CHECK_INT(cfg->user_quota, 0);
    CHECK_INT(cfg->source_quota, 0);
    CHECK_INT(cfg->total_quota, 0);
    CHECK_INT(cfg->max_bps, 0);
    CHECK_INT(cfg->workers, 0);
    CHECK(cfg->cert == NULL && cfg->pkey == NULL && cfg->redis_statsdb == NULL && cfg->log_file == NULL && cfg->ready_file == NULL);
    CHECK_INT(cfg->connect_listen.family, ADDR_NONE);
    CHECK_STR(cfg->admin_socket, "/run/turnpike/admin.sock");
    CHECK_INT(cfg->xdp, CONFIG_XDP_OFF);
    CHECK(!cfg->strict_channel_range);
    CHECK_STR(cfg->software, "Turnpike");
    CHECK_INT(cfg->log_level, LOG_INFO);
    CHECK_INT(cfg->log_format, LOG_LOGFMT);
    CHECK(!cfg->check_config && !cfg->help && !cfg->version);
    CHECK_INT(cfg->warnings.n, 0);
}

static void fields(void)
{
    char text[ADDR_TEXT_MAX];
    CHECK_INT(
        load_file("listening-ip=192.0.2.1\nlistening-ip=2001:db8::1\nlistening-port=0\nrelay-ip=192.0.2.7\n"
                  "external-ip=203.0.113.9/192.0.2.7\nexternal-ip=2001:db8::9\nmin-port=2000\nmax-port=3000\nrealm=r\n"
                  "unauthenticated-rate=5\nuser=a:b\nuser=c:d\nstatic-auth-secret=n\nrest-api-separator=_\nstate-dir=/s\n"
                  "denied-peer-ip=192.0.2.0/24\nallowed-peer-ip=10.0.0.1\nallowed-peer-ip=10.0.0.2\nmax-lifetime=700\n"
                  "user-quota=1\nsource-quota=2\ntotal-quota=3\nmax-bps=20M\nworkers=2\nstrict-channel-range=yes\nsoftware=\n"
                  "log-level=debug\nlog-format=json\nlog-file=/l\nxdp=generic\nconnect-listen=[2001:db8::1]:443\ncert=c\npkey=p\n"),
        0);
    CHECK_INT(cfg->listening_ip.n, 2);
    CHECK_STR(addr_ip_text(&cfg->listening_ip.item[1], text), "2001:db8::1");
    CHECK_INT(cfg->listening_port, 0);
    CHECK_STR(addr_ip_text(&cfg->relay_ip.item[0], text), "192.0.2.7");
    CHECK_INT(cfg->external_ip.n, 2);
    CHECK_STR(addr_ip_text(&cfg->external_ip.item[0].public, text), "203.0.113.9");
    CHECK_STR(addr_ip_text(&cfg->external_ip.item[0].local, text), "192.0.2.7");
    CHECK_INT(cfg->external_ip.item[1].local.family, ADDR_NONE);
    CHECK_INT(cfg->min_port, 2000);
    CHECK_INT(cfg->max_port, 3000);
    CHECK_STR(cfg->realm, "r");
    CHECK_INT(cfg->unauthenticated_rate, 5);
    CHECK_INT(cfg->users.n, 2);
    CHECK_STR(cfg->users.item[1], "c:d");
    CHECK_INT(cfg->rest_api_separator, '_');
    CHECK_STR(cfg->state_dir, "/s");
    CHECK_STR(cfg->denied_peer_ip.item[0], "192.0.2.0/24");
    CHECK_INT(cfg->allowed_peer_ip.n, 2);
    CHECK_INT(cfg->max_lifetime, 700);
    CHECK_INT(cfg->user_quota, 1);
    CHECK_INT(cfg->source_quota, 2);
    CHECK_INT(cfg->total_quota, 3);
    CHECK_INT(cfg->max_bps, 20000000);
    CHECK_INT(cfg->workers, 2);
    CHECK(cfg->strict_channel_range);
    CHECK_STR(cfg->software, "");
    CHECK_INT(cfg->log_level, LOG_DEBUG);
    CHECK_INT(cfg->log_format, LOG_JSON);
    CHECK_STR(cfg->log_file, "/l");
    CHECK_INT(cfg->xdp, CONFIG_XDP_GENERIC);
    CHECK_INT(cfg->connect_listen.port, 443);
    config_wipe_secrets(cfg);
    CHECK_INT(cfg->users.n, 0);
    CHECK_INT(cfg->secrets.n, 0);
}

/* ---- what is wrong across keys ---- */

static void unknown_key(void)
{
    CHECK_INT(load_file("realm=r\nlistenning-port=3478\n"), ERR_CONFIG);
    CHECK(says(":2: ") && says("listening-port"));
    CHECK_INT(load(NULL, "--relm=x", NULL, NULL, NULL), ERR_CONFIG);
    CHECK(says("--realm"));
}

static void given_twice(void)
{
    CHECK_INT(load_file("realm=a\nrealm=b\n"), ERR_CONFIG);
    CHECK(says(":2: ") && says("twice") && says(":1"));
    CHECK_INT(load_file("user=a:b\nuser=a:c\n"), ERR_CONFIG);
    CHECK(says("twice"));
    CHECK_INT(load_file("static-auth-secret=a\nstatic-auth-secret=a\n"), ERR_CONFIG);
    CHECK(says("twice"));
    CHECK_INT(load_file("listening-ip=192.0.2.1\nlistening-ip=192.0.2.1\n"), ERR_CONFIG);
    CHECK(says("twice"));
    CHECK_INT(load_file("relay-ip=192.0.2.1\nrelay-ip=192.0.2.2\nrelay-ip=192.0.2.1\n"), ERR_CONFIG);
    CHECK_INT(load_file("external-ip=192.0.2.1\nexternal-ip=192.0.2.2\n"), ERR_CONFIG);
    CHECK_INT(load_file("external-ip=192.0.2.1/10.0.0.1\nexternal-ip=192.0.2.2/10.0.0.1\n"), ERR_CONFIG);
    CHECK_INT(load_file("external-ip=192.0.2.1\nexternal-ip=192.0.2.2/10.0.0.1\nexternal-ip=2001:db8::1\n"), 0);
}

static void secrets_in_numbers(void)
{
    char text[1024] = "";
    for (int i = 0; i < AUTH_KEYS_MAX; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "static-auth-secret=s%d\n", i);
    CHECK_INT(load_file(text), 0);
    CHECK_INT(cfg->secrets.n, AUTH_KEYS_MAX);
    strcat(text, "static-auth-secret=one-more\n");
    CHECK_INT(load_file(text), ERR_CONFIG);
    CHECK(says("at most 8"));
    CHECK(!says("one-more"));
}

static void secrets_are_no_options(void)
{
    static const char *const options[] = {"--user=a:hunter2", "--static-auth-secret=hunter2", "--redis=hunter2",
                                          "--redis-statsdb=hunter2"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        CHECK_INT(load(NULL, options[i], NULL, NULL, NULL), ERR_CONFIG);
        CHECK(says("arguments"));
        CHECK(!says("hunter2"));
    }
}

static void no_secret_in_an_error(void)
{
    CHECK_INT(load_file("user=hunter2\n"), ERR_CONFIG);
    CHECK(!says("hunter2"));
    CHECK_INT(load_file("user=a:hunter2\nuser=a:hunter3\n"), ERR_CONFIG);
    CHECK(!says("hunter"));
    CHECK_INT(load_file("user=a:hunter2\xFF\n"), ERR_CONFIG);
    CHECK(!says("hunter"));
    CHECK_INT(load_file("redis=redis://:hunter2@127.0.0.1/x\n"), ERR_CONFIG);
    CHECK(!says("hunter"));
    CHECK_INT(load(NULL, NULL, "TURNPIKE_USER=hunter2", NULL, NULL), ERR_CONFIG);
    CHECK(!says("hunter"));
}

static void option_only(void)
{
    CHECK_INT(load_file("ready-file=/x\n"), ERR_CONFIG);
    CHECK_INT(load_file("check-config=yes\n"), ERR_CONFIG);
    CHECK_INT(load(NULL, "--check-config", NULL, NULL, NULL), 0);
    CHECK(cfg->check_config);
    CHECK_INT(load(NULL, "--ready-file=/x", NULL, NULL, NULL), 0);
    CHECK_STR(cfg->ready_file, "/x");
}

/* ---- weights ---- */

static void weights(void)
{
    static const char text[] = "listening-port=1003\n";
    CHECK_INT(load(text, "--listening-port=1001", "TURNPIKE_LISTENING_PORT=1002", "TURN_PORT=1004", NULL), 0);
    CHECK_INT(cfg->listening_port, 1001);
    CHECK_INT(load(text, NULL, "TURNPIKE_LISTENING_PORT=1002", "TURN_PORT=1004", NULL), 0);
    CHECK_INT(cfg->listening_port, 1002);
    CHECK_INT(load(text, NULL, "TURN_PORT=1004", NULL, NULL), 0);
    CHECK_INT(cfg->listening_port, 1004);
    CHECK_INT(load(text, NULL, NULL, NULL, NULL), 0);
    CHECK_INT(cfg->listening_port, 1003);
    CHECK_INT(load("", NULL, NULL, NULL, NULL), 0);
    CHECK_INT(cfg->listening_port, 3478);
    /* A list is replaced as a whole. */
    CHECK_INT(load("user=a:b\nuser=c:d\n", NULL, "TURNPIKE_USER=e:f", NULL, NULL), 0);
    CHECK_INT(cfg->users.n, 1);
    CHECK_STR(cfg->users.item[0], "e:f");
    CHECK_INT(load("", NULL, "TURNPIKE_USER=e:f\ng:h", NULL, NULL), 0);
    CHECK_INT(cfg->users.n, 2);
    /* A bad value of ours is an error, wherever it comes from. */
    CHECK_INT(load(text, NULL, "TURNPIKE_LISTENING_PORT=x", NULL, NULL), ERR_CONFIG);
    CHECK(says("TURNPIKE_LISTENING_PORT"));
}

/* ---- the vendor's container variables ---- */

static void vendor_variables(void)
{
    char text[ADDR_TEXT_MAX];
    CHECK_INT(
        load("log-level=error\n", NULL, "EXTERNAL_IP_ADDRESS=203.0.113.9", "LISTENING_IP_ADDRESS=192.0.2.1", "LOG_LEVEL=debug"), 0);
    CHECK_STR(addr_ip_text(&cfg->external_ip.item[0].public, text), "203.0.113.9");
    CHECK_STR(addr_ip_text(&cfg->listening_ip.item[0], text), "192.0.2.1");
    CHECK_INT(cfg->log_level, LOG_DEBUG);
}

static void vendor_variable_that_is_not_ours(void)
{
    CHECK_INT(load("listening-port=1003\n", NULL, "TURN_PORT=tcp://10.0.0.1:3478", "LOG_LEVEL=loud", "EXTERNAL_IP_ADDRESS=auto"),
              0);
    CHECK_INT(cfg->listening_port, 1003);
    CHECK_INT(cfg->log_level, LOG_INFO);
    CHECK_INT(cfg->external_ip.n, 0);
    CHECK_INT(warnings_with("TURN_PORT"), 1);
    CHECK_INT(warnings_with("LOG_LEVEL"), 1);
    CHECK_INT(warnings_with("EXTERNAL_IP_ADDRESS"), 1);
    CHECK_INT(load("", NULL, "TURN_PORT=", NULL, NULL), 0); /* empty is unset */
    CHECK_INT(cfg->listening_port, 3478);
    CHECK_INT(warnings_with("TURN_PORT"), 0);
}

static void vendor_user(void)
{
    CHECK_INT(load("user=file:x\n", NULL, "TURN_USERNAME=uc", "TURN_PASSWORD=p:w", NULL), 0);
    CHECK_INT(cfg->users.n, 1);
    CHECK_STR(cfg->users.item[0], "uc:p:w");
    CHECK(cfg->generate_user == NULL);
    CHECK_INT(load("", NULL, "TURNPIKE_USER=a:b", "TURN_USERNAME=uc", "TURN_PASSWORD=pw"), 0);
    CHECK_STR(cfg->users.item[0], "a:b");
    CHECK_INT(cfg->users.n, 1);
    CHECK_INT(load("", NULL, "TURN_PASSWORD=hunter2", NULL, NULL), 0);
    CHECK_INT(warnings_with("TURN_PASSWORD"), 1);
    CHECK_INT(warnings_with("hunter2"), 0);
    CHECK_INT(load("", NULL, "TURN_USERNAME=a:b", "TURN_PASSWORD=hunter2", NULL), 0);
    CHECK_INT(warnings_with("TURN_USERNAME"), 1);
    CHECK_INT(cfg->users.n, 0);
}

static void vendor_user_without_password(void)
{
    CHECK_INT(load("", NULL, "TURN_USERNAME=uc", NULL, NULL), 0);
    CHECK(cfg->generate_user && strcmp(cfg->generate_user, "uc") == 0);
    CHECK_INT(cfg->warnings.n, 0);
    CHECK_INT(load("", NULL, "TURN_USERNAME=uc", "TURN_PASSWORD=", NULL), 0);
    CHECK(cfg->generate_user != NULL);
    /* The file knows the password, or another user only; ours weighs more. */
    CHECK_INT(load("user=uc:known\n", NULL, "TURN_USERNAME=uc", NULL, NULL), 0);
    CHECK(cfg->generate_user == NULL);
    CHECK_INT(load("user=ucx:known\n", NULL, "TURN_USERNAME=uc", NULL, NULL), 0);
    CHECK(cfg->generate_user != NULL);
    CHECK_INT(cfg->users.n, 1);
    CHECK_INT(load("", NULL, "TURNPIKE_USER=x:y", "TURN_USERNAME=uc", NULL), 0);
    CHECK(cfg->generate_user == NULL);
}

/* ---- bandwidth ---- */

static void capacity(void)
{
    CHECK_INT(load_file("user=a:b\nmax-bps=1M\nuser-max-bps=3M\nbps-capacity=1G\n"), 0);
    CHECK_INT(cfg->user_max_bps, 3000000);
    CHECK_INT(cfg->bps_capacity, 1000000000);
    CHECK_INT(load_file("user=a:b\nbps-capacity=1G\n"), ERR_CONFIG);
    CHECK(says(":2: bps-capacity needs max-bps"));
    CHECK_INT(load_file("bps-capacity=1M\nmax-bps=2M\n"), ERR_CONFIG);
    CHECK(says(":2: max-bps is larger than bps-capacity") && says(":1)"));
}

/* ---- the admin plane ---- */

static void admin_plane(void)
{
    CHECK_INT(load_file("user=a:b\nadmin-listen=192.0.2.1:2\n"), ERR_CONFIG);
    CHECK(says(":2: admin-listen beyond loopback needs TLS"));
    CHECK_INT(load_file("user=a:b\nadmin-listen=192.0.2.1:2\nadmin-cert=c\nadmin-pkey=p\nadmin-origin=https://a\n"), 0);
    CHECK_INT(load_file("user=a:b\nadmin-listen=127.0.0.1:2\n"), 0);
}

/* Every key that has a value, secrets masked (S24). */
static void shown(void)
{
    bool masked = false, listed = false;

    CHECK_INT(load_file("user=alice:hush\nuser=bob:hush\nlistening-port=5000\n"), 0);
    for (size_t i = 0; i < cfg->nshown; i++) {
        const struct config_shown *s = &cfg->shown[i];

        for (size_t k = 0; k < s->values.n; k++)
            CHECK(!strstr(s->values.item[k], "hush"));
        if (strcmp(s->key, "user") == 0)
            masked = s->values.n == 2 && s->may_repeat && strcmp(s->values.item[1], "********") == 0;
        if (strcmp(s->key, "listening-port") == 0)
            listed = strcmp(s->values.item[0], "5000") == 0 && strcmp(s->source, "file") == 0;
    }
    CHECK(masked && listed);
}

/* A text alone: no file is read by its path (S12). */
static void text_alone(void)
{
    struct config *c = NULL;
    struct conf_error e;

    CHECK_INT(config_read(&c, "realm=example.org\nlistening-port=99999\n", &e), ERR_CONFIG);
    CHECK(strstr(e.text, "text:2: "));
    CHECK_INT(config_read(&c, "include=/etc/passwd\n", &e), ERR_CONFIG);
    CHECK(!strstr(e.text, "root"));
    CHECK_INT(config_read(&c, "realm=example.org", &e), 0);
    CHECK_STR(c->realm, "example.org");
    config_free(&c);
}

/* ---- NAT behaviour ---- */

static void alternate(void)
{
#define TWO "listening-ip=10.0.0.1\nlistening-ip=10.0.0.2\n"
    static const char *const WITH[] = {"listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\n",
                                       "listening-ip=127.0.0.1\nlistening-ip=127.0.0.2\n", TWO "external-ip=192.0.2.1/10.0.0.1\n",
                                       TWO "external-ip=192.0.2.1\nexternal-ip=192.0.2.2/10.0.0.2\n",
                                       TWO "external-ip=2001:db8::1\n"};
    static const char *const WITHOUT[] = {"",
                                          "listening-ip=192.0.2.1\n",
                                          "listening-ip=192.0.2.1\nlistening-ip=2001:db8::1\n",
                                          "listening-ip=192.0.2.1\nlistening-ip=0.0.0.0\n",
                                          "listening-ip=127.0.0.1\nlistening-ip=192.0.2.1\n",
                                          "listening-ip=2001:db8::1\nlistening-ip=fe80::1\n",
                                          TWO "external-ip=192.0.2.1\n",
                                          TWO "external-ip=192.0.2.1/10.0.0.1\nexternal-ip=192.0.2.1/10.0.0.2\n"};
#undef TWO
    char text[200];

    CHECK_INT(load_file("user=a:b\nlistening-port=3479\nalt-listening-port=3479\n"), ERR_CONFIG);
    CHECK(says(":3: alt-listening-port=3479 is the listening-port already"));
    for (size_t i = 0; i < sizeof(WITH) / sizeof(WITH[0]); i++) {
        snprintf(text, sizeof(text), "user=a:b\nalt-listening-port=3479\n%s", WITH[i]);
        CHECK_INT(load_file(text), 0);
        CHECK_INT(cfg->alt_listening_port, 3479);
        CHECK_INT(cfg->warnings.n, 0);
    }
    for (size_t i = 0; i < sizeof(WITHOUT) / sizeof(WITHOUT[0]); i++) {
        snprintf(text, sizeof(text), "user=a:b\nalt-listening-port=3479\n%s", WITHOUT[i]);
        CHECK_INT(load_file(text), 0);
        CHECK_INT(warnings_with("without two listening-ip of one family"), 1);
    }
}

/* ---- features that are not there ---- */

static void not_built(void)
{
    CHECK_INT(load_file("user=a:b\nadmin-socket=/x\nadmin-listen=[::1]:2\nadmin-cert=c\nadmin-pkey=p\nworkers=3\n"), 0);
    CHECK_INT(cfg->warnings.n, 0);
    CHECK_INT(load_file("user=a:b\nxdp=auto\nxdp-interface=e\ncert=c\npkey=p\nconnect-listen=127.0.0.1:1\n"
                        "app-listen=127.0.0.1:3\nconnect-origin=https://a\n"
                        "tls-listening-port=5350\n"),
              0);
    CHECK_INT(cfg->warnings.n, 3);
    CHECK_INT(warnings_with("no effect yet"), 3);
    CHECK_INT(warnings_with("user space"), 1);
    CHECK_INT(load_file("user=a:b\nmax-lifetime=10\n"), 0);
    CHECK_INT(warnings_with("600"), 1);
}

/* ---- the connect service ---- */

static void connect_keys(void)
{
    CHECK_INT(load_file("user=a:b\nconnect-listen=127.0.0.1:1\napp-listen=[::1]:3\n"), 0);
    CHECK_INT(cfg->warnings.n, 0);
    CHECK_INT(load_file("user=a:b\nconnect-listen=192.0.2.1:443\n"), ERR_CONFIG);
    CHECK(says(":2: ") && says("cert"));
    CHECK_INT(load_file("user=a:b\nconnect-listen=127.0.0.1:1\napp-listen=0.0.0.0:443\n"), ERR_CONFIG);
    CHECK(says(":3: ") && says("cert"));
    CHECK_INT(load_file("user=a:b\ncert=c\npkey=p\nconnect-listen=192.0.2.1:443\napp-listen=0.0.0.0:444\n"), 0);
    CHECK_INT(load_file("user=a:b\napp-listen=127.0.0.1:1\n"), ERR_CONFIG);
    CHECK(says("connect-url"));
    CHECK_INT(load_file("user=a:b\napp-listen=127.0.0.1:1\nconnect-url=wss://a.example/connect\n"), 0);
    CHECK_STR(cfg->connect_url, "wss://a.example/connect");
}

/* ---- the file ---- */

static int run(const char *option)
{
    char name[] = "turnpiked", opt[256];
    char *argv[] = {name, opt, NULL}, *envp[] = {NULL};
    snprintf(opt, sizeof(opt), "%s", option);
    config_free(&cfg);
    return config_load(&cfg, 2, argv, envp, &error);
}

static void missing_file(void)
{
    CHECK_INT(run("--config=/nonexistent/turnpiked.conf"), ERR_CONFIG);
    CHECK(says("/nonexistent/turnpiked.conf") && says("No such file"));
    if (access("/etc/turnpike/turnpiked.conf", F_OK) != 0)
        CHECK_INT(run("--realm=r"), 0);
    CHECK_INT(run("--config=/"), ERR_CONFIG);
    CHECK(says("directory"));
}

static void help_and_version(void)
{
    char *text = NULL;
    size_t len = 0;
    CHECK_INT(load("this is broken\n", "--help", NULL, NULL, NULL), 0);
    CHECK(cfg->help);
    CHECK_INT(load("this is broken\n", "--version", NULL, NULL, NULL), 0);
    CHECK(cfg->version);
    FILE *out = open_memstream(&text, &len);
    CHECK(out != NULL);
    config_help(out);
    fclose(out);
    const struct conf_table *t = keys_table();
    for (size_t i = 0; i < t->n; i++) {
        CHECK(t->keys[i].help != NULL);
        CHECK(strstr(text, t->keys[i].help) != NULL);
    }
    CHECK(strstr(text, "TURNPIKE_STATIC_AUTH_SECRET") && !strstr(text, "--static-auth-secret"));
    free(text);
}

/* ---- credentials ---- */

static void auth_from_config(void)
{
    struct auth *a = NULL;
    struct auth_answer answer;
    struct auth_ticket *ticket;
    struct stun_mac *mac = NULL;
    uint8_t want[STUN_MD5_KEY_LEN];
    CHECK_INT(
        load_file("realm=realm\nuser=user:pass\nuser=b:p:q\nstatic-auth-secret=n\nstatic-auth-secret=s\nrest-api-separator=_\n"
                  "user-quota=1\nmax-bps=1M\nbps-capacity=1M\n"),
        0);
    CHECK_INT(config_auth(cfg, &a, &error), 0);
    CHECK_INT(stun_mac_new(&mac), 0);
    CHECK_STR(auth_realm(a), "realm");
    struct auth_request r = {.user = "user", .algorithm = STUN_ALG_MD5, .wall = 1780000000, .mac = mac};
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_OK);
    CHECK_INT(stun_key_md5("user", "realm", "pass", want), 0);
    CHECK_MEM(answer.keys[0], want, 16);
    r.user = "b";
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_OK);
    CHECK_INT(stun_key_md5("b", "realm", "p:q", want), 0);
    CHECK_MEM(answer.keys[0], want, 16);
    r.user = "1790000000_x";
    CHECK_INT(auth_check(a, &r, &answer, NULL, NULL, &ticket), AUTH_OK);
    CHECK_INT(answer.nkeys, 2);
    struct addr source = {.family = ADDR_V4, .ip = {192, 0, 2, 1}};
    struct auth_share share = {"user", &source, 600000};
    struct auth_grant grant;
    CHECK_INT(auth_quota_take(a, &share, &(struct auth_limits){0}, &grant), AUTH_QUOTA_OK);
    CHECK_INT(auth_quota_take(a, &share, &(struct auth_limits){0}, &grant), AUTH_QUOTA_USER);
    share.owner = "other";
    CHECK_INT(auth_quota_take(a, &share, &(struct auth_limits){0}, &grant), AUTH_QUOTA_CAPACITY);
    auth_free(&a);
    stun_mac_free(&mac);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"every key of the table is tested here", every_key_is_tested},
        {"good values are taken, bad ones named with file and line", good_and_bad_values},
        {"texts that are too long", too_long},
        {"defaults", defaults},
        {"each field holds its key's value", fields},
        {"an unknown key, and the nearest known one", unknown_key},
        {"a key, user, secret or address given twice", given_twice},
        {"eight shared secrets, and one more", secrets_in_numbers},
        {"S24 a key that holds a secret is refused as an option", secrets_are_no_options},
        {"S24 no secret in an error text", no_secret_in_an_error},
        {"options that are no keys", option_only},
        {"weight: option, environment, container variable, file, default", weights},
        {"the container's variables are aliases", vendor_variables},
        {"a container variable that can't be read is left alone", vendor_variable_that_is_not_ours},
        {"TURN_USERNAME and TURN_PASSWORD make a user", vendor_user},
        {"TURN_USERNAME alone asks for a generated password", vendor_user_without_password},
        {"bandwidth of a user and in all", capacity},
        {"C80 a second port is another one, and needs two addresses of a family that clients know by two names", alternate},
        {"S22 the admin plane beyond loopback needs TLS", admin_plane},
        {"S24 what is shown of the configuration has no secret", shown},
        {"S12 a text is checked alone, and names no file to read", text_alone},
        {"a key without its feature is refused only if it would change what is relayed", not_built},
        {"the connect service: TLS beyond loopback, and a page that knows where it is", connect_keys},
        {"a file that is named must be there", missing_file},
        {"--help and --version work with a broken file", help_and_version},
        {"users, secrets, realm and quotas go into auth", auth_from_config},
    };
    if (!mkdtemp(dir))
        return 99;
    snprintf(file, sizeof(file), "%s/turnpiked.conf", dir);
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    config_free(&cfg);
    unlink(file);
    rmdir(dir);
    return rc;
}
