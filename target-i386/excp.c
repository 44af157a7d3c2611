/*
 * Exceptions and interrupts: raising, delivering, and what is due between instructions.
 *
 * SDM vol. 3, chapter 6 (delivery, error codes, double faults), 6.9 (priorities), 20.3
 * (virtual-8086 mode).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/excp.h"

#include "target-i386/debug.h"
#include "target-i386/mem.h"
#include "target-i386/mmu.h"
#include "target-i386/seg.h"
#include "target-i386/smm.h"
#include "target-i386/sysinsn.h"
#include "target-i386/vcpu.h"
#include "util/log.h"
#include "util/loop.h"

/* Error codes of descriptor faults. */
#define ERR_EXT 1u
#define ERR_IDT 2u

#define GATE_TYPE(high) ((high) >> 8 & 31)

/* ---- raising ---- */

void cpu_raise_error(CPUX86State *env, int vector, uint32_t error)
{
    env->excp_vector = vector;
    env->excp_error = error;
    longjmp(*env->fault_jmp, 1);
}

void cpu_raise(CPUX86State *env, int vector)
{
    cpu_raise_error(env, vector, 0);
}

void cpu_raise_page_fault(CPUX86State *env, uint64_t linear, uint32_t error)
{
    log_printf(LOG_MMU, "page fault at %llx code %x RIP %04x:%llx CPL %u\n",
               (unsigned long long)linear, error, env->segs[SEG_CS].selector,
               (unsigned long long)env->rip, cpu_cpl(env));
    env->cr2 = linear;
    cpu_raise_error(env, EXCP_PF, error);
}

void cpu_wait(CPUX86State *env)
{
    env->halted = true;
    env->excp_vector = -1; /* nothing to deliver */
    longjmp(*env->fault_jmp, 1);
}

/* ---- delivery ---- */

/* What is common to all ways of delivering one event. */
typedef struct Delivery {
    int vector;
    IntKind kind;
    bool has_error;
    uint32_t error;
    unsigned ext; /* EXT bit for faults on the way */
    uint64_t return_ip;
    uint32_t flags; /* the image to push */
} Delivery;

static void enter_handler(CPUX86State *env, uint64_t rip, uint32_t clear)
{
    env->eflags &= ~clear;
    env->rip = env->rip_next = rip;
    cpu_update_hflags(env);
}

static void __attribute__((noreturn)) gate_fault(CPUX86State *env, int vector, const Delivery *d)
{
    cpu_raise_error(env, vector, (uint32_t)d->vector * 8 | ERR_IDT | d->ext);
}

/* Real mode's vector table; also what VME dispatches to, with the table at 0. */
static void deliver_by_ivt(CPUX86State *env, const Delivery *d, uint64_t table, uint32_t flags)
{
    uint64_t entry = mem_sys_read(env, table + 4 * (unsigned)d->vector, 4);
    Stack s = stack_current(env, 0);

    stack_push(env, &s, flags & 0xffff, 2);
    stack_push(env, &s, env->segs[SEG_CS].selector, 2);
    stack_push(env, &s, d->return_ip & 0xffff, 2);
    stack_commit_sp(env, &s);
    seg_load_real(env, SEG_CS, (uint16_t)(entry >> 16));
    env->rip = env->rip_next = entry & 0xffff;
}

static void deliver_real(CPUX86State *env, const Delivery *d)
{
    if ((unsigned)d->vector * 4 + 3 > env->idt.limit) {
        cpu_raise_error(env, EXCP_GP, (uint32_t)d->vector * 8 | ERR_IDT | d->ext);
    }
    deliver_by_ivt(env, d, env->idt.base, d->flags);
    enter_handler(env, env->rip, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
}

/* VME: INT n with its bit clear in the redirection map goes to the V86 program's own vector table.
 */
static bool vme_redirected(CPUX86State *env, int vector)
{
    const Segment *tr = &env->segs[SEG_TR];

    if (!(env->cr4 & CR4_VME) || !(tr->attr & 8) || tr->limit < 0x67) {
        return false;
    }
    /* The map is the 32 bytes below the I/O bitmap. */
    uint32_t iomap = (uint32_t)mem_sys_read(env, tr->base + 0x66, 2);
    uint32_t at = iomap - 32 + (unsigned)vector / 8;
    if (iomap < 32 || at > tr->limit) {
        return false;
    }
    return !(mem_sys_read(env, tr->base + at, 1) >> (vector & 7) & 1);
}

static void deliver_vme(CPUX86State *env, const Delivery *d)
{
    uint32_t flags = d->flags | FLAG_IOPL;
    uint32_t clear = FLAG_TF | FLAG_RF | FLAG_NT;

    if ((env->eflags & FLAG_IOPL) != FLAG_IOPL) {
        flags = (flags & ~FLAG_IF) | (env->eflags & FLAG_VIF ? FLAG_IF : 0);
        clear |= FLAG_VIF;
    } else {
        clear |= FLAG_IF;
    }
    /* The table is user memory of the V86 program; reading it takes no supervisor rights. */
    uint64_t entry = mmu_read(env, MMU_USER, 4 * (unsigned)d->vector, 4);
    Stack s = stack_current(env, 0);
    stack_push(env, &s, flags & 0xffff, 2);
    stack_push(env, &s, env->segs[SEG_CS].selector, 2);
    stack_push(env, &s, d->return_ip & 0xffff, 2);
    stack_commit_sp(env, &s);
    seg_load_real(env, SEG_CS, (uint16_t)(entry >> 16));
    enter_handler(env, entry & 0xffff, clear);
}

/* The handler's code segment as a gate names it; *new_cpl is the privilege it runs at. */
static void check_handler(CPUX86State *env, uint16_t selector, const Delivery *d, Descriptor *cs,
                          unsigned *new_cpl)
{
    unsigned cpl = cpu_cpl(env);

    if (selector_is_null(selector)) {
        cpu_raise_error(env, EXCP_GP, d->ext);
    }
    desc_fetch_or_raise(env, selector, cs, EXCP_GP, d->ext);
    if (!desc_is_code(cs) || desc_dpl(cs) > cpl) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, d->ext));
    }
    if ((env->hflags & HF_LMA) && (!desc_is_long_code(cs) || desc_is_db(cs))) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, d->ext));
    }
    if (!desc_present(cs)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, d->ext));
    }
    *new_cpl = desc_is_conforming(cs) ? cpl : desc_dpl(cs);
    if ((env->hflags & HF_VM) && *new_cpl != 0) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, d->ext));
    }
}

static void deliver_task_gate(CPUX86State *env, const Delivery *d, uint16_t selector)
{
    if (d->kind == INT_FAULT || d->kind == INT_EXTERNAL || d->kind == INT_TRAP) {
        env->eflags = d->flags; /* RF goes into the old task's image */
    }
    task_switch_by_selector(env, selector, TASK_GATE, d->return_ip, d->ext, true);
    if (d->has_error) {
        /* By the new TSS's size; faults from here on are the new task's. */
        unsigned size = env->segs[SEG_TR].attr & 8 ? 4 : 2;
        Stack s = stack_current(env, d->ext);
        stack_push(env, &s, d->error, size);
        stack_commit_sp(env, &s);
    }
}

static void deliver_protected(CPUX86State *env, const Delivery *d)
{
    unsigned cpl = cpu_cpl(env), new_cpl;
    Descriptor cs;

    if ((unsigned)d->vector * 8 + 7 > env->idt.limit) {
        gate_fault(env, EXCP_GP, d);
    }
    uint64_t gate = mem_sys_read(env, env->idt.base + 8 * (unsigned)d->vector, 8);
    uint32_t low = (uint32_t)gate, high = (uint32_t)(gate >> 32);
    unsigned type = GATE_TYPE(high);
    if (type != DESC_TASK_GATE && type != DESC_INT16 && type != DESC_TRAP16 && type != DESC_INT &&
        type != DESC_TRAP) {
        gate_fault(env, EXCP_GP, d);
    }
    if (d->kind == INT_SOFT && (high >> 13 & 3) < cpl) {
        gate_fault(env, EXCP_GP, d);
    }
    if (!(high & 0x8000)) {
        gate_fault(env, EXCP_NP, d);
    }
    uint16_t selector = (uint16_t)(low >> 16);
    if (type == DESC_TASK_GATE) {
        deliver_task_gate(env, d, selector);
        return;
    }
    check_handler(env, selector, d, &cs, &new_cpl);

    unsigned size = type & 8 ? 4 : 2;
    uint64_t rip = size == 4 ? (high & 0xffff0000u) | (low & 0xffff) : low & 0xffff;
    bool vm = env->hflags & HF_VM;
    Segment new_ss = env->segs[SEG_SS];
    Stack s;
    if (new_cpl != cpl) {
        uint16_t ss;
        uint64_t sp;
        tss_stack(env, new_cpl, &ss, &sp, d->ext);
        new_ss = seg_check_stack(env, ss, new_cpl, EXCP_TS, d->ext);
        s = stack_at(&new_ss, sp, new_cpl, selector_error(ss, d->ext));
        if (vm) {
            stack_push(env, &s, env->segs[SEG_GS].selector, size);
            stack_push(env, &s, env->segs[SEG_FS].selector, size);
            stack_push(env, &s, env->segs[SEG_DS].selector, size);
            stack_push(env, &s, env->segs[SEG_ES].selector, size);
        }
        stack_push(env, &s, env->segs[SEG_SS].selector, size);
        stack_push(env, &s, env->regs[R_SP], size);
    } else {
        s = stack_current(env, d->ext);
    }
    stack_push(env, &s, d->flags, size);
    stack_push(env, &s, env->segs[SEG_CS].selector, size);
    stack_push(env, &s, d->return_ip, size);
    if (d->has_error) {
        stack_push(env, &s, d->error, size);
    }
    if (rip > desc_segment(&cs, selector).limit) {
        cpu_raise_error(env, EXCP_GP, d->ext);
    }
    desc_set_accessed(env, &cs);

    /* No fault from here on. */
    uint32_t clear = FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT | (type & 1 ? 0 : FLAG_IF);
    env->eflags &= ~clear;
    if (vm) {
        env->segs[SEG_DS] = env->segs[SEG_ES] = env->segs[SEG_FS] = env->segs[SEG_GS] =
            (Segment){0};
    }
    if (new_cpl != cpl) {
        env->segs[SEG_SS] = new_ss;
        env->regs[R_SP] = (env->regs[R_SP] & ~s.mask) | (s.sp & s.mask);
        if (s.mask != 0xffff) {
            env->regs[R_SP] = s.sp & s.mask;
        }
    } else {
        stack_commit_sp(env, &s);
    }
    seg_commit_cs(env, &cs, selector, new_cpl);
    enter_handler(env, rip, 0);
}

static void deliver_long(CPUX86State *env, const Delivery *d)
{
    unsigned cpl = cpu_cpl(env), new_cpl;
    Descriptor cs;

    if ((unsigned)d->vector * 16 + 15 > env->idt.limit) {
        gate_fault(env, EXCP_GP, d);
    }
    uint64_t at = env->idt.base + 16 * (unsigned)d->vector;
    uint64_t gate = mem_sys_read(env, at, 8), gate_high = mem_sys_read(env, at + 8, 8);
    uint32_t low = (uint32_t)gate, high = (uint32_t)(gate >> 32);
    unsigned type = GATE_TYPE(high), ist = high & 7;
    if (type != DESC_INT && type != DESC_TRAP) {
        gate_fault(env, EXCP_GP, d);
    }
    if (d->kind == INT_SOFT && (high >> 13 & 3) < cpl) {
        gate_fault(env, EXCP_GP, d);
    }
    if (!(high & 0x8000)) {
        gate_fault(env, EXCP_NP, d);
    }
    uint16_t selector = (uint16_t)(low >> 16);
    check_handler(env, selector, d, &cs, &new_cpl);

    uint64_t rip = (high & 0xffff0000u) | (low & 0xffff) | gate_high << 32;
    uint64_t sp = env->regs[R_SP];
    if (ist) {
        sp = tss_stack64(env, 0x24 + 8 * (ist - 1), d->ext);
    } else if (new_cpl != cpl) {
        sp = tss_stack64(env, 4 + 8 * new_cpl, d->ext);
    }
    Stack s = stack_at64(sp & ~15ull, new_cpl, d->ext);
    stack_push(env, &s, env->segs[SEG_SS].selector, 8);
    stack_push(env, &s, env->regs[R_SP], 8);
    stack_push(env, &s, d->flags, 8);
    stack_push(env, &s, env->segs[SEG_CS].selector, 8);
    stack_push(env, &s, d->return_ip, 8);
    if (d->has_error) {
        stack_push(env, &s, d->error, 8);
    }
    if ((uint64_t)((int64_t)(rip << 16) >> 16) != rip) {
        cpu_raise_error(env, EXCP_GP, d->ext);
    }
    desc_set_accessed(env, &cs);

    env->eflags &= ~(FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT | (type & 1 ? 0 : FLAG_IF));
    if (new_cpl != cpl) {
        env->segs[SEG_SS] = seg_null_stack((uint16_t)new_cpl, new_cpl);
    }
    env->regs[R_SP] = s.sp;
    seg_commit_cs(env, &cs, selector, new_cpl);
    enter_handler(env, rip, 0);
}

static void log_delivery(const CPUX86State *env, const Delivery *d)
{
    log_write("CPU %u: vector %02x kind %d error %04x CS:RIP %04x:%llx SS:RSP %04x:%llx CPL %u "
              "CR2 %llx RAX %llx\n",
              env->index, (unsigned)d->vector, d->kind, d->error, env->segs[SEG_CS].selector,
              (unsigned long long)env->rip, env->segs[SEG_SS].selector,
              (unsigned long long)env->regs[R_SP], cpu_cpl(env), (unsigned long long)env->cr2,
              (unsigned long long)env->regs[R_AX]);
}

void cpu_deliver(CPUX86State *env, int vector, IntKind kind, bool has_error, uint32_t error)
{
    Delivery d = {.vector = vector,
                  .kind = kind,
                  .has_error = has_error,
                  .error = error,
                  .ext = kind == INT_SOFT ? 0 : ERR_EXT,
                  .return_ip = kind == INT_SOFT ? env->rip_next : env->rip,
                  .flags = env->eflags};

    if (log_enabled(LOG_INT)) {
        log_delivery(env, &d);
    }
    env->shadow = 0;
    env->step_trap = false;
    if (kind == INT_FAULT && vector != EXCP_DB) {
        d.flags |= FLAG_RF;
    }
    if (!(env->hflags & HF_PE)) {
        deliver_real(env, &d);
    } else if (env->hflags & HF_LMA) {
        deliver_long(env, &d);
    } else {
        deliver_protected(env, &d);
    }
    env->delivering = -1;
}

/* INT n in V86 mode is special; INT3, INTO and INT1 are not. */
static void software_interrupt(CPUX86State *env, int vector, bool int_n)
{
    if (int_n && (env->hflags & HF_VM)) {
        Delivery d = {
            .vector = vector, .kind = INT_SOFT, .return_ip = env->rip_next, .flags = env->eflags};
        if (vme_redirected(env, vector)) {
            env->step_trap = false;
            deliver_vme(env, &d);
            return;
        }
        if ((env->eflags & FLAG_IOPL) != FLAG_IOPL) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    }
    cpu_deliver(env, vector, INT_SOFT, false, 0);
}

void sys_int(CPUX86State *env, const Insn *insn)
{
    software_interrupt(env, (int)(insn->imm & 0xff), true);
}

void sys_int3(CPUX86State *env, const Insn *insn)
{
    software_interrupt(env, EXCP_BP, false);
}

void sys_into(CPUX86State *env, const Insn *insn)
{
    if (env->eflags & FLAG_OF) {
        software_interrupt(env, EXCP_OF, false);
    }
}

/* ICEBP: a #DB trap without DR6 bits, not subject to the gate's DPL. */
void sys_int1(CPUX86State *env, const Insn *insn)
{
    uint32_t held = env->pending_db;

    env->rip = env->rip_next;
    if (held) {
        /* Breakpoints of a MOV SS before it are reported together with it. */
        env->pending_db = 0;
        debug_set_dr6(env, held);
    }
    cpu_deliver(env, EXCP_DB, INT_TRAP, false, 0);
}

/* ---- faults, double faults ---- */

static bool contributory(int vector)
{
    return vector == EXCP_DE || (vector >= EXCP_TS && vector <= EXCP_GP);
}

static bool pushes_error(int vector)
{
    return vector == EXCP_DF || (vector >= EXCP_TS && vector <= EXCP_PF) || vector == EXCP_AC;
}

bool cpu_deliver_fault(CPUX86State *env)
{
    int vector = env->excp_vector, first = env->delivering;
    uint32_t error = env->excp_error;

    if (vector < 0) {
        return true; /* cpu_wait() */
    }
    env->excp_vector = -1;
    env->pending_db = 0;
    if (first == EXCP_DF) {
        log_printf(LOG_INT | LOG_RESET, "CPU %u: triple fault, vector %02x at %04x:%llx\n",
                   env->index, (unsigned)vector, env->segs[SEG_CS].selector,
                   (unsigned long long)env->rip);
        env->delivering = -1;
        return false;
    }
    if ((contributory(first) && contributory(vector)) ||
        (first == EXCP_PF && (vector == EXCP_PF || contributory(vector)))) {
        vector = EXCP_DF;
        error = 0;
    }
    env->delivering = vector;
    cpu_deliver(env, vector, INT_FAULT, pushes_error(vector) && (env->hflags & HF_PE), error);
    return true;
}

/* ---- between instructions ---- */

static void poll_debug(CPUX86State *env)
{
    uint32_t bits = env->pending_db;

    env->pending_db = 0;
    debug_set_dr6(env, bits);
    env->dr[7] &= ~(uint64_t)DR7_GD;
    cpu_deliver(env, EXCP_DB, INT_TRAP, false, 0);
}

static bool poll_init(CPUX86State *env, uint32_t requests)
{
    if (requests & CPU_INTERRUPT_INIT) {
        uint32_t sipi = atomic_load(&env->interrupt_request) & CPU_INTERRUPT_SIPI;
        cpu_interrupt_clear(env, CPU_INTERRUPT_INIT);
        cpu_reset(env, true);
        if (!sipi) {
            return true;
        }
        requests |= CPU_INTERRUPT_SIPI;
    }
    if (requests & CPU_INTERRUPT_SIPI) {
        cpu_interrupt_clear(env, CPU_INTERRUPT_SIPI);
        if (env->wait_sipi) {
            env->wait_sipi = false;
            env->halted = false;
            env->segs[SEG_CS].selector = (uint16_t)(env->sipi_vector << 8);
            env->segs[SEG_CS].base = (uint64_t)env->sipi_vector << 12;
            env->segs[SEG_CS].limit = 0xffff;
            env->rip = env->rip_next = 0;
            cpu_update_hflags(env);
        }
        return true;
    }
    return false;
}

/* Maskable interrupts: the controller may have changed its mind by now. */
static bool poll_external(CPUX86State *env)
{
    if (!env->intc) {
        return false;
    }
    machine_lock();
    int vector = env->intc->acknowledge(env->intc_opaque);
    machine_unlock();
    if (vector < 0) {
        return false;
    }
    env->halted = false;
    cpu_deliver(env, vector, INT_EXTERNAL, false, 0);
    return true;
}

bool cpu_poll_interrupts(CPUX86State *env)
{
    uint32_t requests = atomic_load(&env->interrupt_request);

    if (env->shadow & CPU_SHADOW_MOV_SS) {
        return false;
    }
    if (requests & (CPU_INTERRUPT_INIT | CPU_INTERRUPT_SIPI)) {
        /* INIT waits until SMM is left; a running CPU ignores SIPI. */
        if (!env->smm && poll_init(env, requests)) {
            return true;
        }
    }
    if (env->wait_sipi) {
        return false;
    }
    if (env->pending_db) {
        env->halted = false;
        poll_debug(env);
        return true;
    }
    if (env->shadow) {
        return false;
    }
    if ((requests & CPU_INTERRUPT_SMI) && !env->smm) {
        cpu_interrupt_clear(env, CPU_INTERRUPT_SMI);
        smm_enter(env);
        return true;
    }
    if ((requests & CPU_INTERRUPT_NMI) && !env->nmi_blocked) {
        cpu_interrupt_clear(env, CPU_INTERRUPT_NMI);
        env->halted = false;
        env->nmi_blocked = true;
        cpu_deliver(env, EXCP_NMI, INT_EXTERNAL, false, 0);
        return true;
    }
    if ((requests & CPU_INTERRUPT_HARD) && (env->eflags & FLAG_IF)) {
        return poll_external(env);
    }
    return false;
}

bool cpu_has_work(CPUX86State *env)
{
    uint32_t requests = atomic_load(&env->interrupt_request);

    if (requests & (CPU_INTERRUPT_INIT | CPU_INTERRUPT_SIPI) && !env->smm) {
        return true;
    }
    if (env->wait_sipi) {
        return false;
    }
    return env->pending_db || ((requests & CPU_INTERRUPT_SMI) && !env->smm) ||
           ((requests & CPU_INTERRUPT_NMI) && !env->nmi_blocked) ||
           ((requests & CPU_INTERRUPT_HARD) && (env->eflags & FLAG_IF));
}
