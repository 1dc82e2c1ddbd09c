/*
 * Purpose:  what has happened, for those who watch: a bounded store of events with ids, and its readers, none of which is waited for.
 * Owner:    the serving thread.
 * Lifetime: events_new to events_free; readers within it.
 * Callers:  admin/http serves them, admin/admin is told by programs/.
 * RFC:      none (WHATWG HTML, server-sent events).
 */
#ifndef ADMIN_EVENT_H
#define ADMIN_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EVENTS_KEPT = 4096,      /* a reader that comes back within some seconds of a busy server misses nothing */
    EVENTS_BYTES = 1 << 20,  /* of them, in all */
    EVENTS_TYPES_MAX = 255,  /* bytes of a reader's list of types */
    EVENTS_READERS_MAX = 32, /* dashboards and scripts; each costs a connection and 16 KB */
};

struct events;
struct events_reader;

/* ERR_NOMEM. `start` is the first id: later than any of an earlier process. */
int events_new(struct events **out, uint64_t start);
void events_free(struct events **e);
/* Takes `data` (an object) over; "type" and "at" (wall clock, seconds) are added. Wakes the readers who had read all. */
void events_tell(struct events *e, const char *type, json_t *data, int64_t wall);
/* Is there such a type? */
bool events_type_known(const char *type, size_t len);

/* What becomes of a reader. */
struct events_reader_ops {
    void (*wake)(void *ctx); /* there is more to read; only after a read that found nothing */
    void (*lost)(
        void *ctx); /* it has been so slow that what it wants next is gone: it is to be cut off; reads find nothing from here on */
};
/*
 * `types`: a list with commas, NULL: all. `after`: the last id that was seen, 0: from now on. If events behind it are gone, an event
 * "gap" is read first. ERR_NOMEM; ERR_NOSPC: there are EVENTS_READERS_MAX.
 */
int events_open(struct events_reader **out, struct events *e, const char *types, uint64_t after,
                const struct events_reader_ops *ops, void *ctx);
/* NULL-safe; nulls the pointer. */
void events_close(struct events_reader **r);
/* The next bytes of the stream, `cap` at most; 0: there are none now. */
size_t events_read(struct events_reader *r, char *out, size_t cap);
/* A comment comes next, if nothing else does: so that nobody between takes the silence for an end. */
void events_beat(struct events_reader *r);
size_t events_readers(const struct events *e);

#endif
