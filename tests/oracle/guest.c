/*
 * The oracle's executor side: a CPU in user mode with paging, and no machine around it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/oracle/oracle.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "hw/memory.h"
#include "target-i386/accel.h"
#include "target-i386/code-cache.h"
#include "target-i386/excp.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/mmu.h"
#include "util/loop.h"

#define PHYS_TABLES 0x1000u
#define PHYS_PAGES  0x100000u
#define RAM_SIZE    0x200000u

static CPUX86State *env;
static uint32_t mxcsr_mask;
static MemoryRegion ram;
static uint32_t next_table = PHYS_TABLES + 0x1000, next_page = PHYS_PAGES;

static uint8_t *phys(uint32_t addr)
{
    return ram.host + addr;
}

static void map_phys(uint32_t linear, uint32_t page, bool writable)
{
    uint64_t not_code = linear >= ORACLE_CODE ? 0 : 1ull << 63;

    uint32_t table = PHYS_TABLES;

    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = (uint64_t *)phys(table) + ((uint64_t)linear >> shift & 511);
        if (!*entry) {
            *entry = next_table | 7;
            next_table += 0x1000;
        }
        table = (uint32_t)*entry & ~0xfffu;
    }
    ((uint64_t *)phys(table))[linear >> 12 & 511] = page | 5u | (writable ? 2u : 0) | not_code;
}

/* Maps a user page to fresh memory; where that is. */
static uint32_t map_page(uint32_t linear, bool writable)
{
    map_phys(linear, next_page, writable);
    next_page += 0x1000;
    return next_page - 0x1000;
}

static void set_segments(bool mode64)
{
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        env->segs[s] = (Segment){
            .selector = 0x2b, .limit = 0xffffffff, .attr = 0xf3 | SEG_ATTR_G | SEG_ATTR_DB};
    }
    /* A TSS too short for an I/O bitmap: all ports are refused. */
    env->segs[SEG_TR] = (Segment){.selector = 0x40, .limit = 0x20, .attr = 0x8b};
    env->segs[SEG_FS].selector = env->segs[SEG_GS].selector = 0;
    env->segs[SEG_CS] = (Segment){.selector = mode64 ? 0x33 : 0x23,
                                  .limit = 0xffffffff,
                                  .attr = 0xfb | SEG_ATTR_G | (mode64 ? SEG_ATTR_L : SEG_ATTR_DB)};
    cpu_update_hflags(env);
}

uint32_t guest_init(void)
{
    Error *err = NULL;

    if (!memory_ram_init(RAM_SIZE, &err)) {
        abort();
    }
    memory_init();
    if (!memory_region_init_ram(&ram, "ram", RAM_SIZE, &err)) {
        abort();
    }
    memory_region_add(memory_as.root, 0, &ram, 0);
    exec_init();
    env = cpu_new(0, "max", &err);
    if (!env) {
        fprintf(stderr, "oracle: %s\n", error_text(err));
        exit(1);
    }
    cpu_reset(env, false);
    mxcsr_mask = env->fpu.mxcsr_mask;
    for (uint32_t a = 0; a < ORACLE_DATA_SIZE; a += 0x1000) {
        map_page(ORACLE_DATA + a, true);
    }
    map_page(ORACLE_RO, false);
    env->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    env->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE | CR4_FSGSBASE;
    env->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    env->xcr0 = 7;
    env->cr3 = PHYS_TABLES;
    env->halted = env->wait_sipi = false;
    env->code_cache = code_cache_new();
    current_cpu = env;
    set_segments(true);
    return mxcsr_mask;
}

bool guest_has_feature(InsnFeature f)
{
    return insn_features_has(&env->decode_mode.features, f);
}

InsnStatus guest_decode(const uint8_t *code, unsigned len, bool mode64, Insn *insn)
{
    DecodeMode mode = env->decode_mode;

    mode.code_size = mode64 ? 8 : 4;
    mode.protected_mode = true;
    return insn_decode(&mode, code, len, insn);
}

static void load_state(const OracleState *in, bool mode64, bool step)
{
    cpu_x87_sync(env); /* what the last case has left in the host's registers is not wanted any more */
    memcpy(env->regs, in->regs, sizeof(env->regs));
    env->rip = in->rip;
    env->eflags = in->eflags | FLAG_1 | (step ? FLAG_TF : 0);
    memcpy(&env->fpu, in->fx, sizeof(in->fx));
    env->fpu.mxcsr_mask = mxcsr_mask;
    memcpy(env->fpu.ymmh, in->ymmh, sizeof(env->fpu.ymmh));
    env->fcs = env->fds = 0;
    env->xstate_bv = 7;
    env->excp_vector = -1;
    env->pending_db = 0;
    env->shadow = 0;
    env->halted = false;
    set_segments(mode64);
    tlb_flush(env);
}

static void store_registers(OracleState *out)
{
    cpu_x87_sync(env);
    memcpy(out->regs, env->regs, sizeof(env->regs));
    out->rip = env->rip;
    out->eflags = env->eflags;
    memcpy(out->fx, &env->fpu, sizeof(out->fx));
    memcpy(out->ymmh, env->fpu.ymmh, sizeof(env->fpu.ymmh));
    out->fcs = env->fcs;
    out->fds = env->fds;
}

static void store_state(OracleResult *r)
{
    store_registers(&r->out);
    memcpy(r->memory, phys(PHYS_PAGES), ORACLE_DATA_SIZE);
    r->ran = true;
}

static bool translated;

void guest_use_translator(void)
{
    translated = true;
    accel_select(&accel_jit);
}

static bool execute_translated(const OracleCase *c)
{
    do {
        if (!jit_exec_bytes(env, c->code, c->len)) {
            return false;
        }
    } while (env->rip == c->in.rip);
    return true;
}

static void execute(const OracleCase *c)
{
    if (translated && !c->step && execute_translated(c)) {
        return;
    }
    Insn insn;

    if (host_thunks_full(env->code_cache->thunks)) {
        code_cache_flush(env->code_cache);
    }
    switch (insn_decode(&env->decode_mode, c->code, c->len, &insn)) {
    case INSN_OK:
        break;
    case INSN_TOO_LONG:
        cpu_raise_error(env, EXCP_GP, 0);
    default:
        cpu_raise(env, EXCP_UD);
    }
    exec_prepare(env, &insn);
    do {
        env->rip_next = env->rip + insn.len;
        insn.exec(env, &insn);
        env->rip = env->rip_next;
    } while (!c->step && env->rip == c->in.rip); /* an interruptible instruction goes on */
}

void guest_run(const OracleBatch *b, const OracleCase *c, OracleResult *r)
{
    static jmp_buf landing;

    memcpy(phys(PHYS_PAGES), b->memory, ORACLE_DATA_SIZE);
    memcpy(phys(PHYS_PAGES) + c->patch, c->patch_bytes, sizeof(c->patch_bytes));
    load_state(&c->in, c->mode64, c->step);
    r->vector = -1;
    r->error = 0;
    r->cr2 = 0;
    env->fault_jmp = &landing;
    if (setjmp(landing) == 0) {
        execute(c);
    } else {
        r->vector = env->excp_vector;
        r->error = env->excp_error;
        r->cr2 = env->cr2;
    }
    store_state(r);
}

/* Straight-line code at env->rip, instruction by instruction; ends behind it. */
static void execute_line(const uint8_t *code, unsigned len)
{
    uint64_t start = env->rip;
    Insn insn;

    while (env->rip - start < len) {
        uint64_t at = env->rip - start;
        if (host_thunks_full(env->code_cache->thunks)) {
            code_cache_flush(env->code_cache);
        }
        if (insn_decode(&env->decode_mode, code + at, len - at, &insn) != INSN_OK) {
            cpu_raise(env, EXCP_UD);
        }
        exec_prepare(env, &insn);
        env->rip_next = env->rip + insn.len;
        insn.exec(env, &insn);
        env->rip = env->rip_next;
    }
}

static void translate_line(const uint8_t *code, unsigned len)
{
    uint64_t start = env->rip;

    while (env->rip - start < len) {
        uint64_t at = env->rip - start;
        if (!jit_exec_bytes(env, code + at, len - (unsigned)at)) {
            execute_line(code + at, len - (unsigned)at);
        }
    }
}

void guest_run_line(const OracleBatch *b, const OracleCase *c, const uint8_t *code, unsigned len,
                    bool by_translator, OracleResult *r)
{
    static jmp_buf landing;

    memcpy(phys(PHYS_PAGES), b->memory, ORACLE_DATA_SIZE);
    memcpy(phys(PHYS_PAGES) + c->patch, c->patch_bytes, sizeof(c->patch_bytes));
    load_state(&c->in, c->mode64, c->step);
    r->vector = -1;
    r->error = 0;
    r->cr2 = 0;
    env->fault_jmp = &landing;
    if (setjmp(landing) == 0) {
        (by_translator ? translate_line : execute_line)(code, len);
    } else {
        r->vector = env->excp_vector;
        r->error = env->excp_error;
        r->cr2 = env->cr2;
    }
    store_state(r);
}

/* ---- programs ---- */

enum { PHYS_DEVICE = 0x1000000, SECONDS_MOST = 10 };

static MemoryRegion device;
static uint8_t device_bytes[0x1000];
static uint32_t stack_phys, code_phys;
static volatile sig_atomic_t seconds_left;

static uint64_t device_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, device_bytes + addr, size);
    return v;
}

static void device_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    memcpy(device_bytes + addr, &value, size);
}

static const MemoryOps device_ops = {.read = device_read, .write = device_write, .max_size = 8};

static void on_alarm(int sig)
{
    if (seconds_left > 0 && --seconds_left == 0) {
        atomic_store(&env->exit_request, 1);
    }
}

void guest_init_programs(void)
{
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{1, 0}, {1, 0}};

    loop_init();
    machine_lock();
    memory_region_init_io(&device, "device", sizeof(device_bytes), &device_ops, NULL);
    memory_region_add(memory_as.root, PHYS_DEVICE, &device, 0);
    machine_unlock();
    map_phys(ORACLE_DEVICE, PHYS_DEVICE, true);
    stack_phys = map_page(ORACLE_STACK, true);
    map_page(ORACLE_STACK + 0x1000, true);
    code_phys = map_page(ORACLE_CODE, true);
    map_page(ORACLE_CODE + 0x1000, true);
    accel_select(&accel_jit); /* hears of changed code; both are run */
    sigaction(SIGVTALRM, &sa, NULL);
    setitimer(ITIMER_VIRTUAL, &often, NULL);
}

static void load_program_memory(const ProgramMemory *m)
{
    machine_lock();
    dma_write(PHYS_PAGES, m->data, sizeof(m->data));
    dma_write(stack_phys, m->stack, sizeof(m->stack));
    dma_write(code_phys, m->code, sizeof(m->code));
    machine_unlock();
    memcpy(device_bytes, m->device, sizeof(device_bytes));
}

/* The next chunk, as it begins behind an exception. */
static void begin_chunk(const OracleProgram *p, unsigned n)
{
    cpu_x87_sync(env);
    env->rip = program_chunk(p, n);
    env->eflags = PROGRAM_EFLAGS;
    env->regs[R_SP] = PROGRAM_SP;
    env->excp_vector = -1;
    cpu_update_hflags(env);
}

static volatile bool incomparable;

/* Code that has changed itself may be anything. */
static bool stop_there(CPUX86State *cpu, const Insn *insn)
{
    if (insn && program_excludes(insn)) {
        incomparable = true;
    }
    return incomparable || !seconds_left;
}

ProgramEnd guest_run_program(const OracleProgram *p, bool by_translator, ProgramResult *r)
{
    static jmp_buf landing;
    static volatile unsigned chunk;

    load_program_memory(&p->memory);
    load_state(&p->in, p->mode64, false);
    chunk = 0;
    incomparable = false;
    seconds_left = SECONDS_MOST;
    atomic_store(&env->exit_request, 0);
    env->fault_jmp = &landing;
    if (setjmp(landing)) {
        r->faults[chunk] = (ProgramFault){env->excp_vector, env->excp_error, env->cr2, env->rip};
        if (++chunk < p->chunks) {
            begin_chunk(p, chunk);
        }
    }
    while (chunk < p->chunks && seconds_left && !incomparable) {
        if (by_translator) {
            accel_jit.run(env);
        } else {
            exec_run_until(env, stop_there);
        }
    }
    store_registers(&r->out);
    memcpy(r->memory.data, phys(PHYS_PAGES), sizeof(r->memory.data));
    memcpy(r->memory.device, device_bytes, sizeof(device_bytes));
    memcpy(r->memory.stack, phys(stack_phys), sizeof(r->memory.stack));
    memcpy(r->memory.code, phys(code_phys), sizeof(r->memory.code));
    ProgramEnd end = incomparable ? PROGRAM_INCOMPARABLE : seconds_left ? PROGRAM_ENDED : PROGRAM_HANGS;
    seconds_left = 0;
    return end;
}
