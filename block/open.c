/*
 * Opening: from a file name and options to a node with all that lies below it; guessing the format;
 * backing chains; making images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"

/* The first sector decides about the format. It is always written as a whole, so io.c sees by one
 * request whether a guest makes another format of its raw disk. */
enum { PROBE_BYTES = 512, MAX_CHAIN = 200 };

const char *const bdrv_prealloc_names[] = {
    [PREALLOC_OFF] = "off",
    [PREALLOC_METADATA] = "metadata",
    [PREALLOC_FALLOC] = "falloc",
    [PREALLOC_FULL] = "full",
    NULL,
};

BlockNode *bdrv_new_node(const BlockDriver *driver, const char *filename, const char *node_name,
                         unsigned flags);
void bdrv_free_node(BlockNode *node);

static BlockNode *co_open_image(const char *filename, BlockOptions *options, unsigned flags,
                                unsigned depth, Error **errp);

/* ---- options every node takes ---- */

static const BlockOptionDesc generic_options[] = {
    {"driver", "NAME", "the format or protocol"},
    {"node-name", "NAME", "how other options name this node"},
    {"read-only", "on|off", "refuse writes"},
    {"auto-read-only", "on|off", "read-only where writing is not possible"},
    {"force-share", "on|off", "also while another program writes it"},
    {"cache.direct", "on|off", "past the host's page cache"},
    {"cache.no-flush", "on|off", "do not pass flushes on"},
    {"discard", "ignore|unmap", "whether discards give storage back"},
    {"detect-zeroes", "off|on|unmap", "make writes of zeroes into holes"},
    {0},
};

static bool take_flag(BlockOptions *options, const char *key, unsigned bit, bool inverted,
                      unsigned *flags, Error **errp)
{
    bool value = ((*flags & bit) != 0) != inverted;

    if (!blkopts_take_bool(options, key, &value, errp)) {
        return false;
    }
    *flags = value != inverted ? *flags | bit : *flags & ~bit;
    return true;
}

static bool take_flags(BlockOptions *options, unsigned *flags, int *detect, Error **errp)
{
    static const char *const discards[] = {"ignore", "off", "unmap", "on", NULL};
    static const char *const detects[] = {"off", "on", "unmap", NULL};
    int discard = *flags & BDRV_O_UNMAP ? 2 : 0;

    if (!take_flag(options, "read-only", BDRV_O_RDWR, true, flags, errp) ||
        !take_flag(options, "auto-read-only", BDRV_O_AUTO_READONLY, false, flags, errp) ||
        !take_flag(options, "force-share", BDRV_O_FORCE_SHARE, false, flags, errp) ||
        !take_flag(options, "cache.direct", BDRV_O_DIRECT, false, flags, errp) ||
        !take_flag(options, "cache.no-flush", BDRV_O_NO_FLUSH, false, flags, errp) ||
        !blkopts_take_word(options, "discard", discards, &discard, errp) ||
        !blkopts_take_word(options, "detect-zeroes", detects, detect, errp)) {
        return false;
    }
    *flags = discard >= 2 ? *flags | BDRV_O_UNMAP : *flags & ~BDRV_O_UNMAP;
    if ((*flags & BDRV_O_FORCE_SHARE) && (*flags & BDRV_O_RDWR)) {
        error_set(errp, "force-share=on is for reading only; add read-only=on");
        return false;
    }
    return true;
}

/* ---- children ---- */

/* What a child inherits. */
static unsigned child_flags(unsigned flags, ChildRole role)
{
    unsigned inherited =
        BDRV_O_DIRECT | BDRV_O_NO_FLUSH | BDRV_O_UNMAP | BDRV_O_FORCE_SHARE | BDRV_O_CHECK;

    if (role == CHILD_BACKING) {
        return flags & inherited & ~BDRV_O_CHECK;
    }
    return (flags & (inherited | BDRV_O_RDWR | BDRV_O_AUTO_READONLY | BDRV_O_RESIZE)) |
           (role == CHILD_FILE || role == CHILD_DATA ? BDRV_O_PROTOCOL : 0);
}

static bool has_driver(const BlockOptions *sub)
{
    return blkopts_get(sub, "driver") || blkopts_get(sub, "filename");
}

bool bdrv_open_child(BlockNode *parent, const char *filename, BlockOptions *options,
                     const char *name, ChildRole role, bool optional, BlockChild **child,
                     Error **errp)
{
    char *reference = blkopts_take(options, name);
    BlockOptions *sub = blkopts_take_sub(options, name);
    BlockNode *node = NULL;

    *child = NULL;
    if (reference) {
        node = bdrv_find_node(reference);
        if (node) {
            bdrv_ref(node);
        } else {
            error_set(errp, "%s=%s: there is no such node", name, reference);
        }
        free(reference);
        blkopts_free(sub);
    } else if (!filename && !blkopts_count(sub)) {
        blkopts_free(sub);
        if (!optional) {
            error_set(errp, "%s needs an option '%s'", parent->driver->name, name);
        }
        return optional;
    } else {
        /* The options say it better than the name in a header; but a driver alone (a header's
           format of its backing file) does not say what json: says besides. */
        if (filename && has_driver(sub) &&
            (strncmp(filename, "json:", 5) != 0 || blkopts_get(sub, "filename"))) {
            filename = NULL;
        }
        node =
            co_open_image(filename, sub, child_flags(parent->flags, role), parent->depth + 1, errp);
    }
    if (!node) {
        return false;
    }
    *child = bdrv_attach_child(parent, node, name, role, errp);
    return *child != NULL;
}

bool bdrv_open_file_child(BlockNode *node, BlockOptions *options, Error **errp)
{
    if (node->file) {
        return true; /* opened for the probe */
    }
    return bdrv_open_child(node, NULL, options, "file", CHILD_FILE, false, &node->file, errp);
}

bool bdrv_open_header(BlockNode *node, BlockOptions *options, void *header, size_t bytes,
                      Error **errp)
{
    if (!bdrv_open_file_child(node, options, errp)) {
        return false;
    }
    int ret = bdrv_co_pread(node->file, 0, bytes, header, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
    }
    return ret == 0;
}

bool bdrv_bad_image(const BlockNode *node, const char *what, Error **errp)
{
    error_set(errp, "image %s: %s", node->filename, what);
    return false;
}

/* ---- backing files ---- */

char *bdrv_full_backing_name(const BlockNode *node, const char *name, Error **errp)
{
    const char *base = node->file ? node->file->node->filename : node->filename;
    size_t word = strcspn(name, ":/");
    char *full = NULL;

    if (name[0] == '/' || name[word] == ':') {
        return strdup(name);
    }
    if (!strncmp(base, "json:", 5)) {
        error_set(errp,
                  "image %s has no directory in which its backing file %s could be looked for",
                  base, name);
        return NULL;
    }
    const char *slash = strrchr(base, '/');
    if (asprintf(&full, "%.*s%s", slash ? (int)(slash + 1 - base) : 0, base, name) < 0) {
        abort();
    }
    return full;
}

static bool open_backing(BlockNode *node, BlockOptions *options, Error **errp)
{
    const char *given = blkopts_get(options, "backing");
    bool sub = blkopts_has_prefix(options, "backing");
    char *name = NULL;

    if (given && !*given) {
        blkopts_remove(options, "backing"); /* backing=: none, whatever the header says */
        return true;
    }
    if (!given && !sub && (!node->backing_file || (node->flags & BDRV_O_NO_BACKING))) {
        return true;
    }
    if (!given && node->backing_file && !blkopts_get(options, "backing.file.filename")) {
        name = bdrv_full_backing_name(node, node->backing_file, errp);
        if (!name) {
            return false;
        }
        if (node->backing_format && *node->backing_format) {
            blkopts_default(options, "backing.driver", node->backing_format);
        }
    }
    /* "driver" alone does not say which file. */
    const char *sub_file = blkopts_get(options, "backing.filename");
    if (name && !sub_file && strncmp(name, "json:", 5) != 0) {
        blkopts_set(options, "backing.filename", name);
    }
    bool ok = bdrv_open_child(node, name && !strncmp(name, "json:", 5) ? name : NULL, options,
                              "backing", CHILD_BACKING, false, &node->backing, errp);
    if (!ok) {
        error_prepend(errp, "backing file of %s: ", node->filename);
    }
    free(name);
    return ok;
}

/* ---- one node ---- */

/* Formats that are known by sight alone: who has such a file and gives no format does not mean its
 * bytes. */
static bool looks_foreign(const uint8_t *head, const char *filename, Error **errp)
{
    static const struct {
        const char *name, *magic;
        size_t offset, size;
    } foreign[] = {
        {"qed", "QED", 0, 4},
    };

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (!memcmp(head + foreign[i].offset, foreign[i].magic, foreign[i].size)) {
            error_set(errp,
                      "image %s looks like format %s, which is not supported; convert it to raw, "
                      "or give the format raw to "
                      "use its bytes as they are",
                      filename, foreign[i].name);
            return true;
        }
    }
    return false;
}

/* Opens `file` below a node to come whose format is not known, and looks at it. */
static const BlockDriver *probe_format(BlockNode *file, const char *filename, Error **errp)
{
    uint8_t head[PROBE_BYTES];
    BlockChild *root =
        bdrv_root_attach(bdrv_ref(file), BLK_PERM_READ, BLK_PERM_ALL, NULL, NULL, errp);

    if (!root) {
        return NULL;
    }
    memset(head, 0, sizeof(head));
    int ret =
        file->size
            ? bdrv_co_pread(root, 0, file->size < PROBE_BYTES ? file->size : PROBE_BYTES, head, 0)
            : 0;
    bdrv_root_detach(root);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot read image %s", filename);
        return NULL;
    }
    const BlockDriver *driver = bdrv_probe(head, PROBE_BYTES, filename);
    return strcmp(driver->name, "raw") == 0 && looks_foreign(head, filename, errp) ? NULL : driver;
}

static bool is_node_name(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (!isalpha((unsigned char)*p) &&
            (p == name || (!isdigit((unsigned char)*p) && !strchr("-._", *p)))) {
            return false;
        }
    }
    return *name && strlen(name) < 32;
}

/* Fills and opens a new node; NULL with an error. */
static BlockNode *open_with_driver(const BlockDriver *driver, const char *filename, BlockNode *file,
                                   BlockOptions *options, unsigned flags, bool probed,
                                   unsigned depth, Error **errp)
{
    int detect = 0;
    char *node_name = blkopts_take(options, "node-name");
    bool ok = true;

    if (node_name && (!is_node_name(node_name) || bdrv_find_node(node_name))) {
        error_set(
            errp,
            bdrv_find_node(node_name)
                ? "there is a node '%s' already"
                : "'%s' is no name for a node; possible: a letter, then letters, digits, '-', '.' "
                  "and '_', up to 31 in all",
            node_name);
        ok = false;
    }
    ok = ok && take_flags(options, &flags, &detect, errp);
    if (!ok) {
        free(node_name);
        bdrv_unref(file);
        return NULL;
    }
    BlockNode *node = bdrv_new_node(driver, filename, node_name, flags);
    free(node_name);
    node->probed = probed;
    node->depth = depth;
    node->detect_zeroes = detect != 0;
    node->detect_zeroes_unmap = detect == 2;
    node->options = blkopts_copy(options);
    if (file && driver->protocol) {
        bdrv_unref(file);
    } else if (file) {
        node->readonly = node->readonly || file->readonly; /* auto-read-only below */
        node->file = bdrv_attach_child(node, file, "file", CHILD_FILE, errp);
        ok = node->file != NULL;
    }
    ok = ok && driver->co_open(node, options, errp);
    if (!ok) {
        bdrv_free_node(node);
        return NULL;
    }
    if (!*node->filename && node->file) {
        /* A filter that options describe. */
        free(node->filename);
        node->filename = strdup(node->file->node->filename);
        if (!node->filename) {
            error_exit("out of memory");
        }
    }
    if (node->file && !driver->protocol && node->file->node->readonly) {
        node->readonly = true;
    }
    if ((!driver->supports_backing || open_backing(node, options, errp)) &&
        blkopts_check_empty(options, driver->name, driver->open_options, errp)) {
        return node;
    }
    node->flags |= BDRV_O_NO_IO;
    bdrv_unref(node);
    return NULL;
}

/* The protocol below a format, when the options do not spell it out. */
static BlockNode *open_below(const char *filename, BlockOptions *options, unsigned flags,
                             unsigned depth, Error **errp)
{
    char *reference = blkopts_take(options, "file");
    BlockOptions *sub = blkopts_take_sub(options, "file");
    static const char *const for_file[] = {"aio", "locking", NULL};

    if (reference) {
        BlockNode *node = bdrv_find_node(reference);
        if (!node) {
            error_set(errp, "file=%s: there is no such node", reference);
        }
        free(reference);
        blkopts_free(sub);
        return node ? bdrv_ref(node) : NULL;
    }
    for (size_t i = 0; for_file[i]; i++) {
        char *value = blkopts_take(options, for_file[i]);
        if (value) {
            blkopts_default(sub, for_file[i], value);
        }
        free(value);
    }
    return co_open_image(has_driver(sub) ? NULL : filename, sub, child_flags(flags, CHILD_FILE),
                         depth + 1, errp);
}

static BlockNode *open_format(const char *filename, const char *format, BlockOptions *options,
                              unsigned flags, unsigned depth, Error **errp)
{
    const BlockDriver *driver = format ? bdrv_find_driver(format) : NULL;
    BlockNode *file = NULL;

    if (format && !driver) {
        error_set(errp, "unknown format '%s'", format);
        return NULL;
    }
    if (filename || !driver || blkopts_get(options, "file") ||
        blkopts_has_prefix(options, "file")) {
        unsigned below = flags;
        int detect;
        BlockOptions *looked = blkopts_copy(options);
        bool ok = take_flags(looked, &below, &detect, errp);
        blkopts_free(looked);
        file = ok ? open_below(filename, options, below, depth, errp) : NULL;
        if (!file) {
            return NULL;
        }
        filename = filename ? filename : file->filename;
    }
    if (!driver) {
        driver = probe_format(file, filename, errp);
        if (!driver) {
            bdrv_unref(file);
            return NULL;
        }
    }
    return open_with_driver(driver, filename, file, options, flags, !format, depth, errp);
}

static BlockNode *open_protocol(const char *filename, const char *name, BlockOptions *options,
                                unsigned flags, unsigned depth, Error **errp)
{
    const BlockDriver *driver = name ? bdrv_find_driver(name) : bdrv_find_protocol(filename, errp);

    if (!driver) {
        if (name) {
            error_set(errp, "unknown protocol '%s'", name);
        }
        return NULL;
    }
    if (filename && driver->parse_filename && !driver->parse_filename(filename, options, errp)) {
        return NULL;
    }
    const char *shown = filename ? filename : blkopts_get(options, "filename");
    return open_with_driver(driver, shown, NULL, options, flags, false, depth, errp);
}

/* Takes over options. */
static BlockNode *co_open_image(const char *filename, BlockOptions *options, unsigned flags,
                                unsigned depth, Error **errp)
{
    BlockNode *node = NULL;
    char *name = NULL;

    if (depth > MAX_CHAIN) {
        error_set(errp, "the chain of backing files is longer than %d images, or a circle",
                  MAX_CHAIN);
        goto out;
    }
    if (filename && !strncmp(filename, "json:", 5)) {
        BlockOptions *json = blkopts_new();
        bool ok = blkopts_parse_json(json, filename + 5, errp);
        for (unsigned i = 0; ok && i < blkopts_count(json); i++) {
            blkopts_default(options, blkopts_key(json, i), blkopts_value(json, i));
        }
        blkopts_free(json);
        filename = NULL;
        if (!ok) {
            goto out;
        }
    }
    char *driver = blkopts_take(options, "driver");
    const BlockDriver *known = driver ? bdrv_find_driver(driver) : NULL;
    if (driver && known && known->protocol) {
        node = open_protocol(filename, driver, options, flags, depth, errp);
    } else {
        if (!filename) {
            filename = name = blkopts_take(options, "filename");
        }
        if ((flags & BDRV_O_PROTOCOL) && !driver) {
            if (!filename) {
                error_set(errp, "an image needs an option 'driver' or 'filename'");
            } else {
                node =
                    open_protocol(filename, NULL, options, flags & ~BDRV_O_PROTOCOL, depth, errp);
            }
        } else {
            node = open_format(filename, driver, options, flags & ~BDRV_O_PROTOCOL, depth, errp);
        }
    }
    free(driver);
out:
    free(name);
    blkopts_free(options);
    return node;
}

typedef struct Open {
    const char *filename;
    BlockOptions *options;
    unsigned flags;
    BlockNode *node;
    Error **errp;
} Open;

static void co_open(void *opaque)
{
    Open *o = opaque;
    char *reference = blkopts_take(o->options, "node");

    if (reference) {
        o->node = bdrv_find_node(reference);
        if (o->node) {
            bdrv_ref(o->node);
        } else {
            error_set(o->errp, "there is no node '%s'", reference);
        }
        free(reference);
        blkopts_free(o->options);
        return;
    }
    o->node = co_open_image(o->filename, o->options, o->flags, 0, o->errp);
}

BlockNode *bdrv_open(const char *filename, BlockOptions *options, unsigned flags, Error **errp)
{
    Error *err = NULL; /* the cleaning up behind a failure asks whether there is one */
    Open o = {filename, options ? options : blkopts_new(), flags, NULL, &err};

    coroutine_run(co_open, &o);
    if (err) {
        error_propagate(errp, err);
    }
    return o.node;
}

const BlockOptionDesc *bdrv_generic_options(void);
const BlockOptionDesc *bdrv_generic_options(void)
{
    return generic_options;
}
