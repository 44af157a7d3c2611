/*
 * MC146818: the calendar in all its formats, update cycle, periodic interrupt, alarm, flags, CMOS.
 *
 * This is the pattern of a device's unit test: a fixture that brings the chip to a known state, one
 * case a behaviour, named after it, and last the saved state: run, save, disturb, load, compare,
 * continue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/mc146818.h"

#include <time.h>

#include "hw/machine.h"
#include "tests/unit/hw/board.h"

enum {
    SEC,
    SEC_AL,
    MIN,
    MIN_AL,
    HOUR,
    HOUR_AL,
    WDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D,
    CENTURY = 0x32
};

#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_DM  0x04
#define B_24H 0x02

#define IRQ 8

static Device *rtc;

static uint8_t rd(unsigned reg)
{
    out8(0x70, (uint8_t)reg);
    return in8(0x71);
}

static void wr(unsigned reg, uint8_t value)
{
    out8(0x70, (uint8_t)reg);
    out8(0x71, value);
}

/*
 * Sets the clock, bytes as the chip takes them in the given format, no interrupts. The divider
 * comes out of its reset, so the first update is exactly half a second away.
 */
static void set_clock(uint8_t format, const uint8_t bytes[8])
{
    static const uint8_t regs[8] = {CENTURY, YEAR, MONTH, DAY, WDAY, HOUR, MIN, SEC};

    if (!rtc) {
        board_set_up();
        rtc = mc146818_create(&board_lines[IRQ]);
    }
    wr(B, B_SET | format);
    wr(A, 0x76);
    for (unsigned i = 0; i < 8; i++) {
        wr(regs[i], bytes[i]);
    }
    wr(SEC_AL, 0x99);
    wr(MIN_AL, 0x99);
    wr(HOUR_AL, 0x99);
    wr(B, format);
    wr(A, 0x26);
    rd(C);
    board_clear_rises();
}

/* Sunday, 28 December 2025, 23:59:58 */
static const uint8_t near_year_end[8] = {0x20, 0x25, 0x12, 0x28, 1, 0x23, 0x59, 0x58};

static void starts_with_the_hosts_time(void)
{
    time_t now;
    struct tm before, after;

    do { /* not across the turn of a year */
        now = time(NULL);
        gmtime_r(&now, &before);
        board_set_up();
        rtc = mc146818_create(&board_lines[IRQ]);
        now = time(NULL);
        gmtime_r(&now, &after);
    } while (before.tm_year != after.tm_year);
    CHECK_EQ(rd(B), B_24H);
    CHECK_EQ(rd(D), 0x80);
    CHECK_EQ(rd(YEAR), before.tm_year % 100 / 10 << 4 | before.tm_year % 10);
    CHECK_EQ(rd(CENTURY), 0x20);
}

static void counts_and_carries(void)
{
    set_clock(B_24H, (const uint8_t[8]){0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58});
    clock_step(499 * NS_PER_MS);
    CHECK_EQ(rd(SEC), 0x58);
    clock_step(1 * NS_PER_MS);
    CHECK_EQ(rd(SEC), 0x59);
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(SEC), 0x00);
    CHECK_EQ(rd(MIN), 0x00);
    CHECK_EQ(rd(HOUR), 0x00);
    CHECK_EQ(rd(WDAY), 7);
    CHECK_EQ(rd(DAY), 0x01);
    CHECK_EQ(rd(MONTH), 0x01);
    CHECK_EQ(rd(YEAR), 0x00);
    CHECK_EQ(rd(CENTURY), 0x20);
}

static void knows_leap_years(void)
{
    set_clock(B_24H, (const uint8_t[8]){0x20, 0x24, 0x02, 0x28, 4, 0x23, 0x59, 0x59});
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(DAY), 0x29);
    set_clock(B_24H, (const uint8_t[8]){0x20, 0x25, 0x02, 0x28, 6, 0x23, 0x59, 0x59});
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(MONTH), 0x03);
    CHECK_EQ(rd(DAY), 0x01);
}

static void keeps_a_weekday_that_the_calendar_does_not_have(void)
{
    /* A Sunday that the guest calls 3. */
    set_clock(B_24H, (const uint8_t[8]){0x20, 0x25, 0x12, 0x28, 3, 0x23, 0x59, 0x59});
    CHECK_EQ(rd(WDAY), 3);
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(WDAY), 4);
}

static void counts_in_binary(void)
{
    set_clock(B_24H | B_DM, (const uint8_t[8]){20, 25, 12, 28, 1, 22, 59, 59});
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(HOUR), 23);
    CHECK_EQ(rd(YEAR), 25);
    CHECK_EQ(rd(CENTURY), 20);
}

static void counts_twelve_hours(void)
{
    static const uint8_t hours[][2] = {
        {0x12, 0x01}, {0x01, 0x02}, {0x11, 0x92}, {0x92, 0x81}, {0x91, 0x12},
    };

    for (unsigned i = 0; i < sizeof(hours) / sizeof(hours[0]); i++) {
        set_clock(0, (const uint8_t[8]){0x20, 0x25, 0x12, 0x28, 1, hours[i][0], 0x59, 0x59});
        CHECK_EQ(rd(HOUR), hours[i][0]);
        clock_step(NS_PER_SEC);
        CHECK_EQ(rd(HOUR), hours[i][1]);
    }
}

static void reads_the_bytes_anew_in_another_format(void)
{
    set_clock(B_24H, near_year_end);
    wr(B, B_24H | B_DM);
    /* Day 40 of month 18, 35 o'clock: the eleventh of July. */
    CHECK_EQ(rd(MONTH), 7);
    CHECK_EQ(rd(DAY), 11);
    CHECK_EQ(rd(HOUR), 11 + 1);
}

static void stands_still_while_set(void)
{
    set_clock(B_24H, near_year_end);
    wr(B, B_24H | B_SET);
    clock_step(10 * NS_PER_SEC);
    CHECK_EQ(rd(SEC), 0x58);
    CHECK_EQ(rd(A) & 0x80, 0);
    wr(SEC, 0x30);
    wr(B, B_24H);
    CHECK_EQ(rd(SEC), 0x30);
    /* The divider was not stopped: the next update is where it would have been. */
    clock_step(499 * NS_PER_MS);
    CHECK_EQ(rd(SEC), 0x30);
    clock_step(1 * NS_PER_MS);
    CHECK_EQ(rd(SEC), 0x31);
}

static void set_takes_the_update_interrupt_away(void)
{
    set_clock(B_24H, near_year_end);
    wr(B, B_24H | B_UIE);
    wr(B, B_24H | B_UIE | B_SET);
    CHECK_EQ(rd(B), B_24H | B_SET);
}

static void announces_updates(void)
{
    set_clock(B_24H, near_year_end);
    clock_step(500 * NS_PER_MS - 2229 * NS_PER_US);
    CHECK_EQ(rd(A), 0x26);
    clock_step(1 * NS_PER_US);
    CHECK_EQ(rd(A), 0xa6);
    clock_step(2227 * NS_PER_US);
    CHECK_EQ(rd(A), 0xa6);
    CHECK_EQ(rd(SEC), 0x58);
    clock_step(1 * NS_PER_US);
    CHECK_EQ(rd(A), 0x26);
    CHECK_EQ(rd(SEC), 0x59);
}

static void interrupts_after_updates(void)
{
    set_clock(B_24H, near_year_end);
    wr(B, B_24H | B_UIE);
    clock_step(499 * NS_PER_MS);
    CHECK(!board_level[IRQ]);
    clock_step(1 * NS_PER_MS);
    CHECK(board_level[IRQ]);
    clock_step(3 * NS_PER_SEC);
    CHECK_EQ(board_rises[IRQ], 1); /* one, until it is acknowledged */
    CHECK_EQ(rd(C) & 0xb0, 0x90);
    CHECK(!board_level[IRQ]);
    CHECK_EQ(rd(C), 0);
    clock_step(NS_PER_SEC);
    CHECK_EQ(board_rises[IRQ], 2);
}

static void flags_come_without_interrupts(void)
{
    set_clock(B_24H, near_year_end);
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(C), 0x50); /* periodic and update, no IRQF */
    CHECK_EQ(board_rises[IRQ], 0);
}

static void interrupts_periodically(void)
{
    /* Rate select and the interrupts it gives in a second. */
    static const unsigned rates[][2] = {{1, 256},  {2, 128}, {3, 8192},
                                        {6, 1024}, {10, 64}, {15, 2}};

    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        unsigned count = 0;
        set_clock(B_24H, near_year_end);
        wr(A, (uint8_t)(0x20 | rates[i][0]));
        wr(B, B_24H | B_PIE);
        for (unsigned us = 0; us < 1000000; us += 61) {
            clock_step(61 * NS_PER_US);
            if (board_level[IRQ]) {
                CHECK_EQ(rd(C) & 0xc0, 0xc0);
                count++;
            }
        }
        CHECK(count >= rates[i][1] - 1 && count <= rates[i][1] + 1);
    }
    wr(A, 0x20); /* no rate: no interrupt */
    rd(C);
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(C) & 0x40, 0);
}

static void rings_on_time(void)
{
    set_clock(B_24H, near_year_end);
    wr(HOUR_AL, 0x00);
    wr(MIN_AL, 0x01);
    wr(SEC_AL, 0x05);
    wr(B, B_24H | B_AIE);
    clock_step(66 * NS_PER_SEC); /* 00:01:04 */
    CHECK(!board_level[IRQ]);
    clock_step(NS_PER_SEC);
    CHECK(board_level[IRQ]);
    CHECK_EQ(rd(SEC), 0x05);
    CHECK_EQ(rd(C) & 0xa0, 0xa0);
    clock_step((int64_t)86399 * NS_PER_SEC);
    CHECK(!board_level[IRQ]);
    clock_step(NS_PER_SEC);
    CHECK(board_level[IRQ]);
}

static void rings_with_wildcards(void)
{
    set_clock(B_24H, near_year_end);
    wr(HOUR_AL, 0xff);
    wr(MIN_AL, 0xc0);
    wr(SEC_AL, 0x30);
    wr(B, B_24H | B_AIE);
    for (unsigned minute = 0; minute < 3; minute++) {
        clock_step(60 * NS_PER_SEC);
        CHECK(board_level[IRQ]);
        CHECK_EQ(rd(C) & 0x20, 0x20);
    }
    wr(SEC_AL, 0xff);
    clock_step(NS_PER_SEC);
    CHECK_EQ(rd(C) & 0x20, 0x20);
    wr(SEC_AL, 0x75); /* no such second */
    clock_step((int64_t)100000 * NS_PER_SEC);
    CHECK_EQ(rd(C) & 0x20, 0);
}

static void keeps_cmos_bytes(void)
{
    set_clock(B_24H, near_year_end);
    mc146818_set_cmos(rtc, 0x10, 0x40);
    CHECK_EQ(rd(0x10), 0x40);
    wr(0x7f, 0x5a);
    CHECK_EQ(mc146818_get_cmos(rtc, 0x7f), 0x5a);
    out8(0x70, 0x80 | 0x7f);
    CHECK(mc146818_nmi_masked(rtc));
    CHECK_EQ(in8(0x71), 0x5a);
    CHECK_EQ(in8(0x70), 0xff);
    wr(D, 0);
    CHECK_EQ(rd(D), 0x80);
    CHECK(!mc146818_nmi_masked(rtc));
}

static void reset_keeps_time_and_memory(void)
{
    set_clock(B_24H, near_year_end);
    wr(0x40, 0x77);
    wr(B, B_24H | B_UIE | B_PIE | B_AIE);
    clock_step(NS_PER_SEC);
    CHECK(board_level[IRQ]);
    devices_reset();
    CHECK(!board_level[IRQ]);
    CHECK_EQ(rd(B), B_24H);
    CHECK_EQ(rd(C), 0);
    CHECK_EQ(rd(0x40), 0x77);
    CHECK_EQ(rd(SEC), 0x59);
}

static void disturb(void)
{
    set_clock(B_DM, (const uint8_t[8]){19, 80, 1, 1, 2, 3, 4, 5});
    wr(0x40, 0);
    clock_step(7 * NS_PER_SEC + 123 * NS_PER_MS);
    out8(0x70, 0x55);
}

static void goes_on_after_load(void)
{
    set_clock(B_24H, near_year_end);
    wr(0x40, 0x77);
    wr(HOUR_AL, 0xff);
    wr(MIN_AL, 0x00);
    wr(SEC_AL, 0x12);
    wr(B, B_24H | B_AIE);
    clock_step(200 * NS_PER_MS);
    out8(0x70, 0x40);
    CHECK(board_round_trip(rtc, disturb));
    CHECK_EQ(in8(0x71), 0x77);
    /* Time went on while the clock was disturbed, by 7.123 s: 0.2 + 7.123 of a second past 58.5. */
    CHECK_EQ(rd(SEC), 0x05);
    CHECK_EQ(rd(HOUR), 0x00);
    clock_step(6 * NS_PER_SEC);
    CHECK(!board_level[IRQ]);
    clock_step(NS_PER_SEC);
    CHECK(board_level[IRQ]);
    CHECK_EQ(rd(SEC), 0x12);
}

static unsigned times_told;
static int64_t told_ahead_sec;

static void time_told(int64_t ahead_sec)
{
    times_told++;
    told_ahead_sec = ahead_sec;
}

/* As a BIOS does: registers A and B are written at each start, and the time is not set by that. */
static void tells_only_of_another_time(void)
{
    set_clock(B_24H, (const uint8_t[8]){0x20, 0x24, 0x02, 0x28, 0x04, 0x12, 0x34, 0x56});
    mc146818_set_time_handler(time_told);
    times_told = 0;
    wr(A, 0x26);
    wr(B, B_24H);
    wr(MIN, 0x34);
    CHECK_EQ(times_told, 0);
    wr(MIN, 0x35);
    CHECK_EQ(times_told, 1);
    int64_t before = told_ahead_sec;
    wr(B, B_24H | B_SET);
    wr(YEAR, 0x25);
    CHECK_EQ(times_told, 1);
    wr(B, B_24H);
    CHECK_EQ(times_told, 2);
    CHECK(told_ahead_sec - before >= 364 * 86400 && told_ahead_sec - before <= 366 * 86400);
    mc146818_set_time_handler(NULL);
}

TESTS(TEST(starts_with_the_hosts_time), TEST(counts_and_carries), TEST(knows_leap_years),
      TEST(keeps_a_weekday_that_the_calendar_does_not_have), TEST(counts_in_binary),
      TEST(counts_twelve_hours), TEST(reads_the_bytes_anew_in_another_format),
      TEST(stands_still_while_set), TEST(set_takes_the_update_interrupt_away),
      TEST(announces_updates), TEST(interrupts_after_updates), TEST(flags_come_without_interrupts),
      TEST(interrupts_periodically), TEST(rings_on_time), TEST(rings_with_wildcards),
      TEST(keeps_cmos_bytes), TEST(tells_only_of_another_time), TEST(reset_keeps_time_and_memory),
      TEST(goes_on_after_load))
