/*
 * String instructions and port I/O.
 *
 * A repeated instruction works through host memory a page at a time where it can, element by
 * element elsewhere. Registers are brought up to date after each such chunk, so a fault finds them
 * exact. When somebody wants the CPU, or after one element under single step, it leaves with
 * rip_next still at the instruction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "target-i386/exec-alu.h"
#include "target-i386/exec.h"
#include "target-i386/host-access.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"
#include "util/loop.h"

/* ---- registers ---- */

static const InsnOperand reg_si = {.kind = OPND_GPR, .reg = R_SI};
static const InsnOperand reg_di = {.kind = OPND_GPR, .reg = R_DI};
static const InsnOperand reg_cx = {.kind = OPND_GPR, .reg = R_CX};
static const InsnOperand reg_ax = {.kind = OPND_GPR, .reg = R_AX};

static inline bool repeated(const Insn *insn)
{
    return insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE);
}

static inline uint64_t source(const CPUX86State *env, const Insn *insn)
{
    return exec_mask_address(insn, env->regs[R_SI]);
}

static inline uint64_t destination(const CPUX86State *env, const Insn *insn)
{
    return exec_mask_address(insn, env->regs[R_DI]);
}

/* Moves an index register over n elements, up or down by DF. */
static inline void advance(CPUX86State *env, const Insn *insn, const InsnOperand *reg, uint64_t n)
{
    uint64_t bytes = n * insn->opsize;

    exec_reg_write(env, reg, env->regs[reg->reg] + (env->eflags & FLAG_DF ? 0 - bytes : bytes),
                   insn->addrsize);
}

static inline void count_off(CPUX86State *env, const Insn *insn, uint64_t n)
{
    exec_reg_write(env, &reg_cx, env->regs[R_CX] - n, insn->addrsize);
}

/* ---- chunks ---- */

/*
 * The host address of up to *n elements from off upwards that can be worked on directly, NULL for
 * none; *n is cut to them.
 */
static uint8_t *bulk(CPUX86State *env, const Insn *insn, unsigned seg, uint64_t off, uint64_t *n,
                     bool write)
{
    uint64_t size = insn->opsize, room = GUEST_PAGE_SIZE;

    if (insn->addrsize != 8) {
        uint64_t wrap = (insn->addrsize == 4 ? 1ull << 32 : 1ull << 16) - off;
        room = wrap < room ? wrap : room;
    }
    uint64_t len = *n < room / size ? *n * size : room / size * size;
    if (env->eflags & FLAG_DF || len < 2 * size || (env->hflags & HF_AC && off & (size - 1))) {
        return NULL;
    }
    uint8_t *p = mem_bulk_ptr(env, seg, off, &len, write);
    if (!p || len < size) {
        return NULL;
    }
    *n = len / size;
    return p;
}

/* Each does up to `most` elements, at least one, with all registers but the count; returns how
 * many. */
typedef uint64_t StringChunk(CPUX86State *env, const Insn *insn, uint64_t most);

static uint64_t movs_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most;
    const uint8_t *from = n > 1 ? bulk(env, insn, insn->seg, source(env, insn), &n, false) : NULL;
    uint8_t *to = from ? bulk(env, insn, SEG_ES, destination(env, insn), &n, true) : NULL;

    if (!to) {
        n = 1;
        uint64_t v = mem_read(env, insn->seg, source(env, insn), size);
        mem_write(env, SEG_ES, destination(env, insn), v, size);
    } else if ((uint64_t)(to - from) < n * size) {
        for (uint64_t i = 0; i < n; i++) { /* copies onto its own source: elements repeat */
            host_store(to + i * size, host_load(from + i * size, size), size);
        }
    } else {
        memmove(to, from, n * size);
    }
    advance(env, insn, &reg_si, n);
    advance(env, insn, &reg_di, n);
    return n;
}

static uint64_t stos_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, v = env->regs[R_AX];
    uint8_t *to = n > 1 ? bulk(env, insn, SEG_ES, destination(env, insn), &n, true) : NULL;

    if (!to) {
        n = 1;
        mem_write(env, SEG_ES, destination(env, insn), v, size);
    } else if (size == 1) {
        memset(to, (int)(v & 0xff), n);
    } else {
        for (uint64_t i = 0; i < n; i++) {
            host_store(to + i * size, v, size);
        }
    }
    advance(env, insn, &reg_di, n);
    return n;
}

static uint64_t lods_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    uint64_t v = mem_read(env, insn->seg, source(env, insn), insn->opsize);

    exec_reg_write(env, &reg_ax, v, insn->opsize);
    advance(env, insn, &reg_si, 1);
    return 1;
}

/* ---- comparing ---- */

static void compare(CPUX86State *env, uint64_t a, uint64_t b, unsigned size)
{
    switch (size) {
    case 1:
        alu_cmp8((uint8_t)a, (uint8_t)b, &env->eflags);
        break;
    case 2:
        alu_cmp16((uint16_t)a, (uint16_t)b, &env->eflags);
        break;
    case 4:
        alu_cmp32((uint32_t)a, (uint32_t)b, &env->eflags);
        break;
    default:
        alu_cmp64(a, b, &env->eflags);
    }
}

/* REPE goes on while elements are equal, REPNE while they are not. */
static inline bool goes_on(const Insn *insn, bool equal)
{
    return equal == !(insn->prefixes & INSN_PFX_REPNE);
}

static uint64_t cmps_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, i = 0, a, b;
    const uint8_t *to = n > 1 ? bulk(env, insn, SEG_ES, destination(env, insn), &n, false) : NULL;
    const uint8_t *from = to ? bulk(env, insn, insn->seg, source(env, insn), &n, false) : NULL;

    if (!from) {
        b = mem_read(env, SEG_ES, destination(env, insn), size); /* its fault comes first */
        a = mem_read(env, insn->seg, source(env, insn), size);
        i = 1;
    } else {
        do {
            a = host_load(from + i * size, size);
            b = host_load(to + i * size, size);
            i++;
        } while (i < n && goes_on(insn, a == b));
    }
    compare(env, a, b, size);
    advance(env, insn, &reg_si, i);
    advance(env, insn, &reg_di, i);
    return i;
}

static uint64_t scas_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, i = 0, b, a = exec_reg_read(env, &reg_ax, size);
    const uint8_t *to = n > 1 ? bulk(env, insn, SEG_ES, destination(env, insn), &n, false) : NULL;

    if (!to) {
        b = mem_read(env, SEG_ES, destination(env, insn), size);
        i = 1;
    } else {
        do {
            b = host_load(to + i * size, size);
            i++;
        } while (i < n && goes_on(insn, a == b));
    }
    compare(env, a, b, size);
    advance(env, insn, &reg_di, i);
    return i;
}

/* ---- ports ---- */

static uint32_t port_read(CPUX86State *env, uint16_t port, unsigned size)
{
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    uint32_t v = ioport_read(port, size);
    if (!locked) {
        machine_unlock();
    }
    cpu_debug_io(env, port, size);
    return v;
}

static void port_write(CPUX86State *env, uint16_t port, uint32_t v, unsigned size)
{
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    ioport_write(port, v, size);
    if (!locked) {
        machine_unlock();
    }
    cpu_debug_io(env, port, size);
}

static uint64_t ins_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    uint16_t port = (uint16_t)env->regs[R_DX];

    mem_probe_write(env, SEG_ES, destination(env, insn), insn->opsize); /* before data is lost */
    uint32_t v = port_read(env, port, insn->opsize);
    mem_write(env, SEG_ES, destination(env, insn), v, insn->opsize);
    advance(env, insn, &reg_di, 1);
    return 1;
}

static uint64_t outs_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    uint16_t port = (uint16_t)env->regs[R_DX];
    uint64_t v = mem_read(env, insn->seg, source(env, insn), insn->opsize);

    port_write(env, port, (uint32_t)v, insn->opsize);
    advance(env, insn, &reg_si, 1);
    return 1;
}

static uint16_t port_operand(CPUX86State *env, const Insn *insn, unsigned i)
{
    return insn->ops[i].kind == OPND_IMM ? (uint8_t)insn->imm : (uint16_t)env->regs[R_DX];
}

static void in(CPUX86State *env, const Insn *insn)
{
    uint16_t port = port_operand(env, insn, 1);

    cpu_check_io(env, port, insn->opsize);
    exec_reg_write(env, &reg_ax, port_read(env, port, insn->opsize), insn->opsize);
}

static void out(CPUX86State *env, const Insn *insn)
{
    uint16_t port = port_operand(env, insn, 0);

    cpu_check_io(env, port, insn->opsize);
    port_write(env, port, (uint32_t)exec_reg_read(env, &reg_ax, insn->opsize), insn->opsize);
}

/* ---- repetition ---- */

static inline void run(CPUX86State *env, const Insn *insn, StringChunk *chunk, bool compares)
{
    if (!repeated(insn)) {
        chunk(env, insn, 1);
        return;
    }
    for (;;) {
        uint64_t left = exec_mask_address(insn, env->regs[R_CX]);
        bool stepping = env->eflags & FLAG_TF;
        if (left == 0) {
            return;
        }
        uint64_t done = chunk(env, insn, stepping ? 1 : left);
        count_off(env, insn, done);
        if (done == left || (compares && !goes_on(insn, env->eflags & FLAG_ZF))) {
            return;
        }
        if (stepping || atomic_load_explicit(&env->exit_request, memory_order_relaxed)) {
            env->rip_next = env->rip; /* not finished */
            return;
        }
    }
}

static void movs(CPUX86State *env, const Insn *insn)
{
    run(env, insn, movs_chunk, false);
}

static void stos(CPUX86State *env, const Insn *insn)
{
    run(env, insn, stos_chunk, false);
}

static void lods(CPUX86State *env, const Insn *insn)
{
    run(env, insn, lods_chunk, false);
}

static void cmps(CPUX86State *env, const Insn *insn)
{
    run(env, insn, cmps_chunk, true);
}

static void scas(CPUX86State *env, const Insn *insn)
{
    run(env, insn, scas_chunk, true);
}

/* The port is checked even when there is nothing to do. */
static void ins(CPUX86State *env, const Insn *insn)
{
    cpu_check_io(env, (uint16_t)env->regs[R_DX], insn->opsize);
    run(env, insn, ins_chunk, false);
}

static void outs(CPUX86State *env, const Insn *insn)
{
    cpu_check_io(env, (uint16_t)env->regs[R_DX], insn->opsize);
    run(env, insn, outs_chunk, false);
}

const ExecEntry exec_string_entries[] = {
    {OP_MOVS, movs}, {OP_STOS, stos}, {OP_LODS, lods}, {OP_CMPS, cmps}, {OP_SCAS, scas},
    {OP_INS, ins},   {OP_OUTS, outs}, {OP_IN, in},     {OP_OUT, out},   {0, NULL},
};
