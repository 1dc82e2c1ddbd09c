#include <stdlib.h>
#include <string.h>

#include "admin/adminparts.h"
#include "admin/asset.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { STREAM_BLOCK = 16384, REPLAY_NAME_MAX = 512 };

/* An operation that was called. It outlives its exchange when the client gives up, or when it is late. */
struct pending {
    struct admin_call call; /* the first member */
    struct admin *admin;    /* NULL: it has ended */
    struct exchange *exchange;
    const struct route *route;
    uint64_t deadline_ms;
    char id[ROUTE_ID_MAX + 1];
    char caller[BEARER_NAME_MAX + 1];
    char *if_match, *accept;
    char replay[REPLAY_NAME_MAX]; /* "": no Idempotency-Key */
};

/* One request, from its head to the last byte of its answer. */
struct exchange {
    struct exchange *next, **at;
    struct admin *admin;
    struct server *server;
    struct MHD_Connection *c;
    const struct route *route; /* NULL: there is none */
    enum { EXCHANGE_READS, EXCHANGE_WAITS, EXCHANGE_ANSWERED, EXCHANGE_STREAMS } state;
    bool suspended;
    char id[ROUTE_ID_MAX + 1];
    char allow[ROUTE_ALLOW_MAX];
    char caller[BEARER_NAME_MAX + 1];
    char *body;
    size_t body_len;
    struct pending *pending;
    struct admin_answer answer;
    struct events_reader *reader;
    uint64_t beat_ms;
};

static const char *header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->c, MHD_HEADER_KIND, name);
}

static void resume(struct exchange *x)
{
    if (x->suspended) {
        x->suspended = false;
        MHD_resume_connection(x->c);
        server_run(x->server);
    }
}

static void suspend(struct exchange *x)
{
    x->suspended = true;
    MHD_suspend_connection(x->c);
}

/* ---- The answer. ---- */

static void wipe(void *text)
{
    explicit_bzero(text, strlen(text));
    free(text);
}

static json_t *problem(const struct admin_answer *a)
{
    static const struct {
        int status;
        const char *title;
    } TITLES[] = {{400, "Bad request"},         {401, "Unauthorized"},       {403, "Forbidden"},
                  {404, "Not found"},           {405, "Method not allowed"}, {409, "Conflict"},
                  {412, "Precondition failed"}, {413, "Too large"},          {415, "Unsupported type"},
                  {422, "Can't be done"},       {429, "Too many"},           {502, "The store refuses"},
                  {503, "Unavailable for now"}, {500, "Internal error"}};
    size_t i = 0;

    while (TITLES[i].status != a->status && TITLES[i].status != 500)
        i++;
    return json_pack("{s:s,s:s,s:i,s:s}", "type", "about:blank", "title", TITLES[i].title, "status", a->status, "detail",
                     a->detail);
}

/* Takes the answer's text, or makes one of its body. NULL: no content. */
static struct MHD_Response *response_of(struct exchange *x, const char **type)
{
    struct admin_answer *a = &x->answer;
    struct MHD_Response *r;
    char *text = a->text;
    size_t len = a->text_len;

    *type = a->text_type;
    a->text = NULL;
    if (!text && !a->body && a->status < 400)
        return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!text) {
        if (!a->body)
            a->body = problem(a);
        *type = a->status >= 400 && !json_object_get(a->body, "ready") ? "application/problem+json" : "application/json";
        text = json_dumps(a->body, JSON_COMPACT | JSON_REAL_PRECISION(9));
        len = text ? strlen(text) : 0;
    }
    if (!text)
        return NULL;
    r = MHD_create_response_from_buffer_with_free_callback(len, text, a->secret ? wipe : free);
    if (!r)
        free(text);
    return r;
}

/* The origin of a page that may read the answer; NULL: none. */
static const char *allowed_origin(const struct exchange *x)
{
    const char *origin = x->route && (x->route->flags & ROUTE_CORS) ? header(x, "Origin") : NULL;

    for (size_t i = 0; origin && i < x->admin->norigins; i++)
        if (strcmp(x->admin->origins[i], origin) == 0)
            return origin;
    return NULL;
}

static void add_location(const struct exchange *x, struct MHD_Response *r)
{
    const char *id = json_string_value(json_object_get(x->answer.body, "id"));
    char path[64 + 3 * ROUTE_ID_MAX];
    int n = snprintf(path, sizeof(path), "%.*s", (int)strcspn(x->route->path, "{"), x->route->path);

    if (!id || n < 0)
        return;
    if (path[n - 1] != '/')
        path[n++] = '/';
    if (route_encode(path + n, sizeof(path) - (size_t)n, id))
        MHD_add_response_header(r, "Location", path);
}

static void add_headers(const struct exchange *x, struct MHD_Response *r, const char *type)
{
    const char *origin = allowed_origin(x);
    char etag[ADMIN_ETAG_MAX];

    if (type)
        MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "Content-Security-Policy",
                            x->route && x->route->kind == ROUTE_ASSET ? ASSET_POLICY
                                                                      : "default-src 'none'; frame-ancestors 'none'");
    if (x->answer.status == 401)
        MHD_add_response_header(r, "WWW-Authenticate", "Bearer realm=\"turnpike\"");
    if (x->answer.status == 405)
        MHD_add_response_header(r, "Allow", x->allow);
    if (x->answer.status == 201)
        add_location(x, r);
    if (x->route && (x->route->flags & ROUTE_ETAG) && x->answer.status == 200) {
        admin_etag(etag, x->answer.body);
        MHD_add_response_header(r, "ETag", etag);
    }
    if (x->route && (x->route->flags & ROUTE_CORS))
        MHD_add_response_header(r, "Vary", "Origin");
    if (origin)
        MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
}

static enum MHD_Result respond(struct exchange *x)
{
    const char *type;
    enum MHD_Result queued;
    struct MHD_Response *r = response_of(x, &type);

    connection_answers(x->c);
    if (!r)
        return MHD_NO;
    add_headers(x, r, type);
    if (x->answer.status == 204 && strcmp(x->allow, "OPTIONS") == 0) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", x->route->method);
        MHD_add_response_header(r, "Access-Control-Allow-Headers", "authorization, content-type, idempotency-key");
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
    queued = MHD_queue_response(x->c, (unsigned)x->answer.status, r);
    MHD_destroy_response(r);
    return queued;
}

/* ---- Operations. ---- */

static bool changed(const struct route *route, int status)
{
    return (route->flags & ROUTE_CHANGES) && status != 404;
}

/* Every change, and every one that was refused, whatever the level of the log is. */
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
        resume(x);
    }
    free_pending(p);
}

/* The parameters that the route knows, each once, as an object of strings. */
struct query {
    struct exchange *x;
    json_t *object;
};

static bool has_word(const char *words, const char *word, size_t len)
{
    for (const char *w = words; *w; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");

        if (n == len && memcmp(w, word, n) == 0)
            return true;
        w += n;
    }
    return false;
}

static enum MHD_Result add_parameter(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct query *q = ctx;
    char *decoded = strdup(value ? value : "");
    json_t *text = decoded && route_decode(decoded) ? json_string(decoded) : NULL;

    (void)kind;
    free(decoded);
    if (!has_word(q->x->route->query, key, strlen(key)) || json_object_get(q->object, key) || !text) {
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

/* The member `body` of the request, NULL when nothing was sent. False: answered. */
static bool read_body(struct exchange *x, json_t **out)
{
    json_error_t e;

    *out = NULL;
    if (!x->body_len)
        return true;
    *out = json_loadb(x->body, x->body_len, JSON_REJECT_DUPLICATES, &e);
    if (*out && json_is_object(*out))
        return true;
    if (*out)
        admin_answer_problem(&x->answer, 400, "the body is to be a JSON object");
    else
        admin_answer_problem(&x->answer, 400, "the body is no JSON: line %d, column %d: %s", e.line, e.column, e.text);
    json_decref(*out);
    return false;
}

static bool begin_replay(struct exchange *x, struct pending *p)
{
    const char *key = strcmp(x->route->method, "POST") == 0 ? header(x, "Idempotency-Key") : NULL;
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
    const char *if_match = header(x, "If-Match"), *accept = header(x, "Accept");
    struct pending *p = calloc(1, sizeof(*p));
    struct query q = {x, json_object()};

    if (!p || !q.object) {
        json_decref(q.object);
        free(p);
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
                                             .query = q.object,
                                             .if_match = p->if_match,
                                             .accept = p->accept,
                                             .caller = p->caller,
                                             .now = clock_now().wall};
    MHD_get_connection_values(x->c, MHD_GET_ARGUMENT_KIND, add_parameter, &q);
    if (!x->answer.status && read_body(x, &p->call.request.body) && begin_replay(x, p))
        return p;
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
    x->pending = p;
    p->exchange = x;
    p->deadline_ms = clock_now().ms + ADMIN_DEADLINE_MS;
    if (x->admin->config.operations[x->route->operation]) {
        x->admin->config.operations[x->route->operation](x->admin->config.ctx, &p->call);
    } else {
        struct admin_call *call = &p->call;

        admin_answer_problem(&call->answer, 503, "not in this version");
        admin_done(&call);
    }
}

/* ---- Events. ---- */

static void on_wake(void *ctx)
{
    resume(ctx);
}

static void on_lost(void *ctx)
{
    struct exchange *x = ctx;

    LOG(LOG_INFO, "events_reader_cut_off", LOG_STR("caller", x->caller), LOG_STR("reason", "it reads too slowly"));
    connection_cut(x->c);
}

static ssize_t read_events(void *ctx, uint64_t pos, char *out, size_t cap)
{
    struct exchange *x = ctx;
    size_t n = events_read(x->reader, out, cap);

    (void)pos;
    if (!n)
        suspend(x);
    return (ssize_t)n;
}

static bool types_known(struct exchange *x, const char *types)
{
    for (; types && *types; types += strcspn(types, ",") + (types[strcspn(types, ",")] == ','))
        if (!events_type_known(types, strcspn(types, ","))) {
            admin_answer_problem(&x->answer, 400,
                                 "type: a list of allocation, auth_failure, revocation, quota, drain, fault, admin is expected");
            return false;
        }
    if (types && strlen(types) > EVENTS_TYPES_MAX) {
        admin_answer_problem(&x->answer, 400, "type: at most %d bytes", EVENTS_TYPES_MAX);
        return false;
    }
    return true;
}

static enum MHD_Result stream(struct exchange *x)
{
    static const struct events_reader_ops OPS = {on_wake, on_lost};
    const char *types, *last = header(x, "Last-Event-ID");
    struct MHD_Response *r;
    enum MHD_Result queued;
    json_t *query = json_object();

    x->state = EXCHANGE_ANSWERED;
    MHD_get_connection_values(x->c, MHD_GET_ARGUMENT_KIND, add_parameter, &(struct query){x, query});
    types = json_string_value(json_object_get(query, "type"));
    if (!x->answer.status && types_known(x, types) &&
        events_open(&x->reader, x->admin->events, types, last ? strtoull(last, NULL, 10) : 0, &OPS, x))
        admin_answer_problem(&x->answer, 503, "there are %zu readers of events already, of at most %d",
                             events_readers(x->admin->events), EVENTS_READERS_MAX);
    json_decref(query);
    if (x->answer.status)
        return respond(x);
    r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_events, x, NULL);
    if (!r)
        return MHD_NO;
    x->state = EXCHANGE_STREAMS;
    x->beat_ms = clock_now().ms;
    x->answer.status = 200;
    connection_serves(x->c);
    add_headers(x, r, "text/event-stream");
    queued = MHD_queue_response(x->c, 200, r);
    MHD_destroy_response(r);
    return queued;
}

/* ---- The request. ---- */

static void give_asset(struct exchange *x)
{
    const struct asset *a = asset_find(x->route->path, x->id);

    if (!a) {
        admin_answer_problem(&x->answer, 404, "there is no such file");
        return;
    }
    x->answer.status = 200;
    x->answer.text = malloc(a->len + 1);
    if (x->answer.text) {
        memcpy(x->answer.text, a->data, a->len);
        x->answer.text_len = a->len;
        x->answer.text_type = a->type;
    }
}

/* Whoever comes by the Unix socket has been let in by the file's mode. */
static bool admit(struct exchange *x)
{
    static const char SCHEME[] = "Bearer ";
    const char *given = header(x, "Authorization");
    struct bearer b = {0};
    int err = ERR_NOENT;

    if (server_is_unix(x->server)) {
        snprintf(x->caller, sizeof(x->caller), "socket");
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
    const char *wanted = header(x, "Access-Control-Request-Method");

    x->route = wanted ? route_find(wanted, path, x->id, x->allow) : NULL;
    if (!x->route || !(x->route->flags & ROUTE_CORS)) {
        if (!x->allow[0] && !x->route)
            route_find("OPTIONS", path, x->id, x->allow);
        x->route = NULL;
        return false;
    }
    if (allowed_origin(x)) {
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
    const char *type = header(x, "Content-Type"), *length = header(x, "Content-Length");

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
    char *grown;

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
    grown = realloc(x->body, x->body_len + n);
    if (!grown) {
        admin_answer_problem(&x->answer, 503, "no memory");
        return;
    }
    memcpy(grown + x->body_len, bytes, n);
    x->body = grown;
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
            return stream(x);
        }
    }
    if (x->state == EXCHANGE_WAITS) {
        suspend(x);
        return MHD_YES;
    }
    x->state = EXCHANGE_ANSWERED;
    return respond(x);
}

enum MHD_Result http_access(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                            const char *upload, size_t *upload_size, void **exchange)
{
    struct exchange *x = *exchange;

    (void)version;
    if (!x) {
        *exchange = x = exchange_new(server, server_admin(server), c);
        if (!x)
            return MHD_NO;
        connection_reads(c);
        return check_head(x, url, method) ? MHD_YES : respond(x);
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
        if (x->pending && now_ms >= x->pending->deadline_ms) {
            x->pending->exchange = NULL;
            x->pending = NULL;
            x->state = EXCHANGE_ANSWERED;
            admin_answer_problem(&x->answer, 503, "no answer within %d s: the store or a worker hangs; see /readyz",
                                 ADMIN_DEADLINE_MS / 1000);
            resume(x);
        }
        if (x->reader && now_ms - x->beat_ms >= ADMIN_BEAT_MS) {
            x->beat_ms = now_ms;
            events_beat(x->reader);
        }
    }
}

bool http_busy(const struct admin *a, const struct server *s)
{
    for (const struct exchange *x = a->exchanges; x; x = x->next)
        if (x->server == s && x->state != EXCHANGE_STREAMS)
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
        connection_cut(x->c);
        resume(x);
    }
}
