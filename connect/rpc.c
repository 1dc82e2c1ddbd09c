#include "connect/rpc.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "connect/jsontext.h"

static const struct {
    int code;
    const char *reason, *message;
} ERRORS[RPC_ERRORS] = {
    [RPC_OK] = {0, "ok", "ok"},
    [RPC_PARSE] = {-32700, "parse", "not JSON"},
    [RPC_REQUEST] = {-32600, "request", "not a request of JSON-RPC 2.0"},
    [RPC_METHOD] = {-32601, "method", "no such method here"},
    [RPC_PARAMS] = {-32602, "params", "a member of params is missing or wrong"},
    [RPC_UNAUTHORIZED] = {-32001, "unauthorized", "the token is unknown, has expired or was revoked, or the password is wrong"},
    [RPC_FORBIDDEN] = {-32002, "forbidden", "the token has not the scope that this role needs"},
    [RPC_UNAVAILABLE] = {-32003, "unavailable", "credentials can't be looked up now: try again"},
    [RPC_NO_SESSION] = {-32004, "no_session", "there is no such session to resume, or not any more"},
    [RPC_NO_BRIDGE] = {-32005, "no_bridge", "no bridge to the office is connected"},
    [RPC_NO_PHONE] = {-32006, "no_phone", "no phone of this user is connected"},
    [RPC_NO_CALL] = {-32007, "no_call", "there is no such call"},
    [RPC_STATE] = {-32008, "state", "not now"},
    [RPC_LIMIT] = {-32009, "limit", "a limit is reached"},
};

const char *rpc_reason(enum rpc_error error)
{
    return ERRORS[error].reason;
}

/* ---- In. ---- */

/* How deep do brackets go? What is in strings does not count; what is no JSON is the parser's matter. */
static bool too_deep(const char *text, size_t len)
{
    unsigned depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '[') && ++depth > RPC_DEPTH_MAX)
            return true;
        else if (!quoted && (text[i] == '}' || text[i] == ']') && depth)
            depth--;
    }
    return false;
}

static bool id_ok(const json_t *id)
{
    return json_is_integer(id) || json_is_real(id) || (json_is_string(id) && json_string_length(id) <= RPC_ID_MAX);
}

/* What is wrong with it; NULL: nothing. */
static const char *judge(struct rpc_message *m)
{
    const json_t *version = json_object_get(m->root, "jsonrpc"), *method = json_object_get(m->root, "method");
    json_t *id = json_object_get(m->root, "id"), *params = json_object_get(m->root, "params");

    if (!json_is_object(m->root))
        return "one object is expected: there are no batches";
    if (id && !id_ok(id))
        return "id: a number, or a string of at most 64 bytes";
    m->id = id;
    if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
        return "jsonrpc: \"2.0\" is expected";
    if (!json_is_string(method) || !json_string_length(method) || json_string_length(method) > RPC_METHOD_MAX)
        return "method: a name is expected";
    if (params && !json_is_object(params))
        return "params: an object is expected";
    m->method = json_string_value(method);
    m->params = params;
    return NULL;
}

enum rpc_error rpc_read(struct rpc_message *out, const char *text, size_t len, const char **why)
{
    json_error_t error;

    *out = (struct rpc_message){0};
    *why = len > RPC_TEXT_MAX ? "too long" : too_deep(text, len) ? "objects and arrays are too deep in each other" : NULL;
    if (*why)
        return RPC_PARSE;
    out->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!out->root) {
        *why = "one object in UTF-8 is expected, with no name twice";
        return RPC_PARSE;
    }
    *why = judge(out);
    return *why ? RPC_REQUEST : RPC_OK;
}

void rpc_clear(struct rpc_message *m)
{
    json_decref(m->root);
    *m = (struct rpc_message){0};
}

/* ---- Out. ---- */

/* Takes it over. */
static char *text_of(size_t *len, json_t *message)
{
    char *text = jsontext_of(message, len);

    json_decref(message);
    return text;
}

/* jansson counts references through const pointers, too; a copy costs nothing here and keeps the promise. */
static json_t *copy_of(const json_t *id)
{
    return id ? json_copy((json_t *)(uintptr_t)id) : json_null();
}

char *rpc_result(size_t *len, const json_t *id, json_t *result)
{
    return text_of(len, json_pack("{s:s,s:o,s:o}", "jsonrpc", "2.0", "id", copy_of(id), "result", result));
}

char *rpc_notification(size_t *len, const char *method, json_t *params)
{
    return text_of(len, json_pack("{s:s,s:s,s:o}", "jsonrpc", "2.0", "method", method, "params", params));
}

char *rpc_failure(size_t *len, const json_t *id, enum rpc_error error, const char *detail)
{
    char message[512];

    snprintf(message, sizeof(message), "%s%s%s", ERRORS[error].message, detail ? ": " : "", detail ? detail : "");
    return text_of(len, json_pack("{s:s,s:o,s:{s:i,s:s,s:{s:s}}}", "jsonrpc", "2.0", "id", copy_of(id), "error", "code",
                                  ERRORS[error].code, "message", message, "data", "reason", ERRORS[error].reason));
}
