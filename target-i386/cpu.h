/*
 * The state of one x86 CPU, and what the rest of the machine may do to it.
 *
 * Conventions that every engine keeps:
 *  - Between instructions the whole architectural state stands in CPUX86State, eflags and the vector
 *    registers included. rip is the offset in CS (not the linear address) of the next instruction.
 *  - While an instruction executes, rip is still that instruction's own offset and rip_next the offset
 *    behind it; a control transfer sets rip_next. A fault leaves rip alone, a trap happens after the move.
 *  - A faulting instruction changes nothing (except where the manuals say so): handlers check and read
 *    everything first and write registers last. Faults leave by longjmp (target-i386/excp.h).
 *  - A vCPU's state is touched by its own thread only; other threads use the atomic request words and
 *    the functions at the end, or run while the vCPU is stopped.
 *
 * Sources: Intel SDM volumes 2 and 3, AMD APM volume 2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_CPU_H
#define TARGET_I386_CPU_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/memory.h"
#include "target-i386/insn.h"
#include "util/error.h"

#define CPU_MAX 64

/* General registers, in encoding order. */
enum { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI, R_8, R_9, R_10, R_11, R_12, R_13, R_14, R_15 };

/* Segment registers, in encoding order, then the two system segments. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* EFLAGS */
#define FLAG_CF   0x00000001u
#define FLAG_1    0x00000002u /* always one */
#define FLAG_PF   0x00000004u
#define FLAG_AF   0x00000010u
#define FLAG_ZF   0x00000040u
#define FLAG_SF   0x00000080u
#define FLAG_TF   0x00000100u
#define FLAG_IF   0x00000200u
#define FLAG_DF   0x00000400u
#define FLAG_OF   0x00000800u
#define FLAG_IOPL 0x00003000u
#define FLAG_NT   0x00004000u
#define FLAG_RF   0x00010000u
#define FLAG_VM   0x00020000u
#define FLAG_AC   0x00040000u
#define FLAG_VIF  0x00080000u
#define FLAG_VIP  0x00100000u
#define FLAG_ID   0x00200000u
#define FLAG_IOPL_SHIFT 12
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* CR0, CR4, EFER */
#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME        (1u << 0)
#define CR4_PVI        (1u << 1)
#define CR4_TSD        (1u << 2)
#define CR4_DE         (1u << 3)
#define CR4_PSE        (1u << 4)
#define CR4_PAE        (1u << 5)
#define CR4_MCE        (1u << 6)
#define CR4_PGE        (1u << 7)
#define CR4_PCE        (1u << 8)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP       (1u << 11)
#define CR4_LA57       (1u << 12)
#define CR4_FSGSBASE   (1u << 16)
#define CR4_PCIDE      (1u << 17)
#define CR4_OSXSAVE    (1u << 18)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)

#define EFER_SCE   (1u << 0)
#define EFER_LME   (1u << 8)
#define EFER_LMA   (1u << 10)
#define EFER_NXE   (1u << 11)
#define EFER_FFXSR (1u << 14)
#define EFER_AIBRSE (1u << 21) /* AMD's automatic IBRS: kept, does nothing */

/* Exception vectors */
enum {
    EXCP_DE = 0, EXCP_DB = 1, EXCP_NMI = 2, EXCP_BP = 3, EXCP_OF = 4, EXCP_BR = 5, EXCP_UD = 6,
    EXCP_NM = 7, EXCP_DF = 8, EXCP_TS = 10, EXCP_NP = 11, EXCP_SS = 12, EXCP_GP = 13, EXCP_PF = 14,
    EXCP_MF = 16, EXCP_AC = 17, EXCP_MC = 18, EXCP_XM = 19
};

/*
 * A segment register with its hidden part. attr holds bits 8..23 of a descriptor's high dword, moved down
 * by 8: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15. limit is in bytes, already scaled by G.
 */
typedef struct Segment {
    uint16_t selector;
    uint16_t attr;
    uint32_t limit;
    uint64_t base;
} Segment;

#define SEG_ATTR_TYPE     0x000fu
#define SEG_ATTR_ACCESSED 0x0001u
#define SEG_ATTR_RW       0x0002u /* data: writable; code: readable */
#define SEG_ATTR_DC       0x0004u /* data: expand-down; code: conforming */
#define SEG_ATTR_CODE     0x0008u
#define SEG_ATTR_S        0x0010u /* code or data, not system */
#define SEG_ATTR_DPL_SHIFT 5
#define SEG_ATTR_P        0x0080u
#define SEG_ATTR_AVL      0x1000u
#define SEG_ATTR_L        0x2000u
#define SEG_ATTR_DB       0x4000u
#define SEG_ATTR_G        0x8000u
/* A null selector loaded in protected mode leaves attr 0 (P clear): every access through it faults. */

typedef struct DescriptorTable {
    uint64_t base;
    uint32_t limit;
} DescriptorTable;

/*
 * x87, MMX, SSE and AVX state in the layout of a standard-format XSAVE area (SDM vol. 1, 13.4), 64-bit FXSAVE
 * form: so that host XSAVE/FXRSTOR and the guest's own save instructions copy it. XSTATE_BV of the header
 * is not used here (env->xstate_bv is). FCW at 0, FSW 2, abridged FTW 4, FOP 6, FIP 8, FDP 16, MXCSR 24,
 * ST(i)/MMi at 32+16i in STACK order as FXSAVE has it, XMMi at 160+16i, YMMi's upper half at 576+16i.
 */
typedef union FpuState {
    struct {
        uint16_t fcw, fsw;
        uint8_t ftw, reserved0; /* abridged: one bit a physical register, 1 = not empty */
        uint16_t fop;
        uint64_t fip, fdp;
        uint32_t mxcsr, mxcsr_mask;
        uint8_t st[8][16];
        uint8_t xmm[16][16];
        uint8_t reserved1[96];
        uint8_t xsave_header[64];
        uint8_t ymmh[16][16];
        uint8_t room[1728]; /* opmask, ZMM: for EVEX */
    };
    uint8_t bytes[2560];
} __attribute__((aligned(64))) FpuState;

/* Requests to a vCPU: bits of interrupt_request, set by any thread. */
#define CPU_INTERRUPT_HARD 0x01u /* INTR: level, from the interrupt controller; stays while it has something */
#define CPU_INTERRUPT_NMI  0x02u
#define CPU_INTERRUPT_SMI  0x04u
#define CPU_INTERRUPT_INIT 0x08u
#define CPU_INTERRUPT_SIPI 0x10u /* vector in sipi_vector */
#define CPU_INTERRUPT_WORK 0x20u /* queued work (TLB flush, code invalidation, stop) waits */

/*
 * The interrupt controller as the CPU sees it (a local APIC, or the 8259 pair where there is none).
 * All are called on the vCPU's own thread with the machine lock held.
 */
typedef struct CpuIntController {
    int (*acknowledge)(void *opaque); /* the vector to deliver now, or -1: nothing (any more) */
    void (*catch_up)(void *opaque);   /* what its timer's clock says by now has happened; or NULL */
    uint8_t (*get_tpr)(void *opaque); /* TPR 7:0; CR8 is its high nibble */
    void (*set_tpr)(void *opaque, uint8_t tpr);
    uint64_t (*get_base)(void *opaque); /* IA32_APIC_BASE */
    bool (*set_base)(void *opaque, uint64_t value);             /* false: #GP */
    bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *value); /* 0x800-0x8ff, 0x6e0; false: #GP */
    bool (*msr_write)(void *opaque, uint32_t msr, uint64_t value);
    void (*reset)(void *opaque, bool init); /* INIT keeps the APIC ID and base */
} CpuIntController;

/* A debugger's part of a CPU (target-i386/debugger.h); changed by its own thread, or while it is paused. */
typedef enum DebuggerStop {
    DEBUGGER_STOP_NONE,
    DEBUGGER_STOP_STEP,
    DEBUGGER_STOP_BREAK,
    DEBUGGER_STOP_WATCH,
} DebuggerStop;

typedef struct CpuDebugger {
    uint8_t flags;     /* DEBUGGER_STEP ... */
    uint8_t stop;      /* DebuggerStop: why the CPU left guest code, or is about to */
    uint8_t kind;      /* DebuggerPointKind of the point that stopped it */
    uint64_t addr;     /* and its address */
    uint64_t range_start, range_end; /* stepping goes on in there */
} CpuDebugger;

typedef struct CPUX86State CPUX86State;

typedef struct CpuTlb CpuTlb;             /* target-i386/mmu.h */
typedef struct CpuCodeCache CpuCodeCache; /* the executor's decoded instructions */
typedef struct CpuJit CpuJit;             /* translated code: target-i386/jit.h */
typedef struct JitJump JitJump;
typedef struct CpuModel CpuModel;         /* target-i386/cpuid.h */

/*
 * hflags: what decides how code is decoded and checked, kept by cpu_update_hflags() whenever CS, SS, CR0,
 * CR4, EFER, EFLAGS.VM/TF/AC/IOPL change.
 */
#define HF_CPL_MASK   0x0003u
#define HF_CS32       0x0004u /* default operand and address size 32 */
#define HF_CS64       0x0008u /* 64-bit code */
#define HF_SS32       0x0010u /* 32-bit stack pointer (64-bit code: always 64) */
#define HF_PE         0x0020u
#define HF_VM         0x0040u
#define HF_LMA        0x0080u
#define HF_PG         0x0100u
#define HF_SMM        0x0200u
#define HF_FLAT       0x0400u /* CS DS ES SS all base 0, limit 4G, plain: no segment checks needed (always in 64-bit code) */
#define HF_AC         0x0800u /* alignment checks are on: CPL 3, CR0.AM, EFLAGS.AC */
#define HF_STEP       0x1000u /* TF or code breakpoints: see cpu_insn_begin() in system.h */

/*
 * A last-page slot: what one place in translated code, or several, found in the soft TLB last time. Accesses of the slot's
 * size at most `limit` bytes behind `tag` may be made at their linear address + addend: they lie in one page, or in
 * several that follow each other in host memory as well (mmu-slots.c). An empty slot has a page's address, too, that
 * is not canonical and drawn anew at each start, so that no guest comes upon it.
 */
typedef struct JitSlot {
    uint64_t tag; /* or cpu_slot_empty */
    uintptr_t addend;
    uint64_t limit, page_limit; /* page_limit: in a single page */
} JitSlot;
extern uint64_t cpu_slot_empty;
extern bool cpu_slots_fenced; /* who fills a slot for writing needs a memory barrier */
enum {
    JIT_SLOTS = 2048,
    JIT_SLOT_CHUNK = 16,       /* slots that are found to be in use, and emptied, together */
    JIT_SLOT_CHUNKS = JIT_SLOTS / JIT_SLOT_CHUNK,
    JIT_SLOT_SIZES = 6,        /* 1, 2, 4, 8, 16, 32 bytes: see jit_slot_first[] */
    JIT_SLOT_MAX_SPAN = 1024,  /* bytes; what is looked at together is not longer */
    JIT_RANGES = 4,
};

/* Pages found to follow each other lately: a slot that misses looks here first. `limit` leaves JIT_SLOT_MAX_SPAN bytes. */
typedef struct JitRange {
    uint64_t tag; /* or cpu_slot_empty */
    uintptr_t addend;
    uint64_t limit, unused;
} JitRange;

/* The first slot for accesses of 1 << i bytes; those of other sizes take the next larger, above 32 the first. */
static const uint16_t jit_slot_first[JIT_SLOT_SIZES + 1] = {0, 448, 576, 1088, 1792, 1920, JIT_SLOTS};

/* A segment as translated code looks at it: the offset behind the last one that may be read, written; 0: the handler's. */
typedef struct JitWindow {
    uint64_t end[2]; /* by MmuAccess */
    uint64_t base;
} JitWindow;

struct CPUX86State {
    /* ---- hot ---- */
    uint64_t regs[16];
    uint64_t rip, rip_next;
    uint32_t eflags; /* complete at every instruction boundary; bit 1 always set */
    uint32_t hflags;
    uint32_t jit_x87_away; /* the guest's x87 registers are in fpu, not in the host's: translate-fpu.c */
    _Atomic uint32_t exit_request; /* not 0: leave guest code at the next block end */
    uint32_t jit_vectors_away; /* the same for vector registers; compared together with exit_request */
    _Atomic uint32_t interrupt_request;
    CpuTlb *tlb;
    CpuCodeCache *code_cache;
    CpuJit *jit;          /* the translator's part, and what its code looks at: */
    JitJump *jit_jumps;   /* the jump table for the mode that runs */
    uint64_t jit_temp;    /* between the two halves of one instruction */
    uint64_t jit_shifted; /* what the last shift whose flags may have to be made again shifted */
    uint64_t jit_save[2]; /* within a piece of common code */
    uint64_t jit_vector[4]; /* within one instruction */
    /* The stack that translated code runs on: C's stack pointer meanwhile, its own while C runs, where it begins; below
       the limit, which is all ones when exit_request is set, a call or a loop leaves translated code. */
    uint64_t jit_host_sp, jit_sp, jit_stack_top;
    _Atomic uint64_t jit_stack_limit;
    uint32_t jit_mxcsr;   /* the host's */
    uint32_t jit_vectors_wide; /* upper halves are in the host's registers too */
    bool jit_x87_possible;     /* the host has XSAVE */
    uint32_t jit_flags;   /* arithmetic flags as LAHF and SETO leave them in AX */
    int32_t jit_budget;   /* lockstep: leave at the block entry where it runs out */
    int32_t jit_rounds;   /* and after so many more rounds of a loop */
    int32_t jit_flags_dead; /* lockstep: code was left where the arithmetic flags are about to be overwritten; they are not the last instruction's */
    uint64_t jit_insns;   /* lockstep: instructions that have run, up to the last branch or end of a block */
    struct Lockstep *lockstep;
    Segment segs[SEG_COUNT];

    /* ---- system ---- */
    DescriptorTable gdt, idt;
    uint32_t cr0, cr4;
    uint64_t cr2, cr3;
    uint64_t efer;
    uint64_t dr[8]; /* dr[4], dr[5] unused */
    uint64_t pdptr[4]; /* PAE without long mode: loaded by MOV CR3, kept until the next */
    uint64_t xcr0;
    uint64_t a20_mask; /* and-mask of physical addresses: bit 20 clear while A20 is gated */

    /* ---- between instructions ---- */
    uint8_t shadow;       /* CPU_SHADOW_*: interrupts held off until after the next instruction */
    bool halted;          /* HLT: waits for an interrupt */
    bool wait_sipi;       /* an application processor before its SIPI */
    bool nmi_blocked;     /* until IRET */
    bool smm;
    bool smm_nmi_blocked; /* NMI blocking at SMM entry, put back by RSM */
    uint8_t sipi_vector;
    uint32_t pending_db;  /* DR6 bits of a #DB trap that is due after this instruction */
    bool step_trap;       /* TF was set when this instruction began */

    /* ---- exception being delivered ---- */
    int excp_vector;      /* -1: none; for double-fault logic */
    uint32_t excp_error;
    int delivering; /* the vector whose delivery is under way; -1: none */
    jmp_buf *fault_jmp;   /* where cpu_raise() lands */

    /* ---- MSRs ---- */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset, tsc_adjust, tsc_aux; /* TSC = host-derived count + offset; see cpu_tsc() */
    uint64_t pat, misc_enable, smbase;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, mcg_ctl, mce_banks[4 * 10];
    uint64_t debugctl;
    uint64_t feature_control;
    uint64_t syscfg, hwcr, nb_cfg, top_mem[2], k7_evtsel[4], k7_perfctr[4]; /* AMD's */

    /* ---- x87, SSE, AVX ---- */
    uint64_t xstate_bv; /* components not in their initial state, for XSAVEOPT/XSAVEC/XINUSE */
    uint16_t fcs, fds;  /* selectors of the last x87 instruction and operand */
    bool ignne;         /* IGNNE#: pending x87 errors are ignored until they are cleared (CR0.NE = 0) */
    FpuState fpu;

    /* ---- wiring; not reset, not saved ---- */
    unsigned index; /* 0 .. cpus-1, also the initial APIC ID */
    const CpuModel *model;
    DecodeMode decode_mode; /* for the code that runs now; kept by cpu_update_hflags() */
    const CpuIntController *intc;
    void *intc_opaque;
    struct VCpu *vcpu;
    bool bsp;
    CpuDebugger debugger;
    _Atomic uint64_t code_epoch; /* memory_code_epoch() when it last began an instruction; all ones out of guest code */

    /* By class (mmu.h) and whether for writing. Only the owner fills them; tlb_protect_ram() empties those for writing. */
    _Alignas(8) uint8_t jit_slots_used[3][2][JIT_SLOT_CHUNKS]; /* 0: all slots of the chunk are empty; set before one is filled */
    bool jit_slot_often; /* one of them has missed more often than jit_slot_misses allowed: */
    uint32_t jit_often_slot; /* its offset in this structure */
    uint64_t jit_often_linear;
    int32_t jit_slot_misses[3 * 2 * JIT_SLOTS];
    _Alignas(JIT_SLOT_CHUNK * sizeof(JitSlot)) JitSlot jit_slots[3][2][JIT_SLOTS];
    JitRange jit_ranges[3][2][JIT_RANGES];
    unsigned jit_next_range;
    JitWindow jit_windows[SEG_GS + 1];
};

#define CPU_SHADOW_STI    1u
#define CPU_SHADOW_MOV_SS 2u /* holds off debug traps and NMI too */

static inline unsigned cpu_cpl(const CPUX86State *env)
{
    return env->hflags & HF_CPL_MASK;
}

/* ---- making and resetting (target-i386/cpu.c) ---- */
/* model text: "qemu64,+sse4.2,-x2apic"; "help" is handled by the caller. NULL on error. */
CPUX86State *cpu_new(unsigned index, const char *model, Error **errp);
void cpu_free(CPUX86State *env);
/* Power-on (or INIT: FPU, MSRs, caches keep what SDM vol. 3, table 10-1 says). APs come up waiting for SIPI. */
void cpu_reset(CPUX86State *env, bool init);
void cpu_update_hflags(CPUX86State *env);
/* Expands up from 0 over all 4 GB, writable. */
bool segment_is_flat_data(const Segment *s);
extern const struct VMState cpu_vmstate;

/* The CPU that the calling thread runs, or NULL (main thread). */
extern _Thread_local CPUX86State *current_cpu;

/*
 * Brings the x87 and MMX state into fpu, from the host's registers of the calling thread, where translated code leaves
 * it (translate-fpu.c). Outside cpu_exec() it is always there; within, whoever reads or writes it in C
 * calls this first (exec_check_class() does).
 */
void cpu_x87_sync(CPUX86State *env);

/* Makes guest code be left at the next block end; any thread. cpu_exit_seen() is for the CPU's own. */
static inline void cpu_request_exit(CPUX86State *env)
{
    atomic_store(&env->exit_request, 1);
    atomic_store(&env->jit_stack_limit, UINT64_MAX);
}

static inline void cpu_exit_seen(CPUX86State *env)
{
    atomic_store(&env->exit_request, 0);
}

/* ---- from devices, any thread ---- */
/* Sets bits of interrupt_request and kicks the vCPU (out of guest code and out of HLT). */
void cpu_interrupt(CPUX86State *env, uint32_t bits);
/* Clears bits; for level INTR that went away. */
void cpu_interrupt_clear(CPUX86State *env, uint32_t bits);
/*
 * FERR#: with CR0.NE = 0 a pending x87 error is reported to the board, which raises IRQ 13. Set by the board;
 * called without the machine lock on the CPU's thread. The CPU then waits at the x87 instruction for an
 * interrupt. Without a board that cares #MF is raised in both modes.
 */
extern void (*cpu_ferr)(CPUX86State *env);
/* IGNNE#: x87 instructions go on in spite of the pending error, until it is cleared. The CPU's own thread. */
void cpu_set_ignne(CPUX86State *env);
/* A20 gate; all CPUs. Takes effect before the vCPUs' next instruction that follows the device access. */
void cpu_set_a20(bool enabled);
/* The guest's time stamp counter (Hz in cpu_tsc_hz()); follows CLOCK_VIRTUAL. */
uint64_t cpu_tsc(CPUX86State *env);
uint64_t cpu_tsc_hz(void);

#endif
