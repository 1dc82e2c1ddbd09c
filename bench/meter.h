/*
 * Purpose:  what a load has shown: loss, duplicates, cross-talk, order, delay; and the CPU time of another process.
 * Owner:    one thread.
 * Lifetime: plain values.
 * Callers:  bench/load, programs/turnpike-bench, units.
 * RFC:      none.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    HISTOGRAM_SUB = 32,     /* steps in an octave: 3 % */
    HISTOGRAM_OCTAVES = 40, /* 1 ns to 18 minutes */
    METER_WINDOW = 1024,    /* sequence numbers of a flow that a duplicate is recognised in: 20 s at 50 packets/s */
};

struct histogram {
    uint64_t bucket[HISTOGRAM_OCTAVES * HISTOGRAM_SUB];
    uint64_t count;
    uint64_t max_ns;
};
void histogram_add(struct histogram *h, uint64_t ns);
/* The value that `per_mille` of all values do not exceed, to 3 %; 0 when there are none. */
uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille);

/* One flow, from one sender to one receiver, numbered from 0. */
struct flow {
    uint32_t sent;
    uint32_t received; /* each number once */
    uint64_t highest;  /* highest number seen, plus one */
    uint64_t seen[METER_WINDOW / 64];
};
enum flow_verdict { FLOW_NEW, FLOW_REORDERED, FLOW_DUPLICATE };
enum flow_verdict flow_receive(struct flow *f, uint32_t sequence);

struct meter {
    uint64_t sent, received, duplicates, crosstalk, reordered, foreign, unsent;
    struct histogram delay;
};

/* CPU time of all threads of a process, in nanoseconds. ERR_NOENT: no such process. */
int cpu_of(pid_t pid, uint64_t *ns);

#endif
