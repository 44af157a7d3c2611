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

TESTS(TEST(items_by_name), TEST(every_item_has_a_name), TEST(lines_go_to_the_file))
