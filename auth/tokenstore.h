/*
 * Purpose:  where tokens are kept, for those who make and end them: issue, show, list, revoke, usage. Redis and the embedded store are behind it.
 * Owner:    one thread, which may wait in each call; never a worker.
 * Lifetime: from the store's open function to tokenstore_close.
 * Callers:  programs/turnpikectl, programs/turnpiked.
 * RFC:      none.
 */
#ifndef AUTH_TOKENSTORE_H
#define AUTH_TOKENSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "auth/token.h"

enum {
    TOKENSTORE_PAGE = 500,      /* tokens of one list */
    TOKENSTORE_KEEP_S = 86400,  /* an expired token stays for a day, so that it can be told from one that never was */
    TOKENSTORE_MARK_S = 604800, /* a revocation without an end of its own: no allocation lives for a week without a look-up */
    TOKENSTORE_USER_MARK_S =
        3600,                 /* that of a user who was removed: another may have the name in coturn's tables, or be given it */
    TOKENSTORE_WHY_MAX = 256, /* bytes of a reason */
    TOKENSTORE_HOUR_S = 3600,
    TOKENSTORE_DAY_S = 86400,        /* days of UTC */
    TOKENSTORE_HOURS_S = 35 * 86400, /* for how long usage is kept by the hour: last month's can be looked at, */
    TOKENSTORE_DAYS_S =
        400 *
        86400, /* and by the day: last year's. As long a token's own, an owner's in all and he in the list, after the last use */
    TOKENSTORE_PEERS_MAX = 16383,  /* bytes of all stored rules of one sort, with what is between */
    TOKENSTORE_QUOTAS_MAX = 10000, /* owners with limits: every node keeps them all in mind */
    TOKENSTORE_LABELS_MAX = 1000,  /* of one owner: what comes beyond counts under no label */
};

/* What one owner has used under one label. Borrowed for the call. */
struct tokenstore_usage {
    const char *owner, *label;
    int64_t from; /* wall clock: when the hour or day begins; 0: in all */
    struct auth_used used;
    uint64_t peak; /* the most allocations that the owner held at the same time on one node, whatever their label; 0: not known */
};
enum tokenstore_span { TOKENSTORE_ALL, TOKENSTORE_HOUR, TOKENSTORE_DAY };
struct tokenstore_period {
    const char *owner;
    enum tokenstore_span span;
    int64_t since, until; /* wall clock, with a span: what begins in between, and what `since` lies in */
};

/* Rules for peers beside the configuration's: entries as of allowed-peer-ip and denied-peer-ip, between blanks. */
struct tokenstore_peers {
    char allow[TOKENSTORE_PEERS_MAX + 1], deny[TOKENSTORE_PEERS_MAX + 1];
};

/* Why there can't be another owner with limits. */
extern const char TOKENSTORE_QUOTAS_FULL[];

struct tokenstore_ops;
struct tokenstore {
    const struct tokenstore_ops *ops; /* NULL: not open */
    void *self;
    char why[TOKENSTORE_WHY_MAX]; /* why the last call failed, in a sentence; never a secret */
};

/* The calls below, for a store to implement: each sets s->why when it fails. */
struct tokenstore_ops {
    int (*issue)(struct tokenstore *s, const struct token *t);
    int (*get)(struct tokenstore *s, const char *id, struct token *out);
    int (*list)(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                size_t *bad);
    int (*revoke)(struct tokenstore *s, const char *id, int64_t now);
    int (*revoke_user)(struct tokenstore *s, const char *user, int64_t before, int64_t now);
    /* These three NULL: it keeps no usage. */
    int (*usage)(struct tokenstore *s, const struct tokenstore_period *period,
                 bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx);
    int (*used)(struct tokenstore *s, const struct token *t, struct auth_used *out);
    int (*owners)(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx);
    int (*add_user)(struct tokenstore *s, const struct token *t);
    int (*put_user)(struct tokenstore *s, const struct token *t, int64_t now);
    int (*get_user)(struct tokenstore *s, const char *name, struct token *out);
    int (*list_users)(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                      size_t *bad);
    int (*remove_user)(struct tokenstore *s, const char *name, int64_t now);
    int (*get_peers)(struct tokenstore *s, struct tokenstore_peers *out);
    int (*put_peers)(struct tokenstore *s, const struct tokenstore_peers *peers, int64_t now);
    int (*get_quota)(struct tokenstore *s, const char *owner, struct auth_limits *out);
    int (*put_quota)(struct tokenstore *s, const char *owner, const struct auth_limits *limits, int64_t now);
    void (*close)(struct tokenstore *s);
};

/*
 * All of these: 0; ERR_TIMEDOUT, ERR_NOTCONN, ERR_IO (the store can't be reached), ERR_DENIED (it refuses), ERR_MALFORMED (what it holds is
 * no token), ERR_NOMEM; the embedded store's also those of sql_open.
 */
/* Keeps a token that token_issue has made. */
int tokenstore_issue(struct tokenstore *s, const struct token *t);
/* ERR_NOENT: there is no such token, or not any more. */
int tokenstore_get(struct tokenstore *s, const char *id, struct token *out);
/* By expiry, from the `offset`th on, TOKENSTORE_PAGE at most. `visit` returns false to end it. Records that are no tokens are passed over
 * and counted in `*bad`. */
int tokenstore_list(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t), void *ctx,
                    size_t *bad);
/* From now on it is refused, and its allocations end on every node. ERR_NOENT. Revoking twice is fine. */
int tokenstore_revoke(struct tokenstore *s, const char *id, int64_t now);
/* Every time-limited name of this user part that expires before `before`; an earlier revocation that reaches further stays. */
int tokenstore_revoke_user(struct tokenstore *s, const char *user, int64_t before, int64_t now);
/* What an owner has used, by time; labels in no order. `visit` returns false to end it. */
int tokenstore_usage(struct tokenstore *s, const struct tokenstore_period *period,
                     bool (*visit)(void *ctx, const struct tokenstore_usage *u), void *ctx);
/* Those of whom there is usage, each once, in no order. `visit` returns false to end it. */
int tokenstore_owners(struct tokenstore *s, int64_t now, bool (*visit)(void *ctx, const char *owner), void *ctx);
/* What one token has used in all. */
int tokenstore_used(struct tokenstore *s, const struct token *t, struct auth_used *out);

/* Users with a password of their own, who live until they are removed: tokens whose id was chosen (prepared, as their password was).
 * ERR_EXIST: there is one of that name already, be it a token. */
int tokenstore_add_user(struct tokenstore *s, const struct token *t);
/* In place of the one of this name: ERR_NOENT if there is none. What he has used stays. Allocations that began with other keys end; other
 * limits hold from the next answer on. */
int tokenstore_put_user(struct tokenstore *s, const struct token *t, int64_t now);
/* ERR_NOENT. */
int tokenstore_get_user(struct tokenstore *s, const char *name, struct token *out);
int tokenstore_list_users(struct tokenstore *s, int64_t now, size_t offset, bool (*visit)(void *ctx, const struct token *t),
                          void *ctx, size_t *bad);
/* As tokenstore_revoke, but the name may be given again. */
int tokenstore_remove_user(struct tokenstore *s, const char *name, int64_t now);

/* The stored rules, which every node heeds within a second; at first there are none. */
int tokenstore_get_peers(struct tokenstore *s, struct tokenstore_peers *out);
int tokenstore_put_peers(struct tokenstore *s, const struct tokenstore_peers *peers, int64_t now);
/* An owner's own limits of allocations and bits a second, whichever credentials he has; 0: none. ERR_NOSPC: as many owners as may have some. */
int tokenstore_get_quota(struct tokenstore *s, const char *owner, struct auth_limits *out);
int tokenstore_put_quota(struct tokenstore *s, const char *owner, const struct auth_limits *limits, int64_t now);

void tokenstore_close(struct tokenstore *s);

#endif
