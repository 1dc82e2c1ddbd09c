#include "auth/sql.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

enum {
    APPLICATION = 0x54706B65, /* "Tpke": whose file it is, in SQLite's header */
};

/*
 * `ends` is expires_at, and the largest number where there is none, so that its index is the order of a list. `mark`: time-limited names of a
 * user part that expire before a time are revoked. `change` says what to look at again: which
 * credential, or which user part; its numbers have no gap, and the newest row
 * always stays, so that who reads behind can tell whether something is missing.
 */
static const char TABLES[] =
    "CREATE TABLE credential (name TEXT PRIMARY KEY NOT NULL, kind INTEGER NOT NULL, owner TEXT NOT NULL, label TEXT NOT NULL,"
    " tenant TEXT NOT NULL, realm TEXT NOT NULL, peers TEXT NOT NULL, scope INTEGER NOT NULL, md5 BLOB NOT NULL, sha256 BLOB NOT "
    "NULL,"
    " issued_at INTEGER NOT NULL, not_before INTEGER NOT NULL, ends INTEGER NOT NULL, revoked_at INTEGER NOT NULL,"
    " max_allocations INTEGER NOT NULL, max_bps INTEGER NOT NULL, max_bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX credential_by_end ON credential (kind, ends, name);"
    "CREATE INDEX credential_revoked ON credential (revoked_at) WHERE revoked_at != 0;"
    "CREATE TABLE mark (user TEXT PRIMARY KEY NOT NULL, before INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE change (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, about INTEGER NOT NULL, what TEXT NOT NULL) STRICT;"
    "PRAGMA application_id = 1416653669;" /* APPLICATION */
    "PRAGMA user_version = 1;";
_Static_assert(APPLICATION == 1416653669, "as the schema says");

/*
 * `span` is of enum tokenstore_span, `start` when the hour or day begins. `day`: of the last use. What is looked for by age has an index; none is of a
 * column that changes more than once a day.
 */
#define COUNTERS                                                                                                                   \
    "bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL, packets_up INTEGER NOT NULL, packets_down INTEGER NOT NULL,"          \
    " allocations INTEGER NOT NULL, ms INTEGER NOT NULL"
static const char USAGE_TABLES[] =
    "CREATE TABLE usage (owner TEXT NOT NULL, span INTEGER NOT NULL, start INTEGER NOT NULL, label TEXT NOT NULL, " COUNTERS
    ", PRIMARY KEY (owner, span, start, label)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX usage_by_start ON usage (span, start);"
    "CREATE TABLE usage_owner (owner TEXT PRIMARY KEY NOT NULL, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX usage_owner_by_day ON usage_owner (day);"
    "CREATE TABLE usage_token (name TEXT PRIMARY KEY NOT NULL, day INTEGER NOT NULL, " COUNTERS ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX usage_token_by_day ON usage_token (day);"
    "PRAGMA user_version = 2;";

/* `action` is of enum sqlrules_action: one row holds all entries of a sort. `peak`: the most allocations at the same time. */
static const char RULE_TABLES[] = "CREATE TABLE peers (action INTEGER PRIMARY KEY, entries TEXT NOT NULL) STRICT;"
                                  "CREATE TABLE quota (owner TEXT PRIMARY KEY NOT NULL, allocations INTEGER NOT NULL, bps INTEGER "
                                  "NOT NULL) STRICT, WITHOUT ROWID;"
                                  "ALTER TABLE usage ADD COLUMN peak INTEGER NOT NULL DEFAULT 0;"
                                  "PRAGMA user_version = 3;";

/* What makes each version out of the one before. */
static const char *const SCHEMA[SQL_SCHEMA] = {TABLES, USAGE_TABLES, RULE_TABLES};

/* What is deleted is overwritten: keys do not linger. Sorting stays in memory, not in files of a directory that all can write to. The log
 * of writes shrinks to 4 MB after a burst. */
static const char SETTINGS[] = "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
                               "PRAGMA journal_size_limit = 4194304; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;";

struct sql {
    sqlite3 *handle;
    sqlite3_stmt *version;
    struct stat file; /* as it was opened: for its number */
    char path[SQL_PATH_MAX];
    char why[SQL_WHY_MAX];
};

/* ---- Errors. ---- */

static int err_of(int code, int number)
{
    switch (code & 0xFF) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_AGAIN;
    case SQLITE_FULL:
        return ERR_NOSPC;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return ERR_ACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* all statements are constants: a table is not as it should be */
        return ERR_MALFORMED;
    case SQLITE_CONSTRAINT:
        return ERR_EXIST;
    default:
        return number == ENOSPC || number == EDQUOT || number == EFBIG ? ERR_NOSPC : ERR_IO;
    }
}

static const char *sentence(int err)
{
    switch (err) {
    case ERR_AGAIN:
        return "another program has held it for too long; try again";
    case ERR_NOSPC:
        return "the disk is full, or a limit of file sizes is reached; nothing has been changed";
    case ERR_ACCES:
        return "it cannot be opened and written here; be root or the user that turnpiked runs as";
    case ERR_MALFORMED:
        return "it is damaged, or none of Turnpike's; nothing has been changed: put a backup in its place, or move it away";
    case ERR_CONFIG:
        return "it was written by a newer version of Turnpike; nothing has been changed";
    default:
        return err_str(err);
    }
}

static int fail(struct sql *db, int err)
{
    snprintf(db->why, sizeof(db->why), "%.120s: %s", db->path, sentence(err));
    return err;
}

/* What SQLite said last. */
static int result(struct sql *db, int code)
{
    int err = err_of(code, sqlite3_system_errno(db->handle));

    return err ? fail(db, err) : 0;
}

const char *sql_why(const struct sql *db)
{
    return db->why;
}

/* ---- Statements. ---- */

static int bind(sqlite3_stmt *rows, int i, const struct sql_value *v)
{
    switch (v->kind) {
    case SQL_V_INT:
        return sqlite3_bind_int64(rows, i, v->n);
    case SQL_V_TEXT:
        return sqlite3_bind_text(rows, i, v->p, -1, SQLITE_STATIC);
    case SQL_V_BYTES:
        return sqlite3_bind_blob64(rows, i, v->p, v->len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

int sql_start(struct sql *db, sqlite3_stmt **rows, const char *text, const struct sql_value *values, size_t n)
{
    int code = sqlite3_prepare_v2(db->handle, text, -1, rows, NULL);

    for (size_t i = 0; i < n && code == SQLITE_OK; i++)
        code = bind(*rows, (int)i + 1, &values[i]);
    return result(db, code);
}

int sql_next(struct sql *db, sqlite3_stmt *rows)
{
    int code = sqlite3_step(rows);

    return code == SQLITE_ROW ? 1 : result(db, code);
}

void sql_end(sqlite3_stmt **rows)
{
    sqlite3_finalize(*rows); /* its error is that of the last step */
    *rows = NULL;
}

int sql_run(struct sql *db, int64_t *changed, const char *text, const struct sql_value *values, size_t n)
{
    sqlite3_stmt *rows;
    int err = sql_start(db, &rows, text, values, n);

    while (!err && (err = sql_next(db, rows)) == 1)
        err = 0; /* a pragma tells what it has set */
    sql_end(&rows);
    if (!err && changed)
        *changed = sqlite3_changes64(db->handle);
    return err;
}

int64_t sql_int(sqlite3_stmt *rows, int column)
{
    return sqlite3_column_int64(rows, column);
}

bool sql_text(sqlite3_stmt *rows, int column, char *out, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(rows, column);
    size_t len = (size_t)sqlite3_column_bytes(rows, column);

    if (!text || len >= cap || memchr(text, '\0', len))
        return false;
    memcpy(out, text, len + 1);
    return true;
}

bool sql_bytes(sqlite3_stmt *rows, int column, uint8_t *out, size_t len)
{
    const void *bytes = sqlite3_column_blob(rows, column);

    if (!bytes || (size_t)sqlite3_column_bytes(rows, column) != len)
        return false;
    memcpy(out, bytes, len);
    return true;
}

int sql_begin(struct sql *db, bool write)
{
    return sql_run(db, NULL, write ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0);
}

int sql_finish(struct sql *db, int err)
{
    char why[SQL_WHY_MAX];

    if (!err)
        err = sql_run(db, NULL, "COMMIT", NULL, 0);
    if (!err || sqlite3_get_autocommit(db->handle)) /* a full disk may have undone it already */
        return err;
    memcpy(why, db->why, sizeof(why));
    (void)sql_run(db, NULL, "ROLLBACK", NULL, 0); /* what it says is of less use than why it was needed */
    memcpy(db->why, why, sizeof(why));
    return err;
}

int sql_version(struct sql *db, int64_t *out)
{
    struct stat st;
    int err = db->version ? 0 : sql_start(db, &db->version, "PRAGMA data_version", NULL, 0);

    if (!err && (stat(db->path, &st) || st.st_dev != db->file.st_dev || st.st_ino != db->file.st_ino))
        err = fail(db, ERR_STALE);
    if (!err && (err = sql_next(db, db->version)) == 1) {
        *out = sql_int(db->version, 0);
        err = 0;
    }
    if (err)
        sql_end(&db->version);
    else
        sqlite3_reset(db->version);
    return err;
}

/* ---- Opening. ---- */

/* Before SQLite sees it, which would make it readable for all. What root makes belongs to whom the directory belongs to: turnpiked. */
static int create_file(const struct sql *db, const char *dir)
{
    struct stat st;
    int fd, err = 0;

    if (stat(dir, &st))
        return -errno;
    fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    if (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid))
        err = -errno;
    close(fd);
    return err;
}

/* As with the file: else root's turnpikectl would make one that turnpiked can't reach. */
static int make_dir(const char *dir)
{
    struct stat st;
    int fd, err = 0;

    if (mkdir(dir, 0700))
        return errno == EEXIST ? 0 : -errno;
    if (geteuid() != 0)
        return 0;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstatat(fd, "..", &st, 0) || fchown(fd, st.st_uid, st.st_gid))
        err = -errno;
    close(fd);
    return err;
}

/* The directory may be reached by a link, the file may not. */
static int find_file(struct sql *db, const char *dir, bool create)
{
    char *real;
    struct stat st;
    int err = create ? make_dir(dir) : 0;

    if (err)
        return err;
    real = realpath(dir, NULL);
    if (!real)
        return -errno;
    if ((size_t)snprintf(db->path, sizeof(db->path), "%s/turnpike.db", real) >= sizeof(db->path))
        err = ERR_NOSPC;
    else if (lstat(db->path, &st) == 0)
        err = S_ISREG(st.st_mode) ? 0 : ERR_MALFORMED;
    else
        err = errno == ENOENT && create ? create_file(db, real) : -errno;
    free(real);
    return err;
}

static int number(struct sql *db, const char *text, int64_t *out)
{
    sqlite3_stmt *rows;
    int err = sql_start(db, &rows, text, NULL, 0);

    if (!err && (err = sql_next(db, rows)) == 1) {
        *out = sql_int(rows, 0);
        err = 0;
    }
    sql_end(&rows);
    return err;
}

/* The version of the schema, 0 being an empty file, as it is made; an error: it is left as it is. Within a transaction: another may be making it. */
static int judge(struct sql *db)
{
    int64_t application = 0, schema = 0, tables = 0;
    int err = number(db, "PRAGMA application_id", &application);

    if (!err)
        err = number(db, "PRAGMA user_version", &schema);
    if (!err)
        err = number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err)
        return err;
    if (!application && !schema && !tables)
        return 0;
    if (application != APPLICATION || schema < 1)
        return fail(db, ERR_MALFORMED);
    return schema > SQL_SCHEMA ? fail(db, ERR_CONFIG) : (int)schema;
}

/* Two may come here at once: who is second finds it done. */
static int make_schema(struct sql *db)
{
    int err, schema;

    (void)sql_run(db, NULL, "PRAGMA journal_mode = WAL", NULL, 0); /* while another does it there is a lock: then it is done */
    err = sql_begin(db, true);
    if (err)
        return err;
    schema = judge(db);
    err = schema < 0 ? schema : 0;
    for (; schema < SQL_SCHEMA && !err; schema++)
        err = result(db, sqlite3_exec(db->handle, SCHEMA[schema], NULL, NULL, NULL));
    return sql_finish(db, err);
}

static int connect_file(struct sql *db, int patience_ms)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int code = sqlite3_open_v2(db->path, &db->handle, flags, NULL), err;

    if (!db->handle)
        return fail(db, ERR_NOMEM);
    err = result(db, code);
    if (!err)
        err = result(db, sqlite3_busy_timeout(db->handle, patience_ms));
    if (!err)
        err = result(db, sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL));
    if (!err)
        err = result(db, sqlite3_exec(db->handle, SETTINGS, NULL, NULL, NULL));
    return err;
}

int sql_open(struct sql **out, const char *dir, bool create, int patience_ms, char why[static SQL_WHY_MAX])
{
    struct sql *db = calloc(1, sizeof(*db));
    int err;

    *out = NULL;
    if (!db) {
        snprintf(why, SQL_WHY_MAX, "%s", err_str(ERR_NOMEM));
        return ERR_NOMEM;
    }
    snprintf(db->path, sizeof(db->path), "%s", dir);
    err = find_file(db, dir, create);
    if (!err && stat(db->path, &db->file))
        err = -errno;
    if (err)
        fail(db, err);
    else
        err = connect_file(db, patience_ms);
    if (!err)
        err = sql_begin(db, false);
    if (!err)
        err = sql_finish(db, judge(db));
    if (err >= 0 && err < SQL_SCHEMA)
        err = make_schema(db);
    if (err > 0)
        err = 0; /* the schema that is read here */
    if (err) {
        memcpy(why, db->why, sizeof(db->why));
        sql_close(&db);
    }
    *out = db;
    return err;
}

void sql_close(struct sql **db)
{
    if (!*db)
        return;
    sqlite3_finalize((*db)->version);
    sqlite3_close((*db)->handle);
    free(*db);
    *db = NULL;
}
