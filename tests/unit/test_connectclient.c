/* The client of the connect service against a service that does what its script says, on loopback and on the same loop. */
#include "tests/unit/tap.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/err.h"
#include "connect/client.h"
#include "connect/dialhead.h"

enum { PATIENCE_S = 20, CLIENTS_MAX = 8, NOTES_MAX = 32, NOTE_MAX = 512 };

/* What the service does with the next connections. */
static struct {
    bool proxy; /* is a proxy first: answers CONNECT by `proxy_status` */
    int proxy_status;
    int status; /* instead of the upgrade; 0: upgrade */
    bool bad_accept;
    bool garbage;        /* answers with no HTTP at all */
    const char *hello;   /* the answer's members behind the id */
    const char *resumed; /* the same to a hello with `resume`; NULL: as hello */
    bool answers;        /* other requests are answered */
} script;

static struct event_base *base;
static struct evconnlistener *listener;
static SSL_CTX *service_tls; /* NULL: plain */
static unsigned port;
static char ca_file[] = "/tmp/test_connectclient.XXXXXX";

struct peer {
    struct bufferevent *bev;
    wslay_event_context_ptr ws;
    bool proxied;
};
static struct peer *peer; /* the last connection */
static struct peer peers[CLIENTS_MAX];
static unsigned npeers, hellos;
static char heard[NOTES_MAX][NOTE_MAX]; /* what clients have sent, but their hello */
static unsigned nheard;
static char last_hello[NOTE_MAX], connect_head[NOTE_MAX];

static struct connect_client *client;
static unsigned ups, downs, resumes, losses, messages, answers, voids;
static char why[CONNECT_CLIENT_TEXT_MAX], message[NOTE_MAX];

#define SESSION "\"result\":{\"session\":\"s1\",\"secret\":\"x1\",\"tenant\":\"t\",\"user\":\"u\",\"resume_s\":%d,\"calls\":[]}"

/* ---- The service. ---- */

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
    char text[NOTE_MAX];

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
        hellos++;
        snprintf(last_hello, sizeof(last_hello), "%.*s", (int)arg->msg_length, (const char *)arg->msg);
        if (script.resumed && json_object_get(json_object_get(m, "params"), "resume"))
            answer(p, json_object_get(m, "id"), script.resumed);
        else if (script.hello)
            answer(p, json_object_get(m, "id"), script.hello);
    } else if (method) {
        if (nheard < NOTES_MAX)
            snprintf(heard[nheard++], NOTE_MAX, "%.*s", (int)arg->msg_length, (const char *)arg->msg);
        if (script.answers && json_object_get(m, "id"))
            answer(p, json_object_get(m, "id"), "\"result\":{\"call\":\"c1\"}");
    }
    json_decref(m);
}

static void upgrade(struct peer *p, const char *head)
{
    static const struct wslay_event_callbacks CALLBACKS = {
        .recv_callback = ws_recv, .send_callback = ws_send, .on_msg_recv_callback = ws_message};
    const char *at = strstr(head, "Sec-WebSocket-Key: ");
    char key[DIAL_KEY_MAX] = "", accept[DIAL_ACCEPT_MAX], reply[NOTE_MAX];

    if (at)
        snprintf(key, sizeof(key), "%.24s", at + strlen("Sec-WebSocket-Key: "));
    if (dialhead_accept(accept, key))
        abort();
    if (script.bad_accept)
        accept[0] = accept[0] == 'A' ? 'B' : 'A';
    if (script.status)
        snprintf(reply, sizeof(reply), "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", script.status);
    else
        snprintf(reply, sizeof(reply),
                 "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                 "Sec-WebSocket-Protocol: turnpike.connect.v1\r\n\r\n",
                 accept);
    bufferevent_write(p->bev, reply, strlen(reply));
    if (wslay_event_context_server_init(&p->ws, &CALLBACKS, p))
        abort();
}

static void on_bytes(struct bufferevent *bev, void *ctx);

static void open_bev(struct peer *p, int fd, bool tls)
{
    p->bev = tls ? bufferevent_openssl_socket_new(base, fd, SSL_new(service_tls), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
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
    if (script.garbage) {
        bufferevent_write(bev, "SSH-2.0-x\r\n\r\n", 13);
    } else if (script.proxy && !p->proxied) {
        char reply[64];
        snprintf(reply, sizeof(reply), "HTTP/1.0 %d X\r\n\r\n", script.proxy_status);
        snprintf(connect_head, sizeof(connect_head), "%.500s", head);
        if (write(fd, reply, strlen(reply)) < 0)
            abort();
        p->proxied = true;
        fd = dup(fd);
        bufferevent_free(p->bev);
        open_bev(p, fd, service_tls != NULL);
    } else {
        upgrade(p, head);
    }
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *ctx)
{
    (void)l;
    (void)sa;
    (void)len;
    (void)ctx;
    peer = &peers[npeers++ % CLIENTS_MAX];
    memset(peer, 0, sizeof(*peer));
    open_bev(peer, fd, service_tls && !script.proxy);
}

/* Cuts the last connection, without a word, or with a close code. */
static void cut(unsigned code)
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

/* ---- The client. ---- */

static void on_up(void *ctx, const json_t *hello, bool resumed)
{
    (void)ctx;
    (void)hello;
    ups++;
    resumes += resumed;
}

static void on_down(void *ctx, const char *text, bool lost)
{
    (void)ctx;
    downs++;
    losses += lost;
    snprintf(why, sizeof(why), "%s", text);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    char *text = json_dumps(params, JSON_COMPACT);

    (void)ctx;
    messages++;
    snprintf(message, sizeof(message), "%.32s %.400s", method, text ? text : "");
    free(text);
}

static void on_answer(void *ctx, const json_t *result, const json_t *error)
{
    (void)ctx;
    answers += result || error;
    voids += !result && !error;
}

static const struct connect_client_events EVENTS = {on_up, on_down, on_message};

static int start(const char *url, const char *proxy, char text[static CONNECT_CLIENT_TEXT_MAX])
{
    struct connect_client_config config = {.base = base,
                                           .url = url,
                                           .ca_file = service_tls ? ca_file : NULL,
                                           .proxy = proxy,
                                           .role = "bridge",
                                           .name = "office",
                                           .username = "tname",
                                           .password = "very-secret"};

    return connect_client_new(&client, &config, &EVENTS, NULL, text);
}

static char hello_answer[NOTE_MAX];

static bool listen_on(unsigned at)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)at)};
    socklen_t len = sizeof(sin);

    listener = evconnlistener_new_bind(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                       (struct sockaddr *)(void *)&sin, sizeof(sin));
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)(void *)&sin, &len))
        return false;
    port = ntohs(sin.sin_port);
    return true;
}

static bool setup(int resume_s)
{
    memset(&script, 0, sizeof(script));
    memset(peers, 0, sizeof(peers));
    peer = NULL;
    npeers = hellos = nheard = ups = downs = resumes = losses = messages = answers = voids = 0;
    *why = *last_hello = *message = '\0';
    snprintf(hello_answer, sizeof(hello_answer), SESSION, resume_s);
    script.hello = hello_answer;
    base = event_base_new();
    return base && listen_on(0);
}

static void teardown(void)
{
    connect_client_free(&client);
    if (listener)
        evconnlistener_free(listener);
    listener = NULL;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (peers[i].ws)
            wslay_event_context_free(peers[i].ws);
        if (peers[i].bev)
            bufferevent_free(peers[i].bev);
    }
    event_base_free(base);
}

static void on_impatient(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    *(bool *)ctx = true;
}

/* The loop goes round until `*count` is at least `wanted`; false: not in time. */
static bool until(const unsigned *count, unsigned wanted)
{
    struct timeval tv = {.tv_sec = PATIENCE_S};
    bool late = false;
    struct event *timer = evtimer_new(base, on_impatient, &late);

    evtimer_add(timer, &tv);
    while (*count < wanted && !late)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(timer);
    return *count >= wanted;
}

static bool start_plain(void)
{
    char url[64], text[CONNECT_CLIENT_TEXT_MAX];

    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/connect", port);
    return start(url, NULL, text) == 0;
}

/* ---- The cases. ---- */

static void urls(void)
{
    static const char *const BAD[] = {
        "https://h/connect", "wss:///x",       "wss://h:0/x",   "wss://h:65536/x",     "wss://h:/x",
        "wss://[::1/x",      "wss://[g::1]/x", "wss://h/a b",   "wss://t:p@h/connect", "wss://h/c?token=1",
        "ws://192.0.2.1/x",  "ws://h/x",       "wss://h\r\n/x", "wss://h/x#y",         "",
        "wss://[127.0.0.1]/"};
    struct dialurl u;
    char authority[DIAL_AUTHORITY_MAX];
    const char *reason = NULL;

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        reason = NULL;
        CHECK_INT(dialurl_service(&u, BAD[i], &reason), ERR_INVAL);
        CHECK(reason);
    }
    CHECK_INT(dialurl_service(&u, "wss://connect.example/connect", &reason), 0);
    CHECK_STR(u.host, "connect.example");
    CHECK_INT(u.port, 443);
    CHECK_STR(u.path, "/connect");
    CHECK_STR(dialurl_authority(&u, true, authority), "connect.example");
    CHECK_STR(dialurl_authority(&u, false, authority), "connect.example:443");
    CHECK_INT(dialurl_service(&u, "wss://[2001:db8::1]:8443", &reason), 0);
    CHECK_STR(u.path, "/");
    CHECK_STR(dialurl_authority(&u, true, authority), "[2001:db8::1]:8443");
    CHECK_INT(dialurl_service(&u, "ws://localhost/connect", &reason), 0);
    CHECK_INT(dialurl_service(&u, "ws://[::1]:8080/connect", &reason), 0);
    CHECK_INT(dialurl_proxy(&u, "http://proxy:3128", &reason), 0);
    CHECK_INT(u.port, 3128);
    CHECK_INT(dialurl_proxy(&u, "https://proxy:3128", &reason), ERR_INVAL);
    CHECK_INT(dialurl_proxy(&u, "http://u:p@proxy:3128", &reason), ERR_INVAL);
}

static void heads(void)
{
    static const char GOOD[] =
        "HTTP/1.1 101 OK\r\nUPGRADE:  websocket \r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        "Sec-WebSocket-Protocol: turnpike.connect.v1\r\n\r\nrest";
    static char big[DIAL_HEAD_MAX];
    char accept[DIAL_ACCEPT_MAX];
    int len = dialhead_len(GOOD, strlen(GOOD));

    CHECK_INT(dialhead_accept(accept, "dGhlIHNhbXBsZSBub25jZQ=="), 0); /* RFC 6455 section 1.3 */
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK_INT(len, strlen(GOOD) - 4);
    CHECK_INT(dialhead_status(GOOD, (size_t)len), 101);
    CHECK(!dialhead_wrong(GOOD, (size_t)len, accept, "turnpike.connect.v1"));
    CHECK(dialhead_wrong(GOOD, (size_t)len, accept, "turnpike.connect.v2"));
    CHECK(dialhead_wrong(GOOD, (size_t)len, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", "turnpike.connect.v1"));
    CHECK_INT(dialhead_len(GOOD, 40), 0);
    CHECK_INT(dialhead_status("HTTP/2 101 OK\r\n\r\n", 17), ERR_MALFORMED);
    CHECK_INT(dialhead_status("HTTP/1.1 1x1 OK\r\n\r\n", 19), ERR_MALFORMED);
    CHECK_INT(dialhead_status("x\r\n\r\n", 5), ERR_MALFORMED);
    memset(big, 'a', sizeof(big));
    CHECK_INT(dialhead_len(big, sizeof(big)), ERR_MSGSIZE);
    CHECK_INT(dialhead_len(big, sizeof(big) - 1), 0);
}

static void says_hello(void)
{
    CHECK(setup(30));
    script.answers = true;
    CHECK(start_plain());
    CHECK_INT(connect_client_request(client, "ice.servers", NULL, on_answer, NULL), ERR_NOTCONN);
    CHECK_INT(connect_client_notify(client, "call.ringing", json_object()), ERR_NOTCONN);
    CHECK(until(&ups, 1));
    CHECK(strstr(last_hello, "\"username\":\"tname\",\"password\":\"very-secret\""));
    CHECK(strstr(last_hello, "\"role\":\"bridge\",\"name\":\"office\""));
    CHECK(!strstr(last_hello, "resume"));
    CHECK_INT(connect_client_request(client, "call.start", json_pack("{s:s}", "user", "alice"), on_answer, NULL), 0);
    CHECK_INT(answers, 0); /* never from within */
    CHECK(until(&answers, 1));
    say(peer, "{\"jsonrpc\":\"2.0\",\"method\":\"presence\",\"params\":{\"bridges\":1}}");
    say(peer, "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}"); /* an answer to nothing */
    CHECK(until(&messages, 1));
    CHECK_STR(message, "presence {\"bridges\":1}");
    CHECK_INT(downs, 0);
    teardown();
}

static void resumes_a_session(void)
{
    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&nheard, 1));
    cut(0);
    CHECK(until(&downs, 1));
    CHECK_INT(voids, 1); /* what was asked hears that nobody will answer */
    CHECK_INT(losses, 0);
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), ERR_NOTCONN);
    CHECK_INT(connect_client_notify(client, "call.hangup", json_pack("{s:s}", "call", "c1")), 0);
    CHECK_INT(connect_client_notify(client, "call.hangup", json_pack("{s:s}", "call", "c2")), 0);
    CHECK(until(&ups, 2));
    CHECK(strstr(last_hello, "\"resume\":{\"session\":\"s1\",\"secret\":\"x1\"}"));
    CHECK_INT(resumes, 1);
    CHECK(until(&nheard, 3));
    CHECK(strstr(heard[1], "\"c1\""));
    CHECK(strstr(heard[2], "\"c2\""));
    teardown();
}

static void waits_bounded(void)
{
    int n = 0;

    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    cut(0);
    CHECK(until(&downs, 1));
    while (connect_client_notify(client, "call.stats", json_object()) == 0 && n < 100000)
        n++;
    CHECK_INT(n, 1000);
    CHECK_INT(connect_client_notify(client, "call.stats", json_object()), ERR_NOSPC);
    teardown();
}

static void session_unknown(void)
{
    CHECK(setup(30));
    script.resumed = "\"error\":{\"code\":-32004,\"message\":\"too late\",\"data\":{\"reason\":\"no_session\"}}";
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    cut(0);
    CHECK(until(&downs, 1));
    CHECK_INT(connect_client_notify(client, "call.hangup", json_object()), 0);
    CHECK(until(&ups, 2));
    CHECK_INT(losses, 1);
    CHECK_INT(resumes, 0);
    CHECK(!strstr(last_hello, "resume"));
    CHECK_INT(nheard, 0); /* of the old session */
    teardown();
}

static void session_expires(void)
{
    CHECK(setup(1));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    evconnlistener_free(listener);
    listener = NULL;
    cut(0);
    CHECK(until(&losses, 1));
    CHECK_INT(connect_client_notify(client, "call.hangup", json_object()), ERR_NOTCONN);
    CHECK(listen_on(port));
    CHECK(until(&ups, 2));
    CHECK(!strstr(last_hello, "resume"));
    teardown();
}

static void token_refused(void)
{
    CHECK(setup(30));
    script.hello = "\"error\":{\"code\":-32001,\"message\":\"no\",\"data\":{\"reason\":\"unauthorized\"}}";
    CHECK(start_plain());
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "refuses the token"));
    CHECK(!strstr(why, "very-secret"));
    script.hello = "\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{\"reason\":\"forbidden\"}}";
    CHECK(until(&downs, 2));
    CHECK(strstr(why, "scope bridge"));
    CHECK_INT(ups, 0);
    teardown();
}

static void token_ends(void)
{
    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    cut(4001);
    CHECK(until(&downs, 1));
    CHECK_INT(losses, 1);
    CHECK(strstr(why, "token"));
    teardown();
}

static void not_a_service(void)
{
    CHECK(setup(30));
    script.status = 404;
    CHECK(start_plain());
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "answers 404 instead of a WebSocket"));
    script.status = 0;
    script.bad_accept = true;
    CHECK(until(&downs, 2)); /* it has tried again */
    CHECK(strstr(why, "not one to our request"));
    connect_client_free(&client);
    script.garbage = true;
    CHECK(start_plain());
    CHECK(until(&downs, 3));
    CHECK(strstr(why, "no HTTP"));
    connect_client_free(&client);
    evconnlistener_free(listener);
    listener = NULL;
    CHECK(start_plain());
    CHECK(until(&downs, 4));
    CHECK(strstr(why, "can't be reached"));
    CHECK_INT(hellos, 0);
    teardown();
}

static void broken_messages(void)
{
    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    say(peer, "{\"jsonrpc\":");
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "no JSON"));
    CHECK(until(&ups, 2));
    bufferevent_write(peer->bev, "\x82\x01x", 3); /* binary */
    CHECK(until(&downs, 2));
    connect_client_free(&client);
    CHECK(start_plain());
    CHECK(until(&ups, 3));
    bufferevent_write(peer->bev, "\x81\x7f\0\0\0\0\0\1\0\1..", 12); /* the first of 65,537 bytes */
    CHECK(until(&downs, 3));
    teardown();
}

static void free_in_up(void *ctx, const json_t *hello, bool resumed)
{
    on_up(ctx, hello, resumed);
    connect_client_free(&client);
}

static void free_in_down(void *ctx, const char *text, bool lost)
{
    on_down(ctx, text, lost);
    connect_client_free(&client);
}

static void free_in_answer(void *ctx, const json_t *result, const json_t *error)
{
    on_answer(ctx, result, error);
    connect_client_free(&client);
}

static void freed_within(void)
{
    static const struct connect_client_events UP = {free_in_up, on_down, on_message}, DOWN = {on_up, free_in_down, on_message};
    struct connect_client_config config = {.base = NULL, .role = "bridge", .username = "u", .password = "p"};
    char url[64], text[CONNECT_CLIENT_TEXT_MAX];

    CHECK(setup(30));
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/connect", port);
    config.base = base;
    config.url = url;
    CHECK_INT(connect_client_new(&client, &config, &UP, NULL, text), 0);
    CHECK(until(&ups, 1));
    CHECK(!client);
    CHECK(until(&nheard, 1));
    CHECK(strstr(heard[0], "\"bye\""));
    script.status = 500;
    CHECK_INT(connect_client_new(&client, &config, &DOWN, NULL, text), 0);
    CHECK(until(&downs, 1));
    script.status = 0;
    CHECK(start_plain());
    CHECK(until(&ups, 2));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), free_in_answer, NULL), 0);
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&nheard, 3));
    cut(0);
    CHECK(until(&voids, 1));
    CHECK_INT(voids, 1); /* of two: the second was silenced */
    teardown();
}

/* ---- TLS. ---- */

static bool make_certificate(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);
    FILE *f = fopen(ca_file, "w");
    bool ok = key && subject && san && f && X509_set_version(cert, 2) && ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -60) && X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0) &&
              X509_set_issuer_name(cert, subject) && X509_set_pubkey(cert, key) && X509_add_ext(cert, san, -1) &&
              X509_sign(cert, key, EVP_sha256()) && PEM_write_X509(f, cert);

    if (f)
        fclose(f);
    service_tls = SSL_CTX_new(TLS_server_method());
    ok = ok && service_tls && SSL_CTX_use_certificate(service_tls, cert) == 1 && SSL_CTX_use_PrivateKey(service_tls, key) == 1;
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

static void over_tls(void)
{
    char url[64], text[CONNECT_CLIENT_TEXT_MAX];

    CHECK(setup(30));
    CHECK(make_certificate("DNS:localhost"));
    script.answers = true;
    snprintf(url, sizeof(url), "wss://localhost:%u/connect", port);
    CHECK_INT(start(url, NULL, text), 0);
    CHECK(until(&ups, 1));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&answers, 1));
    cut(0);
    CHECK(until(&ups, 2));
    CHECK_INT(resumes, 1);
    connect_client_free(&client); /* says bye through TLS */
    CHECK(until(&nheard, 2));
    CHECK(strstr(heard[1], "\"bye\""));
    snprintf(url, sizeof(url), "wss://127.0.0.1:%u/connect", port); /* not a name of the certificate's */
    CHECK_INT(start(url, NULL, text), 0);
    CHECK(until(&downs, 2));
    CHECK(strstr(why, "certificate is refused"));
    connect_client_free(&client);
    CHECK_INT(truncate(ca_file, 0), 0);
    CHECK_INT(start(url, NULL, text), ERR_INVAL);
    CHECK(strstr(text, "PEM"));
    teardown();
    SSL_CTX_free(service_tls);
    service_tls = NULL;
}

static void over_proxy(void)
{
    char url[64], proxy[64], text[CONNECT_CLIENT_TEXT_MAX];

    CHECK(setup(30));
    CHECK(make_certificate("DNS:connect.example"));
    script.proxy = true;
    script.proxy_status = 407;
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", port);
    snprintf(url, sizeof(url), "wss://connect.example/connect"); /* which the proxy alone resolves */
    CHECK_INT(start(url, proxy, text), 0);
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "407"));
    script.proxy_status = 200;
    CHECK(until(&ups, 1));
    CHECK_STR(connect_head, "CONNECT connect.example:443 HTTP/1.1\r\nHost: connect.example:443\r\n\r\n");
    CHECK(!strstr(connect_head, "secret"));
    connect_client_free(&client);
    CHECK_INT(start("ws://localhost/connect", proxy, text), ERR_INVAL);
    teardown();
    SSL_CTX_free(service_tls);
    service_tls = NULL;
}

static const struct tap_test tests[] = {
    {"URLs: wss://, no secrets, ws:// on loopback only", urls},
    {"heads of answers, RFC 6455's own example", heads},
    {"hello, a request, a notification", says_hello},
    {"a lost connection is resumed, and what was said meanwhile follows in order", resumes_a_session},
    {"what waits for the connection is bounded", waits_bounded},
    {"a session that the service has forgotten is lost, and a new one begins", session_unknown},
    {"a session that can't be resumed in time is lost", session_expires},
    {"a token that is refused is told with the cure", token_refused},
    {"a token that ends takes the session with it", token_ends},
    {"what is no connect service is told apart", not_a_service},
    {"messages that break the protocol end the connection, and it comes back", broken_messages},
    {"a client freed by its own callback stays silent", freed_within},
    {"TLS: the certificate's name and issuer count", over_tls},
    {"a proxy is asked to CONNECT", over_proxy},
};

int main(void)
{
    int fd = mkstemp(ca_file), status;

    if (fd < 0)
        return 1;
    close(fd);
    signal(SIGPIPE, SIG_IGN);
    status = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    unlink(ca_file);
    return status;
}
