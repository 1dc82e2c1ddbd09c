#include "programs/config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/fleet.h"
#include "auth/redissource.h"
#include "base/err.h"
#include "programs/keys.h"
#include "relay/external.h"

enum {
    MIN_RELAY_PORT = 1024,  /* never below (RFC 8656 section 7.2) */
    LIFETIME_FLOOR_S = 600, /* RFC 8656 section 7.2: no allocation gets less, unless its credential ends */
};

void config_help(FILE *out)
{
    fputs("Usage: turnpiked [--config FILE] [--KEY=VALUE ...]\n"
          "\n"
          "A TURN and STUN relay server. Each key below is an option, a line KEY=VALUE of the file and a variable\n"
          "TURNPIKE_KEY; the option wins over the variable, the variable over the file. Keys that hold a secret are\n"
          "no options: they are shown by the name of their variable. See turnpiked(8) and turnpiked.conf(5).\n"
          "\n",
          out);
    conf_help(keys_table(), out);
}

/* ---- Errors and warnings. ---- */

__attribute__((format(printf, 2, 3))) static int fail(struct conf_error *e, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(e->text, sizeof(e->text), format, ap);
    va_end(ap);
    return ERR_CONFIG;
}

static int fail_nomem(struct conf_error *e)
{
    fail(e, "%s", err_str(ERR_NOMEM));
    return ERR_NOMEM;
}

__attribute__((format(printf, 2, 3))) static int warn(struct config *c, const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    return conf_list_add(&c->warnings, text);
}

/* ---- The container's TURN_USERNAME and TURN_PASSWORD: two variables, one value. ---- */

static const char *variable(char *const envp[], const char *name)
{
    size_t len = strlen(name);

    for (; *envp; envp++)
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return (*envp)[len + 1] ? *envp + len + 1 : NULL; /* an empty variable is an unset one */
    return NULL;
}

/* "NAME:" is how a value of `user` begins that belongs to this name. */
static bool is_configured(const struct config *c, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < c->users.n; i++)
        if (strncmp(c->users.item[i], name, len) == 0 && c->users.item[i][len] == ':')
            return true;
    return false;
}

static bool name_is_usable(const char *name)
{
    char prepared[STUN_USERNAME_MAX + 1];

    return !strchr(name, ':') && auth_opaque_string(prepared, sizeof(prepared), name, strlen(name)) == 0;
}

/* Before conf_apply: a pair becomes a value of `user`. */
static int container_user(struct config *c, struct conf *conf, char *const envp[], struct conf_error *e)
{
    const char *name = variable(envp, "TURN_USERNAME"), *password = variable(envp, "TURN_PASSWORD");
    char *pair = NULL;
    int err;

    if (!name && password)
        return warn(c, "TURN_PASSWORD: there is no TURN_USERNAME; left alone");
    if (name && !name_is_usable(name))
        return warn(c, "TURN_USERNAME: a name without ':' and control characters is expected; left alone");
    if (!name || !password)
        return 0;
    if (asprintf(&pair, "%s:%s", name, password) < 0)
        return ERR_NOMEM;
    err = conf_put(conf, CONF_FROM_ALIAS, "user", pair, "TURN_USERNAME", e);
    explicit_bzero(pair, strlen(pair));
    free(pair);
    return err;
}

/* After conf_apply: a name alone, unless something of greater weight, or the file, has a password for it. */
static int container_generate(struct config *c, const struct conf *conf, char *const envp[])
{
    const char *name = variable(envp, "TURN_USERNAME");

    if (!name || variable(envp, "TURN_PASSWORD") || !name_is_usable(name))
        return 0;
    if (conf_source(conf, "user") <= CONF_FROM_ENVIRONMENT || is_configured(c, name))
        return 0;
    c->generate_user = strdup(name);
    return c->generate_user ? 0 : ERR_NOMEM;
}

/* ---- Checks. ---- */

static bool is_set(const struct conf *conf, const char *key)
{
    return conf_source(conf, key) < CONF_FROM_PRESET;
}

/* Keys that may be set although what they are for isn't there: nothing that is relayed depends on them. */
static int warn_no_effect(struct config *c, const struct conf *conf)
{
    static const char *const keys[] = {
        "tls-listening-port",
        "xdp-interface",
    };
    int err = 0;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !err; i++)
        if (is_set(conf, keys[i]))
            err = warn(c, "%s: %s has no effect yet in this version", conf_origin(conf, keys[i]), keys[i]);
    if (!err && c->xdp != CONFIG_XDP_OFF)
        err = warn(c, "%s: xdp=%s has no effect yet in this version; packets are relayed in user space", conf_origin(conf, "xdp"),
                   keys_xdp_name(c->xdp));
    return err;
}

static int check_target(const char *key, const char *text, const struct conf *conf, struct conf_error *e)
{
    struct redis_target target;
    const char *why;
    int err = text ? redisurl_parse(&target, text, &why) : 0;

    explicit_bzero(&target, sizeof(target));
    return err ? fail(e, "%s: %s=...: %s", conf_origin(conf, key), key, why) : 0;
}

static int check_redis(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    int err = check_target("redis", c->redis, conf, e);

    if (!err)
        err = check_target("redis-statsdb", c->redis_statsdb, conf, e);
    if (err)
        return err;
    if (strlen(c->redis_prefix) >= REDISSOURCE_PREFIX_MAX)
        return fail(e, "%s: redis-prefix: at most %d bytes", conf_origin(conf, "redis-prefix"), REDISSOURCE_PREFIX_MAX - 1);
    return 0;
}

static int check_capacity(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    if (c->bps_capacity && !c->max_bps)
        return fail(e, "%s: bps-capacity needs max-bps: it is what each allocation sets aside of the capacity",
                    conf_origin(conf, "bps-capacity"));
    if (c->bps_capacity && c->max_bps > c->bps_capacity)
        return fail(e, "%s: max-bps is larger than bps-capacity (%s): there would be no room for a single allocation",
                    conf_origin(conf, "max-bps"), conf_origin(conf, "bps-capacity"));
    return 0;
}

static int check_admin(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    if (c->admin_listen.family != ADDR_NONE && !c->admin_cert && !addr_is_loopback(&c->admin_listen))
        return fail(e, "%s: admin-listen beyond loopback needs TLS: set admin-cert and admin-pkey, or listen on 127.0.0.1",
                    conf_origin(conf, "admin-listen"));
    return 0;
}

static int check_connect(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    const struct {
        const char *key;
        const struct addr *a;
    } LISTENS[] = {{"connect-listen", &c->connect_listen}, {"app-listen", &c->app_listen}};

    for (size_t i = 0; i < 2; i++)
        if (LISTENS[i].a->family != ADDR_NONE && !c->cert && !addr_is_loopback(LISTENS[i].a))
            return fail(e, "%s: %s beyond loopback needs TLS: set cert and pkey, or listen on 127.0.0.1",
                        conf_origin(conf, LISTENS[i].key), LISTENS[i].key);
    if (c->app_listen.family != ADDR_NONE && c->connect_listen.family == ADDR_NONE && !c->connect_url)
        return fail(e, "%s: app-listen needs connect-listen, or connect-url: the page has to know where the connect service is",
                    conf_origin(conf, "app-listen"));
    return 0;
}

static int check_ports(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    if (c->min_port < MIN_RELAY_PORT)
        return fail(e, "%s: min-port=%u: a relayed port is never below %d", conf_origin(conf, "min-port"), c->min_port,
                    MIN_RELAY_PORT);
    if (c->min_port > c->max_port)
        return fail(e, "%s: max-port=%u is smaller than min-port=%u (%s)", conf_origin(conf, "max-port"), c->max_port, c->min_port,
                    conf_origin(conf, "min-port"));
    return 0;
}

/* RFC 5780 needs two addresses, and two ports (C80). */
static int check_alternate(struct config *c, const struct conf *conf, struct conf_error *e)
{
    const struct config_addrs *l = &c->listening_ip;

    if (!c->alt_listening_port)
        return 0;
    if (c->alt_listening_port == c->listening_port)
        return fail(e, "%s: alt-listening-port=%u is the listening-port already: it has to be another one",
                    conf_origin(conf, "alt-listening-port"), c->alt_listening_port);
    for (size_t i = 0; i < l->n; i++)
        if (external_has_twin(c->external_ip.item, c->external_ip.n, l->item, l->n, i))
            return 0;
    return warn(
        c,
        "%s: alt-listening-port has no effect without two listening-ip of one family, both or neither of them loopback and none "
        "link-local, with an external-ip=PUBLIC/LOCAL each where clients know them by another address",
        conf_origin(conf, "alt-listening-port"));
}

static bool has_addr(const struct config_addrs *l, const struct addr *a)
{
    for (size_t i = 0; i < l->n; i++)
        if (addr_same_ip(&l->item[i], a))
            return true;
    return false;
}

static int check_once(const struct config_addrs *l, const char *key, const struct conf *conf, struct conf_error *e)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 1; i < l->n; i++) {
        struct config_addrs before = {l->item, i};
        if (has_addr(&before, &l->item[i]))
            return fail(e, "%s: %s=%s is given twice", conf_origin(conf, key), key, addr_ip_text(&l->item[i], text));
    }
    return 0;
}

/* One answer for each relay address: a second one would never be used. */
static int check_externals(const struct config *c, const struct conf *conf, struct conf_error *e)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < c->external_ip.n; i++) {
        const struct relay_external *x = &c->external_ip.item[i];
        for (size_t k = 0; k < i; k++) {
            const struct relay_external *y = &c->external_ip.item[k];
            bool same =
                x->local.family ? addr_same_ip(&x->local, &y->local) : !y->local.family && x->public.family == y->public.family;
            if (same)
                return fail(e, "%s: external-ip=%s: there is another one already for the same relay address",
                            conf_origin(conf, "external-ip"), addr_ip_text(&x->public, text));
        }
    }
    return 0;
}

static int check_credentials(const struct config *c, struct conf_error *e)
{
    struct auth *a = NULL;
    int err = config_auth(c, &a, e);

    auth_free(&a);
    return err;
}

/* Everything that one key's own reader can't see. ERR_CONFIG with file and line where there is one, ERR_NOMEM. */
static int config_check(struct config *c, const struct conf *conf, struct conf_error *e)
{
    int err = check_redis(c, conf, e);

    if (!err)
        err = check_ports(c, conf, e);
    if (!err)
        err = check_alternate(c, conf, e);
    if (!err)
        err = check_capacity(c, conf, e);
    if (!err)
        err = check_admin(c, conf, e);
    if (!err)
        err = check_connect(c, conf, e);
    if (!err)
        err = check_once(&c->listening_ip, "listening-ip", conf, e);
    if (!err)
        err = check_once(&c->relay_ip, "relay-ip", conf, e);
    if (!err)
        err = check_externals(c, conf, e);
    if (!err)
        err = check_credentials(c, e);
    if (!err)
        err = warn_no_effect(c, conf);
    if (!err && c->max_lifetime < LIFETIME_FLOOR_S)
        err = warn(c, "%s: max-lifetime=%" PRIu64 ": an allocation gets at least %d seconds, unless its credential ends",
                   conf_origin(conf, "max-lifetime"), c->max_lifetime, LIFETIME_FLOOR_S);
    return err;
}

/* ---- Credentials. ---- */

static int add_user(struct auth *a, const char *pair, struct conf_error *e)
{
    const char *colon = strchr(pair, ':'); /* check_user has seen it */
    int len = (int)(colon - pair), shown = len < 64 ? len : 64;
    char *name = strndup(pair, (size_t)len);
    int err;

    if (!name)
        return fail_nomem(e);
    err = auth_add_user(a, name, colon + 1);
    free(name);
    switch (err) {
    case 0:
        return 0;
    case ERR_NOMEM:
        return fail_nomem(e);
    case ERR_EXIST:
        return fail(e, "user: %.*s is given twice", shown, pair);
    case ERR_INVAL:
        return fail(e, "user: %.*s: the password must be UTF-8 without control characters, of at most 1023 bytes", shown, pair);
    default:
        return fail(e, "user: %.*s: %s", shown, pair, err_str(err));
    }
}

static int add_secret(struct auth *a, const char *secret, struct conf_error *e)
{
    int err = auth_add_secret(a, secret);

    switch (err) {
    case 0:
        return 0;
    case ERR_NOMEM:
        return fail_nomem(e);
    case ERR_EXIST:
        return fail(e, "static-auth-secret: one secret is given twice");
    case ERR_NOSPC:
        return fail(e, "static-auth-secret: at most %d secrets are valid at once", AUTH_KEYS_MAX);
    default:
        return fail(e, "static-auth-secret: %s", err_str(err));
    }
}

int config_auth(const struct config *c, struct auth **out, struct conf_error *e)
{
    const struct auth_config config = {
        .realm = c->realm,
        .separator = c->rest_api_separator,
        .user_quota = (uint32_t)c->user_quota,
        .source_quota = (uint32_t)c->source_quota,
        .total_quota = (uint32_t)c->total_quota,
        .bps_capacity = c->bps_capacity,
    };
    struct auth *a = NULL;
    int err = auth_new(&a, &config);

    *out = NULL;
    if (err)
        return err == ERR_NOMEM ? fail_nomem(e) : fail(e, "realm=%.100s: %s", c->realm, err_str(err));
    for (size_t i = 0; i < c->users.n && !err; i++)
        err = add_user(a, c->users.item[i], e);
    for (size_t i = 0; i < c->secrets.n && !err; i++)
        err = add_secret(a, c->secrets.item[i], e);
    if (err)
        auth_free(&a);
    *out = a;
    return err;
}

/* ---- Loading. ---- */

/* The host's name; a host without a usable one still has a realm. */
static int default_realm(struct config *c)
{
    char name[256] = "";

    if (c->realm)
        return 0;
    gethostname(name, sizeof(name) - 1);
    c->realm = strdup(*name && keys_realm_ok(name) ? name : "turnpike");
    return c->realm ? 0 : ERR_NOMEM;
}

/* Of several on one host, the port tells which; with a free port, the process. */
static int default_node_id(struct config *c)
{
    char name[256] = "", text[300], id[FLEET_ID_MAX + 1];

    if (c->node_id)
        return 0;
    gethostname(name, sizeof(name) - 1);
    if (strlen(name) > FLEET_ID_MAX / 2) /* its port must not be cut off */
        name[FLEET_ID_MAX / 2] = '\0';
    snprintf(text, sizeof(text), "%s-%s%d", *name ? name : "turnpike", c->listening_port ? "" : "p",
             c->listening_port ? c->listening_port : (int)getpid());
    fleet_id_make(id, text);
    c->node_id = strdup(id);
    return c->node_id ? 0 : ERR_NOMEM;
}

static int copy_warnings(struct config *c, const struct conf *conf)
{
    const char *text;
    int err = 0;

    for (size_t i = 0; !err && (text = conf_warning(conf, i)); i++)
        err = conf_list_add(&c->warnings, text);
    return err;
}

/* --help and --version: nothing else is read, so that they help when the file is broken. */
static int only_asks(struct config *c, int argc, char *const argv[])
{
    for (int i = 1; i < argc; i++) {
        c->help = c->help || strcmp(argv[i], "--help") == 0;
        c->version = c->version || strcmp(argv[i], "--version") == 0;
    }
    return c->help || c->version;
}

/* ---- As it was given. ---- */

static void wipe_list(struct conf_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        explicit_bzero(l->item[i], strlen(l->item[i]));
        free(l->item[i]);
    }
    free(l->item);
    *l = (struct conf_list){0};
}

static void show(void *ctx, const struct conf_key *key, enum conf_source from, const char *text)
{
    static const char *const SOURCES[] = {"option", "environment", "environment", "file", "default", ""};
    struct config *c = ctx;
    struct config_shown *s = &c->shown[c->nshown];

    if (c->nshown && s[-1].key == key->name) {
        s--;
    } else {
        c->nshown++;
        *s = (struct config_shown){.key = key->name,
                                   .source = SOURCES[from],
                                   .type = key->type,
                                   .may_repeat = key->type == CONF_LIST || key->flags & CONF_REPEAT};
    }
    conf_list_add(&s->values, key->flags & CONF_SECRET ? "********" : text); /* without memory there is one less to show */
}

static int keep_shown(struct config *c, const struct conf *conf)
{
    c->shown = calloc(keys_table()->n, sizeof(*c->shown));
    if (!c->shown)
        return ERR_NOMEM;
    conf_each(conf, show, c);
    return 0;
}

static void free_shown(struct config *c)
{
    for (size_t i = 0; i < c->nshown; i++)
        wipe_list(&c->shown[i].values);
    free(c->shown);
}

/* ---- All of it. ---- */

/* From values to fields, and whether they go together. */
static int fill(struct config *c, struct conf *conf, char *const envp[], struct conf_error *e)
{
    int err = container_user(c, conf, envp, e);

    if (!err)
        err = conf_apply(conf, c, e);
    if (!err)
        err = container_generate(c, conf, envp);
    if (!err)
        err = default_realm(c);
    if (!err)
        err = default_node_id(c);
    if (!err)
        err = config_check(c, conf, e);
    if (!err)
        err = copy_warnings(c, conf);
    return err ? err : keep_shown(c, conf);
}

/* What both readers end with: the configuration is handed over, or freed, and then `e` says why. */
static int hand_over(struct config **out, struct config *c, struct conf *conf, int err, struct conf_error *e)
{
    if (err == ERR_NOMEM)
        fail_nomem(e);
    conf_free(&conf);
    if (err)
        config_free(&c);
    *out = c;
    return err;
}

int config_load(struct config **out, int argc, char *const argv[], char *const envp[], struct conf_error *e)
{
    struct config *c = calloc(1, sizeof(*c));
    struct conf *conf = NULL;
    int err = c ? 0 : ERR_NOMEM;

    *e = (struct conf_error){0};
    if (!err && !only_asks(c, argc, argv)) {
        err = conf_new(&conf, keys_table());
        if (!err)
            err = conf_load(conf, argc, argv, envp, "config", NULL, e);
        if (!err)
            err = fill(c, conf, envp, e);
    }
    return hand_over(out, c, conf, err, e);
}

int config_read(struct config **out, const char *text, struct conf_error *e)
{
    struct config *c = calloc(1, sizeof(*c));
    struct conf *conf = NULL;
    int err = c ? conf_new(&conf, keys_table()) : ERR_NOMEM;

    *e = (struct conf_error){0};
    if (!err)
        err = conf_buffer(conf, "text", text, strlen(text), e);
    if (!err)
        err = fill(c, conf, (char *const[]){NULL}, e);
    return hand_over(out, c, conf, err, e);
}

static void wipe_text(char **text)
{
    if (*text)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void config_wipe_secrets(struct config *c)
{
    wipe_list(&c->users);
    wipe_list(&c->secrets);
    wipe_text(&c->redis);
    wipe_text(&c->redis_statsdb);
}

void config_free(struct config **c)
{
    if (!*c)
        return;
    conf_release(keys_table(), *c);
    wipe_list(&(*c)->warnings);
    free_shown(*c);
    free((*c)->listening_ip.item);
    free((*c)->relay_ip.item);
    free((*c)->external_ip.item);
    free((*c)->generate_user);
    free(*c);
    *c = NULL;
}
