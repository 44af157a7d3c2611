/*
 * Device fuzzer: builds a PC without running its CPUs and drives the registers of every device with
 * random accesses, half of them shaped like what drivers do. Virtual time is stepped now and then,
 * the user types, the screen is drawn, interrupts are taken, and the machine's state is saved,
 * disturbed, loaded and compared. Built with sanitizers it shall end without a finding; what it
 * does follows from the seed alone.
 *
 *     devices [--accesses N] [--seed S] [--machine pc|isapc] [--only REGION] [--state ROUNDS]
 *
 * N accesses go to each device region (default 20000). --state loads that many damaged machine
 * states on top.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/drive.h"
#include "char/char.h"
#include "hw/device.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/pc.h"
#include "target-i386/vcpu.h"
#include "tests/rng.h"
#include "ui/display.h"
#include "util/loop.h"

enum { CPUS = 2, RAM_SIZE = 16 << 20, DISK_SIZE = 4 << 20, CHUNK = 250, SECONDS_A_CHUNK = 60 };

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

static uint64_t random_value(void)
{
    switch (below(8)) {
    case 0:
        return 0;
    case 1:
        return ~0ull;
    case 2:
        return 1ull << below(64);
    case 3:
        return below(16);
    case 4:
        return below(256);
    case 5: /* an address in RAM */
        return below(RAM_SIZE) & ~(one_in(2) ? 0xfffu : 3u);
    case 6: /* one near an end of memory */
        return (one_in(2) ? RAM_SIZE : 0xffffffffull) - below(64);
    default:
        return rng();
    }
}

/* ---- accesses ---- */

static struct {
    const char *what;
    const AddressSpace *as;
    hwaddr addr;
    uint64_t value;
    unsigned size;
} last_access;
static uint64_t accesses_made;

static uint64_t io_read(AddressSpace *as, hwaddr addr, unsigned size)
{
    last_access.what = "read", last_access.as = as, last_access.addr = addr,
    last_access.size = size;
    accesses_made++;
    return memory_read(as, addr, size);
}

static void io_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size)
{
    last_access.what = "write", last_access.as = as, last_access.addr = addr,
    last_access.size = size;
    last_access.value = value;
    accesses_made++;
    memory_write(as, addr, value, size);
}

static void out(unsigned port, uint64_t value, unsigned size)
{
    io_write(&memory_io_as, port, value, size);
}

static uint64_t in(unsigned port, unsigned size)
{
    return io_read(&memory_io_as, port, size);
}

static void turn(void)
{
    last_access.what = "turn of the loop";
    loop_run_once(0);
}

/* In a signal handler: only what may be called there. */
static void hung(int sig)
{
    char line[256];
    int n = snprintf(
        line, sizeof(line),
        "# hangs in %s of %u bytes at %s 0x%" PRIx64 ", value 0x%" PRIx64 ", access %" PRIu64 "\n",
        last_access.what, last_access.size, last_access.as ? last_access.as->name : "?",
        last_access.addr, last_access.value, accesses_made);
    if (write(2, line, (size_t)n) == n) {
        abort();
    }
    _exit(1);
}

/* ---- what drivers do ---- */

typedef struct IndexPair {
    AddressSpace *as;
    hwaddr index, data;
    unsigned indexes, index_size, data_size;
} IndexPair;

static const IndexPair pairs[] = {
    {&memory_io_as, 0x70, 0x71, 128, 1, 1},   /* CMOS */
    {&memory_io_as, 0x3c4, 0x3c5, 8, 1, 1},   /* VGA sequencer */
    {&memory_io_as, 0x3ce, 0x3cf, 16, 1, 1},  /* graphics */
    {&memory_io_as, 0x3d4, 0x3d5, 64, 1, 1},  /* CRTC */
    {&memory_io_as, 0x3c0, 0x3c0, 64, 1, 1},  /* attributes */
    {&memory_io_as, 0x3c8, 0x3c9, 256, 1, 1}, /* palette */
    {&memory_io_as, 0x1ce, 0x1cf, 16, 2, 2},  /* display interface */
    {&memory_io_as, 0x1ce, 0x1d0, 16, 2, 2},
    {&memory_io_as, 0x510, 0x511, 64, 2, 1},        /* firmware configuration */
    {&memory_as, 0xfec00000, 0xfec00010, 64, 4, 4}, /* I/O APIC */
};

static void drive_pair(void)
{
    const IndexPair *p = &pairs[below(sizeof(pairs) / sizeof(pairs[0]))];

    io_write(p->as, p->index, below(p->indexes), p->index_size);
    if (one_in(3)) {
        io_read(p->as, p->data, p->data_size);
    } else {
        io_write(p->as, p->data, random_value(), p->data_size);
    }
}

typedef struct LikelyBytes {
    uint16_t port;
    uint8_t count;
    uint8_t values[40];
} LikelyBytes;

static const LikelyBytes likely[] = {
    {0x20,
     15,
     {0x11, 0x13, 0x19, 0x20, 0x0a, 0x0b, 0x0c, 0x61, 0x66, 0xc2, 0x80, 0xa0, 0x68, 0x48, 0x00}},
    {0xa0,
     15,
     {0x11, 0x13, 0x19, 0x20, 0x0a, 0x0b, 0x0c, 0x61, 0x66, 0xc2, 0x80, 0xa0, 0x68, 0x48, 0x00}},
    {0x21, 8, {0x00, 0xff, 0x08, 0x70, 0x04, 0x01, 0x03, 0x13}},
    {0xa1, 8, {0x00, 0xff, 0x70, 0x02, 0x01, 0x03, 0x13, 0x7f}},
    {0x43,
     16,
     {0x34, 0x36, 0xb6, 0x70, 0x54, 0x90, 0xb0, 0x38, 0x3a, 0xe2, 0xc2, 0xd2, 0xfe, 0x00, 0x40,
      0x80}},
    {0x40, 6, {0x00, 0x01, 0x02, 0xff, 0x10, 0x2e}},
    {0x42, 6, {0x00, 0x01, 0x02, 0xff, 0x10, 0x2e}},
    {0x61, 4, {0x00, 0x01, 0x03, 0x02}},
    {0x64, 20, {0x20, 0x60, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xc0,
                0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xf0, 0xfe, 0xdd, 0xdf, 0x21}},
    {0x60, 21, {0xed, 0xee, 0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff, 0xe6, 0xe7,
                0xe8, 0xe9, 0xea, 0xeb, 0x00, 0x02, 0x03, 0x47, 0x64, 0xc8}},
    {0x92, 4, {0x00, 0x01, 0x02, 0x03}},
    {0xb2, 4, {0xf0, 0xf1, 0x00, 0x01}},
    {0xcf9, 4, {0x02, 0x06, 0x0e, 0x00}},
    {0x3f8, 4, {0x00, 0x01, 0x0d, 0x55}},
    {0x3f9, 4, {0x00, 0x01, 0x0f, 0x02}},
    {0x3fa, 6, {0x00, 0x01, 0x07, 0xc7, 0x47, 0x81}},
    {0x3fb, 6, {0x03, 0x83, 0x43, 0x1f, 0x00, 0x80}},
    {0x3fc, 6, {0x00, 0x0b, 0x1b, 0x10, 0x1f, 0x03}},
    {0x0b, 6, {0x44, 0x48, 0x58, 0x84, 0xc5, 0x00}},
    {0xd6, 4, {0xc0, 0x44, 0x48, 0x00}},
    {0x1f6, 4, {0xa0, 0xb0, 0xe0, 0xf0}},
    {0x176, 4, {0xa0, 0xb0, 0xe0, 0xf0}},
    {0x3f6, 5, {0x00, 0x02, 0x04, 0x08, 0x80}},
    {0x376, 5, {0x00, 0x02, 0x04, 0x08, 0x80}},
    {0xc000, 5, {0x00, 0x01, 0x08, 0x09, 0x00}},
    {0xc008, 5, {0x00, 0x01, 0x08, 0x09, 0x00}},
    {0xf4, 3, {0x00, 0x10, 0xff}},
};

static void drive_likely(void)
{
    const LikelyBytes *l = &likely[below(sizeof(likely) / sizeof(likely[0]))];

    out(l->port, l->values[below(l->count)], 1);
}

/* Tables in RAM that descriptors will be read from: nearly sensible ones. */
static void fill_ram(void)
{
    uint8_t *ram = memory_ram_base();

    for (unsigned i = 0; i < 64; i++) {
        uint64_t *entry = (uint64_t *)(void *)(ram + 0x1000 + 8 * below(512));
        uint64_t count = one_in(4) ? below(0x10000) : 512u << below(6);
        *entry =
            (one_in(8) ? rng() : below(RAM_SIZE) & ~1u) | count << 32 | (uint64_t)one_in(3) << 63;
    }
}

static void drive_bus_master(void)
{
    unsigned base = 0xc000 + 8 * below(2);

    fill_ram();
    out(base + 4, one_in(8) ? random_value() : 0x1000 + 8 * below(512), 4);
    out(base, 9 - 8 * below(2), 1);
    if (one_in(2)) {
        out(base + 2, 6, 1);
    }
    in(base + 2, 1);
}

static const uint8_t ata_commands[] = {
    0x00, 0x08, 0x10, 0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40,
    0x42, 0x70, 0x90, 0x91, 0x92, 0xa0, 0xa1, 0xb0, 0xb1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca,
    0xe0, 0xe1, 0xe3, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xef, 0xf5, 0xf8, 0xf9,
};

static const uint8_t packet_commands[] = {
    0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x35, 0x42, 0x43,
    0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8, 0xad, 0xbb, 0xbd, 0xbe,
};

static void send_packet(unsigned base)
{
    uint8_t packet[12];

    for (unsigned i = 0; i < 12; i++) {
        packet[i] = one_in(3) ? (uint8_t)random_value() : 0;
    }
    packet[0] = packet_commands[below(sizeof(packet_commands))];
    for (unsigned i = 0; i < 12; i += 2) {
        out(base, packet[i] | packet[i + 1] << 8, 2);
    }
}

static void drive_ide(void)
{
    unsigned base = one_in(2) ? 0x1f0 : 0x170;
    bool packet = one_in(base == 0x170 ? 2 : 16);
    uint8_t command = packet ? 0xa0 : ata_commands[below(sizeof(ata_commands))];

    out(base + 6, 0xa0 | below(4) << 4 | below(16) * one_in(2), 1);
    if (one_in(8)) {
        out(base + 1, below(4), 1);
    }
    for (unsigned round = 1 + one_in(2); round; round--) {
        out(base + 2, one_in(4) ? random_value() : below(4), 1);
        for (unsigned reg = 3; reg <= 5; reg++) {
            out(base + reg, one_in(4) ? random_value() : one_in(8) ? 0xff : 0, 1);
        }
    }
    if (one_in(4)) {
        out(base + 1, random_value(), 1);
    }
    out(base + 7, command, 1);
    if (command == 0xc8 || command == 0xca || command == 0x25 || command == 0x35 ||
        command == 0xa0) {
        drive_bus_master();
    }
    if (command == 0xa0 && !one_in(4)) {
        send_packet(base);
    }
    for (unsigned i = 0; i < 3; i++) {
        turn();
        for (unsigned n = below(300); n && (in(base + 7, 1) & 8); n--) {
            if (one_in(2)) {
                in(base, 2u << below(2));
            } else {
                out(base, rng(), 2u << below(2));
            }
        }
    }
}

static void drive_mouse(void)
{
    static const uint8_t commands[] = {0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xee,
                                       0xf0, 0xf2, 0xf3, 0xf4, 0xf4, 0xf5, 0xf6, 0xff};

    out(0x64, 0xa8, 1);
    out(0x64, 0xd4, 1);
    out(0x60, commands[below(sizeof(commands))], 1);
    if (one_in(2)) { /* its parameter: resolutions, and the sampling rates that unlock the wheel */
        static const uint8_t parameters[] = {0, 3, 10, 80, 100, 200};
        out(0x64, 0xd4, 1);
        out(0x60, parameters[below(6)], 1);
    }
    input_mouse((int)below(600) - 300, (int)below(600) - 300, (int)below(5) - 2, below(8));
    for (unsigned n = below(6); n; n--) {
        in(0x60, 1);
    }
}

/* A mode that shows something: text, planes, 256 colours, or a linear frame buffer of any depth. */
static void set_screen_mode(void)
{
    static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                   0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x8e,
                                   0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const uint8_t depths[] = {4, 8, 15, 16, 24, 32};

    out(0x3c2, 0x63 | below(2) << 2, 1);
    for (unsigned i = 0; i < sizeof(crtc); i++) {
        out(0x3d4, i, 1);
        out(0x3d5, crtc[i] ^ (one_in(12) ? rng() : 0), 1);
    }
    out(0x3c4, 0x0001 | (below(2) | below(2) << 3) << 8, 2);
    out(0x3c4, 0x0004 | (2 | below(2) << 3) << 8, 2);
    out(0x3ce, 0x0005 | below(4) << 13, 2);
    out(0x3ce, 0x0006 | below(16) << 8, 2);
    in(0x3da, 1);
    out(0x3c0, 0x10, 1);
    out(0x3c0, below(256), 1);
    out(0x3c0, 0x20, 1);
    if (one_in(2)) {
        const unsigned values[] = {0xb0c5, 8 * below(160), below(1024), depths[below(6)],
                                   1 | below(8) << 5};
        for (unsigned i = 0; i < 5; i++) {
            out(0x1ce, i, 2);
            out(0x1d0, values[i], 2);
        }
    }
    out(0x1ce, 4, 2);
    out(0x1d0, below(2) | 0x40, 2);
    for (unsigned i = 0; i < 100; i++) {
        io_write(&memory_as, 0xa0000 + below(0x20000), rng(), 4);
    }
}

static uint32_t pci_address(unsigned devfn, unsigned reg)
{
    return 0x80000000u | devfn << 8 | (reg & 0xfc);
}

static void pci_write(unsigned devfn, unsigned reg, uint32_t value)
{
    out(0xcf8, pci_address(devfn, reg), 4);
    out(0xcfc, value, 4);
}

static unsigned pci_read_word(unsigned devfn, unsigned reg)
{
    out(0xcf8, pci_address(devfn, reg), 4);
    return (unsigned)in(0xcfc + (reg & 2), 2);
}

static void drive_pci(void)
{
    static const uint8_t devfns[] = {0x00, 0x08, 0x09, 0x0b, 0x10, 0x18, 0xff};
    unsigned size = 1u << below(3);

    out(0xcf8,
        pci_address(devfns[below(sizeof(devfns))], below(256)) ^ (one_in(16) ? (unsigned)rng() : 0),
        4);
    if (one_in(2)) {
        in(0xcfc + (below(4) & ~(size - 1)), size);
    } else {
        out(0xcfc + (below(4) & ~(size - 1)), random_value(), size);
    }
}

/* What the firmware would do: places for all BARs, decoding on, the power management block. */
static void set_up_pci(void)
{
    unsigned io = 0xc000;
    uint32_t mem = 0xe1000000;

    for (unsigned devfn = 0; devfn < 0x40; devfn++) {
        if (pci_read_word(devfn, 0) == 0xffff) {
            continue;
        }
        for (unsigned bar = 0; bar < 6; bar++) {
            pci_write(devfn, 0x10 + 4 * bar, 0xffffffff);
            out(0xcf8, pci_address(devfn, 0x10 + 4 * bar), 4);
            if (in(0xcfc, 4) & 1) {
                pci_write(devfn, 0x10 + 4 * bar, io);
                io += 0x100;
            } else {
                pci_write(devfn, 0x10 + 4 * bar, mem);
                mem += 0x2000000;
            }
        }
        pci_write(devfn, 0x04, 7);
        unsigned id = pci_read_word(devfn, 2);
        if (id == 0x7010) {
            pci_write(devfn, 0x40, 0x80008000); /* the PIIX3's IDE ports */
        }
        if (id == 0x7113) {
            pci_write(devfn, 0x40, 0xb001);
            pci_write(devfn, 0x80, 1);
            pci_write(devfn, 0x90, 0xb101);
            pci_write(devfn, 0xd0, 0x01000000);
        }
    }
}

static void drive_fw_cfg_dma(void)
{
    uint8_t *request = memory_ram_base() + 0x3000;
    uint32_t control = below(32) | below(64) << 16,
             length = one_in(8) ? (uint32_t)rng() : below(5000);
    uint64_t to = one_in(8) ? rng() : below(RAM_SIZE);

    control = __builtin_bswap32(control);
    length = __builtin_bswap32(length);
    to = __builtin_bswap64(to);
    memcpy(request, &control, 4);
    memcpy(request + 4, &length, 4);
    memcpy(request + 8, &to, 8);
    if (one_in(2)) {
        out(0x514, one_in(16) ? rng() : 0, 4);
    }
    out(0x518, __builtin_bswap32(one_in(16) ? (uint32_t)rng() : 0x3000), 4);
}

static void drive_apic(void)
{
    static const uint16_t regs[] = {0x80,  0xb0,  0xd0,  0xe0,  0xf0,  0x280, 0x300,
                                    0x310, 0x320, 0x350, 0x360, 0x370, 0x380, 0x3e0};
    static const uint32_t values[] = {0x1ff,   0x20040, 0x40041, 0x700,  0x400, 0x8055, 0x44060,
                                      0x84060, 0xc4060, 0x4500,  0x4601, 0xb,   100,    0};

    io_write(&memory_as, 0xfee00000 + regs[below(14)],
             one_in(2) ? values[below(14)] : random_value(), 4);
}

static void drive_msr(void)
{
    CPUX86State *env = vcpu_env(below(CPUS));
    uint32_t msr = one_in(8) ? 0x6e0 : 0x800 + below(0x100);
    uint64_t value;

    if (!env->intc) { /* a board for one CPU */
        return;
    }
    if (one_in(64)) {
        env->intc->set_base(env->intc_opaque, 0xfee00000 | below(8) << 9);
    } else if (one_in(2)) {
        env->intc->msr_write(env->intc_opaque, msr, random_value());
    } else {
        env->intc->msr_read(env->intc_opaque, msr, &value);
    }
}

static void drive_something(void)
{
    static void (*const all[])(void) = {
        drive_pair, drive_pair,       drive_likely, drive_likely,     drive_ide,   drive_pci,
        drive_apic, drive_fw_cfg_dma, drive_msr,    drive_bus_master, drive_mouse,
    };
    all[below(sizeof(all) / sizeof(all[0]))]();
}

/* ---- what else happens ---- */

static void take_interrupts(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        CPUX86State *env = vcpu_env(i);
        if (env->intc && one_in(2)) {
            env->intc->acknowledge(env->intc_opaque);
        }
        if (one_in(4)) {
            atomic_fetch_and(&env->interrupt_request, CPU_INTERRUPT_WORK | CPU_INTERRUPT_HARD);
        }
    }
}

/* What devices have asked the CPUs' threads to do to their own state: there are no such threads
 * here. */
static void do_cpu_work(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        vcpu_run_queued_work(vcpu_env(i));
    }
}

static void draw(void)
{
    if (one_in(2)) {
        set_screen_mode();
    }
    last_access.what = "drawing";
    if (display_first()) {
        display_update(display_first());
        free(display_text(display_first()));
    }
}

static void outside_events(void)
{
    static const int64_t steps[] = {0, 1, 100, 1000, 30000, 1000000, 5000000, 20000000};

    last_access.what = "a step of time";
    clock_step(steps[below(8)]);
    turn();
    take_interrupts();
    do_cpu_work();
    current_cpu = vcpu_env(below(CPUS));
    if (one_in(4)) {
        input_key(below(128), one_in(2));
        input_mouse((int)below(600) - 300, (int)below(600) - 300, (int)below(5) - 2, below(8));
    }
    if (one_in(64)) {
        draw();
    }
    if (one_in(128)) {
        set_up_pci();
    }
    if (one_in(2048)) {
        last_access.what = "a reset";
        machine_request_reset();
        turn();
        set_up_pci();
    }
}

/* ---- saved state ---- */

static void describe_difference(const Buffer *a, const Buffer *b)
{
    size_t at = 0, i;

    while (at < a->size && at < b->size && a->data[at] == b->data[at]) {
        at++;
    }
    /* The names of section and field stand before it. */
    printf("# sizes %zu and %zu, first difference at %zu, behind \"", a->size, b->size, at);
    for (i = at > 160 ? at - 160 : 0; i < at; i++) {
        putchar(a->data[i] >= ' ' && a->data[i] <= '~' ? a->data[i] : '.');
    }
    printf("\"\n");
}

static void random_accesses(unsigned n);

/* What was under way when the state was saved begins again when the machine runs. */
static void run_again(void)
{
    machine_stop(RUN_STATE_PAUSED);
    machine_start_clock_still();
}

/* Saves, disturbs without letting time go by, loads, and saves again. */
static bool round_trip(void)
{
    Buffer before = {0}, after = {0};
    Error *err = NULL;

    last_access.what = "saving and loading";
    blk_drain(NULL);
    do_cpu_work();
    vmstate_save_all(&before);
    random_accesses(50);
    blk_drain(NULL);
    Reader r = {.data = before.data, .size = before.size};
    bool ok = vmstate_load_all(&r, &err);
    if (!ok) {
        printf("# state that was just saved is refused: %s\n", error_text(err));
        error_free(err);
    } else {
        do_cpu_work();
        run_again();
        vmstate_save_all(&after);
        ok = after.size == before.size && memcmp(after.data, before.data, before.size) == 0;
        if (!ok) {
            describe_difference(&before, &after);
        }
    }
    buffer_free(&before);
    buffer_free(&after);
    return ok;
}

static void load_damaged_state(void)
{
    Buffer state = {0};
    Error *err = NULL;

    last_access.what = "loading a damaged state";
    blk_drain(NULL);
    vmstate_save_all(&state);
    for (unsigned n = 1 + below(40); n; n--) {
        size_t at = (size_t)(rng() % state.size);
        state.data[at] = (uint8_t)(one_in(2) ? random_value() : state.data[at] ^ 1u << below(8));
    }
    if (one_in(16)) {
        state.size = below((unsigned)state.size);
    }
    Reader r = {.data = state.data, .size = state.size};
    if (!vmstate_load_all(&r, &err)) {
        error_free(err);
        devices_reset();
    }
    run_again();
    clock_virtual_set(0);
    buffer_free(&state);
}

/* ---- targets: every device region in the maps ---- */

typedef struct Target {
    const char *name;
    AddressSpace *as;
    hwaddr addr;
    uint64_t size;
    uint64_t accesses;
} Target;

enum { TARGETS_MAX = 256 };
static Target targets[TARGETS_MAX];
static unsigned target_count;
static AddressSpace *searched;
static const char *only;

static void note_target(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                        void *opaque)
{
    Target *t = targets, *end = targets + target_count;

    if (mr->kind != MEMORY_IO || (only && strcmp(only, mr->name) != 0)) {
        return;
    }
    while (t < end && (t->as != searched || strcmp(t->name, mr->name) != 0)) {
        t++;
    }
    if (t == end) {
        if (target_count == TARGETS_MAX) {
            return;
        }
        target_count++;
        *t = (Target){.name = mr->name, .as = searched};
    }
    /* One of several of that name, a different one each time. */
    if (t->size == 0 || one_in(2)) {
        t->addr = addr;
        t->size = size;
    }
}

/* As far as they show now; those found once stay where they were. */
static void find_targets(void)
{
    searched = &memory_io_as;
    memory_each_range(searched, note_target, NULL);
    searched = &memory_as;
    memory_each_range(searched, note_target, NULL);
}

static void random_access(AddressSpace *as, hwaddr addr)
{
    unsigned size = 1u << below(as == &memory_io_as ? 3 : 4);

    if (!one_in(8)) {
        addr &= ~(hwaddr)(size - 1);
    }
    if (one_in(2)) {
        io_read(as, addr, size);
    } else {
        io_write(as, addr, random_value(), size);
    }
}

static void random_accesses(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const Target *t = &targets[below(target_count)];
        random_access(t->as, t->addr + rng() % t->size);
    }
}

static void chunk(Target *t)
{
    /* Large regions (video memory, configuration pages) mostly at their start. */
    uint64_t reach = t->size > 0x1000 && one_in(2) ? 0x400 : t->size;

    alarm(SECONDS_A_CHUNK);
    for (unsigned i = 0; i < CHUNK; i++) {
        if (one_in(16)) {
            drive_something();
        } else {
            random_access(t->as, t->addr + rng() % reach);
            t->accesses++;
        }
        if (one_in(50)) {
            outside_events();
        }
    }
    alarm(0);
}

/* ---- the machine ---- */

static char disk_path[] = "/tmp/fuzz-disk-XXXXXX";

static bool add_disks(Error **errp)
{
    int fd = mkstemp(disk_path);

    if (fd < 0 || ftruncate(fd, DISK_SIZE) < 0) {
        error_set(errp, "cannot make a disk image %s", disk_path);
        return false;
    }
    close(fd);
    drive_set_snapshot(true);
    bool ok = drive_add_file("-hda", 0, false, disk_path, errp) &&
              drive_add_file("-hdb", 1, false, disk_path, errp) &&
              drive_add_file("-cdrom", 2, true, disk_path, errp) && drive_open_all(errp);
    unlink(disk_path);
    return ok;
}

static bool make_machine(const char *machine, Error **errp)
{
    static const char *const extra[] = {"isa-debugcon,iobase=0x402", "isa-debug-exit",
                                        "pc-testdev"};

    loop_init();
    clock_use_stepped();
    machine_config = (MachineConfig){
        .ram_size = RAM_SIZE,
        .cpus = CPUS,
        .machine = machine,
        .acpi = true,
        .vga = true,
        .rtc_clock_vm = true,
    };
    if (strcmp(machine, "isapc") == 0) {
        machine_config.acpi = false;
    }
    if (!add_disks(errp) || !vcpu_create_all(CPUS, NULL, errp)) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        machine_config.serial[i] = chr_open(i ? "serial1" : "serial0", "null", errp);
    }
    machine_lock();
    if (!pc_init(&machine_config, errp)) {
        return false;
    }
    for (unsigned i = 0; i < sizeof(extra) / sizeof(extra[0]); i++) {
        if (!device_add(extra[i], errp)) {
            return false;
        }
    }
    return true;
}

typedef struct Settings {
    uint64_t accesses, seed, state_rounds;
    const char *machine;
} Settings;

static bool parse_arguments(int argc, char **argv, Settings *s)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--accesses") == 0) {
            s->accesses = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            s->seed = strtoull(argv[i + 1], NULL, 0);
        } else if (strcmp(argv[i], "--machine") == 0) {
            s->machine = argv[i + 1];
        } else if (strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        } else if (strcmp(argv[i], "--state") == 0) {
            s->state_rounds = strtoull(argv[i + 1], NULL, 0);
        } else {
            return false;
        }
    }
    return argc % 2 == 1;
}

/* The target that has had the fewest accesses and still needs some, or NULL. */
static Target *neediest(uint64_t wanted)
{
    Target *best = NULL;

    for (unsigned i = 0; i < target_count; i++) {
        if (targets[i].accesses < wanted && (!best || targets[i].accesses < best->accesses)) {
            best = &targets[i];
        }
    }
    return best;
}

static unsigned drive_devices(uint64_t wanted)
{
    unsigned differences = 0;
    Target *t;

    for (unsigned n = 0; (t = neediest(wanted)) != NULL; n++) {
        chunk(t);
        if (n % 8 == 0) {
            set_up_pci();
            find_targets();
        }
        if (n % 64 == 0 && !round_trip()) {
            printf("not ok - saved state at access %" PRIu64 "\n", accesses_made);
            differences++;
        }
        fflush(stdout);
    }
    return differences;
}

static void load_damaged_states(uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        alarm(SECONDS_A_CHUNK);
        load_damaged_state();
        for (unsigned n = 0; n < 20; n++) {
            random_accesses(5);
            drive_something();
            outside_events();
        }
        draw();
        alarm(0);
    }
    machine_request_reset();
    turn();
}

int main(int argc, char **argv)
{
    Settings s = {.accesses = 20000, .seed = 1, .state_rounds = 0, .machine = "pc"};
    Error *err = NULL;

    if (!parse_arguments(argc, argv, &s)) {
        error_exit("usage: %s [--accesses N] [--seed S] [--machine pc|isapc] [--only REGION] "
                   "[--state ROUNDS]",
                   argv[0]);
    }
    rng_state = s.seed * 0x9e3779b97f4a7c15ull + 1;
    signal(SIGALRM, hung);
    if (!make_machine(s.machine, &err)) {
        error_report_free(err);
        return 1;
    }
    set_up_pci();
    find_targets();
    unsigned differences = drive_devices(s.accesses);
    for (unsigned i = 0; i < target_count; i++) {
        printf("# %-24s %10" PRIu64 " accesses\n", targets[i].name, targets[i].accesses);
    }
    printf("%sok - every device of %s, seed %" PRIu64 "\n", differences ? "not " : "", s.machine,
           s.seed);
    if (s.state_rounds) {
        load_damaged_states(s.state_rounds);
        printf("ok - %" PRIu64 " damaged states\n", s.state_rounds);
    }
    return differences != 0;
}
