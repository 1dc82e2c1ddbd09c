/* The desk: hellos, sessions that outlive their connection, tenants, credentials that end, and limits. Calls are test_deskcalls'. */
#include "tests/unit/deskfake.h"

#include "base/throttle.h"
#include "connect/session.h"

enum { ALICE, BOB, OFFICE, CAROL, SOUTHERN, OTHER, SPARE = 16 };

static void hello(int i, const char *token, const char *password, const char *role)
{
    fake_say(i, "{'jsonrpc':'2.0','id':7,'method':'hello','params':{'token':{'username':'%s','password':'%s'},'role':'%s'}}", token,
             password, role);
}

/* ---- Hello. ---- */

static void welcome(void)
{
    CHECK(fake_up());
    fake_open(OFFICE);
    hello(OFFICE, "office", "pw", "bridge");
    CHECK(fake_hears_of(OFFICE, "{'jsonrpc':'2.0','id':7,'result':{'session':'s"));
    CHECK(fake[OFFICE].known);
    CHECK_STR(fake_member("tenant"), "north");
    CHECK_STR(fake_member("user"), "office");
    CHECK_INT(strlen(fake_member("secret")), 32);
    fake_open(ALICE);
    hello(ALICE, "alice2", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'resume_s':30,'ice':{'iceServers':[{'username':'ice1'}],'ttl':3600},'calls':[],'bridges':1}"));
    CHECK_STR(fake_member("user"), "alice"); /* the token's owner */
    CHECK_STR(fake_hears(ALICE), "");
}

/* What differs between the two answers but the id? */
static void alike(void)
{
    char first[512];

    CHECK(fake_up());
    fake_open(ALICE);
    hello(ALICE, "alice", "wrong", "phone");
    snprintf(first, sizeof(first), "%s", fake_hears(ALICE));
    CHECK(strstr(first, "'code':-32001,"));
    CHECK_INT(fake[ALICE].code, LINK_UNAUTHORIZED);
    fake_open(BOB);
    hello(BOB, "whoever", "wrong", "phone");
    CHECK_STR(fake_hears(BOB), first);
    CHECK_INT(fake[BOB].code, LINK_UNAUTHORIZED);
    fake_open(CAROL);
    hello(CAROL, "turn", "wrong", "phone"); /* nor is the scope told to who has not the password */
    CHECK_STR(fake_hears(CAROL), first);
    fake_open(OTHER);
    hello(OTHER, "a\xC2\xAD", "wrong", "phone"); /* a name that nobody can have */
    CHECK_STR(fake_hears(OTHER), first);
    CHECK(!fake[OTHER].known);
    hello(OTHER, "alice", "pw", "phone"); /* it is closed */
    CHECK_STR(fake_hears(OTHER), "");
}

static void throttled(void)
{
    CHECK(fake_up());
    for (int i = 0; i < THROTTLE_FAILURES; i++) {
        fake_open(ALICE);
        hello(ALICE, "alice", "wrong", "phone");
        CHECK(fake_hears_of(ALICE, "unauthorized"));
    }
    fake_open(ALICE);
    hello(ALICE, "alice", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32009,"));
    CHECK_INT(fake[ALICE].code, LINK_POLICY);
    CHECK(fake_hello(BOB, "bob", "phone"));     /* another user of the same address */
    CHECK(fake_hello(SPARE, "alice", "phone")); /* this user from elsewhere */
    fake_after(THROTTLE_SILENCE_S * 1000);
    CHECK(fake_hello(ALICE, "alice", "phone"));
}

static void scopes(void)
{
    static const struct {
        const char *token, *role;
        bool good;
    } CASES[] = {{"alice", "phone", true},   {"alice", "bridge", false}, {"turn", "phone", false}, {"turn", "bridge", false},
                 {"office", "phone", false}, {"office", "bridge", true}, {"both", "phone", true},  {"both", "bridge", true}};

    CHECK(fake_up());
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s as %s\n", CASES[i].token, CASES[i].role);
        fake_open(ALICE);
        hello(ALICE, CASES[i].token, "pw", CASES[i].role);
        CHECK(fake_hears_of(ALICE, CASES[i].good ? "'session':" : "'code':-32002,"));
        CHECK_INT(fake[ALICE].code, CASES[i].good ? 0 : LINK_UNAUTHORIZED);
    }
}

static void unavailable(void)
{
    CHECK(fake_up());
    fake_auth_is = AUTH_UNAVAILABLE;
    fake_open(ALICE);
    hello(ALICE, "alice", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32003,"));
    CHECK_INT(fake[ALICE].code, 0);
    fake_auth_is = AUTH_OK;
    fake_ice_refuses = true;
    hello(ALICE, "alice", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32003,"));
    fake_ice_refuses = false;
    fake_ice_waits = true;
    hello(ALICE, "alice", "pw", "phone");
    CHECK_STR(fake_hears(ALICE), "");
    fake_ice_comes(false);
    CHECK(fake_hears_of(ALICE, "'code':-32003,"));
    hello(ALICE, "alice", "pw", "phone");
    fake_ice_comes(true);
    CHECK(fake_hears_of(ALICE, "'session':"));
}

static void later(void)
{
    CHECK(fake_up());
    fake_auth_is = AUTH_PENDING;
    fake_open(ALICE);
    hello(ALICE, "alice", "pw", "phone");
    hello(ALICE, "alice", "pw", "phone"); /* one at a time */
    CHECK(fake_hears_of(ALICE, "'code':-32008,"));
    fake_after(60000); /* however long it takes: it has come in time */
    CHECK_INT(fake[ALICE].code, 0);
    fake_auth_answers();
    fake_ice_comes(true);
    CHECK(fake_hears_of(ALICE, "'session':"));
    fake_open(BOB);
    hello(BOB, "bob", "pw", "phone");
    fake_gone(BOB);
    CHECK_INT(fake_cancelled, 1);
    fake_auth_is = AUTH_OK;
    fake_ice_waits = true;
    fake_open(BOB);
    hello(BOB, "bob", "pw", "phone");
    fake_gone(BOB);
    fake_ice_comes(true); /* for nobody: they end at once */
    CHECK_INT(fake_ice_retracted, 1);
}

static void first(void)
{
    static const char *const OTHERS[] = {"ice.servers", "bye", "call.start", "call.hangup", "whatever"};

    CHECK(fake_up());
    fake_open(ALICE);
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        fake_say(ALICE, "{'jsonrpc':'2.0','id':1,'method':'%s'}", OTHERS[i]);
        CHECK(fake_hears_of(ALICE, "'code':-32008,"));
    }
    fake_after(9999);
    CHECK_INT(fake[ALICE].code, 0);
    fake_after(1);
    CHECK_INT(fake[ALICE].code, LINK_NO_HELLO);
    CHECK(fake_hello(BOB, "bob", "phone"));
    hello(BOB, "bob", "pw", "phone");
    CHECK(fake_hears_of(BOB, "'code':-32008,"));
    fake_say(BOB, "{'jsonrpc':'2.0','id':1,'method':'whatever'}");
    CHECK(fake_hears_of(BOB, "'code':-32601,"));
    fake_after(60000);
    CHECK_INT(fake[BOB].code, 0);
}

static void members(void)
{
    static const struct {
        const char *params, *member;
    } CASES[] = {
        {"{}", "token"},
        {"{'token':1,'role':'phone'}", "token"},
        {"{'token':{'username':'alice'},'role':'phone'}", "password"},
        {"{'token':{'username':'','password':'pw'},'role':'phone'}", "username"},
        {"{'token':{'username':'alice','password':'pw'}}", "role"},
        {"{'token':{'username':'alice','password':'pw'},'role':'pho'}", "role"},
        {"{'token':{'username':'alice','password':'pw'},'role':'phone','name':5}", "name"},
        {"{'token':{'username':'alice','password':'pw'},'role':'phone','name':'\\n'}", "name"},
        {"{'token':{'username':'alice','password':'pw'},'role':'phone','resume':{'session':'s'}}", "secret"},
        {"{'token':{'username':'alice','password':'pw'},'role':'phone','resume':5}", "resume"},
    };
    char want[80];

    CHECK(fake_up());
    fake_open(ALICE);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s\n", CASES[i].params);
        fake_say(ALICE, "{'jsonrpc':'2.0','id':'x','method':'hello','params':%s}", CASES[i].params);
        snprintf(want, sizeof(want), "is missing or wrong: %s','data':{'reason':'params'}", CASES[i].member);
        CHECK(fake_hears_of(ALICE, want));
    }
    fake_say(ALICE, "{'jsonrpc':'2.0','method':'hello','params':{}}"); /* a notification is not answered */
    CHECK_STR(fake_hears(ALICE), "");
    CHECK_INT(fake[ALICE].code, 0);
}

/* ---- Sessions. ---- */

static void resumed(void)
{
    char session[64], secret[64], call[64];

    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    snprintf(session, sizeof(session), "%s", fake_member("session"));
    snprintf(secret, sizeof(secret), "%s", fake_member("secret"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_of(ALICE, "'result'"));
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    fake_gone(ALICE);
    fake_after(10000);
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.answer','params':{'call':'%s','sdp':'v=0'}}", call);
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.ringing','params':{'call':'%s'}}", call);
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.stats','params':{'call':'%s','lost':1}}", call);
    fake_after(19999);
    fake_open(BOB); /* the phone on another way */
    fake_resume(BOB, "alice", "phone", session, secret);
    CHECK(fake_hears_of(BOB, "'ttl':3571},'calls':[{'call':'c")); /* the same servers: it is half a minute later */
    CHECK_STR(fake_member("session"), session);
    CHECK_STR(fake_member("secret"), secret);
    CHECK(fake_hears_of(BOB, "'method':'call.answer'"));
    CHECK(fake_hears_of(BOB, "'method':'call.ringing'"));
    CHECK_STR(fake_hears(BOB), "");
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.answered','params':{'call':'%s'}}", call);
    CHECK(fake_hears_of(BOB, "'method':'call.answered'"));
    fake_after(60000);
    fake_open(ALICE); /* a third one, before the second is known to be lost */
    fake_resume(ALICE, "alice", "phone", session, secret);
    CHECK(fake_hears_of(ALICE, "'state':'answered'"));
    CHECK_INT(fake[BOB].code, LINK_RESUMED);
    fake_gone(BOB); /* takes nothing with it */
    fake_after(60000);
    CHECK_INT(fake[ALICE].code, 0);
}

static void not_resumed(void)
{
    char session[64], secret[64], wrong[64];

    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice", "phone"));
    snprintf(session, sizeof(session), "%s", fake_member("session"));
    snprintf(secret, sizeof(secret), "%s", fake_member("secret"));
    snprintf(wrong, sizeof(wrong), "%s", secret);
    wrong[31] = wrong[31] == '0' ? '1' : '0';
    const struct {
        const char *token, *role, *session, *secret;
    } cases[] = {{"alice", "phone", session, wrong}, {"alice", "phone", session, "0"},    {"alice", "phone", "s0", secret},
                 {"bob", "phone", session, secret},  {"carol", "phone", session, secret}, /* of this name, of another tenant */
                 {"both", "bridge", session, secret}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        printf("# %zu\n", i);
        fake_open(BOB);
        fake_resume(BOB, cases[i].token, cases[i].role, cases[i].session, cases[i].secret);
        CHECK(fake_hears_of(BOB, "'code':-32004,"));
        CHECK_INT(fake[BOB].code, 0);
        CHECK_INT(fake[ALICE].code, 0);
    }
    CHECK(fake_hello(OTHER, "both", "phone")); /* whose token would do for a bridge, too */
    snprintf(wrong, sizeof(wrong), "%s", fake_member("session"));
    fake_resume(BOB, "both", "bridge", wrong, fake_member("secret"));
    CHECK(fake_hears_of(BOB, "'code':-32004,"));
    hello(BOB, "bob", "pw", "phone"); /* a new one, on the same connection */
    CHECK(fake_hears_of(BOB, "'session':"));
    fake_gone(ALICE);
    fake_after(SESSION_RESUME_S * 1000);
    fake_open(ALICE);
    fake_resume(ALICE, "alice", "phone", session, secret);
    CHECK(fake_hears_of(ALICE, "'code':-32004,"));
}

/* What it is told while it is away has a limit: the call that fills it is over then. */
static void held(void)
{
    char call[64];

    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_of(ALICE, "'result'"));
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    while (fake_hears(OFFICE)[0])
        ;
    fake_gone(ALICE);
    for (int i = 0; i < SESSION_PASSED_MAX / 4000 + 1; i++)
        fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.answer','params':{'call':'%s','sdp':'%04000d'}}", call, 0);
    fake_after(1000);
    CHECK(fake_hears_at_last(OFFICE, "call.ended"));
    CHECK_STR(fake_member("reason"), "limit");
}

static unsigned nnames;

static void visit(void *visitor, const char *name)
{
    const char *want = visitor;

    nnames += strcmp(name, want) == 0;
}

static unsigned sessions_of(const char *name)
{
    nnames = 0;
    desk_each(fake_desk, visit, (void *)(uintptr_t)name);
    return nnames;
}

static void many(void)
{
    CHECK(fake_up());
    for (int i = 0; i < SESSION_USER_MAX; i++)
        CHECK(fake_hello(SPARE + i, "alice", "phone"));
    fake_open(ALICE);
    hello(ALICE, "alice2", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32009,"));
    CHECK_INT(fake[ALICE].code, LINK_POLICY);
    CHECK_INT(fake_ice_wanted, SESSION_USER_MAX); /* no credential was made for it */
    CHECK(fake_hello(BOB, "bob", "phone"));
    fake_gone(SPARE); /* a page that was loaded again makes room for itself */
    CHECK(fake_hello(SPARE, "alice", "phone"));
    CHECK_INT(sessions_of("alice"), SESSION_USER_MAX);
}

static void goodbye(void)
{
    char call[64];

    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice", "phone"));
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_at_last(OFFICE, "call.incoming"));
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    fake_say(ALICE, "{'jsonrpc':'2.0','method':'bye'}");
    CHECK_INT(fake[ALICE].code, LINK_NORMAL);
    CHECK(fake_hears_at_last(OFFICE, "call.ended"));
    CHECK_STR(fake_member("call"), call);
    CHECK_STR(fake_member("reason"), "hangup");
    CHECK_STR(fake_member("by"), "phone");
}

/* ---- Tenants. ---- */

static void presence(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice", "phone"));
    CHECK(fake_hello(CAROL, "carol", "phone"));
    fake_after(1000);
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK_STR(fake_hears(OFFICE), "{'jsonrpc':'2.0','method':'presence','params':{'bridges':1,'phones':[{'user':'alice','name':'',"
                                  "'busy':false}],'more':0}}");
    CHECK_STR(fake_hears(ALICE), "{'jsonrpc':'2.0','method':'presence','params':{'bridges':1}}");
    CHECK_STR(fake_hears(CAROL), ""); /* of another tenant */
    CHECK(fake_hello(BOB, "bob", "phone"));
    CHECK_STR(fake_hears(OFFICE), ""); /* once a second */
    fake_after(1000);
    CHECK(fake_hears_of(OFFICE, "'bob'"));
    CHECK_STR(fake_hears(ALICE), ""); /* phones are told of bridges alone */
    fake_after(1000);
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_of(OFFICE, "call.incoming"));
    CHECK(fake_hears_of(OFFICE, "{'user':'alice','name':'','busy':true}"));
    fake_after(1000);
    fake_gone(ALICE);
    CHECK_STR(fake_hears(OFFICE), "{'jsonrpc':'2.0','method':'presence','params':{'bridges':1,'phones':[{'user':'bob','name':'',"
                                  "'busy':false}],'more':0}}");
    fake_after(1000);
    fake_gone(OFFICE);
    CHECK(fake_hears_of(BOB, "{'bridges':0}"));
}

/* Those who came between two tellings know what the answer to their hello said. */
static void presence_between(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    fake_gone(OFFICE);
    CHECK(fake_hello(ALICE, "alice", "phone"));
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK_STR(fake_hears(ALICE), "");
    fake_after(1000);
    CHECK(fake_hears_of(ALICE, "{'bridges':1}"));
}

static void crowd(void)
{
    CHECK(fake_up());
    for (int i = SPARE; i < FAKE_CLIENTS; i++) {
        fake_open(i);
        fake_say(
            i,
            "{'jsonrpc':'2.0','id':1,'method':'hello','params':{'token':{'username':'#%d','password':'pw'},'role':'phone','name':"
            "'%064d'}}",
            i, i);
    }
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    fake_after(1000);
    CHECK(strstr(fake_hears(OFFICE), "'more':0") == NULL);
    CHECK(json_array_size(fake_member_json("phones")) > 300);
}

static void strangers(void)
{
    char call[64];

    CHECK(fake_up());
    CHECK(fake_hello(SOUTHERN, "southern", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_of(ALICE, "'code':-32005,"));
    fake_say(SOUTHERN, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'user':'alice','from':'12'}}");
    CHECK(fake_hears_at_last(SOUTHERN, "'code':-32006,"));
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    fake_after(1000);
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    CHECK(fake_hears_at_last(ALICE, "'result'"));
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    CHECK(fake_hello(BOB, "bob", "phone"));
    fake_say(SOUTHERN, "{'jsonrpc':'2.0','id':2,'method':'call.hangup','params':{'call':'%s','reason':'hangup'}}", call);
    CHECK(fake_hears_at_last(SOUTHERN, "'code':-32007,"));
    fake_say(BOB, "{'jsonrpc':'2.0','id':2,'method':'call.hangup','params':{'call':'%s','reason':'hangup'}}", call);
    CHECK(fake_hears_of(BOB, "'code':-32007,"));
}

/* ---- ICE servers, and limits. ---- */

static void servers(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice", "phone"));
    CHECK_INT(fake_ice_wanted, 1);
    fake_after(1799000);
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'ice.servers'}");
    CHECK(fake_hears_of(ALICE, "'result':{'iceServers':[{'username':'ice0'}],'ttl':1801}"));
    CHECK_INT(fake_ice_wanted, 1);
    fake_after(1000);
    fake_ice_waits = true;
    for (int i = 0; i < 9; i++)
        fake_say(ALICE, "{'jsonrpc':'2.0','id':%d,'method':'ice.servers'}", i);
    CHECK(fake_hears_of(ALICE, "'id':8,'error':{'code':-32009,"));
    CHECK_INT(fake_ice_wanted, 2);
    fake_ice_comes(true);
    for (int i = 0; i < 8; i++)
        CHECK(fake_hears_of(ALICE, "'username':'ice1'}],'ttl':3600}"));
    fake_after(1800000);
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'ice.servers'}");
    fake_ice_comes(false);
    CHECK(fake_hears_of(ALICE, "'code':-32003,"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'ice.servers'}");
    fake_gone(ALICE);
    fake_ice_comes(true);
    CHECK_INT(fake_ice_retracted, 1);
    fake_ice_refuses = true;
    fake_ice_waits = false;
    fake_open(ALICE);
    hello(ALICE, "alice", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32003,"));
}

static void flood(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice", "phone"));
    for (int i = 0; i < 299; i++)
        fake_say(ALICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[ALICE].code, 0);
    fake_after(10); /* one more */
    fake_say(ALICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[ALICE].code, 0);
    fake_say(ALICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[ALICE].code, LINK_POLICY);
}

static void busy_bridge(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    for (int i = 0; i < 6000; i++)
        fake_say(OFFICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[OFFICE].code, 0);
    fake_after(1000); /* the statistics of twice as many calls as it may have */
    for (int i = 0; i < 2000; i++)
        fake_say(OFFICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[OFFICE].code, 0);
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'whatever'}");
    CHECK_INT(fake[OFFICE].code, LINK_POLICY);
}

static void no_rpc(void)
{
    static const struct {
        const char *text, *code;
    } CASES[] = {{"", "-32700"},
                 {"hello", "-32700"},
                 {"{'jsonrpc':'2.0','jsonrpc':'2.0','method':'bye'}", "-32700"},
                 {"[[[[[[[[[[[[[[[[[", "-32700"},
                 {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "-32700"}, /* JSON, but too deep */
                 {"[]", "-32600"},
                 {"{}", "-32600"},
                 {"{'jsonrpc':'2.0','id':1,'result':{}}", "-32600"},
                 {"{'jsonrpc':'2.0','id':[],'method':'bye'}", "-32600"},
                 {"{'jsonrpc':'2.0','id':1,'method':'bye','params':[]}", "-32600"}};

    CHECK(fake_up());
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        printf("# %s\n", CASES[i].text);
        fake_open(ALICE);
        fake_say(ALICE, "%s", CASES[i].text);
        CHECK(fake_hears_of(ALICE, CASES[i].code));
        CHECK_INT(fake[ALICE].code, LINK_PROTOCOL);
    }
}

static const struct tap_test TESTS[] = {
    {"a hello is answered with a session, the token's tenant and owner, ICE servers and how many bridges there are", welcome},
    {"S14 a wrong password, an unknown user, another scope and an unreadable name look alike", alike},
    {"S15 ten wrong passwords of a user and a source silence both together for a minute, and nobody else", throttled},
    {"a role needs its scope", scopes},
    {"a store or ICE servers that are away are no end: the next hello may be good", unavailable},
    {"an answer that takes its time comes once, or goes nowhere", later},
    {"hello comes first, within ten seconds, and once", first},
    {"each member of a hello that is missing or wrong is named", members},
    {"a session that comes back within 30 s has its calls, and hears in order what it has missed, without statistics", resumed},
    {"S14 a session is gone on with by its secret, user, tenant and role, and within 30 s", not_resumed},
    {"what is kept for one that is away is bounded", held},
    {"sessions of one user are bounded, and one that is away makes room", many},
    {"bye ends the session and its calls at once", goodbye},
    {"presence: bridges hear of phones, phones of bridges, once a second", presence},
    {"presence: what changed between two tellings is told to whom it is news", presence_between},
    {"presence: a crowd is told of as far as a message holds it, and the rest as a number", crowd},
    {"nobody calls, or ends a call, or learns of anybody across tenants", strangers},
    {"ICE servers are given again while they are young, and made anew for all who wait", servers},
    {"S20 more than 100 messages a second, burst 300, end the connection", flood},
    {"S20 a bridge has 2000 messages a second, burst 6000: one a second for each of its calls, and more", busy_bridge},
    {"what is no JSON-RPC is answered, and ends the connection", no_rpc},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
