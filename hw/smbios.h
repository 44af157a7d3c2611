/*
 * SMBIOS tables for the firmware.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_SMBIOS_H
#define HW_SMBIOS_H

#include <stdint.h>

#include "util/buffer.h"

typedef struct SmbiosConfig {
    uint64_t ram_below_4g, ram_above_4g; /* bytes */
    unsigned cpus;
    const char *name; /* the machine's, as its serial number; may be NULL */
    uint8_t uuid[16]; /* all zeroes: not set */
} SmbiosConfig;

/* Structures, and the entry point whose address and checksums the firmware fills in. The buffers
   are the caller's. */
void smbios_build(Buffer *tables, Buffer *anchor, const SmbiosConfig *config);

#endif
