#include "connect/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "connect/callparts.h"
#include "connect/params.h"
#include "connect/relayed.h"
#include "connect/session.h"
#include "connect/tenant.h"

static const char *const STATES[] = {
    [CALL_FORKED] = "offered", [CALL_OFFERED] = "offered", [CALL_RINGING] = "ringing", [CALL_ANSWERED] = "answered"};

static struct call *of_node(struct map_node *n)
{
    return (struct call *)(void *)n; /* the node is the first member */
}

/* ---- Legs. ---- */

static struct leg *add_leg(struct call *c, struct session *s)
{
    struct leg *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->call = c;
    l->session = s;
    LIST_INSERT_HEAD(&s->legs, l, of_session);
    LIST_INSERT_HEAD(&c->legs, l, of_call);
    if (!s->ncalls++)
        tenant_changed(s->tenant);
    return l;
}

static void remove_leg(struct leg *l)
{
    session_forget(l->session, l);
    LIST_REMOVE(l, of_session);
    LIST_REMOVE(l, of_call);
    if (!--l->session->ncalls)
        tenant_changed(l->session->tenant);
    free(l);
}

static struct leg *find_leg(const struct session *s, const char *id)
{
    struct leg *l = LIST_FIRST(&s->legs);

    while (l && strcmp(l->call->id, id) != 0)
        l = LIST_NEXT(l, of_session);
    return l;
}

static unsigned count_legs(const struct call *c)
{
    const struct leg *l;
    unsigned n = 0;

    LIST_FOREACH(l, &c->legs, of_call)
    n++;
    return n;
}

/* ---- Where it relays: the lines of the relay's log that are about this call. ---- */

static void on_relayed(void *ctx, const struct addr *relayed)
{
    struct leg *l = ctx;
    const struct session *s = l->session;
    const struct desk_host *host = &s->desk->config.host;

    if (l->nrelayed == LEG_RELAYED_MAX)
        return;
    l->nrelayed++;
    if (desk_may_log(s->desk))
        LOG(LOG_INFO, "call_relayed", LOG_STR("call", l->call->id), LOG_STR("of", desk_role_name(s->role)),
            LOG_ADDR("relayed", relayed));
    if (host->relayed && s->ice_before)
        host->relayed(host->host, l->call->id, relayed, s->ice_before);
    if (host->relayed && s->ice)
        host->relayed(host->host, l->call->id, relayed, s->ice);
}

/* In a candidate, or in a description. */
static void note_relayed(struct leg *l, const json_t *params)
{
    struct addr relayed;

    if (relayed_read(&relayed, params_text(params, "candidate")))
        on_relayed(l, &relayed);
    relayed_each(params_text(params, "sdp"), on_relayed, l);
}

/* ---- The end. ---- */

static void log_end(const struct call *c, enum desk_reason reason, const char *by)
{
    if (desk_may_log(c->desk))
        LOG(LOG_INFO, "call_ended", LOG_STR("call", c->id), LOG_STR("reason", desk_reason_name(reason)), LOG_STR("by", by),
            LOG_STR("answered", c->answered_ms ? "true" : "false"),
            LOG_INT("ms", c->desk->now.ms - (c->answered_ms ? c->answered_ms : c->started_ms)));
}

static void tell_end(const struct leg *l, enum desk_reason reason, const char *text, const char *by)
{
    json_t *params = json_pack("{s:s,s:s,s:s}", "call", l->call->id, "reason", desk_reason_name(reason), "by", by);

    if (text[0])
        json_object_set_new(params, "text", json_string(text));
    session_notify(l->session, "call.ended", params);
}

void call_end(struct call *c, enum desk_reason reason, const char *text, const char *by, const struct leg *silent)
{
    log_end(c, reason, by);
    for (struct leg *l = LIST_FIRST(&c->legs), *next; l; l = next) {
        next = LIST_NEXT(l, of_call);
        if (!silent || l != silent)
            tell_end(l, reason, text, by);
        remove_leg(l);
    }
    map_remove(&c->desk->calls, &c->by_id);
    desk_count(c->desk, COUNT_CALLS, -1);
    desk_count(c->desk, (enum desk_count)(COUNT_ENDED + (int)reason), 1);
    free(c);
}

/* A forked phone is out of it; with the last one the call ends. */
static void leave(struct leg *l, enum desk_reason reason, const char *text, const char *by)
{
    struct call *c = l->call;

    remove_leg(l);
    if (count_legs(c) == 1)
        call_end(c, reason, text, by, NULL);
}

void call_end_all(struct session *s, enum desk_reason reason)
{
    bool by_itself = reason == DESK_HANGUP; /* its `bye` */
    struct leg *l;

    while ((l = LIST_FIRST(&s->legs))) {
        if (l->call->state == CALL_FORKED && l != l->call->bridge) {
            tell_end(l, reason, "", "service");
            leave(l, reason, "", "service");
        } else {
            call_end(l->call, reason, "", by_itself ? desk_role_name(s->role) : "service", by_itself ? l : NULL);
        }
    }
}

static void sweep_one(struct map_node *n, void *ctx)
{
    const struct desk *d = ctx;
    struct call *c = of_node(n);

    if (c->state != CALL_ANSWERED && d->now.ms >= c->started_ms + CALL_UNANSWERED_S * 1000ULL)
        call_end(c, DESK_NO_ANSWER, "", "service", NULL);
}

void call_sweep(struct desk *d)
{
    map_each(&d->calls, sweep_one, d);
}

json_t *call_list(const struct session *s)
{
    const struct leg *l;
    json_t *list = json_array();

    LIST_FOREACH(l, &s->legs, of_session)
    json_array_append_new(list, json_pack("{s:s,s:s}", "call", l->call->id, "state", STATES[l->call->state]));
    return list;
}

/* ---- The beginning. ---- */

static const char DIALLED[] = "0123456789*#+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";

static const struct params_member OUT_PARAMS[] = {{"to", PARAMS_CHARS, true, 1, 64, DIALLED},
                                                  {"sdp", PARAMS_TEXT, true, 1, CALL_SDP_MAX, NULL},
                                                  {NULL, PARAMS_TEXT, false, 0, 0, NULL}};
static const struct params_member IN_PARAMS[] = {{"user", PARAMS_LINE, true, 1, DESK_TEXT_MAX, NULL},
                                                 {"from", PARAMS_LINE, true, 0, DESK_TEXT_MAX, NULL},
                                                 {"name", PARAMS_LINE, false, 0, DESK_TEXT_MAX, NULL},
                                                 {NULL, PARAMS_TEXT, false, 0, 0, NULL}};

static struct call *new_call(struct desk *d, enum call_state state)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->desk = d;
    c->state = state;
    c->started_ms = d->now.ms;
    desk_id(c->id, 'c');
    LIST_INIT(&c->legs);
    map_insert(&d->calls, &c->by_id, map_hash(&d->calls, c->id, strlen(c->id)));
    desk_count(d, COUNT_CALLS, 1);
    return c;
}

/* One that nobody has heard of. */
static void discard(struct call *c)
{
    struct leg *l;

    while ((l = LIST_FIRST(&c->legs)))
        remove_leg(l);
    map_remove(&c->desk->calls, &c->by_id);
    desk_count(c->desk, COUNT_CALLS, -1);
    free(c);
}

static void begun(const struct call *c, const char *user)
{
    desk_count(c->desk, COUNT_STARTED, 1);
    if (desk_may_log(c->desk))
        LOG(LOG_INFO, "call_started", LOG_STR("call", c->id), LOG_STR("tenant", c->bridge->session->tenant->name),
            LOG_STR("user", user), LOG_STR("phone", c->phone ? c->phone->session->id : ""),
            LOG_STR("bridge", c->bridge->session->id));
}

static enum rpc_error start_out(struct session *s, const json_t *params, struct call **out)
{
    struct session *bridge = tenant_bridge(s->tenant);
    enum rpc_error error;
    struct call *c;

    if (!bridge)
        return RPC_NO_BRIDGE;
    if (!session_has_room(s) || !session_has_room(bridge))
        return RPC_LIMIT;
    c = new_call(s->desk, CALL_OFFERED);
    if (!c)
        return RPC_UNAVAILABLE;
    c->phone = add_leg(c, s);
    c->bridge = c->phone ? add_leg(c, bridge) : NULL;
    error = c->bridge ? call_pass_first(c, params) : RPC_UNAVAILABLE;
    if (error) {
        discard(c);
        return error;
    }
    begun(c, s->user);
    note_relayed(c->phone, params);
    *out = c;
    return RPC_OK;
}

/* To every phone of the user that has room. */
static enum rpc_error fork_call(struct call *c, const struct tenant *t, const char *user)
{
    enum rpc_error error = RPC_NO_PHONE;

    for (struct session *phone = NULL; (phone = tenant_phone(t, phone, user));) {
        if (error != RPC_OK)
            error = RPC_LIMIT;
        if (session_has_room(phone) && add_leg(c, phone))
            error = RPC_OK;
    }
    return error;
}

static void ring(const struct leg *l)
{
    const struct call *c = l->call;

    session_notify(l->session, "call.incoming", json_pack("{s:s,s:s,s:s}", "call", c->id, "from", c->from, "name", c->name));
}

void call_ring_again(struct session *s)
{
    const struct leg *l;

    LIST_FOREACH(l, &s->legs, of_session)
    if (l->call->state == CALL_FORKED && l != l->call->bridge)
        ring(l);
}

static enum rpc_error start_in(struct session *s, const json_t *params, struct call **out)
{
    const char *user = params_text(params, "user");
    struct call *c = session_has_room(s) ? new_call(s->desk, CALL_FORKED) : NULL;
    enum rpc_error error = RPC_UNAVAILABLE;
    const struct leg *l;

    if (!c)
        return session_has_room(s) ? RPC_UNAVAILABLE : RPC_LIMIT;
    c->bridge = add_leg(c, s);
    if (c->bridge)
        error = fork_call(c, s->tenant, user);
    if (error) {
        discard(c);
        return error;
    }
    snprintf(c->from, sizeof(c->from), "%s", params_text(params, "from"));
    snprintf(c->name, sizeof(c->name), "%s", params_text(params, "name"));
    begun(c, user);
    LIST_FOREACH(l, &c->legs, of_call)
    if (l != c->bridge)
        ring(l);
    *out = c;
    return RPC_OK;
}

enum rpc_error call_start(struct session *s, const json_t *params, json_t **result, const char **detail)
{
    bool out = s->role == DESK_PHONE;
    struct call *c = NULL;
    enum rpc_error error;

    *detail = params_check(params, out ? OUT_PARAMS : IN_PARAMS);
    if (*detail)
        return RPC_PARAMS;
    error = out ? start_out(s, params, &c) : start_in(s, params, &c);
    if (error)
        return error;
    *result = json_pack("{s:s}", "call", c->id);
    if (!*result) /* a call whose id nobody learns */
        call_end(c, DESK_LIMIT, "", "service", out ? c->phone : c->bridge);
    return *result ? RPC_OK : RPC_UNAVAILABLE;
}

/* ---- What is said in it. ---- */

enum {
    FORKED = 1 << CALL_FORKED,
    OFFERED = 1 << CALL_OFFERED,
    RINGING = 1 << CALL_RINGING,
    ANSWERED = 1 << CALL_ANSWERED,
    BOTH = OFFERED | RINGING | ANSWERED, /* there are both legs */
    ANY = FORKED | BOTH,
};

enum { LINE_MAX = 2048, STATS_MAX = 32 };

#define NO_MORE                                                                                                                    \
    {                                                                                                                              \
        NULL, PARAMS_TEXT, false, 0, 0, NULL                                                                                       \
    }
static const struct params_member NOTHING[] = {NO_MORE};
static const struct params_member SDP[] = {{"sdp", PARAMS_TEXT, true, 1, CALL_SDP_MAX, NULL}, NO_MORE};
static const struct params_member CANDIDATE[] = {
    {"candidate", PARAMS_OR_NULL, true, 0, LINE_MAX, NULL}, {"mid", PARAMS_LINE, false, 0, DESK_NAME_MAX, NULL}, NO_MORE};
static const struct params_member HOLD[] = {{"on", PARAMS_FLAG, true, 0, 0, NULL}, NO_MORE};
static const struct params_member DTMF[] = {{"digits", PARAMS_CHARS, true, 1, 32, "0123456789*#ABCD"}, NO_MORE};
static const struct params_member MEDIA[] = {{"state", PARAMS_WORD, true, 0, 0, "checking connected reconnecting failed"},
                                             {"local", PARAMS_LINE, false, 0, STATS_MAX, NULL},
                                             {"remote", PARAMS_LINE, false, 0, STATS_MAX, NULL},
                                             {"setup", PARAMS_OBJECT, false, 0, 0, NULL},
                                             NO_MORE};
static const struct params_member STATS[] = {
    {"rtt_ms", PARAMS_NUMBER, false, 0, 0, NULL},   {"lost", PARAMS_NUMBER, false, 0, 0, NULL},
    {"received", PARAMS_NUMBER, false, 0, 0, NULL}, {"jitter_ms", PARAMS_NUMBER, false, 0, 0, NULL},
    {"bytes", PARAMS_NUMBER, false, 0, 0, NULL},    NO_MORE};
/* Those that a client can know; the others are the service's. */
static const struct params_member HANGUP[] = {
    {"reason", PARAMS_WORD, true, 0, 0,
     "hangup busy declined no_answer unknown_number cancelled pbx_down pbx_error media_failed media_lost limit shutdown"},
    {"text", PARAMS_LINE, false, 0, LINE_MAX, NULL},
    NO_MORE};

/* The phones that it rings at lose it to the one that takes it. */
static enum rpc_error on_accept(struct leg *from, json_t *params)
{
    struct call *c = from->call;
    enum rpc_error error = call_pass(from, "call.accept", params);
    struct leg *next;

    if (error)
        return error;

    for (struct leg *l = LIST_FIRST(&c->legs); l; l = next) {
        next = LIST_NEXT(l, of_call);
        if (l == from || l == c->bridge)
            continue;
        tell_end(l, DESK_ELSEWHERE, "", "service");
        remove_leg(l);
    }
    c->phone = from;
    c->state = CALL_OFFERED;
    if (desk_may_log(c->desk))
        LOG(LOG_INFO, "call_accepted", LOG_STR("call", c->id), LOG_STR("phone", from->session->id));
    return RPC_OK;
}

static enum rpc_error on_ringing(struct leg *from, json_t *params)
{
    if (from->call->state == CALL_OFFERED)
        from->call->state = CALL_RINGING;
    return call_pass(from, "call.ringing", params);
}

static enum rpc_error on_answered(struct leg *from, json_t *params)
{
    struct call *c = from->call;

    c->state = CALL_ANSWERED;
    c->answered_ms = c->desk->now.ms;
    desk_count(c->desk, COUNT_ANSWERED, 1);
    if (desk_may_log(c->desk))
        LOG(LOG_INFO, "call_answered", LOG_STR("call", c->id), LOG_INT("ms", c->answered_ms - c->started_ms));
    return call_pass(from, "call.answered", params);
}

static enum rpc_error on_media(struct leg *from, json_t *params)
{
    if (desk_may_log(from->call->desk))
        LOG(LOG_INFO, "call_media", LOG_STR("call", from->call->id), LOG_STR("of", desk_role_name(from->session->role)),
            LOG_STR("state", params_text(params, "state")), LOG_STR("local", params_text(params, "local")),
            LOG_STR("remote", params_text(params, "remote")));
    return call_pass(from, "call.media", params);
}

/* Those of a time in which the other side was away help nobody, and what is kept for it has a limit that they would use up. */
static enum rpc_error on_stats(struct leg *from, json_t *params)
{
    uint64_t now = from->call->desk->now.ms;
    const struct leg *to = call_peer(from);

    if ((from->stats_ms && now < from->stats_ms + CALL_STATS_MS) || !to || !to->session->seat)
        return RPC_OK;
    from->stats_ms = now;
    return call_pass(from, "call.stats", params);
}

static enum desk_reason reason_of(const char *name)
{
    enum desk_reason reason = DESK_HANGUP;

    while (reason < DESK_REASONS - 1 && strcmp(desk_reason_name(reason), name) != 0)
        reason++;
    return reason;
}

/* One of several phones that is busy is out of it; one that declines does so for its user, who has one mind. */
static enum rpc_error on_hangup(struct leg *from, json_t *params)
{
    struct call *c = from->call;
    enum desk_reason reason = reason_of(params_text(params, "reason"));
    const char *text = params_text(params, "text"), *by = desk_role_name(from->session->role);

    if (c->state == CALL_FORKED && from != c->bridge && reason != DESK_DECLINED)
        leave(from, reason, text, by);
    else
        call_end(c, reason, text, by, from);
    return RPC_OK;
}

static const struct rule {
    const char *method;
    unsigned phone, bridge; /* the states in which it may say that */
    const struct params_member *params;
    enum rpc_error (*heard)(struct leg *from, json_t *params); /* NULL: it is passed on, that is all */
} RULES[] = {
    {"call.accept", FORKED, 0, SDP, on_accept},
    {"call.offer", BOTH, 0, SDP, NULL},
    {"call.answer", 0, BOTH, SDP, NULL},
    {"call.restart", 0, BOTH, NOTHING, NULL},
    {"call.candidate", BOTH, BOTH, CANDIDATE, NULL},
    {"call.ringing", FORKED, OFFERED | RINGING, NOTHING, on_ringing},
    {"call.answered", 0, OFFERED | RINGING, NOTHING, on_answered},
    {"call.hold", 0, ANSWERED, HOLD, NULL},
    {"call.dtmf", BOTH, BOTH, DTMF, NULL},
    {"call.media", BOTH, BOTH, MEDIA, on_media},
    {"call.stats", BOTH, BOTH, STATS, on_stats},
    {"call.hangup", ANY, ANY, HANGUP, on_hangup},
};

enum rpc_error call_message(struct session *s, const char *method, json_t *params, const char **detail)
{
    const struct rule *rule = NULL;
    struct leg *from;
    unsigned may;

    for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]) && !rule; i++)
        if (strcmp(RULES[i].method, method) == 0)
            rule = &RULES[i];
    if (!rule)
        return RPC_METHOD;
    from = find_leg(s, params_text(params, "call"));
    if (!from)
        return RPC_NO_CALL;
    may = s->role == DESK_PHONE ? rule->phone : rule->bridge;
    *detail = STATES[from->call->state];
    if (!(may & 1U << from->call->state))
        return RPC_STATE;
    *detail = params_check(params, rule->params);
    if (*detail)
        return RPC_PARAMS;
    note_relayed(from, params);
    return rule->heard ? rule->heard(from, params) : call_pass(from, method, params);
}
