#include "admin/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const char *const TYPES[] = {"allocation", "auth_failure", "revocation", "quota", "drain", "fault", "probe", "admin"};

/* One event as it is sent. */
struct event {
    uint64_t id;
    const char *type;
    char *text;
    size_t len;
};

struct events {
    struct event ring[EVENTS_KEPT];
    uint64_t begin, end; /* ids of the oldest one that is kept, and of the next one; they are without gaps */
    size_t bytes;
    struct events_reader *readers;
    size_t nreaders;
};

struct events_reader {
    struct events *events;
    struct events_reader *next;
    struct events_reader_ops ops;
    void *ctx;
    char types[EVENTS_TYPES_MAX + 1]; /* "": all */
    uint64_t at;                      /* id of the event that it reads */
    size_t sent;                      /* bytes of it */
    const char *extra;                /* goes before it; static */
    bool waits, lost;
};

static const char GAP[] = "event: gap\ndata: {\"type\":\"gap\"}\n\n", BEAT[] = ":\n\n";

static struct event *event_at(struct events *e, uint64_t id)
{
    return &e->ring[id % EVENTS_KEPT];
}

static const char *known(const char *type, size_t len)
{
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++)
        if (strlen(TYPES[i]) == len && memcmp(TYPES[i], type, len) == 0)
            return TYPES[i];
    return NULL;
}

bool events_type_known(const char *type, size_t len)
{
    return known(type, len) != NULL;
}

int events_new(struct events **out, uint64_t start)
{
    struct events *e = calloc(1, sizeof(*e));

    *out = e;
    if (!e)
        return ERR_NOMEM;
    e->begin = e->end = start;
    return 0;
}

static void drop_oldest(struct events *e)
{
    struct event *oldest = event_at(e, e->begin);

    e->bytes -= oldest->len;
    free(oldest->text);
    *oldest = (struct event){0};
    e->begin++;
    for (struct events_reader *r = e->readers; r; r = r->next)
        if (!r->lost && r->at < e->begin) {
            r->lost = true;
            r->ops.lost(r->ctx);
        }
}

void events_free(struct events **ep)
{
    struct events *e = *ep;

    *ep = NULL;
    if (!e)
        return;
    while (e->begin != e->end)
        drop_oldest(e);
    free(e);
}

/* Readers who have read all are where the next event will be: they are not lost when it is written. */
void events_tell(struct events *e, const char *type, json_t *data, int64_t wall)
{
    struct event event = {.id = e->end, .type = known(type, strlen(type))};
    char *json;
    int len;

    json_object_set_new(data, "type", json_string(type));
    json_object_set_new(data, "at", json_integer(wall));
    json = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    len = json && event.type ? asprintf(&event.text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", event.id, type, json) : -1;
    free(json);
    if (len < 0) /* no memory: one event less */
        return;
    event.len = (size_t)len;
    while (e->begin != e->end && (e->end - e->begin == EVENTS_KEPT || e->bytes + event.len > EVENTS_BYTES))
        drop_oldest(e);
    *event_at(e, event.id) = event;
    e->end++;
    e->bytes += event.len;
    for (struct events_reader *r = e->readers, *next; r; r = next) {
        next = r->next;
        if (r->waits) {
            r->waits = false;
            r->ops.wake(r->ctx);
        }
    }
}

/* ---- Readers. ---- */

int events_open(struct events_reader **out, struct events *e, const char *types, uint64_t after,
                const struct events_reader_ops *ops, void *ctx)
{
    struct events_reader *r;

    *out = NULL;
    if (e->nreaders == EVENTS_READERS_MAX)
        return ERR_NOSPC;
    r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    *r = (struct events_reader){.events = e, .next = e->readers, .ops = *ops, .ctx = ctx, .at = e->end};
    if (types)
        snprintf(r->types, sizeof(r->types), "%s", types);
    if (after) {
        bool gap = after + 1 < e->begin || after >= e->end; /* of an earlier process, too old, or of nobody */

        r->extra = gap ? GAP : NULL;
        r->at = gap ? e->begin : after + 1;
    }
    e->readers = r;
    e->nreaders++;
    *out = r;
    return 0;
}

void events_close(struct events_reader **rp)
{
    struct events_reader *r = *rp, **at;

    *rp = NULL;
    if (!r)
        return;
    for (at = &r->events->readers; *at != r; at = &(*at)->next)
        ;
    *at = r->next;
    r->events->nreaders--;
    free(r);
}

static bool wanted(const struct events_reader *r, const struct event *event)
{
    const char *types = r->types;

    if (!*types)
        return true;
    while (*types) {
        size_t n = strcspn(types, ",");

        if (strlen(event->type) == n && memcmp(types, event->type, n) == 0)
            return true;
        types += n + (types[n] == ',');
    }
    return false;
}

size_t events_read(struct events_reader *r, char *out, size_t cap)
{
    struct events *e = r->events;
    size_t got = 0;

    if (r->lost)
        return 0;
    if (r->extra && !r->sent && strlen(r->extra) <= cap) {
        got = strlen(r->extra);
        memcpy(out, r->extra, got);
        r->extra = NULL;
    }
    while (r->at != e->end && got < cap) {
        const struct event *event = event_at(e, r->at);
        size_t left = wanted(r, event) ? event->len - r->sent : 0, n = left < cap - got ? left : cap - got;

        if (n)
            memcpy(out + got, event->text + r->sent, n);
        got += n;
        r->sent += n;
        if (n == left) {
            r->at++;
            r->sent = 0;
        }
    }
    r->waits = got == 0;
    return got;
}

void events_beat(struct events_reader *r)
{
    if (!r->waits || r->extra)
        return;
    r->extra = BEAT;
    r->waits = false;
    r->ops.wake(r->ctx);
}

size_t events_readers(const struct events *e)
{
    return e->nreaders;
}
