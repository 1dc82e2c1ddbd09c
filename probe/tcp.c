#include "probe/tcp.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

enum { LOOK_MS = 1500 }; /* the kernel has sent again by now: after a second (RFC 6298 section 2.1) */

struct tcp {
    int fd;
    unsigned limit_ms;
    bool looked;
    int failed; /* errno of connect(2) at once: a route that is missing, say */
    struct event io, timer;
    tcp_cb *cb;
    void *ctx;
};

void tcp_free(struct tcp **t)
{
    struct tcp *tcp = *t;

    *t = NULL;
    if (!tcp)
        return;
    event_del(&tcp->io);
    event_del(&tcp->timer);
    if (tcp->fd >= 0)
        close(tcp->fd);
    free(tcp);
}

static void arm(struct tcp *t, unsigned ms)
{
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    event_add(&t->timer, &tv);
}

static void done(struct tcp *t, enum code code, const char *why)
{
    int fd = t->fd;

    event_del(&t->io);
    event_del(&t->timer);
    if (code == CODE_NONE)
        t->fd = -1;
    t->cb(t->ctx, code, code == CODE_NONE ? fd : -1, why);
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    struct tcp *t = ctx;
    char why[FAULT_WHY_MAX] = "";
    enum code code = CODE_NONE;
    int error = t->failed;
    socklen_t len = sizeof(error);

    (void)what;
    if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error)
        code = fault_of(fd, error, why);
    done(t, code, why);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct tcp *t = ctx;
    char why[FAULT_WHY_MAX];

    (void)fd;
    (void)what;
    if (fault_dropped_here(t->fd)) {
        done(t, CODE_LOCAL_BLOCKED, "this host's own rules drop what it sends");
    } else if (!t->looked && t->limit_ms > LOOK_MS) {
        t->looked = true;
        arm(t, t->limit_ms - LOOK_MS);
    } else {
        snprintf(why, sizeof(why), "no answer in %u.%u s", t->limit_ms / 1000, t->limit_ms % 1000 / 100);
        done(t, CODE_TCP_TIMEOUT, why);
    }
}

int tcp_open(struct tcp **out, struct event_base *base, const struct addr *to, unsigned limit_ms, tcp_cb *cb, void *ctx)
{
    struct tcp *t = calloc(1, sizeof(*t));
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    const int on = 1;
    int err;

    *out = t;
    if (!t)
        return ERR_NOMEM;
    t->limit_ms = limit_ms;
    t->cb = cb;
    t->ctx = ctx;
    t->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    event_assign(&t->io, base, t->fd, EV_WRITE, on_ready, t);
    evtimer_assign(&t->timer, base, on_timer, t);
    if (t->fd < 0) {
        err = -errno;
        tcp_free(out);
        return err;
    }
    setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fault_watch(t->fd, ss.ss_family);
    event_add(&t->io, NULL);
    if (connect(t->fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS) {
        t->failed = errno;
        event_active(&t->io, EV_WRITE, 0);
    }
    arm(t, limit_ms < LOOK_MS ? limit_ms : LOOK_MS);
    return 0;
}
