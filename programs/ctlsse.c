#include "programs/ctlsse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { TYPE_MAX = 63 };

struct ctlsse {
    char *last;
    ctlhttp_event_fn *fn;
    void *ctx;
    char line[CTLSSE_LINE_MAX + 1];
    size_t len;
    bool long_line, long_event; /* more than fits: it is left out */
    bool after_cr;              /* the line feed that may follow ends no line of its own */
    char type[TYPE_MAX + 1];
    char data[CTLSSE_LINE_MAX + 1];
    size_t data_len;
    bool has_data;
};

int ctlsse_new(struct ctlsse **out, char last[static CTLHTTP_ID_MAX + 1], ctlhttp_event_fn *fn, void *ctx)
{
    struct ctlsse *s = calloc(1, sizeof(*s));

    *out = s;
    if (!s)
        return ERR_NOMEM;
    s->last = last;
    s->fn = fn;
    s->ctx = ctx;
    return 0;
}

void ctlsse_free(struct ctlsse **s)
{
    free(*s);
    *s = NULL;
}

/* Several lines of data are one text with newlines. */
static void add_data(struct ctlsse *s, const char *value)
{
    size_t n = strlen(value);

    if (s->data_len + n + 1 > CTLSSE_LINE_MAX) {
        s->long_event = true;
        return;
    }
    if (s->has_data)
        s->data[s->data_len++] = '\n';
    memcpy(s->data + s->data_len, value, n + 1);
    s->data_len += n;
    s->has_data = true;
}

static bool end_event(struct ctlsse *s)
{
    const struct ctlhttp_event e = {.id = s->last, .type = s->type[0] ? s->type : "message", .data = s->data};
    bool more = !s->has_data || s->long_event || s->fn(s->ctx, &e);

    s->type[0] = s->data[0] = '\0';
    s->data_len = 0;
    s->has_data = s->long_event = false;
    return more;
}

/* "name: value"; a line that begins with a colon is a comment. An id that would not fit is none of a relay's. */
static void take_field(struct ctlsse *s)
{
    char *colon = strchr(s->line, ':'), *value = colon ? colon + 1 : s->line + s->len;

    if (colon)
        *colon = '\0';
    if (*value == ' ')
        value++;
    if (strcmp(s->line, "data") == 0)
        add_data(s, value);
    else if (strcmp(s->line, "event") == 0)
        snprintf(s->type, sizeof(s->type), "%s", value);
    else if (strcmp(s->line, "id") == 0 && strlen(value) <= CTLHTTP_ID_MAX)
        snprintf(s->last, CTLHTTP_ID_MAX + 1, "%s", value);
}

static bool end_line(struct ctlsse *s)
{
    bool more = true;

    s->line[s->len] = '\0';
    if (s->long_line)
        s->long_event = true;
    else if (s->len == 0)
        more = end_event(s);
    else
        take_field(s);
    s->len = 0;
    s->long_line = false;
    return more;
}

bool ctlsse_feed(struct ctlsse *s, const char *data, size_t n)
{
    bool more = true;

    for (size_t i = 0; i < n && more; i++) {
        bool ends = data[i] == '\r' || (data[i] == '\n' && !s->after_cr);

        if (ends)
            more = end_line(s);
        else if (data[i] == '\n')
            ; /* the second half of an end */
        else if (s->len < CTLSSE_LINE_MAX)
            s->line[s->len++] = data[i];
        else
            s->long_line = true;
        s->after_cr = data[i] == '\r';
    }
    return more;
}
