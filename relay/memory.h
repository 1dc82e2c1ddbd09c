/*
 * Purpose:  is the memory that this process may take nearly used up? Then new allocations are refused, and those that live go on (F14).
 * Owner:    the control thread looks; the workers read one flag.
 * Lifetime: that of the relay.
 * Callers:  relay/relay looks, relay/allocate asks.
 * RFC:      none (508 is RFC 8656 section 19's).
 */
#ifndef RELAY_MEMORY_H
#define RELAY_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MEMORY_SHORT_PERCENT = 90,  /* of a limit: a tenth is left to what lives: permissions, channels, streams, buffers */
    MEMORY_ENOUGH_PERCENT = 85, /* below it new ones are served again: a few calls that end must not make it flap */
    MEMORY_LOOK_S = 1,          /* a second of new allocations takes some MB at the most */
    MEMORY_LOG_S = 60,          /* between two lines that tell of it: whoever can use memory up could fill the log, too */
    MEMORY_LIMIT_NAME_MAX = 512,
};

struct memory;

/* `root` stands before /proc and /sys/fs/cgroup: "" but for tests; borrowed. ERR_NOMEM. */
int memory_new(struct memory **out, const char *root);
void memory_free(struct memory **m);

/* What a look has found. */
struct memory_state {
    bool is_short;
    bool tell;                        /* a line for the log is due */
    uint64_t used, limit;             /* bytes, of the limit that is nearest; limit 0: there is none */
    char name[MEMORY_LIMIT_NAME_MAX]; /* "RLIMIT_AS", or the path of the cgroup's memory.max */
};
/* How many bytes the heap holds in reserve. */
typedef uint64_t memory_heap_free(void);
/* Reads the limits that apply now (cgroup v2 with its ancestors, RLIMIT_AS, RLIMIT_DATA) and what is used of them, and sets the flag.
 * What the heap holds in reserve counts as not used; it is asked only when that could matter, because to count it keeps the workers from
 * the heap. Allocates nothing. What can't be read is no limit. */
void memory_look(struct memory *m, memory_heap_free *heap_free, uint64_t now_ms, struct memory_state *state);

/* The flag, from any thread. NULL: never. */
bool memory_is_short(const struct memory *m);

#endif
