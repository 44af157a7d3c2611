/*
 * Compares the decoder with the processor it runs on: does an encoding raise #UD, how long is it,
 * how many bytes of memory does it access, does it write them, must they be aligned, which flags
 * does it read and write. Every encoding is single-stepped in user mode, with its last byte at the
 * end of a page and again one byte further, where it must fault on its last byte. Code runs in
 * 64-bit and 32-bit mode, and 16-bit where the kernel grants a 16-bit segment.
 *
 * All general registers are zero, so that memory operands fault and nothing is harmed (RBX alone
 * points to data where the memory operand is looked at); what would enter the kernel is left out.
 * The decoder follows AMD's processors where makers differ, so the program has nothing to say on
 * others.
 *
 *     host [--full]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <asm/ldt.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "target-i386/disas.h"
#include "target-i386/insn.h"

enum { PAGE = 4096, TRAP_DB = 1, TRAP_UD = 6, TRAP_GP = 13, TRAP_PF = 14, FETCH = 0x10 };

static uint8_t *data; /* two pages of zeros, then one that is not there */
static uint64_t rbx;
static bool use_registers; /* start with these, and these flags */
static uint64_t registers[REG_RSP], flags;
static uint8_t *code; /* two pages, writable; the second one faults where it is executed */
static uint8_t *run_at;
static DecodeMode mode;
static uint16_t code_selector;
static uint64_t code_base; /* of the code segment */
static unsigned long fs_base;
static uint64_t random_state = 1;
static uint64_t total, differences;

/* The result of a run. */
static volatile struct {
    int trap;
    uint64_t error, address, ip, flags;
    uint64_t regs[REG_RSP];
} result;

/* Between run() and the handler: entering is a breakpoint that the handler turns into the test. */
static volatile bool entering;
static uint64_t start_ip;
static ucontext_t home;

static void __attribute__((no_stack_protector)) handler(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    greg_t *regs = context->uc_mcontext.gregs;

    __asm__ volatile("wrfsbase %0" : : "r"(fs_base));
    if (entering) {
        entering = false;
        memcpy(home.uc_mcontext.gregs, regs, sizeof(home.uc_mcontext.gregs));
        memset(regs, 0, REG_RSP * sizeof(*regs)); /* R8..R15, DI, SI, BP, BX, DX, AX, CX */
        regs[REG_RSP] = 0;
        regs[REG_RBX] = rbx;
        regs[REG_RIP] = start_ip - code_base;
        regs[REG_EFL] = 0x102; /* TF */
        if (use_registers) {
            memset(context->uc_mcontext.fpregs->_xmm, 0x3f, 16 * 16);
            memcpy(regs, registers, sizeof(registers));
            regs[REG_EFL] |= flags;
        }
        regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | code_selector;
        /* FS-relative operands must not reach the thread's own data. */
        __asm__ volatile("wrfsbase %0" : : "r"(0ul));
        return;
    }
    result.trap = regs[REG_TRAPNO];
    result.error = regs[REG_ERR];
    result.address = signal == SIGSYS ? 0 : regs[REG_CR2];
    result.ip = regs[REG_RIP] + code_base;
    result.flags = regs[REG_EFL];
    memcpy((void *)result.regs, regs, sizeof(result.regs));
    memcpy(regs, home.uc_mcontext.gregs, sizeof(home.uc_mcontext.gregs));
    context->uc_mcontext.fpregs->mxcsr = 0x1f80;
    context->uc_mcontext.fpregs->cwd = 0x37f;
    context->uc_mcontext.fpregs->swd = 0;
}

static void run(const uint8_t *at)
{
    start_ip = (uintptr_t)at;
    entering = true;
    __asm__ volatile("int3"
                     :
                     :
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
}

static bool faulted_on_next_page(void)
{
    return result.trap == TRAP_PF && result.error & FETCH &&
           result.address == (uintptr_t)run_at + PAGE;
}

/* Instructions that raise #UD for another reason than their encoding at this privilege. */
static bool ud_by_state(const Insn *insn)
{
    static const uint16_t ops[] = {OP_CLAC, OP_STAC,     OP_MONITOR, OP_MWAIT,
                                   OP_RSM,  OP_SYSENTER, OP_SYSEXIT};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (insn->op == ops[i])
            return true;
    }
    return false;
}

/* What leaves the sandbox, or could wait for long. */
static bool left_out(const Insn *insn)
{
    return insn->op == OP_INT || insn->op == OP_SYSCALL || insn->op == OP_SYSENTER ||
           insn->op == OP_MWAITX || insn->op == OP_INT3 || insn->op == OP_INT1;
}

/* Encodings that the processor knows and the decoder has on purpose as #UD. */
static bool known_gap(const Insn *insn)
{
    bool vex = insn->prefixes & INSN_PFX_VEX;

    if (vex && insn->map == INSN_MAP_0F) /* AVX-512 mask registers */
        return (insn->opcode >= 0x41 && insn->opcode <= 0x4b) ||
               (insn->opcode >= 0x90 && insn->opcode <= 0x99);
    if (vex &&
        insn->map == INSN_MAP_0F3A) /* the same; VPERMQ and VPERMPD with W = 0: undocumented */
        return (insn->opcode >= 0x30 && insn->opcode <= 0x33) || insn->opcode <= 0x01;
    if (vex || insn->map != INSN_MAP_0F)
        return false;
    switch (insn->opcode) {
    case 0x00: /* LOCK VERW with memory: not documented */
        return insn->prefixes & INSN_PFX_LOCK && (insn->modrm & 0xf8) != 0xe8;
    case 0x01: /* VMMCALL under its Intel name, for hypervisors; INVLPGB, TLBSYNC, SNP */
        return insn->modrm == 0xc1 || insn->modrm == 0xfe || insn->modrm == 0xff;
    case 0x20:
    case 0x22: /* LOCK MOV CR0 is CR8 in AMD's 32-bit mode */
        return insn->prefixes & INSN_PFX_LOCK && (insn->modrm & 0x38) == 0;
    default:
        return false;
    }
}

static void complain(const char *what, const uint8_t *bytes, const Insn *insn)
{
    char text[128];

    if (++differences > 60)
        return;
    printf("# %d-bit: %s:", mode.code_size * 8, what);
    for (int i = 0; i < 12; i++)
        printf(" %02x", bytes[i]);
    printf("  %s (length %u; trap %d error %" PRIx64 ")\n", insn_print(insn, 0, text, sizeof(text)),
           insn->len, result.trap, result.error);
}

static void check(const uint8_t *bytes)
{
    Insn insn;
    InsnStatus status = insn_decode(&mode, bytes, INSN_MAX_LENGTH, &insn);

    total++;
    if (status == INSN_OK && !left_out(&insn)) {
        memcpy(code + PAGE - insn.len, bytes, insn.len);
        run(run_at + PAGE - insn.len);
        if (result.trap == TRAP_UD) {
            if (!ud_by_state(&insn))
                complain("the processor says #UD", bytes, &insn);
            return;
        }
        if (faulted_on_next_page() && result.ip == start_ip) {
            complain("longer on the processor", bytes, &insn);
            return;
        }
        memcpy(code + PAGE - insn.len + 1, bytes, insn.len - 1);
        if (insn.len > 1) {
            run(run_at + PAGE - insn.len + 1);
            if (!faulted_on_next_page())
                complain("shorter on the processor", bytes, &insn);
        }
    } else if (status == INSN_UD) {
        memcpy(code + PAGE - INSN_MAX_LENGTH, bytes, INSN_MAX_LENGTH);
        run(run_at + PAGE - INSN_MAX_LENGTH);
        if (result.trap != TRAP_UD && !known_gap(&insn))
            complain("no #UD on the processor", bytes, &insn);
    }
}

static uint64_t random64(void)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return random_state ^ random_state >> 29;
}

/* Runs a register form with some flags, and with those flipped that it should not look at:
 * registers and flags must come out the same, and flags it should not touch must stay. */
static void check_flags(const uint8_t *bytes)
{
    const uint8_t *at = run_at + PAGE;
    Insn insn;

    if (insn_decode(&mode, bytes, INSN_MAX_LENGTH, &insn) != INSN_OK || left_out(&insn) ||
        insn.flags & (INSN_SYSTEM | INSN_IOPL | INSN_MEM_READ | INSN_MEM_WRITE) ||
        insn.op == OP_RDTSC || insn.op == OP_RDTSCP || insn.op == OP_RDRAND ||
        insn.op == OP_RDSEED || insn.op == OP_LEA || insn.op == OP_CPUID)
        return;
    for (unsigned i = 0; i < insn.nops; i++) {
        if (insn.ops[i].kind == OPND_MEM || insn.ops[i].kind == OPND_SEG)
            return;
    }
    total++;
    at -= insn.len;
    memcpy(code + PAGE - insn.len, bytes, insn.len);
    use_registers = true;
    for (int round = 0; round < 4; round++) {
        uint64_t changed = insn.eflags_written | insn.eflags_undefined;
        uint64_t first_flags, differ;
        uint64_t first_regs[REG_RSP], first_ip;
        for (unsigned r = 0; r < REG_RSP; r++)
            registers[r] = random64() >> (random64() & 63);
        flags = random64() & EFL_ARITH;
        run(at);
        if (result.trap != TRAP_DB)
            continue;
        first_flags = result.flags;
        first_ip = result.ip;
        memcpy(first_regs, (void *)result.regs, sizeof(first_regs));
        if ((first_flags ^ flags) & EFL_ARITH & ~changed)
            complain("changes other flags", bytes, &insn);
        flags ^= EFL_ARITH & ~insn.eflags_read;
        run(at);
        if (first_ip != result.ip || memcmp(first_regs, (void *)result.regs, sizeof(first_regs)))
            complain("reads other flags", bytes, &insn);
        differ = (first_flags ^ result.flags) & changed & EFL_ARITH & ~insn.eflags_read;
        if (differ)
            complain("passes flags through", bytes, &insn);
    }
    use_registers = false;
}

/* Memory operands whose size and access are not what a plain look at them says. */
static bool memory_left_out(const Insn *insn)
{
    static const uint16_t ops[] = {OP_SGDT, OP_SIDT,   OP_SLDT, OP_STR, OP_SMSW, /* UMIP */
                                   OP_LSS,  OP_MOV_SEG}; /* faults on a null selector */

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (insn->op == ops[i])
            return true;
    }
    return insn->flags & (INSN_SYSTEM | INSN_MEM_IMPLICIT | INSN_MEM_MASKED | INSN_VSIB |
                          INSN_MEM_BITSTRING | INSN_BRANCH);
}

/* The memory operand [RBX]: with its last byte before the missing page and one byte further, and at
 * an odd address. */
static void check_memory(const uint8_t *bytes)
{
    const uint8_t *at = run_at + PAGE;
    uint64_t end = (uintptr_t)data + 2 * PAGE;
    unsigned access = 0;
    Insn insn;

    if (insn_decode(&mode, bytes, INSN_MAX_LENGTH, &insn) != INSN_OK || left_out(&insn) ||
        memory_left_out(&insn) || insn.base != 3)
        return;
    for (unsigned i = 0; i < insn.nops; i++)
        access |= insn.ops[i].kind == OPND_MEM ? insn.ops[i].access : 0;
    total++;
    at -= insn.len;
    memset(data, 0, 2 * PAGE);
    memcpy(code + PAGE - insn.len, bytes, insn.len);
    rbx = end - insn.mem_size;
    run(at);
    if (result.trap == TRAP_PF)
        complain("accesses more memory", bytes, &insn);
    if (insn.mem_size && insn.mem_align == 1) {
        rbx++;
        run(at);
        if ((result.trap == TRAP_PF && result.address == end) != (access != 0))
            complain("accesses less memory", bytes, &insn);
        else if (access && (result.error >> 1 & 1) != (access & OPND_WRITE) >> 1)
            complain("writes or does not", bytes, &insn);
    }
    rbx = (uintptr_t)data + 1;
    run(at);
    if ((result.trap == TRAP_GP) != (insn.mem_align > 1))
        complain("alignment", bytes, &insn);
    rbx = 0;
}

/* All ModRM bytes behind `n` bytes of prefixes and opcode, with zeros behind: harmless as
 * displacement, and a SIB of AX, AX. */
static void walk_modrm(uint8_t *bytes, unsigned n, bool full)
{
    for (unsigned modrm = 0; modrm < 256; modrm++) {
        if (!full && (modrm & 7) != (random64() >> 20 & 7))
            continue;
        memset(bytes + n, 0, 16);
        bytes[n] = modrm;
        /* gathers need three different registers */
        bytes[n + 1] = (modrm & 7) == 4 && modrm < 0xc0 ? 0x38 : 0;
        check(bytes);
        for (int i = 1; i < 12; i++)
            bytes[n + i] = 1 + (random64() >> 40) % 100;
        check_flags(bytes);
    }
    if (mode.code_size == 8) {
        for (unsigned modrm = 3; modrm < 0x40; modrm += 8) {
            memset(bytes + n, 0, 16);
            bytes[n] = modrm;
            check_memory(bytes);
        }
    }
}

static void walk_legacy(bool full)
{
    static const uint8_t escapes[4][3] = {{0}, {1, 0x0f}, {2, 0x0f, 0x38}, {2, 0x0f, 0x3a}};
    static const uint8_t prefixes[][3] = {{0},       {1, 0x66}, {1, 0xf3},       {1, 0xf2},
                                          {1, 0xf0}, {1, 0x67}, {2, 0x66, 0xf2}, {2, 0xf2, 0xf3}};
    static const uint8_t rex[] = {0, 0x48, 0x45};

    for (unsigned v = 0; v < sizeof(prefixes) / sizeof(prefixes[0]) * sizeof(rex); v++) {
        const uint8_t *prefix = prefixes[v / sizeof(rex)];
        uint8_t bytes[32];
        unsigned n = prefix[0];
        memcpy(bytes, prefix + 1, n);
        if (rex[v % sizeof(rex)]) {
            if (mode.code_size != 8)
                continue;
            bytes[n++] = rex[v % sizeof(rex)];
        }
        for (unsigned map = 0; map < 4; map++) {
            memcpy(bytes + n, escapes[map] + 1, escapes[map][0]);
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                bytes[n + escapes[map][0]] = opcode;
                walk_modrm(bytes, n + escapes[map][0] + 1, full);
            }
        }
    }
}

static void walk_vex(bool full)
{
    for (unsigned v = 0; v < 5 * 8 * 2 * 2; v++) {
        unsigned map = v % 5, ppl = v / 5 % 8, w = v / 40 % 2, vvvv = v / 80 ? 0x28 : 0x78;
        uint8_t bytes[32] = {0xc4, 0xe0 | map, w << 7 | vvvv | ppl};
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            bytes[3] = opcode;
            walk_modrm(bytes, 4, full);
        }
    }
}

/* Turns /proc/cpuinfo's flags into features; a few are spelt differently there. */
static bool read_features(void)
{
    static const char *const always[] = {"386", "486", "cpuid", "p6"};
    static const struct {
        const char *ours, *theirs;
    } spelling[] = {
        {"sse3", "pni"},
        {"lzcnt", "abm"},
        {"prefetchw", "3dnowprefetch"},
    };
    char line[8192];
    bool amd = false, flags = false;
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && !flags && fgets(line, sizeof(line), f)) {
        amd |= strstr(line, "AuthenticAMD") != NULL;
        flags = !strncmp(line, "flags", 5);
    }
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = ' ';
    for (int feature = 0; flags && feature < CPUF_COUNT; feature++) {
        char word[32];
        const char *name = insn_feature_name(feature);
        for (size_t i = 0; i < sizeof(spelling) / sizeof(spelling[0]); i++) {
            if (!strcmp(name, spelling[i].ours))
                name = spelling[i].theirs;
        }
        snprintf(word, sizeof(word), " %s ", name);
        if (strstr(line, word))
            insn_features_set(&mode.features, feature);
        for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
            if (!strcmp(name, always[i]))
                insn_features_set(&mode.features, feature);
        }
    }
    /* SSE implies the extended MMX; what a hypervisor hides the processor decodes all the same. */
    insn_features_set(&mode.features, CPUF_MMXEXT);
    insn_features_set(&mode.features, CPUF_MONITORX);
    insn_features_set(&mode.features, CPUF_SVM);
    return amd;
}

static bool set_up_memory(void)
{
    int fd = memfd_create("code", 0);
    int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    stack_t stack = {.ss_size = 1 << 17, .ss_sp = malloc(1 << 17)};

    if (fd < 0 || ftruncate(fd, 2 * PAGE) < 0)
        return false;
    code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    run_at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_32BIT, fd, 0);
    data = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
                0);
    if (data == MAP_FAILED || mprotect(data + 2 * PAGE, PAGE, PROT_NONE))
        return false;
    if (code == MAP_FAILED || run_at == MAP_FAILED || mprotect(run_at + PAGE, PAGE, PROT_NONE))
        return false;
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
    __asm__ volatile("rdfsbase %0" : "=r"(fs_base));
    return true;
}

/* A 16-bit code segment over the two pages. */
static bool make_segment16(void)
{
    struct user_desc d = {
        .entry_number = 0,
        .base_addr = (uintptr_t)run_at,
        .limit = 2 * PAGE - 1,
        .seg_32bit = 0,
        .contents = MODIFY_LDT_CONTENTS_CODE,
        .useable = 1,
    };
    return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

int main(int argc, char **argv)
{
    bool full = argc > 1 && !strcmp(argv[1], "--full");

    if (!read_features()) {
        printf("# skipped: not an AMD processor\n");
        return 0;
    }
    if (!insn_features_has(&mode.features, CPUF_FSGSBASE) || !set_up_memory()) {
        printf("# skipped: cannot set up code to run (%s)\n", strerror(errno));
        return 0;
    }
    mode.protected_mode = true;
    for (unsigned size = 8; size >= 2; size /= 2) {
        uint64_t before = differences, count = total;
        mode.code_size = size;
        code_selector = size == 8 ? 0x33 : size == 4 ? 0x23 : 0x07;
        code_base = size == 2 ? (uintptr_t)run_at : 0;
        if (size == 2 && !make_segment16()) {
            printf("# no 16-bit segment: %s\n", strerror(errno));
            continue;
        }
        walk_legacy(full);
        walk_vex(full);
        printf("%sok %u - %u-bit: %" PRIu64 " encodings, %" PRIu64 " differ\n",
               differences > before ? "not " : "",
               size == 8   ? 1
               : size == 4 ? 2
                           : 3,
               size * 8, total - count, differences - before);
        fflush(stdout);
    }
    return differences != 0;
}
