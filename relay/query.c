#include "relay/query.h"

#include <stdlib.h>
#include <string.h>

#include "relay/alloc.h"

static const char CLOSED[] = "closed by the administrator";

static uint32_t left_s(const struct shard *s, uint64_t expires_ms)
{
    return expires_ms > s->now.ms ? (uint32_t)((expires_ms - s->now.ms) / 1000) : 0;
}

static bool lives(const struct shard *s, uint64_t expires_ms)
{
    return expires_ms > s->now.ms;
}

/* What has expired is gone, though no timer has fired. */
static bool leg_lives(const struct shard *s, const struct leg *leg)
{
    return leg->socket && lives(s, leg->expires_ms);
}

/* ---- Which. ---- */

static bool reaches(const struct shard *s, const struct alloc *a, const struct addr *peer)
{
    for (uint32_t i = 0; i < a->npermissions; i++)
        if (lives(s, a->permissions[i].expires_ms) && addr_same_ip(&a->permissions[i].ip, peer))
            return true;
    for (uint32_t i = 0; i < a->nchannels; i++)
        if (lives(s, a->channels[i].expires_ms) && addr_same_ip(&a->channels[i].peer, peer))
            return true;
    return false;
}

static bool matches(const struct shard *s, const struct alloc *a, const struct query *q)
{
    const struct relay_filter *f = &q->filter;

    if (q->kind != QUERY_LIST)
        return alloc_id(s, a) == q->id;
    return (!f->transports || (f->transports & 1U << a->path.transport)) &&
           (!f->client.family || addr_same_ip(&f->client, &a->path.client)) && (!f->user || strcmp(f->user, a->user->name) == 0) &&
           (!f->peer.family || reaches(s, a, &f->peer));
}

/* ---- What. ---- */

static void describe(const struct shard *s, const struct alloc *a, struct relay_allocation *out)
{
    uint64_t age_s = (s->now.ms - a->created_ms) / 1000;

    *out = (struct relay_allocation){.id = alloc_id(s, a),
                                     .worker = s->worker,
                                     .stream = a->path.transport != TRANSPORT_UDP,
                                     .client = a->path.client,
                                     .server = a->path.server,
                                     .created_at = s->now.wall - (int64_t)age_s,
                                     .age_s = (uint32_t)age_s,
                                     .packets_up = a->packets_up,
                                     .bytes_up = a->bytes_up,
                                     .packets_down = a->packets_down,
                                     .bytes_down = a->bytes_down,
                                     .bps_up = a->pace.bps_up,
                                     .bps_down = a->pace.bps_down};
    for (int i = 0; i < 2; i++) {
        if (!leg_lives(s, &a->legs[i]))
            continue;
        out->relayed[i] = alloc_relayed(s, &a->legs[i]);
        if (left_s(s, a->legs[i].expires_ms) > out->expires_in_s)
            out->expires_in_s = left_s(s, a->legs[i].expires_ms);
    }
    for (uint32_t i = 0; i < a->npermissions; i++)
        out->npermissions += lives(s, a->permissions[i].expires_ms);
    for (uint32_t i = 0; i < a->nchannels; i++)
        out->nchannels += lives(s, a->channels[i].expires_ms);
    memcpy(out->user, a->user->name, a->user->name_len + 1);
    memcpy(out->owner, a->user->owner, strlen(a->user->owner) + 1);
}

/* Its permissions and channels: as many as `describe` has counted. */
static void detail(const struct shard *s, const struct alloc *a, struct query *q)
{
    size_t n = 0;

    for (uint32_t i = 0; i < a->npermissions; i++)
        if (lives(s, a->permissions[i].expires_ms))
            q->permissions[n++] =
                (struct relay_permission){.peer = a->permissions[i].ip, .expires_in_s = left_s(s, a->permissions[i].expires_ms)};
    n = 0;
    for (uint32_t i = 0; i < a->nchannels; i++)
        if (lives(s, a->channels[i].expires_ms))
            q->channels[n++] = (struct relay_channel){
                .number = a->channels[i].number, .peer = a->channels[i].peer, .expires_in_s = left_s(s, a->channels[i].expires_ms)};
}

/* ---- The search. ---- */

struct search {
    struct shard *shard;
    struct query *query;
};

/* False: the search ends here. */
static bool meet(struct map_node *node, void *ctx)
{
    const struct search *search = ctx;
    struct shard *s = search->shard;
    struct query *q = search->query;
    struct alloc *a = alloc_of_node(node);

    if ((!leg_lives(s, &a->legs[0]) && !leg_lives(s, &a->legs[1])) || !matches(s, a, q))
        return true;
    if (q->n == q->limit) {
        q->full = true;
        return false;
    }
    describe(s, a, &q->found[q->n++]);
    if (q->kind == QUERY_SHOW)
        detail(s, a, q);
    if (q->kind == QUERY_CLOSE) {
        count(s->counters, COUNT_ALLOCATIONS_CLOSED);
        alloc_free(s, &a, CLOSED);
    }
    return q->kind == QUERY_LIST;
}

static int by_place(const void *va, const void *vb)
{
    const struct alloc *const *a = va, *const *b = vb;
    uint64_t pa = map_place(&(*a)->by_tuple), pb = map_place(&(*b)->by_tuple);

    return pa < pb ? -1 : pa > pb;
}

/* The few of a user are found without a search, in the order of one. */
static void meet_each(struct search *search, struct alloc **allocs, size_t n)
{
    struct query *q = search->query;

    if (n)
        qsort(allocs, n, sizeof(*allocs), by_place);
    for (size_t i = 0; i < n; i++) {
        uint64_t place = map_place(&allocs[i]->by_tuple);

        if (place >= q->at && !meet(&allocs[i]->by_tuple, search)) {
            q->at = place;
            return;
        }
    }
}

bool query_step(struct shard *s, struct query *q, size_t *most)
{
    struct search search = {s, q};
    struct alloc *his[QUERY_PASS_MAX];
    size_t n;

    if (atomic_load_explicit(&q->given_up, memory_order_relaxed)) /* whoever was told that it failed must not see it done later */
        return true;
    if (q->kind == QUERY_LIST && q->filter.user && *most && user_allocs(s, q->filter.user, his, QUERY_PASS_MAX, &n)) {
        meet_each(&search, his, n);
        *most -= n < *most ? n : *most;
        return true;
    }
    if (*most && !map_walk(&s->allocs, &q->at, most, meet, &search))
        return true;
    return q->full || (q->kind != QUERY_LIST && q->n);
}
