/*
 * Hardware task switches. SDM vol. 3, chapter 7 (7.3 the order of checks, table 7-1 and 7-2).
 *
 * A switch reads and checks all of the new TSS first: faults up to there belong to the old task.
 * Then the old state is saved, the new registers are loaded, and the segments' descriptors are
 * checked one by one: faults there belong to the new task.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/debug.h"
#include "target-i386/excp.h"
#include "target-i386/mem.h"
#include "target-i386/mmu.h"
#include "target-i386/seg.h"
#include "target-i386/sysinsn.h"
#include "util/log.h"

/* Offsets in a 32-bit TSS. */
#define TSS_CR3    0x1c
#define TSS_EIP    0x20
#define TSS_EFLAGS 0x24
#define TSS_REGS   0x28
#define TSS_SEGS   0x48
#define TSS_LDT    0x60
#define TSS_T      0x64
#define TSS_LIMIT  0x67

/* And in a 16-bit one. */
#define TSS16_IP    0x0e
#define TSS16_FLAGS 0x10
#define TSS16_REGS  0x12
#define TSS16_SEGS  0x22
#define TSS16_LDT   0x2a
#define TSS16_LIMIT 0x2b

typedef struct TaskState {
    uint32_t cr3, eip, eflags;
    uint32_t regs[8];
    uint16_t segs[6]; /* ES CS SS DS FS GS */
    uint16_t ldt;
    bool trap;
} TaskState;

static bool is_tss32(unsigned type)
{
    return type & 8;
}

static void read_state(CPUX86State *env, uint64_t base, bool is32, TaskState *t)
{
    *t = (TaskState){0};
    if (is32) {
        t->cr3 = (uint32_t)mem_sys_read(env, base + TSS_CR3, 4);
        t->eip = (uint32_t)mem_sys_read(env, base + TSS_EIP, 4);
        t->eflags = (uint32_t)mem_sys_read(env, base + TSS_EFLAGS, 4);
        for (unsigned i = 0; i < 8; i++) {
            t->regs[i] = (uint32_t)mem_sys_read(env, base + TSS_REGS + 4 * i, 4);
        }
        for (unsigned i = 0; i < 6; i++) {
            t->segs[i] = (uint16_t)mem_sys_read(env, base + TSS_SEGS + 4 * i, 2);
        }
        t->ldt = (uint16_t)mem_sys_read(env, base + TSS_LDT, 2);
        t->trap = mem_sys_read(env, base + TSS_T, 1) & 1;
    } else {
        t->eip = (uint32_t)mem_sys_read(env, base + TSS16_IP, 2);
        t->eflags = (uint32_t)mem_sys_read(env, base + TSS16_FLAGS, 2);
        for (unsigned i = 0; i < 8; i++) {
            t->regs[i] = (uint32_t)mem_sys_read(env, base + TSS16_REGS + 2 * i, 2);
        }
        for (unsigned i = 0; i < 4; i++) {
            t->segs[i] = (uint16_t)mem_sys_read(env, base + TSS16_SEGS + 2 * i, 2);
        }
        t->ldt = (uint16_t)mem_sys_read(env, base + TSS16_LDT, 2);
    }
}

static void save_state(CPUX86State *env, uint64_t base, bool is32, uint64_t next_rip,
                       uint32_t eflags)
{
    if (is32) {
        mem_sys_write(env, base + TSS_EIP, (uint32_t)next_rip, 4);
        mem_sys_write(env, base + TSS_EFLAGS, eflags, 4);
        for (unsigned i = 0; i < 8; i++) {
            mem_sys_write(env, base + TSS_REGS + 4 * i, (uint32_t)env->regs[i], 4);
        }
        for (unsigned i = 0; i < 6; i++) {
            mem_sys_write(env, base + TSS_SEGS + 4 * i, env->segs[i].selector, 2);
        }
    } else {
        mem_sys_write(env, base + TSS16_IP, next_rip & 0xffff, 2);
        mem_sys_write(env, base + TSS16_FLAGS, eflags & 0xffff, 2);
        for (unsigned i = 0; i < 8; i++) {
            mem_sys_write(env, base + TSS16_REGS + 2 * i, env->regs[i] & 0xffff, 2);
        }
        for (unsigned i = 0; i < 4; i++) {
            mem_sys_write(env, base + TSS16_SEGS + 2 * i, env->segs[i].selector, 2);
        }
    }
}

static void set_busy(CPUX86State *env, uint64_t linear, bool busy)
{
    uint64_t type = mem_sys_read(env, linear + 5, 1);

    mem_sys_write(env, linear + 5, busy ? type | 2 : type & ~2ull, 1);
}

static void __attribute__((noreturn)) ts(CPUX86State *env, uint16_t selector, unsigned ext)
{
    cpu_raise_error(env, EXCP_TS, selector_error(selector, ext));
}

static void load_ldt(CPUX86State *env, uint16_t selector, unsigned ext)
{
    Descriptor d;

    env->segs[SEG_LDTR] = (Segment){.selector = selector};
    if (selector_is_null(selector)) {
        return;
    }
    if ((selector & 4) || !desc_fetch(env, selector, &d) || desc_is_segment(&d) ||
        desc_type(&d) != DESC_LDT || !desc_present(&d)) {
        ts(env, selector, ext);
    }
    env->segs[SEG_LDTR] = desc_segment(&d, selector);
}

static void load_code(CPUX86State *env, uint16_t selector, unsigned ext)
{
    unsigned cpl = selector & 3;
    Descriptor d;

    if (selector_is_null(selector) || !desc_fetch(env, selector, &d) || !desc_is_code(&d)) {
        ts(env, selector, ext);
    }
    if (desc_is_conforming(&d) ? desc_dpl(&d) > cpl : desc_dpl(&d) != cpl) {
        ts(env, selector, ext);
    }
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, ext));
    }
    desc_set_accessed(env, &d);
    seg_commit_cs(env, &d, selector, cpl);
}

static void load_data(CPUX86State *env, unsigned seg, uint16_t selector, unsigned ext)
{
    Descriptor d;
    unsigned cpl = cpu_cpl(env);

    env->segs[seg] = (Segment){.selector = selector};
    if (selector_is_null(selector)) {
        return;
    }
    if (!desc_fetch(env, selector, &d) || !desc_is_segment(&d) ||
        (desc_is_code(&d) && !(d.high & 0x200))) {
        ts(env, selector, ext);
    }
    if (!(desc_is_code(&d) && desc_is_conforming(&d)) &&
        (desc_dpl(&d) < cpl || desc_dpl(&d) < (selector & 3u))) {
        ts(env, selector, ext);
    }
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, ext));
    }
    desc_set_accessed(env, &d);
    env->segs[seg] = desc_segment(&d, selector);
}

/* Descriptors of the new task. Faults are the new task's, at its first instruction. */
static void load_segments(CPUX86State *env, const TaskState *t, unsigned ext)
{
    load_ldt(env, t->ldt, ext);
    if (env->eflags & FLAG_VM) {
        seg_load_v86(env);
        cpu_update_hflags(env);
        return;
    }
    load_code(env, t->segs[SEG_CS], ext);
    env->segs[SEG_SS] = seg_check_stack(env, t->segs[SEG_SS], cpu_cpl(env), EXCP_TS, ext);
    cpu_update_hflags(env);
    load_data(env, SEG_DS, t->segs[SEG_DS], ext);
    load_data(env, SEG_ES, t->segs[SEG_ES], ext);
    load_data(env, SEG_FS, t->segs[SEG_FS], ext);
    load_data(env, SEG_GS, t->segs[SEG_GS], ext);
    cpu_update_hflags(env);
}

static void load_cr3(CPUX86State *env, const TaskState *t, bool is32)
{
    if (!is32 || !(env->cr0 & CR0_PG)) {
        return;
    }
    if ((env->cr4 & CR4_PAE) && !mmu_load_pdptrs(env, t->cr3)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->cr3 = t->cr3;
    tlb_flush_nonglobal(env);
}

void task_switch(CPUX86State *env, uint16_t selector, Descriptor *d, TaskReason reason,
                 uint64_t next_rip, unsigned ext)
{
    bool new32 = is_tss32(desc_type(d)), old32 = is_tss32(env->segs[SEG_TR].attr);
    Segment tss = desc_segment(d, selector), old = env->segs[SEG_TR];
    uint32_t eflags = env->eflags;
    uint64_t old_descriptor = env->gdt.base + (old.selector & 0xfff8u);
    TaskState t;

    if (tss.limit < (new32 ? TSS_LIMIT : TSS16_LIMIT)) {
        ts(env, selector, ext);
    }
    log_printf(LOG_PCALL, "CPU %u: task switch %04x to %04x, reason %d\n", env->index, old.selector,
               selector, reason);

    /* Every page that the switch writes or reads must be there before anything changes. */
    mmu_probe(env, MMU_KERNEL, (uint32_t)old.base, (old32 ? TSS_LIMIT : TSS16_LIMIT) + 1,
              MMU_WRITE);
    mmu_probe(env, MMU_KERNEL, (uint32_t)tss.base, 2,
              reason == TASK_CALL || reason == TASK_GATE ? MMU_WRITE : MMU_READ);
    mmu_probe(env, MMU_KERNEL, (uint32_t)(old_descriptor + 5), 1, MMU_WRITE);
    mmu_probe(env, MMU_KERNEL, (uint32_t)(d->linear + 5), 1, MMU_WRITE);
    read_state(env, tss.base, new32, &t);

    if (reason == TASK_JMP || reason == TASK_IRET) {
        set_busy(env, old_descriptor, false);
    }
    if (reason == TASK_IRET) {
        eflags &= ~FLAG_NT;
    }
    save_state(env, old.base, old32, next_rip, eflags);
    if (reason == TASK_CALL || reason == TASK_GATE) {
        mem_sys_write(env, tss.base, old.selector, 2);
        t.eflags |= FLAG_NT;
    }
    if (reason != TASK_IRET) {
        set_busy(env, d->linear, true);
    }

    /* From here on it is the new task. */
    env->cr0 |= CR0_TS;
    env->segs[SEG_TR] = tss;
    env->segs[SEG_TR].attr |= 2;
    env->eflags = (t.eflags & (FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                               FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID)) |
                  FLAG_1;
    for (unsigned i = 0; i < 8; i++) {
        env->regs[i] = t.regs[i];
    }
    env->rip = env->rip_next = t.eip;
    for (unsigned i = 0; i < 6; i++) {
        env->segs[i] = (Segment){.selector = t.segs[i]};
    }
    env->segs[SEG_LDTR] = (Segment){.selector = t.ldt};
    env->segs[SEG_SS].attr = (uint16_t)((t.segs[SEG_CS] & 3) << SEG_ATTR_DPL_SHIFT);
    env->dr[7] &= ~0x55ull; /* local breakpoints */
    env->shadow = 0;
    env->step_trap = false;
    debug_changed(env);
    load_cr3(env, &t, new32);
    load_segments(env, &t, ext);
    if (env->rip > env->segs[SEG_CS].limit) {
        cpu_raise_error(env, EXCP_GP, ext);
    }
    if (t.trap) {
        cpu_set_pending_db(env, DR6_BT);
    }
}

void task_switch_by_selector(CPUX86State *env, uint16_t selector, TaskReason reason,
                             uint64_t next_rip, unsigned ext, bool gate)
{
    int vector = gate ? EXCP_GP : EXCP_TS;
    bool back = reason == TASK_IRET;
    Descriptor d;

    if (selector_is_null(selector) || (selector & 4)) {
        cpu_raise_error(env, vector, selector_error(selector, ext));
    }
    desc_fetch_or_raise(env, selector, &d, vector, ext);
    unsigned type = desc_type(&d);
    if (desc_is_segment(&d) || !(back ? type == DESC_TSS_BUSY || type == DESC_TSS16_BUSY
                                      : type == DESC_TSS || type == DESC_TSS16)) {
        cpu_raise_error(env, vector, selector_error(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, ext));
    }
    task_switch(env, selector, &d, reason, next_rip, ext);
}
