/*
 * Drives by the JSON monitor: the tray and its medium, limits, snapshots of a disk alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "block/block.h"
#include "monitor/qmp-int.h"
#include "snapshot/snapshot.h"

/* ---- the tray ---- */

BlockBackend *qmp_find_removable(json_t *args, Error **errp)
{
    const char *id = qmp_str(args, "id") ? qmp_str(args, "id") : qmp_str(args, "device");
    BlockBackend *blk = id ? blk_find(id) : NULL;

    if (!id) {
        error_set(errp, "Parameter 'id' is missing");
    } else if (!blk) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", id);
    } else if (!blk_is_cdrom(blk)) {
        error_set(errp, "Device '%s' is not removable", id);
        blk = NULL;
    }
    return blk;
}

json_t *qmp_blockdev_remove_medium(json_t *args, Error **errp)
{
    BlockBackend *blk = qmp_find_removable(args, errp);

    if (!blk) {
        return NULL;
    }
    if (!blk_may_eject(blk, qmp_bool(args, "force", false), errp)) {
        return NULL;
    }
    if (blk_has_medium(blk)) {
        blk_eject(blk);
        qmp_tray_moved(blk_id(blk), true);
    }
    return qmp_empty();
}

/* A node that blockdev-add made. */
json_t *qmp_blockdev_insert_medium(json_t *args, Error **errp)
{
    BlockBackend *blk = qmp_find_removable(args, errp);
    BlkOpenOptions o = {.node = qmp_str(args, "node-name"), .readonly = true, .cdrom = true};

    if (!blk) {
        return NULL;
    }
    if (blk_has_medium(blk)) {
        error_set(errp, "There already is a medium in device '%s'", blk_id(blk));
        return NULL;
    }
    if (!blk_change_medium(blk, &o, errp)) {
        return NULL;
    }
    qmp_tray_moved(blk_id(blk), false);
    return qmp_empty();
}

/* ---- limits ---- */

static bool take_limit(json_t *args, const char *name, const char *end, uint64_t *value,
                       Error **errp)
{
    char key[32];

    snprintf(key, sizeof(key), "%s%s", name, end);
    int64_t n = qmp_int(args, key, 0);
    if (n < 0) {
        error_set(errp, "bps/iops/max values must be within [0, 1000000000000000]");
        return false;
    }
    if (!n && strstr(end, "length") && json_object_get(args, key)) {
        error_set(errp, "a burst's length is 1 second or more");
        return false;
    }
    *value = (uint64_t)n;
    return true;
}

json_t *qmp_block_set_io_throttle(json_t *args, Error **errp)
{
    static const char *const names[BLK_LIMITS] = {"bps",  "bps_rd",  "bps_wr",
                                                  "iops", "iops_rd", "iops_wr"};
    const char *id = qmp_str(args, "id") ? qmp_str(args, "id") : qmp_str(args, "device");
    BlockBackend *blk = id ? blk_find(id) : NULL;
    BlkLimits l = {0};
    bool any = false;

    if (!blk) {
        qmp_error(errp, "DeviceNotFound", "Device '%s' not found", id ? id : "");
        return NULL;
    }
    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        BlkRate *r = &l.rate[i];
        if (!take_limit(args, names[i], "", &r->avg, errp) ||
            !take_limit(args, names[i], "_max", &r->max, errp) ||
            !take_limit(args, names[i], "_max_length", &r->length, errp)) {
            return NULL;
        }
        any |= r->avg != 0;
    }
    if (!take_limit(args, "iops", "_size", &l.iops_size, errp)) {
        return NULL;
    }
    return blk_set_limits(blk, &l, any ? qmp_str(args, "group") : NULL, errp) ? qmp_empty() : NULL;
}

/* ---- snapshots inside of an image ---- */

json_t *qmp_snapshot_internal(json_t *args, Error **errp)
{
    return snapshot_disk_save(qmp_str(args, "device"), qmp_str(args, "name"), errp) ? qmp_empty()
                                                                                    : NULL;
}

json_t *qmp_snapshot_delete_internal(json_t *args, Error **errp)
{
    BlockSnapshot s;

    if (!snapshot_disk_delete(qmp_str(args, "device"), qmp_str(args, "name"), qmp_str(args, "id"),
                              &s, errp)) {
        return NULL;
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", s.id, "name", s.name,
                     "vm-state-size", (json_int_t)s.vm_state_size, "date-sec",
                     (json_int_t)s.date_sec, "date-nsec", (json_int_t)s.date_nsec, "vm-clock-sec",
                     (json_int_t)(s.vm_clock_nsec / 1000000000), "vm-clock-nsec",
                     (json_int_t)(s.vm_clock_nsec % 1000000000));
}
