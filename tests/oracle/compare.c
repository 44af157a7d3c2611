/*
 * What differs between two states.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/oracle/oracle.h"

#define FLAGS_COMPARED 0x244cd5u /* arithmetic, DF, NT, AC, ID */

uint32_t oracle_get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

void differ(Report *r, const char *what, uint64_t got, uint64_t want)
{
    if (r->used < sizeof(r->text) - 100) {
        r->used += (size_t)snprintf(r->text + r->used, sizeof(r->text) - r->used,
                                    "    %s: executor %016" PRIx64 ", host %016" PRIx64 "\n", what,
                                    got, want);
    }
}

void compare_bytes(Report *r, const char *what, const uint8_t *got, const uint8_t *want,
                          size_t n)
{
    char name[40];
    uint64_t a = 0, b = 0;

    for (size_t i = 0; i < n; i += 8) {
        size_t part = n - i < 8 ? n - i : 8;
        if (memcmp(got + i, want + i, part)) {
            memcpy(&a, got + i, part);
            memcpy(&b, want + i, part);
            snprintf(name, sizeof(name), "%s+%zx", what, i);
            differ(r, name, a, b);
        }
    }
}

void compare_fpu(Report *r, const OracleState *got, const OracleState *want, ComparePointers pointers)
{
    static const struct {
        const char *name;
        unsigned at, size;
    } fields[] = {{"FCW", 0, 2}, {"FSW", 2, 2},  {"FTW", 4, 1},   {"FOP", 6, 2},
                  {"FIP", 8, 8}, {"FDP", 16, 8}, {"MXCSR", 24, 4}};
    char name[16];

    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        /* AMD's processors save the pointers only with an unmasked exception (APM vol. 5, FXSAVE).
         */
        bool pointer = fields[i].at >= 6 && fields[i].at < 24;
        if (pointer && (pointers == POINTERS_NONE || (pointers == POINTERS_SAVED && !(want->fx[2] & 0x80)))) {
            continue;
        }
        compare_bytes(r, fields[i].name, got->fx + fields[i].at, want->fx + fields[i].at,
                      fields[i].size);
    }
    if (pointers == POINTERS_ALL && (got->fcs != want->fcs || got->fds != want->fds)) {
        differ(r, "FDS:FCS", (uint64_t)got->fds << 16 | got->fcs, (uint64_t)want->fds << 16 | want->fcs);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "ST%u", i);
        compare_bytes(r, name, got->fx + 32 + 16 * i, want->fx + 32 + 16 * i, 10);
    }
    for (unsigned i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "XMM%u", i);
        compare_bytes(r, name, got->fx + 160 + 16 * i, want->fx + 160 + 16 * i, 16);
        snprintf(name, sizeof(name), "YMM%u.h", i);
        compare_bytes(r, name, got->ymmh[i], want->ymmh[i], 16);
    }
}

void compare_general(Report *r, const OracleState *got, const OracleState *want, bool mode64)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    uint64_t mask = mode64 ? ~0ull : 0xffffffff;

    for (unsigned i = 0; i < (mode64 ? 16 : 8); i++) {
        if ((got->regs[i] ^ want->regs[i]) & mask) {
            differ(r, names[i], got->regs[i] & mask, want->regs[i] & mask);
        }
    }
}

void compare_flags(Report *r, const OracleState *got, const OracleState *want)
{
    if ((got->eflags ^ want->eflags) & FLAGS_COMPARED) {
        differ(r, "eflags", got->eflags & FLAGS_COMPARED, want->eflags & FLAGS_COMPARED);
    }
}
