/*
 * Interrupt lines: a wire from one output to one input.
 *
 * The receiver initialises a line with its handler; the sender keeps a pointer and sets the level.
 * A NULL line is a wire that leads nowhere and may be driven. The handler is called on every
 * irq_set(), also when the level did not change; level-sensitive receivers compare.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IRQ_H
#define HW_IRQ_H

#include <stdbool.h>

typedef void IrqHandler(void *opaque, int n, bool level);

typedef struct IrqLine {
    IrqHandler *handler;
    void *opaque;
    int n; /* which of the receiver's inputs */
} IrqLine;

static inline void irq_init(IrqLine *irq, IrqHandler *handler, void *opaque, int n)
{
    irq->handler = handler;
    irq->opaque = opaque;
    irq->n = n;
}

static inline void irq_set(IrqLine *irq, bool level)
{
    if (irq && irq->handler) {
        irq->handler(irq->opaque, irq->n, level);
    }
}

static inline void irq_raise(IrqLine *irq)
{
    irq_set(irq, true);
}

static inline void irq_lower(IrqLine *irq)
{
    irq_set(irq, false);
}

static inline void irq_pulse(IrqLine *irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}

#endif
