#include "connect/conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

enum { SOURCES_SLOTS = 256 };

/* ---- Sources: how many strangers each has. ---- */

/* An IPv4 address, an IPv6 /64. */
struct source {
    struct map_node node;
    struct addr net;
    unsigned strangers;
};

/* The socket for both families tells an IPv4 address as a mapped one: as an IPv6 /64, all of them would be one source. */
static struct addr net_of(const struct addr *a)
{
    static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    struct addr net = {.family = a->family};

    if (a->family == ADDR_V6 && memcmp(a->ip, MAPPED, sizeof(MAPPED)) == 0) {
        net.family = ADDR_V4;
        memcpy(net.ip, a->ip + sizeof(MAPPED), 4);
    } else {
        memcpy(net.ip, a->ip, a->family == ADDR_V6 ? 8 : 4);
    }
    return net;
}

static struct source *find(const struct map *m, const struct addr *net, uint64_t hash)
{
    for (struct map_node *n = map_first(m, hash); n; n = map_next(n)) {
        struct source *s = (struct source *)((char *)n - offsetof(struct source, node));

        if (addr_same_ip(&s->net, net))
            return s;
    }
    return NULL;
}

/* ERR_NOSPC: it has as many as it may have. */
static int source_take(struct source **out, struct map *m, const struct addr *from)
{
    struct addr net = net_of(from);
    uint64_t hash = map_hash(m, net.ip, addr_ip_len(&net));
    struct source *s = find(m, &net, hash);

    if (s && s->strangers >= CONN_SOURCE_MAX)
        return ERR_NOSPC;
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s)
            return ERR_NOMEM;
        s->net = net;
        map_insert(m, &s->node, hash);
    }
    s->strangers++;
    *out = s;
    return 0;
}

static void source_give(struct map *m, struct source *s)
{
    if (--s->strangers)
        return;
    map_remove(m, &s->node);
    free(s);
}

/* ---- Refusals. ---- */

const char *connect_refusal_name(enum connect_refusal refusal)
{
    static const char *const NAMES[CONNECT_REFUSALS] = {
        [CONNECT_FULL] = "full",   [CONNECT_SOURCE] = "source", [CONNECT_TURN] = "turn",       [CONNECT_CLASS] = "class",
        [CONNECT_TLS] = "tls",     [CONNECT_LATE] = "late",     [CONNECT_REQUEST] = "request", [CONNECT_ORIGIN] = "origin",
        [CONNECT_FRAME] = "frame", [CONNECT_SLOW] = "slow",
    };

    return NAMES[refusal];
}

void conn_refused(struct service *s, const struct addr *from, enum connect_refusal why, const char *text)
{
    atomic_fetch_add_explicit(&s->refused[why], 1, memory_order_relaxed);
    if (rate_take(&s->log, 1, s->now.ms))
        LOG(LOG_INFO, "connect_refused", LOG_STR("reason", connect_refusal_name(why)), LOG_ADDR("client", from),
            LOG_STR("text", text));
}

/* ---- Its end. ---- */

static void none(struct conn *c)
{
    (void)c;
}

void conn_known(struct conn *c)
{
    if (!c->source)
        return;
    source_give(&c->service->conns.sources, c->source);
    c->source = NULL;
    TAILQ_REMOVE(&c->service->conns.strangers, c, stranger);
}

void conn_free(struct conn *c)
{
    struct service *s = c->service;

    c->ops->gone(c);
    conn_known(c);
    TAILQ_REMOVE(&s->conns.all, c, all);
    s->conns.n--;
    atomic_store_explicit(&s->connections, s->conns.n, memory_order_relaxed);
    if (event_initialized(&c->peek))
        event_del(&c->peek);
    if (c->bev)
        bufferevent_free(c->bev); /* with descriptor and TLS */
    else
        close(c->fd);
    ERR_clear_error();
    free(c);
}

void conn_cut(struct conn *c)
{
    c->cut = true;
    if (c->bev)
        bufferevent_disable(c->bev, EV_READ | EV_WRITE);
}

/* What still comes is thrown away: a descriptor that is closed with unread bytes takes back what was sent last. */
static void discard(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);

    evbuffer_drain(in, evbuffer_get_length(in));
}

static void say_goodbye(struct conn *c)
{
    if (c->ssl)
        SSL_shutdown(c->ssl); /* close_notify; there is room for it in the kernel, or it does not matter */
    ERR_clear_error();
    shutdown(c->fd, SHUT_WR);
}

static void end_late(struct conn *c)
{
    if (c->service->now.ms - c->since_ms > CONN_END_MS)
        c->cut = true;
}

static const struct conn_ops ENDING = {discard, say_goodbye, end_late, none};

void conn_end(struct conn *c)
{
    if (c->ops == &ENDING)
        return;
    conn_hand(c, &ENDING, NULL);
    c->since_ms = c->service->now.ms;
    bufferevent_enable(c->bev, EV_READ);
    discard(c);
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        say_goodbye(c);
}

/* ---- The loop's callbacks. ---- */

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct conn *c = ctx;

    (void)bev;
    c->service->now = clock_now();
    if (!c->cut)
        c->ops->readable(c);
    if (c->cut)
        conn_free(c);
}

static void on_write(struct bufferevent *bev, void *ctx)
{
    struct conn *c = ctx;

    c->service->now = clock_now();
    if (!c->cut && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        c->ops->drained(c);
    if (c->cut)
        conn_free(c);
}

static const char *tls_reason(struct bufferevent *bev)
{
    unsigned long error = bufferevent_get_openssl_error(bev);
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    return reason ? reason : "the connection ended in the handshake";
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct conn *c = ctx;

    c->service->now = clock_now();
    if (what & BEV_EVENT_CONNECTED)
        return; /* TLS: the first bytes decide */
    if (c->ssl && !SSL_is_init_finished(c->ssl))
        conn_refused(c->service, &c->from, CONNECT_TLS, tls_reason(bev));
    /* A client that has asked and closed its side is answered all the same; but nobody reads what a lost connection has to say. */
    if ((what & BEV_EVENT_EOF) && c->ops != &ENDING && evbuffer_get_length(bufferevent_get_output(bev)))
        conn_end(c);
    else
        conn_free(c);
}

/* ---- Its begin. ---- */

/* Others come first: whoever has been here for the longest without a word of who it is, goes. */
static bool make_room(struct service *s)
{
    struct conn *oldest = TAILQ_FIRST(&s->conns.strangers);

    if (s->conns.n < CONN_MAX)
        return true;
    if (!oldest)
        return false;
    conn_refused(s, &oldest->from, CONNECT_FULL, "others need the room");
    conn_free(oldest);
    return true;
}

static const struct conn_ops NEW = {none, none, none, none};

struct conn *conn_new(struct service *s, int fd, const struct addr *from)
{
    struct source *source = NULL;
    struct conn *c = NULL;
    int err = source_take(&source, &s->conns.sources, from);

    if (err == ERR_NOSPC)
        conn_refused(s, from, CONNECT_SOURCE, "too many connections without a hello");
    else if (err || !make_room(s) || !(c = calloc(1, sizeof(*c))))
        conn_refused(s, from, CONNECT_FULL, "as many connections as there may be");
    if (!c) {
        if (source)
            source_give(&s->conns.sources, source);
        close(fd);
        return NULL;
    }
    *c = (struct conn){.service = s, .ops = &NEW, .fd = fd, .from = *from, .source = source, .since_ms = s->now.ms};
    TAILQ_INSERT_TAIL(&s->conns.all, c, all);
    TAILQ_INSERT_TAIL(&s->conns.strangers, c, stranger);
    s->conns.n++;
    atomic_store_explicit(&s->connections, s->conns.n, memory_order_relaxed);
    return c;
}

int conn_open(struct conn *c, bool tls)
{
    const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;

    if (tls) {
        c->ssl = SSL_new(c->service->tls);
        c->bev =
            c->ssl ? bufferevent_openssl_socket_new(c->service->base, c->fd, c->ssl, BUFFEREVENT_SSL_ACCEPTING, options) : NULL;
    } else {
        c->bev = bufferevent_socket_new(c->service->base, c->fd, options);
    }
    if (!c->bev)
        return ERR_NOMEM; /* libevent has taken the session */
    if (tls)
        bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE) ? ERR_NOMEM : 0;
}

void conn_hand(struct conn *c, const struct conn_ops *ops, void *ctx)
{
    c->ops->gone(c);
    c->ops = ops;
    c->ctx = ctx;
}

/* ---- All of them. ---- */

int conns_init(struct conns *l)
{
    TAILQ_INIT(&l->all);
    TAILQ_INIT(&l->strangers);
    return map_init(&l->sources, SOURCES_SLOTS);
}

void conns_deinit(struct conns *l)
{
    struct conn *c;

    while ((c = TAILQ_FIRST(&l->all)))
        conn_free(c);
    map_deinit(&l->sources);
}

void conns_end(struct conns *l)
{
    struct conn *c;

    TAILQ_FOREACH(c, &l->all, all)
    if (c->bev && !c->cut)
        conn_end(c);
    else
        c->cut = true;
    conns_tick(l);
}

void conns_tick(struct conns *l)
{
    struct conn *c, *next;

    for (c = TAILQ_FIRST(&l->all); c; c = next) {
        if (!c->cut)
            c->ops->tick(c);
        next = TAILQ_NEXT(c, all);
        if (c->cut)
            conn_free(c);
    }
}
