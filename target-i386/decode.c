/*
 * The decoder: walks prefixes, opcode, ModRM, SIB, displacement and immediates, finds the table row
 * that fits and fills an Insn from it. The tables are in decode-*.c, their language in
 * decode-tables.h.
 *
 * Where processors differ, this one follows AMD's Zen, because the host runs the test oracle and
 * many guest instructions as they are:
 *  - Near branches in 64-bit mode honour prefix 66 (16-bit operand size); Intel ignores it.
 *  - Far pointers in memory have no 64-bit offset: W does not change them.
 *  - Of several F2 and F3 prefixes the last one counts, in place of 66 for opcodes that select by
 * it.
 *  - ES, CS, SS and DS prefixes in 64-bit mode are ignored; they do not cancel FS or GS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/insn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "target-i386/decode-tables.h"

static const struct OperandInfo {
    uint8_t source, kind, reg_size, mem_size, number;
} operand_codes[OC_COUNT] = {
#define OC(code, source, kind, reg_size, mem_size, number)                                         \
    [code] = {source, kind, reg_size, mem_size, number},
    OPERAND_CODES
#undef OC
};

/*
 * EFLAGS read, set, left undefined. Flags that are undefined on paper, but which processors leave
 * as they were (BT, MUL, DIV, LZCNT), count as read, too: whoever drops their last value would show
 * another one. Counts and conditions are looked at in set_eflags().
 */
static const struct {
    uint16_t read, written, undefined;
} effects[FX_LAST] = {
    [FX_ARITH] = {0, EFL_ARITH, 0},
    [FX_CARRY] = {EFL_CF, EFL_ARITH, 0},
    [FX_LOGIC] = {0, EFL_ARITH & ~EFL_AF, EFL_AF},
    [FX_INC] = {0, EFL_ARITH & ~EFL_CF, 0},
    [FX_SHIFT] = {0, EFL_ARITH & ~EFL_AF, EFL_AF},
    [FX_ROTATE] = {0, EFL_CF | EFL_OF, 0},
    [FX_RCARRY] = {EFL_CF, EFL_CF | EFL_OF, 0},
    [FX_SHIFTD] = {0, EFL_ARITH & ~EFL_AF, EFL_AF},
    [FX_MUL] = {EFL_SF | EFL_ZF | EFL_AF | EFL_PF, EFL_CF | EFL_OF,
                EFL_SF | EFL_ZF | EFL_AF | EFL_PF},
    [FX_DIV] = {EFL_CF | EFL_OF, 0, EFL_ARITH},
    [FX_BIT] = {EFL_OF | EFL_SF | EFL_AF | EFL_PF, EFL_CF, EFL_OF | EFL_SF | EFL_AF | EFL_PF},
    [FX_SCAN] = {0, EFL_ZF, EFL_ARITH & ~EFL_ZF},
    [FX_COUNT] = {EFL_OF, EFL_ZF | EFL_CF, EFL_OF | EFL_SF | EFL_AF | EFL_PF},
    [FX_ZERO] = {0, EFL_ARITH, 0},
    [FX_BMI] = {0, EFL_CF | EFL_ZF | EFL_SF | EFL_OF, EFL_AF | EFL_PF},
    [FX_ANDN] = {0, EFL_CF | EFL_ZF | EFL_SF | EFL_OF, EFL_AF | EFL_PF},
    [FX_BEXTR] = {0, EFL_CF | EFL_ZF | EFL_OF, EFL_AF | EFL_PF | EFL_SF},
    [FX_CFONLY] = {EFL_CF, EFL_CF, 0},
    [FX_OFONLY] = {EFL_OF, EFL_OF, 0},
    [FX_COMPARE] = {0, EFL_ARITH, 0},
    [FX_ALL6] = {0, EFL_ARITH, 0},
    [FX_ZF] = {0, EFL_ZF, 0},
    [FX_DAA] = {EFL_AF | EFL_CF, EFL_ARITH & ~EFL_OF, EFL_OF},
    [FX_AAA] = {EFL_AF, EFL_AF | EFL_CF, EFL_OF | EFL_SF | EFL_ZF | EFL_PF},
    [FX_AAM] = {0, EFL_SF | EFL_ZF | EFL_PF, EFL_OF | EFL_AF | EFL_CF},
    [FX_READ_ZF] = {EFL_ZF, 0, 0},
    [FX_READ_CF] = {EFL_CF, 0, 0},
    [FX_READ_OF] = {EFL_OF, EFL_TF | EFL_IF | EFL_NT, 0},
    [FX_READ_CFZF] = {EFL_CF | EFL_ZF, 0, 0},
    [FX_READ_PF] = {EFL_PF, 0, 0},
    [FX_LAHF] = {EFL_ARITH & ~EFL_OF, 0, 0},
    [FX_SAHF] = {0, EFL_ARITH & ~EFL_OF, 0},
    [FX_CMC] = {EFL_CF, EFL_CF, 0},
    [FX_SET_CF] = {0, EFL_CF, 0},
    [FX_SET_DF] = {0, EFL_DF, 0},
    [FX_SET_IF] = {EFL_IOPL, EFL_IF, 0},
    [FX_STRING] = {EFL_DF, 0, 0},
    [FX_STRCMP] = {EFL_DF, EFL_ARITH, 0},
    [FX_PUSHF] = {EFL_ARITH | EFL_TF | EFL_IF | EFL_DF | EFL_IOPL | EFL_NT, 0, 0},
    [FX_POPF] = {EFL_IOPL, EFL_ARITH | EFL_TF | EFL_IF | EFL_DF | EFL_IOPL | EFL_NT, 0},
    [FX_INT] = {EFL_ARITH | EFL_TF | EFL_IF | EFL_DF | EFL_IOPL | EFL_NT, EFL_TF | EFL_IF | EFL_NT,
                0},
    [FX_SYSCALL] = {EFL_ARITH | EFL_TF | EFL_IF | EFL_DF | EFL_IOPL | EFL_NT,
                    EFL_ARITH | EFL_TF | EFL_IF | EFL_DF | EFL_IOPL | EFL_NT, 0},
    [FX_SYSENTER] = {0, EFL_IF, 0},
};

static const uint16_t condition_flags[8] = {
    EFL_OF, EFL_CF, EFL_ZF,          EFL_CF | EFL_ZF,
    EFL_SF, EFL_PF, EFL_SF | EFL_OF, EFL_ZF | EFL_SF | EFL_OF,
};

/* How a row's operand size comes about. */
enum { OPSIZE_V, OPSIZE_BYTE, OPSIZE_D64, OPSIZE_F64, OPSIZE_CAP4, OPSIZE_Y, OPSIZE_M64 };

/* A row, digested: what can be worked out before there are bytes. */
typedef struct Row {
    uint16_t mask, value; /* against the selector */
    uint16_t op;
    uint8_t feature, insn_class;
    uint32_t flags; /* INSN_* that do not depend on the encoding */
    uint8_t operands[INSN_MAX_OPERANDS];
    uint8_t nops;
    uint8_t access;
    uint8_t effect;
    uint8_t opsize; /* OPSIZE_* */
    bool vvvv;      /* has an operand there */
    bool align, no_align;
    const InsnRow *source;
} Row;

enum { ENTRY_MODRM = 1, ENTRY_ANY_MOD = 2 };

typedef struct OpcodeEntry {
    uint16_t first;
    uint8_t count;
    uint8_t flags; /* ENTRY_* */
} OpcodeEntry;

static const InsnTable *const all_tables[] = {
    &insn_table_map1,      &insn_table_x87,      &insn_table_0f,
    &insn_table_0f_vector, &insn_table_0f38,     &insn_table_0f3a,
    &insn_table_vex_0f,    &insn_table_vex_0f38, &insn_table_vex_0f3a,
};
enum { TABLE_COUNT = sizeof(all_tables) / sizeof(all_tables[0]) };

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static OpcodeEntry entries[2][INSN_MAP_COUNT][256]; /* legacy, VEX */
static Row *index_rows;
static InsnForm *index_forms;
static size_t index_count;

static bool needs_modrm(const struct OperandInfo *o)
{
    switch (o->source) {
    case SRC_RM:
    case SRC_RM_REG:
    case SRC_RM_MEM:
    case SRC_RM_ANY:
    case SRC_REG:
    case SRC_VSIB:
        return true;
    default:
        return false;
    }
}

static uint8_t opsize_rule(const InsnRow *r, bool vex)
{
    const struct OperandInfo *first = &operand_codes[r->operands[0]];
    bool by_operand_size = false;

    for (int i = 0; i < INSN_MAX_OPERANDS && r->operands[i]; i++) {
        const struct OperandInfo *o = &operand_codes[r->operands[i]];
        by_operand_size |= o->reg_size == SZ_V || o->reg_size == SZ_Z || o->mem_size == SZ_V;
    }
    if (r->attr & BYTE || (first->kind == OPND_GPR && first->reg_size == 1) || first->mem_size == 1)
        return OPSIZE_BYTE;
    if (r->attr & D64)
        return OPSIZE_D64;
    if (r->attr & F64)
        return OPSIZE_F64;
    if (r->attr & M64)
        return OPSIZE_M64;
    if (r->attr & CAP4)
        return OPSIZE_CAP4;
    if (vex || ((r->when >> 16 & SEL_PP) && !by_operand_size))
        return OPSIZE_Y;
    return OPSIZE_V;
}

/* A field of `when`, or -1 where the row does not look at it. */
static int constraint(uint32_t when, unsigned mask, unsigned shift)
{
    return (when >> 16 & mask) == mask ? (int)((when & mask) >> shift) : -1;
}

static unsigned immediate_bytes(const InsnRow *r)
{
    unsigned bytes = 0;
    for (int i = 0; i < INSN_MAX_OPERANDS && r->operands[i]; i++) {
        const struct OperandInfo *o = &operand_codes[r->operands[i]];
        if (o->source == SRC_IMM || o->source == SRC_IMM_SX || o->source == SRC_REL)
            bytes += o->reg_size >= SZ_V ? 4 : o->reg_size;
        else if (o->source == SRC_IMM2 || o->source == SRC_IS4)
            bytes += 1;
        else if (o->source == SRC_FAR)
            bytes += 6;
        else if (o->source == SRC_MOFFS)
            bytes += 4;
    }
    return bytes;
}

static void digest_row(const InsnTable *table, const InsnRow *r, Row *row, InsnForm *form,
                       OpcodeEntry *entry)
{
    bool modrm = r->when >> 16 & (SEL_MOD3 | 7 << SEL_REG_SHIFT | 7 << SEL_RM_SHIFT);

    *row = (Row){
        .mask = r->when >> 16,
        .value = (uint16_t)r->when,
        .op = r->op,
        .feature = r->feature,
        .insn_class = r->insn_class,
        .access = r->access,
        .effect = r->effect,
        .opsize = opsize_rule(r, table->vex),
        .align = r->attr & ALIGN,
        .no_align = r->attr & NOALIGN,
        .source = r,
    };
    row->flags = r->attr & ~(uint32_t)ROW_OWN;
    if (r->attr & NOHOST)
        row->flags &= ~(uint32_t)INSN_HOST_EXEC;
    if (r->insn_class != INSN_CLASS_INTEGER)
        row->flags |= INSN_MAY_FAULT;
    if (row->mask & SEL_MODE64)
        row->flags |= row->value & SEL_MODE64 ? INSN_ONLY64 : INSN_NOT64;
    for (; row->nops < INSN_MAX_OPERANDS && r->operands[row->nops]; row->nops++) {
        const struct OperandInfo *o = &operand_codes[r->operands[row->nops]];
        row->operands[row->nops] = r->operands[row->nops];
        row->vvvv |= o->source == SRC_VVVV;
        modrm |= needs_modrm(o);
        if (o->source == SRC_RM_ANY)
            entry->flags |= ENTRY_ANY_MOD;
        if (o->source == SRC_VSIB)
            row->flags |= INSN_VSIB;
    }
    if (modrm)
        entry->flags |= ENTRY_MODRM;

    *form = (InsnForm){
        .op = r->op,
        .map = table->map,
        .opcode = r->opcode,
        .vex = table->vex,
        .has_modrm = modrm,
        .pp = constraint(r->when, SEL_PP, 0),
        .mod_reg = constraint(r->when, SEL_MOD3, 2),
        .reg = constraint(r->when, 7 << SEL_REG_SHIFT, SEL_REG_SHIFT),
        .rm = constraint(r->when, 7 << SEL_RM_SHIFT, SEL_RM_SHIFT),
        .w = constraint(r->when, SEL_W, 10),
        .l = constraint(r->when, SEL_L, 11),
        .rex_b = constraint(r->when, SEL_REXB, 12),
        .mode64 = constraint(r->when, SEL_MODE64, 9),
        .feature = r->feature,
        .insn_class = r->insn_class,
        .flags = row->flags,
        .imm_size = immediate_bytes(r),
    };
    for (int i = 0; i < row->nops; i++) {
        uint8_t source = operand_codes[row->operands[i]].source;
        if (source == SRC_RM_REG)
            form->mod_reg = 1;
        else if (source == SRC_RM_MEM || source == SRC_VSIB)
            form->mod_reg = 0;
    }
}

/* Sorts all rows by encoding, map and opcode, keeping their order within an opcode. */
static void build_index(void)
{
    size_t total = 0, next = 0;

    for (size_t t = 0; t < TABLE_COUNT; t++)
        total += all_tables[t]->count;
    index_rows = calloc(total, sizeof(*index_rows));
    index_forms = calloc(total, sizeof(*index_forms));
    if (!index_rows || !index_forms)
        abort();
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        const InsnTable *table = all_tables[t];
        for (size_t i = 0; i < table->count; i++)
            entries[table->vex][table->map][table->rows[i].opcode].count++;
    }
    for (int vex = 0; vex < 2; vex++) {
        for (int map = 0; map < INSN_MAP_COUNT; map++) {
            for (int opcode = 0; opcode < 256; opcode++) {
                OpcodeEntry *entry = &entries[vex][map][opcode];
                entry->first = next;
                next += entry->count;
                entry->count = 0;
            }
        }
    }
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        const InsnTable *table = all_tables[t];
        for (size_t i = 0; i < table->count; i++) {
            const InsnRow *r = &table->rows[i];
            OpcodeEntry *entry = &entries[table->vex][table->map][r->opcode];
            size_t at = entry->first + entry->count++;
            digest_row(table, r, &index_rows[at], &index_forms[at], entry);
        }
    }
    index_count = total;
}

/* One instruction on its way through the decoder. */
typedef struct Decoder {
    const DecodeMode *mode;
    const uint8_t *bytes;
    unsigned pos, limit;
    bool mode64;
    bool ud;                     /* some rule is broken: #UD once all bytes are there */
    uint8_t rex_r, rex_x, rex_b; /* 0 or 8 */
    Insn *insn;
} Decoder;

static inline bool have(const Decoder *d, unsigned n)
{
    return d->pos + n <= d->limit;
}

static InsnStatus out_of_bytes(const Decoder *d)
{
    return d->limit == INSN_MAX_LENGTH ? INSN_TOO_LONG : INSN_TRUNCATED;
}

static inline int64_t load_signed(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1:
        return (int8_t)p[0];
    case 2: {
        int16_t v;
        memcpy(&v, p, 2);
        return v;
    }
    case 4: {
        int32_t v;
        memcpy(&v, p, 4);
        return v;
    }
    default: {
        int64_t v;
        memcpy(&v, p, 8);
        return v;
    }
    }
}

static inline int64_t zero_extended(int64_t v, unsigned size)
{
    return size == 8 ? v : (int64_t)((uint64_t)v & ((1ull << (8 * size)) - 1));
}

/* What a byte means as a prefix: an INSN_PFX_* bit, with the segment number for SEG. */
static const struct {
    uint8_t bit, seg;
} prefix_bytes[256] = {
    [0x26] = {INSN_PFX_SEG, INSN_SEG_ES},
    [0x2e] = {INSN_PFX_SEG, INSN_SEG_CS},
    [0x36] = {INSN_PFX_SEG, INSN_SEG_SS},
    [0x3e] = {INSN_PFX_SEG, INSN_SEG_DS},
    [0x64] = {INSN_PFX_SEG, INSN_SEG_FS},
    [0x65] = {INSN_PFX_SEG, INSN_SEG_GS},
    [0x66] = {INSN_PFX_66, 0},
    [0x67] = {INSN_PFX_67, 0},
    [0xf0] = {INSN_PFX_LOCK, 0},
    [0xf2] = {INSN_PFX_REPNE, 0},
    [0xf3] = {INSN_PFX_REP, 0},
};

/* Legacy prefixes, and REX, which counts only as the last one. Leaves pos at the first byte that is
 * no prefix; false when the bytes end before it. */
static bool decode_prefixes(Decoder *d)
{
    Insn *insn = d->insn;

    insn->seg = insn->seg_override = INSN_SEG_NONE;
    for (; d->pos < d->limit; d->pos++) {
        uint8_t byte = d->bytes[d->pos];
        uint8_t bit = prefix_bytes[byte].bit;
        if (bit) {
            insn->rex = 0;
            if (bit & (INSN_PFX_REP | INSN_PFX_REPNE))
                insn->prefixes &= ~(INSN_PFX_REP | INSN_PFX_REPNE);
            insn->prefixes |= bit;
            if (bit == INSN_PFX_SEG) {
                insn->seg_override = prefix_bytes[byte].seg;
                if (!d->mode64 || insn->seg_override >= INSN_SEG_FS)
                    insn->seg = insn->seg_override;
            }
        } else if (d->mode64 && (byte & 0xf0) == 0x40) {
            insn->rex = byte;
        } else {
            if (insn->rex) {
                d->rex_r = (insn->rex & 4) << 1;
                d->rex_x = (insn->rex & 2) << 2;
                d->rex_b = (insn->rex & 1) << 3;
                if (insn->rex & 8)
                    insn->prefixes |= INSN_PFX_W;
            }
            return true;
        }
    }
    return false;
}

/* At C4 or C5, with what follows already known to be VEX. */
static bool decode_vex(Decoder *d)
{
    Insn *insn = d->insn;
    bool three = d->bytes[d->pos] == 0xc4;
    uint8_t last;

    if (!have(d, three ? 4 : 3))
        return false;
    if (insn->rex || insn->prefixes & (INSN_PFX_66 | INSN_PFX_REP | INSN_PFX_REPNE | INSN_PFX_LOCK))
        d->ud = true;
    insn->prefixes &= ~INSN_PFX_W;
    d->rex_r = d->rex_x = d->rex_b = 0;
    insn->map = INSN_MAP_0F;
    if (d->mode64)
        d->rex_r = d->bytes[d->pos + 1] & 0x80 ? 0 : 8;
    if (three) {
        uint8_t map = d->bytes[d->pos + 1] & 0x1f;
        if (d->mode64) {
            d->rex_x = d->bytes[d->pos + 1] & 0x40 ? 0 : 8;
            d->rex_b = d->bytes[d->pos + 1] & 0x20 ? 0 : 8;
        }
        if (d->bytes[d->pos + 2] & 0x80)
            insn->prefixes |= INSN_PFX_W;
        if (map >= INSN_MAP_0F && map < INSN_MAP_COUNT)
            insn->map = map;
        else
            insn->map = INSN_MAP_1; /* no VEX rows there */
    }
    last = d->bytes[d->pos + (three ? 2 : 1)];
    insn->vvvv = ~last >> 3 & 15;
    insn->vl = last >> 2 & 1;
    insn->pp = last & 3;
    insn->prefixes |= INSN_PFX_VEX;
    d->pos += three ? 3 : 2;
    return true;
}

/* The opcode, with the escape bytes before it or the VEX prefix. */
static bool decode_opcode(Decoder *d)
{
    Insn *insn = d->insn;
    uint8_t byte = d->bytes[d->pos];

    insn->map = INSN_MAP_1;
    if (byte == 0x0f) {
        if (!have(d, 2))
            return false;
        d->pos++;
        insn->map = INSN_MAP_0F;
        if (d->bytes[d->pos] == 0x38 || d->bytes[d->pos] == 0x3a) {
            insn->map = d->bytes[d->pos] == 0x38 ? INSN_MAP_0F38 : INSN_MAP_0F3A;
            if (!have(d, 2))
                return false;
            d->pos++;
        }
    } else if (byte == 0xc4 || byte == 0xc5) {
        /* LES and LDS outside 64-bit mode, unless their ModRM would name a register. */
        if (!d->mode64 && !have(d, 2))
            return false;
        if (d->mode64 || (d->mode->protected_mode && d->bytes[d->pos + 1] >= 0xc0)) {
            if (!decode_vex(d))
                return false;
        }
    }
    if (!(insn->prefixes & INSN_PFX_VEX)) {
        insn->pp = insn->prefixes & INSN_PFX_REPNE ? 3
                   : insn->prefixes & INSN_PFX_REP ? 2
                   : insn->prefixes & INSN_PFX_66  ? 1
                                                   : 0;
    }
    insn->off_opcode = d->pos;
    insn->opcode = d->bytes[d->pos++];
    return true;
}

static bool decode_displacement(Decoder *d, unsigned size)
{
    if (!have(d, size))
        return false;
    d->insn->off_disp = d->pos;
    d->insn->disp_size = size;
    d->insn->disp = load_signed(d->bytes + d->pos, size);
    d->pos += size;
    return true;
}

static bool decode_address16(Decoder *d)
{
    static const uint8_t bases[8] = {3, 3, 5, 5, 6, 7, 5, 3};
    static const uint8_t indexes[4] = {6, 7, 6, 7};
    Insn *insn = d->insn;
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    if (mod == 0 && rm == 6)
        return decode_displacement(d, 2);
    insn->base = bases[rm];
    if (rm < 4) {
        insn->index = indexes[rm];
        insn->scale = 1;
    }
    return mod == 0 || decode_displacement(d, mod);
}

static bool decode_address32(Decoder *d)
{
    Insn *insn = d->insn;
    unsigned mod = insn->modrm >> 6, base = insn->modrm & 7;

    if (base == 4) {
        uint8_t sib;
        if (!have(d, 1))
            return false;
        sib = d->bytes[d->pos++];
        insn->scale = 1 << (sib >> 6);
        insn->index = (sib >> 3 & 7) | d->rex_x;
        base = sib & 7;
        if (base == 5 && mod == 0)
            return decode_displacement(d, 4);
    } else if (base == 5 && mod == 0) {
        if (d->mode64)
            insn->base = INSN_REG_RIP;
        return decode_displacement(d, 4);
    }
    insn->base = base | d->rex_b;
    return mod == 0 || decode_displacement(d, mod == 1 ? 1 : 4);
}

/* ModRM's memory operand. The index stays as encoded (4 included) for the row to judge: a vector
 * index has no value that means "none". */
static bool decode_address(Decoder *d)
{
    Insn *insn = d->insn;
    bool ok;

    insn->base = insn->index = INSN_REG_NONE;
    ok = insn->addrsize == 2 ? decode_address16(d) : decode_address32(d);
    if (insn->seg == INSN_SEG_NONE)
        insn->seg = insn->base == 4 || insn->base == 5 ? INSN_SEG_SS : INSN_SEG_DS;
    return ok;
}

static inline uint16_t selector(const Decoder *d)
{
    const Insn *insn = d->insn;

    return insn->pp | (insn->modrm >= 0xc0 ? SEL_MOD3 : 0) |
           (insn->modrm >> 3 & 7) << SEL_REG_SHIFT | (insn->modrm & 7) << SEL_RM_SHIFT |
           (d->mode64 ? SEL_MODE64 : 0) | (insn->prefixes & INSN_PFX_W ? SEL_W : 0) |
           (insn->vl ? SEL_L : 0) | (d->rex_b ? SEL_REXB : 0);
}

static const Row *find_row(const Decoder *d, const OpcodeEntry *entry)
{
    const InsnFeatures *features = &d->mode->features;
    const Row *row = &index_rows[entry->first], *end = row + entry->count;
    uint16_t sel = selector(d);

    for (; row < end; row++) {
        if ((sel & row->mask) == row->value && insn_features_has(features, row->feature) &&
            (row->insn_class != INSN_CLASS_AVX || insn_features_has(features, CPUF_AVX)))
            return row;
    }
    return NULL;
}

static uint8_t operand_size(const Decoder *d, uint8_t rule)
{
    static const uint8_t normal[2][2] = {{2, 4}, {4, 2}}; /* code size 2, others; with 66 */
    bool has66 = d->insn->prefixes & INSN_PFX_66;
    bool w = d->mode64 && d->insn->prefixes & INSN_PFX_W;
    uint8_t v = w ? 8 : normal[d->mode->code_size != 2][has66];

    switch (rule) {
    case OPSIZE_BYTE:
        return 1;
    case OPSIZE_D64:
        return d->mode64 && v == 4 ? 8 : v;
    case OPSIZE_F64:
        return d->mode64 ? 8 : 4;
    case OPSIZE_CAP4:
        return v == 8 ? 4 : v;
    case OPSIZE_M64:
        return d->mode64 ? 8 : v;
    case OPSIZE_Y:
        return w ? 8 : 4;
    default:
        return v;
    }
}

static uint16_t resolve_size(const Decoder *d, uint8_t size)
{
    const Insn *insn = d->insn;

    switch (size) {
    case SZ_V:
        return insn->opsize;
    case SZ_Z:
        return insn->opsize == 8 ? 4 : insn->opsize;
    case SZ_Y:
        return d->mode64 && insn->prefixes & INSN_PFX_W ? 8 : 4;
    case SZ_X:
        return 16 << insn->vl;
    case SZ_XH:
        return 8 << insn->vl;
    case SZ_XQ:
        return 4 << insn->vl;
    case SZ_XE:
        return 2 << insn->vl;
    case SZ_2V:
        return 2 * insn->opsize;
    case SZ_FAR:
        return 2 + (insn->opsize == 2 ? 2 : 4);
    case SZ_DTR:
        return d->mode64 ? 10 : 6;
    case SZ_ENV:
        return insn->opsize == 2 ? 14 : 28;
    case SZ_FPU:
        return insn->opsize == 2 ? 94 : 108;
    case SZ_FX:
        return 512;
    case SZ_NATIVE:
        return d->mode64 ? 8 : 4;
    default:
        return size;
    }
}

static void set_memory(Decoder *d, const struct OperandInfo *o, InsnOperand *op)
{
    Insn *insn = d->insn;

    insn->mem_size = resolve_size(d, o->mem_size);
    op->kind = OPND_MEM;
    op->size = insn->mem_size > 255 ? 0 : insn->mem_size;
    if (!insn->mem_size && insn->insn_class != INSN_CLASS_XSAVE)
        op->access = 0;
    if (op->access & OPND_READ)
        insn->flags |= INSN_MEM_READ | INSN_MAY_FAULT;
    if (op->access & OPND_WRITE)
        insn->flags |= INSN_MEM_WRITE | INSN_MAY_FAULT;
}

static bool decode_immediate(Decoder *d, const struct OperandInfo *o, InsnOperand *op)
{
    Insn *insn = d->insn;
    unsigned size = o->source == SRC_MOFFS ? insn->addrsize : resolve_size(d, o->reg_size);

    if (!have(d, size))
        return false;
    if (o->source == SRC_MOFFS) {
        insn->off_disp = d->pos;
        insn->disp_size = size;
        insn->disp = zero_extended(load_signed(d->bytes + d->pos, size), size);
        insn->base = insn->index = INSN_REG_NONE;
        if (insn->seg == INSN_SEG_NONE)
            insn->seg = INSN_SEG_DS;
        set_memory(d, o, op);
        d->pos += size;
        return true;
    }
    if (!insn->off_imm)
        insn->off_imm = d->pos;
    insn->imm_size += size;
    op->size = size;
    if (o->source == SRC_FAR) {
        size -= 2;
        insn->imm = zero_extended(load_signed(d->bytes + d->pos, size), size);
        insn->imm2 = (uint16_t)load_signed(d->bytes + d->pos + size, 2);
        size += 2;
    } else if (o->source == SRC_IMM2) {
        insn->imm2 = d->bytes[d->pos];
    } else if (o->source == SRC_IMM) {
        insn->imm = zero_extended(load_signed(d->bytes + d->pos, size), size);
    } else {
        insn->imm = load_signed(d->bytes + d->pos, size);
    }
    d->pos += size;
    return true;
}

static uint8_t vvvv_register(const Decoder *d)
{
    return d->insn->vvvv & (d->mode64 ? 15 : 7);
}

static void set_register(Decoder *d, const struct OperandInfo *o, InsnOperand *op, uint8_t number)
{
    uint16_t size = resolve_size(d, o->reg_size);

    op->kind = o->kind;
    op->size = size;
    switch (o->kind) {
    case OPND_GPR:
        if (size == 1 && !d->insn->rex && number >= 4 && o->source != SRC_FIXED) {
            op->kind = OPND_GPR8H;
            number -= 4;
        }
        break;
    case OPND_XMM:
        if (size > 16)
            op->kind = OPND_YMM;
        break;
    case OPND_MMX:
    case OPND_ST:
        number &= 7;
        break;
    case OPND_SEG:
        number &= 7;
        if (number > INSN_SEG_GS || (number == INSN_SEG_CS && op->access & OPND_WRITE))
            d->ud = true;
        break;
    case OPND_CR:
        if (number != 0 && number != 2 && number != 3 && number != 4 && number != 8)
            d->ud = true;
        break;
    case OPND_DR:
        if (number > 7)
            d->ud = true;
        break;
    }
    op->reg = number;
}

/* A vector register as index: SIB is required, and index, destination and mask must differ. */
static void set_vsib(Decoder *d, const struct OperandInfo *o, InsnOperand *op)
{
    Insn *insn = d->insn;
    uint8_t destination = (insn->modrm >> 3 & 7) | d->rex_r;
    uint8_t mask = vvvv_register(d);

    set_memory(d, o, op);
    insn->index_kind = resolve_size(d, o->reg_size) > 16 ? OPND_YMM : OPND_XMM;
    if (insn->addrsize == 2 || (insn->modrm & 7) != 4)
        d->ud = true;
    else if (insn->index == mask || insn->index == destination || mask == destination)
        d->ud = true;
}

static bool decode_operand(Decoder *d, const struct OperandInfo *o, InsnOperand *op)
{
    Insn *insn = d->insn;
    bool mod3 = insn->modrm >= 0xc0;

    switch (o->source) {
    case SRC_RM_MEM:
    case SRC_RM_REG:
        if (mod3 != (o->source == SRC_RM_REG)) {
            d->ud = true;
            return true;
        }
        /* fall through */
    case SRC_RM:
        if (!mod3) {
            set_memory(d, o, op);
            return true;
        }
        /* fall through */
    case SRC_RM_ANY:
        set_register(d, o, op, (insn->modrm & 7) | d->rex_b);
        return true;
    case SRC_REG:
        set_register(d, o, op, (insn->modrm >> 3 & 7) | (o->kind == OPND_SEG ? 0 : d->rex_r));
        return true;
    case SRC_VVVV:
        set_register(d, o, op, vvvv_register(d));
        return true;
    case SRC_OPCODE:
        set_register(d, o, op, (insn->opcode & 7) | d->rex_b);
        return true;
    case SRC_FIXED:
        set_register(d, o, op, o->number);
        return true;
    case SRC_VSIB:
        if (mod3)
            d->ud = true;
        else
            set_vsib(d, o, op);
        return true;
    case SRC_IS4:
        if (!decode_immediate(d, &operand_codes[Ib], op))
            return false;
        set_register(d, o, op, insn->imm >> 4 & (d->mode64 ? 15 : 7));
        return true;
    case SRC_ONE:
        op->kind = OPND_IMM;
        op->size = 1;
        insn->imm = 1;
        return true;
    default:
        op->kind = o->kind;
        return decode_immediate(d, o, op);
    }
}

/* Flags of shifts and rotates depend on the count; CL may turn out zero only when it runs. */
static void set_shift_eflags(Insn *insn)
{
    const InsnOperand *count = &insn->ops[insn->nops - 1];

    if (count->kind != OPND_IMM) {
        insn->flags |= INSN_EFLAGS_COND;
        insn->eflags_undefined |= EFL_OF;
    } else {
        unsigned n = insn->imm & (insn->opsize == 8 ? 63 : 31);
        if (n == 0)
            insn->eflags_read = insn->eflags_written = insn->eflags_undefined = 0;
        else if (n != 1)
            insn->eflags_undefined |= EFL_OF;
    }
    insn->eflags_written &= ~insn->eflags_undefined;
}

static void set_eflags(Insn *insn, const Row *row)
{
    insn->eflags_read = effects[row->effect].read;
    insn->eflags_written = effects[row->effect].written;
    insn->eflags_undefined = effects[row->effect].undefined;
    switch (row->effect) {
    case FX_CONDITION:
        insn->cond = insn->opcode & 15;
        insn->eflags_read = condition_flags[insn->cond >> 1];
        break;
    case FX_SHIFT:
    case FX_ROTATE:
    case FX_RCARRY:
    case FX_SHIFTD:
        set_shift_eflags(insn);
        break;
    case FX_STRCMP:
        if (insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE))
            insn->flags |= INSN_EFLAGS_COND;
        break;
    }
    if (insn->flags & INSN_EFLAGS_COND)
        insn->eflags_read |= insn->eflags_written | insn->eflags_undefined;
}

static void set_alignment(Insn *insn, const Row *row)
{
    insn->mem_align = 1;
    if (row->align)
        insn->mem_align = insn->mem_size;
    else if (insn->insn_class == INSN_CLASS_FXSR)
        insn->mem_align = 16;
    else if (insn->insn_class == INSN_CLASS_XSAVE)
        insn->mem_align = 64;
    else if ((insn->insn_class == INSN_CLASS_SSE || insn->insn_class == INSN_CLASS_SSE_MMX) &&
             insn->mem_size == 16 && !row->no_align)
        insn->mem_align = 16;
}

/* Rules that look at the whole instruction. */
static void check_legality(Decoder *d, const Row *row)
{
    Insn *insn = d->insn;

    if (insn->ops[0].kind != OPND_MEM)
        insn->flags &= ~(uint32_t)INSN_LOCKABLE;
    if (insn->prefixes & INSN_PFX_LOCK && !(insn->flags & INSN_LOCKABLE))
        d->ud = true;
    if (row->flags & INSN_PROTECTED && !d->mode->protected_mode)
        d->ud = true;
    if (insn->prefixes & INSN_PFX_VEX && insn->vvvv && !row->vvvv)
        d->ud = true;
    if (insn->op == OP_UD0 || insn->op == OP_UD1 || insn->op == OP_UD2)
        d->ud = true;
    else if (d->ud)
        insn->op = OP_INVALID;
}

static bool decode_row(Decoder *d, const Row *row)
{
    Insn *insn = d->insn;

    insn->op = row->op;
    insn->form = row - index_rows;
    insn->flags = row->flags;
    insn->feature = row->feature;
    insn->insn_class = row->insn_class;
    insn->nops = row->nops;
    insn->opsize = operand_size(d, row->opsize);
    for (unsigned i = 0; i < row->nops; i++) {
        insn->ops[i].access = row->access >> (2 * i) & 3;
        if (!decode_operand(d, &operand_codes[row->operands[i]], &insn->ops[i]))
            return false;
    }
    if (insn->index == 4 && insn->addrsize != 2 && !(insn->flags & INSN_VSIB)) {
        insn->index = INSN_REG_NONE;
        insn->scale = 0;
    }
    if (insn->flags & INSN_STRING)
        insn->mem_size = insn->opsize;
    if (insn->ops[0].kind != OPND_MEM && insn->ops[1].kind != OPND_MEM)
        insn->flags &= ~(uint32_t)INSN_MEM_BITSTRING;
    if (insn->seg == INSN_SEG_NONE)
        insn->seg = INSN_SEG_DS;
    set_eflags(insn, row);
    set_alignment(insn, row);
    return true;
}

static InsnStatus finish(Decoder *d, InsnStatus status)
{
    d->insn->len = d->pos;
    memcpy(d->insn->raw, d->bytes, d->pos);
    return status;
}

InsnStatus insn_decode(const DecodeMode *mode, const uint8_t *bytes, size_t avail, Insn *out)
{
    Decoder d = {
        .mode = mode,
        .bytes = bytes,
        .limit = avail < INSN_MAX_LENGTH ? avail : INSN_MAX_LENGTH,
        .mode64 = mode->code_size == 8,
        .insn = out,
    };
    const OpcodeEntry *entry;
    const Row *row;

    pthread_once(&index_once, build_index);
    memset(out, 0, sizeof(*out));
    out->base = out->index = INSN_REG_NONE;
    out->index_kind = OPND_GPR;
    if (!decode_prefixes(&d) || !decode_opcode(&d))
        return out_of_bytes(&d);
    out->addrsize = mode->code_size;
    if (out->prefixes & INSN_PFX_67)
        out->addrsize = mode->code_size == 4 ? 2 : 4;

    entry = &entries[out->prefixes & INSN_PFX_VEX ? 1 : 0][out->map][out->opcode];
    if (entry->flags & ENTRY_MODRM) {
        if (!have(&d, 1))
            return out_of_bytes(&d);
        out->off_modrm = d.pos;
        out->modrm = bytes[d.pos++];
    }
    row = find_row(&d, entry);
    if (!row)
        return finish(&d, INSN_UD);
    if (entry->flags & ENTRY_MODRM && out->modrm < 0xc0 && !(entry->flags & ENTRY_ANY_MOD)) {
        if (!decode_address(&d))
            return out_of_bytes(&d);
    }
    if (!decode_row(&d, row))
        return out_of_bytes(&d);
    check_legality(&d, row);
    return finish(&d, d.ud ? INSN_UD : INSN_OK);
}

const char *insn_op_name(InsnOp op)
{
    static const char *const names[OP_COUNT] = {
        [OP_INVALID] = "(bad)",
#define OP(name)             [OP_##name] = #name,
#define OP_AS(name, printed) [OP_##name] = printed,
#include "target-i386/insn-ops.def"
#undef OP
#undef OP_AS
    };
    return op < OP_COUNT ? names[op] : names[OP_INVALID];
}

size_t insn_form_count(void)
{
    pthread_once(&index_once, build_index);
    return index_count;
}

bool insn_form(size_t index, InsnForm *form)
{
    pthread_once(&index_once, build_index);
    if (index >= index_count)
        return false;
    *form = index_forms[index];
    return true;
}
