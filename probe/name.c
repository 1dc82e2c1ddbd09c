/* The first step: a name becomes an address. */
#include <event2/dns.h>
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "probe/trial.h"

enum { SLOW_MS = 15000, QUICK_MS = 5000 }; /* for all name servers together */

/* It outlives its step: libevent may hold it when nobody waits any more. */
struct lookup {
    struct trial *trial; /* NULL: nobody waits */
};

/* RFC 6890: what no service on the internet has. */
static bool is_private(const struct addr *a)
{
    static const struct {
        uint8_t family, bits, ip[2];
    } RANGES[] = {{ADDR_V4, 8, {10, 0}},     {ADDR_V4, 12, {172, 16}}, {ADDR_V4, 16, {192, 168}},  {ADDR_V4, 10, {100, 64}},
                  {ADDR_V4, 16, {169, 254}}, {ADDR_V6, 7, {0xfc, 0}},  {ADDR_V6, 10, {0xfe, 0x80}}};

    if (addr_is_loopback(a) || addr_is_any(a))
        return true;
    for (size_t i = 0; i < sizeof(RANGES) / sizeof(RANGES[0]); i++) {
        unsigned ip = (unsigned)a->ip[0] << 8 | a->ip[1], range = (unsigned)RANGES[i].ip[0] << 8 | RANGES[i].ip[1];

        if (a->family == RANGES[i].family && (ip ^ range) >> (16 - RANGES[i].bits) == 0)
            return true;
    }
    return false;
}

/* Nothing is sent: the kernel looks for a route. */
static bool has_route(const struct evutil_addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, a->ai_addr, (socklen_t)a->ai_addrlen) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static const struct sockaddr *first_of(const struct evutil_addrinfo *list, int family, bool routed)
{
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next) {
        if (a->ai_family == family && (!routed || has_route(a)))
            return a->ai_addr;
    }
    return NULL;
}

/* The first of the family that firewalls are mostly about, but of the other one where this host has that alone: a browser there takes it, too. */
static const struct sockaddr *choose(const struct evutil_addrinfo *list)
{
    static const struct {
        int family;
        bool routed;
    } ORDER[] = {{AF_INET, true}, {AF_INET6, true}, {AF_INET, false}, {AF_INET6, false}};
    const struct sockaddr *sa = NULL;

    for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]) && !sa; i++)
        sa = first_of(list, ORDER[i].family, ORDER[i].routed);
    return sa;
}

static void take(struct trial *t, const struct evutil_addrinfo *list)
{
    char ip[ADDR_TEXT_MAX];
    unsigned n = 0;

    t->line->address.port = t->reach_port;
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next)
        n++;
    addr_ip_text(&t->line->address, ip);
    /* where a proxy is, is the office's own business */
    t->private_answer = t->reach_host == t->line->host && is_private(&t->line->address);
    if (t->private_answer)
        trial_warn(t, CODE_DNS_PRIVATE_ANSWER, "%.100s is %s, which is private", t->reach_host, ip);
    if (n > 1)
        trial_note(t, "%s, one of %u addresses", ip, n);
    trial_pass(t);
}

static void on_answer(int result, struct evutil_addrinfo *list, void *ctx)
{
    struct lookup *l = ctx;
    struct trial *t = l->trial;
    const struct sockaddr *sa = t ? choose(list) : NULL;

    free(l);
    if (t) {
        t->state = NULL;
        if (result == EVUTIL_EAI_NONAME)
            trial_fail(t, CODE_DNS_NXDOMAIN, "the name %.100s does not exist, says the name server", t->reach_host);
        else if (result == EVUTIL_EAI_FAIL || result == EVUTIL_EAI_NODATA) /* libevent tells no difference */
            trial_fail(t, CODE_DNS_FAILED, "the name server answers with an error, or knows no address of %.100s", t->reach_host);
        else if (result || !sa || addr_from_sockaddr(&t->line->address, sa))
            trial_fail(t, CODE_DNS_FAILED, "the name %.100s can't be resolved: %.100s", t->reach_host, evutil_gai_strerror(result));
        else
            take(t, list);
    }
    if (list)
        evutil_freeaddrinfo(list);
}

static void begin(struct trial *t)
{
    const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *l;

    if (addr_parse_ip(&t->line->address, t->reach_host) == 0) {
        t->line->address.port = t->reach_port;
        trial_pass(t);
        return;
    }
    l = calloc(1, sizeof(*l));
    if (!l) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    l->trial = t;
    t->state = l;
    trial_wait(t, trial_ms(t, SLOW_MS, QUICK_MS));
    evdns_getaddrinfo(t->probe->dns, t->reach_host, NULL, &hints, on_answer, l); /* may have called back already */
}

static void late(struct trial *t)
{
    trial_fail(t, CODE_DNS_FAILED, "no name server has answered about %.100s", t->reach_host);
}

static void end(struct trial *t)
{
    struct lookup *l = t->state;

    if (l)
        l->trial = NULL;
}

const struct step NAME_STEP = {REPORT_NAME, RULES_WEBSOCKET | RULES_HTTP | RULES_STUN | RULES_TURN | TRIAL_ANSWER, begin, late,
                               end};
