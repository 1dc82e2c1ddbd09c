/* sipplace: where the PBX is, in every way that it may be written. */
#include "bridge/sipplace.h"

#include "base/err.h"
#include "tests/unit/tap.h"

static struct sipplace p;

static void good(void)
{
    static const struct {
        const char *text, *host, *domain, *all;
        bool ip;
    } cases[] = {
        {"pbx.example", "pbx.example", "pbx.example", "pbx.example", false},
        {"pbx_1.example:5070", "pbx_1.example", "pbx_1.example", "pbx_1.example:5070", false},
        {"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1:65535", "192.0.2.1", "192.0.2.1", "192.0.2.1:65535", true},
        {"2001:db8::1", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]", true},
        {"[2001:db8::1]", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]", true},
        {"[2001:db8::1]:1", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:1", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        printf("# %s\n", cases[i].text);
        CHECK_INT(sipplace_read(&p, cases[i].text), 0);
        CHECK_STR(p.host, cases[i].host);
        CHECK_STR(p.domain, cases[i].domain);
        CHECK_STR(p.all, cases[i].all);
        CHECK_INT(p.ip.family != ADDR_NONE, cases[i].ip);
        CHECK_INT(p.ip.port, 0);
    }
}

static void bad(void)
{
    static const char *const cases[] = {
        "",
        ":5060",
        "pbx:",
        "pbx:0",
        "pbx:65536",
        "pbx:123456",
        "pbx:000001",
        "pbx:5060x",
        "pbx:-1",
        "sip:pbx",
        "a b",
        "a@b",
        "a;transport=tcp",
        "[192.0.2.1]",
        "[pbx]",
        "[]",
        "[2001:db8::1",
        "pbx:1:2",
        "[::1]x",
        "[2001:db8::1]:",
        "<pbx>",
        "2001:db8::1::2",
        "a\r\nb",
    };
    char longest[2 * SIPPLACE_MAX];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        printf("# %s\n", cases[i]);
        CHECK_INT(sipplace_read(&p, cases[i]), ERR_INVAL);
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    CHECK_INT(sipplace_read(&p, longest), ERR_INVAL);
}

static const struct tap_test TESTS[] = {
    {"a name or an address, with and without a port and brackets", good},
    {"what is neither is refused", bad},
};

TAP_MAIN(TESTS)
