/* The desk: credentials that end, by their time or by a revocation, and a server that stops. */
#include "tests/unit/deskfake.h"

enum { ALICE, BOB, OFFICE, CAROL };

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

static const struct tap_test TESTS[] = {
    {"a token whose time is over ends its session and the call on both sides", expired},
    {"a token whose time is over says nothing more", expired_before_tick},
    {"a revocation ends the session, the call on both sides, a hello under way, and the ICE servers that were handed out", revoked},
    {"the names of all credentials are told, of those that are away, too", names},
    {"a server that stops says so", stopped},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
