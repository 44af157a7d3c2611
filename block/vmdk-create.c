/*
 * vmdk: new images. The descriptor is a text: in the file of a monolithic image, else a file of its
 * own beside those of the extents.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "block/block.h"
#include "block/util.h"
#include "block/vmdk.h"

enum {
    IDE_HEADS = 16,
    SCSI_HEADS = 255,
    TRACK = 63,
    MAX_DESCRIPTOR = 1 << 20,
};
#define SPLIT_BYTES (2ull << 30)

const BlockOptionDesc vmdk_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"adapter_type", "NAME", "ide (default), lsilogic, buslogic, legacyESX"},
    {"backing_file", "FILE", "what the image does not hold shows from there"},
    {"backing_fmt", "vmdk", "its format"},
    {"compat6", "on|off", "for VMware 6 (the same as hwversion=6)"},
    {"hwversion", "VERSION", "of the virtual hardware (4)"},
    {"toolsversion", "VERSION", "of the guest's tools (2147483647)"},
    {"subformat", "NAME",
     "monolithicSparse (default), monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat, "
     "streamOptimized"},
    {"zeroed_grain", "on|off", "zeroes are written as an entry of a table"},
    {"preallocation", "off|falloc|full", "flat images: storage from the beginning"},
    {0},
};

static const char *const subformats[] = {
    "monolithicSparse",   "monolithicFlat",  "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat", "streamOptimized", NULL,
};
enum { SPARSE, FLAT, SPLIT_SPARSE, SPLIT_FLAT, STREAM };

static const char *const adapters[] = {"ide", "lsilogic", "buslogic", "legacyESX", NULL};

typedef struct Settings {
    int subformat, adapter, prealloc;
    bool compat6, zero_grain;
    char *hwversion, *toolsversion;
    uint32_t parent_cid;
    unsigned extents; /* made so far */
    FILE *lines;      /* of the descriptor, about the extents */
} Settings;

static bool is_flat(const Settings *t)
{
    return t->subformat == FLAT || t->subformat == SPLIT_FLAT;
}

static bool is_split(const Settings *t)
{
    return t->subformat == SPLIT_SPARSE || t->subformat == SPLIT_FLAT;
}

static bool is_number(const char *text)
{
    return !text || (*text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 12);
}

static bool take_settings(const BlockCreate *create, Settings *t, Error **errp)
{
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    static const BlockPrealloc prealloc[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL};
    BlockOptions *o = create->options;
    int mode = 0;

    *t = (Settings){.parent_cid = VMDK_NO_PARENT};
    t->hwversion = blkopts_take(o, "hwversion");
    t->toolsversion = blkopts_take(o, "toolsversion");
    if (!blkopts_take_word(o, "subformat", subformats, &t->subformat, errp) ||
        !blkopts_take_word(o, "adapter_type", adapters, &t->adapter, errp) ||
        !blkopts_take_word(o, "preallocation", modes, &mode, errp) ||
        !blkopts_take_bool(o, "compat6", &t->compat6, errp) ||
        !blkopts_take_bool(o, "zeroed_grain", &t->zero_grain, errp)) {
        return false;
    }
    t->prealloc = prealloc[mode];
    if (t->hwversion && !strcmp(t->hwversion, "undefined")) {
        free(t->hwversion);
        t->hwversion = NULL;
    }
    return true;
}

static bool check_settings(const BlockCreate *create, const Settings *t, Error **errp)
{
    const char *wrong = NULL;

    if (t->compat6 && t->hwversion) {
        wrong = "compat6=on: not together with hwversion=";
    } else if (!is_number(t->hwversion) || !is_number(t->toolsversion)) {
        wrong = "hwversion=, toolsversion=: possible are numbers";
    } else if (is_flat(t) && create->backing_file) {
        wrong = "a flat image cannot have a backing file; choose another subformat=";
    } else if (is_flat(t) && t->zero_grain) {
        wrong = "zeroed_grain=on: not for flat images";
    } else if (!is_flat(t) && t->prealloc != PREALLOC_OFF) {
        wrong = "preallocation=: only for flat images (subformat=monolithicFlat)";
    } else if (create->backing_format && strcmp(create->backing_format, "vmdk") != 0) {
        wrong = "a backing file of a vmdk image has format vmdk, too";
    } else if (!create->size) {
        wrong = "a disk of 0 bytes is not possible";
    } else if (is_split(t) && create->size > VMDK_MAX_EXTENTS * SPLIT_BYTES) {
        wrong = "a disk in files of 2G has at most 16T; choose another subformat=";
    } else if (!is_flat(t) &&
               create->size / VMDK_SECTOR / VMDK_GRAIN / VMDK_GTES >= VMDK_MAX_GD_BYTES / 4) {
        wrong = "a sparse vmdk disk has less than 512T";
    } else if (create->backing_file && strpbrk(create->backing_file, "\"\n\r")) {
        wrong = "a backing file's name cannot have quotes or line ends";
    }
    if (wrong) {
        error_set(errp, "%s: %s", create->filename, wrong);
    }
    return !wrong;
}

/* ---- sparse extents ---- */

static void put_directory(uint8_t *gd, uint64_t tables, uint64_t count, uint64_t table_sectors)
{
    for (uint64_t i = 0; i < count; i++) {
        store_le32(gd + 4 * i, (uint32_t)(tables + i * table_sectors));
    }
}

/* Header and directories; the tables are holes, which read as zeroes. */
static int write_sparse(BlockChild *root, uint64_t size, const Settings *t)
{
    const uint64_t sectors = size / VMDK_SECTOR, grains = DIV_ROUND_UP(sectors, VMDK_GRAIN);
    const uint64_t tables = DIV_ROUND_UP(grains, VMDK_GTES);
    const uint64_t table_sectors = VMDK_GTES * 4 / VMDK_SECTOR;
    const uint64_t gd_sectors = DIV_ROUND_UP(tables * 4, VMDK_SECTOR);
    const uint64_t rgd = VMDK_DESC_OFFSET + VMDK_DESC_SECTORS;
    const uint64_t gd = rgd + gd_sectors + tables * table_sectors;
    const uint64_t data = ROUND_UP(gd + gd_sectors + tables * table_sectors, VMDK_GRAIN);
    const bool stream = t->subformat == STREAM;
    uint8_t h[VH_HEADER] = {0}, *directory = calloc(gd_sectors, VMDK_SECTOR);

    if (!directory) {
        return -ENOMEM;
    }
    store_le32(h, VMDK_MAGIC);
    store_le32(h + VH_VERSION, stream ? 3 : t->zero_grain ? 2 : 1);
    store_le32(h + VH_FLAGS, VMDK_FLAG_RGD | VMDK_FLAG_LINE_ENDS |
                                 (stream ? VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS : 0) |
                                 (t->zero_grain ? VMDK_FLAG_ZERO_GRAIN : 0));
    store_le64(h + VH_CAPACITY, sectors);
    store_le64(h + VH_GRAIN, VMDK_GRAIN);
    store_le64(h + VH_DESC_OFFSET, VMDK_DESC_OFFSET);
    store_le64(h + VH_DESC_SIZE, VMDK_DESC_SECTORS);
    store_le32(h + VH_GTES, VMDK_GTES);
    store_le64(h + VH_RGD, rgd);
    store_le64(h + VH_GD, gd);
    store_le64(h + VH_OVERHEAD, data);
    memcpy(h + VH_LINE_ENDS, "\n \r\n", 4);
    store_le16(h + VH_COMPRESSION, stream ? VMDK_DEFLATE : 0);
    int ret = bdrv_co_truncate(root, data * VMDK_SECTOR, false, PREALLOC_OFF, NULL) ? 0 : -ENOSPC;
    ret = ret < 0 ? ret : bdrv_co_pwrite(root, 0, sizeof(h), h, 0);
    if (ret == 0) {
        put_directory(directory, rgd + gd_sectors, tables, table_sectors);
        ret = bdrv_co_pwrite(root, rgd * VMDK_SECTOR, gd_sectors * VMDK_SECTOR, directory, 0);
    }
    if (ret == 0) {
        put_directory(directory, gd + gd_sectors, tables, table_sectors);
        ret = bdrv_co_pwrite(root, gd * VMDK_SECTOR, gd_sectors * VMDK_SECTOR, directory, 0);
    }
    free(directory);
    return ret;
}

static bool fill_extent(BlockNode *file, uint64_t size, const Settings *t, Error **errp)
{
    BlockChild *root = bdrv_root_attach(bdrv_ref(file), BLK_PERM_WRITE | BLK_PERM_RESIZE,
                                        BLK_PERM_ALL, NULL, NULL, errp);
    bool ok = root != NULL;

    if (ok && is_flat(t)) {
        ok = bdrv_co_truncate(root, size, false, (BlockPrealloc)t->prealloc, errp);
    } else if (ok) {
        int ret = write_sparse(root, size, t);
        ok = ret == 0;
        if (!ok) {
            error_set_errno(errp, -ret, "cannot write %s", file->filename);
        }
    }
    bdrv_root_detach(root);
    return ok;
}

/* ---- files of several extents ---- */

/* "dir/name-s001.vmdk" for "dir/name.vmdk"; *base: without the directory. The caller frees it. */
static char *extent_name(const char *filename, const Settings *t, unsigned index, const char **base)
{
    const char *slash = strrchr(filename, '/'), *name = slash ? slash + 1 : filename;
    const char *dot = strrchr(name, '.');
    int stem = dot ? (int)(dot - name) : (int)strlen(name);
    char mark[16] = "-flat", *full;

    if (is_split(t)) {
        snprintf(mark, sizeof(mark), "-%c%03u", is_flat(t) ? 'f' : 's', index + 1);
    }
    if (asprintf(&full, "%.*s%.*s%s%s", (int)(name - filename), filename, stem, name, mark,
                 dot ? dot : "") < 0) {
        abort();
    }
    *base = full + (name - filename);
    *base += strncmp(*base, "file:", 5) ? 0 : 5;
    return full;
}

static bool make_extent(const BlockCreate *create, Settings *t, uint64_t size, Error **errp)
{
    const char *base;
    char *name = extent_name(create->filename, t, t->extents, &base);
    bool ok = bdrv_create_file(name, 0, NULL, errp);

    if (ok) {
        t->extents++;
        BlockNode *file =
            bdrv_open(name, NULL, BDRV_O_RDWR | BDRV_O_PROTOCOL | BDRV_O_RESIZE, errp);
        ok = file && fill_extent(file, size, t, errp);
        bdrv_unref(file);
    }
    if (ok) {
        fprintf(t->lines, "RW %" PRIu64 " %s \"%s\"%s\n", size / VMDK_SECTOR,
                is_flat(t) ? "FLAT" : "SPARSE", base, is_flat(t) ? " 0" : "");
    }
    free(name);
    return ok;
}

static void remove_extents(const BlockCreate *create, const Settings *t)
{
    for (unsigned i = 0; i < t->extents; i++) {
        const char *base;
        char *name = extent_name(create->filename, t, i, &base);
        unlink(strncmp(name, "file:", 5) ? name : name + 5);
        free(name);
    }
}

static bool make_extents(const BlockCreate *create, Settings *t, Error **errp)
{
    const char *slash = strrchr(create->filename, '/');

    if (!is_flat(t) && !is_split(t)) {
        fprintf(t->lines, "RW %" PRIu64 " SPARSE \"%s\"\n", create->size / VMDK_SECTOR,
                slash ? slash + 1 : create->filename);
        return fill_extent(create->file, create->size, t, errp);
    }
    for (uint64_t at = 0; at < create->size;) {
        uint64_t n = is_split(t) ? MIN(create->size - at, SPLIT_BYTES) : create->size;
        if (!make_extent(create, t, n, errp)) {
            return false;
        }
        at += n;
    }
    return true;
}

/* ---- the descriptor ---- */

/* The backing file's content ID: that it is still the same shows by it. */
static bool find_parent(const BlockCreate *create, Settings *t, Error **errp)
{
    char *full = NULL;
    const char *slash = strrchr(create->filename, '/'), *name = create->backing_file;

    if (!name) {
        return true;
    }
    if (name[0] != '/' && strcspn(name, ":") >= strcspn(name, "/") && slash &&
        asprintf(&full, "%.*s%s", (int)(slash + 1 - create->filename), create->filename, name) <
            0) {
        abort();
    }
    BlockNode *node =
        bdrv_open(full ? full : name, NULL, BDRV_O_NO_BACKING | BDRV_O_FORCE_SHARE, errp);
    free(full);
    bool ok = node != NULL;
    if (ok && node->driver != &bdrv_vmdk) {
        error_set(errp, "%s: backing file %s has format %s; a vmdk image stands over vmdk images",
                  create->filename, name, node->driver->name);
        ok = false;
    } else if (ok) {
        t->parent_cid = ((VmdkState *)node->state)->cid;
    }
    bdrv_unref(node);
    return ok;
}

static int print_descriptor(FILE *f, const BlockCreate *create, const Settings *t,
                            const char *extents)
{
    const unsigned heads = t->adapter ? SCSI_HEADS : IDE_HEADS;
    uint32_t cid = 1;

    if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid) || cid == VMDK_NO_PARENT) {
        cid = 2;
    }
    fprintf(f, "# Disk DescriptorFile\nversion=1\nCID=%08" PRIx32 "\nparentCID=%08" PRIx32 "\n",
            cid, t->parent_cid);
    fprintf(f, "createType=\"%s\"\n", subformats[t->subformat]);
    if (create->backing_file) {
        fprintf(f, "parentFileNameHint=\"%s\"\n", create->backing_file);
    }
    fprintf(f, "\n# Extent description\n%s\n# The Disk Data Base\n#DDB\n\n", extents);
    fprintf(f, "ddb.virtualHWVersion = \"%s\"\n",
            t->hwversion ? t->hwversion
            : t->compat6 ? "6"
                         : "4");
    fprintf(f, "ddb.geometry.cylinders = \"%" PRIu64 "\"\nddb.geometry.heads = \"%u\"\n",
            create->size / VMDK_SECTOR / (TRACK * heads), heads);
    fprintf(f, "ddb.geometry.sectors = \"%d\"\nddb.adapterType = \"%s\"\n", TRACK,
            adapters[t->adapter]);
    fprintf(f, "ddb.toolsVersion = \"%s\"\n", t->toolsversion ? t->toolsversion : "2147483647");
    return fclose(f);
}

static bool write_descriptor(BlockCreate *create, const Settings *t, const char *extents,
                             Error **errp)
{
    bool own = is_flat(t) || is_split(t);
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);

    if (!f || print_descriptor(f, create, t, extents) != 0 ||
        bytes > (own ? MAX_DESCRIPTOR : VMDK_DESC_SECTORS * VMDK_SECTOR)) {
        error_set(errp, "%s: the descriptor is too long; a shorter name may help",
                  create->filename);
        free(text);
        return false;
    }
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    int ret =
        !root ? 0 : bdrv_co_pwrite(root, own ? 0 : VMDK_DESC_OFFSET * VMDK_SECTOR, bytes, text, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "%s: cannot write the descriptor", create->filename);
    }
    bool ok = root && ret == 0;
    bdrv_root_detach(root);
    free(text);
    return ok;
}

bool vmdk_co_create(BlockCreate *create, Error **errp)
{
    Settings t;
    char *extents = NULL;
    size_t bytes;
    bool ok = take_settings(create, &t, errp) && check_settings(create, &t, errp) &&
              find_parent(create, &t, errp);
    BlockChild *root =
        ok ? bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp) : NULL;

    bdrv_root_detach(root);
    ok = root != NULL;
    if (ok) {
        t.lines = open_memstream(&extents, &bytes);
        ok = t.lines && make_extents(create, &t, errp);
        ok = t.lines && fclose(t.lines) == 0 && ok;
        ok = ok && write_descriptor(create, &t, extents, errp);
        if (!ok) {
            remove_extents(create, &t);
        }
        free(extents);
    }
    free(t.hwversion);
    free(t.toolsversion);
    return ok;
}
