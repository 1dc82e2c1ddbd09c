#include "programs/iceservers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/storeops.h"
#include "programs/storethread.h"

enum { DEADLINE_MS = 8000 }; /* as an operation of the admin plane has: two questions to a Redis that is slow */

static const char LABEL[] = "connect"; /* of what is handed out to the tenant without a name; the others have their own */

struct iceservers {
    struct storeops *ops;
    struct storethread *thread; /* NULL: not attached */
    size_t out;                 /* questions under way */
    bool failing;               /* and that has been logged */
};

struct question {
    struct admin_call call; /* first */
    struct iceservers *iceservers;
    desk_ice_cb *cb; /* NULL: nobody waits */
    void *ctx;
    int64_t ttl;
    char *id;
};

static void free_question(struct question *q)
{
    json_decref(q->call.request.query);
    json_decref(q->call.request.body);
    admin_answer_clear(&q->call.answer);
    free(q->id);
    free(q);
}

/* Once for however many it is that fail. */
static void tell(struct iceservers *i, const struct admin_answer *a)
{
    bool fails = a->status >= 400;

    if (fails && !i->failing)
        LOG(LOG_WARNING, "ice_servers_unavailable", LOG_STR("reason", a->detail));
    else if (!fails && i->failing)
        LOG(LOG_INFO, "ice_servers_ready", LOG_INT("status", a->status));
    i->failing = fails;
}

static void on_done(struct admin_call **call)
{
    struct question *q = (struct question *)(void *)*call; /* the call is the first member */
    const struct admin_answer *a = &q->call.answer;
    json_t *ice = NULL;

    *call = NULL;
    q->iceservers->out--;
    tell(q->iceservers, a);
    if (q->cb && a->status < 400 && a->body) {
        ice = json_copy(a->body);
        json_object_set_new(ice, "ttl", json_integer(q->ttl));
    }
    if (q->cb)
        q->cb(q->ctx, ice);
    json_decref(ice);
    free_question(q);
}

/* The queue of the thread takes as many as may be out, so that it never answers from within. `body` is taken over. */
static struct question *new_question(struct iceservers *i, enum admin_operation operation, json_t *body)
{
    struct now now = clock_now();
    struct question *q = i->thread && i->out < STORETHREAD_WAITING_MAX ? calloc(1, sizeof(*q)) : NULL;

    if (!q) {
        json_decref(body);
        return NULL;
    }
    q->iceservers = i;
    q->call.request = (struct admin_request){.operation = operation,
                                             .query = json_object(),
                                             .body = body,
                                             .caller = "connect",
                                             .roles = "credentials",
                                             .now = now.wall,
                                             .deadline_ms = now.ms + DEADLINE_MS};
    return q;
}

static void ask(struct question *q)
{
    q->iceservers->out++;
    storethread_call(q->iceservers->thread, &q->call, NULL, NULL);
}

int iceservers_ice(void *host, const struct desk_ice *request, desk_ice_cb *cb, void *ctx)
{
    int64_t left = request->expires_at ? request->expires_at - clock_now().wall : ICESERVERS_TTL_S;
    int64_t ttl = left < ICESERVERS_TTL_S ? left : ICESERVERS_TTL_S;
    struct question *q;

    if (ttl < 1)
        return ERR_STALE;
    q = new_question(host, ADMIN_ICE_SERVERS,
                     json_pack("{s:I,s:s,s:s}", "ttl", (json_int_t)ttl, "owner", request->user, "label",
                               request->tenant[0] ? request->tenant : LABEL));
    if (!q)
        return ERR_AGAIN;
    q->cb = cb;
    q->ctx = ctx;
    q->ttl = ttl;
    ask(q);
    return 0;
}

const char *iceservers_name(const json_t *ice)
{
    const json_t *list = json_object_get(ice, "iceServers");
    const char *name = NULL;

    for (size_t i = 0; i < json_array_size(list) && !name; i++)
        name = json_string_value(json_object_get(json_array_get(list, i), "username"));
    return name;
}

void iceservers_retract(void *host, const json_t *ice)
{
    const char *name = iceservers_name(ice);
    struct question *q = name ? new_question(host, ADMIN_TOKEN_REVOKE, NULL) : NULL;

    if (q)
        q->id = strdup(name);
    if (q && q->id) {
        q->call.request.id = q->id;
        ask(q);
        return;
    }
    if (q)
        free_question(q);
    if (name)
        LOG(LOG_WARNING, "ice_servers_not_revoked", LOG_STR("reason", "too much is asked of the store already"));
}

/* ---- Life. ---- */

int iceservers_attach(struct iceservers *i, struct event_base *base)
{
    return storethread_new(&i->thread, base, i->ops, on_done);
}

void iceservers_detach(struct iceservers *i)
{
    storethread_free(&i->thread);
}

int iceservers_new(struct iceservers **out, struct storeops **ops)
{
    *out = calloc(1, sizeof(**out));
    if (*out)
        (*out)->ops = *ops;
    else
        storeops_free(ops);
    *ops = NULL;
    return *out ? 0 : ERR_NOMEM;
}

void iceservers_free(struct iceservers **i)
{
    if (!*i)
        return;
    iceservers_detach(*i);
    storeops_free(&(*i)->ops);
    free(*i);
    *i = NULL;
}
