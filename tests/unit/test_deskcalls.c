/* Calls at the desk: who may say what in which state, what the other side hears of it, and how calls end. */
#include "tests/unit/deskfake.h"

#include "connect/call.h"
#include "connect/session.h"

enum { ALICE, BOB, OFFICE, DESK, SPARE = 16 };

static char call[64];

/* A notification about the call; `more`: other members, with a comma before. */
static void say(int i, const char *method, const char *more)
{
    fake_say(i, "{'jsonrpc':'2.0','method':'%s','params':{'call':'%s'%s}}", method, call, more);
}

/* The same as a request: what it is answered, a reason or "ok". */
static const char *ask(int i, const char *method, const char *more)
{
    static char reason[32];
    const char *at;

    fake_say(i, "{'jsonrpc':'2.0','id':9,'method':'%s','params':{'call':'%s'%s}}", method, call, more);
    while (json_array_size(fake[i].heard)) {
        const char *text = fake_hears(i);

        if (strstr(text, "{'jsonrpc':'2.0','id':9,'result':{}}"))
            return "ok";
        at = strstr(text, "'reason':'");
        if (strstr(text, "'id':9") && at && sscanf(at, "'reason':'%31[a-z_]'", reason) == 1)
            return reason;
    }
    return "nothing";
}

static void drain(int i)
{
    while (fake_hears(i)[0])
        ;
}

static bool up(void)
{
    bool good = fake_up() && fake_hello(OFFICE, "office", "bridge") && fake_hello(ALICE, "alice", "phone") &&
                fake_hello(DESK, "alice2", "phone") && fake_hello(BOB, "bob", "phone");

    fake_after(1000);
    for (int i = 0; i < 4; i++)
        drain(i);
    return good;
}

/* Alice calls. */
static bool out(void)
{
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'+49-12*#','sdp':'offer'}}");
    if (!fake_hears_of(ALICE, "'result':{'call':'c"))
        return false;
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    return true;
}

/* Somebody calls Alice, who has two phones. */
static bool in(void)
{
    fake_say(OFFICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'user':'alice','from':'0123','name':'Eve'}}");
    if (!fake_hears_at_last(OFFICE, "'result':{'call':'c"))
        return false;
    snprintf(call, sizeof(call), "%s", fake_member("call"));
    return true;
}

/* ---- The ways of a call. ---- */

static void outbound(void)
{
    char want[256];

    CHECK(up());
    CHECK(out());
    snprintf(
        want, sizeof(want),
        "{'jsonrpc':'2.0','method':'call.incoming','params':{'call':'%s','from':'alice','name':'','to':'+49-12*#','sdp':'offer'}}",
        call);
    CHECK_STR(fake_hears(OFFICE), want);
    say(OFFICE, "call.answer", ",'sdp':'answer','beyond':[1]");
    snprintf(want, sizeof(want), "{'jsonrpc':'2.0','method':'call.answer','params':{'call':'%s','sdp':'answer','beyond':[1]}}",
             call);
    CHECK_STR(fake_hears(ALICE), want); /* as it is, with what nobody here knows */
    say(OFFICE, "call.candidate", ",'candidate':'candidate:1','mid':'0'");
    say(ALICE, "call.candidate", ",'candidate':null");
    say(OFFICE, "call.ringing", "");
    say(OFFICE, "call.answered", "");
    CHECK(fake_hears_of(ALICE, "call.candidate"));
    CHECK(fake_hears_of(ALICE, "call.ringing"));
    CHECK(fake_hears_of(ALICE, "call.answered"));
    CHECK(fake_hears_at_last(OFFICE, "'candidate':null"));
    say(ALICE, "call.hangup", ",'reason':'hangup','text':'bye'");
    CHECK(fake_hears_of(OFFICE, "call.ended"));
    CHECK_STR(fake_member("reason"), "hangup");
    CHECK_STR(fake_member("text"), "bye");
    CHECK_STR(fake_member("by"), "phone");
    CHECK_STR(fake_hears(ALICE), "");
    CHECK_STR(fake_hears(BOB), "");
    CHECK_STR(ask(ALICE, "call.hangup", ",'reason':'hangup'"), "no_call");
}

static void inbound(void)
{
    char want[256];

    CHECK(up());
    CHECK(in());
    snprintf(want, sizeof(want), "{'jsonrpc':'2.0','method':'call.incoming','params':{'call':'%s','from':'0123','name':'Eve'}}",
             call);
    CHECK_STR(fake_hears(ALICE), want);
    CHECK_STR(fake_hears(DESK), want);
    CHECK_STR(fake_hears(BOB), "");
    say(DESK, "call.ringing", "");
    say(ALICE, "call.ringing", "");
    CHECK(fake_hears_at_last(OFFICE, "call.ringing") && fake_hears_at_last(OFFICE, "call.ringing"));
    say(ALICE, "call.accept", ",'sdp':'offer'");
    CHECK(fake_hears_at_last(OFFICE, "call.accept"));
    CHECK_STR(fake_member("sdp"), "offer");
    CHECK(fake_hears_of(DESK, "call.ended"));
    CHECK_STR(fake_member("reason"), "elsewhere");
    CHECK_STR(fake_member("by"), "service");
    CHECK_STR(ask(DESK, "call.accept", ",'sdp':'offer'"), "no_call");
    say(OFFICE, "call.answer", ",'sdp':'answer'");
    say(OFFICE, "call.answered", "");
    CHECK(fake_hears_of(ALICE, "call.answer"));
    CHECK(fake_hears_of(ALICE, "call.answered"));
    say(OFFICE, "call.hangup", ",'reason':'hangup'");
    CHECK(fake_hears_of(ALICE, "'by':'bridge'"));
    CHECK_STR(fake_hears(DESK), "");
}

/* One phone that is busy leaves it to the others; who declines does so at all of them; a caller who gives up, too. */
static void forks(void)
{
    CHECK(up());
    CHECK(in());
    say(DESK, "call.hangup", ",'reason':'busy'");
    drain(OFFICE);
    say(ALICE, "call.ringing", "");
    CHECK(fake_hears_of(OFFICE, "call.ringing"));
    say(ALICE, "call.hangup", ",'reason':'busy'");
    CHECK(fake_hears_of(OFFICE, "call.ended"));
    CHECK_STR(fake_member("reason"), "busy");
    CHECK_STR(fake_member("by"), "phone");
    drain(ALICE), drain(DESK);
    CHECK(in());
    drain(ALICE), drain(DESK);
    say(DESK, "call.hangup", ",'reason':'declined'");
    CHECK(fake_hears_at_last(OFFICE, "'reason':'declined'"));
    CHECK(fake_hears_of(ALICE, "'reason':'declined'"));
    CHECK_STR(fake_hears(DESK), "");
    CHECK(in());
    say(OFFICE, "call.hangup", ",'reason':'cancelled'");
    CHECK(fake_hears_at_last(ALICE, "'reason':'cancelled'"));
    CHECK(fake_hears_at_last(DESK, "'reason':'cancelled'"));
    CHECK(in());
    drain(ALICE), drain(OFFICE);
    fake_gone(DESK);
    fake_after(SESSION_RESUME_S * 1000); /* one of two is lost: the other one rings on */
    CHECK_STR(ask(ALICE, "call.ringing", ""), "ok");
    fake_gone(ALICE);
    fake_after(SESSION_RESUME_S * 1000);
    CHECK(fake_hears_at_last(OFFICE, "'reason':'phone_lost'"));
}

/* A phone whose connection was dead when it was called. */
static void rings_again(void)
{
    char session[64], secret[64], want[256];

    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    snprintf(session, sizeof(session), "%s", fake_member("session"));
    snprintf(secret, sizeof(secret), "%s", fake_member("secret"));
    CHECK(in());
    fake_gone(ALICE);
    fake_open(ALICE);
    fake_resume(ALICE, "alice", "phone", session, secret);
    snprintf(want, sizeof(want), "'calls':[{'call':'%s','state':'offered'}]", call);
    CHECK(fake_hears_of(ALICE, want));
    snprintf(want, sizeof(want), "{'jsonrpc':'2.0','method':'call.incoming','params':{'call':'%s','from':'0123','name':'Eve'}}",
             call);
    CHECK_STR(fake_hears(ALICE), want);
    say(ALICE, "call.accept", ",'sdp':'offer'");
    CHECK(fake_hears_at_last(OFFICE, "call.accept"));
}

/* ---- Each method in each state, from each side. ---- */

enum state { NONE, FORKED, OFFERED, RINGING, ANSWERED, STATES };

static bool bring_to(enum state state)
{
    snprintf(call, sizeof(call), "c0123456789abcdef");
    if (!up() || (state == FORKED && !in()) || (state >= OFFERED && !out()))
        return false;
    if (state >= RINGING)
        say(OFFICE, "call.ringing", "");
    if (state == ANSWERED)
        say(OFFICE, "call.answered", "");
    for (int i = 0; i < 4; i++)
        drain(i);
    return true;
}

static void states(void)
{
    static const struct {
        const char *method, *more;
        const char *phone, *bridge; /* a letter for each state: y may, - not now, n there is no call */
    } CASES[] = {
        {"call.accept", ",'sdp':'x'", "ny---", "n----"},
        {"call.offer", ",'sdp':'x'", "n-yyy", "n----"},
        {"call.answer", ",'sdp':'x'", "n----", "n-yyy"},
        {"call.restart", "", "n----", "n-yyy"},
        {"call.candidate", ",'candidate':'x'", "n-yyy", "n-yyy"},
        {"call.ringing", "", "ny---", "n-yy-"},
        {"call.answered", "", "n----", "n-yy-"},
        {"call.hold", ",'on':true", "n----", "n---y"},
        {"call.dtmf", ",'digits':'1'", "n-yyy", "n-yyy"},
        {"call.media", ",'state':'connected'", "n-yyy", "n-yyy"},
        {"call.stats", "", "n-yyy", "n-yyy"},
        {"call.hangup", ",'reason':'hangup'", "nyyyy", "nyyyy"},
    };

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        for (int s = NONE; s < STATES; s++) {
            for (int bridge = 0; bridge < 2; bridge++) {
                int from = bridge ? OFFICE : ALICE, to = bridge ? ALICE : OFFICE;
                char may = (bridge ? CASES[i].bridge : CASES[i].phone)[s];

                printf("# %s by %s in state %d\n", CASES[i].method, bridge ? "bridge" : "phone", s);
                CHECK(bring_to((enum state)s));
                CHECK_STR(ask(from, CASES[i].method, CASES[i].more), may == 'y' ? "ok" : may == '-' ? "state" : "no_call");
                if (may != 'y')
                    CHECK_STR(fake_hears(to), "");
                else if (strcmp(CASES[i].method, "call.hangup") != 0)
                    CHECK(fake_hears_of(to, CASES[i].method));
                else if (s != FORKED || bridge) /* one of two phones just leaves */
                    CHECK(fake_hears_of(to, "call.ended"));
            }
        }
    }
    CHECK_STR(ask(ALICE, "call.whatever", ""), "method");
    CHECK_STR(ask(ALICE, "called", ""), "method");
}

/* ---- Members. ---- */

static void members(void)
{
    static const struct {
        int from;
        const char *method, *more;
    } BAD[] = {
        {ALICE, "call.offer", ""},
        {ALICE, "call.offer", ",'sdp':''"},
        {OFFICE, "call.answer", ",'sdp':5"},
        {ALICE, "call.candidate", ""},
        {ALICE, "call.candidate", ",'candidate':'a\\r\\nb'"},
        {ALICE, "call.candidate", ",'candidate':null,'mid':5"},
        {OFFICE, "call.hold", ",'on':'yes'"},
        {ALICE, "call.dtmf", ",'digits':''"},
        {ALICE, "call.dtmf", ",'digits':'12X'"},
        {ALICE, "call.dtmf", ",'digits':'012345678901234567890123456789012'"},
        {ALICE, "call.media", ""},
        {ALICE, "call.media", ",'state':'fine'"},
        {ALICE, "call.media", ",'state':'connected checking'"},
        {ALICE, "call.media", ",'state':'connected','setup':1"},
        {ALICE, "call.stats", ",'rtt_ms':-1"},
        {ALICE, "call.stats", ",'lost':'x'"},
        {ALICE, "call.hangup", ""},
        {ALICE, "call.hangup", ",'reason':'because'"},
        {ALICE, "call.hangup", ",'reason':'elsewhere'"}, /* the service's alone, as those below */
        {ALICE, "call.hangup", ",'reason':'phone_lost'"},
        {ALICE, "call.hangup", ",'reason':'bridge_lost'"},
        {ALICE, "call.hangup", ",'reason':'token_ended'"},
    };
    static const char *const STARTS[] = {"{}",
                                         "{'to':'12'}",
                                         "{'sdp':'v'}",
                                         "{'to':'','sdp':'v'}",
                                         "{'to':'1 2','sdp':'v'}",
                                         "{'to':'sip:x@y','sdp':'v'}",
                                         "{'to':'01234567890123456789012345678901234567890123456789012345678901234','sdp':'v'}"};

    CHECK(bring_to(ANSWERED));
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        printf("# %s %s\n", BAD[i].method, BAD[i].more);
        CHECK_STR(ask(BAD[i].from, BAD[i].method, BAD[i].more), "params");
        CHECK_STR(fake_hears(BAD[i].from == ALICE ? OFFICE : ALICE), "");
    }
    for (size_t i = 0; i < sizeof(STARTS) / sizeof(STARTS[0]); i++) {
        printf("# %s\n", STARTS[i]);
        fake_say(BOB, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':%s}", STARTS[i]);
        CHECK(fake_hears_of(BOB, "'code':-32602,"));
    }
    fake_say(OFFICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'user':'alice'}}");
    CHECK(fake_hears_of(OFFICE, "'code':-32602,"));
    fake_say(OFFICE, "{'jsonrpc':'2.0','method':'call.start','params':{'user':'bob','from':'1'}}"); /* nobody could end it */
    CHECK_STR(fake_hears(BOB), "");
}

static void reasons(void)
{
    static const char *const ALL[] = {"hangup",   "busy",      "declined",     "no_answer",  "unknown_number", "cancelled",
                                      "pbx_down", "pbx_error", "media_failed", "media_lost", "limit",          "shutdown"};
    struct desk_counts counts;

    for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
        char more[64], want[64];
        int n = 0;

        printf("# %s\n", ALL[i]);
        CHECK(bring_to(RINGING));
        snprintf(more, sizeof(more), ",'reason':'%s'", ALL[i]);
        snprintf(want, sizeof(want), "'reason':'%s'", ALL[i]);
        say(OFFICE, "call.hangup", more);
        CHECK(fake_hears_of(ALICE, want));
        desk_read(fake_desk, &counts);
        for (int r = 0; r < DESK_REASONS; r++)
            n += strcmp(desk_reason_name((enum desk_reason)r), ALL[i]) == 0 && counts.ended[r] == 1;
        CHECK_INT(n, 1);
        CHECK_INT(counts.calls, 0);
    }
}

/* ---- Losses, times, limits. ---- */

static void lost(void)
{
    CHECK(bring_to(ANSWERED));
    fake_gone(ALICE);
    fake_after(SESSION_RESUME_S * 1000 - 1);
    CHECK(strstr(fake_hears(OFFICE), "call.ended") == NULL);
    fake_after(1);
    CHECK(fake_hears_at_last(OFFICE, "'reason':'phone_lost'"));
    CHECK_STR(fake_member("by"), "service");
    CHECK(bring_to(ANSWERED));
    fake_gone(OFFICE);
    fake_say(BOB, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'v'}}"); /* it would wait for nobody */
    CHECK(fake_hears_at_last(BOB, "'code':-32005,"));
    fake_after(SESSION_RESUME_S * 1000);
    CHECK(fake_hears_at_last(ALICE, "'reason':'bridge_lost'"));
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'v'}}");
    CHECK(fake_hears_at_last(ALICE, "'code':-32005,"));
}

static void unanswered(void)
{
    CHECK(bring_to(RINGING));
    fake_after(CALL_UNANSWERED_S * 1000 - 1000 - 1);
    fake_after(1000);
    CHECK_STR(fake_hears(ALICE), "");
    fake_after(1);
    CHECK(fake_hears_of(ALICE, "'reason':'no_answer'"));
    CHECK(fake_hears_at_last(OFFICE, "'reason':'no_answer'"));
    CHECK(bring_to(ANSWERED));
    fake_after(CALL_UNANSWERED_S * 2000);
    CHECK_STR(fake_hears(ALICE), "");
}

static void statistics(void)
{
    CHECK(bring_to(ANSWERED));
    say(ALICE, "call.stats", ",'rtt_ms':1");
    say(ALICE, "call.stats", ",'rtt_ms':2");
    CHECK(fake_hears_of(OFFICE, "'rtt_ms':1"));
    CHECK_STR(fake_hears(OFFICE), "");
    say(OFFICE, "call.stats", ",'rtt_ms':3"); /* each side has its own second */
    CHECK(fake_hears_of(ALICE, "'rtt_ms':3"));
    fake_after(1000);
    say(ALICE, "call.stats", ",'rtt_ms':4");
    CHECK(fake_hears_at_last(OFFICE, "'rtt_ms':4"));
}

static void two(void)
{
    char first[64];

    CHECK(up());
    CHECK(out());
    snprintf(first, sizeof(first), "%s", call);
    CHECK(out());
    drain(OFFICE);
    say(ALICE, "call.hangup", ",'reason':'hangup'");
    CHECK(fake_hears_of(OFFICE, call));
    snprintf(call, sizeof(call), "%s", first);
    CHECK_STR(ask(ALICE, "call.dtmf", ",'digits':'1'"), "ok");
    CHECK(fake_hears_of(OFFICE, first));
}

static void limits(void)
{
    CHECK(up());
    for (int i = 0; i < SESSION_PHONE_CALLS; i++)
        CHECK(out());
    fake_say(ALICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'v'}}");
    CHECK(fake_hears_of(ALICE, "'code':-32009,"));
    CHECK(in()); /* her other phone has room */
    CHECK(fake_hears_of(DESK, "call.incoming"));
    CHECK_STR(fake_hears(ALICE), "");
    say(DESK, "call.hangup", ",'reason':'declined'");
    fake_gone(DESK);
    fake_say(OFFICE, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'user':'alice','from':'1'}}");
    CHECK(fake_hears_at_last(OFFICE, "'code':-32009,"));
}

/* A bridge has a limit, too; and of two the one with fewer calls is taken. */
static void bridges(void)
{
    struct desk_counts counts;

    CHECK(fake_up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    for (int i = SPARE; i < SPARE + SESSION_BRIDGE_CALLS / SESSION_PHONE_CALLS + 1; i++) {
        char name[16];

        snprintf(name, sizeof(name), "#%d", i);
        CHECK(fake_hello(i, name, "phone"));
        for (int n = 0; n < SESSION_PHONE_CALLS; n++)
            fake_say(i, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'v'}}");
    }
    desk_read(fake_desk, &counts);
    CHECK_INT(counts.calls, SESSION_BRIDGE_CALLS);
    CHECK(fake_hello(DESK, "office2", "bridge"));
    CHECK(fake_hello(ALICE, "alice", "phone"));
    CHECK(out());
    CHECK(fake_hears_at_last(DESK, "call.incoming"));
}

/* ---- One client can't cut off another. ---- */

/* As many of them as make `bytes`. */
static const char *many(const char *part, size_t bytes)
{
    static char text[FAKE_TEXT_MAX];
    size_t n = strlen(part), len = 0;

    for (; len + n <= bytes; len += n)
        memcpy(text + len, part, n);
    text[len] = '\0';
    return text;
}

static void start_with(const char *sdp)
{
    fake_say(BOB, "{'jsonrpc':'2.0','id':2,'method':'call.start','params':{'to':'1','sdp':'%s'}}", sdp);
}

static const char *ask_with(const char *head, const char *part, size_t bytes, const char *tail)
{
    static char more[FAKE_TEXT_MAX];

    snprintf(more, sizeof(more), "%s%s%s", head, many(part, bytes), tail);
    return ask(ALICE, "call.offer", more);
}

static void sizes(void)
{
    CHECK(bring_to(ANSWERED));
    CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX + 1, "'"), "params");
    CHECK_STR(fake_hears(OFFICE), "");
    CHECK_STR(ask_with(",'sdp':'v','beyond':[0", ",0.1", 16000, "]"), "limit"); /* each becomes six times as long */
    CHECK_STR(fake_hears(OFFICE), "");
    CHECK_STR(ask(ALICE, "call.dtmf", ",'digits':'1'"), "ok"); /* and the call goes on */
    CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX, "'"), "ok");
    CHECK(fake_hears_at_last(OFFICE, "call.offer"));
    start_with(many("x", CALL_SDP_MAX + 1));
    CHECK(fake_hears_of(BOB, "'code':-32602,"));
    start_with(many("\\\"", 65420)); /* fits into a message, but not together with who calls */
    CHECK(fake_hears_of(BOB, "'code':-32009,"));
    CHECK_STR(fake_hears(OFFICE), "");
}

/* Alice's call fills what is kept for the bridge; Bob's, and the bridge, don't suffer. */
static void away(void)
{
    char session[64], secret[64], bobs[64];

    CHECK(up());
    CHECK(fake_hello(OFFICE, "office", "bridge"));
    snprintf(session, sizeof(session), "%s", fake_member("session"));
    snprintf(secret, sizeof(secret), "%s", fake_member("secret"));
    fake_after(SESSION_RESUME_S * 1000);
    start_with("v");
    CHECK(fake_hears_at_last(BOB, "'result'"));
    snprintf(bobs, sizeof(bobs), "%s", fake_member("call"));
    CHECK(out());
    fake_gone(OFFICE);
    for (int i = 0; i < 3; i++)
        CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX, "'"), "ok");
    fake_after(10000);
    CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX - 1000, "'"), "ok");
    fake_say(BOB, "{'jsonrpc':'2.0','id':3,'method':'call.offer','params':{'call':'%s','sdp':'%s'}}", bobs, many("x", 2000));
    CHECK(fake_hears_at_last(BOB, "'result':{}"));
    CHECK(fake_hears_at_last(ALICE, "call.ended"));
    CHECK_STR(fake_member("reason"), "limit");
    fake_after(1000);
    fake_open(OFFICE);
    fake_resume(OFFICE, "office", "bridge", session, secret);
    CHECK(fake_hears_of(OFFICE, "'resume_s'"));
    CHECK_INT(json_array_size(fake_member_json("calls")), 1);
    CHECK(fake_hears_of(OFFICE, "call.ended"));
    CHECK_STR(fake_member("call"), call);
    CHECK(fake_hears_of(OFFICE, "call.offer"));
    CHECK_STR(fake_member("call"), bobs);
    CHECK(!strstr(fake_hears(BOB), "call.ended"));
}

static void floods(void)
{
    CHECK(bring_to(ANSWERED));
    for (int i = 0; i < 3; i++)
        CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX, "'"), "ok");
    CHECK_STR(ask_with(",'sdp':'", "x", CALL_SDP_MAX, "'"), "limit"); /* what it says in a second is bounded */
    CHECK_INT(fake[OFFICE].code, 0);
    CHECK(bring_to(ANSWERED));
    fake[OFFICE].waits = LINK_QUEUE_MAX / 2; /* a bridge that is slow to read, or many phones at once */
    CHECK_STR(ask(ALICE, "call.dtmf", ",'digits':'1'"), "limit");
    CHECK(fake_hears_at_last(OFFICE, "'reason':'limit'"));
    CHECK_INT(fake[OFFICE].code, 0);
    fake[OFFICE].waits = 0;
    CHECK(out());
    CHECK(fake_hears_at_last(OFFICE, "call.incoming"));
}

static const struct tap_test TESTS[] = {
    {"a phone calls: each side hears what the other says, and of the end", outbound},
    {"a bridge calls: all phones of the user ring, one takes it, the others hear that", inbound},
    {"of several phones one may be busy, decline for all, or be lost", forks},
    {"a phone that comes back is told again that it rings", rings_again},
    {"each method in each state from each side: passed on, or refused and not heard", states},
    {"members that are missing or wrong are refused and not heard", members},
    {"each reason that a client may have is heard on the other side, and counted", reasons},
    {"a side that does not come back within 30 s ends the call on the other one", lost},
    {"a call that nobody answers ends by itself", unanswered},
    {"statistics are passed on once a second", statistics},
    {"of two calls of a phone each is its own", two},
    {"calls of a phone are bounded, and a phone that is full does not ring", limits},
    {"what would be too long for a message when it is passed on is refused", sizes},
    {"whoever fills what is kept for a bridge that is away ends his own call, not those of others, nor the bridge's session", away},
    {"a phone that says too much, or a bridge that is slow to read, ends that call and not the bridge's connection", floods},
    {"calls of a bridge are bounded, and of two bridges the one with fewer is taken", bridges},
};

int main(void)
{
    int status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));

    fake_down();
    return status;
}
