/*
 * Loading of files into the machine: data files of the program (BIOS images, option ROMs), and
 * kernels, which are checked, laid out and patched here and copied to memory by an option ROM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_LOADER_H
#define HW_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/fw_cfg.h"
#include "hw/memory.h"
#include "util/error.h"

/* Adds a directory to look for data files in, before the built-in ones, after those added earlier
   (-L). Copies. */
void loader_add_data_dir(const char *dir);
/*
 * The path of a data file, the caller's to free. A name with a slash is taken as it stands; others
 * are looked for in the directories of -L, beside the program, in the installed and the
 * distribution's data directories and last where we are. NULL with an error: nowhere.
 */
char *loader_find_file(const char *name, Error **errp);
/* The 8x16 font of the VGA BIOS: 256 characters of 16 bytes. False when there is no VGA BIOS that has one. */
bool loader_vga_font(uint8_t font[4096]);
/* A whole regular file of 1 to max_size bytes in memory of its own (malloc); NULL with an error
   that names it. */
uint8_t *loader_read_file(const char *path, size_t max_size, size_t *size, Error **errp);

/* Makes `mr` a ROM with the contents of a data file, its size rounded up to pages; the file ends at
   the region's end. *file_size may be NULL. */
bool loader_rom_init(MemoryRegion *mr, const char *region_name, const char *file, size_t *file_size,
                     Error **errp);

/*
 * A BIOS image: `bios` ends at 4 GB and `isa_bios` is an alias of its last 128 KB (or less) that
 * ends at 1 MB. The caller adds both to its maps: bios at bios_base, isa_bios at isa_base.
 */
typedef struct BiosRegions {
    MemoryRegion bios, isa_bios;
    hwaddr bios_base, isa_base;
} BiosRegions;
bool loader_bios_init(BiosRegions *regions, const char *file, Error **errp);

/*
 * Prepares -kernel, -initrd and -append for the option ROMs: fills fw's kernel items and adds the
 * ROM to be booted as genroms/NAME; *rom gets that name. low_ram: bytes of RAM below 4 GB.
 */
bool loader_load_kernel(FwCfg *fw, const char *kernel, const char *initrd, const char *append,
                        uint64_t low_ram, const char **rom, Error **errp);

/* The parts of loader_load_kernel(), for their tests. */
bool linux_probe(const uint8_t *image, size_t size);
bool multiboot_probe(const uint8_t *image, size_t size);
typedef struct LinuxLayout {
    uint32_t setup_addr, setup_size;     /* bytes at the start of the image; patched in place */
    uint32_t kernel_addr, kernel_size;   /* what follows it */
    uint32_t cmdline_addr, cmdline_size; /* with the final NUL */
    uint32_t initrd_addr;
} LinuxLayout;
bool linux_prepare(uint8_t *image, size_t size, const char *cmdline, uint64_t initrd_size,
                   uint64_t low_ram, LinuxLayout *layout, Error **errp);

typedef struct MultibootModule {
    const uint8_t *data;
    size_t size;
    const char *cmdline;
} MultibootModule;
typedef struct MultibootLayout {
    uint8_t *image; /* kernel, modules and strings; malloc */
    uint32_t image_addr, image_size, entry;
    uint8_t *info; /* the information structure and module table; malloc */
    uint32_t info_addr, info_size;
} MultibootLayout;
bool multiboot_prepare(const uint8_t *kernel, size_t size, const char *cmdline,
                       const MultibootModule *modules, unsigned count, uint64_t low_ram,
                       MultibootLayout *layout, Error **errp);

#endif
