/* Rules of a firewall, written as firewalls read them: which openings a side has, and each format's text. */
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "base/err.h"
#include "probe/generate.h"

static char error[OPENINGS_ERROR_MAX];
static struct openings openings;
static struct rules rules;

/* In no order, and one of them twice, as name servers answer. */
static int resolve(const char *name, struct addr *out, size_t max)
{
    static const char *const ADDRESSES[] = {"2001:db8::10", "203.0.113.11", "203.0.113.10", "203.0.113.11"};

    if (strcmp(name, "connect.example.com") != 0 || max < 4)
        return strcmp(name, "nowhere.example.com") == 0 ? ERR_NOENT : 0;
    for (size_t i = 0; i < 4; i++)
        (void)addr_parse_ip(&out[i], ADDRESSES[i]);
    return 4;
}

/* A name with addresses of both families, an address, and an address with a port. */
static struct openings_config config(enum openings_side side)
{
    return (struct openings_config){.rules = rules_five(),
                                    .side = side,
                                    .host = {[RULES_CONNECT] = {"connect.example.com", 0},
                                             [RULES_APP] = {"2001:db8::20", 0},
                                             [RULES_RELAY] = {"203.0.113.10", 3479}},
                                    .min_port = 49152,
                                    .max_port = 65535,
                                    .resolve = resolve};
}

/* The openings of that side are made, if they can be: 0 or the error. */
static int make(enum openings_side side, const char *from, bool peers_outside)
{
    struct openings_config c = config(side);

    c.from = from;
    c.peers_outside = peers_outside;
    return openings_make(&openings, &c, error);
}

/* Is that what is written? The first line that differs is shown. */
static bool writes(enum generate_format format, enum generate_place place, const char *want)
{
    char *text = NULL, *have;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    bool same;

    if (!f)
        return false;
    generate_write(f, format, &openings, place);
    if (fclose(f))
        return false;
    for (have = text; *want && *have && strncmp(have, want, strcspn(want, "\n") + 1) == 0; want += strcspn(want, "\n") + 1)
        have += strcspn(have, "\n") + 1;
    same = !*want && !*have;
    if (!same)
        printf("# written: %.*s\n# wanted:  %.*s\n", (int)strcspn(have, "\n"), have, (int)strcspn(want, "\n"), want);
    free(text);
    return same;
}

static bool holds(enum generate_format format, enum generate_place place, const char *part)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    bool there;

    if (!f)
        return false;
    generate_write(f, format, &openings, place);
    there = fclose(f) == 0 && strstr(text, part);
    free(text);
    return there;
}

/* ---- Which openings. ---- */

static void sides(void)
{
    struct openings_config c = config(OPENINGS_RELAY);

    CHECK_INT(make(OPENINGS_OFFICE, NULL, false), 0);
    CHECK_INT(openings.n, 2);
    CHECK_INT(openings.item[0].rule, 1);
    CHECK_INT(openings.item[1].rule, 4);
    CHECK_INT(openings.item[1].port, 3479);
    CHECK_INT(openings.item[0].n, 3);
    CHECK(openings_family(&openings, ADDR_V6));
    CHECK_INT(make(OPENINGS_BROWSER, NULL, false), 0);
    CHECK_INT(openings.n, 3);
    CHECK_INT(openings.item[0].rule, 2);
    CHECK_INT(openings.item[2].rule, 5);
    c.host[RULES_CONNECT].name = c.host[RULES_APP].name = c.host[RULES_RELAY].name = NULL;
    CHECK_INT(openings_make(&openings, &c, error), 0);
    CHECK_INT(openings.n, 3);
    c.peers_outside = true;
    CHECK_INT(openings_make(&openings, &c, error), 0);
    CHECK_INT(openings.n, 4);
    CHECK_INT(openings.item[3].port, 49152);
    CHECK_INT(openings.item[3].last, 65535);
}

/* By a network, all addresses are of its family. */
static void from(void)
{
    static const struct {
        const char *word, *text;
    } GOOD[] = {{"10.20.0.3", "10.20.0.3"},
                {"10.20.3.3/16", "10.20.0.0/16"},
                {"10.20.0.3/32", "10.20.0.3"},
                {"192.0.2.255/25", "192.0.2.128/25"},
                {"0.0.0.0/0", "0.0.0.0/0"}};
    static const char *const BAD[] = {"",
                                      "office",
                                      "10.20.0.3/33",
                                      "10.20.0.3/",
                                      "10.20.0.3/1x",
                                      "10.20.0.3/-1",
                                      "10.20.0.3/0016",
                                      "10.20.0.3/24/24",
                                      "2001:db8::/129",
                                      "10.20.0.3 accept",
                                      "/8"};

    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        CHECK_INT(make(OPENINGS_OFFICE, GOOD[i].word, false), 0);
        CHECK_STR(openings.from, GOOD[i].text);
        CHECK_INT(openings.item[0].n, 2);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        CHECK_INT(make(OPENINGS_OFFICE, BAD[i], false), ERR_CONFIG);
    CHECK_INT(make(OPENINGS_OFFICE, "2001:db8::3", false), ERR_CONFIG);
    CHECK_STR(error, "203.0.113.10 has no address of the family of '2001:db8::3': leave that out, or name one of the same family");
}

static void refused(void)
{
    static const struct {
        const char *connect, *says;
    } BAD[] = {
        {NULL, "rule 1 is about the connect host: name it with --connect"},
        {"nowhere.example.com", "the name nowhere.example.com has no address: give it one, or write the IP address in its place"},
        {"empty.example.com", "the name empty.example.com has no address: give it one, or write the IP address in its place"},
        {"a b", "'a b' is neither a name nor an IP address"},
        {"a\nadd rule inet filter input accept", "'a\nadd rule inet filter input accept' is neither a name nor an IP address"},
        {"'; Remove-Item *; '", "''; Remove-Item *; '' is neither a name nor an IP address"},
        {"", "'' is neither a name nor an IP address"},
        {"-f", "'-f' is neither a name nor an IP address"},
        {"203.000.113.010", "'203.000.113.010' is neither a name nor an IP address"}, /* inet_aton: 203.0.113.8 */
    };
    struct openings_config c = config(OPENINGS_OFFICE);

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        c.host[RULES_CONNECT].name = BAD[i].connect;
        CHECK_INT(openings_make(&openings, &c, error), ERR_CONFIG);
        CHECK_STR(error, BAD[i].says);
    }
    c = config(OPENINGS_BROWSER);
    c.rules = &rules;
    CHECK_INT(rules_parse(&rules, "f", "1 out server 192.0.2.7 tcp/443 http", 35, error), 0);
    CHECK_INT(openings_make(&openings, &c, error), ERR_CONFIG);
    CHECK_STR(error, "no rule is about the side 'browser'");
    c.side = OPENINGS_RELAY;
    CHECK_INT(openings_make(&openings, &c, error), ERR_CONFIG);
}

/* ---- Each format. ---- */

static void nftables(void)
{
    CHECK_INT(make(OPENINGS_OFFICE, "10.20.0.3", false), 0);
    CHECK(
        writes(GENERATE_NFTABLES, GENERATE_GATEWAY,
               "#!/usr/sbin/nft -f\n"
               "# What the UC server has to reach, so that people away from the office can call.\n"
               "# Answers come back by themselves; nothing else is forwarded, in either direction.\n"
               "# Written by turnpike-probe --generate. Names stand for the addresses that they had then.\n"
               "# In a firewall that carries more than this, take over the lines of the rules: two tables that drop don't add up.\n"
               "table inet turnpike\n"
               "delete table inet turnpike\n"
               "table inet turnpike {\n"
               "    chain forward {\n"
               "        type filter hook forward priority filter; policy drop;\n"
               "        ct state established,related accept\n"
               "        # 1: The UC server reaches the connect service; WebSocket must pass (connect.example.com)\n"
               "        ip saddr 10.20.0.3 ip daddr { 203.0.113.10, 203.0.113.11 } tcp dport 443 ct state new accept comment "
               "\"turnpike rule 1\"\n"
               "        # 4: The media server finds server-reflexive and relayed addresses, and relays (203.0.113.10)\n"
               "        ip saddr 10.20.0.3 ip daddr 203.0.113.10 udp dport 3479 ct state new accept comment \"turnpike rule 4\"\n"
               "    }\n"
               "}\n"));
    CHECK_INT(make(OPENINGS_BROWSER, NULL, false), 0);
    CHECK(holds(GENERATE_NFTABLES, GENERATE_HOST, "hook output priority filter; policy drop;\n"));
    CHECK(holds(GENERATE_NFTABLES, GENERATE_HOST, "        oifname \"lo\" accept\n        icmpv6 type { nd-router-solicit, "));
    CHECK(holds(GENERATE_NFTABLES, GENERATE_HOST,
                "        ip daddr { 203.0.113.10, 203.0.113.11 } tcp dport 443 ct state new accept comment \"turnpike rule 3\"\n"
                "        ip6 daddr 2001:db8::10 tcp dport 443 ct state new accept comment \"turnpike rule 3\"\n"));
    CHECK_INT(make(OPENINGS_RELAY, NULL, true), 0);
    CHECK(holds(GENERATE_NFTABLES, GENERATE_GATEWAY,
                "        type filter hook input priority filter; policy drop;\n"
                "        ct state established,related accept\n"
                "        iifname \"lo\" accept\n"
                "        icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept\n"
                "        icmp type destination-unreachable icmp code frag-needed accept\n"
                "        icmpv6 type packet-too-big accept\n"
                "        # The connect service: WebSocket over TLS\n"
                "        tcp dport 443 accept\n"
                "        # STUN and TURN: all that calls from relay to relay need\n"
                "        udp dport 3479 accept\n"
                "        # TURN for clients that may send no UDP\n"
                "        tcp dport 3479 accept\n"
                "        # Relayed addresses, for peers that reach them without a TURN client of their own\n"
                "        udp dport 49152-65535 accept\n"
                "    }\n}\n"));
}

static void iptables(void)
{
    CHECK_INT(make(OPENINGS_OFFICE, NULL, false), 0);
    CHECK(writes(GENERATE_IPTABLES, GENERATE_GATEWAY,
                 "# What the UC server has to reach, so that people away from the office can call.\n"
                 "# Answers come back by themselves; nothing else is forwarded, in either direction.\n"
                 "# Written by turnpike-probe --generate. Names stand for the addresses that they had then.\n"
                 "# Load it by iptables-restore, and by ip6tables-restore: both, or what is of the other family passes as it did.\n"
                 "# It replaces the filter table: in a firewall that carries more than this, take over the lines of the rules.\n"
                 "*filter\n"
                 ":FORWARD DROP [0:0]\n"
                 ":OUTPUT ACCEPT [0:0]\n"
                 ":INPUT ACCEPT [0:0]\n"
                 "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n"
                 "# 1: The UC server reaches the connect service; WebSocket must pass (connect.example.com)\n"
                 "-4 -A FORWARD -d 203.0.113.10,203.0.113.11 -p tcp --dport 443 -m conntrack --ctstate NEW"
                 " -m comment --comment \"turnpike rule 1\" -j ACCEPT\n"
                 "-6 -A FORWARD -d 2001:db8::10 -p tcp --dport 443 -m conntrack --ctstate NEW"
                 " -m comment --comment \"turnpike rule 1\" -j ACCEPT\n"
                 "# 4: The media server finds server-reflexive and relayed addresses, and relays (203.0.113.10)\n"
                 "-4 -A FORWARD -d 203.0.113.10 -p udp --dport 3479 -m conntrack --ctstate NEW"
                 " -m comment --comment \"turnpike rule 4\" -j ACCEPT\n"
                 "COMMIT\n"));
    CHECK_INT(make(OPENINGS_RELAY, "198.51.100.0/24", true), 0);
    CHECK(holds(GENERATE_IPTABLES, GENERATE_HOST,
                ":FORWARD ACCEPT [0:0]\n"
                ":OUTPUT ACCEPT [0:0]\n"
                ":INPUT DROP [0:0]\n"
                "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n"
                "-A INPUT -i lo -j ACCEPT\n"
                "-6 -A INPUT -p ipv6-icmp --icmpv6-type 134 -j ACCEPT\n"));
    CHECK(holds(GENERATE_IPTABLES, GENERATE_HOST,
                "-4 -A INPUT -p icmp --icmp-type fragmentation-needed -j ACCEPT\n"
                "-6 -A INPUT -p ipv6-icmp --icmpv6-type packet-too-big -j ACCEPT\n"));
    CHECK(holds(GENERATE_IPTABLES, GENERATE_HOST, "-4 -A INPUT -s 198.51.100.0/24 -p udp --dport 49152:65535 -j ACCEPT\nCOMMIT\n"));
}

static void windows(void)
{
    CHECK_INT(make(OPENINGS_OFFICE, NULL, false), 0);
    CHECK(writes(
        GENERATE_WINDOWS, GENERATE_GATEWAY,
        "# What the UC server has to reach, so that people away from the office can call.\n"
        "# Written by turnpike-probe --generate. Names stand for the addresses that they had then.\n"
        "# Run it as an administrator; again: what it had before is replaced.\n"
        "$ErrorActionPreference = 'Stop'\n"
        "$group = 'Turnpike (office)'\n"
        "Get-NetFirewallRule -Group $group -ErrorAction SilentlyContinue | Remove-NetFirewallRule\n"
        "# 1: The UC server reaches the connect service; WebSocket must pass (connect.example.com)\n"
        "New-NetFirewallRule -Group $group -DisplayName 'Turnpike rule 1: connect tcp/443' -Direction Outbound -Action Allow"
        " -Profile Any -Protocol TCP -RemoteAddress '203.0.113.10', '203.0.113.11', '2001:db8::10' -RemotePort 443 | Out-Null\n"
        "# 4: The media server finds server-reflexive and relayed addresses, and relays (203.0.113.10)\n"
        "New-NetFirewallRule -Group $group -DisplayName 'Turnpike rule 4: relay udp/3479' -Direction Outbound -Action Allow"
        " -Profile Any -Protocol UDP -RemoteAddress '203.0.113.10' -RemotePort 3479 | Out-Null\n"
        "# By itself Windows lets everything out, and these rules change nothing. Only where the host may send nothing else, its\n"
        "# domain controller, name server and PBX having rules of their own:\n"
        "# Set-NetFirewallProfile -All -DefaultOutboundAction Block\n"));
    CHECK_INT(make(OPENINGS_RELAY, "198.51.100.0/24", true), 0);
    CHECK(holds(
        GENERATE_WINDOWS, GENERATE_HOST,
        "New-NetFirewallRule -Group $group -DisplayName 'Turnpike relay udp/49152' -Direction Inbound -Action Allow -Profile Any"
        " -Protocol UDP -RemoteAddress '198.51.100.0/24' -LocalPort 49152-65535 | Out-Null\n"));
}

static void text(void)
{
    CHECK_INT(make(OPENINGS_OFFICE, NULL, false), 0);
    CHECK(writes(GENERATE_TEXT, GENERATE_GATEWAY,
                 "What the UC server has to reach, so that people away from the office can call.\n"
                 "The firewall lets answers back by itself (stateful). Nothing else has to be open.\n\n"
                 "Rule  Way  From, any port       To                                  Protocol  Port         What for\n"
                 "1     out  UC server            203.0.113.10 (connect.example.com)  TCP       443          "
                 "The UC server reaches the connect service; WebSocket must pass\n"
                 "1     out  UC server            203.0.113.11 (connect.example.com)  TCP       443          "
                 "The UC server reaches the connect service; WebSocket must pass\n"
                 "1     out  UC server            2001:db8::10 (connect.example.com)  TCP       443          "
                 "The UC server reaches the connect service; WebSocket must pass\n"
                 "4     out  UC server            203.0.113.10                        UDP       3479         "
                 "The media server finds server-reflexive and relayed addresses, and relays\n"));
    CHECK_INT(make(OPENINGS_RELAY, NULL, true), 0);
    CHECK(holds(GENERATE_TEXT, GENERATE_HOST,
                "      in   anywhere             this host  UDP       49152-65535  Relayed addresses, for peers that reach them "));
}

/* ---- Texts of others. ---- */

/* A text never ends its comment, in no format, whatever reads it as a line's end or, in the code page of a Windows, as a quotation mark. */
static void hostile(void)
{
    static const char TEXT[] = "a\n# b\r\nflush ruleset \x1b[2J \xc2\x85x \xe2\x80\xa8y '; exit; ' \xc3\x91 \xff\xfe \\";
    static const char SHOWN[] = "7: a?# b??flush ruleset ?[2J ?x ?y '; exit; ' \xc3\x91 ?? \\ (192.0.2.7)\n";
    static const char ASCII[] = "# 7: a?# b??flush ruleset ?[2J ?x ?y '; exit; ' ? ?? \\ (192.0.2.7)\n";
    struct openings_config c = config(OPENINGS_OFFICE);

    CHECK_INT(rules_parse(&rules, "f", "7 out server 192.0.2.7 udp/1 stun", 33, error), 0);
    memcpy(rules.item[0].text, TEXT, sizeof(TEXT)); /* a file can't hold this */
    c.rules = &rules;
    CHECK_INT(openings_make(&openings, &c, error), 0);
    CHECK(holds(GENERATE_NFTABLES, GENERATE_GATEWAY, SHOWN));
    CHECK(holds(GENERATE_IPTABLES, GENERATE_GATEWAY, SHOWN));
    CHECK(holds(GENERATE_WINDOWS, GENERATE_GATEWAY, ASCII));
    CHECK(holds(GENERATE_TEXT, GENERATE_GATEWAY, "  a?# b??flush ruleset ?[2J ?x ?y '; exit; ' \xc3\x91 ?? \\\n"));
}

static void words(void)
{
    enum generate_format format;
    enum generate_place place;
    enum openings_side side;

    CHECK(generate_format("iptables", &format) && format == GENERATE_IPTABLES);
    CHECK(generate_place("host", &place) && place == GENERATE_HOST);
    CHECK(openings_side("relay", &side) && side == OPENINGS_RELAY);
    CHECK(!generate_format("pf", &format) && !generate_place("", &place) && !openings_side("home", &side));
}

static const struct tap_test TESTS[] = {
    {"a side has its rules, and the relay's host what they lead to", sides},
    {"who may begin is an address or a network, and all addresses are of its family", from},
    {"a host that isn't given, has no address or is no name is refused", refused},
    {"nftables: a table for a gateway, for a host, for the relay", nftables},
    {"iptables: one file for both families", iptables},
    {"Windows: rules of a group, in ASCII", windows},
    {"text: a table, a line for each address", text},
    {"a text of the rules' file never becomes code", hostile},
    {"formats, places and sides by their words", words},
};

TAP_MAIN(TESTS)
