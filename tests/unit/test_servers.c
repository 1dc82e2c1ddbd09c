/* servers: URIs as the connect service names them, and names that are resolved. */
#include "bridge/servers.h"

#include <event2/event.h>

#include "base/err.h"
#include "tests/unit/tap.h"

static struct event_base *base;
static struct servers *s;

static bool begin(void)
{
    base = event_base_new();
    return base && servers_new(&s, base) == 0;
}

static void end(void)
{
    servers_free(&s);
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_base_free(base);
}

static int set(const char *uri)
{
    struct media_server one = {.username = "u", .password = "p"};
    snprintf(one.uri, sizeof(one.uri), "%s", uri);
    return servers_set(s, &one, 1, NULL, NULL);
}

static void uris(void)
{
    static const struct {
        const char *uri, *addr; /* NULL: left out */
        enum server_kind kind;
    } cases[] = {
        {"turn:192.0.2.1", "192.0.2.1:3478", SERVER_TURN_UDP},
        {"TURN:192.0.2.1:443?transport=tcp", "192.0.2.1:443", SERVER_TURN_TCP},
        {"turn:[2001:db8::1]:3479?transport=udp", "[2001:db8::1]:3479", SERVER_TURN_UDP},
        {"turn:[2001:db8::1]", "[2001:db8::1]:3478", SERVER_TURN_UDP},
        {"stun:192.0.2.1:1", "192.0.2.1:1", SERVER_STUN},
        {"turns:192.0.2.1", NULL, SERVER_STUN},
        {"turn:192.0.2.1?transport=sctp", NULL, SERVER_STUN},
    };
    char text[ADDR_TEXT_MAX];
    CHECK(begin());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_INT(set(cases[i].uri), 0);
        CHECK(servers_ready(s));
        CHECK((servers_at(s, 0) == NULL) == (cases[i].addr == NULL));
        if (!cases[i].addr)
            continue;
        CHECK_STR(addr_text(&servers_at(s, 0)->addr, text), cases[i].addr);
        CHECK_INT(servers_at(s, 0)->kind, cases[i].kind);
        CHECK_STR(servers_at(s, 0)->username, "u");
        CHECK_STR(servers_at(s, 0)->password, "p");
        CHECK(!servers_at(s, 1));
    }
    end();
}

static void refused(void)
{
    static const char *const bad[] = {"",
                                      "http://192.0.2.1",
                                      "turn:",
                                      "turn::3478",
                                      "turn:192.0.2.1:",
                                      "turn:192.0.2.1:x",
                                      "turn:192.0.2.1:0",
                                      "turn:192.0.2.1:70000"};
    struct media_server many[MEDIA_SERVERS_MAX + 1] = {{.uri = ""}};
    CHECK(begin());
    CHECK_INT(set("turn:192.0.2.1"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(set(bad[i]), ERR_INVAL);
    CHECK_INT(servers_set(s, many, MEDIA_SERVERS_MAX + 1, NULL, NULL), ERR_INVAL);
    CHECK(servers_at(s, 0)); /* what there was is still there */
    CHECK_INT(servers_set(s, NULL, 0, NULL, NULL), 0);
    CHECK(!servers_at(s, 0));
    end();
}

static void on_ready(void *ctx)
{
    ++*(int *)ctx;
}

/* What the system's own file knows is there at once; a question that is open when other servers come is told to nobody. */
static void names(void)
{
    struct media_server list[] = {{.uri = "turn:localhost:5"}, {.uri = "turn:192.0.2.1"}}, open = {.uri = "turn:nobody.invalid"};
    int ready = 0;
    CHECK(begin());
    CHECK_INT(servers_set(s, list, 2, on_ready, &ready), 0);
    CHECK(servers_ready(s));
    CHECK(servers_at(s, 1) && !servers_at(s, 2));
    CHECK(addr_is_loopback(&servers_at(s, 0)->addr));
    CHECK_INT(servers_at(s, 0)->addr.port, 5);
    CHECK_INT(servers_set(s, &open, 1, on_ready, &ready), 0);
    CHECK(!servers_at(s, 0));
    CHECK_INT(set("turn:192.0.2.2"), 0);
    CHECK(servers_ready(s) && servers_at(s, 0));
    event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK_INT(ready, 0);
    end();
}

/* By libevent itself; a sanitizer sees what is left. */
static void under_way(void)
{
    CHECK(begin());
    CHECK_INT(set("turn:nobody.invalid"), 0);
    CHECK(!servers_ready(s));
    end();
}

static const struct tap_test tests[] = {
    {"URIs of STUN and TURN, and those that are left out", uris},
    {"a URI that can't be read changes nothing", refused},
    {"names: what is known at once, and a question that nobody waits for any more", names},
    {"a question that is open at the end", under_way},
};

TAP_MAIN(tests)
