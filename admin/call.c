#include "admin/call.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/utf8.h"

enum { ETAG_BYTES = 12 }; /* of a SHA-256: two representations differ in them, but for a chance of 2^-96 */

const char *admin_operation_name(enum admin_operation operation)
{
    static const char *const NAMES[] = {
#define X(id, name) [id] = name,
        ADMIN_OPERATIONS(X)
#undef X
    };

    return NAMES[operation];
}

/* ---- Answers. ---- */

void admin_answer_clear(struct admin_answer *a)
{
    json_decref(a->body);
    json_decref(a->version);
    if (a->text && a->secret)
        explicit_bzero(a->text, a->text_len);
    free(a->text);
    *a = (struct admin_answer){0};
}

void admin_answer_json(struct admin_answer *a, int status, json_t *body)
{
    bool secret = a->secret;

    admin_answer_clear(a);
    if (!body && status != 204) {
        admin_answer_problem(a, 500, "no memory");
        return;
    }
    a->status = status;
    a->body = body;
    a->secret = secret;
}

void admin_answer_version(struct admin_answer *a, json_t *version)
{
    json_decref(a->version);
    a->version = version;
}

void admin_answer_problem(struct admin_answer *a, int status, const char *format, ...)
{
    va_list args;

    admin_answer_clear(a);
    a->status = status;
    va_start(args, format);
    vsnprintf(a->detail, sizeof(a->detail), format, args);
    va_end(args);
    utf8_mend(a->detail); /* what was cut, or came from outside */
}

/* ---- Preconditions. ---- */

void admin_etag(char out[static ADMIN_ETAG_MAX], const json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS), hex[2 * ETAG_BYTES + 1];
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};

    if (text)
        EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
    else
        random_bytes(digest, sizeof(digest)); /* it matches nothing */
    free(text);
    hex_encode(hex, digest, ETAG_BYTES);
    snprintf(out, ADMIN_ETAG_MAX, "\"%s\"", hex);
}

/* Is it one of the list? Weak ones never are (RFC 9110 section 13.1.1). */
static bool listed(const char *list, const char *etag)
{
    size_t len = strlen(etag);

    while (*list) {
        size_t n = strcspn(list, ",");
        const char *start = list + strspn(list, " \t");
        size_t skipped = (size_t)(start - list);

        while (n > skipped && strchr(" \t", list[n - 1]))
            n--;
        if (n >= skipped && n - skipped == len && memcmp(start, etag, len) == 0)
            return true;
        list += strcspn(list, ",");
        list += *list == ',';
    }
    return false;
}

bool admin_matches(const struct admin_request *r, const json_t *current, struct admin_answer *a)
{
    char etag[ADMIN_ETAG_MAX];

    if (!r->if_match)
        return true;
    if (current && strcmp(r->if_match, "*") == 0)
        return true;
    if (current) {
        admin_etag(etag, current);
        if (listed(r->if_match, etag))
            return true;
    }
    admin_answer_problem(a, 412, "%s",
                         current ? "it has been changed meanwhile: read it again, and repeat the change on what is there now"
                                 : "there is none of this name, and If-Match was sent");
    return false;
}

/* ---- What an operation reads. ---- */

static const json_t *value_of(const struct admin_request *r, const char *key)
{
    const json_t *v = json_object_get(r->query, key);

    return v ? v : json_object_get(r->body, key);
}

bool admin_text(const struct admin_request *r, const char *key, size_t most, const char **out, struct admin_answer *a)
{
    const json_t *v = value_of(r, key);

    *out = NULL;
    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v) || json_string_length(v) > most || strlen(json_string_value(v)) != json_string_length(v)) {
        admin_answer_problem(a, 400, "%s: a text of at most %zu bytes is expected", key, most);
        return false;
    }
    *out = json_string_value(v);
    return true;
}

/* A parameter of the query is text. */
static bool whole_number(const json_t *v, int64_t *out)
{
    const char *text;
    char *end;

    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    if (!json_is_string(v))
        return false;
    text = json_string_value(v);
    if (*text != '-' && (*text < '0' || *text > '9'))
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return !errno && end != text && !*end;
}

bool admin_number(const struct admin_request *r, const char *key, int64_t least, int64_t most, int64_t fallback, int64_t *out,
                  struct admin_answer *a)
{
    const json_t *in_query = json_object_get(r->query, key), *v = value_of(r, key);

    *out = fallback;
    if (!v || json_is_null(v))
        return true;
    if ((!in_query && !json_is_integer(v)) || !whole_number(v, out) || *out < least || *out > most) {
        admin_answer_problem(a, 400, "%s: a whole number from %lld to %lld is expected", key, (long long)least, (long long)most);
        return false;
    }
    return true;
}

/* The cursor is the place in the list: it is for lists that hardly change. */
void admin_answer_page(const struct admin_request *r, json_t *items, struct admin_answer *a)
{
    int64_t limit, from, n = (int64_t)json_array_size(items);
    json_t *page;
    char next[24];

    if (admin_number(r, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE, &limit, a) && admin_number(r, "cursor", 0, n, 0, &from, a)) {
        page = json_array();
        for (int64_t i = from; i < n && i < from + limit; i++)
            json_array_append(page, json_array_get(items, (size_t)i));
        snprintf(next, sizeof(next), "%" PRId64, from + limit);
        admin_answer_json(a, 200,
                          json_pack("{s:o,s:o}", "items", page, "next", from + limit < n ? json_string(next) : json_null()));
    }
    json_decref(items);
}

bool admin_flag(const struct admin_request *r, const char *key, bool fallback, bool *out, struct admin_answer *a)
{
    const json_t *v = value_of(r, key);
    const char *text = json_string_value(v);

    *out = fallback;
    if (!v || json_is_null(v))
        return true;
    if (text ? strcmp(text, "true") != 0 && strcmp(text, "false") != 0 : !json_is_boolean(v)) {
        admin_answer_problem(a, 400, "%s: true or false is expected", key);
        return false;
    }
    *out = text ? strcmp(text, "true") == 0 : json_is_true(v);
    return true;
}

bool admin_has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *w = words; *w; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");

        if (n == len && memcmp(w, word, n) == 0)
            return true;
        w += n;
    }
    return false;
}

bool admin_only(const struct admin_request *r, const char *keys, struct admin_answer *a)
{
    const char *key;
    json_t *v;

    json_object_foreach(r->body, key, v)
    {
        if (admin_has_word(keys, key))
            continue;
        admin_answer_problem(a, 400, "the body has a member that is not known here: %.64s; known are: %s", key, keys);
        return false;
    }
    return true;
}
