/*
 * Compares the decoder with Zydis, instruction by instruction: validity, length, mnemonic, operand
 * and address size, operands with their access, memory operand, immediates, EFLAGS effects. In each
 * of the three code sizes it walks all opcodes with all ModRM bytes under the prefixes that matter,
 * all VEX encodings and all address forms, then random bytes.
 *
 * Differences that are meant stand in differences.h with their reason and are counted; any other
 * makes the program fail.
 *
 *     compare [-n random-count-per-mode] [-s seed] [--full] [--verbose]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target-i386/disas.h"
#include "target-i386/insn.h"
#include "tests/decoder/differences.h"

static const char *const kind_names[DIFF_KINDS] = {
    [DIFF_ONLY_ZYDIS] = "only Zydis decodes it",
    [DIFF_ONLY_VOLE] = "only Vole decodes it",
    [DIFF_LENGTH] = "length",
    [DIFF_NAME] = "mnemonic",
    [DIFF_OPSIZE] = "operand size",
    [DIFF_ADDRSIZE] = "address size",
    [DIFF_OPERAND] = "operand",
    [DIFF_MEMORY] = "memory operand",
    [DIFF_MEMSIZE] = "memory size",
    [DIFF_IMMEDIATE] = "immediate",
    [DIFF_ACCESS] = "access",
    [DIFF_FLAGS_READ] = "flags read",
    [DIFF_FLAGS_WRITTEN] = "flags written",
};

typedef struct Found {
    DiffKind kind;
    int mode;
    uint16_t op;
    ZydisMnemonic mnemonic;
    uint64_t count;
    uint8_t bytes[16];
    char detail[96];
} Found;

static Found found[4096];
static unsigned found_count;
enum { KNOWN_COUNT = sizeof(known) / sizeof(known[0]) };
static uint64_t known_counts[KNOWN_COUNT];
static bool names_match[KNOWN_COUNT][ZYDIS_MNEMONIC_MAX_VALUE + 1];
static uint64_t total, valid;
static bool show_known;

static uint64_t random_state = 1;

static uint64_t random64(void)
{
    random_state += 0x9e3779b97f4a7c15ull;
    uint64_t z = random_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* One code size with both decoders. */
typedef struct Pair {
    int bits;
    DecodeMode mode;
    ZydisDecoder zydis;
} Pair;

static void pair_init(Pair *pair, int bits)
{
    pair->bits = bits;
    pair->mode = (DecodeMode){.code_size = bits / 8, .protected_mode = true};
    for (int f = 0; f < CPUF_COUNT; f++)
        insn_features_set(&pair->mode.features, f);
    ZydisDecoderInit(&pair->zydis,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                  : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(&pair->zydis, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
    ZydisDecoderEnableMode(&pair->zydis, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&pair->zydis, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

/* One pair of results. */
typedef struct Case {
    const Pair *pair;
    const uint8_t *bytes;
    InsnStatus status;
    Insn insn;
    bool zydis_ok;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
} Case;

static void report(const Case *c, DiffKind kind, const char *format, uint64_t a, uint64_t b)
{
    ZydisMnemonic mnemonic = c->zydis_ok ? c->zi.mnemonic : ZYDIS_MNEMONIC_INVALID;
    DiffContext context = {
        .bits = c->pair->bits,
        .insn = &c->insn,
        .zi = &c->zi,
    };
    Found *f;

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (known[i].kinds >> kind & 1 && names_match[i][mnemonic] &&
            (!known[i].when || known[i].when(&context))) {
            known_counts[i]++;
            return;
        }
    }
    for (f = found; f < found + found_count; f++) {
        if (f->kind == kind && f->mode == c->pair->bits && f->op == c->insn.op &&
            f->mnemonic == mnemonic) {
            f->count++;
            return;
        }
    }
    if (found_count == sizeof(found) / sizeof(found[0]))
        return;
    found_count++;
    f->kind = kind;
    f->mode = c->pair->bits;
    f->op = c->insn.op;
    f->mnemonic = mnemonic;
    f->count = 1;
    memcpy(f->bytes, c->bytes, 15);
    snprintf(f->detail, sizeof(f->detail), format, a, b);
}

/* Whether a rule's list names a mnemonic; a word may end in an asterisk. No list: any. */
static bool list_has(const char *list, const char *name)
{
    if (!list)
        return true;
    while (*list) {
        size_t n = strcspn(list, " ");
        if (n && list[n - 1] == '*' ? !strncmp(list, name, n - 1)
                                    : strlen(name) == n && !strncmp(list, name, n))
            return true;
        list += n;
        list += strspn(list, " ");
    }
    return false;
}

static void prepare_rules(void)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        for (int m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
            names_match[i][m] = list_has(known[i].names, ZydisMnemonicGetString(m));
    }
}

/* Zydis' spelling of our mnemonic. */
static const char *zydis_name(const Insn *insn)
{
    static char names[OP_COUNT][16][24];
    static const char *const conditions[16] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                               "s", "ns", "p", "np", "l", "nl", "le", "nle"};
    bool conditional = insn->op == OP_JCC || insn->op == OP_SETCC || insn->op == OP_CMOVCC;
    unsigned variant = conditional           ? insn->cond
                       : insn->op == OP_JCXZ ? insn->addrsize
                                             : insn->opsize;
    char *name = names[insn->op][variant], text[128];

    if (*name)
        return name;
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (aliases[i].op == insn->op)
            return strcpy(name, aliases[i].zydis);
    }
    if (conditional) {
        sprintf(name, "%s%s", insn_op_name(insn->op), conditions[insn->cond]);
        for (char *p = name; *p; p++)
            *p |= 0x20;
        return name;
    }
    Insn plain = *insn;
    plain.prefixes = 0;
    plain.nops = 0;
    insn_print(&plain, 0, text, sizeof(text));
    snprintf(name, sizeof(names[0][0]), "%.23s", text);
    return name;
}

static ZydisRegister zydis_register(const Insn *insn, const InsnOperand *op)
{
    unsigned size = op->size ? op->size : insn->addrsize;

    switch (op->kind) {
    case OPND_GPR:
        if (size == 1)
            return op->reg < 4 ? ZYDIS_REGISTER_AL + op->reg : ZYDIS_REGISTER_SPL + op->reg - 4;
        return (size == 2   ? ZYDIS_REGISTER_AX
                : size == 4 ? ZYDIS_REGISTER_EAX
                            : ZYDIS_REGISTER_RAX) +
               op->reg;
    case OPND_GPR8H:
        return ZYDIS_REGISTER_AH + op->reg;
    case OPND_SEG:
        return ZYDIS_REGISTER_ES + op->reg;
    case OPND_CR:
        return ZYDIS_REGISTER_CR0 + op->reg;
    case OPND_DR:
        return ZYDIS_REGISTER_DR0 + op->reg;
    case OPND_ST:
        return ZYDIS_REGISTER_ST0 + op->reg;
    case OPND_MMX:
        return ZYDIS_REGISTER_MM0 + op->reg;
    case OPND_XMM:
        return ZYDIS_REGISTER_XMM0 + op->reg;
    case OPND_YMM:
        return ZYDIS_REGISTER_YMM0 + op->reg;
    default:
        return ZYDIS_REGISTER_NONE;
    }
}

static ZydisRegister address_register(const Insn *insn, uint8_t number)
{
    if (number == INSN_REG_NONE)
        return ZYDIS_REGISTER_NONE;
    if (number == INSN_REG_RIP)
        return insn->addrsize == 8 ? ZYDIS_REGISTER_RIP : ZYDIS_REGISTER_EIP;
    return (insn->addrsize == 2   ? ZYDIS_REGISTER_AX
            : insn->addrsize == 4 ? ZYDIS_REGISTER_EAX
                                  : ZYDIS_REGISTER_RAX) +
           number;
}

static void compare_memory(const Case *c, const InsnOperand *op, const ZydisDecodedOperand *z)
{
    const Insn *insn = &c->insn;
    ZydisRegister index = address_register(insn, insn->index);
    unsigned scale = insn->index == INSN_REG_NONE ? 0 : insn->scale;
    int64_t mask = insn->addrsize == 8 ? -1 : (1ll << insn->addrsize * 8) - 1;

    if (insn->index_kind != OPND_GPR)
        index = (insn->index_kind == OPND_XMM ? ZYDIS_REGISTER_XMM0 : ZYDIS_REGISTER_YMM0) +
                insn->index;
    if (z->mem.base != address_register(insn, insn->base))
        report(c, DIFF_MEMORY, "base %" PRIu64 ", Zydis %" PRIu64, insn->base, z->mem.base);
    if (z->mem.index != index || z->mem.scale != scale)
        report(c, DIFF_MEMORY, "index %" PRIu64 ", Zydis %" PRIu64, insn->index, z->mem.index);
    if (((insn->disp ^ z->mem.disp.value) & mask) != 0)
        report(c, DIFF_MEMORY, "disp %" PRIx64 ", Zydis %" PRIx64, insn->disp, z->mem.disp.value);
    if (z->mem.segment != (ZydisRegister)(ZYDIS_REGISTER_ES + insn->seg))
        report(c, DIFF_MEMORY, "seg %" PRIu64 ", Zydis %" PRIu64, insn->seg, z->mem.segment);
    if (op->kind == OPND_MEM && insn->mem_size * 8u != z->size)
        report(c, DIFF_MEMSIZE, "size %" PRIu64 ", Zydis %" PRIu64, insn->mem_size * 8, z->size);
}

static void compare_immediate(const Case *c, unsigned index, const ZydisDecodedOperand *z)
{
    const Insn *insn = &c->insn;
    bool second = index > 0 && insn->ops[index - 1].kind == OPND_IMM;
    uint64_t ours = second ? insn->imm2 : (uint64_t)insn->imm;
    uint64_t mask = insn->opsize == 8 ? ~0ull : (1ull << insn->opsize * 8) - 1;

    if (insn->ops[index].kind == OPND_REL)
        mask = ~0ull;
    if (insn->insn_class != INSN_CLASS_INTEGER || insn->ops[index].size > insn->opsize)
        mask = 0xffff;
    if ((ours ^ z->imm.value.u) & mask)
        report(c, DIFF_IMMEDIATE, "%" PRIx64 ", Zydis %" PRIx64, ours, z->imm.value.u);
}

static unsigned zydis_access(const ZydisDecodedOperand *z)
{
    return (z->actions & (ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD) ? OPND_READ
                                                                                     : 0) |
           (z->actions & (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE) ? OPND_WRITE
                                                                                       : 0);
}

static void compare_operands(const Case *c)
{
    const Insn *insn = &c->insn;
    unsigned first = 0;

    if (insn->flags & INSN_STRING) {
        /* Zydis lists the memory and register operands of string instructions. */
        for (unsigned i = 0; i < c->zi.operand_count; i++) {
            if (c->zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY && c->zo[i].size != insn->mem_size * 8u)
                report(c, DIFF_MEMSIZE, "size %" PRIu64 ", Zydis %" PRIu64, insn->mem_size * 8,
                       c->zo[i].size);
        }
        return;
    }
    /* Zydis hides ST(0) where it is implied. */
    if (insn->nops == c->zi.operand_count_visible + 1 && insn->ops[0].kind == OPND_ST)
        first = 1;
    if (insn->nops - first != c->zi.operand_count_visible) {
        report(c, DIFF_OPERAND, "%" PRIu64 " operands, Zydis %" PRIu64, insn->nops,
               c->zi.operand_count_visible);
        return;
    }
    for (unsigned i = first; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        const ZydisDecodedOperand *z = &c->zo[i - first];
        ZydisOperandType type = op->kind == OPND_MEM ? ZYDIS_OPERAND_TYPE_MEMORY
                                : op->kind == OPND_IMM || op->kind == OPND_REL
                                    ? ZYDIS_OPERAND_TYPE_IMMEDIATE
                                : op->kind == OPND_FAR ? ZYDIS_OPERAND_TYPE_POINTER
                                                       : ZYDIS_OPERAND_TYPE_REGISTER;
        if (type != z->type) {
            report(c, DIFF_OPERAND, "kind %" PRIu64 ", Zydis type %" PRIu64, op->kind, z->type);
            continue;
        }
        if (type == ZYDIS_OPERAND_TYPE_MEMORY)
            compare_memory(c, op, z);
        else if (type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            compare_immediate(c, i, z);
        else if (type == ZYDIS_OPERAND_TYPE_POINTER) {
            if (z->ptr.segment != insn->imm2 || z->ptr.offset != (uint64_t)insn->imm)
                report(c, DIFF_IMMEDIATE, "%" PRIx64 ", Zydis %" PRIx64, insn->imm, z->ptr.offset);
        } else if (z->reg.value != zydis_register(insn, op)) {
            report(c, DIFF_OPERAND, "register %" PRIu64 ", Zydis %" PRIu64, op->reg, z->reg.value);
        }
        if (op->access != zydis_access(z) && op->kind != OPND_IMM && op->kind != OPND_REL &&
            op->kind != OPND_FAR)
            report(c, DIFF_ACCESS, "%" PRIu64 ", Zydis %" PRIu64, i * 10 + op->access,
                   i * 10 + zydis_access(z));
    }
}

static void compare_flags(const Case *c)
{
    const Insn *insn = &c->insn;
    const ZydisAccessedFlags *f = c->zi.cpu_flags;
    uint32_t read = f ? f->tested & EFL_ARITH : 0;
    uint32_t written = f ? (f->modified | f->set_0 | f->set_1) & EFL_ARITH : 0;
    uint32_t undefined = f ? f->undefined & EFL_ARITH : 0;
    uint32_t our_read = insn->eflags_read & EFL_ARITH;
    uint32_t our_written = insn->eflags_written & EFL_ARITH;
    uint32_t our_undefined = insn->eflags_undefined & EFL_ARITH;

    if (insn->flags & INSN_EFLAGS_COND)
        our_read = read;
    our_read &= ~our_undefined | read; /* undefined, in fact passed through */
    if (read != our_read)
        report(c, DIFF_FLAGS_READ, "%" PRIx64 ", Zydis %" PRIx64, our_read, read);
    if (written != our_written || undefined != our_undefined)
        report(c, DIFF_FLAGS_WRITTEN, "%" PRIx64 ", Zydis %" PRIx64,
               our_written << 16 | our_undefined, written << 16 | undefined);
}

static void compare_decoded(const Case *c)
{
    const Insn *insn = &c->insn;

    if (insn->len != c->zi.length) {
        report(c, DIFF_LENGTH, "%" PRIu64 ", Zydis %" PRIu64, insn->len, c->zi.length);
        return;
    }
    if (strcmp(zydis_name(insn), ZydisMnemonicGetString(c->zi.mnemonic)) != 0) {
        report(c, DIFF_NAME, "", 0, 0);
        return;
    }
    if (insn->insn_class == INSN_CLASS_INTEGER && insn->opsize * 8 != c->zi.operand_width)
        report(c, DIFF_OPSIZE, "%" PRIu64 ", Zydis %" PRIu64, insn->opsize * 8,
               c->zi.operand_width);
    if (insn->addrsize * 8 != c->zi.address_width)
        report(c, DIFF_ADDRSIZE, "%" PRIu64 ", Zydis %" PRIu64, insn->addrsize * 8,
               c->zi.address_width);
    compare_operands(c);
    compare_flags(c);
}

static void compare_bytes(const Pair *pair, const uint8_t *bytes)
{
    Case c;

    c.pair = pair;
    c.bytes = bytes;
    c.status = insn_decode(&pair->mode, bytes, 15, &c.insn);
    c.zydis_ok = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&pair->zydis, bytes, 15, &c.zi, c.zo));
    total++;
    if (c.status != INSN_OK) {
        bool named_ud = c.status == INSN_UD && c.insn.op != OP_INVALID;
        if (c.zydis_ok && (!named_ud || c.zi.length != c.insn.len))
            report(&c, DIFF_ONLY_ZYDIS, "", 0, 0);
    } else if (!c.zydis_ok) {
        report(&c, DIFF_ONLY_VOLE, "", 0, 0);
    } else {
        valid++;
        compare_decoded(&c);
    }
}

/* Fills what follows ModRM with bytes that differ from each other and from call to call. */
static void fill_tail(uint8_t *p, unsigned n)
{
    uint64_t r = random64();
    memcpy(p, &r, n < 8 ? n : 8);
    if (n > 8) {
        r = random64();
        memcpy(p + 8, &r, n - 8);
    }
}

/* All opcodes of the four legacy maps with all ModRM bytes, under one set of prefixes. */
static void walk_legacy(const Pair *pair, const uint8_t *prefixes, unsigned count, bool full)
{
    static const uint8_t escapes[4][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};

    for (unsigned map = 0; map < 4; map++) {
        uint8_t bytes[32];
        unsigned n = count;
        memcpy(bytes, prefixes, count);
        for (unsigned i = 0; i < (map == 0 ? 0 : map == 1 ? 1 : 2); i++)
            bytes[n++] = escapes[map][i];
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            bytes[n] = opcode;
            for (unsigned modrm = 0; modrm < 256; modrm++) {
                if (!full && (modrm & 7) != (random64() & 7))
                    continue;
                bytes[n + 1] = modrm;
                fill_tail(bytes + n + 2, 12);
                compare_bytes(pair, bytes);
            }
        }
    }
}

static void walk_prefixes(const Pair *pair, bool full)
{
    static const uint8_t sets[][3] = {
        {0},
        {1, 0x66},
        {1, 0xf3},
        {1, 0xf2},
        {1, 0xf0},
        {1, 0x67},
        {2, 0x66, 0xf2},
        {2, 0x66, 0xf3},
        {2, 0xf2, 0x66},
        {2, 0xf2, 0xf3},
        {2, 0xf3, 0xf2},
        {2, 0x66, 0x67},
        {1, 0x64},
        {1, 0x2e},
        {2, 0xf0, 0x66},
    };
    static const uint8_t rex[] = {0, 0x40, 0x48, 0x4f, 0x44, 0x41};

    for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        for (unsigned r = 0; r < (pair->bits == 64 ? sizeof(rex) : 1); r++) {
            uint8_t prefixes[4];
            unsigned n = sets[i][0];
            memcpy(prefixes, sets[i] + 1, n);
            if (rex[r])
                prefixes[n++] = rex[r];
            walk_legacy(pair, prefixes, n, full);
        }
    }
}

/* VEX: maps 0 to 4, every pp, L, W, some vvvv and register extensions. */
static void walk_vex(const Pair *pair, bool full)
{
    for (unsigned selector = 0; selector < 5 * 16 * 4; selector++) {
        unsigned map = selector % 5, ppl = selector / 5 % 8, w = selector / 40 % 2;
        unsigned other_vvvv = selector / 80 % 2, rxb = selector / 160 % 2;
        uint8_t bytes[32];
        bytes[0] = 0xc4;
        bytes[1] = map | (rxb ? 0xe0 : pair->bits == 64 ? random64() & 0xe0 : 0xc0);
        bytes[2] = ppl | w << 7 | (other_vvvv ? random64() & 0x78 : 0x78);
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            bytes[3] = opcode;
            for (unsigned modrm = 0; modrm < 256; modrm++) {
                if (!full && (modrm & 7) != (random64() & 7))
                    continue;
                bytes[4] = modrm;
                fill_tail(bytes + 5, 10);
                compare_bytes(pair, bytes);
                if (map == 1 && !w) { /* the two-byte form */
                    uint8_t two[32] = {0xc5, (bytes[1] & 0x80) | (bytes[2] & 0x7f)};
                    if (pair->bits != 64)
                        two[1] |= 0xc0;
                    memcpy(two + 2, bytes + 3, 12);
                    compare_bytes(pair, two);
                }
            }
        }
    }
}

/* Every ModRM and SIB under every address size, segment prefix and REX. */
static void walk_addresses(const Pair *pair)
{
    static const uint8_t segments[] = {0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

    for (unsigned variant = 0; variant < 7 * 2 * 16; variant++) {
        uint8_t bytes[32];
        unsigned n = 0;
        if (segments[variant % 7])
            bytes[n++] = segments[variant % 7];
        if (variant / 7 % 2)
            bytes[n++] = 0x67;
        if (pair->bits == 64)
            bytes[n++] = 0x40 | variant / 14;
        else if (variant / 14)
            break;
        bytes[n++] = 0x8b;
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            for (unsigned sib = 0; sib < 256; sib++) {
                bytes[n] = modrm;
                bytes[n + 1] = sib;
                fill_tail(bytes + n + 2, 10);
                compare_bytes(pair, bytes);
            }
        }
    }
}

/* Random bytes; half of them with an opcode map chosen first, since plain noise is mostly ALU. */
static void walk_random(const Pair *pair, uint64_t count)
{
    static const uint8_t starts[8][3] = {{1, 0x0f},       {2, 0x0f, 0x38}, {2, 0x0f, 0x3a},
                                         {1, 0xc5},       {1, 0xc4},       {2, 0x66, 0x0f},
                                         {2, 0xf3, 0x0f}, {2, 0xf2, 0x0f}};
    for (uint64_t i = 0; i < count; i++) {
        uint8_t bytes[32];
        uint64_t how = random64();
        fill_tail(bytes, 16);
        if (how & 1)
            memcpy(bytes + (how >> 4 & 1), starts[how >> 1 & 7] + 1, starts[how >> 1 & 7][0]);
        else if ((how & 0xe) == 2) /* runs of prefixes, up to the length limit */
            for (unsigned k = 0; k < (how >> 4 & 15); k++)
                bytes[k] = "\x66\x67\xf2\xf3\xf0\x2e\x64\x48"[how >> (8 + 3 * k) & 7];
        compare_bytes(pair, bytes);
    }
}

static void print_found(const Found *f)
{
    char vole[128], zydis[128] = "-";
    Pair pair;
    Insn insn;
    ZydisDecodedInstruction zi;
    ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
    ZydisFormatter formatter;

    pair_init(&pair, f->mode);
    if (insn_decode(&pair.mode, f->bytes, 15, &insn) <= INSN_UD)
        insn_print(&insn, 0, vole, sizeof(vole));
    else
        strcpy(vole, "-");
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&pair.zydis, f->bytes, 15, &zi, zo)))
        ZydisFormatterFormatInstruction(&formatter, &zi, zo, zi.operand_count_visible, zydis,
                                        sizeof(zydis), 0, NULL);
    printf("# %d-bit: %s: %s (%" PRIu64 " times)\n#  ", f->mode, kind_names[f->kind], f->detail,
           f->count);
    for (unsigned i = 0; i < 15; i++)
        printf(" %02x", f->bytes[i]);
    printf("\n#   Vole:  %s\n#   Zydis: %s\n", vole, zydis);
}

int main(int argc, char **argv)
{
    uint64_t count = 300000, seed = 1;
    bool full = false;
    static const int widths[] = {16, 32, 64};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-n") && i + 1 < argc) {
            count = strtoull(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-s") && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "--full")) {
            full = true;
        } else if (!strcmp(argv[i], "--verbose")) {
            show_known = true;
        } else {
            fprintf(stderr, "usage: %s [-n random-count-per-mode] [-s seed] [--full] [--verbose]\n",
                    argv[0]);
            return 1;
        }
    }
    prepare_rules();
    for (unsigned m = 0; m < 3; m++) {
        Pair pair;
        uint64_t before = total, ok = valid;
        unsigned differences = found_count;
        clock_t start = clock();
        pair_init(&pair, widths[m]);
        random_state = seed * 3 + m;
        walk_prefixes(&pair, full);
        walk_vex(&pair, full);
        walk_addresses(&pair);
        walk_random(&pair, count);
        printf("%sok %u - %d-bit: %" PRIu64 " encodings, %" PRIu64
               " of them instructions, %.1f s\n",
               found_count > differences ? "not " : "", m + 1, widths[m], total - before,
               valid - ok, (double)(clock() - start) / CLOCKS_PER_SEC);
        fflush(stdout);
    }
    printf("known differences:\n");
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (known_counts[i] || show_known)
            printf("%10" PRIu64 "  %s\n", known_counts[i], known[i].reason);
    }
    for (unsigned i = 0; i < found_count; i++)
        print_found(&found[i]);
    printf("%u kinds of unexplained differences\n", found_count);
    return found_count != 0;
}
