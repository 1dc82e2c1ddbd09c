#include "connect/hello.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/call.h"
#include "connect/handout.h"
#include "connect/params.h"
#include "connect/session.h"
#include "connect/tenant.h"
#include "stun/integrity.h"

static const char TOO_MANY[] = "this user has too many phones or bridges";

enum { PASSWORD_MAX = 1023 }; /* bytes; no protocol limit, a bound for the stack */

struct hello {
    struct desk_seat *seat;
    json_t *id; /* of the request */
    enum desk_role role;
    char name[DESK_NAME_MAX + 1];
    char session[DESK_ID_MAX], secret[DESK_SECRET_MAX]; /* to be resumed; "": a new one */
    uint8_t key[STUN_MD5_KEY_LEN];
    uint64_t pair; /* of its user and source, for base/throttle */
    struct auth_ticket *ticket;
    struct handout *handout;
    /* Behind the answer of auth. */
    char credential[STUN_USERNAME_MAX + 1], user[STUN_USERNAME_MAX + 1], tenant[AUTH_TENANT_MAX + 1];
    int64_t expires_at;
};

static const struct params_member HELLO[] = {{"token", PARAMS_OBJECT, true, 0, 0, NULL},
                                             {"role", PARAMS_WORD, true, 0, 0, "phone bridge"},
                                             {"name", PARAMS_LINE, false, 0, DESK_NAME_MAX, NULL},
                                             {"resume", PARAMS_OBJECT, false, 0, 0, NULL},
                                             {NULL, PARAMS_TEXT, false, 0, 0, NULL}};
static const struct params_member TOKEN[] = {{"username", PARAMS_TEXT, true, 1, STUN_USERNAME_MAX, NULL},
                                             {"password", PARAMS_TEXT, true, 1, PASSWORD_MAX, NULL},
                                             {NULL, PARAMS_TEXT, false, 0, 0, NULL}};
static const struct params_member RESUME[] = {{"session", PARAMS_LINE, true, 1, DESK_ID_MAX - 1, NULL},
                                              {"secret", PARAMS_LINE, true, 1, DESK_SECRET_MAX - 1, NULL},
                                              {NULL, PARAMS_TEXT, false, 0, 0, NULL}};

static void free_hello(struct hello *h)
{
    auth_cancel(&h->ticket);
    handout_cancel(&h->handout);
    json_decref(h->id);
    explicit_bzero(h, sizeof(*h));
    free(h);
}

void hello_cancel(struct desk_seat *seat)
{
    if (seat->hello)
        free_hello(seat->hello);
    seat->hello = NULL;
}

/* ---- Its answers. ---- */

/* Who has no good token goes; who may try again stays. */
static void refuse(struct hello *h, enum rpc_error error, const char *detail)
{
    struct desk_seat *seat = h->seat;
    struct desk *d = seat->desk;

    desk_count(d, COUNT_REFUSED, 1);
    if (desk_may_log(d))
        LOG(LOG_INFO, "hello_refused", LOG_ADDR("client", &seat->source), LOG_STR("role", desk_role_name(h->role)),
            LOG_STR("reason", rpc_reason(error)));
    desk_refuse(seat, h->id, error, detail);
    hello_cancel(seat);
    if (error == RPC_UNAUTHORIZED || error == RPC_FORBIDDEN)
        desk_close(seat, LINK_UNAUTHORIZED, rpc_reason(error));
    else if (error == RPC_LIMIT)
        desk_close(seat, LINK_POLICY, rpc_reason(error));
}

static struct session_config config_of(const struct hello *h)
{
    return (struct session_config){.role = h->role,
                                   .name = h->name,
                                   .user = h->user,
                                   .tenant = h->tenant,
                                   .credential = h->credential,
                                   .expires_at = h->expires_at};
}

static json_t *welcome(const struct session *s, json_t *ice)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:i,s:o,s:o,s:i}", "session", s->id, "secret", s->secret, "tenant", s->tenant->name, "user",
                     s->user, "resume_s", (int)SESSION_RESUME_S, "ice", ice ? ice : json_null(), "calls", call_list(s), "bridges",
                     (int)tenant_bridges(s->tenant));
}

/* `ice`: fresh ones; NULL: those that the session has. */
static void finish(struct hello *h, json_t *ice)
{
    struct desk_seat *seat = h->seat;
    struct desk *d = seat->desk;
    struct session_config config = config_of(h);
    bool resumes = h->session[0];
    struct session *s = resumes ? session_resume(d, &config, h->session, h->secret) : NULL;
    enum rpc_error error = s ? RPC_OK : resumes ? RPC_NO_SESSION : session_new(&s, d, &config);

    if (error) {
        handout_retract(d, ice);
        refuse(h, error, error == RPC_LIMIT ? TOO_MANY : NULL);
        return;
    }
    desk_count(d, resumes ? COUNT_RESUMED : COUNT_HELLOS, 1);
    if (ice)
        handout_keep(s, ice);
    session_attach(s, seat);
    seat->link.ops->known(seat->link.carrier);
    s->told_bridges = tenant_bridges(s->tenant);
    session_log(s, resumes ? "session_resumed" : "session_started", NULL);
    tenant_changed(s->tenant);
    desk_answer(seat, h->id, welcome(s, ice ? json_incref(ice) : handout_young(s)));
    hello_cancel(seat);
    if (seat->closed) /* there was no memory for the answer: it may try again */
        return;
    call_ring_again(s);
    session_flush(s); /* what it has missed stands behind the answer, and what is new behind that */
}

/* A call is not ended because the store is away: a session that goes on does so without. */
static void on_ice(void *ctx, json_t *ice)
{
    struct hello *h = ctx;
    struct desk *d = h->seat->desk;

    h->handout = NULL;
    if (ice || h->session[0])
        finish(h, ice);
    else
        refuse(h, RPC_UNAVAILABLE, NULL);
    tenant_tell(d);
}

/* ---- Is the token good? ---- */

static bool fits(const struct hello *h, const struct auth_answer *answer)
{
    bool fits = false;

    for (size_t i = 0; i < answer->nkeys && answer->key_len == sizeof(h->key); i++)
        fits = CRYPTO_memcmp(answer->keys[i], h->key, sizeof(h->key)) == 0 || fits;
    return fits;
}

/* The same whether the user is unknown or the password wrong (S14), and so is what it counts for the throttle (S15). */
static void wrong(struct hello *h)
{
    struct desk *d = h->seat->desk;

    if (throttle_failure(d->throttle, h->pair, d->now.ms) && desk_may_log(d))
        LOG(LOG_WARNING, "hello_throttled", LOG_ADDR("client", &h->seat->source));
    refuse(h, RPC_UNAUTHORIZED, NULL);
}

static void good(struct hello *h, const struct auth_answer *answer)
{
    struct desk *d = h->seat->desk;
    struct session_config config;
    struct session *s = NULL;
    json_t *young = NULL;
    enum rpc_error error;
    bool has;

    snprintf(h->credential, sizeof(h->credential), "%s", answer->name);
    snprintf(h->user, sizeof(h->user), "%s", answer->owner[0] ? answer->owner : answer->name);
    snprintf(h->tenant, sizeof(h->tenant), "%s", answer->tenant);
    h->expires_at = answer->expires_at;
    config = config_of(h);
    if (h->session[0])
        s = session_resume(d, &config, h->session, h->secret);
    if (s)
        young = handout_young(s);
    has = young != NULL;
    json_decref(young);
    if (has || (h->session[0] && !s)) {
        finish(h, NULL);
    } else if (!s && !session_may_begin(d, &config)) { /* before anything is made for it */
        refuse(h, RPC_LIMIT, TOO_MANY);
    } else {
        error = handout_ask(&h->handout, d, &(struct desk_ice){h->user, h->tenant, h->expires_at}, on_ice, h);
        if (error == RPC_LIMIT && !s)
            refuse(h, error, "this user has begun too often");
        else if (error)
            on_ice(h, NULL);
    }
}

static void judge(struct hello *h, const struct auth_answer *answer)
{
    unsigned needed = h->role == DESK_PHONE ? AUTH_SCOPE_PHONE : AUTH_SCOPE_BRIDGE;

    if (answer->status == AUTH_UNAVAILABLE)
        refuse(h, RPC_UNAVAILABLE, NULL);
    else if (answer->status != AUTH_OK || !fits(h, answer))
        wrong(h);
    else if (!(answer->scope & needed)) /* whoever has the password may know */
        refuse(h, RPC_FORBIDDEN, h->role == DESK_PHONE ? "phone" : "bridge");
    else
        good(h, answer);
}

static void on_answer(void *ctx, const struct auth_answer *answer)
{
    struct hello *h = ctx;
    struct desk *d = h->seat->desk;

    h->ticket = NULL;
    judge(h, answer);
    tenant_tell(d);
}

static void ask(struct hello *h, const char *name)
{
    struct desk *d = h->seat->desk;
    struct auth_request question = {.user = name,
                                    .algorithm = STUN_ALG_MD5,
                                    .wall = d->now.wall,
                                    .mac = d->mac,
                                    .worker = d->config.worker,
                                    .scope =
                                        AUTH_SCOPE_ANY}; /* which one it has is judged when its password is known to be right */
    struct auth_answer answer;

    if (auth_check(d->config.auth, &question, &answer, on_answer, h, &h->ticket) != AUTH_PENDING)
        judge(h, &answer);
    explicit_bzero(&answer, sizeof(answer));
}

/* ---- The request. ---- */

/* The user part, or an expiry that changes would make each try another user's. */
static uint64_t pair_of(const struct desk_seat *seat, const char *name)
{
    size_t len;
    const char *user = auth_user_part(seat->desk->config.auth, name, &len);

    return throttle_pair(seat->desk->throttle, user, len, &seat->source);
}

/* Name and password as they are compared; the key is made whether there is such a user or not (S14). */
static int prepare(struct hello *h, const json_t *token, char name[static STUN_USERNAME_MAX + 1])
{
    const char *username = params_text(token, "username"), *text = params_text(token, "password");
    char password[PASSWORD_MAX + 1];
    int err = auth_opaque_string(name, STUN_USERNAME_MAX + 1, username, strlen(username));

    h->pair = pair_of(h->seat, err ? username : name);
    if (!err)
        err = auth_opaque_string(password, sizeof(password), text, strlen(text));
    if (!err)
        err = stun_key_md5(name, auth_realm(h->seat->desk->config.auth), password, h->key);
    explicit_bzero(password, sizeof(password));
    return err;
}

static const char *check(const struct rpc_message *m)
{
    const json_t *resume = json_object_get(m->params, "resume");
    const char *wrong = params_check(m->params, HELLO);

    if (!wrong)
        wrong = params_check(json_object_get(m->params, "token"), TOKEN);
    if (!wrong && resume)
        wrong = params_check(resume, RESUME);
    return wrong;
}

enum rpc_error hello_begin(struct desk_seat *seat, const struct rpc_message *m, const char **detail)
{
    const json_t *resume = json_object_get(m->params, "resume");
    char name[STUN_USERNAME_MAX + 1];
    struct hello *h;
    int err;

    *detail = check(m);
    if (*detail)
        return RPC_PARAMS;
    h = calloc(1, sizeof(*h));
    if (!h)
        return RPC_UNAVAILABLE;
    h->seat = seat;
    h->id = json_incref(m->id);
    h->role = strcmp(params_text(m->params, "role"), "phone") == 0 ? DESK_PHONE : DESK_BRIDGE;
    snprintf(h->name, sizeof(h->name), "%s", params_text(m->params, "name"));
    snprintf(h->session, sizeof(h->session), "%s", params_text(resume, "session"));
    snprintf(h->secret, sizeof(h->secret), "%s", params_text(resume, "secret"));
    seat->hello = h;
    err = prepare(h, json_object_get(m->params, "token"), name);
    if (throttle_silent(seat->desk->throttle, h->pair, seat->desk->now.ms))
        refuse(h, RPC_LIMIT, "too many wrong passwords: wait a minute");
    else if (err == ERR_CRYPTO)
        refuse(h, RPC_UNAVAILABLE, NULL);
    else if (err)
        wrong(h);
    else
        ask(h, name);
    return RPC_OK;
}

void hello_revoke(struct desk *d, const struct auth_revocation *revocation)
{
    struct desk_seat *seat;

    LIST_FOREACH(seat, &d->seats, all)
    if (seat->hello && seat->hello->credential[0] && auth_revokes(d->config.auth, revocation, seat->hello->credential))
        refuse(seat->hello, RPC_UNAUTHORIZED, NULL);
}
