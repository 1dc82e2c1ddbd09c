#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/storeparts.h"

/* ---- What is asked for. ---- */

static bool read_text(const struct admin_request *r, const char *key, char *out, size_t cap, const char *fallback,
                      struct admin_answer *a)
{
    const char *text;

    if (!admin_text(r, key, cap - 1, &text, a))
        return false;
    if (!text || !text[0])
        text = fallback;
    if ((size_t)snprintf(out, cap, "%s", text) < cap)
        return true;
    admin_answer_problem(a, 400, "%s: at most %zu bytes", key, cap - 1); /* the fallback's */
    return false;
}

static bool read_scope(const struct admin_request *r, unsigned *scope, struct admin_answer *a)
{
    const char *text;

    if (!admin_text(r, "scope", TOKEN_TEXT_MAX, &text, a))
        return false;
    if (token_scope_read(scope, text ? text : "turn") == 0)
        return true;
    admin_answer_problem(a, 400, "scope: turn, phone and bridge are expected, with commas between");
    return false;
}

/* A limit of 0 would be none: who asks for one does not mean that. */
static bool read_limits(const struct admin_request *r, struct token *t, struct admin_answer *a)
{
    return admin_number(r, "max_allocations", 1, UINT32_MAX, 0, &t->max_allocations, a) &&
           admin_number(r, "max_bps", 1, STOREPARTS_NUMBER_MAX, 0, &t->max_bps, a) &&
           admin_number(r, "max_bytes", 1, STOREPARTS_NUMBER_MAX, 0, &t->max_bytes, a);
}

static bool read_times(const struct admin_request *r, struct token *t, int64_t ttl, struct admin_answer *a)
{
    int64_t begins;

    if (!admin_number(r, "ttl", 1, STOREPARTS_TTL_MAX_S, ttl, &ttl, a) ||
        !admin_number(r, "not_before", 0, STOREPARTS_TTL_MAX_S, 0, &begins, a))
        return false;
    if (ttl && begins >= ttl) {
        admin_answer_problem(a, 400, "not_before: it would end (ttl) before it begins");
        return false;
    }
    t->issued_at = r->now;
    t->expires_at = ttl ? r->now + ttl : 0;
    t->not_before = begins ? r->now + begins : 0;
    return true;
}

bool storetokens_read(const struct storeops *s, const struct admin_request *r, struct token *t, const char *owner, int64_t ttl,
                      struct admin_answer *a)
{
    if (!read_text(r, "owner", t->owner, sizeof(t->owner), owner ? owner : "", a) ||
        !read_text(r, "label", t->label, sizeof(t->label), "", a) || !read_text(r, "tenant", t->tenant, sizeof(t->tenant), "", a) ||
        !read_text(r, "realm", t->realm, sizeof(t->realm), s->realm, a) || !read_scope(r, &t->scope, a) || !read_limits(r, t, a) ||
        !read_times(r, t, ttl, a) || !storejson_read_peers(r, "peers", t->peers, sizeof(t->peers), a))
        return false;
    if (t->owner[0])
        return true;
    admin_answer_problem(a, 400, "owner: it is needed: quotas and usage count for it");
    return false;
}

/* ---- Operations. ---- */

void storetokens_list(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    storelists_page(s, r, a, tokenstore_list, "tokens");
}

/* With what is shown this once. */
static json_t *issued(struct storeops *s, const struct token *t, const char *password, int64_t now)
{
    json_t *object = storejson_token(t, now), *stun = NULL, *turn = NULL;

    json_object_set_new(object, "username", json_string(t->id));
    json_object_set_new(object, "password", json_string(password));
    if (storefleet_uris(s, &stun, &turn) == 0) /* else it is good for a node that will be there */
        json_array_extend(stun, turn);
    json_object_set_new(object, "urls", stun ? stun : json_array());
    json_decref(turn);
    return object;
}

static void issue(struct storeops *s, const struct admin_request *r, struct token *t, struct admin_answer *a)
{
    char password[TOKEN_PASSWORD_LEN + 1] = "";
    const char *why;
    int err = token_issue(t, password, &why);

    if (err == ERR_INVAL)
        admin_answer_problem(a, 400, "%s", why);
    else if (err)
        admin_answer_problem(a, 500, "%s", why);
    else if ((err = tokenstore_issue(&s->store, t)))
        storeops_store_failed(s, err, "the token", a);
    else
        admin_answer_json(a, 201, issued(s, t, password, r->now));
    a->secret = !err;
    explicit_bzero(password, sizeof(password));
}

void storetokens_issue(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct token t = {0};

    if (!admin_only(r, "owner ttl label tenant realm scope not_before max_allocations max_bps max_bytes peers", a))
        return;
    if (!json_object_get(r->body, "ttl"))
        admin_answer_problem(a, 400, "ttl: seconds until it ends are needed, or null: it never does");
    else if (storetokens_read(s, r, &t, NULL, 0, a))
        issue(s, r, &t, a);
    token_wipe(&t);
}

void storetokens_get(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct auth_used used;
    struct token t = {0};
    json_t *object;
    int err = tokenstore_get(&s->store, r->id, &t);

    if (!err)
        err = tokenstore_used(&s->store, &t, &used);
    if (err) {
        storeops_store_failed(s, err, r->id, a);
    } else {
        object = storejson_token(&t, r->now);
        json_object_set_new(object, "usage", storejson_used(&used));
        admin_answer_json(a, 200, object);
    }
    token_wipe(&t);
}

void storetokens_revoke(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    int err = tokenstore_revoke(&s->store, r->id, r->now);

    if (err)
        storeops_store_failed(s, err, r->id, a);
    else
        admin_answer_json(a, 204, NULL);
}
