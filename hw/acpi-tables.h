/*
 * The machine's ACPI tables, as the firmware's table loader takes them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ACPI_TABLES_H
#define HW_ACPI_TABLES_H

#include <stdint.h>

#include "util/buffer.h"

/*
 * Three files: all tables; the root pointer; and the script of what to allocate, which pointers to
 * relocate and which checksums to make. The buffers are the caller's.
 */
typedef struct AcpiFiles {
    Buffer tables, rsdp, loader;
} AcpiFiles;

#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE   "etc/acpi/rsdp"
#define ACPI_LOADER_FILE "etc/table-loader"

/* cpus: 1..64, APIC ids from 0. low_ram: bytes of RAM below 4 GB; PCI memory begins above. */
void acpi_tables_build(AcpiFiles *out, unsigned cpus, uint64_t low_ram);

#endif
