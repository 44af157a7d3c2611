/*
 * The log: items by name, lines in a file, nothing while an item is off.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/log.h"

#include <stdlib.h>
#include <unistd.h>

#include "../test.h"

static void items_by_name(void)
{
    Error *err = NULL;

    CHECK(log_set_items("int,guest_errors", NULL));
    CHECK_EQ(log_mask, LOG_INT | LOG_GUEST_ERRORS);
    CHECK(log_set_items("", NULL));
    CHECK_EQ(log_mask, 0);
    CHECK(!log_set_items("int,guest_error", &err));
    CHECK_STR(error_text(err), "unknown log item 'guest_error': did you mean 'guest_errors'?");
    error_free(err);
    err = NULL;
    CHECK(!log_set_items("quux", &err));
    CHECK_STR(error_text(err), "unknown log item 'quux': '-d help' lists them");
    error_free(err);
    CHECK_EQ(log_mask, 0); /* a wrong list changes nothing */
}

static void count_item(const char *name, const char *help, void *opaque)
{
    Error *err = NULL;
    uint32_t *all = opaque;

    CHECK(log_set_items(name, &err));
    CHECK(help[0] != 0);
    CHECK(log_mask && !(log_mask & (log_mask - 1)));
    CHECK(!(*all & log_mask));
    *all |= log_mask;
}

static void every_item_has_a_name(void)
{
    uint32_t all = 0;

    log_each_item(count_item, &all);
    CHECK(!(all & (all + 1))); /* no bit of LOG_ between others without a name */
    CHECK(all & LOG_MOVES);
    log_mask = 0;
}

static void lines_go_to_the_file(void)
{
    char path[] = "/tmp/log-test-XXXXXX", line[128];
    Error *err = NULL;
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK(log_set_file(path, NULL));
    log_mask = LOG_INT;
    log_printf(LOG_INT, "vector %d\n", 8);
    log_printf(LOG_MMU, "not this\n");
    log_mask = 0;
    ssize_t n = read(fd, line, sizeof(line)); /* while the log is still open */
    close(fd);
    unlink(path);
    CHECK_EQ(n, 9);
    CHECK(memcmp(line, "vector 8\n", 9) == 0);
    CHECK(log_set_file(NULL, NULL));
    CHECK(!log_set_file("/nonexistent/log", &err));
    CHECK(strstr(error_text(err), "/nonexistent/log") != NULL);
    error_free(err);
}

static void code_is_kept_to_ranges(void)
{
    Error *err = NULL;
    static const char *const wrong[] = {
        "x", "0x10", "0x10..", "0x10..0xf", "0x10.0x20", "0x10+0", "0x10+", "0x10-0x12", "0xffffffffffffffff+2", "0x1..2x", " 1..2", "1..2,,3..4", "1..-1",
        "0x10000000000000000..0x10000000000000001",
    };

    CHECK(log_wants_code(0) && log_wants_code(UINT64_MAX));
    CHECK(log_set_filter("0x1000..0x1fff,0x3000+0x10,0x5000-16,0xffffffff80000000+0x80000000", NULL));
    CHECK(!log_wants_code(0xfff) && log_wants_code(0x1000) && log_wants_code(0x1fff) && !log_wants_code(0x2000));
    CHECK(!log_wants_code(0x2fff) && log_wants_code(0x3000) && log_wants_code(0x300f) && !log_wants_code(0x3010));
    CHECK(!log_wants_code(0x4ff0) && log_wants_code(0x4ff1) && log_wants_code(0x5000) && !log_wants_code(0x5001));
    CHECK(!log_wants_code(0xffffffff7fffffff) && log_wants_code(0xffffffff80000000) && log_wants_code(UINT64_MAX));
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(!log_set_filter(wrong[i], &err));
        error_free(err);
        err = NULL;
    }
    CHECK(!log_set_filter("0x1000..0x1fff,0x20..0x10", &err));
    CHECK_STR(error_text(err), "-dfilter: '0x20..0x10' is not a range of addresses: FIRST..LAST, FIRST+SIZE or LAST-SIZE, as in 0x8000..0x8fff");
    error_free(err);
    CHECK(log_wants_code(0x3000) && !log_wants_code(0x2000)); /* as before */
    CHECK(log_set_filter("", NULL));
    CHECK(log_wants_code(0x2000));
}

TESTS(TEST(code_is_kept_to_ranges), TEST(items_by_name), TEST(every_item_has_a_name), TEST(lines_go_to_the_file))
