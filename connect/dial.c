#include "connect/dial.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "connect/dialhead.h"
#include "connect/dialparts.h"

enum state { STARTING, LOOKING_UP, CONNECTING, PROXYING, SECURING, UPGRADING, OPEN, DOWN };

enum {
    OPEN_S = 10,        /* from the look-up to an open WebSocket */
    PING_MS = 10000,    /* silence after which we ask for a sign of life */
    SILENCE_MS = 25000, /* silence that ends it: below the 30 s for which the service keeps a session */
    TICK_S = 5,
};

/* A look-up outlives its connection: libevent may still hold it when the connection is gone. */
struct lookup {
    struct dial *dial; /* NULL: nobody waits any more */
};

struct dial {
    struct dial_config config;
    struct dial_events events;
    void *ctx;
    enum state state;
    struct bufferevent *bev;
    struct ssl_st *ssl; /* belongs to bev */
    struct dialframe *frame;
    struct lookup *lookup;
    struct event timer; /* starts; ends what takes too long */
    struct event tick;
    uint64_t heard_ms;
    bool pinged; /* nothing has come since our last ping */
    char accept[DIAL_ACCEPT_MAX];
    bool busy;   /* a callback runs: freeing waits until it has returned */
    bool doomed; /* freed while busy */
};

/* ---- The end. ---- */

static void release(struct dial *d)
{
    dialframe_free(&d->frame);
    free(d);
}

static void close_bev(struct dial *d)
{
    if (d->bev)
        bufferevent_free(d->bev); /* closes the descriptor, frees the session */
    d->bev = NULL;
    d->ssl = NULL;
}

/* Closes what is open; the struct stays. */
static void close_all(struct dial *d)
{
    d->state = DOWN;
    event_del(&d->timer);
    event_del(&d->tick);
    if (d->lookup)
        d->lookup->dial = NULL;
    d->lookup = NULL;
    if (d->frame)
        dialframe_stop(d->frame);
    close_bev(d);
}

/* Ends a callback of the loop's: whoever has freed it in between meant it. */
static void leave(struct dial *d)
{
    d->busy = false;
    if (d->doomed)
        release(d);
}

/* The struct stays until the callback of the loop's ends that this is called from. */
static void down(struct dial *d, const char *why, unsigned code)
{
    if (d->state == DOWN)
        return;
    close_all(d);
    d->events.down(d->ctx, why, code);
}

/* Sends what the socket takes at once: nobody waits for the rest. */
static void say_goodbye(struct dial *d)
{
    enum { LAST_MAX = 8192 };
    struct evbuffer *out = bufferevent_get_output(d->bev);
    char last[LAST_MAX];
    ev_ssize_t n;

    dialframe_close(d->frame);
    evbuffer_unfreeze(out, 1); /* a plain bufferevent lets nobody else read it */
    n = evbuffer_copyout(out, last, sizeof(last));
    if (n > 0 && d->ssl)
        (void)SSL_write(d->ssl, last, (int)n);
    else if (n > 0)
        (void)send(bufferevent_getfd(d->bev), last, (size_t)n, MSG_NOSIGNAL);
    ERR_clear_error();
}

void dial_free(struct dial **d)
{
    struct dial *dial = *d;

    *d = NULL;
    if (!dial)
        return;
    if (dial->state == OPEN)
        say_goodbye(dial);
    close_all(dial);
    dial->doomed = true;
    if (!dial->busy)
        release(dial);
}

static void fail(struct dial *d, const char *what, int number)
{
    char why[DIAL_WHY_MAX];

    snprintf(why, sizeof(why), "%s: %s", what, err_str(-number));
    down(d, why, 0);
}

/* ---- Heads. ---- */

static bool write_all(struct dial *d, const char *text, size_t len)
{
    if (bufferevent_write(d->bev, text, len) == 0)
        return true;
    down(d, "no memory", 0);
    return false;
}

static void upgrade(struct dial *d)
{
    char key[DIAL_KEY_MAX], request[DIAL_REQUEST_MAX];

    d->state = UPGRADING;
    dialhead_key(key);
    if (dialhead_accept(d->accept, key)) {
        down(d, "OpenSSL has no SHA-1, which a WebSocket needs", 0);
        return;
    }
    write_all(d, request, dialhead_upgrade(request, d->config.url, key, d->config.subprotocol));
}

static void on_read(struct bufferevent *bev, void *ctx);
static void on_event(struct bufferevent *bev, short what, void *ctx);

/* The way to the server is open: TLS on it, if there is any, then the WebSocket. */
static void secure(struct dial *d)
{
    int fd;

    if (!d->config.tls) {
        upgrade(d);
        return;
    }
    /* The plain bufferevent closes its own descriptor, some time later. */
    fd = fcntl(bufferevent_getfd(d->bev), F_DUPFD_CLOEXEC, 0);
    close_bev(d);
    d->state = SECURING;
    d->ssl = fd < 0 ? NULL : dial_session(d->config.tls, d->config.url->host);
    if (d->ssl)
        d->bev = bufferevent_openssl_socket_new(d->config.base, fd, d->ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    if (!d->bev) {
        if (fd >= 0)
            close(fd);
        down(d, "no memory, or no descriptor", 0);
        return;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(d->bev, 1);
    bufferevent_setcb(d->bev, on_read, NULL, on_event, d);
    bufferevent_enable(d->bev, EV_READ | EV_WRITE);
}

static void proxied(struct dial *d, int status)
{
    char why[DIAL_WHY_MAX];

    if (status / 100 == 2) {
        secure(d);
        return;
    }
    if (status == 407)
        snprintf(why, sizeof(why), "the proxy wants a login (407): let it pass this host to %.100s without one",
                 d->config.url->host);
    else
        snprintf(why, sizeof(why), "the proxy refuses the way to %.100s:%u (%d)", d->config.url->host,
                 (unsigned)d->config.url->port, status);
    down(d, why, 0);
}

static void on_frame_text(void *ctx, const char *text, size_t len)
{
    struct dial *d = ctx;

    if (d->state == OPEN)
        d->events.text(d->ctx, text, len);
}

static void upgraded(struct dial *d, const char *head, size_t len, int status)
{
    static const struct dialframe_events EVENTS = {on_frame_text};
    const char *wrong;
    char why[DIAL_WHY_MAX];

    if (status != 101) {
        snprintf(why, sizeof(why), "%.80s:%u answers %d instead of a WebSocket: is the URL (%.80s) right?", d->config.url->host,
                 (unsigned)d->config.url->port, status, d->config.url->path);
        down(d, why, 0);
        return;
    }
    if ((wrong = dialhead_wrong(head, len, d->accept, d->config.subprotocol)) != NULL) {
        down(d, wrong, 0);
        return;
    }
    if (dialframe_new(&d->frame, bufferevent_get_input(d->bev), bufferevent_get_output(d->bev), &EVENTS, d)) {
        down(d, "no memory", 0);
        return;
    }
    event_del(&d->timer);
    event_add(&d->tick, &(struct timeval){.tv_sec = TICK_S});
    d->state = OPEN;
    d->events.up(d->ctx);
}

static void read_head(struct dial *d)
{
    struct evbuffer *in = bufferevent_get_input(d->bev);
    char head[DIAL_HEAD_MAX];
    ev_ssize_t n = evbuffer_copyout(in, head, sizeof(head));
    int len = dialhead_len(head, n > 0 ? (size_t)n : 0), status;

    if (len == 0)
        return;
    status = len < 0 ? len : dialhead_status(head, (size_t)len);
    if (status < 0) {
        down(d,
             d->state == PROXYING ? "the proxy does not answer as one: is its address right?"
                                  : "the answer is no HTTP: does the connect service listen at this address?",
             0);
        return;
    }
    evbuffer_drain(in, (size_t)len);
    if (d->state == PROXYING)
        proxied(d, status);
    else
        upgraded(d, head, (size_t)len, status);
}

/* ---- Open. ---- */

/* What the close codes of the protocol mean to who reads it. */
static const char *meaning(unsigned code)
{
    static const struct {
        unsigned code;
        const char *text;
    } TABLE[] = {
        {1001, "the connect service stops"},
        {1008, "the connect service has closed: a limit"},
        {4001, "the connect service refuses the token: is it still valid?"},
        {4002, "the connect service has waited for our hello in vain"},
        {4003, "another connection has taken over our session"},
    };

    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        if (TABLE[i].code == code)
            return TABLE[i].text;
    }
    return "the connect service has closed the connection";
}

static void read_frames(struct dial *d)
{
    unsigned code;
    int err = dialframe_read(d->frame, &code);

    if (d->state != OPEN || !err)
        return;
    down(d, err == ERR_NOTCONN ? meaning(code) : "what came is not of the connect protocol", code);
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct dial *d = ctx;

    (void)bev;
    d->busy = true;
    d->heard_ms = clock_now().ms;
    d->pinged = false;
    if (d->state == PROXYING || d->state == UPGRADING)
        read_head(d);
    if (d->state == OPEN)
        read_frames(d);
    leave(d);
}

int dial_send(struct dial *d, const char *text, size_t len)
{
    if (d->state != OPEN)
        return ERR_NOTCONN;
    if (len > DIAL_MESSAGE_MAX)
        return ERR_MSGSIZE;
    if (evbuffer_get_length(bufferevent_get_output(d->bev)) + len > DIAL_QUEUE_MAX)
        return ERR_NOSPC;
    return dialframe_send(d->frame, text, len);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct dial *d = ctx;
    uint64_t silent = clock_now().ms - d->heard_ms;

    (void)fd;
    (void)what;
    d->busy = true;
    if (silent >= SILENCE_MS)
        down(d, "nothing has come from the connect service for 25 s: the way to it is cut", 0);
    else if (silent >= PING_MS && !d->pinged)
        d->pinged = dialframe_ping(d->frame) == 0;
    leave(d);
}

/* ---- Connecting. ---- */

static void connected(struct dial *d)
{
    char request[DIAL_REQUEST_MAX];

    bufferevent_enable(d->bev, EV_READ | EV_WRITE);
    if (!d->config.proxy) {
        secure(d);
        return;
    }
    d->state = PROXYING;
    write_all(d, request, dialhead_connect(request, d->config.url));
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct dial *d = ctx;
    bool busy = d->busy; /* a connection that fails at once says so within start() */
    int number = EVUTIL_SOCKET_ERROR();
    char why[DIAL_WHY_MAX];

    d->busy = true;
    if (what & BEV_EVENT_CONNECTED) {
        if (d->state == CONNECTING)
            connected(d);
        else
            upgrade(d);
    } else if (d->ssl && dialparts_tls_why(d->ssl, bufferevent_get_openssl_error(bev), why, sizeof(why))) {
        down(d, why, 0);
    } else if (what & BEV_EVENT_EOF) {
        down(d, d->state == OPEN ? "the connect service has closed the connection" : "closed by the other side before it was open",
             0);
    } else if (what & BEV_EVENT_ERROR) {
        fail(d,
             d->state == CONNECTING ? (d->config.proxy ? "the proxy can't be reached" : "the connect service can't be reached")
                                    : "the connection to the connect service is lost",
             number ? number : ECONNRESET);
    }
    if (!busy)
        leave(d);
}

static void connect_to(struct dial *d, const struct sockaddr *sa, socklen_t len)
{
    const int on = 1;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        fail(d, "no socket", errno);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    d->bev = bufferevent_socket_new(d->config.base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!d->bev) {
        close(fd);
        down(d, "no memory", 0);
        return;
    }
    d->state = CONNECTING;
    bufferevent_setcb(d->bev, on_read, NULL, on_event, d);
    if (bufferevent_socket_connect(d->bev, sa, (int)len) && d->state == CONNECTING)
        fail(d, "the connect service can't be reached", errno);
}

static void on_address(int result, struct evutil_addrinfo *list, void *ctx)
{
    struct lookup *l = ctx;
    struct dial *d = l->dial;
    struct evutil_addrinfo *a = list;
    char why[DIAL_WHY_MAX];
    unsigned n = 0;

    free(l);
    if (d) {
        bool busy = d->busy; /* within start() */
        d->busy = true;
        d->lookup = NULL;
        for (const struct evutil_addrinfo *i = list; i; i = i->ai_next)
            n++;
        for (unsigned skip = n ? d->config.attempt % n : 0; skip; skip--)
            a = a->ai_next;
        if (result || !a) {
            snprintf(why, sizeof(why), "the name %.100s can't be resolved: %s",
                     (d->config.proxy ? d->config.proxy : d->config.url)->host, evutil_gai_strerror(result));
            down(d, why, 0);
        } else {
            connect_to(d, a->ai_addr, (socklen_t)a->ai_addrlen);
        }
        if (!busy)
            leave(d);
    }
    if (list)
        evutil_freeaddrinfo(list);
}

static void look_up(struct dial *d, const struct dialurl *url)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *l = calloc(1, sizeof(*l));
    char port[sizeof("65535")];

    if (!l) {
        down(d, "no memory", 0);
        return;
    }
    d->state = LOOKING_UP;
    d->lookup = l;
    l->dial = d;
    snprintf(port, sizeof(port), "%u", (unsigned)url->port);
    /* What stands in /etc/hosts is answered before this returns. */
    evdns_getaddrinfo(d->config.dns, url->host, port, &hints, on_address, l);
}

static void start(struct dial *d)
{
    const struct dialurl *url = d->config.proxy ? d->config.proxy : d->config.url;
    struct sockaddr_storage ss;
    struct addr a;

    if (addr_parse_ip(&a, url->host)) {
        look_up(d, url);
    } else {
        a.port = url->port;
        socklen_t len = addr_to_sockaddr(&a, &ss);
        connect_to(d, (const struct sockaddr *)&ss, len);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    static const char *const LATE[] = {[STARTING] = "",
                                       [LOOKING_UP] = "no answer in 10 s about the name: does the name server answer?",
                                       [CONNECTING] = "no answer in 10 s to our connection: does the firewall let TCP out to it?",
                                       [PROXYING] = "the proxy has not answered in 10 s",
                                       [SECURING] = "no answer in 10 s to TLS's first message: does a firewall stop it?",
                                       [UPGRADING] = "no answer in 10 s to the request for a WebSocket",
                                       [OPEN] = "",
                                       [DOWN] = ""};
    struct dial *d = ctx;

    (void)fd;
    (void)what;
    d->busy = true;
    if (d->state == STARTING) {
        evtimer_add(&d->timer, &(struct timeval){.tv_sec = OPEN_S});
        start(d);
    } else {
        down(d, LATE[d->state], 0);
    }
    leave(d);
}

int dial_new(struct dial **out, const struct dial_config *config, const struct dial_events *events, void *ctx)
{
    struct dial *d = calloc(1, sizeof(*d));

    *out = NULL;
    if (!d)
        return ERR_NOMEM;
    d->config = *config;
    d->events = *events;
    d->ctx = ctx;
    evtimer_assign(&d->timer, config->base, on_timer, d);
    event_assign(&d->tick, config->base, -1, EV_PERSIST, on_tick, d);
    if (evtimer_add(&d->timer, &(struct timeval){0})) {
        free(d);
        return ERR_NOMEM;
    }
    *out = d;
    return 0;
}
