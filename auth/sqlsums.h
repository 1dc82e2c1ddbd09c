/*
 * Purpose:  sums of usage in the embedded store: added to, read, and deleted when they are old.
 * Owner:    one thread that may wait for the disk.
 * Lifetime: as the connection's.
 * Callers:  auth/sqlusage adds; auth/sqltokens reads.
 * RFC:      none.
 */
#ifndef AUTH_SQLSUMS_H
#define AUTH_SQLSUMS_H

#include "auth/ledger.h"
#include "auth/sql.h"
#include "auth/tokenstore.h"

enum { SQLSUMS_SWEEP = 1000 }; /* rows that are deleted at once: some ten milliseconds */

/* All of these: errors as sql_run. */
/* Within a transaction of the caller's, who undoes it when this fails. */
int sqlsums_add(struct sql *db, const struct ledger_flush *f);
/* As `usage` of struct tokenstore_ops. */
int sqlsums_read(struct sql *db, const struct tokenstore_period *period, bool (*visit)(void *ctx, const struct tokenstore_usage *u),
                 void *ctx);
/* As `owners` of struct tokenstore_ops. */
int sqlsums_owners(struct sql *db, bool (*visit)(void *ctx, const char *owner), void *ctx);
/* What one credential has used in all; nothing, if nobody knows it. */
int sqlsums_used(struct sql *db, const char *name, struct auth_used *out);
/* Whoever has this name begins anew. */
int sqlsums_forget(struct sql *db, const char *name);
/* Deletes what is older than it is kept, SQLSUMS_SWEEP rows of each kind at most. `*more`: there may be others. */
int sqlsums_sweep(struct sql *db, int64_t now, bool *more);

#endif
