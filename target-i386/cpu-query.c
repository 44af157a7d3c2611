/*
 * A CPU's state as text, and page tables walked for a reader.
 *
 * Sources: Intel SDM volume 3, chapters 2 (system registers) and 4 (paging).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpu-query.h"

#include <stdio.h>
#include <string.h>

#include "target-i386/disas.h"
#include "target-i386/mem.h"

/* ---- registers ---- */

static const char *const names64[16] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                        "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"};
static const char *const names32[8] = {"EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"};
static const char *const segment_names[SEG_COUNT] = {"ES", "CS", "SS",  "DS",
                                                     "FS", "GS", "LDT", "TR"};

static bool is_long(const CPUX86State *env)
{
    return env->hflags & HF_LMA;
}

static void dump_general(CPUX86State *env, Buffer *out)
{
    /* In the order people expect: a b c d, si di bp sp. */
    static const uint8_t order[16] = {0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};
    unsigned count = is_long(env) ? 16 : 8;

    for (unsigned i = 0; i < count; i++) {
        unsigned r = order[i];
        if (is_long(env)) {
            buffer_printf(out, "%s=%016llx", names64[r], (unsigned long long)env->regs[r]);
        } else {
            buffer_printf(out, "%s=%08x", names32[r], (unsigned)env->regs[r]);
        }
        buffer_put_u8(out, i % 4 == 3 ? '\n' : ' ');
    }
}

static void dump_flags(CPUX86State *env, Buffer *out)
{
    static const struct {
        uint32_t bit;
        char letter;
    } flags[] = {{FLAG_DF, 'D'}, {FLAG_OF, 'O'}, {FLAG_SF, 'S'}, {FLAG_ZF, 'Z'},
                 {FLAG_AF, 'A'}, {FLAG_PF, 'P'}, {FLAG_CF, 'C'}};
    char text[8] = "";

    for (unsigned i = 0; i < 7; i++) {
        text[i] = env->eflags & flags[i].bit ? flags[i].letter : '-';
    }
    if (is_long(env)) {
        buffer_printf(out, "RIP=%016llx RFL=%08x", (unsigned long long)env->rip, env->eflags);
    } else {
        buffer_printf(out, "EIP=%08x EFL=%08x", (unsigned)env->rip, env->eflags);
    }
    buffer_printf(out, " [%s] CPL=%u II=%u A20=%u SMM=%u HLT=%u\n", text, cpu_cpl(env),
                  env->shadow != 0, env->a20_mask >> 20 & 1 ? 1 : 0, env->smm, env->halted);
}

/* "DS   [-WA]", "CS64 [-RA]", "TSS64-busy", by the type in the hidden part. */
static void dump_segment_type(const Segment *s, Buffer *out)
{
    static const char *const system_types[16] = {
        "reserved",   "TSS16-avl",  "LDT",       "TSS16-busy", "CallGate16", "TaskGate",
        "IntGate16",  "TrapGate16", "reserved",  "TSS32-avl",  "reserved",   "TSS32-busy",
        "CallGate32", "reserved",   "IntGate32", "TrapGate32",
    };

    if (!(s->attr & SEG_ATTR_P)) {
        return;
    }
    buffer_printf(out, " DPL=%u ", s->attr >> SEG_ATTR_DPL_SHIFT & 3);
    if (!(s->attr & SEG_ATTR_S)) {
        buffer_printf(out, "%s", system_types[s->attr & SEG_ATTR_TYPE]);
    } else if (s->attr & SEG_ATTR_CODE) {
        buffer_printf(out, "%s [%c%c",
                      s->attr & SEG_ATTR_L    ? "CS64"
                      : s->attr & SEG_ATTR_DB ? "CS32"
                                              : "CS16",
                      s->attr & SEG_ATTR_DC ? 'C' : '-', s->attr & SEG_ATTR_RW ? 'R' : '-');
    } else {
        buffer_printf(out, "%s [%c%c", s->attr & SEG_ATTR_DB ? "DS  " : "DS16",
                      s->attr & SEG_ATTR_DC ? 'E' : '-', s->attr & SEG_ATTR_RW ? 'W' : '-');
    }
    if (s->attr & SEG_ATTR_S) {
        buffer_printf(out, "%c]", s->attr & SEG_ATTR_ACCESSED ? 'A' : '-');
    }
}

static void dump_segments(CPUX86State *env, Buffer *out)
{
    int width = is_long(env) ? 16 : 8;

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        const Segment *s = &env->segs[i];
        buffer_printf(out, "%-3s=%04x %0*llx %08x %04x", segment_names[i], s->selector, width,
                      (unsigned long long)s->base, s->limit, s->attr);
        dump_segment_type(s, out);
        buffer_put_u8(out, '\n');
    }
    buffer_printf(out, "GDT=     %0*llx %08x\n", width, (unsigned long long)env->gdt.base,
                  env->gdt.limit);
    buffer_printf(out, "IDT=     %0*llx %08x\n", width, (unsigned long long)env->idt.base,
                  env->idt.limit);
}

void cpu_dump_registers(CPUX86State *env, Buffer *out)
{
    dump_general(env, out);
    dump_flags(env, out);
    dump_segments(env, out);
    buffer_printf(out, "CR0=%08x CR2=%016llx CR3=%016llx CR4=%08x\n", env->cr0,
                  (unsigned long long)env->cr2, (unsigned long long)env->cr3, env->cr4);
    buffer_printf(out, "DR0=%016llx DR1=%016llx DR2=%016llx DR3=%016llx\n",
                  (unsigned long long)env->dr[0], (unsigned long long)env->dr[1],
                  (unsigned long long)env->dr[2], (unsigned long long)env->dr[3]);
    buffer_printf(out, "DR6=%016llx DR7=%016llx\n", (unsigned long long)env->dr[6],
                  (unsigned long long)env->dr[7]);
    buffer_printf(out, "EFER=%016llx\n", (unsigned long long)env->efer);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

void cpu_dump_fpu(CPUX86State *env, Buffer *out)
{
    const FpuState *f = &env->fpu;

    buffer_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", f->fcw, f->fsw,
                  f->fsw >> 11 & 7, f->ftw, f->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        /* The area is in stack order; people look for the registers. */
        const uint8_t *st = f->st[(i - (f->fsw >> 11)) & 7];
        buffer_printf(out, "FPR%u=%016llx %04x%c", i, (unsigned long long)load64(st),
                      st[8] | st[9] << 8, i & 1 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < (is_long(env) ? 16u : 8u); i++) {
        buffer_printf(
            out, "YMM%02u=%016llx %016llx %016llx %016llx\n", i,
            (unsigned long long)load64(f->ymmh[i] + 8), (unsigned long long)load64(f->ymmh[i]),
            (unsigned long long)load64(f->xmm[i] + 8), (unsigned long long)load64(f->xmm[i]));
    }
}

void cpu_dump_summary(CPUX86State *env, Buffer *out)
{
    buffer_printf(out, "CPU #%u: pc=0x%016llx%s%s\n", env->index,
                  (unsigned long long)(env->segs[SEG_CS].base + env->rip),
                  env->halted ? " (halted)" : "",
                  env->wait_sipi ? " (waits for its start-up)" : "");
}

/* ---- registers by name ---- */

static const char *const general_names[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const other_names[] = {
    "pc",  "rip", "eip",  "ip",  "rflags", "eflags",  "es",      "cs",  "ss",  "ds",
    "fs",  "gs",  "ldtr", "tr",  "cr0",    "cr2",     "cr3",     "cr4", "dr0", "dr1",
    "dr2", "dr3", "dr6",  "dr7", "efer",   "fs_base", "gs_base", "gdt", "idt"};
#define OTHER_NAMES (sizeof(other_names) / sizeof(other_names[0]))

const char *cpu_register_name(unsigned n)
{
    static const char *const general[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15",
                                          "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    const unsigned count = sizeof(general) / sizeof(general[0]);

    if (n < count) {
        return general[n];
    }
    return n - count < OTHER_NAMES ? other_names[n - count] : NULL;
}

static bool general_value(CPUX86State *env, const char *name, uint64_t *value)
{
    static const char *const bytes[8] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
    unsigned n;
    char tail;

    for (unsigned i = 0; i < 8; i++) {
        if (strcmp(name, bytes[i]) == 0) {
            *value = env->regs[i & 3] >> (i & 4 ? 8 : 0) & 0xff;
            return true;
        }
        if (strcmp(name, general_names[i]) == 0) {
            *value = (uint16_t)env->regs[i];
            return true;
        }
        if ((name[0] == 'r' || name[0] == 'e') && strcmp(name + 1, general_names[i]) == 0) {
            *value = name[0] == 'r' ? env->regs[i] : (uint32_t)env->regs[i];
            return true;
        }
    }
    if (sscanf(name, "r%u%c", &n, &tail) == 1 && n >= 8 && n < 16) {
        *value = env->regs[n];
        return true;
    }
    return false;
}

bool cpu_register_value(CPUX86State *env, const char *name, uint64_t *value)
{
    const Segment *seg = env->segs;
    const uint64_t values[OTHER_NAMES] = {
        seg[SEG_CS].base + env->rip,
        env->rip,
        (uint32_t)env->rip,
        (uint16_t)env->rip,
        env->eflags,
        env->eflags,
        seg[SEG_ES].selector,
        seg[SEG_CS].selector,
        seg[SEG_SS].selector,
        seg[SEG_DS].selector,
        seg[SEG_FS].selector,
        seg[SEG_GS].selector,
        seg[SEG_LDTR].selector,
        seg[SEG_TR].selector,
        env->cr0,
        env->cr2,
        env->cr3,
        env->cr4,
        env->dr[0],
        env->dr[1],
        env->dr[2],
        env->dr[3],
        env->dr[6],
        env->dr[7],
        env->efer,
        seg[SEG_FS].base,
        seg[SEG_GS].base,
        env->gdt.base,
        env->idt.base,
    };

    for (unsigned i = 0; i < OTHER_NAMES; i++) {
        if (strcmp(name, other_names[i]) == 0) {
            *value = values[i];
            return true;
        }
    }
    return general_value(env, name, value);
}

/* ---- page tables ---- */

#define PTE_P    0x001ull
#define PTE_RW   0x002ull
#define PTE_US   0x004ull
#define PTE_PWT  0x008ull
#define PTE_PCD  0x010ull
#define PTE_A    0x020ull
#define PTE_D    0x040ull
#define PTE_PS   0x080ull
#define PTE_G    0x100ull
#define PTE_NX   (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* An entry that maps something: rights of all levels combined. */
typedef struct Mapping {
    uint64_t linear, phys, size;
    uint64_t entry; /* the last level's */
    bool write, user;
} Mapping;

typedef struct Walk {
    CPUX86State *env;
    unsigned entry_bytes;
    void (*fn)(const Mapping *m, void *opaque);
    void *opaque;
    unsigned tables; /* looked at so far */
} Walk;

/* Tables may point at each other in rings: 64 K of them, enough for 128 GB, is where it ends. */
#define MAX_TABLES 65536

static uint64_t read_entry(const Walk *w, uint64_t table, unsigned index)
{
    uint64_t e = 0;

    if (!dma_read((table + (uint64_t)index * w->entry_bytes) & w->env->a20_mask, &e,
                  w->entry_bytes)) {
        return 0;
    }
    return e;
}

/* PSE-36: bits 39:32 of a 4 MB page stand in bits 20:13 of its entry. */
static uint64_t large_page_base(const Walk *w, uint64_t e, uint64_t size)
{
    if (w->entry_bytes == 4) {
        return (e & 0xffc00000) | (e >> 13 & 0xff) << 32;
    }
    return e & PTE_ADDR & ~(size - 1);
}

/* bits: of the linear address below this table's index; per: index bits. */
static void walk_table(Walk *w, uint64_t table, unsigned level, uint64_t linear, bool write,
                       bool user)
{
    unsigned index_bits = w->entry_bytes == 4 ? 10 : 9;
    unsigned shift = 12 + (level - 1) * index_bits;
    unsigned count = level == 3 && !(w->env->hflags & HF_LMA) ? 4 : 1u << index_bits;

    if (w->tables >= MAX_TABLES) {
        return;
    }
    w->tables++;
    for (unsigned i = 0; i < count; i++) {
        uint64_t e = read_entry(w, table, i), at = linear | (uint64_t)i << shift;
        bool pdpte = level == 3 && count == 4; /* PAE's four carry no rights */
        Mapping m;

        if (!(e & PTE_P)) {
            continue;
        }
        if (level == 4 && i >= 256) {
            at |= 0xffff000000000000ull;
        }
        m.write = write && (pdpte || (e & PTE_RW));
        m.user = user && (pdpte || (e & PTE_US));
        if (level == 1 || (level <= 3 && !pdpte && (e & PTE_PS) &&
                           (w->entry_bytes == 8 || (w->env->cr4 & CR4_PSE)))) {
            m.linear = at;
            m.size = 1ull << shift;
            m.phys = level == 1 ? e & PTE_ADDR : large_page_base(w, e, m.size);
            m.entry = e;
            w->fn(&m, w->opaque);
        } else {
            walk_table(w, e & PTE_ADDR, level - 1, at, m.write, m.user);
        }
    }
}

static bool walk_all(CPUX86State *env, Buffer *out, void (*fn)(const Mapping *m, void *opaque),
                     void *opaque)
{
    Walk w = {env, env->cr4 & CR4_PAE ? 8 : 4, fn, opaque, 0};

    if (!(env->cr0 & CR0_PG)) {
        buffer_printf(out, "paging is off\n");
        return false;
    }
    if (env->hflags & HF_LMA) {
        walk_table(&w, env->cr3 & PTE_ADDR, 4, 0, true, true);
    } else if (w.entry_bytes == 8) {
        walk_table(&w, env->cr3 & 0xffffffe0, 3, 0, true, true);
    } else {
        walk_table(&w, env->cr3 & 0xfffff000, 2, 0, true, true);
    }
    if (w.tables >= MAX_TABLES) {
        buffer_printf(out, "too many page tables: the rest is left out\n");
    }
    return true;
}

typedef struct EachMapping {
    void (*fn)(uint64_t linear, uint64_t phys, uint64_t size, void *opaque);
    void *opaque;
} EachMapping;

static void hand_on(const Mapping *m, void *opaque)
{
    EachMapping *each = opaque;

    each->fn(m->linear, m->phys, m->size, each->opaque);
}

bool cpu_each_mapping(CPUX86State *env,
                      void (*fn)(uint64_t linear, uint64_t phys, uint64_t size, void *opaque),
                      void *opaque)
{
    EachMapping each = {fn, opaque};
    Buffer ignored = {0};
    bool paging = walk_all(env, &ignored, hand_on, &each);

    buffer_free(&ignored);
    return paging;
}

static void print_mapping(const Mapping *m, void *opaque)
{
    uint64_t e = m->entry;
    bool large = m->size > GUEST_PAGE_SIZE;

    buffer_printf(opaque, "%016llx: %016llx %c%c%c%c%c%c%c%c%c\n", (unsigned long long)m->linear,
                  (unsigned long long)m->phys, e & PTE_NX ? 'X' : '-', e & PTE_G ? 'G' : '-',
                  large ? 'P' : '-', e & PTE_D ? 'D' : '-', e & PTE_A ? 'A' : '-',
                  e & PTE_PCD ? 'C' : '-', e & PTE_PWT ? 'T' : '-', m->user ? 'U' : '-',
                  m->write ? 'W' : '-');
}

void cpu_dump_tlb(CPUX86State *env, Buffer *out)
{
    walk_all(env, out, print_mapping, out);
}

typedef struct Range {
    Buffer *out;
    uint64_t start, end;
    bool open, write, user;
} Range;

static void close_range(Range *r)
{
    if (r->open) {
        buffer_printf(r->out, "%016llx-%016llx %016llx %cr%c\n", (unsigned long long)r->start,
                      (unsigned long long)r->end, (unsigned long long)(r->end - r->start),
                      r->user ? 'u' : '-', r->write ? 'w' : '-');
    }
    r->open = false;
}

static void merge_mapping(const Mapping *m, void *opaque)
{
    Range *r = opaque;

    if (!r->open || r->end != m->linear || r->write != m->write || r->user != m->user) {
        close_range(r);
        *r = (Range){r->out, m->linear, m->linear, true, m->write, m->user};
    }
    r->end += m->size;
}

void cpu_dump_mem_mappings(CPUX86State *env, Buffer *out)
{
    Range r = {.out = out};

    if (walk_all(env, out, merge_mapping, &r)) {
        close_range(&r);
    }
}

/* ---- code ---- */

unsigned cpu_disassemble(CPUX86State *env, uint64_t addr, Buffer *out)
{
    uint8_t bytes[INSN_MAX_LENGTH];
    char text[128];
    unsigned n = 0;
    Insn insn;

    while (n < sizeof(bytes) && mem_debug_read(env, addr + n, bytes + n, 1)) {
        n++;
    }
    if (n == 0) {
        return 0;
    }
    if (insn_decode(&env->decode_mode, bytes, n, &insn) != INSN_OK) {
        buffer_printf(out, "(bad) 0x%02x", bytes[0]);
        return 1;
    }
    buffer_printf(out, "%s", insn_print(&insn, addr, text, sizeof(text)));
    return insn.len;
}
