/* base/slice. A file of its own, because the kernel's header and the C library's <sched.h> do not go together. */
#include "base/slice.h"
#include "tests/unit/tap.h"

#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

static void test_short(void)
{
    struct sched_attr before = {.size = sizeof(before)}, after = {.size = sizeof(after)};

    CHECK_INT(syscall(SYS_sched_getattr, 0, &before, sizeof(before), 0u), 0);
    CHECK_INT(slice_short(), 0);
    CHECK_INT(syscall(SYS_sched_getattr, 0, &after, sizeof(after), 0u), 0);
    CHECK(!before.sched_runtime || after.sched_runtime == 100000); /* a kernel that knows no slices tells 0 */
    CHECK_INT(after.sched_policy, before.sched_policy);
    CHECK_INT(after.sched_nice, before.sched_nice);
}

static const struct tap_test tests[] = {
    {"slice: short turns, and nothing else of the thread's schedule changes", test_short},
};

TAP_MAIN(tests)
