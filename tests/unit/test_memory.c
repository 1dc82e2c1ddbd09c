/* F14: the memory limit is near. What the kernel tells of limits and use stands in a folder of the test's own. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/memory.h"
#include "tests/unit/client.h"
#include "tests/unit/tap.h"

enum { MB = 1 << 20, MINUTE = 60000 };

static char root[64];
static char made[64][512]; /* files and folders, to be removed the other way round */
static unsigned nmade;

static void remember(const char *path)
{
    if (nmade < sizeof(made) / sizeof(made[0]))
        snprintf(made[nmade++], sizeof(made[0]), "%s", path);
}

/* Writes one of the kernel's files, and makes the folders that it stands in. */
static void put(const char *path, const char *text)
{
    char full[512];
    FILE *f;

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(full, 0700) == 0)
            remember(full);
        *slash = '/';
    }
    if (access(full, F_OK) != 0)
        remember(full);
    f = fopen(full, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

static void put_pages(unsigned size_mb, unsigned data_mb)
{
    unsigned per_mb = MB / (unsigned)sysconf(_SC_PAGESIZE);
    char text[128];

    snprintf(text, sizeof(text), "%u 1 1 1 0 %u 0\n", size_mb * per_mb, data_mb * per_mb);
    put("/proc/self/statm", text);
}

static void put_rlimits(const char *as, const char *data)
{
    char text[512];

    snprintf(text, sizeof(text),
             "Limit                     Soft Limit           Hard Limit           Units     \n"
             "Max data size             %-20s unlimited            bytes     \n"
             "Max resident set          1                    1                    bytes     \n"
             "Max address space         %-20s unlimited            bytes     \n",
             data, as);
    put("/proc/self/limits", text);
}

static void begin(void)
{
    snprintf(root, sizeof(root), "/tmp/turnpike-memory-XXXXXX");
    if (!mkdtemp(root))
        abort();
    nmade = 0;
    remember(root);
    put_pages(1000, 500);
    put_rlimits("unlimited", "unlimited");
}

static void end(void)
{
    while (nmade)
        remove(made[--nmade]);
}

/* What the heap holds in reserve, and how often that was asked. */
static uint64_t reserve;
static unsigned asked;

static uint64_t heap_free(void)
{
    asked++;
    return reserve;
}

static struct memory_state look(struct memory *m)
{
    struct memory_state state;

    reserve = 0;
    memory_look(m, heap_free, 1000, &state);
    return state;
}

static void judge_no_limit(struct memory *m)
{
    CHECK(!look(m).is_short);
    CHECK_INT(look(m).limit, 0);
    remove(made[nmade - 1]); /* and where nothing can be read, nothing is short */
    CHECK(!look(m).is_short);
    CHECK(!memory_is_short(m));
    CHECK(!memory_is_short(NULL));
}

static void judge_address_space(struct memory *m)
{
    struct memory_state state;

    put_rlimits("1048576000", "unlimited");
    put_pages(899, 10);
    CHECK(!look(m).is_short);
    put_pages(900, 10);
    CHECK(look(m).is_short && memory_is_short(m));
    CHECK_STR(look(m).name, "RLIMIT_AS");
    CHECK_INT(look(m).limit, 1000 * MB);
    CHECK_INT(look(m).used, 900 * MB);
    put_pages(851, 10); /* not yet enough */
    CHECK(look(m).is_short);
    put_pages(849, 10);
    CHECK(!look(m).is_short && !memory_is_short(m));
    put_pages(899, 10); /* and not yet short again */
    CHECK(!look(m).is_short);
    put_pages(950, 10);
    reserve = 100 * MB; /* the heap has these to give away */
    memory_look(m, heap_free, 1000, &state);
    CHECK(!state.is_short);
    reserve = 40 * MB;
    memory_look(m, heap_free, 1000, &state);
    CHECK(state.is_short);
    asked = 0;
    put_pages(849, 10); /* nothing to ask the heap for: the workers want it */
    CHECK(!look(m).is_short);
    CHECK_INT(asked, 0);
    put_rlimits("2000000000", "unlimited"); /* raised under the running process */
    CHECK(!look(m).is_short);
}

static void judge_data(struct memory *m)
{
    put_rlimits("unlimited", "1048576000");
    put_pages(100000, 890);
    CHECK(!look(m).is_short);
    put_pages(100000, 910);
    CHECK(look(m).is_short);
    CHECK_STR(look(m).name, "RLIMIT_DATA");
    put_rlimits("104857600000", "1048576000"); /* the nearest one is named */
    CHECK_STR(look(m).name, "RLIMIT_AS");
}

static void judge_cgroups(struct memory *m)
{
    put("/proc/self/cgroup", "4:memory:/old\n0::/a.slice/b.service\n");
    CHECK(!look(m).is_short); /* no file of the kernel's stands there */
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
    put("/sys/fs/cgroup/a.slice/b.service/memory.current", "990\n");
    CHECK(!look(m).is_short);
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "1000\n");
    CHECK(look(m).is_short);
    CHECK(strstr(look(m).name, "/a.slice/b.service/memory.max"));
    put("/sys/fs/cgroup/a.slice/b.service/memory.stat", "anon 500\nfile 450\nunevictable 7\ninactive_file 100\nactive_file 50\n");
    CHECK_INT(look(m).used, 840); /* the page cache goes first */
    CHECK(!look(m).is_short);
    put("/sys/fs/cgroup/a.slice/memory.max", "2000\n"); /* what it stands in counts, too */
    put("/sys/fs/cgroup/a.slice/memory.current", "1900\n");
    CHECK(look(m).is_short);
    CHECK(strstr(look(m).name, "/a.slice/memory.max"));
    put("/sys/fs/cgroup/a.slice/memory.current", "1000\n");
    CHECK(!look(m).is_short);
    put("/proc/self/cgroup", "0::/\n"); /* as in a container's namespace */
    CHECK_INT(look(m).limit, 0);
    put("/sys/fs/cgroup/memory.max", "5000\n");
    put("/sys/fs/cgroup/memory.current", "4999\n");
    CHECK(look(m).is_short);
    put("/proc/self/cgroup", "4:memory:/a.slice\n"); /* version 1 alone: not read */
    CHECK(!look(m).is_short);
}

static bool told(struct memory *m, unsigned mb, uint64_t now_ms)
{
    struct memory_state state;

    put_pages(mb, 1);
    reserve = 0;
    memory_look(m, heap_free, now_ms, &state);
    return state.tell;
}

static void judge_lines(struct memory *m)
{
    uint64_t now = 5000;

    put_rlimits("1048576000", "unlimited");
    CHECK(!told(m, 500, now));
    CHECK(told(m, 950, now));
    CHECK(!told(m, 950, now + 1000));
    CHECK(told(m, 500, now + 2000)); /* it has recovered */
    for (uint64_t ms = 3000; ms < MINUTE; ms += 1000)
        CHECK(!told(m, ms / 1000 % 2 ? 950 : 500, now + ms));
    CHECK(told(m, 950, now + MINUTE));
}

static void with(void (*judge)(struct memory *m))
{
    struct memory *m;

    begin();
    if (memory_new(&m, root) == 0)
        judge(m);
    memory_free(&m);
    CHECK(!m);
    end();
}

static void no_limit(void)
{
    with(judge_no_limit);
}

static void address_space(void)
{
    with(judge_address_space);
}

static void data(void)
{
    with(judge_data);
}

static void cgroups(void)
{
    with(judge_cgroups);
}

static void lines(void)
{
    with(judge_lines);
}

static void judge_requests(struct memory *m)
{
    static struct fakenet net;
    static struct client alice, bob;

    fake_up(&net, &(struct fake_options){0});
    fake_shard(&net, 0)->memory = m;
    client_init(&alice, &net, 0, "11.1.1.1:4000", TRANSPORT_UDP);
    client_init(&bob, &net, 0, "11.2.2.2:4000", TRANSPORT_UDP);
    client_be_bob(&bob);
    CHECK_INT(client_allocate(&alice), 0);
    CHECK_INT(client_greet(&bob), 401);
    put_rlimits("1048576000", "unlimited");
    CHECK(look(m).is_short);
    CHECK_INT(client_allocate(&bob), 508);
    CHECK(bob.signed_with);
    CHECK_INT(fake_count(&net, REFUSED_MEMORY_SHORT), 1);
    CHECK_INT(auth_quota_total(net.auth), 1);
    client_begin(&bob, STUN_REQUEST, STUN_ALLOCATE); /* what can't be is told first */
    CHECK_INT(client_ask(&bob), 400);
    client_again(&alice, STUN_REQUEST, STUN_ALLOCATE); /* the answer was lost */
    stun_put_u32(&alice.o, STUN_ATTR_REQUESTED_TRANSPORT, 17U << 24);
    CHECK_INT(client_ask(&alice), 0);
    CHECK_INT(client_refresh(&alice, 600), 0);
    CHECK_INT(client_permit(&alice, "5.6.7.8"), 0);
    CHECK_INT(client_bind(&alice, 0x4000, "5.6.7.8:9"), 0);
    CHECK_INT(client_channel(&alice, 0x4000, "x", 1, 0), 0);
    CHECK(client_sent(&alice, "5.6.7.8:9", "x", 1));
    CHECK_INT(fake_count(&net, REFUSED_MEMORY_SHORT), 1);
    put_rlimits("unlimited", "unlimited");
    CHECK(!look(m).is_short);
    CHECK_INT(client_allocate(&bob), 0);
    CHECK_INT(client_refresh(&bob, 0), 0);
    CHECK_INT(client_refresh(&alice, 0), 0);
    CHECK_INT(fake_in_use(&net), 0);
    CHECK_INT(fake_down(&net), 0);
}

static void requests(void)
{
    with(judge_requests);
}

static const struct tap_test TESTS[] = {
    {"F14 without a limit memory is never short", no_limit},
    {"F14 RLIMIT_AS: short at 90 %, enough below 85 %, what the heap holds in reserve is not used", address_space},
    {"F14 RLIMIT_DATA", data},
    {"F14 memory.max of our cgroup and of those that it stands in, without the page cache", cgroups},
    {"F14 the log is told once a minute at most", lines},
    {"F14 with memory short a new allocation gets 508, and what lives goes on", requests},
};

TAP_MAIN(TESTS)
