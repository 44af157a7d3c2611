/*
 * The translator: memory operands. Addresses are flat here, but for FS and GS in 64-bit code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

bool can_address(const Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->addrsize == 2 || insn->flags & INSN_VSIB) {
        return false;
    }
    return t->mode64 || (insn->seg != SEG_FS && insn->seg != SEG_GS && insn->seg != SEG_CS);
}

/* A host register with a guest register's value: its own, or the given one. */
static unsigned address_reg(Translator *t, unsigned guest, unsigned scratch)
{
    if (host_of(guest) != H_NONE) {
        return host_of(guest);
    }
    emit_load(&t->e, W64, scratch, env_reg(guest));
    return scratch;
}

void gen_address(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned width = insn->addrsize;
    HostRm rm = rm_mem(H_NONE, 0);
    int64_t disp = insn->disp;

    if (insn->base == INSN_REG_RIP) {
        disp += (int64_t)t->next_rip;
    } else if (insn->base < 16) {
        rm.base = (uint8_t)address_reg(t, insn->base, S0);
    }
    if (insn->index < 16) {
        rm.index = (uint8_t)address_reg(t, insn->index, S1);
        rm.scale = insn->scale;
    }
    if (rm.base == H_NONE && rm.index == H_NONE) {
        emit_mov_imm(e, S0, width == 8 ? (uint64_t)disp : (uint32_t)disp);
    } else {
        rm.disp = (int32_t)disp; /* 32 bits wherever there are registers */
        emit_lea(e, width, S0, rm);
    }
    if (t->mode64 && (insn->seg == SEG_FS || insn->seg == SEG_GS)) {
        emit_load(e, W64, S1, rm_env(offsetof(CPUX86State, segs) + insn->seg * sizeof(Segment) +
                                     offsetof(Segment, base)));
        HostRm sum = rm_mem(S0, 0);
        sum.index = S1;
        emit_lea(e, W64, S0, sum);
    }
}

void gen_translate(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;
    int32_t table = (int32_t)offsetof(CpuTlb, entries[0][0]) +
                    (int32_t)(t->cls * sizeof(((CpuTlb *)0)->entries[0]));
    enum { ENTRY_SHIFT = 5 };
    _Static_assert(sizeof(TlbEntry) == 1 << ENTRY_SHIFT, "the shift below scales by an entry's size");

    emit_mov(e, W32, S1, S0);
    emit_shr(e, W32, S1, GUEST_PAGE_BITS - ENTRY_SHIFT);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (TLB_SIZE - 1) << ENTRY_SHIFT);
    emit_alu(e, W64, ALU_ADD, S1, rm_env(offsetof(CPUX86State, tlb)));
    if (size > 1) {
        emit_lea(e, W64, S2, rm_mem(S0, (int32_t)size - 1));
    } else {
        emit_mov(e, W64, S2, S0);
    }
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S2), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_CMP, S2,
             rm_mem(S1, table + (int32_t)offsetof(TlbEntry, tag) + 8 * (int32_t)access));
    gen_slow_unless(t, COND_E);
    emit_alu(e, W64, ALU_ADD, S0, rm_mem(S1, table + (int32_t)offsetof(TlbEntry, addend)));
}

void gen_flags_away(Translator *t)
{
    if (!t->in_memory) {
        gen_save_flags(t);
        t->in_memory = true;
    }
    t->in_eflags = false;
    t->saved = true;
}

void gen_flags_back(Translator *t)
{
    t->saved = false;
    if (t->live && !t->in_eflags) {
        gen_restore_flags(t);
        t->in_eflags = true;
    }
}

void gen_operand(Translator *t, unsigned size, MmuAccess access)
{
    gen_flags_away(t);
    gen_address(t);
    gen_translate(t, size, access);
    gen_flags_back(t);
}
