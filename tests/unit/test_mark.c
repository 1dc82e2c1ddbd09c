/* What two probes write into the description of a call: read as it was written, and nothing else. */
#include <stdlib.h>

#include "probe/mark.h"
#include "tests/unit/tap.h"

static struct mark got;

/* What becomes of a call with this description; NULL: it has none. */
static bool reads(json_t *sdp)
{
    json_t *params = json_pack("{s:s,s:o*}", "call", "c1", "sdp", sdp);
    bool ok;

    if (!params)
        abort();
    ok = mark_read(&got, params) && mark_is(params);
    json_decref(params);
    return ok;
}

#define MARKED(packets, candidate) "v=0\r\na=x-turnpike-probe:" packets "\r\na=candidate:1 1 udp 1 " candidate "\r\n"

static void as_written(void)
{
    struct mark m = {.packets = 150};

    CHECK_INT(addr_parse(&m.relayed, "[2001:db8::1]:65535"), 0);
    CHECK(reads(mark_write(&m, "a=more:1\r\n")));
    CHECK(addr_equal(&got.relayed, &m.relayed));
    CHECK_INT(got.packets, 150);
    CHECK_STR(got.failed, "");
    m = (struct mark){.failed = "rule 5 fails with turn_401: no"};
    CHECK(reads(mark_write(&m, "a=more:1\r\n")));
    CHECK_STR(got.failed, m.failed);
    CHECK_INT(got.packets, 0);
    CHECK_INT(got.relayed.family, ADDR_NONE);
}

static void nothing_else(void)
{
    static const char *const TEXTS[] = {
        "",
        "v=0\r\n",
        "v=0\r\ns=a=x-turnpike-probe:150\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ relay\r\n",
        MARKED("0", "192.0.2.1 5 typ relay"),
        MARKED("501", "192.0.2.1 5 typ relay"),
        MARKED("5000000000", "192.0.2.1 5 typ relay"),
        MARKED("-1", "192.0.2.1 5 typ relay"),
        MARKED("150", "192.0.2.1 0 typ relay"),
        MARKED("150", "192.0.2.1 65536 typ relay"),
        MARKED("150", "192.0.2.1 -5 typ relay"),
        MARKED("150", "192.0.2.1"),
        MARKED("150", "0.0.0.0 5 typ relay"),
        MARKED("150", "relay.example 5 typ relay"),
        MARKED("150", "111111111111111111111111111111111111111111111111111111111111 5 typ relay"),
        "v=0\r\na=x-turnpike-probe:150\r\n",
        "v=0\r\na=x-turnpike-probe:0\r\na=x-turnpike-probe-failed:\r\n",
    };

    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        CHECK(!reads(json_string(TEXTS[i])));
    CHECK(!reads(NULL));
    CHECK(!reads(json_integer(7)));
    CHECK(reads(json_string(MARKED("500", "192.0.2.1 5 typ relay"))));
}

static void clean(void)
{
    char out[MARK_FAILED_MAX], longer[2 * MARK_FAILED_MAX];

    CHECK_STR(mark_clean(out, "a\x1b[2J\tb\x7f", 7), "a?[2J?b");
    CHECK_STR(mark_clean(out, "ab", 1), "a");
    CHECK_STR(mark_clean(out, "", 0), "");
    memset(longer, 'x', sizeof(longer));
    memcpy(longer + MARK_FAILED_MAX - 2, "\xc3\xa4", 2); /* cut in the middle */
    mark_clean(out, longer, sizeof(longer));
    CHECK_INT(strlen(out), MARK_FAILED_MAX - 1);
    CHECK(out[MARK_FAILED_MAX - 2] == '?');
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"a description is read as it was written, with a relayed address or a reason", as_written},
        {"what is no probe's, or malformed, is none", nothing_else},
        {"a reason of somebody else's becomes one line of text, cut between characters", clean},
    };

    return tap_main(tests, sizeof(tests) / sizeof(tests[0]));
}
