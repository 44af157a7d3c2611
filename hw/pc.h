/*
 * The PC boards: "pc" (440FX and PIIX3) and "isapc" (no PCI).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PC_H
#define HW_PC_H

#include <stdbool.h>

#include "hw/machine.h"
#include "util/error.h"

/*
 * Puts the machine together: memory map, chips, drives, screen, firmware. Once, with the machine
 * lock held, after loop_init(), vcpu_create_all() and drive_open_all(). Sets up the memory and port
 * maps itself. Ends with a reset. False with an error for the user when a file is missing or an
 * option cannot be met.
 */
bool pc_init(const MachineConfig *config, Error **errp);

/* Up to three of the letters acdn, which the firmware follows from the next reset on. */
void pc_set_boot_order(const char *order);

#endif
