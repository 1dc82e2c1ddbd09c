/* What a bridge tells of itself: judged, kept with its session, and listed. */
#include <stdlib.h>
#include <string.h>

#include "connect/bridgestatus.h"
#include "connect/session.h"
#include "tests/unit/deskfake.h"

enum { ALICE, OFFICE, OTHER };

static const char PBX[] = "{'state':'failing','since':7,'reason':'line 30: 403 Forbidden','lines':2,'registered':1}";
static const char CALL[] = "{'call':'c0123456789abcdef','since':9,'from':'pbx','state':'talking','path':'relayed','local':'relay','"
                           "remote':'prflx','received':100,"
                           "'lost':1,'rtt_ms':42,'jitter_ms':3}";

/* A status with these parts, in JSON with ' for "; good until the next call. */
static const char *status_of(const char *version, const char *pbx, const char *calls, const char *more)
{
    static char text[8192];

    snprintf(text, sizeof(text),
             "{'version':%s,'since':5,'pbx':%s,'calls_now':1,'calls_max':256,'ended':{'hangup':7},'calls':[%s]%s}", version, pbx,
             calls, more);
    return text;
}

/* What is wrong with it; "" nothing. */
static const char *wrong_in(const char *text)
{
    json_t *params = fake_json(text);
    const char *wrong = NULL;
    char *out;
    enum rpc_error error = bridgestatus_read(&out, params, &wrong);

    json_decref(params);
    free(out);
    return error == RPC_OK ? "" : wrong ? wrong : "?";
}

static void made_anew(void)
{
    json_t *params = fake_json(status_of("'0.1.0'", PBX, CALL, ",'beyond':[{'a':{}}]")), *status, *want;
    const char *wrong;
    char *out;

    json_object_set_new(json_array_get(json_object_get(params, "calls"), 0), "secret", json_string("x"));
    json_object_set_new(json_object_get(params, "ended"), "elsewise", json_integer(3));
    CHECK_INT(bridgestatus_read(&out, params, &wrong), RPC_OK);
    status = json_loads(out, 0, NULL);
    want = fake_json(status_of("'0.1.0'", PBX, CALL, ""));
    CHECK(json_equal(status, want)); /* what nobody here knows is left out, whatever it holds */
    json_decref(params);
    json_decref(status);
    json_decref(want);
    free(out);
}

static void judged(void)
{
    static const char BAD[] = "{'state':'failing','since':7,'reason':'a\\u001bb','lines':2,'registered':1}";
    static const struct {
        const char *version, *pbx, *call, *more, *wrong;
    } CASES[] = {
        {"'0.1.0'", PBX, "", "", ""},
        {"'0.1.0'", "{'state':'trying','since':0,'lines':0,'registered':0}",
         "{'call':'c1','since':0,'from':'phone','state':'ringing'}", "", ""},
        {"7", PBX, CALL, "", "version"},
        {"''", PBX, CALL, "", "version"},
        {"'\\u0007'", PBX, CALL, "", "version"},
        {"'012345678901234567890123456789012'", PBX, CALL, "", "version"},
        {"'0'", "[]", CALL, "", "pbx"},
        {"'0'", "{'state':'well','since':7,'lines':2,'registered':1}", CALL, "", "state"},
        {"'0'", "{'state':'failing','since':-1,'lines':2,'registered':1}", CALL, "", "since"},
        {"'0'", "{'state':'failing','since':7.5,'lines':2,'registered':1}", CALL, "", "since"},
        {"'0'", "{'state':'failing','since':7,'lines':65537,'registered':1}", CALL, "", "lines"},
        {"'0'", BAD, CALL, "", "reason"},
        {"'0'", PBX, "7", "", "calls"},
        {"'0'", PBX, "{'since':0,'from':'phone','state':'ringing'}", "", "call"},
        {"'0'", PBX, "{'call':'c1;','since':0,'from':'phone','state':'ringing'}", "", "call"},
        {"'0'", PBX, "{'call':'c12345678901234567890123','since':0,'from':'phone','state':'ringing'}", "", "call"},
        {"'0'", PBX, "{'call':'c1','since':0,'from':'me','state':'ringing'}", "", "from"},
        {"'0'", PBX, "{'call':'c1','since':0,'from':'phone','state':'over'}", "", "state"},
        {"'0'", PBX, "{'call':'c1','since':0,'from':'phone','state':'ringing','local':'lan'}", "", "local"},
        {"'0'", PBX, "{'call':'c1','since':0,'from':'phone','state':'ringing','rtt_ms':1e300}", "", "rtt_ms"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s %s\n", CASES[i].pbx, CASES[i].call);
        CHECK_STR(wrong_in(status_of(CASES[i].version, CASES[i].pbx, CASES[i].call, CASES[i].more)), CASES[i].wrong);
    }
    CHECK_STR(
        wrong_in("{'version':'0','since':5,'pbx':{'state':'trying','since':0,'lines':0,'registered':0},'calls_now':0,'calls_max':1,"
                 "'ended':{'busy':'seven'},'calls':[]}"),
        "ended");
    CHECK_STR(wrong_in("{}"), "version");
}

static void many_calls(void)
{
    json_t *params = fake_json(status_of("'0'", PBX, CALL, "")), *calls = json_object_get(params, "calls");
    const char *wrong;
    char *out;

    while (json_array_size(calls) < BRIDGESTATUS_CALLS_MAX)
        json_array_append(calls, json_array_get(calls, 0));
    CHECK_INT(bridgestatus_read(&out, params, &wrong), RPC_OK);
    CHECK(strlen(out) < RPC_TEXT_MAX);
    free(out);
    json_array_append(calls, json_array_get(calls, 0));
    CHECK_INT(bridgestatus_read(&out, params, &wrong), RPC_PARAMS);
    CHECK_STR(wrong, "calls");
    CHECK(!out);
    json_decref(params);
}

/* ---- At the desk. ---- */

static void tell(int i, const char *version)
{
    fake_say(i, "{'jsonrpc':'2.0','id':9,'method':'bridge.status','params':%s}", status_of(version, PBX, CALL, ""));
}

/* A member of the n-th bridge that is listed, as text; "" there is none. Good until the next call. */
static const char *listed(const char *tenant, size_t n, const char *key)
{
    static char text[256];
    json_t *list = desk_bridges(fake_desk, tenant), *bridge = json_array_get(list, n), *status = NULL;
    const char *value;

    if (json_is_string(json_object_get(bridge, "status")))
        status = json_loads(json_string_value(json_object_get(bridge, "status")), 0, NULL);
    value = json_string_value(json_object_get(strcmp(key, "version") == 0 ? status : bridge, key));
    snprintf(text, sizeof(text), "%s", value ? value : json_is_true(json_object_get(bridge, key)) ? "yes" : "");
    json_decref(status);
    json_decref(list);
    return text;
}

static void kept(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK_STR(listed(NULL, 0, "tenant"), "north");
    CHECK_STR(listed(NULL, 0, "user"), "office");
    CHECK_STR(listed(NULL, 0, "connected"), "yes");
    CHECK_STR(listed(NULL, 0, "version"), ""); /* nothing is told yet */
    tell(OFFICE, "'1'");
    CHECK(fake_hears_at_last(OFFICE, "'id':9,'result':{}"));
    tell(OFFICE, "'2'");
    CHECK_STR(listed(NULL, 0, "version"), "2");
    fake_say(OFFICE, "{'jsonrpc':'2.0','id':9,'method':'bridge.status','params':{'version':'3'}}");
    CHECK(fake_hears_at_last(OFFICE, "-32602"));
    CHECK_STR(listed(NULL, 0, "version"), "2"); /* a status that is refused changes nothing */
}

static void tenants(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK(fake_hello(OTHER, "southern", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    tell(ALICE, "'1'");
    CHECK(fake_hears_at_last(ALICE, "-32601"));
    CHECK_STR(listed(NULL, 0, "tenant"), "north"); /* the oldest first */
    CHECK_STR(listed(NULL, 1, "tenant"), "south");
    CHECK_STR(listed(NULL, 2, "tenant"), ""); /* a phone is no bridge */
    CHECK_STR(listed("south", 0, "tenant"), "south");
    CHECK_STR(listed("south", 1, "tenant"), "");
    CHECK_STR(listed("west", 0, "tenant"), "");
}

static void gone(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    tell(OFFICE, "'1'");
    fake_gone(OFFICE);
    CHECK_STR(listed(NULL, 0, "tenant"), "north");
    CHECK_STR(listed(NULL, 0, "connected"), "");
    fake_after(SESSION_RESUME_S * 1000);
    CHECK_STR(listed(NULL, 0, "tenant"), "");
    CHECK(fake_hello(OTHER, "office", "bridge"));
    CHECK_STR(listed(NULL, 0, "version"), ""); /* what the one before has told is not its own */
    fake_say(OTHER, "{'jsonrpc':'2.0','method':'bye'}");
    CHECK_STR(listed(NULL, 0, "tenant"), "");
}

static const struct tap_test TESTS[] = {
    {"a status is made anew of the members that are known", made_anew},
    {"S20 each member that is missing, wrong, too long or holds control characters refuses the status, by name", judged},
    {"S20 200 calls fit into a message, and one more is refused", many_calls},
    {"the newest status of a bridge is kept, and one that is refused changes nothing", kept},
    {"bridges are listed by tenant, the oldest first; a phone has no status", tenants},
    {"a bridge that lost its connection is listed for 30 s, and what it has told goes with it", gone},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
