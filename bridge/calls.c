/* All calls: which one an event is for, and what they add up to. */
#include "bridge/calls.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "bridge/call.h"

const char *const CALLS_STATE_NAMES[CALLS_STATES] = {"ringing", "connecting", "talking"};
const char *const CALLS_LEG_NAMES[CALLS_LEGS] = {"browser", "pbx"};
const char *const CALLS_PART_NAMES[CALLS_PARTS] = {"ice", "dtls", "audio"};
const double CALLS_BOUNDS[CALLS_SETUP_BOUNDS] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

/* As docs/connect-protocol.md has them. */
static const char *const REASONS[CALL_REASONS] = {
    "hangup",    "busy",         "declined",   "no_answer",  "unknown_number", "cancelled",   "elsewhere", "pbx_down",
    "pbx_error", "media_failed", "media_lost", "phone_lost", "bridge_lost",    "token_ended", "limit",     "shutdown",
};

/* Does it stand otherwise than before? Then it is so since now. */
static void note_pbx(struct calls *calls)
{
    enum call_pbx pbx = CALL_PBX_REGISTERED;

    for (unsigned i = 0; i < calls->config.nlines; i++) {
        const struct call_line *line = &calls->lines[i];

        if (line->answered && !line->registered)
            pbx = CALL_PBX_FAILING;
        else if (!line->answered && pbx == CALL_PBX_REGISTERED)
            pbx = CALL_PBX_TRYING;
    }
    if (pbx != calls->pbx)
        calls->pbx_since = calls->ends->now().wall;
    calls->pbx = pbx;
}

int calls_new(struct calls **out, const struct calls_config *config)
{
    struct calls *calls = calloc(1, sizeof(*calls));

    if (!calls)
        return ERR_NOMEM;
    calls->config = *config;
    calls->ends = config->ends;
    calls->lines = calloc(config->nlines + 1U, sizeof(*calls->lines));
    if (!calls->lines) {
        free(calls);
        return ERR_NOMEM;
    }
    for (unsigned i = 0; i < config->nlines; i++) /* a trunk does not register */
        calls->lines[i].registered = calls->lines[i].answered = !config->lines[i].password;
    calls->since = calls->pbx_since = calls->ends->now().wall;
    note_pbx(calls);
    *out = calls;
    return 0;
}

struct call *call_add(struct calls *calls, enum call_state state, bool from_pbx)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->calls = calls;
    c->state = state;
    c->from_pbx = from_pbx;
    c->began_ms = calls->ends->now().ms;
    c->began_at = calls->ends->now().wall;
    c->phase_ms = calls->serial++ % CALLS_TICKS_S * (MS_PER_S / CALLS_TICKS_S);
    c->next = calls->first;
    c->prev = &calls->first;
    if (c->next)
        c->next->prev = &c->next;
    calls->first = c;
    if (from_pbx)
        calls->counts.from_pbx++;
    else
        calls->counts.from_phone++;
    return c;
}

static void call_free(struct call *c)
{
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->calls->ends->media_free(&c->media);
    free(c->pbx_sdp);
    free(c);
}

void calls_free(struct calls **calls)
{
    if (!*calls)
        return;
    for (struct call *c = (*calls)->first, *next; c; c = next) {
        next = c->next;
        call_free(c);
    }
    calls_forget_status(*calls);
    free((*calls)->lines);
    free(*calls);
    *calls = NULL;
}

void calls_reap(struct calls *calls)
{
    for (struct call *c = calls->first, *next; c; c = next) {
        next = c->next;
        if (c->state == CALL_OVER && !c->asked)
            call_free(c);
    }
}

/* ---- The connect service. ---- */

const char *calls_text(const json_t *params, const char *key)
{
    const char *text = json_string_value(json_object_get(params, key));

    return text ? text : "";
}

static struct call *find(const struct calls *calls, const char *id)
{
    for (struct call *c = calls->first; c; c = c->next)
        if (c->state != CALL_OVER && c->id[0] && strcmp(c->id, id) == 0)
            return c;
    return NULL;
}

void calls_message(struct calls *calls, const char *method, const json_t *params)
{
    const char *id = json_string_value(json_object_get(params, "call"));
    struct call *c = id ? find(calls, id) : NULL;

    if (c)
        call_message(c, method, params);
    else if (id && id[0] && strlen(id) < CALL_ID_MAX && strcmp(method, "call.incoming") == 0)
        call_from_phone(calls, params);
}

void calls_lost(struct calls *calls, const char *why)
{
    for (struct call *c = calls->first; c; c = c->next)
        call_close(c, "bridge_lost", why, "service");
}

void calls_set_connected(struct calls *calls, bool connected)
{
    calls->connected = connected;
}

static const char *listed(const json_t *list, const struct call *c)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "call"));

        if (id && strcmp(id, c->id) == 0)
            return json_string_value(json_object_get(entry, "state"));
    }
    return NULL;
}

static void end_unknown(struct calls *calls, const json_t *list)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "call"));

        if (id && !find(calls, id) && !calls->ends->is_others(calls->ends->ctx, id))
            calls->ends->notify(calls->ends->client, "call.hangup",
                                json_pack("{s:s,s:s,s:s}", "call", id, "reason", "pbx_error", "text",
                                          "the call was lost with the bridge's connection"));
    }
}

void calls_resumed(struct calls *calls, const json_t *list)
{
    uint64_t now = calls->ends->now().ms;

    for (struct call *c = calls->first; c; c = c->next) {
        const char *state = c->id[0] ? listed(list, c) : "";

        c->gone_due_ms = state ? 0 : now + CALLS_GONE_MS;
        if (state && c->state == CALL_TALKING && state[0] && strcmp(state, "answered") != 0)
            call_tell(c, "call.answered", NULL);
    }
    end_unknown(calls, list);
}

void calls_end(struct calls *calls, const char *reason)
{
    calls->stopped = true;
    for (struct call *c = calls->first; c; c = c->next)
        call_end(c, reason, NULL, "bridge");
}

void calls_tick(struct calls *calls)
{
    uint64_t now = calls->ends->now().ms;

    for (struct call *c = calls->first; c; c = c->next)
        if (c->state != CALL_OVER)
            call_tick(c, now);
}

void calls_set_relay(struct calls *calls, const char *relay)
{
    snprintf(calls->relay, sizeof(calls->relay), "%s", relay);
}

/* ---- SIP. A call that is over has no handle there, but what was on its way may come still. ---- */

static struct call *live(void *call_ctx)
{
    struct call *c = call_ctx;

    return c && c->state != CALL_OVER ? c : NULL;
}

static void on_registered(void *ctx, unsigned line, bool ok, const char *why)
{
    struct calls *calls = ctx;

    if (line >= calls->config.nlines)
        return;
    calls->lines[line].registered = ok;
    calls->lines[line].answered = true;
    snprintf(calls->lines[line].why, sizeof(calls->lines[line].why), "%s", ok || !why ? "" : why);
    note_pbx(calls);
    LOG(ok ? LOG_INFO : LOG_WARNING, ok ? "line_registered" : "line_not_registered",
        LOG_STR("line", calls->config.lines[line].user), LOG_STR("reason", calls->lines[line].why));
    calls->ends->wake(calls->ends->ctx);
}

static void on_invited(void *ctx, struct sip_call *sip, unsigned line, const char *from, const char *name, const char *sdp)
{
    call_from_pbx(ctx, sip, line, from, name, sdp);
}

static void on_ringing(void *ctx, void *call_ctx, const char *sdp)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_ringing(c, sdp);
}

static void on_answered(void *ctx, void *call_ctx, const char *sdp)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_answered(c, sdp);
}

static void on_reoffered(void *ctx, void *call_ctx, const char *sdp)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_reoffered(c, sdp);
}

static void on_reanswered(void *ctx, void *call_ctx, const char *sdp)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_reanswered(c, sdp);
}

static void on_crossed(void *ctx, void *call_ctx)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_crossed(c);
}

static void on_digit(void *ctx, void *call_ctx, char digit)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_digit(c, digit);
}

static void on_ended(void *ctx, void *call_ctx, const struct sip_end *end)
{
    struct call *c = live(call_ctx);

    (void)ctx;
    if (c)
        call_sip_ended(c, end);
}

const struct sip_events *calls_sip_events(void)
{
    static const struct sip_events events = {
        .registered = on_registered,
        .invited = on_invited,
        .ringing = on_ringing,
        .answered = on_answered,
        .reoffered = on_reoffered,
        .reanswered = on_reanswered,
        .crossed = on_crossed,
        .digit = on_digit,
        .ended = on_ended,
    };

    return &events;
}

bool calls_line(const struct calls *calls, unsigned line, const char **why)
{
    *why = calls->lines[line].why;
    return calls->lines[line].registered;
}

bool calls_lines_answered(const struct calls *calls)
{
    for (unsigned i = 0; i < calls->config.nlines; i++)
        if (!calls->lines[i].answered)
            return false;
    return true;
}

/* ---- Counts. ---- */

void call_count_setup(struct calls *calls, enum calls_part part, double seconds)
{
    size_t i = 0;

    if (seconds < 0)
        return;
    while (i < CALLS_SETUP_BOUNDS && seconds > CALLS_BOUNDS[i])
        i++;
    calls->counts.setup[part][i]++;
    calls->counts.setup_sum[part] += seconds;
}

static void add_media(const struct call *c, struct calls_counts *to)
{
    struct media_stats stats;

    if (!c->media)
        return;
    c->calls->ends->media_read(c->media, &stats);
    to->lost[CALLS_BROWSER] += c->lost[CALLS_BROWSER];
    to->lost[CALLS_PBX] += c->lost[CALLS_PBX];
    to->received[CALLS_BROWSER] += stats.browser.packets_in;
    to->received[CALLS_PBX] += stats.pbx.packets_in;
    to->jitter_s[CALLS_BROWSER] = fmax(to->jitter_s[CALLS_BROWSER], stats.browser.jitter_s);
    to->jitter_s[CALLS_PBX] = fmax(to->jitter_s[CALLS_PBX], stats.pbx.jitter_s);
}

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void call_count_lost(struct call *c)
{
    struct media_stats stats;

    if (!c->media)
        return;
    c->calls->ends->media_read(c->media, &stats);
    c->lost[CALLS_BROWSER] = more(c->lost[CALLS_BROWSER], stats.browser.lost);
    c->lost[CALLS_PBX] = more(c->lost[CALLS_PBX], stats.pbx.lost);
}

void call_count_end(struct call *c, const char *reason)
{
    struct calls *calls = c->calls;

    call_count_lost(c);
    add_media(c, &calls->counts);
    calls->counts.jitter_s[CALLS_BROWSER] = calls->counts.jitter_s[CALLS_PBX] = 0; /* of those that live */
    for (unsigned i = 0; i < CALL_REASONS; i++)
        calls->ended[i] += strcmp(REASONS[i], reason) == 0;
}

const char *calls_ended(const struct calls *calls, unsigned n, uint64_t *count)
{
    if (n >= CALL_REASONS)
        return NULL;
    *count = calls->ended[n];
    return REASONS[n];
}

enum calls_state calls_state_of(const struct call *c)
{
    if (c->state & (CALL_JOINING | CALL_CONFIRMING) || (c->state == CALL_TALKING && !c->joined))
        return CALLS_CONNECTING;
    return c->state == CALL_TALKING ? CALLS_TALKING : CALLS_RINGING;
}

void calls_read(const struct calls *calls, struct calls_counts *out)
{
    *out = calls->counts;
    for (const struct call *c = calls->first; c; c = c->next) {
        if (c->state == CALL_OVER)
            continue;
        out->now[calls_state_of(c)]++;
        add_media(c, out);
    }
}
