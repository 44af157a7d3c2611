/*
 * Linux kernels: checks a bzImage or zImage, decides where its parts go and fills in the setup
 * header, as "The Linux/x86 Boot Protocol" says for versions from 2.00 on. pc-bios/linuxboot.S does
 * the rest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "hw/loader.h"

/* Fields of the setup header, with the protocol version that brought them. */
enum {
    HDR_OLD_CMDLINE_MAGIC = 0x20, /* protocols before 2.02 */
    HDR_OLD_CMDLINE_OFFSET = 0x22,
    HDR_SETUP_SECTS = 0x1f1,
    HDR_VID_MODE = 0x1fa,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_SETUP_MOVE_SIZE = 0x212,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_HEAP_END_PTR = 0x224,    /* 2.01 */
    HDR_CMD_LINE_PTR = 0x228,    /* 2.02 */
    HDR_INITRD_ADDR_MAX = 0x22c, /* 2.03 */
    HDR_CMDLINE_SIZE = 0x238,    /* 2.06 */
    HDR_PREF_ADDRESS = 0x258,    /* 2.10 */
    HDR_INIT_SIZE = 0x260,       /* 2.10 */
    HDR_END = 0x264,
};
#define BOOT_FLAG         0xaa55
#define HDRS_MAGIC        0x53726448u /* "HdrS" */
#define OLD_CMDLINE_MAGIC 0xa33f
enum { LOADED_HIGH = 0x01, CAN_USE_HEAP = 0x80, LOADER_UNDEFINED = 0xff };
enum { DEFAULT_SETUP_SECTS = 4, SECTOR = 512 };

/* Where things go. Below 640 KB the BIOS keeps its extended data area from about 9d000h. */
enum {
    HIGH_SETUP_ADDR = 0x10000,
    HIGH_CMDLINE_ADDR = 0x20000,
    HIGH_CMDLINE_SPACE = 0x60000,
    HIGH_HEAP_END = 0xe000,
    LOW_SETUP_ADDR = 0x90000,
    LOW_HEAP_END = 0x9800,
    LOW_KERNEL_ADDR = 0x10000,
    HIGH_KERNEL_ADDR = 0x100000,
    HEAP_STACK = 0x200, /* the end of the heap is given less this much stack */
};
#define OLD_INITRD_MAX  0x37ffffffu
#define OLD_CMDLINE_MAX 255u
/* The firmware keeps tables in the top 256 KB of low RAM; stay well below. */
#define FIRMWARE_HIGH 0x80000u
#define PAGE          0x1000u

static uint16_t get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

/* The value of the last "name=" word of the command line, or NULL. */
static const char *find_option(const char *cmdline, const char *name)
{
    size_t n = strlen(name);
    const char *value = NULL;

    for (const char *p = cmdline; (p = strstr(p, name)); p += n) {
        if (p == cmdline || p[-1] == ' ') {
            value = p + n;
        }
    }
    return value;
}

/* "vga=" is the boot loader's to interpret. */
static void set_video_mode(uint8_t *image, const char *cmdline)
{
    const char *value = find_option(cmdline, "vga=");

    if (!value) {
        return;
    }
    if (strncmp(value, "normal", 6) == 0) {
        put16(image + HDR_VID_MODE, 0xffff);
    } else if (strncmp(value, "ext", 3) == 0) {
        put16(image + HDR_VID_MODE, 0xfffe);
    } else if (strncmp(value, "ask", 3) == 0) {
        put16(image + HDR_VID_MODE, 0xfffd);
    } else {
        put16(image + HDR_VID_MODE, strtoul(value, NULL, 0));
    }
}

/* "mem=" bounds where the kernel looks for its ramdisk. */
static uint64_t memory_limit(const char *cmdline)
{
    const char *value = find_option(cmdline, "mem=");
    char *end;

    if (!value) {
        return UINT64_MAX;
    }
    uint64_t bytes = strtoull(value, &end, 0);
    switch (*end) {
    case 'g':
    case 'G':
        bytes <<= 30;
        break;
    case 'm':
    case 'M':
        bytes <<= 20;
        break;
    case 'k':
    case 'K':
        bytes <<= 10;
        break;
    }
    return bytes ? bytes : UINT64_MAX;
}

/* Picks the addresses of setup and kernel, and checks that the image has those parts. */
static bool place_kernel(const uint8_t *image, size_t size, uint64_t low_ram, LinuxLayout *l,
                         Error **errp)
{
    unsigned version = get16(image + HDR_VERSION);
    bool high = image[HDR_LOADFLAGS] & LOADED_HIGH;
    unsigned sects = image[HDR_SETUP_SECTS] ? image[HDR_SETUP_SECTS] : DEFAULT_SETUP_SECTS;
    unsigned heap_end = high && version >= 0x202 ? HIGH_HEAP_END : LOW_HEAP_END;

    l->setup_size = (sects + 1) * SECTOR;
    if (l->setup_size >= size || l->setup_size < HDR_END) {
        error_set(errp, "Linux kernel is cut short: %zu bytes with %u sectors of setup code", size,
                  sects);
        return false;
    }
    if (l->setup_size > heap_end - HEAP_STACK) {
        error_set(errp, "Linux kernel has %u bytes of setup code; at most %u fit", l->setup_size,
                  heap_end - HEAP_STACK);
        return false;
    }
    /* Protocols before 2.02 want the setup at 90000h; a low kernel fills the space below. */
    l->setup_addr = high && version >= 0x202 ? HIGH_SETUP_ADDR : LOW_SETUP_ADDR;
    l->kernel_addr = high ? HIGH_KERNEL_ADDR : LOW_KERNEL_ADDR;
    uint64_t kernel_size = size - l->setup_size;
    if (!high && kernel_size > LOW_SETUP_ADDR - LOW_KERNEL_ADDR) {
        error_set(errp, "Linux kernel of %llu KB is too large for a zImage (512 KB)",
                  (unsigned long long)(kernel_size >> 10));
        return false;
    }
    /* A low kernel needs some memory above 1 MB as well, for what it unpacks. */
    if ((high ? kernel_size : 0) + HIGH_KERNEL_ADDR + FIRMWARE_HIGH > low_ram) {
        error_set(errp, "Linux kernel of %llu KB does not fit into the machine's memory (-m)",
                  (unsigned long long)(kernel_size >> 10));
        return false;
    }
    l->kernel_size = kernel_size;
    return true;
}

static bool place_cmdline(uint8_t *image, const char *cmdline, LinuxLayout *l, Error **errp)
{
    unsigned version = get16(image + HDR_VERSION);
    bool low = l->setup_addr == LOW_SETUP_ADDR;
    unsigned heap_end = low ? LOW_HEAP_END : HIGH_HEAP_END;
    uint32_t max = version >= 0x206 ? get32(image + HDR_CMDLINE_SIZE) : OLD_CMDLINE_MAX;

    if (low && max > OLD_CMDLINE_MAX) {
        max = OLD_CMDLINE_MAX;
    } else if (max > HIGH_CMDLINE_SPACE) {
        max = HIGH_CMDLINE_SPACE;
    }
    if (strlen(cmdline) > max) {
        error_set(errp, "-append: %zu characters; this kernel takes %u", strlen(cmdline), max);
        return false;
    }
    l->cmdline_size = strlen(cmdline) + 1;
    l->cmdline_addr = low ? l->setup_addr + heap_end : HIGH_CMDLINE_ADDR;
    if (version >= 0x202) {
        put32(image + HDR_CMD_LINE_PTR, l->cmdline_addr);
    } else {
        put16(image + HDR_OLD_CMDLINE_MAGIC, OLD_CMDLINE_MAGIC);
        put16(image + HDR_OLD_CMDLINE_OFFSET, heap_end);
        put16(image + HDR_SETUP_MOVE_SIZE, heap_end + l->cmdline_size);
    }
    if (version >= 0x201) {
        put16(image + HDR_HEAP_END_PTR, heap_end - HEAP_STACK);
        image[HDR_LOADFLAGS] |= CAN_USE_HEAP;
    }
    return true;
}

/* Where the kernel's own work area ends: unpacking runs over everything below. */
static uint64_t kernel_end(const uint8_t *image, const LinuxLayout *l)
{
    uint64_t end = (uint64_t)l->kernel_addr + l->kernel_size;

    if (get16(image + HDR_VERSION) >= 0x20a) {
        uint64_t start = get64(image + HDR_PREF_ADDRESS);
        if (start < l->kernel_addr) {
            start = l->kernel_addr;
        }
        if (start <= UINT32_MAX && start + get32(image + HDR_INIT_SIZE) > end) {
            end = start + get32(image + HDR_INIT_SIZE);
        }
    }
    return end > HIGH_KERNEL_ADDR ? end : HIGH_KERNEL_ADDR;
}

/* As high as the kernel, the firmware and "mem=" let it be. */
static bool place_initrd(uint8_t *image, const char *cmdline, uint64_t initrd_size,
                         uint64_t low_ram, LinuxLayout *l, Error **errp)
{
    uint64_t top =
        get16(image + HDR_VERSION) >= 0x203 ? get32(image + HDR_INITRD_ADDR_MAX) : OLD_INITRD_MAX;
    uint64_t limit = memory_limit(cmdline);

    l->initrd_addr = 0;
    if (initrd_size == 0) {
        return true;
    }
    top++;
    if (top > low_ram - FIRMWARE_HIGH) {
        top = low_ram - FIRMWARE_HIGH;
    }
    if (top > limit) {
        top = limit;
    }
    uint64_t bottom = kernel_end(image, l);
    if (initrd_size > top || ((top - initrd_size) & ~(uint64_t)(PAGE - 1)) < bottom) {
        error_set(errp,
                  "-initrd: %llu KB do not fit between the kernel's %llu KB and the end of usable "
                  "memory at %llu KB (-m)",
                  (unsigned long long)(initrd_size >> 10), (unsigned long long)(bottom >> 10),
                  (unsigned long long)(top >> 10));
        return false;
    }
    l->initrd_addr = (top - initrd_size) & ~(uint64_t)(PAGE - 1);
    put32(image + HDR_RAMDISK_IMAGE, l->initrd_addr);
    put32(image + HDR_RAMDISK_SIZE, initrd_size);
    return true;
}

bool linux_probe(const uint8_t *image, size_t size)
{
    return size >= HDR_END && get16(image + HDR_BOOT_FLAG) == BOOT_FLAG &&
           get32(image + HDR_MAGIC) == HDRS_MAGIC && get16(image + HDR_VERSION) >= 0x200;
}

bool linux_prepare(uint8_t *image, size_t size, const char *cmdline, uint64_t initrd_size,
                   uint64_t low_ram, LinuxLayout *layout, Error **errp)
{
    if (!linux_probe(image, size)) {
        error_set(errp, "not a Linux kernel of boot protocol 2.00 or later");
        return false;
    }
    if (!place_kernel(image, size, low_ram, layout, errp) ||
        !place_cmdline(image, cmdline, layout, errp) ||
        !place_initrd(image, cmdline, initrd_size, low_ram, layout, errp)) {
        return false;
    }
    image[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    set_video_mode(image, cmdline);
    return true;
}
