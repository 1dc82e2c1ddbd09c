#include "programs/storeops.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "auth/redistokens.h"
#include "auth/sqlsource.h"
#include "auth/sqltokens.h"
#include "base/clock.h"
#include "base/err.h"
#include "programs/storeparts.h"

enum { REST_MS = 4000 }; /* before the deadline: half of it, for what is under way in the store (and waits behind it) */

static storeops_fn *const OPERATIONS[ADMIN_OPERATIONS_N] = {
    [ADMIN_USERS_LIST] = storeusers_list,
    [ADMIN_USER_GET] = storeusers_get,
    [ADMIN_USER_PUT] = storeusers_put,
    [ADMIN_USER_DELETE] = storeusers_remove,
    [ADMIN_TOKENS_LIST] = storetokens_list,
    [ADMIN_TOKEN_ISSUE] = storetokens_issue,
    [ADMIN_TOKEN_GET] = storetokens_get,
    [ADMIN_TOKEN_REVOKE] = storetokens_revoke,
    [ADMIN_ICE_SERVERS] = storecredentials_ice,
    [ADMIN_TURN_REST] = storecredentials_rest,
    [ADMIN_USER_REVOKE] = storecredentials_revoke,
    [ADMIN_USAGE] = storeusage_list,
    [ADMIN_PEERS_GET] = storerules_get_peers,
    [ADMIN_PEERS_PUT] = storerules_put_peers,
    [ADMIN_QUOTA_GET] = storerules_get_quota,
    [ADMIN_QUOTA_PUT] = storerules_put_quota,
    [ADMIN_NODES] = storefleet_nodes,
    [ADMIN_DRAIN] = storefleet_drain,
    [ADMIN_DRAIN_END] = storefleet_end,
};
static const bool MAKES_CREDENTIALS[ADMIN_OPERATIONS_N] = {
    [ADMIN_USER_PUT] = true, [ADMIN_TOKEN_ISSUE] = true, [ADMIN_ICE_SERVERS] = true, [ADMIN_TURN_REST] = true};

/* ---- What goes wrong. ---- */

static const struct failure {
    int err, status;
    const char *cure; /* behind the reason */
} FAILURES[] = {
    {ERR_INVAL, 400, ""},
    {ERR_NOENT, 404, ""},
    {ERR_EXIST, 409, ""},
    {ERR_TIMEDOUT, 503, " (is the store that redis= names up, and reachable from here?)"},
    {ERR_NOTCONN, 503, " (is the store that redis= names up, and reachable from here?)"},
    {ERR_DENIED, 502, " (what may this user of Redis do? see ACL in turnpiked.conf(5))"},
    {ERR_MALFORMED, 502, ""},
    {ERR_IO, 503, ""},
    {ERR_AGAIN, 503, ""},
    {ERR_NOSPC, 503, ""},
    {ERR_ACCES, 503, ""},
    {ERR_CONFIG, 503, ""},
};

void storeops_failed(const char *why, int err, const char *what, struct admin_answer *a)
{
    struct failure unknown = {err, 500, ""};
    const struct failure *f = &unknown;

    for (size_t i = 0; i < sizeof(FAILURES) / sizeof(FAILURES[0]); i++)
        if (FAILURES[i].err == err)
            f = &FAILURES[i];
    admin_answer_problem(a, f->status, "%s: %s%s", what, why[0] ? why : err_str(err), f->cure);
}

void storeops_store_failed(const struct storeops *s, int err, const char *what, struct admin_answer *a)
{
    storeops_failed(s->store.why, err, what, a);
}

bool storeops_late(const struct admin_request *r)
{
    return r->deadline_ms && clock_now().ms + REST_MS >= r->deadline_ms;
}

/* ---- Run. ---- */

bool storeops_serves(enum admin_operation operation)
{
    return OPERATIONS[operation] != NULL;
}

/* What is told next serves: this node has it in memory. One with the same embedded store in another process has had the time to look. */
static void settle(struct storeops *s)
{
    if (s->source)
        sqlsource_catch_up(s->source);
    else if (!s->nodes)
        poll(NULL, 0, 2 * SQLSOURCE_LOOK_MS);
}

void storeops_run(struct storeops *s, const struct admin_request *r, struct admin_answer *a)
{
    s->store.why[0] = '\0';
    if (OPERATIONS[r->operation])
        OPERATIONS[r->operation](s, r, a);
    else
        admin_answer_problem(a, 503, "this is asked of a relay that runs: start turnpiked");
    if (MAKES_CREDENTIALS[r->operation] && a->status < 400)
        settle(s);
}

/* ---- Life. ---- */

static int add_uris(struct storeops *s, const struct storeops_config *config)
{
    static const char STUN[] = "stun";

    s->stun = json_array();
    s->turn = json_array();
    for (size_t i = 0; i < config->nuris; i++)
        if (json_array_append_new(strncmp(config->uris[i], STUN, sizeof(STUN) - 1) == 0 ? s->stun : s->turn,
                                  json_string(config->uris[i])))
            return ERR_NOMEM;
    return s->stun && s->turn ? 0 : ERR_NOMEM;
}

int storeops_new(struct storeops **out, const struct storeops_config *config)
{
    struct storeops *s = calloc(1, sizeof(*s));
    int err = ERR_NOMEM;

    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->prefix = strdup(config->prefix);
    s->realm = strdup(config->realm);
    s->node = strdup(config->node);
    s->separator = config->separator;
    s->auth = config->auth;
    s->source = config->source;
    if (s->prefix && s->realm && s->node)
        err = add_uris(s, config);
    if (!err)
        err = config->redis ? redistokens_open(&s->store, config->redis, s->prefix) : sqltokens_open(&s->store, config->state_dir);
    if (!err && config->redis)
        err = redisnodes_open(&s->nodes, config->redis, s->prefix);
    if (err)
        storeops_free(&s);
    *out = s;
    return err;
}

void storeops_free(struct storeops **sp)
{
    struct storeops *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    redisnodes_close(&s->nodes);
    tokenstore_close(&s->store);
    json_decref(s->stun);
    json_decref(s->turn);
    free(s->prefix);
    free(s->realm);
    free(s->node);
    free(s);
}
