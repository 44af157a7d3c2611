/*
 * The ISA bus's interrupt lines and numbered ports, for devices that the user adds with -device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ISA_H
#define HW_ISA_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/irq.h"
#include "util/error.h"

/*
 * The board names its inputs once: `lines` holds n of them (16, or 24 where an IOAPIC has inputs of
 * its own behind the ISA ones) and outlives the machine.
 */
void isa_set_irqs(IrqLine *lines, unsigned n);
/* Input n (global system interrupt n above 15), or NULL when the board has none such. */
IrqLine *isa_irq(unsigned n);

/* What a kind of port that PCs number (COM1 to COM4, LPT1 to LPT3) has by its number. */
typedef struct IsaPortKind {
    const char *class_name, *last; /* for messages: "isa-serial", "COM4" */
    unsigned ports;                /* I/O ports each */
    unsigned count;
    const uint16_t *iobase;
    const uint8_t *irq;
} IsaPortKind;

#define ISA_INDEX_NEXT 0xff
#define ISA_IRQ_UNSET  0xff

/*
 * Such a port; ports may share an interrupt line, which is high while any of them holds it high.
 * The lines of the board's own chips are not shared.
 */
typedef struct IsaPort {
    /* the user's properties; isa_port_choose() fills in what is open */
    uint8_t index;   /* from 0; ISA_INDEX_NEXT: the next free one */
    uint16_t iobase; /* 0: as the index says */
    uint8_t irq;     /* ISA_IRQ_UNSET: likewise */
    /* set by isa_port_choose() and isa_port_connect() */
    IrqLine line; /* what the device drives */
    bool level;
    const IsaPortKind *kind;
    struct IsaPort *next;
} IsaPort;

bool isa_port_choose(IsaPort *port, const IsaPortKind *kind, Error **errp);
/* After isa_port_choose(); takes the index and plugs the line in. */
void isa_port_connect(IsaPort *port);
void isa_port_disconnect(IsaPort *port);
/* After loading, when no line is driven: the level that the device holds. */
void isa_port_set_loaded_level(IsaPort *port, bool level);

#endif
