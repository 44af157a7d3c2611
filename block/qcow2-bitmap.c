/*
 * qcow2: bitmaps that an image keeps. Each marks which parts of the disk were written since it was
 * made.
 *
 * The directory is read when it is needed and written anew as a whole. An enabled bitmap is loaded
 * before the guest's first change, marked as in use in the file, so that a crash leaves it known as
 * not intact, kept up to date in memory, and stored at close.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/dirty.h"
#include "block/qcow2.h"

enum {
    IN_USE = 1,
    AUTO = 2,
    EXTRA_COMPATIBLE = 4,
    DIR_HEAD = 24,
    TYPE_DIRTY = 1,
    MIN_GRANULARITY = 9,
    MAX_GRANULARITY = 31,
    DEFAULT_GRANULARITY = 65536,
};
#define MAX_TABLE_BYTES (64u << 20)
#define MAX_BITS_BYTES  (512ull << 20) /* of one bitmap in memory */

typedef struct Bitmap {
    uint64_t table_offset;
    uint32_t table_size, flags, extra_size;
    uint8_t type, granularity_bits;
    uint8_t *extra;
    char name[1024];
} Bitmap;

typedef struct Directory {
    Bitmap *list;
    unsigned count;
} Directory;

/* A bitmap in memory while the guest writes. */
typedef struct Qcow2Tracked {
    char name[1024];
    unsigned granularity_bits;
    uint8_t *bits;
    bool disabled; /* only here for a new size of the disk */
    struct Qcow2Tracked *next;
} Qcow2Tracked;

/* ---- the directory ---- */

static void free_directory(Directory *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        free(d->list[i].extra);
    }
    free(d->list);
    *d = (Directory){0};
}

static bool parse_entry(const uint8_t *p, uint64_t left, Bitmap *b, uint64_t *size)
{
    if (left < DIR_HEAD) {
        return false;
    }
    *b = (Bitmap){.table_offset = load_be64(p),
                  .table_size = load_be32(p + 8),
                  .flags = load_be32(p + 12),
                  .type = p[16],
                  .granularity_bits = p[17],
                  .extra_size = load_be32(p + 20)};
    uint16_t name = load_be16(p + 18);
    *size = ROUND_UP(DIR_HEAD + (uint64_t)b->extra_size + name, 8);
    if (*size > left || !name || name > 1023 || b->granularity_bits > 63 ||
        b->table_size > MAX_TABLE_BYTES / 8) {
        return false;
    }
    if (b->extra_size) {
        b->extra = malloc(b->extra_size);
        if (!b->extra) {
            return false;
        }
        memcpy(b->extra, p + DIR_HEAD, b->extra_size);
    }
    memcpy(b->name, p + DIR_HEAD + b->extra_size, name);
    return true;
}

static int read_directory(BlockNode *node, Directory *d)
{
    Qcow2State *s = node->state;
    uint64_t at = 0, size;

    *d = (Directory){0};
    if (!s->bitmap_count) {
        return 0;
    }
    uint8_t *buf = block_try_alloc(node, s->bitmap_dir_size);
    d->list = calloc(s->bitmap_count, sizeof(Bitmap));
    int ret = buf && d->list
                  ? bdrv_co_pread(node->file, s->bitmap_dir_offset, s->bitmap_dir_size, buf, 0)
                  : -ENOMEM;
    for (uint32_t i = 0; i < s->bitmap_count && ret == 0; i++) {
        bool ok = parse_entry(buf + at, s->bitmap_dir_size - at, &d->list[i], &size) &&
                  !(d->list[i].table_offset & s->cluster_mask);
        d->count = i + 1;
        ret = ok ? 0 : -EINVAL;
        at += ok ? size : 0;
    }
    free(buf);
    if (ret < 0) {
        free_directory(d);
    }
    return ret;
}

uint64_t qcow2_bitmap_entry_bytes(uint64_t extra, uint64_t name)
{
    return ROUND_UP(DIR_HEAD + extra + name, 8);
}

static uint64_t entry_bytes(const Bitmap *b)
{
    return qcow2_bitmap_entry_bytes(b->extra_size, strlen(b->name));
}

/* Writes the directory elsewhere and lets the header lead to it. */
static int write_directory(BlockNode *node, const Directory *d)
{
    Qcow2State *s = node->state;
    uint64_t size = 0, offset = 0, old_offset = s->bitmap_dir_offset, old_size = s->bitmap_dir_size;
    uint32_t old_count = s->bitmap_count;
    int ret = 0;

    for (unsigned i = 0; i < d->count; i++) {
        size += entry_bytes(&d->list[i]);
    }
    if (size > QCOW2_MAX_BITMAP_DIR) {
        return -EFBIG;
    }
    uint8_t *buf = calloc(1, MAX(size, 1)), *p = buf;
    for (unsigned i = 0; buf && i < d->count; i++) {
        const Bitmap *b = &d->list[i];
        store_be64(p, b->table_offset);
        store_be32(p + 8, b->table_size);
        store_be32(p + 12, b->flags);
        p[16] = b->type;
        p[17] = b->granularity_bits;
        store_be16(p + 18, (uint16_t)strlen(b->name));
        store_be32(p + 20, b->extra_size);
        if (b->extra_size) {
            memcpy(p + DIR_HEAD, b->extra, b->extra_size);
        }
        memcpy(p + DIR_HEAD + b->extra_size, b->name, strlen(b->name));
        p += entry_bytes(b);
    }
    if (d->count && buf) {
        ret = qcow2_alloc(node, DIV_ROUND_UP(size, s->cluster_size), true, &offset, NULL);
        ret = ret < 0 ? ret : bdrv_co_pwrite(node->file, offset, size, buf, 0);
    }
    ret = buf ? ret : -ENOMEM;
    free(buf);
    ret = ret < 0 ? ret : qcow2_barrier(node);
    if (ret < 0) {
        return ret;
    }
    s->bitmap_dir_offset = offset;
    s->bitmap_dir_size = size;
    s->bitmap_count = d->count;
    s->h.autoclear = d->count ? s->h.autoclear | QCOW2_AUTOCLEAR_BITMAPS
                              : s->h.autoclear & ~QCOW2_AUTOCLEAR_BITMAPS;
    s->bitmaps_valid = d->count != 0;
    ret = qcow2_write_header(node);
    if (ret < 0) {
        s->bitmap_dir_offset = old_offset;
        s->bitmap_dir_size = old_size;
        s->bitmap_count = old_count;
    } else if (old_size) {
        qcow2_free_later(node, old_offset, old_size, false);
    }
    return ret;
}

bool qcow2_check_bitmap_ext(BlockNode *node, const uint8_t *data, uint32_t length, Error **errp)
{
    Qcow2State *s = node->state;

    if (!(s->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        return true; /* left behind by a program that knows no bitmaps */
    }
    if (length != 24) {
        error_set(errp, "image %s: the bitmaps extension has %" PRIu32 " bytes, not 24",
                  node->filename, length);
        return false;
    }
    s->bitmap_count = load_be32(data);
    s->bitmap_dir_size = load_be64(data + 8);
    s->bitmap_dir_offset = load_be64(data + 16);
    if (!s->bitmap_count || s->bitmap_count > QCOW2_MAX_BITMAPS ||
        s->bitmap_dir_size > QCOW2_MAX_BITMAP_DIR ||
        s->bitmap_dir_size < (uint64_t)s->bitmap_count * DIR_HEAD ||
        (s->bitmap_dir_offset & s->cluster_mask) ||
        s->bitmap_dir_offset > INT64_MAX - QCOW2_MAX_BITMAP_DIR) {
        error_set(errp, "image %s: its directory of bitmaps is not possible", node->filename);
        return false;
    }
    return true;
}

/* ---- tables and bits ---- */

static int read_table(BlockNode *node, const Bitmap *b, uint64_t **table)
{
    uint64_t *t = block_try_alloc(node, MAX(8ull * b->table_size, 8));
    int ret = t ? bdrv_co_pread(node->file, b->table_offset, 8ull * b->table_size, t, 0) : -ENOMEM;

    for (uint32_t i = 0; ret == 0 && i < b->table_size; i++) {
        t[i] = load_be64(&t[i]);
    }
    if (ret < 0) {
        free(t);
        return ret;
    }
    *table = t;
    return 0;
}

static uint64_t bits_bytes(uint64_t size, unsigned granularity_bits)
{
    return DIV_ROUND_UP(DIV_ROUND_UP(size, 1ull << granularity_bits), 8);
}

static int load_bits(BlockNode *node, const Bitmap *b, uint8_t **bits_out, uint64_t *bytes_out)
{
    Qcow2State *s = node->state;
    uint64_t bytes = bits_bytes(node->size, b->granularity_bits), *table = NULL;
    uint8_t *bits = NULL;
    int ret = 0;

    if (bytes > MAX_BITS_BYTES || DIV_ROUND_UP(bytes, s->cluster_size) != b->table_size) {
        return -EINVAL;
    }
    ret = read_table(node, b, &table);
    if (ret == 0 && !(bits = calloc(1, MAX(ROUND_UP(bytes, s->cluster_size), 1)))) {
        ret = -ENOMEM;
    }
    for (uint32_t i = 0; i < b->table_size && ret == 0; i++) {
        uint64_t offset = table[i] & QCOW2_OFFSET_MASK;
        if (offset) {
            ret = offset & s->cluster_mask ? -EINVAL
                                           : bdrv_co_pread(node->file, offset, s->cluster_size,
                                                           bits + i * s->cluster_size, 0);
        } else if (table[i] & 1) {
            memset(bits + i * s->cluster_size, 0xff, s->cluster_size);
        }
    }
    free(table);
    if (ret < 0) {
        free(bits);
        return ret;
    }
    *bits_out = bits;
    *bytes_out = bytes;
    return 0;
}

static int free_storage(BlockNode *node, const Bitmap *b)
{
    Qcow2State *s = node->state;
    uint64_t *table;
    int ret = b->table_size ? read_table(node, b, &table) : 0;

    if (ret < 0 || !b->table_size) {
        return ret;
    }
    for (uint32_t i = 0; i < b->table_size; i++) {
        uint64_t offset = table[i] & QCOW2_OFFSET_MASK;
        if (offset && !(offset & s->cluster_mask)) {
            qcow2_free_later(node, offset, s->cluster_size, true);
        }
    }
    qcow2_free_later(node, b->table_offset, 8ull * b->table_size, true);
    free(table);
    return 0;
}

/* New clusters for the bits, and a new table: b leads to them. bits NULL: none is set. */
static int store_bits(BlockNode *node, Bitmap *b, const uint8_t *bits)
{
    Qcow2State *s = node->state;
    uint64_t bytes = bits_bytes(node->size, b->granularity_bits), offset = 0;
    uint32_t entries = (uint32_t)DIV_ROUND_UP(bytes, s->cluster_size);
    uint64_t *table = calloc(MAX(entries, 1), 8);
    uint8_t *cluster = block_alloc(node, s->cluster_size);
    int ret = table ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < entries && ret == 0 && bits; i++) {
        uint64_t n = MIN(s->cluster_size, bytes - i * s->cluster_size);
        if (buffer_is_zero(bits + i * s->cluster_size, n)) {
            continue;
        }
        memset(cluster, 0, s->cluster_size);
        memcpy(cluster, bits + i * s->cluster_size, n);
        ret = qcow2_alloc(node, 1, true, &offset, NULL);
        ret = ret < 0 ? ret : bdrv_co_pwrite(node->file, offset, s->cluster_size, cluster, 0);
        store_be64(&table[i], offset);
    }
    if (ret == 0) {
        ret = qcow2_alloc(node, MAX(DIV_ROUND_UP(8ull * entries, s->cluster_size), 1), true,
                          &offset, NULL);
        ret = ret < 0 ? ret : bdrv_co_pwrite(node->file, offset, 8ull * entries, table, 0);
    }
    free(cluster);
    free(table);
    if (ret == 0) {
        b->table_offset = offset;
        b->table_size = entries;
    }
    return ret;
}

int qcow2_each_bitmap_cluster(BlockNode *node,
                              int (*fn)(void *opaque, uint64_t offset, uint64_t bytes),
                              void *opaque)
{
    Qcow2State *s = node->state;
    Directory d;
    int ret = read_directory(node, &d);

    ret = ret < 0 || !s->bitmap_count ? ret : fn(opaque, s->bitmap_dir_offset, s->bitmap_dir_size);
    for (unsigned i = 0; i < d.count && ret == 0; i++) {
        uint64_t *table = NULL;
        ret = fn(opaque, d.list[i].table_offset, 8ull * d.list[i].table_size);
        ret = ret < 0 ? ret : read_table(node, &d.list[i], &table);
        for (uint32_t j = 0; j < d.list[i].table_size && ret == 0; j++) {
            if (table[j] & QCOW2_OFFSET_MASK) {
                ret = fn(opaque, table[j] & QCOW2_OFFSET_MASK, s->cluster_size);
            }
        }
        free(table);
    }
    free_directory(&d);
    return ret;
}

/* ---- information ---- */

typedef struct InfoCall {
    BlockNode *node;
    InfoTree *info;
} InfoCall;

static void co_add_info(void *opaque)
{
    InfoCall *call = opaque;
    Directory d;

    if (read_directory(call->node, &d) < 0 || !d.count) {
        return;
    }
    InfoTree *list = info_add(call->info, "bitmaps", INFO_LIST);
    for (unsigned i = 0; i < d.count; i++) {
        const Bitmap *b = &d.list[i];
        InfoTree *t = info_add(list, NULL, INFO_OBJECT), *flags = info_add(t, "flags", INFO_LIST);
        if (b->flags & IN_USE) {
            info_add_string(flags, NULL, "in-use");
        }
        if (b->flags & AUTO) {
            info_add_string(flags, NULL, "auto");
        }
        info_add_string(t, "name", b->name);
        info_add_int(t, "granularity", 1ull << b->granularity_bits);
    }
    free_directory(&d);
}

void qcow2_add_bitmap_info(BlockNode *node, InfoTree *info)
{
    InfoCall call = {node, info};

    coroutine_run(co_add_info, &call);
}

static int co_list(BlockNode *node, BitmapInfo **list)
{
    Directory d;
    int ret = read_directory(node, &d);

    *list = calloc(MAX(d.count, 1), sizeof(**list));
    if (!*list) {
        ret = -ENOMEM;
    }
    for (unsigned i = 0; i < d.count && ret >= 0; i++) {
        BitmapInfo *info = &(*list)[i];
        strcpy(info->name, d.list[i].name);
        info->granularity = d.list[i].granularity_bits < 32 ? 1u << d.list[i].granularity_bits : 0;
        info->enabled = d.list[i].flags & AUTO;
        info->inconsistent = d.list[i].flags & IN_USE;
    }
    ret = ret < 0 ? ret : (int)d.count;
    free_directory(&d);
    return ret;
}

/* ---- changing ---- */

static Bitmap *find(Directory *d, const char *name)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (!strcmp(d->list[i].name, name)) {
            return &d->list[i];
        }
    }
    return NULL;
}

/* Reads the directory under the lock and finds name; NULL with an error, unlocked. */
static Bitmap *begin_change(BlockNode *node, const char *name, Directory *d, Error **errp)
{
    Qcow2State *s = node->state;

    co_mutex_lock(&s->lock);
    int ret = read_directory(node, d);
    Bitmap *b = ret < 0 ? NULL : find(d, name);
    if (b) {
        return b;
    }
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read its directory of bitmaps",
                        node->filename);
    } else {
        error_set(errp, "image %s has no bitmap '%s'", node->filename, name);
    }
    free_directory(d);
    co_mutex_unlock(&s->lock);
    return NULL;
}

static bool end_change(BlockNode *node, const char *name, Directory *d, int ret, Error **errp)
{
    Qcow2State *s = node->state;

    ret = ret < 0 ? ret : write_directory(node, d);
    ret = ret < 0 ? ret : qcow2_settle(node);
    free_directory(d);
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot change bitmap '%s' of %s", name, node->filename);
    }
    return ret == 0;
}

static bool check_new(BlockNode *node, const Directory *d, const char *name, Error **errp)
{
    Qcow2State *s = node->state;

    if (s->h.version < 3) {
        error_set(
            errp,
            "image %s: bitmaps need a version 3 image; 'vole-img amend -o compat=1.1' makes it one",
            node->filename);
    } else if (!*name || strlen(name) > 1023) {
        error_set(errp, "'%s': a bitmap's name has 1 to 1023 characters", name);
    } else if (find((Directory *)d, name)) {
        error_set(errp, "image %s has a bitmap '%s' already", node->filename, name);
    } else if (d->count >= QCOW2_MAX_BITMAPS) {
        error_set(errp, "image %s has %d bitmaps already", node->filename, QCOW2_MAX_BITMAPS);
    } else {
        return true;
    }
    return false;
}

static bool co_add(BlockNode *node, const char *name, uint32_t granularity, bool disabled,
                   Error **errp)
{
    Qcow2State *s = node->state;
    Directory d;

    co_mutex_lock(&s->lock);
    int ret = read_directory(node, &d);
    Bitmap *list = ret < 0 ? NULL : realloc(d.list, (d.count + 1) * sizeof(*list));
    d.list = list ? list : d.list;
    if (!list || !check_new(node, &d, name, errp)) {
        if (!list) {
            error_set_errno(errp, ret < 0 ? -ret : ENOMEM,
                            "image %s: cannot read its directory of bitmaps", node->filename);
        }
        free_directory(&d);
        co_mutex_unlock(&s->lock);
        return false;
    }
    granularity =
        granularity ? granularity : (uint32_t)MAX(MIN(s->cluster_size, DEFAULT_GRANULARITY), 4096);
    Bitmap *b = &list[d.count++];
    *b = (Bitmap){.flags = disabled ? 0 : AUTO,
                  .type = TYPE_DIRTY,
                  .granularity_bits = (uint8_t)(31 - __builtin_clz(granularity))};
    strcpy(b->name, name);
    s->bitmaps_started = false; /* the next change loads it, too */
    return end_change(node, name, &d, store_bits(node, b, NULL), errp);
}

static void untrack(Qcow2State *s, const char *name)
{
    for (Qcow2Tracked **p = &s->tracked_bitmaps, *t; (t = *p); p = &t->next) {
        if (!strcmp(t->name, name)) {
            *p = t->next;
            free(t->bits);
            free(t);
            return;
        }
    }
}

static bool co_remove(BlockNode *node, const char *name, Error **errp)
{
    Directory d;
    Bitmap *b = begin_change(node, name, &d, errp);

    if (!b) {
        return false;
    }
    untrack(node->state, name);
    int ret = free_storage(node, b);
    free(b->extra);
    memmove(b, b + 1, (size_t)(&d.list[--d.count] - b) * sizeof(*b));
    return end_change(node, name, &d, ret, errp);
}

static bool intact(BlockNode *node, const Bitmap *b, Error **errp)
{
    if (b->flags & IN_USE) {
        error_set(errp, "bitmap '%s' of %s is not intact; it can only be removed", b->name,
                  node->filename);
        return false;
    }
    if (b->type != TYPE_DIRTY || b->granularity_bits < MIN_GRANULARITY ||
        b->granularity_bits > MAX_GRANULARITY ||
        (b->extra_size && !(b->flags & EXTRA_COMPATIBLE))) {
        error_set(errp, "bitmap '%s' of %s is of a kind that is not known here", b->name,
                  node->filename);
        return false;
    }
    return true;
}

static bool give_up(BlockNode *node, Directory *d)
{
    Qcow2State *s = node->state;

    free_directory(d);
    co_mutex_unlock(&s->lock);
    return false;
}

static bool co_clear(BlockNode *node, const char *name, Error **errp)
{
    Directory d;
    Bitmap *b = begin_change(node, name, &d, errp);

    if (!b || !intact(node, b, errp)) {
        return b ? give_up(node, &d) : false;
    }
    Bitmap old = *b;
    int ret = store_bits(node, b, NULL);
    return end_change(node, name, &d, ret < 0 ? ret : free_storage(node, &old), errp);
}

static bool co_enable(BlockNode *node, const char *name, bool enable, Error **errp)
{
    Directory d;
    Bitmap *b = begin_change(node, name, &d, errp);

    if (!b || !intact(node, b, errp)) {
        return b ? give_up(node, &d) : false;
    }
    b->flags = enable ? b->flags | AUTO : b->flags & ~AUTO;
    return end_change(node, name, &d, 0, errp);
}

static void set_range(uint8_t *bits, unsigned granularity_bits, uint64_t offset, uint64_t bytes)
{
    for (uint64_t i = offset >> granularity_bits;
         bytes && i <= (offset + bytes - 1) >> granularity_bits; i++) {
        bits[i / 8] |= 1 << i % 8;
    }
}

/* Also between different granularities. */
static void merge_bits(uint8_t *to, unsigned to_bits, const uint8_t *from, uint64_t from_bytes,
                       unsigned from_bits, uint64_t size)
{
    for (uint64_t i = 0; i < from_bytes * 8; i++) {
        uint64_t offset = i << from_bits;
        if (!from[i / 8]) {
            i |= 7;
        } else if (from[i / 8] >> i % 8 & 1 && offset < size) {
            set_range(to, to_bits, offset, MIN(1ull << from_bits, size - offset));
        }
    }
}

static int load_source(BlockNode *from, const char *source, Bitmap *info, uint8_t **bits,
                       uint64_t *bytes, Error **errp)
{
    Directory d;
    int ret = from->driver->bitmaps == &qcow2_bitmaps ? read_directory(from, &d) : -ENOTSUP;

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read its bitmaps", from->filename);
        return ret;
    }
    Bitmap *b = find(&d, source);
    if (!b) {
        error_set(errp, "image %s has no bitmap '%s'", from->filename, source);
        ret = -ENOENT;
    } else if (!intact(from, b, errp)) {
        ret = -EINVAL;
    } else {
        *info = *b;
        ret = load_bits(from, b, bits, bytes);
        if (ret < 0) {
            error_set_errno(errp, -ret, "cannot read bitmap '%s' of %s", source, from->filename);
        }
    }
    free_directory(&d);
    return ret;
}

static bool co_load(BlockNode *node, const char *name, uint8_t **bits, uint64_t *bytes,
                    unsigned *granularity_bits, Error **errp)
{
    Bitmap info;

    if (load_source(node, name, &info, bits, bytes, errp) < 0) {
        return false;
    }
    *granularity_bits = info.granularity_bits;
    return true;
}

static bool co_merge(BlockNode *node, const char *name, BlockNode *from, const char *source,
                     Error **errp)
{
    Bitmap info;
    Directory d;
    uint8_t *bits, *mine;
    uint64_t bytes, my_bytes;

    if (load_source(from, source, &info, &bits, &bytes, errp) < 0) {
        return false;
    }
    Bitmap *b = begin_change(node, name, &d, errp);
    if (!b || !intact(node, b, errp)) {
        free(bits);
        return b ? give_up(node, &d) : false;
    }
    int ret = load_bits(node, b, &mine, &my_bytes);
    if (ret == 0) {
        Bitmap old = *b;
        merge_bits(mine, b->granularity_bits, bits, bytes, info.granularity_bits,
                   MIN(node->size, from->size));
        ret = store_bits(node, b, mine);
        ret = ret < 0 ? ret : free_storage(node, &old);
        free(mine);
    }
    free(bits);
    return end_change(node, name, &d, ret, errp);
}

/* The bits as they are kept up to date while the image is open. */
static uint64_t *co_bits(BlockNode *node, const char *name, unsigned *granularity_bits,
                         Error **errp)
{
    Qcow2State *s = node->state;

    co_mutex_lock(&s->lock);
    int ret = qcow2_bitmaps_start(node);
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot load its bitmaps", node->filename);
        return NULL;
    }
    for (Qcow2Tracked *t = s->tracked_bitmaps; t; t = t->next) {
        if (!strcmp(t->name, name) && !t->disabled) {
            *granularity_bits = t->granularity_bits;
            return (uint64_t *)t->bits;
        }
    }
    return NULL;
}

const BitmapOps qcow2_bitmaps = {
    .co_bits = co_bits,
    .co_add = co_add,
    .co_remove = co_remove,
    .co_clear = co_clear,
    .co_enable = co_enable,
    .co_merge = co_merge,
    .co_load = co_load,
    .co_list = co_list,
};

/* ---- while the guest writes ---- */

/* 1: it is in memory now, and marked as in use in its entry. */
static int track(BlockNode *node, Bitmap *b)
{
    Qcow2State *s = node->state;
    Qcow2Tracked *t = calloc(1, sizeof(*t));
    uint64_t bytes;
    int ret = t ? load_bits(node, b, &t->bits, &bytes) : -ENOMEM;

    if (ret < 0) {
        free(t);
        return ret;
    }
    strcpy(t->name, b->name);
    t->granularity_bits = b->granularity_bits;
    t->disabled = !(b->flags & AUTO);
    t->next = s->tracked_bitmaps;
    s->tracked_bitmaps = t;
    b->flags |= IN_USE;
    return 1;
}

/* Under the lock, before the first change. */
int qcow2_bitmaps_start(BlockNode *node)
{
    Qcow2State *s = node->state;
    Directory d;
    int changed = 0;

    if (s->bitmaps_started || !s->bitmap_count) {
        return 0;
    }
    int ret = read_directory(node, &d);
    for (unsigned i = 0; i < d.count && ret >= 0; i++) {
        Bitmap *b = &d.list[i];
        if ((b->flags & AUTO) && !(b->flags & IN_USE) && intact(node, b, NULL)) {
            ret = track(node, b);
            changed |= ret > 0;
        }
    }
    if (ret >= 0 && changed) {
        ret = write_directory(node, &d);
    }
    free_directory(&d);
    if (ret < 0) {
        qcow2_bitmaps_free(s);
        return ret;
    }
    s->bitmaps_started = true;
    return 0;
}

void qcow2_bitmaps_mark(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;

    for (Qcow2Tracked *t = s->tracked_bitmaps; t; t = t->next) {
        if (!t->disabled && offset < node->size) {
            set_range(t->bits, t->granularity_bits, offset, MIN(bytes, node->size - offset));
        }
    }
}

static void forget_tracked(Qcow2State *s, bool disabled_only)
{
    for (Qcow2Tracked **p = &s->tracked_bitmaps, *t; (t = *p);) {
        if (disabled_only && !t->disabled) {
            p = &t->next;
            continue;
        }
        *p = t->next;
        free(t->bits);
        free(t);
    }
}

/* Also leads the directory to them; they stay in memory. */
static int store_tracked(BlockNode *node, bool disabled_only)
{
    Qcow2State *s = node->state;
    Directory d;
    int ret = read_directory(node, &d);

    for (Qcow2Tracked *t = s->tracked_bitmaps; t && ret == 0; t = t->next) {
        Bitmap *b = t->disabled || !disabled_only ? find(&d, t->name) : NULL;
        if (b) {
            Bitmap old = *b;
            ret = store_bits(node, b, t->bits);
            ret = ret < 0 ? ret : free_storage(node, &old);
            b->flags &= ~IN_USE;
        }
    }
    ret = ret < 0 ? ret : write_directory(node, &d);
    free_directory(&d);
    return ret;
}

int qcow2_bitmaps_store(BlockNode *node)
{
    Qcow2State *s = node->state;
    int ret = s->tracked_bitmaps ? store_tracked(node, false) : 0;

    qcow2_bitmaps_free(s);
    s->bitmaps_started = false;
    return ret;
}

void qcow2_bitmaps_free(Qcow2State *s)
{
    forget_tracked(s, false);
}

/* ---- a new size of the disk ---- */

static bool can_resize(BlockNode *node, const Bitmap *b, uint64_t size, Error **errp)
{
    if (!intact(node, b, errp)) {
        return false;
    }
    if (bits_bytes(size, b->granularity_bits) > MAX_BITS_BYTES) {
        error_set(errp, "image %s: a size of %" PRIu64 " is too large for bitmap '%s'",
                  node->filename, size, b->name);
        return false;
    }
    return true;
}

static Qcow2Tracked *find_tracked(Qcow2State *s, const char *name)
{
    Qcow2Tracked *t = s->tracked_bitmaps;

    while (t && strcmp(t->name, name)) {
        t = t->next;
    }
    return t;
}

/* Room for the bits of a disk of `size`; those behind the present end are clear. */
static int make_room(BlockNode *node, Qcow2Tracked *t, uint64_t size)
{
    Qcow2State *s = node->state;
    uint64_t have = ROUND_UP(bits_bytes(node->size, t->granularity_bits), s->cluster_size),
             need = ROUND_UP(bits_bytes(size, t->granularity_bits), s->cluster_size);
    uint8_t *bits = need > have ? realloc(t->bits, need) : t->bits;

    if (!bits) {
        return -ENOMEM;
    }
    if (need > have) {
        memset(bits + have, 0, need - have);
    }
    t->bits = bits;
    for (DirtyBitmap *b = node->dirty; b; b = b->next) {
        if (b->persistent && !strcmp(b->name, t->name)) {
            b->words = (uint64_t *)bits;
        }
    }
    return 0;
}

bool qcow2_bitmaps_before_resize(BlockNode *node, uint64_t size, Error **errp)
{
    Qcow2State *s = node->state;
    Directory d;

    if (!s->bitmap_count) {
        return true;
    }
    int ret = qcow2_bitmaps_start(node);
    ret = ret < 0 ? ret : read_directory(node, &d);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read its bitmaps", node->filename);
        return false;
    }
    bool ok = true;
    for (unsigned i = 0; i < d.count && ok; i++) {
        Bitmap b = d.list[i];
        if (find_tracked(s, b.name)) {
            b.flags &= ~(uint32_t)IN_USE; /* by us */
        }
        ok = can_resize(node, &b, size, errp);
    }
    for (unsigned i = 0; i < d.count && ok && ret >= 0; i++) {
        ret = find_tracked(s, d.list[i].name) ? ret : track(node, &d.list[i]);
    }
    for (Qcow2Tracked *t = s->tracked_bitmaps; ok && t && ret >= 0; t = t->next) {
        ret = make_room(node, t, size);
    }
    ret = ok && ret >= 0 ? write_directory(node, &d) : ret;
    free_directory(&d);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot load its bitmaps", node->filename);
    }
    if (!ok || ret < 0) {
        forget_tracked(s, true);
    }
    return ok && ret >= 0;
}

/* What lies behind the end is no longer marked. */
static void clear_behind(Qcow2Tracked *t, uint64_t old, uint64_t size)
{
    const uint64_t most = bits_bytes(old, t->granularity_bits) * 8;
    uint64_t i = DIV_ROUND_UP(size, 1ull << t->granularity_bits);

    for (; i < most && i % 8; i++) {
        t->bits[i / 8] &= (uint8_t) ~(1u << i % 8);
    }
    if (i < most) {
        memset(t->bits + i / 8, 0, (most - i) / 8);
    }
}

int qcow2_bitmaps_after_resize(BlockNode *node, uint64_t old)
{
    Qcow2State *s = node->state;
    int ret = 0;

    for (Qcow2Tracked *t = s->tracked_bitmaps; t; t = t->next) {
        clear_behind(t, old, node->size);
    }
    for (DirtyBitmap *b = node->dirty; b; b = b->next) {
        if (b->persistent) {
            b->granules = DIV_ROUND_UP(node->size, dirty_granularity(b));
        }
    }
    if (s->tracked_bitmaps) {
        ret = store_tracked(node, true);
        ret = ret < 0 ? ret : qcow2_settle(node);
    }
    /* On failure they are stored with the others at close, or known as not intact. */
    if (ret == 0) {
        forget_tracked(s, true);
    }
    return ret;
}
