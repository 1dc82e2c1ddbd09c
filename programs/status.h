/*
 * Purpose:  the wiring of coturn's status events: what the workers tell of allocations goes to the Redis that redis-statsdb names.
 * Owner:    the control thread.
 * Lifetime: status_start to status_free, within the life of the relay.
 * Callers:  programs/credentials.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_STATUS_H
#define PROGRAMS_STATUS_H

#include "auth/redisurl.h"
#include "relay/relay.h"

struct status;
struct event_base;

/* The relay has been made with `feed`, which its owner reads. `target` and `realm` are copied. ERR_NOMEM, ERR_NOSPC. */
int status_start(struct status **out, struct event_base *base, const struct redis_target *target, const char *realm,
                 struct relay *relay);
/* What has been read there. NULL-safe. */
void status_news(struct status *s, const struct feed_news *news);
/* After the workers: tells the rest, what has ended with them above all, for 0.3 s at most. Then only status_free is left to be called. */
void status_finish(struct status *s);
/* NULL-safe; nulls the pointer. */
void status_free(struct status **s);

#endif
