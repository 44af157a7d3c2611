/*
 * 82093AA I/O APIC, with the EOI register of its successors (version 0x20).
 *
 * Data sheet: 82093AA (290566). A message that no local APIC takes is lost; the chip's bus would
 * try again. The polarity bits are kept and have no effect: a raised line is an asserted interrupt.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ioapic.h"

#include "hw/apic.h"
#include "util/buffer.h"

/* In the page */
#define WINDOW_SELECT 0x00
#define WINDOW_DATA   0x10
#define WINDOW_EOI    0x40

/* Indirect registers */
#define REG_ID      0x00
#define REG_VERSION 0x01
#define REG_ARB     0x02
#define REG_TABLE   0x10 /* two for each pin, low half first */

#define ID_MASK 0x0f000000u
#define VERSION (0x20u | (IOAPIC_PINS - 1) << 16)

/* Redirection table entry */
#define RTE_VECTOR     0x00000000000000ffull
#define RTE_MODE_SHIFT 8
#define RTE_LOGICAL    0x0000000000000800ull
#define RTE_LOW_ACTIVE 0x0000000000002000ull
#define RTE_REMOTE_IRR 0x0000000000004000ull
#define RTE_LEVEL      0x0000000000008000ull
#define RTE_MASKED     0x0000000000010000ull
#define RTE_DEST_SHIFT 56
#define RTE_WRITABLE   0xff0000000001afffull /* not remote IRR nor the delivery status */

typedef struct IoApic {
    Device dev;
    /* wiring */
    MemoryRegion io;
    hwaddr base;
    IrqLine inputs[IOAPIC_PINS];
    struct IoApic *next;
    /* saved */
    uint32_t lines; /* levels of the inputs */
    uint32_t id;
    uint8_t select;
    uint64_t table[IOAPIC_PINS];
} IoApic;

static IoApic *ioapics;

/* ---- delivery ---- */

static ApicMessage message_of(uint64_t rte)
{
    return (ApicMessage){
        .destination = (uint32_t)(rte >> RTE_DEST_SHIFT),
        .logical = rte & RTE_LOGICAL,
        .level = rte & RTE_LEVEL,
        .mode = (ApicMode)(rte >> RTE_MODE_SHIFT & 7),
        .vector = (uint8_t)(rte & RTE_VECTOR),
    };
}

static bool send_message(uint64_t rte)
{
    ApicMessage m = message_of(rte);

    /* The table has no start-up messages, and encoding 3 is reserved. */
    return m.mode != APIC_MODE_SIPI && (unsigned)m.mode != 3 && apic_send(&m);
}

bool ioapic_is_waiting(Device *dev, unsigned n)
{
    uint64_t rte = ((IoApic *)dev)->table[n];
    ApicMessage m = message_of(rte);

    return !(rte & RTE_MASKED) && (m.mode == APIC_MODE_FIXED || m.mode == APIC_MODE_LOWEST) &&
           apic_is_waiting(&m);
}

static bool is_level(uint64_t rte)
{
    unsigned mode = rte >> RTE_MODE_SHIFT & 7;
    return (rte & RTE_LEVEL) && (mode == APIC_MODE_FIXED || mode == APIC_MODE_LOWEST);
}

/* A level-triggered pin that is high asks once, then waits for the EOI. */
static void service_level(IoApic *s, unsigned pin)
{
    uint64_t *rte = &s->table[pin];

    if (is_level(*rte) && (s->lines >> pin & 1) && !(*rte & (RTE_MASKED | RTE_REMOTE_IRR)) &&
        send_message(*rte)) {
        *rte |= RTE_REMOTE_IRR;
    }
}

static void input_changed(void *opaque, int n, bool level)
{
    IoApic *s = opaque;
    uint32_t bit = 1u << n;
    bool rising = level && !(s->lines & bit);

    s->lines = level ? s->lines | bit : s->lines & ~bit;
    if (is_level(s->table[n])) {
        service_level(s, (unsigned)n);
    } else if (rising && !(s->table[n] & RTE_MASKED)) { /* an edge on a masked pin is lost */
        send_message(s->table[n]);
    }
}

static void end_of_interrupt(IoApic *s, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if ((s->table[pin] & RTE_VECTOR) == vector && (s->table[pin] & RTE_REMOTE_IRR)) {
            s->table[pin] &= ~RTE_REMOTE_IRR;
            service_level(s, pin);
        }
    }
}

void ioapic_end_of_interrupt(uint8_t vector)
{
    for (IoApic *s = ioapics; s; s = s->next) {
        end_of_interrupt(s, vector);
    }
}

/* ---- guest side ---- */

static uint32_t read_reg(const IoApic *s, unsigned reg)
{
    switch (reg) {
    case REG_ID:
    case REG_ARB: /* loaded with the ID; there is no bus to arbitrate for */
        return s->id;
    case REG_VERSION:
        return VERSION;
    case REG_TABLE ... REG_TABLE + 2 * IOAPIC_PINS - 1:
        return (uint32_t)(s->table[(reg - REG_TABLE) / 2] >> (reg % 2 ? 32 : 0));
    }
    return 0;
}

static void write_table(IoApic *s, unsigned reg, uint32_t value)
{
    unsigned pin = (reg - REG_TABLE) / 2;
    uint64_t old = s->table[pin];
    uint64_t half =
        reg % 2 ? (uint64_t)value << 32 | (uint32_t)old : (old & 0xffffffff00000000ull) | value;
    uint64_t rte = (half & RTE_WRITABLE) | (old & RTE_REMOTE_IRR);

    /* Going through edge triggering is how software clears remote IRR without an EOI register. */
    if (!is_level(rte)) {
        rte &= ~RTE_REMOTE_IRR;
    }
    s->table[pin] = rte;
    service_level(s, pin);
}

static uint64_t ioapic_read(void *opaque, hwaddr addr, unsigned size)
{
    IoApic *s = opaque;

    switch (addr) {
    case WINDOW_SELECT:
        return s->select;
    case WINDOW_DATA:
        return read_reg(s, s->select);
    }
    return 0;
}

static void ioapic_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    IoApic *s = opaque;

    switch (addr) {
    case WINDOW_SELECT:
        s->select = (uint8_t)value;
        break;
    case WINDOW_DATA:
        if (s->select == REG_ID) {
            s->id = (uint32_t)value & ID_MASK;
        } else if (s->select >= REG_TABLE && s->select < REG_TABLE + 2 * IOAPIC_PINS) {
            write_table(s, s->select, (uint32_t)value);
        }
        break;
    case WINDOW_EOI:
        end_of_interrupt(s, (uint8_t)value);
        break;
    }
}

static const MemoryOps ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .min_size = 4,
    .max_size = 4,
};

/* ---- as text ---- */

static void dump_pins(const char *name, uint32_t pins, Buffer *out)
{
    buffer_printf(out, "  %-10s", name);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (pins >> pin & 1) {
            buffer_printf(out, " %u", pin);
        }
    }
    buffer_printf(out, "%s\n", pins ? "" : " (none)");
}

static void dump(const IoApic *s, Buffer *out)
{
    uint32_t waiting = 0;

    buffer_printf(out, "ioapic at 0x%llx: ver=0x%x id=0x%02x sel=0x%02x\n",
                  (unsigned long long)s->base, VERSION & 0xff, s->id >> 24, s->select);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t rte = s->table[pin];
        buffer_printf(out, "  pin %-2u 0x%016llx dest=%u vec=%-3u active-%s %-5s %-6s %-8s %s\n",
                      pin, (unsigned long long)rte, (unsigned)(rte >> RTE_DEST_SHIFT),
                      (unsigned)(rte & RTE_VECTOR), rte & RTE_LOW_ACTIVE ? "lo" : "hi",
                      rte & RTE_LEVEL ? "level" : "edge", rte & RTE_MASKED ? "masked" : "",
                      apic_mode_name(rte >> RTE_MODE_SHIFT & 7),
                      rte & RTE_LOGICAL ? "logical" : "physical");
        waiting |= rte & RTE_REMOTE_IRR ? 1u << pin : 0;
    }
    dump_pins("Inputs", s->lines, out);
    dump_pins("Remote IRR", waiting, out);
}

bool ioapic_dump(Buffer *out)
{
    for (const IoApic *s = ioapics; s; s = s->next) {
        dump(s, out);
    }
    return ioapics != NULL;
}

/* ---- reset, state, creation ---- */

static void ioapic_reset(Device *dev)
{
    IoApic *s = (IoApic *)dev;

    s->id = 0;
    s->select = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        s->table[pin] = RTE_MASKED;
    }
}

static const VMStateField ioapic_fields[] = {
    VMSTATE_U32(lines, IoApic),
    VMSTATE_U32(id, IoApic),
    VMSTATE_U8(select, IoApic),
    VMSTATE_U64_ARRAY(table, IoApic),
    VMSTATE_END,
};

static const VMState ioapic_vmstate = {.name = "ioapic", .version = 1, .fields = ioapic_fields};

static bool ioapic_realize(Device *dev, Error **errp)
{
    IoApic *s = (IoApic *)dev;

    memory_region_init_io(&s->io, "ioapic", 0x1000, &ioapic_ops, s);
    memory_region_add(memory_as.root, s->base, &s->io, 1);
    for (int n = 0; n < IOAPIC_PINS; n++) {
        irq_init(&s->inputs[n], input_changed, s, n);
    }
    s->next = ioapics;
    ioapics = s;
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    IoApic **place = &ioapics;

    while (*place != (IoApic *)dev) {
        place = &(*place)->next;
    }
    *place = (*place)->next;
    memory_region_remove(&((IoApic *)dev)->io);
}

const DeviceClass ioapic_class = {
    .name = "ioapic",
    .desc = "82093AA I/O APIC",
    .bus = "board",
    .size = sizeof(IoApic),
    .vmstate = &ioapic_vmstate,
    .realize = ioapic_realize,
    .reset = ioapic_reset,
    .unrealize = ioapic_unrealize,
};

Device *ioapic_create(hwaddr base)
{
    IoApic *s = (IoApic *)device_new(&ioapic_class, NULL, NULL);

    s->base = base;
    device_realize_or_die(&s->dev);
    return &s->dev;
}

IrqLine *ioapic_input(Device *dev, unsigned n)
{
    return n < IOAPIC_PINS ? &((IoApic *)dev)->inputs[n] : NULL;
}
