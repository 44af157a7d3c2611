/*
 * Commands that change the images below drives.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>

#include "block/block.h"
#include "monitor/monitor-int.h"
#include "util/options.h"

static BlockBackend *find_drive(Monitor *mon, const char *id)
{
    BlockBackend *blk = blk_find(id);

    if (!blk) {
        monitor_printf(mon, "there is no drive '%s'\n", id);
    }
    return blk;
}

static void commit_one(BlockBackend *blk, void *opaque)
{
    Monitor *mon = opaque;
    Error *err = NULL;

    /* "all" means those that have something to commit into. */
    if (blk_has_medium(blk) && !blk_readonly(blk) && blk_has_backing(blk) &&
        !blk_commit(blk, &err)) {
        monitor_error(mon, err);
    }
}

void cmd_commit(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (strcmp(args[0].text, "all") == 0) {
        blk_each(commit_one, mon);
        return;
    }
    BlockBackend *blk = find_drive(mon, args[0].text);
    if (blk && !blk_commit(blk, &err)) {
        monitor_error(mon, err);
    }
}

void cmd_block_resize(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = find_drive(mon, args[0].text);
    uint64_t size;
    Error *err = NULL;

    if (!blk) {
        return;
    }
    if (!parse_size("size", args[1].text, 1 << 20, &size, &err)) {
        monitor_error(mon, err);
    } else if (size % BLK_SECTOR_SIZE || size > INT64_MAX / 2) {
        monitor_printf(mon, "a size is a multiple of %d bytes, not %" PRIu64 "\n", BLK_SECTOR_SIZE,
                       size);
    } else if (!blk_resize(blk, size, &err)) {
        monitor_error(mon, err);
    }
}

/* snapshot_blkdev [-n] DRIVE FILE [FORMAT] */
void cmd_snapshot_blkdev(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = find_drive(mon, args[1].text);
    Error *err = NULL;

    if (blk && !blk_snapshot(blk, args[2].text, args[3].present ? args[3].text : NULL,
                             args[0].present, &err)) {
        monitor_error(mon, err);
    }
}

/* block_set_io_throttle DRIVE BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR */
void cmd_block_set_io_throttle(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = find_drive(mon, args[0].text);
    const BlkLimits limits = {args[1].number, args[2].number, args[3].number,
                              args[4].number, args[5].number, args[6].number};

    if (blk) {
        blk_set_limits(blk, &limits);
    }
}
