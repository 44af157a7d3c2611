/*
 * The configuration device through which the machine hands data to its firmware: numbered items and
 * a directory of named files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_FW_CFG_H
#define HW_FW_CFG_H

#include <stddef.h>
#include <stdint.h>

typedef struct FwCfg FwCfg;

/* Items with fixed numbers. Integers in them are little endian. */
enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,    /* u64, bytes */
    FW_CFG_NOGRAPHIC = 0x04,   /* u16: firmware shows its screen on the serial line as well */
    FW_CFG_NB_CPUS = 0x05,     /* u16, present */
    FW_CFG_KERNEL_ADDR = 0x07, /* u32s and data, for the option ROMs in pc-bios/ */
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_NUMA = 0x0d,      /* u64: number of nodes */
    FW_CFG_BOOT_MENU = 0x0e, /* u16 */
    FW_CFG_MAX_CPUS = 0x0f,  /* u16: highest APIC id plus one */
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,      /* files get numbers from here */
    FW_CFG_ARCH_LOCAL = 0x8000,    /* second set of items: the architecture's own */
    FW_CFG_IRQ0_OVERRIDE = 0x8002, /* u32: the timer's IRQ 0 arrives at the I/O APIC's input 2 */
};

/* Names are shorter than this. */
#define FW_CFG_NAME_SIZE 56

/* The device on the board, at ports 510h, 511h and 514h-51Bh, with signature and id. */
FwCfg *fw_cfg_create(void);

/*
 * Sets an item. `data` was allocated with malloc() and belongs to the device from now on; it is
 * freed when the item is set again. size 0 makes an empty item. key is one of the above.
 */
void fw_cfg_add_bytes(FwCfg *fw, uint16_t key, void *data, uint32_t size);
/* Copies. */
void fw_cfg_add_copy(FwCfg *fw, uint16_t key, const void *data, uint32_t size);
void fw_cfg_add_u16(FwCfg *fw, uint16_t key, uint16_t value);
void fw_cfg_add_u32(FwCfg *fw, uint16_t key, uint32_t value);
void fw_cfg_add_u64(FwCfg *fw, uint16_t key, uint64_t value);

/*
 * Adds a file to the directory, or replaces the one of that name. Ownership as fw_cfg_add_bytes();
 * the name is copied. Only while the machine is made: the firmware keeps what it read.
 */
void fw_cfg_add_file(FwCfg *fw, const char *name, void *data, uint32_t size);
/* Copies. */
void fw_cfg_add_file_copy(FwCfg *fw, const char *name, const void *data, uint32_t size);

/* An item's or file's bytes and size, in place; NULL when it was not added. For tests and the
 * monitor. */
const void *fw_cfg_item(FwCfg *fw, uint16_t key, uint32_t *size);
const void *fw_cfg_file(FwCfg *fw, const char *name, uint32_t *size);

#endif
