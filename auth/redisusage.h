/*
 * Purpose:  keeps usage in Redis: what was used, once a second, atomically by owner, repeated until Redis has it, and counted once.
 * Owner:    the control thread, on its event base.
 * Lifetime: redisusage_new to redisusage_free, within the life of the `struct usage`.
 * Callers:  programs/; auth/redistokens reads what was kept.
 * RFC:      none.
 */
#ifndef AUTH_REDISUSAGE_H
#define AUTH_REDISUSAGE_H

#include "auth/auth.h"
#include "auth/redis.h"
#include "auth/redisurl.h"
#include "auth/usage.h"

/*
 * Keys; all of an owner have one hash tag, and so lie on one node of a Cluster:
 *   PREFIX usage:{OWNER}             hash: COUNTER:LABEL (usage_name has the counters, and peak is the largest), of all time; with a TTL from its
 *                                    last use on
 *   PREFIX usage:{OWNER}:YYYYMMDDHH  the same of an hour of UTC, and of a day without the HH; each with a TTL
 *   PREFIX usage:{OWNER}:token:ID    hash: COUNTER, of one token; with a TTL from its last use on
 *   PREFIX usage:{OWNER}:seq:BOOT    the last sequence of a node's process that has been counted; with a TTL
 *   PREFIX owners                    sorted set: owners by their last use; trimmed by every node, as is the index of tokens (auth/redistokens)
 * OWNER is written as rediskeys_owner does; the one without a name is that of bare expiries.
 *
 * Nothing is counted twice, whatever breaks: a flush is known by its sequence, in the same transaction as its sums, for a day.
 * What can be lost: what Redis itself loses (since its last save or fsync, or by a failover to a replica that had not copied it); what a
 * node that was killed had not flushed, a few seconds as a rule; and what a store that is away for so long that LEDGER_WAITING_MAX lines
 * wait does not hear of.
 */
#define REDISUSAGE_PEAK "peak:"
enum {
    REDISUSAGE_PERIOD_MS = 1000,   /* between two flushes of one owner */
    REDISUSAGE_DEADLINE_MS = 2000, /* of each command; what is not answered is sent again */
    REDISUSAGE_FLIGHTS =
        64, /* owners whose flushes are under way: other commands go on beside them; and in a row refused until the next round */
    REDISUSAGE_SEQUENCE_S = 86400, /* for so long a flush is told from its repetition */
    REDISUSAGE_FINISH_MS = 700,    /* for the last flush when the process ends, which has two seconds in all */
    REDISUSAGE_QUIET_MS = 5000,    /* a token that was revoked is not revoked again meanwhile: its calls' last bytes still come */
    REDISUSAGE_TRIM_MS = 3600000,  /* between two trims of the indexes, the first of which is at the start */
    REDISUSAGE_ENDINGS_MAX = 256,  /* tokens that are being revoked; others wait for their next flush */
};

struct redisusage;

struct redisusage_events {
    /* A token has used all that it may, and has been revoked. The texts are borrowed. */
    void (*exhausted)(void *ctx, const char *token, uint64_t used, uint64_t max_bytes);
    /* Once when flushes begin to fail, with the reason; with "" when all is well again. */
    void (*trouble)(void *ctx, const char *reason);
};

struct redisusage_config {
    struct event_base *base;
    const struct redis_target *target; /* copied */
    const char *prefix;                /* copied */
    struct usage *usage;
    struct redisusage_events events;
    void *ctx;
};

/* ERR_NOMEM, ERR_NOSPC (the prefix is too long). */
int redisusage_new(struct redisusage **out, const struct redisusage_config *config);
/* After the workers: collects and flushes the rest, waiting REDISUSAGE_FINISH_MS at most. False: not all of it has been kept. */
bool redisusage_finish(struct redisusage *u);
void redisusage_free(struct redisusage **u);

/* "PREFIX usage:{OWNER}", and ":" and `suffix` unless that is NULL. False: it does not fit. */
bool redisusage_key(char *out, size_t cap, const char *prefix, const char *owner, const char *suffix);
enum { REDISUSAGE_STAMP_MAX = 16 };
/* The suffix of an hour's or day's key. */
void redisusage_stamp(char out[static REDISUSAGE_STAMP_MAX], int64_t wall, bool hour);

#endif
