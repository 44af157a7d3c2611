/*
 * For unit tests of what runs on the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_TEST_LOOP_H
#define TESTS_UNIT_TEST_LOOP_H

#include <stdbool.h>

#include "util/loop.h"

/* The test is the main thread from now on, with the machine lock. True the first time. */
static inline bool test_start_loop(void)
{
    static bool made;

    if (made) {
        return false;
    }
    made = true;
    loop_init();
    machine_lock();
    return true;
}

#endif
