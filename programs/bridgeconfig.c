#include "programs/bridgeconfig.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/utf8.h"
#include "bridge/media.h"
#include "bridge/sipplace.h"

enum {
    FIRST_RTP_PORT = 1024, /* below are the system's */
    RING_MIN_S = 5,
    RING_MAX_S = 600,
    NAME_MAX_BYTES = 64, /* docs/connect-protocol.md, `hello` */
    SECRETS_MAX = 65536, /* bytes of a file with secrets: 256 lines and their passwords */
};

void bridgeconfig_help(FILE *out)
{
    fputs("Usage: turnpike-bridge [--config FILE] [--KEY=VALUE ...]\n"
          "\n"
          "Joins the telephones of a PBX with browsers that the connect service of turnpiked knows. Each key below is an option, a "
          "line\n"
          "KEY=VALUE of the file and a variable TURNPIKE_BRIDGE_KEY; the option wins over the variable, the variable over the "
          "file. Keys\n"
          "that hold a secret are no options: they are shown by the name of their variable. See turnpike-bridge(8) and\n"
          "turnpike-bridge.conf(5).\n"
          "\n",
          out);
    conf_help(bridgeconfig_table(), out);
}

/* ---- Errors. ---- */

__attribute__((format(printf, 2, 3))) static int fail(struct conf_error *e, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(e->text, sizeof(e->text), format, ap);
    va_end(ap);
    return ERR_CONFIG;
}

static int refuse(char *expected, size_t cap, const char *text)
{
    snprintf(expected, cap, "%s", text);
    return ERR_INVAL;
}

/* ---- Lines: EXTENSION:AUTHUSER:PASSWORD:PHONEUSER; only the password may hold a colon. ---- */

static const char LINE_WANT[] =
    "EXTENSION:AUTHUSER:PASSWORD:PHONEUSER, of which all but EXTENSION may be empty; EXTENSION of letters, digits and "
    "-_.!~*'()&=+$, alone, it and PHONEUSER of at most 64 bytes";

/* It is written into URIs as it is (RFC 3261 section 25.1, `user`). */
static bool extension_ok(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,");

    return n > 0 && n <= NAME_MAX_BYTES && text[n] == '\0';
}

/* As the connect service names users; a longer one could never call. */
static bool phone_ok(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7F)
            return false;
    return strlen(text) <= NAME_MAX_BYTES;
}

/* Takes the text apart in place. False: it is no line. */
static bool split_line(char *text, struct sip_line *out)
{
    char *auth = strchr(text, ':'), *password = auth ? strchr(auth + 1, ':') : NULL, *phone = password ? strrchr(text, ':') : NULL;

    if (!phone || phone == password || auth == text || !utf8_ok(text))
        return false;
    *auth++ = *password++ = *phone++ = '\0';
    *out = (struct sip_line){
        .user = text, .auth_user = *auth ? auth : NULL, .password = *password ? password : NULL, .phone = *phone ? phone : NULL};
    return extension_ok(text) && phone_ok(phone);
}

static int check_line(const char *value, char *expected, size_t cap)
{
    struct sip_line line;
    char *copy = strdup(value);
    bool ok;

    if (!copy)
        return ERR_NOMEM;
    ok = split_line(copy, &line);
    explicit_bzero(copy, strlen(value));
    free(copy);
    return ok ? 0 : refuse(expected, cap, LINE_WANT);
}

/* An extension that is there already is an error; a phone that has one calls from that one, which its user may not expect. */
static int compare_lines(struct bridgeconfig *c, const char *origin, struct conf_error *e)
{
    const struct sip_line *new = &c->lines[c->nlines - 1];
    char text[384];

    for (const struct sip_line *l = c->lines; l < new; l++)
        if (strcmp(l->user, new->user) == 0)
            return fail(e, "%s: the extension %.64s is given twice", origin, new->user);
    for (const struct sip_line *l = c->lines; l < new &&new->phone; l++) {
        if (!l->phone || strcmp(l->phone, new->phone) != 0)
            continue;
        snprintf(text, sizeof(text),
                 "the extensions %.64s and %.64s are both of %.64s: both ring there, but calls go out from %.64s", l->user,
                 new->user, new->phone, l->user);
        return conf_list_add(&c->warnings, text);
    }
    return 0;
}

static int add_line(struct bridgeconfig *c, const char *text, const char *origin, struct conf_error *e)
{
    struct bridgeconfig_text *copy = &c->texts[c->nlines];

    if (c->nlines == SIP_LINES_MAX)
        return fail(e, "%s: there are more than %d lines", origin, SIP_LINES_MAX);
    copy->text = strdup(text);
    copy->len = strlen(text);
    if (!copy->text)
        return ERR_NOMEM;
    if (!split_line(copy->text, &c->lines[c->nlines++]))
        return fail(e, "%s: expected is %s", origin, LINE_WANT);
    return compare_lines(c, origin, e);
}

/* ---- Files with secrets. ---- */

/* The whole file, NUL-terminated, for the caller to wipe and free. One that everybody may read keeps no secret. */
static int read_secrets(const char *key, const char *path, char **out, struct conf_error *e)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    char *text = NULL;
    size_t n = 0;

    if (!f)
        return fail(e, "%s=%.200s can't be read: %s", key, path, strerror(errno));
    if (fstat(fileno(f), &st) == 0 && st.st_mode & (S_IRWXO | S_IWGRP)) {
        fclose(f);
        return fail(e, "%s=%.200s: others may read it: chmod 0600, or 0640 with the service's group", key, path);
    }
    text = calloc(1, SECRETS_MAX + 1);
    if (text)
        n = fread(text, 1, SECRETS_MAX, f);
    fclose(f);
    if (!text)
        return ERR_NOMEM;
    *out = text;
    return n == SECRETS_MAX || strlen(text) != n ? fail(e, "%s=%.200s: no text of less than %d bytes", key, path, SECRETS_MAX) : 0;
}

static int read_lines(struct bridgeconfig *c, const struct conf *conf, struct conf_error *e)
{
    char *text = NULL, *rest, origin[300];
    unsigned number = 0;
    int err = 0;

    c->lines = calloc(SIP_LINES_MAX, sizeof(*c->lines));
    c->texts = calloc(SIP_LINES_MAX + 1, sizeof(*c->texts));
    if (!c->lines || !c->texts)
        return ERR_NOMEM;
    for (size_t i = 0; i < c->line_texts.n && !err; i++)
        err = add_line(c, c->line_texts.item[i], conf_origin(conf, "line"), e);
    if (!err && c->lines_file)
        err = read_secrets("lines-file", c->lines_file, &text, e);
    rest = text;
    for (char *line; !err && (line = strsep(&rest, "\n"));) {
        snprintf(origin, sizeof(origin), "%.255s:%u", c->lines_file, ++number);
        line[strcspn(line, "\r")] = '\0';
        if (*line && *line != '#')
            err = add_line(c, line, origin, e);
    }
    if (text)
        explicit_bzero(text, SECRETS_MAX);
    free(text);
    if (!err && c->nlines == 0)
        err = fail(e, "there is no line: give line=%s, or lines-file", "EXTENSION:AUTHUSER:PASSWORD:PHONEUSER");
    return err;
}

/* A trunk's calls are known by their source, which must not be another one tomorrow. */
static int check_trunks(const struct bridgeconfig *c, const struct conf *conf, struct conf_error *e)
{
    struct sipplace place;

    if (sipplace_read(&place, c->sip_registrar) == 0 && place.ip.family != ADDR_NONE)
        return 0;
    for (unsigned i = 0; i < c->nlines; i++)
        if (!c->lines[i].password)
            return fail(e, "%s: the line %.64s has no password: then sip-registrar must be an IP address",
                        conf_origin(conf, "sip-registrar"), c->lines[i].user);
    return 0;
}

static int read_token(struct bridgeconfig *c, const struct conf *conf, struct conf_error *e)
{
    const char *colon;
    int err = 0;

    if (c->token && c->token_file)
        return fail(e, "%s: token and token-file are both given", conf_origin(conf, "token-file"));
    if (!c->token && !c->token_file)
        return fail(e, "there is no token: turnpikectl token issue --scope bridge makes one for token-file");
    if (c->token_file)
        err = read_secrets("token-file", c->token_file, &c->token, e);
    if (err)
        return err;
    assert(c->token);
    c->token[strcspn(c->token, "\r\n")] = '\0';
    colon = strchr(c->token, ':');
    if (!colon || colon == c->token || !colon[1] || !utf8_ok(c->token))
        return fail(e, "%s: expected is USER:PASSWORD, as turnpikectl token issue has shown them",
                    conf_origin(conf, c->token_file ? "token-file" : "token"));
    c->username = strndup(c->token, (size_t)(colon - c->token));
    c->password = colon + 1;
    return c->username ? 0 : ERR_NOMEM;
}

/* ---- Setters and checks of single values. ---- */

static int set_sip_listen(void *target, const char *value, char *expected, size_t cap)
{
    struct addr a;

    if (addr_parse(&a, value) || addr_is_any(&a))
        return refuse(expected, cap, "IP:PORT with one address of this host (not 0.0.0.0 or ::), which the PBX is told");
    ((struct bridgeconfig *)target)->sip_listen = a;
    return 0;
}

static int set_metrics_listen(void *target, const char *value, char *expected, size_t cap)
{
    struct addr a;

    if (addr_parse(&a, value))
        return refuse(expected, cap, "IP:PORT, an IPv6 address in brackets");
    ((struct bridgeconfig *)target)->metrics_listen = a;
    return 0;
}

static int set_rtp_ip(void *target, const char *value, char *expected, size_t cap)
{
    struct addr a;

    if (addr_parse_ip(&a, value) || addr_is_any(&a))
        return refuse(expected, cap, "one IP address of this host (not 0.0.0.0 or ::)");
    ((struct bridgeconfig *)target)->rtp_ip = a;
    return 0;
}

static int set_ice_ip(void *target, const char *value, char *expected, size_t cap)
{
    struct bridgeconfig_addrs *l = &((struct bridgeconfig *)target)->ice_ip;
    struct addr a, *grown;

    if (addr_parse_ip(&a, value) || addr_is_any(&a))
        return refuse(expected, cap, "one IP address of this host (not 0.0.0.0 or ::)");
    if (l->n == MEDIA_IPS_MAX)
        return refuse(expected, cap, "one of at most 16 addresses: there are more");
    grown = reallocarray(l->item, l->n + 1, sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    l->item = grown;
    l->item[l->n++] = a;
    return 0;
}

_Static_assert(MEDIA_IPS_MAX == 16, "set_ice_ip and the manual say so");

/* MIN-MAX; a call takes two of them, of which the first is even. */
static int set_rtp_ports(void *target, const char *value, char *expected, size_t cap)
{
    struct bridgeconfig *c = target;
    const char *dash = strchr(value, '-');
    char first[8];
    uint64_t min, max;

    snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - value) : 0, value);
    if (!dash || conf_read_uint(&min, first, FIRST_RTP_PORT, UINT16_MAX) || conf_read_uint(&max, dash + 1, min + 1, UINT16_MAX))
        return refuse(expected, cap, "MIN-MAX, two ports from 1024 on");
    if (min + min % 2 + 1 > max)
        return refuse(expected, cap, "MIN-MAX with an even port and the odd one above it: a call takes such a pair");
    c->rtp_min = (uint16_t)min;
    c->rtp_max = (uint16_t)max;
    return 0;
}

static int set_log_level(void *target, const char *value, char *expected, size_t cap)
{
    enum log_level level;

    if (log_level_parse(&level, value))
        return refuse(expected, cap, "one of error, warning, info, debug");
    ((struct bridgeconfig *)target)->log_level = level;
    return 0;
}

static int check_url(const char *value, char *expected, size_t cap)
{
    bool tls = strncmp(value, "wss://", 6) == 0, plain = strncmp(value, "ws://", 5) == 0;

    if (!tls && !plain)
        return refuse(expected, cap, "wss://HOST/connect (ws:// to this host itself only)");
    return 0;
}

static int check_registrar(const char *value, char *expected, size_t cap)
{
    struct sipplace place;

    return sipplace_read(&place, value) ? refuse(expected, cap, "HOST or HOST:PORT, an IPv6 address with a port in brackets") : 0;
}

static int check_name(const char *value, char *expected, size_t cap)
{
    return strlen(value) <= NAME_MAX_BYTES && utf8_ok(value) ? 0 : refuse(expected, cap, "a name in UTF-8 of at most 64 bytes");
}

/* ---- The table. ---- */

static const char *const TRANSPORTS[] = {"udp", "tcp", NULL};
static const char *const LOG_FORMATS[] = {"logfmt", "json", NULL};
_Static_assert(LOG_LOGFMT == 0 && LOG_JSON == 1, "LOG_FORMATS follows enum log_format");

#define FIELD(member)  CONF_FIELD(struct bridgeconfig, member)
#define SET(fn)        .type = CONF_CUSTOM, .set = (fn)
#define OPTION(member) FIELD(member), .flags = CONF_OPTION_ONLY

static const struct conf_key KEYS[] = {
    {.name = "config",
     .type = CONF_STRING,
     OPTION(config_file),
     .preset = "/etc/turnpike/turnpike-bridge.conf",
     .help = "the file to read"},
    {.name = "check-config", .type = CONF_BOOL, OPTION(check_config), .help = "read and check the configuration, then end"},
    {.name = "ready-file",
     .type = CONF_STRING,
     OPTION(ready_file),
     .help = "write the addresses in use there, as JSON, once the bridge is connected and its lines are registered"},
    {.name = "help", .type = CONF_BOOL, OPTION(help), .help = "print this text"},
    {.name = "version", .type = CONF_BOOL, OPTION(version), .help = "print the version"},

    {.name = "connect-url",
     .type = CONF_STRING,
     FIELD(connect_url),
     .flags = CONF_REQUIRED,
     .check = check_url,
     .help = "wss://HOST/connect, the connect service"},
    {.name = "connect-ca",
     .type = CONF_STRING,
     FIELD(connect_ca),
     .help = "authorities that its certificate may come from, PEM; without it, the system's"},
    {.name = "connect-proxy", .type = CONF_STRING, FIELD(connect_proxy), .help = "http://HOST:PORT that connections go through"},
    {.name = "token",
     .type = CONF_STRING,
     FIELD(token),
     .flags = CONF_SECRET,
     .help = "USER:PASSWORD of a token with scope bridge"},
    {.name = "token-file", .type = CONF_STRING, FIELD(token_file), .help = "a file with that in its first line"},
    {.name = "name",
     .type = CONF_STRING,
     FIELD(name),
     .check = check_name,
     .help = "how others see it; without it, the host's name"},
    {.name = "force-relay",
     .type = CONF_BOOL,
     FIELD(force_relay),
     .preset = "no",
     .help = "towards browsers, relay candidates only"},
    {.name = "ice-ip",
     SET(set_ice_ip),
     .flags = CONF_REPEAT,
     .help = "address to look for paths from, towards browsers; without it, all addresses"},
    {.name = "rtp-ip",
     SET(set_rtp_ip),
     .help = "address of media towards the PBX; without it, the one that the PBX is reached from"},
    {.name = "rtp-ports",
     SET(set_rtp_ports),
     .preset = "20000-20999",
     .help = "MIN-MAX, UDP ports of media towards the PBX; a call takes two"},
    {.name = "sip-registrar",
     .type = CONF_STRING,
     FIELD(sip_registrar),
     .flags = CONF_REQUIRED,
     .check = check_registrar,
     .help = "HOST or HOST:PORT of the PBX"},
    {.name = "sip-domain",
     .type = CONF_STRING,
     FIELD(sip_domain),
     .help = "what stands behind the @ of extensions; without it, the PBX's host"},
    {.name = "sip-transport",
     .type = CONF_CHOICE,
     FIELD(sip_transport),
     .choices = TRANSPORTS,
     .preset = "udp",
     .help = "to the PBX"},
    {.name = "sip-listen",
     SET(set_sip_listen),
     .help = "IP:PORT of this host for the PBX; without it, a free port of the address that the PBX is reached from"},
    {.name = "line",
     .type = CONF_LIST,
     FIELD(line_texts),
     .flags = CONF_SECRET,
     .check = check_line,
     .help = "EXTENSION:AUTHUSER:PASSWORD:PHONEUSER, an extension and whose phone it is"},
    {.name = "lines-file", .type = CONF_STRING, FIELD(lines_file), .help = "a file with such lines"},
    {.name = "ring-seconds",
     .type = CONF_UINT,
     FIELD(ring_seconds),
     .min = RING_MIN_S,
     .max = RING_MAX_S,
     .preset = "60",
     .help = "how long a call rings that nobody answers"},
    {.name = "metrics-listen", SET(set_metrics_listen), .help = "IP:PORT for GET /metrics; without it, none"},
    {.name = "log-level", SET(set_log_level), .preset = "info", .help = "error, warning, info or debug"},
    {.name = "log-format",
     .type = CONF_CHOICE,
     FIELD(log_format),
     .choices = LOG_FORMATS,
     .preset = "logfmt",
     .help = "form of a log line"},
    {.name = "log-file", .type = CONF_STRING, FIELD(log_file), .help = "where log lines go; without it, standard error"},
};

static const struct conf_table TABLE = {.keys = KEYS, .n = sizeof(KEYS) / sizeof(KEYS[0]), .env_prefix = "TURNPIKE_BRIDGE_"};

const struct conf_table *bridgeconfig_table(void)
{
    return &TABLE;
}

/* ---- Loading. ---- */

static int default_name(struct bridgeconfig *c)
{
    char name[NAME_MAX_BYTES + 1] = "";

    if (c->name)
        return 0;
    gethostname(name, sizeof(name) - 1);
    utf8_mend(name);
    c->name = strdup(*name ? name : "bridge");
    return c->name ? 0 : ERR_NOMEM;
}

static int copy_warnings(struct bridgeconfig *c, const struct conf *conf)
{
    const char *text;
    int err = 0;

    for (size_t i = 0; !err && (text = conf_warning(conf, i)); i++)
        err = conf_list_add(&c->warnings, text);
    return err;
}

static int fill(struct bridgeconfig *c, struct conf *conf, struct conf_error *e)
{
    int err = conf_apply(conf, c, e);

    if (!err)
        err = read_token(c, conf, e);
    if (!err)
        err = read_lines(c, conf, e);
    if (!err)
        err = check_trunks(c, conf, e);
    if (!err)
        err = default_name(c);
    return err ? err : copy_warnings(c, conf);
}

/* --help and --version: nothing else is read, so that they help when the file is broken. */
static bool only_asks(struct bridgeconfig *c, int argc, char *const argv[])
{
    for (int i = 1; i < argc; i++) {
        c->help = c->help || strcmp(argv[i], "--help") == 0;
        c->version = c->version || strcmp(argv[i], "--version") == 0;
    }
    return c->help || c->version;
}

int bridgeconfig_load(struct bridgeconfig **out, int argc, char *const argv[], char *const envp[], struct conf_error *e)
{
    struct bridgeconfig *c = calloc(1, sizeof(*c));
    struct conf *conf = NULL;
    int err = c ? 0 : ERR_NOMEM;

    *e = (struct conf_error){0};
    if (!err && !only_asks(c, argc, argv)) {
        err = conf_new(&conf, &TABLE);
        if (!err)
            err = conf_load(conf, argc, argv, envp, "config", NULL, e);
        if (!err)
            err = fill(c, conf, e);
    }
    if (err == ERR_NOMEM)
        fail(e, "%s", err_str(ERR_NOMEM));
    conf_free(&conf);
    if (err)
        bridgeconfig_free(&c);
    *out = c;
    return err;
}

static void free_list(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    free(l->item);
}

void bridgeconfig_free(struct bridgeconfig **c)
{
    if (!*c)
        return;
    for (unsigned i = 0; (*c)->texts && (*c)->texts[i].text; i++) {
        explicit_bzero((*c)->texts[i].text, (*c)->texts[i].len);
        free((*c)->texts[i].text);
    }
    free((*c)->texts);
    free((*c)->lines);
    conf_release(&TABLE, *c); /* the token with it, wherever it came from */
    free_list(&(*c)->warnings);
    free((*c)->ice_ip.item);
    free((*c)->username);
    free(*c);
    *c = NULL;
}
