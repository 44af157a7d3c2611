/*
 * Fuzzer of disk images: takes seeds of a format, damages them (in their tables more than in their
 * data), and does with each what a user and a guest would: open, ask, read, write, zero, discard,
 * flush, snapshots, check and repair, close. Built with sanitizers it shall end without a finding,
 * and no image may take long. What it does follows from the seed alone. Seconds are the
 * processor's.
 *
 *     block --format NAME [--runs N] [--seconds N] [--seed N] SEED-FILE...
 *     block --format NAME --run FILE...        each file once, as it is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/luks.h"
#include "block/mem.h"
#include "block/util.h"
#include "block/vhdx.h"
#include "tests/rng.h"
#include "util/secret.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    MAX_SEEDS = 256,
    MAX_PARTS = 4,
    MAX_IMAGE = 10 << 20,
    SECONDS_AN_IMAGE = 20,
    CHUNK = 192 * 1024
};

/* ---- seeds and damage ---- */

static struct {
    uint8_t *data;
    size_t size;
} seeds[MAX_SEEDS];
static unsigned seed_count;

static uint8_t image[MAX_IMAGE];
static size_t image_size;
static int messages; /* descriptor for what we have to say */

/* What images consist of besides: the seeds part-*, as files beside them. */
typedef struct Part {
    MemDisk *disk;
    uint8_t *data;
    size_t size;
} Part;

static Part parts[MAX_PARTS];
static unsigned part_count;

static void restore_parts(void)
{
    for (unsigned i = 0; i < part_count; i++) {
        mem_disk_set(parts[i].disk, parts[i].data, parts[i].size);
    }
}

static void read_seed(const char *name)
{
    FILE *f = fopen(name, "rb");
    uint8_t *data = malloc(MAX_IMAGE);
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

    if (!f || !data || seed_count == MAX_SEEDS || part_count == MAX_PARTS) {
        dprintf(messages, "cannot read %s\n", name);
        exit(1);
    }
    if (!strncmp(base, "part-", 5)) {
        Part *p = &parts[part_count++];
        p->size = fread(data, 1, MAX_IMAGE, f);
        p->data = data;
        char beside[32];
        snprintf(beside, sizeof(beside), "fuzz/%s", base);
        p->disk = mem_disk_new(beside, data, p->size);
        p->disk->max = 64 << 20;
        fclose(f);
        return;
    }
    seeds[seed_count].size = fread(data, 1, MAX_IMAGE, f);
    seeds[seed_count++].data = data;
    fclose(f);
}

/* A place: the header, a spot that holds something, anywhere. */
static size_t place(size_t bytes)
{
    if (below(3) == 0) {
        return below(MIN(image_size, 128)) & ~(bytes - 1);
    }
    for (unsigned tries = 0; tries < 40; tries++) {
        size_t at = below(image_size) & ~(bytes - 1);
        if (at + 8 < image_size && (image[at] | image[at + 1] | image[at + 2] | image[at + 3]) &&
            below(4)) {
            return at;
        }
    }
    return below(image_size) & ~(bytes - 1);
}

static uint64_t odd_value(void)
{
    switch (below(8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return 1ull << below(64);
    case 3:
        return below(16);
    case 4:
        return below(image_size) & ~511ull;
    case 5:
        return (below(image_size) & ~511ull) | 1ull << 63;
    case 6:
        return (1ull << below(64)) - 1;
    default:
        return rng();
    }
}

static void damage(void)
{
    size_t width = 1u << below(4), at = place(width);
    uint64_t v = odd_value();

    if (at + 8 > image_size) {
        return;
    }
    switch (below(6)) {
    case 0:
        image[at] ^= 1 << below(8);
        break;
    case 1: /* big-endian, little-endian */
        v = below(2) ? htobe64(v << (64 - 8 * width)) : v;
        memcpy(image + at, &v, width);
        break;
    case 2: /* a little more or less */
        image[at + (below(2) ? width - 1 : 0)] += (uint8_t)(below(5) - 2);
        break;
    case 3: { /* one piece over another */
        size_t n = 8 << below(7), from = below(image_size) & ~7ull;
        n = MIN(n, MIN(image_size - at, image_size - from));
        memmove(image + at, image + from, n);
        break;
    }
    case 4:
        if (below(8) == 0) {
            image_size = MAX(below(image_size), 16);
        }
        break;
    default:
        v = odd_value();
        v = below(2) ? htobe64(v) : v;
        memcpy(image + (at & ~7ull), &v, 8);
    }
}

/* The entries of a vhdx log, each behind its magic; those across the ring's end as far as they go.
 */
static void mend_log(void)
{
    uint64_t log = load_le64(image + VX_HEADER_1 + XH_LOG_OFFSET);
    uint64_t bytes = load_le32(image + VX_HEADER_1 + XH_LOG_LENGTH);

    if (log > image_size || bytes > image_size - log) {
        return;
    }
    for (uint64_t at = 0; at < bytes; at += VX_SECTOR) {
        uint8_t *e = image + log + at;
        uint32_t length = load_le32(e + 8);
        if (memcmp(e, "loge", 4) != 0 || length < VX_SECTOR || length > bytes) {
            continue;
        }
        uint32_t behind = (uint32_t)MIN(length, bytes - at), crc;
        store_le32(e + 4, 0);
        crc = vhdx_crc32c(0, e, behind);
        store_le32(e + 4, vhdx_crc32c(crc, image + log, length - behind));
    }
}

/* Checksums that would keep all damage out become right again, mostly. */
static void mend_checksums(void)
{
    static const size_t headers[] = {VX_HEADER_1, VX_HEADER_2};
    static const size_t tables[] = {VX_REGIONS_1, VX_REGIONS_2};

    if (image_size < VX_MB || memcmp(image, VX_FILE_MAGIC, 8) != 0 || !below(4)) {
        return;
    }
    if (below(2)) {
        mend_log();
    }
    for (size_t i = 0; i < 2; i++) {
        uint8_t *h = image + headers[i], *t = image + tables[i];
        store_le32(h + 4, vhdx_checksum(h, XH_HEADER, 4));
        store_le32(t + 4, vhdx_checksum(t, VX_REGIONS_SIZE, 4));
    }
}

/* Places that a format has far behind its start. */
static void damage_vhdx(void)
{
    static const size_t places[] = {VX_HEADER_1,
                                    VX_HEADER_2,
                                    VX_REGIONS_1,
                                    VX_REGIONS_2,
                                    1 << 20,
                                    2 << 20,
                                    (2 << 20) + 65536,
                                    3 << 20,
                                    (2 << 20) - 2 * VX_SECTOR,
                                    (2 << 20) - 3 * VX_SECTOR};
    size_t at = places[below(ARRAY_SIZE(places))] + (below(128) & ~3ull);

    if (at + 8 <= image_size) {
        uint64_t v = odd_value();
        memcpy(image + at, &v, 1u << below(4));
    }
}

static void make_image(void)
{
    unsigned i = (unsigned)below(seed_count);

    image_size = seeds[i].size;
    memcpy(image, seeds[i].data, image_size);
    for (uint64_t n = 1 + below(below(3) ? 3 : 20); n; n--) {
        damage();
        if (image_size > VX_MB && !memcmp(image, VX_FILE_MAGIC, 8)) {
            damage_vhdx();
        }
    }
    mend_checksums();
}

/* ---- use ---- */

static uint8_t buf[CHUNK];

static void use_data(BlockChild *c)
{
    BlockNode *node = bdrv_child_node(c);
    uint64_t size = bdrv_size(node);

    for (unsigned i = 0; i < 12; i++) {
        uint64_t bytes = (1 + below(below(2) ? 16 : sizeof(buf) / 512)) * 512;
        uint64_t offset = below(4) ? below(MIN(size, 512 << 10)) & ~511ull : below(size) & ~511ull;
        if (offset + bytes > size) {
            continue;
        }
        switch (below(bdrv_readonly(node) ? 2 : 7)) {
        case 0:
        case 1:
            bdrv_pread(c, offset, bytes, buf);
            break;
        case 2:
        case 3:
            bdrv_pwrite(c, offset, bytes, buf, below(4) ? 0 : BDRV_REQ_COMPRESSED);
            break;
        case 4:
            bdrv_pwrite_zeroes(c, offset, bytes, below(2) ? BDRV_REQ_MAY_UNMAP : 0);
            break;
        case 5:
            bdrv_pdiscard(c, offset, bytes);
            break;
        default:
            bdrv_flush(node);
        }
    }
}

static void use_status(BlockNode *node)
{
    uint64_t offset = 0, n;

    for (unsigned i = 0; i < 200 && offset < bdrv_size(node); i++, offset += n) {
        BlockNode *file;
        uint64_t map;
        if (bdrv_block_status_above(node, NULL, true, offset, bdrv_size(node) - offset, &n, &map,
                                    &file, NULL) < 0) {
            return;
        }
        n = MAX(n, 512);
    }
}

static void use_information(BlockNode *node)
{
    BlockInfo info;
    BlockSnapshot *list;

    bdrv_get_info(node, &info);
    info_free(bdrv_specific_info(node));
    bdrv_snapshot_list(node, &list);
    bdrv_snapshots_free(list);
}

static void use_snapshots(BlockNode *node)
{
    BlockSnapshot sn = {.name = "new"}, *list;
    int n = bdrv_snapshot_list(node, &list);

    if (n > 0 && below(2)) {
        bdrv_snapshot_goto(node, list[below(n)].id, NULL);
    }
    if (n > 0 && below(2)) {
        bdrv_snapshot_delete(node, list[below(n)].id, NULL);
    }
    bdrv_snapshots_free(list);
    if (below(2)) {
        bdrv_snapshot_create(node, &sn, NULL);
    }
    bdrv_save_vmstate(node, below(100000), buf, 5000);
    bdrv_load_vmstate(node, below(100000), buf, 5000);
}

static void use(const char *format, MemDisk *disk)
{
    static const unsigned flags[] = {0, BDRV_O_RDWR | BDRV_O_UNMAP, BDRV_O_RDWR | BDRV_O_UNMAP,
                                     BDRV_O_RDWR | BDRV_O_CHECK};
    BlockOptions *o = blkopts_new();
    unsigned mode = (unsigned)below(4);
    BlockCheck check = {0};

    mem_disk_set(disk, image, image_size);
    restore_parts();
    if (below(10)) {
        blkopts_set(o, "driver", format);
        if (!strcmp(format, "luks") || !strcmp(format, "qcow2") || !strcmp(format, "qcow")) {
            blkopts_set(o, strcmp(format, "luks") ? "encrypt.key-secret" : "key-secret", "s0");
        }
    }
    BlockChild *c =
        bdrv_open_root("mem:fuzz/image", o, flags[mode] | (below(4) ? BDRV_O_NO_BACKING : 0), NULL);
    if (!c) {
        return;
    }
    BlockNode *node = bdrv_child_node(c);
    use_information(node);
    if (mode == 3 || below(4) == 0) {
        bdrv_check(node, &check, bdrv_readonly(node) ? 0 : below(4));
    }
    use_status(node);
    use_data(c);
    if (!bdrv_readonly(node) && below(3) == 0) {
        use_snapshots(node);
        use_data(c);
    }
    if (!bdrv_readonly(node) && below(6) == 0) {
        bdrv_truncate(c, below(2 << 20) & ~511ull, false, PREALLOC_OFF, NULL);
        use_data(c);
    }
    if (below(6) == 0) {
        bdrv_reopen(node, below(2), NULL);
        use_data(c);
    }
    if (!bdrv_readonly(node) && below(8) == 0) {
        bdrv_make_empty(c);
        use_data(c);
    }
    bdrv_root_detach(c);
}

/* ---- running ---- */

static void too_long(int number)
{
    int fd = creat("fuzz-block-slow.img", 0644);

    if (fd >= 0 && write(fd, image, image_size) < 0) {
        _exit(1);
    }
    dprintf(messages,
            "an image took longer than %d seconds: fuzz-block-slow.img, state %" PRIu64 "\n",
            SECONDS_AN_IMAGE, rng_state);
    abort();
}

/* Of the processor: others may be busy on this machine. */
static void limit_time(int seconds)
{
    struct itimerval timer = {.it_value.tv_sec = seconds};

    setitimer(ITIMER_PROF, &timer, NULL);
}

/* When it crashes, the image is there to look at. */
static void __attribute__((unused)) keep_image(void)
{
    FILE *f = fopen("fuzz-block-crash.img", "wb");

    if (f) {
        fwrite(image, 1, image_size, f);
        fclose(f);
    }
}

/* What the block stack says of bad images is thrown away; sanitizers write to the descriptor
 * itself. */
static void silence(void)
{
    messages = 2;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_death_callback(keep_image);
#endif
    if (!getenv("FUZZ_MESSAGES")) {
        stderr = fopen("/dev/null", "w");
    }
}

int main(int argc, char **argv)
{
    const char *format = NULL;
    uint64_t runs = 2000, seed = 1, done = 0;
    clock_t seconds = 0;
    bool as_they_are = false;

    silence();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--format")) {
            format = value, i++;
        } else if (!strcmp(argv[i], "--runs")) {
            runs = strtoull(value, NULL, 10), i++;
        } else if (!strcmp(argv[i], "--seconds")) {
            seconds = (clock_t)strtoull(value, NULL, 10), i++;
        } else if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(value, NULL, 10), i++;
        } else if (!strcmp(argv[i], "--run")) {
            as_they_are = true;
        } else {
            read_seed(argv[i]);
        }
    }
    if (!format || !bdrv_find_format(format) || !seed_count) {
        dprintf(messages,
                "usage: block --format NAME [--runs N] [--seconds N] [--seed N] SEED...\n");
        return 1;
    }
    loop_init();
    machine_lock();
    signal(SIGPROF, too_long);
    secret_add("--object", "secret,id=s0,data=fuzz", NULL);
    luks_max_iterations = 30000; /* more is slow, not wrong */
    MemDisk *disk = mem_disk_new("fuzz/image", NULL, 0);
    disk->max = 64 << 20;
    runs = as_they_are ? seed_count : seconds ? UINT64_MAX : runs;
    for (; done < runs && (!seconds || clock() < seconds * CLOCKS_PER_SEC); done++) {
        rng_state = (seed << 32) + done + 1;
        rng();
        if (as_they_are) {
            image_size = seeds[done].size;
            memcpy(image, seeds[done].data, image_size);
        } else {
            make_image();
        }
        limit_time(SECONDS_AN_IMAGE);
        use(format, disk);
        limit_time(0);
    }
    mem_disk_free(disk);
    printf("%s: %" PRIu64 " images\n", format, done);
    return 0;
}
