/* What the control thread sees of a relay that runs, without asking a worker. */
#include <malloc.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "relay/relayparts.h"

/* ---- Memory. ---- */

static uint64_t heap_free(void)
{
    return mallinfo2().fordblks;
}

void relay_look(struct relay *r)
{
    struct memory_state m;

    memory_look(r->memory, heap_free, clock_now().ms, &m);
    if (m.tell && m.is_short)
        LOG(LOG_WARNING, "memory_short", LOG_STR("limit", m.name), LOG_INT("bytes", m.limit), LOG_INT("used", m.used),
            LOG_STR("effect", "new allocations get 508, those that live go on"),
            LOG_STR("cure", "raise this limit (with systemd MemoryMax=, LimitAS= or LimitDATA=), or lower total-quota"));
    else if (m.tell)
        LOG(LOG_INFO, "memory_recovered", LOG_INT("bytes", m.limit), LOG_INT("used", m.used));
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

/* ---- What it serves. ---- */

size_t relay_listeners(const struct relay *r, struct relay_listener out[static RELAY_LISTENERS_MAX * 2])
{
    size_t n = 0;

    for (size_t i = 0; i < r->nlisten; i++) {
        out[n++] = (struct relay_listener){.transport = "udp", .addr = r->listen[i]};
        out[n++] = (struct relay_listener){.transport = "tcp", .addr = r->listen[i]};
    }
    return n;
}

const struct ports *relay_ports(const struct relay *r)
{
    return r->ports;
}
