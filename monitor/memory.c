/*
 * x, xp and print: memory and values in the formats of the tradition.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <string.h>

#include "hw/memory.h"
#include "monitor/monitor-int.h"
#include "target-i386/cpu-query.h"
#include "target-i386/mem.h"

#define MAX_STRING 1024

typedef struct RangeSearch {
    uint64_t addr;
    bool found;
} RangeSearch;

static void check_range(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly, void *opaque)
{
    RangeSearch *search = opaque;

    search->found |= search->addr >= addr && search->addr - addr < size;
}

/* Where there is no RAM a device may answer, as for the text screen at B8000h. */
static bool read_device(uint64_t addr, uint8_t *byte)
{
    RangeSearch search = {.addr = addr};

    memory_each_range(&memory_as, check_range, &search);
    if (search.found) {
        *byte = (uint8_t)memory_read(&memory_as, addr, 1);
    }
    return search.found;
}

static bool read_byte(CPUX86State *env, uint64_t addr, bool physical, uint8_t *byte)
{
    if (!physical) {
        return mem_debug_read(env, addr, byte, 1);
    }
    return dma_read(addr, byte, 1) || read_device(addr, byte);
}

static void put_char(Buffer *b, uint8_t c)
{
    static const char *const escapes = "\aa\bb\ff\nn\rr\tt\vv\\\\''";
    const char *e = c ? strchr(escapes, c) : NULL;

    if (e && (e - escapes) % 2 == 0) {
        buffer_printf(b, "\\%c", e[1]);
    } else if (isprint(c)) {
        buffer_put_u8(b, c);
    } else {
        buffer_printf(b, "\\x%02x", c);
    }
}

static void put_value(Buffer *b, Format f, uint64_t v)
{
    unsigned bits = f.size * 8;
    int64_t sv = bits == 64 ? (int64_t)v : (int64_t)(v << (64 - bits)) >> (64 - bits);

    switch (f.letter) {
    case 'o':
        buffer_printf(b, "0%0*llo", (int)(bits + 2) / 3, (unsigned long long)v);
        break;
    case 'd':
        buffer_printf(b, "%lld", (long long)sv);
        break;
    case 'u':
        buffer_printf(b, "%llu", (unsigned long long)v);
        break;
    case 'c':
        buffer_put_u8(b, '\'');
        put_char(b, (uint8_t)v);
        buffer_put_u8(b, '\'');
        break;
    default:
        buffer_printf(b, "0x%0*llx", (int)bits / 4, (unsigned long long)v);
    }
}

void monitor_print_value(Monitor *mon, Format f, uint64_t value)
{
    Buffer b = {0};

    if (f.letter == 'x') {
        buffer_printf(&b, "0x%llx", (unsigned long long)value);
    } else {
        put_value(&b, f, value);
    }
    buffer_put_u8(&b, '\n');
    monitor_write(mon, b.data, b.size);
    buffer_free(&b);
}

static void dump_code(CPUX86State *env, Buffer *b, Format f, uint64_t addr)
{
    for (unsigned i = 0; i < f.count; i++) {
        unsigned len;
        buffer_printf(b, "0x%08llx:  ", (unsigned long long)addr);
        len = cpu_disassemble(env, addr, b);
        buffer_put_u8(b, '\n');
        if (len == 0) {
            buffer_printf(b, "Cannot access memory at 0x%llx\n", (unsigned long long)addr);
            return;
        }
        addr += len;
    }
}

static void dump_strings(CPUX86State *env, Buffer *b, Format f, uint64_t addr, bool physical)
{
    for (unsigned i = 0; i < f.count; i++) {
        uint8_t c = 0;
        buffer_printf(b, "0x%016llx: \"", (unsigned long long)addr);
        for (unsigned n = 0; n < MAX_STRING && read_byte(env, addr, physical, &c); n++) {
            addr++;
            if (!c) {
                break;
            }
            put_char(b, c);
        }
        buffer_printf(b, "\"\n");
    }
}

static void dump_values(CPUX86State *env, Buffer *b, Format f, uint64_t addr, bool physical)
{
    unsigned a_line = f.letter == 'c' ? 8 : 16 / f.size;

    for (unsigned i = 0; i < f.count; i++, addr += f.size) {
        uint64_t v = 0;
        if (i % a_line == 0) {
            buffer_printf(b, "%s%016llx:", i ? "\n" : "", (unsigned long long)addr);
        }
        for (unsigned k = 0; k < f.size; k++) {
            uint8_t byte;
            if (!read_byte(env, addr + k, physical, &byte)) {
                buffer_printf(b, "\nCannot access memory at 0x%llx\n",
                              (unsigned long long)(addr + k));
                return;
            }
            v |= (uint64_t)byte << (8 * k);
        }
        buffer_put_u8(b, ' ');
        put_value(b, f, v);
    }
    buffer_put_u8(b, '\n');
}

void monitor_dump_memory(Monitor *mon, Format f, uint64_t addr, bool physical)
{
    CPUX86State *env = NULL;
    Buffer b = {0};

    if (!physical && !(env = monitor_cpu(mon))) {
        return;
    }
    if (f.letter == 'c') {
        f.size = 1;
    }
    if (f.letter == 'i' && physical) {
        buffer_printf(&b, "instructions are shown at virtual addresses: use x/i\n");
    } else if (f.letter == 'i') {
        dump_code(env, &b, f, addr);
    } else if (f.letter == 's') {
        dump_strings(env, &b, f, addr, physical);
    } else {
        dump_values(env, &b, f, addr, physical);
    }
    monitor_write(mon, b.data, b.size);
    buffer_free(&b);
}
