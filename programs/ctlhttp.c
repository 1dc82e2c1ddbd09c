#include "programs/ctlhttp.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "programs/ctlsse.h"

enum { FIRST_BYTES = 4096 };

struct buffer {
    char *data;
    size_t len, cap;
};

struct ctlhttp {
    CURL *curl;
    char *base; /* scheme, host and port */
    bool over_socket;
    struct curl_slist *token; /* the header that has it */
    char why[CTLHTTP_WHY_MAX];
    char error[CURL_ERROR_SIZE];
};

/* ---- Bytes that may be a password. ---- */

static void buffer_clear(struct buffer *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    free(b->data);
    *b = (struct buffer){0};
}

/* No realloc, which would leave a copy behind. */
static bool buffer_add(struct buffer *b, const char *data, size_t n)
{
    size_t cap = b->cap ? b->cap : FIRST_BYTES;
    char *grown;

    if (n > CTLHTTP_ANSWER_MAX - b->len)
        return false;
    while (cap < b->len + n)
        cap *= 2;
    if (cap != b->cap) {
        grown = malloc(cap);
        if (!grown)
            return false;
        if (b->data) {
            memcpy(grown, b->data, b->len);
            explicit_bzero(b->data, b->cap);
            free(b->data);
        }
        b->data = grown;
        b->cap = cap;
    }
    memcpy(b->data + b->len, data, n);
    b->len += n;
    return true;
}

/* ---- Life. ---- */

static const char HTTPS[] = "https://", HTTP[] = "http://";

static bool is_clear(const char *url)
{
    return strncmp(url, HTTP, sizeof(HTTP) - 1) == 0;
}

/* A token goes in the clear over the loopback alone. Before an '@' the loopback's name would be a user's, and the host another one. */
static bool url_ok(const char *url, bool token)
{
    static const char *const LOOPBACK[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *host = url + (is_clear(url) ? sizeof(HTTP) - 1 : sizeof(HTTPS) - 1);

    if (!is_clear(url) && strncmp(url, HTTPS, sizeof(HTTPS) - 1) != 0)
        return false;
    if (!*host || memchr(host, '@', strcspn(host, "/?#")))
        return false;
    for (size_t i = 0; i < sizeof(LOOPBACK) / sizeof(LOOPBACK[0]); i++) {
        size_t n = strlen(LOOPBACK[i]);

        if (strncmp(LOOPBACK[i], host, n) == 0 && strchr(":/", host[n])) /* or its end */
            return true;
    }
    return !token || !is_clear(url);
}

static int set_token(struct ctlhttp *h, const char *token)
{
    char *header;

    if (!token)
        return 0;
    if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
        return ERR_NOMEM;
    h->token = curl_slist_append(NULL, header);
    explicit_bzero(header, strlen(header));
    free(header);
    return h->token ? 0 : ERR_NOMEM;
}

/* What goes in the clear stays on this host: the environment's proxy, which would see it, is for TLS. */
static bool set_options(struct ctlhttp *h, const struct ctlhttp_config *config)
{
    bool here = config->socket || is_clear(config->url);
    CURL *c = h->curl;

    return curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "turnpikectl") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CA_CACHE_TIMEOUT, 0L) == CURLE_OK && /* events outlive a certificate */
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CTLHTTP_CONNECT_S) == CURLE_OK &&
           (!config->socket || curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, config->socket) == CURLE_OK) &&
           (!here || curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK) &&
           (!config->cacert || curl_easy_setopt(c, CURLOPT_CAINFO, config->cacert) == CURLE_OK);
}

int ctlhttp_new(struct ctlhttp **out, const struct ctlhttp_config *config)
{
    struct ctlhttp *h;
    int err = 0;

    *out = NULL;
    if (!config->socket && !url_ok(config->url, config->token))
        return ERR_INVAL;
    h = calloc(1, sizeof(*h));
    if (!h)
        return ERR_NOMEM;
    h->over_socket = config->socket;
    h->base = strdup(config->socket ? "http://localhost" : config->url);
    h->curl = curl_easy_init();
    if (!h->base || !h->curl || !set_options(h, config))
        err = ERR_NOMEM;
    if (!err && h->base[strlen(h->base) - 1] == '/')
        h->base[strlen(h->base) - 1] = '\0';
    if (!err)
        err = set_token(h, config->token);
    if (err)
        ctlhttp_free(&h);
    *out = h;
    return err;
}

void ctlhttp_free(struct ctlhttp **hp)
{
    struct ctlhttp *h = *hp;

    *hp = NULL;
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    if (h->token)
        explicit_bzero(h->token->data, strlen(h->token->data));
    curl_slist_free_all(h->token);
    free(h->base);
    free(h);
}

const char *ctlhttp_why(const struct ctlhttp *h)
{
    return h->why;
}

char *ctlhttp_escape(struct ctlhttp *h, const char *text)
{
    char *escaped = curl_easy_escape(h->curl, text, 0), *copy = escaped ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}

/* ---- One request. ---- */

static int failed(struct ctlhttp *h, CURLcode code)
{
    long number = 0;

    curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &number);
    snprintf(h->why, sizeof(h->why), "%s", h->error[0] ? h->error : curl_easy_strerror(code));
    if (code == CURLE_OUT_OF_MEMORY)
        return ERR_NOMEM;
    if (!h->over_socket || code != CURLE_COULDNT_CONNECT)
        return ERR_IO;
    return number == EACCES || number == EPERM ? ERR_ACCES : number == ENOENT || number == ECONNREFUSED ? ERR_NOENT : ERR_IO;
}

/* The header's list takes over `*list` also when it fails. */
static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    struct curl_slist *grown;
    char *text;

    if (asprintf(&text, "%s: %s", name, value) < 0)
        return false;
    grown = curl_slist_append(*list, text);
    explicit_bzero(text, strlen(text));
    free(text);
    if (grown)
        *list = grown;
    return grown;
}

static bool set_headers(const struct ctlhttp *h, struct curl_slist **list, const struct ctlhttp_call *call)
{
    static const char AUTHORIZATION[] = "Authorization: ";

    return (!h->token || add_header(list, "Authorization", h->token->data + sizeof(AUTHORIZATION) - 1)) &&
           (!call->if_match || add_header(list, "If-Match", call->if_match)) &&
           (!call->last_id || add_header(list, "Last-Event-ID", call->last_id)) &&
           (!call->body || add_header(list, "Content-Type", "application/json")) && add_header(list, "Expect", "");
}

static size_t on_bytes(char *data, size_t size, size_t n, void *ctx)
{
    return buffer_add(ctx, data, size * n) ? size * n : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    static const char NAME[] = "etag:";
    struct ctlhttp_answer *a = ctx;
    size_t len = size * n, skip = sizeof(NAME) - 1;

    if (len > skip && strncasecmp(data, NAME, skip) == 0) {
        while (skip < len && (data[skip] == ' ' || data[skip] == '\t'))
            skip++;
        while (len > skip && (data[len - 1] == '\r' || data[len - 1] == '\n' || data[len - 1] == ' '))
            len--;
        snprintf(a->etag, sizeof(a->etag), "%.*s", (int)(len - skip), data + skip);
    }
    return size * n;
}

/* From the method to the answer's headers: `url` and `text` are borrowed until the end of the call. */
static bool prepare(struct ctlhttp *h, const struct ctlhttp_call *call, const char *url, const char *text,
                    struct curl_slist *headers, struct ctlhttp_answer *a)
{
    CURL *c = h->curl;

    h->error[0] = '\0';
    return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(c, CURLOPT_HTTPGET, 1L) == CURLE_OK &&
           (!text || curl_easy_setopt(c, CURLOPT_POSTFIELDS, text) == CURLE_OK) &&
           curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, a) == CURLE_OK;
}

/* Does it with what the caller has set to take the bytes. */
static int perform(struct ctlhttp *h, const struct ctlhttp_call *call, struct ctlhttp_answer *a)
{
    char *url = NULL, *text = call->body ? json_dumps(call->body, JSON_COMPACT) : NULL;
    struct curl_slist *headers = NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long status = 0;

    if ((call->body && !text) || asprintf(&url, "%s%s", h->base, call->path) < 0)
        url = NULL;
    if (url && set_headers(h, &headers, call) && prepare(h, call, url, text, headers, a))
        code = curl_easy_perform(h->curl);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    a->status = (int)status;
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, (struct curl_slist *)NULL);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, (char *)NULL);
    for (struct curl_slist *s = headers; s; s = s->next)
        explicit_bzero(s->data, strlen(s->data));
    curl_slist_free_all(headers);
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    free(url);
    return code ? failed(h, code) : 0;
}

int ctlhttp_call(struct ctlhttp *h, const struct ctlhttp_call *call, struct ctlhttp_answer *a)
{
    struct buffer bytes = {0};
    int err;

    *a = (struct ctlhttp_answer){0};
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, (long)CTLHTTP_TIMEOUT_S);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &bytes);
    err = perform(h, call, a);
    if (!err && bytes.len)
        a->body = json_loadb(bytes.data, bytes.len, JSON_REJECT_DUPLICATES, NULL);
    buffer_clear(&bytes);
    return err;
}

/* ---- Events. ---- */

struct reading {
    struct ctlhttp *http;
    struct ctlsse *sse;
    struct buffer problem; /* of another status than 200 */
    bool enough;
};

static size_t on_stream(char *data, size_t size, size_t n, void *ctx)
{
    struct reading *r = ctx;
    long status = 0;

    curl_easy_getinfo(r->http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return buffer_add(&r->problem, data, size * n) ? size * n : 0;
    if (ctlsse_feed(r->sse, data, size * n))
        return size * n;
    r->enough = true;
    return 0;
}

int ctlhttp_events(struct ctlhttp *h, const char *path, char last[static CTLHTTP_ID_MAX + 1], ctlhttp_event_fn *fn, void *ctx,
                   struct ctlhttp_answer *a)
{
    const struct ctlhttp_call call = {.method = "GET", .path = path, .last_id = last[0] ? last : NULL};
    struct reading r = {.http = h};
    int err = ctlsse_new(&r.sse, last, fn, ctx);

    *a = (struct ctlhttp_answer){0};
    if (err)
        return err;
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, 0L);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_stream);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, &r);
    err = perform(h, &call, a);
    if (r.enough)
        err = 0;
    if (!err && r.problem.len)
        a->body = json_loadb(r.problem.data, r.problem.len, 0, NULL);
    buffer_clear(&r.problem);
    ctlsse_free(&r.sse);
    return err;
}
