#include "programs/keys.h"

#include <stdlib.h>
#include <string.h>

#include "auth/fleet.h"
#include "base/err.h"
#include "programs/config.h"
#include "relay/policy.h"

enum {
    RATE_MAX = 1000000000,
    WORKERS_MAX = 64,
    LIFETIME_MAX_S = INT32_MAX,
    URL_MAX = 256, /* bytes */
};

/* ---- Setters: 0, or ERR_INVAL with what is expected. ---- */

static int refuse(char *expected, size_t cap, const char *text)
{
    snprintf(expected, cap, "%s", text);
    return ERR_INVAL;
}

static int add_addr(struct config_addrs *l, const struct addr *a)
{
    struct addr *grown = reallocarray(l->item, l->n + 1, sizeof(*grown));

    if (!grown)
        return ERR_NOMEM;
    l->item = grown;
    l->item[l->n++] = *a;
    return 0;
}

static int set_listening_ip(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;
    struct addr a;

    if (addr_parse_ip(&a, value))
        return refuse(expected, cap, "an IP address of this host");
    return add_addr(&c->listening_ip, &a);
}

static int set_relay_ip(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;
    struct addr a;

    if (addr_parse_ip(&a, value) || addr_is_any(&a))
        return refuse(expected, cap, "one IP address of this host (not 0.0.0.0 or ::)");
    return add_addr(&c->relay_ip, &a);
}

/* PUBLIC or PUBLIC/LOCAL, both of one family. */
static int set_external_ip(void *target, const char *value, char *expected, size_t cap)
{
    static const char want[] = "PUBLIC or PUBLIC/LOCAL, two IP addresses of one family";
    struct config *c = target;
    struct relay_external x = {0}, *grown;
    const char *slash = strchr(value, '/');
    char *head = slash ? strndup(value, (size_t)(slash - value)) : strdup(value);
    int err;

    if (!head)
        return ERR_NOMEM;
    err = addr_parse_ip(&x.public, head);
    free(head);
    if (err || addr_is_any(&x.public))
        return refuse(expected, cap, want);
    if (slash && (addr_parse_ip(&x.local, slash + 1) || addr_is_any(&x.local) || x.local.family != x.public.family))
        return refuse(expected, cap, want);
    grown = reallocarray(c->external_ip.item, c->external_ip.n + 1, sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    c->external_ip.item = grown;
    c->external_ip.item[c->external_ip.n++] = x;
    return 0;
}

static int set_separator(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;

    if (value[0] <= ' ' || value[0] > '~' || value[1] != '\0' || (value[0] >= '0' && value[0] <= '9'))
        return refuse(expected, cap, "one printable ASCII character that is neither a digit nor a blank");
    c->rest_api_separator = value[0];
    return 0;
}

static int set_log_level(void *target, const char *value, char *expected, size_t cap)
{
    struct config *c = target;
    enum log_level level;

    if (log_level_parse(&level, value))
        return refuse(expected, cap, "one of error, warning, info, debug");
    c->log_level = level;
    return 0;
}

static int set_service(struct addr *out, const char *value, char *expected, size_t cap)
{
    struct addr a;

    if (addr_parse(&a, value))
        return refuse(expected, cap, "IP:PORT, an IPv6 address in brackets");
    *out = a;
    return 0;
}

static int set_connect_listen(void *target, const char *value, char *expected, size_t cap)
{
    return set_service(&((struct config *)target)->connect_listen, value, expected, cap);
}

static int set_app_listen(void *target, const char *value, char *expected, size_t cap)
{
    return set_service(&((struct config *)target)->app_listen, value, expected, cap);
}

static int set_admin_listen(void *target, const char *value, char *expected, size_t cap)
{
    return set_service(&((struct config *)target)->admin_listen, value, expected, cap);
}

/* ---- Tests of texts. ---- */

static int check_user(const char *value, char *expected, size_t cap)
{
    char prepared[STUN_USERNAME_MAX + 1];
    const char *colon = strchr(value, ':');
    int err;

    if (!colon || colon == value || colon[1] == '\0')
        return refuse(expected, cap, "NAME:PASSWORD, or NAME:0x and the 32 hex digits of the MD5 key");
    err = auth_opaque_string(prepared, sizeof(prepared), value, (size_t)(colon - value));
    if (err == ERR_NOSPC)
        return refuse(expected, cap, "a name of at most 763 bytes");
    return err ? refuse(expected, cap, "a name in UTF-8 without control characters") : 0;
}

bool keys_realm_ok(const char *text)
{
    char prepared[STUN_REALM_MAX + 1];

    return auth_opaque_string(prepared, sizeof(prepared), text, strlen(text)) == 0;
}

static int check_realm(const char *value, char *expected, size_t cap)
{
    if (!keys_realm_ok(value))
        return refuse(expected, cap, "a name in UTF-8 without control characters, of at most 763 bytes");
    return 0;
}

static int check_software(const char *value, char *expected, size_t cap)
{
    char prepared[sizeof(((struct relay_settings *)0)->software)];

    if (*value && (strlen(value) >= sizeof(prepared) || auth_opaque_string(prepared, sizeof(prepared), value, strlen(value))))
        return refuse(expected, cap, "a text in UTF-8 of at most 127 bytes, or nothing");
    return 0;
}

/* The policy's own reader judges an entry here already, so that an error has its file and line (F17). */
static int check_peer(const char *value, char *expected, size_t cap)
{
    const struct policy_config alone = {.denied = &value, .ndenied = 1};
    struct policy *p;
    int err = policy_new(&p, &alone, NULL);

    if (err == ERR_CONFIG)
        return refuse(expected, cap,
                      "an address, CIDR or range, with ports if wanted: 10.1.2.0/24, 10.1.2.3-10.1.2.9, 10.1.2.3:5060-5070/udp, "
                      "[2001:db8::/32]:5060/udp");
    if (!err)
        policy_unref(&p);
    return err;
}

static int check_node_id(const char *value, char *expected, size_t cap)
{
    return fleet_id_ok(value) ? 0 : refuse(expected, cap, "letters, digits, '.', '_' and '-', at most 64 of them");
}

/* A scheme and a host, as browsers send it. */
static int check_origin(const char *value, char *expected, size_t cap)
{
    const char *host = strstr(value, "://");

    if (!host || host == value || host[3] == '\0' || strpbrk(host + 3, "/ \t"))
        return refuse(expected, cap, "an origin such as https://app.example.com");
    return 0;
}

/* It goes into JSON and a policy of the page as it is: what a URL of ours is made of, and nothing else. */
static int check_url(const char *value, char *expected, size_t cap)
{
    size_t scheme = strncmp(value, "wss://", 6) == 0 ? 6 : strncmp(value, "ws://", 5) == 0 ? 5 : 0;
    const char *host = value + scheme, *path = strchr(host, '/');

    if (!scheme || !path || path == host || strlen(value) > URL_MAX ||
        host[strspn(host, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~:[]/")])
        return refuse(expected, cap, "a URL such as wss://connect.example.com/connect");
    return 0;
}

/* ---- The table. ---- */

static const char *const XDP[] = {"off", "auto", "native", "generic", NULL};
static const char *const LOG_FORMATS[] = {"logfmt", "json", NULL};
_Static_assert(LOG_LOGFMT == 0 && LOG_JSON == 1, "LOG_FORMATS follows enum log_format");

#define FIELD(member)  CONF_FIELD(struct config, member)
#define SET(fn)        .type = CONF_CUSTOM, .set = (fn)
#define QUOTA(member)  .type = CONF_UINT, FIELD(member), .max = UINT32_MAX, .preset = "0"
#define OPTION(member) FIELD(member), .flags = CONF_OPTION_ONLY

static const struct conf_key KEYS[] = {
    {.name = "config",
     .type = CONF_STRING,
     OPTION(config_file),
     .preset = "/etc/turnpike/turnpiked.conf",
     .help = "the file to read"},
    {.name = "check-config", .type = CONF_BOOL, OPTION(check_config), .help = "read and check the configuration, then end"},
    {.name = "ready-file",
     .type = CONF_STRING,
     OPTION(ready_file),
     .help = "write the addresses in use there, as JSON, once the server serves"},
    {.name = "help", .type = CONF_BOOL, OPTION(help), .help = "print this text"},
    {.name = "version", .type = CONF_BOOL, OPTION(version), .help = "print the version"},

    {.name = "listening-ip",
     SET(set_listening_ip),
     .flags = CONF_REPEAT,
     .alias = "LISTENING_IP_ADDRESS",
     .help = "address to serve on; without it, all addresses"},
    {.name = "listening-port",
     .type = CONF_PORT,
     FIELD(listening_port),
     .preset = "3478",
     .alias = "TURN_PORT",
     .help = "UDP and TCP; 0 takes a free one"},
    {.name = "alt-listening-port",
     .type = CONF_PORT,
     FIELD(alt_listening_port),
     .preset = "0",
     .help =
         "a second port, for clients that find out what their NAT does (RFC 5780); needs two listening-ip of a family; 0: none"},
    {.name = "tls-listening-port",
     .type = CONF_PORT,
     FIELD(tls_listening_port),
     .preset = "5349",
     .help = "TLS and DTLS (no effect yet)"},
    {.name = "relay-ip",
     SET(set_relay_ip),
     .flags = CONF_REPEAT,
     .help = "address that relayed ports are on; without it, the listening addresses"},
    {.name = "external-ip",
     SET(set_external_ip),
     .flags = CONF_REPEAT,
     .alias = "EXTERNAL_IP_ADDRESS",
     .help = "PUBLIC or PUBLIC/LOCAL: behind a 1:1 NAT, what peers see instead of the relay address"},
    {.name = "min-port", .type = CONF_PORT, FIELD(min_port), .preset = "49152", .help = "first relayed port, at least 1024"},
    {.name = "max-port", .type = CONF_PORT, FIELD(max_port), .preset = "65535", .help = "last relayed port"},
    {.name = "realm",
     .type = CONF_STRING,
     FIELD(realm),
     .check = check_realm,
     .help = "authentication realm; without it, the host's name"},
    {.name = "unauthenticated-rate",
     .type = CONF_UINT,
     FIELD(unauthenticated_rate),
     .max = RATE_MAX,
     .preset = "200",
     .help = "answers a second to one source that has shown no valid credential; 0: no limit"},
    {.name = "user",
     .type = CONF_LIST,
     FIELD(users),
     .flags = CONF_SECRET,
     .check = check_user,
     .help = "NAME:PASSWORD or NAME:0xMD5KEY, a fixed user"},
    {.name = "static-auth-secret",
     .type = CONF_LIST,
     FIELD(secrets),
     .flags = CONF_SECRET,
     .help = "shared secret for time-limited user names, up to eight at once"},
    {.name = "rest-api-separator",
     SET(set_separator),
     .preset = ":",
     .help = "character between expiry and user in a time-limited name"},
    {.name = "redis",
     .type = CONF_STRING,
     FIELD(redis),
     .flags = CONF_SECRET,
     .help = "credential store: redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://"},
    {.name = "redis-prefix",
     .type = CONF_STRING,
     FIELD(redis_prefix),
     .preset = "tp:",
     .help = "what our own keys in Redis begin with"},
    {.name = "node-id",
     .type = CONF_STRING,
     FIELD(node_id),
     .check = check_node_id,
     .help = "name of this node in a fleet that shares a Redis; without it, the host's name and the port"},
    {.name = "redis-statsdb",
     .type = CONF_STRING,
     FIELD(redis_statsdb),
     .flags = CONF_SECRET,
     .help = "where allocations are told of as coturn does: as redis, or coturn's connection string"},
    {.name = "state-dir",
     .type = CONF_STRING,
     FIELD(state_dir),
     .preset = "/var/lib/turnpike",
     .help = "generated credentials; without redis, tokens and users"},
    {.name = "denied-peer-ip",
     .type = CONF_LIST,
     FIELD(denied_peer_ip),
     .check = check_peer,
     .help = "peers that are refused: CIDR, range, or with :PORTS and /udp or /tcp"},
    {.name = "allowed-peer-ip",
     .type = CONF_LIST,
     FIELD(allowed_peer_ip),
     .check = check_peer,
     .help = "peers that are allowed although a denied range holds them"},
    {.name = "max-lifetime",
     .type = CONF_UINT,
     FIELD(max_lifetime),
     .min = 1,
     .max = LIFETIME_MAX_S,
     .preset = "3600",
     .help = "seconds that an allocation may ask for"},
    {.name = "user-quota", QUOTA(user_quota), .help = "allocations of one user; 0: no limit"},
    {.name = "source-quota", QUOTA(source_quota), .help = "allocations of one IPv4 address or IPv6 /64; 0: no limit"},
    {.name = "total-quota", QUOTA(total_quota), .help = "allocations in all; 0: no limit"},
    {.name = "max-bps",
     .type = CONF_BPS,
     FIELD(max_bps),
     .preset = "0",
     .help = "bits per second of one allocation and direction; 0: no limit"},
    {.name = "user-max-bps",
     .type = CONF_BPS,
     FIELD(user_max_bps),
     .preset = "0",
     .help = "bits per second of all allocations of one user, each direction; 0: no limit"},
    {.name = "bps-capacity",
     .type = CONF_BPS,
     FIELD(bps_capacity),
     .preset = "0",
     .help = "bits per second that all allocations together may set aside (max-bps each); 0: no limit"},
    {.name = "workers",
     .type = CONF_UINT,
     FIELD(workers),
     .max = WORKERS_MAX,
     .preset = "0",
     .help = "threads that relay; 0: one a core"},
    {.name = "cert",
     .type = CONF_STRING,
     FIELD(cert),
     .needs = "pkey",
     .help = "certificate chain of TLS, PEM: of the connect service and the softphone page"},
    {.name = "pkey", .type = CONF_STRING, FIELD(pkey), .needs = "cert", .help = "its private key, PEM"},
    {.name = "connect-listen",
     SET(set_connect_listen),
     .help = "IP:PORT of the connect service; beyond loopback with cert and pkey"},
    {.name = "connect-origin",
     .type = CONF_LIST,
     FIELD(connect_origin),
     .check = check_origin,
     .help = "origin whose pages may use the connect service, beside its own"},
    {.name = "connect-url",
     .type = CONF_STRING,
     FIELD(connect_url),
     .check = check_url,
     .help = "where the softphone page reaches the connect service; without it, made of the addresses"},
    {.name = "app-listen", SET(set_app_listen), .help = "IP:PORT of the softphone page; may be that of connect-listen"},
    {.name = "admin-socket",
     .type = CONF_STRING,
     FIELD(admin_socket),
     .preset = "/run/turnpike/admin.sock",
     .help = "socket of the admin plane; its group may do everything"},
    {.name = "admin-listen",
     SET(set_admin_listen),
     .help = "IP:PORT of the admin plane: with bearer tokens, and beyond loopback with TLS"},
    {.name = "admin-cert", .type = CONF_STRING, FIELD(admin_cert), .needs = "admin-pkey", .help = "its certificate chain, PEM"},
    {.name = "admin-pkey", .type = CONF_STRING, FIELD(admin_pkey), .needs = "admin-cert", .help = "its private key, PEM"},
    {.name = "admin-origin",
     .type = CONF_LIST,
     FIELD(admin_origin),
     .check = check_origin,
     .help = "origin whose pages may fetch ICE servers from the admin plane"},
    {.name = "xdp",
     .type = CONF_CHOICE,
     FIELD(xdp),
     .choices = XDP,
     .preset = "off",
     .help = "offload into the kernel (no effect yet)"},
    {.name = "xdp-interface", .type = CONF_LIST, FIELD(xdp_interface), .help = "interface to offload on (no effect yet)"},
    {.name = "strict-channel-range",
     .type = CONF_BOOL,
     FIELD(strict_channel_range),
     .preset = "no",
     .help = "channels 0x4000 to 0x4FFF only, instead of up to 0x7FFF"},
    {.name = "software",
     .type = CONF_STRING,
     FIELD(software),
     .flags = CONF_MAY_BE_EMPTY,
     .check = check_software,
     .preset = "Turnpike",
     .help = "text of the SOFTWARE attribute; empty: none"},
    {.name = "log-level", SET(set_log_level), .preset = "info", .alias = "LOG_LEVEL", .help = "error, warning, info or debug"},
    {.name = "log-format",
     .type = CONF_CHOICE,
     FIELD(log_format),
     .choices = LOG_FORMATS,
     .preset = "logfmt",
     .help = "form of a log line"},
    {.name = "log-file", .type = CONF_STRING, FIELD(log_file), .help = "where log lines go; without it, standard error"},
};

static const struct conf_table TABLE = {.keys = KEYS, .n = sizeof(KEYS) / sizeof(KEYS[0]), .env_prefix = "TURNPIKE_"};

const struct conf_table *keys_table(void)
{
    return &TABLE;
}

const char *keys_xdp_name(unsigned xdp)
{
    return XDP[xdp];
}
