/*
 * 8254: all modes with their output timing, loading and latching, BCD, gates, the interrupt of
 * channel 0 and what happens when the host is late or the guest asks for too much.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8254.h"

#include "hw/port61.h"
#include "tests/unit/hw/board.h"

#define CONTROL 0x43
#define IRQ0    0

#define LSB  0x10
#define BOTH 0x30

static Device *pit, *port61;
static int64_t zero; /* the tick that set_up() left the clock at */

static int64_t tick(void)
{
    return (int64_t)((__int128)clock_now(CLOCK_VIRTUAL) * I8254_HZ / NS_PER_SEC);
}

/* Moves the clock to the beginning of a tick, counted from zero. */
static void to_tick(int64_t t)
{
    __int128 ns = ((__int128)(zero + t) * NS_PER_SEC + I8254_HZ - 1) / I8254_HZ;
    clock_step((int64_t)ns - clock_now(CLOCK_VIRTUAL));
}

static void set_up(void)
{
    if (!pit) {
        board_set_up();
        pit = i8254_create(&board_lines[IRQ0]);
        port61 = port61_create(pit);
    }
    devices_reset();
    i8254_set_waiting(pit, NULL, NULL);
    zero = 0;
    to_tick(tick() + 1); /* a tick's beginning */
    zero = tick();
}

/* Channel n in a mode, with a 16-bit count; the count is loaded by tick 1. */
static void program(unsigned n, unsigned mode, unsigned count)
{
    out8(CONTROL, (uint8_t)(n << 6 | BOTH | mode << 1));
    out8((uint16_t)(0x40 + n), (uint8_t)count);
    out8((uint16_t)(0x40 + n), (uint8_t)(count >> 8));
    board_clear_rises();
}

static unsigned count_now(unsigned n)
{
    out8(CONTROL, (uint8_t)(n << 6));
    unsigned low = in8((uint16_t)(0x40 + n));
    return low | (unsigned)in8((uint16_t)(0x40 + n)) << 8;
}

static bool out(unsigned n)
{
    return i8254_output(pit, n);
}

static void mode_0_rises_at_terminal_count(void)
{
    set_up();
    program(0, 0, 5);
    CHECK(!out(0));
    to_tick(1);
    CHECK_EQ(count_now(0), 5);
    to_tick(5);
    CHECK_EQ(count_now(0), 1);
    CHECK(!out(0));
    CHECK(!board_level[IRQ0]);
    to_tick(6);
    CHECK(out(0));
    CHECK(board_level[IRQ0]);
    CHECK_EQ(count_now(0), 0);
    to_tick(8);
    CHECK_EQ(count_now(0), 0xfffe);
    CHECK(out(0));
    out8(0x40, 9); /* the first byte of a new count stops it */
    CHECK(!out(0));
    to_tick(20);
    CHECK(!out(0));
    out8(0x40, 0);
    to_tick(20 + 9);
    CHECK(!out(0));
    to_tick(20 + 10);
    CHECK(out(0));
    CHECK_EQ(board_rises[IRQ0], 2);
}

static void mode_0_stops_at_a_low_gate(void)
{
    set_up();
    i8254_set_gate(pit, 2, true);
    program(2, 0, 100);
    to_tick(11);
    CHECK_EQ(count_now(2), 90);
    i8254_set_gate(pit, 2, false);
    to_tick(500);
    CHECK_EQ(count_now(2), 90);
    CHECK(!out(2));
    i8254_set_gate(pit, 2, true);
    to_tick(589);
    CHECK(!out(2));
    to_tick(590);
    CHECK(out(2));
}

static void mode_1_is_a_one_shot(void)
{
    set_up();
    program(2, 1, 10);
    to_tick(50);
    CHECK(out(2));
    i8254_set_gate(pit, 2, true);
    to_tick(51);
    CHECK(!out(2));
    to_tick(60);
    CHECK(!out(2));
    i8254_set_gate(pit, 2, false);
    i8254_set_gate(pit, 2, true); /* triggered again */
    to_tick(70);
    CHECK(!out(2));
    to_tick(71);
    CHECK(out(2));
    /* A new count waits for the next trigger. */
    out8(0x42, 3);
    out8(0x42, 0);
    i8254_set_gate(pit, 2, false);
    i8254_set_gate(pit, 2, true);
    to_tick(74);
    CHECK(!out(2));
    to_tick(75);
    CHECK(out(2));
}

static void mode_2_pulses_low_for_a_tick(void)
{
    set_up();
    program(0, 2, 4);
    to_tick(1);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(count_now(0), 4);
        CHECK(out(0));
        to_tick(4 + 4 * i);
        CHECK_EQ(count_now(0), 1);
        CHECK(!out(0));
        to_tick(5 + 4 * i);
    }
    CHECK(out(0));
}

static void mode_2_finishes_its_period_first(void)
{
    set_up();
    program(2, 2, 10);
    i8254_set_gate(pit, 2, true);
    to_tick(4); /* the gate's edge made the count start by tick 1 */
    out8(0x42, 3);
    out8(0x42, 0);
    CHECK_EQ(count_now(2), 7);
    to_tick(10);
    CHECK(!out(2));
    to_tick(11);
    CHECK_EQ(count_now(2), 3);
    to_tick(13);
    CHECK(!out(2));
    to_tick(14);
    CHECK_EQ(count_now(2), 3);
    i8254_set_gate(pit, 2, false);
    CHECK(out(2));
    to_tick(16);
    CHECK(out(2));
}

static void mode_3_is_a_square_wave(void)
{
    static const struct {
        unsigned count, high;
        unsigned values[7];
    } waves[] = {{6, 3, {6, 4, 2, 6, 4, 2, 6}}, {5, 3, {4, 2, 0, 4, 2, 4, 2}}};

    for (unsigned w = 0; w < 2; w++) {
        set_up();
        i8254_set_gate(pit, 2, true);
        program(2, 3, waves[w].count);
        for (unsigned t = 0; t < 7; t++) {
            to_tick(1 + t);
            CHECK_EQ(out(2), t % waves[w].count < waves[w].high);
            CHECK_EQ(count_now(2), waves[w].values[t]);
        }
    }
}

static void mode_3_changes_at_half_a_period(void)
{
    set_up();
    i8254_set_gate(pit, 2, true);
    program(2, 3, 20);
    to_tick(3);
    out8(0x42, 8);
    out8(0x42, 0);
    to_tick(10);
    CHECK(out(2));
    to_tick(11); /* now the low half of the new count: 4 */
    CHECK(!out(2));
    to_tick(14);
    CHECK(!out(2));
    to_tick(15);
    CHECK(out(2));
    to_tick(19);
    CHECK(!out(2));
}

static void mode_4_strobes_once(void)
{
    set_up();
    program(0, 4, 6);
    CHECK(out(0));
    to_tick(6);
    CHECK(out(0));
    to_tick(7);
    CHECK(!out(0));
    to_tick(8);
    CHECK(out(0));
    CHECK_EQ(board_rises[IRQ0], 1);
    to_tick(200000);
    CHECK_EQ(board_rises[IRQ0], 1);
}

static void mode_5_strobes_when_triggered(void)
{
    set_up();
    program(2, 5, 6);
    to_tick(30);
    CHECK(out(2));
    i8254_set_gate(pit, 2, true);
    to_tick(36);
    CHECK(out(2));
    to_tick(37);
    CHECK(!out(2));
    to_tick(38);
    CHECK(out(2));
}

static void counts_decimal(void)
{
    set_up();
    i8254_set_gate(pit, 2, true);
    out8(CONTROL, 0xb1);
    out8(0x42, 0x00);
    out8(0x42, 0x10); /* 1000 */
    to_tick(1);
    CHECK_EQ(count_now(2), 0x1000);
    to_tick(2);
    CHECK_EQ(count_now(2), 0x0999);
    to_tick(1002);
    CHECK_EQ(count_now(2), 0x9999);
    CHECK(out(2));
    out8(CONTROL, 0xb5);
    out8(0x42, 0);
    out8(0x42, 0); /* 10000 */
    CHECK_EQ(i8254_period(pit, 2), 10000);
}

static void reads_and_writes_single_bytes(void)
{
    set_up();
    out8(CONTROL, 0x40 | LSB | 2 << 1);
    out8(0x41, 100);
    CHECK_EQ(i8254_period(pit, 1), 100);
    to_tick(11);
    CHECK_EQ(in8(0x41), 90);
    CHECK_EQ(in8(0x41), 90);
    out8(CONTROL, 0x40 | 0x20 | 2 << 1); /* high byte */
    out8(0x41, 1);
    CHECK_EQ(i8254_period(pit, 1), 256);
    to_tick(13);
    CHECK_EQ(in8(0x41), 0);
    program(1, 2, 0);
    CHECK_EQ(i8254_period(pit, 1), 65536);
    CHECK_EQ(in8(CONTROL), 0xff);
}

static void latches(void)
{
    set_up();
    program(0, 2, 1000);
    to_tick(101);
    out8(CONTROL, 0x00);
    to_tick(201);
    out8(CONTROL, 0x00); /* the first one holds */
    CHECK_EQ(in8(0x40), 900 & 0xff);
    CHECK_EQ(in8(0x40), 900 >> 8);
    CHECK_EQ(in8(0x40), 800 & 0xff); /* running on */
    CHECK_EQ(in8(0x40), 800 >> 8);
}

static void reads_back(void)
{
    set_up();
    program(0, 2, 1000);
    program(1, 3, 500);
    out8(CONTROL, 0xe2); /* status of channel 0: nothing loaded yet */
    CHECK_EQ(in8(0x40), 0x80 | 0x40 | BOTH | 2 << 1);
    to_tick(301);
    out8(CONTROL, 0xc6); /* count and status of 0 and 1 */
    to_tick(401);
    CHECK_EQ(in8(0x40), 0x80 | BOTH | 2 << 1);
    CHECK_EQ(in8(0x40), 700 & 0xff);
    CHECK_EQ(in8(0x40), 700 >> 8);
    CHECK_EQ(in8(0x41), BOTH | 3 << 1); /* in its low half */
    CHECK_EQ(in8(0x41), 400 & 0xff);
    CHECK_EQ(in8(0x41), 400 >> 8);
    out8(CONTROL, 0xd2); /* count only */
    CHECK_EQ(in8(0x40), 600 & 0xff);
    CHECK_EQ(in8(0x40), 600 >> 8);
}

static void interrupts_at_the_right_rate(void)
{
    static const unsigned modes[] = {2, 3};

    for (unsigned i = 0; i < 2; i++) {
        set_up();
        program(0, modes[i], 11932);
        to_tick(11932);
        CHECK_EQ(board_rises[IRQ0], 0);
        to_tick(11933);
        CHECK_EQ(board_rises[IRQ0], 1);
        clock_step(60 * NS_PER_SEC);
        CHECK_EQ(board_rises[IRQ0], 1 + 60ll * I8254_HZ / 11932);
    }
}

static bool waiting;

static bool is_waiting(void *opaque)
{
    return waiting;
}

static void keeps_ticks_that_the_guest_had_no_time_for(void)
{
    set_up();
    program(0, 2, 1193);
    i8254_set_waiting(pit, is_waiting, NULL);
    waiting = true; /* the guest is held up */
    clock_step(50 * NS_PER_MS);
    CHECK_EQ(board_rises[IRQ0], 0);
    waiting = false;
    clock_step(50 * NS_PER_MS);
    CHECK(board_rises[IRQ0] >= 98 && board_rises[IRQ0] <= 101);

    waiting = true; /* but not for ever */
    clock_step(10 * NS_PER_SEC);
    waiting = false;
    board_clear_rises();
    clock_step(NS_PER_SEC);
    CHECK(board_rises[IRQ0] > 1100 && board_rises[IRQ0] <= 1000 + 260);
}

static void a_tiny_count_is_no_storm(void)
{
    for (unsigned count = 1; count <= 3; count++) {
        set_up();
        program(0, 2, count);
        clock_step(100 * NS_PER_MS);
        CHECK(board_rises[IRQ0] >= 1000 && board_rises[IRQ0] <= 2001);
    }
}

static void port_61_shows_channel_2(void)
{
    set_up();
    program(2, 0, 100);
    CHECK_EQ(in8(0x61) & 0x2f, 0x00);
    out8(0x61, 0x01);
    to_tick(99);
    CHECK_EQ(in8(0x61) & 0x2f, 0x01);
    to_tick(101);
    CHECK_EQ(in8(0x61) & 0x2f, 0x21);
    out8(0x61, 0xff);
    CHECK_EQ(in8(0x61) & 0x2f, 0x2f);
    CHECK(port61_speaker_on(port61));
    unsigned toggles = 0;
    for (unsigned us = 0; us < 1000; us++) {
        uint8_t before = in8(0x61);
        clock_step(NS_PER_US);
        toggles += (before ^ in8(0x61)) >> 4 & 1;
    }
    CHECK(toggles == 66 || toggles == 67);
}

static void disturb(void)
{
    program(0, 4, 77);
    out8(CONTROL, 0xb1);
    out8(0x42, 0x12);
    out8(CONTROL, 0xee);
    clock_step(NS_PER_MS);
}

static void goes_on_after_load(void)
{
    set_up();
    i8254_set_gate(pit, 2, true);
    program(0, 2, 2000);
    program(2, 3, 40);
    to_tick(5);
    out8(0x42, 60);
    out8(0x42, 0);
    out8(CONTROL, 0x00);
    in8(0x40);                             /* half of a latched count is read */
    CHECK(board_round_trip(pit, disturb)); /* takes a millisecond: 1193.2 ticks */
    CHECK_EQ(in8(0x40), (2000 - 4) >> 8);
    board_clear_rises();
    to_tick(2000);
    CHECK_EQ(board_rises[IRQ0], 0);
    to_tick(2001);
    CHECK_EQ(board_rises[IRQ0], 1);
    CHECK_EQ(i8254_period(pit, 2), 60);
}

TESTS(TEST(mode_0_rises_at_terminal_count), TEST(mode_0_stops_at_a_low_gate),
      TEST(mode_1_is_a_one_shot), TEST(mode_2_pulses_low_for_a_tick),
      TEST(mode_2_finishes_its_period_first), TEST(mode_3_is_a_square_wave),
      TEST(mode_3_changes_at_half_a_period), TEST(mode_4_strobes_once),
      TEST(mode_5_strobes_when_triggered), TEST(counts_decimal),
      TEST(reads_and_writes_single_bytes), TEST(latches), TEST(reads_back),
      TEST(interrupts_at_the_right_rate), TEST(keeps_ticks_that_the_guest_had_no_time_for),
      TEST(a_tiny_count_is_no_storm), TEST(port_61_shows_channel_2), TEST(goes_on_after_load))
