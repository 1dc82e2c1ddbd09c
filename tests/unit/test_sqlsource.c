/* The embedded store in memory: what others change is followed, and where a change was missed everything is read again. */
#include "auth/sqlsource.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/sqltokens.h"
#include "base/err.h"
#include "tests/unit/tap.h"

enum { WALL = 1800000000, LOOKS_MAX = 50 };

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char path[64];
static struct event_base *base;
static struct auth *auth;
static struct sqlsource *source;
static struct tokenstore store;
static unsigned nrevoked, ntroubles;
static struct auth_revocation last;

static void on_revoked(void *ctx, const struct auth_revocation *r)
{
    (void)ctx;
    nrevoked++;
    last = *r;
}

static void on_health(void *ctx, const char *why)
{
    (void)ctx;
    ntroubles += why != NULL;
}

static void down(void)
{
    sqlsource_stop(source);
    source = NULL;
    auth_free(&auth);
    tokenstore_close(&store);
}

/* What an earlier case has left behind goes first. */
static bool up(void)
{
    static const char *const FILES[] = {"", "-wal", "-shm"};
    char name[80], why[SQL_WHY_MAX];

    down();
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, FILES[i]);
        unlink(name);
    }
    nrevoked = ntroubles = 0;
    return auth_new(&auth, &(struct auth_config){.realm = "realm"}) == 0 &&
           sqlsource_add(&source, auth, &(struct sqlsource_config){dir, ':'}, why) == 0 &&
           sqlsource_follow(source, base, &(struct sqlsource_events){on_revoked, on_health, NULL}) == 0 &&
           sqltokens_open(&store, dir) == 0;
}

static struct token issued(void)
{
    struct token t = {.owner = "acme", .realm = "realm", .scope = TOKEN_TURN, .issued_at = WALL};
    char password[TOKEN_PASSWORD_LEN + 1];
    const char *why;

    if (token_issue(&t, password, &why) || tokenstore_issue(&store, &t))
        t.id[0] = '\0';
    return t;
}

static int run(const char *text)
{
    struct sql *db;
    char why[SQL_WHY_MAX];
    int err = sql_open(&db, dir, false, SQL_SITTING_MS, why);

    if (!err)
        err = sql_run(db, NULL, text, NULL, 0);
    sql_close(&db);
    return err;
}

/* Looks until there are so many credentials and revocations, and so many were told; or for long enough. */
static bool follows(size_t count, unsigned revoked)
{
    for (int i = 0; i < LOOKS_MAX && (sqlsource_count(source) != count || nrevoked != revoked); i++)
        event_base_loop(base, EVLOOP_ONCE);
    return sqlsource_count(source) == count && nrevoked == revoked;
}

/* ---- Cases. ---- */

static void changes(void)
{
    struct token a, b;

    CHECK(up());
    a = issued();
    b = issued();
    CHECK(a.id[0] && b.id[0]);
    CHECK(follows(2, 0));
    CHECK_INT(tokenstore_revoke(&store, a.id, WALL), 0);
    CHECK(follows(1, 1));
    CHECK_STR(last.name, a.id);
    CHECK_INT(tokenstore_revoke_user(&store, "dave", WALL + 5, WALL), 0);
    CHECK(follows(2, 2));
    CHECK_STR(last.name, "dave");
    CHECK_INT(last.expires_before, WALL + 5);
    CHECK_INT(ntroubles, 0);
}

/* Several changes between two looks, the words of all but the newest swept meanwhile: only reading everything tells what they were. */
static void gap(void)
{
    struct token a, b;

    CHECK(up());
    a = issued();
    b = issued();
    CHECK(follows(2, 0));
    CHECK_INT(tokenstore_revoke(&store, a.id, WALL), 0);
    CHECK_INT(tokenstore_revoke_user(&store, "dave", WALL + 5, WALL), 0);
    issued();
    issued();
    CHECK_INT(run("DELETE FROM change WHERE seq < (SELECT max(seq) FROM change)"), 0);
    CHECK(follows(4, 2)); /* b, the two new ones, dave */
    CHECK_INT(tokenstore_revoke(&store, b.id, WALL), 0);
    CHECK(follows(3, 3)); /* and it goes on from there */
    CHECK_STR(last.name, b.id);
    CHECK_INT(ntroubles, 0);
}

/* What fits no realm or time of ours is not served, and the words of it are no gap. */
static void others(void)
{
    struct token a;

    CHECK(up());
    a = issued();
    CHECK(follows(1, 0));
    CHECK_INT(run("UPDATE credential SET realm = 'elsewhere'"), 0);
    CHECK_INT(run("INSERT INTO change (at, about, what) VALUES (1, 0, 'nobody'), (1, 99, 'x')"), 0);
    issued();
    CHECK(follows(2, 0)); /* nobody has said that the first one has changed */
    CHECK_INT(tokenstore_revoke(&store, a.id, WALL), 0);
    CHECK(follows(1, 1));
    CHECK_STR(last.name, a.id);
}

static const struct tap_test TESTS[] = {
    {"what others issue and revoke is followed", changes},
    {"where changes were swept before they were seen, everything is read again, and what has gone is told", gap},
    {"what a change names and does not serve here is passed over", others},
};

int main(void)
{
    int status;

    base = event_base_new();
    if (!base || !mkdtemp(dir))
        return 99;
    snprintf(path, sizeof(path), "%s/turnpike.db", dir);
    status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    (void)up();
    down();
    unlink(path);
    event_base_free(base);
    rmdir(dir);
    return status;
}
