/* Server-sent events, cut anywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "programs/ctlsse.h"
#include "tests/unit/tap.h"

static char seen[4096];
static unsigned count, most;

static bool on_event(void *ctx, const struct ctlhttp_event *e)
{
    (void)ctx;
    snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "[%s|%s|%s]", e->id, e->type, e->data);
    return ++count < most;
}

/* What comes out when it comes in pieces of this size; `last` is what it was before, and is what it is after. */
static bool feed(const char *text, size_t n, size_t piece, char last[static CTLHTTP_ID_MAX + 1])
{
    struct ctlsse *s;
    bool more = true;

    seen[0] = '\0';
    count = 0;
    if (ctlsse_new(&s, last, on_event, NULL))
        abort();
    for (size_t i = 0; i < n && more; i += piece)
        more = ctlsse_feed(s, text + i, piece < n - i ? piece : n - i);
    ctlsse_free(&s);
    return more;
}

static void expect(const char *text, const char *want, const char *want_last)
{
    char last[CTLHTTP_ID_MAX + 1];

    most = 100;
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        snprintf(last, sizeof(last), "%s", "before");
        CHECK(feed(text, strlen(text), piece, last));
        CHECK_STR(seen, want);
        CHECK_STR(last, want_last);
    }
}

static void whole_events(void)
{
    expect("id: 7\nevent: drain\ndata: {\"a\":1}\n\n", "[7|drain|{\"a\":1}]", "7");
    expect("id:7\r\nevent:drain\r\ndata:x\r\n\r\nid: 8\r\ndata: y\r\n\r\n", "[7|drain|x][8|message|y]", "8");
    expect("id: 7\rdata: x\r\r", "[7|message|x]", "7");
    expect(": a comment\n\n: another\n\ndata: x\n\n", "[before|message|x]", "before");
    expect("data: one\ndata:  two\ndata\n\n", "[before|message|one\n two\n]", "before");
    expect("event: fault\n\ndata: x\n\n", "[before|message|x]", "before"); /* without data it is none, and its type goes with it */
    expect("id: 7\ndata: cut", "", "7");
}

static void ids_that_do_not_fit(void)
{
    char text[256];

    snprintf(text, sizeof(text), "id: %0100d\ndata: x\n\n", 1);
    expect(text, "[before|message|x]", "before");
}

static void lines_that_do_not_fit(void)
{
    size_t n = CTLSSE_LINE_MAX + 100;
    char *text = malloc(n + 64), last[CTLHTTP_ID_MAX + 1] = "";

    if (!text)
        abort();
    memset(text, 'x', n);
    memcpy(text, "data: ", 6);
    memcpy(text + n, "\n\ndata: short\n\n", 16);
    most = 100;
    CHECK(feed(text, n + 15, 1000, last));
    CHECK_STR(seen, "[|message|short]");
    free(text);
}

static void enough(void)
{
    char last[CTLHTTP_ID_MAX + 1] = "";
    static const char TEXT[] = "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n";

    most = 2;
    CHECK(!feed(TEXT, sizeof(TEXT) - 1, 5, last));
    CHECK_STR(seen, "[1|message|a][2|message|b]");
    CHECK_STR(last, "2");
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"events come whole, however they are cut and whatever ends a line", whole_events},
        {"an id that is too long is none", ids_that_do_not_fit},
        {"a line that is too long takes its event with it, and no other", lines_that_do_not_fit},
        {"who has had enough gets no more", enough},
    };

    return tap_main(tests, sizeof(tests) / sizeof(tests[0]));
}
