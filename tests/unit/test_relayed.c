/* Relayed addresses that the sides of a call name, and who is told of them. */
#include "connect/relayed.h"

#include <string.h>

#include "connect/call.h"
#include "tests/unit/deskfake.h"

enum { ALICE, OFFICE };

static void candidates(void)
{
    static const struct {
        const char *text, *address; /* "": none */
    } CASES[] = {
        {"candidate:1 1 udp 41885439 192.0.2.1 49152 typ relay raddr 0.0.0.0 rport 0", "192.0.2.1:49152"},
        {"candidate:1 1 UDP 41885439 2001:db8::1 65535 typ relay", "[2001:db8::1]:65535"},
        {"candidate:1 1 udp 41885439 192.0.2.1 49152 typ srflx raddr 0.0.0.0 rport 0", ""},
        {"candidate:1 1 tcp 41885439 192.0.2.1 49152 typ relay", ""},
        {"candidate:1 1 udp 41885439 relay.example 49152 typ relay", ""},
        {"candidate:1 1 udp 41885439 192.0.2.1 65536 typ relay", ""},
        {"candidate:1 1 udp 41885439 192.0.2.1 0 typ relay", ""},
        {"candidate:1 1 udp 41885439 192.0.2.1 49152x typ relay", ""},
        {"candidate:1 1 udp 41885439 192.0.2.1 49152 typ", ""},
        {"a=candidate:1 1 udp 41885439 192.0.2.1 49152 typ relay", ""},
        {"", ""},
    };
    char text[ADDR_TEXT_MAX];
    struct addr a;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s\n", CASES[i].text);
        CHECK_STR(relayed_read(&a, CASES[i].text) ? addr_text(&a, text) : "", CASES[i].address);
    }
}

static void append(void *ctx, const struct addr *relayed)
{
    char text[ADDR_TEXT_MAX], *all = ctx;

    strcat(all, addr_text(relayed, text));
    strcat(all, " ");
}

static void descriptions(void)
{
    char all[256] = "", line[1024];

    relayed_each("v=0\r\na=candidate:1 1 udp 1 192.0.2.1 1000 typ relay\r\na=candidate:1 1 udp 1 192.0.2.2 1000 typ host\n\n"
                 "a=candidate:1 1 udp 1 192.0.2.3 1000 typ relay",
                 append, all);
    CHECK_STR(all, "192.0.2.1:1000 192.0.2.3:1000 ");
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    memcpy(line, "a=candidate:", 12);
    all[0] = '\0';
    relayed_each(line, append, all); /* too long a line is none */
    relayed_each("a=\r\na", append, all);
    CHECK_STR(all, "");
}

/* ---- At the desk. ---- */

static void named(void)
{
    char call[64];

    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'a=candidate:1 1 udp 1 192.0.2.1 1000 "
                    "typ relay'}}");
    CHECK(fake_hears_at_last(ALICE, "'result':{'call':'c"));
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    CHECK_STR(fake_relayed_call, call);
    CHECK_STR(fake_relayed, "192.0.2.1:1000");
    fake_say(OFFICE,
             "{'jsonrpc':'2.0','method':'call.candidate','params':{'call':'%s','candidate':'candidate:1 1 udp 1 192.0.2.2 1000 typ "
             "relay'}}",
             call);
    CHECK_STR(fake_relayed, "192.0.2.2:1000");
    CHECK_INT(fake_nrelayed, 2);
    for (int i = 0; i < 2 * LEG_RELAYED_MAX; i++)
        fake_say(ALICE,
                 "{'jsonrpc':'2.0','method':'call.candidate','params':{'call':'%s','candidate':'candidate:1 1 udp 1 192.0.2.1 %d "
                 "typ relay'}}",
                 call, 1001 + i);
    CHECK_INT(fake_nrelayed, LEG_RELAYED_MAX + 1); /* hers, and the bridge's */
    fake_say(ALICE, "{'jsonrpc':'2.0','method':'call.candidate','params':{'call':'cfff','candidate':'candidate:1 1 udp 1 192.0.2.9 "
                    "1000 typ relay'}}");
    CHECK_INT(fake_nrelayed, LEG_RELAYED_MAX + 1); /* it is not her call */
}

static const struct tap_test TESTS[] = {
    {"a candidate is read if it is relayed, over UDP, and whole", candidates},
    {"a description has those of its lines", descriptions},
    {"S20 the relayed addresses of a call are told with its id, sixteen of each side", named},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
