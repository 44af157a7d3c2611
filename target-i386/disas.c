/*
 * Prints decoded instructions in Intel's syntax.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/disas.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct Printer {
    char *buf;
    size_t size, used;
} Printer;

static void __attribute__((format(printf, 2, 3))) put(Printer *p, const char *format, ...)
{
    va_list args;
    int n;

    if (p->used >= p->size)
        return;
    va_start(args, format);
    n = vsnprintf(p->buf + p->used, p->size - p->used, format, args);
    va_end(args);
    if (n > 0)
        p->used += n;
}

static void put_lower(Printer *p, const char *text)
{
    for (; *text; text++)
        put(p, "%c", tolower((unsigned char)*text));
}

static const char *const segment_names[6] = {"es", "cs", "ss", "ds", "fs", "gs"};

static void put_gpr(Printer *p, unsigned reg, unsigned size)
{
    static const char *const names[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    static const char *const low[8] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};

    if (reg >= 8)
        put(p, "r%u%s", reg, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
    else if (size == 1)
        put(p, "%s", low[reg]);
    else
        put(p, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", names[reg]);
}

static uint64_t truncated(uint64_t value, unsigned size)
{
    return size >= 8 ? value : value & ((1ull << (8 * size)) - 1);
}

static const char *pointer_size(const Insn *insn)
{
    switch (insn->mem_size) {
    case 1:
        return "byte ptr ";
    case 2:
        return "word ptr ";
    case 4:
        return "dword ptr ";
    case 6:
        return "fword ptr ";
    case 8:
        return "qword ptr ";
    case 10:
        return "tbyte ptr ";
    case 16:
        return "xmmword ptr ";
    case 32:
        return "ymmword ptr ";
    default:
        return "";
    }
}

static void put_address(Printer *p, const Insn *insn)
{
    const char *plus = "";

    if (insn->seg_override != INSN_SEG_NONE && insn->seg == insn->seg_override)
        put(p, "%s:", segment_names[insn->seg]);
    put(p, "[");
    if (insn->base == INSN_REG_RIP)
        put(p, insn->addrsize == 8 ? "rip" : "eip");
    else if (insn->base != INSN_REG_NONE)
        put_gpr(p, insn->base, insn->addrsize);
    if (insn->base != INSN_REG_NONE)
        plus = "+";
    if (insn->index != INSN_REG_NONE) {
        put(p, "%s", plus);
        if (insn->index_kind == OPND_GPR)
            put_gpr(p, insn->index, insn->addrsize);
        else
            put(p, "%cmm%u", insn->index_kind == OPND_YMM ? 'y' : 'x', insn->index);
        if (insn->addrsize != 2)
            put(p, "*%u", insn->scale);
        plus = "+";
    }
    if (!*plus)
        put(p, "0x%" PRIx64, truncated(insn->disp, insn->addrsize));
    else if (insn->disp < 0)
        put(p, "-0x%" PRIx64, -(uint64_t)insn->disp);
    else if (insn->disp > 0)
        put(p, "+0x%" PRIx64, (uint64_t)insn->disp);
    put(p, "]");
}

static void put_immediate(Printer *p, const Insn *insn, unsigned index)
{
    bool second = index > 0 && insn->ops[index - 1].kind == OPND_IMM;

    if (second)
        put(p, "0x%x", insn->imm2);
    else
        put(p, "0x%" PRIx64, truncated(insn->imm, insn->imm < 0 ? insn->opsize : 8));
}

static void put_operand(Printer *p, const Insn *insn, unsigned index, uint64_t ip)
{
    const InsnOperand *op = &insn->ops[index];

    switch (op->kind) {
    case OPND_GPR:
        put_gpr(p, op->reg, op->size ? op->size : insn->addrsize);
        break;
    case OPND_GPR8H:
        put(p, "%ch", "acdb"[op->reg & 3]);
        break;
    case OPND_MEM:
        put(p, "%s", pointer_size(insn));
        put_address(p, insn);
        break;
    case OPND_IMM:
        put_immediate(p, insn, index);
        break;
    case OPND_REL:
        put(p, "0x%" PRIx64, truncated(ip + insn->len + (uint64_t)insn->imm, insn->opsize));
        break;
    case OPND_FAR:
        put(p, "0x%x:0x%" PRIx64, insn->imm2, (uint64_t)insn->imm);
        break;
    case OPND_SEG:
        put(p, "%s", op->reg < 6 ? segment_names[op->reg] : "?");
        break;
    case OPND_CR:
        put(p, "cr%u", op->reg);
        break;
    case OPND_DR:
        put(p, "dr%u", op->reg);
        break;
    case OPND_ST:
        put(p, "st(%u)", op->reg);
        break;
    case OPND_MMX:
        put(p, "mm%u", op->reg);
        break;
    case OPND_XMM:
        put(p, "xmm%u", op->reg);
        break;
    case OPND_YMM:
        put(p, "ymm%u", op->reg);
        break;
    default:
        put(p, "?");
        break;
    }
}

static void put_prefixes(Printer *p, const Insn *insn)
{
    if (insn->prefixes & INSN_PFX_LOCK)
        put(p, "lock ");
    if (!(insn->flags & INSN_STRING))
        return;
    if (insn->op == OP_CMPS || insn->op == OP_SCAS) {
        if (insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE))
            put(p, insn->prefixes & INSN_PFX_REP ? "repe " : "repne ");
    } else if (insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE)) {
        put(p, "rep ");
    }
    if (insn->prefixes & INSN_PFX_SEG && insn->op != OP_STOS && insn->op != OP_SCAS &&
        insn->op != OP_INS)
        put(p, "%s ", segment_names[insn->seg]);
    if (insn->prefixes & INSN_PFX_67)
        put(p, "a%u ", insn->addrsize * 8);
}

static void put_mnemonic(Printer *p, const Insn *insn)
{
    static const char *const conditions[16] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                               "s", "ns", "p", "np", "l", "ge", "le", "g"};
    static const char *const by_size[][4] = {
        {"cbw", "cbw", "cwde", "cdqe"},     {"cwd", "cwd", "cdq", "cqo"},
        {"iret", "iret", "iretd", "iretq"}, {"pushf", "pushf", "pushfd", "pushfq"},
        {"popf", "popf", "popfd", "popfq"}, {"pusha", "pusha", "pushad", "?"},
        {"popa", "popa", "popad", "?"},
    };
    static const uint16_t sized_ops[] = {OP_CBW,  OP_CWD,   OP_IRET, OP_PUSHF,
                                         OP_POPF, OP_PUSHA, OP_POPA};
    unsigned size = insn->opsize == 8 ? 3 : insn->opsize / 2;

    for (size_t i = 0; i < sizeof(sized_ops) / sizeof(sized_ops[0]); i++) {
        if (insn->op == sized_ops[i]) {
            put(p, "%s", by_size[i][size]);
            return;
        }
    }
    if (insn->op == OP_JCXZ) {
        put(p, insn->addrsize == 2 ? "jcxz" : insn->addrsize == 4 ? "jecxz" : "jrcxz");
        return;
    }
    put_lower(p, insn_op_name(insn->op));
    if (insn->op == OP_JCC || insn->op == OP_SETCC || insn->op == OP_CMOVCC)
        put(p, "%s", conditions[insn->cond & 15]);
    else if (insn->flags & INSN_STRING)
        put(p, "%c", "bwdq"[size]);
}

char *insn_print(const Insn *insn, uint64_t ip, char *buf, size_t size)
{
    Printer p = {.buf = buf, .size = size};

    buf[0] = 0;
    if (insn->op == OP_INVALID) {
        put(&p, "(bad)");
        return buf;
    }
    put_prefixes(&p, insn);
    put_mnemonic(&p, insn);
    for (unsigned i = 0; i < insn->nops && i < INSN_MAX_OPERANDS; i++) {
        put(&p, i ? ", " : " ");
        put_operand(&p, insn, i, ip);
    }
    return buf;
}
