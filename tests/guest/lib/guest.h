/*
 * What a bare-metal guest test builds on: named checks, instructions that are expected to fault,
 * and code that is run in a context of its own (ring 3, V86, real mode) until it traps.
 *
 * A test is one C file with guest_test(). It starts at CPL 0 with IF=0, flat segments, an IDT that
 * catches all 256 vectors, and either paging off (32-bit tests) or 4 GB mapped 1:1 by 2 MB pages
 * that are user accessible (64-bit tests).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long Word; /* as wide as a general register of the test's mode */

/* Selectors of the GDT that every test starts with; from SEL_FREE on a test has its own. */
enum {
    SEL_CODE = 0x08,    /* flat, the test's own mode */
    SEL_DATA = 0x10,    /* flat */
    SEL_CODE16 = 0x18,  /* base SEG16 * 16, limit 64 KB */
    SEL_DATA16 = 0x20,  /* base SEG16 * 16, limit 64 KB */
    SEL_UCODE32 = 0x2b, /* flat, DPL 3 */
    SEL_UDATA = 0x33,   /* flat, DPL 3 */
    SEL_UCODE64 = 0x3b, /* DPL 3, 64-bit; in the order that SYSRET wants */
    SEL_TSS = 0x40,     /* two slots in long mode */
    SEL_CODE32 = 0x50,  /* flat, DPL 0, 32-bit in either mode */
    SEL_FREE = 0x60,
    SEL_CATCHERS = 0x380, /* the tasks of catch_by_task() */
    GDT_SLOTS = 128,
};
#ifdef __x86_64__
#define SEL_UCODE SEL_UCODE64
#else
#define SEL_UCODE SEL_UCODE32
#endif

#define SEG16 0x1000 /* the real-mode segment of CODE16 snippets */

/* The registers of a piece of code, and the trap that ended it. */
typedef struct Context {
    Word ax, bx, cx, dx, si, di, bp, sp, ip, flags;
    Word cs, ss, ds, es, fs, gs;
    Word vector, error, cr2;
#ifdef __x86_64__
    Word r8, r9, r10, r11, r12, r13, r14, r15;
#endif
} Context;

/* What the stack holds in a handler, see entry32.S and entry64.S. */
typedef struct Frame {
#ifdef __x86_64__
    Word r15, r14, r13, r12, r11, r10, r9, r8;
    Word di, si, bp, bx, dx, cx, ax;
#else
    Word gs, fs, es, ds;
    Word di, si, bp, unused_sp, bx, dx, cx, ax;
#endif
    Word vector, error, ip, cs, flags;
    Word sp, ss; /* 32-bit: there only when the privilege level changed */
#ifndef __x86_64__
    Word v86_es, v86_ds, v86_fs, v86_gs; /* there only when V86 mode was interrupted */
#endif
} Frame;

/* --- Results: one TAP line each --- */

void check(const char *name, bool ok);
void check_eq(const char *name, uint64_t got, uint64_t want);
void skip(const char *name, const char *why);

/* The next check is one that QEMU fails: it is expected to fail there, and only there. */
void qemu_deviates(const char *why);

void put_string(const char *s);
void put_hex(uint64_t value);
void __attribute__((noreturn)) finish(void);

/* --- Expected traps: a vector and its error code in one value --- */

#define TRAP(vector, error) ((vector) << 16 | (error))
#define DE TRAP(0, 0)
#define DB TRAP(1, 0)
#define NMI TRAP(2, 0)
#define BP TRAP(3, 0)
#define OF TRAP(4, 0)
#define BR TRAP(5, 0)
#define UD TRAP(6, 0)
#define NM TRAP(7, 0)
#define DF TRAP(8, 0)
#define TS(error) TRAP(10, error)
#define NP(error) TRAP(11, error)
#define SS(error) TRAP(12, error)
#define GP(error) TRAP(13, error)
#define PF(error) TRAP(14, error)
#define MF TRAP(16, 0)
#define AC TRAP(17, 0)
#define XM TRAP(19, 0)
#define DONE TRAP(0x30, 0) /* a snippet's own int $0x30 */
#define NONE TRAP(0xff, 0) /* nothing trapped */

extern volatile Context trap; /* the latest trap */
extern volatile Word trap_start, trap_resume;
extern unsigned (*volatile trap_handlers[256])(Frame *f); /* set by a test to see vectors itself */

/* The latest trap (or the one that ended c) is the expected one. */
void check_trap(const char *name, unsigned want);
void check_context(const char *name, const Context *c, unsigned want);

/*
 * TRY runs instructions; when they trap, execution goes on after them and `trap` says what
 * happened. Operands are those of an asm statement, beginning with a colon. EXPECT also checks the
 * trap; if it is a fault, at the first instruction. EXPECT_SEQ does not care which one faulted.
 */
#ifdef __x86_64__
#define TRY_BEGIN "movq $555f, trap_start\n\tmovq $556f, trap_resume\n555:\t"
#define TRY_END "\n556:\tmovq $0, trap_resume"
#else
#define TRY_BEGIN "movl $555f, %%ss:trap_start\n\tmovl $556f, %%ss:trap_resume\n555:\t"
#define TRY_END "\n556:\tmovl $0, %%ss:trap_resume"
#endif
#define BARRIER() asm volatile("" : : : "memory")
#define TRY(insns, ...)                                                                            \
    do {                                                                                           \
        trap.vector = 0xff;                                                                        \
        trap.error = 0;                                                                            \
        BARRIER();                                                                                 \
        asm volatile(TRY_BEGIN insns TRY_END __VA_ARGS__);                                         \
        BARRIER();                                                                                 \
    } while (0)
#define EXPECT(name, want, insns, ...)                                                             \
    do {                                                                                           \
        TRY(insns, __VA_ARGS__);                                                                   \
        check_fault_at_start(name, want);                                                          \
    } while (0)
#define EXPECT_SEQ(name, want, insns, ...)                                                         \
    do {                                                                                           \
        TRY(insns, __VA_ARGS__);                                                                   \
        check_trap(name, want);                                                                    \
    } while (0)
void check_fault_at_start(const char *name, unsigned want);

/* --- Code in a context of its own --- */

/*
 * Snippets in assembly; each ends with int $0x30, which is how run() sees that it came through. A
 * snippet's name is that of a char array at its first byte.
 */
#ifdef __x86_64__
#define NATIVE_CODE ".code64"
#else
#define NATIVE_CODE ".code32"
#endif
#define SNIPPET(name, section, mode, text)                                                         \
    extern char name[];                                                                            \
    asm(".pushsection " section ", \"ax\"\n" mode "\n" #name ":\n" text                            \
        "\n\tint $0x30\n\t.popsection\n" NATIVE_CODE)
#define CODE16(name, text) SNIPPET(name, ".text16", ".code16", text)
#define CODE32(name, text) SNIPPET(name, ".text", ".code32", text)
#define CODE64(name, text) SNIPPET(name, ".text", ".code64", text)
#define LINEAR16(label) ((Word)(label) + SEG16 * 16) /* CODE16 labels are offsets in SEG16 */

/* Runs c until the first trap that no handler of the test takes, and stores that state in c. */
void run(Context *c);

Context user_context(const void *code);   /* CPL 3, flat */
Context kernel_context(const void *code); /* CPL 0, flat, a stack of its own */

/* Calls fn at CPL 3. Checks and TRY work inside it, privileged helpers do not. */
void call_user(void (*fn)(void));

#ifndef __x86_64__
Context v86_context(const char *code16);  /* V86 mode, IOPL 0, all segments SEG16 */
Context real_context(const char *code16); /* for run_real(): all segments SEG16 */

/*
 * Runs c in real mode. The data segments keep the hidden limit of real_preload: SEL_DATA16 for
 * 64 KB, SEL_DATA for 4 GB ("unreal" mode).
 */
void run_real(Context *c);
extern uint16_t real_preload;
#endif

/* --- Descriptors --- */

/* Type bytes: present, DPL 0. Add DPL(n), take away PRESENT. */
enum {
    PRESENT = 0x80,
    ACCESSED = 1,
    TYPE_DATA_RO = 0x90,
    TYPE_DATA_RW = 0x92,
    TYPE_DOWN_RO = 0x94, /* expand-down */
    TYPE_DOWN_RW = 0x96,
    TYPE_CODE_XO = 0x98, /* execute-only */
    TYPE_CODE = 0x9a,
    TYPE_CONFORMING_XO = 0x9c,
    TYPE_CONFORMING = 0x9e,
    TYPE_TSS16 = 0x81,
    TYPE_LDT = 0x82,
    TYPE_CALL16 = 0x84,
    TYPE_TASK_GATE = 0x85,
    TYPE_INT16 = 0x86,
    TYPE_TRAP16 = 0x87,
    TYPE_TSS = 0x89,
    TYPE_TSS_BUSY = 0x8b,
    TYPE_CALL = 0x8c,
    TYPE_INT = 0x8e,
    TYPE_TRAP = 0x8f,
};
#define DPL(n) ((n) << 5)
enum { SEG_G = 0x80, SEG_D = 0x40, SEG_L = 0x20 }; /* descriptor flags */

extern volatile uint64_t gdt[GDT_SLOTS];
extern volatile uint64_t idt[512]; /* two a gate in long mode */

uint64_t segment(uint32_t base, uint32_t limit, unsigned type, unsigned flags);
uint64_t gate(Word offset, unsigned selector, unsigned type, unsigned params);
void set_gdt(unsigned selector, uint64_t descriptor);
void set_idt(unsigned vector, Word offset, unsigned selector, unsigned type);
uint64_t get_idt(unsigned vector);      /* its low 8 bytes */
void put_idt(unsigned vector, uint64_t low);
void load_gdt(unsigned limit);
void load_idt(unsigned limit);

#ifdef __x86_64__
typedef struct __attribute__((packed)) TssLong {
    uint32_t reserved0;
    uint64_t sp[3];
    uint64_t ist[8]; /* [0] is reserved, IST1 is [1] */
    uint8_t reserved1[10];
    uint16_t iomap;
    uint8_t bitmap[8193];
} TssLong;
extern volatile TssLong tss;
#else
typedef struct Tss32 {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
    uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t t, iomap;
    uint8_t redirection[32]; /* used when iomap points behind it */
    uint8_t bitmap[8193];
} Tss32;
typedef struct Tss16 {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
    uint16_t ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
} Tss16;
extern volatile Tss32 tss;
void task_context(volatile Tss32 *t, const void *code); /* CPL 0, flat, a stack of its own */

/*
 * Lets a task gate catch the vector (8 to 23) for run(): works when the stack, or what TSS.SS0
 * names, is broken. catch_by_gate() goes back to the normal gate.
 */
void catch_by_task(unsigned vector);
void catch_by_gate(unsigned vector);
#endif

/* --- Paging --- */

enum {
    PTE_P = 1,
    PTE_W = 2,
    PTE_U = 4,
    PTE_PWT = 8,
    PTE_PCD = 0x10,
    PTE_A = 0x20,
    PTE_D = 0x40,
    PTE_PS = 0x80,
    PTE_G = 0x100,
};
#define PTE_NX (1ull << 63)

typedef enum PagingMode { PAGING_32BIT, PAGING_PAE, PAGING_4LEVEL } PagingMode;

/*
 * Fresh tables that map the first GB and the area of the APICs 1:1 by large pages, writable and
 * user accessible. 32-bit tests turn paging on with paging_on(); in 64-bit tests it only loads CR3.
 */
void paging_on(PagingMode mode);
void paging_off(void);

/*
 * The table entry for va at a level (1: page table). Missing tables are made, present, writable and
 * user accessible. An address from TEST_VA on is not mapped at first.
 */
uint64_t get_entry(Word va, unsigned level);
void set_entry(Word va, unsigned level, uint64_t value); /* no invalidation */
void map(Word va, uint64_t entry);                       /* level 1, with INVLPG */
enum { TEST_VA = 0x40000000, TEST_PA = 0x1000000 };      /* free RAM from 16 MB on */

/* --- Instructions --- */

typedef struct CpuidRegs {
    uint32_t eax, ebx, ecx, edx;
} CpuidRegs;
CpuidRegs cpuid(uint32_t leaf, uint32_t subleaf);
bool cpu_has(uint32_t leaf, char reg, unsigned bit); /* reg: 'b', 'c' or 'd'; subleaf 0 */

/* As cpu_has(); if not, the test's one line says that it is skipped for want of the feature. */
bool need(uint32_t leaf, char reg, unsigned bit, const char *feature);

#define READ_REG(name)                                                                             \
    ({                                                                                             \
        Word value_;                                                                               \
        asm volatile("mov %%" name ", %0" : "=r"(value_));                                         \
        value_;                                                                                    \
    })
#define WRITE_REG(name, value) asm volatile("mov %0, %%" name : : "r"((Word)(value)) : "memory")

static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
    asm volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index)
                 : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline Word read_flags(void)
{
    Word flags;
    asm volatile("pushf\n\tpop %0" : "=r"(flags) : : "memory");
    return flags;
}

static inline void invlpg(Word va)
{
    asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}

enum {
    FLAG_CF = 1,
    FLAG_ZF = 0x40,
    FLAG_TF = 0x100,
    FLAG_IF = 0x200,
    FLAG_DF = 0x400,
    FLAG_OF = 0x800,
    FLAG_IOPL3 = 0x3000,
    FLAG_NT = 0x4000,
    FLAG_RF = 0x10000,
    FLAG_VM = 0x20000,
    FLAG_AC = 0x40000,
    FLAG_VIF = 0x80000,
    FLAG_VIP = 0x100000,
    FLAG_ID = 0x200000,
};

enum {
    CR0_PE = 1,
    CR0_MP = 2,
    CR0_EM = 4,
    CR0_TS = 8,
    CR0_NE = 0x20,
    CR0_WP = 0x10000,
    CR0_AM = 0x40000,
    CR0_NW = 0x20000000,
    CR0_CD = 0x40000000,
    CR4_VME = 1,
    CR4_PVI = 2,
    CR4_TSD = 4,
    CR4_DE = 8,
    CR4_PSE = 0x10,
    CR4_PAE = 0x20,
    CR4_MCE = 0x40,
    CR4_PGE = 0x80,
    CR4_PCE = 0x100,
    CR4_OSFXSR = 0x200,
    CR4_OSXMMEXCPT = 0x400,
    CR4_UMIP = 0x800,
    CR4_FSGSBASE = 0x10000,
    CR4_PCIDE = 0x20000,
    CR4_OSXSAVE = 0x40000,
    CR4_SMEP = 0x100000,
    CR4_SMAP = 0x200000,
};
#define CR0_PG 0x80000000ul

enum {
    MSR_TSC = 0x10,
    MSR_APIC_BASE = 0x1b,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_PAT = 0x277,
};
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
enum { EFER_SCE = 1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NXE = 0x800 };

void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* The test itself. */
void guest_test(void);

#endif
