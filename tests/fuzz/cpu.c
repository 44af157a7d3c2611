/*
 * Fuzzes the executor: random code on random CPU states, modes, descriptor tables and page tables.
 * Nothing is expected of what the guest does, but the emulator must survive it (run under
 * sanitizers), and what is derived from the CPU's state must still agree with it after every step.
 * With -jit the translator runs it, as far as a time slice goes; more states are then flat, which is what it takes.
 *
 *     tests/fuzz/cpu [-jit] [-runs=N] [-seed=N]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "target-i386/accel.h"
#include "target-i386/cpuid.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

#define RAM_SIZE (4u << 20)
#define STEPS    300

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, TABLES = 0x10000, CODE = 0x8000, STACK = 0x20000 };

static uint64_t state = 1;
static bool translate;
static MemoryRegion ram, smram;

static uint32_t rnd(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 32);
}

static uint32_t below(uint32_t n)
{
    return rnd() % n;
}

static uint64_t rnd64(void)
{
    static const uint64_t corners[] = {0,
                                       1,
                                       0xfff,
                                       0x1000,
                                       0x7fffffff,
                                       0xffffffff,
                                       0x7fffffffffff,
                                       0x800000000000,
                                       0xffff800000000000,
                                       ~0ull,
                                       CODE,
                                       STACK,
                                       TABLES};

    switch (below(3)) {
    case 0:
        return corners[below(sizeof(corners) / sizeof(corners[0]))];
    case 1:
        return below(RAM_SIZE);
    default:
        return (uint64_t)rnd() << 32 | rnd();
    }
}

static void put64(uint32_t addr, uint64_t v)
{
    memcpy(ram.host + addr, &v, 8);
}

/* A descriptor of a likely kind, with something wrong now and then. */
static uint64_t descriptor(void)
{
    static const uint8_t types[] = {0x9b, 0x93, 0xfb, 0xf3, 0x9f, 0x97, 0x91, 0x82, 0x89,
                                    0x8b, 0x85, 0x8c, 0xec, 0x81, 0x84, 0x8e, 0x8f, 0xee};
    uint64_t type = below(12) ? types[below(sizeof(types))] : below(256);
    uint64_t flags = below(3) ? (below(2) ? 0xc : 0xa) : below(16);

    if ((type & 0x1f) >= 4 && !(type & 0x10) && (type & 15) != 9 && (type & 15) != 11) {
        uint64_t offset = CODE + below(0x100);
        return (offset & 0xffff) | (uint64_t)(below(16) * 8 + below(4)) << 16 | type << 40;
    }
    uint64_t limit = below(3) ? 0xfffff : below(0x100000);
    uint64_t base = below(3) ? 0 : below(RAM_SIZE);
    return (limit & 0xffff) | (base & 0xffffff) << 16 | type << 40 | (limit >> 16) << 48 |
           flags << 52;
}

static void fill_tables(CPUX86State *env, bool lma)
{
    for (unsigned i = 0; i < 32; i++) {
        put64(GDT + 8 * i, descriptor());
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t offset = CODE + below(0x1000), type = below(8) ? 0x8e : below(256);
        put64(IDT + (lma ? 16 : 8) * i,
              (offset & 0xffff) | (uint64_t)(8 * below(32)) << 16 | type << 40);
        if (lma) {
            put64(IDT + 16 * i + 8, 0);
        }
    }
    for (unsigned i = 0; i < 0x100; i += 8) {
        put64(TSS + i, rnd64());
    }
    /* Page tables: each entry leads to another table page or to some frame. */
    for (unsigned i = 0; i < 0x6000; i += 8) {
        uint64_t to = below(2) ? TABLES + 0x1000 * below(6) : below(RAM_SIZE) & ~0xfffu;
        put64(TABLES + i, to | (below(8) ? 7 : below(0x1000)) | (uint64_t)!below(30) << 63);
    }
    env->gdt = (DescriptorTable){GDT, below(4) ? 0xff : below(0x100)};
    env->idt = (DescriptorTable){IDT, below(4) ? 0x3ff : below(0x400)};
    env->segs[SEG_TR] =
        (Segment){.selector = 0x28, .base = TSS, .limit = below(0x2100), .attr = 0x8b};
}

static void random_state(CPUX86State *env)
{
    unsigned mode = below(6);
    bool lm = cpu_has_bit(env, FEAT_80000001_EDX, FXD_LM);
    bool lma = mode >= 4 && lm;
    unsigned cpl = below(2) ? 0 : below(4);

    for (unsigned i = 0; i < 16; i++) {
        env->regs[i] = lma ? rnd64() : (uint32_t)rnd64();
    }
    env->regs[R_SP] = STACK + below(0x100);
    env->eflags = (rnd() & 0x3f5fd7 & ~FLAG_VM) | FLAG_1;
    if (below(8)) {
        env->eflags &= ~(FLAG_TF | FLAG_NT);
    }
    fill_tables(env, lma);
    env->rip = CODE + below(0x800);
    env->cr4 = rnd() & env->model->cr4_valid;
    env->xcr0 = below(2) ? env->model->xcr0_valid : 1;
    env->dr[7] = below(4) ? 0x400 : (rnd() & 0xffff2bff) | 0x400;
    for (unsigned i = 0; i < 4; i++) {
        env->dr[i] = below(2) ? CODE + below(0x1000) : rnd64();
    }
    env->cr3 = TABLES + 0x1000 * below(6);
    if (mode > 0) {
        env->cr0 = CR0_PE | CR0_ET | (below(2) ? CR0_PG : 0) |
                   (rnd() & (CR0_WP | CR0_AM | CR0_NE | CR0_TS | CR0_MP));
    }
    if (lma) {
        env->cr0 |= CR0_PG;
        env->cr4 |= CR4_PAE;
        env->efer = EFER_LME | EFER_LMA | EFER_SCE | (below(2) ? EFER_NXE : 0);
    } else {
        env->cr4 &= ~CR4_PCIDE;
    }
    if (mode == 3) {
        env->eflags |= FLAG_VM;
        cpl = 3;
    }
    for (unsigned i = 0; i < 6; i++) {
        uint16_t attr =
            (uint16_t)((i == SEG_CS ? 0x9b : 0x93) | cpl << 5 | (below(4) ? 0xc000 : 0));
        env->segs[i] = (Segment){.selector = (uint16_t)(8 * below(32) | cpl),
                                 .attr = attr,
                                 .limit = below(4) ? 0xffffffff : below(0x10000),
                                 .base = below(4) ? 0 : below(0x10000)};
    }
    if (lma && mode == 5) {
        env->segs[SEG_CS].attr = (uint16_t)((env->segs[SEG_CS].attr & ~0x4000) | 0x2000);
    }
    if (translate && mode != 3 && below(4)) {
        for (unsigned i = 0; i < 6; i++) {
            uint16_t attr = (uint16_t)((i == SEG_CS ? 0x9b : 0x93) | cpl << 5 | 0xc000);
            env->segs[i] =
                (Segment){.selector = (uint16_t)(8 * below(32) | cpl), .attr = attr, .limit = 0xffffffff};
        }
        if (lma && mode == 5) {
            env->segs[SEG_CS].attr = (uint16_t)((env->segs[SEG_CS].attr & ~0x4000) | 0x2000);
        }
        env->eflags &= ~FLAG_TF;
        env->dr[7] = 0x400;
    }
    if (mode == 3) {
        for (unsigned i = 0; i < 6; i++) {
            env->segs[i] =
                (Segment){.selector = 0x800, .base = 0x8000, .limit = 0xffff, .attr = 0xf3};
        }
        env->rip &= 0x7ff;
    }
    cpu_update_hflags(env);
    tlb_flush(env);
    exec_flush_code(env);
}

/* Random bytes with plenty of system instructions among them. */
static void random_code(void)
{
    static const uint8_t starts[][2] = {
        {0x0f, 0x00}, {0x0f, 0x01}, {0x0f, 0x02}, {0x0f, 0x03}, {0x0f, 0x05}, {0x0f, 0x07},
        {0x0f, 0x20}, {0x0f, 0x22}, {0x0f, 0x21}, {0x0f, 0x23}, {0x0f, 0x30}, {0x0f, 0x32},
        {0x0f, 0x34}, {0x0f, 0x35}, {0x0f, 0xae}, {0x0f, 0xc7}, {0x0f, 0xb2}, {0x0f, 0xb4},
        {0x0f, 0xaa}, {0x8e, 0},    {0x9a, 0},    {0xca, 0},    {0xcb, 0},    {0xcd, 0},
        {0xcf, 0},    {0x9d, 0},    {0x9c, 0},    {0xff, 0},    {0xf3, 0xa4}, {0xf3, 0xab},
        {0x6c, 0},    {0xfa, 0},    {0xfb, 0},    {0xf4, 0},    {0xea, 0}};

    for (unsigned i = 0; i < 0x2000;) {
        if (below(3) == 0) {
            const uint8_t *s = starts[below(sizeof(starts) / sizeof(starts[0]))];
            ram.host[CODE + i++] = s[0];
            if (s[1]) {
                ram.host[CODE + i++] = s[1];
            }
        }
        ram.host[CODE + i++] = (uint8_t)rnd();
    }
}

static void check_hflags(CPUX86State *env)
{
    uint32_t hflags = env->hflags;

    cpu_update_hflags(env);
    if (hflags != env->hflags) {
        fprintf(stderr, "hflags were %x, state says %x at %04x:%" PRIx64 "\n", hflags, env->hflags,
                env->segs[SEG_CS].selector, env->rip);
        abort();
    }
}

/* Most of the random code by a page of plain instructions that use memory and stack, or a block gets nowhere. */
static void plainer_code(void)
{
    static const uint8_t plain[][4] = {
        {2, 0x89, 0x03}, {2, 0x8b, 0x0e}, {1, 0x50}, {1, 0x58}, {2, 0x01, 0xd8}, {3, 0x48, 0x8b, 0x07}, {2, 0xeb, 0x02},
        {2, 0x74, 0x04}, {2, 0x75, 0xf0}, {1, 0xc3}, {2, 0xff, 0xd0}, {2, 0xff, 0xe3}, {2, 0x88, 0x27}, {2, 0x31, 0xc0},
        {2, 0xd9, 0xe8}, {3, 0x0f, 0x28, 0x06}, {3, 0x0f, 0x11, 0x07}, {3, 0x0f, 0x6f, 0x06}, {2, 0xf3, 0xaa}, {1, 0xa4},
        {3, 0xf0, 0x01, 0x07}, {2, 0x87, 0x03}, {1, 0x9c}, {1, 0x9d}, {3, 0x0f, 0x22, 0xd8}, {3, 0x0f, 0x01, 0x3f},
    };

    for (unsigned i = 0; i + 8 < 0x2000;) {
        const uint8_t *p = plain[below(sizeof(plain) / sizeof(plain[0]))];
        memcpy(&ram.host[CODE + i], p + 1, p[0]);
        i += p[0];
        if (!below(6)) {
            i += below(4); /* keep what was there */
        }
    }
}

static CPUX86State *volatile fuzzed;

static void on_alarm(int sig)
{
    if (fuzzed) {
        vcpu_kick(fuzzed);
    }
}

static void start_timer(void)
{
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 3000}, {0, 3000}};

    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* Up to the next ticks of the timer. */
static void one_translated_run(CPUX86State *env)
{
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&env->exit_request, 0);
        CpuExit why = cpu_exec(env);
        check_hflags(env);
        if (why == CPU_EXIT_RESET || (why == CPU_EXIT_HALT && below(2))) {
            break;
        }
        env->halted = false;
        if (!below(3)) {
            cpu_interrupt(env, below(2) ? CPU_INTERRUPT_NMI : CPU_INTERRUPT_SMI);
        }
    }
}

static void one_run(CPUX86State *env)
{
    cpu_reset(env, false);
    random_code();
    if (translate) {
        plainer_code();
    }
    random_state(env);
    for (unsigned step = 0; step < STEPS && !translate; step++) {
        if (!below(40)) {
            cpu_interrupt(env, below(2)   ? CPU_INTERRUPT_NMI
                               : below(2) ? CPU_INTERRUPT_SMI
                                          : CPU_INTERRUPT_INIT);
        }
        CpuExit why = cpu_exec_one(env);
        check_hflags(env);
        if (why == CPU_EXIT_RESET || (why == CPU_EXIT_HALT && below(2))) {
            break;
        }
        env->halted = false;
    }
    if (translate) {
        one_translated_run(env);
    }
}

static long number_after(const char *arg, const char *name, long otherwise)
{
    size_t n = strlen(name);

    return strncmp(arg, name, n) ? otherwise : atol(arg + n);
}

int main(int argc, char **argv)
{
    static const char *const models[] = {"max", "qemu64", "pentium3", "486"};
    long runs = 20000, seed = 1;

    for (int i = 1; i < argc; i++) {
        runs = number_after(argv[i], "-runs=", runs);
        seed = number_after(argv[i], "-seed=", seed);
        translate |= !strcmp(argv[i], "-jit");
    }
    loop_init();
    exec_init();
    machine_lock();
    if (!memory_ram_init(16u << 20, NULL)) {
        return 1;
    }
    memory_init();
    memory_region_init_ram(&ram, "ram", RAM_SIZE, NULL);
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_region_init_alias(&smram, "ram", &ram, 0, RAM_SIZE);
    memory_region_add(memory_smm_as.root, 0, &smram, 0);
    machine_unlock();
    if (translate) {
        accel_select(&accel_jit);
    }
    for (unsigned m = 0; m < 4; m++) {
        CPUX86State *env = cpu_new(0, models[m], NULL);
        current_cpu = fuzzed = env;
        if (translate) {
            start_timer();
        }
        for (long i = 0; i < runs / 4; i++) {
            state = (uint64_t)seed * 1000003 + (uint64_t)i * 4 + m;
            one_run(env);
        }
        current_cpu = fuzzed = NULL;
        cpu_free(env);
    }
    printf("%ld runs\n", runs / 4 * 4);
    return 0;
}
