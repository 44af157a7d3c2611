/*
 * What the firmware is told: memory map, processors, boot options, tables, a kernel's ROM; and bad
 * options.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/firmware.h"

#include <stdlib.h>
#include <unistd.h>

#include "hw/loader.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "../test.h"

#define GB (1ull << 30)

static FwCfg *fw;
static Error *err;
static uint32_t size;

static void set_up(void)
{
    if (!fw) {
        loop_init();
        machine_lock();
        memory_init();
        memory_ram_init(16 << 20, NULL);
        fw = fw_cfg_create();
    }
    error_free(err);
    err = NULL;
}

static uint64_t le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    while (n--) {
        v = v << 8 | p[n];
    }
    return v;
}

static void memory_and_processors(void)
{
    FirmwareConfig c = {.ram_below_4g = 3 * GB, .ram_above_4g = 5 * GB, .cpus = 6, .acpi = true};

    set_up();
    CHECK(firmware_setup(fw, &c, &err));
    const uint8_t *e = fw_cfg_file(fw, "etc/e820", &size);
    CHECK(e);
    CHECK_EQ(size, 40);
    CHECK_EQ(le(e, 8), 0);
    CHECK_EQ(le(e + 8, 8), 3 * GB);
    CHECK_EQ(le(e + 16, 4), 1);
    CHECK_EQ(le(e + 20, 8), 4 * GB);
    CHECK_EQ(le(e + 28, 8), 5 * GB);
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_NB_CPUS, &size), 2), 6);
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_MAX_CPUS, &size), 2), 6);
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_RAM_SIZE, &size), 8), 8 * GB);
    CHECK(fw_cfg_file(fw, "etc/table-loader", &size));
    CHECK_EQ(size % 128, 0);
    CHECK(fw_cfg_file(fw, "etc/acpi/rsdp", &size));
    CHECK(fw_cfg_file(fw, "etc/smbios/smbios-anchor", &size));
    CHECK(!fw_cfg_file(fw, "bootorder", &size));
}

static void boot_options(void)
{
    FirmwareConfig c = {.ram_below_4g = GB,
                        .cpus = 1,
                        .boot = "order=dc,menu=on,splash-time=1500,"
                                "reboot-timeout=60"};

    set_up();
    CHECK(firmware_setup(fw, &c, &err));
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_BOOT_MENU, &size), 2), 1);
    CHECK_EQ(le(fw_cfg_file(fw, "etc/boot-menu-wait", &size), 2), 1500);
    CHECK_EQ(le(fw_cfg_file(fw, "etc/boot-fail-wait", &size), 4), 60);
    c.boot = "c";
    CHECK(firmware_setup(fw, &c, &err));
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_BOOT_MENU, &size), 2), 0);
    c.boot = "splash-time=70000";
    CHECK(!firmware_setup(fw, &c, &err));
    CHECK(strstr(error_text(err), "splash-time=70000"));
}

static void kernel_and_its_rom(void)
{
    char path[] = "/tmp/vole-kernel-XXXXXX";
    static uint8_t image[0x8000];
    FirmwareConfig c = {.ram_below_4g = GB, .cpus = 1, .append = "quiet"};

    set_up();
    CHECK(!firmware_setup(fw, &c, &err));
    CHECK_STR(error_text(err), "-append needs -kernel");
    error_free(err);
    err = NULL;
    c.kernel = path;
    int fd = mkstemp(path);
    CHECK_EQ(write(fd, image, sizeof(image)), (ssize_t)sizeof(image));
    CHECK(!firmware_setup(fw, &c, &err));
    CHECK(strstr(error_text(err), path));
    error_free(err);
    err = NULL;
    memcpy(image + 0x1fe, "\x55\xaa\0\0HdrS\x0f\x02", 10);
    image[0x211] = 1;
    image[0x239] = 8;
    CHECK_EQ(pwrite(fd, image, sizeof(image), 0), (ssize_t)sizeof(image));
    close(fd);
    loader_add_data_dir("build/pc-bios");
    bool ok = firmware_setup(fw, &c, &err);
    unlink(path);
    if (!ok) {
        printf("# %s\n", error_text(err));
    }
    CHECK(ok);
    CHECK_STR(fw_cfg_file(fw, "bootorder", &size), "/rom@genroms/linuxboot.bin\n");
    const uint8_t *rom = fw_cfg_file(fw, "genroms/linuxboot.bin", &size);
    CHECK(rom);
    CHECK_EQ(rom[0] | rom[1] << 8, 0xaa55);
    CHECK_EQ(rom[2] * 512u, size);
    uint8_t sum = 0;
    for (uint32_t i = 0; i < size; i++) {
        sum += rom[i];
    }
    CHECK_EQ(sum, 0);
    CHECK_STR(fw_cfg_item(fw, FW_CFG_CMDLINE_DATA, &size), "quiet");
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_SETUP_SIZE, &size), 4), 5 * 512);
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_KERNEL_SIZE, &size), 4), sizeof(image) - 5 * 512);
    CHECK_EQ(le(fw_cfg_item(fw, FW_CFG_INITRD_SIZE, &size), 4), 0);
}

TESTS(TEST(memory_and_processors), TEST(boot_options), TEST(kernel_and_its_rom))
