#include "bench/meter.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Octave and step: small values (below one octave of steps) exactly, above with five bits. */
static size_t bucket_of(uint64_t ns)
{
    unsigned octave;
    size_t i;

    if (ns < HISTOGRAM_SUB)
        return (size_t)ns;
    octave = 63U - (unsigned)__builtin_clzll(ns) - 4U; /* HISTOGRAM_SUB is 2^5 */
    i = octave * (size_t)HISTOGRAM_SUB + (size_t)((ns >> (octave - 1)) & (HISTOGRAM_SUB - 1));
    return i < HISTOGRAM_OCTAVES * HISTOGRAM_SUB ? i : HISTOGRAM_OCTAVES * HISTOGRAM_SUB - 1;
}

/* The highest value that falls into a bucket. */
static uint64_t value_of(size_t i)
{
    unsigned octave = (unsigned)(i / HISTOGRAM_SUB);
    uint64_t step = i % HISTOGRAM_SUB;

    return octave == 0 ? step : ((HISTOGRAM_SUB + step + 1) << (octave - 1)) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->bucket[bucket_of(ns)]++;
    h->count++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned per_mille)
{
    uint64_t rank = (h->count * per_mille + 999) / 1000, below = 0;

    for (size_t i = 0; h->count && i < HISTOGRAM_OCTAVES * HISTOGRAM_SUB; i++) {
        below += h->bucket[i];
        if (below >= rank && below)
            return value_of(i) < h->max_ns ? value_of(i) : h->max_ns;
    }
    return h->max_ns;
}

enum flow_verdict flow_receive(struct flow *f, uint32_t sequence)
{
    bool late = sequence < f->highest;
    uint64_t bit = 1ULL << (sequence % 64);
    uint64_t *word = &f->seen[sequence % METER_WINDOW / 64];

    if (late && f->highest - sequence > METER_WINDOW) /* too old to tell; a duplicate would be the worse mistake to hide */
        return FLOW_DUPLICATE;
    if (sequence >= f->highest + METER_WINDOW) { /* none of the old ones is left in it */
        memset(f->seen, 0, sizeof(f->seen));
        f->highest = (uint64_t)sequence + 1;
    }
    for (; f->highest <= sequence; f->highest++) /* numbers that come into the window have not been seen */
        f->seen[f->highest % METER_WINDOW / 64] &= ~(1ULL << (f->highest % 64));
    if (*word & bit)
        return FLOW_DUPLICATE;
    *word |= bit;
    f->received++;
    return late ? FLOW_REORDERED : FLOW_NEW;
}

int cpu_of(pid_t pid, uint64_t *ns)
{
    char path[320];
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (!dir)
        return ERR_NOENT;
    *ns = 0;
    while ((d = readdir(dir))) {
        uint64_t on_cpu;
        FILE *f;

        if (d->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, d->d_name);
        f = fopen(path, "re");
        if (!f)
            continue; /* a thread that has ended */
        if (fscanf(f, "%" SCNu64, &on_cpu) == 1)
            *ns += on_cpu;
        fclose(f);
    }
    closedir(dir);
    return 0;
}
