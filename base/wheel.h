/*
 * Purpose:  one timer wheel a worker: coarse timers (a quarter of a second), add and remove in O(1).
 * Owner:    one thread a wheel.
 * Lifetime: timers are embedded in the caller's objects; remove them before freeing.
 * Callers:  relay/ (allocations, reservations, parked requests).
 * RFC:      none.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WHEEL_TICK_MS = 250, /* lifetimes are whole seconds: four ticks each is fine enough */
    WHEEL_SLOTS = 1024,  /* 256 s a turn; what is due later is looked at once a turn */
};

struct wheel_timer {
    struct wheel_timer *prev; /* NULL while not in a wheel */
    struct wheel_timer *next;
    uint64_t due_ms;
};

struct wheel {
    struct wheel_timer slot[WHEEL_SLOTS]; /* list heads */
    struct wheel_timer overdue;           /* what had passed already when it was set: fires at the next advance */
    uint64_t now_ms;                      /* of the last advance */
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* (Re)arms. A due time that has passed fires at the next advance. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms);
void wheel_remove(struct wheel_timer *t);
bool wheel_armed(const struct wheel_timer *t);
/* Fires all that is due, each once, removed from the wheel before its call. `fire` may set or remove any timer. After a long pause
 * (suspend) this is one pass over the slots, not one for each missed tick. */
void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_timer *t, void *ctx), void *ctx);

#endif
