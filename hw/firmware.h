/*
 * What the board tells its firmware, in one call: memory map, CPUs, boot order, ACPI and SMBIOS
 * tables, and a kernel to start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_FIRMWARE_H
#define HW_FIRMWARE_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/fw_cfg.h"
#include "util/error.h"

typedef struct FirmwareConfig {
    uint64_t ram_below_4g, ram_above_4g; /* bytes; the second starts at 4 GB */
    unsigned cpus;                       /* 1..64; APIC ids 0..cpus-1 */
    bool acpi;                           /* the board has the PIIX4 power management function */
    bool nographic;   /* show the firmware's screen on the first serial line too */
    const char *boot; /* as -boot's value: "c", "order=dc,menu=on,..."; may be NULL */
    const char *name; /* the machine's name for SMBIOS; may be NULL */
    const char *kernel, *initrd, *append; /* files and text; NULL: none */
} FirmwareConfig;

/* False with a message that names the option when something cannot be done. */
bool firmware_setup(FwCfg *fw, const FirmwareConfig *config, Error **errp);

#endif
