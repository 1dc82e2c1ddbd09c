/* turnpike-bridge's configuration: lines, token, files with secrets. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "programs/bridgeconfig.h"
#include "tests/unit/tap.h"

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char conf_path[64], secret_path[64];
static struct bridgeconfig *cfg;
static struct conf_error error;

static const char REST[] = "connect-url=wss://connect.example/connect\nsip-registrar=pbx.example\n";
static const char BY_IP[] = "connect-url=wss://connect.example/connect\nsip-registrar=192.0.2.1:5070\n";
static const char TOKEN[] = "token=t1:secret\n", LINE[] = "line=30:auth30:pass:word:alice\n";

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) || chmod(path, mode))
        abort();
}

/* Loads these parts of a file, with one option (or NULL) and one variable (or NULL). */
static int load(const char *a, const char *b, const char *c, const char *option, const char *variable)
{
    char text[2048], name[] = "turnpike-bridge", with[80], opt[256], env[256];
    char *argv[] = {name, with, option ? opt : NULL, NULL}, *envp[] = {variable ? env : NULL, NULL};
    bridgeconfig_free(&cfg);
    snprintf(text, sizeof(text), "%s%s%s", a, b, c);
    write_file(conf_path, text, 0600);
    snprintf(with, sizeof(with), "--config=%s", conf_path);
    snprintf(opt, sizeof(opt), "%s", option ? option : "");
    snprintf(env, sizeof(env), "%s", variable ? variable : "");
    int err = bridgeconfig_load(&cfg, option ? 3 : 2, argv, envp, &error);
    if (err)
        printf("# %s\n", error.text);
    return err;
}

static bool says(const char *part)
{
    return strstr(error.text, part) != NULL;
}

static void defaults(void)
{
    CHECK_INT(load(REST, TOKEN, LINE, NULL, NULL), 0);
    CHECK_STR(cfg->token, "t1:secret");
    CHECK(cfg->name && *cfg->name);
    CHECK_INT(cfg->rtp_min, 20000);
    CHECK_INT(cfg->rtp_max, 20999);
    CHECK_INT(cfg->ring_seconds, 60);
    CHECK_INT(cfg->sip_transport, BRIDGECONFIG_UDP);
    CHECK_INT(cfg->rtp_ip.family, ADDR_NONE);
    CHECK_INT(cfg->metrics_listen.family, ADDR_NONE);
    CHECK_INT(cfg->nlines, 1);
    CHECK_STR(cfg->lines[0].user, "30");
    CHECK_STR(cfg->lines[0].auth_user, "auth30");
    CHECK_STR(cfg->lines[0].password, "pass:word");
    CHECK_STR(cfg->lines[0].phone, "alice");
}

static void lines(void)
{
    CHECK_INT(load(BY_IP, TOKEN, "line=30:::\nline=31::p:\n", NULL, NULL), 0);
    CHECK_INT(cfg->nlines, 2);
    CHECK(!cfg->lines[0].auth_user && !cfg->lines[0].password && !cfg->lines[0].phone);
    CHECK_STR(cfg->lines[1].password, "p");
    CHECK_INT(load(REST, TOKEN, "line=30:a:hush\n", NULL, NULL), ERR_CONFIG);
    CHECK(says("EXTENSION:AUTHUSER:PASSWORD:PHONEUSER") && !says("hush"));
    CHECK_INT(load(REST, TOKEN, "line=:a:b:c\n", NULL, NULL), ERR_CONFIG);
    CHECK_INT(load(REST, TOKEN, "line=30:a:b:c\nline=30::p:\n", NULL, NULL), ERR_CONFIG);
    CHECK(says("30 is given twice"));
    CHECK_INT(load(REST, TOKEN, "", NULL, NULL), ERR_CONFIG);
    CHECK(says("there is no line"));
    CHECK_INT(load(REST, TOKEN, "line=30:::alice\n", NULL, NULL), ERR_CONFIG);
    CHECK(says("sip-registrar must be an IP address"));
    CHECK_INT(
        load("connect-url=wss://connect.example/connect\nsip-registrar=2001:db8::1\n", TOKEN, "line=30:::alice\n", NULL, NULL), 0);
}

static void line_texts(void)
{
    static const char *const bad[] = {"line=3 0::p:a\n",  "line=30@pbx::p:a\n",   "line=<30>::p:a\n",
                                      "line=3%30::p:a\n", "line=\xC3\xBC::p:a\n", "line=30::p:a\tb\n"};
    char text[128];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_INT(load(REST, TOKEN, bad[i], NULL, NULL), ERR_CONFIG);
        CHECK(says("EXTENSION:AUTHUSER:PASSWORD:PHONEUSER"));
    }
    snprintf(text, sizeof(text), "line=+49-30*1::p:%064d\n", 7);
    CHECK_INT(load(REST, TOKEN, text, NULL, NULL), 0);
    snprintf(text, sizeof(text), "line=30::p:%065d\n", 7);
    CHECK_INT(load(REST, TOKEN, text, NULL, NULL), ERR_CONFIG);
    snprintf(text, sizeof(text), "line=%065d::p:a\n", 7);
    CHECK_INT(load(REST, TOKEN, text, NULL, NULL), ERR_CONFIG);
    CHECK_INT(load(REST, TOKEN, "line=30::p:a\nline=31::p:\nline=32::p:a\nline=33::p:\n", NULL, NULL), 0);
    CHECK_INT(cfg->warnings.n, 1);
    CHECK(strstr(cfg->warnings.item[0], "30 and 32 are both of a:"));
}

static void lines_file(void)
{
    char with[128];
    snprintf(with, sizeof(with), "lines-file=%s\n", secret_path);
    write_file(secret_path, "# extensions\n30:a:b:alice\r\n\n31:::bob", 0600);
    CHECK_INT(load(BY_IP, TOKEN, with, NULL, NULL), 0);
    CHECK_INT(cfg->nlines, 2);
    CHECK_STR(cfg->lines[0].phone, "alice");
    CHECK_STR(cfg->lines[1].phone, "bob");
    write_file(secret_path, "30:a:b:alice\n30x\n", 0640);
    CHECK_INT(load(REST, TOKEN, with, NULL, NULL), ERR_CONFIG);
    CHECK(says(":2: expected is"));
    write_file(secret_path, "30:a:b:alice\n", 0644);
    CHECK_INT(load(REST, TOKEN, with, NULL, NULL), ERR_CONFIG);
    CHECK(says("others may read it"));
    unlink(secret_path);
    CHECK_INT(load(REST, TOKEN, with, NULL, NULL), ERR_CONFIG);
    CHECK(says("can't be read"));
}

static void tokens(void)
{
    char with[128];
    snprintf(with, sizeof(with), "token-file=%s\n", secret_path);
    write_file(secret_path, "t2:from:file\n", 0600);
    CHECK_INT(load(REST, with, LINE, NULL, NULL), 0);
    CHECK_STR(cfg->username, "t2");
    CHECK_STR(cfg->password, "from:file");
    CHECK_INT(load(REST, "", LINE, NULL, "TURNPIKE_BRIDGE_TOKEN=t3:env"), 0);
    CHECK_STR(cfg->token, "t3:env");
    CHECK_INT(load(REST, "", LINE, "--token=t3:seen", NULL), ERR_CONFIG);
    CHECK(!says("seen"));
    CHECK_INT(load(REST, TOKEN, LINE, "--line=30:a:seen:b", NULL), ERR_CONFIG);
    CHECK(!says("seen"));
    CHECK_INT(load(REST, TOKEN, LINE, NULL, NULL), 0);
    CHECK_INT(load(REST, "", LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("there is no token"));
    CHECK_INT(load(REST, "token=nocolon\n", LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("USER:PASSWORD") && !says("nocolon"));
    CHECK_INT(load(REST, "token=t1:\xFFhush\n", LINE, NULL, NULL), ERR_CONFIG);
    CHECK(!says("hush"));
    snprintf(with, sizeof(with), "token=a:b\ntoken-file=%s\n", secret_path);
    CHECK_INT(load(REST, with, LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("both given"));
    unlink(secret_path);
}

static void single_values(void)
{
    static const char *const good[] = {"rtp-ports=1024-65535",     "sip-listen=192.0.2.1:5060", "rtp-ip=192.0.2.1",
                                       "ice-ip=2001:db8::1",       "sip-transport=tcp",         "ring-seconds=5",
                                       "metrics-listen=[::1]:9100"},
                             *const bad[] = {
                                 "rtp-ports=1025-1026",     "rtp-ports=1023-2000", "rtp-ports=3000-3000", "rtp-ports=3000",
                                 "sip-listen=0.0.0.0:5060", "rtp-ip=::",           "ice-ip=0.0.0.0",      "sip-transport=tls",
                                 "ring-seconds=4",          "ring-seconds=601",    "metrics-listen=9100", "connect-proxy=",
                                 "log-level=loud"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char both[512];
        snprintf(both, sizeof(both), "%s%s%s\n", TOKEN, LINE, good[i]);
        CHECK_INT(load(REST, both, "", NULL, NULL), 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char both[512];
        snprintf(both, sizeof(both), "%s%s%s\n", TOKEN, LINE, bad[i]);
        CHECK_INT(load(REST, both, "", NULL, NULL), ERR_CONFIG);
    }
    CHECK_INT(load("connect-url=wss://c.example/connect\nsip-registrar=pbx:x\n", TOKEN, LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("sip-registrar"));
}

static void many_addresses(void)
{
    char text[1024] = "";
    for (unsigned i = 0; i < 16; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "ice-ip=192.0.2.%u\n", i + 1);
    strcat(text, LINE);
    CHECK_INT(load(REST, TOKEN, text, NULL, NULL), 0);
    CHECK_INT(cfg->ice_ip.n, 16);
    CHECK_INT(load(REST, TOKEN, text, "--ice-ip=192.0.2.99", NULL), 0); /* an option instead of all of them */
    strcat(text, "ice-ip=192.0.2.17\n");
    CHECK_INT(load(REST, TOKEN, text, NULL, NULL), ERR_CONFIG);
    CHECK(says("ice-ip") && says("at most 16"));
}

static void needed(void)
{
    CHECK_INT(load("connect-url=wss://c.example/connect\n", TOKEN, LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("sip-registrar"));
    CHECK_INT(load("sip-registrar=pbx\n", TOKEN, LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("connect-url"));
    CHECK_INT(load("sip-registrar=pbx\nconnect-url=https://c.example\n", TOKEN, LINE, NULL, NULL), ERR_CONFIG);
    CHECK(says("wss://HOST/connect"));
    CHECK_INT(load("what=\n", "", "", "--help", NULL), 0);
    CHECK(cfg->help);
    CHECK_INT(load("what=\n", "", "", "--version", NULL), 0);
    CHECK(cfg->version);
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"defaults, and a line taken apart", defaults},
        {"lines: what may be empty, what may not, none twice, no password in an error", lines},
        {"lines: what an extension and a phone's user may be; two extensions of one user are a warning", line_texts},
        {"ice-ip: sixteen, and no more", many_addresses},
        {"lines-file: comments, numbers of lines in errors, nobody else may read it", lines_file},
        {"the token: from key, variable or file, never an option, never in an error", tokens},
        {"single values that can't be read are refused", single_values},
        {"connect-url and sip-registrar are needed, but not for --help", needed},
    };
    if (!mkdtemp(dir))
        return 99;
    snprintf(conf_path, sizeof(conf_path), "%s/bridge.conf", dir);
    snprintf(secret_path, sizeof(secret_path), "%s/secret", dir);
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    bridgeconfig_free(&cfg);
    unlink(conf_path);
    unlink(secret_path);
    rmdir(dir);
    return rc;
}
