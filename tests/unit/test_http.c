/* The head of a request as the connect service reads it. */
#include "connect/http.h"

#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/tap.h"

#define KEY      "dGhlIHNhbXBsZSBub25jZQ=="
#define UPGRADE  "GET /connect HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: " HTTP_PROTOCOL "\r\n"

static int read_text(struct http_head *h, const char *text)
{
    return http_read(h, text, strlen(text));
}

static void test_request(void)
{
    struct http_head h;

    CHECK_INT(
        read_text(&h,
                  "GET /a/b.js?c=/d HTTP/1.1\r\nhost:  a.example:8443 \r\nOrigin: https://b\r\nIf-None-Match: \"x\"\r\n\r\nGET"),
        0);
    CHECK_INT(h.len, 92);
    CHECK(http_text_is(&h.path, "/a/b.js"));
    CHECK(http_text_is(&h.host, "a.example:8443"));
    CHECK(http_text_is(&h.origin, "https://b"));
    CHECK(http_text_is(&h.if_none_match, "\"x\""));
    CHECK(h.keep && !h.head && !h.upgrade);
    CHECK_INT(read_text(&h, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"), 0);
    CHECK(h.head && !h.keep);
    CHECK_INT(read_text(&h, "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), 0);
    CHECK(!h.keep && !h.upgrade);
    CHECK_INT(read_text(&h, "GET https://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    CHECK(http_text_is(&h.host, "b:1") && http_text_is(&h.path, "/x"));
}

static void test_pieces(void)
{
    static const char TEXT[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct http_head h;

    for (size_t n = 0; n < sizeof(TEXT) - 1; n++)
        CHECK_INT(http_read(&h, TEXT, n), ERR_AGAIN);
    CHECK_INT(http_read(&h, TEXT, sizeof(TEXT) - 1), 0);
}

static void test_refused(void)
{
    static const struct {
        const char *text;
        int status;
    } CASES[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a@b/a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a; script-src *\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nOrigin: a\r\nOrigin: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 1\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
    };
    struct http_head h;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        CHECK_INT(read_text(&h, CASES[i].text), ERR_MALFORMED);
        CHECK_INT(h.status, CASES[i].status);
        CHECK(h.why != NULL);
        CHECK(strcmp(http_reason(h.status), "Error") != 0);
    }
}

static void test_sizes(void)
{
    static const char BEGIN[] = "GET / HTTP/1.1\r\nHost: a\r\n";
    char buf[HTTP_HEAD_MAX + 1];
    struct http_head h;
    size_t n = sizeof(BEGIN) - 1;

    memset(buf, 'a', sizeof(buf));
    CHECK_INT(http_read(&h, buf, HTTP_HEAD_MAX - 1), ERR_AGAIN);
    CHECK_INT(http_read(&h, buf, HTTP_HEAD_MAX), ERR_MALFORMED);
    CHECK_INT(h.status, 414);
    memcpy(buf, BEGIN, n);
    CHECK_INT(http_read(&h, buf, HTTP_HEAD_MAX), ERR_MALFORMED);
    CHECK_INT(h.status, 431);
    buf[n + 1] = ':';
    memcpy(buf + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
    CHECK_INT(http_read(&h, buf, sizeof(buf)), 0);
    CHECK_INT(h.len, HTTP_HEAD_MAX);
    memcpy(buf + HTTP_HEAD_MAX - 4, "a\r\n\r\n", 5);
    CHECK_INT(http_read(&h, buf, sizeof(buf)), ERR_MALFORMED);
    for (unsigned fields = 1; fields < HTTP_FIELDS_MAX; fields++, n += 5)
        memcpy(buf + n, "a:b\r\n", 5);
    memcpy(buf + n, "\r\n", 2);
    CHECK_INT(http_read(&h, buf, n + 2), 0);
    memcpy(buf + n, "a:b\r\n\r\n", 7);
    CHECK_INT(http_read(&h, buf, n + 7), ERR_MALFORMED);
    CHECK_INT(h.status, 431);
}

static void test_upgrade(void)
{
    struct http_head h;
    char accept[HTTP_ACCEPT_LEN + 1];

    CHECK_INT(read_text(&h, UPGRADE PROTOCOL "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n"), 0);
    CHECK_INT(http_may_upgrade(&h), 0);
    CHECK_INT(http_accept(accept, &h.key), 0);
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455 section 1.3 */
    CHECK_INT(
        read_text(&h,
                  "GET /connect HTTP/1.1\r\nHost: a\r\nUPGRADE: a, WebSocket\r\nConnection: keep-alive\r\nConnection: ,upgrade\r\n"
                  "Sec-WebSocket-Protocol: a\r\n" PROTOCOL "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n"),
        0);
    CHECK_INT(http_may_upgrade(&h), 0);
}

static void test_no_upgrade(void)
{
    static const struct {
        const char *text;
        int status;
    } CASES[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 426},
        {UPGRADE PROTOCOL "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", 426},
        {UPGRADE PROTOCOL "Sec-WebSocket-Key: " KEY "\r\n\r\n", 426},
        {UPGRADE PROTOCOL "Sec-WebSocket-Version: 13\r\n\r\n", 400},
        {UPGRADE PROTOCOL "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n", 400},
        {UPGRADE PROTOCOL "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n\r\n", 400},
        {UPGRADE PROTOCOL "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhl\r\n\r\n", 400},
        {UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", 400},
        {UPGRADE "Sec-WebSocket-Protocol: Turnpike.connect.v1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n",
         400},
    };
    struct http_head h;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        CHECK_INT(read_text(&h, CASES[i].text), 0);
        CHECK_INT(http_may_upgrade(&h), ERR_MALFORMED);
        CHECK_INT(h.status, CASES[i].status);
    }
}

static const struct tap_test TESTS[] = {
    {"a request: target, host, what the connection may do", test_request},
    {"S20 a head that comes in pieces is waited for", test_pieces},
    {"S20 a request that is no good is refused with the status that says why", test_refused},
    {"S20 a head of 8192 bytes and of a hundred fields, and no more", test_sizes},
    {"a WebSocket is opened", test_upgrade},
    {"a WebSocket that lacks something is not", test_no_upgrade},
};

TAP_MAIN(TESTS)
