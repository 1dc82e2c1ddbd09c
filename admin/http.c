#include <stdlib.h>
#include <string.h>

#include "admin/adminparts.h"
#include "admin/asset.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { REPLAY_NAME_MAX = 512 }; /* a caller, an operation, a key */

/* An operation that was called. It outlives its exchange when the client gives up, or when it is late. */
struct pending {
    struct admin_call call; /* the first member */
    struct pending *next, **at;
    struct admin *admin; /* NULL: it has ended */
    struct exchange *exchange;
    const struct route *route;
    char id[ROUTE_ID_MAX + 1];
    char caller[BEARER_NAME_MAX + 1];
    char *if_match, *accept;
    char replay[REPLAY_NAME_MAX]; /* "": no Idempotency-Key */
};

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->c, MHD_HEADER_KIND, name);
}

void exchange_resume(struct exchange *x)
{
    if (x->suspended) {
        x->suspended = false;
        MHD_resume_connection(x->c);
        server_run(x->server);
    }
}

void exchange_suspend(struct exchange *x)
{
    x->suspended = true;
    MHD_suspend_connection(x->c);
}

/* ---- Operations. ---- */

static bool changed(const struct route *route, int status)
{
    return (route->flags & ROUTE_CHANGES) && status != 404;
}

/* Every change, and every one that its operation refused, whatever the level of the log is. What is refused before is admin/reply's to log. */
static void audit(const struct pending *p)
{
    const struct admin_answer *a = &p->call.answer;
    const char *id = p->id[0] ? p->id : json_string_value(json_object_get(a->body, "id"));
    const struct log_field fields[] = {LOG_STR("caller", p->caller),
                                       LOG_STR("operation", admin_operation_name(p->route->operation)), LOG_STR("id", id ? id : ""),
                                       LOG_INT("status", a->status), LOG_STR("reason", a->detail)};

    if (!changed(p->route, a->status))
        return;
    log_write(LOG_INFO, "audit", fields, sizeof(fields) / sizeof(fields[0]) - (a->detail[0] == '\0'));
    if (p->admin)
        admin_tell(p->admin, "admin",
                   json_pack("{s:s,s:s,s:s,s:i}", "operation", admin_operation_name(p->route->operation), "caller", p->caller, "id",
                             id ? id : "", "status", a->status));
}

static void unlink_pending(struct pending *p)
{
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
}

static void free_pending(struct pending *p)
{
    admin_answer_clear(&p->call.answer);
    json_decref(p->call.request.query);
    json_decref(p->call.request.body);
    free(p->if_match);
    free(p->accept);
    free(p);
}

void admin_done(struct admin_call **call)
{
    struct pending *p = (struct pending *)*call;
    struct exchange *x = p->exchange;

    *call = NULL;
    audit(p);
    if (p->admin && p->replay[0]) {
        if (p->call.answer.status >= 500) /* it may be tried again */
            replay_forget(p->admin->replays, p->replay);
        else
            replay_keep(p->admin->replays, p->replay, &p->call.answer);
    }
    if (x) {
        x->pending = NULL;
        x->answer = p->call.answer;
        p->call.answer = (struct admin_answer){0};
        x->state = EXCHANGE_ANSWERED;
        exchange_resume(x);
    }
    if (p->admin)
        unlink_pending(p);
    free_pending(p);
}

void http_abandon(struct admin *a)
{
    for (struct pending *p = a->pendings; p; p = p->next) {
        p->admin = NULL;
        p->exchange = NULL;
    }
    a->pendings = NULL;
}

struct query {
    struct exchange *x;
    json_t *object;
};

static enum MHD_Result add_parameter(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct query *q = ctx;
    char *decoded = strdup(value ? value : "");
    json_t *text = decoded && route_decode(decoded) ? json_string(decoded) : NULL;

    (void)kind;
    free(decoded);
    if (!admin_has_word(q->x->route->query, key) || json_object_get(q->object, key) || !text) {
        admin_answer_problem(&q->x->answer, 400, "parameter %.64s: %s; known are: %s", key,
                             json_object_get(q->object, key) ? "given twice"
                             : !text                         ? "not text in UTF-8"
                                                             : "not known here",
                             q->x->route->query);
        json_decref(text);
        return MHD_NO;
    }
    json_object_set_new(q->object, key, text);
    return MHD_YES;
}

json_t *exchange_query(struct exchange *x)
{
    struct query q = {x, json_object()};

    if (!q.object)
        admin_answer_problem(&x->answer, 503, "no memory");
    else
        MHD_get_connection_values(x->c, MHD_GET_ARGUMENT_KIND, add_parameter, &q);
    return q.object;
}

/* The member `body` of the request, NULL when nothing was sent. False: answered. */
static bool read_body(struct exchange *x, json_t **out)
{
    json_error_t e;

    *out = NULL;
    if (!x->body_len && strcmp(x->route->method, "PUT") == 0) {
        admin_answer_problem(&x->answer, 400, "a body is expected: what it is to be from now on");
        return false;
    }
    if (!x->body_len)
        return true;
    *out = json_loadb(x->body, x->body_len, JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(*out))
        return true;
    if (*out)
        admin_answer_problem(&x->answer, 400, "the body is to be a JSON object");
    else
        admin_answer_problem(&x->answer, 400, "the body is no JSON: line %d, column %d: %s", e.line, e.column, e.text);
    json_decref(*out);
    *out = NULL; /* the request's, who would give it back again */
    return false;
}

static bool begin_replay(struct exchange *x, struct pending *p)
{
    const char *key = strcmp(x->route->method, "POST") == 0 ? exchange_header(x, "Idempotency-Key") : NULL;
    char digest[ADMIN_ETAG_MAX];
    json_t *asked;

    if (!key)
        return true;
    if (!*key || strlen(key) > 255) {
        admin_answer_problem(&x->answer, 400, "Idempotency-Key: 1 to 255 characters are expected");
        return false;
    }
    asked = json_pack("{s:s,s:O?}", "id", x->id, "body", p->call.request.body);
    admin_etag(digest, asked);
    json_decref(asked);
    snprintf(p->replay, sizeof(p->replay), "%s %s %s", p->caller, admin_operation_name(x->route->operation), key);
    switch (replay_find(x->admin->replays, p->replay, digest, clock_now().ms, &x->answer)) {
    case REPLAY_NEW:
        return true;
    case REPLAY_KEPT:
        return false;
    case REPLAY_RUNNING:
        admin_answer_problem(&x->answer, 409, "the first request with this Idempotency-Key has not been answered yet");
        return false;
    case REPLAY_OTHER:
        admin_answer_problem(&x->answer, 422, "this Idempotency-Key was used for another request: take a new one");
        return false;
    }
    return false;
}

static struct pending *pending_new(struct exchange *x)
{
    const char *if_match = exchange_header(x, "If-Match"), *accept = exchange_header(x, "Accept");
    struct pending *p = calloc(1, sizeof(*p));

    if (!p) {
        admin_answer_problem(&x->answer, 503, "no memory");
        return NULL;
    }
    p->admin = x->admin;
    p->route = x->route;
    memcpy(p->id, x->id, sizeof(p->id));
    memcpy(p->caller, x->caller, sizeof(p->caller));
    p->if_match = if_match ? strdup(if_match) : NULL;
    p->accept = accept ? strdup(accept) : NULL;
    p->call.request = (struct admin_request){.operation = x->route->operation,
                                             .id = p->id[0] ? p->id : NULL,
                                             .query = exchange_query(x),
                                             .if_match = p->if_match,
                                             .accept = p->accept,
                                             .caller = p->caller,
                                             .roles = bearer_roles_text(x->roles),
                                             .now = clock_now().wall};
    if ((if_match && !p->if_match) || (accept && !p->accept)) /* without its condition a change would go ahead */
        admin_answer_problem(&x->answer, 503, "no memory");
    if (!x->answer.status && read_body(x, &p->call.request.body) && begin_replay(x, p)) {
        p->next = x->admin->pendings;
        p->at = &x->admin->pendings;
        if (p->next)
            p->next->at = &p->next;
        x->admin->pendings = p;
        return p;
    }
    free_pending(p);
    return NULL;
}

static void call_operation(struct exchange *x)
{
    struct pending *p = pending_new(x);

    if (!p) {
        x->state = EXCHANGE_ANSWERED;
        return;
    }
    x->state = EXCHANGE_WAITS;
    x->called = true;
    x->pending = p;
    p->exchange = x;
    p->call.request.deadline_ms = clock_now().ms + ADMIN_DEADLINE_MS;
    x->admin->config.operations[x->route->operation](x->admin->config.ctx, &p->call);
}

/* ---- The request. ---- */

static void give_asset(struct exchange *x)
{
    const struct asset *a = asset_find(x->route->path, x->id);

    if (!a) {
        admin_answer_problem(&x->answer, 404, "there is no such file");
        return;
    }
    x->answer.text = malloc(a->len + 1);
    if (!x->answer.text) {
        admin_answer_problem(&x->answer, 503, "no memory");
        return;
    }
    memcpy(x->answer.text, a->data, a->len);
    x->answer.text_len = a->len;
    x->answer.text_type = a->type;
    x->answer.status = 200;
}

/* Whoever comes by the Unix socket has been let in by the file's mode. */
static bool admit(struct exchange *x)
{
    static const char SCHEME[] = "Bearer ";
    const char *given = exchange_header(x, "Authorization");
    struct bearer b = {0};
    int err = ERR_NOENT;

    if (server_is_unix(x->server)) {
        snprintf(x->caller, sizeof(x->caller), "socket");
        x->roles = BEARER_ALL;
        return true;
    }
    if (!x->route->roles)
        return true;
    if (given && strncasecmp(given, SCHEME, strlen(SCHEME)) == 0)
        err = bearers_find(x->admin->bearers, given + strlen(SCHEME), clock_now().wall, &b);
    if (err) {
        admin_answer_problem(&x->answer, 401, "%s",
                             !given             ? "a bearer token is needed: turnpikectl admin-token issue makes one"
                             : err == ERR_STALE ? "this token has expired: turnpikectl admin-token issue makes a new one"
                                                : "this token is not known");
        return false;
    }
    memcpy(x->caller, b.name, sizeof(x->caller));
    x->roles = b.roles;
    if (b.roles & (x->route->roles | BEARER_ADMIN))
        return true;
    admin_answer_problem(&x->answer, 403, "this token's role may not do that; needed is: %s",
                         x->route->roles & BEARER_READ          ? "read"
                         : x->route->roles & BEARER_CREDENTIALS ? "credentials"
                                                                : "admin");
    return false;
}

/* The browser asks whether a page of that origin may. */
static bool preflight(struct exchange *x, const char *path)
{
    const char *wanted = exchange_header(x, "Access-Control-Request-Method");

    x->route = wanted ? route_find(wanted, path, x->id, x->allow) : NULL;
    if (!x->route || !(x->route->flags & ROUTE_CORS)) {
        x->route = route_find("OPTIONS", path, x->id, x->allow);
        return false;
    }
    if (reply_origin(x)) {
        x->answer.status = 204;
        snprintf(x->allow, sizeof(x->allow), "OPTIONS");
    } else {
        admin_answer_problem(&x->answer, 403, "pages of this origin may not: see admin-origin in turnpiked.conf(5)");
    }
    return true;
}

/* What can be said before the body is there. False: answered. */
static bool check_head(struct exchange *x, const char *path, const char *method)
{
    const char *type = exchange_header(x, "Content-Type"), *length = exchange_header(x, "Content-Length");

    if (strcmp(method, "OPTIONS") == 0 && preflight(x, path))
        return false;
    if (!x->route && !x->allow[0])
        x->route = route_find(method, path, x->id, x->allow);
    if (!x->route && x->allow[0])
        admin_answer_problem(&x->answer, 405, "here is only %s", x->allow);
    else if (!x->route)
        admin_answer_problem(&x->answer, 404, "there is no such path; /openapi.json lists them");
    if (x->answer.status || !admit(x))
        return false;
    if (length && strtoull(length, NULL, 10) > ADMIN_BODY_MAX)
        admin_answer_problem(&x->answer, 413, "a body has at most %d bytes", ADMIN_BODY_MAX);
    else if (length && strcmp(length, "0") != 0 && !(x->route->flags & ROUTE_BODY))
        admin_answer_problem(&x->answer, 400, "no body is expected here");
    else if (type && (x->route->flags & ROUTE_BODY) && strncasecmp(type, "application/json", strlen("application/json")) != 0)
        admin_answer_problem(&x->answer, 415, "a body of application/json is expected");
    return !x->answer.status;
}

/* A body that is not much too large is read to its end before a refusal is told: who still sends would see a broken connection instead. */
static bool body_follows(const struct exchange *x)
{
    const char *length = exchange_header(x, "Content-Length");

    return length && strtoull(length, NULL, 10) <= ADMIN_DISCARD_MAX;
}

static struct exchange *exchange_new(struct server *s, struct admin *a, struct MHD_Connection *c)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->admin = a;
    x->server = s;
    x->c = c;
    x->next = a->exchanges;
    x->at = &a->exchanges;
    if (x->next)
        x->next->at = &x->next;
    a->exchanges = x;
    return x;
}

static void take_body(struct exchange *x, const char *bytes, size_t n)
{
    if (x->answer.status)
        return;
    if (!(x->route->flags & ROUTE_BODY)) {
        admin_answer_problem(&x->answer, 400, "no body is expected here");
        return;
    }
    if (n > ADMIN_BODY_MAX - x->body_len) {
        admin_answer_problem(&x->answer, 413, "a body has at most %d bytes", ADMIN_BODY_MAX);
        return;
    }
    if (!x->body) /* all at once: no copy of a password is left behind */
        x->body = malloc(ADMIN_BODY_MAX);
    if (!x->body) {
        admin_answer_problem(&x->answer, 503, "no memory");
        return;
    }
    memcpy(x->body + x->body_len, bytes, n);
    x->body_len += n;
}

static enum MHD_Result serve(struct exchange *x)
{
    if (x->state == EXCHANGE_READS && !x->answer.status) {
        connection_serves(x->c);
        switch (x->route->kind) {
        case ROUTE_OPERATION:
            call_operation(x);
            break;
        case ROUTE_HEALTH:
            admin_answer_json(&x->answer, 200, json_pack("{s:b}", "alive", 1));
            break;
        case ROUTE_ASSET:
            give_asset(x);
            break;
        case ROUTE_EVENTS:
            return stream_open(x);
        }
    }
    if (x->state == EXCHANGE_WAITS) {
        exchange_suspend(x);
        return MHD_YES;
    }
    x->state = EXCHANGE_ANSWERED;
    return reply_send(x);
}

enum MHD_Result http_access(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                            const char *upload, size_t *upload_size, void **exchange)
{
    struct exchange *x = *exchange;

    (void)version;
    if (server_ends(server) && (!x || x->state == EXCHANGE_READS))
        return MHD_NO;
    if (!x) {
        *exchange = x = exchange_new(server, server_admin(server), c);
        if (!x)
            return MHD_NO;
        connection_reads(c);
        return check_head(x, url, method) || body_follows(x) ? MHD_YES : reply_send(x);
    }
    if (*upload_size) {
        take_body(x, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return serve(x);
}

void http_completed(void *server, struct MHD_Connection *c, void **exchange, enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *exchange;

    (void)server, (void)code;
    connection_idle(c);
    *exchange = NULL;
    if (!x)
        return;
    if (x->pending)
        x->pending->exchange = NULL;
    events_close(&x->reader);
    admin_answer_clear(&x->answer);
    if (x->body)
        explicit_bzero(x->body, x->body_len);
    free(x->body);
    *x->at = x->next;
    if (x->next)
        x->next->at = x->at;
    free(x);
}

void http_sweep(struct admin *a, uint64_t now_ms)
{
    for (struct exchange *x = a->exchanges; x; x = x->next) {
        if (x->pending && now_ms >= x->pending->call.request.deadline_ms) {
            x->pending->exchange = NULL;
            x->pending = NULL;
            x->state = EXCHANGE_ANSWERED;
            admin_answer_problem(&x->answer, 503, "no answer within %d s: the store or a worker hangs; see /readyz",
                                 ADMIN_DEADLINE_MS / 1000);
            exchange_resume(x);
        }
        if (x->reader && now_ms - x->beat_ms >= ADMIN_BEAT_MS) {
            x->beat_ms = now_ms;
            if (admit(x))
                events_beat(x->reader);
            else
                connection_cut(x->c); /* its token has expired, or was revoked */
        }
    }
}

bool http_busy(const struct admin *a, const struct server *s)
{
    for (const struct exchange *x = a->exchanges; x; x = x->next)
        if (x->server == s && (x->state == EXCHANGE_WAITS || x->state == EXCHANGE_ANSWERED))
            return true;
    return false;
}

void http_release(struct admin *a, const struct server *s)
{
    for (struct exchange *x = a->exchanges; x; x = x->next) {
        if (x->server != s)
            continue;
        if (x->pending)
            x->pending->exchange = NULL;
        x->pending = NULL;
        if (x->state == EXCHANGE_WAITS) {
            admin_answer_problem(&x->answer, 503, "the server ends");
            x->state = EXCHANGE_ANSWERED;
        }
        if (x->state == EXCHANGE_STREAMS)
            x->state = EXCHANGE_ANSWERED;
        connection_cut(x->c);
        exchange_resume(x);
    }
}
