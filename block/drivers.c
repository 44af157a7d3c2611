/*
 * Every format and protocol, in the order in which they are tried: a driver is known by its row
 * here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "block/driver.h"
#include "block/drivers.h"
#include "block/host-device.h"

const BlockDriver *const block_drivers[] = {
    &bdrv_raw,
    &bdrv_qcow2,
    &bdrv_bochs,
    &bdrv_qcow,
    &bdrv_vdi,
    &bdrv_vmdk,
    &bdrv_vpc,
    &bdrv_vhdx,
    &bdrv_parallels,
    &bdrv_luks,
    &bdrv_cloop,
    &bdrv_dmg,
    /* protocols; plain files come last, as they take every name */
    &bdrv_vvfat,
    &bdrv_mem,
    &bdrv_overlay,
    &bdrv_null_co,
    &bdrv_null_aio,
    &bdrv_nbd,
    &bdrv_blkdebug,
    &bdrv_blklogwrites,
    CURL_DRIVERS RBD_DRIVERS
    &bdrv_host_device,
    &bdrv_host_cdrom,
    &bdrv_host_floppy,
    &bdrv_file,
    NULL,
};

const BlockDriver *bdrv_find_driver(const char *name)
{
    for (size_t i = 0; block_drivers[i]; i++) {
        if (!strcmp(block_drivers[i]->name, name)) {
            return block_drivers[i];
        }
    }
    return NULL;
}

const BlockDriver *bdrv_find_format(const char *name)
{
    const BlockDriver *driver = bdrv_find_driver(name);

    return driver && !driver->protocol ? driver : NULL;
}

/* "word:rest", but not "./word:rest" or "dir/word:rest". */
static size_t prefix_length(const char *filename)
{
    size_t n = strcspn(filename, ":/");

    return filename[n] == ':' ? n : 0;
}

static bool has_word(const char *words, const char *word, size_t n)
{
    for (const char *w = words; w && *w; w += strspn(w, " ")) {
        size_t length = strcspn(w, " ");
        if (length == n && !strncmp(w, word, n)) {
            return true;
        }
        w += length;
    }
    return false;
}

const BlockDriver *bdrv_find_protocol(const char *filename, Error **errp)
{
    size_t n = prefix_length(filename);

    for (size_t i = 0; n && block_drivers[i]; i++) {
        if (has_word(block_drivers[i]->protocol, filename, n)) {
            return block_drivers[i];
        }
    }
    if (has_word("http https ftp ftps rbd", filename, n)) {
        error_set(errp, "%s: this build is without %s, which such names need", filename,
                  *filename == 'r' ? "librbd" : "libcurl");
        return NULL;
    }
    if (n && strncmp(filename, "file:", 5) != 0) {
        error_set(errp, "%s: unknown protocol '%.*s'; a file with such a name is written ./%s",
                  filename, (int)n, filename, filename);
        return NULL;
    }
    return host_driver_for(n ? filename + strlen("file:") : filename);
}

const BlockDriver *bdrv_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    const BlockDriver *best = &bdrv_raw;
    int score = 0;

    for (size_t i = 0; block_drivers[i]; i++) {
        const BlockDriver *driver = block_drivers[i];
        int s = driver->probe ? driver->probe(head, bytes, filename) : 0;
        if (s > score) {
            score = s;
            best = driver;
        }
    }
    return best;
}
