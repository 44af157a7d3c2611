/*
 * The translator: memory operands. What segments add to an address, outside 64-bit code, is in translate-segment.c.
 *
 * In front of the soft TLB stands a last-page slot (JitSlot) that places with the same address registers in a block share. It is looked
 * at with a few instructions at a fixed place in the CPU state, so nothing waits for the address but the last of them; a
 * miss refills it from the TLB, still without leaving translated code, and only what the TLB does not have goes to the
 * instruction's handler.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

bool can_address(const Translator *t)
{
    const Insn *insn = t->insn;

    return !(insn->flags & INSN_VSIB) && (t->mode64 || insn->addrsize != 8);
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

/* Registers, segment and about which page off the registers: arrays at fixed places are indexed by the same register. */
static uint32_t address_key(const Insn *insn, int64_t disp)
{
    uint32_t seg = insn->seg == SEG_DS || insn->seg == SEG_SS ? 0 : insn->seg;
    bool registers = insn->base < 16 || insn->index < 16;

    return registers ? (insn->base < 16 ? insn->base : 16u) | (insn->index < 16 ? insn->index : 16u) << 5 | seg << 10 |
                           ((uint32_t)((disp + GUEST_PAGE_SIZE / 2) >> GUEST_PAGE_BITS) & 0x3ffff) << 13
                     : (uint32_t)(disp >> GUEST_PAGE_BITS) << 8 | 1u << 31 | seg;
}

void gen_stack_address(Translator *t, int32_t disp)
{
    t->address_key = R_SP | 16u << 5;
    t->segment = SEG_COUNT;
    emit_lea(&t->e, t->word, S0, rm_mem(GUEST_SP, disp));
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
    t->address_key = address_key(insn, disp);
    if (rm.base == H_NONE && rm.index == H_NONE) {
        emit_mov_imm(e, S0, width == 8 ? (uint64_t)disp : width == 4 ? (uint32_t)disp : (uint16_t)disp);
    } else {
        rm.disp = (int32_t)disp; /* 32 bits wherever there are registers */
        emit_lea(e, width == 8 ? W64 : W32, S0, rm);
        if (width == 2) {
            emit_movzx16(e, S0, S0);
        }
    }
    t->segment = segment_is_flat(t, insn->seg) ? SEG_COUNT : insn->seg;
    if (t->mode64 && (insn->seg == SEG_FS || insn->seg == SEG_GS)) {
        emit_load(e, W64, S1, rm_env(offsetof(CPUX86State, segs) + insn->seg * sizeof(Segment) +
                                     offsetof(Segment, base)));
        HostRm sum = rm_mem(S0, 0);
        sum.index = S1;
        emit_lea(e, W64, S0, sum);
    }
}

/* ---- checks ---- */

/*
 * The slot for the address at hand: accesses with the same registers in a block share one, since they mostly fall into the same
 * page. Others take the next free one in turn.
 */
static unsigned choose_slot(Translator *t, MmuAccess access)
{
    for (unsigned i = 0; i < t->nslots; i++) {
        if (t->slots[i].key == t->address_key && t->slots[i].access == access) {
            return t->slots[i].slot;
        }
    }
    unsigned slot = t->jit->next_slot[access]++ % JIT_SLOTS;
    if (t->nslots < MAX_BLOCK_SLOTS) {
        t->slots[t->nslots].key = t->address_key;
        t->slots[t->nslots].access = (uint8_t)access;
        t->slots[t->nslots].slot = (uint8_t)slot;
        t->nslots++;
    }
    return slot;
}

static uint32_t slot_offset(unsigned cls, MmuAccess access, unsigned slot)
{
    return (uint32_t)(offsetof(CPUX86State, jit_slots) +
                      ((cls * 2 + (access == MMU_WRITE)) * JIT_SLOTS + slot) * sizeof(JitSlot));
}

void gen_translate(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;
    uint32_t slot = slot_offset(t->cls, access, choose_slot(t, access));

    if (t->segment != SEG_COUNT) {
        gen_segment(t, size, access);
        t->segment = SEG_COUNT;
    }
    if (t->key & HF_AC && size > 1) {
        /* Not aligned: the handler knows. */
        emit_mov(e, W32, S1, S0);
        emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), size & (size - 1) ? 7 : (int32_t)size - 1);
        gen_slow_unless(t, COND_E);
    }
    emit_mov(e, W64, S1, S0);
    emit_alu(e, W64, ALU_SUB, S1, rm_env(slot + offsetof(JitSlot, tag)));
    emit_alu_imm(e, W64, ALU_CMP, rm_reg(S1), (int32_t)(GUEST_PAGE_SIZE - size));
    Stub *s = add_stub(t, STUB_REFILL, emit_jcc(e, COND_A));
    s->ji = insn_record(t);
    note_flags(t, s);
    s->access = (uint8_t)access;
    s->size = (uint16_t)size;
    s->slot = slot;
    s->checked = e->p;
    emit_alu(e, W64, ALU_ADD, S0, rm_env(slot + offsetof(JitSlot, addend)));
}

void gen_refill(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;

    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)s->size - 1));
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    emit_mov_imm(e, S2, s->slot);
    emit_patch(emit_call(e), t->jit->refill[t->cls][s->access]);
    emit_patch(emit_jcc(e, COND_E), s->checked);
}

/*
 * Called with S0 the address, S1 the page of its last byte, S2 the slot's offset. ZF set: the TLB had it, the slot
 * is filled. For writing the TLB is looked at again once the slot is filled: whoever protects RAM (listener_protect() in cpu.c)
 * first changes the TLB, then has all threads pass a barrier, then empties the slots.
 */
void gen_common_refill(Translator *t, unsigned cls, MmuAccess access)
{
    Emitter *e = &t->e;
    enum { ENTRY_SHIFT = 5 };
    _Static_assert(sizeof(TlbEntry) == 1 << ENTRY_SHIFT, "the shift below scales by an entry's size");
    int32_t table = (int32_t)offsetof(CpuTlb, entries[0][0]) +
                    (int32_t)(cls * sizeof(((CpuTlb *)0)->entries[0]));
    HostRm tag = rm_mem(H_AX, table + (int32_t)offsetof(TlbEntry, tag) + 8 * (int32_t)access);
    HostRm slot_tag = rm_env_reg(S2, offsetof(JitSlot, tag));

    t->jit->refill[cls][access] = e->p;
    emit_push(e, H_AX);
    emit_mov(e, W64, H_AX, S0); /* tlb_index() */
    emit_shr(e, W64, H_AX, TLB_HASH_SHIFT);
    emit_alu(e, W32, ALU_XOR, H_AX, rm_reg(S0));
    emit_shr(e, W32, H_AX, GUEST_PAGE_BITS - ENTRY_SHIFT);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(H_AX), (TLB_SIZE - 1) << ENTRY_SHIFT);
    emit_alu(e, W64, ALU_ADD, H_AX, rm_env(offsetof(CPUX86State, tlb)));
    emit_alu(e, W64, ALU_CMP, S1, tag);
    uint8_t *miss = emit_jcc(e, COND_NE);
    emit_store(e, W64, slot_tag, S1);
    emit_store_imm(e, W8, rm_env(offsetof(CPUX86State, jit_slots_used) + cls), 1);
    if (access == MMU_WRITE) {
        if (cpu_slots_fenced) {
            emit_mfence(e);
        }
        emit_alu(e, W64, ALU_CMP, S1, tag);
        uint8_t *lost = emit_jcc(e, COND_NE);
        emit_load(e, W64, H_AX, rm_mem(H_AX, table + (int32_t)offsetof(TlbEntry, addend)));
        emit_store(e, W64, rm_env_reg(S2, offsetof(JitSlot, addend)), H_AX);
        emit_pop(e, H_AX);
        emit_ret(e);
        emit_patch(lost, e->p);
        emit_mov_imm(e, S1, cpu_slot_empty);
        emit_store(e, W64, slot_tag, S1); /* ZF is clear */
    } else {
        emit_load(e, W64, H_AX, rm_mem(H_AX, table + (int32_t)offsetof(TlbEntry, addend)));
        emit_store(e, W64, rm_env_reg(S2, offsetof(JitSlot, addend)), H_AX);
    }
    emit_patch(miss, e->p);
    emit_pop(e, H_AX);
    emit_ret(e);
}

void gen_operand(Translator *t, unsigned size, MmuAccess access)
{
    gen_flags_away(t);
    gen_address(t);
    gen_translate(t, size, access);
    gen_flags_back(t);
}
