/* Where the other end's probe says that it can be reached: what is read from its description, what is sent nowhere, and whose packets count. */
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "probe/direct.h"
#include "probe/end.h"
#include "probe/trial.h"

#define MARK "a=x-turnpike-direct:0001020304050607\r\n"

static struct direct_targets targets;

static size_t read_from(const char *own, const char *sdp)
{
    struct addr a;

    if (addr_parse(&a, own))
        return SIZE_MAX;
    direct_read(&targets, sdp, &a);
    return targets.n;
}

/* One candidate, from a host at 192.0.2.1. */
static size_t read_one(const char *candidate)
{
    char sdp[512];

    snprintf(sdp, sizeof(sdp), MARK "a=candidate:2 1 udp 1 %s\r\n", candidate);
    return read_from(strchr(candidate, ':') ? "[2001:db8::1]:4000" : "192.0.2.1:4000", sdp);
}

static void both_kinds(void)
{
    static const uint8_t NONCE[DIRECT_NONCE] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const char SDP[] =
        "v=0\r\na=x-turnpike-probe:150\r\na=candidate:1 1 udp 1 203.0.113.1 50000 typ relay\r\n" MARK
        "a=candidate:2 1 udp 1 10.20.0.3 4001 typ host\r\na=candidate:3 1 udp 1 198.51.100.7 4002 typ srflx\r\n";
    char text[ADDR_TEXT_MAX];

    CHECK_INT(read_from("192.0.2.1:4000", SDP), 2);
    CHECK_MEM(targets.nonce, NONCE, DIRECT_NONCE);
    CHECK_STR(addr_text(&targets.at[0], text), "10.20.0.3:4001");
    CHECK_STR(addr_text(&targets.at[1], text), "198.51.100.7:4002");
    CHECK(targets.index[0] == 0 && targets.index[1] == 1);
}

static void older_probe(void)
{
    CHECK_INT(read_from("192.0.2.1:4000", "v=0\r\na=x-turnpike-probe:150\r\na=candidate:1 1 udp 1 203.0.113.1 50000 typ relay\r\n"),
              0);
    CHECK_INT(read_from("192.0.2.1:4000", "a=candidate:2 1 udp 1 198.51.100.7 4002 typ host\r\n"), 0);
    CHECK_INT(read_from("192.0.2.1:4000", "a=x-turnpike-direct:00\r\na=candidate:2 1 udp 1 198.51.100.7 4002 typ host\r\n"), 0);
    CHECK_INT(read_from("192.0.2.1:4000", ""), 0);
}

static void nowhere(void)
{
    static const char *const REFUSED[] = {"224.0.0.1 4001 typ host",
                                          "255.255.255.255 4001 typ host",
                                          "240.0.0.1 4001 typ host",
                                          "0.0.0.0 4001 typ host",
                                          "0.1.2.3 4001 typ host",
                                          "127.0.0.1 4001 typ host",
                                          "192.0.2.1 4001 typ host",
                                          "198.51.100.7 0 typ host",
                                          "198.51.100.7 53 typ host",
                                          "ff02::1 4001 typ host",
                                          "198.51.100.7 65536 typ host",
                                          "198.51.100.7 -1 typ host",
                                          "name.example 4001 typ host",
                                          ":: 4001 typ host",
                                          "::1 4001 typ host",
                                          "2001:db8::1 4001 typ host",
                                          "::ffff:127.0.0.1 4001 typ host",
                                          "198.51.100.7",
                                          "198.51.100.7 4001 typ relay"};

    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        if (read_one(REFUSED[i]))
            printf("# %s\n", REFUSED[i]);
        CHECK_INT(targets.n, 0);
    }
    CHECK_INT(read_one("198.51.100.7 4001 typ srflx"), 1);
    CHECK_INT(read_one("2001:db8::2 4001 typ host"), 1);
    CHECK_INT(read_from("[2001:db8::1]:1", MARK "a=candidate:2 1 udp 1 198.51.100.7 4001 typ host\r\n"), 0);
    CHECK_INT(read_from("127.0.0.1:1", MARK "a=candidate:2 1 udp 1 127.0.0.1 4001 typ host\r\n"), 1);
    CHECK_INT(read_from("127.0.0.1:1", MARK "a=candidate:2 1 udp 1 198.51.100.7 4001 typ host\r\n"), 0);
}

/* One that is of no use is counted by its end all the same. */
static void bounded(void)
{
    char sdp[1024] = MARK "a=candidate:2 1 udp 1 224.0.0.1 4000 typ host\r\n";

    for (int i = 0; i < 9; i++)
        snprintf(sdp + strlen(sdp), sizeof(sdp) - strlen(sdp), "a=candidate:%d 1 udp 1 198.51.100.7 400%d typ host\r\n", 3 + i, i);
    CHECK_INT(read_from("192.0.2.1:4000", sdp), DIRECT_TARGETS);
    CHECK_INT(targets.index[0], 1);
    CHECK_INT(targets.index[DIRECT_TARGETS - 1], DIRECT_TARGETS);
}

/* ---- Packets, on loopback. ---- */

static struct event_base *base;
static struct probe probe;

struct place {
    struct trial trial;
    struct report_line line;
    struct end *end;
    struct direct *direct;
    char lines[DIRECT_TEXT_MAX];
};

static void on_done(void *ctx, struct end *e, const struct end_result *r)
{
    (void)ctx;
    (void)e;
    (void)r;
}

static void open_place(struct place *p)
{
    static const struct end_events EVENTS = {on_done, NULL};
    struct addr relay;
    const struct end_config config = {.base = base, .server = &relay, .rto_ms = 500};

    *p = (struct place){.trial = {.probe = &probe, .line = &p->line}, .line = {.verdict = REPORT_PASS}};
    if (addr_parse(&relay, "127.0.0.1:9") || end_open(&p->end, &config, &EVENTS, p) ||
        direct_new(&p->direct, &p->trial, p->end, &(struct addr){0}))
        exit(99);
    direct_lines(p->direct, p->lines);
}

static void close_place(struct place *p)
{
    direct_free(&p->direct);
    end_free(&p->end);
}

/* The stranger knows the address, and not the number; what it sends arrives first. */
static void strangers(void)
{
    struct place here, there, stranger;
    char wrong[DIRECT_TEXT_MAX], text[ADDR_TEXT_MAX], says[128];
    char *digit;
    struct addr from;

    base = probe.base = event_base_new();
    open_place(&here);
    open_place(&there);
    open_place(&stranger);
    memcpy(wrong, here.lines, sizeof(wrong));
    digit = strchr(strstr(wrong, "direct:"), ':') + 1;
    *digit = *digit == '0' ? '1' : '0';
    direct_begin(stranger.direct, wrong);
    event_base_loop(base, EVLOOP_NONBLOCK);
    direct_begin(there.direct, here.lines);
    while (here.line.verdict == REPORT_PASS && event_base_loop(base, EVLOOP_ONCE) == 0)
        continue;
    CHECK(here.line.verdict == REPORT_WARN && here.line.code == CODE_OPEN_TOO_WIDE && here.line.stage == REPORT_QUALITY);
    from = end_local(there.end);
    snprintf(says, sizeof(says), "straight from %s to ", addr_text(&from, text));
    CHECK(strstr(here.line.evidence, says));
    CHECK(there.line.verdict == REPORT_PASS && stranger.line.verdict == REPORT_PASS);
    close_place(&here);
    close_place(&there);
    close_place(&stranger);
    event_base_free(base);
}

static const struct tap_test TESTS[] = {
    {"host and server-reflexive candidates are read, the relayed one is not among them", both_kinds},
    {"an older probe, which tells none, is sent nothing", older_probe},
    {"nothing goes to groups, to nobody, to this host, to another family, or to what is no address", nowhere},
    {"at most so many are taken", bounded},
    {"what arrives straight is open too wide, and a stranger's packet is not it", strangers},
};

TAP_MAIN(TESTS)
