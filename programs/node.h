/*
 * Purpose:  this process as a node of a fleet: what it tells of itself, and what it logs of the others.
 * Owner:    the control thread.
 * Lifetime: node_new to node_free; started and stopped with the relay.
 * Callers:  programs/credentials.c.
 * RFC:      none.
 */
#ifndef PROGRAMS_NODE_H
#define PROGRAMS_NODE_H

#include <jansson.h>

#include "auth/redisfleet.h"
#include "programs/config.h"
#include "relay/relay.h"

struct node;

/* Before the workers start: the fleet of `a`. Errors as redisfleet_add. */
int node_new(struct node **out, struct auth *a, const struct config *c, const struct redis_target *redis);
/* NULL-safe; nulls the pointer. After the workers have ended. */
void node_free(struct node **n);
/* For the workers' connections; NULL-safe. */
struct redisshares *node_shares(const struct node *n);
/* `relay` is borrowed until node_stop. ERR_NOMEM. */
int node_start(struct node *n, struct event_base *base, struct relay *relay);
/* Whom to tell, as credentials_tell. */
void node_tell(struct node *n, void (*tell)(void *ctx, const char *type, json_t *data), void *ctx);
/* Others of the fleet that live; NULL-safe. */
size_t node_others(const struct node *n);
/* Somebody wants a node to drain, or not any more: it may be this one. */
void node_look(struct node *n);
/* After the workers have ended: says goodbye. NULL-safe. */
void node_stop(struct node *n);

#endif
