/*
 * FERR# raises IRQ 13 until port 0xf0 is written; saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/fpu-error.h"

#include "target-i386/cpu.h"
#include "tests/unit/hw/board.h"

enum { IRQ = 13 };

static Device *fpu_error;

static void set_up(void)
{
    if (!fpu_error) {
        board_set_up();
        fpu_error = fpu_error_create(&board_lines[IRQ]);
    }
    devices_reset();
    irq_lower(&board_lines[IRQ]);
    board_clear_rises();
}

/* As CPU 0 does, on its own thread. */
static void assert_ferr(void)
{
    machine_unlock();
    cpu_ferr(NULL);
    machine_lock();
}

static void raises_until_written(void)
{
    set_up();
    assert_ferr();
    CHECK(board_level[IRQ]);
    assert_ferr();
    CHECK_EQ(board_rises[IRQ], 1);
    out8(0xf0, 0);
    CHECK(!board_level[IRQ]);
    assert_ferr();
    CHECK_EQ(board_rises[IRQ], 2);
}

static void disturb(void)
{
    out8(0xf0, 0);
}

static void goes_on_after_load(void)
{
    set_up();
    assert_ferr();
    CHECK(board_round_trip(fpu_error, disturb));
    irq_raise(&board_lines[IRQ]); /* the receiver saves the level */
    out8(0xf0, 0);
    CHECK(!board_level[IRQ]);
}

TESTS(TEST(raises_until_written), TEST(goes_on_after_load))
