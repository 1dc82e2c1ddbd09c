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

static unsigned npeers, nunread;

static void on_peers(void *ctx, const struct tokenstore_peers *peers)
{
    (void)ctx, (void)peers;
    npeers++;
}

static void on_unread(void *ctx, const char *why)
{
    (void)ctx, (void)why;
    nunread++;
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
    nrevoked = ntroubles = npeers = nunread = 0;
    return auth_new(&auth, &(struct auth_config){.realm = "realm"}) == 0 &&
           sqlsource_add(&source, auth, &(struct sqlsource_config){dir, ':'}, why) == 0 &&
           sqlsource_follow(source, base, &(struct sqlsource_events){on_revoked, on_health, on_peers, on_unread, NULL}) == 0 &&
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

/* May the owner have so many allocations, and no more? */
static bool may(const char *owner, unsigned wanted)
{
    const struct addr from = {.family = ADDR_V4};
    const struct auth_share share = {owner, &from, 0};
    struct auth_grant grant;
    unsigned n = 0;

    while (n < 5 && auth_quota_take(auth, &share, &(struct auth_limits){0}, &grant) == AUTH_QUOTA_OK)
        n++;
    for (unsigned i = 0; i < n; i++)
        auth_quota_give(auth, &share);
    return n == wanted;
}

static void rules(void)
{
    struct auth_limits two = {.allocations = 2, .bps = 9}, back;
    static struct tokenstore_peers peers = {"10.1.2.3 10.1.2.4:5060/udp", "8.8.8.0/24"}, read;

    CHECK(up());
    CHECK_INT(tokenstore_get_peers(&store, &read), 0);
    CHECK_STR(read.allow, "");
    CHECK_INT(tokenstore_put_quota(&store, "acme", &two, WALL), 0);
    CHECK_INT(tokenstore_put_quota(&store, "other", &two, WALL), 0);
    CHECK_INT(tokenstore_put_peers(&store, &peers, WALL), 0);
    for (int i = 0; i < LOOKS_MAX && !npeers; i++)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(npeers, 1);
    CHECK_STR(sqlsource_peers(source)->deny, "8.8.8.0/24");
    CHECK(may("acme", 2) && may("other", 2) && may("third", 5));
    CHECK_INT(tokenstore_get_quota(&store, "acme", &back), 0);
    CHECK(back.allocations == 2 && back.bps == 9);
    CHECK_INT(tokenstore_put_quota(&store, "acme", &(struct auth_limits){0}, WALL), 0);
    peers.deny[0] = '\0';
    CHECK_INT(tokenstore_put_peers(&store, &peers, WALL), 0);
    for (int i = 0; i < LOOKS_MAX && npeers < 2; i++)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(npeers, 2);
    CHECK(may("acme", 5) && may("other", 2)); /* one by one, as it is told, */
    CHECK_INT(run("DELETE FROM quota; "), 0);
    CHECK_INT(run("INSERT INTO change (seq, at, about, what) VALUES (100, 0, 9, '')"), 0);
    for (int i = 0; i < LOOKS_MAX && !may("other", 5); i++)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK(may("other", 5)); /* or all, where a change was missed */
}

/* A change of the rules that nobody of ours has made; then one that is, after which it has been seen. */
static int spoil_peers(void)
{
    char text[128];
    unsigned before = npeers;
    int err;

    snprintf(text, sizeof(text), "INSERT INTO change (at, about, what) VALUES (0, %d, '')", SQLTOKENS_PEERS);
    err = run("UPDATE peers SET entries = CAST(x'310032' AS TEXT)"); /* a NUL inside */
    for (unsigned allocations = 2; allocations < 4 && !err; allocations++) {
        err = run(text);
        if (!err)
            err = tokenstore_put_quota(&store, "acme", &(struct auth_limits){.allocations = allocations}, WALL);
        for (int i = 0; i < LOOKS_MAX && !err && !may("acme", allocations); i++)
            event_base_loop(base, EVLOOP_ONCE);
    }
    return err ? err : (int)(npeers - before);
}

static void unread(void)
{
    static struct tokenstore_peers peers = {"", "8.8.8.0/24"};

    CHECK(up());
    CHECK_INT(tokenstore_put_peers(&store, &peers, WALL), 0);
    for (int i = 0; i < LOOKS_MAX && !npeers; i++)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(spoil_peers(), 0);
    CHECK_INT(nunread, 1);
    CHECK_STR(sqlsource_peers(source)->deny, "8.8.8.0/24");
    peers.deny[0] = '\0';
    CHECK_INT(tokenstore_put_peers(&store, &peers, WALL), 0);
    for (int i = 0; i < LOOKS_MAX && npeers < 2; i++)
        event_base_loop(base, EVLOOP_ONCE);
    CHECK_INT(npeers, 2);
    CHECK_INT(spoil_peers(), 0);
    CHECK_INT(nunread, 2);
}

static void full(void)
{
    struct auth_limits one = {.allocations = 1};

    CHECK(up());
    CHECK_INT(tokenstore_put_quota(&store, "first", &one, WALL), 0);
    CHECK_INT(run("WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
                  " INSERT INTO quota SELECT 'o' || i, 1, 0 FROM n"),
              0);
    _Static_assert(TOKENSTORE_QUOTAS_MAX == 10000, "as many as those");
    CHECK_INT(tokenstore_put_quota(&store, "more", &one, WALL), ERR_NOSPC);
    CHECK_STR(store.why, TOKENSTORE_QUOTAS_FULL);
    CHECK_INT(tokenstore_put_quota(&store, "first", &(struct auth_limits){.allocations = 2}, WALL), 0);
    CHECK_INT(tokenstore_put_quota(&store, "first", &(struct auth_limits){0}, WALL), 0);
    CHECK_INT(tokenstore_put_quota(&store, "more", &one, WALL), 0);
}

static enum auth_status ask(const char *user, unsigned scope, struct auth_answer *answer)
{
    struct auth_request r = {.user = user, .algorithm = STUN_ALG_MD5, .wall = WALL, .scope = scope};
    struct auth_ticket *ticket;

    return auth_check(auth, &r, answer, NULL, NULL, &ticket);
}

/* What a page that can be read has must not register as a bridge. */
static void scopes(void)
{
    struct token t = {.owner = "acme", .realm = "realm", .tenant = "north", .scope = TOKEN_TURN | TOKEN_PHONE, .issued_at = WALL};
    char password[TOKEN_PASSWORD_LEN + 1];
    struct auth_answer answer;
    const char *why;

    CHECK(up());
    CHECK_INT(token_issue(&t, password, &why), 0);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK(follows(1, 0));
    CHECK_INT(ask(t.id, AUTH_SCOPE_BRIDGE, &answer), AUTH_UNKNOWN);
    CHECK_INT(ask(t.id, AUTH_SCOPE_PHONE, &answer), AUTH_OK);
    CHECK_INT(answer.scope, AUTH_SCOPE_TURN | AUTH_SCOPE_PHONE);
    CHECK_STR(answer.tenant, "north");
    CHECK_INT(ask(t.id, 0, &answer), AUTH_OK);
    CHECK_INT(run("UPDATE credential SET scope = 2"), 0); /* for less than it was: what that has started is to end */
    CHECK_INT(run("INSERT INTO change (at, about, what) SELECT 0, 0, name FROM credential"), 0);
    CHECK(follows(1, 1));
    CHECK_STR(last.name, t.id);
    CHECK_INT(ask(t.id, 0, &answer), AUTH_UNKNOWN);
    CHECK_INT(ask(t.id, AUTH_SCOPE_ANY, &answer), AUTH_OK);
}

static const struct tap_test TESTS[] = {
    {"what others issue and revoke is followed", changes},
    {"where changes were swept before they were seen, everything is read again, and what has gone is told", gap},
    {"what a change names and does not serve here is passed over", others},
    {"rules for peers and limits of owners are followed, and are not lost with a change that was missed", rules},
    {"rules for peers that can't be read are told once, and those before stay", unread},
    {"owners with limits are bounded in number", full},
    {"a token is for what it was issued for, and whoever has taken that away has ended it", scopes},
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
