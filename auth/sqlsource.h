/*
 * Purpose:  the embedded store as a source of credentials: read into memory at the start, and what others change in it within a moment.
 * Owner:    the control thread, which alone touches the store; workers look up what is in memory.
 * Lifetime: sqlsource_add to auth_free; sqlsource_follow to sqlsource_stop within.
 * Callers:  programs/.
 * RFC:      none.
 */
#ifndef AUTH_SQLSOURCE_H
#define AUTH_SQLSOURCE_H

#include "auth/auth.h"
#include "auth/sql.h"
#include "auth/tokenstore.h"

enum {
    SQLSOURCE_LOOK_MS =
        20, /* between two looks at whether something has changed, microseconds each: nobody waits for a new credential */
    SQLSOURCE_CATCH_UP_S =
        1, /* that the store's thread waits for a look: the control thread is late, and the next that ask wait as well */
    SQLSOURCE_RETRY_MS = 1000,  /* after one that has failed: everything may have to be read again */
    SQLSOURCE_SWEEP_MS = 60000, /* between two times that what has expired is deleted; what is left over follows a second later */
    SQLSOURCE_SWEEP_ON_MS = 1000,
};

struct sqlsource;

struct sqlsource_config {
    const char *dir; /* copied */
    char separator;
};
/* Reads the store, if there is one; if there is none, it is read when somebody has made it. Limits of owners are `a`'s from then on. As sql_open, with a sentence in `why`. */
int sqlsource_add(struct sqlsource **out, struct auth *a, const struct sqlsource_config *config, char why[static SQL_WHY_MAX]);

/* Both on this thread, from the event base. `revoked`: for each credential that has been revoked or removed, and is refused already.
 * `health`: `why` the store cannot be read, or NULL when it can be again; what is known serves meanwhile. */
struct sqlsource_events {
    void (*revoked)(void *ctx, const struct auth_revocation *revocation);
    void (*health)(void *ctx, const char *why);
    void (*peers)(void *ctx, const struct tokenstore_peers *peers); /* the stored rules have changed; borrowed. NULL: nobody asks */
    void (*unread)(void *ctx, const char *why);                     /* they are none of ours: those before stay. Static. Likewise */
    void *ctx;
};
/* ERR_NOMEM. */
int sqlsource_follow(struct sqlsource *s, struct event_base *base, const struct sqlsource_events *events);
/* NULL-safe. */
void sqlsource_stop(struct sqlsource *s);

/* Any thread but that of the event base: what has been committed serves when this returns, or SQLSOURCE_CATCH_UP_S have passed. */
void sqlsource_catch_up(struct sqlsource *s);

/* The stored rules for peers, as they were read last; borrowed until they change. */
const struct tokenstore_peers *sqlsource_peers(const struct sqlsource *s);
/* Where the store lies, or will; borrowed. */
const char *sqlsource_dir(const struct sqlsource *s);
/* Credentials and revocations in memory. */
size_t sqlsource_count(const struct sqlsource *s);

#endif
