#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "relay/policyparts.h"

/* RFC 6890 and its registries, as the security notes list them. */
static const char *const BUILT_IN[] = {
    "0.0.0.0/8",      "10.0.0.0/8",     "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",  "172.16.0.0/12",   "192.0.0.0/24",
    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",  "224.0.0.0/4",
    "240.0.0.0/4",    "::/128",         "::1/128",        "::/96",         "::ffff:0:0/96",   "::ffff:0:0:0/96", "64:ff9b::/96",
    "64:ff9b:1::/48", "100::/64",       "2001::/23",      "2001:db8::/32", "2002::/16",       "3fff::/20",       "fc00::/7",
    "fe80::/10",      "fec0::/10",      "ff00::/8",
};

static bool prefix_match(const struct addr *prefix, unsigned bits, const struct addr *a)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (prefix->family != a->family || memcmp(prefix->ip, a->ip, whole) != 0)
        return false;
    return rest == 0 || ((prefix->ip[whole] ^ a->ip[whole]) >> (8 - rest)) == 0;
}

static bool is_operators(const struct entry *e)
{
    return e->source >= POLICY_CONFIGURATION;
}

/* Longest prefix first; at equal length the operator before what is built in, then deny before allow; then as they were written. */
static int by_weight(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;

    if (a->bits != b->bits)
        return a->bits > b->bits ? -1 : 1;
    if (is_operators(a) != is_operators(b))
        return is_operators(a) ? -1 : 1;
    if (a->allow != b->allow)
        return a->allow ? 1 : -1;
    return a->text < b->text ? -1 : a->text > b->text;
}

static int keep_text(struct policy *p, const char *text)
{
    if (p->ntexts == p->texts_cap) {
        size_t cap = p->texts_cap ? p->texts_cap * 2 : 64;
        struct written *more = reallocarray(p->texts, cap, sizeof(*more));

        if (!more)
            return ERR_NOMEM;
        p->texts = more;
        p->texts_cap = cap;
    }
    p->texts[p->ntexts] = (struct written){.text = strdup(text)};
    if (!p->texts[p->ntexts].text)
        return ERR_NOMEM;
    p->ntexts++;
    return 0;
}

static int add_texts(struct policy *p, const char *const *texts, size_t n, bool allow, enum policy_source source, const char **bad)
{
    for (size_t i = 0; i < n; i++) {
        int err = keep_text(p, texts[i]);

        if (!err)
            err = policy_add_text(p, texts[i], allow, source);

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
static const char *next_word(const char **text, char word[static POLICY_TEXT_MAX])
{
    const char *start = *text + strspn(*text, " ");
    size_t len = strcspn(start, " ");

    *text = start + len;
    if (!len)
        return NULL;
    snprintf(word, POLICY_TEXT_MAX, "%.*s", (int)(len < POLICY_TEXT_MAX ? len : 0), start);
    return start;
}

int policy_own(struct policy **out, const char *text, const char **bad)
{
    struct policy *p = calloc(1, sizeof(*p));
    char word[POLICY_TEXT_MAX];
    const char *at = text, *start;
    int err = 0;

    if (!p)
        return ERR_NOMEM;
    atomic_init(&p->refs, 1);
    p->own = strdup(text);
    if (!p->own)
        err = ERR_NOMEM;
    while (!err && (start = next_word(&at, word))) {
        err = policy_add_text(p, word, true, POLICY_CONFIGURATION);
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

static int add_hosts(struct policy *p, const struct addr *host, size_t n)
{
    char text[ADDR_TEXT_MAX];
    int err = 0;

    for (size_t i = 0; i < n && !err; i++) {
        err = keep_text(p, addr_ip_text(&host[i], text));
        if (!err)
            err = policy_add_text(p, text, false, POLICY_HOST);
    }
    return err;
}

static int add_entries(struct policy *p, const struct policy_entries *e, enum policy_source source, const char **bad)
{
    int err = add_texts(p, e->allowed, e->nallowed, true, source, bad);

    return err ? err : add_texts(p, e->denied, e->ndenied, false, source, bad);
}

/* A range is many prefixes, but one text. */
static void note_first(struct policy *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct written *w = &p->texts[p->entries[i].text];

        p->entries[i].first = !w->met;
        w->met = true;
    }
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
    err = add_texts(p, BUILT_IN, sizeof(BUILT_IN) / sizeof(BUILT_IN[0]), false, POLICY_BUILT_IN, bad);
    if (!err)
        err = add_hosts(p, c->host, c->nhost);
    if (!err)
        err = add_entries(p, &(struct policy_entries){c->allowed, c->nallowed, c->denied, c->ndenied}, POLICY_CONFIGURATION, bad);
    if (!err)
        err = add_entries(p, &c->realm, POLICY_REALM, bad);
    if (!err)
        err = add_entries(p, &c->stored, POLICY_STORED, bad);
    if (!err)
        err = copy_addrs(&p->listeners, &p->nlisteners, c->listeners, c->nlisteners);
    if (!err)
        err = copy_addrs(&p->host, &p->nhost, c->host, c->nhost);
    if (err) {
        policy_unref(&p);
        return err;
    }
    qsort(p->entries, p->n, sizeof(*p->entries), by_weight);
    note_first(p);
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
    for (size_t i = 0; i < p->ntexts; i++)
        free(p->texts[i].text);
    free(p->texts);
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

const char *policy_source_name(enum policy_source source)
{
    static const char *const NAMES[POLICY_SOURCES] = {[POLICY_BUILT_IN] = "built in",
                                                      [POLICY_HOST] = "this host",
                                                      [POLICY_CONFIGURATION] = "configuration",
                                                      [POLICY_REALM] = "realm",
                                                      [POLICY_STORED] = "stored"};

    return NAMES[source];
}

void policy_each(const struct policy *p, void (*visit)(void *ctx, const struct policy_entry *entry), void *ctx)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *e = &p->entries[i];

        if (e->first)
            visit(ctx, &(struct policy_entry){p->texts[e->text].text, e->allow, (enum policy_source)e->source});
    }
}

const char *policy_explain(struct policy_judges j, const struct addr *peer, enum policy_protocol protocol, char *text, size_t cap)
{
    static const char *const SOURCES[POLICY_SOURCES] = {" (built in)", " (an address of this host)", "", " (realm)", " (stored)"};
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
                 SOURCES[e->source]);
    return text;
}
