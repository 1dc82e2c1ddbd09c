#include "connect/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "connect/wskey.h"

/* ---- A cursor over the bytes of the head. ---- */

struct cursor {
    const char *p, *end;
};

/* RFC 9110 section 5.6.2. */
static bool is_token(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What a field's value is made of: VCHAR, obs-text and blanks, RFC 9110 section 5.5. */
static bool is_value(char c)
{
    return is_blank(c) || (unsigned char)c > ' ';
}

static bool is_target(char c)
{
    return c > ' ' && c < 0x7f;
}

static struct http_text take(struct cursor *c, bool (*of)(char))
{
    struct http_text t = {.p = c->p};

    while (c->p < c->end && of(*c->p) && *c->p != 0x7f)
        c->p++;
    t.len = (size_t)(c->p - t.p);
    return t;
}

static bool skip(struct cursor *c, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
        return false;
    c->p += n;
    return true;
}

bool http_text_is(const struct http_text *t, const char *text)
{
    return t->p && t->len == strlen(text) && memcmp(t->p, text, t->len) == 0;
}

bool http_text_is_named(const struct http_text *t, const char *name)
{
    return t->len == strlen(name) && strncasecmp(t->p, name, t->len) == 0;
}

static int refuse(struct http_head *h, int status, const char *why)
{
    h->status = status;
    h->why = why;
    return ERR_MALFORMED;
}

/* ---- The request line. ---- */

/* RFC 9110 section 7.2, and a little less: no user, no percent; it goes into what we answer. */
static bool host_ok(const struct http_text *t)
{
    if (!t->len || t->len > HTTP_HOST_MAX)
        return false;
    for (size_t i = 0; i < t->len; i++) {
        char c = t->p[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("-._:[]", c));
        if (!ok)
            return false;
    }
    return true;
}

/* A server takes the absolute form, too (RFC 9112 section 3.2.2); then its authority is the host, whatever the field says. */
static int take_target(struct http_head *h, struct cursor *line)
{
    struct http_text target;

    if (skip(line, "http://") || skip(line, "https://")) {
        h->host.p = line->p;
        while (line->p < line->end && is_target(*line->p) && *line->p != '/')
            line->p++;
        h->host.len = (size_t)(line->p - h->host.p);
        if (!host_ok(&h->host))
            return refuse(h, 400, "the target names no host");
    }
    target = take(line, is_target);
    if (!target.len || target.p[0] != '/' || memchr(target.p, '#', target.len))
        return refuse(h, 400, "the target is no path");
    h->path = target;
    for (size_t i = 0; i < target.len; i++)
        if (target.p[i] == '?') {
            h->path.len = i;
            break;
        }
    return 0;
}

static int take_request_line(struct http_head *h, struct cursor *c)
{
    struct http_text method = take(c, is_token);
    int err;

    if (!method.len || !skip(c, " "))
        return refuse(h, 400, "no request line");
    err = take_target(h, c);
    if (err)
        return err;
    if (!skip(c, " HTTP/"))
        return refuse(h, 400, "no request line");
    if (skip(c, "1.1\r\n"))
        h->keep = true;
    else if (!skip(c, "1.0\r\n"))
        return refuse(h, 505, "HTTP/1.1 is spoken here");
    h->head = http_text_is(&method, "HEAD");
    if (!h->head && !http_text_is(&method, "GET"))
        return refuse(h, 405, "GET and HEAD only");
    return 0;
}

/* ---- Fields. ---- */

/* What is being read: what may come once only, and what the lists have said. */
struct reading {
    struct http_head *h;
    struct http_text host;
    bool connection_upgrade, connection_close, upgrade_websocket;
};

/* The elements of a list, RFC 9110 section 5.6.1; an empty one is none. */
static bool next_element(struct cursor *c, struct http_text *out)
{
    while (c->p < c->end) {
        out->p = c->p;
        while (c->p < c->end && *c->p != ',')
            c->p++;
        out->len = (size_t)(c->p - out->p);
        c->p += c->p < c->end;
        while (out->len && is_blank(out->p[0]))
            out->p++, out->len--;
        while (out->len && is_blank(out->p[out->len - 1]))
            out->len--;
        if (out->len)
            return true;
    }
    return false;
}

static int once(struct http_head *h, struct http_text *into, const struct http_text *value)
{
    if (into->p)
        return refuse(h, 400, "a field that may be there once comes twice");
    *into = *value;
    return 0;
}

static int on_host(struct reading *r, const struct http_text *value)
{
    return host_ok(value) ? once(r->h, &r->host, value) : refuse(r->h, 400, "Host is no host");
}

static int on_origin(struct reading *r, const struct http_text *value)
{
    return once(r->h, &r->h->origin, value);
}

static int on_if_none_match(struct reading *r, const struct http_text *value)
{
    return once(r->h, &r->h->if_none_match, value);
}

static int on_key(struct reading *r, const struct http_text *value)
{
    return once(r->h, &r->h->key, value);
}

static int on_version(struct reading *r, const struct http_text *value)
{
    return once(r->h, &r->h->version, value);
}

static int on_connection(struct reading *r, const struct http_text *value)
{
    struct cursor c = {value->p, value->p + value->len};
    struct http_text element;

    while (next_element(&c, &element)) {
        r->connection_upgrade |= http_text_is_named(&element, "upgrade");
        r->connection_close |= http_text_is_named(&element, "close");
    }
    return 0;
}

static int on_upgrade(struct reading *r, const struct http_text *value)
{
    struct cursor c = {value->p, value->p + value->len};
    struct http_text element;

    while (next_element(&c, &element))
        r->upgrade_websocket |= http_text_is_named(&element, "websocket");
    return 0;
}

static int on_protocol(struct reading *r, const struct http_text *value)
{
    struct cursor c = {value->p, value->p + value->len};
    struct http_text element;

    while (next_element(&c, &element))
        r->h->protocol |= http_text_is(&element, HTTP_PROTOCOL);
    return 0;
}

/* No request of ours has a body, and one that is not read would be taken for the next request. */
static int on_length(struct reading *r, const struct http_text *value)
{
    return http_text_is(value, "0") ? 0 : refuse(r->h, 413, "no body is taken");
}

static int on_coding(struct reading *r, const struct http_text *value)
{
    (void)value;
    return refuse(r->h, 413, "no body is taken");
}

static const struct {
    const char *name;
    int (*take)(struct reading *r, const struct http_text *value);
} FIELDS[] = {
    {"Host", on_host},
    {"Connection", on_connection},
    {"Upgrade", on_upgrade},
    {"Origin", on_origin},
    {"If-None-Match", on_if_none_match},
    {"Sec-WebSocket-Key", on_key},
    {"Sec-WebSocket-Version", on_version},
    {"Sec-WebSocket-Protocol", on_protocol},
    {"Content-Length", on_length},
    {"Transfer-Encoding", on_coding},
};

static int take_field(struct reading *r, struct cursor *c)
{
    struct http_text name = take(c, is_token), value;

    if (!name.len || !skip(c, ":")) /* a blank before the name is a folded line, before the colon a trick: RFC 9112 section 5 */
        return refuse(r->h, 400, "a line of the head is no field");
    while (c->p < c->end && is_blank(*c->p))
        c->p++;
    value = take(c, is_value);
    if (!skip(c, "\r\n"))
        return refuse(r->h, 400, "a field's value has a control character");
    while (value.len && is_blank(value.p[value.len - 1]))
        value.len--;
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
        if (http_text_is_named(&name, FIELDS[i].name))
            return FIELDS[i].take(r, &value);
    return 0;
}

static int take_fields(struct http_head *h, struct cursor *c)
{
    struct reading r = {.h = h};
    int err = 0;

    for (unsigned n = 0; !skip(c, "\r\n"); n++) {
        if (n == HTTP_FIELDS_MAX)
            return refuse(h, 431, "too many fields");
        err = take_field(&r, c);
        if (err)
            return err;
    }
    if (h->keep && !r.host.p) /* RFC 9112 section 3.2 */
        return refuse(h, 400, "Host is missing");
    if (!h->host.p)
        h->host = r.host;
    h->upgrade = h->keep && r.upgrade_websocket && r.connection_upgrade;
    h->keep = h->keep && !r.connection_close;
    return 0;
}

/* ---- From outside. ---- */

/* What is larger is refused before its end has come: it may never come. */
static int not_whole(struct http_head *h, const char *buf, size_t len)
{
    if (len < HTTP_HEAD_MAX)
        return ERR_AGAIN;
    return memchr(buf, '\n', len) ? refuse(h, 431, "the head is too large") : refuse(h, 414, "the target is too long");
}

int http_read(struct http_head *out, const char *buf, size_t len)
{
    static const char END[] = "\r\n\r\n";
    size_t seen = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    const char *end = memmem(buf, seen, END, sizeof(END) - 1);
    struct cursor c;
    int err;

    *out = (struct http_head){.status = 0};
    if (!end)
        return not_whole(out, buf, len);
    out->len = (size_t)(end - buf) + sizeof(END) - 1;
    c = (struct cursor){buf, buf + out->len};
    err = take_request_line(out, &c);
    return err ? err : take_fields(out, &c);
}

static bool key_ok(const struct http_text *key)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (!key->p || key->len != WSKEY_LEN || memcmp(key->p + WSKEY_LEN - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < WSKEY_LEN - 2; i++)
        if (!key->p[i] || !strchr(DIGITS, key->p[i]))
            return false;
    return strchr("AQgw", key->p[WSKEY_LEN - 3]) != NULL; /* four bits of the last digit are none of the 16 bytes' */
}

int http_may_upgrade(struct http_head *h)
{
    if (h->head || !h->upgrade)
        return refuse(h, 426, "a WebSocket is served here: Connection: Upgrade, Upgrade: websocket");
    if (!http_text_is(&h->version, "13"))
        return refuse(h, 426, "Sec-WebSocket-Version: 13 is spoken here");
    if (!key_ok(&h->key))
        return refuse(h, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
    if (!h->protocol)
        return refuse(h, 400, "Sec-WebSocket-Protocol: " HTTP_PROTOCOL " is spoken here");
    return 0;
}

int http_accept(char out[static HTTP_ACCEPT_LEN + 1], const struct http_text *key)
{
    return wskey_accept(out, key->p, key->len);
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } REASONS[] = {
        {101, "Switching Protocols"},
        {200, "OK"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(REASONS) / sizeof(REASONS[0]); i++)
        if (REASONS[i].status == status)
            return REASONS[i].text;
    return "Error";
}
