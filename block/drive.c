/*
 * Drives on the command line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "util/options.h"

enum { IDE_PLACES = 4, NO_PLACE = -1 };

typedef struct Drive {
    DriveInterface interface;
    int place;
    char *id; /* the user's; NULL: by place */
    char *file, *format;
    bool readonly, snapshot, cdrom;
    const char *option; /* for messages */
    BlockBackend *blk;
    struct Drive *next;
} Drive;

static Drive *drives, **drives_tail = &drives;
static bool snapshot_all;

static char *copy(const char *text)
{
    if (!text) {
        return NULL;
    }
    char *c = strdup(text);
    if (!c) {
        abort();
    }
    return c;
}

static Drive *drive_find(DriveInterface interface, int place)
{
    for (Drive *d = drives; d; d = d->next) {
        if (d->interface == interface && d->place == place) {
            return d;
        }
    }
    return NULL;
}

static bool drive_insert(const Drive *values, Error **errp)
{
    if (values->place != NO_PLACE && drive_find(values->interface, values->place)) {
        error_set(errp,
                  "%s: two drives at place %d of the IDE interface; give the second another index=",
                  values->option, values->place);
        return false;
    }
    Drive *d = malloc(sizeof(*d));
    if (!d) {
        abort();
    }
    *d = *values;
    d->next = NULL;
    *drives_tail = d;
    drives_tail = &d->next;
    return true;
}

static bool choose(const char *key, const char *value, const char *const *words, unsigned *choice,
                   Error **errp)
{
    char all[128] = "";

    for (unsigned i = 0; words[i]; i++) {
        if (!strcmp(value, words[i])) {
            *choice = i;
            return true;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", words[i]);
    }
    error_set(errp, "-drive: %s=%s is not possible; possible: %s", key, value, all);
    return false;
}

static bool get_bool(const SubOptions *so, const char *key, bool *value, Error **errp)
{
    const char *text = suboptions_get(so, key);
    char what[32];

    snprintf(what, sizeof(what), "-drive: %s", key);
    return !text || parse_bool(what, text, value, errp);
}

/* index=, or bus= and unit=. */
static bool get_place(const SubOptions *so, int *place, Error **errp)
{
    const char *index = suboptions_get(so, "index");
    const char *bus = suboptions_get(so, "bus"), *unit = suboptions_get(so, "unit");
    uint64_t n = 0, b = 0, u = 0;

    if (index && (bus || unit)) {
        error_set(errp, "-drive: index=%s together with bus= or unit=: give one or the other",
                  index);
        return false;
    }
    if (index) {
        if (!parse_number("-drive: index", index, 0, IDE_PLACES - 1, &n, errp)) {
            return false;
        }
        *place = (int)n;
    } else if (bus || unit) {
        if (!parse_number("-drive: bus", bus ? bus : "0", 0, 1, &b, errp) ||
            !parse_number("-drive: unit", unit ? unit : "0", 0, 1, &u, errp)) {
            return false;
        }
        *place = (int)(b * 2 + u);
    }
    return true;
}

static bool drive_from_suboptions(const SubOptions *so, Drive *d, Error **errp)
{
    static const char *const keys[] = {"file",   "if",       "index",    "bus", "unit", "media",
                                       "format", "readonly", "snapshot", "id",  NULL};
    static const char *const interfaces[] = {"ide", "none", NULL};
    static const char *const media[] = {"disk", "cdrom", NULL};
    const char *text;
    unsigned choice = 0;

    if (!suboptions_check(so, "-drive", keys, errp)) {
        return false;
    }
    if ((text = suboptions_get(so, "if"))) {
        if (!choose("if", text, interfaces, &choice, errp)) {
            return false;
        }
        d->interface = choice ? DRIVE_NONE : DRIVE_IDE;
    }
    if ((text = suboptions_get(so, "media"))) {
        if (!choose("media", text, media, &choice, errp)) {
            return false;
        }
        d->cdrom = choice == 1;
    }
    if ((text = suboptions_get(so, "format")) && !bdrv_find_driver(text)) {
        error_set(errp, "-drive: format=%s is not known (vole-img --help lists the formats)", text);
        return false;
    }
    if (!get_bool(so, "readonly", &d->readonly, errp) ||
        !get_bool(so, "snapshot", &d->snapshot, errp) || !get_place(so, &d->place, errp)) {
        return false;
    }
    if (!suboptions_get(so, "file") && !d->cdrom) {
        error_set(errp, "-drive: file= is missing; possible: -drive file=disk.img,if=ide");
        return false;
    }
    if (d->interface == DRIVE_NONE && !suboptions_get(so, "id")) {
        error_set(errp, "-drive: if=none needs an id= by which -device can name it");
        return false;
    }
    d->file = copy(suboptions_get(so, "file"));
    d->format = copy(suboptions_get(so, "format"));
    d->id = copy(suboptions_get(so, "id"));
    return true;
}

bool drive_add(const char *spec, Error **errp)
{
    SubOptions so;
    Drive d = {.option = "-drive", .place = NO_PLACE};

    suboptions_parse(&so, spec, NULL);
    bool ok = drive_from_suboptions(&so, &d, errp) && drive_insert(&d, errp);
    suboptions_free(&so);
    return ok;
}

bool drive_add_file(const char *option, unsigned place, bool cdrom, const char *file, Error **errp)
{
    Drive d = {.option = option, .place = (int)place, .cdrom = cdrom, .file = copy(file)};

    return drive_insert(&d, errp);
}

void drive_set_snapshot(bool snapshot)
{
    snapshot_all = snapshot;
}

static bool give_place(Drive *d, Error **errp)
{
    /* A CD-ROM without a place goes to the secondary master, where people look for it. */
    for (int i = d->cdrom ? 2 : 0; i < IDE_PLACES; i++) {
        if (!drive_find(DRIVE_IDE, i)) {
            d->place = i;
            return true;
        }
    }
    error_set(errp, "%s: all %d places of the IDE interface are taken; use if=none for others",
              d->option, IDE_PLACES);
    return false;
}

static bool drive_open(Drive *d, Error **errp)
{
    char id[32];
    BlkOpenOptions options = {
        .file = d->file,
        .format = d->format,
        .readonly = d->readonly || d->cdrom,
        .snapshot = (d->snapshot || snapshot_all) && !d->cdrom,
        .cdrom = d->cdrom,
    };

    snprintf(id, sizeof(id), "ide%d-%s%d", d->place / 2, d->cdrom ? "cd" : "hd", d->place % 2);
    d->blk = blk_open(d->id ? d->id : id, &options, errp);
    if (!d->blk) {
        error_prepend(errp, "%s: ", d->option);
        return false;
    }
    return true;
}

bool drive_open_all(Error **errp)
{
    for (Drive *d = drives; d; d = d->next) {
        if (d->interface == DRIVE_IDE && d->place == NO_PLACE && !give_place(d, errp)) {
            return false;
        }
        if (!drive_open(d, errp)) {
            return false;
        }
    }
    return true;
}

BlockBackend *drive_get(DriveInterface interface, unsigned place)
{
    Drive *d = drive_find(interface, (int)place);

    return d ? d->blk : NULL;
}
