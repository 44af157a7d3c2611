/*
 * The coprocessor error line of a PC: FERR# to IRQ 13, port 0xf0.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_FPU_ERROR_H
#define HW_FPU_ERROR_H

#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass fpu_error_class;

/* irq: the board's IRQ 13. FERR# is CPU 0's. */
Device *fpu_error_create(IrqLine *irq);

#endif
