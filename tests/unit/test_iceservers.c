/* ICE servers are issued and revoked by questions to the store, which may be slow, away or busy. Its thread is a fake. */
#include "programs/iceservers.h"

#include <event2/event.h>

#include "base/log.h"
#include "programs/storeops.h"
#include "programs/storethread.h"
#include "tests/unit/tap.h"

enum { MANY = 100, REVOKING_MAX = 16 };

/* ---- The store's thread. ---- */

static struct admin_call *asked[STORETHREAD_WAITING_MAX];
static size_t nasked;
static storethread_done *give_back;
static struct storethread *const THREAD = (struct storethread *)(uintptr_t)asked;

int storethread_new(struct storethread **out, struct event_base *base, struct storeops *ops, storethread_done *done)
{
    (void)base, (void)ops;
    give_back = done;
    *out = THREAD;
    return 0;
}

void storethread_call(struct storethread *t, struct admin_call *call, storethread_after *after, void *ctx)
{
    (void)t, (void)after, (void)ctx;
    asked[nasked++] = call;
}

void storeops_free(struct storeops **s)
{
    *s = NULL;
}

/* The oldest question is answered; its operation. */
static enum admin_operation answer(int status)
{
    struct admin_call *call = asked[0];
    enum admin_operation operation = call->request.operation;

    memmove(asked, asked + 1, --nasked * sizeof(asked[0]));
    if (status >= 400)
        admin_answer_problem(&call->answer, status, "a test");
    else
        admin_answer_json(&call->answer, status, status == 204 ? NULL : json_object());
    give_back(&call);
    return operation;
}

void storethread_free(struct storethread **t)
{
    struct storethread *was = *t;

    *t = NULL;
    while (was && nasked)
        answer(503);
}

/* ---- Who asks. ---- */

static struct event_base *base;
static struct iceservers *servers;
static unsigned given, refused;

static void on_ice(void *ctx, json_t *ice)
{
    (void)ctx;
    if (ice)
        given++;
    else
        refused++;
}

static int want(void)
{
    return iceservers_ice(servers, &(struct desk_ice){.user = "alice", .tenant = ""}, on_ice, NULL);
}

static void retract(const char *name, int ttl)
{
    json_t *ice = json_pack("{s:[{s:s}],s:i}", "iceServers", "username", name, "ttl", ttl);

    iceservers_retract(servers, ice);
    json_decref(ice);
}

static bool up(void)
{
    struct storeops *ops = NULL;

    given = refused = 0;
    base = event_base_new();
    return base && iceservers_new(&servers, &ops) == 0 && iceservers_attach(servers, base) == 0;
}

static void down(void)
{
    iceservers_free(&servers);
    event_base_free(base);
}

static bool revokes(const char *name)
{
    return nasked == 1 && asked[0]->request.operation == ADMIN_TOKEN_REVOKE && strcmp(asked[0]->request.id, name) == 0;
}

/* ---- Cases. ---- */

static void until_it_is(void)
{
    CHECK(up());
    retract("t1", 3600);
    CHECK(revokes("t1"));
    answer(503);
    CHECK_INT(nasked, 0);
    CHECK_INT(event_base_loop(base, EVLOOP_ONCE), 0); /* some seconds later */
    CHECK(revokes("t1"));
    answer(204);
    CHECK_INT(nasked, 0);
    retract("t2", 3600);
    CHECK(revokes("t2"));
    answer(404);                                      /* it has ended already */
    CHECK_INT(event_base_loop(base, EVLOOP_ONCE), 1); /* nothing is left to wait for */
    CHECK_INT(nasked, 0);
    down();
}

static void not_beyond_its_end(void)
{
    CHECK(up());
    retract("t1", 1);
    CHECK(revokes("t1"));
    answer(503);
    event_base_loop(base, EVLOOP_ONCE); /* longer than a second */
    CHECK_INT(nasked, 0);
    CHECK_INT(event_base_loop(base, EVLOOP_ONCE), 1);
    down();
}

static void many(void)
{
    unsigned revoked = 0;
    char name[16];

    CHECK(up());
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        retract(name, 3600);
    }
    CHECK_INT(nasked, REVOKING_MAX);
    while (nasked < STORETHREAD_WAITING_MAX)
        CHECK_INT(want(), 0);
    CHECK(want() != 0);
    while (nasked)
        if (answer(200) == ADMIN_TOKEN_REVOKE)
            revoked++;
    CHECK_INT(revoked, MANY);
    CHECK_INT(given, STORETHREAD_WAITING_MAX - REVOKING_MAX);
    down();
}

static void at_the_end(void)
{
    CHECK(up());
    CHECK_INT(want(), 0);
    retract("t1", 3600);
    down();
    CHECK_INT(refused, 1);
    CHECK_INT(nasked, 0);
}

static const struct tap_test TESTS[] = {
    {"what is retracted is asked again while the store fails, and no more when it is revoked or was gone", until_it_is},
    {"what is retracted is not asked any more when it has ended by itself", not_beyond_its_end},
    {"many that are retracted at once are all revoked, and leave room for those who want servers", many},
    {"whoever waits is answered at the end, and nothing is asked any more", at_the_end},
};

int main(void)
{
    log_reconfigure(&(struct log_config){.level = LOG_ERROR});
    return tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
