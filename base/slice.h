/*
 * Purpose:  asks the scheduler to let a thread that has short work in at once, before others have used up their turn.
 * Owner:    the calling thread, which it is about.
 * Lifetime: from the call to the thread's end.
 * Callers:  the threads that move packets: relay/worker.
 * RFC:      none.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

/* The calling thread's turns are at most SLICE_US long from now on. It gets no larger share of the CPU and needs no privilege; what it gains is that it does not wait for
 * a neighbour's turn (milliseconds) when it wakes. Linux 6.12 and later; an older one takes it and does as before. 0 or a negative errno. */
int slice_short(void);

#endif
