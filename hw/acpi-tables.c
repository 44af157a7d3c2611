/*
 * ACPI tables (Advanced Configuration and Power Interface Specification 2.0c, with the MADT
 * of 3.0): RSDP, RSDT, FADT, FACS, MADT, the DSDT compiled from pc-bios/dsdt.asl, and an SSDT with
 * the processors. The firmware places them; its loader's commands are made along with the tables.
 * Not there: sleep states but S5, GPE blocks, MCFG, HPET.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi-tables.h"

#include <stdlib.h>
#include <string.h>

#include "util/error.h"

#include "pc-bios/dsdt.hex"

/* The board's wiring. SeaBIOS puts the PIIX4's I/O at 600h when it takes the tables from us. */
enum {
    PM_BASE = 0x600,
    PM1_EVENT = PM_BASE,
    PM1_CONTROL = PM_BASE + 4,
    PM_TIMER = PM_BASE + 8,
    PORT_SMI_COMMAND = 0xb2,
    SMI_ACPI_ENABLE = 0xf1,
    SMI_ACPI_DISABLE = 0xf0,
    IRQ_SCI = 9,
    PORT_RESET_CONTROL = 0xcf9,
    RESET_HARD = 0x06,
    CMOS_CENTURY = 0x32,
};
#define LOCAL_APIC_ADDR 0xfee00000u
#define IO_APIC_ADDR    0xfec00000u
#define PCI_MEM_LOWEST  0x80000000u

/* ---- the loader's script ---- */

enum { LOADER_NAME = 56, LOADER_COMMAND_SIZE = 128 };
enum { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

static uint8_t *loader_command(AcpiFiles *f, uint32_t command, const char *file)
{
    uint8_t *c = buffer_extend(&f->loader, LOADER_COMMAND_SIZE);
    memset(c, 0, LOADER_COMMAND_SIZE);
    put32(c, command);
    memcpy(c + 4, file, strlen(file));
    return c + 4 + LOADER_NAME;
}

static void loader_allocate(AcpiFiles *f, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t *c = loader_command(f, LOADER_ALLOCATE, file);
    put32(c, align);
    c[4] = zone;
}

/* The `size` bytes at `offset` of `file` hold an offset into the tables and become an address. */
static void loader_pointer(AcpiFiles *f, const char *file, uint32_t offset, uint8_t size)
{
    uint8_t *c = loader_command(f, LOADER_ADD_POINTER, file);
    memcpy(c, ACPI_TABLES_FILE, strlen(ACPI_TABLES_FILE));
    put32(c + LOADER_NAME, offset);
    c[LOADER_NAME + 4] = size;
}

static void loader_checksum(AcpiFiles *f, const char *file, uint32_t offset, uint32_t start,
                            uint32_t length)
{
    uint8_t *c = loader_command(f, LOADER_ADD_CHECKSUM, file);
    put32(c, offset);
    put32(c + 4, start);
    put32(c + 8, length);
}

/* ---- tables ---- */

/* The common header (section 5.2.5). */
enum { HDR_LENGTH = 4, HDR_CHECKSUM = 9, HDR_SIZE = 36 };

static const char oem_id[6] = "VOLE  ";
static const char oem_table_id[8] = "VOLEPC  ";

static uint32_t table_begin(AcpiFiles *f, const char *signature, uint8_t revision)
{
    Buffer *b = &f->tables;
    while (b->size % 8) {
        buffer_put_u8(b, 0);
    }
    uint32_t start = b->size;
    buffer_append(b, signature, 4);
    buffer_put_le32(b, 0); /* length */
    buffer_put_u8(b, revision);
    buffer_put_u8(b, 0); /* checksum */
    buffer_append(b, oem_id, sizeof(oem_id));
    buffer_append(b, oem_table_id, sizeof(oem_table_id));
    buffer_put_le32(b, 1);
    buffer_append(b, "VOLE", 4);
    buffer_put_le32(b, 1);
    return start;
}

/* Length now, checksum by the loader, which may still change pointers inside. */
static void table_end(AcpiFiles *f, uint32_t start)
{
    uint32_t length = f->tables.size - start;
    put32(f->tables.data + start + HDR_LENGTH, length);
    loader_checksum(f, ACPI_TABLES_FILE, start + HDR_CHECKSUM, start, length);
}

/* A pointer to `target`, an offset in the tables; 0 in `size` bytes of 4 or 8. */
static void put_pointer(AcpiFiles *f, uint32_t target, uint8_t size)
{
    loader_pointer(f, ACPI_TABLES_FILE, f->tables.size, size);
    buffer_put_le32(&f->tables, target);
    if (size == 8) {
        buffer_put_le32(&f->tables, 0);
    }
}

/* Firmware ACPI control structure (5.2.9): 64 bytes on a multiple of 64, no checksum. */
static uint32_t build_facs(AcpiFiles *f)
{
    uint32_t start = f->tables.size; /* the first of all */
    uint8_t *p = buffer_extend(&f->tables, 64);
    memset(p, 0, 64);
    memcpy(p, "FACS", 4);
    put32(p + 4, 64);
    p[32] = 1; /* version */
    return start;
}

/* PCI memory begins behind RAM, and never so low that RAM would have had to be moved for it. */
static uint32_t build_dsdt(AcpiFiles *f, uint64_t low_ram)
{
    static const uint8_t name[] = {0x08, 'P', 'M', 'E', 'M', 0x0c}; /* Name, DWord constant */
    uint32_t start = f->tables.size;
    uint8_t *p = buffer_extend(&f->tables, sizeof(dsdt_aml_code));

    memcpy(p, dsdt_aml_code, sizeof(dsdt_aml_code));
    uint8_t *at = memmem(p, sizeof(dsdt_aml_code), name, sizeof(name));
    if (!at) {
        error_exit("the compiled DSDT has no PMEM");
    }
    put32(at + sizeof(name), low_ram > PCI_MEM_LOWEST ? low_ram : PCI_MEM_LOWEST);
    p[HDR_CHECKSUM] = 0;
    loader_checksum(f, ACPI_TABLES_FILE, start + HDR_CHECKSUM, start, sizeof(dsdt_aml_code));
    return start;
}

/* Generic address structure (5.2.3.1) of an I/O port. */
static void put_gas(Buffer *b, uint8_t bits, uint16_t port)
{
    buffer_put_u8(b, 1); /* system I/O */
    buffer_put_u8(b, port ? bits : 0);
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 0);
    buffer_put_le64(b, port);
}

/* FADT flags (5.2.8) */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_NO_SLP_BUTTON = 1 << 5,
    FADT_NO_FIX_RTC = 1 << 6,
    FADT_RESET_REG_SUP = 1 << 10,
};
enum { BOOT_ARCH_LEGACY = 1 << 0, BOOT_ARCH_8042 = 1 << 1 };

static uint32_t build_fadt(AcpiFiles *f, uint32_t facs, uint32_t dsdt)
{
    Buffer *b = &f->tables;
    uint32_t start = table_begin(f, "FACP", 3);

    put_pointer(f, facs, 4);
    put_pointer(f, dsdt, 4);
    buffer_put_u8(b, 0); /* reserved: was the interrupt model */
    buffer_put_u8(b, 0); /* preferred profile: unspecified */
    buffer_put_le16(b, IRQ_SCI);
    buffer_put_le32(b, PORT_SMI_COMMAND);
    buffer_put_u8(b, SMI_ACPI_ENABLE);
    buffer_put_u8(b, SMI_ACPI_DISABLE);
    buffer_put_u8(b, 0); /* S4BIOS */
    buffer_put_u8(b, 0); /* processor performance control */
    buffer_put_le32(b, PM1_EVENT);
    buffer_put_le32(b, 0); /* PM1b event */
    buffer_put_le32(b, PM1_CONTROL);
    buffer_put_le32(b, 0); /* PM1b control */
    buffer_put_le32(b, 0); /* PM2 control */
    buffer_put_le32(b, PM_TIMER);
    buffer_put_le32(b, 0); /* GPE0 */
    buffer_put_le32(b, 0); /* GPE1 */
    buffer_put_u8(b, 4);   /* lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1 */
    buffer_put_u8(b, 2);
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 4);
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 0);        /* GPE1 base */
    buffer_put_u8(b, 0);        /* C-state notification */
    buffer_put_le16(b, 0x0fff); /* C2 latency: more than 100 us, not supported */
    buffer_put_le16(b, 0x0fff); /* C3 latency: likewise */
    buffer_put_le16(b, 0);      /* flush size and stride: WBINVD does it */
    buffer_put_le16(b, 0);
    buffer_put_u8(b, 0); /* duty cycle offset and width */
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 0); /* CMOS day alarm and month alarm: none */
    buffer_put_u8(b, 0);
    buffer_put_u8(b, CMOS_CENTURY);
    buffer_put_le16(b, BOOT_ARCH_LEGACY | BOOT_ARCH_8042);
    buffer_put_u8(b, 0);
    buffer_put_le32(b, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON | FADT_NO_FIX_RTC |
                           FADT_RESET_REG_SUP);
    put_gas(b, 8, PORT_RESET_CONTROL);
    buffer_put_u8(b, RESET_HARD);
    buffer_put_u8(b, 0);
    buffer_put_le16(b, 0);
    buffer_put_le64(b, 0); /* X_FIRMWARE_CTRL: must be 0 where the 32-bit field is set */
    put_pointer(f, dsdt, 8);
    put_gas(b, 32, PM1_EVENT);
    put_gas(b, 0, 0);
    put_gas(b, 16, PM1_CONTROL);
    put_gas(b, 0, 0);
    put_gas(b, 0, 0);
    put_gas(b, 32, PM_TIMER);
    put_gas(b, 0, 0);
    put_gas(b, 0, 0);
    table_end(f, start);
    return start;
}

/* MPS INTI flags of an override: level triggered, active high. */
enum { INTI_LEVEL_HIGH = 0x000d };

static void put_override(Buffer *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    buffer_put_u8(b, 2);
    buffer_put_u8(b, 10);
    buffer_put_u8(b, 0); /* ISA */
    buffer_put_u8(b, irq);
    buffer_put_le32(b, gsi);
    buffer_put_le16(b, flags);
}

static uint32_t build_madt(AcpiFiles *f, unsigned cpus)
{
    static const uint8_t level_irqs[] = {5, 9, 10, 11};
    Buffer *b = &f->tables;
    uint32_t start = table_begin(f, "APIC", 1);

    buffer_put_le32(b, LOCAL_APIC_ADDR);
    buffer_put_le32(b, 1); /* there are two 8259s as well */
    for (unsigned i = 0; i < cpus; i++) {
        buffer_put_u8(b, 0); /* processor's local APIC */
        buffer_put_u8(b, 8);
        buffer_put_u8(b, i); /* processor id in the SSDT */
        buffer_put_u8(b, i); /* APIC id */
        buffer_put_le32(b, 1);
    }
    buffer_put_u8(b, 1); /* I/O APIC, id 0, inputs from 0 */
    buffer_put_u8(b, 12);
    buffer_put_u8(b, 0);
    buffer_put_u8(b, 0);
    buffer_put_le32(b, IO_APIC_ADDR);
    buffer_put_le32(b, 0);
    put_override(b, 0, 2, 0);
    for (unsigned i = 0; i < sizeof(level_irqs); i++) {
        put_override(b, level_irqs[i], level_irqs[i], INTI_LEVEL_HIGH);
    }
    buffer_put_u8(b, 4); /* NMI at LINT1 of every processor */
    buffer_put_u8(b, 6);
    buffer_put_u8(b, 0xff);
    buffer_put_le16(b, 0);
    buffer_put_u8(b, 1);
    table_end(f, start);
    return start;
}

/* AML: Scope (\_PR) { Processor (C000, 0, 0, 0) {} ... } */
static uint32_t build_ssdt(AcpiFiles *f, unsigned cpus)
{
    enum { PROCESSOR_SIZE = 13, PKG_LENGTH_SIZE = 2, SCOPE_NAME_SIZE = 5 };
    Buffer *b = &f->tables;
    uint32_t start = table_begin(f, "SSDT", 1);
    unsigned length = PKG_LENGTH_SIZE + SCOPE_NAME_SIZE + cpus * PROCESSOR_SIZE;

    buffer_put_u8(b, 0x10); /* ScopeOp; package length in two bytes: low 4 bits, next 8 */
    buffer_put_u8(b, 0x40 | (length & 0x0f));
    buffer_put_u8(b, length >> 4);
    buffer_append(b, "\\_PR_", SCOPE_NAME_SIZE);
    for (unsigned i = 0; i < cpus; i++) {
        buffer_put_u8(b, 0x5b); /* ProcessorOp */
        buffer_put_u8(b, 0x83);
        buffer_put_u8(b, PROCESSOR_SIZE - 2); /* package length in one byte, itself included */
        buffer_printf(b, "C%03X", i);
        buffer_put_u8(b, i);
        buffer_put_le32(b, 0); /* no processor block */
        buffer_put_u8(b, 0);
    }
    table_end(f, start);
    return start;
}

static uint32_t build_rsdt(AcpiFiles *f, const uint32_t *tables, unsigned count)
{
    uint32_t start = table_begin(f, "RSDT", 1);

    for (unsigned i = 0; i < count; i++) {
        put_pointer(f, tables[i], 4);
    }
    table_end(f, start);
    return start;
}

/* Root pointer of ACPI 1.0 (5.2.4): 20 bytes. */
static void build_rsdp(AcpiFiles *f, uint32_t rsdt)
{
    Buffer *b = &f->rsdp;

    buffer_append(b, "RSD PTR ", 8);
    buffer_put_u8(b, 0); /* checksum */
    buffer_append(b, oem_id, sizeof(oem_id));
    buffer_put_u8(b, 0); /* revision */
    loader_pointer(f, ACPI_RSDP_FILE, b->size, 4);
    buffer_put_le32(b, rsdt);
    loader_checksum(f, ACPI_RSDP_FILE, 8, 0, b->size);
}

void acpi_tables_build(AcpiFiles *out, unsigned cpus, uint64_t low_ram)
{
    uint32_t listed[3];

    memset(out, 0, sizeof(*out));
    loader_allocate(out, ACPI_RSDP_FILE, 16, ZONE_FSEG);
    loader_allocate(out, ACPI_TABLES_FILE, 64, ZONE_HIGH);
    uint32_t facs = build_facs(out);
    uint32_t dsdt = build_dsdt(out, low_ram);
    listed[0] = build_fadt(out, facs, dsdt);
    listed[1] = build_ssdt(out, cpus);
    listed[2] = build_madt(out, cpus);
    uint32_t rsdt = build_rsdt(out, listed, 3);
    build_rsdp(out, rsdt);
}
