#include "programs/iceservers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "programs/storeops.h"
#include "programs/storethread.h"

enum {
    DEADLINE_MS = 8000, /* as an operation of the admin plane has: two questions to a Redis that is slow */
    REVOKING_MAX = 16,  /* revocations under way: the others of STORETHREAD_WAITING_MAX places are for those who want servers */
    REVOKE_AGAIN_S = 2, /* when the store has failed */
    RETRACTED_MAX =
        16384 /* that wait, a hundred bytes each: what a thousand phones have been given in an hour, several times over */
};
_Static_assert((int)REVOKING_MAX < (int)STORETHREAD_WAITING_MAX, "there is room for both");

static const char LABEL[] = "connect"; /* of what is handed out to the tenant without a name; the others have their own */

/* What is to be revoked, until it is, or has ended by itself. */
struct retracted {
    STAILQ_ENTRY(retracted) all;
    int64_t expires_at; /* wall clock */
    char name[];
};

struct iceservers {
    struct storeops *ops;
    struct storethread *thread; /* NULL: not attached */
    size_t out, revoking;       /* questions under way, and those of them that revoke */
    STAILQ_HEAD(, retracted) retracted;
    size_t nretracted;
    struct event again;           /* while the store fails */
    bool failing, revoking_fails; /* and that has been logged */
};

struct question {
    struct admin_call call; /* first */
    struct iceservers *iceservers;
    desk_ice_cb *cb; /* NULL: it revokes */
    void *ctx;
    int64_t ttl;
    struct retracted *retracted; /* what is revoked; NULL: nothing */
};

static void free_question(struct question *q)
{
    json_decref(q->call.request.query);
    json_decref(q->call.request.body);
    admin_answer_clear(&q->call.answer);
    free(q->retracted);
    free(q);
}

/* Once for however many it is that fail. */
static void tell(bool *failing, const struct admin_answer *a, const char *fails, const char *works)
{
    bool failed = a->status >= 400;

    if (failed && !*failing)
        LOG(LOG_WARNING, fails, LOG_STR("reason", a->detail));
    else if (!failed && *failing)
        LOG(LOG_INFO, works, LOG_STR("reason", "the store answers again"));
    *failing = failed;
}

/* ---- Revoking. ---- */

static void revoke_some(struct iceservers *i);

/* The store was away, or too slow: it is asked again, until the credential has ended by itself. Any other answer is one: who is not there (404) is no more. */
static void on_revoked(struct question *q)
{
    struct iceservers *i = q->iceservers;
    struct admin_answer *a = &q->call.answer;
    bool failed = a->status >= 500;

    i->revoking--;
    if (failed || a->status < 400)
        tell(&i->revoking_fails, a, "ice_servers_not_revoked", "ice_servers_revoked");
    if (failed) {
        STAILQ_INSERT_TAIL(&i->retracted, q->retracted, all);
        i->nretracted++;
        q->retracted = NULL;
    }
    if (!i->thread)
        return;
    if (failed)
        evtimer_add(&i->again, &(struct timeval){.tv_sec = REVOKE_AGAIN_S});
    else
        revoke_some(i);
}

static void on_issued(struct question *q)
{
    const struct admin_answer *a = &q->call.answer;
    json_t *ice = NULL;

    tell(&q->iceservers->failing, a, "ice_servers_unavailable", "ice_servers_ready");
    if (a->status < 400 && a->body) {
        ice = json_copy(a->body);
        json_object_set_new(ice, "ttl", json_integer(q->ttl));
    }
    q->cb(q->ctx, ice);
    json_decref(ice);
}

static void on_done(struct admin_call **call)
{
    struct question *q = (struct question *)(void *)*call; /* the call is the first member */

    *call = NULL;
    q->iceservers->out--;
    if (q->cb)
        on_issued(q);
    else
        on_revoked(q);
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

/* Nothing is asked while the timer runs: a store that is away would be asked by each of them. */
static void revoke_some(struct iceservers *i)
{
    int64_t now = clock_now().wall;
    struct retracted *r;

    while (i->revoking < REVOKING_MAX && !evtimer_pending(&i->again, NULL) && (r = STAILQ_FIRST(&i->retracted)) != NULL) {
        struct question *q = r->expires_at > now ? new_question(i, ADMIN_TOKEN_REVOKE, NULL) : NULL;

        if (!q && r->expires_at > now) {
            evtimer_add(&i->again, &(struct timeval){.tv_sec = REVOKE_AGAIN_S});
            return;
        }
        STAILQ_REMOVE_HEAD(&i->retracted, all);
        i->nretracted--;
        if (!q) {
            free(r);
            continue;
        }
        q->retracted = r;
        q->call.request.id = r->name;
        i->revoking++;
        ask(q);
    }
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    revoke_some(ctx);
}

void iceservers_retract(void *host, const json_t *ice)
{
    struct iceservers *i = host;
    const char *name = iceservers_name(ice);
    size_t len = name ? strlen(name) : 0;
    struct retracted *r;

    if (!name || !i->thread)
        return;
    r = i->nretracted < RETRACTED_MAX ? malloc(sizeof(*r) + len + 1) : NULL;
    if (!r) {
        LOG(LOG_WARNING, "ice_servers_not_revoked",
            LOG_STR("reason", i->nretracted < RETRACTED_MAX ? "no memory" : "too many wait to be revoked: they end by themselves"));
        return;
    }
    memcpy(r->name, name, len + 1);
    r->expires_at = clock_now().wall + json_integer_value(json_object_get(ice, "ttl"));
    STAILQ_INSERT_TAIL(&i->retracted, r, all);
    i->nretracted++;
    revoke_some(i);
}

/* ---- Life. ---- */

int iceservers_attach(struct iceservers *i, struct event_base *base)
{
    evtimer_assign(&i->again, base, on_again, i);
    return storethread_new(&i->thread, base, i->ops, on_done);
}

void iceservers_detach(struct iceservers *i)
{
    struct retracted *r;

    if (i->thread)
        evtimer_del(&i->again);
    storethread_free(&i->thread);
    if (i->nretracted)
        LOG(LOG_WARNING, "ice_servers_not_revoked", LOG_INT("count", i->nretracted), LOG_STR("reason", "the server ends"));
    while ((r = STAILQ_FIRST(&i->retracted))) {
        STAILQ_REMOVE_HEAD(&i->retracted, all);
        free(r);
    }
    i->nretracted = 0;
}

int iceservers_new(struct iceservers **out, struct storeops **ops)
{
    *out = calloc(1, sizeof(**out));
    if (*out) {
        (*out)->ops = *ops;
        STAILQ_INIT(&(*out)->retracted);
    } else {
        storeops_free(ops);
    }
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
