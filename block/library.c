/*
 * Loading libraries at run time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/library.h"

#include <dlfcn.h>
#include <string.h>

bool library_load(const LibraryFunction *functions, void *table, const char *const *libraries,
                  Error **errp)
{
    for (; *libraries; libraries++) {
        void *handle = dlopen(*libraries, RTLD_LAZY | RTLD_LOCAL);
        if (!handle) {
            error_set(errp, "a library is missing: %s", dlerror());
            return false;
        }
        for (const LibraryFunction *f = functions; f->name; f++) {
            void **place = (void **)((char *)table + f->offset);
            *place = *place ? *place : dlsym(handle, f->name);
        }
    }
    for (const LibraryFunction *f = functions; f->name; f++) {
        void **place = (void **)((char *)table + f->offset);
        if (!*place) {
            error_set(errp, "the library %s is too old: it has no %s", libraries[-1], f->name);
            return false;
        }
    }
    return true;
}
