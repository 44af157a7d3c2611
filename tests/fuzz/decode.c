/*
 * Fuzzes the decoder and the printer: any bytes in any mode with any set of features, at the very
 * end of an allocation so that a read beyond is seen. Lengths, offsets and register numbers must
 * stay in their bounds, a truncated instruction must not decode differently, and printing must not
 * leave its buffer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target-i386/disas.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_insn(const Insn *insn, const uint8_t *bytes, size_t avail)
{
    MUST(insn->len >= 1 && insn->len <= INSN_MAX_LENGTH && insn->len <= avail);
    MUST(memcmp(insn->raw, bytes, insn->len) == 0);
    MUST(insn->op > OP_INVALID && insn->op < OP_COUNT);
    MUST(insn->nops <= INSN_MAX_OPERANDS);
    MUST(insn->off_opcode < insn->len && insn->raw[insn->off_opcode] == insn->opcode);
    MUST(!insn->off_modrm || insn->raw[insn->off_modrm] == insn->modrm);
    MUST(insn->off_disp + (insn->off_disp ? insn->disp_size : 0) <= insn->len);
    MUST(insn->off_imm + (insn->off_imm ? insn->imm_size : 0) <= insn->len);
    MUST(insn->opsize == 1 || insn->opsize == 2 || insn->opsize == 4 || insn->opsize == 8);
    MUST(insn->addrsize == 2 || insn->addrsize == 4 || insn->addrsize == 8);
    MUST(insn->base < 16 || insn->base == INSN_REG_RIP || insn->base == INSN_REG_NONE);
    MUST(insn->index < 16 || insn->index == INSN_REG_NONE);
    MUST(insn->seg <= INSN_SEG_GS);
    MUST(insn->form < insn_form_count());
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        MUST(op->kind != OPND_NONE && op->kind <= OPND_KREG);
        MUST(op->reg < 16);
        MUST(op->kind != OPND_SEG || op->reg <= INSN_SEG_GS);
        MUST((op->kind != OPND_MMX && op->kind != OPND_ST) || op->reg < 8);
        MUST(op->kind != OPND_GPR8H || op->reg < 4);
    }
}

static void one_mode(const DecodeMode *mode, const uint8_t *bytes, size_t avail)
{
    uint8_t *exact = malloc(avail ? avail : 1);
    Insn insn, again;
    InsnStatus status;
    char text[128];

    memcpy(exact, bytes, avail);
    status = insn_decode(mode, exact, avail, &insn);
    MUST(status != INSN_TRUNCATED || avail < INSN_MAX_LENGTH);
    if (status == INSN_OK || status == INSN_UD) {
        if (status == INSN_OK)
            check_insn(&insn, exact, avail);
        for (size_t size = 1; size <= sizeof(text); size += size < 20 ? 1 : 27) {
            char *small = malloc(size);
            insn_print(&insn, 0xfffffffffffffff0, small, size);
            MUST(memchr(small, 0, size));
            free(small);
        }
        insn_print(&insn, 0x1000, text, sizeof(text));
        MUST(strlen(text) < sizeof(text) - 1);
        MUST(insn.len == 0 || insn_decode(mode, exact, insn.len - 1, &again) == INSN_TRUNCATED);
        MUST(insn_decode(mode, exact, insn.len, &again) == status);
        MUST(memcmp(&insn, &again, sizeof(insn)) == 0);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* First byte: mode and how many features are off; a few bytes of features; the rest is code. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t sizes[3] = {2, 4, 8};
    DecodeMode mode = {.code_size = 4};

    if (size < 4)
        return 0;
    mode.code_size = sizes[data[0] % 3];
    mode.protected_mode = mode.code_size == 8 || data[0] & 0x80;
    for (int f = 0; f < CPUF_COUNT; f++)
        insn_features_set(&mode.features, f);
    if (data[0] & 0x40) {
        insn_features_clear(&mode.features, data[1] % CPUF_COUNT);
        insn_features_clear(&mode.features, data[2] % CPUF_COUNT);
    }
    data += 3;
    size -= 3;
    one_mode(&mode, data, size < 16 ? size : 16);
    return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
    uint64_t state = 1;
    long runs = 1000000;

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "-runs=", 6))
            runs = atol(argv[i] + 6);
    }
    for (long i = 0; i < runs; i++) {
        uint8_t data[24];
        for (size_t k = 0; k < sizeof(data); k++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            data[k] = state >> 56;
        }
        LLVMFuzzerTestOneInput(data, 4 + i % 20);
    }
    printf("%ld runs\n", runs);
    return 0;
}
#endif
