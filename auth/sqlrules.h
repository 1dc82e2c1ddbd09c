/*
 * Purpose:  rules for peers and limits of owners in the embedded store: read, and written with the word of it for who reads behind.
 * Owner:    one thread that may wait for the disk.
 * Lifetime: as the connection's.
 * Callers:  auth/sqltokens; auth/sqlsource reads.
 * RFC:      none.
 */
#ifndef AUTH_SQLRULES_H
#define AUTH_SQLRULES_H

#include "auth/sql.h"
#include "auth/tokenstore.h"

enum sqlrules_action { SQLRULES_ALLOW, SQLRULES_DENY };

/* All of these: errors as sql_run. What is written is within a transaction of the caller's, who undoes it when this fails. */
/* ERR_MALFORMED: not texts of ours. */
int sqlrules_peers(struct sql *db, struct tokenstore_peers *out);
int sqlrules_put_peers(struct sql *db, const struct tokenstore_peers *peers, int64_t now);
/* 0 where there is none. */
int sqlrules_quota(struct sql *db, const char *owner, struct auth_limits *out);
/* ERR_NOSPC with `*full`: as many as may be. */
int sqlrules_put_quota(struct sql *db, const char *owner, const struct auth_limits *limits, int64_t now, bool *full);
/* All of them; an error of `visit` ends it, and is returned. */
int sqlrules_quotas(struct sql *db, int (*visit)(void *ctx, const char *owner, const struct auth_limits *limits), void *ctx);

#endif
