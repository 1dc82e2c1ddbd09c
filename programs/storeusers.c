#include <stdio.h>
#include <string.h>

#include "auth/secret.h"
#include "base/err.h"
#include "programs/storeparts.h"

enum { PASSWORD_MAX = 1023 }; /* bytes, as for user= in the configuration */

void storeusers_list(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    storelists_page(s, r, a, tokenstore_list_users, "users");
}

bool storeusers_name(const struct admin_request *r, char *out, size_t cap, struct admin_answer *a)
{
    if (r->id && auth_opaque_string(out, cap, r->id, strlen(r->id)) == 0)
        return true;
    admin_answer_problem(a, 400, "a name in UTF-8 without control characters is expected, of at most %zu bytes", cap - 1);
    return false;
}

static int get(struct storeops *s, const struct admin_request *r, struct token *t, struct admin_answer *a)
{
    char name[TOKEN_TEXT_MAX + 1];
    int err = ERR_INVAL;

    if (storeusers_name(r, name, sizeof(name), a) && (err = tokenstore_get_user(&s->store, name, t)))
        storeops_store_failed(s, err, name, a);
    return err;
}

void storeusers_get(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct token t = {0};

    if (get(s, r, &t, a) == 0)
        admin_answer_json(a, 200, storejson_token(&t, r->now));
    admin_answer_version(a, storejson_version(&t, r->now));
    token_wipe(&t);
}

void storeusers_remove(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    char name[TOKEN_TEXT_MAX + 1];
    int err;

    if (!storeusers_name(r, name, sizeof(name), a))
        return;
    err = tokenstore_remove_user(&s->store, name, r->now);
    if (err)
        storeops_store_failed(s, err, name, a);
    else
        admin_answer_json(a, 204, NULL);
}

/* ---- Put. ---- */

struct put {
    struct token user;
    const struct token *old; /* NULL: there is none */
    const char *given;       /* the password; NULL: none */
    char password[PASSWORD_MAX + 1];
};

/* The keys of a password, or those that he has; they are of his realm, too. */
static bool set_keys(struct put *p, struct admin_answer *a)
{
    const char *why;

    if (!p->given && p->old && strcmp(p->old->realm, p->user.realm) != 0) {
        admin_answer_problem(a, 400, "password: it is needed: his keys are of the realm %s", p->old->realm);
        return false;
    }
    if (!p->given && p->old) {
        memcpy(p->user.md5, p->old->md5, sizeof(p->user.md5));
        memcpy(p->user.sha256, p->old->sha256, sizeof(p->user.sha256));
        p->user.issued_at = p->old->issued_at;
        return true;
    }
    if (!p->given)
        token_password(p->password);
    else if (auth_opaque_string(p->password, sizeof(p->password), p->given, strlen(p->given))) {
        admin_answer_problem(a, 400, "password: UTF-8 without control characters is expected, of at most %d bytes", PASSWORD_MAX);
        return false;
    }
    if (token_derive(&p->user, p->password, &why) == 0)
        return true;
    admin_answer_problem(a, 500, "%s", why);
    return false;
}

static void keep(struct storeops *s, const struct admin_request *r, struct put *p, struct admin_answer *a)
{
    const char *why;
    json_t *object;
    int err;

    if (!set_keys(p, a))
        return;
    if (token_check(&p->user, &why)) {
        admin_answer_problem(a, 400, "%s", why);
        return;
    }
    err = p->old ? tokenstore_put_user(&s->store, &p->user, r->now) : tokenstore_add_user(&s->store, &p->user);
    if (err) {
        storeops_store_failed(s, err, p->user.id, a);
        return;
    }
    object = storejson_token(&p->user, r->now);
    if (!p->old && !p->given)
        json_object_set_new(object, "password", json_string(p->password));
    admin_answer_json(a, p->old ? 200 : 201, object);
    admin_answer_version(a, storejson_version(&p->user, r->now));
    a->secret = !p->old && !p->given;
}

/* A time-limited name is judged by the shared secrets, and revoked by its user part. */
static bool choose_name(const struct storeops *s, const struct admin_request *r, struct token *t, struct admin_answer *a)
{
    struct secret_name parts;

    if (!storeusers_name(r, t->id, sizeof(t->id), a))
        return false;
    if (t->id[0] == '}') { /* it would end the hash tag of its keys: on a Cluster they would lie apart */
        admin_answer_problem(a, 400, "%s: a name that doesn't begin with } is expected", t->id);
        return false;
    }
    if (!secret_parse_name(&parts, t->id, s->separator))
        return true;
    admin_answer_problem(a, 400, "%s: this reads as a time-limited name of a shared secret; choose another", t->id);
    return false;
}

void storeusers_put(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct token old = {0};
    struct put p = {0};
    json_t *current = NULL;
    int err;

    if (!admin_only(r, "password owner label tenant realm scope ttl not_before max_allocations max_bps max_bytes peers", a) ||
        !choose_name(s, r, &p.user, a) || !admin_text(r, "password", PASSWORD_MAX, &p.given, a) ||
        !storetokens_read(s, r, &p.user, p.user.id, 0, a))
        goto out;
    err = tokenstore_get_user(&s->store, p.user.id, &old);
    if (!err) {
        p.old = &old;
        current = storejson_version(&old, r->now);
    } else if (err != ERR_NOENT) {
        storeops_store_failed(s, err, p.user.id, a);
        goto out;
    }
    if (admin_matches(r, current, a))
        keep(s, r, &p, a);
out:
    json_decref(current);
    token_wipe(&old);
    token_wipe(&p.user);
    explicit_bzero(p.password, sizeof(p.password));
}
