#include "base/clock.h"

#include <time.h>

struct now clock_now(void)
{
    struct timespec boot = {0}, wall = {0};
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct now){
        .ms = (uint64_t)boot.tv_sec * 1000 + (uint64_t)boot.tv_nsec / 1000000,
        .wall = wall.tv_sec,
    };
}
