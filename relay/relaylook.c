/* What the control thread sees of a relay that runs, without asking a worker. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "relay/relayparts.h"

/* ---- Memory, and whether the workers work. ---- */

static uint64_t heap_free(void)
{
    return mallinfo2().fordblks;
}

static void look_at_memory(struct relay *r, uint64_t now_ms)
{
    struct memory_state m;

    memory_look(r->memory, heap_free, now_ms, &m);
    if (m.tell && m.is_short)
        LOG(LOG_WARNING, "memory_short", LOG_STR("limit", m.name), LOG_INT("bytes", m.limit), LOG_INT("used", m.used),
            LOG_STR("effect", "new allocations get 508, those that live go on"),
            LOG_STR("cure", "raise this limit (with systemd MemoryMax=, LimitAS= or LimitDATA=), or lower total-quota"));
    else if (m.tell)
        LOG(LOG_INFO, "memory_recovered", LOG_INT("bytes", m.limit), LOG_INT("used", m.used));
}

static bool hangs(const struct worker *w, uint64_t now_ms)
{
    uint64_t ticked_ms = atomic_load_explicit(&w->ticked_ms, memory_order_relaxed);

    return w->started && now_ms > ticked_ms + RELAY_HANG_MS;
}

/* F31. When the control thread itself has been away (a machine that was suspended, F23), the workers get a tick's time first. */
static void look_at_workers(struct relay *r, uint64_t now_ms)
{
    bool was_away = now_ms > r->looked_ms + RELAY_HANG_MS;

    r->looked_ms = now_ms;
    if (was_away)
        return;
    r->nhung = 0;
    for (unsigned i = 0; i < r->nworkers; i++) {
        struct worker *w = &r->workers[i];
        bool now = hangs(w, now_ms);

        if (now && !w->told_hang)
            LOG(LOG_ERROR, "worker_hangs", LOG_INT("worker", i), LOG_INT("ms", now_ms - atomic_load(&w->ticked_ms)),
                LOG_STR("effect", "its clients and their calls are not served"));
        else if (!now && w->told_hang)
            LOG(LOG_WARNING, "worker_back", LOG_INT("worker", i));
        w->told_hang = now;
        r->nhung += now;
    }
}

void relay_look(struct relay *r)
{
    uint64_t now_ms = clock_now().ms;

    look_at_memory(r, now_ms);
    look_at_workers(r, now_ms);
}

unsigned relay_hung(const struct relay *r)
{
    return r->nhung;
}

bool relay_memory_short(const struct relay *r)
{
    return memory_is_short(r->memory);
}

/* ---- Counters. ---- */

unsigned relay_workers(const struct relay *r)
{
    return r->nworkers;
}

const struct counters *relay_counters(const struct relay *r, unsigned worker)
{
    return &r->workers[worker].counters;
}

uint64_t relay_count(const struct relay *r, enum counter which)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->nworkers; i++)
        n += count_read(&r->workers[i].counters, which);
    return n;
}

uint64_t relay_relayed(const struct relay *r, enum count_path path, enum counter which)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->nworkers; i++)
        n += count_slot(&r->workers[i].counters, count_relayed(path, which));
    return n;
}

double relay_histogram(const struct relay *r, const struct count_histogram *h, uint64_t *count)
{
    for (size_t i = 0; i <= h->n; i++)
        count[i] = relay_count(r, (enum counter)(h->first + i));
    return (double)relay_count(r, (enum counter)(h->first + h->n + 1)) / 1000;
}

uint64_t relay_busy_ns(const struct relay *r, unsigned worker)
{
    const struct worker *w = &r->workers[worker];
    struct timespec t = {0};
    clockid_t clock;

    if (w->started && pthread_getcpuclockid(w->thread, &clock) == 0)
        clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- The peer policy. ---- */

void relay_policy_each(const struct relay *r, void (*visit)(void *ctx, const struct policy_entry *entry), void *ctx)
{
    policy_each(r->policy, visit, ctx);
}

static int read_peer(const char *text, struct addr *peer, enum policy_protocol *protocol)
{
    const char *slash = strchr(text, '/');
    char where[ADDR_TEXT_MAX];
    size_t len = slash ? (size_t)(slash - text) : strlen(text);

    *protocol = slash && strcmp(slash, "/tcp") == 0 ? POLICY_TCP : POLICY_UDP;
    if (len >= sizeof(where) || (slash && strcmp(slash, "/tcp") != 0 && strcmp(slash, "/udp") != 0))
        return ERR_INVAL;
    memcpy(where, text, len);
    where[len] = '\0';
    return addr_parse(peer, where) ? addr_parse_ip(peer, where) : 0;
}

int relay_explain(const struct relay *r, const char *text, struct relay_judgement *out)
{
    const struct policy_judges judges = {.server = r->policy, .ports = r->ports};
    enum policy_protocol protocol;
    struct addr peer;
    int err = read_peer(text, &peer, &protocol);
    bool flow;

    if (err)
        return err;
    flow = policy_flow(judges, &peer, protocol);
    out->allowed = peer.port ? flow : policy_permission(judges, &peer, protocol, NULL);
    if (out->allowed == flow)
        policy_explain(judges, &peer, protocol, out->why, sizeof(out->why));
    else
        snprintf(out->why, sizeof(out->why), "some of its ports are allowed");
    return 0;
}

/* ---- What it serves. ---- */

size_t relay_listeners(const struct relay *r, struct relay_listener out[static RELAY_LISTENERS_MAX * 2])
{
    size_t n = 0;

    for (size_t i = 0; i < r->nlisten; i++) {
        out[n++] = (struct relay_listener){.transport = "udp", .addr = r->listen[i], .alternate = i >= r->nprimary};
        out[n++] = (struct relay_listener){.transport = "tcp", .addr = r->listen[i], .alternate = i >= r->nprimary};
    }
    return n;
}

const struct ports *relay_ports(const struct relay *r)
{
    return r->ports;
}
