#include "relay/policy.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { ENTRY_MAX = 160 /* bytes of an entry's text and its NUL: two IPv6 addresses, ports and protocol are far shorter */ };

/* What speaks for or against an address, weakest first. */
enum origin {
    ORIGIN_BUILT_IN, /* the special-purpose ranges */
    ORIGIN_HOST,     /* an address of this host */
    ORIGIN_OPERATOR, /* denied-peer-ip and allowed-peer-ip: stronger than the other two at equal length */
};

/* One prefix, for IPv4 as for IPv6. Kept sorted so that the first entry that matches decides. */
struct entry {
    struct addr ip; /* host bits are zero */
    uint8_t bits;
    uint8_t protocol; /* enum policy_protocol */
    bool allow;
    uint8_t origin; /* enum origin */
    uint16_t port_min;
    uint16_t port_max;
};

struct policy {
    _Atomic unsigned refs;
    uint32_t generation;
    struct entry *entries;
    size_t n, cap;
    struct addr *listeners;
    size_t nlisteners;
    struct addr *host;
    size_t nhost;
    char *own; /* of a credential's: the text that it was made of. What no entry holds is denied then, and allowed otherwise */
};

/* RFC 6890 and its registries, as the security notes list them. */
static const char *const BUILT_IN[] = {
    "0.0.0.0/8",      "10.0.0.0/8",     "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",  "172.16.0.0/12",   "192.0.0.0/24",
    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",  "224.0.0.0/4",
    "240.0.0.0/4",    "::/128",         "::1/128",        "::/96",         "::ffff:0:0/96",   "::ffff:0:0:0/96", "64:ff9b::/96",
    "64:ff9b:1::/48", "100::/64",       "2001::/23",      "2001:db8::/32", "2002::/16",       "3fff::/20",       "fc00::/7",
    "fe80::/10",      "fec0::/10",      "ff00::/8",
};

static unsigned family_bits(const struct addr *a)
{
    return a->family == ADDR_V4 ? 32 : 128;
}

static bool prefix_match(const struct addr *prefix, unsigned bits, const struct addr *a)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (prefix->family != a->family || memcmp(prefix->ip, a->ip, whole) != 0)
        return false;
    return rest == 0 || ((prefix->ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}

static void mask(struct addr *a, unsigned bits)
{
    unsigned n = family_bits(a) / 8;

    for (unsigned i = 0; i < n; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
        a->ip[i] = (uint8_t)(a->ip[i] & (0xFF00U >> keep));
    }
}

static int add(struct policy *p, const struct addr *ip, unsigned bits, const struct entry *like)
{
    struct entry *e;

    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 8;
        struct entry *more = realloc(p->entries, cap * sizeof(*more));

        if (!more)
            return ERR_NOMEM;
        p->entries = more;
        p->cap = cap;
    }
    e = &p->entries[p->n++];
    *e = *like;
    e->ip = *ip;
    e->ip.port = 0;
    e->bits = (uint8_t)bits;
    mask(&e->ip, bits);
    return 0;
}

/* ---- Ranges: the fewest prefixes that cover first..last. Addresses are compared as numbers, from the most significant byte (S3). ---- */

static unsigned trailing_zero_bits(const struct addr *a)
{
    unsigned n = 0;

    for (unsigned i = family_bits(a) / 8; i-- > 0; n += 8)
        if (a->ip[i])
            return n + (unsigned)__builtin_ctz(a->ip[i]);
    return n;
}

/* The last address of the block of 2^host_bits addresses that starts at `a`. */
static struct addr block_end(const struct addr *a, unsigned host_bits)
{
    struct addr end = *a;
    unsigned n = family_bits(a) / 8;

    for (unsigned i = 0; i < n; i++) {
        unsigned below = 8 * (n - 1 - i); /* bits to the right of this byte */
        unsigned ones = host_bits >= below + 8 ? 8 : host_bits > below ? host_bits - below : 0;
        end.ip[i] = (uint8_t)(end.ip[i] | ((1U << ones) - 1));
    }
    return end;
}

/* False when `a` was the last address there is. */
static bool increment(struct addr *a)
{
    for (unsigned i = family_bits(a) / 8; i-- > 0;)
        if (++a->ip[i])
            return true;
    return false;
}

static int add_range(struct policy *p, struct addr first, const struct addr *last, const struct entry *like)
{
    unsigned n = family_bits(&first) / 8;

    if (first.family != last->family || memcmp(first.ip, last->ip, n) > 0)
        return ERR_CONFIG;
    for (;;) {
        unsigned host_bits = trailing_zero_bits(&first);
        struct addr end = block_end(&first, host_bits);
        int err;

        while (memcmp(end.ip, last->ip, n) > 0)
            end = block_end(&first, --host_bits);
        err = add(p, &first, family_bits(&first) - host_bits, like);
        if (err)
            return err;
        if (memcmp(end.ip, last->ip, n) == 0 || !increment(&end))
            return 0;
        first = end;
    }
}

/* ---- The text of an entry. ---- */

static bool read_number(const char **s, unsigned max, unsigned *out)
{
    char *end;
    unsigned long v;

    if (**s < '0' || **s > '9')
        return false;
    v = strtoul(*s, &end, 10);
    if (v > max)
        return false;
    *s = end;
    *out = (unsigned)v;
    return true;
}

/* "5060", "5060-5070", "5060-5070/udp". */
static bool read_ports(const char *s, struct entry *e)
{
    unsigned lo, hi;

    if (!read_number(&s, 65535, &lo))
        return false;
    hi = lo;
    if (*s == '-' && (s++, !read_number(&s, 65535, &hi)))
        return false;
    if (lo > hi)
        return false;
    e->port_min = (uint16_t)lo;
    e->port_max = (uint16_t)hi;
    if (*s == '\0')
        return true;
    if (strcmp(s, "/udp") == 0)
        e->protocol = POLICY_UDP;
    else if (strcmp(s, "/tcp") == 0)
        e->protocol = POLICY_TCP;
    else
        return false;
    return true;
}

static int add_text(struct policy *p, const char *text, bool allow, enum origin origin)
{
    struct entry like = {.protocol = POLICY_ANY, .allow = allow, .origin = (uint8_t)origin, .port_max = 65535};
    char copy[ENTRY_MAX], *ip = copy, *ports = NULL, *slash, *dash;
    struct addr first, last;

    if (strlen(text) >= sizeof(copy))
        return ERR_CONFIG;
    memcpy(copy, text, strlen(text) + 1);
    if (copy[0] == '[') { /* [2001:db8::1], [2001:db8::]/32 or [2001:db8::/32], with or without ports */
        char *close = strchr(copy, ']'), *rest;

        if (!close)
            return ERR_CONFIG;
        ip = copy + 1;
        rest = strchr(close, ':');
        if (rest) {
            ports = rest + 1;
            *rest = '\0';
        }
        memmove(close, close + 1, strlen(close + 1) + 1);
    } else if (strchr(copy, '.') && strchr(copy, ':') && strchr(copy, ':') == strrchr(copy, ':')) { /* IPv4 and ports */
        ports = strchr(copy, ':');
        *ports++ = '\0';
    }
    if (ports && !read_ports(ports, &like))
        return ERR_CONFIG;
    if ((slash = strchr(ip, '/'))) {
        const char *digits = slash + 1;
        unsigned bits;

        *slash = '\0';
        if (addr_parse_ip(&first, ip) || !read_number(&digits, family_bits(&first), &bits) || *digits)
            return ERR_CONFIG;
        return add(p, &first, bits, &like);
    }
    if ((dash = strchr(ip, '-'))) {
        *dash = '\0';
        if (addr_parse_ip(&first, ip) || addr_parse_ip(&last, dash + 1))
            return ERR_CONFIG;
        return add_range(p, first, &last, &like);
    }
    if (addr_parse_ip(&first, ip))
        return ERR_CONFIG;
    return add(p, &first, family_bits(&first), &like);
}

/* Longest prefix first; at equal length the operator before what is built in, then deny before allow. */
static int by_weight(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;

    if (a->bits != b->bits)
        return a->bits > b->bits ? -1 : 1;
    if ((a->origin == ORIGIN_OPERATOR) != (b->origin == ORIGIN_OPERATOR))
        return a->origin == ORIGIN_OPERATOR ? -1 : 1;
    return (int)a->allow - (int)b->allow;
}

static int add_texts(struct policy *p, const char *const *texts, size_t n, bool allow, enum origin origin, const char **bad)
{
    for (size_t i = 0; i < n; i++) {
        int err = add_text(p, texts[i], allow, origin);

        if (err) {
            if (bad)
                *bad = texts[i];
            return err;
        }
    }
    return 0;
}

static int copy_addrs(struct addr **out, size_t *nout, const struct addr *in, size_t n)
{
    if (!n)
        return 0;
    *out = malloc(n * sizeof(*in));
    if (!*out)
        return ERR_NOMEM;
    memcpy(*out, in, n * sizeof(*in));
    *nout = n;
    return 0;
}

/* The next entry of a credential's text, or NULL. An entry that does not fit can't be read either. */
static const char *next_word(const char **text, char word[static ENTRY_MAX])
{
    const char *start = *text + strspn(*text, " ");
    size_t len = strcspn(start, " ");

    *text = start + len;
    if (!len)
        return NULL;
    snprintf(word, ENTRY_MAX, "%.*s", (int)(len < ENTRY_MAX ? len : 0), start);
    return start;
}

int policy_own(struct policy **out, const char *text, const char **bad)
{
    struct policy *p = calloc(1, sizeof(*p));
    char word[ENTRY_MAX];
    const char *at = text, *start;
    int err = 0;

    if (!p)
        return ERR_NOMEM;
    atomic_init(&p->refs, 1);
    p->own = strdup(text);
    if (!p->own)
        err = ERR_NOMEM;
    while (!err && (start = next_word(&at, word))) {
        err = add_text(p, word, true, ORIGIN_OPERATOR);
        if (err && bad)
            *bad = start;
    }
    if (err) {
        policy_unref(&p);
        return err;
    }
    if (p->n)
        qsort(p->entries, p->n, sizeof(*p->entries), by_weight);
    *out = p;
    return 0;
}

bool policy_is(const struct policy *own, const char *text)
{
    return strcmp(own->own, text) == 0;
}

int policy_new(struct policy **out, const struct policy_config *c, const char **bad)
{
    static _Atomic uint32_t last_generation;
    struct policy *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return ERR_NOMEM;
    atomic_init(&p->refs, 1);
    p->generation = atomic_fetch_add(&last_generation, 1) + 1;
    err = add_texts(p, BUILT_IN, sizeof(BUILT_IN) / sizeof(BUILT_IN[0]), false, ORIGIN_BUILT_IN, bad);
    for (size_t i = 0; !err && i < c->nhost; i++)
        err = add(p, &c->host[i], family_bits(&c->host[i]),
                  &(struct entry){.protocol = POLICY_ANY, .origin = ORIGIN_HOST, .port_max = 65535});
    if (!err)
        err = add_texts(p, c->allowed, c->nallowed, true, ORIGIN_OPERATOR, bad);
    if (!err)
        err = add_texts(p, c->denied, c->ndenied, false, ORIGIN_OPERATOR, bad);
    if (!err)
        err = copy_addrs(&p->listeners, &p->nlisteners, c->listeners, c->nlisteners);
    if (!err)
        err = copy_addrs(&p->host, &p->nhost, c->host, c->nhost);
    if (err) {
        policy_unref(&p);
        return err;
    }
    qsort(p->entries, p->n, sizeof(*p->entries), by_weight);
    *out = p;
    return 0;
}

struct policy *policy_ref(struct policy *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

void policy_unref(struct policy **pp)
{
    struct policy *p = *pp;

    *pp = NULL;
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    free(p->entries);
    free(p->listeners);
    free(p->host);
    free(p->own);
    free(p);
}

uint32_t policy_generation(const struct policy *p)
{
    return p->generation;
}

/* ---- Judging. ---- */

/* The IPv4 address that an IPv6 address carries: mapped, compatible, translated, NAT64 (both), 6to4, Teredo (its client). */
static bool embedded_v4(const struct addr *a, struct addr *out)
{
    static const uint8_t NAT64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t NAT64_LOCAL[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    static const uint8_t ZERO[12];
    static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t TRANSLATED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0};
    const uint8_t *ip = a->ip;

    if (a->family != ADDR_V6)
        return false;
    *out = (struct addr){.family = ADDR_V4, .port = a->port};
    if (!memcmp(ip, ZERO, 12) || !memcmp(ip, MAPPED, 12) || !memcmp(ip, TRANSLATED, 12) || !memcmp(ip, NAT64, 12) ||
        !memcmp(ip, NAT64_LOCAL, 6)) {
        memcpy(out->ip, ip + 12, 4);
    } else if (ip[0] == 0x20 && ip[1] == 0x02) { /* 6to4, RFC 3056 */
        memcpy(out->ip, ip + 2, 4);
    } else if (ip[0] == 0x20 && ip[1] == 0x01 && ip[2] == 0 &&
               ip[3] == 0) { /* Teredo, RFC 4380: the client's address is inverted */
        for (int i = 0; i < 4; i++)
            out->ip[i] = (uint8_t)~ip[12 + i];
    } else {
        return false;
    }
    return true;
}

static const struct entry *decides(const struct policy *p, const struct addr *a, uint16_t port, enum policy_protocol protocol)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *e = &p->entries[i];

        if ((e->protocol & protocol) && port >= e->port_min && port <= e->port_max && prefix_match(&e->ip, e->bits, a))
            return e;
    }
    return NULL;
}

static bool is_host(const struct policy *p, const struct addr *a)
{
    for (size_t i = 0; i < p->nhost; i++)
        if (addr_same_ip(&p->host[i], a))
            return true;
    return false;
}

/* Our own service: no entry can open it. */
static bool is_listener(const struct policy *p, const struct addr *a)
{
    for (size_t i = 0; i < p->nlisteners; i++) {
        const struct addr *l = &p->listeners[i];

        if (l->port == a->port && l->family == a->family && (addr_same_ip(l, a) || (addr_is_any(l) && is_host(p, a))))
            return true;
    }
    return false;
}

static bool judge_one(const struct policy *p, const struct addr *a, enum policy_protocol protocol)
{
    const struct entry *e;

    if (is_listener(p, a))
        return false;
    e = decides(p, a, a->port, protocol);
    return e ? e->allow : !p->own;
}

static bool judge(const struct policy_judges *j, const struct addr *a, enum policy_protocol protocol)
{
    return judge_one(j->server, a, protocol) && (!j->own || judge_one(j->own, a, protocol));
}

/* The relay-relay path: a relayed address of ours is a peer while it lives, whatever range it lies in. */
static bool is_live(const struct ports *ports, const struct addr *a, enum policy_protocol protocol)
{
    bool advertised;
    int own = ports_find(ports, a, &advertised);

    return own >= 0 && protocol == POLICY_UDP && ports_owner(ports, ports_address(ports, (unsigned)own)->space, a->port) >= 0;
}

bool policy_flow(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol)
{
    struct addr v4;

    if (is_live(j.ports, peer, protocol))
        return !j.own || judge_one(j.own, peer, protocol);
    if (embedded_v4(peer, &v4) && !judge(&j, &v4, protocol))
        return false;
    return judge(&j, peer, protocol);
}

/* What `judge` says of the ports of an address: is there one that it allows, and none that it denies? Only the edges of the entries' port
 * ranges need to be tried. */
struct verdicts {
    bool any, all;
};

static void judge_port(const struct policy_judges *j, const struct addr *a, uint16_t port, enum policy_protocol protocol,
                       struct verdicts *v)
{
    struct addr probe = addr_with_port(a, port);
    bool ok = judge(j, &probe, protocol);

    v->any = v->any || ok;
    v->all = v->all && ok;
}

static void judge_edges(const struct policy_judges *j, const struct policy *p, const struct addr *a, enum policy_protocol protocol,
                        struct verdicts *v)
{
    for (size_t i = 0; p && i < p->n; i++) {
        const struct entry *e = &p->entries[i];

        if ((e->port_min == 0 && e->port_max == 65535) || !prefix_match(&e->ip, e->bits, a))
            continue;
        judge_port(j, a, e->port_min, protocol, v);
        if (e->port_max < 65535)
            judge_port(j, a, (uint16_t)(e->port_max + 1), protocol, v);
    }
}

static struct verdicts judge_ports(const struct policy_judges *j, const struct addr *a, enum policy_protocol protocol)
{
    struct verdicts v = {.all = true};

    judge_port(j, a, 0, protocol, &v);
    judge_edges(j, j->server, a, protocol, &v);
    judge_edges(j, j->own, a, protocol, &v);
    for (size_t i = 0; v.all && i < j->server->nlisteners; i++)
        judge_port(j, a, j->server->listeners[i].port, protocol, &v);
    return v;
}

bool policy_permission(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol, bool *all_ports)
{
    struct verdicts v = judge_ports(&j, peer, protocol), v4 = {true, true};
    struct addr inner;
    bool advertised;

    if (embedded_v4(peer, &inner))
        v4 = judge_ports(&j, &inner, protocol);
    if (all_ports)
        *all_ports = v.all && v4.all;
    if (protocol == POLICY_UDP && ports_find(j.ports, peer, &advertised) >= 0) /* some port may be a live relayed address */
        return !j.own || judge_ports(&(struct policy_judges){.server = j.own}, peer, protocol).any;
    return v.any && v4.any;
}

const char *policy_explain(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol, char *text, size_t cap)
{
    static const char *const ORIGINS[] = {" (built in)", " (an address of this host)", ""};
    const struct policy_judges server = {.server = j.server, .ports = j.ports};
    char ip[ADDR_TEXT_MAX];
    struct addr v4;
    const struct addr *a = peer;
    const struct entry *e;

    if ((policy_flow(server, peer, protocol) && !policy_flow(j, peer, protocol)) ||
        (policy_permission(server, peer, protocol, NULL) && !policy_permission(j, peer, protocol, NULL))) {
        snprintf(text, cap, "the credential's peers");
        return text;
    }
    if (is_live(j.ports, peer, protocol)) {
        snprintf(text, cap, "a live relayed address of this server");
        return text;
    }
    if (embedded_v4(peer, &v4) && !judge(&server, &v4, protocol))
        a = &v4;
    if (is_listener(j.server, a)) {
        snprintf(text, cap, "a service address of this server");
        return text;
    }
    e = decides(j.server, a, a->port, protocol);
    if (!e)
        snprintf(text, cap, "no entry: allowed");
    else
        snprintf(text, cap, "%s-peer-ip=%s/%u%s", e->allow ? "allowed" : "denied", addr_ip_text(&e->ip, ip), e->bits,
                 ORIGINS[e->origin]);
    return text;
}
