/*
 * Purpose:  tokens and users in the embedded store; every change leaves a word of it for who reads behind (auth/sqlsource).
 * Owner:    one thread that may wait.
 * Lifetime: sqltokens_open to tokenstore_close; the store does not move meanwhile. Reading a row: as its connection.
 * Callers:  programs/turnpikectl; auth/sqlsource reads rows, auth/sqlusage revokes.
 * RFC:      none.
 */
#ifndef AUTH_SQLTOKENS_H
#define AUTH_SQLTOKENS_H

#include "auth/sql.h"
#include "auth/tokenstore.h"

enum {
    SQLTOKENS_CHANGE_S = 3600, /* so long a change stays for who reads behind; who has missed one reads everything again */
    SQLTOKENS_SWEEP = 1000,    /* rows that are deleted at once: some ten milliseconds */
};

/* What a row of `change` is about: it names a credential, a user part, nothing, or an owner. */
enum sqltokens_change { SQLTOKENS_CREDENTIAL, SQLTOKENS_MARK, SQLTOKENS_PEERS, SQLTOKENS_QUOTA };

/* `dir` is copied. ERR_NOMEM. The file is opened with the first call, and made by the first that has something to keep. */
int sqltokens_open(struct tokenstore *out, const char *dir);

/* What is selected FROM credential, for sqltokens_read. */
#define SQLTOKENS_COLUMNS                                                                                                          \
    "name, owner, label, tenant, realm, peers, scope, md5, sha256, issued_at, not_before, ends, revoked_at, max_allocations, "     \
    "max_bps, max_bytes"
enum { SQLTOKENS_COLUMNS_N = 16 };
/* ERR_MALFORMED: no token, which is wiped. */
int sqltokens_read(struct sqlite3_stmt *row, struct token *out);

/* For who reads behind, in the transaction of the change. Errors as sql_run. */
int sqltokens_note(struct sql *db, enum sqltokens_change about, const char *what, int64_t now);
/* Revokes a credential that has relayed all that it may. `*used`: how much that was; 0: it may go on, or was revoked before. Within a transaction
 * of the caller's. Errors as sql_run. */
int sqltokens_exhaust(struct sql *db, const char *name, int64_t now, uint64_t *used);

/* Deletes what nobody needs any more, SQLTOKENS_SWEEP of each kind at most. `*more`: there may be others. Errors as sql_run. */
int sqltokens_sweep(struct sql *db, int64_t now, bool *more);

#endif
