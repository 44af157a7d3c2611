/*
 * 8259 pair: initialisation, priorities and rotation, every kind of end of interrupt, special mask
 * and fully nested modes, polling, edges and levels, spurious interrupts, cascade.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8259.h"

#include "tests/unit/hw/board.h"

#define MASTER 0x20
#define SLAVE  0xa0
#define ELCR   0x4d0
#define INTR   0 /* board line */

#define EOI      0x20
#define READ_IRR 0x0a
#define READ_ISR 0x0b
#define POLL     0x0c

static Device *pic;

static void init_chip(uint16_t port, uint8_t icw1, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    out8(port, icw1);
    out8(port + 1, base);
    if (!(icw1 & 2)) {
        out8(port + 1, icw3);
    }
    if (icw1 & 1) {
        out8(port + 1, icw4);
    }
}

/* As a BIOS does it: vectors 8 and 0x70, edges, nothing masked, all lines low. */
static void set_up_with(uint8_t icw4_master)
{
    if (!pic) {
        board_set_up();
        pic = i8259_create(&board_lines[INTR]);
    }
    for (unsigned n = 0; n < 16; n++) {
        irq_lower(i8259_input(pic, n));
    }
    devices_reset();
    init_chip(MASTER, 0x11, 0x08, 0x04, icw4_master);
    init_chip(SLAVE, 0x11, 0x70, 0x02, 0x01);
    board_clear_rises();
}

static void set_up(void)
{
    set_up_with(0x01);
}

static void raise(unsigned n)
{
    irq_raise(i8259_input(pic, n));
}

static void lower(unsigned n)
{
    irq_lower(i8259_input(pic, n));
}

static uint8_t ack(void)
{
    return i8259_acknowledge(pic);
}

static uint8_t isr(uint16_t port)
{
    out8(port, READ_ISR);
    return in8(port);
}

static uint8_t irr(uint16_t port)
{
    out8(port, READ_IRR);
    return in8(port);
}

static void delivers_an_edge_once(void)
{
    set_up();
    CHECK(!board_level[INTR]);
    raise(1);
    CHECK(board_level[INTR]);
    CHECK(i8259_waiting(pic, 1));
    CHECK_EQ(irr(MASTER), 0x02);
    CHECK_EQ(ack(), 0x09);
    CHECK(!i8259_waiting(pic, 1));
    CHECK_EQ(irr(MASTER), 0);
    CHECK_EQ(isr(MASTER), 0x02);
    CHECK(!board_level[INTR]);
    out8(MASTER, EOI);
    CHECK_EQ(isr(MASTER), 0);
    CHECK(!board_level[INTR]); /* still high, but no new edge */
    lower(1);
    raise(1);
    CHECK(board_level[INTR]);
}

static void an_edge_that_goes_away_is_spurious(void)
{
    set_up();
    raise(3);
    lower(3);
    CHECK(!board_level[INTR]);
    CHECK_EQ(ack(), 0x08 + 7); /* the CPU had begun its cycle */
    CHECK_EQ(isr(MASTER), 0);
    raise(11);
    CHECK(board_level[INTR]);
    out8(SLAVE + 1, 0x08); /* masked between request and acknowledge */
    CHECK_EQ(ack(), 0x0f);
}

static void cascades_into_a_master_in_level_mode(void)
{
    set_up();
    init_chip(MASTER, 0x19, 0x08, 0x04, 0x01);
    raise(11);
    CHECK_EQ(ack(), 0x73);
    CHECK_EQ(isr(MASTER), 0x04);
    CHECK_EQ(isr(SLAVE), 0x08);
}

static void a_level_interrupts_until_it_falls(void)
{
    set_up();
    out8(ELCR, 0xff);
    out8(ELCR + 1, 0xff);
    CHECK_EQ(in8(ELCR), 0xf8);
    CHECK_EQ(in8(ELCR + 1), 0xde);
    raise(5);
    CHECK_EQ(ack(), 0x0d);
    CHECK(!board_level[INTR]);
    out8(MASTER, EOI);
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x0d);
    lower(5);
    out8(MASTER, EOI);
    CHECK(!board_level[INTR]);
}

static void higher_priorities_interrupt_lower_ones(void)
{
    set_up();
    raise(4);
    CHECK_EQ(ack(), 0x0c);
    raise(6);
    CHECK(!board_level[INTR]);
    raise(1);
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x09);
    out8(MASTER, EOI); /* ends 1 */
    CHECK_EQ(isr(MASTER), 0x10);
    CHECK(!board_level[INTR]);
    out8(MASTER, 0x60 | 4); /* specific */
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x0e);
}

static void masks(void)
{
    set_up();
    out8(MASTER + 1, 0x02);
    CHECK_EQ(in8(MASTER + 1), 0x02);
    raise(1);
    CHECK(!board_level[INTR]);
    CHECK(!i8259_waiting(pic, 1));
    CHECK_EQ(irr(MASTER), 0x02);
    out8(MASTER + 1, 0);
    CHECK(board_level[INTR]);
}

static void cascades(void)
{
    set_up();
    raise(12);
    raise(9);
    CHECK_EQ(ack(), 0x71);
    CHECK_EQ(isr(MASTER), 0x04);
    CHECK_EQ(isr(SLAVE), 0x02);
    CHECK(!board_level[INTR]);
    out8(SLAVE, EOI);
    CHECK(!board_level[INTR]); /* the master still serves the cascade */
    out8(MASTER, EOI);
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x74);
    CHECK(i8259_input(pic, 2) == NULL);
}

static void special_fully_nested_lets_the_slave_nest(void)
{
    set_up_with(0x11);
    raise(12);
    CHECK_EQ(ack(), 0x74);
    raise(9);
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x71);
    set_up(); /* and without it does not */
    raise(12);
    CHECK_EQ(ack(), 0x74);
    raise(9);
    CHECK(!board_level[INTR]);
}

static void ends_by_itself(void)
{
    set_up_with(0x03);
    raise(4);
    CHECK_EQ(ack(), 0x0c);
    CHECK_EQ(isr(MASTER), 0);
    out8(MASTER, 0x80); /* rotate in automatic EOI */
    raise(0);
    CHECK_EQ(ack(), 0x08);
    lower(0);
    raise(0); /* now the lowest */
    raise(6);
    CHECK_EQ(ack(), 0x0e);
    CHECK_EQ(ack(), 0x08);
}

static void rotates(void)
{
    set_up();
    raise(2 + 1);
    CHECK_EQ(ack(), 0x0b);
    out8(MASTER, 0xa0); /* rotate on non-specific EOI: 3 is the lowest */
    lower(3);
    raise(3);
    raise(7);
    CHECK_EQ(ack(), 0x0f);
    out8(MASTER, EOI);
    CHECK_EQ(ack(), 0x0b);
    out8(MASTER, 0xe0 | 3); /* rotate on specific EOI */
    out8(MASTER, 0xc0 | 5); /* set priority: 5 is the lowest, 6 the highest */
    lower(3);
    lower(7);
    raise(3);
    raise(7);
    raise(6);
    CHECK_EQ(ack(), 0x0e);
    out8(MASTER, EOI);
    CHECK_EQ(ack(), 0x0f);
    out8(MASTER, EOI);
    CHECK_EQ(ack(), 0x0b);
}

static void special_mask_mode_opens_lower_priorities(void)
{
    set_up();
    raise(3);
    CHECK_EQ(ack(), 0x0b);
    raise(5);
    CHECK(!board_level[INTR]);
    out8(MASTER, 0x68);
    out8(MASTER + 1, 0x08);
    CHECK(board_level[INTR]);
    CHECK_EQ(ack(), 0x0d);
    out8(MASTER, EOI); /* not 3, which is masked */
    CHECK_EQ(isr(MASTER), 0x08);
    out8(MASTER, 0x48);
    out8(MASTER, EOI);
    CHECK_EQ(isr(MASTER), 0);
}

static void polls(void)
{
    set_up();
    out8(MASTER, POLL);
    CHECK_EQ(in8(MASTER) & 0x80, 0);
    raise(4);
    out8(MASTER, POLL);
    CHECK_EQ(in8(MASTER), 0x84);
    CHECK_EQ(isr(MASTER), 0x10);
    CHECK(!board_level[INTR]);
    out8(MASTER, EOI);
    raise(14);
    out8(MASTER, POLL);
    CHECK_EQ(in8(MASTER), 0x82);
    out8(SLAVE, POLL);
    CHECK_EQ(in8(SLAVE + 1), 0x86);
    CHECK_EQ(isr(SLAVE), 0x40);
}

static void initialisation_clears(void)
{
    set_up();
    out8(MASTER + 1, 0xff);
    out8(MASTER, 0xc0 | 3);
    raise(1);
    out8(MASTER, 0x11);
    CHECK(!board_level[INTR]); /* nothing before the words are complete */
    out8(MASTER + 1, 0x20);
    out8(MASTER + 1, 0x04);
    out8(MASTER + 1, 0x01);
    CHECK_EQ(in8(MASTER + 1), 0);
    CHECK_EQ(irr(MASTER), 0); /* the old edge is gone */
    raise(0);
    CHECK_EQ(ack(), 0x20);
}

static void single_and_short_initialisation(void)
{
    set_up();
    init_chip(MASTER, 0x12, 0x40, 0, 0);
    out8(MASTER + 1, 0x01); /* that is the mask already */
    CHECK_EQ(in8(MASTER + 1), 0x01);
    raise(3);
    CHECK_EQ(ack(), 0x43);
}

static void level_mode_of_the_whole_chip(void)
{
    set_up();
    init_chip(MASTER, 0x19, 0x08, 0x04, 0x01);
    raise(0);
    CHECK_EQ(ack(), 0x08);
    out8(MASTER, EOI);
    CHECK(board_level[INTR]);
}

static void disturb(void)
{
    for (unsigned n = 0; n < 16; n++) {
        irq_set(i8259_input(pic, n), n & 1);
    }
    out8(MASTER, 0x11);
    out8(MASTER + 1, 0x80);
    out8(ELCR, 0x20);
    out8(SLAVE + 1, 0x55);
    out8(SLAVE, 0xc5);
    out8(SLAVE, POLL);
}

static void goes_on_after_load(void)
{
    set_up();
    out8(ELCR + 1, 0x02);
    raise(9);
    raise(4);
    out8(MASTER, 0xc0 | 1); /* 2, the cascade, first */
    CHECK_EQ(ack(), 0x71);
    out8(SLAVE + 1, 0x10);
    CHECK(board_round_trip(pic, disturb));
    CHECK_EQ(in8(SLAVE + 1), 0x10);
    CHECK_EQ(isr(SLAVE), 0x02);
    out8(SLAVE, EOI);
    out8(MASTER, EOI);
    CHECK_EQ(ack(), 0x71); /* the level is still there */
    lower(9);
    out8(SLAVE, EOI);
    out8(MASTER, EOI);
    CHECK_EQ(ack(), 0x0c);
    out8(MASTER, EOI);
    CHECK(!board_level[INTR]);
}

TESTS(TEST(delivers_an_edge_once), TEST(an_edge_that_goes_away_is_spurious),
      TEST(cascades_into_a_master_in_level_mode), TEST(a_level_interrupts_until_it_falls),
      TEST(higher_priorities_interrupt_lower_ones), TEST(masks), TEST(cascades),
      TEST(special_fully_nested_lets_the_slave_nest), TEST(ends_by_itself), TEST(rotates),
      TEST(special_mask_mode_opens_lower_priorities), TEST(polls), TEST(initialisation_clears),
      TEST(single_and_short_initialisation), TEST(level_mode_of_the_whole_chip),
      TEST(goes_on_after_load))
