/*
 * The firmware configuration device: a selector port (510h), a data port (511h) and big-endian DMA
 * registers (514h-51Bh), in the form the distribution's SeaBIOS speaks and Linux documents
 * (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg and the interface's specification).
 * Not modelled: items a guest can write. A DMA write ends with the error bit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/fw_cfg.h"

#include <stdlib.h>
#include <string.h>

#include "hw/devices.h"
#include "hw/memory.h"
#include "util/log.h"

enum {
    PORT_BASE = 0x510,
    PORT_SELECT = 0, /* 16 bits, written */
    PORT_DATA = 1,   /* 8 bits, read */
    PORT_COUNT = 2,
    PORT_DMA = 0x514,
    DMA_HIGH = 0, /* offsets in the DMA registers */
    DMA_LOW = 4,
    DMA_COUNT = 8,
};

/* FW_CFG_ID */
enum { ID_PORTS = 1 << 0, ID_DMA = 1 << 1 };

/* A DMA command's control word */
enum {
    DMA_CTL_ERROR = 1 << 0,
    DMA_CTL_READ = 1 << 1,
    DMA_CTL_SKIP = 1 << 2,
    DMA_CTL_SELECT = 1 << 3,
    DMA_CTL_WRITE = 1 << 4,
};

/* What the DMA registers read as. */
static const char dma_signature[DMA_COUNT] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

/* A selector: an item's number, and two bits with a meaning. */
enum {
    SELECT_ITEM = 0x3fff,
    SELECT_WRITE = 0x4000, /* historical write channel: no item there */
    SELECT_ARCH = 0x8000,
};

enum { ITEM_COUNT = 0x80, SETS = 2 };

typedef struct Item {
    uint8_t *data;
    uint32_t size;
} Item;

/* An entry of the directory, in guest form. */
typedef struct __attribute__((packed)) DirEntry {
    uint32_t size;   /* big endian */
    uint16_t select; /* big endian */
    uint16_t reserved;
    char name[FW_CFG_NAME_SIZE];
} DirEntry;
_Static_assert(sizeof(DirEntry) == 64, "a directory entry's size is part of the interface");

struct FwCfg {
    Device dev;
    MemoryRegion ports, dma;

    uint16_t select;
    uint32_t offset;   /* next byte of the selected item; may stand past its end */
    uint32_t dma_high; /* upper half of the command's address, until the lower is written */

    Item items[SETS][ITEM_COUNT];
    uint32_t files;
};

/* ---- items ---- */

static Item *item_at(FwCfg *fw, uint16_t select)
{
    unsigned n = select & SELECT_ITEM;
    if ((select & SELECT_WRITE) || n >= ITEM_COUNT) {
        return NULL;
    }
    return &fw->items[(select & SELECT_ARCH) != 0][n];
}

static void select_item(FwCfg *fw, uint16_t select)
{
    fw->select = select;
    fw->offset = 0;
}

/* What is left of the selected item; *data points at it. */
static uint32_t item_rest(FwCfg *fw, const uint8_t **data)
{
    Item *item = item_at(fw, fw->select);
    if (!item || !item->data || fw->offset >= item->size) {
        return 0;
    }
    *data = item->data + fw->offset;
    return item->size - fw->offset;
}

/* The offset stops at the end of what 32 bits can hold rather than wrapping to the start. */
static void advance(FwCfg *fw, uint32_t n)
{
    fw->offset = n > UINT32_MAX - fw->offset ? UINT32_MAX : fw->offset + n;
}

/* ---- guest side ---- */

static uint64_t ports_read(void *opaque, hwaddr addr, unsigned size)
{
    FwCfg *fw = opaque;
    const uint8_t *data;
    uint8_t value = 0;

    if (addr != PORT_DATA || size != 1) {
        return 0;
    }
    if (item_rest(fw, &data)) {
        value = *data;
        advance(fw, 1);
    }
    return value;
}

static void ports_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    FwCfg *fw = opaque;

    if (addr == PORT_SELECT && size == 2) {
        select_item(fw, value);
    } else {
        log_printf(LOG_GUEST_ERRORS, "fw_cfg: write of %u bytes to port 0x%x is lost\n", size,
                   (unsigned)(PORT_BASE + addr));
    }
}

/* Past an item's end there are zeroes. */
static bool dma_to_guest(FwCfg *fw, uint64_t address, uint32_t length)
{
    static const uint8_t zeroes[4096];
    const uint8_t *data;
    uint32_t n = item_rest(fw, &data);

    if (n > length) {
        n = length;
    }
    if (n && !dma_write(address, data, n)) {
        return false;
    }
    advance(fw, length);
    for (uint32_t done = n; done < length; done += n) {
        n = length - done < sizeof(zeroes) ? length - done : sizeof(zeroes);
        if (!dma_write(address + done, zeroes, n)) {
            return false;
        }
    }
    return true;
}

/* The command: control, length (32 bits each) and address (64 bits), all big endian. */
static void dma_run(FwCfg *fw, uint64_t command)
{
    uint32_t words[4];

    if (!dma_read(command, words, sizeof(words))) {
        log_printf(LOG_GUEST_ERRORS, "fw_cfg: no memory at DMA command 0x%llx\n",
                   (unsigned long long)command);
        return;
    }
    uint32_t control = __builtin_bswap32(words[0]);
    uint32_t length = __builtin_bswap32(words[1]);
    uint64_t address = (uint64_t)__builtin_bswap32(words[2]) << 32 | __builtin_bswap32(words[3]);
    bool ok = true;

    if (control & DMA_CTL_SELECT) {
        select_item(fw, control >> 16);
    }
    if (control & DMA_CTL_READ) {
        ok = dma_to_guest(fw, address, length);
    } else if (control & DMA_CTL_WRITE) {
        ok = false;
    } else if (control & DMA_CTL_SKIP) {
        advance(fw, length);
    }
    uint32_t result = __builtin_bswap32(ok ? 0 : DMA_CTL_ERROR);
    dma_write(command, &result, sizeof(result));
}

static uint64_t dma_regs_read(void *opaque, hwaddr addr, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size && addr + i < DMA_COUNT; i++) {
        value |= (uint64_t)(uint8_t)dma_signature[addr + i] << (8 * i);
    }
    return value;
}

static void dma_regs_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    FwCfg *fw = opaque;

    if (size == 4 && addr == DMA_HIGH) {
        fw->dma_high = __builtin_bswap32(value);
    } else if (size == 4 && addr == DMA_LOW) {
        uint64_t command = (uint64_t)fw->dma_high << 32 | __builtin_bswap32(value);
        fw->dma_high = 0;
        dma_run(fw, command);
    } else {
        log_printf(LOG_GUEST_ERRORS, "fw_cfg: write of %u bytes to port 0x%x is lost\n", size,
                   (unsigned)(PORT_DMA + addr));
    }
}

static const MemoryOps ports_ops = {ports_read, ports_write, .min_size = 1, .max_size = 2};
static const MemoryOps dma_ops = {dma_regs_read, dma_regs_write, .min_size = 1, .max_size = 4};

/* ---- the board's side ---- */

void fw_cfg_add_bytes(FwCfg *fw, uint16_t key, void *data, uint32_t size)
{
    Item *item = item_at(fw, key);

    if (!item) {
        error_exit("fw_cfg: no item 0x%x", key);
    }
    free(item->data);
    item->data = data;
    item->size = size;
}

static void *copy_of(const void *data, uint32_t size)
{
    void *copy = malloc(size ? size : 1);
    if (!copy) {
        error_exit("out of memory");
    }
    memcpy(copy, data, size);
    return copy;
}

void fw_cfg_add_copy(FwCfg *fw, uint16_t key, const void *data, uint32_t size)
{
    fw_cfg_add_bytes(fw, key, copy_of(data, size), size);
}

void fw_cfg_add_u16(FwCfg *fw, uint16_t key, uint16_t value)
{
    fw_cfg_add_copy(fw, key, &value, sizeof(value));
}

void fw_cfg_add_u32(FwCfg *fw, uint16_t key, uint32_t value)
{
    fw_cfg_add_copy(fw, key, &value, sizeof(value));
}

void fw_cfg_add_u64(FwCfg *fw, uint16_t key, uint64_t value)
{
    fw_cfg_add_copy(fw, key, &value, sizeof(value));
}

/* The directory is an item of its own: a count (big endian) and the entries. */
static DirEntry *dir_entry(FwCfg *fw, uint32_t n)
{
    return (DirEntry *)(fw->items[0][FW_CFG_FILE_DIR].data + sizeof(uint32_t)) + n;
}

static int file_find(FwCfg *fw, const char *name)
{
    for (uint32_t i = 0; i < fw->files; i++) {
        if (strcmp(dir_entry(fw, i)->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

void fw_cfg_add_file(FwCfg *fw, const char *name, void *data, uint32_t size)
{
    Item *dir = &fw->items[0][FW_CFG_FILE_DIR];
    int n = file_find(fw, name);

    if (n < 0) {
        n = fw->files;
        if (strlen(name) >= FW_CFG_NAME_SIZE || n >= ITEM_COUNT - FW_CFG_FILE_FIRST) {
            error_exit("fw_cfg: no place for file %s", name);
        }
        uint32_t dir_size = sizeof(uint32_t) + (n + 1) * sizeof(DirEntry);
        uint8_t *grown = realloc(dir->data, dir_size);
        if (!grown) {
            error_exit("out of memory");
        }
        dir->data = grown;
        dir->size = dir_size;
        uint32_t count = __builtin_bswap32(++fw->files);
        memcpy(dir->data, &count, sizeof(count));
        DirEntry *e = dir_entry(fw, n);
        memset(e, 0, sizeof(*e));
        strcpy(e->name, name);
        e->select = __builtin_bswap16(FW_CFG_FILE_FIRST + n);
    }
    dir_entry(fw, n)->size = __builtin_bswap32(size);
    fw_cfg_add_bytes(fw, FW_CFG_FILE_FIRST + n, data, size);
}

void fw_cfg_add_file_copy(FwCfg *fw, const char *name, const void *data, uint32_t size)
{
    fw_cfg_add_file(fw, name, copy_of(data, size), size);
}

const void *fw_cfg_item(FwCfg *fw, uint16_t key, uint32_t *size)
{
    Item *item = item_at(fw, key);
    if (!item || !item->data) {
        return NULL;
    }
    *size = item->size;
    return item->data;
}

const void *fw_cfg_file(FwCfg *fw, const char *name, uint32_t *size)
{
    int n = file_find(fw, name);
    return n < 0 ? NULL : fw_cfg_item(fw, FW_CFG_FILE_FIRST + n, size);
}

static void fw_cfg_reset(Device *dev)
{
    FwCfg *fw = (FwCfg *)dev;

    select_item(fw, FW_CFG_SIGNATURE);
    fw->dma_high = 0;
}

static const VMStateField fw_cfg_fields[] = {
    VMSTATE_U16(select, FwCfg),
    VMSTATE_U32(offset, FwCfg),
    VMSTATE_U32(dma_high, FwCfg),
    VMSTATE_END,
};
static const VMState fw_cfg_vmstate = {"fw_cfg", .version = 1, .fields = fw_cfg_fields};

static bool fw_cfg_realize(Device *dev, Error **errp)
{
    FwCfg *fw = (FwCfg *)dev;
    static const uint8_t no_files[sizeof(uint32_t)];

    memory_region_init_io(&fw->ports, "fw_cfg", PORT_COUNT, &ports_ops, fw);
    memory_region_init_io(&fw->dma, "fw_cfg-dma", DMA_COUNT, &dma_ops, fw);
    ioport_add(&fw->ports, PORT_BASE);
    ioport_add(&fw->dma, PORT_DMA);
    fw_cfg_add_copy(fw, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_u32(fw, FW_CFG_ID, ID_PORTS | ID_DMA);
    fw_cfg_add_copy(fw, FW_CFG_FILE_DIR, no_files, sizeof(no_files));
    return true;
}

const DeviceClass fw_cfg_class = {
    .name = "fw_cfg",
    .desc = "firmware configuration device",
    .bus = "board",
    .size = sizeof(FwCfg),
    .vmstate = &fw_cfg_vmstate,
    .realize = fw_cfg_realize,
    .reset = fw_cfg_reset,
};

FwCfg *fw_cfg_create(void)
{
    Device *dev = device_new(&fw_cfg_class, NULL, "fw_cfg");
    device_realize_or_die(dev);
    return (FwCfg *)dev;
}
