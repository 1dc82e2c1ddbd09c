/* The desk: credentials that end, by their time or by a revocation, and a server that stops. */
#include "tests/unit/deskfake.h"

#include "connect/deskparts.h"
#include "connect/session.h"

enum { ALICE, BOB, OFFICE, CAROL, SPARE = 16 };

static void hello(int i, const char *token, const char *password, const char *role)
{
    fake_say(i, "{'jsonrpc':'2.0','id':7,'method':'hello','params':{'token':{'username':'%s','password':'%s'},'role':'%s'}}", token,
             password, role);
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

/* Alice and the office have a call; both have heard everything. */
static bool talk(char call[static 64])
{
    if (!fake_hello(OFFICE, "office", "bridge") || !fake_hello(ALICE, "alice", "phone"))
        return false;
    fake_after(1000);
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
    if (!fake_hears_at_last(ALICE, "'result'"))
        return false;
    snprintf(call, 64, "%s", fake_member("call"));
    fake_after(1000);
    while (fake_hears(ALICE)[0] || fake_hears(OFFICE)[0])
        ;
    return true;
}

static bool ended(int i, const char *reason)
{
    return fake_hears_of(i, "call.ended") && strcmp(fake_member("reason"), reason) == 0 &&
           strcmp(fake_member("by"), "service") == 0;
}

static void expired(void)
{
    char call[64];

    CHECK(fake_up());
    fake_expires_at = FAKE_WALL + 60;
    CHECK(talk(call));
    fake_after(57000);
    CHECK_INT(fake[ALICE].code, 0);
    fake_after(1000);
    CHECK(ended(ALICE, "token_ended") && ended(OFFICE, "token_ended"));
    CHECK_INT(fake[ALICE].code, LINK_UNAUTHORIZED);
    CHECK_INT(fake_ice_retracted, 2);
}

/* Between two ticks, too. */
static void expired_before_tick(void)
{
    CHECK(fake_up());
    fake_expires_at = FAKE_WALL + 60;
    CHECK(fake_hello(ALICE, "alice", "phone"));
    fake_now.wall += 60;
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'ice.servers'}");
    CHECK_STR(fake_hears(ALICE), "");
    CHECK_INT(fake[ALICE].code, LINK_UNAUTHORIZED);
}

static void revoked(void)
{
    struct auth_revocation r = {.name = "alice", .only_changed = true};
    char call[64];

    CHECK(fake_up());
    CHECK(talk(call));
    desk_revoke(fake_desk, &r, &fake_now);
    CHECK_INT(fake[ALICE].code, 0);
    CHECK_INT(fake_forgotten, 1); /* but what was remembered is asked for again */
    r.only_changed = false;
    desk_revoke(fake_desk, &r, &fake_now);
    CHECK(ended(ALICE, "token_ended") && ended(OFFICE, "token_ended"));
    CHECK_INT(fake[ALICE].code, LINK_UNAUTHORIZED);
    CHECK_INT(fake[OFFICE].code, 0);
    CHECK_INT(fake_ice_retracted, 1);
    fake_ice_waits = true; /* one whose token was good a moment ago */
    fake_open(BOB);
    hello(BOB, "bob", "pw", "phone");
    snprintf(r.name, sizeof(r.name), "bob");
    desk_revoke(fake_desk, &r, &fake_now);
    CHECK(fake_hears_of(BOB, "'code':-32001,"));
    CHECK_INT(fake[BOB].code, LINK_UNAUTHORIZED);
    fake_ice_comes(true);
    CHECK_STR(fake_hears(BOB), "");
}

static void names(void)
{
    CHECK(fake_up());
    CHECK(fake_hello(ALICE, "alice2", "phone"));
    fake_gone(ALICE); /* she may come back */
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK_INT(sessions_of("alice2"), 1);
    CHECK_INT(sessions_of("office"), 1);
    CHECK_INT(sessions_of("bob"), 0);
}

static void stopped(void)
{
    struct desk_counts counts;
    char call[64];

    CHECK(fake_up());
    CHECK(talk(call));
    fake_open(BOB);
    desk_read(fake_desk, &counts);
    CHECK_INT(counts.phones, 1);
    CHECK_INT(counts.bridges, 1);
    CHECK_INT(counts.calls, 1);
    CHECK_INT(counts.hellos, 2);
    CHECK_INT(counts.started, 1);
    desk_stop(fake_desk, &fake_now);
    CHECK(ended(ALICE, "shutdown") && ended(OFFICE, "shutdown"));
    CHECK_INT(fake[ALICE].code, LINK_AWAY);
    CHECK_INT(fake[OFFICE].code, LINK_AWAY);
    CHECK_INT(fake[BOB].code, LINK_AWAY);
    fake_open(CAROL);
    CHECK(!fake[CAROL].seat);
    desk_read(fake_desk, &counts);
    CHECK_INT(counts.phones + counts.bridges + counts.calls, 0);
    CHECK_INT(counts.ended[DESK_SHUTDOWN], 1);
}

/* Who says hello and goes, again and again, fills the store with credentials: they are bounded, and end with his session. */
static void again_and_again(void)
{
    enum { MOST = DESK_HANDED_BURST_MS / 1000 * DESK_HANDED_PER_S };

    CHECK(fake_up());
    for (int i = 0; i < MOST; i++) {
        CHECK(fake_hello(ALICE, "alice", "phone"));
        fake_say(ALICE, "{'jsonrpc':'2.0','id':1,'method':'bye'}");
        CHECK_STR(fake_hears(ALICE), "{'jsonrpc':'2.0','id':1,'result':{}}");
    }
    CHECK_INT(fake_ice_retracted, MOST);
    fake_open(ALICE);
    hello(ALICE, "alice", "pw", "phone");
    CHECK(fake_hears_of(ALICE, "'code':-32009,"));
    CHECK_INT(fake_ice_wanted, MOST);
    CHECK(fake_hello(BOB, "bob", "phone"));
    fake_after(1000);
    CHECK(fake_hello(ALICE, "alice", "phone"));
}

/* A hello that is refused at last, after its ICE servers were made. */
static void too_late(void)
{
    CHECK(fake_up());
    fake_ice_waits = true;
    for (int i = 0; i <= SESSION_USER_MAX; i++) {
        fake_open(SPARE + i);
        hello(SPARE + i, "alice", "pw", "phone");
    }
    fake_ice_comes(true);
    CHECK_INT(sessions_of("alice"), SESSION_USER_MAX);
    CHECK_INT(fake_ice_wanted, SESSION_USER_MAX + 1);
    CHECK_INT(fake_ice_retracted, 1);
}

/* F13: a call in which something waits for the phone that comes back; the n-th piece of memory is missing, for each n. */
static void no_memory(void)
{
    char session[64], secret[64], call[64];
    long n = 0;
    bool failed;

    do {
        CHECK(fake_up());
        CHECK(fake_hello(OFFICE, "office", "bridge"));
        CHECK(fake_hello(ALICE, "alice", "phone"));
        snprintf(session, sizeof(session), "%s", fake_member("session"));
        snprintf(secret, sizeof(secret), "%s", fake_member("secret"));
        fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'12','sdp':'v=0'}}");
        CHECK(fake_hears_at_last(ALICE, "'result'"));
        snprintf(call, sizeof(call), "%s", fake_member("call"));
        fake_gone(ALICE);
        fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.ringing','params':{'call':'%s'}}", call);
        fake_open(ALICE);
        fake_ice_waits = true;
        fake_json_left = n++;
        fake_resume(ALICE, "alice", "phone", session, secret);
        failed = fake_json_left < 0;
        fake_json_left = -1;
        fake_ice_waits = false;
        fake_after(1000);
        CHECK(fake_hello(BOB, "bob", "phone")); /* it lives */
    } while (failed);
    CHECK(n > 20);
    CHECK(fake_hears_at_last(ALICE, "call.ringing"));
}

static const struct tap_test TESTS[] = {
    {"a token whose time is over ends its session and the call on both sides", expired},
    {"a token whose time is over says nothing more", expired_before_tick},
    {"a revocation ends the session, the call on both sides, a hello under way, and the ICE servers that were handed out", revoked},
    {"the names of all credentials are told, of those that are away, too", names},
    {"credentials that are handed out to one user are bounded, and end with his bye, which is answered", again_and_again},
    {"ICE servers that were made for a hello that is refused are retracted", too_late},
    {"F13 any allocation of JSON may fail while a session is resumed", no_memory},
    {"a server that stops says so", stopped},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
