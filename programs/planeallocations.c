#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "programs/planeparts.h"
#include "relay/net.h"

enum { ID_DIGITS = 18 };

/* ---- As JSON. ---- */

static json_t *relayed_json(const struct relay_allocation *a)
{
    json_t *list = json_array();
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < 2; i++)
        if (a->relayed[i].family != ADDR_NONE)
            json_array_append_new(list, json_string(addr_text(&a->relayed[i], text)));
    return list;
}

static json_t *allocation_json(const struct relay_allocation *a)
{
    char id[PLANE_ID_DIGITS + 1], client[ADDR_TEXT_MAX], server[ADDR_TEXT_MAX];
    json_t *object;

    snprintf(id, sizeof(id), PLANE_ID, a->id);
    object = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:I}", "id", id, "user", a->user, "owner", a->owner, "client",
                       addr_text(&a->client, client), "server", addr_text(&a->server, server), "transport",
                       a->stream ? "tcp" : "udp", "relayed", relayed_json(a), "worker", (json_int_t)a->worker, "created_at",
                       (json_int_t)a->created_at, "age_s", (json_int_t)a->age_s, "expires_in_s", (json_int_t)a->expires_in_s);
    json_object_update_new(object, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "packets_up", (json_int_t)a->packets_up,
                                             "bytes_up", (json_int_t)a->bytes_up, "packets_down", (json_int_t)a->packets_down,
                                             "bytes_down", (json_int_t)a->bytes_down, "bps_up", (json_int_t)a->bps_up, "bps_down",
                                             (json_int_t)a->bps_down, "permission_count", (json_int_t)a->npermissions,
                                             "channel_count", (json_int_t)a->nchannels));
    return object;
}

static void add_peers(json_t *object, const struct relay_answer *answer)
{
    json_t *permissions = json_array(), *channels = json_array();
    char text[ADDR_TEXT_MAX], number[8];

    for (size_t i = 0; i < answer->items[0].npermissions; i++)
        json_array_append_new(permissions, json_pack("{s:s,s:I}", "peer", addr_ip_text(&answer->permissions[i].peer, text),
                                                     "expires_in_s", (json_int_t)answer->permissions[i].expires_in_s));
    for (size_t i = 0; i < answer->items[0].nchannels; i++) {
        snprintf(number, sizeof(number), "0x%04x", answer->channels[i].number);
        json_array_append_new(channels,
                              json_pack("{s:s,s:s,s:I}", "number", number, "peer", addr_text(&answer->channels[i].peer, text),
                                        "expires_in_s", (json_int_t)answer->channels[i].expires_in_s));
    }
    json_object_set_new(object, "permissions", permissions);
    json_object_set_new(object, "channels", channels);
}

/* ---- Answers of the workers. ---- */

static void failed(struct admin_call *call, int err)
{
    switch (err) {
    case ERR_NOENT:
        admin_answer_problem(&call->answer, 404, "there is no such allocation, or not any more");
        break;
    case ERR_INVAL:
        admin_answer_problem(&call->answer, 400, "cursor: what an earlier page gave as next is expected");
        break;
    case ERR_TIMEDOUT:
        admin_answer_problem(&call->answer, 503, "a worker did not answer within %d ms: it hangs; see /readyz", RELAY_PATIENCE_MS);
        break;
    case ERR_AGAIN:
        admin_answer_problem(&call->answer, 503, "%d questions have not been answered yet: a worker hangs; see /readyz",
                             RELAY_OPEN_MAX);
        break;
    default:
        admin_answer_problem(&call->answer, 503, "%s", err_str(err));
        break;
    }
}

static void on_list(void *ctx, const struct relay_answer *answer)
{
    struct admin_call *call = ctx;
    json_t *items = json_array();

    for (size_t i = 0; i < answer->n; i++)
        json_array_append_new(items, allocation_json(&answer->items[i]));
    if (answer->err)
        failed(call, answer->err);
    else
        admin_answer_json(&call->answer, 200, json_pack("{s:O,s:s?}", "items", items, "next", answer->next));
    json_decref(items);
    admin_done(&call);
}

static void on_show(void *ctx, const struct relay_answer *answer)
{
    struct admin_call *call = ctx;
    json_t *object;

    if (answer->err) {
        failed(call, answer->err);
    } else {
        object = allocation_json(&answer->items[0]);
        add_peers(object, answer);
        admin_answer_json(&call->answer, 200, object);
    }
    admin_done(&call);
}

static void on_close(void *ctx, const struct relay_answer *answer)
{
    struct admin_call *call = ctx;

    if (answer->err)
        failed(call, answer->err);
    else
        admin_answer_json(&call->answer, 204, NULL);
    admin_done(&call);
}

/* ---- Questions. ---- */

static bool read_ip(struct admin_call *call, const char *key, struct addr *out)
{
    const char *text;

    if (!admin_text(&call->request, key, ADDR_TEXT_MAX, &text, &call->answer))
        return false;
    if (!text || addr_parse_ip(out, text) == 0)
        return true;
    admin_answer_problem(&call->answer, 400, "%s: an IP address without a port is expected", key);
    return false;
}

static bool read_filter(struct admin_call *call, struct relay_filter *f, const char **cursor, int64_t *limit)
{
    const char *transport;

    if (!admin_text(&call->request, "user", STUN_USERNAME_MAX, &f->user, &call->answer) || !read_ip(call, "client", &f->client) ||
        !read_ip(call, "peer", &f->peer) || !admin_text(&call->request, "transport", 8, &transport, &call->answer) ||
        !admin_text(&call->request, "cursor", RELAY_CURSOR_MAX - 1, cursor, &call->answer) ||
        !admin_number(&call->request, "limit", 1, ADMIN_PAGE_MAX, ADMIN_PAGE, limit, &call->answer))
        return false;
    if (transport && strcmp(transport, "udp") != 0 && strcmp(transport, "tcp") != 0) {
        admin_answer_problem(&call->answer, 400, "transport: udp or tcp is expected");
        return false;
    }
    if (transport)
        f->transports = 1U << (transport[0] == 'u' ? TRANSPORT_UDP : TRANSPORT_TCP);
    return true;
}

void planeallocations_list(void *ctx, struct admin_call *call)
{
    const struct plane *p = ctx;
    struct relay_filter filter = {0};
    struct relay_question *question;
    const char *cursor;
    int64_t limit;
    int err;

    if (read_filter(call, &filter, &cursor, &limit)) {
        err = relay_list(p->config.relay, &filter, cursor, (size_t)limit, on_list, call, &question);
        if (!err)
            return;
        failed(call, err);
    }
    admin_done(&call);
}

static bool read_id(struct admin_call *call, uint64_t *id)
{
    const char *text = call->request.id;

    if (strlen(text) == ID_DIGITS && strspn(text, "0123456789") == ID_DIGITS) {
        *id = strtoull(text, NULL, 10);
        return true;
    }
    failed(call, ERR_NOENT);
    return false;
}

typedef int ask_fn(struct relay *r, uint64_t id, relay_answer_cb *cb, void *ctx, struct relay_question **out);

static void ask(const struct plane *p, struct admin_call *call, ask_fn *fn, relay_answer_cb *cb)
{
    struct relay_question *question;
    uint64_t id;
    int err;

    if (read_id(call, &id)) {
        err = fn(p->config.relay, id, cb, call, &question);
        if (!err)
            return;
        failed(call, err);
    }
    admin_done(&call);
}

void planeallocations_get(void *ctx, struct admin_call *call)
{
    ask(ctx, call, relay_show, on_show);
}

void planeallocations_delete(void *ctx, struct admin_call *call)
{
    ask(ctx, call, relay_close, on_close);
}
