/*
 * The format "vmdk": VMware's disks. In one file (monolithicSparse, streamOptimized), or a
 * descriptor, which is a text, and the files of its extents: flat ones and sparse ones.
 *
 * Source: VMware, "Virtual Disk Format 5.0" (and 1.1). All that qemu-img makes is read and
 * written; stream-optimized images whose tables stand at the end, and those that keep track of
 * changes (version 3), are read. ESX's own sparse extents (COWD, SESPARSE) are refused.
 *
 * An image has a content ID, which is a new one when somebody writes to it; one that lies over it
 * remembers the ID. So a backing file that was changed is found out, and its image refused.
 *
 * The rest of the driver: vmdk-extent.c (sparse extents), vmdk-create.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/util.h"

enum { MAX_DESCRIPTOR = 1 << 20, MAX_NAME = 1024, CID_DIGITS = 8, NUMBERS = 128 };

/* A descriptor begins with comments; then comes its version. */
static bool is_descriptor(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes &&
           (text[at] == '#' || text[at] == ' ' || text[at] == '\n' || text[at] == '\r')) {
        const char *end = text[at] == '#' ? memchr(text + at, '\n', bytes - at) : text + at;
        if (!end) {
            return false;
        }
        at = (size_t)(end + 1 - text);
    }
    return at + 11 <= bytes && !memcmp(text + at, "version=", 8) && text[at + 8] >= '1' &&
           text[at + 8] <= '3' && (text[at + 9] == '\n' || text[at + 9] == '\r');
}

static int vmdk_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return (bytes >= 4 && load_le32(head) == VMDK_MAGIC) || is_descriptor((const char *)head, bytes)
               ? 100
               : 0;
}

/* ---- the descriptor ---- */

/* What follows `key` at the start of a line; NULL where no line has it. */
static const char *find_value(const char *text, const char *key)
{
    size_t n = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, key, n)) {
            return line + n;
        }
    }
    return NULL;
}

/* key="value"; the caller frees it. */
static char *find_quoted(const char *text, const char *key)
{
    const char *value = find_value(text, key);

    if (!value || *value != '"') {
        return NULL;
    }
    size_t n = strcspn(value + 1, "\"\n");
    return n < MAX_NAME && value[1 + n] == '"' ? strndup(value + 1, n) : NULL;
}

static bool read_descriptor(BlockNode *node, uint64_t offset, uint64_t bytes, Error **errp)
{
    VmdkState *s = node->state;
    char *text = malloc(bytes + 1);
    int ret = text ? bdrv_co_pread(node->file, offset, bytes, text, 0) : -ENOMEM;

    if (ret < 0) {
        free(text);
        error_set_errno(errp, -ret, "image %s: cannot read the descriptor", node->filename);
        return false;
    }
    text[bytes] = 0;
    s->descriptor = text;
    s->descriptor_offset = offset;
    s->descriptor_room = offset ? bytes : MAX_DESCRIPTOR;
    return true;
}

/* Names, IDs, the backing file. */
static bool parse_descriptor(BlockNode *node, Error **errp)
{
    VmdkState *s = node->state;
    const char *cid = find_value(s->descriptor, "CID=");
    const char *parent = find_value(s->descriptor, "parentCID=");

    s->cid = cid ? (uint32_t)strtoul(cid, NULL, 16) : VMDK_NO_PARENT;
    s->parent_cid = parent ? (uint32_t)strtoul(parent, NULL, 16) : VMDK_NO_PARENT;
    s->create_type = find_quoted(s->descriptor, "createType=");
    node->backing_file = find_quoted(s->descriptor, "parentFileNameHint=");
    if (node->backing_file && !*node->backing_file) {
        free(node->backing_file);
        node->backing_file = NULL;
    }
    if (node->backing_file) {
        node->backing_format = strdup("vmdk"); /* it can be no other */
    }
    return s->create_type || s->single ||
           bdrv_bad_image(node, "its descriptor names no type", errp);
}

/* Eight digits in place of those behind `key`; where there were fewer (some writers leave out
 * zeroes in front) the text behind moves. */
static int write_cid(BlockNode *node, const char *key, uint32_t cid)
{
    VmdkState *s = node->state;
    const char *value = s->descriptor ? find_value(s->descriptor, key) : NULL;
    size_t digits = value ? strspn(value, "0123456789abcdefABCDEF") : 0;
    char *text;

    if (!digits || digits > CID_DIGITS) {
        return -ENOTSUP; /* there is no place for it */
    }
    size_t at = (size_t)(value - s->descriptor);
    if (asprintf(&text, "%.*s%08" PRIx32 "%s", (int)at, s->descriptor, cid, value + digits) < 0) {
        return -ENOMEM;
    }
    size_t end = digits == CID_DIGITS ? at + CID_DIGITS : strlen(text);
    int ret = end > s->descriptor_room
                  ? -ENOTSUP
                  : bdrv_co_pwrite(node->file, s->descriptor_offset + at, end - at, text + at, 0);
    if (ret == 0) {
        free(s->descriptor);
        s->descriptor = text;
    } else {
        free(text);
    }
    return ret;
}

/* The image is about to have other contents: so another ID. */
static int change_cid(BlockNode *node)
{
    VmdkState *s = node->state;
    uint32_t cid;

    if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid) || cid == VMDK_NO_PARENT) {
        cid = s->cid ^ 1;
    }
    s->cid_changed = true;
    int ret = write_cid(node, "CID=", cid);
    if (ret == 0) {
        s->cid = cid;
    } else if (ret != -ENOTSUP) {
        s->cid_changed = false;
        return ret;
    }
    return 0;
}

/* ---- extents ---- */

typedef struct Line {
    char access[16], type[16], name[MAX_NAME];
    uint64_t sectors, offset;
    bool has_offset, has_name;
} Line;

/* RW 4192256 SPARSE "disk-s001.vmdk", RW 2048 FLAT "disk-flat.vmdk" 0, RW 63 ZERO */
static bool parse_line(const char *text, Line *line)
{
    char head[NUMBERS];
    int used = 0;

    *line = (Line){.offset = 0};
    /* A copy of the line's beginning: sscanf() measures all of the text it is given. */
    snprintf(head, sizeof(head), "%.*s", (int)MIN(strcspn(text, "\n"), NUMBERS - 1), text);
    if (sscanf(head, "%15[A-Z] %" SCNu64 " %15[A-Z0-9]%n", line->access, &line->sectors, line->type,
               &used) < 3 ||
        (strcmp(line->access, "RW") != 0 && strcmp(line->access, "RDONLY") != 0 &&
         strcmp(line->access, "NOACCESS") != 0)) {
        return false;
    }
    text += used + strspn(text + used, " \t");
    if (*text == '"') {
        size_t n = strcspn(text + 1, "\"\n");
        if (text[1 + n] != '"' || n >= sizeof(line->name)) {
            return false;
        }
        memcpy(line->name, text + 1, n);
        line->has_name = true;
        text += 2 + n;
        snprintf(head, sizeof(head), "%.*s", (int)MIN(strcspn(text, "\n"), NUMBERS - 1), text);
        line->has_offset = sscanf(head, " %" SCNu64, &line->offset) == 1;
    }
    return true;
}

static bool check_line(const BlockNode *node, const Line *line, Error **errp)
{
    bool flat = !strcmp(line->type, "FLAT") || !strcmp(line->type, "VMFS");

    if (strcmp(line->access, "NOACCESS") == 0) {
        return bdrv_bad_image(node, "an extent of it is marked as not accessible", errp);
    }
    if (!flat && strcmp(line->type, "SPARSE") != 0 && strcmp(line->type, "ZERO") != 0) {
        error_set(errp,
                  "image %s: extents of type %s are not supported; possible: FLAT, SPARSE, "
                  "VMFS, ZERO",
                  node->filename, line->type);
        return false;
    }
    if (!line->sectors || line->sectors > INT64_MAX / 4 / VMDK_SECTOR ||
        line->offset > INT64_MAX / 4 / VMDK_SECTOR ||
        (strcmp(line->type, "ZERO") != 0 && !line->has_name)) {
        return bdrv_bad_image(node, "an extent of it has no possible size, offset or name", errp);
    }
    return true;
}

/* A descriptor names files beside itself, whatever their names look like. */
static char *extent_path(const BlockNode *node, const char *name)
{
    const char *base = node->file->node->filename, *slash = strrchr(base, '/');
    bool looks_like_protocol = !slash && strcspn(name, ":") < strcspn(name, "/");
    char *path = NULL;
    int n = *name == '/' ? asprintf(&path, "%s", name)
                         : asprintf(&path, "%.*s%s%s", slash ? (int)(slash + 1 - base) : 0, base,
                                    looks_like_protocol ? "./" : "", name);

    return n < 0 ? NULL : path;
}

static bool open_extent(BlockNode *node, BlockOptions *options, const Line *line, Error **errp)
{
    VmdkState *s = node->state;
    VmdkExtent *x = &s->extents[s->count];
    char child[32], *full;

    *x = (VmdkExtent){.start = node->size, .size = line->sectors * VMDK_SECTOR};
    x->readonly = strcmp(line->access, "RW") != 0;
    x->zero = !strcmp(line->type, "ZERO");
    x->flat = !x->zero && strcmp(line->type, "SPARSE") != 0;
    x->type = x->zero                       ? "ZERO"
              : !x->flat                    ? "SPARSE"
              : !strcmp(line->type, "VMFS") ? "VMFS"
                                            : "FLAT";
    x->flat_offset = line->offset * VMDK_SECTOR;
    if (x->zero) {
        s->count++;
        return true;
    }
    full = extent_path(node, line->name);
    snprintf(child, sizeof(child), "extents.%u", s->count);
    bool ok =
        full && bdrv_open_child(node, full, options, child, CHILD_DATA, false, &x->file, errp);
    free(full);
    if (!ok) {
        error_prepend(errp, "extent of %s: ", node->filename);
        return false;
    }
    if (x->flat) {
        if (x->flat_offset + x->size > ROUND_UP(x->file->node->size, VMDK_SECTOR)) {
            error_set(errp, "image %s: its extent %s is shorter than the descriptor says",
                      node->filename, line->name);
            return false;
        }
    } else if (!vmdk_open_sparse(node, x, errp)) {
        return false;
    }
    s->count++;
    return true;
}

static bool open_extents(BlockNode *node, BlockOptions *options, Error **errp)
{
    VmdkState *s = node->state;
    const char *text = s->descriptor;
    unsigned n = 0;
    Line line;

    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        n += parse_line(p, &line);
    }
    if (!n || n > VMDK_MAX_EXTENTS) {
        return bdrv_bad_image(
            node, n ? "it has more than 8192 extents" : "its descriptor names no extents", errp);
    }
    s->extents = calloc(n, sizeof(*s->extents));
    if (!s->extents) {
        return bdrv_bad_image(node, "no memory for its extents", errp);
    }
    for (const char *p = text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!parse_line(p, &line)) {
            continue;
        }
        if (!check_line(node, &line, errp) || !open_extent(node, options, &line, errp)) {
            return false;
        }
        const VmdkExtent *x = &s->extents[s->count - 1];
        if (x->size > INT64_MAX / 2 - node->size) {
            return bdrv_bad_image(node, "its size is not possible", errp);
        }
        node->size += x->size;
    }
    return true;
}

/* ---- opening ---- */

/* All in one file. A header without a size says that the descriptor in it counts. */
static bool open_single(BlockNode *node, BlockOptions *options, const uint8_t *h, Error **errp)
{
    VmdkState *s = node->state;
    uint64_t offset = load_le64(h + VH_DESC_OFFSET), sectors = load_le64(h + VH_DESC_SIZE);
    uint64_t file = node->file->node->size / VMDK_SECTOR;

    s->single = load_le64(h + VH_CAPACITY) != 0;
    if (offset && (offset > file || sectors > MIN(file - offset, MAX_DESCRIPTOR / VMDK_SECTOR))) {
        return bdrv_bad_image(node, "its descriptor lies outside of the file", errp);
    }
    if (!offset && !s->single) {
        return bdrv_bad_image(node, "it has no descriptor and no size", errp);
    }
    if (offset && (!read_descriptor(node, offset * VMDK_SECTOR, sectors * VMDK_SECTOR, errp) ||
                   !parse_descriptor(node, errp))) {
        return false;
    }
    if (!s->single) {
        return open_extents(node, options, errp);
    }
    s->extents = calloc(1, sizeof(*s->extents));
    if (!s->extents) {
        return bdrv_bad_image(node, "no memory for its extent", errp);
    }
    s->extents[0] = (VmdkExtent){.type = "", .file = node->file};
    if (!vmdk_open_sparse(node, &s->extents[0], errp)) {
        return false;
    }
    s->count = 1;
    node->size = s->extents[0].size;
    return true;
}

static void free_state(VmdkState *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        vmdk_close_extent(&s->extents[i]);
    }
    free(s->extents);
    free(s->descriptor);
    free(s->create_type);
}

static bool open_any(BlockNode *node, BlockOptions *options, Error **errp)
{
    uint64_t bytes = MIN(node->file->node->size, MAX_DESCRIPTOR);
    uint8_t h[VH_HEADER] = {0};
    int ret = bdrv_co_pread(node->file, 0, sizeof(h), h, 0);

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
        return false;
    }
    if (load_le32(h) == VMDK_MAGIC) {
        return open_single(node, options, h, errp);
    }
    if (!memcmp(h, "COWD", 4)) {
        return bdrv_bad_image(
            node,
            "ESX's sparse extents (COWD) are not supported; convert it with the tool "
            "that made it",
            errp);
    }
    if (!is_descriptor((const char *)h, sizeof(h))) {
        return bdrv_bad_image(node, "is not in vmdk format", errp);
    }
    return read_descriptor(node, 0, bytes, errp) && parse_descriptor(node, errp) &&
           open_extents(node, options, errp);
}

static bool vmdk_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    VmdkState *s = node->state;

    if (!bdrv_open_file_child(node, options, errp)) {
        return false;
    }
    if (!open_any(node, options, errp)) {
        free_state(s);
        return false;
    }
    for (unsigned i = 0; i < s->count && !s->single; i++) {
        if (s->extents[i].file && s->extents[i].file->node->readonly) {
            node->readonly = true;
        }
    }
    node->request_alignment = VMDK_SECTOR;
    node->zero_init = true;
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
    return true;
}

static bool vmdk_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    VmdkState *s = node->state;

    for (unsigned i = 0; i < s->count && !readonly; i++) {
        const VmdkExtent *x = &s->extents[i];
        if (!x->flat && !x->zero && !vmdk_check_writable(x, errp)) {
            return false;
        }
    }
    s->cid_changed = false;
    return true;
}

static void vmdk_co_close(BlockNode *node)
{
    free_state(node->state);
}

/* ---- requests ---- */

static VmdkExtent *find_extent(const VmdkState *s, uint64_t offset)
{
    unsigned low = 0, high = s->count;

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        *(s->extents[middle].start <= offset ? &low : &high) = middle;
    }
    return &s->extents[low];
}

/* The backing file is the one that the image was made over. */
static int check_parent(BlockNode *node)
{
    VmdkState *s = node->state;

    if (s->parent_checked || !node->backing) {
        return 0;
    }
    const BlockNode *parent = bdrv_backing(node);
    if (parent->driver != &bdrv_vmdk || ((VmdkState *)parent->state)->cid != s->parent_cid) {
        error_report("image %s: its backing file %s has been changed since (another content ID)",
                     node->filename, parent->filename);
        return -EINVAL;
    }
    s->parent_checked = true;
    return 0;
}

/* n bytes of one extent. */
static int read_extent(VmdkExtent *x, uint64_t offset, uint64_t n, IoVector *v, size_t at)
{
    if (x->zero) {
        iov_fill(v, at, 0, n);
        return 0;
    }
    return x->flat ? bdrv_co_preadv(x->file, x->flat_offset + offset - x->start, n, v, at, 0)
                   : sparse_preadv(&x->map, offset, n, v, at);
}

/* Extents that are compressed do so with all they get; others take data as it is. */
static int write_extent(VmdkExtent *x, uint64_t offset, uint64_t n, IoVector *v, size_t at)
{
    if (x->readonly || x->zero) {
        return -EROFS;
    }
    return x->flat ? bdrv_co_pwritev(x->file, x->flat_offset + offset - x->start, n, v, at, 0)
                   : sparse_pwritev(&x->map, offset, n, v, at);
}

static int vmdk_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    int ret = check_parent(node);

    while (bytes && ret == 0) {
        VmdkExtent *x = find_extent(node->state, offset);
        uint64_t n = MIN(bytes, x->start + x->size - offset);
        ret = read_extent(x, offset, n, v, at);
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

static int before_write(BlockNode *node)
{
    VmdkState *s = node->state;
    int ret = check_parent(node);

    return ret < 0 || s->cid_changed ? ret : change_cid(node);
}

static int vmdk_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    int ret = before_write(node);

    while (bytes && ret == 0) {
        VmdkExtent *x = find_extent(node->state, offset);
        uint64_t n = MIN(bytes, x->start + x->size - offset);
        ret = write_extent(x, offset, n, v, at);
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

static int vmdk_co_pwritev_compressed(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                                      size_t at)
{
    return vmdk_co_pwritev(node, offset, bytes, v, at, 0);
}

/* An entry for each grain; those that hold data get zeroes where they are. */
static int zero_grains(VmdkExtent *x, uint64_t offset, uint64_t n, unsigned flags)
{
    static const SparseEntry zero = {SPARSE_ZERO, 0, 0};
    const uint64_t grain = x->map.cluster;
    SparseEntry e;
    int ret = 0;

    if (!x->zero_grain || (offset - x->start) % grain ||
        (n % grain && offset + n != x->start + x->size)) {
        return -ENOTSUP;
    }
    for (uint64_t at = offset; at < offset + n && ret == 0; at += grain) {
        uint64_t index = (at - x->start) / grain;
        ret = sparse_entry(&x->map, index, &e);
        if (ret == 0 && (e.kind == SPARSE_HOLE || e.kind == SPARSE_PACKED)) {
            ret = sparse_set_entry(&x->map, index, &zero);
        } else if (ret == 0) {
            ret = sparse_pwrite_zeroes(&x->map, at, MIN(grain, offset + n - at), flags);
        }
    }
    return ret;
}

static int zero_extent(VmdkExtent *x, uint64_t offset, uint64_t n, unsigned flags)
{
    if (x->zero) {
        return 0;
    }
    if (x->readonly) {
        return -EROFS;
    }
    if (x->flat) {
        return bdrv_co_pwrite_zeroes(x->file, x->flat_offset + offset - x->start, n, flags);
    }
    int ret = sparse_pwrite_zeroes(&x->map, offset, n, flags);
    return ret == -ENOTSUP ? zero_grains(x, offset, n, flags) : ret;
}

static int vmdk_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    int ret = before_write(node);

    while (bytes && ret == 0) {
        VmdkExtent *x = find_extent(node->state, offset);
        uint64_t n = MIN(bytes, x->start + x->size - offset);
        ret = zero_extent(x, offset, n, flags);
        offset += n;
        bytes -= n;
    }
    return ret;
}

static int vmdk_co_flush(BlockNode *node)
{
    VmdkState *s = node->state;
    int ret = 0;

    for (unsigned i = 0; i < s->count && ret == 0 && !node->readonly; i++) {
        VmdkExtent *x = &s->extents[i];
        ret = x->flat || x->zero ? 0 : sparse_flush(&x->map);
    }
    return ret;
}

static int vmdk_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    VmdkExtent *x = find_extent(node->state, offset);

    bytes = MIN(bytes, x->start + x->size - offset);
    if (!x->flat && !x->zero) {
        return sparse_block_status(&x->map, offset, bytes, pnum, map, file);
    }
    *pnum = bytes;
    if (x->zero) {
        return BDRV_BLOCK_ZERO;
    }
    *map = x->flat_offset + offset - x->start;
    *file = x->file->node;
    return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_RECURSE;
}

/* What was in it is in the backing file now, which has got another content ID by that. */
static int vmdk_co_make_empty(BlockNode *node)
{
    VmdkState *s = node->state;
    const BlockNode *parent = bdrv_backing(node);
    int ret = 0;

    for (unsigned i = 0; i < s->count; i++) {
        if (s->extents[i].flat || s->extents[i].zero) {
            return -ENOTSUP;
        }
    }
    if (parent && parent->driver == &bdrv_vmdk) {
        s->parent_cid = ((VmdkState *)parent->state)->cid;
        ret = write_cid(node, "parentCID=", s->parent_cid);
    }
    for (unsigned i = 0; i < s->count && ret == 0; i++) {
        ret = vmdk_empty_extent(&s->extents[i]);
    }
    return ret;
}

/* ---- information ---- */

static int vmdk_co_get_info(BlockNode *node, BlockInfo *info)
{
    const VmdkState *s = node->state;
    const VmdkExtent *first = &s->extents[0];
    bool sparse = !first->flat && !first->zero;

    for (unsigned i = 1; i < s->count; i++) {
        const VmdkExtent *x = &s->extents[i];
        if (x->flat != first->flat || x->zero != first->zero ||
            (sparse && x->map.cluster != first->map.cluster)) {
            return -EINVAL; /* each has another size */
        }
    }
    info->cluster_size = sparse ? (uint32_t)first->map.cluster : 0;
    info->needs_compressed_writes = first->compressed;
    return 0;
}

static void vmdk_get_specific(BlockNode *node, InfoTree *info)
{
    const VmdkState *s = node->state;

    info_add_int(info, "cid", s->cid);
    info_add_int(info, "parent-cid", s->parent_cid);
    info_add_string(info, "create-type", s->create_type ? s->create_type : "");
    InfoTree *list = info_add(info, "extents", INFO_LIST);
    for (unsigned i = 0; i < s->count; i++) {
        const VmdkExtent *x = &s->extents[i];
        InfoTree *t = info_add(list, NULL, INFO_OBJECT);
        if (x->compressed) {
            info_add_bool(t, "compressed", true);
        }
        info_add_int(t, "virtual-size", x->size);
        info_add_string(t, "filename", x->file ? bdrv_filename(x->file->node) : "");
        if (!x->flat && !x->zero) {
            info_add_int(t, "cluster-size", x->map.cluster);
        }
        info_add_string(t, "format", x->type);
    }
}

static int64_t vmdk_co_get_allocated(BlockNode *node)
{
    const VmdkState *s = node->state;
    int64_t sum = bdrv_allocated_size(node->file->node);

    for (unsigned i = 0; i < s->count && sum >= 0; i++) {
        const VmdkExtent *x = &s->extents[i];
        int64_t n = x->file && x->file != node->file ? bdrv_allocated_size(x->file->node) : 0;
        sum = n < 0 ? n : sum + n;
    }
    return sum;
}

/* ---- check ---- */

static void found(BlockCheck *c, const char *what, uint64_t at)
{
    bdrv_check_found(c, "ERROR: %s at byte %" PRIu64 " stands behind the end of the file", what,
                     at);
    c->corruptions++;
}

static int check_extent(VmdkExtent *x, BlockCheck *c)
{
    const uint64_t grains = DIV_ROUND_UP(x->size, x->map.cluster), file = x->file->node->size;
    SparseEntry e;

    for (uint64_t i = 0; i < grains; i++) {
        uint64_t table = x->gd[i / x->gtes];
        if (!table || table * VMDK_SECTOR >= file) {
            if (table) {
                found(c, "the table for the clusters", x->start + i * x->map.cluster);
            }
            i += x->gtes - i % x->gtes - 1;
            continue;
        }
        int ret = sparse_entry(&x->map, i, &e);
        if (ret < 0) {
            return ret;
        }
        bool stored = e.kind == SPARSE_DATA || e.kind == SPARSE_PACKED;
        if (e.kind == SPARSE_BAD || (stored && e.host >= file)) {
            found(c, "the cluster", x->start + i * x->map.cluster);
        }
    }
    return 0;
}

static int vmdk_co_check(BlockNode *node, BlockCheck *c, BlockCheckFix fix)
{
    VmdkState *s = node->state;
    int ret = fix ? -ENOTSUP : 0;

    for (unsigned i = 0; i < s->count && ret == 0; i++) {
        VmdkExtent *x = &s->extents[i];
        ret = x->flat || x->zero ? 0 : check_extent(x, c);
    }
    return ret;
}

static const BlockOptionDesc vmdk_options[] = {
    {"extents.N", "NODE", "extent number N, in place of the descriptor's"},
    {"backing", "NODE", "the backing file, in place of the descriptor's"},
    {0},
};

const BlockDriver bdrv_vmdk = {
    .name = "vmdk",
    .state_size = sizeof(VmdkState),
    .supports_backing = true,
    .supports_compressed = true,
    .open_options = vmdk_options,
    .create_options = vmdk_create_options,
    .create_defaults = "compat6=off,hwversion=undefined",
    .probe = vmdk_probe,
    .co_open = vmdk_co_open,
    .co_close = vmdk_co_close,
    .co_reopen = vmdk_co_reopen,
    .co_create = vmdk_co_create,
    .co_preadv = vmdk_co_preadv,
    .co_pwritev = vmdk_co_pwritev,
    .co_pwritev_compressed = vmdk_co_pwritev_compressed,
    .co_pwrite_zeroes = vmdk_co_pwrite_zeroes,
    .co_flush = vmdk_co_flush,
    .co_block_status = vmdk_co_block_status,
    .co_make_empty = vmdk_co_make_empty,
    .co_get_allocated = vmdk_co_get_allocated,
    .co_get_info = vmdk_co_get_info,
    .get_specific = vmdk_get_specific,
    .co_check = vmdk_co_check,
};
