/*
 * The translator: x87 instructions, emitted again as they are: the guest's registers, control and status word are the host's
 * (translate-fpu.c). Blocks where an exception is unmasked or pending have another key, and the handlers do it all.
 *
 * The host's own FIP, FDP and FOP say nothing about the guest. What the guest's would be is known from the code; it is stored
 * as late as possible: before control leaves the block, and where an instruction goes to its handler.
 *
 * Sources: SDM vol. 1, 8.1.8 (pointers).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

enum {
    OPC_X87_D9 = 0xd9,
    D9_FLDCW = 5,
    FCW_MASKS = 0x3f,
};

static HostRm selector(unsigned seg)
{
    return rm_env(offsetof(CPUX86State, segs) + seg * sizeof(Segment) + offsetof(Segment, selector));
}

/* ---- pointers ---- */

/* Of the last instruction. FOP lies behind the tags, which mean nothing while the registers are in the host's. */
static void gen_store_fip(Translator *t, uint64_t fip, uint16_t fop)
{
    Emitter *e = &t->e;
    size_t at = offsetof(CPUX86State, fpu) + offsetof(FpuState, fip);

    if ((int64_t)fip == (int32_t)fip) {
        emit_store_imm(e, W64, rm_env(at), (int32_t)fip);
        note_rip32(t, fip);
    } else {
        emit_store_imm(e, W32, rm_env(at), (int32_t)fip);
        note_move(t, MOVE_RIP_HALVES, e->p - 4);
        emit_store_imm(e, W32, rm_env(at + 4), (int32_t)(fip >> 32));
    }
    _Static_assert(offsetof(FpuState, fop) == offsetof(FpuState, ftw) + 2, "one store reaches both");
    emit_store_imm(e, W32, ENV(fpu.ftw), fop << 16);
    emit_load_u16(e, S1, selector(SEG_CS));
    emit_store(e, W16, ENV(fcs), S1);
}

static void gen_store_fds(Translator *t, unsigned seg)
{
    emit_load_u16(&t->e, S1, selector(seg));
    emit_store(&t->e, W16, ENV(fds), S1);
}

/* Of its operand: the registers of its address are as they were. */
static void gen_store_fdp(Translator *t, const X87Pointers *p)
{
    const Insn *insn = t->insn;
    uint64_t next_rip = t->next_rip;
    unsigned segment = t->segment;

    t->insn = p->operand;
    t->next_rip = p->operand_next_rip;
    gen_address(t);
    t->insn = insn;
    t->next_rip = next_rip;
    t->segment = segment;
    t->fixed = false; /* that was the other instruction's address */
    emit_store(&t->e, W64, ENV(fpu.fdp), S0);
}

void gen_store_x87_pointers(Translator *t, const X87Pointers *p)
{
    if (p->last) {
        gen_store_fip(t, p->rip, (uint16_t)((p->last->opcode & 7) << 8 | p->last->modrm));
    }
    if (p->operand) {
        gen_store_fdp(t, p);
        gen_store_fds(t, p->operand->seg);
    }
}

/* On the block's own way: FDS is stored once as long as nothing else can change it or the segment register. */
static void gen_store_operand(Translator *t)
{
    X87Pointers *p = &t->x87_pointers;

    gen_store_fdp(t, p);
    if (!t->fds_known || t->fds_seg != p->operand->seg) {
        gen_store_fds(t, p->operand->seg);
    }
    t->fds_known = true;
    t->fds_seg = p->operand->seg;
    p->operand = NULL;
}

/* Whether the registers of addresses are the same behind it. */
static bool keeps_addresses(const Insn *insn)
{
    switch (insn->insn_class) {
    case INSN_CLASS_X87:
    case INSN_CLASS_X87_NOWAIT:
    case INSN_CLASS_WAIT:
        return insn->ops[0].kind != OPND_GPR;
    default:
        return false;
    }
}

void gen_before_insn_x87(Translator *t, bool leaves)
{
    X87Pointers *p = &t->x87_pointers;

    if (p->operand && (leaves || !keeps_addresses(t->insn))) {
        gen_store_operand(t);
    }
    if (leaves) {
        gen_store_x87_pointers(t, p);
        *p = (X87Pointers){NULL};
        t->fds_known = false;
    }
}

/* ---- instructions ---- */

static bool has_memory(const Insn *insn)
{
    return insn->modrm < 0xc0;
}

/* FS and GS: FDP would not be what gen_address() makes. */
static bool can_translate(const Translator *t, const Insn *insn)
{
    if (!(t->key & JIT_KEY_X87)) {
        return false;
    }
    switch (insn->op) {
    case OP_WAIT:
    case OP_FNENI:
    case OP_FNDISI:
    case OP_FNSETPM:
    case OP_FNCLEX:
    case OP_FNINIT:
    case OP_FNSTSW:
    case OP_FNSTCW:
    case OP_FLDCW:
        return true;
    default:
        return insn->insn_class == INSN_CLASS_X87 && insn->flags & INSN_HOST_EXEC &&
               !(has_memory(insn) && (insn->seg == SEG_FS || insn->seg == SEG_GS));
    }
}

bool wants_x87(const Translator *t, const Insn *insn)
{
    return (insn->insn_class == INSN_CLASS_X87 || insn->insn_class == INSN_CLASS_X87_NOWAIT) && can_translate(t, insn);
}

static void gen_same_at(Translator *t, HostRm rm)
{
    emit_op(&t->e, 0, t->insn->opcode, t->insn->modrm >> 3 & 7, rm);
}

static void gen_same(Translator *t)
{
    gen_same_at(t, rm_reg(t->insn->modrm & 7));
}

/* What computes or moves. */
static bool gen_compute(Translator *t)
{
    const Insn *insn = t->insn;
    X87Pointers *p = &t->x87_pointers;

    HostRm rm = rm_reg(insn->modrm & 7);
    if (has_memory(insn)) {
        rm = gen_mem(t, insn->mem_size, insn->flags & INSN_MEM_WRITE ? MMU_WRITE : MMU_READ);
    }
    gen_need_x87(t);
    gen_same_at(t, rm);
    p->last = insn;
    p->rip = t->rip;
    if (has_memory(insn)) {
        p->operand = insn;
        p->operand_next_rip = t->next_rip;
    }
    return true;
}

/* Leaves the pointers alone. */
static bool gen_control_insn(Translator *t)
{
    HostRm rm = rm_reg(t->insn->modrm & 7);
    if (t->insn->ops[0].kind == OPND_MEM) {
        rm = gen_mem(t, 2, MMU_WRITE);
    }
    gen_need_x87(t);
    gen_same_at(t, rm);
    return true;
}

/* A control word that unmasks something goes to the handler: it needs another key. */
static bool gen_fldcw(Translator *t)
{
    Emitter *e = &t->e;
    HostRm temp = ENV(jit_temp);

    gen_flags_away(t);
    gen_address(t);
    gen_translate(t, 2, MMU_READ);
    emit_load_u16(e, S1, rm_mem(S0, 0));
    emit_store(e, W32, temp, S1);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), FCW_MASKS);
    emit_alu_imm(e, W32, ALU_CMP, rm_reg(S1), FCW_MASKS);
    gen_slow_unless(t, COND_E);
    gen_flags_back(t);
    gen_need_x87(t);
    emit_op(e, 0, OPC_X87_D9, D9_FLDCW, temp);
    return true;
}

static bool gen_fninit(Translator *t)
{
    Emitter *e = &t->e;

    gen_need_x87(t);
    gen_same(t);
    t->x87_pointers = (X87Pointers){NULL};
    t->fds_known = false;
    emit_store_imm(e, W64, ENV(fpu.fip), 0);
    emit_store_imm(e, W64, ENV(fpu.fdp), 0);
    emit_store_imm(e, W32, ENV(fpu.ftw), 0);
    emit_store_imm(e, W32, ENV(fcs), 0);
    _Static_assert(offsetof(CPUX86State, fds) == offsetof(CPUX86State, fcs) + 2, "one store reaches both");
    return true;
}

bool gen_x87(Translator *t)
{
    const Insn *insn = t->insn;

    if (!can_translate(t, insn) || (insn->off_modrm && has_memory(insn) && !can_address(t))) {
        return false;
    }
    switch (insn->op) {
    case OP_WAIT: /* nothing is pending */
    case OP_FNENI:
    case OP_FNDISI:
    case OP_FNSETPM:
        return true;
    case OP_FNCLEX:
    case OP_FNSTSW:
    case OP_FNSTCW:
        return gen_control_insn(t);
    case OP_FLDCW:
        return gen_fldcw(t);
    case OP_FNINIT:
        return gen_fninit(t);
    default:
        return gen_compute(t);
    }
}
