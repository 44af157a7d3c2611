/*
 * What the unit tests of the board's chips share: a machine without CPU, stepped time, lines that
 * write down what happens to them, and the round trip of a saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_BOARD_H
#define TESTS_UNIT_HW_BOARD_H

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/memory.h"
#include "tests/unit/test.h"
#include "util/buffer.h"
#include "util/loop.h"

#define BOARD_LINES 24

__attribute__((unused)) static IrqLine board_lines[BOARD_LINES];
__attribute__((unused)) static bool board_level[BOARD_LINES];
__attribute__((unused)) static unsigned board_rises[BOARD_LINES]; /* low to high */

static void board_line_set(void *opaque, int n, bool level)
{
    board_rises[n] += level && !board_level[n];
    board_level[n] = level;
}

/* First in every test program. */
__attribute__((unused)) static void board_set_up(void)
{
    Error *err = NULL;

    machine_lock();
    clock_use_stepped();
    if (!memory_ram_init(64 << 20, &err)) {
        error_report_free(err);
    }
    memory_init();
    for (int n = 0; n < BOARD_LINES; n++) {
        irq_init(&board_lines[n], board_line_set, NULL, n);
    }
}

__attribute__((unused)) static void board_clear_rises(void)
{
    memset(board_rises, 0, sizeof(board_rises));
}

__attribute__((unused)) static uint8_t in8(uint16_t port)
{
    return (uint8_t)ioport_read(port, 1);
}

__attribute__((unused)) static void out8(uint16_t port, uint8_t value)
{
    ioport_write(port, value, 1);
}

__attribute__((unused)) static void board_save(Device *dev, Buffer *out)
{
    vmstate_save(out, dev->class->vmstate, dev->id, dev);
}

__attribute__((unused)) static bool board_load(Device *dev, const Buffer *saved)
{
    Reader in = {.data = saved->data, .size = saved->size};
    Error *err = NULL;

    if (!vmstate_load(&in, dev->class->vmstate, dev->id, dev, &err)) {
        printf("# %s\n", error_text(err));
        error_free(err);
        return false;
    }
    return true;
}

__attribute__((unused)) static bool board_same_state(Device *dev, const Buffer *saved)
{
    Buffer now = {0};
    board_save(dev, &now);
    bool same = now.size == saved->size && memcmp(now.data, saved->data, now.size) == 0;
    buffer_free(&now);
    return same;
}

/*
 * Saves, disturbs, loads. True when disturbing changed the state and loading brought all of it
 * back; the test then goes on from there and sees whether the device does, too.
 */
__attribute__((unused)) static bool board_round_trip(Device *dev, void (*disturb)(void))
{
    Buffer saved = {0};
    bool ok;

    board_save(dev, &saved);
    disturb();
    ok = !board_same_state(dev, &saved);
    if (!ok) {
        printf("# disturbing %s changed nothing\n", dev->id);
    }
    ok = board_load(dev, &saved) && ok;
    if (!board_same_state(dev, &saved)) {
        printf("# %s: what was loaded is not what was saved\n", dev->id);
        ok = false;
    }
    buffer_free(&saved);
    return ok;
}

#endif
