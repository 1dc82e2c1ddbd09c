/* One call of the bridge, with fakes for the connect service, SIP and media: what each end does is written down, in order. */
#include <stdlib.h>

#include "base/err.h"
#include "bridge/call.h"
#include "tests/unit/tap.h"

/* ---- Fakes. ---- */

static struct {
    char did[4096]; /* "what detail; " ... since the last look */
    uint64_t now_ms;
    bool away; /* no connection to the service */
    int refuse_new, refuse_offer, refuse_offered, refuse_answer, refuse_dtmf, refuse_invite, refuse_reinvite, refuse_pbx_offer,
        refuse_sip_answer;
    struct media_stats stats;
    bool pbx_holds; /* what the next offer of the PBX's says */
    bool wakes;
    connect_client_cb *started;
    void *started_ctx;
    const struct media_events *events;
    void *media_ctx, *sip_ctx;
    unsigned media_lives;
} w;

__attribute__((format(printf, 1, 2))) static void did(const char *format, ...)
{
    size_t len = strlen(w.did);
    va_list ap;
    va_start(ap, format);
    vsnprintf(w.did + len, sizeof(w.did) - len, format, ap);
    va_end(ap);
    strncat(w.did, "; ", sizeof(w.did) - strlen(w.did) - 1);
}

/* What has been done since the last time. */
static const char *took(void)
{
    static char text[sizeof(w.did)];
    snprintf(text, sizeof(text), "%s", w.did);
    w.did[0] = '\0';
    return text;
}

static json_t *told; /* the bridge's status, as it was told last */

static const char *member(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "-";
}

static int fake_request(struct connect_client *c, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx)
{
    (void)c;
    if (!w.away)
        did("%s %s %s %s", method, member(params, "user"), member(params, "from"), member(params, "name"));
    w.started = cb;
    w.started_ctx = cb_ctx;
    json_decref(params);
    return w.away ? ERR_NOTCONN : 0;
}

static int fake_notify(struct connect_client *c, const char *method, json_t *params)
{
    static const char *const shown[] = {"reason", "text", "sdp", "state", "local", "remote", "digits", "candidate", "mid"};
    char line[1024] = "";
    (void)c;
    if (strcmp(method, "bridge.status") == 0) {
        did("status");
        json_decref(told);
        told = params;
        return 0;
    }
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (json_object_get(params, shown[i]))
            snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s", member(params, shown[i]));
    if (json_object_get(params, "on"))
        snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s",
                 json_is_true(json_object_get(params, "on")) ? "on" : "off");
    if (json_object_get(params, "setup") || json_object_get(params, "rtt_ms")) {
        char *all = json_dumps(json_object_get(params, json_object_get(params, "setup") ? "setup" : "rtt_ms"),
                               JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
        snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s", all ? all : "?");
        free(all);
    }
    did("%s %s%s", method, member(params, "call"), line);
    json_decref(params);
    return 0;
}

static int fake_media_new(struct media **out, struct media_hub *hub, const struct media_events *events, void *ctx)
{
    (void)hub;
    if (w.refuse_new)
        return w.refuse_new;
    w.events = events;
    w.media_ctx = ctx;
    w.media_lives++;
    *out = (struct media *)(void *)&w;
    return 0;
}

static void fake_media_free(struct media **m)
{
    if (*m)
        w.media_lives--;
    *m = NULL;
}

static int fake_media_offer(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], char text[static MEDIA_TEXT_MAX])
{
    (void)m, (void)sdp;
    snprintf(text, MEDIA_TEXT_MAX, "no common codec");
    snprintf(answer, MEDIA_SDP_MAX, "ANSWER");
    return w.refuse_offer;
}

static int fake_media_candidate(struct media *m, const char *candidate)
{
    (void)m;
    did("candidate %s", candidate ? candidate : "no more");
    return 0;
}

static int fake_media_pbx_offer(struct media *m, bool hold, char sdp[static MEDIA_SDP_MAX])
{
    (void)m;
    snprintf(sdp, MEDIA_SDP_MAX, hold ? "HOLD" : "PLAIN");
    return w.refuse_pbx_offer;
}

static int fake_media_pbx_answer(struct media *m, const char *sdp, char text[static MEDIA_TEXT_MAX])
{
    (void)m;
    did("pbx-answer %s", sdp);
    snprintf(text, MEDIA_TEXT_MAX, "no audio");
    return w.refuse_answer;
}

static int fake_media_pbx_offered(struct media *m, const char *sdp, char answer[static MEDIA_SDP_MAX], bool *held,
                                  char text[static MEDIA_TEXT_MAX])
{
    (void)m;
    did("pbx-offer %s", sdp);
    *held = w.pbx_holds;
    snprintf(answer, MEDIA_SDP_MAX, "OURS");
    snprintf(text, MEDIA_TEXT_MAX, "video only");
    return w.refuse_offered;
}

static int fake_media_dtmf(struct media *m, const char *digits)
{
    (void)m;
    if (!w.refuse_dtmf)
        did("event %s", digits);
    return w.refuse_dtmf;
}

static void fake_media_read(const struct media *m, struct media_stats *out)
{
    (void)m;
    *out = w.stats;
}

static int fake_sip_invite(struct sip_call **out, struct sip *s, unsigned line, const char *to, const char *sdp,
                           const char *call_id, void *call_ctx)
{
    (void)s;
    did("invite %u %s %s %s", line, to, sdp, call_id);
    w.sip_ctx = call_ctx;
    *out = (struct sip_call *)(void *)&w;
    return w.refuse_invite;
}

static void fake_sip_set_ctx(struct sip_call *call, void *call_ctx)
{
    (void)call;
    w.sip_ctx = call_ctx;
}

static int fake_sip_ring(struct sip_call *call)
{
    (void)call;
    did("ring");
    return 0;
}

static int fake_sip_answer(struct sip_call *call, const char *sdp)
{
    (void)call;
    did("answer %s", sdp);
    return w.refuse_sip_answer;
}

static int fake_sip_refuse(struct sip_call *call)
{
    (void)call;
    did("refuse");
    return 0;
}

static int fake_sip_reinvite(struct sip_call *call, const char *sdp)
{
    (void)call;
    did("reinvite %s", sdp);
    return w.refuse_reinvite;
}

static int fake_sip_info_digit(struct sip_call *call, char digit)
{
    (void)call;
    did("info %c", digit);
    return 0;
}

static void fake_sip_hangup(struct sip_call *call, int status)
{
    (void)call;
    did("hangup %d", status);
}

static struct now fake_now(void)
{
    return (struct now){.ms = w.now_ms, .wall = 1800000000 + (int64_t)w.now_ms / 1000};
}

static void fake_wake(void *ctx)
{
    (void)ctx;
    w.wakes = true;
}

static bool fake_is_others(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, "probe") == 0;
}

static const struct call_ends ENDS = {
    .request = fake_request,
    .notify = fake_notify,
    .media_new = fake_media_new,
    .media_free = fake_media_free,
    .media_offer = fake_media_offer,
    .media_candidate = fake_media_candidate,
    .media_pbx_offer = fake_media_pbx_offer,
    .media_pbx_answer = fake_media_pbx_answer,
    .media_pbx_offered = fake_media_pbx_offered,
    .media_dtmf = fake_media_dtmf,
    .media_read = fake_media_read,
    .sip_invite = fake_sip_invite,
    .sip_set_ctx = fake_sip_set_ctx,
    .sip_ring = fake_sip_ring,
    .sip_answer = fake_sip_answer,
    .sip_refuse = fake_sip_refuse,
    .sip_reinvite = fake_sip_reinvite,
    .sip_info_digit = fake_sip_info_digit,
    .sip_hangup = fake_sip_hangup,
    .now = fake_now,
    .wake = fake_wake,
    .is_others = fake_is_others,
};
static const struct sip_line LINES[] = {
    {.user = "30", .password = "x", .phone = "alice"}, {.user = "31", .phone = "bob"}, {.user = "32"}};

static struct calls *calls;

/* What the phone's descriptions begin with, within JSON. */
#define AUDIO "v=0\\r\\nm=audio 9 UDP/TLS/RTP/SAVPF 8\\r\\na=mid:a7\\r\\n"

/* ---- What the ends say. ---- */

static void begin(void)
{
    memset(&w, 0, sizeof(w));
    w.now_ms = 1000000;
    w.stats = (struct media_stats){.ice_s = -1, .dtls_s = -1, .audio_s = -1, .browser = {.rtt_s = -1}};
    if (calls_new(&calls, &(struct calls_config){.lines = LINES, .nlines = 3, .version = "0.1.0", .ring_s = 60, .ends = &ENDS}))
        abort();
    calls_set_relay(calls, "relay.example:3478");
    calls_set_connected(calls, true);
}

/* Whatever a test leaves, is freed; a call that is over goes with the next pass. */
static bool all_gone(void)
{
    bool woken = w.wakes;
    calls_reap(calls);
    return woken && w.media_lives == 0;
}

static void finish(void)
{
    calls_free(&calls);
}

static void says(const char *method, const char *json)
{
    json_t *params = json_loads(json, 0, NULL);
    if (!params)
        abort();
    calls_message(calls, method, params);
    json_decref(params);
}

static void incoming(void)
{
    says("call.incoming", "{\"call\":\"c1\",\"from\":\"bob\",\"to\":\"4711\",\"sdp\":\"" AUDIO "\"}");
}

static void started(const char *result, const char *error)
{
    json_t *r = result ? json_loads(result, 0, NULL) : NULL, *e = error ? json_loads(error, 0, NULL) : NULL;
    w.started(w.started_ctx, r, e);
    json_decref(r);
    json_decref(e);
}

static void invited(void)
{
    calls_sip_events()->invited(calls, (struct sip_call *)(void *)&w, 1, "0301234", "Carol", "PBXOFFER");
}

static void sip_ended(const char *reason, const char *text)
{
    struct sip_end end = {.reason = reason};
    snprintf(end.text, sizeof(end.text), "%s", text);
    calls_sip_events()->ended(calls, w.sip_ctx, &end);
}

static void connected(void)
{
    w.stats.path = (struct media_path){"relay", "relay"};
    w.stats.ice_s = 0.2;
    w.stats.dtls_s = 0.3;
    w.events->state(w.media_ctx, MEDIA_CONNECTED, &w.stats.path);
}

/* A call of the phone's that talks. */
static void talking(void)
{
    begin();
    incoming();
    connected();
    calls_sip_events()->answered(calls, w.sip_ctx, "PBXANSWER");
    took();
}

/* A call of the PBX's that rings at phones. */
static void ringing(void)
{
    begin();
    invited();
    started("{\"call\":\"c2\"}", NULL);
    took();
}

static void after(unsigned s)
{
    w.now_ms += s * UINT64_C(1000);
    calls_tick(calls);
}

static uint64_t ended(const char *reason)
{
    const char *name;
    uint64_t n = 0;
    for (unsigned i = 0; (name = calls_ended(calls, i, &n)); i++)
        if (strcmp(name, reason) == 0)
            return n;
    return UINT64_MAX;
}

/* ---- A phone calls. ---- */

static void phone_calls(void)
{
    struct calls_counts counts;
    begin();
    incoming();
    CHECK_STR(took(), "call.answer c1 ANSWER; invite 1 4711 PLAIN c1; ");
    w.events->candidate(w.media_ctx, "candidate:1 1 UDP 1 192.0.2.1 5000 typ relay");
    w.events->candidate(w.media_ctx, NULL);
    CHECK_STR(took(), "call.candidate c1 candidate:1 1 UDP 1 192.0.2.1 5000 typ relay a7; call.candidate c1 - a7; ");
    says("call.candidate", "{\"call\":\"c1\",\"candidate\":\"candidate:2 typ host\"}");
    says("call.candidate", "{\"call\":\"c1\",\"candidate\":null}");
    CHECK_STR(took(), "candidate candidate:2 typ host; candidate no more; ");
    calls_sip_events()->ringing(calls, w.sip_ctx, NULL);
    calls_sip_events()->ringing(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "call.ringing c1; ");
    w.events->state(w.media_ctx, MEDIA_CHECKING, &w.stats.path);
    connected();
    CHECK_STR(took(), "call.media c1 checking; "
                      "call.media c1 connected relay relay {\"dtls_ms\":300,\"ice_ms\":200,\"signalling_ms\":0}; ");
    calls_sip_events()->answered(calls, w.sip_ctx, "PBXANSWER");
    CHECK_STR(took(), "pbx-answer PBXANSWER; call.answered c1; ");
    calls_read(calls, &counts);
    CHECK_INT(counts.now[CALLS_TALKING], 1);
    CHECK_INT(counts.answered, 1);
    CHECK_INT(counts.setup[CALLS_ICE][2], 1);
    sip_ended("hangup", "");
    CHECK_STR(took(), "call.hangup c1 hangup; ");
    CHECK_INT(ended("hangup"), 1);
    CHECK(all_gone());
    finish();
}

static void early_media(void)
{
    begin();
    incoming();
    took();
    calls_sip_events()->ringing(calls, w.sip_ctx, "EARLY");
    CHECK_STR(took(), "pbx-answer EARLY; call.ringing c1; ");
    calls_sip_events()->answered(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "call.answered c1; ");
    finish();
}

static void no_description(void)
{
    begin();
    incoming();
    took();
    calls_sip_events()->answered(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "call.hangup c1 media_failed the PBX has answered without a description of its media; hangup 480; ");
    CHECK(all_gone());
    finish();
}

static void bad_answer(void)
{
    begin();
    incoming();
    took();
    w.refuse_answer = ERR_MALFORMED;
    calls_sip_events()->answered(calls, w.sip_ctx, "VIDEO");
    CHECK_STR(took(), "pbx-answer VIDEO; call.hangup c1 media_failed no audio; hangup 480; ");
    finish();
}

/* Whatever SIP says, the phone hears. */
static void pbx_refuses(void)
{
    static const char *const reasons[] = {"busy", "declined", "no_answer", "unknown_number", "pbx_down", "pbx_error"};
    char want[128];
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        begin();
        incoming();
        took();
        sip_ended(reasons[i], "said so");
        snprintf(want, sizeof(want), "call.hangup c1 %s said so; ", reasons[i]);
        CHECK_STR(took(), want);
        CHECK_INT(ended(reasons[i]), 1);
        CHECK(all_gone());
        finish();
    }
}

static void cannot_begin(void)
{
    begin();
    says("call.incoming", "{\"call\":\"c1\",\"from\":\"carol\",\"to\":\"4711\",\"sdp\":\"" AUDIO "\"}");
    CHECK_STR(took(), "call.hangup c1 declined the bridge has no line at the PBX for carol; ");
    says("call.incoming", "{\"call\":\"c2\",\"from\":\"bob\",\"to\":\"a@evil\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "call.hangup c2 unknown_number that is no number; ");
    w.refuse_offer = ERR_MALFORMED;
    says("call.incoming", "{\"call\":\"c3\",\"from\":\"bob\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "call.hangup c3 media_failed no common codec; ");
    w.refuse_offer = 0;
    w.refuse_new = ERR_NOSPC;
    says("call.incoming", "{\"call\":\"c4\",\"from\":\"bob\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "call.hangup c4 limit the bridge has as many calls, or ports for them, as it may; ");
    w.refuse_new = 0;
    calls_sip_events()->registered(calls, 0, false, "401 Unauthorized");
    w.refuse_invite = ERR_NOTCONN;
    says("call.incoming", "{\"call\":\"c5\",\"from\":\"alice\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK(strstr(took(), "call.hangup c5 pbx_down the bridge's line 30 is not registered at the PBX: 401 Unauthorized; ") != NULL);
    took();
    w.refuse_invite = ERR_NOMEM;
    says("call.incoming", "{\"call\":\"c6\",\"from\":\"bob\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK(strstr(took(), "call.hangup c6 pbx_error") != NULL);
    w.refuse_pbx_offer = ERR_NOSPC;
    says("call.incoming", "{\"call\":\"c7\",\"from\":\"bob\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK(strstr(took(), "call.hangup c7 media_failed") != NULL);
    w.refuse_new = ERR_NOMEM;
    says("call.incoming", "{\"call\":\"c8\",\"from\":\"bob\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    CHECK(strstr(took(), "call.hangup c8 media_failed") != NULL);
    says("call.incoming", "{\"call\":\"\",\"from\":\"alice\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    says("call.incoming", "{\"from\":\"alice\",\"to\":\"1\",\"sdp\":\"OFFER\"}");
    says("call.offer", "{\"call\":\"c9\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "");
    CHECK(all_gone());
    finish();
}

static void phone_gives_up(void)
{
    begin();
    incoming();
    took();
    says("call.ended", "{\"call\":\"c1\",\"reason\":\"cancelled\",\"by\":\"phone\"}");
    CHECK_STR(took(), "hangup 480; ");
    CHECK_INT(ended("cancelled"), 1);
    CHECK(all_gone());
    finish();
}

/* ---- The PBX calls. ---- */

static void pbx_calls(void)
{
    begin();
    invited();
    CHECK_STR(took(), "call.start bob 0301234 Carol; ");
    w.now_ms += 250;
    started("{\"call\":\"c2\"}", NULL);
    CHECK_STR(took(), "");
    says("call.ringing", "{\"call\":\"c2\"}");
    CHECK_STR(took(), "ring; ");
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "pbx-offer PBXOFFER; call.answer c2 ANSWER; ");
    connected();
    CHECK_STR(took(), "call.media c2 connected relay relay {\"dtls_ms\":300,\"ice_ms\":200,\"signalling_ms\":250}; answer OURS; ");
    calls_sip_events()->answered(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "call.answered c2; ");
    after(60); /* it rings no more */
    CHECK_STR(took(), "call.stats c2; ");
    says("call.ended", "{\"call\":\"c2\",\"reason\":\"hangup\",\"by\":\"phone\"}");
    CHECK_STR(took(), "hangup 480; ");
    CHECK(all_gone());
    finish();
}

static void late_offer(void)
{
    begin();
    calls_sip_events()->invited(calls, (struct sip_call *)(void *)&w, 1, NULL, NULL, NULL);
    CHECK_STR(took(), "call.start bob anonymous -; ");
    started("{\"call\":\"c2\"}", NULL);
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    took();
    connected();
    CHECK_STR(took(), "call.media c2 connected relay relay {\"dtls_ms\":300,\"ice_ms\":200,\"signalling_ms\":0}; answer PLAIN; ");
    calls_sip_events()->answered(calls, w.sip_ctx, "ACKSDP");
    CHECK_STR(took(), "pbx-answer ACKSDP; call.answered c2; ");
    finish();
    begin();
    calls_sip_events()->invited(calls, (struct sip_call *)(void *)&w, 1, NULL, NULL, NULL);
    started("{\"call\":\"c2\"}", NULL);
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    connected();
    took();
    calls_sip_events()->answered(calls, w.sip_ctx, NULL); /* nobody knows where to send to */
    CHECK_STR(took(), "call.hangup c2 media_failed the PBX has answered without a description of its media; hangup 480; ");
    finish();
}

/* What a phone, or the service, ends a ringing call with, and what the PBX hears. */
static void nobody_takes_it(void)
{
    static const struct {
        const char *reason;
        int status;
    } table[] = {{"busy", 486},       {"declined", 603},    {"no_answer", 480},
                 {"phone_lost", 480}, {"token_ended", 480}, {"shutdown", 503}};
    char json[128], want[32];
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ringing();
        snprintf(json, sizeof(json), "{\"call\":\"c2\",\"reason\":\"%s\",\"by\":\"phone\"}", table[i].reason);
        says("call.ended", json);
        snprintf(want, sizeof(want), "hangup %d; ", table[i].status);
        CHECK_STR(took(), want);
        CHECK_INT(ended(table[i].reason), 1);
        CHECK(all_gone());
        finish();
    }
    ringing();
    after(59);
    CHECK_STR(took(), "");
    after(1);
    CHECK_STR(took(), "call.hangup c2 no_answer; hangup 480; ");
    CHECK(all_gone());
    finish();
}

static void start_refused(void)
{
    begin();
    invited();
    started(NULL, "{\"code\":-32006,\"message\":\"no phone\",\"data\":{\"reason\":\"no_phone\"}}");
    CHECK_STR(took(), "call.start bob 0301234 Carol; hangup 480; ");
    CHECK_INT(ended("no_answer"), 1);
    invited();
    started(NULL, "{\"code\":-32009,\"message\":\"too many\",\"data\":{\"reason\":\"limit\"}}");
    CHECK_STR(took(), "call.start bob 0301234 Carol; hangup 486; ");
    invited();
    started(NULL, NULL);
    CHECK_STR(took(), "call.start bob 0301234 Carol; hangup 480; ");
    CHECK_INT(ended("bridge_lost"), 1);
    w.away = true;
    invited();
    CHECK_STR(took(), "hangup 480; ");
    calls_sip_events()->invited(calls, (struct sip_call *)(void *)&w, 2, "1", NULL, "X");
    CHECK_STR(took(), "hangup 404; ");
    CHECK(all_gone());
    finish();
}

/* The PBX gives up before the service has said how the call is called; the call stays until it has. */
static void cancelled_while_asked(void)
{
    begin();
    invited();
    took();
    sip_ended("cancelled", "");
    CHECK_STR(took(), "");
    w.wakes = false;
    calls_reap(calls);
    started("{\"call\":\"c2\"}", NULL);
    CHECK_STR(took(), "call.hangup c2 cancelled; ");
    CHECK(all_gone());
    finish();
    begin();
    invited();
    took();
    after(10);
    CHECK_STR(took(), "hangup 480; ");
    started(NULL, NULL);
    CHECK(all_gone());
    finish();
}

static void accept_fails(void)
{
    ringing();
    w.refuse_offered = ERR_MALFORMED;
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    CHECK_STR(took(), "pbx-offer PBXOFFER; call.hangup c2 media_failed video only; hangup 480; ");
    CHECK(all_gone());
    finish();
    ringing();
    w.refuse_new = ERR_NOSPC;
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    CHECK(strstr(took(), "limit") != NULL);
    finish();
    ringing();
    w.refuse_sip_answer = ERR_NOTCONN;
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    connected();
    CHECK(strstr(took(), "call.hangup c2 pbx_error") != NULL);
    finish();
    ringing();
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    took();
    sip_ended("cancelled", "");
    CHECK_STR(took(), "call.hangup c2 cancelled; ");
    CHECK(all_gone());
    finish();
}

/* ---- While it talks. ---- */

static void phone_holds(void)
{
    talking();
    says("call.offer", "{\"call\":\"c1\",\"sdp\":\"" AUDIO "a=sendonly\\r\\n\"}");
    CHECK_STR(took(), "call.answer c1 ANSWER; reinvite HOLD; ");
    says("call.offer", "{\"call\":\"c1\",\"sdp\":\"" AUDIO "a=sendrecv\\r\\n\"}");
    CHECK_STR(took(), "call.answer c1 ANSWER; "); /* one offer at a time */
    calls_sip_events()->reanswered(calls, w.sip_ctx, "HELD");
    CHECK_STR(took(), "pbx-answer HELD; reinvite PLAIN; ");
    calls_sip_events()->reanswered(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "");
    w.refuse_reinvite = ERR_AGAIN;
    says("call.offer", "{\"call\":\"c1\",\"sdp\":\"" AUDIO "a=inactive\\r\\n\"}");
    took();
    w.refuse_reinvite = 0;
    after(1);
    CHECK(strstr(took(), "reinvite HOLD; ") != NULL);
    calls_sip_events()->crossed(calls, w.sip_ctx);
    CHECK_STR(took(), "reinvite HOLD; "); /* again, as the PBX has not taken it */
    says("call.offer", "{\"call\":\"c1\",\"sdp\":\"" AUDIO "a=sendrecv\\r\\n\"}");
    took();
    calls_sip_events()->crossed(calls, w.sip_ctx);
    CHECK_STR(took(), ""); /* nobody holds any more */
    finish();
}

/* Asked for while the PBX rings, it is told once somebody is there. */
static void holds_early(void)
{
    begin();
    incoming();
    says("call.offer", "{\"call\":\"c1\",\"sdp\":\"" AUDIO "a=inactive\\r\\n\"}");
    took();
    calls_sip_events()->answered(calls, w.sip_ctx, "PBXANSWER");
    CHECK_STR(took(), "pbx-answer PBXANSWER; call.answered c1; reinvite HOLD; ");
    finish();
}

static void pbx_holds(void)
{
    talking();
    w.pbx_holds = true;
    calls_sip_events()->reoffered(calls, w.sip_ctx, "SENDONLY");
    CHECK_STR(took(), "pbx-offer SENDONLY; answer OURS; call.hold c1 on; ");
    calls_sip_events()->reoffered(calls, w.sip_ctx, "SENDONLY");
    CHECK_STR(took(), "pbx-offer SENDONLY; answer OURS; ");
    w.pbx_holds = false;
    calls_sip_events()->reoffered(calls, w.sip_ctx, "SENDRECV");
    CHECK_STR(took(), "pbx-offer SENDRECV; answer OURS; call.hold c1 off; ");
    calls_sip_events()->reoffered(calls, w.sip_ctx, NULL);
    CHECK_STR(took(), "answer PLAIN; ");
    w.refuse_offered = ERR_NOTSUP;
    calls_sip_events()->reoffered(calls, w.sip_ctx, "VIDEO");
    CHECK_STR(took(), "pbx-offer VIDEO; refuse; ");
    finish();
}

static void digits(void)
{
    talking();
    says("call.dtmf", "{\"call\":\"c1\",\"digits\":\"12#\"}");
    CHECK_STR(took(), "event 12#; ");
    w.refuse_dtmf = ERR_NOTSUP;
    says("call.dtmf", "{\"call\":\"c1\",\"digits\":\"9A\"}");
    CHECK_STR(took(), "info 9; info A; ");
    says("call.dtmf", "{\"call\":\"c1\",\"digits\":\"5e\"}");
    says("call.dtmf", "{\"call\":\"c1\",\"digits\":\"\"}");
    CHECK_STR(took(), "");
    w.events->digit(w.media_ctx, '5');
    calls_sip_events()->digit(calls, w.sip_ctx, '*');
    CHECK_STR(took(), "call.dtmf c1 5; call.dtmf c1 *; ");
    finish();
}

static void restart(void)
{
    talking();
    w.events->state(w.media_ctx, MEDIA_RECONNECTING, &w.stats.path);
    CHECK_STR(took(), "call.media c1 reconnecting; call.restart c1; ");
    w.events->state(w.media_ctx, MEDIA_FAILED, &w.stats.path);
    CHECK_STR(took(), "");
    after(29);
    took();
    connected();
    CHECK(strncmp(took(), "call.media c1 connected relay relay", 35) == 0);
    after(29);
    CHECK(strstr(took(), "hangup") == NULL);
    w.events->state(w.media_ctx, MEDIA_FAILED, &w.stats.path);
    took();
    after(30);
    CHECK_STR(took(), "call.hangup c1 media_lost the media's path was lost, and no other was found in 30 s; hangup 480; ");
    CHECK(all_gone());
    finish();
}

static void statistics(void)
{
    struct calls_counts counts;
    talking();
    after(1);
    CHECK_STR(took(), "call.stats c1; ");
    w.stats.audio_s = 0.4;
    w.stats.browser.lost = 3;
    w.stats.pbx.jitter_s = 0.02;
    after(1);
    CHECK_STR(took(), "call.media c1 connected relay relay {\"audio_ms\":400,\"dtls_ms\":300,\"ice_ms\":200,\"signalling_ms\":0}; "
                      "call.stats c1; ");
    w.stats.browser.rtt_s = 0.25;
    after(1);
    CHECK_STR(took(), "call.stats c1 250.0; ");
    calls_read(calls, &counts);
    CHECK_INT(counts.lost[CALLS_BROWSER], 3);
    CHECK_INT(counts.setup[CALLS_ICE][2], 1);
    CHECK_INT(counts.setup[CALLS_DTLS][3], 1);
    CHECK_INT(counts.setup[CALLS_AUDIO][3], 1);
    CHECK(counts.jitter_s[CALLS_PBX] > 0.01);
    sip_ended("hangup", "");
    CHECK(all_gone());
    calls_read(calls, &counts);
    CHECK_INT(counts.lost[CALLS_BROWSER], 3);
    CHECK(counts.jitter_s[CALLS_PBX] <= 0);
    finish();
}

/* What came late, or twice, takes back what was lost of the call, but no counter. */
static void lost_never_falls(void)
{
    struct calls_counts counts;
    talking();
    w.stats.pbx.lost = 5;
    after(1);
    w.stats.pbx.lost = 4;
    after(1);
    calls_read(calls, &counts);
    CHECK_INT(counts.lost[CALLS_PBX], 5);
    sip_ended("hangup", "");
    calls_read(calls, &counts);
    CHECK_INT(counts.lost[CALLS_PBX], 5);
    finish();
}

/* How many calls tell statistics at this tick. */
static unsigned telling(void)
{
    unsigned n = 0;
    w.now_ms += 1000 / CALLS_TICKS_S;
    took();
    calls_tick(calls);
    for (const char *p = w.did; (p = strstr(p, "call.stats")); p++)
        n++;
    return n;
}

static void statistics_spread(void)
{
    char json[128];
    begin();
    for (unsigned i = 0; i < 20; i++) {
        snprintf(json, sizeof(json), "{\"call\":\"c%u\",\"from\":\"bob\",\"to\":\"4711\",\"sdp\":\"x\"}", i);
        says("call.incoming", json);
        connected();
        calls_sip_events()->answered(calls, w.sip_ctx, "PBXANSWER");
        took();
    }
    telling(); /* the first is told at once */
    for (unsigned i = 0; i < 3 * CALLS_TICKS_S; i++)
        CHECK_INT(telling(), 2);
    calls_set_connected(calls, false);
    for (unsigned i = 0; i < CALLS_TICKS_S; i++)
        CHECK_INT(telling(), 0);
    calls_set_connected(calls, true);
    CHECK_INT(telling(), 2); /* of now, not of then */
    finish();
}

/* ---- No path. ---- */

static void no_path(const char *offer, const char *ours, const char *want)
{
    char json[256];
    begin();
    snprintf(json, sizeof(json), "{\"call\":\"c1\",\"from\":\"bob\",\"to\":\"4711\",\"sdp\":\"%s\"}", offer);
    says("call.incoming", json);
    w.events->candidate(w.media_ctx, ours);
    took();
    after(7);
    CHECK_STR(took(), "");
    after(1);
    CHECK(strstr(w.did, "call.hangup c1 media_failed") != NULL);
    if (!strstr(w.did, want))
        printf("# %s\n", w.did);
    CHECK(strstr(w.did, want) != NULL);
    CHECK(strstr(took(), "hangup 480; ") != NULL);
    CHECK(all_gone());
    finish();
}

static void names_the_rule(void)
{
    begin();
    incoming();
    says("call.candidate", "{\"call\":\"c1\",\"candidate\":\"candidate:1 typ relay\"}");
    says("call.candidate", "{\"call\":\"c1\",\"candidate\":\"candidate:1\"}");
    w.events->candidate(w.media_ctx, "candidate:1 typ srflx");
    w.events->candidate(w.media_ctx, "candidate:1 typ prflx");
    after(8);
    CHECK(strstr(took(), "(firewall rule 4); bridge: srflx, prflx; phone: relay") != NULL);
    w.events->candidate(w.media_ctx, "candidate:1 typ host");
    calls_sip_events()->digit(calls, w.media_ctx, '1');
    CHECK_STR(took(), "");
    finish();
    no_path(AUDIO "a=candidate:1 typ relay\\r\\n", "candidate:2 typ host",
            "relay.example:3478 is blocked (firewall rule 4); bridge: host; phone: relay");
    if (!tap_failed)
        no_path("OFFER", "candidate:2 typ relay", "relay.example:3478 is blocked (firewall rule 5); bridge: relay; phone: none");
    if (!tap_failed)
        no_path(AUDIO "a=candidate:1 typ srflx\\r\\n", "candidate:2 typ host", "(firewall rule 4) and from the browser's (rule 5)");
    if (!tap_failed)
        no_path(AUDIO "a=candidate:1 typ relay\\r\\na=candidate:3 typ host\\r\\n", "candidate:2 typ relay",
                "both sides have relay candidates (bridge: relay; phone: host, relay)");
}

static void fails_at_once(void)
{
    ringing();
    says("call.accept", "{\"call\":\"c2\",\"sdp\":\"OFFER\"}");
    took();
    w.stats.path = (struct media_path){"relay", "host"};
    w.events->state(w.media_ctx, MEDIA_FAILED, &w.stats.path);
    CHECK_STR(took(),
              "call.hangup c2 media_failed ICE has a path (bridge: relay, phone: host), but the DTLS handshake over it has failed; "
              "hangup 480; ");
    w.events->state(w.media_ctx, MEDIA_CONNECTED, &w.stats.path); /* too late */
    CHECK_STR(took(), "");
    CHECK(all_gone());
    finish();
}

/* ---- All calls. ---- */

static void session_lost(void)
{
    talking();
    calls_lost(calls, "resumed too late");
    CHECK_STR(took(), "hangup 480; ");
    CHECK_INT(ended("bridge_lost"), 1);
    sip_ended("hangup", ""); /* was on its way */
    CHECK_STR(took(), "");
    CHECK(all_gone());
    finish();
}

static void resumed(const char *list)
{
    json_t *calls_there = json_loads(list, 0, NULL);

    calls_resumed(calls, calls_there);
    json_decref(calls_there);
}

static void session_resumed(void)
{
    talking();
    resumed("[{\"call\":\"c1\",\"state\":\"answered\"}]");
    CHECK_STR(took(), "");
    resumed("[{\"call\":\"c1\",\"state\":\"ringing\"}]"); /* our answer was lost */
    CHECK_STR(took(), "call.answered c1; ");
    resumed("[{\"call\":\"c1\",\"state\":\"answered\"},{\"call\":\"c2\",\"state\":\"offered\"}]"); /* its beginning was lost */
    CHECK_STR(took(), "call.hangup c2 pbx_error the call was lost with the bridge's connection; ");
    resumed("[{\"call\":\"c1\",\"state\":\"answered\"},{\"call\":\"probe\",\"state\":\"offered\"}]");
    CHECK_STR(took(), "");
    resumed("[]");
    CHECK_STR(took(), "");
    w.now_ms += CALLS_GONE_MS;
    calls_tick(calls);
    CHECK_STR(took(), "hangup 480; ");
    CHECK_INT(ended("hangup"), 1);
    CHECK(all_gone());
    finish();
}

static void shut_down(void)
{
    struct calls_counts counts;
    talking();
    calls_end(calls, "shutdown");
    CHECK_STR(took(), "call.hangup c1 shutdown; hangup 503; ");
    calls_end(calls, "shutdown");
    CHECK_STR(took(), "");
    invited();
    CHECK_STR(took(), "hangup 503; "); /* one that comes now */
    calls_read(calls, &counts);
    CHECK_INT(counts.now[CALLS_TALKING], 0);
    CHECK(all_gone());
    finish();
}

static void registrations(void)
{
    const char *why;
    begin();
    CHECK(!calls_line(calls, 0, &why));
    CHECK(calls_line(calls, 1, &why)); /* a trunk */
    CHECK(!calls_lines_answered(calls));
    calls_sip_events()->registered(calls, 0, true, NULL);
    CHECK(calls_line(calls, 0, &why));
    CHECK_STR(why, "");
    calls_sip_events()->registered(calls, 0, false, "403 Forbidden");
    CHECK(!calls_line(calls, 0, &why));
    CHECK_STR(why, "403 Forbidden");
    CHECK(calls_lines_answered(calls));
    finish();
}

/* Time goes on; was the status told? */
static bool tells(unsigned ms)
{
    w.now_ms += ms;
    calls_tell_status(calls);
    return strstr(took(), "status;") != NULL;
}

static json_int_t number(const char *object, const char *key)
{
    json_t *o = strcmp(object, "call") == 0 ? json_array_get(json_object_get(told, "calls"), 0)
                : object[0]                 ? json_object_get(told, object)
                                            : told;
    return json_is_integer(json_object_get(o, key)) ? json_integer_value(json_object_get(o, key)) : -1;
}

static const char *word(const char *object, const char *key)
{
    json_t *calls_told = json_object_get(told, "calls");
    return member(strcmp(object, "call") == 0 ? json_array_get(calls_told, 0) : json_object_get(told, object), key);
}

static void status(void)
{
    begin();
    CHECK(tells(0)); /* at once */
    CHECK_STR(word("pbx", "state"), "trying");
    CHECK_INT(number("pbx", "lines"), 3);
    CHECK_INT(number("pbx", "registered"), 2); /* the trunks */
    CHECK_INT(number("", "calls_now"), 0);
    CHECK(!tells(100000)); /* nothing has changed */
    calls_sip_events()->registered(calls, 0, false, "403 \x1b[2J\xff");
    CHECK(tells(2000));
    CHECK_STR(word("pbx", "state"), "failing");
    CHECK_STR(word("pbx", "reason"), "line 30: 403 ?[2J?");
    CHECK_INT(number("pbx", "since"), 1800001100); /* since when it fails */
    calls_sip_events()->registered(calls, 0, true, NULL);
    CHECK(!tells(1999)); /* not twice within two seconds */
    CHECK(tells(1));
    CHECK_STR(word("pbx", "state"), "registered");
    CHECK_STR(word("pbx", "reason"), "-");
    calls_forget_status(calls);
    CHECK(tells(0)); /* another session has not heard of it */
    finish();
}

static void status_of_calls(void)
{
    begin();
    CHECK(tells(0));
    incoming();
    CHECK(tells(2000));
    CHECK_INT(number("", "calls_now"), 1);
    CHECK_STR(word("call", "call"), "c1");
    CHECK_STR(word("call", "from"), "phone");
    CHECK_STR(word("call", "state"), "ringing");
    CHECK_STR(word("call", "path"), "-");
    CHECK_INT(number("call", "rtt_ms"), -1);
    w.stats.browser = (struct media_leg_stats){.packets_in = 100, .lost = 2, .jitter_s = 0.0034, .rtt_s = 0.0416};
    connected();
    calls_sip_events()->answered(calls, w.sip_ctx, "PBXANSWER");
    CHECK(tells(2000));
    CHECK_STR(word("call", "state"), "talking");
    CHECK_STR(word("call", "path"), "relayed");
    CHECK_STR(word("call", "local"), "relay");
    CHECK_INT(number("call", "since"), 1800001000);
    CHECK_INT(number("call", "received"), 100);
    CHECK_INT(number("call", "lost"), 2);
    CHECK_INT(number("call", "rtt_ms"), 42);
    CHECK_INT(number("call", "jitter_ms"), 3);
    w.stats.browser.packets_in = 200;
    CHECK(!tells(9999)); /* figures alone are no change */
    CHECK(tells(1));
    CHECK_INT(number("call", "received"), 200);
    w.stats.path = (struct media_path){"host", "srflx"};
    CHECK(tells(2000));
    CHECK_STR(word("call", "path"), "direct");
    sip_ended("hangup", "");
    CHECK(tells(2000));
    CHECK_INT(number("", "calls_now"), 0);
    CHECK_INT(number("ended", "hangup"), 1);
    CHECK(!tells(100000)); /* and no figures without a call */
    finish();
}

int main(void)
{
    static const struct tap_test tests[] = {
        {"a phone calls: answered at once, rings, media, answered, hung up by the PBX", phone_calls},
        {"early media of the PBX reach the phone, and its answer needs no second description", early_media},
        {"an answer without a description ends the call", no_description},
        {"an answer that can't be used ends the call, with the reason", bad_answer},
        {"busy, declined, no answer, unknown number, PBX down and errors reach the phone with their text", pbx_refuses},
        {"what can't begin says why: no line, no number, no codec, no room, no registration", cannot_begin},
        {"the phone gives up: CANCEL", phone_gives_up},
        {"the PBX calls: phones ring, one accepts, the PBX is answered when media have a path", pbx_calls},
        {"an INVITE without an offer gets ours, and its ACK answers it, or the call ends", late_offer},
        {"a call that nobody takes ends with the status that says why", nobody_takes_it},
        {"a start that the service refuses ends the PBX's call", start_refused},
        {"a call that the PBX gives up while the service is asked is hung up there once its id is known", cancelled_while_asked},
        {"an accept that can't be followed ends both sides, and a second one is nothing", accept_fails},
        {"the phone's hold is a re-INVITE, one at a time, tried again after glare", phone_holds},
        {"a hold before the answer waits for it", holds_early},
        {"the PBX's hold is told to the phone once", pbx_holds},
        {"digits both ways, by INFO where the PBX takes no events", digits},
        {"a path that is lost asks for an ICE restart, and ends the call after 30 s", restart},
        {"statistics each second; the time to the first audio once", statistics},
        {"what was lost never falls, whatever came late", lost_never_falls},
        {"many calls' statistics are spread over the second, and none waits for a service that is away", statistics_spread},
        {"media without a path end the call after 8 s, and name the firewall's rule", names_the_rule},
        {"a failed handshake ends the call at once, and says so", fails_at_once},
        {"a session that is lost ends the calls towards the PBX", session_lost},
        {"a session that is resumed: what it has no more ends, what it has not heard is told again, what is unknown is hung up",
         session_resumed},
        {"shutdown ends the calls at both ends, and none begins", shut_down},
        {"registrations are kept by line, and a trunk needs none", registrations},
        {"the status is told at once, when it changes, and to another session; what the PBX wrote is cleaned", status},
        {"the status has the calls: changes within 2 s, figures every 10", status_of_calls},
    };
    int rc = tap_main(tests, sizeof(tests) / sizeof(tests[0]));
    json_decref(told);
    return rc;
}
