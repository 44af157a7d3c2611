/*
 * The kernel loaders: setup headers of every boot protocol are patched and laid out as the protocol
 * says, Multiboot images of both forms become the right memory, and bad files are refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/loader.h"

#include <elf.h>
#include <stdlib.h>

#include "../test.h"

#define MB 0x100000ull

static uint8_t image[0x20000];
static LinuxLayout l;
static Error *err;

static uint16_t get16(unsigned at)
{
    return image[at] | image[at + 1] << 8;
}

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

static void make_linux(uint16_t version, uint8_t loadflags, uint8_t setup_sects)
{
    memset(image, 0, sizeof(image));
    image[0x1f1] = setup_sects;
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    memcpy(image + 0x202, "HdrS", 4);
    image[0x206] = version;
    image[0x207] = version >> 8;
    image[0x211] = loadflags;
    put32(image + 0x22c, 0x7fffffff);
    put32(image + 0x238, 2047);
    put32(image + 0x258, 0x1000000);
    put32(image + 0x260, 0x800000);
}

static bool prepare(const char *cmdline, uint64_t initrd, uint64_t ram)
{
    error_free(err);
    err = NULL;
    return linux_prepare(image, sizeof(image), cmdline, initrd, ram, &l, &err);
}

static void modern_kernel(void)
{
    make_linux(0x20f, 1, 27);
    CHECK(prepare("console=ttyS0", 5 * MB, 128 * MB));
    CHECK_EQ(l.setup_addr, 0x10000);
    CHECK_EQ(l.setup_size, 28 * 512);
    CHECK_EQ(l.kernel_addr, 0x100000);
    CHECK_EQ(l.kernel_size, sizeof(image) - 28 * 512);
    CHECK_EQ(l.cmdline_addr, 0x20000);
    CHECK_EQ(l.cmdline_size, 14);
    CHECK_EQ(get32(image + 0x228), 0x20000);
    CHECK_EQ(image[0x210], 0xff);
    CHECK_EQ(image[0x211], 0x81);
    CHECK_EQ(get16(0x224), 0xe000 - 0x200);
    CHECK_EQ(get32(image + 0x218), l.initrd_addr);
    CHECK_EQ(get32(image + 0x21c), 5 * MB);
    CHECK_EQ(l.initrd_addr % 4096, 0);
    CHECK(l.initrd_addr + 5 * MB <= 128 * MB - 0x40000);
    CHECK(l.initrd_addr > 0x1800000); /* above where the kernel unpacks */
}

static void old_protocols(void)
{
    /* 2.00, bzImage: no heap pointer, command line by offset, setup at 90000h */
    make_linux(0x200, 1, 0);
    CHECK(prepare("root=/dev/hda", MB, 2048 * MB));
    CHECK_EQ(l.setup_addr, 0x90000);
    CHECK_EQ(l.setup_size, 5 * 512);
    CHECK_EQ(l.kernel_addr, 0x100000);
    CHECK_EQ(get16(0x20), 0xa33f);
    CHECK_EQ(get16(0x22), 0x9800);
    CHECK_EQ(l.cmdline_addr, 0x99800);
    CHECK_EQ(get16(0x212), 0x9800 + 14);
    CHECK_EQ(image[0x211], 1);
    CHECK_EQ(get16(0x224), 0);
    CHECK(l.initrd_addr + MB <= 0x38000000);
    CHECK_EQ(get32(image + 0x228), 0);
    /* 2.01, zImage */
    make_linux(0x201, 0, 4);
    CHECK(prepare("", 0, 16 * MB));
    CHECK_EQ(l.kernel_addr, 0x10000);
    CHECK_EQ(image[0x211], 0x80);
    CHECK_EQ(get16(0x224), 0x9600);
    /* 2.02, zImage: the pointer is there, the place is low */
    make_linux(0x202, 0, 4);
    CHECK(prepare("x", 0, 16 * MB));
    CHECK_EQ(l.setup_addr, 0x90000);
    CHECK_EQ(get32(image + 0x228), 0x99800);
    /* 2.03: the ramdisk's limit comes from the header */
    make_linux(0x203, 1, 4);
    put32(image + 0x22c, 0xfffffff);
    CHECK(prepare("", MB, 2048 * MB));
    CHECK_EQ(l.initrd_addr, 0x10000000 - MB);
}

static void options_for_the_loader(void)
{
    make_linux(0x20f, 1, 27);
    CHECK(prepare("quiet vga=0x317 mem=64M", MB, 512 * MB));
    CHECK_EQ(get16(0x1fa), 0x317);
    CHECK_EQ(l.initrd_addr, 63 * MB);
    make_linux(0x20f, 1, 27);
    CHECK(prepare("vga=ask", 0, 512 * MB));
    CHECK_EQ(get16(0x1fa), 0xfffd);
}

static void bad_linux_files(void)
{
    static char line[4000];

    make_linux(0x1ff, 1, 4);
    CHECK(!prepare("", 0, 128 * MB));
    make_linux(0x20f, 1, 255);
    CHECK(!prepare("", 0, 128 * MB)); /* setup code of 128 KB */
    make_linux(0x20f, 1, 27);
    CHECK(!prepare("", 127 * MB, 128 * MB));
    CHECK(strstr(error_text(err), "-initrd"));
    CHECK(!prepare("", 0, MB / 2));
    memset(line, 'a', sizeof(line) - 1);
    CHECK(!prepare(line, 0, 128 * MB));
    CHECK(strstr(error_text(err), "-append"));
    /* random headers only succeed or fail */
    uint32_t x = 1;
    for (int i = 0; i < 20000; i++) {
        make_linux(0x200 + i % 16, 1, 4);
        for (int j = 0x1f1; j < 0x264; j++) {
            x = x * 1664525 + 1013904223;
            if (x >> 30 == 0 && (j < 0x1fe || j > 0x205)) {
                image[j] = x >> 16;
            }
        }
        if (prepare("a", x >> 8, (uint64_t)(x >> 4) + 1)) {
            CHECK((uint64_t)l.setup_size + l.kernel_size == sizeof(image));
        }
    }
}

/* ---- Multiboot ---- */

static uint8_t kernel[0x3000];
static MultibootLayout m;

static void put_header(unsigned at, uint32_t flags)
{
    put32(kernel + at, 0x1badb002);
    put32(kernel + at + 4, flags);
    put32(kernel + at + 8, -(0x1badb002 + flags));
}

static bool boot(const MultibootModule *modules, unsigned count)
{
    free(m.image);
    free(m.info);
    error_free(err);
    err = NULL;
    return multiboot_prepare(kernel, sizeof(kernel), "k arg", modules, count, 64 * MB, &m, &err);
}

static void make_addressed(uint32_t load, uint32_t load_end, uint32_t bss_end)
{
    for (unsigned i = 0; i < sizeof(kernel); i++) {
        kernel[i] = i * 3;
    }
    put_header(0x40, 0x10003);
    put32(kernel + 0x4c, load + 0x20); /* the image begins 20h before the header */
    put32(kernel + 0x50, load);
    put32(kernel + 0x54, load_end);
    put32(kernel + 0x58, bss_end);
    put32(kernel + 0x5c, load + 0x100);
}

static void address_form(void)
{
    MultibootModule mod[2] = {{(const uint8_t *)"module one", 10, "one x=1"},
                              {(const uint8_t *)"two", 3, "two"}};

    make_addressed(0x200000, 0x201000, 0x203000);
    CHECK(boot(mod, 2));
    CHECK_EQ(m.image_addr, 0x200000);
    CHECK_EQ(m.entry, 0x200100);
    CHECK(memcmp(m.image, kernel + 0x20, 0x1000) == 0);
    for (unsigned i = 0x1000; i < 0x3000; i++) {
        CHECK_EQ(m.image[i], 0);
    }
    CHECK_EQ(get32(m.info), 1 << 2 | 1 << 3 | 1 << 9 | 1 << 12);
    CHECK_STR((char *)m.info + get32(m.info + 16) - m.info_addr, "k arg");
    CHECK_EQ(get32(m.info + 20), 2);
    const uint8_t *mods = m.info + get32(m.info + 24) - m.info_addr;
    CHECK_EQ(get32(mods), 0x203000);
    CHECK_EQ(get32(mods + 4), 0x20300a);
    CHECK_EQ(get32(mods + 16), 0x204000);
    CHECK(memcmp(m.image + 0x4000, "two", 3) == 0);
    CHECK_STR((char *)m.info + get32(mods + 8) - m.info_addr, "one x=1");
    CHECK_EQ(m.image_size, 0x4003);
    /* without ends: all of the file, no bss */
    make_addressed(0x100000, 0, 0);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.image_size, sizeof(kernel) - 0x20);
    CHECK_EQ(get32(m.info) & 8, 0);
}

/* What a kernel is told goes where the kernel and its modules are not. */
static void low_kernels(void)
{
    MultibootModule mod = {(const uint8_t *)"module", 6, "m"};

    make_addressed(0x500, 0x1500, 0x8000);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.image_addr, 0x500);
    CHECK_EQ(m.info_addr, 0x9000);
    CHECK(boot(&mod, 1)); /* at 0x8000 */
    CHECK_EQ(m.info_addr, 0x9000);
    make_addressed(0x8000, 0x9000, 0xa000);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.info_addr, 0x1000);
    CHECK_EQ(get32(m.info + 24), 0x1000 + 116);
    make_addressed(0x6000, 0x7000, 0x9800);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.info_addr, 0x10000);
    make_addressed(0x1000, 0x2000, 0x20001);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.info_addr, 0x21000);
    CHECK_EQ(m.info_addr & 0xfff, 0);
}

static void elf_form(void)
{
    Elf32_Ehdr eh = {.e_type = ET_EXEC,
                     .e_machine = EM_386,
                     .e_entry = 0xc0100010,
                     .e_phoff = 0x100,
                     .e_phentsize = sizeof(Elf32_Phdr),
                     .e_phnum = 3};
    Elf32_Phdr ph[3] = {
        {.p_type = PT_LOAD,
         .p_offset = 0x1000,
         .p_vaddr = 0xc0100000,
         .p_paddr = 0x100000,
         .p_filesz = 0x800,
         .p_memsz = 0x800},
        {.p_type = PT_NOTE, .p_paddr = 0xffff0000, .p_memsz = 64},
        {.p_type = PT_LOAD,
         .p_offset = 0x2000,
         .p_vaddr = 0xc0102000,
         .p_paddr = 0x102000,
         .p_filesz = 0x10,
         .p_memsz = 0x4000},
    };

    memset(kernel, 0x77, sizeof(kernel));
    memcpy(eh.e_ident, ELFMAG, 4);
    eh.e_ident[EI_CLASS] = ELFCLASS32;
    eh.e_ident[EI_DATA] = ELFDATA2LSB;
    memcpy(kernel, &eh, sizeof(eh));
    memcpy(kernel + 0x100, ph, sizeof(ph));
    put_header(0x1000, 3);
    CHECK(boot(NULL, 0));
    CHECK_EQ(m.image_addr, 0x100000);
    CHECK_EQ(m.image_size, 0x6000);
    CHECK_EQ(m.entry, 0x100010);
    CHECK_EQ(m.image[0x7ff], 0x77);
    CHECK_EQ(m.image[0x800], 0);
    CHECK_EQ(m.image[0x200f], 0x77);
    CHECK_EQ(m.image[0x2010], 0);
    /* broken ones */
    ph[0].p_filesz = 0x900;
    memcpy(kernel + 0x100, ph, sizeof(ph));
    CHECK(!boot(NULL, 0));
    ph[0].p_filesz = 0x800;
    ph[2].p_offset = 0x2ff8;
    memcpy(kernel + 0x100, ph, sizeof(ph));
    CHECK(!boot(NULL, 0));
    kernel[EI_CLASS] = ELFCLASS64;
    CHECK(!boot(NULL, 0));
    CHECK(strstr(error_text(err), "32-bit"));
}

static void bad_multiboot_files(void)
{
    make_addressed(0x200000, 0x201000, 0x203000);
    put_header(0x40, 0x10013);
    CHECK(!boot(NULL, 0)); /* a feature that must be known */
    make_addressed(0x200000, 0x204000, 0x204000);
    CHECK(!boot(NULL, 0)); /* more than the file */
    make_addressed(0x200000, 0x201000, 0x200800);
    CHECK(!boot(NULL, 0));
    make_addressed(0x3f00000, 0x3f01000, 0x4000000);
    CHECK(!boot(NULL, 0)); /* beyond memory */
    make_addressed(0x80000, 0x81000, 0xa0000);
    CHECK(!boot(NULL, 0)); /* into the video memory */
    make_addressed(0x4f0, 0x1100, 0x1100);
    CHECK(!boot(NULL, 0)); /* over the BIOS's data */
    make_addressed(0x1000, 0x1100, 0x8b000);
    CHECK(!boot(NULL, 0)); /* no room left for what it is told */
    make_addressed(0xfffffff0, 0, 0);
    CHECK(!boot(NULL, 0));
    memset(kernel, 0, sizeof(kernel));
    CHECK(!boot(NULL, 0));
    CHECK(!multiboot_probe(kernel, sizeof(kernel)));
}

TESTS(TEST(modern_kernel), TEST(old_protocols), TEST(options_for_the_loader), TEST(bad_linux_files),
      TEST(address_form), TEST(low_kernels), TEST(elf_form), TEST(bad_multiboot_files))
