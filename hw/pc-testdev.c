/*
 * The test device that public x86 unit-test suites expect beside an exit port at 0xf4:
 *     0xe0-0xe3      a 32-bit register, accessible at any width
 *     0xe4           written with a physical address: the host is to map that page anew
 *     0xe8-0xeb      the same register as at 0xe0, accessed byte by byte
 *     0x2000-0x2017  written with 0 or not 0: lowers or raises interrupt line n
 *     0xff000000     64 KB of memory behind device accesses
 * A debug console at its usual port 0xe9 lies in front of the byte there.
 * Mapping a page anew has no effect that a guest could see, so it does nothing here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "hw/debugcon.h"
#include "hw/irq.h"
#include "hw/isa.h"
#include "hw/memory.h"

#define PORT_REG   0xe0
#define PORT_REMAP 0xe4
#define PORT_BYTES 0xe8
#define PORT_IRQ   0x2000
#define IRQ_LINES  24
#define MEM_BASE   0xff000000
#define MEM_SIZE   0x10000

typedef struct PcTestdev {
    Device dev;
    /* wiring */
    MemoryRegion reg_io, remap_io, byte_io, irq_io, mem_io;
    /* saved */
    uint32_t reg;
    uint8_t mem[MEM_SIZE];
} PcTestdev;

static uint64_t load_le(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, p, size);
    return v;
}

static uint64_t reg_read(void *opaque, hwaddr addr, unsigned size)
{
    PcTestdev *s = opaque;

    return addr + size <= 4 ? s->reg >> (addr * 8) & (0xffffffffu >> (32 - size * 8)) : 0;
}

static void reg_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PcTestdev *s = opaque;
    uint32_t mask;

    if (addr + size <= 4) {
        mask = 0xffffffffu >> (32 - size * 8) << (addr * 8);
        s->reg = (s->reg & ~mask) | ((uint32_t)value << (addr * 8) & mask);
    }
}

static const MemoryOps reg_ops = {.read = reg_read, .write = reg_write, .max_size = 4};
static const MemoryOps byte_ops = {.read = reg_read, .write = reg_write, .max_size = 1};

static uint64_t remap_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void remap_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
}

static const MemoryOps remap_ops = {.read = remap_read, .write = remap_write, .max_size = 4};

static uint64_t irq_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void irq_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    irq_set(isa_irq((unsigned)addr), (uint8_t)value != 0);
}

static const MemoryOps irq_ops = {.read = irq_read, .write = irq_write, .max_size = 1};

static uint64_t mem_read(void *opaque, hwaddr addr, unsigned size)
{
    PcTestdev *s = opaque;

    return addr + size <= MEM_SIZE ? load_le(s->mem + addr, size) : 0;
}

static void mem_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PcTestdev *s = opaque;

    if (addr + size <= MEM_SIZE) {
        memcpy(s->mem + addr, &value, size);
    }
}

static const MemoryOps mem_ops = {
    .read = mem_read,
    .write = mem_write,
    .max_size = 8,
    .unaligned = true,
};

static void testdev_reset(Device *dev)
{
    PcTestdev *s = (PcTestdev *)dev;

    s->reg = 0;
    memset(s->mem, 0, sizeof(s->mem));
}

static const VMStateField testdev_fields[] = {
    VMSTATE_U32(reg, PcTestdev),
    VMSTATE_BYTES(mem, PcTestdev),
    VMSTATE_END,
};

static const VMState testdev_vmstate = {"pc-testdev", .version = 1, .fields = testdev_fields};

static bool testdev_realize(Device *dev, Error **errp)
{
    PcTestdev *s = (PcTestdev *)dev;

    memory_region_init_io(&s->reg_io, "testdev-reg", 4, &reg_ops, s);
    memory_region_init_io(&s->remap_io, "testdev-remap", 4, &remap_ops, s);
    memory_region_init_io(&s->byte_io, "testdev-bytes", 4, &byte_ops, s);
    memory_region_init_io(&s->irq_io, "testdev-irq", IRQ_LINES, &irq_ops, s);
    memory_region_init_io(&s->mem_io, "testdev-mem", MEM_SIZE, &mem_ops, s);
    memory_transaction_begin();
    ioport_add(&s->reg_io, PORT_REG);
    ioport_add(&s->remap_io, PORT_REMAP);
    /* Behind the debug console, whichever came first. */
    memory_region_add(memory_io_as.root, PORT_BYTES, &s->byte_io, -1);
    ioport_add(&s->irq_io, PORT_IRQ);
    memory_region_add(memory_as.root, MEM_BASE, &s->mem_io, 1);
    memory_transaction_commit();
    return true;
}

static void testdev_unrealize(Device *dev)
{
    PcTestdev *s = (PcTestdev *)dev;

    memory_transaction_begin();
    memory_region_remove(&s->reg_io);
    memory_region_remove(&s->remap_io);
    memory_region_remove(&s->byte_io);
    memory_region_remove(&s->irq_io);
    memory_region_remove(&s->mem_io);
    memory_transaction_commit();
}

const DeviceClass pc_testdev_class = {
    .name = "pc-testdev",
    .desc = "registers, lines and memory that x86 unit-test suites expect",
    .bus = "isa",
    .user_creatable = true,
    .size = sizeof(PcTestdev),
    .vmstate = &testdev_vmstate,
    .realize = testdev_realize,
    .reset = testdev_reset,
    .unrealize = testdev_unrealize,
};
