/*
 * Purpose:  a thread of its own for what is asked of the store, which may take seconds: whoever serves never waits for it.
 * Owner:    the thread of the event base; the work runs on the thread inside.
 * Lifetime: storethread_new to storethread_free.
 * Callers:  programs/plane (the control thread), programs/iceservers (the connect thread).
 * RFC:      none.
 */
#ifndef PROGRAMS_STORETHREAD_H
#define PROGRAMS_STORETHREAD_H

#include "admin/call.h"

struct storethread;
struct storeops;
struct event_base;

enum { STORETHREAD_WAITING_MAX = 64 }; /* calls that wait: more would be too late anyway when the store takes its time */

/* Who gets the calls back, as admin_done does. */
typedef void storethread_done(struct admin_call **call);
/* `ops` is the thread's until storethread_free. ERR_NOMEM, or of eventfd(2) and pthread_create(3). */
int storethread_new(struct storethread **out, struct event_base *base, struct storeops *ops, storethread_done *done);
/* Waits for the call that is under way, which a Redis that does not answer ends soon (redisask_ends); those that wait are answered with 503. NULL-safe. */
void storethread_free(struct storethread **t);
/* On the thread of the base, with an answer of the store: what else is to be said. */
typedef void storethread_after(void *ctx, struct admin_answer *a);
/* Takes the call over, and gives it back answered on the thread of the base, after `after` (NULL: nothing): from within when STORETHREAD_WAITING_MAX wait. */
void storethread_call(struct storethread *t, struct admin_call *call, storethread_after *after, void *ctx);

#endif
