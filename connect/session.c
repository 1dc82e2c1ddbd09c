#include "connect/session.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "connect/board.h"
#include "connect/call.h"
#include "connect/deskprobe.h"
#include "connect/handout.h"
#include "connect/tenant.h"

struct held {
    STAILQ_ENTRY(held) all;
    const void *of; /* the leg; NULL: the service says it */
    size_t len;
    char text[];
};

static struct session *of_node(struct map_node *n)
{
    return (struct session *)(void *)n; /* the node is the first member */
}

void session_log(const struct session *s, const char *event, const char *why)
{
    if (desk_may_log(s->desk))
        LOG(LOG_INFO, event, LOG_STR("session", s->id), LOG_STR("role", desk_role_name(s->role)),
            LOG_STR("tenant", s->tenant->name), LOG_STR("user", s->user), LOG_STR("credential", s->credential),
            LOG_STR("reason", why ? why : ""));
}

/* ---- What it is told. ---- */

static int hold(struct session *s, const void *of, const char *text, size_t len)
{
    struct held *h = malloc(sizeof(*h) + len);

    if (!h)
        return ERR_NOMEM;
    h->of = of;
    h->len = len;
    memcpy(h->text, text, len);
    s->held_bytes += len;
    STAILQ_INSERT_TAIL(&s->held, h, all);
    return 0;
}

static void drop_held(struct session *s)
{
    struct held *h;

    while ((h = STAILQ_FIRST(&s->held))) {
        STAILQ_REMOVE_HEAD(&s->held, all);
        free(h);
    }
    s->held_bytes = 0;
}

/* What goes into a queue that is full goes nowhere, and the link closes. */
static void send_text(struct session *s, const char *text, size_t len)
{
    const struct link *link = &s->seat->link;

    s->lost = s->lost || link->ops->room(link->carrier) < len;
    link->ops->send(link->carrier, text, len);
}

void session_notify(struct session *s, const char *method, json_t *params)
{
    size_t len;
    char *text = rpc_notification(&len, method, params);

    if (!text) /* its peer would wait for ever for what it has not heard */
        s->lost = true;
    else if (s->seat)
        send_text(s, text, len);
    else if (s->held_bytes + len <= SESSION_HELD_MAX) /* else the `calls` of its next hello tell it that one is over */
        s->lost = hold(s, NULL, text, len) || s->lost;
    free(text);
}

int session_pass(struct session *s, const void *of, const char *text, size_t len)
{
    const struct link *link = s->seat ? &s->seat->link : NULL;

    if (link ? link->ops->room(link->carrier) < LINK_QUEUE_MAX / 2 + len : s->held_bytes + len > SESSION_PASSED_MAX)
        return ERR_NOSPC;
    if (!link)
        return hold(s, of, text, len);
    link->ops->send(link->carrier, text, len);
    return 0;
}

size_t session_held(const struct session *s, const void *of)
{
    const struct held *h;
    size_t n = 0;

    STAILQ_FOREACH(h, &s->held, all)
    n += h->of == of ? h->len : 0;
    return n;
}

void session_forget(struct session *s, const void *of)
{
    struct held *h, *next;

    for (h = STAILQ_FIRST(&s->held); h; h = next) {
        next = STAILQ_NEXT(h, all);
        if (h->of != of)
            continue;
        STAILQ_REMOVE(&s->held, h, held, all);
        s->held_bytes -= h->len;
        free(h);
    }
}

void session_flush(struct session *s)
{
    struct held *h;

    STAILQ_FOREACH(h, &s->held, all)
    send_text(s, h->text, h->len);
    drop_held(s);
}

/* ---- Its connections. ---- */

static enum desk_count count_of(const struct session *s)
{
    return s->role == DESK_PHONE ? COUNT_PHONES : COUNT_BRIDGES;
}

void session_detach(struct session *s)
{
    if (!s->seat)
        return;
    s->seat->session = NULL;
    s->seat = NULL;
    s->away_ms = s->desk->now.ms;
    if (s->entry)
        board_gone(s->entry);
    desk_count(s->desk, count_of(s), -1);
    tenant_changed(s->tenant);
}

void session_attach(struct session *s, struct desk_seat *seat)
{
    struct desk_seat *old = s->seat;

    session_detach(s);
    if (old)
        desk_close(old, LINK_RESUMED, "another connection has resumed this session");
    s->seat = seat;
    seat->session = s;
    if (s->role == DESK_BRIDGE)
        rate_init(&seat->rate, SESSION_BRIDGE_PER_S, SESSION_BRIDGE_BURST, s->desk->now.ms);
    if (s->entry)
        board_connected(s->entry, &seat->source, s->desk->now.wall);
    desk_count(s->desk, count_of(s), 1);
}

struct session *session_find(const struct desk *d, const char *id)
{
    struct map_node *n = map_first(&d->sessions, map_hash(&d->sessions, id, strlen(id)));

    while (n && strcmp(of_node(n)->id, id) != 0)
        n = map_next(n);
    return n ? of_node(n) : NULL;
}

struct session *session_resume(struct desk *d, const struct session_config *config, const char *id, const char *secret)
{
    struct session *s = session_find(d, id);

    if (!s || strlen(secret) != strlen(s->secret) || CRYPTO_memcmp(secret, s->secret, strlen(s->secret)) != 0)
        return NULL;
    if (s->lost || s->role != config->role || strcmp(s->user, config->user) != 0 || strcmp(s->tenant->name, config->tenant) != 0)
        return NULL;
    snprintf(s->credential, sizeof(s->credential), "%s", config->credential);
    s->expires_at = config->expires_at;
    return s;
}

/* ---- Its beginning and its end. ---- */

bool session_has_room(const struct session *s)
{
    return s->ncalls < (s->role == DESK_PHONE ? (unsigned)SESSION_PHONE_CALLS : (unsigned)SESSION_BRIDGE_CALLS);
}

/* One more of this user's: if there are too many, the one that is away the longest, and has no call, makes room (`oldest`). */
static bool has_room(const struct tenant *t, const struct session_config *config, struct session **out)
{
    struct session *s, *oldest = NULL;
    unsigned n = 0;

    *out = NULL;

    LIST_FOREACH(s, &t->sessions, of_tenant)
    {
        if (s->role != config->role || strcmp(s->user, config->user) != 0)
            continue;
        n++;
        if (!s->seat && !s->ncalls && (!oldest || s->away_ms < oldest->away_ms))
            oldest = s;
    }
    if (n < SESSION_USER_MAX)
        return true;
    *out = oldest;
    return oldest != NULL;
}

bool session_may_begin(const struct desk *d, const struct session_config *config)
{
    const struct tenant *t = tenant_find(d, config->tenant);
    struct session *oldest;

    return !t || has_room(t, config, &oldest);
}

static bool make_room(const struct tenant *t, const struct session_config *config)
{
    struct session *oldest;
    bool room = has_room(t, config, &oldest);

    if (oldest)
        session_end(&oldest, DESK_LIMIT, LINK_POLICY);
    return room;
}

static void free_session(struct session *s)
{
    drop_held(s);
    board_remove(&s->entry);
    json_decref(s->ice);
    json_decref(s->ice_before);
    explicit_bzero(s, sizeof(*s));
    free(s);
}

enum rpc_error session_new(struct session **out, struct desk *d, const struct session_config *config)
{
    struct tenant *t = tenant_hold(d, config->tenant);
    struct session *s = NULL;
    enum rpc_error error = RPC_UNAVAILABLE;
    uint8_t secret[(DESK_SECRET_MAX - 1) / 2];

    *out = NULL;
    if (t && !make_room(t, config))
        error = RPC_LIMIT;
    else if (t)
        s = calloc(1, sizeof(*s));
    if (!s)
        goto out;
    s->desk = d;
    s->tenant = t;
    s->role = config->role;
    desk_id(s->id, 's');
    random_bytes(secret, sizeof(secret));
    hex_encode(s->secret, secret, sizeof(secret));
    explicit_bzero(secret, sizeof(secret));
    snprintf(s->name, sizeof(s->name), "%s", config->name);
    snprintf(s->user, sizeof(s->user), "%s", config->user);
    snprintf(s->credential, sizeof(s->credential), "%s", config->credential);
    s->expires_at = config->expires_at;
    s->away_ms = d->now.ms;
    rate_init(&s->passed, SESSION_PASSED_PER_S, SESSION_PASSED_BURST, d->now.ms);
    STAILQ_INIT(&s->held);
    LIST_INIT(&s->legs);
    if (s->role == DESK_BRIDGE && board_add(&s->entry, d->board, &(struct board_config){s->id, config->tenant, s->user, s->name})) {
        free_session(s);
        goto out;
    }
    map_insert(&d->sessions, &s->by_id, map_hash(&d->sessions, s->id, strlen(s->id)));
    LIST_INSERT_HEAD(&t->sessions, s, of_tenant);
    *out = s;
    error = RPC_OK;
out:
    tenant_release(&t);
    return error;
}

void session_end(struct session **sp, enum desk_reason reason, enum link_code code)
{
    struct session *s = *sp;
    struct desk_seat *seat = s->seat;
    bool unused = reason == DESK_TOKEN_ENDED || reason == DESK_HANGUP; /* behind its `bye` nobody uses them */

    *sp = NULL;
    session_log(s, "session_ended", desk_reason_name(reason));
    call_end_all(s, reason); /* the last that it hears */
    deskprobe_ended(s, reason);
    session_detach(s);
    if (seat)
        desk_close(seat, code, desk_reason_name(reason));
    handout_retract(s->desk, unused ? s->ice_before : NULL);
    handout_retract(s->desk, unused ? s->ice : NULL);
    map_remove(&s->desk->sessions, &s->by_id);
    LIST_REMOVE(s, of_tenant);
    tenant_changed(s->tenant);
    tenant_drop(s->tenant);
    free_session(s);
}

/* ---- All of them. ---- */

static void sweep_one(struct map_node *n, void *ctx)
{
    const struct desk *d = ctx;
    struct session *s = of_node(n);

    if (s->expires_at && s->expires_at <= d->now.wall)
        session_end(&s, DESK_TOKEN_ENDED, LINK_UNAUTHORIZED);
    else if (s->lost || (!s->seat && d->now.ms >= s->away_ms + SESSION_RESUME_S * 1000ULL))
        session_end(&s, s->role == DESK_PHONE ? DESK_PHONE_LOST : DESK_BRIDGE_LOST, LINK_POLICY);
}

void session_sweep(struct desk *d)
{
    map_each(&d->sessions, sweep_one, d);
}

struct revoke {
    const struct desk *desk;
    const struct auth_revocation *revocation;
};

static void revoke_one(struct map_node *n, void *ctx)
{
    const struct revoke *r = ctx;
    struct session *s = of_node(n);

    if (auth_revokes(r->desk->config.auth, r->revocation, s->credential))
        session_end(&s, DESK_TOKEN_ENDED, LINK_UNAUTHORIZED);
}

void session_revoke(struct desk *d, const struct auth_revocation *revocation)
{
    map_each(&d->sessions, revoke_one, &(struct revoke){d, revocation});
}
