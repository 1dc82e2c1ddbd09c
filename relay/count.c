#include "relay/count.h"

static const char *const NAMES[COUNTERS_N] = {
#define X(id, name) [id] = name,
    COUNTERS(X)
#undef X
};

const char *count_name(enum counter which)
{
    return NAMES[which];
}
