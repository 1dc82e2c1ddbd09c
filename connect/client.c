#include "connect/client.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"
#include "connect/dial.h"
#include "connect/dialhead.h"
#include "connect/jsontext.h"

enum {
    REQUESTS_MAX = 1000,
    WAITING_MAX = 1000,          /* notifications while the connection is lost, and */
    WAITING_BYTES_MAX = 1 << 20, /* their bytes: a hundred descriptions */
    RETRY_MIN_MS = 500,
    RETRY_MAX_MS = 10000,
    RETRY_DOUBLINGS = 5, /* 0.5, 1, 2, 4, 8 s */
    STEADY_MS = 5000,    /* a connection that has held so long was a good one: the next wait is short again */
    HELLO_S = 10,        /* for the answer to hello */
    RESUME_MAX_S = 3600, /* of what the server may say */
    SECRET_MAX = 128,    /* bytes of a session's id and secret, and their NUL */
};

struct request {
    TAILQ_ENTRY(request) link;
    json_int_t id;
    connect_client_cb *cb;
    void *ctx;
};
TAILQ_HEAD(requests, request);

struct waiting {
    STAILQ_ENTRY(waiting) link;
    size_t len;
    char text[];
};

struct connect_client {
    struct event_base *base;
    struct evdns_base *dns;
    bool own_dns;
    struct ssl_ctx_st *tls;
    struct dialurl url, proxy;
    bool proxied, up;
    bool refused; /* the last hello: its token */
    char *role, *name, *username, *password;
    struct connect_client_events events;
    void *ctx;
    struct dial *dial;
    struct event retry;  /* the next connection; while a hello is unanswered, its end */
    struct event expire; /* the end of a session that isn't resumed */
    unsigned attempt, failures;
    uint64_t up_ms;                               /* when it came up */
    char session[SECRET_MAX], secret[SECRET_MAX]; /* "": none to resume */
    unsigned resume_s;
    json_int_t id;
    struct requests requests;
    size_t nrequests;
    STAILQ_HEAD(, waiting) waiting;
    size_t nwaiting, waiting_bytes;
    bool busy, doomed; /* as in dial.c */
};

/* ---- Writing. ---- */

/* The text of a message (free it); NULL: no memory, or text that is not UTF-8. Takes `params` over. */
static char *message_text(json_int_t id, const char *method, json_t *params, size_t *len)
{
    json_t *m = json_pack("{s:s,s:s}", "jsonrpc", "2.0", "method", method);
    char *text = NULL;

    *len = 0;
    if (m && id)
        json_object_set_new(m, "id", json_integer(id));
    if (m && (!params || json_object_set(m, "params", params) == 0))
        text = jsontext_of(m, len);
    json_decref(params);
    json_decref(m);
    return text;
}

static void wipe_text(char *text, size_t len)
{
    if (text)
        explicit_bzero(text, len);
    free(text);
}

static int request(struct connect_client *c, const char *method, json_t *params, connect_client_cb *cb, void *ctx)
{
    struct request *r = calloc(1, sizeof(*r));
    size_t len;
    char *text = message_text(++c->id, method, params, &len);
    int err = r && text ? dial_send(c->dial, text, len) : ERR_NOMEM;

    wipe_text(text, len); /* a hello holds the password */
    if (err) {
        free(r);
        return err;
    }
    r->id = c->id;
    r->cb = cb;
    r->ctx = ctx;
    TAILQ_INSERT_TAIL(&c->requests, r, link);
    c->nrequests++;
    return 0;
}

int connect_client_request(struct connect_client *c, const char *method, json_t *params, connect_client_cb *cb, void *cb_ctx)
{
    if (!c->up || c->nrequests >= REQUESTS_MAX) {
        json_decref(params);
        return c->up ? ERR_NOSPC : ERR_NOTCONN;
    }
    return request(c, method, params, cb, cb_ctx);
}

static int keep(struct connect_client *c, const char *text, size_t len)
{
    struct waiting *w;

    if (c->nwaiting >= WAITING_MAX || c->waiting_bytes + len > WAITING_BYTES_MAX)
        return ERR_NOSPC;
    w = malloc(sizeof(*w) + len);
    if (!w)
        return ERR_NOMEM;
    w->len = len;
    memcpy(w->text, text, len);
    STAILQ_INSERT_TAIL(&c->waiting, w, link);
    c->nwaiting++;
    c->waiting_bytes += len;
    return 0;
}

int connect_client_notify(struct connect_client *c, const char *method, json_t *params)
{
    size_t len;
    char *text = message_text(0, method, params, &len);
    int err = ERR_NOMEM;

    if (text && len > DIAL_MESSAGE_MAX)
        err = ERR_MSGSIZE;
    else if (text && c->up)
        err = dial_send(c->dial, text, len);
    else if (text)
        err = *c->session ? keep(c, text, len) : ERR_NOTCONN;
    free(text);
    return err;
}

static void drop_waiting(struct connect_client *c)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&c->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&c->waiting, link);
        free(w);
    }
    c->nwaiting = c->waiting_bytes = 0;
}

static void send_waiting(struct connect_client *c)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&c->waiting)) != NULL && dial_send(c->dial, w->text, w->len) == 0) {
        STAILQ_REMOVE_HEAD(&c->waiting, link);
        c->nwaiting--;
        c->waiting_bytes -= w->len;
        free(w);
    }
    drop_waiting(c); /* nothing is left, unless there is no memory for it */
}

/* ---- Down, and up again. ---- */

static void arm(struct event *timer, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(timer, &tv);
}

/* Between half of it and all of it: a thousand bridges don't come back in the same moment. */
static uint64_t pause_ms(unsigned failures)
{
    uint64_t ms = failures < RETRY_DOUBLINGS ? (uint64_t)RETRY_MIN_MS << failures : RETRY_MAX_MS;
    uint32_t random;

    random_bytes(&random, sizeof(random));
    return ms / 2 + random % (ms / 2 + 1);
}

/* What was asked and is not answered. */
static void fail_requests(struct connect_client *c)
{
    struct request *r;

    while (!c->doomed && (r = TAILQ_FIRST(&c->requests)) != NULL) {
        TAILQ_REMOVE(&c->requests, r, link);
        c->nrequests--;
        if (r->cb)
            r->cb(r->ctx, NULL, NULL);
        free(r);
    }
}

static void forget_session(struct connect_client *c)
{
    explicit_bzero(c->secret, sizeof(c->secret));
    *c->session = '\0';
    drop_waiting(c);
    event_del(&c->expire);
}

/* The connection is over, or could not be had; `lost`: there is no use in resuming. */
static void over(struct connect_client *c, const char *why, bool lost, uint64_t ms)
{
    bool was_up = c->up;

    dial_free(&c->dial);
    c->up = false;
    if (was_up && *c->session && !lost)
        arm(&c->expire, (uint64_t)c->resume_s * 1000);
    lost = lost && *c->session;
    if (lost)
        forget_session(c);
    arm(&c->retry, ms);
    fail_requests(c);
    if (!c->doomed)
        c->events.down(c->ctx, why, lost);
}

static void on_down(void *ctx, const char *why, unsigned code)
{
    enum { CODE_BYE = 1000, CODE_TOKEN = 4001, CODE_RESUMED = 4003 };
    struct connect_client *c = ctx;
    bool lost = code == CODE_BYE || code == CODE_TOKEN || code == CODE_RESUMED;

    if (c->up && clock_now().ms - c->up_ms >= STEADY_MS)
        c->failures = 0;
    over(c, why, lost, pause_ms(code == CODE_TOKEN ? UINT32_MAX : c->failures));
    c->failures++;
}

/* ---- hello ---- */

static bool copy(char out[static SECRET_MAX], const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text && *text && snprintf(out, SECRET_MAX, "%s", text) < SECRET_MAX;
}

static void welcome(struct connect_client *c, const json_t *result)
{
    char before[SECRET_MAX];
    json_int_t resume_s = json_integer_value(json_object_get(result, "resume_s"));
    bool resumed;

    memcpy(before, c->session, sizeof(before));
    if (!copy(c->session, result, "session") || !copy(c->secret, result, "secret")) {
        forget_session(c);
        over(c, "the connect service's answer to hello names no session", *before != '\0', pause_ms(c->failures++));
        return;
    }
    resumed = *before && strcmp(before, c->session) == 0;
    c->resume_s = resume_s < 0 || resume_s > RESUME_MAX_S ? RESUME_MAX_S : (unsigned)resume_s;
    event_del(&c->retry);
    event_del(&c->expire);
    c->up = true;
    c->up_ms = clock_now().ms;
    if (resumed)
        send_waiting(c);
    else
        drop_waiting(c);
    c->events.up(c->ctx, result, resumed);
}

static void on_hello(void *ctx, const json_t *result, const json_t *error)
{
    struct connect_client *c = ctx;
    const json_t *data = json_object_get(error, "data");
    const char *reason = json_string_value(json_object_get(data, "reason"));
    char why[DIAL_WHY_MAX];

    if (result) {
        welcome(c, result);
        return;
    }
    if (!error)
        return; /* the connection went, which is told anyway */
    if (!reason)
        reason = "unknown";
    if (strcmp(reason, "no_session") == 0) {
        /* At once, and without it: the service has nothing of the old one. */
        over(c, "the connect service does not know our session any more", true, 0);
        return;
    }
    if (strcmp(reason, "unauthorized") == 0)
        snprintf(why, sizeof(why), "the connect service refuses the token: unknown, expired or revoked, or a wrong password");
    else if (strcmp(reason, "forbidden") == 0)
        snprintf(why, sizeof(why), "the token may not be used as a %.32s: issue one with the scope %.32s", c->role, c->role);
    else if (strcmp(reason, "unavailable") == 0)
        snprintf(why, sizeof(why), "the connect service can't ask its store of tokens now");
    else
        snprintf(why, sizeof(why), "the connect service refuses hello: %.64s", reason);
    c->refused = strcmp(reason, "unauthorized") == 0 || strcmp(reason, "forbidden") == 0;
    over(c, why, strcmp(reason, "unauthorized") == 0, pause_ms(c->failures++));
}

static json_t *hello(const struct connect_client *c)
{
    json_t *params = json_pack("{s:{s:s,s:s},s:s}", "token", "username", c->username, "password", c->password, "role", c->role);

    if (params && c->name)
        json_object_set_new(params, "name", json_string(c->name));
    if (params && *c->session)
        json_object_set_new(params, "resume", json_pack("{s:s,s:s}", "session", c->session, "secret", c->secret));
    return params;
}

static void on_open(void *ctx)
{
    struct connect_client *c = ctx;
    json_t *params = hello(c);

    c->refused = false;
    if (!params || request(c, "hello", params, on_hello, c))
        over(c, "no memory", false, pause_ms(c->failures++));
    else
        arm(&c->retry, HELLO_S * 1000);
}

/* ---- Reading. ---- */

static void on_answer(struct connect_client *c, const json_t *m)
{
    json_int_t id = json_integer_value(json_object_get(m, "id"));
    const json_t *error = json_object_get(m, "error"), *result = json_object_get(m, "result");
    struct request *r;

    TAILQ_FOREACH(r, &c->requests, link)
    {
        if (r->id == id)
            break;
    }
    if (!r)
        return; /* an answer to nothing: left alone, as the protocol says of what isn't known */
    TAILQ_REMOVE(&c->requests, r, link);
    c->nrequests--;
    if (r->cb)
        r->cb(r->ctx, json_is_object(error) ? NULL : result, json_is_object(error) ? error : NULL);
    free(r);
}

static void on_text(void *ctx, const char *text, size_t len)
{
    struct connect_client *c = ctx;
    json_t *m = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const char *method = json_string_value(json_object_get(m, "method"));

    if (!json_is_object(m))
        over(c, "what came from the connect service is no JSON", false, pause_ms(c->failures++));
    else if (!method)
        on_answer(c, m);
    else if (c->up)
        c->events.message(c->ctx, method, json_object_get(m, "params"));
    json_decref(m);
}

/* ---- The life of a client. ---- */

static void release(struct connect_client *c)
{
    struct request *r;

    while ((r = TAILQ_FIRST(&c->requests)) != NULL) {
        TAILQ_REMOVE(&c->requests, r, link);
        free(r);
    }
    if (c->password)
        explicit_bzero(c->password, strlen(c->password));
    free(c->role);
    free(c->name);
    free(c->username);
    free(c->password);
    if (c->dns && c->own_dns)
        evdns_base_free(c->dns, 0);
    SSL_CTX_free(c->tls);
    free(c);
}

/* Callbacks that free the client: what they were called from goes on with a struct that is silent, until it is let go. */
static void enter(struct connect_client *c)
{
    c->busy = true;
}

static void leave(struct connect_client *c)
{
    c->busy = false;
    if (c->doomed)
        release(c);
}

static void on_dial_up(void *ctx)
{
    enter(ctx);
    on_open(ctx);
    leave(ctx);
}

static void on_dial_text(void *ctx, const char *text, size_t len)
{
    enter(ctx);
    on_text(ctx, text, len);
    leave(ctx);
}

static void on_dial_down(void *ctx, const char *why, unsigned code)
{
    enter(ctx);
    on_down(ctx, why, code);
    leave(ctx);
}

/* The network may be another one since the last look: name servers come with it. Names of /etc/hosts are read once, at the start. */
static void read_name_servers(struct connect_client *c)
{
    if (!c->own_dns)
        return;
    evdns_base_clear_nameservers_and_suspend(c->dns);
    evdns_base_resolv_conf_parse(c->dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, "/etc/resolv.conf");
    evdns_base_resume(c->dns);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    static const struct dial_events EVENTS = {on_dial_up, on_dial_text, on_dial_down};
    struct connect_client *c = ctx;
    struct dial_config config = {.base = c->base,
                                 .dns = c->dns,
                                 .tls = c->tls,
                                 .url = &c->url,
                                 .proxy = c->proxied ? &c->proxy : NULL,
                                 .subprotocol = DIALHEAD_PROTOCOL,
                                 .attempt = c->attempt++};

    (void)fd;
    (void)what;
    enter(c);
    if (!c->dial && c->failures)
        read_name_servers(c);
    if (c->dial)
        over(c, "the connect service has not answered our hello in 10 s", false, pause_ms(c->failures++));
    else if (dial_new(&c->dial, &config, &EVENTS, c))
        arm(&c->retry, RETRY_MAX_MS);
    leave(c);
}

static void on_expire(evutil_socket_t fd, short what, void *ctx)
{
    struct connect_client *c = ctx;

    (void)fd;
    (void)what;
    if (!*c->session)
        return;
    enter(c);
    forget_session(c);
    c->events.down(c->ctx, "the connect service could not be reached in time: its calls are over", true);
    leave(c);
}

static int configure(struct connect_client *c, const struct connect_client_config *config,
                     char text[static CONNECT_CLIENT_TEXT_MAX])
{
    const char *why = "no memory";
    int err = dialurl_service(&c->url, config->url, &why);

    if (!err && config->proxy) {
        err = dialurl_proxy(&c->proxy, config->proxy, &why);
        if (!err && !c->url.tls) {
            err = ERR_INVAL;
            why = "ws:// goes to this host alone, and needs no proxy";
        }
        c->proxied = true;
    }
    if (!err && c->url.tls && (err = dial_tls(&c->tls, config->ca_file)) == ERR_INVAL)
        why = "the authorities' certificates can't be read as PEM";
    snprintf(text, CONNECT_CLIENT_TEXT_MAX, "%s", err ? why : "");
    return err;
}

int connect_client_new(struct connect_client **out, const struct connect_client_config *config,
                       const struct connect_client_events *events, void *ctx, char text[static CONNECT_CLIENT_TEXT_MAX])
{
    struct connect_client *c = calloc(1, sizeof(*c));
    int err = ERR_NOMEM;

    *out = NULL;
    snprintf(text, CONNECT_CLIENT_TEXT_MAX, "no memory");
    if (!c)
        return ERR_NOMEM;
    TAILQ_INIT(&c->requests);
    STAILQ_INIT(&c->waiting);
    c->base = config->base;
    c->events = *events;
    c->ctx = ctx;
    evtimer_assign(&c->retry, c->base, on_retry, c);
    evtimer_assign(&c->expire, c->base, on_expire, c);
    if ((err = configure(c, config, text)) != 0)
        goto out;
    err = ERR_NOMEM;
    c->role = strdup(config->role);
    c->name = config->name ? strdup(config->name) : NULL;
    c->username = strdup(config->username);
    c->password = strdup(config->password);
    c->own_dns = !config->dns;
    c->dns = config->dns ? config->dns : evdns_base_new(c->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    /* Without a name server there are still the names of /etc/hosts. */
    if (c->dns && c->own_dns && evdns_base_resolv_conf_parse(c->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf"))
        evdns_base_load_hosts(c->dns, "/etc/hosts");
    if (!c->role || (config->name && !c->name) || !c->username || !c->password || !c->dns ||
        evtimer_add(&c->retry, &(struct timeval){0}))
        goto out;
    *out = c;
    return 0;
out:
    connect_client_free(&c);
    return err;
}

bool connect_client_is_refused(const struct connect_client *c)
{
    return c->refused;
}

void connect_client_free(struct connect_client **c)
{
    struct connect_client *client = *c;

    *c = NULL;
    if (!client)
        return;
    if (client->up)
        (void)connect_client_notify(client, "bye", NULL);
    client->up = false;
    client->doomed = true;
    dial_free(&client->dial);
    forget_session(client);
    event_del(&client->retry);
    if (!client->busy)
        release(client);
}
