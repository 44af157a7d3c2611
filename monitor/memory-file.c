/*
 * Guest memory in files.
 *
 * A core's program headers are one note segment and the RAM; with paging also a header for each
 * range of virtual memory, whose bytes are those of the RAM segment it lies in, so nothing is
 * written twice. Notes: NT_PRSTATUS for debuggers, and the one of QEMU's dumps ("QEMU", type 0),
 * whose system registers kernel dump tools look for. Sources: System V ABI, gABI chapter 5;
 * <sys/procfs.h>; QEMU's target/i386/arch_dump.c for the layout of that note.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/memory-file.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "hw/memory.h"
#include "monitor/kdump.h"
#include "monitor/monitor-int.h"
#include "target-i386/cpu-query.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"

/* ---- pieces ---- */

#define HOLE_MAX (UINT64_C(2) << 30) /* longer than any between two pieces of RAM */

/* Physical memory has holes, as below 1 MB: zeroes, so that what lies behind is at its place. But
 * something has to be memory. */
static bool copy_piece(CPUX86State *env, uint64_t addr, uint64_t size, FILE *f, const char *path,
                       Error **errp)
{
    uint8_t buf[4096];
    uint64_t first = addr, hole = 0;
    bool any = false;

    while (size > 0) {
        size_t n = sizeof(buf) - addr % sizeof(buf); /* to the page's end */
        n = size < n ? size : n;
        bool ok = env ? mem_debug_read(env, addr, buf, (unsigned)n) : dma_read(addr, buf, n);
        any |= ok;
        hole = ok ? 0 : hole + n;
        if (!ok && (env || (n == size && !any) || hole > HOLE_MAX)) {
            error_set(errp, "Cannot access memory at 0x%llx",
                      (unsigned long long)(env ? addr : first));
            return false;
        }
        if (!ok) {
            memset(buf, 0, n);
        }
        if (fwrite(buf, 1, n, f) != n) {
            error_set_errno(errp, errno, "cannot write '%s'", path);
            return false;
        }
        addr += n;
        size -= n;
    }
    return true;
}

static FILE *create(const char *path, Error **errp)
{
    FILE *f = fopen(path, "wb");

    if (!f) {
        error_set_errno(errp, errno, "cannot write '%s'", path);
    }
    return f;
}

static bool finish(FILE *f, bool ok, const char *path, Error **errp)
{
    if (fclose(f) != 0 && ok) {
        error_set_errno(errp, errno, "cannot write '%s'", path);
        return false;
    }
    return ok;
}

bool memory_save_file(CPUX86State *env, uint64_t addr, uint64_t size, const char *path,
                      Error **errp)
{
    FILE *f = create(path, errp);
    bool paused, ok;

    if (!f) {
        return false;
    }
    paused = monitor_pause_cpus();
    ok = copy_piece(env, addr, size, f, path, errp);
    monitor_resume_cpus(paused);
    return finish(f, ok, path, errp);
}

/* ---- a core ---- */

#define NOTE_ALIGN    4
#define PAGE          4096
#define HEADERS_MAX   (1u << 20)
#define PRSTATUS_NAME "CORE"
#define QEMU_NAME     "QEMU"

typedef struct QemuSegment {
    uint32_t selector, limit, flags, pad;
    uint64_t base;
} QemuSegment;

typedef struct QemuCpuState {
    uint32_t version, size;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8[8], rip, rflags;
    QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    uint64_t cr[5];
    uint64_t kernel_gs_base;
} QemuCpuState;

typedef struct Core {
    RamRange ram[64];
    unsigned ram_count;
    Buffer headers; /* of PT_LOAD */
    Buffer notes;
    Elf64_Phdr open; /* the virtual range being put together; p_memsz 0: none */
} Core;

static void add_ram(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly, void *opaque)
{
    Core *c = opaque;

    if (mr->kind == MEMORY_RAM && !readonly && c->ram_count < 64) {
        c->ram[c->ram_count++] = (RamRange){addr, size, 0};
    }
}

static void add_load(Core *c, const Elf64_Phdr *p)
{
    if (c->headers.size / sizeof(*p) < HEADERS_MAX) {
        buffer_append(&c->headers, p, sizeof(*p));
    }
}

static Elf64_Phdr load_header(uint64_t virt, uint64_t phys, uint64_t offset, uint64_t size)
{
    return (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_W | PF_X,
                        .p_offset = offset,
                        .p_vaddr = virt,
                        .p_paddr = phys,
                        .p_filesz = size,
                        .p_memsz = size};
}

static void close_mapping(Core *c)
{
    if (c->open.p_memsz) {
        add_load(c, &c->open);
    }
    c->open.p_memsz = 0;
}

/* Pages in a row, both ways, are one header. What is no RAM is left out. */
static void add_mapping(uint64_t linear, uint64_t phys, uint64_t size, void *opaque)
{
    Core *c = opaque;
    Elf64_Phdr *o = &c->open;

    for (unsigned i = 0; i < c->ram_count; i++) {
        const RamRange *r = &c->ram[i];
        uint64_t from = phys > r->addr ? phys : r->addr;
        uint64_t to = phys + size < r->addr + r->size ? phys + size : r->addr + r->size;
        if (from >= to) {
            continue;
        }
        if (o->p_memsz && o->p_vaddr + o->p_memsz == linear + (from - phys) &&
            o->p_offset + o->p_filesz == r->offset + (from - r->addr)) {
            o->p_memsz = o->p_filesz += to - from;
        } else {
            close_mapping(c);
            *o = load_header(linear + (from - phys), from, r->offset + (from - r->addr), to - from);
        }
    }
}

static void add_note(Buffer *out, const char *name, uint32_t type, const void *data, size_t size)
{
    static const uint8_t zeroes[NOTE_ALIGN];
    Elf64_Nhdr h = {(uint32_t)strlen(name) + 1, (uint32_t)size, type};

    buffer_append(out, &h, sizeof(h));
    buffer_append(out, name, h.n_namesz);
    buffer_append(out, zeroes, -h.n_namesz % NOTE_ALIGN);
    buffer_append(out, data, size);
    buffer_append(out, zeroes, -size % NOTE_ALIGN);
}

static void add_prstatus(Core *c, const CPUX86State *env, unsigned index)
{
    struct elf_prstatus st = {.pr_pid = (int)index + 1};
    const uint64_t *r = env->regs;
    const Segment *s = env->segs;
    /* In the order of user_regs_struct. */
    const uint64_t regs[ELF_NGREG] = {
        r[15],
        r[14],
        r[13],
        r[12],
        r[R_BP],
        r[R_BX],
        r[11],
        r[10],
        r[9],
        r[8],
        r[R_AX],
        r[R_CX],
        r[R_DX],
        r[R_SI],
        r[R_DI],
        ~UINT64_C(0), /* orig_rax: not in a system call */
        env->rip,
        s[SEG_CS].selector,
        env->eflags,
        r[R_SP],
        s[SEG_SS].selector,
        s[SEG_FS].base,
        s[SEG_GS].base,
        s[SEG_DS].selector,
        s[SEG_ES].selector,
        s[SEG_FS].selector,
        s[SEG_GS].selector,
    };

    memcpy(&st.pr_reg, regs, sizeof(regs));
    add_note(&c->notes, PRSTATUS_NAME, NT_PRSTATUS, &st, sizeof(st));
}

static QemuSegment qemu_segment(const Segment *s)
{
    return (QemuSegment){s->selector, s->limit, (uint32_t)s->attr << 8, 0, s->base};
}

static void add_qemu_state(Core *c, const CPUX86State *env)
{
    const uint64_t *r = env->regs;
    const Segment *s = env->segs;
    QemuCpuState st = {.version = 1,
                       .size = sizeof(st),
                       .rax = r[R_AX],
                       .rbx = r[R_BX],
                       .rcx = r[R_CX],
                       .rdx = r[R_DX],
                       .rsi = r[R_SI],
                       .rdi = r[R_DI],
                       .rsp = r[R_SP],
                       .rbp = r[R_BP],
                       .rip = env->rip,
                       .rflags = env->eflags,
                       .cs = qemu_segment(&s[SEG_CS]),
                       .ds = qemu_segment(&s[SEG_DS]),
                       .es = qemu_segment(&s[SEG_ES]),
                       .fs = qemu_segment(&s[SEG_FS]),
                       .gs = qemu_segment(&s[SEG_GS]),
                       .ss = qemu_segment(&s[SEG_SS]),
                       .ldt = qemu_segment(&s[SEG_LDTR]),
                       .tr = qemu_segment(&s[SEG_TR]),
                       .gdt = {.limit = env->gdt.limit, .base = env->gdt.base},
                       .idt = {.limit = env->idt.limit, .base = env->idt.base},
                       .cr = {env->cr0, 0, env->cr2, env->cr3, env->cr4},
                       .kernel_gs_base = env->kernel_gs_base};

    memcpy(st.r8, r + 8, sizeof(st.r8));
    add_note(&c->notes, QEMU_NAME, 0, &st, sizeof(st));
}

/*
 * The file: header, note header and notes at the front, RAM from a page on, the other program
 * headers behind it, where their number does not move the RAM.
 */
static void lay_out(Core *c, bool paging)
{
    uint64_t at = 0;

    memory_each_range(&memory_as, add_ram, c);
    for (unsigned i = 0; i < vcpu_count(); i++) {
        add_prstatus(c, vcpu_env(i), i);
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        add_qemu_state(c, vcpu_env(i));
    }
    at = (sizeof(Elf64_Ehdr) + c->notes.size + PAGE - 1) / PAGE * PAGE;
    for (unsigned i = 0; i < c->ram_count; i++) {
        c->ram[i].offset = at;
        at += c->ram[i].size;
    }
    if (paging && cpu_each_mapping(vcpu_env(monitor_cpu_index()), add_mapping, c)) {
        close_mapping(c);
        return;
    }
    for (unsigned i = 0; i < c->ram_count; i++) {
        Elf64_Phdr p =
            load_header(c->ram[i].addr, c->ram[i].addr, c->ram[i].offset, c->ram[i].size);
        add_load(c, &p);
    }
}

static bool is_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Pages of zeroes are holes. */
static bool write_ram(const Core *c, FILE *f)
{
    static uint8_t buf[65536];

    for (unsigned i = 0; i < c->ram_count; i++) {
        for (uint64_t at = 0; at < c->ram[i].size; at += sizeof(buf)) {
            size_t n = c->ram[i].size - at < sizeof(buf) ? c->ram[i].size - at : sizeof(buf);
            if (!dma_read(c->ram[i].addr + at, buf, n)) {
                memset(buf, 0, n);
            }
            if (is_zero(buf, n)) {
                continue;
            }
            if (fseeko(f, (off_t)(c->ram[i].offset + at), SEEK_SET) != 0 ||
                fwrite(buf, 1, n, f) != n) {
                return false;
            }
        }
    }
    return true;
}

static bool write_core(const Core *c, FILE *f)
{
    const RamRange *last = &c->ram[c->ram_count - 1];
    uint64_t headers_at = last->offset + last->size;
    size_t count = c->headers.size / sizeof(Elf64_Phdr) + 1;
    Elf64_Phdr note = {.p_type = PT_NOTE,
                       .p_offset = sizeof(Elf64_Ehdr),
                       .p_filesz = c->notes.size,
                       .p_memsz = c->notes.size};
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = headers_at,
        .e_ehsize = sizeof(e),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_phnum = count < PN_XNUM ? (uint16_t)count : PN_XNUM};
    /* With too many of them for the header, their number stands in the only section (gABI). */
    Elf64_Shdr s = {.sh_info = (uint32_t)count};

    if (count >= PN_XNUM) {
        e.e_shoff = headers_at + count * sizeof(Elf64_Phdr);
        e.e_shnum = 1;
    }
    return fwrite(&e, sizeof(e), 1, f) == 1 && fwrite(c->notes.data, c->notes.size, 1, f) == 1 &&
           write_ram(c, f) && fseeko(f, (off_t)headers_at, SEEK_SET) == 0 &&
           fwrite(&note, sizeof(note), 1, f) == 1 &&
           (!c->headers.size || fwrite(c->headers.data, c->headers.size, 1, f) == 1) &&
           (count < PN_XNUM || fwrite(&s, sizeof(s), 1, f) == 1);
}

bool memory_dump_core(const char *path, DumpFormat format, bool paging, Error **errp)
{
    FILE *f;
    Core c = {0};
    bool paused, ok;

    if (format == DUMP_KDUMP_ZLIB && paging) {
        error_set(errp,
                  "the kdump-compressed format has no virtual addresses: crash knows them from "
                  "the kernel");
        return false;
    }
    f = create(path, errp);
    if (!f) {
        return false;
    }
    paused = monitor_pause_cpus();
    lay_out(&c, paging);
    ok = c.ram_count > 0 &&
         (format == DUMP_ELF ? write_core(&c, f)
                             : kdump_write(f, c.ram, c.ram_count, &c.notes, vcpu_count()));
    if (!ok) {
        error_set_errno(errp, errno, "cannot write '%s'", path);
    }
    monitor_resume_cpus(paused);
    buffer_free(&c.headers);
    buffer_free(&c.notes);
    return finish(f, ok, path, errp);
}
