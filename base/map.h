/*
 * Purpose:  an intrusive hash map with a keyed hash (SipHash-1-3), so that strangers cannot choose collisions.
 * Owner:    one thread a map.
 * Lifetime: nodes belong to the caller; the map owns its slot array only.
 * Callers:  relay/ tables, auth/ indexes, bench/.
 * RFC:      none.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **slots;
    size_t mask;
    size_t count;
    uint64_t seed[2];
};

/* `slots` is rounded up to a power of two. ERR_NOMEM. The seed is random. */
int map_init(struct map *m, size_t slots);
void map_deinit(struct map *m);
uint64_t map_hash(const struct map *m, const void *key, size_t len);
/* The hash itself, for tables that are no map. The seed is secret and random. */
uint64_t map_sip(const uint64_t seed[static 2], const void *key, size_t len);
/* The caller has checked that the key is not there. Grows by itself; when there is no memory to grow, chains get longer and nothing
 * fails. */
void map_insert(struct map *m, struct map_node *n, uint64_t hash);
void map_remove(struct map *m, struct map_node *n);
/* The first node with this hash, and the next one after it: the caller compares keys. NULL at the end. */
struct map_node *map_first(const struct map *m, uint64_t hash);
struct map_node *map_next(const struct map_node *n);
/* Calls `visit` for each node; the visited node, and no other, may be removed (and freed) in the call. Nothing may be inserted. */
void map_each(struct map *m, void (*visit)(struct map_node *n, void *ctx), void *ctx);
/* The same in steps: goes on at `*at` (0 at first), and ends after `most` nodes and the rest of their slot, or after all. In a round in
 * which the map grows a node may be met twice, or only in the next one. */
void map_some(struct map *m, size_t *at, size_t most, void (*visit)(struct map_node *n, void *ctx), void *ctx);
/* In an order that growth does not change (by the hash, its lowest bit first), in steps: goes on at `*at` (0 at first), and ends when `*most`
 * has counted down nodes and slots to 0, or at the node for which `visit` is false: it is the first of the next step. Returns false when that
 * was all. What is there from the first step to the last is met once. As with map_each, the visited node may be removed. */
bool map_walk(struct map *m, uint64_t *at, size_t *most, bool (*visit)(struct map_node *n, void *ctx), void *ctx);
/* Where a node stands in that order: `*at` when it is the next one. */
uint64_t map_place(const struct map_node *n);

#endif
