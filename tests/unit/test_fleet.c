/* Records of nodes: written, read back, refused; who is chosen, and where clients are sent. */
#include <stdlib.h>

#include "auth/fleet.h"
#include "base/err.h"
#include "tests/unit/tap.h"

static struct addr address(const char *text)
{
    struct addr a = {0};

    if (addr_parse(&a, text))
        abort();
    return a;
}

static struct fleet_node node(const char *id, uint64_t used)
{
    struct fleet_node n = {.naddresses = 1, .used = used, .capacity = 10};

    snprintf(n.id, sizeof(n.id), "%s", id);
    n.address[0].addr = address("192.0.2.1:3478");
    return n;
}

static const struct fleet_field *field(const struct fleet_field *fields, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void ids(void)
{
    char id[FLEET_ID_MAX + 1], text[FLEET_ID_MAX + 10];

    CHECK(fleet_id_ok("relay-1.example_A"));
    CHECK(!fleet_id_ok("") && !fleet_id_ok("a b") && !fleet_id_ok("a:1") && !fleet_id_ok("{a}") && !fleet_id_ok("\xC3\xBC"));
    memset(text, 'x', sizeof(text));
    text[FLEET_ID_MAX + 1] = '\0';
    CHECK(!fleet_id_ok(text));
    fleet_id_make(id, text);
    CHECK(fleet_id_ok(id));
    fleet_id_make(id, "host name/1");
    CHECK_STR(id, "host-name-1");
}

static void round_trip(void)
{
    struct fleet_node n = node("a", 123), back;
    struct fleet_field fields[FLEET_FIELDS_MAX];
    struct fleet_text text;
    size_t count;

    n.address[1] = (struct fleet_address){true, address("[2001:db8::1]:3479")};
    n.naddresses = 2;
    snprintf(n.version, sizeof(n.version), "0.1.0");
    n.started = 1800000000;
    n.load = 3;
    n.full = n.draining = true;
    count = fleet_write(&n, &text, fields);
    CHECK_STR(field(fields, count, "addresses")->value, "udp 192.0.2.1:3478,tcp [2001:db8::1]:3479");
    CHECK_STR(field(fields, count, "uris")->value,
              "stun:192.0.2.1:3478 turn:192.0.2.1:3478?transport=udp turn:[2001:db8::1]:3479?transport=tcp");
    fields[count++] = (struct fleet_field){"weather", "fine", 4}; /* of a newer node */
    CHECK_INT(fleet_read(&back, "a", fields, count), 0);
    CHECK_STR(back.version, n.version);
    CHECK_INT(back.naddresses, n.naddresses);
    for (size_t i = 0; i < n.naddresses; i++)
        CHECK(back.address[i].stream == n.address[i].stream && addr_equal(&back.address[i].addr, &n.address[i].addr));
    CHECK_INT(back.started, n.started);
    CHECK_INT(back.load, n.load);
    CHECK(back.full && back.draining);
}

/* S23: nothing is believed. */
static void refused(void)
{
    static const struct fleet_field BAD[] = {
        {"addresses", "udp 192.0.2.1", 13},
        {"addresses", "sctp 192.0.2.1:1", 16},
        {"addresses", "udp 0.0.0.0:1", 13},
        {"addresses", "udp 192.0.2.1:0", 15},
        {"addresses", "", 0},
        {"addresses", "udp 192.0.2.1:1,,", 17},
        {"addresses", "udp 192.0.2.1:1\0x", 17},
        {"version", "a\nb", 3},
        {"version", "01234567890123456789012345678901", 32},
        {"load", "", 0},
        {"load", "-1", 2},
        {"load", "1 ", 2},
        {"load", "9999999999999999999", 19},
        {"draining", "yes", 3},
    };
    struct fleet_node n;
    struct fleet_field fields[2] = {{"addresses", "udp 192.0.2.1:1", 15}};
    char many[16 * (FLEET_ADDRESSES_MAX + 1)] = "";

    CHECK_INT(fleet_read(&n, "a", fields, 1), 0);
    CHECK_INT(fleet_read(&n, "a b", fields, 1), ERR_MALFORMED);
    CHECK_INT(fleet_read(&n, "a", fields, 0), ERR_MALFORMED); /* there is no such record */
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        fields[1] = BAD[i];
        CHECK_INT(fleet_read(&n, "a", fields, 2), ERR_MALFORMED);
    }
    for (int i = 0; i <= FLEET_ADDRESSES_MAX; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%sudp 1.2.3.4:5", i ? "," : "");
    fields[1] = (struct fleet_field){"addresses", many, strlen(many)};
    CHECK_INT(fleet_read(&n, "a", fields, 2), ERR_MALFORMED);
}

static void chosen(void)
{
    struct fleet_node nodes[] = {node("full", 0), node("b", 300), node("drains", 0), node("a", 100), node("c", 300)};
    unsigned first = 0;

    nodes[0].full = nodes[2].draining = true;
    for (uint64_t seed = 0; seed < 100; seed++) {
        CHECK_INT(fleet_choose(nodes, 5, seed), 3);
        CHECK_STR(nodes[0].id, "a");
        first += strcmp(nodes[1].id, "b") == 0;
    }
    CHECK(first > 20 && first < 80); /* equals take turns */
    CHECK_INT(fleet_choose(nodes, 0, 1), 0);
}

static void elsewhere(void)
{
    struct fleet_node nodes[] = {node("a", 100), node("b", 100 + FLEET_NEAR), node("c", 101 + FLEET_NEAR), node("d", 0)};
    unsigned a = 0, b = 0;
    struct fleet *f;
    struct addr to;

    CHECK_INT(fleet_new(&f), 0);
    CHECK(!fleet_draining(f) && !fleet_elsewhere(f, ADDR_V4, false, &to));
    nodes[1].address[0].addr = address("192.0.2.2:3478");
    nodes[2].address[0].addr = address("192.0.2.3:3478");
    nodes[2].address[1] = (struct fleet_address){true, address("[2001:db8::3]:3478")};
    nodes[2].naddresses = 2;
    nodes[3].draining = true;
    fleet_publish(f, nodes, 4);
    for (int i = 0; i < 10; i++) { /* those that are as little loaded take turns */
        CHECK(fleet_elsewhere(f, ADDR_V4, false, &to));
        a += to.ip[3] == 1;
        b += to.ip[3] == 2;
    }
    CHECK_INT(a, 5);
    CHECK_INT(b, 5);
    CHECK(!fleet_elsewhere(f, ADDR_V4, true, &to) && !fleet_elsewhere(f, ADDR_V6, false, &to));
    CHECK(fleet_elsewhere(f, ADDR_V6, true, &to) && to.family == ADDR_V6 && to.port == 3478);
    fleet_publish(f, NULL, 0);
    CHECK(!fleet_elsewhere(f, ADDR_V4, false, &to));
    fleet_drain(f, true);
    CHECK(fleet_draining(f));
    fleet_free(&f);
}

static const struct tap_test TESTS[] = {
    {"ids can stand in keys and URLs", ids},
    {"a record is read as it was written", round_trip},
    {"S23 what is no record is refused", refused},
    {"the least loaded with room is chosen, and chance decides between equals", chosen},
    {"clients are sent to where there is room for their family and transport", elsewhere},
};

TAP_MAIN(TESTS)
