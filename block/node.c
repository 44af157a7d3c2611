/*
 * The graph of nodes: who uses whom, and what each may do with it.
 *
 * A child belongs to its parent and holds a reference on the node it leads to. It says what the
 * parent does with the node (perm) and what it bears others doing (shared); a use that does not go
 * together with the others is refused when it is attached. Between programs the same question is
 * settled by locks on the file (file-lock.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/dirty.h"
#include "block/driver.h"

static BlockNode *nodes;

/* ---- life ---- */

static char *copy_string(const char *s)
{
    char *copy = strdup(s);

    if (!copy) {
        error_report("out of memory");
        abort();
    }
    return copy;
}

BlockNode *bdrv_new_node(const BlockDriver *driver, const char *filename, const char *node_name,
                         unsigned flags);
void bdrv_free_node(BlockNode *node);

/* An unopened node with one reference. */
BlockNode *bdrv_new_node(const BlockDriver *driver, const char *filename, const char *node_name,
                         unsigned flags)
{
    static unsigned serial;
    char name[32];
    BlockNode *node = calloc(1, sizeof(*node));

    snprintf(name, sizeof(name), "#block%u", serial++);
    if (!node || !(node->state = calloc(1, driver->state_size ? driver->state_size : 1))) {
        error_report("out of memory");
        abort();
    }
    node->driver = driver;
    node->filename = copy_string(filename ? filename : "");
    node->node_name = copy_string(node_name ? node_name : name);
    node->flags = flags;
    node->readonly = !(flags & BDRV_O_RDWR);
    node->request_alignment = node->memory_alignment = 1;
    node->refs = 1;
    BlockNode **last = &nodes;
    while (*last) {
        last = &(*last)->next;
    }
    *last = node;
    return node;
}

/* Frees what was never opened, or is closed; its children go first. */
void bdrv_free_node(BlockNode *node)
{
    while (node->children) {
        bdrv_detach_child(node->children);
    }
    for (BlockNode **p = &nodes; *p; p = &(*p)->next) {
        if (*p == node) {
            *p = node->next;
            break;
        }
    }
    dirty_free_all(node);
    blkopts_free(node->options);
    free(node->state);
    free(node->filename);
    free(node->node_name);
    free(node->backing_file);
    free(node->backing_format);
    free(node);
}

BlockNode *bdrv_ref(BlockNode *node)
{
    node->refs++;
    return node;
}

static void close_node(void *opaque)
{
    BlockNode *node = opaque;

    if (!node->readonly || node->write_gen != node->flushed_gen) {
        int ret = bdrv_co_flush(node);
        if (ret < 0) {
            error_report("image %s could not be flushed: %s", node->filename, strerror(-ret));
        }
    }
    if (node->driver->co_close) {
        node->driver->co_close(node);
    }
    bdrv_free_node(node);
}

void bdrv_unref(BlockNode *node)
{
    if (!node || --node->refs) {
        return;
    }
    node->refs = 1; /* closing may take and drop references of its own */
    bdrv_drain(node);
    coroutine_run(close_node, node);
}

BlockNode *bdrv_find_node(const char *node_name)
{
    for (BlockNode *node = nodes; node; node = node->next) {
        if (!strcmp(node->node_name, node_name)) {
            return node;
        }
    }
    return NULL;
}

BlockNode *bdrv_next(BlockNode *node)
{
    return node ? node->next : nodes;
}

/* ---- permissions ---- */

static const char *perm_name(unsigned perm)
{
    return perm & BLK_PERM_WRITE    ? "write"
           : perm & BLK_PERM_RESIZE ? "resize"
           : perm & BLK_PERM_READ   ? "read"
                                    : "write unchanged data to";
}

static const char *user_name(const BlockChild *child)
{
    return child->parent                      ? child->parent->node_name
           : child->user && child->user->name ? child->user->name(child->user_opaque)
                                              : "another user";
}

static bool check_perms(const BlockChild *child, const BlockNode *node, unsigned perm,
                        unsigned shared, Error **errp)
{
    if (node->readonly && (perm & (BLK_PERM_WRITE | BLK_PERM_RESIZE))) {
        error_set(errp, "image %s is read-only", node->filename);
        return false;
    }
    for (const BlockChild *other = node->parents; other; other = other->next_parent) {
        unsigned wanted = perm & ~other->shared, taken = other->perm & ~shared;
        if (other == child || !(wanted | taken)) {
            continue;
        }
        error_set(errp,
                  "image %s is used by %s, which does not allow others to %s it at the same time",
                  node->filename, user_name(other), perm_name(wanted ? wanted : taken));
        return false;
    }
    return true;
}

/* What a node does with its child, by the role. */
static void default_perms(const BlockNode *parent, ChildRole role, unsigned *perm, unsigned *shared)
{
    *perm = BLK_PERM_READ;
    *shared = BLK_PERM_READ | BLK_PERM_WRITE_UNCHANGED;
    if (role != CHILD_BACKING && !parent->readonly) {
        *perm |= BLK_PERM_WRITE | BLK_PERM_RESIZE;
    }
    if (role == CHILD_FILTERED || role == CHILD_BACKING || (parent->flags & BDRV_O_FORCE_SHARE)) {
        /* A filter's own users have said what they bear. A backing file may be written by a commit
         * into it. */
        *shared = BLK_PERM_ALL;
    }
}

/* ---- children ---- */

/* A user is quiet as often as nodes below it are drained, counted for each way down to them; so
 * that has to follow when a way is made or cut. */
static unsigned drained_below(const BlockNode *node)
{
    unsigned n = node->quiesced;

    for (const BlockChild *c = node->children; c; c = c->next) {
        n += drained_below(c->node);
    }
    return n;
}

static void tell_above(const BlockChild *child, bool begin)
{
    if (child->parent) {
        for (const BlockChild *c = child->parent->parents; c; c = c->next_parent) {
            tell_above(c, begin);
        }
    } else if (child->user) {
        void (*fn)(void *) = begin ? child->user->drained_begin : child->user->drained_end;
        if (fn) {
            fn(child->user_opaque);
        }
    }
}

static void follow_drains(const BlockChild *child, bool begin)
{
    for (unsigned n = drained_below(child->node); n; n--) {
        tell_above(child, begin);
    }
}

static void link_child(BlockChild *child, BlockNode *node)
{
    BlockChild **last = &node->parents;

    while (*last) {
        last = &(*last)->next_parent;
    }
    child->node = node;
    child->next_parent = NULL;
    *last = child;
}

static void unlink_child(BlockChild *child)
{
    for (BlockChild **p = &child->node->parents; *p; p = &(*p)->next_parent) {
        if (*p == child) {
            *p = child->next_parent;
            break;
        }
    }
}

static BlockChild *new_child(BlockNode *node, const char *name, ChildRole role, unsigned perm,
                             unsigned shared)
{
    BlockChild *child = calloc(1, sizeof(*child));

    if (!child) {
        error_report("out of memory");
        abort();
    }
    child->name = copy_string(name);
    child->role = role;
    child->perm = perm;
    child->shared = shared;
    link_child(child, node);
    return child;
}

static bool reaches(const BlockNode *from, const BlockNode *to)
{
    if (from == to) {
        return true;
    }
    for (const BlockChild *c = from->children; c; c = c->next) {
        if (reaches(c->node, to)) {
            return true;
        }
    }
    return false;
}

BlockChild *bdrv_attach_child(BlockNode *parent, BlockNode *node, const char *name, ChildRole role,
                              Error **errp)
{
    unsigned perm, shared;

    if (reaches(node, parent)) {
        error_set(errp, "image %s: its %s leads back to itself", parent->filename, name);
        bdrv_unref(node);
        return NULL;
    }
    default_perms(parent, role, &perm, &shared);
    if (!check_perms(NULL, node, perm, shared, errp)) {
        bdrv_unref(node);
        return NULL;
    }
    BlockChild *child = new_child(node, name, role, perm, shared);
    child->parent = parent;
    BlockChild **last = &parent->children;
    while (*last) {
        last = &(*last)->next;
    }
    *last = child;
    follow_drains(child, true);
    return child;
}

static void forget_pointers(BlockNode *parent, const BlockChild *child)
{
    parent->file = parent->file == child ? NULL : parent->file;
    parent->data = parent->data == child ? NULL : parent->data;
    parent->backing = parent->backing == child ? NULL : parent->backing;
}

void bdrv_detach_child(BlockChild *child)
{
    BlockNode *node = child->node;

    follow_drains(child, false);
    if (child->parent) {
        forget_pointers(child->parent, child);
        for (BlockChild **p = &child->parent->children; *p; p = &(*p)->next) {
            if (*p == child) {
                *p = child->next;
                break;
            }
        }
    }
    unlink_child(child);
    free(child->name);
    free(child);
    bdrv_unref(node);
}

BlockNode *bdrv_child_node(const BlockChild *child)
{
    return child->node;
}

BlockChild *bdrv_root_attach(BlockNode *node, unsigned perm, unsigned shared, const ChildUser *user,
                             void *opaque, Error **errp)
{
    if (!check_perms(NULL, node, perm, shared, errp)) {
        bdrv_unref(node);
        return NULL;
    }
    BlockChild *child = new_child(node, "root", CHILD_ROOT, perm, shared);
    child->user = user;
    child->user_opaque = opaque;
    follow_drains(child, true);
    return child;
}

void bdrv_root_detach(BlockChild *root)
{
    if (root) {
        bdrv_detach_child(root);
    }
}

BlockChild *bdrv_open_root(const char *filename, BlockOptions *options, unsigned flags,
                           Error **errp)
{
    BlockNode *node = bdrv_open(filename, options, flags, errp);

    if (!node) {
        return NULL;
    }
    unsigned perm = BLK_PERM_READ | (node->readonly ? 0 : BLK_PERM_WRITE | BLK_PERM_RESIZE);
    unsigned shared =
        flags & BDRV_O_FORCE_SHARE ? BLK_PERM_ALL : BLK_PERM_READ | BLK_PERM_WRITE_UNCHANGED;
    return bdrv_root_attach(node, perm, shared, NULL, NULL, errp);
}

/* ---- changes of the graph ---- */

bool bdrv_replace_child(BlockChild *child, BlockNode *node, Error **errp)
{
    BlockNode *old = child->node;

    if (child->parent && reaches(node, child->parent)) {
        error_set(errp, "image %s would lead back to itself", child->parent->filename);
        return false;
    }
    if (!check_perms(child, node, child->perm, child->shared, errp)) {
        return false;
    }
    bdrv_ref(node);
    bdrv_drained_begin(old);
    bdrv_drained_begin(node);
    follow_drains(child, false);
    unlink_child(child);
    link_child(child, node);
    follow_drains(child, true);
    bdrv_drained_end(node);
    bdrv_drained_end(old);
    bdrv_unref(old);
    return true;
}

bool bdrv_replace_node(BlockNode *from, BlockNode *to, Error **errp)
{
    BlockChild *next;

    bdrv_ref(from);
    for (BlockChild *c = from->parents; c; c = next) {
        next = c->next_parent;
        if (c->parent == to || (c->parent && reaches(to, c->parent))) {
            continue;
        }
        if (!bdrv_replace_child(c, to, errp)) {
            bdrv_unref(from);
            return false;
        }
    }
    bdrv_unref(from);
    return true;
}

bool bdrv_set_backing(BlockNode *node, BlockNode *backing, Error **errp)
{
    bool ok = true;

    bdrv_drained_begin(node);
    BlockChild *old = node->backing;
    if (backing) {
        BlockChild *child =
            bdrv_attach_child(node, bdrv_ref(backing), "backing", CHILD_BACKING, errp);
        ok = child != NULL;
        if (ok) {
            node->backing = child;
        }
    } else {
        node->backing = NULL;
    }
    bdrv_drained_end(node);
    if (ok && old) {
        bdrv_detach_child(old);
    }
    return ok;
}

typedef struct Reopen {
    BlockNode *node;
    bool readonly, ok;
    Error **errp;
} Reopen;

static void co_reopen(void *opaque)
{
    Reopen *r = opaque;

    if (r->readonly && bdrv_co_flush(r->node) < 0) {
        error_set(r->errp, "image %s could not be flushed", r->node->filename);
        return;
    }
    r->ok =
        !r->node->driver->co_reopen || r->node->driver->co_reopen(r->node, r->readonly, r->errp);
}

static bool reopen_one(BlockNode *node, bool readonly, Error **errp)
{
    Reopen r = {.node = node, .readonly = readonly, .errp = errp};

    for (DirtyBitmap *b = node->dirty, *next; b; b = next) {
        next = b->next;
        if (b->persistent) {
            dirty_free(b); /* the driver stores it, and keeps it no longer */
        }
    }
    coroutine_run(co_reopen, &r);
    if (!r.ok) {
        return false;
    }
    node->readonly = readonly;
    node->flags = readonly ? node->flags & ~BDRV_O_RDWR : node->flags | BDRV_O_RDWR;
    for (BlockChild *c = node->children; c; c = c->next) {
        default_perms(node, c->role, &c->perm, &c->shared);
    }
    return true;
}

/* Children first when it becomes writable, last when it becomes read-only. */
bool bdrv_reopen(BlockNode *node, bool readonly, Error **errp)
{
    bool ok = true;

    if (node->readonly == readonly) {
        return true;
    }
    bdrv_drained_begin(node);
    if (readonly) {
        ok = reopen_one(node, true, errp);
    }
    for (BlockChild *c = node->children; ok && c; c = c->next) {
        if (c->role != CHILD_BACKING) {
            ok = bdrv_reopen(c->node, readonly, errp);
        }
    }
    if (ok && !readonly) {
        ok = reopen_one(node, false, errp);
    }
    bdrv_drained_end(node);
    return ok;
}

/* ---- what it is ---- */

const char *bdrv_format_name(const BlockNode *node)
{
    return node->driver->name;
}

const char *bdrv_filename(const BlockNode *node)
{
    return node->filename;
}

const char *bdrv_node_name(const BlockNode *node)
{
    return node->node_name;
}

uint64_t bdrv_size(const BlockNode *node)
{
    return node->size;
}

bool bdrv_readonly(const BlockNode *node)
{
    return node->readonly;
}

BlockNode *bdrv_backing(const BlockNode *node)
{
    while (node->driver->is_filter && node->children) {
        node = node->children->node;
    }
    return node->backing ? node->backing->node : NULL;
}
