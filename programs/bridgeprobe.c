#include "programs/bridgeprobe.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/dial.h"
#include "connect/dialurl.h"
#include "probe/hold.h"
#include "probe/mark.h"
#include "probe/probe.h"
#include "probe/reportjson.h"
#include "probe/way.h"

enum {
    ID_MAX = 65,     /* bytes of an id that the service gives, and its NUL */
    WORDS_MAX = 128, /* bytes of a sentence, and its NUL */
    SECRET_MAX = 256,
    RELAY_RULE = 4, /* of rules_five: the bridge's way to the relay */
};

/* A probe at this place, with what its configuration points to. */
struct run {
    struct bridgeprobe *owner;
    char id[ID_MAX];
    struct probe *probe;
    struct probe_config config;
    struct report report;
    struct hold *hold; /* the call that is answered; NULL: it is no answer to one */
    char relay[CALLS_RELAY_MAX], user[SECRET_MAX], password[SECRET_MAX];
    char signed_in[WORDS_MAX];
};

struct bridgeprobe {
    struct event_base *base;
    const struct bridgeconfig *config;
    struct bridge *bridge;
    struct dialurl connect;
    struct ssl_ctx_st *tls; /* read at the start, with ws:// too: no call waits for that later */
    struct run *own;        /* the rules of this place; NULL: none goes on */
    struct run *far;        /* the other end of a probe's; likewise */
};

/* ---- A run. ---- */

static void run_free(struct run **run)
{
    struct run *r = *run;

    *run = NULL;
    if (!r)
        return;
    probe_free(&r->probe);
    hold_free(&r->hold);
    explicit_bzero(r, sizeof(*r));
    free(r);
}

/* "relay.example:3478", "[2001:db8::1]:3478": taken apart in place. */
static void set_relay(struct run *r)
{
    struct probe_host *h = &r->config.host[RULES_RELAY];
    char ip[ADDR_TEXT_MAX], *colon;
    struct addr a;

    h->name = r->relay;
    if (addr_parse(&a, r->relay) == 0) {
        h->port = a.port;
        snprintf(r->relay, sizeof(r->relay), "%s", addr_ip_text(&a, ip));
    } else if ((colon = strrchr(r->relay, ':')) != NULL) {
        h->port = (uint16_t)strtoul(colon + 1, NULL, 10);
        *colon = '\0';
    }
}

static void set_connect(struct run *r)
{
    const struct dialurl *url = &r->owner->connect;
    struct probe_host *h = &r->config.host[RULES_CONNECT];

    if (url->tls)
        *h = (struct probe_host){.name = url->host, .port = url->port};
    else
        h->missing = "the connect service is on this host itself (ws://), and no firewall is between";
}

/* Where the bridge goes, with what it has. NULL, and `*why`: it can't be. */
static struct run *run_new(struct bridgeprobe *p, const char *id, bool quick, const char **why)
{
    struct bridge_relay relay;
    struct run *r = NULL;

    if (!bridge_relay(p->bridge, &relay))
        *why = "the connect service has handed out no relay to the bridge";
    else if (!(r = calloc(1, sizeof(*r))))
        *why = err_str(ERR_NOMEM);
    if (!r)
        return NULL;
    r->owner = p;
    snprintf(r->id, sizeof(r->id), "%s", id);
    snprintf(r->relay, sizeof(r->relay), "%s", relay.address);
    snprintf(r->user, sizeof(r->user), "%s", relay.user);
    snprintf(r->password, sizeof(r->password), "%s", relay.password);
    snprintf(r->signed_in, sizeof(r->signed_in), "the bridge's own WebSocket has been up for %u s", bridge_connected_s(p->bridge));
    r->config = (struct probe_config){.rules = rules_five(),
                                      .role = RULES_SERVER,
                                      .user = r->user,
                                      .password = r->password,
                                      .signed_in = r->signed_in,
                                      .tls = p->tls,
                                      .proxy = p->config->connect_proxy,
                                      .relay_only = p->config->force_relay,
                                      .quick = quick,
                                      .ctx = r};
    set_relay(r);
    set_connect(r);
    return r;
}

/* ---- probe.start: the rules of this place. ---- */

static void tell_error(struct bridgeprobe *p, const char *id, const char *why)
{
    LOG(LOG_WARNING, "probe_failed", LOG_STR("probe", id), LOG_STR("reason", why));
    (void)bridge_notify(p->bridge, "probe.done", json_pack("{s:s,s:s}", "probe", id, "error", why));
}

static void on_progress(void *ctx, const struct report *report, size_t done)
{
    struct run *r = ctx;

    (void)bridge_notify(r->owner->bridge, "probe.progress",
                        json_pack("{s:s,s:i,s:i}", "probe", r->id, "done", (int)done, "of", (int)report->n));
}

static void on_done(void *ctx)
{
    struct run *r = ctx;
    json_t *report = reportjson_of(&r->report);

    LOG(LOG_INFO, "probe_done", LOG_STR("probe", r->id), LOG_STR("verdict", report_verdict_name(report_worst(&r->report))),
        LOG_INT("ms", r->report.took_ms));
    if (report)
        (void)bridge_notify(r->owner->bridge, "probe.done", json_pack("{s:s,s:o}", "probe", r->id, "report", report));
    else
        tell_error(r->owner, r->id, err_str(ERR_NOMEM));
    run_free(&r->owner->own);
}

static void start(struct bridgeprobe *p, const json_t *params)
{
    const char *id = json_string_value(json_object_get(params, "probe")), *why = NULL;
    char error[PROBE_ERROR_MAX];

    if (!id || !*id || strlen(id) >= ID_MAX || (p->own && strcmp(p->own->id, id) == 0))
        return; /* nobody could be told */
    if (p->own) {
        tell_error(p, id, "the bridge runs another probe already");
        return;
    }
    p->own = run_new(p, id, json_is_true(json_object_get(params, "quick")), &why);
    if (p->own) {
        p->own->config.progress = on_progress;
        if (probe_new(&p->own->probe, p->base, &p->own->config, &p->own->report, on_done, p->own, error))
            why = error;
    }
    if (why) {
        tell_error(p, id, why);
        run_free(&p->own);
    } else {
        LOG(LOG_INFO, "probe_started", LOG_STR("probe", id));
    }
}

/* ---- A call of a probe: its other end, without a telephone. ---- */

static void refuse(struct bridgeprobe *p, const char *call, const char *reason, const char *text)
{
    LOG(LOG_INFO, "probe_call_refused", LOG_STR("call", call), LOG_STR("reason", reason), LOG_STR("text", text));
    (void)bridge_notify(p->bridge, "call.hangup", json_pack("{s:s,s:s,s:s}", "call", call, "reason", reason, "text", text));
}

static int notify(void *ctx, const char *method, json_t *params)
{
    struct bridgeprobe *p = ctx;

    return bridge_notify(p->bridge, method, params);
}

/* `why` is the text where nothing was found: a rule passes until it fails. */
static void log_end(const struct run *r, const char *why)
{
    const struct report_line *l = r->report.line;
    bool found = l->verdict != REPORT_PASS || l->measures.sent;

    LOG(LOG_INFO, "probe_call_ended", LOG_STR("call", r->id), LOG_STR("verdict", found ? report_verdict_name(l->verdict) : "none"),
        LOG_STR("text", found ? l->evidence : why));
}

static void on_answered(void *ctx)
{
    struct run *r = ctx;

    log_end(r, r->report.line->evidence);
    if (hold_call(r->hold))
        hold_hang_up(r->hold, r->id, "hangup", NULL);
    run_free(&r->owner->far);
}

/* `*why`: it can't be. */
static void begin_answer(struct bridgeprobe *p, const char *call, const json_t *params, bool quick,
                         char why[static PROBE_ERROR_MAX])
{
    const char *missing = "";
    struct run *r = p->far = run_new(p, call, quick, &missing);
    int err;

    snprintf(why, PROBE_ERROR_MAX, "%s", missing);
    if (!r)
        return;
    r->config.both = true;
    r->config.only = RELAY_RULE;
    err = hold_borrow(&r->hold, notify, p, params);
    r->config.answer = r->hold;
    if (err)
        snprintf(why, PROBE_ERROR_MAX, "%s", err_str(err));
    else
        (void)probe_new(&r->probe, p->base, &r->config, &r->report, on_answered, r, why);
}

static void answer(struct bridgeprobe *p, const char *call, const json_t *params)
{
    char why[PROBE_ERROR_MAX];
    struct mark mark;

    if (p->far) {
        refuse(p, call, "busy", "the bridge is the other end of another probe already");
        return;
    }
    if (!mark_read(&mark, params) || *mark.failed) {
        refuse(p, call, "declined", *mark.failed ? "it has failed by itself" : "the description of the probe can't be read");
        return;
    }
    begin_answer(p, call, params, mark.packets <= WAY_QUICK_PACKETS, why);
    if (*why) {
        refuse(p, call, "media_failed", why);
        run_free(&p->far);
    } else {
        LOG(LOG_INFO, "probe_call_started", LOG_STR("call", call), LOG_INT("packets", mark.packets));
    }
}

/* The call is over, wherever the run is: whoever calls next does not hear that the bridge is busy. */
static void end_answer(struct bridgeprobe *p, const char *why)
{
    log_end(p->far, why);
    run_free(&p->far);
}

static void take(struct bridgeprobe *p, const char *method, const json_t *params)
{
    char why[MARK_FAILED_MAX];

    hold_take(p->far->hold, method, params);
    if (strcmp(method, "call.ended") == 0)
        end_answer(p, hold_ending(params, why));
}

/* ---- The life of it. ---- */

bool bridgeprobe_has_call(const struct bridgeprobe *p, const char *id)
{
    return p->far && strcmp(p->far->id, id) == 0;
}

void bridgeprobe_lost(struct bridgeprobe *p)
{
    static const char WHY[] = "the session at the connect service is over";

    if (p->own)
        LOG(LOG_WARNING, "probe_failed", LOG_STR("probe", p->own->id), LOG_STR("reason", WHY));
    run_free(&p->own);
    if (p->far)
        end_answer(p, WHY);
}

bool bridgeprobe_message(struct bridgeprobe *p, const char *method, const json_t *params)
{
    const char *call = json_string_value(json_object_get(params, "call"));

    if (strcmp(method, "probe.start") == 0)
        start(p, params);
    else if (call && bridgeprobe_has_call(p, call))
        take(p, method, params);
    else if (call && *call && strlen(call) < ID_MAX && strcmp(method, "call.incoming") == 0 && mark_is(params))
        answer(p, call, params);
    else
        return false;
    return true;
}

int bridgeprobe_new(struct bridgeprobe **out, struct event_base *base, const struct bridgeconfig *config, struct bridge *bridge)
{
    struct bridgeprobe *p = calloc(1, sizeof(*p));
    const char *why;
    int err = p ? dialurl_service(&p->connect, config->connect_url, &why) : ERR_NOMEM;

    if (!err)
        err = dial_tls(&p->tls, p->connect.tls ? config->connect_ca : NULL);
    if (err) {
        bridgeprobe_free(&p);
        return err;
    }
    p->base = base;
    p->config = config;
    p->bridge = bridge;
    *out = p;
    return 0;
}

void bridgeprobe_free(struct bridgeprobe **probe)
{
    struct bridgeprobe *p = *probe;

    *probe = NULL;
    if (!p)
        return;
    if (p->own)
        tell_error(p, p->own->id, "the bridge was stopped");
    if (p->far)
        hold_hang_up(p->far->hold, p->far->id, "shutdown", NULL);
    run_free(&p->own);
    run_free(&p->far);
    SSL_CTX_free(p->tls);
    free(p);
}
