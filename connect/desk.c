#include "connect/deskparts.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/random.h"
#include "connect/board.h"
#include "connect/bridgestatus.h"
#include "connect/call.h"
#include "connect/deskprobe.h"
#include "connect/handout.h"
#include "connect/hello.h"
#include "connect/probes.h"
#include "connect/session.h"
#include "connect/tenant.h"
#include "stun/integrity.h"

enum {
    SEATS_MAX = 65536,    /* connections; the port has fewer */
    HELLO_S = 10,         /* in which a hello has to come */
    MESSAGES_PER_S = 100, /* of one client, */
    MESSAGES_BURST = 300, /* and how many of them at once */
    SLOTS = 256,          /* of the tables at first; they grow */
    LOGGED_PER_S = 100,   /* lines that clients cause */
    LOGGED_BURST = 400,
};

static const char *const REASONS[DESK_REASONS] = {
    [DESK_HANGUP] = "hangup",
    [DESK_BUSY] = "busy",
    [DESK_DECLINED] = "declined",
    [DESK_NO_ANSWER] = "no_answer",
    [DESK_UNKNOWN_NUMBER] = "unknown_number",
    [DESK_CANCELLED] = "cancelled",
    [DESK_ELSEWHERE] = "elsewhere",
    [DESK_PBX_DOWN] = "pbx_down",
    [DESK_PBX_ERROR] = "pbx_error",
    [DESK_MEDIA_FAILED] = "media_failed",
    [DESK_MEDIA_LOST] = "media_lost",
    [DESK_PHONE_LOST] = "phone_lost",
    [DESK_BRIDGE_LOST] = "bridge_lost",
    [DESK_TOKEN_ENDED] = "token_ended",
    [DESK_LIMIT] = "limit",
    [DESK_SHUTDOWN] = "shutdown",
};

const char *desk_reason_name(enum desk_reason reason)
{
    return REASONS[reason];
}

const char *desk_role_name(enum desk_role role)
{
    return role == DESK_PHONE ? "phone" : "bridge";
}

void desk_id(char out[static DESK_ID_MAX], char letter)
{
    uint8_t bytes[8];

    random_bytes(bytes, sizeof(bytes));
    out[0] = letter;
    hex_encode(out + 1, bytes, sizeof(bytes));
}

/* ---- Counting and logging. ---- */

void desk_count(struct desk *d, enum desk_count what, int n)
{
    atomic_fetch_add_explicit(&d->counts[what], (uint64_t)(int64_t)n, memory_order_relaxed);
}

static uint64_t counted(const struct desk *d, enum desk_count what)
{
    return atomic_load_explicit(&d->counts[what], memory_order_relaxed);
}

void desk_read(const struct desk *d, struct desk_counts *out)
{
    *out = (struct desk_counts){.phones = counted(d, COUNT_PHONES),
                                .bridges = counted(d, COUNT_BRIDGES),
                                .calls = counted(d, COUNT_CALLS),
                                .hellos = counted(d, COUNT_HELLOS),
                                .refused = counted(d, COUNT_REFUSED),
                                .resumed = counted(d, COUNT_RESUMED),
                                .started = counted(d, COUNT_STARTED),
                                .answered = counted(d, COUNT_ANSWERED)};
    for (int i = 0; i < DESK_REASONS; i++)
        out->ended[i] = counted(d, (enum desk_count)(COUNT_ENDED + i));
}

json_t *desk_bridges(const struct desk *d, const char *tenant)
{
    return board_list(d->board, tenant);
}

struct probes *desk_probes(const struct desk *d)
{
    return d->probes;
}

bool desk_may_log(struct desk *d)
{
    bool may = rate_take(&d->log_rate, 1, d->now.ms);

    d->unlogged += !may;
    return may;
}

static void tell_unlogged(struct desk *d)
{
    if (d->unlogged)
        LOG(LOG_WARNING, "connect_events_suppressed", LOG_INT("lines", d->unlogged));
    d->unlogged = 0;
}

/* ---- Answers, and the end of a connection. ---- */

static void send_text(struct desk_seat *seat, char *text, size_t len)
{
    if (text)
        seat->link.ops->send(seat->link.carrier, text, len);
    else /* who waits for an answer for ever is better off with a new connection */
        desk_close(seat, LINK_POLICY, "no memory");
    free(text);
}

void desk_answer(struct desk_seat *seat, const json_t *id, json_t *result)
{
    size_t len;
    char *text = rpc_result(&len, id, result);

    send_text(seat, text, len);
}

void desk_refuse(struct desk_seat *seat, const json_t *id, enum rpc_error error, const char *detail)
{
    size_t len;
    char *text = rpc_failure(&len, id, error, detail);

    send_text(seat, text, len);
}

static void leave(struct desk_seat *seat)
{
    hello_cancel(seat);
    handout_cancel(&seat->handout);
    json_decref(seat->later);
    seat->later = NULL;
    if (seat->session)
        session_detach(seat->session);
}

void desk_close(struct desk_seat *seat, enum link_code code, const char *why)
{
    if (seat->closed)
        return;
    leave(seat);
    seat->closed = true;
    seat->link.ops->close(seat->link.carrier, code, why);
}

/* ---- Methods. RPC_OK without a result: it is answered elsewhere. ---- */

static enum rpc_error on_hello(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    (void)result;
    return m->id ? hello_begin(seat, m, detail) : RPC_REQUEST;
}

static void on_ice(void *ctx, json_t *ice)
{
    struct desk_seat *seat = ctx;
    json_t *later = seat->later, *id;
    size_t i;

    seat->handout = NULL;
    seat->later = NULL;
    if (ice)
        handout_keep(seat->session, ice);
    json_array_foreach(later, i, id)
    {
        if (ice)
            desk_answer(seat, id, json_incref(ice));
        else
            desk_refuse(seat, id, RPC_UNAVAILABLE, NULL);
    }
    json_decref(later);
}

static enum rpc_error on_ice_servers(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    const struct session *s = seat->session;
    enum rpc_error error;

    (void)detail;
    if (!m->id)
        return RPC_REQUEST;
    *result = handout_young(s);
    if (*result)
        return RPC_OK;
    if (!seat->later)
        seat->later = json_array();
    if (json_array_size(seat->later) >= DESK_LATER_MAX)
        return RPC_LIMIT;
    if (json_array_append(seat->later, m->id))
        return RPC_UNAVAILABLE;
    if (seat->handout)
        return RPC_OK;
    error = handout_ask(&seat->handout, seat->desk, &(struct desk_ice){s->user, s->tenant->name, s->expires_at}, on_ice, seat);
    if (error)
        json_array_clear(seat->later);
    return error;
}

static enum rpc_error on_bye(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    struct session *s = seat->session;

    (void)result, (void)detail;
    if (m->id) /* behind the end nothing is said any more */
        desk_answer(seat, m->id, json_object());
    if (seat->session)
        session_end(&s, DESK_HANGUP, LINK_NORMAL);
    return RPC_OK;
}

static enum rpc_error on_call_start(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    return m->id ? call_start(seat->session, m->params, result, detail) : RPC_REQUEST;
}

/* The newest one stands for those before. */
static enum rpc_error on_bridge_status(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    const struct session *s = seat->session;
    enum rpc_error error;
    char *text;

    if (s->role != DESK_BRIDGE)
        return RPC_METHOD;
    error = bridgestatus_read(&text, m->params, detail);
    if (error)
        return error;
    board_status(s->entry, &text, seat->desk->now.wall);
    *result = json_object();
    return RPC_OK;
}

static enum rpc_error on_probe(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    enum rpc_error error = deskprobe_message(seat->session, m->method, m->params, detail);

    if (!error)
        *result = json_object();
    return error;
}

/* A notification by its nature; who wants to know gets an empty object, or the reason why not. */
static enum rpc_error on_call(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    enum rpc_error error = call_message(seat->session, m->method, m->params, detail);

    if (!error)
        *result = json_object();
    return error;
}

static const struct method {
    const char *name;
    bool first; /* before there is a session; the others are for behind that */
    enum rpc_error (*run)(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail);
} METHODS[] = {
    {"hello", true, on_hello},
    {"ice.servers", false, on_ice_servers},
    {"bye", false, on_bye},
    {"call.start", false, on_call_start},
    {"bridge.status", false, on_bridge_status},
    {"probe.progress", false, on_probe},
    {"probe.done", false, on_probe},
};

static enum rpc_error run(struct desk_seat *seat, const struct rpc_message *m, json_t **result, const char **detail)
{
    static const struct method CALL = {"call.", false, on_call};
    const struct method *method = &CALL;

    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
        if (strcmp(METHODS[i].name, m->method) == 0)
            method = &METHODS[i];
    *detail = method->first ? "there is a session already, or a hello under way" : "hello comes first";
    if (method->first ? seat->session || seat->hello : !seat->session)
        return RPC_STATE;
    *detail = NULL;
    return method->run(seat, m, result, detail);
}

static void serve(struct desk_seat *seat, const char *text, size_t len)
{
    struct rpc_message m;
    const char *detail;
    json_t *result = NULL;
    enum rpc_error error = rpc_read(&m, text, len, &detail);
    bool broken = error != RPC_OK; /* it speaks something else */

    if (!error)
        error = run(seat, &m, &result, &detail);
    if (error && (m.id || broken))
        desk_refuse(seat, m.id, error, detail);
    else if (result && m.id)
        desk_answer(seat, m.id, json_incref(result));
    if (broken)
        desk_close(seat, LINK_PROTOCOL, rpc_reason(error));
    json_decref(result);
    rpc_clear(&m);
}

void desk_text(struct desk_seat *seat, const char *text, size_t len, const struct now *now)
{
    struct desk *d = seat->desk;
    struct session *s = seat->session;

    d->now = *now;
    if (seat->closed)
        return;
    if (s && s->expires_at && s->expires_at <= now->wall)
        session_end(&s, DESK_TOKEN_ENDED, LINK_UNAUTHORIZED);
    else if (!rate_take(&seat->rate, 1, now->ms))
        desk_close(seat, LINK_POLICY, "too many messages");
    else
        serve(seat, text, len);
    tenant_tell(d);
}

/* ---- Connections. ---- */

struct desk_seat *desk_open(struct desk *d, const struct link *link, const struct addr *source, const struct now *now)
{
    struct desk_seat *seat = d->stopping || d->nseats >= SEATS_MAX ? NULL : calloc(1, sizeof(*seat));

    d->now = *now;
    if (!seat)
        return NULL;
    seat->desk = d;
    seat->link = *link;
    seat->source = *source;
    seat->opened_ms = now->ms;
    rate_init(&seat->rate, MESSAGES_PER_S, MESSAGES_BURST, now->ms);
    LIST_INSERT_HEAD(&d->seats, seat, all);
    d->nseats++;
    return seat;
}

void desk_closed(struct desk_seat *seat, const struct now *now)
{
    struct desk *d = seat->desk;

    d->now = *now;
    leave(seat);
    LIST_REMOVE(seat, all);
    d->nseats--;
    free(seat);
    tenant_tell(d);
}

static void sweep_seats(struct desk *d)
{
    struct desk_seat *seat;

    LIST_FOREACH(seat, &d->seats, all)
    if (!seat->session && !seat->hello && d->now.ms >= seat->opened_ms + HELLO_S * 1000ULL)
        desk_close(seat, LINK_NO_HELLO, "no hello in time");
}

void desk_tick(struct desk *d, const struct now *now)
{
    d->now = *now;
    sweep_seats(d);
    session_sweep(d);
    call_sweep(d);
    probes_sweep(d->probes, now);
    tenant_tell(d);
    tell_unlogged(d);
}

void desk_probe(struct desk *d, const char *id, const struct now *now)
{
    d->now = *now;
    deskprobe_start(d, id);
}

/* ---- Credentials. ---- */

void desk_revoke(struct desk *d, const struct auth_revocation *revocation, const struct now *now)
{
    d->now = *now;
    auth_forget(d->config.auth, d->config.worker, revocation);
    if (revocation->only_changed)
        return;
    hello_revoke(d, revocation);
    session_revoke(d, revocation);
    tenant_tell(d);
}

struct visit {
    void (*visit)(void *visitor, const char *name);
    void *visitor;
};

static void visit_one(struct map_node *n, void *ctx)
{
    const struct session *s = (const struct session *)(void *)n; /* the node is the first member */
    const struct visit *v = ctx;

    v->visit(v->visitor, s->credential);
}

void desk_each(struct desk *d, void (*visit)(void *visitor, const char *name), void *visitor)
{
    map_each(&d->sessions, visit_one, &(struct visit){visit, visitor});
}

/* ---- Life. ---- */

static void end_session(struct map_node *n, void *ctx)
{
    struct session *s = (struct session *)(void *)n; /* the node is the first member */

    (void)ctx;
    session_end(&s, DESK_SHUTDOWN, LINK_AWAY);
}

void desk_stop(struct desk *d, const struct now *now)
{
    struct desk_seat *seat;

    d->now = *now;
    d->stopping = true;
    map_each(&d->sessions, end_session, NULL);
    LIST_FOREACH(seat, &d->seats, all)
    desk_close(seat, LINK_AWAY, "the server stops");
}

int desk_new(struct desk **out, const struct desk_config *config, const struct now *now)
{
    struct desk *d = calloc(1, sizeof(*d));
    int err = ERR_NOMEM;

    *out = NULL;
    if (!d)
        return err;
    d->config = *config;
    d->now = *now;
    rate_init(&d->log_rate, LOGGED_PER_S, LOGGED_BURST, now->ms);
    err = throttle_new(&d->throttle);
    if (!err)
        err = stun_mac_new(&d->mac);
    if (!err)
        err = map_init(&d->sessions, SLOTS);
    if (!err)
        err = map_init(&d->calls, SLOTS);
    if (!err)
        err = map_init(&d->tenants, SLOTS);
    if (!err)
        err = board_new(&d->board);
    if (!err)
        err = probes_new(&d->probes);
    if (err)
        desk_free(&d);
    *out = d;
    return err;
}

void desk_free(struct desk **dp)
{
    struct desk *d = *dp;

    *dp = NULL;
    if (!d)
        return;
    if (d->sessions.slots)
        map_each(&d->sessions, end_session, NULL);
    handout_leave_all(d);
    map_deinit(&d->sessions);
    map_deinit(&d->calls);
    map_deinit(&d->tenants);
    board_free(&d->board);
    probes_free(&d->probes);
    throttle_free(&d->throttle);
    stun_mac_free(&d->mac);
    free(d);
}
