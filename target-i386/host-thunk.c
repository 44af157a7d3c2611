/*
 * Guest vector and x87 instructions, run as they are on the host: the code generator and the signal
 * handler.
 *
 * In a thunk RDI is the HostCall, RSI the memory operand, R8 the FpuState. No guest instruction
 * names these: general registers among its operands have become RAX.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/host-thunk.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define AREA_SIZE      ((size_t)4 << 20)
#define THUNK_MAX_SIZE 320 /* four YMM registers loaded and stored, and all the rest */
#define HASH_SIZE      1024

typedef void ThunkCode(HostCall *call, void *mem, FpuState *fpu);

struct HostThunk {
    HostThunk *next;
    ThunkCode *code;
    uint64_t fixup;
    uint8_t key_size;
    uint8_t key[23]; /* the instruction as it is emitted, and how it is wrapped */
};

struct HostThunks {
    uint8_t *write, *exec; /* the same memory, mapped twice */
    size_t used;
    HostThunk *hash[HASH_SIZE];
    size_t count;
};

HostThunks *host_thunks_new(void)
{
    HostThunks *t = calloc(1, sizeof(*t));
    int fd = memfd_create("thunks", MFD_CLOEXEC);

    if (!t || fd < 0 || ftruncate(fd, AREA_SIZE) < 0) {
        abort();
    }
    t->write = mmap(NULL, AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    t->exec = mmap(NULL, AREA_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
    if (t->write == MAP_FAILED || t->exec == MAP_FAILED) {
        abort();
    }
    return t;
}

void host_thunks_flush(HostThunks *t)
{
    for (unsigned i = 0; i < HASH_SIZE; i++) {
        while (t->hash[i]) {
            HostThunk *next = t->hash[i]->next;
            free(t->hash[i]);
            t->hash[i] = next;
        }
    }
    t->used = 0;
}

void host_thunks_free(HostThunks *t)
{
    host_thunks_flush(t);
    munmap(t->write, AREA_SIZE);
    munmap(t->exec, AREA_SIZE);
    free(t);
}

bool host_thunks_full(const HostThunks *t)
{
    return t->used + THUNK_MAX_SIZE > AREA_SIZE;
}

/* ---- the instruction itself ---- */

/* General register in ModRM.reg (CVTxx2SI, MOVMSKPx, PMOVMSKB, PEXTRW), not in ModRM.rm. */
static bool gpr_in_reg_field(const Insn *insn)
{
    if (insn->map != INSN_MAP_0F) {
        return false;
    }
    switch (insn->opcode) {
    case 0x2c:
    case 0x2d:
    case 0x50:
    case 0xc5:
    case 0xd7:
        return true;
    default:
        return false;
    }
}

static const InsnOperand *gpr_operand(const Insn *insn)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR) {
            return &insn->ops[i];
        }
    }
    return NULL;
}

bool host_w_is_ignored(const Insn *insn, bool mode64)
{
    const InsnOperand *gpr = gpr_operand(insn);

    if (mode64) {
        return false;
    }
    if (gpr) {
        return true;
    }
    switch (insn->op) {
    case OP_VMOVD:
    case OP_VPEXTRD:
    case OP_VPINSRD:
    case OP_VCVTSI2SS:
    case OP_VCVTSI2SD:
    case OP_VPCMPESTRI:
    case OP_VPCMPESTRM:
        return true;
    default:
        return false;
    }
}

/* The instruction for the host: memory is (%rsi), general registers are RAX, prefixes only what
 * selects it. */
static size_t emit_insn(const Insn *insn, bool mode64, uint8_t *out)
{
    static const uint8_t pp_bytes[4] = {0, 0x66, 0xf3, 0xf2};
    uint8_t *p = out, modrm = insn->modrm;
    bool vex = insn->prefixes & INSN_PFX_VEX, has_modrm = insn->off_modrm != 0;
    bool w = insn->prefixes & INSN_PFX_W && !host_w_is_ignored(insn, mode64);
    bool r = false, b = false;

    if (mode64 && vex) {
        bool long_form = insn->raw[insn->off_opcode - 2] != 0xc5;
        uint8_t rxb = insn->raw[insn->off_opcode - (long_form ? 2 : 1)];
        r = !(rxb & 0x80);
        b = long_form && !(rxb & 0x20);
    } else if (mode64) {
        r = insn->rex & 4;
        b = insn->rex & 1;
    }
    if (has_modrm && modrm < 0xc0) {
        modrm = (modrm & 0x38) | 6;
        b = false;
    }
    if (gpr_operand(insn)) {
        if (gpr_in_reg_field(insn)) {
            modrm &= 0xc7;
            r = false;
        } else if (modrm >= 0xc0) {
            modrm &= 0xf8;
            b = false;
        }
    }
    if (vex) {
        *p++ = 0xc4;
        *p++ = (uint8_t)((r ? 0 : 0x80) | 0x40 | (b ? 0 : 0x20) | insn->map);
        *p++ = (uint8_t)((w ? 0x80 : 0) | (~(insn->vvvv & (mode64 ? 15 : 7)) & 15) << 3 | (insn->vl ? 4 : 0) | insn->pp);
    } else {
        if (insn->pp) {
            *p++ = pp_bytes[insn->pp];
        }
        if (w || r || b) {
            *p++ = (uint8_t)(0x40 | (w ? 8 : 0) | (r ? 4 : 0) | (b ? 1 : 0));
        }
        if (insn->map != INSN_MAP_1) {
            *p++ = 0x0f;
        }
        if (insn->map == INSN_MAP_0F38) {
            *p++ = 0x38;
        } else if (insn->map == INSN_MAP_0F3A) {
            *p++ = 0x3a;
        }
    }
    *p++ = insn->opcode;
    if (has_modrm) {
        *p++ = modrm;
    }
    for (unsigned i = 0; i < insn->imm_size; i++) {
        uint8_t imm = insn->raw[insn->off_imm + i];
        *p++ =
            !mode64 && vex && insn->nops == 4 && insn->ops[3].kind != OPND_IMM ? imm & 0x7f : imm;
    }
    return (size_t)(p - out);
}

/* ---- what stands around it ---- */

/* How an instruction is wrapped. */
enum {
    WRAP_FXSAVE = 1, /* x87 and MMX: the whole state */
    WRAP_VEX = 2,    /* whole YMM registers */
    WRAP_MXCSR = 4,  /* guest MXCSR in force */
    WRAP_FLAGS_IN = 8,
    WRAP_FLAGS_OUT = 16,
    WRAP_GPR = 32, /* RAX, RDX in, RAX, RCX out */
};

typedef struct Wrapping {
    uint8_t flags;
    uint16_t load, store; /* vector registers, a bit each */
} Wrapping;

static bool is_fxsave_class(const Insn *insn)
{
    switch (insn->insn_class) {
    case INSN_CLASS_X87:
    case INSN_CLASS_X87_NOWAIT:
    case INSN_CLASS_MMX:
    case INSN_CLASS_SSE_MMX:
        return true;
    default:
        return false;
    }
}

/* Registers and results that ops[] does not list. */
static void wrap_implicit(const Insn *insn, Wrapping *w)
{
    switch (insn->op) {
    case OP_BLENDVPS:
    case OP_BLENDVPD:
    case OP_PBLENDVB:
    case OP_SHA256RNDS2:
        w->load |= 1;
        break;
    case OP_PCMPESTRM:
    case OP_VPCMPESTRM:
    case OP_PCMPISTRM:
    case OP_VPCMPISTRM:
        w->load |= 1;
        w->store |= 1;
        w->flags |= WRAP_GPR;
        break;
    case OP_PCMPESTRI:
    case OP_VPCMPESTRI:
    case OP_PCMPISTRI:
    case OP_VPCMPISTRI:
        w->flags |= WRAP_GPR;
        break;
    }
}

static Wrapping wrapping_of(const Insn *insn)
{
    Wrapping w = {0};

    if (is_fxsave_class(insn)) {
        w.flags |= WRAP_FXSAVE;
    } else {
        for (unsigned i = 0; i < insn->nops; i++) {
            const InsnOperand *op = &insn->ops[i];
            if (op->kind == OPND_XMM || op->kind == OPND_YMM) {
                w.load |= 1u << op->reg;
                if (op->access & OPND_WRITE) {
                    w.store |= 1u << op->reg;
                }
            }
        }
        if (insn->flags & INSN_SIMD_FP) {
            w.flags |= WRAP_MXCSR;
        }
        if (insn->prefixes & INSN_PFX_VEX) {
            w.flags |= WRAP_VEX;
        }
    }
    if (gpr_operand(insn)) {
        w.flags |= WRAP_GPR;
    }
    if (insn->eflags_read) {
        w.flags |= WRAP_FLAGS_IN;
    }
    if (insn->eflags_written) {
        w.flags |= WRAP_FLAGS_OUT;
    }
    wrap_implicit(insn, &w);
    return w;
}

typedef struct Emitter {
    uint8_t *p;
} Emitter;

static void emit(Emitter *e, const void *bytes, size_t n)
{
    memcpy(e->p, bytes, n);
    e->p += n;
}

#define EMIT(e, ...)                                                                               \
    do {                                                                                           \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        emit(e, bytes_, sizeof(bytes_));                                                           \
    } while (0)

static void emit32(Emitter *e, uint32_t v)
{
    emit(e, &v, 4);
}

/* MOVUPS between XMMn and disp32(%r8); opcode 10 loads, 11 stores. */
static void emit_movups(Emitter *e, uint8_t opcode, unsigned n, size_t disp)
{
    const uint8_t bytes[] = {(uint8_t)(0x41 | (n & 8 ? 4 : 0)), 0x0f, opcode,
                             (uint8_t)(0x80 | (n & 7) << 3)};

    emit(e, bytes, sizeof(bytes));
    emit32(e, (uint32_t)disp);
}

/* VEX prefix of a three-byte form: map, pp, W = 0, L = 1, base R8. */
static void emit_vex256(Emitter *e, unsigned n, uint8_t map, uint8_t pp, unsigned vvvv)
{
    const uint8_t bytes[] = {0xc4, (uint8_t)((n & 8 ? 0 : 0x80) | 0x40 | map),
                             (uint8_t)((~vvvv & 15) << 3 | 4 | pp)};

    emit(e, bytes, sizeof(bytes));
}

static void emit_vector_load(Emitter *e, unsigned n, bool vex)
{
    uint8_t modrm = (uint8_t)(0x80 | (n & 7) << 3);

    emit_movups(e, 0x10, n, offsetof(FpuState, xmm) + 16 * n);
    if (vex) { /* VINSERTF128 n, n, ymmh, 1 */
        emit_vex256(e, n, 3, 1, n);
        emit(e, (uint8_t[]){0x18, modrm}, 2);
        emit32(e, (uint32_t)(offsetof(FpuState, ymmh) + 16 * n));
        EMIT(e, 1);
    }
}

static void emit_vector_store(Emitter *e, unsigned n, bool vex)
{
    uint8_t modrm = (uint8_t)(0x80 | (n & 7) << 3);

    emit_movups(e, 0x11, n, offsetof(FpuState, xmm) + 16 * n);
    if (vex) { /* VEXTRACTF128 ymmh, n, 1 */
        emit_vex256(e, n, 3, 1, 0);
        emit(e, (uint8_t[]){0x19, modrm}, 2);
        emit32(e, (uint32_t)(offsetof(FpuState, ymmh) + 16 * n));
        EMIT(e, 1);
    }
}

/* Back to the host's own modes, and out. */
static void emit_leave(Emitter *e, const Wrapping *w)
{
    if (w->flags & WRAP_FXSAVE) {
        EMIT(e, 0xdb, 0xe3); /* fninit: also forgets a pending exception */
    }
    if (w->flags & (WRAP_FXSAVE | WRAP_MXCSR)) {
        EMIT(e, 0x0f, 0xae, 0x57, offsetof(HostCall, host_mxcsr)); /* ldmxcsr host_mxcsr(%rdi) */
    }
    if (w->flags & WRAP_VEX) {
        EMIT(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
    }
    EMIT(e, 0xc3);
}

/* Code for *insn (n bytes) at write; returns its size and where the fixup begins. */
static size_t emit_thunk(uint8_t *write, const uint8_t *insn, size_t n, const Wrapping *w,
                         size_t *fixup)
{
    Emitter e = {write};
    bool vex = w->flags & WRAP_VEX;

    EMIT(&e, 0x49, 0x89, 0xd0); /* mov %rdx,%r8 */
    if (w->flags & WRAP_FXSAVE) {
        EMIT(&e, 0x49, 0x0f, 0xae, 0x08); /* fxrstor64 (%r8) */
    } else if (w->flags & WRAP_MXCSR) {
        EMIT(&e, 0x41, 0x0f, 0xae, 0x50, offsetof(FpuState, mxcsr)); /* ldmxcsr mxcsr(%r8) */
    }
    for (unsigned i = 0; i < 16; i++) {
        if (w->load >> i & 1) {
            emit_vector_load(&e, i, vex);
        }
    }
    if (w->flags & WRAP_GPR) {
        EMIT(&e, 0x48, 0x8b, 0x07);                          /* mov (%rdi),%rax */
        EMIT(&e, 0x48, 0x8b, 0x57, offsetof(HostCall, rdx)); /* mov rdx(%rdi),%rdx */
        EMIT(&e, 0x48, 0x8b, 0x4f, offsetof(HostCall, rcx)); /* mov rcx(%rdi),%rcx */
    }
    if (w->flags & WRAP_FLAGS_IN) {
        EMIT(&e, 0xff, 0x77, offsetof(HostCall, flags), 0x9d); /* push flags(%rdi); popf */
    }
    emit(&e, insn, n);
    if (w->flags & WRAP_FLAGS_OUT) {
        EMIT(&e, 0x9c, 0x8f, 0x47, offsetof(HostCall, flags)); /* pushf; pop flags(%rdi) */
    }
    if (w->flags & WRAP_GPR) {
        EMIT(&e, 0x48, 0x89, 0x07);                          /* mov %rax,(%rdi) */
        EMIT(&e, 0x48, 0x89, 0x4f, offsetof(HostCall, rcx)); /* mov %rcx,rcx(%rdi) */
    }
    if (w->flags & WRAP_FXSAVE) {
        EMIT(&e, 0x49, 0x0f, 0xae, 0x00); /* fxsave64 (%r8) */
    } else if (w->flags & WRAP_MXCSR) {
        EMIT(&e, 0x41, 0x0f, 0xae, 0x58, offsetof(FpuState, mxcsr)); /* stmxcsr mxcsr(%r8) */
    }
    for (unsigned i = 0; i < 16; i++) {
        if (w->store >> i & 1) {
            emit_vector_store(&e, i, vex);
        }
    }
    emit_leave(&e, w);
    *fixup = (size_t)(e.p - write);
    if (w->flags & WRAP_FXSAVE) {
        EMIT(&e, 0x49, 0x0f, 0xae, 0x00); /* it may have entered MMX state before it faulted */
    } else {
        EMIT(&e, 0x41, 0x0f, 0xae, 0x58, offsetof(FpuState, mxcsr)); /* stmxcsr mxcsr(%r8) */
    }
    emit_leave(&e, w);
    return (size_t)(e.p - write);
}

static unsigned hash_key(const uint8_t *key, size_t n)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++) {
        h = (h ^ key[i]) * 16777619u;
    }
    return (h ^ h >> 16) % HASH_SIZE;
}

const HostThunk *host_thunk_get(HostThunks *t, const Insn *insn, bool mode64)
{
    Wrapping w = wrapping_of(insn);
    uint8_t key[23];
    size_t n = emit_insn(insn, mode64, key), size, fixup;

    /* The bytes decide the registers; the wrapping follows from them but for the implicit operands.
     */
    size_t key_size = n;
    key[key_size++] = w.flags;
    unsigned h = hash_key(key, key_size);
    for (HostThunk *k = t->hash[h]; k; k = k->next) {
        if (k->key_size == key_size && !memcmp(k->key, key, key_size)) {
            return k;
        }
    }
    if (host_thunks_full(t)) {
        return NULL;
    }
    HostThunk *k = calloc(1, sizeof(*k));
    if (!k) {
        abort();
    }
    size = emit_thunk(t->write + t->used, key, n, &w, &fixup);
    k->code = (ThunkCode *)(void *)(t->exec + t->used);
    k->fixup = (uint64_t)(uintptr_t)(t->exec + t->used + fixup);
    k->key_size = (uint8_t)key_size;
    memcpy(k->key, key, key_size);
    k->next = t->hash[h];
    t->hash[h] = k;
    t->used += (size + 15) & ~(size_t)15;
    return k;
}

/* ---- running ---- */

/* Set while a thunk runs, so that the handler knows whose SIGFPE it is. */
static _Thread_local HostCall *volatile running_call;

void host_thunk_run(const HostThunk *thunk, FpuState *fpu, void *mem, HostCall *call)
{
    call->fixup = thunk->fixup;
    call->host_mxcsr = 0x1f80;
    call->trap = 0;
    running_call = call;
    thunk->code(call, mem, fpu);
    running_call = NULL;
}

static struct sigaction previous_action;

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    HostCall *call = running_call;

    if (call) {
        call->trap = (uint32_t)uc->uc_mcontext.gregs[REG_TRAPNO];
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)call->fixup;
        return;
    }
    /* A bug of our own: let it end the program in the usual way. */
    sigaction(SIGFPE, &previous_action, NULL);
}

void host_thunk_init(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&sa.sa_mask);
    sigaction(SIGFPE, &sa, &previous_action);
}
