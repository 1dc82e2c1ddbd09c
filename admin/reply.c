#include <stdlib.h>
#include <string.h>

#include "admin/adminparts.h"
#include "admin/asset.h"
#include "base/clock.h"
#include "base/log.h"

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
        if (!a->body && a->status >= 400)
            *type = "application/problem+json";
        else if (!*type)
            *type = "application/json";
        if (!a->body)
            a->body = problem(a);
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
const char *reply_origin(const struct exchange *x)
{
    const char *origin = x->route && (x->route->flags & ROUTE_CORS) ? exchange_header(x, "Origin") : NULL;

    for (size_t i = 0; origin && i < x->admin->norigins; i++)
        if (strcmp(x->admin->origins[i], origin) == 0)
            return origin;
    return NULL;
}

static void add_location(const struct exchange *x, struct MHD_Response *r)
{
    const char *id = json_string_value(json_object_get(x->answer.body, "id"));
    char path[64 + 3 * ROUTE_ID_MAX];
    size_t n = strcspn(x->route->path, "{");

    if (!id)
        return;
    memcpy(path, x->route->path, n); /* the routes are shorter */
    if (path[n - 1] != '/')
        path[n++] = '/';
    if (route_encode(path + n, sizeof(path) - n, id))
        MHD_add_response_header(r, "Location", path);
}

void reply_headers(const struct exchange *x, struct MHD_Response *r, const char *type)
{
    const char *origin = reply_origin(x);
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
    if ((x->answer.status == 201 || x->answer.status == 202) && x->route)
        add_location(x, r);
    if (x->route && (x->route->flags & ROUTE_ETAG) && x->answer.status == 200) {
        admin_etag(etag, x->answer.version ? x->answer.version : x->answer.body);
        MHD_add_response_header(r, "ETag", etag);
    }
    if (x->route && (x->route->flags & ROUTE_CORS))
        MHD_add_response_header(r, "Vary", "Origin");
    if (origin)
        MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
}

/* Who has no token, or not the right one, and changes that were refused before they became an operation: at a bounded rate, for strangers can cause
 * it. */
static void log_refusal(struct exchange *x)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    bool stranger = x->answer.status == 401 || x->answer.status == 403;
    struct addr from = {0};

    if (x->called || x->answer.status < 400 || !x->route || !(stranger || (x->route->flags & ROUTE_CHANGES)))
        return;
    if (stranger)
        x->admin->refused[x->answer.status == 403]++;
    if (!rate_take(&x->admin->refusals, 1, clock_now().ms))
        return;
    if (info && info->client_addr)
        addr_from_sockaddr(&from, info->client_addr);
    log_write(LOG_INFO, "admin_refused",
              (const struct log_field[]){LOG_STR("caller", x->caller), LOG_ADDR("from", &from), LOG_STR("method", x->route->method),
                                         LOG_STR("path", x->route->path), LOG_INT("status", x->answer.status),
                                         LOG_STR("reason", x->answer.detail)},
              6);
}

enum MHD_Result reply_send(struct exchange *x)
{
    const char *type;
    enum MHD_Result queued;
    struct MHD_Response *r;

    log_refusal(x);
    r = response_of(x, &type);
    connection_answers(x->c);
    if (!r)
        return MHD_NO;
    reply_headers(x, r, type);
    if (x->answer.status == 204 && strcmp(x->allow, "OPTIONS") == 0) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", x->route->method);
        MHD_add_response_header(r, "Access-Control-Allow-Headers", "authorization, content-type, idempotency-key");
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
    queued = MHD_queue_response(x->c, (unsigned)x->answer.status, r);
    MHD_destroy_response(r);
    return queued;
}
