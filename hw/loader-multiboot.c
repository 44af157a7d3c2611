/*
 * Multiboot 1 kernels (Multiboot Specification 0.6.96): loads the ELF or address-field form into
 * one image with the modules behind it, and makes the information structure. What only the BIOS
 * knows is added by pc-bios/multiboot.S.
 * Not given: symbol tables, drive and APM information, VBE
 * information. The screen is described as the text mode the BIOS left, also to a kernel that asked
 * for graphics.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "hw/loader.h"
#include "util/buffer.h"

/* The header, in the first 8 KB of the file, on a multiple of 4. */
enum {
    HEADER_SEARCH = 8192,
    HDR_MAGIC = 0,
    HDR_FLAGS = 4,
    HDR_CHECKSUM = 8,
    HDR_HEADER_ADDR = 12,
    HDR_LOAD_ADDR = 16,
    HDR_LOAD_END_ADDR = 20,
    HDR_BSS_END_ADDR = 24,
    HDR_ENTRY_ADDR = 28,
    HDR_BASIC_SIZE = 12,
    HDR_ADDRESS_SIZE = 32,
};
#define HEADER_MAGIC 0x1badb002u
enum {
    WANT_PAGE_ALIGNED = 1 << 0,
    WANT_MEMORY = 1 << 1,
    WANT_VIDEO = 1 << 2,
    WANT_MUST_KNOW = 0xffff, /* of these bits, all that are set must be understood */
    HAS_ADDRESSES = 1 << 16,
};

/* The information structure. */
enum {
    MBI_FLAGS = 0,
    MBI_CMDLINE = 16,
    MBI_MODS_COUNT = 20,
    MBI_MODS_ADDR = 24,
    MBI_BOOT_LOADER_NAME = 64,
    MBI_FRAMEBUFFER_ADDR = 88,
    MBI_FRAMEBUFFER_PITCH = 96,
    MBI_FRAMEBUFFER_WIDTH = 100,
    MBI_FRAMEBUFFER_HEIGHT = 104,
    MBI_FRAMEBUFFER_BPP = 108,
    MBI_FRAMEBUFFER_TYPE = 109,
    MBI_SIZE = 116,
    MOD_SIZE = 16, /* start, end, string, reserved */
};
enum {
    HAS_CMDLINE = 1 << 2,
    HAS_MODS = 1 << 3,
    HAS_LOADER_NAME = 1 << 9,
    HAS_FRAMEBUFFER = 1 << 12,
    FRAMEBUFFER_TEXT = 2,
};

/* Where things go: the kernel in conventional memory or above 1 MB; the information structure and
   the memory map that the ROM puts behind it into conventional memory that the kernel does not
   take. */
enum {
    INFO_MAX = 0x5000,
    INFO_AND_MAP = INFO_MAX + 0xc00,
    LOW_START = 0x500, /* what lies below are the real mode's vectors and the BIOS' data */
    LOW_END = 0x90000,
    ABOVE_ROM_DATA = 0x10000, /* the ROM makes the structure below here */
    HIGH_START = 0x100000,
};
#define FIRMWARE_HIGH 0x80000u /* the firmware's tables at the top of low RAM */
#define PAGE          0x1000u

static const char loader_name[] = "Vole";

/* A part of the file and the memory it goes to; the rest of the memory is zero. */
typedef struct Segment {
    uint32_t addr, mem_size;
    const uint8_t *data;
    uint32_t file_size;
} Segment;

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = v >> (8 * i);
    }
}

static const uint8_t *find_header(const uint8_t *image, size_t size)
{
    for (size_t i = 0; i + HDR_BASIC_SIZE <= size && i + HDR_BASIC_SIZE <= HEADER_SEARCH; i += 4) {
        const uint8_t *h = image + i;
        if (get32(h) == HEADER_MAGIC &&
            get32(h) + get32(h + HDR_FLAGS) + get32(h + HDR_CHECKSUM) == 0) {
            return h;
        }
    }
    return NULL;
}

/* False with an error when the segment does not lie in usable memory. */
static bool check_segment(const Segment *s, uint64_t low_ram, Error **errp)
{
    uint64_t end = (uint64_t)s->addr + s->mem_size;
    bool low = s->addr >= LOW_START && end <= LOW_END;
    bool high = s->addr >= HIGH_START && end + FIRMWARE_HIGH <= low_ram;

    if (s->file_size > s->mem_size || (!low && !high)) {
        error_set(
            errp,
            "Multiboot kernel wants memory from 0x%x to 0x%llx; usable is 0x%x to 0x%x, and 0x%x "
            "to 0x%llx (-m)",
            s->addr, (unsigned long long)end, LOW_START, LOW_END, HIGH_START,
            (unsigned long long)(low_ram > FIRMWARE_HIGH ? low_ram - FIRMWARE_HIGH : 0));
        return false;
    }
    return true;
}

/* The address fields say everything; the file is taken from where the header's place implies. */
static bool address_form(const uint8_t *kernel, size_t size, const uint8_t *header, Segment *s,
                         uint32_t *entry, Error **errp)
{
    uint64_t offset = header - kernel;
    if (offset + HDR_ADDRESS_SIZE > size) {
        error_set(errp, "Multiboot header is cut short");
        return false;
    }
    uint32_t header_addr = get32(header + HDR_HEADER_ADDR);
    uint32_t load = get32(header + HDR_LOAD_ADDR);
    uint32_t load_end = get32(header + HDR_LOAD_END_ADDR);
    uint32_t bss_end = get32(header + HDR_BSS_END_ADDR);

    if (load > header_addr || header_addr - load > offset) {
        error_set(errp, "Multiboot header at 0x%x cannot be loaded from 0x%x on", header_addr,
                  load);
        return false;
    }
    uint64_t start = offset - (header_addr - load);
    uint64_t bytes = load_end ? (uint64_t)load_end - load : size - start;
    if ((load_end && load_end < load) || bytes > size - start || bytes > UINT32_MAX) {
        error_set(errp, "Multiboot kernel's load end 0x%x is not in the file", load_end);
        return false;
    }
    uint64_t memory = bss_end ? (uint64_t)bss_end - load : bytes;
    if (bss_end && (bss_end < load || memory < bytes)) {
        error_set(errp, "Multiboot kernel's bss end 0x%x lies before its data's end", bss_end);
        return false;
    }
    *s = (Segment){.addr = load, .mem_size = memory, .data = kernel + start, .file_size = bytes};
    *entry = get32(header + HDR_ENTRY_ADDR);
    return true;
}

static bool elf_header(const uint8_t *kernel, size_t size, Elf32_Ehdr *eh, Error **errp)
{
    if (size < sizeof(*eh) || memcmp(kernel, ELFMAG, SELFMAG) != 0) {
        error_set(errp, "Multiboot kernel is no ELF file and has no address fields");
        return false;
    }
    memcpy(eh, kernel, sizeof(*eh));
    if (eh->e_ident[EI_CLASS] != ELFCLASS32 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
        eh->e_machine != EM_386) {
        error_set(errp, "Multiboot kernel is an ELF file, but not a 32-bit x86 one");
        return false;
    }
    if (eh->e_phentsize != sizeof(Elf32_Phdr) || eh->e_phoff > size ||
        eh->e_phnum > (size - eh->e_phoff) / sizeof(Elf32_Phdr)) {
        error_set(errp, "Multiboot kernel's program headers are not in the file");
        return false;
    }
    return true;
}

static Elf32_Phdr elf_segment(const uint8_t *kernel, const Elf32_Ehdr *eh, unsigned n)
{
    Elf32_Phdr ph;
    memcpy(&ph, kernel + eh->e_phoff + n * sizeof(ph), sizeof(ph));
    return ph;
}

/* Loadable segments by physical address; a virtual entry point is translated. */
static Segment *elf_form(const uint8_t *kernel, size_t size, unsigned *count, uint32_t *entry,
                         Error **errp)
{
    Elf32_Ehdr eh;
    if (!elf_header(kernel, size, &eh, errp)) {
        return NULL;
    }
    Segment *s = calloc(eh.e_phnum + 1, sizeof(*s));
    if (!s) {
        error_exit("out of memory");
    }
    unsigned n = 0;
    *entry = eh.e_entry;
    for (unsigned i = 0; i < eh.e_phnum; i++) {
        Elf32_Phdr ph = elf_segment(kernel, &eh, i);
        if (ph.p_type != PT_LOAD || ph.p_memsz == 0) {
            continue;
        }
        if (ph.p_offset > size || ph.p_filesz > size - ph.p_offset) {
            error_set(errp, "Multiboot kernel's segment %u is not in the file", i);
            free(s);
            return NULL;
        }
        if (eh.e_entry >= ph.p_vaddr && eh.e_entry - ph.p_vaddr < ph.p_memsz) {
            *entry = eh.e_entry - ph.p_vaddr + ph.p_paddr;
        }
        s[n++] = (Segment){.addr = ph.p_paddr,
                           .mem_size = ph.p_memsz,
                           .data = kernel + ph.p_offset,
                           .file_size = ph.p_filesz};
    }
    if (n == 0) {
        error_set(errp, "Multiboot kernel has nothing to load");
        free(s);
        return NULL;
    }
    *count = n;
    return s;
}

/* Lays all segments into one piece of memory. */
static bool join_segments(const Segment *s, unsigned count, uint64_t low_ram, MultibootLayout *l,
                          Error **errp)
{
    uint32_t start = UINT32_MAX, end = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!check_segment(&s[i], low_ram, errp)) {
            return false;
        }
        start = s[i].addr < start ? s[i].addr : start;
        end = s[i].addr + s[i].mem_size > end ? s[i].addr + s[i].mem_size : end;
    }
    if (start < LOW_END && end > LOW_END) {
        error_set(errp, "Multiboot kernel has parts both below 640 KB and above 1 MB");
        return false;
    }
    l->image_addr = start;
    l->image_size = end - start;
    l->image = calloc(1, l->image_size);
    if (!l->image) {
        error_exit("out of memory");
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(l->image + (s[i].addr - start), s[i].data, s[i].file_size);
    }
    return true;
}

/* Appends the module at a page boundary; returns its address, or 0 when memory ends. */
static uint32_t append_module(MultibootLayout *l, const MultibootModule *m, uint64_t low_ram)
{
    uint64_t addr = ((uint64_t)l->image_addr + l->image_size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    uint64_t end = addr + m->size;

    if (end > (l->image_addr < HIGH_START ? LOW_END : low_ram - FIRMWARE_HIGH)) {
        return 0;
    }
    uint32_t size = end - l->image_addr;
    uint8_t *grown = realloc(l->image, size);
    if (!grown) {
        error_exit("out of memory");
    }
    memset(grown + l->image_size, 0, size - l->image_size);
    memcpy(grown + (addr - l->image_addr), m->data, m->size);
    l->image = grown;
    l->image_size = size;
    return addr;
}

/*
 * Where the structure and the map go, once the image is complete; 0: the image leaves no room. The
 * first two places are the ROM's own and what lies below its variables (pc-bios/multiboot.S).
 */
static uint32_t choose_info_addr(const MultibootLayout *l)
{
    uint32_t end = (l->image_addr + l->image_size + PAGE - 1) & ~(PAGE - 1);
    const uint32_t places[] = {0x9000, 0x1000, end > ABOVE_ROM_DATA ? end : ABOVE_ROM_DATA,
                               LOW_END - 0x6000};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        uint32_t p = places[i];
        if (p + INFO_AND_MAP <= LOW_END &&
            (p >= l->image_addr + l->image_size || p + INFO_AND_MAP <= l->image_addr)) {
            return p;
        }
    }
    return 0;
}

/* Puts a string behind the structure, which goes to base; returns its guest address. */
static uint32_t append_string(Buffer *info, uint32_t base, const char *s)
{
    uint32_t addr = base + info->size;
    buffer_append(info, s, strlen(s) + 1);
    return addr;
}

/* Behind the kernel; where each starts goes to starts. */
static bool append_modules(MultibootLayout *l, const MultibootModule *modules, unsigned count,
                           uint64_t low_ram, uint32_t *starts, Error **errp)
{
    for (unsigned i = 0; i < count; i++) {
        starts[i] = append_module(l, &modules[i], low_ram);
        if (!starts[i]) {
            error_set(errp, "-initrd: module %u does not fit into the machine's memory (-m)",
                      i + 1);
            return false;
        }
    }
    l->info_addr = choose_info_addr(l);
    if (!l->info_addr) {
        error_set(errp,
                  "Multiboot kernel and modules (0x%x to 0x%x) leave no %u KB below 0x%x free",
                  l->image_addr, l->image_addr + l->image_size, INFO_AND_MAP >> 10, LOW_END);
        return false;
    }
    return true;
}

/* Structure, module table, then the strings both point to. */
static bool make_info(const char *cmdline, const MultibootModule *modules, unsigned count,
                      const uint32_t *starts, MultibootLayout *l, Error **errp)
{
    Buffer info = {0};
    uint8_t *p = buffer_extend(&info, MBI_SIZE + (size_t)count * MOD_SIZE);
    memset(p, 0, info.size);
    put32(p + MBI_FLAGS, HAS_CMDLINE | HAS_LOADER_NAME | HAS_FRAMEBUFFER | (count ? HAS_MODS : 0));
    put32(p + MBI_MODS_COUNT, count);
    put32(p + MBI_MODS_ADDR, l->info_addr + MBI_SIZE);
    put32(p + MBI_FRAMEBUFFER_ADDR, 0xb8000);
    put32(p + MBI_FRAMEBUFFER_PITCH, 160);
    put32(p + MBI_FRAMEBUFFER_WIDTH, 80);
    put32(p + MBI_FRAMEBUFFER_HEIGHT, 25);
    p[MBI_FRAMEBUFFER_BPP] = 16;
    p[MBI_FRAMEBUFFER_TYPE] = FRAMEBUFFER_TEXT;

    uint32_t addr = append_string(&info, l->info_addr, cmdline);
    put32(info.data + MBI_CMDLINE, addr);
    addr = append_string(&info, l->info_addr, loader_name);
    put32(info.data + MBI_BOOT_LOADER_NAME, addr);
    for (unsigned i = 0; i < count; i++) {
        addr = append_string(&info, l->info_addr, modules[i].cmdline);
        uint8_t *mod = info.data + MBI_SIZE + i * MOD_SIZE;
        put32(mod, starts[i]);
        put32(mod + 4, starts[i] + modules[i].size);
        put32(mod + 8, addr);
    }
    if (info.size > INFO_MAX) {
        error_set(errp, "the command lines of kernel and modules are longer than %u bytes",
                  INFO_MAX);
        buffer_free(&info);
        return false;
    }
    l->info = info.data;
    l->info_size = info.size;
    return true;
}

bool multiboot_prepare(const uint8_t *kernel, size_t size, const char *cmdline,
                       const MultibootModule *modules, unsigned count, uint64_t low_ram,
                       MultibootLayout *layout, Error **errp)
{
    const uint8_t *header = find_header(kernel, size);
    Segment one, *segments = &one;
    unsigned n = 1;

    memset(layout, 0, sizeof(*layout));
    if (!header) {
        error_set(errp, "not a Multiboot kernel");
        return false;
    }
    uint32_t flags = get32(header + HDR_FLAGS);
    uint32_t unknown = flags & WANT_MUST_KNOW & ~(WANT_PAGE_ALIGNED | WANT_MEMORY | WANT_VIDEO);
    if (unknown) {
        error_set(errp, "Multiboot kernel asks for unknown features (flags 0x%x)", unknown);
        return false;
    }
    if (flags & HAS_ADDRESSES) {
        if (!address_form(kernel, size, header, &one, &layout->entry, errp)) {
            return false;
        }
    } else {
        segments = elf_form(kernel, size, &n, &layout->entry, errp);
        if (!segments) {
            return false;
        }
    }
    uint32_t *starts = calloc(count + 1, sizeof(*starts));
    if (!starts) {
        error_exit("out of memory");
    }
    bool ok = join_segments(segments, n, low_ram, layout, errp) &&
              append_modules(layout, modules, count, low_ram, starts, errp) &&
              make_info(cmdline, modules, count, starts, layout, errp);
    free(starts);
    if (segments != &one) {
        free(segments);
    }
    if (!ok) {
        free(layout->image);
        layout->image = NULL;
    }
    return ok;
}

bool multiboot_probe(const uint8_t *image, size_t size)
{
    return find_header(image, size) != NULL;
}
