#include "base/map.h"

#include "base/err.h"
#include "base/random.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 8 };

int map_init(struct map *m, size_t slots)
{
    size_t n = SLOTS_MIN;

    memset(m, 0, sizeof(*m));
    while (n < slots) {
        if (n > SIZE_MAX / 2 / sizeof(*m->slots))
            return ERR_NOMEM;
        n *= 2;
    }
    m->slots = calloc(n, sizeof(*m->slots));
    if (!m->slots)
        return ERR_NOMEM;
    m->mask = n - 1;
    random_bytes(m->seed, sizeof(m->seed));
    return 0;
}

void map_deinit(struct map *m)
{
    free(m->slots);
    explicit_bzero(m, sizeof(*m)); /* the seed is a secret while the process lives */
}

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void sip_block(uint64_t v[4], uint64_t block)
{
    v[3] ^= block;
    sip_round(v);
    v[0] ^= block;
}

/* Little-endian, n of at most 8 bytes. */
static uint64_t le_bytes(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

/* The same for eight, in the form that a compiler makes one load of. */
static uint64_t le_word(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* SipHash-1-3 (Aumasson and Bernstein): one round a block, three at the end. */
uint64_t map_sip(const uint64_t seed[static 2], const void *key, size_t len)
{
    const uint8_t *p = key;
    size_t left = len;
    uint64_t v[4] = {
        seed[0] ^ 0x736f6d6570736575,
        seed[1] ^ 0x646f72616e646f6d,
        seed[0] ^ 0x6c7967656e657261,
        seed[1] ^ 0x7465646279746573,
    };

    for (; left >= 8; left -= 8, p += 8)
        sip_block(v, le_word(p));
    sip_block(v, (uint64_t)len << 56 | le_bytes(p, left));
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(const struct map *m, const void *key, size_t len)
{
    return map_sip(m->seed, key, len);
}

static void put(struct map_node **slots, size_t mask, struct map_node *n)
{
    struct map_node **slot = &slots[n->hash & mask];
    n->next = *slot;
    *slot = n;
}

static void grow(struct map *m)
{
    size_t old = m->mask + 1;
    struct map_node **slots = old > SIZE_MAX / 2 / sizeof(*slots) ? NULL : calloc(old * 2, sizeof(*slots));
    if (!slots)
        return; /* longer chains do for now; the next insert tries again */
    for (size_t i = 0; i < old; i++) {
        for (struct map_node *n = m->slots[i], *next; n; n = next) {
            next = n->next;
            put(slots, old * 2 - 1, n);
        }
    }
    free(m->slots);
    m->slots = slots;
    m->mask = old * 2 - 1;
}

void map_insert(struct map *m, struct map_node *n, uint64_t hash)
{
    if (m->count > m->mask)
        grow(m);
    n->hash = hash;
    put(m->slots, m->mask, n);
    m->count++;
}

void map_remove(struct map *m, struct map_node *n)
{
    struct map_node **at = &m->slots[n->hash & m->mask];
    while (*at != n) {
        assert(*at); /* a node that is not in the map */
        at = &(*at)->next;
    }
    *at = n->next;
    n->next = NULL;
    m->count--;
}

static struct map_node *with_hash(struct map_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->next;
    return n;
}

struct map_node *map_first(const struct map *m, uint64_t hash)
{
    return with_hash(m->slots[hash & m->mask], hash);
}

struct map_node *map_next(const struct map_node *n)
{
    return with_hash(n->next, n->hash);
}

static size_t visit_slot(struct map *m, size_t slot, void (*visit)(struct map_node *n, void *ctx), void *ctx)
{
    size_t visited = 0;

    for (struct map_node *n = m->slots[slot], *next; n; n = next, visited++) {
        next = n->next; /* before the visit, which may remove and free n */
        visit(n, ctx);
    }
    return visited;
}

void map_each(struct map *m, void (*visit)(struct map_node *n, void *ctx), void *ctx)
{
    for (size_t i = 0; m->slots && i <= m->mask; i++)
        visit_slot(m, i, visit, ctx);
}

void map_some(struct map *m, size_t *at, size_t most, void (*visit)(struct map_node *n, void *ctx), void *ctx)
{
    size_t visited = 0;

    for (size_t i = 0; i <= m->mask && visited < most; i++)
        visited += visit_slot(m, (*at)++ & m->mask, visit, ctx);
}

/* ---- The order of map_walk: a slot holds all hashes with the same lowest bits, so with their bits reversed it is a range of numbers, and a
 * slot that is split when the map grows becomes two ranges side by side. ---- */

static uint64_t reversed(uint64_t x)
{
    x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
    x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
    x = (x >> 4 & 0x0F0F0F0F0F0F0F0F) | (x & 0x0F0F0F0F0F0F0F0F) << 4;
    return __builtin_bswap64(x);
}

uint64_t map_place(const struct map_node *n)
{
    return reversed(n->hash);
}

/* The first node of a slot that stands there or behind. */
static struct map_node *first_from(struct map_node *n, uint64_t at)
{
    struct map_node *found = NULL;

    for (; n; n = n->next)
        if (map_place(n) >= at && (!found || map_place(n) < map_place(found)))
            found = n;
    return found;
}

bool map_walk(struct map *m, uint64_t *at, size_t *most, bool (*visit)(struct map_node *n, void *ctx), void *ctx)
{
    for (; *most; --*most) {
        struct map_node *n = first_from(m->slots[reversed(*at) & m->mask], *at);

        if (n) {
            *at = map_place(n);
            if (!visit(n, ctx))
                return true;
        } else {
            *at |= ~reversed(m->mask); /* the end of the slot's range */
        }
        if (++*at == 0)
            return false;
    }
    return true;
}
