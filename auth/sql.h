/*
 * Purpose:  the embedded store's file, DIR/turnpike.db: opened, judged, its schema made; statements whose values are bound, never written into them.
 * Owner:    one thread that may wait for the disk; never a worker. Several processes may have the file open at once.
 * Lifetime: sql_open to sql_close; rows end before their connection does.
 * Callers:  auth/sql*.
 * RFC:      none.
 */
#ifndef AUTH_SQL_H
#define AUTH_SQL_H

/*
 * SQLite rather than a file of our own: a transaction is on the disk or has never been, also when the process is killed or the disk is full in the middle;
 * turnpikectl writes while turnpiked reads, without a daemon between; and it is well kept by others.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SQL_WHY_MAX = 256,    /* bytes of a reason */
    SQL_PATH_MAX = 4096,  /* bytes of the file's name */
    SQL_SCHEMA = 3,       /* the version that is written and read here; an older one is made this one when it is opened */
    SQL_PATIENCE_MS = 50, /* for another's lock: who reads waits for nobody (WAL), so this is for rare moments of another's end */
    SQL_SITTING_MS = 5000 /* the same where somebody sits before it, and another may be writing */
};

struct sql;
struct sqlite3_stmt;

/*
 * `dir` and the file are made, mode 0700 and 0600, if `create` says so; as root they get the owner of what they lie in. ERR_NOENT: there is
 * no such file; ERR_ACCES; ERR_MALFORMED (damaged, or another program's); ERR_CONFIG (of a newer version); ERR_AGAIN (another holds it for
 * longer than `patience_ms`); ERR_NOSPC; ERR_NOMEM; ERR_IO. Then `why` is a sentence, and nothing has been changed.
 */
int sql_open(struct sql **out, const char *dir, bool create, int patience_ms, char why[static SQL_WHY_MAX]);
void sql_close(struct sql **db);
/* Why the last call below failed, in a sentence. */
const char *sql_why(const struct sql *db);
/* Changes with each transaction of another connection, and costs no more than a look into shared memory. Errors as above; ERR_STALE:
 * the file that is open is not the one of this name any more. */
int sql_version(struct sql *db, int64_t *out);

/* A value for a `?`; borrowed until the statement has ended. */
struct sql_value {
    enum { SQL_V_INT, SQL_V_TEXT, SQL_V_BYTES } kind;
    int64_t n;
    const void *p;
    size_t len;
};
#define SQL_INT(v)         ((struct sql_value){.kind = SQL_V_INT, .n = (int64_t)(v)})
#define SQL_TEXT(v)        ((struct sql_value){.kind = SQL_V_TEXT, .p = (v)})
#define SQL_BYTES(v, size) ((struct sql_value){.kind = SQL_V_BYTES, .p = (v), .len = (size)})
#define SQL_VALUES(...)                                                                                                            \
    ((const struct sql_value[]){__VA_ARGS__}), sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)

/* A statement that brings no rows; `text` is a constant. Sets how many rows it has changed, unless `changed` is NULL. ERR_EXIST: what is
 * to be unique is there already. */
int sql_run(struct sql *db, int64_t *changed, const char *text, const struct sql_value *values, size_t n);
/* One that does: sql_next says 1 for each row and 0 at the end. `*rows` is set whatever happens, and sql_end takes it. */
int sql_start(struct sql *db, struct sqlite3_stmt **rows, const char *text, const struct sql_value *values, size_t n);
int sql_next(struct sql *db, struct sqlite3_stmt *rows);
void sql_end(struct sqlite3_stmt **rows);
/* Columns of the row, from 0. False: it is nothing of the kind, does not fit, or holds a NUL. */
int64_t sql_int(struct sqlite3_stmt *rows, int column);
bool sql_text(struct sqlite3_stmt *rows, int column, char *out, size_t cap);
bool sql_bytes(struct sqlite3_stmt *rows, int column, uint8_t *out, size_t len);

/* A transaction that will write, or only read; sql_finish ends it, undone if `err` is not 0, and returns `err` or its own. */
int sql_begin(struct sql *db, bool write);
int sql_finish(struct sql *db, int err);

#endif
