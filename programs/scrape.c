#include "programs/scrape.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "admin/metric.h"
#include "base/err.h"
#include "connect/http.h"

enum {
    REQUEST_S = 10, /* from the connection to the end of its answer, however slowly it is taken */
    PAUSE_S = 1,    /* without descriptors: until accept is tried again */
    BACKLOG = 64,   /* connections that wait in the kernel */
};

struct connection {
    LIST_ENTRY(connection) link;
    struct scrape *scrape;
    struct bufferevent *bev;
    struct event deadline;
};

struct scrape {
    struct event_base *base;
    struct evconnlistener *listener;
    struct event pause;
    LIST_HEAD(, connection) connections;
    unsigned n;
    scrape_cb *cb;
    void *ctx;
    struct addr address;
};

static void drop(struct connection *c)
{
    struct scrape *s = c->scrape;

    LIST_REMOVE(c, link);
    event_del(&c->deadline);
    bufferevent_free(c->bev);
    free(c);
    s->n--;
    if (!evtimer_pending(&s->pause, NULL))
        evconnlistener_enable(s->listener);
}

/* ---- One request. ---- */

/* The answer has gone out. */
static void on_sent(struct bufferevent *bev, void *ctx)
{
    (void)bev;
    drop(ctx);
}

static void on_gone(struct bufferevent *bev, short what, void *ctx)
{
    (void)bev;
    (void)what;
    drop(ctx);
}

/* `text` may be NULL. */
static void answer(struct connection *c, int status, const char *type, const char *text, size_t len, bool head)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);

    bufferevent_disable(c->bev, EV_READ);
    bufferevent_setcb(c->bev, NULL, on_sent, on_gone, c);
    if (evbuffer_add_printf(out,
                            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
                            "Connection: close\r\n\r\n",
                            status, http_reason(status), type, len) < 0 ||
        (text && !head && evbuffer_add(out, text, len)))
        evtimer_add(&c->deadline, &(struct timeval){0});
}

static void serve(struct connection *c, const struct http_head *h, const char *bytes)
{
    bool open = memmem(bytes, h->len, "application/openmetrics-text", strlen("application/openmetrics-text")) != NULL;
    size_t len = 0;
    char *text;

    if (!http_text_is(&h->path, "/metrics")) {
        answer(c, 404, "text/plain", NULL, 0, h->head);
        return;
    }
    text = c->scrape->cb(c->scrape->ctx, open, &len);
    if (text)
        answer(c, 200, metric_type_name(open), text, len, h->head);
    else
        answer(c, 503, "text/plain", NULL, 0, h->head);
    free(text);
}

static void on_readable(struct bufferevent *bev, void *ctx)
{
    struct connection *c = ctx;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(in);
    const unsigned char *bytes = evbuffer_pullup(in, -1);
    struct http_head h;
    int err = bytes ? http_read(&h, (const char *)bytes, len) : ERR_AGAIN;

    if (err == 0)
        serve(c, &h, (const char *)bytes);
    else if (err != ERR_AGAIN)
        answer(c, h.status, "text/plain", NULL, 0, false);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    drop(ctx);
}

/* ---- Connections. ---- */

static void on_accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len, void *ctx)
{
    struct scrape *s = ctx;
    struct connection *c = calloc(1, sizeof(*c));
    struct bufferevent *bev = c ? bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;

    (void)sa;
    (void)len;
    if (!bev) {
        evutil_closesocket(fd);
        free(c);
        return;
    }
    c->scrape = s;
    c->bev = bev;
    LIST_INSERT_HEAD(&s->connections, c, link);
    if (++s->n == SCRAPE_CONNECTIONS_MAX)
        evconnlistener_disable(listener);
    bufferevent_setcb(bev, on_readable, NULL, on_gone, c);
    bufferevent_setwatermark(bev, EV_READ, 0, HTTP_HEAD_MAX + 1);
    evtimer_assign(&c->deadline, s->base, on_deadline, c);
    if (evtimer_add(&c->deadline, &(struct timeval){.tv_sec = REQUEST_S}) || bufferevent_enable(bev, EV_READ))
        drop(c);
}

/* Out of descriptors: what waits would wake the loop for ever. */
static void on_error(struct evconnlistener *listener, void *ctx)
{
    struct scrape *s = ctx;

    evconnlistener_disable(listener);
    evtimer_add(&s->pause, &(struct timeval){.tv_sec = PAUSE_S});
}

static void on_pause_over(evutil_socket_t fd, short what, void *ctx)
{
    struct scrape *s = ctx;

    (void)fd;
    (void)what;
    if (s->n < SCRAPE_CONNECTIONS_MAX)
        evconnlistener_enable(s->listener);
}

static int listen_on(struct scrape *s, const struct addr *listen)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(listen, &ss);

    errno = 0;
    s->listener =
        evconnlistener_new_bind(s->base, on_accepted, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
                                (struct sockaddr *)(void *)&ss, (int)len);
    if (!s->listener)
        return errno ? -errno : ERR_IO;
    evconnlistener_set_error_cb(s->listener, on_error);
    len = sizeof(ss);
    if (getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)(void *)&ss, &len))
        return -errno;
    return addr_from_sockaddr(&s->address, (const struct sockaddr *)(const void *)&ss);
}

int scrape_new(struct scrape **out, struct event_base *base, const struct addr *listen, scrape_cb *cb, void *ctx)
{
    struct scrape *s = calloc(1, sizeof(*s));
    int err;

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->base = base;
    s->cb = cb;
    s->ctx = ctx;
    LIST_INIT(&s->connections);
    evtimer_assign(&s->pause, base, on_pause_over, s);
    err = listen_on(s, listen);
    if (err)
        scrape_free(&s);
    *out = s;
    return err;
}

void scrape_free(struct scrape **s)
{
    if (!*s)
        return;
    event_del(&(*s)->pause);
    for (struct connection *c = LIST_FIRST(&(*s)->connections), *next; c; c = next) {
        next = LIST_NEXT(c, link);
        drop(c);
    }
    if ((*s)->listener)
        evconnlistener_free((*s)->listener);
    free(*s);
    *s = NULL;
}

struct addr scrape_address(const struct scrape *s)
{
    return s->address;
}
