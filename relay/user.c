#include "relay/user.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "relay/alloc.h"

static struct user *of_node(struct map_node *n)
{
    return (struct user *)(void *)n; /* the node is the first member */
}

static int find_or_new(struct user **out, struct shard *s, const struct auth_answer *who)
{
    size_t len = strlen(who->name), owner_len = strlen(who->owner);
    uint64_t hash = map_hash(&s->users, who->name, len);
    struct user *u;

    *out = NULL;
    for (struct map_node *n = map_first(&s->users, hash); n; n = map_next(n)) {
        u = of_node(n);
        if (strcmp(u->name, who->name) == 0 && strcmp(u->owner, who->owner) == 0) {
            *out = u;
            return 0;
        }
    }
    u = calloc(1, sizeof(*u) + len + 1 + owner_len + 1);
    if (!u || auth_account_open(&u->account, s->auth, who)) {
        free(u);
        return ERR_NOMEM;
    }
    memcpy(u->name, who->name, len);
    memcpy(u->name + len + 1, who->owner, owner_len);
    u->name_len = (uint32_t)len;
    u->owner = u->name + len + 1;
    map_insert(&s->users, &u->by_name, hash);
    *out = u;
    return 0;
}

/* Read once, for all allocations of the credential. */
static int take_peers(struct user *u, const char *peers)
{
    struct policy *own = NULL;
    int err;

    if (!u->peers && !peers[0])
        return 0;
    if (u->peers && policy_is(u->peers, peers))
        return 0;
    err = peers[0] ? policy_own(&own, peers, NULL) : 0;
    if (err)
        return err;
    policy_unref(&u->peers);
    u->peers = own;
    return 0;
}

int user_take(struct user **out, struct shard *s, const struct auth_answer *who)
{
    int err = find_or_new(out, s, who);

    if (!err)
        err = take_peers(*out, who->peers);
    if (err)
        user_drop(s, out);
    return err;
}

void user_drop(struct shard *s, struct user **u)
{
    if (*u && !(*u)->allocs) {
        map_remove(&s->users, &(*u)->by_name);
        auth_account_close(&(*u)->account);
        policy_unref(&(*u)->peers);
        free(*u);
    }
    *u = NULL;
}

struct visit {
    void (*visit)(void *visitor, const char *name);
    void *visitor;
};

static void visit_name(struct map_node *n, void *ctx)
{
    const struct visit *v = ctx;

    v->visit(v->visitor, of_node(n)->name);
}

void user_each(struct shard *s, void (*visit)(void *visitor, const char *name), void *visitor)
{
    map_each(&s->users, visit_name, &(struct visit){visit, visitor});
}

bool user_allocs(struct shard *s, const char *name, struct alloc **out, size_t most, size_t *n)
{
    struct map_node *node = map_first(&s->users, map_hash(&s->users, name, strlen(name)));

    *n = 0;
    for (; node; node = map_next(node)) {
        if (strcmp(of_node(node)->name, name) != 0)
            continue;
        for (struct alloc *a = of_node(node)->allocs; a; a = a->next_of_user) {
            if (*n == most)
                return false;
            out[(*n)++] = a;
        }
    }
    return true;
}

static void end_all(struct shard *s, struct user *u)
{
    struct alloc *a = u->allocs, *next;

    for (; a; a = next) { /* the last one takes the user with it */
        next = a->next_of_user;
        count(s->counters, COUNT_ALLOCATIONS_REVOKED);
        alloc_free(s, &a, "credential revoked");
    }
}

struct search {
    struct shard *shard;
    const struct auth_revocation *revocation;
};

static void end_if_revoked(struct map_node *n, void *ctx)
{
    const struct search *search = ctx;

    if (auth_revokes(search->shard->auth, search->revocation, of_node(n)->name))
        end_all(search->shard, of_node(n));
}

void user_revoke(struct shard *s, const struct auth_revocation *revocation)
{
    struct map_node *n, *next;

    if (revocation->expires_before) { /* many names, which only a look at each tells */
        map_each(&s->users, end_if_revoked, &(struct search){s, revocation});
        return;
    }
    n = map_first(&s->users, map_hash(&s->users, revocation->name, strlen(revocation->name)));
    for (; n; n = next) {
        next = map_next(n);
        if (strcmp(of_node(n)->name, revocation->name) == 0)
            end_all(s, of_node(n));
    }
}
