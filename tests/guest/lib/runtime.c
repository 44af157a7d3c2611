/*
 * The guest tests' runtime: start and end, TAP output, descriptor tables, trap capture, contexts.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { PORT_DEBUGCON = 0xe9, PORT_DEBUG_EXIT = 0xf4 };
enum { NO_TRAP = 0xff, USER_DONE = 0x30 };

/* In entry32.S and entry64.S. */
extern char trap_entries[];
extern char ring0_stack_top[]; /* for traps from outer rings: stays as it was until the next one */
void context_enter(Context *c);
void guest_start(void);
unsigned trap_c(Frame *f);

volatile Context trap;
volatile Word trap_start, trap_resume;
unsigned (*volatile trap_handlers[256])(Frame *f);
volatile Word run_sp; /* where context_leave goes back to; 0: nothing is being run */

static unsigned checks, failures;
static const char *deviation;
static uint8_t user_stack[8192] __attribute__((aligned(16)));
static uint8_t kernel_stack[8192] __attribute__((aligned(16)));

/* --- Output --- */

void put_string(const char *s)
{
    for (; *s; s++)
        outb(PORT_DEBUGCON, *s);
}

void put_hex(uint64_t value)
{
    int digits = 1;
    while (digits < 16 && value >> (4 * digits))
        digits++;
    put_string("0x");
    while (digits--)
        outb(PORT_DEBUGCON, "0123456789abcdef"[value >> (4 * digits) & 15]);
}

static void put_decimal(unsigned n)
{
    char text[11];
    int i = sizeof(text) - 1;
    text[i] = 0;
    do {
        text[--i] = '0' + n % 10;
        n /= 10;
    } while (n);
    put_string(text + i);
}

static void begin_line(const char *name, bool ok)
{
    checks++;
    failures += !ok;
    put_string(ok ? "ok " : "not ok ");
    put_decimal(checks);
    put_string(" - ");
    put_string(name);
}

static void end_line(void)
{
    if (deviation) {
        put_string(" # known QEMU deviation: ");
        put_string(deviation);
        deviation = NULL;
    }
    put_string("\n");
}

void check(const char *name, bool ok)
{
    begin_line(name, ok);
    end_line();
}

void check_eq(const char *name, uint64_t got, uint64_t want)
{
    begin_line(name, got == want);
    if (got != want) {
        put_string(" # got ");
        put_hex(got);
        put_string(" want ");
        put_hex(want);
    }
    end_line();
}

void skip(const char *name, const char *why)
{
    begin_line(name, true);
    put_string(" # SKIP ");
    put_string(why);
    put_string("\n");
}

void qemu_deviates(const char *why)
{
    deviation = why;
}

void finish(void)
{
    put_string("1..");
    put_decimal(checks);
    put_string("\n");
    outl(PORT_DEBUG_EXIT, failures != 0);
    for (;;)
        asm volatile("cli; hlt");
}

static void put_trap(unsigned want)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD",
                                        "#NM", "#DF", "9",   "#TS", "#NP", "#SS", "#GP",
                                        "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};
    unsigned vector = want >> 16;
    if (want == NONE) {
        put_string("no trap");
    } else if (want == DONE) {
        put_string("the snippet's end");
    } else {
        if (vector < sizeof(names) / sizeof(names[0]))
            put_string(names[vector]);
        else
            put_hex(vector);
        put_string("(");
        put_hex(want & 0xffff);
        put_string(")");
    }
}

static void check_trap_at(const char *name, unsigned got, unsigned want, Word ip, bool ip_ok)
{
    begin_line(name, got == want && ip_ok);
    if (got != want || !ip_ok) {
        put_string(" # got ");
        put_trap(got);
        put_string(" at ");
        put_hex(ip);
        put_string(" want ");
        put_trap(want);
        if (!ip_ok) {
            put_string(" at ");
            put_hex(trap_start);
        }
    }
    end_line();
}

void check_trap(const char *name, unsigned want)
{
    check_trap_at(name, TRAP(trap.vector, trap.error), want, trap.ip, true);
}

void check_fault_at_start(const char *name, unsigned want)
{
    check_trap_at(name, TRAP(trap.vector, trap.error), want, trap.ip,
                  want == NONE || want == DONE || trap.ip == trap_start);
}

void check_context(const char *name, const Context *c, unsigned want)
{
    check_trap_at(name, TRAP(c->vector, c->error), want, c->ip, true);
}

/* --- Descriptor tables --- */

#ifdef __x86_64__
#define CODE_FLAGS (SEG_G | SEG_L)
#else
#define CODE_FLAGS (SEG_G | SEG_D)
#endif
#define FLAT(type, flags)                                                                          \
    (0x000f00000000ffffull | (uint64_t)((type) | ACCESSED) << 40 | (uint64_t)(flags) << 48)
#define LOW64K(type) (0x000000000000ffffull | (uint64_t)(SEG16 * 16) << 16 |                       \
                      (uint64_t)((type) | ACCESSED) << 40)

volatile uint64_t gdt[GDT_SLOTS] __attribute__((aligned(8))) = {
    [SEL_CODE / 8] = FLAT(TYPE_CODE, CODE_FLAGS),
    [SEL_DATA / 8] = FLAT(TYPE_DATA_RW, SEG_G | SEG_D),
    [SEL_CODE16 / 8] = LOW64K(TYPE_CODE),
    [SEL_DATA16 / 8] = LOW64K(TYPE_DATA_RW),
    [SEL_UCODE32 / 8] = FLAT(TYPE_CODE | DPL(3), SEG_G | SEG_D),
    [SEL_UDATA / 8] = FLAT(TYPE_DATA_RW | DPL(3), SEG_G | SEG_D),
    [SEL_UCODE64 / 8] = FLAT(TYPE_CODE | DPL(3), SEG_G | SEG_L),
    [SEL_CODE32 / 8] = FLAT(TYPE_CODE, SEG_G | SEG_D),
};
volatile uint64_t idt[512] __attribute__((aligned(8)));

typedef struct __attribute__((packed)) TablePointer {
    uint16_t limit;
    Word base;
} TablePointer;

TablePointer gdt_pointer = {sizeof(gdt) - 1, (Word)gdt};
#ifdef __x86_64__
enum { GATE_BYTES = 16 };
#else
enum { GATE_BYTES = 8 };
#endif
TablePointer idt_pointer = {256 * GATE_BYTES - 1, (Word)idt};

uint64_t segment(uint32_t base, uint32_t limit, unsigned type, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)type << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 48 |
           (uint64_t)(base >> 24) << 56;
}

uint64_t gate(Word offset, unsigned selector, unsigned type, unsigned params)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)params << 32 |
           (uint64_t)type << 40 | (uint64_t)(offset >> 16 & 0xffff) << 48;
}

void set_gdt(unsigned selector, uint64_t descriptor)
{
    gdt[selector >> 3] = descriptor;
}

void set_idt(unsigned vector, Word offset, unsigned selector, unsigned type)
{
    unsigned slot = vector * (GATE_BYTES / 8);
    idt[slot] = gate(offset, selector, type, 0);
#ifdef __x86_64__
    idt[slot + 1] = offset >> 32;
#endif
}

uint64_t get_idt(unsigned vector)
{
    return idt[vector * (GATE_BYTES / 8)];
}

void put_idt(unsigned vector, uint64_t low)
{
    idt[vector * (GATE_BYTES / 8)] = low;
}

void load_gdt(unsigned limit)
{
    TablePointer p = {limit, (Word)gdt};
    asm volatile("lgdt %0" : : "m"(p));
}

void load_idt(unsigned limit)
{
    TablePointer p = {limit, (Word)idt};
    asm volatile("lidt %0" : : "m"(p));
}

/* --- Task state --- */

#ifdef __x86_64__
volatile TssLong tss;

static void init_tss(void)
{
    tss.sp[0] = (Word)ring0_stack_top;
    tss.iomap = offsetof(TssLong, bitmap);
    tss.bitmap[sizeof(tss.bitmap) - 1] = 0xff;
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    gdt[SEL_TSS / 8 + 1] = 0;
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
}
#else
volatile Tss32 tss;
enum { FIRST_CATCHER = 8, CATCHERS = 16 };
static volatile uint32_t catcher_tss[CATCHERS][26]; /* one a vector, without I/O bitmap */
static uint8_t catcher_stack[4096] __attribute__((aligned(16)));
extern char task_trap[];
void task_trap_c(Word vector, Word error);

void task_context(volatile Tss32 *t, const void *code)
{
    memset((void *)t, 0, sizeof(*t));
    t->cs = SEL_CODE;
    t->ss = t->ds = t->es = t->fs = t->gs = SEL_DATA;
    t->ss0 = SEL_DATA;
    t->esp0 = (Word)ring0_stack_top;
    t->esp = (Word)kernel_stack + sizeof(kernel_stack);
    t->eip = (Word)code;
    t->eflags = 2;
    t->cr3 = READ_REG("cr3");
    t->iomap = offsetof(Tss32, bitmap);
    t->bitmap[sizeof(t->bitmap) - 1] = 0xff;
}

static void init_tss(void)
{
    task_context(&tss, NULL);
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

void catch_by_task(unsigned vector)
{
    static volatile Tss32 t;
    unsigned n = vector - FIRST_CATCHER, selector = SEL_CATCHERS + n * 8;
    task_context(&t, task_trap);
    t.esp = (Word)catcher_stack + sizeof(catcher_stack) - 16;
    t.ecx = vector;
    memcpy((void *)catcher_tss[n], (void *)&t, sizeof(catcher_tss[n]));
    set_gdt(selector, segment((Word)catcher_tss[n], sizeof(catcher_tss[n]) - 1, TYPE_TSS, 0));
    put_idt(vector, gate(0, selector, TYPE_TASK_GATE, 0));
}

/* The interrupted code's registers are in its TSS; an error code is on the catcher's stack. */
void task_trap_c(Word vector, Word error)
{
    trap.ax = tss.eax;
    trap.bx = tss.ebx;
    trap.cx = tss.ecx;
    trap.dx = tss.edx;
    trap.si = tss.esi;
    trap.di = tss.edi;
    trap.bp = tss.ebp;
    trap.sp = tss.esp;
    trap.ip = tss.eip;
    trap.flags = tss.eflags;
    trap.cs = tss.cs & 0xffff;
    trap.ss = tss.ss & 0xffff;
    trap.ds = tss.ds & 0xffff;
    trap.es = tss.es & 0xffff;
    trap.fs = tss.fs & 0xffff;
    trap.gs = tss.gs & 0xffff;
    trap.vector = vector;
    trap.error = error & 0xffff;
    trap.cr2 = READ_REG("cr2");
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));
    catch_by_task(vector);
}

void catch_by_gate(unsigned vector)
{
    set_idt(vector, (Word)trap_entries + 16 * vector, SEL_CODE, TYPE_INT);
}
#endif

/* --- Traps --- */

#ifndef __x86_64__
volatile Word trap_ss, trap_sp; /* of the handler, set in entry32.S */
enum { FRAME_TO_SP = offsetof(Frame, sp) };

static void capture_segments(const Frame *f)
{
    bool v86 = f->flags & FLAG_VM;
    trap.ds = (v86 ? f->v86_ds : f->ds) & 0xffff;
    trap.es = (v86 ? f->v86_es : f->es) & 0xffff;
    trap.fs = (v86 ? f->v86_fs : f->fs) & 0xffff;
    trap.gs = (v86 ? f->v86_gs : f->gs) & 0xffff;
    if (v86 || f->cs & 3) {
        trap.sp = f->sp;
        trap.ss = f->ss & 0xffff;
    } else {
        trap.sp = trap_sp + FRAME_TO_SP;
        trap.ss = trap_ss;
    }
}
#else
static void capture_segments(const Frame *f)
{
    trap.ds = READ_REG("ds") & 0xffff;
    trap.es = READ_REG("es") & 0xffff;
    trap.fs = READ_REG("fs") & 0xffff;
    trap.gs = READ_REG("gs") & 0xffff;
    trap.sp = f->sp;
    trap.ss = f->ss & 0xffff;
    trap.r8 = f->r8;
    trap.r9 = f->r9;
    trap.r10 = f->r10;
    trap.r11 = f->r11;
    trap.r12 = f->r12;
    trap.r13 = f->r13;
    trap.r14 = f->r14;
    trap.r15 = f->r15;
}
#endif

static void capture(const Frame *f)
{
    trap.ax = f->ax;
    trap.bx = f->bx;
    trap.cx = f->cx;
    trap.dx = f->dx;
    trap.si = f->si;
    trap.di = f->di;
    trap.bp = f->bp;
    trap.ip = f->ip;
    trap.cs = f->cs & 0xffff;
    trap.flags = f->flags;
    trap.vector = f->vector;
    trap.error = f->error & 0xffff;
    trap.cr2 = READ_REG("cr2");
    capture_segments(f);
}

/* Called by every trap entry. */
unsigned trap_c(Frame *f)
{
    if (trap_handlers[f->vector])
        return trap_handlers[f->vector](f);
    capture(f);
    if (trap_resume) {
        f->ip = trap_resume;
        trap_resume = 0;
        return 0;
    }
    if (run_sp)
        return 1;
    begin_line("the test runs to its end", false);
    put_string(" # got ");
    put_trap(TRAP(f->vector, f->error));
    put_string(" at ");
    put_hex(f->ip);
    put_string(" CR2 ");
    put_hex(trap.cr2);
    end_line();
    finish();
}

/* --- Contexts --- */

void run(Context *c)
{
    Word outer = run_sp;
    context_enter(c);
    run_sp = outer;
    *c = *(Context *)&trap;
}

Context kernel_context(const void *code)
{
    return (Context){.ip = (Word)code,
                     .sp = (Word)kernel_stack + sizeof(kernel_stack),
                     .flags = 2,
                     .cs = SEL_CODE,
                     .ss = SEL_DATA,
                     .ds = SEL_DATA,
                     .es = SEL_DATA,
                     .fs = SEL_DATA,
                     .gs = SEL_DATA};
}

Context user_context(const void *code)
{
    return (Context){.ip = (Word)code,
                     .sp = (Word)user_stack + sizeof(user_stack),
                     .flags = 2,
                     .cs = SEL_UCODE,
                     .ss = SEL_UDATA,
                     .ds = SEL_UDATA,
                     .es = SEL_UDATA,
                     .fs = SEL_UDATA,
                     .gs = SEL_UDATA};
}

CODE32(user_return, "");

void call_user(void (*fn)(void))
{
    Context c = user_context(fn);
    c.sp -= sizeof(Word);
    *(Word *)c.sp = (Word)user_return;
    run(&c);
    if (c.vector != USER_DONE)
        check_context("user code runs to its end", &c, DONE);
}

#ifndef __x86_64__
extern char real_entries[];
uint16_t real_preload = SEL_DATA16;
void real_enter(Context *c);
void real_capture(unsigned ss, unsigned sp);

Context v86_context(const char *code16)
{
    Context c = real_context(code16);
    c.flags |= FLAG_VM;
    return c;
}

Context real_context(const char *code16)
{
    return (Context){.ip = (Word)code16,
                     .sp = 0x7ff0, /* linear 0xfff0, below the program */
                     .flags = 2,
                     .cs = SEG16,
                     .ss = 0x800,
                     .ds = SEG16,
                     .es = SEG16,
                     .fs = SEG16,
                     .gs = SEG16};
}

/* What real_common in entry32.S has pushed, up from where it left SP. */
typedef struct __attribute__((packed)) RealFrame {
    uint16_t gs, fs, es, ds;
    uint32_t di, si, bp, unused_sp, bx, dx, cx, ax;
    uint16_t vector, ip, cs, flags;
} RealFrame;

void real_capture(unsigned ss, unsigned sp)
{
    const RealFrame *f = (const RealFrame *)(ss * 16 + (sp & 0xffff));
    trap.ax = f->ax;
    trap.bx = f->bx;
    trap.cx = f->cx;
    trap.dx = f->dx;
    trap.si = f->si;
    trap.di = f->di;
    trap.bp = f->bp;
    trap.sp = (sp & 0xffff) + sizeof(*f);
    trap.ip = f->ip;
    trap.flags = f->flags;
    trap.cs = f->cs;
    trap.ss = ss;
    trap.ds = f->ds;
    trap.es = f->es;
    trap.fs = f->fs;
    trap.gs = f->gs;
    trap.vector = f->vector;
    trap.error = 0; /* real mode pushes none */
}

void run_real(Context *c)
{
    real_enter(c);
    run_sp = 0;
    *c = *(Context *)&trap;
}

static void init_ivt(void)
{
    volatile uint32_t *ivt = (volatile uint32_t *)0;
    asm("" : "+r"(ivt)); /* address 0 is memory here, whatever the compiler thinks of it */
    for (unsigned i = 0; i < 256; i++)
        ivt[i] = SEG16 << 16 | (Word)(real_entries + 8 * i);
}
#endif

/* --- Start --- */

void guest_start(void)
{
    for (unsigned i = 0; i < 256; i++)
        set_idt(i, (Word)trap_entries + 16 * i, SEL_CODE, TYPE_INT);
    set_idt(3, (Word)trap_entries + 16 * 3, SEL_CODE, TYPE_INT | DPL(3));
    set_idt(4, (Word)trap_entries + 16 * 4, SEL_CODE, TYPE_INT | DPL(3));
    set_idt(USER_DONE, (Word)trap_entries + 16 * USER_DONE, SEL_CODE, TYPE_INT | DPL(3));
    asm volatile("lldt %w0" : : "r"(0));
    init_tss();
    asm volatile("lidt %0" : : "m"(idt_pointer));
#ifndef __x86_64__
    init_ivt();
#endif
    trap.vector = NO_TRAP;
    guest_test();
    finish();
}

CpuidRegs cpuid(uint32_t leaf, uint32_t subleaf)
{
    CpuidRegs r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                 : "a"(leaf), "c"(subleaf));
    return r;
}

bool cpu_has(uint32_t leaf, char reg, unsigned bit)
{
    if (cpuid(leaf & 0x80000000, 0).eax < leaf)
        return false;
    CpuidRegs r = cpuid(leaf, 0);
    uint32_t value = reg == 'b' ? r.ebx : reg == 'c' ? r.ecx : r.edx;
    return value >> bit & 1;
}

bool need(uint32_t leaf, char reg, unsigned bit, const char *feature)
{
    if (cpu_has(leaf, reg, bit))
        return true;
    skip("not for this CPU: it lacks", feature);
    return false;
}

void *memset(void *to, int byte, size_t n)
{
    void *p = to;
    asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *p = to;
    asm volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    for (; n--; x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
