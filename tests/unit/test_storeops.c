/* storeops on the embedded store: shapes, pages, what is refused, and what must not be in an answer. */
#include "programs/storeops.h"

#include <stdlib.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/sqlsums.h"
#include "auth/sqltokens.h"
#include "base/err.h"
#include "tests/unit/tap.h"

enum { NOW = 1800000000, HOUR = 3600 };

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static struct storeops *ops;
static struct admin_answer answer;
static uint64_t deadline_ms; /* of what is asked */

static void forget(void)
{
    static const char *const FILES[] = {"", "-wal", "-shm"};
    char name[80];

    admin_answer_clear(&answer);
    storeops_free(&ops);
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        snprintf(name, sizeof(name), "%s/turnpike.db%s", dir, FILES[i]);
        unlink(name);
    }
}

static bool begin(void)
{
    static const char *const URIS[] = {"stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp",
                                       "turn:192.0.2.1:3478?transport=tcp"};

    forget();
    return storeops_new(&ops, &(struct storeops_config){.state_dir = dir,
                                                        .prefix = "tp:",
                                                        .realm = "realm",
                                                        .node = "n1",
                                                        .separator = ':',
                                                        .uris = URIS,
                                                        .nuris = 3}) == 0;
}

/* The status of the answer; `query` and `body` in JSON with ' for ". */
static int ask_if(enum admin_operation operation, const char *id, const char *query, const char *body, const char *if_match)
{
    char text[2][2048] = {"", ""};
    struct admin_request r = {
        .operation = operation, .id = id, .if_match = if_match, .caller = "test", .now = NOW, .deadline_ms = deadline_ms};

    snprintf(text[0], sizeof(text[0]), "%s", query ? query : "{}");
    snprintf(text[1], sizeof(text[1]), "%s", body ? body : "");
    for (int i = 0; i < 2; i++)
        for (char *p = text[i]; *p; p++)
            *p = *p == '\'' ? '"' : *p;
    r.query = json_loads(text[0], 0, NULL);
    r.body = body ? json_loads(text[1], 0, NULL) : NULL;
    admin_answer_clear(&answer);
    if (r.query && (r.body || !body))
        storeops_run(ops, &r, &answer);
    json_decref(r.query);
    json_decref(r.body);
    return answer.status;
}

static int ask(enum admin_operation operation, const char *id, const char *query, const char *body)
{
    return ask_if(operation, id, query, body, NULL);
}

static const char *text_of(const char *key)
{
    const char *text = json_string_value(json_object_get(answer.body, key));

    return text ? text : "(none)";
}

static json_int_t number_of(const char *key)
{
    const json_t *v = json_object_get(answer.body, key);

    return json_is_integer(v) ? json_integer_value(v) : -1;
}

static size_t count(void)
{
    return json_array_size(json_object_get(answer.body, "items"));
}

static const json_t *item(size_t i)
{
    return json_array_get(json_object_get(answer.body, "items"), i);
}

static bool says(const char *text)
{
    return strstr(answer.detail, text) != NULL;
}

/* A key, a digest, or anything named like them. */
static bool tells_keys(void)
{
    char *text = json_dumps(answer.body, JSON_COMPACT);
    bool found = text && (strstr(text, "md5") || strstr(text, "sha256") || strstr(text, "keys"));

    free(text);
    return found;
}

/* ---- Tokens. ---- */

static void tokens(void)
{
    char id[64];

    CHECK(begin());
    CHECK_INT(ask(ADMIN_TOKEN_ISSUE, NULL, NULL,
                  "{'owner':'acme','label':'desk 7','ttl':3600,'max_allocations':4,'max_bps':2000000,'peers':['5.6.7.0/24','::1'],"
                  "'scope':'turn,phone'}"),
              201);
    CHECK(answer.secret);
    CHECK(!tells_keys());
    CHECK_INT(strlen(text_of("password")), 32);
    CHECK_STR(text_of("username"), text_of("id"));
    CHECK_INT(json_array_size(json_object_get(answer.body, "urls")), 3);
    snprintf(id, sizeof(id), "%s", text_of("id"));
    CHECK_INT(ask(ADMIN_TOKEN_GET, id, NULL, NULL), 200);
    CHECK(!answer.secret && !tells_keys());
    CHECK(!json_object_get(answer.body, "password"));
    CHECK_STR(text_of("state"), "valid");
    CHECK_STR(text_of("scope"), "turn,phone");
    CHECK_STR(text_of("realm"), "realm");
    CHECK_INT(number_of("expires_at"), NOW + 3600);
    CHECK_INT(number_of("max_allocations"), 4);
    CHECK(json_is_null(json_object_get(answer.body, "max_bytes")));
    CHECK(json_is_null(json_object_get(answer.body, "tenant")));
    CHECK_STR(json_string_value(json_array_get(json_object_get(answer.body, "peers"), 1)), "::1");
    CHECK_INT(json_integer_value(json_object_get(json_object_get(answer.body, "usage"), "seconds")), 0);
    CHECK_INT(ask(ADMIN_TOKEN_REVOKE, id, NULL, NULL), 204);
    CHECK_INT(ask(ADMIN_TOKEN_REVOKE, id, NULL, NULL), 204);
    CHECK_INT(ask(ADMIN_TOKEN_REVOKE, "tnobody", NULL, NULL), 404);
    CHECK_INT(ask(ADMIN_TOKEN_GET, "tnobody", NULL, NULL), 404);
    CHECK(says("tnobody: no such token"));
    CHECK_INT(ask(ADMIN_TOKEN_GET, id, NULL, NULL), 200);
    CHECK_STR(text_of("state"), "revoked");
    CHECK_INT(ask(ADMIN_TOKEN_ISSUE, NULL, NULL, "{'owner':'acme','ttl':null,'not_before':60}"), 201);
    CHECK(json_is_null(json_object_get(answer.body, "expires_at")));
    CHECK_STR(text_of("state"), "not yet");
}

static void bad_tokens(void)
{
    static const struct {
        const char *body, *detail;
    } BAD[] = {
        {"{'ttl':60}", "owner"},
        {"{'owner':'','ttl':60}", "owner"},
        {"{'owner':7,'ttl':60}", "owner"},
        {"{'owner':'a\\u0001','ttl':60}", "owner"},
        {"{'owner':'a'}", "ttl"},
        {"{'owner':'a','ttl':0}", "ttl"},
        {"{'owner':'a','ttl':'60'}", "ttl"},
        {"{'owner':'a','ttl':60,'not_before':60}", "not_before"},
        {"{'owner':'a','ttl':60,'max_alocations':4}", "max_alocations"},
        {"{'owner':'a','ttl':60,'max_allocations':0}", "max_allocations"},
        {"{'owner':'a','ttl':60,'max_bps':9007199254740992}", "max_bps"},
        {"{'owner':'a','ttl':60,'scope':'turn,fax'}", "scope"},
        {"{'owner':'a','ttl':60,'label':'\\n'}", "label"},
        {"{'owner':'a','ttl':60,'peers':'10.0.0.1'}", "peers"},
        {"{'owner':'a','ttl':60,'peers':['10.0.0.1','10.0.0.0/33']}", "10.0.0.0/33"},
        {"{'owner':'a','ttl':60,'peers':['10.0.0.1 10.0.0.2']}", "peers: entry 1"},
        {"{'owner':'a','ttl':60,'peers':[7]}", "peers: entry 1"},
    };

    CHECK(begin());
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        printf("# %s\n", BAD[i].body);
        CHECK_INT(ask(ADMIN_TOKEN_ISSUE, NULL, NULL, BAD[i].body), 400);
        CHECK(says(BAD[i].detail));
    }
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 0);
}

static int spoil(const char *text)
{
    char why[SQL_WHY_MAX];
    struct sql *db;
    int err = sql_open(&db, dir, false, SQL_SITTING_MS, why);

    if (!err)
        err = sql_run(db, NULL, text, NULL, 0);
    sql_close(&db);
    return err;
}

static void pages(void)
{
    char body[128], query[128], cursor[64];
    size_t seen = 0;

    CHECK(begin());
    for (int i = 0; i < 40; i++) {
        snprintf(body, sizeof(body), "{'owner':'%s','label':'%d','ttl':%d}", i % 4 ? "acme" : "other", i, 1000 + i);
        CHECK_INT(ask(ADMIN_TOKEN_ISSUE, NULL, NULL, body), 201);
    }
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'limit':'40'}", NULL), 200);
    CHECK_INT(count(), 40);
    CHECK(json_is_null(json_object_get(answer.body, "next")));
    deadline_ms = 1; /* long ago: what the store gives at once is a page */
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'limit':'41'}", NULL), 200);
    CHECK_INT(count(), 40);
    snprintf(query, sizeof(query), "{'cursor':'%s'}", text_of("next"));
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, query, NULL), 200);
    deadline_ms = 0;
    CHECK_INT(count(), 0);
    CHECK_STR(text_of("next"), "(none)");
    snprintf(query, sizeof(query), "{'limit':'3','owner':'other'}");
    for (int i = 0; i < 4; i++) { /* ten of them: three full pages, and one */
        CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, query, NULL), 200);
        CHECK_INT(count(), i < 3 ? 3 : 1);
        for (size_t k = 0; k < count(); k++)
            CHECK_INT(atoi(json_string_value(json_object_get(item(k), "label"))), 4 * (int)seen++);
        snprintf(cursor, sizeof(cursor), "%s", text_of("next"));
        snprintf(query, sizeof(query), "{'limit':'3','owner':'other','cursor':'%s'}", cursor);
    }
    CHECK_STR(cursor, "(none)");
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'label':'7'}", NULL), 200);
    CHECK_INT(count(), 1);
    CHECK_INT(spoil("UPDATE credential SET scope = 0 WHERE label IN ('1', '2')"), 0); /* what is no token is passed over */
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'limit':'1'}", NULL), 200);
    snprintf(query, sizeof(query), "{'limit':'1','cursor':'%s'}", text_of("next"));
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, query, NULL), 200);
    CHECK_STR(json_string_value(json_object_get(item(0), "label")), "3");
    snprintf(query, sizeof(query), "{'limit':'1','cursor':'%s'}", text_of("next"));
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, query, NULL), 200);
    CHECK_STR(json_string_value(json_object_get(item(0), "label")), "4");
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'cursor':'-1.5'}", NULL), 400);
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'cursor':'1.1900000000'}", NULL), 400);
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, "{'limit':'1001'}", NULL), 400);
}

/* ---- Users. ---- */

static void users(void)
{
    char etag[ADMIN_ETAG_MAX];

    CHECK(begin());
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{}"), 201);
    CHECK(answer.secret && !tells_keys());
    CHECK_INT(strlen(text_of("password")), 32);
    CHECK_STR(text_of("id"), "carol");
    CHECK_STR(text_of("owner"), "carol");
    CHECK_INT(ask(ADMIN_USER_GET, "carol", NULL, NULL), 200);
    CHECK(!tells_keys());
    admin_etag(etag, answer.version);
    CHECK_INT(ask_if(ADMIN_USER_PUT, "carol", NULL, "{'max_allocations':7}", "\"other\""), 412);
    CHECK_INT(ask_if(ADMIN_USER_PUT, "carol", NULL, "{'max_allocations':7}", etag), 200);
    CHECK(!answer.secret && !json_object_get(answer.body, "password"));
    CHECK_INT(number_of("max_allocations"), 7);
    CHECK_INT(ask_if(ADMIN_USER_PUT, "carol", NULL, "{}", etag), 412);
    CHECK_INT(ask_if(ADMIN_USER_PUT, "dave", NULL, "{}", "*"), 412);
    CHECK_INT(ask(ADMIN_USER_PUT, "dave", NULL, "{'password':'given','owner':'acme','ttl':60}"), 201);
    CHECK(!answer.secret && !json_object_get(answer.body, "password"));
    CHECK_INT(ask(ADMIN_USERS_LIST, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 2);
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 0);
    CHECK_INT(ask(ADMIN_TOKEN_GET, "carol", NULL, NULL), 404);
    CHECK_INT(ask(ADMIN_USER_DELETE, "carol", NULL, NULL), 204);
    CHECK_INT(ask(ADMIN_USER_DELETE, "carol", NULL, NULL), 404);
    CHECK_INT(ask(ADMIN_USER_GET, "carol", NULL, NULL), 404);
    CHECK_INT(ask(ADMIN_USER_PUT, "a:1800000000", NULL, "{}"), 400);
    CHECK_INT(ask(ADMIN_USER_PUT, "}a", NULL, "{}"), 400);
    CHECK_INT(ask(ADMIN_USER_PUT, "{}a", NULL, "{}"), 201);
    CHECK_INT(ask(ADMIN_USER_DELETE, "{}a", NULL, NULL), 204);
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'pasword':'x'}"), 400);
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'password':'\\u0007'}"), 400);
    CHECK(says("password"));
}

static struct token stored(const char *name)
{
    struct tokenstore store;
    struct token t = {0};

    if (sqltokens_open(&store, dir) == 0)
        (void)tokenstore_get_user(&store, name, &t);
    tokenstore_close(&store);
    return t;
}

static void keys_stay(void)
{
    struct token first, second;

    CHECK(begin());
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'password':'one'}"), 201);
    first = stored("carol");
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'max_bps':5}"), 200);
    second = stored("carol");
    CHECK_MEM(first.sha256, second.sha256, sizeof(first.sha256));
    CHECK_MEM(first.md5, second.md5, sizeof(first.md5));
    CHECK_INT(second.max_bps, 5);
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'realm':'other'}"), 400);
    CHECK_INT(ask(ADMIN_USER_PUT, "carol", NULL, "{'password':'two'}"), 200);
    second = stored("carol");
    CHECK(memcmp(first.sha256, second.sha256, sizeof(first.sha256)) != 0);
    CHECK_INT(second.max_bps, 0); /* what is left out is no limit, not the old one */
}

/* ---- Credentials. ---- */

static void credentials(void)
{
    json_t *servers;

    CHECK(begin());
    CHECK_INT(ask(ADMIN_ICE_SERVERS, NULL, NULL, NULL), 201);
    CHECK(answer.secret);
    servers = json_object_get(answer.body, "iceServers");
    CHECK_INT(json_array_size(servers), 2);
    CHECK_INT(json_array_size(json_object_get(json_array_get(servers, 0), "urls")), 1);
    CHECK_INT(json_array_size(json_object_get(json_array_get(servers, 1), "urls")), 2);
    CHECK_INT(json_string_length(json_object_get(json_array_get(servers, 1), "credential")), 32);
    CHECK_INT(ask(ADMIN_ICE_SERVERS, NULL, NULL, "{'ttl':60,'owner':'acme','max_bps':1}"), 400);
    CHECK_INT(ask(ADMIN_TURN_REST, NULL, "{'service':'turn','username':'bob','ttl':'60'}", NULL), 200);
    CHECK(answer.secret);
    CHECK_INT(number_of("ttl"), 60);
    CHECK_INT(json_array_size(json_object_get(answer.body, "uris")), 2);
    CHECK_INT(ask(ADMIN_TURN_REST, NULL, "{'service':'sip'}", NULL), 400);
    CHECK_INT(ask(ADMIN_TURN_REST, NULL, NULL, NULL), 400);
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 2);
    CHECK_STR(json_string_value(json_object_get(item(0), "owner")), "bob");
    CHECK_INT(ask(ADMIN_USER_REVOKE, "dave", NULL, "{}"), 200);
    CHECK_INT(number_of("before"), NOW + 86400);
    CHECK_INT(ask(ADMIN_USER_REVOKE, "dave", NULL, "{'before':1900000000}"), 200);
    CHECK_INT(number_of("before"), 1900000000);
    CHECK_INT(ask(ADMIN_USER_REVOKE, "dave", NULL, "{'before':1}"), 400);
}

static void nowhere(void)
{
    forget();
    CHECK_INT(
        storeops_new(
            &ops, &(struct storeops_config){.state_dir = dir, .prefix = "tp:", .realm = "realm", .node = "n1", .separator = ':'}),
        0);
    CHECK_INT(ask(ADMIN_ICE_SERVERS, NULL, NULL, NULL), 503);
    CHECK_INT(ask(ADMIN_TOKENS_LIST, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 0); /* nothing was issued */
    CHECK_INT(ask(ADMIN_TOKEN_ISSUE, NULL, NULL, "{'owner':'a','ttl':60}"), 201);
    CHECK_INT(json_array_size(json_object_get(answer.body, "urls")), 0);
    CHECK_INT(ask(ADMIN_NODES, NULL, NULL, NULL), 200);
    CHECK_INT(ask(ADMIN_DRAIN, NULL, NULL, "{}"), 409);
    CHECK_INT(ask(ADMIN_STATUS, NULL, NULL, NULL), 503);
    CHECK(storeops_serves(ADMIN_USAGE) && !storeops_serves(ADMIN_STATUS));
}

/* ---- Rules. ---- */

static void rules(void)
{
    char etag[ADMIN_ETAG_MAX];

    CHECK(begin());
    CHECK_INT(ask(ADMIN_PEERS_GET, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 0);
    admin_etag(etag, answer.version);
    CHECK_INT(ask_if(ADMIN_PEERS_PUT, NULL, NULL, "{'allow':['10.1.2.3:5060/udp'],'deny':['8.8.8.0/24','9.9.9.9']}", etag), 200);
    CHECK_INT(count(), 3);
    CHECK_STR(json_string_value(json_object_get(item(0), "action")), "deny");
    CHECK_STR(json_string_value(json_object_get(item(0), "id")), "stored:deny:8.8.8.0%2F24");
    CHECK_INT(ask_if(ADMIN_PEERS_PUT, NULL, NULL, "{'allow':[],'deny':[]}", etag), 412);
    CHECK_INT(ask(ADMIN_PEERS_GET, NULL, NULL, NULL), 200);
    CHECK_STR(json_string_value(json_array_get(json_object_get(answer.body, "deny"), 1)), "9.9.9.9");
    CHECK_INT(ask(ADMIN_PEERS_PUT, NULL, NULL, "{'allow':[]}"), 400);
    CHECK(says("deny"));
    CHECK_INT(ask(ADMIN_PEERS_PUT, NULL, NULL, "{'allow':[],'deny':['8.8.8.8','8.8.8.0/33']}"), 400);
    CHECK(says("8.8.8.0/33"));
    CHECK_INT(ask(ADMIN_PEERS_PUT, NULL, NULL, "{'allow':[],'deny':[]}"), 200);
    CHECK_INT(ask(ADMIN_PEERS_GET, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 0);
}

static void quotas(void)
{
    char etag[ADMIN_ETAG_MAX];

    CHECK(begin());
    CHECK_INT(ask(ADMIN_QUOTA_GET, "acme", NULL, NULL), 200);
    CHECK(json_is_null(json_object_get(answer.body, "max_allocations")));
    admin_etag(etag, answer.version);
    CHECK_INT(ask_if(ADMIN_QUOTA_PUT, "acme", NULL, "{'max_allocations':20,'max_bps':5000000000}", etag), 200);
    CHECK_INT(ask_if(ADMIN_QUOTA_PUT, "acme", NULL, "{'max_allocations':20}", etag), 412);
    CHECK_INT(ask(ADMIN_QUOTA_GET, "acme", NULL, NULL), 200);
    CHECK_INT(number_of("max_allocations"), 20);
    CHECK_INT(number_of("max_bps"), INT64_C(5000000000));
    CHECK_INT(number_of("allocations"), 0);
    CHECK_INT(ask(ADMIN_QUOTA_GET, "ACME", NULL, NULL), 200);
    CHECK_INT(number_of("max_allocations"), -1);
    CHECK_INT(ask(ADMIN_QUOTA_PUT, "acme", NULL, "{'max_allocations':0}"), 400);
    CHECK_INT(ask(ADMIN_QUOTA_PUT, "acme", NULL, "{'max_alocations':1}"), 400);
    CHECK_INT(ask(ADMIN_QUOTA_PUT, "acme", NULL, "{'max_allocations':null}"), 200);
    CHECK_INT(number_of("max_allocations"), -1);
}

/* ---- Usage. ---- */

static bool use(const char *owner, const char *label, int64_t wall, uint64_t bytes)
{
    struct ledger_line line = {.text = label, .used.n = {[AUTH_USED_BYTES_UP] = bytes, [AUTH_USED_MS] = 2500}};
    struct ledger_flush flush = {.owner = owner, .sequence = 1, .wall = wall, .nlabels = 1, .labels = &line};
    char why[SQL_WHY_MAX];
    struct sql *db;
    int err = sql_open(&db, dir, true, SQL_SITTING_MS, why);

    if (!err)
        err = sql_begin(db, true);
    if (!err)
        err = sql_finish(db, sqlsums_add(db, &flush));
    sql_close(&db);
    return !err;
}

static void usage(void)
{
    char query[512], all[1024] = "";

    CHECK(begin());
    CHECK(use("b:%", "x/y", NOW, 5) && use("acme", "z", NOW, 1) && use("acme", "a", NOW, 2) && use("acme", "a", NOW - HOUR, 3) &&
          use("acme", "a", NOW - 40 * 86400, 4));
    CHECK_INT(ask(ADMIN_USAGE, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 3);
    CHECK_STR(json_string_value(json_object_get(item(0), "id")), "acme:0:a");
    CHECK_INT(json_integer_value(json_object_get(item(0), "bytes_up")), 9);
    CHECK_INT(json_integer_value(json_object_get(item(0), "seconds")), 7);
    CHECK(json_is_null(json_object_get(item(0), "from")));
    CHECK_STR(json_string_value(json_object_get(item(2), "id")), "b%3A%25:0:x%2Fy");
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'by':'day'}", NULL), 200);
    CHECK_INT(count(), 3); /* of the last thirty days */
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'by':'hour','owner':'acme','label':'a'}", NULL), 200);
    CHECK_INT(count(), 2);
    CHECK_INT(json_integer_value(json_object_get(item(0), "from")), NOW - HOUR - NOW % HOUR);
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'by':'hour','until':'1799999999'}", NULL), 200);
    CHECK_INT(count(), 1);
    snprintf(query, sizeof(query), "{'by':'hour','limit':'1'}");
    for (int i = 0; i < 4; i++) {
        CHECK_INT(ask(ADMIN_USAGE, NULL, query, NULL), 200);
        CHECK_INT(count(), 1);
        strcat(all, json_string_value(json_object_get(item(0), "id")));
        strcat(all, " ");
        snprintf(query, sizeof(query), "{'by':'hour','limit':'1','cursor':'%s'}", text_of("next"));
    }
    CHECK_STR(text_of("next"), "(none)");
    CHECK_STR(all, "acme:1799996400:a acme:1800000000:a acme:1800000000:z b%3A%25:1800000000:x%2Fy ");
    deadline_ms = 1; /* long ago: one owner is a page */
    CHECK_INT(ask(ADMIN_USAGE, NULL, NULL, NULL), 200);
    CHECK_INT(count(), 2);
    snprintf(query, sizeof(query), "{'cursor':'%s'}", text_of("next"));
    CHECK_INT(ask(ADMIN_USAGE, NULL, query, NULL), 200);
    deadline_ms = 0;
    CHECK_STR(text_of("next"), "(none)");
    CHECK_STR(json_string_value(json_object_get(item(0), "id")), "b%3A%25:0:x%2Fy");
    CHECK(use("c", "", NOW, 1));
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'by':'hour','since':'1'}", NULL), 200); /* all hours that are kept, of two owners */
    CHECK_INT(count(), 4);
    snprintf(query, sizeof(query), "{'by':'hour','since':'1','cursor':'%s'}", text_of("next"));
    CHECK_INT(ask(ADMIN_USAGE, NULL, query, NULL), 200);
    CHECK_INT(count(), 1);
    CHECK_STR(text_of("next"), "(none)");
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'by':'week'}", NULL), 400);
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'since':'1'}", NULL), 400);
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'cursor':'a%zz:1:b'}", NULL), 400);
    CHECK_INT(ask(ADMIN_USAGE, NULL, "{'cursor':'a:b'}", NULL), 400);
}

static void cleaned(void)
{
    forget();
    CHECK_INT(rmdir(dir), 0);
}

static const struct tap_test TESTS[] = {
    {"S24 a token is issued, shown and revoked, and no answer holds its keys", tokens},
    {"what is wrong with a token is named, and nothing is issued", bad_tokens},
    {"pages by owner and label are full, in order, and leave nothing out", pages},
    {"users are made, replaced under a condition, listed beside tokens, removed", users},
    {"a user who is replaced without a password keeps his keys", keys_stay},
    {"credentials in both shapes, and time-limited names revoked", credentials},
    {"where no relay is known to run nothing is handed out", nowhere},
    {"S21 rules for peers are read before they are kept, and replaced under a condition", rules},
    {"S21 limits of an owner are kept, changed under a condition, and taken back", quotas},
    {"usage by owner, label, hour and day, page by page", usage},
    {"nothing is left behind", cleaned},
};

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    return tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
