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

#include "target-i386/accel.h"
#include "target-i386/exec-alu.h"
#include "target-i386/exec.h"
#include "target-i386/host-access.h"
#include "target-i386/lockstep.h"
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

/* ---- runs of elements in host memory ---- */

/*
 * Elements one behind the other, from `first` on in the direction that DF says: what the soft TLB has at hand, so
 * looking changes nothing and faults nowhere.
 */
static uint8_t *at_hand(CPUX86State *env, const Insn *insn, unsigned seg, uint64_t off, uint64_t *n, MmuAccess access)
{
    unsigned size = insn->opsize, in_page = off & (GUEST_PAGE_SIZE - 1);

    if (seg >= SEG_FS) {
        uint64_t base = env->segs[seg].base;
        if (base & (GUEST_PAGE_SIZE - 1) && insn->addrsize != 8) {
            return NULL; /* offsets would wrap within a page */
        }
        in_page = (off + base) & (GUEST_PAGE_SIZE - 1);
    }
    uint8_t *p = mem_fast_ptr(env, seg, off, size, access);
    if (!p) {
        return NULL;
    }
    uint64_t room = env->eflags & FLAG_DF ? in_page / size + 1 : (GUEST_PAGE_SIZE - in_page) / size;
    *n = *n < room ? *n : room;
    return p;
}

/* The same for what may have to be looked up and checked first, upwards only. */
static uint8_t *bulk(CPUX86State *env, const Insn *insn, unsigned seg, uint64_t off, uint64_t *n, bool write)
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
        env->tlb->pending_write.size = 0;
        return NULL;
    }
    *n = len / size;
    return p;
}

/* The host address of up to *n elements that can be worked on directly, NULL for none; *n is cut to them. */
static uint8_t *elements(CPUX86State *env, const Insn *insn, unsigned seg, uint64_t off, uint64_t *n, bool write)
{
    if (*n < 2) {
        return NULL;
    }
    uint8_t *p = at_hand(env, insn, seg, off, n, write ? MMU_WRITE : MMU_READ);
    return p ? p : bulk(env, insn, seg, off, n, write);
}

static void copy(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size, bool down)
{
    uint64_t bytes = n * size, distance = down ? (uint64_t)(from - to) : (uint64_t)(to - from);

    if (distance < bytes) { /* onto its own source: elements repeat */
        int64_t step = down ? -(int64_t)size : (int64_t)size;
        for (; n; n--, to += step, from += step) {
            host_store(to, host_load(from, size), size);
        }
        return;
    }
    if (down) {
        to -= bytes - size;
        from -= bytes - size;
    }
    memmove(to, from, bytes);
}

static bool all_bytes_same(uint64_t v, unsigned size)
{
    uint64_t repeated = (v & 0xff) * 0x0101010101010101ull;

    return size == 1 || !((v ^ repeated) << (64 - 8 * size));
}

static void fill(uint8_t *to, uint64_t v, uint64_t n, unsigned size, bool down)
{
    if (down) {
        to -= (n - 1) * size;
    }
    if (all_bytes_same(v, size)) {
        memset(to, (int)(v & 0xff), n * size);
        return;
    }
    for (; n; n--, to += size) {
        host_store(to, v, size);
    }
}

/* ---- chunks ---- */

/* Each does up to `most` elements, at least one, with all registers but the count; returns how many. */
typedef uint64_t StringChunk(CPUX86State *env, const Insn *insn, uint64_t most);

static uint64_t movs_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most;
    const uint8_t *from = elements(env, insn, insn->seg, source(env, insn), &n, false);
    uint8_t *to = from ? elements(env, insn, SEG_ES, destination(env, insn), &n, true) : NULL;

    if (!to) {
        n = 1;
        uint64_t v = mem_read(env, insn->seg, source(env, insn), size);
        mem_write(env, SEG_ES, destination(env, insn), v, size);
    } else {
        copy(to, from, n, size, env->eflags & FLAG_DF);
    }
    mem_write_done(env);
    advance(env, insn, &reg_si, n);
    advance(env, insn, &reg_di, n);
    return n;
}

static uint64_t stos_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, v = env->regs[R_AX];
    uint8_t *to = elements(env, insn, SEG_ES, destination(env, insn), &n, true);

    if (!to) {
        n = 1;
        mem_write(env, SEG_ES, destination(env, insn), v, size);
    } else {
        fill(to, v, n, size, env->eflags & FLAG_DF);
    }
    mem_write_done(env);
    advance(env, insn, &reg_di, n);
    return n;
}

/* Only the last element stays. */
static uint64_t lods_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, v;
    const uint8_t *from = elements(env, insn, insn->seg, source(env, insn), &n, false);

    if (!from) {
        n = 1;
        v = mem_read(env, insn->seg, source(env, insn), size);
    } else {
        uint64_t ahead = (n - 1) * size;
        v = host_load(env->eflags & FLAG_DF ? from - ahead : from + ahead, size);
    }
    exec_reg_write(env, &reg_ax, v, size);
    advance(env, insn, &reg_si, n);
    return n;
}

uint64_t exec_string_at_hand(CPUX86State *env, const Insn *insn)
{
    bool movs = insn->op == OP_MOVS, down = env->eflags & FLAG_DF;

    for (;;) {
        uint64_t left = exec_mask_address(insn, env->regs[R_CX]), n = left;
        if (!left) {
            return true;
        }
        const uint8_t *from = NULL;
        if (movs && !(from = at_hand(env, insn, insn->seg, source(env, insn), &n, MMU_READ))) {
            return false;
        }
        uint8_t *to = at_hand(env, insn, SEG_ES, destination(env, insn), &n, MMU_WRITE);
        if (!to) {
            return false;
        }
        if (movs) {
            copy(to, from, n, insn->opsize, down);
            advance(env, insn, &reg_si, n);
        } else {
            fill(to, env->regs[R_AX], n, insn->opsize, down);
        }
        advance(env, insn, &reg_di, n);
        count_off(env, insn, n);
        if (n != left && atomic_load_explicit(&env->exit_request, memory_order_relaxed)) {
            return false;
        }
    }
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

/* How many bytes from the start on are the same in both, eight at a time. */
static uint64_t same_bytes(const uint8_t *a, const uint8_t *b, uint64_t n)
{
    uint64_t i = 0;

    while (i + 8 <= n && host_load64(a + i) == host_load64(b + i)) {
        i += 8;
    }
    return i;
}

static uint64_t cmps_chunk(CPUX86State *env, const Insn *insn, uint64_t most)
{
    unsigned size = insn->opsize;
    uint64_t n = most, i = 0, a, b;
    const uint8_t *to = elements(env, insn, SEG_ES, destination(env, insn), &n, false);
    const uint8_t *from = to ? elements(env, insn, insn->seg, source(env, insn), &n, false) : NULL;
    bool down = env->eflags & FLAG_DF;

    if (!from) {
        b = mem_read(env, SEG_ES, destination(env, insn), size); /* its fault comes first */
        a = mem_read(env, insn->seg, source(env, insn), size);
        i = 1;
    } else {
        int64_t step = down ? -(int64_t)size : (int64_t)size;
        if (!down && goes_on(insn, true)) {
            i = same_bytes(from, to, (n - 1) * size) / size; /* at least one is left to set the flags by */
        }
        do {
            a = host_load(from + (int64_t)i * step, size);
            b = host_load(to + (int64_t)i * step, size);
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
    const uint8_t *to = elements(env, insn, SEG_ES, destination(env, insn), &n, false);
    bool down = env->eflags & FLAG_DF;

    if (!to) {
        b = mem_read(env, SEG_ES, destination(env, insn), size);
        i = 1;
    } else if (size == 1 && !down && !goes_on(insn, true)) {
        const uint8_t *found = memchr(to, (int)a, n);
        i = found ? (uint64_t)(found - to) + 1 : n;
        b = to[i - 1];
    } else {
        int64_t step = down ? -(int64_t)size : (int64_t)size;
        do {
            b = host_load(to + (int64_t)i * step, size);
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
    bool comparing = lockstep_is_comparing(env); /* when others want something counts for nothing then */
    uint64_t most = comparing ? lockstep_string_most(env, insn) : UINT64_MAX;
    for (;;) {
        uint64_t left = exec_mask_address(insn, env->regs[R_CX]);
        bool stepping = env->eflags & FLAG_TF;
        if (left == 0) {
            return;
        }
        uint64_t done = chunk(env, insn, stepping ? 1 : left < most ? left : most);
        count_off(env, insn, done);
        if (done == left || (compares && !goes_on(insn, env->eflags & FLAG_ZF))) {
            return;
        }
        most -= done;
        if (stepping || most == 0 || (comparing && env->pending_db) ||
            (!comparing && atomic_load_explicit(&env->exit_request, memory_order_relaxed))) {
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
