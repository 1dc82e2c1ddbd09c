#include "connect/bridgestatus.h"

#include <stdint.h>

#include "connect/deskparts.h"
#include "connect/jsontext.h"
#include "connect/params.h"

#define WALL_MAX   253402300799       /* seconds since 1970, in the year 9999 */
#define NUMBER_MAX (INT64_C(1) << 53) /* what every reader of JSON has */
#define TYPES      "host srflx prflx relay"

#define NO_MORE                                                                                                                    \
    {                                                                                                                              \
        NULL, PARAMS_TEXT, false, 0, 0, NULL                                                                                       \
    }
static const struct params_member STATUS[] = {{"version", PARAMS_LINE, true, 1, BRIDGESTATUS_VERSION_MAX, NULL},
                                              {"since", PARAMS_WHOLE, true, 0, WALL_MAX, NULL},
                                              {"pbx", PARAMS_OBJECT, true, 0, 0, NULL},
                                              {"calls_now", PARAMS_WHOLE, true, 0, BRIDGESTATUS_LINES_MAX, NULL},
                                              {"calls_max", PARAMS_WHOLE, true, 0, BRIDGESTATUS_LINES_MAX, NULL},
                                              {"ended", PARAMS_OBJECT, true, 0, 0, NULL},
                                              {"calls", PARAMS_ARRAY, true, 0, BRIDGESTATUS_CALLS_MAX, NULL},
                                              NO_MORE};
static const struct params_member PBX[] = {{"state", PARAMS_WORD, true, 0, 0, "trying registered failing"},
                                           {"since", PARAMS_WHOLE, true, 0, WALL_MAX, NULL},
                                           {"reason", PARAMS_LINE, false, 0, BRIDGESTATUS_TEXT_MAX, NULL},
                                           {"lines", PARAMS_WHOLE, true, 0, BRIDGESTATUS_LINES_MAX, NULL},
                                           {"registered", PARAMS_WHOLE, true, 0, BRIDGESTATUS_LINES_MAX, NULL},
                                           NO_MORE};
static const struct params_member CALL[] = {{"call", PARAMS_CHARS, true, 1, DESK_ID_MAX - 1, "0123456789abcdef"},
                                            {"since", PARAMS_WHOLE, true, 0, WALL_MAX, NULL},
                                            {"from", PARAMS_WORD, true, 0, 0, "phone pbx"},
                                            {"state", PARAMS_WORD, true, 0, 0, "ringing connecting talking"},
                                            {"path", PARAMS_WORD, false, 0, 0, "direct relayed"},
                                            {"local", PARAMS_WORD, false, 0, 0, TYPES},
                                            {"remote", PARAMS_WORD, false, 0, 0, TYPES},
                                            {"received", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                            {"lost", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                            {"rtt_ms", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                            {"jitter_ms", PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL},
                                            NO_MORE};

/* What members say, of `from`, as it is: it has been judged. Nothing else of it goes anywhere. */
static json_t *known(const json_t *from, const struct params_member *members)
{
    json_t *to = json_object();

    for (const struct params_member *m = members; m->name; m++) {
        json_t *value = json_object_get(from, m->name);

        if (value && json_object_set(to, m->name, value)) {
            json_decref(to);
            return NULL;
        }
    }
    return to;
}

/* Calls by how they ended, {"hangup":7}. What is there for a reason that nobody here knows is left out. */
static const char *read_ended(json_t *to, const json_t *from)
{
    for (int i = 0; i < DESK_REASONS; i++) {
        const char *reason = desk_reason_name((enum desk_reason)i);
        const struct params_member count[] = {{reason, PARAMS_WHOLE, false, 0, NUMBER_MAX, NULL}, NO_MORE};

        if (params_check(from, count))
            return "ended";
        if (json_object_get(from, reason))
            json_object_set(to, reason, json_object_get(from, reason));
    }
    return NULL;
}

static const char *read_calls(json_t *to, const json_t *from)
{
    const char *wrong = NULL;

    for (size_t i = 0; i < json_array_size(from) && !wrong; i++) {
        const json_t *call = json_array_get(from, i);

        wrong = json_is_object(call) ? params_check(call, CALL) : "calls";
        if (!wrong)
            json_array_append_new(to, known(call, CALL));
    }
    return wrong;
}

enum rpc_error bridgestatus_read(char **out, const json_t *params, const char **wrong)
{
    const json_t *pbx = json_object_get(params, "pbx");
    json_t *ended = json_object(), *calls = json_array(), *status = NULL;
    enum rpc_error error = RPC_PARAMS;

    *out = NULL;
    *wrong = params_check(params, STATUS);
    if (!*wrong)
        *wrong = params_check(pbx, PBX);
    if (!*wrong)
        *wrong = read_ended(ended, json_object_get(params, "ended"));
    if (!*wrong)
        *wrong = read_calls(calls, json_object_get(params, "calls"));
    if (*wrong)
        goto out;
    error = RPC_UNAVAILABLE;
    status = known(params, STATUS);
    if (json_object_set_new(status, "pbx", known(pbx, PBX)) || json_object_set(status, "ended", ended) ||
        json_object_set(status, "calls", calls))
        goto out;
    *out = jsontext_of(status, NULL);
    if (*out)
        error = RPC_OK;
out:
    json_decref(status);
    json_decref(ended);
    json_decref(calls);
    return error;
}
