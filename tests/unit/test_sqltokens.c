/* The embedded store: what goes in comes out, what is damaged or foreign stays as it is, what was said to be kept is there after kill -9. */
#include "auth/sqltokens.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/tap.h"

enum { NOW = 1800000000, WRITERS = 4 };

static char dir[] = "/tmp/turnpike-test-XXXXXX";
static char path[64];
static struct tokenstore store;
static char password[TOKEN_PASSWORD_LEN + 1];
static const char *why;

static struct token fresh(const char *owner, int64_t expires_at)
{
    struct token t = {.realm = "realm", .scope = TOKEN_TURN, .issued_at = NOW, .expires_at = expires_at};

    strcpy(t.owner, owner);
    (void)token_issue(&t, password, &why);
    return t;
}

static struct token user(const char *name)
{
    struct token t = {.realm = "realm", .scope = TOKEN_TURN, .issued_at = NOW};

    strcpy(t.id, name);
    strcpy(t.owner, name);
    (void)token_derive(&t, "a password", &why);
    return t;
}

/* What an earlier case has left behind goes first. */
static bool begin(void)
{
    static const char *const FILES[] = {"", "-wal", "-shm", "-journal"};
    char name[80];

    tokenstore_close(&store);
    chmod(dir, 0700);
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, FILES[i]);
        unlink(name);
    }
    return sqltokens_open(&store, dir) == 0;
}

static bool again(void)
{
    tokenstore_close(&store);
    return sqltokens_open(&store, dir) == 0;
}

/* ---- Reading back. ---- */

static struct token seen[TOKENSTORE_PAGE + 1];
static size_t nseen, stop_after;

static bool see(void *ctx, const struct token *t)
{
    (void)ctx;
    seen[nseen++] = *t;
    return nseen != stop_after;
}

static int list(int64_t now, size_t offset)
{
    size_t bad;
    int err;

    nseen = stop_after = 0;
    err = tokenstore_list(&store, now, offset, see, NULL, &bad);
    return err ? err : (int)bad;
}

static int64_t number(const char *text)
{
    struct sqlite3_stmt *rows = NULL;
    struct sql *db;
    char text_why[SQL_WHY_MAX];
    int64_t n = -1;

    if (sql_open(&db, dir, false, SQL_SITTING_MS, text_why))
        return -2;
    if (sql_start(db, &rows, text, NULL, 0) == 0 && sql_next(db, rows) == 1)
        n = sql_int(rows, 0);
    sql_end(&rows);
    sql_close(&db);
    return n;
}

static int run(const char *text)
{
    struct sql *db;
    char text_why[SQL_WHY_MAX];
    int err = sql_open(&db, dir, false, SQL_SITTING_MS, text_why);

    if (!err)
        err = sql_run(db, NULL, text, NULL, 0);
    sql_close(&db);
    return err;
}

/* ---- Cases. ---- */

static void round_trip(void)
{
    struct token t = fresh("acme", NOW + 100), back, other;
    struct stat st;

    CHECK(begin());
    strcpy(t.label, "%s%n \"quoted\"; DROP TABLE credential; -- caf\xC3\xA9");
    strcpy(t.tenant, "t 1");
    strcpy(t.peers, "10.1.2.0/24:5060-5070/udp [2001:db8::/32]");
    t.scope = TOKEN_TURN | TOKEN_BRIDGE;
    t.not_before = 5;
    t.max_allocations = UINT32_MAX;
    t.max_bps = 2000000;
    t.max_bytes = INT64_C(1) << 40;
    other = fresh("acme", 0);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(tokenstore_issue(&store, &other), 0);
    CHECK_INT(tokenstore_issue(&store, &t), ERR_EXIST);
    CHECK(again());
    CHECK_INT(tokenstore_get(&store, t.id, &back), 0);
    CHECK_MEM(&back, &t, sizeof(t));
    CHECK_INT(tokenstore_get(&store, other.id, &back), 0);
    CHECK_MEM(&back, &other, sizeof(other));
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK_INT(tokenstore_get(&store, "' OR 1 = 1 --", &back), ERR_NOENT);
    CHECK_INT(number("SELECT count(*) FROM change"), 2);
}

static void no_store(void)
{
    struct token back;
    struct stat st;

    CHECK(begin());
    CHECK_INT(list(NOW, 0), 0);
    CHECK_INT(nseen, 0);
    CHECK_INT(tokenstore_get(&store, "t", &back), ERR_NOENT);
    CHECK_INT(tokenstore_revoke(&store, "t", NOW), ERR_NOENT);
    CHECK_INT(tokenstore_remove_user(&store, "t", NOW), ERR_NOENT);
    CHECK(stat(path, &st) != 0); /* who only reads makes nothing */
}

static void by_page(void)
{
    struct token t, sooner = fresh("sooner", NOW + 1), gone = fresh("gone", NOW - TOKENSTORE_KEEP_S);

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &gone), 0);
    CHECK_INT(tokenstore_issue(&store, &sooner), 0);
    CHECK_INT(run("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO credential SELECT"
                  " 't' || i, kind, 'never', label, tenant, realm, peers, scope, md5, sha256, issued_at, not_before, ends + 1, "
                  "revoked_at,"
                  " max_allocations, max_bps, max_bytes FROM credential, n WHERE owner = 'sooner'"),
              0);
    _Static_assert(TOKENSTORE_PAGE == 500, "as many as those");
    CHECK_INT(list(NOW, 0), 0);
    CHECK_INT(nseen, TOKENSTORE_PAGE);
    CHECK_STR(seen[0].id, sooner.id); /* by expiry; what ended a day ago is not among them */
    CHECK_INT(list(NOW, TOKENSTORE_PAGE), 0);
    CHECK_INT(nseen, 1);
    CHECK_INT(list(NOW, TOKENSTORE_PAGE + 1), 0);
    CHECK_INT(nseen, 0);
    nseen = 0;
    stop_after = 3;
    CHECK_INT(tokenstore_list(&store, NOW, 0, see, NULL, &(size_t){0}), 0);
    CHECK_INT(nseen, 3);
    CHECK_INT(run("UPDATE credential SET md5 = x'00' WHERE owner = 'sooner'"), 0);
    CHECK_INT(list(NOW, 0), 1); /* one is no token */
    CHECK_INT(tokenstore_get(&store, sooner.id, &t), ERR_MALFORMED);
    CHECK(strstr(store.why, "no token"));
}

static void revoked(void)
{
    struct token t = fresh("acme", NOW + 100), back, u = user("alice");
    int64_t changes;

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(tokenstore_add_user(&store, &u), 0);
    CHECK_INT(tokenstore_revoke(&store, "tnobody", NOW), ERR_NOENT);
    CHECK_INT(tokenstore_revoke(&store, "alice", NOW), ERR_NOENT); /* a user is removed */
    changes = number("SELECT count(*) FROM change");
    CHECK_INT(tokenstore_revoke(&store, t.id, NOW + 1), 0);
    CHECK_INT(tokenstore_revoke(&store, t.id, NOW + 2), 0);
    CHECK_INT(number("SELECT count(*) FROM change"), changes + 2);
    CHECK(again());
    CHECK_INT(tokenstore_get(&store, t.id, &back), 0);
    CHECK_INT(back.revoked_at, NOW + 1);
}

static void user_parts(void)
{
    CHECK(begin());
    CHECK_INT(tokenstore_revoke_user(&store, "dave", NOW + 100, NOW), 0);
    CHECK_INT(tokenstore_revoke_user(&store, "dave", NOW + 50, NOW), 0);
    CHECK_INT(number("SELECT before FROM mark WHERE user = 'dave'"), NOW + 100);
    CHECK_INT(tokenstore_revoke_user(&store, "dave", NOW + 200, NOW), 0);
    CHECK_INT(number("SELECT before FROM mark WHERE user = 'dave'"), NOW + 200);
    CHECK_INT(tokenstore_revoke_user(&store, "", NOW + 7, NOW), 0); /* bare expiries */
    CHECK_INT(number("SELECT count(*) FROM mark"), 2);
}

static void users(void)
{
    struct token alice = user("alice"), t = fresh("acme", 0), back;
    size_t bad;

    CHECK(begin());
    CHECK_INT(tokenstore_add_user(&store, &alice), 0);
    CHECK_INT(tokenstore_add_user(&store, &alice), ERR_EXIST);
    CHECK(strstr(store.why, "already"));
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(list(NOW, 0), 0);
    CHECK_INT(nseen, 1); /* a user is no token, */
    nseen = stop_after = 0;
    CHECK_INT(tokenstore_list_users(&store, NOW, 0, see, NULL, &bad), 0);
    CHECK_INT(nseen, 1); /* and a token no user */
    CHECK_MEM(&seen[0], &alice, sizeof(alice));
    alice.max_bps = 7;
    CHECK_INT(tokenstore_put_user(&store, &alice, NOW), 0); /* in place of the first */
    CHECK_INT(tokenstore_get_user(&store, "alice", &back), 0);
    CHECK_MEM(&back, &alice, sizeof(alice));
    CHECK_INT(number("SELECT count(*) FROM change WHERE what = 'alice'"), 2);
    CHECK_INT(tokenstore_get_user(&store, t.id, &back), ERR_NOENT);
    CHECK_INT(tokenstore_put_user(&store, &t, NOW), ERR_NOENT);
    CHECK_INT(tokenstore_remove_user(&store, t.id, NOW), ERR_NOENT);
    CHECK_INT(tokenstore_remove_user(&store, "alice", NOW), 0);
    CHECK_INT(tokenstore_remove_user(&store, "alice", NOW), ERR_NOENT);
    CHECK_INT(tokenstore_add_user(&store, &alice), 0);
}

static void sweep(void)
{
    struct token old = fresh("old", NOW - TOKENSTORE_KEEP_S), kept = fresh("kept", NOW - TOKENSTORE_KEEP_S + 1),
                 dead = fresh("dead", 0);
    struct sql *db;
    char text[SQL_WHY_MAX];
    bool more;

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &old), 0);
    CHECK_INT(tokenstore_issue(&store, &kept), 0);
    CHECK_INT(tokenstore_issue(&store, &dead), 0);
    CHECK_INT(tokenstore_revoke(&store, dead.id, NOW - TOKENSTORE_MARK_S), 0);
    CHECK_INT(tokenstore_revoke_user(&store, "dave", NOW, NOW - 9), 0);
    CHECK_INT(tokenstore_revoke_user(&store, "erin", NOW + 1, NOW - 9), 0);
    CHECK_INT(sql_open(&db, dir, false, SQL_SITTING_MS, text), 0);
    CHECK_INT(sqltokens_sweep(db, NOW, &more), 0);
    CHECK(!more);
    CHECK_INT(number("SELECT count(*) FROM credential"), 1);
    CHECK_INT(number("SELECT count(*) FROM credential WHERE owner = 'kept'"), 1);
    CHECK_INT(number("SELECT before FROM mark"), NOW + 1);
    CHECK_INT(number("SELECT count(*) FROM change"), 5); /* that of a week ago */
    CHECK_INT(sqltokens_sweep(db, NOW + SQLTOKENS_CHANGE_S, &more), 0);
    CHECK_INT(number("SELECT seq FROM change"), 6); /* the newest stays, so that the numbers go on */
    CHECK_INT(
        sql_run(
            db, NULL,
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO mark SELECT i, 1 FROM n",
            NULL, 0),
        0);
    CHECK_INT(sqltokens_sweep(db, NOW, &more), 0);
    CHECK(more); /* no more than so many at once */
    CHECK_INT(sqltokens_sweep(db, NOW, &more), 0);
    CHECK(!more);
    sql_close(&db);
}

/* ---- Faults. ---- */

static char before[1 << 16], after[1 << 16];

static ssize_t slurp(char *out, size_t cap)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, out, cap);

    close(fd);
    return n;
}

static bool spill(const void *bytes, size_t n, off_t at, int flags)
{
    int fd = open(path, O_WRONLY | flags, 0600);
    bool fine = pwrite(fd, bytes, n, at) == (ssize_t)n;

    close(fd);
    return fine;
}

/* Every call fails with this, and not a byte of the file changes. */
static void refused(int want, const char *text)
{
    struct token t = fresh("acme", 0), back;
    ssize_t n = slurp(before, sizeof(before));

    CHECK(n > 0);
    CHECK_INT(tokenstore_issue(&store, &t), want);
    printf("# %s\n", store.why);
    CHECK(strstr(store.why, text));
    CHECK(strstr(store.why, "turnpike.db"));
    CHECK(again());
    CHECK_INT(tokenstore_get(&store, t.id, &back), want);
    CHECK_INT(list(NOW, 0), want);
    CHECK_INT(tokenstore_revoke(&store, t.id, NOW), want);
    CHECK_INT(slurp(after, sizeof(after)), n);
    CHECK_MEM(before, after, (size_t)n);
}

static void foreign(void)
{
    CHECK(begin());
    CHECK(spill(
        "user=alice:secret\n and so on, for more than one hundred bytes, which is what a header of SQLite's has at least, so here "
        "it is\n",
        122, 0, O_CREAT));
    refused(ERR_MALFORMED, "damaged, or none of Turnpike's");
}

static void foreign_database(void)
{
    struct token t = fresh("acme", 0);

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(run("PRAGMA application_id = 1"), 0);
    CHECK(again());
    refused(ERR_MALFORMED, "none of Turnpike's");
}

static void newer(void)
{
    struct token t = fresh("acme", 0);

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(run("PRAGMA user_version = 4"), 0);
    CHECK(again());
    refused(ERR_CONFIG, "newer version of Turnpike");
}

static void damaged(void)
{
    static const char NOISE[4096] = "noise";
    struct token t = fresh("acme", 0), back;
    ssize_t n;

    CHECK(begin());
    for (int i = 0; i < 50; i++) {
        t = fresh("acme", 0);
        CHECK_INT(tokenstore_issue(&store, &t), 0);
    }
    tokenstore_close(&store); /* the last one out writes the log back */
    n = slurp(before, sizeof(before));
    CHECK(n > 3 * 4096);
    for (off_t at = 4096; at < n; at += 4096)
        CHECK(spill(NOISE, sizeof(NOISE), at, 0));
    CHECK(again());
    CHECK_INT(tokenstore_get(&store, t.id, &back), ERR_MALFORMED);
    printf("# %s\n", store.why);
    CHECK(strstr(store.why, "damaged"));
    CHECK_INT(list(NOW, 0), ERR_MALFORMED);
}

static void no_file(void)
{
    struct token t = fresh("acme", 0);
    char other[sizeof(path) + 2];

    CHECK(begin());
    snprintf(other, sizeof(other), "%s/x", dir);
    CHECK_INT(symlink(other, path), 0); /* whoever may write into the directory does not choose what root opens */
    CHECK_INT(tokenstore_issue(&store, &t), ERR_MALFORMED);
    CHECK(access(other, F_OK) != 0);
    unlink(path);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(tokenstore_issue(&store, &t), ERR_MALFORMED);
    rmdir(path);
}

static void missing_directory(void)
{
    struct token t = fresh("acme", 0);
    char deep[96], sub[80];
    struct stat st;

    snprintf(sub, sizeof(sub), "%s/sub", dir);
    snprintf(deep, sizeof(deep), "%s/turnpike.db", sub);
    tokenstore_close(&store);
    CHECK_INT(sqltokens_open(&store, deep), 0); /* two parts are missing */
    CHECK_INT(tokenstore_issue(&store, &t), ERR_NOENT);
    tokenstore_close(&store);
    CHECK_INT(sqltokens_open(&store, sub), 0);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(stat(sub, &st), 0);
    CHECK_INT(st.st_mode & 07777, 0700);
    tokenstore_close(&store);
    unlink(deep);
    rmdir(sub);
}

/* root's turnpikectl makes it for turnpiked, which is another user; who isn't root makes it for himself. */
static void owner_of_directory(void)
{
    struct token t = fresh("acme", 0);
    uid_t want = geteuid() == 0 ? 65534 : geteuid();
    char sub[80], file[96];
    struct stat st;

    CHECK(begin());
    tokenstore_close(&store);
    snprintf(sub, sizeof(sub), "%s/owned", dir);
    snprintf(file, sizeof(file), "%s/turnpike.db", sub);
    CHECK_INT(geteuid() == 0 ? chown(dir, want, want) : 0, 0);
    CHECK_INT(sqltokens_open(&store, sub), 0);
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(stat(sub, &st), 0);
    CHECK_INT(st.st_uid, want);
    CHECK_INT(st.st_mode & 0777, 0700);
    CHECK_INT(stat(file, &st), 0);
    CHECK_INT(st.st_uid, want);
    tokenstore_close(&store);
    CHECK_INT(unlink(file), 0);
    CHECK_INT(rmdir(sub), 0);
    CHECK_INT(geteuid() == 0 ? chown(dir, 0, 0) : 0, 0);
}

static void read_only(void)
{
    struct token t = fresh("acme", 0), back, more = fresh("more", 0);
    int status;
    pid_t child;

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    tokenstore_close(&store);
    CHECK_INT(chmod(path, 0400), 0);
    CHECK_INT(chmod(dir, 0500), 0);
    child = fork();
    if (child == 0) { /* root may write everywhere; nobody may not */
        if (geteuid() == 0 && (chown(path, 65534, 65534) || chown(dir, 65534, 65534) || setgid(65534) || setuid(65534)))
            _exit(9);
        (void)sqltokens_open(&store, dir);
        if (tokenstore_issue(&store, &more) != ERR_ACCES || !strstr(store.why, "cannot be opened and written"))
            _exit(1);
        tokenstore_close(&store);
        _exit(0);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    if (geteuid() == 0) {
        CHECK_INT(chown(dir, 0, 0), 0);
        CHECK_INT(chown(path, 0, 0), 0);
    }
    CHECK_INT(chmod(dir, 0700), 0);
    CHECK_INT(chmod(path, 0600), 0);
    CHECK(again());
    CHECK_INT(tokenstore_get(&store, t.id, &back), 0);
}

/* A process that issues for as long as it lives, and says each id once it is kept. */
static void write_for_ever(int to)
{
    struct token t;

    (void)sqltokens_open(&store, dir);
    for (;;) {
        t = fresh("writer", 0);
        if (tokenstore_issue(&store, &t) || write(to, t.id, TOKEN_ID_LEN) != TOKEN_ID_LEN)
            _exit(1);
    }
}

static void killed(void)
{
    struct token back;
    char id[TOKEN_ID_LEN + 1] = "";
    int ends[2], n = 0;
    pid_t child;

    CHECK(begin());
    for (int round = 0; round < 3; round++) {
        CHECK_INT(pipe(ends), 0);
        child = fork();
        if (child == 0)
            write_for_ever(ends[1]);
        close(ends[1]);
        for (int i = 0; i < 40; i++)
            CHECK_INT(read(ends[0], id, TOKEN_ID_LEN), TOKEN_ID_LEN);
        CHECK_INT(kill(child, SIGKILL), 0);
        CHECK_INT(waitpid(child, NULL, 0), child);
        n += 40;
        do {
            CHECK(again());
            CHECK_INT(tokenstore_get(&store, id, &back), 0);
        } while (read(ends[0], id, TOKEN_ID_LEN) == TOKEN_ID_LEN && ++n);
        close(ends[0]);
    }
    CHECK(number("SELECT count(*) FROM credential") >= n);
    CHECK_INT(number("SELECT count(*) FROM credential") - number("SELECT count(*) FROM change"), 0); /* both or none */
}

/* Several make the store at the same moment, and all write. */
static void crowd(void)
{
    pid_t children[WRITERS];
    int status, bad = 0;

    CHECK(begin());
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            (void)sqltokens_open(&store, dir);
            for (int k = 0; k < 20; k++) {
                struct token t = fresh("crowd", 0);
                if (tokenstore_issue(&store, &t)) {
                    printf("# %s\n", store.why);
                    fflush(stdout);
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++)
        bad += waitpid(children[i], &status, 0) != children[i] || status;
    CHECK_INT(bad, 0);
    CHECK_INT(number("SELECT count(*) FROM credential"), WRITERS * 20);
    CHECK_INT(number("SELECT max(seq) FROM change"), WRITERS * 20);
}

static void busy(void)
{
    struct token t = fresh("acme", 0);
    struct sql *db, *other;
    char text[SQL_WHY_MAX];

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(sql_open(&db, dir, false, 1, text), 0);
    CHECK_INT(sql_open(&other, dir, false, 1, text), 0);
    CHECK_INT(sql_begin(db, true), 0);
    CHECK_INT(sql_begin(other, true), ERR_AGAIN);
    CHECK(strstr(sql_why(other), "another program"));
    CHECK_INT(list(NOW, 0), 0); /* who reads waits for nobody */
    CHECK_INT(nseen, 1);
    CHECK_INT(sql_finish(db, ERR_INVAL), ERR_INVAL);
    CHECK_INT(sql_begin(other, true), 0);
    CHECK_INT(sql_finish(other, 0), 0);
    sql_close(&other);
    sql_close(&db);
}

static void version(void)
{
    struct token t = fresh("acme", 0);
    struct sql *db;
    char text[SQL_WHY_MAX];
    int64_t first, second;

    CHECK(begin());
    CHECK_INT(tokenstore_issue(&store, &t), 0);
    CHECK_INT(sql_open(&db, dir, false, 1, text), 0);
    CHECK_INT(sql_version(db, &first), 0);
    CHECK_INT(sql_version(db, &second), 0);
    CHECK_INT(second, first);
    CHECK_INT(tokenstore_revoke(&store, t.id, NOW), 0);
    CHECK_INT(sql_version(db, &second), 0);
    CHECK(second != first);
    sql_close(&db);
}

static const struct tap_test TESTS[] = {
    {"S7 a token comes back as it went in, whatever its texts; the file is its owner's alone", round_trip},
    {"who only asks makes no store", no_store},
    {"a list goes by expiry and by page; what is no token is counted", by_page},
    {"revoking keeps the first time, and leaves a word each time", revoked},
    {"of two revocations of a user part the one that reaches further stays", user_parts},
    {"users are no tokens: added once, listed, replaced, removed, added again", users},
    {"what nobody needs is swept, a bounded number at once", sweep},
    {"a file that is no database is refused and left alone", foreign},
    {"another program's database is refused and left alone", foreign_database},
    {"a newer version's store is refused and left alone", newer},
    {"a damaged store is said to be that", damaged},
    {"S25 a link or a directory in its place is not followed", no_file},
    {"the last part of a path is made, with mode 0700, and no other", missing_directory},
    {"S24 a directory that is made, and the file in it, belong to whom it lies in belongs to", owner_of_directory},
    {"a read-only store keeps what it has and says what to do", read_only},
    {"what was said to be kept is there after kill -9 (F15)", killed},
    {"several processes make one store at once, and lose nothing", crowd},
    {"who writes waits for another, who reads does not", busy},
    {"who reads behind sees that something has changed", version},
};

int main(void)
{
    int status;

    if (!mkdtemp(dir))
        return 99;
    snprintf(path, sizeof(path), "%s/turnpike.db", dir);
    status = tap_main(TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
    (void)begin();
    tokenstore_close(&store);
    rmdir(dir);
    return status;
}
