#include "relay/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "relay/forward.h"
#include "relay/input.h"

enum {
    SLOT_BYTES = HEADROOM + DATAGRAM_MAX + TAILROOM,
    CONTROL_BYTES = 128, /* room for a packet info and a traffic class of either family */
};

/* Datagrams as recvmmsg leaves them; shared by all sockets of the worker, since each batch is done with before the next. */
struct inbox {
    struct mmsghdr msgs[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    struct sockaddr_storage from[UDP_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][CONTROL_BYTES];
    uint8_t (*slot)[SLOT_BYTES]; /* pages are touched as datagrams need them */
};

/* Answers that wait for the end of the pass. */
struct outbox {
    unsigned n;
    size_t used;
    struct mmsghdr msgs[UDP_SEND_BATCH];
    struct iovec iov[UDP_SEND_BATCH];
    struct sockaddr_storage to[UDP_SEND_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[UDP_SEND_BATCH][CONTROL_BYTES];
    uint8_t bytes[UDP_SEND_BYTES];
};

struct listener {
    struct udp *udp;
    unsigned index;
    int fd;
    struct addr bound;
    bool wildcard;
    struct event event;
    struct outbox out;
};

struct udp {
    struct worker *worker;
    struct inbox in;
    struct listener **listeners;
    unsigned nlisteners;
};

struct relay_socket {
    struct worker *worker;
    int fd;
    unsigned relay;
    uint16_t port;
    struct event event;
};

/* ---- Sockets. ---- */

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static int set_options(int fd, uint8_t family, bool listener, bool wildcard)
{
    if (listener) {
        if (set(fd, SOL_SOCKET, SO_REUSEPORT, 1))
            return -errno;
        /* More than the system's limit if we may, up to it if not. */
        if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_LISTENER_BUFFER))
            set(fd, SOL_SOCKET, SO_RCVBUF, UDP_LISTENER_BUFFER);
        if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_LISTENER_BUFFER))
            set(fd, SOL_SOCKET, SO_SNDBUF, UDP_LISTENER_BUFFER);
    }
    /* DF is 0 unless a client asks for it (C70). */
    if (family == ADDR_V4) {
        if (set(fd, IPPROTO_IP, IP_RECVTOS, 1) || set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT) ||
            (wildcard && set(fd, IPPROTO_IP, IP_PKTINFO, 1)))
            return -errno;
    } else {
        if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) || set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) ||
            set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT) ||
            (wildcard && set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)))
            return -errno;
    }
    return 0;
}

int udp_socket(const struct addr *bind_to, bool listener)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(bind_to, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int err;

    if (fd < 0)
        return -errno;
    err = set_options(fd, bind_to->family, listener, listener && addr_is_any(bind_to));
    if (!err && bind(fd, (struct sockaddr *)&sa, len))
        err = -errno;
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

/* ---- Ancillary data. ---- */

/* The traffic class, and (on a wildcard socket) the address that the datagram was sent to. */
static void read_control(struct msghdr *h, uint8_t *tos, struct addr *local)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            *tos = *CMSG_DATA(c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tclass;

            memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
            *tos = (uint8_t)tclass;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(local->ip, &info.ipi_spec_dst, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(local->ip, &info.ipi6_addr, 16);
        }
    }
}

static struct cmsghdr *put_control(struct msghdr *h, struct cmsghdr *at, int level, int type, const void *value, size_t len)
{
    struct cmsghdr *c = at ? CMSG_NXTHDR(h, at) : CMSG_FIRSTHDR(h);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), value, len);
    return c;
}

/* Asks for this source address (NULL: the socket's own) and traffic class. `h` has CONTROL_BYTES of control room, zeroed. */
static void write_control(struct msghdr *h, uint8_t family, const struct addr *source, uint8_t tos)
{
    struct cmsghdr *last = NULL;
    size_t used = 0;
    int tclass = tos;

    if (source && family == ADDR_V4) {
        struct in_pktinfo info = {0};

        memcpy(&info.ipi_spec_dst, source->ip, 4);
        last = put_control(h, last, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
        used += CMSG_SPACE(sizeof(info));
    } else if (source) {
        struct in6_pktinfo info = {0};

        memcpy(&info.ipi6_addr, source->ip, 16);
        last = put_control(h, last, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
        used += CMSG_SPACE(sizeof(info));
    }
    if (tos) {
        put_control(h, last, family == ADDR_V4 ? IPPROTO_IP : IPPROTO_IPV6, family == ADDR_V4 ? IP_TOS : IPV6_TCLASS, &tclass,
                    sizeof(tclass));
        used += CMSG_SPACE(sizeof(tclass));
    }
    h->msg_controllen = used;
    if (!used)
        h->msg_control = NULL;
}

/* ---- Receiving. ---- */

static int inbox_init(struct inbox *in)
{
    in->slot = malloc(UDP_BATCH * sizeof(*in->slot));
    if (!in->slot)
        return ERR_NOMEM;
    for (unsigned i = 0; i < UDP_BATCH; i++) {
        in->iov[i] = (struct iovec){.iov_base = in->slot[i] + HEADROOM, .iov_len = DATAGRAM_MAX};
        in->msgs[i].msg_hdr = (struct msghdr){.msg_name = &in->from[i], .msg_iov = &in->iov[i], .msg_iovlen = 1};
    }
    return 0;
}

static int receive(struct inbox *in, int fd, unsigned batch)
{
    for (unsigned i = 0; i < batch; i++) {
        in->msgs[i].msg_hdr.msg_namelen = sizeof(in->from[i]);
        in->msgs[i].msg_hdr.msg_control = in->control[i];
        in->msgs[i].msg_hdr.msg_controllen = CONTROL_BYTES;
    }
    return recvmmsg(fd, in->msgs, batch, MSG_DONTWAIT, NULL);
}

static void on_listener(evutil_socket_t fd, short what, void *ctx)
{
    struct listener *l = ctx;
    struct worker *w = l->udp->worker;
    struct inbox *in = &l->udp->in;
    int n = receive(in, fd, UDP_BATCH);

    (void)what;
    worker_time(w);
    for (int i = 0; i < n; i++) {
        struct path path = {.server = l->bound, .transport = TRANSPORT_UDP, .io = l->index};
        uint8_t tos = 0;

        if (addr_from_sockaddr(&path.client, (struct sockaddr *)&in->from[i]))
            continue;
        path.scope = addr_scope((struct sockaddr *)&in->from[i]);
        read_control(&in->msgs[i].msg_hdr, &tos, &path.server);
        input_datagram(&w->shard, &path, in->slot[i] + HEADROOM, in->msgs[i].msg_len, tos);
    }
}

static void on_relay(evutil_socket_t fd, short what, void *ctx)
{
    struct relay_socket *s = ctx;
    struct worker *w = s->worker;
    struct inbox *in = &w->udp->in;
    unsigned relay = s->relay;
    uint16_t port = s->port;
    int n = receive(in, fd, UDP_RELAY_BATCH);

    (void)what;
    worker_time(w);
    for (int i = 0; i < n; i++) {
        struct addr peer, unused;
        uint8_t tos = 0;

        if (addr_from_sockaddr(&peer, (struct sockaddr *)&in->from[i]))
            continue;
        read_control(&in->msgs[i].msg_hdr, &tos, &unused);
        forward_from_peer(&w->shard, relay, port, &peer, in->slot[i] + HEADROOM, in->msgs[i].msg_len, tos);
    }
}

/* ---- Sending to clients. ---- */

static void flush(struct listener *l)
{
    struct outbox *out = &l->out;
    unsigned done = 0;

    while (done < out->n) {
        int n = sendmmsg(l->fd, out->msgs + done, out->n - done, MSG_DONTWAIT);

        if (n > 0) {
            done += (unsigned)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else { /* this one can't be sent: full buffer, no route, too long (F11) */
            count(&l->udp->worker->counters, DROP_CLIENT_SEND);
            done++;
        }
    }
    out->n = 0;
    out->used = 0;
}

int udp_client_send(void *net, const struct path *to, const uint8_t *data, size_t len, uint8_t tos)
{
    struct worker *w = net;
    struct listener *l = w->udp->listeners[to->io];
    struct outbox *out = &l->out;
    struct msghdr *h;

    if (len > DATAGRAM_MAX)
        return ERR_MSGSIZE;
    if (out->n == UDP_SEND_BATCH || out->used + len > UDP_SEND_BYTES)
        flush(l);
    h = &out->msgs[out->n].msg_hdr;
    out->iov[out->n] = (struct iovec){.iov_base = out->bytes + out->used, .iov_len = len};
    memcpy(out->bytes + out->used, data, len);
    out->used += len;
    *h = (struct msghdr){.msg_name = &out->to[out->n], .msg_iov = &out->iov[out->n], .msg_iovlen = 1};
    h->msg_namelen = addr_to_sockaddr(&to->client, &out->to[out->n]);
    if (to->scope)
        addr_set_scope(&out->to[out->n], to->scope);
    if (l->wildcard || tos) {
        memset(out->control[out->n], 0, CONTROL_BYTES);
        h->msg_control = out->control[out->n];
        h->msg_controllen = CONTROL_BYTES;
        write_control(h, l->bound.family, l->wildcard ? &to->server : NULL, tos);
    }
    out->n++;
    return 0;
}

void udp_flush(struct udp *u)
{
    for (unsigned i = 0; i < u->nlisteners; i++)
        if (u->listeners[i]->out.n)
            flush(u->listeners[i]);
}

/* ---- Relay sockets. ---- */

static struct relay_socket *relay_socket_new(struct worker *w, int fd)
{
    struct relay_socket *s = calloc(1, sizeof(*s));

    if (s) {
        s->worker = w;
        s->fd = fd;
    } else {
        close(fd);
    }
    return s;
}

int udp_relay_open(void *net, const struct addr *local, struct relay_socket **out)
{
    int fd = udp_socket(local, false);

    if (fd < 0)
        return fd;
    *out = relay_socket_new(net, fd);
    return *out ? 0 : ERR_NOMEM;
}

int udp_relay_adopt(void *net, int fd, struct relay_socket **out)
{
    *out = relay_socket_new(net, fd);
    return *out ? 0 : ERR_NOMEM;
}

int udp_relay_start(void *net, struct relay_socket *s, unsigned relay, uint16_t port)
{
    struct worker *w = net;

    s->relay = relay;
    s->port = port;
    if (event_assign(&s->event, w->base, s->fd, EV_READ | EV_PERSIST, on_relay, s) || event_add(&s->event, NULL))
        return ERR_IO;
    return 0;
}

/* Nulls the pointer; the descriptor is the caller's. */
static int let_go(struct relay_socket **s)
{
    int fd = (*s)->fd;

    if (event_initialized(&(*s)->event))
        event_del(&(*s)->event);
    free(*s);
    *s = NULL;
    return fd;
}

int udp_relay_detach(void *net, struct relay_socket **s)
{
    (void)net;
    return let_go(s);
}

void udp_relay_close(void *net, struct relay_socket **s)
{
    (void)net;
    if (*s)
        close(let_go(s));
}

/* Path MTU discovery by the client (C70): DF for this one datagram, whatever the kernel believes of the path. */
static void set_df(int fd, uint8_t family, bool df)
{
    if (family == ADDR_V4)
        set(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
    else
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, df ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
}

int udp_relay_send(void *net, struct relay_socket *s, const struct addr *peer, const uint8_t *data, size_t len, uint8_t tos,
                   bool df)
{
    struct sockaddr_storage to;
    struct iovec iov = {.iov_base = (uint8_t *)(uintptr_t)data, .iov_len = len};
    struct msghdr h = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
    ssize_t n;

    (void)net;
    h.msg_namelen = addr_to_sockaddr(peer, &to);
    if (tos) {
        memset(control, 0, sizeof(control));
        h.msg_control = control;
        h.msg_controllen = sizeof(control);
        write_control(&h, peer->family, NULL, tos);
    }
    if (df)
        set_df(s->fd, peer->family, true);
    n = sendmsg(s->fd, &h, MSG_DONTWAIT);
    if (n < 0)
        n = -errno;
    if (df)
        set_df(s->fd, peer->family, false);
    return n < 0 ? (int)n : 0;
}

/* ---- Life. ---- */

int udp_new(struct udp **out, struct worker *w)
{
    struct udp *u = calloc(1, sizeof(*u));

    if (!u)
        return ERR_NOMEM;
    u->worker = w;
    if (inbox_init(&u->in)) {
        free(u);
        return ERR_NOMEM;
    }
    *out = u;
    return 0;
}

void udp_free(struct udp **up)
{
    struct udp *u = *up;

    *up = NULL;
    if (!u)
        return;
    udp_flush(u);
    for (unsigned i = 0; i < u->nlisteners; i++) {
        event_del(&u->listeners[i]->event);
        close(u->listeners[i]->fd);
        free(u->listeners[i]);
    }
    free(u->listeners);
    free(u->in.slot);
    free(u);
}

int udp_listen(struct udp *u, int fd, const struct addr *bound)
{
    struct listener **more = realloc(u->listeners, (u->nlisteners + 1) * sizeof(struct listener *));
    struct listener *l = more ? calloc(1, sizeof(*l)) : NULL;

    if (more)
        u->listeners = more;
    if (!l) {
        close(fd);
        return ERR_NOMEM;
    }
    l->udp = u;
    l->index = u->nlisteners;
    l->fd = fd;
    l->bound = *bound;
    l->wildcard = addr_is_any(bound);
    if (event_assign(&l->event, u->worker->base, fd, EV_READ | EV_PERSIST, on_listener, l) || event_add(&l->event, NULL)) {
        close(fd);
        free(l);
        return ERR_IO;
    }
    u->listeners[u->nlisteners++] = l;
    return 0;
}
