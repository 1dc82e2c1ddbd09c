/* What is asked about the allocations of a worker: found in bounded steps, all of them once, as they are. */
#include <stdlib.h>

#include "relay/alloc.h"
#include "relay/query.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

static struct fakenet net;
static struct client alice, bob;

static void up(const struct fake_options *o)
{
    client_pair(&alice, &bob, &net, o);
}

#define PEER "5.6.7.8:9"

enum { ROOM = 3000 };

static struct relay_allocation found[ROOM];
static struct relay_permission permissions[ALLOC_PERMISSIONS_MAX];
static struct relay_channel channels[ALLOC_CHANNELS_MAX];

/* Asks a worker to the end, so many allocations and slots at a time. How often that was. */
static unsigned ask(unsigned worker, struct query *q, size_t most)
{
    unsigned steps = 0;
    size_t left;

    q->found = found;
    q->permissions = permissions;
    q->channels = channels;
    q->limit = q->limit ? q->limit : ROOM;
    do {
        left = most;
        steps++;
    } while (!query_step(fake_shard(&net, worker), q, &left));
    return steps;
}

static size_t list(unsigned worker, struct relay_filter filter)
{
    struct query q = {.kind = QUERY_LIST, .filter = filter};

    ask(worker, &q, 7);
    return q.n;
}

static bool show(uint64_t id)
{
    struct query q = {.kind = QUERY_SHOW, .id = id, .limit = 1};

    ask(0, &q, 7);
    return q.n == 1;
}

/* So many of this client's, one a port. */
static bool allocate(struct client *c, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        c->path.client.port = (uint16_t)(first + i);
        c->nonce_len = 0;
        if (client_allocate(c))
            return false;
    }
    return true;
}

static void everything(void)
{
    UP(.relays = {"10.0.0.9=9.9.9.9", "2a09::9"});
    alice.path.transport = TRANSPORT_TCP;
    CHECK_INT(client_allocate_with(&alice, STUN_ATTR_ADDITIONAL_ADDRESS_FAMILY, CLIENT_V6), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.9:1"), 0);
    fake_clock(&net, 10000);
    CHECK_INT(client_permit(&alice, "[2a05::8]:1"), 0);
    fake_from_peer(&net, &alice.relayed[0], PEER, "four", 4, 0);
    client_channel(&alice, 0x4000, "seventy", 7, 0);
    client_channel(&alice, 0x4000, "seventy", 7, 0);
    CHECK_INT(list(0, (struct relay_filter){0}), 1);
    CHECK(found[0].stream && found[0].worker == 0);
    CHECK(addr_equal(&found[0].client, &alice.path.client) && addr_equal(&found[0].server, &alice.path.server));
    CHECK(addr_equal(&found[0].relayed[0], &alice.relayed[0]) && addr_equal(&found[0].relayed[1], &alice.relayed[1]));
    CHECK_INT(found[0].created_at, FAKE_WALL);
    CHECK_INT(found[0].age_s, 10);
    CHECK_INT(found[0].expires_in_s, 590);
    CHECK_INT(found[0].packets_up, 2);
    CHECK_INT(found[0].bytes_up, 14);
    CHECK_INT(found[0].packets_down, 1);
    CHECK_INT(found[0].bytes_down, 4);
    CHECK_INT(found[0].npermissions, 3);
    CHECK_INT(found[0].nchannels, 1);
    CHECK_STR(found[0].user, "alice");
    CHECK_STR(found[0].owner, "alice");
    CHECK(!show(found[0].id + 1) && show(found[0].id));
    CHECK(addr_same_ip(&permissions[0].peer, &(struct addr){.family = ADDR_V4, .ip = {5, 6, 7, 8}}));
    CHECK_INT(permissions[0].expires_in_s, 290);
    CHECK_INT(permissions[2].peer.family, ADDR_V6);
    CHECK_INT(permissions[2].expires_in_s, 300);
    CHECK_INT(channels[0].number, 0x4000);
    CHECK(addr_equal(&channels[0].peer, &(struct addr){.family = ADDR_V4, .port = 9, .ip = {5, 6, 7, 8}}));
    CHECK_INT(channels[0].expires_in_s, 590);
    fake_clock(&net, 290000); /* the first two permissions end, no timer fires */
    CHECK(show(found[0].id));
    CHECK_INT(found[0].npermissions, 1);
    CHECK_INT(permissions[0].peer.family, ADDR_V6);
    client_refresh(&alice, 600);
    fake_clock(&net, 600000);
    CHECK_INT(list(0, (struct relay_filter){0}), 0);
    DOWN();
}

/* About once a second, of the counters: nothing is left of it when nothing comes any more. */
static void pace(void)
{
    UP(0);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_bind(&alice, 0x4000, PEER), 0);
    for (int i = 0; i < 50; i++) {
        client_channel(&alice, 0x4000, "0123456789", 10, 0);
        fake_from_peer(&net, &alice.relayed[0], PEER, "01234", 5, 0);
        fake_pass(&net, 20);
    }
    list(0, (struct relay_filter){0});
    CHECK_INT(found[0].bps_up, 4000);
    CHECK_INT(found[0].bps_down, 2000);
    fake_pass(&net, 250);
    list(0, (struct relay_filter){0});
    CHECK_INT(found[0].bps_up, 4000);
    fake_pass(&net, 750);
    list(0, (struct relay_filter){0});
    CHECK_INT(found[0].bps_up, 0);
    CHECK_INT(found[0].bps_down, 0);
    DOWN();
}

static void filters(void)
{
    static const struct addr peer = {.family = ADDR_V4, .ip = {5, 6, 7, 8}}, other = {.family = ADDR_V4, .ip = {5, 6, 7, 9}};
    struct addr at, elsewhere = fake_addr("11.1.1.2");

    UP(0);
    bob.path.transport = TRANSPORT_TCP;
    CHECK(allocate(&alice, 4000, 3) && allocate(&bob, 5000, 2));
    CHECK_INT(client_permit(&alice, PEER), 0);
    CHECK_INT(list(0, (struct relay_filter){0}), 5);
    CHECK_INT(list(0, (struct relay_filter){.user = "alice"}), 3);
    CHECK_INT(list(0, (struct relay_filter){.user = "alic"}), 0);
    CHECK_INT(list(0, (struct relay_filter){.user = ""}), 0);
    CHECK_INT(list(0, (struct relay_filter){.transports = 1U << TRANSPORT_UDP}), 3);
    CHECK_INT(list(0, (struct relay_filter){.transports = 1U << TRANSPORT_TCP}), 2);
    CHECK_INT(list(0, (struct relay_filter){.transports = 1U << TRANSPORT_TCP | 1U << TRANSPORT_UDP}), 5);
    CHECK_INT(list(0, (struct relay_filter){.user = "alice", .transports = 1U << TRANSPORT_TCP}), 0);
    at = addr_with_port(&alice.path.client, 0);
    CHECK_INT(list(0, (struct relay_filter){.client = at}), 3);
    CHECK_INT(list(0, (struct relay_filter){.client = elsewhere}), 0);
    CHECK_INT(list(0, (struct relay_filter){.peer = peer}), 1);
    CHECK_STR(found[0].user, "alice");
    CHECK_INT(list(0, (struct relay_filter){.peer = other}), 0);
    CHECK_INT(client_bind(&bob, 0x4000, "5.6.7.9:1"), 0);
    CHECK_INT(list(0, (struct relay_filter){.peer = other}), 1);
    fake_clock(&net, 301000); /* the permissions are over, the channel is not */
    CHECK_INT(list(0, (struct relay_filter){.peer = peer}), 0);
    CHECK_INT(list(0, (struct relay_filter){.peer = other}), 1);
    DOWN();
}

/* How often each was on a page, by its port less 1000. */
static unsigned seen[ROOM];

static void note(size_t n, unsigned first, unsigned count)
{
    for (size_t i = 0; i < n; i++)
        if (found[i].client.port >= first && found[i].client.port < first + count)
            seen[found[i].client.port - first]++;
}

static unsigned pages(struct relay_filter filter, size_t limit, size_t most, unsigned count, void (*between)(unsigned page))
{
    struct query q = {.kind = QUERY_LIST, .filter = filter, .limit = limit};
    unsigned n = 0;

    memset(seen, 0, sizeof(seen));
    do {
        q.n = 0;
        q.full = false;
        ask(0, &q, most);
        if (q.n > limit || (q.full && q.n < limit))
            return 0;
        note(q.n, 1000, count);
        n++;
        if (between)
            between(n);
    } while (q.full);
    return n;
}

static bool once(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (seen[i] != 1)
            return false;
    return true;
}

static void paging(void)
{
    UP(0);
    CHECK_INT(pages((struct relay_filter){0}, 10, 5, 0, NULL), 1);
    CHECK(allocate(&alice, 1000, 100));
    CHECK_INT(pages((struct relay_filter){0}, 1, 3, 100, NULL), 100);
    CHECK(once(100));
    CHECK_INT(pages((struct relay_filter){0}, 7, QUERY_PASS_MAX, 100, NULL), 15);
    CHECK(once(100));
    CHECK_INT(pages((struct relay_filter){0}, 100, 64, 100, NULL), 1); /* the last one is full, and nothing is behind it */
    CHECK(once(100));
    CHECK_INT(pages((struct relay_filter){.user = "alice"}, 7, 64, 100, NULL), 15);
    CHECK(once(100));
    CHECK(allocate(&bob, 3000, 50));
    CHECK_INT(pages((struct relay_filter){.user = "alice"}, 50, 64, 100, NULL), 2);
    CHECK(once(100));
    DOWN();
}

/* Beyond the 1024 slots that the table begins with; and what was there at first ends in part. */
static void grow(unsigned page)
{
    if (page == 3)
        allocate(&bob, 10000, 1500);
    for (uint16_t i = 0; page == 3 && i < 50; i++) {
        alice.path.client.port = (uint16_t)(1000 + 2 * i);
        alice.nonce_len = 0;
        client_greet(&alice);
        client_refresh(&alice, 0);
    }
}

static void table_grows(void)
{
    UP(0);
    CHECK(allocate(&alice, 1000, 300)); /* so many that her own list is too long to be taken */
    pages((struct relay_filter){0}, 20, 64, 300, grow);
    CHECK(fake_shard(&net, 0)->allocs.mask > 1024);
    for (unsigned i = 0; i < 300; i++) {
        bool ended = i < 100 && i % 2 == 0;

        CHECK(seen[i] == 1 || (ended && !seen[i]));
    }
    CHECK_INT(list(0, (struct relay_filter){.user = "alice"}), 250);
    CHECK_INT(list(0, (struct relay_filter){.user = "bob"}), 1500);
    DOWN();
}

static void bounded(void)
{
    static const struct relay_filter NOBODY = {.client = {.family = ADDR_V4, .ip = {1}}};
    struct query nothing = {.kind = QUERY_LIST, .filter = NOBODY}, show_none = {.kind = QUERY_SHOW, .id = 1, .limit = 1};
    size_t most = QUERY_PASS_MAX;
    unsigned steps;

    UP(0);
    CHECK(allocate(&alice, 1000, 1000));
    CHECK(!query_step(fake_shard(&net, 0), &nothing, &most));
    CHECK_INT(most, 0);
    CHECK(!query_step(fake_shard(&net, 0), &nothing, &most)); /* nothing is left of this pass for it */
    nothing.at = 0;
    steps = ask(0, &nothing, QUERY_PASS_MAX);
    CHECK(steps >= 1000 / QUERY_PASS_MAX && steps <= (1000 + 1024) / QUERY_PASS_MAX + 1);
    CHECK_INT(nothing.n, 0);
    CHECK_INT(ask(0, &show_none, QUERY_PASS_MAX), steps);
    CHECK_INT(show_none.n, 0);
    DOWN();
}

static bool close_one(uint64_t id)
{
    struct query q = {.kind = QUERY_CLOSE, .id = id, .limit = 1};

    ask(0, &q, 64);
    return q.n == 1;
}

static void closing(void)
{
    uint64_t id;

    UP(0);
    CHECK(allocate(&alice, 4000, 3));
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(list(0, (struct relay_filter){.user = "bob"}), 1);
    id = found[0].id;
    CHECK(close_one(id));
    CHECK_STR(net.last_detail, "closed by the administrator");
    CHECK_INT(net.events[EVENT_ALLOCATION_DELETED], 1);
    CHECK_STR(found[0].user, "bob"); /* as it was */
    CHECK_INT(fake_count(&net, COUNT_ALLOCATIONS_CLOSED), 1);
    CHECK(!close_one(id));
    CHECK_INT(client_refresh(&bob, 600), 437);
    CHECK_INT(auth_quota_total(net.auth), 3);
    CHECK_INT(ports_in_use(net.ports), 3);
    CHECK_INT(list(0, (struct relay_filter){0}), 3);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(list(0, (struct relay_filter){.user = "bob"}), 1);
    DOWN();
}

/* The id says which worker is to be asked, also when it is nobody's. */
static void ids(void)
{
    UP(.workers = 2);
    CHECK_INT(client_allocate(&alice), 0);
    bob.worker = 1;
    bob.nonce_len = 0;
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(list(0, (struct relay_filter){0}), 1);
    CHECK_INT(alloc_id_worker(found[0].id), 0);
    CHECK_INT(list(1, (struct relay_filter){0}), 1);
    CHECK_INT(alloc_id_worker(found[0].id), 1);
    CHECK_INT(found[0].worker, 1);
    CHECK(alloc_id_worker(UINT64_MAX) > PORTS_WORKERS_MAX);
    DOWN();
}

static const struct tap_test TESTS[] = {
    {"an allocation is shown as it is, with what of it lives", everything},
    {"its pace is that of about the last second", pace},
    {"a list keeps to its filter", filters},
    {"pages hold each allocation once, and the last one says so", paging},
    {"a table that grows between two pages, and allocations that end, lose none of the others", table_grows},
    {"a step looks at no more than it may", bounded},
    {"closing one gives back what it held, and is told with its reason", closing},
    {"an id tells its worker", ids},
};

TAP_MAIN(TESTS)
