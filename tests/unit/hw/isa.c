/*
 * Numbered ports on the ISA bus: which places they get, what is refused, and the interrupt lines
 * that they share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/isa.h"

#include "tests/unit/hw/board.h"

static const IsaPortKind kind = {
    .class_name = "test-port",
    .last = "PORT3",
    .ports = 8,
    .count = 3,
    .iobase = (const uint16_t[]){0x100, 0x200, 0x300},
    .irq = (const uint8_t[]){4, 3, 4},
};

static IsaPort unset(unsigned index)
{
    return (IsaPort){.index = (uint8_t)index, .irq = ISA_IRQ_UNSET};
}

static bool chosen(IsaPort *port)
{
    return isa_port_choose(port, &kind, NULL);
}

static bool refused(IsaPort port, const char *why)
{
    Error *err = NULL;
    bool ok = !isa_port_choose(&port, &kind, &err) && strstr(error_text(err), why);

    error_free(err);
    return ok;
}

static void ports_take_the_next_free_place(void)
{
    IsaPort first = unset(ISA_INDEX_NEXT), third = unset(2), next = unset(ISA_INDEX_NEXT);

    CHECK(chosen(&first));
    isa_port_connect(&first);
    CHECK(first.index == 0 && first.iobase == 0x100 && first.irq == 4);
    CHECK(chosen(&third));
    isa_port_connect(&third);
    CHECK(third.iobase == 0x300 && third.irq == 4);
    CHECK(chosen(&next));
    isa_port_connect(&next);
    CHECK(next.index == 1 && next.iobase == 0x200 && next.irq == 3);

    CHECK(refused(unset(2), "index=2 is taken"));
    CHECK(refused(unset(ISA_INDEX_NEXT), "beyond PORT3"));
    CHECK(refused(unset(7), "beyond PORT3"));
    IsaPort fourth = {.index = ISA_INDEX_NEXT, .iobase = 0x400, .irq = 9};
    CHECK(chosen(&fourth));
    CHECK(fourth.iobase == 0x400 && fourth.irq == 9);

    isa_port_disconnect(&first);
    IsaPort again = unset(ISA_INDEX_NEXT);
    CHECK(chosen(&again));
    CHECK_EQ(again.index, 0);
    isa_port_disconnect(&third);
    isa_port_disconnect(&next);
}

static void places_that_are_not_there_are_refused(void)
{
    IsaPort port = unset(0);

    port.irq = 16;
    CHECK(refused(port, "irq=16"));
    port = unset(0);
    port.iobase = 0xfff9;
    CHECK(refused(port, "iobase=0xfff9"));
    port.iobase = 0xfff8;
    CHECK(chosen(&port));
    CHECK_EQ(port.irq, 4);
}

static void a_line_is_high_while_anybody_holds_it(void)
{
    IsaPort a = unset(0), b = unset(2), other = unset(1);

    board_set_up();
    isa_set_irqs(board_lines, 16);
    CHECK(chosen(&a) && chosen(&b) && chosen(&other));
    isa_port_connect(&a);
    isa_port_connect(&b);
    isa_port_connect(&other);
    irq_raise(&a.line);
    irq_raise(&b.line);
    CHECK(board_level[4] && !board_level[3]);
    irq_raise(&other.line);
    irq_lower(&other.line);
    CHECK(board_level[4] && !board_level[3]);
    irq_lower(&b.line);
    CHECK(board_level[4]);
    irq_lower(&a.line);
    CHECK(!board_level[4]);
    CHECK_EQ(board_rises[4], 1);

    /* Known from a saved state, driven by nobody. */
    isa_port_set_loaded_level(&a, true);
    CHECK(!board_level[4]);
    irq_lower(&b.line);
    CHECK(board_level[4]);
    isa_port_disconnect(&a);
    CHECK(!board_level[4]);
    isa_port_disconnect(&b);
    isa_port_disconnect(&other);
}

TESTS(TEST(ports_take_the_next_free_place), TEST(places_that_are_not_there_are_refused),
      TEST(a_line_is_high_while_anybody_holds_it))
