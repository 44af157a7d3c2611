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

static void capture(const ucontext_t *uc, const OracleCase *c, OracleResult *r)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    const uint8_t *fx = (const uint8_t *)uc->uc_mcontext.fpregs;
    uint64_t xstate_bv;
    OracleState *out = &r->out;

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

static void set_up(ucontext_t *uc, const OracleCase *c)
{
    greg_t *g = uc->uc_mcontext.gregs;
    uint8_t *fx = (uint8_t *)uc->uc_mcontext.fpregs;
    uint8_t *data = (uint8_t *)(uintptr_t)ORACLE_DATA, *code = (uint8_t *)(uintptr_t)c->in.rip;
    uint64_t xstate_bv;

    memcpy(data, batch->memory, ORACLE_DATA_SIZE);
    memcpy(data + c->patch, c->patch_bytes, sizeof(c->patch_bytes));
    memcpy(code, c->code, c->len);
    code[c->len] = 0xcc;
    for (unsigned i = 0; i < 16; i++) {
        g[greg_index[i]] = (greg_t)c->in.regs[i];
    }
    g[REG_RIP] = (greg_t)c->in.rip;
    g[REG_EFL] = (greg_t)(c->in.eflags | (c->step ? FLAG_TF : 0));
    g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000) | (greg_t)USER_DS << 48 |
                    (c->mode64 ? USER_CS : USER32_CS);
    memcpy(fx, c->in.fx, 28); /* MXCSR's mask and what lies behind the registers stay */
    memcpy(fx + 32, c->in.fx + 32, 384);
    memcpy(&xstate_bv, fx + 512, 8);
    xstate_bv |= 7;
    memcpy(fx + 512, &xstate_bv, 8);
    memcpy(fx + 576, c->in.ymmh, 256);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    /* The case may have set AC. */
    __asm__ volatile("pushfq\n\tandq $~0x40000,(%%rsp)\n\tpopfq" : : : "cc", "memory");
    if (next_case > 0) {
        capture(context, &batch->cases[next_case - 1], &batch->results[next_case - 1]);
    }
    if (next_case == batch->count) {
        _exit(0);
    }
    batch->current = next_case;
    set_up(context, &batch->cases[next_case++]);
}

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

static void child(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    static uint8_t stack[1 << 16];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    map_fixed(ORACLE_DATA, ORACLE_DATA_SIZE, PROT_READ | PROT_WRITE);
    map_fixed(ORACLE_RO, 4096, PROT_READ);
    map_fixed(ORACLE_CODE, ORACLE_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    (void)*(
        volatile uint8_t *)(uintptr_t)ORACLE_RO; /* a page that is not there yet faults otherwise */
    sigaltstack(&ss, NULL);
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &sa, NULL);
    }
    alarm(20);
    confine();
    /* Compatibility mode needs data segments; 64-bit code does not look at them. */
    __asm__ volatile("movl %0,%%ds\n\tmovl %0,%%es\n\tint3" : : "r"(USER_DS) : "memory");
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
        child();
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        return false;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
