/*
 * SMBIOS 2.8 structures (System Management BIOS Reference Specification, DSP0134): system, chassis,
 * processors, memory array, devices and addresses, boot information. Type 0 (BIOS) is left to the
 * firmware, which adds its own name and version.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/smbios.h"

#include <string.h>

enum {
    TYPE_SYSTEM = 1,
    TYPE_CHASSIS = 3,
    TYPE_PROCESSOR = 4,
    TYPE_MEMORY_ARRAY = 16,
    TYPE_MEMORY_DEVICE = 17,
    TYPE_MEMORY_ADDRESS = 19,
    TYPE_BOOT_INFO = 32,
    TYPE_END = 127,
};
/* Handles: the type in the upper byte, the instance in the lower. */
#define HANDLE(type, n) ((type) << 8 | (n))
#define NO_HANDLE       0xfffe
#define NONE_KNOWN      2
#define FOUR_GB         0x100000000ull
#define DEVICE_MAX      (16ull << 30) /* bytes a memory device stands for */
#define MB              (1ull << 20)
#define EXTENDED_KB     0x80000000ull /* from here on an extended 64-bit field takes over */

typedef struct SmbiosBuilder {
    Buffer *out;
    size_t start;   /* of the structure being made */
    Buffer strings; /* its strings, each with its NUL */
    uint8_t string_count;
    uint16_t structures, largest;
} SmbiosBuilder;

static void put_bytes(SmbiosBuilder *s, uint8_t value, unsigned count)
{
    while (count--) {
        buffer_put_u8(s->out, value);
    }
}

/* Keeps the string for the structure's end and puts its number; an absent one is number 0. */
static void put_string(SmbiosBuilder *s, const char *text)
{
    if (!text || !*text) {
        buffer_put_u8(s->out, 0);
        return;
    }
    buffer_append(&s->strings, text, strlen(text) + 1);
    buffer_put_u8(s->out, ++s->string_count);
}

static void begin(SmbiosBuilder *s, uint8_t type, unsigned n)
{
    s->start = s->out->size;
    s->string_count = 0;
    buffer_clear(&s->strings);
    buffer_put_u8(s->out, type);
    buffer_put_u8(s->out, 0); /* length, at the end */
    buffer_put_le16(s->out, HANDLE(type, n));
}

/* The formatted part is complete: strings and their terminator follow. */
static void end(SmbiosBuilder *s)
{
    s->out->data[s->start + 1] = s->out->size - s->start;
    buffer_append(s->out, s->strings.data, s->strings.size);
    put_bytes(s, 0, s->string_count ? 1 : 2);
    size_t size = s->out->size - s->start;
    s->structures++;
    s->largest = size > s->largest ? size : s->largest;
}

static void build_system(SmbiosBuilder *s, const SmbiosConfig *config)
{
    begin(s, TYPE_SYSTEM, 0);
    put_string(s, "Vole");
    put_string(s, "Standard PC (i440FX, PIIX3)");
    put_string(s, NULL); /* version */
    put_string(s, config->name);
    buffer_append(s->out, config->uuid, sizeof(config->uuid));
    buffer_put_u8(s->out, 6); /* woken by the power switch */
    put_string(s, NULL);      /* SKU */
    put_string(s, NULL);      /* family */
    end(s);
}

static void build_chassis(SmbiosBuilder *s)
{
    begin(s, TYPE_CHASSIS, 0);
    put_string(s, "Vole");
    buffer_put_u8(s->out, 1); /* type: other */
    put_string(s, NULL);      /* version */
    put_string(s, NULL);      /* serial number */
    put_string(s, NULL);      /* asset tag */
    buffer_put_u8(s->out, 3); /* states: boot-up, power supply, thermal: safe */
    buffer_put_u8(s->out, 3);
    buffer_put_u8(s->out, 3);
    buffer_put_u8(s->out, NONE_KNOWN); /* security */
    buffer_put_le32(s->out, 0);        /* OEM */
    buffer_put_u8(s->out, 0);          /* height */
    buffer_put_u8(s->out, 0);          /* power cords */
    buffer_put_u8(s->out, 0);          /* contained elements */
    buffer_put_u8(s->out, 0);
    put_string(s, NULL); /* SKU */
    end(s);
}

/* One socket with one core for every virtual CPU. Model and features are CPUID's to tell. */
static void build_processor(SmbiosBuilder *s, unsigned n)
{
    char socket[] = "CPU 00";
    socket[4] = '0' + n / 10;
    socket[5] = '0' + n % 10;

    begin(s, TYPE_PROCESSOR, n);
    put_string(s, socket);
    buffer_put_u8(s->out, 3); /* central processor */
    buffer_put_u8(s->out, 1); /* family: other */
    put_string(s, "Vole");
    buffer_put_le64(s->out, 0); /* processor id */
    put_string(s, NULL);        /* version */
    buffer_put_u8(s->out, 0);   /* voltage */
    buffer_put_le16(s->out, 0); /* external clock, maximum and current speed: unknown */
    buffer_put_le16(s->out, 0);
    buffer_put_le16(s->out, 0);
    buffer_put_u8(s->out, 0x41);     /* populated, enabled */
    buffer_put_u8(s->out, 1);        /* upgrade: other */
    buffer_put_le16(s->out, 0xffff); /* cache handles: not given */
    buffer_put_le16(s->out, 0xffff);
    buffer_put_le16(s->out, 0xffff);
    put_string(s, NULL);      /* serial number */
    put_string(s, NULL);      /* asset tag */
    put_string(s, NULL);      /* part number */
    buffer_put_u8(s->out, 1); /* cores, enabled cores, threads */
    buffer_put_u8(s->out, 1);
    buffer_put_u8(s->out, 1);
    buffer_put_le16(s->out, NONE_KNOWN); /* characteristics: unknown */
    buffer_put_le16(s->out, 1);          /* family 2 */
    end(s);
}

static void build_memory_array(SmbiosBuilder *s, uint64_t ram, unsigned devices)
{
    uint64_t kb = ram >> 10;

    begin(s, TYPE_MEMORY_ARRAY, 0);
    buffer_put_u8(s->out, 1); /* location: other */
    buffer_put_u8(s->out, 3); /* use: system memory */
    buffer_put_u8(s->out, 3); /* no error correction */
    buffer_put_le32(s->out, kb < EXTENDED_KB ? kb : EXTENDED_KB);
    buffer_put_le16(s->out, NO_HANDLE);
    buffer_put_le16(s->out, devices);
    buffer_put_le64(s->out, kb < EXTENDED_KB ? 0 : ram);
    end(s);
}

static void build_memory_device(SmbiosBuilder *s, unsigned n, uint64_t bytes)
{
    char locator[] = "DIMM 00";
    locator[5] = '0' + n / 10 % 10;
    locator[6] = '0' + n % 10;

    begin(s, TYPE_MEMORY_DEVICE, n);
    buffer_put_le16(s->out, HANDLE(TYPE_MEMORY_ARRAY, 0));
    buffer_put_le16(s->out, NO_HANDLE);
    buffer_put_le16(s->out, 0xffff); /* widths: unknown */
    buffer_put_le16(s->out, 0xffff);
    buffer_put_le16(s->out, bytes / MB);
    buffer_put_u8(s->out, 9); /* form factor: DIMM */
    buffer_put_u8(s->out, 0); /* not in a set */
    put_string(s, locator);
    put_string(s, NULL);        /* bank */
    buffer_put_u8(s->out, 7);   /* type: RAM */
    buffer_put_le16(s->out, 2); /* detail: other */
    buffer_put_le16(s->out, 0); /* speed */
    put_string(s, "Vole");
    put_string(s, NULL);        /* serial number */
    put_string(s, NULL);        /* asset tag */
    put_string(s, NULL);        /* part number */
    buffer_put_u8(s->out, 0);   /* rank */
    buffer_put_le32(s->out, 0); /* extended size: the field above holds it */
    buffer_put_le16(s->out, 0); /* configured speed */
    buffer_put_le16(s->out, 0); /* voltages: minimum, maximum, configured */
    buffer_put_le16(s->out, 0);
    buffer_put_le16(s->out, 0);
    end(s);
}

static void build_memory_address(SmbiosBuilder *s, unsigned n, uint64_t start, uint64_t bytes)
{
    uint64_t last = start + bytes - 1;
    bool extended = last >> 10 >= 0xffffffff;

    begin(s, TYPE_MEMORY_ADDRESS, n);
    buffer_put_le32(s->out, extended ? 0xffffffff : start >> 10);
    buffer_put_le32(s->out, extended ? 0xffffffff : last >> 10);
    buffer_put_le16(s->out, HANDLE(TYPE_MEMORY_ARRAY, 0));
    buffer_put_u8(s->out, 1); /* partition width */
    buffer_put_le64(s->out, extended ? start : 0);
    buffer_put_le64(s->out, extended ? last : 0);
    end(s);
}

static void build_boot_info(SmbiosBuilder *s)
{
    begin(s, TYPE_BOOT_INFO, 0);
    put_bytes(s, 0, 6);       /* reserved */
    buffer_put_u8(s->out, 0); /* no errors */
    end(s);
}

/* Entry point of SMBIOS 2.1 (5.2.1). Address and both checksums are the firmware's to fill in. */
static void build_anchor(Buffer *b, const SmbiosBuilder *s)
{
    buffer_append(b, "_SM_", 4);
    buffer_put_u8(b, 0);    /* checksum */
    buffer_put_u8(b, 0x1f); /* length */
    buffer_put_u8(b, 2);    /* version 2.8 */
    buffer_put_u8(b, 8);
    buffer_put_le16(b, s->largest);
    buffer_put_u8(b, 0); /* entry point revision */
    buffer_put_le32(b, 0);
    buffer_put_u8(b, 0);
    buffer_append(b, "_DMI_", 5);
    buffer_put_u8(b, 0); /* intermediate checksum */
    buffer_put_le16(b, s->out->size);
    buffer_put_le32(b, 0); /* address */
    buffer_put_le16(b, s->structures);
    buffer_put_u8(b, 0x28);
}

void smbios_build(Buffer *tables, Buffer *anchor, const SmbiosConfig *config)
{
    SmbiosBuilder s = {.out = tables};
    uint64_t ram = config->ram_below_4g + config->ram_above_4g;
    unsigned devices = (ram + DEVICE_MAX - 1) / DEVICE_MAX;

    if (devices > 99) {
        devices = 99; /* two digits of a name; the array still has the whole size */
    }
    build_system(&s, config);
    build_chassis(&s);
    for (unsigned i = 0; i < config->cpus; i++) {
        build_processor(&s, i);
    }
    build_memory_array(&s, ram, devices);
    for (unsigned i = 0; i < devices; i++) {
        uint64_t left = ram - i * DEVICE_MAX;
        build_memory_device(&s, i, left < DEVICE_MAX ? left : DEVICE_MAX);
    }
    build_memory_address(&s, 0, 0, config->ram_below_4g);
    if (config->ram_above_4g) {
        build_memory_address(&s, 1, FOUR_GB, config->ram_above_4g);
    }
    build_boot_info(&s);
    begin(&s, TYPE_END, 0);
    end(&s);
    build_anchor(anchor, &s);
    buffer_free(&s.strings);
}
