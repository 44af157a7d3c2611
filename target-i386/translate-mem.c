/*
 * The translator: memory operands. What segments add to an address, outside 64-bit code, is in translate-segment.c.
 *
 * In front of the soft TLB stands a last-page slot (JitSlot) that places with the same address registers in a block share. It is looked
 * at with a few instructions at a fixed place in the CPU state, so nothing waits for the address but the last of them; a
 * miss refills it from the TLB, still without leaving translated code, and only what the TLB does not have goes to the
 * instruction's handler. A place that keeps missing is translated again, to look into the TLB at once (jit_note_often()).
 * Accesses that need no look of their own: translate-group.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

enum { TLB_ENTRY_SHIFT = 5 };
_Static_assert(sizeof(TlbEntry) == 1 << TLB_ENTRY_SHIFT, "shifts scale by an entry's size");

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

/* A field of the TLB entry at whose place in the first class's table a register points. */
static HostRm tlb_field(unsigned reg, unsigned cls, size_t field)
{
    return rm_mem(reg, (int32_t)(offsetof(CpuTlb, entries[0][0]) + cls * sizeof(((CpuTlb *)0)->entries[0]) + field));
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
static unsigned next_slot(Translator *t, MmuAccess access)
{
    return t->jit->next_slot[access]++ % JIT_SLOTS;
}

static unsigned choose_slot(Translator *t, MmuAccess access)
{
    for (unsigned i = 0; i < t->nslots; i++) {
        if (t->slots[i].key == t->address_key && t->slots[i].access == access) {
            return t->slots[i].slot;
        }
    }
    unsigned slot = next_slot(t, access);
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

uint32_t new_slot(Translator *t, MmuAccess access)
{
    return slot_offset(t->cls, access, next_slot(t, access));
}

/* What the segment and alignment checks ask of the offset in S0, which becomes the linear address. */
static void gen_to_linear(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;

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
}

Stub *gen_slot_check(Translator *t, uint32_t slot, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;

    emit_mov(e, W64, S1, S0);
    emit_alu(e, W64, ALU_SUB, S1, rm_env(slot + offsetof(JitSlot, tag)));
    emit_alu_imm(e, W64, ALU_CMP, rm_reg(S1), (int32_t)(GUEST_PAGE_SIZE - size));
    Stub *s = add_stub(t, STUB_REFILL, emit_jcc(e, COND_A));
    s->ji = insn_record(t);
    note_flags(t, s);
    s->access = (uint8_t)access;
    s->size = (uint16_t)size;
    s->slot = slot;
    s->refill_slot = t->delta_slot;
    s->checked = e->p;
    return s;
}

/* The offset of the TLB entry for the address in S0: tlb_index(). */
static void gen_tlb_index(Emitter *e, unsigned reg)
{
    emit_mov(e, W64, reg, S0);
    emit_shr(e, W64, reg, TLB_HASH_SHIFT);
    emit_alu(e, W32, ALU_XOR, reg, rm_reg(S0));
    emit_shr(e, W32, reg, GUEST_PAGE_BITS - TLB_ENTRY_SHIFT);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(reg), (TLB_SIZE - 1) << TLB_ENTRY_SHIFT);
}

/* S2 tells the TLB entry for the address in S0, whose tag is compared; see tlb_field(). */
static void gen_hashed_check(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;

    gen_tlb_index(e, S2);
    emit_alu(e, W64, ALU_ADD, S2, rm_env(offsetof(CPUX86State, tlb)));
    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)size - 1));
    emit_alu(e, W64, ALU_XOR, S1, rm_reg(S0));
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    gen_slow_unless(t, COND_E);
    emit_mov(e, W64, S1, S0);
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_CMP, S1, tlb_field(S2, t->cls, offsetof(TlbEntry, tag) + 8 * (size_t)access));
    gen_slow_unless(t, COND_E);
}

bool site_is_hashed(const Translator *t)
{
    unsigned bit = jit_site_bit(t->rip);

    return t->jit->hashed_sites[bit / 64] >> bit % 64 & 1;
}

void gen_load_delta(Translator *t, uint32_t slot)
{
    emit_load(&t->e, W64, S2, rm_env(slot + offsetof(JitSlot, addend)));
    t->delta_slot = slot;
}

void gen_delta(Translator *t, unsigned size, MmuAccess access)
{
    gen_to_linear(t, size, access);
    if (site_is_hashed(t)) {
        gen_hashed_check(t, size, access);
        emit_load(&t->e, W64, S2, tlb_field(S2, t->cls, offsetof(TlbEntry, addend)));
        t->delta_slot = 0;
        return;
    }
    uint32_t slot = slot_offset(t->cls, access, choose_slot(t, access));
    gen_slot_check(t, slot, size, access)->refill_slot = 0; /* loaded there anyway */
    gen_load_delta(t, slot);
}

void gen_translate(Translator *t, unsigned size, MmuAccess access)
{
    gen_to_linear(t, size, access);
    if (site_is_hashed(t)) {
        gen_hashed_check(t, size, access);
        emit_alu(&t->e, W64, ALU_ADD, S0, tlb_field(S2, t->cls, offsetof(TlbEntry, addend)));
        t->delta_slot = 0;
        return;
    }
    uint32_t slot = slot_offset(t->cls, access, choose_slot(t, access));
    gen_slot_check(t, slot, size, access);
    emit_alu(&t->e, W64, ALU_ADD, S0, rm_env(slot + offsetof(JitSlot, addend)));
}

void gen_refill(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;

    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)s->size - 1));
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    emit_mov_imm(e, S2, s->slot);
    emit_patch(emit_call(e), t->jit->refill[t->cls][s->access]);
    if (!s->refill_slot) {
        emit_patch(emit_jcc(e, COND_E), s->checked);
        return;
    }
    uint8_t *missed = emit_jcc(e, COND_NE);
    emit_load(e, W64, S2, rm_env(s->refill_slot + offsetof(JitSlot, addend)));
    emit_patch(emit_jmp(e), s->checked);
    emit_patch(missed, e->p);
}

/* One miss less is left for the slot at S2's offset: negative when that is too many. AX keeps its value. */
static void count_miss(Emitter *e, int32_t misses)
{
    emit_push(e, H_AX);
    emit_mov(e, W32, H_AX, S2);
    emit_shr(e, W32, H_AX, 2);
    emit_alu_imm(e, W32, ALU_SUB, rm_env_reg(H_AX, (size_t)(int64_t)misses), 1);
    emit_pop(e, H_AX);
}

/*
 * Called with S0 the address, S1 the page of its last byte, S2 the slot's offset. ZF set: the TLB had it, the slot
 * is filled. For writing the TLB is looked at again once the slot is filled: whoever protects RAM (listener_protect() in cpu.c)
 * first changes the TLB, then has all threads pass a barrier, then empties the slots.
 */
void gen_common_refill(Translator *t, unsigned cls, MmuAccess access)
{
    Emitter *e = &t->e;
    HostRm tag = tlb_field(H_AX, cls, offsetof(TlbEntry, tag) + 8 * (size_t)access);
    HostRm addend = tlb_field(H_AX, cls, offsetof(TlbEntry, addend));
    int32_t misses = (int32_t)offsetof(CPUX86State, jit_slot_misses) - (int32_t)(offsetof(CPUX86State, jit_slots) / 4);
    _Static_assert(sizeof(JitSlot) == 4 * sizeof(((CPUX86State *)0)->jit_slot_misses[0]), "an index of one gives the other");
    HostRm slot_tag = rm_env_reg(S2, offsetof(JitSlot, tag));

    t->jit->refill[cls][access] = e->p;
    emit_push(e, H_AX);
    emit_mov(e, W64, H_AX, S0); /* not across pages: both may share a place in the TLB */
    emit_alu_imm(e, W64, ALU_AND, rm_reg(H_AX), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_CMP, H_AX, rm_reg(S1));
    uint8_t *crosses = emit_jcc(e, COND_NE);
    gen_tlb_index(e, H_AX);
    emit_alu(e, W64, ALU_ADD, H_AX, rm_env(offsetof(CPUX86State, tlb)));
    emit_alu(e, W64, ALU_CMP, S1, tag);
    uint8_t *miss = emit_jcc(e, COND_NE);
    count_miss(e, misses);
    uint8_t *often = emit_jcc(e, COND_S);
    emit_store(e, W64, slot_tag, S1);
    emit_store_imm(e, W8, rm_env(offsetof(CPUX86State, jit_slots_used) + cls), 1);
    if (access == MMU_WRITE) {
        if (cpu_slots_fenced) {
            emit_mfence(e);
        }
        emit_alu(e, W64, ALU_CMP, S1, tag);
        uint8_t *lost = emit_jcc(e, COND_NE);
        emit_load(e, W64, H_AX, addend);
        emit_store(e, W64, rm_env_reg(S2, offsetof(JitSlot, addend)), H_AX);
        emit_pop(e, H_AX);
        emit_ret(e);
        emit_patch(lost, e->p);
        emit_mov_imm(e, S1, cpu_slot_empty);
        emit_store(e, W64, slot_tag, S1); /* ZF is clear */
    } else {
        emit_load(e, W64, H_AX, addend);
        emit_store(e, W64, rm_env_reg(S2, offsetof(JitSlot, addend)), H_AX);
        emit_alu(e, W32, ALU_CMP, H_AX, rm_reg(H_AX));
    }
    emit_patch(miss, e->p);
    emit_patch(crosses, e->p);
    emit_pop(e, H_AX);
    emit_ret(e);
    emit_patch(often, e->p); /* ZF is clear */
    emit_store_imm(e, W8, rm_env(offsetof(CPUX86State, jit_slot_often)), 1);
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
