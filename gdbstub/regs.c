/*
 * The registers that GDB is told of: the target description (GDB manual, appendix G) and its
 * values.
 *
 * The description is made when GDB asks for it, of the first vCPU's mode:
 *  - in long mode, that of a 64-bit processor ("i386:x86-64");
 *  - in 32-bit code with paging, as a 32-bit system runs, and on processors without long mode, that
 * of a 32-bit one;
 *  - else, on the way from reset to a system of either kind, both sets of registers are in it, RAX
 * and EAX, so that GDB accepts it for a 64-bit program as well as for a 32-bit one: a kernel's
 * symbols may be loaded while the machine still stands at its reset vector. The architecture is
 * "i386" in 32-bit code and "i8086" in 16-bit code, which GDB then disassembles as such. GDB asks
 * once a connection. "unset tdesc filename" makes it ask again after a mode switch.
 *
 * In such a double description pointers are plain numbers: GDB's pointer types change their size
 * with GDB's architecture, and the layout of packets must not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gdbstub/gdbstub-int.h"
#include "target-i386/cpuid.h"

/* Names that GDB knows, and ours. */
static const char core[] = "org.gnu.gdb.i386.core", sse[] = "org.gnu.gdb.i386.sse",
                  avx[] = "org.gnu.gdb.i386.avx", segments[] = "org.gnu.gdb.i386.segments",
                  system_regs[] = "org.vole.x86.system";

/* In the order of GDB's numbers for registers. */
static const char *const names64[16] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
static const uint8_t order64[16] = {R_AX, R_BX, R_CX, R_DX, R_SI, R_DI, R_BP, R_SP,
                                    R_8,  R_9,  R_10, R_11, R_12, R_13, R_14, R_15};
static const char *const names32[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
static const struct {
    const char *name;
    uint8_t seg;
} segs[6] = {{"cs", SEG_CS}, {"ss", SEG_SS}, {"ds", SEG_DS},
             {"es", SEG_ES}, {"fs", SEG_FS}, {"gs", SEG_GS}};

/* ---- the list ---- */

static void __attribute__((format(printf, 7, 8)))
add(GdbDescription *d, const char *feature, const char *type, unsigned bits, DebuggerReg kind,
    unsigned index, const char *fmt, ...)
{
    GdbReg *r = &d->regs[d->count++];
    va_list ap;

    *r = (GdbReg){.feature = feature,
                  .type = type,
                  .bits = (uint16_t)bits,
                  .kind = (uint8_t)kind,
                  .index = (uint8_t)index};
    va_start(ap, fmt);
    vsnprintf(r->name, sizeof(r->name), fmt, ap);
    va_end(ap);
}

static void add_general64(GdbDescription *d, bool pointers)
{
    for (unsigned i = 0; i < 16; i++) {
        bool pointer = pointers && (order64[i] == R_SP || order64[i] == R_BP);
        add(d, core, pointer ? "data_ptr" : "int64", 64, DEBUGGER_REG_GENERAL, order64[i], "%s",
            names64[i]);
    }
    add(d, core, pointers ? "code_ptr" : "uint64", 64, DEBUGGER_REG_PC, 0, "rip");
}

static void add_general32(GdbDescription *d, bool pointers)
{
    for (unsigned i = 0; i < 8; i++) {
        bool pointer = pointers && (i == R_SP || i == R_BP);
        add(d, core, pointer ? "data_ptr" : "int32", 32, DEBUGGER_REG_GENERAL, i, "%s", names32[i]);
    }
    add(d, core, pointers ? "code_ptr" : "uint32", 32, DEBUGGER_REG_PC, 0, "eip");
}

static void add_fpu(GdbDescription *d, unsigned vectors)
{
    static const char *const names[] = {"fctrl", "fstat", "ftag",  "fiseg",
                                        "fioff", "foseg", "fooff", "fop"};

    for (unsigned i = 0; i < 8; i++) {
        add(d, core, "i387_ext", 80, DEBUGGER_REG_ST, i, "st%u", i);
    }
    for (unsigned i = 0; i < 8; i++) {
        add(d, core, "int", 32, DEBUGGER_REG_X87, i, "%s", names[i]);
    }
    for (unsigned i = 0; i < vectors; i++) {
        add(d, sse, "vec128", 128, DEBUGGER_REG_XMM, i, "xmm%u", i);
    }
    if (vectors) {
        add(d, sse, "i386_mxcsr", 32, DEBUGGER_REG_MXCSR, 0, "mxcsr");
    }
}

static void add_system(GdbDescription *d, const char *base_feature, bool lm)
{
    static const uint8_t controls[] = {0, 2, 3, 4, 8};
    unsigned bits = lm ? 64 : 32;
    const char *type = lm ? "uint64" : "uint32";

    add(d, base_feature, type, bits, DEBUGGER_REG_SEG_BASE, SEG_FS, "fs_base");
    add(d, base_feature, type, bits, DEBUGGER_REG_SEG_BASE, SEG_GS, "gs_base");
    for (unsigned i = 0; i < 4; i++) {
        add(d, system_regs, type, bits, DEBUGGER_REG_SEG_BASE, segs[i].seg, "%s_base",
            segs[i].name);
    }
    if (lm) {
        add(d, system_regs, type, bits, DEBUGGER_REG_KERNEL_GS_BASE, 0, "k_gs_base");
    }
    for (unsigned i = 0; i < sizeof(controls) - !lm; i++) {
        unsigned n = controls[i];
        add(d, system_regs,
            n == 0   ? "x86_cr0"
            : n == 4 ? "x86_cr4"
                     : type,
            bits, DEBUGGER_REG_CONTROL, n, "cr%u", n);
    }
    if (lm) {
        add(d, system_regs, "x86_efer", bits, DEBUGGER_REG_EFER, 0, "efer");
    }
}

/* lm: 64-bit registers; both: 32-bit ones, too. */
static void list_registers(GdbDescription *d, CPUX86State *env, bool lm, bool both)
{
    unsigned vectors = !cpu_has_bit(env, FEAT_1_EDX, F1D_SSE) ? 0 : lm ? 16 : 8;

    d->count = 0;
    if (lm) {
        add_general64(d, !both);
    } else {
        add_general32(d, true);
    }
    add(d, core, "i386_eflags", 32, DEBUGGER_REG_FLAGS, 0, "eflags");
    for (unsigned i = 0; i < 6; i++) {
        add(d, core, "int32", 32, DEBUGGER_REG_SELECTOR, segs[i].seg, "%s", segs[i].name);
    }
    add_fpu(d, vectors);
    add_system(d, lm && !both ? segments : system_regs, lm);
    if (vectors && cpu_has_bit(env, FEAT_1_ECX, F1C_AVX)) {
        for (unsigned i = 0; i < vectors; i++) {
            add(d, avx, "uint128", 128, DEBUGGER_REG_YMM_HIGH, i, "ymm%uh", i);
        }
    }
    if (both) {
        add_general32(d, false);
    }
}

/* ---- XML ---- */

/* "CF0 - PF2": names with their bits. */
static void put_flags(Buffer *xml, const char *id, unsigned size, const char *fields)
{
    char name[16];
    int bit, used;

    buffer_printf(xml, "<flags id=\"%s\" size=\"%u\">", id, size);
    while (sscanf(fields, " %15[A-Z_]:%d%n", name, &bit, &used) == 2) {
        buffer_printf(xml, "<field name=\"%s\" start=\"%d\" end=\"%d\"/>", name, bit, bit);
        fields += used;
    }
    buffer_printf(xml, "</flags>");
}

static void put_vector_types(Buffer *xml)
{
    static const struct {
        const char *id, *type;
        unsigned count;
    } vectors[] = {{"v4_float", "ieee_single", 4}, {"v2_double", "ieee_double", 2},
                   {"v16_int8", "int8", 16},       {"v8_int16", "int16", 8},
                   {"v4_int32", "int32", 4},       {"v2_int64", "int64", 2}};
    const unsigned n = sizeof(vectors) / sizeof(vectors[0]);

    for (unsigned i = 0; i < n; i++) {
        buffer_printf(xml, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>", vectors[i].id,
                      vectors[i].type, vectors[i].count);
    }
    buffer_printf(xml, "<union id=\"vec128\">");
    for (unsigned i = 0; i < n; i++) {
        buffer_printf(xml, "<field name=\"%s\" type=\"%s\"/>", vectors[i].id, vectors[i].id);
    }
    buffer_printf(xml, "<field name=\"uint128\" type=\"uint128\"/></union>");
}

/* Bits by the SDM's names: vol. 1, 3.4.3 and 10.2.3; vol. 3, 2.5 and 2.2.1. */
static void put_types(Buffer *xml, const char *feature, bool lm)
{
    unsigned size = lm ? 8 : 4;

    if (feature == core) {
        put_flags(xml, "i386_eflags", 4,
                  "CF:0 PF:2 AF:4 ZF:6 SF:7 TF:8 IF:9 DF:10 OF:11 NT:14 RF:16 VM:17 AC:18 VIF:19 "
                  "VIP:20 ID:21");
    } else if (feature == sse) {
        put_vector_types(xml);
        put_flags(xml, "i386_mxcsr", 4,
                  "IE:0 DE:1 ZE:2 OE:3 UE:4 PE:5 DAZ:6 IM:7 DM:8 ZM:9 OM:10 UM:11 PM:12 FZ:15");
    } else if (feature == system_regs) {
        put_flags(xml, "x86_cr0", size,
                  "PE:0 MP:1 EM:2 TS:3 ET:4 NE:5 WP:16 AM:18 NW:29 CD:30 PG:31");
        put_flags(xml, "x86_cr4", size,
                  "VME:0 PVI:1 TSD:2 DE:3 PSE:4 PAE:5 MCE:6 PGE:7 PCE:8 OSFXSR:9 OSXMMEXCPT:10 "
                  "UMIP:11 LA:12 "
                  "FSGSBASE:16 PCIDE:17 OSXSAVE:18 SMEP:20 SMAP:21");
        if (lm) {
            put_flags(xml, "x86_efer", 8, "SCE:0 LME:8 LMA:10 NXE:11 FFXSR:14");
        }
    }
}

static void put_feature(Buffer *xml, const GdbDescription *d, const char *feature, bool lm)
{
    bool begun = false;

    for (unsigned i = 0; i < d->count; i++) {
        const GdbReg *r = &d->regs[i];
        if (r->feature != feature) {
            continue;
        }
        if (!begun) {
            buffer_printf(xml, "<feature name=\"%s\">", feature);
            put_types(xml, feature, lm);
            begun = true;
        }
        buffer_printf(xml, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>\n",
                      r->name, r->bits, r->type, i,
                      feature == system_regs ? " save-restore=\"no\"" : "");
    }
    if (begun) {
        buffer_printf(xml, "</feature>");
    }
}

void gdb_describe(GdbDescription *d, CPUX86State *env)
{
    bool long_mode = env->hflags & HF_LMA,
         system32 = (env->hflags & (HF_CS32 | HF_PG)) == (HF_CS32 | HF_PG);
    bool lm = long_mode || (cpu_has_bit(env, FEAT_80000001_EDX, FXD_LM) && !system32);
    const char *const features[] = {core, sse, segments, avx, system_regs};

    list_registers(d, env, lm, lm && !long_mode);
    buffer_clear(&d->xml);
    buffer_printf(
        &d->xml,
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
        "<architecture>%s</architecture><osabi>none</osabi>\n",
        long_mode               ? "i386:x86-64"
        : env->hflags & HF_CS32 ? "i386"
                                : "i8086");
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        put_feature(&d->xml, d, features[i], lm);
    }
    buffer_printf(&d->xml, "</target>\n");
}

/* ---- values ---- */

void gdb_reg_get(CPUX86State *env, const GdbReg *reg, uint8_t *value)
{
    uint8_t all[16];

    debugger_reg_read(env, reg->kind, reg->index, all);
    memcpy(value, all, gdb_reg_size(reg));
}

/* A narrow view of a register leaves its upper part alone, so the order of EAX and RAX does not
 * matter. */
bool gdb_reg_set(CPUX86State *env, const GdbReg *reg, const uint8_t *value)
{
    uint8_t all[16];

    debugger_reg_read(env, reg->kind, reg->index, all);
    memcpy(all, value, gdb_reg_size(reg));
    return debugger_reg_write(env, reg->kind, reg->index, all);
}
