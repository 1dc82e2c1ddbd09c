/* The phone's side of a call: its offers, what is told to it, and what the media report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "bridge/call.h"
#include "bridge/sdp.h"

void call_tell(struct call *c, const char *method, json_t *more)
{
    json_t *params = more ? more : json_object();

    json_object_set_new(params, "call", json_string(c->id));
    c->calls->ends->notify(c->calls->ends->client, method, params); /* what can't wait any longer is over with the session */
}

/* ---- Offers. ---- */

/* Which section our candidates are for, and whether the phone asks the other side to be silent (RFC 3264 section 8.4). */
static void note_offer(struct call *c, const char *text)
{
    struct sdp sdp;

    if (sdp_parse(&sdp, text) || sdp.audio < 0)
        return;
    snprintf(c->mid, sizeof(c->mid), "%s", sdp.sections[sdp.audio].mid);
    c->phone_holds = !(sdp.direction & SDP_RECV);
    call_note_candidates(&c->theirs, text);
}

void call_note_relays(struct call *c)
{
    if (!c->relays_ms && c->ours.relay && c->theirs.relay)
        c->relays_ms = c->calls->ends->now().ms;
}

static int open_media(struct call *c)
{
    const struct call_ends *e = c->calls->ends;
    int err = e->media_new(&c->media, e->hub, &CALL_MEDIA_EVENTS, c);

    if (err == ERR_NOSPC)
        call_end(c, "limit", "the bridge has as many calls, or ports for them, as it may", "bridge");
    else if (err)
        call_end(c, "media_failed", err_str(err), "bridge");
    return err;
}

int call_open_media(struct call *c)
{
    return c->media ? 0 : open_media(c);
}

int call_answer_phone(struct call *c, const char *sdp)
{
    const struct call_ends *e = c->calls->ends;
    char answer[MEDIA_SDP_MAX], text[MEDIA_TEXT_MAX] = "";
    int err = call_open_media(c);

    if (err)
        return err;
    if (!c->offered_ms) {
        c->offered_ms = e->now().ms;
        c->connect_due_ms = c->offered_ms + CALLS_CONNECT_S * MS_PER_S;
    }
    err = e->media_offer(c->media, sdp, answer, text);
    if (err) {
        call_end(c, "media_failed", text[0] ? text : err_str(err), "bridge");
        return err;
    }
    note_offer(c, sdp);
    call_note_candidates(&c->ours, answer);
    call_note_relays(c);
    call_tell(c, "call.answer", json_pack("{s:s}", "sdp", answer));
    return 0;
}

/* ---- What the media report. ---- */

static void set_ms(json_t *o, const char *key, double seconds)
{
    if (seconds >= 0)
        json_object_set_new(o, key, json_integer((json_int_t)lround(seconds * MS_PER_S)));
}

/* First packets both ways, from when there was somebody to hear them. */
static double audio_s(const struct call *c, const struct media_stats *stats)
{
    double waited = c->answered_ms > c->offered_ms ? (double)(c->answered_ms - c->offered_ms) / MS_PER_S : 0;

    return stats->audio_s < 0 || !c->answered_ms ? -1 : fmax(stats->audio_s - waited, 0);
}

static void tell_connected(struct call *c, const struct media_stats *stats)
{
    json_t *setup = json_object();

    set_ms(setup, "signalling_ms", c->signalled_ms ? (double)(c->signalled_ms - c->began_ms) / MS_PER_S : -1);
    set_ms(setup, "ice_ms", stats->ice_s);
    set_ms(setup, "dtls_ms", stats->dtls_s);
    set_ms(setup, "audio_ms", audio_s(c, stats));
    call_tell(c, "call.media",
              json_pack("{s:s,s:s,s:s,s:o}", "state", "connected", "local", stats->path.local, "remote", stats->path.remote,
                        "setup", setup));
}

static int64_t between(uint64_t from_ms, uint64_t to_ms)
{
    return to_ms ? (int64_t)(to_ms - from_ms) : -1;
}

/* Whoever is asked why a call took long to set up finds here which part of it did; what there was none of is -1. */
static void log_setup(const struct call *c, const struct media_stats *stats)
{
    LOG(LOG_INFO, "call_setup", LOG_STR("call", c->id), LOG_INT("signalling_ms", between(c->began_ms, c->signalled_ms)),
        LOG_INT("relays_ms", between(c->offered_ms, c->relays_ms)), LOG_INT("ice_ms", lround(stats->ice_s * MS_PER_S)),
        LOG_INT("dtls_ms", lround(stats->dtls_s * MS_PER_S)), LOG_INT("audio_ms", lround(audio_s(c, stats) * MS_PER_S)));
}

static void on_connected(struct call *c)
{
    bool first = !c->joined;
    struct media_stats stats;

    c->calls->ends->media_read(c->media, &stats);
    c->joined = true;
    c->connect_due_ms = 0;
    c->restart_due_ms = 0;
    LOG(LOG_INFO, "call_media", LOG_STR("call", c->id), LOG_STR("local", stats.path.local), LOG_STR("remote", stats.path.remote),
        LOG_INT("ice_ms", lround(stats.ice_s * MS_PER_S)), LOG_INT("dtls_ms", lround(stats.dtls_s * MS_PER_S)));
    tell_connected(c, &stats);
    if (!first)
        return;
    call_count_setup(c->calls, CALLS_ICE, stats.ice_s);
    call_count_setup(c->calls, CALLS_DTLS, stats.dtls_s);
    call_joined(c);
}

/* The path is gone, and a new one is looked for: by an ICE restart, which only the phone can offer. */
static void on_lost_path(struct call *c)
{
    if (c->restart_due_ms)
        return;
    c->restart_due_ms = c->calls->ends->now().ms + CALLS_RESTART_S * MS_PER_S;
    LOG(LOG_WARNING, "call_path_lost", LOG_STR("call", c->id));
    call_tell(c, "call.media", json_pack("{s:s}", "state", "reconnecting"));
    call_tell(c, "call.restart", NULL);
}

static void on_failed(struct call *c)
{
    char text[CALL_TEXT_MAX];

    if (c->joined) {
        on_lost_path(c);
        return;
    }
    call_fault_text(c, text);
    call_end(c, "media_failed", text, "bridge");
}

static void on_state(void *ctx, enum media_state state, const struct media_path *path)
{
    struct call *c = ctx;

    (void)path; /* as media_read tells it */
    if (c->state == CALL_OVER)
        return;
    switch (state) {
    case MEDIA_NEW:
        break;
    case MEDIA_CHECKING:
        call_tell(c, "call.media", json_pack("{s:s}", "state", "checking"));
        break;
    case MEDIA_CONNECTED:
        on_connected(c);
        break;
    case MEDIA_RECONNECTING:
        if (c->joined)
            on_lost_path(c);
        break;
    case MEDIA_FAILED:
        on_failed(c);
        break;
    }
}

static void on_candidate(void *ctx, const char *candidate)
{
    struct call *c = ctx;

    if (c->state == CALL_OVER)
        return;
    if (candidate)
        call_note_candidate(&c->ours, candidate);
    call_note_relays(c);
    call_tell(c, "call.candidate", json_pack("{s:s?,s:s}", "candidate", candidate, "mid", c->mid));
}

static void on_digit(void *ctx, char digit)
{
    call_sip_digit(ctx, digit); /* whichever way it came */
}

const struct media_events CALL_MEDIA_EVENTS = {.candidate = on_candidate, .state = on_state, .digit = on_digit};

void call_tell_stats(struct call *c)
{
    struct media_stats stats;
    json_t *o;

    c->calls->ends->media_read(c->media, &stats);
    if (!c->audible && audio_s(c, &stats) >= 0) {
        c->audible = true;
        call_count_setup(c->calls, CALLS_AUDIO, audio_s(c, &stats));
        log_setup(c, &stats);
        if (c->joined && !c->restart_due_ms)
            tell_connected(c, &stats);
    }
    if (!c->calls->connected)
        return; /* it would wait with others, and be told when it is old */
    o = json_pack("{s:I,s:I,s:f,s:I}", "lost", (json_int_t)stats.browser.lost, "received", (json_int_t)stats.browser.packets_in,
                  "jitter_ms", stats.browser.jitter_s * MS_PER_S, "bytes", (json_int_t)stats.browser.bytes_in);
    if (o && stats.browser.rtt_s >= 0)
        json_object_set_new(o, "rtt_ms", json_real(stats.browser.rtt_s * MS_PER_S));
    call_tell(c, "call.stats", o);
}
