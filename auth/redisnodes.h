/*
 * Purpose:  the nodes of a fleet, for those who ask about them: list, and wish that one drains. Each call waits for its answer.
 * Owner:    one thread that may wait.
 * Lifetime: redisnodes_open to redisnodes_close.
 * Callers:  programs/turnpikectl.
 * RFC:      none.
 */
#ifndef AUTH_REDISNODES_H
#define AUTH_REDISNODES_H

#include "auth/fleet.h"
#include "auth/redisurl.h"

enum { REDISNODES_DEADLINE_MS = 5000 }; /* of each command, the time to connect included: somebody sits before it */

struct redisnodes;

/* `prefix` is borrowed. ERR_NOMEM. It connects with the first call. */
int redisnodes_open(struct redisnodes **out, const struct redis_target *target, const char *prefix);
void redisnodes_close(struct redisnodes **r);
/* Both below: 0, ERR_TIMEDOUT, ERR_NOTCONN, ERR_DENIED, ERR_MALFORMED, ERR_NOSPC, ERR_NOMEM. */
/* Those that live now, by id. */
int redisnodes_list(struct redisnodes *r, struct fleet_node nodes[static FLEET_NODES_MAX], size_t *n);
/* The wish, also for a node that does not live now; a living one heeds it within a second. ERR_INVAL: no id. */
int redisnodes_drain(struct redisnodes *r, const char *id, bool on);
/* Why the last call failed; never a secret. */
const char *redisnodes_why(const struct redisnodes *r);

#endif
