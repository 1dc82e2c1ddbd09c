/* The control thread's questions to workers that run: answered once and on its own loop, or refused when a worker hangs. */
#include <event2/event.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "relay/alloc.h"
#include "relay/relayparts.h"
#include "tests/unit/tap.h"

enum {
    WORKERS = 2,
    OF_WORKER = 90, /* more than end in a pass: */
    OF_CAROL = 20,  /* hers on each, and the rest is one user's */
};

static struct event_base *base;
static struct auth *auth;
static struct relay *relay;

/* ---- Time (--wrap in Makefile.am): for who asks it stands still, unless a case lets it go, so that no machine is too slow for an answer. ---- */

static _Thread_local bool asks; /* the workers' clocks go on */
static struct now still;        /* .ms is 0: it goes */

struct now __real_clock_now(void);
struct now __wrap_clock_now(void);

struct now __wrap_clock_now(void)
{
    return asks && still.ms ? still : __real_clock_now();
}

/* ---- A worker hangs where the test lets it: in a source of credentials that it asks. ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned hangs; /* the worker that does */

static void recheck(void *self, unsigned worker)
{
    (void)self;
    if (worker != hangs)
        return;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static enum auth_status check(void *self, const struct auth_request *request, struct auth_answer *answer, auth_cb *cb, void *ctx,
                              struct auth_ticket **ticket)
{
    (void)self, (void)request, (void)answer, (void)cb, (void)ctx, (void)ticket;
    return AUTH_UNKNOWN;
}

static void hang(unsigned worker)
{
    hangs = worker;
    pthread_mutex_lock(&gate);
    relay_recheck(relay);
}

static void let_go(void)
{
    pthread_mutex_unlock(&gate);
}

/* What the answers have said. */
static struct {
    unsigned answers, awaited;
    int err;
    size_t n;
    char next[RELAY_CURSOR_MAX];
    struct relay_allocation first;
    unsigned seen[WORKERS][OF_WORKER];
} got;
/* ---- Up and down. ---- */

/* So many allocations on a worker that has not started. */
static bool fill(struct shard *s, const char *name, unsigned first, unsigned n)
{
    struct auth_answer who = {.status = AUTH_OK};
    struct auth_grant grant;

    snprintf(who.name, sizeof(who.name), "%s", name);
    snprintf(who.owner, sizeof(who.owner), "%s", name);
    for (unsigned i = 0; i < n; i++) {
        struct path path = {
            .client = {.family = ADDR_V4, .port = (uint16_t)(1000 + first + i), .ip = {10, 0, 0, (uint8_t)s->worker}},
            .server = {.family = ADDR_V4, .port = 3478, .ip = {127, 0, 0, 1}}};
        struct auth_share share = {who.owner, &path.client, 0};
        struct claimed c;
        struct alloc *a;

        if (auth_quota_take(auth, &share, &who.limits, &grant) || claim_open(s, 0, PORT_ANY, &c, NULL) ||
            alloc_new(&a, s, &path, &who, 0, grant.bandwidth) || alloc_add_leg(s, a, &c, s->now.ms + 600000))
            return false;
    }
    return true;
}

static bool up(void)
{
    const struct addr loopback = {.family = ADDR_V4, .ip = {127, 0, 0, 1}};
    struct relay_config c = {.listen = &loopback,
                             .nlisten = 1,
                             .min_port = 49152,
                             .max_port = 65535,
                             .workers = WORKERS,
                             .settings = {.max_lifetime_s = 3600}};
    char text[RELAY_TEXT_MAX];

    memset(&got, 0, sizeof(got));
    asks = true;
    still = __real_clock_now();
    base = event_base_new();
    if (auth_new(&auth, &(struct auth_config){.realm = "example.org"}) ||
        auth_add_source(auth, &(struct auth_source){.name = "gate", .check = check, .recheck = recheck}))
        return false;
    c.auth = auth;
    if (relay_new(&relay, &c, text) || relay_answer_on(relay, base)) {
        printf("# %s\n", text);
        return false;
    }
    for (unsigned i = 0; i < WORKERS; i++)
        if (!fill(&relay->workers[i].shard, "carol", 0, OF_CAROL) ||
            !fill(&relay->workers[i].shard, i ? "bob" : "alice", OF_CAROL, OF_WORKER - OF_CAROL))
            return false;
    return relay_start(relay) == 0;
}

static void down(void)
{
    relay_free(&relay);
    auth_free(&auth);
    event_base_free(base);
    base = NULL;
}

/* ---- Questions. ---- */

static struct relay_question *question;

static void on_answer(void *ctx, const struct relay_answer *a)
{
    struct relay_question **q = ctx;

    *q = NULL;
    got.answers++;
    got.err = a->err;
    got.n = a->n;
    snprintf(got.next, sizeof(got.next), "%s", a->next ? a->next : "");
    if (a->n)
        got.first = a->items[0];
    for (size_t i = 0; i < a->n; i++)
        got.seen[a->items[i].worker][a->items[i].client.port - 1000]++;
}

static const struct relay_filter ALL;

/* Waits until there have been so many answers more; what the last one says. */
static int answered(unsigned n)
{
    got.awaited += n;
    while (got.answers < got.awaited)
        event_base_loop(base, EVLOOP_ONCE);
    return got.err;
}

static int list(const struct relay_filter *filter, const char *cursor, size_t limit)
{
    int err = relay_list(relay, filter, cursor, limit, on_answer, &question, &question);

    return err ? err : answered(1);
}

/* The page behind the last one. */
static int list_next(const struct relay_filter *filter, size_t limit)
{
    char cursor[RELAY_CURSOR_MAX];

    snprintf(cursor, sizeof(cursor), "%s", got.next);
    return list(filter, cursor[0] ? cursor : NULL, limit);
}

static void pages(void)
{
    unsigned n = 0;

    CHECK(up());
    do {
        CHECK_INT(list_next(&ALL, 7), 0);
        CHECK(got.n == 7 || !got.next[0]);
        n++;
    } while (got.next[0]);
    CHECK_INT(n, 26); /* 180 of 7 */
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned i = 0; i < OF_WORKER; i++)
            CHECK_INT(got.seen[w][i], 1);
    CHECK_INT(list(&ALL, NULL, OF_WORKER), 0); /* a page that the first worker fills: the second one says that there is more */
    CHECK(got.next[0] == '1');
    CHECK_INT(list(&(struct relay_filter){.user = "alice"}, NULL, OF_WORKER), 0);
    CHECK_STR(got.next, "");
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 100), 0);
    CHECK_INT(got.n, OF_WORKER - OF_CAROL);
    memset(got.seen, 0, sizeof(got.seen));
    CHECK_INT(list(&(struct relay_filter){.user = "carol"}, NULL, 15), 0);
    do
        CHECK_INT(list_next(&(struct relay_filter){.user = "carol"}, 15), 0);
    while (got.next[0]);
    for (unsigned i = 0; i < WORKERS * OF_CAROL; i++)
        CHECK_INT(got.seen[i % WORKERS][i / WORKERS], 1);
    CHECK_INT(list(&ALL, NULL, SIZE_MAX), 0);
    CHECK_INT(got.n, WORKERS * OF_WORKER);
    relay_stop(relay);
    down();
}

static void cursors(void)
{
    static const char *const BAD[] = {"",      "0",    "0.",  "2.0",  "-1.0", " 0.0",
                                      "0.0x1", "0.00", "0.G", "00.1", "0.1 ", "99999999999999999999.1"};
    char name[STUN_USERNAME_MAX + 2];

    CHECK(up());
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        CHECK_INT(list(&ALL, BAD[i], 1), ERR_INVAL);
    CHECK_INT(list(&ALL, NULL, 0), ERR_INVAL);
    CHECK_INT(list(&ALL, "1.ffffffffffffffff", 1), 0);
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    CHECK_INT(list(&(struct relay_filter){.user = name}, NULL, 1), ERR_INVAL);
    relay_stop(relay);
    CHECK_INT(list(&ALL, NULL, 1), ERR_NOTCONN);
    down();
}

static void one(void)
{
    uint64_t id;

    CHECK(up());
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 1), 0);
    id = got.first.id;
    CHECK_INT(relay_show(relay, id, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), 0);
    CHECK(got.first.id == id && got.first.worker == 1);
    CHECK_INT(relay_show(relay, id + 1, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), ERR_NOENT);
    CHECK_INT(relay_show(relay, UINT64_MAX, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), ERR_NOENT);
    CHECK_INT(relay_close(relay, id, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), 0);
    CHECK_INT(relay_close(relay, id, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), ERR_NOENT);
    CHECK_INT(auth_quota_total(auth), WORKERS * OF_WORKER - 1);
    relay_stop(relay);
    down();
}

/* F31: nobody waits for a worker that hangs, and its answer comes to nobody. */
static void hung(void)
{
    struct relay_question *other;

    CHECK(up());
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 1), 0);
    hang(1);
    CHECK_INT(relay_show(relay, got.first.id, on_answer, &question, &question), 0);
    CHECK_INT(relay_list(relay, &ALL, NULL, 100, on_answer, &other, &other), 0);
    still.ms += RELAY_PATIENCE_MS;
    CHECK_INT(answered(2), ERR_TIMEDOUT);
    CHECK(!question && !other);
    CHECK_INT(list(&(struct relay_filter){.user = "alice"}, NULL, 1), 0); /* who is enough for a page is enough */
    CHECK_INT(relay_show(relay, got.first.id, on_answer, &question, &question), 0);
    CHECK_INT(answered(1), 0);
    let_go();
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 1), 0); /* in order behind those */
    CHECK_INT(got.answers, got.awaited);
    relay_stop(relay);
    down();
}

/* What a worker that hangs does not answer is bounded, and not carried out when it is back. */
static void backlog(void)
{
    struct relay_question *each;
    uint64_t id;
    int n = 0;

    CHECK(up());
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 1), 0);
    id = got.first.id;
    hang(1);
    CHECK_INT(relay_close(relay, id, on_answer, &question, &question), 0);
    while (relay_show(relay, id, on_answer, &each, &each) == 0)
        n++;
    CHECK_INT(n, RELAY_OPEN_MAX - 1);
    CHECK_INT(relay_show(relay, id, on_answer, &each, &each), ERR_AGAIN);
    still.ms += RELAY_PATIENCE_MS;
    CHECK_INT(answered(RELAY_OPEN_MAX), ERR_TIMEDOUT);
    let_go();
    while (relay->questions.open)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(list(&(struct relay_filter){.user = "bob"}, NULL, 1), 0);
    CHECK(got.first.id == id); /* it lives */
    relay_stop(relay);
    down();
}

static void cancelled(void)
{
    struct relay_question *kept[3] = {0};

    CHECK(up());
    for (int i = 0; i < 3; i++)
        CHECK_INT(relay_list(relay, &ALL, NULL, 100, on_answer, &kept[i], &kept[i]), 0);
    relay_forget(&kept[1]);
    CHECK(!kept[1]);
    relay_forget(&kept[1]);
    CHECK_INT(answered(2), 0);
    CHECK_INT(list(&ALL, NULL, 1), 0);
    CHECK_INT(got.answers, 3);
    CHECK_INT(relay_list(relay, &ALL, NULL, 100, on_answer, &kept[0], &kept[0]), 0);
    CHECK_INT(relay_list(relay, &ALL, NULL, 100, on_answer, &kept[1], &kept[1]), 0);
    relay_forget(&kept[1]);
    relay_stop(relay); /* what is open is answered */
    CHECK(got.answers == 4 && got.err == ERR_CANCELLED && !kept[0]);
    down();
}

/* A callback that asks again at once, and takes another question back. */
static struct relay_question *victim;

static void on_first(void *ctx, const struct relay_answer *a)
{
    (void)ctx, (void)a;
    relay_forget(&victim);
    relay_list(relay, &ALL, NULL, 1, on_answer, &question, &question);
}

static void from_callback(void)
{
    struct relay_question *first;

    CHECK(up());
    CHECK_INT(relay_list(relay, &ALL, NULL, 1, on_first, NULL, &first), 0);
    CHECK_INT(relay_list(relay, &ALL, NULL, 1, on_answer, &victim, &victim), 0);
    hang(1);
    CHECK_INT(answered(1), 0);
    CHECK_INT(got.answers, 1);
    let_go();
    relay_stop(relay);
    CHECK_INT(got.answers, 1);
    down();
}

/* Between two looks at a condition. */
static void wait_a_little(void)
{
    event_base_loopexit(base, &(struct timeval){.tv_usec = 20000});
    event_base_dispatch(base);
}

/* Looks fifty times a second, as the control thread does it once. */
static void look_until(unsigned hung_workers)
{
    while (relay_hung(relay) != hung_workers) {
        wait_a_little();
        relay_look(relay);
    }
}

static void watched(void)
{
    CHECK(up());
    still.ms = 0;
    relay_look(relay);
    hang(1);
    look_until(1);
    CHECK_INT(relay_hung(relay), 1);
    CHECK(clock_now().ms > atomic_load(&relay->workers[1].ticked_ms) + RELAY_HANG_MS);
    CHECK(!relay->workers[0].told_hang && relay->workers[1].told_hang);
    relay->looked_ms = 0; /* who was away for long does not say that others are */
    relay->nhung = 0;
    relay_look(relay);
    CHECK_INT(relay_hung(relay), 0);
    relay_look(relay);
    CHECK_INT(relay_hung(relay), 1);
    let_go();
    look_until(0);
    CHECK(!relay->workers[1].told_hang);
    relay_stop(relay);
    atomic_store(&relay->workers[0].ticked_ms, 1);
    relay_look(relay); /* who has ended does not hang */
    CHECK_INT(relay_hung(relay), 0);
    down();
}

static void busy(void)
{
    uint64_t before;

    CHECK(up());
    before = relay_busy_ns(relay, 0);
    CHECK(before < 1000000000);
    for (int i = 0; i < 10; i++)
        CHECK_INT(list(&ALL, NULL, 1000), 0);
    CHECK(relay_busy_ns(relay, 0) > before);
    CHECK_INT(relay_count(relay, COUNT_REQUESTS), 0);
    relay_stop(relay);
    CHECK_INT(relay_busy_ns(relay, 0), 0);
    CHECK_INT(relay_count(relay, COUNT_ALLOCATIONS_DELETED), WORKERS * OF_WORKER);
    down();
}

static void end_of_all(void)
{
    CHECK(up());
    CHECK_INT(relay_end_all(relay, "drained"), 0);
    for (int i = 0; i < 500 && auth_quota_total(auth); i++) /* no question: that would wake them */
        wait_a_little();
    CHECK_INT(auth_quota_total(auth), 0);
    CHECK_INT(list(&ALL, NULL, 1), 0);
    CHECK_INT(got.n, 0);
    CHECK_INT(ports_in_use(relay_ports(relay)), 0);
    CHECK_INT(relay_count(relay, COUNT_ALLOCATIONS_CLOSED), WORKERS * OF_WORKER);
    relay_stop(relay);
    down();
}

static unsigned entries[POLICY_SOURCES];

static void on_entry(void *ctx, const struct policy_entry *e)
{
    (void)ctx;
    entries[e->source]++;
}

static bool judged(const char *peer, bool allowed, const char *why)
{
    struct relay_judgement j = {0};

    if (relay_explain(relay, peer, &j) || j.allowed != allowed || strcmp(j.why, why) != 0) {
        printf("# %s: %s\n", peer, j.why);
        return false;
    }
    return true;
}

/* The policy in force is told, also after a reload. */
static void policy_told(void)
{
    static const char *const ALLOWED[] = {"10.0.0.0/8", "10.1.2.3:5060/udp"}, *const STORED[] = {"10.2.0.0/16"},
                             *const BAD[] = {"x"};
    static const char *const NOT_PEERS[] = {"", "x", "1.2.3.4/sctp", "1.2.3.4:5/", "1.2.3.4:99999", "1.2.3.4 ", "host:1"};
    struct relay_config c = {.allowed = ALLOWED, .nallowed = 2, .stored = {.denied = STORED, .ndenied = 1}};
    char text[RELAY_TEXT_MAX];
    struct relay_judgement j;

    CHECK(up());
    CHECK(judged("5.6.7.8", true, "no entry: allowed"));
    CHECK(judged("10.1.2.3:5060/udp", false, "denied-peer-ip=10.0.0.0/8 (built in)"));
    CHECK_INT(relay_reload(relay, &c, text), 0);
    CHECK(judged("10.1.2.3:5060/udp", true, "allowed-peer-ip=10.1.2.3/32"));
    CHECK(judged("10.1.2.3:5060/tcp", true, "allowed-peer-ip=10.0.0.0/8"));
    CHECK(judged("10.2.0.1", false, "denied-peer-ip=10.2.0.0/16 (stored)"));
    CHECK(judged("[::ffff:10.2.0.1]:5", false, "denied-peer-ip=10.2.0.0/16 (stored)"));
    c.allowed = BAD;
    c.nallowed = 1;
    CHECK_INT(relay_reload(relay, &c, text), ERR_CONFIG);
    CHECK(judged("10.2.0.1", false, "denied-peer-ip=10.2.0.0/16 (stored)"));
    for (size_t i = 0; i < sizeof(NOT_PEERS) / sizeof(NOT_PEERS[0]); i++)
        CHECK_INT(relay_explain(relay, NOT_PEERS[i], &j), ERR_INVAL);
    relay_policy_each(relay, on_entry, NULL);
    CHECK(entries[POLICY_BUILT_IN] > 30 && entries[POLICY_HOST] >= 1);
    CHECK_INT(entries[POLICY_CONFIGURATION], 2);
    CHECK_INT(entries[POLICY_STORED], 1);
    c = (struct relay_config){.allowed = ALLOWED + 1, .nallowed = 1};
    CHECK_INT(relay_reload(relay, &c, text), 0);
    CHECK(judged("10.1.2.3", true, "some of its ports are allowed"));
    CHECK(judged("10.1.2.3/tcp", false, "denied-peer-ip=10.0.0.0/8 (built in)"));
    relay_stop(relay);
    down();
}

static const struct tap_test TESTS[] = {
    {"all workers' allocations stand on the pages once", pages},
    {"what is no cursor is refused", cursors},
    {"one is shown, and closed, by its id", one},
    {"F31 a worker that hangs is not waited for", hung},
    {"F31 what a worker that hangs has not answered is bounded, and given up for good", backlog},
    {"what is taken back is silent, and what is open at the end is answered", cancelled},
    {"F31 a worker that hangs is seen, and when it is back", watched},
    {"the CPU time of a worker is told without its help", busy},
    {"all allocations end when they are to", end_of_all},
    {"the policy in force is told, and judges for people", policy_told},
    {"an answer's callback may ask and take back", from_callback},
};

int main(void)
{
    log_start(&(struct log_config){.level = LOG_ERROR});
    return tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
