/*
 * Random programs on the host's processor, the executor and the translator: instructions of every form with operands that
 * cross pages, fault half-way, lie in a device (which for the host is memory) or in the code that follows; jumps, calls, loops.
 *
 * A program is a row of chunks; an exception ends a chunk. Jumps lead forward, and loops count, so that programs end; those
 * that make themselves endless are left out when the host's time for them is over.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "target-i386/cpu.h"
#include "target-i386/disas.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/program.h"

enum { REG_CX = 1, MOST_INSNS = PROGRAM_CHUNKS * PROGRAM_CHUNK / 2 };

typedef struct Maker {
    OracleProgram *p;
    ProgramSpace space;
    unsigned count; /* of instructions */
    uint16_t at[MOST_INSNS + 1];
    unsigned chunk;
} Maker;

static unsigned below(unsigned n)
{
    return (unsigned)(oracle_random() % n);
}

static bool chance(unsigned percent)
{
    return below(100) < percent;
}

/* ---- making programs ---- */

static uint64_t some_place(const void *opaque)
{
    const Maker *m = opaque;

    return m->p->in.rip + below(m->p->chunks * PROGRAM_CHUNK);
}

static uint64_t some_pointer(const void *opaque)
{
    switch (below(20)) {
    case 0:
        return ORACLE_DATA + ORACLE_DATA_SIZE - below(40); /* into the hole */
    case 1:
        return ORACLE_RO + below(4096);
    case 2:
        return ORACLE_DEVICE + below(4000);
    case 3:
        return ORACLE_DEVICE + 4096 - below(20);
    case 4:
        return some_place(opaque);
    case 5:
    case 6:
    case 7:
        return ORACLE_DATA + 4096 - below(40);
    case 8:
        return ORACLE_STACK + below(ORACLE_STACK_SIZE - 64);
    default:
        return ORACLE_DATA + (below(ORACLE_DATA_SIZE - 512) & ~15u) + 256;
    }
}

/* What runs differently under the host's kernel, and what two processors may do differently. */
bool program_excludes(const Insn *insn)
{
    switch (insn->op) {
    case OP_HLT: /* ends chunks */
        return false;
    case OP_FNSTENV: /* the host's kernel does not keep the x87's pointers between chunks */
    case OP_FNSAVE:
    case OP_PUSHA: /* where they fault half-way AMD's have stored some, and loaded registers */
    case OP_POPA:
    case OP_CMPS: /* which of two operands faults first */
        return true;
    case OP_LOOPE: /* AMD's let F2 and F3 choose the condition, nobody else's do and no manual says so */
    case OP_LOOPNE:
        return insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE);
    default:
        return reason_not_compared(insn->op) || insn->flags & (INSN_SYSTEM | INSN_IOPL) || insn->seg == SEG_FS ||
               insn->seg == SEG_GS;
    }
}

static bool wanted(const InsnForm *form)
{
    Insn insn = {.op = form->op, .flags = form->flags};

    return guest_has_feature(form->feature) && !program_excludes(&insn) &&
           !(form->flags & (INSN_BRANCH | INSN_ENDS_BLOCK | INSN_SHADOW));
}

static uint64_t later_chunk(const Maker *m)
{
    unsigned n = m->chunk + 1 + below(2);

    return program_chunk(m->p, n < m->p->chunks ? n : m->p->chunks);
}

/* Back to an instruction of this chunk, as often as the counter allows. */
static unsigned loop_back(const Maker *m, uint8_t *code, uint64_t rip)
{
    uint32_t counter = ORACLE_COUNTER;
    unsigned n = 0, len;

    code[n++] = 0xff; /* decl counter */
    if (m->p->mode64) {
        code[n++] = 0x0c;
        code[n++] = 0x25;
    } else {
        code[n++] = 0x0d;
    }
    memcpy(code + n, &counter, 4);
    n += 4;
    uint64_t first = program_chunk(m->p, m->chunk), target = first;
    for (unsigned i = below(6) + 1; i && i <= m->count; i--) {
        target = m->p->in.rip + m->at[m->count - i];
        if (target >= first) {
            break;
        }
    }
    code[n] = 0x0f; /* jns */
    code[n + 1] = 0x89;
    len = program_rel32(code + n, 2, rip + n, target < first ? first : target);
    return n + len;
}

static unsigned jump(const Maker *m, uint8_t *code, uint64_t rip)
{
    uint32_t target = (uint32_t)later_chunk(m);
    unsigned reg = below(3); /* AX, CX, DX */

    switch (below(10)) {
    case 0:
        code[0] = 0xe8; /* call */
        return program_rel32(code, 1, rip, target);
    case 1:
        code[0] = 0x68; /* push $target; ret */
        memcpy(code + 1, &target, 4);
        code[5] = 0xc3;
        return 6;
    case 2:
        code[0] = (uint8_t)(0xb8 + reg); /* mov $target,%reg; jmp or call *%reg */
        memcpy(code + 1, &target, 4);
        code[5] = 0xff;
        code[6] = (uint8_t)((chance(50) ? 0xe0 : 0xd0) + reg);
        return 7;
    case 3:
        code[0] = (uint8_t)(0xe0 + below(4)); /* loop, jcxz */
        code[1] = (uint8_t)below(30);
        return 2;
    case 4:
    case 5:
        code[0] = (uint8_t)(0x70 + below(16)); /* jcc, a short way */
        code[1] = (uint8_t)below(30);
        return 2;
    case 6:
        code[0] = 0x0f; /* jcc */
        code[1] = (uint8_t)(0x80 + below(16));
        return program_rel32(code, 2, rip, target);
    default:
        return loop_back(m, code, rip);
    }
}

static unsigned make_insn(const Maker *m, uint8_t *code, uint64_t rip)
{
    unsigned kind = below(100);

    return kind < 12 ? jump(m, code, rip) : kind < 15 ? program_code_store(&m->space, code, rip)
           : kind < 22 ? program_set_pointer(&m->space, code) : program_insn(&m->space, code, rip);
}

static void make_code(Maker *m)
{
    OracleProgram *p = m->p;
    uint8_t *code = p->memory.code + (p->in.rip - ORACLE_CODE);
    unsigned size = p->chunks * PROGRAM_CHUNK;

    m->count = 0;
    memset(p->memory.code, ORACLE_FILLER, sizeof(p->memory.code));
    memset(code, 0x90, size);
    for (unsigned at = 0; at + PROGRAM_INSN_MAX < size && m->count < MOST_INSNS;) {
        uint8_t bytes[PROGRAM_INSN_MAX] = {0};
        m->chunk = at / PROGRAM_CHUNK;
        unsigned len = make_insn(m, bytes, p->in.rip + at), chunk_end = (m->chunk + 1) * PROGRAM_CHUNK;
        if (!len) {
            continue;
        }
        if (at + len > chunk_end) {
            at = chunk_end; /* NOPs lead there */
            continue;
        }
        memcpy(code + at, bytes, len);
        m->at[m->count++] = (uint16_t)at;
        at += len;
    }
}

static void make_state(OracleProgram *p, Maker *m)
{
    static const uint8_t pointer_regs[7] = {3, 5, 6, 7, 13, 14, 15};
    InsnForm form;
    OracleCase c;
    uint64_t rip = p->in.rip;

    do {
        insn_form(oracle_random() % insn_form_count(), &form);
    } while (!generate_case(&form, p->mode64, &c)); /* for its state */
    p->in = c.in;
    p->in.rip = rip;
    for (unsigned i = 0; i < (p->mode64 ? 7u : 4u); i++) {
        p->in.regs[pointer_regs[i]] = some_pointer(m);
    }
    p->in.regs[REG_CX] &= 63;
    p->in.regs[9] &= p->mode64 ? 63 : 0;
    p->in.regs[4] = PROGRAM_SP - below(64) * 8;
    p->in.fx[26] &= (uint8_t)~2; /* AMD's misaligned mode */
}

/* The same for the same numbers. */
static void make_program(OracleProgram *p, Maker *m, uint64_t seed, uint64_t number)
{
    static const uint32_t loops = PROGRAM_LOOPS;

    oracle_seed_anew(seed * 1000003 + number);
    p->number = number;
    p->mode64 = chance(60);
    p->chunks = 1 + below(PROGRAM_CHUNKS);
    p->in.rip = ORACLE_CODE + (chance(30) ? 0x1000 - below(p->chunks * PROGRAM_CHUNK) : 0x200 + below(0x400));
    *m = (Maker){.p = p, .space = {.mode64 = p->mode64, .pointer = some_pointer, .place = some_place, .wanted = wanted, .opaque = m}};
    make_code(m);
    generate_memory(p->memory.data, sizeof(p->memory.data));
    generate_memory(p->memory.device, sizeof(p->memory.device));
    memset(p->memory.stack, 0, sizeof(p->memory.stack));
    memcpy(p->memory.stack + (ORACLE_COUNTER - ORACLE_STACK), &loops, sizeof(loops));
    make_state(p, m);
}

/* ---- comparing ---- */

static void compare_faults(Report *r, unsigned n, const ProgramFault *got, const ProgramFault *want)
{
    char name[40];

    snprintf(name, sizeof(name), "vector of chunk %u", n);
    if (got->vector != want->vector) {
        differ(r, name, (uint64_t)got->vector, (uint64_t)want->vector);
        return;
    }
    snprintf(name, sizeof(name), "rip of chunk %u", n);
    if (got->rip != want->rip) {
        differ(r, name, got->rip, want->rip);
    }
    if (got->vector < 10 || got->vector > 14) {
        return;
    }
    /* The host kernel's pages may be there, the guest has none. */
    uint32_t mask = got->vector == 14 && want->cr2 >> 63 ? ~1u : ~0u;
    snprintf(name, sizeof(name), "error of chunk %u", n);
    if ((got->error ^ want->error) & mask) {
        differ(r, name, got->error, want->error);
    }
    snprintf(name, sizeof(name), "cr2 of chunk %u", n);
    if (got->vector == 14 && got->cr2 != want->cr2) {
        differ(r, name, got->cr2, want->cr2);
    }
}

static void compare_programs(Report *r, const OracleProgram *p, const ProgramResult *got, const ProgramResult *want)
{
    for (unsigned i = 0; i < p->chunks; i++) {
        compare_faults(r, i, &got->faults[i], &want->faults[i]);
    }
    compare_general(r, &got->out, &want->out, p->mode64);
    compare_flags(r, &got->out, &want->out);
    /* The host's kernel does not keep the x87's pointers from chunk to chunk; the translator's are the executor's (oracle -blocks). */
    compare_fpu(r, &got->out, &want->out, POINTERS_NONE);
    compare_bytes(r, "data", got->memory.data, want->memory.data, sizeof(got->memory.data));
    compare_bytes(r, "device", got->memory.device, want->memory.device, sizeof(got->memory.device));
    compare_bytes(r, "stack", got->memory.stack, want->memory.stack, sizeof(got->memory.stack));
    compare_bytes(r, "code", got->memory.code, want->memory.code, sizeof(got->memory.code));
}

typedef enum Verdict { SAME, DIFFERENT, LEFT_OUT } Verdict;

/* Changed code has become an instruction that the host knows and the guest's CPU does not (AVX-512). */
static bool only_on_host(const OracleProgram *p, const ProgramResult *got, const ProgramResult *want)
{
    for (unsigned i = 0; i < p->chunks; i++) {
        if (got->faults[i].vector != want->faults[i].vector || got->faults[i].rip != want->faults[i].rip) {
            return got->faults[i].vector == 6;
        }
    }
    return false;
}

/* Whether the guest ends up elsewhere than the host; what then differs, on executor and translator. */
static Verdict judge(const OracleProgram *p, const ProgramResult *want, Report r[2])
{
    static ProgramResult got;

    for (unsigned by_translator = 0; by_translator < 2; by_translator++) {
        ProgramEnd end = guest_run_program(p, by_translator, &got);
        r[by_translator].used = 0;
        if (end == PROGRAM_INCOMPARABLE || (end == PROGRAM_ENDED && !by_translator && only_on_host(p, &got, want))) {
            return LEFT_OUT;
        }
        if (end == PROGRAM_HANGS) {
            differ(&r[by_translator], "does not end; chunks", 0, p->chunks);
        } else {
            compare_programs(&r[by_translator], p, &got, want);
        }
    }
    return r[0].used || r[1].used ? DIFFERENT : SAME;
}

/* ---- a difference ---- */

static ProgramBatch *batch, *again; /* shared with the host's side */

static bool still_differs(const OracleProgram *p, Report r[2])
{
    again->count = 1;
    again->programs[0] = *p;
    native_run_programs(again);
    return again->results[0].ran && judge(p, &again->results[0], r) == DIFFERENT;
}

/* Turns instructions into NOPs as long as the difference stays. */
static void make_smaller(OracleProgram *p, const Maker *m, Report r[2])
{
    static OracleProgram less;
    static Report ignored[2];

    for (bool smaller = true; smaller;) {
        smaller = false;
        for (unsigned i = 0; i < m->count; i++) {
            unsigned end = i + 1 < m->count ? m->at[i + 1] : p->chunks * PROGRAM_CHUNK;
            uint64_t at = p->in.rip - ORACLE_CODE + m->at[i];
            less = *p;
            memset(less.memory.code + at, 0x90, end - m->at[i]);
            if (memcmp(less.memory.code, p->memory.code, sizeof(less.memory.code)) && still_differs(&less, ignored)) {
                *p = less;
                smaller = true;
            }
        }
    }
    if (!still_differs(p, r)) {
        printf("# the smallest program differs not always\n");
    }
}

static void show_code(const OracleProgram *p)
{
    const uint8_t *code = p->memory.code + (p->in.rip - ORACLE_CODE);
    unsigned size = p->chunks * PROGRAM_CHUNK;
    char text[128];
    Insn insn;

    for (unsigned i = 0; i < size; i += insn.len ? insn.len : 1) {
        guest_decode(code + i, size - i < 15 ? size - i : 15, p->mode64, &insn);
        if (i % PROGRAM_CHUNK == 0) {
            printf("#   chunk %u:\n", i / PROGRAM_CHUNK);
        }
        if (code[i] == 0x90 && insn.len == 1) {
            continue;
        }
        insn_print(&insn, p->in.rip + i, text, sizeof(text));
        printf("#   %" PRIx64 ": ", p->in.rip + i);
        for (unsigned b = 0; b < 15; b++) {
            printf(b < insn.len ? "%02x" : "  ", code[i + b]);
        }
        printf(" %s\n", text);
    }
}

static void show_difference(uint64_t seed, const OracleProgram *found, const ProgramResult *host)
{
    static OracleProgram p;
    static Maker m;
    static Report r[2];

    make_program(&p, &m, seed, found->number);
    if (!still_differs(&p, r)) {
        printf("# the difference does not show when the program runs alone\n");
        p = *found;
        judge(&p, host, r);
    } else {
        make_smaller(&p, &m, r);
    }
    printf("not ok - oracle: program: -seed %" PRIu64 " -program %" PRIu64 " (%u bit), as small as it can be made:\n", seed,
           p.number, p.mode64 ? 64 : 32);
    show_code(&p);
    for (unsigned i = 0; i < 16; i++) {
        printf("%s%016" PRIx64 "%s", i % 4 ? " " : "#   ", p.in.regs[i], i % 4 == 3 ? "\n" : "");
    }
    printf("#   eflags %x fcw %x fsw %x mxcsr %x\n", p.in.eflags, oracle_get32(p.in.fx) & 0xffff, oracle_get32(p.in.fx) >> 16,
           oracle_get32(p.in.fx + 24));
    printf("# the executor:\n%s# the translator (in the executor's place):\n%s", r[0].used ? r[0].text : "", r[1].used ? r[1].text : "");
}

/* ---- all of them ---- */

static ProgramBatch *new_batch(void)
{
    void *b = mmap(NULL, sizeof(ProgramBatch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return b == MAP_FAILED ? NULL : b;
}

uint64_t run_programs(uint64_t seed, uint64_t count, uint64_t only, bool progress)
{
    static Maker m;
    static Report r[2];
    uint64_t number = only != UINT64_MAX ? only : 0, end = number + count, ran = 0, different = 0, chunks = 0, left_out = 0, faults[32] = {0};

    batch = new_batch();
    again = new_batch();
    if (!batch || !again) {
        perror("oracle");
        return 1;
    }
    guest_init_programs();
    while (number < end && different < 10) {
        for (batch->count = 0; batch->count < PROGRAM_BATCH && number < end; number++) {
            make_program(&batch->programs[batch->count++], &m, seed, number);
        }
        native_run_programs(batch);
        for (unsigned i = 0; i < batch->count; i++) {
            const OracleProgram *p = &batch->programs[i];
            if (!batch->results[i].ran) {
                continue;
            }
            Verdict verdict = judge(p, &batch->results[i], r);
            if (verdict == LEFT_OUT) {
                left_out++;
                continue;
            }
            ran++;
            for (unsigned f = 0; f < p->chunks; f++) {
                faults[batch->results[i].faults[f].vector & 31]++;
            }
            chunks += p->chunks;
            if (verdict == DIFFERENT) {
                different++;
                show_difference(seed, p, &batch->results[i]);
            }
        }
        if (progress && number % (PROGRAM_BATCH * 1000) == 0) {
            fprintf(stderr, "oracle: %" PRIu64 " programs, %" PRIu64 " differ\n", number, different);
        }
    }
    printf("# of %" PRIu64 " chunks %" PRIu64 " ended by #GP (most of them at their end), %" PRIu64 " by #PF, %" PRIu64 " by #UD, %" PRIu64
           " by #MF and #XM, %" PRIu64 " by others\n# %" PRIu64 " programs did not end on the host, %" PRIu64 " came to what cannot be compared\n",
           chunks, faults[13], faults[14], faults[6], faults[16] + faults[19],
           chunks - faults[13] - faults[14] - faults[6] - faults[16] - faults[19], number - (only != UINT64_MAX ? only : 0) - ran - left_out, left_out);
    printf("%s - oracle: %" PRIu64 " programs on host, executor and translator, %" PRIu64 " differ\n", different || !ran ? "not ok" : "ok", ran,
           different);
    return different + !ran;
}
