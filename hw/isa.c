/*
 * The ISA bus's interrupt lines.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/isa.h"

#include <stddef.h>

static IrqLine *irq_lines;
static unsigned irq_count;

void isa_set_irqs(IrqLine *lines, unsigned n)
{
    irq_lines = lines;
    irq_count = n;
}

IrqLine *isa_irq(unsigned n)
{
    return n < irq_count ? &irq_lines[n] : NULL;
}
