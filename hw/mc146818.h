/*
 * MC146818 real-time clock and CMOS memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MC146818_H
#define HW_MC146818_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass mc146818_class;

#define MC146818_CMOS_SIZE 128

/* At ports 0x70 and 0x71; the time comes from machine_config.rtc_*. irq is IRQ8. */
Device *mc146818_create(IrqLine *irq);
/* The board fills the CMOS bytes from 0x0e on with what the BIOS looks for. index <
 * MC146818_CMOS_SIZE. */
void mc146818_set_cmos(Device *dev, unsigned index, uint8_t value);
uint8_t mc146818_get_cmos(Device *dev, unsigned index);
/* Called when the guest has set the clock to another time or made it go again, with what it is ahead
 * of the host's UTC, in seconds. A BIOS that writes registers A and B as they are sets nothing. */
void mc146818_set_time_handler(void (*fn)(int64_t ahead_sec));
/* Bit 7 of port 0x70: the board's NMI sources are shut off. */
bool mc146818_nmi_masked(Device *dev);

#endif
