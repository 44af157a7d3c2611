/*
 * vole-img snapshot: lists, makes, applies and deletes snapshots inside of an image.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "block/driver.h"
#include "block/img.h"

enum { SNAPSHOT_LIST = 1, SNAPSHOT_CREATE, SNAPSHOT_APPLY, SNAPSHOT_DELETE };

static bool choose(ImgArgs *args, int action, const char *value, Error **errp)
{
    if (args->action) {
        error_set(errp, "only one of -l, -c, -a and -d at a time");
        return false;
    }
    args->action = action;
    args->snapshot = value;
    return true;
}

static bool set_list(ImgArgs *args, const char *value, Error **errp)
{
    return choose(args, SNAPSHOT_LIST, value, errp);
}

static bool set_create(ImgArgs *args, const char *value, Error **errp)
{
    return choose(args, SNAPSHOT_CREATE, value, errp);
}

static bool set_apply(ImgArgs *args, const char *value, Error **errp)
{
    return choose(args, SNAPSHOT_APPLY, value, errp);
}

static bool set_delete(ImgArgs *args, const char *value, Error **errp)
{
    return choose(args, SNAPSHOT_DELETE, value, errp);
}

static const ImgOption snapshot_options[] = {
    {'l', NULL, NULL, "list them (what is done without any of these)", set_list},
    {'c', NULL, "NAME", "make one of the disk as it is", set_create},
    {'a', NULL, "NAME", "the disk becomes again as the snapshot has it", set_apply},
    {'d', NULL, "NAME", "delete it", set_delete},
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'U', "force-share", NULL, "with -l: also while another program writes the image",
     img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

void bdrv_snapshot_row(const BlockSnapshot *s, const char *id, char *row, size_t row_size)
{
    char size[32], date[64], clock[32], icount[32] = "";

    if (!s) {
        snprintf(row, row_size, "%-10s%-17s%8s%20s%13s%11s", "ID", "TAG", "VM SIZE", "DATE",
                 "VM CLOCK", "ICOUNT");
        return;
    }
    time_t when = s->date_sec;
    struct tm tm;
    uint64_t seconds = s->vm_clock_nsec / NS_PER_SEC;
    localtime_r(&when, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(clock, sizeof(clock), "%02d:%02d:%02d.%03d", (int)(seconds / 3600),
             (int)(seconds / 60 % 60), (int)(seconds % 60),
             (int)(s->vm_clock_nsec / 1000000 % 1000));
    if (s->icount != UINT64_MAX) {
        snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
    }
    snprintf(row, row_size, "%-9s %-16s %8s%20s%13s%11s", id, s->name,
             img_human_size(s->vm_state_size, size, sizeof(size)), date, clock, icount);
}

void img_print_snapshots(BlockNode *node, const char *title)
{
    BlockSnapshot *list;
    int n = bdrv_snapshot_list(node, &list);
    char row[512];

    if (n > 0) {
        bdrv_snapshot_row(NULL, NULL, row, sizeof(row));
        printf("%s%s\n", title, row);
    }
    for (int i = 0; i < n; i++) {
        bdrv_snapshot_row(&list[i], list[i].id, row, sizeof(row));
        printf("%s\n", row);
    }
    bdrv_snapshots_free(list);
}

static bool create(BlockNode *node, const char *name, Error **errp)
{
    struct timeval now;
    BlockSnapshot s = {0};

    gettimeofday(&now, NULL);
    s.date_sec = (uint32_t)now.tv_sec;
    s.date_nsec = (uint32_t)now.tv_usec * 1000;
    if (strlen(name) >= sizeof(s.name)) {
        error_set(errp, "-c: the name is longer than %zu characters", sizeof(s.name) - 1);
        return false;
    }
    strcpy(s.name, name);
    return bdrv_snapshot_create(node, &s, errp);
}

/* By its name rather than by an id that reads the same: what is deleted is gone. */
static bool delete_named(BlockNode *node, const char *name, Error **errp)
{
    BlockSnapshot *list;
    const int n = bdrv_snapshot_list(node, &list);
    const char *id = name;

    for (int i = n - 1; i >= 0; i--) {
        id = strcmp(list[i].name, name) ? id : list[i].id;
    }
    bool ok = bdrv_snapshot_delete(node, id, errp);
    bdrv_snapshots_free(list);
    return ok;
}

static bool act(const ImgArgs *args, Image *image, Error **errp)
{
    switch (args->action) {
    case SNAPSHOT_CREATE:
        return create(image->node, args->snapshot, errp);
    case SNAPSHOT_APPLY:
        return bdrv_snapshot_goto(image->node, args->snapshot, errp);
    case SNAPSHOT_DELETE:
        return delete_named(image->node, args->snapshot, errp);
    default:
        img_print_snapshots(image->node, "Snapshot list:\n");
        return true;
    }
}

static int run_snapshot(ImgArgs *args)
{
    Error *err = NULL;

    args->open.writable = args->action > SNAPSHOT_LIST;
    Image *image = image_open(args->operands[0], &args->open, &err);
    bool ok = image && act(args, image, &err);
    if (!image_close(image, ok ? &err : NULL) || !ok) {
        return img_failed(args, err, 1);
    }
    return 0;
}

const ImgCommand img_snapshot_command = {
    .name = "snapshot",
    .operands = "FILE",
    .summary = "Lists, makes, applies or deletes snapshots inside of an image",
    .options = snapshot_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_snapshot,
};
