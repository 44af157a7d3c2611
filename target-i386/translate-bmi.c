/*
 * The translator: BMI1, BMI2, ADX, CRC32, MOVBE and random numbers, on general registers. Emitted again as they are where the
 * host has them, with scratch registers for those guest registers that live in CPUX86State; MOVBE as a move and BSWAP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

/* ---- what the host has ---- */

static bool host_can(uint16_t op)
{
    switch (op) {
    case OP_ANDN:
    case OP_BEXTR:
    case OP_BLSI:
    case OP_BLSMSK:
    case OP_BLSR:
        return __builtin_cpu_supports("bmi");
    case OP_BZHI:
    case OP_MULX:
    case OP_PDEP:
    case OP_PEXT:
    case OP_RORX:
    case OP_SARX:
    case OP_SHLX:
    case OP_SHRX:
        return __builtin_cpu_supports("bmi2");
    case OP_ADCX:
    case OP_ADOX:
        return __builtin_cpu_supports("adx");
    case OP_CRC32:
        return __builtin_cpu_supports("sse4.2");
    case OP_MOVBE:
        return true;
    case OP_RDRAND: /* the executor uses the host's, too */
    case OP_RDSEED:
        return true;
    default:
        return false;
    }
}

/* ---- operands ---- */

static bool has_memory(const Insn *insn)
{
    return insn->modrm < 0xc0;
}

/* A host register with the guest's value: its own or a scratch register. */
static unsigned load_reg(Translator *t, unsigned guest, unsigned scratch)
{
    if (host_of(guest) != H_NONE) {
        return host_of(guest);
    }
    emit_load(&t->e, W64, scratch, env_reg(guest));
    return scratch;
}

static void store_reg(Translator *t, unsigned guest, unsigned host)
{
    if (host_of(guest) == H_NONE) {
        emit_store(&t->e, W64, env_reg(guest), host);
    }
}

/* The operand in ModRM.rm: memory at S0, or a register, in S0 when it lives in CPUX86State. */
static HostRm load_rm(Translator *t, unsigned rm)
{
    if (has_memory(t->insn)) {
        gen_operand(t, t->insn->mem_size, MMU_READ);
        t->delta_slot = 0; /* S2 may be used for another operand */
        return rm_mem(S0, 0);
    }
    t->delta_slot = 0;
    return rm_reg(load_reg(t, rm, S0));
}

/* ---- with VEX ---- */

static VexForm vex_form(const Insn *insn, unsigned vvvv)
{
    return (VexForm){.map = (uint8_t)insn->map, .pp = insn->pp, .vvvv = (uint8_t)vvvv, .w = insn->opsize == 8};
}

/* Destination in ModRM.reg, sources in vvvv and ModRM.rm; MULX has a second destination in vvvv. */
static void gen_three(Translator *t)
{
    const Insn *insn = t->insn;
    bool mulx = insn->op == OP_MULX;
    unsigned reg, rm, vvvv = insn->vvvv & (t->mode64 ? 15 : 7);

    modrm_registers(t, &reg, &rm);
    HostRm source = load_rm(t, rm);
    unsigned host_v = load_reg(t, vvvv, S2);
    unsigned host_reg = host_of(reg) == H_NONE ? (unsigned)S1 : host_of(reg);
    emit_vex(&t->e, vex_form(insn, host_v), insn->opcode, host_reg, source);
    if (mulx) {
        store_reg(t, vvvv, host_v);
    }
    store_reg(t, reg, host_reg);
}

/* Destination in vvvv; ModRM.reg is part of the opcode. */
static void gen_lowest_bit(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned reg, rm, vvvv = insn->vvvv & (t->mode64 ? 15 : 7);

    modrm_registers(t, &reg, &rm);
    HostRm source = load_rm(t, rm);
    unsigned host_v = host_of(vvvv) == H_NONE ? (unsigned)S2 : host_of(vvvv);
    emit_vex(&t->e, vex_form(insn, host_v), insn->opcode, insn->modrm >> 3 & 7, source);
    store_reg(t, vvvv, host_v);
}

static void gen_rorx(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned reg, rm;

    modrm_registers(t, &reg, &rm);
    HostRm source = load_rm(t, rm);
    unsigned host_reg = host_of(reg) == H_NONE ? (unsigned)S1 : host_of(reg);
    emit_vex(&t->e, vex_form(insn, 0), insn->opcode, host_reg, source);
    emit_bytes(&t->e, insn->raw + insn->off_imm, insn->imm_size);
    store_reg(t, reg, host_reg);
}

/* ---- without ---- */

/* ModRM.reg op= ModRM.rm: ADCX, ADOX, CRC32. */
static bool gen_accumulate(Translator *t)
{
    static const unsigned prefixes[4] = {0, EMIT_66, EMIT_F3, EMIT_F2};
    const Insn *insn = t->insn;
    bool crc = insn->op == OP_CRC32, byte = crc && !(insn->opcode & 1);
    unsigned reg, rm, flags = EMIT_0F | EMIT_0F38 | prefixes[insn->pp];

    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR8H) {
            return false;
        }
    }
    flags |= insn->prefixes & INSN_PFX_W ? EMIT_W : 0;
    flags |= byte ? EMIT_LOW_RM : 0;
    flags |= crc && !byte && insn->opsize == 2 ? EMIT_66 : 0;
    modrm_registers(t, &reg, &rm);
    HostRm source = load_rm(t, rm);
    unsigned host_reg = load_reg(t, reg, S1);
    emit_op(&t->e, flags, insn->opcode, host_reg, source);
    store_reg(t, reg, host_reg);
    return true;
}

static bool gen_movbe(Translator *t)
{
    const Insn *insn = t->insn;
    bool store = insn->flags & INSN_MEM_WRITE;
    unsigned reg, rm, width = insn->opsize;

    if (width == W16) {
        return false;
    }
    modrm_registers(t, &reg, &rm);
    gen_operand(t, width, store ? MMU_WRITE : MMU_READ);
    if (store) {
        gen_load_guest(t, S1, reg);
        emit_bswap(&t->e, width, S1);
        emit_store(&t->e, width, rm_mem(S0, 0), S1);
    } else {
        emit_load(&t->e, width, S1, rm_mem(S0, 0));
        emit_bswap(&t->e, width, S1);
        gen_store_guest(t, reg, S1);
    }
    return true;
}

static void gen_random(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned reg, rm, size = insn->opsize;

    modrm_registers(t, &reg, &rm);
    unsigned host = load_reg(t, rm, S1);
    emit_op(&t->e, EMIT_0F | (size == 8 ? EMIT_W : size == 2 ? EMIT_66 : 0), insn->opcode, insn->modrm >> 3 & 7, rm_reg(host));
    store_reg(t, rm, host);
}

bool gen_bmi(Translator *t)
{
    const Insn *insn = t->insn;

    if (!host_can(insn->op) || (has_memory(insn) && !can_address(t))) {
        return false;
    }
    switch (insn->op) {
    case OP_BLSI:
    case OP_BLSMSK:
    case OP_BLSR:
        gen_lowest_bit(t);
        return true;
    case OP_RORX:
        gen_rorx(t);
        return true;
    case OP_ADCX:
    case OP_ADOX:
    case OP_CRC32:
        return gen_accumulate(t);
    case OP_MOVBE:
        return gen_movbe(t);
    case OP_RDRAND:
    case OP_RDSEED:
        if (t->env->lockstep) {
            return false; /* the other engine would get another number */
        }
        gen_random(t);
        return true;
    default:
        gen_three(t);
        return true;
    }
}
