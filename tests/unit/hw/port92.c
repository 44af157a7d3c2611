/*
 * Port 0x92 and the A20 gate: what is written is read back, also what others switched; saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/port92.h"

#include "hw/a20.h"
#include "tests/unit/hw/board.h"

static Device *port92, *a20;

static void set_up(void)
{
    if (!port92) {
        board_set_up();
        a20 = a20_create();
        port92 = port92_create();
    }
    devices_reset();
}

static void switches_the_gate(void)
{
    set_up();
    CHECK(a20_enabled());
    CHECK_EQ(in8(0x92), 0x02);
    out8(0x92, 0x00);
    CHECK(!a20_enabled());
    CHECK_EQ(in8(0x92), 0x00);
    a20_set(true); /* by somebody else */
    CHECK_EQ(in8(0x92), 0x02);
    out8(0x92, 0xc8);
    CHECK_EQ(in8(0x92), 0xc8);
    devices_reset();
    CHECK_EQ(in8(0x92), 0x02);
}

static void disturb_port(void)
{
    out8(0x92, 0x42);
}

static void disturb_gate(void)
{
    a20_set(true);
}

static void goes_on_after_load(void)
{
    set_up();
    out8(0x92, 0x88);
    CHECK(board_round_trip(a20, disturb_gate));
    CHECK(board_round_trip(port92, disturb_port));
    CHECK_EQ(in8(0x92) & 0xc8, 0x88);
}

TESTS(TEST(switches_the_gate), TEST(goes_on_after_load))
