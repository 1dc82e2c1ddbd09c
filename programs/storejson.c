#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/storeparts.h"
#include "relay/policy.h"

enum { MS_PER_S = 1000 };

/* ---- Out. ---- */

void storejson_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text[0] ? json_string(text) : json_null());
}

void storejson_number(json_t *object, const char *key, int64_t n)
{
    json_object_set_new(object, key, n ? json_integer(n) : json_null());
}

static const char *state_of(const struct token *t, int64_t now)
{
    if (t->revoked_at)
        return "revoked";
    if (t->expires_at && t->expires_at <= now)
        return "expired";
    return t->not_before > now ? "not yet" : "valid";
}

json_t *storejson_peers(const char *peers)
{
    json_t *array = json_array();

    for (const char *p = peers + strspn(peers, " "); *p; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");

        json_array_append_new(array, json_stringn(p, len));
        p += len;
    }
    return array;
}

json_t *storejson_token(const struct token *t, int64_t now)
{
    json_t *object = json_object();
    char scope[32];

    token_scope_write(t->scope, scope);
    storejson_text(object, "id", t->id);
    storejson_text(object, "owner", t->owner);
    storejson_text(object, "label", t->label);
    storejson_text(object, "tenant", t->tenant);
    storejson_text(object, "scope", scope);
    storejson_text(object, "realm", t->realm);
    storejson_text(object, "state", state_of(t, now));
    storejson_number(object, "issued_at", t->issued_at);
    storejson_number(object, "not_before", t->not_before);
    storejson_number(object, "expires_at", t->expires_at);
    storejson_number(object, "revoked_at", t->revoked_at);
    storejson_number(object, "max_allocations", t->max_allocations);
    storejson_number(object, "max_bps", t->max_bps);
    storejson_number(object, "max_bytes", t->max_bytes);
    json_object_set_new(object, "peers", storejson_peers(t->peers));
    return object;
}

json_t *storejson_version(const struct token *t, int64_t now)
{
    json_t *object = storejson_token(t, now);

    json_object_del(object, "state");
    return object;
}

json_t *storejson_used(const struct auth_used *used)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "bytes_up", (json_int_t)used->n[AUTH_USED_BYTES_UP], "bytes_down",
                     (json_int_t)used->n[AUTH_USED_BYTES_DOWN], "packets_up", (json_int_t)used->n[AUTH_USED_PACKETS_UP],
                     "packets_down", (json_int_t)used->n[AUTH_USED_PACKETS_DOWN], "allocations",
                     (json_int_t)used->n[AUTH_USED_ALLOCATIONS], "seconds", (json_int_t)(used->n[AUTH_USED_MS] / MS_PER_S));
}

/* ---- In. ---- */

/* What turnpiked could not read, nobody could use. */
static bool readable(const char *key, const char *peers, struct admin_answer *a)
{
    struct policy *own = NULL;
    const char *bad = "";
    int err = policy_own(&own, peers, &bad);

    policy_unref(&own);
    if (err == ERR_CONFIG)
        admin_answer_problem(a, 400,
                             "%s: %.*s: an address, CIDR or range is expected, with ports if wanted: 10.1.2.0/24, "
                             "10.1.2.3-10.1.2.9, 10.1.2.3:5060-5070/udp, [2001:db8::/32]:5060/udp",
                             key, (int)strcspn(bad, " "), bad);
    else if (err)
        admin_answer_problem(a, 500, "%s: %s", key, err_str(err));
    return !err;
}

bool storejson_read_peers(const struct admin_request *r, const char *key, char *out, size_t cap, struct admin_answer *a)
{
    const json_t *array = json_object_get(r->body, key);
    size_t len = 0;

    out[0] = '\0';
    if (!array || json_is_null(array))
        return true;
    if (!json_is_array(array)) {
        admin_answer_problem(a, 400, "%s: an array of entries is expected", key);
        return false;
    }
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *entry = json_string_value(json_array_get(array, i));
        size_t n = entry ? strlen(entry) : 0;

        if (!n || n != json_string_length(json_array_get(array, i)) || strcspn(entry, " \t\r\n") != n) {
            admin_answer_problem(a, 400, "%s: entry %zu: a text without blanks is expected", key, i + 1);
            return false;
        }
        if (len + n + 1 >= cap) {
            admin_answer_problem(a, 400, "%s: at most %zu bytes in all", key, cap - 1);
            return false;
        }
        len += (size_t)snprintf(out + len, cap - len, "%s%s", len ? " " : "", entry);
    }
    return readable(key, out, a);
}
