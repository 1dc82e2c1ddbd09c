/* bench/meter: what a load has shown. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "bench/meter.h"
#include "tests/unit/tap.h"

static void quantiles(void)
{
    static struct histogram h;

    CHECK_INT(histogram_quantile(&h, 500), 0);
    for (uint64_t us = 1; us <= 1000; us++)
        histogram_add(&h, us * 1000);
    CHECK_INT(h.count, 1000);
    CHECK_INT(h.max_ns, 1000000);
    CHECK(histogram_quantile(&h, 500) >= 500000 && histogram_quantile(&h, 500) <= 516000);
    CHECK(histogram_quantile(&h, 990) >= 990000 && histogram_quantile(&h, 990) <= 1000000);
    CHECK_INT(histogram_quantile(&h, 1000), 1000000);
}

static void small_and_huge(void)
{
    static struct histogram h;

    histogram_add(&h, 0);
    CHECK_INT(histogram_quantile(&h, 1000), 0);
    histogram_add(&h, UINT64_MAX);
    CHECK_INT(h.max_ns == UINT64_MAX, 1);
    CHECK(histogram_quantile(&h, 1000) > UINT64_C(1) << 40);
}

static void each_value_in_its_bucket(void)
{
    for (uint64_t v = 1; v < UINT64_C(1) << 38; v += 1 + v / 7) {
        struct histogram *h = calloc(1, sizeof(*h));
        uint64_t q;

        if (!h)
            abort();
        histogram_add(h, v);
        h->max_ns = UINT64_MAX; /* so that the bucket's own edge is told */
        q = histogram_quantile(h, 1000);
        free(h);
        CHECK(q >= v && q - v <= v / 31);
    }
}

static void in_order(void)
{
    struct flow f = {0};

    for (uint32_t i = 0; i < 5000; i++)
        CHECK_INT(flow_receive(&f, i), FLOW_NEW);
    CHECK_INT(f.received, 5000);
}

static void duplicates(void)
{
    struct flow f = {0};

    CHECK_INT(flow_receive(&f, 0), FLOW_NEW);
    CHECK_INT(flow_receive(&f, 0), FLOW_DUPLICATE);
    CHECK_INT(flow_receive(&f, METER_WINDOW), FLOW_NEW); /* the same bit of the window, another number */
    CHECK_INT(flow_receive(&f, METER_WINDOW), FLOW_DUPLICATE);
    CHECK_INT(f.received, 2);
}

static void reordered_and_lost(void)
{
    struct flow f = {0};

    CHECK_INT(flow_receive(&f, 2), FLOW_NEW);
    CHECK_INT(flow_receive(&f, 0), FLOW_REORDERED);
    CHECK_INT(flow_receive(&f, 0), FLOW_DUPLICATE);
    CHECK_INT(flow_receive(&f, 5), FLOW_NEW);
    CHECK_INT(f.received, 3); /* 1, 3 and 4 are missing */
}

static void too_old_is_no_arrival(void)
{
    struct flow f = {0};

    CHECK_INT(flow_receive(&f, 2 * METER_WINDOW), FLOW_NEW);
    CHECK_INT(flow_receive(&f, 3), FLOW_DUPLICATE);
    CHECK_INT(f.received, 1);
}

static void the_last_number(void)
{
    struct flow f = {0};

    CHECK_INT(flow_receive(&f, 0), FLOW_NEW);
    CHECK_INT(flow_receive(&f, UINT32_MAX), FLOW_NEW);
    CHECK_INT(flow_receive(&f, UINT32_MAX), FLOW_DUPLICATE);
    CHECK_INT(flow_receive(&f, UINT32_MAX - METER_WINDOW + 1), FLOW_REORDERED); /* the same word as 0, which has left the window */
    CHECK_INT(f.received, 3);
}

static void cpu(void)
{
    uint64_t before, after = 0;
    volatile unsigned sum = 0;

    CHECK_INT(cpu_of(getpid(), &before), 0);
    while (after <= before) { /* until the kernel has charged us something */
        for (unsigned i = 0; i < 1000000; i++)
            sum += i;
        CHECK_INT(cpu_of(getpid(), &after), 0);
    }
    CHECK_INT(cpu_of(0, &before), ERR_NOENT);
}

static const struct tap_test TESTS[] = {
    {"bench: quantiles of a known distribution", quantiles},
    {"bench: the smallest and the largest delay", small_and_huge},
    {"bench: a bucket holds its values to 3 %", each_value_in_its_bucket},
    {"bench: a flow in order has no loss", in_order},
    {"bench: a duplicate is told from a new number in the same slot", duplicates},
    {"bench: late arrivals count once", reordered_and_lost},
    {"bench: what is older than the window is no arrival", too_old_is_no_arrival},
    {"bench: a stranger's highest number is a number like others", the_last_number},
    {"bench: CPU time of a process", cpu},
};

TAP_MAIN(TESTS)
