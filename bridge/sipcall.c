/* Calls of bridge/sip. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/random.h"
#include "bridge/sipparts.h"
#include "bridge/siptext.h"

static const char SDP_TYPE[] = "application/sdp";

/* RFC 3261 section 14.1: how long to wait after a 491, in steps of 10 ms; whoever has begun the call waits longer. */
enum { GLARE_STEP_MS = 10, GLARE_THEIRS_MAX_MS = 2000, GLARE_OURS_MIN_MS = 2100, GLARE_OURS_MAX_MS = 4000 };

/* ---- A call's struct and its end. ---- */

void sipcall_release(struct sip_call *call)
{
    LIST_REMOVE(call, link);
    event_del(&call->ring);
    event_del(&call->again);
    if (*call->update)
        nua_destroy_event(call->update);
    if (call->nh) {
        nua_handle_bind(call->nh, NULL);
        nua_handle_destroy(call->nh);
    }
    free(call->sdp);
    free(call->offer);
    free(call);
}

static void end(struct sip_call *call, const char *reason, int status, const char *text)
{
    struct sip_end told = {.reason = reason, .status = status};

    event_del(&call->ring);
    event_del(&call->again);
    if (call->dead)
        return;
    call->dead = true;
    if (call->sip->silent)
        return;
    if (status)
        snprintf(told.text, sizeof(told.text), "%d %.200s", status, text ? text : "");
    call->sip->events.ended(call->sip->ctx, call->ctx, &told);
}

/* The SDP of a message, as text (free it); NULL: none. */
static char *sdp_of(const sip_t *sip)
{
    const sip_payload_t *body = sip ? sip->sip_payload : NULL;
    const sip_content_type_t *type = sip ? sip->sip_content_type : NULL;

    if (!body || !body->pl_len || !type || !type->c_type || strcasecmp(type->c_type, SDP_TYPE) != 0)
        return NULL;
    return strndup(body->pl_data, body->pl_len);
}

static int keep_sdp(struct sip_call *call, const char *sdp)
{
    char *copy = strdup(sdp);

    if (!copy)
        return ERR_NOMEM;
    free(call->sdp);
    call->sdp = copy;
    return 0;
}

/* ---- What the owner does. ---- */

/* BYE or CANCEL, or nothing more than waiting for an end that is on its way. */
static void tear_down(struct sip_call *call, int status)
{
    if (call->incoming && !call->answered)
        nua_respond(call->nh, status, siptext_phrase(status), TAG_END());
    else if (!call->answered)
        nua_cancel(call->nh, TAG_END());
    else
        nua_bye(call->nh, TAG_END());
}

void sip_hangup(struct sip_call *call, int status)
{
    event_del(&call->ring);
    event_del(&call->again);
    call->dead = true;
    tear_down(call, status >= 300 && status < 700 ? status : 480);
}

static void on_no_answer(evutil_socket_t fd, short what, void *ctx)
{
    struct sip_call *call = ctx;

    (void)fd;
    (void)what;
    tear_down(call, 480);
    end(call, "no_answer", 0, NULL);
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
    struct sip_call *call = ctx;

    (void)fd;
    (void)what;
    call->sip->events.crossed(call->sip->ctx, call->ctx);
}

static void await_glare(struct sip_call *call)
{
    uint32_t random, min = call->incoming ? 0 : GLARE_OURS_MIN_MS, max = call->incoming ? GLARE_THEIRS_MAX_MS : GLARE_OURS_MAX_MS,
                     ms;

    random_bytes(&random, sizeof(random));
    ms = min + random % ((max - min) / GLARE_STEP_MS + 1) * GLARE_STEP_MS;
    event_add(&call->again, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000L});
}

static int new_call(struct sip_call **out, struct sip *s, unsigned line, bool incoming)
{
    struct sip_call *call = calloc(1, sizeof(*call));

    *out = NULL;
    if (!call)
        return ERR_NOMEM;
    call->peg.kind = SIP_PEG_CALL;
    call->sip = s;
    call->line = line;
    call->incoming = incoming;
    evtimer_assign(&call->ring, s->config.base, on_no_answer, call);
    evtimer_assign(&call->again, s->config.base, on_again, call);
    LIST_INSERT_HEAD(&s->calls, call, link);
    *out = call;
    return 0;
}

int sip_invite(struct sip_call **out, struct sip *s, unsigned line, const char *to, const char *sdp, const char *call_id,
               void *call_ctx)
{
    char user[SIPTEXT_USER_MAX], uri[SIP_URI_MAX], from[SIP_URI_MAX], header[SIP_TEXT_MAX] = "";
    struct sip_call *call;
    int err;

    *out = NULL;
    if (line >= s->nlines || (s->lines[line].password && !s->lines[line].registered))
        return ERR_NOTCONN;
    if ((err = siptext_user(user, to)) != 0)
        return err;
    sipparts_uri(s, uri, user);
    sipparts_uri(s, from, s->lines[line].user);
    if (call_id && siptext_token(call_id))
        snprintf(header, sizeof(header), "X-Turnpike-Call: %s", call_id);
    if ((err = new_call(&call, s, line, false)) != 0)
        return err;
    call->ctx = call_ctx;
    call->nh = nua_handle(s->nua, &call->peg, NUTAG_URL(uri), SIPTAG_TO_STR(uri), SIPTAG_FROM_STR(from), TAG_END());
    if (!call->nh || keep_sdp(call, sdp)) {
        sipcall_release(call);
        return ERR_NOMEM;
    }
    call->offering = true;
    nua_invite(call->nh, NUTAG_M_USERNAME(s->lines[line].user), TAG_IF(*header, SIPTAG_HEADER_STR(header)),
               SIPTAG_CONTENT_TYPE_STR(SDP_TYPE), SIPTAG_PAYLOAD_STR(sdp), TAG_END());
    event_add(&call->ring, &(struct timeval){.tv_sec = s->config.ring_s});
    *out = call;
    return 0;
}

void sip_set_ctx(struct sip_call *call, void *call_ctx)
{
    call->ctx = call_ctx;
}

int sip_ring(struct sip_call *call)
{
    if (!call->incoming || call->answered)
        return ERR_INVAL;
    nua_respond(call->nh, 180, "Ringing", TAG_END());
    return 0;
}

int sip_answer(struct sip_call *call, const char *sdp)
{
    if (!call->asked)
        return ERR_INVAL;
    if (keep_sdp(call, sdp))
        return ERR_NOMEM;
    call->asked = false;
    if (*call->update) {
        nua_respond(call->nh, 200, "OK", NUTAG_WITH_SAVED(call->update), SIPTAG_CONTENT_TYPE_STR(SDP_TYPE), SIPTAG_PAYLOAD_STR(sdp),
                    TAG_END());
        nua_destroy_event(call->update);
        return 0;
    }
    call->answered = true;
    nua_respond(call->nh, 200, "OK", NUTAG_M_USERNAME(call->sip->lines[call->line].user), SIPTAG_CONTENT_TYPE_STR(SDP_TYPE),
                SIPTAG_PAYLOAD_STR(sdp), TAG_END());
    return 0;
}

int sip_refuse(struct sip_call *call)
{
    if (!call->asked || !call->confirmed)
        return ERR_INVAL;
    call->asked = false;
    if (*call->update) {
        nua_respond(call->nh, 488, siptext_phrase(488), NUTAG_WITH_SAVED(call->update), TAG_END());
        nua_destroy_event(call->update);
    } else {
        nua_respond(call->nh, 488, siptext_phrase(488), TAG_END());
    }
    return 0;
}

int sip_reinvite(struct sip_call *call, const char *sdp)
{
    char *offer;

    if (!call->confirmed || call->offering || call->asked)
        return ERR_AGAIN;
    offer = strdup(sdp);
    if (!offer)
        return ERR_NOMEM;
    free(call->offer);
    call->offer = offer;
    call->offering = true;
    nua_invite(call->nh, SIPTAG_CONTENT_TYPE_STR(SDP_TYPE), SIPTAG_PAYLOAD_STR(sdp), TAG_END());
    return 0;
}

int sip_info_digit(struct sip_call *call, char digit)
{
    char body[48];

    if (!call->confirmed)
        return ERR_NOTCONN;
    snprintf(body, sizeof(body), "Signal=%c\r\nDuration=160\r\n", digit);
    nua_info(call->nh, SIPTAG_CONTENT_TYPE_STR("application/dtmf-relay"), SIPTAG_PAYLOAD_STR(body), TAG_END());
    return 0;
}

/* ---- What the PBX does. ---- */

/* The line that is called: by the request's target, which is our Contact, or by To. */
static bool find_line(const struct sip *s, const sip_t *sip, unsigned *line)
{
    const char *users[] = {sip->sip_request ? sip->sip_request->rq_url->url_user : NULL,
                           sip->sip_to ? sip->sip_to->a_url->url_user : NULL};

    for (size_t u = 0; u < sizeof(users) / sizeof(users[0]); u++) {
        for (unsigned i = 0; users[u] && i < s->nlines; i++) {
            if (strcmp(users[u], s->lines[i].user) == 0) {
                *line = i;
                return true;
            }
        }
    }
    return false;
}

static void refuse(nua_handle_t *nh, int status)
{
    nua_respond(nh, status, siptext_phrase(status), TAG_END());
    nua_handle_destroy(nh);
}

void sipcall_invited(struct sip *s, nua_handle_t *nh, const sip_t *sip)
{
    const sip_from_t *caller = sip->sip_from;
    const char *user = caller && caller->a_url->url_user ? caller->a_url->url_user : "anonymous";
    char name[SIPTEXT_NAME_MAX], from[SIPTEXT_NAME_MAX];
    struct sip_call *call;
    unsigned line;
    char *sdp;

    if (!find_line(s, sip, &line)) {
        refuse(nh, 404);
        return;
    }
    if (new_call(&call, s, line, true)) {
        refuse(nh, 500);
        return;
    }
    siptext_name(name, caller && caller->a_display ? caller->a_display : "");
    siptext_name(from, user);
    call->nh = nh;
    call->asked = true;
    sdp = sdp_of(sip);
    call->offerless = !sdp;
    nua_handle_bind(nh, &call->peg);
    s->events.invited(s->ctx, call, line, from, name, sdp);
    free(sdp);
}

static void ack(struct sip_call *call, bool with_sdp)
{
    if (with_sdp && call->sdp)
        nua_ack(call->nh, SIPTAG_CONTENT_TYPE_STR(SDP_TYPE), SIPTAG_PAYLOAD_STR(call->sdp), TAG_END());
    else
        nua_ack(call->nh, TAG_END());
}

/* A 200 to an INVITE of ours, or of sofia-sip's: it refreshes a session (RFC 4028) without an offer, if the PBX knows no UPDATE. */
static void accepted(struct sip_call *call, const sip_t *sip)
{
    char *sdp = sdp_of(sip);
    bool first = !call->answered, ours = call->offering;

    ack(call, !ours && sdp);
    call->answered = true;
    call->offering = false;
    if (call->offer) { /* only now it holds */
        free(call->sdp);
        call->sdp = call->offer;
        call->offer = NULL;
    }
    event_del(&call->ring);
    if (call->dead) {
        if (first)
            nua_bye(call->nh, TAG_END()); /* it has crossed our CANCEL */
    } else if (first) {
        call->confirmed = true;
        call->sip->events.answered(call->sip->ctx, call->ctx, sdp);
    } else if (ours) {
        call->sip->events.reanswered(call->sip->ctx, call->ctx, sdp);
    }
    free(sdp);
}

static void refused(struct sip_call *call, int status)
{
    call->offering = false;
    free(call->offer);
    call->offer = NULL;
    if (call->dead)
        return;
    if (status == 491)
        await_glare(call);
    else
        call->sip->events.reanswered(call->sip->ctx, call->ctx, NULL);
}

static void on_invite_answer(struct sip_call *call, int status, const char *phrase, const sip_t *sip)
{
    struct addr source;
    char *sdp;

    if (status > 100 && status < 200 && !call->dead && !call->answered) {
        sdp = sdp_of(sip);
        call->sip->events.ringing(call->sip->ctx, call->ctx, sdp);
        free(sdp);
    } else if (status >= 200 && status < 300) {
        accepted(call, sip);
    } else if (status >= 300 && !call->answered) {
        end(call, siptext_reason(status, status != 407 && !sipparts_source(call->sip, &source)), status, phrase);
    } else if (status >= 300 && call->offering) {
        refused(call, status);
    }
}

static void on_reinvite(struct sip_call *call, const sip_t *sip)
{
    char *sdp = sdp_of(sip);

    call->asked = true;
    call->offerless = !sdp;
    if (!sdp && call->sdp) /* they ask for an offer: what we have sent last holds */
        (void)sip_answer(call, strdupa(call->sdp));
    else
        call->sip->events.reoffered(call->sip->ctx, call->ctx, sdp);
    free(sdp);
}

static void on_update(struct sip_call *call, const sip_t *sip)
{
    struct sip *s = call->sip;
    char *sdp = sdp_of(sip);

    if (!sdp) {
        nua_respond(call->nh, 200, "OK", NUTAG_WITH_THIS(s->nua), TAG_END());
    } else if (call->asked || call->offering || !call->confirmed) {
        nua_respond(call->nh, 491, "Request Pending", NUTAG_WITH_THIS(s->nua), TAG_END());
    } else if (nua_save_event(s->nua, call->update)) {
        call->asked = true;
        call->sip->events.reoffered(s->ctx, call->ctx, sdp);
    } else {
        nua_respond(call->nh, 500, siptext_phrase(500), NUTAG_WITH_THIS(s->nua), TAG_END());
    }
    free(sdp);
}

/* The ACK of a 200 of ours. */
static void on_ack(struct sip_call *call, const sip_t *sip)
{
    char *sdp = call->offerless ? sdp_of(sip) : NULL;

    if (!call->confirmed) {
        call->confirmed = true;
        call->sip->events.answered(call->sip->ctx, call->ctx, sdp);
    } else if (sdp) {
        call->sip->events.reanswered(call->sip->ctx, call->ctx, sdp);
    }
    free(sdp);
}

static void on_info(struct sip_call *call, const sip_t *sip)
{
    const sip_payload_t *body = sip ? sip->sip_payload : NULL;
    const sip_content_type_t *type = sip ? sip->sip_content_type : NULL;
    char digit = body && type && type->c_type ? siptext_digit(type->c_type, body->pl_data, body->pl_len) : '\0';

    if (digit)
        call->sip->events.digit(call->sip->ctx, call->ctx, digit);
}

/* sofia-sip has let go of the call, for whatever reason: the struct goes with it. */
static void on_terminated(struct sip_call *call, int status, const char *phrase)
{
    if (call->answered && status < 300)
        end(call, "hangup", 0, NULL);
    else
        end(call, call->answered && status == 408 ? "pbx_down" : siptext_reason(status, false), status, phrase);
    sipcall_release(call);
}

void sipcall_event(struct sip_call *call, nua_event_t event, int status, const char *phrase, const sip_t *sip)
{
    bool answer = !nua_event_is_incoming_request(event) && event >= nua_r_set_params;

    if (answer && status == SIP_NO_CHALLENGE) {
        status = 407;
        phrase = "the PBX refuses the password";
    } else if (answer && (status == 401 || status == 407) &&
               sipparts_authenticate(call->sip, call->line, &call->challenges, call->nh, sip)) {
        return;
    }
    if (answer && status >= 200 && status < 300)
        call->challenges = 0;
    if (event == nua_i_terminated) {
        on_terminated(call, status, phrase);
    } else if (event == nua_r_invite) {
        on_invite_answer(call, status, phrase, sip);
    } else if (event == nua_i_bye) {
        end(call, "hangup", 0, NULL);
    } else if (call->dead) {
        if (event == nua_i_update)
            nua_respond(call->nh, 481, "Call Does Not Exist", NUTAG_WITH_THIS(call->sip->nua), TAG_END());
    } else if (event == nua_i_invite) {
        on_reinvite(call, sip);
    } else if (event == nua_i_update) {
        on_update(call, sip);
    } else if (event == nua_i_ack) {
        on_ack(call, sip);
    } else if (event == nua_i_info) {
        on_info(call, sip);
    }
}
