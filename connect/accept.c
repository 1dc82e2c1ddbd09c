#include "connect/accept.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/conn.h"
#include "connect/serve.h"
#include "stun/names.h"

enum {
    BACKLOG = 512,        /* connections that wait: an office that comes back at once */
    BATCH = 64,           /* accepted in one pass, before others have their turn */
    TLS_HANDSHAKE = 0x16, /* first byte of a record, RFC 8446 section 5.1 */
};

struct acceptor {
    struct service *service;
    struct event event;
    int fd;
    bool connects, app;
    bool rests; /* there are no descriptors left: until the next tick */
};

/* ---- What a connection speaks. ---- */

/* A method's letters lie where ChannelData does; but no connection begins with that: there has to be an allocation first (RFC 8656 section 12.4). */
enum accept_class accept_classify(uint8_t first)
{
    if (first >= 'A' && first <= 'Z')
        return ACCEPT_HTTP;
    if (first == TLS_HANDSHAKE)
        return ACCEPT_TLS;
    switch (stun_classify(first)) {
    case STUN_KIND_MESSAGE:
    case STUN_KIND_CHANNEL:
        return ACCEPT_TURN;
    case STUN_KIND_DTLS: /* comes by UDP; as the first byte of a stream it is a TLS record, above */
    case STUN_KIND_OTHER:
        break;
    }
    return ACCEPT_OTHER;
}

static void refuse(struct conn *c, enum connect_refusal why, const char *text)
{
    conn_refused(c->service, &c->from, why, text);
    conn_cut(c);
}

static void none(struct conn *c)
{
    (void)c;
}

static void too_late(struct conn *c)
{
    if (c->service->now.ms - c->since_ms > CONN_HEAD_MS)
        refuse(c, CONNECT_LATE, c->bev ? "no handshake and request in time" : "not a byte in time");
}

static void hand_over(struct conn *c, uint8_t first);

/* Behind TLS the first byte decides once more. */
static void on_first(struct conn *c)
{
    uint8_t first;

    if (evbuffer_copyout(bufferevent_get_input(c->bev), &first, 1) == 1)
        hand_over(c, first);
}

static const struct conn_ops IN_TLS = {on_first, none, too_late, none}, WAITING = {none, none, too_late, none};

/* ---- To whom it goes: by class. ---- */

/* Whoever serves TURN here takes from the connection its descriptor, `ssl` (NULL: plain TCP) and what lies in the input buffer. Nobody does yet. */
static void to_turn(struct conn *c)
{
    refuse(c, CONNECT_TURN, "TURN is not served on this port: listening-port has it");
}

static void to_tls(struct conn *c)
{
    if (c->bev || !c->service->tls) {
        refuse(c, CONNECT_CLASS, c->bev ? "TLS in TLS" : "there is no TLS here: cert and pkey are not set");
        return;
    }
    conn_hand(c, &IN_TLS, NULL);
    if (conn_open(c, true))
        conn_cut(c);
}

static void to_http(struct conn *c)
{
    if (!c->bev && conn_open(c, false))
        conn_cut(c);
    else if (c->service->tls && !c->ssl)
        serve_no_tls(c);
    else
        serve_start(c);
}

static void to_nobody(struct conn *c)
{
    refuse(c, CONNECT_CLASS, "neither HTTP nor TLS");
}

static void hand_over(struct conn *c, uint8_t first)
{
    static void (*const TO[ACCEPT_CLASSES])(struct conn * c) = {
        [ACCEPT_TURN] = to_turn, [ACCEPT_TLS] = to_tls, [ACCEPT_HTTP] = to_http, [ACCEPT_OTHER] = to_nobody};

    TO[accept_classify(first)](c);
}

/* ---- Accepting. ---- */

static void on_peek(evutil_socket_t fd, short what, void *ctx)
{
    struct conn *c = ctx;
    uint8_t first;
    ssize_t n = recv(fd, &first, 1, MSG_PEEK);

    (void)what;
    c->service->now = clock_now();
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && event_add(&c->peek, NULL) == 0)
        return;
    if (n == 1)
        hand_over(c, first);
    if (n != 1 || c->cut)
        conn_free(c);
}

static void begin(struct acceptor *a, int fd, const struct addr *from)
{
    struct conn *c = conn_new(a->service, fd, from);
    int on = 1;

    if (!c)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->connects = a->connects;
    c->app = a->app;
    conn_hand(c, &WAITING, NULL);
    if (event_assign(&c->peek, a->service->base, fd, EV_READ, on_peek, c) || event_add(&c->peek, NULL))
        conn_free(c);
}

static void on_accept(evutil_socket_t listener, short what, void *ctx)
{
    struct acceptor *a = ctx;

    (void)what;
    a->service->now = clock_now();
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        int fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct addr from;

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                LOG(LOG_WARNING, "connect_accept_rests", LOG_ERR("reason", -errno));
                a->rests = event_del(&a->event) == 0;
            }
            return;
        }
        if (addr_from_sockaddr(&from, (struct sockaddr *)&sa)) {
            close(fd);
            continue;
        }
        from = addr_unmapped(&from); /* or all of IPv4 would be one /64 to whoever counts by source */
        begin(a, fd, &from);
    }
}

/* ---- Life. ---- */

int accept_bind(int *out, struct addr *a, const char *key, char *text, size_t cap)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(a, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, err = 0;
    char where[ADDR_TEXT_MAX];

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&sa, len) ||
        listen(fd, BACKLOG))
        err = -errno;
    len = sizeof(sa);
    if (!err && getsockname(fd, (struct sockaddr *)&sa, &len))
        err = -errno;
    if (!err)
        err = addr_from_sockaddr(a, (struct sockaddr *)&sa);
    if (err) {
        snprintf(text, cap, "%s=%s: %s%s", key, addr_text(a, where), err_str(err),
                 err == ERR_ADDRINUSE    ? " (another server is there: take another port)"
                 : err == -EADDRNOTAVAIL ? " (not an address of this host: see `ip addr`)"
                 : err == ERR_ACCES      ? " (a port below 1024 needs CAP_NET_BIND_SERVICE, which the systemd unit gives)"
                                         : "");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    *out = fd;
    return err;
}

int accept_new(struct acceptor **out, struct service *s, int fd, bool connects, bool app)
{
    struct acceptor *a = calloc(1, sizeof(*a));

    *out = NULL;
    if (!a) {
        close(fd);
        return ERR_NOMEM;
    }
    *a = (struct acceptor){.service = s, .fd = fd, .connects = connects, .app = app};
    if (event_assign(&a->event, s->base, fd, EV_READ | EV_PERSIST, on_accept, a) || event_add(&a->event, NULL)) {
        accept_free(&a);
        return ERR_NOMEM;
    }
    *out = a;
    return 0;
}

void accept_free(struct acceptor **ap)
{
    struct acceptor *a = *ap;

    *ap = NULL;
    if (!a)
        return;
    if (event_initialized(&a->event))
        event_del(&a->event);
    close(a->fd);
    free(a);
}

void accept_tick(struct acceptor *a)
{
    if (a && a->rests)
        a->rests = event_add(&a->event, NULL) != 0;
}
