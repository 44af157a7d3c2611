/*
 * The format "luks": a whole disk encrypted behind a LUKS header of version 1 (luks-header.c), as
 * cryptsetup and dm-crypt use it on Linux hosts. Read, written, made; key slots are added and
 * erased (amend).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/luks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/util.h"

typedef struct LuksState {
    LuksHeader h;
    Cipher *cipher; /* NULL: opened only to look at the header */
    char *secret;   /* whose password opened it */
} LuksState;

static int luks_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= 8 && !memcmp(head, "LUKS\xba\xbe", 6) ? 100 : 0;
}

static bool luks_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    LuksState *s = node->state;

    if (!bdrv_open_file_child(node, options, errp)) {
        return false;
    }
    BlockNode *file = node->file->node;
    if (!luks_read_header(node->file, 0, file->size, &s->h, node->filename, errp)) {
        return false;
    }
    if (!s->h.payload || s->h.payload > file->size) {
        error_set(errp, "image %s: LUKS header: the disk begins behind the end of the file",
                  node->filename);
        return false;
    }
    char *secret = blkopts_take(options, "key-secret");
    if (!(node->flags & BDRV_O_NO_IO)) {
        s->cipher = luks_unlock(node->file, 0, &s->h, secret, node->filename, errp);
    }
    if (!s->cipher && !(node->flags & BDRV_O_NO_IO)) {
        free(secret);
        return false;
    }
    s->secret = secret;
    node->size = ROUND_DOWN(file->size - s->h.payload, CIPHER_SECTOR);
    node->encrypted = true;
    node->request_alignment = CIPHER_SECTOR;
    return true;
}

static void luks_co_close(BlockNode *node)
{
    LuksState *s = node->state;

    cipher_free(s->cipher);
    free(s->secret);
}

static int luks_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    LuksState *s = node->state;

    return s->cipher ? crypt_co_preadv(s->cipher, node->file, s->h.payload + offset,
                                       offset / CIPHER_SECTOR, bytes, v, at)
                     : -EACCES;
}

static int luks_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    LuksState *s = node->state;

    return s->cipher ? crypt_co_pwritev(s->cipher, node->file, s->h.payload + offset,
                                        offset / CIPHER_SECTOR, bytes, v, at)
                     : -EACCES;
}

static bool luks_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                             Error **errp)
{
    LuksState *s = node->state;

    if (size > INT64_MAX - s->h.payload) {
        error_set(errp, "image %s: the size is too large", node->filename);
        return false;
    }
    if (!bdrv_co_truncate(node->file, s->h.payload + size, exact, prealloc, errp)) {
        return false;
    }
    node->size = ROUND_DOWN(node->file->node->size - s->h.payload, CIPHER_SECTOR);
    return true;
}

static int luks_co_get_info(BlockNode *node, BlockInfo *info)
{
    return 0; /* has no clusters */
}

static void luks_get_specific(BlockNode *node, InfoTree *info)
{
    LuksState *s = node->state;

    luks_add_info(&s->h, NULL, info);
}

static bool luks_co_amend(BlockNode *node, BlockOptions *options, bool force,
                          BlockProgress *progress, void *opaque, Error **errp)
{
    LuksState *s = node->state;

    return luks_co_change_slots(node->file, 0, node->file->node->size, &s->h, options, s->secret,
                                force, node->filename, errp);
}

/* ---- creating ---- */

static const BlockOptionDesc luks_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"key-secret", "ID", "the secret with the password (--object secret,id=ID,file=FILE)"},
    {"cipher-alg", "NAME", "aes-128, aes-192, aes-256 (the default), serpent-, twofish-, cast5-"},
    {"cipher-mode", "ecb|cbc|xts|ctr", "how blocks are chained (xts)"},
    {"ivgen-alg", "plain|plain64|essiv", "what makes sectors differ (plain64)"},
    {"ivgen-hash-alg", "HASH", "of essiv (sha256)"},
    {"hash-alg", "HASH", "of the password: sha1, sha256 (the default), sha512 ..."},
    {"iter-time", "MS", "how long trying a password takes (2000)"},
    {"preallocation", "off|falloc|full", "storage from the beginning"},
    {0},
};

static bool luks_co_create(BlockCreate *create, Error **errp)
{
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    static const BlockPrealloc prealloc[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL};
    int mode = 0;
    LuksFormat f;
    bool ok = luks_take_format(create->options, &f, errp) &&
              blkopts_take_word(create->options, "preallocation", modes, &mode, errp) &&
              blkopts_check_empty(create->options, "luks", luks_create_options, errp) &&
              luks_check_format(&f, create->filename, errp);
    create->expected = ok ? luks_format_bytes(&f) + create->size : 0;
    BlockChild *root =
        ok ? bdrv_create_attach(create, BLK_PERM_READ | BLK_PERM_WRITE | BLK_PERM_RESIZE, errp)
           : NULL;

    ok = root && luks_write_new(root, 0, &f, create->filename, errp) &&
         bdrv_co_truncate(root, luks_format_bytes(&f) + create->size, false, prealloc[mode], errp);
    bdrv_root_detach(root);
    free(f.secret);
    return ok;
}

static bool luks_measure(BlockOptions *options, BlockNode *source, uint64_t size,
                         BlockMeasure *measure, Error **errp)
{
    LuksFormat f;
    bool ok = luks_take_format(options, &f, errp);

    blkopts_remove(options, "preallocation");
    measure->required = measure->fully_allocated =
        ok ? luks_format_bytes(&f) + (source ? source->size : ROUND_UP(size, BLK_SECTOR_SIZE)) : 0;
    free(f.secret);
    return ok;
}

static const BlockOptionDesc luks_options[] = {
    {"key-secret", "ID", "the secret with the password"},
    {0},
};

const BlockDriver bdrv_luks = {
    .name = "luks",
    .state_size = sizeof(LuksState),
    .open_options = luks_options,
    .create_options = luks_create_options,
    .amend_options = luks_amend_options,
    .probe = luks_probe,
    .co_open = luks_co_open,
    .co_close = luks_co_close,
    .co_create = luks_co_create,
    .co_amend = luks_co_amend,
    .co_preadv = luks_co_preadv,
    .co_pwritev = luks_co_pwritev,
    .co_truncate = luks_co_truncate,
    .co_get_info = luks_co_get_info,
    .get_specific = luks_get_specific,
    .measure = luks_measure,
};
