#include "bridge/servers.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

enum {
    PORT_DEFAULT = 3478, /* RFC 7065 section 3.2 */
    HOST_MAX = 256,
    ASK_AGAIN_S = 10, /* for a name that has no address, or whose address could not be asked for */
};

struct servers {
    struct event_base *base;
    struct evdns_base *dns;                /* made for the first name */
    struct server list[MEDIA_SERVERS_MAX]; /* without an address while, or because, the name has none */
    size_t n;
    char hosts[MEDIA_SERVERS_MAX][HOST_MAX];       /* names; "": an address was given */
    bool lacking[MEDIA_SERVERS_MAX];               /* the last question had no answer */
    struct question *questions[MEDIA_SERVERS_MAX]; /* NULL: none */
    unsigned open;                                 /* those that calls wait for */
    struct event again;
    void (*ready)(void *ctx);
    void *ctx;
};

/* Its callback comes in any case, perhaps when nobody is there any more. */
struct question {
    struct servers *servers; /* NULL: nobody */
    size_t i;
    bool waited; /* calls wait for it */
    struct evdns_getaddrinfo_request *request;
};

/* What a URI says. */
struct uri {
    struct server server;
    char host[HOST_MAX];
    uint16_t port;
    bool usable;
};

static void forget(struct servers *s)
{
    s->ready = NULL;
    evtimer_del(&s->again);
    for (size_t i = 0; i < MEDIA_SERVERS_MAX; i++) {
        struct question *q = s->questions[i];
        s->questions[i] = NULL;
        if (!q)
            continue;
        q->servers = NULL;
        evdns_getaddrinfo_cancel(q->request);
    }
    s->open = 0;
    explicit_bzero(s->list, sizeof(s->list));
    memset(s->hosts, 0, sizeof(s->hosts));
    memset(s->lacking, 0, sizeof(s->lacking));
    s->n = 0;
}

static void free_dns(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    evdns_base_free(ctx, 1);
}

void servers_free(struct servers **s)
{
    if (!*s)
        return;
    forget(*s);
    /* A question that was cancelled has a callback waiting in the loop, which frees it and uses the name servers: they go behind that one. */
    if ((*s)->dns && event_base_once((*s)->base, -1, EV_TIMEOUT, free_dns, (*s)->dns, NULL))
        free_dns(-1, 0, (*s)->dns);
    free(*s);
    *s = NULL;
}

/* "turn:host[:port][?transport=udp]", "turn:[2001:db8::1]". */
static int split(struct uri *u, const char *text)
{
    static const struct {
        const char *begin;
        enum server_kind kind;
        bool usable;
    } schemes[] = {{"stun:", SERVER_STUN, true},
                   {"turn:", SERVER_TURN_UDP, true},
                   {"stuns:", SERVER_STUN, false},
                   {"turns:", SERVER_TURN_TCP, false}};
    const char *query = strchr(text, '?'), *host, *end, *colon;
    size_t i, len;
    char *rest;
    long port = PORT_DEFAULT;

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && strncasecmp(text, schemes[i].begin, strlen(schemes[i].begin)) != 0; i++)
        ;
    if (i == sizeof(schemes) / sizeof(schemes[0]))
        return ERR_INVAL;
    u->server.kind = schemes[i].kind;
    u->usable = schemes[i].usable;
    host = text + strlen(schemes[i].begin);
    end = query ? query : text + strlen(text);
    colon = *host == '[' ? strstr(host, "]:") : strchr(host, ':');
    colon = colon && *colon == ']' ? colon + 1 : colon;
    colon = colon && colon < end ? colon : NULL;
    len = (size_t)((colon ? colon : end) - host);
    if (len >= 2 && *host == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (colon) {
        port = strtol(colon + 1, &rest, 10);
        if (rest != end || rest == colon + 1)
            return ERR_INVAL;
    }
    if (len == 0 || len >= sizeof(u->host) || port < 1 || port > 65535)
        return ERR_INVAL;
    memcpy(u->host, host, len);
    u->port = (uint16_t)port;
    if (query && u->server.kind == SERVER_TURN_UDP) {
        if (strcasecmp(query, "?transport=tcp") == 0)
            u->server.kind = SERVER_TURN_TCP;
        else
            u->usable &= strcasecmp(query, "?transport=udp") == 0;
    }
    return 0;
}

static void lack(struct servers *s, size_t i)
{
    s->lacking[i] = true;
    evtimer_add(&s->again, &(struct timeval){.tv_sec = ASK_AGAIN_S});
}

static void on_resolved(int result, struct evutil_addrinfo *res, void *arg)
{
    struct question *q = arg;
    struct servers *s = q->servers;
    size_t i = q->i;
    bool last = s && q->waited && --s->open == 0;
    struct addr a;

    free(q);
    if (s) {
        s->questions[i] = NULL;
        if (result == 0 && res && addr_from_sockaddr(&a, res->ai_addr) == 0)
            s->list[i].addr = addr_with_port(&a, s->list[i].addr.port);
        else
            lack(s, i); /* an address of before is better than none */
    }
    if (res)
        evutil_freeaddrinfo(res);
    if (last && s->ready)
        s->ready(s->ctx);
}

/* A question; what can't even be asked is asked later. */
static void ask(struct servers *s, size_t i, bool waited)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP};
    struct question *q;
    struct evdns_getaddrinfo_request *request;
    void (*ready)(void *ctx) = s->ready;

    s->lacking[i] = false;
    if (!s->dns)
        s->dns = evdns_base_new(s->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    q = s->dns ? calloc(1, sizeof(*q)) : NULL;
    if (!q) {
        lack(s, i);
        return;
    }
    /* What /etc/hosts knows is told at once, from within the call, and the question is gone. */
    *q = (struct question){.servers = s, .i = i, .waited = waited};
    s->questions[i] = q;
    s->open += waited;
    s->ready = NULL;
    request = evdns_getaddrinfo(s->dns, s->hosts[i], NULL, &hints, on_resolved, q);
    if (request)
        q->request = request;
    s->ready = ready;
}

/* Nobody waits for these: calls go on with what there is. */
static void on_again(evutil_socket_t fd, short what, void *ctx)
{
    struct servers *s = ctx;

    (void)fd;
    (void)what;
    for (size_t i = 0; i < s->n; i++)
        if (s->lacking[i])
            ask(s, i, false);
}

int servers_new(struct servers **out, struct event_base *base)
{
    struct servers *s = calloc(1, sizeof(*s));
    *out = s;
    if (!s)
        return ERR_NOMEM;
    s->base = base;
    evtimer_assign(&s->again, base, on_again, s);
    return 0;
}

/* What was known of names. */
struct known {
    char hosts[MEDIA_SERVERS_MAX][HOST_MAX];
    struct addr addrs[MEDIA_SERVERS_MAX];
    size_t n;
};

static void remember(struct known *k, const struct servers *s)
{
    memcpy(k->hosts, s->hosts, sizeof(k->hosts));
    k->n = s->n;
    for (size_t i = 0; i < s->n; i++)
        k->addrs[i] = s->list[i].addr;
}

/* An address at once, or a question; with the address that the name had before nobody need wait for the answer. */
static void resolve(struct servers *s, size_t i, const struct uri *u, const struct known *known)
{
    struct addr *a = &s->list[i].addr;
    bool name = addr_parse_ip(a, u->host) != 0;

    for (size_t k = 0; k < known->n && name && a->family == ADDR_NONE; k++)
        if (strcmp(known->hosts[k], u->host) == 0)
            *a = known->addrs[k];
    a->port = u->port;
    if (!name)
        return;
    memcpy(s->hosts[i], u->host, HOST_MAX);
    ask(s, i, a->family == ADDR_NONE);
}

int servers_set(struct servers *s, const struct media_server *list, size_t n, void (*ready)(void *ctx), void *ctx)
{
    struct uri uris[MEDIA_SERVERS_MAX];
    struct known known;
    int err = n > MEDIA_SERVERS_MAX ? ERR_INVAL : 0;

    memset(uris, 0, sizeof(uris));
    for (size_t i = 0; i < n && !err; i++)
        err = split(&uris[i], list[i].uri);
    if (err)
        return err;
    remember(&known, s);
    forget(s);
    s->ready = ready;
    s->ctx = ctx;
    for (size_t i = 0; i < n; i++) {
        if (!uris[i].usable)
            continue;
        s->list[s->n] = uris[i].server;
        memcpy(s->list[s->n].username, list[i].username, sizeof(list[i].username));
        memcpy(s->list[s->n].password, list[i].password, sizeof(list[i].password));
        resolve(s, s->n++, &uris[i], &known);
    }
    return 0;
}

bool servers_ready(const struct servers *s)
{
    return s->open == 0;
}

const struct server *servers_at(const struct servers *s, size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].addr.family != ADDR_NONE && n-- == 0)
            return &s->list[i];
    }
    return NULL;
}
