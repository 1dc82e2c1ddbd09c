/* The rules of firewalls as a file has them, the codes for what is wrong with one, and the line that opens it. */
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/utf8.h"
#include "probe/report.h"

static char error[RULES_ERROR_MAX];
static struct rules rules;

static int parse(const char *text)
{
    return rules_parse(&rules, "f.rules", text, strlen(text), error);
}

/* As in a file, `TP_SRCDIR` being where the tests run from. */
static const char *example(void)
{
    static char path[4096];
    const char *top = getenv("TP_SRCDIR");

    snprintf(path, sizeof(path), "%s/packaging/examples/ucconnect.rules", top ? top : ".");
    return path;
}

static void five(void)
{
    const struct rules *five = rules_five();

    CHECK_INT(rules_read(&rules, example(), error), 0);
    CHECK_INT(rules.n, 5);
    CHECK_INT(five->n, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct rule *a = &rules.item[i], *b = &five->item[i];

        CHECK_INT(a->number, b->number);
        CHECK_INT(a->source, b->source);
        CHECK_INT(a->target, b->target);
        CHECK_INT(a->protocol, b->protocol);
        CHECK_INT(a->port, b->port);
        CHECK_INT(a->checks, b->checks);
        CHECK_STR(a->text, b->text);
    }
}

static void hosts(void)
{
    CHECK_INT(parse("7 out server 192.0.2.7 tcp/8443 http\r\n"
                    "\t9999   out browser turn.example.org udp/1 turn,stun \"\"\n"
                    "8 out server 2001:db8::1 udp/65535 stun \"caf\xc3\xa9\"  "),
              0);
    CHECK_INT(rules.n, 3);
    CHECK_INT(rules.item[0].target, RULES_HOST);
    CHECK_STR(rules.item[0].host, "192.0.2.7");
    CHECK_INT(rules.item[0].checks, RULES_HTTP);
    CHECK_INT(rules.item[1].number, 9999);
    CHECK_STR(rules.item[1].host, "turn.example.org");
    CHECK_INT(rules.item[1].checks, RULES_STUN | RULES_TURN);
    CHECK_STR(rules.item[2].host, "2001:db8::1");
    CHECK_INT(rules.item[2].port, 65535);
    CHECK_STR(rules.item[2].text, "caf\xc3\xa9");
    CHECK_INT(parse("\xef\xbb\xbf# from Windows\r\n1 out server pbx_1.7up.lan udp/1 stun\r\n"), 0);
    CHECK_STR(rules.item[0].host, "pbx_1.7up.lan");
}

/* Each is refused, and the error names file, line and what is expected. */
static void refused(void)
{
    static const struct {
        const char *text, *says;
    } BAD[] = {
        {"", "no rule in it"},
        {"# nothing\n\n", "f.rules:2: there is no rule"},
        {"x out server relay udp/3478 stun", "f.rules:1: a rule begins with its number"},
        {"0 out server relay udp/3478 stun", "begins with its number"},
        {"10000 out server relay udp/3478 stun", "begins with its number"},
        {"1 out server relay udp/3478 stun\n1 out browser relay udp/3478 stun", "f.rules:2: there is a rule 1 already"},
        {"1 in server relay udp/3478 stun", "the direction is 'out'"},
        {"1 out home relay udp/3478 stun", "'server' or 'browser', not 'home'"},
        {"1 out server re/lay udp/3478 stun", "not 're/lay'"},
        {"1 out server 203.0.113.010 udp/3478 stun", "not '203.0.113.010'"},
        {"1 out server 203.0.113 udp/3478 stun", "not '203.0.113'"},
        {"1 out server 0xCB.0x7f udp/3478 stun", "not '0xCB.0x7f'"},
        {"1 out server relay.1. udp/3478 stun", "not 'relay.1.'"},
        {"1 out server .. udp/3478 stun", "not '..'"},
        {"1 out server -relay udp/3478 stun", "not '-relay'"},
        {"1 out server", "the destination is"},
        {"1 out server relay sctp/3478 stun", "not 'sctp/3478'"},
        {"1 out server relay udp/65536 stun", "not 'udp/65536'"},
        {"1 out server relay udp/0 stun", "protocol and port"},
        {"1 out server relay udp stun", "protocol and port"},
        {"1 out server relay udp/3478", "a check is missing"},
        {"1 out server relay udp/3478 ,", "a check is missing"},
        {"1 out server relay udp/3478 stun,sip", "not 'sip'"},
        {"1 out server relay udp/3478 http", "'http' goes by tcp"},
        {"1 out server relay tcp/3478 stun", "'stun' goes by udp"},
        {"1 out server app tcp/443 http,websocket", "two rules"},
        {"1 out server relay udp/3478 stun text", "in double quotes"},
        {"1 out server relay udp/3478 stun \"text", "in double quotes"},
        {"1 out server relay udp/3478 stun \"a\" b", "behind the text"},
        {"1 out server relay udp/3478 stun \"\x1b[2J\"", "without control characters"},
        {"1 out server relay udp/3478 stun \"\xc3\"", "in UTF-8"},
    };

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        CHECK_INT(parse(BAD[i].text), ERR_CONFIG);
        if (!strstr(error, BAD[i].says))
            printf("# %s: %s\n", BAD[i].text, error);
        CHECK(strstr(error, BAD[i].says));
    }
    CHECK_INT(rules_parse(&rules, "f.rules", "1 out\0", 6, error), ERR_CONFIG);
    CHECK_INT(rules_read(&rules, "/nonexistent/rules", error), ERR_NOENT);
    CHECK_STR(error, "/nonexistent/rules: cannot be read: No such file or directory");
}

static void bounds(void)
{
    static char text[RULES_FILE_MAX];
    size_t n = 0;

    for (unsigned i = 1; i <= RULES_MAX + 1; i++) {
        CHECK_INT(parse(n ? text : "1 out server relay udp/1 stun"), 0);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%u out server relay udp/1 stun\n", i);
    }
    CHECK_INT(parse(text), ERR_CONFIG);
    CHECK(strstr(error, "at most 64 rules"));
    memset(text, '#', RULES_LINE_MAX + 1);
    text[RULES_LINE_MAX + 1] = '\0';
    CHECK_INT(parse(text), ERR_CONFIG);
    n = (size_t)snprintf(text, sizeof(text), "1 out server relay udp/1 stun \"%0200d\"", 0);
    CHECK_INT(parse(text), ERR_CONFIG);
    text[n - 2] = '"';
    text[n - 1] = '\0';
    CHECK_INT(parse(text), 0);
    (void)snprintf(text, sizeof(text), "1 out server %0252da udp/1 stun", 0);
    CHECK_INT(parse(text), 0);
    (void)snprintf(text, sizeof(text), "1 out server %0253da udp/1 stun", 0);
    CHECK_INT(parse(text), ERR_CONFIG);
}

static void codes(void)
{
    CHECK_STR(codes_name(CODE_NONE), "");
    for (int c = CODE_NONE + 1; c < CODE_N; c++) {
        const char *name = codes_name((enum code)c);

        CHECK(name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name) && *name);
        CHECK(codes_text((enum code)c) && codes_cure((enum code)c));
        for (int other = 0; other < c; other++)
            CHECK(strcmp(name, codes_name((enum code)other)) != 0);
    }
    CHECK(codes_adds_rule(CODE_UDP_TIMEOUT) && !codes_adds_rule(CODE_TURN_401));
}

static void lines(void)
{
    struct report report = {.n = 2};
    struct report_line *l = report.line;
    struct report_measures m = {.sent = 1000, .received = 950};
    char add[REPORT_ADD_MAX];

    *l = (struct report_line){.rule = &rules_five()->item[3], .host = "turn.example.org", .port = 3479, .verdict = REPORT_PASS};
    CHECK_STR(report_rule_line(l, add), "allow out udp office -> turn.example.org:3479");
    CHECK_INT(addr_parse(&l->address, "[2001:db8::1]:3479"), 0);
    CHECK_STR(report_rule_line(l, add), "allow out udp office -> [2001:db8::1]:3479");
    CHECK_INT(report_worst(&report), REPORT_PASS);
    l[1].verdict = REPORT_WARN;
    CHECK_INT(report_worst(&report), REPORT_WARN);
    l[0].verdict = REPORT_FAIL;
    CHECK_STR(report_verdict_name(report_worst(&report)), "FAIL");
    CHECK(report_loss(&m) > 4.99 && report_loss(&m) < 5.01);
    CHECK(report_loss(&report.line[0].measures) < 0.01);
}

static const struct tap_test TESTS[] = {
    {"the five rules of the program are those of the shipped file", five},
    {"names, addresses, checks and texts of a rule are read", hosts},
    {"what can't be read is refused with file, line and what is expected", refused},
    {"rules, lines, names and texts have bounds", bounds},
    {"each code has a name of its own, a text and a cure", codes},
    {"the line that opens a rule, the heaviest verdict, and loss", lines},
};

TAP_MAIN(TESTS)
