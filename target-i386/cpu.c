/*
 * One CPU as a whole: making, resetting, saving it; what devices ask of it; its time stamp counter.
 *
 * SDM vol. 3, 9.1 (state after power-up, reset and INIT).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpu.h"

#include <cpuid.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hw/vmstate.h"
#include "target-i386/cpuid.h"
#include "target-i386/debug.h"
#include "target-i386/exec.h"
#include "target-i386/lockstep.h"
#include "target-i386/mem.h"
#include "target-i386/mmu.h"
#include "target-i386/seg.h"
#include "target-i386/system.h"
#include "target-i386/vcpu.h"
#include "util/log.h"
#include "util/loop.h"

/* The guest's TSC counts nanoseconds of the virtual clock: invariant, and the same on all CPUs. */
#define TSC_HZ 1000000000ull

_Thread_local CPUX86State *current_cpu;

static CPUX86State *cpus[CPU_MAX];
static unsigned ncpus;
static uint64_t a20_mask = ~0ull;
uint64_t cpu_slot_empty;
bool cpu_slots_fenced;
static uint64_t tsc_zero; /* the virtual time of the last power-on reset */

/* ---- hflags ---- */

bool segment_is_flat_data(const Segment *s)
{
    const uint16_t care = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_DC | SEG_ATTR_RW;

    return !s->base && s->limit == 0xffffffff &&
           (s->attr & care) == (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW);
}

static bool flat_code(const Segment *s)
{
    const uint16_t care = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW;

    return !s->base && s->limit == 0xffffffff && (s->attr & care) == care;
}

static uint32_t segment_hflags(const CPUX86State *env)
{
    const Segment *cs = &env->segs[SEG_CS], *ss = &env->segs[SEG_SS];
    uint32_t hf = 0;

    if ((env->efer & EFER_LMA) && (cs->attr & SEG_ATTR_L)) {
        return HF_CS64 | HF_SS32 | HF_FLAT;
    }
    if (cs->attr & SEG_ATTR_DB) {
        hf |= HF_CS32;
    }
    if (ss->attr & SEG_ATTR_DB) {
        hf |= HF_SS32;
    }
    if (flat_code(cs) && segment_is_flat_data(ss) && segment_is_flat_data(&env->segs[SEG_DS]) &&
        segment_is_flat_data(&env->segs[SEG_ES])) {
        hf |= HF_FLAT;
    }
    return hf;
}

void cpu_update_hflags(CPUX86State *env)
{
    uint32_t hf = segment_hflags(env);

    if (env->cr0 & CR0_PE) {
        hf |= HF_PE;
        if (env->eflags & FLAG_VM) {
            hf = (hf & ~(HF_CS32 | HF_SS32 | HF_FLAT)) | HF_VM | 3;
        } else {
            hf |= env->segs[SEG_SS].attr >> SEG_ATTR_DPL_SHIFT & 3;
        }
    }
    if (env->efer & EFER_LMA) {
        hf |= HF_LMA;
    }
    if (env->cr0 & CR0_PG) {
        hf |= HF_PG;
    }
    if (env->smm) {
        hf |= HF_SMM;
    }
    if ((env->eflags & FLAG_AC) && (env->cr0 & CR0_AM) && (hf & HF_CPL_MASK) == 3) {
        hf |= HF_AC;
    }
    if ((env->eflags & FLAG_TF) || debug_code_enabled(env)) {
        hf |= HF_STEP;
    }
    env->hflags = hf;
    env->decode_mode.code_size = hf & HF_CS64 ? 8 : hf & HF_CS32 ? 4 : 2;
    env->decode_mode.protected_mode = (hf & (HF_PE | HF_VM)) == HF_PE;
    mmu_update_class(env);
}

/* ---- what happens to memory behind a CPU's back ---- */

typedef struct CodeRange {
    ram_addr addr;
    uint64_t size;
} CodeRange;

static void invalidate_work(CPUX86State *env, void *data)
{
    CodeRange *range = data;

    exec_invalidate_code(env, range->addr, range->size);
    free(range);
}

static void invalidate_all(CPUX86State *self, ram_addr addr, uint64_t size)
{
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (cpus[i] && cpus[i] == self) {
            exec_invalidate_code(self, addr, size);
        } else if (cpus[i]) {
            CodeRange *range = malloc(sizeof(*range));
            if (!range) {
                abort();
            }
            *range = (CodeRange){addr, size};
            vcpu_queue_work(cpus[i], invalidate_work, range);
        }
    }
}

/* After so many writes to code of one page, with none translated meanwhile, all of the page's goes. */
enum { CODE_WRITES_A_PAGE = 4 };

static void end_watch(CPUX86State *env, ram_addr addr, uint64_t size)
{
    bool watched = memory_dirty_set(addr, size);

    exec_invalidate_code(env, addr, size);
    if (watched) {
        memory_code_told();
    }
}

/* The only CPU knows what it has made of each byte: data may lie in the same piece as code, which stays watched. */
static void only_cpu_wrote(CPUX86State *env, ram_addr addr, uint64_t size)
{
    ram_addr page = addr & GUEST_PAGE_MASK;

    if (memory_dirty_set_watched(addr, size)) {
        CodeDropped what = exec_invalidate_bytes(env, addr, size);
        bool often = what & CODE_DROPPED && exec_count_code_write(env, page) >= CODE_WRITES_A_PAGE;
        if (often || !(what & CODE_REMAINING)) {
            end_watch(env, page, GUEST_PAGE_SIZE);
        } else if (!(what & CODE_NEAR)) {
            end_watch(env, addr, size);
        }
    }
}

void cpu_ram_written(CPUX86State *env, ram_addr addr, uint64_t size)
{
    if (ncpus == 1) {
        only_cpu_wrote(env, addr, size);
    } else if (memory_dirty_set(addr, size)) {
        ram_addr page = addr & GUEST_PAGE_MASK;
        bool all = exec_count_code_write(env, page) >= CODE_WRITES_A_PAGE;
        if (all && memory_dirty_set(page, GUEST_PAGE_SIZE)) {
            memory_code_told(); /* with the range, below */
        }
        invalidate_all(env, all ? page : addr, all ? GUEST_PAGE_SIZE : size);
        memory_code_told();
    } else if (memory_code_untold() || atomic_load(&env->interrupt_request) & CPU_INTERRUPT_WORK) {
        /* Another CPU has written the same piece just now; this one may not wait until it is told of it. */
        exec_invalidate_code(env, addr, size);
    }
}

static void listener_code_written(ram_addr addr, uint64_t size)
{
    invalidate_all(current_cpu, addr, size);
}

/*
 * Has every thread that runs at the moment execute a memory barrier, so that those that look at TLBs very often
 * need none of their own. Where the host does not offer it (cpu_slots_fenced) they have one.
 */
static void barrier_everywhere(void)
{
    if (cpu_slots_fenced) {
        atomic_thread_fence(memory_order_seq_cst);
    } else {
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
}

static void listener_protect(ram_addr addr, uint64_t size)
{
    bool others = false;

    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (cpus[i]) {
            tlb_protect_ram(cpus[i], addr, size);
            others |= cpus[i] != current_cpu;
        }
    }
    if (others) {
        barrier_everywhere();
    }
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (cpus[i]) {
            tlb_empty_write_slots(cpus[i]);
        }
        if (cpus[i] && cpus[i] != current_cpu) {
            cpu_request_exit(cpus[i]); /* a loop may rely on what it has seen there */
        }
    }
}

static void map_work(CPUX86State *env, void *data)
{
    (void)data;
    tlb_flush(env);
}

/* Runs fn on each CPU's thread: at once on the caller's own, before their next instruction on the
 * others. */
static void on_each_cpu(void (*fn)(CPUX86State *env, void *data), void *data)
{
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (cpus[i] && cpus[i] == current_cpu) {
            fn(cpus[i], data);
        } else if (cpus[i]) {
            vcpu_queue_work(cpus[i], fn, data);
        }
    }
}

static void listener_map_changed(AddressSpace *as)
{
    if (as != &memory_io_as) {
        on_each_cpu(map_work, NULL);
    }
}

static const MemoryListener listener = {
    .protect = listener_protect,
    .code_written = listener_code_written,
    .map_changed = listener_map_changed,
    .written = lockstep_ram_written,
};

static void a20_work(CPUX86State *env, void *data)
{
    (void)data;
    if (env->a20_mask != a20_mask) {
        env->a20_mask = a20_mask;
        tlb_flush(env);
    }
}

void cpu_set_a20(bool enabled)
{
    a20_mask = enabled ? ~0ull : ~(1ull << 20);
    on_each_cpu(a20_work, NULL);
}

/* ---- requests ---- */

void cpu_interrupt(CPUX86State *env, uint32_t bits)
{
    atomic_fetch_or(&env->interrupt_request, bits);
    vcpu_kick(env);
}

void cpu_interrupt_clear(CPUX86State *env, uint32_t bits)
{
    atomic_fetch_and(&env->interrupt_request, ~bits);
}

uint64_t cpu_tsc(CPUX86State *env)
{
    return lockstep_same_time(env, (uint64_t)clock_now(CLOCK_VIRTUAL) + env->tsc_offset);
}

uint64_t cpu_tsc_hz(void)
{
    return TSC_HZ;
}

/* ---- making and resetting ---- */

/* And its kernel uses it. */
static bool host_has_xsave(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE;
}

/* Bits 62 to 48 differ from bit 47: not canonical. */
static void draw_slot_empty(void)
{
    uint64_t drawn;

    if (getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn)) {
        drawn = (uint64_t)(uintptr_t)&drawn << 12;
    }
    cpu_slot_empty = (drawn & GUEST_PAGE_MASK & ~(3ull << 47)) | 1ull << 47;
}

enum { CPU_SIZE = CPU_TLB_OFFSET + sizeof(CpuTlb) };

CPUX86State *cpu_new(unsigned index, const char *model, Error **errp)
{
    CpuModel *m = cpu_model_parse(model, errp);
    if (!m) {
        return NULL;
    }
    if (!cpu_slot_empty) {
        draw_slot_empty();
        cpu_slots_fenced = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
    }
    /* Zeroes, of which only what is used takes memory, and aligned for the vector state. */
    CPUX86State *env = mmap(NULL, CPU_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (env == MAP_FAILED) {
        abort();
    }
    env->index = index;
    env->bsp = index == 0;
    env->model = m;
    env->decode_mode.features = m->insn;
    env->tlb = (CpuTlb *)(void *)((char *)env + CPU_TLB_OFFSET);
    mmu_init(env->tlb);
    env->a20_mask = a20_mask;
    env->jit_vectors_away = env->jit_x87_away = 1;
    env->jit_x87_possible = host_has_xsave();
    env->jit_stack_limit = UINT64_MAX;
    mmu_init_slots(env);
    if (index < CPU_MAX) {
        ncpus += !cpus[index];
        cpus[index] = env;
    }
    memory_set_listener(&listener);
    cpu_reset(env, false);
    return env;
}

void cpu_free(CPUX86State *env)
{
    if (!env) {
        return;
    }
    if (env->index < CPU_MAX && cpus[env->index] == env) {
        cpus[env->index] = NULL;
        ncpus--;
    }
    exec_free_code(env);
    mmu_drop_windows(env->tlb);
    free((void *)env->model);
    munmap(env, CPU_SIZE);
}

static void reset_segments(CPUX86State *env)
{
    const Segment data = {.attr = 0x93, .limit = 0xffff};

    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        env->segs[s] = data;
    }
    env->segs[SEG_CS] =
        (Segment){.selector = 0xf000, .attr = 0x9b, .limit = 0xffff, .base = 0xffff0000};
    env->segs[SEG_LDTR] = (Segment){.attr = SEG_ATTR_P | DESC_LDT, .limit = 0xffff};
    env->segs[SEG_TR] = (Segment){.attr = SEG_ATTR_P | DESC_TSS_BUSY, .limit = 0xffff};
    env->gdt = (DescriptorTable){.limit = 0xffff};
    env->idt = (DescriptorTable){.limit = 0xffff};
}

/* Which bits of MXCSR the host has; the guest's instructions run on it. */
static uint32_t host_mxcsr_mask(void)
{
    static uint8_t area[512] __attribute__((aligned(16)));
    uint32_t mask;

    asm volatile("fxsave %0" : "=m"(area));
    memcpy(&mask, area + 28, sizeof(mask));
    return mask ? mask : 0xffbf;
}

static void reset_fpu(CPUX86State *env)
{
    memset(&env->fpu, 0, sizeof(env->fpu));
    env->fpu.fcw = 0x40;
    env->fpu.ftw = 0xff; /* all valid: zeros */
    env->fpu.mxcsr = 0x1f80;
    env->fpu.mxcsr_mask = host_mxcsr_mask();
    env->fcs = env->fds = 0;
    env->ignne = false;
    env->xcr0 = 1;
    env->xstate_bv = 3;
}

static void reset_msrs(CPUX86State *env)
{
    env->star = env->lstar = env->cstar = env->sfmask = env->kernel_gs_base = 0;
    env->sysenter_cs = env->sysenter_esp = env->sysenter_eip = 0;
    env->tsc_adjust = env->tsc_aux = 0;
    env->pat = 0x0007040600070406ull;
    env->misc_enable = 1; /* fast strings */
    env->smbase = 0x30000;
    env->mtrr_def_type = 0;
    memset(env->mtrr_fixed, 0, sizeof(env->mtrr_fixed));
    memset(env->mtrr_base, 0, sizeof(env->mtrr_base));
    memset(env->mtrr_mask, 0, sizeof(env->mtrr_mask));
    env->mcg_status = 0;
    env->mcg_ctl = ~0ull;
    memset(env->mce_banks, 0, sizeof(env->mce_banks));
    env->debugctl = 0;
    env->feature_control = 1; /* locked, VMX off */
    env->syscfg = env->nb_cfg = 0;
    env->hwcr = 1u << 24; /* the TSC counts at the P0 frequency */
    memset(env->top_mem, 0, sizeof(env->top_mem));
    memset(env->k7_evtsel, 0, sizeof(env->k7_evtsel));
    memset(env->k7_perfctr, 0, sizeof(env->k7_perfctr));
}

/* TSCs start together: the boot CPU's reset sets their zero. */
static void reset_tsc(CPUX86State *env)
{
    if (env->index == 0) {
        tsc_zero = (uint64_t)clock_now(CLOCK_VIRTUAL);
    }
    env->tsc_offset = 0 - tsc_zero;
}

void cpu_reset(CPUX86State *env, bool init)
{
    const CpuModel *m = env->model;

    if (log_enabled(LOG_RESET)) {
        log_write("CPU %u %s: CS:RIP %04x:%llx CR0 %08x\n", env->index, init ? "INIT" : "reset",
                  env->segs[SEG_CS].selector, (unsigned long long)env->rip, env->cr0);
    }
    memset(env->regs, 0, sizeof(env->regs));
    env->regs[R_DX] = (uint64_t)(m->family > 15 ? (m->family - 15) << 20 | 0xf00 : m->family << 8) |
                      (m->model & 15) << 4 | (m->model >> 4) << 16 | m->stepping;
    env->rip = env->rip_next = 0xfff0;
    env->eflags = FLAG_1;
    reset_segments(env);
    env->cr0 = CR0_ET | (init ? env->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW);
    env->cr2 = env->cr3 = 0;
    env->cr4 = 0;
    env->efer = 0;
    memset(env->pdptr, 0, sizeof(env->pdptr));
    memset(env->dr, 0, sizeof(env->dr));
    env->dr[6] = 0xffff0ff0;
    env->dr[7] = 0x400;
    env->shadow = 0;
    env->halted = false;
    env->nmi_blocked = env->smm_nmi_blocked = false;
    env->smm = false;
    env->pending_db = 0;
    env->step_trap = false;
    env->excp_vector = env->delivering = -1;
    env->excp_error = 0;
    env->wait_sipi = !env->bsp;
    if (!init) {
        reset_fpu(env);
        reset_msrs(env);
        reset_tsc(env);
        env->a20_mask = a20_mask;
        atomic_fetch_and(&env->interrupt_request, CPU_INTERRUPT_WORK);
    }
    if (env->intc && env->intc->reset) {
        bool locked = machine_lock_held();
        if (!locked) {
            machine_lock();
        }
        env->intc->reset(env->intc_opaque, init);
        if (!locked) {
            machine_unlock();
        }
    }
    cpu_update_hflags(env);
    tlb_flush(env);
    exec_flush_code(env);
}

/* ---- saved state ---- */

static const VMStateField segment_fields[] = {
    VMSTATE_U16(selector, Segment), VMSTATE_U16(attr, Segment), VMSTATE_U32(limit, Segment),
    VMSTATE_U64(base, Segment), VMSTATE_END};
static const VMState segment_vmstate = {"segment", .version = 1, .fields = segment_fields};

static const VMStateField table_fields[] = {VMSTATE_U64(base, DescriptorTable),
                                            VMSTATE_U32(limit, DescriptorTable), VMSTATE_END};
static const VMState table_vmstate = {"descriptor-table", .version = 1, .fields = table_fields};

static const VMStateField fpu_fields[] = {VMSTATE_U16(fcw, FpuState),
                                          VMSTATE_U16(fsw, FpuState),
                                          VMSTATE_U8(ftw, FpuState),
                                          VMSTATE_U16(fop, FpuState),
                                          VMSTATE_U64(fip, FpuState),
                                          VMSTATE_U64(fdp, FpuState),
                                          VMSTATE_U32(mxcsr, FpuState),
                                          VMSTATE_BYTES(st, FpuState),
                                          VMSTATE_BYTES(xmm, FpuState),
                                          VMSTATE_BYTES(ymmh, FpuState),
                                          VMSTATE_END};
static const VMState fpu_vmstate = {"fpu", .version = 1, .fields = fpu_fields};

static bool cpu_post_load(void *opaque, int version, Error **errp)
{
    CPUX86State *env = opaque;
    const CpuModel *m = env->model;

    (void)version;
    if (env->cr4 & ~m->cr4_valid || env->xcr0 & ~m->xcr0_valid || !(env->xcr0 & 1) ||
        env->fpu.mxcsr & ~env->fpu.mxcsr_mask) {
        error_set(errp, "the saved state of CPU %u uses features that CPU model '%s' lacks here",
                  env->index, m->name);
        return false;
    }
    if ((env->efer & EFER_LMA) && (!(env->cr0 & CR0_PG) || !(env->cr4 & CR4_PAE) ||
                                   !cpu_has_bit(env, FEAT_80000001_EDX, FXD_LM))) {
        error_set(errp, "the saved state of CPU %u is in long mode without paging", env->index);
        return false;
    }
    env->eflags |= FLAG_1;
    env->rip_next = env->rip;
    env->excp_vector = env->delivering = -1;
    cpu_update_hflags(env);
    tlb_flush(env);
    exec_flush_code(env);
    return true;
}

static const VMStateField cpu_fields[] = {VMSTATE_U64_ARRAY(regs, CPUX86State),
                                          VMSTATE_U64(rip, CPUX86State),
                                          VMSTATE_U32(eflags, CPUX86State),
                                          VMSTATE_U32(interrupt_request, CPUX86State),
                                          VMSTATE_STRUCT_ARRAY(segs, CPUX86State, segment_vmstate),
                                          VMSTATE_STRUCT(gdt, CPUX86State, table_vmstate),
                                          VMSTATE_STRUCT(idt, CPUX86State, table_vmstate),
                                          VMSTATE_U32(cr0, CPUX86State),
                                          VMSTATE_U32(cr4, CPUX86State),
                                          VMSTATE_U64(cr2, CPUX86State),
                                          VMSTATE_U64(cr3, CPUX86State),
                                          VMSTATE_U64(efer, CPUX86State),
                                          VMSTATE_U64_ARRAY(dr, CPUX86State),
                                          VMSTATE_U64_ARRAY(pdptr, CPUX86State),
                                          VMSTATE_U64(xcr0, CPUX86State),
                                          VMSTATE_U64(a20_mask, CPUX86State),
                                          VMSTATE_U8(shadow, CPUX86State),
                                          VMSTATE_BOOL(halted, CPUX86State),
                                          VMSTATE_BOOL(wait_sipi, CPUX86State),
                                          VMSTATE_BOOL(nmi_blocked, CPUX86State),
                                          VMSTATE_BOOL(smm, CPUX86State),
                                          VMSTATE_BOOL(smm_nmi_blocked, CPUX86State),
                                          VMSTATE_U8(sipi_vector, CPUX86State),
                                          VMSTATE_U32(pending_db, CPUX86State),
                                          VMSTATE_U64(star, CPUX86State),
                                          VMSTATE_U64(lstar, CPUX86State),
                                          VMSTATE_U64(cstar, CPUX86State),
                                          VMSTATE_U64(sfmask, CPUX86State),
                                          VMSTATE_U64(kernel_gs_base, CPUX86State),
                                          VMSTATE_U64(sysenter_cs, CPUX86State),
                                          VMSTATE_U64(sysenter_esp, CPUX86State),
                                          VMSTATE_U64(sysenter_eip, CPUX86State),
                                          VMSTATE_U64(tsc_offset, CPUX86State),
                                          VMSTATE_U64(tsc_adjust, CPUX86State),
                                          VMSTATE_U64(tsc_aux, CPUX86State),
                                          VMSTATE_U64(pat, CPUX86State),
                                          VMSTATE_U64(misc_enable, CPUX86State),
                                          VMSTATE_U64(smbase, CPUX86State),
                                          VMSTATE_U64(mtrr_def_type, CPUX86State),
                                          VMSTATE_U64_ARRAY(mtrr_fixed, CPUX86State),
                                          VMSTATE_U64_ARRAY(mtrr_base, CPUX86State),
                                          VMSTATE_U64_ARRAY(mtrr_mask, CPUX86State),
                                          VMSTATE_U64(mcg_status, CPUX86State),
                                          VMSTATE_U64(mcg_ctl, CPUX86State),
                                          VMSTATE_U64_ARRAY(mce_banks, CPUX86State),
                                          VMSTATE_U64(debugctl, CPUX86State),
                                          VMSTATE_U64(feature_control, CPUX86State),
                                          VMSTATE_U64(syscfg, CPUX86State),
                                          VMSTATE_U64(hwcr, CPUX86State),
                                          VMSTATE_U64(nb_cfg, CPUX86State),
                                          VMSTATE_U64_ARRAY(top_mem, CPUX86State),
                                          VMSTATE_U64_ARRAY(k7_evtsel, CPUX86State),
                                          VMSTATE_U64_ARRAY(k7_perfctr, CPUX86State),
                                          VMSTATE_U64(xstate_bv, CPUX86State),
                                          VMSTATE_U16(fcs, CPUX86State),
                                          VMSTATE_U16(fds, CPUX86State),
                                          VMSTATE_BOOL(ignne, CPUX86State),
                                          VMSTATE_STRUCT(fpu, CPUX86State, fpu_vmstate),
                                          VMSTATE_END};

const VMState cpu_vmstate = {
    "cpu",
    .version = 1,
    .fields = cpu_fields,
    .post_load = cpu_post_load,
};
