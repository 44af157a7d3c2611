/*
 * The oracle's native side: a child process in which each signal handler's return starts the next
 * case.
 *
 * The handler fills the signal frame with a case's whole state, and the kernel's sigreturn loads
 * it: general and vector registers, flags, code segment. The instruction ends in a trap or fault,
 * whose frame has the whole state again. The child can do no system call but sigreturn and exit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/oracle/oracle.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define USER_CS   0x33u
#define USER32_CS 0x23u
#define USER_DS   0x2bu
#define FLAG_TF   0x100u

static OracleBatch *batch;
static unsigned next_case;

/* gregs[] in encoding order. */
static const int greg_index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                   REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15};

static void capture_state(const ucontext_t *uc, OracleState *out)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    const uint8_t *fx = (const uint8_t *)uc->uc_mcontext.fpregs;
    uint64_t xstate_bv;

    for (unsigned i = 0; i < 16; i++) {
        out->regs[i] = (uint64_t)g[greg_index[i]];
    }
    out->rip = (uint64_t)g[REG_RIP];
    out->eflags = (uint32_t)g[REG_EFL];
    memcpy(out->fx, fx, sizeof(out->fx));
    memcpy(&xstate_bv, fx + 512, 8);
    if (!(xstate_bv & 2)) {
        memset(out->fx + 160, 0, 256);
    }
    if (xstate_bv & 4) {
        memcpy(out->ymmh, fx + 576, 256);
    } else {
        memset(out->ymmh, 0, 256);
    }
}

static void capture(const ucontext_t *uc, const OracleCase *c, OracleResult *r)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    OracleState *out = &r->out;

    capture_state(uc, out);
    r->vector = (int)g[REG_TRAPNO];
    r->error = (uint32_t)g[REG_ERR];
    r->cr2 = (uint64_t)g[REG_CR2];
    if (r->vector == 3 && out->rip == c->in.rip + c->len + 1) {
        out->rip--;
        r->vector = -1;
    } else if (r->vector == 1) {
        r->vector = -1;
    }
    memcpy(r->memory, (const void *)(uintptr_t)ORACLE_DATA, ORACLE_DATA_SIZE);
    r->ran = true;
}

static void set_state(ucontext_t *uc, const OracleState *in, bool mode64)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs;
    uint64_t xstate_bv;

    for (unsigned i = 0; i < 16; i++) {
        g[greg_index[i]] = (greg_t)in->regs[i];
    }
    g[REG_RIP] = (greg_t)in->rip;
    g[REG_EFL] = (greg_t)in->eflags;
    g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000) | (greg_t)USER_DS << 48 | (mode64 ? USER_CS : USER32_CS);
    memcpy(fx, in->fx, 28); /* MXCSR's mask and what lies behind the registers stay */
    memcpy(fx + 32, in->fx + 32, 384);
    memcpy(&xstate_bv, fx + 512, 8);
    xstate_bv |= 7;
    memcpy(fx + 512, &xstate_bv, 8);
    memcpy(fx + 576, in->ymmh, 256);
}

static void set_up(ucontext_t *uc, const OracleCase *c)
{
    uint8_t *data = (uint8_t *)(uintptr_t)ORACLE_DATA, *code = (uint8_t *)(uintptr_t)c->in.rip;

    memcpy(data, batch->memory, ORACLE_DATA_SIZE);
    memcpy(data + c->patch, c->patch_bytes, sizeof(c->patch_bytes));
    memcpy(code, c->code, c->len);
    code[c->len] = 0xcc;
    set_state(uc, &c->in, c->mode64);
    uc->uc_mcontext.gregs[REG_EFL] |= c->step ? FLAG_TF : 0;
}

/* What ran may have set AC, and NT and ID, which no signal's return changes. */
static inline void clear_flags(void)
{
    __asm__ volatile("pushfq\n\tandq $~0x244000,(%%rsp)\n\tpopfq" : : : "cc", "memory");
}

/* Compatibility mode needs them; 64-bit code does not look at them. */
static inline void load_data_segments(void)
{
    __asm__ volatile("movl %0,%%ds\n\tmovl %0,%%es" : : "r"(USER_DS) : "memory");
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    clear_flags();
    if (next_case > 0) {
        capture(context, &batch->cases[next_case - 1], &batch->results[next_case - 1]);
    }
    if (next_case == batch->count) {
        _exit(0);
    }
    batch->current = next_case;
    set_up(context, &batch->cases[next_case++]);
}

/* ---- programs ---- */

static ProgramBatch *programs;
static unsigned chunk;
static bool running;

static void *at(uint32_t linear)
{
    return (void *)(uintptr_t)linear;
}

static void set_up_program(ucontext_t *uc, const OracleProgram *p)
{
    memcpy(at(ORACLE_DATA), p->memory.data, sizeof(p->memory.data));
    memcpy(at(ORACLE_DEVICE), p->memory.device, sizeof(p->memory.device));
    memcpy(at(ORACLE_STACK), p->memory.stack, sizeof(p->memory.stack));
    memcpy(at(ORACLE_CODE), p->memory.code, sizeof(p->memory.code));
    set_state(uc, &p->in, p->mode64);
    chunk = 0;
    running = true;
}

static void end_program(const ucontext_t *uc, ProgramResult *r)
{
    capture_state(uc, &r->out);
    memcpy(r->memory.data, at(ORACLE_DATA), sizeof(r->memory.data));
    memcpy(r->memory.device, at(ORACLE_DEVICE), sizeof(r->memory.device));
    memcpy(r->memory.stack, at(ORACLE_STACK), sizeof(r->memory.stack));
    memcpy(r->memory.code, at(ORACLE_CODE), sizeof(r->memory.code));
    r->ran = true;
    running = false;
    programs->current++;
}

static void on_program_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;

    clear_flags();
    load_data_segments(); /* changed code may have loaded others */
    if (running) {
        const OracleProgram *p = &programs->programs[programs->current];
        ProgramResult *r = &programs->results[programs->current];
        r->faults[chunk++] = (ProgramFault){(int)g[REG_TRAPNO], (uint32_t)g[REG_ERR], (uint64_t)g[REG_CR2], (uint64_t)g[REG_RIP]};
        if (chunk < p->chunks) {
            g[REG_RIP] = (greg_t)program_chunk(p, chunk);
            g[REG_EFL] = PROGRAM_EFLAGS;
            g[REG_RSP] = PROGRAM_SP;
            return;
        }
        end_program(uc, r);
    }
    if (programs->current == programs->count) {
        _exit(0);
    }
    set_up_program(uc, &programs->programs[programs->current]);
}

/* ---- the child ---- */

static void confine(void)
{
    struct sock_filter allow[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof(allow) / sizeof(allow[0]), allow};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        _exit(2);
    }
}

static void map_fixed(uint32_t addr, size_t size, int prot)
{
    if (mmap((void *)(uintptr_t)addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
             -1, 0) == MAP_FAILED) {
        _exit(3);
    }
}

static void child(void (*handler)(int, siginfo_t *, void *))
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    static uint8_t stack[1 << 16];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction sa = {.sa_sigaction = handler,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct itimerval most = {.it_value = {.tv_usec = 40000}}; /* of processor time: what does not end has hung */

    map_fixed(ORACLE_DATA, ORACLE_DATA_SIZE, PROT_READ | PROT_WRITE);
    map_fixed(ORACLE_RO, 4096, PROT_READ);
    map_fixed(ORACLE_CODE, ORACLE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (handler == on_program_signal) {
        map_fixed(ORACLE_DEVICE, 4096, PROT_READ | PROT_WRITE);
        map_fixed(ORACLE_STACK, ORACLE_STACK_SIZE, PROT_READ | PROT_WRITE);
    }
    (void)*(
        volatile uint8_t *)(uintptr_t)ORACLE_RO; /* a page that is not there yet faults otherwise */
    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &sa, NULL);
    }
    signal(SIGVTALRM, SIG_DFL);
    setitimer(ITIMER_VIRTUAL, &most, NULL);
    alarm(120);
    confine();
    load_data_segments();
    __asm__ volatile("int3" : : : "memory");
    _exit(4);
}

bool native_run(OracleBatch *b)
{
    int status;

    batch = b;
    b->current = 0;
    for (unsigned i = 0; i < b->count; i++) {
        b->results[i].ran = false;
    }
    next_case = 0;
    pid_t pid = fork();
    if (pid == 0) {
        child(on_signal);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void native_run_programs(ProgramBatch *b)
{
    programs = b;
    b->current = 0;
    for (unsigned i = 0; i < b->count; i++) {
        b->results[i].ran = false;
    }
    while (b->current < b->count) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            child(on_program_signal);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0) {
            return;
        }
        if (b->current < b->count) {
            b->results[b->current].ran = false;
            b->current++;
        }
    }
}
