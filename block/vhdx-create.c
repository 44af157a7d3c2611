/*
 * vhdx: new images. At 1 MB the log, then the metadata, the block table, the blocks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/util.h"
#include "block/vhdx.h"

enum { CREATOR = 8, REGION_ENTRY = 32, METADATA_ENTRY = 32, REQUIRED = 4, VIRTUAL_DISK = 2 };
#define MAX_LOG (3ull << 30)

const BlockOptionDesc vhdx_create_options[] = {
    {"size", "SIZE", "size of the disk; at most 64T"},
    {"log_size", "SIZE", "a multiple of 1M (1M)"},
    {"block_size", "SIZE", "1M to 256M, a power of 2 (0: by the size of the disk)"},
    {"subformat", "dynamic|fixed", "blocks as they are needed, or all of the disk (dynamic)"},
    {"block_state_zero", "on|off", "new blocks are marked as zeroes, not only as not there (on)"},
    {"preallocation", "off|falloc|full", "subformat=fixed: storage from the beginning"},
    {0},
};

typedef struct Settings {
    uint64_t size, block, log, bat; /* bytes; bat: of its region */
    int subformat, prealloc;
    bool state_zero;
} Settings;

static uint64_t default_block(uint64_t size)
{
    return size > 32ull << 40    ? 64 << 20
           : size > 100ull << 30 ? 32 << 20
           : size > 1ull << 30   ? 16 << 20
                                 : 8 << 20;
}

static uint64_t data_start(const Settings *t)
{
    return 2ull * VX_MB + t->log + t->bat;
}

static uint64_t bat_start(const Settings *t)
{
    return 2ull * VX_MB + t->log;
}

static uint64_t blocks_of(const Settings *t)
{
    return DIV_ROUND_UP(t->size, t->block);
}

static uint64_t chunk_ratio(const Settings *t)
{
    return (8ull << 20) * BLK_SECTOR_SIZE / t->block;
}

static bool take_settings(const BlockCreate *create, Settings *t, Error **errp)
{
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    static const BlockPrealloc prealloc[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL};
    BlockOptions *o = create->options;
    int mode = 0;

    *t = (Settings){.size = create->size, .log = VX_MB, .state_zero = true};
    if (!blkopts_take_word(o, "subformat", subformats, &t->subformat, errp) ||
        !blkopts_take_word(o, "preallocation", modes, &mode, errp) ||
        !blkopts_take_bool(o, "block_state_zero", &t->state_zero, errp) ||
        !blkopts_take_size(o, "block_size", &t->block, errp) ||
        !blkopts_take_size(o, "log_size", &t->log, errp)) {
        return false;
    }
    t->prealloc = prealloc[mode];
    t->block = t->block ? t->block : default_block(t->size);
    if (t->size > VX_MAX_SIZE || !t->size) {
        error_set(errp, "%s: vhdx disks have 512 bytes to 64T", create->filename);
        return false;
    }
    if (t->block < VX_MIN_BLOCK || t->block > VX_MAX_BLOCK || (t->block & (t->block - 1))) {
        error_set(errp,
                  "block_size=%" PRIu64 " is not possible; possible: powers of 2 from 1M to 256M",
                  t->block);
        return false;
    }
    if (!t->log || t->log % VX_MB || t->log > MAX_LOG) {
        error_set(errp, "log_size=%" PRIu64 " is not possible; possible: multiples of 1M to 3G",
                  t->log);
        return false;
    }
    if (mode && !t->subformat) {
        error_set(errp, "preallocation=%s: only together with subformat=fixed", modes[mode]);
        return false;
    }
    t->bat = ROUND_UP(8 * vhdx_bat_entries(blocks_of(t), chunk_ratio(t)), VX_MB);
    return true;
}

/* ---- the parts ---- */

static int write_identifier(BlockChild *root)
{
    static const char creator[] = "Vole";
    uint8_t id[64] = VX_FILE_MAGIC;

    for (size_t i = 0; creator[i]; i++) {
        store_le16(id + CREATOR + 2 * i, (uint8_t)creator[i]);
    }
    return bdrv_co_pwrite(root, 0, sizeof(id), id, 0);
}

static int write_headers(BlockChild *root, const Settings *t)
{
    uint8_t h[XH_HEADER] = {0};
    int ret = 0;

    store_le32(h, VX_HEAD_MAGIC);
    vhdx_new_guid(h + XH_FILE_WRITE);
    vhdx_new_guid(h + XH_DATA_WRITE);
    store_le16(h + XH_VERSION, 1);
    store_le32(h + XH_LOG_LENGTH, (uint32_t)t->log);
    store_le64(h + XH_LOG_OFFSET, VX_MB);
    for (unsigned i = 0; i < 2 && ret == 0; i++) {
        store_le64(h + XH_SEQUENCE, i + 1);
        store_le32(h + XH_CHECKSUM, vhdx_checksum(h, sizeof(h), XH_CHECKSUM));
        ret = bdrv_co_pwrite(root, i ? VX_HEADER_2 : VX_HEADER_1, sizeof(h), h, 0);
    }
    return ret;
}

static void put_region(uint8_t *e, const uint8_t *guid, uint64_t offset, uint64_t length)
{
    memcpy(e, guid, VX_GUID);
    store_le64(e + 16, offset);
    store_le32(e + 24, (uint32_t)length);
    store_le32(e + 28, 1); /* required */
}

static int write_regions(BlockChild *root, const Settings *t)
{
    uint8_t *table = calloc(1, VX_REGIONS_SIZE);
    int ret = table ? 0 : -ENOMEM;

    if (ret == 0) {
        store_le32(table, VX_REGION_MAGIC);
        store_le32(table + 8, 2);
        put_region(table + 16, vhdx_guid_bat, bat_start(t), t->bat);
        put_region(table + 16 + REGION_ENTRY, vhdx_guid_metadata, VX_MB + t->log, VX_MB);
        store_le32(table + 4, vhdx_checksum(table, VX_REGIONS_SIZE, 4));
        ret = bdrv_co_pwrite(root, VX_REGIONS_1, VX_REGIONS_SIZE, table, 0);
        ret = ret < 0 ? ret : bdrv_co_pwrite(root, VX_REGIONS_2, VX_REGIONS_SIZE, table, 0);
    }
    free(table);
    return ret;
}

typedef struct Items {
    uint8_t *table;
    unsigned count;
    uint32_t end; /* of the values, from the region's start */
} Items;

static void put_item(Items *items, const uint8_t *guid, const void *value, uint32_t bytes,
                     uint32_t flags)
{
    uint8_t *e = items->table + METADATA_ENTRY * (items->count + 1);

    memcpy(e, guid, VX_GUID);
    store_le32(e + 16, items->end);
    store_le32(e + 20, bytes);
    store_le32(e + 24, flags | REQUIRED);
    memcpy(items->table + items->end, value, bytes);
    items->end += bytes;
    store_le16(items->table + 10, (uint16_t)++items->count);
}

static int write_metadata(BlockChild *root, const Settings *t)
{
    const size_t bytes = VX_METADATA_TABLE + VX_SECTOR;
    Items items = {.table = calloc(1, bytes), .end = VX_METADATA_TABLE};
    uint8_t parameters[8] = {0}, size[8], sector[4], guid[VX_GUID];

    if (!items.table) {
        return -ENOMEM;
    }
    memcpy(items.table, "metadata", 8);
    store_le32(parameters, (uint32_t)t->block);
    store_le32(parameters + 4, t->subformat ? VX_LEAVE_ALLOCATED : 0);
    store_le64(size, t->size);
    store_le32(sector, BLK_SECTOR_SIZE);
    vhdx_new_guid(guid);
    put_item(&items, vhdx_guid_parameters, parameters, sizeof(parameters), 0);
    put_item(&items, vhdx_guid_size, size, sizeof(size), VIRTUAL_DISK);
    put_item(&items, vhdx_guid_page83, guid, sizeof(guid), VIRTUAL_DISK);
    put_item(&items, vhdx_guid_logical, sector, sizeof(sector), VIRTUAL_DISK);
    put_item(&items, vhdx_guid_physical, sector, sizeof(sector), VIRTUAL_DISK);
    int ret = bdrv_co_pwrite(root, VX_MB + t->log, bytes, items.table, 0);
    free(items.table);
    return ret;
}

static int write_bat(BlockChild *root, const Settings *t)
{
    const uint64_t ratio = chunk_ratio(t), entries = vhdx_bat_entries(blocks_of(t), ratio);
    uint8_t buf[16384];
    uint64_t next = data_start(t);
    int ret = 0;

    if (!t->subformat && !t->state_zero) {
        return 0; /* nothing is there: as the file is */
    }
    for (uint64_t at = 0; at < entries && ret == 0; at += sizeof(buf) / 8) {
        uint64_t n = MIN(entries - at, (uint64_t)sizeof(buf) / 8);
        for (uint64_t i = 0; i < n; i++) {
            bool bitmap = (at + i) % (ratio + 1) == ratio;
            store_le64(buf + 8 * i, bitmap         ? VX_NOT_PRESENT
                                    : t->subformat ? next | VX_PRESENT
                                                   : VX_ZERO);
            next += bitmap ? 0 : t->block;
        }
        ret = bdrv_co_pwrite(root, bat_start(t) + 8 * at, 8 * n, buf, 0);
    }
    return ret;
}

bool vhdx_co_create(BlockCreate *create, Error **errp)
{
    Settings t;

    if (!take_settings(create, &t, errp)) {
        return false;
    }
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    uint64_t end = data_start(&t);
    /* The tables are holes first; a fixed disk's data comes behind them. */
    bool ok = root && bdrv_co_truncate(root, end, false, PREALLOC_OFF, errp) &&
              (!t.subformat || bdrv_co_truncate(root, end + blocks_of(&t) * t.block, false,
                                                (BlockPrealloc)t.prealloc, errp));
    if (ok) {
        int ret = write_identifier(root);
        ret = ret < 0 ? ret : write_headers(root, &t);
        ret = ret < 0 ? ret : write_regions(root, &t);
        ret = ret < 0 ? ret : write_metadata(root, &t);
        ret = ret < 0 ? ret : write_bat(root, &t);
        ok = ret == 0;
        if (!ok) {
            error_set_errno(errp, -ret, "%s: cannot write the tables", create->filename);
        }
    }
    bdrv_root_detach(root);
    return ok;
}
