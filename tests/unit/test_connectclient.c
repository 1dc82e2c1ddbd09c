/* The client of the connect service against a service that does what its script says, on loopback and on the same loop. */
#include "tests/unit/tap.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "connect/client.h"
#include "tests/unit/service.h"

enum {
    PATIENCE_S = 20,
    DEADLINE_S = 10, /* the client's, for an answer; its pauses are shorter (one in five thousand of the longest is not) */
    NOTE_MAX = 512,
    DOWNS_MAX = 32,
};

static struct event_base *base;
static char ca_file[] = "/tmp/test_connectclient.XXXXXX";

static struct connect_client *client;
static unsigned ups, downs, resumes, losses, messages, answers, voids;
static char why[CONNECT_CLIENT_TEXT_MAX], message[NOTE_MAX];

#define SESSION "\"result\":{\"session\":\"s1\",\"secret\":\"x1\",\"tenant\":\"t\",\"user\":\"u\",\"resume_s\":%d,\"calls\":[]}"

/* ---- Time (--wrap in Makefile.am). ---- */

static unsigned hurry = 1; /* how much faster pauses go by than they are asked to; for an answer there is all the time */
static uint64_t timer_ms;  /* what the last one was asked for */
static uint64_t ahead_ms;  /* of the clock */
static uint64_t pauses[DOWNS_MAX];

int __real_event_add(struct event *ev, const struct timeval *tv);
int __wrap_event_add(struct event *ev, const struct timeval *tv);
struct now __real_clock_now(void);
struct now __wrap_clock_now(void);

int __wrap_event_add(struct event *ev, const struct timeval *tv)
{
    uint64_t us;

    if (!tv || tv->tv_sec >= PATIENCE_S)
        return __real_event_add(ev, tv);
    us = (uint64_t)tv->tv_sec * 1000000 + (uint64_t)tv->tv_usec;
    timer_ms = us / 1000;
    if (tv->tv_sec < DEADLINE_S)
        us /= hurry;
    return __real_event_add(ev, &(struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)});
}

struct now __wrap_clock_now(void)
{
    struct now now = __real_clock_now();

    now.ms += ahead_ms;
    return now;
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
    if (downs < DOWNS_MAX)
        pauses[downs] = timer_ms; /* the next try was the last thing to be armed */
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
                                           .ca_file = service.tls ? ca_file : NULL,
                                           .proxy = proxy,
                                           .role = "bridge",
                                           .name = "office",
                                           .username = "tname",
                                           .password = "very-secret"};

    return connect_client_new(&client, &config, &EVENTS, NULL, text);
}

static char hello_answer[NOTE_MAX];

static bool setup(int resume_s)
{
    ups = downs = resumes = losses = messages = answers = voids = 0;
    *why = *message = '\0';
    hurry = 1;
    ahead_ms = 0;
    base = event_base_new();
    if (!base || !service_listen(base, 0))
        return false;
    snprintf(hello_answer, sizeof(hello_answer), SESSION, resume_s);
    service.hello = hello_answer;
    return true;
}

static void teardown(void)
{
    connect_client_free(&client);
    service_close();
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

    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/connect", service.port);
    return start(url, NULL, text) == 0;
}

/* ---- The cases. ---- */

static void says_hello(void)
{
    CHECK(setup(30));
    service.answers = true;
    CHECK(start_plain());
    CHECK_INT(connect_client_request(client, "ice.servers", NULL, on_answer, NULL), ERR_NOTCONN);
    CHECK_INT(connect_client_notify(client, "call.ringing", json_object()), ERR_NOTCONN);
    CHECK(until(&ups, 1));
    CHECK(strstr(service.last_hello, "\"username\":\"tname\",\"password\":\"very-secret\""));
    CHECK(strstr(service.last_hello, "\"role\":\"bridge\",\"name\":\"office\""));
    CHECK(!strstr(service.last_hello, "resume"));
    CHECK_INT(connect_client_request(client, "call.start", json_pack("{s:s}", "user", "alice"), on_answer, NULL), 0);
    CHECK_INT(answers, 0); /* never from within */
    CHECK(until(&answers, 1));
    service_say("{\"jsonrpc\":\"2.0\",\"method\":\"presence\",\"params\":{\"bridges\":1}}");
    service_say("{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}"); /* an answer to nothing */
    CHECK(until(&messages, 1));
    CHECK_STR(message, "presence {\"bridges\":1}");
    CHECK_INT(downs, 0);
    teardown();
}

static void resumes_a_session(void)
{
    int armed;

    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&service.nheard, 1));
    armed = event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
    service_cut(0);
    CHECK(until(&downs, 1));
    CHECK_INT(voids, 1); /* what was asked hears that nobody will answer */
    CHECK_INT(losses, 0);
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), ERR_NOTCONN);
    CHECK_INT(connect_client_notify(client, "call.hangup", json_pack("{s:s}", "call", "c1")), 0);
    CHECK_INT(connect_client_notify(client, "call.hangup", json_pack("{s:s}", "call", "c2")), 0);
    CHECK(until(&ups, 2));
    CHECK(strstr(service.last_hello, "\"resume\":{\"session\":\"s1\",\"secret\":\"x1\"}"));
    CHECK_INT(resumes, 1);
    CHECK(until(&service.nheard, 3));
    CHECK(strstr(service.heard[1], "\"c1\""));
    CHECK(strstr(service.heard[2], "\"c2\""));
    CHECK_INT(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), armed); /* nothing that ends the session later */
    teardown();
}

/* Between half of it and all of it each. */
static void backs_off(void)
{
    static const uint64_t LONGEST[] = {500, 1000, 2000, 4000, 8000, 10000, 10000};
    enum { TRIES = sizeof(LONGEST) / sizeof(LONGEST[0]) };

    CHECK(setup(30));
    hurry = 50;
    service.status = 503;
    CHECK(start_plain());
    for (unsigned i = 0; i < TRIES; i++) {
        CHECK(until(&downs, i + 1));
        CHECK(pauses[i] >= LONGEST[i] / 2 && pauses[i] <= LONGEST[i]);
    }
    CHECK(pauses[TRIES - 2] != LONGEST[TRIES - 1] || pauses[TRIES - 1] != LONGEST[TRIES - 1]); /* not the same for everybody */
    service.status = 0;
    CHECK(until(&ups, 1));
    service_cut(0); /* it was not there for long enough */
    CHECK(until(&downs, TRIES + 1));
    CHECK(pauses[TRIES] >= 5000);
    CHECK(until(&ups, 2));
    ahead_ms = 5000;
    service_cut(0);
    CHECK(until(&downs, TRIES + 2));
    CHECK(pauses[TRIES + 1] <= 500);
    teardown();
}

static void waits_bounded(void)
{
    int n = 0;

    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    service_cut(0);
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
    service.resumed = "\"error\":{\"code\":-32004,\"message\":\"too late\",\"data\":{\"reason\":\"no_session\"}}";
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    service_cut(0);
    CHECK(until(&downs, 1));
    CHECK_INT(connect_client_notify(client, "call.hangup", json_object()), 0);
    CHECK(until(&ups, 2));
    CHECK_INT(losses, 1);
    CHECK_INT(resumes, 0);
    CHECK(!strstr(service.last_hello, "resume"));
    CHECK_INT(service.nheard, 0); /* of the old session */
    service.resumed =
        "\"result\":{\"session\":\"s2\",\"secret\":\"x2\",\"resume_s\":30,\"calls\":[]}"; /* another one, without a word */
    service_cut(0);
    CHECK(until(&downs, 3));
    CHECK_INT(connect_client_notify(client, "call.hangup", json_object()), 0);
    CHECK(until(&ups, 3));
    CHECK_INT(resumes, 0);
    service_cut(0);
    CHECK(until(&ups, 4));
    CHECK_INT(resumes, 1); /* and what was for the one before is not said in it */
    CHECK_INT(connect_client_request(client, "call.start", json_object(), NULL, NULL), 0);
    CHECK(until(&service.nheard, 1));
    CHECK(strstr(service.heard[0], "call.start"));
    teardown();
}

static void session_expires(void)
{
    CHECK(setup(1));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    service_deafen();
    service_cut(0);
    CHECK(until(&losses, 1));
    CHECK_INT(connect_client_notify(client, "call.hangup", json_object()), ERR_NOTCONN);
    CHECK(service_listen(base, service.port));
    CHECK(until(&ups, 2));
    CHECK(!strstr(service.last_hello, "resume"));
    teardown();
}

static void token_refused(void)
{
    CHECK(setup(30));
    service.hello = "\"error\":{\"code\":-32001,\"message\":\"no\",\"data\":{\"reason\":\"unauthorized\"}}";
    CHECK(start_plain());
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "refuses the token"));
    CHECK(!strstr(why, "very-secret"));
    service.hello = "\"error\":{\"code\":-32002,\"message\":\"no\",\"data\":{\"reason\":\"forbidden\"}}";
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
    service_cut(4001);
    CHECK(until(&downs, 1));
    CHECK_INT(losses, 1);
    CHECK(strstr(why, "token"));
    CHECK(pauses[0] >= 5000); /* it won't be valid again in a moment */
    teardown();
}

static void not_a_service(void)
{
    CHECK(setup(30));
    hurry = 10;
    service.status = 404;
    CHECK(start_plain());
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "answers 404 instead of a WebSocket"));
    service.status = 302;
    CHECK(until(&downs, 2)); /* it has tried again, at the same place */
    CHECK(strstr(why, "answers 302 instead of a WebSocket"));
    service.status = 0;
    service.bad_accept = true;
    CHECK(until(&downs, 3));
    CHECK(strstr(why, "not one to our request"));
    service.bad_accept = false;
    service.subprotocol = "turnpike.connect.v2";
    CHECK(until(&downs, 4));
    CHECK(strstr(why, "our version of the connect protocol"));
    connect_client_free(&client);
    service.garbage = true;
    CHECK(start_plain());
    CHECK(until(&downs, 5));
    CHECK(strstr(why, "no HTTP"));
    connect_client_free(&client);
    service_deafen();
    CHECK(start_plain());
    CHECK(until(&downs, 6));
    CHECK(strstr(why, "can't be reached"));
    CHECK_INT(service.hellos, 0);
    teardown();
}

static void broken_messages(void)
{
    CHECK(setup(30));
    CHECK(start_plain());
    CHECK(until(&ups, 1));
    service_say("{\"jsonrpc\":");
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "no JSON"));
    CHECK(until(&ups, 2));
    service_write("\x82\x01x", 3); /* binary */
    CHECK(until(&downs, 2));
    connect_client_free(&client);
    CHECK(start_plain());
    CHECK(until(&ups, 3));
    service_write("\x81\x7f\0\0\0\0\0\1\0\1..", 12); /* the first of 65,537 bytes */
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
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/connect", service.port);
    config.base = base;
    config.url = url;
    CHECK_INT(connect_client_new(&client, &config, &UP, NULL, text), 0);
    CHECK(until(&ups, 1));
    CHECK(!client);
    CHECK(until(&service.nheard, 1));
    CHECK(strstr(service.heard[0], "\"bye\""));
    service.status = 500;
    CHECK_INT(connect_client_new(&client, &config, &DOWN, NULL, text), 0);
    CHECK(until(&downs, 1));
    service.status = 0;
    CHECK(start_plain());
    CHECK(until(&ups, 2));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), free_in_answer, NULL), 0);
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&service.nheard, 3));
    service_cut(0);
    CHECK(until(&voids, 1));
    CHECK_INT(voids, 1); /* of two: the second was silenced */
    teardown();
}

/* ---- TLS. ---- */

static void over_tls(void)
{
    char url[64], text[CONNECT_CLIENT_TEXT_MAX];

    CHECK(setup(30));
    CHECK(service_certificate("DNS:localhost", ca_file));
    service.answers = true;
    snprintf(url, sizeof(url), "wss://localhost:%u/connect", service.port);
    CHECK_INT(start(url, NULL, text), 0);
    CHECK(until(&ups, 1));
    CHECK_INT(connect_client_request(client, "call.start", json_object(), on_answer, NULL), 0);
    CHECK(until(&answers, 1));
    service_cut(0);
    CHECK(until(&ups, 2));
    CHECK_INT(resumes, 1);
    connect_client_free(&client); /* says bye through TLS */
    CHECK(until(&service.nheard, 2));
    CHECK(strstr(service.heard[1], "\"bye\""));
    snprintf(url, sizeof(url), "wss://127.0.0.1:%u/connect", service.port); /* not a name of the certificate's */
    CHECK_INT(start(url, NULL, text), 0);
    CHECK(until(&downs, 2));
    CHECK(strstr(why, "certificate is refused"));
    connect_client_free(&client);
    CHECK_INT(truncate(ca_file, 0), 0);
    CHECK_INT(start(url, NULL, text), ERR_INVAL);
    CHECK(strstr(text, "PEM"));
    teardown();
    SSL_CTX_free(service.tls);
    service.tls = NULL;
}

static void over_proxy(void)
{
    char url[64], proxy[64], text[CONNECT_CLIENT_TEXT_MAX];

    CHECK(setup(30));
    CHECK(service_certificate("DNS:connect.example", ca_file));
    service.proxy = true;
    service.proxy_status = 407;
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", service.port);
    snprintf(url, sizeof(url), "wss://connect.example/connect"); /* which the proxy alone resolves */
    CHECK_INT(start(url, proxy, text), 0);
    CHECK(until(&downs, 1));
    CHECK(strstr(why, "wants a login (407)"));
    service.proxy_status = 200;
    CHECK(until(&ups, 1));
    CHECK_STR(service.connect_head, "CONNECT connect.example:443 HTTP/1.1\r\nHost: connect.example:443\r\n\r\n");
    CHECK(!strstr(service.connect_head, "secret"));
    connect_client_free(&client);
    CHECK_INT(start("ws://localhost/connect", proxy, text), ERR_INVAL);
    teardown();
    SSL_CTX_free(service.tls);
    service.tls = NULL;
}

static const struct tap_test tests[] = {
    {"hello, a request, a notification", says_hello},
    {"a lost connection is resumed, and what was said meanwhile follows in order", resumes_a_session},
    {"the pauses between two tries grow, up to a limit, and begin anew after a good connection", backs_off},
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
