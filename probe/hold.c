/* The fourth step of a WebSocket: signed in at the connect service, and held while nothing but signs of life passes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "probe/hold.h"
#include "probe/trial.h"

enum {
    IDLE_S = 65,      /* longer than the minute after which many a proxy or firewall cuts */
    HELLO_MS = 15000, /* of the client: 10 s to open, and some for the answer */
};

struct hold {
    struct trial *trial;           /* NULL: its step is over */
    struct connect_client *client; /* NULL: the connection is somebody else's, and */
    hold_notify *notify;           /* he says what is to be said */
    void *notify_ctx;
    bool up;
    unsigned idle_s; /* that it is to be held */
    uint64_t up_ms;
    char why[CONNECT_CLIENT_TEXT_MAX]; /* it is not up yet */
    json_t *call;                      /* the last that another end has begun; owned */
    char failed[MARK_FAILED_MAX];      /* of the last call that was a probe's */
    hold_message *message;
    void *ctx;
};

/* What the softphone uses at the relay. */
static void take_credentials(struct probe *p, const json_t *ice)
{
    const json_t *server;
    size_t i;

    p->signed_in = true;
    json_array_foreach(json_object_get(ice, "iceServers"), i, server)
    {
        const char *user = json_string_value(json_object_get(server, "username"));
        const char *password = json_string_value(json_object_get(server, "credential"));

        if (!user || !password || p->ice_user)
            continue;
        p->ice_user = strdup(user);
        p->ice_password = strdup(password);
    }
}

static void on_up(void *ctx, const json_t *hello, bool resumed)
{
    struct hold *h = ctx;
    struct trial *t = h->trial;
    unsigned asked;

    (void)resumed;
    h->up = true;
    if (!t)
        return; /* back again */
    take_credentials(t->probe, json_object_get(hello, "ice"));
    asked = t->probe->config->idle_s;
    h->idle_s = asked ? asked : trial_ms(t, IDLE_S, 0);
    h->up_ms = clock_now().ms;
    trial_wait(t, h->idle_s * 1000);
}

static void on_down(void *ctx, const char *why, bool lost)
{
    struct hold *h = ctx;

    (void)lost;
    if (!h->trial)
        return; /* whoever talks over it has a deadline */
    if (h->up)
        trial_fail(h->trial, CODE_WS_IDLE_KILLED, "the WebSocket was cut after %.0f s of nothing but signs of life: %s",
                   (double)(clock_now().ms - h->up_ms) / 1e3, why);
    else if (connect_client_is_refused(h->client))
        trial_fail(h->trial, CODE_TOKEN_REFUSED, "%s", why);
    else
        snprintf(h->why, sizeof(h->why), "%s", why); /* it is tried again until the time is up */
}

static int keep_call(struct hold *h, const json_t *incoming)
{
    struct mark mark;

    if (mark_read(&mark, incoming))
        snprintf(h->failed, sizeof(h->failed), "%s", mark.failed);
    json_decref(h->call);
    h->call = json_deep_copy(incoming);
    return h->call ? 0 : ERR_NOMEM;
}

static bool is_call(const struct hold *h, const json_t *params)
{
    return h->call && json_equal(json_object_get(h->call, "call"), json_object_get(params, "call"));
}

void hold_take(struct hold *h, const char *method, const json_t *params)
{
    if (strcmp(method, "call.incoming") == 0) {
        (void)keep_call(h, params);
    } else if (strcmp(method, "call.ended") == 0 && is_call(h, params)) {
        json_decref(h->call);
        h->call = NULL;
    }
    if (h->message)
        h->message(h->ctx, method, params);
}

static void on_message(void *ctx, const char *method, const json_t *params)
{
    hold_take(ctx, method, params);
}

const json_t *hold_call(const struct hold *h)
{
    return h->call;
}

void hold_listen(struct hold *h, hold_message *message, void *ctx)
{
    h->message = message;
    h->ctx = ctx;
}

const char *hold_failed(const struct hold *h)
{
    return h->failed;
}

int hold_say(struct hold *h, const char *method, json_t *params)
{
    return h->client ? connect_client_notify(h->client, method, params) : h->notify(h->notify_ctx, method, params);
}

int hold_ask(struct hold *h, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx)
{
    if (h->client)
        return connect_client_request(h->client, method, params, cb, cb_ctx);
    json_decref(params);
    return ERR_NOTCONN;
}

void hold_hang_up(struct hold *h, const char *call, const char *reason, const char *text)
{
    json_t *params;

    if (!h->client && !h->call)
        return;
    params = json_pack("{s:s,s:s}", "call", call, "reason", reason);
    if (params && text)
        json_object_set_new(params, "text", json_string(text));
    (void)hold_say(h, "call.hangup", params);
}

const char *hold_ending(const json_t *params, char out[static MARK_FAILED_MAX])
{
    const char *text = json_string_value(json_object_get(params, "text"));

    if (!text || !*text)
        text = json_string_value(json_object_get(params, "reason"));
    if (!text)
        text = "";
    return mark_clean(out, text, strlen(text));
}

int hold_borrow(struct hold **out, hold_notify *notify, void *ctx, const json_t *incoming)
{
    struct hold *h = calloc(1, sizeof(*h));
    int err = ERR_NOMEM;

    if (h) {
        h->notify = notify;
        h->notify_ctx = ctx;
        err = keep_call(h, incoming);
    }
    if (err)
        hold_free(&h);
    *out = h;
    return err;
}

void hold_free(struct hold **h)
{
    struct hold *hold = *h;

    *h = NULL;
    if (!hold)
        return;
    connect_client_free(&hold->client);
    json_decref(hold->call);
    free(hold);
}

static void begin(struct trial *t)
{
    static const struct connect_client_events EVENTS = {on_up, on_down, on_message};
    const struct probe_config *c = t->probe->config;
    struct dialurl url = {.tls = true, .port = t->line->port};
    char authority[DIAL_AUTHORITY_MAX], text[DIAL_AUTHORITY_MAX + 32], why[CONNECT_CLIENT_TEXT_MAX];
    struct connect_client_config config = {.base = t->probe->base,
                                           .dns = t->probe->dns,
                                           .url = text,
                                           .ca_file = c->ca_file,
                                           .proxy = c->proxy,
                                           .role = c->both && c->role == RULES_SERVER ? "bridge" : "phone",
                                           .name = "turnpike-probe",
                                           .username = c->token_user,
                                           .password = c->token_password};
    struct hold *h;

    if (!c->token_user) {
        if (c->signed_in)
            trial_note(t, "%s", c->signed_in);
        else if (!c->quick)
            trial_note(t, "idle time not tried without a token");
        trial_pass(t);
        return;
    }
    snprintf(url.host, sizeof(url.host), "%s", t->line->host);
    snprintf(text, sizeof(text), "wss://%s/connect", dialurl_authority(&url, true, authority));
    t->state = h = calloc(1, sizeof(*h));
    if (!h) {
        trial_broken(t, ERR_NOMEM);
        return;
    }
    h->trial = t;
    if (connect_client_new(&h->client, &config, &EVENTS, h, why))
        trial_fail(t, CODE_INTERNAL, "the connect service's client can't start: %s", why);
    else
        trial_wait(t, HELLO_MS);
}

static void late(struct trial *t)
{
    struct hold *h = t->state;

    if (!h->up) {
        trial_fail(t, CODE_HTTP_REFUSED, "%s", *h->why ? h->why : "the connect service has not answered our hello");
        return;
    }
    t->line->measures.idle_s = h->idle_s;
    if (h->idle_s)
        trial_note(t, "idle %u s survived", h->idle_s);
    trial_pass(t);
}

/* It stays to the end of the run: what the service hands out for the relay ends with it, and the other end is found by it. */
static void end(struct trial *t)
{
    struct hold *h = t->state;

    if (h && h->up && !t->over && !t->probe->held) {
        h->trial = NULL;
        t->probe->held = h;
        return;
    }
    hold_free(&h);
}

const struct step HOLD_STEP = {REPORT_AUTH, RULES_WEBSOCKET, begin, late, end};
