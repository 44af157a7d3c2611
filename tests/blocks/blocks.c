/*
 * Random programs on the translator and the executor side by side (target-i386/lockstep.h): instructions of every form with
 * memory operands that cross pages, fault half-way, reach a device or the code that follows; jumps, calls, returns, strings;
 * 64- and 32-bit code at CPL 0 and 3, some 16-bit code.
 *
 *     blocks [-blocks N] [-seed N] [-program N] [-progress]
 *
 * Runs programs until N runs of translated code were compared. A difference ends it: the program is made smaller as
 * long as it still shows, its number is printed (-seed S -program P runs it alone) and what differs.
 *
 * Most programs run several times, the same code mapped at other addresses (target-i386/jit-move.c). A program is a row of
 * chunks. Every exception goes to a handler that goes on with the next chunk.
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
#include "target-i386/exec.h"
#include "target-i386/jit.h"
#include "target-i386/lockstep.h"
#include "target-i386/mem.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/program.h"
#include "util/log.h"
#include "util/loop.h"

enum {
    RAM_SIZE = 4 << 20,
    PHYS_TABLES = 0x100000,
    PHYS_PAGES = 0x200000,
    PHYS_DEVICE = 0x1000000,
    GDT = 0x10000, IDT = 0x11000, TSS = 0x12000, HANDLER = 0x13000, FRAME = 0x14000, FAULT_STACK = 0x16000,
    DATA = 0x10000000, RO = 0x10003000, DEVICE = 0x10005000, STACK = 0x20000000, CODE = 0x60000000,
    DATA_PAGES = 2, STACK_PAGES = 2, CODE_PAGES = 4, MOST_MOVES = 4,
    CHUNK = 128, MOST_CHUNKS = 8, MOST_INSNS = MOST_CHUNKS * CHUNK / 2,
    RUNS = 48, /* of one program */
    SEL_CODE64 = 0x08, SEL_DATA = 0x10, SEL_CODE32 = 0x18, SEL_USER32 = 0x23, SEL_USER_DATA = 0x2b, SEL_USER64 = 0x33,
    SEL_CODE16 = 0x38, SEL_TSS = 0x40,
};

typedef enum Mode { MODE64, MODE32, MODE16 } Mode;

typedef struct Program {
    Mode mode;
    bool user, segmented;
    uint64_t start;
    uint32_t size;
    uint8_t code[MOST_CHUNKS * CHUNK + 64];
    unsigned count; /* of instructions */
    uint16_t at[MOST_INSNS];
    uint8_t data[DATA_PAGES * 4096];
    OracleCase state;
    uint64_t pointers[8];
    unsigned nmoves;
    uint64_t moves[MOST_MOVES]; /* what is added to its addresses when it runs again */
} Program;

static CPUX86State *env;
static MemoryRegion ram, device;
static uint32_t next_table = PHYS_TABLES + 0x1000, next_page = PHYS_PAGES, code_phys, data_phys, stack_phys;
static uint8_t tables_template[0x5000]; /* GDT up to FRAME */
static uint64_t device_state;

/* Where the code is to be had besides CODE: also around places where addresses change their form, or end. */
static const uint64_t places64[] = {
    0x555555554000, 0x5a1234567000, 0x7f0000001000, 0x7fffe0000000, 0x7ffefffff000, 0x7fffffffb000, 0x1ffffe000, 0x200009000, 0x7fffe000, 0xffffe000,
    0x100009000,    0xffff800000000000, 0xffffffff80001000, 0xffffffffffffb000,
};
static const uint64_t places32[] = {0x40000000, 0x70001000, 0x7fffe000, 0x80008000, 0xc0001000, 0xffffb000, 0x00700000, 0x0000b000};
enum { PLACES64 = sizeof(places64) / sizeof(places64[0]), PLACES32 = sizeof(places32) / sizeof(places32[0]) };

/* ---- what generate.c asks ---- */

InsnStatus guest_decode(const uint8_t *code, unsigned len, bool mode64, Insn *insn)
{
    DecodeMode mode = env->decode_mode;

    mode.code_size = mode64 ? 8 : 4;
    mode.protected_mode = true;
    return insn_decode(&mode, code, len, insn);
}

/* ---- the machine ---- */

static uint64_t device_read(void *opaque, hwaddr addr, unsigned size)
{
    device_state = device_state * 6364136223846793005ull + addr + 1;
    return device_state >> 20;
}

static void device_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    device_state += value * (addr + size);
}

static const MemoryOps device_ops = {.read = device_read, .write = device_write, .max_size = 8};

static void map_page(uint64_t linear, uint64_t phys, unsigned flags)
{
    uint32_t table = PHYS_TABLES;

    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = (uint64_t *)(void *)(ram.host + table) + (linear >> shift & 511);
        if (!*entry) {
            *entry = next_table | 7;
            next_table += 0x1000;
        }
        table = (uint32_t)*entry & ~0xfffu;
    }
    ((uint64_t *)(void *)(ram.host + table))[linear >> 12 & 511] = phys | flags;
}

/* The same memory as at the linear address `as`. */
static void map_again(uint64_t linear, unsigned n, uint64_t as)
{
    for (unsigned i = 0; i < n; i++, linear += 0x1000, as += 0x1000) {
        uint32_t table = PHYS_TABLES;
        for (int shift = 39; shift > 12; shift -= 9) {
            table = (uint32_t)((uint64_t *)(void *)(ram.host + table))[as >> shift & 511] & ~0xfffu;
        }
        uint64_t entry = ((uint64_t *)(void *)(ram.host + table))[as >> 12 & 511];
        map_page(linear, entry & ~0xfffull, entry & 0xfff);
    }
}

static uint32_t map_pages(uint64_t linear, unsigned n, unsigned flags)
{
    uint32_t first = next_page;

    for (unsigned i = 0; i < n; i++, next_page += 0x1000) {
        map_page(linear + 0x1000ull * i, next_page, flags);
    }
    return first;
}

static void put64(uint32_t phys, uint64_t v)
{
    memcpy(ram.host + phys, &v, 8);
}

/* Adds the chunk's size to the frame's rip and goes there. */
static const uint8_t handler[] = {
    0x48, 0x81, 0x04, 0x25, FRAME & 0xff, FRAME >> 8 & 0xff, FRAME >> 16, 0, CHUNK, 0, 0, 0, /* add $CHUNK,FRAME */
    0x48, 0xc7, 0xc4, FRAME & 0xff, FRAME >> 8 & 0xff, FRAME >> 16, 0,                       /* mov $FRAME,%rsp */
    0x48, 0xcf,                                                                              /* iretq */
};

static void make_tables(void)
{
    static const uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cffb000000ffff,
                                   0x00cff3000000ffff, 0x00affb000000ffff, 0x00009b000000ffff | (uint64_t)(CODE >> 24) << 56,
                                   0x0000890000000067 | (uint64_t)(TSS & 0xffffff) << 16, 0};

    memcpy(ram.host + GDT, gdt, sizeof(gdt));
    for (unsigned v = 0; v < 256; v++) {
        put64(IDT + 16 * v, (HANDLER & 0xffff) | (uint64_t)SEL_CODE64 << 16 | 1ull << 32 | 0xeeull << 40 |
                                (uint64_t)(HANDLER >> 16) << 48);
    }
    put64(TSS + 4, FAULT_STACK);
    put64(TSS + 36, FAULT_STACK); /* IST 1 */
    memcpy(ram.host + HANDLER, handler, sizeof(handler));
    memcpy(tables_template, ram.host + GDT, sizeof(tables_template));
}

/* Code that is not translated (single steps, alignment checks, 16 bits) counts no runs: time ends it. */
static void on_alarm(int sig)
{
    atomic_store(&env->exit_request, 1);
}

static void start_timer(void)
{
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 20000}, {0, 20000}};

    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void make_machine(void)
{
    Error *err = NULL;

    loop_init();
    exec_init();
    machine_lock();
    if (!memory_ram_init(RAM_SIZE, &err)) {
        exit(1);
    }
    memory_init();
    memory_region_init_ram(&ram, "ram", RAM_SIZE, &err);
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_region_init_io(&device, "device", 0x1000, &device_ops, NULL);
    memory_region_add(memory_as.root, PHYS_DEVICE, &device, 0);
    machine_unlock();
    for (unsigned p = GDT; p < FAULT_STACK; p += 0x1000) {
        map_page(p, p, 3);
    }
    make_tables();
    data_phys = map_pages(DATA, DATA_PAGES, 7);
    map_pages(RO, 1, 5);
    map_page(DEVICE, PHYS_DEVICE, 7);
    stack_phys = map_pages(STACK, STACK_PAGES, 7);
    code_phys = map_pages(CODE, CODE_PAGES, 7);
    for (unsigned i = 0; i < PLACES64; i++) { /* with what its RIP-relative operands reach */
        map_again(places64[i], CODE_PAGES, CODE);
        map_again(places64[i] - CODE + DATA, DATA_PAGES, DATA);
        map_again(places64[i] - CODE + RO, 1, RO);
        map_again(places64[i] - CODE + DEVICE, 1, DEVICE);
        map_again(places64[i] - CODE + STACK, STACK_PAGES, STACK);
    }
    for (unsigned i = 0; i < PLACES32; i++) {
        map_again(places32[i], CODE_PAGES, CODE);
    }
    env = cpu_new(0, "max", &err);
    if (!env) {
        exit(1);
    }
    env->bsp = true;
    cpu_reset(env, false);
    current_cpu = env;
    log_mask |= LOG_LOCKSTEP;
    accel_select(&accel_jit);
    generate_init(env->fpu.mxcsr_mask);
}

/* ---- making programs ---- */

static unsigned below(unsigned n)
{
    return (unsigned)(oracle_random() % n);
}

static bool chance(unsigned percent)
{
    return below(100) < percent;
}

static uint64_t some_code(const void *program)
{
    const Program *p = program;

    return p->start + below(MOST_CHUNKS) * CHUNK + (chance(70) ? 0 : below(CHUNK));
}

static uint64_t some_pointer(const void *program)
{
    const Program *p = program;

    switch (below(20)) {
    case 0:
        return DATA + DATA_PAGES * 4096 - below(40); /* into the hole */
    case 1:
        return RO + below(4096);
    case 2:
        return DEVICE + below(4000);
    case 3:
    case 4:
        return some_code(p);
    case 5:
    case 6:
    case 7:
        return DATA + 4096 - below(40);
    case 8:
        return STACK + below(STACK_PAGES * 4096);
    case 9:
        return DATA + DATA_PAGES * 4096 + below(4096);
    default:
        return DATA + (below(DATA_PAGES * 4096 - 512) & ~15u) + 256;
    }
}

/* Few of those that only lead out of translated code. */
static bool wanted(const InsnForm *form)
{
    return insn_features_has(&env->decode_mode.features, form->feature) &&
           !(form->flags & (INSN_SYSTEM | INSN_ENDS_BLOCK | INSN_IOPL) && chance(90));
}

enum { REG_CX = 1, REG_SP = 4 };

static unsigned random_jump(const Program *p, uint8_t *code, uint64_t rip)
{
    uint32_t target = (uint32_t)some_code(p);
    unsigned reg = below(3); /* AX, CX, DX */

    switch (below(9)) {
    case 0:
        code[0] = 0xe8; /* call */
        return program_rel32(code, 1, rip, some_code(p));
    case 1:
        code[0] = 0xc3; /* ret */
        return 1;
    case 2:
        code[0] = 0x68; /* push $target; ret */
        memcpy(code + 1, &target, 4);
        code[5] = 0xc3;
        return 6;
    case 3:
        code[0] = (uint8_t)(0xb8 + reg); /* mov $target,%reg; jmp or call *%reg */
        memcpy(code + 1, &target, 4);
        code[5] = 0xff;
        code[6] = (uint8_t)((chance(50) ? 0xe0 : 0xd0) + reg);
        return 7;
    case 4:
        code[0] = (uint8_t)(0xe0 + below(4)); /* loop, jcxz */
        code[1] = (uint8_t)(chance(50) ? below(40) : 0u - below(40));
        return 2;
    case 5:
        code[0] = (uint8_t)(0x70 + below(16)); /* jcc, a short way */
        code[1] = (uint8_t)(chance(70) ? below(40) : 0u - below(60));
        return 2;
    default:
        code[0] = 0x0f; /* jcc */
        code[1] = (uint8_t)(0x80 + below(16));
        return program_rel32(code, 2, rip, some_code(p));
    }
}

static ProgramSpace space_of(const Program *p)
{
    return (ProgramSpace){.mode64 = p->mode == MODE64, .pointer = some_pointer, .place = some_code, .wanted = wanted, .opaque = p};
}

static unsigned make_insn(const Program *p, uint8_t *code, uint64_t rip)
{
    unsigned kind = below(100);

    if (kind < 14) {
        return random_jump(p, code, rip);
    }
    ProgramSpace space = space_of(p);
    return kind < 18 ? program_code_store(&space, code, rip) : kind < 24 ? program_set_pointer(&space, code)
                                                             : program_insn(&space, code, rip);
}

/* One that mostly names all registers it uses, as compiled loops have them. */
static unsigned integer_insn(const Program *p, uint8_t *code, uint64_t rip)
{
    ProgramSpace space = space_of(p);
    Insn insn;

    for (unsigned tries = 0; tries < 400; tries++) {
        unsigned len = program_insn(&space, code, rip);
        if (len && guest_decode(code, len, p->mode == MODE64, &insn) == INSN_OK && insn.len == len &&
            insn.insn_class == INSN_CLASS_INTEGER && !(insn.flags & (INSN_ENDS_BLOCK | INSN_STRING))) {
            return len;
        }
    }
    return 0;
}

/* A few instructions, and a jump back to the first; its length, or 0. */
static unsigned random_loop(Program *p, unsigned at, uint8_t *code)
{
    static const uint8_t ends[][3] = {{0x83, 0xea, 1}, {0x83, 0xe9, 1}, {0x39, 0xca, 0}, {0x85, 0xd2, 0}, {0xff, 0xca, 0}};
    unsigned end = below(5), end_len = end < 2 ? 3 : 2, len = 0;

    if (chance(70)) {
        code[0] = 0xba; /* mov $rounds,%edx, outside of it */
        code[1] = (uint8_t)(1 + below(7));
        p->at[p->count++] = (uint16_t)at;
        len = 5;
    }
    unsigned start = len;
    for (unsigned n = 1 + below(6); n; n--) {
        uint8_t insn[24] = {0};
        unsigned insn_len = integer_insn(p, insn, p->start + at + len);
        if (!insn_len || len + insn_len > CHUNK - 16) {
            break;
        }
        memcpy(code + len, insn, insn_len);
        p->at[p->count++] = (uint16_t)(at + len);
        len += insn_len;
    }
    memcpy(code + len, ends[end], end_len);
    p->at[p->count++] = (uint16_t)(at + len);
    len += end_len;
    code[len] = (uint8_t)(0x70 + (chance(70) ? 5 : below(16)));
    code[len + 1] = (uint8_t)(start - len - 2);
    p->at[p->count++] = (uint16_t)(at + len);
    return len + 2;
}

static void make_code(Program *p)
{
    unsigned chunks = 1 + below(MOST_CHUNKS);

    p->size = chunks * CHUNK;
    p->count = 0;
    memset(p->code, 0x90, sizeof(p->code));
    for (unsigned at = 0; at + 24 < p->size && p->count < MOST_INSNS;) {
        uint8_t code[CHUNK] = {0};
        unsigned chunk_end = (at / CHUNK + 1) * CHUNK;
        if (p->mode != MODE16 && at % CHUNK == 0 && chance(30) && p->count + 12 < MOST_INSNS) {
            unsigned loop_len = random_loop(p, at, code);
            memcpy(p->code + at, code, loop_len);
            at += loop_len;
            continue;
        }
        unsigned len = make_insn(p, code, p->start + at);
        if (!len) {
            continue;
        }
        if (p->mode == MODE16 && chance(70)) { /* what it is in 32-bit code */
            memmove(code + 2, code, sizeof(code) - 2);
            code[0] = 0x66;
            code[1] = 0x67;
            len += 2;
        }
        if (at + len > chunk_end) {
            at = chunk_end; /* NOPs lead there */
            continue;
        }
        memcpy(p->code + at, code, len);
        p->at[p->count++] = (uint16_t)at;
        at += len;
    }
}

static void make_program(Program *p, uint64_t seed)
{
    InsnForm form;

    oracle_seed_anew(seed);
    memset(p, 0, sizeof(*p));
    p->mode = chance(50) ? MODE64 : chance(80) ? MODE32 : MODE16;
    p->user = p->mode != MODE16 && chance(50);
    p->segmented = p->mode != MODE64 && chance(30);
    p->start = CODE + 4096 + (chance(50) ? below(4096) : 4096 - below(MOST_CHUNKS * CHUNK));
    make_code(p);
    generate_memory(p->data, sizeof(p->data));
    do {
        insn_form(oracle_random() % insn_form_count(), &form);
    } while (!generate_case(&form, p->mode == MODE64, &p->state)); /* for its state */
    for (unsigned i = 0; i < 8; i++) {
        p->pointers[i] = some_pointer(p);
    }
    p->nmoves = below(MOST_MOVES + 1);
    for (unsigned i = 0; i < p->nmoves; i++) {
        p->moves[i] = chance(20) ? 0 : (p->mode == MODE64 ? places64[below(PLACES64)] : places32[below(PLACES32)]) - CODE;
    }
}

/* ---- running ---- */

static void load_registers(const Program *p, uint64_t first)
{
    static const uint8_t pointer_regs[8] = {3, 5, 6, 7, 13, 14, 15, 3};
    const OracleState *s = &p->state.in;
    unsigned n = p->mode == MODE64 ? 16 : 8;

    memset(env->regs, 0, sizeof(env->regs));
    memcpy(env->regs, s->regs, 8 * n);
    for (unsigned i = 0; i < (p->mode == MODE64 ? 7 : 4); i++) {
        env->regs[pointer_regs[i]] = p->pointers[i];
    }
    env->regs[REG_CX] &= 63;
    if (p->mode == MODE64) {
        env->regs[9] &= 63;
        env->regs[12] &= 63;
    }
    env->regs[REG_SP] = STACK + 4096 - (p->pointers[7] & 0xf8);
    env->eflags = (s->eflags & ~(FLAG_AC | FLAG_DF)) | FLAG_1 | (p->pointers[7] & 0x100 ? FLAG_DF : 0);
    env->rip = first;
    uint32_t mask = env->fpu.mxcsr_mask;
    memcpy(&env->fpu, s->fx, sizeof(s->fx));
    env->fpu.mxcsr_mask = mask;
    memcpy(env->fpu.ymmh, s->ymmh, sizeof(env->fpu.ymmh));
    env->xstate_bv = 7;
}

/* 16-bit code has a segment of its own, which begins elsewhere when it is moved, a page before the code or with it. */
static uint64_t code_base(uint64_t move)
{
    return (uint32_t)(CODE + move - (move >> 12 & 1) * 4096);
}

static uint64_t first_rip(const Program *p, uint64_t move)
{
    return p->mode == MODE16 ? (uint32_t)(p->start + move - code_base(move)) : p->mode == MODE32 ? (uint32_t)(p->start + move) : p->start + move;
}

static void load_system(const Program *p, uint64_t move, bool again)
{
    unsigned dpl = p->user ? 3 : 0;
    uint16_t data = p->user ? SEL_USER_DATA : SEL_DATA;
    uint16_t code = p->mode == MODE16 ? SEL_CODE16
                    : p->mode == MODE32 ? (p->user ? SEL_USER32 : SEL_CODE32) : (p->user ? SEL_USER64 : SEL_CODE64);

    if (again) { /* as a reset, but the translated code stays */
        env->shadow = 0;
        env->halted = env->nmi_blocked = env->step_trap = false;
        env->pending_db = 0;
        env->excp_vector = env->delivering = -1;
        env->dr[6] = 0xffff0ff0;
    } else {
        cpu_reset(env, false);
    }
    env->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    env->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE | CR4_FSGSBASE;
    env->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    env->xcr0 = 7;
    env->cr3 = PHYS_TABLES;
    env->gdt = (DescriptorTable){GDT, 0x4f};
    env->idt = (DescriptorTable){IDT, 0xfff};
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        env->segs[s] = (Segment){.selector = data, .limit = 0xffffffff,
                                 .attr = (uint16_t)(0x93 | dpl << SEG_ATTR_DPL_SHIFT | SEG_ATTR_G | SEG_ATTR_DB)};
    }
    env->segs[SEG_CS] = (Segment){
        .selector = code, .limit = 0xffffffff,
        .attr = (uint16_t)(0x9b | dpl << SEG_ATTR_DPL_SHIFT | SEG_ATTR_G |
                           (p->mode == MODE64 ? SEG_ATTR_L : p->mode == MODE32 ? SEG_ATTR_DB : 0))};
    env->segs[SEG_TR] = (Segment){.selector = SEL_TSS, .base = TSS, .limit = 0x67, .attr = 0x8b};
    cpu_update_hflags(env);
    tlb_flush(env);
    if (p->mode == MODE16) {
        env->segs[SEG_CS].base = code_base(move);
        env->segs[SEG_CS].limit = 0xffff;
    }
    for (unsigned s = SEG_ES; s <= SEG_GS && p->segmented; s += 1 + (p->pointers[s & 7] & 1)) {
        if (s != SEG_CS) {
            env->segs[s].base = p->pointers[s & 7] & 0x1f0;
            env->segs[s].limit = p->pointers[s & 7] & 0x200 ? DATA + 0x17ff : 0xffffffff;
        }
    }
    cpu_update_hflags(env);
    uint64_t frame[5] = {first_rip(p, move), code, 0x202, STACK + 4096 - 256, data};
    if (memcmp(ram.host + GDT, tables_template, FRAME - GDT)) {
        dma_write(GDT, tables_template, FRAME - GDT);
    }
    dma_write(FRAME, frame, sizeof(frame));
}

/* Runs the program where its addresses are larger by `move`; true when a difference showed. */
static bool run_moved(const Program *p, uint64_t move, bool again, bool report)
{
    machine_lock();
    load_system(p, move, again);
    dma_write(data_phys, p->data, sizeof(p->data));
    device_state = 1;
    machine_unlock();
    load_registers(p, first_rip(p, move));
    if (env->lockstep) {
        lockstep_test(env, RUNS, report);
    }
    atomic_store(&env->exit_request, 0);
    for (unsigned i = 0; i < 4 && cpu_exec(env) == CPU_EXIT_KICK && !atomic_load(&env->exit_request); i++) {
    }
    return lockstep_found_difference(env);
}

/* Runs it in all its places, with what has become of its code in the last one; true when a difference showed. */
static bool run_program(const Program *p, bool report)
{
    static uint8_t code[CODE_PAGES * 4096];
    bool differs;

    machine_lock();
    memset(code, 0xcc, sizeof(code));
    memcpy(code + (p->start - CODE), p->code, p->size);
    dma_write(code_phys, code, sizeof(code));
    machine_unlock();
    differs = run_moved(p, 0, false, report);
    for (unsigned i = 0; i < p->nmoves && !differs; i++) {
        differs = run_moved(p, p->moves[i], true, report);
    }
    return differs;
}

/* Turns instructions into NOPs as long as the difference stays. */
static void make_smaller(Program *p)
{
    Program less;

    for (bool smaller = true; smaller;) {
        smaller = false;
        for (unsigned i = 0; i < p->count; i++) {
            unsigned end = i + 1 < p->count ? p->at[i + 1] : p->size;
            less = *p;
            memset(less.code + p->at[i], 0x90, end - p->at[i]);
            if (memcmp(less.code, p->code, p->size) && run_program(&less, false)) {
                *p = less;
                smaller = true;
            }
        }
    }
}

static void report(Program *p, uint64_t seed, uint64_t number)
{
    printf("# now as small as it can be made\nnot ok - blocks: a difference: -seed %" PRIu64 " -program %" PRIu64 "\n", seed, number);
    fflush(stdout);
    if (!run_program(p, false)) {
        printf("# it does not show when the program runs alone\n");
        return;
    }
    make_smaller(p);
    run_program(p, true);
}

static uint64_t seed_now = 1, number_now;
static bool finished;

/* A block that was moved wrongly ends the process. */
static void say_which(void)
{
    if (!finished) {
        printf("not ok - blocks: ended by -seed %" PRIu64 " -program %" PRIu64 "\n", seed_now, number_now);
    }
}

int main(int argc, char **argv)
{
    static Program p;
    uint64_t blocks = 100000, seed = 1, programs = 0, only = 0;
    bool progress = false, one = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-progress")) {
            progress = true;
        } else if (i + 1 < argc && !strcmp(argv[i], "-blocks")) {
            blocks = strtoull(argv[++i], NULL, 0);
        } else if (i + 1 < argc && !strcmp(argv[i], "-seed")) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (i + 1 < argc && !strcmp(argv[i], "-program")) {
            only = strtoull(argv[++i], NULL, 0);
            one = true;
        } else {
            fprintf(stderr, "usage: blocks [-blocks N] [-seed N] [-program N] [-progress]\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_machine();
    start_timer();
    uint64_t number = one ? only : 0;
    seed_now = seed;
    atexit(say_which);
    for (; lockstep_runs(env) < blocks; number++) {
        number_now = number;
        make_program(&p, seed * 1000003 + number);
        programs++;
        if (run_program(&p, true)) {
            report(&p, seed, number);
            finished = true;
            return 1;
        }
        if (one) {
            break;
        }
        if (progress && programs % 20000 == 0) {
            fprintf(stderr, "blocks: %" PRIu64 " programs, %" PRIu64 " blocks\n", programs, lockstep_runs(env));
        }
    }
    Buffer text = {0};
    finished = true;
    lockstep_summary(env, &text);
    printf("# %.*s# %" PRIu64 " blocks were moved\n", (int)text.size, (const char *)text.data, env->jit ? env->jit->stats.moved : 0);
    buffer_free(&text);
    printf("ok - blocks: %" PRIu64 " programs, %" PRIu64 " blocks without a difference\n", programs, lockstep_runs(env));
    return 0;
}
