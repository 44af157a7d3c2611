/*
 * Makes the oracle's cases: an encoding of a form, operands from corner values and random ones, and
 * registers such that the memory operand lies (nearly always) where there is memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/oracle/oracle.h"

#include <string.h>

enum { AX, CX, DX, BX, SP, BP, SI, DI };

static uint64_t random_state;
static bool mxcsr_has_mm; /* AMD's misaligned mode */

void generate_init(uint32_t mxcsr_mask)
{
    mxcsr_has_mm = mxcsr_mask & 0x20000;
}

void oracle_seed(uint64_t seed)
{
    random_state = seed;
}

uint64_t oracle_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void oracle_seed_anew(uint64_t number)
{
    random_state = number;
    random_state = oracle_random();
}

static unsigned below(unsigned n)
{
    return (unsigned)(oracle_random() % n);
}

static bool chance(unsigned percent)
{
    return below(100) < percent;
}

/* ---- values ---- */

static uint64_t integer_value(void)
{
    static const uint64_t corners[] = {
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xfffffffffffffffe,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
    };

    switch (below(5)) {
    case 0:
    case 1:
        return corners[below(sizeof(corners) / sizeof(corners[0]))];
    case 2:
        return below(80);
    case 3:
        return (uint64_t)(int64_t)(int8_t)oracle_random();
    default:
        return oracle_random() >> below(64);
    }
}

static uint32_t single_value(void)
{
    static const uint32_t corners[] = {
        0,          0x80000000, 0x3f800000, 0xbf800000, 0x40000000, 0x7f800000,
        0xff800000, 0x7fc00000, 0xffc00000, 0x7fa00000, 0x7f800001, 0xffbfffff,
        1,          0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff,
        0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x4effffff,
    };

    return chance(60) ? corners[below(sizeof(corners) / sizeof(corners[0]))]
                      : (uint32_t)oracle_random();
}

static uint64_t double_value(void)
{
    static const uint64_t corners[] = {
        0,
        0x8000000000000000,
        0x3ff0000000000000,
        0xbff0000000000000,
        0x4000000000000000,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0xfff8000000000000,
        0x7ff4000000000000,
        0x7ff0000000000001,
        1,
        0x8000000000000001,
        0x000fffffffffffff,
        0x0010000000000000,
        0x7fefffffffffffff,
        0x41e0000000000000,
        0xc1e0000000000000,
        0x43e0000000000000,
        0xc3e0000000000000,
        0x36a0000000000000,
        0x3fe0000000000000,
        0x47efffffe0000000,
        0x380fffffffffffff,
    };

    return chance(60) ? corners[below(sizeof(corners) / sizeof(corners[0]))] : oracle_random();
}

/* n bytes, a multiple of 8, all of one kind. */
static void vector_value(uint8_t *to, size_t n)
{
    unsigned kind = below(6);

    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = oracle_random();
        switch (kind) {
        case 0:
            v = double_value();
            break;
        case 1:
            v = single_value() | (uint64_t)single_value() << 32;
            break;
        case 2:
            v = integer_value();
            break;
        case 3:
            for (unsigned b = 0; b < 8; b++) { /* masks */
                uint64_t byte = 0xffull << (8 * b);
                v = v >> b & 1 ? v | byte : v & ~byte;
            }
            break;
        case 4:
            v &= 0x0f0f0f0f0f0f0f0f;
            break;
        }
        memcpy(to + i, &v, 8);
    }
}

static void extended_value(uint8_t to[16])
{
    static const struct {
        uint64_t mantissa;
        uint16_t exponent;
    } corners[] = {
        {0, 0},
        {0, 0x8000},
        {1ull << 63, 0x3fff},
        {1ull << 63, 0xbfff},
        {0xc90fdaa22168c235, 0x4000},
        {1ull << 63, 0x7fff},
        {1ull << 63, 0xffff},
        {3ull << 62, 0x7fff},
        {3ull << 62, 0xffff},
        {0xa000000000000000, 0x7fff},
        {1, 0},
        {1ull << 63, 0},
        {1ull << 63, 1},
        {~0ull, 0x7ffe},
        {1ull << 62, 0x3fff},
        {0, 0x7fff},
        {1ull << 63, 0x403e},
        {1ull << 63, 0xc03e},
        {~0ull, 0x403d},
        {1ull << 63, 0x3c00},
        {~0ull, 0x43fe},
        {1ull << 63, 0x3ffe},
        {1ull << 63, 0x401e},
        {0xd000000000000000, 0x4005},
    };

    memset(to, 0, 16);
    if (chance(60)) {
        unsigned i = below(sizeof(corners) / sizeof(corners[0]));
        memcpy(to, &corners[i].mantissa, 8);
        memcpy(to + 8, &corners[i].exponent, 2);
        return;
    }
    uint64_t mantissa = oracle_random() | 1ull << 63;
    uint16_t exponent = (uint16_t)((0x3fff - 70 + below(140)) | (chance(50) ? 0x8000 : 0));
    memcpy(to, &mantissa, 8);
    memcpy(to + 8, &exponent, 2);
}

void generate_memory(uint8_t *memory, size_t size)
{
    for (size_t i = 0; i < size; i += 32) {
        vector_value(memory + i, 32);
    }
}

/* ---- state ---- */

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void random_fpu(OracleState *s)
{
    unsigned top = below(8), flags = chance(70) ? 0 : below(64), fcw = 0x037f;
    uint32_t mxcsr = 0x1f80 | below(4) << 13 | (chance(20) ? 0x8000 : 0) | (chance(20) ? 0x40 : 0) |
                     below(64) * chance(20);

    if (chance(50)) {
        fcw = 0x007f | below(4) << 10 | below(4) << 8;
    }
    if (chance(20)) {
        fcw = (fcw & ~0x3fu) | below(64);
        flags &= chance(80) ? fcw : 0x3f;
    }
    if (chance(20)) {
        mxcsr = (mxcsr & ~0x1f80u) | below(64) << 7;
        if (chance(70)) {
            mxcsr &= ~0x3fu;
        }
    }
    if (mxcsr_has_mm && chance(5)) {
        mxcsr |= 0x20000;
    }
    unsigned fsw = top << 11 | flags | (below(8) << 8) | (chance(50) ? 0x4000 : 0);
    if (flags & ~fcw & 0x3f) {
        fsw |= 0x8080;
    }
    memset(s->fx, 0, sizeof(s->fx));
    put16(s->fx, fcw);
    put16(s->fx + 2, fsw);
    s->fx[4] = (uint8_t)(chance(40) ? 0xff : oracle_random());
    memcpy(s->fx + 24, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++) {
        extended_value(s->fx + 32 + 16 * i);
        vector_value(s->fx + 160 + 16 * i, 16);
        vector_value(s->fx + 288 + 16 * i, 16);
        vector_value(s->ymmh[i], 16);
        vector_value(s->ymmh[8 + i], 16);
    }
}

static void random_state_of(OracleCase *c)
{
    OracleState *s = &c->in;

    for (unsigned i = 0; i < 16; i++) {
        s->regs[i] = integer_value();
        if (!c->mode64) {
            s->regs[i] = i < 8 ? (uint32_t)s->regs[i] : 0;
        }
    }
    s->eflags = 0x202 | ((uint32_t)oracle_random() & 0x8d5) | (chance(30) ? 0x400 : 0) |
                (chance(4) ? 0x40000 : 0);
    random_fpu(s);
}

/* ---- encoding ---- */

static size_t encode(const InsnForm *form, bool mode64, uint8_t code[15])
{
    InsnForm f = *form;
    uint8_t tail[12];

    for (unsigned i = 0; i < sizeof(tail); i++) {
        tail[i] = (uint8_t)(chance(30) ? integer_value() : oracle_random());
    }
    if (f.mod_reg == 1 || (f.mod_reg < 0 && chance(35))) {
        tail[0] |= 0xc0;
    } else if (tail[0] >= 0xc0) {
        tail[0] &= 0xbf;
    }
    if (f.w < 0 && (f.vex || mode64)) {
        f.w = chance(40);
    }
    if (f.vex && f.l < 0) {
        f.l = chance(50);
    }
    if (!f.vex && f.pp < 0 && chance(25)) {
        f.pp = 1;
    }
    for (size_t n = sizeof(tail); n >= 8; n--) {
        uint8_t bytes[15];
        uint8_t lock = !f.vex && f.flags & INSN_LOCKABLE && tail[0] < 0xc0 && chance(30);
        size_t len = insn_form_encode(&f, mode64 ? 8 : 4, (uint8_t)below(8), (uint8_t)below(16),
                                      tail, n, bytes);
        if (len == 0) {
            continue;
        }
        bool rep = f.flags & INSN_STRING && chance(60), small = mode64 && !f.vex && chance(5);
        size_t at = 0;
        if (lock && len < 15) {
            code[at++] = 0xf0;
        }
        if (rep && len + at < 15) {
            code[at++] = chance(50) ? 0xf2 : 0xf3;
        }
        if (small && len + at < 15) {
            code[at++] = 0x67;
        }
        if (f.vex && !mode64) {
            bytes[1] |= 0xc0;
        }
        memcpy(code + at, bytes, len);
        return at + len;
    }
    return 0;
}

size_t generate_bytes(const InsnForm *form, bool mode64, uint8_t code[15])
{
    return encode(form, mode64, code);
}

/* ---- memory operands ---- */

/* Where an operand of `size` bytes is to lie. */
static uint64_t pick_target(const Insn *insn, unsigned size)
{
    uint64_t t = ORACLE_DATA + 0x200 + below(0x1a00);

    if (insn->mem_align > 1 && !chance(5)) {
        t &= ~(uint64_t)(insn->mem_align - 1);
    } else if (chance(50)) {
        t &= ~15ull;
    }
    switch (below(60)) {
    case 0:
        return ORACLE_DATA + ORACLE_DATA_SIZE - below(size + 1); /* into the hole */
    case 1:
        return ORACLE_RO + (t & 0xf80);
    case 2:
        return ORACLE_DATA + 0x1000 - below(size + 1);
    case 3:
        return ORACLE_DATA - 0x800;
    default:
        return t;
    }
}

static uint64_t index_value(const OracleCase *c, const Insn *insn)
{
    return insn->index < 16 ? c->in.regs[insn->index] * insn->scale : 0;
}

static uint64_t operand_address(const OracleCase *c, const Insn *insn)
{
    uint64_t ea = (uint64_t)insn->disp + index_value(c, insn);

    if (insn->base < 16) {
        ea += c->in.regs[insn->base];
    } else if (insn->base == INSN_REG_RIP) {
        ea += c->in.rip + insn->len;
    }
    return insn->addrsize == 8 ? ea : (uint32_t)ea;
}

/* Chooses registers or displacement so that the operand comes to lie at t; false where that cannot
 * be. */
static bool aim(OracleCase *c, Insn *insn, uint64_t t)
{
    uint64_t mask = c->mode64 && insn->addrsize == 8 ? ~0ull : 0xffffffff;

    if (insn->addrsize == 2) {
        return false;
    }
    if (insn->base < 16) {
        if (insn->base == insn->index) {
            c->in.regs[insn->base] = ((t - (uint64_t)insn->disp) & mask) / (insn->scale + 1u);
        } else {
            c->in.regs[insn->base] = (t - (uint64_t)insn->disp - index_value(c, insn)) & mask;
        }
        return true;
    }
    if (insn->disp_size >= 4) {
        uint64_t base = insn->base == INSN_REG_RIP ? c->in.rip + insn->len : 0;
        if (insn->index < 16) {
            c->in.regs[insn->index] = below(256);
        }
        uint64_t disp = t - base - index_value(c, insn);
        memcpy(c->code + insn->off_disp, &disp, insn->disp_size);
        insn->disp = insn->disp_size == 4 ? (int64_t)(int32_t)disp : (int64_t)disp;
        return true;
    }
    return false;
}

/* Vector indices small enough to stay in the data pages. */
static void small_indices(OracleCase *c, const Insn *insn)
{
    unsigned size = insn->opcode & 1 ? 8 : 4;

    for (unsigned i = 0; i < 32 / size && insn->index < 16; i++) {
        int64_t v = (int64_t)below(0x40) - 0x20;
        uint8_t *to = i * size < 16 ? c->in.fx + 160 + 16 * insn->index + i * size
                                    : c->in.ymmh[insn->index] + i * size - 16;
        if (chance(2)) {
            v *= 0x10000;
        }
        memcpy(to, &v, size);
    }
}

static bool uses_stack(const Insn *insn)
{
    switch (insn->op) {
    case OP_PUSH:
    case OP_POP:
    case OP_PUSHA:
    case OP_POPA:
    case OP_PUSHF:
    case OP_ENTER:
    case OP_LEAVE:
    case OP_CALL:
    case OP_CALL_IND:
    case OP_RET:
        return true;
    default:
        return false;
    }
}

static uint64_t code_target(void)
{
    return chance(85) ? ORACLE_CODE + below(ORACLE_CODE_SIZE) : integer_value();
}

/* Operands that ops[] does not name. */
static void aim_implicit(OracleCase *c, const Insn *insn)
{
    uint64_t *r = c->in.regs;

    if (insn->flags & INSN_STRING) {
        r[SI] = pick_target(insn, insn->opsize);
        r[DI] = chance(80) ? pick_target(insn, insn->opsize) : r[SI] + below(16);
        r[CX] = chance(95) ? below(40) : (uint64_t)below(8) << 32;
        if (!c->mode64) {
            r[CX] = (uint32_t)r[CX];
        }
    }
    if (uses_stack(insn)) {
        r[SP] = pick_target(insn, insn->opsize * 8) & ~(chance(90) ? 7ull : 0);
        r[BP] = insn->op == OP_ENTER || insn->op == OP_LEAVE ? pick_target(insn, 64) : r[BP];
    }
    switch (insn->op) {
    case OP_XLAT:
        r[BX] = pick_target(insn, 256);
        break;
    case OP_MASKMOVQ:
    case OP_MASKMOVDQU:
    case OP_VMASKMOVDQU:
        r[DI] = pick_target(insn, 16);
        break;
    case OP_CLZERO:
        r[AX] = pick_target(insn, 64);
        break;
    case OP_PCMPESTRI:
    case OP_PCMPESTRM:
    case OP_VPCMPESTRI:
    case OP_VPCMPESTRM:
        if (chance(80)) {
            r[AX] = below(20);
            r[DX] = below(20);
        }
        break;
    case OP_DIV:
    case OP_IDIV:
        if (chance(60)) {
            r[DX] = chance(50) ? 0 : below(3);
        }
        break;
    }
}

/* A bit string's operand lies off the index: keep that small. */
static void aim_bit_index(OracleCase *c, const Insn *insn)
{
    const InsnOperand *op = &insn->ops[1];

    if (!(insn->flags & INSN_MEM_BITSTRING) || op->kind != OPND_GPR || chance(5) ||
        op->reg == insn->base || op->reg == insn->index) {
        return;
    }
    uint64_t bit = (uint64_t)((int64_t)below(0x400) - 0x200);
    c->in.regs[op->reg] = c->mode64 ? bit : (uint32_t)bit;
}

/* What the memory operand holds matters: jump targets, comparands, values that do not fault. */
static void set_operand(OracleCase *c, const Insn *insn, uint64_t ea)
{
    uint64_t v;

    vector_value(c->patch_bytes, sizeof(c->patch_bytes));
    if (insn->op == OP_RET) {
        ea = c->in.regs[SP];
    }
    if (ea < ORACLE_DATA || ea > ORACLE_DATA + ORACLE_DATA_SIZE - sizeof(c->patch_bytes)) {
        c->patch = below(ORACLE_DATA_SIZE - sizeof(c->patch_bytes));
        return;
    }
    c->patch = (uint32_t)(ea - ORACLE_DATA);
    switch (insn->op) {
    case OP_RET:
    case OP_JMP_IND:
    case OP_CALL_IND:
        v = code_target();
        memcpy(c->patch_bytes, &v, 8);
        break;
    case OP_CMPXCHG:
        if (chance(50)) {
            memcpy(&c->in.regs[AX], c->patch_bytes, c->mode64 ? 8 : 4);
        }
        break;
    case OP_CMPXCHG8B:
        if (chance(50)) {
            memcpy(&c->in.regs[AX], c->patch_bytes, 4);
            memcpy(&c->in.regs[DX], c->patch_bytes + 4, 4);
        }
        break;
    case OP_CMPXCHG16B:
        if (chance(50)) {
            memcpy(&c->in.regs[AX], c->patch_bytes, 8);
            memcpy(&c->in.regs[DX], c->patch_bytes + 8, 8);
        }
        break;
    case OP_LDMXCSR:
    case OP_VLDMXCSR:
        if (chance(80)) {
            c->patch_bytes[2] = c->patch_bytes[3] = 0;
        }
        break;
    case OP_FLD:
    case OP_FBLD:
        if (insn->mem_size == 10) {
            extended_value(c->patch_bytes);
        }
        break;
    case OP_BOUND:
        if (chance(50)) {
            memset(c->patch_bytes, 0, insn->opsize);
            memset(c->patch_bytes + insn->opsize, 0x7f, insn->opsize);
        }
        break;
    }
}

static bool ends_elsewhere(const Insn *insn)
{
    return insn->flags & INSN_BRANCH;
}

bool generate_case(const InsnForm *form, bool mode64, OracleCase *c)
{
    Insn insn;

    memset(c, 0, sizeof(*c));
    c->mode64 = mode64;
    c->seed = random_state;
    size_t len = encode(form, mode64, c->code);
    if (len == 0 || guest_decode(c->code, (unsigned)len, mode64, &insn) == INSN_TRUNCATED ||
        insn.len == 0 || insn.len > len) {
        return false;
    }
    c->len = insn.len;
    random_state_of(c);
    c->in.rip = ORACLE_CODE + 0x800 + below(0x400);
    if (chance(3)) {
        c->in.rip = ORACLE_CODE + 0x1000 - below(insn.len + 1u);
    }
    /* A gather that is stepped may trap half-way where it would have faulted. */
    c->step = ends_elsewhere(&insn) || (chance(10) && !(insn.flags & INSN_VSIB));
    if (insn.op == OP_JMP_IND || insn.op == OP_CALL_IND) {
        c->in.regs[insn.modrm & 7] = code_target();
    }
    aim_implicit(c, &insn);
    uint64_t ea = 0;
    if (insn.off_modrm && insn.modrm < 0xc0 ? insn.base != INSN_REG_NONE || insn.disp_size
                                            : insn.off_disp != 0) {
        unsigned size = insn.mem_size ? insn.mem_size : 8;
        if (insn.op != OP_LEA || chance(50)) {
            aim_bit_index(c, &insn);
            if (insn.flags & INSN_VSIB) {
                small_indices(c, &insn);
            }
            if (!aim(c, &insn, pick_target(&insn, size))) {
                return false;
            }
        }
        ea = operand_address(c, &insn);
    }
    set_operand(c, &insn, ea);
    if (!mode64) {
        for (unsigned i = 0; i < 16; i++) {
            c->in.regs[i] = i < 8 ? (uint32_t)c->in.regs[i] : 0;
        }
    }
    return true;
}
