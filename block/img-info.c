/*
 * vole-img info, map, measure: what an image is, without changing it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"

/* "1.5 GiB": three digits, as many as fit below the next unit. */
const char *img_human_size(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(text, size, "%.3g %s", value, units[unit]);
    return text;
}

/* ---- info ---- */

static bool set_backing_chain(ImgArgs *args, const char *value, Error **errp)
{
    args->backing_chain = true;
    return true;
}

static const ImgOption info_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "output", "FORM", "human or json", img_set_output},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {0, "backing-chain", NULL, "the image and all its backing files", set_backing_chain},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

/* ---- as text ---- */

static void print_tree_human(const InfoTree *t, unsigned depth)
{
    unsigned index = 0;

    for (const InfoTree *c = t->first; c; c = c->next) {
        if (c->hidden_in_text) {
            continue;
        }
        printf("%*s", 4 * depth, "");
        if (t->kind == INFO_LIST) {
            printf("[%u]:", index++);
        } else {
            /* Dashes read as spaces. */
            for (const char *p = c->name; *p; p++) {
                putchar(*p == '-' ? ' ' : *p);
            }
            putchar(':');
        }
        if (c->kind == INFO_OBJECT || c->kind == INFO_LIST) {
            putchar('\n');
            print_tree_human(c, depth + 1);
        } else if (c->kind == INFO_INT) {
            printf(" %" PRIu64 "\n", c->number);
        } else {
            printf(" %s\n", c->kind == INFO_BOOL ? (c->number ? "true" : "false") : c->text);
        }
    }
}

static void print_backing_human(const BlockNode *node)
{
    char *full = bdrv_full_backing_name(node, node->backing_file, NULL);

    printf("backing file: %s", node->backing_file);
    if (full && strcmp(full, node->backing_file) != 0) {
        printf(" (actual path: %s)", full);
    }
    putchar('\n');
    free(full);
    if (node->backing_format) {
        printf("backing file format: %s\n", node->backing_format);
    }
}

static void print_info_human(BlockNode *node, const char *name)
{
    char virtual_size[32], disk_size[32];
    BlockInfo info;
    bool has_info = bdrv_get_info(node, &info) == 0;
    int64_t allocated = bdrv_allocated_size(node);

    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
           name, bdrv_format_name(node),
           img_human_size(bdrv_size(node), virtual_size, sizeof(virtual_size)), bdrv_size(node),
           allocated < 0 ? "unavailable" : img_human_size(allocated, disk_size, sizeof(disk_size)));
    if (node->encrypted) {
        puts("encrypted: yes");
    }
    if (has_info && info.cluster_size) {
        printf("cluster_size: %" PRIu32 "\n", info.cluster_size);
    }
    if (has_info && info.is_dirty) {
        puts("cleanly shut down: no");
    }
    if (node->backing_file) {
        print_backing_human(node);
    }
    img_print_snapshots(node, "Snapshot list:\n");
    InfoTree *specific = bdrv_specific_info(node);
    if (specific && specific->first) {
        puts("Format specific information:");
        print_tree_human(specific, 1);
    }
    info_free(specific);
}

/* ---- as JSON ---- */

static void add_snapshots(InfoTree *to, BlockNode *node)
{
    BlockSnapshot *list;
    int n = bdrv_snapshot_list(node, &list);
    InfoTree *array = n > 0 ? info_add(to, "snapshots", INFO_LIST) : NULL;

    for (int i = 0; i < n; i++) {
        InfoTree *s = info_add(array, NULL, INFO_OBJECT);
        if (list[i].icount != UINT64_MAX) {
            info_add_int(s, "icount", list[i].icount);
        }
        info_add_int(s, "vm-clock-nsec", list[i].vm_clock_nsec % NS_PER_SEC);
        info_add_string(s, "name", list[i].name);
        info_add_int(s, "date-sec", list[i].date_sec);
        info_add_int(s, "date-nsec", list[i].date_nsec);
        info_add_int(s, "vm-clock-sec", list[i].vm_clock_nsec / NS_PER_SEC);
        info_add_string(s, "id", list[i].id);
        info_add_int(s, "vm-state-size", list[i].vm_state_size);
    }
    bdrv_snapshots_free(list);
}

/* Members in the order in which other tools write them. */
static void add_image(InfoTree *to, BlockNode *node, const char *name)
{
    BlockInfo info;
    bool has_info = bdrv_get_info(node, &info) == 0;
    int64_t allocated = bdrv_allocated_size(node);
    char *full = node->backing_file ? bdrv_full_backing_name(node, node->backing_file, NULL) : NULL;

    if (node->backing_format) {
        info_add_string(to, "backing-filename-format", node->backing_format);
    }
    add_snapshots(to, node);
    info_add_int(to, "virtual-size", bdrv_size(node));
    info_add_string(to, "filename", name);
    if (has_info && info.cluster_size) {
        info_add_int(to, "cluster-size", info.cluster_size);
    }
    info_add_string(to, "format", bdrv_format_name(node));
    if (allocated >= 0) {
        info_add_int(to, "actual-size", allocated);
    }
    InfoTree *specific = bdrv_specific_info(node);
    if (specific && specific->first) {
        InfoTree *s = info_add(to, "format-specific", INFO_OBJECT);
        info_add_string(s, "type", bdrv_format_name(node));
        InfoTree *data = info_add(s, "data", INFO_OBJECT);
        data->first = specific->first;
        specific->first = NULL;
    }
    info_free(specific);
    if (node->encrypted) {
        info_add_bool(to, "encrypted", true);
    }
    if (full) {
        info_add_string(to, "full-backing-filename", full);
    }
    if (node->backing_file) {
        info_add_string(to, "backing-filename", node->backing_file);
    }
    if (has_info) {
        info_add_bool(to, "dirty-flag", info.is_dirty);
    }
    free(full);
}

static int run_info(ImgArgs *args)
{
    Error *err = NULL;
    InfoTree *list = info_new(INFO_LIST);
    ImageOpen how = args->open;
    how.header_only = true;

    how.no_backing = !args->backing_chain;
    Image *image = image_open(args->operands[0], &how, &err);
    if (!image) {
        info_free(list);
        return img_failed(args, err, 1);
    }
    const char *name = args->operands[0];
    if (args->open.options || !strncmp(name, "json:", 5)) {
        name = bdrv_filename(image->node);
    }
    for (BlockNode *node = image->node; node; node = bdrv_backing(node)) {
        name += strncmp(name, "file:", 5) ? 0 : 5;
        if (args->json) {
            add_image(info_add(list, NULL, INFO_OBJECT), node, name);
        } else {
            print_info_human(node, name);
        }
        BlockNode *below = args->backing_chain ? bdrv_backing(node) : NULL;
        if (!below) {
            break;
        }
        name = bdrv_filename(below);
        fputs(args->json ? "" : "\n", stdout);
    }
    if (args->json) {
        img_print_json(args->backing_chain ? list : list->first);
    }
    info_free(list);
    image_close(image, NULL);
    return 0;
}

const ImgCommand img_info_command = {
    .name = "info",
    .operands = "FILE",
    .summary = "Shows an image's format, its size and how much storage it takes",
    .options = info_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_info,
};

/* ---- map ---- */

static bool set_start(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("--start-offset", value, &args->start, errp);
}

static bool set_length(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("--max-length", value, &args->length, errp);
}

static const ImgOption map_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {0, "output", "FORM", "human (data only) or json (holes as well)", img_set_output},
    {'s', "start-offset", "OFFSET", "begin there", set_start},
    {'l', "max-length", "LENGTH", "as many bytes from there", set_length},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

/* What map tells of a range. Neighbours that say the same are one. */
typedef struct MapEntry {
    uint64_t start, length, offset;
    unsigned depth;
    bool data, zero, present, has_offset;
    const char *file; /* NULL: nowhere */
} MapEntry;

static void print_range_human(const MapEntry *e)
{
    char from[24], bytes[24], to[24];

    if (e->data && !e->zero) {
        snprintf(from, sizeof(from), "%#" PRIx64, e->start);
        snprintf(bytes, sizeof(bytes), "%#" PRIx64, e->length);
        snprintf(to, sizeof(to), "%#" PRIx64, e->has_offset ? e->offset : 0);
        printf("%-16s%-16s%-16s%s\n", from, bytes, to, e->file ? e->file : "");
    }
}

static void print_range_json(const MapEntry *e, bool first)
{
    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %u, \"present\": %s, "
           "\"zero\": %s, \"data\": %s",
           first ? "[" : ",\n", e->start, e->length, e->depth, e->present ? "true" : "false",
           e->zero ? "true" : "false", e->data ? "true" : "false");
    if (e->has_offset) {
        printf(", \"offset\": %" PRIu64, e->offset);
    }
    putchar('}');
}

static bool same_kind(const MapEntry *a, const MapEntry *b)
{
    return a->length && a->data == b->data && a->zero == b->zero && a->present == b->present &&
           a->depth == b->depth && a->has_offset == b->has_offset && a->file == b->file &&
           (!a->has_offset || a->offset + a->length == b->offset);
}

static bool next_entry(const Image *image, uint64_t offset, uint64_t bytes, MapEntry *e,
                       Error **errp)
{
    BlockNode *file = NULL;
    uint64_t n = 0, map = 0;
    unsigned depth = 0;
    int ret =
        bdrv_block_status_above(image->node, NULL, true, offset, bytes, &n, &map, &file, &depth);

    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot find out what %s holds at byte %" PRIu64, image->file,
                        offset);
        return false;
    }
    if (image->node->driver->maps_as_data) {
        ret = BDRV_BLOCK_DATA | BDRV_BLOCK_ALLOCATED;
    }
    *e = (MapEntry){.start = offset,
                    .length = n,
                    .offset = map,
                    .depth = depth,
                    .data = ret & BDRV_BLOCK_DATA,
                    .zero = ret & BDRV_BLOCK_ZERO,
                    .present = ret & BDRV_BLOCK_ALLOCATED,
                    .has_offset = ret & BDRV_BLOCK_OFFSET_VALID};
    e->file = file && e->has_offset ? bdrv_filename(file) : NULL;
    return true;
}

static bool print_entry(const ImgArgs *args, const MapEntry *e, bool *first, Error **errp)
{
    if (args->json) {
        print_range_json(e, *first);
    } else if (e->data && !e->has_offset) {
        error_set(errp, "File contains external, encrypted or compressed clusters.");
        return false;
    } else {
        print_range_human(e);
    }
    *first = false;
    return true;
}

static bool print_map(const ImgArgs *args, const Image *image, Error **errp)
{
    uint64_t rest = args->start < image->size ? image->size - args->start : 0;
    uint64_t last = args->start + (args->length < rest ? args->length : rest);
    MapEntry now = {.start = args->start}, next;
    bool first = true;

    if (!args->json) {
        puts("Offset          Length          Mapped to       File");
    }
    for (uint64_t offset = args->start; offset < last; offset += next.length) {
        if (!next_entry(image, offset, last - offset, &next, errp)) {
            return false;
        }
        if (same_kind(&now, &next)) {
            now.length += next.length;
            continue;
        }
        if (now.length && !print_entry(args, &now, &first, errp)) {
            return false;
        }
        now = next;
    }
    if ((now.length || args->json) && !print_entry(args, &now, &first, errp)) {
        return false;
    }
    fputs(args->json ? "]\n" : "", stdout);
    return true;
}

static int run_map(ImgArgs *args)
{
    Error *err = NULL;
    Image *image = image_open(args->operands[0], &args->open, &err);

    if (!image) {
        return img_failed(args, err, 1);
    }
    bool ok = print_map(args, image, &err);
    image_close(image, NULL);
    return ok ? 0 : img_failed(args, err, 1);
}

const ImgCommand img_map_command = {
    .name = "map",
    .operands = "FILE",
    .summary = "Shows which parts of an image hold data and which are holes",
    .options = map_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_map,
};

/* ---- measure ---- */

static bool set_measured_size(ImgArgs *args, const char *value, Error **errp)
{
    args->size_given = true;
    return blkopts_parse_size("--size", value, &args->size, errp);
}

static const ImgOption measure_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'O', NULL, "FORMAT", "format of the target (raw)", img_set_output_format},
    {'o', NULL, "OPTIONS", "of the target's format: KEY=VALUE,...; help lists them",
     img_set_creation},
    {'l', NULL, "SNAPSHOT", "of the image as this snapshot has it", img_set_snapshot},
    {0, "output", "FORM", "human or json", img_set_output},
    {0, "size", "SIZE", "for a new image of that size", set_measured_size},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static bool measure(ImgArgs *args, BlockMeasure *m, Error **errp)
{
    const char *format = args->output_format ? args->output_format : "raw";
    bool size_given = args->size_given;
    Image *image = NULL;

    if (!img_take_creation(args, format, errp)) {
        return false;
    }
    if (size_given == (args->count > 0)) {
        error_set(errp, "possible: either --size SIZE or one FILE");
        return false;
    }
    if (args->count && (!(image = image_open(args->operands[0], &args->open, errp)) ||
                        !img_load_snapshot(args, image, errp))) {
        image_close(image, NULL);
        return false;
    }
    if (args->backing_file) {
        blkopts_set(args->creation, "backing_file", args->backing_file);
    }
    bool ok = bdrv_measure(format, args->creation, image ? image->node : NULL,
                           whole_sectors(args->size), m, errp);
    image_close(image, NULL);
    return ok;
}

static int run_measure(ImgArgs *args)
{
    Error *err = NULL;
    BlockMeasure m;

    if (!measure(args, &m, &err)) {
        return img_failed(args, err, 1);
    }
    if (!args->json) {
        printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", m.required,
               m.fully_allocated);
        if (m.bitmaps != UINT64_MAX) {
            printf("bitmaps size: %" PRIu64 "\n", m.bitmaps);
        }
        return 0;
    }
    printf("{\n");
    if (m.bitmaps != UINT64_MAX) {
        printf("    \"bitmaps\": %" PRIu64 ",\n", m.bitmaps);
    }
    printf("    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64 "\n}\n", m.required,
           m.fully_allocated);
    return 0;
}

const ImgCommand img_measure_command = {
    .name = "measure",
    .operands = "[FILE]",
    .summary = "Tells how long the file of a new image, or of a copy of FILE, would be",
    .options = measure_options,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_measure,
};
