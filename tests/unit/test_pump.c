/* A real GMainContext on a libevent loop: timers, descriptors, and sources that end or replace themselves. */
#include "tests/unit/tap.h"

#include <event2/event.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge/pump.h"

enum { PATIENCE_S = 10 };

static struct event_base *base;
static struct pump *pump;
static int runs; /* of the source under test */
static int pair[2];
static GSource *reader;

static bool setup(void)
{
    runs = 0;
    reader = NULL;
    base = event_base_new();
    return base && pump_new(&pump, base) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0;
}

static void teardown(void)
{
    pump_free(&pump);
    event_base_free(base);
    base = NULL;
    close(pair[0]);
    close(pair[1]);
}

static void on_impatient(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    *(bool *)ctx = true;
}

/* The loop goes round until there were as many runs; false: not in time. */
static bool until(int wanted)
{
    struct timeval tv = {.tv_sec = PATIENCE_S};
    bool late = false;
    struct event *timer = evtimer_new(base, on_impatient, &late);

    evtimer_add(timer, &tv);
    while (runs < wanted && !late)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(timer);
    return runs >= wanted;
}

/* How often the loop comes round by itself until nothing is ready any more; a loop that spins comes round as often as it may. */
static int rounds(int most)
{
    struct timeval tv = {.tv_usec = 200000};
    bool late = false;
    struct event *timer = evtimer_new(base, on_impatient, &late);
    int n = 0;

    evtimer_add(timer, &tv);
    while (n < most && !late) {
        event_base_loop(base, EVLOOP_ONCE);
        n++;
    }
    event_free(timer);
    return n;
}

static void attach(GSource *source, GSourceFunc f)
{
    g_source_set_callback(source, f, NULL, NULL);
    g_source_attach(source, pump_context(pump));
    g_source_unref(source);
}

static gboolean tick(gpointer ctx)
{
    (void)ctx;
    runs++;
    return runs < 5;
}

static void timer_runs(void)
{
    CHECK(setup());
    attach(g_timeout_source_new(3), tick);
    CHECK(until(5));
    CHECK(rounds(100) < 10);
    CHECK_INT(runs, 5); /* it has ended itself in its own callback */
    teardown();
}

static gboolean once(gpointer ctx)
{
    (void)ctx;
    runs++;
    return G_SOURCE_REMOVE;
}

static void attached_later(void)
{
    CHECK(setup());
    CHECK(rounds(100) < 10); /* the first pass is over, and there is nothing to wait for */
    attach(g_timeout_source_new(1), once);
    CHECK(until(1));
    attach(g_idle_source_new(), once);
    CHECK(until(2));
    teardown();
}

/* GLib's type for such a callback: the tests keep to one signature of a descriptor's source. */
static gboolean on_bytes(gint fd, GIOCondition condition, gpointer ctx)
{
    char byte;

    (void)ctx;
    if (condition & G_IO_IN && read(fd, &byte, 1) == 1)
        runs++;
    return G_SOURCE_CONTINUE;
}

static GSource *watch(int fd, GUnixFDSourceFunc f)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(f), NULL, NULL);
    g_source_attach(source, pump_context(pump));
    g_source_unref(source); /* the context has it */
    return source;
}

static void descriptor_runs(void)
{
    CHECK(setup());
    watch(pair[0], on_bytes);
    CHECK(rounds(100) < 10);
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(write(pair[1], "abc", 2), 2);
        CHECK(until(2 * i));
    }
    CHECK(rounds(100) < 10);
    teardown();
}

static gboolean on_last(gint fd, GIOCondition condition, gpointer ctx)
{
    (void)on_bytes(fd, condition, ctx);
    g_source_destroy(reader);
    return G_SOURCE_CONTINUE; /* of a source that is gone: GLib says that this does not matter */
}

static void removed_within(void)
{
    CHECK(setup());
    reader = watch(pair[0], on_last);
    CHECK_INT(write(pair[1], "abc", 3), 3);
    CHECK(until(1));
    CHECK(rounds(100) < 10); /* two bytes are still there, and nobody watches them */
    CHECK_INT(runs, 1);
    teardown();
}

/* The socket is closed and another one has its number, all within one callback: the kernel has forgotten what the loop watched. */
static gboolean on_replace(gint fd, GIOCondition condition, gpointer ctx)
{
    (void)on_bytes(fd, condition, ctx);
    g_source_destroy(reader);
    close(pair[0]);
    close(pair[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0)
        reader = watch(pair[0], on_bytes);
    return G_SOURCE_REMOVE;
}

static void replaced_within(void)
{
    int before;

    CHECK(setup());
    before = pair[0];
    reader = watch(pair[0], on_replace);
    CHECK(rounds(100) < 10);
    CHECK_INT(write(pair[1], "a", 1), 1);
    CHECK(until(1));
    CHECK_INT(pair[0], before);
    CHECK(rounds(100) < 10);
    CHECK_INT(write(pair[1], "b", 1), 1);
    CHECK(until(2));
    teardown();
}

static gboolean end_pump(gpointer ctx)
{
    (void)ctx;
    runs++;
    pump_free(&pump);
    return G_SOURCE_CONTINUE;
}

static void freed_within(void)
{
    CHECK(setup());
    attach(g_timeout_source_new(1), end_pump);
    CHECK(until(1));
    CHECK(!pump);
    CHECK(rounds(100) < 10);
    CHECK_INT(runs, 1);
    teardown();
}

static gboolean forever(gpointer ctx)
{
    (void)ctx;
    runs++;
    return G_SOURCE_CONTINUE;
}

/* A source that is always ready does not keep the loop from its other events. */
static void others_have_their_turn(void)
{
    bool turn = false;
    struct event *other;

    CHECK(setup());
    attach(g_idle_source_new(), forever);
    other = evtimer_new(base, on_impatient, &turn);
    evtimer_add(other, &(struct timeval){0});
    for (int i = 0; i < 10 && !turn; i++)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(other);
    CHECK(turn);
    CHECK(runs > 0);
    teardown();
}

static void many_descriptors(void)
{
    enum { MANY = 40 };
    int pairs[MANY][2];

    CHECK(setup());
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]), 0);
        watch(pairs[i][0], on_bytes);
    }
    CHECK(rounds(100) < 10);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(write(pairs[i][1], "x", 1), 1);
    CHECK(until(MANY));
    pump_free(&pump);
    for (int i = 0; i < MANY; i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
    teardown();
}

static const struct tap_test tests[] = {
    {"a timer runs until it ends itself", timer_runs},
    {"what is attached outside of the context's own sources is seen", attached_later},
    {"a descriptor's source runs, and nothing spins", descriptor_runs},
    {"a source removed in its own callback is not watched any more", removed_within},
    {"another socket under the same number is watched anew", replaced_within},
    {"a pump freed by its own source stays silent", freed_within},
    {"a source that is always ready leaves the loop to others", others_have_their_turn},
    {"more descriptors than there was room for", many_descriptors},
};
TAP_MAIN(tests)
