#include "base/wheel.h"

#include <stddef.h>

static void list_init(struct wheel_timer *head)
{
    head->prev = head->next = head;
}

static void list_append(struct wheel_timer *head, struct wheel_timer *t)
{
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slot[i]);
    list_init(&w->overdue);
    w->now_ms = now_ms;
}

bool wheel_armed(const struct wheel_timer *t)
{
    return t->prev != NULL;
}

void wheel_remove(struct wheel_timer *t)
{
    if (!wheel_armed(t))
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
    uint64_t tick = due_ms / WHEEL_TICK_MS + (due_ms % WHEEL_TICK_MS != 0); /* rounded up: never early */
    wheel_remove(t);
    t->due_ms = due_ms;
    list_append(due_ms <= w->now_ms ? &w->overdue : &w->slot[tick % WHEEL_SLOTS], t);
}

/* Moves what is due from one list to another; what is due a turn later stays. */
static void collect(struct wheel_timer *from, struct wheel_timer *to, uint64_t now_ms)
{
    for (struct wheel_timer *t = from->next, *next; t != from; t = next) {
        next = t->next;
        if (t->due_ms <= now_ms) {
            wheel_remove(t);
            list_append(to, t);
        }
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_timer *t, void *ctx), void *ctx)
{
    struct wheel_timer due, *t;
    uint64_t tick = w->now_ms / WHEEL_TICK_MS;

    list_init(&due);
    collect(&w->overdue, &due, w->now_ms);
    if (now_ms > w->now_ms) {
        uint64_t ticks = now_ms / WHEEL_TICK_MS - tick;
        if (ticks > WHEEL_SLOTS)
            ticks = WHEEL_SLOTS; /* one turn sees every slot */
        for (uint64_t i = 1; i <= ticks; i++)
            collect(&w->slot[(tick + i) % WHEEL_SLOTS], &due, now_ms);
        w->now_ms = now_ms;
    }
    /* Collected first and fired then: a timer that `fire` sets goes to the wheel, and one that it removes leaves this list. */
    while ((t = due.next) != &due) {
        wheel_remove(t);
        fire(t, ctx);
    }
}
