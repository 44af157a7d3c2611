/*
 * Small helpers of the block room: buffers, trees of information.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "block/driver.h"

/* The kernel copies long requests about twice as fast to and from where a page begins. */
enum { PAGE = 4096, CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

void *block_try_alloc(const BlockNode *node, size_t bytes)
{
    size_t align = MAX(node ? node->memory_alignment : 1, bytes < PAGE ? CACHE_LINE : PAGE);
    void *p = NULL;

    for (const BlockChild *c = node ? node->children : NULL; c; c = c->next) {
        align = MAX(align, c->node->memory_alignment);
    }
    if (bytes > SIZE_MAX / 2 || posix_memalign(&p, align, MAX(bytes, 1)) != 0) {
        return NULL;
    }
    return p;
}

void *block_alloc(const BlockNode *node, size_t bytes)
{
    void *p = block_try_alloc(node, bytes);

    if (!p) {
        error_report("out of memory");
        abort();
    }
    return p;
}

void *block_alloc_large(const BlockNode *node, size_t bytes)
{
    void *p = NULL;

    if (bytes < HUGE_PAGE || posix_memalign(&p, HUGE_PAGE, ROUND_UP(bytes, HUGE_PAGE)) != 0) {
        return block_alloc(node, bytes);
    }
    madvise(p, ROUND_UP(bytes, HUGE_PAGE), MADV_HUGEPAGE); /* or as small ones */
    return p;
}

/* ---- InfoTree ---- */

InfoTree *info_new(InfoKind kind)
{
    InfoTree *t = calloc(1, sizeof(*t));

    if (!t) {
        error_report("out of memory");
        abort();
    }
    t->kind = kind;
    return t;
}

void info_free(InfoTree *t)
{
    while (t) {
        InfoTree *next = t->next;
        info_free(t->first);
        free(t->name);
        free(t->text);
        free(t);
        t = next;
    }
}

InfoTree *info_add(InfoTree *to, const char *name, InfoKind kind)
{
    InfoTree *t = info_new(kind);

    t->name = name ? strdup(name) : NULL;
    if (to->last) {
        to->last->next = t;
    } else {
        to->first = t;
    }
    to->last = t;
    return t;
}

void info_add_string(InfoTree *to, const char *name, const char *value)
{
    info_add(to, name, INFO_STRING)->text = strdup(value);
}

void info_add_int(InfoTree *to, const char *name, uint64_t value)
{
    info_add(to, name, INFO_INT)->number = value;
}

void info_add_bool(InfoTree *to, const char *name, bool value)
{
    info_add(to, name, INFO_BOOL)->number = value;
}
