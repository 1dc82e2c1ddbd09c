/* What the connect service is told of the bridge as a whole, bridge.status: when it has changed, and figures of its calls now and then. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "bridge/call.h"

enum {
    CHANGE_MS =
        2000, /* between two statuses: a full one has some 40 KB, and a hundred calls that begin at once are told of together */
    FIGURES_MS =
        10000, /* between two where nothing has changed but what calls have received: people look at them, nothing depends on them */
    LISTED_MAX = 200, /* calls in one: what fits into a message (docs/connect-protocol.md) */
    REASON_MAX = 256, /* bytes of a reason, likewise, with the NUL */
};

/* ---- What there is to tell. ---- */

/* What a PBX wrote, as one line of text. */
static void clean(char *text)
{
    utf8_mend(text);
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            *text = '?';
}

static json_t *pbx_json(const struct calls *calls)
{
    static const char *const NAMES[] = {
        [CALL_PBX_TRYING] = "trying", [CALL_PBX_REGISTERED] = "registered", [CALL_PBX_FAILING] = "failing"};
    const struct call_line *failing = NULL;
    char reason[REASON_MAX];
    unsigned registered = 0;
    json_t *pbx;

    for (unsigned i = 0; i < calls->config.nlines; i++) {
        registered += calls->lines[i].registered;
        if (!failing && calls->lines[i].answered && !calls->lines[i].registered)
            failing = &calls->lines[i];
    }
    pbx = json_pack("{s:s,s:I,s:i,s:i}", "state", NAMES[calls->pbx], "since", (json_int_t)calls->pbx_since, "lines",
                    (int)calls->config.nlines, "registered", (int)registered);
    if (failing) {
        snprintf(reason, sizeof(reason), "line %.64s: %.180s", calls->config.lines[failing - calls->lines].user, failing->why);
        clean(reason);
        json_object_set_new(pbx, "reason", json_string(reason));
    }
    return pbx;
}

static json_t *ended_json(const struct calls *calls)
{
    json_t *ended = json_object();
    const char *reason;
    uint64_t n;

    for (unsigned i = 0; (reason = calls_ended(calls, i, &n)); i++)
        if (n)
            json_object_set_new(ended, reason, json_integer((json_int_t)n));
    return ended;
}

static void set_path(json_t *o, const struct media_path *path)
{
    bool relayed = strcmp(path->local, "relay") == 0 || strcmp(path->remote, "relay") == 0;

    if (path->local[0] && path->remote[0])
        json_object_update_new(
            o, json_pack("{s:s,s:s,s:s}", "path", relayed ? "relayed" : "direct", "local", path->local, "remote", path->remote));
}

static void set_figures(json_t *o, const struct media_leg_stats *browser)
{
    json_object_update_new(o, json_pack("{s:I,s:I,s:I}", "received", (json_int_t)browser->packets_in, "lost",
                                        (json_int_t)browser->lost, "jitter_ms", (json_int_t)lround(browser->jitter_s * MS_PER_S)));
    if (browser->rtt_s >= 0)
        json_object_set_new(o, "rtt_ms", json_integer((json_int_t)lround(browser->rtt_s * MS_PER_S)));
}

static json_t *call_json(const struct call *c, bool figures)
{
    struct media_stats stats;
    json_t *o = json_pack("{s:s,s:I,s:s,s:s}", "call", c->id, "since", (json_int_t)c->began_at, "from",
                          c->from_pbx ? "pbx" : "phone", "state", CALLS_STATE_NAMES[calls_state_of(c)]);

    if (!c->media)
        return o;
    c->calls->ends->media_read(c->media, &stats);
    set_path(o, &stats.path);
    if (figures)
        set_figures(o, &stats.browser);
    return o;
}

static json_t *status_json(const struct calls *calls, bool figures)
{
    json_t *list = json_array();
    unsigned n = 0;

    for (const struct call *c = calls->first; c; c = c->next) {
        if (c->state == CALL_OVER)
            continue;
        n++;
        if (c->id[0] && json_array_size(list) < LISTED_MAX)
            json_array_append_new(list, call_json(c, figures));
    }
    return json_pack("{s:s,s:I,s:o,s:i,s:i,s:o,s:o}", "version", calls->config.version, "since", (json_int_t)calls->since, "pbx",
                     pbx_json(calls), "calls_now", (int)n, "calls_max", (int)MEDIA_CALLS_MAX, "ended", ended_json(calls), "calls",
                     list);
}

/* ---- When. ---- */

/* Figures are of no account here. */
static bool is_due(const struct calls *calls, const json_t *status, uint64_t now_ms)
{
    if (!calls->told || !json_equal(calls->told, status))
        return true;
    return json_array_size(json_object_get(status, "calls")) && now_ms - calls->told_ms >= FIGURES_MS;
}

void calls_tell_status(struct calls *calls)
{
    uint64_t now_ms = calls->ends->now().ms;
    json_t *status;

    if (calls->told && now_ms - calls->told_ms < CHANGE_MS)
        return;
    status = status_json(calls, false);
    if (!status || !is_due(calls, status, now_ms)) {
        json_decref(status);
        return;
    }
    json_decref(calls->told);
    calls->told = status;
    calls->told_ms = now_ms;
    calls->ends->notify(calls->ends->client, "bridge.status", status_json(calls, true));
}

void calls_forget_status(struct calls *calls)
{
    json_decref(calls->told);
    calls->told = NULL;
}
