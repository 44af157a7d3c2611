/*
 * The unit tests' harness: a test file lists named cases and gets a main().
 *
 *     static void rings_on_time(void) { CHECK_EQ(reg_read(8), 0x20); }
 *     TESTS(TEST(rings_on_time), ...)
 *
 * Output is TAP ("ok 1 - name"), so that any TAP reader can collect it. A failed CHECK prints both
 * values with its place, marks the case failed and returns from the function it stands in.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct UnitTest {
    const char *name;
    void (*run)(void);
} UnitTest;

static bool test_failed;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                            \
            test_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Integers, compared as 64 bits. */
#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        uint64_t got_ = (uint64_t)(got), want_ = (uint64_t)(want);                                 \
        if (got_ != want_) {                                                                       \
            printf("# %s:%d: %s is 0x%" PRIx64 ", want 0x%" PRIx64 "\n", __FILE__, __LINE__, #got, \
                   got_, want_);                                                                   \
            test_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strcmp(got_, want_) != 0) {                                                            \
            printf("# %s:%d: %s is \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got, got_, want_); \
            test_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define TEST(fn)                                                                                   \
    {                                                                                              \
        #fn, fn                                                                                    \
    }

#define TESTS(...)                                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        static const UnitTest tests[] = {__VA_ARGS__};                                             \
        const unsigned n = sizeof(tests) / sizeof(tests[0]);                                       \
        unsigned failed = 0;                                                                       \
        printf("1..%u\n", n);                                                                      \
        for (unsigned i = 0; i < n; i++) {                                                         \
            test_failed = false;                                                                   \
            tests[i].run();                                                                        \
            printf("%sok %u - %s\n", test_failed ? "not " : "", i + 1, tests[i].name);             \
            fflush(stdout);                                                                        \
            failed += test_failed;                                                                 \
        }                                                                                          \
        return failed != 0;                                                                        \
    }

#endif
