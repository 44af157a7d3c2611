/*
 * The ISA bus's interrupt lines and numbered ports.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/isa.h"

#include <stddef.h>

#define ISA_IRQS 16
#define IO_SPACE 0x10000

static IrqLine *irq_lines;
static unsigned irq_count;
static IsaPort *ports;

void isa_set_irqs(IrqLine *lines, unsigned n)
{
    irq_lines = lines;
    irq_count = n;
}

IrqLine *isa_irq(unsigned n)
{
    return n < irq_count ? &irq_lines[n] : NULL;
}

static bool index_taken(const IsaPortKind *kind, unsigned index)
{
    for (const IsaPort *p = ports; p; p = p->next) {
        if (p->kind == kind && p->index == index) {
            return true;
        }
    }
    return false;
}

bool isa_port_choose(IsaPort *port, const IsaPortKind *kind, Error **errp)
{
    const char *name = kind->class_name;

    if (port->index == ISA_INDEX_NEXT) {
        for (port->index = 0; port->index < kind->count && index_taken(kind, port->index);
             port->index++) {
        }
    }
    if (port->index >= kind->count && (!port->iobase || port->irq == ISA_IRQ_UNSET)) {
        error_set(errp, "%s: a port beyond %s needs iobase= and irq=", name, kind->last);
        return false;
    }
    if (port->index < kind->count && index_taken(kind, port->index)) {
        error_set(errp, "%s: index=%u is taken already", name, port->index);
        return false;
    }
    if (!port->iobase) {
        port->iobase = kind->iobase[port->index];
    }
    if (port->irq == ISA_IRQ_UNSET) {
        port->irq = kind->irq[port->index];
    }
    if (port->irq >= ISA_IRQS || port->iobase > IO_SPACE - kind->ports) {
        error_set(errp, "%s: irq=%u iobase=0x%x: there are 16 lines and 64 K ports", name,
                  port->irq, port->iobase);
        return false;
    }
    port->kind = kind;
    return true;
}

static void port_line_changed(void *opaque, int irq, bool level)
{
    IsaPort *port = opaque;

    port->level = level;
    for (const IsaPort *p = ports; p; p = p->next) {
        level |= p->irq == irq && p->level;
    }
    irq_set(isa_irq((unsigned)irq), level);
}

void isa_port_connect(IsaPort *port)
{
    irq_init(&port->line, port_line_changed, port, port->irq);
    port->level = false;
    port->next = ports;
    ports = port;
}

void isa_port_disconnect(IsaPort *port)
{
    irq_lower(&port->line);
    for (IsaPort **p = &ports; *p; p = &(*p)->next) {
        if (*p == port) {
            *p = port->next;
            return;
        }
    }
}

void isa_port_set_loaded_level(IsaPort *port, bool level)
{
    port->level = level;
}
