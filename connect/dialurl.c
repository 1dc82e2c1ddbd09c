#include "connect/dialurl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"

enum { PORT_WS = 80, PORT_WSS = 443, PORT_HTTP = 80 };

static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

static bool starts(const char **p, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* The host; `*p` stands behind it, brackets and all. */
static int host(struct dialurl *out, const char **p)
{
    bool v6 = **p == '[';
    const char *from = *p + v6;
    size_t n = v6 ? strcspn(from, "]/") : strspn(from, LETTERS);
    struct addr a;

    if (n == 0 || n >= sizeof(out->host) || (v6 && from[n] != ']'))
        return ERR_INVAL;
    memcpy(out->host, from, n);
    out->host[n] = '\0';
    *p = from + n + v6;
    return v6 && (addr_parse_ip(&a, out->host) != 0 || a.family != ADDR_V6) ? ERR_INVAL : 0;
}

static int port(struct dialurl *out, const char **p)
{
    char *end;
    unsigned long n;

    if (**p != ':')
        return 0;
    n = strspn(*p + 1, "0123456789") ? strtoul(*p + 1, &end, 10) : 0;
    if (n == 0 || n > UINT16_MAX)
        return ERR_INVAL;
    out->port = (uint16_t)n;
    *p = end;
    return 0;
}

static int path(struct dialurl *out, const char *p)
{
    size_t n = strlen(p);

    if (n >= sizeof(out->path))
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++) {
        if (p[i] <= ' ' || p[i] > '~' || strchr("?#\"<>\\^`{|}", p[i]))
            return ERR_INVAL;
    }
    snprintf(out->path, sizeof(out->path), "%s", n ? p : "/");
    return 0;
}

static bool loopback(const char *name)
{
    struct addr a;

    return strcmp(name, "localhost") == 0 || (addr_parse_ip(&a, name) == 0 && addr_is_loopback(&a));
}

int dialurl_service(struct dialurl *out, const char *text, const char **why)
{
    const char *p = text;

    memset(out, 0, sizeof(*out));
    if (starts(&p, "wss://")) {
        out->tls = true;
    } else if (!starts(&p, "ws://")) {
        *why = "the URL of the connect service begins with wss://";
        return ERR_INVAL;
    }
    out->port = out->tls ? PORT_WSS : PORT_WS;
    if (strchr(p, '@') || strchr(p, '?')) {
        *why = "the URL of the connect service holds no name, password or query: the token goes in its first message";
        return ERR_INVAL;
    }
    if (host(out, &p) || port(out, &p) || (*p && *p != '/') || path(out, p)) {
        *why = "the URL of the connect service can't be read: write wss://HOST/connect or wss://HOST:PORT/connect";
        return ERR_INVAL;
    }
    if (!out->tls && !loopback(out->host)) {
        *why = "ws:// would send the token in the clear: beyond loopback the URL of the connect service begins with wss://";
        return ERR_INVAL;
    }
    return 0;
}

int dialurl_proxy(struct dialurl *out, const char *text, const char **why)
{
    const char *p = text;

    memset(out, 0, sizeof(*out));
    out->port = PORT_HTTP;
    if (!starts(&p, "http://") || host(out, &p) || port(out, &p) || (*p && strcmp(p, "/") != 0)) {
        *why = "the proxy's URL can't be read: write http://HOST:PORT (a proxy that wants a login is not supported)";
        return ERR_INVAL;
    }
    return 0;
}

const char *dialurl_authority(const struct dialurl *url, bool bare, char out[static DIAL_AUTHORITY_MAX])
{
    bool v6 = strchr(url->host, ':') != NULL;
    int n = snprintf(out, DIAL_AUTHORITY_MAX, "%s%s%s", v6 ? "[" : "", url->host, v6 ? "]" : "");

    if (!bare || url->port != (url->tls ? PORT_WSS : PORT_WS))
        snprintf(out + n, DIAL_AUTHORITY_MAX - (size_t)n, ":%u", (unsigned)url->port);
    return out;
}
