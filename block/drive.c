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
#include "block/job.h"
#include "block/throttle.h"
#include "util/options.h"

enum { IDE_PLACES = 4, NO_PLACE = -1 };

typedef struct Drive {
    DriveInterface interface;
    int place;
    char *id; /* the user's; NULL: by place */
    char *file, *format;
    bool readonly, snapshot, snapshot_given, cdrom;
    BlkOpenOptions open;   /* cache, errors, limits */
    BlockOptions *options; /* of the node: aio, detect-zeroes, file.locking ... */
    const char *option;    /* for messages */
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

/* cache=: how the host's cache is used. */
static bool get_cache(const SubOptions *so, Drive *d, Error **errp)
{
    static const char *const modes[] = {"writeback",  "none",   "off", "writethrough",
                                        "directsync", "unsafe", NULL};
    static const unsigned flags[] = {0, BDRV_O_DIRECT, BDRV_O_DIRECT,
                                     0, BDRV_O_DIRECT, BDRV_O_NO_FLUSH};
    const char *text = suboptions_get(so, "cache");
    unsigned choice = 0;

    if (text && !choose("cache", text, modes, &choice, errp)) {
        return false;
    }
    d->open.flags |= flags[choice];
    d->open.writethrough = choice == 3 || choice == 4;
    return true;
}

static bool get_policy(const SubOptions *so, const char *key, bool write, BlkErrorPolicy *policy,
                       Error **errp)
{
    static const char *const names[] = {"report", "ignore", "stop", "enospc", NULL};
    static const BlkErrorPolicy policies[] = {BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE,
                                              BLK_ON_ERROR_STOP, BLK_ON_ERROR_ENOSPC};
    const char *text = suboptions_get(so, key);
    unsigned choice;

    if (!text) {
        return true;
    }
    if (!choose(key, text, names, &choice, errp)) {
        return false;
    }
    if (!write && policies[choice] == BLK_ON_ERROR_ENOSPC) {
        error_set(errp, "-drive: rerror=enospc is not possible; possible: report, ignore, stop");
        return false;
    }
    *policy = policies[choice];
    return true;
}

/* The names of limits, in the order of BLK_BPS_TOTAL and its kin, and the older ones. */
static const struct {
    const char *name, *old;
} rates[BLK_LIMITS] = {{"bps-total", "bps"},   {"bps-read", "bps_rd"},   {"bps-write", "bps_wr"},
                       {"iops-total", "iops"}, {"iops-read", "iops_rd"}, {"iops-write", "iops_wr"}};

/* throttling.NAME, or the older name. */
static bool get_limit(const SubOptions *so, const char *name, const char *old, uint64_t *value,
                      Error **errp)
{
    char key[48], what[64];

    snprintf(key, sizeof(key), "throttling.%s", name);
    const char *text = suboptions_get(so, key);
    if (!text) {
        snprintf(key, sizeof(key), "%s", old);
        text = suboptions_get(so, key);
    }
    snprintf(what, sizeof(what), "-drive: %s", key);
    if (text && !parse_size(what, text, 1, value, errp)) {
        return false;
    }
    if (text && !*value && strstr(name, "length")) {
        error_set(errp, "%s=0: a burst's length is 1 second or more", what);
        return false;
    }
    return true;
}

static bool get_limits(const SubOptions *so, Drive *d, Error **errp)
{
    BlkLimits *l = &d->open.limits;
    char name[32], old[32];
    Error *err = NULL;

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        BlkRate *r = &l->rate[i];
        if (!get_limit(so, rates[i].name, rates[i].old, &r->avg, errp)) {
            return false;
        }
        snprintf(name, sizeof(name), "%s-max", rates[i].name);
        snprintf(old, sizeof(old), "%s_max", rates[i].old);
        if (!get_limit(so, name, old, &r->max, errp)) {
            return false;
        }
        snprintf(name, sizeof(name), "%s-max-length", rates[i].name);
        snprintf(old, sizeof(old), "%s_max_length", rates[i].old);
        if (!get_limit(so, name, old, &r->length, errp)) {
            return false;
        }
    }
    if (!get_limit(so, "iops-size", "iops_size", &l->iops_size, errp)) {
        return false;
    }
    if (!throttle_check(l, &err)) {
        error_set(errp, "-drive: %s", error_text(err));
        error_free(err);
        return false;
    }
    const char *group = suboptions_get(so, "throttling.group");
    d->open.throttle_group = copy(group ? group : suboptions_get(so, "group"));
    return true;
}

/* What is left of throttling.* is a slip of the pen. */
static bool check_throttling(const char *key, Error **errp)
{
    char name[48];

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        for (unsigned end = 0; end < 3; end++) {
            static const char *const ends[] = {"", "-max", "-max-length"};
            snprintf(name, sizeof(name), "%s%s", rates[i].name, ends[end]);
            if (!strcmp(key, name)) {
                return true;
            }
        }
    }
    if (!strcmp(key, "group") || !strcmp(key, "iops-size")) {
        return true;
    }
    error_set(errp,
              "-drive: throttling.%s is not known; possible: bps-total, bps-read, bps-write, "
              "iops-total, iops-read, iops-write, each with -max and -max-length, iops-size, group",
              key);
    return false;
}

/* What the node itself understands: "file.aio", "backing.file.filename", "node-name" ... */
static void get_node_options(const SubOptions *so, Drive *d)
{
    static const char *const passed[] = {"aio",        "detect-zeroes",  "discard",
                                         "node-name",  "locking",        "offset",
                                         "size",       "l2-cache-size",  "refcount-cache-size",
                                         "cache-size", "lazy-refcounts", "key-secret",
                                         NULL};

    d->options = blkopts_new();
    for (size_t i = 0; i < so->count; i++) {
        const char *key = so->items[i].key;
        if (!key) {
            continue;
        }
        bool dotted = strchr(key, '.') && strncmp(key, "throttling.", 11) != 0;
        for (unsigned j = 0; passed[j]; j++) {
            dotted |= !strcmp(key, passed[j]);
        }
        if (dotted) {
            blkopts_set(d->options, key, so->items[i].value);
        }
    }
}

static bool check_keys(const SubOptions *so, Error **errp)
{
    static const char *const keys[] = {"file",
                                       "if",
                                       "index",
                                       "bus",
                                       "unit",
                                       "media",
                                       "format",
                                       "readonly",
                                       "read-only",
                                       "snapshot",
                                       "id",
                                       "cache",
                                       "werror",
                                       "rerror",
                                       "aio",
                                       "detect-zeroes",
                                       "discard",
                                       "node-name",
                                       "locking",
                                       "offset",
                                       "size",
                                       "l2-cache-size",
                                       "refcount-cache-size",
                                       "cache-size",
                                       "lazy-refcounts",
                                       "key-secret",
                                       "bps",
                                       "bps_max",
                                       "bps_max_length",
                                       "bps_rd",
                                       "bps_rd_max",
                                       "bps_rd_max_length",
                                       "bps_wr",
                                       "bps_wr_max",
                                       "bps_wr_max_length",
                                       "iops",
                                       "iops_max",
                                       "iops_max_length",
                                       "iops_rd",
                                       "iops_rd_max",
                                       "iops_rd_max_length",
                                       "iops_wr",
                                       "iops_wr_max",
                                       "iops_wr_max_length",
                                       "iops_size",
                                       "group",
                                       "driver",
                                       NULL};
    SubOptions plain = {.items = calloc(so->count + 1, sizeof(SubOption))};

    if (!plain.items) {
        abort();
    }
    /* Dotted ones are checked by who takes them. */
    bool ok = true;
    for (size_t i = 0; i < so->count && ok; i++) {
        const char *key = so->items[i].key;
        if (!key || !strchr(key, '.')) {
            plain.items[plain.count++] = so->items[i];
        } else if (!strncmp(key, "throttling.", strlen("throttling."))) {
            ok = check_throttling(key + strlen("throttling."), errp);
        }
    }
    ok = ok && suboptions_check(&plain, "-drive", keys, errp);
    free(plain.items);
    return ok;
}

static bool get_kind(const SubOptions *so, Drive *d, Error **errp)
{
    static const char *const interfaces[] = {"ide", "none", NULL};
    static const char *const media[] = {"disk", "cdrom", NULL};
    const char *text;
    unsigned choice = 0;

    if ((text = suboptions_get(so, "if"))) {
        if (!choose("if", text, interfaces, &choice, errp)) {
            return false;
        }
        d->interface = choice ? DRIVE_NONE : DRIVE_IDE;
    }
    choice = 0;
    if ((text = suboptions_get(so, "media"))) {
        if (!choose("media", text, media, &choice, errp)) {
            return false;
        }
        d->cdrom = choice == 1;
    }
    text =
        suboptions_get(so, "format") ? suboptions_get(so, "format") : suboptions_get(so, "driver");
    if (text && !bdrv_find_driver(text)) {
        error_set(errp, "-drive: format=%s is not known (vole-img --help lists the formats)", text);
        return false;
    }
    d->format = copy(text);
    return true;
}

static bool drive_from_suboptions(const SubOptions *so, Drive *d, Error **errp)
{
    if (!check_keys(so, errp) || !get_kind(so, d, errp) ||
        !get_bool(so, "readonly", &d->readonly, errp) ||
        !get_bool(so, "read-only", &d->readonly, errp) ||
        !get_bool(so, "snapshot", &d->snapshot, errp) || !get_place(so, &d->place, errp) ||
        !get_cache(so, d, errp) || !get_policy(so, "werror", true, &d->open.on_write_error, errp) ||
        !get_policy(so, "rerror", false, &d->open.on_read_error, errp) ||
        !get_limits(so, d, errp)) {
        return false;
    }
    get_node_options(so, d);
    d->snapshot_given = suboptions_get(so, "snapshot") != NULL;
    bool by_options = blkopts_has_prefix(d->options, "file");
    if (!suboptions_get(so, "file") && !by_options && !d->cdrom) {
        error_set(errp, "-drive: file= is missing; possible: -drive file=disk.img,if=ide");
        return false;
    }
    if (d->interface == DRIVE_NONE && !suboptions_get(so, "id")) {
        error_set(errp, "-drive: if=none needs an id= by which -device can name it");
        return false;
    }
    d->file = copy(suboptions_get(so, "file"));
    d->id = copy(suboptions_get(so, "id"));
    if (!d->file && !by_options) {
        blkopts_free(d->options); /* a drive without medium */
        d->options = NULL;
    }
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

/* -blockdev: nodes by themselves, opened in order before the drives. */
typedef struct NodeSpec {
    char *text;
    BlockNode *node;
    struct NodeSpec *next;
} NodeSpec;

static NodeSpec *node_specs, **node_specs_tail = &node_specs;

static NodeSpec *new_node_spec(void)
{
    NodeSpec *n = calloc(1, sizeof(*n));

    if (!n) {
        abort();
    }
    *node_specs_tail = n;
    node_specs_tail = &n->next;
    return n;
}

bool drive_add_node(const char *spec, Error **errp)
{
    new_node_spec()->text = copy(spec);
    return true;
}

void drive_hold_node(BlockNode *node)
{
    new_node_spec()->node = node;
}

bool drive_release_node(const char *name, Error **errp)
{
    for (NodeSpec **p = &node_specs, *n; (n = *p); p = &n->next) {
        if (!n->node || strcmp(bdrv_node_name(n->node), name) != 0) {
            continue;
        }
        if (n->node->parents || job_uses(n->node)) {
            error_set(errp, "Block device %s is in use", name);
            return false;
        }
        *p = n->next;
        node_specs_tail = n->next ? node_specs_tail : p;
        bdrv_unref(n->node);
        free(n->text);
        free(n);
        return true;
    }
    error_set(errp,
              bdrv_find_node(name) ? "Node %s is not owned by the monitor"
                                   : "Failed to find node with node-name='%s'",
              name);
    return false;
}

void drive_close_nodes(void)
{
    while (node_specs) {
        NodeSpec *n = node_specs;
        node_specs = n->next;
        bdrv_unref(n->node);
        free(n->text);
        free(n);
    }
    node_specs_tail = &node_specs;
}

static bool open_node_spec(NodeSpec *n, Error **errp)
{
    BlockOptions *o = blkopts_new();
    bool ok = n->text[0] == '{' ? blkopts_parse_json(o, n->text, errp)
                                : blkopts_parse(o, n->text, "driver", errp);

    if (ok && (!blkopts_get(o, "driver") || !blkopts_get(o, "node-name"))) {
        error_set(errp, "-blockdev %s: %s= is missing", n->text,
                  blkopts_get(o, "driver") ? "node-name" : "driver");
        ok = false;
    }
    if (!ok) {
        blkopts_free(o);
        return false;
    }
    n->node = bdrv_open(NULL, o, BDRV_O_RDWR | BDRV_O_AUTO_READONLY, errp);
    if (!n->node) {
        error_prepend(errp, "-blockdev: ");
    }
    return n->node != NULL;
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
    BlkOpenOptions options = d->open;

    options.file = d->file;
    if (d->file && bdrv_find_node(d->file)) {
        options.node = d->file; /* of -blockdev */
    }
    options.format = d->format;
    options.readonly = d->readonly || d->cdrom;
    options.snapshot = (d->snapshot || (snapshot_all && !d->snapshot_given)) && !d->cdrom;
    options.cdrom = d->cdrom;
    options.options = d->options;
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
    for (NodeSpec *n = node_specs; n; n = n->next) {
        if (!open_node_spec(n, errp)) {
            return false;
        }
    }
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
