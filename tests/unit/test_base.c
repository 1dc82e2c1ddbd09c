/* The room base/, without its log and its configuration. No test waits for a time: time is an argument. */
#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/random.h"
#include "base/rate.h"
#include "base/ring.h"
#include "base/utf8.h"
#include "base/wheel.h"
#include "base/wire.h"
#include "tests/unit/tap.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- err ---- */

static void test_err_texts(void)
{
    unsigned n = 0;
    for (int err; (err = err_nth(n)) != 1; n++) {
        CHECK(err <= 0);
        CHECK(strcmp(err_str(err), "unknown error") != 0);
        for (unsigned other = 0; other < n; other++)
            CHECK(err_nth(other) != err && strcmp(err_str(err_nth(other)), err_str(err)) != 0);
    }
    CHECK_INT(n, 27);
    CHECK_INT(err_nth(n + 1000), 1);
    for (int err = ERR_TRUNCATED; err >= ERR_CANCELLED; err--)
        CHECK(strcmp(err_str(err), "unknown error") != 0);
}

static void test_err_foreign(void)
{
    CHECK_STR(err_str(-ECONNREFUSED), "Connection refused");
    CHECK_STR(err_str(5), "unknown error");
    CHECK_STR(err_str(-9999), "unknown error");
    CHECK_STR(err_str(-2147483647 - 1), "unknown error");
}

/* ---- wire ---- */

static void test_wire_reads(void)
{
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff, 'a', 'b'};
    struct wire w = wire_over(in, sizeof(in));
    CHECK_INT(wire_u8(&w), 1);
    CHECK_INT(wire_u16(&w), 0x0203);
    CHECK_INT(wire_u32(&w), 0x04050607);
    CHECK(wire_u64(&w) == 0x08090a0b0c0d0e0fULL);
    CHECK_INT(wire_u8(&w), 0xff);
    CHECK_INT(wire_left(&w), 2);
    CHECK(wire_bytes(&w, 2) == in + 16);
    CHECK_INT(wire_left(&w), 0);
    CHECK_INT(w.err, 0);
    CHECK(wire_bytes(&w, 0) == in + sizeof(in));
    CHECK_INT(w.err, 0);
}

static void test_wire_overrun(void)
{
    static const uint8_t in[] = {1, 2, 3};
    struct wire w = wire_over(in, sizeof(in));
    CHECK_INT(wire_u32(&w), 0);
    CHECK_INT(w.err, ERR_TRUNCATED);
    CHECK_INT(wire_u8(&w), 0); /* sticky, although there are bytes */
    CHECK(wire_bytes(&w, 1) == NULL);
    CHECK_INT(wire_left(&w), 0);

    w = wire_over(in, sizeof(in));
    CHECK(wire_bytes(&w, SIZE_MAX) == NULL);
    CHECK_INT(w.err, ERR_TRUNCATED);

    w = wire_over(NULL, 0);
    CHECK_INT(wire_u16(&w), 0);
    CHECK_INT(w.err, ERR_TRUNCATED);
}

static void test_wire_writes(void)
{
    static const uint8_t want[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'a', 'b', 0, 0};
    uint8_t out[sizeof(want) + 1];
    struct wire_out w = wire_into(out, sizeof(want));
    wire_put_u8(&w, 1);
    wire_put_u16(&w, 0xeeee);
    wire_put_u32(&w, 0x04050607);
    wire_put_u64(&w, 0x08090a0b0c0d0e0fULL);
    wire_put(&w, "ab", 2);
    wire_put_zeros(&w, 2);
    wire_patch_u16(&w, 1, 0x0203);
    CHECK_INT(w.err, 0);
    CHECK_INT(w.len, sizeof(want));
    CHECK_MEM(out, want, sizeof(want));
    wire_put(&w, NULL, 0);
    CHECK_INT(w.err, 0);
}

static void test_wire_full(void)
{
    uint8_t out[4] = {9, 9, 9, 9};
    struct wire_out w = wire_into(out, 3);
    wire_put_u16(&w, 0x0102);
    wire_put_u16(&w, 0x0304);
    CHECK_INT(w.err, ERR_NOSPC);
    CHECK_INT(w.len, 2);
    wire_put_u8(&w, 5); /* sticky, although there is room */
    wire_patch_u16(&w, 0, 0x0607);
    CHECK_INT(w.len, 2);
    CHECK_MEM(out, "\x01\x02\x09\x09", 4);

    w = wire_into(out, 4);
    wire_put_u16(&w, 1);
    wire_patch_u16(&w, 1, 1);
    CHECK_INT(w.err, ERR_NOSPC);
    w = wire_into(out, 4);
    wire_patch_u16(&w, SIZE_MAX, 1);
    CHECK_INT(w.err, ERR_NOSPC);
    w = wire_into(out, 4);
    wire_put_u16(&w, 1);
    wire_patch_u16(&w, 3, 1); /* behind what was written, and over the end */
    CHECK_INT(w.err, ERR_NOSPC);
    w = wire_into(NULL, 4);
    wire_put_u8(&w, 1);
    CHECK_INT(w.err, ERR_NOSPC);
}

/* ---- addr ---- */

static void test_addr_text(void)
{
    static const char *const same[] = {"192.0.2.1:3478", "[2001:db8::1]:65535",
                                       "[::]:0",         "[::ffff:192.0.2.1]:1",
                                       "0.0.0.0:0",      "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"};
    char text[ADDR_TEXT_MAX];
    struct addr a;

    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(addr_parse(&a, same[i]), 0);
        CHECK_STR(addr_text(&a, text), same[i]);
    }
    CHECK_INT(addr_parse(&a, same[5]), 0);
    CHECK_STR(addr_text(&a, text), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    CHECK_INT(addr_parse_ip(&a, "2001:DB8:0:0:1:0:0:1"), 0);
    CHECK_STR(addr_ip_text(&a, text), "2001:db8::1:0:0:1"); /* RFC 5952 section 4.2.3 */
    CHECK_INT(a.port, 0);
    memset(&a, 0, sizeof(a));
    CHECK_STR(addr_text(&a, text), "none");
    CHECK_STR(addr_ip_text(&a, text), "none");
}

static void test_addr_refused(void)
{
    static const char *const with_port[] = {
        "",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:1x",
        "192.0.2.1:000080",
        "192.0.2:1",
        "192.0.2.01:1",
        "2001:db8::1:1",
        "[2001:db8::1]",
        "[2001:db8::1]:",
        "[2001:db8::1]1",
        "[192.0.2.1]:1",
        "[fe80::1%eth0]:1",
        "[::1",
        ":1",
        "host:1",
        "192.0.2.1: 1",
        " 192.0.2.1:1",
        "[::1]:1 ",
        "11111111111111111111111111111111111111111111111111111111111111111111111:1",
    };
    static const char *const ip[] = {"", "192.0.2.256", "1.2.3", "0x7f.1", "::1%lo", "[::1]", "1::2::3", "::1 ", "192.0.2.1:1"};
    struct addr a = {.family = ADDR_V4, .port = 7};

    for (size_t i = 0; i < sizeof(with_port) / sizeof(with_port[0]); i++)
        CHECK_INT(addr_parse(&a, with_port[i]), ERR_INVAL);
    for (size_t i = 0; i < sizeof(ip) / sizeof(ip[0]); i++)
        CHECK_INT(addr_parse_ip(&a, ip[i]), ERR_INVAL);
    CHECK_INT(a.port, 7); /* untouched */
}

static void test_addr_unmapped(void)
{
    static const char *const CASES[][2] = {{"[::ffff:192.0.2.1]:7", "192.0.2.1:7"},
                                           {"192.0.2.1:7", "192.0.2.1:7"},
                                           {"[2001:db8::1]:7", "[2001:db8::1]:7"},
                                           {"[::1]:7", "[::1]:7"}};
    struct addr a, want;

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        CHECK_INT(addr_parse(&a, CASES[i][0]), 0);
        CHECK_INT(addr_parse(&want, CASES[i][1]), 0);
        a = addr_unmapped(&a);
        CHECK(addr_equal(&a, &want));
    }
    a = addr_unmapped(&(struct addr){0});
    CHECK_INT(a.family, ADDR_NONE);
}

static void test_addr_sockaddr(void)
{
    struct sockaddr_storage ss;
    struct addr a, b;

    CHECK_INT(addr_parse(&a, "192.0.2.1:3478"), 0);
    CHECK_INT(addr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in));
    memset(&b, 0xff, sizeof(b));
    CHECK_INT(addr_from_sockaddr(&b, (struct sockaddr *)&ss), 0);
    CHECK(addr_equal(&a, &b));
    CHECK_INT(addr_ip_len(&a), 4);

    CHECK_INT(addr_parse(&a, "[::ffff:192.0.2.1]:3478"), 0);
    CHECK_INT(addr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in6));
    CHECK_INT(addr_from_sockaddr(&b, (struct sockaddr *)&ss), 0);
    CHECK(addr_equal(&a, &b));
    CHECK_INT(b.family, ADDR_V6);
    CHECK_INT(addr_ip_len(&a), 16);

    CHECK_INT(addr_scope((struct sockaddr *)&ss), 0);
    addr_set_scope(&ss, 7);
    CHECK_INT(addr_scope((struct sockaddr *)&ss), 7);
    CHECK_INT(addr_from_sockaddr(&b, (struct sockaddr *)&ss), 0);
    CHECK(addr_equal(&a, &b));
    CHECK_INT(addr_parse(&a, "192.0.2.1:3478"), 0);
    addr_to_sockaddr(&a, &ss);
    addr_set_scope(&ss, 7); /* IPv4 has none */
    CHECK_INT(addr_scope((struct sockaddr *)&ss), 0);
    CHECK_INT(addr_from_sockaddr(&b, (struct sockaddr *)&ss), 0);
    CHECK(addr_equal(&a, &b));

    memset(&a, 0, sizeof(a));
    CHECK_INT(addr_to_sockaddr(&a, &ss), 0);
    CHECK_INT(addr_ip_len(&a), 0);
    ss.ss_family = AF_UNIX;
    CHECK_INT(addr_from_sockaddr(&b, (struct sockaddr *)&ss), ERR_AFNOSUPPORT);
}

static void test_addr_equal(void)
{
    struct addr a, b, c;
    CHECK_INT(addr_parse(&a, "192.0.2.1:1"), 0);
    CHECK_INT(addr_parse(&b, "192.0.2.1:2"), 0);
    CHECK_INT(addr_parse_ip(&c, "c000:201::"), 0); /* the same first bytes in the other family */
    CHECK(!addr_equal(&a, &b));
    CHECK(addr_same_ip(&a, &b));
    CHECK(!addr_same_ip(&a, &c));
    b = addr_with_port(&b, 1);
    CHECK(addr_equal(&a, &b));
}

static void test_addr_kinds(void)
{
    static const struct {
        const char *ip;
        bool any, loopback, link_local;
    } t[] = {
        {"0.0.0.0", true, false, false},      {"::", true, false, false},           {"::ffff:0.0.0.0", true, false, false},
        {"127.255.0.1", false, true, false},  {"::1", false, true, false},          {"::ffff:127.0.0.1", false, true, false},
        {"169.254.1.1", false, false, true},  {"febf::1", false, false, true},      {"::ffff:169.254.169.254", false, false, true},
        {"169.255.1.1", false, false, false}, {"fec0::1", false, false, false},     {"::ffff:192.0.2.1", false, false, false},
        {"192.0.2.1", false, false, false},   {"2001:db8::1", false, false, false}, {"128.0.0.1", false, false, false},
    };
    struct addr none = {0};
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct addr a;
        CHECK_INT(addr_parse_ip(&a, t[i].ip), 0);
        CHECK_INT(addr_is_any(&a), t[i].any);
        CHECK_INT(addr_is_loopback(&a), t[i].loopback);
        CHECK_INT(addr_is_link_local(&a), t[i].link_local);
    }
    CHECK(!addr_is_any(&none) && !addr_is_loopback(&none) && !addr_is_link_local(&none));
}

static void test_addr_unicast(void)
{
    static const struct {
        const char *ip;
        bool unicast;
    } t[] = {
        {"192.0.2.1", true},  {"223.255.255.255", true},  {"127.0.0.1", true},         {"2001:db8::1", true},
        {"fe80::1", true},    {"::ffff:192.0.2.1", true}, {"0.0.0.0", false},          {"0.1.2.3", false},
        {"224.0.0.1", false}, {"255.255.255.255", false}, {"::ffff:239.0.0.1", false}, {"::", false},
        {"ff02::1", false},
    };
    struct addr none = {0};

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct addr a;

        CHECK_INT(addr_parse_ip(&a, t[i].ip), 0);
        CHECK_INT(addr_is_unicast(&a), t[i].unicast);
    }
    CHECK(!addr_is_unicast(&none));
}

/* ---- text ---- */

static void test_utf8_mask(void)
{
    static const struct {
        const char *given, *masked;
    } t[] = {
        {"plain \xc3\xa9\xe2\x82\xac", "plain \xc3\xa9\xe2\x82\xac"},
        {"\x1b[2J\r\n\x7f", "?[2J???"},
        {"a\xc2\x9b"
         "2J",
         "a??2J"}, /* CSI */
        {"cut \xe2\x82", "cut ??"},
        {"\xc2\xa0 stays", "\xc2\xa0 stays"},
        {"\xef\xbf\xbd stays", "\xef\xbf\xbd stays"},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char text[32];

        snprintf(text, sizeof(text), "%s", t[i].given);
        utf8_mask(text);
        CHECK_STR(text, t[i].masked);
    }
}

/* ---- clock and rate ---- */

static void test_clock(void)
{
    struct now a = clock_now(), b = clock_now();
    CHECK(b.ms >= a.ms);
    CHECK(a.wall > 1700000000);
}

static void test_rate(void)
{
    struct rate r;
    rate_init(&r, 10, 20, 1000);
    CHECK(rate_take(&r, 20, 1000));
    CHECK(!rate_take(&r, 1, 1000));
    CHECK(!rate_take(&r, 1, 1099)); /* a token is 100 ms */
    CHECK(rate_take(&r, 1, 1100));  /* what came in parts was not lost */
    CHECK(!rate_take(&r, 1, 1100));
    CHECK(!rate_take(&r, 1, 500)); /* a clock that goes back gives nothing, */
    CHECK(rate_take(&r, 1, 1200)); /* and takes nothing */
    CHECK(rate_take(&r, 20, 1000000));
    CHECK(!rate_take(&r, 1, 1000000));  /* no more than the burst, however long the pause */
    CHECK(!rate_take(&r, 21, 9000000)); /* never more than the burst at once */
    CHECK(rate_take(&r, 20, 9000000));
}

static void test_rate_shared(void)
{
    struct rate_shared r = {0};
    CHECK(rate_shared_take(&r, 20, 10, 2000, 100000)); /* ten a second, two seconds' worth */
    CHECK(!rate_shared_take(&r, 1, 10, 2000, 100000));
    CHECK(!rate_shared_take(&r, 1, 10, 2000, 100099));
    CHECK(rate_shared_take(&r, 1, 10, 2000, 100100));
    CHECK(!rate_shared_take(&r, 1, 10, 2000, 100100));
    CHECK(!rate_shared_take(&r, 1, 10, 2000, 90000)); /* a clock that goes back gives nothing, */
    CHECK(rate_shared_take(&r, 1, 10, 2000, 100200)); /* and takes nothing */
    CHECK(rate_shared_take(&r, 20, 10, 2000, 1000000));
    CHECK(!rate_shared_take(&r, 1, 10, 2000, 1000000));                 /* no more than it holds, however long the pause */
    CHECK(rate_shared_take(&r, 1000000, 1000000000000, 1000, 1002100)); /* another rate from here on */
    r = (struct rate_shared){0};
    CHECK(!rate_shared_take(&r, 4294967295, 1, 65536000, 1000));
    CHECK(rate_shared_take(&r, 65536, 1, 65536000, 1000));
    CHECK(!rate_shared_take(&r, 1, 1, 65536000, 1999));
    CHECK(rate_shared_take(&r, 1, 1, 65536000, 2000));
}

static void test_rate_extremes(void)
{
    struct rate r = {0};
    CHECK(rate_take(&r, UINT64_MAX, 0)); /* no limit */
    rate_init(&r, UINT64_MAX, UINT64_MAX, 0);
    CHECK(!rate_take(&r, UINT64_MAX, 1));
    CHECK(rate_take(&r, 10000000000000, UINT64_MAX - 1)); /* the limit of both, and no overflow */
    CHECK(!rate_take(&r, 1, UINT64_MAX - 1));
    rate_init(&r, 1ULL << 61, 1, 0); /* a thousand times this is 0 in 64 bits */
    CHECK(rate_take(&r, 1, 0));
    CHECK(rate_take(&r, 1, 1));
    rate_init(&r, 1, 1, 0);
    CHECK(!rate_take(&r, 18446744073710, 0)); /* a million times this is less than a token in 64 bits */
    CHECK(rate_take(&r, 1, 0));
    CHECK(!rate_take(&r, 1, 999));
    CHECK(rate_take(&r, 1, UINT64_MAX));
}

/* ---- map ---- */

struct item {
    struct map_node node; /* first, so that a node is its item */
    uint64_t key;
    unsigned seen;
};

static struct item *item_of(struct map_node *n)
{
    return (struct item *)(void *)n;
}

static struct item *item_find(const struct map *m, uint64_t key)
{
    struct map_node *n = map_first(m, map_hash(m, &key, sizeof(key)));
    while (n && item_of(n)->key != key)
        n = map_next(n);
    return n ? item_of(n) : NULL;
}

static void test_map_hash(void)
{
    /* As CPython 3.11 (which hashes bytes with SipHash-1-3) has it for PYTHONHASHSEED=0. */
    struct map m = {.seed = {0, 0}};
    CHECK(map_hash(&m, "a", 1) == 0x407448d2b89b1813ULL);
    CHECK(map_hash(&m, "12345678", 8) == 0x3489982430560a87ULL);
    CHECK(map_hash(&m, "the 5-tuple of a client", 23) == 0x01f6f428b4a45775ULL);
    m.seed[1] = 1;
    CHECK(map_hash(&m, "a", 1) != 0x407448d2b89b1813ULL);
}

static void test_map_seed(void)
{
    struct map a, b;
    CHECK_INT(map_init(&a, 0), 0);
    CHECK_INT(map_init(&b, 0), 0);
    bool same = memcmp(a.seed, b.seed, sizeof(a.seed)) == 0;
    map_deinit(&a);
    map_deinit(&b);
    CHECK(!same);
    CHECK(a.slots == NULL);
    CHECK_INT(map_init(&a, SIZE_MAX), ERR_NOMEM);
    map_deinit(&a);
}

enum { ITEMS = 20000 };

static void see(struct map_node *n, void *ctx)
{
    item_of(n)->seen++;
    ++*(size_t *)ctx;
}

static void map_run(struct map *m, struct item *items)
{
    size_t visited = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].key = i;
        map_insert(m, &items[i].node, map_hash(m, &items[i].key, sizeof(items[i].key)));
    }
    CHECK_INT(m->count, ITEMS);
    CHECK(m->mask + 1 >= ITEMS / 2); /* it grew */
    for (size_t i = 0; i < ITEMS; i++)
        CHECK(item_find(m, i) == &items[i]);
    CHECK(!item_find(m, ITEMS));
    for (size_t i = 0; i < ITEMS; i += 2)
        map_remove(m, &items[i].node);
    CHECK_INT(m->count, ITEMS / 2);
    for (size_t i = 0; i < ITEMS; i++)
        CHECK(item_find(m, i) == (i % 2 ? &items[i] : NULL));
    map_each(m, see, &visited);
    CHECK_INT(visited, ITEMS / 2);
    for (size_t i = 0; i < ITEMS; i++)
        CHECK_INT(items[i].seen, i % 2);
}

static void test_map_many(void)
{
    struct map m;
    struct item *items = calloc(ITEMS, sizeof(*items));
    CHECK(items != NULL);
    CHECK_INT(map_init(&m, 4), 0);
    map_run(&m, items);
    map_deinit(&m);
    free(items);
}

static void test_map_same_hash(void)
{
    struct map m;
    struct item a = {.key = 1}, b = {.key = 2}, c = {.key = 3};
    unsigned n = 0;

    CHECK_INT(map_init(&m, 8), 0);
    map_insert(&m, &a.node, 42);
    map_insert(&m, &b.node, 42);
    map_insert(&m, &c.node, 42 + 8); /* the same slot */
    for (struct map_node *i = map_first(&m, 42); i; i = map_next(i), n++)
        CHECK(item_of(i) != &c);
    CHECK_INT(n, 2);
    map_remove(&m, &b.node);
    CHECK(map_first(&m, 42) == &a.node);
    CHECK(map_next(&a.node) == NULL);
    CHECK(map_first(&m, 42 + 8) == &c.node);
    CHECK(map_first(&m, 42 + 16) == NULL);
    map_deinit(&m);
}

static void remove_and_free(struct map_node *n, void *ctx)
{
    map_remove(ctx, n);
    free(n);
}

static void test_map_each_removes(void)
{
    struct map m;
    CHECK_INT(map_init(&m, 8), 0);
    for (uint64_t i = 0; i < 100; i++) {
        struct item *item = calloc(1, sizeof(*item));
        CHECK(item != NULL);
        map_insert(&m, &item->node, i % 5); /* long chains */
    }
    map_each(&m, remove_and_free, &m);
    CHECK_INT(m.count, 0);
    map_deinit(&m);
}

/* ---- wheel ---- */

struct fired {
    struct wheel *w;
    struct wheel_timer *last;
    struct wheel_timer *rearm, *remove;
    uint64_t rearm_ms;
    unsigned n;
};

static void on_fire(struct wheel_timer *t, void *ctx)
{
    struct fired *f = ctx;
    f->n++;
    f->last = t;
    if (f->rearm)
        wheel_set(f->w, f->rearm, f->rearm_ms);
    if (f->remove)
        wheel_remove(f->remove);
}

static unsigned advance(struct wheel *w, uint64_t now_ms, struct fired *f)
{
    f->n = 0;
    f->last = NULL;
    f->w = w;
    wheel_advance(w, now_ms, on_fire, f);
    return f->n;
}

static void test_wheel_due(void)
{
    static struct wheel w;
    struct wheel_timer t = {0};
    struct fired f = {0};

    wheel_init(&w, 100123);
    wheel_set(&w, &t, 105001);
    CHECK(wheel_armed(&t));
    for (uint64_t now = 100123; now < 105001; now += 61)
        CHECK_INT(advance(&w, now, &f), 0);                /* never early */
    CHECK_INT(advance(&w, 105000, &f), 0);                 /* a millisecond too soon, and in the slot of its tick */
    CHECK_INT(advance(&w, 105001 + WHEEL_TICK_MS, &f), 1); /* late by a tick at most */
    CHECK(f.last == &t);
    CHECK(!wheel_armed(&t));
    CHECK_INT(advance(&w, 900000, &f), 0); /* once */
}

static void test_wheel_rearm_and_remove(void)
{
    static struct wheel w;
    struct wheel_timer a = {0}, b = {0};
    struct fired f = {0};

    wheel_init(&w, 0);
    wheel_set(&w, &a, 1000);
    wheel_set(&w, &a, 5000);
    wheel_set(&w, &b, 1000);
    wheel_remove(&b);
    wheel_remove(&b); /* harmless */
    CHECK_INT(advance(&w, 4000, &f), 0);
    CHECK_INT(advance(&w, 5000, &f), 1);
}

static void test_wheel_passed(void)
{
    static struct wheel w;
    struct wheel_timer t = {0};
    struct fired f = {0};

    wheel_init(&w, 100123);
    wheel_set(&w, &t, 100123);
    CHECK_INT(advance(&w, 100123, &f), 1); /* within the same tick, even at the same time */
    wheel_set(&w, &t, 5);
    CHECK_INT(advance(&w, 100124, &f), 1);
}

static void test_wheel_far(void)
{
    static struct wheel w;
    const uint64_t turn = (uint64_t)WHEEL_SLOTS * WHEEL_TICK_MS;
    struct wheel_timer t = {0};
    struct fired f = {0};

    wheel_init(&w, 0);
    wheel_set(&w, &t, 3 * turn + 250);
    for (uint64_t now = 0; now < 3 * turn + 250; now += 250)
        CHECK_INT(advance(&w, now, &f), 0);
    CHECK_INT(advance(&w, 3 * turn + 250, &f), 1);
}

static void test_wheel_suspend(void)
{
    enum { TIMERS = 3000 };
    static struct wheel w;
    static struct wheel_timer t[TIMERS];
    struct wheel_timer far = {0};
    struct fired f = {0};
    const uint64_t year = 365ULL * 86400 * 1000;

    wheel_init(&w, 1000);
    for (unsigned i = 0; i < TIMERS; i++)
        wheel_set(&w, &t[i], 1000 + (uint64_t)i * 1000);
    wheel_set(&w, &far, 1000 + 2 * year);
    CHECK_INT(advance(&w, 1000 + year, &f), TIMERS);
    for (unsigned i = 0; i < TIMERS; i++)
        CHECK(!wheel_armed(&t[i]));
    CHECK(wheel_armed(&far));
    /* A time so far that a step for each tick would never end. */
    CHECK_INT(advance(&w, UINT64_MAX - 1000, &f), 1);
}

static void test_wheel_fire_sets_and_removes(void)
{
    static struct wheel w;
    struct wheel_timer a = {0}, b = {0};
    struct fired f = {.rearm = &a, .rearm_ms = 10};

    wheel_init(&w, 1000);
    wheel_set(&w, &a, 2000);
    CHECK_INT(advance(&w, 2000, &f), 1); /* armed again for a time that has passed: the next advance, not this one */
    CHECK_INT(advance(&w, 2000, &f), 1);
    f.rearm = NULL;
    CHECK_INT(advance(&w, 2000, &f), 1);
    wheel_set(&w, &a, 3000);
    wheel_set(&w, &b, 3000);
    f.remove = &b;
    CHECK_INT(advance(&w, 3000, &f), 1); /* a took b off, although it was due in the same advance */
    CHECK(f.last == &a);
    CHECK(!wheel_armed(&b));
    wheel_set(&w, &a, 4000);
    wheel_set(&w, &b, 4000);
    f = (struct fired){.rearm = &b, .rearm_ms = 9000};
    CHECK_INT(advance(&w, 4000, &f), 1); /* a put b off */
    CHECK_INT(b.due_ms, 9000);
}

/* ---- ring ---- */

static bool push(struct ring *r, const void *p, size_t len)
{
    void *at = ring_reserve(r, len);
    if (!at)
        return false;
    if (len)
        memcpy(at, p, len);
    ring_commit(r);
    return true;
}

static void test_ring_order(void)
{
    struct ring *r = NULL;
    size_t len = 99;

    CHECK_INT(ring_new(&r, 200), 0);
    CHECK(ring_peek(r, &len) == NULL);
    CHECK(push(r, "one", 3));
    CHECK(push(r, NULL, 0));
    CHECK(ring_reserve(r, 5) != NULL); /* not committed: not there */
    CHECK_MEM(ring_peek(r, &len), "one", 3);
    CHECK_INT(len, 3);
    CHECK_MEM(ring_peek(r, &len), "one", 3); /* still the oldest */
    ring_release(r);
    CHECK(ring_peek(r, &len) != NULL);
    CHECK_INT(len, 0);
    ring_release(r);
    CHECK(ring_peek(r, &len) == NULL);
    ring_free(&r);
    CHECK(r == NULL);
    ring_free(&r);
    CHECK_INT(ring_new(&r, SIZE_MAX), ERR_NOMEM);
}

static void test_ring_full(void)
{
    struct ring *r = NULL;
    char record[64] = {0};
    size_t len;
    unsigned n = 0;

    CHECK_INT(ring_new(&r, 256), 0);
    CHECK(ring_reserve(r, 121) == NULL); /* more than half, with its header */
    CHECK(ring_reserve(r, SIZE_MAX) == NULL);
    while (push(r, record, 24))
        n++;
    CHECK_INT(n, 256 / 32); /* no byte unused */
    CHECK(ring_peek(r, &len) != NULL);
    CHECK(!push(r, record, 24)); /* read, but not released */
    ring_release(r);
    CHECK(push(r, record, 24));
    CHECK(!push(r, record, 0));
    ring_free(&r);
}

static void test_ring_wrap(void)
{
    struct ring *r = NULL;
    char record[120];
    size_t len;
    uint32_t x = 1;

    CHECK_INT(ring_new(&r, 256), 0);
    for (unsigned i = 0; i < 5000; i++) { /* every length at every place, the largest included */
        size_t want = (x = x * 1664525 + 1013904223) >> 16;
        const char *got;
        want = want % (sizeof(record) + 1);
        memset(record, (int)i, want);
        CHECK(push(r, record, want));
        got = ring_peek(r, &len);
        CHECK(got != NULL);
        CHECK_INT(len, want);
        CHECK_INT((uintptr_t)got % 8, 0);
        CHECK_MEM(got, record, len);
        ring_release(r);
    }
    ring_free(&r);
}

enum { RING_RECORDS = 100000 };

static size_t ring_length(uint32_t i)
{
    return 4 + i * 7919 % 200;
}

static void *produce(void *arg)
{
    struct ring *r = arg;
    uint8_t record[256];
    for (uint32_t i = 0; i < RING_RECORDS; i++) {
        memset(record, (int)i, sizeof(record));
        memcpy(record, &i, sizeof(i));
        while (!push(r, record, ring_length(i)))
            sched_yield();
    }
    return NULL;
}

/* The number of records that were not what they had to be. */
static unsigned consume(struct ring *r)
{
    unsigned bad = 0;
    for (uint32_t i = 0; i < RING_RECORDS; i++) {
        const uint8_t *p;
        size_t len;
        uint32_t number;
        while (!(p = ring_peek(r, &len)))
            sched_yield();
        memcpy(&number, p, sizeof(number));
        bad += number != i || len != ring_length(i) || (len > 4 && p[len - 1] != (uint8_t)i);
        ring_release(r);
    }
    return bad;
}

static void test_ring_threads(void)
{
    struct ring *r = NULL;
    pthread_t producer;
    unsigned bad;

    CHECK_INT(ring_new(&r, 4096), 0);
    CHECK_INT(pthread_create(&producer, NULL, produce, r), 0);
    bad = consume(r);
    pthread_join(producer, NULL);
    ring_free(&r);
    CHECK_INT(bad, 0);
}

/* ---- random ---- */

static void test_random(void)
{
    struct random r;
    uint8_t a[300], b[300];
    unsigned seen[7] = {0};

    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    random_init(&r);
    uint32_t first = random_u32(&r), second = random_u32(&r);
    CHECK(first != second || first != random_u32(&r));
    CHECK_MEM(r.buf, "\0\0\0\0\0\0\0\0", 8); /* what was handed out is gone */
    for (unsigned i = 0; i < 7000; i++) {
        uint32_t v = random_below(&r, 7);
        CHECK(v < 7);
        seen[v]++;
    }
    for (unsigned i = 0; i < 7; i++)
        CHECK(seen[i] > 700 && seen[i] < 1300); /* ten standard deviations */
    CHECK_INT(random_below(&r, 1), 0);
}

static void test_random_below_is_fair(void)
{
    /* 3 * 2^30: numbers under 2^30 would come twice as often if nothing were thrown away. */
    static const uint8_t low[4] = {5, 0, 0, 0};
    struct random r;
    random_init(&r);
    (void)random_u32(&r);
    memcpy(r.buf + r.used, low, sizeof(low)); /* the next number is 5 (little-endian) or small anyhow */
    memset(r.buf + r.used + 4, 0xff, 4);
    CHECK_INT(random_below(&r, 3U << 30), 0xffffffffU - (3U << 30));
}

static void test_base64(void)
{
    static const char *const t[][2] = {{"", ""},
                                       {"f", "Zg=="},
                                       {"fo", "Zm8="},
                                       {"foo", "Zm9v"},
                                       {"foob", "Zm9vYg=="},
                                       {"fooba", "Zm9vYmE="},
                                       {"foobar", "Zm9vYmFy"}}; /* RFC 4648 section 10 */
    char out[16];
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        CHECK_INT(base64_encode(out, t[i][0], strlen(t[i][0])), strlen(t[i][1]));
        CHECK_STR(out, t[i][1]);
    }
    base64_encode(out, "\xff\xef\xbe", 3);
    CHECK_STR(out, "/+++");
}

static void test_hex(void)
{
    static const char *const bad[] = {"", "0", "00ab", "00abf", "00abfff", "00abff00", "00abfg", "0 abff"};
    uint8_t in[3] = {0x00, 0xab, 0xff}, back[3];
    char out[7];

    hex_encode(out, in, 3);
    CHECK_STR(out, "00abff");
    CHECK_INT(hex_decode(back, 3, "00AbfF"), 0);
    CHECK_MEM(back, in, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_INT(hex_decode(back, 3, bad[i]), ERR_INVAL);
    CHECK_INT(hex_decode(back, 0, ""), 0);
}

static const struct tap_test tests[] = {
    {"err: every code of ours has a text of its own", test_err_texts},
    {"err: foreign and unknown numbers have a text", test_err_foreign},
    {"wire: reads in network order", test_wire_reads},
    {"wire: an overrun is sticky", test_wire_overrun},
    {"wire: writes in network order, patches", test_wire_writes},
    {"wire: a full buffer is sticky", test_wire_full},
    {"addr: text both ways", test_addr_text},
    {"addr: what is no address is refused", test_addr_refused},
    {"addr: sockaddr both ways", test_addr_sockaddr},
    {"an IPv4-mapped address becomes the IPv4 one that it is", test_addr_unmapped},
    {"addr: equality with and without port", test_addr_equal},
    {"addr: any, loopback, link-local, also mapped", test_addr_kinds},
    {"addr: unicast, also mapped", test_addr_unicast},
    {"utf8: what is none, and what a terminal may obey, is masked", test_utf8_mask},
    {"clock: both clocks", test_clock},
    {"rate: burst, refill, a clock that goes back", test_rate},
    {"rate: one bucket for several threads", test_rate_shared},
    {"rate: extremes neither overflow nor starve", test_rate_extremes},
    {"map: the hash is SipHash-1-3", test_map_hash},
    {"map: each map has its own seed", test_map_seed},
    {"map: thousands of inserts and removes", test_map_many},
    {"map: equal hashes and shared slots", test_map_same_hash},
    {"map: the visited node may be removed", test_map_each_removes},
    {"wheel: fires once, never early", test_wheel_due},
    {"wheel: set again, removed", test_wheel_rearm_and_remove},
    {"wheel: a time that has passed fires at the next advance", test_wheel_passed},
    {"wheel: later than a turn", test_wheel_far},
    {"wheel: one pass after a suspend", test_wheel_suspend},
    {"wheel: fire sets and removes timers", test_wheel_fire_sets_and_removes},
    {"ring: records in order, visible when committed", test_ring_order},
    {"ring: full until released", test_ring_full},
    {"ring: wraps at any place", test_ring_wrap},
    {"ring: two threads", test_ring_threads},
    {"random: bytes and ranges", test_random},
    {"random: a range is fair", test_random_below_is_fair},
    {"base64: the vectors of RFC 4648", test_base64},
    {"hex: both ways, exact length", test_hex},
};

TAP_MAIN(tests)
