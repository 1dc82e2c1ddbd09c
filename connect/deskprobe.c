#include "connect/deskprobe.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "connect/params.h"
#include "connect/probes.h"
#include "connect/session.h"

#define NO_MORE                                                                                                                    \
    {                                                                                                                              \
        NULL, PARAMS_TEXT, false, 0, 0, NULL                                                                                       \
    }
static const struct params_member PROGRESS[] = {{"probe", PARAMS_LINE, true, 1, PROBES_ID_MAX - 1, NULL},
                                                {"done", PARAMS_WHOLE, true, 0, PROBEREPORT_RULES_MAX, NULL},
                                                {"of", PARAMS_WHOLE, true, 0, PROBEREPORT_RULES_MAX, NULL},
                                                NO_MORE};
static const struct params_member DONE[] = {{"probe", PARAMS_LINE, true, 1, PROBES_ID_MAX - 1, NULL},
                                            {"report", PARAMS_OBJECT, false, 0, 0, NULL},
                                            {"error", PARAMS_LINE, false, 1, PROBES_ERROR_MAX - 1, NULL},
                                            NO_MORE};

void deskprobe_start(struct desk *d, const char *id)
{
    char bridge[PROBES_ID_MAX];
    struct session *s;
    bool quick;

    if (!probes_asked(d->probes, id, bridge, &quick))
        return;
    s = session_find(d, bridge);
    if (s && s->role == DESK_BRIDGE)
        session_notify(s, "probe.start", json_pack("{s:s,s:b}", "probe", id, "quick", quick));
    else
        probes_gone(d->probes, bridge, "the bridge has just gone: check again when it is back", &d->now);
}

/* Of a run that the bridge may talk of. */
static enum rpc_error answer_of(int err, const char **wrong)
{
    switch (err) {
    case 0:
        return RPC_OK;
    case ERR_NOENT:
        *wrong = "probe";
        return RPC_PARAMS;
    case ERR_STALE:
        return RPC_STATE;
    default:
        return RPC_UNAVAILABLE;
    }
}

static enum rpc_error on_progress(const struct session *s, const json_t *params, const char **wrong)
{
    json_int_t done = json_integer_value(json_object_get(params, "done")), of = json_integer_value(json_object_get(params, "of"));

    *wrong = params_check(params, PROGRESS);
    if (!*wrong && done > of)
        *wrong = "done";
    if (*wrong)
        return RPC_PARAMS;
    return answer_of(
        probes_progress(s->desk->probes, params_text(params, "probe"), s->id, (unsigned)done, (unsigned)of, &s->desk->now), wrong);
}

/* Nobody hears what a notification is refused for. At the bridge the run is over, and so it is here, with the reason. */
static void fail_unread(const struct session *s, const char *id, const char *wrong)
{
    char why[PROBES_ERROR_MAX];

    snprintf(why, sizeof(why), "the bridge's report can't be read (%s): turnpike-bridge and this relay have to be of one version",
             wrong ? wrong : "no memory");
    (void)probes_failed(s->desk->probes, id, s->id, why, &s->desk->now);
}

static enum rpc_error on_done(const struct session *s, const json_t *params, const char **wrong)
{
    const json_t *report = json_object_get(params, "report"), *why = json_object_get(params, "error");
    const char *id = params_text(params, "probe");
    struct probereport read = {0};
    enum rpc_error error;

    *wrong = params_check(params, DONE);
    if (!*wrong && !report == !why) /* one of them says what has come of it */
        *wrong = "report";
    if (!*wrong && why)
        return answer_of(probes_failed(s->desk->probes, id, s->id, json_string_value(why), &s->desk->now), wrong);
    error = *wrong ? RPC_PARAMS : probereport_read(&read, report, wrong);
    if (error)
        fail_unread(s, id, *wrong);
    else
        error = answer_of(probes_done(s->desk->probes, id, s->id, &read, &s->desk->now), wrong);
    free(read.text);
    return error;
}

enum rpc_error deskprobe_message(const struct session *s, const char *method, const json_t *params, const char **wrong)
{
    if (s->role != DESK_BRIDGE)
        return RPC_METHOD;
    return strcmp(method, "probe.done") == 0 ? on_done(s, params, wrong) : on_progress(s, params, wrong);
}

void deskprobe_ended(const struct session *s, enum desk_reason reason)
{
    char why[PROBES_ERROR_MAX];

    if (s->role != DESK_BRIDGE)
        return;
    snprintf(why, sizeof(why),
             "the bridge has gone before the end of the check (%s): see in its log why, and check again when it is connected",
             desk_reason_name(reason));
    probes_gone(s->desk->probes, s->id, why, &s->desk->now);
}
