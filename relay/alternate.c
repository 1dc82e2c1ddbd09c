#include "relay/alternate.h"

enum { ALTERNATE_NONE = UINT8_MAX };

bool alternate_twins(const struct alternate *a, const struct alternate *b)
{
    return a->bound.family == b->bound.family && !addr_same_ip(&a->told, &b->told) && !addr_is_any(&a->bound) &&
           !addr_is_any(&b->bound) && !addr_is_link_local(&a->bound) && !addr_is_link_local(&b->bound) &&
           addr_is_loopback(&a->bound) == addr_is_loopback(&b->bound);
}

/* The next one with another address and the same port: of three addresses each has one that it answers for. */
static uint8_t find_other_ip(const struct alternates *t, size_t i)
{
    for (size_t step = 1; step < t->n; step++) {
        size_t k = (i + step) % t->n;

        if (t->listener[k].bound.port == t->listener[i].bound.port && alternate_twins(&t->listener[i], &t->listener[k]))
            return (uint8_t)k;
    }
    return ALTERNATE_NONE;
}

static uint8_t find_other_port(const struct alternates *t, size_t i)
{
    for (size_t k = 0; k < t->n && i != ALTERNATE_NONE; k++) {
        if (addr_same_ip(&t->listener[k].bound, &t->listener[i].bound) && t->listener[k].bound.port != t->listener[i].bound.port)
            return (uint8_t)k;
    }
    return ALTERNATE_NONE;
}

/* The index of a way: CHANGE-REQUEST's two flags, which stand side by side. */
static size_t way_of(uint32_t change)
{
    return (change & STUN_CHANGE_BOTH) / STUN_CHANGE_PORT;
}

void alternate_connect(struct alternates *t)
{
    for (size_t i = 0; i < t->n; i++) {
        uint8_t ip = find_other_ip(t, i), port = find_other_port(t, i), both = find_other_port(t, ip);
        bool all = ip != ALTERNATE_NONE && port != ALTERNATE_NONE && both != ALTERNATE_NONE;

        t->way[i][way_of(0)] = all ? (uint8_t)i : ALTERNATE_NONE;
        t->way[i][way_of(STUN_CHANGE_IP)] = ip;
        t->way[i][way_of(STUN_CHANGE_PORT)] = port;
        t->way[i][way_of(STUN_CHANGE_BOTH)] = both;
    }
}

const struct alternate *alternate_find(const struct alternates *t, const struct path *from, uint32_t change, uint32_t *io)
{
    if (!t || from->transport != TRANSPORT_UDP || from->io >= t->n || t->way[from->io][way_of(0)] == ALTERNATE_NONE)
        return NULL;
    *io = t->way[from->io][way_of(change)];
    return &t->listener[*io];
}
