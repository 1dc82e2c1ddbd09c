#include "bridge/leg.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/random.h"

/* One of the two sockets, and its other end. */
struct side {
    struct leg *leg;
    int fd;
    struct event event;
    struct addr said; /* by the description */
    struct addr peer; /* where we send: as said, then where packets come from */
    bool latched;
};

struct leg {
    struct side rtp, rtcp;
    struct addr address;
    bool mux;
    leg_packet_cb *cb;
    void *ctx;
    uint64_t strangers;
};

/* ---- in ---- */
/* Until something has come, any port of the IP that was said may be the PBX's; afterwards the one that it came from alone. */
static bool is_peer(struct side *s, const struct addr *from)
{
    if (s->latched)
        return addr_equal(&s->peer, from);
    if (s->said.family == ADDR_NONE || !addr_same_ip(&s->said, from))
        return false;
    s->peer = *from;
    s->latched = true;
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    /* The thread's one buffer: a packet is done with before the next is read. */
    static _Alignas(8) uint8_t buf[LEG_PACKET_MAX + LEG_ROOM];
    struct side *s = ctx;
    struct sockaddr_storage ss;
    struct addr from;

    (void)what;
    for (unsigned i = 0; i < LEG_BATCH; i++) {
        socklen_t ss_len = sizeof(ss);
        ssize_t n = recvfrom(fd, buf, LEG_PACKET_MAX, 0, (struct sockaddr *)&ss, &ss_len);
        if (n < 0 && errno != ECONNREFUSED && errno != EHOSTUNREACH) /* an ICMP error of before takes nothing away */
            return;
        if (n <= 0 || addr_from_sockaddr(&from, (struct sockaddr *)&ss))
            continue;
        if (is_peer(s, &from))
            s->leg->cb(s->leg->ctx, buf, (size_t)n);
        else
            s->leg->strangers++;
    }
}

/* ---- ports ---- */
static int bind_to(const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int tos = LEG_TOS, fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&ss, len)) {
        err = -errno;
        close(fd);
        return err;
    }
    /* A mark that can't be set is no reason not to talk. */
    if (to->family == ADDR_V6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
    else
        (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    return fd;
}

static int open_pair(struct leg *leg, const struct addr *ip, uint16_t port)
{
    struct addr a = addr_with_port(ip, port);
    int rtp = bind_to(&a), rtcp;

    if (rtp < 0)
        return rtp;
    leg->address = a;
    a.port++;
    rtcp = bind_to(&a);
    if (rtcp < 0) {
        close(rtp);
        return rtcp;
    }
    leg->rtp.fd = rtp;
    leg->rtcp.fd = rtcp;
    return 0;
}

static int open_any(struct leg *leg, const struct addr *ip, uint16_t min, uint16_t max)
{
    unsigned first = (min + 1U) & ~1U, pairs = max > first ? (max - first + 1) / 2 : 0, start;
    uint32_t random;
    int err = ERR_NOSPC;

    random_bytes(&random, sizeof(random));
    start = pairs ? random % pairs : 0;
    for (unsigned i = 0; i < pairs; i++) {
        err = open_pair(leg, ip, (uint16_t)(first + 2 * ((start + i) % pairs)));
        if (err != ERR_ADDRINUSE)
            return err;
    }
    return ERR_NOSPC;
}

static int watch(struct side *s, struct leg *leg, struct event_base *base)
{
    s->leg = leg;
    if (event_assign(&s->event, base, s->fd, EV_READ | EV_PERSIST, on_readable, s))
        return ERR_INVAL;
    return event_add(&s->event, NULL) ? ERR_NOMEM : 0;
}

int leg_new(struct leg **out, struct event_base *base, const struct addr *ip, uint16_t min, uint16_t max, leg_packet_cb *cb,
            void *ctx)
{
    struct leg *leg = calloc(1, sizeof(*leg));
    int err = ERR_NOMEM;

    if (!leg)
        goto out;
    leg->rtp.fd = leg->rtcp.fd = -1;
    leg->cb = cb;
    leg->ctx = ctx;
    err = open_any(leg, ip, min, max);
    err = err ? err : watch(&leg->rtp, leg, base);
    err = err ? err : watch(&leg->rtcp, leg, base);
out:
    if (err)
        leg_free(&leg);
    *out = leg;
    return err;
}

static void close_side(struct side *s)
{
    if (s->leg)
        event_del(&s->event);
    if (s->fd >= 0)
        close(s->fd);
}

void leg_free(struct leg **leg)
{
    if (!*leg)
        return;
    close_side(&(*leg)->rtp);
    close_side(&(*leg)->rtcp);
    free(*leg);
    *leg = NULL;
}

struct addr leg_address(const struct leg *leg)
{
    return leg->address;
}

/* ---- out ---- */
static void aim(struct side *s, const struct addr *said)
{
    if (addr_equal(&s->said, said))
        return;
    s->said = s->peer = *said;
    s->latched = false;
}

void leg_aim(struct leg *leg, const struct addr *rtp, const struct addr *rtcp, bool mux)
{
    aim(&leg->rtp, rtp);
    aim(&leg->rtcp, rtcp);
    leg->mux = mux;
}

static int send_to(const struct side *s, const uint8_t *buf, size_t len)
{
    struct sockaddr_storage ss;
    socklen_t ss_len = addr_to_sockaddr(&s->peer, &ss);

    if (ss_len == 0)
        return ERR_NOTCONN;
    return sendto(s->fd, buf, len, 0, (struct sockaddr *)&ss, ss_len) < 0 ? -errno : 0;
}

int leg_send(struct leg *leg, const uint8_t *buf, size_t len)
{
    return send_to(&leg->rtp, buf, len);
}

int leg_send_rtcp(struct leg *leg, const uint8_t *buf, size_t len)
{
    return send_to(leg->mux ? &leg->rtp : &leg->rtcp, buf, len);
}

uint64_t leg_strangers(const struct leg *leg)
{
    return leg->strangers;
}
