#include "probe/way.h"

bool way_take(struct way *w, uint32_t sequence, uint32_t packets, int64_t transit_us)
{
    int64_t d = transit_us - w->transit_us;

    if (sequence >= packets || packets > WAY_SLOW_PACKETS || (w->seen[sequence / 8] & 1U << sequence % 8))
        return false;
    w->seen[sequence / 8] |= (uint8_t)(1U << sequence % 8);
    if (sequence < w->highest)
        w->reordered++;
    else
        w->highest = sequence;
    if (w->received++)
        w->jitter_us += ((double)(d < 0 ? -d : d) - w->jitter_us) / 16;
    w->transit_us = transit_us;
    return true;
}
