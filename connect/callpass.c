#include <stdlib.h>

#include "base/err.h"
#include "connect/callparts.h"
#include "connect/params.h"
#include "connect/session.h"

struct leg *call_peer(const struct leg *l)
{
    return l == l->call->bridge ? l->call->phone : l->call->bridge;
}

/* A client's words are passed on within bounds, so that none can cut off another one: a bridge has the calls of all. */
static bool may_say(struct session *s, size_t len)
{
    return s->role == DESK_BRIDGE || rate_take(&s->passed, len, s->desk->now.ms);
}

/* Of the calls of a session that is away, the one that fills what is kept for it. */
static struct call *greediest(const struct session *s, struct leg *now, size_t len)
{
    struct leg *l, *most = now;
    size_t n, max = session_held(s, now) + len;

    LIST_FOREACH(l, &s->legs, of_session)
    {
        n = l == now || s->seat ? 0 : session_held(s, l);
        if (n > max) {
            max = n;
            most = l;
        }
    }
    return most->call;
}

/* RPC_OK; else the call may be over, and `from` with it: what can't be said any more would leave one side waiting. */
static enum rpc_error say(struct leg *to, const char *text, size_t len)
{
    struct call *c = to->call, *full;
    int err;

    while ((err = session_pass(to->session, to, text, len)) == ERR_NOSPC) {
        full = greediest(to->session, to, len);
        call_end(full, DESK_LIMIT, "", "service", NULL);
        if (full == c)
            return RPC_LIMIT;
    }
    if (err)
        call_end(c, DESK_LIMIT, "", "service", NULL);
    return err ? RPC_UNAVAILABLE : RPC_OK;
}

enum rpc_error call_pass(const struct leg *from, const char *method, json_t *params)
{
    struct leg *to = call_peer(from);
    enum rpc_error error = RPC_OK;
    size_t len;
    char *text;

    if (!to)
        return RPC_OK;
    text = rpc_notification(&len, method, json_incref(params));
    if (text && len > LINK_MESSAGE_MAX) {
        error = RPC_LIMIT; /* numbers are written anew, and may have become longer */
    } else if (!text || !may_say(from->session, len)) {
        call_end(from->call, DESK_LIMIT, "", "service", NULL);
        error = text ? RPC_LIMIT : RPC_UNAVAILABLE;
    } else {
        error = say(to, text, len);
    }
    free(text);
    return error;
}

enum rpc_error call_pass_first(const struct call *c, const json_t *params)
{
    struct session *phone = c->phone->session;
    enum rpc_error error = RPC_UNAVAILABLE;
    size_t len;
    char *text = rpc_notification(&len, "call.incoming",
                                  json_pack("{s:s,s:s,s:s,s:s,s:s}", "call", c->id, "from", phone->user, "name", phone->name, "to",
                                            params_text(params, "to"), "sdp", params_text(params, "sdp")));

    if (text && (len > LINK_MESSAGE_MAX || !may_say(phone, len)))
        error = RPC_LIMIT;
    else if (text)
        error = session_pass(c->bridge->session, c->bridge, text, len) ? RPC_LIMIT : RPC_OK;
    free(text);
    return error;
}
