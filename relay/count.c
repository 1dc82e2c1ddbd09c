#include "relay/count.h"

#include <assert.h>

static const char *const NAMES[COUNTERS_N] = {
#define X(id, name) [id] = name,
    COUNTERS(X)
#undef X
};

const char *count_name(enum counter which)
{
    assert(which < COUNTERS_N);
    return NAMES[which];
}

const char *count_method_name(enum count_method method)
{
    static const char *const METHODS[COUNT_METHODS] = {[METHOD_BINDING] = "binding",
                                                       [METHOD_ALLOCATE] = "allocate",
                                                       [METHOD_REFRESH] = "refresh",
                                                       [METHOD_CREATE_PERMISSION] = "create_permission",
                                                       [METHOD_CHANNEL_BIND] = "channel_bind"};

    return METHODS[method];
}

const char *count_result_name(enum count_result result)
{
    static const char *const RESULTS[COUNT_RESULTS] = {
        [RESULT_SUCCESS] = "success", [RESULT_CHALLENGE] = "challenge", [RESULT_ERROR] = "error"};

    return RESULTS[result];
}

const char *count_failure_name(enum count_failure why)
{
    static const char *const FAILURES[COUNT_FAILURES] = {
        [FAILURE_UNKNOWN_USER] = "unknown_user", [FAILURE_WRONG_PASSWORD] = "wrong_password",
        [FAILURE_EXPIRED] = "expired",           [FAILURE_REALM] = "realm",
        [FAILURE_UNREADABLE] = "unreadable",     [FAILURE_THROTTLED] = "throttled",
        [FAILURE_UNAVAILABLE] = "unavailable"};

    return FAILURES[why];
}

const char *count_path_name(enum count_path path)
{
    static const char *const PATHS[COUNT_PATHS] = {[PATH_USER] = "user", [PATH_SPLICE] = "splice"};

    return PATHS[path];
}

/* The last one stands for all others. */
static const struct {
    int code;
    const char *name;
} CODES[COUNT_CODES] = {{0, "success"}, {300, "300"}, {400, "400"}, {401, "401"}, {403, "403"},
                        {420, "420"},   {437, "437"}, {438, "438"}, {440, "440"}, {441, "441"},
                        {442, "442"},   {486, "486"}, {500, "500"}, {508, "508"}, {-1, "other"}};

enum counter count_code(int code)
{
    unsigned i = 0;

    while (i < COUNT_CODES - 1 && CODES[i].code != code)
        i++;
    return (enum counter)(COUNT_BY_CODE + i);
}

const char *count_code_name(unsigned i)
{
    return CODES[i].name;
}

static const double AUTH_BOUNDS[COUNT_AUTH_TIMES] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
static const double SESSION_BOUNDS[COUNT_SESSION_TIMES] = {1, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400};

const struct count_histogram COUNT_OF_AUTH = {COUNT_AUTH_HISTOGRAM, AUTH_BOUNDS, COUNT_AUTH_TIMES};
const struct count_histogram COUNT_OF_SESSION = {COUNT_SESSION_HISTOGRAM, SESSION_BOUNDS, COUNT_SESSION_TIMES};

void count_time(struct counters *c, const struct count_histogram *h, uint64_t ms)
{
    size_t i = 0;

    while (i < h->n && (double)ms > h->bound[i] * 1000)
        i++;
    count(c, (enum counter)(h->first + i));
    count_add(c, (enum counter)(h->first + h->n + 1), ms);
}
