/*
 * The ACPI tables: the loader's script is run as a firmware would, then everything is followed from
 * the root pointer: signatures, lengths, checksums, pointers, and what the board promises.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/acpi-tables.h"

#include <stdlib.h>

#include "../test.h"

/* Addresses the test's firmware gives the two files. */
enum { TABLES_AT = 0x7fe0000, RSDP_AT = 0xf5a00 };

static AcpiFiles files;
static unsigned allocations;

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static Buffer *file_named(const char *name, uint32_t *addr)
{
    bool tables = strcmp(name, ACPI_TABLES_FILE) == 0;

    *addr = tables ? TABLES_AT : RSDP_AT;
    return tables ? &files.tables : strcmp(name, ACPI_RSDP_FILE) == 0 ? &files.rsdp : NULL;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--) {
        s += *p++;
    }
    return s;
}

/* One command of 128 bytes; false: a firmware would refuse it. */
static bool run_command(const uint8_t *c)
{
    uint32_t addr;
    Buffer *b = file_named((const char *)c + 4, &addr);

    if (!b) {
        return false;
    }
    switch (get32(c)) {
    case 1:
        allocations++;
        return addr % get32(c + 60) == 0 && c[64] == (b == &files.rsdp ? 2 : 1);
    case 2: {
        Buffer *source = file_named((const char *)c + 60, &addr);
        uint32_t offset = get32(c + 116), size = c[120];
        uint64_t v = 0;
        if (!source || offset + size > b->size || (size != 4 && size != 8)) {
            return false;
        }
        memcpy(&v, b->data + offset, size);
        v += addr;
        memcpy(b->data + offset, &v, size);
        return true;
    }
    case 3: {
        uint32_t offset = get32(c + 60), start = get32(c + 64), length = get32(c + 68);
        if (offset >= b->size || start + length > b->size) {
            return false;
        }
        b->data[offset] -= sum(b->data + start, length);
        return true;
    }
    }
    return false;
}

static bool build(unsigned cpus, uint64_t low_ram)
{
    buffer_free(&files.tables);
    buffer_free(&files.rsdp);
    buffer_free(&files.loader);
    allocations = 0;
    acpi_tables_build(&files, cpus, low_ram);
    if (files.loader.size % 128) {
        return false;
    }
    for (size_t i = 0; i < files.loader.size; i += 128) {
        if (!run_command(files.loader.data + i)) {
            return false;
        }
    }
    return allocations == 2;
}

/* The table at a guest address, its checksum and bounds verified; NULL otherwise. */
static const uint8_t *table_at(uint32_t addr, const char *signature)
{
    uint32_t offset = addr - TABLES_AT;

    if (offset + 36 > files.tables.size) {
        return NULL;
    }
    const uint8_t *t = files.tables.data + offset;
    uint32_t length = get32(t + 4);
    bool ok = memcmp(t, signature, 4) == 0 && length >= 36 &&
              length <= files.tables.size - offset && sum(t, length) == 0;
    return ok ? t : NULL;
}

static const uint8_t *listed(const char *signature)
{
    const uint8_t *rsdt = table_at(get32(files.rsdp.data + 16), "RSDT");

    for (uint32_t i = 36; rsdt && i + 4 <= get32(rsdt + 4); i += 4) {
        const uint8_t *t = table_at(get32(rsdt + i), signature);
        if (t) {
            return t;
        }
    }
    return NULL;
}

static void everything_is_found_from_the_root(void)
{
    CHECK(build(4, 128 << 20));
    CHECK_EQ(files.rsdp.size, 20);
    CHECK(memcmp(files.rsdp.data, "RSD PTR ", 8) == 0);
    CHECK_EQ(sum(files.rsdp.data, 20), 0);
    CHECK(listed("FACP"));
    CHECK(listed("APIC"));
    CHECK(listed("SSDT"));
}

static void fadt_describes_the_piix4(void)
{
    CHECK(build(1, 128 << 20));
    const uint8_t *f = listed("FACP");
    CHECK(f);
    CHECK_EQ(get32(f + 4), 244);
    CHECK(table_at(get32(f + 40), "DSDT"));
    CHECK_EQ(get32(f + 140), get32(f + 40)); /* the 64-bit one is the same */
    CHECK_EQ(get32(f + 36) % 64, 0);
    CHECK(memcmp(files.tables.data + (get32(f + 36) - TABLES_AT), "FACS", 4) == 0);
    CHECK_EQ(f[46] | f[47] << 8, 9);
    CHECK_EQ(get32(f + 48), 0xb2);
    CHECK_EQ(f[52], 0xf1);
    CHECK_EQ(f[53], 0xf0);
    CHECK_EQ(get32(f + 56), 0x600);
    CHECK_EQ(get32(f + 64), 0x604);
    CHECK_EQ(get32(f + 76), 0x608);
    CHECK_EQ(f[88], 4);
    CHECK_EQ(f[89], 2);
    CHECK_EQ(f[91], 4);
    CHECK_EQ(get32(f + 120), 0xcf9); /* reset register's address */
    CHECK_EQ(f[128], 6);
    CHECK_EQ(get32(f + 152), 0x600);
}

static void madt_lists_processors(void)
{
    unsigned cpus = 0, io_apics = 0, overrides = 0, nmis = 0;

    CHECK(build(64, 128 << 20));
    const uint8_t *m = listed("APIC");
    CHECK(m);
    uint32_t length = get32(m + 4), i = 44;
    CHECK_EQ(get32(m + 36), 0xfee00000);
    for (; i < length; i += m[i + 1]) {
        CHECK(m[i + 1] >= 2);
        switch (m[i]) {
        case 0:
            CHECK_EQ(m[i + 2], cpus);
            CHECK_EQ(m[i + 3], cpus);
            CHECK_EQ(get32(m + i + 4), 1);
            cpus++;
            break;
        case 1:
            CHECK_EQ(m[i + 2], 0);
            CHECK_EQ(get32(m + i + 4), 0xfec00000);
            io_apics++;
            break;
        case 2:
            if (m[i + 3] == 0) {
                CHECK_EQ(get32(m + i + 4), 2);
                CHECK_EQ(m[i + 8], 0);
            } else {
                CHECK_EQ(get32(m + i + 4), m[i + 3]);
                CHECK_EQ(m[i + 8], 0x0d);
            }
            overrides++;
            break;
        case 4:
            CHECK_EQ(m[i + 2], 0xff);
            CHECK_EQ(m[i + 5], 1);
            nmis++;
            break;
        default:
            CHECK(!"a known entry");
        }
    }
    CHECK_EQ(i, length);
    CHECK_EQ(cpus, 64);
    CHECK_EQ(io_apics, 1);
    CHECK_EQ(overrides, 5);
    CHECK_EQ(nmis, 1);
}

/* The scope's and the processors' package lengths end exactly at the table's end. */
static void ssdt_is_well_formed(void)
{
    for (unsigned cpus = 1; cpus <= 64; cpus++) {
        CHECK(build(cpus, 128 << 20));
        const uint8_t *s = listed("SSDT");
        CHECK(s);
        uint32_t length = get32(s + 4);
        CHECK_EQ(s[36], 0x10);
        CHECK_EQ(s[37] >> 6, 1);
        CHECK_EQ(37u + (s[37] & 15) + s[38] * 16, length);
        for (unsigned i = 0; i < cpus; i++) {
            const uint8_t *p = s + 44 + 13 * i;
            CHECK_EQ(p[0] << 8 | p[1], 0x5b83);
            CHECK_EQ(p[2], 11);
            CHECK_EQ(p[7], i);
        }
        CHECK_EQ(44 + 13 * cpus, length);
    }
}

static void pci_memory_begins_behind_ram(void)
{
    const uint8_t name[] = {0x08, 'P', 'M', 'E', 'M', 0x0c};

    for (unsigned gb = 1; gb <= 3; gb++) {
        CHECK(build(1, (uint64_t)gb << 30));
        const uint8_t *at = memmem(files.tables.data, files.tables.size, name, sizeof(name));
        CHECK(at);
        CHECK_EQ(get32(at + sizeof(name)), gb == 3 ? 0xc0000000 : 0x80000000);
    }
}

TESTS(TEST(everything_is_found_from_the_root), TEST(fadt_describes_the_piix4),
      TEST(madt_lists_processors), TEST(ssdt_is_well_formed), TEST(pci_memory_begins_behind_ram))
