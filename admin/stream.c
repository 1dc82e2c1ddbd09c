#include <stdlib.h>
#include <string.h>

#include "admin/adminparts.h"
#include "base/clock.h"
#include "base/log.h"

enum { STREAM_BLOCK = 16384 }; /* bytes that libmicrohttpd asks for at once */

static void on_wake(void *ctx)
{
    exchange_resume(ctx);
}

static void on_lost(void *ctx)
{
    struct exchange *x = ctx;

    LOG(LOG_INFO, "events_reader_cut_off", LOG_STR("caller", x->caller), LOG_STR("reason", "it reads too slowly"));
    connection_cut(x->c);
}

static ssize_t read_events(void *ctx, uint64_t pos, char *out, size_t cap)
{
    struct exchange *x = ctx;
    size_t n = events_read(x->reader, out, cap);

    (void)pos;
    if (x->state != EXCHANGE_STREAMS)
        return MHD_CONTENT_READER_END_OF_STREAM; /* the server ends: one that is suspended then aborts libmicrohttpd */
    if (!n)
        exchange_suspend(x);
    return (ssize_t)n;
}

static bool types_known(struct exchange *x, const char *types)
{
    if (types && strlen(types) > EVENTS_TYPES_MAX) {
        admin_answer_problem(&x->answer, 400, "type: at most %d bytes", EVENTS_TYPES_MAX);
        return false;
    }
    for (; types && *types; types += strcspn(types, ",") + (types[strcspn(types, ",")] == ','))
        if (!events_type_known(types, strcspn(types, ","))) {
            admin_answer_problem(&x->answer, 400,
                                 "type: a list of allocation, auth_failure, revocation, quota, drain, fault, admin is expected");
            return false;
        }
    return true;
}

/* 0: from now on. */
static bool read_last(struct exchange *x, uint64_t *out)
{
    const char *last = exchange_header(x, "Last-Event-ID");

    *out = 0;
    if (!last || (last[0] && strlen(last) < 20 && last[strspn(last, "0123456789")] == '\0')) {
        *out = last ? strtoull(last, NULL, 10) : 0;
        return true;
    }
    admin_answer_problem(&x->answer, 400, "Last-Event-ID: the id of an event is expected");
    return false;
}

enum MHD_Result stream_open(struct exchange *x)
{
    static const struct events_reader_ops OPS = {on_wake, on_lost};
    const char *types;
    uint64_t last;
    struct MHD_Response *r;
    enum MHD_Result queued;
    json_t *query = exchange_query(x);

    x->state = EXCHANGE_ANSWERED;
    types = json_string_value(json_object_get(query, "type"));
    if (!x->answer.status && types_known(x, types) && read_last(x, &last) &&
        events_open(&x->reader, x->admin->events, types, last, &OPS, x))
        admin_answer_problem(&x->answer, 503, "there are %zu readers of events already, of at most %d",
                             events_readers(x->admin->events), EVENTS_READERS_MAX);
    json_decref(query);
    if (x->answer.status)
        return reply_send(x);
    r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_events, x, NULL);
    if (!r)
        return MHD_NO;
    x->state = EXCHANGE_STREAMS;
    x->beat_ms = clock_now().ms;
    x->answer.status = 200;
    connection_serves(x->c);
    reply_headers(x, r, "text/event-stream");
    queued = MHD_queue_response(x->c, 200, r);
    MHD_destroy_response(r);
    return queued;
}
