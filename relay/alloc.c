#include "relay/alloc.h"

#include <assert.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limit.h"

enum {
    MS_PER_S = 1000,
    PACE_MS = 1000, /* over which the pace is taken: fifty packets of a call, so that one more or less is 2 % */
};

static const uint64_t IDS_OF_WORKER = 1000000000000000; /* coturn's number, too: three digits of 18 are the thread */

static void event(struct shard *s, enum relay_event which, const struct alloc *a, const char *detail)
{
    s->net->event(s->net_ctx, &(struct relay_event_info){
                                  .event = which, .path = &a->path, .alloc = a, .user = a->user->name, .detail = detail});
}

/* ---- The table of 5-tuples. ---- */

static struct alloc *expire(struct shard *s, struct alloc *a);

struct alloc *alloc_find(struct shard *s, const struct path *path)
{
    struct map_node *n = map_first(&s->allocs, map_hash(&s->allocs, path, PATH_KEY_LEN));

    for (; n; n = map_next(n))
        if (memcmp(&alloc_of_node(n)->path, path, PATH_KEY_LEN) == 0)
            return alloc_of_node(n)->timer.wheel.due_ms <= s->now.ms ? expire(s, alloc_of_node(n)) : alloc_of_node(n);
    return NULL;
}

uint64_t alloc_bps(const struct shard *s, const struct auth_answer *who)
{
    return limit_smaller(s->settings.max_bps, who->limits.bps);
}

/* Both buckets hold a second's worth, and no less than one packet. What is sent costs its payload; nothing is for free. */
static bool take(const struct shard *s, struct rate *bucket, struct rate_shared *user, uint64_t user_bps, size_t len)
{
    uint64_t bytes_per_s = (s->settings.max_bps + 7) / 8, user_bytes_per_s = (user_bps + 7) / 8;

    if (len < BANDWIDTH_PACKET_MIN)
        len = BANDWIDTH_PACKET_MIN;
    if (bucket->per_s != bytes_per_s) /* new, or a reload */
        rate_init(bucket, bytes_per_s, bytes_per_s > DATAGRAM_MAX ? bytes_per_s : DATAGRAM_MAX, s->now.ms);
    if (!rate_take(bucket, len, s->now.ms)) {
        count(s->counters, DROP_BANDWIDTH);
        return false;
    }
    if (user_bytes_per_s &&
        !rate_shared_take(user, (uint32_t)len, user_bytes_per_s,
                          user_bytes_per_s > DATAGRAM_MAX ? MS_PER_S : DATAGRAM_MAX * MS_PER_S / user_bytes_per_s + 1, s->now.ms)) {
        count(s->counters, DROP_BANDWIDTH_USER);
        return false;
    }
    return true;
}

bool alloc_take_up(const struct shard *s, struct alloc *a, size_t len)
{
    uint64_t user_bps = limit_smaller(s->settings.user_max_bps, a->user_bps);

    return (!s->settings.max_bps && !user_bps) || take(s, &a->up, &a->bandwidth->up, user_bps, len);
}

bool alloc_take_down(const struct shard *s, struct alloc *a, size_t len)
{
    uint64_t user_bps = limit_smaller(s->settings.user_max_bps, a->user_bps);

    return (!s->settings.max_bps && !user_bps) || take(s, &a->down, &a->bandwidth->down, user_bps, len);
}

static void link_to_user(struct alloc *a)
{
    a->next_of_user = a->user->allocs;
    a->prev_of_user = &a->user->allocs;
    if (a->next_of_user)
        a->next_of_user->prev_of_user = &a->next_of_user;
    a->user->allocs = a;
}

static void unlink_from_user(struct alloc *a)
{
    *a->prev_of_user = a->next_of_user;
    if (a->next_of_user)
        a->next_of_user->prev_of_user = a->prev_of_user;
}

int alloc_new(struct alloc **out, struct shard *s, const struct path *path, const struct auth_answer *who, uint64_t bps,
              struct auth_bandwidth *bandwidth)
{
    struct alloc *a = calloc(1, sizeof(*a));
    int err = a ? user_take(&a->user, s, who) : ERR_NOMEM;

    if (err) {
        free(a);
        return err;
    }
    link_to_user(a);
    if (a->user->peers)
        a->peers = policy_ref(a->user->peers);
    a->path = *path;
    a->timer.kind = TIMER_ALLOC;
    a->created_ms = a->pace.since_ms = s->now.ms;
    a->bandwidth = bandwidth;
    a->user_bps = limit_smaller(who->limits.bps, atomic_load_explicit(&bandwidth->bps, memory_order_relaxed));
    a->reserved_bps = bps;
    a->permissions = a->permissions_inline;
    a->channels = a->channels_inline;
    a->permissions_cap = a->channels_cap = ALLOC_INLINE;
    map_insert(&s->allocs, &a->by_tuple, map_hash(&s->allocs, path, PATH_KEY_LEN));
    *out = a;
    return 0;
}

/* Made of what an allocation keeps anyway, for there are many and few are told of: its 5-tuple under a secret seed, and when it began. */
uint64_t alloc_id(const struct shard *s, const struct alloc *a)
{
    const uint64_t parts[] = {a->by_tuple.hash, a->created_ms};

    return s->worker * IDS_OF_WORKER + map_sip(s->allocs.seed, parts, sizeof(parts)) % IDS_OF_WORKER;
}

unsigned alloc_id_worker(uint64_t id)
{
    return id / IDS_OF_WORKER < UINT_MAX ? (unsigned)(id / IDS_OF_WORKER) : UINT_MAX;
}

/* The data path counts in the allocation alone; the account of its user hears of it here. */
static void tell(const struct shard *s, struct alloc *a)
{
    const struct auth_used used = {{[AUTH_USED_BYTES_UP] = a->bytes_up,
                                    [AUTH_USED_BYTES_DOWN] = a->bytes_down,
                                    [AUTH_USED_PACKETS_UP] = a->packets_up,
                                    [AUTH_USED_PACKETS_DOWN] = a->packets_down,
                                    [AUTH_USED_ALLOCATIONS] = 1,
                                    [AUTH_USED_MS] = s->now.ms - a->created_ms}};
    struct auth_used more;

    for (int i = 0; i < AUTH_USED_N; i++)
        more.n[i] = used.n[i] - a->told.n[i];
    auth_account_add(a->user->account, &more);
    a->told = used;
}

static uint64_t bits_per_s(uint64_t bytes, uint64_t ms)
{
    return bytes * 8 * MS_PER_S / ms;
}

static void look_at_pace(const struct shard *s, const struct alloc *a, struct pace *p)
{
    uint64_t ms = s->now.ms - p->since_ms;

    if (ms < PACE_MS)
        return;
    *p = (struct pace){.since_ms = s->now.ms,
                       .bytes_up = a->bytes_up,
                       .bytes_down = a->bytes_down,
                       .bps_up = bits_per_s(a->bytes_up - p->bytes_up, ms),
                       .bps_down = bits_per_s(a->bytes_down - p->bytes_down, ms)};
}

static void tell_node(struct map_node *n, void *ctx)
{
    struct alloc *a = alloc_of_node(n);

    tell(ctx, a);
    look_at_pace(ctx, a, &a->pace);
}

void alloc_tell_some(struct shard *s)
{
    map_some(&s->allocs, &s->told_at, USAGE_TICK_MAX, tell_node, s);
}

/* Order matters: unreachable for the other workers, then for the kernel, then free for others. */
static void close_leg(struct shard *s, struct alloc *a, struct leg *leg)
{
    unsigned space;

    if (!leg->socket)
        return;
    space = ports_address(s->ports, leg->relay)->space;
    if (s->offload)
        s->offload->end(s->offload_ctx, a);
    ports_retract(s->ports, space, leg->port, s->worker);
    s->by_port[space][leg->port] = NULL;
    s->net->relay_close(s->net_ctx, &leg->socket);
    ports_release(s->ports, space, leg->port);
    *leg = (struct leg){0};
}

void alloc_free(struct shard *s, struct alloc **ap, const char *reason)
{
    struct alloc *a = *ap;

    *ap = NULL;
    if (!a)
        return;
    if (a->legs[0].socket || a->legs[1].socket) {
        tell(s, a);
        event(s, EVENT_ALLOCATION_DELETED, a, reason);
        count(s->counters, COUNT_ALLOCATIONS_DELETED);
        count_add(s->counters, count_active(a->path.transport, a->path.client.family == ADDR_V6), UINT64_MAX); /* one less */
        count_time(s->counters, &COUNT_OF_SESSION, s->now.ms - a->created_ms);
    }
    close_leg(s, a, &a->legs[0]);
    close_leg(s, a, &a->legs[1]);
    map_remove(&s->allocs, &a->by_tuple);
    wheel_remove(&a->timer.wheel);
    auth_quota_give(s->auth, &(struct auth_share){a->user->owner, &a->path.client, a->reserved_bps});
    if (a->permissions != a->permissions_inline)
        free(a->permissions);
    if (a->channels != a->channels_inline)
        free(a->channels);
    unlink_from_user(a);
    user_drop(s, &a->user);
    policy_unref(&a->peers);
    free(a);
}

/* Nothing is freed here: the caller may be reading from this very socket. */
struct alloc *alloc_by_port(struct shard *s, unsigned space, uint16_t port)
{
    struct alloc *a = s->by_port[space] ? s->by_port[space][port] : NULL;

    if (!a || a->timer.wheel.due_ms > s->now.ms)
        return a;
    for (int i = 0; i < 2; i++)
        if (a->legs[i].socket && a->legs[i].port == port && ports_address(s->ports, a->legs[i].relay)->space == space &&
            a->legs[i].expires_ms > s->now.ms)
            return a;
    return NULL;
}

struct addr alloc_relayed(const struct shard *s, const struct leg *leg)
{
    return addr_with_port(&ports_address(s->ports, leg->relay)->advertised, leg->port);
}

struct addr alloc_relayed_local(const struct shard *s, const struct leg *leg)
{
    return addr_with_port(&ports_address(s->ports, leg->relay)->local, leg->port);
}

static void arm(struct shard *s, struct alloc *a)
{
    uint64_t due = UINT64_MAX;

    for (int i = 0; i < 2; i++)
        if (a->legs[i].socket && a->legs[i].expires_ms < due)
            due = a->legs[i].expires_ms;
    wheel_set(&s->wheel, &a->timer.wheel, due);
}

int alloc_add_leg(struct shard *s, struct alloc *a, struct claimed *c, uint64_t expires_ms)
{
    const struct relay_address *r = ports_address(s->ports, c->relay);
    struct leg *leg = alloc_leg(a, r->local.family);
    int err;

    assert(!leg->socket);
    if (!s->by_port[r->space]) {
        s->by_port[r->space] = calloc(65536, sizeof(struct alloc *));
        if (!s->by_port[r->space])
            return ERR_NOMEM;
    }
    err = s->net->relay_start(s->net_ctx, c->socket, c->relay, c->port);
    if (err)
        return err;
    s->by_port[r->space][c->port] = a;
    *leg = (struct leg){.socket = c->socket, .relay = (uint16_t)c->relay, .port = c->port, .expires_ms = expires_ms};
    c->socket = NULL;
    ports_publish(s->ports, r->space, leg->port, s->worker);
    arm(s, a);
    return 0;
}

void alloc_drop_leg(struct shard *s, struct alloc **ap, enum addr_family family, const char *reason)
{
    struct alloc *a = *ap;

    if (!alloc_leg(a, family == ADDR_V4 ? ADDR_V6 : ADDR_V4)->socket) {
        alloc_free(s, ap, reason);
        return;
    }
    close_leg(s, a, alloc_leg(a, (uint8_t)family));
    for (uint32_t i = 0; i < a->npermissions; i++)
        if (a->permissions[i].ip.family == family)
            a->permissions[i].expires_ms = 0;
    for (uint32_t i = 0; i < a->nchannels; i++)
        if (a->channels[i].peer.family == family)
            a->channels[i].expires_ms = 0;
    arm(s, a);
}

void alloc_set_expiry(struct shard *s, struct alloc *a, enum addr_family family, uint64_t expires_ms)
{
    alloc_leg(a, (uint8_t)family)->expires_ms = expires_ms;
    arm(s, a);
}

/* Drops what has expired; NULL when nothing is left. On use, so that no Refresh comes too late and is granted; and by the timer. */
static struct alloc *expire(struct shard *s, struct alloc *a)
{
    for (int i = 0; i < 2 && a; i++)
        if (a->legs[i].socket && a->legs[i].expires_ms <= s->now.ms)
            alloc_drop_leg(s, &a, i ? ADDR_V6 : ADDR_V4, "expired");
    if (a)
        arm(s, a);
    return a;
}

void alloc_on_timer(struct shard *s, struct timer *t)
{
    expire(s, (struct alloc *)(void *)((char *)t - offsetof(struct alloc, timer)));
}

/* ---- Permissions and channels: a handful by allocation, so a short walk that starts where the last one ended. ---- */

/* Grows an array that starts inside the object. ERR_NOSPC at the limit. */
static int grow(void **array, void *inline_array, uint32_t *cap, uint32_t limit, size_t size)
{
    uint32_t more = *cap * 2 > limit ? limit : *cap * 2;
    void *p;

    assert(*cap > 0);
    if (*cap >= limit)
        return ERR_NOSPC;
    p = realloc(*array == inline_array ? NULL : *array, more * size);
    if (!p)
        return ERR_NOMEM;
    if (*array == inline_array)
        memcpy(p, inline_array, *cap * size);
    *array = p;
    *cap = more;
    return 0;
}

struct permission *alloc_permission(const struct shard *s, struct alloc *a, const struct addr *peer)
{
    for (uint32_t n = 0, i = a->last_permission; n < a->npermissions; n++, i++) {
        if (i >= a->npermissions)
            i = 0;
        if (addr_same_ip(&a->permissions[i].ip, peer)) {
            a->last_permission = i;
            return a->permissions[i].expires_ms > s->now.ms ? &a->permissions[i] : NULL;
        }
    }
    return NULL;
}

/* The slot of this IP, live or not; else one that has expired; else NULL. */
static struct permission *permission_slot(const struct shard *s, struct alloc *a, const struct addr *peer)
{
    struct permission *expired = NULL;

    for (uint32_t i = 0; i < a->npermissions; i++) {
        if (addr_same_ip(&a->permissions[i].ip, peer))
            return &a->permissions[i];
        if (!expired && a->permissions[i].expires_ms <= s->now.ms)
            expired = &a->permissions[i];
    }
    return expired;
}

int alloc_reserve_permissions(const struct shard *s, struct alloc *a, const struct addr *peers, size_t n)
{
    size_t expired = 0, wanted = 0;
    void *array = a->permissions;
    int err = 0;

    for (uint32_t i = 0; i < a->npermissions; i++)
        expired += a->permissions[i].expires_ms <= s->now.ms;
    for (size_t i = 0; i < n; i++) {
        bool twice = false;

        for (size_t j = 0; j < i; j++)
            twice = twice || addr_same_ip(&peers[j], &peers[i]);
        wanted += !twice && !alloc_permission(s, a, &peers[i]);
    }
    if (wanted > ALLOC_PERMISSIONS_MAX - a->npermissions + expired)
        return ERR_NOSPC;
    while (!err && a->permissions_cap - a->npermissions + expired < wanted) {
        err = grow(&array, a->permissions_inline, &a->permissions_cap, ALLOC_PERMISSIONS_MAX, sizeof(*a->permissions));
        a->permissions = array;
    }
    return err;
}

void alloc_permit(struct shard *s, struct alloc *a, const struct addr *peer, bool all_ports)
{
    struct permission *p = permission_slot(s, a, peer);

    if (!p) {
        assert(a->npermissions < a->permissions_cap);
        p = &a->permissions[a->npermissions++];
    }
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): where there is room, there is an array
    *p = (struct permission){.ip = addr_with_port(peer, 0),
                             .expires_ms = s->now.ms + PERMISSION_LIFETIME_S * 1000ULL,
                             .policy = policy_generation(s->policy),
                             .all_ports = all_ports};
}

struct channel *alloc_channel(const struct shard *s, struct alloc *a, uint16_t number)
{
    for (uint32_t n = 0, i = a->last_channel; n < a->nchannels; n++, i++) {
        if (i >= a->nchannels)
            i = 0;
        if (a->channels[i].number == number && a->channels[i].expires_ms > s->now.ms) {
            a->last_channel = i;
            return &a->channels[i];
        }
    }
    return NULL;
}

struct channel *alloc_channel_of(const struct shard *s, struct alloc *a, const struct addr *peer)
{
    for (uint32_t n = 0, i = a->last_channel; n < a->nchannels; n++, i++) {
        if (i >= a->nchannels)
            i = 0;
        if (addr_equal(&a->channels[i].peer, peer) && a->channels[i].expires_ms > s->now.ms) {
            a->last_channel = i;
            return &a->channels[i];
        }
    }
    return NULL;
}

int alloc_bind(struct shard *s, struct alloc *a, uint16_t number, const struct addr *peer)
{
    struct channel *by_number = alloc_channel(s, a, number), *by_peer = alloc_channel_of(s, a, peer), *c = by_number;
    bool advertised = false;

    if (by_number != by_peer)
        return ERR_EXIST;
    for (uint32_t i = 0; !c && i < a->nchannels; i++)
        if (a->channels[i].expires_ms <= s->now.ms)
            c = &a->channels[i];
    if (!c) {
        if (a->nchannels == a->channels_cap) {
            void *array = a->channels;
            int err = grow(&array, a->channels_inline, &a->channels_cap, ALLOC_CHANNELS_MAX, sizeof(*a->channels));

            a->channels = array;
            if (err)
                return err;
        }
        c = &a->channels[a->nchannels++];
    }
    *c = (struct channel){.number = number,
                          .own = (int16_t)ports_find(s->ports, peer, &advertised),
                          .peer = *peer,
                          .expires_ms = s->now.ms + CHANNEL_LIFETIME_S * 1000ULL,
                          .policy = policy_generation(s->policy)};
    c->own_advertised = advertised;
    if (s->offload)
        s->offload->bind(s->offload_ctx, a, c);
    return 0;
}

static void free_alloc_node(struct map_node *n, void *ctx)
{
    struct alloc *a = alloc_of_node(n);

    alloc_free(ctx, &a, "shutdown");
}

void alloc_free_all(struct shard *s)
{
    map_each(&s->allocs, free_alloc_node, s);
}

struct end {
    struct shard *shard;
    const char *reason;
};

static bool end_node(struct map_node *n, void *ctx)
{
    const struct end *end = ctx;
    struct alloc *a = alloc_of_node(n);

    count(end->shard->counters, COUNT_ALLOCATIONS_CLOSED);
    alloc_free(end->shard, &a, end->reason);
    return true;
}

bool alloc_end_some(struct shard *s, uint64_t *at, size_t most, const char *reason)
{
    return map_walk(&s->allocs, at, &most, end_node, &(struct end){s, reason});
}
