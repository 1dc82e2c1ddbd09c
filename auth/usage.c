#include "auth/usage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct auth_account {
    struct auth_account *next;
    _Atomic uint64_t used[AUTH_USED_N];
    atomic_bool closed;
    uint64_t collected[AUTH_USED_N]; /* of that */
    uint64_t max_bytes;
    const char *label, *token;
    char owner[]; /* label and token follow it */
};

struct usage {
    _Atomic(struct auth_account *) fresh;           /* opened since the last collection; the newest first */
    struct auth_account *accounts;                  /* the collector's */
    uint32_t (*held)(void *ctx, const char *owner); /* NULL: nobody counts */
    void *held_ctx;
    size_t n;
};

static const char *const NAMES[AUTH_USED_N] = {
    [AUTH_USED_BYTES_UP] = "bytes_up",         [AUTH_USED_BYTES_DOWN] = "bytes_down",   [AUTH_USED_PACKETS_UP] = "packets_up",
    [AUTH_USED_PACKETS_DOWN] = "packets_down", [AUTH_USED_ALLOCATIONS] = "allocations", [AUTH_USED_MS] = "ms"};

const char *usage_name(enum auth_usage which)
{
    return NAMES[which];
}

int usage_new(struct usage **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : ERR_NOMEM;
}

static void free_all(struct auth_account *a)
{
    for (struct auth_account *next; a; a = next) {
        next = a->next;
        free(a);
    }
}

void usage_free(struct usage **u)
{
    if (!*u)
        return;
    free_all(atomic_load(&(*u)->fresh));
    free_all((*u)->accounts);
    free(*u);
    *u = NULL;
}

/* ---- Workers. ---- */

int usage_open(struct auth_account **out, struct usage *u, const struct auth_answer *who)
{
    size_t owner_len = strlen(who->owner), label_len = strlen(who->label), name_len = who->is_token ? strlen(who->name) : 0;
    struct auth_account *a = calloc(1, sizeof(*a) + owner_len + 1 + label_len + 1 + name_len + 1);

    *out = a;
    if (!a)
        return ERR_NOMEM;
    memcpy(a->owner, who->owner, owner_len);
    a->label = memcpy(a->owner + owner_len + 1, who->label, label_len);
    if (who->is_token)
        a->token = memcpy(a->owner + owner_len + 1 + label_len + 1, who->name, name_len);
    a->max_bytes = who->limits.bytes;
    a->next = atomic_load_explicit(&u->fresh, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&u->fresh, &a->next, a, memory_order_release, memory_order_relaxed))
        ;
    return 0;
}

/* Nobody else writes them: no read-modify-write is needed. */
void usage_add(struct auth_account *account, const struct auth_used *more)
{
    for (int i = 0; i < AUTH_USED_N; i++)
        atomic_store_explicit(&account->used[i], atomic_load_explicit(&account->used[i], memory_order_relaxed) + more->n[i],
                              memory_order_relaxed);
}

void usage_close(struct auth_account **account)
{
    atomic_store_explicit(&(*account)->closed, true, memory_order_release);
    *account = NULL;
}

/* ---- The collector. ---- */

/* True: it is closed, and nothing is left in it. */
static bool collect(const struct usage *u, struct auth_account *a, usage_visit *visit, void *ctx)
{
    bool closed = atomic_load_explicit(&a->closed, memory_order_acquire); /* first: what came before it is in the counters */
    struct usage_who who = {.owner = a->owner, .label = a->label, .token = a->token, .max_bytes = a->max_bytes};
    struct auth_used more;
    bool any = false;

    for (int i = 0; i < AUTH_USED_N; i++) {
        more.n[i] = atomic_load_explicit(&a->used[i], memory_order_relaxed) - a->collected[i];
        any = any || more.n[i];
    }
    if (any && u->held)
        who.held = u->held(u->held_ctx, a->owner);
    if (any && visit(ctx, &who, &more))
        return false;
    for (int i = 0; i < AUTH_USED_N; i++)
        a->collected[i] += more.n[i];
    return closed;
}

static void take_fresh(struct usage *u)
{
    struct auth_account *a = atomic_exchange_explicit(&u->fresh, NULL, memory_order_acquire), *next;

    for (; a; a = next) {
        next = a->next;
        a->next = u->accounts;
        u->accounts = a;
        u->n++;
    }
}

void usage_collect(struct usage *u, usage_visit *visit, void *ctx)
{
    struct auth_account **at = &u->accounts, *a;

    take_fresh(u);
    while ((a = *at)) {
        if (collect(u, a, visit, ctx)) {
            *at = a->next;
            free(a);
            u->n--;
        } else {
            at = &a->next;
        }
    }
}

void usage_count(struct usage *u, uint32_t (*held)(void *ctx, const char *owner), void *ctx)
{
    u->held = held;
    u->held_ctx = ctx;
}

size_t usage_accounts(const struct usage *u)
{
    return u->n;
}
