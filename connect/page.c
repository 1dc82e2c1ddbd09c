#include "connect/page.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { PORT_HTTPS = 443, PORT_HTTP = 80 };

const struct page_file *page_find(const struct http_text *path)
{
    struct http_text name = {path->p + 1, path->len - 1};

    if (!name.len)
        name = (struct http_text){"index.html", strlen("index.html")};
    else if (http_text_is(&name, "check"))
        name = (struct http_text){"check.html", strlen("check.html")};
    for (const struct page_file *f = PAGE_FILES; f->name; f++)
        if (http_text_is(&name, f->name))
            return f;
    return NULL;
}

bool page_is_known(const struct page_file *f, const struct http_text *if_none_match)
{
    return if_none_match->p &&
           (http_text_is(if_none_match, "*") || memmem(if_none_match->p, if_none_match->len, f->tag, strlen(f->tag)));
}

/* Without its port; of an IPv6 address with its brackets. */
static struct http_text name_of(const struct http_text *host)
{
    const char *bracket = host->len ? memchr(host->p, ']', host->len) : NULL, *from = bracket ? bracket : host->p;
    const char *colon = host->len ? memchr(from, ':', (size_t)(host->p + host->len - from)) : NULL;

    return (struct http_text){host->p, colon ? (size_t)(colon - host->p) : host->len};
}

static void put_authority(char *out, size_t cap, const struct http_text *name, uint16_t port, bool tls)
{
    if (port == (tls ? PORT_HTTPS : PORT_HTTP))
        snprintf(out, cap, "%.*s", (int)name->len, name->p);
    else
        snprintf(out, cap, "%.*s:%u", (int)name->len, name->p, port);
}

void page_url(char out[static PAGE_URL_MAX], const struct page_service *s, const struct http_text *host)
{
    char authority[HTTP_HOST_MAX + sizeof(":65535")], literal[ADDR_TEXT_MAX + 2], ip[ADDR_TEXT_MAX];
    struct http_text name = name_of(host);

    if (s->url) {
        snprintf(out, PAGE_URL_MAX, "%s", s->url);
        return;
    }
    if (!name.len || (!addr_is_any(s->listen) && !addr_same_ip(s->listen, s->app))) {
        /* Another address than the page's: only its number is known here. Names are for connect-url. */
        snprintf(literal, sizeof(literal), s->listen->family == ADDR_V6 ? "[%s]" : "%s", addr_ip_text(s->listen, ip));
        name = (struct http_text){literal, strlen(literal)};
        put_authority(authority, sizeof(authority), &name, s->listen->port, s->tls);
    } else if (addr_equal(s->listen, s->app)) { /* whatever port the browser sees */
        snprintf(authority, sizeof(authority), "%.*s", (int)host->len, host->p);
    } else {
        put_authority(authority, sizeof(authority), &name, s->listen->port, s->tls);
    }
    snprintf(out, PAGE_URL_MAX, "%s://%s/connect", s->tls ? "wss" : "ws", authority);
}

void page_policy(char out[static PAGE_POLICY_MAX], const char *url)
{
    const char *host = strstr(url, "://"), *path = host ? strchr(host + 3, '/') : NULL;

    snprintf(out, PAGE_POLICY_MAX,
             "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' %.*s http%.*s; img-src 'self' data:; "
             "media-src "
             "'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             path ? (int)(path - url) : 0, url, path ? (int)(path - url - 2) : 0, url + 2);
}

static bool is_literal(const struct http_text *name)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;
    size_t bracket = name->len && name->p[0] == '[' ? 1 : 0;

    if (name->len == strlen("localhost") && strncasecmp(name->p, "localhost", name->len) == 0)
        return true;
    if (name->len < 2 * bracket || name->len - 2 * bracket >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(name->len - 2 * bracket), name->p + bracket);
    return addr_parse_ip(&a, text) == 0;
}

static bool is_origin(const struct http_text *origin, bool tls, const char *authority)
{
    char own[HTTP_HOST_MAX + sizeof("https://:65535")];

    snprintf(own, sizeof(own), "%s://%s", tls ? "https" : "http", authority);
    return origin->len == strlen(own) && strncasecmp(origin->p, own, origin->len) == 0;
}

bool page_is_own(const struct http_text *origin, const struct page_service *s, const struct http_text *host)
{
    char authority[HTTP_HOST_MAX + sizeof(":65535")];
    struct http_text name = name_of(host);

    if (!name.len || (!s->tls && !is_literal(&name)))
        return false;
    snprintf(authority, sizeof(authority), "%.*s", (int)host->len, host->p);
    if (is_origin(origin, s->tls, authority))
        return true;
    if (s->app->family == ADDR_NONE)
        return false;
    put_authority(authority, sizeof(authority), &name, s->app->port, s->tls);
    return is_origin(origin, s->tls, authority);
}
