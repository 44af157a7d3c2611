/*
 * Instructions of random programs: any form of the decoder's tables, its memory operand mostly where there is something.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/oracle/program.h"

#include <string.h>

#include "tests/oracle/oracle.h"

enum { REG_CX = 1, REG_SP = 4 };

static unsigned below(unsigned n)
{
    return (unsigned)(oracle_random() % n);
}

static bool chance(unsigned percent)
{
    return below(100) < percent;
}

/* Registers that hold pointers: BX BP SI DI, and R13 to R15 in 64-bit code; CX and R9 are small. */
static bool is_pointer(unsigned reg)
{
    return reg == 3 || (reg >= REG_SP && reg <= 7) || reg >= 13;
}

static bool is_index(unsigned reg)
{
    return reg == REG_CX || reg == 9 || reg == 12 || reg >= 16;
}

static bool writes_pointer(const Insn *insn)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if (op->kind == OPND_GPR && op->access & OPND_WRITE && (is_pointer(op->reg) || op->reg == 9)) {
            return true;
        }
    }
    return false;
}

/* Makes the memory operand lie where there is something, mostly. False: not with this encoding. */
static bool aim_operand(const ProgramSpace *s, Insn *insn, uint8_t *code, uint64_t rip)
{
    if (!insn->off_modrm || insn->modrm >= 0xc0 || insn->op == OP_LEA) {
        return true;
    }
    bool vsib = insn->flags & INSN_VSIB;
    if (insn->addrsize == 2 || (!vsib && insn->index < 16 && !is_index(insn->index)) || (vsib && chance(80))) {
        return false;
    }
    if (insn->base < 16 && !is_pointer(insn->base)) {
        return false;
    }
    if (insn->disp_size == 4) {
        uint32_t disp = (uint32_t)(below(80) - 40);
        if (insn->base == INSN_REG_RIP) {
            disp = (uint32_t)(s->pointer(s->opaque) - rip - insn->len);
        } else if (insn->base >= 16) {
            disp = (uint32_t)s->pointer(s->opaque);
        }
        memcpy(code + insn->off_disp, &disp, 4);
    }
    return true;
}

unsigned program_insn(const ProgramSpace *s, uint8_t *code, uint64_t rip)
{
    InsnForm form;
    Insn insn;

    insn_form(oracle_random() % insn_form_count(), &form);
    if (!s->wanted(&form)) {
        return 0;
    }
    size_t len = generate_bytes(&form, s->mode64, code);
    if (!len || guest_decode(code, (unsigned)len, s->mode64, &insn) != INSN_OK || insn.len > len ||
        !aim_operand(s, &insn, code, rip) || (writes_pointer(&insn) && chance(95))) {
        return 0;
    }
    if (insn.flags & INSN_STRING && insn.prefixes & (INSN_PFX_REP | INSN_PFX_REPNE) && chance(90)) {
        uint8_t with_count[20] = {0xb9, (uint8_t)below(60)}; /* mov $n,%ecx */
        memcpy(with_count + 5, code, insn.len);
        memcpy(code, with_count, insn.len + 5u <= 15 ? insn.len + 5u : insn.len);
        return insn.len + 5u <= 15 ? insn.len + 5u : 0;
    }
    return insn.len;
}

unsigned program_rel32(uint8_t *code, unsigned opcode_size, uint64_t rip, uint64_t target)
{
    uint32_t rel = (uint32_t)(target - rip - opcode_size - 4);

    memcpy(code + opcode_size, &rel, 4);
    return opcode_size + 4;
}

unsigned program_code_store(const ProgramSpace *s, uint8_t *code, uint64_t rip)
{
    static const uint8_t opcodes[][2] = {{0xc6, 1}, {0xc7, 4}, {0x80, 1}};
    unsigned o = below(3), len = 6u + opcodes[o][1];
    uint64_t target = chance(50) ? rip + len + below(24) : s->place(s->opaque);

    code[0] = opcodes[o][0];
    code[1] = (uint8_t)(0x05 | (o == 2 ? 0x30 : 0)); /* movb, movl; xorb */
    uint32_t disp = (uint32_t)(s->mode64 ? target - rip - len : target);
    memcpy(code + 2, &disp, 4);
    uint32_t v = chance(50) ? 0x90909090 : (uint32_t)oracle_random();
    memcpy(code + 6, &v, opcodes[o][1]);
    return len;
}

unsigned program_set_pointer(const ProgramSpace *s, uint8_t *code)
{
    static const uint8_t regs[] = {3, 5, 6, 7, 3, 5};
    uint32_t v = (uint32_t)s->pointer(s->opaque);

    code[0] = (uint8_t)(0xb8 + regs[below(6)]);
    memcpy(code + 1, &v, 4);
    return 5;
}
