#include "admin/route.h"

#include <stdio.h>
#include <string.h>

#include "admin/bearer.h"
#include "base/utf8.h"

#define API "/api/v1"

enum {
    READ = BEARER_READ,
    CREDENTIALS = BEARER_CREDENTIALS,
    ADMIN = BEARER_ADMIN,
};

#define PAGED "limit cursor"

static const struct route ROUTES[] = {
    {"GET", "/", ROUTE_ASSET, 0, 0, "", 0},
    {"GET", "/dashboard/{file}", ROUTE_ASSET, 0, 0, "", 0},
    {"GET", "/openapi.json", ROUTE_ASSET, 0, 0, "", 0},
    {"GET", "/healthz", ROUTE_HEALTH, 0, 0, "", 0},
    {"GET", "/readyz", ROUTE_OPERATION, ADMIN_READY, 0, "", 0},
    {"GET", "/metrics", ROUTE_OPERATION, ADMIN_METRICS, READ, "", 0},
    {"GET", API "/status", ROUTE_OPERATION, ADMIN_STATUS, READ | CREDENTIALS, "", 0},
    {"GET", API "/allocations", ROUTE_OPERATION, ADMIN_ALLOCATIONS_LIST, READ, PAGED " user client peer transport", 0},
    {"GET", API "/allocations/{id}", ROUTE_OPERATION, ADMIN_ALLOCATION_GET, READ, "", 0},
    {"DELETE", API "/allocations/{id}", ROUTE_OPERATION, ADMIN_ALLOCATION_DELETE, ADMIN, "", ROUTE_CHANGES},
    {"GET", API "/users", ROUTE_OPERATION, ADMIN_USERS_LIST, READ | CREDENTIALS, PAGED, 0},
    {"GET", API "/users/{name}", ROUTE_OPERATION, ADMIN_USER_GET, READ | CREDENTIALS, "", ROUTE_ETAG},
    {"PUT", API "/users/{name}", ROUTE_OPERATION, ADMIN_USER_PUT, CREDENTIALS, "", ROUTE_CHANGES | ROUTE_BODY},
    {"DELETE", API "/users/{name}", ROUTE_OPERATION, ADMIN_USER_DELETE, CREDENTIALS, "", ROUTE_CHANGES},
    {"GET", API "/tokens", ROUTE_OPERATION, ADMIN_TOKENS_LIST, READ | CREDENTIALS, PAGED " owner label", 0},
    {"POST", API "/tokens", ROUTE_OPERATION, ADMIN_TOKEN_ISSUE, CREDENTIALS, "", ROUTE_CHANGES | ROUTE_BODY},
    {"GET", API "/tokens/{id}", ROUTE_OPERATION, ADMIN_TOKEN_GET, READ | CREDENTIALS, "", 0},
    {"DELETE", API "/tokens/{id}", ROUTE_OPERATION, ADMIN_TOKEN_REVOKE, CREDENTIALS, "", ROUTE_CHANGES},
    {"POST", API "/credentials/generate-ice-servers", ROUTE_OPERATION, ADMIN_ICE_SERVERS, CREDENTIALS, "",
     ROUTE_CHANGES | ROUTE_BODY | ROUTE_CORS},
    {"GET", API "/credentials", ROUTE_OPERATION, ADMIN_TURN_REST, CREDENTIALS, "service username ttl", ROUTE_CHANGES},
    {"POST", API "/credentials/{username}/revoke", ROUTE_OPERATION, ADMIN_USER_REVOKE, CREDENTIALS, "", ROUTE_CHANGES | ROUTE_BODY},
    {"GET", API "/usage", ROUTE_OPERATION, ADMIN_USAGE, READ | CREDENTIALS, PAGED " owner label by since until", 0},
    {"GET", API "/peers", ROUTE_OPERATION, ADMIN_PEERS_GET, READ, "", ROUTE_ETAG},
    {"PUT", API "/peers", ROUTE_OPERATION, ADMIN_PEERS_PUT, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY | ROUTE_ETAG},
    {"POST", API "/peers/test", ROUTE_OPERATION, ADMIN_PEERS_TEST, READ, "", ROUTE_BODY},
    {"GET", API "/quotas/{owner}", ROUTE_OPERATION, ADMIN_QUOTA_GET, READ | CREDENTIALS, "", ROUTE_ETAG},
    {"PUT", API "/quotas/{owner}", ROUTE_OPERATION, ADMIN_QUOTA_PUT, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY | ROUTE_ETAG},
    {"GET", API "/nodes", ROUTE_OPERATION, ADMIN_NODES, READ, PAGED, 0},
    {"GET", API "/bridges", ROUTE_OPERATION, ADMIN_BRIDGES, READ, PAGED " tenant", 0},
    {"POST", API "/probes", ROUTE_OPERATION, ADMIN_PROBE_START, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY},
    {"GET", API "/probes", ROUTE_OPERATION, ADMIN_PROBES_LIST, READ, PAGED, 0},
    {"GET", API "/probes/{id}", ROUTE_OPERATION, ADMIN_PROBE_GET, READ, "", 0},
    {"POST", API "/drain", ROUTE_OPERATION, ADMIN_DRAIN, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY},
    {"DELETE", API "/drain", ROUTE_OPERATION, ADMIN_DRAIN_END, ADMIN, "node", ROUTE_CHANGES},
    {"GET", API "/config", ROUTE_OPERATION, ADMIN_CONFIG_GET, READ, PAGED, 0},
    {"POST", API "/config/check", ROUTE_OPERATION, ADMIN_CONFIG_CHECK, ADMIN, "", ROUTE_BODY},
    {"POST", API "/reload", ROUTE_OPERATION, ADMIN_RELOAD, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY},
    {"PUT", API "/log-level", ROUTE_OPERATION, ADMIN_LOG_LEVEL, ADMIN, "", ROUTE_CHANGES | ROUTE_BODY},
    {"GET", API "/events", ROUTE_EVENTS, 0, READ, "type", 0},
};

enum { ROUTES_N = sizeof(ROUTES) / sizeof(ROUTES[0]) };

const struct route *route_nth(size_t n)
{
    return n < ROUTES_N ? &ROUTES[n] : NULL;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool route_decode(char *text)
{
    char *out = text;

    for (const char *in = text; *in; in++, out++) {
        *out = *in;
        if (*in == '%') {
            int high = hex(in[1]), low = high < 0 ? -1 : hex(in[2]);

            if (low < 0)
                return false;
            *out = (char)(high << 4 | low);
            in += 2;
        }
        if ((unsigned char)*out < ' ' || *out == 0x7F)
            return false;
    }
    *out = '\0';
    return utf8_ok(text);
}

bool route_encode(char *out, size_t cap, const char *text)
{
    static const char DIGITS[] = "0123456789ABCDEF",
                      PLAIN[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:@";
    size_t n = 0;

    for (; *text; text++) {
        bool plain = strchr(PLAIN, *text) != NULL;

        if (n + (plain ? 1 : 3) >= cap)
            return false;
        if (plain) {
            out[n++] = *text;
        } else {
            out[n++] = '%';
            out[n++] = DIGITS[(unsigned char)*text >> 4];
            out[n++] = DIGITS[(unsigned char)*text & 0xF];
        }
    }
    out[n] = '\0';
    return true;
}

/* The template's "{...}" stands for one segment, which goes to `id`. */
static bool fits(const char *template, const char *path, char id[static ROUTE_ID_MAX + 1])
{
    id[0] = '\0';
    while (*template && *path) {
        if (*template == '{') {
            size_t n = strcspn(path, "/");

            if (!n || n > ROUTE_ID_MAX)
                return false;
            memcpy(id, path, n);
            id[n] = '\0';
            path += n;
            template = strchr(template, '}') + 1;
        } else if (*template ++ != *path++) {
            return false;
        }
    }
    return !*template && !*path && route_decode(id);
}

const struct route *route_find(const char *method, const char *path, char id[static ROUTE_ID_MAX + 1],
                               char allow[static ROUTE_ALLOW_MAX])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t n = 0;

    allow[0] = '\0';
    for (size_t i = 0; i < ROUTES_N; i++) {
        const struct route *r = &ROUTES[i];

        if (!fits(r->path, path, id))
            continue;
        if (strcmp(r->method, wanted) == 0)
            return r;
        n += (size_t)snprintf(allow + n, ROUTE_ALLOW_MAX - n, "%s%s%s", n ? ", " : "", r->method,
                              strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
    }
    return NULL;
}
