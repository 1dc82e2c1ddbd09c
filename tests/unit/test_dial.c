/* What a client of the connect service is given, and what it reads before its WebSocket is open; test_connectclient.c has the rest. */
#include "tests/unit/tap.h"

#include "base/err.h"
#include "connect/dialhead.h"

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
    static const struct {
        const char *value;
        bool good;
    } CONNECTIONS[] = {{"Upgrade", true},
                       {"keep-alive, upgrade", true}, /* what a proxy adds */
                       {"upgrade,close", true},
                       {"keep-alive", false},
                       {"upgrades", false},
                       {"", false},
                       {"Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate", false}}; /* RFC 6455 section 4.1 */
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
    for (size_t i = 0; i < sizeof(CONNECTIONS) / sizeof(CONNECTIONS[0]); i++) {
        len = snprintf(big, sizeof(big),
                       "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: %s\r\nSec-WebSocket-Accept: %s\r\n"
                       "Sec-WebSocket-Protocol: x\r\n\r\n",
                       CONNECTIONS[i].value, accept);
        printf("# %s\n", CONNECTIONS[i].value);
        CHECK_INT(!dialhead_wrong(big, (size_t)len, accept, "x"), CONNECTIONS[i].good);
    }
    CHECK_INT(dialhead_len(GOOD, 40), 0);
    CHECK_INT(dialhead_status("HTTP/2 101 OK\r\n\r\n", 17), ERR_MALFORMED);
    CHECK_INT(dialhead_status("HTTP/1.1 1x1 OK\r\n\r\n", 19), ERR_MALFORMED);
    CHECK_INT(dialhead_status("x\r\n\r\n", 5), ERR_MALFORMED);
    memset(big, 'a', sizeof(big));
    CHECK_INT(dialhead_len(big, sizeof(big)), ERR_MSGSIZE);
    CHECK_INT(dialhead_len(big, sizeof(big) - 1), 0);
}

static const struct tap_test tests[] = {
    {"URLs: wss://, no secrets, ws:// on loopback only", urls},
    {"heads of answers, RFC 6455's own example", heads},
};
TAP_MAIN(tests)
