/* servers, with a name service that answers as the test says, and a clock that waits for nobody. */
#include <dlfcn.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <stdlib.h>

#include "base/err.h"
#include "bridge/servers.h"
#include "tests/unit/tap.h"

static unsigned told;            /* of what was cancelled */
static unsigned told_at_the_end; /* when the name servers were freed */

/* It stands before `base`, which is what the header calls them. */
void evdns_base_free(struct evdns_base *base, int fail_requests)
{
    void (*real)(struct evdns_base *, int);
    void *found = dlsym(RTLD_NEXT, "evdns_base_free");

    memcpy(&real, &found, sizeof(real));
    told_at_the_end = told;
    real(base, fail_requests);
}

static struct event_base *base;
static struct servers *s;
static struct event *timer; /* the last that was set for a time */
static int timer_s;

/* ---- Between servers.c and libevent. ---- */

static struct asked {
    char host[64];
    evdns_getaddrinfo_cb cb;
    void *arg;
} asked[MEDIA_SERVERS_MAX];
static unsigned nasked, cancelled; /* of them */

/* libevent does so from the loop. */
static void tell_cancelled(evutil_socket_t fd, short what, void *ctx)
{
    struct asked *a = ctx;

    (void)fd, (void)what;
    told++;
    a->cb(EVUTIL_EAI_CANCEL, NULL, a->arg);
}

struct evdns_getaddrinfo_request *evdns_getaddrinfo(struct evdns_base *dns_base, const char *nodename, const char *servname,
                                                    const struct evutil_addrinfo *hints_in, evdns_getaddrinfo_cb cb, void *arg)
{
    (void)dns_base, (void)servname, (void)hints_in;
    snprintf(asked[nasked].host, sizeof(asked[nasked].host), "%s", nodename);
    asked[nasked].cb = cb;
    asked[nasked].arg = arg;
    return (struct evdns_getaddrinfo_request *)(void *)&asked[nasked++];
}

void evdns_getaddrinfo_cancel(struct evdns_getaddrinfo_request *request)
{
    for (unsigned i = 0; i < nasked; i++)
        if ((void *)request == (void *)&asked[i] && event_base_once(base, -1, EV_TIMEOUT, tell_cancelled, &asked[i], NULL) == 0)
            cancelled++;
}

int event_add(struct event *ev, const struct timeval *timeout)
{
    int (*real)(struct event *, const struct timeval *);
    void *found = dlsym(RTLD_NEXT, "event_add");

    memcpy(&real, &found, sizeof(real));
    if (timeout) {
        timer = ev;
        timer_s = (int)timeout->tv_sec;
    }
    return real(ev, timeout);
}

/* The n-th question: this address, or none. */
static void answer(unsigned n, const char *ip)
{
    struct evutil_addrinfo hints = {.ai_flags = EVUTIL_AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM}, *list = NULL;

    if (ip && evutil_getaddrinfo(ip, NULL, &hints, &list))
        abort();
    asked[n].cb(ip ? 0 : EVUTIL_EAI_AGAIN, list, asked[n].arg);
}

/* ---- The cases. ---- */

static int ready;

static void on_ready(void *ctx)
{
    (void)ctx;
    ready++;
}

static void begin(void)
{
    nasked = cancelled = told = told_at_the_end = 0;
    ready = 0;
    timer = NULL;
    base = event_base_new();
    if (!base || servers_new(&s, base))
        abort();
}

static void end(void)
{
    servers_free(&s);
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_base_free(base);
}

static void set(const char *uri)
{
    struct media_server one = {.username = "u", .password = "p"};

    nasked = 0;
    snprintf(one.uri, sizeof(one.uri), "%s", uri);
    if (servers_set(s, &one, 1, on_ready, NULL))
        abort();
}

static const char *now_at(void)
{
    static char text[ADDR_TEXT_MAX];
    const struct server *at = servers_at(s, 0);

    return at ? addr_text(&at->addr, text) : "-";
}

static void later(void)
{
    nasked = 0;
    event_active(timer, EV_TIMEOUT, 1);
    event_base_loop(base, EVLOOP_NONBLOCK);
}

static void kept(void)
{
    begin();
    set("turn:relay.example");
    CHECK(!servers_ready(s));
    answer(0, "192.0.2.1");
    CHECK_INT(ready, 1);
    CHECK_STR(now_at(), "192.0.2.1:3478");
    set("turn:relay.example:443?transport=tcp");
    CHECK_INT(nasked, 1);
    CHECK(servers_ready(s)); /* no call waits for the answer */
    CHECK_STR(now_at(), "192.0.2.1:443");
    answer(0, NULL);
    CHECK_STR(now_at(), "192.0.2.1:443");
    CHECK_INT(timer_s, 10);
    later();
    CHECK_STR(asked[0].host, "relay.example");
    answer(0, "192.0.2.2");
    CHECK_STR(now_at(), "192.0.2.2:443");
    set("turn:other.example");
    CHECK(!servers_ready(s));
    CHECK_STR(now_at(), "-"); /* another name's address is not its own */
    end();
}

static void again(void)
{
    begin();
    set("turn:relay.example");
    answer(0, NULL);
    CHECK_INT(ready, 1);
    CHECK(servers_ready(s));
    CHECK_STR(now_at(), "-");
    for (unsigned i = 0; i < 3; i++) {
        CHECK(timer);
        CHECK_INT(timer_s, 10);
        later();
        CHECK_INT(nasked, 1);
        CHECK(servers_ready(s));
        answer(0, NULL);
    }
    later();
    answer(0, "2001:db8::1");
    CHECK_STR(now_at(), "[2001:db8::1]:3478");
    later(); /* nothing is lacking */
    CHECK_INT(nasked, 0);
    later();
    set("turn:192.0.2.9");
    CHECK_STR(now_at(), "192.0.2.9:3478");
    end();
}

static void under_way(void)
{
    begin();
    set("turn:relay.example");
    end();
    CHECK_INT(cancelled, 1);
    CHECK_INT(told, 1);
    CHECK_INT(told_at_the_end, 1);
    CHECK_INT(ready, 0);
}

static const struct tap_test TESTS[] = {
    {"a name that can't be resolved keeps the address that it had, and no call waits", kept},
    {"a name without an address is asked for again every 10 s, and no call waits", again},
    {"a question that is open at the end is let go of, and the name servers behind it", under_way},
};

TAP_MAIN(TESTS)
