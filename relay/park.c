#include "relay/park.h"

#include <stdlib.h>
#include <string.h>

/* The queue of one 5-tuple; in the shard's table while it isn't empty. */
struct queue {
    struct map_node node;
    struct parked *head;
    unsigned n;
};

static struct queue *queue_of(struct map_node *n)
{
    return (struct queue *)(void *)((char *)n - offsetof(struct queue, node));
}

static struct queue *find(const struct shard *s, const struct path *from)
{
    struct map_node *n = map_first(&s->parked, map_hash(&s->parked, from, PATH_KEY_LEN));

    for (; n; n = map_next(n))
        if (memcmp(&queue_of(n)->head->path, from, PATH_KEY_LEN) == 0)
            return queue_of(n);
    return NULL;
}

struct parked *park_spare(struct shard *s)
{
    if (!s->spare)
        s->spare = calloc(1, sizeof(*s->spare));
    return s->spare;
}

struct parked *park_behind(struct shard *s, const struct path *from, const uint8_t *buf, size_t len)
{
    struct parked *p = len <= REQUEST_MAX ? park_spare(s) : NULL;
    struct queue *q = find(s, from);
    struct parked **tail;

    if (!p || s->nparked >= PARKED_MAX || (q && q->n == PARKED_TUPLE_MAX))
        return NULL;
    if (!q) {
        q = calloc(1, sizeof(*q));
        if (!q)
            return NULL;
        map_insert(&s->parked, &q->node, map_hash(&s->parked, from, PATH_KEY_LEN));
    }
    for (tail = &q->head; *tail; tail = &(*tail)->next)
        ;
    *tail = p;
    q->n++;
    s->spare = NULL;
    s->nparked++;
    p->shard = s;
    p->path = *from;
    p->len = len;
    memcpy(park_datagram(p), buf, len);
    p->timer.kind = TIMER_PARKED;
    wheel_set(&s->wheel, &p->timer.wheel, s->now.ms + PARKED_LIFETIME_S * 1000ULL);
    return p;
}

bool park_has(const struct shard *s, const struct path *from, const uint8_t *txid)
{
    struct parked *p = park_head(s, from);

    while (p && memcmp(park_datagram(p) + STUN_HEADER_LEN - STUN_TXID_LEN, txid, STUN_TXID_LEN) != 0)
        p = p->next;
    return p != NULL;
}

struct parked *park_head(const struct shard *s, const struct path *from)
{
    struct queue *q = find(s, from);

    return q ? q->head : NULL;
}

/* Tickets are rare (a reservation redeemed from another worker), and heads are few: a walk is good enough. */
struct parked *park_by_ticket(const struct shard *s, uint64_t ticket)
{
    for (size_t i = 0; i <= s->parked.mask; i++)
        for (struct map_node *n = s->parked.slots[i]; n; n = n->next)
            if (queue_of(n)->head->ticket == ticket)
                return queue_of(n)->head;
    return NULL;
}

void park_forget_answer(struct shard *s, struct parked *p)
{
    auth_quota_cancel(&p->quota);
    if (p->bandwidth)
        auth_quota_give(s->auth, &(struct auth_share){p->who->owner, &p->path.client, p->bps});
    p->bandwidth = NULL;
    p->ticket = 0;
    if (p->who)
        explicit_bzero(p->who, sizeof(*p->who));
    free(p->who);
    p->who = NULL;
}

void park_end(struct shard *s, struct parked **pp)
{
    struct parked *p = *pp, **at;
    struct queue *q;

    *pp = NULL;
    if (!p)
        return;
    q = find(s, &p->path);
    for (at = &q->head; *at != p; at = &(*at)->next)
        ;
    *at = p->next;
    if (--q->n == 0) {
        map_remove(&s->parked, &q->node);
        free(q);
    }
    auth_cancel(&p->auth);
    park_forget_answer(s, p);
    wheel_remove(&p->timer.wheel);
    free(p);
    s->nparked--;
}

void park_forget(struct shard *s, const struct path *from)
{
    struct parked *p;

    while ((p = park_head(s, from))) {
        count(s->counters, DROP_PARKED_CLOSED);
        park_end(s, &p);
    }
}

static void forget_node(struct map_node *n, void *ctx)
{
    struct path path = queue_of(n)->head->path;

    park_forget(ctx, &path);
}

struct visit {
    void (*visit)(struct parked *head, void *ctx);
    void *ctx;
};

static void visit_node(struct map_node *n, void *ctx)
{
    const struct visit *v = ctx;

    v->visit(queue_of(n)->head, v->ctx);
}

void park_each_head(struct shard *s, void (*visit)(struct parked *head, void *ctx), void *ctx)
{
    map_each(&s->parked, visit_node, &(struct visit){visit, ctx});
}

void park_free_all(struct shard *s)
{
    map_each(&s->parked, forget_node, s);
    free(s->spare);
    s->spare = NULL;
}
