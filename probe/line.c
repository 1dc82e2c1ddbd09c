/* The third step of what goes by TCP: a way through the proxy, TLS with whom it should be with, and the answer to one request. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"
#include "connect/dial.h"
#include "connect/dialhead.h"
#include "probe/trial.h"

enum {
    SLOW_MS = 10000, /* for each of the three parts; a softphone waits as long for all of them */
    QUICK_MS = 4000,
    ISSUER_MAX = 120, /* bytes of an issuer's name and its NUL */
};

enum part { PROXY, TLS, ANSWER };

struct line {
    struct trial *trial;
    struct dialurl url;
    bool websocket;
    enum part part;
    struct bufferevent *bev;
    SSL *ssl; /* belongs to bev */
    uint64_t began_ms;
    char accept[DIAL_ACCEPT_MAX];
};

static void on_read(struct bufferevent *bev, void *ctx);
static void on_event(struct bufferevent *bev, short what, void *ctx);

static void close_bev(struct line *l)
{
    if (l->bev)
        bufferevent_free(l->bev);
    l->bev = NULL;
    l->ssl = NULL;
}

static void enter(struct line *l, enum part part)
{
    l->part = part;
    trial_wait(l->trial, trial_ms(l->trial, SLOW_MS, QUICK_MS));
}

static void watch(struct line *l)
{
    bufferevent_setcb(l->bev, on_read, NULL, on_event, l);
    bufferevent_enable(l->bev, EV_READ | EV_WRITE);
}

static void ask(struct line *l, const char *text, size_t len)
{
    if (bufferevent_write(l->bev, text, len))
        trial_broken(l->trial, ERR_NOMEM);
}

/* ---- TLS. ---- */

/* Whoever answers is let answer, and then looked at: a certificate that is refused during the handshake is not seen any more. */
static SSL *new_session(const struct line *l)
{
    SSL *ssl = dial_session(l->trial->probe->tls, l->url.host);

    if (ssl)
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    return ssl;
}

/* `fd` is taken over. */
static void begin_tls(struct line *l, int fd)
{
    l->ssl = fd < 0 ? NULL : new_session(l);
    if (l->ssl)
        l->bev =
            bufferevent_openssl_socket_new(l->trial->probe->base, fd, l->ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    if (!l->bev) {
        if (fd >= 0)
            close(fd);
        trial_broken(l->trial, fd < 0 ? ERR_MFILE : ERR_NOMEM);
        return;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(l->bev, 1);
    watch(l);
    enter(l, TLS);
}

static void issuer_of(const X509 *cert, char out[static ISSUER_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = -1;

    if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0, XN_FLAG_ONELINE & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0)
        n = BIO_read(bio, out, ISSUER_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    utf8_mask(out);
    BIO_free(bio);
}

/* Is it the service that has answered? */
static bool is_service(struct line *l)
{
    long verified = SSL_get_verify_result(l->ssl);
    X509 *cert = SSL_get0_peer_certificate(l->ssl);
    char issuer[ISSUER_MAX] = "nobody";

    if (cert && verified == X509_V_OK)
        return true;
    if (cert)
        issuer_of(cert, issuer);
    if (verified == X509_V_ERR_CERT_HAS_EXPIRED || verified == X509_V_ERR_CERT_NOT_YET_VALID)
        trial_fail(l->trial, CODE_TLS_FAILED, "the certificate is not valid at the time of this host's clock (%s); issued by '%s'",
                   X509_verify_cert_error_string(verified), issuer);
    else
        trial_fail(l->trial, CODE_TLS_INTERCEPTED, "the certificate is issued by '%s', and refused: %s", issuer,
                   X509_verify_cert_error_string(verified));
    return false;
}

static void ask_service(struct line *l)
{
    char key[DIAL_KEY_MAX], request[DIAL_REQUEST_MAX], authority[DIAL_AUTHORITY_MAX];
    int n;

    enter(l, ANSWER);
    if (l->websocket) {
        dialhead_key(key);
        if (dialhead_accept(l->accept, key))
            trial_broken(l->trial, ERR_CRYPTO);
        else
            ask(l, request, dialhead_upgrade(request, &l->url, key, DIALHEAD_PROTOCOL));
        return;
    }
    n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", l->url.path,
                 dialurl_authority(&l->url, true, authority));
    ask(l, request, (size_t)n);
}

/* ---- Answers. ---- */

/* What time it is at the service, if it says so. */
static void read_clock(struct probe *p, const char *head, size_t len)
{
    size_t n;
    const char *date = dialhead_field(head, len, "date", &n), *end;
    char text[40];
    struct tm tm = {0};

    if (!date || n >= sizeof(text))
        return;
    memcpy(text, date, n);
    text[n] = '\0';
    end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end)
        return;
    p->clock_known = true;
    p->clock_ahead_s = (int64_t)timegm(&tm) - clock_now().wall;
}

static void on_websocket(struct line *l, const char *head, size_t len, int status)
{
    const char *wrong = status == 101 ? dialhead_wrong(head, len, l->accept, DIALHEAD_PROTOCOL) : NULL;

    if (wrong)
        trial_fail(l->trial, CODE_WS_UPGRADE_STRIPPED, "%s", wrong);
    else if (status == 401 || status == 403 || status == 404 || status == 429 || status / 100 == 5) /* no proxy's way to strip it */
        trial_fail(l->trial, CODE_HTTP_REFUSED,
                   "%s answers %d instead of a WebSocket: is this the connect service, and does it run?", l->url.path, status);
    else if (status != 101)
        trial_fail(l->trial, CODE_WS_UPGRADE_STRIPPED, "TLS passes, but the request for a WebSocket is answered with %d", status);
    else
        trial_note(l->trial, "WebSocket 101 in %u ms", (unsigned)(clock_now().ms - l->began_ms));
}

static void on_page(struct line *l, int status)
{
    if (status < 200 || status > 399)
        trial_fail(l->trial, CODE_HTTP_REFUSED, "TLS passes, but the page is answered with %d", status);
    else
        trial_note(l->trial, "HTTP %d in %u ms", status, (unsigned)(clock_now().ms - l->began_ms));
}

static void on_answer(struct line *l, const char *head, size_t len, int status)
{
    if (status < 0) {
        trial_fail(l->trial, CODE_TLS_FAILED, "what answers behind TLS speaks no HTTP");
        return;
    }
    if (status == 407) {
        trial_fail(l->trial, CODE_PROXY_AUTH_REQUIRED, "a proxy on the way answers 407 (it wants a login)");
        return;
    }
    read_clock(l->trial->probe, head, len);
    if (l->websocket)
        on_websocket(l, head, len, status);
    else
        on_page(l, status);
    l->trial->line->measures.open_us = (uint32_t)(clock_now().ms - l->began_ms) * 1000;
    trial_pass(l->trial);
}

static void on_proxy(struct line *l, int status)
{
    int fd;

    if (status == 407) {
        trial_fail(l->trial, CODE_PROXY_AUTH_REQUIRED, "the proxy %s:%u answers 407 (it wants a login)", l->trial->reach_host,
                   (unsigned)l->trial->reach_port);
    } else if (status < 0) {
        trial_fail(l->trial, CODE_PROXY_REFUSED, "the proxy %s:%u speaks no HTTP", l->trial->reach_host,
                   (unsigned)l->trial->reach_port);
    } else if (status / 100 != 2) {
        trial_fail(l->trial, CODE_PROXY_REFUSED, "the proxy %s:%u answers CONNECT with %d", l->trial->reach_host,
                   (unsigned)l->trial->reach_port, status);
    } else {
        fd = fcntl(bufferevent_getfd(l->bev), F_DUPFD_CLOEXEC, 0); /* the plain bufferevent closes its own */
        close_bev(l);
        begin_tls(l, fd);
    }
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct line *l = ctx;
    struct evbuffer *in = bufferevent_get_input(bev);
    char head[DIAL_HEAD_MAX];
    ev_ssize_t n = evbuffer_copyout(in, head, sizeof(head));
    int len = dialhead_len(head, n > 0 ? (size_t)n : 0), status;

    if (len == 0 || l->trial->settled)
        return;
    status = len < 0 ? len : dialhead_status(head, (size_t)len);
    if (l->part == PROXY)
        on_proxy(l, status);
    else
        on_answer(l, head, (size_t)len, status);
}

/* ---- What goes wrong. ---- */

static void cut(struct line *l, const char *how)
{
    static const struct {
        enum code websocket, page;
        const char *what;
    } PARTS[] = {[PROXY] = {CODE_PROXY_REFUSED, CODE_PROXY_REFUSED, "CONNECT at the proxy"},
                 [TLS] = {CODE_TLS_FAILED, CODE_TLS_FAILED, "TLS's first message"},
                 [ANSWER] = {CODE_WS_UPGRADE_STRIPPED, CODE_HTTP_REFUSED, "the request"}};

    trial_fail(l->trial, l->websocket ? PARTS[l->part].websocket : PARTS[l->part].page, "%s after %s", how, PARTS[l->part].what);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct line *l = ctx;
    unsigned long error = l->ssl ? bufferevent_get_openssl_error(bev) : 0;
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    if (what & BEV_EVENT_CONNECTED) {
        if (is_service(l)) {
            trial_note(l->trial, "%s", SSL_version(l->ssl) == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2");
            ask_service(l);
        }
    } else if (reason && l->part == TLS) {
        trial_fail(l->trial, CODE_TLS_FAILED, "TLS fails: %s", reason);
    } else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        cut(l, what & BEV_EVENT_EOF ? "closed" : "reset");
    }
    ERR_clear_error();
}

static void late(struct trial *t)
{
    cut(t->state, "no answer");
}

/* ---- The step. ---- */

static void begin(struct trial *t)
{
    struct line *l = calloc(1, sizeof(*l));
    char request[DIAL_REQUEST_MAX];
    int fd = t->fd;

    t->fd = -1;
    t->state = l;
    if (!l) {
        close(fd);
        trial_broken(t, ERR_NOMEM);
        return;
    }
    l->trial = t;
    l->websocket = t->checks & RULES_WEBSOCKET;
    l->began_ms = clock_now().ms;
    l->url = (struct dialurl){.tls = true, .port = t->line->port};
    snprintf(l->url.host, sizeof(l->url.host), "%s", t->line->host);
    snprintf(l->url.path, sizeof(l->url.path), "%s", l->websocket ? "/connect" : "/");
    if (t->reach_host == t->line->host) {
        begin_tls(l, fd);
        return;
    }
    l->bev = bufferevent_socket_new(t->probe->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!l->bev) {
        close(fd);
        trial_broken(t, ERR_NOMEM);
        return;
    }
    watch(l);
    enter(l, PROXY);
    ask(l, request, dialhead_connect(request, &l->url));
}

static void end(struct trial *t)
{
    struct line *l = t->state;

    if (l)
        close_bev(l);
    free(l);
}

const struct step LINE_STEP = {REPORT_PROTOCOL, RULES_WEBSOCKET | RULES_HTTP, begin, late, end};
