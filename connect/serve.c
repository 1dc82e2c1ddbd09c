#include "connect/serve.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "connect/conn.h"
#include "connect/http.h"
#include "connect/page.h"
#include "connect/ws.h"

enum { DATE_MAX = 32 };

/* ---- Answers. ---- */

struct answer {
    int status;
    const char *type; /* media type of the body */
    const void *body;
    size_t len;
    bool lasts;         /* the body need not be copied */
    const char *fields; /* more of the head, in whole lines; NULL: none */
};

/* RFC 9110 section 5.6.7; names of days and months are English, whatever the locale. */
static const char *date(int64_t wall, char out[static DATE_MAX])
{
    static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = wall;
    struct tm tm;

    gmtime_r(&t, &tm);
    snprintf(out, DATE_MAX, "%s, %02u %s %04u %02u:%02u:%02u GMT", DAYS[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
             MONTHS[tm.tm_mon % 12], ((unsigned)tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100);
    return out;
}

/* What is not kept ends with this answer. */
static void answer(struct conn *c, const struct http_head *h, bool keep, const struct answer *a)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);
    char now[DATE_MAX];
    int err = evbuffer_add_printf(out,
                                  "HTTP/1.1 %d %s\r\n"
                                  "Date: %s\r\n"
                                  "X-Content-Type-Options: nosniff\r\n"
                                  "Referrer-Policy: no-referrer\r\n"
                                  "Cross-Origin-Resource-Policy: same-origin\r\n"
                                  "%s"
                                  "Connection: %s\r\n",
                                  a->status, http_reason(a->status), date(c->service->now.wall, now), a->fields ? a->fields : "",
                                  keep ? "keep-alive" : "close") < 0;

    if (a->status != 304)
        err |= evbuffer_add_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", a->type, a->len) < 0;
    err |= evbuffer_add(out, "\r\n", 2);
    if (a->status != 304 && !(h && h->head))
        err |= a->lasts ? evbuffer_add_reference(out, a->body, a->len, NULL, NULL) : evbuffer_add(out, a->body, a->len);
    c->since_ms = c->service->now.ms;
    c->answered = true;
    if (err)
        conn_cut(c);
    else if (!keep)
        conn_end(c);
}

static const char *fields_of(int status)
{
    return status == 405   ? "Cache-Control: no-store\r\nAllow: GET, HEAD\r\n"
           : status == 426 ? "Cache-Control: no-store\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           : "Cache-Control: no-store\r\n";
}

static void refuse(struct conn *c, const struct http_head *h, enum connect_refusal why, int status, const char *text)
{
    char body[256];
    int len = snprintf(body, sizeof(body), "%s\n", text);

    conn_refused(c->service, &c->from, why, text);
    answer(
        c, h, false,
        &(struct answer){
            .status = status, .type = "text/plain; charset=utf-8", .body = body, .len = (size_t)len, .fields = fields_of(status)});
}

/* ---- The page. ---- */

static struct page_service service_of(const struct service *s)
{
    return (struct page_service){.url = s->url, .tls = s->tls != NULL, .listen = &s->listen, .app = &s->app};
}

/* Where the service is; and the relay, which /check looks for also when the service, who tells it else, is out of reach. */
static void to_config(struct conn *c, const struct http_head *h)
{
    struct page_service s = service_of(c->service);
    char url[PAGE_URL_MAX], body[PAGE_URL_MAX + PAGE_STUN_MAX + 32];
    const char *stun = c->service->stun;
    int len;

    page_url(url, &s, &h->host);
    /* no quote and no backslash is in a URL that we take or make */
    len = snprintf(body, sizeof(body), "{\"connect\":\"%s\"%s%s%s}\n", url, *stun ? ",\"stun\":\"" : "", stun, *stun ? "\"" : "");
    answer(
        c, h, h->keep,
        &(struct answer){
            .status = 200, .type = "application/json", .body = body, .len = (size_t)len, .fields = "Cache-Control: no-store\r\n"});
}

/* False: there is no such file. */
static bool to_page(struct conn *c, const struct http_head *h)
{
    const struct page_file *f = page_find(&h->path);
    struct page_service s = service_of(c->service);
    char url[PAGE_URL_MAX], policy[PAGE_POLICY_MAX], fields[PAGE_POLICY_MAX + 512];

    if (!f)
        return false;
    page_url(url, &s, &h->host);
    page_policy(policy, url);
    snprintf(fields, sizeof(fields),
             "ETag: %s\r\n"
             "Cache-Control: no-cache\r\n"
             "Content-Security-Policy: %s\r\n"
             "Permissions-Policy: microphone=(self), speaker-selection=(self), autoplay=(self), camera=(), geolocation=()\r\n"
             "Cross-Origin-Opener-Policy: same-origin\r\n",
             f->tag, policy);
    answer(c, h, h->keep,
           &(struct answer){.status = page_is_known(f, &h->if_none_match) ? 304 : 200,
                            .type = f->type,
                            .body = f->data,
                            .len = f->len,
                            .lasts = true,
                            .fields = fields});
    return true;
}

/* ---- The way to a WebSocket. ---- */

/* A browser says whose page asks; what is no browser says nothing, and has nothing that a page could steal. */
static bool origin_ok(const struct conn *c, const struct http_head *h)
{
    struct page_service s = service_of(c->service);

    if (!h->origin.p)
        return true;
    for (size_t i = 0; i < c->service->norigins; i++)
        if (http_text_is_named(&h->origin, c->service->origins[i])) /* scheme and host have no case */
            return true;
    return page_is_own(&h->origin, &s, &h->host);
}

/* The head is taken out of the buffer before: what follows are frames. */
static void to_websocket(struct conn *c, struct http_head *h)
{
    char accept[HTTP_ACCEPT_LEN + 1], now[DATE_MAX];
    int err = http_may_upgrade(h);

    if (err) {
        refuse(c, h, CONNECT_REQUEST, h->status, h->why);
        return;
    }
    if (!origin_ok(c, h)) {
        refuse(c, h, CONNECT_ORIGIN, 403, "pages of this origin may not use the service: see connect-origin");
        return;
    }
    err = http_accept(accept, &h->key);
    evbuffer_drain(bufferevent_get_input(c->bev), h->len);
    if (err || evbuffer_add_printf(bufferevent_get_output(c->bev),
                                   "HTTP/1.1 101 Switching Protocols\r\n"
                                   "Date: %s\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: %s\r\n"
                                   "Sec-WebSocket-Protocol: " HTTP_PROTOCOL "\r\n\r\n",
                                   date(c->service->now.wall, now), accept) < 0)
        conn_cut(c);
    else
        ws_start(c);
}

/* ---- Requests. ---- */

static void route(struct conn *c, struct http_head *h)
{
    if (c->connects && http_text_is(&h->path, "/connect"))
        to_websocket(c, h);
    else if (c->app && http_text_is(&h->path, "/config.json"))
        to_config(c, h);
    else if (!c->app || !to_page(c, h))
        refuse(c, h, CONNECT_REQUEST, 404,
               c->app ? "there is no such page" : "the service is at /connect; the page has its own address, app-listen");
}

static void on_bytes(struct conn *c);
static void on_drained(struct conn *c);
static void on_tick(struct conn *c);
static void on_gone(struct conn *c)
{
    (void)c;
}
static const struct conn_ops HTTP = {on_bytes, on_drained, on_tick, on_gone};

static bool answers(const struct conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev)) > 0;
}

/* One request after the other: the next one waits until the answer is on its way, and what is behind that stays with the kernel. */
static void on_bytes(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);

    if (answers(c) && evbuffer_get_length(in) >= HTTP_HEAD_MAX)
        bufferevent_disable(c->bev, EV_READ);
    while (c->ops == &HTTP && !c->cut && evbuffer_get_length(in) && !answers(c)) {
        size_t n = evbuffer_get_length(in) < HTTP_HEAD_MAX ? evbuffer_get_length(in) : HTTP_HEAD_MAX;
        const char *text = (const char *)evbuffer_pullup(in, (ev_ssize_t)n);
        struct http_head h;
        int err = text ? http_read(&h, text, n) : ERR_NOMEM;

        if (err == ERR_AGAIN)
            return;
        if (err == ERR_MALFORMED) {
            refuse(c, &h, CONNECT_REQUEST, h.status, h.why);
        } else if (err) {
            conn_cut(c);
        } else {
            route(c, &h);
            if (c->ops == &HTTP)
                evbuffer_drain(in, h.len);
        }
    }
}

static void on_drained(struct conn *c)
{
    c->since_ms = c->service->now.ms;
    bufferevent_enable(c->bev, EV_READ);
    on_bytes(c);
}

static void on_tick(struct conn *c)
{
    uint64_t waited = c->service->now.ms - c->since_ms;

    if (answers(c)) {
        if (waited <= CONN_ANSWER_MS)
            return;
        conn_refused(c->service, &c->from, CONNECT_SLOW, "does not take an answer");
        conn_cut(c);
    } else if (waited > CONN_HEAD_MS) {
        if (!c->answered || evbuffer_get_length(bufferevent_get_input(c->bev)))
            conn_refused(c->service, &c->from, CONNECT_LATE, "no whole request in time");
        conn_cut(c);
    }
}

void serve_start(struct conn *c)
{
    conn_hand(c, &HTTP, NULL);
    on_bytes(c);
}

void serve_no_tls(struct conn *c)
{
    conn_hand(c, &HTTP, NULL);
    refuse(c, NULL, CONNECT_CLASS, 400, "TLS is spoken on this port: https and wss");
}
