#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "programs/storeparts.h"

enum {
    TTL_S = 86400,    /* seconds that a credential lives, unless asked */
    REVOKE_S = 86400, /* names of a user part are revoked that expire within a day: longer ones are rarely handed out */
    PART_MAX = TOKEN_TEXT_MAX,
};

static const char OWNER[] = "ice"; /* whose they are, unless asked */

/* A token, and where to use it. The caller's in any case; false: with an answer. */
struct handout {
    struct token token;
    char password[TOKEN_PASSWORD_LEN + 1];
    json_t *stun, *turn;
};

static void clear(struct handout *h)
{
    token_wipe(&h->token);
    explicit_bzero(h->password, sizeof(h->password));
    json_decref(h->stun);
    json_decref(h->turn);
}

/* First the nodes: what nobody serves is not issued. */
static bool hand_out(struct storeops *s, struct handout *h, struct admin_answer *a)
{
    static const char WHAT[] = "credentials";
    const char *why;
    int err = storefleet_uris(s, &h->stun, &h->turn);

    if (err == ERR_NOENT)
        admin_answer_problem(a, 503, "no node is known to be up that takes new allocations (see the list of nodes)");
    else if (err)
        storeops_failed(s->nodes ? redisnodes_why(s->nodes) : "", err, WHAT, a);
    if (err)
        return false;
    err = token_issue(&h->token, h->password, &why);
    if (err) {
        admin_answer_problem(a, err == ERR_INVAL ? 400 : 500, "%s", why);
        return false;
    }
    err = tokenstore_issue(&s->store, &h->token);
    if (err)
        storeops_store_failed(s, err, WHAT, a);
    return !err;
}

void storecredentials_ice(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct handout h = {0};

    if (admin_only(r, "ttl owner label", a) && storetokens_read(s, r, &h.token, OWNER, TTL_S, a) && hand_out(s, &h, a)) {
        admin_answer_json(a, 201,
                          json_pack("{s:[{s:O},{s:O,s:s,s:s}]}", "iceServers", "urls", h.stun, "urls", h.turn, "username",
                                    h.token.id, "credential", h.password));
        a->secret = true;
    }
    clear(&h);
}

void storecredentials_rest(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    struct handout h = {0};
    const char *service, *username;

    if (!admin_text(r, "service", PART_MAX, &service, a) || !admin_text(r, "username", PART_MAX, &username, a))
        return;
    if (!service || strcmp(service, "turn") != 0) {
        admin_answer_problem(a, 400, "service: turn is expected");
        return;
    }
    if (storetokens_read(s, r, &h.token, username && username[0] ? username : OWNER, TTL_S, a) && hand_out(s, &h, a)) {
        admin_answer_json(a, 200,
                          json_pack("{s:s,s:s,s:I,s:O}", "username", h.token.id, "password", h.password, "ttl",
                                    (json_int_t)(h.token.expires_at - r->now), "uris", h.turn));
        a->secret = true;
    }
    clear(&h);
}

void storecredentials_revoke(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    char user[PART_MAX + 1];
    int64_t before;
    int err;

    if (!admin_only(r, "before", a) || !storeusers_name(r, user, sizeof(user), a) ||
        !admin_number(r, "before", r->now + 1, r->now + STOREPARTS_TTL_MAX_S, r->now + REVOKE_S, &before, a))
        return;
    err = tokenstore_revoke_user(&s->store, user, before, r->now);
    if (err)
        storeops_store_failed(s, err, user, a);
    else
        admin_answer_json(a, 200, json_pack("{s:s,s:I}", "username", user, "before", (json_int_t)before));
}
