/*
 * Purpose:  one request of the admin plane as an operation sees it, and the answer that the operation gives.
 * Owner:    the thread that serves. An operation may carry a call to another thread and back; whoever has it is the only one to touch it.
 * Lifetime: from the request to admin_done, whatever becomes of the client meanwhile.
 * Callers:  admin/ makes calls; programs/ has the operations.
 * RFC:      9110 (methods, status, ETag), 9457 (problem details).
 */
#ifndef ADMIN_CALL_H
#define ADMIN_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the admin plane can be asked for. `name` is the operationId of the OpenAPI document. */
#define ADMIN_OPERATIONS(X)                                                                                                        \
    X(ADMIN_READY, "readiness")                                                                                                    \
    X(ADMIN_METRICS, "metrics")                                                                                                    \
    X(ADMIN_STATUS, "status")                                                                                                      \
    X(ADMIN_ALLOCATIONS_LIST, "listAllocations")                                                                                   \
    X(ADMIN_ALLOCATION_GET, "getAllocation")                                                                                       \
    X(ADMIN_ALLOCATION_DELETE, "deleteAllocation")                                                                                 \
    X(ADMIN_USERS_LIST, "listUsers")                                                                                               \
    X(ADMIN_USER_GET, "getUser")                                                                                                   \
    X(ADMIN_USER_PUT, "putUser")                                                                                                   \
    X(ADMIN_USER_DELETE, "deleteUser")                                                                                             \
    X(ADMIN_TOKENS_LIST, "listTokens")                                                                                             \
    X(ADMIN_TOKEN_ISSUE, "issueToken")                                                                                             \
    X(ADMIN_TOKEN_GET, "getToken")                                                                                                 \
    X(ADMIN_TOKEN_REVOKE, "revokeToken")                                                                                           \
    X(ADMIN_ICE_SERVERS, "generateIceServers")                                                                                     \
    X(ADMIN_TURN_REST, "getCredentials")                                                                                           \
    X(ADMIN_USER_REVOKE, "revokeCredentials")                                                                                      \
    X(ADMIN_USAGE, "usage")                                                                                                        \
    X(ADMIN_PEERS_GET, "getPeers")                                                                                                 \
    X(ADMIN_PEERS_PUT, "putPeers")                                                                                                 \
    X(ADMIN_PEERS_TEST, "testPeer")                                                                                                \
    X(ADMIN_QUOTA_GET, "getQuota")                                                                                                 \
    X(ADMIN_QUOTA_PUT, "putQuota")                                                                                                 \
    X(ADMIN_NODES, "listNodes")                                                                                                    \
    X(ADMIN_BRIDGES, "listBridges")                                                                                                \
    X(ADMIN_PROBE_START, "startProbe")                                                                                             \
    X(ADMIN_PROBES_LIST, "listProbes")                                                                                             \
    X(ADMIN_PROBE_GET, "getProbe")                                                                                                 \
    X(ADMIN_DRAIN, "drain")                                                                                                        \
    X(ADMIN_DRAIN_END, "endDrain")                                                                                                 \
    X(ADMIN_CONFIG_GET, "getConfig")                                                                                               \
    X(ADMIN_CONFIG_CHECK, "checkConfig")                                                                                           \
    X(ADMIN_RELOAD, "reload")                                                                                                      \
    X(ADMIN_LOG_LEVEL, "setLogLevel")

enum admin_operation {
#define X(id, name) id,
    ADMIN_OPERATIONS(X)
#undef X
        ADMIN_OPERATIONS_N
};

/* Never NULL. */
const char *admin_operation_name(enum admin_operation operation);

enum {
    ADMIN_ETAG_MAX = 64,    /* bytes of an ETag with its quotes */
    ADMIN_DETAIL_MAX = 512, /* bytes of a problem's detail */
    ADMIN_PAGE = 100,       /* entries of a list, unless asked, */
    ADMIN_PAGE_MAX = 1000,  /* and at most: an answer of some 500 KB */
};

struct admin_request {
    enum admin_operation operation;
    const char
        *id;       /* the last variable part of the path, decoded, UTF-8 without control characters, not empty; NULL: it has none */
    json_t *query; /* an object of strings, of the parameters that the route knows; never NULL */
    json_t *body;  /* an object; NULL: none was sent */
    const char *if_match; /* NULL: not sent; or "*" or ETags */
    const char *accept;   /* of ADMIN_METRICS: the Accept header; NULL: not sent */
    const char *caller;   /* who asks, for logs: "socket", or the name of a bearer token */
    const char *roles;    /* what the caller may do, with commas: "read,credentials"; static */
    int64_t now;          /* wall clock, seconds */
    uint64_t deadline_ms; /* boot clock: after that nobody waits for the answer, and nothing is to be changed any more */
};

/* Zeroed is "no answer yet". */
struct admin_answer {
    int status;      /* HTTP's */
    json_t *body;    /* belongs to the answer; NULL: no content, or `text`, or a problem */
    json_t *version; /* what the ETag is made of; NULL: the body. Belongs to the answer */
    char *text;      /* malloc'ed, in place of a body; NULL: none */
    size_t text_len;
    const char *text_type;         /* its media type; static. NULL: JSON, or that of a problem */
    char detail[ADMIN_DETAIL_MAX]; /* with a status of 400 or more: the cause, and the cure */
    bool secret;                   /* it holds a password: its text is wiped when it has been sent */
};

/* Each takes over `body`, and replaces whatever answer there was. A NULL body is an internal error, but with 204. */
void admin_answer_json(struct admin_answer *a, int status, json_t *body);
/* What the ETag of a JSON answer is made of, in place of its body, which tells more than can be changed. Takes `version` over. */
void admin_answer_version(struct admin_answer *a, json_t *version);
/* A problem; `format` is a sentence for people that holds no secret. */
void admin_answer_problem(struct admin_answer *a, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A page of `items` (an array, taken over), as limit and cursor of the query say; or a 400. */
void admin_answer_page(const struct admin_request *r, json_t *items, struct admin_answer *a);
/* With whatever it holds. */
void admin_answer_clear(struct admin_answer *a);

/* The ETag of what a representation says that a PUT can change: what lives or passes beside it (`items`, `allocations`, `state`) doesn't count, or no
 * condition would ever hold. */
void admin_etag(char out[static ADMIN_ETAG_MAX], const json_t *body);
/* May a change go on, given what there is now (NULL: nothing)? Otherwise the answer is 412. */
bool admin_matches(const struct admin_request *r, const json_t *current, struct admin_answer *a);

/* ---- What an operation reads. Each of these: false when it is not as it should be, and then the answer is a 400 that names it. ---- */

/* Text of the query or the body; NULL when it is left out. Borrowed. */
bool admin_text(const struct admin_request *r, const char *key, size_t most, const char **out, struct admin_answer *a);
/* A whole number between the two, from the query or the body; `fallback` when it is left out or null. */
bool admin_number(const struct admin_request *r, const char *key, int64_t least, int64_t most, int64_t fallback, int64_t *out,
                  struct admin_answer *a);
bool admin_flag(const struct admin_request *r, const char *key, bool fallback, bool *out, struct admin_answer *a);
/* The body has no members but these ("owner label ttl"): a misspelt limit must not be no limit. */
bool admin_only(const struct admin_request *r, const char *keys, struct admin_answer *a);

/* Is it one of the words, which have blanks between? */
bool admin_has_word(const char *words, const char *word);

struct admin_call {
    struct admin_request request;
    struct admin_answer answer;
};

/* Takes the call over, and gives it back answered by admin_done, now or later. On the serving thread. */
typedef void admin_operation_fn(void *ctx, struct admin_call *call);
/* The answer stands. Nulls the pointer. On the serving thread. */
void admin_done(struct admin_call **call);

#endif
