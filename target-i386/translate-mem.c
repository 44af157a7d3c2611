/*
 * The translator: memory operands. What segments add to an address, outside 64-bit code, is in translate-segment.c.
 *
 * In front of the soft TLB stands a last-page slot (JitSlot) that places with the same address registers in a block share. It is looked
 * at with a few instructions at a fixed place in the CPU state, so nothing waits for the address but the last of them; a
 * miss refills it from the TLB, still without leaving translated code, and only what the TLB does not have goes to the
 * instruction's handler. A place that keeps missing is translated again, to look into the TLB at once (jit_note_often()).
 * Kernels do so everywhere but for the stack, FS and GS (looks_into_tlb()). Accesses that need no look of their own: translate-group.c.
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

/* Registers, segment and about which page off the registers: arrays at fixed places are indexed by the same register. */
static uint64_t address_key(const Insn *insn, int64_t disp)
{
    uint64_t seg = KEY_SEG(insn->seg == SEG_DS || insn->seg == SEG_SS ? 0 : insn->seg);

    if (insn->base >= 16 && insn->index >= 16) {
        return KEY_CONSTANT | KEY_PAGE(disp) | seg;
    }
    return KEY_BASE(insn->base < 16 ? insn->base : KEY_NO_REGISTER) | KEY_INDEX(insn->index < 16 ? insn->index : KEY_NO_REGISTER) | seg |
           KEY_PAGE((disp + GUEST_PAGE_SIZE / 2));
}

/* A field of the TLB entry at whose place in a class's table a register points; H_NONE: of the first entry. */
static HostRm tlb_field(unsigned reg, unsigned cls, size_t field)
{
    return rm_env_reg(reg, CPU_TLB_OFFSET + offsetof(CpuTlb, entries[0][0]) + cls * sizeof(((CpuTlb *)0)->entries[0]) + field);
}

void gen_stack_address(Translator *t, int32_t disp)
{
    note_stack_address(t);
    emit_lea(&t->e, t->word, S0, rm_mem(GUEST_SP, disp));
}

void note_stack_address(Translator *t)
{
    t->address_key = KEY_BASE(R_SP) | KEY_INDEX(KEY_NO_REGISTER);
    t->segment = SEG_COUNT;
    t->fixed = false;
}

void note_simple_address(Translator *t)
{
    t->address_key = address_key(t->insn, t->insn->disp);
    t->segment = SEG_COUNT;
    t->fixed = false;
}

/* The operand's address as the host adds it up, of registers as wide as the host's. S0 and S1 are used. */
static HostRm gen_address_operand(Translator *t)
{
    const Insn *insn = t->insn;
    HostRm rm = rm_mem(H_NONE, 0);
    int64_t disp = insn->disp;

    if (insn->base == INSN_REG_RIP) {
        disp += (int64_t)t->next_rip;
        t->rip_operand = true;
    } else if (insn->base < 16) {
        unsigned index = insn->index < 16 ? host_now(t, insn->index) : H_NONE;
        rm.base = (uint8_t)gen_guest_to_read(t, insn->base, 1u << S2 | (index == H_NONE ? 0 : 1u << index));
    }
    if (insn->index < 16) {
        rm.index = (uint8_t)gen_guest_to_read(t, insn->index, 1u << S2 | (rm.base == H_NONE ? 0 : 1u << rm.base));
        rm.scale = insn->scale;
    }
    t->absolute_operand |= insn->base >= 16 && insn->base != INSN_REG_RIP && insn->index >= 16 && insn->seg != SEG_FS && insn->seg != SEG_GS;
    t->address_key = address_key(insn, disp);
    rm.disp = (int32_t)disp; /* 32 bits wherever there are registers */
    return rm;
}

/* Of an operand without registers, in `width` bits. */
static void gen_known_address(Translator *t, unsigned host, unsigned width)
{
    bool by_rip = t->insn->base == INSN_REG_RIP;
    uint64_t v = (uint64_t)t->insn->disp + (by_rip ? t->next_rip : 0);

    if (by_rip && width == W64) {
        gen_mov_rip(t, host, v);
        return;
    }
    if (by_rip) {
        cannot_move(t);
    }
    emit_mov_imm(&t->e, host, width == W64 ? v : width == W32 ? (uint32_t)v : (uint16_t)v);
}

void gen_lea_to(Translator *t, unsigned host)
{
    const Insn *insn = t->insn;
    HostRm rm = gen_address_operand(t);
    unsigned width = insn->opsize == 8 && insn->addrsize == 8 ? W64 : W32;

    if (rm.base == H_NONE && rm.index == H_NONE) {
        gen_known_address(t, host, width);
    } else {
        emit_lea(&t->e, width, host, rm);
    }
}

void gen_address(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned width = insn->addrsize;
    HostRm rm = gen_address_operand(t);
    uint64_t disp = (uint64_t)insn->disp + (insn->base == INSN_REG_RIP ? t->next_rip : 0);

    if (rm.base == H_NONE && rm.index == H_NONE) {
        gen_known_address(t, S0, width);
    } else {
        emit_lea(e, width == 8 ? W64 : W32, S0, rm);
        if (width == 2) {
            emit_movzx16(e, S0, S0);
        }
    }
    t->segment = segment_is_flat(t, insn->seg) ? SEG_COUNT : insn->seg;
    t->fixed = rm.base == H_NONE && rm.index == H_NONE && width == t->word && t->segment == SEG_COUNT &&
               insn->seg != SEG_FS && insn->seg != SEG_GS;
    t->fixed_address = t->mode64 ? disp : (uint32_t)disp;
    if (t->mode64 && (insn->seg == SEG_FS || insn->seg == SEG_GS)) {
        emit_load(e, W64, S1, rm_env(offsetof(CPUX86State, segs) + insn->seg * sizeof(Segment) +
                                     offsetof(Segment, base)));
        HostRm sum = rm_mem(S0, 0);
        sum.index = S1;
        emit_lea(e, W64, S0, sum);
    }
}

/* ---- checks ---- */

static uint32_t slot_offset(unsigned cls, MmuAccess access, unsigned slot)
{
    return (uint32_t)(offsetof(CPUX86State, jit_slots) +
                      ((cls * 2 + (access == MMU_WRITE)) * JIT_SLOTS + slot) * sizeof(JitSlot));
}

/* What unpacks kernels, and firmware, does not lie there. */
bool rip_is_kernels(const CPUX86State *env, uint32_t key, uint64_t rip)
{
    bool upper_half = key & HF_CS64 ? rip >> 63 : rip >> 31 & 1;

    if (env->lockstep) {
        upper_half ^= rip >> GUEST_PAGE_BITS & 1; /* whoever tests wants to see both */
    }
    return !(key & HF_CPL_MASK) && key & HF_PG && upper_half;
}

static bool is_kernels(const Translator *t)
{
    return rip_is_kernels(t->env, t->key, t->block_rip);
}

/* What a group has looked at nobody else may fill. */
static bool is_a_groups(const Translator *t, uint32_t slot)
{
    for (unsigned i = 0; i < t->ngroups; i++) {
        if (t->groups[i].slot == slot) {
            return true;
        }
    }
    return false;
}

/*
 * The slot for the address at hand: accesses with the same registers in a block share one, since they mostly fall into the same
 * page. Others take the next free one in turn. Large programs want many, so that a place finds its own slot again; kernels, which
 * have slots for their stack, FS and GS only (looks_into_tlb()), little of it: each INVLPG looks at all that are in use.
 */
static unsigned next_slot(Translator *t, unsigned log, MmuAccess access)
{
    enum { KERNELS_SHARE = 16 };
    unsigned first = jit_slot_first[log], n = (jit_slot_first[log + 1] - first) / (is_kernels(t) ? KERNELS_SHARE : 1), slot, tried = 0;

    do {
        slot = first + t->jit->slots_given.next[access][log]++ % n;
    } while (is_a_groups(t, slot_offset(t->cls, access, slot)) && ++tried < n);
    return slot;
}

/* Whose slots are for accesses of `size` bytes. An odd size takes the next larger, which only means that its limit is too low. */
static unsigned slot_log(unsigned size)
{
    unsigned log = 0;

    while (size > 1u << log) {
        log++;
    }
    return log < JIT_SLOT_SIZES ? log : 0;
}

static unsigned choose_slot(Translator *t, unsigned size, MmuAccess access)
{
    unsigned log = slot_log(size);

    for (unsigned i = 0; i < t->nslots; i++) {
        if (t->slots[i].key == t->address_key && t->slots[i].access == access &&
            t->slots[i].slot >= jit_slot_first[log]) { /* a larger size's will do */
            return t->slots[i].slot;
        }
    }
    unsigned slot = next_slot(t, log, access);
    if (t->nslots < MAX_BLOCK_SLOTS) {
        t->slots[t->nslots].key = t->address_key;
        t->slots[t->nslots].access = (uint8_t)access;
        t->slots[t->nslots].slot = (uint16_t)slot;
        t->nslots++;
    }
    return slot;
}

uint32_t new_slot(Translator *t, unsigned size, MmuAccess access)
{
    bool exact = 1u << slot_log(size) == size;

    return slot_offset(t->cls, access, next_slot(t, exact ? slot_log(size) : 0, access));
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

/* Bytes of the accesses that the slot is for. */
static unsigned slot_size(uint32_t slot)
{
    unsigned number = (slot - (uint32_t)offsetof(CPUX86State, jit_slots)) / (uint32_t)sizeof(JitSlot) % JIT_SLOTS, log = 0;

    while (jit_slot_first[log + 1] <= number) {
        log++;
    }
    return 1u << log;
}

void gen_compare_limit(Translator *t, unsigned distance, uint32_t slot, unsigned size)
{
    Emitter *e = &t->e;
    HostRm limit = rm_env(slot + offsetof(JitSlot, limit));

    if (size <= slot_size(slot)) {
        emit_alu(e, W64, ALU_CMP, distance, limit);
        return;
    }
    emit_load(e, W64, S2, limit);
    emit_lea(e, W64, S2, rm_mem(S2, 1 - (int32_t)size)); /* the limit is that of single bytes, and at least a page's */
    emit_alu(e, W64, ALU_CMP, distance, rm_reg(S2));
}

Stub *gen_slot_check(Translator *t, uint32_t slot, unsigned size, MmuAccess access, const HostRm *at)
{
    Emitter *e = &t->e;

    if (at && at->disp) {
        emit_lea(e, W64, S1, *at);
    } else {
        emit_mov(e, W64, S1, at ? at->base : (unsigned)S0);
    }
    emit_alu(e, W64, ALU_SUB, S1, rm_env(slot + offsetof(JitSlot, tag)));
    gen_compare_limit(t, S1, slot, size);
    Stub *s = add_stub(t, STUB_REFILL, emit_jcc(e, COND_A));
    s->ji = insn_record(t);
    note_flags(t, s);
    s->access = (uint8_t)access;
    s->size = (uint16_t)size;
    s->slot = slot;
    s->refill_slot = t->delta_slot;
    s->checked = e->p;
    s->needs_address = at != NULL;
    s->address = at ? *at : rm_mem(H_NONE, 0);
    e->named |= 1u << S0 | 1u << S1 | 1u << S2; /* the refill uses them */
    return s;
}

/* The offset of the TLB entry for the address in S0: tlb_index(). */
static void gen_tlb_index(Emitter *e, unsigned reg)
{
    emit_mov(e, W64, reg, S0);
    emit_shr(e, W64, reg, GUEST_PAGE_BITS);
    emit_imul_imm(e, W32, reg, (int32_t)TLB_HASH_FACTOR);
    emit_shr(e, W32, reg, TLB_HASH_SHIFT);
    emit_shl(e, W32, reg, TLB_ENTRY_SHIFT);
}

/* The entry of an address that is known has a known place. */
static HostRm gen_check_fixed(Translator *t, MmuAccess access)
{
    Emitter *e = &t->e;
    uint64_t page = t->fixed_address & GUEST_PAGE_MASK;
    size_t at = tlb_index(page) * sizeof(TlbEntry);

    if (t->insn->base == INSN_REG_RIP) {
        cannot_move(t); /* the entry would be another */
    }
    HostRm tag = tlb_field(H_NONE, t->cls, at + offsetof(TlbEntry, tag) + 8 * (size_t)access);

    if ((int64_t)page == (int32_t)page) {
        emit_alu_imm(e, W64, ALU_CMP, tag, (int32_t)page);
    } else {
        emit_mov_imm(e, S1, page);
        emit_alu(e, W64, ALU_CMP, S1, tag);
    }
    gen_slow_unless(t, COND_E);
    return tlb_field(H_NONE, t->cls, at + offsetof(TlbEntry, addend));
}

/* Looks into the TLB for the address in S0. Returns the addend's place, which S2 may be part of. */
static HostRm gen_check_tlb(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;

    if (t->fixed && (t->fixed_address & ~GUEST_PAGE_MASK) + size <= GUEST_PAGE_SIZE) {
        return gen_check_fixed(t, access);
    }
    gen_tlb_index(e, S2);
    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)size - 1));
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_CMP, S1, tlb_field(S2, t->cls, offsetof(TlbEntry, tag) + 8 * (size_t)access));
    gen_slow_unless(t, COND_E);
    return tlb_field(S2, t->cls, offsetof(TlbEntry, addend));
}

bool site_is_hashed(const Translator *t)
{
    unsigned bit = jit_site_bit(t->block_ram + ((t->rip - t->block_rip) & t->ip_mask));

    return t->jit->hashed_sites[bit / 64] >> bit % 64 & 1;
}

bool in_kernel(const Translator *t)
{
    return is_kernels(t) && t->loop == NO_LOOP;
}

/*
 * Kernels run through more code between two visits of a place than there are slots, and what they point to is anywhere: all but
 * the stack and what FS and GS are for looks into the TLB at once. Not so their loops; and what unpacks them does not lie where they do.
 */
static bool looks_into_tlb(const Translator *t)
{
    bool on_stack = (t->address_key & KEY_REGISTERS_MASK) == (KEY_BASE(R_SP) | KEY_INDEX(KEY_NO_REGISTER));
    unsigned seg = t->address_key / KEY_SEG(1) & 7;

    return site_is_hashed(t) || (in_kernel(t) && !on_stack && seg != SEG_FS && seg != SEG_GS);
}

void gen_load_delta(Translator *t, uint32_t slot)
{
    emit_load(&t->e, W64, S2, rm_env(slot + offsetof(JitSlot, addend)));
    t->delta_slot = slot;
}

void gen_delta(Translator *t, unsigned size, MmuAccess access, const HostRm *at)
{
    if (at && (looks_into_tlb(t) || t->key & HF_AC)) {
        emit_lea(&t->e, W64, S0, *at);
        at = NULL;
    }
    gen_to_linear(t, size, access);
    if (looks_into_tlb(t)) {
        emit_load(&t->e, W64, S2, gen_check_tlb(t, size, access));
        t->delta_slot = 0;
        return;
    }
    uint32_t slot = slot_offset(t->cls, access, choose_slot(t, size, access));
    gen_slot_check(t, slot, size, access, at)->refill_slot = 0; /* loaded there anyway */
    gen_load_delta(t, slot);
}

void gen_translate(Translator *t, unsigned size, MmuAccess access)
{
    gen_to_linear(t, size, access);
    if (looks_into_tlb(t)) {
        emit_alu(&t->e, W64, ALU_ADD, S0, gen_check_tlb(t, size, access));
        t->delta_slot = 0;
        return;
    }
    uint32_t slot = slot_offset(t->cls, access, choose_slot(t, size, access));
    if (size > slot_size(slot)) {
        t->delta_slot = 0; /* the check uses S2 */
    }
    gen_slot_check(t, slot, size, access, NULL);
    emit_alu(&t->e, W64, ALU_ADD, S0, rm_env(slot + offsetof(JitSlot, addend)));
}

void gen_refill(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;

    if (s->needs_address) {
        emit_lea(e, W64, S0, s->address);
    }
    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)s->size - 1));
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S1), -(int32_t)GUEST_PAGE_SIZE);
    emit_mov_imm(e, S2, s->slot);
    gen_to_common(t, emit_call(e), t->jit->refill[t->cls][s->access][!is_kernels(t)]);
    if (!s->refill_slot) {
        emit_patch(emit_jcc(e, COND_E), s->checked);
        return;
    }
    uint8_t *missed = emit_jcc(e, COND_NE);
    emit_load(e, W64, S2, rm_env(s->refill_slot + offsetof(JitSlot, addend)));
    emit_patch(emit_jmp(e), s->checked);
    emit_patch(missed, e->p);
}

/* One miss less is left for the slot at S2's offset; the jump is taken when that is too many. AX is used. */
static uint8_t *count_miss(Emitter *e)
{
    int32_t misses = (int32_t)offsetof(CPUX86State, jit_slot_misses) - (int32_t)(offsetof(CPUX86State, jit_slots) / 8);
    _Static_assert(sizeof(JitSlot) == 8 * sizeof(((CPUX86State *)0)->jit_slot_misses[0]), "an index of one gives the other");

    emit_mov(e, W32, H_AX, S2);
    emit_shr(e, W32, H_AX, 3);
    emit_alu_imm(e, W32, ALU_SUB, rm_env_reg(H_AX, (size_t)(int64_t)misses), 1);
    return emit_jcc(e, COND_S);
}

/* The slot's chunk may have others than empty ones from now on. AX is used. */
static void gen_slot_is_used(Emitter *e)
{
    enum { SHIFT = 9 };
    _Static_assert(JIT_SLOT_CHUNK * sizeof(JitSlot) == 1 << SHIFT && offsetof(CPUX86State, jit_slots) % (1 << SHIFT) == 0,
                   "an offset's upper bits are the chunk's number");
    int32_t used = (int32_t)offsetof(CPUX86State, jit_slots_used) - (int32_t)(offsetof(CPUX86State, jit_slots) >> SHIFT);

    emit_mov(e, W32, H_AX, S2);
    emit_shr(e, W32, H_AX, SHIFT);
    emit_store_imm(e, W8, rm_env_reg(H_AX, (size_t)(int64_t)used), 1);
}

/*
 * Copies tag, which S1 has already, and addend from a TLB entry or a range to the slot at S2's offset. ZF set: done. For writing the
 * source is looked at again once the slot is filled: whoever protects RAM (listener_protect() in cpu.c) first changes the TLB and
 * the ranges, then has all threads pass a barrier, then empties the slots.
 */
static void gen_fill_slot(Translator *t, MmuAccess access, HostRm tag, HostRm addend)
{
    Emitter *e = &t->e;
    HostRm slot_tag = rm_env_reg(S2, offsetof(JitSlot, tag)), slot_addend = rm_env_reg(S2, offsetof(JitSlot, addend));

    emit_store(e, W64, slot_tag, S1);
    if (access == MMU_READ) {
        emit_load(e, W64, H_AX, addend);
        emit_store(e, W64, slot_addend, H_AX);
        emit_alu(e, W32, ALU_CMP, H_AX, rm_reg(H_AX));
        return;
    }
    if (cpu_slots_fenced) {
        emit_mfence(e);
    }
    emit_alu(e, W64, ALU_CMP, S1, tag);
    uint8_t *lost = emit_jcc(e, COND_NE);
    emit_load(e, W64, H_AX, addend);
    emit_store(e, W64, slot_addend, H_AX);
    uint8_t *done = emit_jmp(e); /* ZF is set */
    emit_patch(lost, e->p);
    emit_mov_imm(e, S1, cpu_slot_empty);
    emit_store(e, W64, slot_tag, S1); /* ZF is clear */
    emit_patch(done, e->p);
}

/*
 * The rest of it for kernels: their stacks and data by FS and GS lie in few pages, ranges are not worth looking for. The slot may have
 * had one for code that is not a kernel's.
 */
static void gen_refill_page(Translator *t, unsigned cls, MmuAccess access)
{
    Emitter *e = &t->e;
    HostRm tag = tlb_field(H_AX, cls, offsetof(TlbEntry, tag) + 8 * (size_t)access);

    emit_load(e, W64, H_AX, rm_env_reg(S2, offsetof(JitSlot, page_limit)));
    emit_store(e, W64, rm_env_reg(S2, offsetof(JitSlot, limit)), H_AX);
    gen_slot_is_used(e);
    gen_tlb_index(e, H_AX);
    emit_alu(e, W64, ALU_CMP, S1, tag);
    uint8_t *miss = emit_jcc(e, COND_NE);
    gen_fill_slot(t, access, tag, tlb_field(H_AX, cls, offsetof(TlbEntry, addend)));
    emit_patch(miss, e->p);
    emit_pop(e, H_AX);
    emit_ret(e);
}

/*
 * Called with S0 the address, S1 the page of its last byte, S2 the slot's offset. ZF set: a range or the TLB had it, the slot
 * is filled.
 */
void gen_common_refill(Translator *t, unsigned cls, MmuAccess access, bool ranged)
{
    Emitter *e = &t->e;
    HostRm tag = tlb_field(H_AX, cls, offsetof(TlbEntry, tag) + 8 * (size_t)access);
    HostRm addend = tlb_field(H_AX, cls, offsetof(TlbEntry, addend));
    size_t ranges = offsetof(CPUX86State, jit_ranges) + (2 * cls + (access == MMU_WRITE)) * sizeof(((CPUX86State *)0)->jit_ranges[0][0]);
    HostRm slot_limit = rm_env_reg(S2, offsetof(JitSlot, limit)), slot_page_limit = rm_env_reg(S2, offsetof(JitSlot, page_limit));
    uint8_t *in_range[JIT_RANGES];

    t->jit->refill[cls][access][ranged] = e->p;
    emit_push(e, H_AX);
    if (!ranged) {
        gen_refill_page(t, cls, access);
        return;
    }
    for (unsigned i = 0; i < JIT_RANGES; i++) {
        emit_mov(e, W64, H_AX, S0);
        emit_alu(e, W64, ALU_SUB, H_AX, rm_env(ranges + i * sizeof(JitRange) + offsetof(JitRange, tag)));
        emit_alu(e, W64, ALU_CMP, H_AX, rm_env(ranges + i * sizeof(JitRange) + offsetof(JitRange, limit)));
        in_range[i] = emit_jcc(e, COND_BE);
    }
    emit_mov(e, W64, H_AX, S0); /* not across pages: both may share a place in the TLB */
    emit_alu_imm(e, W64, ALU_AND, rm_reg(H_AX), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_CMP, H_AX, rm_reg(S1));
    uint8_t *crosses = emit_jcc(e, COND_NE);
    gen_tlb_index(e, H_AX);
    emit_alu(e, W64, ALU_CMP, S1, tag);
    uint8_t *miss = emit_jcc(e, COND_NE);
    uint8_t *often = count_miss(e);
    emit_load(e, W64, H_AX, slot_page_limit);
    emit_store(e, W64, slot_limit, H_AX);
    gen_slot_is_used(e);
    gen_tlb_index(e, H_AX);
    gen_fill_slot(t, access, tag, addend);
    emit_patch(miss, e->p);
    emit_patch(crosses, e->p);
    emit_pop(e, H_AX);
    emit_ret(e);
    emit_patch(often, e->p); /* ZF is clear */
    const uint8_t *often_too = e->p;
    emit_store_imm(e, W8, rm_env(offsetof(CPUX86State, jit_slot_often)), 1);
    emit_store(e, W32, rm_env(offsetof(CPUX86State, jit_often_slot)), S2);
    emit_store(e, W64, rm_env(offsetof(CPUX86State, jit_often_linear)), S0);
    emit_pop(e, H_AX);
    emit_ret(e);

    for (unsigned i = 0; i < JIT_RANGES - 1; i++) {
        emit_patch(in_range[i], e->p);
        emit_mov_imm(e, S1, i * sizeof(JitRange));
        in_range[i] = emit_jmp(e);
    }
    emit_patch(in_range[JIT_RANGES - 1], e->p);
    emit_mov_imm(e, S1, (JIT_RANGES - 1) * sizeof(JitRange));
    for (unsigned i = 0; i < JIT_RANGES - 1; i++) {
        emit_patch(in_range[i], e->p);
    }
    emit_patch(count_miss(e), often_too);
    emit_load(e, W64, H_AX, slot_page_limit);
    emit_alu(e, W64, ALU_ADD, H_AX, rm_env_reg(S1, ranges + offsetof(JitRange, limit)));
    emit_lea(e, W64, H_AX, rm_mem(H_AX, JIT_SLOT_MAX_SPAN - (int32_t)GUEST_PAGE_SIZE));
    emit_store(e, W64, slot_limit, H_AX);
    gen_slot_is_used(e);
    emit_mov(e, W64, H_AX, S1);
    emit_load(e, W64, S1, rm_env_reg(H_AX, ranges + offsetof(JitRange, tag)));
    gen_fill_slot(t, access, rm_env_reg(H_AX, ranges + offsetof(JitRange, tag)),
                  rm_env_reg(H_AX, ranges + offsetof(JitRange, addend)));
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
