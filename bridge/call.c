/* One call: what begins it, what each end does to it, and how it ends at both. */
#include "bridge/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/utf8.h"

enum {
    ASK_S = 10,      /* for the service to answer call.start */
    NUMBER_MAX = 64, /* characters of `to` (docs/connect-protocol.md) */
    DIGITS_MAX = 32, /* of one call.dtmf */
};

static const char TO_CHARS[] = "0123456789*#+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
static const char DIGIT_CHARS[] = "0123456789*#ABCD";

static uint64_t now_ms(const struct call *c)
{
    return c->calls->ends->now().ms;
}

/* A copy that fits and is UTF-8, whoever wrote it. */
static void copy_name(char out[static CALL_NAME_MAX], const char *text)
{
    snprintf(out, CALL_NAME_MAX, "%s", text);
    utf8_mend(out);
}

/* ---- How a call ends. ---- */

/* What the PBX is answered whose call nobody took. */
static int status_of(const char *reason)
{
    static const struct {
        const char *reason;
        int status;
    } table[] = {{"busy", 486}, {"declined", 603}, {"unknown_number", 404}, {"limit", 486}, {"shutdown", 503}, {"pbx_error", 500}};

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].reason, reason) == 0)
            return table[i].status;
    return 480; /* not there: no answer, lost, no path */
}

void call_close(struct call *c, const char *reason, const char *text, const char *by)
{
    if (c->state == CALL_OVER)
        return;
    call_count_end(c, reason);
    c->state = CALL_OVER;
    if (c->sip)
        c->calls->ends->sip_hangup(c->sip, status_of(reason));
    c->sip = NULL;
    LOG(LOG_INFO, "call_ended", LOG_STR("call", c->id), LOG_STR("reason", reason), LOG_STR("by", by),
        LOG_STR("text", text ? text : ""), LOG_INT("seconds", c->answered_ms ? (now_ms(c) - c->answered_ms) / MS_PER_S : 0));
    c->calls->ends->wake(c->calls->ends->ctx);
}

static void tell_hangup(struct call *c, const char *reason, const char *text)
{
    json_t *o = json_pack("{s:s}", "reason", reason);

    if (o && text && *text && utf8_ok(text))
        json_object_set_new(o, "text", json_string(text));
    call_tell(c, "call.hangup", o);
}

void call_end(struct call *c, const char *reason, const char *text, const char *by)
{
    if (c->state == CALL_OVER)
        return;
    if (c->id[0])
        tell_hangup(c, reason, text);
    call_close(c, reason, text, by);
}

static void talk(struct call *c)
{
    c->state = CALL_TALKING;
    c->answered_ms = now_ms(c);
    c->calls->counts.answered++;
    LOG(LOG_INFO, "call_answered", LOG_STR("call", c->id));
    call_tell(c, "call.answered", NULL);
}

/* ---- A phone calls. ---- */

static int line_of(const struct calls *calls, const char *user)
{
    for (unsigned i = 0; i < calls->config.nlines; i++)
        if (calls->config.lines[i].phone && strcmp(calls->config.lines[i].phone, user) == 0)
            return (int)i;
    return -1;
}

static bool number_ok(const char *to)
{
    size_t len = strlen(to);

    return len >= 1 && len <= NUMBER_MAX && strspn(to, TO_CHARS) == len;
}

/* INVITE, with what the phone has offered. */
static void dial(struct call *c)
{
    const struct call_ends *e = c->calls->ends;
    char sdp[MEDIA_SDP_MAX], text[CALL_TEXT_MAX];
    int err = e->media_pbx_offer(c->media, false, sdp);

    if (err) {
        call_end(c, "media_failed", err_str(err), "bridge");
        return;
    }
    err = e->sip_invite(&c->sip, e->sip, c->line, c->number, sdp, c->id, c);
    if (err == ERR_NOTCONN) {
        snprintf(text, sizeof(text), "the bridge's line %s is not registered at the PBX%s%s", c->calls->config.lines[c->line].user,
                 c->calls->lines[c->line].why[0] ? ": " : "", c->calls->lines[c->line].why);
        call_end(c, "pbx_down", text, "bridge");
    } else if (err) {
        call_end(c, "pbx_error", err_str(err), "bridge");
    }
}

void call_from_phone(struct calls *calls, const json_t *params)
{
    struct call *c = call_add(calls, CALL_DIALLING, false);
    char text[CALL_TEXT_MAX];
    int line;

    if (!c)
        return; /* the service gives the call up by itself */
    snprintf(c->id, sizeof(c->id), "%s", calls_text(params, "call"));
    copy_name(c->user, calls_text(params, "from"));
    copy_name(c->number, calls_text(params, "to"));
    LOG(LOG_INFO, "call_started", LOG_STR("call", c->id), LOG_STR("way", "out"), LOG_STR("user", c->user),
        LOG_STR("to", c->number));
    line = line_of(calls, c->user);
    if (line < 0) {
        snprintf(text, sizeof(text), "the bridge has no line at the PBX for %s", c->user);
        call_end(c, "declined", text, "bridge");
        return;
    }
    c->line = (unsigned)line;
    if (!number_ok(calls_text(params, "to")))
        call_end(c, "unknown_number", "that is no number", "bridge");
    else if (call_answer_phone(c, calls_text(params, "sdp")) == 0)
        dial(c);
}

/* ---- The PBX calls. ---- */

static void on_started(void *ctx, const json_t *result, const json_t *error)
{
    struct call *c = ctx;
    const char *reason = calls_text(json_object_get(error, "data"), "reason");

    c->asked = false;
    if (result)
        snprintf(c->id, sizeof(c->id), "%s", calls_text(result, "call"));
    if (c->state == CALL_OVER) { /* the PBX has given up meanwhile */
        if (c->id[0])
            tell_hangup(c, "cancelled", NULL);
        c->calls->ends->wake(c->calls->ends->ctx);
        return;
    }
    if (!c->id[0]) {
        call_end(c,
                 strcmp(reason, "limit") == 0      ? "limit"
                 : strcmp(reason, "no_phone") == 0 ? "no_answer"
                                                   : "bridge_lost",
                 error ? calls_text(error, "message") : "the connect service has not answered", "service");
        return;
    }
    c->state = CALL_RINGING;
    c->signalled_ms = now_ms(c);
    c->due_ms = c->signalled_ms + (uint64_t)c->calls->config.ring_s * MS_PER_S;
    LOG(LOG_INFO, "call_started", LOG_STR("call", c->id), LOG_STR("way", "in"), LOG_STR("user", c->user),
        LOG_STR("from", c->number));
}

void call_from_pbx(struct calls *calls, struct sip_call *sip, unsigned line, const char *from, const char *name, const char *sdp)
{
    const char *user = line < calls->config.nlines && !calls->stopped ? calls->config.lines[line].phone : NULL;
    struct call *c = user ? call_add(calls, CALL_ASKING, true) : NULL;
    char shown[CALL_NAME_MAX];
    json_t *params;

    if (!c) {
        calls->ends->sip_hangup(sip, user || calls->stopped ? 503 : 404);
        return;
    }
    c->sip = sip;
    calls->ends->sip_set_ctx(sip, c);
    c->line = line;
    copy_name(c->user, user);
    copy_name(c->number, from && *from ? from : "anonymous");
    copy_name(shown, name ? name : "");
    c->pbx_sdp = sdp ? strdup(sdp) : NULL;
    params = json_pack("{s:s,s:s}", "user", c->user, "from", c->number);
    if (params && shown[0])
        json_object_set_new(params, "name", json_string(shown));
    if ((sdp && !c->pbx_sdp) || calls->ends->request(calls->ends->client, "call.start", params, on_started, c)) {
        call_end(c, "bridge_lost", "the bridge is not connected to the connect service", "bridge");
        return;
    }
    c->asked = true;
    c->due_ms = now_ms(c) + ASK_S * MS_PER_S;
}

/* Our answer to its INVITE (or our offer, where it made none); it is sent once the media have a path. Before the phone's offer is
 * answered: the phone must get no codec that the PBX has not. */
static int prepare_pbx(struct call *c)
{
    const struct call_ends *e = c->calls->ends;
    char sdp[MEDIA_SDP_MAX], text[MEDIA_TEXT_MAX] = "";
    int err = call_open_media(c);

    if (err)
        return err;
    if (!c->pbx_sdp)
        return 0;
    err = e->media_pbx_offered(c->media, c->pbx_sdp, sdp, &c->pbx_holds, text);
    free(c->pbx_sdp);
    c->pbx_sdp = err ? NULL : strdup(sdp);
    if (!err && !c->pbx_sdp)
        err = ERR_NOMEM;
    if (err)
        call_end(c, "media_failed", text[0] ? text : err_str(err), "bridge");
    return err;
}

static void answer_pbx(struct call *c)
{
    const struct call_ends *e = c->calls->ends;
    char offer[MEDIA_SDP_MAX];
    int err = c->pbx_sdp ? 0 : e->media_pbx_offer(c->media, false, offer);

    if (!err)
        err = e->sip_answer(c->sip, c->pbx_sdp ? c->pbx_sdp : offer);
    if (err)
        call_end(c, "pbx_error", err_str(err), "bridge");
    else
        c->state = CALL_CONFIRMING;
}

void call_joined(struct call *c)
{
    if (c->state == CALL_JOINING)
        answer_pbx(c);
}

/* ---- What the phone says. ---- */

static void on_phone_ringing(struct call *c, const json_t *params)
{
    (void)params;
    if (c->sip)
        c->calls->ends->sip_ring(c->sip);
}

static void on_accept(struct call *c, const json_t *params)
{
    c->state = CALL_JOINING;
    c->due_ms = 0;
    if (prepare_pbx(c) == 0)
        call_answer_phone(c, calls_text(params, "sdp"));
}

/* Tells the PBX that the phone holds, or goes on; one offer at a time. */
static void follow_hold(struct call *c)
{
    const struct call_ends *e = c->calls->ends;
    char sdp[MEDIA_SDP_MAX];
    int err;

    if (c->state != CALL_TALKING || c->reoffering || c->phone_holds == c->told_hold)
        return;
    err = e->media_pbx_offer(c->media, c->phone_holds, sdp);
    if (!err)
        err = e->sip_reinvite(c->sip, sdp);
    c->reoffering = !err;
    if (err != ERR_AGAIN) /* an offer of the PBX's is on its way: the next tick tries again */
        c->told_hold = c->phone_holds;
    if (err && err != ERR_AGAIN)
        LOG(LOG_WARNING, "call_hold_failed", LOG_STR("call", c->id), LOG_ERR("reason", err));
}

static void on_offer(struct call *c, const json_t *params)
{
    if (call_answer_phone(c, calls_text(params, "sdp")) == 0)
        follow_hold(c);
}

static void on_candidate(struct call *c, const json_t *params)
{
    const char *candidate = json_string_value(json_object_get(params, "candidate"));

    if (candidate)
        call_note_candidate(&c->theirs, candidate);
    call_note_relays(c);
    c->calls->ends->media_candidate(c->media, candidate); /* one that can't be used is none */
}

static void on_dtmf(struct call *c, const json_t *params)
{
    const char *digits = calls_text(params, "digits");
    size_t len = strlen(digits);

    if (len == 0 || len > DIGITS_MAX || strspn(digits, DIGIT_CHARS) != len)
        return;
    if (c->calls->ends->media_dtmf(c->media, digits) != ERR_NOTSUP)
        return;
    for (; *digits; digits++)
        c->calls->ends->sip_info_digit(c->sip, *digits);
}

static void on_ended(struct call *c, const json_t *params)
{
    call_close(c, calls_text(params, "reason"), calls_text(params, "text"), calls_text(params, "by"));
}

void call_message(struct call *c, const char *method, const json_t *params)
{
    enum { DIALLED = CALL_DIALLING | CALL_ALERTING, HAS_MEDIA = DIALLED | CALL_JOINING | CALL_CONFIRMING | CALL_TALKING };
    static const struct {
        const char *method;
        unsigned states;
        void (*run)(struct call *c, const json_t *params);
    } table[] = {
        {"call.ringing", CALL_RINGING, on_phone_ringing},
        {"call.accept", CALL_RINGING, on_accept},
        {"call.offer", HAS_MEDIA, on_offer},
        {"call.candidate", HAS_MEDIA, on_candidate},
        {"call.dtmf", CALL_TALKING, on_dtmf},
        {"call.ended", HAS_MEDIA | CALL_RINGING, on_ended},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].method, method) == 0 && table[i].states & c->state)
            table[i].run(c, params);
}

/* ---- What the PBX says. ---- */

static int take_answer(struct call *c, const char *sdp, char text[static MEDIA_TEXT_MAX])
{
    text[0] = '\0';
    return c->calls->ends->media_pbx_answer(c->media, sdp, text);
}

void call_sip_ringing(struct call *c, const char *sdp)
{
    char text[MEDIA_TEXT_MAX];

    if (!(c->state & (CALL_DIALLING | CALL_ALERTING)))
        return;
    c->state = CALL_ALERTING;
    if (!c->signalled_ms)
        c->signalled_ms = now_ms(c);
    if (sdp && take_answer(c, sdp, text) == 0) /* what is wrong with it, its final answer will show */
        c->early = true;
    if (!c->rang)
        call_tell(c, "call.ringing", NULL);
    c->rang = true;
}

void call_sip_answered(struct call *c, const char *sdp)
{
    char text[MEDIA_TEXT_MAX] = "the PBX has answered without a description of its media";
    bool answers = c->state & (CALL_DIALLING | CALL_ALERTING), confirms = c->state == CALL_CONFIRMING;
    /* Its ACK is no answer where the offer was its own. */
    bool due = (answers && !c->early) || (confirms && !c->pbx_sdp);
    int err = sdp ? take_answer(c, sdp, text) : due ? ERR_MALFORMED : 0;

    if (err) {
        call_end(c, "media_failed", text[0] ? text : err_str(err), "bridge");
        return;
    }
    if (!c->signalled_ms)
        c->signalled_ms = now_ms(c);
    if (answers || confirms)
        talk(c);
    follow_hold(c); /* as the phone may have asked before there was anybody to tell */
}

void call_sip_reoffered(struct call *c, const char *sdp)
{
    const struct call_ends *e = c->calls->ends;
    char answer[MEDIA_SDP_MAX], text[MEDIA_TEXT_MAX] = "";
    bool held = c->pbx_holds;
    int err = sdp ? e->media_pbx_offered(c->media, sdp, answer, &held, text) : e->media_pbx_offer(c->media, c->phone_holds, answer);

    if (!err)
        err = e->sip_answer(c->sip, answer);
    if (err) { /* a fax, say: what was agreed on before holds */
        LOG(LOG_INFO, "call_offer_refused", LOG_STR("call", c->id), LOG_STR("reason", text[0] ? text : err_str(err)));
        e->sip_refuse(c->sip);
        return;
    }
    if (held != c->pbx_holds)
        call_tell(c, "call.hold", json_pack("{s:b}", "on", held));
    c->pbx_holds = held;
}

void call_sip_reanswered(struct call *c, const char *sdp)
{
    char text[MEDIA_TEXT_MAX];

    c->reoffering = false;
    if (sdp && take_answer(c, sdp, text))
        LOG(LOG_WARNING, "call_hold_failed", LOG_STR("call", c->id), LOG_STR("reason", text));
    follow_hold(c);
}

/* What was told is not known over there; what is to be told now, follow_hold looks at. */
void call_sip_crossed(struct call *c)
{
    c->reoffering = false;
    c->told_hold = !c->told_hold;
    follow_hold(c);
}

void call_sip_digit(struct call *c, char digit)
{
    const char digits[] = {digit, '\0'};

    if (c->state != CALL_OVER && c->id[0])
        call_tell(c, "call.dtmf", json_pack("{s:s}", "digits", digits));
}

void call_sip_ended(struct call *c, const struct sip_end *end)
{
    c->sip = NULL;
    call_end(c, end->reason, end->text, "pbx");
}

/* ---- What time does. ---- */

static bool past(uint64_t due_ms, uint64_t now)
{
    return due_ms && now >= due_ms;
}

/* Has another second of this call begun? */
static bool next_second(struct call *c, uint64_t now)
{
    uint64_t second = (now + c->phase_ms) / MS_PER_S;
    bool next = second != c->second;

    c->second = second;
    return next;
}

void call_tick(struct call *c, uint64_t now)
{
    char text[CALL_TEXT_MAX];
    bool next = next_second(c, now);

    if (next)
        call_count_lost(c);
    if (past(c->gone_due_ms, now)) {
        call_close(c, "hangup", "the connect service has ended it while the bridge was away", "service");
    } else if (past(c->due_ms, now)) {
        call_end(c, c->state == CALL_ASKING ? "bridge_lost" : "no_answer", NULL, "bridge");
    } else if (past(c->connect_due_ms, now)) {
        call_fault_text(c, text);
        call_end(c, "media_failed", text, "bridge");
    } else if (past(c->restart_due_ms, now)) {
        call_end(c, "media_lost", "the media's path was lost, and no other was found in 30 s", "bridge");
    } else if (c->state == CALL_TALKING) {
        follow_hold(c);
        if (next)
            call_tell_stats(c);
    }
}
