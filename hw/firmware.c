/*
 * Fills the configuration device with what SeaBIOS reads: the board's memory map and CPUs, boot
 * order and menu, ACPI and SMBIOS tables, and the option ROM of a kernel to start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/firmware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/acpi-tables.h"
#include "hw/loader.h"
#include "hw/machine.h"
#include "hw/smbios.h"

#define FOUR_GB 0x100000000ull
enum { E820_RAM = 1 };

static void add_file_from(FwCfg *fw, const char *name, Buffer *b)
{
    fw_cfg_add_file_copy(fw, name, b->data, b->size);
    buffer_free(b);
}

static void put_e820(Buffer *b, uint64_t addr, uint64_t size)
{
    buffer_put_le64(b, addr);
    buffer_put_le64(b, size);
    buffer_put_le32(b, E820_RAM);
}

/* The firmware subtracts what it and the hardware occupy below 1 MB. */
static void add_memory(FwCfg *fw, const FirmwareConfig *config)
{
    Buffer e820 = {0};

    put_e820(&e820, 0, config->ram_below_4g);
    if (config->ram_above_4g) {
        put_e820(&e820, FOUR_GB, config->ram_above_4g);
    }
    add_file_from(fw, "etc/e820", &e820);
    fw_cfg_add_u64(fw, FW_CFG_RAM_SIZE, config->ram_below_4g + config->ram_above_4g);
}

/* The value of key in "a=b,c=d", in *value (malloc); false when it is not there. */
static bool option_value(const char *list, const char *key, char **value)
{
    size_t n = strlen(key);

    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, key, n) == 0 && p[n] == '=') {
            *value = strndup(p + n + 1, strcspn(p + n + 1, ","));
            if (!*value) {
                error_exit("out of memory");
            }
            return true;
        }
    }
    return false;
}

/* A number of milliseconds up to max from -boot. Absent is no failure: *found tells. */
static bool boot_time(const char *boot, const char *key, unsigned long max, unsigned long *ms,
                      bool *found, Error **errp)
{
    char *text, *rest;

    *found = option_value(boot, key, &text);
    if (!*found) {
        return true;
    }
    *ms = strtoul(text, &rest, 10);
    bool ok = *text >= '0' && *text <= '9' && *rest == '\0' && *ms <= max;
    if (!ok) {
        error_set(errp, "-boot %s=%s: a number of milliseconds from 0 to %lu is possible", key,
                  text, max);
    }
    free(text);
    return ok;
}

static bool add_boot_options(FwCfg *fw, const char *boot, Error **errp)
{
    char *menu;
    bool on = false, found;
    unsigned long ms;

    if (option_value(boot, "menu", &menu)) {
        on = strcmp(menu, "on") == 0;
        free(menu);
    }
    fw_cfg_add_u16(fw, FW_CFG_BOOT_MENU, on);
    if (!boot_time(boot, "splash-time", 0xffff, &ms, &found, errp)) {
        return false;
    }
    if (found) {
        uint8_t le[2] = {ms, ms >> 8};
        fw_cfg_add_file_copy(fw, "etc/boot-menu-wait", le, sizeof(le));
    }
    if (!boot_time(boot, "reboot-timeout", 0xffff, &ms, &found, errp)) {
        return false;
    }
    if (found) {
        uint8_t le[4] = {ms, ms >> 8};
        fw_cfg_add_file_copy(fw, "etc/boot-fail-wait", le, sizeof(le));
    }
    return true;
}

static void add_tables(FwCfg *fw, const FirmwareConfig *config)
{
    /* Sleep states S3 to S5 by their index: 80h says supported, the low bits are SUS_TYP. */
    static const uint8_t system_states[6] = {0x80, 0, 0, 1, 2, 0x80};
    SmbiosConfig smbios = {
        .ram_below_4g = config->ram_below_4g,
        .ram_above_4g = config->ram_above_4g,
        .cpus = config->cpus,
        .name = config->name,
    };
    Buffer tables = {0}, anchor = {0};

    /* The first three of its fields are little endian there (SMBIOS 2.6, 7.2.1). */
    for (unsigned i = 0; i < 16; i++) {
        smbios.uuid[i] = machine_config.uuid[i < 4 ? 3 - i : i < 8 ? i ^ 1 : i];
    }
    smbios_build(&tables, &anchor, &smbios);
    add_file_from(fw, "etc/smbios/smbios-tables", &tables);
    add_file_from(fw, "etc/smbios/smbios-anchor", &anchor);
    fw_cfg_add_copy(fw, FW_CFG_UUID, machine_config.uuid, sizeof(machine_config.uuid));
    if (config->acpi) {
        AcpiFiles acpi;
        acpi_tables_build(&acpi, config->cpus, config->ram_below_4g);
        add_file_from(fw, ACPI_TABLES_FILE, &acpi.tables);
        add_file_from(fw, ACPI_RSDP_FILE, &acpi.rsdp);
        add_file_from(fw, ACPI_LOADER_FILE, &acpi.loader);
        fw_cfg_add_file_copy(fw, "etc/system-states", system_states, sizeof(system_states));
    }
}

/* The kernel's ROM comes before every disk. */
static bool add_kernel(FwCfg *fw, const FirmwareConfig *config, Error **errp)
{
    const char *rom;
    char order[2 * FW_CFG_NAME_SIZE];

    if (!config->kernel) {
        if (config->initrd || config->append) {
            error_set(errp, "%s needs -kernel", config->initrd ? "-initrd" : "-append");
            return false;
        }
        return true;
    }
    if (!loader_load_kernel(fw, config->kernel, config->initrd, config->append,
                            config->ram_below_4g, &rom, errp)) {
        return false;
    }
    int n = snprintf(order, sizeof(order), "/rom@genroms/%s\n", rom);
    fw_cfg_add_file_copy(fw, "bootorder", order, n + 1);
    return true;
}

bool firmware_setup(FwCfg *fw, const FirmwareConfig *config, Error **errp)
{
    fw_cfg_add_u16(fw, FW_CFG_NOGRAPHIC, config->nographic);
    fw_cfg_add_u16(fw, FW_CFG_NB_CPUS, config->cpus);
    fw_cfg_add_u16(fw, FW_CFG_MAX_CPUS, config->cpus);
    fw_cfg_add_u64(fw, FW_CFG_NUMA, 0);
    fw_cfg_add_u32(fw, FW_CFG_IRQ0_OVERRIDE, 1);
    add_memory(fw, config);
    if (!add_boot_options(fw, config->boot, errp)) {
        return false;
    }
    add_tables(fw, config);
    return add_kernel(fw, config, errp);
}
