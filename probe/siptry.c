/* Two steps of a browser's rule: one begins to try SIP at the rule's host, the last one tells what has answered by then. */
#include "probe/siptry.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "probe/tcp.h"
#include "probe/trial.h"

enum {
    TCP_SLOW_MS = 3000, /* a SYN is sent again after a second */
    TCP_QUICK_MS = 900,
    TRIES = 3,            /* requests by UDP */
    RETRY_SLOW_MS = 1000, /* between them, and after the last */
    RETRY_QUICK_MS = 160, /* all of them within half a second */
    REQUEST_MAX = 640,    /* bytes: four addresses, and what stands around them */
    ANSWER_MAX = 512,     /* bytes that are read: its first line is enough */
    RANDOM = 8,           /* bytes that make a transaction's id */
    READS_MAX = 16,       /* datagrams before other sockets have their turn */
};

static const struct {
    enum rules_protocol protocol;
    uint16_t port;
} WAYS[] = {{RULES_UDP, 5060}, {RULES_TCP, 5060}, {RULES_TCP, 5061}};

enum { WAYS_N = sizeof(WAYS) / sizeof(WAYS[0]) };

struct
try {
    struct siptry *sip;
    struct tcp *tcp;
    bool pending, answered;
};

struct siptry {
    struct trial *trial;
    bool awaited; /* the last step has come */
    struct try way[WAYS_N];
    int fd; /* of UDP */
    struct event io, tick;
    unsigned tries;
    char request[REQUEST_MAX];
    size_t len;
};

/* ---- What has answered. ---- */

static bool is_over(const struct siptry *s)
{
    for (size_t i = 0; i < WAYS_N; i++) {
        if (s->way[i].pending)
            return false;
    }
    return true;
}

static void tell(struct siptry *s)
{
    struct trial *t = s->trial;

    for (size_t i = 0; i < WAYS_N; i++) {
        if (s->way[i].answered)
            trial_too_wide(t, "sip/%s %u of %.100s answers from here, which no rule names", rules_protocol_name(WAYS[i].protocol),
                           (unsigned)WAYS[i].port, t->line->host);
    }
    trial_pass(t);
}

static void done(struct try *y, bool answered)
{
    y->pending = false;
    y->answered = answered;
    if (y->sip->awaited && is_over(y->sip))
        tell(y->sip);
}

/* ---- By TCP. ---- */

static void on_tcp(void *ctx, enum code code, int fd, const char *why)
{
    (void)why;
    if (code == CODE_NONE)
        close(fd);
    done(ctx, code == CODE_NONE);
}

/* ---- By UDP. ---- */

static struct addr own_address(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct addr a = {0};

    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        (void)addr_from_sockaddr(&a, (struct sockaddr *)&ss);
    return a;
}

/* RFC 3261 section 11.1: what may be asked at any time, and rings nowhere. */
static void write_request(struct siptry *s, const struct addr *to)
{
    struct addr own = own_address(s->fd);
    char us[ADDR_TEXT_MAX], them[ADDR_TEXT_MAX], id[2 * RANDOM + 1];
    uint8_t bytes[RANDOM];
    int n;

    random_bytes(bytes, sizeof(bytes));
    hex_encode(id, bytes, sizeof(bytes));
    addr_text(&own, us);
    addr_text(to, them);
    n = snprintf(
        s->request, sizeof(s->request),
        "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
        "From: <sip:turnpike-probe@%s>;tag=%s\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        them, us, id, us, id, them, id);
    s->len = (size_t)n;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct siptry *s = ctx;

    (void)fd;
    (void)what;
    if (s->tries++ < TRIES) {
        (void)send(s->fd, s->request, s->len, MSG_DONTWAIT); /* an error is no answer */
    } else {
        event_del(&s->tick);
        done(&s->way[0], false);
    }
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    static const char VERSION[] = "SIP/2.0 ";
    struct siptry *s = ctx;
    char buf[ANSWER_MAX];

    (void)what;
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n < 0)
            return; /* or refused, which is no answer */
        if (n < (ssize_t)strlen(VERSION) || memcmp(buf, VERSION, strlen(VERSION)) != 0)
            continue;
        event_del(&s->io);
        event_del(&s->tick);
        done(&s->way[0], true);
        return;
    }
}

static void begin_udp(struct siptry *s, const struct addr *to)
{
    unsigned ms = trial_ms(s->trial, RETRY_SLOW_MS, RETRY_QUICK_MS);
    const struct timeval interval = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);

    s->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    event_assign(&s->io, s->trial->probe->base, s->fd, EV_READ | EV_PERSIST, on_io, s);
    event_assign(&s->tick, s->trial->probe->base, -1, EV_PERSIST, on_tick, s);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&ss, len))
        return;
    write_request(s, to);
    s->way[0].pending = true;
    event_add(&s->io, NULL);
    event_add(&s->tick, &interval);
    event_active(&s->tick, EV_TIMEOUT, 0);
}

/* ---- Whether to. ---- */

/* Does a rule of this place name it? */
static bool is_named(const struct trial *t, enum rules_protocol protocol, uint16_t port)
{
    const struct probe_config *c = t->probe->config;
    char host[RULES_HOST_MAX];
    uint16_t at;

    for (size_t i = 0; i < c->rules->n; i++) {
        const struct rule *r = &c->rules->item[i];

        if (r->source == c->role && r->protocol == protocol && trial_destination(c, r, host, &at) && at == port &&
            strcmp(host, t->line->host) == 0)
            return true;
    }
    return false;
}

/* A rule from outside to a host of ours, whose address is looked up here and not at the proxy. */
static bool leads_to_us(const struct trial *t)
{
    return t->line->rule->source == RULES_BROWSER && t->line->rule->target != RULES_HOST && t->reach_host == t->line->host;
}

/* Once for a host: by the first of the rules that lead to it. */
static bool is_wanted(const struct trial *t)
{
    const struct trial *first = t->probe->trials;

    while (first != t && !(leads_to_us(first) && strcmp(first->line->host, t->line->host) == 0))
        first++;
    return first == t && leads_to_us(t);
}

/* ---- The steps. ---- */

static void begin_way(struct siptry *s, size_t i)
{
    const struct addr to = addr_with_port(&s->trial->line->address, WAYS[i].port);
    struct trial *t = s->trial;
    struct try *y = &s->way[i];

    y->sip = s;
    if (is_named(t, WAYS[i].protocol, WAYS[i].port))
        return;
    if (WAYS[i].protocol == RULES_UDP)
        begin_udp(s, &to);
    else
        y->pending = tcp_open(&y->tcp, t->probe->base, &to, trial_ms(t, TCP_SLOW_MS, TCP_QUICK_MS), on_tcp, y) == 0;
}

static void begin(struct trial *t)
{
    struct siptry *s = is_wanted(t) ? calloc(1, sizeof(*s)) : NULL;

    t->siptry = s;
    if (s) {
        s->trial = t;
        s->fd = -1;
        for (size_t i = 0; i < WAYS_N; i++)
            begin_way(s, i);
    }
    trial_pass(t);
}

static void begin_last(struct trial *t)
{
    if (!t->siptry) {
        trial_pass(t);
        return;
    }
    t->siptry->awaited = true;
    if (is_over(t->siptry))
        tell(t->siptry);
}

void siptry_free(struct siptry **s)
{
    struct siptry *sip = *s;

    *s = NULL;
    if (!sip)
        return;
    for (size_t i = 0; i < WAYS_N; i++)
        tcp_free(&sip->way[i].tcp);
    if (sip->fd >= 0) {
        event_del(&sip->io);
        event_del(&sip->tick);
        close(sip->fd);
    }
    free(sip);
}

const struct step SIPTRY_STEP = {REPORT_NAME, RULES_WEBSOCKET | RULES_HTTP | RULES_STUN | RULES_TURN, begin, NULL, NULL};
const struct step SIPTRY_END_STEP = {REPORT_STAGES, RULES_WEBSOCKET | RULES_HTTP | RULES_STUN | RULES_TURN, begin_last, NULL, NULL};
