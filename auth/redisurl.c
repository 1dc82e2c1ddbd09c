#include "auth/redisurl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"

/* A part of the text, not NUL-terminated. */
struct part {
    const char *at;
    size_t len;
};

static struct part part_of(const char *at, const char *end)
{
    return (struct part){at, (size_t)(end - at)};
}

static bool is(struct part p, const char *word)
{
    return p.len == strlen(word) && memcmp(p.at, word, p.len) == 0;
}

/* Cuts `p` at the first `c`: what stands before is returned, `p` becomes what stands behind (empty if there is no `c`). */
static struct part cut(struct part *p, char c)
{
    const char *end = p->at + p->len, *at = p->len ? memchr(p->at, c, p->len) : NULL;
    struct part head = part_of(p->at, at ? at : end);

    *p = at ? part_of(at + 1, end) : part_of(end, end);
    return head;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes when `coded`; what it leaves is a C string without control characters. */
static const char *decode(char *out, size_t cap, struct part p, bool coded)
{
    size_t n = 0;

    for (size_t i = 0; i < p.len; i++) {
        unsigned char c = (unsigned char)p.at[i];
        if (c == '%' && coded) {
            int high = i + 2 < p.len ? hex_digit(p.at[i + 1]) : -1, low = high >= 0 ? hex_digit(p.at[i + 2]) : -1;
            if (low < 0)
                return "a percent sign is not followed by two hex digits";
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f)
            return "a control character";
        if (n + 1 >= cap)
            return "a part is too long";
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return NULL;
}

static bool number(unsigned *out, struct part p, unsigned max)
{
    unsigned v = 0;

    if (p.len == 0 || p.len > 6)
        return false;
    for (size_t i = 0; i < p.len; i++) {
        if (p.at[i] < '0' || p.at[i] > '9')
            return false;
        v = v * 10 + (unsigned)(p.at[i] - '0');
    }
    *out = v;
    return v <= max;
}

static const char *set_db(struct redis_target *t, struct part p)
{
    return number(&t->db, p, REDIS_DB_MAX) ? NULL : "the database is not a number of at most 65535";
}

static const char *set_seconds(unsigned *ms, struct part p)
{
    unsigned s;

    if (!number(&s, p, REDIS_TIMEOUT_MAX_S) || s == 0)
        return "a timeout is not a number of seconds from 1 to 60";
    *ms = s * 1000;
    return NULL;
}

static const char *set_port(struct redis_host *h, struct part p)
{
    unsigned port;

    if (!number(&port, p, UINT16_MAX) || port == 0)
        return "the port is not a number from 1 to 65535";
    h->port = (uint16_t)port;
    return NULL;
}

static const char *set_name(struct redis_host *h, struct part p)
{
    if (p.len == 0)
        return "a host is missing";
    for (size_t i = 0; i < p.len; i++) {
        char c = p.at[i], letter = (char)(c | 0x20);
        if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
            return "a host has a character that no name has";
    }
    return decode(h->name, sizeof(h->name), p, false);
}

static const char *set_ipv6(struct redis_host *h, struct part p)
{
    const char *why = decode(h->name, sizeof(h->name), p, false);
    struct addr a;

    if (!why && (addr_parse_ip(&a, h->name) || a.family != ADDR_V6))
        why = "what stands in brackets is not an IPv6 address";
    return why;
}

static const char *add_host(struct redis_target *t, struct part p)
{
    uint16_t standard = t->kind == REDIS_SENTINEL ? REDIS_SENTINEL_PORT : REDIS_PORT;
    struct redis_host *h = &t->hosts[t->nhosts];
    const char *why;

    if (t->nhosts == REDIS_HOSTS_MAX)
        return "more than 16 hosts";
    h->port = standard;
    if (p.len && p.at[0] == '[') {
        if (!memchr(p.at, ']', p.len))
            return "a bracket is not closed";
        p = part_of(p.at + 1, p.at + p.len);
        why = set_ipv6(h, cut(&p, ']'));
        if (!why && p.len && p.at[0] != ':')
            why = "something stands behind an address's bracket";
        if (!why && p.len)
            why = set_port(h, part_of(p.at + 1, p.at + p.len));
    } else {
        bool port = p.len && memchr(p.at, ':', p.len);
        why = set_name(h, cut(&p, ':'));
        if (!why && port)
            why = set_port(h, p);
    }
    t->nhosts++;
    return why;
}

static const char *set_hosts(struct redis_target *t, struct part p)
{
    const char *why;

    do {
        bool more = p.len && memchr(p.at, ',', p.len);
        why = add_host(t, cut(&p, ','));
        if (!more)
            break;
    } while (!why);
    if (!why && t->kind == REDIS_SINGLE && t->nhosts > 1)
        why = "several hosts, but neither Sentinel nor Cluster";
    return why;
}

static const char *set_login(struct redis_target *t, struct part p)
{
    bool colon = p.len && memchr(p.at, ':', p.len);
    const char *why = decode(t->user, sizeof(t->user), cut(&p, ':'), true);

    if (!why && (!colon || p.len == 0))
        why = "a user without a password";
    return why ? why : decode(t->password, sizeof(t->password), p, true);
}

static const char *set_option(struct redis_target *t, struct part name, struct part value)
{
    const struct {
        const char *name;
        char *out;
        size_t cap;
        bool tls, sentinel;
    } texts[] = {
        {"cacert", t->cacert, sizeof(t->cacert), true, false},
        {"cert", t->cert, sizeof(t->cert), true, false},
        {"key", t->key, sizeof(t->key), true, false},
        {"sentinel_user", t->sentinel_user, sizeof(t->sentinel_user), false, true},
        {"sentinel_password", t->sentinel_password, sizeof(t->sentinel_password), false, true},
    };

    if (is(name, "db"))
        return set_db(t, value);
    if (is(name, "connect_timeout"))
        return set_seconds(&t->connect_timeout_ms, value);
    if (is(name, "silence_timeout"))
        return set_seconds(&t->silence_timeout_ms, value);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!is(name, texts[i].name))
            continue;
        if (texts[i].tls && !t->tls)
            return "a certificate, but no TLS: the URL begins with rediss";
        if (texts[i].sentinel && t->kind != REDIS_SENTINEL)
            return "an option of Sentinel, but no Sentinel";
        return decode(texts[i].out, texts[i].cap, value, true);
    }
    return "an option that is not known";
}

static const char *set_options(struct redis_target *t, struct part p)
{
    while (p.len) {
        struct part value = cut(&p, '&'), name = cut(&value, '=');
        const char *why = set_option(t, name, value);
        if (why)
            return why;
    }
    return (*t->cert != '\0') == (*t->key != '\0') ? NULL : "a certificate needs its key, and a key its certificate";
}

/* What stands behind the hosts: /db, or /master[/db]. */
static const char *set_path(struct redis_target *t, struct part p)
{
    const char *why = NULL;

    if (t->kind == REDIS_SENTINEL) {
        why = decode(t->master, sizeof(t->master), cut(&p, '/'), true);
        if (!why && (!*t->master || strchr(t->master, ' ')))
            why = "the name of Sentinel's master is missing: redis+sentinel://host/master";
    }
    if (!why && p.len)
        why = set_db(t, p);
    return why;
}

static const char *set_socket(struct redis_target *t, struct part p)
{
    const char *slash = p.len ? memchr(p.at, '/', p.len) : NULL;
    const char *why = decode(t->path, sizeof(t->path), p, true);

    if (!why && (!slash || slash != p.at))
        why = "the path of the unix socket is not absolute";
    return why;
}

/* The last @ before the path (a unix socket: before the slash that begins it) ends user and password. */
static const char *set_authority(struct redis_target *t, struct part *p, bool socket)
{
    struct part rest = *p, head = cut(&rest, '/');
    const char *at = head.len ? memrchr(head.at, '@', head.len) : NULL;
    const char *end = p->at + p->len, *why = NULL;

    if (at) {
        why = set_login(t, part_of(head.at, at));
        head = part_of(at + 1, head.at + head.len);
    }
    if (why)
        return why;
    if (socket) {
        *p = part_of(head.at, end);
        return set_socket(t, *p);
    }
    why = set_hosts(t, head);
    return why ? why : set_path(t, rest);
}

static const char *parse_url(struct redis_target *t, const char *text, const char *colon)
{
    static const struct {
        const char *name;
        enum redis_kind kind;
        bool tls, socket;
    } schemes[] = {
        {"redis", REDIS_SINGLE, false, false},
        {"rediss", REDIS_SINGLE, true, false},
        {"redis+unix", REDIS_SINGLE, false, true},
        {"redis+sentinel", REDIS_SENTINEL, false, false},
        {"rediss+sentinel", REDIS_SENTINEL, true, false},
        {"redis+cluster", REDIS_CLUSTER, false, false},
        {"rediss+cluster", REDIS_CLUSTER, true, false},
    };
    struct part scheme = part_of(text, colon), options = part_of(colon + 3, colon + strlen(colon)), rest = cut(&options, '?');
    const char *why = "not one of redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://";

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!is(scheme, schemes[i].name))
            continue;
        t->kind = schemes[i].kind;
        t->tls = schemes[i].tls;
        why = set_authority(t, &rest, schemes[i].socket);
        if (!why)
            why = set_options(t, options);
    }
    if (!why && t->kind == REDIS_CLUSTER && t->db)
        why = "a Cluster has database 0 only";
    return why;
}

static bool among(struct part p, const char *const *words)
{
    while (*words && !is(p, *words))
        words++;
    return *words != NULL;
}

/* coturn's userdb: words of name=value between blanks, nothing encoded. */
static const char *parse_words(struct redis_target *t, const char *text)
{
    static const char *const HOST[] = {"ip", "host", "hostname", "address", "addr", NULL};
    static const char *const DB[] = {"dbname", "db", "database", NULL};
    static const char *const PASSWORD[] = {"password", "passwd", "pwd", NULL};
    static const char *const TIMEOUT[] = {"connect_timeout", "timeout", NULL};
    struct part p = part_of(text, text + strlen(text));
    const char *why = NULL;
    bool any = false;

    t->nhosts = 1;
    t->hosts[0] = (struct redis_host){.name = "127.0.0.1", .port = REDIS_PORT};
    while (!why && p.len) {
        struct part value = cut(&p, ' ');
        if (value.len == 0)
            continue;
        if (!memchr(value.at, '=', value.len))
            return "neither a URL nor words of name=value";
        struct part name = cut(&value, '=');
        any = true;
        if (among(name, HOST) && memchr(value.at, ':', value.len))
            why = set_ipv6(&t->hosts[0], value);
        else if (among(name, HOST))
            why = set_name(&t->hosts[0], value);
        else if (is(name, "port"))
            why = set_port(&t->hosts[0], value);
        else if (among(name, DB))
            why = set_db(t, value);
        else if (is(name, "user"))
            why = decode(t->user, sizeof(t->user), value, false);
        else if (among(name, PASSWORD))
            why = decode(t->password, sizeof(t->password), value, false);
        else if (among(name, TIMEOUT))
            why = set_seconds(&t->connect_timeout_ms, value);
        else
            why = "a name that is not ip, port, dbname, user, password or connect_timeout";
    }
    if (!why && !any)
        why = "empty";
    /* coturn itself never sends the user's name: many files have one for a server that has only a password. */
    if (!why && !*t->password)
        *t->user = '\0';
    return why;
}

int redisurl_parse(struct redis_target *out, const char *text, const char **why)
{
    const char *colon = strstr(text, "://");
    const char *wrong;

    memset(out, 0, sizeof(*out));
    out->connect_timeout_ms = REDIS_CONNECT_MS;
    out->backoff_max_ms = REDIS_BACKOFF_MS;
    out->silence_timeout_ms = REDIS_SILENCE_MS;
    /* A password of coturn's form may hold anything: only a scheme, which has no '=', makes a URL. */
    if (colon && !memchr(text, '=', (size_t)(colon - text)))
        wrong = parse_url(out, text, colon);
    else
        wrong = parse_words(out, text);
    if (wrong) {
        explicit_bzero(out, sizeof(*out));
        *why = wrong;
        return ERR_INVAL;
    }
    *why = "";
    return 0;
}

static bool same_hosts(const struct redis_target *a, const struct redis_target *b)
{
    size_t i = 0;

    if (a->nhosts != b->nhosts)
        return false;
    while (i < a->nhosts && a->hosts[i].port == b->hosts[i].port && strcmp(a->hosts[i].name, b->hosts[i].name) == 0)
        i++;
    return i == a->nhosts;
}

bool redisurl_equal(const struct redis_target *a, const struct redis_target *b)
{
    const char *const texts[][2] = {{a->path, b->path},
                                    {a->master, b->master},
                                    {a->user, b->user},
                                    {a->password, b->password},
                                    {a->sentinel_user, b->sentinel_user},
                                    {a->sentinel_password, b->sentinel_password},
                                    {a->cacert, b->cacert},
                                    {a->cert, b->cert},
                                    {a->key, b->key}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(texts[i][0], texts[i][1]) != 0)
            return false;
    return a->kind == b->kind && a->tls == b->tls && a->db == b->db && a->connect_timeout_ms == b->connect_timeout_ms &&
           a->silence_timeout_ms == b->silence_timeout_ms && a->backoff_max_ms == b->backoff_max_ms && same_hosts(a, b);
}

void redisurl_host_text(const struct redis_host *host, char *out, size_t cap)
{
    bool v6 = strchr(host->name, ':') != NULL;

    snprintf(out, cap, "%s%s%s:%u", v6 ? "[" : "", host->name, v6 ? "]" : "", (unsigned)host->port);
}

static void append(char *out, size_t cap, const char *text)
{
    size_t have = strlen(out), room = cap - have;

    if (strlen(text) < room)
        memcpy(out + have, text, strlen(text) + 1);
    else if (cap > 4)
        memcpy(out + (have + 4 <= cap ? have : cap - 4), "...", 4);
}

void redisurl_describe(const struct redis_target *t, char *out, size_t cap)
{
    static const char *const KINDS[] = {"", "+sentinel", "+cluster"};
    char text[REDIS_HOST_MAX + sizeof("[]:65535")];

    *out = '\0';
    append(out, cap, t->tls ? "rediss" : "redis");
    append(out, cap, *t->path ? "+unix" : KINDS[t->kind]);
    append(out, cap, "://");
    append(out, cap, t->path);
    for (size_t i = 0; i < t->nhosts; i++) {
        if (i)
            append(out, cap, ",");
        redisurl_host_text(&t->hosts[i], text, sizeof(text));
        append(out, cap, text);
    }
    if (t->kind == REDIS_SENTINEL) {
        append(out, cap, "/");
        append(out, cap, t->master);
    }
    if (t->db) {
        snprintf(text, sizeof(text), *t->path ? "?db=%u" : "/%u", t->db);
        append(out, cap, text);
    }
}
