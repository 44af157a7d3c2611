/*
 * -kernel, -initrd and -append: reads the files, has them prepared by their kind, and hands
 * everything to the option ROM that starts that kind.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/loader.h"

enum { MODULES_MAX = 64, OPTION_ROM_MAX = 64 << 10 };
#define FILE_MAX 0xffffffffu /* sizes are handed over in 32 bits */

/* An item from `data`, which the device takes over. */
static void add_part(FwCfg *fw, uint16_t size_key, uint16_t data_key, void *data, uint32_t size)
{
    fw_cfg_add_u32(fw, size_key, size);
    fw_cfg_add_bytes(fw, data_key, data, size);
}

static void add_copied_part(FwCfg *fw, uint16_t size_key, uint16_t data_key, const void *data,
                            uint32_t size)
{
    fw_cfg_add_u32(fw, size_key, size);
    fw_cfg_add_copy(fw, data_key, data, size);
}

static bool load_linux(FwCfg *fw, uint8_t *image, size_t size, const char *initrd,
                       const char *cmdline, uint64_t low_ram, Error **errp)
{
    LinuxLayout l;
    uint8_t *ramdisk = NULL;
    size_t ramdisk_size = 0;

    if (initrd) {
        ramdisk = loader_read_file(initrd, FILE_MAX, &ramdisk_size, errp);
        if (!ramdisk) {
            error_prepend(errp, "-initrd: ");
            return false;
        }
    }
    if (!linux_prepare(image, size, cmdline, ramdisk_size, low_ram, &l, errp)) {
        free(ramdisk);
        return false;
    }
    fw_cfg_add_u32(fw, FW_CFG_SETUP_ADDR, l.setup_addr);
    fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, l.kernel_addr);
    fw_cfg_add_u32(fw, FW_CFG_CMDLINE_ADDR, l.cmdline_addr);
    fw_cfg_add_u32(fw, FW_CFG_INITRD_ADDR, l.initrd_addr);
    add_copied_part(fw, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, image, l.setup_size);
    add_copied_part(fw, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, image + l.setup_size,
                    l.kernel_size);
    add_copied_part(fw, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA, cmdline, l.cmdline_size);
    add_part(fw, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, ramdisk, ramdisk_size);
    return true;
}

/* Cuts the next module's "file arguments" off a list; ",," stands for a comma. */
static char *next_module(const char **list)
{
    const char *p = *list;
    char *text = malloc(strlen(p) + 1), *out = text;

    if (!text) {
        error_exit("out of memory");
    }
    while (*p && (*p != ',' || p[1] == ',')) {
        p += *p == ',';
        *out++ = *p++;
    }
    *out = '\0';
    *list = *p ? p + 1 : NULL;
    return text;
}

static bool read_modules(const char *list, MultibootModule *modules, unsigned *count, Error **errp)
{
    while (list) {
        if (*count == MODULES_MAX) {
            error_set(errp, "-initrd: more than %u modules", MODULES_MAX);
            return false;
        }
        MultibootModule *m = &modules[(*count)++];
        char *text = next_module(&list);
        m->cmdline = text;
        char *file = strndup(text, strcspn(text, " "));
        if (!file) {
            error_exit("out of memory");
        }
        m->data = loader_read_file(file, FILE_MAX, &m->size, errp);
        free(file);
        if (!m->data) {
            error_prepend(errp, "-initrd: ");
            return false;
        }
    }
    return true;
}

static bool load_multiboot(FwCfg *fw, const uint8_t *image, size_t size, const char *kernel,
                           const char *initrd, const char *append, uint64_t low_ram, Error **errp)
{
    MultibootModule modules[MODULES_MAX] = {{0}};
    MultibootLayout l;
    unsigned count = 0;
    char *cmdline;

    /* By tradition the first word is the kernel's file. */
    if (asprintf(&cmdline, "%s%s%s", kernel, *append ? " " : "", append) < 0) {
        error_exit("out of memory");
    }
    bool ok = read_modules(initrd, modules, &count, errp) &&
              multiboot_prepare(image, size, cmdline, modules, count, low_ram, &l, errp);
    if (ok) {
        fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, l.image_addr);
        fw_cfg_add_u32(fw, FW_CFG_KERNEL_ENTRY, l.entry);
        fw_cfg_add_u32(fw, FW_CFG_INITRD_ADDR, l.info_addr);
        add_part(fw, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, l.image, l.image_size);
        add_part(fw, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, l.info, l.info_size);
    }
    for (unsigned i = 0; i < count; i++) {
        free((void *)modules[i].data);
        free((void *)modules[i].cmdline);
    }
    free(cmdline);
    return ok;
}

static bool add_option_rom(FwCfg *fw, const char *rom, Error **errp)
{
    char name[FW_CFG_NAME_SIZE];
    size_t size;
    char *path = loader_find_file(rom, errp);
    uint8_t *data = path ? loader_read_file(path, OPTION_ROM_MAX, &size, errp) : NULL;

    free(path);
    if (!data) {
        return false;
    }
    snprintf(name, sizeof(name), "genroms/%s", rom);
    fw_cfg_add_file(fw, name, data, size);
    return true;
}

bool loader_load_kernel(FwCfg *fw, const char *kernel, const char *initrd, const char *append,
                        uint64_t low_ram, const char **rom, Error **errp)
{
    size_t size;
    uint8_t *image = loader_read_file(kernel, FILE_MAX, &size, errp);
    bool ok = false;

    if (!image) {
        error_prepend(errp, "-kernel: ");
        return false;
    }
    append = append ? append : "";
    if (linux_probe(image, size)) {
        *rom = "linuxboot.bin";
        ok = load_linux(fw, image, size, initrd, append, low_ram, errp);
    } else if (multiboot_probe(image, size)) {
        *rom = "multiboot.bin";
        ok = load_multiboot(fw, image, size, kernel, initrd, append, low_ram, errp);
    } else {
        error_set(
            errp,
            "-kernel: %s is neither a Linux kernel (bzImage or zImage of boot protocol 2.00 or "
            "later) nor a Multiboot 1 kernel",
            kernel);
        free(image);
        return false;
    }
    free(image);
    if (!ok) {
        error_prepend(errp, "%s: ", kernel);
        return false;
    }
    return add_option_rom(fw, *rom, errp);
}
