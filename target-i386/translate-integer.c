/*
 * The translator: integer instructions.
 *
 * Those with a ModRM byte are emitted again with the same opcode: registers become the host registers that stand for
 * them (scratch registers, loaded before and stored after, for those that live in the CPU state), a memory operand becomes
 * the checked host address.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

/* ---- instructions with ModRM ---- */

typedef struct ModrmForm {
    bool ext;               /* ModRM.reg is part of the opcode */
    bool reg_byte, rm_byte; /* byte registers */
    uint16_t flags;         /* of emit_op() */
} ModrmForm;

static bool form_map1(const Insn *insn, ModrmForm *f)
{
    uint8_t op = insn->opcode;
    bool byte = !(op & 1);

    if (op < 0x40 && (op & 7) < 4) { /* ADD to CMP */
        f->reg_byte = f->rm_byte = byte;
        return true;
    }
    switch (op) {
    case 0x63: /* MOVSXD */
    case 0x69: /* IMUL */
    case 0x6b:
        return true;
    case 0x84: /* TEST, XCHG, MOV */
    case 0x85:
    case 0x86:
    case 0x87:
    case 0x88:
    case 0x89:
    case 0x8a:
    case 0x8b:
        f->reg_byte = f->rm_byte = byte;
        return true;
    case 0x80: /* groups */
    case 0x81:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
    case 0xc7:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
        f->ext = true;
        f->rm_byte = byte && op != 0x83;
        return true;
    default:
        return false;
    }
}

static bool form_map0f(const Insn *insn, ModrmForm *f)
{
    uint8_t op = insn->opcode;

    f->flags = EMIT_0F;
    if (op >= 0x40 && op < 0x50) { /* CMOVcc */
        return true;
    }
    if (op >= 0x90 && op < 0xa0) { /* SETcc */
        f->ext = f->rm_byte = true;
        return true;
    }
    switch (op) {
    case 0xa3: /* BT, SHLD, BTS, SHRD, IMUL, BTR, BTC */
    case 0xa4:
    case 0xa5:
    case 0xab:
    case 0xac:
    case 0xad:
    case 0xaf:
    case 0xb1: /* CMPXCHG */
    case 0xb3:
    case 0xb7: /* MOVZX, MOVSX of words */
    case 0xbb:
    case 0xbf:
    case 0xc1: /* XADD */
    case 0xc3: /* MOVNTI */
        return true;
    case 0xb0: /* CMPXCHG, XADD of bytes */
    case 0xc0:
        f->reg_byte = f->rm_byte = true;
        return true;
    case 0xb6:
    case 0xbe:
        f->rm_byte = true;
        return true;
    case 0xba:
        f->ext = true;
        return true;
    case 0xb8: /* POPCNT, TZCNT or BSF, LZCNT or BSR */
    case 0xbc:
    case 0xbd:
        if (insn->op == OP_POPCNT || insn->op == OP_TZCNT || insn->op == OP_LZCNT) {
            f->flags |= EMIT_F3;
        }
        return true;
    default:
        return false;
    }
}

static bool writes_guest(const Insn *insn, unsigned guest)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if ((op->kind == OPND_GPR || op->kind == OPND_GPR8H) && op->reg == guest &&
            op->access & OPND_WRITE) {
            return true;
        }
    }
    return false;
}

/* Whether the register's value before matters, be it that only a part of it is replaced. */
static bool reads_guest(const Insn *insn, unsigned guest)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if (op->kind == OPND_GPR && op->reg == guest && (op->access & OPND_READ || op->size < 4)) {
            return true;
        }
    }
    return false;
}

static const InsnOperand *memory_operand(const Insn *insn)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_MEM) {
            return &insn->ops[i];
        }
    }
    return NULL;
}

static unsigned size_flags(const Insn *insn)
{
    return insn->opsize == 8 ? EMIT_W : insn->opsize == 2 ? EMIT_66 : 0;
}

static void emit_raw_imm(Translator *t)
{
    emit_bytes(&t->e, t->insn->raw + t->insn->off_imm, t->insn->imm_size);
}

/* Within so many instructions a register's next use makes it worth a host register. */
enum { SOON = 8 };

static unsigned registers_of(HostRm rm)
{
    return (rm.base == H_NONE ? 0 : 1u << rm.base) | (rm.index == H_NONE ? 0 : 1u << rm.index);
}

/* A host register to work on one of R12 to R15, with its value where that counts; work_done() ends it. */
static unsigned gen_work_register(Translator *t, unsigned guest, bool reads, unsigned busy)
{
    unsigned host = host_now(t, guest);

    if (host == H_NONE) {
        host = choose_scratch(t, busy);
        if (reads) {
            emit_load(&t->e, W64, host, env_reg(guest));
        }
    }
    return host;
}

static void work_done(Translator *t, unsigned guest, unsigned host, bool written)
{
    if (written) {
        gen_store_guest(t, guest, host);
    } else {
        keep_guest(t, host, guest);
    }
}

/* BT and its kin with a bit index in a register: the operand lies off the address by as many words as the index says. */
static bool gen_bit_string(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned size = insn->opsize, index = (insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8u : 0);
    HostRm temp = rm_env(offsetof(CPUX86State, jit_temp));

    if (size == 2 || insn->addrsize != t->word || !can_address(t)) {
        return false;
    }
    gen_flags_away(t);
    gen_load_guest(t, S1, index);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (int32_t)(8 * size - 1));
    emit_store(e, W64, temp, S1);
    gen_address(t);
    gen_load_guest(t, S1, index);
    if (size == 4) {
        emit_shl(e, W64, S1, 32);
        emit_sar(e, W64, S1, 32 + 5);
    } else {
        emit_sar(e, W64, S1, 6);
    }
    emit_shl(e, W64, S1, size == 4 ? 2 : 3);
    emit_alu(e, t->word, ALU_ADD, S0, rm_reg(S1));
    t->address_key |= KEY_BIT_OFFSET(index);
    t->fixed = false;
    gen_translate(t, size, insn->op == OP_BT ? MMU_READ : MMU_WRITE);
    gen_flags_back(t);
    emit_load(e, W64, S1, temp);
    emit_op(e, EMIT_0F | size_flags(insn) | (insn->prefixes & INSN_PFX_LOCK ? EMIT_LOCK : 0), insn->opcode, S1,
            rm_mem(S0, 0));
    return true;
}

static bool gen_modrm(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    ModrmForm f = {0};
    bool mem = insn->modrm < 0xc0;

    if (!insn->off_modrm || insn->prefixes & INSN_PFX_VEX ||
        !(insn->map == INSN_MAP_1    ? form_map1(insn, &f)
          : insn->map == INSN_MAP_0F ? form_map0f(insn, &f)
                                     : false)) {
        return false;
    }
    unsigned reg = (insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8u : 0);
    unsigned rm = (insn->modrm & 7) | (insn->rex & 1 ? 8u : 0);
    bool reg_high = !f.ext && f.reg_byte && !insn->rex && reg >= 4;
    bool rm_high = !mem && f.rm_byte && !insn->rex && rm >= 4;
    if (reg_high || rm_high) {
        /* These exist only without REX. */
        if (mem || (!reg_high && !f.ext && reg == R_SP) || (!rm_high && rm == R_SP)) {
            return false;
        }
    }
    if (mem && insn->flags & INSN_MEM_BITSTRING) {
        return gen_bit_string(t);
    }
    if (mem && (!can_address(t) || !memory_operand(insn))) {
        return false;
    }

    unsigned flags = f.flags | size_flags(insn);
    unsigned host_reg = f.ext || reg_high ? reg : host_of(reg);
    bool reg_in_state = host_reg == H_NONE, rm_in_state = false;
    HostRm host_rm;
    if (mem) {
        const InsnOperand *op = memory_operand(insn);
        host_rm = gen_mem(t, insn->mem_size, op->access & OPND_WRITE ? MMU_WRITE : MMU_READ);
        if (insn->prefixes & INSN_PFX_LOCK) {
            flags |= EMIT_LOCK;
        }
    }
    unsigned busy = mem ? registers_of(host_rm) : 0;
    if (!mem && !rm_high && rm != reg && host_now(t, rm) != H_NONE) {
        busy |= 1u << host_now(t, rm); /* the one that is written must not be where the other is kept */
    }
    if (reg_in_state) {
        host_reg = gen_work_register(t, reg, reads_guest(insn, reg) || (!mem && rm == reg), busy);
        busy |= 1u << host_reg;
    }
    if (!mem) {
        host_rm = rm_reg(rm_high ? rm : host_of(rm));
        if (host_rm.base == H_NONE && !f.ext && rm == reg) {
            host_rm = rm_reg(host_reg);
        } else if (host_rm.base == H_NONE && host_now(t, rm) == H_NONE && !writes_guest(insn, rm) && insn->op != OP_BT &&
                   next_use(t, rm) > SOON) {
            host_rm = env_reg(rm); /* BT with memory would address by the whole index */
        } else if (host_rm.base == H_NONE) {
            rm_in_state = true;
            host_rm = rm_reg(gen_work_register(t, rm, reads_guest(insn, rm), busy));
        }
    }
    if (!f.ext && f.reg_byte && !reg_high) {
        flags |= EMIT_LOW_REG;
    }
    if (f.rm_byte && !rm_high) {
        flags |= EMIT_LOW_RM;
    }
    emit_op(e, flags, insn->opcode, host_reg, host_rm);
    emit_raw_imm(t);
    if (reg_in_state) {
        work_done(t, reg, host_reg, writes_guest(insn, reg));
    }
    if (rm_in_state) {
        work_done(t, rm, host_rm.base, writes_guest(insn, rm));
    }
    return true;
}

/* ---- one register in the opcode, accumulator forms ---- */

static unsigned opcode_reg(const Insn *insn)
{
    return (insn->opcode & 7) | (insn->rex & 1 ? 8u : 0);
}

enum { OPC_GROUP11_8 = 0xc6, OPC_GROUP11 = 0xc7, OPC_GROUP4_5 = 0xff, OPC_XCHG = 0x87 };

static bool gen_mov_imm(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned guest = opcode_reg(insn);
    bool byte = insn->opcode < 0xb8, high = byte && !insn->rex && guest >= 4;

    bool in_state = !high && host_of(guest) == H_NONE;
    unsigned host = high ? guest : in_state ? gen_work_register(t, guest, insn->opsize < 4 || byte, 0) : host_of(guest);
    if (byte) {
        emit_op(&t->e, high ? 0 : EMIT_LOW_RM, OPC_GROUP11_8, 0, rm_reg(host));
        emit_raw_imm(t);
    } else if (insn->opsize == 2) {
        emit_op(&t->e, EMIT_66, OPC_GROUP11, 0, rm_reg(host));
        emit_raw_imm(t);
    } else {
        emit_mov_imm(&t->e, host, insn->opsize == 4 ? (uint32_t)insn->imm : (uint64_t)insn->imm);
    }
    if (in_state) {
        work_done(t, guest, host, true);
    }
    return true;
}

/* MOV between the accumulator and an absolute address. */
static bool gen_mov_moffs(Translator *t)
{
    const Insn *insn = t->insn;
    bool write = insn->opcode & 2;
    unsigned width = insn->opcode & 1 ? insn->opsize : W8;

    if (!can_address(t)) {
        return false;
    }
    HostRm rm = gen_mem(t, width, write ? MMU_WRITE : MMU_READ);
    if (write) {
        emit_store(&t->e, width, rm, H_AX);
    } else {
        emit_load(&t->e, width, H_AX, rm);
    }
    return true;
}

static bool gen_mov(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->map == INSN_MAP_1 && insn->opcode >= 0xb0 && insn->opcode <= 0xbf) {
        return gen_mov_imm(t);
    }
    if (insn->map == INSN_MAP_1 && insn->opcode >= 0xa0 && insn->opcode <= 0xa3) {
        return gen_mov_moffs(t);
    }
    return gen_modrm(t);
}

static bool gen_alu(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->off_modrm) {
        return gen_modrm(t);
    }
    /* AL, AX, EAX, RAX and an immediate: as it stands */
    if (insn->opsize == 2) {
        emit_byte(&t->e, 0x66);
    } else if (insn->opsize == 8) {
        emit_byte(&t->e, 0x48);
    }
    emit_byte(&t->e, insn->opcode);
    emit_raw_imm(t);
    return true;
}

static bool gen_inc_dec(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->off_modrm) {
        return gen_modrm(t);
    }
    emit_op(&t->e, size_flags(insn), OPC_GROUP4_5, insn->op == OP_DEC, rm_reg(host_of(opcode_reg(insn))));
    return true;
}

static bool gen_xchg(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->off_modrm) {
        return gen_modrm(t);
    }
    unsigned guest = opcode_reg(insn);
    bool in_state = host_of(guest) == H_NONE;
    unsigned host = in_state ? gen_work_register(t, guest, true, 0) : host_of(guest);
    emit_op(&t->e, size_flags(insn), OPC_XCHG, H_AX, rm_reg(host));
    if (in_state) {
        work_done(t, guest, host, true);
    }
    return true;
}

static bool gen_bswap(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned guest = opcode_reg(insn);

    if (insn->opsize == 2) {
        return false;
    }
    bool in_state = host_of(guest) == H_NONE;
    unsigned host = in_state ? gen_work_register(t, guest, true, 0) : host_of(guest);
    emit_bswap(&t->e, insn->opsize, host);
    if (in_state) {
        work_done(t, guest, host, true);
    }
    return true;
}

/* CBW, CWD and their wider forms. */
static bool gen_extend(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->opsize == 2) {
        emit_byte(&t->e, 0x66);
    } else if (insn->opsize == 8) {
        emit_byte(&t->e, 0x48);
    }
    emit_byte(&t->e, insn->opcode);
    return true;
}

static bool gen_lea(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned guest = (insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8u : 0);
    bool in_state = host_of(guest) == H_NONE;
    Insn plain = *insn;

    if (insn->opsize > 2 && insn->addrsize > 2) {
        unsigned host = in_state ? S0 : host_of(guest);
        gen_lea_to(t, host);
        if (in_state) {
            gen_store_guest(t, guest, host);
        }
        return true;
    }
    if (t->mode64) {
        return false;
    }
    plain.seg = SEG_DS;
    t->insn = &plain;
    gen_address(t);
    t->insn = insn;
    emit_mov(&t->e, insn->opsize, host_of(guest), S0); /* there is no R12 */
    return true;
}

/* ---- the stack ---- */

static void gen_move_sp(Translator *t, int32_t by)
{
    emit_lea(&t->e, t->word, GUEST_SP, rm_mem(GUEST_SP, by));
}

static bool gen_push(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;

    if (insn->opsize != t->word) {
        return false;
    }
    int32_t below = -(int32_t)t->word;
    HostRm rm;
    switch (insn->ops[0].kind) {
    case OPND_GPR: {
        unsigned guest = insn->ops[0].reg, host = host_of(guest);
        rm = gen_stack_mem(t, below, MMU_WRITE);
        if (host == H_NONE) {
            host = gen_guest_to_read(t, guest, 1u << S0 | 1u << S2);
        }
        emit_store(e, t->word, rm, host);
        break;
    }
    case OPND_IMM:
        rm = gen_stack_mem(t, below, MMU_WRITE);
        emit_store_imm(e, t->word, rm, (int32_t)insn->imm);
        break;
    case OPND_MEM: {
        HostRm temp = rm_env(offsetof(CPUX86State, jit_temp));
        if (!can_address(t)) {
            return false;
        }
        emit_load(e, t->word, S1, gen_mem(t, t->word, MMU_READ));
        emit_store(e, W64, temp, S1);
        rm = gen_stack_mem(t, below, MMU_WRITE);
        emit_load(e, W64, S1, temp);
        emit_store(e, t->word, rm, S1);
        break;
    }
    default:
        return false;
    }
    gen_move_sp(t, -(int32_t)t->word);
    return true;
}

static bool gen_pop(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned guest = insn->ops[0].reg;

    if (insn->opsize != t->word || insn->ops[0].kind != OPND_GPR) {
        return false;
    }
    HostRm rm = gen_stack_mem(t, 0, MMU_READ);
    if (host_of(guest) == H_NONE) {
        emit_load(&t->e, t->word, S1, rm);
        gen_store_guest(t, guest, S1);
    } else {
        emit_load(&t->e, t->word, host_of(guest), rm);
    }
    if (guest != R_SP) {
        gen_move_sp(t, (int32_t)t->word);
    }
    return true;
}

static bool gen_leave(Translator *t)
{
    if (t->insn->opsize != t->word) {
        return false;
    }
    gen_flags_away(t);
    emit_mov(&t->e, t->word, S0, H_BP);
    t->address_key = KEY_BASE(R_BP) | KEY_INDEX(KEY_NO_REGISTER);
    gen_translate(t, t->word, MMU_READ);
    gen_flags_back(t);
    emit_lea(&t->e, t->word, GUEST_SP, rm_mem(H_BP, (int32_t)t->word));
    emit_load(&t->e, t->word, H_BP, rm_mem(S0, 0));
    return true;
}

/* ---- division: the host must never fault, so what might overflow goes to the handler ---- */

enum { OPC_GROUP3 = 0xf7, GROUP3_DIV = 6, GROUP3_IDIV = 7 };

static bool gen_divide(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned width = insn->opsize;

    if (width < 4) {
        return false;
    }
    if (insn->ops[0].kind == OPND_MEM) {
        if (!can_address(t)) {
            return false;
        }
        gen_flags_away(t);
        gen_address(t);
        gen_translate(t, width, MMU_READ);
        emit_load(e, width, S0, rm_mem(S0, 0));
    } else {
        gen_flags_away(t);
        gen_load_guest(t, S0, insn->ops[0].reg);
    }
    if (insn->op == OP_DIV) {
        emit_alu(e, width, ALU_CMP, H_DX, rm_reg(S0));
        gen_slow_unless(t, COND_B);
        gen_flags_to_eflags(t); /* undefined afterwards, but as the host makes them */
        emit_op(e, size_flags(insn), OPC_GROUP3, GROUP3_DIV, rm_reg(S0));
        return true;
    }
    /* A dividend that is just a sign-extended accumulator overflows by 0 and -1 only. */
    emit_mov(e, width, S1, H_AX);
    emit_sar(e, width, S1, 8 * width - 1);
    emit_alu(e, width, ALU_CMP, S1, rm_reg(H_DX));
    gen_slow_unless(t, COND_E);
    emit_lea(e, width, S1, rm_mem(S0, 1));
    emit_alu_imm(e, width, ALU_CMP, rm_reg(S1), 2);
    gen_slow_unless(t, COND_AE);
    gen_flags_to_eflags(t);
    emit_op(e, size_flags(insn), OPC_GROUP3, GROUP3_IDIV, rm_reg(S0));
    return true;
}

bool gen_integer(Translator *t)
{
    const Insn *insn = t->insn;

    switch (insn->op) {
    case OP_ADD:
    case OP_OR:
    case OP_ADC:
    case OP_SBB:
    case OP_AND:
    case OP_SUB:
    case OP_XOR:
    case OP_CMP:
    case OP_TEST:
        return gen_alu(t);
    case OP_MOV:
        return gen_mov(t);
    case OP_INC:
    case OP_DEC:
        return gen_inc_dec(t);
    case OP_NOT:
    case OP_NEG:
    case OP_MUL:
    case OP_IMUL:
    case OP_ROL:
    case OP_ROR:
    case OP_RCL:
    case OP_RCR:
    case OP_SHL:
    case OP_SHR:
    case OP_SAR:
    case OP_SHLD:
    case OP_SHRD:
    case OP_BT:
    case OP_BTS:
    case OP_BTR:
    case OP_BTC:
    case OP_BSF:
    case OP_BSR:
    case OP_POPCNT:
    case OP_LZCNT:
    case OP_TZCNT:
    case OP_CMPXCHG:
    case OP_XADD:
    case OP_MOVZX:
    case OP_MOVSX:
    case OP_MOVSXD:
    case OP_CMOVCC:
    case OP_SETCC:
    case OP_MOVNTI:
        return gen_modrm(t);
    case OP_DIV:
    case OP_IDIV:
        return gen_divide(t);
    case OP_XCHG:
        return gen_xchg(t);
    case OP_BSWAP:
        return gen_bswap(t);
    case OP_LEA:
        return gen_lea(t);
    case OP_PUSH:
        return gen_push(t);
    case OP_POP:
        return gen_pop(t);
    case OP_LEAVE:
        return gen_leave(t);
    case OP_CBW:
    case OP_CWD:
        return gen_extend(t);
    case OP_LAHF:
    case OP_SAHF:
    case OP_CLC:
    case OP_STC:
    case OP_CMC:
        emit_byte(&t->e, insn->opcode);
        return true;
    case OP_NOP:
    case OP_ENDBR32:
    case OP_ENDBR64:
    case OP_PREFETCHT0:
    case OP_PREFETCHT1:
    case OP_PREFETCHT2:
    case OP_PREFETCHNTA:
    case OP_PREFETCH:
    case OP_PREFETCHW:
        return true;
    default:
        return false;
    }
}
