/* Events: ids, types, gaps, bounds, and readers that nobody waits for. */
#include "admin/event.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/err.h"
#include "tests/unit/tap.h"

enum { START = 1000 };

static struct events *events;
static int woken, lost;
static char text[1 << 16];

static void on_wake(void *ctx)
{
    (void)ctx;
    woken++;
}

static void on_lost(void *ctx)
{
    (void)ctx;
    lost++;
}

static const struct events_reader_ops OPS = {on_wake, on_lost};

static void tell(const char *type, int n)
{
    events_tell(events, type, json_pack("{s:i}", "n", n), 42);
}

/* All that there is to read now, as text. */
static const char *all_of(struct events_reader *r, size_t step)
{
    size_t n = 0, got;

    while (n + step < sizeof(text) && (got = events_read(r, text + n, step)))
        n += got;
    text[n] = '\0';
    return text;
}

static void format(void)
{
    struct events_reader *r, *all;

    CHECK_INT(events_new(&events, START), 0);
    CHECK_INT(events_open(&r, events, "drain,fault", 0, &OPS, NULL), 0);
    CHECK_INT(events_open(&all, events, NULL, 0, &OPS, NULL), 0);
    woken = 0;
    CHECK_STR(all_of(all, 100), "");
    tell("drain", 1);
    CHECK_INT(woken, 1); /* the other one has not said that it waits */
    tell("allocation", 2);
    tell("fault", 3);
    CHECK_INT(woken, 1);
    CHECK_STR(all_of(r, 7), "id: 1000\nevent: drain\ndata: {\"n\":1,\"type\":\"drain\",\"at\":42}\n\n"
                            "id: 1002\nevent: fault\ndata: {\"n\":3,\"type\":\"fault\",\"at\":42}\n\n");
    CHECK(strstr(all_of(all, 1000), "id: 1001\nevent: allocation\n"));
    events_beat(r);
    CHECK_STR(all_of(r, 100), ":\n\n");
    events_close(&r);
    CHECK(!r);
    CHECK_INT(events_readers(events), 1);
    events_close(&all);
    events_free(&events);
}

static void resume(void)
{
    struct events_reader *r;

    CHECK_INT(events_new(&events, START), 0);
    for (int i = 0; i < 3; i++)
        tell("drain", i);
    CHECK_INT(events_open(&r, events, NULL, START, &OPS, NULL), 0);
    CHECK(strncmp(all_of(r, 500), "id: 1001\n", 9) == 0);
    events_close(&r);
    CHECK_INT(events_open(&r, events, NULL, START + 2, &OPS, NULL), 0);
    CHECK_STR(all_of(r, 500), "");
    events_close(&r);
    CHECK_INT(events_open(&r, events, NULL, START - 1, &OPS, NULL), 0); /* the one before the first: nothing is missing */
    CHECK(strncmp(all_of(r, 500), "id: 1000\n", 9) == 0);
    events_close(&r);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(events_open(&r, events, NULL, i ? 7 : START + 3, &OPS, NULL), 0); /* of an earlier process; of nobody */
        CHECK(strncmp(all_of(r, 500), "event: gap\n", 11) == 0);
        CHECK(strstr(text, "id: 1000\n"));
        events_close(&r);
    }
    events_free(&events);
}

static void bounds(void)
{
    struct events_reader *r, *more[EVENTS_READERS_MAX];
    size_t n = 0;

    CHECK_INT(events_new(&events, START), 0);
    CHECK_INT(events_open(&r, events, NULL, 0, &OPS, NULL), 0);
    lost = 0;
    for (int i = 0; i < EVENTS_KEPT; i++)
        tell("drain", i);
    CHECK_INT(lost, 0);
    tell("drain", 0);
    CHECK_INT(lost, 1);
    tell("drain", 0);
    CHECK_INT(lost, 1); /* told once */
    CHECK_INT(events_read(r, text, sizeof(text)), 0);
    while (events_open(&more[n], events, NULL, 0, &OPS, NULL) == 0)
        n++;
    CHECK_INT(n, EVENTS_READERS_MAX - 1);
    CHECK_INT(events_open(&more[n], events, NULL, 0, &OPS, NULL), ERR_NOSPC);
    while (n)
        events_close(&more[--n]);
    events_close(&r);
    events_free(&events);
}

/* A few long ones push out many short ones: memory is bounded, not only the number. */
static void bytes(void)
{
    struct events_reader *r;
    char *long_text = malloc(EVENTS_BYTES / 4);
    size_t seen = 0, got;

    CHECK(long_text);
    memset(long_text, 'x', EVENTS_BYTES / 4 - 1);
    long_text[EVENTS_BYTES / 4 - 1] = '\0';
    CHECK_INT(events_new(&events, START), 0);
    for (int i = 0; i < 20; i++)
        events_tell(events, "drain", json_pack("{s:s}", "text", long_text), 1);
    CHECK_INT(events_open(&r, events, NULL, 1, &OPS, NULL), 0);
    while ((got = events_read(r, text, sizeof(text))))
        seen += got;
    CHECK(seen <= EVENTS_BYTES && seen > EVENTS_BYTES / 2);
    events_close(&r);
    events_free(&events);
    free(long_text);
}

static const struct tap_test TESTS[] = {
    {"an event has an id, a type and data, and readers get the types that they want", format},
    {"a reader that comes back goes on where it was, and is told when something is missing", resume},
    {"F26 events and readers are bounded; who reads too slowly is lost, once", bounds},
    {"the bytes of all events are bounded", bytes},
};

TAP_MAIN(TESTS)
