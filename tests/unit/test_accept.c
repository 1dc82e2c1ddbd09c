/* What a connection to the connect service speaks, by its first byte; what a page is told, and whose page it is. */
#include "connect/accept.h"

#include "connect/page.h"
#include "tests/unit/tap.h"

static void test_classes(void)
{
    for (unsigned first = 0; first < 256; first++) {
        enum accept_class want = first < 4 || (first >= 64 && first < 128 && !(first >= 'A' && first <= 'Z')) ? ACCEPT_TURN
                                 : first == 0x16                                                              ? ACCEPT_TLS
                                 : first >= 'A' && first <= 'Z'                                               ? ACCEPT_HTTP
                                                                                                              : ACCEPT_OTHER;

        CHECK_INT(accept_classify((uint8_t)first), want);
    }
}

static struct http_text text(const char *s)
{
    return (struct http_text){s, strlen(s)};
}

static void test_url(void)
{
    static const struct {
        const char *listen, *app, *host, *url;
        bool tls;
    } CASES[] = {
        {"0.0.0.0:443", "0.0.0.0:443", "a.example", "wss://a.example/connect", true},
        {"0.0.0.0:8443", "0.0.0.0:8443", "a.example:443", "wss://a.example:443/connect", true}, /* behind a NAT */
        {"0.0.0.0:443", "0.0.0.0:8443", "a.example:8443", "wss://a.example/connect", true},
        {"192.0.2.1:8443", "192.0.2.1:443", "a.example", "wss://a.example:8443/connect", true},
        {"192.0.2.1:443", "192.0.2.2:443", "a.example", "wss://192.0.2.1/connect", true},
        {"[2001:db8::1]:444", "192.0.2.2:443", "a.example", "wss://[2001:db8::1]:444/connect", true},
        {"[::]:444", "[::]:443", "[2001:db8::1]", "wss://[2001:db8::1]:444/connect", true},
        {"[::]:444", "[::]:443", "[2001:db8::1]:443", "wss://[2001:db8::1]:444/connect", true},
        {"127.0.0.1:80", "127.0.0.1:81", "localhost:81", "ws://localhost/connect", false},
        {"127.0.0.1:81", "127.0.0.1:81", "", "ws://127.0.0.1:81/connect", false},
    };
    char url[PAGE_URL_MAX], policy[PAGE_POLICY_MAX];

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct addr listen, app;
        struct http_text host = text(CASES[i].host);

        CHECK_INT(addr_parse(&listen, CASES[i].listen), 0);
        CHECK_INT(addr_parse(&app, CASES[i].app), 0);
        page_url(url, &(struct page_service){.tls = CASES[i].tls, .listen = &listen, .app = &app}, &host);
        CHECK_STR(url, CASES[i].url);
        page_url(url, &(struct page_service){.url = "wss://b.example/connect", .tls = true, .listen = &listen, .app = &app}, &host);
        CHECK_STR(url, "wss://b.example/connect");
    }
    page_policy(policy, url);
    CHECK(strstr(policy, "connect-src 'self' wss://b.example https://b.example;"));
}

static void test_own(void)
{
    static const struct {
        const char *origin, *host;
        bool tls, own;
    } CASES[] = {
        {"https://a.example", "a.example", true, true},
        {"https://A.example", "a.example", true, true},
        {"https://a.example:8443", "a.example:8443", true, true},
        {"https://a.example:444", "a.example", true, true}, /* the page's port */
        {"https://a.example:445", "a.example", true, false},
        {"https://b.example", "a.example", true, false},
        {"http://a.example", "a.example", true, false},
        {"https://a.example.b.example", "a.example", true, false},
        {"null", "a.example", true, false},
        {"", "", true, false},
        {"http://127.0.0.1:81", "127.0.0.1:81", false, true},
        {"http://[::1]:81", "[::1]:81", false, true},
        {"http://localhost:81", "localhost:81", false, true},
        {"http://evil.example:81", "evil.example:81", false, false}, /* a name that was made to lead to loopback */
        {"http://127.0.0.1.evil.example:81", "127.0.0.1.evil.example:81", false, false},
    };
    struct addr listen, app;

    CHECK_INT(addr_parse(&listen, "0.0.0.0:443"), 0);
    CHECK_INT(addr_parse(&app, "0.0.0.0:444"), 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct http_text origin = text(CASES[i].origin), host = text(CASES[i].host);

        CHECK_INT(page_is_own(&origin, &(struct page_service){.tls = CASES[i].tls, .listen = &listen, .app = &app}, &host),
                  CASES[i].own);
    }
}

static const struct tap_test TESTS[] = {
    {"the first byte says TURN, TLS or HTTP", test_classes},
    {"the page is told the service's address as the browser can reach it", test_url},
    {"a page of the service's own origin may use it, and on loopback no name that leads there", test_own},
};

TAP_MAIN(TESTS)
