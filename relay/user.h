/*
 * Purpose:  the users who have allocations on this worker: each name is kept once, and what is revoked is found without a search.
 * Owner:    one worker thread.
 * Lifetime: user_take to the user_drop of the last holder.
 * Callers:  relay/alloc; relay/turn revokes; relay/query looks.
 * RFC:      none.
 */
#ifndef RELAY_USER_H
#define RELAY_USER_H

#include "relay/shard.h"

struct alloc;

struct user {
    struct map_node by_name;
    struct alloc *allocs;         /* the first of them; they are linked by alloc.next_of_user */
    const char *owner;            /* who pays for them: quotas and usage */
    struct auth_account *account; /* what they use; NULL: nobody keeps it */
    struct policy *peers; /* the credential's own, as of its last Allocate; NULL: none. Each allocation keeps its own reference */
    uint32_t name_len;
    char name[]; /* of the credential (C33); the owner's follows it */
};

/* The user behind an answer, new when there is none yet. ERR_NOMEM. ERR_CONFIG: the credential's peers can't be read. Then `*out` is NULL. */
int user_take(struct user **out, struct shard *s, const struct auth_answer *who);
/* After an allocation has gone: frees a user who has none, and nulls the pointer. */
void user_drop(struct shard *s, struct user **u);
/* Calls `visit` with each name; it must not end an allocation. */
void user_each(struct shard *s, void (*visit)(void *visitor, const char *name), void *visitor);
/* The allocations of this name, of all owners. False: there are more than `most`. */
bool user_allocs(struct shard *s, const char *name, struct alloc **out, size_t most, size_t *n);
/* Ends every allocation of what has been revoked. */
void user_revoke(struct shard *s, const struct auth_revocation *revocation);

#endif
