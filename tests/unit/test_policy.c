/* Where a relay may send: each built-in range at its edges, embedded IPv4, entries of the operator, this host, live relayed addresses. */
#include <stdlib.h>

#include "base/err.h"
#include "relay/alloc.h"
#include "relay/policy.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct policy *policy, *narrower;
static struct ports *ports;
static struct fakenet net;
static struct client alice;

/* A policy with these entries; "" or NULL ends a list. The error if it can't be made. */
static int make(const struct policy_config *c, const char **bad)
{
    static const struct relay_address RELAYS[] = {
        {.local = {.family = ADDR_V4, .ip = {10, 0, 0, 9}}, .advertised = {.family = ADDR_V4, .ip = {9, 9, 9, 9}}},
        {.local = {.family = ADDR_V6, .ip = {0x2a, 9, [15] = 9}}, .advertised = {.family = ADDR_V6, .ip = {0x2a, 9, [15] = 9}}}};

    policy_unref(&policy);
    ports_free(&ports);
    if (ports_new(&ports, RELAYS, 2, 50000, 60000))
        abort();
    return policy_new(&policy, c, bad);
}

static int with(const char *allowed, const char *denied)
{
    return make(
        &(struct policy_config){.allowed = &allowed, .nallowed = allowed != NULL, .denied = &denied, .ndenied = denied != NULL},
        NULL);
}

static struct policy_judges judges(void)
{
    return (struct policy_judges){.server = policy, .own = narrower, .ports = ports};
}

static bool flow(const char *peer)
{
    struct addr a = fake_addr(peer);

    return policy_flow(judges(), &a, POLICY_UDP);
}

static bool flow_tcp(const char *peer)
{
    struct addr a = fake_addr(peer);

    return policy_flow(judges(), &a, POLICY_TCP);
}

static bool permission(const char *ip, bool *all_ports)
{
    struct addr a = fake_addr(ip);

    return policy_permission(judges(), &a, POLICY_UDP, all_ports);
}

/* Address and permission agree, when no entry has ports. */
static bool open_to(const char *ip)
{
    bool all, permitted = permission(ip, &all);

    return flow(ip) && permitted && all;
}

static bool closed_to(const char *ip)
{
    bool all, permitted = permission(ip, &all);

    return !flow(ip) && !permitted && !all;
}

static void done(void)
{
    policy_unref(&policy);
    policy_unref(&narrower);
    ports_free(&ports);
}

/* The last address before a range, its first and its last, and the first behind. "": there is none, or it lies in the next range. */
static const struct {
    const char *before, *first, *last, *behind;
} RANGES[] = {
    {"", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", ""},
    {"", "240.0.0.0", "255.255.255.255", ""},
    {"", "::", "::", ""},
    {"", "::1", "::1", ""},
    {"", "::2", "::ffff:ffff", "::1:0:0"},
    {"::fffe:ffff:ffff", "::ffff:0:0", "::ffff:ffff:ffff", "::1:0:0:0"},
    {"::fffe:ffff:ffff:ffff", "::ffff:0:0:0", "::ffff:0:ffff:ffff", "::ffff:1:0:0"},
    {"64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9b::1:0:0"},
    {"64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"},
    {"ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"},
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
    {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
    {"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"},
    {"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
    {"", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
    {"", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
};

/* S3: compared as numbers, byte by byte from the left, on both sides of each edge. */
static void built_in(void)
{
    CHECK_INT(with(NULL, NULL), 0);
    for (size_t i = 0; i < sizeof(RANGES) / sizeof(RANGES[0]); i++) {
        printf("# %s\n", RANGES[i].first);
        CHECK(!*RANGES[i].before || open_to(RANGES[i].before));
        CHECK(closed_to(RANGES[i].first));
        CHECK(closed_to(RANGES[i].last));
        CHECK(!*RANGES[i].behind || open_to(RANGES[i].behind));
    }
    done();
}

/* S2: IPv4 inside IPv6, each kind, denied for the IPv4 even where the operator has opened the IPv6 range. */
static void embedded(void)
{
    static const struct {
        const char *range, *with_loopback, *with_public;
    } KINDS[] = {
        {"::ffff:0:0/96", "::ffff:127.0.0.1", "::ffff:5.6.7.8"},
        {"::/96", "::127.0.0.1", "::5.6.7.8"},
        {"::ffff:0:0:0/96", "::ffff:0:127.0.0.1", "::ffff:0:5.6.7.8"},
        {"64:ff9b::/96", "64:ff9b::7f00:1", "64:ff9b::506:708"},
        {"64:ff9b:1::/48", "64:ff9b:1::7f00:1", "64:ff9b:1::506:708"},
        {"2002::/16", "2002:7f00:1::1", "2002:506:708::1"},
        {"2001::/23", "2001:0:506:708:0:0:80ff:fffe", "2001:0:7f00:1:0:0:faf9:f8f7"},
    };

    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        printf("# %s\n", KINDS[i].range);
        CHECK_INT(with(NULL, NULL), 0);
        CHECK(closed_to(KINDS[i].with_loopback));
        CHECK(closed_to(KINDS[i].with_public));
        CHECK_INT(with(KINDS[i].range, NULL), 0);
        CHECK(closed_to(KINDS[i].with_loopback));
        CHECK(open_to(KINDS[i].with_public));
        CHECK_INT(with(KINDS[i].range, "5.6.7.8"), 0);
        CHECK(closed_to(KINDS[i].with_public));
    }
    CHECK_INT(make(&(struct policy_config){.allowed = (const char *const[]){"127.0.0.1", "::ffff:0:0/96"}, .nallowed = 2}, NULL),
              0);
    CHECK(open_to("::ffff:127.0.0.1")); /* whoever opens both has opened both */
    CHECK(closed_to("::ffff:127.0.0.2"));
    done();
}

static void longest_prefix(void)
{
    static const char *const ALLOWED[] = {"10.1.0.0/16", "10.1.2.3", "5.6.0.0/16", "fd00:1::/32"};
    static const char *const DENIED[] = {"10.1.2.0/24", "5.0.0.0/8", "5.6.0.0/16", "8.8.8.8", "2a05:1::/32"};

    CHECK_INT(make(&(struct policy_config){.allowed = ALLOWED, .nallowed = 4, .denied = DENIED, .ndenied = 5}, NULL), 0);
    CHECK(closed_to("10.0.255.255"));
    CHECK(open_to("10.1.0.0"));
    CHECK(open_to("10.1.1.255"));
    CHECK(closed_to("10.1.2.2"));
    CHECK(open_to("10.1.2.3"));
    CHECK(closed_to("10.1.2.4"));
    CHECK(open_to("10.1.255.255"));
    CHECK(closed_to("10.2.0.0"));
    CHECK(closed_to("5.6.1.1")); /* equal length: deny wins */
    CHECK(closed_to("5.5.255.255"));
    CHECK(open_to("6.0.0.0"));
    CHECK(closed_to("8.8.8.8"));
    CHECK(open_to("8.8.8.9"));
    CHECK(open_to("fd00:1::1"));
    CHECK(closed_to("fd00:2::1"));
    CHECK(closed_to("2a05:1:ffff::1"));
    CHECK(open_to("2a05:2::"));
    CHECK_INT(with("10.0.0.0/8", NULL), 0); /* as long as the built-in one: the operator wins */
    CHECK(open_to("10.5.5.5"));
    CHECK_INT(with("10.0.0.0/7", NULL), 0); /* shorter: the built-in one */
    CHECK(closed_to("10.5.5.5"));
    CHECK_INT(with(NULL, "0.0.0.0/0"), 0);
    CHECK(closed_to("5.6.7.8"));
    CHECK(open_to("2a05::1"));
    CHECK_INT(with(NULL, "::/0"), 0);
    CHECK(closed_to("2a05::1"));
    CHECK(open_to("5.6.7.8"));
    CHECK_INT(with("10.1.2.99/16", NULL), 0); /* bits behind the prefix don't count */
    CHECK(open_to("10.1.77.1"));
    done();
}

/* A range counts as the prefixes that it consists of. */
static void ranges(void)
{
    CHECK_INT(with("10.1.2.3-10.1.4.17", NULL), 0);
    CHECK(closed_to("10.1.2.2"));
    for (unsigned n = 3; n <= 2 * 256 + 17; n++) {
        char ip[32];

        snprintf(ip, sizeof(ip), "10.1.%u.%u", 2 + n / 256, n % 256);
        CHECK(open_to(ip));
    }
    CHECK(closed_to("10.1.4.18"));
    CHECK_INT(with("10.0.0.255-10.1.0.0", NULL), 0); /* a comparison byte by byte fails here (S3) */
    CHECK(closed_to("10.0.0.254"));
    CHECK(open_to("10.0.0.255"));
    CHECK(open_to("10.0.255.0"));
    CHECK(open_to("10.1.0.0"));
    CHECK(closed_to("10.1.0.1"));
    CHECK_INT(with("10.1.2.3-10.1.2.3", NULL), 0);
    CHECK(open_to("10.1.2.3"));
    CHECK(closed_to("10.1.2.4"));
    CHECK_INT(with(NULL, "0.0.0.0-255.255.255.255"), 0);
    CHECK(closed_to("5.6.7.8"));
    CHECK_INT(with("fd00::ff-fd00::1:0", NULL), 0);
    CHECK(closed_to("fd00::fe"));
    CHECK(open_to("fd00::ff"));
    CHECK(open_to("fd00::1:0"));
    CHECK(closed_to("fd00::1:1"));
    CHECK_INT(with(NULL, "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
    CHECK(closed_to("2a05::1"));
    /* The range's /32 at its end is longer than a /24 that denies. */
    CHECK_INT(with("10.1.2.0-10.1.3.0", "10.1.3.0/24"), 0);
    CHECK(open_to("10.1.3.0"));
    CHECK(closed_to("10.1.3.1"));
    done();
}

static void port_ranges(void)
{
    bool all = true;

    CHECK_INT(with("10.1.2.3:5060-5070/udp", NULL), 0);
    CHECK(!flow("10.1.2.3:5059"));
    CHECK(flow("10.1.2.3:5060"));
    CHECK(flow("10.1.2.3:5070"));
    CHECK(!flow("10.1.2.3:5071"));
    CHECK(!flow_tcp("10.1.2.3:5060"));
    CHECK(permission("10.1.2.3", &all) && !all); /* some port may, so the address may; but each flow is asked */
    CHECK(!permission("10.1.2.4", &all));
    CHECK_INT(with("10.1.2.3:5060/tcp", NULL), 0);
    CHECK(flow_tcp("10.1.2.3:5060"));
    CHECK(!flow("10.1.2.3:5060"));
    CHECK(!permission("10.1.2.3", &all));
    CHECK_INT(with("10.1.2.3:0-65535", NULL), 0);
    CHECK(permission("10.1.2.3", &all) && all);
    CHECK_INT(with("10.1.2.3:65535", NULL), 0);
    CHECK(flow("10.1.2.3:65535") && !flow("10.1.2.3:65534"));
    CHECK(permission("10.1.2.3", &all) && !all);
    CHECK_INT(with(NULL, "5.6.7.8:53"), 0);
    CHECK(!flow("5.6.7.8:53") && flow("5.6.7.8:54") && flow("5.6.7.8:52"));
    CHECK(permission("5.6.7.8", &all) && !all);
    CHECK(permission("5.6.7.9", &all) && all);
    CHECK_INT(with(NULL, "5.6.7.8:0-1023/udp"), 0);
    CHECK(!flow("5.6.7.8:1023") && flow("5.6.7.8:1024") && flow_tcp("5.6.7.8:1023"));
    CHECK(permission("5.6.7.8", &all) && !all);
    CHECK_INT(with(NULL, "5.6.0.0/16:0-65535/tcp"), 0);
    CHECK(flow("5.6.7.8:1") && !flow_tcp("5.6.7.8:1"));
    CHECK_INT(with("[fd00::/16]:5060/udp", NULL), 0);
    CHECK(flow("[fd00::1]:5060") && !flow("[fd00::1]:5061"));
    CHECK_INT(with("[fd00::]/16:5060", NULL), 0);
    CHECK(flow("[fd00::1]:5060") && !flow("[fd00::1]:5061") && flow_tcp("[fd00::1]:5060"));
    CHECK_INT(with("[fd00::1]:5060", NULL), 0);
    CHECK(flow("[fd00::1]:5060") && !flow("[fd00::2]:5060"));
    CHECK_INT(with("10.1.0.0-10.1.0.9:5060-5061", NULL), 0);
    CHECK(flow("10.1.0.9:5061") && !flow("10.1.0.9:5062") && !flow("10.1.0.10:5061"));
    /* The longest prefix that speaks of this port decides. */
    CHECK_INT(with("10.1.0.0/16", "10.1.2.3:22"), 0);
    CHECK(flow("10.1.2.3:23") && !flow("10.1.2.3:22") && flow("10.1.2.4:22"));
    done();
}

static void unreadable(void)
{
    static const char *const BAD[] = {
        "",
        "x",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8x",
        "10.0.0",
        "10.0.0.0.0",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-fd00::1",
        "10.0.0.1-",
        "-10.0.0.1",
        "fd00::/129",
        "fd00:::",
        "[fd00::1",
        "fd00::1]",
        "[fd00::1]:",
        "10.0.0.1:",
        "10.0.0.1:65536",
        "10.0.0.1:9-8",
        "10.0.0.1:8-",
        "10.0.0.1:-8",
        "10.0.0.1:8/",
        "10.0.0.1:8/sctp",
        "10.0.0.1/udp",
        "10.0.0.1:8/udp ",
        " 10.0.0.1",
        "10.0.0.1 ",
        "host.example",
        "10.0.0.1:http",
        "[fd00::1]x:5",
        "10.0.0.1:8:9",
        "10.0.0.1/8-10.0.0.2",
        "10.0.0.1:99999999999999999999",
        "%s%n",
        "::ffff:1.2.3.4.5",
        "10.0.0.1/99999999999999999999",
        "fd00::1-[fd00::2]:5",
    };

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        const char *bad = NULL;

        CHECK_INT(make(&(struct policy_config){.allowed = (const char *const[]){"10.0.0.1", BAD[i]}, .nallowed = 2}, &bad),
                  ERR_CONFIG);
        CHECK(bad && strcmp(bad, BAD[i]) == 0);
        CHECK(!policy);
        CHECK_INT(with(NULL, BAD[i]), ERR_CONFIG);
    }
    for (size_t len = 100; len < 300; len++) { /* longer than any address: a digit is no end */
        char text[301];

        memset(text, '1', len);
        text[len] = '\0';
        CHECK_INT(with(text, NULL), ERR_CONFIG);
    }
    done();
}

/* Every address of this host is denied, but for what an operator has opened; and its service ports always. */
static void host(void)
{
    static const struct addr HOST[] = {{.family = ADDR_V4, .ip = {5, 5, 5, 5}}, {.family = ADDR_V6, .ip = {0x2a, 5, [15] = 5}}};
    static const struct addr ANY[] = {{.family = ADDR_V4, .port = 3478}, {.family = ADDR_V6, .port = 3478}};
    struct addr one = fake_addr("5.5.5.5:3478");
    const char *allowed[] = {"5.5.5.5", "127.0.0.1:3478", "6.6.6.6"};
    struct policy_config c = {.host = HOST, .nhost = 2, .listeners = ANY, .nlisteners = 2};
    bool all;

    CHECK_INT(make(&c, NULL), 0);
    CHECK(closed_to("5.5.5.5"));
    CHECK(closed_to("2a05::5"));
    CHECK(!flow("5.5.5.5:3478") && !flow("[2a05::5]:3478") && !flow("5.5.5.5:80"));
    CHECK(open_to("5.5.5.6"));
    CHECK(flow("5.5.5.6:3478")); /* somebody else's */
    c.allowed = allowed;
    c.nallowed = 3;
    CHECK_INT(make(&c, NULL), 0);
    CHECK(flow("5.5.5.5:5060")); /* a PBX on this very host */
    CHECK(!flow("5.5.5.5:3478") && !flow_tcp("5.5.5.5:3478"));
    CHECK(permission("5.5.5.5", &all) && !all);
    CHECK(permission("6.6.6.6", &all) && all);
    c.listeners = &one;
    c.nlisteners = 1;
    CHECK_INT(make(&c, NULL), 0);
    CHECK(!flow("5.5.5.5:3478") && flow("5.5.5.5:3479"));
    CHECK(permission("5.5.5.5", &all) && !all);
    done();
}

static void relayed(void)
{
    static const struct addr HOST[] = {{.family = ADDR_V4, .ip = {10, 0, 0, 9}}, {.family = ADDR_V4, .ip = {9, 9, 9, 9}}};
    struct policy_config c = {.host = HOST, .nhost = 2};
    bool all;

    CHECK_INT(make(&c, NULL), 0);
    CHECK(permission("10.0.0.9", &all) && !all); /* some port of it may be a live one */
    CHECK(permission("9.9.9.9", &all) && !all);
    CHECK(permission("2a09::9", &all));
    CHECK(!flow("9.9.9.9:50000") && !flow("10.0.0.9:50000"));
    CHECK(ports_claim(ports, 0, 50000, 1));
    CHECK(!flow("9.9.9.9:50000")); /* claimed, but not live yet */
    ports_publish(ports, 0, 50000, 1);
    CHECK(flow("9.9.9.9:50000") && flow("10.0.0.9:50000")); /* under both names */
    CHECK(!flow("9.9.9.9:50001") && !flow("[::ffff:9.9.9.9]:50000"));
    CHECK(!flow_tcp("9.9.9.9:50000"));
    ports_retract(ports, 0, 50000, 1);
    CHECK(!flow("9.9.9.9:50000") && !flow("10.0.0.9:50000"));
    ports_release(ports, 0, 50000);
    CHECK(!flow("9.9.9.9:50000"));
    done();
}

static void explain(void)
{
    static const struct addr HOST[] = {{.family = ADDR_V4, .ip = {5, 5, 5, 5}}};
    static const struct addr LISTENER = {.family = ADDR_V4, .port = 3478};
    static const struct {
        const char *peer, *why;
    } CASES[] = {
        {"10.1.1.1:9", "denied-peer-ip=10.0.0.0/8 (built in)"},
        {"5.5.5.5:9", "denied-peer-ip=5.5.5.5/32 (an address of this host)"},
        {"5.5.5.5:3478", "a service address of this server"},
        {"10.2.0.1:9", "allowed-peer-ip=10.2.0.0/16"},
        {"8.8.8.8:9", "denied-peer-ip=8.8.8.8/32"},
        {"5.6.7.8:9", "no entry: allowed"},
        {"[::ffff:127.0.0.1]:9", "denied-peer-ip=127.0.0.0/8 (built in)"},
        {"[2002:506:708::1]:9", "denied-peer-ip=2002::/16 (built in)"},
        {"9.9.9.9:50000", "a live relayed address of this server"},
        {"9.9.9.9:50001", "no entry: allowed"},
    };
    const char *allowed = "10.2.7.7/16", *denied = "8.8.8.8";

    CHECK_INT(make(&(struct policy_config){.allowed = &allowed,
                                           .nallowed = 1,
                                           .denied = &denied,
                                           .ndenied = 1,
                                           .host = HOST,
                                           .nhost = 1,
                                           .listeners = &LISTENER,
                                           .nlisteners = 1},
                   NULL),
              0);
    CHECK(ports_claim(ports, 0, 50000, 0));
    ports_publish(ports, 0, 50000, 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct addr peer = fake_addr(CASES[i].peer);
        char text[128];

        CHECK_STR(policy_explain(judges(), &peer, POLICY_UDP, text, sizeof(text)), CASES[i].why);
    }
    done();
}

/* A credential's own peers narrow what the server allows, and open nothing. */
static int narrow(const char *text)
{
    policy_unref(&narrower);
    return policy_own(&narrower, text, NULL);
}

static void own_peers(void)
{
    bool all;

    CHECK_INT(with("10.1.0.0/16", "5.6.7.8"), 0);
    CHECK_INT(narrow("10.1.2.0/24 5.6.7.0/24  2a05::/16"), 0);
    CHECK(open_to("10.1.2.3") && open_to("5.6.7.9") && open_to("2a05::1"));
    CHECK(closed_to("10.1.3.3") && closed_to("5.6.8.1") && closed_to("2a06::1")); /* the server would allow these, */
    CHECK(closed_to("5.6.7.8"));                                                  /* and denies this one */
    CHECK_INT(narrow("0.0.0.0/0 ::/0"), 0);
    CHECK(open_to("10.1.3.3") && open_to("2a06::1"));
    CHECK(closed_to("10.2.0.1") && closed_to("127.0.0.1") && closed_to("::1") && closed_to("5.6.7.8"));
    CHECK_INT(narrow("10.2.0.1"), 0);
    CHECK(closed_to("10.2.0.1") && closed_to("1.2.3.4"));
    CHECK_INT(narrow(" 9.8.7.6-9.8.7.9:50-60/udp "), 0);
    CHECK(flow("9.8.7.6:50") && flow("9.8.7.9:60") && !flow("9.8.7.6:61") && !flow("9.8.7.5:50") && !flow_tcp("9.8.7.6:50"));
    CHECK(permission("9.8.7.6", &all) && !all);
    CHECK(!permission("9.8.7.5", &all) && !all);
    CHECK_INT(with("10.1.2.3:5060", NULL), 0); /* each has its ports, and none is both's */
    CHECK_INT(narrow("10.1.2.3:22 10.1.2.4"), 0);
    CHECK(!permission("10.1.2.3", &all) && !flow("10.1.2.3:22") && !flow("10.1.2.3:5060"));
    CHECK_INT(narrow("10.1.2.3:5000-6000"), 0);
    CHECK(permission("10.1.2.3", &all) && !all && flow("10.1.2.3:5060") && !flow("10.1.2.3:5061"));
    CHECK_INT(with("10.1.2.3:5000-6000", NULL), 0);
    CHECK_INT(narrow("10.1.2.3:5060"), 0);
    CHECK(permission("10.1.2.3", &all) && !all && flow("10.1.2.3:5060") && !flow("10.1.2.3:5061"));
    done();
}

/* S2: an IPv4 address inside an IPv6 one is reached only by those who may reach both. */
static void own_embedded(void)
{
    static const char *const OPEN[] = {"::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/23"};
    static const struct {
        const char *range, *peer, *inner;
    } KINDS[] = {
        {"::ffff:0:0/96", "::ffff:5.6.7.8", "5.6.7.8"},     {"::/96", "::5.6.7.8", "5.6.7.8"},
        {"::ffff:0:0:0/96", "::ffff:0:5.6.7.8", "5.6.7.8"}, {"64:ff9b::/96", "64:ff9b::506:708", "5.6.7.8"},
        {"2002::/16", "2002:506:708::1", "5.6.7.8"},        {"2001::/23", "2001:0:7f00:1:0:0:faf9:f8f7", "5.6.7.8"},
    };

    CHECK_INT(make(&(struct policy_config){.allowed = OPEN, .nallowed = sizeof(OPEN) / sizeof(OPEN[0])}, NULL), 0);
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        char both[64];

        printf("# %s\n", KINDS[i].range);
        policy_unref(&narrower);
        CHECK(open_to(KINDS[i].peer));
        CHECK_INT(narrow(KINDS[i].range), 0);
        CHECK(closed_to(KINDS[i].peer));
        CHECK_INT(narrow(KINDS[i].inner), 0);
        CHECK(closed_to(KINDS[i].peer) && open_to(KINDS[i].inner));
        snprintf(both, sizeof(both), "%s %s", KINDS[i].range, KINDS[i].inner);
        CHECK_INT(narrow(both), 0);
        CHECK(open_to(KINDS[i].peer));
    }
    done();
}

/* A live relayed address of ours is a peer like any other: it has to be listed. */
static void own_relayed(void)
{
    static const struct addr HOST[] = {{.family = ADDR_V4, .ip = {10, 0, 0, 9}}, {.family = ADDR_V4, .ip = {9, 9, 9, 9}}};
    bool all;

    CHECK_INT(make(&(struct policy_config){.host = HOST, .nhost = 2}, NULL), 0);
    CHECK(ports_claim(ports, 0, 50000, 1));
    ports_publish(ports, 0, 50000, 1);
    CHECK_INT(narrow("5.6.7.8"), 0);
    CHECK(!flow("9.9.9.9:50000") && !flow("10.0.0.9:50000"));
    CHECK(!permission("9.9.9.9", &all) && !permission("10.0.0.9", &all));
    CHECK_INT(narrow("9.9.9.9"), 0); /* by the name that clients are told, here */
    CHECK(flow("9.9.9.9:50000") && !flow("10.0.0.9:50000") && !flow("9.9.9.9:50001"));
    CHECK(permission("9.9.9.9", &all) && !all);
    CHECK(!permission("10.0.0.9", &all));
    CHECK_INT(narrow("9.9.9.9:50001"), 0);
    CHECK(permission("9.9.9.9", &all) && !flow("9.9.9.9:50000") && !flow("9.9.9.9:50001"));
    CHECK_INT(narrow("9.9.9.9:50000/tcp"), 0);
    CHECK(!permission("9.9.9.9", &all) && !flow("9.9.9.9:50000"));
    done();
}

static void own_unreadable(void)
{
    static const struct {
        const char *text;
        size_t bad;
    } CASES[] = {{"x", 0}, {"1.2.3.4 x", 8}, {" 1.2.3.4,5.6.7.8", 1}, {"1.2.3.4 1.2.3.4:0-65536 y", 8}};
    char text[AUTH_PEERS_MAX + 1], many[AUTH_PEERS_MAX + 1] = "";
    const char *bad;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        bad = NULL;
        CHECK_INT(policy_own(&narrower, CASES[i].text, &bad), ERR_CONFIG);
        CHECK(bad == CASES[i].text + CASES[i].bad && !narrower);
        CHECK_INT(narrow(CASES[i].text), ERR_CONFIG);
    }
    memset(text, '1', sizeof(text) - 1); /* an entry as long as all of them may be: its beginning is none */
    memcpy(text, "1.2.3.4/", 8);
    text[sizeof(text) - 1] = '\0';
    CHECK_INT(narrow(text), ERR_CONFIG);
    for (size_t n = 0; n + 16 < sizeof(many); n = strlen(many))
        snprintf(many + n, sizeof(many) - n, "%s1.2.3.%zu", n ? " " : "", n % 256);
    CHECK_INT(narrow(many), 0);
    CHECK(policy_is(narrower, many) && !policy_is(narrower, "1.2.3.0"));
    CHECK_INT(narrow("  "), 0); /* nothing is not everything */
    CHECK_INT(with(NULL, NULL), 0);
    CHECK(closed_to("1.2.3.4"));
    done();
}

static void own_explained(void)
{
    static const struct addr HOST[] = {{.family = ADDR_V4, .ip = {9, 9, 9, 9}}};
    static const struct {
        const char *peer, *why;
    } CASES[] = {
        {"5.6.7.8:9", "no entry: allowed"},
        {"5.6.7.9:9", "the credential's peers"},
        {"9.9.9.9:50000", "the credential's peers"},
        {"9.9.9.9:0", "the credential's peers"},
        {"10.1.1.1:9", "denied-peer-ip=10.0.0.0/8 (built in)"},
        {"10.1.1.2:9", "denied-peer-ip=10.0.0.0/8 (built in)"},
    };

    CHECK_INT(make(&(struct policy_config){.host = HOST, .nhost = 1}, NULL), 0);
    CHECK(ports_claim(ports, 0, 50000, 0));
    ports_publish(ports, 0, 50000, 0);
    CHECK_INT(narrow("5.6.7.8 10.1.1.2"), 0);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct addr peer = fake_addr(CASES[i].peer);
        char text[128];

        CHECK_STR(policy_explain(judges(), &peer, POLICY_UDP, text, sizeof(text)), CASES[i].why);
    }
    done();
}

/* The relay addresses themselves. */
static void relay_addresses(void)
{
    static struct relay_address many[PORTS_ADDRESSES_MAX + 1];
    struct relay_address mixed = {.local = fake_addr("10.0.0.9"), .advertised = fake_addr("2a09::9")};
    struct relay_address shared[3] = {{.local = fake_addr("10.0.0.1"), .advertised = fake_addr("9.9.9.9")},
                                      {.local = fake_addr("10.0.0.2"), .advertised = fake_addr("9.9.9.9")},
                                      {.local = fake_addr("10.0.0.3"), .advertised = fake_addr("9.9.9.8")}};

    done();
    for (size_t i = 0; i <= PORTS_ADDRESSES_MAX; i++)
        many[i] = (struct relay_address){.local = {.family = ADDR_V4, .ip = {10, 0, 1, (uint8_t)i}},
                                         .advertised = {.family = ADDR_V4, .ip = {10, 0, 1, (uint8_t)i}}};
    CHECK_INT(ports_new(&ports, many, PORTS_ADDRESSES_MAX + 1, 1024, 65535), ERR_NOSPC);
    CHECK_INT(ports_new(&ports, many, PORTS_ADDRESSES_MAX, 1024, 65535), 0);
    CHECK_INT(ports_spaces(ports), PORTS_ADDRESSES_MAX);
    done();
    CHECK_INT(ports_new(&ports, &mixed, 1, 1024, 65535), ERR_INVAL);
    CHECK_INT(ports_new(&ports, many, 1, 1025, 1024), ERR_INVAL);
    CHECK_INT(ports_new(&ports, shared, 3, 1024, 65535), 0);
    CHECK_INT(ports_spaces(ports), 2); /* behind one public address a port is used once */
    CHECK_INT(ports_address(ports, 0)->space, ports_address(ports, 1)->space);
    CHECK(ports_address(ports, 2)->space != ports_address(ports, 0)->space);
    done();
}

/* ---- Through requests and packets. ---- */

#define DOWN() CHECK_INT(fake_down(&net), 0)

static bool up(const struct policy_config *c)
{
    fake_up(&net, &(struct fake_options){.relays = {"9.9.9.9", "2a09::9"}, .policy = *c});
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_greet(&alice);
    client_begin_allocate(&alice);
    stun_put_u32(&alice.o, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, 2U << 24);
    return client_finish_allocate(&alice) == 0;
}

static void s1(void)
{
    static const char *const NEVER[] = {
        "0.0.0.0:9",  "[::]:9",          "[::1]:9",        "127.0.0.1:9",       "127.255.255.254:9",
        "0.0.0.1:9",  "[::127.0.0.1]:9", "[::ffff:0:0]:9", "[::ffff:7f00:1]:9", "[64:ff9b::7f00:1]:9",
        "9.9.9.9:22", "224.0.0.1:9",     "[ff02::1]:9",    "[2a09::9]:22",      "[2002:7f00:1::]:9"};

    CHECK(up(&(struct policy_config){0}));
    for (size_t i = 0; i < sizeof(NEVER) / sizeof(NEVER[0]); i++) {
        bool own = i == 10 || i == 13; /* whose other ports may be live relayed addresses */

        printf("# %s\n", NEVER[i]);
        CHECK_INT(client_permit(&alice, NEVER[i]), own ? 0 : 403);
        CHECK_INT(client_bind(&alice, 0x4000, NEVER[i]), 403);
        client_say(&alice, NEVER[i], "x", 1);
        client_channel(&alice, 0x4000, "x", 1, 0);
        fake_from_peer(&net, &alice.relayed[strchr(NEVER[i], '[') != NULL], NEVER[i], "x", 1, 0);
        CHECK_INT(fake_untaken(&net), 0);
    }
    DOWN();
}

/* C57: a permission by address, a flow by port. */
static void by_port(void)
{
    const char *allowed = "10.1.2.3:5060-5061/udp";

    CHECK(up(&(struct policy_config){.allowed = &allowed, .nallowed = 1}));
    CHECK_INT(client_permit(&alice, "10.1.2.4"), 403);
    CHECK_INT(client_permit(&alice, "10.1.2.3"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "10.1.2.3:5062"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "10.1.2.3:5061"), 0);
    client_channel(&alice, 0x4000, "x", 1, 0);
    CHECK(client_sent(&alice, "10.1.2.3:5061", "x", 1));
    client_say(&alice, "10.1.2.3:5060", "x", 1);
    CHECK(client_sent(&alice, "10.1.2.3:5060", "x", 1));
    client_say(&alice, "10.1.2.3:5062", "x", 1);
    fake_from_peer(&net, &alice.relayed[0], "10.1.2.3:5062", "x", 1, 0);
    CHECK_INT(fake_count(&net, DROP_POLICY), 2);
    CHECK_INT(fake_untaken(&net), 0);
    fake_from_peer(&net, &alice.relayed[0], "10.1.2.3:5060", "x", 1, 0);
    CHECK(client_got(&alice, "10.1.2.3:5060", 0, "x", 1));
    DOWN();
}

/* A service on this very host that an operator has opened: by the wire, for it is no relayed address. */
static void on_this_host(void)
{
    const char *allowed = "9.9.9.9:5060";

    CHECK(up(&(struct policy_config){.allowed = &allowed, .nallowed = 1}));
    CHECK_INT(client_permit(&alice, "9.9.9.9"), 0);
    CHECK_INT(client_bind(&alice, 0x4001, "9.9.9.9:5061"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "9.9.9.9:5060"), 0);
    client_channel(&alice, 0x4000, "x", 1, 0);
    CHECK(client_sent(&alice, "9.9.9.9:5060", "x", 1));
    client_say(&alice, "9.9.9.9:5060", "x", 1);
    CHECK(client_sent(&alice, "9.9.9.9:5060", "x", 1));
    fake_from_peer(&net, &alice.relayed[0], "9.9.9.9:5060", "x", 1, 0);
    CHECK(client_got(&alice, "9.9.9.9:5060", 0x4000, "x", 1));
    client_say(&alice, "9.9.9.9:5061", "x", 1);
    fake_from_peer(&net, &alice.relayed[0], "9.9.9.9:5061", "x", 1, 0);
    CHECK_INT(fake_untaken(&net), 0);
    DOWN();
}

/* A new policy holds from the next packet on, for what is installed already. */
static void reload(void)
{
    const char *denied = "5.6.7.8:9";
    struct policy *now = NULL;

    CHECK(up(&(struct policy_config){0}));
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_bind(&alice, 0x4001, "5.6.7.8:10"), 0);
    CHECK_INT(policy_new(&now, &(struct policy_config){.denied = &denied, .ndenied = 1}, NULL), 0);
    shard_set_policy(fake_shard(&net, 0), now);
    client_channel(&alice, 0x4000, "x", 1, 0);
    client_channel(&alice, 0x4000, "x", 1, 0);
    client_say(&alice, "5.6.7.8:9", "x", 1);
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:9", "x", 1, 0);
    CHECK_INT(fake_untaken(&net), 0);
    CHECK_INT(fake_count(&net, DROP_POLICY), 4);
    client_channel(&alice, 0x4001, "x", 1, 0);
    CHECK(client_sent(&alice, "5.6.7.8:10", "x", 1));
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:10", "x", 1, 0);
    CHECK(client_got(&alice, "5.6.7.8:10", 0x4001, "x", 1));
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 403);
    now = NULL;
    CHECK_INT(policy_new(&now, &(struct policy_config){0}, NULL), 0);
    shard_set_policy(fake_shard(&net, 0), now);
    client_channel(&alice, 0x4000, "x", 1, 0); /* and back again */
    CHECK(client_sent(&alice, "5.6.7.8:9", "x", 1));
    DOWN();
}

/* ---- A credential's own peers, through requests and packets. ---- */

static bool up_own(const char *peers)
{
    fake_up(&net, &(struct fake_options){.relays = {"9.9.9.9", "2a09::9"}, .async = true});
    net.async_status = AUTH_OK;
    net.async_peers = peers;
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    alice.user = "carol";
    alice.password = "x";
    return client_allocate(&alice) == 0;
}

static void own_requests(void)
{
    CHECK(up_own("5.6.7.8:9 10.1.1.1"));
    CHECK_INT(client_permit(&alice, "5.6.7.9"), 403);
    CHECK_INT(net.events[EVENT_PEER_DENIED], 1);
    CHECK_INT(client_permit(&alice, "10.1.1.1"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:10"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "9.9.9.9:50000"), 403);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    client_channel(&alice, 0x4000, "up", 2, 0);
    CHECK(client_sent(&alice, "5.6.7.8:9", "up", 2));
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:9", "down", 4, 0);
    CHECK(client_got(&alice, "5.6.7.8:9", 0x4000, "down", 4));
    client_say(&alice, "5.6.7.8:9", "up", 2);
    CHECK(client_sent(&alice, "5.6.7.8:9", "up", 2));
    client_say(&alice, "5.6.7.8:10", "up", 2); /* the permission is by address, each packet by port */
    fake_from_peer(&net, &alice.relayed[0], "5.6.7.8:10", "down", 4, 0);
    CHECK_INT(fake_count(&net, DROP_POLICY), 2);
    CHECK_INT(fake_untaken(&net), 0);
    DOWN();
}

/* The server's policy is read again: the credential's still holds beside it. */
static void own_reload(void)
{
    CHECK(up_own("5.6.7.8:9 5.6.7.9"));
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.9"), 0);
    for (int i = 0; i < 2; i++) {
        const char *denied = "5.6.7.9";
        struct policy *now = fake_policy(&net, &(struct policy_config){.denied = &denied, .ndenied = i == 0});

        shard_set_policy(fake_shard(&net, 0), now);
        client_channel(&alice, 0x4000, "x", 1, 0);
        CHECK(client_sent(&alice, "5.6.7.8:9", "x", 1));
        client_say(&alice, "5.6.7.8:10", "x", 1);
        CHECK_INT(fake_untaken(&net), 0);
        client_say(&alice, "5.6.7.9:1", "x", 1);
        CHECK(i == 0 ? fake_untaken(&net) == 0 : client_sent(&alice, "5.6.7.9:1", "x", 1));
    }
    DOWN();
}

/* Read once for all allocations of a credential; what is told with the next Allocate holds for that one. */
static void own_shared(void)
{
    struct client second, third;

    CHECK(up_own("5.6.7.8"));
    client_init(&second, &net, 0, "11.1.1.1:4001", TRANSPORT_UDP);
    client_init(&third, &net, 0, "11.1.1.1:4002", TRANSPORT_UDP);
    second.user = third.user = "carol";
    second.password = third.password = "x";
    CHECK_INT(client_allocate(&second), 0);
    CHECK(alloc_find(fake_shard(&net, 0), &alice.path)->peers == alloc_find(fake_shard(&net, 0), &second.path)->peers);
    net.async_peers = "x";
    CHECK_INT(client_allocate(&third), 500);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    net.async_peers = "5.6.7.9";
    CHECK_INT(client_allocate(&third), 0);
    CHECK_INT(client_permit(&third, "5.6.7.8"), 403);
    CHECK_INT(client_permit(&third, "5.6.7.9"), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.9"), 403);
    CHECK_INT(client_refresh(&third, 0), 0);
    net.async_peers = NULL;
    CHECK_INT(client_allocate(&third), 0);
    CHECK_INT(client_permit(&third, "5.6.7.10"), 0);
    DOWN();
    CHECK(!up_own("10.0.0.0/33")); /* what can't be read is no licence */
    CHECK_STR(net.last_detail, "the credential's peers can't be read");
    CHECK_INT(net.last_code, 500);
    CHECK_INT(auth_quota_total(net.auth), 0);
    DOWN();
}

/* Every entry once, as it was written, in the order in which they are asked. */
static struct policy_entry told[64];
static size_t ntold;

static void tell(void *ctx, const struct policy_entry *e)
{
    (void)ctx;
    if (ntold < sizeof(told) / sizeof(told[0]))
        told[ntold++] = *e;
}

static void entries_told(void)
{
    static const char *const ALLOWED[] = {"10.0.0.1-10.0.0.9", "10.0.0.0/8"}, *const REALM[] = {"10.1.0.0/16:5060/udp"},
                             *const STORED_OPEN[] = {"192.168.0.0/16"},
                             *const STORED_SHUT[] = {"[2a05::8]:1-9/tcp", "192.168.0.0/16"};
    static const struct addr HOST = {.family = ADDR_V4, .ip = {9, 9, 9, 9}};
    static const struct policy_entry WANT[] = {{"[2a05::8]:1-9/tcp", false, POLICY_STORED},
                                               {"10.0.0.1-10.0.0.9", true, POLICY_CONFIGURATION},
                                               {"9.9.9.9", false, POLICY_HOST},
                                               {"10.1.0.0/16:5060/udp", false, POLICY_REALM},
                                               {"192.168.0.0/16", false, POLICY_STORED},
                                               {"192.168.0.0/16", true, POLICY_STORED},
                                               {"192.168.0.0/16", false, POLICY_BUILT_IN},
                                               {"10.0.0.0/8", true, POLICY_CONFIGURATION},
                                               {"10.0.0.0/8", false, POLICY_BUILT_IN}};
    size_t n = 0;

    CHECK_INT(make(&(struct policy_config){.allowed = ALLOWED,
                                           .nallowed = 2,
                                           .realm = {.denied = REALM, .ndenied = 1},
                                           .stored = {STORED_OPEN, 1, STORED_SHUT, 2},
                                           .host = &HOST,
                                           .nhost = 1},
                   NULL),
              0);
    ntold = 0;
    policy_each(policy, tell, NULL);
    CHECK_INT(ntold, 31 + 8 - 1);
    for (size_t i = 0; i < ntold && n < sizeof(WANT) / sizeof(WANT[0]); i++)
        n += strcmp(told[i].text, WANT[n].text) == 0 && told[i].allow == WANT[n].allow && told[i].source == WANT[n].source;
    CHECK_INT(n, sizeof(WANT) / sizeof(WANT[0]));
    CHECK(!flow("192.168.1.1:1") && flow("10.1.0.1:5061") && !flow("10.1.0.1:5060")); /* whose an entry is does not count */
    for (enum policy_source s = 0; s < POLICY_SOURCES; s++)
        CHECK(policy_source_name(s)[0]);
}

static const struct tap_test TESTS[] = {
    {"S1 S3 each built-in range at its edges", built_in},
    {"S2 embedded IPv4 is decoded and judged", embedded},
    {"the longest prefix decides, at equal length deny", longest_prefix},
    {"S3 ranges are prefixes", ranges},
    {"ports and protocols", port_ranges},
    {"entries that can't be read", unreadable},
    {"addresses of this host and its service ports", host},
    {"C83 a live relayed address is a peer, a dead one is not", relayed},
    {"what decides is told", explain},
    {"relay addresses and their port tables", relay_addresses},
    {"S1 S2 C57 C66 requests and packets to where nobody may send", s1},
    {"C57 C66 a permission is asked by address, a flow by port", by_port},
    {"a service on this very host that is opened", on_this_host},
    {"F18 a new policy holds from the next packet on", reload},
    {"a credential's own peers narrow, and open nothing", own_peers},
    {"S2 a credential's own peers and embedded IPv4", own_embedded},
    {"C83 a credential's own peers and live relayed addresses", own_relayed},
    {"a credential's own peers that can't be read", own_unreadable},
    {"what the credential's peers deny is told", own_explained},
    {"C57 C66 a credential's own peers: 403, and each packet up and down", own_requests},
    {"F18 a new policy, and a credential's own peers", own_reload},
    {"a credential's own peers are read once, at the Allocate", own_shared},
    {"every entry is told once, as it was written and with its source", entries_told},
};

TAP_MAIN(TESTS)
