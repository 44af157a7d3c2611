/*
 * The instruction oracle: every form of the decoder's tables, with random and corner operands, on
 * the host's processor and on the executor; registers, flags, vector and x87 state, memory and
 * faults have to agree.
 *
 *     oracle [-n CASES] [-seed N] [-form N] [-op NAME] [-v] [-progress] [-list] [-executor] [-jit] [-blocks N]
 *            [-programs N] [-program N]
 *
 * -v shows the inputs of more differences, -list what is not compared and why, -executor runs the
 * executor alone (under sanitizers, which do not let the native process be), -jit the translator in its place;
 * -blocks compares translated blocks of random instructions with the executor; -programs runs programs of several instructions,
 * with jumps, loops, faults, a device and changing code, on the host, the executor and the translator (-program: only that one).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/oracle/oracle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "target-i386/disas.h"

/* What cannot be compared, and why. */
static const struct {
    uint16_t op;
    const char *why;
} not_compared[] = {
    {OP_CPUID, "shows the model's features, not the host's"},
    {OP_RDTSC, "time"},
    {OP_RDTSCP, "time"},
    {OP_RDPMC, "counters"},
    {OP_RDPRU, "counters"},
    {OP_RDPID, "the host's processor number"},
    {OP_RDRAND, "random"},
    {OP_RDSEED, "random"},
    {OP_XGETBV, "the host has more state components"},
    {OP_XSAVE, "the host has more state components"},
    {OP_XSAVE64, "the host has more state components"},
    {OP_XSAVEOPT, "the host has more state components"},
    {OP_XSAVEOPT64, "the host has more state components"},
    {OP_XSAVEC, "the host has more state components"},
    {OP_XSAVEC64, "the host has more state components"},
    {OP_XRSTOR, "the host has more state components"},
    {OP_XRSTOR64, "the host has more state components"},
    {OP_FXSAVE, "MXCSR_MASK and reserved bytes are the model's"},
    {OP_FXSAVE64, "MXCSR_MASK and reserved bytes are the model's"},
    {OP_FXRSTOR, "guest tests; images of random bytes fault by MXCSR_MASK"},
    {OP_FXRSTOR64, "guest tests; images of random bytes fault by MXCSR_MASK"},
    {OP_SYSCALL, "would call the host's kernel"},
    {OP_SYSENTER, "would call the host's kernel"},
    {OP_INT, "would call the host's kernel"},
    {OP_INT3, "ends a case"},
    {OP_INT1, "ends a case"},
    {OP_INTO, "the host's kernel reports it as a trap"},
    {OP_VMCALL, "would call the host's hypervisor"},
    {OP_VMMCALL, "would call the host's hypervisor"},
    {OP_SGDT, "the host's kernel emulates it under UMIP"},
    {OP_SIDT, "the host's kernel emulates it under UMIP"},
    {OP_SMSW, "the host's kernel emulates it under UMIP"},
    {OP_SLDT, "the host's kernel emulates it under UMIP"},
    {OP_STR, "the host's kernel emulates it under UMIP"},
    {OP_LAR, "descriptor tables: tests/guest"},
    {OP_LSL, "descriptor tables: tests/guest"},
    {OP_VERR, "descriptor tables: tests/guest"},
    {OP_VERW, "descriptor tables: tests/guest"},
    {OP_MOV_SEG, "descriptor tables: tests/guest"},
    {OP_POP_SEG, "descriptor tables: tests/guest"},
    {OP_PUSH_SEG, "the host's FS and GS"},
    {OP_LES, "descriptor tables: tests/guest"},
    {OP_LDS, "descriptor tables: tests/guest"},
    {OP_LSS, "descriptor tables: tests/guest"},
    {OP_LFS, "descriptor tables: tests/guest"},
    {OP_LGS, "descriptor tables: tests/guest"},
    {OP_JMP_FAR, "descriptor tables: tests/guest"},
    {OP_JMP_FAR_IND, "descriptor tables: tests/guest"},
    {OP_CALL_FAR, "descriptor tables: tests/guest"},
    {OP_CALL_FAR_IND, "descriptor tables: tests/guest"},
    {OP_RETF, "descriptor tables: tests/guest"},
    {OP_IRET, "descriptor tables: tests/guest"},
    {OP_POPF, "would set TF under the comparison: tests/guest"},
    {OP_RDFSBASE, "the host's thread pointer"},
    {OP_WRFSBASE, "the host's thread pointer"},
    {OP_RDGSBASE, "the host's GS base"},
    {OP_WRGSBASE, "the host's GS base"},
    {OP_MONITORX, "hint"},
    {OP_MWAITX, "waits"},
    {OP_SERIALIZE, "not on this host"},
    {OP_RDPKRU, "the host kernel's keys"},
    {OP_WRPKRU, "the host kernel's keys"},
};

static OracleBatch *batch;
static uint64_t cases_run, differences;
static bool verbose, executor_only, all_pointers;
static unsigned shown_of_form;

const char *reason_not_compared(uint16_t op)
{
    for (unsigned i = 0; i < sizeof(not_compared) / sizeof(not_compared[0]); i++) {
        if (not_compared[i].op == op) {
            return not_compared[i].why;
        }
    }
    return NULL;
}

/* ---- comparing ---- */

static void compare(Report *r, const OracleCase *c, const OracleResult *got,
                    const OracleResult *want)
{
    /* In its misaligned mode the host reads only the half of a shift count that it uses. */
    if (oracle_get32(c->in.fx + 24) & 0x20000 && got->vector == 14 && want->vector < 0) {
        return;
    }
    if (got->vector != want->vector) {
        differ(r, "vector", (uint64_t)got->vector, (uint64_t)want->vector);
    } else if (got->vector == 14 && want->cr2 >> 63) {
        /* The host kernel's pages may be there, the guest has none. */
        if ((got->error ^ want->error) & ~1u) {
            differ(r, "error code", got->error, want->error);
        }
    } else if (got->vector >= 10 && got->vector <= 14 && got->error != want->error) {
        differ(r, "error code", got->error, want->error);
    }
    /* CMPS with two operands that fault: which of them is reported depends on how the host repeats
     * it. */
    bool cmps = (c->code[c->len - 1] & 0xfe) == 0xa6 && c->len <= 5;
    if (got->vector == 14 && want->vector == 14 && got->cr2 != want->cr2 &&
        !(cmps && got->cr2 >> 12 == want->cr2 >> 12)) {
        differ(r, "cr2", got->cr2, want->cr2);
    }
    /* AMD's POPA has loaded registers when it faults half-way; the executor's has not. It starts
     * over. */
    bool popa_faulted = c->len && c->code[c->len - 1] == 0x61 && !c->mode64 && want->vector >= 0;
    if (!popa_faulted) {
        compare_general(r, &got->out, &want->out, c->mode64);
    }
    if (got->out.rip != want->out.rip) {
        differ(r, "rip", got->out.rip, want->out.rip);
    }
    compare_flags(r, &got->out, &want->out);
    compare_fpu(r, &got->out, &want->out, all_pointers ? POINTERS_ALL : POINTERS_SAVED);
    if (memcmp(got->memory, want->memory, ORACLE_DATA_SIZE)) {
        compare_bytes(r, "memory", got->memory, want->memory, ORACLE_DATA_SIZE);
    }
}

static void show_case(const OracleCase *c, const Report *r)
{
    char text[128];
    Insn insn;

    guest_decode(c->code, c->len, c->mode64, &insn);
    insn_print(&insn, c->in.rip, text, sizeof(text));
    printf("# %s (%u bit, seed %" PRIx64 "%s):", text, c->mode64 ? 64 : 32, c->seed,
           c->step ? ", step" : "");
    for (unsigned i = 0; i < c->len; i++) {
        printf(" %02x", c->code[i]);
    }
    printf("\n%s", r->text);
    if (verbose) {
        for (unsigned i = 0; i < 16; i++) {
            printf("    r%-2u %016" PRIx64 "%s", i, c->in.regs[i], i % 4 == 3 ? "\n" : "");
        }
        printf("    eflags %x fcw %x fsw %x ftw %x mxcsr %x patch %x\n", c->in.eflags,
               oracle_get32(c->in.fx) & 0xffff, oracle_get32(c->in.fx) >> 16, c->in.fx[4], oracle_get32(c->in.fx + 24),
               c->patch);
    }
}

/* ---- running ---- */

static void run_batch(void)
{
    static OracleResult got;

    if (batch->count == 0) {
        return;
    }
    if (!executor_only && !native_run(batch)) {
        Report r = {.text = "    the native process died or hung here\n"};
        show_case(&batch->cases[batch->current], &r);
        differences++;
    }
    for (unsigned i = 0; i < batch->count; i++) {
        Report r = {.used = 0};
        if (executor_only) {
            guest_run(batch, &batch->cases[i], &got);
            cases_run++;
            continue;
        }
        if (!batch->results[i].ran) {
            continue;
        }
        guest_run(batch, &batch->cases[i], &got);
        compare(&r, &batch->cases[i], &got, &batch->results[i]);
        cases_run++;
        if (r.used) {
            differences++;
            if (shown_of_form++ < (verbose ? 10 : 2)) {
                show_case(&batch->cases[i], &r);
            }
        }
    }
    batch->count = 0;
}

static void run_form(const InsnForm *form, bool mode64, unsigned cases)
{
    unsigned tries = 0;

    shown_of_form = 0;
    generate_memory(batch->memory, sizeof(batch->memory));
    for (unsigned done = 0; done < cases && tries < 8 * cases; tries++) {
        if (generate_case(form, mode64, &batch->cases[batch->count])) {
            done++;
            if (++batch->count == ORACLE_BATCH) {
                run_batch();
            }
        }
    }
    run_batch();
}

/* ---- blocks: the translator against the executor ---- */

enum { LINE_MAX_INSNS = 10 };

/* What lines are made of. */
typedef enum LineMix {
    MIX_ALL,
    MIX_X87,    /* mostly x87, then vectors */
    MIX_VECTOR, /* MMX, SSE, AVX */
    MIX_COUNT
} LineMix;

static bool fits_mix(const InsnForm *form, LineMix mix)
{
    bool x87 = form->insn_class == INSN_CLASS_X87 || form->insn_class == INSN_CLASS_X87_NOWAIT;
    bool integer = form->insn_class == INSN_CLASS_INTEGER;

    switch (mix) {
    case MIX_X87:
        return x87 || oracle_random() % 24 == 0;
    case MIX_VECTOR:
        return (!integer && !x87) || oracle_random() % 8 == 0;
    default:
        return true;
    }
}

/* One instruction that goes on behind itself; its case's state counts for the first of a line only. */
static bool random_straight_case(bool mode64, LineMix mix, OracleCase *c)
{
    InsnForm form;
    Insn insn;

    insn_form(oracle_random() % insn_form_count(), &form);
    return fits_mix(&form, mix) && !reason_not_compared(form.op) && guest_has_feature(form.feature) &&
           generate_case(&form, mode64, c) && !c->step &&
           guest_decode(c->code, c->len, mode64, &insn) == INSN_OK &&
           !(insn.flags & (INSN_BRANCH | INSN_ENDS_BLOCK | INSN_SYSTEM | INSN_IOPL | INSN_SHADOW));
}

static void run_line(bool mode64, LineMix mix)
{
    static OracleResult got, want;
    static OracleCase first, c;
    uint8_t code[LINE_MAX_INSNS * INSN_MAX_LENGTH];
    unsigned len = 0, n = 0, most = 1 + oracle_random() % LINE_MAX_INSNS;

    while (n < most) {
        OracleCase *to = n ? &c : &first;
        if (random_straight_case(mode64, mix, to)) {
            memcpy(code + len, to->code, to->len);
            len += to->len;
            n++;
        }
    }
    Report r = {.used = 0};
    guest_run_line(batch, &first, code, len, false, &want);
    guest_run_line(batch, &first, code, len, true, &got);
    compare(&r, &first, &got, &want);
    cases_run++;
    if (r.used) {
        differences++;
        if (shown_of_form++ < 5) {
            uint64_t at = first.in.rip;
            for (unsigned i = 0; i < len;) {
                Insn insn;
                char text[128];
                guest_decode(code + i, len - i, mode64, &insn);
                insn_print(&insn, at + i, text, sizeof(text));
                printf("# %s\n", text);
                i += insn.len;
            }
            printf("# ended at +%d, the executor at +%d of %u\n%s", (int)(got.out.rip - at),
                   (int)(want.out.rip - at), len, r.text);
        }
    }
}

static void run_lines(uint64_t seed, unsigned long lines)
{
    guest_use_translator();
    all_pointers = true;
    oracle_seed(seed);
    for (unsigned long i = 0; i < lines; i++) {
        if (i % 64 == 0) {
            generate_memory(batch->memory, sizeof(batch->memory));
        }
        run_line(i & 1, i / 2 % MIX_COUNT);
    }
    printf("%s - oracle: %" PRIu64 " blocks, %" PRIu64 " differ\n", differences ? "not ok" : "ok",
           cases_run, differences);
}

static void usage(void)
{
    fprintf(stderr, "usage: oracle [-n CASES] [-seed N] [-form N] [-op NAME] [-v] [-progress] "
                    "[-list] [-executor] [-jit] [-blocks N] [-programs N] [-program N]\n");
    exit(2);
}

static void list_not_compared(void)
{
    for (unsigned i = 0; i < sizeof(not_compared) / sizeof(not_compared[0]); i++) {
        printf("%-12s %s\n", insn_op_name(not_compared[i].op), not_compared[i].why);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    unsigned cases = 16, forms = 0;
    long only_form = -1;
    const char *only_op = NULL;
    bool progress = false;
    unsigned long lines = 0, programs = 0;
    uint64_t only_program = UINT64_MAX;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-v")) {
            verbose = true;
        } else if (!strcmp(argv[i], "-progress")) {
            progress = true;
        } else if (!strcmp(argv[i], "-executor")) {
            executor_only = true;
        } else if (!strcmp(argv[i], "-jit")) {
            guest_use_translator();
        } else if (!strcmp(argv[i], "-list")) {
            list_not_compared();
            return 0;
        } else if (i + 1 == argc) {
            usage();
        } else if (!strcmp(argv[i], "-n")) {
            cases = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-blocks")) {
            lines = strtoul(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-programs")) {
            programs = strtoul(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-program")) {
            only_program = strtoull(argv[++i], NULL, 0);
            programs = 1;
        } else if (!strcmp(argv[i], "-seed")) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-form")) {
            only_form = strtol(argv[++i], NULL, 0);
        } else if (!strcmp(argv[i], "-op")) {
            only_op = argv[++i];
        } else {
            usage();
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    batch = mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (batch == MAP_FAILED) {
        perror("oracle");
        return 1;
    }
    generate_init(guest_init());
    if (programs) {
        return run_programs(seed, programs, only_program, progress) != 0;
    }
    if (lines) {
        run_lines(seed, lines);
        return differences != 0;
    }
    for (size_t i = 0; i < insn_form_count(); i++) {
        InsnForm form;
        insn_form(i, &form);
        if (reason_not_compared(form.op) || !guest_has_feature(form.feature) ||
            (only_form >= 0 && (size_t)only_form != i) ||
            (only_op && strcmp(only_op, insn_op_name(form.op)) &&
             strcasecmp(only_op, insn_op_name(form.op)))) {
            continue;
        }
        forms++;
        for (int mode64 = 0; mode64 < 2; mode64++) {
            oracle_seed(seed * 0x100000001b3ull + i * 2 + (unsigned)mode64);
            run_form(&form, mode64, cases);
        }
        if (progress && forms % 100 == 0) {
            fprintf(stderr, "oracle: %zu of %zu forms, %" PRIu64 " cases, %" PRIu64 " differ\n", i,
                    insn_form_count(), cases_run, differences);
        }
    }
    printf("%s - oracle: %u forms, %" PRIu64 " cases, %" PRIu64 " differ\n",
           differences ? "not ok" : "ok", forms, cases_run, differences);
    return differences != 0;
}
