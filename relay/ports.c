#include "relay/ports.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"

enum { PORT_FREE = 0, PORT_CLAIMED = 0x80 /* with the worker's number; a live port holds the number plus one */ };

struct space {
    _Atomic uint8_t owner[65536];
};

struct ports {
    struct relay_address address[PORTS_ADDRESSES_MAX];
    size_t count;
    struct space *spaces;
    size_t nspaces;
    uint16_t min;
    uint16_t max;
};

int ports_new(struct ports **out, const struct relay_address *addresses, size_t n, uint16_t min, uint16_t max)
{
    struct ports *p;

    if (n > PORTS_ADDRESSES_MAX)
        return ERR_NOSPC;
    if (min > max)
        return ERR_INVAL;
    p = calloc(1, sizeof(*p));
    if (!p)
        return ERR_NOMEM;
    p->min = min;
    p->max = max;
    for (size_t i = 0; i < n; i++) {
        struct relay_address *a = &p->address[i];

        *a = addresses[i];
        if (a->local.family != a->advertised.family) {
            ports_free(&p);
            return ERR_INVAL;
        }
        a->space = (unsigned)p->nspaces;
        for (size_t j = 0; j < i; j++)
            if (addr_same_ip(&p->address[j].advertised, &a->advertised))
                a->space = p->address[j].space;
        if (a->space == p->nspaces)
            p->nspaces++;
        p->count++;
    }
    p->spaces = calloc(p->nspaces ? p->nspaces : 1, sizeof(*p->spaces));
    if (!p->spaces) {
        ports_free(&p);
        return ERR_NOMEM;
    }
    *out = p;
    return 0;
}

void ports_free(struct ports **p)
{
    if (!*p)
        return;
    free((*p)->spaces);
    free(*p);
    *p = NULL;
}

size_t ports_count(const struct ports *p)
{
    return p->count;
}

size_t ports_spaces(const struct ports *p)
{
    return p->nspaces;
}

const struct relay_address *ports_address(const struct ports *p, unsigned index)
{
    return &p->address[index];
}

uint16_t ports_min(const struct ports *p)
{
    return p->min;
}

uint16_t ports_max(const struct ports *p)
{
    return p->max;
}

int ports_find(const struct ports *p, const struct addr *peer, bool *advertised)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct relay_address *a = &p->address[i];

        if (addr_same_ip(&a->advertised, peer)) {
            *advertised = true;
            return (int)i;
        }
        if (addr_same_ip(&a->local, peer)) {
            *advertised = false;
            return (int)i;
        }
    }
    return -1;
}

int ports_owner(const struct ports *p, unsigned space, uint16_t port)
{
    uint8_t v = atomic_load_explicit(&p->spaces[space].owner[port], memory_order_acquire);

    return v == PORT_FREE || (v & PORT_CLAIMED) ? -1 : v - 1;
}

bool ports_claim(struct ports *p, unsigned space, uint16_t port, unsigned worker)
{
    uint8_t expected = PORT_FREE;

    return atomic_compare_exchange_strong(&p->spaces[space].owner[port], &expected, (uint8_t)(PORT_CLAIMED | worker));
}

void ports_publish(struct ports *p, unsigned space, uint16_t port, unsigned worker)
{
    atomic_store_explicit(&p->spaces[space].owner[port], (uint8_t)(worker + 1), memory_order_release);
}

void ports_retract(struct ports *p, unsigned space, uint16_t port, unsigned worker)
{
    atomic_store_explicit(&p->spaces[space].owner[port], (uint8_t)(PORT_CLAIMED | worker), memory_order_release);
}

void ports_release(struct ports *p, unsigned space, uint16_t port)
{
    atomic_store_explicit(&p->spaces[space].owner[port], PORT_FREE, memory_order_release);
}

size_t ports_in_use(const struct ports *p)
{
    size_t n = 0;

    for (size_t s = 0; s < p->nspaces; s++)
        for (size_t i = 0; i < 65536; i++)
            n += atomic_load_explicit(&p->spaces[s].owner[i], memory_order_relaxed) != PORT_FREE;
    return n;
}
