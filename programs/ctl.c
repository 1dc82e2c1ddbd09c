#include "programs/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/redisurl.h"
#include "base/err.h"
#include "programs/show.h"
#include "programs/words.h"

enum { TOKEN_LINE_MAX = 1024 };

int ctl_complain(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("turnpikectl: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

/* ---- Where each operation is. ---- */

static const struct {
    const char *method, *path; /* the id, if there is one, in place of * */
} ROUTES[ADMIN_OPERATIONS_N] = {
    [ADMIN_READY] = {"GET", "/readyz"},
    [ADMIN_METRICS] = {"GET", "/metrics"},
    [ADMIN_STATUS] = {"GET", "/api/v1/status"},
    [ADMIN_ALLOCATIONS_LIST] = {"GET", "/api/v1/allocations"},
    [ADMIN_ALLOCATION_GET] = {"GET", "/api/v1/allocations/*"},
    [ADMIN_ALLOCATION_DELETE] = {"DELETE", "/api/v1/allocations/*"},
    [ADMIN_USERS_LIST] = {"GET", "/api/v1/users"},
    [ADMIN_USER_GET] = {"GET", "/api/v1/users/*"},
    [ADMIN_USER_PUT] = {"PUT", "/api/v1/users/*"},
    [ADMIN_USER_DELETE] = {"DELETE", "/api/v1/users/*"},
    [ADMIN_TOKENS_LIST] = {"GET", "/api/v1/tokens"},
    [ADMIN_TOKEN_ISSUE] = {"POST", "/api/v1/tokens"},
    [ADMIN_TOKEN_GET] = {"GET", "/api/v1/tokens/*"},
    [ADMIN_TOKEN_REVOKE] = {"DELETE", "/api/v1/tokens/*"},
    [ADMIN_ICE_SERVERS] = {"POST", "/api/v1/credentials/generate-ice-servers"},
    [ADMIN_TURN_REST] = {"GET", "/api/v1/credentials"},
    [ADMIN_USER_REVOKE] = {"POST", "/api/v1/credentials/*/revoke"},
    [ADMIN_USAGE] = {"GET", "/api/v1/usage"},
    [ADMIN_PEERS_GET] = {"GET", "/api/v1/peers"},
    [ADMIN_PEERS_PUT] = {"PUT", "/api/v1/peers"},
    [ADMIN_PEERS_TEST] = {"POST", "/api/v1/peers/test"},
    [ADMIN_QUOTA_GET] = {"GET", "/api/v1/quotas/*"},
    [ADMIN_QUOTA_PUT] = {"PUT", "/api/v1/quotas/*"},
    [ADMIN_NODES] = {"GET", "/api/v1/nodes"},
    [ADMIN_BRIDGES] = {"GET", "/api/v1/bridges"},
    [ADMIN_PROBE_START] = {"POST", "/api/v1/probes"},
    [ADMIN_PROBES_LIST] = {"GET", "/api/v1/probes"},
    [ADMIN_PROBE_GET] = {"GET", "/api/v1/probes/*"},
    [ADMIN_DRAIN] = {"POST", "/api/v1/drain"},
    [ADMIN_DRAIN_END] = {"DELETE", "/api/v1/drain"},
    [ADMIN_CONFIG_GET] = {"GET", "/api/v1/config"},
    [ADMIN_CONFIG_CHECK] = {"POST", "/api/v1/config/check"},
    [ADMIN_RELOAD] = {"POST", "/api/v1/reload"},
    [ADMIN_LOG_LEVEL] = {"PUT", "/api/v1/log-level"},
};

/* The path of a question with its query, malloc'ed; NULL: no memory. */
static char *path_of(struct ctl *c, const struct ctl_question *q)
{
    const char *path = ROUTES[q->operation].path, *star = strchr(path, '*'), *key;
    char *id = ctlhttp_escape(c->http, q->id ? q->id : ""), *text = NULL, *escaped, separator = '?';
    json_t *value;
    size_t size;
    FILE *f = id ? open_memstream(&text, &size) : NULL;

    if (!f)
        goto out;
    fprintf(f, "%.*s%s%s", star ? (int)(star - path) : (int)strlen(path), path, star ? id : "", star ? star + 1 : "");
    json_object_foreach(q->query, key, value)
    {
        escaped = ctlhttp_escape(c->http, json_string_value(value));
        fprintf(f, "%c%s=%s", separator, key, escaped ? escaped : "");
        separator = '&';
        free(escaped);
    }
    if (fclose(f)) {
        free(text);
        text = NULL;
    }
out:
    free(id);
    return text;
}

/* ---- Over the socket, or to a relay elsewhere. ---- */

/* The first line of the file; the token is never an argument, which everybody can read. */
static int read_token(const char *file, char token[static TOKEN_LINE_MAX])
{
    FILE *f = fopen(file, "re");
    bool read = f && fgets(token, TOKEN_LINE_MAX, f);

    if (f)
        fclose(f);
    if (!read)
        return ctl_complain(CTL_USAGE, "--token-file=%s: it can't be read, or is empty", file);
    token[strcspn(token, "\r\n")] = '\0';
    return CTL_OK;
}

int ctl_connect(struct ctl *c)
{
    const struct options *o = c->options;
    char token[TOKEN_LINE_MAX] = "";
    struct ctlhttp_config config = {.socket = c->socket, .url = o->url, .cacert = o->cacert};
    int err, status = CTL_OK;

    if (c->http)
        return CTL_OK;
    if (o->url && o->token_file) {
        status = read_token(o->token_file, token);
        config.token = token;
    }
    if (status)
        return status;
    err = ctlhttp_new(&c->http, &config);
    explicit_bzero(token, sizeof(token));
    if (err == ERR_INVAL)
        return ctl_complain(CTL_USAGE, "--url=%s: https://HOST:PORT is expected (http:// goes to this host alone)", o->url);
    return err ? ctl_complain(CTL_FAULT, "%s", err_str(err)) : CTL_OK;
}

int ctl_unreachable(struct ctl *c, int err)
{
    if (err == ERR_ACCES)
        return ctl_complain(CTL_REFUSED, "%s: permission denied: use sudo, or have yourself put into the group that it belongs to",
                            c->socket);
    if (err == ERR_NOENT)
        return ctl_complain(CTL_FAULT, "no relay listens on %s: start turnpiked, or say where it is (--config, --socket, --url)",
                            c->socket);
    return ctl_complain(CTL_FAULT, "%s: %s", c->socket ? c->socket : c->options->url,
                        err == ERR_IO && ctlhttp_why(c->http)[0] ? ctlhttp_why(c->http) : err_str(err));
}

/* A problem's sentence, or what else is known of it (RFC 9457). */
static void take_problem(struct ctl_answer *a)
{
    const char *detail = json_string_value(json_object_get(a->body, "detail")),
               *title = json_string_value(json_object_get(a->body, "title"));

    if (a->status < 300)
        return;
    if (detail || title)
        snprintf(a->detail, sizeof(a->detail), "%s", detail ? detail : title);
    else
        snprintf(a->detail, sizeof(a->detail), "the relay answers with status %d", a->status);
    json_decref(a->body);
    a->body = NULL;
}

/* An error of ctlhttp_call; 0: there is an answer. */
static int send_http(struct ctl *c, const struct ctl_question *q, struct ctl_answer *a)
{
    struct ctlhttp_call call = {.method = ROUTES[q->operation].method, .body = q->body, .if_match = q->if_match};
    struct ctlhttp_answer answer;
    char *path = path_of(c, q);
    int err = ERR_NOMEM;

    call.path = path;
    if (path)
        err = ctlhttp_call(c->http, &call, &answer);
    free(path);
    if (err)
        return err;
    a->status = answer.status;
    a->body = answer.body;
    memcpy(a->etag, answer.etag, sizeof(a->etag));
    take_problem(a);
    return 0;
}

/* ---- Where no relay runs: the same operations, here. ---- */

static int open_store(struct ctl *c)
{
    const struct config *config = c->config;
    struct redis_target target;
    struct storeops_config store = {.state_dir = config->state_dir,
                                    .prefix = config->redis_prefix,
                                    .realm = config->realm,
                                    .node = config->node_id,
                                    .separator = config->rest_api_separator};
    const char *why;
    int err;

    if (c->store)
        return CTL_OK;
    if (config->redis && redisurl_parse(&target, config->redis, &why))
        return ctl_complain(CTL_USAGE, "redis=...: %s", why);
    store.redis = config->redis ? &target : NULL;
    err = storeops_new(&c->store, &store);
    explicit_bzero(&target, sizeof(target));
    return err ? ctl_complain(CTL_FAULT, "%s: %s", config->redis ? "redis" : config->state_dir, err_str(err)) : CTL_OK;
}

static int send_store(struct ctl *c, const struct ctl_question *q, struct ctl_answer *a)
{
    struct admin_answer answer = {0};
    json_t *none = json_object();
    const struct admin_request r = {.operation = q->operation,
                                    .id = q->id,
                                    .query = q->query ? q->query : none,
                                    .body = q->body,
                                    .if_match = q->if_match,
                                    .caller = "turnpikectl",
                                    .now = c->now};
    int status = open_store(c);

    if (!status) {
        storeops_run(c->store, &r, &answer);
        a->status = answer.status;
        a->body = json_incref(answer.body);
        snprintf(a->detail, sizeof(a->detail), "%s", answer.detail);
        if (a->body)
            admin_etag(a->etag, answer.version ? answer.version : a->body);
        admin_answer_clear(&answer);
    }
    json_decref(none);
    return status;
}

void ctl_close(struct ctl *c)
{
    ctlhttp_free(&c->http);
    storeops_free(&c->store);
}

/* ---- Questions. ---- */

/* A relay that was named (--url, --socket) is meant, and nothing else: there is no configuration then, which would name a store. */
static bool has_stand_in(const struct ctl *c, enum admin_operation operation)
{
    return c->config && storeops_serves(operation);
}

int ctl_send(struct ctl *c, const struct ctl_question *q, struct ctl_answer *a)
{
    int err, status = CTL_OK;

    *a = (struct ctl_answer){0};
    if (c->store || (c->options->offline && storeops_serves(q->operation))) {
        status = send_store(c, q, a);
    } else if (c->options->offline) {
        status = ctl_complain(CTL_USAGE, "--offline: this is asked of a relay that runs");
    } else if ((status = ctl_connect(c)) == CTL_OK && (err = send_http(c, q, a))) {
        if (err == ERR_NOENT && has_stand_in(c, q->operation))
            status = send_store(c, q, a);
        else if (err != ERR_NOENT || !q->may_be_away)
            status = ctl_unreachable(c, err);
    }
    json_decref(q->query);
    json_decref(q->body);
    return status;
}

int ctl_refused(struct ctl_answer *a)
{
    static const struct {
        int http, status;
    } STATUS[] = {{400, CTL_USAGE},   {405, CTL_USAGE},   {413, CTL_USAGE},     {415, CTL_USAGE},    {422, CTL_USAGE},
                  {401, CTL_REFUSED}, {403, CTL_REFUSED}, {404, CTL_NOT_FOUND}, {409, CTL_CONFLICT}, {412, CTL_CONFLICT}};
    int status = CTL_FAULT;

    for (size_t i = 0; i < sizeof(STATUS) / sizeof(STATUS[0]); i++)
        if (STATUS[i].http == a->status)
            status = STATUS[i].status;
    json_decref(a->body);
    return ctl_complain(status, "%s", a->detail);
}

int ctl_ask(struct ctl *c, const struct ctl_question *q, json_t **out)
{
    struct ctl_answer a;
    int status = ctl_send(c, q, &a);

    if (out)
        *out = NULL;
    if (status)
        return status;
    if (a.status >= 300)
        return ctl_refused(&a);
    if (a.status != 204 && !a.body)
        return ctl_complain(CTL_FAULT, "the answer is no JSON: is this a relay's admin plane?");
    if (out)
        *out = a.body;
    else
        json_decref(a.body);
    return CTL_OK;
}

int ctl_list(struct ctl *c, enum admin_operation operation, json_t *query, json_t **items)
{
    json_t *all = json_array(), *page = NULL, *filter = query ? query : json_object();
    const char *cursor = NULL;
    int status;

    json_object_set_new(filter, "limit", json_sprintf("%d", ADMIN_PAGE_MAX));
    do {
        struct ctl_question q = {.operation = operation, .query = json_copy(filter)};

        ctl_put_text(q.query, "cursor", cursor);
        json_decref(page);
        status = ctl_ask(c, &q, &page);
        if (!status)
            json_array_extend(all, json_object_get(page, "items"));
        cursor = json_string_value(json_object_get(page, "next"));
    } while (!status && cursor);
    json_decref(page);
    json_decref(filter);
    if (status)
        json_decref(all);
    *items = status ? NULL : all;
    return status;
}

int ctl_watch(struct ctl *c, int (*once)(struct ctl *c))
{
    bool terminal = !c->options->json && isatty(STDOUT_FILENO);
    int status;

    if (!c->options->watch)
        return once(c);
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ); /* each look appears at once */
    for (bool first = true;; first = false) {
        c->now = (int64_t)time(NULL);
        if (terminal)
            fputs("\033[H\033[2J", stdout);
        else if (!first && !c->options->json)
            putchar('\n');
        status = once(c);
        if (fflush(stdout) || (status && (first || status != CTL_FAULT))) /* a relay that starts again is waited for */
            return status;
        sleep(CTL_WATCH_S);
    }
}

void ctl_json(const struct ctl *c, json_t *root)
{
    show_json(root, c->options->watch);
}

/* ---- Options. ---- */

void ctl_put_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, json_string(text));
}

void ctl_put_list(json_t *object, const char *key, const struct option_list *l)
{
    json_t *array = json_array();

    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(array, json_string(l->item[i]));
    json_object_set_new(object, key, array);
}

int ctl_put_size(json_t *object, const char *key, const char *option, const char *text)
{
    int64_t n;

    if (!text)
        return CTL_OK;
    if (strcmp(text, "none") == 0)
        return json_object_set_new(object, key, json_null()) ? CTL_FAULT : CTL_OK;
    if (words_size(&n, text))
        return ctl_complain(CTL_USAGE, "--%s=%s: a number is expected, with k, M or G behind it if wanted", option, text);
    return json_object_set_new(object, key, json_integer(n)) ? CTL_FAULT : CTL_OK;
}

int ctl_put_span(const struct ctl *c, json_t *object, const char *key, const char *option, const char *text)
{
    int64_t t;

    if (!text)
        return CTL_OK;
    if (strcmp(text, "never") == 0)
        return json_object_set_new(object, key, json_null()) ? CTL_FAULT : CTL_OK;
    if (words_time(&t, text, c->now))
        return ctl_complain(CTL_USAGE, "--%s=%s: 90s, 30m, 8h, 7d, or @ and seconds since 1970 is expected", option, text);
    if (t <= c->now)
        return ctl_complain(CTL_USAGE, "--%s=%s: that is over already", option, text);
    return json_object_set_new(object, key, json_integer(t - c->now)) ? CTL_FAULT : CTL_OK;
}
