/*
 * Errors carry their text, and the nearest name is the one that was meant.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/error.h"

#include <errno.h>

#include "../test.h"

static void errors_carry_text(void)
{
    Error *err = NULL;

    error_set(&err, "-m %d: too %s", 3, "small");
    CHECK_STR(error_text(err), "-m 3: too small");
    error_prepend(&err, "line %d: ", 7);
    CHECK_STR(error_text(err), "line 7: -m 3: too small");
    Error *second = NULL;
    error_propagate(&second, err);
    CHECK(second == err);
    error_free(second);

    err = NULL;
    error_set_errno(&err, ENOENT, "cannot open '%s'", "x");
    CHECK_STR(error_text(err), "cannot open 'x': No such file or directory");
    error_propagate(NULL, err); /* freed */

    error_set(NULL, "nobody %s", "listens");
    err = NULL;
    error_prepend(&err, "nothing to prepend to");
    CHECK(err == NULL);
    error_free(NULL);
}

static void nearest_names(void)
{
    static const char *const names[] = {"memory", "monitor", "smp", "cdrom", "rtl8139", NULL};

    CHECK_STR(nearest_name("monitr", names), "monitor");
    CHECK_STR(nearest_name("MEMORY", names), "memory");
    CHECK_STR(nearest_name("rtl8193", names), "rtl8139");
    CHECK_STR(nearest_name("cdrmo", names), "cdrom");
    CHECK_STR(nearest_name("spm", names), "smp");
    CHECK(nearest_name("xyz", names) == NULL);
    CHECK(nearest_name("", names) == NULL);
    CHECK(nearest_name("a-name-longer-than-any-option-could-ever-be-and-then-some-more-of-it",
                       names) == NULL);
}

TESTS(TEST(errors_carry_text), TEST(nearest_names))
