#include "tests/unit/service.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <jansson.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "connect/dialhead.h"

enum { PEERS_MAX = 8 };

struct peer {
    struct bufferevent *bev;
    wslay_event_context_ptr ws;
    bool proxied;
};

struct service service;
static struct event_base *base;
static struct evconnlistener *listener;
static struct peer *peer; /* the last connection */
static struct peer peers[PEERS_MAX];
static unsigned npeers;

static ssize_t ws_recv(wslay_event_context_ptr ws, uint8_t *buf, size_t len, int flags, void *ctx)
{
    int n = evbuffer_remove(bufferevent_get_input(((struct peer *)ctx)->bev), buf, len);

    (void)flags;
    if (n > 0)
        return n;
    wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t ws_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags, void *ctx)
{
    (void)ws;
    (void)flags;
    bufferevent_write(((struct peer *)ctx)->bev, data, len);
    return (ssize_t)len;
}

static void say(struct peer *p, const char *text)
{
    struct wslay_event_msg msg = {.opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text, .msg_length = strlen(text)};

    wslay_event_queue_msg(p->ws, &msg);
    wslay_event_send(p->ws);
}

static void answer(struct peer *p, const json_t *id, const char *rest)
{
    char text[SERVICE_NOTE_MAX];

    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%lld,%s}", (long long)json_integer_value(id), rest);
    say(p, text);
}

static void ws_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *arg, void *ctx)
{
    struct peer *p = ctx;
    json_t *m = json_loadb((const char *)arg->msg, arg->msg_length, 0, NULL);
    const char *method = json_string_value(json_object_get(m, "method"));

    (void)ws;
    if (method && strcmp(method, "hello") == 0) {
        service.hellos++;
        snprintf(service.last_hello, sizeof(service.last_hello), "%.*s", (int)arg->msg_length, (const char *)arg->msg);
        if (service.resumed && json_object_get(json_object_get(m, "params"), "resume"))
            answer(p, json_object_get(m, "id"), service.resumed);
        else if (service.hello)
            answer(p, json_object_get(m, "id"), service.hello);
    } else if (method) {
        if (service.nheard < SERVICE_NOTES_MAX)
            snprintf(service.heard[service.nheard++], SERVICE_NOTE_MAX, "%.*s", (int)arg->msg_length, (const char *)arg->msg);
        if (service.answers && json_object_get(m, "id"))
            answer(p, json_object_get(m, "id"), "\"result\":{\"call\":\"c1\"}");
    }
    json_decref(m);
}

static void upgrade(struct peer *p, const char *head)
{
    static const struct wslay_event_callbacks CALLBACKS = {
        .recv_callback = ws_recv, .send_callback = ws_send, .on_msg_recv_callback = ws_message};
    const char *at = strstr(head, "Sec-WebSocket-Key: ");
    char key[DIAL_KEY_MAX] = "", accept[DIAL_ACCEPT_MAX], reply[SERVICE_NOTE_MAX];

    if (at)
        snprintf(key, sizeof(key), "%.24s", at + strlen("Sec-WebSocket-Key: "));
    if (dialhead_accept(accept, key))
        abort();
    if (service.bad_accept)
        accept[0] = accept[0] == 'A' ? 'B' : 'A';
    if (service.status)
        snprintf(reply, sizeof(reply), "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", service.status);
    else
        snprintf(reply, sizeof(reply),
                 "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                 "Sec-WebSocket-Protocol: %s\r\n\r\n",
                 accept, service.subprotocol ? service.subprotocol : "turnpike.connect.v1");
    bufferevent_write(p->bev, reply, strlen(reply));
    if (wslay_event_context_server_init(&p->ws, &CALLBACKS, p))
        abort();
}

static void on_bytes(struct bufferevent *bev, void *ctx);

static void open_bev(struct peer *p, int fd, bool tls)
{
    p->bev = tls ? bufferevent_openssl_socket_new(base, fd, SSL_new(service.tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
                 : bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(p->bev, on_bytes, NULL, NULL, p);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

static void on_bytes(struct bufferevent *bev, void *ctx)
{
    struct peer *p = ctx;
    struct evbuffer *in = bufferevent_get_input(bev);
    char head[DIAL_HEAD_MAX + 1];
    ev_ssize_t n;
    int len, fd = bufferevent_getfd(bev);

    if (p->ws) {
        wslay_event_recv(p->ws);
        wslay_event_send(p->ws);
        return;
    }
    n = evbuffer_copyout(in, head, sizeof(head) - 1);
    len = dialhead_len(head, n > 0 ? (size_t)n : 0);
    if (len <= 0)
        return;
    evbuffer_drain(in, (size_t)len);
    head[len] = '\0';
    if (service.garbage) {
        bufferevent_write(bev, "SSH-2.0-x\r\n\r\n", 13);
    } else if (service.proxy && !p->proxied) {
        char reply[64];
        snprintf(reply, sizeof(reply), "HTTP/1.0 %d X\r\n\r\n", service.proxy_status);
        snprintf(service.connect_head, sizeof(service.connect_head), "%.500s", head);
        if (write(fd, reply, strlen(reply)) < 0)
            abort();
        p->proxied = true;
        fd = dup(fd);
        bufferevent_free(p->bev);
        open_bev(p, fd, service.tls != NULL);
    } else {
        upgrade(p, head);
    }
}

static void let_go(struct peer *p)
{
    if (p->ws)
        wslay_event_context_free(p->ws);
    if (p->bev)
        bufferevent_free(p->bev);
    memset(p, 0, sizeof(*p));
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *ctx)
{
    (void)l;
    (void)sa;
    (void)len;
    (void)ctx;
    peer = &peers[npeers++ % PEERS_MAX];
    let_go(peer); /* the oldest, if there were more than PEERS_MAX */
    open_bev(peer, fd, service.tls && !service.proxy);
}

void service_cut(unsigned code)
{
    if (code) {
        wslay_event_queue_close(peer->ws, (uint16_t)code, NULL, 0);
        wslay_event_send(peer->ws);
        return;
    }
    shutdown(bufferevent_getfd(peer->bev), SHUT_RDWR);
    bufferevent_free(peer->bev);
    peer->bev = NULL;
}

void service_say(const char *text)
{
    say(peer, text);
}

void service_write(const void *bytes, size_t len)
{
    bufferevent_write(peer->bev, bytes, len);
}

bool service_listen(struct event_base *on, unsigned at)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)at)};
    socklen_t len = sizeof(sin);

    if (!at) {
        struct ssl_ctx_st *tls = service.tls;
        memset(&service, 0, sizeof(service));
        memset(peers, 0, sizeof(peers));
        service.tls = tls;
        npeers = 0;
        peer = NULL;
    }
    base = on;
    listener = evconnlistener_new_bind(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                       (struct sockaddr *)(void *)&sin, sizeof(sin));
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)(void *)&sin, &len))
        return false;
    service.port = ntohs(sin.sin_port);
    return true;
}

void service_deafen(void)
{
    if (listener)
        evconnlistener_free(listener);
    listener = NULL;
}

void service_close(void)
{
    service_deafen();
    for (unsigned i = 0; i < PEERS_MAX; i++)
        let_go(&peers[i]);
}

bool service_certificate(const char *name, const char *file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    FILE *f = fopen(file, "w");
    bool ok = key && subject && san && f && X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -60) && X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0) &&
              X509_set_issuer_name(cert, subject) && X509_set_pubkey(cert, key) && X509_add_ext(cert, san, -1) &&
              X509_sign(cert, key, EVP_sha256()) && PEM_write_X509(f, cert);

    if (f)
        fclose(f);
    service.tls = SSL_CTX_new(TLS_server_method());
    ok = ok && service.tls && SSL_CTX_use_certificate(service.tls, cert) == 1 && SSL_CTX_use_PrivateKey(service.tls, key) == 1;
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}
