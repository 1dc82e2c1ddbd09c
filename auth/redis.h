/*
 * Purpose:  a client of Redis that never blocks: one server, a master behind Sentinel, or a Cluster; each command has a deadline.
 * Owner:    the thread of its event base.
 * Lifetime: redis_new to redis_free, within the base's life.
 * Callers:  auth/ (sources of credentials, revocation, usage), programs/.
 * RFC:      none (RESP 2).
 */
#ifndef AUTH_REDIS_H
#define AUTH_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/redisconn.h"
#include "auth/redisurl.h"

struct event_base;
struct redis;
struct redis_call;
struct redisReply;

enum {
    REDIS_PENDING_MAX = 4096,  /* commands that wait or whose answer is owed, also of those who have stopped waiting */
    REDIS_MOVES_MAX = 5,       /* MOVED and ASK that one command follows; then the caller gets the error */
    REDIS_RETRY_MS = 100,      /* before a command that the server could not serve now is sent again */
    REDIS_BACKOFF_MIN_MS = 50, /* before the first reconnect; doubled with each failure, half of it jitter */
    REDIS_REFRESH_MS =
        1000, /* between two looks at a Cluster's slots, at least; sooner for who also connects sooner (backoff_max_ms) */
    REDIS_NODES_MAX = 64, /* masters of a Cluster, and those asked for the slots */
};

struct redis_arg {
    const void *data;
    size_t len;
};

struct redis_health {
    bool ready;                    /* connected and logged in; of a Cluster: to the master of every slot */
    char reason[REDIS_REASON_MAX]; /* why not; "" when ready. Never holds a password */
    uint64_t since_ms;             /* boot clock: since when `ready` is so */
    uint64_t commands;             /* accepted by redis_command */
    uint64_t timeouts;             /* ended by their deadline */
    uint64_t reconnects;           /* connections that were lost or could not be made */
    uint64_t refused;              /* refused because REDIS_PENDING_MAX was reached */
    uint64_t broken;               /* connections closed because of what the server sent: no protocol, too large */
    size_t pending;
};

/*
 * 0 and the reply, borrowed for the call (an error of Redis is a reply of type REDIS_REPLY_ERROR); or NULL with
 *   ERR_TIMEDOUT  the deadline has passed; the command may have been carried out, or may still be
 *   ERR_NOTCONN   the connection was lost before the answer; the command may have been carried out
 *   ERR_NOSPC     too many are pending; it was not sent
 *   ERR_NOMEM     it was not sent
 * Exactly once, never from within redis_command. It may call anything below, redis_free too.
 */
typedef void redis_cb(void *ctx, int err, const struct redisReply *reply);
/* After each change of `ready` or `reason`, from the loop; it may call anything below. */
typedef void redis_health_cb(void *ctx, const struct redis_health *h);

/* Starts to connect; what goes wrong there is told by the health. `target` is copied; a timeout of 0 is the default. `cb` may be NULL.
 * The process ignores SIGPIPE. ERR_NOMEM, ERR_INVAL (no host). */
int redis_new(struct redis **out, struct event_base *base, const struct redis_target *target, redis_health_cb *cb, void *ctx);
/* Silent: no callback of a pending command comes any more, and their `struct redis_call` are gone. NULL-safe. */
void redis_free(struct redis **r);
/*
 * Sends a command, at once or when there is a connection, within `deadline_ms` (from now; the time to connect counts). A command is
 * sent in the order of the calls, and never twice: one that was written and not answered before the connection was lost ends with
 * ERR_NOTCONN. Only what the server says it has not carried out (MOVED, ASK, TRYAGAIN, READONLY, LOADING, MASTERDOWN, CLUSTERDOWN)
 * is sent again, within the deadline.
 * `key`, of key_len bytes, chooses a Cluster's node (with its hash tag, if any); NULL: any of them. A command may block on the server for less
 * than silence_timeout_ms; others wait behind it. `*call` (may be NULL) is for redis_cancel; it is gone when the callback runs.
 * ERR_INVAL (no argument, too many, or too long), ERR_NOMEM: there will be no callback.
 */
int redis_command(struct redis *r, const void *key, size_t key_len, const struct redis_arg *argv, size_t argc, unsigned deadline_ms,
                  redis_cb *cb, void *ctx, struct redis_call **call);
/* Silence for ever; NULL-safe; nulls. What was sent may still be carried out. */
void redis_cancel(struct redis_call **call);
const struct redis_health *redis_health(const struct redis *r);

#endif
