/*
 * System management mode: SMI and RSM.
 *
 * CPUs with long mode use AMD's 64-bit save map, revision 0x20064 (APM vol. 2, table 10-1); others
 * the P6 map, revision 0x20000 (SDM vol. 3, table 32-1), whose reserved areas hold the hidden
 * parts. SMBASE can be moved; I/O restart is not offered. The x87 and vector state is the handler's
 * to save.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/smm.h"

#include "target-i386/cpuid.h"
#include "target-i386/debug.h"
#include "target-i386/excp.h"
#include "target-i386/mmu.h"
#include "target-i386/sysinsn.h"
#include "util/log.h"

#define SMM_ENTRY        0x8000u
#define REVISION_64      0x20064u
#define REVISION_32      0x20000u
#define SEGMENT_LIMIT_4G 0xffffffffu

/* Offsets from SMBASE, 64-bit map. */
enum {
    S64_SEGS = 0xfe00, /* ES CS SS DS FS GS, 16 bytes each: selector, attributes, limit, base */
    S64_GDTR = 0xfe60,
    S64_LDTR = 0xfe70,
    S64_IDTR = 0xfe80,
    S64_TR = 0xfe90,
    S64_HALT = 0xfec9,
    S64_EFER = 0xfed0,
    S64_REVISION = 0xfefc,
    S64_SMBASE = 0xff00,
    S64_CR4 = 0xff48,
    S64_CR3 = 0xff50,
    S64_CR0 = 0xff58,
    S64_DR7 = 0xff60,
    S64_DR6 = 0xff68,
    S64_RFLAGS = 0xff70,
    S64_RIP = 0xff78,
    S64_REGS = 0xff80, /* R15 first, RAX last */
};

/* 32-bit map. The hidden parts from 0xfe00 and 0xff04 on are Vole's own. */
enum {
    S32_HIDDEN = 0xfe00, /* 8 segments of 12 bytes: attributes, limit, base */
    S32_GDT_LIMIT = 0xfe60,
    S32_GDT_BASE = 0xfe64,
    S32_IDT_LIMIT = 0xfe68,
    S32_IDT_BASE = 0xfe6c,
    S32_CR4 = 0xfe70,
    S32_SMBASE = 0xfef8,
    S32_REVISION = 0xfefc,
    S32_HALT = 0xff02,
    S32_ES = 0xffa8, /* CS SS DS FS GS follow */
    S32_LDTR = 0xffc0,
    S32_TR = 0xffc4,
    S32_DR7 = 0xffc8,
    S32_DR6 = 0xffcc,
    S32_REGS = 0xffd0, /* EAX ECX EDX EBX ESP EBP ESI EDI */
    S32_EIP = 0xfff0,
    S32_EFLAGS = 0xfff4,
    S32_CR3 = 0xfff8,
    S32_CR0 = 0xfffc,
};

static bool map64(const CPUX86State *env)
{
    return cpu_has_bit(env, FEAT_80000001_EDX, FXD_LM);
}

static void put(CPUX86State *env, unsigned off, uint64_t v, unsigned size)
{
    mmu_phys_write(env, env->smbase + off, v, size);
}

static uint64_t get(CPUX86State *env, unsigned off, unsigned size)
{
    return mmu_phys_read(env, env->smbase + off, size);
}

/* ---- 64-bit map ---- */

/* The map's attributes are packed: bits 15:12 of ours follow bit 7. */
static void put_segment(CPUX86State *env, unsigned off, const Segment *s)
{
    put(env, off, s->selector, 2);
    put(env, off + 2, (s->attr & 0xff) | (s->attr >> 4 & 0xf00), 2);
    put(env, off + 4, s->limit, 4);
    put(env, off + 8, s->base, 8);
}

static void get_segment(CPUX86State *env, unsigned off, Segment *s)
{
    uint16_t attr = (uint16_t)get(env, off + 2, 2);

    s->selector = (uint16_t)get(env, off, 2);
    s->attr = (uint16_t)((attr & 0xff) | (attr & 0xf00) << 4);
    s->limit = (uint32_t)get(env, off + 4, 4);
    s->base = get(env, off + 8, 8);
}

static void save64(CPUX86State *env, uint64_t halted)
{
    for (unsigned i = 0; i < 6; i++) {
        put_segment(env, S64_SEGS + 16 * i, &env->segs[i]);
    }
    put_segment(env, S64_LDTR, &env->segs[SEG_LDTR]);
    put_segment(env, S64_TR, &env->segs[SEG_TR]);
    put(env, S64_GDTR + 4, env->gdt.limit, 4);
    put(env, S64_GDTR + 8, env->gdt.base, 8);
    put(env, S64_IDTR + 4, env->idt.limit, 4);
    put(env, S64_IDTR + 8, env->idt.base, 8);
    put(env, S64_HALT, halted, 1);
    put(env, S64_EFER, env->efer, 8);
    put(env, S64_REVISION, REVISION_64, 4);
    put(env, S64_SMBASE, env->smbase, 4);
    put(env, S64_CR4, env->cr4, 8);
    put(env, S64_CR3, env->cr3, 8);
    put(env, S64_CR0, env->cr0, 8);
    put(env, S64_DR7, env->dr[7], 8);
    put(env, S64_DR6, env->dr[6], 8);
    put(env, S64_RFLAGS, env->eflags, 8);
    put(env, S64_RIP, env->rip, 8);
    for (unsigned i = 0; i < 16; i++) {
        put(env, S64_REGS + 8 * i, env->regs[15 - i], 8);
    }
}

/* Control registers as the map has them, to be checked before they are used. */
typedef struct Control {
    uint64_t cr0, cr3, cr4, efer;
    bool halt;
    uint32_t smbase;
} Control;

static Control load64(CPUX86State *env)
{
    Control c = {.cr0 = get(env, S64_CR0, 8),
                 .cr3 = get(env, S64_CR3, 8),
                 .cr4 = get(env, S64_CR4, 8),
                 .efer = get(env, S64_EFER, 8),
                 .halt = get(env, S64_HALT, 1) & 1,
                 .smbase = (uint32_t)get(env, S64_SMBASE, 4)};

    for (unsigned i = 0; i < 6; i++) {
        get_segment(env, S64_SEGS + 16 * i, &env->segs[i]);
    }
    get_segment(env, S64_LDTR, &env->segs[SEG_LDTR]);
    get_segment(env, S64_TR, &env->segs[SEG_TR]);
    env->gdt.limit = (uint16_t)get(env, S64_GDTR + 4, 4);
    env->gdt.base = get(env, S64_GDTR + 8, 8);
    env->idt.limit = (uint16_t)get(env, S64_IDTR + 4, 4);
    env->idt.base = get(env, S64_IDTR + 8, 8);
    env->dr[7] = (get(env, S64_DR7, 8) & 0xffff2bff) | 0x400;
    env->dr[6] = (get(env, S64_DR6, 8) & 0xe00f) | 0xffff0ff0;
    env->eflags = (uint32_t)get(env, S64_RFLAGS, 8);
    env->rip = get(env, S64_RIP, 8);
    for (unsigned i = 0; i < 16; i++) {
        env->regs[15 - i] = get(env, S64_REGS + 8 * i, 8);
    }
    return c;
}

/* ---- 32-bit map ---- */

static unsigned selector_offset32(unsigned seg)
{
    return seg == SEG_LDTR ? S32_LDTR : seg == SEG_TR ? S32_TR : S32_ES + 4 * seg;
}

static void save32(CPUX86State *env, uint64_t halted)
{
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        put(env, S32_HIDDEN + 12 * i, env->segs[i].attr, 4);
        put(env, S32_HIDDEN + 12 * i + 4, env->segs[i].limit, 4);
        put(env, S32_HIDDEN + 12 * i + 8, env->segs[i].base, 4);
        put(env, selector_offset32(i), env->segs[i].selector, 4);
    }
    put(env, S32_GDT_LIMIT, env->gdt.limit, 4);
    put(env, S32_GDT_BASE, env->gdt.base, 4);
    put(env, S32_IDT_LIMIT, env->idt.limit, 4);
    put(env, S32_IDT_BASE, env->idt.base, 4);
    put(env, S32_CR4, env->cr4, 4);
    put(env, S32_SMBASE, env->smbase, 4);
    put(env, S32_REVISION, REVISION_32, 4);
    put(env, S32_HALT, halted, 2);
    put(env, S32_DR7, env->dr[7], 4);
    put(env, S32_DR6, env->dr[6], 4);
    for (unsigned i = 0; i < 8; i++) {
        put(env, S32_REGS + 4 * i, env->regs[i], 4);
    }
    put(env, S32_EIP, env->rip, 4);
    put(env, S32_EFLAGS, env->eflags, 4);
    put(env, S32_CR3, env->cr3, 4);
    put(env, S32_CR0, env->cr0, 4);
}

static Control load32(CPUX86State *env)
{
    Control c = {.cr0 = get(env, S32_CR0, 4),
                 .cr3 = get(env, S32_CR3, 4),
                 .cr4 = get(env, S32_CR4, 4),
                 .efer = env->efer,
                 .halt = get(env, S32_HALT, 2) & 1,
                 .smbase = (uint32_t)get(env, S32_SMBASE, 4)};

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        env->segs[i].attr = (uint16_t)get(env, S32_HIDDEN + 12 * i, 4);
        env->segs[i].limit = (uint32_t)get(env, S32_HIDDEN + 12 * i + 4, 4);
        env->segs[i].base = (uint32_t)get(env, S32_HIDDEN + 12 * i + 8, 4);
        env->segs[i].selector = (uint16_t)get(env, selector_offset32(i), 4);
    }
    env->gdt.limit = (uint16_t)get(env, S32_GDT_LIMIT, 4);
    env->gdt.base = (uint32_t)get(env, S32_GDT_BASE, 4);
    env->idt.limit = (uint16_t)get(env, S32_IDT_LIMIT, 4);
    env->idt.base = (uint32_t)get(env, S32_IDT_BASE, 4);
    env->dr[7] = (get(env, S32_DR7, 4) & 0xffff2bff) | 0x400;
    env->dr[6] = (get(env, S32_DR6, 4) & 0xe00f) | 0xffff0ff0;
    for (unsigned i = 0; i < 8; i++) {
        env->regs[i] = get(env, S32_REGS + 4 * i, 4);
    }
    env->rip = get(env, S32_EIP, 4);
    env->eflags = (uint32_t)get(env, S32_EFLAGS, 4);
    return c;
}

/* ---- entering and leaving ---- */

void smm_enter(CPUX86State *env)
{
    const Segment data = {.attr = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED |
                                  SEG_ATTR_G,
                          .limit = SEGMENT_LIMIT_4G};
    bool halted = env->halted;

    log_printf(LOG_INT, "CPU %u: SMI at %04x:%llx\n", env->index, env->segs[SEG_CS].selector,
               (unsigned long long)env->rip);
    env->smm = true;
    env->smm_nmi_blocked = env->nmi_blocked;
    env->nmi_blocked = true;
    env->halted = false;
    tlb_flush(env); /* memory looks different in here */
    if (map64(env)) {
        save64(env, halted);
    } else {
        save32(env, halted);
    }
    env->eflags = FLAG_1;
    env->rip = env->rip_next = SMM_ENTRY;
    env->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    env->cr4 = 0;
    env->efer = 0;
    env->dr[7] = 0x400;
    env->shadow = 0;
    env->pending_db = 0;
    for (unsigned i = 0; i < 6; i++) {
        env->segs[i] = data;
    }
    env->segs[SEG_CS].selector = (uint16_t)(env->smbase >> 4);
    env->segs[SEG_CS].base = env->smbase;
    cpu_update_hflags(env);
}

/* A saved state that no CPU can be in shuts it down, as a triple fault does. */
static void __attribute__((noreturn)) shut_down(CPUX86State *env)
{
    env->delivering = EXCP_DF;
    cpu_raise(env, EXCP_DF);
}

static bool valid(const CPUX86State *env, const Control *c)
{
    bool lm = c->efer & EFER_LME;

    if ((c->cr4 & ~(uint64_t)env->model->cr4_valid) || ((c->cr0 & CR0_PG) && !(c->cr0 & CR0_PE)) ||
        ((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD)) || c->cr0 >> 32) {
        return false;
    }
    if (lm && (c->cr0 & CR0_PG) && !(c->cr4 & CR4_PAE)) {
        return false;
    }
    return !(c->efer &
             ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR | EFER_AIBRSE));
}

void sys_rsm(CPUX86State *env, const Insn *insn)
{
    if (!env->smm) {
        cpu_raise(env, EXCP_UD);
    }
    Control c = map64(env) ? load64(env) : load32(env);
    if (!valid(env, &c)) {
        shut_down(env);
    }
    env->cr0 = (uint32_t)c.cr0 | CR0_ET;
    env->cr3 = c.cr3;
    env->cr4 = (uint32_t)c.cr4;
    env->efer = c.efer & ~(uint64_t)EFER_LMA;
    if ((c.efer & EFER_LME) && (c.cr0 & CR0_PG)) {
        env->efer |= EFER_LMA;
    }
    env->eflags |= FLAG_1;
    env->smbase = c.smbase;
    env->halted = c.halt;
    env->nmi_blocked = env->smm_nmi_blocked;
    env->smm = false;
    tlb_flush(env);
    if ((env->cr0 & CR0_PG) && (env->cr4 & CR4_PAE) && !(env->efer & EFER_LMA) &&
        !mmu_load_pdptrs(env, env->cr3)) {
        shut_down(env);
    }
    env->rip_next = env->rip;
    env->step_trap = false;
    debug_changed(env);
}
