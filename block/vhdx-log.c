/*
 * vhdx: the log, which makes changes of the block table atomic, and the headers.
 *
 * An entry holds sectors of 4 KB and where they belong. It is written and flushed before they are
 * written to their places; after a crash the newest sequence of whole entries is replayed. Our
 * entries are sequences of one: all before has been flushed to its place when the next is written.
 * They alternate between the log's halves, so an entry that is being written never harms the one
 * that counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/util.h"
#include "block/vhdx.h"

enum {
    LE_CHECKSUM = 4,
    LE_LENGTH = 8,
    LE_TAIL = 12,
    LE_SEQUENCE = 16,
    LE_DESCRIPTORS = 24,
    LE_GUID = 32,
    LE_FLUSHED = 48,
    LE_LAST = 56,
    LE_HEADER = 64,

    LD_TRAILING = 4,
    LD_LEADING = 8, /* zero descriptors: the length */
    LD_OFFSET = 16,
    LD_SEQUENCE = 24,
    LD_DESCRIPTOR = 32,

    DATA_HIGH = 4,
    DATA_BYTES = 8,
    DATA_LOW = 4092,
    DATA_SIZE = 4084,

    PIECES = 100, /* an entry's, so that two fit into a log of 1 MB, each with one head sector */
    WINDOW_BYTES = 256 << 10,
    MAX_ZEROED = 4, /* times the file, by all zero descriptors of a log together */
};
#define ENTRY_MAGIC 0x65676f6cu   /* "loge" */
#define ZERO_MAGIC  0x6f72657au   /* "zero" */
#define DESC_MAGIC  0x63736564u   /* "desc" */
#define DATA_MAGIC  0x61746164u   /* "data" */
#define MAX_GROWTH  (64ull << 30) /* of the file, that a log may say is missing */

/* ---- sums and names ---- */

/* CRC-32C (Castagnoli), reflected polynomial 0x82f63b78. */
uint32_t vhdx_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    static uint32_t table[256];
    const uint8_t *p = data;

    for (uint32_t i = table[255] ? 256 : 0; i < 256; i++) {
        uint32_t r = i;
        for (unsigned bit = 0; bit < 8; bit++) {
            r = r >> 1 ^ (r & 1 ? 0x82f63b78u : 0);
        }
        table[i] = r;
    }
    crc = ~crc;
    while (bytes--) {
        crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    }
    return ~crc;
}

uint32_t vhdx_checksum(const uint8_t *data, size_t bytes, size_t field)
{
    static const uint8_t zero[4];
    uint32_t crc = vhdx_crc32c(0, data, field);

    crc = vhdx_crc32c(crc, zero, sizeof(zero));
    return vhdx_crc32c(crc, data + field + 4, bytes - field - 4);
}

void vhdx_new_guid(uint8_t *guid)
{
    if (getrandom(guid, VX_GUID, 0) != VX_GUID) {
        memset(guid, 1, VX_GUID);
    }
    guid[7] = (guid[7] & 0x0f) | 0x40;
    guid[8] = (guid[8] & 0x3f) | 0x80;
}

/* ---- headers ---- */

int vhdx_write_header(VhdxState *s, BlockChild *file)
{
    uint8_t h[XH_HEADER];
    unsigned other = !s->current;

    memcpy(h, s->header, sizeof(h));
    store_le64(h + XH_SEQUENCE, load_le64(h + XH_SEQUENCE) + 1);
    store_le32(h + XH_CHECKSUM, vhdx_checksum(h, sizeof(h), XH_CHECKSUM));
    int ret = bdrv_co_pwrite(file, other ? VX_HEADER_2 : VX_HEADER_1, sizeof(h), h, 0);
    ret = ret < 0 ? ret : bdrv_co_flush(file->node);
    if (ret == 0) {
        memcpy(s->header, h, sizeof(h));
        s->current = other;
    }
    return ret;
}

/* With another GUID for the log; all zeroes: there is none. */
static int name_log(VhdxState *s, BlockChild *file, const uint8_t *guid)
{
    uint8_t old[VX_GUID];

    memcpy(old, s->header + XH_LOG, VX_GUID);
    memcpy(s->header + XH_LOG, guid, VX_GUID);
    int ret = vhdx_write_header(s, file);
    if (ret < 0) {
        memcpy(s->header + XH_LOG, old, VX_GUID);
    }
    return ret;
}

/* ---- writing ---- */

/* Sectors 1... of the entry hold the pieces, the last one filled up with zeroes. */
static void make_entry(const VhdxState *s, BlockNode *file, const SparsePiece *pieces,
                       unsigned count, uint32_t tail, uint8_t *entry)
{
    const uint32_t length = (count + 1) * VX_SECTOR;
    const uint64_t size = file->size;

    memset(entry, 0, length);
    store_le32(entry, ENTRY_MAGIC);
    store_le32(entry + LE_LENGTH, length);
    store_le32(entry + LE_TAIL, tail);
    store_le64(entry + LE_SEQUENCE, s->log_sequence);
    store_le32(entry + LE_DESCRIPTORS, count);
    memcpy(entry + LE_GUID, s->header + XH_LOG, VX_GUID);
    store_le64(entry + LE_FLUSHED, ROUND_DOWN(size, VX_MB));
    store_le64(entry + LE_LAST, ROUND_UP(size, VX_MB));
    for (unsigned i = 0; i < count; i++) {
        uint8_t *d = entry + LE_HEADER + i * LD_DESCRIPTOR, *data = entry + (i + 1) * VX_SECTOR;
        uint8_t sector[VX_SECTOR] = {0};
        memcpy(sector, pieces[i].data, pieces[i].bytes);
        store_le32(d, DESC_MAGIC);
        memcpy(d + LD_TRAILING, sector + DATA_LOW, 4);
        memcpy(d + LD_LEADING, sector, 8);
        store_le64(d + LD_OFFSET, pieces[i].offset);
        store_le64(d + LD_SEQUENCE, s->log_sequence);
        store_le32(data, DATA_MAGIC);
        store_le32(data + DATA_HIGH, (uint32_t)(s->log_sequence >> 32));
        memcpy(data + DATA_BYTES, sector + 8, DATA_SIZE);
        store_le32(data + DATA_LOW, (uint32_t)s->log_sequence);
    }
    store_le32(entry + LE_CHECKSUM, vhdx_checksum(entry, length, LE_CHECKSUM));
}

static int log_some(SparseMap *m, const SparsePiece *pieces, unsigned count, uint8_t *entry)
{
    VhdxState *s = m->opaque;
    uint32_t at = s->half ? (uint32_t)(s->log_length / 2) : 0;

    s->log_sequence++;
    make_entry(s, m->file->node, pieces, count, at, entry);
    int ret = bdrv_co_pwrite(m->file, s->log_offset + at, (count + 1ull) * VX_SECTOR, entry, 0);
    ret = ret < 0 ? ret : bdrv_co_flush(m->file->node);
    for (unsigned i = 0; i < count && ret == 0; i++) {
        ret = bdrv_co_pwrite(m->file, pieces[i].offset, pieces[i].bytes, pieces[i].data, 0);
    }
    s->half = !s->half;
    return ret;
}

/* The barrier before this has brought the pieces of the last call to their places. */
int vhdx_co_log(SparseMap *m, const SparsePiece *pieces, unsigned count)
{
    VhdxState *s = m->opaque;
    uint8_t guid[VX_GUID], *entry;
    int ret = 0;

    if (!s->logging) {
        vhdx_new_guid(guid);
        ret = name_log(s, m->file, guid);
        if (ret < 0) {
            return ret;
        }
        s->logging = true;
    }
    entry = block_try_alloc(m->node, (PIECES + 1) * VX_SECTOR);
    if (!entry) {
        return -ENOMEM;
    }
    for (unsigned at = 0, n; at < count && ret == 0; at += n) {
        n = MIN(count - at, PIECES);
        ret = log_some(m, pieces + at, n, entry);
        if (ret == 0 && at + n < count) {
            ret = bdrv_co_flush(m->file->node);
        }
    }
    free(entry);
    return ret;
}

int vhdx_end_log(BlockNode *node)
{
    static const uint8_t none[VX_GUID];
    VhdxState *s = node->state;
    int ret = sparse_flush(&s->map);

    if (ret < 0 || !s->logging) {
        return ret;
    }
    ret = bdrv_co_flush(node->file->node);
    ret = ret < 0 ? ret : name_log(s, node->file, none);
    if (ret == 0) {
        s->logging = false;
    }
    return ret;
}

/* ---- replaying ---- */

/* A piece of the log, as much as was asked for together. */
typedef struct Window {
    uint8_t *data;
    uint32_t at, bytes; /* in the log; 0 bytes: nothing yet */
} Window;

enum { HEADS, DATA, WINDOWS }; /* what the windows look at */

typedef struct Replay {
    BlockNode *node;
    const VhdxState *s;
    uint32_t length; /* of the log, which is a ring */
    Window windows[WINDOWS];
    uint32_t *sizes;    /* of the entry that begins in this sector; 0: none does */
    uint64_t budget;    /* bytes that may still be summed: a damaged log must not take for ever */
    uint64_t file_size; /* as entries leave it */
    uint64_t written;   /* behind it nobody has written anything: zeroes */
    uint64_t zeroed;    /* bytes before it that zero descriptors cover */
    int error;          /* of reading the log */
} Replay;

/* A sector of the log; it stays until the same window is asked for another one. */
static const uint8_t *sector_at(Replay *r, int window, uint64_t offset)
{
    Window *w = &r->windows[window];
    uint32_t at = ROUND_DOWN((uint32_t)(offset % r->length), VX_SECTOR);

    if (at < w->at || at - w->at >= w->bytes) {
        w->at = at;
        w->bytes = MIN(WINDOW_BYTES, r->length - at);
        int ret = bdrv_co_pread(r->node->file, r->s->log_offset + at, w->bytes, w->data, 0);
        if (ret < 0) {
            r->error = ret;
            memset(w->data, 0, w->bytes);
        }
    }
    return w->data + (at - w->at) + offset % VX_SECTOR;
}

/* The log is a ring; sums over what may wrap. */
static bool entry_sum_fits(Replay *r, uint32_t at, uint32_t length)
{
    uint8_t first[VX_SECTOR];
    uint32_t crc, wanted;

    if (r->budget < length) {
        return false;
    }
    r->budget -= length;
    memcpy(first, sector_at(r, HEADS, at), sizeof(first));
    wanted = load_le32(first + LE_CHECKSUM);
    memset(first + LE_CHECKSUM, 0, 4);
    crc = vhdx_crc32c(0, first, sizeof(first));
    for (uint32_t done = VX_SECTOR; done < length; done += VX_SECTOR) {
        crc = vhdx_crc32c(crc, sector_at(r, DATA, (uint64_t)at + done), VX_SECTOR);
    }
    return crc == wanted;
}

static uint32_t head_sectors(uint32_t descriptors)
{
    return (uint32_t)DIV_ROUND_UP(LE_HEADER + (uint64_t)descriptors * LD_DESCRIPTOR, VX_SECTOR);
}

static const uint8_t *descriptor(Replay *r, uint32_t at, uint32_t i)
{
    return sector_at(r, HEADS, at + (uint64_t)LE_HEADER + (uint64_t)i * LD_DESCRIPTOR);
}

static bool whole_data_sector(const uint8_t *data, uint64_t sequence)
{
    return load_le32(data) == DATA_MAGIC && load_le32(data + DATA_HIGH) == sequence >> 32 &&
           load_le32(data + DATA_LOW) == (uint32_t)sequence;
}

/* All descriptors and data sectors belong to this entry. */
static bool whole_parts(Replay *r, uint32_t at, uint32_t count, uint32_t length, uint64_t sequence)
{
    uint64_t sectors = head_sectors(count);

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *d = descriptor(r, at, i);
        bool has_data = load_le32(d) == DESC_MAGIC;
        if (load_le64(d + LD_SEQUENCE) != sequence || (!has_data && load_le32(d) != ZERO_MAGIC)) {
            return false;
        }
        if (has_data &&
            ((sectors + 1) * VX_SECTOR > length ||
             !whole_data_sector(sector_at(r, DATA, at + sectors * VX_SECTOR), sequence))) {
            return false;
        }
        sectors += has_data;
    }
    return sectors * VX_SECTOR <= length;
}

/* Its length in bytes, or 0. */
static uint32_t whole_entry(Replay *r, uint32_t at)
{
    const uint8_t *e = sector_at(r, HEADS, at);
    uint32_t length = load_le32(e + LE_LENGTH), count = load_le32(e + LE_DESCRIPTORS);
    uint64_t sequence = load_le64(e + LE_SEQUENCE);

    if (load_le32(e) != ENTRY_MAGIC || !length || length % VX_SECTOR || length > r->length ||
        load_le32(e + LE_TAIL) % VX_SECTOR || load_le32(e + LE_TAIL) >= r->length || !sequence ||
        memcmp(e + LE_GUID, r->s->header + XH_LOG, VX_GUID) != 0 ||
        count > length / LD_DESCRIPTOR || !entry_sum_fits(r, at, length)) {
        return 0;
    }
    return whole_parts(r, at, count, length, sequence) ? length : 0;
}

static uint64_t sequence_at(Replay *r, uint32_t at)
{
    return load_le64(sector_at(r, HEADS, at) + LE_SEQUENCE);
}

static uint32_t tail_of(Replay *r, uint32_t head)
{
    return load_le32(sector_at(r, HEADS, head) + LE_TAIL);
}

/* Whether the entries from the tail that `head` names up to itself are all there, in a row. */
static bool whole_sequence(Replay *r, uint32_t head)
{
    uint32_t at = tail_of(r, head);

    for (uint32_t steps = 0; steps <= r->length / VX_SECTOR; steps++) {
        uint32_t size = r->sizes[at / VX_SECTOR];
        if (!size) {
            return false;
        }
        if (at == head) {
            return true;
        }
        uint32_t next = (uint32_t)(((uint64_t)at + size) % r->length);
        if (!r->sizes[next / VX_SECTOR] || sequence_at(r, next) != sequence_at(r, at) + 1) {
            return false;
        }
        at = next;
    }
    return false;
}

/* The newest sequence's head; false: there is nothing to replay. */
static bool find_head(Replay *r, uint32_t *head)
{
    uint64_t best = 0;

    for (uint64_t at = 0; at < r->length; at += VX_SECTOR) {
        r->sizes[at / VX_SECTOR] = whole_entry(r, (uint32_t)at);
    }
    for (uint64_t at = 0; at < r->length; at += VX_SECTOR) {
        if (r->sizes[at / VX_SECTOR] && sequence_at(r, (uint32_t)at) > best &&
            whole_sequence(r, (uint32_t)at)) {
            best = sequence_at(r, (uint32_t)at);
            *head = (uint32_t)at;
        }
    }
    return best != 0;
}

/* The part of a zero descriptor that has to be written. */
static uint64_t zeroes_to_write(const Replay *r, uint64_t offset, uint64_t length)
{
    return offset < r->written ? MIN(length, r->written - offset) : 0;
}

/* Before anything is changed: what the entry writes lies in the file, as long as the entry says
 * that is, and is not for ever. */
static bool check_entry(Replay *r, uint32_t at)
{
    const uint8_t *e = sector_at(r, HEADS, at);
    uint32_t count = load_le32(e + LE_DESCRIPTORS);
    uint64_t old = r->node->file->node->size, last = load_le64(e + LE_LAST);

    if (load_le64(e + LE_FLUSHED) > r->file_size || last > old + MAX_GROWTH) {
        return false; /* the file was cut off */
    }
    r->file_size = MAX(r->file_size, last);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *d = descriptor(r, at, i);
        bool has_data = load_le32(d) == DESC_MAGIC;
        uint64_t offset = load_le64(d + LD_OFFSET);
        uint64_t length = has_data ? VX_SECTOR : load_le64(d + LD_LEADING);
        if ((offset | length) % VX_SECTOR || offset > r->file_size ||
            length > r->file_size - offset) {
            return false;
        }
        r->zeroed += has_data ? 0 : zeroes_to_write(r, offset, length);
        r->written = has_data ? MAX(r->written, offset + length) : r->written;
    }
    return r->zeroed <= MAX_ZEROED * old;
}

static int replay_data(Replay *r, const uint8_t *d, const uint8_t *data)
{
    uint64_t offset = load_le64(d + LD_OFFSET);
    uint8_t sector[VX_SECTOR];

    memcpy(sector, d + LD_LEADING, 8);
    memcpy(sector + 8, data + DATA_BYTES, DATA_SIZE);
    memcpy(sector + DATA_LOW, d + LD_TRAILING, 4);
    r->written = MAX(r->written, offset + sizeof(sector));
    return bdrv_co_pwrite(r->node->file, offset, sizeof(sector), sector, 0);
}

/* As holes where the host can. */
static int replay_zeroes(const Replay *r, const uint8_t *d)
{
    uint64_t offset = load_le64(d + LD_OFFSET);
    uint64_t n = zeroes_to_write(r, offset, load_le64(d + LD_LEADING));

    return n ? bdrv_co_pwrite_zeroes(r->node->file, offset, n, BDRV_REQ_MAY_UNMAP) : 0;
}

static int replay_entry(Replay *r, uint32_t at)
{
    const uint8_t *e = sector_at(r, HEADS, at);
    uint32_t count = load_le32(e + LE_DESCRIPTORS);
    uint64_t last = load_le64(e + LE_LAST);
    uint64_t data = at + (uint64_t)head_sectors(count) * VX_SECTOR;
    int ret = 0;

    /* What it says of blocks is only true of a file of this length. */
    if (last > r->node->file->node->size &&
        !bdrv_co_truncate(r->node->file, last, false, PREALLOC_OFF, NULL)) {
        return -EIO;
    }
    for (uint32_t i = 0; i < count && ret == 0; i++) {
        const uint8_t *d = descriptor(r, at, i);
        if (load_le32(d) == DESC_MAGIC) {
            ret = replay_data(r, d, sector_at(r, DATA, data));
            data += VX_SECTOR;
        } else {
            ret = replay_zeroes(r, d);
        }
    }
    return ret;
}

static uint32_t entry_behind(const Replay *r, uint32_t at)
{
    return (uint32_t)(((uint64_t)at + r->sizes[at / VX_SECTOR]) % r->length);
}

/* -EBADMSG: it was not begun, as it cannot be. */
static int replay_sequence(Replay *r, uint32_t head)
{
    const uint32_t tail = tail_of(r, head);
    const uint64_t size = r->node->file->node->size;
    uint32_t at = tail;
    int ret = 0;

    r->file_size = r->written = size;
    bool fits = check_entry(r, at);
    while (fits && at != head) {
        at = entry_behind(r, at);
        fits = check_entry(r, at);
    }
    if (!fits) {
        return -EBADMSG;
    }
    r->written = size;
    ret = replay_entry(r, at = tail);
    while (ret == 0 && at != head) {
        at = entry_behind(r, at);
        ret = replay_entry(r, at);
    }
    ret = ret < 0 ? ret : r->error;
    return ret < 0 ? ret : bdrv_co_flush(r->node->file->node);
}

static bool replay(Replay *r, Error **errp)
{
    static const uint8_t none[VX_GUID];
    VhdxState *s = r->node->state;
    uint32_t head;
    bool found = find_head(r, &head);

    if (r->error < 0) {
        error_set_errno(errp, -r->error, "image %s: cannot read its log", r->node->filename);
        return false;
    }
    if (found && r->node->readonly) {
        error_set(errp,
                  "image %s has a log that has to be replayed, as a program crashed; open it for "
                  "writing once ('vole-img check -r all')",
                  r->node->filename);
        return false;
    }
    int ret = found ? replay_sequence(r, head) : 0;
    if (ret == -EBADMSG) {
        error_set(errp,
                  "image %s: its log cannot be replayed, as it is of a longer file, which was cut "
                  "off, or damaged",
                  r->node->filename);
        return false;
    }
    if (ret == 0 && !r->node->readonly) {
        ret = name_log(s, r->node->file, none);
        s->log_sequence = found ? sequence_at(r, head) : 0;
    }
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: its log cannot be replayed", r->node->filename);
        return false;
    }
    s->replayed = found;
    return true;
}

bool vhdx_replay_log(BlockNode *node, Error **errp)
{
    static const uint8_t none[VX_GUID];
    VhdxState *s = node->state;
    Replay r = {.node = node, .s = s, .length = (uint32_t)s->log_length};

    if (!memcmp(s->header + XH_LOG, none, VX_GUID)) {
        return true;
    }
    r.sizes = calloc(r.length / VX_SECTOR, sizeof(*r.sizes));
    r.budget = 2ull * r.length;
    bool ok = r.sizes;
    for (int i = 0; i < WINDOWS; i++) {
        r.windows[i].data = block_try_alloc(node, WINDOW_BYTES);
        ok = ok && r.windows[i].data;
    }
    if (!ok) {
        error_set(errp, "image %s: no memory for its log", node->filename);
    }
    ok = ok && replay(&r, errp);
    for (int i = 0; i < WINDOWS; i++) {
        free(r.windows[i].data);
    }
    free(r.sizes);
    return ok;
}
