/* Usage in the embedded store: summed, kept once whatever fails, and the end of who has used all. */
#include "auth/sqlusage.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/sqlsums.h"
#include "auth/sqltokens.h"
#include "base/err.h"
#include "tests/unit/tap.h"

enum { NOW = 1800000000, MANY = SQLUSAGE_FLUSHES_MAX + 20 };
_Static_assert(NOW % TOKENSTORE_DAY_S == 28800, "at eight o'clock");

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char path[64];
static struct event_base *base;
static struct usage *usage;
static struct sqlusage *kept;
static struct tokenstore store;
static unsigned ended, troubles, cured;
static uint64_t ended_used, ended_max;
static char ended_name[64], reason[SQL_WHY_MAX];

static void on_exhausted(void *ctx, const char *name, uint64_t used, uint64_t max_bytes)
{
    (void)ctx;
    ended++;
    ended_used = used;
    ended_max = max_bytes;
    snprintf(ended_name, sizeof(ended_name), "%s", name);
}

static void on_trouble(void *ctx, const char *text)
{
    (void)ctx;
    if (text[0])
        troubles++;
    else
        cured++;
    snprintf(reason, sizeof(reason), "%s", text);
}

static void down(void)
{
    sqlusage_free(&kept);
    usage_free(&usage);
    tokenstore_close(&store);
}

/* What an earlier case has left behind goes first. */
static bool up(void)
{
    static const char *const FILES[] = {"", "-wal", "-shm", "-copy"};
    char name[80];

    down();
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, FILES[i]);
        unlink(name);
    }
    ended = troubles = cured = 0;
    return usage_new(&usage) == 0 && sqltokens_open(&store, dir) == 0 &&
           sqlusage_new(&kept, &(struct sqlusage_config){
                                   .base = base, .dir = dir, .usage = usage, .events = {on_exhausted, on_trouble}}) == 0;
}

static struct token token(const char *owner, const char *label, int64_t max_bytes)
{
    struct token t = {.realm = "realm", .scope = TOKEN_TURN, .issued_at = NOW, .max_bytes = max_bytes};
    char password[TOKEN_PASSWORD_LEN + 1];
    const char *why;

    strcpy(t.owner, owner);
    strcpy(t.label, label);
    (void)token_issue(&t, password, &why);
    return t;
}

static struct auth_account *account(const struct token *t)
{
    struct auth_answer a = {.is_token = t->id[0] != '\0', .limits.bytes = (uint64_t)t->max_bytes};
    struct auth_account *out = NULL;

    strcpy(a.name, t->id);
    strcpy(a.owner, t->owner);
    strcpy(a.label, t->label);
    (void)usage_open(&out, usage, &a);
    return out;
}

static void add(struct auth_account *a, uint64_t up_bytes, uint64_t down_bytes)
{
    usage_add(a, &(struct auth_used){{up_bytes, down_bytes, 1, 2, 3, 4}});
}

/* An account's whole life. */
static void use(const struct token *t, uint64_t bytes)
{
    struct auth_account *a = account(t);

    add(a, bytes, 0);
    usage_close(&a);
}

static void flush(int64_t wall)
{
    sqlusage_flush(kept, (struct now){.ms = 1, .wall = wall});
}

/* ---- Reading back: each row as a line. ---- */

static char shown[4096];
static size_t nshown;

static bool show(void *ctx, const struct tokenstore_usage *u)
{
    size_t n = strlen(shown);

    (void)ctx;
    nshown++;
    snprintf(shown + n, sizeof(shown) - n, "%s/%s@%lld:%llu,%llu,%llu,%llu,%llu,%llu ", u->owner, u->label,
             (long long)(u->from ? u->from - NOW : 0), (unsigned long long)u->used.n[0], (unsigned long long)u->used.n[1],
             (unsigned long long)u->used.n[2], (unsigned long long)u->used.n[3], (unsigned long long)u->used.n[4],
             (unsigned long long)u->used.n[5]);
    return true;
}

static bool show_owner(void *ctx, const char *owner)
{
    struct tokenstore_period *p = ctx;

    p->owner = owner;
    return tokenstore_usage(&store, p, show, NULL) == 0;
}

/* NULL: of all owners. */
static const char *rows(const char *owner, enum tokenstore_span span, int64_t since)
{
    struct tokenstore_period p = {.owner = owner, .span = span, .since = since, .until = NOW + 10 * TOKENSTORE_DAY_S};
    int err;

    shown[0] = '\0';
    nshown = 0;
    err = owner ? tokenstore_usage(&store, &p, show, NULL) : tokenstore_owners(&store, NOW, show_owner, &p);
    return err ? store.why : shown;
}

static uint64_t bytes_of(const struct token *t)
{
    struct auth_used used;

    return tokenstore_used(&store, t, &used) ? UINT64_MAX : used.n[AUTH_USED_BYTES_UP] + used.n[AUTH_USED_BYTES_DOWN];
}

static int64_t number(const char *text)
{
    struct sqlite3_stmt *found = NULL;
    struct sql *db;
    char why[SQL_WHY_MAX];
    int64_t n = -1;

    if (sql_open(&db, dir, false, SQL_SITTING_MS, why))
        return -2;
    if (sql_start(db, &found, text, NULL, 0) == 0 && sql_next(db, found) == 1)
        n = sql_int(found, 0);
    sql_end(&found);
    sql_close(&db);
    return n;
}

/* ---- Cases. ---- */

static void sums(void)
{
    struct token desk = token("acme", "desk", 0), lobby = token("acme", "lobby", 0), other = token("b'); --", "%s", 0),
                 nameless = {.id = ""};
    struct auth_account *a, *b;

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &desk), 0);
    a = account(&desk);
    b = account(&lobby);
    add(a, 5, 7);
    add(b, 100, 200);
    use(&other, 9);
    use(&nameless, 3);
    flush(NOW);
    add(a, 1, 1);
    flush(NOW);
    flush(NOW); /* nothing new */
    CHECK_STR(rows(NULL, TOKENSTORE_ALL, 0),
              "/@0:3,0,1,2,3,4 acme/desk@0:6,8,2,4,6,8 acme/lobby@0:100,200,1,2,3,4 b'); --/%s@0:9,0,1,2,3,4 ");
    CHECK_STR(rows("acme", TOKENSTORE_ALL, 0), "acme/desk@0:6,8,2,4,6,8 acme/lobby@0:100,200,1,2,3,4 ");
    CHECK_STR(rows("nobody", TOKENSTORE_ALL, 0), "");
    CHECK_STR(rows("", TOKENSTORE_HOUR, 0), "/@0:3,0,1,2,3,4 ");
    CHECK_INT(bytes_of(&desk), 14);
    CHECK_INT(bytes_of(&lobby), 300);
    CHECK_INT(bytes_of(&(struct token){.id = "tnobody"}), 0);
    CHECK_INT(number("SELECT count(*) FROM usage_token"), 3); /* who is no token has none */
    usage_close(&a);
    usage_close(&b);
    CHECK_INT(troubles, 0);
}

static void by_time(void)
{
    static const struct token T = {.owner = "acme"};
    struct token t = token("acme", "", 0);

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    use(&T, 1);
    flush(NOW - 1); /* seven o'clock */
    use(&T, 10);
    flush(NOW);
    use(&T, 100);
    flush(NOW + TOKENSTORE_HOUR_S - 1);
    use(&T, 1000);
    flush(NOW + TOKENSTORE_DAY_S);
    CHECK_STR(rows("acme", TOKENSTORE_HOUR, NOW - TOKENSTORE_HOUR_S),
              "acme/@-3600:1,0,1,2,3,4 acme/@0:110,0,2,4,6,8 acme/@86400:1000,0,1,2,3,4 ");
    CHECK_STR(rows("acme", TOKENSTORE_HOUR, NOW + 5), "acme/@0:110,0,2,4,6,8 acme/@86400:1000,0,1,2,3,4 ");
    CHECK_STR(rows(NULL, TOKENSTORE_DAY, NOW), "acme/@-28800:111,0,3,6,9,12 acme/@57600:1000,0,1,2,3,4 ");
    CHECK_STR(rows(NULL, TOKENSTORE_DAY, NOW + TOKENSTORE_DAY_S), "acme/@57600:1000,0,1,2,3,4 ");
    CHECK_STR(rows(NULL, TOKENSTORE_ALL, NOW), "acme/@0:1111,0,4,8,12,16 ");
}

static void locked(void)
{
    struct token t = token("acme", "x", 0);
    struct auth_account *a;
    struct sql *other;
    char why[SQL_WHY_MAX];

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    a = account(&t);
    add(a, 5, 0);
    CHECK_INT(sql_open(&other, dir, false, 1, why), 0);
    CHECK_INT(sql_begin(other, true), 0);
    flush(NOW);
    CHECK_INT(troubles, 1);
    CHECK(strstr(reason, "another program"));
    add(a, 70, 0);
    flush(NOW + TOKENSTORE_HOUR_S);
    CHECK_INT(troubles, 1); /* told once */
    CHECK_INT(cured, 0);
    CHECK_INT(sql_finish(other, 0), 0);
    sql_close(&other);
    flush(NOW + TOKENSTORE_HOUR_S);
    CHECK_INT(cured, 1);
    CHECK_STR(rows("acme", TOKENSTORE_HOUR, NOW), "acme/x@0:5,0,1,2,3,4 acme/x@3600:70,0,1,2,3,4 "); /* each in its own hour */
    flush(NOW + TOKENSTORE_HOUR_S);
    CHECK_INT(bytes_of(&t), 75);
    usage_close(&a);
}

/* The last statement fails: nothing of the transaction is there, and nobody is told of it; then all of it, once. */
static void halfway(void)
{
    struct token t = token("acme", "x", 10), last = token("acme", "x", 10);
    struct sql *db;
    char why[SQL_WHY_MAX];

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(tokenstore_issue(&store, &last), 0);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, why), 0);
    CHECK_INT(sql_run(db, NULL,
                      "CREATE TRIGGER t BEFORE INSERT ON change WHEN (SELECT count(*) FROM change) = 3"
                      " BEGIN SELECT raise(ABORT, 'no'); END",
                      NULL, 0),
              0); /* two were issued, one revoked: it is the second's turn */
    use(&t, 12);
    use(&last, 100);
    flush(NOW);
    CHECK_INT(troubles, 1);
    CHECK_STR(rows(NULL, TOKENSTORE_ALL, 0), "");
    CHECK_INT(number("SELECT count(*) FROM credential WHERE revoked_at = 0"), 2);
    CHECK_INT(ended, 0);
    CHECK_INT(sql_run(db, NULL, "DROP TRIGGER t", NULL, 0), 0);
    sql_close(&db);
    use(&t, 1);
    flush(NOW);
    CHECK_STR(rows(NULL, TOKENSTORE_ALL, 0), "acme/x@0:113,0,3,6,9,12 ");
    CHECK_INT(bytes_of(&t), 13);
    CHECK_INT(ended, 2);
    CHECK_INT(cured, 1);
}

static void exhausted(void)
{
    struct token t = token("acme", "", 100), same = token("acme", "", 0), back;

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(tokenstore_issue(&store, &same), 0);
    use(&t, 99);
    use(&same, 1000000);
    flush(NOW);
    CHECK_INT(ended, 0);
    use(&t, 1);
    flush(NOW + 5);
    CHECK_INT(ended, 1);
    CHECK_STR(ended_name, t.id);
    CHECK_INT(ended_used, 100);
    CHECK_INT(ended_max, 100);
    CHECK_INT(tokenstore_get(&store, t.id, &back), 0);
    CHECK_INT(back.revoked_at, NOW + 5);
    CHECK_INT(number("SELECT count(*) FROM change"), 3); /* the word for who reads behind */
    use(&t, 50);
    flush(NOW + 6);
    CHECK_INT(ended, 1); /* its last bytes */
    CHECK_INT(bytes_of(&t), 150);
    CHECK_INT(number("SELECT count(*) FROM change"), 3);
    CHECK_INT(tokenstore_get(&store, same.id, &back), 0);
    CHECK_INT(back.revoked_at, 0);
}

static void anew(void)
{
    struct token u = token("carol", "", 100), back;

    CHECK(up());
    strcpy(u.id, "carol");
    CHECK_INT(tokenstore_add_user(&store, &u), 0);
    use(&u, 100);
    flush(NOW);
    CHECK_INT(ended, 1);
    CHECK_INT(tokenstore_get(&store, "carol", &back), ERR_NOENT); /* a user is no token */
    CHECK_INT(number("SELECT count(*) FROM credential WHERE revoked_at != 0"), 1);
    CHECK_INT(tokenstore_remove_user(&store, "carol", NOW), 0);
    CHECK_INT(tokenstore_add_user(&store, &u), 0);
    use(&u, 1);
    flush(NOW);
    CHECK_INT(ended, 1);
    CHECK_INT(bytes_of(&u), 1);
}

static void no_store(void)
{
    struct token t = token("acme", "", 0);

    CHECK(up());
    use(&t, 5);
    flush(NOW);
    CHECK(access(path, F_OK) != 0);
    CHECK_INT(usage_accounts(usage), 0); /* they do not wait for what may never come */
    CHECK_INT(troubles, 0);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    use(&t, 7);
    flush(NOW);
    CHECK_INT(bytes_of(&t), 7);
}

/* Another file is put in its place: a backup, as a rule. */
static void moved_away(void)
{
    static const char *const LOGS[] = {"-wal", "-shm"};
    struct token t = token("acme", "", 0);
    char copy[80], name[80], why[SQL_WHY_MAX];
    struct sql *db;

    CHECK(up());
    snprintf(copy, sizeof(copy), "%s-copy", path);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    use(&t, 5);
    flush(NOW);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, why), 0);
    CHECK_INT(sql_run(db, NULL, "VACUUM INTO ?", SQL_VALUES(SQL_TEXT(copy))), 0);
    sql_close(&db);
    tokenstore_close(&store);
    unlink(path);
    use(&t, 7);
    flush(NOW);
    CHECK_INT(troubles, 1);
    use(&t, 9);
    flush(NOW);
    for (int i = 0; i < 2; i++) { /* SQLite would read the old log over the new file */
        snprintf(name, sizeof(name), "%s%s", path, LOGS[i]);
        unlink(name);
    }
    CHECK_INT(rename(copy, path), 0);
    flush(NOW);
    CHECK_INT(cured, 1);
    CHECK_INT(sqltokens_open(&store, dir), 0);
    CHECK_INT(bytes_of(&t), 21);
}

static void many(void)
{
    struct token first = token("one", "", 0), t[MANY];
    uint64_t bytes = 0;
    int more = 100; /* a slow machine takes several times */

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &first), 0);
    for (int i = 0; i < MANY; i++) {
        char owner[24];

        snprintf(owner, sizeof(owner), "owner %d", i);
        t[i] = token(i % 2 ? owner : "one", "", 0);
        use(&t[i], (uint64_t)i + 1);
    }
    while (!sqlusage_finish(kept) && more)
        more--;
    CHECK(more);
    CHECK_INT(number("SELECT sum(bytes_up) FROM usage WHERE span = 0"), MANY * (MANY + 1) / 2);
    CHECK_INT(number("SELECT sum(bytes_up) FROM usage WHERE span = 2"), MANY * (MANY + 1) / 2);
    for (int i = 0; i < MANY; i++)
        bytes += bytes_of(&t[i]);
    CHECK_INT(bytes, MANY * (MANY + 1) / 2);
    rows(NULL, TOKENSTORE_ALL, 0);
    CHECK_INT(nshown, MANY / 2 + 1);
}

static void finish(void)
{
    struct token t = token("acme", "", 0);
    struct sql *other;
    char why[SQL_WHY_MAX];

    CHECK(up());
    use(&t, 1);
    CHECK(sqlusage_finish(kept)); /* there is no store, and nothing to be kept */
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(sql_open(&other, dir, false, 1, why), 0);
    CHECK_INT(sql_begin(other, true), 0);
    use(&t, 5);
    CHECK(!sqlusage_finish(kept));
    CHECK_INT(sql_finish(other, 0), 0);
    sql_close(&other);
    CHECK(sqlusage_finish(kept));
    CHECK_INT(bytes_of(&t), 5);
}

static void labels(void)
{
    struct token t = token("acme", "the last", 0), known = token("acme", "7", 0);
    struct sql *db;
    char why[SQL_WHY_MAX];

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, why), 0);
    CHECK_INT(sql_run(db, NULL,
                      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
                      " INSERT INTO usage SELECT 'acme', 0, 0, i, 0, 0, 0, 0, 0, 0, 0 FROM n",
                      NULL, 0),
              0);
    sql_close(&db);
    use(&t, 5);
    flush(NOW);
    use(&(struct token){.owner = "acme", .label = "one too many"}, 7);
    use(&known, 9);
    flush(NOW);
    CHECK_INT(number("SELECT count(*) FROM usage WHERE span = 0"), TOKENSTORE_LABELS_MAX + 1);
    CHECK_STR(rows("acme", TOKENSTORE_DAY, NOW),
              "acme/@-28800:7,0,1,2,3,4 acme/7@-28800:9,0,1,2,3,4 acme/the last@-28800:5,0,1,2,3,4 ");
}

static void sweep(void)
{
    struct token t = token("acme", "x", 0), other = token("else", "x", 0);
    struct sql *db;
    char why[SQL_WHY_MAX];
    bool more;

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    use(&t, 5);
    use(&other, 5);
    flush(NOW);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, why), 0);
    CHECK_INT(sqlsums_sweep(db, NOW + TOKENSTORE_HOURS_S, &more), 0);
    CHECK_INT(number("SELECT count(*) FROM usage"), 6);
    CHECK_INT(sqlsums_sweep(db, NOW + TOKENSTORE_HOURS_S + TOKENSTORE_HOUR_S, &more), 0);
    CHECK_INT(number("SELECT count(*) FROM usage WHERE span = 1"), 0);
    CHECK_INT(number("SELECT count(*) FROM usage"), 4);
    use(&t, 1); /* its owner goes on, the other does not */
    flush(NOW + 2 * TOKENSTORE_DAY_S);
    CHECK_INT(sqlsums_sweep(db, NOW + TOKENSTORE_DAYS_S, &more), 0);
    CHECK_INT(number("SELECT count(*) FROM usage WHERE span != 1"), 5);
    CHECK_INT(sqlsums_sweep(db, NOW + TOKENSTORE_DAYS_S + TOKENSTORE_DAY_S, &more), 0);
    CHECK_STR(rows(NULL, TOKENSTORE_ALL, 0), "acme/x@0:6,0,2,4,6,8 ");
    CHECK_INT(number("SELECT count(*) FROM usage"), 2);
    CHECK_INT(number("SELECT count(*) FROM usage_owner"), 1);
    CHECK_INT(bytes_of(&other), 0);
    CHECK_INT(bytes_of(&t), 6);
    CHECK(!more);
    CHECK_INT(sql_run(db, NULL,
                      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
                      " INSERT INTO usage SELECT 'old', 1, i, '', 0, 0, 0, 0, 0, 0, 0 FROM n",
                      NULL, 0),
              0);
    CHECK_INT(sqlsums_sweep(db, NOW, &more), 0);
    CHECK(more);
    sqlusage_flush(kept, (struct now){.ms = 10 * SQLUSAGE_SWEEP_MS, .wall = NOW}); /* its timer does it, too */
    CHECK_INT(number("SELECT count(*) FROM usage WHERE owner = 'old'"), 0);
    sql_close(&db);
}

/* A store of the version without usage: it is made one with, and keeps what it has. */
static void upgrade(void)
{
    struct token t = token("acme", "x", 0), back;
    struct sql *db;
    char why[SQL_WHY_MAX];

    CHECK(up());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, why), 0);
    CHECK_INT(sql_run(db, NULL, "DROP TABLE usage", NULL, 0), 0);
    CHECK_INT(sql_run(db, NULL, "DROP TABLE usage_owner", NULL, 0), 0);
    CHECK_INT(sql_run(db, NULL, "DROP TABLE usage_token", NULL, 0), 0);
    CHECK_INT(sql_run(db, NULL, "DROP TABLE peers", NULL, 0), 0);
    CHECK_INT(sql_run(db, NULL, "DROP TABLE quota", NULL, 0), 0);
    CHECK_INT(sql_run(db, NULL, "PRAGMA user_version = 1", NULL, 0), 0);
    sql_close(&db);
    tokenstore_close(&store);
    CHECK_INT(sqltokens_open(&store, dir), 0);
    CHECK_INT(tokenstore_get(&store, t.id, &back), 0);
    CHECK_MEM(&back, &t, sizeof(t));
    CHECK_INT(number("PRAGMA user_version"), SQL_SCHEMA);
    use(&t, 5);
    flush(NOW);
    CHECK_INT(bytes_of(&t), 5);
}

static const struct tap_test TESTS[] = {
    {"S7 sums by owner and label, and by token, whatever their texts", sums},
    {"sums by hour and day, from the one that a time lies in", by_time},
    {"while another writes nothing is lost, and what comes meanwhile goes behind it", locked},
    {"a transaction that fails at its last statement is repeated as a whole, and counted once", halfway},
    {"who reaches max_bytes is revoked in the same transaction, once", exhausted},
    {"a user who is removed and added again begins anew", anew},
    {"where there is no store nothing is kept, and none is made", no_store},
    {"what is used while the store is gone is counted in the one that takes its place", moved_away},
    {"more owners and tokens than one transaction takes", many},
    {"the end waits for another's lock, not for ever, and says what was lost", finish},
    {"labels beyond those of an owner that are kept count under none", labels},
    {"sums go when they are as old as is said, a bounded number at once", sweep},
    {"a store of the first version is made one of this", upgrade},
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
    event_base_free(base);
    rmdir(dir);
    return status;
}
