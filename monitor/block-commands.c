/*
 * Commands that change the images below drives.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/block.h"
#include "block/driver.h"
#include "block/live.h"
#include "monitor/monitor-int.h"
#include "snapshot/snapshot.h"
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

/* snapshot_blkdev_internal DRIVE NAME */
void cmd_snapshot_blkdev_internal(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (!snapshot_disk_save(args[0].text, args[1].text, &err)) {
        monitor_error(mon, err);
    }
}

/* snapshot_delete_blkdev_internal DRIVE NAME [ID] */
void cmd_snapshot_delete_blkdev_internal(Monitor *mon, const ArgValue *args)
{
    BlockSnapshot gone;
    Error *err = NULL;

    if (!snapshot_disk_delete(args[0].text, args[1].text, args[2].present ? args[2].text : NULL,
                              &gone, &err)) {
        monitor_error(mon, err);
    }
}

/* block_set_io_throttle DRIVE BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR */
void cmd_block_set_io_throttle(Monitor *mon, const ArgValue *args)
{
    BlockBackend *blk = find_drive(mon, args[0].text);
    BlkLimits limits = {0};
    Error *err = NULL;

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        limits.rate[i].avg = args[1 + i].number;
    }
    if (blk && !blk_set_limits(blk, &limits, NULL, &err)) {
        monitor_error(mon, err);
    }
}

/* ---- fault injection ---- */

static void run_breakpoint(Monitor *mon, BlockNode *node, const char *verb, const char *first,
                           const char *second)
{
    Error *err = NULL;

    if (!strcmp(verb, "break") && first && second) {
        if (!blkdebug_break(node, first, second, &err)) {
            monitor_error(mon, err);
        }
    } else if (!strcmp(verb, "resume") && first && !second) {
        if (!blkdebug_resume(node, first)) {
            monitor_printf(mon, "nobody is held up at '%s'\n", first);
        }
    } else if (!strcmp(verb, "remove_break") && first && !second) {
        if (!blkdebug_remove_break(node, first)) {
            monitor_printf(mon, "there is no breakpoint '%s'\n", first);
        }
    } else if (!strcmp(verb, "wait_break") && first && !second) {
        /* Others wait here for it to come; a monitor that does is one that nobody can use. */
        monitor_printf(mon, "%s\n", blkdebug_is_suspended(node, first) ? "suspended" : "not yet");
    } else {
        monitor_printf(mon, "possible: \"break EVENT TAG\", \"resume TAG\", \"remove_break TAG\", "
                            "\"wait_break TAG\"\n");
    }
}

/* qemu-io DRIVE "COMMAND": of its commands those for breakpoints of blkdebug. */
void cmd_qemu_io(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;
    BlockNode *node = live_node(args[0].text, &err), *filter = node ? blkdebug_below(node) : NULL;
    char *words[4] = {0}, *rest = args[1].text;

    if (!node) {
        monitor_error(mon, err);
        return;
    }
    if (!filter) {
        monitor_printf(mon, "there is no blkdebug below '%s'\n", args[0].text);
        return;
    }
    for (unsigned n = 0; n < 4 && (words[n] = strsep(&rest, " "));) {
        n += *words[n] != 0;
    }
    run_breakpoint(mon, filter, words[0] ? words[0] : "", words[1], words[3] ? NULL : words[2]);
}

/* ---- jobs ---- */

/* err by its address: it is set while the other arguments are made. */
static void started(Monitor *mon, const BlockJob *job, Error **err)
{
    if (!job) {
        monitor_error(mon, *err);
    }
}

/* block_stream DRIVE [SPEED [BASE]] */
void cmd_block_stream(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;
    const JobOptions job = {.id = args[0].text, .speed = args[1].present ? args[1].number : 0};
    BlockNode *node = live_node(args[0].text, &err),
              *base = node && args[2].present ? live_in_chain(node, args[2].text, &err) : NULL;

    started(mon, !err && node ? stream_start(node, base, NULL, &job, &err) : NULL, &err);
}

/* drive_mirror [-n] [-f] DRIVE FILE [FORMAT] */
void cmd_drive_mirror(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;
    const JobOptions job = {.id = args[2].text};
    BlockNode *node = live_node(args[2].text, &err);
    const JobSync sync = args[1].present || !node || !bdrv_backing(node) ? SYNC_FULL : SYNC_TOP;
    const LiveTarget t = {.file = args[3].text,
                          .format = args[4].present ? args[4].text : NULL,
                          .existing = args[0].present,
                          .sync = sync};
    const MirrorOptions o = {.sync = sync, .target_is_zero = !t.existing, .set_backing = true};
    BlockNode *target = node ? live_open_target(node, &t, &err) : NULL;

    started(mon, target ? mirror_start(node, target, &o, &job, &err) : NULL, &err);
}

/* drive_backup [-n] [-f] [-c] DRIVE FILE [FORMAT] */
void cmd_drive_backup(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;
    const JobOptions job = {.id = args[3].text};
    BlockNode *node = live_node(args[3].text, &err);
    const JobSync sync = args[1].present || !node || !bdrv_backing(node) ? SYNC_FULL : SYNC_TOP;
    const LiveTarget t = {.file = args[4].text,
                          .format = args[5].present ? args[5].text : NULL,
                          .existing = args[0].present,
                          .sync = sync};
    const BackupOptions o = {.sync = sync, .compress = args[2].present};
    BlockNode *target = node ? live_open_target(node, &t, &err) : NULL;

    if (target && o.compress && !target->driver->supports_compressed) {
        error_set(&err, "-c: format %s is never compressed", bdrv_format_name(target));
        bdrv_unref(target);
        target = NULL;
    }
    started(mon, target ? backup_start(node, target, &o, &job, &err) : NULL, &err);
}

static BlockJob *find_job(Monitor *mon, const char *id)
{
    BlockJob *job = job_find(id);

    if (!job) {
        monitor_printf(mon, "there is no block job '%s'; info block-jobs lists them\n", id);
    }
    return job;
}

static void verdict(Monitor *mon, bool ok, Error **err)
{
    if (!ok && *err) {
        monitor_error(mon, *err);
    }
}

/* block_job_cancel [-f] DRIVE */
void cmd_block_job_cancel(Monitor *mon, const ArgValue *args)
{
    BlockJob *job = find_job(mon, args[1].text);
    Error *err = NULL;

    verdict(mon, job && job_cancel(job, args[0].present, &err), &err);
}

void cmd_block_job_complete(Monitor *mon, const ArgValue *args)
{
    BlockJob *job = find_job(mon, args[0].text);
    Error *err = NULL;

    verdict(mon, job && job_complete(job, &err), &err);
}

void cmd_block_job_pause(Monitor *mon, const ArgValue *args)
{
    BlockJob *job = find_job(mon, args[0].text);
    Error *err = NULL;

    verdict(mon, job && job_pause(job, &err), &err);
}

void cmd_block_job_resume(Monitor *mon, const ArgValue *args)
{
    BlockJob *job = find_job(mon, args[0].text);
    Error *err = NULL;

    verdict(mon, job && job_resume(job, &err), &err);
}

void cmd_block_job_set_speed(Monitor *mon, const ArgValue *args)
{
    BlockJob *job = find_job(mon, args[0].text);
    Error *err = NULL;

    verdict(mon, job && job_set_speed(job, args[1].number, &err), &err);
}

static void print_job(BlockJob *job, void *opaque)
{
    JobInfo i;

    job_info(job, &i);
    monitor_printf(opaque,
                   "Type %s, device %s: %s, completed %" PRIu64 " of %" PRIu64
                   " bytes, speed limit %" PRIu64 " bytes/s%s%s\n",
                   i.type, i.id, job_status_name(i.status), i.offset, i.len, i.speed,
                   i.error ? ": " : "", i.error ? i.error : "");
}

static void count_job(BlockJob *job, void *opaque)
{
    ++*(unsigned *)opaque;
}

void info_block_jobs(Monitor *mon, const ArgValue *args)
{
    unsigned count = 0;

    job_each(count_job, &count);
    if (!count) {
        monitor_printf(mon, "No active jobs\n");
    }
    job_each(print_job, mon);
}
