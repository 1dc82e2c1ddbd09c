/*
 * Purpose:  units in TAP, the smallest way: a table of named functions, CHECK inside them.
 * Owner:    one test program.
 * Lifetime: static.
 * Callers:  tests/unit/.
 * RFC:      none.
 */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct tap_test {
    const char *name; /* "C17 integrity without USERNAME is 400" */
    void (*run)(void);
};

static bool tap_failed;

/* A failed check is printed and ends the test function, not the program. */
#define CHECK(cond)                                                                                                                \
    do {                                                                                                                           \
        if (!(cond)) {                                                                                                             \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                                                    \
            tap_failed = true;                                                                                                     \
            return;                                                                                                                \
        }                                                                                                                          \
    } while (0)

#define CHECK_INT(have, want)                                                                                                      \
    do {                                                                                                                           \
        long long tap_have_ = (long long)(have), tap_want_ = (long long)(want);                                                    \
        if (tap_have_ != tap_want_) {                                                                                              \
            printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #have, tap_have_, tap_want_);                            \
            tap_failed = true;                                                                                                     \
            return;                                                                                                                \
        }                                                                                                                          \
    } while (0)

#define CHECK_MEM(have, want, n) CHECK(memcmp((have), (want), (n)) == 0)
#define CHECK_STR(have, want)    CHECK(strcmp((have), (want)) == 0)

static inline int tap_main(const struct tap_test *tests, size_t n)
{
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        tap_failed = false;
        tests[i].run();
        printf("%sok %zu - %s\n", tap_failed ? "not " : "", i + 1, tests[i].name);
        failed += tap_failed;
    }
    return failed != 0;
}

#define TAP_MAIN(tests)                                                                                                            \
    int main(void)                                                                                                                 \
    {                                                                                                                              \
        return tap_main((tests), sizeof(tests) / sizeof((tests)[0]));                                                              \
    }

#endif
