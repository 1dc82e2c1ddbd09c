/*
 * Purpose:  asks the sentinels where the master is, and listens to one of them for a switch.
 * Owner:    the thread of its event base.
 * Lifetime: redissentinel_new to redissentinel_free; what the configuration points to is borrowed for as long.
 * Callers:  auth/redisnode.
 * RFC:      none (Redis Sentinel's guidelines for clients).
 */
#ifndef AUTH_REDISSENTINEL_H
#define AUTH_REDISSENTINEL_H

#include "auth/redisconn.h"
#include "auth/redisurl.h"

struct redissentinel;

struct redissentinel_events {
    void (*master)(void *ctx, const struct redis_host *host); /* an answer, or news of a switch; the same one again, too */
    void (*failed)(void *ctx, const char *reason);            /* none of them could say; they are asked again */
};

/* `how`: base, dns, tls and target; asks at once. ERR_NOMEM. */
int redissentinel_new(struct redissentinel **out, const struct redisconn_config *how, const struct redissentinel_events *events,
                      void *ctx);
void redissentinel_free(struct redissentinel **s); /* NULL-safe */
/* The master that was named does not serve: ask the next sentinel, unless one is being asked. */
void redissentinel_ask(struct redissentinel *s);

struct redisReply;
/* The answer to SENTINEL get-master-addr-by-name. ERR_NOENT: it knows no such master; ERR_MALFORMED. */
int redissentinel_answer(struct redis_host *out, const struct redisReply *reply);
/* A message of +switch-master. ERR_NOENT: another master's. */
int redissentinel_switch(struct redis_host *out, const struct redisReply *message, const char *master);

#endif
